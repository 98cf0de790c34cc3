#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <string.h>

#include "check_main.h"
#include "oracle.h"
#include "pkcs7/ocsp.h"
#include "pkcs7/tlv.h"

/* Requests that OpenSSL makes, with every option it has, and answers that it reads: what either
 * side understands must be the same. */

ORACLE_DER(OCSP_REQUEST)
ORACLE_DER(OCSP_CERTID)
ORACLE_DER(OCSP_RESPONSE)

static struct err err;
static X509_NAME *issuer;
static ASN1_BIT_STRING *issuer_key;

static void setup(void)
{
    err_clear(&err);
    issuer = X509_NAME_new();
    ck_assert_int_eq(
        X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_ASC, (const uint8_t *)"CA", -1, -1, 0),
        1);
    issuer_key = ASN1_BIT_STRING_new();
    ck_assert_int_eq(ASN1_BIT_STRING_set(issuer_key, (uint8_t *)"any key", 7), 1);
}

static void teardown(void)
{
    X509_NAME_free(issuer);
    ASN1_BIT_STRING_free(issuer_key);
}

static OCSP_CERTID *certid(const EVP_MD *md, long serial)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ck_assert_int_eq(ASN1_INTEGER_set(number, serial), 1);
    OCSP_CERTID *id = OCSP_cert_id_new(md, issuer, issuer_key, number);
    ck_assert_ptr_nonnull(id);
    ASN1_INTEGER_free(number);
    return id;
}

static OCSP_REQUEST *request_of(long n)
{
    OCSP_REQUEST *q = OCSP_REQUEST_new();
    for (long i = 0; i < n; i++)
        ck_assert_ptr_nonnull(OCSP_request_add0_id(q, certid(EVP_sha1(), 1000 + i)));
    return q;
}

/* Frees q. */
static struct buf encoded(OCSP_REQUEST *q)
{
    struct buf der = oracle_OCSP_REQUEST(q);
    OCSP_REQUEST_free(q);
    return der;
}

/* Frees der. */
static void refused(struct buf der, size_t max, const char *why)
{
    struct ocsp_request r = {.n = 0};
    ck_assert_msg(!ocsp_request_parse(buf_view(&der), max, &r, &err), "accepted, not: %s", why);
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_int_eq(err.reason, REASON_MESSAGE_MALFORMED);
    ck_assert_msg(strstr(err.text, why), "%s, not: %s", err.text, why);
    ck_assert_ptr_null(r.id);
    err_clear(&err);
    buf_clear(&der);
}

static void accepted(struct buf *der, struct ocsp_request *out)
{
    ck_assert_msg(ocsp_request_parse(buf_view(der), OCSP_MAX_IDS, out, &err), "%s", err.text);
}

static void accepted_plainly(OCSP_REQUEST *q)
{
    struct buf der = encoded(q);
    struct ocsp_request r;
    accepted(&der, &r);
    ck_assert_uint_eq(r.n, 1);
    ck_assert_ptr_null(r.nonce.p);
    ocsp_request_clear(&r);
    buf_clear(&der);
}

/* ---- requests ---- */

