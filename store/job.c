/* Jobs: a record each, and the names of its items in portions, so that one who runs it reads no
 * more than it needs. */
#include "store/job.h"

#include "records.h"

#define JOB_VERSION 1
#define PORTION 500 /* items in one record */
#define PURGE_MAX 100

static const char what[] = "job";

/* ---- records ---- */

static bool job_write(const struct store_job *j, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, JOB_VERSION);
    write_text(&w, j->id, sizeof j->id);
    write_u8(&w, (uint8_t)j->state);
    write_text(&w, j->action, sizeof j->action);
    write_text(&w, j->parameters, sizeof j->parameters);
    write_u64(&w, j->total);
    write_u64(&w, j->done);
    write_u64(&w, j->failed);
    write_text(&w, j->failure, sizeof j->failure);
    write_i64(&w, j->created_at);
    write_i64(&w, j->changed_at);
    write_text(&w, j->created_by, sizeof j->created_by);
    write_text(&w, j->changed_by, sizeof j->changed_by);
    write_u64(&w, j->version);
    return record_written(&w, what, err);
}

bool job_read(struct view record, struct store_job *out, struct err *err)
{
    struct record_reader r;
    struct store_job j = {.id = ""};
    if (!record_open(&r, record, JOB_VERSION, what, err))
        return false;
    read_text(&r, j.id, sizeof j.id);
    uint8_t state = read_u8(&r);
    read_text(&r, j.action, sizeof j.action);
    read_text(&r, j.parameters, sizeof j.parameters);
    j.total = read_u64(&r);
    j.done = read_u64(&r);
    j.failed = read_u64(&r);
    read_text(&r, j.failure, sizeof j.failure);
    j.created_at = read_i64(&r);
    j.changed_at = read_i64(&r);
    read_text(&r, j.created_by, sizeof j.created_by);
    read_text(&r, j.changed_by, sizeof j.changed_by);
    j.version = read_u64(&r);
    if (!record_close(&r, what, err))
        return false;
    if (state > JOB_DONE || j.done > j.total || j.failed > j.done || j.total > STORE_JOB_ITEMS)
        return err_set(err, ERR_STORE, "the store has a job in no possible state");
    j.state = (enum job_state)state;
    *out = j;
    return true;
}

