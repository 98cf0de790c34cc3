/* GetCACert and GetNextCACert: what the server hands out, and what clients will make of it. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "base/text.h"
#include "scepctl/probe.h"

#define DAY 86400
#define SOON 30      /* days */
#define MIN_RSA 2048 /* bits */

static const char type_single[] = "application/x-x509-ca-cert";
static const char type_chain[] = "application/x-x509-ca-ra-cert";
static const char type_next[] = "application/x-x509-next-ca-cert";

static void subject_of(const struct cert *c, char out[120])
{
    name_der_text(c->subject, out, 120);
}

static bool extensions_of(const struct cert *c, struct extensions *out)
{
    struct err ignored;
    *out = (struct extensions){0};
    return c->extensions.n == 0 ||
           extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, out, &ignored);
}

static bool is_ca(const struct cert *c)
{
    struct extensions x;
    bool ca = extensions_of(c, &x) && x.has_basic_constraints && x.is_ca;
    extensions_clear(&x);
    return ca;
}

/* UINT32_MAX: no keyUsage, which allows everything. */
static uint32_t usage_of(const struct cert *c)
{
    struct extensions x;
    uint32_t usage = extensions_of(c, &x) && x.has_key_usage ? x.key_usage : UINT32_MAX;
    extensions_clear(&x);
    return usage;
}

static bool issued_by(const struct cert *c, const struct cert *issuer)
{
    struct pubkey key;
    EVP_PKEY *pkey = NULL;
    struct err ignored;
    bool ok = view_eq(c->issuer, issuer->subject) && pubkey_parse(issuer->spki, &key, &ignored) &&
              pubkey_load(&key, &pkey, &ignored) && cert_signature_verify(c, pkey, &ignored);
    EVP_PKEY_free(pkey);
    return ok;
}

static bool self_issued(const struct cert *c)
{
    return view_eq(c->issuer, c->subject);
}

/* ---- the answer as such ---- */

static void check_type(struct probe *p, const struct probe_answer *a, bool single)
{
    const char *right = single ? type_single : type_chain;
    size_t n = strlen(right);
    if (strcmp(a->type, right) == 0)
        probe_ok(p, PROBE_CA_TYPE, "%s", right);
    else if (strncmp(a->type, right, n) == 0)
        probe_warn(p, PROBE_CA_TYPE, C(APPLE) | C(PYSCEP), "\"%s\": with a parameter", a->type);
    else if (!single && strcmp(a->type, "application/x-x509-ra-ca-certs") == 0)
        probe_fail(p, PROBE_CA_TYPE, C_ALL & ~C(SSCEP), "\"%s\": only sscep knows it", a->type);
    else
        probe_fail(p, PROBE_CA_TYPE, 0, "\"%s\" instead of %s", a->has_type ? a->type : "none",
                   right);
}

/* RFC 8894 section 3.4: no content, no signers. */
static void check_list(struct probe *p, struct view body)
{
    struct inspected_signed i = {0};
    struct err err = {0};
    if (!inspect_signed(body, NULL, 0, &i, &err)) {
        probe_fail(p, PROBE_CA_FORM, 0, "%s", err.text);
        return;
    }
    if (!i.der)
        probe_warn(p, PROBE_CA_FORM, C(PYSCEP) | C(CRYPTLIB), "BER: %s", i.not_der);
    if (i.has_content)
        probe_warn(p, PROBE_CA_FORM, NOBODY, "a content, where only certificates belong");
    if (i.signers)
        probe_warn(p, PROBE_CA_FORM, NOBODY, "%d signers, where only certificates belong",
                   i.signers);
    if (!p->finding[PROBE_CA_FORM].known)
        probe_ok(p, PROBE_CA_FORM, "%d certificates, DER, nothing else", i.certificates);
    inspected_signed_clear(&i);
}

