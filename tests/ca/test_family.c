/* Generations: what is loaded, when what is due, and that a change is made whole or not at all. */
#include <dirent.h>
#include <openssl/cms.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ca/tend.h"
#include "ca_fixture.h"
#include "check_main.h"
#include "cuts.h"
#include "pkcs7/scep.h"

#define DAY INT64_C(86400)
#define YEAR (365 * DAY)

static struct ca_fixture f;
static struct family_files files;
static struct tend_rules rules;
static char directory[400];
static struct err err;
static int64_t later; /* when a next CA is made */

static void setup(void)
{
    err = (struct err){0};
    ca_fixture_plan(&f);
}

static void teardown(void)
{
    ca_fixture_clear(&f);
}

/* After the plan was changed. */
static void make(void)
{
    ca_fixture_init(&f);
    snprintf(directory, sizeof directory, "%s", ca_fixture_path(&f, "later/fixture"));
    files = (struct family_files){.first = f.files, .directory = directory};
    rules = (struct tend_rules){.ra_automatic = true,
                                .ca_automatic = true,
                                .ra_validity = 2 * YEAR,
                                .ca_announce = 90 * DAY,
                                .longest = YEAR};
}

static struct family *load(enum family_load how)
{
    const struct template *templates[] = {&f.device};
    struct family *family = NULL;
    f.spec->n = 0;
    ck_assert_msg(
        family_load(&files, how, templates, 1, how == FAMILY_SERVE ? f.spec : NULL, &family, &err),
        "%s", err.text);
    return family;
}

static struct tend at(int64_t now)
{
    files.now = now;
    return (struct tend){.files = &files, .rules = &rules, .actor = "anna", .now = now};
}

static void next_at(int64_t now, int64_t activate_at)
{
    struct tend t = at(now);
    const struct tend_next wish = {.activate_at = activate_at};
    ck_assert_msg(tend_make_next(&t, &wish, &err), "%s", err.text);
}

static void renew_at(int64_t now, unsigned generation, enum ra_shape shape)
{
    struct tend t = at(now);
    const struct tend_step step = {
        .what = TEND_RENEW_RA, .generation = generation, .shape = shape, .at = now};
    ck_assert_msg(tend_do(&t, &step, &err), "%s", err.text);
}

static struct tend_step plan(int64_t now)
{
    struct tend_step step;
    files.now = now;
    struct family *family = load(FAMILY_LOOK);
    tend_plan(family, &rules, now, &step);
    family_free(family);
    return step;
}

static unsigned files_there(void)
{
    DIR *d = opendir(directory);
    struct dirent *e;
    unsigned n = 0;
    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.' && strcmp(e->d_name, "lock") != 0;
    if (d)
        closedir(d);
    return n;
}

static struct scep_recipient recipient(const struct cert *c)
{
    return (struct scep_recipient){.issuer = c->issuer, .serial = c->serial};
}

static int opens(const struct authority *a, const struct cert *c)
{
    struct authority_keys keys = {.authority = a};
    struct scep_keys k = authority_scep_keys(&keys);
    struct scep_recipient who = recipient(c);
    return k.find(k.ctx, &who);
}

/* ---- loading ---- */

START_TEST(the_configured_files_alone)
{
    make();
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->n, 1);
    ck_assert_ptr_eq(a->current, a->member[0]);
    ck_assert_ptr_null(a->next);
    ck_assert_uint_eq(a->current->generation, 1);
    ck_assert_uint_eq(a->changes, 0);
    ck_assert_uint_eq(f.spec->n, 2);
    ck_assert(!a->stale);
    family_free(a);
    ck_assert_int_ne(access(directory, F_OK), 0);
}
END_TEST

