#include "check_main.h"

#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ca/ocsp.h"
#include "ca_fixture.h"
#include "signer_internal.h"

/* What an authority says of its certificates, as OpenSSL's client understands it. */

#define DAY INT64_C(86400)
#define HOUR INT64_C(3600)

static struct err err;
static struct ca_fixture ca; /* made once, with a P-256 delegate */
static struct signer *signer;
static struct temporary store_dir;
static struct store *store;
static struct ocsp_issuers *issuers;
static struct ocsp_rules rules;
static int64_t now;
static X509 *ca_cert;
static X509_STORE *trust;

/* ---- the world ---- */

static void authority_make(void)
{
    const unsigned char *p;
    ca_fixture_plan(&ca);
    ca_fixture_init(&ca);
    ck_assert_msg(ca_fixture_load(&ca, &err), "%s", err.text);
    ca_fixture_delegate(&ca, "p256", time(NULL) - HOUR, time(NULL) + 30 * DAY);
    ck_assert_msg(signer_local(ca.spec, &signer, &err), "%s", err.text);
    p = ca.authority->cert->der.p;
    ca_cert = d2i_X509(NULL, &p, (long)ca.authority->cert->der.n);
    trust = X509_STORE_new();
    ck_assert_int_eq(X509_STORE_add_cert(trust, ca_cert), 1);
}

static void authority_free_all(void)
{
    X509_STORE_free(trust);
    X509_free(ca_cert);
    signer_free(signer);
    ca_fixture_clear(&ca);
}

static void setup(void)
{
    err_clear(&err);
    temporary_make(&store_dir);
    struct store_options o = {
        .path = temporary_path(&store_dir, "store"), .map_size = 64 << 20, .create = true};
    ck_assert_msg(store_open(&o, &store, &err), "%s", err.text);
    const struct authority *all[] = {ca.authority};
    ck_assert_msg(ocsp_issuers_new(all, 1, &issuers, &err), "%s", err.text);
    rules = (struct ocsp_rules){
        .good = HOUR, .revoked = DAY, .hold = HOUR / 2, .backdate = 300, .retention = 30 * DAY};
    now = time(NULL);
}

static void teardown(void)
{
    ocsp_issuers_free(issuers);
    store_close(store);
    temporary_remove(&store_dir);
}

static struct store_write *begin(void)
{
    struct store_write *w = NULL;
    ck_assert_msg(store_write_begin(store, &w, &err), "%s", err.text);
    return w;
}

static void commit(struct store_write *w)
{
    ck_assert_msg(store_write_commit(w, &err), "%s", err.text);
}

/* The certificate of this serial, of two octets. */
static uint64_t put(unsigned serial, int64_t not_before, int64_t not_after)
{
    struct store_write *w = begin();
    struct store_cert c = {.state = CERT_ACTIVE,
                           .not_before = not_before,
                           .not_after = not_after,
                           .issued_at = not_before,
                           .serial_len = 2,
                           .serial = {(uint8_t)(serial >> 8), (uint8_t)serial}};
    memcpy(c.authority, ca.authority->key_id, sizeof c.authority);
    memcpy(c.der_hash, c.serial, 2);
    memcpy(c.key_hash, c.serial, 2);
    ck_assert(buf_append(&c.der, "x", 1));
    ck_assert_msg(store_cert_put(w, &c, &err), "%s", err.text);
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static void revoke_cert(uint64_t id, enum crl_reason reason, int64_t when)
{
    struct store_write *w = begin();
    ck_assert_msg(store_cert_revoke(w, id, reason, when, &err), "%s", err.text);
    commit(w);
}

static void revoke_serial(unsigned serial, enum crl_reason reason, int64_t when, int64_t not_after)
{
    struct store_write *w = begin();
    struct store_revoked r = {.serial = {(uint8_t)(serial >> 8), (uint8_t)serial},
                              .serial_len = 2,
                              .revoked_at = when,
                              .not_after = not_after,
                              .reason = reason};
    ck_assert_msg(store_serial_revoke(w, ca.authority->key_id, &r, &err), "%s", err.text);
    commit(w);
}

/* ---- asking ---- */

static OCSP_CERTID *certid(const EVP_MD *md, const X509 *issuer, unsigned serial)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, (long)serial);
    OCSP_CERTID *id = OCSP_cert_id_new(md, X509_get_subject_name(issuer),
                                       X509_get0_pubkey_bitstr(issuer), number);
    ck_assert_ptr_nonnull(id);
    ASN1_INTEGER_free(number);
    return id;
}

