/* OCSP requests, read by pkcs7/ and by OpenSSL; those that are taken are answered by an authority
 * with a few certificates, and OpenSSL verifies the answer. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ca/ocsp.h"
#include "diff.h"
#include "fuzz.h"

#define DAY 86400

static char directory[] = "/tmp/fuzz-ocsp-XXXXXX";
static struct authority authority;
static struct ocsp_issuers *issuers;
static struct store *store;
static struct signer *signer;
static X509 *ca;
static X509_STORE *trust;

static void must(bool ok, const struct err *err)
{
    if (!ok)
        diff_fail("%s: %s", err_kind_name(err->kind), err->text);
}

/* ---- the authority: the RSA key of seal.h, which seeds name, and its EC key as responder ---- */

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    if (!e || X509_add_ext(x, e, -1) != 1)
        diff_fail("no authority");
    X509_EXTENSION_free(e);
}

static X509 *make_cert(const struct seal *s, EVP_PKEY *key, const char *name)
{
    X509 *x = X509_new();
    X509_NAME *issuer = X509_get_issuer_name(x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), key == s->rsa ? 1 : 2);
    X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_ASC, (const uint8_t *)"Fuzz CA", -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)name,
                               -1, -1, 0);
    X509_gmtime_adj(X509_getm_notBefore(x), -DAY);
    X509_gmtime_adj(X509_getm_notAfter(x), 30 * DAY);
    X509_set_pubkey(x, key);
    if (key == s->rsa) {
        add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        add_extension(x, NID_key_usage, "critical,digitalSignature");
        add_extension(x, NID_ext_key_usage, "OCSPSigning");
    }
    if (X509_sign(x, s->rsa, EVP_sha256()) <= 0)
        diff_fail("no authority");
    return x;
}

static struct cert *parsed(const X509 *x)
{
    struct err err = {0};
    struct cert *c = NULL;
    uint8_t *der = NULL;
    int n = i2d_X509(x, &der);
    must(n > 0 && cert_parse(view_of(der, (size_t)n), &c, &err), &err);
    OPENSSL_free(der);
    return c;
}

static void make_signer(EVP_PKEY *key)
{
    struct err err = {0};
    struct signer_spec *spec = calloc(1, sizeof *spec);
    struct signer_key_spec *k = &spec->key[spec->n++];
    snprintf(k->path, sizeof k->path, "%s/key", directory);
    int fd = open(k->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f || !PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) || fclose(f) != 0)
        diff_fail("cannot write %s", k->path);
    k->cert = buf_view(&authority.ocsp.cert->der);
    k->uses = SIGNER_OCSP;
    must(signer_local(spec, &signer, &err), &err);
    free(spec);
}

/* Serials 0x10 to 0x13: active, revoked, on hold, ended; 0x14 known by its revocation. */
static void make_store(void)
{
    struct err err = {0};
    struct store_options o = {.path = directory, .map_size = 64 << 20, .create = true};
    struct store_write *w = NULL;
    int64_t now = time(NULL);
    must(store_open(&o, &store, &err) && store_write_begin(store, &w, &err), &err);
    for (uint8_t serial = 0x10; serial < 0x14; serial++) {
        struct store_cert c = {.serial = {serial},
                               .serial_len = 1,
                               .not_before = now - 90 * DAY,
                               .not_after = serial == 0x13 ? now - 60 * DAY : now + DAY,
                               .der_hash = {serial},
                               .key_hash = {serial}};
        memcpy(c.authority, authority.key_id, sizeof c.authority);
        buf_append(&c.der, "x", 1);
        must(store_cert_put(w, &c, &err), &err);
        if (serial == 0x11 || serial == 0x12)
            must(store_cert_revoke(w, c.id, serial == 0x11 ? CRL_KEY_COMPROMISE : CRL_HOLD,
                                   now - DAY, &err),
                 &err);
        store_cert_clear(&c);
    }
    struct store_revoked r = {.serial = {0x14}, .serial_len = 1, .revoked_at = now - DAY};
    must(store_serial_revoke(w, authority.key_id, &r, &err) && store_write_commit(w, &err), &err);
}

static void remove_directory(void)
{
    static const char *const files[] = {"key", "data.mdb", "lock.mdb"};
    char path[64];
    store_close(store);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct seal *s = seal_get();
    const struct authority *all[] = {&authority};
    struct err err = {0};
    if (!mkdtemp(directory))
        diff_fail("no directory");
    ca = make_cert(s, s->rsa, "Fuzz CA");
    X509 *responder = make_cert(s, s->ec, "Responder");
    trust = X509_STORE_new();
    X509_STORE_add_cert(trust, ca);
    authority =
        (struct authority){.name = "fuzz", .cert = parsed(ca), .key_id = "twenty octets of it"};
    authority.ocsp = (struct ocsp_delegate){.cert = parsed(responder), .key = 0};
    X509_free(responder);
    make_signer(s->ec);
    make_store();
    atexit(remove_directory);
    must(ocsp_issuers_new(all, 1, &issuers, &err), &err);
    return 0;
}

