/* scepctl store backup, restore and purge. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "enroll/enroll.h"
#include "scepctl/ctl.h"

/* ---- backup ---- */

#define BACKUP_NAME "scepd-%Y%m%dT%H%M%SZ.mdb"
#define BACKUP_PATTERN \
    "scepd-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z.mdb"
#define KEEP_MAX 100000

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* In a directory the file is named by its time, so that names sort. */
static int backup_path(struct ctl *ctl, const char *where, char *out, size_t cap)
{
    char name[64];
    time_t now = (time_t)ctl->now;
    struct tm tm;
    size_t n = strlen(where);
    bool dir = is_directory(where), slash = n && where[n - 1] == '/';
    if (!gmtime_r(&now, &tm) || !strftime(name, sizeof name, BACKUP_NAME, &tm))
        return ctl_fail(ctl, CTL_FAILED, NULL, "the clock cannot be read");
    if (slash && !dir)
        return ctl_fail(ctl, CTL_NOT_FOUND, "make it, owned by the user of scepd, mode 0700",
                        "there is no directory %s", where);
    if ((size_t)snprintf(out, cap, "%s%s%s", where, dir && !slash ? "/" : "", dir ? name : "") >=
        cap)
        return ctl_fail(ctl, CTL_USAGE, NULL, "the path is too long");
    return CTL_DONE;
}

static int backup_writable(struct ctl *ctl, const char *path)
{
    char copy[4096], fix[600];
    const struct passwd *pw = getpwuid(geteuid());
    snprintf(copy, sizeof copy, "%s", path);
    const char *dir = dirname(copy);
    if (access(dir, W_OK | X_OK) == 0)
        return CTL_DONE;
    if (errno == ENOENT)
        return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "there is no directory %s", dir);
    snprintf(fix, sizeof fix, "install -d -m 700 -o %s %.400s", pw ? pw->pw_name : "USER", dir);
    return ctl_fail(ctl, CTL_NOT_PERMITTED, fix, "%s cannot be written by %s, who owns the store",
                    dir, pw ? pw->pw_name : "the user");
}

static int is_backup(const struct dirent *e)
{
    return fnmatch(BACKUP_PATTERN, e->d_name, 0) == 0;
}

/* Only files that this verb has named, and only the oldest of them. */
static int remove_old(struct ctl *ctl, const char *dir, size_t keep)
{
    struct dirent **found = NULL;
    char path[4096];
    int rc = CTL_DONE, n = scandir(dir, &found, is_backup, alphasort);
    if (n < 0)
        return ctl_fail(ctl, CTL_FAILED, NULL, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        if ((size_t)i + keep < (size_t)n && rc == CTL_DONE) {
            snprintf(path, sizeof path, "%s/%s", dir, found[i]->d_name);
            if (unlink(path) == 0)
                ctl_note(ctl, "removed %s", path);
            else
                rc = ctl_fail(ctl, CTL_FAILED, NULL, "cannot remove %s: %s", path, strerror(errno));
        }
        free(found[i]);
    }
    free(found);
    return rc;
}

static int is_part(const struct dirent *e)
{
    return fnmatch(BACKUP_PATTERN ".part", e->d_name, 0) == 0;
}

/* Left by runs that were killed, each under the name of its second; one that is being written is
 * locked. */
static void remove_parts(const char *dir)
{
    struct dirent **found = NULL;
    char path[4096];
    int n = scandir(dir, &found, is_part, NULL);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, found[i]->d_name);
        int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlink(path);
        if (fd >= 0)
            close(fd);
        free(found[i]);
    }
    free(found);
}

static void show_facts(struct ctl *ctl, const char *file, const struct store_facts *f)
{
    struct ctl_show s;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "file", file);
    ctl_show_number(&s, "bytes", (int64_t)f->bytes);
    ctl_show_number(&s, "certificates", (int64_t)f->certificates);
    ctl_show_number(&s, "audit_entries", (int64_t)f->audit_entries);
    ctl_show_time(&s, "newest_entry", f->newest);
    ctl_show_number(&s, "problems", (int64_t)f->problems);
    ctl_show_end(&s);
}

static int fail_problems(struct ctl *ctl, const char *file, const struct store_facts *f)
{
    return ctl_fail(ctl, CTL_PROBLEMS, "scepctl store verify lists them",
                    "%s: %llu problems, the first: %s", file, (unsigned long long)f->problems,
                    f->first.text);
}