struct question {
    OCSP_REQUEST *q;
    OCSP_CERTID *id[8]; /* in it */
    int n;
    struct ocsp_answer answer;
    OCSP_BASICRESP *basic;
};

static struct question question(void)
{
    return (struct question){.q = OCSP_REQUEST_new()};
}

static void about(struct question *x, const EVP_MD *md, const X509 *issuer, unsigned serial)
{
    x->id[x->n] = certid(md, issuer, serial);
    ck_assert_ptr_nonnull(OCSP_request_add0_id(x->q, x->id[x->n]));
    x->n++;
}

static void done(struct question *x)
{
    OCSP_REQUEST_free(x->q);
    OCSP_BASICRESP_free(x->basic);
    ocsp_answer_clear(&x->answer);
}

static void prepare(struct question *x, const struct authority *only)
{
    unsigned char *der = NULL;
    int n = i2d_OCSP_REQUEST(x->q, &der);
    struct ocsp_request r;
    ck_assert_int_gt(n, 0);
    ck_assert_msg(ocsp_request_parse(view_of(der, (size_t)n), OCSP_MAX_IDS, &r, &err), "%s",
                  err.text);
    ocsp_answer_prepare(store, issuers, only, &rules, &r, now, &x->answer);
    ocsp_request_clear(&r);
    OPENSSL_free(der); /* not needed afterwards */
}

static void sign(struct question *x)
{
    struct ocsp_answer *all[] = {&x->answer};
    ocsp_answers_sign(signer, all, 1);
}

static OCSP_RESPONSE *response(const struct ocsp_answer *a)
{
    const unsigned char *p = a->response.p;
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)a->response.n);
    ck_assert_ptr_nonnull(r);
    ck_assert_ptr_eq(p, a->response.p + a->response.n);
    ck_assert_int_eq(OCSP_response_status(r), (int)a->status);
    ck_assert_uint_eq(a->data.n, 0);
    return r;
}

/* A signed answer by the delegate, which alone is in it, for the CA alone that is trusted. */
static void expect_answer(struct question *x)
{
    prepare(x, NULL);
    sign(x);
    ck_assert_msg(x->answer.status == OCSP_SUCCESSFUL, "%s: %s", ocsp_status_name(x->answer.status),
                  x->answer.err.text);
    OCSP_RESPONSE *r = response(&x->answer);
    x->basic = OCSP_response_get1_basic(r);
    ck_assert_ptr_nonnull(x->basic);
    ck_assert_int_eq(OCSP_basic_verify(x->basic, NULL, trust, 0), 1);
    ck_assert_int_eq(sk_X509_num(OCSP_resp_get0_certs(x->basic)), 1);
    ck_assert_int_eq(OCSP_resp_count(x->basic), x->n);
    OCSP_RESPONSE_free(r);
}

static void expect_error(struct question *x, const struct authority *only, enum ocsp_status status)
{
    prepare(x, only);
    sign(x);
    ck_assert_int_eq(x->answer.status, status);
    ck_assert_uint_eq(x->answer.response.n, OCSP_ERROR_SIZE);
    OCSP_RESPONSE_free(response(&x->answer));
    ck_assert(!x->answer.keep);
    done(x);
}

static int64_t unix_time(const ASN1_GENERALIZEDTIME *t)
{
    struct tm tm;
    ck_assert_int_eq(t->length, 15); /* no fractions */
    ck_assert_int_eq(ASN1_TIME_to_tm(t, &tm), 1);
    return timegm(&tm);
}

struct told {
    int status, reason;
    int64_t revoked, this, next, produced, cutoff;
};

