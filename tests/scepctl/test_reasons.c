/* Every reason of the list is provoked: here, or in the test that a row names. Each attempt that
 * comes of it tells where it stopped, and explains itself.  A reason without a row fails. */
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#include "check_main.h"
#include "forge.h"
#include "enroll/explain.h"
#include "service_fixture.h"

#define DAY ((int64_t)86400)

static struct service_fixture f;
static EVP_PKEY *keys[2]; /* generating RSA keys is what takes the time */
static struct enroll_policy *policy;
static struct template *template;
static struct scep_answer got;
static struct scep_call call;
static const struct enroll_asked *asked; /* what a webhook said; NULL: nothing */
static unsigned number;

#define must(expression)                             \
    do {                                             \
        struct err err = {0};                        \
        ck_assert_msg((expression), "%s", err.text); \
    } while (0)

/* One message of one device; what is zero has a default. */
struct shot {
    const char *path, *subject, *challenge, *san; /* /scep, a new name, none, none */
    unsigned key, signer; /* of `keys`: of the request; of the message, one more than its index */
    const char *transaction; /* a new one */
    enum scep_type type;     /* PKCSReq */
    enum digest digest;      /* SHA-256 */
    uint32_t key_usage;
    const struct buf *certificate; /* signs the message: a renewal */
    struct view content;           /* instead of a request */
    bool to_itself;                /* encrypted to the certificate of the device itself */
    int64_t later;                 /* seconds from now */
    const char *signing_time;
    void (*spoil)(struct buf *message);
};

static struct buf message_of(const struct shot *s, const char *subject, const char *transaction)
{
    struct client_identity who = {0};
    struct client_ca ca = {0};
    struct name name = {0};
    struct san san = {.n = 0};
    struct buf content = {0}, out = {0};
    const uint8_t nonce[16] = {1};
    EVP_PKEY *signer = keys[s->signer ? s->signer - 1 : s->key];
    must(service_fixture_ca(&f, service_fixture_endpoint(&f, s->path), &ca, &err));
    must(name_from_text(subject, &name, &err));
    must(client_identity_self_signed(signer, &name, time(NULL), &who, &err));
    if (s->to_itself) {
        cert_free(ca.recipient);
        must(cert_parse(buf_view(&who.cert), &ca.recipient, &err));
    }
    if (s->certificate) {
        buf_reset(&who.cert);
        ck_assert(buf_append(&who.cert, s->certificate->p, s->certificate->n));
    }
    if (s->san)
        must(san_add_text(&san, s->san, &err));
    struct client_wish wish = {.subject = &name,
                               .san = s->san ? &san : NULL,
                               .challenge = view_str(s->challenge ? s->challenge : ""),
                               .key_usage = s->key_usage};
    if (s->content.n)
        ck_assert(buf_append(&content, s->content.p, s->content.n));
    else
        must(client_csr_build(keys[s->key], &wish, &content, &err));
    struct client_message m = {.type = s->type ? s->type : SCEP_PKCS_REQ,
                               .transaction_id = transaction,
                               .content = buf_view(&content),
                               .digest = s->digest ? s->digest : DIGEST_SHA256,
                               .cipher = CIPHER_AES128};
    must(client_message_build(&m, &who, &ca, nonce, &out, &err));
    name_clear(&name);
    san_clear(&san);
    buf_clear(&content);
    client_identity_clear(&who);
    client_ca_clear(&ca);
    return out;
}

/* Sends it; the answer is in `got`. */
static void fire(struct shot s)
{
    char subject[64], transaction[64];
    snprintf(subject, sizeof subject, "CN=device-%u", ++number);
    snprintf(transaction, sizeof transaction, "TX%08u", number);
    s.path = s.path ? s.path : "/scep";
    struct buf message = message_of(&s, s.subject ? s.subject : subject,
                                    s.transaction ? s.transaction : transaction);
    if (s.spoil)
        s.spoil(&message);
    call = (struct scep_call){.endpoint = service_fixture_endpoint(&f, s.path),
                              .enroll = &f.enroll,
                              .asked = asked,
                              .signer = f.signer,
                              .message = buf_view(&message),
                              .peer = {"192.0.2.7", "test"},
                              .method = "POST",
                              .now = time(NULL) + s.later};
    scep_answer_clear(&got);
    scep_pki_operation(&call, &got);
    call.message = view_of(NULL, 0);
    buf_clear(&message);
}

