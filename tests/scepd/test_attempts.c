/* What is kept of what nobody commits: sampled, bounded, told about, forgotten.  Time is a
 * parameter. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "scepd/attempts.h"
#include "store/fleet.h"

#define NOW 1800000000

static char dir[64];
static struct store *st;
static struct attempts *a;
static struct err err;

#define ok(expression) ck_assert_msg(expression, "%s", err.text)

static void make(int64_t keep, uint64_t most)
{
    struct attempts_options o = {.store = st, .keep = keep, .most = most, .no_thread = true};
    ok(attempts_new(&o, &a, &err));
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/attempts-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct store_options o = {.path = dir, .map_size = 64u << 20, .create = true};
    ok(store_open(&o, &st, &err));
    make(3600, 1000000);
}

static void teardown(void)
{
    char command[128];
    attempts_free(a);
    store_close(st);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

struct seen {
    size_t n, counted;
    uint64_t more;
    struct store_attempt newest;
};

static bool see(void *ctx, const struct store_attempt *attempt)
{
    struct seen *s = ctx;
    if (s->n++ == 0)
        s->newest = *attempt;
    if (attempt->result == ATTEMPT_COUNTED) {
        s->counted++;
        s->more += attempt->more;
    }
    return true;
}

static struct seen look(void)
{
    struct seen s = {.n = 0};
    ok(store_attempt_list(st, 0, see, &s, &err));
    return s;
}

static void refuse(const char *peer, int64_t at, unsigned times)
{
    struct store_attempt attempt = {
        .at = at, .result = ATTEMPT_REFUSED, .fail_info = -1, .reason = "http.wrong_path"};
    snprintf(attempt.peer, sizeof attempt.peer, "%s", peer);
    while (times-- > 0)
        attempts_note(a, &attempt);
}

static void fetch(const char *peer, int64_t at)
{
    struct store_attempt attempt = {
        .at = at, .fail_info = -1, .operation = "GetCACert", .status = 200};
    snprintf(attempt.peer, sizeof attempt.peer, "%s", peer);
    attempts_fetched(a, &attempt);
}

START_TEST(written_within_a_second)
{
    refuse("192.0.2.1", NOW, 3);
    ck_assert_uint_eq(look().n, 0);
    attempts_tick(a, NOW);
    ck_assert_uint_eq(look().n, 3);
    attempts_tick(a, NOW + 1);
    ck_assert_uint_eq(look().n, 3);
}
END_TEST

static int64_t device_seen(const char *id)
{
    struct store_device d;
    ok(store_device_get(st, id, &d, &err));
    return d.seen_at;
}

static void refuse_device(const char *id, int64_t at)
{
    struct store_attempt attempt = {
        .at = at, .result = ATTEMPT_REFUSED, .fail_info = -1, .reason = "challenge.used"};
    snprintf(attempt.device, sizeof attempt.device, "%s", id);
    attempts_note(a, &attempt);
    attempts_tick(a, at);
}

/* Who is refused is there all the same. */
START_TEST(a_refused_device_was_seen)
{
    const struct store_device d = {.id = "dev_seen12", .name = "seen", .created_at = NOW};
    struct store_write *w = NULL;
    ok(store_write_begin(st, &w, &err));
    ok(store_device_put(w, &d, &err));
    ok(store_write_commit(w, &err));
    refuse_device(d.id, NOW + 10);
    ck_assert_int_eq(device_seen(d.id), NOW + 10);
    refuse_device(d.id, NOW + 300);
    ck_assert_int_eq(device_seen(d.id), NOW + 300);
    refuse_device("dev_gone12", NOW + 400); /* forgotten meanwhile: the attempt is kept */
    ck_assert_str_eq(look().newest.device, "dev_gone12");
    ck_assert_uint_eq(look().n, 3);
}
END_TEST

