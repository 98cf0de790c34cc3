#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "ca_fixture.h"
#include "check_main.h"

/* Every case runs against both kinds of signer: they must look the same from outside. */

#define DAY 86400
#define LANES 3

static struct ca_fixture f; /* P-256 CA, RSA-2048 RA, made once for all cases */
static struct signer *local;
static struct signer_process *process;
static struct signer *kinds[2];
static struct err err;

static void make_once(void)
{
    ca_fixture_make(&f);
}

static void remove_once(void)
{
    ca_fixture_clear(&f);
}

static void setup(void)
{
    err = (struct err){0};
    ck_assert_msg(signer_start(f.spec, LANES, NULL, &process, &err), "%s", err.text);
    ck_assert_msg(signer_local(f.spec, &local, &err), "%s", err.text);
    kinds[0] = local;
    kinds[1] = signer_lane(process, 0);
}

static void teardown(void)
{
    signer_stop(process);
    signer_free(local);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static unsigned ca_key(void)
{
    return (unsigned)f.authority->key_ca;
}

static unsigned ra_key(void)
{
    return (unsigned)f.authority->key_ra;
}

static void sign_good_leaf(struct signer *s)
{
    struct leaf l;
    struct buf signature = {0};
    leaf_make(&f, &l);
    struct buf tbs = leaf_build(&l);
    ck_assert_msg(signer_sign_certificate(s, ca_key(), buf_view(&tbs), &signature, &err), "%s",
                  err.text);
    ck_assert(
        signed_by(f.authority->cert, f.authority->sigalg, buf_view(&tbs), buf_view(&signature)));
    buf_clear(&tbs);
    buf_clear(&signature);
    leaf_clear(&l);
}

static void refuse_leaf(struct signer *s, const struct leaf *l, enum err_kind kind,
                        enum reason reason, const char *text)
{
    struct err e = {0};
    struct buf tbs = leaf_build(l), signature = {0};
    ck_assert(!signer_sign_certificate(s, ca_key(), buf_view(&tbs), &signature, &e));
    ck_assert_msg(e.kind == kind && e.reason == reason, "%s %s: %s", err_kind_name(e.kind),
                  reason_info(e.reason)->code, e.text);
    ck_assert_msg(strstr(e.text, text), "%s", e.text);
    ck_assert_ptr_null(signature.p);
    buf_clear(&tbs);
    sign_good_leaf(s);
}

START_TEST(certificates)
{
    sign_good_leaf(kinds[_i]);
    sign_good_leaf(kinds[_i]);
}
END_TEST

START_TEST(certificates_outside_the_limits)
{
    struct leaf l;
    struct eku server = {0};
    uint8_t other_id[20] = {1};
    struct signer *s = kinds[_i];

    leaf_make(&f, &l);
    l.tbs.is_ca = true;
    refuse_leaf(s, &l, ERR_REFUSED, REASON_USAGE_FORBIDDEN, "C23");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.key_usage |= KU_KEY_CERT_SIGN;
    refuse_leaf(s, &l, ERR_REFUSED, REASON_USAGE_FORBIDDEN, "C24");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.key_usage |= KU_DATA_ENCIPHERMENT; /* a leaf may, this key's templates do not */
    refuse_leaf(s, &l, ERR_REFUSED, REASON_USAGE_FORBIDDEN, "C37");
    leaf_clear(&l);

    leaf_make(&f, &l);
    ck_assert(eku_add(&server, EKU_SERVER_AUTH));
    l.tbs.eku = &server;
    refuse_leaf(s, &l, ERR_REFUSED, REASON_USAGE_FORBIDDEN, "C37");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.not_after = l.tbs.not_before + 367 * DAY;
    refuse_leaf(s, &l, ERR_REFUSED, REASON_INTERNAL, "C18");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.not_after = f.authority->cert->not_after + 1;
    refuse_leaf(s, &l, ERR_REFUSED, REASON_INTERNAL, "C17");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.issuer = f.authority->ra->subject;
    refuse_leaf(s, &l, ERR_REFUSED, REASON_INTERNAL, "C7");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.authority_key_id = view_of(other_id, sizeof other_id);
    refuse_leaf(s, &l, ERR_REFUSED, REASON_INTERNAL, "C28");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.tbs.sigalg = (struct sigalg){SIG_RSA_PKCS1, DIGEST_SHA256, 0}; /* the key is EC */
    refuse_leaf(s, &l, ERR_REFUSED, REASON_INTERNAL, "C5");
    leaf_clear(&l);

    leaf_make(&f, &l);
    l.key.e = view_of("\x03", 1);
    refuse_leaf(s, &l, ERR_REFUSED, REASON_KEY_WEAK, "C20");
    leaf_clear(&l);
}
END_TEST

static void refuse(struct signer *s, bool done, const struct err *e, const char *text)
{
    ck_assert(!done);
    ck_assert_msg(e->kind == ERR_SIGNER && strstr(e->text, text), "%s: %s", err_kind_name(e->kind),
                  e->text);
    sign_good_leaf(s);
}

static void sign_crl(struct signer *s, const struct crl_plan *p, const char *refusal)
{
    struct err e = {0};
    struct buf tbs = crl_plan_build(p), signature = {0};
    bool done = signer_sign_crl(s, ca_key(), buf_view(&tbs), NULL, &signature, &e);
    if (refusal) {
        refuse(s, done, &e, refusal);
    } else {
        ck_assert_msg(done, "%s", e.text);
        ck_assert(signed_by(f.authority->cert, p->sigalg, buf_view(&tbs), buf_view(&signature)));
    }
    buf_clear(&tbs);
    buf_clear(&signature);
}

START_TEST(crls)
{
    struct crl_plan p;
    crl_plan_make(&f, &p);
    sign_crl(kinds[_i], &p, NULL);
    p.entries = 3;
    sign_crl(kinds[_i], &p, NULL);
    p.entries = 100000; /* far larger than a packet */
    sign_crl(kinds[_i], &p, NULL);
}
END_TEST

START_TEST(crls_refused)
{
    struct crl_plan good, p;
    struct signer *s = kinds[_i];
    crl_plan_make(&f, &good);
    p = good;
    p.issuer = f.authority->ra->subject;
    sign_crl(s, &p, "another issuer");
    p = good;
    p.version = 0;
    sign_crl(s, &p, "another version");
    p = good;
    p.no_next_update = true;
    sign_crl(s, &p, "both its times");
    p = good;
    p.empty_list = true;
    sign_crl(s, &p, "entries or extensions");
    p = good;
    p.no_extensions = true;
    sign_crl(s, &p, "entries or extensions");
    p = good;
    p.tail = true;
    sign_crl(s, &p, "entries or extensions");
    p = good;
    p.sigalg = (struct sigalg){SIG_ECDSA, DIGEST_SHA384, 0};
    sign_crl(s, &p, "does not fit the key");
}
END_TEST

START_TEST(crl_extensions_refused)
{
    static const char url[] = "http://pki.example.org/a-p1.crl";
    static const uint8_t other[20] = {1};
    struct crl_plan good, p;
    struct signer *s = kinds[_i];
    crl_plan_make(&f, &good);
    p = good;
    p.key_id = view_of(other, sizeof other);
    sign_crl(s, &p, "with an extension");
    p = good;
    p.critical = true;
    sign_crl(s, &p, "with an extension");
    p = good;
    p.odd = "2.5.29.60"; /* expiredCertsOnCRL: known, and not written by us */
    sign_crl(s, &p, "with an extension");
    p = good;
    p.partition = "https://pki.example.org/a-p1.crl";
    sign_crl(s, &p, "with an extension");
    p = good;
    p.partition = p.freshest = url;
    sign_crl(s, &p, "of a partition with a delta");
    p = good;
    p.delta = true;
    p.base = 1;
    p.partition = url;
    sign_crl(s, &p, "no delta of a complete one");
    p.partition = NULL;
    p.freshest = url;
    sign_crl(s, &p, "no delta of a complete one");
    p.freshest = NULL;
    p.base = INT64_MAX; /* above its own number */
    sign_crl(s, &p, "no delta of a complete one");
}
END_TEST

/* RFC 5280 section 5.2.3; by key and scope, as long as the signer lives. */
START_TEST(crl_numbers_never_fall)
{
    struct crl_plan whole, p;
    struct signer *s = kinds[_i];
    struct err e = {0};
    struct buf signature = {0};
    crl_plan_make(&f, &whole);
    whole.number = crl_number_now();
    struct buf tbs = crl_plan_build(&whole);
    for (int i = 0; i < 2; i++) /* the very same once more changes nothing */
        ck_assert(signer_sign_crl(s, ca_key(), buf_view(&tbs), NULL, &signature, &e));
    p = whole;
    p.entries = 1;
    sign_crl(s, &p, "of the same scope was signed"); /* other content */
    p.number--;
    sign_crl(s, &p, "of the same scope was signed");
    p = whole; /* its delta has the same number */
    p.delta = true;
    p.base = 7;
    sign_crl(s, &p, NULL);
    p.number--;
    sign_crl(s, &p, "of the same scope was signed");
    p = whole; /* each partition counts by itself */
    p.number = 5;
    p.partition = "http://pki.example.org/a-p1.crl";
    sign_crl(s, &p, NULL);
    p.partition = "http://pki.example.org/a-p2.crl";
    sign_crl(s, &p, NULL);
    p.number = 4;
    sign_crl(s, &p, "of the same scope was signed");
    whole.number++;
    sign_crl(s, &whole, NULL);
    buf_clear(&tbs);
    buf_clear(&signature);
}
END_TEST

/* What one kind of signature is for must not be had as another. */
START_TEST(kinds_are_not_confused)
{
    struct err e = {0};
    struct signer *s = kinds[_i];
    struct leaf l;
    struct crl_plan p;
    struct buf signature = {0};
    leaf_make(&f, &l);
    crl_plan_make(&f, &p);
    struct buf leaf = leaf_build(&l), crl = crl_plan_build(&p), attributes = attributes_build(true);

    refuse(s, signer_sign_crl(s, ca_key(), buf_view(&leaf), NULL, &signature, &e), &e,
           "another version");
    e = (struct err){0};
    ck_assert(!signer_sign_certificate(s, ca_key(), buf_view(&crl), &signature, &e));
    ck_assert_int_eq(e.kind, ERR_REFUSED);
    refuse(s, signer_sign_attributes(s, ra_key(), DIGEST_SHA256, buf_view(&leaf), &signature, &e),
           &e, "not the signed attributes");
    refuse(s, signer_sign_attributes(s, ra_key(), DIGEST_SHA256, buf_view(&crl), &signature, &e),
           &e, "not the signed attributes");
    refuse(s, signer_sign_crl(s, ca_key(), buf_view(&attributes), NULL, &signature, &e), &e,
           "not a TBSCertList");
    buf_clear(&leaf);
    buf_clear(&crl);
    buf_clear(&attributes);
    leaf_clear(&l);
}
END_TEST

START_TEST(attributes)
{
    struct buf good = attributes_build(true), without = attributes_build(false), signature = {0};
    struct signer *s = kinds[_i];
    struct err e = {0};
    for (int d = DIGEST_SHA1; d < DIGEST_COUNT; d++) {
        struct sigalg alg = {SIG_RSA_PKCS1, (enum digest)d, 0};
        ck_assert_msg(
            signer_sign_attributes(s, ra_key(), alg.digest, buf_view(&good), &signature, &err),
            "%s", err.text);
        ck_assert(signed_by(f.authority->ra, alg, buf_view(&good), buf_view(&signature)));
    }
    refuse(s, signer_sign_attributes(s, ra_key(), DIGEST_MD5, buf_view(&good), &signature, &e), &e,
           "MD5");
    refuse(s, signer_sign_attributes(s, ra_key(), DIGEST_COUNT, buf_view(&good), &signature, &e),
           &e, "malformed request");
    refuse(s,
           signer_sign_attributes(s, ra_key(), DIGEST_SHA256, buf_view(&without), &signature, &e),
           &e, "not the signed attributes");
    good.n--;
    refuse(s, signer_sign_attributes(s, ra_key(), DIGEST_SHA256, buf_view(&good), &signature, &e),
           &e, "not the signed attributes");
    ck_assert(buf_append(&good, "xx", 2));
    refuse(s, signer_sign_attributes(s, ra_key(), DIGEST_SHA256, buf_view(&good), &signature, &e),
           &e, "not the signed attributes");
    buf_clear(&good);
    buf_clear(&without);
    buf_clear(&signature);
}
END_TEST

START_TEST(decrypts)
{
    static const struct key_wrap cases[] = {{PADDING_PKCS1, DIGEST_SHA256, DIGEST_SHA256},
                                            {PADDING_OAEP, DIGEST_SHA1, DIGEST_SHA1},
                                            {PADDING_OAEP, DIGEST_SHA256, DIGEST_SHA1},
                                            {PADDING_OAEP, DIGEST_SHA256, DIGEST_SHA256}};
    const uint8_t secret[32] = "0123456789abcdef0123456789abcde";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t n = 8; n <= 32; n += 8) {
            uint8_t out[32] = {0};
            struct buf box = encrypt_to(f.authority->ra, cases[i], view_of(secret, n));
            ck_assert_msg(
                signer_decrypt(kinds[_i], ra_key(), cases[i], buf_view(&box), out, n, &err), "%s",
                err.text);
            ck_assert_mem_eq(out, secret, n);
            buf_clear(&box);
        }
}
END_TEST