START_TEST(a_renewed_ra)
{
    make();
    struct family *before = load(FAMILY_LOOK);
    renew_at(f.plan.now, 1, RA_SINGLE);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->set_n, 2);
    ck_assert_uint_eq(a->changes, 1);
    ck_assert(!view_eq(buf_view(&a->current->ra->der), buf_view(&before->current->ra->der)));
    /* the old one still opens, and answers who knows no other */
    int old = opens(a->current, before->current->ra), key = -1;
    ck_assert_int_ge(old, 0);
    ck_assert_int_ne(old, a->current->key_ra);
    const struct cert *signer = authority_answer_signer(a->current, RA_SINGLE, old, &key);
    ck_assert(view_eq(buf_view(&signer->der), buf_view(&before->current->ra->der)));
    ck_assert_int_eq(key, old);
    signer = authority_answer_signer(a->current, RA_SINGLE, a->current->key_ra, &key);
    ck_assert_ptr_eq(signer, a->current->ra);
    ck_assert(family_has_key(a->current, before->current->key_hash[1]));
    struct signer *s = NULL;
    ck_assert_msg(signer_local(f.spec, &s, &err), "%s", err.text);
    signer_free(s);
    struct stat st;
    ck_assert_int_eq(stat(directory, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    char path[440];
    snprintf(path, sizeof path, "%s/ra-1.key", directory);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    family_free(a);
    family_free(before);
}
END_TEST

START_TEST(a_renewed_pair)
{
    f.plan.ra_pair = true;
    make();
    struct family *before = load(FAMILY_LOOK);
    renew_at(f.plan.now, 1, RA_PAIR);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->set_n, 3);
    ck_assert_uint_eq(f.spec->n, 6);
    int key = -1, old = opens(a->current, before->current->ra_encryption);
    ck_assert_int_ge(old, 0);
    const struct cert *signer = authority_answer_signer(a->current, RA_PAIR, old, &key);
    ck_assert(view_eq(buf_view(&signer->der), buf_view(&before->current->ra_signing->der)));
    ck_assert_uint_eq(f.spec->key[key].uses, SIGNER_MESSAGES);
    ck_assert(view_eq(buf_view(&a->current->ra->der), buf_view(&before->current->ra->der)));
    family_free(a);
    family_free(before);
}
END_TEST

static void made_next(void)
{
    make();
    later = f.plan.now + YEAR;
    next_at(later, 0);
}

/* RFC 8894 section 5.1: the key that a message is encrypted to names the generation that answers.
 */
START_TEST(a_next_ca)
{
    made_next();
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->n, 2);
    ck_assert_ptr_nonnull(a->next);
    ck_assert_uint_eq(a->next->generation, 2);
    ck_assert_int_eq(a->next->role, AUTHORITY_NEXT);
    ck_assert_int_eq(a->activates_at, a->current->cert->not_after - YEAR - DAY);
    char subject[200];
    name_text(&a->next->subject, subject, sizeof subject);
    ck_assert_str_eq(subject, "O=Example,CN=Fixture CA G2");
    ck_assert_str_eq(a->next->crl_url, "http://ca.example.org/a-g2.crl");
    ck_assert_str_eq(a->next->issuer_url, "http://ca.example.org/a-g2.crt");
    ck_assert_uint_eq(f.spec->key[a->next->key_ca].uses, SIGNER_CERTIFICATES | SIGNER_CRLS);
    ck_assert_ptr_eq(family_by_key(a->current, a->next->key_ra), a->next);
    ck_assert_ptr_eq(family_by_key_id(a->current, a->next->key_id), a->next);
    int key = -1;
    ck_assert_ptr_eq(authority_answer_signer(a->current, RA_SINGLE, a->next->key_ra, &key),
                     a->next->ra);
    ck_assert_int_eq(key, a->next->key_ra);
    family_free(a);
}
END_TEST

