/* Opening and closing the LMDB environment with its tables. */
#include "backend.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "records.h"

/* Address space, not disk: the file grows as records come.  So large that growth, which needs a
 * moment without any transaction, is exceptional. */
#define MAP_DEFAULT (UINT64_C(64) << 30)
/* Transactions that may read at the same time in all processes together; 126 by default is too few.
 */
#define READERS_MAX 512
/* Room for the tables of later formats, so that an old program can still look at the format number.
 */
#define TABLES_MAX 64

static const char *const table_names[TABLE_COUNT] = {
    [TABLE_META] = "meta",
    [TABLE_CERT] = "cert",
    [TABLE_CERT_DER] = "cert_der",
    [TABLE_CERT_SERIAL] = "cert_serial",
    [TABLE_CERT_KEY] = "cert_key",
    [TABLE_CERT_SUBJECT] = "cert_subject",
    [TABLE_REVOKED] = "revoked",
    [TABLE_RELEASED] = "released",
    [TABLE_CRL] = "crl",
    [TABLE_CHALLENGE] = "challenge",
    [TABLE_CHALLENGE_ID] = "challenge_id",
    [TABLE_CHALLENGE_END] = "challenge_end",
    [TABLE_CHALLENGE_MADE] = "challenge_made",
    [TABLE_CHALLENGE_POOL] = "challenge_pool",
    [TABLE_TX] = "tx",
    [TABLE_REQUEST] = "request",
    [TABLE_REQUEST_DATA] = "request_data",
    [TABLE_PENDING] = "pending",
    [TABLE_REQUEST_MADE] = "request_made",
    [TABLE_AUDIT] = "audit",
    [TABLE_ATTEMPT] = "attempt",
    [TABLE_DEVICE] = "device",
    [TABLE_GROUP] = "group",
    [TABLE_POLICY] = "policy",
    [TABLE_NAME] = "name",
    [TABLE_TIE] = "tie",
    [TABLE_TIE_OF] = "tie_of",
    [TABLE_UNTIED] = "untied",
    [TABLE_LINK] = "link",
    [TABLE_ADMIN] = "admin",
    [TABLE_ADMIN_INDEX] = "admin_index",
    [TABLE_TOKEN] = "token",
    [TABLE_TOKEN_END] = "token_end",
    [TABLE_KEPT] = "kept",
    [TABLE_KEPT_END] = "kept_end",
    [TABLE_JOB] = "job",
    [TABLE_JOB_ITEMS] = "job_items",
    [TABLE_NOTICE] = "notice",
    [TABLE_NOTICE_HELD] = "notice_held",
};

static bool format_check(struct txn *t, uint64_t *out, struct err *err)
{
    struct key k = meta_format();
    uint64_t format;
    if (!txn_counter(t, key_view(&k), &format, err))
        return false;
    *out = format;
    if (format > STORE_FORMAT)
        return err_set(
            err, ERR_STORE,
            "store %s has format %llu and this program knows formats up to %d: use a newer one",
            t->s->path, (unsigned long long)format, STORE_FORMAT);
    if (format == 0)
        return err_set(err, ERR_STORE, "store %s has no format number", t->s->path);
    return true;
}

static int table_open(struct txn *t, enum table table, bool create)
{
    return mdb_dbi_open(t->mdb, table_names[table], create ? MDB_CREATE : 0, &t->s->dbi[table]);
}

/* The format in which each table appeared; 0: it was there from the beginning. */
static const uint64_t table_since[TABLE_COUNT] = {
    [TABLE_ATTEMPT] = 2,
    [TABLE_CERT_SUBJECT] = 3,
    [TABLE_RELEASED] = 5,
    /* Format 6: devices, groups, policies and what is told by page.  What else came with it stands
     * here too: a store of an older format gets all of it at once. */
    [TABLE_CHALLENGE_MADE] = 6,
    [TABLE_CHALLENGE_POOL] = 6,
    [TABLE_REQUEST_MADE] = 6,
    [TABLE_DEVICE] = 6,
    [TABLE_GROUP] = 6,
    [TABLE_POLICY] = 6,
    [TABLE_NAME] = 6,
    [TABLE_TIE] = 6,
    [TABLE_TIE_OF] = 6,
    [TABLE_UNTIED] = 6,
    [TABLE_LINK] = 6,
    [TABLE_ADMIN] = 6,
    [TABLE_ADMIN_INDEX] = 6,
    [TABLE_TOKEN] = 6,
    [TABLE_TOKEN_END] = 6,
    [TABLE_KEPT] = 6,
    [TABLE_KEPT_END] = 6,
    [TABLE_JOB] = 6,
    [TABLE_JOB_ITEMS] = 6,
    [TABLE_NOTICE] = 6,
    [TABLE_NOTICE_HELD] = 6,
};

