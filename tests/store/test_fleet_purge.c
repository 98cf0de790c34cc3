/* Devices that were retired are forgotten, and who took what away. */
#include "check_main.h"
#include "fleet_fixture.h"

START_TEST(device_forgotten)
{
    struct store_device d = device_of(1), got;
    put_device(&d);
    put_group("grp_1", "sales", false);
    put_policy("pol_1", "corp");
    add("grp_1", d.id);
    assign("pol_1", d.id);
    struct store_write *w = begin();
    fails(store_device_forget(w, d.id, &err), ERR_CONFLICT);
    d.state = DEVICE_RETIRED;
    ok(store_device_replace(w, &d, 1, &err));
    ok(store_device_forget(w, d.id, &err));
    fails(store_device_forget(w, d.id, &err), ERR_NOT_FOUND);
    commit(w);
    fails(store_device_get(st, d.name, &got, &err), ERR_NOT_FOUND);
    uint64_t n = 9;
    ok(store_group_size(st, "grp_1", 0, &n, &err));
    ck_assert_uint_eq(n, 0);
    verify_clean();
    d = device_of(1);
    put_device(&d); /* its name is free again */
}
END_TEST

START_TEST(devices_purged)
{
    uint64_t counts[DEVICE_STATES];
    struct store_purge purge = {.kind = STORE_PURGE_DEVICES, .before = 2000};
    put_devices(1200);
    put_group("grp_1", "sales", false);
    add("grp_1", "dev_000003");
    in = begin();
    for (unsigned i = 1; i <= 1100; i++) {
        struct store_device d;
        ok(store_write_device_get(in, device_of(i).id, &d, &err));
        d.state = i == 1 ? DEVICE_ISOLATED : DEVICE_RETIRED;
        d.changed_at = i == 2 ? 2000 : 1999;
        ok(store_device_replace(in, &d, 1, &err));
    }
    commit(in);
    while (!purge.done)
        written(store_purge_step(st, in, &purge, &err));
    ck_assert_uint_eq(purge.found, 1098);
    ok(store_device_counts(st, counts, &err));
    ck_assert_uint_eq(counts[DEVICE_ACTIVE], 100);
    ck_assert_uint_eq(counts[DEVICE_ISOLATED], 1);
    ck_assert_uint_eq(counts[DEVICE_RETIRED], 1);
    verify_clean();
}
END_TEST

/* Retiring it was interrupted before its certificates were taken. */
START_TEST(devices_with_certificates_stay)
{
    struct store_purge purge = {.kind = STORE_PURGE_DEVICES, .before = 2003}, again = purge;
    struct store_device got;
    put_devices(4);
    put_owned_cert(1, "dev_000001", "");
    put_owned_cert(2, "dev_000001", "pol_1");
    put_owned_cert(3, "dev_000002", "pol_1"); /* until 2003 */
    put_owned_cert(4, "dev_000003", "");
    in = begin();
    for (unsigned i = 1; i <= 3; i++) {
        struct store_device d;
        ok(store_write_device_get(in, device_of(i).id, &d, &err));
        d.state = DEVICE_RETIRED;
        ok(store_device_replace(in, &d, 1, &err));
    }
    commit(in);
    written(store_purge_step(st, in, &purge, &err));
    ck_assert(purge.done);
    ck_assert_uint_eq(purge.found, 1);
    fails(store_device_get(st, "dev_000001", &got, &err), ERR_NOT_FOUND);
    ok(store_device_get(st, "dev_000002", &got, &err));
    ok(store_device_get(st, "dev_000003", &got, &err));
    written(store_cert_revoke(in, 3, CRL_CESSATION, 1500, &err));
    written(store_purge_step(st, in, &again, &err));
    ck_assert_uint_eq(again.found, 1);
    fails(store_device_get(st, "dev_000002", &got, &err), ERR_NOT_FOUND);
    ok(store_device_get(st, "dev_000003", &got, &err));
    verify_clean();
}
END_TEST

static uint64_t removals(int64_t before, bool really)
{
    struct store_purge p = {.kind = STORE_PURGE_REMOVALS, .before = before};
    while (!p.done) {
        if (really)
            written(store_purge_step(st, in, &p, &err));
        else
            ok(store_purge_step(st, NULL, &p, &err));
    }
    return p.found;
}

static void forget(const char *id)
{
    struct store_device d;
    in = begin();
    ok(store_write_device_get(in, id, &d, &err));
    d.state = DEVICE_RETIRED;
    ok(store_device_replace(in, &d, d.version, &err));
    ok(store_device_forget(in, id, &err));
    commit(in);
}

/* Who took something away is known as long as somebody can ask. */
START_TEST(removals_forgotten)
{
    bool done;
    char longest[128];
    memset(longest, 'u', 127);
    longest[127] = '\0';
    put_devices(1100);
    put_group("grp_1", "sales", false);
    put_group("grp_2", "staff", true);
    put_policy("pol_1", "corp");
    put_policy("pol_2", "lab");
    in = begin();
    for (unsigned i = 1; i <= 1100; i++) {
        ok(store_group_add(in, "grp_1", device_of(i).id, "anna", 10, &err));
        if (i > 1)
            ok(store_group_remove(in, "grp_1", device_of(i).id, "carl", 30, &err));
    }
    commit(in);
    add("grp_2", longest);
    drop("grp_2", longest);
    add("grp_2", "dev_nobody"); /* users may be called so */
    drop("grp_2", "dev_nobody");
    assign("pol_1", "dev_000002");
    unassign("pol_1", "dev_000002");
    assign("pol_2", "dev_000001");
    assign("pol_2", "grp_2");
    ck_assert_uint_eq(removals(1000, false), 0);
    forget("dev_000001"); /* with its ties nothing is left behind */
    ck_assert_uint_eq(removals(2000, false), 0);
    forget("dev_000002");
    ck_assert_uint_eq(removals(20, false), 0);
    ck_assert_uint_eq(removals(21, false), 1);
    ck_assert_uint_eq(removals(31, true), 2);
    ck_assert_uint_eq(removals(1000, false), 0);
    ck_assert_str_eq(reach("pol_2", "dev_000003").by, "");
    ck_assert(delete_step(true, "grp_2", &done) && done);
    ck_assert_uint_eq(removals(1000, true), 3); /* its own, and that of the policy */
    ck_assert(delete_step(true, "grp_1", &done) && done);
    ck_assert_uint_eq(removals(1000, true), 1098);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/fleet_purge");
    TCase *c = tcase_create("fleet_purge");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, device_forgotten);
    tcase_add_test(c, devices_purged);
    tcase_add_test(c, devices_with_certificates_stay);
    tcase_add_test(c, removals_forgotten);
    suite_add_tcase(s, c);
    return check_main(s);
}