static void issued(struct shot s)
{
    fire(s);
    ck_assert_msg(!got.fault && got.verdict == ENROLL_ISSUE, "%s: %s",
                  reason_info(got.reason)->code, got.detail);
}

static const char *one_time(struct challenge_wish wish)
{
    static char secret[CHALLENGE_TEXT_MAX];
    struct store_challenge stored;
    wish.uses = 1;
    wish.ttl = wish.ttl ? wish.ttl : 10 * 365 * DAY;
    wish.now = time(NULL);
    must(challenge_new(f.store, &f.rooms.challenge_key, &wish, secret, &stored, &err));
    return secret;
}

static const char *any(void)
{
    return one_time((struct challenge_wish){0});
}

/* The newest certificate, with its DER. */
static bool take_id(void *ctx, const struct store_cert *c)
{
    *(uint64_t *)ctx = c->id;
    return false;
}

static struct store_cert newest(void)
{
    const struct store_cert_filter all = {.state = -1};
    struct store_cert c = {0};
    uint64_t id = 0;
    must(store_cert_list(f.store, &all, take_id, &id, &err));
    must(store_cert_by_id(f.store, id, &c, &err));
    return c;
}

static void revoke_newest(enum crl_reason why)
{
    struct store_cert c = newest();
    must(enroll_cert_revoke(f.store, c.id, why, "test", time(NULL), &err));
    store_cert_clear(&c);
}

/* ---- challenges ---- */

static void challenge_used(void)
{
    const char *secret = any();
    issued((struct shot){.challenge = secret});
    fire((struct shot){.challenge = secret, .key = 1});
}

static void challenge_expired(void)
{
    fire((struct shot){.challenge = one_time((struct challenge_wish){.ttl = 60}), .later = 61});
}

static bool revoke_it(void *ctx, const struct store_challenge *c)
{
    if (!c->used && !c->revoked_at && strcmp(c->label, "revoke me") == 0)
        snprintf(ctx, 32, "%s", c->id);
    return true;
}

static void challenge_revoked(void)
{
    char id[32] = "";
    const char *secret = one_time((struct challenge_wish){.label = "revoke me"});
    must(store_challenge_list(f.store, revoke_it, id, &err));
    must(enroll_challenge_revoke(f.store, id, "test", time(NULL), &err));
    fire((struct shot){.challenge = secret});
}

static void challenge_unknown(void)
{
    fire((struct shot){.challenge = "never heard of"});
}

static void challenge_bound(void)
{
    fire((struct shot){.challenge =
                           one_time((struct challenge_wish){.subject = "CN=somebody-else"})});
}

static void challenge_missing(void)
{
    fire((struct shot){.challenge = ""});
}

/* ---- names, key, usage ---- */

static void subject_forbidden(void)
{
    fire((struct shot){.challenge = any(), .subject = "CN=x,L=Berlin"});
}

static void subject_missing(void)
{
    fire((struct shot){.challenge = any(), .subject = "O=Example"});
}

static void subject_placeholder(void)
{
    fire((struct shot){.challenge = any(), .subject = "CN=%ComputerName%"});
}

static void san_missing(void)
{
    static char required[] = "DNS:*!";
    char *before = template->san[0];
    template->san[0] = required;
    fire((struct shot){.challenge = any()});
    template->san[0] = before;
}

static void san_forbidden(void)
{
    fire((struct shot){.challenge = any(), .san = "IP:10.0.0.1"});
}

static void key_small(void)
{
    template->rsa_min = 3072;
    fire((struct shot){.challenge = any()});
}

static void key_type(void)
{
    template->rsa_min = template->rsa_max = 0;
    fire((struct shot){.challenge = any()});
}

static void key_reused(void)
{
    issued((struct shot){.challenge = any(), .subject = "CN=first"});
    fire((struct shot){.challenge = any(), .subject = "CN=second"});
}

static void key_again(void)
{
    template->key_reuse = KEY_REUSE_NEVER;
    issued((struct shot){.challenge = any(), .subject = "CN=keeps its key"});
    fire((struct shot){.challenge = any(), .subject = "CN=keeps its key"});
}