/* Not tables: entries of meta, and CRLs as files. */
#define FORMAT_WITH_COUNTS 4
#define FORMAT_WITH_CRL_FILES 5

/* Another process may be making the tables: what this transaction sees counts.  LMDB's table 1 is
 * the list of the tables. */
static bool nothing_there(struct txn *t, struct err *err)
{
    MDB_stat of_tables;
    int rc = mdb_stat(t->mdb, 1, &of_tables);
    if (rc != 0)
        return env_error(t->s, rc, "opening table meta", err);
    return of_tables.ms_entries == 0 ||
           err_set(err, ERR_DAMAGED, "store %s is damaged: its table meta is not found",
                   t->s->path);
}

/* The format first: a newer one may have other tables.  *format is 0 when there is nothing yet; of
 * an older one, those tables are opened that it has. */
static bool tables_open(struct txn *t, uint64_t *format, struct err *err)
{
    int rc = table_open(t, TABLE_META, false);
    *format = 0;
    if (rc == MDB_NOTFOUND)
        return nothing_there(t, err);
    if (rc != 0)
        return env_error(t->s, rc, "opening table meta", err);
    if (!format_check(t, format, err))
        return false;
    for (int i = TABLE_META + 1; i < TABLE_COUNT; i++) {
        if (table_since[i] > *format)
            continue;
        rc = table_open(t, (enum table)i, false);
        if (rc == MDB_NOTFOUND)
            return err_set(err, ERR_DAMAGED, "store %s is damaged: its table %s is not found",
                           t->s->path, table_names[i]);
        if (rc != 0)
            return env_error(t->s, rc, "opening a table", err);
    }
    return true;
}

static bool tables_find(struct store *s, uint64_t *format, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = tables_open(&t, format, err);
    if (ok && *format == STORE_FORMAT) { /* only a commit keeps the handles */
        int rc = mdb_txn_commit(t.mdb);
        t.mdb = NULL;
        ok = rc == 0 || env_error(s, rc, "opening the tables", err);
    }
    txn_read_end(&t);
    return ok;
}

/* What a newer format has beside those of `format`, which is 0 for an empty store. */
static bool tables_add(struct txn *t, uint64_t format, struct err *err)
{
    struct key k = meta_format();
    uint8_t now[8];
    for (int i = 0; i < TABLE_COUNT; i++) {
        if (format && table_since[i] <= format)
            continue;
        int rc = table_open(t, (enum table)i, true);
        if (rc != 0)
            return env_error(t->s, rc, "making a table", err);
    }
    if (format && format < table_since[TABLE_CERT_SUBJECT] && !cert_subject_fill(t, err))
        return false;
    if (format && format < FORMAT_WITH_COUNTS && !counts_make(t, err))
        return false;
    if (format && format < FORMAT_WITH_CRL_FILES && !crls_move_out(t, err))
        return false;
    if (format && format < table_since[TABLE_CHALLENGE_MADE] &&
        !(challenges_made_fill(t, err) && requests_made_fill(t, err)))
        return false;
    if (format && format < table_since[TABLE_LINK] && !audit_links_fill(t, err))
        return false;
    u64_octets(STORE_FORMAT, now);
    return txn_put(t, TABLE_META, PUT_REPLACE, key_view(&k), view_of(now, sizeof now), err);
}

/* Makes the tables of an empty store, or brings those of an older format to this one: whole, or not
 * at all.  Two processes may do this at once: the second finds everything there. */
static bool tables_make(struct store *s, struct err *err)
{
    struct txn t;
    if (!txn_write(s, &t, err))
        return false;
    uint64_t format;
    bool ok =
        tables_open(&t, &format, err) && (format == STORE_FORMAT || tables_add(&t, format, err));
    if (!ok) {
        txn_write_abort(&t);
        return false;
    }
    if (!txn_write_commit(&t, err))
        return false;
    if (format && format < STORE_FORMAT)
        log_event(s->log, LOG_LEVEL_NOTICE, "store.migrated", "%s: from format %llu to format %d",
                  s->path, (unsigned long long)format, STORE_FORMAT);
    return true;
}

/* What was asked for, or what an earlier growth has made of it. */
static int map_size_settle(MDB_env *env)
{
    MDB_envinfo asked, kept;
    int rc = mdb_env_info(env, &asked);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env, 0);
    if (rc == 0)
        rc = mdb_env_info(env, &kept);
    if (rc == 0 && kept.me_mapsize < asked.me_mapsize)
        rc = mdb_env_set_mapsize(env, asked.me_mapsize);
    return rc;
}