static const struct key_wrap pkcs1 = {PADDING_PKCS1, DIGEST_SHA256, DIGEST_SHA256};
static const struct key_wrap oaep = {PADDING_OAEP, DIGEST_SHA256, DIGEST_SHA256};

/* Octets that nobody can foretell, the same ones each time as a right key would be: asking twice
 * must not tell the one from the other. */
static void expect_instead(struct signer *s, struct key_wrap wrap, struct view box, size_t n,
                           const uint8_t *secret)
{
    static uint8_t last[32];
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    struct err e = {0};
    ck_assert_msg(signer_decrypt(s, ra_key(), wrap, box, a, n, &e), "%s", e.text);
    ck_assert_msg(signer_decrypt(s, ra_key(), wrap, box, b, n, &e), "%s", e.text);
    ck_assert_int_eq(e.kind, ERR_NONE);
    ck_assert_mem_eq(a, b, n);
    ck_assert(memcmp(a, zero, n) != 0 && memcmp(a, last, n) != 0);
    ck_assert(memcmp(a, secret, n) != 0);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    memcpy(last, a, n);
}

/* What cannot have come of an RSA key at all, which anybody sees. */
static void expect_random(struct signer *s, struct view box, const uint8_t *secret)
{
    uint8_t a[16] = {0}, zero[16] = {0};
    struct err e = {0};
    ck_assert_msg(signer_decrypt(s, ra_key(), pkcs1, box, a, 16, &e), "%s", e.text);
    ck_assert(memcmp(a, zero, 16) != 0 && memcmp(a, secret, 16) != 0);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(wrong_padding_is_not_told)
{
    const uint8_t secret[32] = "0123456789abcdef0123456789abcde";
    struct signer *s = kinds[_i];
    struct key_wrap sha1 = {PADDING_OAEP, DIGEST_SHA1, DIGEST_SHA1};
    struct buf box = encrypt_to(f.authority->ra, pkcs1, view_of(secret, 16));
    expect_instead(s, pkcs1, buf_view(&box), 32, secret); /* another length inside */
    expect_instead(s, pkcs1, buf_view(&box), 8, secret);
    expect_instead(s, oaep, buf_view(&box), 16, secret);
    expect_instead(s, sha1, buf_view(&box), 16, secret);
    expect_instead(s, pkcs1, view_of(box.p, box.n - 1), 16, secret);
    expect_instead(s, pkcs1, view_of(box.p, 1), 16, secret);
    box.p[100] ^= 1;
    expect_instead(s, pkcs1, buf_view(&box), 16, secret);
    memset(box.p, 0xff, box.n); /* above the modulus */
    expect_instead(s, pkcs1, buf_view(&box), 16, secret);
    memset(box.p, 0, box.n);
    expect_instead(s, pkcs1, buf_view(&box), 16, secret);
    ck_assert(buf_append(&box, "x", 1));
    expect_instead(s, pkcs1, buf_view(&box), 16, secret);
    ck_assert(buf_reserve(&box, 5000));
    memset(box.p, 'x', 5000);
    expect_random(s, view_of(box.p, 5000), secret);
    expect_random(s, view_of(box.p, 0), secret);
    buf_clear(&box);
    sign_good_leaf(s);
}
END_TEST

/* RFC 8894 section 7.2: a key that decrypts need not be one that issues. */
START_TEST(keys_do_only_what_they_are_for)
{
    struct signer *s = kinds[_i];
    struct err e = {0};
    struct leaf l;
    struct crl_plan p;
    uint8_t key[16];
    leaf_make(&f, &l);
    crl_plan_make(&f, &p);
    struct buf leaf = leaf_build(&l), crl = crl_plan_build(&p), attrs = attributes_build(true),
               out = {0};
    refuse(s, signer_sign_certificate(s, ra_key(), buf_view(&leaf), &out, &e), &e,
           "may not sign certificates");
    refuse(s, signer_sign_crl(s, ra_key(), buf_view(&crl), NULL, &out, &e), &e,
           "may not sign CRLs");
    refuse(s, signer_sign_attributes(s, ca_key(), DIGEST_SHA256, buf_view(&attrs), &out, &e), &e,
           "may not sign messages");
    refuse(s, signer_decrypt(s, ca_key(), pkcs1, buf_view(&leaf), key, 16, &e), &e,
           "may not decrypt");
    refuse(s, signer_sign_crl(s, 2, buf_view(&crl), NULL, &out, &e), &e, "no key 2");
    refuse(s, signer_sign_crl(s, ~0u, buf_view(&crl), NULL, &out, &e), &e, "no key");
    refuse(s, signer_sign_certificate(s, ca_key(), view_of("", 0), &out, &e), &e, "0 octets");
    refuse(s, signer_decrypt(s, ra_key(), pkcs1, buf_view(&leaf), key, 0, &e), &e, "malformed");
    refuse(s, signer_decrypt(s, ra_key(), pkcs1, buf_view(&leaf), key, 65, &e), &e, "malformed");
    buf_clear(&leaf);
    buf_clear(&crl);
    buf_clear(&attrs);
    leaf_clear(&l);
}
END_TEST

START_TEST(too_large)
{
    struct err e = {0};
    struct buf big = {0}, out = {0};
    ck_assert(buf_reserve(&big, 70000));
    memset(big.p, 0x31, 70000);
    big.n = 70000;
    refuse(kinds[_i], signer_sign_certificate(kinds[_i], ca_key(), buf_view(&big), &out, &e), &e,
           "at most");
    big.n = 40000;
    refuse(kinds[_i],
           signer_sign_attributes(kinds[_i], ra_key(), DIGEST_SHA256, buf_view(&big), &out, &e), &e,
           "at most");
    buf_clear(&big);
}
END_TEST

/* ---- the process ---- */

struct worker {
    struct view crl;
    pthread_t thread;
    struct signer *lane;
    bool ok;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    const uint8_t secret[16] = "0123456789abcde";
    struct err e = {0};
    struct buf attrs = attributes_build(true), signature = {0};
    struct buf box = encrypt_to(f.authority->ra, pkcs1, view_of(secret, 16));
    w->ok = true;
    for (int i = 0; w->ok && i < 50; i++) {
        uint8_t out[16];
        w->ok = signer_decrypt(w->lane, ra_key(), pkcs1, buf_view(&box), out, 16, &e) &&
                memcmp(out, secret, 16) == 0 &&
                signer_sign_attributes(w->lane, ra_key(), DIGEST_SHA256, buf_view(&attrs),
                                       &signature, &e) &&
                signer_sign_crl(w->lane, ca_key(), w->crl, NULL, &signature, &e);
    }
    buf_clear(&attrs);
    buf_clear(&signature);
    buf_clear(&box);
    return NULL;
}

START_TEST(lanes_in_parallel)
{
    struct worker w[LANES];
    struct crl_plan p;
    crl_plan_make(&f, &p);
    p.entries = 10;
    struct buf crl = crl_plan_build(&p);
    for (unsigned i = 0; i < LANES; i++) {
        w[i] = (struct worker){.lane = signer_lane(process, i), .crl = buf_view(&crl)};
        ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(w[i].thread, NULL);
        ck_assert(w[i].ok);
    }
    ck_assert_ptr_null(signer_lane(process, LANES));
    buf_clear(&crl);
}
END_TEST

START_TEST(death_is_noticed_at_once)
{
    struct err e = {0};
    struct buf attrs = attributes_build(true), out = {0};
    ck_assert_int_eq(kill(signer_pid(process), SIGKILL), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert(
            !signer_sign_attributes(kinds[1], ra_key(), DIGEST_SHA256, buf_view(&attrs), &out, &e));
        ck_assert_int_eq(e.kind, ERR_SIGNER);
        ck_assert_ptr_nonnull(strstr(e.text, "cannot be reached"));
    }
    ck_assert(!signer_sign_attributes(signer_lane(process, 1), ra_key(), DIGEST_SHA256,
                                      buf_view(&attrs), &out, &e));
    ck_assert_int_eq(e.kind, ERR_SIGNER);
    buf_clear(&attrs);
    sign_good_leaf(local);
}
END_TEST

START_TEST(signals_to_end_are_the_parents_affair)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        ck_assert_int_eq(kill(signer_pid(process), signals[i]), 0);
    sign_good_leaf(kinds[1]);
}
END_TEST

