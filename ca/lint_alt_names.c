/* Subject alternative names, and the SID that two places may name. */
#include "lint_internal.h"
#include "ms_sid.h"

bool lint_alt_names(struct lint *l, struct view value, struct err *err)
{
    if (!san_parse(value, &l->san, err)) {
        err_prefix(err, "C29");
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
    bool has_upn = false;
    for (size_t i = 0; i < l->san.n; i++)
        has_upn = has_upn || l->san.name[i].kind == SAN_UPN;
    buf_clear(&built);
    return same || err_refuse(err, REASON_SAN_FORBIDDEN,
                              "%s: subjectAltName is not in our encoding", has_upn ? "C30" : "C29");
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
