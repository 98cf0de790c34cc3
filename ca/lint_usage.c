/* What the key may be used for, by role. */
#include "lint_internal.h"
#include "usage.h"

struct role_usage {
    uint32_t required, allowed;
};

/* RFC 5280 section 4.2.1.3; RFC 8894 section 2.1.2 for a CA that opens SCEP messages itself. */
static struct role_usage role_usage(enum cert_role role)
{
    const uint32_t ca = KU_KEY_CERT_SIGN | KU_CRL_SIGN;

    switch (role) {
    case ROLE_ROOT: /* may be its own issuing CA */
    case ROLE_ISSUING_CA:
        return (struct role_usage){ca, ca | KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT};
    case ROLE_RA:
        return (struct role_usage){KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT,
                                   KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT};
    case ROLE_RA_SIGNING:
        return (struct role_usage){KU_DIGITAL_SIGNATURE, KU_DIGITAL_SIGNATURE};
    case ROLE_RA_ENCRYPTION: /* without digitalSignature: PyScep tells the pair apart by it */
        return (struct role_usage){KU_KEY_ENCIPHERMENT, KU_KEY_ENCIPHERMENT};
    case ROLE_OCSP:
        return (struct role_usage){KU_DIGITAL_SIGNATURE, KU_DIGITAL_SIGNATURE};
    case ROLE_DEVICE:
        break;
    }
    return (struct role_usage){0, KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | KU_KEY_ENCIPHERMENT |
                                      KU_DATA_ENCIPHERMENT | KU_KEY_AGREEMENT};
}

static bool refuse_bits(struct err *err, const char *what, uint32_t bits)
{
    char text[160];

    key_usage_text(bits, text, sizeof text);
    return err_refuse(err, REASON_USAGE_FORBIDDEN, "%s (%s)", what, text);
}

static bool lint_key_usage_bits(const struct lint *l, struct err *err)
{
    uint32_t bits = l->tbs.key_usage;
    struct role_usage role = role_usage(l->limits->role);
    uint32_t misfit = bits & ~usage_of_key(&l->key, bits);

    if (bits == 0)
        return err_refuse(err, REASON_USAGE_FORBIDDEN, "C24: the key usage is empty");
    if (bits & ~role.allowed)
        return refuse_bits(err, "C24: key usage that the role never has", bits & ~role.allowed);
    if (role.required & ~bits)
        return refuse_bits(err, "C24: key usage that the role needs is missing",
                           role.required & ~bits);
    if (misfit)
        return refuse_bits(err, "C25: key usage that does not fit the key's algorithm", misfit);
    if (bits & ~l->limits->key_usage)
        return refuse_bits(err, "C37: key usage that no template gives",
                           bits & ~l->limits->key_usage);
    return true;
}

static bool lint_purposes(const struct lint *l, struct err *err)
{
    for (size_t i = 0; i < l->eku.n; i++) {
        const char *oid = l->eku.oid[i];

        if (strcmp(oid, EKU_ANY) == 0)
            return err_refuse(err, REASON_USAGE_FORBIDDEN,
                              "C26: anyExtendedKeyUsage is never issued");
        if (!l->limits->eku || !eku_has(l->limits->eku, oid))
            return err_refuse(err, REASON_USAGE_FORBIDDEN,
                              "C37: extended key usage %s is given by no template", eku_name(oid));
        if (!l->is_ca_role && !usage_serves(l->tbs.key_usage, oid))
            return err_refuse(err, REASON_USAGE_FORBIDDEN, "C27: the key usage cannot serve %s",
                              eku_name(oid));
    }
    if (l->limits->role == ROLE_ROOT && l->eku.n > 0)
        return err_refuse(err, REASON_USAGE_FORBIDDEN, "C26: a root has no extended key usage");
    return true;
}

/* RFC 6960 section 4.2.2.2: whoever has this purpose speaks for the authority, so the authority
 * makes responders for itself only.  Nobody asks whether one is revoked, and so it does not say
 * where. */
static bool lint_ocsp(const struct lint *l, struct err *err)
{
    bool signing = eku_has(&l->eku, EKU_OCSP_SIGNING);

    if (l->limits->role != ROLE_OCSP)
        return (!signing && !l->has_nocheck) ||
               err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "C40: OCSPSigning and ocsp-nocheck are the authority's own responder's");
    if (!signing || l->eku.n != 1 || !l->has_nocheck)
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "C40: an OCSP responder has OCSPSigning alone, and ocsp-nocheck");
    if (l->crl_url[0] || l->issuer_url[0] || l->ocsp_url[0] || l->has_san)
        return err_refuse(err, REASON_INTERNAL,
                          "C40: an OCSP responder has no addresses and no other names");
    return true;
}

static bool lint_ra(const struct lint *l, struct err *err)
{
    if (l->key.type != KEY_RSA)
        return err_refuse(err, REASON_KEY_TYPE, "C41: the key of a registration authority is RSA");
    if (l->eku.n > 0 && !eku_has(&l->eku, EKU_EMAIL) && !eku_has(&l->eku, EKU_MS_REQUEST_AGENT))
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "C41: a registration authority has no extended key usage, or "
                          "emailProtection among them");
    return true;
}

static bool lint_server(const struct lint *l, struct err *err)
{
    bool named = false;

    for (size_t i = 0; i < l->san.n; i++)
        named = named || l->san.name[i].kind == SAN_DNS || l->san.name[i].kind == SAN_IP;
    if (!named)
        return err_refuse(err, REASON_SAN_MISSING,
                          "C42: a TLS server has a DNS name or an address as SAN");
    if (!(l->tbs.key_usage & KU_DIGITAL_SIGNATURE))
        return err_refuse(err, REASON_USAGE_FORBIDDEN, "C42: a TLS server has digitalSignature");
    return true;
}

bool lint_usage(struct lint *l, struct err *err)
{
    enum cert_role role = l->limits->role;

    if (!lint_key_usage_bits(l, err) || !lint_purposes(l, err) || !lint_ocsp(l, err))
        return false;
    if (role == ROLE_RA || role == ROLE_RA_SIGNING || role == ROLE_RA_ENCRYPTION)
        return lint_ra(l, err);
    return !eku_has(&l->eku, EKU_SERVER_AUTH) || lint_server(l, err);
}
