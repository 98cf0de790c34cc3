/* What /bulk chooses and does, and what lists choose: called from memory. */
#include <openssl/evp.h>

#include "api_fixture.h"
#include "check_main.h"

#include "api/api.h"
#include "pkcs7/name.h"
#include "store/fleet.h"
#include "store/job.h"

static struct config config;
static struct config_rooms rooms;
static unsigned certificates;

static void setup(void)
{
    api_setup();
    config = (struct config){.url = "http://scep.example.org", .endpoint_n = 1};
    snprintf(config.endpoint[0].path, sizeof config.endpoint[0].path, "/scep");
    rooms = (struct config_rooms){.member_n = 0};
    memset(rooms.challenge_key.bytes, 7, sizeof rooms.challenge_key.bytes);
    world.config = &config;
    world.rooms = &rooms;
    certificates = 0;
}

static void nothing_wrong(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

static void teardown(void)
{
    uint64_t problems;
    ck_assert(store_verify(world.store, nothing_wrong, NULL, &problems, &err));
    api_teardown();
}

/* ---- records ---- */

/* One that ends `days` from now. */
static void put_cert_of(const char *serial, size_t serial_len, const char *subject,
                        const char *template_name, const char *challenge, int days)
{
    struct store_cert c = {
        .serial_len = serial_len, .not_before = NOW - 1000 * 86400, .issued_at = NOW - 1000};
    unsigned n = ++certificates;
    c.not_after = NOW + 86400 * (int64_t)days;
    c.issued_at += n;
    memcpy(c.serial, serial, serial_len);
    memset(c.key_hash, (int)n, sizeof c.key_hash);
    snprintf(c.subject, sizeof c.subject, "%s", subject);
    snprintf(c.template_name, sizeof c.template_name, "%s", template_name);
    snprintf(c.challenge, sizeof c.challenge, "%s", challenge);
    struct name name = {0};
    ck_assert(name_from_text(subject, &name, &err) && name_hash(&name, c.subject_hash, &err));
    name_clear(&name);
    ck_assert(buf_append(&c.der, &n, sizeof n));
    ck_assert(EVP_Digest(c.der.p, c.der.n, c.der_hash, NULL, EVP_sha256(), NULL) == 1);
    written(store_cert_put(in, &c, &err));
    store_cert_clear(&c);
}

static void put_cert(const char *serial, size_t serial_len, const char *template_name,
                     const char *challenge, int days)
{
    char subject[40];
    snprintf(subject, sizeof subject, "CN=device-%u", certificates + 1);
    put_cert_of(serial, serial_len, subject, template_name, challenge, days);
}

static void put_request(const char *id, enum request_state state)
{
    struct store_request r = {.state = state, .created_at = NOW - 10, .expires_at = NOW + 1000};
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.endpoint, sizeof r.endpoint, "/scep");
    snprintf(r.transaction, sizeof r.transaction, "tx-%s", id);
    ck_assert(buf_append_str(&r.csr, "none"));
    struct store_tx t = {.state = TX_PENDING, .created_at = NOW - 10, .changed_at = NOW - 10};
    snprintf(t.endpoint, sizeof t.endpoint, "/scep");
    snprintf(t.transaction, sizeof t.transaction, "%s", r.transaction);
    snprintf(t.request, sizeof t.request, "%s", id);
    written(store_request_put(in, &r, &err) && store_tx_put(in, &t, NULL, &err));
    store_request_clear(&r);
}

static void put_device(const char *id)
{
    struct store_device d = {.created_at = NOW, .changed_at = NOW, .version = 1};
    snprintf(d.id, sizeof d.id, "%s", id);
    snprintf(d.name, sizeof d.name, "name-%s", id + 4);
    written(store_device_put(in, &d, &err));
}

static void put_policy(const char *id, const char *name)
{
    struct store_policy p = {.created_at = NOW,
                             .changed_at = NOW,
                             .version = 1,
                             .subject = "CN=%devicename%",
                             .endpoint = "/scep",
                             .key_type = "rsa",
                             .key_size = 2048,
                             .key_usage = 3};
    snprintf(p.id, sizeof p.id, "%s", id);
    snprintf(p.name, sizeof p.name, "%s", name);
    written(store_policy_put(in, &p, &err));
}

/* ---- asking ---- */

static size_t items(void)
{
    return json_array_size(json_object_get(answer, "items"));
}

