#include "ca/offline.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/import.h"

/* Clocks of ceremonies are set by hand. */
#define CLOCK_SLACK 3600

/* ---- issuers ---- */

struct issuer {
    struct pubkey key; /* points into the certificate */
    EVP_PKEY *pkey;    /* owned */
};

static bool issuer_read(const struct cert *c, struct issuer *out, struct err *err)
{
    return pubkey_parse(c->spki, &out->key, err) && pubkey_load(&out->key, &out->pkey, err);
}

static bool check_times(int64_t this_update, int64_t next_update, int64_t now, struct err *err)
{
    char when[32];
    if (!next_update)
        return err_set(err, ERR_CONFIG, "it does not say until when it is good (nextUpdate)");
    text_time(next_update, when);
    if (next_update <= now)
        return err_set(err, ERR_CONFIG, "it has ended on %s: bring a newer one", when);
    text_time(this_update, when);
    return (this_update <= now + CLOCK_SLACK && this_update < next_update) ||
           err_set(err, ERR_CONFIG, "it begins on %s only: which clock is wrong?", when);
}

/* ---- CRLs ---- */

/* The first block of that kind, or the file as it is. */
static bool crl_der(struct view file, struct buf *out, struct err *err)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long n = 0;
    bool found = false, ok = true;
    BIO *bio = file.n <= STORE_OFFLINE_MAX ? BIO_new_mem_buf(file.p, (int)file.n) : NULL;
    if (!bio)
        return err_set(err, ERR_CONFIG, "it has %zu octets, at most %u are taken", file.n,
                       STORE_OFFLINE_MAX);
    while (!found && PEM_read_bio(bio, &name, &header, &der, &n) == 1) {
        found = strcmp(name, PEM_STRING_X509_CRL) == 0;
        ok = !found || buf_append(out, der, (size_t)n) || err_memory(err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    BIO_free(bio);
    ERR_clear_error();
    return ok && (found || buf_append(out, file.p, file.n) || err_memory(err));
}

static bool crl_of(const struct cert *issuer, struct view der, int64_t now,
                   struct store_offline *out, struct err *err)
{
    struct issuer i = {.pkey = NULL};
    struct crl_info info;
    bool ok = issuer_read(issuer, &i, err) &&
              crl_read_entries(der, i.pkey, &info, NULL, NULL, err) &&
              check_times(info.this_update, info.next_update, now, err);
    if (ok) {
        memcpy(out->id, i.key.sha256, sizeof out->id);
        memcpy(out->issuer, i.key.sha256, sizeof out->issuer);
        out->number = info.has_number ? (int64_t)info.number : -1;
        out->this_update = info.this_update;
        out->next_update = info.next_update;
    }
    EVP_PKEY_free(i.pkey);
    return ok;
}

/* Two issuers may have one name (another key): the signature tells them apart. */
bool offline_crl_read(const struct cert *const *issuer, size_t n, struct view file, int64_t now,
                      struct store_offline *out, size_t *by, struct err *err)
{
    struct store_offline o = {.kind = STORE_OFFLINE_CRL, .taken_at = now};
    struct crl_info info;
    bool named = false, ok = false;
    if (!crl_der(file, &o.der, err) || !crl_describe(buf_view(&o.der), &info, err)) {
        buf_clear(&o.der);
        return false;
    }
    for (size_t i = 0; !ok && i < n; i++)
        if (view_eq(info.issuer, issuer[i]->subject)) {
            named = true;
            err_clear(err);
            ok = crl_of(issuer[i], buf_view(&o.der), now, &o, err);
            *by = i;
        }
    if (!named)
        err_set(err, ERR_CONFIG,
                "it is of none of the issuers above an authority of this configuration");
    if (ok)
        *out = o;
    else
        buf_clear(&o.der);
    return ok;
}

/* ---- OCSP answers ---- */

bool offline_asked_id(const struct offline_asked *asked, uint8_t out[STORE_HASH], struct err *err)
{
    struct buf all = {0};
    bool ok = (buf_append_str(&all, digest_name(asked->digest)) &&
               buf_append(&all, asked->name_hash.p, asked->name_hash.n) &&
               buf_append(&all, asked->key_hash.p, asked->key_hash.n) &&
               buf_append(&all, asked->serial.p, asked->serial.n)) ||
              err_memory(err);
    ok = ok && digest_compute(DIGEST_SHA256, buf_view(&all), out, err);
    buf_clear(&all);
    return ok;
}

/* RFC 6960 section 4.1.1: both hashes are of this issuer. */
static bool is_about(const struct offline_asked *asked, const struct cert *issuer,
                     const struct pubkey *key, struct err *err)
{
    uint8_t name_hash[64], key_hash[64];
    size_t n = digest_size(asked->digest);
    if (!digest_compute(asked->digest, issuer->subject, name_hash, err) ||
        !digest_compute(asked->digest, key->bits_content, key_hash, err))
        return false;
    return (view_eq(asked->name_hash, view_of(name_hash, n)) &&
            view_eq(asked->key_hash, view_of(key_hash, n))) ||
           err_set(err, ERR_CONFIG,
                   "it tells of a certificate of another issuer than the one that signed it");
}

static bool asked_read(OCSP_CERTID *id, struct offline_asked *out, struct err *err)
{
    static const struct {
        int nid;
        enum digest digest;
    } known[] = {{NID_sha1, DIGEST_SHA1},
                 {NID_sha256, DIGEST_SHA256},
                 {NID_sha384, DIGEST_SHA384},
                 {NID_sha512, DIGEST_SHA512}};
    ASN1_OCTET_STRING *name = NULL, *key = NULL;
    ASN1_OBJECT *algorithm = NULL;
    ASN1_INTEGER *serial = NULL;
    OCSP_id_get0_info(&name, &algorithm, &key, &serial, id);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (OBJ_obj2nid(algorithm) == known[i].nid) {
            out->digest = known[i].digest;
            out->name_hash = view_of(ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name));
            out->key_hash = view_of(ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key));
            return true;
        }
    return err_set(err, ERR_CONFIG, "it names certificates by a hash that is not known here");
}

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* The content octets of a serial, as a request has them. */
static bool serial_octets(OCSP_CERTID *id, struct buf *out, struct err *err)
{
    ASN1_INTEGER *serial = NULL;
    unsigned char *der = NULL;
    OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
    int n = i2d_ASN1_INTEGER(serial, &der);
    bool ok = n > 2 && n - 2 <= STORE_SERIAL_MAX && buf_append(out, der + 2, (size_t)n - 2);
    OPENSSL_free(der);
    return ok || err_set(err, ERR_CONFIG, "it has a serial that is too long");
}