static void garbage(struct probe *p, struct view body, const char *why)
{
    if (body.n > 10 && memcmp(body.p, "-----BEGIN", 10) == 0)
        probe_fail(p, PROBE_CA_FORM, 0, "PEM instead of DER");
    else if (body.n && body.p[0] == '<')
        probe_fail(p, PROBE_CA_FORM, 0, "a web page");
    else
        probe_fail(p, PROBE_CA_FORM, 0, "%s", why);
}

static bool take_certificates(struct probe *p, const struct probe_answer *a)
{
    struct cert *one = NULL;
    struct err err = {0};
    struct view body = buf_view(&a->body);
    bool single = cert_parse(body, &one, &err);
    cert_free(one);
    err = (struct err){0};
    if (!client_ca_from_answer(body, single ? type_single : type_chain, &p->ca, &err)) {
        garbage(p, body, err.text);
        return false;
    }
    p->has_ca = true;
    check_type(p, a, single);
    if (single)
        probe_ok(p, PROBE_CA_FORM, "one certificate, DER");
    else
        check_list(p, body);
    for (size_t i = 0; i < p->ca.certs.n; i++)
        if (cert_parse(buf_view(&p->ca.certs.der[i]), &p->cert[p->cert_n], &err))
            p->cert_n++;
    return p->cert_n > 0;
}

/* ---- the certificates ---- */

static void check_order(struct probe *p)
{
    size_t ca = 0;
    while (ca < p->cert_n && !is_ca(p->cert[ca]))
        ca++;
    for (size_t i = ca; i < p->cert_n; i++)
        if (!is_ca(p->cert[i])) {
            probe_warn(p, PROBE_CA_ORDER, 0, "an RA certificate stands behind a CA certificate");
            return;
        }
    for (size_t i = ca; i + 1 < p->cert_n; i++)
        if (!issued_by(p->cert[i], p->cert[i + 1])) {
            probe_warn(p, PROBE_CA_ORDER, C_JSCEP,
                       "a CA certificate is not followed by that of its issuer");
            return;
        }
    probe_ok(p, PROBE_CA_ORDER, "%zu RA, then %zu CA", ca, p->cert_n - ca);
}

static const struct cert *issuer_among(const struct probe *p, const struct cert *c)
{
    for (size_t i = 0; i < p->cert_n; i++)
        if (issued_by(c, p->cert[i]))
            return p->cert[i];
    return NULL;
}

static void check_chain(struct probe *p)
{
    for (size_t i = 0; i < p->cert_n; i++) {
        char subject[120];
        subject_of(p->cert[i], subject);
        if (issuer_among(p, p->cert[i]))
            continue;
        if (is_ca(p->cert[i]))
            probe_warn(p, PROBE_CA_CHAIN, 0, "the issuer of %s is not included", subject);
        else
            probe_fail(p, PROBE_CA_CHAIN, C_JSCEP | C(CERTMONGER),
                       "RA %s is not issued by a CA of the answer", subject);
    }
    if (!p->finding[PROBE_CA_CHAIN].known)
        probe_ok(p, PROBE_CA_CHAIN, "complete up to a self-signed certificate");
}

static void check_issuer(struct probe *p)
{
    struct extensions x;
    const struct cert *c = p->ca.issuer;
    if (!extensions_of(c, &x))
        probe_warn(p, PROBE_CA_ISSUER, 0, "its extensions cannot be read");
    else if (!x.has_basic_constraints || !x.is_ca)
        probe_fail(p, PROBE_CA_ISSUER, 0, "no basicConstraints CA:TRUE");
    else if (!x.has_key_usage)
        probe_warn(p, PROBE_CA_ISSUER, C_JSCEP | C(APPLE),
                   "no keyUsage: clients cannot tell what it is for");
    else if (!(x.key_usage & KU_KEY_CERT_SIGN))
        probe_fail(p, PROBE_CA_ISSUER, 0, "keyUsage without keyCertSign");
    else if (!x.basic_constraints_critical)
        probe_warn(p, PROBE_CA_ISSUER, NOBODY, "basicConstraints is not critical");
    else if (!(x.key_usage & KU_CRL_SIGN))
        probe_warn(p, PROBE_CA_ISSUER, NOBODY,
                   "keyUsage without cRLSign: its revocation lists are refused");
    else
        probe_ok(p, PROBE_CA_ISSUER, "CA:TRUE, keyCertSign, cRLSign");
    extensions_clear(&x);
}

