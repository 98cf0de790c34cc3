/* POST /profiles, once and again. */
#include "api_fixture.h"
#include "check_main.h"

#include "api/api.h"
#include "store/fleet.h"
#include "test_keys.h"

static struct config config;
static struct config_rooms rooms;
static struct authority authority;
static struct buf ca; /* DER */

static void setup(void)
{
    api_setup();
    EVP_PKEY *key = test_ec_key("P-256");
    X509 *x = test_cert(key, "Example Device CA");
    ca = test_cert_der(x);
    X509_free(x);
    EVP_PKEY_free(key);
    authority = (struct authority){.name = "demo"};
    ck_assert(cert_parse(buf_view(&ca), &authority.cert, &err));
    config = (struct config){.url = "http://scep.example.org", .endpoint_n = 1, .authority_n = 1};
    snprintf(config.endpoint[0].path, sizeof config.endpoint[0].path, "/scep");
    snprintf(config.endpoint[0].authority, sizeof config.endpoint[0].authority, "demo");
    snprintf(config.authority[0].name, sizeof config.authority[0].name, "demo");
    snprintf(config.profiles.identifier, sizeof config.profiles.identifier, "scepd");
    rooms = (struct config_rooms){.authority = {&authority}};
    memset(rooms.challenge_key.bytes, 7, sizeof rooms.challenge_key.bytes);
    world.config = &config;
    world.rooms = &rooms;
}

static void teardown(void)
{
    cert_free(authority.cert);
    buf_clear(&ca);
    api_teardown();
}

static void put_fleet(void)
{
    struct store_write *w = NULL;
    struct store_device d = {
        .id = "dev_aaaaaa", .name = "ipad", .created_at = NOW, .changed_at = NOW, .version = 1};
    struct store_policy p = {.id = "pol_aaaaaa",
                             .name = "corp",
                             .subject = "CN=%devicename%",
                             .endpoint = "/scep",
                             .challenge_ttl = 3600,
                             .key_type = "rsa",
                             .key_size = 1024, /* weak: the answer warns of it */
                             .key_usage = 3,
                             .created_at = NOW,
                             .changed_at = NOW,
                             .version = 1};
    ck_assert(store_write_begin(world.store, &w, &err));
    ck_assert(store_device_put(w, &d, &err) && store_policy_put(w, &p, &err) &&
              store_policy_assign(w, p.id, d.id, "test", NOW, &err));
    ck_assert(store_write_commit(w, &err));
}

/* What is said of the file beside it is the same. */
START_TEST(the_same_again)
{
    static const char *const names[] = {"Content-Disposition", "X-Challenge-Id",
                                        "X-Challenge-Expires", "X-Warning"};
    static const char body[] = "{\"platform\":\"apple\",\"device\":\"ipad\"}";
    char value[sizeof names / sizeof *names][300];
    put_fleet();
    call_with(HTTP_POST, "/api/v1/profiles", body, API_IDEMPOTENCY_KEY, "one");
    is(200);
    struct buf first = {0};
    ck_assert(buf_append(&first, reply.body.p, reply.body.n));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(value[i], sizeof value[i], "%s", header(names[i]));
        ck_assert_msg(value[i][0], "no %s", names[i]);
    }
    call_with(HTTP_POST, "/api/v1/profiles", body, API_IDEMPOTENCY_KEY, "one");
    is(200);
    ck_assert_str_eq(header("Idempotency-Replayed"), "true");
    ck_assert_uint_eq(reply.body.n, first.n);
    ck_assert_mem_eq(reply.body.p, first.p, first.n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_str_eq(header(names[i]), value[i]);
    buf_clear(&first);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api/profiles");
    TCase *c = tcase_create("profiles");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_same_again);
    suite_add_tcase(s, c);
    return check_main(s);
}
