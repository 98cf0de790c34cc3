#include "diff.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pkcs7/name.h"

/* ---- names ---- */

static X509_NAME *name_read(struct view der)
{
    const uint8_t *p = der.p;
    X509_NAME *x = d2i_X509_NAME(NULL, &p, (long)der.n);
    ERR_clear_error();
    if (x && p == der.p + der.n)
        return x;
    X509_NAME_free(x);
    return NULL;
}

bool diff_name_unreadable(struct view name)
{
    X509_NAME *x = name_read(name);
    X509_NAME_free(x);
    return !x;
}

/* UTF-8 in one of the 8-bit types, as devices send it, is UTF-8 for us and Latin-1 for OpenSSL. */
static bool is_utf8_by_courtesy(const ASN1_STRING *s)
{
    int type = ASN1_STRING_type(s);
    const uint8_t *p = ASN1_STRING_get0_data(s);
    if (type != V_ASN1_PRINTABLESTRING && type != V_ASN1_IA5STRING &&
        type != V_ASN1_NUMERICSTRING && type != V_ASN1_VISIBLESTRING)
        return false;
    for (int i = 0; i < ASN1_STRING_length(s); i++)
        if (p[i] & 0x80)
            return true;
    return false;
}

/* `text` of ours, of an ASN.1 string that OpenSSL read. */
static void diff_text(const char *what, const char *text, const ASN1_STRING *s)
{
    uint8_t *utf8 = NULL;
    char *nfc = NULL;
    struct err err = {0};
    if (is_utf8_by_courtesy(s))
        return;
    int n = ASN1_STRING_to_UTF8(&utf8, s);
    ERR_clear_error();
    if (n < 0)
        diff_fail("%s \"%s\" is no text for OpenSSL", what, text);
    if (!name_value_normalize(view_of(utf8, (size_t)n), REASON_SUBJECT_FORBIDDEN, what, &nfc, &err))
        diff_fail("%s \"%s\" is refused as OpenSSL reads it: %s", what, text, err.text);
    if (strcmp(nfc, text) != 0)
        diff_fail("%s is \"%s\" for us and \"%s\" for OpenSSL", what, text, nfc);
    free(nfc);
    OPENSSL_free(utf8);
}

static void compare_names(const struct name *n, X509_NAME *x)
{
    if (X509_NAME_entry_count(x) != (int)n->n)
        diff_fail("a name of %zu attributes, %d for OpenSSL", n->n, X509_NAME_entry_count(x));
    for (int i = 0; i < (int)n->n; i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(x, i);
        char oid[80];
        OBJ_obj2txt(oid, sizeof oid, X509_NAME_ENTRY_get_object(e), 1);
        if (strcmp(oid, n->attr[i].oid) != 0)
            diff_fail("attribute %d is %s, %s for OpenSSL", i, n->attr[i].oid, oid);
        bool multi =
            i > 0 && X509_NAME_ENTRY_set(X509_NAME_get_entry(x, i - 1)) == X509_NAME_ENTRY_set(e);
        if (multi != n->attr[i].multi)
            diff_fail("attribute %d is%s in the RDN of the one before", i, multi ? " not" : "");
        diff_text(oid, n->attr[i].value, X509_NAME_ENTRY_get_data(e));
    }
}

/* OpenSSL has no surrogate pairs in a BMPString and no VisibleString in a name; devices do. */
static bool is_beyond_openssl(struct view name)
{
    struct tree *t = tree_read(name);
    bool found = false;
    for (size_t i = 0; t && i < tree_count(t); i++) {
        const struct tree *s = tree_nth(t, i);
        found |= tree_is(s, 0x1a);
        for (size_t k = 0; tree_is(s, 0x1e) && k + 1 < s->content.n; k += 2)
            found |= (s->content.p[k] & 0xf8) == 0xd8;
    }
    tree_free(t);
    return found;
}

