/* Devices, groups, policies: records, names, ties, ways, pages. */
#include "check_main.h"
#include "fleet_fixture.h"

START_TEST(devices)
{
    struct store_device d = device_of(1), got, second = device_of(2);
    strcpy(d.udid, "udid");
    strcpy(d.user, "anna@example.org");
    strcpy(d.email, "a@example.org");
    strcpy(d.host, "ipad.example.org");
    d.seen_at = 7;
    put_device(&d);
    d.version = 1;
    reopen();
    ok(store_device_get(st, d.id, &got, &err));
    ck_assert_mem_eq(&got, &d, sizeof d);
    ok(store_device_get(st, "IPAD-0001", &got, &err)); /* any case */
    ok(store_device_get(st, "dev_0000", &got, &err));  /* the only one that begins so */
    fails(store_device_get(st, "dev_000", &got, &err), ERR_NOT_FOUND);
    fails(store_device_get(st, "", &got, &err), ERR_NOT_FOUND);
    fails(store_device_get(st, "grp_000001", &got, &err), ERR_NOT_FOUND);
    char longest[600];
    memset(longest, 'd', sizeof longest);
    longest[599] = '\0';
    fails(store_device_get(st, longest, &got, &err), ERR_NOT_FOUND);
    struct store_write *w = begin();
    fails(store_device_put(w, &d, &err), ERR_EXISTS);
    strcpy(second.name, "iPad-0001");
    fails(store_device_put(w, &second, &err), ERR_EXISTS);
    strcpy(second.name, "");
    fails(store_device_put(w, &second, &err), ERR_STORE);
    strcpy(second.id, "2");
    fails(store_device_put(w, &second, &err), ERR_STORE);
    second = device_of(2);
    ok(store_device_put(w, &second, &err)); /* nothing was poisoned */
    ok(store_write_device_get(w, second.name, &got, &err));
    commit(w);
    fails(store_device_get(st, "dev_0000", &got, &err), ERR_CONFLICT);
    verify_clean();
}
END_TEST

START_TEST(device_changes)
{
    struct store_device d = device_of(1), got, other = device_of(2);
    put_device(&d);
    put_device(&other);
    struct store_write *w = begin();
    strcpy(d.name, "renamed");
    strcpy(d.serial_number, "");
    strcpy(d.user, "berta");
    strcpy(d.created_by, "nobody");
    d.state = DEVICE_ISOLATED;
    d.changed_at = 2000;
    fails(store_device_replace(w, &d, 2, &err), ERR_CONFLICT);
    ok(store_device_replace(w, &d, 1, &err));
    ck_assert_uint_eq(d.version, 2);
    ck_assert_str_eq(d.created_by, "anna"); /* kept */
    fails(store_device_replace(w, &d, 1, &err), ERR_CONFLICT);
    strcpy(d.name, "IPAD-0002");
    fails(store_device_replace(w, &d, 2, &err), ERR_EXISTS);
    strcpy(d.name, "Renamed"); /* its own in another case */
    ok(store_device_replace(w, &d, 2, &err));
    strcpy(other.id, "dev_000009");
    fails(store_device_replace(w, &other, 1, &err), ERR_NOT_FOUND);
    commit(w);
    fails(store_device_get(st, "ipad-0001", &got, &err), ERR_NOT_FOUND);
    written(store_device_seen(in, d.id, 5000, &err));
    ok(store_device_get(st, "renamed", &got, &err));
    ck_assert_int_eq(got.seen_at, 5000);
    ck_assert_uint_eq(got.version, 3); /* not moved by that */
    written(store_device_seen(in, d.id, 5059, &err));
    ok(store_device_get(st, "renamed", &got, &err));
    ck_assert_int_eq(got.seen_at, 5000);
    uint64_t counts[DEVICE_STATES];
    ok(store_device_counts(st, counts, &err));
    ck_assert_uint_eq(counts[DEVICE_ACTIVE], 1);
    ck_assert_uint_eq(counts[DEVICE_ISOLATED], 1);
    ck_assert_uint_eq(counts[DEVICE_RETIRED], 0);
    verify_clean();
}
END_TEST