START_TEST(every_hash)
{
    const struct {
        const EVP_MD *md;
        bool known;
        enum digest digest;
    } hashes[] = {{EVP_sha1(), true, DIGEST_SHA1},
                  {EVP_sha256(), true, DIGEST_SHA256},
                  {EVP_sha384(), true, DIGEST_SHA384},
                  {EVP_sha512(), true, DIGEST_SHA512},
                  {EVP_sha224(), false, 0},
                  {EVP_sha3_256(), false, 0}};
    size_t n = sizeof hashes / sizeof hashes[0];
    OCSP_REQUEST *q = OCSP_REQUEST_new();
    struct buf id[6];
    for (size_t i = 0; i < n; i++) {
        OCSP_CERTID *c = certid(hashes[i].md, 128 + (long)i);
        id[i] = oracle_OCSP_CERTID(c);
        ck_assert_ptr_nonnull(OCSP_request_add0_id(q, c));
    }
    struct buf der = encoded(q), name = oracle_X509_NAME(issuer);
    struct ocsp_request r;
    accepted(&der, &r);
    ck_assert_uint_eq(r.n, n);
    for (size_t i = 0; i < n; i++) {
        uint8_t hash[64];
        ck_assert(view_eq(r.id[i].whole, buf_view(&id[i])));
        ck_assert_int_eq(r.id[i].known, hashes[i].known);
        ck_assert_uint_eq(r.id[i].serial.n, 2);
        ck_assert_uint_eq(r.id[i].serial.p[1], 128 + i);
        if (hashes[i].known) {
            ck_assert_int_eq(r.id[i].digest, hashes[i].digest);
            ck_assert(digest_compute(hashes[i].digest, buf_view(&name), hash, &err));
            ck_assert(view_eq(r.id[i].name_hash, view_of(hash, digest_size(hashes[i].digest))));
            ck_assert(digest_compute(hashes[i].digest, view_str("any key"), hash, &err));
            ck_assert(view_eq(r.id[i].key_hash, view_of(hash, digest_size(hashes[i].digest))));
        }
        struct ocsp_id alone;
        ck_assert(ocsp_id_parse(buf_view(&id[i]), &alone, &err));
        ck_assert(view_eq(alone.serial, r.id[i].serial));
        buf_clear(&id[i]);
    }
    ocsp_request_clear(&r);
    buf_clear(&der);
    buf_clear(&name);
}
END_TEST

/* Parameters of the hash NULL or absent; a hash cut short is nobody's. */
START_TEST(hash_forms)
{
    OCSP_REQUEST *q = request_of(0);
    OCSP_CERTID *id = certid(EVP_sha256(), 5);
    ASN1_OBJECT *oid;
    ASN1_OCTET_STRING *hash;
    OCSP_id_get0_info(&hash, &oid, NULL, NULL, id);
    OCSP_request_add0_id(q, id);
    struct buf with = oracle_OCSP_REQUEST(q);
    struct ocsp_request r;
    accepted(&with, &r);
    ck_assert(r.id[0].known);
    /* ... 0x30 0x0d 0x06 0x09 <oid> 0x05 0x00: without the NULL all lengths around shrink by 2 */
    static const uint8_t null[] = {0x05, 0x00};
    uint8_t *at = memmem(with.p, with.n, null, 2);
    ck_assert_ptr_nonnull(at);
    size_t offset = (size_t)(at - with.p);
    struct buf without = {0};
    buf_append(&without, with.p, offset);
    buf_append(&without, at + 2, with.n - offset - 2);
    for (size_t i = 0; i + 1 < offset; i++) /* every header before it holds it */
        if (without.p[i] == 0x30)
            without.p[i + 1] = (uint8_t)(without.p[i + 1] - 2);
    ocsp_request_clear(&r);
    accepted(&without, &r);
    ck_assert(r.id[0].known);
    ck_assert_int_eq(r.id[0].digest, DIGEST_SHA256);
    ocsp_request_clear(&r);
    ck_assert_int_eq(ASN1_OCTET_STRING_set(hash, (const uint8_t *)"short", 5), 1);
    struct buf cut = encoded(q);
    accepted(&cut, &r);
    ck_assert(!r.id[0].known);
    ocsp_request_clear(&r);
    buf_clear(&with);
    buf_clear(&without);
    buf_clear(&cut);
}
END_TEST

START_TEST(how_many)
{
    struct ocsp_request r;
    refused(encoded(request_of(0)), 100, "about no certificate");
    refused(encoded(request_of(2)), 1, "too many");
    refused(encoded(request_of(101)), 1000, "too many");
    refused(encoded(request_of(5000)), 100, "larger than any");
    OCSP_REQUEST *q = request_of(99);
    OCSP_request_add0_id(q, certid(EVP_sha1(), 1000)); /* the first one again is no error */
    struct buf der = encoded(q);
    accepted(&der, &r);
    ck_assert_uint_eq(r.n, 100);
    for (size_t i = 0; i < 99; i++)
        ck_assert_uint_eq((size_t)r.id[i].serial.p[0] << 8 | r.id[i].serial.p[1], 1000 + i);
    ck_assert(view_eq(r.id[99].whole, r.id[0].whole));
    ocsp_request_clear(&r);
    buf_clear(&der);
}
END_TEST

