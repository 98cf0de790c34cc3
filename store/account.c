/* Administrators and their tokens: few records, each with what finds it. */
#include "store/account.h"

#include <ctype.h>

#include "records.h"

#define ADMIN_VERSION 1
#define TOKEN_VERSION 2 /* 1: without the one that made it */
/* Forgotten in one write, so that nobody waits long for it. */
#define PURGE_MAX 1000

/* ---- records ---- */

static bool admin_write(const struct store_admin *a, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, ADMIN_VERSION);
    write_text(&w, a->id, sizeof a->id);
    write_text(&w, a->name, sizeof a->name);
    write_u8(&w, (uint8_t)a->role);
    write_u8(&w, a->has_certificate);
    write_bytes(&w, a->certificate, STORE_HASH);
    write_u8(&w, a->disabled);
    write_i64(&w, a->created_at);
    write_i64(&w, a->changed_at);
    write_i64(&w, a->seen_at);
    write_text(&w, a->created_by, sizeof a->created_by);
    write_u64(&w, a->version);
    return record_written(&w, "administrator", err);
}

bool admin_read(struct view record, struct store_admin *out, struct err *err)
{
    struct record_reader r;
    struct store_admin a = {.id = ""};
    if (!record_open(&r, record, ADMIN_VERSION, "administrator", err))
        return false;
    read_text(&r, a.id, sizeof a.id);
    read_text(&r, a.name, sizeof a.name);
    uint8_t role = read_u8(&r);
    a.has_certificate = read_u8(&r) != 0;
    read_bytes(&r, a.certificate, STORE_HASH);
    a.disabled = read_u8(&r) != 0;
    a.created_at = read_i64(&r);
    a.changed_at = read_i64(&r);
    a.seen_at = read_i64(&r);
    read_text(&r, a.created_by, sizeof a.created_by);
    a.version = read_u64(&r);
    if (!record_close(&r, "administrator", err))
        return false;
    if (role < ROLE_AUDITOR || role > ROLE_ADMINISTRATOR)
        return err_set(err, ERR_STORE, "the store has an administrator in the unknown role %d",
                       role);
    a.role = (enum account_role)role;
    *out = a;
    return true;
}

static bool token_write(const struct store_token *k, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, TOKEN_VERSION);
    write_text(&w, k->id, sizeof k->id);
    write_u8(&w, (uint8_t)k->kind);
    write_bytes(&w, k->hash, STORE_HASH);
    write_text(&w, k->admin, sizeof k->admin);
    write_text(&w, k->label, sizeof k->label);
    write_i64(&w, k->created_at);
    write_i64(&w, k->expires_at);
    write_i64(&w, k->used_at);
    write_text(&w, k->used_from, sizeof k->used_from);
    write_text(&w, k->created_by, sizeof k->created_by);
    write_u64(&w, k->version);
    write_text(&w, k->parent, sizeof k->parent);
    return record_written(&w, "token", err);
}

bool token_read(struct view record, struct store_token *out, struct err *err)
{
    struct record_reader r;
    struct store_token k = {.id = ""};
    uint8_t version;
    if (!record_open_any(&r, record, TOKEN_VERSION, &version, "token", err))
        return false;
    read_text(&r, k.id, sizeof k.id);
    uint8_t kind = read_u8(&r);
    read_bytes(&r, k.hash, STORE_HASH);
    read_text(&r, k.admin, sizeof k.admin);
    read_text(&r, k.label, sizeof k.label);
    k.created_at = read_i64(&r);
    k.expires_at = read_i64(&r);
    k.used_at = read_i64(&r);
    read_text(&r, k.used_from, sizeof k.used_from);
    read_text(&r, k.created_by, sizeof k.created_by);
    k.version = read_u64(&r);
    if (version > 1)
        read_text(&r, k.parent, sizeof k.parent);
    if (!record_close(&r, "token", err))
        return false;
    if (kind < TOKEN_API || kind > TOKEN_SESSION)
        return err_set(err, ERR_STORE, "the store has a token of the unknown kind %d", kind);
    k.kind = (enum token_kind)kind;
    *out = k;
    return true;
}

/* ---- keys ---- */

/* ASCII only: so are the names. */
struct key admin_name_key(const char *name)
{
    struct key k = {.n = 0};
    key_bytes(&k, "n", 1);
    for (; *name; name++) {
        char c = (char)tolower((unsigned char)*name);
        key_bytes(&k, &c, 1);
    }
    return k;
}

struct key admin_certificate_key(const uint8_t sha256[STORE_HASH])
{
    struct key k = {.n = 0};
    key_bytes(&k, "c", 1);
    key_bytes(&k, sha256, STORE_HASH);
    return k;
}

