/* Another name for a group, other names by a policy: no open challenge is left that is bound to the
 * old ones, however many there are, and no write is longer for it. */
#include "fleet_internal.h"
#include "fleet_world.h"

#define MANY (2 * FLEET_BATCH + 100)

static struct store_policy policy;
static struct store_group sales;
static char challenge[MANY][32];

/* A challenge for every device of group sales, and one for device x of another group. */
static struct fleet_challenge world_of_many(void)
{
    struct store_write *w;
    bool changed;
    policy = policy_wish("named");
    strcpy(policy.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &policy, NULL, &err));
    sales = group_new("sales", false);
    group_new("other", false);
    device_new("x");
    join("other", "x");
    w = begin();
    for (int i = 0; i < MANY; i++) {
        struct store_device d = {.id = ""};
        snprintf(d.name, sizeof d.name, "d-%d", i);
        ok(fleet_device_add(&fleet, w, &d, &err));
        ok(fleet_member_add_in(&fleet, w, &sales, d.id, &changed, &err));
    }
    commit(w);
    assign("named", "sales");
    assign("named", "other");
    w = begin();
    for (int i = 0; i < MANY; i++) {
        char name[32];
        struct fleet_challenge c;
        snprintf(name, sizeof name, "d-%d", i);
        ok(fleet_challenge_add(&fleet, w, &(struct fleet_challenge_wish){.device = name}, &c,
                               &err));
        memcpy(challenge[i], c.record.id, sizeof challenge[i]);
    }
    commit(w);
    return challenge_for("x", NULL);
}

static int open_ones(void)
{
    int n = 0;
    for (int i = 0; i < MANY; i++)
        n += challenge_open(challenge[i]);
    return n;
}

/* What one write took away, and whether it is to be the last. */
struct watching {
    uint64_t before, most;
    bool stop;
    char made[32]; /* id of a challenge that somebody made after the first write */
};

static bool watch(void *ctx, const struct fleet_effects *so_far)
{
    struct watching *x = ctx;
    if (so_far->challenges - x->before > x->most)
        x->most = so_far->challenges - x->before;
    x->before = so_far->challenges;
    if (!x->made[0])
        strcpy(x->made, challenge_for("d-0", NULL).record.id);
    return !x->stop;
}

START_TEST(group_is_renamed_in_bounded_writes)
{
    struct fleet_challenge of_x = world_of_many();
    struct watching x = {.made = ""};
    struct fleet_effects e = {.step = watch, .ctx = &x};
    struct store_group g = sales, out;
    strcpy(g.name, "marketing");
    ok(fleet_group_edit(&fleet, 0, &g, &e, &err));
    ck_assert_uint_le(x.most, FLEET_BATCH);
    ck_assert_uint_eq(e.challenges, MANY + 1); /* and the one that came between */
    ck_assert_int_eq(open_ones(), 0);
    ck_assert(x.made[0] && !challenge_open(x.made));
    ck_assert(challenge_open(of_x.record.id));
    ok(fleet_group_get(&fleet, sales.id, &out, &err));
    ck_assert_str_eq(out.name, "marketing");
    ck_assert_uint_eq(out.version, g.version);
    ck_assert_uint_eq(out.version, sales.version + 1);
}
END_TEST

START_TEST(cut_off_it_is_called_as_it_was)
{
    world_of_many();
    struct watching x = {.stop = true, .made = "-"};
    struct fleet_effects e = {.step = watch, .ctx = &x}, rest = {.dry_run = false};
    struct store_group g = sales, out;
    strcpy(g.name, "marketing");
    ok(fleet_group_edit(&fleet, sales.version, &g, &e, &err));
    ck_assert(e.stopped);
    /* that of x, whose group keeps its name, may be among those that were looked at */
    ck_assert(e.challenges == FLEET_BATCH || e.challenges == FLEET_BATCH - 1);
    ck_assert_str_eq(g.name, "sales");
    ok(fleet_group_get(&fleet, sales.id, &out, &err));
    ck_assert_str_eq(out.name, "sales");
    ck_assert_int_eq(open_ones(), MANY - (int)e.challenges);
    strcpy(g.name, "marketing");
    ok(fleet_group_edit(&fleet, sales.version, &g, &rest, &err));
    ck_assert_uint_eq(rest.challenges, MANY - e.challenges);
    ck_assert_int_eq(open_ones(), 0);
}
END_TEST

