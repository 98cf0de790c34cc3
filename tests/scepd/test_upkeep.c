/* What happens in the background, as far as it can be seen without waiting. */
#include <string.h>
#include <time.h>

#include "check_main.h"
#include "scepd/upkeep.h"
#include "service_fixture.h"

static struct service_fixture f;
static struct err err;
static char lines[8192];

static void take_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    size_t at = strlen(lines);
    snprintf(lines + at, sizeof lines - at, "%.*s\n", (int)n, line);
}

static void setup(void)
{
    lines[0] = '\0';
    ck_assert_msg(service_fixture_init(&f, "p256", &err), "%s", err.text);
}

static void teardown(void)
{
    service_fixture_clear(&f);
}

static void entry_written_at(int64_t at)
{
    struct store_audit entry = {.at = at, .event = "certificate.issued"};
    struct store_write *w = NULL;
    ck_assert(store_write_begin(f.store, &w, &err));
    ck_assert(store_audit_put(w, &entry, &err));
    ck_assert(store_write_commit(w, &err));
}

static void start_and_stop(void)
{
    const struct log log = {LOG_LEVEL_INFO, take_line, NULL};
    struct upkeep *u = NULL;
    struct upkeep_options o = {.authorities = f.rooms.authority,
                               .authority_n = f.config->authority_n,
                               .lane = f.signer,
                               .store = f.store,
                               .log = &log};
    ck_assert_msg(upkeep_new(&o, &u, &err), "%s", err.text);
    struct published *crl = upkeep_crl_get1(u, 0, STORE_CRL_COMPLETE);
    ck_assert_ptr_nonnull(crl);
    published_release(crl);
    upkeep_free(u);
}

START_TEST(publishes_once)
{
    start_and_stop();
    ck_assert_ptr_nonnull(strstr(lines, "event=crl.published"));
    lines[0] = '\0';
    start_and_stop();
    ck_assert_str_eq(lines, "");
}
END_TEST

START_TEST(publishes_when_asked)
{
    const struct timespec nap = {0, 20000000};
    struct upkeep *u = NULL;
    struct upkeep_options o = {.authorities = f.rooms.authority,
                               .authority_n = f.config->authority_n,
                               .lane = f.signer,
                               .store = f.store};
    uint64_t first, now;
    const uint8_t *key = f.rooms.authority[0]->key_id;
    ck_assert_msg(upkeep_new(&o, &u, &err), "%s", err.text);
    ck_assert(store_crl_number(f.store, key, STORE_CRL_COMPLETE, &first, &err));
    ck_assert(!upkeep_publish(u, 1)); /* of another setup */
    ck_assert(upkeep_publish(u, 0));
    for (now = first; now == first; nanosleep(&nap, NULL)) /* the test's own limit ends it */
        ck_assert(store_crl_number(f.store, key, STORE_CRL_COMPLETE, &now, &err));
    ck_assert_uint_eq(now, first + 1);
    upkeep_free(u);
}
END_TEST

START_TEST(alarm_when_the_clock_fell_back)
{
    entry_written_at(time(NULL) + 30); /* set right by an NTP step */
    start_and_stop();
    ck_assert_ptr_null(strstr(lines, "clock.behind"));
    entry_written_at(time(NULL) + 7200);
    start_and_stop();
    ck_assert_ptr_nonnull(strstr(lines, "level=warning event=clock.behind"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/upkeep");
    TCase *c = tcase_create("upkeep");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, publishes_once);
    tcase_add_test(c, publishes_when_asked);
    tcase_add_test(c, alarm_when_the_clock_fell_back);
    suite_add_tcase(s, c);
    return check_main(s);
}
