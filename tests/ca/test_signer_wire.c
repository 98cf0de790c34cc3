#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ca_fixture.h"
#include "check_main.h"
#include "signer_wire.h"

/* A daemon that has been taken over writes to its lane whatever it likes: every packet is refused,
 * and the next good request is served.  Knows the private protocol. */

static struct ca_fixture f;
static struct signer_process *process;
static struct signer *lane;
static struct err err;
static struct buf attrs;

static void make_once(void)
{
    ca_fixture_make(&f);
}

static void remove_once(void)
{
    ca_fixture_clear(&f);
}

static void setup(void)
{
    ck_assert_msg(signer_start(f.spec, 1, NULL, &process, &err), "%s", err.text);
    lane = signer_lane(process, 0);
    attrs = attributes_build(true);
}

static void teardown(void)
{
    signer_stop(process);
    buf_clear(&attrs);
}

static struct request_head good_head(void)
{
    return (struct request_head){.magic = SIGNER_MAGIC,
                                 .sequence = 77,
                                 .op = SIGNER_OP_ATTRIBUTES,
                                 .key = (uint32_t)f.authority->key_ra,
                                 .digest = DIGEST_SHA256,
                                 .length = (uint32_t)attrs.n};
}

static void send_raw(const void *head, size_t head_n, struct view payload, const int *passed,
                     unsigned n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{(void *)(uintptr_t)head, head_n},
                           {(void *)(uintptr_t)payload.p, payload.n}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    if (n) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), passed, n * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(lane->fd, &m, MSG_NOSIGNAL), (ssize_t)(head_n + payload.n));
}

static struct reply_head receive_raw(char text[SIGNER_MAX_REPLY])
{
    uint8_t packet[SIGNER_MAX_REPLY];
    struct reply_head head = {0};
    ssize_t n = recv(lane->fd, packet, sizeof packet, 0);
    ck_assert_int_ge(n, (ssize_t)sizeof head);
    memcpy(&head, packet, sizeof head);
    ck_assert_uint_eq(head.magic, SIGNER_MAGIC);
    ck_assert_uint_eq(head.length, (size_t)n - sizeof head);
    memcpy(text, packet + sizeof head, head.length);
    text[head.length] = '\0';
    return head;
}

static void still_serves(void)
{
    struct buf signature = {0};
    ck_assert_msg(signer_sign_attributes(lane, (unsigned)f.authority->key_ra, DIGEST_SHA256,
                                         buf_view(&attrs), &signature, &err),
                  "%s", err.text);
    buf_clear(&signature);
}

static void expect_refusal(const char *text)
{
    char said[SIGNER_MAX_REPLY];
    struct reply_head head = receive_raw(said);
    ck_assert_uint_eq(head.kind, ERR_SIGNER);
    ck_assert_uint_eq(head.reason, REASON_NONE);
    ck_assert_msg(strstr(said, text), "%s", said);
    still_serves();
}

static void refuse_head(const struct request_head *head, const char *text)
{
    send_raw(head, sizeof *head, buf_view(&attrs), NULL, 0);
    expect_refusal(text);
}

START_TEST(good)
{
    char said[SIGNER_MAX_REPLY];
    struct request_head head = good_head();
    send_raw(&head, sizeof head, buf_view(&attrs), NULL, 0);
    struct reply_head reply = receive_raw(said);
    ck_assert_uint_eq(reply.kind, ERR_NONE);
    ck_assert_uint_eq(reply.sequence, 77);
    ck_assert_uint_eq(reply.length, 256);
    still_serves();
}
END_TEST

START_TEST(malformed)
{
    struct request_head head = good_head();
    head.magic ^= 1;
    refuse_head(&head, "malformed packet");
    head = good_head();
    head.length++;
    refuse_head(&head, "malformed packet");
    head = good_head();
    head.length = 0;
    refuse_head(&head, "malformed packet");
    head = good_head();
    head.length = ~0u;
    refuse_head(&head, "malformed packet");
    head = good_head();
    head.op = 0;
    refuse_head(&head, "unknown request 0");
    head.op = ~0u;
    refuse_head(&head, "unknown request");
    head = good_head();
    head.key = 2;
    refuse_head(&head, "no key 2");
    head.key = 0x80000000u;
    refuse_head(&head, "no key");
    head = good_head();
    head.digest = DIGEST_COUNT;
    refuse_head(&head, "malformed request");
    head.digest = 0xffffffffu;
    refuse_head(&head, "malformed request");
    head = good_head();
    head.op = SIGNER_OP_DECRYPT;
    head.padding = 2;
    head.key_len = 16;
    refuse_head(&head, "malformed request");
    head.padding = PADDING_OAEP;
    head.hash = DIGEST_COUNT;
    refuse_head(&head, "malformed request");
    head.hash = DIGEST_SHA256;
    head.mgf = 0xffffffffu;
    refuse_head(&head, "malformed request");
    head.mgf = DIGEST_SHA1;
    head.key_len = 0x80000000u;
    refuse_head(&head, "malformed request");
}
END_TEST

