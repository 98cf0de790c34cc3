/* Certificates past a policy: whose subject it is, and what stays when device or policy go. */
#include <openssl/evp.h>

#include "fleet_world.h"
#include "pkcs7/name.h"

static struct store_policy policy_of(const char *name, const char *subject)
{
    struct store_policy p = policy_wish(name);
    snprintf(p.subject, sizeof p.subject, "%s", subject);
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    return p;
}

static struct store_device device_of(const char *name, const char *serial_number, const char *user,
                                     const char *udid)
{
    struct store_device d = {.id = ""};
    snprintf(d.name, sizeof d.name, "%s", name);
    snprintf(d.serial_number, sizeof d.serial_number, "%s", serial_number);
    snprintf(d.user, sizeof d.user, "%s", user);
    snprintf(d.udid, sizeof d.udid, "%s", udid);
    ok(fleet_device_new(&fleet, &d, &err));
    return d;
}

static void expect_owner(const char *subject, const struct store_device *d,
                         const struct store_policy *p)
{
    struct fleet_owner o;
    err_clear(&err);
    ck_assert_msg(fleet_subject_owner(&fleet, subject, &o, &err), "%s: %s", subject, err.text);
    ck_assert_str_eq(o.device.id, d->id);
    ck_assert_str_eq(o.policy.id, p ? p->id : "");
}

