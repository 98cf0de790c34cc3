/* Groups: of devices, or of users. */
#include "fleet_internal.h"
#include "pager.h"

#define GROUP_VERSION 1
/* Ties taken away in one write, so that nobody waits long for it. */
#define CUT_MAX 1000

static const char what[] = "group";

static bool group_write(const struct store_group *g, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, GROUP_VERSION);
    write_text(&w, g->id, sizeof g->id);
    write_text(&w, g->name, sizeof g->name);
    write_u8(&w, g->users);
    write_text(&w, g->note, sizeof g->note);
    write_i64(&w, g->created_at);
    write_i64(&w, g->changed_at);
    write_text(&w, g->created_by, sizeof g->created_by);
    write_text(&w, g->changed_by, sizeof g->changed_by);
    write_u64(&w, g->version);
    return record_written(&w, what, err);
}

bool group_read(struct view record, struct store_group *out, struct err *err)
{
    struct record_reader r;
    struct store_group g = {.id = ""};
    if (!record_open(&r, record, GROUP_VERSION, what, err))
        return false;
    read_text(&r, g.id, sizeof g.id);
    read_text(&r, g.name, sizeof g.name);
    uint8_t users = read_u8(&r);
    read_text(&r, g.note, sizeof g.note);
    g.created_at = read_i64(&r);
    g.changed_at = read_i64(&r);
    read_text(&r, g.created_by, sizeof g.created_by);
    read_text(&r, g.changed_by, sizeof g.changed_by);
    g.version = read_u64(&r);
    r.bad = r.bad || users > 1;
    if (!record_close(&r, what, err))
        return false;
    g.users = users;
    *out = g;
    return true;
}

bool group_at(struct txn *t, const char *id, struct store_group *out, struct err *err)
{
    struct view record;
    if (!fleet_at(t, &kind_group, id, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no group %.40s", id);
    return group_read(record, out, err);
}

static bool group_find(struct txn *t, const char *id_or_name, struct store_group *out,
                       struct err *err)
{
    struct view record;
    return fleet_find(t, &kind_group, id_or_name, &record, err) && group_read(record, out, err);
}

bool store_group_get(struct store *s, const char *id_or_name, struct store_group *out,
                     struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = group_find(&t, id_or_name, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_group_get(struct store_write *w, const char *id_or_name, struct store_group *out,
                           struct err *err)
{
    return txn_usable(&w->txn, err) && group_find(&w->txn, id_or_name, out, err);
}

/* ---- writing ---- */

static bool group_save(struct txn *t, const struct store_group *g, const char *old_name,
                       struct err *err)
{
    struct buf record = {0};
    bool ok = group_write(g, &record, err) &&
              name_move(t, &kind_group, g->id, old_name, g->name, err) &&
              txn_put(t, TABLE_GROUP, PUT_REPLACE, view_str(g->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

bool store_group_put(struct store_write *w, const struct store_group *g, struct err *err)
{
    struct store_group new = *g;
    if (!txn_usable(&w->txn, err) || !fleet_free(&w->txn, &kind_group, g->id, g->name, err))
        return false;
    new.version = g->version ? g->version : 1;
    return group_save(&w->txn, &new, NULL, err);
}

bool store_group_replace(struct store_write *w, struct store_group *g, uint64_t expected,
                         struct err *err)
{
    struct txn *t = &w->txn;
    struct store_group was, new;
    if (!txn_usable(t, err) || !group_at(t, g->id, &was, err) ||
        !version_is(&kind_group, was.name, was.version, expected, err) ||
        !name_free(t, &kind_group, g->id, g->name, err))
        return false;
    new = was;
    memcpy(new.name, g->name, sizeof new.name);
    memcpy(new.note, g->note, sizeof new.note);
    memcpy(new.changed_by, g->changed_by, sizeof new.changed_by);
    new.changed_at = g->changed_at;
    new.version = was.version + 1;
    if (!group_save(t, &new, was.name, err))
        return false;
    *g = new;
    return true;
}

/* First what it gives to others: from then on its members have nothing by it. */
bool store_group_delete(struct store_write *w, const char *id, const char *by, int64_t at,
                        bool *done, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_group g;
    size_t given = 0, members = 0;
    if (!txn_usable(t, err) || !group_at(t, id, &g, err))
        return false;
    if (!ties_of_cut(t, g.id, CUT_MAX, by, at, &given, err) ||
        !ties_cut(t, g.id, g.users, CUT_MAX - given, by, at, &members, err))
        return false;
    *done = given + members < CUT_MAX;
    return !*done || (name_move(t, &kind_group, g.id, g.name, NULL, err) &&
                      txn_del(t, TABLE_GROUP, view_str(g.id), err));
}