/* RFC 9654 section 2.1, both limits; RFC 8954 had refused more than 32. */
START_TEST(nonces)
{
    static const int sizes[] = {1, 8, 15, 16, 23, 32, 33, 128};
    uint8_t value[129];
    memset(value, 0x5a, sizeof value);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        OCSP_REQUEST *q = request_of(1);
        ck_assert_int_eq(OCSP_request_add1_nonce(q, value, sizes[i]), 1);
        struct buf der = encoded(q);
        struct ocsp_request r;
        accepted(&der, &r);
        ck_assert(view_eq(r.nonce, view_of(value, (size_t)sizes[i])));
        ocsp_request_clear(&r);
        buf_clear(&der);
    }
    OCSP_REQUEST *q = request_of(1);
    ck_assert_int_eq(OCSP_request_add1_nonce(q, value, 129), 1);
    refused(encoded(q), 100, "nonce");
}
END_TEST

/* Frees value. */
static void add_extension(OCSP_REQUEST *q, bool single, const char *oid, bool critical,
                          const uint8_t *value, int n)
{
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *type = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING_set(octets, value, n);
    X509_EXTENSION *x = X509_EXTENSION_create_by_OBJ(NULL, type, critical, octets);
    ck_assert_ptr_nonnull(x);
    if (single)
        ck_assert_int_eq(OCSP_ONEREQ_add_ext(OCSP_request_onereq_get0(q, 0), x, -1), 1);
    else
        ck_assert_int_eq(OCSP_REQUEST_add_ext(q, x, -1), 1);
    X509_EXTENSION_free(x);
    ASN1_OBJECT_free(type);
    ASN1_OCTET_STRING_free(octets);
}

#define NONCE "1.3.6.1.5.5.7.48.1.2"
#define ACCEPTABLE "1.3.6.1.5.5.7.48.1.4"
#define LOCATOR "1.3.6.1.5.5.7.48.1.7"
#define PREFERRED "1.3.6.1.5.5.7.48.1.8"

START_TEST(bad_nonces)
{
    static const struct {
        const char *value;
        int n;
    } bad[] = {
        {"", 0},                 /* nothing */
        {"\x04\x00", 2},         /* of no octets */
        {"raw octets", 10},      /* not in an OCTET STRING of their own */
        {"\x04\x01\x61\x62", 4}, /* and more */
        {"\x04\x05\x61", 3},     /* cut */
        {"\x0c\x01\x61", 3},     /* another string */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OCSP_REQUEST *q = request_of(1);
        add_extension(q, false, NONCE, false, (const uint8_t *)bad[i].value, bad[i].n);
        refused(encoded(q), 100, "nonce");
    }
    OCSP_REQUEST *q = request_of(1);
    add_extension(q, false, NONCE, false, (const uint8_t *)"\x04\x01\x61", 3);
    add_extension(q, false, NONCE, false, (const uint8_t *)"\x04\x01\x61", 3);
    refused(encoded(q), 100, "two");
    q = request_of(1);
    add_extension(q, true, NONCE, false, (const uint8_t *)"x", 1); /* none of the request */
    accepted_plainly(q);
}
END_TEST

