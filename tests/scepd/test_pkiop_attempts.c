/* What is kept of a request beside its answer. */

#include "check_main.h"
#include "device.h"

static bool take_newest(void *ctx, const struct store_attempt *a)
{
    *(struct store_attempt *)ctx = *a;
    return false;
}

static const struct trail_step *step_of(const struct store_attempt *a, enum check check)
{
    const struct trail_step *found = NULL;
    for (size_t i = 0; i < a->trail.n; i++)
        if (a->trail.step[i].check == check)
            found = &a->trail.step[i];
    ck_assert_msg(found != NULL, "no step of %s", check_text(check));
    return found;
}

static uint64_t attempts_n(void)
{
    struct store_stats stats;
    must(store_stats(pki.store, &stats, &err));
    return stats.attempts;
}

/* The attempt is in the store as soon as the certificate is: in one transaction. */
START_TEST(an_issue_takes_its_attempt_along)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device d = device_new("/scep", "CN=kept", secret);
    char *serial = expect_issued(&d, ENROLL_ISSUE);
    struct store_attempt a = {.seq = 0};
    must(store_attempt_list(pki.store, 0, take_newest, &a, &err));
    ck_assert_int_eq(a.result, ATTEMPT_ISSUED);
    ck_assert_str_eq(a.serial, serial);
    ck_assert_str_eq(a.peer, "192.0.2.7");
    ck_assert_str_eq(a.agent, "test");
    ck_assert_str_eq(a.endpoint, "/scep");
    ck_assert_str_eq(a.operation, "PKCSReq");
    ck_assert_str_eq(a.transaction, d.transaction);
    ck_assert_str_eq(a.subject, "CN=kept");
    ck_assert_str_eq(a.key, "RSA-2048");
    ck_assert_str_eq(a.digest, "SHA-256");
    ck_assert_str_eq(a.cipher, "AES-128");
    ck_assert_str_eq(a.template_name, "device");
    ck_assert_int_eq(strncmp(a.challenge, "chl_", 4), 0);
    ck_assert_str_eq(a.reason, "");
    ck_assert_int_eq(a.fail_info, -1);
    for (size_t i = 0; i < a.trail.n; i++)
        ck_assert_int_eq(a.trail.step[i].state, TRAIL_PASSED);
    ck_assert_ptr_nonnull(strstr(step_of(&a, CHECK_CHALLENGE)->text, "use 1 of 1"));
    ck_assert_ptr_nonnull(strstr(step_of(&a, CHECK_SIGNING)->text, serial));
    ck_assert_int_eq(a.trail.step[a.trail.n - 1].check, CHECK_STORING);
    /* never the password */
    ck_assert_ptr_null(strstr(a.detail, secret));
    for (size_t i = 0; i < a.trail.n; i++)
        ck_assert_ptr_null(strstr(a.trail.step[i].text, secret));
    free(serial);
    device_free(&d);
}
END_TEST

/* A refusal is given to the front end, which samples; where it stopped is told, with the values. */
START_TEST(a_refusal_tells_where_it_stopped)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device first = device_new("/scep", "CN=first", secret),
                  second = device_new("/scep", "CN=second", secret);
    free(expect_issued(&first, ENROLL_ISSUE));
    uint64_t before = attempts_n();
    struct client_result r = {0};
    struct scep_answer answer = device_ask(&second, &r);
    struct scep_call call = {
        .endpoint = second.endpoint, .peer = {"192.0.2.7", "test"}, .now = pki_now};
    struct store_attempt a;
    ck_assert(!answer.recorded);
    ck_assert_uint_eq(attempts_n(), before);
    scep_answer_attempt(&answer, &call, 4.4, &a);
    ck_assert_int_eq(a.result, ATTEMPT_REFUSED);
    ck_assert_str_eq(a.reason, "challenge.used");
    ck_assert_int_eq(a.fail_info, FAIL_BAD_REQUEST);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_uint_eq(a.ms, 4);
    const struct trail_step *last = &a.trail.step[a.trail.n - 1];
    ck_assert_int_eq(last->check, CHECK_CHALLENGE);
    ck_assert_int_eq(last->state, TRAIL_STOPPED);
    ck_assert_ptr_nonnull(strstr(last->text, "was used"));
    ck_assert_int_eq(step_of(&a, CHECK_KEY)->state, TRAIL_PASSED);
    scep_answer_clear(&answer);
    client_result_clear(&r);
    device_free(&first);
    device_free(&second);
}
END_TEST

START_TEST(only_the_first_polls_are_kept)
{
    struct device d = device_new("/manual", "CN=waits for long", "");
    expect_pending(&d);
    uint64_t before = attempts_n();
    for (int i = 0; i < 15; i++)
        expect_pending(&d);
    ck_assert_uint_eq(attempts_n(), before + 10);
    device_free(&d);
}
END_TEST

/* The certificate is issued all the same; what it says about the device's clock is kept. */
START_TEST(a_slow_clock_shows)
{
    const struct view nonce = view_str("0123456789abcdef");
    struct device d = device_new("/open", "CN=slow clock", "");
    struct odd right = {nonce, "20990101000000Z", 0}, slow = {nonce, "20200101000000Z", 0};
    struct store_attempt kept = {.seq = 0};
    struct scep_answer a = device_ask_oddly(&d, &slow);
    ck_assert_int_eq(a.verdict, ENROLL_ISSUE);
    must(store_attempt_list(pki.store, 0, take_newest, &kept, &err));
    ck_assert_int_eq(kept.result, ATTEMPT_ISSUED);
    ck_assert_str_eq(kept.reason, "clock.skew");
    ck_assert_ptr_nonnull(strstr(kept.detail, "the device's clock said 2020-01-01T00:00:00Z"));
    scep_answer_clear(&a);
    device_free(&d);
    d = device_new("/open", "CN=fast clock", "");
    a = device_ask_oddly(&d, &right);
    must(store_attempt_list(pki.store, 0, take_newest, &kept, &err));
    ck_assert_str_eq(kept.subject, "CN=fast clock");
    ck_assert_str_eq(kept.reason, "");
    scep_answer_clear(&a);
    device_free(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/pkiop_attempts");
    TCase *c = tcase_create("pkiop_attempts");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, pki_setup, pki_teardown);
    tcase_add_test(c, an_issue_takes_its_attempt_along);
    tcase_add_test(c, a_refusal_tells_where_it_stopped);
    tcase_add_test(c, only_the_first_polls_are_kept);
    tcase_add_test(c, a_slow_clock_shows);
    suite_add_tcase(s, c);
    return check_main(s);
}