static void check_recipient(struct probe *p)
{
    const struct cert *c = p->ca.recipient;
    struct pubkey key;
    struct err err = {0};
    char subject[120], text[16];
    bool ca = is_ca(c);
    subject_of(c, subject);
    if (!pubkey_parse(c->spki, &key, &err)) {
        probe_fail(p, PROBE_CA_RECIPIENT, 0, "%s: %s", subject, err.text);
        return;
    }
    pubkey_text(&key, text);
    if (key.type != KEY_RSA)
        probe_fail(p, PROBE_CA_RECIPIENT, 0, "%s has a %s key: nobody can encrypt to it", subject,
                   text);
    else if (!(usage_of(c) & KU_KEY_ENCIPHERMENT))
        probe_fail(p, PROBE_CA_RECIPIENT, C(WINDOWS) | C(CRYPTLIB),
                   "%s, the only choice, has keyUsage without keyEncipherment", subject);
    else
        probe_ok(p, PROBE_CA_RECIPIENT, "%s, %s, %s", ca ? "the CA" : "an RA", text, subject);
}

static void check_signer(struct probe *p)
{
    char subject[120];
    subject_of(p->ca.reply_signer, subject);
    if (usage_of(p->ca.reply_signer) & KU_DIGITAL_SIGNATURE)
        probe_ok(p, PROBE_CA_SIGNER, "%s", subject);
    else
        probe_fail(p, PROBE_CA_SIGNER, 0, "%s has keyUsage without digitalSignature", subject);
}

static void check_eku(struct probe *p)
{
    for (size_t i = 0; i < p->cert_n; i++) {
        struct extensions x;
        char subject[120], eku[200];
        subject_of(p->cert[i], subject);
        if (extensions_of(p->cert[i], &x) && !x.is_ca && x.has_eku &&
            !eku_has(&x.eku, "1.3.6.1.5.5.7.3.4") && !eku_has(&x.eku, "2.5.29.37.0")) {
            ctl_eku_text(&x.eku, eku, sizeof eku);
            probe_warn(p, PROBE_CA_EKU, 0, "%s has %s", subject, eku);
        }
        extensions_clear(&x);
    }
    if (!p->finding[PROBE_CA_EKU].known)
        probe_ok(p, PROBE_CA_EKU, "none, or a fitting one");
}

static void check_key(struct probe *p, const struct cert *c)
{
    struct pubkey key;
    struct sigalg alg;
    struct err err = {0};
    char subject[120], text[16];
    subject_of(c, subject);
    if (!pubkey_parse(c->spki, &key, &err)) {
        probe_warn(p, PROBE_CA_KEYS, NOBODY, "%s: %s", subject, err.text);
        return;
    }
    pubkey_text(&key, text);
    if (key.type == KEY_RSA && key.bits < MIN_RSA)
        probe_fail(p, PROBE_CA_KEYS, C(APPLE) | C(WINDOWS) | C(ANDROID), "%s: %s", subject, text);
    if (!self_issued(c) && sigalg_parse(c->sigalg_der, DIGEST_COUNT, &alg, &err) &&
        alg.digest < DIGEST_SHA224)
        probe_warn(p, PROBE_CA_KEYS, C(APPLE) | C(WINDOWS) | C(ANDROID), "%s is signed with %s",
                   subject, digest_name(alg.digest));
    probe_ok(p, PROBE_CA_KEYS, "%s", text);
}