static void key_compromised(void)
{
    issued((struct shot){.challenge = any(), .subject = "CN=lost"});
    revoke_newest(CRL_KEY_COMPROMISE);
    fire((struct shot){.challenge = any(), .subject = "CN=lost"});
}

static void duplicate_subject(void)
{
    policy->duplicates = DUPLICATES_REFUSE;
    issued((struct shot){.challenge = any(), .subject = "CN=twice"});
    fire((struct shot){.challenge = any(), .subject = "CN=twice", .key = 1});
}

static void usage_forbidden(void)
{
    fire((struct shot){.challenge = any(), .key_usage = KU_KEY_CERT_SIGN});
}

/* ---- messages ---- */

static void algorithm_refused(void)
{
    policy->challenges = 0;
    fire((struct shot){.digest = DIGEST_SHA224});
}

static void message_not_for_us(void)
{
    fire((struct shot){.challenge = any(), .to_itself = true});
}

static void cut_end(struct buf *message)
{
    message->n -= 10;
}

static void message_truncated(void)
{
    fire((struct shot){.spoil = cut_end});
}

static void break_inside(struct buf *message)
{
    memset(message->p + 4, 0x05, 40);
}

static void message_malformed(void)
{
    fire((struct shot){.spoil = break_inside});
}

static void message_unsupported(void)
{
    fire((struct shot){.type = (enum scep_type)18}); /* UpdateReq of old drafts */
}

static void flip_last(struct buf *message)
{
    message->p[message->n - 1] ^= 1; /* inside the signature */
}

static void signature_bad(void)
{
    fire((struct shot){.spoil = flip_last});
}

static void csr_signer(void)
{
    fire((struct shot){.challenge = any(), .key = 0, .signer = 2});
}

/* ---- transactions, renewals, requests ---- */

static void transaction_reused(void)
{
    issued((struct shot){.challenge = any(), .transaction = "the same"});
    fire((struct shot){.challenge = any(), .transaction = "the same", .key = 1});
}

static void transaction_revoked(void)
{
    struct shot s = {.challenge = any(), .transaction = "again", .subject = "CN=again"};
    issued(s);
    revoke_newest(CRL_SUPERSEDED);
    fire(s);
}

/* A certificate for key 0, then a renewal with it. */
static void renew(struct shot s)
{
    struct store_cert c;
    issued((struct shot){.challenge = any(), .subject = "CN=renews"});
    c = newest();
    if (s.key_usage) /* abused as a sign: revoke it before */
        must(enroll_cert_revoke(f.store, c.id, CRL_CESSATION, "test", time(NULL), &err));
    s.key_usage = 0;
    s.type = SCEP_RENEWAL_REQ;
    s.certificate = &c.der;
    s.subject = s.subject ? s.subject : "CN=renews";
    fire(s);
    store_cert_clear(&c);
}

static void renewal_disabled(void)
{
    policy->renewal = false;
    renew((struct shot){0});
}

static void renewal_signer_revoked(void)
{
    renew((struct shot){.key_usage = 1});
}

static void renewal_signer_expired(void)
{
    renew((struct shot){.later = 500 * DAY});
}

static void renewal_signer_unknown(void)
{
    fire((struct shot){.type = SCEP_RENEWAL_REQ});
}

static void renewal_subject(void)
{
    renew((struct shot){.subject = "CN=another"});
}

static void renewal_too_early(void)
{
    template->renew_before = 10 * DAY;
    renew((struct shot){0});
}

static struct shot waiting(void)
{
    struct shot s = {.path = "/manual", .subject = "CN=waits"};
    static char transaction[32];
    snprintf(transaction, sizeof transaction, "waits%u", number);
    s.transaction = transaction;
    fire(s);
    ck_assert_msg(got.verdict == ENROLL_PEND && !got.fault, "%s", got.detail);
    return s;
}

static void request_unknown(void)
{
    fire((struct shot){.type = SCEP_CERT_POLL, .transaction = "nobody knows"});
}

static void request_denied(void)
{
    struct shot s = waiting();
    struct store_request r = {0};
    must(enroll_request_decide(f.store, got.request, false, "anna", "not our device", time(NULL),
                               &r, &err));
    store_request_clear(&r);
    s.type = SCEP_CERT_POLL;
    fire(s);
    ck_assert_ptr_nonnull(strstr(got.detail, "not our device")); /* verbatim */
}

