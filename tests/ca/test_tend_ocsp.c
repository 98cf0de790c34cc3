/* OCSP responders: made for every generation that can have one, renewed at half of their lives, and
 * never in the way of anything else. */
#include <openssl/x509v3.h>
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

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

static struct ca_fixture f;
static struct family_files files;
static struct tend_rules rules;
static char directory[400];
static struct err err;

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
    files.first.ocsp = true;
    rules = (struct tend_rules){.ra_automatic = true,
                                .ca_automatic = true,
                                .ra_validity = 2 * YEAR,
                                .ca_announce = 90 * DAY,
                                .longest = YEAR,
                                .ocsp_key = "p256",
                                .ocsp_validity = 14 * DAY};
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
    return (struct tend){.files = &files, .rules = &rules, .actor = "scepd", .now = now};
}

static struct tend_step due(int64_t now)
{
    struct tend_step s;
    files.now = now;
    struct family *a = load(FAMILY_LOOK);
    tend_plan_automatic(a, &rules, now, &s);
    family_free(a);
    return s;
}

/* What a daemon does at `now`; the number of steps. */
static unsigned live(int64_t now)
{
    for (unsigned n = 0; n < 40; n++) {
        struct tend t = at(now);
        struct tend_step s = due(now);
        if (s.at > now)
            return n;
        ck_assert_msg(tend_do(&t, &s, &err), "step %d: %s", (int)s.what, err.text);
    }
    ck_abort_msg("it never ends");
}

static void path_in(const char *name, char out[480])
{
    snprintf(out, 480, "%s/%s", directory, name);
}

static bool there(const char *name)
{
    char path[480];
    path_in(name, path);
    return access(path, F_OK) == 0;
}

static void replace(const char *name, const char *text)
{
    char path[480];
    path_in(name, path);
    FILE *out = fopen(path, "w");
    ck_assert(out && fputs(text, out) >= 0 && fclose(out) == 0);
}

static void starts(void)
{
    struct signer *s = NULL;
    ck_assert_msg(signer_local(f.spec, &s, &err), "%s", err.text);
    signer_free(s);
}

/* ---- what is made ---- */

static void has_profile(const struct authority *a)
{
    const unsigned char *p = a->ocsp.cert->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)a->ocsp.cert->der.n);
    ck_assert_ptr_nonnull(x);
    ck_assert_uint_eq(X509_get_key_usage(x), X509v3_KU_DIGITAL_SIGNATURE);
    ck_assert_uint_eq(X509_get_extended_key_usage(x), XKU_OCSP_SIGN);
    ck_assert_int_ge(X509_get_ext_by_NID(x, NID_id_pkix_OCSP_noCheck, -1), 0);
    ck_assert_int_lt(X509_get_ext_by_NID(x, NID_crl_distribution_points, -1), 0);
    ck_assert_int_lt(X509_get_ext_by_NID(x, NID_info_access, -1), 0);
    ck_assert_int_eq(X509_check_ca(x), 0);
    ck_assert_int_eq(X509_verify(x, a->public_key), 1);
    X509_free(x);
}