START_TEST(groups_and_policies)
{
    struct store_group g;
    struct store_policy p, got;
    put_group("grp_1", "Sales", false);
    put_policy("pol_1", "Corp");
    ok(store_group_get(st, "sales", &g, &err));
    ck_assert(!g.users && g.version == 1);
    strcpy(g.note, "all of them");
    strcpy(g.changed_by, "bert");
    g.users = true; /* fixed */
    g.changed_at = 9;
    written(store_group_replace(in, &g, 1, &err));
    ck_assert(!g.users && g.version == 2);
    ok(store_policy_get(st, "pol_1", &p, &err));
    ck_assert(p.paused && !p.revoke_on_removal && p.challenge == POLICY_UPSTREAM);
    ck_assert_str_eq(p.subject, "CN=%devicename%");
    p = (struct store_policy){.id = "pol_1",
                              .name = "other",
                              .endpoint = "/scep/corp",
                              .subject = "CN=x",
                              .san = "DNS:%host%",
                              .challenge = POLICY_ONE_TIME,
                              .challenge_ttl = 3600,
                              .key_type = "rsa",
                              .key_size = 4096,
                              .key_usage = POLICY_USAGE_SIGNING | POLICY_USAGE_ENCRYPTION,
                              .eku = "clientAuth",
                              .retries = 3,
                              .retry_delay = 10,
                              .revoke_on_removal = true,
                              .changed_at = 5,
                              .changed_by = "anna"};
    struct store_write *w = begin();
    fails(store_policy_replace(w, &p, 7, &err), ERR_CONFLICT);
    ok(store_policy_replace(w, &p, 1, &err));
    commit(w);
    reopen();
    ok(store_policy_get(st, "OTHER", &got, &err));
    ck_assert_mem_eq(&got, &p, sizeof p);
    fails(store_policy_get(st, "Corp", &got, &err), ERR_NOT_FOUND);
    w = begin();
    fails(store_policy_put(w, &p, &err), ERR_EXISTS);
    fails(store_policy_assign(w, "pol_1", "grp_9", "a", 1, &err), ERR_NOT_FOUND);
    fails(store_policy_assign(w, "pol_1", "dev_9", "a", 1, &err), ERR_NOT_FOUND);
    fails(store_policy_assign(w, "pol_9", "grp_1", "a", 1, &err), ERR_NOT_FOUND);
    fails(store_policy_unassign(w, "pol_1", "grp_1", "a", 1, &err), ERR_NOT_FOUND);
    fails(store_group_add(w, "grp_1", "dev_9", "a", 1, &err), ERR_NOT_FOUND);
    fails(store_group_add(w, "grp_9", "dev_9", "a", 1, &err), ERR_NOT_FOUND);
    ok(store_policy_assign(w, "pol_1", "grp_1", "a", 1, &err));
    fails(store_policy_assign(w, "pol_1", "grp_1", "a", 1, &err), ERR_EXISTS);
    commit(w);
    verify_clean();
}
END_TEST

START_TEST(ways)
{
    put_devices(3);
    put_group("grp_a", "sales", false);
    put_group("grp_b", "people", true);
    put_policy("pol_1", "corp");
    put_policy("pol_2", "other");
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_NONE);
    ck_assert_int_eq(reach("pol_9", "dev_000009").way, WAY_NONE);
    assign("pol_1", "grp_b");
    add("grp_b", "uSER1"); /* whose device is 1 */
    struct store_reach r = reach("pol_1", "dev_000001");
    ck_assert_int_eq(r.way, WAY_USER_GROUP);
    ck_assert_str_eq(r.group_name, "people");
    ck_assert_int_eq(reach("pol_1", "dev_000002").way, WAY_NONE);
    assign("pol_1", "grp_a");
    add("grp_a", "dev_000001");
    r = reach("pol_1", "dev_000001");
    ck_assert_int_eq(r.way, WAY_GROUP);
    ck_assert_str_eq(r.group, "grp_a");
    assign("pol_1", "dev_000001");
    r = reach("pol_1", "dev_000001");
    ck_assert_int_eq(r.way, WAY_DEVICE);
    ck_assert_str_eq(r.by, "anna");
    ck_assert_int_eq(r.at, 10);
    ck_assert_int_eq(reach("pol_2", "dev_000001").way, WAY_NONE);
    unassign("pol_1", "dev_000001"); /* two ways are left */
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_GROUP);
    unassign("pol_1", "grp_a");
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_USER_GROUP);
    drop("grp_b", "USER1");
    r = reach("pol_1", "dev_000001"); /* who did it last, and where */
    ck_assert_int_eq(r.way, WAY_NONE);
    ck_assert_str_eq(r.by, "carl");
    ck_assert_int_eq(r.at, 30);
    ck_assert_str_eq(r.group_name, "people");
    add("grp_b", "user1");
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_USER_GROUP);
    written(store_policy_unassign(in, "pol_1", "grp_b", "dora", 40, &err));
    r = reach("pol_1", "dev_000001");
    ck_assert_str_eq(r.by, "dora");
    ck_assert_str_eq(r.group, "grp_b");
    verify_clean();
}
END_TEST

