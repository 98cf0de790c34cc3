/* Requests across the generations of an authority: to the next CA before its time, to former ones
 * after theirs, renewals from one to the other, and replies that were lost in between. */
#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <time.h>

#include "ca/crl.h"
#include "check_main.h"
#include "service_fixture.h"

#define DAY INT64_C(86400)

static struct service_fixture f;
static int64_t now;

#define must(call)                             \
    do {                                       \
        struct err err = {0};                  \
        ck_assert_msg((call), "%s", err.text); \
    } while (0)

/* ---- the authority ---- */

static const struct family *family(void)
{
    return f.rooms.family[0];
}

static void change(int64_t activate_at, bool activate)
{
    struct family_files files;
    struct tend_rules rules;
    const struct tend_next wish = {.activate_at = activate_at};
    struct tend t = {.files = &files, .rules = &rules, .actor = "test", .now = now};
    config_tend_setup(f.config, 0, &files, &rules);
    if (activate)
        must(tend_activate(&t, &err));
    else
        must(tend_make_next(&t, &wish, &err));
    must(service_fixture_reload(&f, &err));
}

static void make_next(void)
{
    change(TEND_BY_HAND, false);
}

static void take_over(void)
{
    change(0, true);
}

static void renew_ra(enum ra_shape shape)
{
    struct family_files files;
    struct tend_rules rules;
    const struct tend_step step = {
        .what = TEND_RENEW_RA, .generation = family()->current->generation, .shape = shape};
    struct tend t = {.files = &files, .rules = &rules, .actor = "test", .now = now};
    config_tend_setup(f.config, 0, &files, &rules);
    must(tend_do(&t, &step, &err));
    must(service_fixture_reload(&f, &err));
}

/* ---- one device ---- */

struct device {
    const struct scep_endpoint *endpoint;
    struct client_ca ca; /* what it knows */
    struct client_identity identity;
    char transaction[64];
    struct buf content;
};

static struct client_ca current_ca(const char *path)
{
    struct client_ca ca = {0};
    must(service_fixture_ca(&f, service_fixture_endpoint(&f, path), &ca, &err));
    return ca;
}

/* As a client that got GetNextCACert: the certificates of the content. */
static struct client_ca next_ca(const char *path)
{
    const struct scep_endpoint *e = service_fixture_endpoint(&f, path);
    const unsigned char *p = e->next_ca_cert.p;
    struct client_ca ca = {0};
    char *content = NULL;
    ck_assert_uint_gt(e->next_ca_cert.n, 0);
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)e->next_ca_cert.n);
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert(cms && bio);
    ck_assert_int_eq(CMS_verify(cms, NULL, NULL, NULL, bio, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY),
                     1);
    long n = BIO_get_mem_data(bio, &content);
    must(client_ca_from_answer(view_of(content, (size_t)n), NULL, &ca, &err));
    CMS_ContentInfo_free(cms);
    BIO_free(bio);
    return ca;
}

static void device_knows(struct device *d, struct client_ca ca)
{
    client_ca_clear(&d->ca);
    d->ca = ca;
}

static void device_request(struct device *d, EVP_PKEY *key, const char *subject,
                           const char *challenge)
{
    struct name name = {0};
    must(name_from_text(subject, &name, &err));
    struct client_wish w = {.subject = &name, .challenge = view_str(challenge)};
    buf_reset(&d->content);
    must(client_csr_build(key, &w, &d->content, &err));
    name_clear(&name);
}

static void one_time(char secret[CHALLENGE_TEXT_MAX])
{
    struct challenge_wish w = {.ttl = 3600, .uses = 1, .now = now};
    struct store_challenge stored;
    must(challenge_new(f.store, &f.rooms.challenge_key, &w, secret, &stored, &err));
}

static struct device device_new(const char *path, const char *subject)
{
    char secret[CHALLENGE_TEXT_MAX];
    struct device d = {.endpoint = service_fixture_endpoint(&f, path), .ca = current_ca(path)};
    struct name name = {0};
    EVP_PKEY *key = EVP_RSA_gen(2048);
    one_time(secret);
    must(name_from_text(subject, &name, &err));
    must(client_identity_self_signed(key, &name, now, &d.identity, &err));
    must(client_transaction_id(key, d.transaction, &err));
    device_request(&d, key, subject, secret);
    name_clear(&name);
    EVP_PKEY_free(key);
    return d;
}