START_TEST(stops_with_its_lanes)
{
    int pid = signer_pid(process);
    signer_stop(process);
    process = NULL;
    ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static unsigned descriptors_of(int pid)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    if (!d) /* not dumpable: only root may look */
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static bool status_has(int pid, const char *file, const char *line)
{
    char path[64], text[256];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *in = fopen(path, "r");
    while (in && fgets(text, sizeof text, in))
        found = found || strstr(text, line);
    if (in)
        fclose(in);
    return found;
}

START_TEST(holds_nothing_but_its_lanes)
{
    unsigned n = descriptors_of(signer_pid(process));
    ck_assert(n == 0 || n == 3 + LANES); /* standard ones */
    ck_assert(status_has(signer_pid(process), "status", "NoNewPrivs:\t1"));
    ck_assert(status_has(signer_pid(process), "limits", "Max core file size        0"));
    struct stat st;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", signer_pid(process));
    ck_assert(stat(path, &st) != 0 || st.st_uid == 0); /* owned by root because not dumpable */
}
END_TEST

static void refuse_start(const char *text)
{
    struct signer_process *p = NULL;
    struct signer *s = NULL;
    struct err e = {0}, same = {0};
    unsigned before = descriptors_of(getpid());
    ck_assert(!signer_start(f.spec, 2, NULL, &p, &e));
    ck_assert_ptr_null(p);
    ck_assert_msg(strstr(e.text, text), "%s", e.text);
    ck_assert_uint_eq(descriptors_of(getpid()), before);
    ck_assert(!signer_local(f.spec, &s, &same));
    ck_assert_str_eq(e.text, same.text);
    ck_assert_int_eq(e.kind, same.kind);
}

/* A keeper forks the signer, and gives its lanes to who uses them. */
START_TEST(given_away_and_adopted)
{
    struct signer_process *p = NULL, *adopted = NULL;
    int fd[2];
    ck_assert_msg(signer_start(f.spec, 2, NULL, &p, &err), "%s", err.text);
    int pid = signer_release(p, fd);
    ck_assert_msg(signer_adopt(pid, fd, 2, &adopted, &err), "%s", err.text);
    ck_assert_int_eq(signer_pid(adopted), pid);
    sign_good_leaf(signer_lane(adopted, 0));
    sign_good_leaf(signer_lane(adopted, 1));
    ck_assert_ptr_null(signer_lane(adopted, 2));
    signer_stop(adopted); /* does not wait: the keeper does */
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(digest_of_a_spec)
{
    struct signer_spec *other = malloc(sizeof *other);
    uint8_t first[SIGNER_DIGEST], second[SIGNER_DIGEST];
    ck_assert_ptr_nonnull(other);
    ck_assert(signer_spec_digest(f.spec, first, &err));
    for (int i = 0; i < 10; i++) {
        memcpy(other, f.spec, sizeof *other);
        struct signer_key_spec *k = &other->key[0];
        switch (i) {
        case 1:
            k->path[0] ^= 1;
            break;
        case 2:
            strcpy(k->passphrase_file, "other");
            break;
        case 3:
            k->cert.n--;
            break;
        case 4:
            k->uses ^= SIGNER_DECRYPT;
            break;
        case 5:
            k->key_usage ^= KU_CRL_SIGN;
            break;
        case 6:
            ck_assert(eku_add(&k->eku, "1.2.3.4"));
            break;
        case 7:
            ck_assert(eku_add(&k->extensions, "1.2.3.4"));
            break;
        case 8:
            k->max_validity++;
            break;
        case 9:
            other->n--;
            break;
        }
        ck_assert(signer_spec_digest(other, second, &err));
        ck_assert_msg((memcmp(first, second, sizeof first) == 0) == (i == 0), "change %d", i);
    }
    free(other);
}
END_TEST

START_TEST(start_fails_with_the_childs_reason)
{
    struct signer_key_spec *ra = &f.spec->key[ra_key()], good = *ra; /* in this forked test only */
    struct signer_process *p = NULL;
    snprintf(ra->path, sizeof ra->path, "%s", ca_fixture_path(&f, "none.key"));
    refuse_start("cannot open");
    snprintf(ra->path, sizeof ra->path, "%s", f.spec->key[ca_key()].path);
    refuse_start("not the one of its certificate");
    *ra = good;
    snprintf(ra->passphrase_file, sizeof ra->passphrase_file, "%s", ca_fixture_path(&f, "none"));
    refuse_start("passphrase file");
    *ra = good;
    ra->cert = view_of("x", 1);
    refuse_start("the certificate of key");
    *ra = good;
    f.spec->key[ca_key()].uses |= SIGNER_DECRYPT;
    refuse_start("is not RSA");
    ck_assert(!signer_start(f.spec, 0, NULL, &p, &err));
    ck_assert(waitpid(signer_pid(process), NULL, WNOHANG) == 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/signer");
    TCase *both = tcase_create("both"), *child = tcase_create("process");
    tcase_set_timeout(both, 120);
    tcase_set_timeout(child, 120);
    tcase_add_unchecked_fixture(both, make_once, remove_once);
    tcase_add_unchecked_fixture(child, make_once, remove_once);
    tcase_add_checked_fixture(both, setup, teardown);
    tcase_add_checked_fixture(child, setup, teardown);
    tcase_add_loop_test(both, certificates, 0, 2);
    tcase_add_loop_test(both, certificates_outside_the_limits, 0, 2);
    tcase_add_loop_test(both, crls, 0, 2);
    tcase_add_loop_test(both, crls_refused, 0, 2);
    tcase_add_loop_test(both, crl_extensions_refused, 0, 2);
    tcase_add_loop_test(both, crl_numbers_never_fall, 0, 2);
    tcase_add_loop_test(both, kinds_are_not_confused, 0, 2);
    tcase_add_loop_test(both, attributes, 0, 2);
    tcase_add_loop_test(both, decrypts, 0, 2);
    tcase_add_loop_test(both, wrong_padding_is_not_told, 0, 2);
    tcase_add_loop_test(both, keys_do_only_what_they_are_for, 0, 2);
    tcase_add_loop_test(both, too_large, 0, 2);
    tcase_add_test(child, lanes_in_parallel);
    tcase_add_test(child, death_is_noticed_at_once);
    tcase_add_test(child, signals_to_end_are_the_parents_affair);
    tcase_add_test(child, stops_with_its_lanes);
    tcase_add_test(child, holds_nothing_but_its_lanes);
    tcase_add_test(child, start_fails_with_the_childs_reason);
    tcase_add_test(child, given_away_and_adopted);
    tcase_add_test(child, digest_of_a_spec);
    suite_add_tcase(s, both);
    suite_add_tcase(s, child);
    return check_main(s);
}
