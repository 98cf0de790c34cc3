#include "world.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define ALL_DIGESTS (ALG_BIT(DIGEST_COUNT) - 1)
#define TRIES 8

static void must(bool ok, const struct err *err)
{
    if (!ok)
        ck_abort_msg("%s: %s", err_kind_name(err->kind), err->text);
}

EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    ck_assert_ptr_nonnull(key);
    return key;
}

/* ---- writing certificates and requests with OpenSSL ---- */

/* From "CN=a,O=b", through the room's own reader, so that both agree. */
static X509_NAME *x509_name(const char *text)
{
    struct name name = {0};
    struct err err = {0};
    struct der w;
    struct buf der = {0};
    must(name_from_text(text, &name, &err), &err);
    der_init(&w, 256);
    name_build(&name, &w);
    must(der_take(&w, &der, &err), &err);
    const unsigned char *p = der.p;
    X509_NAME *x = d2i_X509_NAME(NULL, &p, (long)der.n);
    ck_assert_ptr_nonnull(x);
    buf_clear(&der);
    name_clear(&name);
    return x;
}

static X509_EXTENSION *san_extension(const char *value)
{
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
    ck_assert_ptr_nonnull(x);
    return x;
}

static struct buf take_der(unsigned char *der, int n)
{
    struct buf b = {0};
    ck_assert_int_gt(n, 0);
    ck_assert(buf_append(&b, der, (size_t)n));
    OPENSSL_free(der);
    return b;
}

static struct buf make_cert(X509_NAME *subject, X509_NAME *issuer, EVP_PKEY *key,
                            EVP_PKEY *issuer_key, int64_t not_before, int64_t not_after,
                            const char *san, uint8_t serial[16])
{
    X509 *x = X509_new();
    uint8_t random[16];
    RAND_bytes(random, sizeof random);
    random[0] = (uint8_t)((random[0] & 0x3f) | 0x40);
    BIGNUM *number = BN_bin2bn(random, sizeof random, NULL);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
    BN_free(number);
    if (serial)
        memcpy(serial, random, sizeof random);
    X509_set_version(x, X509_VERSION_3);
    X509_set_subject_name(x, subject);
    X509_set_issuer_name(x, issuer);
    X509_set_pubkey(x, key);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)not_before);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)not_after);
    if (san) {
        X509_EXTENSION *ext = san_extension(san);
        X509_add_ext(x, ext, -1);
        X509_EXTENSION_free(ext);
    }
    ck_assert_int_gt(X509_sign(x, issuer_key, EVP_sha256()), 0);
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    X509_free(x);
    return take_der(der, n);
}

static struct buf self_signed(const char *subject, EVP_PKEY *key)
{
    X509_NAME *name = x509_name(subject);
    struct buf der = make_cert(name, name, key, key, NOW - DAY, NOW + DAY, NULL, NULL);
    X509_NAME_free(name);
    return der;
}

static struct buf make_csr(const struct wish *wish)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = x509_name(wish->subject ? wish->subject : "CN=ipad-1");
    X509_REQ_set_subject_name(req, name);
    X509_NAME_free(name);
    X509_REQ_set_pubkey(req, wish->key);
    if (wish->challenge)
        X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_UTF8,
                                  (const unsigned char *)wish->challenge, -1);
    if (wish->dns) {
        char value[300];
        snprintf(value, sizeof value, "DNS:%s", wish->dns);
        STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
        sk_X509_EXTENSION_push(list, san_extension(value));
        X509_REQ_add_extensions(req, list);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    }
    ck_assert_int_gt(X509_REQ_sign(req, wish->key, EVP_sha256()), 0);
    unsigned char *der = NULL;
    int n = i2d_X509_REQ(req, &der);
    X509_REQ_free(req);
    return take_der(der, n);
}

struct scep_message *message_new(const struct world *w, const struct wish *wish)
{
    struct scep_message *m = calloc(1, sizeof *m);
    struct err err = {0};
    m->type = wish->type ? wish->type : SCEP_PKCS_REQ;
    m->replyable = true;
    snprintf(m->transaction_id, sizeof m->transaction_id, "%s",
             wish->transaction ? wish->transaction : "tx-1");
    struct buf own = {0};
    if (!wish->signer)
        own = self_signed("CN=SCEP SIGNER", wish->signer_key ? wish->signer_key : wish->key);
    m->self_signed = !wish->signer;
    must(cert_parse(buf_view(wish->signer ? wish->signer : &own), &m->signer, &err), &err);
    must(pubkey_parse(m->signer->spki, &m->signer_key, &err), &err);
    buf_clear(&own);
    if (m->type != SCEP_CERT_POLL) {
        struct buf csr = make_csr(wish);
        must(csr_parse(buf_view(&csr), ALL_DIGESTS, NULL, (struct view){0}, &m->csr, &err), &err);
        buf_clear(&csr);
    }
    return m;
}

