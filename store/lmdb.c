/* Transactions, walks and the error mapping: see backend.h. */
#include "backend.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/memory.h"

/* A map that was too small grows by half, at least by this much, so that growth stays rare. */
#define GROW_MIN (UINT64_C(256) << 20)
/* What a write finds free when it begins, or half of a smaller map: more than any write needs but
 * those that rewrite the store (a migration), so that nobody has to write twice because the map is
 * to grow. */
#define WRITE_ROOM (UINT64_C(64) << 20)
/* Below this much free space an I/O error of a commit means a full disk: LMDB reports a short write
 * as EIO. */
#define DISK_FULL_BELOW (UINT64_C(1) << 20)
/* Beginning fails anew only if other processes enlarge the map each time in between. */
#define BEGIN_TRIES 8
/* What table_walk copies in one snapshot. */
#define PORTION_ENTRIES 128
#define PORTION_OCTETS (256u << 10)

static MDB_val val_of(struct view v)
{
    /* LMDB takes non-const pointers and does not write through them. */
    union {
        const void *in;
        void *out;
    } u = {.in = v.n ? (const void *)v.p : ""};
    return (MDB_val){v.n, u.out};
}

static struct view view_of_val(MDB_val v)
{
    return view_of(v.mv_data, v.mv_size);
}

/* ---- errors ---- */

bool env_disk_free(const struct store *s, uint64_t *out, struct err *err)
{
    struct statvfs fs;
    if (statvfs(s->path, &fs) != 0)
        return err_errno(err, "store %s: statvfs", s->path);
    *out = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

static bool disk_is_full(const struct store *s)
{
    uint64_t left;
    struct err ignored;
    return env_disk_free(s, &left, &ignored) && left < DISK_FULL_BELOW;
}

static enum err_kind kind_of(const struct store *s, int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EIO:
        return disk_is_full(s) ? ERR_FULL : ERR_IO;
    case EACCES:
    case EPERM:
    case EROFS:
    case MDB_PANIC: /* of which the commit that failed has told */
        return ERR_IO;
    case ENOMEM:
        return ERR_MEMORY;
    case MDB_READERS_FULL:
        return ERR_BUSY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return ERR_DAMAGED;
    default:
        return ERR_STORE;
    }
}

bool env_error(const struct store *s, int rc, const char *doing, struct err *err)
{
    enum err_kind kind = kind_of(s, rc);
    if (kind == ERR_MEMORY)
        memory_missed(); /* of LMDB's own allocations nobody else tells */
    if (rc == MDB_PANIC)
        return err_set(err, kind,
                       "store %s: %s: a commit failed and the store cannot be opened anew", s->path,
                       doing);
    if (kind == ERR_FULL && rc != MDB_MAP_FULL)
        return err_set(err, kind, "store %s: %s: the disk is full", s->path, doing);
    return err_set(err, kind, "store %s: %s: %s", s->path, doing, mdb_strerror(rc));
}

bool env_free_dead_readers(struct store *s, struct err *err)
{
    int dead = 0;
    pthread_rwlock_rdlock(&s->map_lock);
    int rc = s->broken ? MDB_PANIC : mdb_reader_check(s->env, &dead);
    pthread_rwlock_unlock(&s->map_lock);
    if (rc != 0)
        return env_error(s, rc, "checking readers", err);
    if (dead > 0)
        log_event(s->log, LOG_LEVEL_NOTICE, "store.readers",
                  "freed %d slots of processes that died", dead);
    return true;
}

struct reader_list {
    struct store_reader *out;
    size_t cap, n;
    uint64_t newest;
};

/* LMDB tells of its readers in lines of text only: process, thread in hex, transaction or "-"; the
 * first is a heading. */