/* What was said about the i-th certificate asked about. */
static struct told told(struct question *x, int i)
{
    struct told t = {.status = -1};
    ASN1_GENERALIZEDTIME *revoked = NULL, *this = NULL, *next = NULL;
    ck_assert_int_eq(OCSP_id_cmp(OCSP_SINGLERESP_get0_id(OCSP_resp_get0(x->basic, i)), x->id[i]),
                     0);
    t.status =
        OCSP_single_get0_status(OCSP_resp_get0(x->basic, i), &t.reason, &revoked, &this, &next);
    t.revoked = revoked ? unix_time(revoked) : 0;
    t.this = unix_time(this);
    t.next = unix_time(next);
    t.produced = unix_time(OCSP_resp_get0_produced_at(x->basic));
    ASN1_GENERALIZEDTIME *cutoff = OCSP_SINGLERESP_get1_ext_d2i(
        OCSP_resp_get0(x->basic, i), NID_id_pkix_OCSP_archiveCutoff, NULL, NULL);
    t.cutoff = cutoff ? unix_time(cutoff) : 0;
    ASN1_GENERALIZEDTIME_free(cutoff);
    /* thisUpdate <= producedAt <= now < nextUpdate */
    ck_assert(t.this <= t.produced && t.produced == now && now < t.next);
    ck_assert_int_eq(OCSP_check_validity(this, next, 300, -1), 1);
    return t;
}

static struct told ask(unsigned serial)
{
    struct question x = question();
    about(&x, EVP_sha1(), ca_cert, serial);
    expect_answer(&x);
    struct told t = told(&x, 0);
    ck_assert_int_eq(x.answer.this_update, t.this);
    ck_assert_int_eq(x.answer.next_update, t.next);
    ck_assert_int_eq((int)x.answer.said, t.status);
    done(&x);
    return t;
}

/* ---- states ---- */

START_TEST(good)
{
    put(0x4001, now - DAY, now + DAY);
    struct told t = ask(0x4001);
    ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_GOOD);
    ck_assert_int_eq(t.this, now - 300);
    ck_assert_int_eq(t.next, now + HOUR);
    ck_assert_int_eq(t.cutoff, 0);
}
END_TEST

START_TEST(every_hash)
{
    const EVP_MD *const hashes[] = {EVP_sha1(), EVP_sha256(), EVP_sha384(), EVP_sha512()};
    put(0x4001, now - DAY, now + DAY);
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        struct question x = question();
        about(&x, hashes[i], ca_cert, 0x4001);
        expect_answer(&x);
        ck_assert_int_eq(told(&x, 0).status, V_OCSP_CERTSTATUS_GOOD);
        ck_assert(x.answer.keep);
        done(&x);
    }
    struct question x = question();
    about(&x, EVP_sha224(), ca_cert, 0x4001);
    expect_error(&x, NULL, OCSP_UNAUTHORIZED);
}
END_TEST

START_TEST(revoked)
{
    static const enum crl_reason reasons[] = {
        CRL_UNSPECIFIED, CRL_KEY_COMPROMISE, CRL_CA_COMPROMISE, CRL_AFFILIATION_CHANGED,
        CRL_SUPERSEDED,  CRL_CESSATION,      CRL_HOLD,          CRL_PRIVILEGE_WITHDRAWN};
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        revoke_cert(put(0x4100 + i, now - DAY, now + DAY), reasons[i], now - 1000);
        struct told t = ask(0x4100 + i);
        ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_REVOKED);
        ck_assert_int_eq(t.reason, reasons[i] == CRL_UNSPECIFIED ? -1 : (int)reasons[i]);
        ck_assert_int_eq(t.revoked, now - 1000);
        ck_assert_int_eq(t.next, now + (reasons[i] == CRL_HOLD ? HOUR / 2 : DAY));
    }
}
END_TEST

