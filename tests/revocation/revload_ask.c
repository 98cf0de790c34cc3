#include "revload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

/* Of so many answers one has its signature and the responder's certificate verified. */
#define VERIFY_EVERY 32

struct asker {
    const struct rev *rev;
    X509_STORE *trust; /* owned: the authority alone */
    struct rev_asked *out;
    struct buf in, body;
    unsigned random;
    int fd;
};

static OCSP_CERTID *id_of(const struct rev *r, const struct rev_device *d)
{
    ASN1_INTEGER *serial = NULL;
    BIGNUM *number = BN_bin2bn(d->serial, (int)d->serial_len, NULL);
    OCSP_CERTID *id = NULL;
    if (number && (serial = BN_to_ASN1_INTEGER(number, NULL)))
        id = OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(r->ca),
                              X509_get0_pubkey_bitstr(r->ca), serial);
    ASN1_INTEGER_free(serial);
    BN_free(number);
    return id;
}

static OCSP_REQUEST *request_of(const struct rev_device *d)
{
    OCSP_REQUEST *q = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_CERTID_dup(d->asked);
    if (q && id && OCSP_request_add0_id(q, id))
        return q;
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(q);
    return NULL;
}

bool rev_device_prepare(const struct rev *r, struct rev_device *d, struct err *err)
{
    d->asked = id_of(r, d);
    OCSP_REQUEST *q = d->asked ? request_of(d) : NULL;
    unsigned char *der = NULL, text[512];
    int n = q ? i2d_OCSP_REQUEST(q, &der) : -1;
    bool done = n > 0 && n < 300 && EVP_EncodeBlock(text, der, n) > 0;
    if (!done)
        err_set(err, ERR_CRYPTO, "the request cannot be written");
    else if (!(done = buf_printf(&d->get, "GET %s/%s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", r->load.path,
                                 (char *)text, r->load.host, r->load.port)))
        err_memory(err);
    OPENSSL_free(der);
    OCSP_REQUEST_free(q);
    return done;
}

static bool post_of(const struct rev *r, OCSP_REQUEST *q, struct buf *out)
{
    unsigned char *der = NULL;
    int n = i2d_OCSP_REQUEST(q, &der);
    bool done =
        n > 0 &&
        buf_printf(out,
                   "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/ocsp-request\r\n"
                   "Content-Length: %d\r\n\r\n",
                   r->load.path, r->load.host, r->load.port, n) &&
        buf_append(out, der, (size_t)n);
    OPENSSL_free(der);
    return done;
}

static void problem(struct asker *a, const char *what, const struct rev_device *d)
{
    if (!*a->out->first_problem)
        snprintf(a->out->first_problem, sizeof a->out->first_problem, "device %td: %s",
                 d - a->rev->device, what);
}

/* The HTTP body of the answer is in a->body then. */
static bool exchange(struct asker *a, struct view request)
{
    for (int tries = 0; tries < 2; tries++) { /* a connection that idled may have been closed */
        if (a->fd < 0)
            a->fd = load_connect(&a->rev->load);
        if (a->fd >= 0 && load_send(a->fd, request) && load_receive(a->fd, &a->in, &a->body) == 200)
            return true;
        if (a->fd >= 0)
            close(a->fd);
        a->fd = -1;
    }
    return false;
}

/* What the answer says of the device: V_OCSP_CERTSTATUS_*, or -1 when it is none. */
static int status_in(struct asker *a, const struct rev_device *d, OCSP_BASICRESP *basic,
                     OCSP_REQUEST *with_nonce)
{
    ASN1_GENERALIZEDTIME *revoked, *from, *until;
    int status = -1, reason;
    const char *why = NULL;
    if (OCSP_resp_find_status(basic, d->asked, &status, &reason, &revoked, &from, &until) != 1)
        why = "the answer is about another certificate";
    else if (OCSP_check_validity(from, until, 300, -1) != 1)
        why = "the answer is not valid now";
    else if (with_nonce && OCSP_check_nonce(with_nonce, basic) != 1)
        why = "the answer has another nonce or none";
    else if (a->out->answers % VERIFY_EVERY == 0) {
        if (OCSP_basic_verify(basic, NULL, a->trust, 0) == 1)
            a->out->verified++;
        else
            why = "the answer does not verify";
    }
    if (why)
        problem(a, why, d);
    return why ? -1 : status;
}