static json_int_t number(const char *name)
{
    return json_integer_value(json_object_get(answer, name));
}

static void listed(const char *path, size_t expected)
{
    call(HTTP_GET, path, NULL);
    is(200);
    ck_assert_msg(items() == expected && json_is_null(json_object_get(answer, "next")), "%s: %.*s",
                  path, (int)reply.body.n, (char *)reply.body.p);
}

static void matches(const char *action, const char *filter, json_int_t expected)
{
    char body[400];
    snprintf(body, sizeof body, "{\"action\":\"%s\",\"filter\":%s,\"dry_run\":true}", action,
             filter);
    call(HTTP_POST, "/api/v1/bulk", body);
    is(200);
    ck_assert_msg(number("matched") == expected, "%s %s: %d", action, filter,
                  (int)number("matched"));
}

static void no_filter(const char *action, const char *filter, const char *pointer)
{
    char body[400];
    snprintf(body, sizeof body, "{\"action\":\"%s\",\"filter\":%s,\"dry_run\":true}", action,
             filter);
    call(HTTP_POST, "/api/v1/bulk", body);
    ck_assert_msg(reply.status == 422, "%s %s: %d", action, filter, reply.status);
    json_t *fault = json_array_get(json_object_get(answer, "errors"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(fault, "pointer")), pointer);
}

/* Makes the job and runs it to its end. */
static void run(const char *body)
{
    char path[100];
    bool more = true;
    call(HTTP_POST, "/api/v1/bulk", body);
    is(202);
    snprintf(path, sizeof path, "/api/v1/jobs/%s",
             json_string_value(json_object_get(json_object_get(answer, "job"), "id")));
    while (more)
        ck_assert_msg(api_jobs_step(&world, NOW, &more, &err), "%s", err.text);
    call(HTTP_GET, path, NULL);
    is(200);
    ck_assert_str_eq(text("state"), "done");
}

/* ---- choosing ---- */

START_TEST(a_filter_is_understood_or_refused)
{
    put_cert("\x40\x00\x01", 3, "device", "", 5);
    put_cert("\x40\x00\x02", 3, "device", "", 100);
    put_cert("\x40\x00\x03", 3, "other", "", 100);
    put_cert("\x40\x00\x04", 3, "device", "", -5);
    put_request("req_aaaaaa", REQUEST_PENDING);
    put_request("req_bbbbbb", REQUEST_PENDING);
    put_device("dev_aaaaaa");
    matches("revoke", "{}", 3);
    matches("revoke", "{\"state\":\"active\"}", 3);
    matches("revoke", "{\"state\":\"expiring\"}", 1); /* as GET /certificates?state=expiring */
    matches("revoke", "{\"state\":\"expired\"}", 1);
    matches("revoke", "{\"state\":\"held\"}", 0);
    matches("revoke", "{\"template\":\"other\",\"user\":null}", 1);
    no_filter("revoke", "{\"user\":\"bob\"}", "/filter/user");
    no_filter("revoke", "{\"group\":\"grp_aaaaaa\"}", "/filter/group");
    no_filter("revoke", "{\"platform\":\"apple\"}", "/filter/platform");
    no_filter("revoke", "{\"state\":\"isolated\"}", "/filter/state");
    no_filter("revoke", "{\"template\":\"\"}", "/filter/template");
    matches("approve", "{\"endpoint\":\"/scep\"}", 2);
    matches("deny", "{\"state\":\"denied\"}", 0);
    no_filter("approve", "{\"template\":\"device\"}", "/filter/template");
    no_filter("deny", "{\"q\":\"CN=a\"}", "/filter/q");
    no_filter("deny", "{\"state\":\"active\"}", "/filter/state");
    matches("retire", "{\"state\":\"active\"}", 1);
    no_filter("retire", "{\"device\":\"dev_bbbbbb\"}", "/filter/device");
    no_filter("isolate", "{\"endpoint\":\"/scep\"}", "/filter/endpoint");
    no_filter("release", "{\"state\":\"expired\"}", "/filter/state");
}
END_TEST