/* Somebody else's user, or none at all, is no way. */
START_TEST(users_are_not_mixed_up)
{
    struct store_device d = device_of(1);
    put_device(&d); /* without a user */
    put_group("grp_b", "people", true);
    put_policy("pol_1", "corp");
    assign("pol_1", "grp_b");
    add("grp_b", "dev_000001"); /* a user of that name */
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_NONE);
    ok(store_device_get(st, d.id, &d, &err));
    strcpy(d.user, "DEV_000001");
    written(store_device_replace(in, &d, 1, &err));
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_USER_GROUP);
    verify_clean();
}
END_TEST

START_TEST(deleted_in_steps)
{
    bool done = false;
    put_devices(1500);
    put_group("grp_a", "all", false);
    put_policy("pol_1", "corp");
    assign("pol_1", "grp_a");
    struct store_write *w = begin();
    for (unsigned i = 1; i <= 1500; i++)
        ok(store_group_add(w, "grp_a", device_of(i).id, "anna", 1, &err));
    commit(w);
    uint64_t n = 0;
    ok(store_group_size(st, "grp_a", 1000, &n, &err));
    ck_assert_uint_eq(n, 1000);
    ck_assert_int_eq(reach("pol_1", "dev_001500").way, WAY_GROUP);
    ck_assert(delete_step(true, "grp_a", &done) && !done);
    struct store_reach r =
        reach("pol_1", "dev_001500"); /* still a member, of a group that gives nothing */
    ck_assert_int_eq(r.way, WAY_NONE);
    ck_assert_str_eq(r.by, "bert");
    ok(store_group_size(st, "grp_a", 0, &n, &err));
    ck_assert_uint_eq(n, 501);
    verify_clean();
    ck_assert(delete_step(true, "grp_a", &done) && done);
    ck_assert(!delete_step(true, "grp_a", &done) && err.kind == ERR_NOT_FOUND);
    err_clear(&err);
    r = reach("pol_1", "dev_001500");
    ck_assert_str_eq(r.by, "bert");
    assign("pol_1", "dev_000001");
    ck_assert(delete_step(false, "pol_1", &done) && done);
    struct store_policy p;
    fails(store_policy_get(st, "corp", &p, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(reach("pol_1", "dev_000001").way, WAY_NONE);
    verify_clean();
}
END_TEST

/* ---- pages ---- */

struct names {
    char all[65536];
    size_t n;
};

static void device_name(void *ctx, const struct store_device *d)
{
    struct names *l = ctx;
    l->n++;
    strcat(strcat(l->all, d->name + 5), " ");
}

static void tie_name(void *ctx, const struct store_tie *t)
{
    struct names *l = ctx;
    l->n++;
    strcat(strcat(strcat(strcat(l->all, t->holder), ">"), t->held), " ");
}

/* All pages of `limit`, each going on where the last one said. */
static struct names all_devices(struct store_device_filter f, size_t limit, size_t scan)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = limit, .scan = scan};
    do {
        page.after = page.next;
        ok(store_device_page(st, &f, &page, device_name, &l, &err));
        ck_assert_uint_le(page.items, limit);
    } while (page.next[0]);
    return l;
}

