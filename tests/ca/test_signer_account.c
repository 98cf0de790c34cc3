#include "signer_account.h"

#include <stdlib.h>
#include <string.h>

#include "ca_fixture.h"
#include "check_main.h"

/* The signer's account of itself; tests/scepd/test_compromised.py sees it in a real daemon. */

static struct ca_fixture f;
static struct signer_spec *spec;
static struct signer_account *account;
static struct err err;
static char lines[1 << 16];

static void take_line(void *ctx, enum log_level level, const char *text, size_t n)
{
    size_t have = strlen(lines);
    ck_assert_uint_lt(have + n + 2, sizeof lines);
    memcpy(lines + have, text, n);
    strcpy(lines + have + n, "\n");
}

static const struct log log_here = {LOG_LEVEL_INFO, take_line, NULL};

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
    lines[0] = '\0';
    spec = malloc(sizeof *spec);
    ck_assert_ptr_nonnull(spec);
    *spec = *f.spec;
}

static void teardown(void)
{
    signer_account_free(account);
    account = NULL;
    free(spec);
}

static void begin(void)
{
    ck_assert(signer_account_new(spec, &log_here, &account, &err));
}

static unsigned count(const char *text)
{
    unsigned n = 0;
    for (const char *p = lines; (p = strstr(p, text)); p++)
        n++;
    return n;
}

static bool admit(struct signer_account *a, const struct buf *tbs)
{
    struct signer_request r = {.op = SIGNER_OP_CERTIFICATE, .data = buf_view(tbs)};
    err = (struct err){0};
    return signer_account_admit(a, &r, &err);
}

static bool take(struct signer_account *a)
{
    err = (struct err){0};
    return signer_account_take(a, &err);
}

START_TEST(any_number)
{
    begin();
    for (int i = 0; i < 10000; i++)
        ck_assert(take(account));
    ck_assert_str_eq(lines, "");
}
END_TEST

START_TEST(so_many_in_a_minute)
{
    spec->certificates_per_minute = 100;
    begin();
    int n = 0;
    while (take(account))
        ck_assert_int_lt(++n, 1000);
    ck_assert_int_ge(n, 100);
    ck_assert_int_eq(err.kind, ERR_BUSY);
    ck_assert_str_eq(err.text, "the signer refused: more than 100 certificates in a minute");
    ck_assert_uint_eq(count("event=signer.capped total=1 "), 1);
}
END_TEST

/* A signer after another, as the keeper starts them, goes on where that one was. */
START_TEST(one_rate_for_all_signers)
{
    struct signer_rate rate = {0};
    struct signer_account *second;
    spec->certificates_per_minute = 1;
    spec->rate = &rate;
    begin();
    ck_assert(take(account));
    ck_assert(!take(account));
    ck_assert(signer_account_new(spec, &log_here, &second, &err));
    ck_assert(!take(second));
    signer_account_free(second);
}
END_TEST

/* Whoever has taken over the front cannot use up the rate with what is never signed. */
START_TEST(what_is_refused_takes_nothing)
{
    struct signer_keys *keys = NULL;
    struct signer_worker *worker = NULL;
    struct leaf l;
    struct buf out = {0};
    leaf_make(&f, &l);
    struct buf tbs = leaf_build(&l);
    struct signer_request good = {.op = SIGNER_OP_CERTIFICATE, .data = buf_view(&tbs)}, bad = good;
    bad.data.n--;
    spec->certificates_per_minute = 1;
    begin();
    ck_assert_msg(signer_keys_load(spec, &keys, &err) && signer_worker_new(keys, &worker, &err),
                  "%s", err.text);
    signer_worker_admit(worker, signer_account_take, account);
    for (int i = 0; i < 5; i++) {
        ck_assert(!signer_execute(worker, &bad, &out, &err));
        ck_assert_str_eq(err.text, "C1: TBSCertificate: the input ends inside of its structure");
    }
    ck_assert_msg(signer_execute(worker, &good, &out, &err), "%s", err.text);
    ck_assert(!signer_execute(worker, &good, &out, &err));
    ck_assert_int_eq(err.kind, ERR_BUSY);
    signer_worker_free(worker);
    signer_keys_free(keys);
    buf_clear(&out);
    buf_clear(&tbs);
    leaf_clear(&l);
}
END_TEST