START_TEST(lists_choose_before_they_are_cut)
{
    struct store_challenge ch = {.uses = 1, .created_at = NOW - 100, .expires_at = NOW + 100};
    for (unsigned i = 0; i < 60; i++) {
        char serial[3] = {0x41, 0, (char)i};
        put_cert(serial, 3, "device", i < 2 ? "chl_cccccc" : "chl_dddddd",
                 i < 3   ? -5
                 : i < 5 ? 5
                         : 100);
        snprintf(ch.id, sizeof ch.id, "chl_%06u", i);
        memset(ch.hash, (int)i + 1, sizeof ch.hash);
        ch.created_at++;
        ch.expires_at = i < 4 ? NOW - 1 : NOW + 100;
        written(store_challenge_put(in, &ch, &err));
    }
    uint8_t hash[STORE_HASH];
    struct store_use use = {.at = NOW};
    memset(hash, 10, sizeof hash);
    written(store_challenge_burn(in, hash, &use, &err));
    written(store_challenge_revoke(in, "chl_000010", NOW, &err));
    written(store_challenge_revoke(in, "chl_000011", NOW, &err));
    listed("/api/v1/certificates?state=expired", 3);
    listed("/api/v1/certificates?state=expiring", 2);
    listed("/api/v1/certificates?challenge=chl_cccccc", 2);
    listed("/api/v1/certificates?until=2027-01-15T07:43:23Z", 2); /* the oldest are the last ones */
    listed("/api/v1/certificates?sort=oldest&since=2027-01-15T07:44:18Z", 3);
    listed("/api/v1/certificates?state=expired&expires_before=2028-01-01T00:00:00Z", 0);
    listed("/api/v1/challenges?state=expired", 4);
    listed("/api/v1/challenges?state=used", 1);
    listed("/api/v1/challenges?state=revoked", 2);
    call(HTTP_GET, "/api/v1/challenges?state=active&limit=500", NULL);
    ck_assert_uint_eq(items(), 53);
}
END_TEST

START_TEST(a_serial_and_a_filter)
{
    put_cert("\x42\x00\x01\x05", 4, "device", "", 100);
    listed("/api/v1/certificates?q=420001", 1);
    listed("/api/v1/certificates?q=420001&template=device&state=active", 1);
    listed("/api/v1/certificates?q=420001&template=other", 0);
    listed("/api/v1/certificates?q=420001&endpoint=%2Fother", 0);
    listed("/api/v1/certificates?q=420001&device=dev_aaaaaa", 0);
    listed("/api/v1/certificates?q=420001&state=expiring", 0);
    listed("/api/v1/certificates?q=420001&expires_before=2027-01-20T00:00:00Z", 0);
}
END_TEST

/* The same words mean the same in the list and in /bulk. */
START_TEST(a_serial_means_one_certificate)
{
    put_cert("\x43\x00\x01\x05", 4, "device", "", 100);
    put_cert_of("\x44\x00\x01\x05", 4, "CN=host-430001", "device", "", 100);
    listed("/api/v1/certificates?q=430001", 1);
    matches("revoke", "{\"q\":\"430001\"}", 1);
    matches("revoke", "{\"q\":\"430001\",\"template\":\"other\"}", 0);
    run("{\"action\":\"revoke\",\"filter\":{\"q\":\"430001\"},\"expect\":1}");
    call(HTTP_GET, "/api/v1/certificates/43000105", NULL);
    ck_assert_str_eq(text("state"), "revoked");
    call(HTTP_GET, "/api/v1/certificates/44000105", NULL);
    ck_assert_str_eq(text("state"), "active");
    matches("revoke", "{\"q\":\"430001\"}", 0);
    matches("revoke", "{\"q\":\"host-430001\"}", 1);
}
END_TEST

/* What was imported has serials that others gave. */
START_TEST(short_serials)
{
    put_cert("\x01", 1, "device", "", 100);
    put_cert("\x7f\x10", 2, "device", "", 100);
    put_cert("\x7f\x10\x20", 3, "device", "", 100);
    put_cert("\x7f\x10\x20\x30", 4, "device", "", 100);
    static const char *const ids[] = {"01", "7f10", "7f1020", "7f102030"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char path[80];
        snprintf(path, sizeof path, "/api/v1/certificates/%s", ids[i]);
        call(HTTP_GET, path, NULL);
        is(200);
        ck_assert_str_eq(text("serial"), ids[i]);
    }
    static const char *const none[] = {"7f", "1", "02", "7f1", "7f102"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char path[80];
        snprintf(path, sizeof path, "/api/v1/certificates/%s", none[i]);
        call(HTTP_GET, path, NULL);
        is_problem(404, "not_found");
    }
    call_with(HTTP_POST, "/api/v1/certificates/01/revoke", NULL, API_IF_MATCH, "*");
    is(200);
    ck_assert_str_eq(text("state"), "revoked");
    run("{\"action\":\"revoke\",\"filter\":{},\"expect\":3}");
    ck_assert_int_eq(number("failed"), 0);
}
END_TEST

