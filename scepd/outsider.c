#include "scepd/outsider.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ca/child.h"
#include "outside/outside_child.h"
#include "scepd/confinement.h"
#include "scepd/logger.h"

#define OUTSIDER_MAGIC 0x6f757472u
#define REPLY_SECONDS 30

enum outsider_op { OUTSIDER_FORK = 1, OUTSIDER_RELOAD };

struct outsider_request {
    uint32_t magic, op;
};
struct outsider_reply { /* goes with a descriptor after OUTSIDER_FORK */
    uint32_t magic;
    struct err err;                       /* ERR_NONE: done */
    struct outside_credential credential; /* of what is loaded */
};

struct outsider {
    pthread_mutex_t lock;
    pid_t pid;
    int fd;               /* -1: it cannot be reached any more */
    pthread_mutex_t told; /* of what follows: nobody waits long for it */
    struct outside_credential credential;
};

/* What the process itself has. */
struct outsiding {
    const char *file;
    int socket, parent, self, signals;
    enum confine_mode confinement;
    struct logger logger;
    struct outside_targets *targets;
};

/* ---- the process that asks ---- */

static void ask_for_ever(struct outsiding *o, int socket) __attribute__((noreturn));

static void ask_for_ever(struct outsiding *o, int socket)
{
    struct err err = {0};
    int only = socket;
    sigset_t none;
    sigemptyset(&none);
    child_ignore_signals();
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!child_harden(o->self, "scepd-outside", &err) || !child_close_others(&only, 1, &err) ||
        !confinement_outside(o->confinement, &o->logger.log, &err)) {
        log_event(&o->logger.log, LOG_LEVEL_ERROR, "outside.failed", "%s", err.text);
        _exit(1);
    }
    outside_serve(socket, o->targets, &o->logger.log);
    _exit(0); /* exit handlers belong to the daemon */
}

static bool fork_asker(struct outsiding *o, int *ours, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(err, "cannot make a socket pair");
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        ask_for_ever(o, pair[1]);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return err_errno(err, "cannot start the process that asks servers elsewhere");
    }
    *ours = pair[0];
    return true;
}

/* ---- its parent ---- */

static bool reload(struct outsiding *o, struct err *err)
{
    struct outside_targets *targets = NULL;
    struct config *c = config_load_first(o->file, err);
    if (!c)
        return false;
    bool ok = outside_targets_load(c, &targets, err);
    if (ok) {
        logger_set(&o->logger, c->log_level, c->log_json);
        outside_targets_free(o->targets);
        o->targets = targets;
    }
    config_free(c);
    return ok;
}

static bool reply(const struct outsiding *o, const struct outsider_reply *r, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)r, sizeof *r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do
        n = sendmsg(o->socket, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == sizeof *r;
}