static void expect_nobody(const char *subject)
{
    struct fleet_owner o;
    err_clear(&err);
    ck_assert(!fleet_subject_owner(&fleet, subject, &o, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    err_clear(&err);
}

START_TEST(a_subject_leads_to_its_device)
{
    struct store_policy by_name = policy_of("by-name", "CN=pre-%devicename%.x,O=Example"),
                        by_serial = policy_of("by-serial", "CN=%serialnumber%,OU=Serials"),
                        by_user = policy_of("by-user", "CN=%user%,OU=Users"),
                        by_udid = policy_of("by-udid", "CN=%udid%,OU=Udids"),
                        both = policy_of("both", "CN=%user%-%devicename%,OU=Both");
    struct store_device a = device_of("ipad-1", "S1", "anna", "u-1"),
                        b = device_of("ipad-2", "S12", "bert", "u-2");
    group_new("all", false);
    join("all", "ipad-1");
    join("all", "ipad-2");
    const char *const direct[] = {"by-name", "by-serial", "by-user"};
    for (size_t i = 0; i < 3; i++) {
        assign(direct[i], "ipad-1");
        assign(direct[i], "ipad-2");
    }
    assign("by-udid", "all");
    assign("both", "all");
    expect_owner("CN=pre-ipad-2.x,O=Example", &b, &by_name);
    expect_owner("CN=PRE-Ipad-2.x,O=example", &b, &by_name);
    expect_owner("pre-ipad-1.x", &a, &by_name);
    expect_owner("CN=S1,OU=Serials", &a, &by_serial);
    expect_owner("CN=S12,OU=Serials", &b, &by_serial);
    expect_owner("CN=bert,OU=Users", &b, &by_user);
    expect_owner("CN=u-2,OU=Udids", &b, &by_udid);
    expect_owner("CN=anna-ipad-1,OU=Both", &a, &both);
    expect_nobody("CN=ipad-1,O=Example");
    expect_nobody("CN=pre-ipad-1.x,O=Other");
    expect_nobody("CN=pre-ipad-1.x,O=Example,OU=More");
    expect_nobody("CN=pre-ipad-3.x,O=Example");
    expect_nobody("CN=pre-ipad-*,O=Example");
    expect_nobody("CN=S,OU=Serials");
    expect_nobody("dev_");
    struct fleet_owner o;
    err_clear(&err);
    ck_assert(!fleet_subject_owner(&fleet, "CN=", &o, &err));
}
END_TEST

/* Hundreds that look alike are no reason to miss the one. */
START_TEST(it_is_found_among_many)
{
    struct store_policy by_serial = policy_of("by-serial", "CN=%serialnumber%,OU=Serials"),
                        by_user = policy_of("by-user", "CN=%user%,OU=Users");
    struct store_device s = device_of("the-one", "S1", "", ""),
                        u = device_of("of-anna", "", "anna", ""), more = s;
    struct store_write *w = begin();
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(more.id, sizeof more.id, "dev_%06u", i); /* before those that are drawn */
        snprintf(more.name, sizeof more.name, "s1-%u", i);
        snprintf(more.serial_number, sizeof more.serial_number, "S1%u", i);
        strcpy(more.user, i % 2 ? "anna" : "anna2");
        ok(store_device_put(w, &more, &err));
    }
    commit(w);
    assign("by-serial", "the-one");
    assign("by-user", "of-anna");
    expect_owner("CN=s1,OU=Serials", &s, &by_serial);
    expect_owner("CN=Anna,OU=Users", &u, &by_user);
    expect_nobody("CN=S17,OU=Serials");
    expect_nobody("CN=ann,OU=Users");
}
END_TEST

/* A policy by whose constant parts the subject cannot be is passed over, and costs nothing of the
 * 2000 devices that are looked at; where they fit, the next policies are out of sight. */
START_TEST(policies_that_cannot_be_are_passed_over)
{
    struct store_policy p = {.id = ""};
    struct store_device d = device_of("first", "", "", "u-first"), more = d;
    struct store_group g = group_new("all", false);
    bool changed;
    join("all", "first");
    struct store_write *w = begin();
    for (unsigned i = 1; i < STORE_PAGE_MAX; i++) {
        snprintf(more.id, sizeof more.id, "dev_z%05u", i);
        snprintf(more.name, sizeof more.name, "later-%u", i);
        snprintf(more.udid, sizeof more.udid, "u-%u", i);
        ok(store_device_put(w, &more, &err));
        ok(store_group_add(w, g.id, more.id, "anna", NOW, &err));
    }
    commit(w);
    for (unsigned i = 0; i < 7; i++) {
        char name[16], subject[64];
        snprintf(name, sizeof name, "p-%u", i);
        snprintf(subject, sizeof subject, "CN=a%%udid%%.r%u,O=Example", i);
        p = policy_of(name, subject);
        ok(fleet_policy_assign(&fleet, p.id, 0, g.id, true, NULL, &world_gone, &changed, &err));
    }
    expect_owner("CN=au-first.r6,O=Example", &d, &p);
    expect_owner("au-first.r6", &d, &p);
    expect_owner("CN=Au-First.R6,O=example", &d, &p);
    expect_nobody("CN=bu-first.r6,O=Example");
    expect_nobody("CN=au-first.r6,OU=Example");
    expect_nobody("CN=a.r6,O=Example");
    for (unsigned i = 0; i < 5; i++) {
        char name[16], subject[64];
        snprintf(name, sizeof name, "q-%u", i);
        snprintf(subject, sizeof subject, "CN=c%%udid%%-%u-%%udid%%", i);
        p = policy_of(name, subject);
        ok(fleet_policy_assign(&fleet, p.id, 0, g.id, true, NULL, &world_gone, &changed, &err));
    }
    unsigned found = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct fleet_owner o;
        char subject[64];
        snprintf(subject, sizeof subject, "CN=cu-first-%u-u-first", i);
        found += fleet_subject_owner(&fleet, subject, &o, &err);
        err_clear(&err);
    }
    ck_assert_uint_eq(found, 4); /* each of the five fits all: the last one is not looked at */
    struct store_policy by_serial = policy_of("z", "CN=%serialnumber%"); /* an index leads to it */
    struct store_device s = device_of("s", "c7-7", "", "");
    assign("z", "s");
    expect_owner("CN=c7-7", &s, &by_serial);
    expect_owner("c7-7", &s, &by_serial);
}
END_TEST