START_TEST(truncated)
{
    struct request_head head = good_head();
    for (size_t n = 1; n < sizeof head; n++) {
        send_raw(&head, n, view_of(NULL, 0), NULL, 0);
        expect_refusal("too few");
    }
    send_raw(&head, sizeof head, view_of(attrs.p, attrs.n - 1), NULL, 0);
    expect_refusal("malformed packet");
}
END_TEST

START_TEST(empty_packet_is_not_the_end)
{
    send_raw("", 0, view_of(NULL, 0), NULL, 0);
    expect_refusal("too few");
}
END_TEST

START_TEST(oversized)
{
    struct request_head head = good_head();
    static uint8_t big[SIGNER_MAX_PACKET + 1];
    head.length = sizeof big - sizeof head;
    send_raw(&head, sizeof head, view_of(big, sizeof big - sizeof head), NULL, 0);
    expect_refusal("too many");
    head.length = SIGNER_MAX_PACKET - sizeof head; /* fits, is too much for attributes */
    send_raw(&head, sizeof head, view_of(big, head.length), NULL, 0);
    expect_refusal("at most");
}
END_TEST

START_TEST(forbidden)
{
    struct request_head head = good_head();
    head.key = (uint32_t)f.authority->key_ca;
    refuse_head(&head, "may not sign messages");
    head = good_head();
    head.op = SIGNER_OP_CERTIFICATE;
    refuse_head(&head, "may not sign certificates");
}
END_TEST

static int memory_file(struct view content, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content.p, content.n), (ssize_t)content.n);
    ck_assert(!seals || fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void send_crl(const int *passed, unsigned n, struct view payload)
{
    struct request_head head = {.magic = SIGNER_MAGIC,
                                .op = SIGNER_OP_CRL,
                                .key = (uint32_t)f.authority->key_ca,
                                .length = (uint32_t)payload.n};
    send_raw(&head, sizeof head, payload, passed, n);
}

static void refuse_crl_file(int fd, const char *text)
{
    send_crl(&fd, 1, view_of(NULL, 0));
    expect_refusal(text);
    close(fd);
}

START_TEST(crl_files)
{
    char said[SIGNER_MAX_REPLY];
    struct crl_plan p;
    crl_plan_make(&f, &p);
    struct buf crl = crl_plan_build(&p);
    int sound = memory_file(buf_view(&crl), SIGNER_SEALS);
    send_crl(&sound, 1, view_of(NULL, 0));
    ck_assert_uint_eq(receive_raw(said).kind, ERR_NONE);

    int two[2] = {sound, sound}, many[16];
    send_crl(two, 2, view_of(NULL, 0));
    expect_refusal("2 descriptors");
    for (size_t i = 0; i < 16; i++)
        many[i] = sound;
    send_crl(many, 16, view_of(NULL, 0));
    expect_refusal("too many");
    send_crl(NULL, 0, view_of(NULL, 0));
    expect_refusal("0 descriptors");
    send_crl(&sound, 1, buf_view(&crl));
    expect_refusal("descriptors");
    struct request_head head = good_head();
    send_raw(&head, sizeof head, buf_view(&attrs), &sound, 1);
    expect_refusal("1 descriptors");

    refuse_crl_file(memory_file(buf_view(&crl), 0), "not sealed");
    refuse_crl_file(memory_file(buf_view(&crl), F_SEAL_WRITE | F_SEAL_GROW), "not sealed");
    refuse_crl_file(memory_file(buf_view(&crl), F_SEAL_SHRINK | F_SEAL_GROW), "not sealed");
    refuse_crl_file(memory_file(view_of(NULL, 0), SIGNER_SEALS), "of 0 octets");
    refuse_crl_file(open("/dev/null", O_RDWR | O_CLOEXEC), "not sealed");
    refuse_crl_file(memory_file(view_of(crl.p, crl.n - 1), SIGNER_SEALS), "not a TBSCertList");
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    close(pipes[1]);
    refuse_crl_file(pipes[0], "not sealed");

    int sparse = memory_file(buf_view(&crl), 0);
    ck_assert_int_eq(ftruncate(sparse, 1 << 20), 0);
    ck_assert_int_eq(fcntl(sparse, F_ADD_SEALS, SIGNER_SEALS), 0);
    refuse_crl_file(sparse, "octets");
    int huge = memory_file(buf_view(&crl), 0);
    ck_assert_int_eq(ftruncate(huge, (off_t)SIGNER_MAX_CRL + 1), 0);
    ck_assert_int_eq(fcntl(huge, F_ADD_SEALS, SIGNER_SEALS), 0);
    refuse_crl_file(huge, "of 1073741825 octets");
    close(sound);
    buf_clear(&crl);
}
END_TEST

/* Nothing that was passed stays open in the child: many times more than it may have. */
START_TEST(passed_descriptors_are_closed)
{
    char said[SIGNER_MAX_REPLY];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), many[16];
    struct request_head head = good_head();
    const struct rlimit few = {64, 64};
    struct crl_plan p;
    struct buf signature = {0};
    crl_plan_make(&f, &p);
    struct buf crl = crl_plan_build(&p);
    ck_assert_int_eq(prlimit(signer_pid(process), RLIMIT_NOFILE, &few, NULL), 0);
    for (size_t i = 0; i < 16; i++)
        many[i] = null;
    for (int i = 0; i < 500; i++) {
        send_raw(&head, sizeof head, buf_view(&attrs), many, i % 16 + 1u);
        ck_assert_uint_eq(receive_raw(said).kind, ERR_SIGNER);
    }
    close(null);
    ck_assert_msg(signer_sign_crl(lane, (unsigned)f.authority->key_ca, buf_view(&crl), NULL,
                                  &signature, &err),
                  "%s", err.text);
    buf_clear(&crl);
    buf_clear(&signature);
}
END_TEST

