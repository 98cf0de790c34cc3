/* Writers of the two layers of a pkiMessage, in DER.  Private to pkcs7/. */
#pragma once

#include "pkcs7/scep.h"
#include "scep_attrs.h"

#define SCEP_NONCE_SIZE 16 /* RFC 8894 section 3.2.1.5: of those made here */

struct signed_attribute {
    enum scep_attribute attribute;
    unsigned tag;
    struct view value;
};

/* contentType, messageDigest and signingTime are written besides the attributes given. */
struct signed_parts {
    struct view content;
    bool absent_content;          /* no eContent at all; `content` is empty then */
    enum digest digest;
    const struct cert *signer;    /* its certificate; borrowed */
    int signer_key;
    int64_t signing_time;         /* 0: none */
    struct signed_attribute attribute[ATTR_COUNT];
    size_t n;
};

void signed_parts_add(struct signed_parts *p, enum scep_attribute a, unsigned tag, struct view value);
bool signed_data_build(const struct signed_parts *p, const struct scep_keys *keys, struct buf *out,
                       struct err *err);

struct envelope_parts {
    struct view content;
    enum cipher cipher;
    EVP_PKEY_CTX *key;            /* RSA; used whatever it did before */
    struct view issuer, serial_tlv; /* of the recipient's certificate, copied as they are */
    enum key_padding padding;
    enum digest oaep;
    struct view password;         /* not empty: instead of all that, a PasswordRecipientInfo */
};
bool envelope_build(const struct envelope_parts *p, struct buf *out, struct err *err);