static void request_expired(void)
{
    struct shot s = waiting();
    s.later = 400 * DAY;
    fire(s);
}

static void request_too_many(void)
{
    struct enroll_policy *manual =
        (struct enroll_policy *)(uintptr_t)service_fixture_endpoint(&f, "/manual")->policy;
    manual->max_pending = 1;
    fire((struct shot){.path = "/manual"});
    fire((struct shot){.path = "/manual"});
}

static void certificate_unknown(void)
{
    static struct buf content;
    const uint8_t serial[] = {0x12, 0x34};
    buf_reset(&content);
    must(scep_issuer_and_serial_build(policy->authority->cert->subject, view_of(serial, 2),
                                      &content, &err));
    fire((struct shot){.type = SCEP_GET_CERT, .content = buf_view(&content)});
    buf_clear(&content);
}

static void authority_expired(void)
{
    fire((struct shot){.path = "/open", .later = 40 * 365 * DAY});
}

/* ---- faults of ours, as they come out of the commit ---- */

static void commit_fails(enum err_kind kind, const char *text)
{
    struct err err = {.kind = kind};
    snprintf(err.text, sizeof err.text, "%s", text);
    issued((struct shot){.challenge = any()});
    scep_pki_commit_failed(&call, &err, &got);
}

static void webhook_denied(void)
{
    static const struct enroll_asked denied = {ENROLL_DENIED, "not in the inventory"};
    strcpy(policy->validate, "inventory");
    asked = &denied;
    const char *challenge = one_time((struct challenge_wish){0});
    fire((struct shot){.challenge = challenge});
    ck_assert_str_eq(got.detail, "inventory: not in the inventory");
}

static void webhook_unreachable(void)
{
    strcpy(policy->validate, "inventory");
    const char *challenge = one_time((struct challenge_wish){0});
    fire((struct shot){.challenge = challenge, .subject = "CN=patient", .transaction = "PATIENT"});
    ck_assert(got.fault && got.status == 503 && got.reason == REASON_WEBHOOK_UNREACHABLE);
    /* nothing was used up: the same request is granted when there is an answer */
    static const struct enroll_asked allowed = {ENROLL_ALLOWED, ""};
    asked = &allowed;
    issued(
        (struct shot){.challenge = challenge, .subject = "CN=patient", .transaction = "PATIENT"});
    asked = NULL;
    policy->validate_refuses = true;
    fire((struct shot){.key = 1, .challenge = one_time((struct challenge_wish){0})});
    ck_assert(!got.fault && got.status == 200 && got.reason == REASON_WEBHOOK_UNREACHABLE);
    policy->validate_refuses = false;
    fire((struct shot){.key = 1, .challenge = one_time((struct challenge_wish){0})});
}

static void store_full(void)
{
    commit_fails(ERR_FULL, "the disk is full");
}

static void store_gone(void)
{
    commit_fails(ERR_GONE, "the store was replaced");
}

static void signer_unavailable(void)
{
    commit_fails(ERR_SIGNER, "the signer does not answer");
}

static void busy(void)
{
    commit_fails(ERR_CONFLICT, "changed meanwhile, four times");
}

static void internal(void)
{
    commit_fails(ERR_STORE, "a damaged record");
}

/* ---- the table ---- */