/* "after": whatever stands behind this id. */
static struct key behind(const char *after)
{
    struct key k = {.n = 0};
    if (*after)
        key_bytes(&k, after, strnlen(after, KEY_MAX - 1) + 1); /* with its NUL */
    return k;
}

/* ---- administrators ---- */

static bool admin_load(struct txn *t, const char *id, struct store_admin *out, struct err *err)
{
    struct view record;
    if (!*id || strlen(id) > KEY_MAX || !txn_get(t, TABLE_ADMIN, view_str(id), &record, err))
        return *id && strlen(id) <= KEY_MAX
                   ? false
                   : err_set(err, ERR_NOT_FOUND, "there is no such administrator");
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no administrator %.64s", id);
    return admin_read(record, out, err);
}

/* Sets *id to "" when the index has nothing. */
static bool index_find(struct txn *t, struct key k, char id[32], struct err *err)
{
    struct view value;
    if (!txn_get(t, TABLE_ADMIN_INDEX, key_view(&k), &value, err))
        return false;
    id[0] = '\0';
    if (!value.p)
        return true;
    if (value.n >= 32)
        return err_set(err, ERR_STORE, "the store has a damaged index of administrators");
    memcpy(id, value.p, value.n);
    id[value.n] = '\0';
    return true;
}

/* An id before a name: whoever is called like another's id must not be taken for him. */
static bool admin_find(struct txn *t, const char *id_or_name, struct store_admin *out,
                       struct err *err)
{
    char id[32];
    struct view record;
    if (!*id_or_name || strlen(id_or_name) >= sizeof out->name)
        return err_set(err, ERR_NOT_FOUND, "there is no such administrator");
    if (!txn_get(t, TABLE_ADMIN, view_str(id_or_name), &record, err))
        return false;
    if (record.p)
        return admin_read(record, out, err);
    if (!index_find(t, admin_name_key(id_or_name), id, err))
        return false;
    if (*id)
        return admin_load(t, id, out, err);
    return id_find(t, TABLE_ADMIN, id_or_name, "administrator", &record, err) &&
           admin_read(record, out, err);
}

