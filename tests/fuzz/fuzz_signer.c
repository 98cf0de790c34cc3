/* What a front that was taken over may ask of the process that holds the keys: an operation, a key,
 * algorithms (five octets), and any data.  Whatever gets a signature OpenSSL reads as what it has
 * to be, and as nothing else: no CA, nobody else's name, no usage, purpose or time beyond the
 * limits. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "diff.h"
#include "fuzz.h"
#include "signer_internal.h"
#include "tbs.h"

#define HEAD 5
#define DAY 86400
#define MAX_VALIDITY (365 * DAY)
#define USAGES (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT)
#define FRESH                                                                                     \
    0x80 /* in the first octet: the validity is made to be around now, so that no input grows old \
          */

static struct signer_keys *keys;
static struct signer_worker *worker;
static X509 *ca, *responder;

/* ---- the authority: the one key of seal.h under a certificate that is made anew ---- */

static void add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!e || X509_add_ext(x, e, -1) != 1)
        diff_fail("no authority");
    X509_EXTENSION_free(e);
}

static X509 *make_ca(const struct seal *s)
{
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const uint8_t *)"Fuzz CA", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_gmtime_adj(X509_getm_notBefore(x), -30 * DAY);
    X509_gmtime_adj(X509_getm_notAfter(x), 180 * DAY);
    X509_set_pubkey(x, s->rsa);
    add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(x, NID_subject_key_identifier, "hash");
    if (X509_sign(x, s->rsa, EVP_sha256()) <= 0)
        diff_fail("no authority");
    return x;
}

static X509 *make_responder(const struct seal *s)
{
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 2);
    X509_set_issuer_name(x, X509_get_subject_name(ca));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const uint8_t *)"Responder", -1, -1, 0);
    X509_gmtime_adj(X509_getm_notBefore(x), -DAY);
    X509_gmtime_adj(X509_getm_notAfter(x), 30 * DAY);
    X509_set_pubkey(x, s->ec);
    add_extension(x, NID_key_usage, "critical,digitalSignature");
    add_extension(x, NID_ext_key_usage, "OCSPSigning");
    if (X509_sign(x, s->rsa, EVP_sha256()) <= 0)
        diff_fail("no responder");
    return x;
}

/* A file of its owner alone, since nothing else is taken for a key. */
static void key_file(EVP_PKEY *key, char *path)
{
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f || !PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) || fclose(f) != 0)
        diff_fail("cannot write %s", path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct seal *s = seal_get();
    char path[] = "/tmp/fuzz-signer-XXXXXX", responder_path[] = "/tmp/fuzz-signer-XXXXXX";
    struct signer_spec *spec = calloc(1, sizeof *spec);
    struct err err = {0};
    uint8_t *der = NULL, *responder_der = NULL;
    ca = make_ca(s);
    responder = make_responder(s);
    int n = i2d_X509(ca, &der), responder_n = i2d_X509(responder, &responder_der);
    key_file(s->rsa, path);
    key_file(s->ec, responder_path);
    for (unsigned i = 0; i < 2; i++) {
        struct signer_key_spec *k = &spec->key[spec->n++];
        snprintf(k->path, sizeof k->path, "%s", path);
        k->cert = view_of(der, (size_t)n);
        k->uses = i ? SIGNER_MESSAGES | SIGNER_DECRYPT : SIGNER_CERTIFICATES | SIGNER_CRLS;
        k->key_usage = USAGES;
        k->max_validity = MAX_VALIDITY;
        eku_add(&k->eku, EKU_CLIENT_AUTH);
    }
    struct signer_key_spec *k = &spec->key[spec->n++];
    snprintf(k->path, sizeof k->path, "%s", responder_path);
    k->cert = view_of(responder_der, (size_t)responder_n);
    k->uses = SIGNER_OCSP;
    bool ok = signer_keys_load(spec, &keys, &err) && signer_worker_new(keys, &worker, &err);
    unlink(path);
    unlink(responder_path);
    free(spec);
    OPENSSL_free(der);
    OPENSSL_free(responder_der);
    if (!ok)
        diff_fail("%s", err.text);
    return 0;
}

/* ---- what was signed ---- */