static void device_free(struct device *d)
{
    client_ca_clear(&d->ca);
    client_identity_clear(&d->identity);
    buf_wipe(&d->content);
}

/* The reply is opened as the client would: signed by whom it knows. */
static struct scep_answer ask(struct device *d, enum scep_type type, struct client_result *result)
{
    const uint8_t nonce[16] = {7};
    struct client_message m = {type,          d->transaction, buf_view(&d->content),
                               DIGEST_SHA256, CIPHER_AES128,  PADDING_PKCS1};
    struct buf message = {0};
    must(client_message_build(&m, &d->identity, &d->ca, nonce, &message, &err));
    struct scep_call call = {.endpoint = d->endpoint,
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .message = buf_view(&message),
                             .peer = {"192.0.2.7", "test"},
                             .now = now};
    struct scep_answer a;
    scep_pki_operation(&call, &a);
    ck_assert_msg(!a.fault, "%s", a.detail);
    ck_assert_int_eq(a.status, 200);
    must(client_reply_open(buf_view(&a.body), &m, &d->identity, &d->ca, nonce, result, &err));
    buf_clear(&message);
    return a;
}

/* The certificate, issued by this generation; owned. */
static struct buf expect_from(struct device *d, enum scep_type type, enum enroll_verdict verdict,
                              const struct authority *issuer)
{
    struct client_result r = {0};
    struct scep_answer a = ask(d, type, &r);
    ck_assert_msg(r.status == SCEP_SUCCESS, "%s", r.fail_text);
    ck_assert_int_eq(a.verdict, verdict);
    struct cert *c = NULL;
    must(cert_parse(buf_view(&r.certs.der[0]), &c, &err));
    must(cert_signature_verify(c, issuer->public_key, &err));
    ck_assert_int_le(c->not_after, issuer->cert->not_after);
    struct buf der = r.certs.der[0];
    r.certs.der[0] = (struct buf){0};
    cert_free(c);
    client_result_clear(&r);
    scep_answer_clear(&a);
    return der;
}

/* From now on it signs with the certificate that it got. */
static void device_has(struct device *d, struct buf cert)
{
    buf_clear(&d->identity.cert);
    d->identity.cert = cert;
}

/* A renewal with a new key, under its own transaction. */
static void device_renews(struct device *d, const char *subject)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    device_request(d, key, subject, "");
    must(client_transaction_id(key, d->transaction, &err));
    EVP_PKEY_free(key);
}

static bool announced(const char *path)
{
    const struct scep_endpoint *e = service_fixture_endpoint(&f, path);
    struct buf text = {0};
    ck_assert(buf_append(&text, e->caps.p, e->caps.n) && buf_append(&text, "", 1));
    bool yes = strstr((char *)text.p, "GetNextCACert\n") != NULL;
    buf_clear(&text);
    return yes;
}

static void setup(void)
{
    now = time(NULL);
    must(service_fixture_init(&f, "rsa2048", &err));
}

static void teardown(void)
{
    service_fixture_clear(&f);
}

static const char *const paths[] = {"/scep", "/pair", "/ca"};

/* RFC 8894 section 4.7: announced while there is a next one, and not before or after */
START_TEST(the_announcement)
{
    const char *path = paths[_i];
    ck_assert(!announced(path));
    ck_assert_uint_eq(service_fixture_endpoint(&f, path)->next_ca_cert.n, 0);
    make_next();
    ck_assert(announced(path));
    struct client_ca ca = next_ca(path), old = current_ca(path);
    ck_assert(view_eq(buf_view(&ca.issuer->der), buf_view(&family()->next->cert->der)));
    ck_assert(view_eq(buf_view(&old.issuer->der), buf_view(&family()->current->cert->der)));
    client_ca_clear(&ca);
    client_ca_clear(&old);
    take_over();
    ck_assert(!announced(path));
    ca = current_ca(path);
    ck_assert(view_eq(buf_view(&ca.issuer->der), buf_view(&family()->current->cert->der)));
    ck_assert_uint_eq(family()->current->generation, 2);
    client_ca_clear(&ca);
}
END_TEST

