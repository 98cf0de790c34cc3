#include "odd_digest.h"

#include <openssl/cms.h>
#include <openssl/err.h>

#include "pkcs7/der.h"

/* OpenSSL's decoder loads the public key of every certificate that an envelope may bring, at 100 us
 * each, and nothing is known of the sender yet.  A request in its envelope has 2 to 4 KB. */
#define ENCODED_ANEW_MAX 16384

static bool same(struct view data, enum digest digest, struct view said, bool *is, struct err *err)
{
    uint8_t value[EVP_MAX_MD_SIZE];
    if (!digest_compute(digest, data, value, err))
        return false;
    *is = *is || view_eq(said, view_of(value, digest_size(digest)));
    return true;
}

static bool with_header(struct view content, enum digest digest, struct view said, bool *is,
                        struct err *err)
{
    struct der w;
    struct buf tlv = {0};
    der_init(&w, content.n + 16);
    der_tlv(&w, DER_OCTET_STRING, content);
    bool ok = der_take(&w, &tlv, err) && same(buf_view(&tlv), digest, said, is, err);
    buf_clear(&tlv);
    return ok;
}

static bool without_inner_header(struct view content, enum digest digest, struct view said,
                                 bool *is, struct err *err)
{
    const uint8_t *p = content.p;
    long length = 0;
    int tag, class;
    int form = ASN1_get_object(&p, &length, &tag, &class, (long)content.n);
    ERR_clear_error();
    if (form != V_ASN1_CONSTRUCTED) /* BER's indefinite length adds a bit, an error another */
        return true;
    size_t header = (size_t)(p - content.p);
    return (size_t)length != content.n - header ||
           same(view_of(p, (size_t)length), digest, said, is, err);
}

static bool in_der(struct view content, enum digest digest, struct view said, bool *is,
                   struct err *err)
{
    const uint8_t *p = content.p;
    uint8_t *der = NULL;
    if (content.n > ENCODED_ANEW_MAX)
        return true;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)content.n);
    int n = cms ? i2d_CMS_ContentInfo(cms, &der) : -1;
    bool whole = n > 0 && p == content.p + content.n;
    CMS_ContentInfo_free(cms);
    ERR_clear_error();
    bool ok = !whole || same(view_of(der, (size_t)n), digest, said, is, err);
    OPENSSL_free(der);
    return ok;
}

bool odd_digest_check(struct view content, enum digest digest, struct view said, bool *is,
                      struct err *err)
{
    *is = false;
    return content.n == 0 || (with_header(content, digest, said, is, err) &&
                              (*is || without_inner_header(content, digest, said, is, err)) &&
                              (*is || in_der(content, digest, said, is, err)));
}
