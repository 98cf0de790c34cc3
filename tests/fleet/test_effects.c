/* What goes with a device, a group or a policy, with an assignment or a member. */
#include "fleet_world.h"

/* ---- devices ---- */

START_TEST(device_retired)
{
    struct store_device d = device_new("a"), b = device_new("b"), out;
    struct store_policy p = policy_new("corp");
    assign("corp", "a");
    assign("corp", "b");
    uint64_t one = cert_new(1, d.id, p.id), two = cert_new(2, d.id, ""),
             other = cert_new(3, b.id, p.id);
    request_new("req_000001", d.id, p.id);
    request_new("req_000002", b.id, p.id);
    struct fleet_challenge c = challenge_for("a", "corp"), kept = challenge_for("b", NULL);

    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    ok(fleet_device_retire(&fleet, "a", 0, "", &plan, &out, &err));
    ck_assert_int_eq(cert_state(one), CERT_ACTIVE);
    ok(fleet_device_get(&fleet, "a", &out, &err));
    ck_assert_int_eq(out.state, DEVICE_ACTIVE);
    ok(fleet_device_retire(&fleet, "a", 1, "sold", &done, &out, &err));
    ck_assert_int_eq(out.state, DEVICE_RETIRED);
    ck_assert_uint_eq(plan.devices, 1);
    ck_assert_uint_eq(plan.certificates, 2);
    ck_assert_uint_eq(plan.requests, 1);
    ck_assert_uint_eq(plan.challenges, 1);
    ck_assert_uint_eq(done.devices, plan.devices);
    ck_assert_uint_eq(done.certificates, plan.certificates);
    ck_assert_uint_eq(done.requests, plan.requests);
    ck_assert_uint_eq(done.challenges, plan.challenges);
    ck_assert_int_eq(cert_state(one), CERT_REVOKED);
    ck_assert_int_eq(cert_state(two), CERT_REVOKED);
    ck_assert_int_eq(cert_state(other), CERT_ACTIVE);
    ck_assert_int_eq(request_state("req_000001"), REQUEST_DENIED);
    ck_assert_int_eq(request_state("req_000002"), REQUEST_PENDING);
    ck_assert(!challenge_open(c.record.id));
    ck_assert(challenge_open(kept.record.id));

    struct fleet_effects more = {.dry_run = false};
    refused(fleet_device_retire(&fleet, d.id, 0, "", &more, &out, &err), ERR_CONFLICT,
            "is retired already");
    struct fleet_challenge_wish wish = {.device = d.id, .policy = "corp"};
    refused(fleet_challenge_new(&fleet, &wish, &c, &err), ERR_REFUSED, "is retired");
    ck_assert_int_eq(err.kind, ERR_NONE);
    /* its name is free */
    struct store_device again = device_new("a");
    ck_assert_str_ne(again.id, d.id);
    ok(fleet_device_get(&fleet, d.id, &out, &err));
    ck_assert_msg(strstr(out.name, "a (retired dev_") == out.name, "%s", out.name);
}
END_TEST

/* An interruption in the middle: the same call goes on. */
static bool stop_at_once(void *ctx, const struct fleet_effects *so_far)
{
    (*(int *)ctx)++;
    return false;
}

START_TEST(retired_in_two_goes)
{
    struct store_device d = device_new("a"), out;
    unsigned many = 600;
    int steps = 0;
    for (unsigned i = 0; i < many; i++)
        cert_new(i + 1, d.id, "");
    struct fleet_effects e = {.step = stop_at_once, .ctx = &steps};
    ok(fleet_device_retire(&fleet, "a", 0, "", &e, &out, &err));
    ck_assert(e.stopped);
    ck_assert_int_eq(steps, 1);
    ck_assert_uint_gt(e.certificates, 0);
    ck_assert_uint_lt(e.certificates, many);
    struct fleet_effects rest = {.dry_run = false};
    ok(fleet_device_retire(&fleet, d.id, 0, "", &rest, &out, &err));
    ck_assert_uint_eq(e.certificates + rest.certificates, many);
}
END_TEST