/* RFC 8894 section 5.1: the recipient says which CA issues */
START_TEST(a_request_to_the_next_ca)
{
    make_next();
    struct device d = device_new(paths[_i], "CN=early");
    device_knows(&d, next_ca(paths[_i]));
    struct buf got = expect_from(&d, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->next);
    /* the same again, and others go on with the current one */
    struct buf again = expect_from(&d, SCEP_PKCS_REQ, ENROLL_REPEAT, family()->next);
    ck_assert(view_eq(buf_view(&got), buf_view(&again)));
    struct device other = device_new(paths[_i], "CN=other");
    struct buf usual = expect_from(&other, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->current);
    buf_clear(&got);
    buf_clear(&again);
    buf_clear(&usual);
    device_free(&d);
    device_free(&other);
}
END_TEST

/* As Cisco's devices do: the present certificate signs, the same key and transaction, long before
 * the renewal window. */
START_TEST(a_shadow_certificate)
{
    f.config->template[0].renew_before = DAY;
    struct device d = device_new("/scep", "CN=router");
    device_has(&d, expect_from(&d, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->current));
    make_next();
    struct client_result r = {0};
    struct scep_answer a = ask(&d, SCEP_RENEWAL_REQ, &r);
    ck_assert_int_eq(a.reason, REASON_RENEWAL_TOO_EARLY);
    scep_answer_clear(&a);
    client_result_clear(&r);
    device_knows(&d, next_ca("/scep"));
    struct buf shadow = expect_from(&d, SCEP_RENEWAL_REQ, ENROLL_ISSUE, family()->next);
    struct buf again = expect_from(&d, SCEP_RENEWAL_REQ, ENROLL_REPEAT, family()->next);
    ck_assert(view_eq(buf_view(&shadow), buf_view(&again)));
    /* after the change it is a certificate like any other */
    take_over();
    device_knows(&d, current_ca("/scep"));
    device_has(&d, shadow);
    device_renews(&d, "CN=router");
    a = ask(&d, SCEP_RENEWAL_REQ, &r);
    ck_assert_int_eq(a.reason, REASON_RENEWAL_TOO_EARLY);
    scep_answer_clear(&a);
    client_result_clear(&r);
    buf_clear(&again);
    device_free(&d);
}
END_TEST

/* RFC 8894 section 2.2: a client that knows only the former CA or RA is understood, and understands
 * the answer; what it gets is of the current CA. */
START_TEST(renewals_move_to_the_new_ca)
{
    struct device d = device_new(paths[_i], "CN=mover"), lost = device_new(paths[_i], "CN=lost");
    device_has(&d, expect_from(&d, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->current));
    struct buf unseen = expect_from(&lost, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->current);
    make_next();
    take_over();
    const struct authority *former = family()->member[0];
    ck_assert_int_eq(former->role, AUTHORITY_FORMER);
    /* a reply that was lost before is the old certificate still */
    struct buf again = expect_from(&lost, SCEP_PKCS_REQ, ENROLL_REPEAT, former);
    ck_assert(view_eq(buf_view(&unseen), buf_view(&again)));
    device_renews(&d, "CN=mover");
    struct buf by_old = expect_from(&d, SCEP_RENEWAL_REQ, ENROLL_ISSUE, family()->current);
    device_knows(&d, current_ca(paths[_i]));
    device_renews(&d, "CN=mover");
    struct buf by_new = expect_from(&d, SCEP_RENEWAL_REQ, ENROLL_ISSUE, family()->current);
    buf_clear(&unseen);
    buf_clear(&again);
    buf_clear(&by_old);
    buf_clear(&by_new);
    device_free(&d);
    device_free(&lost);
}
END_TEST

START_TEST(a_client_that_knows_the_ra_before)
{
    enum ra_shape shape = service_fixture_endpoint(&f, paths[_i])->config->ra;
    struct device d = device_new(paths[_i], "CN=cached");
    device_has(&d, expect_from(&d, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->current));
    renew_ra(shape);
    device_renews(&d, "CN=cached");
    struct buf got = expect_from(&d, SCEP_RENEWAL_REQ, ENROLL_ISSUE, family()->current);
    struct client_ca ca = current_ca(paths[_i]);
    ck_assert(!view_eq(buf_view(&ca.recipient->der), buf_view(&d.ca.recipient->der)));
    device_knows(&d, ca);
    device_renews(&d, "CN=cached");
    struct buf more = expect_from(&d, SCEP_RENEWAL_REQ, ENROLL_ISSUE, family()->current);
    buf_clear(&got);
    buf_clear(&more);
    device_free(&d);
}
END_TEST

/* ---- GetCert and GetCRL of every generation ---- */

