/* revload: revokes at a rate and asks by OCSP meanwhile as fast as answers come.
 *
 *   revload --port P --path /ocsp/demo --store DIR --ca FILE [--revocations 4000] [--rate 1000]
 * [--flips N] [--single]
 *           [--connections 8] [--nonce-every 16]
 *
 * It changes the store from a process of its own, as scepctl does, while the daemon has it open.
 * Certificates are revoked for good one after the other; some others are held and released by
 * turns.  Each change is acknowledged when its commit has returned; an answer to a question that
 * was asked later must show it.  Prints one line key=value; exit 0 when no answer was stale, wrong
 * or missing. */
#include "revload.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>

#include "enroll/enroll.h"

#define TICK_MS 10
#define BATCH 64 /* has no device twice with FLIPS */
#define FLIPS 8  /* the fewest, or none */

struct connection {
    const struct rev *rev;
    unsigned seed;
    pthread_t thread;
    struct rev_asked asked;
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "revload: %s\n", what);
    exit(2);
}

/* ---- changes ---- */

static enum crl_reason next_change(const struct rev *r, size_t device)
{
    if (device >= r->flips)
        return CRL_KEY_COMPROMISE;
    return atomic_load(&r->device[device].revoked) ? CRL_REMOVE_FROM_CRL : CRL_HOLD;
}

static bool change_in(struct store_write *w, uint64_t id, enum crl_reason reason, int64_t now,
                      struct err *err)
{
    return reason == CRL_REMOVE_FROM_CRL ? store_cert_release(w, id, err)
                                         : store_cert_revoke(w, id, reason, now, err);
}