static X509 *x509(const struct cert *c)
{
    const unsigned char *p = c->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* As sscep does it: PKCS7_verify against the certificates that the client has. */
static struct buf verified(struct view der, const struct cert *trusted)
{
    const unsigned char *p = der.p;
    char *content = NULL;
    struct buf out = {0};
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)der.n);
    X509_STORE *store = X509_STORE_new();
    X509 *ca = x509(trusted);
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert(p7 && store && bio && X509_STORE_add_cert(store, ca) == 1);
    if (PKCS7_verify(p7, NULL, store, NULL, bio, 0) == 1) {
        long n = BIO_get_mem_data(bio, &content);
        ck_assert(buf_append(&out, content, (size_t)n));
    }
    PKCS7_free(p7);
    X509_STORE_free(store);
    X509_free(ca);
    BIO_free(bio);
    return out;
}

static bool holds(const struct scep_certs *c, const struct cert *cert)
{
    for (size_t i = 0; i < c->n; i++)
        if (view_eq(buf_view(&c->der[i]), buf_view(&cert->der)))
            return true;
    return false;
}

static bool is_outside(struct view der, const struct cert *cert)
{
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
    STACK_OF(X509) *certs = CMS_get1_certs(cms);
    X509 *x = x509(cert);
    bool found = false;
    for (int i = 0; i < sk_X509_num(certs); i++)
        found |= X509_cmp(sk_X509_value(certs, i), x) == 0;
    X509_free(x);
    sk_X509_pop_free(certs, X509_free);
    CMS_ContentInfo_free(cms);
    return found;
}

/* By the RFC the CA signs; jscep looks for the RA's signature. */
static int signers(struct view der, const struct cert *one)
{
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
    STACK_OF(CMS_SignerInfo) *all = CMS_get0_SignerInfos(cms);
    X509 *x = x509(one);
    int n = sk_CMS_SignerInfo_num(all), found = 0;
    for (int i = 0; i < n; i++)
        found += CMS_SignerInfo_cert_cmp(sk_CMS_SignerInfo_value(all, i), x) == 0;
    X509_free(x);
    CMS_ContentInfo_free(cms);
    return found == 1 ? n : -1;
}

static const struct cert *root_of(const struct authority *a)
{
    return a->chain_n ? a->chain[a->chain_n - 1] : a->cert;
}

static void expect_announcement(const struct family *a, int shape)
{
    struct view der = buf_view(&a->announcement[shape]);
    struct scep_certs inner = {0};
    ck_assert_uint_gt(der.n, 0);
    struct buf content = verified(der, root_of(a->current));
    ck_assert_uint_gt(content.n, 0);
    ck_assert_msg(scep_certs_parse(buf_view(&content), &inner, &err), "%s", err.text);
    ck_assert(view_eq(buf_view(&inner.der[0]), buf_view(&a->next->cert->der)));
    ck_assert(is_outside(der, a->next->cert));
    ck_assert_int_eq(signers(der, a->current->cert), shape == RA_NONE ? 1 : 2);
    if (shape == RA_SINGLE) {
        ck_assert_int_eq(signers(der, a->current->ra), 2);
        ck_assert(holds(&inner, a->next->ra));
    }
    if (shape == RA_PAIR) {
        ck_assert_int_eq(signers(der, a->current->ra_signing), 2);
        ck_assert(holds(&inner, a->next->ra_encryption));
        ck_assert(holds(&inner, a->next->ra_signing));
    }
    if (shape == RA_NONE)
        ck_assert_uint_eq(inner.n, 1 + a->next->chain_n);
    struct buf wrong = verified(der, a->next->cert); /* trusted by nobody yet */
    ck_assert_uint_eq(wrong.n, 0);
    buf_clear(&content);
    scep_certs_clear(&inner);
}