START_TEST(twenty_of_a_peer_in_a_minute)
{
    refuse("192.0.2.1", NOW, ATTEMPTS_PER_PEER + 500);
    refuse("192.0.2.2", NOW, 1); /* others are kept beside it */
    attempts_tick(a, NOW + 1);
    ck_assert_uint_eq(look().n, ATTEMPTS_PER_PEER + 1);
    attempts_tick(a, NOW + 60);
    struct seen s = look();
    ck_assert_uint_eq(s.n, ATTEMPTS_PER_PEER + 2);
    ck_assert_int_eq(s.newest.result, ATTEMPT_COUNTED);
    ck_assert_uint_eq(s.newest.more, 500);
    ck_assert_str_eq(s.newest.peer, "192.0.2.1");
    ck_assert_str_eq(s.newest.reason, "http.wrong_path");
    refuse("192.0.2.1", NOW + 61, 1); /* a new minute */
    attempts_tick(a, NOW + 62);
    ck_assert_uint_eq(look().n, ATTEMPTS_PER_PEER + 3);
}
END_TEST

START_TEST(a_network_is_one_peer)
{
    char address[64];
    for (unsigned i = 0; i < 2 * ATTEMPTS_PER_PEER; i++) {
        snprintf(address, sizeof address, "2001:db8:1:2::%x", i + 1);
        refuse(address, NOW, 1);
    }
    refuse("2001:db8:1:3::1", NOW, 1);
    attempts_tick(a, NOW + 60);
    struct seen s = look();
    ck_assert_uint_eq(s.n, ATTEMPTS_PER_PEER + 2);
    ck_assert_uint_eq(s.more, ATTEMPTS_PER_PEER);
    ck_assert_str_eq(s.newest.peer, "2001:db8:1:2::/64");
}
END_TEST

/* From a million addresses: bounded, and every one of them is kept or counted. */
START_TEST(a_flood_from_everywhere)
{
    char address[64];
    const unsigned all = 20000;
    for (unsigned i = 0; i < all; i++) {
        snprintf(address, sizeof address, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        refuse(address, NOW + i / 1000, 1);
        if (i % 1000 == 0)
            attempts_tick(a, NOW + i / 1000);
    }
    attempts_tick(a, NOW + 100);
    struct seen s = look();
    ck_assert_uint_le(s.n, ATTEMPTS_PER_MINUTE + s.counted);
    ck_assert_uint_eq(s.n - s.counted + s.more, all);
}
END_TEST

START_TEST(a_full_buffer_counts)
{
    char address[64];
    for (unsigned i = 0; i < ATTEMPTS_BUFFER + 100; i++) {
        snprintf(address, sizeof address, "10.0.%u.%u", i >> 8, i & 255);
        refuse(address, NOW, 1);
    }
    attempts_tick(a, NOW + 1);
    ck_assert_uint_eq(look().n, ATTEMPTS_BUFFER);
    attempts_tick(a, NOW + 60);
    ck_assert_uint_eq(look().more, 100);
}
END_TEST

START_TEST(fetched_and_gone)
{
    fetch("192.0.2.1", NOW);
    fetch("192.0.2.1", NOW + 5);
    fetch("192.0.2.2", NOW);
    attempts_followed(a, "192.0.2.2");
    attempts_followed(a, "192.0.2.3"); /* was never here */
    attempts_tick(a, NOW + 64);
    ck_assert_uint_eq(look().n, 0);
    attempts_tick(a, NOW + 65);
    struct seen s = look();
    ck_assert_uint_eq(s.n, 1);
    ck_assert_int_eq(s.newest.result, ATTEMPT_SILENT);
    ck_assert_uint_eq(s.newest.more, 2);
    ck_assert_str_eq(s.newest.reason, "ca.thumbprint");
    ck_assert_str_eq(s.newest.peer, "192.0.2.1");
    /* not told again for a while, but not forgotten */
    fetch("192.0.2.1", NOW + 100);
    attempts_tick(a, NOW + 170);
    ck_assert_uint_eq(look().n, 1);
    fetch("192.0.2.1", NOW + 700);
    attempts_tick(a, NOW + 770);
    ck_assert_uint_eq(look().n, 2);
    ck_assert_uint_eq(look().newest.more, 2);
}
END_TEST

START_TEST(forgets)
{
    refuse("192.0.2.1", NOW - 3601, 5);
    refuse("192.0.2.1", NOW - 3600, 5);
    attempts_tick(a, NOW);
    attempts_forget(a, NOW);
    ck_assert_uint_eq(look().n, 5);
    attempts_free(a);
    make(3600, 2);
    attempts_forget(a, NOW);
    ck_assert_uint_eq(look().n, 2);
}
END_TEST

START_TEST(the_end_writes_what_is_left)
{
    refuse("192.0.2.1", NOW, ATTEMPTS_PER_PEER + 7);
    attempts_free(a);
    struct seen s = look();
    ck_assert_uint_eq(s.n, ATTEMPTS_PER_PEER + 1);
    ck_assert_uint_eq(s.more, 7);
    make(3600, 1000);
}
END_TEST

static char lines[4096];

static void take_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    size_t at = strlen(lines);
    snprintf(lines + at, sizeof lines - at, "%.*s\n", (int)n, line);
}