int ctl_store_backup(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_facts facts;
    struct err err = {0};
    char path[4096];
    int64_t keep;
    bool dir = is_directory(a->id[0]);
    int rc;
    if ((rc = ctl_arg_number(ctl, a, "keep", 1, KEEP_MAX, 0, &keep)))
        return rc;
    if (keep && !dir)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--keep needs a directory");
    if ((rc = backup_path(ctl, a->id[0], path, sizeof path)) || (rc = ctl_need_store(ctl)) ||
        (rc = backup_writable(ctl, path)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would write %s", path);
        return CTL_DONE;
    }
    if (dir)
        remove_parts(a->id[0]);
    if (!store_backup(ctl->store, path, &facts, &err))
        return ctl_fail_err(ctl, &err, NULL);
    show_facts(ctl, path, &facts);
    if (facts.problems) /* kept, since it may be the last there is; but no success */
        return fail_problems(ctl, path, &facts);
    if (!enroll_backup_done(ctl->store, path, &facts, ctl->actor, ctl->now, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "verified.  Keys and configuration are not in it: keep them apart");
    return keep ? remove_old(ctl, a->id[0], (size_t)keep) : CTL_DONE;
}

/* ---- restore ---- */

/* Whose the store will be: of the directory that waits for it, of the daemon's user, of the
 * directory around it. */
static int find_owner(struct ctl *ctl, const char *store, struct store_owner *owner, bool *give)
{
    struct stat st;
    char parent[600];
    const struct passwd *pw;
    *give = geteuid() == 0;
    snprintf(parent, sizeof parent, "%s/..", store);
    if (stat(store, &st) == 0) {
        *owner = (struct store_owner){st.st_uid, st.st_gid};
    } else if (ctl->config->user[0]) {
        if (!(pw = getpwnam(ctl->config->user)))
            return ctl_fail(ctl, CTL_FAILED, NULL, "there is no user %s", ctl->config->user);
        *owner = (struct store_owner){pw->pw_uid, pw->pw_gid};
    } else {
        snprintf(parent, sizeof parent, "%s", store);
        if (stat(dirname(parent), &st) != 0)
            return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "there is no directory %s", parent);
        *owner = (struct store_owner){st.st_uid, st.st_gid};
    }
    return CTL_DONE;
}

static int fail_restore(struct ctl *ctl, const struct err *err, const char *store)
{
    char fix[1200];
    if (err->kind == ERR_EXISTS)
        snprintf(fix, sizeof fix, "mv %s %s.old, then again: nothing is ever overwritten", store,
                 store);
    else if (err->kind == ERR_BUSY)
        snprintf(fix, sizeof fix, "systemctl stop scepd");
    else if (err->kind == ERR_DAMAGED)
        snprintf(fix, sizeof fix, "take an older backup");
    else
        fix[0] = '\0';
    return ctl_fail_err(ctl, err, fix[0] ? fix : NULL);
}

static void tell_unknown(struct ctl *ctl, const struct store_facts *f)
{
    char then[96];
    ctl_time_text(ctl, f->newest, then, sizeof then);
    ctl_note(ctl, "What happened after %s is unknown now:", then);
    ctl_note(ctl,
             "  certificates issued since stay valid, and can be neither renewed nor revoked here");
    ctl_note(ctl, "  revocations, approvals and denials made since have to be made again");
    ctl_note(ctl, "  challenges used since are good again: scepctl challenge list --state active, "
                  "then challenge revoke");
    ctl_note(
        ctl,
        "The store holds no keys: they are as they were.  The next CRL has a number above any that "
        "was used, and is made when scepd starts: systemctl start scepd");
}

static int restore_confirmed(struct ctl *ctl, struct store_restore *r, const struct store_facts *f,
                             const char *file)
{
    struct store_audit entry = {.at = ctl->now};
    struct err err = {0};
    char question[700], newest[96];
    const char *store = ctl->config->store_path, *name = ctl->config->authority[0].name;
    ctl_time_text(ctl, f->newest, newest, sizeof newest);
    snprintf(question, sizeof question,
             "%s %.200s: %llu certificates, newest entry %s, becomes the store of authority %s.",
             ctl->dry_run ? "would restore" : "restore", file, (unsigned long long)f->certificates,
             newest, name);
    ctl_note(ctl, "%s", question);
    if (ctl->dry_run) {
        store_restore_abort(r);
        return CTL_DONE;
    }
    int rc = ctl_confirm_expected(ctl, name, "Restore?");
    if (rc) {
        store_restore_abort(r);
        return rc;
    }
    snprintf(entry.actor, sizeof entry.actor, "%s", ctl->actor);
    snprintf(entry.object, sizeof entry.object, "%.60s", file);
    if (!store_restore_commit(r, &entry, &err))
        return fail_restore(ctl, &err, store);
    show_facts(ctl, file, f);
    tell_unknown(ctl, f);
    return CTL_DONE;
}

int ctl_store_restore(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_restore *r = NULL;
    struct store_facts facts;
    struct store_owner owner;
    struct err err = {0};
    bool give;
    int rc;
    if ((rc = ctl_need_config(ctl)) ||
        (rc = find_owner(ctl, ctl->config->store_path, &owner, &give)))
        return rc;
    if (!store_apart(a->id[0], &err) ||
        !store_restore_begin(a->id[0], ctl->config->store_path, give ? &owner : NULL, &r, &facts,
                             &err))
        return fail_restore(ctl, &err, ctl->config->store_path);
    if (facts.problems) {
        store_restore_abort(r);
        return ctl_fail(ctl, CTL_PROBLEMS, "take an older backup",
                        "%s: %llu problems, the first: %s", a->id[0],
                        (unsigned long long)facts.problems, facts.first.text);
    }
    return restore_confirmed(ctl, r, &facts, a->id[0]);
}

/* ---- purge ---- */

static const char *const purge_words[] = {"requests", "challenges", "certs", "devices",
                                          "removals"}; /* enum store_purge_kind */
#define PURGE_KINDS 5
/* A client that lost a reply comes again within days; a clock may be wrong by some. */
#define PURGE_YOUNGEST ((int64_t)30 * 86400)

static int wanted_kinds(struct ctl *ctl, const struct ctl_args *a, bool wanted[PURGE_KINDS])
{
    char clean[96];
    for (size_t i = 0; i < a->id_n; i++) {
        size_t k = 0;
        while (k < PURGE_KINDS && strcmp(purge_words[k], a->id[i]) != 0)
            k++;
        if (k == PURGE_KINDS) {
            ctl_clean(a->id[i], clean, sizeof clean);
            return ctl_fail(ctl, CTL_USAGE, NULL,
                            "\"%s\" is none of: requests, challenges, certs, devices, removals",
                            clean);
        }
        wanted[k] = true;
    }
    return CTL_DONE;
}

/* The plan and the deed are the same steps, with and without a write. */
static int purge_all(struct ctl *ctl, struct store_purge *p, bool really)
{
    struct err err = {0};
    while (!p->done) {
        if (ctl_interrupted()) {
            ctl_note(ctl, "interrupted after %llu; the same command goes on",
                     (unsigned long long)p->found);
            return CTL_INTERRUPTED;
        }
        if (really ? !enroll_purge(ctl->store, p, ctl->actor, ctl->now, &err)
                   : !store_purge_step(ctl->store, NULL, p, &err))
            return ctl_fail_err(ctl, &err, NULL);
    }
    return CTL_DONE;
}

static void show_purged(struct ctl *ctl, const bool wanted[PURGE_KINDS],
                        const uint64_t n[PURGE_KINDS])
{
    struct ctl_show s;
    ctl_show_start(&s, ctl);
    for (size_t i = 0; i < PURGE_KINDS; i++)
        if (wanted[i])
            ctl_show_number(&s, purge_words[i], (int64_t)n[i]);
    ctl_show_end(&s);
}

static int purge(struct ctl *ctl, const bool wanted[PURGE_KINDS], int64_t before, bool really,
                 uint64_t n[PURGE_KINDS], uint64_t *total)
{
    *total = 0;
    for (size_t i = 0; i < PURGE_KINDS; i++) {
        struct store_purge p = {.kind = (enum store_purge_kind)i, .before = before};
        int rc = wanted[i] ? purge_all(ctl, &p, really) : CTL_DONE;
        if (rc)
            return rc;
        *total += n[i] = p.found;
    }
    return CTL_DONE;
}

int ctl_store_purge(struct ctl *ctl, const struct ctl_args *a)
{
    bool wanted[PURGE_KINDS] = {false};
    uint64_t n[PURGE_KINDS], total;
    char number[32], question[160], then[32];
    int64_t age;
    int rc;
    if ((rc = wanted_kinds(ctl, a, wanted)) ||
        (rc = ctl_arg_duration(ctl, a, "older-than", -1, &age)))
        return rc;
    if (age < PURGE_YOUNGEST)
        return ctl_fail(ctl, CTL_USAGE, "--older-than 365d",
                        age < 0
                            ? "--older-than is missing"
                            : "--older-than must be 30d or more: a lost reply is still asked for");
    if ((rc = ctl_need_store(ctl)) || (rc = purge(ctl, wanted, ctl->now - age, false, n, &total)))
        return rc;
    text_time(ctl->now - age, then);
    ctl_note(ctl, "%s forget %llu that ended before %s.  Cannot be undone",
             ctl->dry_run ? "would" : "to", (unsigned long long)total, then);
    if (ctl->dry_run || total == 0) {
        show_purged(ctl, wanted, n);
        return CTL_DONE;
    }
    snprintf(number, sizeof number, "%llu", (unsigned long long)total);
    snprintf(question, sizeof question, "Forget %llu?", (unsigned long long)total);
    if ((rc = ctl_confirm_expected(ctl, number, question)))
        return rc;
    ctl_interrupts_watch();
    if ((rc = purge(ctl, wanted, ctl->now - age, true, n, &total)))
        return rc;
    show_purged(ctl, wanted, n);
    return CTL_DONE;
}
