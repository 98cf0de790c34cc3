/* Devices, groups and policies are found alike: by an id, its beginning, or a name that no other of
 * the kind has. */
#include "fleet_internal.h"

/* Characters of an id behind its prefix that are enough to mean it. */
#define ID_BEGIN_MIN 4

const struct fleet_kind kind_device = {TABLE_DEVICE, 'd', "dev_", "device"},
                        kind_group = {TABLE_GROUP, 'g', "grp_", "group"},
                        kind_policy = {TABLE_POLICY, 'p', "pol_", "policy"};

struct key name_key(char letter, const char *name)
{
    struct key k = {.n = 0};
    char small[128];
    text_small(small, sizeof small, name);
    key_bytes(&k, &letter, 1);
    key_bytes(&k, small, strlen(small));
    return k;
}

struct key handle_key(char letter, const char *value, const char *id)
{
    struct key k = name_key(letter, value);
    key_bytes(&k, "", 1);
    key_bytes(&k, id, strlen(id));
    return k;
}

bool fleet_at(struct txn *t, const struct fleet_kind *kind, const char *id, struct view *record,
              struct err *err)
{
    return txn_get(t, kind->table, view_str(id), record, err);
}

static bool by_name(struct txn *t, const struct fleet_kind *kind, const char *name,
                    struct view *record, struct err *err)
{
    struct key k = name_key(kind->letter, name);
    struct view id;
    *record = view_of(NULL, 0);
    if (strlen(name) >= sizeof(((struct store_device *)NULL)->name))
        return true;
    if (!txn_get(t, TABLE_NAME, key_view(&k), &id, err))
        return false;
    if (!id.p)
        return true;
    if (!txn_get(t, kind->table, id, record, err))
        return false;
    return record->p ||
           err_set(err, ERR_STORE, "the store has a name of a %s without its record", kind->what);
}

bool fleet_find(struct txn *t, const struct fleet_kind *kind, const char *id_or_name,
                struct view *record, struct err *err)
{
    bool id_like = strncmp(id_or_name, kind->prefix, 4) == 0 &&
                   strlen(id_or_name) >= 4 + ID_BEGIN_MIN && strlen(id_or_name) < 32;
    if (!fleet_at(t, kind, id_or_name, record, err))
        return false;
    if (!record->p && !by_name(t, kind, id_or_name, record, err))
        return false;
    if (record->p)
        return true;
    if (id_like)
        return id_find(t, kind->table, id_or_name, kind->what, record, err);
    return err_set(err, ERR_NOT_FOUND, "there is no %s %.127s", kind->what, id_or_name);
}

bool name_free(struct txn *t, const struct fleet_kind *kind, const char *id, const char *name,
               struct err *err)
{
    struct key k = name_key(kind->letter, name);
    struct view other;
    if (!name[0])
        return err_set(err, ERR_STORE, "a %s needs a name", kind->what);
    if (!txn_get(t, TABLE_NAME, key_view(&k), &other, err))
        return false;
    if (!other.p || view_eq(other, view_str(id)))
        return true;
    return err_set(err, ERR_EXISTS, "there is a %s %.127s already (%.*s)", kind->what, name,
                   (int)other.n, (const char *)other.p);
}

bool fleet_free(struct txn *t, const struct fleet_kind *kind, const char *id, const char *name,
                struct err *err)
{
    struct view record;
    size_t n = strnlen(id, 32);
    if (n <= 4 || n >= 32 || strncmp(id, kind->prefix, 4) != 0)
        return err_set(err, ERR_STORE, "the id of a %s is %s and up to 27 characters", kind->what,
                       kind->prefix);
    if (!fleet_at(t, kind, id, &record, err))
        return false;
    if (record.p)
        return err_set(err, ERR_EXISTS, "there is a %s %s already", kind->what, id);
    return name_free(t, kind, id, name, err);
}

bool name_move(struct txn *t, const struct fleet_kind *kind, const char *id, const char *was,
               const char *is, struct err *err)
{
    struct key old = was ? name_key(kind->letter, was) : (struct key){.n = 0},
               new = is ? name_key(kind->letter, is) : (struct key){.n = 0};
    if (view_eq(key_view(&old), key_view(&new)))
        return true;
    return (!was || txn_del(t, TABLE_NAME, key_view(&old), err)) &&
           (!is || txn_put(t, TABLE_NAME, PUT_NEW, key_view(&new), view_str(id), err));
}

bool version_is(const struct fleet_kind *kind, const char *name, uint64_t now, uint64_t expected,
                struct err *err)
{
    return now == expected ||
           err_set(err, ERR_CONFLICT, "%s %.127s has changed meanwhile: it has version %llu",
                   kind->what, name, (unsigned long long)now);
}