static int reader_line(const char *line, void *ctx)
{
    struct reader_list *l = ctx;
    struct store_reader r;
    unsigned long long thread, snapshot;
    if (sscanf(line, "%d %llx %llu", &r.pid, &thread, &snapshot) != 3 || snapshot >= l->newest ||
        l->n == l->cap)
        return 0;
    r.thread = thread;
    r.snapshot = snapshot;
    l->out[l->n++] = r;
    return 0;
}

bool env_readers(struct store *s, struct store_reader *out, size_t cap, size_t *n, struct err *err)
{
    MDB_envinfo info;
    pthread_rwlock_rdlock(&s->map_lock);
    int rc = mdb_env_info(s->env, &info);
    struct reader_list l = {.out = out, .cap = cap, .newest = info.me_last_txnid};
    if (rc == 0) {
        int told = mdb_reader_list(s->env, reader_line, &l);
        rc = told < 0 ? EINVAL : 0;
    }
    pthread_rwlock_unlock(&s->map_lock);
    *n = l.n;
    return rc == 0 || env_error(s, rc, "listing readers", err);
}

/* ---- the size of the map ---- */

/* Another process enlarged the map: adopt its size. */
static int map_adopt(struct store *s)
{
    pthread_rwlock_wrlock(&s->map_lock);
    int rc = s->broken ? MDB_PANIC : mdb_env_set_mapsize(s->env, 0);
    if (rc != 0)
        s->broken = true;
    pthread_rwlock_unlock(&s->map_lock);
    return rc;
}

/* LMDB unmaps before it maps anew, and cannot go back when that fails: try the address space first.
 */
static bool address_space_for(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p != MAP_FAILED && munmap(p, size) == 0;
}

static void tell_growth(const struct store *s, uint64_t old, uint64_t grown, int rc)
{
    struct log_line l;
    log_begin(&l, s->log, rc == 0 ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "store.grow");
    log_str(&l, "path", s->path);
    log_int(&l, "from", (int64_t)old);
    log_int(&l, "to", (int64_t)grown);
    if (rc == 0)
        log_end(&l, "the map was about to be full and has been enlarged");
    else
        log_end(&l, "the map is about to be full and cannot be enlarged: %s", mdb_strerror(rc));
}

/* By the writer of this process, while it has no transaction. */
static void map_grow(struct store *s)
{
    struct err ignored;
    env_free_dead_readers(s, &ignored);
    pthread_rwlock_wrlock(&s->map_lock);
    if (s->broken) { /* whoever begins next opens it anew, and finds the map full again */
        pthread_rwlock_unlock(&s->map_lock);
        return;
    }
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    uint64_t old = info.me_mapsize;
    uint64_t grown = old + (old / 2 > GROW_MIN ? old / 2 : GROW_MIN);
    grown -= grown % (uint64_t)sysconf(_SC_PAGESIZE);
    int rc = ENOMEM;
    if (address_space_for(grown)) {
        rc = mdb_env_set_mapsize(s->env, grown);
        s->broken = rc != 0;
    }
    s->stuck_at = rc == 0 ? 0 : old;
    pthread_rwlock_unlock(&s->map_lock);
    tell_growth(s, old, grown, rc);
}

/* Asked within a write, so that nobody else adds to it.  A map that could not be enlarged is not
 * tried again before it is really full. */
static bool map_is_narrow(struct store *s)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &stat) != 0)
        return false;
    uint64_t used = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
    uint64_t room = info.me_mapsize / 2 < WRITE_ROOM ? info.me_mapsize / 2 : WRITE_ROOM;
    return used + room > info.me_mapsize && s->stuck_at != info.me_mapsize;
}

/* ---- begin and end ---- */

static bool gone(const struct store *s, struct err *err)
{
    return err_set(err, ERR_GONE,
                   "store %s: its data.mdb was replaced, moved or removed while it is open",
                   s->path);
}

/* What is written to a file that stands at the path for a while is counted in the same lock.mdb,
 * and by that count LMDB would not take the last commit of this one for the last. */
