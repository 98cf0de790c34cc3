#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "ca/child.h"
#include "ca/confine.h"
#include "signer_account.h"
#include "signer_wire.h"

/* The process that holds the keys: one thread per lane, each receiving a packet, having it checked
 * and done by signer_execute, and answering.  Nothing that comes in ends it; it ends when its lanes
 * do. */

#define MAX_PASSED 4 /* descriptors in one packet that are received in order to be closed */

struct lane {
    int fd;
    struct signer_worker *worker; /* owned */
    struct signer_account *account;
    const struct log *log;
    pthread_t thread;
    uint8_t packet[SIGNER_MAX_PACKET];
};

struct packet {
    size_t n;
    bool truncated;
    int passed[MAX_PASSED];
    size_t passed_n;
};

/* ---- receiving ---- */

static void take_descriptors(struct msghdr *m, struct packet *p)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (p->passed_n < MAX_PASSED)
                p->passed[p->passed_n++] = fd;
            else
                close(fd);
        }
    }
}

/* A packet of no octets looks like the end of the lane; only the end hangs up. */
static bool hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* False at the end of the lane. */
static bool receive(struct lane *lane, struct packet *p)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_PASSED * sizeof(int))];
    } control;
    for (;;) {
        struct iovec iov = {lane->packet, sizeof lane->packet};
        struct msghdr m = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
        ssize_t n = recvmsg(lane->fd, &m, MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EINTR || errno == ENOBUFS || errno == ENOMEM))
            continue;
        if (n < 0)
            return false;
        *p = (struct packet){.n = (size_t)n,
                             .truncated = (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0};
        take_descriptors(&m, p);
        return n > 0 || !hung_up(lane->fd);
    }
}

/* ---- the memory file of a CRL ---- */

/* Sealed, in memory (not huge pages, which may be missing when touched) and without holes: nothing
 * about it can change or fault while it is read. */
static bool map_crl(int fd, uint32_t offset, struct view *out, struct err *err)
{
    struct stat st;
    struct statfs fs;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SIGNER_SEALS) != SIGNER_SEALS)
        return err_set(err, ERR_SIGNER, "the signer refused: a CRL in a file that is not sealed");
    if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC)
        return err_set(err, ERR_SIGNER, "the signer refused: a CRL in another file than memory");
    if (st.st_size <= (off_t)offset || st.st_size - offset > (off_t)SIGNER_MAX_CRL ||
        st.st_blocks * 512 < st.st_size)
        return err_set(err, ERR_SIGNER,
                       "the signer refused: a CRL of %lld octets, at most %u are taken",
                       (long long)st.st_size, SIGNER_MAX_CRL);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, "cannot map a CRL");
    *out = view_of(p, (size_t)st.st_size);
    return true;
}

/* ---- one request ---- */

static bool unpack(const struct lane *lane, const struct packet *p, struct request_head *head,
                   struct err *err)
{
    if (p->n < sizeof *head || p->truncated)
        return err_set(err, ERR_SIGNER, "the signer refused: a packet of %s octets",
                       p->truncated ? "too many" : "too few");
    memcpy(head, lane->packet, sizeof *head);
    if (head->magic != SIGNER_MAGIC || head->length != p->n - sizeof *head)
        return err_set(err, ERR_SIGNER, "the signer refused: a malformed packet");
    bool is_crl = head->op == SIGNER_OP_CRL;
    if (p->passed_n != (is_crl ? 1u : 0u) || (is_crl && head->length != 0))
        return err_set(err, ERR_SIGNER, "the signer refused: a request with %zu descriptors",
                       p->passed_n);
    return true;
}

static bool serve(struct lane *lane, const struct packet *p, struct request_head *head,
                  struct buf *result, struct err *err)
{
    static const struct signer_request unreadable;
    if (!unpack(lane, p, head, err)) {
        signer_account_done(lane->account, &unreadable, (struct view){0}, err);
        return false;
    }
    struct signer_request r = {
        .op = (enum signer_op)head->op,
        .key = head->key,
        .digest = (enum digest)head->digest,
        .wrap = {(enum key_padding)head->padding, (enum digest)head->hash, (enum digest)head->mgf},
        .key_len = head->key_len,
        .data = {lane->packet + sizeof *head, head->length},
    };
    struct view crl = {0};
    if (head->op == SIGNER_OP_CRL) {
        if (!map_crl(p->passed[0], head->offset, &crl, err))
            return false;
        r.data = view_of(crl.p + head->offset, crl.n - head->offset);
    }
    bool ok = signer_account_admit(lane->account, &r, err) &&
              signer_execute(lane->worker, &r, result, err);
    signer_account_done(lane->account, &r, buf_view(result), ok ? NULL : err);
    if (crl.p)
        munmap((void *)(uintptr_t)crl.p, crl.n);
    return ok;
}