/* RFC 6960 section 4.4 */
START_TEST(other_extensions)
{
    static const char *const known[] = {ACCEPTABLE, PREFERRED};
    for (int critical = 0; critical < 2; critical++) {
        for (size_t i = 0; i < 2; i++) {
            OCSP_REQUEST *q = request_of(1);
            add_extension(q, false, known[i], critical, (const uint8_t *)"\x30\x00", 2);
            accepted_plainly(q);
        }
        OCSP_REQUEST *q = request_of(1);
        add_extension(q, true, LOCATOR, critical, (const uint8_t *)"\x30\x00", 2);
        accepted_plainly(q);
        for (int single = 0; single < 2; single++) {
            q = request_of(1);
            add_extension(q, single, "1.2.3.4", critical, (const uint8_t *)"x", 1);
            if (critical)
                refused(encoded(q), 100, "unknown critical");
            else
                accepted_plainly(q);
        }
    }
    OCSP_REQUEST *q = request_of(1);
    add_extension(q, false, LOCATOR, true, (const uint8_t *)"\x30\x00", 2);
    refused(encoded(q), 100, "unknown critical"); /* not of a request as a whole */
}
END_TEST

/* Names and signatures say nothing here (RFC 6960 section 4.1.2). */
START_TEST(requestor_and_signature)
{
    OCSP_REQUEST *q = request_of(1);
    ck_assert_int_eq(OCSP_request_set1_name(q, issuer), 1);
    accepted_plainly(q);

    q = request_of(1);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_subject_name(cert, issuer);
    X509_set_pubkey(cert, key);
    ck_assert_int_eq(OCSP_request_sign(q, cert, key, EVP_sha256(), NULL, OCSP_NOCERTS), 1);
    accepted_plainly(q);
    X509_free(cert);
    EVP_PKEY_free(key);
}
END_TEST

/* A length of one octet too many: some read it, but what is repeated in an answer must be DER. */
START_TEST(long_lengths)
{
    static const size_t headers[] = {8, 10, 12, 19, 21, 43, 65}; /* of the CertID and its parts */
    struct buf der = encoded(request_of(1));
    ck_assert_uint_eq(der.n, 69);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        size_t at = headers[i] + 1;
        struct buf longer = {0};
        buf_append(&longer, der.p, at);
        buf_append(&longer, "\x81", 1);
        buf_append(&longer, der.p + at, der.n - at);
        for (size_t k = 1; k < at; k += 2) /* what holds it, up to the algorithm */
            if (k < 10 || (k == 11 && at > 11 && at < 21))
                longer.p[k]++;
        refused(longer, 100, "CertID");
    }
    buf_clear(&der);
}
END_TEST

/* A name of an extension in another form than DER's would be none that is known: its nonce would be
 * missing in the answer. */
START_TEST(long_length_of_an_extension)
{
    static const uint8_t nonce[8] = "a nonce";
    OCSP_REQUEST *q = request_of(1);
    ck_assert_int_eq(OCSP_request_add1_nonce(q, (unsigned char *)nonce, sizeof nonce), 1);
    struct buf der = encoded(q), longer = {0};
    const ASN1_OBJECT *name = OBJ_nid2obj(NID_id_pkix_OCSP_Nonce);
    const uint8_t *content = memmem(der.p, der.n, OBJ_get0_data(name), OBJ_length(name));
    ck_assert_ptr_nonnull(content);
    size_t at = (size_t)(content - der.p) - 2, within[] = {0, 2, at - 6, at - 4, at - 2};
    buf_append(&longer, der.p, at + 1);
    buf_append(&longer, "\x81", 1);
    buf_append(&longer, der.p + at + 1, der.n - at - 1);
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++)
        longer.p[within[i] + 1]++;
    refused(longer, 100, "an extension that is none");
    buf_clear(&der);
}
END_TEST

static struct buf changed(struct buf der, size_t at, uint8_t value)
{
    struct buf out = {0};
    buf_append(&out, der.p, der.n);
    out.p[at] = value;
    return out;
}

/* RFC 5754 section 2: absent or NULL; anything else would be octets of the client's choice in what
 * is signed. */
START_TEST(parameters_of_the_hash)
{
    struct buf der = encoded(request_of(1));
    ck_assert_uint_eq(der.p[19], 0x05);
    refused(changed(der, 19, 0x0a), 100, "has parameters");
    refused(changed(der, 19, 0x04), 100, "has parameters");
    struct buf longer = {0};
    buf_append(&longer, der.p, 21);
    buf_append(&longer, "x", 1);
    buf_append(&longer, der.p + 21, der.n - 21);
    for (size_t k = 1; k < 12; k += 2)
        longer.p[k]++;
    longer.p[20]++;
    refused(longer, 100, "has parameters");
    buf_clear(&der);
}
END_TEST

