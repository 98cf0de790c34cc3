#include "scepd/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "check_main.h"
#include "scepd/keeper_wire.h"
#include "service_fixture.h"

#define LANES 3

static struct service_fixture f;
static struct keeper *keeper;
static struct keeper_signer signer;
static uint8_t digest[SIGNER_DIGEST];
static struct err err;

static void setup(void)
{
    err = (struct err){0};
    signer = (struct keeper_signer)KEEPER_NO_SIGNER;
    ck_assert_msg(service_fixture_init(&f, "rsa2048", &err), "%s", err.text);
    ck_assert(signer_spec_digest(f.rooms.spec, digest, &err));
    store_close(f.store); /* nothing of the store in a process that forks */
    f.store = NULL;
    ck_assert_msg(keeper_start(f.config, &keeper, &err), "%s", err.text);
}

static void teardown(void)
{
    keeper_signer_clear(&signer);
    keeper_stop(keeper);
    service_fixture_clear(&f);
}

static void in_home(char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", f.directory, name);
}

/* The signer opens a message for the RA's key or refuses it; either way it is there. */
static bool serves(struct keeper_signer *s, unsigned lane)
{
    uint8_t key[16];
    uint8_t garbage[256] = {1};
    struct err ignored = {0};
    return signer_decrypt(signer_lane(s->process, lane), (unsigned)f.rooms.authority[0]->key_ra,
                          (struct key_wrap){PADDING_PKCS1, DIGEST_SHA256, DIGEST_SHA256},
                          view_of(garbage, sizeof garbage), key, sizeof key, &ignored);
}

static bool has_ended(const struct keeper_signer *s, int milliseconds)
{
    struct pollfd p = {.fd = s->ended, .events = POLLIN};
    return poll(&p, 1, milliseconds) == 1;
}

static bool get(enum keeper_source source, struct keeper_signer *out)
{
    err_clear(&err);
    return keeper_signer(keeper, source, LANES, out, &err);
}

START_TEST(a_signer_of_the_same_configuration)
{
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    ck_assert_mem_eq(signer.digest, digest, sizeof digest);
    for (unsigned i = 0; i < LANES; i++)
        ck_assert(serves(&signer, i));
    ck_assert(!has_ended(&signer, 0));
    ck_assert_int_ne(waitpid(signer_pid(signer.process), NULL, WNOHANG), 0); /* no child of ours */
}
END_TEST

START_TEST(its_end_is_seen)
{
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    kill(signer_pid(signer.process), SIGKILL);
    ck_assert(has_ended(&signer, 20000));
    ck_assert(!serves(&signer, 0));
}
END_TEST

START_TEST(nothing_is_kept_unless_told)
{
    ck_assert(!get(KEEPER_SAME, &signer));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert(!get(KEEPER_FILES, &signer));
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    struct keeper_signer other = KEEPER_NO_SIGNER;
    ck_assert(!get(KEEPER_SAME, &other));
    ck_assert_msg(keeper_keep(keeper, &err), "%s", err.text);
    ck_assert_msg(get(KEEPER_SAME, &other), "%s", err.text);
    ck_assert_mem_eq(other.digest, digest, sizeof digest);
    keeper_signer_clear(&other);
}
END_TEST

/* What is kept does not hang on the files any more, but for the keys. */
START_TEST(the_same_without_files)
{
    char conf[256], ra[256], away[256];
    struct keeper_signer other = KEEPER_NO_SIGNER;
    ck_assert(get(KEEPER_FILE, &signer) && keeper_keep(keeper, &err));
    in_home(conf, "scepd.conf");
    in_home(ra, "ca/ra.pem");
    in_home(away, "away");
    ck_assert_int_eq(unlink(conf), 0);
    ck_assert_int_eq(rename(ra, away), 0);
    ck_assert_msg(get(KEEPER_SAME, &other), "%s", err.text);
    ck_assert(serves(&other, 1));
    keeper_signer_clear(&other);
    ck_assert(!get(KEEPER_FILE, &other));
    ck_assert_ptr_nonnull(strstr(err.text, "scepd.conf"));
    ck_assert(!get(KEEPER_FILES, &other));
    ck_assert_ptr_nonnull(strstr(err.text, "ra.pem"));
    ck_assert_int_eq(rename(away, ra), 0);
    ck_assert_msg(get(KEEPER_FILES, &other), "%s", err.text);
    ck_assert(keeper_keep(keeper, &err));
    keeper_signer_clear(&other);
    ck_assert_msg(get(KEEPER_SAME, &other), "%s", err.text);
    keeper_signer_clear(&other);
    in_home(ra, "keys/ra.key");
    ck_assert_int_eq(unlink(ra), 0);
    ck_assert(!get(KEEPER_SAME, &other));
    ck_assert_ptr_nonnull(strstr(err.text, "ra.key"));
}
END_TEST