/* thisUpdate is not before what is told came about. */
START_TEST(not_backdated_too_far)
{
    uint64_t id = put(0x4001, now - 10, now + DAY);
    ck_assert_int_eq(ask(0x4001).this, now - 10);
    revoke_cert(id, CRL_KEY_COMPROMISE, now - 5);
    ck_assert_int_eq(ask(0x4001).this, now - 5);
    revoke_cert(put(0x4002, now - DAY, now + DAY), CRL_KEY_COMPROMISE,
                now + 100); /* clocks differ */
    struct told t = ask(0x4002);
    ck_assert_int_eq(t.this, now);
    ck_assert_int_eq(t.revoked, now + 100);
}
END_TEST

START_TEST(held_and_released)
{
    uint64_t id = put(0x4001, now - DAY, now + DAY);
    revoke_cert(id, CRL_HOLD, now - 20);
    ck_assert_int_eq(ask(0x4001).reason, CRL_HOLD);
    struct store_write *w = begin();
    ck_assert(store_cert_release(w, id, &err));
    commit(w);
    struct told t = ask(0x4001);
    ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_GOOD);
    ck_assert_int_eq(t.this, now); /* nobody knows when: it is not dated back into the hold */
}
END_TEST

START_TEST(renewed_stands_still)
{
    uint64_t old = put(0x4001, now - DAY, now + DAY), new = put(0x4002, now - 5, now + DAY);
    struct store_write *w = begin();
    ck_assert(store_cert_renewed(w, old, new, &err));
    commit(w);
    ck_assert_int_eq(ask(0x4001).status, V_OCSP_CERTSTATUS_GOOD);
}
END_TEST

START_TEST(known_by_its_revocation)
{
    revoke_serial(0x4001, CRL_SUPERSEDED, now - 77, now + DAY);
    struct told t = ask(0x4001);
    ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_REVOKED);
    ck_assert_int_eq(t.reason, CRL_SUPERSEDED);
    ck_assert_int_eq(t.revoked, now - 77);
    revoke_serial(0x4002, CRL_HOLD, now - 77, now + DAY);
    ck_assert_int_eq(ask(0x4002).reason, CRL_HOLD);
}
END_TEST

START_TEST(not_begun)
{
    put(0x4001, now + HOUR, now + DAY);
    struct told t = ask(0x4001);
    ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_GOOD);
    ck_assert_int_eq(t.this, now);
}
END_TEST

/* RFC 6960 section 4.4.4 */
START_TEST(ended)
{
    uint64_t id = put(0x4001, now - 90 * DAY, now - 30 * DAY);
    put(0x4002, now - 90 * DAY, now - 30 * DAY - 1);
    revoke_cert(id, CRL_KEY_COMPROMISE, now - 40 * DAY);
    struct told t = ask(0x4001);
    ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_REVOKED);
    ck_assert_int_eq(t.cutoff, 0);
    rules.archive_cutoff = true;
    ck_assert_int_eq(ask(0x4001).cutoff, now - 30 * DAY);
    struct question x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4002);
    expect_error(&x, NULL, OCSP_UNAUTHORIZED);
    revoke_serial(0x4003, CRL_SUPERSEDED, now - 80 * DAY, now - 31 * DAY);
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4003);
    expect_error(&x, NULL, OCSP_UNAUTHORIZED);
    rules.retention = 0; /* told of until its last second */
    put(0x4004, now - DAY, now);
    ck_assert_int_eq(ask(0x4004).status, V_OCSP_CERTSTATUS_GOOD);
    put(0x4005, now - DAY, now - 1);
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4005);
    expect_error(&x, NULL, OCSP_UNAUTHORIZED);
}
END_TEST

static bool extended_revoke(OCSP_BASICRESP *basic)
{
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.48.1.9", 1);
    int at = OCSP_BASICRESP_get_ext_by_OBJ(basic, oid, -1);
    ASN1_OBJECT_free(oid);
    if (at < 0)
        return false;
    X509_EXTENSION *x = OCSP_BASICRESP_get_ext(basic, at);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(x);
    ck_assert_int_eq(X509_EXTENSION_get_critical(x), 0);
    ck_assert_int_eq(ASN1_STRING_length(value), 2);
    ck_assert_mem_eq(ASN1_STRING_get0_data(value), "\x05\x00", 2);
    return true;
}

