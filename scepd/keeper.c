#include "scepd/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ca/child.h"
#include "scepd/confinement.h"
#include "scepd/keeper_wire.h"

/* Keys stand behind slow passphrase functions, and large ones take long to make. */
#define REPLY_SECONDS 300

struct keeper {
    pthread_mutex_t lock;
    pid_t pid;
    int fd; /* -1: it cannot be reached any more */
    uint32_t sequence;
};

/* ---- one call ---- */

/* Nothing that still comes could be told apart: the keeper ends, and the daemon with it. */
static bool broken(struct keeper *k, struct err *err, const char *why)
{
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
    kill(k->pid, SIGKILL);
    return err_set(err, ERR_SIGNER, "the keeper process cannot be reached: %s", why);
}

static bool call(struct keeper *k, struct keeper_request *q, struct keeper_reply *out,
                 struct err *err)
{
    ssize_t n;
    if (k->fd < 0)
        return err_set(err, ERR_SIGNER, "the keeper process has ended");
    q->magic = KEEPER_MAGIC;
    q->sequence = ++k->sequence;
    do
        n = send(k->fd, q, sizeof *q, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return broken(k, err, strerror(errno));
    do
        n = recv(k->fd, out, sizeof *out, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return broken(k, err, errno == EAGAIN ? "no answer in time" : strerror(errno));
    if (n == 0)
        return broken(k, err, "it has ended");
    if (n != sizeof *out || out->magic != KEEPER_MAGIC || out->sequence != q->sequence)
        return broken(k, err, "its answer is malformed");
    if (out->err.kind == ERR_NONE)
        return true;
    out->err.text[sizeof out->err.text - 1] = '\0';
    *err = out->err;
    return false;
}

/* The descriptors of a packet, `room` of them at most; what is more is closed. */
static unsigned collect(struct msghdr *m, int *fd, unsigned room)
{
    unsigned got = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        size_t passed = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < passed; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
            if (got < room)
                fd[got++] = one;
            else
                close(one);
        }
    }
    return got;
}

/* Puts descriptors of one packet behind the `have` that are there, -1 for each for which there was
 * no room in this process.  How many; -1 when it is no such packet. */
static int take(struct keeper *k, int *fd, unsigned have, unsigned most)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(KEEPER_PASSED * sizeof(int))];
    } control;
    struct keeper_passed head = {0};
    struct iovec iov = {&head, sizeof head};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(k->fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    unsigned got = collect(&m, fd + have, most - have);
    bool all = !(m.msg_flags & MSG_CTRUNC) && head.n == got;
    bool lost = (m.msg_flags & MSG_CTRUNC) && head.n > got && head.n <= most - have;
    bool good = n == sizeof head && head.magic == KEEPER_MAGIC && head.sequence == k->sequence &&
                head.n > 0 && (all || lost) && !(m.msg_flags & MSG_TRUNC);
    for (unsigned i = 0; !good && i < got; i++)
        close(fd[have + i]);
    for (unsigned i = got; good && i < head.n; i++)
        fd[have + i] = -1;
    return good ? (int)head.n : -1;
}