START_TEST(refused_or_only_planned_it_voids_nothing)
{
    world_of_many();
    struct fleet_effects plan = {.dry_run = true}, e = {.dry_run = false};
    struct store_group g = sales, out;
    strcpy(g.name, "OTHER");
    refused(fleet_group_edit(&fleet, 0, &g, &e, &err), ERR_EXISTS, "");
    strcpy(g.name, "marketing");
    refused(fleet_group_edit(&fleet, 7, &g, &e, &err), ERR_CONFLICT, "version is 1");
    ck_assert_uint_eq(e.challenges, 0);
    ok(fleet_group_edit(&fleet, 0, &g, &plan, &err));
    ck_assert_uint_eq(plan.challenges, MANY);
    ck_assert_int_eq(open_ones(), MANY);
    ok(fleet_group_get(&fleet, sales.id, &out, &err));
    ck_assert_str_eq(out.name, "sales");
}
END_TEST

START_TEST(only_planned_it_changes_nothing)
{
    world_of_many();
    struct fleet_effects plan = {.dry_run = true};
    struct store_group g = sales, same;
    struct store_policy p = policy, still;
    strcpy(g.note, "north");
    ok(fleet_group_edit(&fleet, 0, &g, &plan, &err));
    p.paused = true;
    ok(fleet_policy_edit(&fleet, 0, &p, &plan, NULL, &err));
    strcpy(g.name, "OTHER");
    refused(fleet_group_edit(&fleet, 0, &g, &plan, &err), ERR_EXISTS, "");
    ck_assert_uint_eq(plan.challenges, 0);
    strcpy(p.subject, "CN=%devicename%");
    ok(fleet_policy_edit(&fleet, 0, &p, &plan, NULL, &err));
    ck_assert_uint_eq(plan.challenges, MANY + 1);
    ck_assert_int_eq(open_ones(), MANY);
    ok(fleet_group_get(&fleet, sales.id, &same, &err));
    ck_assert_uint_eq(same.version, sales.version);
    ok(fleet_policy_get(&fleet, policy.id, &still, &err));
    ck_assert_uint_eq(still.version, policy.version);
}
END_TEST