START_TEST(random_packets)
{
    char said[SIGNER_MAX_REPLY];
    unsigned seed = 1;
    for (int i = 0; i < 2000; i++) {
        struct request_head head = good_head();
        uint8_t *bytes = (uint8_t *)&head;
        for (int k = 0; k < 1 + i % 3; k++)
            bytes[rand_r(&seed) % sizeof head] ^= (uint8_t)(1u << rand_r(&seed) % 8);
        send_raw(&head, sizeof head, view_of(attrs.p, attrs.n), NULL, 0);
        receive_raw(said);
    }
    still_serves();
}
END_TEST

START_TEST(other_answers_break_the_lane)
{
    int pair[2];
    struct signer fake = *lane;
    struct buf out = {0};
    struct reply_head reply = {.magic = SIGNER_MAGIC, .sequence = lane->sequence + 1};
    const struct reply_head bad[] = {
        {.magic = 1, .sequence = reply.sequence},
        {.magic = SIGNER_MAGIC, .sequence = reply.sequence - 1},
        {.magic = SIGNER_MAGIC, .sequence = reply.sequence, .kind = ERR_CONFIG + 1},
        {.magic = SIGNER_MAGIC,
         .sequence = reply.sequence,
         .kind = ERR_REFUSED,
         .reason = REASON_COUNT},
        {.magic = SIGNER_MAGIC, .sequence = reply.sequence, .length = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fake.fd = pair[0];
        fake.sequence = lane->sequence;
        ck_assert_int_eq(send(pair[1], &bad[i], sizeof bad[i], 0), sizeof bad[i]);
        err = (struct err){0};
        ck_assert(!signer_sign_attributes(&fake, 0, DIGEST_SHA256, buf_view(&attrs), &out, &err));
        ck_assert_int_eq(err.kind, ERR_SIGNER);
        ck_assert_ptr_nonnull(strstr(err.text, "malformed"));
        ck_assert_int_eq(fake.fd, -1);
        close(pair[1]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/signer wire");
    TCase *c = tcase_create("wire");
    tcase_set_timeout(c, 120);
    tcase_add_unchecked_fixture(c, make_once, remove_once);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, good);
    tcase_add_test(c, malformed);
    tcase_add_test(c, truncated);
    tcase_add_test(c, empty_packet_is_not_the_end);
    tcase_add_test(c, oversized);
    tcase_add_test(c, forbidden);
    tcase_add_test(c, crl_files);
    tcase_add_test(c, passed_descriptors_are_closed);
    tcase_add_test(c, random_packets);
    tcase_add_test(c, other_answers_break_the_lane);
    suite_add_tcase(s, c);
    return check_main(s);
}