static void check_validity(struct probe *p, const struct cert *c)
{
    int64_t now = p->ctl->now, left = c->not_after - now;
    bool ca = is_ca(c);
    char subject[120], until[32];
    subject_of(c, subject);
    text_time(c->not_after, until);
    until[10] = '\0';
    if (left < 0)
        probe_fail(p, PROBE_CA_EXPIRY, 0, "%s ended on %s", subject, until);
    else if (c->not_before > now)
        probe_fail(p, PROBE_CA_EXPIRY, 0, "%s is not valid yet", subject);
    else if (left < SOON * DAY)
        probe_warn(p, PROBE_CA_EXPIRY, 0, "%s ends on %s, in %lld d%s", subject, until,
                   (long long)(left / DAY),
                   ca && !p->next_announced ? ", and nothing announces its successor" : "");
    else
        probe_ok(p, PROBE_CA_EXPIRY, "%s until %s", ca ? "CA" : "RA", until);
}

static void check_certificates(struct probe *p)
{
    check_order(p);
    check_chain(p);
    check_issuer(p);
    check_recipient(p);
    check_signer(p);
    check_eku(p);
    for (size_t i = 0; i < p->cert_n; i++) {
        check_key(p, p->cert[i]);
        check_validity(p, p->cert[i]);
    }
}

/* ---- GetCACert ---- */

