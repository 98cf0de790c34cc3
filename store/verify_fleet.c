/* Devices, groups and policies: names, handles and ties in both directions, and the links by which
 * their certificates, challenges, requests, attempts and audit entries are found. */
#include "fleet_internal.h"
#include "verify.h"

/* ---- links ---- */

bool verify_links(struct verify *v, const char *device, const char *policy, enum link_kind kind,
                  struct view number, struct err *err)
{
    bool yes;
    if (!links_there(&v->t, device, policy, kind, number, &yes, err))
        return false;
    if (!yes)
        verify_problem(v, "a record of kind %c is not found by %s%s%s", (char)kind, device,
                       device[0] && policy[0] ? " or " : "", policy);
    return true;
}

/* Who owns the record of a link, by what it says itself; *owned false too when it is damaged, which
 * others report. */
static bool cert_owner(struct txn *t, struct view number, struct view owner, bool *owned,
                       struct err *err)
{
    struct store_cert c;
    struct err why = {0};
    *owned = number.n == 8 && cert_load(t, octets_u64(number.p), &c, &why) &&
             (view_eq(owner, view_str(c.device)) || view_eq(owner, view_str(c.policy)));
    return true;
}

static bool challenge_owner(struct txn *t, struct view number, struct view owner, bool *owned,
                            struct err *err)
{
    struct store_challenge c;
    struct err why = {0};
    *owned = number.n == 8 + STORE_HASH && challenge_load(t, number.p + 8, &c, &why) &&
             challenge_is_open(&c) &&
             (view_eq(owner, view_str(c.device)) || view_eq(owner, view_str(c.policy)));
    if (*owned) {
        struct key at = challenge_made_key(&c);
        *owned = view_eq(number, key_view(&at));
    }
    return true;
}

static bool request_owner(struct txn *t, struct view number, struct view owner, bool *owned,
                          struct err *err)
{
    struct store_request r;
    struct err why = {0};
    struct view record;
    *owned = false;
    if (number.n <= 8)
        return true;
    if (!txn_get(t, TABLE_REQUEST, view_of(number.p + 8, number.n - 8), &record, err))
        return false;
    if (!record.p || !request_read(record, &r, &why))
        return true;
    struct key at = request_made_key(&r);
    *owned = view_eq(number, key_view(&at)) &&
             (view_eq(owner, view_str(r.device)) || view_eq(owner, view_str(r.policy)));
    return true;
}

static bool attempt_owner(struct txn *t, struct view number, struct view owner, bool *owned,
                          struct err *err)
{
    struct store_attempt a;
    struct err why = {0};
    struct view record;
    if (!txn_get(t, TABLE_ATTEMPT, number, &record, err))
        return false;
    *owned = record.p && attempt_read(record, &a, &why) &&
             (view_eq(owner, view_str(a.device)) || view_eq(owner, view_str(a.policy)));
    return true;
}

static bool audit_owner(struct txn *t, struct view number, struct view owner, bool *owned,
                        struct err *err)
{
    struct store_audit a;
    struct err why = {0};
    struct view record;
    if (!txn_get(t, TABLE_AUDIT, number, &record, err))
        return false;
    *owned = record.p && audit_read(record, &a, &why) && view_eq(owner, view_str(a.object));
    return true;
}

static bool link_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    static const struct {
        enum link_kind kind;
        bool (*owner)(struct txn *t, struct view number, struct view owner, bool *owned,
                      struct err *err);
    } kinds[] = {
        {LINK_CERT, cert_owner},       {LINK_CHALLENGE, challenge_owner},
        {LINK_REQUEST, request_owner}, {LINK_ATTEMPT, attempt_owner},
        {LINK_AUDIT, audit_owner},
    };
    struct verify *v = ctx;
    struct view owner, number;
    enum link_kind kind;
    bool owned = false;
    if (!link_parts(key, &owner, &kind, &number)) {
        verify_problem(v, "a link of %zu octets is damaged", key.n);
        return true;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].kind == kind && !kinds[i].owner(&v->t, number, owner, &owned, err))
            return false;
    if (!owned)
        verify_problem(v, "%.*s names a record of kind %c that is not its own", (int)owner.n,
                       (const char *)owner.p, (char)kind);
    return true;
}

/* ---- records and names ---- */

static bool name_check(struct verify *v, const struct fleet_kind *kind, struct view key,
                       const char *id, const char *name, struct err *err)
{
    bool found;
    if (!verify_index_has(v, TABLE_NAME, name_key(kind->letter, name), view_str(id), &found, err))
        return false;
    if (!view_eq(key, view_str(id)))
        verify_problem(v, "%s %s stands under another id", kind->what, id);
    if (!found)
        verify_problem(v, "%s %s is not found by its name", kind->what, id);
    return true;
}

static bool handle_check(struct verify *v, char letter, const char *value, const char *id,
                         struct err *err)
{
    bool found = true;
    if (value[0] && !verify_index_has(v, TABLE_NAME, handle_key(letter, value, id),
                                      view_of(NULL, 0), &found, err))
        return false;
    if (!found)
        verify_problem(v, "device %s is not found by its %s", id,
                       letter == NAME_USER ? "user" : "serial number");
    return true;
}

static bool device_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_device d;
    if (!device_read(value, &d, err))
        return verify_unreadable(v, TABLE_DEVICE, key, err);
    return name_check(v, &kind_device, key, d.id, d.name, err) &&
           handle_check(v, NAME_SERIAL, d.serial_number, d.id, err) &&
           handle_check(v, NAME_USER, d.user, d.id, err);
}

static bool group_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_group g;
    if (!group_read(value, &g, err))
        return verify_unreadable(v, TABLE_GROUP, key, err);
    return name_check(v, &kind_group, key, g.id, g.name, err);
}