/* All in one transaction, or each as scepctl does it. */
static bool change_all(const struct rev *r, const size_t *which, size_t n, struct err *err)
{
    int64_t now = (int64_t)time(NULL);
    struct store_write *w = NULL;
    bool done = true;
    if (r->single) {
        for (size_t i = 0; i < n && done; i++)
            done = enroll_cert_revoke(r->store, r->device[which[i]].id, next_change(r, which[i]),
                                      "revload", now, err);
        return done;
    }
    if (!store_write_begin(r->store, &w, err))
        return false;
    for (size_t i = 0; i < n && done; i++)
        done = change_in(w, r->device[which[i]].id, next_change(r, which[i]), now, err);
    if (done)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

static void change(const struct rev *r, const size_t *which, size_t n)
{
    struct err err = {0};
    for (size_t i = 0; i < n; i++)
        atomic_fetch_add(&r->device[which[i]].version, 1);
    if (!change_all(r, which, n, &err))
        give_up(err.text);
    double now = load_now_ms();
    for (size_t i = 0; i < n; i++) {
        struct rev_device *d = &r->device[which[i]];
        atomic_store(&d->revoked, next_change(r, which[i]) != CRL_REMOVE_FROM_CRL);
        atomic_store(&d->acknowledged, now);
        atomic_fetch_add(&d->version, 1);
    }
}

/* Of the changes every tenth is a hold or a release, of each flipping device in turn. */
static size_t changed_by(const struct rev *r, size_t change)
{
    size_t flips = change / 10;
    return r->flips && change % 10 == 9 ? flips % r->flips
                                        : r->flips + change - (r->flips ? flips : 0);
}

/* Whatever is due since the beginning, until all revocations are done; how many changes it took. */
static size_t revoke_all(const struct rev *r)
{
    const struct timespec pause = {0, TICK_MS * 1000000L};
    size_t all = r->revocations + (r->flips ? (r->revocations - 1) / 9 : 0), done = 0;
    double begun = load_now_ms();
    while (done < all) {
        size_t due = (size_t)((load_now_ms() - begun) * r->rate / 1e3), n = 0, which[BATCH];
        for (; n < (r->single ? 1 : BATCH) && done + n < due && done + n < all; n++)
            which[n] = changed_by(r, done + n);
        if (n)
            change(r, which, n);
        else
            nanosleep(&pause, NULL);
        done += n;
    }
    return all;
}

/* ---- the devices ---- */

static bool take(void *ctx, const struct store_cert *c)
{
    struct rev *r = ctx;
    struct rev_device *d = &r->device[r->n];
    if (memcmp(c->authority, r->authority, sizeof r->authority) != 0)
        return true;
    d->id = c->id;
    d->serial_len = c->serial_len;
    memcpy(d->serial, c->serial, c->serial_len);
    return ++r->n < r->flips + r->revocations;
}

static void take_devices(struct rev *r)
{
    struct store_cert_filter active = {.state = CERT_ACTIVE, .oldest_first = true};
    struct err err = {0};
    size_t wanted = r->flips + r->revocations;
    if (!(r->device = calloc(wanted, sizeof *r->device)))
        give_up("out of memory");
    if (!store_cert_list(r->store, &active, take, r, &err))
        give_up(err.text);
    if (r->n < wanted)
        give_up("there are fewer certificates than revocations");
    for (size_t i = 0; i < r->n; i++)
        if (!rev_device_prepare(r, &r->device[i], &err))
            give_up(err.text);
}

static void read_ca(struct rev *r, const char *path)
{
    FILE *f = fopen(path, "r");
    r->ca = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    const ASN1_OCTET_STRING *id = r->ca ? X509_get0_subject_key_id(r->ca) : NULL;
    if (f)
        fclose(f);
    if (!id || ASN1_STRING_length(id) != sizeof r->authority)
        give_up("the CA certificate cannot be used");
    memcpy(r->authority, ASN1_STRING_get0_data(id), sizeof r->authority);
}

/* ---- the run ---- */

static void *ask_thread(void *ctx)
{
    struct connection *c = ctx;
    rev_ask_until_stop(c->rev, c->seed, &c->asked);
    return NULL;
}

static void add(struct rev_asked *sum, const struct rev_asked *a)
{
    sum->answers += a->answers;
    sum->good += a->good;
    sum->revoked += a->revoked;
    sum->later += a->later;
    sum->with_nonce += a->with_nonce;
    sum->verified += a->verified;
    sum->stale += a->stale;
    sum->wrong += a->wrong;
    sum->failures += a->failures;
    if (a->stale_ms > sum->stale_ms)
        sum->stale_ms = a->stale_ms;
    if (!*sum->first_problem)
        memcpy(sum->first_problem, a->first_problem, sizeof sum->first_problem);
}

static int run(struct rev *r, size_t connections)
{
    struct connection *c = calloc(connections, sizeof *c);
    struct rev_asked sum = {0}, after = {0};
    if (!c)
        give_up("out of memory");
    double begun = load_now_ms();
    for (size_t i = 0; i < connections; i++) {
        c[i] = (struct connection){.rev = r, .seed = (unsigned)i + 1};
        if (pthread_create(&c[i].thread, NULL, ask_thread, &c[i]) != 0)
            give_up("no thread");
    }
    size_t changes = revoke_all(r);
    double took = (load_now_ms() - begun) / 1e3;
    atomic_store(&r->stop, true);
    for (size_t i = 0; i < connections; i++) {
        pthread_join(c[i].thread, NULL);
        add(&sum, &c[i].asked);
    }
    rev_ask_all(r, &after);
    size_t answers = sum.answers;
    add(&sum, &after);
    if (*sum.first_problem)
        printf("first problem: %s\n", sum.first_problem);
    printf("revload changes=%zu revocations=%zu seconds=%.2f changes_per_s=%.0f answers=%zu "
           "answers_per_s=%.0f good=%zu "
           "revoked=%zu nonces=%zu verified=%zu later=%zu stale=%zu stale_ms=%.1f wrong=%zu "
           "failures=%zu\n",
           changes, r->revocations, took, (double)changes / took, answers, (double)answers / took,
           sum.good, sum.revoked, sum.with_nonce, sum.verified, sum.later, sum.stale, sum.stale_ms,
           sum.wrong, sum.failures);
    free(c);
    return sum.stale || sum.wrong || sum.failures ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"port", 1, NULL, 'p'},
                                            {"path", 1, NULL, 'u'},
                                            {"store", 1, NULL, 's'},
                                            {"ca", 1, NULL, 'a'},
                                            {"revocations", 1, NULL, 'n'},
                                            {"rate", 1, NULL, 'r'},
                                            {"flips", 1, NULL, 'f'},
                                            {"single", 0, NULL, '1'},
                                            {"connections", 1, NULL, 'c'},
                                            {"nonce-every", 1, NULL, 'e'},
                                            {0}};
    struct rev r = {.load = {.host = "127.0.0.1", .path = "/ocsp"},
                    .revocations = 4000,
                    .rate = 1000,
                    .flips = FLIPS,
                    .nonce_every = 16};
    struct store_options o = {0};
    struct err err = {0};
    const char *ca = NULL;
    size_t connections = 8;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p':
            r.load.port = atoi(optarg);
            break;
        case 'u':
            snprintf(r.load.path, sizeof r.load.path, "%s", optarg);
            break;
        case 's':
            o.path = optarg;
            break;
        case 'a':
            ca = optarg;
            break;
        case 'n':
            r.revocations = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            r.rate = strtod(optarg, NULL);
            break;
        case 'f':
            r.flips = strtoul(optarg, NULL, 10);
            break;
        case '1':
            r.single = true;
            break;
        case 'c':
            connections = strtoul(optarg, NULL, 10);
            break;
        case 'e':
            r.nonce_every = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            give_up("see the head of tests/revocation/revload.c");
        }
    }
    if (!r.load.port || !o.path || !ca || !r.revocations || !connections ||
        (r.flips && r.flips < FLIPS))
        give_up("--port, --store and --ca are needed; --flips: none or 8 and more");
    read_ca(&r, ca);
    if (!store_open(&o, &r.store, &err))
        give_up(err.text);
    take_devices(&r);
    int code = run(&r, connections);
    for (size_t i = 0; i < r.n; i++) {
        buf_clear(&r.device[i].get);
        OCSP_CERTID_free(r.device[i].asked);
    }
    free(r.device);
    store_close(r.store);
    X509_free(r.ca);
    return code;
}