/* RFC 6960 section 2.2 */
START_TEST(never_issued)
{
    struct question x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4999);
    expect_answer(&x);
    ck_assert_int_eq(told(&x, 0).status, V_OCSP_CERTSTATUS_UNKNOWN);
    ck_assert_int_eq(OCSP_BASICRESP_get_ext_count(x.basic), 0);
    ck_assert(!x.answer.keep);
    done(&x);

    rules.unissued = OCSP_UNISSUED_UNAUTHORIZED;
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4999);
    expect_error(&x, NULL, OCSP_UNAUTHORIZED);

    rules.unissued = OCSP_UNISSUED_REVOKED;
    rules.archive_cutoff = true;
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4999);
    expect_answer(&x);
    struct told t = told(&x, 0);
    ck_assert_int_eq(t.status, V_OCSP_CERTSTATUS_REVOKED);
    ck_assert_int_eq(t.revoked, 0);
    ck_assert_int_eq(t.reason, CRL_HOLD);
    ck_assert_int_eq(t.cutoff, 0);
    ck_assert(extended_revoke(x.basic));
    ck_assert(!x.answer.keep);
    done(&x);
}
END_TEST

/* Certificates that no store has: its RA's, its responder's. */
START_TEST(its_own)
{
    const struct cert *own[] = {ca.authority->ra, ca.authority->ocsp.cert};
    for (size_t i = 0; i < 2; i++) {
        struct question x = question();
        const unsigned char *p = own[i]->der.p;
        X509 *cert = d2i_X509(NULL, &p, (long)own[i]->der.n);
        x.id[0] = OCSP_cert_to_id(EVP_sha256(), cert, ca_cert);
        OCSP_request_add0_id(x.q, x.id[0]);
        x.n = 1;
        expect_answer(&x);
        ck_assert_int_eq(told(&x, 0).status, V_OCSP_CERTSTATUS_GOOD);
        ck_assert(x.answer.keep);
        struct store_cert_status s;
        ck_assert(store_cert_status(store, ca.authority->key_id, own[i]->serial, &s, &err));
        ck_assert(ocsp_basis_same(&x.answer.basis, &s));
        struct store_write *w = begin(); /* until somebody says otherwise */
        struct store_revoked r = {.serial_len = own[i]->serial.n,
                                  .revoked_at = now,
                                  .not_after = own[i]->not_after,
                                  .reason = CRL_KEY_COMPROMISE};
        memcpy(r.serial, own[i]->serial.p, r.serial_len);
        ck_assert(store_serial_revoke(w, ca.authority->key_id, &r, &err));
        commit(w);
        ck_assert(store_cert_status(store, ca.authority->key_id, own[i]->serial, &s, &err));
        ck_assert(!ocsp_basis_same(&x.answer.basis, &s));
        OCSP_BASICRESP_free(x.basic);
        ocsp_answer_clear(&x.answer);
        expect_answer(&x);
        ck_assert_int_eq(told(&x, 0).status, V_OCSP_CERTSTATUS_REVOKED);
        done(&x);
        X509_free(cert);
    }
}
END_TEST

/* ---- whose ---- */

/* A certificate with the CA's name and another key, or its key and another name. */
static X509 *stranger(bool same_name)
{
    X509 *x = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_NAME *name = X509_NAME_new();
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"Other", -1, -1, 0);
    X509_set_subject_name(x, same_name ? X509_get_subject_name(ca_cert) : name);
    X509_set_pubkey(x, same_name ? key : X509_get0_pubkey(ca_cert));
    X509_NAME_free(name);
    EVP_PKEY_free(key);
    return x;
}

