#include "load.h"

#include <stdio.h>
#include <string.h>

/* Is the certificate for the key that asked? */
static bool fits(const struct load_device *d, struct view der, struct err *err)
{
    struct cert *issued = NULL, *own = NULL;
    char subject[300];
    bool ok = cert_parse(der, &issued, err) && cert_parse(buf_view(&d->identity.cert), &own, err);
    if (ok && !view_eq(issued->spki, own->spki))
        ok = err_set(err, ERR_IO, "the certificate is for another key");
    if (ok) {
        name_der_text(issued->subject, subject, sizeof subject);
        if (!strstr(subject, d->subject))
            ok = err_set(err, ERR_IO, "the certificate is for %s", subject);
    }
    cert_free(issued);
    cert_free(own);
    return ok;
}

/* The same message gets the same certificate, however often it is sent. */
static bool keep(struct load_device *d, struct view der, struct err *err)
{
    if (d->cert.n)
        return view_eq(buf_view(&d->cert), der) ||
               err_set(err, ERR_IO, "the same message got another certificate");
    return buf_append(&d->cert, der.p, der.n) || err_memory(err);
}

static void problem(struct load_result *r, const struct load_device *d, const char *text)
{
    if (!*r->first_problem)
        snprintf(r->first_problem, sizeof r->first_problem, "%s: %.300s", d->subject, text);
}

static void verify_one(struct load *l, struct load_device *d, struct load_result *r)
{
    struct client_result result = {0};
    struct err err = {0};
    struct client_message m = {SCEP_PKCS_REQ, d->transaction, {0},
                               DIGEST_SHA256, CIPHER_AES128,  PADDING_PKCS1};
    if (d->reply.n == 0) {
        r->none++;
        problem(r, d, "no reply");
    } else if (!client_reply_open(buf_view(&d->reply), &m, &d->identity, &l->ca, d->nonce, &result,
                                  &err)) {
        r->bad++;
        problem(r, d, err.text);
    } else if (result.status == SCEP_PENDING) {
        r->pending++;
    } else if (result.status == SCEP_FAILURE) {
        r->failed++;
        problem(r, d, result.fail_text);
    } else if (result.certs.n == 0 || !fits(d, buf_view(&result.certs.der[0]), &err) ||
               !keep(d, buf_view(&result.certs.der[0]), &err)) {
        r->bad++;
        problem(r, d, err.text);
    } else {
        r->issued++;
    }
    client_result_clear(&result);
}

void load_verify(struct load *l, struct load_result *out)
{
    *out = (struct load_result){0};
    for (size_t i = 0; i < l->n; i++)
        verify_one(l, &l->device[i], out);
}