START_TEST(device_pages)
{
    put_devices(25);
    static const size_t limits[] = {1, 3, 25, 26, 500};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        ck_assert_uint_eq(all_devices((struct store_device_filter){.state = -1}, limits[i], 0).n,
                          25);
        ck_assert_uint_eq(all_devices((struct store_device_filter){.state = -1}, limits[i], 2).n,
                          25);
        ck_assert_str_eq(
            all_devices((struct store_device_filter){.state = -1, .text = "IPAD-002"}, limits[i], 0)
                .all,
            "0020 0021 0022 0023 0024 0025 ");
        ck_assert_str_eq(
            all_devices((struct store_device_filter){.state = -1, .text = "sn001"}, limits[i], 1)
                .all,
            "0010 0011 0012 0013 0014 0015 0016 0017 0018 0019 ");
        ck_assert_str_eq(
            all_devices((struct store_device_filter){.state = -1, .user = "USER5"}, limits[i], 0)
                .all,
            "0005 0015 0025 ");
        ck_assert_str_eq(
            all_devices((struct store_device_filter){.state = -1, .serial_number = "sn0012"},
                        limits[i], 0)
                .all,
            "0012 ");
        ck_assert_uint_eq(
            all_devices((struct store_device_filter){.state = -1, .serial_number = "SN001"},
                        limits[i], 0)
                .n,
            0);
        ck_assert_uint_eq(all_devices((struct store_device_filter){.state = -1,
                                                                   .serial_number = "SN0012",
                                                                   .user = "user3"},
                                      limits[i], 0)
                              .n,
                          0);
        ck_assert_uint_eq(
            all_devices((struct store_device_filter){.state = -1, .user = "user"}, limits[i], 0).n,
            0);
        ck_assert_uint_eq(
            all_devices((struct store_device_filter){.state = DEVICE_RETIRED}, limits[i], 0).n, 0);
        ck_assert_uint_eq(
            all_devices((struct store_device_filter){.state = -1, .platform = "linux"}, limits[i],
                        0)
                .n,
            0);
    }
    struct store_page page = {.after = "zz"};
    struct names l = {.n = 0};
    struct store_device_filter f = {.state = -1};
    fails(store_device_page(st, &f, &page, device_name, &l, &err), ERR_NOT_FOUND);
    page.after = "ffff"; /* of no such list */
    fails(store_device_page(st, &f, &page, device_name, &l, &err), ERR_NOT_FOUND);
}
END_TEST

START_TEST(pages_by_ties)
{
    put_devices(30);
    put_group("grp_a", "some", false);
    put_group("grp_b", "people", true);
    put_group("grp_c", "more", false);
    put_policy("pol_1", "corp");
    for (unsigned i = 1; i <= 5; i++) {
        add("grp_a", device_of(i).id);
        add("grp_c", device_of(i + 3).id);
    }
    add("grp_b", "user1"); /* 1 11 21 */
    add("grp_b", "user9"); /* 9 19 29 */
    add("grp_b", "nobody");
    assign("pol_1", "dev_000030");
    assign("pol_1", "dev_000004");
    assign("pol_1", "grp_a");
    assign("pol_1", "grp_b");
    assign("pol_1", "grp_c");
    static const size_t limits[] = {1, 2, 3, 7, 500};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (size_t scan = 0; scan < 3; scan++) {
            ck_assert_str_eq(
                all_devices((struct store_device_filter){.state = -1, .group = "grp_a"}, limits[i],
                            scan)
                    .all,
                "0001 0002 0003 0004 0005 ");
            ck_assert_str_eq(
                all_devices((struct store_device_filter){.state = -1, .group = "grp_b"}, limits[i],
                            scan)
                    .all,
                "0001 0011 0021 0009 0019 0029 ");
            ck_assert_str_eq(/* each once: directly, by a, by b, by c */
                             all_devices(
                                 (struct store_device_filter){.state = -1, .policy = "pol_1"},
                                 limits[i], scan)
                                 .all,
                             "0004 0030 0001 0002 0003 0005 0011 0021 0009 0019 0029 0006 0007 "
                             "0008 ");
            ck_assert_str_eq(
                all_devices(
                    (struct store_device_filter){.state = -1, .policy = "pol_1", .group = "grp_b"},
                    limits[i], scan)
                    .all,
                "0001 0011 0021 0009 0019 0029 ");
        }
    ck_assert_uint_eq(
        all_devices((struct store_device_filter){.state = -1, .group = "grp_z"}, 9, 0).n, 0);
    /* users without a device are looked at too: a page is bounded */
    for (unsigned i = 1; i <= 12; i++) {
        char user[32];
        snprintf(user, sizeof user, "a%u", i);
        add("grp_b", user);
    }
    struct names l = {.n = 0};
    struct store_page page = {.limit = 5, .scan = 10};
    const struct store_device_filter people = {.state = -1, .group = "grp_b"};
    ok(store_device_page(st, &people, &page, device_name, &l, &err));
    ck_assert_uint_eq(l.n, 0);
    ck_assert(page.next[0]);
    for (size_t scan = 1; scan < 20; scan++)
        ck_assert_str_eq(all_devices(people, 2, scan).all, "0001 0011 0021 0009 0019 0029 ");
    verify_clean();
}
END_TEST