START_TEST(foreign)
{
    put(0x4001, now - DAY, now + DAY);
    for (int same_name = 0; same_name < 2; same_name++) {
        X509 *other = stranger(same_name);
        struct question x = question();
        about(&x, EVP_sha1(), other, 0x4001);
        about(&x, EVP_sha256(), other, 0x4001);
        expect_error(&x, NULL, OCSP_UNAUTHORIZED);

        x = question(); /* one of ours among them: all are answered */
        about(&x, EVP_sha1(), other, 0x4001);
        about(&x, EVP_sha256(), ca_cert, 0x4001);
        about(&x, EVP_sha512(), other, 0x4001);
        prepare(&x, NULL);
        sign(&x);
        OCSP_RESPONSE *r = response(&x.answer);
        x.basic = OCSP_response_get1_basic(r);
        OCSP_RESPONSE_free(r);
        ck_assert_int_eq(told(&x, 0).status, V_OCSP_CERTSTATUS_UNKNOWN);
        ck_assert_int_eq(told(&x, 1).status, V_OCSP_CERTSTATUS_GOOD);
        ck_assert_int_eq(told(&x, 2).status, V_OCSP_CERTSTATUS_UNKNOWN);
        ck_assert(!x.answer.keep);
        done(&x);
        X509_free(other);
    }
}
END_TEST

START_TEST(several_in_order)
{
    put(0x4001, now - DAY, now + DAY);
    revoke_cert(put(0x4002, now - DAY, now + DAY), CRL_CESSATION, now - 50);
    put(0x4003, now - 90 * DAY, now - 31 * DAY);
    struct question x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4002);
    about(&x, EVP_sha256(), ca_cert, 0x4001);
    about(&x, EVP_sha1(), ca_cert, 0x4002); /* again */
    about(&x, EVP_sha1(), ca_cert, 0x4999);
    about(&x, EVP_sha1(), ca_cert, 0x4003); /* not told of any more */
    expect_answer(&x);
    static const int expected[] = {V_OCSP_CERTSTATUS_REVOKED, V_OCSP_CERTSTATUS_GOOD,
                                   V_OCSP_CERTSTATUS_REVOKED, V_OCSP_CERTSTATUS_UNKNOWN,
                                   V_OCSP_CERTSTATUS_UNKNOWN};
    int64_t next = INT64_MAX, this = 0;
    for (int i = 0; i < 5; i++) {
        struct told t = told(&x, i);
        ck_assert_int_eq(t.status, expected[i]);
        next = t.next < next ? t.next : next;
        this = t.this > this ? t.this : this;
    }
    ck_assert_int_eq(x.answer.next_update, next);
    ck_assert_int_eq(x.answer.this_update, this);
    ck_assert(!x.answer.keep);
    done(&x);
}
END_TEST

START_TEST(only_one_authority)
{
    struct authority other = *ca.authority; /* nobody asks about it */
    struct question x = question();
    put(0x4001, now - DAY, now + DAY);
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_error(&x, &other, OCSP_UNAUTHORIZED);
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    prepare(&x, ca.authority);
    ck_assert_int_eq(x.answer.status, OCSP_SUCCESSFUL);
    ck_assert_ptr_eq(x.answer.authority, ca.authority);
    done(&x);
}
END_TEST

START_TEST(nonces)
{
    uint8_t value[128];
    memset(value, 7, sizeof value);
    put(0x4001, now - DAY, now + DAY);
    for (int n = 1; n <= 128; n += n < 4 ? 1 : 31) {
        struct question x = question();
        about(&x, EVP_sha1(), ca_cert, 0x4001);
        OCSP_request_add1_nonce(x.q, value, n);
        expect_answer(&x);
        ck_assert_int_eq(OCSP_check_nonce(x.q, x.basic), 1);
        ck_assert_int_eq(OCSP_BASICRESP_get_ext_count(x.basic), 1);
        ck_assert(!x.answer.keep);
        done(&x);
    }
}
END_TEST

/* ---- delegates ---- */

static void with_delegate(const char *kind, int64_t from, int64_t to)
{
    signer_free(signer);
    ca_fixture_delegate(&ca, kind, from, to);
    ck_assert_msg(signer_local(ca.spec, &signer, &err), "%s", err.text);
    ocsp_issuers_free(issuers);
    const struct authority *all[] = {ca.authority};
    ck_assert(ocsp_issuers_new(all, 1, &issuers, &err));
}

