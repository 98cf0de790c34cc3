/* scepctl device import: the file, the list of challenges, and what is told meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet/import.h"
#include "scepctl/ctl_fleet.h"

#define SHOWN_PROBLEMS 50
#define INPUT_MAX ((off_t)1 << 30) /* of what comes by a pipe and is kept meanwhile */

struct importing {
    struct ctl *ctl;
    struct ctl_progress progress;
    uint64_t problems;
    int refused; /* exit code of the confirmation */
};

/* ---- files: opened before root becomes the store's owner ---- */

/* A pipe is copied to a file without a name, since it is read twice. */
static FILE *copy_of(FILE *in)
{
    FILE *out = tmpfile();
    char chunk[65536];
    size_t n;
    off_t all = 0;
    while (out && (n = fread(chunk, 1, sizeof chunk, in)) > 0) {
        all += (off_t)n;
        if (all > INPUT_MAX || fwrite(chunk, 1, n, out) != n) {
            fclose(out);
            return NULL;
        }
    }
    if (out && (ferror(in) || fflush(out) != 0)) {
        fclose(out);
        return NULL;
    }
    return out;
}

static int open_input(struct ctl *ctl, const char *path, FILE **out)
{
    struct stat st;
    FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
    if (!in)
        return ctl_fail(ctl, errno == EACCES ? CTL_NOT_PERMITTED : CTL_NOT_FOUND, NULL,
                        "cannot read %s: %s", path, strerror(errno));
    if (in != stdin && fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode)) {
        *out = in;
        return CTL_DONE;
    }
    *out = copy_of(in);
    if (in != stdin)
        fclose(in);
    return *out ? CTL_DONE
                : ctl_fail(ctl, CTL_FAILED, NULL, "cannot keep what comes from %s", path);
}

/* Nobody else writes it now.  It gets its mode when it is known to be a list. */
static int open_list(struct ctl *ctl, const char *path, FILE **out)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return ctl_fail(ctl, errno == EACCES ? CTL_NOT_PERMITTED : CTL_FAILED, NULL,
                        "cannot write %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return ctl_fail(ctl, CTL_FAILED, NULL, "%s is no file", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        close(fd);
        return e == EWOULDBLOCK
                   ? ctl_fail(ctl, CTL_UNAVAILABLE, NULL, "another import writes %s", path)
                   : ctl_fail(ctl, CTL_FAILED, NULL, "cannot keep %s from others: %s", path,
                              strerror(e));
    }
    if (!(*out = fdopen(fd, "r+"))) {
        close(fd);
        return ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    }
    return CTL_DONE;
}

/* ---- telling ---- */

static void problem(void *ctx, uint64_t line, const char *text)
{
    struct importing *i = ctx;
    char clean[900];
    if (++i->problems > SHOWN_PROBLEMS)
        return;
    ctl_progress_end(&i->progress);
    ctl_clean_for(stderr, text, clean, sizeof clean);
    fprintf(stderr, "line %llu: %s\n", (unsigned long long)line, clean);
}

static bool progress(void *ctx, uint64_t done, uint64_t of)
{
    struct importing *i = ctx;
    ctl_progress_show(&i->progress, done, of);
    return !ctl_interrupted();
}

static void counts_text(const struct fleet_import_counts *n, bool policy, bool challenges,
                        const char *lose, char *out, size_t cap)
{
    char lost[400];
    size_t at = (size_t)snprintf(out, cap, "%llu new, %llu changed, %llu as they were",
                                 (unsigned long long)n->made, (unsigned long long)n->updated,
                                 (unsigned long long)n->same);
    if (policy && at < cap)
        at += (size_t)snprintf(out + at, cap - at, ", %llu get the policy",
                               (unsigned long long)n->assigned);
    if (challenges && at < cap)
        at += (size_t)snprintf(out + at, cap - at, ", %llu challenges",
                               (unsigned long long)n->challenges);
    ctl_effects_text(&n->lost, lose, lost, sizeof lost);
    if (n->lost.devices && at < cap)
        at += (size_t)snprintf(out + at, cap - at, ", %s", lost);
    else if (n->lost.challenges && at < cap)
        at += (size_t)snprintf(out + at, cap - at, ", %llu challenge%s void",
                               (unsigned long long)n->lost.challenges,
                               n->lost.challenges == 1 ? "" : "s");
    if (n->bad && at < cap)
        snprintf(out + at, cap - at, ", %llu lines left out", (unsigned long long)n->bad);
}

/* What exists already and would change is worth a question, and what would be lost even more: who
 * expects forty changed devices did not expect that three of them lose their policy. */