/* The policy was taken away, or the device goes by another name now. */
START_TEST(a_certificate_leads_to_its_device)
{
    struct store_policy p = policy_of("corp", "CN=%devicename%,O=Example");
    struct store_device d = device_new("ipad-1");
    cert_named(1, "CN=was,O=Example", d.id, p.id);
    cert_named(2, "CN=gone,O=Example", d.id, "pol_000000");
    cert_named(3, "CN=nobody,O=Example", "", "");
    expect_owner("CN=was,O=Example", &d, &p);
    expect_owner("CN=gone,O=Example", &d, NULL);
    expect_nobody("CN=nobody,O=Example");
    struct fleet_effects e = {.dry_run = false};
    struct store_device out;
    ok(fleet_device_retire(&fleet, d.id, 0, "", &e, &out, &err));
    expect_nobody("CN=was,O=Example");
}
END_TEST

START_TEST(who_makes_a_challenge_is_warned)
{
    policy_of("corp", "CN=%devicename%,O=Example");
    struct store_device d = device_new("ipad-1");
    struct fleet_warnings w = {.n = 0};
    fleet_subject_warn(&fleet, "CN=ipad-1,O=Example", &w);
    ck_assert_uint_eq(w.n, 0); /* it has no policy yet */
    assign("corp", "ipad-1");
    fleet_subject_warn(&fleet, NULL, &w);
    fleet_subject_warn(&fleet, "", &w);
    fleet_subject_warn(&fleet, "CN=ipad-2,O=Example", &w);
    ck_assert_uint_eq(w.n, 0);
    fleet_subject_warn(&fleet, "CN=ipad-1,O=Example", &w);
    ck_assert_uint_eq(w.n, 1);
    ck_assert_ptr_nonnull(strstr(w.text[0], "challenge new --device"));
    ck_assert_ptr_nonnull(strstr(w.text[0], d.id));
    ck_assert_ptr_nonnull(strstr(w.text[0], "makes one for it")); /* not cut */
}
END_TEST

START_TEST(an_attempt_gets_its_device)
{
    struct store_policy p = policy_of("corp", "CN=%devicename%,O=Example");
    struct store_device d = device_new("ipad-1");
    struct store_attempt a = {.subject = "CN=ipad-1,O=Example"}, of_other = a,
                         nameless = {.seq = 1};
    assign("corp", "ipad-1");
    strcpy(of_other.device, "dev_other1");
    fleet_attempt_owner(&fleet, &a);
    fleet_attempt_owner(&fleet, &of_other);
    fleet_attempt_owner(&fleet, &nameless);
    ck_assert_str_eq(a.device, d.id);
    ck_assert_str_eq(a.policy, p.id);
    ck_assert_str_eq(of_other.device, "dev_other1");
    ck_assert_str_eq(nameless.device, "");
}
END_TEST

static size_t outside(const char *target, const char *policy, struct fleet_warnings *w)
{
    *w = (struct fleet_warnings){.n = 0};
    fleet_outside(&fleet, &(struct fleet_leaving){.target = target, .policy = policy}, w);
    return w->n;
}

