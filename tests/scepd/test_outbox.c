/* The outbox by itself: what is stored and sent, in which order, and that nobody can fill the store
 * with refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_main.h"
#include "scepd/outbox.h"

static char dir[64];
static struct store *store;
static struct err err;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/outbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct store_options o = {.path = dir, .map_size = 64u << 20, .create = true};
    ck_assert_msg(store_open(&o, &store, &err), "%s", err.text);
}

static void teardown(void)
{
    char path[128];
    store_close(store);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, i ? "lock.mdb" : "data.mdb");
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/crl", dir);
    rmdir(path);
    rmdir(dir);
}

static struct store_notice refusal(unsigned i)
{
    struct store_notice n = {.created_at = 1, .next_at = 1};
    snprintf(n.target, sizeof n.target, "mdm");
    snprintf(n.event, sizeof n.event, "refused");
    snprintf(n.about, sizeof n.about, "%u", i);
    ck_assert(buf_append_str(&n.body, "{}"));
    return n;
}

static uint64_t waiting(void)
{
    uint64_t n;
    ck_assert(store_notice_count(store, &n, &err));
    return n;
}

static void wait_until(uint64_t wanted)
{
    for (int i = 0; i < 6000 && waiting() != wanted; i++)
        usleep(10000);
    ck_assert_uint_eq(waiting(), wanted);
}

/* Nobody is there to send them: they are kept, and what was noted before the end is stored with it.
 */
START_TEST(kept)
{
    struct outbox *o = NULL;
    ck_assert(outbox_new(store, NULL, NULL, &o, &err));
    for (unsigned i = 0; i < 20; i++) {
        struct store_notice n = refusal(i);
        outbox_note(o, &n);
        ck_assert_ptr_null(n.body.p); /* taken */
    }
    outbox_stop(o);
    ck_assert_uint_eq(waiting(), 20);
    outbox_free(o);
    struct store_notice n = refusal(0);
    outbox_note(NULL, &n);
    ck_assert_ptr_null(n.body.p);
}
END_TEST

START_TEST(no_room)
{
    struct store_write *w = NULL;
    struct outbox *o = NULL;
    ck_assert(store_write_begin(store, &w, &err));
    for (unsigned i = 0; i < OUTBOX_WAITING_MAX - 5; i++) {
        struct store_notice n = refusal(i);
        ck_assert(store_notice_put(w, &n, &err));
        store_notice_clear(&n);
    }
    ck_assert(store_write_commit(w, &err));
    ck_assert(outbox_new(store, NULL, NULL, &o, &err));
    for (unsigned i = 0; i < 100; i++) {
        struct store_notice n = refusal(i);
        outbox_note(o, &n);
    }
    wait_until(OUTBOX_WAITING_MAX);
    outbox_stop(o);
    outbox_free(o);
    ck_assert_uint_eq(waiting(), OUTBOX_WAITING_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outbox");
    TCase *c = tcase_create("outbox");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, kept);
    tcase_add_test(c, no_room);
    suite_add_tcase(s, c);
    return check_main(s);
}
