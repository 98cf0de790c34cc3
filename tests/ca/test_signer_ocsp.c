#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ca_fixture.h"
#include "check_main.h"
#include "pkcs7/tlv.h"
#include "signer_internal.h"

/* A front that was taken over asks for OCSP answers that nobody must ever see: each is refused, by
 * either kind of signer, and the next good one is signed. */

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)

static struct ca_fixture f; /* P-256 CA, RSA-2048 RA, P-256 responder; made once */
static struct signer *local;
static struct signer_process *process;
static struct signer *kinds[2];
static struct err err;
static int64_t now;

static void make_once(void)
{
    ca_fixture_make(&f);
    ca_fixture_delegate(&f, "p256", time(NULL) - HOUR, time(NULL) + DAY);
}

static void remove_once(void)
{
    ca_fixture_clear(&f);
}

static void start(void)
{
    ck_assert_msg(signer_start(f.spec, 1, NULL, &process, &err), "%s", err.text);
    ck_assert_msg(signer_local(f.spec, &local, &err), "%s", err.text);
    kinds[0] = local;
    kinds[1] = signer_lane(process, 0);
}

static void setup(void)
{
    err = (struct err){0};
    now = time(NULL);
    start();
}

static void stop(void)
{
    signer_stop(process);
    signer_free(local);
}

static void teardown(void)
{
    stop();
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static unsigned key_of(void)
{
    return (unsigned)f.authority->ocsp.key;
}

/* ---- answers to change ---- */

struct plan {
    struct responder responder;
    struct ocsp_single single[3];
    struct ocsp_data data;
};

/* CertID with SHA-1 hashes of nobody. */
static const uint8_t id[] = {
    0x30, 0x3a, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    16,   17,   18,   19,   20,   0x04, 0x14, 1,    2,    3,    4,    5,    6,    7,    8,
    9,    10,   11,   12,   13,   14,   15,   16,   17,   18,   19,   20,   0x02, 0x01, 0x05};

static void plan_make(struct plan *p)
{
    *p = (struct plan){.data = {.produced_at = now, .n = 1, .nonce = view_str("12345678")}};
    ck_assert(responder_read(f.authority->ocsp.cert, &p->responder, &err));
    for (size_t i = 0; i < 3; i++)
        p->single[i] = (struct ocsp_single){
            .id = view_of(id, sizeof id), .this_update = now - 300, .next_update = now + HOUR};
    p->data.responder_key = view_of(p->responder.key_hash, OCSP_KEY_HASH);
    p->data.single = p->single;
}

static struct buf plan_build(const struct plan *p)
{
    struct buf out = {0};
    ck_assert_msg(ocsp_data_build(&p->data, &out, &err), "%s", err.text);
    return out;
}

static void sign_good(struct signer *s)
{
    struct plan p;
    struct buf signature = {0};
    plan_make(&p);
    struct buf data = plan_build(&p);
    struct view v = buf_view(&data);
    ck_assert_msg(signer_sign_ocsp(s, key_of(), &v, 1, &signature, &err), "%s", err.text);
    ck_assert(signed_by(f.authority->ocsp.cert, p.responder.alg, v, buf_view(&signature)));
    buf_clear(&data);
    buf_clear(&signature);
}

static void refused(struct signer *s, bool done, const struct err *e, const char *text)
{
    ck_assert(!done);
    ck_assert_msg(e->kind == ERR_SIGNER && strstr(e->text, text), "%s: %s", err_kind_name(e->kind),
                  e->text);
    sign_good(s);
}

static void refuse_data(struct signer *s, struct view data, const char *text)
{
    struct err e = {0};
    struct buf signature = {0};
    refused(s, signer_sign_ocsp(s, key_of(), &data, 1, &signature, &e), &e, text);
    ck_assert_ptr_null(signature.p);
}

static void refuse_plan(struct signer *s, const struct plan *p, const char *text)
{
    struct buf data = plan_build(p);
    refuse_data(s, buf_view(&data), text);
    buf_clear(&data);
}

/* ---- tests ---- */

START_TEST(good)
{
    struct plan p;
    struct buf data[SIGNER_MAX_BATCH], signature[SIGNER_MAX_BATCH] = {{0}};
    struct view v[SIGNER_MAX_BATCH];
    for (size_t i = 0; i < SIGNER_MAX_BATCH; i++) {
        plan_make(&p);
        p.data.produced_at -= (int64_t)i;
        p.data.n = 1 + i % 3;
        data[i] = plan_build(&p);
        v[i] = buf_view(&data[i]);
    }
    for (size_t n = 1; n <= SIGNER_MAX_BATCH; n += 5) {
        ck_assert_msg(signer_sign_ocsp(kinds[_i], key_of(), v, n, signature, &err), "%s", err.text);
        for (size_t i = 0; i < n; i++)
            ck_assert(
                signed_by(f.authority->ocsp.cert, p.responder.alg, v[i], buf_view(&signature[i])));
    }
    for (size_t i = 0; i < SIGNER_MAX_BATCH; i++) {
        buf_clear(&data[i]);
        buf_clear(&signature[i]);
    }
}
END_TEST

START_TEST(in_its_own_name_only)
{
    struct plan p;
    plan_make(&p);
    p.responder.key_hash[19] ^= 1;
    refuse_plan(kinds[_i], &p, "in another responder's name");
    plan_make(&p);
    struct buf data = plan_build(&p), named = {0};
    const size_t behind = 3 + 4 + OCSP_KEY_HASH; /* three headers and the hash */
    struct der w; /* byName in place of byKey (RFC 6960 section 4.2.1), its own or not */
    der_init(&w, 1024);
    der_raw(&w, view_of(data.p + behind, data.n - behind));
    size_t mark = der_mark(&w);
    der_raw(&w, f.authority->ocsp.cert->subject);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(1), mark);
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &named, &err));
    refuse_data(kinds[_i], buf_view(&named), "in another responder's name");
    buf_clear(&data);
    buf_clear(&named);
}
END_TEST