/* As long as everything may be: the places of a list still go on. */
START_TEST(long_names)
{
    struct store_device d = device_of(1), e = device_of(2);
    char longest[128];
    memset(longest, 'u', 127);
    longest[127] = '\0';
    memset(d.id + 4, '1', 27);
    memset(e.id + 4, '2', 27);
    memcpy(d.user, longest, sizeof d.user);
    memcpy(e.user, longest, sizeof e.user);
    memset(d.name, 'n', 127);
    memset(d.serial_number, 's', 63);
    put_device(&d);
    put_device(&e);
    put_group("grp_aaaaaaaaaaaaaaaaaaaaaaaaaaa", "people", true);
    put_policy("pol_aaaaaaaaaaaaaaaaaaaaaaaaaaa", "corp");
    add("grp_aaaaaaaaaaaaaaaaaaaaaaaaaaa", longest);
    assign("pol_aaaaaaaaaaaaaaaaaaaaaaaaaaa", "grp_aaaaaaaaaaaaaaaaaaaaaaaaaaa");
    const struct store_device_filter filters[] = {
        {.state = -1},
        {.state = -1, .user = longest},
        {.state = -1, .group = "grp_aaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {.state = -1, .policy = "pol_aaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        ck_assert_uint_eq(all_devices(filters[i], 1, 0).n, 2);
    const struct store_device_filter serial = {.state = -1, .serial_number = d.serial_number};
    ck_assert_uint_eq(all_devices(serial, 1, 0).n, 1);
    ck_assert_int_eq(reach("pol_aaaaaaaaaaaaaaaaaaaaaaaaaaa", d.id).way, WAY_USER_GROUP);
    verify_clean();
}
END_TEST

static void reach_name(void *ctx, const struct store_reach *r)
{
    struct names *l = ctx;
    l->n++;
    snprintf(l->all + strlen(l->all), 64, "%s:%d ", r->policy, (int)r->way);
}

START_TEST(what_a_device_has)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = 1};
    put_devices(3);
    put_group("grp_a", "some", false);
    put_group("grp_b", "people", true);
    for (unsigned i = 1; i <= 4; i++) {
        char id[32], name[32];
        snprintf(id, sizeof id, "pol_%u", i);
        snprintf(name, sizeof name, "policy %u", i);
        put_policy(id, name);
    }
    add("grp_a", "dev_000001");
    add("grp_b", "user1");
    assign("pol_1", "grp_b");
    assign("pol_2", "grp_a");
    assign("pol_2", "grp_b");
    assign("pol_4", "dev_000001");
    do {
        page.after = page.next;
        ok(store_device_policies(st, "dev_000001", &page, reach_name, &l, &err));
    } while (page.next[0]);
    ck_assert_str_eq(l.all, "pol_1:3 pol_2:2 pol_4:1 ");
    l = (struct names){.n = 0};
    do {
        page.after = page.next;
        ok(store_device_groups(st, "dev_000001", &page, tie_name, &l, &err));
    } while (page.next[0]);
    ck_assert_str_eq(l.all, "grp_a>dev_000001 grp_b>user1 ");
    l = (struct names){.n = 0};
    page = (struct store_page){.limit = 9};
    ok(store_policy_targets(st, "pol_2", &page, tie_name, &l, &err));
    ok(store_group_members(st, "grp_b", &page, tie_name, &l, &err));
    ok(store_user_groups(st, "USER1", &page, tie_name, &l, &err));
    ok(store_group_policies(st, "grp_b", &page, tie_name, &l, &err));
    ck_assert_str_eq(l.all,
                     "pol_2>grp_a pol_2>grp_b grp_b>user1 grp_b>user1 pol_1>grp_b pol_2>grp_b ");
    fails(store_device_policies(st, "dev_9", &page, reach_name, &l, &err), ERR_NOT_FOUND);
}
END_TEST

static void policy_name(void *ctx, const struct store_policy *p)
{
    struct names *l = ctx;
    strcat(strcat(l->all, p->name), " ");
}

static void group_name(void *ctx, const struct store_group *g)
{
    struct names *l = ctx;
    strcat(strcat(l->all, g->name), " ");
}

/* `each` may change what it is shown, inside the write that reads. */
static void take_away(void *ctx, const struct store_tie *t)
{
    ok(store_group_remove(ctx, t->holder, t->held, "bert", 60, &err));
}