static bool counted_elsewhere(const struct store *s, MDB_txn *t, unsigned flags)
{
    MDB_envinfo info;
    size_t last = mdb_txn_id(t) - (flags & MDB_RDONLY ? 0 : 1);
    return mdb_env_info(s->env, &info) == 0 && last > info.me_last_txnid;
}

/* With success the read side of map_lock stays held until the transaction ends. */
static bool begin(struct store *s, unsigned flags, MDB_txn **out, struct err *err)
{
    if (getpid() != s->pid)
        return err_set(err, ERR_STORE,
                       "store %s: opened by process %d and used by %d: open it after the fork",
                       s->path, (int)s->pid, (int)getpid());
    if (s->gone)
        return gone(s, err);
    int rc = 0;
    for (int i = 0; i < BEGIN_TRIES; i++) {
        pthread_rwlock_rdlock(&s->map_lock);
        unsigned renewed = s->renewed;
        rc = s->broken ? MDB_PANIC : mdb_txn_begin(s->env, NULL, flags, out);
        if (rc == 0 && !counted_elsewhere(s, *out, flags))
            return true;
        if (rc == 0) {
            mdb_txn_abort(*out);
            pthread_rwlock_unlock(&s->map_lock);
            return err_set(err, ERR_GONE,
                           "store %s: another data.mdb was written to while this one was away: "
                           "restart scepd while no scepctl is at work",
                           s->path);
        }
        if (rc == MDB_READERS_FULL && i == 0)
            rc = mdb_reader_check(s->env, NULL);
        pthread_rwlock_unlock(&s->map_lock);
        if (rc == MDB_MAP_RESIZED)
            rc = map_adopt(s);
        else if (rc == MDB_PANIC)
            rc = env_renew(s, renewed);
        if (rc != 0)
            break;
        rc = MDB_MAP_RESIZED;
    }
    return env_error(s, rc, "beginning a transaction", err);
}

bool txn_read(struct store *s, struct txn *out, struct err *err)
{
    *out = (struct txn){.s = s};
    return begin(s, MDB_RDONLY, &out->mdb, err);
}

void txn_read_end(struct txn *t)
{
    mdb_txn_abort(t->mdb);
    pthread_rwlock_unlock(&t->s->map_lock);
    t->mdb = NULL;
}

bool txn_write(struct store *s, struct txn *out, struct err *err)
{
    *out = (struct txn){.s = s};
    if (pthread_mutex_lock(&s->writer) != 0)
        return err_set(err, ERR_STORE, "store %s: this thread has a write open already", s->path);
    bool begun = begin(s, 0, &out->mdb, err);
    for (int i = 0; begun && i < BEGIN_TRIES && map_is_narrow(s); i++) {
        txn_read_end(out); /* without giving up the turn */
        map_grow(s);
        begun = begin(s, 0, &out->mdb, err);
    }
    if (!begun)
        pthread_mutex_unlock(&s->writer);
    return begun;
}

static void write_end(struct txn *t)
{
    t->mdb = NULL;
    pthread_rwlock_unlock(&t->s->map_lock);
    if (t->map_full)
        map_grow(t->s);
    pthread_mutex_unlock(&t->s->writer);
}

bool txn_write_commit(struct txn *t, struct err *err)
{
    uint64_t generation;
    struct key k = meta_generation();
    if (!txn_usable(t, err) ||
        (t->changed && !txn_counter_next(t, key_view(&k), &generation, err))) {
        txn_write_abort(t);
        return false;
    }
    if (t->changed && !env_in_place(t->s)) {
        txn_write_abort(t);
        return gone(t->s, err);
    }
    int rc = mdb_txn_commit(t->mdb);
    bool done = rc == 0 || env_error(t->s, rc, "commit", err);
    if (done && t->changed && !env_in_place(t->s)) /* who is told of it would not find it again */
        done = gone(t->s, err);
    t->map_full = rc == MDB_MAP_FULL;
    write_end(t);
    return done;
}

void txn_write_abort(struct txn *t)
{
    mdb_txn_abort(t->mdb);
    write_end(t);
}

