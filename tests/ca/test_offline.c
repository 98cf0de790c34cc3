/* What a root elsewhere has signed, read: whole, cut anywhere, altered anywhere.  How it is served
 * and what else is refused: tests/scepd/test_offline_root.py. */
#include "ca/offline.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "ca_fixture.h"
#include "check_main.h"

#define DAY INT64_C(86400)

static struct ca_fixture f;
static struct err err;
static X509 *root, *ca;
static EVP_PKEY *root_key;
static const struct cert *issuers[2];
static int64_t now;

static EVP_PKEY *key_of(const char *name)
{
    FILE *in = fopen(ca_fixture_path(&f, name), "r");
    EVP_PKEY *key = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;
    ck_assert_ptr_nonnull(key);
    fclose(in);
    return key;
}

static X509 *x509_of(const struct cert *c)
{
    const unsigned char *p = c->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
    ck_assert_ptr_nonnull(x);
    return x;
}

static void setup(void)
{
    ca_fixture_plan(&f);
    f.plan.root_key = "p256";
    ca_fixture_init(&f);
    ck_assert_msg(ca_fixture_load(&f, &err), "%s", err.text);
    err = (struct err){0};
    issuers[0] = f.authority->ra; /* of no use, and in the way of nothing */
    issuers[1] = f.authority->chain[0];
    root = x509_of(f.authority->chain[0]);
    ca = x509_of(f.authority->cert);
    root_key = key_of("keys/root.key");
    now = f.plan.now;
}

static void teardown(void)
{
    X509_free(root);
    X509_free(ca);
    EVP_PKEY_free(root_key);
    ca_fixture_clear(&f);
}

/* By the root, with this number (-1: none), good for ten days. */
static struct buf crl_make(long number)
{
    struct buf out = {0};
    unsigned char *der = NULL;
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_set(NULL, now - 60);
    ck_assert(X509_CRL_set_version(crl, 1) &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(root)) &&
              X509_CRL_set1_lastUpdate(crl, t));
    ASN1_TIME_set(t, now + 10 * DAY);
    ck_assert(X509_CRL_set1_nextUpdate(crl, t));
    ASN1_TIME_free(t);
    if (number >= 0) {
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        ck_assert(ASN1_INTEGER_set(n, number) &&
                  X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0) == 1);
        ASN1_INTEGER_free(n);
    }
    ck_assert_int_gt(X509_CRL_sign(crl, root_key, EVP_sha256()), 0);
    int n = i2d_X509_CRL(crl, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return out;
}

/* About the issuing CA, by both hashes, signed by the root itself, without its certificate. */
static struct buf answer_make(void)
{
    struct buf out = {0};
    unsigned char *der = NULL;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *from = ASN1_GENERALIZEDTIME_set(NULL, now - 60),
              *to = ASN1_GENERALIZEDTIME_set(NULL, now + 10 * DAY);
    const EVP_MD *digests[] = {EVP_sha1(), EVP_sha256()};
    for (size_t i = 0; i < 2; i++) {
        OCSP_CERTID *id = OCSP_cert_to_id(digests[i], ca, root);
        ck_assert(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to) !=
                  NULL);
        OCSP_CERTID_free(id);
    }
    ck_assert_int_eq(OCSP_basic_sign(basic, root, root_key, EVP_sha256(), NULL, OCSP_NOCERTS), 1);
    OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int n = i2d_OCSP_RESPONSE(r, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return out;
}

static bool crl_taken(struct view file, struct store_offline *out)
{
    size_t by = 99;
    err = (struct err){0};
    bool ok = offline_crl_read(issuers, 2, file, now, out, &by, &err);
    if (ok)
        ck_assert_uint_eq(by, 1);
    else
        ck_assert_int_eq(err.kind, ERR_CONFIG);
    return ok;
}

static bool answer_taken(struct view file)
{
    struct offline_answers a;
    err = (struct err){0};
    bool ok = offline_ocsp_read(issuers, 2, file, now, &a, &err);
    if (ok)
        offline_answers_clear(&a);
    else
        ck_assert_int_eq(err.kind, ERR_CONFIG);
    return ok;
}