/* RFC 6960 sections 4.2.2.2 and 4.2.2.2.1 */
START_TEST(the_first_one)
{
    make();
    struct family *a = load(FAMILY_SERVE);
    ck_assert_ptr_null(a->current->ocsp.cert);
    ck_assert_int_eq(a->current->ocsp.key, -1);
    ck_assert_ptr_nonnull(strstr(a->current->ocsp.fault, "no OCSP responder has been made yet"));
    starts();
    family_free(a);
    struct tend_step s = due(f.plan.now);
    ck_assert_int_eq(s.what, TEND_RENEW_OCSP);
    ck_assert_int_eq(s.at, f.plan.now);
    ck_assert_uint_eq(live(f.plan.now), 1);
    a = load(FAMILY_SERVE);
    const struct authority *m = a->current;
    ck_assert_ptr_nonnull(m->ocsp.cert);
    ck_assert_str_eq(m->ocsp.fault, "");
    ck_assert_int_ge(m->ocsp.key, 0);
    ck_assert_uint_eq(f.spec->key[m->ocsp.key].uses, SIGNER_OCSP);
    ck_assert_int_eq(m->ocsp.cert->not_after, f.plan.now + 14 * DAY);
    ck_assert_int_eq(m->ocsp.cert->not_before, f.plan.now - HOUR);
    has_profile(m);
    char subject[200];
    name_der_text(m->ocsp.cert->subject, subject, sizeof subject);
    ck_assert_str_eq(subject, "O=Example,CN=Fixture CA OCSP");
    ck_assert(family_has_key(m, m->key_hash[m->key_hash_n - 1])); /* no device gets its key */
    struct stat st;
    char path[480];
    path_in("ocsp-1.key", path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    starts();
    family_free(a);
}
END_TEST

START_TEST(of_rsa_when_wanted)
{
    make();
    ck_assert_uint_eq(live(f.plan.now), 1);
    rules.ocsp_key = "rsa2048"; /* the setting was changed: at once */
    ck_assert_uint_eq(live(f.plan.now + HOUR), 1);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_int_eq(EVP_PKEY_get_base_id(a->current->public_key), EVP_PKEY_EC);
    struct pubkey key;
    ck_assert(pubkey_parse(a->current->ocsp.cert->spki, &key, &err));
    ck_assert_int_eq(key.type, KEY_RSA);
    ck_assert_uint_eq(key.bits, 2048);
    starts();
    family_free(a);
    ck_assert_uint_eq(live(f.plan.now + 2 * HOUR), 0);
}
END_TEST

START_TEST(none_when_not_wanted)
{
    make();
    ck_assert_uint_eq(live(f.plan.now), 1);
    files.first.ocsp = false;
    rules.ocsp_key = NULL;
    struct family *a = load(FAMILY_SERVE);
    ck_assert_ptr_null(a->current->ocsp.cert);
    ck_assert_str_eq(a->current->ocsp.fault, "");
    family_free(a);
    ck_assert_int_ne(due(f.plan.now + YEAR).what, TEND_RENEW_OCSP);
}
END_TEST

/* A CA from elsewhere, whose name cannot be lengthened by a rule of ours. */
START_TEST(of_a_long_name)
{
    f.plan.name = "An Issuing Certificate Authority with a Name of Sixty-One";
    make();
    ck_assert_uint_eq(live(f.plan.now), 1);
    struct family *a = load(FAMILY_SERVE);
    char subject[200];
    name_der_text(a->current->ocsp.cert->subject, subject, sizeof subject);
    ck_assert_ptr_nonnull(strstr(subject, " OCSP"));
    family_free(a);
}
END_TEST

/* ---- when ---- */

START_TEST(at_half_of_its_life)
{
    make();
    int64_t now = f.plan.now;
    live(now);
    struct tend_step s = due(now);
    ck_assert_int_eq(s.what, TEND_RENEW_OCSP);
    ck_assert_int_eq(s.at, now + 7 * DAY);
    ck_assert_uint_eq(live(now + 7 * DAY - 1), 0);
    ck_assert_uint_eq(live(now + 7 * DAY), 1);
    ck_assert(there("ocsp-1.key") &&
              there("ocsp-2.key")); /* a daemon may serve with the first one still */
    ck_assert_uint_eq(live(now + 14 * DAY), 1);
    ck_assert(!there("ocsp-1.key") && !there("ocsp-1.pem") && there("ocsp-2.key"));
    struct family *a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->ocsp.number, 3);
    ck_assert_int_eq(a->current->ocsp.cert->not_after, now + 28 * DAY);
    family_free(a);
    /* a person is told of CAs and RAs, which are rarer */
    a = load(FAMILY_LOOK);
    tend_plan(a, &rules, now, &s);
    ck_assert_int_eq(s.what, TEND_RENEW_RA);
    family_free(a);
}
END_TEST