bool txn_usable(const struct txn *t, struct err *err)
{
    if (t->failed)
        *err = t->reason;
    return !t->failed;
}

bool txn_spoil(struct txn *t, const struct err *err)
{
    t->failed = true;
    t->reason = *err;
    return false;
}

static bool change_failed(struct txn *t, int rc, const char *doing, struct err *err)
{
    env_error(t->s, rc, doing, err);
    t->map_full = rc == MDB_MAP_FULL;
    return txn_spoil(t, err);
}

/* ---- single entries ---- */

bool txn_get(struct txn *t, enum table table, struct view key, struct view *out, struct err *err)
{
    *out = view_of(NULL, 0);
    if (key.n == 0 || key.n > KEY_MAX) /* asked for by somebody; nothing has such a key */
        return true;
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->mdb, t->s->dbi[table], &k, &v);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return env_error(t->s, rc, "reading", err);
    if (rc == 0)
        *out = view_of_val(v);
    return true;
}

bool txn_put(struct txn *t, enum table table, enum put_mode mode, struct view key,
             struct view value, struct err *err)
{
    static const unsigned flags[] = {
        [PUT_REPLACE] = 0,
        [PUT_NEW] = MDB_NOOVERWRITE,
        [PUT_LAST] = MDB_APPEND,
    };
    if (!txn_usable(t, err))
        return false;
    MDB_val k = val_of(key), v = val_of(value);
    t->changed = true;
    int rc = mdb_put(t->mdb, t->s->dbi[table], &k, &v, flags[mode]);
    return rc == 0 || change_failed(t, rc, "writing", err);
}

bool txn_del(struct txn *t, enum table table, struct view key, struct err *err)
{
    if (!txn_usable(t, err))
        return false;
    MDB_val k = val_of(key);
    t->changed = true;
    int rc = mdb_del(t->mdb, t->s->dbi[table], &k, NULL);
    return rc == 0 || change_failed(t, rc, "deleting", err);
}

bool txn_count(struct txn *t, enum table table, uint64_t *out, struct err *err)
{
    MDB_stat stat;
    int rc = mdb_stat(t->mdb, t->s->dbi[table], &stat);
    if (rc != 0)
        return env_error(t->s, rc, "counting", err);
    *out = stat.ms_entries;
    return true;
}

bool txn_counter(struct txn *t, struct view key, uint64_t *out, struct err *err)
{
    struct view v;
    if (!txn_get(t, TABLE_META, key, &v, err))
        return false;
    if (v.p && v.n != 8)
        return err_set(err, ERR_STORE, "store %s: a counter has %zu octets instead of 8",
                       t->s->path, v.n);
    *out = v.p ? octets_u64(v.p) : 0;
    return true;
}

bool txn_counter_set(struct txn *t, struct view key, uint64_t n, struct err *err)
{
    uint8_t b[8];
    u64_octets(n, b);
    return txn_put(t, TABLE_META, PUT_REPLACE, key, view_of(b, sizeof b), err);
}

bool txn_counter_next(struct txn *t, struct view key, uint64_t *out, struct err *err)
{
    uint64_t n;
    if (!txn_counter(t, key, &n, err))
        return txn_spoil(t, err);
    if (!txn_counter_set(t, key, n + 1, err))
        return false;
    *out = n + 1;
    return true;
}

bool txn_counter_less(struct txn *t, struct view key, struct err *err)
{
    uint64_t n;
    if (!txn_counter(t, key, &n, err))
        return txn_spoil(t, err);
    if (n == 0) {
        err_set(err, ERR_STORE, "store %s: a counter would fall below 0", t->s->path);
        return txn_spoil(t, err);
    }
    return txn_counter_set(t, key, n - 1, err);
}

/* ---- walks ---- */

