/* A SCEP client for people and scripts: talks to any SCEP server by HTTP(S), makes keys, requests and
 * throw-away signer certificates.  Used by `scepctl client` and by the load generator. */
#pragma once

#include <openssl/evp.h>

#include "pkcs7/scep.h"

/* ---- the server's side ---- */

struct client_caps {
    bool known;                   /* false: the server answered with nothing or an error */
    bool post, renewal, scep_standard;
    unsigned digests, ciphers;    /* ALG_BIT sets */
    char words[512];              /* as sent, blank separated */
};

struct client_options {
    const char *url;
    const char *ca_identifier;    /* the message of GetCACert, or NULL */
    bool force_get;               /* PKIOperation by GET even where POST is announced */
    int timeout;                  /* seconds for one HTTP exchange */
};

struct client;
bool client_new(const struct client_options *o, struct client **out, struct err *err);
void client_free(struct client *c);

/* RFC 8894 section 3.5. */
bool client_get_caps(struct client *c, struct client_caps *out, struct err *err);
/* The same from an answer in hand; words that cannot be read are no capability. */
void client_caps_from_answer(struct view body, struct client_caps *out);

/* RFC 8894 section 4.2: what the server handed out, and which certificate is for what. */
struct client_ca {
    struct scep_certs certs;
    struct cert *recipient;       /* to encrypt to */
    struct cert *reply_signer;    /* whose signature replies carry */
    struct cert *issuer;          /* the CA itself */
};
bool client_get_ca(struct client *c, struct client_ca *out, struct err *err);
/* RFC 8894 section 4.7: the certificates that will follow `current`, whose signature the answer carries.  ERR_NOT_FOUND when
 * the server has none; ERR_CRYPTO when it is not signed by whom `current` names. */
bool client_get_next_ca(struct client *c, const struct client_ca *current, struct client_ca *out, struct err *err);
/* GetCACert's from an answer in hand: body and media type. */
bool client_ca_from_answer(struct view body, const char *type, struct client_ca *out, struct err *err);
/* RFC 8894 section 2.2: are the certificates that are no CA's signed by a CA certificate that came along?  A caller who
 * knows `issuer` by its fingerprint may then trust them.  ERR_IO. */
bool client_ca_verify(const struct client_ca *ca, struct err *err);
void client_ca_clear(struct client_ca *ca);

/* ---- our side ---- */

/* A key and the certificate that signs with it: self-signed for a first enrolment, the old one for a
 * renewal. */
struct client_identity {
    EVP_PKEY *key;                /* owned */
    struct buf cert;              /* owned, DER */
    struct view password;         /* borrowed; the challenge, under which the answer to an EC key comes; else empty */
};
bool client_identity_self_signed(EVP_PKEY *key, const struct name *subject, int64_t now, struct client_identity *out,
                                 struct err *err);
void client_identity_clear(struct client_identity *i);

struct client_wish {
    const struct name *subject;
    const struct san *san;        /* NULL: none */
    struct view challenge;        /* empty: none */
    uint32_t key_usage;           /* 0: not asked for */
    const struct eku *eku;        /* NULL: not asked for */
};
bool client_csr_build(EVP_PKEY *key, const struct client_wish *w, struct buf *out, struct err *err);
/* For a renewal: the names of the certificate that ends, under `key`, which may be another one. */
bool client_renewal_csr_build(EVP_PKEY *key, const struct cert *old, struct view challenge, struct buf *out, struct err *err);
/* SHA-256 of the key in hex capitals, cut to 40: the same for every try with one key. */
bool client_transaction_id(EVP_PKEY *key, char out[41], struct err *err);
/* The struct scep_keys of one identity; valid as long as it. */
struct scep_keys client_keys(struct client_identity *i);

/* ---- one exchange ---- */

struct client_message {
    enum scep_type type;
    const char *transaction_id;
    struct view content;          /* PKCS#10, IssuerAndSubject ... */
    enum digest digest;
    enum cipher cipher;
    enum key_padding padding;
};

struct client_result {
    enum scep_status status;
    enum fail_info fail_info;
    char fail_text[256];
    int32_t hresult;
    struct scep_certs certs;      /* SUCCESS */
};
void client_result_clear(struct client_result *r);

/* The best digest and cipher that both sides have. */
void client_choose(const struct client_caps *caps, enum digest *digest, enum cipher *cipher);
/* Only builds the pkiMessage: for those who send it themselves. */
bool client_message_build(const struct client_message *m, struct client_identity *who, const struct client_ca *ca,
                          const uint8_t nonce[16], struct buf *out, struct err *err);
/* Reads the answer and checks signature, signer, transactionID and recipientNonce (RFC 8894 section 3.2.1.5). */
bool client_reply_open(struct view reply, const struct client_message *m, struct client_identity *who,
                       const struct client_ca *ca, const uint8_t nonce[16], struct client_result *out, struct err *err);
/* Builds, sends, reads. */
bool client_exchange(struct client *c, const struct client_caps *caps, const struct client_message *m,
                     struct client_identity *who, const struct client_ca *ca, struct client_result *out, struct err *err);