static const struct row {
    enum reason reason;
    void (*provoke)(void);
    const char *file, *text; /* or the test that provokes it, and what stands there */
} rows[] = {
    {REASON_CHALLENGE_USED, challenge_used, NULL, NULL},
    {REASON_CHALLENGE_EXPIRED, challenge_expired, NULL, NULL},
    {REASON_CHALLENGE_REVOKED, challenge_revoked, NULL, NULL},
    {REASON_CHALLENGE_UNKNOWN, challenge_unknown, NULL, NULL},
    {REASON_CHALLENGE_BOUND, challenge_bound, NULL, NULL},
    {REASON_CHALLENGE_MISSING, challenge_missing, NULL, NULL},
    {REASON_SUBJECT_FORBIDDEN, subject_forbidden, NULL, NULL},
    {REASON_SUBJECT_MISSING, subject_missing, NULL, NULL},
    {REASON_SUBJECT_PLACEHOLDER, subject_placeholder, NULL, NULL},
    {REASON_SAN_MISSING, san_missing, NULL, NULL},
    {REASON_SAN_FORBIDDEN, san_forbidden, NULL, NULL},
    {REASON_KEY_SMALL, key_small, NULL, NULL},
    {REASON_KEY_TYPE, key_type, NULL, NULL},
    {REASON_KEY_WEAK, NULL, "tests/enroll/test_waiting.c",
     "expect_refused(&w, &wish, REASON_KEY_WEAK"},
    {REASON_KEY_REUSED, key_reused, NULL, NULL},
    {REASON_KEY_AGAIN, key_again, NULL, NULL},
    {REASON_KEY_COMPROMISED, key_compromised, NULL, NULL},
    {REASON_KEY_BANNED, NULL, "tests/enroll/test_banned.c",
     "expect_refused(&w, &wish, REASON_KEY_BANNED"},
    {REASON_DUPLICATE_SUBJECT, duplicate_subject, NULL, NULL},
    {REASON_USAGE_FORBIDDEN, usage_forbidden, NULL, NULL},
    {REASON_ALGORITHM_REFUSED, algorithm_refused, NULL, NULL},
    {REASON_MESSAGE_NOT_FOR_US, message_not_for_us, NULL, NULL},
    {REASON_MESSAGE_TRUNCATED, message_truncated, NULL, NULL},
    {REASON_MESSAGE_MALFORMED, message_malformed, NULL, NULL},
    {REASON_MESSAGE_UNSUPPORTED, message_unsupported, NULL, NULL},
    {REASON_MESSAGE_NONCE, NULL, "tests/scepd/test_endpoint_switches.c",
     "expect_oddly(&d, &none, REASON_MESSAGE_NONCE)"},
    {REASON_MESSAGE_TIME, NULL, "tests/scepd/test_endpoint_switches.c",
     "expect_oddly(&d, &old, REASON_MESSAGE_TIME)"},
    {REASON_SIGNATURE_BAD, signature_bad, NULL, NULL},
    {REASON_CSR_MALFORMED, NULL, "tests/pkcs7/test_csr.c", "REASON_CSR_MALFORMED"},
    {REASON_CSR_SIGNATURE, NULL, "tests/pkcs7/test_csr.c", "REASON_CSR_SIGNATURE"},
    {REASON_CSR_SIGNER, csr_signer, NULL, NULL},
    {REASON_CSR_SIGNER_SUBJECT, NULL, "tests/scepd/test_endpoint_switches.c",
     "REASON_CSR_SIGNER_SUBJECT"},
    {REASON_TRANSACTION_REUSED, transaction_reused, NULL, NULL},
    {REASON_TRANSACTION_REVOKED, transaction_revoked, NULL, NULL},
    {REASON_RENEWAL_DISABLED, renewal_disabled, NULL, NULL},
    {REASON_RENEWAL_SIGNER_REVOKED, renewal_signer_revoked, NULL, NULL},
    {REASON_RENEWAL_SIGNER_EXPIRED, renewal_signer_expired, NULL, NULL},
    {REASON_RENEWAL_SIGNER_UNKNOWN, renewal_signer_unknown, NULL, NULL},
    {REASON_RENEWAL_SUBJECT, renewal_subject, NULL, NULL},
    {REASON_RENEWAL_TOO_EARLY, renewal_too_early, NULL, NULL},
    {REASON_RENEWAL_UNASSIGNED, NULL, "tests/enroll/test_assigned.c",
     "expect_told(&wish, REASON_RENEWAL_UNASSIGNED"},
    {REASON_DEVICE_UNKNOWN, NULL, "tests/enroll/test_assigned.c",
     "expect_told(&wish, REASON_DEVICE_UNKNOWN"},
    {REASON_DEVICE_RETIRED, NULL, "tests/enroll/test_assigned.c",
     "expect_told(&wish, REASON_DEVICE_RETIRED"},
    {REASON_DEVICE_ISOLATED, NULL, "tests/enroll/test_assigned.c",
     "expect_told(&wish, REASON_DEVICE_ISOLATED"},
    {REASON_POLICY_PAUSED, NULL, "tests/enroll/test_assigned.c",
     "expect_told(&wish, REASON_POLICY_PAUSED"},
    {REASON_POLICY_UNASSIGNED, NULL, "tests/enroll/test_assigned.c",
     "expect_told(&wish, REASON_POLICY_UNASSIGNED"},
    {REASON_REQUEST_UNKNOWN, request_unknown, NULL, NULL},
    {REASON_REQUEST_DENIED, request_denied, NULL, NULL},
    {REASON_REQUEST_EXPIRED, request_expired, NULL, NULL},
    {REASON_REQUEST_TOO_MANY, request_too_many, NULL, NULL},
    {REASON_CERTIFICATE_UNKNOWN, certificate_unknown, NULL, NULL},
    {REASON_AUTHORITY_EXPIRED, authority_expired, NULL, NULL},
    {REASON_WEBHOOK_DENIED, webhook_denied, NULL, NULL},
    {REASON_WEBHOOK_UNREACHABLE, webhook_unreachable, NULL, NULL},
    {REASON_STORE_FULL, store_full, NULL, NULL},
    {REASON_STORE_GONE, store_gone, NULL, NULL},
    {REASON_SIGNER_UNAVAILABLE, signer_unavailable, NULL, NULL},
    {REASON_BUSY, busy, NULL, NULL},
    {REASON_INTERNAL, internal, NULL, NULL},
    {REASON_HTTP_METHOD, NULL, "tests/scepctl/test_explain.py", "\"http.method\""},
    {REASON_HTTP_PATH, NULL, "tests/scepctl/test_explain.py", "\"http.wrong_path\""},
    {REASON_HTTP_OPERATION, NULL, "tests/scepctl/test_explain.py", "\"http.operation\""},
    {REASON_HTTP_MALFORMED, NULL, "tests/scepctl/test_explain.py", "\"http.malformed\""},
    {REASON_HTTP_TOO_LONG, NULL, "tests/scepctl/test_explain.py", "\"http.too_long\""},
    {REASON_UPSTREAM_UNAVAILABLE, NULL, "tests/outside/test_upstream.c",
     "REASON_UPSTREAM_UNAVAILABLE"},
    {REASON_UPSTREAM_REFUSED, NULL, "tests/outside/test_upstream.c", "REASON_UPSTREAM_REFUSED"},
    {REASON_PROFILE_UNFIT, NULL, "tests/fleet/test_profile.c", "REASON_PROFILE_UNFIT"},
    {REASON_HTTP_TLS, NULL, "tests/scepctl/test_explain.py", "\"http.tls\""},
    {REASON_CA_THUMBPRINT, NULL, "tests/scepd/test_attempts.c", "\"ca.thumbprint\""},
    {REASON_CLOCK_SKEW, NULL, "tests/scepd/test_pkiop_attempts.c", "\"clock.skew\""},
    {REASON_NEVER_ARRIVED, NULL, "tests/scepctl/test_explain.py", "\"never.arrived\""},
};