static void diff_name(struct view der)
{
    struct name n = {0};
    struct err err = {0};
    X509_NAME *x = name_read(der);
    if (name_parse(der, REASON_SUBJECT_FORBIDDEN, &n, &err)) {
        if (x)
            compare_names(&n, x);
        else if (!is_beyond_openssl(der))
            diff_fail("a name that OpenSSL does not read");
        name_clear(&n);
    } else if (x) {
        diff_refusal("name", &err);
    }
    X509_NAME_free(x);
}

/* ---- extensions ---- */

static void compare_basic_constraints(const struct extensions *x,
                                      const STACK_OF(X509_EXTENSION) * list)
{
    int critical;
    BASIC_CONSTRAINTS *bc = X509V3_get_d2i(list, NID_basic_constraints, &critical, NULL);
    int64_t path_len = -1;
    if (x->has_basic_constraints != (bc != NULL))
        diff_fail("basicConstraints: %d, %d for OpenSSL", x->has_basic_constraints, bc != NULL);
    if (!bc)
        return;
    if (bc->pathlen)
        ASN1_INTEGER_get_int64(&path_len, bc->pathlen);
    if (x->is_ca != (bc->ca != 0) || x->path_len != path_len ||
        x->basic_constraints_critical != (critical > 0))
        diff_fail("basicConstraints differ");
    BASIC_CONSTRAINTS_free(bc);
}

static void compare_key_usage(const struct extensions *x, const STACK_OF(X509_EXTENSION) * list)
{
    int critical;
    ASN1_BIT_STRING *bits = X509V3_get_d2i(list, NID_key_usage, &critical, NULL);
    uint32_t usage = 0;
    if (x->has_key_usage != (bits != NULL))
        diff_fail("keyUsage: %d, %d for OpenSSL", x->has_key_usage, bits != NULL);
    for (int i = 0; bits && i < 32; i++)
        usage |= ASN1_BIT_STRING_get_bit(bits, i) ? UINT32_C(1) << i : 0;
    if (x->key_usage != usage || (bits && x->key_usage_critical != (critical > 0)))
        diff_fail("keyUsage 0x%x, 0x%x for OpenSSL", x->key_usage, usage);
    ASN1_BIT_STRING_free(bits);
}

static void compare_purposes(const struct extensions *x, const STACK_OF(X509_EXTENSION) * list)
{
    EXTENDED_KEY_USAGE *eku = X509V3_get_d2i(list, NID_ext_key_usage, NULL, NULL);
    if (x->has_eku != (eku != NULL))
        diff_fail("extendedKeyUsage: %d, %d for OpenSSL", x->has_eku, eku != NULL);
    for (int i = 0; i < sk_ASN1_OBJECT_num(eku); i++) {
        char oid[OID_TEXT_MAX];
        OBJ_obj2txt(oid, sizeof oid, sk_ASN1_OBJECT_value(eku, i), 1);
        if (!eku_has(&x->eku, oid))
            diff_fail("extendedKeyUsage: %s is missing", oid);
    }
    if (eku && (size_t)sk_ASN1_OBJECT_num(eku) < x->eku.n)
        diff_fail("extendedKeyUsage: %zu purposes, %d for OpenSSL", x->eku.n,
                  sk_ASN1_OBJECT_num(eku));
    EXTENDED_KEY_USAGE_free(eku);
}

static void compare_address(const char *text, const ASN1_OCTET_STRING *octets)
{
    char theirs[INET6_ADDRSTRLEN] = "";
    int n = ASN1_STRING_length(octets);
    if (n == 4 || n == 16)
        inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(octets), theirs,
                  sizeof theirs);
    if (strcmp(text, theirs) != 0)
        diff_fail("address %s, %s for OpenSSL", text, theirs);
}

static void compare_host(const char *text, const ASN1_IA5STRING *s)
{
    if (strlen(text) != (size_t)ASN1_STRING_length(s) ||
        OPENSSL_strncasecmp(text, (const char *)ASN1_STRING_get0_data(s), strlen(text)) != 0)
        diff_fail("host name %s differs for OpenSSL", text);
}