/* ---- two readers ---- */

static void same_nonce(OCSP_REQUEST *theirs, struct view nonce)
{
    int at = OCSP_REQUEST_get_ext_by_NID(theirs, NID_id_pkix_OCSP_Nonce, -1);
    if ((at >= 0) != (nonce.p != NULL))
        diff_fail("a nonce that only one sees");
    if (at < 0)
        return;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(theirs, at));
    const unsigned char *p = ASN1_STRING_get0_data(value);
    ASN1_OCTET_STRING *inner = d2i_ASN1_OCTET_STRING(NULL, &p, ASN1_STRING_length(value));
    if (!inner)
        diff_fail("a nonce that OpenSSL cannot read");
    diff_octets("nonce", nonce,
                view_of(ASN1_STRING_get0_data(inner), (size_t)ASN1_STRING_length(inner)));
    ASN1_OCTET_STRING_free(inner);
}

static void same_request(OCSP_REQUEST *theirs, const struct ocsp_request *ours)
{
    if (OCSP_request_onereq_count(theirs) != (int)ours->n)
        diff_fail("%d certificates for OpenSSL, %zu for us", OCSP_request_onereq_count(theirs),
                  ours->n);
    for (size_t i = 0; i < ours->n; i++) {
        OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(theirs, (int)i));
        ASN1_OCTET_STRING *name, *key;
        ASN1_INTEGER *serial;
        OCSP_id_get0_info(&name, NULL, &key, &serial, id);
        if (ours->id[i].known) /* parameters of others OpenSSL may write in another way */
            DIFF_SAME(OCSP_CERTID, ours->id[i].whole, id);
        diff_octets("name hash", ours->id[i].name_hash,
                    view_of(ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name)));
        diff_octets("key hash", ours->id[i].key_hash,
                    view_of(ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key)));
    }
    same_nonce(theirs, ours->nonce);
}

/* What OpenSSL takes as it stands we refuse for these reasons only. */
static void check_refusal(const struct err *err)
{
    static const char *const meant[] = {"about no certificate", "too many",      "longer than any",
                                        "larger than any",      "nonce",         "unknown critical",
                                        "of another version",   "has parameters"};
    if (err->kind != ERR_REFUSED || err->reason != REASON_MESSAGE_MALFORMED)
        diff_fail("%s: %s", err_kind_name(err->kind), err->text);
    for (size_t i = 0; i < sizeof meant / sizeof meant[0]; i++)
        if (strstr(err->text, meant[i]))
            return;
    diff_fail("OpenSSL takes what we refuse: %s", err->text);
}

static bool reads_as_der(OCSP_REQUEST *q, struct view in)
{
    uint8_t *der = NULL;
    int n = i2d_OCSP_REQUEST(q, &der);
    bool same = n > 0 && view_eq(view_of(der, (size_t)n), in);
    OPENSSL_free(der);
    return same;
}

static void leave_out(struct tree *t, size_t from, unsigned identifier)
{
    for (size_t i = from; t && i < t->n; i++)
        if (tree_is(t->child[i], identifier)) {
            tree_free(tree_take(t, i));
            return;
        }
}

/* Parameters of hashes; in root, tbsRequest, list, request, CertID. */
static void leave_out_parameters(struct tree *tbs)
{
    for (size_t i = 0; tbs && i < tbs->n; i++)
        for (size_t k = 0; tree_is(tbs->child[i], 0x30) && k < tbs->child[i]->n; k++) {
            struct tree *algorithm = tree_child(tree_child(tbs->child[i]->child[k], 0), 0);
            if (algorithm && algorithm->n > 1)
                tree_free(tree_take(algorithm, 1));
        }
}

/* What OpenSSL refuses we take only for what we never look at: the requestor's name, the signature,
 * parameters of hashes that are not known. */
static void check_accepted(struct view in)
{
    struct buf rest = {0};
    struct tree *t = tree_read(in);
    leave_out(t, 1, 0xa0);
    leave_out(tree_child(t, 0), 0, 0xa1);
    leave_out_parameters(tree_child(t, 0));
    if (t)
        tree_write(t, true, &rest);
    const unsigned char *p = rest.p;
    OCSP_REQUEST *q = t ? d2i_OCSP_REQUEST(NULL, &p, (long)rest.n) : NULL;
    if (t && !q) /* no tree: too deep for it, somewhere in a name */
        diff_fail("we take what OpenSSL refuses");
    ERR_clear_error();
    OCSP_REQUEST_free(q);
    tree_free(t);
    buf_clear(&rest);
}