/* As the CA would; this room only carries the result. */
static struct issued issue(const struct world *w, const struct cert_plan *plan)
{
    struct issued out = {0};
    struct err err = {0};
    struct der writer;
    struct buf name = {0}, spki = {0};
    char san[1024];
    der_init(&writer, 256);
    name_build(&plan->subject, &writer);
    must(der_take(&writer, &name, &err), &err);
    const unsigned char *p = name.p, *q = w->authority.cert->subject.p, *k = plan->key->spki.p;
    X509_NAME *subject = d2i_X509_NAME(NULL, &p, (long)name.n);
    X509_NAME *issuer = d2i_X509_NAME(NULL, &q, (long)w->authority.cert->subject.n);
    EVP_PKEY *key = d2i_PUBKEY(NULL, &k, (long)plan->key->spki.n);
    san_text(&plan->san, san, sizeof san);
    out.not_before = plan->not_before;
    out.not_after = plan->not_after;
    out.der = make_cert(subject, issuer, key, w->ca_key, out.not_before, out.not_after,
                        *san ? san : NULL, out.serial);
    must(digest_compute(DIGEST_SHA256, buf_view(&out.der), out.der_hash, &err), &err);
    must(digest_compute(DIGEST_SHA256, buf_view(&name), out.subject_hash, &err), &err);
    name_text(&plan->subject, out.subject, sizeof out.subject);
    memcpy(out.san, san, sizeof out.san);
    X509_NAME_free(subject);
    X509_NAME_free(issuer);
    EVP_PKEY_free(key);
    buf_clear(&name);
    buf_clear(&spki);
    return out;
}

/* ---- the world ---- */

static void open_store(struct world *w)
{
    struct err err = {0};
    struct store_options o = {.path = w->dir, .map_size = w->map_size, .create = true};
    must(store_open(&o, &w->store, &err), &err);
    w->ctx = (struct enroll_context){.store = w->store, .challenge_key = &w->challenge_key};
}

void world_restart(struct world *w)
{
    store_close(w->store);
    open_store(w);
}

static struct cert *authority_cert(const char *subject, EVP_PKEY *key)
{
    struct cert *c = NULL;
    struct err err = {0};
    struct buf der = self_signed(subject, key);
    must(cert_parse(buf_view(&der), &c, &err), &err);
    buf_clear(&der);
    return c;
}

static void fill_template(struct template *t)
{
    snprintf(t->name, sizeof t->name, "device");
    t->subject[t->subject_n++] = strdup("CN=*!");
    t->subject[t->subject_n++] = strdup("O=*");
    t->san[t->san_n++] = strdup("DNS:*");
    t->rsa_min = 2048;
    t->rsa_max = 4096;
    t->curves = ALG_BIT(CURVE_P256);
    t->key_usage = KU_DIGITAL_SIGNATURE;
    eku_add(&t->eku, "1.3.6.1.5.5.7.3.2");
    t->validity = 365 * DAY;
    t->min_validity = DAY;
    t->backdate = 3600;
    t->renew_before = 60 * DAY;
}

void world_open(struct world *w)
{
    world_open_sized(w, 64u << 20);
}

void world_open_sized(struct world *w, uint64_t map_size)
{
    *w = (struct world){.map_size = map_size, .now = NOW};
    snprintf(w->dir, sizeof w->dir, "/tmp/scepd-enroll-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    RAND_bytes(w->challenge_key.bytes, sizeof w->challenge_key.bytes);
    open_store(w);
    w->ca_key = new_key();
    w->ra_key = new_key();
    snprintf(w->authority.name, sizeof w->authority.name, "demo");
    w->authority.cert = authority_cert("CN=Demo CA", w->ca_key);
    w->authority.ra = authority_cert("CN=Demo RA", w->ra_key);
    RAND_bytes(w->authority.key_id, sizeof w->authority.key_id);
    w->authority.generation = 1;
    const struct cert *own[] = {w->authority.cert, w->authority.ra};
    for (size_t i = 0; i < 2; i++) {
        struct pubkey key;
        struct err err;
        ck_assert(pubkey_parse(own[i]->spki, &key, &err));
        memcpy(w->authority.key_hash[w->authority.key_hash_n++], key.sha256, sizeof key.sha256);
    }
    fill_template(&w->template);
    snprintf(w->policy.endpoint, sizeof w->policy.endpoint, "/scep");
    w->policy.authority = &w->authority;
    w->policy.template = &w->template;
    w->policy.challenges = CHALLENGE_ONE_TIME;
    w->policy.pending_ttl = 7 * DAY;
    w->policy.renewal = true;
}

void world_close(struct world *w)
{
    char path[256];
    store_close(w->store);
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", w->dir, files[i]);
        unlink(path);
    }
    rmdir(w->dir);
    EVP_PKEY_free(w->ca_key);
    EVP_PKEY_free(w->ra_key);
    cert_free(w->authority.cert);
    cert_free(w->authority.ra);
    template_clear(&w->template);
}