static bool confirm(void *ctx, const struct fleet_import_counts *plan)
{
    struct importing *i = ctx;
    char number[48];
    ctl_progress_end(&i->progress);
    if (plan->lost.devices + plan->lost.challenges)
        ctl_plan_note(i->ctl, &plan->lost, "import", "would lose a policy");
    if (plan->updated > 1 && plan->lost.devices) {
        snprintf(number, sizeof number, "%llu/%llu", (unsigned long long)plan->updated,
                 (unsigned long long)plan->lost.devices);
        i->refused = ctl_confirm_expected(
            i->ctl, number, "Devices that exist will be changed, and some lose a policy.");
    } else if (plan->updated > 1) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)plan->updated);
        i->refused = ctl_confirm_expected(i->ctl, number, "Devices that exist will be changed.");
    } else if (plan->lost.devices) {
        i->refused = ctl_confirm(i->ctl, "Import?");
    }
    i->progress = ctl_progress_start(i->ctl, "devices");
    return i->refused == CTL_DONE;
}

static void show(struct ctl *ctl, const struct fleet_import_counts *n)
{
    struct ctl_show s;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "changed", ctl->dry_run ? "no (dry run)" : "yes");
    ctl_show_number(&s, "devices", (int64_t)n->rows);
    ctl_show_number(&s, "new", (int64_t)n->made);
    ctl_show_number(&s, "updated", (int64_t)n->updated);
    ctl_show_number(&s, "same", (int64_t)n->same);
    ctl_show_number(&s, "bad", (int64_t)n->bad);
    ctl_show_number(&s, "groups", (int64_t)n->groups);
    ctl_show_number(&s, "assigned", (int64_t)n->assigned);
    ctl_show_number(&s, "challenges", (int64_t)n->challenges);
    ctl_show_number(&s, "had_challenge", (int64_t)n->had);
    ctl_show_number(&s, "lost_policy", (int64_t)n->lost.devices);
    ctl_show_number(&s, "revoked", (int64_t)n->lost.certificates);
    ctl_show_number(&s, "cancelled", (int64_t)n->lost.requests);
    ctl_show_number(&s, "void", (int64_t)n->lost.challenges);
    ctl_show_end(&s);
}

static int tell_end(struct importing *i, const struct fleet_import *o,
                    const struct fleet_import_counts *n, bool good, const struct err *err)
{
    char text[720];
    ctl_progress_end(&i->progress);
    if (i->problems > SHOWN_PROBLEMS)
        ctl_note(i->ctl, "and %llu lines more", (unsigned long long)(i->problems - SHOWN_PROBLEMS));
    if (i->refused)
        return i->refused;
    counts_text(n, o->policy != NULL, o->challenges || o->would_challenge,
                i->ctl->dry_run ? "would lose a policy" : "lost a policy", text, sizeof text);
    if (n->stopped)
        return ctl_fail(i->ctl, CTL_INTERRUPTED, "the same command goes on", "interrupted: %s",
                        n->rows ? text : "nothing was changed");
    if (!good)
        return ctl_fail_err(i->ctl, err,
                            i->problems ? "put it right, or --partial to leave these lines out"
                                        : NULL);
    if (i->ctl->json || i->ctl->csv || i->ctl->ids)
        show(i->ctl, n);
    else
        ctl_note(i->ctl, "%s%s", i->ctl->dry_run ? "would import: " : "imported: ", text);
    return CTL_DONE;
}

static int import(struct ctl *ctl, const struct ctl_args *a, struct fleet_import *o)
{
    struct importing i = {.ctl = ctl};
    struct fleet_import_counts n = {0};
    struct ctl_fleet f;
    struct err err = {0};
    int rc = ctl_fleet_begin(ctl, o->challenges != NULL, &f);
    if (rc)
        return rc;
    o->problem = problem;
    o->progress = progress;
    o->confirm = confirm;
    o->ctx = &i;
    o->dry_run = ctl->dry_run;
    ctl_interrupts_watch();
    i.progress = ctl_progress_start(ctl, "lines looked at");
    bool good = fleet_import_run(&f.fleet, o, &n, &err);
    ctl_fleet_end(&f);
    return tell_end(&i, o, &n, good, &err);
}

int ctl_device_import(struct ctl *ctl, const struct ctl_args *a)
{
    static const char *const forms[] = {"groups", "hex16", NULL};
    struct fleet_import o = {.update = ctl_arg(a, "update") != NULL,
                             .partial = ctl_arg(a, "partial") != NULL,
                             .new_groups = ctl_arg(a, "new-groups") != NULL,
                             .policy = ctl_arg(a, "policy")};
    const char *list = ctl_arg(a, "challenges");
    int form = 0, rc;
    if ((rc = ctl_arg_duration(ctl, a, "expires", 0, &o.ttl)) ||
        (rc = ctl_arg_word(ctl, a, "format", forms, &form)) ||
        (rc = open_input(ctl, a->id[0], &o.in)))
        return rc;
    o.hex = form == 1 ? CHALLENGE_HEX_MIN : 0;
    o.would_challenge = list && ctl->dry_run;
    if (list && !ctl->dry_run)
        rc = open_list(ctl, list, &o.challenges);
    if (rc == CTL_DONE)
        rc = import(ctl, a, &o);
    if (o.challenges && fclose(o.challenges) != 0 && rc == CTL_DONE)
        rc = ctl_fail(ctl, CTL_FAILED, NULL, "cannot write %s: %s", list, strerror(errno));
    fclose(o.in);
    return rc;
}