START_TEST(banned_keys)
{
    struct leaf l;
    uint8_t banned[3][32] = {{0}, {0}, {0}};
    leaf_make(&f, &l);
    struct buf tbs = leaf_build(&l);
    begin();
    ck_assert(admit(account, &tbs));
    memcpy(banned[1], l.key.sha256, 32);
    memset(banned[2], 0xff, 32);
    spec->banned = banned;
    spec->banned_n = 3;
    ck_assert(!admit(account, &tbs));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_int_eq(err.reason, REASON_KEY_BANNED);
    banned[1][31] ^= 1;
    ck_assert(admit(account, &tbs));
    for (size_t n = tbs.n; n-- > 0;) { /* whatever is cut short is no crash */
        struct buf part = {.p = tbs.p, .n = n};
        admit(account, &part);
    }
    buf_clear(&tbs);
    leaf_clear(&l);
}
END_TEST

START_TEST(what_is_told)
{
    struct leaf l;
    struct crl_plan p;
    leaf_make(&f, &l);
    crl_plan_make(&f, &p);
    struct buf leaf = leaf_build(&l), crl = crl_plan_build(&p);
    struct signer_request r = {.op = SIGNER_OP_CERTIFICATE, .key = 7, .data = buf_view(&leaf)};
    begin();
    signer_account_done(account, &r, view_str("a signature"), NULL);
    ck_assert_uint_eq(count("event=signer.certificate key=7 serial="), 1);
    ck_assert_uint_eq(count(" sha256="), 1);
    r.op = SIGNER_OP_CRL;
    r.data = buf_view(&crl);
    signer_account_done(account, &r, view_str("a signature"), NULL);
    ck_assert_uint_eq(count("event=signer.crl key=7 number="), 1);
    r.op = SIGNER_OP_ATTRIBUTES;
    signer_account_done(account, &r, view_str("a signature"), NULL);
    r.op = SIGNER_OP_DECRYPT;
    signer_account_done(account, &r, view_str("a key"), NULL);
    signer_account_done(account, &r, view_str("a key"), NULL);
    struct buf batch = {0};
    const struct view answers[3] = {view_str("one"), view_str("two"), view_str("three")};
    ck_assert(batch_pack(answers, 3, &batch, &err));
    r.op = SIGNER_OP_OCSP;
    r.data = buf_view(&batch);
    signer_account_done(account, &r, view_str("three signatures"), NULL);
    buf_clear(&batch);
    err_set(&err, ERR_SIGNER, "refused");
    signer_account_done(account, &r, (struct view){0}, &err);
    r.op = (enum signer_op)1000; /* a hostile one is refused, and counted as such */
    signer_account_done(account, &r, (struct view){0}, &err);
    signer_account_tell(account);
    ck_assert_uint_eq(count("event=signer.totals certificates=1 crls=1 messages=1 decryptions=2 "
                            "ocsp_answers=3 refused=2 capped=0 "),
                      1);
    buf_clear(&leaf);
    buf_clear(&crl);
    leaf_clear(&l);
}
END_TEST

START_TEST(the_digest_has_the_limits)
{
    uint8_t before[SIGNER_DIGEST], after[SIGNER_DIGEST], banned[1][32] = {{1}};
    ck_assert(signer_spec_digest(spec, before, &err));
    spec->certificates_per_minute = 9;
    ck_assert(signer_spec_digest(spec, after, &err));
    ck_assert_mem_ne(before, after, sizeof after);
    spec->certificates_per_minute = 0;
    spec->confinement = CONFINE_OFF; /* of the process, not of the keys */
    ck_assert(signer_spec_digest(spec, after, &err));
    ck_assert_mem_eq(before, after, sizeof after);
    spec->banned = banned;
    spec->banned_n = 1;
    ck_assert(signer_spec_digest(spec, after, &err));
    ck_assert_mem_ne(before, after, sizeof after);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/signer account");
    TCase *c = tcase_create("account");
    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, make_once, remove_once);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, any_number);
    tcase_add_test(c, so_many_in_a_minute);
    tcase_add_test(c, one_rate_for_all_signers);
    tcase_add_test(c, what_is_refused_takes_nothing);
    tcase_add_test(c, banned_keys);
    tcase_add_test(c, what_is_told);
    tcase_add_test(c, the_digest_has_the_limits);
    suite_add_tcase(s, c);
    return check_main(s);
}
