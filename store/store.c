/* Opening, closing, writing: the frame in which the verbs of the other files work. */
#include "backend.h"

#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apart.h"
#include "copy.h"
#include "dir.h"

/* Warned about from here on: time to free space or to choose a larger map. */
#define MAP_WARN_PERCENT 80
#define DISK_WARN (UINT64_C(256) << 20)

/* Opening one LMDB environment twice in a process loses its file locks (closing either one drops
 * them all), so the open ones are listed.  The only thing in this room that outlives its context,
 * because nothing smaller than the process has the same borders as the problem. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct store *open_stores;

/* Entries that a fork left behind belong to the parent and do not count. */
static bool is_open(const struct store *s)
{
    for (const struct store *o = open_stores; o; o = o->next)
        if (o->pid == s->pid && o->device == s->device && o->inode == s->inode)
            return true;
    return false;
}

static void list_remove(struct store *s)
{
    struct store **p = &open_stores;
    while (*p && *p != s)
        p = &(*p)->next;
    if (*p)
        *p = s->next;
}

static void store_free(struct store *s)
{
    pthread_rwlock_destroy(&s->map_lock);
    pthread_mutex_destroy(&s->writer);
    if (s->claim >= 0)
        close(s->claim);
    EVP_MD_free(s->sha256);
    free(s->path);
    free(s);
}

static bool store_new(const struct store_options *o, struct store **out, struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory(err);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(
        &attr, PTHREAD_MUTEX_ERRORCHECK); /* a second write in one thread is an error */
    pthread_mutex_init(&s->writer, &attr);
    pthread_mutexattr_destroy(&attr);
    pthread_rwlock_init(&s->map_lock, NULL);
    s->pid = getpid();
    s->claim = -1;
    s->log = o->log;
    s->path = strdup(o->path);
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (s->path && s->sha256) {
        *out = s;
        return true;
    }
    if (!s->sha256) {
        ERR_clear_error();
        err_set(err, ERR_CRYPTO, "SHA-256 is not available");
    } else {
        err_memory(err);
    }
    store_free(s);
    return false;
}

/* The page that is missing is asked for again when this returns, and that is the end. */
static void tell_damage(int number)
{
    static const char text[] = "A file of the store ends too early, or its disk cannot be read.  "
                               "If it stays so: stop scepd, "
                               "move the store away, scepctl store restore FILE\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        return;
}

void store_tell_damage(void)
{
    struct sigaction act = {.sa_handler = tell_damage, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGBUS, &act, NULL);
}

/* Under open_lock. */
static bool open_listed(struct store *s, const struct store_options *o, struct err *err)
{
    struct stat st;
    if (!dir_prepare(s->path, o->create, s->log, err))
        return false;
    if (stat(s->path, &st) != 0)
        return err_errno(err, "store %s", s->path);
    s->device = st.st_dev;
    s->inode = st.st_ino;
    if (is_open(s))
        return err_set(err, ERR_BUSY, "store %s is open in this process already", s->path);
    if ((o->alone && !dir_claim(s->path, &s->claim, err)) ||
        !env_open(s, o->map_size, o->create, err))
        return false;
    if (!dir_hand_over(s->path, err)) {
        env_close(s);
        return false;
    }
    s->next = open_stores;
    open_stores = s;
    return true;
}

bool store_open(const struct store_options *o, struct store **out, struct err *err)
{
    struct store *s = NULL;
    if (!store_new(o, &s, err))
        return false;
    pthread_mutex_lock(&open_lock);
    bool ok = open_listed(s, o, err);
    pthread_mutex_unlock(&open_lock);
    if (ok)
        *out = s;
    else
        store_free(s);
    return ok;
}

static bool look(void *options, struct err *err)
{
    struct store *s = NULL;
    struct err why = {0};
    if (!store_new(options, &s, &why) || env_look(s, &why))
        return true;
    *err = why;
    return why.kind != ERR_DAMAGED;
}

bool store_look(const char *path, struct err *err)
{
    char file[4096];
    uint8_t nothing;
    struct store_options o = {.path = path};
    snprintf(file, sizeof file, "%s/data.mdb", path);
    if (access(file, R_OK | W_OK) != 0)
        return true;
    snprintf(file, sizeof file, "store %s", path);
    return apart_run(file, look, &o, &nothing, 0, err);
}

