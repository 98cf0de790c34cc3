/* The way back of a backup: copied beside its place, verified there, changed where the lost time
 * demands it, and moved into place by one rename. */
#include "copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "dir.h"
#include "records.h"

/* CRLs are published once a second at most, and by hand now and then: one number for each second
 * that is lost, and this many for the hands. */
#define CRL_NUMBERS_SPARE UINT64_C(1000000)

struct store_restore {
    char target[2048], staging[2100];
    int lock; /* on the staging directory */
    struct store_facts facts;
};

/* ---- the target ---- */

static bool is_empty(DIR *d)
{
    for (const struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            return false;
    return true;
}

static bool target_free(const char *target, struct err *err)
{
    int claim = -1;
    DIR *d = opendir(target);
    if (!d)
        return errno == ENOENT || copy_errno(target, "opening", err);
    bool empty = is_empty(d);
    closedir(d);
    if (!dir_claim(target, &claim, err))
        return false;
    close(claim);
    return empty || err_set(err, ERR_EXISTS, "%s is not empty", target);
}

/* ---- staging ---- */

/* Only what this file puts there. */
static void staging_remove(const struct store_restore *r)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char file[4200];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(file, sizeof file, "%s/%s", r->staging, names[i]);
        unlink(file);
    }
    crl_files_remove(r->staging);
    rmdir(r->staging);
}

/* What a restore left behind that was killed is taken over. */
static bool staging_make(struct store_restore *r, const struct store_owner *owner, struct err *err)
{
    if (mkdir(r->staging, 0700) != 0 && errno != EEXIST)
        return copy_errno(r->staging, "making", err);
    r->lock = open(r->staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r->lock < 0)
        return copy_errno(r->staging, "opening", err);
    if (copy_lock(r->lock, r->staging,
                  err)) /* whose the directory is, theirs the files will be: dir.c */
        return (fchmod(r->lock, 0700) == 0 &&
                (!owner || fchown(r->lock, owner->user, owner->group) == 0)) ||
               copy_errno(r->staging, "giving it to its owner", err);
    close(r->lock);
    r->lock = -1; /* not ours to remove */
    return false;
}

static bool copy_bytes(int in, int out, const char *from, const char *to, struct err *err)
{
    static const size_t chunk = 1u << 20;
    char *bytes = malloc(chunk);
    ssize_t n = 0;
    bool ok = bytes || err_memory(err);
    while (ok && (n = read(in, bytes, chunk)) > 0)
        for (ssize_t done = 0, k; ok && done < n; done += k)
            ok = (k = write(out, bytes + done, (size_t)(n - done))) > 0 ||
                 copy_errno(to, "writing", err);
    free(bytes);
    if (ok && n < 0)
        return copy_errno(from, "reading", err);
    return ok && (fsync(out) == 0 || copy_errno(to, "fsync", err));
}

static bool stage(struct store_restore *r, const char *backup, struct err *err)
{
    char file[4200], lock[4200];
    struct stat st;
    int out = -1, in = open(backup, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "there is no %s", backup)
                               : copy_errno(backup, "opening", err);
    snprintf(file, sizeof file, "%s/data.mdb", r->staging);
    snprintf(lock, sizeof lock, "%s/lock.mdb", r->staging);
    unlink(lock);
    bool ok = fstat(in, &st) == 0 || copy_errno(backup, "fstat", err);
    if (ok && !S_ISREG(st.st_mode))
        ok = err_set(err, ERR_IO, "%s is no file", backup);
    ok = ok && copy_create(file, &out, err) && copy_bytes(in, out, backup, file, err);
    r->facts.bytes = ok ? (uint64_t)st.st_size : 0;
    close(in);
    if (out >= 0)
        close(out);
    return ok;
}

/* First whether it is a store at all and whole, without locks; then as the store that it will be:
 * opening it so also brings an older format up to date. */
static bool examine(struct store_restore *r, struct err *err)
{
    char file[4200];
    uint64_t bytes = r->facts.bytes;
    snprintf(file, sizeof file, "%s/data.mdb", r->staging);
    if (!env_file_whole(file, err) || !copy_inspect(r->staging, false, &r->facts, err))
        return false;
    r->facts.bytes = bytes;
    return true;
}