bool store_admin_get(struct store *s, const char *id_or_name, struct store_admin *out,
                     struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = admin_find(&t, id_or_name, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_admin_get(struct store_write *w, const char *id_or_name, struct store_admin *out,
                           struct err *err)
{
    return txn_usable(&w->txn, err) && admin_find(&w->txn, id_or_name, out, err);
}

bool store_admin_by_certificate(struct store *s, const uint8_t sha256[STORE_HASH],
                                struct store_admin *out, struct err *err)
{
    struct txn t;
    char id[32];
    if (!txn_read(s, &t, err))
        return false;
    bool ok = index_find(&t, admin_certificate_key(sha256), id, err);
    if (ok && !*id)
        ok = err_set(err, ERR_NOT_FOUND, "no administrator signs in with this certificate");
    else if (ok)
        ok = admin_load(&t, id, out, err);
    txn_read_end(&t);
    return ok;
}

/* Is what must be unique nobody's but that of `a`? */
static bool admin_unique(struct txn *t, const struct store_admin *a, struct err *err)
{
    char other[32];
    if (!index_find(t, admin_name_key(a->name), other, err))
        return false;
    if (*other && strcmp(other, a->id) != 0)
        return err_set(err, ERR_EXISTS, "there is an administrator %s already", a->name);
    if (!a->has_certificate)
        return true;
    if (!index_find(t, admin_certificate_key(a->certificate), other, err))
        return false;
    return !*other || strcmp(other, a->id) == 0 ||
           err_set(err, ERR_EXISTS, "another administrator signs in with this certificate");
}

static bool admin_fits(const struct store_admin *a, struct err *err)
{
    if (!a->id[0] || strnlen(a->id, sizeof a->id) == sizeof a->id || !a->name[0] ||
        strnlen(a->name, sizeof a->name) == sizeof a->name)
        return err_set(err, ERR_STORE, "an administrator needs an id and a name");
    return true;
}

static bool admin_save(struct txn *t, const struct store_admin *a, enum put_mode mode,
                       struct err *err)
{
    struct buf record = {0};
    bool ok = admin_write(a, &record, err) &&
              txn_put(t, TABLE_ADMIN, mode, view_str(a->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

static bool index_put(struct txn *t, const struct store_admin *a, struct err *err)
{
    struct key name = admin_name_key(a->name), cert = admin_certificate_key(a->certificate);
    return txn_put(t, TABLE_ADMIN_INDEX, PUT_NEW, key_view(&name), view_str(a->id), err) &&
           (!a->has_certificate ||
            txn_put(t, TABLE_ADMIN_INDEX, PUT_NEW, key_view(&cert), view_str(a->id), err));
}

static bool index_del(struct txn *t, const struct store_admin *a, struct err *err)
{
    struct key name = admin_name_key(a->name), cert = admin_certificate_key(a->certificate);
    return txn_del(t, TABLE_ADMIN_INDEX, key_view(&name), err) &&
           (!a->has_certificate || txn_del(t, TABLE_ADMIN_INDEX, key_view(&cert), err));
}

bool store_admin_put(struct store_write *w, const struct store_admin *a, struct err *err)
{
    struct txn *t = &w->txn;
    struct view there;
    if (!txn_usable(t, err) || !admin_fits(a, err) ||
        !txn_get(t, TABLE_ADMIN, view_str(a->id), &there, err))
        return false;
    if (there.p)
        return err_set(err, ERR_EXISTS, "there is an administrator %s already", a->id);
    return admin_unique(t, a, err) && admin_save(t, a, PUT_NEW, err) && index_put(t, a, err);
}

static bool admin_expected(struct txn *t, const char *id, uint64_t expected,
                           struct store_admin *out, struct err *err)
{
    if (!admin_load(t, id, out, err))
        return false;
    return out->version == expected ||
           err_set(err, ERR_CONFLICT, "administrator %s was changed meanwhile: it has version %llu",
                   out->name, (unsigned long long)out->version);
}

bool store_admin_replace(struct store_write *w, const struct store_admin *a, uint64_t expected,
                         struct err *err)
{
    struct txn *t = &w->txn;
    struct store_admin old;
    return txn_usable(t, err) && admin_fits(a, err) &&
           admin_expected(t, a->id, expected, &old, err) && admin_unique(t, a, err) &&
           index_del(t, &old, err) && admin_save(t, a, PUT_REPLACE, err) && index_put(t, a, err);
}

bool store_admin_seen(struct store_write *w, const char *id, int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_admin a;
    if (!txn_usable(t, err) || !admin_load(t, id, &a, err))
        return false;
    a.seen_at = at;
    return admin_save(t, &a, PUT_REPLACE, err);
}

struct admin_listing {
    bool (*each)(void *ctx, const struct store_admin *a);
    void *ctx;
};

static bool admin_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct admin_listing *l = ctx;
    struct store_admin a;
    if (!admin_read(value, &a, err))
        return false;
    *stop = !l->each(l->ctx, &a);
    return true;
}

bool store_admin_list(struct store *s, const char *after,
                      bool (*each)(void *ctx, const struct store_admin *a), void *ctx,
                      struct err *err)
{
    struct admin_listing l = {each, ctx};
    struct key from = behind(after);
    return table_walk(s, TABLE_ADMIN, key_view(&from), false, admin_entry, &l, err);
}

struct admin_count {
    enum account_role least;
    uint64_t n;
};

static bool count_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct admin_count *c = ctx;
    struct store_admin a;
    if (!admin_read(value, &a, err))
        return false;
    c->n += !a.disabled && a.role >= c->least;
    return true;
}

bool store_write_admin_count(struct store_write *w, enum account_role least, uint64_t *out,
                             struct err *err)
{
    struct admin_count c = {least, 0};
    if (!txn_usable(&w->txn, err) ||
        !txn_walk(&w->txn, TABLE_ADMIN, view_of(NULL, 0), count_entry, &c, err))
        return false;
    *out = c.n;
    return true;
}

/* ---- tokens ---- */

struct key token_end_key(const struct store_token *k)
{
    struct key key = {.n = 0};
    key_time(&key, k->expires_at);
    key_bytes(&key, k->id, strnlen(k->id, sizeof k->id));
    return key;
}

static bool token_load(struct txn *t, const char *id, struct store_token *out, struct err *err)
{
    struct view record;
    if (!*id || strlen(id) > KEY_MAX)
        return err_set(err, ERR_NOT_FOUND, "there is no such token");
    if (!txn_get(t, TABLE_TOKEN, view_str(id), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no token %.40s", id);
    return token_read(record, out, err);
}

static bool token_save(struct txn *t, const struct store_token *k, enum put_mode mode,
                       struct err *err)
{
    struct buf record = {0};
    bool ok = token_write(k, &record, err) &&
              txn_put(t, TABLE_TOKEN, mode, view_str(k->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

bool store_token_put(struct store_write *w, const struct store_token *k, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_admin owner;
    struct view there;
    struct key end = token_end_key(k);
    if (!txn_usable(t, err) || !admin_load(t, k->admin, &owner, err))
        return false;
    if (!k->id[0] || !txn_get(t, TABLE_TOKEN, view_str(k->id), &there, err))
        return k->id[0] ? false : err_set(err, ERR_STORE, "a token needs an id");
    if (there.p)
        return err_set(err, ERR_EXISTS, "there is a token %s already", k->id);
    return token_save(t, k, PUT_NEW, err) &&
           txn_put(t, TABLE_TOKEN_END, PUT_NEW, key_view(&end), view_of(NULL, 0), err);
}

bool store_token_get(struct store *s, const char *id_or_prefix, struct store_token *out,
                     struct err *err)
{
    struct txn t;
    struct view record;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = id_find(&t, TABLE_TOKEN, id_or_prefix, "token", &record, err) &&
              token_read(record, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_token_get(struct store_write *w, const char *id, struct store_token *out,
                           struct err *err)
{
    return txn_usable(&w->txn, err) && token_load(&w->txn, id, out, err);
}

bool store_token_used(struct store_write *w, const char *id, int64_t at, const char *from,
                      struct err *err)
{
    struct txn *t = &w->txn;
    struct store_token k;
    if (!txn_usable(t, err) || !token_load(t, id, &k, err))
        return false;
    k.used_at = at;
    text_put(k.used_from, sizeof k.used_from, from);
    return token_save(t, &k, PUT_REPLACE, err);
}

static bool token_remove(struct txn *t, const struct store_token *k, struct err *err)
{
    struct key end = token_end_key(k);
    return txn_del(t, TABLE_TOKEN, view_str(k->id), err) &&
           txn_del(t, TABLE_TOKEN_END, key_view(&end), err);
}

bool store_token_del(struct store_write *w, const char *id, struct err *err)
{
    struct store_token k;
    return txn_usable(&w->txn, err) && token_load(&w->txn, id, &k, err) &&
           token_remove(&w->txn, &k, err);
}

struct token_listing {
    const char *admin; /* NULL: all */
    bool (*each)(void *ctx, const struct store_token *t);
    void *ctx;
};

static bool token_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct token_listing *l = ctx;
    struct store_token k;
    if (!token_read(value, &k, err))
        return false;
    *stop = (!l->admin || strcmp(l->admin, k.admin) == 0) && !l->each(l->ctx, &k);
    return true;
}

bool store_token_list(struct store *s, const char *admin, const char *after,
                      bool (*each)(void *ctx, const struct store_token *t), void *ctx,
                      struct err *err)
{
    struct token_listing l = {admin, each, ctx};
    struct key from = behind(after);
    return table_walk(s, TABLE_TOKEN, key_view(&from), false, token_entry, &l, err);
}

/* ---- removing ---- */

struct owned {
    const char *admin;
    struct buf ids; /* NUL after each */
};

static bool owned_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct owned *o = ctx;
    struct store_token k;
    if (!token_read(value, &k, err))
        return false;
    return strcmp(k.admin, o->admin) != 0 || buf_append(&o->ids, k.id, strlen(k.id) + 1) ||
           err_memory(err);
}

bool store_admin_del(struct store_write *w, const char *id, uint64_t expected, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_admin a;
    struct owned o = {.admin = a.id};
    bool ok = txn_usable(t, err) && admin_expected(t, id, expected, &a, err) &&
              txn_walk(t, TABLE_TOKEN, view_of(NULL, 0), owned_entry, &o, err);
    for (size_t at = 0; ok && at < o.ids.n; at += strlen((char *)o.ids.p + at) + 1)
        ok = store_token_del(w, (char *)o.ids.p + at, err);
    buf_clear(&o.ids);
    return ok && index_del(t, &a, err) && txn_del(t, TABLE_ADMIN, view_str(a.id), err);
}

struct token_purge {
    struct key before;
    struct buf ids; /* NUL after each */
    size_t n;
};

static bool purge_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct token_purge *p = ctx;
    if (key.n <= 8)
        return err_set(err, ERR_STORE, "the store has a damaged index of ending tokens");
    *stop = p->n == PURGE_MAX || memcmp(key.p, p->before.p, 8) >= 0;
    if (*stop)
        return true;
    p->n++;
    return (buf_append(&p->ids, key.p + 8, key.n - 8) && buf_append(&p->ids, "", 1)) ||
           err_memory(err);
}

bool store_token_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err)
{
    struct token_purge p = {.before = {.n = 0}};
    key_time(&p.before, before);
    bool ok = txn_usable(&w->txn, err) &&
              txn_walk(&w->txn, TABLE_TOKEN_END, view_of(NULL, 0), purge_entry, &p, err);
    for (size_t at = 0; ok && at < p.ids.n; at += strlen((char *)p.ids.p + at) + 1)
        ok = store_token_del(w, (char *)p.ids.p + at, err);
    buf_clear(&p.ids);
    if (ok)
        *purged = p.n;
    return ok;
}
