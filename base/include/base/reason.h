/* The one list of reasons for which a request gets no certificate.  The code string is what
 * logs, failInfoText, the command line and later the API and the metrics show; it is never
 * renamed or reused.  failInfo is RFC 8894 section 3.2.1.4; hresult is what Microsoft's SCEP
 * error attribute (1.3.6.1.4.1.311.21.33) carries so that a Windows event shows a fitting text. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fail_info { /* RFC 8894 section 3.2.1.4 */
    FAIL_BAD_ALG = 0,
    FAIL_BAD_MESSAGE_CHECK = 1,
    FAIL_BAD_REQUEST = 2,
    FAIL_BAD_TIME = 3,
    FAIL_BAD_CERT_ID = 4,
};

/* X(name, code, failInfo, HRESULT, may the detail go to the client?, text) */
#define REASON_LIST(X)                                                                             \
    X(CHALLENGE_USED, "challenge.used", FAIL_BAD_REQUEST, 0x80094011, false,                       \
      "the challenge was already used by another request")                                         \
    X(CHALLENGE_EXPIRED, "challenge.expired", FAIL_BAD_REQUEST, 0x80094011, false,                 \
      "the challenge has expired")                                                                 \
    X(CHALLENGE_REVOKED, "challenge.revoked", FAIL_BAD_REQUEST, 0x80094011, false,                 \
      "an administrator revoked the challenge")                                                    \
    X(CHALLENGE_UNKNOWN, "challenge.unknown", FAIL_BAD_REQUEST, 0x80094011, false,                 \
      "the challenge is not known here")                                                           \
    X(CHALLENGE_BOUND, "challenge.bound", FAIL_BAD_REQUEST, 0x80094011, false,                     \
      "the challenge was made for another subject, name, template or endpoint")                    \
    X(CHALLENGE_MISSING, "challenge.missing", FAIL_BAD_REQUEST, 0x80094011, false,                 \
      "a challenge password is needed and the request has none")                                   \
    X(SUBJECT_FORBIDDEN, "subject.forbidden", FAIL_BAD_REQUEST, 0x80094001, true,                  \
      "the subject is not allowed by the template")                                                \
    X(SUBJECT_MISSING, "subject.missing", FAIL_BAD_REQUEST, 0x80094001, true,                      \
      "the template needs a subject attribute that the request lacks")                             \
    X(SUBJECT_PLACEHOLDER, "subject.placeholder", FAIL_BAD_REQUEST, 0x80094001, true,              \
      "a placeholder in the requested name was never filled in")                                   \
    X(SAN_MISSING, "san.missing", FAIL_BAD_REQUEST, 0x80094803, true,                              \
      "the template needs a subject alternative name that the request lacks")                      \
    X(SAN_FORBIDDEN, "san.forbidden", FAIL_BAD_REQUEST, 0x80094803, true,                          \
      "a subject alternative name is not allowed by the template")                                 \
    X(KEY_SMALL, "key.small", FAIL_BAD_REQUEST, 0x80094811, true,                                  \
      "the key is outside the sizes the template allows")                                          \
    X(KEY_TYPE, "key.type", FAIL_BAD_ALG, 0x80094811, true,                                        \
      "the type of the key is not allowed")                                                        \
    X(KEY_WEAK, "key.weak", FAIL_BAD_REQUEST, 0x80094811, true,                                    \
      "the key is weak and would not protect the device")                                          \
    X(KEY_REUSED, "key.reused", FAIL_BAD_REQUEST, 0x80094811, false,                               \
      "this key already has a certificate for another subject, or belongs to this authority")      \
    X(KEY_AGAIN, "key.again", FAIL_BAD_REQUEST, 0x80094811, true,                                  \
      "this key already has a certificate, and the template wants a new key")                      \
    X(KEY_BANNED, "key.banned", FAIL_BAD_REQUEST, 0x80092010, false,                               \
      "this key stands on the list of keys that get no certificate")                               \
    X(KEY_COMPROMISED, "key.compromised", FAIL_BAD_REQUEST, 0x80092010, false,                     \
      "a certificate for this key was revoked because the key was compromised")                    \
    X(DUPLICATE_SUBJECT, "duplicate.subject", FAIL_BAD_REQUEST, 0x80094001, false,                 \
      "the subject already has a valid certificate, and the endpoint gives it no second one")      \
    X(USAGE_FORBIDDEN, "usage.forbidden", FAIL_BAD_REQUEST, 0x80094012, true,                      \
      "the request asks for a usage that the template never gives")                                \
    X(ALGORITHM_REFUSED, "algorithm.refused", FAIL_BAD_ALG, 0x80090008, true,                      \
      "an algorithm of the message is not accepted at this endpoint")                              \
    X(MESSAGE_NOT_FOR_US, "message.not_for_us", FAIL_BAD_MESSAGE_CHECK, 0x80090006, false,         \
      "the message is not encrypted to a certificate of this endpoint, or cannot be opened")       \
    X(MESSAGE_TRUNCATED, "message.truncated", FAIL_BAD_MESSAGE_CHECK, 0x80090004, true,            \
      "the message ends too early or has bytes after its end")                                     \
    X(MESSAGE_MALFORMED, "message.malformed", FAIL_BAD_REQUEST, 0x80090004, true,                  \
      "the message is not a SCEP message that can be read")                                        \
    X(MESSAGE_UNSUPPORTED, "message.unsupported", FAIL_BAD_REQUEST, 0x80090004, true,              \
      "this kind of message is not supported")                                                     \
    X(MESSAGE_NONCE, "message.nonce", FAIL_BAD_REQUEST, 0x80090004, true,                          \
      "the message's senderNonce is missing or has the wrong size")                                \
    X(MESSAGE_TIME, "message.time", FAIL_BAD_TIME, 0x80090004, true,                               \
      "the time in the message is too far from the server's clock")                                \
    X(SIGNATURE_BAD, "signature.bad", FAIL_BAD_MESSAGE_CHECK, 0x80090006, false,                   \
      "the signature of the message does not verify")                                              \
    X(CSR_MALFORMED, "csr.malformed", FAIL_BAD_REQUEST, 0x80090004, true,                          \
      "the certification request cannot be read")                                                  \
    X(CSR_SIGNATURE, "csr.signature", FAIL_BAD_REQUEST, 0x80090006, false,                         \
      "the signature of the certification request does not verify")                                \
    X(CSR_SIGNER, "csr.signer", FAIL_BAD_REQUEST, 0x80090006, false,                               \
      "the message is signed with another key than the one in the request")                        \
    X(CSR_SIGNER_SUBJECT, "csr.signer_subject", FAIL_BAD_REQUEST, 0x80090006, true,                \
      "the message is signed by a certificate for another subject than the request's")             \
    X(TRANSACTION_REUSED, "transaction.reused", FAIL_BAD_REQUEST, 0x80094011, false,               \
      "the transaction ID was used before for another request")                                    \
    X(TRANSACTION_REVOKED, "transaction.revoked", FAIL_BAD_REQUEST, 0x80092010, false,             \
      "the certificate of this transaction was revoked")                                           \
    X(RENEWAL_DISABLED, "renewal.disabled", FAIL_BAD_REQUEST, 0x80094012, false,                   \
      "this endpoint does not renew certificates")                                                 \
    X(RENEWAL_SIGNER_REVOKED, "renewal.signer_revoked", FAIL_BAD_CERT_ID, 0x80092010, false,       \
      "the certificate that signed the renewal was revoked")                                       \
    X(RENEWAL_SIGNER_EXPIRED, "renewal.signer_expired", FAIL_BAD_TIME, 0x800B0101, false,          \
      "the certificate that signed the renewal has expired")                                       \
    X(RENEWAL_SIGNER_UNKNOWN, "renewal.signer_unknown", FAIL_BAD_REQUEST, 0x800B0109, false,       \
      "the certificate that signed the renewal was not issued here")                               \
    X(RENEWAL_SUBJECT, "renewal.subject", FAIL_BAD_REQUEST, 0x80094001, true,                      \
      "a renewal must ask for the same names as the certificate that signed it")                   \
    X(RENEWAL_UNASSIGNED, "renewal.unassigned", FAIL_BAD_REQUEST, 0x80094012, false,               \
      "the device does not have the policy of its certificate any more")                           \
    X(RENEWAL_TOO_EARLY, "renewal.too_early", FAIL_BAD_TIME, 0x80094012, true,                     \
      "the renewal window of the certificate is not open yet")                                     \
    X(DEVICE_UNKNOWN, "device.unknown", FAIL_BAD_REQUEST, 0x80094011, false,                       \
      "the device for which this was made is not known any more")                                  \
    X(DEVICE_RETIRED, "device.retired", FAIL_BAD_REQUEST, 0x80094011, false,                       \
      "the device is retired and gets no certificates")                                            \
    X(DEVICE_ISOLATED, "device.isolated", FAIL_BAD_REQUEST, 0x80094011, false,                     \
      "the device is isolated: it may renew what it has and enrols nothing new")                   \
    X(POLICY_PAUSED, "policy.paused", FAIL_BAD_REQUEST, 0x80094012, false,                         \
      "the policy is paused: nothing is issued by it")                                             \
    X(POLICY_UNASSIGNED, "policy.unassigned", FAIL_BAD_REQUEST, 0x80094012, false,                 \
      "the policy is not assigned to the device")                                                  \
    X(REQUEST_UNKNOWN, "request.unknown", FAIL_BAD_CERT_ID, 0x80094012, false,                     \
      "there is no request with this transaction ID")                                              \
    X(REQUEST_DENIED, "request.denied", FAIL_BAD_REQUEST, 0x80094014, false,                       \
      "an administrator denied the request")                                                       \
    X(REQUEST_EXPIRED, "request.expired", FAIL_BAD_TIME, 0x80094014, false,                        \
      "the request waited too long for an approval")                                               \
    X(REQUEST_TOO_MANY, "request.too_many", FAIL_BAD_REQUEST, 0x800700AA, false,                   \
      "too many requests wait for an approval: try again later")                                   \
    X(CERTIFICATE_UNKNOWN, "certificate.unknown", FAIL_BAD_CERT_ID, 0x80092004, false,             \
      "no such certificate or CRL is known here")                                                  \
    X(AUTHORITY_EXPIRED, "authority.expired", FAIL_BAD_REQUEST, 0x800B0101, false,                 \
      "the authority's own certificate leaves too little time to issue")                           \
    X(WEBHOOK_DENIED, "webhook.denied", FAIL_BAD_REQUEST, 0x80094012, false,                       \
      "the server that validates requests has denied this one")                                    \
    X(WEBHOOK_UNREACHABLE, "webhook.unreachable", FAIL_BAD_REQUEST, 0x800700AA, false,             \
      "the server that validates requests has given no answer: try again later")                   \
    X(STORE_FULL, "store.full", FAIL_BAD_REQUEST, 0x80070070, false,                               \
      "the server cannot store more at the moment")                                                \
    X(STORE_GONE, "store.gone", FAIL_BAD_REQUEST, 0x800700AA, false,                               \
      "the server cannot store anything at the moment")                                            \
    X(SIGNER_UNAVAILABLE, "signer.unavailable", FAIL_BAD_REQUEST, 0x8009000D, false,               \
      "the server cannot sign at the moment")                                                      \
    X(BUSY, "busy", FAIL_BAD_REQUEST, 0x800700AA, false, "the server is busy: try again later")    \
    X(INTERNAL, "internal", FAIL_BAD_REQUEST, 0x80004005, false, "the server failed")              \
    X(HTTP_METHOD, "http.method", FAIL_BAD_REQUEST, 0, true, "the HTTP method is not allowed here")\
    X(HTTP_PATH, "http.wrong_path", FAIL_BAD_REQUEST, 0, true, "no endpoint has this path")        \
    X(HTTP_OPERATION, "http.operation", FAIL_BAD_REQUEST, 0, true, "unknown SCEP operation")       \
    X(HTTP_MALFORMED, "http.malformed", FAIL_BAD_REQUEST, 0, true, "the HTTP request is malformed")\
    X(HTTP_TOO_LONG, "http.too_long", FAIL_BAD_REQUEST, 0, true, "the HTTP request is too long")     \
    X(HTTP_TLS, "http.tls", FAIL_BAD_REQUEST, 0, true, "a TLS connection came to a port that speaks plain HTTP") \
    X(UPSTREAM_UNAVAILABLE, "upstream.unavailable", FAIL_BAD_REQUEST, 0, false,                    \
      "the server behind the endpoint gives no useful answer: try again later")                    \
    X(UPSTREAM_REFUSED, "upstream.refused", FAIL_BAD_REQUEST, 0, false,                            \
      "the server behind the endpoint has refused it")                                             \
    /* what an administrator asked for, never a device */                                                        \
    X(PROFILE_UNFIT, "profile.unfit", FAIL_BAD_REQUEST, 0, true,                                   \
      "a profile of this kind cannot say what the policy asks for")                                \
    /* no refusals of ours: what the attempts of a device, or their absence, let us tell */                     \
    X(CA_THUMBPRINT, "ca.thumbprint", FAIL_BAD_REQUEST, 0, false,                                  \
      "the CA certificate was fetched and no request followed")                                    \
    X(CLOCK_SKEW, "clock.skew", FAIL_BAD_TIME, 0, false,                                           \
      "the device's clock is so far behind that its certificate is not yet valid for it")          \
    X(NEVER_ARRIVED, "never.arrived", FAIL_BAD_REQUEST, 0, false, "nothing of this kind has arrived here")

enum reason {
    REASON_NONE = 0,
#define REASON_ENUM(name, code, fail, hresult, detail_public, text) REASON_##name,
    REASON_LIST(REASON_ENUM)
#undef REASON_ENUM
    REASON_COUNT
};

struct reason_info {
    const char *code;
    enum fail_info fail_info;
    uint32_t hresult;
    bool detail_public; /* the detail names only what the client itself sent */
    const char *text;
};

/* Static data; for REASON_NONE code and text are "". */
const struct reason_info *reason_info(enum reason reason);
/* REASON_NONE when there is no such code. */
enum reason reason_by_code(const char *code);
