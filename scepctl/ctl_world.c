/* What scepctl finds around it: configuration, store, the person, the terminal. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outside/telling.h"
#include "scepctl/ctl.h"

struct complaints {
    bool json;
    size_t n;
    bool not_permitted; /* one of them is for want of permission: the others may be too */
};

static void complain(void *ctx, const char *message)
{
    static const char denied[] = ": Permission denied"; /* scepctl never leaves the C locale */
    struct complaints *c = ctx;
    char clean[1800];
    size_t n = strlen(message);
    ctl_clean_for(stderr, message, clean, sizeof clean);
    if (c->json) {
        json_t *o = json_object();
        ctl_json_text(o, "problem", message);
        json_dumpf(o, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(o);
    } else {
        fprintf(stderr, "%s\n", clean);
    }
    c->n++;
    c->not_permitted |=
        n >= sizeof denied && strcmp(message + n - (sizeof denied - 1), denied) == 0;
}

static int need_config(struct ctl *ctl,
                       struct config *(*load)(const char *, config_complain, void *))
{
    static const char as_who[] = "run it as root or as the user of scepd";
    struct complaints told = {.json = ctl->json};
    if (ctl->config)
        return CTL_DONE;
    config_find(ctl->config_option, ctl->config_path);
    if (access(ctl->config_path, R_OK)) {
        int e = errno;
        if (e == EACCES)
            return ctl_fail(ctl, CTL_NOT_PERMITTED, as_who, "cannot read %s", ctl->config_path);
        return ctl_fail(ctl, CTL_FAILED,
                        "scepctl init makes an authority; -c FILE names a configuration elsewhere",
                        "cannot read %s: %s", ctl->config_path, strerror(e));
    }
    ctl->config = load(ctl->config_path, complain, &told);
    if (ctl->config) {
        if (ctl->verbose)
            ctl_note(ctl, "configuration %s", ctl->config_path);
        return CTL_DONE;
    }
    return ctl_fail(ctl, told.not_permitted ? CTL_NOT_PERMITTED : CTL_FAILED,
                    told.not_permitted ? as_who : NULL, "%zu problem%s with the configuration",
                    told.n, told.n == 1 ? "" : "s");
}

int ctl_need_config(struct ctl *ctl)
{
    return need_config(ctl, config_load);
}

int ctl_need_waiting_config(struct ctl *ctl)
{
    return need_config(ctl, config_load_waiting);
}

/* Root becomes the owner of the store before opening it: a file made by root in it would lock the
 * daemon out. */
static int become_owner(const struct ctl *ctl, const char *path)
{
    struct stat st;
    if (geteuid() != 0 || stat(path, &st) || st.st_uid == 0)
        return CTL_DONE;
    if (setgroups(1, &st.st_gid) || setgid(st.st_gid) || setuid(st.st_uid))
        return ctl_fail(ctl, CTL_NOT_PERMITTED, NULL, "cannot become user %u, who owns %s: %s",
                        (unsigned)st.st_uid, path, strerror(errno));
    return CTL_DONE;
}

/* The daemon sends what is stored. */
static bool tell_webhooks(void *ctl, struct store_write *w, uint64_t cert_id, struct err *err)
{
    return webhook_tell_revocation(((struct ctl *)ctl)->config, w, cert_id, err);
}

int ctl_need_store(struct ctl *ctl)
{
    struct err err = {0};
    int rc = ctl_need_config(ctl);
    if (rc || ctl->store)
        return rc;
    const char *path = ctl->config->store_path;
    if ((rc = become_owner(ctl, path)))
        return rc;
    if (access(path, R_OK | W_OK | X_OK) && errno == EACCES)
        return ctl_fail(ctl, CTL_NOT_PERMITTED, "run it as root or as the owner of that directory",
                        "cannot open the store %s", path);
    struct store_options o = {.path = path, .map_size = ctl->config->map_size};
    if (!store_apart(path, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (!store_open(&o, &ctl->store, &err))
        return ctl_fail_err(
            ctl, &err,
            err.kind == ERR_NOT_FOUND ? "scepctl init makes an authority with its store" : NULL);
    store_watch_revocations(ctl->store, tell_webhooks, ctl);
    if (ctl->verbose)
        ctl_note(ctl, "store %s, as user %u, in the name of %s", path, (unsigned)geteuid(),
                 ctl->actor);
    return CTL_DONE;
}

/* The user who logged in, whatever su and sudo did since; -1 when there was no login. */
static long login_uid(void)
{
    unsigned uid = (unsigned)-1;
    FILE *f = fopen("/proc/self/loginuid", "re");
    if (f) {
        if (fscanf(f, "%u", &uid) != 1)
            uid = (unsigned)-1;
        fclose(f);
    }
    return uid == (unsigned)-1 ? -1 : (long)uid;
}

void ctl_actor(char out[64])
{
    const char *sudo = getenv("SUDO_USER");
    long login = login_uid();
    uid_t uid = login >= 0 ? (uid_t)login : getuid();
    const struct passwd *pw = getpwuid(uid);
    /* SUDO_USER is believed only from root: anybody else could write anything there. */
    if (login < 0 && getuid() == 0 && sudo && getpwnam(sudo))
        ctl_clean(sudo, out, 64);
    else if (pw)
        ctl_clean(pw->pw_name, out, 64);
    else
        snprintf(out, 64, "uid %u", (unsigned)uid);
}

static bool can_ask(const struct ctl *ctl)
{
    return !ctl->no_input && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool ctl_ask(const struct ctl *ctl, const char *question, char *out, size_t cap)
{
    if (!can_ask(ctl))
        return false;
    fprintf(stderr, "%s ", question);
    fflush(stderr);
    if (!fgets(out, (int)cap, stdin))
        return false;
    out[strcspn(out, "\r\n")] = '\0';
    return out[0] != '\0';
}

int ctl_confirm(struct ctl *ctl, const char *question)
{
    char answer[16], asked[160];
    if (ctl->expect && strcmp(ctl->expect, "1") != 0)
        return ctl_fail(ctl, CTL_CONFLICT, NULL,
                        "this is one, and --expect says %s: nothing was changed", ctl->expect);
    if (ctl->yes)
        return CTL_DONE;
    if (!can_ask(ctl))
        return ctl_fail(ctl, CTL_USAGE, "add --yes (-y)",
                        "a confirmation is needed and nobody can be asked here");
    snprintf(asked, sizeof asked, "%s [y/N]", question);
    if (ctl_ask(ctl, asked, answer, sizeof answer) && (answer[0] == 'y' || answer[0] == 'Y'))
        return CTL_DONE;
    return ctl_fail(ctl, CTL_USAGE, NULL, "not confirmed: nothing was changed");
}

int ctl_confirm_expected(struct ctl *ctl, const char *expected, const char *question)
{
    char answer[128], asked[320], fix[160];
    if (ctl->expect && strcmp(ctl->expect, expected) != 0)
        return ctl_fail(ctl, CTL_CONFLICT, NULL,
                        "this is %s, and --expect says %s: nothing was changed", expected,
                        ctl->expect);
    if (ctl->expect && ctl->yes)
        return CTL_DONE;
    if (!can_ask(ctl)) {
        snprintf(fix, sizeof fix, "add --yes --expect %s", expected);
        return ctl_fail(ctl, CTL_USAGE, fix,
                        "a confirmation is needed and nobody can be asked here");
    }
    snprintf(asked, sizeof asked, "%s  Type %s to go on:", question, expected);
    if (ctl_ask(ctl, asked, answer, sizeof answer) && strcmp(answer, expected) == 0)
        return CTL_DONE;
    return ctl_fail(ctl, CTL_USAGE, NULL, "not confirmed: nothing was changed");
}

/* The one thing that a signal handler may touch. */
static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal)
{
    interrupted = 1;
}

void ctl_interrupts_watch(void)
{
    struct sigaction act = {.sa_handler = note_interrupt};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
}

bool ctl_interrupted(void)
{
    return interrupted;
}

void ctl_clear(struct ctl *ctl)
{
    store_close(ctl->store);
    config_free(ctl->config);
}