static void expect_text_in(const char *file, const char *text)
{
    char path[512];
    static char content[1 << 20];
    snprintf(path, sizeof path, "%s/%s", ROOT, file);
    FILE *in = fopen(path, "r");
    ck_assert_msg(in != NULL, "%s", path);
    size_t n = fread(content, 1, sizeof content - 1, in);
    fclose(in);
    content[n] = '\0';
    ck_assert_msg(strstr(content, text) != NULL, "%s does not provoke it any more: there is no %s",
                  file, text);
}

static void expect_explained(enum reason reason)
{
    struct store_attempt a;
    char text[EXPLAIN_TEXT];
    const char *code = reason_info(reason)->code;
    ck_assert_msg(got.reason == reason, "%s instead of %s: %s", reason_info(got.reason)->code, code,
                  got.detail);
    scep_answer_attempt(&got, &call, 1, &a);
    ck_assert_str_eq(a.reason, code);
    ck_assert_int_eq(a.result, got.fault ? ATTEMPT_FAILED : ATTEMPT_REFUSED);
    ck_assert_int_eq(explain_reason(&a), reason);
    ck_assert_uint_gt(a.trail.n, 0);
    const struct trail_step *last = &a.trail.step[a.trail.n - 1];
    ck_assert_msg(last->state == TRAIL_STOPPED, "%s: the path does not end in a stop", code);
    ck_assert_msg(*last->text || *a.detail, "%s: no value is named", code);
    for (size_t i = 0; i + 1 < a.trail.n; i++)
        ck_assert_msg(a.trail.step[i].state != TRAIL_STOPPED, "%s stopped twice", code);
    explain_fill(reason_help(reason)->fix, &a, text, sizeof text);
    ck_assert_ptr_null(strchr(text, '{'));
    explain_sent(&a, text, sizeof text);
    ck_assert_uint_gt(strlen(text), 0);
    json_t *o = explain_json(&a), *r = explain_reason_json(reason, &a);
    ck_assert_str_eq(json_string_value(json_object_get(o, "reason")), code);
    ck_assert_str_eq(json_string_value(json_object_get(r, "code")), code);
    ck_assert_ptr_nonnull(json_object_get(r, "cause"));
    ck_assert_ptr_nonnull(json_object_get(r, "fix"));
    ck_assert_ptr_nonnull(json_object_get(r, "device_shows"));
    json_decref(o);
    json_decref(r);
}