static void check_usage(X509 *x)
{
    uint32_t usage = X509_get_key_usage(x), purposes = X509_get_extended_key_usage(x);
    if (usage == UINT32_MAX ||
        usage & ~(uint32_t)(X509v3_KU_DIGITAL_SIGNATURE | X509v3_KU_KEY_ENCIPHERMENT))
        diff_fail("a certificate of key usage 0x%x was signed", usage);
    if (purposes != UINT32_MAX && purposes & ~(uint32_t)XKU_SSL_CLIENT)
        diff_fail("a certificate of purposes 0x%x was signed", purposes);
}

static void check_times(X509 *x)
{
    int days = 0, seconds = 0;
    const ASN1_TIME *from = X509_get0_notBefore(x), *to = X509_get0_notAfter(x);
    if (ASN1_TIME_diff(&days, &seconds, from, to) != 1 ||
        (int64_t)days * DAY + seconds > MAX_VALIDITY || days < 0)
        diff_fail("a certificate for %d days was signed", days);
    if (ASN1_TIME_compare(to, X509_get0_notAfter(ca)) > 0)
        diff_fail("a certificate that outlives its issuer was signed");
}

static void check_certificate(struct view tbs, struct view signature)
{
    struct buf der = {0};
    struct err err = {0};
    const struct sigalg alg = {SIG_RSA_PKCS1, DIGEST_SHA256, 0};
    struct tree *t = tree_read(tbs);
    struct buf algorithm = {0};
    if (t && tree_child(t, 2))
        tree_write(tree_child(t, 2), false, &algorithm);
    struct sigalg used = alg;
    sigalg_parse(buf_view(&algorithm), DIGEST_SHA256, &used, &err);
    if (!certificate_assemble(tbs, used, signature, &der, &err))
        diff_fail("%s", err.text);
    const uint8_t *p = der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.n);
    if (!x || p != der.p + der.n)
        diff_fail("a certificate that OpenSSL does not read was signed");
    if (X509_get_version(x) != X509_VERSION_3 || X509_check_ca(x) != 0)
        diff_fail("a CA was signed");
    if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)) != 0)
        diff_fail("a certificate of another issuer was signed");
    if (X509_verify(x, X509_get0_pubkey(ca)) != 1 || X509_check_issued(ca, x) != X509_V_OK)
        diff_fail("a signature does not fit");
    if (X509_get_ext_by_critical(x, 1, -1) < 0 ||
        X509_get_ext_by_NID(x, NID_name_constraints, -1) >= 0)
        diff_fail(
            "a certificate without a critical extension, or with name constraints, was signed");
    check_usage(x);
    check_times(x);
    ERR_clear_error();
    X509_free(x);
    tree_free(t);
    buf_clear(&algorithm);
    buf_clear(&der);
}

/* Could these octets stand for another kind as well? */
static void check_no(const char *what, const ASN1_ITEM *item, struct view data)
{
    const uint8_t *p = data.p;
    ASN1_VALUE *v = ASN1_item_d2i(NULL, &p, (long)data.n, item);
    bool whole = v && p == data.p + data.n;
    ASN1_item_free(v, item);
    ERR_clear_error();
    if (whole)
        diff_fail("what was signed could be %s", what);
}

/* Looked at shallowly by the signer, since it may have any size. */
static void check_crl_list(struct view tbs)
{
    const uint8_t *p = tbs.p;
    X509_CRL_INFO *info =
        (X509_CRL_INFO *)ASN1_item_d2i(NULL, &p, (long)tbs.n, ASN1_ITEM_rptr(X509_CRL_INFO));
    ASN1_item_free((ASN1_VALUE *)info, ASN1_ITEM_rptr(X509_CRL_INFO));
    ERR_clear_error();
    struct tree *t = tree_read(tbs);
    struct buf issuer = {0};
    uint8_t *der = NULL;
    int n = i2d_X509_NAME(X509_get_subject_name(ca), &der);
    if (t && tree_child(t, 2))
        tree_write(tree_child(t, 2), false, &issuer);
    if ((info || t) && !view_eq(buf_view(&issuer), view_of(der, (size_t)n)))
        diff_fail("a CRL of another issuer was signed");
    OPENSSL_free(der);
    buf_clear(&issuer);
    tree_free(t);
}