const char *challenge_make(struct world *w, const struct challenge_wish *wish)
{
    static char secret[CHALLENGE_TEXT_MAX];
    struct store_challenge c;
    struct err err = {0};
    struct challenge_wish plain = {.ttl = DAY, .uses = 1, .created_by = "anna", .now = w->now};
    must(challenge_new(w->store, &w->challenge_key, wish ? wish : &plain, secret, &c, &err), &err);
    return secret;
}

/* ---- asking ---- */

void outcome_clear(struct outcome *o)
{
    buf_clear(&o->certificate);
    *o = (struct outcome){0};
}

struct half decide_only(struct world *w, const struct scep_message *m)
{
    struct half h = {0};
    struct err err = {0};
    struct enroll_peer peer = {.address = "10.20.4.9", .agent = "test"};
    struct enroll_decision d;
    struct cert_plan plan;
    struct csr *stored = NULL;
    struct issued issued = {0};
    must(enroll_decide(&w->ctx, &w->policy, m, &peer, w->now, &d, &plan, &stored, &err), &err);
    h.outcome = (struct outcome){.verdict = d.verdict, .reason = d.reason, .renewal = d.renewal};
    memcpy(h.outcome.detail, d.detail, sizeof d.detail);
    memcpy(h.outcome.request, d.request, sizeof d.request);
    memcpy(h.outcome.challenge, d.challenge, sizeof d.challenge);
    memcpy(h.outcome.device, d.device, sizeof d.device);
    memcpy(h.outcome.policy, d.policy, sizeof d.policy);
    if (d.verdict == ENROLL_ISSUE) {
        issued = issue(w, &plan);
        ck_assert(buf_append(&h.outcome.certificate, issued.der.p, issued.der.n));
    } else if (d.verdict == ENROLL_REPEAT) {
        h.outcome.certificate = d.certificate;
        d.certificate = (struct buf){0};
    }
    must(enroll_change_new(&w->policy, m, &peer, &d, d.verdict == ENROLL_ISSUE ? &issued : NULL,
                           w->now, &h.change, &err),
         &err);
    h.outcome.stored = h.change != NULL;
    buf_clear(&issued.der);
    cert_plan_clear(&plan);
    csr_free(stored);
    enroll_decision_clear(&d);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return h;
}

void half_clear(struct half *h)
{
    outcome_clear(&h->outcome);
    enroll_change_free(h->change);
    *h = (struct half){0};
}

void expect_conflict(struct world *w, struct half *h)
{
    uint64_t before, after, issued = certificates(w);
    struct store_write *write = NULL;
    struct err result = {0}, err = {0};
    must(store_generation(w->store, &before, &err), &err);
    must(store_write_begin(w->store, &write, &err), &err);
    ck_assert(!enroll_change_apply(h->change, write, &result));
    ck_assert_msg(result.kind == ERR_CONFLICT, "%s: %s", err_kind_name(result.kind), result.text);
    must(store_write_commit(write, &err), &err);
    must(store_generation(w->store, &after, &err), &err);
    ck_assert_uint_eq(before, after);
    ck_assert_uint_eq(certificates(w), issued);
    expect_sound(w);
    result = (struct err){0};
    must(enroll_commit(w->store, &h->change, &result, 1, &err), &err);
    ck_assert_int_eq(result.kind, ERR_CONFLICT);
}

struct outcome ask_message(struct world *w, const struct scep_message *m)
{
    for (int i = 0; i < TRIES; i++) {
        struct half h = decide_only(w, m);
        struct err result = {0}, err = {0};
        must(enroll_commit(w->store, &h.change, &result, 1, &err), &err);
        enroll_change_free(h.change);
        if (result.kind == ERR_NONE)
            return h.outcome;
        ck_assert_msg(result.kind == ERR_CONFLICT, "%s", result.text);
        outcome_clear(&h.outcome);
    }
    ck_abort_msg("conflict after conflict");
}

struct outcome ask(struct world *w, const struct wish *wish)
{
    struct scep_message *m = message_new(w, wish);
    struct outcome o = ask_message(w, m);
    scep_message_free(m);
    return o;
}

/* ---- expecting ---- */

