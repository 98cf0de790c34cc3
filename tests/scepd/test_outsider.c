/* The process that knows the secrets of servers elsewhere, and forks those that ask them. */
#include "scepd/outsider.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_main.h"
#include "outside/outside.h"

static struct config *config;
static struct outsider *outsider;
static struct err err;

static void setup(void)
{
    err_clear(&err);
    config = calloc(1, sizeof *config);
    config->confinement = CONFINE_OFF;
    config->webhook_n = 1;
    snprintf(config->webhook[0].name, sizeof config->webhook[0].name, "hook");
    snprintf(config->webhook[0].url, sizeof config->webhook[0].url, "http://127.0.0.1:1/");
    config->webhook[0].timeout = 5;
    ck_assert_msg(outsider_start(config, &outsider, &err), "%s", err.text);
}

static void teardown(void)
{
    outsider_stop(outsider);
    free(config);
}

/* Somebody at the other end reads questions: what is none makes him leave. */
static void served(int fd)
{
    static const char nonsense[64] = "this is no question at all";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char answer;
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    ck_assert_int_eq(send(fd, nonsense, sizeof nonsense, MSG_NOSIGNAL), sizeof nonsense);
    ck_assert_int_eq(poll(&p, 1, 60000), 1);
    ck_assert_int_eq(recv(fd, &answer, 1, 0), 0);
    close(fd);
}

START_TEST(gives_who_asks)
{
    for (int i = 0; i < 3; i++) {
        int fd = -1;
        ck_assert_msg(outsider_connect(outsider, &fd, &err), "%s", err.text);
        served(fd);
    }
}
END_TEST

/* Without a descriptor for it nobody asks now; when there is one again, somebody does. */
START_TEST(no_descriptor_left)
{
    struct rlimit before, none;
    int fd = -1, next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 3; i++) {
        err_clear(&err);
        ck_assert(!outsider_connect(outsider, &fd, &err));
        ck_assert_msg(strstr(err.text, "descriptor") != NULL, "%s", err.text);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_msg(outsider_connect(outsider, &fd, &err), "%s", err.text);
    served(fd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/outsider");
    TCase *c = tcase_create("outsider");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, gives_who_asks);
    tcase_add_test(c, no_descriptor_left);
    suite_add_tcase(s, c);
    return check_main(s);
}