START_TEST(not_requests)
{
    struct buf der = encoded(request_of(1)), tail = {0};
    for (size_t n = 0; n < der.n; n++) {
        struct buf cut = {0};
        buf_append(&cut, der.p, n);
        refused(cut, 100, "");
    }
    buf_append(&tail, der.p, der.n);
    buf_append(&tail, "", 1);
    refused(tail, 100, "");
    refused(changed(der, 0, 0x31), 100, "that is none");
    refused(changed(der, 1, 0x80), 100, "that is none"); /* of indefinite length */
    refused(changed(der, 2, 0x31), 100, "that is none");
    refused(changed(der, 4, 0xa1), 100, "without its list");
    refused(changed(der, 6, 0x31), 100, "that is none");
    refused(changed(der, 8, 0x31), 100, "that is none");
    buf_clear(&der);
}
END_TEST

START_TEST(versions)
{
    static const uint8_t head[] = {0x30, 0x0a, 0x30, 0x08, 0xa0, 0x03, 0x02, 0x01};
    for (uint8_t v = 0; v < 3; v++) {
        struct buf der = {0};
        buf_append(&der, head, sizeof head);
        buf_append(&der, &v, 1);
        buf_append(&der, "\x30\x01\x00", 3); /* the list is wrong, too, and is looked at later */
        refused(der, 100, v == 0 ? "that is none" : "another version");
    }
}
END_TEST

/* Ten thousand SEQUENCEs around nothing, a length of 4 GiB. */
START_TEST(hostile)
{
    struct buf deep = {0}, lying = {0};
    for (int i = 0; i < 3000; i++)
        buf_append(&deep, "\x30\x82\x20\x00", 4);
    refused(deep, 100, "");
    buf_append(&lying, "\x30\x84\xff\xff\xff\xff\x30\x00", 8);
    refused(lying, 100, "");
    OCSP_REQUEST *q = request_of(0);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    uint8_t octets[300];
    memset(octets, 1, sizeof octets);
    ASN1_STRING_set(serial, octets, sizeof octets);
    OCSP_request_add0_id(q, OCSP_cert_id_new(EVP_sha1(), issuer, issuer_key, serial));
    ASN1_INTEGER_free(serial);
    refused(encoded(q), 100, "longer than any");
}
END_TEST

/* ---- answers ---- */

static const uint8_t responder[OCSP_KEY_HASH] = "twenty octets of it.";

/* What OpenSSL makes of the bytes; it must write the same ones again.  Signed by nobody. */
static OCSP_BASICRESP *read_by_openssl(struct view data, struct buf *whole)
{
    const struct sigalg alg = {.scheme = SIG_ECDSA, .digest = DIGEST_SHA256};
    ck_assert_msg(
        ocsp_response_build(data, alg, view_str("signature"), view_of(NULL, 0), whole, &err), "%s",
        err.text);
    const unsigned char *p = whole->p;
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)whole->n);
    ck_assert_ptr_nonnull(r);
    ck_assert_ptr_eq(p, whole->p + whole->n);
    ck_assert_int_eq(OCSP_response_status(r), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(r);
    ck_assert_ptr_nonnull(basic);
    unsigned char *again = NULL;
    int n = ASN1_item_i2d((const ASN1_VALUE *)OCSP_resp_get0_respdata(basic), &again,
                          ASN1_ITEM_rptr(OCSP_RESPDATA));
    ck_assert_int_eq(n, (int)data.n);
    ck_assert_mem_eq(again, data.p, data.n);
    OPENSSL_free(again);
    OCSP_RESPONSE_free(r);
    return basic;
}

