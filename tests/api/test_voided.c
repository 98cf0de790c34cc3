/* What a change of names voids on its way is told: with the item, and by the problem document when
 * the change is refused after that. */
#include "api_fixture.h"
#include "check_main.h"
#include "fleet/fleet.h"

#define DEVICES 3

static void setup(void)
{
    api_setup();
}

static void teardown(void)
{
    uint64_t problems;
    ck_assert(store_verify(world.store, NULL, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 0);
    api_teardown();
}

static void put_group(const char *id, const char *name)
{
    struct store_group g = {.created_at = NOW, .changed_at = NOW, .version = 1};
    snprintf(g.id, sizeof g.id, "%s", id);
    snprintf(g.name, sizeof g.name, "%s", name);
    written(store_group_put(in, &g, &err));
}

/* Each with a challenge by policy "named", which it has by group "sales". */
static void put_devices(void)
{
    struct store_policy p = {.id = "pol_aaaaaa",
                             .name = "named",
                             .endpoint = "/scep",
                             .subject = "CN=%devicename%,OU=%group%",
                             .key_type = "rsa",
                             .key_size = 2048,
                             .key_usage = 3,
                             .created_at = NOW,
                             .changed_at = NOW,
                             .version = 1};
    put_group("grp_bbbbbb", "sales");
    written(store_policy_put(in, &p, &err));
    written(store_policy_assign(in, p.id, "grp_bbbbbb", "test", NOW, &err));
    for (int i = 0; i < DEVICES; i++) {
        struct store_device d = {.created_at = NOW, .changed_at = NOW, .version = 1};
        struct store_challenge c = {
            .uses = 1, .created_at = NOW, .expires_at = NOW + 1000, .hash = {(uint8_t)(i + 1)}};
        snprintf(d.id, sizeof d.id, "dev_aaaaa%c", 'a' + i);
        snprintf(d.name, sizeof d.name, "d-%d", i);
        snprintf(c.id, sizeof c.id, "chl_aaaaa%c", 'a' + i);
        snprintf(c.device, sizeof c.device, "%s", d.id);
        snprintf(c.policy, sizeof c.policy, "%s", p.id);
        snprintf(c.subject, sizeof c.subject, "CN=%s,OU=sales", d.name);
        written(store_device_put(in, &d, &err) && store_challenge_put(in, &c, &err) &&
                store_group_add(in, "grp_bbbbbb", d.id, "test", NOW, &err));
    }
}

/* ---- somebody who is quicker ---- */

static bool (*meanwhile)(void *ctx, const struct fleet_effects *so_far);

bool __real_fleet_group_edit(const struct fleet *f, uint64_t version, struct store_group *g,
                             struct fleet_effects *e, struct err *why);
bool __wrap_fleet_group_edit(const struct fleet *f, uint64_t version, struct store_group *g,
                             struct fleet_effects *e, struct err *why);

bool __wrap_fleet_group_edit(const struct fleet *f, uint64_t version, struct store_group *g,
                             struct fleet_effects *e, struct err *why)
{
    ck_assert_ptr_nonnull(e);
    e->step = meanwhile;
    return __real_fleet_group_edit(f, version, g, e, why);
}

static bool name_is_taken(void *ctx, const struct fleet_effects *so_far)
{
    put_group("grp_cccccc", "marketing");
    return true;
}

static bool note_is_changed(void *ctx, const struct fleet_effects *so_far)
{
    struct store_group g;
    ck_assert(store_group_get(world.store, "sales", &g, &err));
    snprintf(g.note, sizeof g.note, "of theirs");
    written(store_group_replace(in, &g, g.version, &err));
    return true;
}

/* ---- the tests ---- */

static json_int_t voided(void)
{
    const json_t *effects = json_object_get(answer, "effects");
    ck_assert_msg(json_is_object(effects), "%.*s", (int)reply.body.n, (char *)reply.body.p);
    return json_integer_value(json_object_get(effects, "challenges"));
}

static void rename_sales(const char *match, bool (*step)(void *, const struct fleet_effects *))
{
    meanwhile = step;
    call_with(HTTP_PATCH, "/api/v1/groups/sales", "{\"name\":\"marketing\"}", API_IF_MATCH, match);
}

START_TEST(told_with_the_item)
{
    put_devices();
    rename_sales("\"1\"", NULL);
    is(200);
    ck_assert_str_eq(text("name"), "marketing");
    ck_assert_int_eq(voided(), DEVICES);
}
END_TEST

START_TEST(told_by_the_problem)
{
    put_devices();
    rename_sales("\"1\"", name_is_taken);
    is_problem(409, "exists");
    ck_assert_int_eq(voided(), DEVICES);
    call(HTTP_GET, "/api/v1/groups/none", NULL);
    is_problem(404, "not_found");
    ck_assert_ptr_null(json_object_get(answer, "effects"));
}
END_TEST

/* The call is tried twice when somebody else changed the item. */
START_TEST(told_when_it_is_another_by_then)
{
    put_devices();
    rename_sales("\"1\"", note_is_changed);
    is_problem(412, "changed");
    ck_assert_int_eq(voided(), DEVICES);
    ck_assert_ptr_nonnull(json_object_get(answer, "current"));
}
END_TEST

START_TEST(told_of_both_tries)
{
    put_devices();
    rename_sales("*", note_is_changed);
    is(200);
    ck_assert_str_eq(text("name"), "marketing");
    ck_assert_str_eq(text("note"), "of theirs");
    ck_assert_int_eq(voided(), DEVICES);
}
END_TEST

/* A group that is asked before the one that the devices had the policy by. */
START_TEST(told_when_groups_change)
{
    put_devices();
    put_group("grp_aaaaaa", "first");
    call_with(HTTP_PUT, "/api/v1/groups/first/members/d-0", "{}", API_IF_MATCH, "*");
    is(200);
    ck_assert_int_eq(voided(), 0); /* the policy is not given by it yet */
    call_with(HTTP_PUT, "/api/v1/policies/named/assignments/first", "{\"force\":true}",
              API_IF_MATCH, "*");
    is(200);
    ck_assert_int_eq(voided(), 1);
    call_with(HTTP_PUT, "/api/v1/groups/first/members/d-1", "{}", API_IF_MATCH, "*");
    is(200);
    ck_assert_int_eq(voided(), 1);
    call_with(HTTP_DELETE, "/api/v1/groups/sales/members/d-2", NULL, API_IF_MATCH, "*");
    is(200);
    ck_assert_int_eq(voided(), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api/voided");
    TCase *t = tcase_create("voided");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, told_with_the_item);
    tcase_add_test(t, told_by_the_problem);
    tcase_add_test(t, told_when_it_is_another_by_then);
    tcase_add_test(t, told_of_both_tries);
    tcase_add_test(t, told_when_groups_change);
    suite_add_tcase(s, t);
    return check_main(s);
}