/* A changed limit is another digest: daemon and keeper notice that they do not mean the same. */
START_TEST(another_configuration_is_another_digest)
{
    char conf[256], old[8192], *at;
    in_home(conf, "scepd.conf");
    FILE *file = fopen(conf, "r");
    size_t n = fread(old, 1, sizeof old - 1, file);
    fclose(file);
    old[n] = '\0';
    at = strstr(old, "validity = \"365d\"");
    ck_assert_ptr_nonnull(at);
    memcpy(at, "validity = \"366d\"", 17);
    ck_assert(file_replace(conf, view_str(old), 0600, &err));
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    ck_assert_mem_ne(signer.digest, digest, sizeof digest);
}
END_TEST

/* But the first OCSP responder. */
START_TEST(nothing_is_due)
{
    bool changed = true;
    ck_assert(!keeper_tend(keeper, KEEPER_SAME, &changed, &err)); /* nothing is kept yet */
    ck_assert_msg((err_clear(&err), keeper_tend(keeper, KEEPER_FILE, &changed, &err)), "%s",
                  err.text);
    ck_assert(changed);
    ck_assert_msg(keeper_tend(keeper, KEEPER_FILE, &changed, &err), "%s", err.text);
    ck_assert(!changed);
    ck_assert(get(KEEPER_FILE, &signer) && keeper_keep(keeper, &err));
    changed = true;
    ck_assert(keeper_tend(keeper, KEEPER_SAME, &changed, &err));
    ck_assert(!changed);
}
END_TEST

START_TEST(many_lanes)
{
    struct keeper_signer many = KEEPER_NO_SIGNER;
    ck_assert_msg(keeper_signer(keeper, KEEPER_FILE, 257, &many, &err), "%s", err.text);
    ck_assert(serves(&many, 0) && serves(&many, 100) && serves(&many, 256));
    keeper_signer_clear(&many);
    ck_assert(!keeper_signer(keeper, KEEPER_FILE, 0, &many, &err));
    ck_assert(!keeper_signer(keeper, KEEPER_FILE, SIGNER_MAX_LANES + 1, &many, &err));
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text); /* it answers on */
}
END_TEST

/* _i: so many descriptors are left, too few for a signer.  It is not the end of the keeper, and
 * with it of the daemon. */
START_TEST(no_descriptor_left)
{
    struct rlimit before, few;
    int fd, next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)(next + _i), .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    ck_assert(!get(KEEPER_FILE, &signer));
    ck_assert_msg(strstr(err.text, "descriptors") != NULL, "%s", err.text);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fd, _i ? next : -1); /* nothing stays open */
    close(fd);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    ck_assert(serves(&signer, LANES - 1));
}
END_TEST

