/* Small named settings. */
#include "records.h"

#define SETTING_VERSION 1
#define SETTING_MAX 4096
#define SETTING_NAME_MAX 64

static bool name_usable(const char *name, struct err *err)
{
    size_t n = strnlen(name, SETTING_NAME_MAX + 1);
    return (n > 0 && n <= SETTING_NAME_MAX) ||
           err_set(err, ERR_STORE, "a setting needs a name of 1 to %d characters",
                   SETTING_NAME_MAX);
}

bool setting_read(struct view record, struct buf *out, struct err *err)
{
    struct record_reader r;
    if (!record_open(&r, record, SETTING_VERSION, "setting", err))
        return false;
    struct view value = read_blob(&r);
    if (!record_close(&r, "setting", err))
        return false;
    struct buf copy = {0};
    if (!buf_append(&copy, value.p, value.n))
        return err_memory(err);
    *out = copy;
    return true;
}

bool store_setting_get(struct store *s, const char *name, struct buf *out, struct err *err)
{
    struct view record;
    struct txn t;
    if (!name_usable(name, err) || !txn_read(s, &t, err))
        return false;
    bool ok = txn_get(&t, TABLE_SETTING, view_str(name), &record, err);
    if (ok && !record.p)
        ok = err_set(err, ERR_NOT_FOUND, "there is no setting %s", name);
    ok = ok && setting_read(record, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_setting_put(struct store_write *w, const char *name, struct view value, struct err *err)
{
    if (!txn_usable(&w->txn, err) || !name_usable(name, err))
        return false;
    if (value.n > SETTING_MAX)
        return err_set(err, ERR_STORE, "a setting of %zu octets is larger than %d", value.n,
                       SETTING_MAX);
    struct buf record = {0};
    struct record_writer writer = record_begin(&record, SETTING_VERSION);
    write_blob(&writer, value);
    bool ok = record_written(&writer, "setting", err) &&
              txn_put(&w->txn, TABLE_SETTING, PUT_REPLACE, view_str(name), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}
