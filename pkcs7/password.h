/* PasswordRecipientInfo (RFC 5652 section 6.2.4, RFC 3211): a content key under a password, for clients whose key
 * cannot decrypt (RFC 8894 section 3.1).  Private to pkcs7/. */
#pragma once

#include "asn1_cms.h"
#include "pkcs7/der.h"
#include "pkcs7/scep.h"

/* Rounds of PBKDF2 in what we write.  A one-time challenge has 80 random bits, which no count of rounds protects
 * better; small devices have to do them too. */
#define PASSWORD_ROUNDS 10000
/* At most this many are done for a sender who asks for them. */
#define PASSWORD_MAX_ROUNDS 1000000

/* Writes the RecipientInfo, [3] with its content, for a content key of the cipher's size. */
bool password_recipient_write(struct der *w, enum cipher cipher, struct view password, const uint8_t *content_key,
                              struct err *err);
/* Is this RecipientInfo one?  By its tag alone. */
bool password_recipient_is(const ASN1_TYPE *recipient);
/* Returns owned (ASN1_item_free with SCEPD_PASSWORD). */
struct cms_password *password_recipient_read(const ASN1_TYPE *recipient, struct err *err);
/* Unwraps a key of exactly key_len octets.  algorithm.refused for a derivation or a wrapping that is not known;
 * message.not_for_us for a wrong password. */
bool password_recipient_open(const struct cms_password *r, struct view password, uint8_t *content_key, size_t key_len,
                             struct err *err);