/* A write that is open in the same thread stands for a store that cannot be written to. */
START_TEST(what_cannot_be_stored_is_told_once)
{
    const struct log log = {LOG_LEVEL_INFO, take_line, NULL};
    struct attempts_options o = {
        .store = st, .log = &log, .keep = 3600, .most = 10, .no_thread = true};
    struct store_write *w = NULL;
    attempts_free(a);
    ok(attempts_new(&o, &a, &err));
    ok(store_write_begin(st, &w, &err));
    refuse("192.0.2.1", NOW, 1);
    attempts_tick(a, NOW);
    refuse("192.0.2.1", NOW + 1, 1);
    attempts_tick(a, NOW + 1);
    store_write_abort(w);
    char *first = strstr(lines, "event=attempts.failed");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(first + 1, "event=attempts.failed"));
    refuse("192.0.2.1", NOW + 2, 1);
    attempts_tick(a, NOW + 2);
    ck_assert_uint_eq(look().n, 1);
}
END_TEST

START_TEST(nobody_keeps_any)
{
    struct store_attempt attempt = {.at = NOW};
    attempts_note(NULL, &attempt);
    attempts_fetched(NULL, &attempt);
    attempts_followed(NULL, "192.0.2.1");
    attempts_tick(NULL, NOW);
    attempts_forget(NULL, NOW);
    attempts_free(NULL);
}
END_TEST

/* Beside its own thread. */
START_TEST(with_its_thread)
{
    struct attempts_options o = {.store = st, .keep = 100000, .most = 1000000};
    attempts_free(a);
    ok(attempts_new(&o, &a, &err));
    for (unsigned i = 0; i < 200; i++) {
        char address[64];
        snprintf(address, sizeof address, "192.0.2.%u", i);
        refuse(address, NOW, 1);
        fetch(address, NOW);
        attempts_followed(a, address);
    }
    attempts_free(a);
    a = NULL;
    ck_assert_uint_eq(look().n, 200);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attempts");
    TCase *c = tcase_create("attempts");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, written_within_a_second);
    tcase_add_test(c, a_refused_device_was_seen);
    tcase_add_test(c, twenty_of_a_peer_in_a_minute);
    tcase_add_test(c, a_network_is_one_peer);
    tcase_add_test(c, a_flood_from_everywhere);
    tcase_add_test(c, a_full_buffer_counts);
    tcase_add_test(c, fetched_and_gone);
    tcase_add_test(c, forgets);
    tcase_add_test(c, the_end_writes_what_is_left);
    tcase_add_test(c, what_cannot_be_stored_is_told_once);
    tcase_add_test(c, nobody_keeps_any);
    tcase_add_test(c, with_its_thread);
    suite_add_tcase(s, c);
    return check_main(s);
}