/* False when the daemon has gone. */
static bool serve(struct outsiding *o)
{
    struct outsider_request q = {0};
    struct outsider_reply r = {.magic = OUTSIDER_MAGIC};
    int fd = -1;
    ssize_t n = recv(o->socket, &q, sizeof q, MSG_TRUNC);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    if (n != sizeof q || q.magic != OUTSIDER_MAGIC)
        err_set(&r.err, ERR_IO, "a malformed request");
    else if (q.op == OUTSIDER_FORK)
        fork_asker(o, &fd, &r.err);
    else if (q.op == OUTSIDER_RELOAD)
        reload(o, &r.err);
    else
        err_set(&r.err, ERR_IO, "an unknown request");
    outside_targets_credential(o->targets, &r.credential);
    bool ok = reply(o, &r, fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

static void wait_for_askers(struct outsiding *o)
{
    struct signalfd_siginfo told;
    int status;
    pid_t pid;
    if (read(o->signals, &told, sizeof told) < 0 && errno != EAGAIN)
        return;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        log_event(&o->logger.log, LOG_LEVEL_ERROR, "outside.ended",
                  "the process that asks servers elsewhere, %d, ended (%s %d)", (int)pid,
                  WIFEXITED(status) ? "exit code" : "signal",
                  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
}

static bool start(struct outsiding *o, struct err *err)
{
    int only = o->socket;
    sigset_t child;
    o->self = getpid();
    child_ignore_signals();
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (!child_harden(o->parent, "scepd-outsider", err) || !child_close_others(&only, 1, err) ||
        !confinement_outsider(o->confinement, &o->logger.log, err))
        return false;
    sigprocmask(SIG_BLOCK, &child, NULL);
    o->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return o->signals >= 0 || err_errno(err, "cannot make a signalfd");
}

static void run(struct outsiding *o) __attribute__((noreturn));

static void run(struct outsiding *o)
{
    struct err err = {0};
    if (!start(o, &err)) {
        log_event(&o->logger.log, LOG_LEVEL_ERROR, "outside.failed", "%s", err.text);
        _exit(1);
    }
    struct pollfd wait[] = {{.fd = o->socket, .events = POLLIN},
                            {.fd = o->signals, .events = POLLIN}};
    for (bool daemon = true; daemon;) {
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            break;
        if (wait[1].revents)
            wait_for_askers(o);
        if (wait[0].revents)
            daemon = serve(o);
    }
    outside_targets_free(o->targets);
    _exit(0); /* those it has forked end with it */
}

/* ---- the daemon's side ---- */

static bool broken(struct outsider *o, struct err *err, const char *why)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
    return err_set(err, ERR_IO, "the outsider process cannot be reached: %s", why);
}

static bool call(struct outsider *o, enum outsider_op op, int *fd, struct err *err)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct outsider_request q = {OUTSIDER_MAGIC, op};
    struct outsider_reply r = {0};
    struct iovec iov = {&r, sizeof r};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t n;
    int got = -1;
    if (o->fd < 0)
        return err_set(err, ERR_IO, "the outsider process has ended");
    do
        n = send(o->fd, &q, sizeof q, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    do
        n = n < 0 ? n : recvmsg(o->fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return broken(o, err, n == 0 ? "it has ended" : strerror(errno));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof got))
        memcpy(&got, CMSG_DATA(c), sizeof got);
    bool good = n == sizeof r && r.magic == OUTSIDER_MAGIC;
    bool wants = op == OUTSIDER_FORK && r.err.kind == ERR_NONE;
    if (good && wants && got < 0 && (m.msg_flags & MSG_CTRUNC)) /* whom nobody can ask ends */
        return err_set(err, ERR_IO, "there is no descriptor left for who asks servers elsewhere");
    if (!good || wants != (got >= 0)) {
        if (got >= 0)
            close(got);
        return broken(o, err, "its answer is malformed");
    }
    if (r.err.kind != ERR_NONE) {
        r.err.text[sizeof r.err.text - 1] = '\0';
        *err = r.err;
        return false;
    }
    if (wants)
        *fd = got;
    r.credential.webhook[sizeof r.credential.webhook - 1] = '\0';
    pthread_mutex_lock(&o->told);
    o->credential = r.credential;
    pthread_mutex_unlock(&o->told);
    return true;
}

bool outsider_reload(struct outsider *o, struct err *err)
{
    pthread_mutex_lock(&o->lock);
    bool ok = call(o, OUTSIDER_RELOAD, NULL, err);
    pthread_mutex_unlock(&o->lock);
    return ok;
}

bool outsider_connect(void *outsider, int *socket, struct err *err)
{
    struct outsider *o = outsider;
    pthread_mutex_lock(&o->lock);
    bool ok = call(o, OUTSIDER_FORK, socket, err);
    pthread_mutex_unlock(&o->lock);
    return ok;
}

void outsider_credential(struct outsider *o, struct outside_credential *out)
{
    *out = (struct outside_credential){.not_after = 0};
    if (!o)
        return;
    pthread_mutex_lock(&o->told);
    *out = o->credential;
    pthread_mutex_unlock(&o->told);
}

int outsider_pid(const struct outsider *o)
{
    return (int)o->pid;
}

bool outsider_start(const struct config *c, struct outsider **out, struct err *err)
{
    int pair[2];
    struct timeval limit = {.tv_sec = REPLY_SECONDS};
    struct outsiding child = {.file = c->file, .parent = getpid(), .confinement = c->confinement};
    *out = NULL;
    if (!outside_needed(c))
        return true;
    if (!outside_targets_load(c, &child.targets, err))
        return false;
    struct outsider *o = calloc(1, sizeof *o);
    if (!o || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        outside_targets_free(child.targets);
        free(o);
        return o ? err_errno(err, "cannot make a socket pair") : err_memory(err);
    }
    child.socket = pair[1];
    logger_init(&child.logger, STDERR_FILENO, c->log_level, c->log_json);
    logger_wait_for_nobody(&child.logger);
    o->pid = fork();
    if (o->pid == 0)
        run(&child);
    outside_targets_credential(child.targets, &o->credential);
    outside_targets_free(child.targets); /* the daemon keeps no secret */
    close(pair[1]);
    o->fd = pair[0];
    pthread_mutex_init(&o->lock, NULL);
    pthread_mutex_init(&o->told, NULL);
    if (o->pid < 0 || setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) {
        err_errno(err, "cannot start the outsider process");
        outsider_stop(o);
        return false;
    }
    *out = o;
    return true;
}

void outsider_stop(struct outsider *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    if (o->pid > 0)
        child_reap((int)o->pid);
    pthread_mutex_destroy(&o->lock);
    pthread_mutex_destroy(&o->told);
    free(o);
}