START_TEST(times)
{
    struct plan p;
    plan_make(&p);
    p.single[0].next_update = f.authority->ocsp.cert->not_after;
    struct buf data = plan_build(&p), signature = {0};
    struct view v = buf_view(&data);
    ck_assert(signer_sign_ocsp(kinds[_i], key_of(), &v, 1, &signature, &err)); /* its last second */
    buf_clear(&data);
    buf_clear(&signature);
    p.single[0].next_update++;
    refuse_plan(kinds[_i], &p, "outlives its signer");
    plan_make(&p); /* any of several */
    p.data.n = 3;
    p.single[2].next_update = f.authority->ocsp.cert->not_after + 1;
    refuse_plan(kinds[_i], &p, "outlives its signer");
    plan_make(&p);
    p.single[0].next_update = 0; /* left out */
    refuse_plan(kinds[_i], &p, "contradict");
    p.single[0].next_update = now;
    refuse_plan(kinds[_i], &p, "contradict");
    plan_make(&p);
    p.single[0].this_update = now + 1;
    refuse_plan(kinds[_i], &p, "contradict");
    plan_make(&p); /* to be shown when it is not true any more */
    p.data.produced_at = now + 2 * HOUR;
    p.single[0].this_update = now + HOUR;
    p.single[0].next_update = now + 3 * HOUR;
    refuse_plan(kinds[_i], &p, "of another time");
    plan_make(&p);
    p.data.produced_at = now - 2 * HOUR;
    p.single[0].this_update = now - 3 * HOUR;
    refuse_plan(kinds[_i], &p, "of another time");
}
END_TEST

START_TEST(reasons)
{
    static const int bad[] = {7, 8, 11, 127};
    struct plan p;
    plan_make(&p);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        p.single[0].status = OCSP_REVOKED;
        p.single[0].reason = bad[i];
        refuse_plan(kinds[_i], &p, "reason");
    }
}
END_TEST

/* Octets put in at `at`, all lengths around it made right: `depth` SEQUENCEs begin the data. */
static struct buf with(struct view data, size_t at, struct view more)
{
    struct buf out = {0};
    struct tlv t;
    struct view rest = data;
    ck_assert(tlv_next(&rest, &t));
    size_t head = (size_t)(t.content.p - data.p);
    struct der w;
    der_init(&w, 1024);
    der_raw(&w, view_of(data.p + at, data.n - at));
    der_raw(&w, more);
    der_raw(&w, view_of(data.p + head, at - head));
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &out, &err));
    return out;
}