/* Another user: what a group of users gave is gone, and what came by it. */
START_TEST(user_changed)
{
    struct store_device a = device_new("a"), b = device_new("b"), out;
    struct store_policy p = policy_new("corp"), kept = policy_wish("kept"),
                        both = policy_new("both");
    kept.revoke_on_removal = false;
    ok(fleet_policy_new(&fleet, &kept, NULL, &err));
    group_new("staff", true);
    join("staff", "anna");
    assign("corp", "staff");
    assign("kept", "staff");
    assign("both", "staff");
    assign("both", "a");
    strcpy(a.user, "Anna");
    strcpy(b.user, "anna");
    ok(fleet_device_edit(&fleet, 0, &a, NULL, &err));
    ok(fleet_device_edit(&fleet, 0, &b, NULL, &err));
    uint64_t gone = cert_new(1, a.id, p.id), stays = cert_new(2, a.id, kept.id),
             direct = cert_new(3, a.id, both.id), of_b = cert_new(4, b.id, p.id);
    request_new("req_000001", a.id, kept.id);
    request_new("req_000002", a.id, both.id);
    struct fleet_challenge c = challenge_for("a", "corp");

    strcpy(a.user, "ANNA"); /* the same */
    ok(fleet_device_edit(&fleet, 0, &a, NULL, &err));
    ck_assert_int_eq(cert_state(gone), CERT_ACTIVE);
    strcpy(a.user, "ben");
    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    ok(fleet_device_edit(&fleet, 0, &a, &plan, &err));
    ck_assert(plan.dry_run);
    ok(fleet_device_get(&fleet, "a", &out, &err));
    ck_assert_str_eq(out.user, "ANNA");
    ck_assert_int_eq(cert_state(gone), CERT_ACTIVE);
    ok(fleet_device_edit(&fleet, 0, &a, &done, &err));
    ck_assert_uint_eq(plan.devices, 1);
    ck_assert_uint_eq(plan.certificates, 1);
    ck_assert_uint_eq(plan.requests, 1);
    ck_assert_uint_eq(done.devices, 1);
    ck_assert_uint_eq(done.certificates, 1);
    ck_assert_uint_eq(done.requests, 1);
    ck_assert_int_eq(cert_state(gone), CERT_REVOKED);
    ck_assert_int_eq(cert_state(stays), CERT_ACTIVE);
    ck_assert_int_eq(cert_state(direct), CERT_ACTIVE);
    ck_assert_int_eq(cert_state(of_b), CERT_ACTIVE);
    ck_assert_int_eq(request_state("req_000001"), REQUEST_DENIED);
    ck_assert_int_eq(request_state("req_000002"), REQUEST_PENDING);
    ck_assert(!challenge_open(c.record.id));
}
END_TEST

/* ---- policies ---- */

START_TEST(unassigned_by_the_last_way)
{
    struct store_device a = device_new("a"), b = device_new("b");
    struct store_policy p = policy_new("corp");
    group_new("sales", false);
    join("sales", "a");
    join("sales", "b");
    assign("corp", "sales");
    assign("corp", "a");
    uint64_t of_a = cert_new(1, a.id, p.id), of_b = cert_new(2, b.id, p.id);
    request_new("req_000001", b.id, p.id);
    struct fleet_challenge ca = challenge_for("a", NULL), cb = challenge_for("b", NULL);
    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    ok(fleet_policy_unassign(&fleet, "corp", 0, "sales", &plan, &err));
    ck_assert_int_eq(cert_state(of_b), CERT_ACTIVE);
    ok(fleet_policy_unassign(&fleet, "corp", 0, "sales", &done, &err));
    ck_assert_uint_eq(plan.devices, 1);
    ck_assert_uint_eq(done.devices, 1);
    ck_assert_uint_eq(plan.certificates, 1);
    ck_assert_uint_eq(done.certificates, 1);
    ck_assert_uint_eq(done.requests, 1);
    ck_assert_uint_eq(plan.requests, 1);
    ck_assert_uint_eq(done.challenges, 1);
    ck_assert_int_eq(cert_state(of_a), CERT_ACTIVE); /* a has it directly */
    ck_assert(challenge_open(ca.record.id));
    ck_assert_int_eq(cert_state(of_b), CERT_REVOKED);
    ck_assert(!challenge_open(cb.record.id));
    ck_assert_int_eq(request_state("req_000001"), REQUEST_DENIED);
    struct fleet_effects none = {.dry_run = false};
    refused(fleet_policy_unassign(&fleet, "corp", 0, "sales", &none, &err), ERR_NOT_FOUND,
            "is not assigned to sales");
    struct fleet_challenge_wish wish = {.device = "b", .policy = "corp"};
    refused(fleet_challenge_new(&fleet, &wish, &cb, &err), ERR_REFUSED, "is not assigned");
    wish.policy = NULL;
    refused(fleet_challenge_new(&fleet, &wish, &cb, &err), ERR_REFUSED, "has no policy");
}
END_TEST