START_TEST(names_and_writes)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = 9};
    put_devices(3);
    put_policy("pol_3", "beta");
    put_policy("pol_1", "Gamma");
    put_policy("pol_2", "alpha");
    put_group("grp_1", "delta", false);
    ok(store_policy_page(st, NULL, &page, policy_name, &l, &err));
    ok(store_policy_page(st, "GA", &page, policy_name, &l, &err));
    ok(store_group_page(st, "d", &page, group_name, &l, &err));
    ck_assert_str_eq(l.all, "alpha beta Gamma Gamma delta ");
    add("grp_1", "dev_000001");
    struct store_write *w = begin();
    ok(store_group_add(w, "grp_1", "dev_000002", "anna", 1, &err));
    page.in = w;
    ok(store_group_members(st, "grp_1", &page, take_away, w, &err));
    ck_assert_uint_eq(page.items, 2);
    commit(w);
    uint64_t n = 9;
    ok(store_group_size(st, "grp_1", 0, &n, &err));
    ck_assert_uint_eq(n, 0);
    verify_clean();
}
END_TEST

/* ---- what belongs to a device ---- */

static void cert_serials(void *ctx, const struct store_cert *c)
{
    struct names *l = ctx;
    snprintf(l->all + strlen(l->all), 16, "%u ", (unsigned)c->id);
}

static void challenge_ids(void *ctx, const struct store_challenge *c)
{
    struct names *l = ctx;
    strcat(strcat(l->all, c->id), " ");
}

static void request_ids(void *ctx, const struct store_request *r)
{
    struct names *l = ctx;
    strcat(strcat(l->all, r->id), " ");
}

static void audit_texts(void *ctx, const struct store_audit *a)
{
    struct names *l = ctx;
    strcat(strcat(l->all, a->text), " ");
}

static void attempt_seqs(void *ctx, const struct store_attempt *a)
{
    struct names *l = ctx;
    snprintf(l->all + strlen(l->all), 16, "%u ", (unsigned)a->seq);
}

START_TEST(certificates_of_a_device)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = 2};
    put_owned_cert(1, "dev_1", "pol_1");
    put_owned_cert(2, "", "");
    put_owned_cert(3, "dev_1", "pol_2");
    put_owned_cert(4, "dev_2", "pol_1");
    put_owned_cert(5, "dev_1", "pol_1");
    struct store_cert_filter f = {.state = -1, .device = "dev_1"};
    ok(store_cert_page(st, &f, &page, cert_serials, &l, &err));
    ck_assert_str_eq(page.next, "3");
    page.after = "3";
    ok(store_cert_page(st, &f, &page, cert_serials, &l, &err));
    ck_assert_str_eq(page.next, "");
    ck_assert_str_eq(l.all, "5 3 1 ");
    l.all[0] = '\0';
    page.after = NULL;
    f.policy = "pol_1";
    ok(store_cert_page(st, &f, &page, cert_serials, &l, &err));
    f.device = NULL;
    f.oldest_first = true;
    page.limit = 5;
    ok(store_cert_page(st, &f, &page, cert_serials, &l, &err));
    ck_assert_str_eq(l.all, "5 1 1 4 5 ");
    l.all[0] = '\0';
    f = (struct store_cert_filter){.state = -1, .text = "device-2"};
    page = (struct store_page){.limit = 5, .scan = 3}; /* bounded, and it says where to go on */
    ok(store_cert_page(st, &f, &page, cert_serials, &l, &err));
    ck_assert_str_eq(l.all, "");
    ck_assert_str_eq(page.next, "3");
    page.after = page.next;
    ok(store_cert_page(st, &f, &page, cert_serials, &l, &err));
    ck_assert_str_eq(l.all, "2 ");
    ck_assert_str_eq(page.next, "");
    struct store_cert c = {0};
    ok(store_cert_by_id(st, 3, &c, &err));
    ck_assert_str_eq(c.device, "dev_1");
    ck_assert_str_eq(c.policy, "pol_2");
    store_cert_clear(&c);
    struct store_purge purge = {.kind = STORE_PURGE_CERTS, .before = 5000};
    written(store_purge_step(st, in, &purge, &err));
    ck_assert_uint_eq(purge.found, 4);
    verify_clean();
}
END_TEST