static bool policy_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_policy p;
    if (!policy_read(value, &p, err))
        return verify_unreadable(v, TABLE_POLICY, key, err);
    return name_check(v, &kind_policy, key, p.id, p.name, err);
}

/* The key that the record named by an entry asks for; *there false: there is no such record. */
static bool name_expected(struct txn *t, char letter, const char *id, struct key *out, bool *there,
                          struct err *err)
{
    struct store_device d = {.id = ""};
    struct store_group g = {.id = ""};
    struct store_policy p = {.id = ""};
    bool handle = letter == NAME_SERIAL || letter == NAME_USER;
    if (letter == kind_device.letter || handle)
        *there = device_at(t, id, &d, err);
    else if (letter == kind_group.letter)
        *there = group_at(t, id, &g, err);
    else
        *there = letter == kind_policy.letter && policy_at(t, id, &p, err);
    if (letter == NAME_SERIAL)
        *out = handle_key(letter, d.serial_number, id);
    else if (letter == NAME_USER)
        *out = handle_key(letter, d.user, id);
    else
        *out = name_key(letter, d.name[0] ? d.name : g.name[0] ? g.name : p.name);
    return *there || err->kind == ERR_NOT_FOUND || err->kind == ERR_STORE || err->kind == ERR_NONE;
}

static bool name_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct key expected;
    struct err why = {0};
    char id[32] = "";
    bool there = false;
    char letter = key.n ? (char)key.p[0] : '?';
    const uint8_t *end = memchr(key.p, 0, key.n);
    bool handle = letter == NAME_SERIAL || letter == NAME_USER;
    bool named = handle ? end && tie_rest(key, (size_t)(end - key.p) + 1, id, sizeof id)
                        : tie_rest(value, 0, id, sizeof id);
    if (named && !name_expected(&v->t, letter, id, &expected, &there, &why)) {
        *err = why;
        return false;
    }
    if (!there || !view_eq(key, key_view(&expected)))
        verify_problem(v, "a name of kind %c names %s wrongly", letter, named ? id : "nothing");
    return true;
}

static bool counts_check(struct verify *v, struct err *err)
{
    bool same;
    if (!device_counts_same(&v->t, &same, err))
        return err->kind == ERR_STORE; /* a damaged device is reported already */
    if (!same)
        verify_problem(v, "the counts of devices are not those of the devices");
    return true;
}

/* ---- ties ---- */

/* What a tie says must be there: a holder, and what it holds. */
static bool ends_check(struct verify *v, const struct store_tie *tie, bool *users, struct err *err)
{
    struct store_group g = {.id = ""};
    struct err why = {0};
    bool holder, held = true;
    bool of_policy = strncmp(tie->holder, kind_policy.prefix, 4) == 0;
    bool of_group = of_policy && strncmp(tie->held, kind_group.prefix, 4) == 0;
    if (!verify_exists(v, of_policy ? TABLE_POLICY : TABLE_GROUP, view_str(tie->holder), &holder,
                       err))
        return false;
    *users = !of_policy && holder && group_at(&v->t, tie->holder, &g, &why) && g.users;
    if (!*users &&
        !verify_exists(v, of_group ? TABLE_GROUP : TABLE_DEVICE, view_str(tie->held), &held, err))
        return false;
    if (!holder || !held)
        verify_problem(v, "%s holds %s, and %s does not exist", tie->holder, tie->held,
                       holder ? "that" : "it");
    return true;
}

static bool tie_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_tie tie;
    bool users, back, gone;
    if (!tie_read(key, value, &tie, err))
        return verify_unreadable(v, TABLE_TIE, key, err);
    if (!ends_check(v, &tie, &users, err) ||
        !verify_index_has(v, TABLE_TIE_OF, tie_of_key(users, tie.held, tie.holder),
                          view_of(NULL, 0), &back, err) ||
        !verify_exists(v, TABLE_UNTIED, key, &gone, err))
        return false;
    if (!back)
        verify_problem(v, "%s does not know that %s holds it", tie.held, tie.holder);
    if (gone)
        verify_problem(v, "%s holds %s and remembers that it does not", tie.holder, tie.held);
    return true;
}

static bool tie_of_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    char holder[32], held[128];
    const uint8_t *end = key.n ? memchr(key.p, 0, key.n) : NULL;
    bool forth = false;
    if (!end || !tie_rest(key, (size_t)(end - key.p) + 1, holder, sizeof holder) ||
        !tie_rest(view_of(key.p, (size_t)(end - key.p)), 1, held, sizeof held)) {
        verify_problem(v, "a tie of %zu octets is damaged", key.n);
        return true;
    }
    struct key k = tie_key(holder, held);
    if (!verify_exists(v, TABLE_TIE, key_view(&k), &forth, err))
        return false;
    if (!forth)
        verify_problem(v, "%s does not know that it holds %s", holder, held);
    return true;
}

static bool untied_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct store_tie tie;
    return tie_read(key, value, &tie, err) || verify_unreadable(ctx, TABLE_UNTIED, key, err);
}

bool verify_fleet(struct verify *v, struct err *err)
{
    static const struct {
        enum table table;
        walk_fn check;
    } steps[] = {
        {TABLE_DEVICE, device_check}, {TABLE_GROUP, group_check}, {TABLE_POLICY, policy_check},
        {TABLE_NAME, name_entry},     {TABLE_TIE, tie_check},     {TABLE_TIE_OF, tie_of_check},
        {TABLE_UNTIED, untied_check}, {TABLE_LINK, link_check},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (!txn_walk(&v->t, steps[i].table, view_of(NULL, 0), steps[i].check, v, err))
            return false;
    return counts_check(v, err);
}