bool store_in_place(struct store *s)
{
    pthread_rwlock_rdlock(&s->map_lock);
    bool here = env_in_place(s);
    pthread_rwlock_unlock(&s->map_lock);
    return here;
}

/* A file of its own with a lock on nothing: the list is only for what has locks. */
bool copy_open(const char *file, struct store **out, struct err *err)
{
    struct store *s = NULL;
    struct store_options o = {.path = file};
    if (!store_new(&o, &s, err))
        return false;
    if (!env_open_copy(s, err)) {
        store_free(s);
        return false;
    }
    *out = s;
    return true;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&open_lock);
    list_remove(s);
    if (s->pid == getpid()) /* else the environment is the parent's: hands off */
        env_close(s);
    pthread_mutex_unlock(&open_lock);
    store_free(s);
}

/* ---- writing ---- */

bool store_write_begin(struct store *s, struct store_write **out, struct err *err)
{
    struct store_write *w = calloc(1, sizeof *w);
    if (!w)
        return err_memory(err);
    if (!txn_write(s, &w->txn, err)) {
        free(w);
        return false;
    }
    *out = w;
    return true;
}

bool store_write_commit(struct store_write *w, struct err *err)
{
    bool ok = txn_write_commit(&w->txn, err);
    free(w);
    return ok;
}

void store_write_abort(struct store_write *w)
{
    if (!w)
        return;
    txn_write_abort(&w->txn);
    free(w);
}

/* ---- how it stands ---- */

static bool counter_get(struct store *s, struct key k, uint64_t *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&k), out, err);
    txn_read_end(&t);
    return ok;
}

bool store_generation(struct store *s, uint64_t *out, struct err *err)
{
    return counter_get(s, meta_generation(), out, err);
}

bool store_revocation_generation(struct store *s, const uint8_t authority[20], uint64_t *out,
                                 struct err *err)
{
    return counter_get(s, meta_revocations(authority), out, err);
}

static bool counts_get(struct store *s, struct store_stats *out, struct err *err)
{
    struct key made = meta_challenges_made();
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&made), &out->challenges_made, err) &&
              txn_count(&t, TABLE_CERT, &out->certificates, err) &&
              txn_count(&t, TABLE_REVOKED, &out->revoked, err) &&
              txn_count(&t, TABLE_CHALLENGE, &out->challenges, err) &&
              txn_count(&t, TABLE_TX, &out->transactions, err) &&
              txn_count(&t, TABLE_PENDING, &out->pending, err) &&
              txn_count(&t, TABLE_AUDIT, &out->audit_entries, err) &&
              txn_count(&t, TABLE_ATTEMPT, &out->attempts, err);
    txn_read_end(&t);
    return ok;
}

static bool file_size(const struct store *s, uint64_t *out, struct err *err)
{
    char file[4096];
    struct stat st;
    snprintf(file, sizeof file, "%s/data.mdb", s->path);
    if (stat(file, &st) != 0)
        return err_errno(err, "%s", file);
    *out = (uint64_t)st.st_size;
    return true;
}

bool store_stats(struct store *s, struct store_stats *out, struct err *err)
{
    struct store_stats stats = {0};
    if (!counts_get(s, &stats, err) || !env_usage(s, &stats.used_bytes, &stats.map_bytes, err) ||
        !env_disk_free(s, &stats.free_disk_bytes, err) || !file_size(s, &stats.file_bytes, err))
        return false;
    *out = stats;
    return true;
}

bool store_readers(struct store *s, struct store_reader *out, size_t cap, size_t *n,
                   struct err *err)
{
    return env_readers(s, out, cap, n, err);
}

bool store_housekeep(struct store *s, struct err *err)
{
    uint64_t used, map, disk;
    if (!env_free_dead_readers(s, err) || !env_usage(s, &used, &map, err) ||
        !env_disk_free(s, &disk, err))
        return false;
    if (used > map / 100 * MAP_WARN_PERCENT)
        log_event(s->log, LOG_LEVEL_WARNING, "store.filling",
                  "%s: %llu of %llu octets of the map are used", s->path, (unsigned long long)used,
                  (unsigned long long)map);
    if (disk < DISK_WARN)
        log_event(s->log, LOG_LEVEL_WARNING, "store.disk",
                  "%s: only %llu octets are free on its disk", s->path, (unsigned long long)disk);
    return true;
}
