/* The keeper's process: reads configuration and certificates for itself, forks signers, waits for
 * their end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ca/child.h"
#include "ca/keyfile.h"
#include "scepd/confinement.h"
#include "scepd/keeper_wire.h"
#include "scepd/logger.h"

/* Less than the daemon waits for its keeper. */
#define STOP_MILLISECONDS 4000

struct reading { /* of the configuration and the files that it names */
    struct config *config;
    bool owns_config;
    struct config_rooms rooms;
};

struct keeping {
    const struct keeper_child *start;
    struct logger logger;
    struct reading kept, latest; /* `latest` becomes `kept` when the daemon says so */
    struct config *seen;      /* as it was when the daemon last asked for its text; may be NULL */
    unsigned signers;         /* that live */
    struct signer_rate *rate; /* shared by all signers: a new one gives nobody more */
    int signals;              /* a signalfd for SIGCHLD */
};

/* ---- reading ---- */

static void reading_clear(struct reading *r)
{
    if (r->config)
        config_rooms_clear(r->config, &r->rooms);
    if (r->owns_config)
        config_free(r->config);
    *r = (struct reading){0};
}

static bool read_rooms(const struct keeping *k, struct config *c, bool owns, struct reading *out,
                       struct err *err)
{
    struct config_rooms rooms = {0};
    if (!config_rooms_load(c, &rooms, err)) {
        if (owns)
            config_free(c);
        return false;
    }
    reading_clear(out);
    rooms.spec->rate = k->rate;
    *out = (struct reading){c, owns, rooms};
    explicit_bzero(&rooms, sizeof rooms);
    return true;
}

static struct config *read_config(struct keeping *k, struct err *err)
{
    struct config *c = config_load_first(k->start->file, err);
    if (!c)
        return NULL;
    c->confinement = k->start->confinement; /* it cannot change while scepd runs */
    logger_set(&k->logger, c->log_level, c->log_json);
    return c;
}

static bool read_file(struct keeping *k, struct reading *out, struct err *err)
{
    struct config *c = read_config(k, err);
    return c && read_rooms(k, c, true, out, err);
}

/* What the signer is to be made of; NULL after a failure. */
static const struct signer_spec *spec_from(struct keeping *k, uint32_t source, struct err *err)
{
    if (source == KEEPER_FILE)
        return read_file(k, &k->latest, err) ? k->latest.rooms.spec : NULL;
    if (!k->kept.config) {
        err_set(err, ERR_CONFIG, "the keeper has not read a configuration yet");
        return NULL;
    }
    if (source == KEEPER_FILES)
        return read_rooms(k, k->kept.config, false, &k->latest, err) ? k->latest.rooms.spec : NULL;
    if (source == KEEPER_SAME)
        return k->kept.rooms.spec;
    err_set(err, ERR_SIGNER, "the keeper refused: no such source");
    return NULL;
}

static void keep(struct keeping *k)
{
    if (!k->latest.config)
        return;
    struct reading next = k->latest;
    k->latest = (struct reading){0};
    if (next.config == k->kept.config) { /* only the files were read anew */
        next.owns_config = k->kept.owns_config;
        k->kept.owns_config = false;
    }
    reading_clear(&k->kept);
    k->kept = next;
}

/* ---- the life of the authorities ---- */

static void tend(struct keeping *k, uint32_t source, struct keeper_reply *reply)
{
    bool changed = false, anew = source == KEEPER_FILE;
    struct config *c = anew ? read_config(k, &reply->err) : k->kept.config;
    if (!c) {
        if (!anew)
            err_set(&reply->err, ERR_CONFIG, "the keeper has not read a configuration yet");
        return;
    }
    config_tend(c, time(NULL), &k->logger.log, &changed, &reply->err);
    reply->changed = changed;
    if (anew)
        config_free(c);
}

/* ---- answering ---- */