static int64_t unix_time(const ASN1_GENERALIZEDTIME *t)
{
    struct tm tm;
    ck_assert_int_eq(t->type, V_ASN1_GENERALIZEDTIME);
    ck_assert_int_eq(t->length, 15); /* no fractions */
    ck_assert_int_eq(ASN1_TIME_to_tm(t, &tm), 1);
    return timegm(&tm);
}

static struct buf id_of(long serial)
{
    OCSP_CERTID *id = certid(EVP_sha256(), serial);
    struct buf der = oracle_OCSP_CERTID(id);
    OCSP_CERTID_free(id);
    return der;
}

static void same_single(OCSP_BASICRESP *basic, int i, const struct ocsp_single *s)
{
    OCSP_SINGLERESP *x = OCSP_resp_get0(basic, i);
    struct buf id = oracle_OCSP_CERTID(OCSP_SINGLERESP_get0_id(x));
    ck_assert(view_eq(buf_view(&id), s->id));
    buf_clear(&id);
    int reason = 0;
    ASN1_GENERALIZEDTIME *revoked = NULL, *this = NULL, *next = NULL;
    ck_assert_int_eq(OCSP_single_get0_status(x, &reason, &revoked, &this, &next), (int)s->status);
    ck_assert_int_eq(unix_time(this), s->this_update);
    ck_assert_int_eq(unix_time(next), s->next_update);
    if (s->status == OCSP_REVOKED) {
        ck_assert_int_eq(unix_time(revoked), s->revoked_at);
        ck_assert_int_eq(reason, s->reason ? s->reason : OCSP_REVOKED_STATUS_NOSTATUS);
    }
    ASN1_GENERALIZEDTIME *cutoff =
        OCSP_SINGLERESP_get1_ext_d2i(x, NID_id_pkix_OCSP_archiveCutoff, NULL, NULL);
    ck_assert_int_eq(cutoff != NULL, s->archive_cutoff != 0);
    if (cutoff)
        ck_assert_int_eq(unix_time(cutoff), s->archive_cutoff);
    ASN1_GENERALIZEDTIME_free(cutoff);
}

/* Read again by our own reader: the same values. */
static void same_data(struct view der, const struct ocsp_data *d)
{
    struct ocsp_single room[8];
    struct ocsp_data got = {.single = room};
    ck_assert_msg(ocsp_data_parse(der, 8, &got, &err), "%s", err.text);
    ck_assert(view_eq(got.responder_key, d->responder_key));
    ck_assert_int_eq(got.produced_at, d->produced_at);
    ck_assert(view_eq(got.nonce, d->nonce));
    ck_assert_int_eq(got.extended_revoke, d->extended_revoke);
    ck_assert(!got.other_extensions);
    ck_assert_uint_eq(got.n, d->n);
    for (size_t i = 0; i < d->n; i++) {
        ck_assert(view_eq(room[i].id, d->single[i].id));
        ck_assert_int_eq(room[i].status, d->single[i].status);
        ck_assert_int_eq(room[i].this_update, d->single[i].this_update);
        ck_assert_int_eq(room[i].next_update, d->single[i].next_update);
        ck_assert_int_eq(room[i].revoked_at, d->single[i].revoked_at);
        ck_assert_int_eq(room[i].reason, d->single[i].reason);
        ck_assert_int_eq(room[i].archive_cutoff, d->single[i].archive_cutoff);
    }
    struct buf again = {0};
    ck_assert(ocsp_data_build(&got, &again, &err));
    ck_assert(view_eq(buf_view(&again), der));
    buf_clear(&again);
    if (d->n > 0)
        ck_assert(!ocsp_data_parse(der, d->n - 1, &got, &err));
    err_clear(&err);
}