START_TEST(open_challenges_of_a_device)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = 9};
    for (unsigned i = 1; i <= 4; i++) {
        struct store_challenge c = {
            .created_at = 100 + (i == 2 ? 50 : i), .expires_at = 500, .uses = i == 4 ? 2 : 1};
        snprintf(c.id, sizeof c.id, "chl_%u", i);
        hash_of(i, 'c', c.hash);
        if (i != 3)
            strcpy(c.device, "dev_1");
        strcpy(c.policy, i == 1 ? "pol_1" : "pol_2");
        written(store_challenge_put(in, &c, &err));
    }
    struct store_challenge_filter f = {.device = "dev_1"};
    ok(store_challenge_page(st, &f, &page, challenge_ids, &l, &err));
    ck_assert_str_eq(l.all, "chl_2 chl_4 chl_1 "); /* the newest first */
    uint8_t one[STORE_HASH], four[STORE_HASH];
    hash_of(1, 'c', one);
    hash_of(4, 'c', four);
    struct store_use use = {.at = 200};
    written(store_challenge_burn(in, one, &use, &err));
    written(store_challenge_burn(in, four, &use, &err));
    written(store_challenge_revoke(in, "chl_2", 200, &err));
    l.all[0] = '\0';
    ok(store_challenge_page(st, &f, &page, challenge_ids, &l, &err));
    ck_assert_str_eq(l.all, "chl_4 "); /* one use is left */
    f = (struct store_challenge_filter){.policy = "pol_2", .state = CHALLENGE_OPEN, .now = 499};
    ok(store_challenge_page(st, &f, &page, challenge_ids, &l, &err));
    f.now = 500;
    ok(store_challenge_page(st, &f, &page, challenge_ids, &l, &err));
    ck_assert_str_eq(l.all, "chl_4 chl_4 chl_3 ");
    verify_clean();
    uint64_t purged;
    written(store_challenge_purge(in, 501, &purged, &err));
    ck_assert_uint_eq(purged, 4);
    verify_clean();
}
END_TEST

static void put_request(unsigned n, const char *device)
{
    struct store_request r = {.created_at = 100 + n, .expires_at = 900 - n};
    struct store_tx t = {.state = TX_PENDING, .created_at = 100, .changed_at = 100};
    snprintf(r.id, sizeof r.id, "req_%u", n);
    snprintf(r.transaction, sizeof r.transaction, "T%u", n);
    strcpy(r.endpoint, n == 4 ? "/other" : "/scep");
    strcpy(r.device, device);
    strcpy(t.endpoint, r.endpoint);
    strcpy(t.transaction, r.transaction);
    strcpy(t.request, r.id);
    written(store_request_put(in, &r, &err) && store_tx_put(in, &t, NULL, &err));
}

START_TEST(requests_of_a_device)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = 1};
    for (unsigned i = 1; i <= 4; i++)
        put_request(i, i % 2 ? "dev_1" : "");
    struct store_request_filter f = {.state = -1, .device = "dev_1"};
    for (int i = 0; i < 2; i++, page.after = page.next)
        ok(store_request_page(st, &f, &page, request_ids, &l, &err));
    ck_assert_str_eq(l.all, "req_3 req_1 ");
    written(store_request_decide(in, "req_3", false, "anna", "", 200, &err));
    l.all[0] = '\0';
    page = (struct store_page){.limit = 9};
    f = (struct store_request_filter){.state = REQUEST_PENDING};
    ok(store_request_page(st, &f, &page, request_ids, &l, &err));
    ck_assert_str_eq(l.all, "req_4 req_2 req_1 "); /* that ends first, first */
    f.state = -1;
    f.endpoint = "/scep";
    ok(store_request_page(st, &f, &page, request_ids, &l, &err));
    ck_assert_str_eq(l.all, "req_4 req_2 req_1 req_3 req_2 req_1 ");
    verify_clean();
    struct store_purge purge = {.kind = STORE_PURGE_REQUESTS, .before = 5000};
    written(store_purge_step(st, in, &purge, &err));
    ck_assert_uint_eq(purge.found, 1);
    verify_clean();
}
END_TEST

