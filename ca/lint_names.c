/* Names: the issuer's bytes, and a subject that is written exactly as we write names. */
#include "lint_internal.h"

static bool lint_issuer_name(const struct lint *l, struct err *err)
{
    const struct cert *cert = l->cert;
    static const uint8_t empty_name[] = {DER_SEQUENCE, 0};
    struct view expected = l->limits->issuer ? l->limits->issuer->subject : cert->subject;

    if (view_eq(cert->issuer, view_of(empty_name, sizeof empty_name)))
        return err_refuse(err, REASON_INTERNAL, "C9: the issuer is empty");
    /* RFC 5280 section 4.1.2.4; Go and NSS compare octets */
    if (!view_eq(cert->issuer, expected))
        return err_refuse(err, REASON_INTERNAL,
                          "C7: the issuer is not the authority's subject, octet for octet");
    if (l->limits->issuer && view_eq(cert->issuer, cert->subject))
        return err_refuse(err, REASON_SUBJECT_FORBIDDEN,
                          "C39: the subject is the issuer's own: only a root is self-issued");
    return true;
}

static bool lint_attributes(const struct lint *l, struct err *err)
{
    for (size_t i = 0; i < l->subject.n; i++) {
        const struct name_attr *a = &l->subject.attr[i];

        if (!a->type)
            return err_refuse(err, REASON_SUBJECT_FORBIDDEN,
                              "C10: attribute %s is not one that is issued", a->oid);
        if (a->multi)
            return err_refuse(err, REASON_SUBJECT_FORBIDDEN,
                              "C12: %s is in one RDN with the attribute before it", a->type->key);
    }
    return true;
}

/* RFC 5280 section 4.1.2.4: UTF8String or PrintableString; our own table says which. */
static bool lint_encoding(const struct lint *l, struct err *err)
{
    struct der w;
    struct buf built = {0};

    der_init(&w, l->cert->subject.n);
    name_build(&l->subject, &w);
    if (!der_take(&w, &built, err))
        return false;
    bool same = view_eq(buf_view(&built), l->cert->subject);
    buf_clear(&built);
    return same ||
           err_refuse(err, REASON_SUBJECT_FORBIDDEN, "C10: the subject is not in our encoding");
}

bool lint_names(struct lint *l, struct err *err)
{
    if (!lint_issuer_name(l, err))
        return false;
    if (!name_parse(l->cert->subject, REASON_SUBJECT_FORBIDDEN, &l->subject, err)) {
        err_prefix(err, "C11");
        return false;
    }
    if (l->subject.n == 0 && l->limits->role != ROLE_DEVICE)
        return err_refuse(err, REASON_SUBJECT_FORBIDDEN, "C9: the subject is empty");
    if (!lint_attributes(l, err))
        return false;
    if (!name_check(&l->subject, REASON_SUBJECT_FORBIDDEN, err)) {
        err_prefix(err, "C13");
        return false;
    }
    return lint_encoding(l, err);
}