static int file_remember(struct store *s)
{
    int fd, rc = mdb_env_get_fd(s->env, &fd);
    struct stat st;
    if (rc != 0)
        return rc;
    if (fstat(fd, &st) != 0)
        return errno;
    s->file_device = st.st_dev;
    s->file_inode = st.st_ino;
    return 0;
}

static int env_start(struct store *s, uint64_t map_size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t size = map_size ? (map_size + page - 1) / page * page : MAP_DEFAULT;
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, size);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(s->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, TABLES_MAX);
    if (rc == 0) /* no NOSYNC, NOMETASYNC, WRITEMAP: durable means durable, and a full disk must be
                    no SIGBUS */
        rc = mdb_env_open(s->env, s->path, MDB_NOTLS, 0600);
    if (rc == 0)
        rc = file_remember(s);
    return rc == 0 ? map_size_settle(s->env) : rc;
}

bool env_in_place(struct store *s)
{
    char file[4096];
    struct stat st;
    snprintf(file, sizeof file, "%s/data.mdb", s->path);
    bool here = stat(file, &st) == 0 && st.st_dev == s->file_device && st.st_ino == s->file_inode;
    if (atomic_exchange(&s->gone, !here) == !here)
        return here;
    if (here)
        log_event(s->log, LOG_LEVEL_NOTICE, "store.back", "%s is the file that is open again",
                  file);
    else
        log_event(s->log, LOG_LEVEL_ERROR, "store.gone",
                  "%s was replaced, moved or removed while it is open here: nothing is answered "
                  "from it; put it back, or restart scepd to take what stands there now",
                  file);
    return here;
}

bool env_open(struct store *s, uint64_t map_size, bool create, struct err *err)
{
    s->map_size = map_size;
    if (!dir_reserve_lock(s->path, READERS_MAX, err))
        return false;
    int rc = env_start(s, map_size);
    if (rc != 0) {
        env_error(s, rc, "opening", err);
        if (rc == ENOMEM)
            err_prefix(err, "cannot map the store: choose a smaller map_size");
        env_close(s);
        return false;
    }
    uint64_t format;
    bool ok = env_free_dead_readers(s, err) && tables_find(s, &format, err);
    if (ok && format == 0 && !create)
        ok = err_set(err, ERR_NOT_FOUND, "store %s is empty", s->path);
    else if (ok && format < STORE_FORMAT)
        ok = tables_make(s, err);
    if (!ok)
        env_close(s);
    return ok;
}

/* ---- looking ---- */

/* The list of free pages is LMDB's table 0: each value is a count and as many page numbers. */
static int free_pages(struct txn *t, uint64_t *out)
{
    MDB_cursor *c;
    MDB_val k, v;
    uint64_t pages = 0;
    int rc = mdb_cursor_open(t->mdb, 0, &c);
    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        size_t n;
        if (v.mv_size < sizeof n)
            break;
        memcpy(&n, v.mv_data, sizeof n);
        if (n > v.mv_size / sizeof n - 1)
            break;
        pages += n;
    }
    mdb_cursor_close(c);
    *out = pages;
    return rc == 0 ? MDB_CORRUPTED : rc == MDB_NOTFOUND ? 0 : rc;
}

/* The way to the first and to the last entry of a table. */
static int ends_read(struct txn *t, enum table table)
{
    static const MDB_cursor_op ends[] = {MDB_FIRST, MDB_LAST};
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(t->mdb, t->s->dbi[table], &c);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < 2 && rc == 0; i++)
        rc = mdb_cursor_get(c, &k, &v, ends[i]);
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static bool look(struct txn *t, struct err *err)
{
    uint64_t format, unused;
    if (!tables_open(t, &format, err))
        return false;
    int rc = free_pages(t, &unused);
    for (int i = 0; i < TABLE_COUNT && rc == 0 && format; i++)
        if (table_since[i] <= format)
            rc = ends_read(t, (enum table)i);
    return rc == 0 || env_error(t->s, rc, "looking at it", err);
}

bool env_look(struct store *s, struct err *err)
{
    struct txn t;
    if (!dir_reserve_lock(s->path, READERS_MAX, err))
        return false;
    int rc = env_start(s, 0);
    bool ok = rc == 0 || env_error(s, rc, "opening", err);
    if (ok && (ok = txn_read(s, &t, err))) {
        ok = look(&t, err);
        txn_read_end(&t);
    }
    env_close(s);
    return ok;
}

void env_close(struct store *s)
{
    if (s->env)
        mdb_env_close(s->env);
    s->env = NULL;
}