/* In a process of its own each: the authority is shared. */
START_TEST(other_keys)
{
    static const struct {
        const char *kind;
        int nid;
    } kinds[] = {{"rsa2048", NID_sha256WithRSAEncryption}, {"p384", NID_ecdsa_with_SHA384}};
    put(0x4001, now - DAY, now + DAY);
    with_delegate(kinds[_i].kind, now - HOUR, now + DAY);
    struct question x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_answer(&x);
    ck_assert_int_eq(OBJ_obj2nid(OCSP_resp_get0_tbs_sigalg(x.basic)->algorithm), kinds[_i].nid);
    done(&x);
}
END_TEST

START_TEST(never_outlives_its_signer)
{
    put(0x4001, now - DAY, now + DAY);
    with_delegate("p256", now - HOUR, now + 1000);
    ck_assert_int_eq(ask(0x4001).next, now + 1000);
    struct question x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    now += 1000;
    expect_error(&x, NULL, OCSP_TRY_LATER);
    now -= HOUR + 2000;
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_error(&x, NULL, OCSP_TRY_LATER); /* not begun */
}
END_TEST

START_TEST(without_delegate)
{
    struct question x = question();
    struct ocsp_delegate delegate = ca.authority->ocsp;
    put(0x4001, now - DAY, now + DAY);
    ca.authority->ocsp.key = -1;
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_error(&x, NULL, OCSP_TRY_LATER);
    ca.authority->ocsp.cert = NULL;
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_error(&x, NULL, OCSP_UNAUTHORIZED);
    ck_assert_int_eq(ocsp_authority_ready(ca.authority, now), OCSP_UNAUTHORIZED);
    ca.authority->ocsp.renewable = true; /* there should be one, and another is made */
    snprintf(ca.authority->ocsp.fault, sizeof ca.authority->ocsp.fault, "it is damaged");
    ck_assert_int_eq(ocsp_authority_ready(ca.authority, now), OCSP_TRY_LATER);
    ca.authority->ocsp = delegate;
    ck_assert_int_eq(ocsp_authority_ready(ca.authority, now), OCSP_SUCCESSFUL);
    ck_assert_int_eq(ocsp_authority_ready(ca.authority, ca.authority->cert->not_after),
                     OCSP_UNAUTHORIZED);
}
END_TEST

/* ---- many at once ---- */

#define MANY 40

static void prepare_many(struct question *x, struct ocsp_answer **all)
{
    for (unsigned i = 0; i < MANY; i++) {
        put(0x5000 + i, now - DAY, now + DAY);
        x[i] = question();
        about(&x[i], EVP_sha1(), ca_cert, 0x5000 + i);
        prepare(&x[i], NULL);
        all[i] = &x[i].answer;
    }
}

START_TEST(many_in_few_packets)
{
    struct question x[MANY];
    struct ocsp_answer *all[MANY];
    prepare_many(x, all);
    ocsp_answers_sign(signer, all, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        OCSP_RESPONSE *r = response(all[i]);
        x[i].basic = OCSP_response_get1_basic(r);
        ck_assert_int_eq(OCSP_basic_verify(x[i].basic, NULL, trust, 0), 1);
        ck_assert_int_eq(told(&x[i], 0).status, V_OCSP_CERTSTATUS_GOOD);
        OCSP_RESPONSE_free(r);
        done(&x[i]);
    }
}
END_TEST

/* What the signer does not want costs the others nothing. */
START_TEST(one_refused_among_many)
{
    struct question x[MANY];
    struct ocsp_answer *all[MANY];
    prepare_many(x, all);
    all[3]->data.p[all[3]->data.n - 1] ^= 0x80;
    all[20]->data.p[0] = DER_SET;
    ocsp_answers_sign(signer, all, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        bool bad = i == 3 || i == 20;
        ck_assert_int_eq(all[i]->status, bad ? OCSP_TRY_LATER : OCSP_SUCCESSFUL);
        ck_assert_int_eq(all[i]->err.kind, bad ? ERR_SIGNER : ERR_NONE);
        OCSP_RESPONSE_free(response(all[i]));
        done(&x[i]);
    }
}
END_TEST

