/* Devices, groups and policies in a store, and what is done to them, each in a write of its own. */
#pragma once

#include "fixture.h"
#include "store/fleet.h"

static inline struct store_device device_of(unsigned n)
{
    struct store_device d = {.created_at = 1000, .changed_at = 1000};
    snprintf(d.id, sizeof d.id, "dev_%06u", n);
    snprintf(d.name, sizeof d.name, "ipad-%04u", n);
    snprintf(d.serial_number, sizeof d.serial_number, "SN%04u", n);
    strcpy(d.platform, "apple");
    strcpy(d.created_by, "anna");
    return d;
}

static inline void put_device(const struct store_device *d)
{
    struct store_write *w = begin();
    ok(store_device_put(w, d, &err));
    commit(w);
}

static inline void put_devices(unsigned n)
{
    struct store_write *w = begin();
    for (unsigned i = 1; i <= n; i++) {
        struct store_device d = device_of(i);
        snprintf(d.user, sizeof d.user, "User%u", i % 10);
        ok(store_device_put(w, &d, &err));
    }
    commit(w);
}

static inline void put_group(const char *id, const char *name, bool users)
{
    struct store_group g = {.users = users, .created_at = 5};
    strcpy(g.id, id);
    strcpy(g.name, name);
    struct store_write *w = begin();
    ok(store_group_put(w, &g, &err));
    commit(w);
}

static inline void put_policy(const char *id, const char *name)
{
    struct store_policy p = {.challenge = POLICY_UPSTREAM, .key_size = 2048, .paused = true};
    strcpy(p.id, id);
    strcpy(p.name, name);
    strcpy(p.subject, "CN=%devicename%");
    struct store_write *w = begin();
    ok(store_policy_put(w, &p, &err));
    commit(w);
}

/* Each in a write of its own. */
static struct store_write *in;

#define written(call) \
    do {              \
        in = begin(); \
        ok(call);     \
        commit(in);   \
    } while (0)

#define assign(policy, target) written(store_policy_assign(in, policy, target, "anna", 10, &err))
#define unassign(policy, target) \
    written(store_policy_unassign(in, policy, target, "bert", 20, &err))
#define add(group, member) written(store_group_add(in, group, member, "anna", 10, &err))
#define drop(group, member) written(store_group_remove(in, group, member, "carl", 30, &err))

static inline struct store_reach reach(const char *policy, const char *device)
{
    struct store_reach r, in_write;
    ok(store_policy_reach(st, policy, device, &r, &err));
    struct store_write *w = begin();
    ok(store_write_policy_reach(w, policy, device, &in_write, &err));
    store_write_abort(w);
    ck_assert_int_eq(r.way, in_write.way);
    return r;
}

static inline bool delete_step(bool group, const char *id, bool *done)
{
    struct store_write *w = begin();
    bool did = group ? store_group_delete(w, id, "bert", 50, done, &err)
                     : store_policy_delete(w, id, "bert", 50, done, &err);
    if (did)
        commit(w);
    else
        store_write_abort(w);
    return did;
}

static inline void put_owned_cert(unsigned n, const char *device, const char *policy)
{
    struct store_cert c = cert_of(n);
    strcpy(c.device, device);
    strcpy(c.policy, policy);
    written(store_cert_put(in, &c, &err));
    store_cert_clear(&c);
}