static void tell(const struct buf *serial, int status, char out[200])
{
    char hex[2 * STORE_SERIAL_MAX + 1];
    hex_encode(buf_view(serial), hex);
    snprintf(out, 200, "serial %s: %s", hex, OCSP_cert_status_str(status));
}

static bool add_single(struct offline_answers *a, OCSP_SINGLERESP *one, const struct cert *issuer,
                       const struct pubkey *key, struct view der, int64_t now, struct err *err)
{
    ASN1_GENERALIZEDTIME *from = NULL, *to = NULL;
    struct store_offline *o = &a->answer[a->n];
    struct offline_asked asked;
    struct buf serial = {0};
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(one);
    int status = OCSP_single_get0_status(one, NULL, NULL, &from, &to);
    *o = (struct store_offline){.kind = STORE_OFFLINE_OCSP,
                                .number = -1,
                                .this_update = seconds_of(from),
                                .next_update = seconds_of(to),
                                .taken_at = now};
    if (status != V_OCSP_CERTSTATUS_GOOD && status != V_OCSP_CERTSTATUS_REVOKED)
        return err_set(
            err, ERR_CONFIG,
            "it says that its signer does not know the certificate: has it the right index?");
    o->said = status == V_OCSP_CERTSTATUS_REVOKED;
    bool ok = asked_read(id, &asked, err) && serial_octets(id, &serial, err);
    asked.serial = buf_view(&serial);
    ok = ok && is_about(&asked, issuer, key, err) &&
         check_times(o->this_update, o->next_update, now, err) &&
         offline_asked_id(&asked, o->id, err) &&
         (buf_append(&o->der, der.p, der.n) || err_memory(err));
    if (ok) {
        memcpy(o->issuer, key->sha256, sizeof o->issuer);
        tell(&serial, status, a->about[a->n]);
    }
    a->n++;
    buf_clear(&serial);
    return ok;
}

static X509 *x509_of(const struct cert *c)
{
    const unsigned char *p = c->der.p;
    return d2i_X509(NULL, &p, (long)c->der.n);
}

/* By its key, or by that of a responder which it issued with the purpose OCSPSigning; *until: its
 * end. */