/* RFC 8894 sections 4.7 and 4.7.1 */
START_TEST(the_announcement)
{
    f.plan.ra_pair = true;
    made_next();
    struct family *a = load(FAMILY_SERVE);
    for (int shape = RA_SINGLE; shape <= RA_NONE; shape++)
        expect_announcement(a, shape);
    family_free(a);
    /* a new RA, of the current CA or of the next: announced anew */
    renew_at(f.plan.now, 1, RA_SINGLE);
    renew_at(later, 2, RA_PAIR);
    a = load(FAMILY_SERVE);
    for (int shape = RA_SINGLE; shape <= RA_NONE; shape++)
        expect_announcement(a, shape);
    family_free(a);
}
END_TEST

/* RFC 8894 section 2.2 */
START_TEST(it_takes_over)
{
    made_next();
    struct tend t = at(later + 10 * DAY);
    struct family *before = load(FAMILY_LOOK);
    ck_assert_msg(tend_activate(&t, &err), "%s", err.text);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->generation, 2);
    ck_assert_ptr_null(a->next);
    ck_assert_uint_eq(a->announcement[RA_SINGLE].n, 0);
    const struct authority *former = a->member[0];
    ck_assert_int_eq(former->role, AUTHORITY_FORMER);
    ck_assert_uint_eq(f.spec->key[former->key_ca].uses, SIGNER_CRLS);
    ck_assert_uint_eq(f.spec->key[a->current->key_ca].uses, SIGNER_CERTIFICATES | SIGNER_CRLS);
    int key = -1, opened = opens(a->current, before->current->ra);
    ck_assert_int_eq(opened, former->key_ra);
    ck_assert_ptr_eq(authority_answer_signer(a->current, RA_SINGLE, opened, &key), former->ra);
    ck_assert(!tend_activate(&t, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    family_free(a);
    family_free(before);
    ck_assert_uint_eq(files_there(), 5); /* manifest, CA and RA with their keys */
}
END_TEST

START_TEST(only_one_next)
{
    made_next();
    struct tend t = at(later);
    const struct tend_next wish = {0};
    ck_assert(!tend_make_next(&t, &wish, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_msg(tend_abort(&t, &err), "%s", err.text);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->n, 1);
    family_free(a);
    ck_assert_uint_eq(files_there(), 1);
    ck_assert(!tend_abort(&t, &err));
    next_at(later, TEND_BY_HAND); /* numbers are not given twice */
    a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->next->generation, 3);
    ck_assert_int_eq(a->activates_at, 0);
    family_free(a);
}
END_TEST

START_TEST(under_a_root)
{
    f.plan.root_key = "p384";
    f.plan.ca_validity = 5 * YEAR;
    make();
    struct tend t = at(f.plan.now);
    const struct tend_next wish = {0};
    ck_assert(!tend_make_next(&t, &wish, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert(plan(f.plan.now).by_hand || plan(f.plan.now).what == TEND_RENEW_RA);
    char root[400], other[400];
    snprintf(other, sizeof other, "%s", f.files.key);
    rules.root_key = other;
    ck_assert(!tend_make_next(&t, &wish, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "is not the key of the CA above"));
    snprintf(root, sizeof root, "%s", ca_fixture_path(&f, "keys/root.key"));
    rules.root_key = root;
    const struct tend_next same_end = {.validity = 100 * DAY};
    ck_assert(!tend_make_next(&t, &same_end, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "would not outlive"));
    const struct tend_next longer = {.validity = 9 * YEAR};
    ck_assert_msg(tend_make_next(&t, &longer, &err), "%s", err.text);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->next->chain_n, 1);
    ck_assert(view_eq(buf_view(&a->next->chain[0]->der), buf_view(&a->current->chain[0]->der)));
    expect_announcement(a, RA_NONE);
    family_free(a);
}
END_TEST

START_TEST(another_key_in_the_configuration)
{
    struct ca_fixture other;
    made_next();
    ca_fixture_plan(&other);
    ca_fixture_init(&other);
    files.first = other.files;
    struct family *a = NULL;
    ck_assert(!family_load(&files, FAMILY_LOOK, NULL, 0, NULL, &a, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "another key than generation 1"));
    ca_fixture_clear(&other);
}
END_TEST

/* ---- damaged manifests ---- */

static const struct {
    const char *from, *to, *says;
} damage[] = {
    {"\"version\": 2", "\"version\": 3", "of version 3"},
    {"{", "", "authority.json"},
    {"\"current\": 1", "\"current\": 7", "the current generation is missing"},
    {"\"number\": 2", "\"number\": 1", "not in order"},
    {"\"number\": 2", "\"number\": 99", "not in order"},
    {"\"chain\": 0", "\"chain\": 5", "wrong number, chain"},
    {"\"shape\": \"single\"", "\"shape\": \"none\"", "wrong number or shape"},
    {"\"last_ra\"", "\"last_rb\"", "authority.json"},
    {"\"key\": \"", "\"key\": \"zz", "the hash of a key is none"},
    {"\"version\": 2", "\"version\": 2, \"more\": 2", "authority.json"},
    {"\"ocsp\": []", "\"ocsp\": [0]", "an OCSP responder with a wrong number"},
    {"\"ocsp\": []", "\"ocsp\": [\"../x\"]", "an OCSP responder with a wrong number"},
    {"\"ocsp\": []", "\"ocsp\": [1, 2, 3]", "no list, or too many"},
    {"\"ocsp\": []", "\"ocsp\": {}", "no list, or too many"},
    {"\"last_ocsp\": 0", "\"last_ocsp\": -1", "a number out of range"},
};

START_TEST(a_damaged_manifest)
{
    char path[440], text[16384], out[16500];
    made_next();
    snprintf(path, sizeof path, "%s/authority.json", directory);
    FILE *in = fopen(path, "r");
    ck_assert_ptr_nonnull(in);
    size_t n = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[n] = '\0';
    char *place = strstr(text, damage[_i].from);
    ck_assert_ptr_nonnull(place);
    *place = '\0';
    snprintf(out, sizeof out, "%s%s%s", text, damage[_i].to, place + strlen(damage[_i].from));
    in = fopen(path, "w");
    ck_assert(in && fputs(out, in) >= 0 && fclose(in) == 0);
    struct family *a = NULL;
    ck_assert(!family_load(&files, FAMILY_LOOK, NULL, 0, NULL, &a, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, damage[_i].says) != NULL, "%s", err.text);
}
END_TEST

/* ---- a request to an outside root ---- */

START_TEST(a_request_and_no_answer)
{
    make();
    struct tend t = at(f.plan.now);
    const struct tend_next wish = {.key_kind = "p384"};
    struct buf first = {0}, again = {0};
    EVP_PKEY *key = NULL;
    ck_assert(!tend_request_key(&t, &key, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    ck_assert_msg(tend_request_next(&t, &wish, &first, &err), "%s", err.text);
    ck_assert_msg(tend_request_next(&t, &wish, &again, &err), "%s", err.text);
    ck_assert(view_eq(buf_view(&first), buf_view(&again)));
    BIO *bio = BIO_new_mem_buf(first.p, (int)first.n);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(req);
    ck_assert_int_eq(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    ck_assert_msg(tend_request_key(&t, &key, &err), "%s", err.text);
    ck_assert_int_eq(EVP_PKEY_eq(key, X509_REQ_get0_pubkey(req)), 1);
    /* the current CA's certificate is no answer */
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->n, 1);
    ck_assert(!tend_take_next(&t, key, a->current->cert, NULL, 0, TEND_BY_HAND, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    family_free(a);
    EVP_PKEY_free(key);
    X509_REQ_free(req);
    BIO_free(bio);
    buf_clear(&first);
    buf_clear(&again);
}
END_TEST

/* ---- when what is due ---- */

START_TEST(the_plan_of_a_life)
{
    make();
    int64_t end = f.plan.now + 10 * YEAR;
    struct tend_step s = plan(f.plan.now);
    ck_assert_int_eq(s.what, TEND_RENEW_RA);
    ck_assert_int_eq(s.at, f.plan.now + 2 * YEAR - (2 * YEAR + DAY) / 3);
    rules.ra_renew_before = 30 * DAY;
    s = plan(f.plan.now);
    ck_assert_int_eq(s.at, f.plan.now + 2 * YEAR - 30 * DAY);
    rules.ra_automatic = false;
    ck_assert(plan(f.plan.now).by_hand);
    struct family *a = load(FAMILY_LOOK);
    tend_plan_automatic(a, &rules, f.plan.now, &s);
    ck_assert_int_eq(s.what, TEND_MAKE_NEXT);
    ck_assert_int_eq(s.at, end - YEAR - DAY - 90 * DAY);
    ck_assert_int_eq(tend_missing(a, &rules), 0);
    /* late: still announced, for half of what is left; too late: at once */
    ck_assert_int_eq(tend_activation(a, &rules, end - 100 * DAY), end - 50 * DAY);
    ck_assert_int_eq(tend_activation(a, &rules, end - 300 * DAY), end - 210 * DAY);
    ck_assert_int_eq(tend_activation(a, &rules, end + 5 * DAY), end + 5 * DAY);
    rules.ca_automatic = false;
    tend_plan_automatic(a, &rules, f.plan.now, &s);
    ck_assert_int_eq(s.what, TEND_NOTHING);
    ck_assert_int_eq(s.at, INT64_MAX);
    family_free(a);
}
END_TEST

START_TEST(a_life_too_short_for_its_templates)
{
    f.plan.ca_validity = 400 * DAY;
    make();
    struct family *a = load(FAMILY_LOOK);
    int64_t life = a->current->cert->not_after - a->current->cert->not_before;
    ck_assert_int_eq(tend_missing(a, &rules), YEAR - life / 2);
    ck_assert_int_eq(tend_activation(a, &rules, f.plan.now),
                     a->current->cert->not_after - life / 2);
    family_free(a);
}
END_TEST

START_TEST(an_ra_that_ends_with_its_ca)
{
    f.plan.ca_validity = YEAR;
    f.plan.ra_validity = 2 * YEAR;
    make();
    rules.ca_automatic = false;
    struct tend_step s = plan(f.plan.now);
    ck_assert_int_eq(s.what, TEND_MAKE_NEXT); /* there is nothing to renew */
    ck_assert(s.by_hand);
}
END_TEST

/* What a machine does that was off until `now`; the number of steps. */
static unsigned live_until(int64_t now)
{
    for (unsigned n = 0; n < 40; n++) {
        struct tend_step s;
        struct tend t = at(now);
        struct family *a = load(FAMILY_LOOK);
        tend_plan_automatic(a, &rules, now, &s);
        family_free(a);
        if (s.at > now)
            return n;
        ck_assert_msg(tend_do(&t, &s, &err), "step %d: %s", (int)s.what, err.text);
    }
    ck_abort_msg("it never ends");
}

START_TEST(twelve_years_at_once)
{
    make();
    struct family *a = NULL;
    files.now = f.plan.now + 12 * YEAR;
    ck_assert(!family_load(&files, FAMILY_SERVE, NULL, 0, f.spec, &a, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "has expired"));
    ck_assert_uint_eq(live_until(f.plan.now + 12 * YEAR),
                      3); /* made, took over, the old one put away */
    a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->generation, 2);
    ck_assert_int_eq(a->member[0]->key_ca, -1);
    ck_assert_uint_eq(f.spec->n, 2);
    family_free(a);
}
END_TEST

START_TEST(an_ended_ra_is_replaced)
{
    f.plan.ra_pair = true;
    make();
    ck_assert_uint_eq(live_until(f.plan.now + 3 * YEAR), 2);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->generation, 1);
    ck_assert_int_gt(a->current->ra->not_after, f.plan.now + 4 * YEAR);
    ck_assert_uint_eq(a->current->set_n, 2);
    family_free(a);
}
END_TEST

/* What a clock that was years ahead has made keeps nobody from serving once it is right again. */
static void ahead_and_back(bool pair)
{
    f.plan.ra_pair = pair;
    make();
    struct family *a = load(FAMILY_SERVE);
    int64_t first = pair ? a->current->ra_signing->not_after : a->current->ra->not_after;
    family_free(a);
    ck_assert_uint_ge(live_until(f.plan.now + 3 * YEAR), 1);
    files.now = f.plan.now;
    a = load(FAMILY_SERVE);
    ck_assert_int_eq(pair ? a->current->ra_signing->not_after : a->current->ra->not_after, first);
    family_free(a);
    ck_assert_uint_eq(live_until(f.plan.now), 0);
    /* its time comes */
    files.now = f.plan.now + 3 * YEAR;
    a = load(FAMILY_SERVE);
    ck_assert_int_gt(pair ? a->current->ra_signing->not_after : a->current->ra->not_after, first);
    family_free(a);
}

START_TEST(an_ra_that_has_not_begun)
{
    ahead_and_back(_i);
}
END_TEST

/* Every other month through twenty-five years: nobody is ever without a valid CA and RA. */
START_TEST(every_other_month)
{
    make();
    int64_t now = f.plan.now, end = now + 25 * YEAR;
    unsigned generations = 0;
    for (; now <= end; now += 60 * DAY) {
        live_until(now);
        struct family *a = load(FAMILY_LOOK);
        ck_assert_int_gt(a->current->cert->not_after, now + YEAR);
        ck_assert_int_gt(a->current->ra->not_after, now + 60 * DAY);
        ck_assert_int_le(a->current->ra->not_after, a->current->cert->not_after);
        generations = a->current->generation;
        family_free(a);
    }
    ck_assert_uint_ge(generations, 3);
    struct family *a = load(FAMILY_SERVE);
    for (size_t i = 0; i < a->n; i++)
        ck_assert_int_eq(a->member[i]->key_ca >= 0, a->member[i]->cert->not_after >= files.now);
    family_free(a);
}
END_TEST

/* ---- the audit log's part ---- */

static char recorded[1024];
static unsigned refuse_from;

static bool record(void *ctx, const struct tend_event *e, struct err *why)
{
    if (refuse_from && --refuse_from == 0)
        return err_set(why, ERR_STORE, "not now");
    snprintf(recorded + strlen(recorded), sizeof recorded - strlen(recorded), "%s by %s; ",
             e->event, e->actor);
    return true;
}

START_TEST(each_change_is_recorded_once)
{
    made_next();
    renew_at(later, 1, RA_SINGLE);
    recorded[0] = '\0';
    refuse_from = 2;
    ck_assert(!tend_record(&files, record, NULL, &err));
    ck_assert_str_eq(recorded, "ca.next by anna; ");
    ck_assert_msg(tend_record(&files, record, NULL, &err), "%s", err.text);
    ck_assert_str_eq(recorded, "ca.next by anna; ra.renewed by anna; ");
    ck_assert(tend_record(&files, record, NULL, &err));
    ck_assert_str_eq(recorded, "ca.next by anna; ra.renewed by anna; ");
}
END_TEST

/* ---- killed anywhere ---- */

enum { CUT_RA, CUT_NEXT, CUT_ACTIVATE, CUT_ABORT, CUTS };

static bool change(int which)
{
    struct tend t = at(later);
    const struct tend_next wish = {0};
    const struct tend_step ra = {.what = TEND_RENEW_RA, .generation = 1, .shape = RA_SINGLE};
    switch (which) {
    case CUT_RA:
        return tend_do(&t, &ra, &err);
    case CUT_NEXT:
        return tend_make_next(&t, &wish, &err);
    case CUT_ACTIVATE:
        return tend_activate(&t, &err);
    default:
        return tend_abort(&t, &err);
    }
}

/* The child is killed at its `cut`-th call of the file system; true when it came to the end. */
static bool cut_at(int which, unsigned cut)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        cuts_after(cut);
        _exit(change(which) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        return true;
    }
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    return false;
}

static void undo(int which)
{
    struct tend t = at(later);
    char path[440];
    struct err ignored;
    if (which == CUT_NEXT) {
        tend_abort(&t, &ignored);
    } else if (which == CUT_RA) { /* as it was before */
        snprintf(path, sizeof path, "rm -rf %s", directory);
        ck_assert_int_eq(system(path), 0);
    } else {
        snprintf(path, sizeof path, "rm -rf %s", directory);
        ck_assert_int_eq(system(path), 0);
        next_at(later, TEND_BY_HAND);
    }
}

START_TEST(killed_at_every_step)
{
    unsigned cut = 1, old = 0, new = 0;
    if (_i == CUT_NEXT)
        f.plan.ra_key = NULL; /* many steps: no RSA keys in each */
    make();
    later = f.plan.now + YEAR;
    undo(_i);
    for (bool ended = false; !ended; cut++) {
        struct family *before = load(FAMILY_LOOK);
        uint64_t changes = before->changes;
        family_free(before);
        ended = cut_at(_i, cut);
        struct family *after = load(FAMILY_SERVE);
        ck_assert(after->changes == changes || after->changes == changes + 1);
        bool done = after->changes != changes;
        old += !done;
        new += done;
        struct signer *s = NULL;
        ck_assert_msg(signer_local(f.spec, &s, &err), "cut %u: %s", cut, err.text);
        signer_free(s);
        family_free(after);
        /* whoever comes next is not hindered by what lies about */
        if (!done)
            ck_assert_msg(change(_i), "cut %u: %s", cut, err.text);
        undo(_i);
    }
    ck_assert_uint_gt(old, 5);
    ck_assert_uint_gt(new, 1); /* after the manifest too */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/family");
    TCase *loading = tcase_create("loading"), *life = tcase_create("life"),
          *cuts = tcase_create("cuts");
    tcase_add_checked_fixture(loading, setup, teardown);
    tcase_set_timeout(loading, 60);
    tcase_add_test(loading, the_configured_files_alone);
    tcase_add_test(loading, a_renewed_ra);
    tcase_add_test(loading, a_renewed_pair);
    tcase_add_test(loading, a_next_ca);
    tcase_add_test(loading, the_announcement);
    tcase_add_test(loading, it_takes_over);
    tcase_add_test(loading, only_one_next);
    tcase_add_test(loading, under_a_root);
    tcase_add_test(loading, another_key_in_the_configuration);
    tcase_add_loop_test(loading, a_damaged_manifest, 0, sizeof damage / sizeof damage[0]);
    tcase_add_test(loading, a_request_and_no_answer);
    tcase_add_checked_fixture(life, setup, teardown);
    tcase_set_timeout(life, 120);
    tcase_add_test(life, the_plan_of_a_life);
    tcase_add_test(life, a_life_too_short_for_its_templates);
    tcase_add_test(life, an_ra_that_ends_with_its_ca);
    tcase_add_test(life, twelve_years_at_once);
    tcase_add_test(life, an_ended_ra_is_replaced);
    tcase_add_loop_test(life, an_ra_that_has_not_begun, 0, 2);
    tcase_add_test(life, every_other_month);
    tcase_add_test(life, each_change_is_recorded_once);
    tcase_add_checked_fixture(cuts, setup, teardown);
    tcase_set_timeout(cuts, 240);
    tcase_add_loop_test(cuts, killed_at_every_step, 0, CUTS);
    suite_add_tcase(s, loading);
    suite_add_tcase(s, life);
    suite_add_tcase(s, cuts);
    return check_main(s);
}