START_TEST(signer_gone)
{
    struct question x[MANY];
    struct ocsp_answer *all[MANY];
    struct signer_process *process = NULL;
    ck_assert_msg(signer_start(ca.spec, 1, NULL, &process, &err), "%s", err.text);
    ck_assert_int_eq(kill(signer_pid(process), SIGKILL), 0);
    prepare_many(x, all);
    ocsp_answers_sign(signer_lane(process, 0), all, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_int_eq(all[i]->status, OCSP_TRY_LATER);
        OCSP_RESPONSE_free(response(all[i]));
        done(&x[i]);
    }
    signer_stop(process);
}
END_TEST

/* ---- is it still true? ---- */

START_TEST(still_true)
{
    uint64_t id = put(0x4001, now - DAY, now + DAY), newer = put(0x4002, now, now + DAY);
    struct question x = question();
    const struct view serial = view_of("\x40\x01", 2);
    struct store_cert_status s;
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_answer(&x);
    ck_assert(x.answer.keep);
    struct ocsp_basis basis = x.answer.basis;
    ck_assert_uint_eq(basis.generation, 0);
    done(&x);

    revoke_cert(newer, CRL_SUPERSEDED,
                now); /* another one: the generation moves, the answer stands */
    ck_assert(store_cert_status(store, ca.authority->key_id, serial, &s, &err));
    ck_assert_uint_eq(s.generation, 1);
    ck_assert(ocsp_basis_same(&basis, &s));
    struct store_write *w = begin();
    ck_assert(store_cert_renewed(w, id, newer, &err));
    commit(w);
    ck_assert(store_cert_status(store, ca.authority->key_id, serial, &s, &err));
    ck_assert(ocsp_basis_same(&basis, &s));

    revoke_cert(id, CRL_HOLD, now - 5);
    ck_assert(store_cert_status(store, ca.authority->key_id, serial, &s, &err));
    ck_assert(!ocsp_basis_same(&basis, &s));
    x = question();
    about(&x, EVP_sha1(), ca_cert, 0x4001);
    expect_answer(&x);
    basis = x.answer.basis;
    ck_assert(ocsp_basis_same(&basis, &s));
    done(&x);
    revoke_cert(id, CRL_KEY_COMPROMISE, now - 5);
    ck_assert(store_cert_status(store, ca.authority->key_id, serial, &s, &err));
    ck_assert(!ocsp_basis_same(&basis, &s));
    s.state = CERT_HELD;
    s.reason = CRL_HOLD;
    ck_assert(ocsp_basis_same(&basis, &s));
    s.revoked_at++;
    ck_assert(!ocsp_basis_same(&basis, &s));
    s.known = false;
    ck_assert(!ocsp_basis_same(&basis, &s));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/ocsp");
    TCase *c = tcase_create("ocsp");
    tcase_set_timeout(c, 120);
    tcase_add_unchecked_fixture(c, authority_make, authority_free_all);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, good);
    tcase_add_test(c, every_hash);
    tcase_add_test(c, revoked);
    tcase_add_test(c, not_backdated_too_far);
    tcase_add_test(c, held_and_released);
    tcase_add_test(c, renewed_stands_still);
    tcase_add_test(c, known_by_its_revocation);
    tcase_add_test(c, not_begun);
    tcase_add_test(c, ended);
    tcase_add_test(c, never_issued);
    tcase_add_test(c, its_own);
    tcase_add_test(c, foreign);
    tcase_add_test(c, several_in_order);
    tcase_add_test(c, only_one_authority);
    tcase_add_test(c, nonces);
    tcase_add_loop_test(c, other_keys, 0, 2);
    tcase_add_test(c, never_outlives_its_signer);
    tcase_add_test(c, without_delegate);
    tcase_add_test(c, many_in_few_packets);
    tcase_add_test(c, one_refused_among_many);
    tcase_add_test(c, signer_gone);
    tcase_add_test(c, still_true);
    suite_add_tcase(s, c);
    return check_main(s);
}
