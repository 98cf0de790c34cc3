/* A profile in one step: for a file that cannot be made nothing is stored and no upstream is asked.
 */
#include <pthread.h>

#include "fleet_world.h"

#include "fleet/profile_new.h"
#include "test_keys.h"

static struct config_rooms rooms;
static struct authority authority;
static struct buf ca; /* DER */
static unsigned fetched;

#define UPSTREAM_SECRET "8CE317021F690069"

static bool fetch(void *ctx, const char *upstream, char *secret, size_t cap, struct err *e)
{
    ck_assert_str_eq(upstream, "ndes");
    fetched++;
    snprintf(secret, cap, UPSTREAM_SECRET);
    return true;
}

static void put_ca(char path[512])
{
    snprintf(path, 512, "%s/ca.der", dir);
    FILE *f = fopen(path, "w");
    ck_assert(f && fwrite(ca.p, 1, ca.n, f) == ca.n && fclose(f) == 0);
}

static void set_up(void)
{
    world_setup();
    EVP_PKEY *key = test_ec_key("P-256");
    X509 *x = test_cert(key, "Example Device CA");
    ca = test_cert_der(x);
    X509_free(x);
    EVP_PKEY_free(key);
    authority = (struct authority){.name = "demo"};
    ok(cert_parse(buf_view(&ca), &authority.cert, &err));
    rooms = (struct config_rooms){.authority = {&authority}};
    world_config.authority_n = 1;
    strcpy(world_config.authority[0].name, "demo");
    strcpy(world_config.endpoint[0].authority, "demo");
    strcpy(world_config.profiles.identifier, "scepd");
    fetched = 0;
}

static void tear_down(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/ca.der", dir);
    unlink(path);
    cert_free(authority.cert);
    buf_clear(&ca);
    world_teardown();
}

static void count(void *ctx, const struct store_challenge *c)
{
    unsigned *n = ctx;
    ++*n;
}

static unsigned challenges(void)
{
    const struct store_challenge_filter all = {.state = 0};
    struct store_page page = {.limit = 100};
    unsigned n = 0;
    ok(store_challenge_page(st, &all, &page, count, &n, &err));
    return n;
}

static bool make(enum profile_kind kind, const char *device, const char *policy,
                 struct fleet_profile *p)
{
    const struct fleet_profile_wish wish = {
        .kind = kind, .device = device, .policy = policy, .rooms = &rooms, .fetch = fetch};
    return fleet_profile_new(&fleet, &wish, p, &err);
}

static bool has(const struct fleet_profile *p, const char *text)
{
    return memmem(p->file.content.p, p->file.content.n, text, strlen(text)) != NULL;
}

static void device_with(const char *name, const char *policy, struct store_device *d)
{
    *d = device_new(name);
    assign(policy, d->id);
}

/* Each challenge that is fetched is one less that the upstream has. */
START_TEST(no_upstream_is_asked_in_vain)
{
    struct fleet_profile p;
    struct store_device good, bad;
    struct store_policy wish = policy_wish("relayed");
    strcpy(world_config.endpoint[0].upstream, "ndes");
    world_config.upstream_n = 1;
    strcpy(world_config.upstream[0].name, "ndes");
    wish.challenge = POLICY_UPSTREAM;
    ok(fleet_policy_new(&fleet, &wish, NULL, &err));
    device_with("good", wish.id, &good);
    device_with("a;b", wish.id, &bad);
    refused(make(PROFILE_STRONGSWAN, good.id, NULL, &p), ERR_CONFLICT, "ca_certificate");
    ck_assert_uint_eq(fetched, 0);
    put_ca(world_config.upstream[0].ca_certificate);
    refused(make(PROFILE_STRONGSWAN, bad.id, NULL, &p), ERR_REFUSED, "';'");
    ck_assert_uint_eq(fetched, 0);
    ok(make(PROFILE_STRONGSWAN, good.id, NULL, &p));
    ck_assert_uint_eq(fetched, 1);
    ck_assert(has(&p, UPSTREAM_SECRET) && !p.challenge[0]);
    fleet_profile_clear(&p);
    ck_assert_uint_eq(challenges(), 0);
}
END_TEST