START_TEST(what_stays_is_named)
{
    struct store_policy p = policy_of("corp", "CN=%devicename%,O=Example");
    struct store_device d = device_new("ipad-1"), other = device_new("ipad-2");
    struct store_group g = group_new("all", false);
    struct fleet_warnings w;
    join("all", "ipad-1");
    join("all", "ipad-2");
    assign("corp", "all");
    cert_named(1, "CN=ipad-1,O=Example", d.id, p.id);
    cert_named(2, "CN=ipad-1,O=Example", other.id, p.id);
    cert_named(3, "CN=ipad-3,O=Example", "", "");
    ck_assert_uint_eq(outside(d.id, NULL, &w), 0);
    uint64_t stray = cert_named(4, "CN=ipad-1,O=Example", "", "");
    ck_assert_uint_eq(outside(d.id, NULL, &w), 1);
    ck_assert_ptr_nonnull(strstr(w.text[0], "of device ipad-1"));
    ck_assert_ptr_nonnull(strstr(w.text[0], "cert revoke"));
    ck_assert_ptr_nonnull(strstr(w.text[0], "ends it"));
    ck_assert_uint_eq(outside("ipad-1", p.id, &w), 0); /* it has the policy by the group */
    ck_assert_uint_eq(outside("all", p.id, &w), 1);
    ck_assert_uint_eq(outside(NULL, p.id, &w), 1);
    ck_assert_uint_eq(outside("ipad-2", p.id, &w), 0);
    ck_assert_uint_eq(outside("ipad-2", NULL, &w), 1); /* certificate 2 was its own, by that name */
    ck_assert_uint_eq(outside("nobody", p.id, &w), 1); /* the verb refuses it */
    ck_assert_ptr_nonnull(strstr(w.text[0], "no group \"nobody\""));
    for (unsigned n = 5; n < 10; n++)
        cert_named(n, "CN=ipad-1,O=Example", "", "");
    ck_assert_uint_eq(outside(d.id, NULL, &w), FLEET_WARNINGS);
    ck_assert_ptr_nonnull(strstr(w.text[FLEET_WARNINGS - 1], "3 more"));
    /* the retired device's policy was taken away: what it had leads there */
    struct fleet_effects e = {.dry_run = false};
    ok(fleet_policy_unassign(&fleet, p.id, 0, g.id, &e, &err));
    ck_assert_uint_eq(outside(d.id, NULL, &w), FLEET_WARNINGS);
    struct store_write *write = begin();
    ok(store_cert_revoke(write, stray, CRL_CESSATION, NOW, &err));
    commit(write);
    ck_assert_uint_eq(outside(d.id, NULL, &w), FLEET_WARNINGS);
    ck_assert_ptr_nonnull(strstr(w.text[FLEET_WARNINGS - 1], "2 more"));
    struct fleet later = fleet;
    later.now = NOW + 10 * 86400;
    w.n = 0;
    fleet_outside(&later, &(struct fleet_leaving){.target = d.id}, &w);
    ck_assert_uint_eq(w.n, 0); /* all are over */
}
END_TEST

/* A group takes with it all that it gives, to all or to one of its members. */
START_TEST(what_stays_when_a_group_goes)
{
    struct store_policy p = policy_of("corp", "CN=%devicename%,O=Example"),
                        u = policy_of("mail", "CN=%user%,O=Example");
    struct store_group g = group_new("all", false), staff = group_new("staff", true);
    struct fleet_warnings w = {.n = 0};
    device_of("ipad-1", "", "anna", "");
    device_of("ipad-2", "", "bert", "");
    join("all", "ipad-1");
    join("all", "ipad-2");
    join("staff", "anna");
    join("staff", "bert");
    assign("corp", "all");
    bool changed;
    ok(fleet_policy_assign(&fleet, u.id, 0, "staff", true, NULL, &world_gone, &changed, &err));
    cert_named(1, "CN=ipad-2,O=Example", "", "");
    cert_named(2, "CN=anna,O=Example", "", "");
    ck_assert_uint_eq(outside("all", NULL, &w), 1);
    ck_assert_ptr_nonnull(strstr(w.text[0], "of device ipad-2"));
    ck_assert_uint_eq(outside(staff.id, NULL, &w), 1);
    ck_assert_ptr_nonnull(strstr(w.text[0], "of device ipad-1"));
    const struct {
        const char *group, *member;
        size_t n;
    } member[] = {
        {g.id, "ipad-1", 0}, {g.id, "ipad-2", 1}, {"staff", "Anna", 1}, {"staff", "bert", 0}};
    for (size_t i = 0; i < sizeof member / sizeof *member; i++) {
        w.n = 0;
        fleet_outside(
            &fleet, &(struct fleet_leaving){.target = member[i].group, .member = member[i].member},
            &w);
        ck_assert_uint_eq(w.n, member[i].n);
    }
    static const char several[] = "ipad-1\0ipad-2"; /* and the NUL of the text */
    w.n = 0;
    fleet_outside(&fleet, &(struct fleet_leaving){.targets = view_of(several, sizeof several)}, &w);
    ck_assert_uint_eq(w.n, 2);
    w.n = 0;
    fleet_outside(
        &fleet,
        &(struct fleet_leaving){.targets = view_of(several, sizeof several), .policy = p.id}, &w);
    ck_assert_uint_eq(w.n, 0); /* they have it by their group */
    group_new("empty", false);
    ck_assert_uint_eq(outside("empty", NULL, &w), 0);
}
END_TEST

