/* SCEP messages (RFC 8894 section 3) as a server and as a client see them.  The same two layers
 * both ways: SignedData around EnvelopedData, read with templates in which certificates and keys
 * stay raw, written from prepared bytes.  BER is accepted in both layers on input; DER leaves.
 *
 * No state and no I/O: private keys are reached through struct scep_keys, filled in by ca/ (its
 * signer), by a client, a test or a fuzzer. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/alg.h"
#include "pkcs7/cert.h"
#include "pkcs7/csr.h"

#define SCEP_MAX_MESSAGE (256u << 10) /* octets, outermost */
#define SCEP_MAX_TRANSACTION_ID 256   /* characters */
#define SCEP_MAX_NONCE 64             /* octets; RFC 8894 says 16, old Apple sends 8 */
#define SCEP_MAX_CERTS 8              /* certificates in one message */
#define SCEP_MAX_RECIPIENTS 8
#define SCEP_MAX_ATTRIBUTES 32

enum scep_type { /* RFC 8894 section 3.2.1.2 */
    SCEP_CERT_REP = 3,
    SCEP_RENEWAL_REQ = 17,
    SCEP_PKCS_REQ = 19,
    SCEP_CERT_POLL = 20,
    SCEP_GET_CERT = 21,
    SCEP_GET_CRL = 22,
};
const char *scep_type_name(enum scep_type t); /* "PKCSReq"; "unknown" for a type that was refused */

enum scep_status { SCEP_SUCCESS = 0, SCEP_FAILURE = 2, SCEP_PENDING = 3 };

/* Whom a KeyTransRecipientInfo names. */
struct scep_recipient {
    struct view issuer, serial; /* Name TLV, INTEGER content; empty when by key identifier */
    struct view ski;
};

/* What pkcs7/ needs of private keys; ca/ fills it in. */
struct scep_keys {
    void *ctx;
    /* Index of the key of ours that is named, or -1. */
    int (*find)(void *ctx, const struct scep_recipient *who);
    /* RSA-decrypts a content key of exactly key_len octets.  A wrong padding or length is no
     * failure: octets that nobody can foretell come back (RFC 5652 has no integrity here, and an
     * answer that told the difference would be Bleichenbacher's oracle).  False only when the key is out of reach. */
    bool (*decrypt)(void *ctx, int key, struct key_wrap wrap, struct view encrypted, uint8_t *content_key,
                    size_t key_len, struct err *err);
    /* Signs the DER of the signed attributes (as SET OF); PKCS#1 v1.5 or ECDSA by the key. */
    bool (*sign)(void *ctx, int key, enum digest digest, struct view attributes, struct buf *signature,
                 struct err *err);
    /* The challenge that opens a PasswordRecipientInfo (RFC 8894 section 3.1); empty: none is opened, as in a
     * server, which keeps no challenge that it could try. */
    struct view password;
};

/* What a reader takes besides what RFC 8894 has, or does not although it could. */
struct scep_rules {
    unsigned digests, ciphers;   /* ALG_BIT sets, of the message */
    unsigned csr_digests;        /* of the self-signature of a PKCS#10 */
    bool odd_message_digest;     /* also a messageDigest as Google's connector for ChromeOS computes it */
    bool one_recipient;          /* exactly one RecipientInfo */
    bool any_csr_version;        /* a PKCS#10 of another version than 0, or of none */
};

struct scep_message {
    /* The transactionID is known: enough to answer with a CertRep FAILURE.  When scep_parse failed,
     * nothing else but the nonce is sure to be there, not even a signer. */
    bool replyable;
    enum scep_type type;             /* 0 when it was refused */
    char transaction_id[SCEP_MAX_TRANSACTION_ID + 1];
    unsigned transaction_tag;        /* its string type as sent, a DER tag: the answer has the same */
    uint8_t sender_nonce[SCEP_MAX_NONCE];
    size_t sender_nonce_len;         /* 0: the client sent none */
    enum digest digest;
    struct cert *signer;             /* owned */
    struct pubkey signer_key;        /* points into signer */
    EVP_PKEY *signer_pkey;           /* owned; loaded once, used again for the CSR and the reply */
    EVP_PKEY_CTX *signer_ctx;        /* owned; of signer_pkey, for all that is done with it */
    int64_t signing_time;            /* 0: none */
    bool odd_message_digest;         /* it was one that only scep_rules takes */
    bool self_signed;                /* issuer and subject of the signer are equal bytes */

    /* CertRep only */
    bool is_reply;
    enum scep_status status;
    enum fail_info fail_info;
    char fail_text[256];             /* failInfoText, printable */
    int32_t hresult;                 /* Microsoft's attribute, 0 if absent */
    uint8_t recipient_nonce[SCEP_MAX_NONCE];
    size_t recipient_nonce_len;

    struct buf content;              /* owned: the eContent (EnvelopedData), empty if none */