/* The handles of the tables, by a transaction that does not lock the map. */
static int tables_again(struct store *s)
{
    struct txn t = {.s = s};
    struct err ignored = {0};
    uint64_t format;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t.mdb);
    if (rc != 0)
        return rc;
    if (tables_open(&t, &format, &ignored) && format == STORE_FORMAT)
        return mdb_txn_commit(t.mdb);
    mdb_txn_abort(t.mdb);
    return MDB_CORRUPTED;
}

int env_renew(struct store *s, unsigned seen)
{
    int rc = 0;
    pthread_rwlock_wrlock(&s->map_lock);
    bool other = s->renewed != seen; /* another thread was here first */
    if (!other) {
        env_close(s);
        rc = env_start(s, s->map_size);
        if (rc == 0)
            rc = tables_again(s);
        if (rc != 0)
            env_close(s);
        s->broken = rc != 0;
        s->renewed += rc == 0;
    }
    pthread_rwlock_unlock(&s->map_lock);
    if (!other && rc == 0)
        log_event(s->log, LOG_LEVEL_WARNING, "store.renewed",
                  "%s was opened anew after a commit that failed", s->path);
    return rc;
}

/* ---- copies ---- */

/* Beginning anew when another process has enlarged the map in between. */
#define COPY_TRIES 8

static int copy_once(struct store *s, int fd, unsigned flags)
{
    struct txn t;
    struct err ignored;
    if (!txn_read(s, &t, &ignored)) /* adopts the size of the map */
        return MDB_PANIC;
    txn_read_end(&t);
    pthread_rwlock_rdlock(&s->map_lock);
    int rc = s->broken ? MDB_PANIC : mdb_env_copyfd2(s->env, fd, flags);
    pthread_rwlock_unlock(&s->map_lock);
    return rc;
}

int env_copy(struct store *s, int fd)
{
    unsigned flags = MDB_CP_COMPACT;
    int rc = MDB_MAP_RESIZED;
    for (int i = 0; i < COPY_TRIES && (rc == MDB_MAP_RESIZED || rc == MDB_INCOMPATIBLE); i++) {
        if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0)
            return errno;
        if (rc == MDB_INCOMPATIBLE) /* pages that nobody refers to: a plain copy takes them along */
            flags = 0;
        rc = copy_once(s, fd, flags);
    }
    return rc;
}

#define COPY_FLAGS (MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS)

bool env_file_whole(const char *file, struct err *err)
{
    MDB_env *env = NULL;
    MDB_envinfo info = {.me_last_pgno = 0};
    MDB_stat stat_of = {.ms_psize = 0};
    struct stat st;
    int rc = mdb_env_create(&env);
    if (rc == 0)
        rc = mdb_env_open(env, file, COPY_FLAGS, 0600);
    if (rc == 0)
        rc = mdb_env_info(env, &info);
    if (rc == 0)
        rc = mdb_env_stat(env, &stat_of);
    mdb_env_close(env);
    if (rc != 0)
        return err_set(err, ERR_STORE, "%s is no copy of a store: %s", file, mdb_strerror(rc));
    if (stat(file, &st) != 0)
        return err_errno(err, "%s", file);
    uint64_t needed = (uint64_t)(info.me_last_pgno + 1) * stat_of.ms_psize;
    return (uint64_t)st.st_size >= needed ||
           err_set(err, ERR_DAMAGED, "%s is damaged: it has %llu octets and needs %llu", file,
                   (unsigned long long)st.st_size, (unsigned long long)needed);
}

bool env_open_copy(struct store *s, struct err *err)
{
    uint64_t format = 0;
    if (!env_file_whole(s->path, err))
        return false;
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, TABLES_MAX);
    if (rc == 0)
        rc = mdb_env_open(s->env, s->path, COPY_FLAGS, 0600);
    bool ok = (rc == 0 || env_error(s, rc, "opening", err)) && tables_find(s, &format, err);
    if (ok && format != STORE_FORMAT) /* cannot be brought up to date where nothing is written */
        ok = err_set(err, ERR_STORE, "%s has format %llu, not %d", s->path,
                     (unsigned long long)format, STORE_FORMAT);
    if (!ok)
        env_close(s);
    return ok;
}

/* ---- how full ---- */

bool env_usage(struct store *s, uint64_t *used, uint64_t *map, struct err *err)
{
    struct txn t;
    MDB_envinfo info;
    MDB_stat stat;
    uint64_t unused = 0;
    if (!txn_read(s, &t, err))
        return false;
    int rc = free_pages(&t, &unused);
    if (rc == 0)
        rc = mdb_env_info(s->env, &info);
    if (rc == 0)
        rc = mdb_env_stat(s->env, &stat);
    txn_read_end(&t);
    if (rc != 0)
        return env_error(s, rc, "asking for its size", err);
    *used = (info.me_last_pgno + 1 - unused) * stat.ms_psize;
    *map = info.me_mapsize;
    return true;
}