/* A device that has the policy by another way too loses nothing; another of the same user may. */
START_TEST(who_keeps_the_policy_is_passed_over)
{
    struct store_policy p = policy_of("corp", "CN=%devicename%,O=Example"),
                        u = policy_of("mail", "CN=%user%,O=Example");
    struct fleet_warnings w;
    struct store_group one = group_new("one", false);
    group_new("two", false);
    device_of("both", "", "anna", "");
    device_of("direct", "", "anna", "");
    device_of("last", "", "anna", "");
    join("one", "both");
    join("one", "direct");
    join("one", "last");
    join("two", "both");
    bool changed;
    const char *const targets[] = {"one", "two", "direct"};
    for (size_t i = 0; i < 3; i++) {
        ok(fleet_policy_assign(&fleet, p.id, 0, targets[i], true, NULL, &world_gone, &changed,
                               &err));
        if (i < 2)
            ok(fleet_policy_assign(&fleet, u.id, 0, targets[i], true, NULL, &world_gone, &changed,
                                   &err));
    }
    cert_named(1, "CN=both,O=Example", "", "");
    cert_named(2, "CN=direct,O=Example", "", "");
    ck_assert_uint_eq(outside("one", p.id, &w), 0);
    ck_assert_uint_eq(outside("one", NULL, &w), 0);
    ck_assert_uint_eq(outside("two", p.id, &w), 0);
    ck_assert_uint_eq(outside("direct", p.id, &w), 0);
    fleet_outside(&fleet, &(struct fleet_leaving){.target = one.id, .member = "direct"}, &w);
    ck_assert_uint_eq(w.n, 0);
    static const char several[] = "both\0last";
    fleet_outside(
        &fleet,
        &(struct fleet_leaving){.targets = view_of(several, sizeof several), .policy = p.id}, &w);
    ck_assert_uint_eq(w.n, 0);
    cert_named(3, "CN=last,O=Example", "", "");
    cert_named(4, "CN=anna,O=Example", "", "");
    ck_assert_uint_eq(outside("one", p.id, &w), 1);
    ck_assert_ptr_nonnull(strstr(w.text[0], "of device last"));
    ck_assert_uint_eq(outside("one", u.id, &w), 1);
    ck_assert_ptr_null(strstr(w.text[0], "of device both"));
    ck_assert_uint_eq(outside("one", NULL, &w), 2);
    /* it goes itself, or the policy does: there is no other way then */
    ck_assert_uint_eq(outside("both", NULL, &w), 2);
    ck_assert_uint_eq(outside(NULL, p.id, &w), 3);
}
END_TEST

/* What it holds and what its policies make is the same: each stray is named once. */
START_TEST(each_is_named_once)
{
    struct store_policy p = policy_of("p", "CN=%devicename%,O=Example"),
                        q = policy_of("q", "CN=%devicename%-q,O=Example"),
                        u = policy_of("u", "CN=%user%,O=Example");
    struct store_device d = device_new("d2");
    struct fleet_warnings w;
    assign("p", "d2");
    assign("q", "d2");
    cert_named(1, "CN=d2,O=Example", d.id, p.id);
    cert_named(2, "CN=d2-q,O=Example", d.id, q.id);
    cert_named(3, "CN=d2,O=Example", "", "");
    cert_named(4, "CN=d2-q,O=Example", "", "");
    ck_assert_uint_eq(outside("d2", NULL, &w), 2);
    ck_assert_str_ne(w.text[0], w.text[1]);
    /* devices of one user have one subject, and others are between them */
    group_new("all", false);
    const char *const users[] = {"anna", "bert", "anna", "bert"};
    for (unsigned i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "shared-%u", i);
        device_of(name, "", users[i], "");
        join("all", name);
    }
    bool changed;
    ok(fleet_policy_assign(&fleet, u.id, 0, "all", true, NULL, &world_gone, &changed, &err));
    cert_named(5, "CN=anna,O=Example", "", "");
    cert_named(6, "CN=bert,O=Example", "", "");
    ck_assert_uint_eq(outside("all", u.id, &w), 2);
    ck_assert_str_ne(w.text[0], w.text[1]);
}
END_TEST

