#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ca/child.h"
#include "signer_wire.h"

#define REPLY_SECONDS 60 /* an RSA-8192 signature over the largest CRL takes a few */

struct signer_process {
    pid_t pid;
    bool child; /* of this process */
    const struct log *log;
    unsigned lanes;
    struct signer lane[];
};

/* ---- one call ---- */

/* After this the lane answers nothing any more: what was on its way cannot be told apart. */
static bool broken(struct signer *s, struct err *err, const char *why)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    return err_set(err, ERR_SIGNER, "the signer cannot be reached: %s", why);
}

static bool send_request(struct signer *s, const struct signer_request *r,
                         const struct signer_file *file, struct err *err)
{
    bool is_crl = r->op == SIGNER_OP_CRL;
    struct request_head head = {
        .magic = SIGNER_MAGIC,
        .sequence = ++s->sequence,
        .op = r->op,
        .key = r->key,
        .digest = r->digest,
        .padding = r->wrap.padding,
        .hash = r->wrap.hash,
        .mgf = r->wrap.mgf,
        .key_len = (uint32_t)r->key_len,
        .offset = file ? file->offset : 0,
        .length = is_crl ? 0 : (uint32_t)r->data.n,
    };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{&head, sizeof head}, {(void *)(uintptr_t)r->data.p, head.length}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    if (is_crl) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &file->fd, sizeof file->fd);
    }
    ssize_t n;
    do
        n = sendmsg(s->fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0 || broken(s, err, strerror(errno));
}