START_TEST(without_revocation)
{
    struct store_device a = device_new("a");
    struct store_policy p = policy_wish("corp");
    p.revoke_on_removal = false;
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    assign("corp", "a");
    uint64_t c = cert_new(1, a.id, p.id);
    struct fleet_effects e = {.dry_run = false};
    ok(fleet_policy_unassign(&fleet, "corp", 0, "a", &e, &err));
    ck_assert_uint_eq(e.certificates, 0);
    ck_assert_int_eq(cert_state(c), CERT_ACTIVE);
}
END_TEST

START_TEST(unassigned_in_two_goes)
{
    struct store_policy p = policy_new("corp");
    struct store_group g = group_new("all", false);
    struct store_write *w = begin();
    unsigned many = 600;
    int steps = 0;
    bool changed;
    for (unsigned i = 0; i < many; i++) {
        struct store_device d = {.id = ""};
        snprintf(d.name, sizeof d.name, "d-%u", i);
        ok(fleet_device_add(&fleet, w, &d, &err));
        ok(fleet_member_add_in(&fleet, w, &g, d.id, &changed, &err));
        struct store_cert c = cert_of(i + 1);
        c.not_after = NOW + 1000;
        strcpy(c.device, d.id);
        strcpy(c.policy, p.id);
        ok(store_cert_put(w, &c, &err));
        store_cert_clear(&c);
    }
    commit(w);
    assign("corp", "all");
    struct fleet_effects plan = {.dry_run = true}, e = {.step = stop_at_once, .ctx = &steps},
                         rest = {.dry_run = false};
    ok(fleet_policy_unassign(&fleet, "corp", 0, "all", &plan, &err));
    ck_assert_uint_eq(plan.devices, many);
    ck_assert_uint_eq(plan.certificates, many);
    ok(fleet_policy_unassign(&fleet, "corp", 0, "all", &e, &err));
    ck_assert(e.stopped && e.certificates > 0 && e.certificates < many);
    ok(fleet_policy_unassign(&fleet, "corp", 0, "all", &rest, &err));
    ck_assert_uint_eq(e.certificates + rest.certificates, many);
}
END_TEST

START_TEST(policy_removed)
{
    struct store_device a = device_new("a");
    struct store_policy p = policy_new("corp");
    group_new("sales", false);
    join("sales", "a");
    assign("corp", "sales");
    assign("corp", "a");
    uint64_t c = cert_new(1, a.id, p.id);
    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    ok(fleet_policy_remove(&fleet, "corp", 0, &plan, &err));
    struct store_policy out;
    ok(fleet_policy_get(&fleet, "corp", &out, &err));
    ck_assert(!out.paused);
    ok(fleet_policy_remove(&fleet, "corp", 1, &done, &err));
    ck_assert_uint_eq(plan.devices, 1);
    ck_assert_uint_eq(done.devices, 1);
    ck_assert_uint_eq(plan.certificates, 1);
    ck_assert_uint_eq(done.certificates, 1);
    ck_assert_int_eq(cert_state(c), CERT_REVOKED);
    fails(fleet_policy_get(&fleet, "corp", &out, &err), ERR_NOT_FOUND);
}
END_TEST

/* Another administrator, between what was looked through and the end. */
struct another {
    const char *policy, *group, *target;
};

static bool tie_again(void *ctx, const struct fleet_effects *so_far)
{
    struct another *a = ctx;
    if (a->target && so_far->challenges) {
        if (a->group)
            join(a->group, a->target);
        else
            assign(a->policy, a->target);
        a->target = NULL;
    }
    return true;
}

START_TEST(policy_given_while_it_is_removed)
{
    struct store_device a = device_new("a"), b = device_new("b");
    struct store_policy p = policy_new("corp"), out;
    assign("corp", "a");
    challenge_for("a", NULL);
    uint64_t of_a = cert_new(1, a.id, p.id), of_b = cert_new(2, b.id, p.id);
    struct another other = {.policy = "corp", .target = "b"};
    struct fleet_effects done = {.step = tie_again, .ctx = &other};
    ok(fleet_policy_remove(&fleet, "corp", 0, &done, &err));
    ck_assert_ptr_null(other.target);
    ck_assert_int_eq(cert_state(of_a), CERT_REVOKED);
    ck_assert_int_eq(cert_state(of_b), CERT_REVOKED);
    ck_assert_uint_eq(done.certificates, 2);
    fails(fleet_policy_get(&fleet, "corp", &out, &err), ERR_NOT_FOUND);
}
END_TEST

/* ---- groups ---- */

