/* A store with a configuration of one endpoint and one template, and somebody who administers it. */
#pragma once

#include "../store/fixture.h"
#include "check_main.h"
#include "fleet/fleet.h"

#define NOW ((int64_t)1800000000) /* 2027-01-15 */

static struct config world_config;
static struct challenge_key world_key = {{1, 2, 3}};
static struct fleet fleet;
static struct fleet_effects world_gone; /* by what the helpers here do */

static inline void world_setup(void)
{
    setup();
    world_gone = (struct fleet_effects){.dry_run = false};
    world_config = (struct config){.endpoint_n = 1, .template_n = 1};
    struct config_endpoint *e = &world_config.endpoint[0];
    strcpy(e->path, "/scep/corp");
    strcpy(e->template_name, "device");
    e->challenges = CHALLENGE_ONE_TIME;
    strcpy(world_config.url, "http://scep.example.org");
    struct template *t = &world_config.template[0];
    *t = (struct template){.rsa_min = 2048,
                           .rsa_max = 4096,
                           .curves = ALG_BIT(CURVE_P256),
                           .csr_digests = ALG_BIT(DIGEST_SHA256),
                           .key_usage = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT,
                           .validity = 86400 * 365};
    strcpy(t->name, "device");
    t->subject[t->subject_n++] = strdup("CN=*");
    t->subject[t->subject_n++] = strdup("O=Example");
    char oid[OID_TEXT_MAX];
    ck_assert(eku_by_name("clientAuth", oid) && eku_add(&t->eku, oid));
    fleet = (struct fleet){
        .store = st, .config = &world_config, .key = &world_key, .actor = "anna", .now = NOW};
}

static inline uint64_t problems(void);

static inline void world_teardown(void)
{
    ck_assert_uint_eq(problems(), 0);
    template_clear(&world_config.template[0]);
    teardown();
}

static void print_problem(void *ctx, const struct store_problem *p)
{
    fprintf(stderr, "%s\n", p->text);
}

static inline uint64_t problems(void)
{
    uint64_t n = 0;
    ok(store_verify(st, print_problem, NULL, &n, &err));
    return n;
}

/* Fails with this kind and a text that has `part`. */
#define refused(expression, expected, part)                                                 \
    do {                                                                                    \
        err_clear(&err);                                                                    \
        ck_assert(!(expression));                                                           \
        ck_assert_msg(err.kind == (expected), "%s: %s", err_kind_name(err.kind), err.text); \
        ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);                      \
        err_clear(&err);                                                                    \
    } while (0)

static inline struct store_device device_new(const char *name)
{
    struct store_device d = {.id = ""};
    strcpy(d.name, name);
    strcpy(d.platform, "apple");
    ok(fleet_device_new(&fleet, &d, &err));
    return d;
}

static inline struct store_group group_new(const char *name, bool users)
{
    struct store_group g = {.users = users};
    strcpy(g.name, name);
    ok(fleet_group_new(&fleet, &g, &err));
    return g;
}

static inline struct store_policy policy_wish(const char *name)
{
    struct store_policy p = {.challenge = POLICY_ONE_TIME, .revoke_on_removal = true};
    strcpy(p.name, name);
    strcpy(p.subject, "CN=%devicename%");
    return p;
}

static inline struct store_policy policy_new(const char *name)
{
    struct store_policy p = policy_wish(name);
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    return p;
}

static inline void assign(const char *policy, const char *target)
{
    bool changed = false;
    ok(fleet_policy_assign(&fleet, policy, 0, target, false, NULL, &world_gone, &changed, &err));
    ck_assert(changed);
}

static inline void join(const char *group, const char *member)
{
    bool changed = false;
    ok(fleet_member_add(&fleet, group, 0, member, &world_gone, &changed, &err));
    ck_assert(changed);
}

/* A certificate that a device holds by a policy. */
static inline uint64_t cert_new(unsigned n, const char *device, const char *policy)
{
    struct store_cert c = cert_of(n);
    struct store_write *w = begin();
    c.not_before = NOW - 1000;
    c.not_after = NOW + 86400;
    snprintf(c.device, sizeof c.device, "%s", device);
    snprintf(c.policy, sizeof c.policy, "%s", policy);
    ok(store_cert_put(w, &c, &err));
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

/* The same with the subject of a text. */
static inline uint64_t cert_named(unsigned n, const char *subject, const char *device, const char *policy)
{
    struct store_cert c = cert_of(n);
    struct name name = {0};
    struct der der;
    ok(name_from_text(subject, &name, &err));
    der_init(&der, 200);
    name_build(&name, &der);
    struct view v = der_content(&der);
    ck_assert_int_eq(EVP_Digest(v.p, v.n, c.subject_hash, NULL, EVP_sha256(), NULL), 1);
    der_clear(&der);
    name_clear(&name);
    c.not_after = NOW + 86400;
    snprintf(c.device, sizeof c.device, "%s", device);
    snprintf(c.policy, sizeof c.policy, "%s", policy);
    struct store_write *w = begin();
    ok(store_cert_put(w, &c, &err));
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static inline enum cert_state cert_state(uint64_t id)
{
    struct store_cert c = {0};
    ok(store_cert_by_id(st, id, &c, &err));
    enum cert_state s = c.state;
    store_cert_clear(&c);
    return s;
}

static inline void request_new(const char *id, const char *device, const char *policy)
{
    struct store_request r = {.state = REQUEST_PENDING, .created_at = NOW};
    struct store_tx tx = {.state = TX_PENDING, .created_at = NOW, .changed_at = NOW};
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.device, sizeof r.device, "%s", device);
    snprintf(r.policy, sizeof r.policy, "%s", policy);
    strcpy(r.endpoint, "/scep/corp");
    snprintf(r.transaction, sizeof r.transaction, "tx-%s", id);
    strcpy(r.subject, "CN=x");
    strcpy(tx.endpoint, r.endpoint);
    strcpy(tx.transaction, r.transaction);
    strcpy(tx.request, r.id);
    struct store_write *w = begin();
    ok(store_request_put(w, &r, &err));
    ok(store_tx_put(w, &tx, NULL, &err));
    commit(w);
}

static inline enum request_state request_state(const char *id)
{
    struct store_request r = {.id = ""};
    ok(store_request_get(st, id, &r, &err));
    enum request_state s = r.state;
    store_request_clear(&r);
    return s;
}

static inline bool challenge_open(const char *id)
{
    struct store_challenge c;
    ok(store_challenge_by_id(st, id, &c, &err));
    return !c.revoked_at;
}

static inline struct fleet_challenge challenge_for(const char *device, const char *policy)
{
    struct fleet_challenge c;
    const struct fleet_challenge_wish wish = {.device = device, .policy = policy};
    ok(fleet_challenge_new(&fleet, &wish, &c, &err));
    return c;
}