static struct store_policy named_policy(void)
{
    struct store_policy p = policy_wish("named");
    strcpy(p.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    return p;
}

/* A challenge says what its group was called when it was made.  What the device keeps the policy
 * by, or is in, when it is out of that group has another name, or none that can be told. */
enum leaving { OUT_OF_IT, ASSIGNMENT_GONE, GROUP_GONE, LEAVINGS };

static void leave(enum leaving how, const struct store_group *g, struct fleet_effects *e)
{
    bool changed;
    switch (how) {
    case OUT_OF_IT:
        ok(fleet_member_remove(&fleet, g->id, 0, "moves", e, &changed, &err));
        ok(fleet_member_remove(&fleet, g->id, 0, "alone", e, &changed, &err));
        return;
    case ASSIGNMENT_GONE:
        ok(fleet_policy_unassign(&fleet, "named", 0, g->id, e, &err));
        return;
    case GROUP_GONE:
        ok(fleet_group_remove(&fleet, g->id, 0, e, &err));
        return;
    case LEAVINGS:
        return;
    }
}

START_TEST(group_is_left)
{
    struct fleet_effects plan = {.dry_run = true}, e = {.dry_run = false};
    named_policy();
    struct store_group g[2] = {group_new("one", false), group_new("two", false)};
    bool first = strcmp(g[0].id, g[1].id) < 0; /* is g[0] asked first? */
    struct store_group then = g[!first], later = g[first];
    struct store_policy plain = policy_new("plain");
    device_new("moves");
    device_new("alone");
    device_new("stays");
    device_new("apart");
    assign("named", then.id);
    join(then.name, "moves");
    join(then.name, "alone");
    join(then.name, "stays");
    join(later.name, "apart");
    assign("plain", "moves");
    struct fleet_challenge moves = challenge_for("moves", "named"),
                           alone = challenge_for("alone", NULL),
                           other = challenge_for("moves", plain.id);
    ck_assert_ptr_nonnull(strstr(moves.names.subject, then.name));
    join(later.name, "moves");
    assign("named", later.id);
    struct fleet_challenge apart = challenge_for("apart", NULL);
    ck_assert(challenge_open(moves.record.id));
    leave((enum leaving)_i, &then, &plan);
    ck_assert(challenge_open(moves.record.id) && challenge_open(alone.record.id));
    leave((enum leaving)_i, &then, &e);
    ck_assert(!challenge_open(moves.record.id));
    ck_assert(!challenge_open(alone.record.id)); /* the policy is gone with the group */
    ck_assert(challenge_open(other.record.id) && challenge_open(apart.record.id));
    ck_assert_uint_eq(plan.challenges, 2);
    ck_assert_uint_eq(e.challenges, 2);
    struct fleet_challenge again = challenge_for("moves", "named");
    ck_assert_ptr_nonnull(strstr(again.names.subject, later.name));
}
END_TEST

/* Assigned to the device itself: its only group is the one that is named. */
START_TEST(only_group_is_left)
{
    struct fleet_effects plan = {.dry_run = true}, e = {.dry_run = false};
    bool changed;
    named_policy();
    group_new("one", false);
    device_new("a");
    device_new("b");
    join("one", "a");
    join("one", "b");
    assign("named", "a");
    assign("named", "b");
    struct fleet_challenge a = challenge_for("a", NULL), b = challenge_for("b", NULL);
    ok(fleet_member_remove(&fleet, "one", 0, "a", &plan, &changed, &err));
    ok(fleet_member_remove(&fleet, "one", 0, "a", &e, &changed, &err));
    ck_assert(!challenge_open(a.record.id) && challenge_open(b.record.id));
    ck_assert_uint_eq(plan.challenges, 1);
    ck_assert_uint_eq(e.challenges, 1);
    plan.challenges = e.challenges = 0;
    ok(fleet_group_remove(&fleet, "one", 0, &plan, &err));
    ok(fleet_group_remove(&fleet, "one", 0, &e, &err));
    ck_assert(!challenge_open(b.record.id));
    ck_assert_uint_eq(plan.challenges, 1);
    ck_assert_uint_eq(e.challenges, 1);
    ck_assert_uint_eq(e.devices, 0);
}
END_TEST

/* By a group that is asked before the one that it had, by an assignment to the device, or with none
 * that can be told. */
START_TEST(group_is_joined)
{
    named_policy();
    struct store_group g[2] = {group_new("one", false), group_new("two", false)};
    bool first = strcmp(g[0].id, g[1].id) < 0; /* is g[0] asked first? */
    struct store_group then = g[first], later = g[!first];
    device_new("a");
    device_new("b");
    device_new("c");
    assign("named", then.id);
    assign("named", later.id);
    join(then.name, "a");
    join(then.name, "b");
    join(later.name, "c");
    struct fleet_challenge a = challenge_for("a", NULL), b = challenge_for("b", NULL),
                           c = challenge_for("c", NULL);
    world_gone.challenges = 0;
    join(then.name, "c"); /* asked behind the other */
    ck_assert_uint_eq(world_gone.challenges, 0);
    join(later.name, "a");
    ck_assert_uint_eq(world_gone.challenges, 1);
    ck_assert(!challenge_open(a.record.id) && challenge_open(b.record.id));
    assign("named", "b"); /* its only group is the one that it had it by */
    ck_assert_uint_eq(world_gone.challenges, 1);
    ck_assert(challenge_open(b.record.id));
    assign("named", "c"); /* directly, and in both */
    ck_assert_uint_eq(world_gone.challenges, 2);
    ck_assert(!challenge_open(c.record.id));
    group_new("three", false);
    join("three", "b");
    ck_assert_uint_eq(world_gone.challenges, 3);
    ck_assert(!challenge_open(b.record.id));
}
END_TEST

/* What an interruption left over is told as gone when it goes, not by an edit without a change. */
START_TEST(nothing_is_edited)
{
    struct fleet_effects e = {.challenges = 0};
    bool changed;
    named_policy();
    group_new("one", false);
    struct store_group two = group_new("two", false);
    struct store_device d = device_new("a");
    join("one", "a");
    assign("named", "a");
    struct fleet_challenge c = challenge_for("a", NULL);
    struct store_write *w = begin();
    ok(fleet_member_add_in(&fleet, w, &two, d.id, &changed, &err));
    commit(w);
    ok(fleet_device_edit(&fleet, 0, &d, &e, &err));
    ck_assert_uint_eq(e.challenges, 0);
    ck_assert(challenge_open(c.record.id));
    strcpy(d.platform, "linux");
    ok(fleet_device_edit(&fleet, 0, &d, &e, &err));
    ck_assert_uint_eq(e.challenges, 1);
    ck_assert(!challenge_open(c.record.id));
}
END_TEST

/* Each in turn keeps the policy by another group. */
START_TEST(group_is_removed_in_bounded_writes)
{
    world_of_many();
    struct watching x = {.made = "-"};
    struct fleet_effects e = {.step = watch, .ctx = &x};
    struct store_group all = group_new("everybody", false);
    assign("named", "everybody");
    struct store_write *w = begin();
    for (int i = 0; i < MANY; i++) {
        struct store_device d;
        char name[32];
        bool changed;
        snprintf(name, sizeof name, "d-%d", i);
        ok(store_write_device_get(w, name, &d, &err));
        ok(fleet_member_add_in(&fleet, w, &all, d.id, &changed, &err));
    }
    commit(w);
    ok(fleet_group_remove(&fleet, sales.id, 0, &e, &err));
    ck_assert_uint_le(x.most, FLEET_BATCH);
    ck_assert_uint_eq(e.challenges, MANY);
    ck_assert_uint_eq(e.devices, 0);
    ck_assert_int_eq(open_ones(), 0);
}
END_TEST

/* Cut off before challenges were looked through. */
static void tie_alone(const struct store_group *g, const char *member, bool in)
{
    struct store_device d;
    bool changed;
    ok(fleet_device_get(&fleet, member, &d, &err));
    struct store_write *w = begin();
    ok(in ? fleet_member_add_in(&fleet, w, g, d.id, &changed, &err)
          : store_group_remove(w, g->id, d.id, "anna", NOW, &err));
    commit(w);
}

/* A challenge says what its device was called when it was made: since then the device may have come
 * to more groups, left its only one, or got the policy by another. */
START_TEST(group_of_then_is_renamed)
{
    struct fleet_effects e = {.dry_run = false};
    named_policy();
    struct store_group g[2] = {group_new("one", false), group_new("two", false)};
    bool first = strcmp(g[0].id, g[1].id) < 0; /* is g[0] asked first? */
    struct store_group then = g[first], later = g[!first];
    device_new("joins");
    device_new("leaves");
    device_new("by-both");
    device_new("stays");
    assign("named", then.id);
    assign("named", later.id);
    join(then.name, "joins");
    join(then.name, "leaves");
    join(then.name, "by-both");
    join(later.name, "stays");
    assign("named", "joins"); /* directly, so that the only group is asked for */
    assign("named", "leaves");
    struct fleet_challenge joins = challenge_for("joins", NULL),
                           leaves = challenge_for("leaves", NULL),
                           by_both = challenge_for("by-both", NULL),
                           stays = challenge_for("stays", NULL);
    ck_assert_ptr_nonnull(strstr(by_both.names.subject, then.name));
    tie_alone(&later, "joins", true);
    tie_alone(&later, "by-both", true);
    tie_alone(&then, "leaves", false);
    ck_assert(challenge_open(joins.record.id) && challenge_open(leaves.record.id) &&
              challenge_open(by_both.record.id));
    strcpy(then.name, "marketing");
    ok(fleet_group_edit(&fleet, 0, &then, &e, &err));
    ck_assert(!challenge_open(joins.record.id));
    ck_assert(!challenge_open(leaves.record.id));
    ck_assert(!challenge_open(by_both.record.id));
    ck_assert(challenge_open(stays.record.id));
    ck_assert_uint_eq(e.challenges, 3);
}
END_TEST

/* A request that came in time waits for somebody's approval, and takes its challenge then. */
START_TEST(ended_ones_go_too)
{
    policy = policy_wish("named");
    strcpy(policy.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &policy, NULL, &err));
    struct store_group g = group_new("sales", false);
    struct store_device a = device_new("a");
    device_new("b");
    device_new("c");
    assign("named", "sales");
    join("sales", "a");
    join("sales", "b");
    join("sales", "c");
    struct fleet_challenge of_a = challenge_for("a", NULL), of_b = challenge_for("b", NULL), of_c;
    struct fleet_effects renamed = {.dry_run = false}, edited = {.dry_run = false};
    fleet.now = of_b.record.expires_at + 1;
    strcpy(a.name, "aa");
    ok(fleet_device_edit(&fleet, 0, &a, NULL, &err));
    ck_assert(!challenge_open(of_a.record.id));
    ck_assert(challenge_open(of_b.record.id));
    strcpy(g.name, "marketing");
    ok(fleet_group_edit(&fleet, 0, &g, &renamed, &err));
    ck_assert(!challenge_open(of_b.record.id));
    ck_assert_uint_eq(renamed.challenges, 0); /* nobody needs another for it */
    of_c = challenge_for("c", NULL);
    fleet.now = of_c.record.expires_at;
    strcpy(policy.subject, "CN=%devicename%");
    ok(fleet_policy_edit(&fleet, 0, &policy, &edited, NULL, &err));
    ck_assert(!challenge_open(of_c.record.id));
    ck_assert_uint_eq(edited.challenges, 0);
}
END_TEST