static void close_all(int *fd, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

/* What is left of a signer without its descriptors ends by itself. */
static bool take_all(struct keeper *k, int *fd, unsigned n, struct err *err)
{
    unsigned have = 0;
    bool whole = true;
    while (have < n) {
        int got = take(k, fd, have, n);
        if (got < 0) {
            close_all(fd, have);
            return broken(k, err, "it did not hand over the signer");
        }
        for (int i = 0; i < got; i++)
            whole = whole && fd[have + (unsigned)i] >= 0;
        have += (unsigned)got;
    }
    if (whole)
        return true;
    close_all(fd, n);
    errno = EMFILE;
    return err_set(err, ERR_SIGNER,
                   "there are too few descriptors left for what the keeper hands over");
}

bool keeper_signer(struct keeper *k, enum keeper_source source, unsigned lanes,
                   struct keeper_signer *out, struct err *err)
{
    struct keeper_request q = {.op = KEEPER_OP_SIGNER, .source = source, .lanes = lanes};
    struct keeper_reply reply;
    struct signer_process *process = NULL;
    if (lanes == 0 || lanes > SIGNER_MAX_LANES)
        return err_set(err, ERR_CONFIG, "a signer of %u lanes, 1 to %d are possible", lanes,
                       SIGNER_MAX_LANES);
    int *fd = calloc(lanes + 1, sizeof *fd);
    if (!fd)
        return err_memory(err);
    pthread_mutex_lock(&k->lock);
    bool ok = call(k, &q, &reply, err) && take_all(k, fd, lanes + 1, err);
    pthread_mutex_unlock(&k->lock);
    if (ok && !signer_adopt(reply.pid, fd + 1, lanes, &process, err)) {
        close(fd[0]);
        ok = false;
    }
    if (ok) {
        *out = (struct keeper_signer){.process = process, .ended = fd[0]};
        memcpy(out->digest, reply.digest, sizeof out->digest);
    }
    free(fd);
    return ok;
}

void keeper_signer_clear(struct keeper_signer *s)
{
    signer_stop(s->process);
    if (s->ended >= 0)
        close(s->ended);
    *s = (struct keeper_signer)KEEPER_NO_SIGNER;
}

bool keeper_keep(struct keeper *k, struct err *err)
{
    struct keeper_request q = {.op = KEEPER_OP_KEEP};
    struct keeper_reply reply;
    pthread_mutex_lock(&k->lock);
    bool ok = call(k, &q, &reply, err);
    pthread_mutex_unlock(&k->lock);
    return ok;
}

bool keeper_tend(struct keeper *k, enum keeper_source source, bool *changed, struct err *err)
{
    struct keeper_request q = {.op = KEEPER_OP_TEND, .source = source};
    struct keeper_reply reply = {0};
    pthread_mutex_lock(&k->lock);
    bool ok = call(k, &q, &reply, err);
    pthread_mutex_unlock(&k->lock);
    *changed = reply.changed;
    return ok;
}

int keeper_open(struct keeper *k, const char *path)
{
    struct keeper_request q = {.op = KEEPER_OP_FILE};
    struct keeper_reply reply;
    struct err ignored = {0};
    int fd = -1;
    size_t n = strlen(path);
    if (n >= sizeof q.path)
        return -1;
    memcpy(q.path, path, n);
    pthread_mutex_lock(&k->lock);
    if (!call(k, &q, &reply, &ignored) || !take_all(k, &fd, 1, &ignored))
        fd = -1;
    pthread_mutex_unlock(&k->lock);
    return fd;
}

/* ---- life ---- */

bool keeper_start(const struct config *c, struct keeper **out, struct err *err)
{
    int pair[2];
    struct timeval limit = {.tv_sec = REPLY_SECONDS};
    struct keeper *k = calloc(1, sizeof *k);
    if (!k)
        return err_memory(err);
    struct confine_paths *paths = NULL;
    if (!confinement_keeper_paths(c, &paths, err)) {
        free(k);
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(paths);
        free(k);
        return err_errno(err, "cannot make a socket pair");
    }
    struct keeper_child child = {.file = c->file,
                                 .socket = pair[1],
                                 .parent = getpid(),
                                 .level = c->log_level,
                                 .json = c->log_json,
                                 .confinement = c->confinement,
                                 .paths = paths};
    k->pid = fork();
    if (k->pid == 0)
        keeper_child_run(&child);
    free(paths);
    close(pair[1]);
    if (k->pid < 0 || setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) {
        err_errno(err, "cannot start the keeper process");
        close(pair[0]);
        if (k->pid > 0)
            child_reap((int)k->pid);
        free(k);
        return false;
    }
    k->fd = pair[0];
    pthread_mutex_init(&k->lock, NULL);
    *out = k;
    return true;
}

int keeper_pid(const struct keeper *k)
{
    return (int)k->pid;
}

void keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    if (k->fd >= 0)
        close(k->fd);
    child_reap((int)k->pid);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