/* ---- doing ---- */

START_TEST(a_job_knows_its_policy_by_id)
{
    put_policy("pol_aaaaaa", "corp");
    put_device("dev_aaaaaa");
    written(store_policy_assign(in, "pol_aaaaaa", "dev_aaaaaa", "test", NOW, &err));
    call(HTTP_POST, "/api/v1/bulk",
         "{\"action\":\"unassign\",\"ids\":[\"dev_aaaaaa\"],\"policy\":\"corp\",\"expect\":1}");
    is(202);
    struct store_policy p;
    ck_assert(store_policy_get(world.store, "corp", &p, &err));
    snprintf(p.name, sizeof p.name, "old");
    written(store_policy_replace(in, &p, p.version, &err));
    put_policy("pol_bbbbbb", "corp");
    written(store_policy_assign(in, "pol_bbbbbb", "dev_aaaaaa", "test", NOW, &err));
    for (bool more = true; more;)
        ck_assert(api_jobs_step(&world, NOW, &more, &err));
    struct store_reach reach;
    ck_assert(store_policy_reach(world.store, "pol_aaaaaa", "dev_aaaaaa", &reach, &err));
    ck_assert_int_eq(reach.way, WAY_NONE);
    ck_assert(store_policy_reach(world.store, "pol_bbbbbb", "dev_aaaaaa", &reach, &err));
    ck_assert_int_eq(reach.way, WAY_DEVICE);
}
END_TEST

/* A step whose end was not noted is done again. */
START_TEST(what_is_done_already_is_done)
{
    put_policy("pol_aaaaaa", "corp");
    put_device("dev_aaaaaa");
    put_request("req_aaaaaa", REQUEST_ISSUED);
    put_request("req_bbbbbb", REQUEST_DENIED);
    run("{\"action\":\"unassign\",\"ids\":[\"dev_aaaaaa\",\"dev_none\"],\"policy\":\"corp\","
        "\"expect\":2}");
    ck_assert_int_eq(number("failed"), 1);
    ck_assert_ptr_nonnull(strstr(text("failure"), "dev_none"));
    run("{\"action\":\"approve\",\"ids\":[\"req_aaaaaa\"],\"expect\":1}");
    ck_assert_int_eq(number("failed"), 0);
    run("{\"action\":\"deny\",\"ids\":[\"req_aaaaaa\",\"req_bbbbbb\"],\"expect\":2}");
    ck_assert_int_eq(number("failed"), 1);
    ck_assert_ptr_nonnull(strstr(text("failure"), "req_aaaaaa"));
}
END_TEST

/* The answer names the certificates that stay good, which are not of the device: `n` of them. */
static void warns(size_t n)
{
    const json_t *all = json_object_get(answer, "warnings");
    ck_assert(json_is_array(all));
    ck_assert_msg(json_array_size(all) == n, "%zu: %.*s", json_array_size(all), (int)reply.body.n,
                  (char *)reply.body.p);
    for (size_t i = 0; i < n; i++)
        ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(all, i)), "stays good"));
}