static bool signed_by(OCSP_BASICRESP *basic, const struct cert *issuer, int64_t *until)
{
    X509 *signer = NULL;
    struct tm tm;
    X509_STORE *trusted = X509_STORE_new();
    STACK_OF(X509) *known = sk_X509_new_null();
    X509 *x = x509_of(issuer);
    bool ok = trusted && known && x && X509_STORE_add_cert(trusted, x) == 1 &&
              X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
              sk_X509_push(known, x) > 0 && OCSP_basic_verify(basic, known, trusted, 0) == 1 &&
              OCSP_resp_get0_signer(basic, &signer, known) == 1 &&
              ASN1_TIME_to_tm(X509_get0_notAfter(signer), &tm) == 1;
    if (ok)
        *until = (int64_t)timegm(&tm);
    sk_X509_free(known);
    X509_free(x);
    X509_STORE_free(trusted);
    ERR_clear_error();
    return ok;
}

static bool add_all(struct offline_answers *a, OCSP_BASICRESP *basic, const struct cert *issuer,
                    struct view der, int64_t now, struct err *err)
{
    struct pubkey key;
    int n = OCSP_resp_count(basic);
    if (n < 1 || n > OFFLINE_MAX_ANSWERS)
        return err_set(err, ERR_CONFIG, "it tells of %d certificates: 1 to %d are taken", n,
                       OFFLINE_MAX_ANSWERS);
    a->answer = calloc((size_t)n, sizeof *a->answer);
    a->about = calloc((size_t)n, sizeof *a->about);
    if (!a->answer || !a->about)
        return err_memory(err);
    bool ok = pubkey_parse(issuer->spki, &key, err);
    for (int i = 0; ok && i < n; i++)
        ok = add_single(a, OCSP_resp_get0(basic, i), issuer, &key, der, now, err);
    return ok;
}

/* A basic response, whole and successful; owned. */
static OCSP_BASICRESP *basic_of(struct view der, struct err *err)
{
    const unsigned char *p = der.p;
    OCSP_RESPONSE *r = der.n <= STORE_OFFLINE_MAX ? d2i_OCSP_RESPONSE(NULL, &p, (long)der.n) : NULL;
    OCSP_BASICRESP *basic = NULL;
    if (!r || p != der.p + der.n)
        err_set(err, ERR_CONFIG, "it is no OCSP response in DER, or a damaged one");
    else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        err_set(err, ERR_CONFIG, "it is the refusal \"%s\"",
                OCSP_response_status_str(OCSP_response_status(r)));
    else if (!(basic = OCSP_response_get1_basic(r)))
        err_set(err, ERR_CONFIG, "its response is of a type that is not known here");
    OCSP_RESPONSE_free(r);
    ERR_clear_error();
    return basic;
}

bool offline_ocsp_read(const struct cert *const *issuer, size_t n, struct view file, int64_t now,
                       struct offline_answers *out, struct err *err)
{
    struct offline_answers a = {.n = 0};
    OCSP_BASICRESP *basic = basic_of(file, err);
    if (!basic)
        return false;
    int64_t until = 0;
    while (a.by < n && !signed_by(basic, issuer[a.by], &until))
        a.by++;
    bool ok = a.by < n ? add_all(&a, basic, issuer[a.by], file, now, err)
                       : err_set(err, ERR_CONFIG,
                                 "it was signed neither by an issuer above an authority of this "
                                 "configuration nor by a responder of one");
    OCSP_BASICRESP_free(basic);
    for (size_t i = 0; ok && i < a.n; i++) /* nobody would believe it (RFC 6960 section 4.2.2.2) */
        ok = a.answer[i].next_update <= until ||
             err_set(err, ERR_CONFIG,
                     "it is said to be good for longer than the certificate of its signer");
    if (ok)
        *out = a;
    else
        offline_answers_clear(&a);
    return ok;
}

void offline_answers_clear(struct offline_answers *a)
{
    for (size_t i = 0; a->answer && i < a->n; i++)
        store_offline_clear(&a->answer[i]);
    free(a->answer);
    free(a->about);
    *a = (struct offline_answers){.n = 0};
}

bool offline_ocsp_find(struct store *s, const struct offline_asked *asked, int64_t now,
                       struct store_offline *out, struct err *err)
{
    uint8_t id[STORE_HASH];
    struct store_offline o = {0};
    if (!offline_asked_id(asked, id, err) || !store_offline_get(s, STORE_OFFLINE_OCSP, id, &o, err))
        return false;
    if (o.next_update > now) {
        *out = o;
        return true;
    }
    store_offline_clear(&o);
    return err_set(err, ERR_NOT_FOUND, "the answer that was brought has ended");
}