START_TEST(a_crl)
{
    struct store_offline o;
    struct buf der = crl_make(7);
    ck_assert_msg(crl_taken(buf_view(&der), &o), "%s", err.text);
    ck_assert_int_eq(o.kind, STORE_OFFLINE_CRL);
    ck_assert_int_eq(o.number, 7);
    ck_assert_int_eq(o.this_update, now - 60);
    ck_assert_int_eq(o.next_update, now + 10 * DAY);
    ck_assert(view_eq(buf_view(&o.der), buf_view(&der)));
    struct pubkey key;
    ck_assert(pubkey_parse(issuers[1]->spki, &key, &err));
    ck_assert_mem_eq(o.id, key.sha256, sizeof o.id);
    store_offline_clear(&o);
    buf_clear(&der);
    der = crl_make(-1);
    ck_assert_msg(crl_taken(buf_view(&der), &o), "%s", err.text);
    ck_assert_int_eq(o.number, -1);
    store_offline_clear(&o);
    now += 10 * DAY; /* its last second is over */
    ck_assert(!crl_taken(buf_view(&der), &o));
    ck_assert_ptr_nonnull(strstr(err.text, "has ended"));
    now -= 11 * DAY;
    ck_assert(!crl_taken(buf_view(&der), &o));
    ck_assert_ptr_nonnull(strstr(err.text, "it begins on"));
    buf_clear(&der);
}
END_TEST

/* RFC 6960 section 4.1.1: found by either hash. */
START_TEST(an_answer)
{
    struct offline_answers a;
    struct buf der = answer_make();
    ck_assert_msg(offline_ocsp_read(issuers, 2, buf_view(&der), now, &a, &err), "%s", err.text);
    ck_assert_uint_eq(a.n, 2);
    ck_assert_uint_eq(a.by, 1);
    ck_assert_ptr_nonnull(strstr(a.about[0], ": good"));
    const enum digest digests[] = {DIGEST_SHA1, DIGEST_SHA256};
    for (size_t i = 0; i < 2; i++) {
        uint8_t name[64], hash[64], id[STORE_HASH];
        struct pubkey key;
        ck_assert(pubkey_parse(issuers[1]->spki, &key, &err) &&
                  digest_compute(digests[i], issuers[1]->subject, name, &err) &&
                  digest_compute(digests[i], key.bits_content, hash, &err));
        size_t n = digest_size(digests[i]);
        const struct offline_asked asked = {digests[i], view_of(name, n), view_of(hash, n),
                                            f.authority->cert->serial};
        ck_assert(offline_asked_id(&asked, id, &err));
        ck_assert_mem_eq(a.answer[i].id, id, sizeof id);
        ck_assert_uint_eq(a.answer[i].said, 0);
        ck_assert_int_eq(a.answer[i].next_update, now + 10 * DAY);
        ck_assert(view_eq(buf_view(&a.answer[i].der), buf_view(&der)));
    }
    offline_answers_clear(&a);
    buf_clear(&der);
}
END_TEST

/* Cut or altered anywhere: refused, for a signature is over all of it. */
START_TEST(hostile_crls)
{
    struct store_offline o;
    struct buf der = crl_make(7);
    for (size_t n = 0; n < der.n; n++)
        ck_assert(!crl_taken(view_of(der.p, n), &o));
    for (size_t i = 0; i < der.n; i++)
        for (unsigned bit = 0; bit < 8; bit += 7) {
            der.p[i] ^= (uint8_t)(1u << bit);
            if (crl_taken(buf_view(&der), &o)) {
                ck_assert_msg(0, "octet %zu, bit %u", i, bit);
                store_offline_clear(&o);
            }
            der.p[i] ^= (uint8_t)(1u << bit);
        }
    ck_assert(buf_append(&der, "x", 1));
    ck_assert(!crl_taken(buf_view(&der), &o));
    buf_clear(&der);
}
END_TEST

START_TEST(hostile_answers)
{
    struct buf der = answer_make();
    ck_assert_msg(answer_taken(buf_view(&der)), "%s", err.text);
    for (size_t n = 0; n < der.n; n++)
        ck_assert(!answer_taken(view_of(der.p, n)));
    for (size_t i = 0; i < der.n; i++)
        for (unsigned bit = 0; bit < 8; bit += 7) {
            der.p[i] ^= (uint8_t)(1u << bit);
            ck_assert_msg(!answer_taken(buf_view(&der)), "octet %zu, bit %u", i, bit);
            der.p[i] ^= (uint8_t)(1u << bit);
        }
    ck_assert(buf_append(&der, "x", 1));
    ck_assert(!answer_taken(buf_view(&der)));
    buf_clear(&der);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/offline");
    TCase *tc = tcase_create("offline");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_crl);
    tcase_add_test(tc, an_answer);
    tcase_add_test(tc, hostile_crls);
    tcase_add_test(tc, hostile_answers);
    suite_add_tcase(s, tc);
    return check_main(s);
}