static bool answer(struct lane *lane, uint32_t sequence, struct view result, const struct err *err)
{
    struct view payload = err ? view_str(err->text) : result;
    struct reply_head head = {.magic = SIGNER_MAGIC,
                              .sequence = sequence,
                              .kind = err ? (uint32_t)err->kind : ERR_NONE,
                              .reason = err ? (uint32_t)err->reason : REASON_NONE,
                              .length = (uint32_t)payload.n};
    struct iovec iov[2] = {{&head, sizeof head}, {(void *)(uintptr_t)payload.p, payload.n}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;
    do
        n = sendmsg(lane->fd, &m, MSG_NOSIGNAL);
    while (n < 0 && (errno == EINTR || errno == ENOBUFS || errno == ENOMEM));
    return n >= 0;
}

static void *lane_main(void *ctx)
{
    struct lane *lane = ctx;
    struct buf result = {0};
    struct packet p;
    for (bool open = true; open && receive(lane, &p);) {
        struct request_head head = {0};
        struct err err = {0};
        bool ok = serve(lane, &p, &head, &result, &err);
        for (size_t i = 0; i < p.passed_n; i++)
            close(p.passed[i]);
        if (!ok && err.kind != ERR_REFUSED && err.kind != ERR_BUSY)
            log_event(lane->log, LOG_LEVEL_WARNING, "signer.refused", "%s", err.text);
        open = answer(lane, head.sequence, buf_view(&result), ok ? NULL : &err);
        if (result.p)
            explicit_bzero(result.p, result.n); /* it may be a content key */
        buf_reset(&result);
    }
    buf_wipe(&result);
    close(lane->fd);
    return NULL;
}

/* ---- the process ---- */

/* Only standard error (for the log), the lanes and the pipe stay. */
static bool close_others(const struct signer_child *c, struct err *err)
{
    int *keep = calloc(c->lanes + 1, sizeof *keep);
    if (!keep)
        return err_memory(err);
    memcpy(keep, c->lane, c->lanes * sizeof *keep);
    keep[c->lanes] = c->ready;
    bool ok = child_close_others(keep, c->lanes + 1, err);
    free(keep);
    return ok;
}

static bool start_lanes(const struct signer_child *c, const struct signer_keys *keys,
                        struct signer_account *account, struct lane *lanes, struct err *err)
{
    for (unsigned i = 0; i < c->lanes; i++) {
        lanes[i].fd = c->lane[i];
        lanes[i].log = c->log;
        lanes[i].account = account;
        if (!signer_worker_new(keys, &lanes[i].worker, err))
            return false;
        signer_worker_admit(lanes[i].worker, signer_account_take, account);
        int number = pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]);
        if (number != 0) {
            errno = number;
            return err_errno(err, "cannot start a thread of the signer");
        }
    }
    return true;
}

static void tell(const struct signer_child *c, const struct err *err)
{
    struct signer_ready ready = {.magic = SIGNER_MAGIC};
    if (err)
        ready.err = *err;
    ssize_t n;
    do
        n = write(c->ready, &ready, sizeof ready);
    while (n < 0 && errno == EINTR);
    close(c->ready);
}

/* Nothing to read any more: no path at all. */
static bool give_up_files(const struct signer_child *c, unsigned *lacks, struct err *err)
{
    static const struct confine_paths none;
    return c->spec->confinement == CONFINE_OFF || confine_files(&none, lacks, err);
}

static bool give_up_calls(const struct signer_child *c, unsigned *lacks, struct err *err)
{
    return c->spec->confinement == CONFINE_OFF ||
           (confine_calls(CONFINE_SIGNER, c->ready, lacks, err) &&
            confine_settle(c->spec->confinement, *lacks, "the signer process", c->log, err));
}

static bool start(const struct signer_child *c, struct signer_keys **keys, struct lane **lanes,
                  struct err *err)
{
    unsigned lacks = 0;
    struct signer_account *account = NULL;
    /* Protected before a key is in memory. */
    if (!child_harden(c->parent, "scepd-signer", err) || !close_others(c, err) ||
        !signer_keys_load(c->spec, keys, err) || !give_up_files(c, &lacks, err))
        return false;
    if (*signer_keys_fault(*keys))
        log_event(c->log, LOG_LEVEL_ERROR, "signer.ocsp_key",
                  "the key of an OCSP responder cannot be used, and nothing is answered with it; "
                  "remove it and "
                  "reload, then another is made: %s",
                  signer_keys_fault(*keys));
    *lanes = calloc(c->lanes, sizeof **lanes);
    if (!*lanes)
        return err_memory(err);
    if (!signer_account_new(c->spec, c->log, &account, err) ||
        !start_lanes(c, *keys, account, *lanes, err))
        return false;
    if (mlockall(MCL_CURRENT | MCL_ONFAULT) != 0)
        log_event(c->log, LOG_LEVEL_DEBUG, "signer.memory",
                  "the signer's memory cannot be locked and may be swapped out");
    /* From here on it needs no new threads, and hardly any system call. */
    return give_up_calls(c, &lacks, err);
}

void signer_child_run(const struct signer_child *c)
{
    struct err err = {0};
    struct signer_keys *keys = NULL;
    struct lane *lanes = NULL;
    child_ignore_signals();
    if (!start(c, &keys, &lanes, &err)) {
        tell(c, &err);
        _exit(1);
    }
    tell(c, NULL);
    for (unsigned i = 0; i < c->lanes; i++)
        pthread_join(lanes[i].thread, NULL);
    signer_account_tell(lanes[0].account);
    /* No clean-up: exit handlers belong to the parent, and the memory goes with the process. */
    _exit(0);
}