START_TEST(policy_is_edited_in_bounded_writes)
{
    struct fleet_challenge of_x = world_of_many();
    struct watching x = {.stop = true, .made = "-"}, y = {.made = ""};
    struct fleet_effects e = {.step = watch, .ctx = &x}, rest = {.step = watch, .ctx = &y};
    struct store_policy p = policy, out;
    strcpy(p.subject, "CN=%devicename%");
    ok(fleet_policy_edit(&fleet, 0, &p, &e, NULL, &err));
    ck_assert(e.stopped);
    ck_assert_uint_eq(e.challenges, FLEET_BATCH);
    ok(fleet_policy_get(&fleet, policy.id, &out, &err));
    ck_assert_str_eq(out.subject, policy.subject);
    strcpy(p.subject, "CN=%devicename%");
    ok(fleet_policy_edit(&fleet, policy.version, &p, &rest, NULL, &err));
    ck_assert_uint_le(y.most, FLEET_BATCH);
    ck_assert_int_eq(open_ones(), 0);
    ck_assert(y.made[0] && !challenge_open(y.made) && !challenge_open(of_x.record.id));
    ok(fleet_policy_get(&fleet, policy.id, &out, &err));
    ck_assert_str_eq(out.subject, "CN=%devicename%");
    ck_assert_uint_eq(out.version, policy.version + 1);
}
END_TEST