START_TEST(history)
{
    struct names l = {.n = 0};
    struct store_page page = {.limit = 2};
    static const char *const objects[] = {"dev_1", "chl_1", "dev_1", "pol_1", "dev_1"};
    for (unsigned i = 0; i < 5; i++) {
        struct store_audit a = {.at = 10000 * (i + 1)};
        struct store_attempt t = {
            .at = 10000 * (i + 1), .fail_info = -1, .result = ATTEMPT_REFUSED};
        strcpy(a.object, objects[i]);
        strcpy(a.event, i < 3 ? "device.changed" : "devices");
        strcpy(a.actor, i % 2 ? "anna" : "bert");
        snprintf(a.text, sizeof a.text, "%u", i + 1);
        strcpy(t.device, i % 2 ? "" : "dev_1");
        strcpy(t.policy, i < 2 ? "pol_1" : "");
        strcpy(t.reason, i < 3 ? "challenge.used" : "challengers");
        written(store_audit_put(in, &a, &err) && store_attempt_put(in, &t, &err));
    }
    struct store_audit_filter f = {.object = "dev_1"};
    ok(store_audit_page(st, &f, &page, audit_texts, &l, &err));
    ck_assert_str_eq(page.next, "3");
    page.after = "3";
    ok(store_audit_page(st, &f, &page, audit_texts, &l, &err));
    ck_assert_str_eq(l.all, "5 3 1 ");
    l.all[0] = '\0';
    page = (struct store_page){.limit = 9};
    ok(store_audit_page(st, &(struct store_audit_filter){.object = "chl_1"}, &page, audit_texts, &l,
                        &err));
    ok(store_audit_page(st, &(struct store_audit_filter){.event = "device."}, &page, audit_texts,
                        &l, &err));
    ok(store_audit_page(st, &(struct store_audit_filter){.actor = "anna"}, &page, audit_texts, &l,
                        &err));
    ok(store_audit_page(st, &(struct store_audit_filter){.since = 20000, .until = 40000}, &page,
                        audit_texts, &l, &err));
    ck_assert_str_eq(l.all, "2 3 2 1 4 2 3 2 ");
    l.all[0] = '\0';
    struct store_audit_filter but = {.except = "devices", .actor = "bert"};
    ok(store_audit_page(st, &but, &page, audit_texts, &l, &err));
    page = (struct store_page){.limit = 9, .scan = 2}; /* whom nobody wants is looked at as well */
    ok(store_audit_page(st, &but, &page, audit_texts, &l, &err));
    ck_assert_uint_eq(page.items, 0);
    ck_assert_str_eq(page.next, "4");
    page.after = "4";
    ok(store_audit_page(st, &but, &page, audit_texts, &l, &err));
    but = (struct store_audit_filter){.except = "device.changed", .object = "dev_1"};
    page = (struct store_page){.limit = 9};
    ok(store_audit_page(st, &but, &page, audit_texts, &l, &err));
    ck_assert_str_eq(l.all, "3 1 3 5 ");
    l.all[0] = '\0';
    struct store_attempt_filter g = {.device = "dev_1", .result = -1};
    ok(store_attempt_page(st, &g, &page, attempt_seqs, &l, &err));
    g = (struct store_attempt_filter){.policy = "pol_1", .result = -1};
    ok(store_attempt_page(st, &g, &page, attempt_seqs, &l, &err));
    g = (struct store_attempt_filter){
        .reason = "challenge.", .result = ATTEMPT_REFUSED, .since = 20000};
    ok(store_attempt_page(st, &g, &page, attempt_seqs, &l, &err));
    ck_assert_str_eq(l.all, "5 3 1 2 1 3 2 ");
    uint64_t purged;
    written(store_attempt_purge(in, 30000, 0, &purged, &err));
    ck_assert_uint_eq(purged, 2);
    verify_clean();
    page.after = "x";
    fails(store_attempt_page(st, &g, &page, attempt_seqs, &l, &err), ERR_NOT_FOUND);
    page.after = "99999999999999999999999";
    fails(store_attempt_page(st, &g, &page, attempt_seqs, &l, &err), ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/fleet");
    TCase *c = tcase_create("fleet");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, devices);
    tcase_add_test(c, device_changes);
    tcase_add_test(c, groups_and_policies);
    tcase_add_test(c, ways);
    tcase_add_test(c, users_are_not_mixed_up);
    tcase_add_test(c, deleted_in_steps);
    tcase_add_test(c, device_pages);
    tcase_add_test(c, pages_by_ties);
    tcase_add_test(c, long_names);
    tcase_add_test(c, what_a_device_has);
    tcase_add_test(c, names_and_writes);
    tcase_add_test(c, certificates_of_a_device);
    tcase_add_test(c, open_challenges_of_a_device);
    tcase_add_test(c, requests_of_a_device);
    tcase_add_test(c, history);
    suite_add_tcase(s, c);
    return check_main(s);
}