/* sscep's default, certmonger's, jscep's; with none at all cryptlib and strongSwan ask. */
static void check_messages(struct probe *p, struct view body)
{
    static const struct {
        const char *query, *what;
    } forms[] = {
        {"operation=GetCACert", "none"},
        {"operation=GetCACert&message=", "empty"},
        {"operation=GetCACert&message=CAIdentifier", "CAIdentifier"},
        {"operation=GetCACert&message=0", "0"},
        {"operation=GetCACert&message=1", "1"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct probe_request r = {.query = forms[i].query};
        struct probe_answer a = {0};
        struct err err = {0};
        if (!probe_send(p, &r, &a, &err))
            probe_warn(p, PROBE_CA_MESSAGE, 0, "%s: %s", forms[i].what, err.text);
        else if (a.status != 200)
            probe_warn(p, PROBE_CA_MESSAGE, 0, "%s: HTTP %ld", forms[i].what, a.status);
        else if (!view_eq(buf_view(&a.body), body))
            probe_warn(p, PROBE_CA_MESSAGE, NOBODY, "%s: another answer", forms[i].what);
        probe_answer_clear(&a);
    }
    if (!p->finding[PROBE_CA_MESSAGE].known)
        probe_ok(p, PROBE_CA_MESSAGE, "none, empty, CAIdentifier, 0, 1: all the same");
}

void probe_cacert(struct probe *p)
{
    struct buf query = {0};
    struct probe_answer a = {0};
    struct err err = {0};
    const char *id = p->o->ca_identifier;
    bool ready =
        buf_append_str(&query, "operation=GetCACert") &&
        (!id || (buf_append_str(&query, "&message=") && probe_escape(view_str(id), &query))) &&
        buf_append(&query, "", 1);
    struct probe_request r = {.query = (const char *)query.p};
    if (!ready || !probe_send(p, &r, &a, &err))
        probe_fail(p, PROBE_CA_ANSWER, 0, "%s", ready ? err.text : "out of memory");
    else if (a.status != 200)
        probe_fail(p, PROBE_CA_ANSWER, 0, "HTTP %ld", a.status);
    else if (a.body.n == 0)
        probe_fail(p, PROBE_CA_ANSWER, 0, "empty");
    else if (take_certificates(p, &a)) {
        probe_ok(p, PROBE_CA_ANSWER, "%zu certificate%s, %zu octets", p->cert_n,
                 p->cert_n == 1 ? "" : "s", a.body.n);
        check_certificates(p);
        check_messages(p, buf_view(&a.body));
    } else
        probe_fail(p, PROBE_CA_ANSWER, 0, "no certificate in it");
    buf_clear(&query);
    probe_answer_clear(&a);
}

/* ---- GetNextCACert ---- */

static bool holds(const struct scep_certs *list, struct view der)
{
    for (size_t i = 0; i < list->n; i++)
        if (view_eq(buf_view(&list->der[i]), der))
            return true;
    return false;
}

/* sscep reads the inner certificates, jscep the outer ones. */
static void check_next_certificates(struct probe *p, struct view body, struct view inner)
{
    struct scep_certs inside = {0}, outside = {0};
    struct err err = {0};
    bool in = scep_certs_parse(inner, &inside, &err) && inside.n > 0;
    bool out = scep_certs_parse(body, &outside, &err);
    if (!in)
        probe_fail(p, PROBE_NEXT_CERTS, C(SSCEP) | C(CISCO),
                   "no certificates-only SignedData as content%s%s", err.text[0] ? ": " : "",
                   err.text);
    else if (!out || !holds(&outside, buf_view(&inside.der[0])))
        probe_warn(p, PROBE_NEXT_CERTS, C_JSCEP, "the next CA is not among the outer certificates");
    else if (holds(&p->ca.certs, buf_view(&inside.der[0])))
        probe_warn(p, PROBE_NEXT_CERTS, NOBODY, "the next CA is the present one");
    else
        probe_ok(p, PROBE_NEXT_CERTS, "inside and outside");
    if (in && !cert_parse(buf_view(&inside.der[0]), &p->next, &err))
        p->next = NULL;
    scep_certs_clear(&inside);
    scep_certs_clear(&outside);
}

static void check_next(struct probe *p, const struct probe_answer *a)
{
    struct inspected_signed i = {0};
    struct err err = {0};
    if (strcmp(a->type, type_next) == 0)
        probe_ok(p, PROBE_NEXT_TYPE, "%s", type_next);
    else
        probe_fail(p, PROBE_NEXT_TYPE, 0, "\"%s\"", a->has_type ? a->type : "none");
    if (!inspect_signed(buf_view(&a->body), p->cert, p->cert_n, &i, &err)) {
        probe_fail(p, PROBE_NEXT_SIGNATURE, 0, "no signed answer: %s", err.text);
        return;
    }
    if (i.signers == 0)
        probe_fail(p, PROBE_NEXT_SIGNATURE, 0, "not signed: anybody could announce a new CA");
    else if (!i.verified)
        probe_fail(p, PROBE_NEXT_SIGNATURE, 0, "%s", i.not_verified);
    else if (i.candidate < 0)
        probe_fail(p, PROBE_NEXT_SIGNATURE, 0, "not by a certificate of GetCACert");
    else
        probe_ok(p, PROBE_NEXT_SIGNATURE, "by a certificate of GetCACert");
    check_next_certificates(p, buf_view(&a->body), buf_view(&i.content));
    inspected_signed_clear(&i);
}

static void nothing_announced(struct probe *p)
{
    probe_skip(p, PROBE_NEXT_TYPE, "not announced");
    probe_skip(p, PROBE_NEXT_SIGNATURE, "not announced");
    probe_skip(p, PROBE_NEXT_CERTS, "not announced");
}

void probe_nextca(struct probe *p)
{
    struct probe_request r = {.query = "operation=GetNextCACert"};
    struct probe_answer a = {0};
    struct err err = {0};
    bool answered = probe_send(p, &r, &a, &err), announced = p->next_announced;
    bool good = answered && a.status == 200 && a.body.n > 0;
    if (good && announced)
        probe_ok(p, PROBE_NEXT_ANSWER, "announced and answered");
    else if (announced)
        probe_fail(p, PROBE_NEXT_ANSWER, 0, "announced, but %s%.0ld", answered ? "HTTP " : err.text,
                   answered ? a.status : 0L);
    else if (good)
        probe_warn(p, PROBE_NEXT_ANSWER, 0, "answered, but not announced");
    else if (!answered || a.status >= 500)
        probe_warn(p, PROBE_NEXT_ANSWER, NOBODY, "not announced, and refused with %s%.0ld",
                   answered ? "HTTP " : err.text, answered ? a.status : 0L);
    else
        probe_ok(p, PROBE_NEXT_ANSWER, "not announced, and refused");
    if (good)
        check_next(p, &a);
    else
        nothing_announced(p);
    probe_answer_clear(&a);
}