    /* After scep_open */
    enum cipher cipher;
    enum key_padding padding;
    int key;                         /* which of our keys it was encrypted to */
    struct csr *csr;                 /* PKCSReq, RenewalReq; owned */
    struct view issuer;              /* GetCert, GetCRL; CertPoll as below */
    struct view subject;             /* CertPoll.  For the log only: an answer that depended on either would be
                                      * an oracle; empty when unreadable */
    struct view serial;              /* GetCert, GetCRL: INTEGER content */
    struct buf plain;                /* owned, wiped: the decrypted content; views above point here */
};

/* Frame, decode and meaning of the outer SignedData, and its signature.  On failure `*out` may still
 * be set, with replyable true, when a signed CertRep FAILURE can be sent (the caller frees it either
 * way).  Reasons: message.truncated, message.malformed, message.unsupported, algorithm.refused (a
 * digest outside `digests`), signature.bad. */
bool scep_parse_by(struct view in, const struct scep_rules *rules, struct scep_message **out, struct err *err);
/* The same with no rule but the digests. */
bool scep_parse(struct view in, unsigned digests, struct scep_message **out, struct err *err);
/* Decrypts and reads the inner content by message type.  Reasons: algorithm.refused (cipher outside
 * `ciphers`, or not in this installation), message.malformed (of the envelope); message.not_for_us for every
 * way in which decryption can go wrong, indistinguishable; those of csr_parse, if it is shown that the sender
 * wrote the request (scep_open.c says why).  GetCert and GetCRL that cannot be read are refused as
 * certificate.unknown.  A CertPoll whose content cannot be read is accepted: old clients send strings there
 * and the transaction names the request.  A message under a password is refused as message.unsupported. */
bool scep_open_by(struct scep_message *m, const struct scep_rules *rules, const struct scep_keys *keys, struct err *err);
/* The same with no rule but the algorithms. */
bool scep_open(struct scep_message *m, unsigned ciphers, unsigned csr_digests, const struct scep_keys *keys,
               struct err *err);
void scep_message_free(struct scep_message *m);

/* ---- CertRep, server side (RFC 8894 section 3.3.2) ---- */

struct certrep {
    enum scep_status status;
    enum fail_info fail_info;       /* FAILURE */
    const char *fail_text;          /* FAILURE: UTF-8 or NULL */
    uint32_t hresult;               /* FAILURE: 0 leaves the attribute out */
    struct view certificate;        /* SUCCESS: the issued certificate */
    struct view extra_certificates[SCEP_MAX_CERTS]; /* after it, when the endpoint wants the chain */
    size_t extra_n;
    struct view crl;                /* SUCCESS of GetCRL: instead of the certificates */
    struct view password;           /* SUCCESS to an EC key: the challenge to envelope it under, empty: refused */
    bool absent_content;            /* PENDING, FAILURE: no eContent instead of an empty one */
    enum digest digest;
    enum cipher cipher;
    const struct cert *signer_cert; /* the certificate of keys->sign; borrowed */
    int signer_key;
    const uint8_t *nonce;           /* 16 octets of senderNonce; NULL: drawn here */
};

/* Answers `m`: transactionID and nonces from it, SUCCESS encrypted to its signer. */
bool certrep_build(const struct certrep *r, const struct scep_message *m, const struct scep_keys *keys,
                   struct buf *out, struct err *err);

/* ---- client side ---- */

struct scep_request {
    enum scep_type type;
    const char *transaction_id;
    const uint8_t *nonce;           /* 16 octets */
    enum digest digest;
    enum cipher cipher;
    enum key_padding padding;
    struct view content;            /* the DER to encrypt: PKCS#10, IssuerAndSubject, ... */
    struct view signer_cert;        /* self-signed, or the old certificate */
    int signer_key;                 /* for keys->sign */
    const struct cert *recipient;   /* CA or RA certificate to encrypt to */
    int64_t signing_time;           /* 0: left out */
    bool ber;                       /* indefinite lengths in both layers, as BouncyCastle writes them */
};
bool scep_request_build(const struct scep_request *r, const struct scep_keys *keys, struct buf *out,
                        struct err *err);
/* A CertRep: scep_parse on it, then for SUCCESS the decrypted certs-only content. */
struct scep_certs {
    struct buf der[SCEP_MAX_CERTS]; /* owned */
    size_t n;
    struct buf crl;                 /* owned; empty if none */
};
bool certrep_open(struct scep_message *m, const struct scep_keys *keys, struct scep_certs *out, struct err *err);
/* GetCACert answers: certs-only SignedData (RFC 8894 section 4.2.1.2), order kept. */
bool scep_certs_parse(struct view der, struct scep_certs *out, struct err *err);
bool scep_certs_build(const struct view *certs, size_t n, struct view crl, struct buf *out, struct err *err);
void scep_certs_clear(struct scep_certs *c);
/* IssuerAndSubject (CertPoll), IssuerAndSerialNumber (GetCert, GetCRL). */
bool scep_issuer_and_subject_build(struct view issuer, struct view subject, struct buf *out, struct err *err);
bool scep_issuer_and_serial_build(struct view issuer, struct view serial, struct buf *out, struct err *err);