START_TEST(not_too_many_signers)
{
    struct keeper_signer some[KEEPER_MAX_SIGNERS];
    for (int i = 0; i < KEEPER_MAX_SIGNERS; i++)
        ck_assert_msg(get(KEEPER_FILE, &some[i]), "%s", err.text);
    ck_assert(!get(KEEPER_FILE, &signer));
    ck_assert_int_eq(err.kind, ERR_BUSY);
    int ended = some[0].ended;
    some[0].ended = -1;
    keeper_signer_clear(&some[0]);
    struct pollfd p = {.fd = ended, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    close(ended);
    /* The keeper looks at its children before the next request, but the end may not have reached
     * it. */
    for (int i = 0; i < 1000 && !get(KEEPER_FILE, &signer); i++)
        usleep(10000);
    ck_assert_ptr_nonnull(signer.process);
    for (int i = 1; i < KEEPER_MAX_SIGNERS; i++)
        keeper_signer_clear(&some[i]);
}
END_TEST

START_TEST(the_end_of_the_keeper)
{
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    kill(keeper_pid(keeper), SIGKILL);
    ck_assert(has_ended(&signer, 20000)); /* signers end with it */
    struct keeper_signer other = KEEPER_NO_SIGNER;
    ck_assert(!get(KEEPER_FILE, &other));
    ck_assert_int_eq(err.kind, ERR_SIGNER);
    ck_assert(!keeper_keep(keeper, &err));
}
END_TEST

START_TEST(stopped_with_signers)
{
    ck_assert_msg(get(KEEPER_FILE, &signer), "%s", err.text);
    int pid = signer_pid(signer.process);
    signer_stop(signer.process);
    signer.process = NULL;
    keeper_stop(keeper);
    keeper = NULL;
    ck_assert_int_ne(kill(pid, 0), 0); /* both have ended when it returns */
    ck_assert_int_eq(errno, ESRCH);
}
END_TEST

/* ---- the other side of the socket, as a compromised daemon would use it ---- */

static struct keeper_reply ask(int fd, const void *packet, size_t n)
{
    struct keeper_reply reply = {0};
    ck_assert_int_eq(send(fd, packet, n, MSG_NOSIGNAL), (ssize_t)n);
    ck_assert_int_eq(recv(fd, &reply, sizeof reply, 0), sizeof reply);
    ck_assert_uint_eq(reply.magic, KEEPER_MAGIC);
    return reply;
}

START_TEST(hostile_requests)
{
    int pair[2];
    char conf[256];
    in_home(conf, "scepd.conf");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    struct keeper_child child = {
        .file = conf, .socket = pair[1], .parent = getpid(), .level = LOG_LEVEL_ERROR};
    pid_t pid = fork();
    if (pid == 0)
        keeper_child_run(&child);
    close(pair[1]);
    struct keeper_request good = {.magic = KEEPER_MAGIC, .sequence = 7, .op = KEEPER_OP_KEEP},
                          q = good;
    struct keeper_reply reply = ask(pair[0], &good, sizeof good);
    ck_assert_uint_eq(reply.sequence, 7);
    ck_assert_int_eq(reply.err.kind, ERR_NONE);
    for (int i = 0; i < 6; i++) {
        char big[4096] = {0};
        q = good;
        switch (i) {
        case 0:
            q.magic++;
            break;
        case 1:
            q.op = 99;
            break;
        case 2:
            q.op = KEEPER_OP_SIGNER; /* no lanes */
            break;
        case 3:
            q.op = KEEPER_OP_SIGNER;
            q.lanes = UINT32_MAX;
            break;
        case 4:
            q.op = KEEPER_OP_SIGNER;
            q.lanes = 1;
            q.source = 1000;
            break;
        case 5:
            memcpy(big, &good, sizeof good);
            ck_assert_int_ne(ask(pair[0], big, sizeof big).err.kind, ERR_NONE);
            ck_assert_int_ne(ask(pair[0], big, 3).err.kind, ERR_NONE);
            continue;
        }
        reply = ask(pair[0], &q, sizeof q);
        ck_assert_msg(reply.err.kind != ERR_NONE, "request %d", i);
    }
    ck_assert_int_eq(ask(pair[0], &good, sizeof good).err.kind, ERR_NONE); /* it lives */
    close(pair[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/keeper");
    TCase *c = tcase_create("keeper");
    tcase_set_timeout(c, 100);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_signer_of_the_same_configuration);
    tcase_add_test(c, its_end_is_seen);
    tcase_add_test(c, nothing_is_kept_unless_told);
    tcase_add_test(c, the_same_without_files);
    tcase_add_test(c, another_configuration_is_another_digest);
    tcase_add_test(c, nothing_is_due);
    tcase_add_test(c, many_lanes);
    tcase_add_loop_test(c, no_descriptor_left, 0, LANES + 1);
    tcase_add_test(c, not_too_many_signers);
    tcase_add_test(c, the_end_of_the_keeper);
    tcase_add_test(c, stopped_with_signers);
    tcase_add_test(c, hostile_requests);
    suite_add_tcase(s, c);
    return check_main(s);
}
