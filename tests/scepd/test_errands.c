#include "scepd/errands.h"

#include <pthread.h>
#include <stdlib.h>

#include "check_main.h"

static struct event_base *base;
static struct errands *errands;
static struct err err;
static pthread_t loop;

struct step {
    struct errand errand;
    int number;
    bool again; /* its `done` adds another */
};
static int ran[16], told[16];
static size_t ran_n, told_n;

static void run(struct errand *e)
{
    ck_assert(!pthread_equal(pthread_self(), loop));
    ran[ran_n++] = ((struct step *)e)->number;
}

static void done(struct errand *e);

static void add(int number, bool again)
{
    struct step *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    *s = (struct step){{.run = run, .done = done}, number, again};
    errands_add(errands, &s->errand);
}

static void done(struct errand *e)
{
    struct step *s = (struct step *)e;
    ck_assert(pthread_equal(pthread_self(), loop));
    told[told_n++] = s->number;
    if (s->again)
        add(s->number + 10, false);
    free(s);
    if (told_n == 3)
        event_base_loopbreak(base);
}

static void setup(void)
{
    err = (struct err){0};
    loop = pthread_self();
    ran_n = told_n = 0;
    base = event_base_new();
    ck_assert_ptr_nonnull(base);
    ck_assert_msg(errands_new(base, &errands, &err), "%s", err.text);
}

static void teardown(void)
{
    errands_free(errands);
    event_base_free(base);
}

START_TEST(in_order_and_told_on_the_loop)
{
    add(1, false);
    add(2, false);
    add(3, false);
    event_base_dispatch(base);
    ck_assert_uint_eq(ran_n, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ran[i], i + 1);
        ck_assert_int_eq(told[i], i + 1);
    }
}
END_TEST

START_TEST(one_follows_from_another)
{
    add(1, true);
    add(2, false);
    event_base_dispatch(base);
    ck_assert_int_eq(told[0], 1);
    ck_assert_int_eq(told[1], 2);
    ck_assert_int_eq(told[2], 11);
}
END_TEST

/* The loop never ran: nothing is lost all the same. */
START_TEST(the_end_runs_what_is_left)
{
    add(1, true);
    add(2, false);
    errands_free(errands);
    errands = NULL;
    ck_assert_uint_eq(ran_n, 3);
    ck_assert_uint_eq(told_n, 3);
    ck_assert_int_eq(told[2], 11);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/errands");
    TCase *c = tcase_create("errands");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, in_order_and_told_on_the_loop);
    tcase_add_test(c, one_follows_from_another);
    tcase_add_test(c, the_end_runs_what_is_left);
    suite_add_tcase(s, c);
    return check_main(s);
}
