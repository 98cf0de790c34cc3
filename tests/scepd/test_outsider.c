/* The process that knows the secrets of servers elsewhere, and forks those that ask them. */
#include "scepd/outsider.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

/* Who asks, of whom the process that forked him knows alone. */
static pid_t asker(void)
{
    char path[80];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", outsider_pid(outsider),
             outsider_pid(outsider));
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
    fclose(f);
    return pid;
}

/* A log that nobody reads stops nobody, whatever has to be told. */
START_TEST(nobody_reads_the_log)
{
    char filling[4096] = {0};
    int fd = -1, ends[2], before = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], filling, sizeof filling) > 0)
        ;
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
    outsider_stop(outsider);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    bool ok = outsider_start(config, &outsider, &err);
    ck_assert_int_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);
    ck_assert_msg(ok, "%s", err.text);
    ck_assert_msg(outsider_connect(outsider, &fd, &err), "%s", err.text);
    ck_assert_int_eq(kill(asker(), SIGKILL), 0); /* which is told */
    close(fd);
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(outsider_connect(outsider, &fd, &err), "%s", err.text);
        served(fd);
    }
    close(before);
    close(ends[0]);
    close(ends[1]);
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
    tcase_add_test(c, nobody_reads_the_log);
    suite_add_tcase(s, c);
    return check_main(s);
}