struct buf expect_issued(struct world *w, const struct wish *wish)
{
    uint64_t before = certificates(w);
    struct outcome o = ask(w, wish);
    ck_assert_msg(o.verdict == ENROLL_ISSUE, "verdict %d: %s: %s", o.verdict,
                  reason_info(o.reason)->code, o.detail);
    ck_assert_uint_eq(certificates(w), before + 1);
    return o.certificate;
}

void expect_pending(struct world *w, const struct wish *wish, char request[32])
{
    uint64_t before = certificates(w);
    struct outcome o = ask(w, wish);
    ck_assert_msg(o.verdict == ENROLL_PEND, "verdict %d: %s: %s", o.verdict,
                  reason_info(o.reason)->code, o.detail);
    ck_assert(o.stored);
    ck_assert_uint_eq(certificates(w), before);
    if (request)
        memcpy(request, o.request, sizeof o.request);
    outcome_clear(&o);
}

void expect_repeat(struct world *w, const struct wish *wish, const struct buf *certificate)
{
    uint64_t before = certificates(w);
    struct outcome o = ask(w, wish);
    ck_assert_msg(o.verdict == ENROLL_REPEAT, "verdict %d: %s: %s", o.verdict,
                  reason_info(o.reason)->code, o.detail);
    ck_assert(view_eq(buf_view(&o.certificate), buf_view(certificate)));
    ck_assert(!o.stored);
    ck_assert_uint_eq(certificates(w), before);
    outcome_clear(&o);
}

struct total {
    uint64_t used;
};

static bool add_used(void *ctx, const struct store_challenge *c)
{
    ((struct total *)ctx)->used += c->used;
    return true;
}

static uint64_t used_challenges(struct world *w)
{
    struct total total = {0};
    struct err err = {0};
    must(store_challenge_list(w->store, add_used, &total, &err), &err);
    return total.used;
}

void expect_refused(struct world *w, const struct wish *wish, enum reason reason,
                    const char *detail)
{
    uint64_t before = certificates(w), used = used_challenges(w);
    struct outcome o = ask(w, wish);
    ck_assert_msg(o.verdict == ENROLL_REJECT, "verdict %d instead of %s", o.verdict,
                  reason_info(reason)->code);
    ck_assert_msg(o.reason == reason, "%s instead of %s: %s", reason_info(o.reason)->code,
                  reason_info(reason)->code, o.detail);
    ck_assert_msg(!detail || strstr(o.detail, detail), "no \"%s\" in: %s", detail, o.detail);
    ck_assert_uint_eq(certificates(w), before);
    ck_assert_uint_eq(used_challenges(w), used);
    bool counted = reason == REASON_CHALLENGE_USED || reason == REASON_CHALLENGE_EXPIRED ||
                   reason == REASON_CHALLENGE_REVOKED || reason == REASON_TRANSACTION_REUSED;
    ck_assert_int_eq(o.stored, counted);
    outcome_clear(&o);
}

/* ---- looking ---- */

struct store_cert record_of(struct world *w, const struct buf *certificate)
{
    struct store_cert c = {0};
    struct cert *parsed = NULL;
    struct err err = {0};
    must(cert_parse(buf_view(certificate), &parsed, &err), &err);
    must(store_cert_by_der(w->store, parsed->serial, parsed->sha256, &c, &err), &err);
    cert_free(parsed);
    return c;
}

struct store_tx transaction_of(struct world *w, const char *transaction)
{
    struct store_tx t;
    struct err err = {0};
    must(store_tx_get(w->store, w->policy.endpoint, transaction, &t, &err), &err);
    return t;
}

struct store_challenge challenge_of(struct world *w, const char *secret)
{
    struct store_challenge c;
    struct err err = {0};
    uint8_t hash[STORE_HASH];
    challenge_hash(&w->challenge_key, view_str(secret), hash);
    must(store_challenge_by_hash(w->store, hash, &c, &err), &err);
    return c;
}

uint64_t certificates(struct world *w)
{
    struct store_stats stats;
    struct err err = {0};
    must(store_stats(w->store, &stats, &err), &err);
    return stats.certificates;
}

struct counted {
    const char *event;
    unsigned n;
};

static bool count_event(void *ctx, const struct store_audit *a)
{
    struct counted *c = ctx;
    c->n += strcmp(a->event, c->event) == 0;
    return true;
}

unsigned audited(struct world *w, const char *event)
{
    struct counted c = {.event = event};
    struct err err = {0};
    must(store_audit_list(w->store, 0, count_event, &c, &err), &err);
    return c.n;
}

static void tell_problem(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

void expect_sound(struct world *w)
{
    uint64_t problems = 0;
    struct err err = {0};
    must(store_verify(w->store, tell_problem, NULL, &problems, &err), &err);
    ck_assert_uint_eq(problems, 0);
}
