#include "diff.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void diff_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("pkcs7/ and OpenSSL differ: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

void diff_octets(const char *what, struct view ours, struct view theirs)
{
    if (!view_eq(ours, theirs))
        diff_fail("%s of %zu octets, other %zu for OpenSSL", what, ours.n, theirs.n);
}

void diff_encoded(const char *what, struct view ours, uint8_t *der, int n)
{
    if (n <= 0)
        diff_fail("%s cannot be encoded by OpenSSL", what);
    diff_octets(what, ours, view_of(der, (size_t)n));
    OPENSSL_free(der);
}

/* What OpenSSL takes and pkcs7/ refuses, on purpose: a part of the refusal's text, under why it is
 * so.  A refusal that is not here is a difference.  Texts of pkcs7/ that say "this is no CMS at
 * all", "the signature is wrong" or "the envelope does not open" must never come here. */
static const char *const intended[] = {
    /* Certificates and requests are DER (RFC 5280 section 4.1, RFC 2986 section 4), and no part of
     * them is left unread: OpenSSL does not look into attribute values and extensions before
     * somebody asks. */
    "indefinite length (BER)",
    "is not minimal as DER wants",
    "constructed string (BER)",
    "primitive SEQUENCE or SET",
    "end-of-contents out of place",
    "reaches out of its parent",
    "a number or name in pieces",
    "nested more than",
    "subjectAltName: ",
    "RSAPublicKey: ",
    "extensions: ",
    "the extensions cannot be decoded",
    "keyUsage cannot be decoded",
    "extendedKeyUsage cannot be decoded",
    "basicConstraints cannot be decoded",
    "subjectAltName cannot be decoded",
    "subjectKeyIdentifier cannot be decoded",
    "authorityKeyIdentifier cannot be decoded",
    "basicConstraints has ",
    "keyUsage has ",
    "extendedKeyUsage has ",
    "subjectKeyIdentifier has ",
    "authorityKeyIdentifier has ",
    "subjectAltName has ",
    "the extensions has ",
    /* Nothing twice, nothing with two values, nothing empty that means something (RFC 5280
     * section 4.2, RFC 2985 section 5.4, RFC 5652 section 11). */
    " is there twice",
    " is given twice",
    "subjectAltName is empty",
    "extendedKeyUsage is empty",
    "the SID extension is empty",
    " values, not one",
    " values instead of one",
    "extensionRequest is no SEQUENCE",
    "extension request is no SEQUENCE",
    "two extension requests that ask for different things",
    "the name has an empty RDN",
    /* Versions and times that mean something (RFC 5280 section 4.1.2, RFC 2986 section 4.1). */
    "the certificate's version is unknown",
    "certification request of another version than 0",
    "certification request without a version",
    " of the certificate is no time",
    /* Sizes, before anything is computed. */
    "AlgorithmIdentifier of ",
    " octets, at most ",
    " attributes, at most ",
    " extensions, at most ",
    "signed attributes, at most ",
    " certificates, at most ",
    " recipients, at most ",
    " characters, 1 to 256 are allowed",
    "RSA key of ",
    "RSA exponent of ",
    "serial number of ",
    "more than 16 purposes",
    "more than 4 octets",
    "more than 32 subject alternative names",
    "more than 20 attributes",
    "is longer than 63 characters",
    "octets, more than the ",
    /* Algorithms: few, with the parameters that belong to them (RFC 4055, RFC 5480, RFC 5758). */
    "has parameters that do not belong to it",
    "has parameters that are not supported",
    "has no parameters",
    "is not supported",
    "rsaEncryption with parameters other than NULL",
    " with parameters",
    "signed with ",
    "neither RSA nor EC",
    "not on P-256, P-384 or P-521",
    "EC key without a named curve",
    "EC point is not in uncompressed form",
    " is not known",
    "key transport by ",
    "RSAES-OAEP with these parameters",
    "RSASSA-PSS-params cannot be decoded",
    "PBKDF2 with ",
    "needs an IV of ",
    "the certificate's two signature algorithms differ",
    "the OAEP parameters cannot be decoded",
    /* Keys that prove nothing. */
    "RSA modulus is even",
    "RSA exponent is even",
    "RSA exponent is 1",
    "RSA exponent is ",
    "RSA modulus is ",
    /* Octets, not bits. */
    "is not of whole octets",
    /* Text that people will see (names, passwords, alternative names). */
    "no string type",
    " is NUL",
    "with a NUL inside",
    "is a control character",
    "is a bidirectional control",
    "is an invisible format character",
    "is not assigned in Unicode",
    "is for private use",
    "is a line separator",
    "half of a surrogate pair",
    "is no Unicode character",
    "is not valid UTF-8",
    "is not Latin-1",
    " is empty",
    "begins or ends with a blank",
    "that no host name has",
    "has an empty label",
    "a label ",
    "is an address or looks like one",
    "more than 253 characters",
    "more than 254 characters",
    "more than 64 characters before",
    "more than 1024 characters",
    "is not user@",
    "dot out of place",
    "that no mailbox has",
    "is not an absolute URI",
    "that no URI has",
    "IP address of ",
    "is not issued",
    "UPN is of ASN.1 type",
    /* What no device may ask for. */
    "asks for a CA certificate",
    "asks for key usage",
    "impossible pathLenConstraint",
    /* SCEP wants more than CMS (RFC 8894 sections 3 and 3.2). */
    "SignerInfos instead of one",
    "the SignerInfo has no signed attributes",
    "the signed content is not id-data",
    "the encrypted content is not id-data",
    "the contentType attribute is not that of the content",
    "no transactionID",
    "no messageType",
    "no pkiStatus",
    "no failInfo",
    "no contentType or no messageDigest",
    " has the ASN.1 type ",
    "the transactionID has ",
    "senderNonce has ",
    "recipientNonce has ",
    "the message has no envelope",
    "not for us",
    "the envelope is under a password",
};

void diff_refusal(const char *what, const struct err *err)
{
    for (size_t i = 0; err->kind == ERR_REFUSED && i < sizeof intended / sizeof *intended; i++)
        if (strstr(err->text, intended[i]))
            return;
    diff_fail("OpenSSL takes the %s, and it is refused: %s", what, err->text);
}