/* RFC 6960 section 4.2.2.2: it is the CA's word, and the CA's end is its end. */
START_TEST(never_beyond_its_ca)
{
    f.plan.ca_validity = 10 * DAY;
    make();
    rules.ca_automatic = rules.ra_automatic = false;
    int64_t now = f.plan.now, end = now + 10 * DAY;
    ck_assert_uint_eq(live(now), 1);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_int_eq(a->current->ocsp.cert->not_after, end);
    family_free(a);
    for (int64_t t = now; t < end + 2 * DAY; t += HOUR)
        ck_assert_int_gt(due(t).at, t); /* nothing would live longer */
}
END_TEST

/* The former CA goes on answering until it ends, the next one begins with its first certificate
 * (RFC 6960 section 4.2.2.2: issued directly by the CA key that issued the certificates asked
 * about). */
START_TEST(of_each_generation)
{
    make();
    int64_t now = f.plan.now, first_end = now + 10 * YEAR;
    const struct tend_next wish = {.activate_at = TEND_BY_HAND};
    live(now);
    struct tend t = at(now + DAY);
    ck_assert_msg(tend_make_next(&t, &wish, &err), "%s", err.text);
    ck_assert_uint_eq(live(now + DAY), 1);
    struct family *a = load(FAMILY_SERVE);
    ck_assert_ptr_nonnull(a->next);
    ck_assert_int_ge(a->next->ocsp.key, 0);
    has_profile(a->next);
    ck_assert_int_ge(a->current->ocsp.key, 0);
    ck_assert_int_ne(a->current->ocsp.key, a->next->ocsp.key);
    starts();
    family_free(a);
    ck_assert_msg(tend_activate(&t, &err), "%s", err.text);
    rules.ra_automatic = rules.ca_automatic = false;
    for (int64_t day = now + DAY; day < first_end; day += 200 * DAY) {
        live(day);
        a = load(FAMILY_LOOK);
        ck_assert_int_eq(a->member[0]->role, AUTHORITY_FORMER);
        for (size_t i = 0; i < a->n; i++)
            ck_assert(a->member[i]->ocsp.cert && a->member[i]->ocsp.cert->not_after > day);
        ck_assert_int_le(a->member[0]->ocsp.cert->not_after, first_end);
        family_free(a);
    }
    live(first_end + DAY); /* put away with its CA, which no certificate of it outlives */
    a = load(FAMILY_LOOK);
    ck_assert_int_gt(a->retired_at[0], 0);
    ck_assert_ptr_null(a->member[0]->ocsp.cert);
    ck_assert_str_eq(a->member[0]->ocsp.fault, "");
    ck_assert_int_ge(a->member[1]->ocsp.number, 1);
    family_free(a);
}
END_TEST

/* ---- what can be wrong ---- */

static void wrong_certificate(void)
{
    replace("ocsp-2.pem", "nonsense\n");
}

static void wrong_issuer(void)
{
    char from[480], to[480], command[1100];
    snprintf(from, sizeof from, "%s", f.files.ra_certificate); /* of the CA, and no responder */
    path_in("ocsp-2.pem", to);
    snprintf(command, sizeof command, "cp %s %s", from, to);
    ck_assert_int_eq(system(command), 0);
}

static void no_certificate(void)
{
    char path[480];
    path_in("ocsp-2.pem", path);
    ck_assert_int_eq(unlink(path), 0);
}

static void no_key(void)
{
    char path[480];
    path_in("ocsp-2.key", path);
    ck_assert_int_eq(unlink(path), 0);
}

static const struct {
    void (*spoil)(void);
    const char *says;
} faults[] = {
    {wrong_certificate, "ocsp-2.pem is no certificate"},
    {wrong_issuer, "C18"},
    {no_certificate, "ocsp-2.pem"},
    {no_key, "the key of the OCSP responder"},
};