static void expect_crl(struct device *d, const struct authority *a)
{
    struct client_result r = {0};
    struct store_crl crl = {0};
    must(crl_publish(a, f.signer, f.store, now, NULL, &err));
    must(store_crl_get(f.store, a->key_id, STORE_CRL_COMPLETE, &crl, &err));
    buf_wipe(&d->content);
    must(scep_issuer_and_serial_build(a->cert->subject, a->cert->serial, &d->content, &err));
    struct scep_answer answer = ask(d, SCEP_GET_CRL, &r);
    ck_assert_int_eq(r.status, SCEP_SUCCESS);
    ck_assert(view_eq(buf_view(&r.certs.crl), crl.der));
    store_crl_clear(&crl);
    scep_answer_clear(&answer);
    client_result_clear(&r);
}

/* A list of a hundred thousand entries would fill the memory of whoever answers: by HTTP it costs
 * none. */
START_TEST(a_crl_that_is_too_large)
{
    const struct authority *a = family()->current;
    struct store_crl crl = {.this_update = now, .next_update = now + 100};
    struct store_write *w = NULL;
    struct client_result r = {0};
    struct device d = device_new("/scep", "CN=asks");
    uint8_t *octets = calloc(1, (4u << 20) + 1);
    const struct view part = {octets, (4u << 20) + 1};
    must(store_write_begin(f.store, &w, &err));
    must(store_crl_number_next(w, a->key_id, STORE_CRL_COMPLETE, &crl.number, &err));
    must(store_crl_write(f.store, a->key_id, STORE_CRL_COMPLETE, &crl, &part, 1, &err));
    must(store_crl_put(w, a->key_id, STORE_CRL_COMPLETE, &crl, &err));
    must(store_write_commit(w, &err));
    free(octets);
    struct buf got = expect_from(&d, SCEP_PKCS_REQ, ENROLL_ISSUE, a);
    buf_wipe(&d.content);
    must(scep_issuer_and_serial_build(a->cert->subject, a->cert->serial, &d.content, &err));
    struct scep_answer answer = ask(&d, SCEP_GET_CRL, &r);
    ck_assert_int_eq(r.status, SCEP_FAILURE);
    ck_assert_int_eq(answer.reason, REASON_CERTIFICATE_UNKNOWN);
    scep_answer_clear(&answer);
    client_result_clear(&r);
    buf_clear(&got);
    device_free(&d);
}
END_TEST

START_TEST(what_each_generation_issued)
{
    struct device d = device_new("/scep", "CN=asks");
    struct buf got = expect_from(&d, SCEP_PKCS_REQ, ENROLL_ISSUE, family()->current);
    struct cert *mine = NULL;
    must(cert_parse(buf_view(&got), &mine, &err));
    make_next();
    expect_crl(&d, family()->next);
    take_over();
    expect_crl(&d, family()->current);
    expect_crl(&d, family()->member[0]);
    buf_wipe(&d.content);
    must(scep_issuer_and_serial_build(mine->issuer, mine->serial, &d.content, &err));
    struct buf found = expect_from(&d, SCEP_GET_CERT, ENROLL_REPEAT, family()->member[0]);
    ck_assert(view_eq(buf_view(&got), buf_view(&found)));
    /* the same number of the other generation is none */
    struct client_result r = {0};
    buf_wipe(&d.content);
    must(scep_issuer_and_serial_build(family()->current->cert->subject, mine->serial, &d.content,
                                      &err));
    struct scep_answer a = ask(&d, SCEP_GET_CERT, &r);
    ck_assert_int_eq(a.reason, REASON_CERTIFICATE_UNKNOWN);
    scep_answer_clear(&a);
    client_result_clear(&r);
    cert_free(mine);
    buf_clear(&got);
    buf_clear(&found);
    device_free(&d);
}
END_TEST

/* ---- doing what is due ---- */

static unsigned lines;
static char told[4096];

static void keep_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    size_t have = strlen(told);
    lines++;
    snprintf(told + have, sizeof told - have, "%.*s", (int)n, line);
}

static bool count_audit(void *ctx, const struct store_audit *a)
{
    unsigned *n = ctx;
    *n += strncmp(a->event, "ra.", 3) == 0 || strncmp(a->event, "ca.", 3) == 0;
    return true;
}