static void compare_general_name(const struct san_name *ours, const GENERAL_NAME *theirs)
{
    static const int types[] = {[SAN_DNS] = GEN_DNS,
                                [SAN_EMAIL] = GEN_EMAIL,
                                [SAN_URI] = GEN_URI,
                                [SAN_IP] = GEN_IPADD,
                                [SAN_UPN] = GEN_OTHERNAME};
    int type;
    const void *value = GENERAL_NAME_get0_value(theirs, &type);
    if (type != types[ours->kind])
        diff_fail("%s:%s is of type %d for OpenSSL", san_kind_name(ours->kind), ours->text, type);
    switch (ours->kind) {
    case SAN_DNS:
        compare_host(ours->text, value);
        break;
    case SAN_EMAIL:
    case SAN_URI:
        diff_octets("email or URI", view_str(ours->text),
                    view_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)));
        break;
    case SAN_IP:
        compare_address(ours->text, value);
        break;
    case SAN_UPN:
        diff_text("UPN", ours->text, ((const OTHERNAME *)value)->value->value.utf8string);
        break;
    }
}

static void compare_san(const struct extensions *x, const STACK_OF(X509_EXTENSION) * list)
{
    int critical;
    GENERAL_NAMES *names = X509V3_get_d2i(list, NID_subject_alt_name, &critical, NULL);
    if (x->has_san != (names != NULL))
        diff_fail("subjectAltName: %d, %d for OpenSSL", x->has_san, names != NULL);
    if (!names)
        return;
    if (sk_GENERAL_NAME_num(names) != (int)x->san.n || x->san_critical != (critical > 0))
        diff_fail("%zu alternative names, %d for OpenSSL", x->san.n, sk_GENERAL_NAME_num(names));
    for (size_t i = 0; i < x->san.n; i++)
        compare_general_name(&x->san.name[i], sk_GENERAL_NAME_value(names, (int)i));
    GENERAL_NAMES_free(names);
}

static void compare_key_identifiers(const struct extensions *x,
                                    const STACK_OF(X509_EXTENSION) * list)
{
    ASN1_OCTET_STRING *ski = X509V3_get_d2i(list, NID_subject_key_identifier, NULL, NULL);
    AUTHORITY_KEYID *aki = X509V3_get_d2i(list, NID_authority_key_identifier, NULL, NULL);
    const ASN1_OCTET_STRING *id = aki ? aki->keyid : NULL;
    diff_octets("subjectKeyIdentifier", x->ski,
                ski ? view_of(ski->data, (size_t)ski->length) : view_of(NULL, 0));
    diff_octets("authorityKeyIdentifier", x->aki,
                id ? view_of(id->data, (size_t)id->length) : view_of(NULL, 0));
    if (x->aki_other != (aki && (aki->issuer || aki->serial)))
        diff_fail("authorityKeyIdentifier with other fields");
    ASN1_OCTET_STRING_free(ski);
    AUTHORITY_KEYID_free(aki);
}

static void compare_extensions(const struct extensions *x, const STACK_OF(X509_EXTENSION) * list)
{
    int known = x->has_basic_constraints + x->has_key_usage + x->has_eku + x->has_san +
                (x->ms_sid.n > 0) +
                (X509v3_get_ext_by_NID(list, NID_subject_key_identifier, -1) >= 0) +
                (X509v3_get_ext_by_NID(list, NID_authority_key_identifier, -1) >= 0);
    if (known + (int)x->unknown_n != X509v3_get_ext_count(list))
        diff_fail("%d extensions, %d for OpenSSL", known + (int)x->unknown_n,
                  X509v3_get_ext_count(list));
    compare_basic_constraints(x, list);
    compare_key_usage(x, list);
    compare_purposes(x, list);
    compare_san(x, list);
    compare_key_identifiers(x, list);
    ERR_clear_error();
}

/* Of a certificate that both read. */
static void diff_extensions(struct view der, const STACK_OF(X509_EXTENSION) * list)
{
    struct extensions x = {0};
    struct err err = {0};
    if (extensions_parse(der, REASON_MESSAGE_MALFORMED, &x, &err)) {
        compare_extensions(&x, list);
        extensions_clear(&x);
    } else {
        diff_refusal("extensions", &err);
    }
}

/* ---- certificates ---- */

