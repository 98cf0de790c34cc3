/* Devices: the record, how it is found, and how many there are in each state. */
#include "fleet_internal.h"
#include "pager.h"

#define DEVICE_VERSION 1
/* seen_at is for people: a device that polls every second is not worth a page of the disk each
 * time. */
#define SEEN_STEP 60

static const char what[] = "device";

/* ---- record ---- */

static bool device_write(const struct store_device *d, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, DEVICE_VERSION);
    write_text(&w, d->id, sizeof d->id);
    write_text(&w, d->name, sizeof d->name);
    write_u8(&w, (uint8_t)d->state);
    write_text(&w, d->platform, sizeof d->platform);
    write_text(&w, d->serial_number, sizeof d->serial_number);
    write_text(&w, d->udid, sizeof d->udid);
    write_text(&w, d->user, sizeof d->user);
    write_text(&w, d->email, sizeof d->email);
    write_text(&w, d->host, sizeof d->host);
    write_i64(&w, d->created_at);
    write_i64(&w, d->changed_at);
    write_i64(&w, d->seen_at);
    write_text(&w, d->created_by, sizeof d->created_by);
    write_u64(&w, d->version);
    return record_written(&w, what, err);
}

bool device_read(struct view record, struct store_device *out, struct err *err)
{
    struct record_reader r;
    struct store_device d = {.id = ""};
    if (!record_open(&r, record, DEVICE_VERSION, what, err))
        return false;
    read_text(&r, d.id, sizeof d.id);
    read_text(&r, d.name, sizeof d.name);
    d.state = (enum device_state)read_u8(&r);
    read_text(&r, d.platform, sizeof d.platform);
    read_text(&r, d.serial_number, sizeof d.serial_number);
    read_text(&r, d.udid, sizeof d.udid);
    read_text(&r, d.user, sizeof d.user);
    read_text(&r, d.email, sizeof d.email);
    read_text(&r, d.host, sizeof d.host);
    d.created_at = read_i64(&r);
    d.changed_at = read_i64(&r);
    d.seen_at = read_i64(&r);
    read_text(&r, d.created_by, sizeof d.created_by);
    d.version = read_u64(&r);
    if (!record_close(&r, what, err))
        return false;
    if (d.state > DEVICE_RETIRED)
        return err_set(err, ERR_STORE, "the store has a device in the unknown state %d",
                       (int)d.state);
    *out = d;
    return true;
}