/* More policies than are looked at: that is told, and the others are looked for. */
START_TEST(what_cannot_be_looked_for_is_told)
{
    struct store_policy p = policy_of("corp", "CN=%devicename%,O=Example"), more = p;
    struct store_device d = device_new("ipad-1"), out;
    struct store_write *write = begin();
    struct fleet_warnings w;
    for (unsigned i = 0; i <= STORE_PAGE_MAX; i++) {
        snprintf(more.id, sizeof more.id, "pol_%06u", i);
        snprintf(more.name, sizeof more.name, "corp-%u", i);
        ok(store_policy_put(write, &more, &err));
        ok(store_policy_assign(write, more.id, d.id, "anna", NOW, &err));
    }
    commit(write);
    cert_named(1, "CN=ipad-1,O=Example", "", "");
    ck_assert_uint_eq(outside(d.id, NULL, &w), 2);
    ck_assert_ptr_nonnull(strstr(w.text[0], "of device ipad-1"));
    ck_assert_msg(strstr(w.text[1], "could not all be looked for: the device has more than 500"),
                  "%s", w.text[1]);
    struct fleet_effects e = {.dry_run = false};
    ok(fleet_device_retire(&fleet, d.id, 0, "", &e, &out, &err));
    /* one that was removed since is no policy of anybody */
    ck_assert_uint_eq(outside(d.id, "pol_nowhere", &w), 0);
}
END_TEST

/* ---- the index that it goes by ---- */

static void count_cert(void *ctx, const struct store_cert *c)
{
    ++*(size_t *)ctx;
}

START_TEST(certificates_of_a_subject_by_page)
{
    struct store_cert one = {.id = 0};
    uint64_t id = 0;
    size_t n = 0, pages = 0;
    char cursor[STORE_CURSOR_MAX] = "";
    for (unsigned i = 1; i <= 7; i++)
        id = cert_named(i, i % 2 ? "CN=a,O=Example" : "CN=b,O=Example", "", "");
    ok(store_cert_by_id(st, id, &one, &err));
    const struct store_cert_filter filter = {.state = -1, .subject_hash = one.subject_hash};
    do {
        struct store_page page = {.after = cursor, .limit = 3};
        ok(store_cert_page(st, &filter, &page, count_cert, &n, &err));
        memcpy(cursor, page.next, sizeof cursor);
        pages++;
    } while (*cursor);
    ck_assert_uint_eq(n, 4);
    ck_assert_uint_eq(pages, 2);
    const struct store_cert_filter forwards = {
        .state = -1, .subject_hash = one.subject_hash, .oldest_first = true};
    struct store_page page = {.limit = 3};
    n = 0;
    ok(store_cert_page(st, &forwards, &page, count_cert, &n, &err));
    ck_assert_uint_eq(n, 3);
    ck_assert_str_ne(page.next, "");
    store_cert_clear(&one);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside");
    TCase *c = tcase_create("outside");
    tcase_add_checked_fixture(c, world_setup, world_teardown);
    tcase_add_test(c, a_subject_leads_to_its_device);
    tcase_add_test(c, it_is_found_among_many);
    tcase_add_test(c, policies_that_cannot_be_are_passed_over);
    tcase_add_test(c, a_certificate_leads_to_its_device);
    tcase_add_test(c, who_makes_a_challenge_is_warned);
    tcase_add_test(c, an_attempt_gets_its_device);
    tcase_add_test(c, what_stays_is_named);
    tcase_add_test(c, what_stays_when_a_group_goes);
    tcase_add_test(c, who_keeps_the_policy_is_passed_over);
    tcase_add_test(c, each_is_named_once);
    tcase_add_test(c, what_cannot_be_looked_for_is_told);
    tcase_add_test(c, certificates_of_a_subject_by_page);
    suite_add_tcase(s, c);
    return check_main(s);
}
