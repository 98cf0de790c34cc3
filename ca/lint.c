/* The certificate as a whole: read, judged part by part, then written again from what was read. Any
 * octet that differs from our own writing is a fault, whatever the parts thought of it. */
#include "ca/lint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lint_internal.h"
#include "ms_sid.h"

#define DAY ((int64_t)86400)
#define SERIAL_MIN 9     /* octets: 64 random bits and the sign */
#define SERIAL_MAX 20    /* RFC 5280 section 4.1.2.2 */
#define BACKDATE_MAX DAY /* devices fresh out of the box have slow clocks */
#define CLOCK_SLACK 60   /* seconds between the process that plans and the one that signs */
#define DEVICE_SIZE_MAX (3u << 10) /* EAP fragments, constrained stacks */

static int64_t role_longest(enum cert_role role)
{
    switch (role) {
    case ROLE_ROOT:
        return 25 * 366 * DAY;
    case ROLE_ISSUING_CA:
        return 15 * 366 * DAY;
    case ROLE_RA:
    case ROLE_RA_SIGNING:
    case ROLE_RA_ENCRYPTION:
        return 3 * 366 * DAY;
    case ROLE_OCSP: /* nobody can revoke it: 30 days with what it may be back-dated by */
        return 30 * DAY - BACKDATE_MAX;
    case ROLE_DEVICE: /* the template's business, in limits->max_validity */
        break;
    }
    return INT64_MAX;
}

static bool lint_serial(struct lint *l, struct err *err)
{
    struct view serial = l->cert->serial;

    if (serial.n == 0 || serial.n > SERIAL_MAX || (serial.p[0] & 0x80))
        return err_refuse(err, REASON_INTERNAL,
                          "C3: the serial is not positive, or has %zu octets (at most %d)",
                          serial.n, SERIAL_MAX);
    if (serial.n < SERIAL_MIN)
        return err_refuse(err, REASON_INTERNAL, "C4: the serial has %zu octets, less than %d",
                          serial.n, SERIAL_MIN);
    l->tbs.serial = serial;
    return true;
}

/* Between the key and the extensions there is only the [3] around these. */
static bool lint_version(const struct lint *l, struct err *err)
{
    const struct cert *c = l->cert;
    const uint8_t *after_key = c->spki.p + c->spki.n;

    if (c->version != 3)
        return err_refuse(err, REASON_INTERNAL, "C2: the version is %d, not 3", c->version);
    if (after_key < c->tbs.p + c->tbs.n && *after_key != DER_CONTEXT_CONSTRUCTED(3))
        return err_refuse(err, REASON_INTERNAL, "C2: there is a unique identifier");
    return true;
}

static bool lint_sigalg(struct lint *l, struct err *err)
{
    static const enum digest of_curve[] = {
        [CURVE_P256] = DIGEST_SHA256, [CURVE_P384] = DIGEST_SHA384, [CURVE_P521] = DIGEST_SHA512};
    struct sigalg *alg = &l->tbs.sigalg;

    if (!sigalg_parse(l->cert->tbs_sigalg, DIGEST_SHA256, alg, err)) {
        err_prefix(err, "C5");
        return false;
    }
    if (!view_eq(l->cert->tbs_sigalg, sigalg_der(*alg)))
        return err_refuse(err, REASON_INTERNAL, "C5: wrong parameters of the signature algorithm");
    bool fits = l->issuer_key.type == KEY_RSA
                    ? alg->scheme == SIG_RSA_PKCS1 && alg->digest >= DIGEST_SHA256
                    : alg->scheme == SIG_ECDSA && alg->digest == of_curve[l->issuer_key.curve];
    return fits || err_refuse(err, REASON_INTERNAL,
                              "C5: the signature algorithm (%s) does not fit the issuer's key",
                              digest_name(alg->digest));
}

static bool refuse_time(struct err *err, const char *rule, int64_t is, int64_t limit)
{
    char is_text[32], limit_text[32];

    text_time(is, is_text);
    text_time(limit, limit_text);
    return err_refuse(err, REASON_INTERNAL, "%s (%s, limit %s)", rule, is_text, limit_text);
}

/* Written again: types, seconds, Z (RFC 5280 section 4.1.2.5).  It stands between issuer and
 * subject. */
static bool lint_time_encoding(const struct lint *l, struct err *err)
{
    const struct cert *c = l->cert;
    const uint8_t *start = c->issuer.p + c->issuer.n;
    struct der w;
    struct buf built = {0};

    der_init(&w, 64);
    size_t mark = der_mark(&w);
    der_time(&w, c->not_after);
    der_time(&w, c->not_before);
    der_wrap(&w, DER_SEQUENCE, mark);
    if (!der_take(&w, &built, err))
        return false;
    bool same = view_eq(buf_view(&built), view_of(start, (size_t)(c->subject.p - start)));
    buf_clear(&built);
    return same ||
           err_refuse(
               err, REASON_INTERNAL,
               "C15: a time is not UTCTime to 2049, GeneralizedTime from 2050, in seconds and Z");
}