/* Somebody who makes a challenge whenever some went: it comes to an end all the same. */
static bool make_another(void *ctx, const struct fleet_effects *so_far)
{
    (*(unsigned *)ctx)++;
    challenge_for("d-1", NULL);
    return true;
}

START_TEST(challenges_all_the_time)
{
    unsigned steps = 0;
    world_of_many();
    struct fleet_effects e = {.step = make_another, .ctx = &steps};
    struct store_group g = sales, out;
    strcpy(g.name, "marketing");
    ok(fleet_group_edit(&fleet, 0, &g, &e, &err));
    ck_assert_uint_eq(e.challenges, MANY + steps);
    ok(fleet_group_get(&fleet, sales.id, &out, &err));
    ck_assert_str_eq(out.name, "marketing");
}
END_TEST

/* Somebody who makes challenges all the time, and takes the name at the last step. */
struct quicker {
    unsigned steps, last;
};

static bool take_name(void *ctx, const struct fleet_effects *so_far)
{
    struct quicker *q = ctx;
    challenge_for("d-1", NULL);
    if (++q->steps == q->last)
        group_new("marketing", false);
    return true;
}

static void count_challenge(void *ctx, const struct store_challenge *c)
{
    ++*(uint64_t *)ctx;
}

/* What is void by then stays void, and is told; what was in the write of the change is not. */
START_TEST(refused_on_the_way_it_tells_what_went)
{
    const unsigned last[] = {1, 3, 10}; /* 10: the write of the change has one too */
    struct quicker q = {.last = last[_i]};
    struct fleet_effects e = {.step = take_name, .ctx = &q};
    struct store_group g;
    uint64_t open = 0;
    world_of_many();
    g = sales;
    strcpy(g.name, "marketing");
    refused(fleet_group_edit(&fleet, 0, &g, &e, &err), ERR_EXISTS, "");
    ck_assert_uint_eq(q.steps, q.last + (q.last == 1 ? 2 : 0));
    const struct store_challenge_filter all = {.state = CHALLENGE_OPEN, .now = NOW};
    char cursor[STORE_CURSOR_MAX] = "";
    do {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        ok(store_challenge_page(st, &all, &page, count_challenge, &open, &err));
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor);
    ck_assert_uint_eq(e.challenges + open, MANY + 1 + q.steps);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fleet/rebind");
    TCase *t = tcase_create("rebind");
    tcase_add_checked_fixture(t, world_setup, world_teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, group_is_renamed_in_bounded_writes);
    tcase_add_test(t, cut_off_it_is_called_as_it_was);
    tcase_add_test(t, refused_or_only_planned_it_voids_nothing);
    tcase_add_test(t, only_planned_it_changes_nothing);
    tcase_add_loop_test(t, group_is_left, 0, LEAVINGS);
    tcase_add_test(t, only_group_is_left);
    tcase_add_test(t, group_is_joined);
    tcase_add_test(t, nothing_is_edited);
    tcase_add_test(t, group_is_removed_in_bounded_writes);
    tcase_add_test(t, group_of_then_is_renamed);
    tcase_add_test(t, ended_ones_go_too);
    tcase_add_test(t, policy_is_edited_in_bounded_writes);
    tcase_add_test(t, challenges_all_the_time);
    tcase_add_loop_test(t, refused_on_the_way_it_tells_what_went, 0, 3);
    suite_add_tcase(s, t);
    return check_main(s);
}