bool store_restore_begin(const char *backup, const char *target, const struct store_owner *owner,
                         struct store_restore **out, struct store_facts *facts, struct err *err)
{
    struct store_restore *r = calloc(1, sizeof *r);
    size_t n = strlen(target);
    if (!r)
        return err_memory(err);
    while (n > 1 && target[n - 1] == '/')
        n--;
    r->lock = -1;
    bool ok =
        n < sizeof r->target || err_set(err, ERR_IO, "%.100s...: the path is too long", target);
    if (ok) {
        snprintf(r->target, sizeof r->target, "%.*s", (int)n, target);
        snprintf(r->staging, sizeof r->staging, "%s.restoring", r->target);
    }
    ok = ok && target_free(r->target, err) && staging_make(r, owner, err);
    if (ok && (!stage(r, backup, err) || !examine(r, err)))
        ok = false;
    if (!ok) {
        store_restore_abort(r);
        return false;
    }
    *facts = r->facts;
    *out = r;
    return true;
}

void store_restore_abort(struct store_restore *r)
{
    if (!r)
        return;
    if (r->lock >= 0) {
        staging_remove(r);
        close(r->lock);
    }
    free(r);
}

/* ---- what the lost time demands ---- */

/* More than any configuration has; those above it get their CRL when its period is over. */
#define SCOPES_MAX 4096

struct scopes {
    uint64_t highest;
    struct {
        uint8_t authority[20];
        uint32_t shard;
    } scope[SCOPES_MAX]; /* that have a CRL */
    size_t n;
};

static bool number_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct scopes *s = ctx;
    if (value.n != 8)
        return err_set(err, ERR_STORE, "a CRL number has %zu octets instead of 8", value.n);
    uint64_t n = octets_u64(value.p);
    s->highest = n > s->highest ? n : s->highest;
    if (key.n == 25 && s->n < SCOPES_MAX) {
        memcpy(s->scope[s->n].authority, key.p + 1, 20);
        s->scope[s->n++].shard = octets_u32(key.p + 21);
    }
    return true;
}

/* A device that has seen CRL 900 must never be shown an 850 as the newest; and revocations that are
 * lost are noticed earlier when a CRL is made at once. */
static bool crls_lift(struct txn *t, int64_t newest, int64_t now, struct err *err)
{
    struct key floor = meta_crl_floor();
    uint64_t before, generation, lost = now > newest ? (uint64_t)(now - newest) : 0;
    struct scopes *s = calloc(1, sizeof *s);
    bool ok = s || err_memory(err);
    ok = ok && txn_counter(t, key_view(&floor), &before, err) &&
         txn_walk(t, TABLE_META, view_str("N"), number_entry, s, err);
    if (ok) {
        s->highest = before > s->highest ? before : s->highest;
        ok = txn_counter_set(t, key_view(&floor), s->highest + lost + CRL_NUMBERS_SPARE, err);
    }
    for (size_t i = 0; ok && i < s->n; i++)
        ok = revocations_move(t, s->scope[i].authority, s->scope[i].shard, &generation, err);
    free(s);
    return ok;
}

static bool change(struct store_restore *r, struct store *s, const struct store_audit *entry,
                   struct err *err)
{
    struct store_write *w = NULL;
    struct store_audit seam = *entry;
    char then[32];
    text_time(r->facts.newest, then);
    snprintf(seam.event, sizeof seam.event, "%s", STORE_EVENT_RESTORED);
    snprintf(seam.text, sizeof seam.text,
             "from a backup that ends with entry %llu of %s; what came after it is not in this log",
             (unsigned long long)r->facts.audit_entries, then);
    if (!store_write_begin(s, &w, err))
        return false;
    if (crls_lift(&w->txn, r->facts.newest, entry->at, err) && store_audit_put(w, &seam, err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

/* The directory is closed before it moves, and moves onto nothing or an empty directory: rename(2).
 */
static bool put_in_place(const struct store_restore *r, struct err *err)
{
    if (rename(r->staging, r->target) == 0)
        return copy_sync_dir(r->target, err);
    if (errno == EEXIST || errno == ENOTEMPTY)
        return err_set(err, ERR_EXISTS, "%s is not empty any more", r->target);
    return copy_errno(r->target, "renaming", err);
}

bool store_restore_commit(struct store_restore *r, const struct store_audit *entry, struct err *err)
{
    struct store *s = NULL;
    struct store_options o = {.path = r->staging};
    bool ok = store_open(&o, &s, err) && change(r, s, entry, err);
    store_close(s);
    ok = ok && target_free(r->target, err) && put_in_place(r, err);
    if (!ok) {
        store_restore_abort(r);
        return false;
    }
    close(r->lock);
    free(r);
    return true;
}