static bool receive_reply(struct signer *s, struct buf *out, struct err *err)
{
    uint8_t packet[SIGNER_MAX_REPLY];
    struct reply_head head = {0};
    ssize_t n;
    do
        n = recv(s->fd, packet, sizeof packet, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return broken(s, err, errno == EAGAIN ? "no answer in time" : strerror(errno));
    if (n == 0)
        return broken(s, err, "its process has ended");
    if ((size_t)n >= sizeof head)
        memcpy(&head, packet, sizeof head);
    const uint8_t *payload = packet + sizeof head;
    bool ok = false;
    if (head.magic != SIGNER_MAGIC || head.sequence != s->sequence ||
        head.length != (size_t)n - sizeof head || head.kind > ERR_CONFIG ||
        head.reason >= REASON_COUNT) {
        broken(s, err, "its answer is malformed");
    } else if (head.kind == ERR_NONE) {
        ok = buf_append(out, payload, head.length) || err_memory(err);
    } else {
        err_set(err, (enum err_kind)head.kind, "%.*s", (int)head.length, (const char *)payload);
        err->reason = (enum reason)head.reason;
    }
    explicit_bzero(packet, (size_t)n); /* it may be a content key */
    return ok;
}

static bool memory_file(struct view content, int *out, struct err *err)
{
    int fd = memfd_create("crl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_errno(err, "cannot create a memory file");
    for (size_t done = 0; done < content.n;) {
        ssize_t n = write(fd, content.p + done, content.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(err, "cannot write a memory file");
            close(fd);
            return false;
        }
        done += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, SIGNER_SEALS | F_SEAL_SEAL) != 0) {
        err_errno(err, "cannot seal a memory file");
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

static bool lane_call(struct signer *s, const struct signer_request *r, struct buf *out,
                      struct err *err)
{
    bool is_crl = r->op == SIGNER_OP_CRL;
    size_t max = is_crl ? SIGNER_MAX_CRL : SIGNER_MAX_PACKET - sizeof(struct request_head);
    if (r->data.n > max)
        return err_set(err, ERR_SIGNER, "%zu octets to sign, at most %zu are possible", r->data.n,
                       max);
    if (s->fd < 0)
        return broken(s, err, "its process has ended");
    struct signer_file made = {.fd = -1};
    const struct signer_file *file = is_crl ? r->file : NULL;
    if (is_crl && !file) {
        if (!memory_file(r->data, &made.fd, err))
            return false;
        file = &made;
    }
    bool ok = send_request(s, r, file, err);
    if (made.fd >= 0)
        close(made.fd);
    return ok && receive_reply(s, out, err);
}

/* ---- life ---- */

static void close_lanes(struct signer_process *p)
{
    for (unsigned i = 0; i < p->lanes; i++) {
        if (p->lane[i].fd >= 0)
            close(p->lane[i].fd);
        p->lane[i].fd = -1;
    }
}

static bool open_lanes(struct signer_process *p, int *child_end, struct err *err)
{
    for (unsigned i = 0; i < p->lanes; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
            return err_errno(err, "cannot make a socket pair");
        p->lane[i].fd = pair[0];
        child_end[i] = pair[1];
        struct timeval limit = {.tv_sec = REPLY_SECONDS};
        if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
            setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
            return err_errno(err, "cannot set up a socket");
    }
    return true;
}

/* To the end of the pipe: the child is ready when its lanes are all that it holds. */
static bool wait_ready(int fd, struct err *err)
{
    struct signer_ready ready = {0};
    char told[sizeof ready + 1];
    size_t done = 0;
    while (done < sizeof told) {
        ssize_t n = read(fd, told + done, sizeof told - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done == sizeof ready)
        memcpy(&ready, told, sizeof ready);
    if (ready.magic != SIGNER_MAGIC)
        return err_set(err, ERR_SIGNER, "the signer process ended while it started");
    if (ready.err.kind == ERR_NONE)
        return true;
    ready.err.text[sizeof ready.err.text - 1] = '\0';
    *err = ready.err;
    return false;
}

static bool launch(struct signer_process *p, const struct signer_spec *spec, const int *child_end,
                   struct err *err)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0)
        return err_errno(err, "cannot make a pipe");
    struct signer_child c = {.spec = spec,
                             .lane = child_end,
                             .lanes = p->lanes,
                             .ready = ready[1],
                             .parent = getpid(),
                             .log = p->log};
    pid_t pid = fork();
    if (pid == 0)
        signer_child_run(&c);
    close(ready[1]);
    bool ok = pid > 0;
    if (!ok)
        err_errno(err, "cannot fork the signer process");
    else
        ok = wait_ready(ready[0], err);
    close(ready[0]);
    if (!ok && pid > 0) {
        close_lanes(p);
        child_reap(pid);
    }
    p->pid = pid;
    return ok;
}

static struct signer_process *process_new(unsigned lanes)
{
    struct signer_process *p = calloc(1, sizeof *p + lanes * sizeof p->lane[0]);
    if (!p)
        return NULL;
    p->lanes = lanes;
    for (unsigned i = 0; i < lanes; i++) {
        p->lane[i].call = lane_call;
        p->lane[i].fd = -1;
    }
    return p;
}

bool signer_start(const struct signer_spec *spec, unsigned lanes, const struct log *log,
                  struct signer_process **out, struct err *err)
{
    bool ok = false;
    if (lanes == 0 || lanes > SIGNER_MAX_LANES)
        return err_set(err, ERR_CONFIG, "a signer of %u lanes, 1 to %d are possible", lanes,
                       SIGNER_MAX_LANES);
    int *child_end = malloc(lanes * sizeof *child_end);
    struct signer_process *p = process_new(lanes);
    if (!child_end || !p) {
        err_memory(err);
        goto out;
    }
    p->log = log;
    p->child = true;
    for (unsigned i = 0; i < lanes; i++)
        child_end[i] = -1;
    ok = open_lanes(p, child_end, err) && launch(p, spec, child_end, err);
    for (unsigned i = 0; i < lanes; i++)
        if (child_end[i] >= 0)
            close(child_end[i]);
out:
    if (ok) {
        *out = p;
    } else if (p) {
        close_lanes(p);
        free(p);
    }
    free(child_end);
    return ok;
}

struct signer *signer_lane(struct signer_process *p, unsigned lane)
{
    return lane < p->lanes ? &p->lane[lane] : NULL;
}

int signer_pid(const struct signer_process *p)
{
    return (int)p->pid;
}

void signer_stop(struct signer_process *p)
{
    if (!p)
        return;
    close_lanes(p);
    if (p->child)
        child_reap((int)p->pid);
    free(p);
}

int signer_release(struct signer_process *p, int *fd)
{
    int pid = (int)p->pid;
    for (unsigned i = 0; i < p->lanes; i++)
        fd[i] = p->lane[i].fd;
    free(p);
    return pid;
}

bool signer_adopt(int pid, const int *fd, unsigned lanes, struct signer_process **out,
                  struct err *err)
{
    struct signer_process *p = lanes > 0 && lanes <= SIGNER_MAX_LANES ? process_new(lanes) : NULL;
    if (!p) {
        for (unsigned i = 0; i < lanes; i++)
            close(fd[i]);
        return err_memory(err);
    }
    p->pid = pid;
    for (unsigned i = 0; i < lanes; i++)
        p->lane[i].fd = fd[i];
    *out = p;
    return true;
}