static void check_update(const ASN1_GENERALIZEDTIME *this, const ASN1_GENERALIZEDTIME *next)
{
    if (!this || !next || ASN1_TIME_compare(next, X509_get0_notAfter(responder)) > 0)
        diff_fail("an answer that outlives its responder was signed");
    if (ASN1_TIME_cmp_time_t(this, time(NULL) + 3600) > 0)
        diff_fail("an answer of tomorrow was signed");
}

/* As an answer that a client would take: OpenSSL reads it, verifies it, and writes the same octets.
 */
static void check_ocsp_answer(struct view data, struct view signature)
{
    struct buf whole = {0};
    struct err err = {0};
    const struct sigalg alg = {SIG_ECDSA, DIGEST_SHA256, 0};
    if (!ocsp_response_build(data, alg, signature, view_of(NULL, 0), &whole, &err))
        diff_fail("%s", err.text);
    const uint8_t *p = whole.p;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)whole.n);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
    STACK_OF(X509) *certs = sk_X509_new_null();
    sk_X509_push(certs, responder);
    if (!basic || OCSP_basic_verify(basic, certs, NULL, OCSP_TRUSTOTHER | OCSP_NOVERIFY) != 1)
        diff_fail("an answer that OpenSSL does not verify was signed");
    uint8_t *der = NULL;
    int n = ASN1_item_i2d((const ASN1_VALUE *)OCSP_resp_get0_respdata(basic), &der,
                          ASN1_ITEM_rptr(OCSP_RESPDATA));
    diff_encoded("ResponseData", data, der, n);
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        ASN1_GENERALIZEDTIME *this = NULL, *next = NULL;
        OCSP_single_get0_status(OCSP_resp_get0(basic, i), NULL, NULL, &this, &next);
        check_update(this, next);
    }
    sk_X509_free(certs);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    buf_clear(&whole);
}

static void check_batch(struct view packed, struct view signatures)
{
    struct view data[SIGNER_MAX_BATCH], signature[SIGNER_MAX_BATCH];
    size_t n = 0, got = 0;
    if (!batch_unpack(packed, data, SIGNER_MAX_BATCH, &n) ||
        !batch_unpack(signatures, signature, SIGNER_MAX_BATCH, &got) || n != got)
        diff_fail("%zu signatures for %zu answers", got, n);
    for (size_t i = 0; i < n; i++) {
        check_no("a certificate", ASN1_ITEM_rptr(X509_CINF), data[i]);
        check_no("a CRL", ASN1_ITEM_rptr(X509_CRL_INFO), data[i]);
        check_ocsp_answer(data[i], signature[i]);
    }
}

static void check_signed(const struct signer_request *r, struct view signature)
{
    if (r->op == SIGNER_OP_OCSP) {
        check_batch(r->data, signature);
        return;
    }
    if (r->op != SIGNER_OP_CERTIFICATE)
        check_no("a certificate", ASN1_ITEM_rptr(X509_CINF), r->data);
    if (r->op != SIGNER_OP_CRL)
        check_no("a CRL", ASN1_ITEM_rptr(X509_CRL_INFO), r->data);
    if (r->op == SIGNER_OP_CERTIFICATE)
        check_certificate(r->data, signature);
    else if (r->op == SIGNER_OP_CRL)
        check_crl_list(r->data);
    else if (r->data.p[0] != 0x31)
        diff_fail("attributes that are no SET were signed");
}

/* ---- one request ---- */

static struct tree *utc_time(int64_t at)
{
    struct der w;
    struct buf b = {0};
    struct err err = {0};
    der_init(&w, 32);
    der_time(&w, at);
    struct tree *t = der_take(&w, &b, &err) ? tree_read(buf_view(&b)) : NULL;
    buf_clear(&b);
    if (!t)
        diff_fail("no time");
    return t;
}

static struct tree *generalized_time(int64_t at)
{
    struct der w;
    struct buf b = {0};
    struct err err = {0};
    der_init(&w, 32);
    der_generalized_time(&w, at);
    struct tree *t = der_take(&w, &b, &err) ? tree_read(buf_view(&b)) : NULL;
    buf_clear(&b);
    if (!t)
        diff_fail("no time");
    return t;
}

/* A ResponseData: producedAt is its second field, the times of a certificate are the third and
 * fourth. */