static int cursor_start(MDB_cursor *c, struct view at, MDB_val *k, MDB_val *v)
{
    *k = val_of(at);
    return mdb_cursor_get(c, k, v, at.n ? MDB_SET_RANGE : MDB_FIRST);
}

bool txn_last_key(struct txn *t, enum table table, struct view *key, struct err *err)
{
    MDB_cursor *c;
    int rc = mdb_cursor_open(t->mdb, t->s->dbi[table], &c);
    if (rc != 0)
        return env_error(t->s, rc, "opening a cursor", err);
    MDB_val k, v;
    rc = mdb_cursor_get(c, &k, &v, MDB_LAST);
    mdb_cursor_close(c);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return env_error(t->s, rc, "reading the last entry", err);
    *key = rc == 0 ? view_of_val(k) : view_of(NULL, 0);
    return true;
}

/* From the first key >= `from` while keys begin with `prefix`. */
static bool walk(struct txn *t, enum table table, struct view from, struct view prefix, walk_fn fn,
                 void *ctx, struct err *err)
{
    MDB_cursor *c;
    int rc = mdb_cursor_open(t->mdb, t->s->dbi[table], &c);
    if (rc != 0)
        return env_error(t->s, rc, "opening a cursor", err);
    MDB_val k, v;
    bool stop = false, ok = true;
    rc = cursor_start(c, from, &k, &v);
    while (rc == 0 && ok && !stop) {
        struct view key = view_of_val(k);
        if (key.n < prefix.n || (prefix.n && memcmp(key.p, prefix.p, prefix.n) != 0))
            break;
        ok = fn(ctx, key, view_of_val(v), &stop, err);
        if (ok && !stop)
            rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (ok && rc != 0 && rc != MDB_NOTFOUND)
        return env_error(t->s, rc, "walking", err);
    return ok;
}

bool txn_walk(struct txn *t, enum table table, struct view prefix, walk_fn fn, void *ctx,
              struct err *err)
{
    return walk(t, table, prefix, prefix, fn, ctx, err);
}

/* The last key that begins with `prefix` and is below `at` (empty: any). */
static int cursor_below(MDB_cursor *c, struct view prefix, struct view at, MDB_val *k, MDB_val *v)
{
    struct key end = {.n = 0};
    if (at.n == 0) { /* the first key behind all with the prefix */
        key_bytes(&end, prefix.p, prefix.n);
        while (end.n && ++end.p[end.n - 1] == 0)
            end.n--;
        at = key_view(&end);
    }
    int rc = at.n ? cursor_start(c, at, k, v) : MDB_NOTFOUND;
    if (rc == 0)
        return mdb_cursor_get(c, k, v, MDB_PREV);
    return rc == MDB_NOTFOUND ? mdb_cursor_get(c, k, v, MDB_LAST) : rc;
}

/* The first key that begins with `prefix` and is above `at`. */
static int cursor_above(MDB_cursor *c, struct view prefix, struct view at, MDB_val *k, MDB_val *v)
{
    int rc = cursor_start(c, at.n ? at : prefix, k, v);
    if (rc == 0 && at.n && view_eq(view_of_val(*k), at))
        rc = mdb_cursor_get(c, k, v, MDB_NEXT);
    return rc;
}

bool txn_walk_on(struct txn *t, enum table table, struct view prefix, struct view at, bool down,
                 walk_fn fn, void *ctx, struct err *err)
{
    MDB_cursor *c;
    int rc = mdb_cursor_open(t->mdb, t->s->dbi[table], &c);
    if (rc != 0)
        return env_error(t->s, rc, "opening a cursor", err);
    MDB_val k, v;
    bool stop = false, ok = true;
    rc = down ? cursor_below(c, prefix, at, &k, &v) : cursor_above(c, prefix, at, &k, &v);
    while (rc == 0 && ok && !stop) {
        struct view key = view_of_val(k);
        if (key.n < prefix.n || (prefix.n && memcmp(key.p, prefix.p, prefix.n) != 0))
            break;
        ok = fn(ctx, key, view_of_val(v), &stop, err);
        if (ok && !stop)
            rc = mdb_cursor_get(c, &k, &v, down ? MDB_PREV : MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (ok && rc != 0 && rc != MDB_NOTFOUND)
        return env_error(t->s, rc, "walking", err);
    return ok;
}

bool txn_walk_from(struct txn *t, enum table table, struct view from, walk_fn fn, void *ctx,
                   struct err *err)
{
    return walk(t, table, from, view_of(NULL, 0), fn, ctx, err);
}

/* Copies of entries, one after the other: struct portion_head, key, value. */
struct portion {
    struct buf data;
    size_t entries;
};

struct portion_head {
    size_t key_n, value_n;
};

static bool portion_add(struct portion *p, struct view key, struct view value)
{
    struct portion_head h = {key.n, value.n};
    p->entries++;
    return buf_append(&p->data, &h, sizeof h) && buf_append(&p->data, key.p, key.n) &&
           buf_append(&p->data, value.p, value.n);
}

static bool portion_full(const struct portion *p)
{
    return p->entries == PORTION_ENTRIES || p->data.n >= PORTION_OCTETS;
}

/* The cursor's first entry for a walk: see table_walk. */
static int portion_start(MDB_cursor *c, struct view from, bool down, MDB_val *k, MDB_val *v)
{
    if (!down)
        return cursor_start(c, from, k, v);
    int rc = MDB_NOTFOUND;
    if (from.n) {
        rc = cursor_start(c, from, k, v);
        if (rc == 0)
            return mdb_cursor_get(c, k, v, MDB_PREV);
    }
    return rc == MDB_NOTFOUND ? mdb_cursor_get(c, k, v, MDB_LAST) : rc;
}

static bool portion_read(struct store *s, enum table table, struct view from, bool down,
                         struct portion *p, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    MDB_cursor *c = NULL;
    MDB_val k, v;
    bool memory = true;
    int rc = mdb_cursor_open(t.mdb, s->dbi[table], &c);
    if (rc == 0)
        rc = portion_start(c, from, down, &k, &v);
    while (rc == 0 && !portion_full(p) && (memory = portion_add(p, view_of_val(k), view_of_val(v))))
        rc = mdb_cursor_get(c, &k, &v, down ? MDB_PREV : MDB_NEXT);
    if (c)
        mdb_cursor_close(c);
    txn_read_end(&t);
    if (!memory)
        return err_memory(err);
    return rc == 0 || rc == MDB_NOTFOUND || env_error(s, rc, "listing", err);
}

/* `last` gets the key of the last entry. */
static bool portion_give(const struct portion *p, walk_fn fn, void *ctx, struct key *last,
                         bool *stop, struct err *err)
{
    const uint8_t *at = p->data.p;
    for (size_t i = 0; i < p->entries && !*stop; i++) {
        struct portion_head h;
        memcpy(&h, at, sizeof h);
        struct view key = view_of(at + sizeof h, h.key_n);
        at += sizeof h + h.key_n + h.value_n;
        if (!fn(ctx, key, view_of(key.p + key.n, h.value_n), stop, err))
            return false;
        *last = (struct key){.n = 0};
        key_bytes(last, key.p, key.n);
    }
    return true;
}

bool table_walk(struct store *s, enum table table, struct view from, bool down, walk_fn fn,
                void *ctx, struct err *err)
{
    struct portion p = {0};
    struct key next = {.n = 0};
    bool ok = true, stop = false, more = true;
    key_bytes(&next, from.p, from.n);
    while (ok && more && !stop) {
        buf_reset(&p.data);
        p.entries = 0;
        ok = portion_read(s, table, key_view(&next), down, &p, err) &&
             portion_give(&p, fn, ctx, &next, &stop, err);
        more = portion_full(&p);
        if (!down)
            key_bytes(&next, "", 1); /* the very next key in order */
    }
    buf_clear(&p.data);
    return ok;
}