/* Whatever is not said by what was read is not signed either. */
START_TEST(nothing_else_in_it)
{
    static const uint8_t v1[] = {0xa0, 0x03, 0x02, 0x01, 0x00}; /* a default, written out */
    static const uint8_t extensions[] = {0xa1, 0x0b, 0x30, 0x09, 0x30, 0x07, 0x06,
                                         0x02, 0x2a, 0x03, 0x04, 0x01, 'x'};
    struct plan p;
    plan_make(&p);
    struct buf data = plan_build(&p), other = with(buf_view(&data), 3, view_of(v1, sizeof v1));
    refuse_data(kinds[_i], buf_view(&other), "more in it");
    buf_clear(&other);
    other = with(buf_view(&data), 3, view_of("\x02\x01\x05", 3));
    refuse_data(kinds[_i], buf_view(&other), "that is none");
    buf_clear(&other);
    buf_clear(&data);
    p.data.nonce = view_of(NULL, 0);
    data = plan_build(&p);
    other = with(buf_view(&data), data.n, view_of(extensions, sizeof extensions));
    refuse_data(kinds[_i], buf_view(&other), "extensions that are not known");
    buf_clear(&other);
    other = with(buf_view(&data), data.n, view_of("\xa1\x02\x30\x00", 4));
    refuse_data(kinds[_i], buf_view(&other), "that is none");
    buf_clear(&other);
    buf_clear(&data);
    p.data.n = 0;
    refuse_plan(kinds[_i], &p, "about nothing");
}
END_TEST

START_TEST(other_kinds)
{
    struct leaf l;
    struct crl_plan c;
    struct buf leaf, crl, attrs = attributes_build(true);
    leaf_make(&f, &l);
    crl_plan_make(&f, &c);
    leaf = leaf_build(&l);
    crl = crl_plan_build(&c);
    refuse_data(kinds[_i], buf_view(&leaf), "that is none");
    refuse_data(kinds[_i], buf_view(&crl), "that is none");
    refuse_data(kinds[_i], buf_view(&attrs), "that is none");
    refuse_data(kinds[_i], view_str("garbage"), "that is none");
    refuse_data(kinds[_i], view_of("", 0), "that is none");
    buf_clear(&leaf);
    buf_clear(&crl);
    buf_clear(&attrs);
    leaf_clear(&l);
}
END_TEST

/* One key, one use: the responder's does nothing else, and nobody else's answers. */
START_TEST(keys_do_only_what_they_are_for)
{
    struct signer *s = kinds[_i];
    struct err e = {0};
    struct leaf l;
    struct crl_plan c;
    struct plan p;
    struct buf out = {0};
    const struct key_wrap pkcs1 = {PADDING_PKCS1, DIGEST_SHA256, DIGEST_SHA256};
    uint8_t key[16];
    leaf_make(&f, &l);
    crl_plan_make(&f, &c);
    plan_make(&p);
    struct buf leaf = leaf_build(&l), crl = crl_plan_build(&c), attrs = attributes_build(true),
               data = plan_build(&p);
    struct view v = buf_view(&data);
    refused(s, signer_sign_certificate(s, key_of(), buf_view(&leaf), &out, &e), &e,
            "may not sign certificates");
    refused(s, signer_sign_crl(s, key_of(), buf_view(&crl), NULL, &out, &e), &e,
            "may not sign CRLs");
    refused(s, signer_sign_attributes(s, key_of(), DIGEST_SHA256, buf_view(&attrs), &out, &e), &e,
            "may not sign messages");
    refused(s, signer_decrypt(s, key_of(), pkcs1, buf_view(&leaf), key, 16, &e), &e,
            "may not decrypt");
    const int others[] = {f.authority->key_ca, f.authority->key_ra};
    for (size_t i = 0; i < 2; i++)
        refused(s, signer_sign_ocsp(s, (unsigned)others[i], &v, 1, &out, &e), &e,
                "may not sign OCSP answers");
    /* nor as anything else by the keys that may */
    ck_assert(!signer_sign_certificate(s, (unsigned)others[0], v, &out, &e));
    refused(s, signer_sign_crl(s, (unsigned)others[0], v, NULL, &out, &e), &e, "refused");
    refused(s, signer_sign_attributes(s, (unsigned)others[1], DIGEST_SHA256, v, &out, &e), &e,
            "not the signed attributes");
    ck_assert_ptr_null(out.p);
    buf_clear(&leaf);
    buf_clear(&crl);
    buf_clear(&attrs);
    buf_clear(&data);
    leaf_clear(&l);
}
END_TEST

/* All or none: who asks anew asks for each alone. */
START_TEST(one_bad_in_a_batch)
{
    struct plan p;
    struct err e = {0};
    struct buf signature[3] = {{0}};
    plan_make(&p);
    struct buf data = plan_build(&p);
    const struct view v[3] = {buf_view(&data), view_str("garbage"), buf_view(&data)};
    refused(kinds[_i], signer_sign_ocsp(kinds[_i], key_of(), v, 3, signature, &e), &e,
            "that is none");
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_null(signature[i].p);
    ck_assert(!signer_sign_ocsp(kinds[_i], key_of(), v, 0, signature, &e));
    ck_assert(!signer_sign_ocsp(kinds[_i], key_of(), v, SIGNER_MAX_BATCH + 1, signature, &e));
    buf_clear(&data);
}
END_TEST