/* Devices enrol on; the one before answers while it can, and another one is made. */
START_TEST(it_is_in_nobodys_way)
{
    make();
    int64_t now = f.plan.now;
    live(now);
    live(now + 7 * DAY);
    faults[_i].spoil();
    files.now = now + 8 * DAY;
    struct family *a = load(FAMILY_SERVE);
    ck_assert_msg(strstr(a->current->ocsp.fault, faults[_i].says) != NULL, "%s",
                  a->current->ocsp.fault);
    ck_assert_uint_eq(a->current->ocsp.number, 1);
    ck_assert_int_ge(a->current->ocsp.key, 0);
    starts();
    family_free(a);
    files.now = now + 15 * DAY; /* by now that one has ended */
    a = load(FAMILY_SERVE);
    ck_assert_ptr_null(a->current->ocsp.cert);
    ck_assert_int_eq(a->current->ocsp.key, -1);
    starts();
    family_free(a);
    ck_assert_uint_eq(live(now + 15 * DAY), 1);
    a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->ocsp.number, 3);
    ck_assert_str_eq(a->current->ocsp.fault, "");
    family_free(a);
}
END_TEST

/* What only who opens it can see. */
START_TEST(a_damaged_key)
{
    struct signer *s = NULL;
    struct buf signature = {0}, tbs;
    struct crl_plan crl;
    static const uint8_t data[] = {0x30, 0};
    make();
    live(f.plan.now);
    replace("ocsp-1.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    struct family *a = load(FAMILY_SERVE);
    ck_assert_int_ge(a->current->ocsp.key, 0);
    ck_assert_msg(signer_local(f.spec, &s, &err), "%s", err.text);
    const struct view one = view_of(data, sizeof data);
    ck_assert(!signer_sign_ocsp(s, (unsigned)a->current->ocsp.key, &one, 1, &signature, &err));
    ck_assert_int_eq(err.kind, ERR_SIGNER);
    ck_assert_msg(strstr(err.text, "may not sign OCSP answers"), "%s", err.text);
    ck_assert(ca_fixture_load(&f, &err));
    crl_plan_make(&f, &crl);
    tbs = crl_plan_build(&crl);
    ck_assert_msg(
        signer_sign_crl(s, (unsigned)a->current->key_ca, buf_view(&tbs), NULL, &signature, &err),
        "%s", err.text);
    buf_clear(&tbs);
    buf_clear(&signature);
    signer_free(s);
    family_free(a);
}
END_TEST

START_TEST(an_ended_one_is_replaced)
{
    make();
    int64_t now = f.plan.now;
    live(now);
    files.now = now + 20 * DAY;
    struct family *a = load(FAMILY_SERVE);
    ck_assert_ptr_null(a->current->ocsp.cert);
    ck_assert_ptr_nonnull(strstr(a->current->ocsp.fault, "has expired"));
    family_free(a);
    a = load(FAMILY_LOOK); /* shown all the same */
    ck_assert_ptr_nonnull(a->current->ocsp.cert);
    family_free(a);
    ck_assert_uint_eq(live(now + 20 * DAY), 1);
}
END_TEST

/* The CA key was taken offline: what can be signed is, nothing else is tried for ever. */
START_TEST(without_the_ca_key)
{
    char path[480];
    make();
    live(f.plan.now);
    snprintf(path, sizeof path, "%s", f.files.key);
    ck_assert_int_eq(unlink(path), 0);
    struct tend_step s = due(f.plan.now + 10 * DAY);
    ck_assert_int_ne(s.what, TEND_RENEW_OCSP);
    struct tend t = at(f.plan.now + 10 * DAY);
    const struct tend_step now = {.what = TEND_RENEW_OCSP, .generation = 1};
    ck_assert(!tend_do(&t, &now, &err));
    const struct tend_step nobody = {.what = TEND_RENEW_OCSP, .generation = 7};
    ck_assert(!tend_do(&t, &nobody, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
}
END_TEST

/* A step that fails does not hold up those that matter more. */
START_TEST(it_comes_last)
{
    make();
    rules.ocsp_key = "p256";
    int64_t now = f.plan.now + 2 * YEAR;
    struct tend_step s = due(now);
    ck_assert_int_eq(s.what, TEND_RENEW_RA);
}
END_TEST

/* Manifests of versions that knew no OCSP. */
START_TEST(an_old_manifest)
{
    char text[2000], key[65];
    make();
    rules.ocsp_key = NULL;
    struct tend t = at(f.plan.now);
    const struct tend_step ra = {.what = TEND_RENEW_RA, .generation = 1, .shape = RA_SINGLE};
    ck_assert_msg(tend_do(&t, &ra, &err), "%s", err.text);
    struct family *a = load(FAMILY_LOOK);
    for (size_t i = 0; i < 32; i++)
        snprintf(key + 2 * i, 3, "%02x", a->current->key_hash[0][i]);
    family_free(a);
    snprintf(
        text, sizeof text,
        "{\"version\": 1, \"changes\": 1, \"current\": 1, \"last_generation\": 1, \"last_ra\": 1, "
        "\"announcement\": 0, \"last_announcement\": 0, \"generations\": [{\"number\": 1, \"key\": "
        "\"%s\", \"made_at\": 0, \"activate_at\": 0, \"activated_at\": 0, \"retired_at\": 0, "
        "\"chain\": 0, \"ras\": [{\"number\": 1, \"shape\": \"single\"}]}], \"unrecorded\": []}",
        key);
    replace("authority.json", text);
    rules.ocsp_key = "p256";
    ck_assert_uint_eq(live(f.plan.now), 1);
    a = load(FAMILY_SERVE);
    ck_assert_uint_eq(a->current->ocsp.number, 1);
    ck_assert_uint_eq(a->current->set_n, 2);
    family_free(a);
}
END_TEST

/* ---- killed anywhere ---- */

static bool renew(void)
{
    struct tend t = at(f.plan.now + 7 * DAY);
    const struct tend_step s = {.what = TEND_RENEW_OCSP, .generation = 1};
    return tend_do(&t, &s, &err);
}

/* The child is killed at its `cut`-th call of the file system; true when it came to the end. */
static bool cut_at(unsigned cut)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        cuts_after(cut);
        _exit(renew() ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        return true;
    }
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    return false;
}

START_TEST(killed_at_every_step)
{
    unsigned old = 0, new = 0;
    make();
    live(f.plan.now);
    for (unsigned cut = 1, ended = false; !ended; cut++) {
        struct family *before = load(FAMILY_LOOK);
        unsigned number = before->current->ocsp.number;
        family_free(before);
        ended = cut_at(cut);
        struct family *after = load(FAMILY_SERVE);
        ck_assert_msg(after->current->ocsp.key >= 0, "cut %u: %s", cut, after->current->ocsp.fault);
        ck_assert_str_eq(after->current->ocsp.fault, "");
        bool done = after->current->ocsp.number != number;
        old += !done;
        new += done;
        starts();
        family_free(after);
        if (!done) /* whoever comes next is not hindered by what lies about */
            ck_assert_msg(renew(), "cut %u: %s", cut, err.text);
    }
    ck_assert_uint_gt(old, 5);
    ck_assert_uint_gt(new, 1); /* after the manifest too */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/tend_ocsp");
    TCase *tc = tcase_create("responders");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, the_first_one);
    tcase_add_test(tc, of_rsa_when_wanted);
    tcase_add_test(tc, none_when_not_wanted);
    tcase_add_test(tc, of_a_long_name);
    tcase_add_test(tc, at_half_of_its_life);
    tcase_add_test(tc, never_beyond_its_ca);
    tcase_add_test(tc, of_each_generation);
    tcase_add_loop_test(tc, it_is_in_nobodys_way, 0, sizeof faults / sizeof faults[0]);
    tcase_add_test(tc, a_damaged_key);
    tcase_add_test(tc, an_ended_one_is_replaced);
    tcase_add_test(tc, without_the_ca_key);
    tcase_add_test(tc, it_comes_last);
    tcase_add_test(tc, an_old_manifest);
    tcase_add_test(tc, killed_at_every_step);
    suite_add_tcase(s, tc);
    return check_main(s);
}
