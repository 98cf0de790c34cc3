/* Profiles: the file that tells a device where to ask for its certificate, by which name and with which challenge.
 *
 * profile_build is pure: facts in, the bytes of one file out; no store, no clock, no configuration.  Every text is looked at
 * before it is written, since each of the kinds has characters that would mean something there: what a kind cannot say is
 * refused (REASON_PROFILE_UNFIT, naming the value), never dropped and never written as something else. */
#pragma once

#include <openssl/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/ext.h"
#include "pkcs7/name.h"
#include "pkcs7/pubkey.h"
#include "pkcs7/san.h"

enum profile_kind {
    PROFILE_APPLE,      /* .mobileconfig: com.apple.security.scep and the CA certificates */
    PROFILE_WINDOWS,    /* SyncML for the ClientCertificateInstall CSP */
    PROFILE_ANDROID,    /* JSON for an agent or a management product that enrols by SCEP */
    PROFILE_CHROMEOS,   /* JSON in the words of Google's certificate provisioning */
    PROFILE_CISCO,      /* configuration lines of IOS and IOS-XE */
    PROFILE_STRONGSWAN, /* a shell script around pki(1) */
    PROFILE_CERTMONGER, /* a shell script around getcert(1) */
    PROFILE_JAMF,       /* as Apple, for all devices: variables of Jamf Pro instead of names, no challenge */
    PROFILE_KINDS,
};

#define PROFILE_MAX_CA 5        /* the issuing CA and what stands above it */
#define PROFILE_MAX_RETRIES 30  /* what Windows takes at most */
#define PROFILE_SIGN 1u
#define PROFILE_ENCRYPT 2u

/* Everything is borrowed and may go after the call.  Texts are UTF-8; "" or NULL where there is none. */
struct profile_wish {
    enum profile_kind kind;
    const char *url;                /* of the endpoint, "http://scep.example.org/scep" */
    const char *ca_identifier;      /* what clients send as the message of GetCACert; "" for none */
    struct view ca[PROFILE_MAX_CA]; /* certificates in DER: the issuing one first, then up to the root */
    size_t ca_n;
    const struct name *subject;
    const struct san *san;          /* NULL or empty: none */
    const char *challenge;          /* the secret; NULL for none */
    enum key_type key_type;
    unsigned key_bits;              /* RSA: of the modulus; EC: 256 or 384 */
    unsigned usage;                 /* PROFILE_SIGN, PROFILE_ENCRYPT; 0 leaves it to the device */
    const struct eku *eku;          /* NULL or empty: left to the template */
    unsigned retries, retry_delay;  /* of a client that waits for an approval; seconds */
    const char *device_id, *device_name;
    const char *policy_id, *policy_name;
    const char *organization;       /* shown to the user; "" for none */
    const char *prefix;             /* of identifiers, "org.example.scep" */
};

struct profile_file {
    struct buf content;             /* owned; it holds the challenge */
    const char *media_type;
    char name[160];                 /* proposed file name, ASCII without '/' */
    char warning[384];              /* "": none; a weak key, or a URL that no other machine reaches */
};
/* Overwrites and frees; the zero state is fine. */
void profile_file_clear(struct profile_file *f);

/* Who signs Apple's profiles: a certificate that the devices trust, and what stands above it. */
struct profile_signer {
    X509 *certificate;              /* owned, like the key */
    EVP_PKEY *key;
    STACK_OF(X509) *chain;
};
/* From PEM: the first certificate of `certificates` is the signer's, the others its chain.  Takes the key, also when it fails,
 * which must be the certificate's (ERR_CONFIG). */
bool profile_signer_load(struct view certificates, EVP_PKEY *key, struct profile_signer *out, struct err *err);
void profile_signer_clear(struct profile_signer *s);

/* `signer` NULL: not signed.  Only Apple's kinds can be.  *out is to be cleared by the caller; untouched on failure. */
bool profile_build(const struct profile_wish *wish, const struct profile_signer *signer, struct profile_file *out,
                   struct err *err);

const char *profile_kind_name(enum profile_kind kind); /* "apple" */
bool profile_kind_by_name(const char *name, enum profile_kind *out);
/* Does a file of this kind stand for one device (and carry a challenge)? */
bool profile_kind_has_device(enum profile_kind kind);