/* Past the caller's side: packets that it would never make. */
START_TEST(malformed_batches)
{
    static const char *const bad[] = {"", "\x01", "\x05\0\0\0four", "\0\0\0\0", "\xff\xff\xff\xff"};
    static const size_t sizes[] = {0, 1, 8, 4, 4};
    struct buf out = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct err e = {0};
        struct signer_request r = {
            .op = SIGNER_OP_OCSP, .key = key_of(), .data = view_of(bad[i], sizes[i])};
        refused(kinds[_i], kinds[_i]->call(kinds[_i], &r, &out, &e), &e, "refused");
    }
    struct view many[SIGNER_MAX_BATCH + 1];
    struct buf packed = {0};
    struct err e = {0};
    for (size_t i = 0; i <= SIGNER_MAX_BATCH; i++)
        many[i] = view_str("x");
    ck_assert(batch_pack(many, SIGNER_MAX_BATCH + 1, &packed, &err));
    struct signer_request r = {.op = SIGNER_OP_OCSP, .key = key_of(), .data = buf_view(&packed)};
    refused(kinds[_i], kinds[_i]->call(kinds[_i], &r, &out, &e), &e, "malformed");
    buf_reset(&packed);
    ck_assert(buf_reserve(&packed, OCSP_MAX_DATA + 100));
    memset(packed.p, 0, OCSP_MAX_DATA + 100);
    r.data = view_of(packed.p, OCSP_MAX_DATA + 100);
    refused(kinds[_i], kinds[_i]->call(kinds[_i], &r, &out, &e), &e, "at most");
    buf_clear(&packed);
    buf_clear(&out);
}
END_TEST

static void refuse_start(const char *text)
{
    struct signer *s = NULL;
    struct err e = {0};
    ck_assert(!signer_local(f.spec, &s, &e));
    ck_assert_int_eq(e.kind, ERR_CONFIG);
    ck_assert_msg(strstr(e.text, text), "%s", e.text);
}

START_TEST(refused_at_start)
{
    struct signer_key_spec *k = &f.spec->key[key_of()], *ra = &f.spec->key[f.authority->key_ra];
    struct signer *s = NULL;
    struct plan p;
    struct err e = {0};
    struct buf signature = {0};
    k->uses |= SIGNER_CRLS;
    refuse_start("answers by OCSP and does more");
    k->uses = SIGNER_OCSP;
    ra->uses = SIGNER_OCSP; /* whose certificate is no responder's: nothing is done with the key */
    ck_assert_msg(signer_local(f.spec, &s, &err), "%s", err.text);
    plan_make(&p);
    struct buf data = plan_build(&p);
    struct view v = buf_view(&data);
    refused(s, signer_sign_ocsp(s, (unsigned)f.authority->key_ra, &v, 1, &signature, &e), &e,
            "the signer refused");
    ck_assert_ptr_null(signature.p);
    buf_clear(&data);
    signer_free(s);
}
END_TEST

START_TEST(rsa_is_verified_before_it_leaves)
{
    stop();
    ca_fixture_delegate(&f, "rsa2048", now - HOUR, now + DAY);
    start();
    sign_good(kinds[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/signer_ocsp");
    TCase *both = tcase_create("both");
    tcase_set_timeout(both, 120);
    tcase_add_unchecked_fixture(both, make_once, remove_once);
    tcase_add_checked_fixture(both, setup, teardown);
    tcase_add_loop_test(both, good, 0, 2);
    tcase_add_loop_test(both, in_its_own_name_only, 0, 2);
    tcase_add_loop_test(both, times, 0, 2);
    tcase_add_loop_test(both, reasons, 0, 2);
    tcase_add_loop_test(both, nothing_else_in_it, 0, 2);
    tcase_add_loop_test(both, other_kinds, 0, 2);
    tcase_add_loop_test(both, keys_do_only_what_they_are_for, 0, 2);
    tcase_add_loop_test(both, one_bad_in_a_batch, 0, 2);
    tcase_add_loop_test(both, malformed_batches, 0, 2);
    tcase_add_loop_test(both, rsa_is_verified_before_it_leaves, 0, 2);
    tcase_add_test(both, refused_at_start);
    suite_add_tcase(s, both);
    return check_main(s);
}