START_TEST(each_is_provoked)
{
    must(service_fixture_init(&f, "p256", &err));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        keys[i] = EVP_RSA_gen(2048);
    policy = (struct enroll_policy *)(uintptr_t)service_fixture_endpoint(&f, "/scep")->policy;
    template = (struct template *)(uintptr_t)policy->template;
    struct enroll_policy *manual =
        (struct enroll_policy *)(uintptr_t)service_fixture_endpoint(&f, "/manual")->policy;
    const struct enroll_policy policy_before = *policy, manual_before = *manual;
    const struct template template_before = *template;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].provoke)
            continue;
        /* one key, one subject: each row has keys of its own */
        must(service_fixture_fresh_store(&f, &err));
        rows[i].provoke();
        expect_explained(rows[i].reason);
        asked = NULL;
        *policy = policy_before;
        *manual = manual_before;
        *template = template_before;
    }
    scep_answer_clear(&got);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        EVP_PKEY_free(keys[i]);
    service_fixture_clear(&f);
}
END_TEST

/* What is made for the subject alone is reached neither by the policy nor by the device's
 * retirement. */
START_TEST(none_leads_a_device_out_of_its_policy)
{
    const struct store_attempt of_device = {.subject = "CN=ipad-1",
                                            .challenge = "chl_1234567",
                                            .signer = "40a1",
                                            .device = "dev_123456",
                                            .policy = "pol_123456"},
                               of_nobody = {.subject = "CN=ipad 1", .challenge = "chl_1234567"};
    unsigned advised = 0;
    for (int reason = 1; reason < REASON_COUNT; reason++) {
        char text[EXPLAIN_TEXT];
        const char *fix = reason_help((enum reason)reason)->fix;
        explain_fill(fix, &of_device, text, sizeof text);
        ck_assert_msg(!strstr(text, "--subject") && !strstr(text, "--uses"), "%s", text);
        ck_assert_msg(!strpbrk(text, "{}[]|"), "%s", text);
        if (strstr(text, "challenge new")) {
            advised++;
            ck_assert_msg(strstr(text, "--device dev_123456 --policy pol_123456"), "%s", text);
        }
        explain_fill(fix, &of_nobody, text, sizeof text);
        ck_assert_msg(!strpbrk(text, "{}[]|"), "%s", text);
        if (strstr(text, "challenge new"))
            ck_assert_msg(strstr(text, "--subject 'CN=ipad 1'"), "%s", text);
        explain_fill(fix, NULL, text, sizeof text);
        ck_assert_msg(!strpbrk(text, "{}[]|"), "%s", text);
        if (strstr(text, "challenge new"))
            ck_assert_msg(strstr(text, "--device DEVICE"), "%s", text);
    }
    ck_assert_uint_ge(advised, 10);
}
END_TEST

START_TEST(none_is_left_out)
{
    for (int reason = 1; reason < REASON_COUNT; reason++) {
        unsigned n = 0;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            n += rows[i].reason == (enum reason)reason;
        ck_assert_msg(
            n == 1,
            "%s has %u rows in tests/scepctl/test_reasons.c instead of one that provokes it",
            reason_info((enum reason)reason)->code, n);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!rows[i].provoke)
            expect_text_in(rows[i].file, rows[i].text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reasons");
    TCase *c = tcase_create("reasons");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, each_is_provoked);
    tcase_add_test(c, none_is_left_out);
    tcase_add_test(c, none_leads_a_device_out_of_its_policy);
    suite_add_tcase(s, c);
    return check_main(s);
}