START_TEST(tending)
{
    const struct log log = {LOG_LEVEL_INFO, keep_line, NULL};
    bool changed = true;
    unsigned audited = 0;
    snprintf(f.config->authority[0].ocsp_key, sizeof f.config->authority[0].ocsp_key, "none");
    must(service_fixture_reload(&f, &err));
    int64_t due = f.rooms.due;
    ck_assert_int_gt(due, now);
    must(config_tend(f.config, now, &log, &changed, &err));
    ck_assert(!changed);
    ck_assert_msg(lines == 0, "%s", told);
    /* where the store cannot be opened, it is done all the same, and recorded later */
    must(config_tend(f.config, due, &log, &changed, &err)); /* single and pair */
    ck_assert(changed);
    ck_assert_ptr_nonnull(strstr(told, "event=authority.unrecorded"));
    told[0] = '\0';
    lines = 0;
    store_close(f.store);
    f.store = NULL;
    must(config_tend(f.config, due, &log, &changed, &err));
    must(service_fixture_restart(&f, &err));
    ck_assert(!changed);
    ck_assert_uint_eq(lines, 2);
    ck_assert_ptr_nonnull(strstr(told, "event=ra.renewed"));
    ck_assert_ptr_nonnull(strstr(told, "authority=demo"));
    ck_assert_ptr_nonnull(strstr(told, "by=scepd"));
    must(store_audit_list(f.store, 1, count_audit, &audited, &err));
    ck_assert_uint_eq(audited, 2);
    must(config_tend(f.config, due, &log, &changed, &err));
    ck_assert(!changed);
    ck_assert_uint_eq(lines, 2);
}
END_TEST

static bool note_ahead(void *ctx, const struct store_audit *a)
{
    int64_t *at = ctx;
    if (strcmp(a->event, "clock.ahead") == 0)
        at[at[0] ? 1 : 0] = a->at;
    return true;
}

static void record_at(int64_t at)
{
    struct store_audit a = {.at = at, .event = "admin.note", .actor = "test"};
    struct store_write *w = NULL;
    must(store_write_begin(f.store, &w, &err));
    must(store_audit_put(w, &a, &err));
    must(store_write_commit(w, &err));
}

/* A daemon whose clock says in 2100, once, does not put a good CA away; one that was off for so
 * long does what is due when the clock has gone on for a day. */
START_TEST(a_clock_that_leapt)
{
    const struct log log = {LOG_LEVEL_INFO, keep_line, NULL};
    struct err why = {0};
    int64_t leapt = now + 20 * 366 * DAY, ahead[2] = {0};
    bool changed = true;
    snprintf(f.config->authority[0].ocsp_key, sizeof f.config->authority[0].ocsp_key, "none");
    must(service_fixture_reload(&f, &err));
    record_at(now - 2 * DAY);
    record_at(now);
    store_close(f.store);
    f.store = NULL;
    for (int i = 0; i < 2; i++) {
        ck_assert(!config_tend(f.config, leapt + i * 60, &log, &changed, &why));
        ck_assert_ptr_nonnull(strstr(why.text, "is it right?"));
        ck_assert(!changed);
    }
    must(config_tend(f.config, now, &log, &changed, &err));
    ck_assert(!changed);
    must(service_fixture_restart(&f, &err));
    ck_assert_uint_eq(family()->n, 1);
    must(store_audit_list(f.store, 1, note_ahead, ahead, &err));
    ck_assert_int_eq(ahead[0], leapt); /* once */
    ck_assert_int_eq(ahead[1], 0);
    store_close(f.store);
    f.store = NULL;
    must(config_tend(f.config, leapt + DAY + 1, &log, &changed, &err));
    ck_assert(changed);
    ck_assert_ptr_nonnull(strstr(told, "event=ca.activated"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/generations");
    TCase *c = tcase_create("generations");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, the_announcement, 0, 3);
    tcase_add_loop_test(c, a_request_to_the_next_ca, 0, 3);
    tcase_add_test(c, a_shadow_certificate);
    tcase_add_loop_test(c, renewals_move_to_the_new_ca, 0, 3);
    tcase_add_loop_test(c, a_client_that_knows_the_ra_before, 0, 2);
    tcase_add_test(c, what_each_generation_issued);
    tcase_add_test(c, a_crl_that_is_too_large);
    tcase_add_test(c, tending);
    tcase_add_test(c, a_clock_that_leapt);
    suite_add_tcase(s, c);
    return check_main(s);
}