static int status_of(struct asker *a, const struct rev_device *d, OCSP_REQUEST *with_nonce)
{
    const unsigned char *p = a->body.p;
    OCSP_RESPONSE *whole = d2i_OCSP_RESPONSE(NULL, &p, (long)a->body.n);
    OCSP_BASICRESP *basic = NULL;
    int status = -1;
    if (whole && OCSP_response_status(whole) == OCSP_RESPONSE_STATUS_TRYLATER)
        status = -2;
    else if (whole && (basic = OCSP_response_get1_basic(whole)))
        status = status_in(a, d, basic, with_nonce);
    else
        problem(a, "no answer in the response", d);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(whole);
    ERR_clear_error();
    return status;
}

/* `version` and `asked` are of before the question. */
static void judge(struct asker *a, const struct rev_device *d, unsigned version, double asked,
                  int status)
{
    struct rev_asked *out = a->out;
    if (status == -2) {
        out->later++;
        return;
    }
    out->answers++;
    if (status != V_OCSP_CERTSTATUS_GOOD && status != V_OCSP_CERTSTATUS_REVOKED) {
        problem(a, "neither good nor revoked", d);
        out->wrong++;
        return;
    }
    *(status == V_OCSP_CERTSTATUS_GOOD ? &out->good : &out->revoked) += 1;
    if (version & 1 || atomic_load(&d->version) != version)
        return; /* it changed meanwhile */
    if ((status == V_OCSP_CERTSTATUS_REVOKED) != atomic_load(&d->revoked)) {
        double age = asked - atomic_load(&d->acknowledged);
        problem(a, "an answer from before an acknowledged change", d);
        out->stale++;
        if (age > out->stale_ms)
            out->stale_ms = age;
    }
}

static void ask(struct asker *a, const struct rev_device *d, bool nonce)
{
    struct buf post = {0};
    OCSP_REQUEST *q = nonce ? request_of(d) : NULL;
    if (nonce && (!q || OCSP_request_add1_nonce(q, NULL, -1) != 1 || !post_of(a->rev, q, &post))) {
        problem(a, "the request cannot be written", d);
        a->out->failures++;
    } else {
        unsigned version = atomic_load(&d->version);
        double asked = load_now_ms();
        if (exchange(a, nonce ? buf_view(&post) : buf_view(&d->get))) {
            judge(a, d, version, asked, status_of(a, d, q));
            a->out->with_nonce += nonce;
        } else {
            problem(a, "no HTTP response of status 200", d);
            a->out->failures++;
        }
    }
    buf_clear(&post);
    OCSP_REQUEST_free(q);
}

static bool asker_init(struct asker *a, const struct rev *r, unsigned seed, struct rev_asked *out)
{
    *a = (struct asker){.rev = r,
                        .out = out,
                        .random = seed * 2654435761u + 1,
                        .fd = -1,
                        .trust = X509_STORE_new()};
    if (a->trust && X509_STORE_add_cert(a->trust, r->ca))
        return true;
    out->failures++;
    return false;
}

static void asker_clear(struct asker *a)
{
    X509_STORE_free(a->trust);
    buf_clear(&a->in);
    buf_clear(&a->body);
    if (a->fd >= 0)
        close(a->fd);
}

void rev_ask_until_stop(const struct rev *r, unsigned seed, struct rev_asked *out)
{
    struct asker a;
    if (asker_init(&a, r, seed, out))
        for (unsigned i = 1; !atomic_load(&r->stop) && out->failures < 1000; i++) {
            a.random = a.random * 1664525u + 1013904223u;
            ask(&a, &r->device[(a.random >> 8) % r->n], r->nonce_every && i % r->nonce_every == 0);
        }
    asker_clear(&a);
}

void rev_ask_all(const struct rev *r, struct rev_asked *out)
{
    struct asker a;
    if (asker_init(&a, r, 0, out))
        for (size_t i = 0; i < r->n && out->failures < 100; i++)
            ask(&a, &r->device[i], r->nonce_every && i % r->nonce_every == 0);
    asker_clear(&a);
}
