/* What happens in the background, as far as it can be seen without waiting. */
#include <pthread.h>
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

/* ---- what was brought ---- */

/* An authority whose issuer, twice above it, is its own certificate: only its key counts here. */
static struct authority below(void)
{
    struct authority a = *f.rooms.authority[0];
    a.chain[0] = a.chain[1] = a.cert;
    a.chain_n = 2;
    return a;
}

static struct buf text_of(int64_t number)
{
    struct buf b = {0};
    for (int i = 0; i < 10000; i++)
        ck_assert(buf_printf(&b, "list %lld ", (long long)number));
    return b;
}

static void bring(int64_t number)
{
    struct pubkey key;
    struct store_write *w = NULL;
    struct store_offline o = {.kind = STORE_OFFLINE_CRL,
                              .number = number,
                              .this_update = 1000,
                              .next_update = 2000,
                              .taken_at = 1500,
                              .der = text_of(number)};
    ck_assert(pubkey_parse(f.rooms.authority[0]->cert->spki, &key, &err));
    memcpy(o.id, key.sha256, sizeof o.id);
    ck_assert(store_write_begin(f.store, &w, &err));
    ck_assert_msg(store_offline_put(w, &o, &err), "%s", err.text);
    ck_assert(store_write_commit(w, &err));
    store_offline_clear(&o);
}

/* Whole, with its own hash. */
static void assert_brought(const struct brought *b, int64_t number)
{
    const struct store_offline *o = brought_crl(b);
    struct buf wanted = text_of(number);
    uint8_t sha256[64];
    ck_assert_int_eq(o->number, number);
    ck_assert(view_eq(buf_view(&o->der), buf_view(&wanted)));
    ck_assert(digest_compute(DIGEST_SHA256, buf_view(&wanted), sha256, &err));
    ck_assert_mem_eq(brought_sha256(b), sha256, 32);
    buf_clear(&wanted);
}

/* Once it is served; the test's own limit ends the wait. */
static struct brought *wait_for(struct upkeep *u, int64_t number)
{
    const struct timespec nap = {0, 1000000};
    for (;; nanosleep(&nap, NULL)) {
        bool known;
        struct brought *b = upkeep_brought_get1(u, 0, 1, &known);
        ck_assert(known);
        if (b && brought_crl(b)->number == number)
            return b;
        brought_release(b);
    }
}

static struct upkeep *upkeep_below(struct authority *const *a)
{
    struct upkeep *u = NULL;
    struct upkeep_options o = {
        .authorities = a, .authority_n = 1, .lane = f.signer, .store = f.store};
    ck_assert_msg(upkeep_new(&o, &u, &err), "%s", err.text);
    return u;
}

START_TEST(what_was_brought_is_ready)
{
    struct authority a = below(), *const list[] = {&a};
    struct upkeep *u = upkeep_below(list);
    bool known;
    ck_assert_ptr_null(upkeep_brought_get1(u, 0, 1, &known));
    ck_assert(known);
    bring(1);
    struct brought *first = wait_for(u, 1);
    struct brought *again = upkeep_brought_get1(u, 0, 2, &known);
    ck_assert_ptr_eq(first, again); /* one issuer, read once */
    brought_release(again);
    bring(2);
    struct brought *second = wait_for(u, 2);
    assert_brought(second, 2);
    upkeep_free(u);
    assert_brought(first, 1); /* who sends it has it to the end */
    brought_release(first);
    brought_release(second);
    u = upkeep_below(list); /* there from the beginning */
    second = upkeep_brought_get1(u, 0, 1, &known);
    assert_brought(second, 2);
    brought_release(second);
    upkeep_free(u);
}
END_TEST

static void *ask_on(void *upkeep)
{
    for (int64_t number = 0; number < 3;) {
        bool known;
        struct brought *b = upkeep_brought_get1(upkeep, 0, 1, &known);
        if (b && brought_crl(b)->number != number) {
            ck_assert_int_gt(brought_crl(b)->number, number);
            number = brought_crl(b)->number;
            assert_brought(b, number);
        }
        brought_release(b);
    }
    return NULL;
}

START_TEST(what_is_brought_meanwhile)
{
    pthread_t asks[2];
    struct authority a = below(), *const list[] = {&a};
    struct upkeep *u = upkeep_below(list);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&asks[i], NULL, ask_on, u), 0);
    for (int number = 1; number <= 3; number++) {
        bring(number);
        brought_release(wait_for(u, number));
    }
    for (int i = 0; i < 2; i++)
        pthread_join(asks[i], NULL);
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
    tcase_add_test(c, what_was_brought_is_ready);
    tcase_add_test(c, what_is_brought_meanwhile);
    tcase_add_test(c, alarm_when_the_clock_fell_back);
    suite_add_tcase(s, c);
    return check_main(s);
}