static bool job_save(struct txn *t, const struct store_job *j, enum put_mode mode, struct err *err)
{
    struct buf record = {0};
    bool ok = job_write(j, &record, err) &&
              txn_put(t, TABLE_JOB, mode, view_str(j->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

/* ---- items ---- */

struct key job_items_key(const char *id, uint64_t portion)
{
    struct key k = {.n = 0};
    key_bytes(&k, id, strlen(id) + 1);
    key_u32(&k, (uint32_t)portion);
    return k;
}

/* Octets of the next `n` names; 0: they are not there. */
static size_t names_size(struct view names, uint64_t n)
{
    size_t at = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *end = at < names.n ? memchr(names.p + at, 0, names.n - at) : NULL;
        if (!end || end == names.p + at || (size_t)(end - names.p) - at >= STORE_JOB_ITEM)
            return 0;
        at = (size_t)(end - names.p) + 1;
    }
    return at;
}

static bool items_put(struct txn *t, const struct store_job *j, struct view items, struct err *err)
{
    for (uint64_t i = 0; i < j->total; i += PORTION) {
        uint64_t n = j->total - i < PORTION ? j->total - i : PORTION;
        size_t size = names_size(items, n);
        struct key k = job_items_key(j->id, i / PORTION);
        if (!txn_put(t, TABLE_JOB_ITEMS, PUT_NEW, key_view(&k), view_of(items.p, size), err))
            return false;
        items = view_of(items.p + size, items.n - size);
    }
    return true;
}

bool store_job_put(struct store_write *w, const struct store_job *j, struct view items,
                   struct err *err)
{
    struct txn *t = &w->txn;
    struct view old;
    if (!txn_usable(t, err))
        return false;
    if (!j->id[0] || j->total == 0 || j->total > STORE_JOB_ITEMS ||
        names_size(items, j->total) != items.n)
        return err_set(err, ERR_STORE, "a job needs an id and 1 to %d items with names",
                       STORE_JOB_ITEMS);
    if (!txn_get(t, TABLE_JOB, view_str(j->id), &old, err))
        return false;
    if (old.p)
        return err_set(err, ERR_EXISTS, "there is a job %s already", j->id);
    return job_save(t, j, PUT_NEW, err) && items_put(t, j, items, err);
}

/* How many of a portion are read. */
static bool portion_read(struct view record, uint64_t skip, char (*out)[STORE_JOB_ITEM], size_t cap,
                         size_t *n, struct err *err)
{
    size_t at = names_size(record, skip);
    if (skip && !at)
        return err_set(err, ERR_STORE, "the store has a job without its items");
    while (*n < cap && at < record.n) {
        size_t size = names_size(view_of(record.p + at, record.n - at), 1);
        if (!size)
            return err_set(err, ERR_STORE, "the store has a job with a damaged item");
        memcpy(out[(*n)++], record.p + at, size);
        at += size;
    }
    return true;
}

bool store_job_items(struct store *s, const char *id, uint64_t from, char (*out)[STORE_JOB_ITEM],
                     size_t cap, size_t *n, struct err *err)
{
    struct txn t;
    bool ok = true, more = true;
    *n = 0;
    if (!txn_read(s, &t, err))
        return false;
    while (ok && more && *n < cap) {
        uint64_t at = from + *n;
        struct key k = job_items_key(id, at / PORTION);
        struct view record;
        size_t had = *n;
        ok = txn_get(&t, TABLE_JOB_ITEMS, key_view(&k), &record, err) &&
             (!record.p || portion_read(record, at % PORTION, out, cap, n, err));
        more = *n > had;
    }
    txn_read_end(&t);
    return ok;
}

/* ---- reading and changing ---- */

static bool load(struct txn *t, const char *id, struct store_job *out, struct err *err)
{
    struct view record;
    return id_find(t, TABLE_JOB, id, what, &record, err) && job_read(record, out, err);
}

bool store_job_get(struct store *s, const char *id, struct store_job *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = load(&t, id, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_job_get(struct store_write *w, const char *id, struct store_job *out,
                         struct err *err)
{
    return txn_usable(&w->txn, err) && load(&w->txn, id, out, err);
}

bool store_job_replace(struct store_write *w, const struct store_job *j, enum job_state expected,
                       struct err *err)
{
    struct store_job old, new;
    if (!txn_usable(&w->txn, err) || !load(&w->txn, j->id, &old, err))
        return false;
    if (old.state != expected)
        return err_set(err, ERR_CONFLICT, "job %s was changed meanwhile", old.id);
    new = *j;
    new.total = old.total;
    new.created_at = old.created_at;
    memcpy(new.id, old.id, sizeof new.id);
    memcpy(new.action, old.action, sizeof new.action);
    memcpy(new.parameters, old.parameters, sizeof new.parameters);
    memcpy(new.created_by, old.created_by, sizeof new.created_by);
    return job_save(&w->txn, &new, PUT_REPLACE, err);
}

/* ---- listing, forgetting ---- */

struct listing {
    bool (*each)(void *ctx, const struct store_job *job);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_job j;
    if (!job_read(value, &j, err))
        return false;
    *stop = !l->each(l->ctx, &j);
    return true;
}

bool store_job_list(struct store *s, bool (*each)(void *ctx, const struct store_job *job),
                    void *ctx, struct err *err)
{
    struct listing l = {each, ctx};
    return table_walk(s, TABLE_JOB, view_of(NULL, 0), false, list_entry, &l, err);
}

struct purge {
    int64_t before;
    struct store_job job[PURGE_MAX];
    size_t n;
};

static bool purge_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct purge *p = ctx;
    struct store_job j;
    if (!job_read(value, &j, err))
        return false;
    if (j.state != JOB_RUNNING && j.changed_at < p->before)
        p->job[p->n++] = j;
    *stop = p->n == PURGE_MAX;
    return true;
}

static bool job_forget(struct txn *t, const struct store_job *j, struct err *err)
{
    for (uint64_t i = 0; i < j->total; i += PORTION) {
        struct key k = job_items_key(j->id, i / PORTION);
        if (!txn_del(t, TABLE_JOB_ITEMS, key_view(&k), err))
            return false;
    }
    return txn_del(t, TABLE_JOB, view_str(j->id), err);
}

bool store_job_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err)
{
    struct purge *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    p->before = before;
    bool ok = txn_usable(&w->txn, err) &&
              txn_walk(&w->txn, TABLE_JOB, view_of(NULL, 0), purge_entry, p, err);
    for (size_t i = 0; ok && i < p->n; i++)
        ok = job_forget(&w->txn, &p->job[i], err);
    if (ok)
        *purged = p->n;
    free(p);
    return ok;
}

/* ---- proving ---- */

/* *n: how many names a portion holds; false: it is damaged. */
bool job_portion_count(struct view record, uint64_t *n)
{
    size_t at = 0;
    *n = 0;
    while (at < record.n) {
        size_t size = names_size(view_of(record.p + at, record.n - at), 1);
        if (!size)
            return false;
        at += size;
        (*n)++;
    }
    return *n > 0 && *n <= PORTION;
}

uint64_t job_portions(const struct store_job *j)
{
    return (j->total + PORTION - 1) / PORTION;
}