START_TEST(what_stays_good_is_named_by_all_that_take_away)
{
    struct store_group g = {.created_at = NOW, .changed_at = NOW, .version = 1};
    strcpy(g.id, "grp_aaaaaa");
    strcpy(g.name, "all");
    put_policy("pol_aaaaaa", "corp");
    put_device("dev_aaaaaa");
    put_device("dev_bbbbbb");
    written(store_group_put(in, &g, &err) &&
            store_group_add(in, g.id, "dev_aaaaaa", "test", NOW, &err) &&
            store_group_add(in, g.id, "dev_bbbbbb", "test", NOW, &err) &&
            store_policy_assign(in, "pol_aaaaaa", g.id, "test", NOW, &err));
    put_cert_of("\x40\x00\x01", 3, "CN=name-aaaaaa", "device", "", 100);
    put_cert_of("\x40\x00\x02", 3, "CN=name-bbbbbb", "device", "", 100);
    put_cert_of("\x40\x00\x03", 3, "CN=somebody", "device", "", 100);
    matches("retire", "{}", 2);
    warns(2);
    matches("isolate", "{}", 2);
    warns(0);
    matches("revoke", "{}", 3);
    warns(0);
    call(
        HTTP_POST, "/api/v1/bulk",
        "{\"action\":\"unassign\",\"ids\":[\"name-bbbbbb\"],\"policy\":\"corp\",\"dry_run\":true}");
    is(200); /* it has the policy by its group */
    warns(0);
    call_with(HTTP_DELETE, "/api/v1/groups/all/members/name-aaaaaa", NULL, API_IF_MATCH, "*");
    is(200);
    warns(1);
    call_with(HTTP_DELETE, "/api/v1/groups/all/members/name-aaaaaa", NULL, API_IF_MATCH, "*");
    is(200); /* it was not in */
    warns(0);
    call_with(HTTP_DELETE, "/api/v1/groups/all", NULL, API_IF_MATCH, "*");
    is(200);
    warns(1);
    run("{\"action\":\"retire\",\"ids\":[\"dev_aaaaaa\"],\"expect\":1}");
}
END_TEST

static void put_job(const char *id, int64_t created_at)
{
    struct store_write *in = api_begin();
    struct store_job j = {.state = JOB_DONE,
                          .total = 1,
                          .done = 1,
                          .created_at = created_at,
                          .action = "retire",
                          .changed_at = NOW,
                          .created_by = "test",
                          .parameters = "{}",
                          .version = 1};
    snprintf(j.id, sizeof j.id, "%s", id);
    ck_assert_msg(store_job_put(in, &j, view_of("dev_aaaaaa", 11), &err), "%s", err.text);
    ck_assert(store_write_commit(in, &err));
}

#define JOBS 620

/* Newest first to the oldest, by pages; what is made meanwhile neither hides nor repeats one. */
START_TEST(all_jobs_are_told)
{
    static unsigned times[JOBS];
    char path[200] = "/api/v1/jobs?limit=100", id[32], next[100], was[80] = "9", now[80];
    unsigned number, pages = 0;
    memset(times, 0, sizeof times);
    for (unsigned i = 0; i < JOBS; i++) { /* ids tell nothing of their age, and some are as old */
        snprintf(id, sizeof id, "job_%06u", (i * 7) % JOBS);
        put_job(id, NOW - 1000 + i / 3);
    }
    while (*path) {
        call(HTTP_GET, path, NULL);
        is(200);
        ck_assert_uint_lt(pages++, 10);
        for (size_t i = 0; i < items(); i++) {
            const json_t *one = json_array_get(json_object_get(answer, "items"), i);
            snprintf(id, sizeof id, "%s", json_string_value(json_object_get(one, "id")));
            snprintf(now, sizeof now, "%s", json_string_value(json_object_get(one, "created_at")));
            ck_assert_str_le(now, was);
            snprintf(was, sizeof was, "%s", now);
            ck_assert(sscanf(id, "job_%06u", &number) == 1 && number < JOBS);
            times[number]++;
        }
        snprintf(next, sizeof next, "%s", text("next"));
        snprintf(path, sizeof path, *next ? "/api/v1/jobs?limit=100&cursor=%s" : "", next);
        snprintf(id, sizeof id, "job_%06u", JOBS + pages);
        put_job(id, NOW);
    }
    for (unsigned i = 0; i < JOBS; i++)
        ck_assert_uint_eq(times[i], 1);
    static const char *const forged[] = {"100", "1.", "1.job_000001x/", "x.job_000001",
                                         "1e3.job_000001"};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        snprintf(path, sizeof path, "/api/v1/jobs?cursor=%s", forged[i]);
        call(HTTP_GET, path, NULL);
        is(422);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api/bulk");
    TCase *c = tcase_create("bulk");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_filter_is_understood_or_refused);
    tcase_add_test(c, lists_choose_before_they_are_cut);
    tcase_add_test(c, a_serial_and_a_filter);
    tcase_add_test(c, a_serial_means_one_certificate);
    tcase_add_test(c, short_serials);
    tcase_add_test(c, a_job_knows_its_policy_by_id);
    tcase_add_test(c, what_is_done_already_is_done);
    tcase_add_test(c, what_stays_good_is_named_by_all_that_take_away);
    tcase_add_test(c, all_jobs_are_told);
    suite_add_tcase(s, c);
    return check_main(s);
}