static bool lint_validity(struct lint *l, struct err *err)
{
    const struct cert *c = l->cert;
    const struct lint_limits *limits = l->limits;
    int64_t longest = role_longest(limits->role);

    if (!lint_time_encoding(l, err))
        return false;
    if (c->not_before >= c->not_after)
        return refuse_time(err, "C16: the validity ends before it begins", c->not_after,
                           c->not_before);
    if (c->not_before > limits->now + CLOCK_SLACK)
        return refuse_time(err, "C16: the validity begins in the future", c->not_before,
                           limits->now);
    if (c->not_after <= limits->now)
        return refuse_time(err, "C16: the validity is over", c->not_after, limits->now);
    if (limits->issuer && c->not_after > limits->issuer->not_after)
        return refuse_time(err, "C17: the validity ends after the issuer's", c->not_after,
                           limits->issuer->not_after);
    if (limits->issuer && c->not_before < limits->issuer->not_before)
        return refuse_time(err, "C17: the validity begins before the issuer's", c->not_before,
                           limits->issuer->not_before);
    if (limits->max_validity < longest)
        longest = limits->max_validity;
    if (c->not_after - c->not_before - BACKDATE_MAX > longest)
        return err_refuse(err, REASON_INTERNAL,
                          "C18: valid for %" PRId64 " s; at most %" PRId64 " s are allowed",
                          c->not_after - c->not_before, longest);
    l->tbs.not_before = c->not_before;
    l->tbs.not_after = c->not_after;
    return true;
}

/* Strong certificate mapping: a SID only where a template vouches for it, and one SID only. */
static bool lint_sid(const struct lint *l, struct err *err)
{
    char sid[MS_SID_MAX] = "";

    if (l->ms_sid.n > 0 && !ms_sid_parse(l->ms_sid, sid))
        return err_refuse(err, REASON_INTERNAL, "C31: the SID extension is malformed");
    for (size_t i = 0; i < l->san.n; i++) {
        const struct san_name *name = &l->san.name[i];
        if (name->kind != SAN_URI || !ms_sid_claimed(name->text))
            continue;
        if (!l->limits->extensions || !eku_has(l->limits->extensions, OID_MS_SID))
            return err_refuse(err, REASON_SAN_FORBIDDEN,
                              "C37: a SAN URI with a SID that no template passes on");
        const char *of_uri = ms_sid_of_uri(name->text);
        if (!of_uri)
            return err_refuse(err, REASON_SAN_FORBIDDEN,
                              "C31: the SAN URI with a SID is malformed");
        if (sid[0] && strcmp(sid, of_uri) != 0)
            return err_refuse(err, REASON_SAN_FORBIDDEN, "C31: two different SIDs, %s and %s", sid,
                              of_uri);
        snprintf(sid, sizeof sid, "%s", of_uri);
    }
    return true;
}

static bool lint_size(enum cert_role role, size_t n, struct err *err)
{
    if (role != ROLE_DEVICE || n <= DEVICE_SIZE_MAX)
        return true;
    return err_refuse(err, REASON_SAN_FORBIDDEN, "C43: the certificate has %zu octets; at most %u",
                      n, DEVICE_SIZE_MAX);
}

/* C1, and the last word of C22: the same values in our own writing. */
static bool lint_written_again(struct lint *l, struct err *err)
{
    struct buf built = {0};

    l->tbs.issuer = l->cert->issuer;
    l->tbs.subject = &l->subject;
    l->tbs.key = &l->key;
    l->tbs.eku = &l->eku;
    l->tbs.san = &l->san;
    l->tbs.crl_url = l->crl_url;
    l->tbs.issuer_url = l->issuer_url;
    l->tbs.ocsp_url = l->ocsp_url;
    if (!tbs_build(&l->tbs, &built, err))
        return false;
    bool same = view_eq(buf_view(&built), l->cert->tbs);
    buf_clear(&built);
    return same ||
           err_refuse(err, REASON_INTERNAL, "C1: not in strict DER, or not in our own writing");
}

static bool lint_parts(struct lint *l, struct err *err)
{
    return lint_version(l, err) && lint_serial(l, err) && lint_names(l, err) &&
           lint_validity(l, err) && lint_size(l->limits->role, l->cert->tbs.n, err) &&
           lint_key(l, err) && lint_extensions(l, err) && lint_issuer(l, err) &&
           lint_sigalg(l, err) && lint_key_ids(l, err) && lint_usage(l, err) && lint_sid(l, err) &&
           lint_written_again(l, err);
}

static bool lint_run(const struct cert *cert, const struct lint_limits *limits, struct err *err)
{
    struct lint *l = calloc(1, sizeof *l);

    if (!l)
        return err_memory(err);
    l->cert = cert;
    l->limits = limits;
    l->is_ca_role = limits->role == ROLE_ROOT || limits->role == ROLE_ISSUING_CA;
    l->tbs.path_len = -1;
    bool ok = lint_parts(l, err);
    sk_X509_EXTENSION_pop_free(l->extensions, X509_EXTENSION_free);
    name_clear(&l->subject);
    san_clear(&l->san);
    free(l);
    return ok;
}

bool cert_lint_tbs(struct view tbs, const struct lint_limits *limits, struct err *err)
{
    struct cert *cert = NULL;

    if (!cert_parse_tbs(tbs, &cert, err)) {
        err_prefix(err, "C1");
        return false;
    }
    bool ok = lint_run(cert, limits, err);
    cert_free(cert);
    return ok;
}

bool cert_lint(const struct cert *cert, const struct lint_limits *limits, struct err *err)
{
    struct buf again = {0};

    if (!view_eq(cert->tbs_sigalg, cert->sigalg_der))
        return err_refuse(err, REASON_INTERNAL, "C6: the two signature algorithms differ");
    if (!lint_run(cert, limits, err))
        return false;

    struct sigalg alg;
    if (!sigalg_parse(cert->sigalg_der, DIGEST_SHA256, &alg, err) ||
        !certificate_assemble(cert->tbs, alg, cert->signature, &again, err))
        return false;
    bool same = view_eq(buf_view(&again), buf_view(&cert->der));
    buf_clear(&again);
    if (!same)
        return err_refuse(err, REASON_INTERNAL,
                          "C1: the certificate around the TBS is not strict DER");
    return lint_size(limits->role, cert->der.n, err);
}