/* ---- the answer ---- */

static void check_single(OCSP_BASICRESP *basic, int i, const struct ocsp_id *id, int64_t now)
{
    OCSP_SINGLERESP *x = OCSP_resp_get0(basic, i);
    int reason;
    ASN1_GENERALIZEDTIME *revoked = NULL, *this = NULL, *next = NULL;
    int status = OCSP_single_get0_status(x, &reason, &revoked, &this, &next);
    if (id->known)
        DIFF_SAME(OCSP_CERTID, id->whole, OCSP_SINGLERESP_get0_id(x));
    if (!this || !next || ASN1_TIME_cmp_time_t(this, now) > 0 ||
        ASN1_TIME_cmp_time_t(next, now) <= 0)
        diff_fail("times that do not include now");
    int expected = V_OCSP_CERTSTATUS_UNKNOWN;
    if (ocsp_issuer_of(issuers, id) && id->serial.n == 1) {
        uint8_t serial = id->serial.p[0];
        if (serial == 0x10 || serial == 2)
            expected = V_OCSP_CERTSTATUS_GOOD;
        if (serial == 0x11 || serial == 0x12 || serial == 0x14)
            expected = V_OCSP_CERTSTATUS_REVOKED;
    }
    if (status != expected)
        diff_fail("status %d, not %d", status, expected);
}

static void check_answer(const struct ocsp_request *r, OCSP_REQUEST *theirs,
                         const struct ocsp_answer *a, int64_t now)
{
    const unsigned char *p = a->response.p;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)a->response.n);
    if (!response || p != a->response.p + a->response.n ||
        OCSP_response_status(response) != (int)a->status)
        diff_fail("an answer that OpenSSL does not read");
    if (a->status == OCSP_SUCCESSFUL) {
        OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
        if (!basic || OCSP_basic_verify(basic, NULL, trust, OCSP_NOCHECKS) != 1)
            diff_fail("an answer that OpenSSL does not verify");
        if (OCSP_resp_count(basic) != (int)r->n)
            diff_fail("%d answers to %zu questions", OCSP_resp_count(basic), r->n);
        for (size_t i = 0; i < r->n; i++)
            check_single(basic, (int)i, &r->id[i], now);
        int nonce = OCSP_check_nonce(theirs, basic);
        if (nonce != (r->nonce.p ? 1 : 2))
            diff_fail("another nonce: %d", nonce);
        OCSP_BASICRESP_free(basic);
    } else if (a->status != OCSP_UNAUTHORIZED) {
        diff_fail("%s: %s", ocsp_status_name(a->status), a->err.text);
    }
    OCSP_RESPONSE_free(response);
}

static void answer(const struct ocsp_request *r, OCSP_REQUEST *theirs)
{
    static const struct ocsp_rules rules = {
        .good = 3600, .revoked = DAY, .hold = 1800, .backdate = 300, .retention = 30 * DAY};
    struct ocsp_answer a = {.status = OCSP_SUCCESSFUL}, *all[] = {&a};
    int64_t now = time(NULL);
    ocsp_answer_prepare(store, issuers, NULL, &rules, r, now, &a);
    ocsp_answers_sign(signer, all, 1);
    check_answer(r, theirs, &a, now);
    ocsp_answer_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view in = view_of(data, size);
    const unsigned char *p = data;
    struct ocsp_request ours = {.n = 0};
    struct err err = {0};
    OCSP_REQUEST *theirs = d2i_OCSP_REQUEST(NULL, &p, (long)size);
    if (theirs && p != data + size) {
        OCSP_REQUEST_free(theirs);
        theirs = NULL;
    }
    ERR_clear_error();
    if (!ocsp_request_parse(in, OCSP_MAX_IDS, &ours, &err)) {
        if (theirs && reads_as_der(theirs, in))
            check_refusal(&err);
    } else if (!theirs) {
        check_accepted(in);
    } else {
        same_request(theirs, &ours);
        answer(&ours, theirs);
    }
    if (ERR_peek_error() != 0)
        diff_fail("an error was left in the queue");
    ocsp_request_clear(&ours);
    OCSP_REQUEST_free(theirs);
    return 0;
}

bool fuzz_change(struct view in, struct random *r, struct buf *out)
{
    struct tree *t = tree_read(in);
    if (!t)
        return false;
    tree_mutate(t, r);
    tree_write(t, !random_one_in(r, 10), out);
    tree_free(t);
    return out->n > 0;
}
