/* Ids that people type, whole or the beginning. */
#include "records.h"

struct id_search {
    struct view id;
    struct view value; /* of the last entry seen */
    bool exact;
    size_t n;
};

static bool id_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct id_search *search = ctx;
    search->n++;
    search->value = value;
    search->exact = key.n == search->id.n; /* comes first among those with this prefix */
    *stop = search->exact || search->n == 2;
    return true;
}

bool id_find(struct txn *t, enum table table, const char *id, const char *what, struct view *value,
             struct err *err)
{
    struct id_search search = {.id = view_str(id)};
    if (!id[0] || search.id.n > KEY_MAX)
        return err_set(err, ERR_NOT_FOUND, "there is no %s with such an id", what);
    if (!txn_walk(t, table, search.id, id_entry, &search, err))
        return false;
    if (!search.n)
        return err_set(err, ERR_NOT_FOUND, "there is no %s %s", what, id);
    if (search.n > 1 && !search.exact)
        return err_set(err, ERR_CONFLICT, "several ids of a %s begin with %s", what, id);
    *value = search.value;
    return true;
}
