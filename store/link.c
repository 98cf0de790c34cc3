/* What belongs to a device, a policy or a group: one table, in which everything of one owner stands
 * together and each kind in the order of its numbers.  Written only where there is an owner, so
 * that enrolments without one pay nothing. */
#include "records.h"

bool link_owner(const char *id)
{
    return strncmp(id, "dev_", 4) == 0 || strncmp(id, "pol_", 4) == 0 ||
           strncmp(id, "grp_", 4) == 0;
}

bool link_audited(const struct store_audit *a)
{
    return link_owner(a->object) && strcmp(a->event, "transaction.refused") != 0;
}

struct key link_prefix(const char *owner, enum link_kind kind)
{
    struct key k = {.n = 0};
    uint8_t letter = (uint8_t)kind;
    key_bytes(&k, owner, strlen(owner) + 1); /* its NUL ends it */
    key_bytes(&k, &letter, 1);
    return k;
}

static struct key link_key(const char *owner, enum link_kind kind, struct view number)
{
    struct key k = link_prefix(owner, kind);
    key_bytes(&k, number.p, number.n);
    return k;
}

static bool link_put(struct txn *t, const char *owner, enum link_kind kind, struct view number,
                     struct err *err)
{
    struct key k = link_key(owner, kind, number);
    return txn_put(t, TABLE_LINK, PUT_NEW, key_view(&k), view_of(NULL, 0), err);
}

static bool link_del(struct txn *t, const char *owner, enum link_kind kind, struct view number,
                     struct err *err)
{
    struct key k = link_key(owner, kind, number);
    return txn_del(t, TABLE_LINK, key_view(&k), err);
}

bool links_put(struct txn *t, const char *device, const char *policy, enum link_kind kind,
               struct view number, struct err *err)
{
    return (!*device || link_put(t, device, kind, number, err)) &&
           (!*policy || link_put(t, policy, kind, number, err));
}

bool links_del(struct txn *t, const char *device, const char *policy, enum link_kind kind,
               struct view number, struct err *err)
{
    return (!*device || link_del(t, device, kind, number, err)) &&
           (!*policy || link_del(t, policy, kind, number, err));
}

bool links_there(struct txn *t, const char *device, const char *policy, enum link_kind kind,
                 struct view number, bool *yes, struct err *err)
{
    const char *owners[] = {device, policy};
    *yes = true;
    for (size_t i = 0; i < 2; i++) {
        struct view value;
        if (!owners[i][0])
            continue;
        struct key k = link_key(owners[i], kind, number);
        if (!txn_get(t, TABLE_LINK, key_view(&k), &value, err))
            return false;
        *yes = *yes && value.p;
    }
    return true;
}

bool link_parts(struct view key, struct view *owner, enum link_kind *kind, struct view *number)
{
    const uint8_t *end = key.n ? memchr(key.p, 0, key.n) : NULL;
    if (!end || (size_t)(end - key.p) + 2 > key.n)
        return false;
    *owner = view_of(key.p, (size_t)(end - key.p));
    *kind = (enum link_kind)end[1];
    *number = view_of(end + 2, key.n - owner->n - 2);
    return true;
}