static void check_data(const struct ocsp_data *d)
{
    struct buf data = {0}, whole = {0};
    ck_assert_msg(ocsp_data_build(d, &data, &err), "%s", err.text);
    OCSP_BASICRESP *basic = read_by_openssl(buf_view(&data), &whole);
    ck_assert_int_eq(OCSP_resp_count(basic), (int)d->n);
    ck_assert_int_eq(unix_time(OCSP_resp_get0_produced_at(basic)), d->produced_at);
    const ASN1_OCTET_STRING *key;
    const X509_NAME *name;
    ck_assert_int_eq(OCSP_resp_get0_id(basic, &key, &name), 1);
    ck_assert_ptr_null(name);
    ck_assert_int_eq(ASN1_STRING_length(key), OCSP_KEY_HASH);
    ck_assert_mem_eq(ASN1_STRING_get0_data(key), responder, OCSP_KEY_HASH);
    for (size_t i = 0; i < d->n; i++)
        same_single(basic, (int)i, &d->single[i]);
    ck_assert_int_eq(OCSP_BASICRESP_get_ext_count(basic),
                     (d->nonce.p != NULL) + d->extended_revoke);
    same_data(buf_view(&data), d);

    const ASN1_OCTET_STRING *signature = OCSP_resp_get0_signature(basic);
    ck_assert(
        view_eq(view_of(ASN1_STRING_get0_data(signature), (size_t)ASN1_STRING_length(signature)),
                view_str("signature")));
    ck_assert_int_le(sk_X509_num(OCSP_resp_get0_certs(basic)), 0); /* -1: no list at all */
    OCSP_BASICRESP_free(basic);
    buf_clear(&data);
    buf_clear(&whole);
}

#define T0 INT64_C(1800000000)

START_TEST(answer_of_each_kind)
{
    struct buf id = id_of(77);
    struct ocsp_single s[] = {
        {.status = OCSP_GOOD},
        {.status = OCSP_REVOKED, .revoked_at = T0 - 9},
        {.status = OCSP_REVOKED, .revoked_at = T0 - 9, .reason = 1},
        {.status = OCSP_REVOKED, .revoked_at = 0, .reason = 6},
        {.status = OCSP_UNKNOWN},
        {.status = OCSP_GOOD, .archive_cutoff = T0 - 86400},
    };
    size_t n = sizeof s / sizeof s[0];
    for (size_t i = 0; i < n; i++) {
        s[i].id = buf_view(&id);
        s[i].this_update = T0 - 300;
        s[i].next_update = T0 + 3600;
        struct ocsp_data d = {.responder_key = view_of(responder, sizeof responder),
                              .produced_at = T0,
                              .single = &s[i],
                              .n = 1};
        check_data(&d);
        d.nonce = view_str("n");
        check_data(&d);
        d.extended_revoke = true;
        check_data(&d);
        d.nonce = view_of(NULL, 0);
        check_data(&d);
    }
    s[0].next_update = INT64_C(4102444800); /* 2100: one form of time only */
    struct ocsp_data all = {.responder_key = view_of(responder, sizeof responder),
                            .produced_at = T0,
                            .single = s,
                            .n = n};
    check_data(&all);
    buf_clear(&id);
}
END_TEST

START_TEST(nonce_echoed)
{
    uint8_t value[128];
    memset(value, 0xa5, sizeof value);
    struct buf id = id_of(5);
    struct ocsp_single s = {.id = buf_view(&id), .this_update = T0, .next_update = T0 + 9};
    for (size_t n = 1; n <= sizeof value; n++) {
        struct ocsp_data d = {.responder_key = view_of(responder, sizeof responder),
                              .produced_at = T0,
                              .single = &s,
                              .n = 1,
                              .nonce = view_of(value, n)};
        struct buf data = {0}, whole = {0};
        ck_assert(ocsp_data_build(&d, &data, &err));
        OCSP_BASICRESP *basic = read_by_openssl(buf_view(&data), &whole);
        OCSP_REQUEST *q = request_of(1);
        ck_assert_int_eq(OCSP_request_add1_nonce(q, value, (int)n), 1);
        ck_assert_int_eq(OCSP_check_nonce(q, basic), 1); /* there and equal */
        OCSP_REQUEST_free(q);
        OCSP_BASICRESP_free(basic);
        buf_clear(&data);
        buf_clear(&whole);
    }
    buf_clear(&id);
}
END_TEST

