#include <openssl/err.h>
#include <openssl/x509.h>

#include "ca/family.h"

/* Which key of ours a message names, and the way to it: what pkcs7/ needs of private keys. */

static struct view without_leading_zeros(struct view v)
{
    while (v.n > 0 && v.p[0] == 0) {
        v.p++;
        v.n--;
    }
    return v;
}

/* Clients re-encode names (PrintableString for UTF8String, other case): RFC 5280 section 7.1
 * compares what they say.  Reached only with the right serial number. */
static bool names_equal(struct view a, struct view b)
{
    if (view_eq(a, b))
        return true;
    const unsigned char *p = a.p, *q = b.p;
    X509_NAME *x = d2i_X509_NAME(NULL, &p, (long)a.n), *y = d2i_X509_NAME(NULL, &q, (long)b.n);
    bool equal = x && y && p == a.p + a.n && q == b.p + b.n && X509_NAME_cmp(x, y) == 0;
    X509_NAME_free(x);
    X509_NAME_free(y);
    ERR_clear_error();
    return equal;
}

static bool has_key_identifier(const struct cert *c, struct view ski)
{
    struct extensions x = {0};
    struct err ignored = {0};
    if (!c->extensions.n || !extensions_parse(c->extensions, REASON_INTERNAL, &x, &ignored))
        return false;
    bool equal = x.ski.n > 0 && view_eq(x.ski, ski);
    extensions_clear(&x);
    return equal;
}

static bool names(const struct scep_recipient *who, const struct cert *c)
{
    if (who->ski.n)
        return has_key_identifier(c, who->ski);
    return who->issuer.n && who->serial.n &&
           view_eq(without_leading_zeros(who->serial), without_leading_zeros(c->serial)) &&
           names_equal(who->issuer, c->issuer);
}

/* Any RA of this generation and its CA, whatever the endpoint hands out: clients encrypt to the CA
 * although they were given an RA, and to an RA that they were given long ago. */
static int find_in(const struct authority *a, const struct scep_recipient *who)
{
    for (size_t i = a->set_n; i-- > 0;)
        if (a->set[i].key_encryption >= 0 && names(who, a->set[i].encryption))
            return a->set[i].key_encryption;
    return a->ca_decrypts && a->key_ca >= 0 && names(who, a->cert) ? a->key_ca : -1;
}

static int find(void *ctx, const struct scep_recipient *who)
{
    const struct authority_keys *k = ctx;
    const struct authority *a;
    int key = -1;
    for (size_t i = 0; key < 0 && (a = family_member(k->authority, i)); i++)
        key = find_in(a, who);
    return key;
}

static bool decrypt(void *ctx, int key, struct key_wrap wrap, struct view encrypted,
                    uint8_t *content_key, size_t key_len, struct err *err)
{
    const struct authority_keys *k = ctx;
    if (key < 0)
        return err_set(err, ERR_SIGNER, "no key to decrypt with");
    return signer_decrypt(k->signer, (unsigned)key, wrap, encrypted, content_key, key_len, err);
}

static bool sign(void *ctx, int key, enum digest digest, struct view attributes,
                 struct buf *signature, struct err *err)
{
    const struct authority_keys *k = ctx;
    if (key < 0)
        return err_set(err, ERR_SIGNER, "no key to sign with");
    return signer_sign_attributes(k->signer, (unsigned)key, digest, attributes, signature, err);
}

/* RFC 8894 section 7.2: the RA's key decrypts where there is one, so that the CA's key need not. */
struct scep_keys authority_scep_keys(struct authority_keys *k)
{
    return (struct scep_keys){.ctx = k, .find = find, .decrypt = decrypt, .sign = sign};
}

const struct cert *authority_reply_signer(const struct authority *a, enum ra_shape shape, int *key)
{
    switch (shape) {
    case RA_SINGLE:
        *key = a->key_ra;
        return a->ra;
    case RA_PAIR:
        *key = a->key_ra_signing;
        return a->ra_signing;
    case RA_NONE:
        *key = a->ca_decrypts ? a->key_ca : -1;
        return a->ca_decrypts ? a->cert : NULL;
    }
    *key = -1;
    return NULL;
}

/* The set that a key belongs to, unless it is one of those in use. */
static const struct ra_set *former_set(const struct authority *a, int key)
{
    for (size_t i = 0; i < a->set_n; i++) {
        const struct ra_set *s = &a->set[i];
        if (s->key_encryption == key)
            return s->signing == a->ra || s->signing == a->ra_signing ? NULL : s;
    }
    return NULL;
}

/* Clients verify the answer with what they were given when they chose whom to encrypt to:
 * strongSwan and sscep with that certificate itself. */
const struct cert *authority_answer_signer(const struct authority *a, enum ra_shape shape,
                                           int opened, int *key)
{
    const struct authority *owner = opened >= 0 ? family_by_key(a, opened) : NULL;
    if (!owner)
        return authority_reply_signer(a, shape, key);
    const struct ra_set *former = former_set(owner, opened);
    if (former) {
        *key = former->key_signing;
        return former->signing;
    }
    const struct cert *signer = authority_reply_signer(owner, shape, key);
    if (signer && *key >= 0)
        return signer;
    /* a former generation whose RA of this shape has ended: whoever opened it can sign, or the RA
     * beside it */
    for (size_t i = 0; i < owner->set_n; i++)
        if (owner->set[i].key_encryption == opened) {
            *key = owner->set[i].key_signing;
            return owner->set[i].signing;
        }
    return authority_reply_signer(owner, RA_NONE, key);
}