bool device_at(struct txn *t, const char *id, struct store_device *out, struct err *err)
{
    struct view record;
    if (!fleet_at(t, &kind_device, id, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no device %.40s", id);
    return device_read(record, out, err);
}

static bool device_find(struct txn *t, const char *id_or_name, struct store_device *out,
                        struct err *err)
{
    struct view record;
    return fleet_find(t, &kind_device, id_or_name, &record, err) && device_read(record, out, err);
}

bool store_device_get(struct store *s, const char *id_or_name, struct store_device *out,
                      struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = device_find(&t, id_or_name, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_device_get(struct store_write *w, const char *id_or_name, struct store_device *out,
                            struct err *err)
{
    return txn_usable(&w->txn, err) && device_find(&w->txn, id_or_name, out, err);
}

/* ---- counts ---- */

static bool count_move(struct txn *t, const struct store_device *was, const struct store_device *is,
                       struct err *err)
{
    uint64_t n;
    struct key old = meta_device_count(was ? was->state : 0),
               new = meta_device_count(is ? is->state : 0);
    if (was && is && was->state == is->state)
        return true;
    return (!was || txn_counter_less(t, key_view(&old), err)) &&
           (!is || txn_counter_next(t, key_view(&new), &n, err));
}

bool store_device_counts(struct store *s, uint64_t out[DEVICE_STATES], struct err *err)
{
    uint64_t n[DEVICE_STATES] = {0};
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = true;
    for (unsigned state = 0; ok && state < DEVICE_STATES; state++) {
        struct key k = meta_device_count(state);
        ok = txn_counter(&t, key_view(&k), &n[state], err);
    }
    txn_read_end(&t);
    if (ok)
        memcpy(out, n, sizeof n);
    return ok;
}

/* ---- writing ---- */

/* Serial number or user: many devices may have the same. */
static bool handle_move(struct txn *t, char letter, const char *id, const char *was, const char *is,
                        struct err *err)
{
    struct key old = handle_key(letter, was, id), new = handle_key(letter, is, id);
    if (view_eq(key_view(&old), key_view(&new)))
        return true;
    return (!was[0] || txn_del(t, TABLE_NAME, key_view(&old), err)) &&
           (!is[0] || txn_put(t, TABLE_NAME, PUT_NEW, key_view(&new), view_of(NULL, 0), err));
}

/* `was` NULL: it is new; `is` NULL: it goes. */
static bool device_move(struct txn *t, const struct store_device *was,
                        const struct store_device *is, struct err *err)
{
    const char *id = is ? is->id : was->id;
    return name_move(t, &kind_device, id, was ? was->name : NULL, is ? is->name : NULL, err) &&
           handle_move(t, NAME_SERIAL, id, was ? was->serial_number : "",
                       is ? is->serial_number : "", err) &&
           handle_move(t, NAME_USER, id, was ? was->user : "", is ? is->user : "", err) &&
           count_move(t, was, is, err);
}

static bool device_save(struct txn *t, const struct store_device *d, const struct store_device *was,
                        struct err *err)
{
    struct buf record = {0};
    bool ok = device_write(d, &record, err) && device_move(t, was, d, err) &&
              txn_put(t, TABLE_DEVICE, PUT_REPLACE, view_str(d->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

bool store_device_put(struct store_write *w, const struct store_device *d, struct err *err)
{
    struct store_device new = *d;
    if (!txn_usable(&w->txn, err) || !fleet_free(&w->txn, &kind_device, d->id, d->name, err))
        return false;
    new.version = d->version ? d->version : 1;
    return device_save(&w->txn, &new, NULL, err);
}

bool store_device_replace(struct store_write *w, struct store_device *d, uint64_t expected,
                          struct err *err)
{
    struct txn *t = &w->txn;
    struct store_device was, new = *d;
    if (!txn_usable(t, err) || !device_at(t, d->id, &was, err) ||
        !version_is(&kind_device, was.name, was.version, expected, err) ||
        !name_free(t, &kind_device, d->id, d->name, err))
        return false;
    new.created_at = was.created_at;
    new.seen_at = was.seen_at;
    memcpy(new.created_by, was.created_by, sizeof new.created_by);
    new.version = was.version + 1;
    if (!device_save(t, &new, &was, err))
        return false;
    *d = new;
    return true;
}

bool store_device_seen(struct store_write *w, const char *id, int64_t at, struct err *err)
{
    struct store_device d, was;
    if (!txn_usable(&w->txn, err) || !device_at(&w->txn, id, &was, err))
        return false;
    if (at < was.seen_at + SEEN_STEP)
        return true;
    d = was;
    d.seen_at = at;
    return device_save(&w->txn, &d, &was, err);
}

/* More ties than one device ever has: it goes in one write. */
#define FORGET_TIES 100000

bool device_forget(struct txn *t, const struct store_device *d, struct err *err)
{
    size_t cut;
    /* nobody will ask who took them away */
    return ties_of_cut(t, d->id, FORGET_TIES, NULL, 0, &cut, err) && device_move(t, d, NULL, err) &&
           txn_del(t, TABLE_DEVICE, view_str(d->id), err);
}

bool store_device_forget(struct store_write *w, const char *id, struct err *err)
{
    struct store_device d;
    if (!txn_usable(&w->txn, err) || !device_at(&w->txn, id, &d, err))
        return false;
    if (d.state != DEVICE_RETIRED)
        return err_set(err, ERR_CONFLICT, "device %s is not retired", d.name);
    return device_forget(&w->txn, &d, err);
}

/* ---- counting anew ---- */

static bool tally_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    uint64_t *n = ctx;
    struct store_device d;
    if (!device_read(value, &d, err))
        return false;
    n[d.state]++;
    return true;
}

bool device_counts_same(struct txn *t, bool *same, struct err *err)
{
    uint64_t n[DEVICE_STATES] = {0}, counted;
    *same = true;
    if (!txn_walk(t, TABLE_DEVICE, view_of(NULL, 0), tally_entry, n, err))
        return false;
    for (unsigned state = 0; state < DEVICE_STATES; state++) {
        struct key k = meta_device_count(state);
        if (!txn_counter(t, key_view(&k), &counted, err))
            return false;
        *same = *same && counted == n[state];
    }
    return true;
}