START_TEST(errors)
{
    static const enum ocsp_status all[] = {OCSP_MALFORMED_REQUEST, OCSP_INTERNAL_ERROR,
                                           OCSP_TRY_LATER, OCSP_UNAUTHORIZED};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint8_t der[OCSP_ERROR_SIZE];
        ocsp_error(all[i], der);
        const unsigned char *p = der;
        OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, sizeof der);
        ck_assert_ptr_nonnull(r);
        ck_assert_int_eq(OCSP_response_status(r), (int)all[i]);
        struct buf again = oracle_OCSP_RESPONSE(r);
        ck_assert(view_eq(buf_view(&again), view_of(der, sizeof der)));
        buf_clear(&again);
        OCSP_RESPONSE_free(r);
    }
}
END_TEST

/* One octet after the other: never read beyond, and what is accepted is written the same again
 * unless it has more than we write. */
START_TEST(changed_data)
{
    struct buf id = id_of(77), data = {0};
    struct ocsp_single s[] = {
        {.status = OCSP_REVOKED, .revoked_at = T0, .reason = 4, .archive_cutoff = T0 - 5},
        {.status = OCSP_GOOD}};
    for (size_t i = 0; i < 2; i++) {
        s[i].id = buf_view(&id);
        s[i].this_update = T0;
        s[i].next_update = T0 + 1;
    }
    struct ocsp_data d = {.responder_key = view_of(responder, sizeof responder),
                          .produced_at = T0,
                          .single = s,
                          .n = 2,
                          .nonce = view_str("0123456789abcdef"),
                          .extended_revoke = true};
    ck_assert(ocsp_data_build(&d, &data, &err));
    struct ocsp_single room[4];
    struct ocsp_data got = {.single = room};
    for (size_t n = 0; n < data.n; n++) {
        struct buf cut = {0};
        buf_append(&cut, data.p, n);
        ck_assert(!ocsp_data_parse(buf_view(&cut), 4, &got, &err));
        buf_clear(&cut);
        err_clear(&err);
    }
    for (size_t at = 0; at < data.n; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct buf other = changed(data, at, (uint8_t)(data.p[at] ^ 1u << bit)), again = {0};
            if (ocsp_data_parse(buf_view(&other), 4, &got, &err) && !got.other_extensions) {
                ck_assert(ocsp_data_build(&got, &again, &err));
                ck_assert_uint_le(again.n, other.n);
                buf_clear(&again);
            }
            err_clear(&err);
            buf_clear(&other);
        }
    buf_clear(&data);
    buf_clear(&id);
}
END_TEST

START_TEST(never_built)
{
    struct buf out = {0}, id = id_of(1);
    struct ocsp_single s = {.id = buf_view(&id), .this_update = T0, .next_update = INT64_MAX};
    struct ocsp_data d = {.produced_at = T0, .single = &s, .n = 1};
    ck_assert(!ocsp_data_build(&d, &out, &err)); /* in nobody's name */
    d.responder_key = view_of(responder, sizeof responder);
    ck_assert(!ocsp_data_build(&d, &out, &err)); /* until the year 292 billion */
    ck_assert_ptr_null(out.p);
    buf_clear(&id);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ocsp");
    TCase *c = tcase_create("ocsp");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_hash);
    tcase_add_test(c, hash_forms);
    tcase_add_test(c, how_many);
    tcase_add_test(c, nonces);
    tcase_add_test(c, bad_nonces);
    tcase_add_test(c, other_extensions);
    tcase_add_test(c, requestor_and_signature);
    tcase_add_test(c, parameters_of_the_hash);
    tcase_add_test(c, not_requests);
    tcase_add_test(c, long_lengths);
    tcase_add_test(c, long_length_of_an_extension);
    tcase_add_test(c, versions);
    tcase_add_test(c, hostile);
    tcase_add_test(c, answer_of_each_kind);
    tcase_add_test(c, nonce_echoed);
    tcase_add_test(c, errors);
    tcase_add_test(c, changed_data);
    tcase_add_test(c, never_built);
    suite_add_tcase(s, c);
    return check_main(s);
}