bool diff_certificate_unreadable(const struct cert *c)
{
    bool unreadable = diff_name_unreadable(c->issuer) || diff_name_unreadable(c->subject);
    const struct part {
        struct view der;
        const ASN1_ITEM *item;
    } parts[] = {{c->serial_tlv, ASN1_ITEM_rptr(ASN1_INTEGER)},
                 {c->tbs_sigalg, ASN1_ITEM_rptr(X509_ALGOR)},
                 {c->sigalg_der, ASN1_ITEM_rptr(X509_ALGOR)},
                 {c->spki, ASN1_ITEM_rptr(X509_PUBKEY)},
                 {c->extensions, ASN1_ITEM_rptr(X509_EXTENSIONS)}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const uint8_t *p = parts[i].der.p;
        if (parts[i].der.n == 0)
            continue;
        ASN1_VALUE *v = ASN1_item_d2i(NULL, &p, (long)parts[i].der.n, parts[i].item);
        unreadable |= !v || p != parts[i].der.p + parts[i].der.n;
        ASN1_item_free(v, parts[i].item);
    }
    ERR_clear_error();
    return unreadable;
}

static void compare_time(const char *what, int64_t ours, const ASN1_TIME *theirs)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(theirs, &tm) || (int64_t)timegm(&tm) != ours)
        diff_fail("%s differs", what);
}

/* With the certificate's own key: it is self-signed, or not. */
static void compare_signature(const struct cert *c, X509 *x)
{
    struct pubkey key;
    struct err err = {0};
    EVP_PKEY *pkey = NULL, *theirs = X509_get0_pubkey(x);
    bool loaded = pubkey_parse(c->spki, &key, &err) && pubkey_load(&key, &pkey, &err);
    ERR_clear_error();
    if (loaded)
        DIFF_SAME(X509_PUBKEY, c->spki, X509_get_X509_PUBKEY(x));
    if (loaded && (!theirs || EVP_PKEY_eq(pkey, theirs) != 1))
        diff_fail("another key for OpenSSL");
    bool verified = loaded && cert_signature_verify(c, pkey, &err);
    bool by_openssl = theirs && X509_verify(x, theirs) == 1;
    ERR_clear_error();
    if (verified && !by_openssl)
        diff_fail("a signature that OpenSSL does not verify");
    if (by_openssl && !verified)
        diff_refusal("signature of a certificate", &err);
    EVP_PKEY_free(pkey);
}

/* Read when it is needed; until then it may hold what OpenSSL would write otherwise. */
static void compare_algorithm(struct view ours, const X509_ALGOR *theirs)
{
    struct sigalg a;
    struct err err = {0};
    if (sigalg_parse(ours, DIGEST_SHA256, &a, &err))
        DIFF_SAME(X509_ALGOR, ours, theirs);
}

static void compare_certificates(const struct cert *c, X509 *x)
{
    const ASN1_BIT_STRING *signature;
    const X509_ALGOR *algorithm;
    if (c->version != X509_get_version(x) + 1)
        diff_fail("version %d, %ld for OpenSSL", c->version, X509_get_version(x) + 1);
    DIFF_SAME(ASN1_INTEGER, c->serial_tlv, X509_get0_serialNumber(x));
    DIFF_SAME(X509_NAME, c->issuer, X509_get_issuer_name(x));
    DIFF_SAME(X509_NAME, c->subject, X509_get_subject_name(x));
    X509_get0_signature(&signature, &algorithm, x);
    compare_algorithm(c->sigalg_der, algorithm);
    compare_algorithm(c->tbs_sigalg, X509_get0_tbs_sigalg(x));
    diff_octets("signature", c->signature, view_of(signature->data, (size_t)signature->length));
    compare_time("notBefore", c->not_before, X509_get0_notBefore(x));
    compare_time("notAfter", c->not_after, X509_get0_notAfter(x));
    if ((c->extensions.n > 0) != (X509_get0_extensions(x) != NULL))
        diff_fail("extensions for one only");
    if (c->extensions.n)
        diff_extensions(c->extensions, X509_get0_extensions(x));
    diff_name(c->issuer);
    diff_name(c->subject);
    compare_signature(c, x);
}