static void refresh_answer(struct tree *t, int64_t now)
{
    if (tree_is(tree_child(t, 1), 0x18))
        tree_replace(t, 1, generalized_time(now));
    struct tree *list = tree_child(t, 2);
    for (size_t i = 0; list && i < list->n; i++) {
        struct tree *single = list->child[i];
        if (tree_is(tree_child(single, 2), 0x18))
            tree_replace(single, 2, generalized_time(now - 300));
        if (tree_is(tree_child(single, 3), 0xa0) && single->child[3]->n == 1)
            tree_replace(single->child[3], 0, generalized_time(now + 3600));
    }
}

/* One ResponseData, one to four times in a packet. */
static void refresh_batch(struct view in, unsigned times, struct buf *out)
{
    struct tree *t = tree_read(in);
    struct buf one = {0};
    struct err err = {0};
    if (t) {
        refresh_answer(t, time(NULL));
        tree_write(t, false, &one);
    } else if (!buf_append(&one, in.p, in.n)) {
        abort();
    }
    const struct view v = buf_view(&one), all[4] = {v, v, v, v};
    if (!batch_pack(all, times, out, &err))
        diff_fail("%s", err.text);
    buf_clear(&one);
    tree_free(t);
}

/* The validity of a TBSCertificate is its fifth field; a list's times are the fourth and fifth. */
static void refresh(struct view in, struct buf *out)
{
    struct tree *t = tree_read(in);
    int64_t now = time(NULL);
    if (t && t->n > 4 && tree_is(t->child[4], 0x30) && t->child[4]->n == 2) {
        tree_replace(t->child[4], 0, utc_time(now - 3600));
        tree_replace(t->child[4], 1, utc_time(now + 90 * DAY));
    } else if (t && t->n > 4 && tree_is(t->child[3], 0x17) && tree_is(t->child[4], 0x17)) {
        tree_replace(t, 3, utc_time(now));
        tree_replace(t, 4, utc_time(now + 7 * DAY));
    }
    if (t)
        tree_write(t, false, out);
    else if (!buf_append(out, in.p, in.n))
        abort();
    tree_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf fresh = {0}, result = {0};
    struct err err = {0};
    if (size < HEAD)
        return 0;
    struct signer_request r = {.op = (enum signer_op)(data[0] & 0x7f),
                               .key = data[1],
                               .digest = (enum digest)(data[2] & 0x0f),
                               .wrap = {(enum key_padding)(data[2] >> 4),
                                        (enum digest)(data[3] & 0x0f), (enum digest)(data[3] >> 4)},
                               .key_len = data[4],
                               .data = view_of(data + HEAD, size - HEAD)};
    if (data[0] & FRESH) {
        if (r.op == SIGNER_OP_OCSP)
            refresh_batch(r.data, 1 + data[4] % 4u, &fresh);
        else
            refresh(r.data, &fresh);
        r.data = buf_view(&fresh);
    }
    if (signer_execute(worker, &r, &result, &err)) {
        if (result.n > (r.op == SIGNER_OP_OCSP ? SIGNER_MAX_RESULTS : SIGNER_MAX_RESULT) ||
            (r.op == SIGNER_OP_DECRYPT && result.n != r.key_len))
            diff_fail("a result of %zu octets", result.n);
        if (r.op != SIGNER_OP_DECRYPT)
            check_signed(&r, buf_view(&result));
    } else if ((err.kind != ERR_SIGNER && err.kind != ERR_REFUSED) || !err.text[0]) {
        diff_fail("%s: %s", err_kind_name(err.kind), err.text);
    }
    buf_wipe(&result);
    buf_clear(&fresh);
    return 0;
}

bool fuzz_change(struct view in, struct random *r, struct buf *out)
{
    struct tree *t = in.n > HEAD ? tree_read(view_of(in.p + HEAD, in.n - HEAD)) : NULL;
    if (!t)
        return false;
    bool ok = buf_append(out, in.p, HEAD);
    if (ok && random_one_in(r, 10))
        out->p[random_below(r, HEAD)] = (uint8_t)random_below(r, 8);
    tree_mutate(t, r);
    tree_write(t, false, out);
    tree_free(t);
    return ok;
}