START_TEST(groups_of_users)
{
    struct store_device a = device_new("a"), b = device_new("b");
    struct store_policy p = policy_new("corp");
    struct store_reach r;
    strcpy(a.user, "Anna");
    strcpy(b.user, "ben");
    ok(fleet_device_edit(&fleet, 0, &a, NULL, &err));
    ok(fleet_device_edit(&fleet, 0, &b, NULL, &err));
    group_new("staff", true);
    join("staff", "anna");
    assign("corp", "staff");
    ok(store_policy_reach(st, p.id, a.id, &r, &err));
    ck_assert_int_eq(r.way, WAY_USER_GROUP);
    ok(store_policy_reach(st, p.id, b.id, &r, &err));
    ck_assert_int_eq(r.way, WAY_NONE);
    uint64_t c = cert_new(1, a.id, p.id);
    bool changed;
    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    ok(fleet_member_remove(&fleet, "staff", 0, "ANNA", &plan, &changed, &err));
    ok(fleet_member_remove(&fleet, "staff", 0, "ANNA", &done, &changed, &err));
    ck_assert(changed);
    ck_assert_uint_eq(plan.devices, 1);
    ck_assert_uint_eq(done.devices, 1);
    ck_assert_uint_eq(done.certificates, 1);
    ck_assert_int_eq(cert_state(c), CERT_REVOKED);
    ok(fleet_member_remove(&fleet, "staff", 0, "ANNA", &done, &changed, &err));
    ck_assert(!changed);
}
END_TEST

START_TEST(group_removed)
{
    struct store_device a = device_new("a"), b = device_new("b");
    struct store_policy p = policy_new("corp");
    struct store_group g = group_new("sales", false), out;
    join("sales", "a");
    join("sales", "b");
    assign("corp", "sales");
    assign("corp", "b");
    uint64_t of_a = cert_new(1, a.id, p.id), of_b = cert_new(2, b.id, p.id);
    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    ok(fleet_group_remove(&fleet, "sales", 0, &plan, &err));
    ok(fleet_group_get(&fleet, "sales", &out, &err));
    refused(fleet_group_remove(&fleet, "sales", 7, &done, &err), ERR_CONFLICT, "version");
    ok(fleet_group_remove(&fleet, "sales", g.version, &done, &err));
    ck_assert_uint_eq(plan.devices, 1);
    ck_assert_uint_eq(plan.certificates, 1);
    ck_assert_uint_eq(done.devices, 1);
    ck_assert_uint_eq(done.certificates, 1);
    ck_assert_int_eq(cert_state(of_a), CERT_REVOKED);
    ck_assert_int_eq(cert_state(of_b), CERT_ACTIVE);
    fails(fleet_group_get(&fleet, "sales", &out, &err), ERR_NOT_FOUND);
    refused(fleet_group_new(&fleet, &(struct store_group){.name = "grp_x"}, &err), ERR_CONFIG,
            "begins like an id");
}
END_TEST

START_TEST(member_while_the_group_is_removed)
{
    struct store_device a = device_new("a"), b = device_new("b");
    struct store_policy p = policy_new("corp");
    struct store_group out;
    group_new("sales", false);
    join("sales", "a");
    assign("corp", "sales");
    challenge_for("a", NULL);
    uint64_t of_a = cert_new(1, a.id, p.id), of_b = cert_new(2, b.id, p.id);
    struct another other = {.group = "sales", .target = "b"};
    struct fleet_effects done = {.step = tie_again, .ctx = &other};
    ok(fleet_group_remove(&fleet, "sales", 0, &done, &err));
    ck_assert_ptr_null(other.target);
    ck_assert_int_eq(cert_state(of_a), CERT_REVOKED);
    ck_assert_int_eq(cert_state(of_b), CERT_REVOKED);
    ck_assert_uint_eq(done.devices, 2);
    ck_assert_uint_eq(done.certificates, 2);
    fails(fleet_group_get(&fleet, "sales", &out, &err), ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fleet/effects");
    TCase *t = tcase_create("effects");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, world_setup, world_teardown);
    tcase_add_test(t, device_retired);
    tcase_add_test(t, retired_in_two_goes);
    tcase_add_test(t, user_changed);
    tcase_add_test(t, unassigned_by_the_last_way);
    tcase_add_test(t, without_revocation);
    tcase_add_test(t, unassigned_in_two_goes);
    tcase_add_test(t, policy_removed);
    tcase_add_test(t, policy_given_while_it_is_removed);
    tcase_add_test(t, groups_of_users);
    tcase_add_test(t, group_removed);
    tcase_add_test(t, member_while_the_group_is_removed);
    suite_add_tcase(s, t);
    return check_main(s);
}
