#include "pkcs7/tlv.h"

#include <time.h>

#include <openssl/asn1.h>
#include <openssl/err.h>

bool tlv_next(struct view *rest, struct tlv *out)
{
    const unsigned char *p = rest->p;
    long length = 0;
    int tag, class;
    if (rest->n == 0 || rest->n > INT32_MAX)
        return false;
    int form = ASN1_get_object(&p, &length, &tag, &class, (long)rest->n);
    if (form & 0x80 || form & 1) { /* malformed or too long; indefinite length */
        ERR_clear_error();
        return false;
    }
    size_t n = (size_t)(p - rest->p) + (size_t)length;
    *out = (struct tlv){rest->p[0], {rest->p, n}, {p, (size_t)length}};
    rest->p += n;
    rest->n -= n;
    return true;
}

bool tlv_next_is(struct view *rest, unsigned tag, struct tlv *out)
{
    return tlv_ahead(*rest, tag) && tlv_next(rest, out);
}

bool tlv_ahead(struct view rest, unsigned tag)
{
    return rest.n > 0 && rest.p[0] == tag;
}

bool tlv_time(const struct tlv *t, int64_t *out)
{
    struct tm tm;
    if ((t->tag != DER_UTC_TIME && t->tag != DER_GENERALIZED_TIME) || t->content.n > 64)
        return false;
    const ASN1_TIME time = {.type = (int)t->tag,
                            .length = (int)t->content.n,
                            .data = (unsigned char *)(uintptr_t)t->content.p};
    if (ASN1_TIME_to_tm(&time, &tm) != 1) {
        ERR_clear_error();
        return false;
    }
    *out = (int64_t)timegm(&tm);
    return true;
}

bool tlv_bits(const struct tlv *t, struct view *octets, unsigned *unused)
{
    if (t->content.n == 0 || t->content.p[0] > 7)
        return false;
    *unused = t->content.p[0];
    *octets = view_of(t->content.p + 1, t->content.n - 1);
    return true;
}
