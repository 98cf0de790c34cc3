/* Extensions that CSRs ask for and certificates carry, as plain values. */
#pragma once

/* OpenSSL's macros of the same names hold other values: included first, then undone, so that no later include
 * can change what these names mean. */
#include <openssl/x509v3.h>
#undef KU_DIGITAL_SIGNATURE
#undef KU_NON_REPUDIATION
#undef KU_KEY_ENCIPHERMENT
#undef KU_DATA_ENCIPHERMENT
#undef KU_KEY_AGREEMENT
#undef KU_KEY_CERT_SIGN
#undef KU_CRL_SIGN
#undef KU_ENCIPHER_ONLY
#undef KU_DECIPHER_ONLY

#include "base/view.h"
#include "pkcs7/der.h"
#include "pkcs7/san.h"

/* keyUsage bits, RFC 5280 section 4.2.1.3: bit n of the named-bit list is 1u << n. */
enum {
    KU_DIGITAL_SIGNATURE = 1u << 0, KU_NON_REPUDIATION = 1u << 1, KU_KEY_ENCIPHERMENT = 1u << 2,
    KU_DATA_ENCIPHERMENT = 1u << 3, KU_KEY_AGREEMENT = 1u << 4, KU_KEY_CERT_SIGN = 1u << 5,
    KU_CRL_SIGN = 1u << 6, KU_ENCIPHER_ONLY = 1u << 7, KU_DECIPHER_ONLY = 1u << 8,
};

#define EKU_MAX 16
#define OID_TEXT_MAX 64

struct eku {
    char oid[EKU_MAX][OID_TEXT_MAX]; /* dotted */
    size_t n;
};

/* What the extensions of one CSR or certificate say; absent ones are zero. */
struct extensions {
    struct view der;        /* the SEQUENCE OF Extension as given; borrowed */
    bool has_basic_constraints, is_ca;
    int64_t path_len;       /* -1: none */
    bool has_key_usage;
    uint32_t key_usage;
    bool has_eku;
    struct eku eku;
    bool has_san;
    struct san san;         /* owned */
    bool san_critical, key_usage_critical, basic_constraints_critical;
    struct view ski, aki;   /* key identifiers; borrowed */
    bool aki_other;         /* AKI with issuer or serial */
    struct view ms_sid;     /* raw value of 1.3.6.1.4.1.311.25.2; borrowed */
    char unknown[256];      /* dotted OIDs of the others, blank separated, cut */
    unsigned unknown_n;
    bool unknown_critical;
};

/* Reads the SEQUENCE OF Extension.  Strict about what it knows: an extension twice or one that does
 * not parse is refused with `reason`; unknown ones are listed. `der` must outlive `out`. */
bool extensions_parse(struct view der, enum reason reason, struct extensions *out, struct err *err);
void extensions_clear(struct extensions *x);
/* "digitalSignature,keyEncipherment" */
/* Dotted; false when it needs OID_TEXT_MAX characters or more. */
bool oid_text(const ASN1_OBJECT *oid, char out[OID_TEXT_MAX]);
void key_usage_text(uint32_t bits, char *out, size_t cap);
/* "clientAuth", "serverAuth", "emailProtection", "ipsecIKE", "OCSPSigning", "codeSigning",
 * "smartcardLogon", "anyExtendedKeyUsage" ... or dotted; false when neither. */
bool eku_by_name(const char *name, char oid[OID_TEXT_MAX]);
const char *eku_name(const char *oid); /* the short name, or the OID itself */
bool eku_add(struct eku *e, const char *oid);
bool eku_has(const struct eku *e, const char *oid);
/* Appends one Extension in front of what is written (see der.h); `value` is the DER inside. */
void extension_build(struct der *w, const char *oid, bool critical, struct view value);
