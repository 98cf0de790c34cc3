/* Is a template itself in order?  Asked once, when the configuration is read. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "tbs.h"
#include "template_internal.h"
#include "usage.h"

#define RSA_BITS_MIN 1024u
#define RSA_BITS_MAX 4096u
#define BACKDATE_MAX 86400 /* seconds */
#define DEVICE_USAGE                                                             \
    (uint32_t)(KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | KU_KEY_ENCIPHERMENT | \
               KU_DATA_ENCIPHERMENT | KU_KEY_AGREEMENT)

static bool check_patterns(const struct template *t, struct err *err)
{
    struct pattern p;

    for (size_t i = 0; i < t->subject_n; i++)
        if (!pattern_parse(t->subject[i], '=', &p) || !name_type_by_key(p.key))
            return err_set(err, ERR_CONFIG, "not an attribute and a pattern, like \"CN=*\": \"%s\"",
                           t->subject[i]);
    for (size_t i = 0; i < t->san_n; i++) {
        bool known = false;
        for (int k = SAN_DNS; pattern_parse(t->san[i], ':', &p) && k <= SAN_UPN; k++)
            known = known || strcasecmp(p.key, san_kind_name((enum san_kind)k)) == 0;
        if (!known)
            return err_set(err, ERR_CONFIG, "not a kind and a pattern, like \"DNS:*\": \"%s\"",
                           t->san[i]);
    }
    if (t->subject_n == 0 && !t->subject_build && !t->empty_subject)
        return err_set(err, ERR_CONFIG,
                       "no subject is possible: neither patterns nor a subject to build");
    return true;
}

static bool check_key(const struct template *t, struct err *err)
{
    if (t->rsa_max == 0 && t->curves == 0)
        return err_set(err, ERR_CONFIG, "no key type is allowed");
    if (t->rsa_max > 0 &&
        (t->rsa_min < RSA_BITS_MIN || t->rsa_min > t->rsa_max || t->rsa_max > RSA_BITS_MAX))
        return err_set(err, ERR_CONFIG, "RSA keys of %u to %u bits: %u to %u are possible",
                       t->rsa_min, t->rsa_max, RSA_BITS_MIN, RSA_BITS_MAX);
    return true;
}

static bool check_usage(const struct template *t, struct err *err)
{
    char text[128];

    if (t->key_usage == 0)
        return err_set(err, ERR_CONFIG, "the key usage is empty");
    key_usage_text(t->key_usage & ~DEVICE_USAGE, text, sizeof text);
    if (t->key_usage & ~DEVICE_USAGE)
        return err_set(err, ERR_CONFIG, "devices never have key usage %s", text);
    for (size_t i = 0; i < t->eku.n; i++) {
        if (strcmp(t->eku.oid[i], EKU_ANY) == 0)
            return err_set(err, ERR_CONFIG, "anyExtendedKeyUsage is never issued");
        if (!usage_serves(t->key_usage, t->eku.oid[i]))
            return err_set(err, ERR_CONFIG, "the key usage cannot serve %s",
                           eku_name(t->eku.oid[i]));
    }
    /* RFC 6960 section 4.2.2.2: who has it answers for the authority.  It makes its responders
     * itself. */
    return !eku_has(&t->eku, EKU_OCSP_SIGNING) ||
           err_set(
               err, ERR_CONFIG,
               "OCSPSigning is never issued to devices: the authority has responders of its own");
}

static bool check_times(const struct template *t, struct err *err)
{
    if (t->validity <= 0 || t->min_validity < 0 || t->min_validity > t->validity)
        return err_set(err, ERR_CONFIG,
                       "validity %" PRId64 " s and min_validity %" PRId64 " s do not fit",
                       t->validity, t->min_validity);
    if (t->backdate < 0 || t->backdate > BACKDATE_MAX)
        return err_set(err, ERR_CONFIG, "backdate %" PRId64 " s: 0 to %d are possible", t->backdate,
                       BACKDATE_MAX);
    if (t->renew_before < 0 || t->renew_grace < 0)
        return err_set(err, ERR_CONFIG, "renew_before and renew_grace are not negative");
    return true;
}

static bool check_extensions(const struct template *t, struct err *err)
{
    struct eku all = {.n = 0};

    for (size_t i = 0; i < t->extensions.n; i++)
        if (!extension_passable(t->extensions.oid[i]))
            return err_set(err, ERR_CONFIG, "extension %s is never passed on from a request",
                           t->extensions.oid[i]);
    return template_passes(t, &all) ||
           err_set(err, ERR_CONFIG, "more than %d extensions are passed on", EKU_MAX);
}

bool template_check(const struct template *t, struct err *err)
{
    return check_patterns(t, err) && build_check(t, err) && check_key(t, err) &&
           check_usage(t, err) && check_times(t, err) && check_extensions(t, err);
}
