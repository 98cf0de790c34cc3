/* Subject alternative names, and the SID that two places may name. */
#include "lint_internal.h"
#include "ms_sid.h"

/* Of the two rules: is there a userPrincipalName (1.3.6.1.4.1.311.20.2.3) among the names? */
static const char *alt_names_rule(struct view value)
{
    static const uint8_t upn[] = {0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04,
                                  0x01, 0x82, 0x37, 0x14, 0x02, 0x03};

    return memmem(value.p, value.n, upn, sizeof upn) ? "C30" : "C29";
}

bool lint_alt_names(struct lint *l, struct view value, struct err *err)
{
    if (!san_parse(value, &l->san, err)) {
        err_prefix(err, "%s", alt_names_rule(value));
        return false;
    }
    if (l->san.n == 0)
        return err_refuse(err, REASON_SAN_FORBIDDEN, "C29: an empty subjectAltName");
    l->has_san = true;

    struct der w;
    struct buf built = {0};
    der_init(&w, value.n);
    san_build(&l->san, &w);
    if (!der_take(&w, &built, err))
        return false;
    bool same = view_eq(buf_view(&built), value);
    buf_clear(&built);
    return same || err_refuse(err, REASON_SAN_FORBIDDEN,
                              "%s: subjectAltName is not in our encoding", alt_names_rule(value));
}

/* RFC 5280 section 4.2.1.6: critical exactly when the subject is empty. */
bool lint_alt_names_fit(struct lint *l, bool critical, struct err *err)
{
    if (critical != (l->subject.n == 0))
        return err_refuse(err, REASON_SAN_FORBIDDEN,
                          "C14: subjectAltName is %scritical with %s subject",
                          critical ? "" : "not ", l->subject.n == 0 ? "an empty" : "a");
    return true;
}