void diff_certificate(struct view der)
{
    struct cert *c = NULL;
    struct err err = {0};
    const uint8_t *p = der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.n);
    bool whole = x && p == der.p + der.n;
    ERR_clear_error();
    if (cert_parse(der, &c, &err)) {
        if (whole)
            compare_certificates(c, x);
        else if (!diff_certificate_unreadable(c))
            diff_fail("a certificate that OpenSSL does not read");
    } else if (whole) {
        diff_refusal("certificate", &err);
    }
    cert_free(c);
    X509_free(x);
}

/* ---- PKCS#10 ---- */

static X509_REQ *csr_read(struct view der)
{
    const uint8_t *p = der.p;
    X509_REQ *x = d2i_X509_REQ(NULL, &p, (long)der.n);
    ERR_clear_error();
    if (x && p == der.p + der.n)
        return x;
    X509_REQ_free(x);
    return NULL;
}

static bool csr_verified(X509_REQ *x)
{
    EVP_PKEY *key = x ? X509_REQ_get0_pubkey(x) : NULL;
    bool good = key && X509_REQ_verify(x, key) == 1;
    ERR_clear_error();
    return good;
}

bool diff_csr_verified(struct view der)
{
    X509_REQ *x = csr_read(der);
    bool good = csr_verified(x);
    X509_REQ_free(x);
    return good;
}

static void compare_challenge(const struct csr *csr, const X509_REQ *x)
{
    int at = X509_REQ_get_attr_by_NID(x, NID_pkcs9_challengePassword, -1);
    if (!csr->has_challenge)
        return; /* an empty one counts as none */
    if (at < 0)
        diff_fail("no challengePassword for OpenSSL");
    const ASN1_TYPE *t = X509_ATTRIBUTE_get0_type(X509_REQ_get_attr(x, at), 0);
    uint8_t *utf8 = NULL;
    if (!t || is_utf8_by_courtesy(t->value.asn1_string))
        return;
    int n = ASN1_STRING_to_UTF8(&utf8, t->value.asn1_string);
    ERR_clear_error();
    if (n >= 0) /* surrogate pairs otherwise */
        diff_octets("challengePassword", buf_view(&csr->challenge), view_of(utf8, (size_t)n));
    OPENSSL_free(utf8);
}

static void compare_csrs(const struct csr *csr, X509_REQ *x)
{
    EVP_PKEY *key = NULL;
    struct err err = {0};
    DIFF_SAME(X509_NAME, csr->subject_der, X509_REQ_get_subject_name(x));
    DIFF_SAME(X509_PUBKEY, csr->key.spki, X509_REQ_get_X509_PUBKEY(x));
    if (!pubkey_load(&csr->key, &key, &err) || EVP_PKEY_eq(key, X509_REQ_get0_pubkey(x)) != 1)
        diff_fail("another key for OpenSSL: %s", err.text);
    EVP_PKEY_free(key);
    compare_names(&csr->subject, X509_REQ_get_subject_name(x));
    compare_challenge(csr, x);
    STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(x);
    ERR_clear_error();
    if (csr->ext.der.n > 0 && !list)
        diff_fail("extensions that OpenSSL does not read");
    if (csr->ext.der.n == 0 && sk_X509_EXTENSION_num(list) > 0)
        diff_fail("extensions for OpenSSL only");
    if (csr->ext.der.n > 0)
        compare_extensions(&csr->ext, list);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}

void diff_csr(struct view der)
{
    struct csr *csr = NULL;
    struct err err = {0};
    X509_REQ *x = csr_read(der);
    if (csr_parse(der, ~0u, NULL, view_of(NULL, 0), &csr, &err)) {
        if (!x && !is_beyond_openssl(csr->subject_der))
            diff_fail("a certification request that OpenSSL does not read");
        if (x && !csr_verified(x))
            diff_fail("a certification request that OpenSSL does not verify");
        if (x)
            compare_csrs(csr, x);
    } else if (csr_verified(x)) {
        diff_refusal("certification request", &err);
    }
    csr_free(csr);
    X509_REQ_free(x);
}