/* Others can write while files are read and signatures made: what cannot be made does not wait for
 * them. */
START_TEST(made_before_the_write)
{
    struct fleet_profile p;
    struct store_device d;
    struct store_write *held = NULL;
    struct store_policy policy = policy_new("corp");
    device_with("a;b", policy.id, &d);
    ok(store_write_begin(st, &held, &err));
    refused(make(PROFILE_STRONGSWAN, d.id, NULL, &p), ERR_REFUSED, "';'");
    store_write_abort(held);
    ck_assert_uint_eq(challenges(), 0);
}
END_TEST

START_TEST(the_challenge_is_the_one_in_the_file)
{
    static const char before[] = "--password\\ \\\"'";
    struct fleet_profile p;
    struct store_device d;
    struct store_challenge c;
    uint8_t hash[STORE_HASH];
    struct store_policy policy = policy_new("corp");
    device_with("good", policy.id, &d);
    ok(make(PROFILE_STRONGSWAN, d.id, NULL, &p));
    const char *at = memmem(p.file.content.p, p.file.content.n, before, strlen(before));
    ck_assert_ptr_nonnull(at);
    at += strlen(before);
    challenge_hash(&world_key, view_of(at, strcspn(at, "'")), hash);
    ok(store_challenge_by_id(st, p.challenge, &c, &err));
    ck_assert_mem_eq(c.hash, hash, sizeof hash);
    ck_assert_str_eq(c.device, d.id);
    ck_assert_str_eq(c.policy, policy.id);
    ck_assert_int_eq(p.expires_at, c.expires_at);
    fleet_profile_clear(&p);
    ck_assert_uint_eq(challenges(), 1);
}
END_TEST

/* ---- what happens meanwhile ---- */

#define RENAMES 60

static void *rename_group(void *ctx)
{
    struct store_group g = *(struct store_group *)ctx;
    struct err why = {0};
    for (unsigned i = 0; i < RENAMES; i++) {
        snprintf(g.name, sizeof g.name, "group-%02u", i);
        if (!fleet_group_edit(&fleet, 0, &g, NULL, &why))
            return ctx;
    }
    return NULL;
}

static void expect_one_name(struct fleet_profile *p)
{
    struct store_challenge c;
    ok(store_challenge_by_id(st, p->challenge, &c, &err));
    const char *ou = strstr(c.subject, "OU=");
    ck_assert_ptr_nonnull(ou);
    ck_assert_msg(has(p, ou), "the challenge is bound to %s", ou);
    fleet_profile_clear(p);
}

/* The name of the group is in the file and in the binding of its challenge: both are of one moment,
 * or there is none. */
START_TEST(file_and_challenge_have_one_name)
{
    struct store_policy wish = policy_wish("corp");
    struct store_group g = group_new("group-xx", false);
    struct store_device d = device_new("good");
    struct fleet_profile p;
    pthread_t thread;
    void *failed;
    strcpy(wish.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &wish, NULL, &err));
    join(g.id, d.id);
    assign(wish.id, g.id);
    ck_assert_int_eq(pthread_create(&thread, NULL, rename_group, &g), 0);
    for (unsigned i = 0; i < RENAMES; i++) {
        err_clear(&err);
        if (!make(PROFILE_STRONGSWAN, d.id, NULL, &p)) {
            ck_assert_msg(err.kind == ERR_CONFLICT && strstr(err.text, "meanwhile"), "%s",
                          err.text);
            continue;
        }
        expect_one_name(&p);
    }
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    ok(make(PROFILE_STRONGSWAN, d.id, NULL, &p));
    expect_one_name(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fleet/profile_new");
    TCase *c = tcase_create("profile_new");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, no_upstream_is_asked_in_vain);
    tcase_add_test(c, made_before_the_write);
    tcase_add_test(c, the_challenge_is_the_one_in_the_file);
    tcase_add_test(c, file_and_challenge_have_one_name);
    suite_add_tcase(s, c);
    return check_main(s);
}