static bool send_reply(const struct keeping *k, const struct keeper_reply *reply)
{
    ssize_t n;
    do
        n = send(k->start->socket, reply, sizeof *reply, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == sizeof *reply;
}

static bool send_descriptors(const struct keeping *k, uint32_t sequence, const int *fd, unsigned n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(KEEPER_PASSED * sizeof(int))];
    } control = {0};
    struct keeper_passed head = {KEEPER_MAGIC, sequence, n};
    struct iovec iov = {&head, sizeof head};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fd, n * sizeof(int));
    ssize_t sent;
    do
        sent = sendmsg(k->start->socket, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

/* Starts one; `fd` gets its pidfd and its lanes. */
static bool start_signer(struct keeping *k, const struct keeper_request *q, int *fd,
                         struct keeper_reply *reply)
{
    struct signer_process *p = NULL;
    struct err *err = &reply->err;
    if (k->signers >= KEEPER_MAX_SIGNERS)
        return err_set(err, ERR_BUSY, "%u signers live already", k->signers);
    const struct signer_spec *spec = spec_from(k, q->source, err);
    if (!spec || !signer_spec_digest(spec, reply->digest, err) ||
        !signer_start(spec, q->lanes, &k->logger.log, &p, err))
        return false;
    k->signers++;
    reply->pid = signer_release(p, fd + 1);
    fd[0] = pidfd_open(reply->pid, 0); /* it is not waited for before the next look at signals */
    if (fd[0] < 0)
        err_errno(err, "cannot watch the signer process");
    return fd[0] >= 0;
}

static bool serve_signer(struct keeping *k, const struct keeper_request *q,
                         struct keeper_reply *reply)
{
    if (q->lanes == 0 || q->lanes > SIGNER_MAX_LANES) {
        err_set(&reply->err, ERR_SIGNER, "the keeper refused: a signer of %u lanes", q->lanes);
        return send_reply(k, reply);
    }
    unsigned n = q->lanes + 1;
    int *fd = malloc(n * sizeof *fd);
    if (!fd) {
        err_memory(&reply->err);
        return send_reply(k, reply);
    }
    for (unsigned i = 0; i < n; i++)
        fd[i] = -1;
    bool started = start_signer(k, q, fd, reply);
    bool ok = send_reply(k, reply);
    for (unsigned at = 0; started && ok && at < n; at += KEEPER_PASSED)
        ok = send_descriptors(k, q->sequence, fd + at,
                              n - at < KEEPER_PASSED ? n - at : KEEPER_PASSED);
    for (unsigned i = 0; i < n; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    free(fd);
    return ok;
}

/* ---- files for the daemon ---- */

static bool may_hand_over(struct keeping *k, const char *path)
{
    struct err ignored = {0};
    if (strcmp(path, k->start->file) == 0) {
        config_free(k->seen);
        k->seen = config_load_first(path, &ignored);
        return true; /* it may be full of mistakes, which the daemon has to find, too */
    }
    return (k->seen && confinement_may_hand_over(k->seen, path)) ||
           (k->kept.config && confinement_may_hand_over(k->kept.config, path));
}

static bool serve_file(struct keeping *k, struct keeper_request *q, struct keeper_reply *reply)
{
    int fd = -1;
    q->path[sizeof q->path - 1] = '\0';
    if (!may_hand_over(k, q->path)) {
        err_set(&reply->err, ERR_SIGNER, "the keeper refused: %.200s is not for the daemon to read",
                q->path);
        log_event(&k->logger.log, LOG_LEVEL_WARNING, "keeper.refused", "%s", reply->err.text);
    } else if ((fd = file_descriptor(q->path)) < 0) {
        err_errno(&reply->err, "cannot open %.200s", q->path);
    }
    bool ok = send_reply(k, reply) && (fd < 0 || send_descriptors(k, q->sequence, &fd, 1));
    if (fd >= 0)
        close(fd);
    return ok;
}

/* False when the daemon has gone. */
static bool serve(struct keeping *k)
{
    struct keeper_request q = {0};
    ssize_t n = recv(k->start->socket, &q, sizeof q, MSG_TRUNC);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    struct keeper_reply reply = {.magic = KEEPER_MAGIC, .sequence = q.sequence};
    if (n != sizeof q || q.magic != KEEPER_MAGIC)
        err_set(&reply.err, ERR_SIGNER, "the keeper refused: a malformed request");
    else if (q.op == KEEPER_OP_SIGNER)
        return serve_signer(k, &q, &reply);
    else if (q.op == KEEPER_OP_KEEP)
        keep(k);
    else if (q.op == KEEPER_OP_FILE)
        return serve_file(k, &q, &reply);
    else if (q.op == KEEPER_OP_TEND)
        tend(k, q.source, &reply);
    else
        err_set(&reply.err, ERR_SIGNER, "the keeper refused: an unknown request");
    return send_reply(k, &reply);
}

/* ---- children ---- */

/* A signer whose lanes were closed ends with 0; everything else is worth a line. */
static void wait_for_signers(struct keeping *k)
{
    struct signalfd_siginfo told;
    int status;
    pid_t pid;
    if (read(k->signals, &told, sizeof told) < 0 && errno != EAGAIN)
        return;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        k->signers -= k->signers > 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        struct log_line l;
        log_begin(&l, &k->logger.log, LOG_LEVEL_ERROR, "signer.ended");
        log_int(&l, "signer", pid);
        log_end(&l, "the signer process ended (%s %d)", WIFEXITED(status) ? "exit code" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
}

/* ---- the process ---- */

static bool start(struct keeping *k, struct err *err)
{
    int only = k->start->socket;
    sigset_t child;
    child_ignore_signals();
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (!child_harden(k->start->parent, "scepd-keeper", err) ||
        !child_close_others(&only, 1, err) ||
        !confinement_keeper(k->start->confinement, k->start->paths, &k->logger.log, err))
        return false;
    k->rate =
        mmap(NULL, sizeof *k->rate, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (k->rate == MAP_FAILED)
        return err_errno(err, "cannot share memory with signers");
    sigprocmask(SIG_BLOCK, &child, NULL);
    k->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return k->signals >= 0 || err_errno(err, "cannot make a signalfd");
}

void keeper_child_run(const struct keeper_child *c)
{
    struct err err = {0};
    struct keeping k = {.start = c};
    logger_init(&k.logger, STDERR_FILENO, c->level, c->json);
    if (!start(&k, &err)) {
        log_event(&k.logger.log, LOG_LEVEL_ERROR, "keeper.failed", "%s", err.text);
        _exit(1);
    }
    struct pollfd wait[] = {{.fd = c->socket, .events = POLLIN},
                            {.fd = k.signals, .events = POLLIN}};
    for (bool daemon = true; daemon;) {
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            break;
        if (wait[1].revents)
            wait_for_signers(&k);
        if (wait[0].revents)
            daemon = serve(&k);
    }
    /* Its lanes are closed, so each ends by itself; whatever does not is killed with this process.
     */
    while (k.signers > 0 && poll(&wait[1], 1, STOP_MILLISECONDS) > 0)
        wait_for_signers(&k);
    /* No clean-up: exit handlers belong to the daemon; memory and signers go with this process. */
    _exit(0);
}
