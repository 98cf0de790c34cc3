/* Every check of `scepctl probe`: docs/PROBE.md explains each, a test compares the two.
 *
 * X(NAME, id, title, reference, clients, fix): `clients` are those who stumble when the check goes wrong and nobody says
 * otherwise; `fix` is what the server's administrator can do about it, NULL where the value says it. */
#pragma once

enum probe_client {
    PC_APPLE, PC_WINDOWS, PC_CISCO, PC_ANDROID, PC_CHROMEOS, PC_STRONGSWAN5, PC_STRONGSWAN6, PC_CERTMONGER, PC_SSCEP,
    PC_MICROMDM, PC_PYSCEP, PC_CRYPTLIB, PC_PROXY, PC_COUNT
};
#define C(name) (1u << PC_##name)
#define C_ALL ((1u << PC_COUNT) - 1)
#define C_JSCEP (C(ANDROID) | C(CHROMEOS))
#define C_STRONGSWAN (C(STRONGSWAN5) | C(STRONGSWAN6))
/* Who compares the words of GetCACaps exactly. */
#define C_EXACT (C(APPLE) | C_JSCEP | C(MICROMDM) | C(SSCEP) | C(CRYPTLIB))
/* Who reads answers with OpenSSL 3, which has no DES without its legacy provider. */
#define C_OPENSSL (C(SSCEP) | C(CERTMONGER))

#define PROBE_CHECKS(X) \
    X(NAME, "reach.name", "name and port", "RFC 8894 section 4.1", C_ALL, \
      "start the server, or correct host and port of the URL") \
    X(TLS, "reach.tls", "TLS", "", C_ALL, \
      "use a certificate that the devices trust and keep TLS 1.2 on; plain HTTP is enough for SCEP (RFC 8894 section 7.10)") \
    X(REDIRECT, "http.redirect", "no redirection", "RFC 8894 section 4.1", C_ALL, \
      "give the devices the final URL, or exempt the SCEP path from the redirection") \
    X(CLOCK, "http.clock", "clock", "", C(WINDOWS) | C(APPLE) | C(CISCO), \
      "set the server's clock (chrony, systemd-timesyncd): certificates would begin in the future or end too early") \
    X(KEEP_ALIVE, "http.keep_alive", "keep-alive", "", C(CRYPTLIB), "let the proxy keep connections of HTTP/1.1 open") \
    X(HTTP10, "http.http10", "HTTP/1.0, no Host", "", C(CISCO), \
      "make the SCEP server the proxy's default host: old devices send no Host") \
    X(METHODS, "http.methods", "HEAD and PUT", "RFC 9110 section 15", 0, \
      "answer 405 to methods that SCEP does not use; monitoring takes 5xx for an outage") \
    X(UNKNOWN_PATH, "http.unknown_path", "unknown path", "", 0, \
      "answer 404: a web page looks like a broken SCEP answer to a device with a mistyped URL") \
    X(SUFFIX, "http.suffix", "/pkiclient.exe", "RFC 8894 section 4.1", C(WINDOWS) | C(CISCO), \
      "accept the path with /pkiclient.exe behind it: these clients append it by themselves") \
    X(CACHE, "http.cache", "no caching", "RFC 8894 section 4.1", 0, \
      "send Cache-Control: no-store with PKIOperation answers, or a proxy may give one device's answer to another") \
    X(CAPS_ANSWER, "caps.answer", "GetCACaps", "RFC 8894 section 3.5.1", C_ALL, \
      "answer GetCACaps: without it clients fall back to SHA-1 or MD5, DES and GET, or stop") \
    X(CAPS_TYPE, "caps.type", "GetCACaps type", "RFC 8894 section 3.5.2", 0, "send Content-Type: text/plain") \
    X(CAPS_LINES, "caps.lines", "lines of GetCACaps", "RFC 8894 section 3.5.2", C(APPLE), \
      "one word a line, lines ended by LF alone, no empty line, no blanks") \
    X(CAPS_CASE, "caps.case", "spelling of GetCACaps", "RFC 8894 section 3.5.2", C_EXACT, \
      "spell the words as RFC 8894 does: these clients compare them exactly") \
    X(CAPS_TWICE, "caps.duplicates", "words once", "RFC 8894 section 3.5.2", 0, "send each word once") \
    X(CAPS_UNKNOWN, "caps.unknown", "known words", "RFC 8894 section 6", 0, \
      "words of one's own begin with a domain name (RFC 8894 section 6)") \
    X(CAPS_STANDARD, "caps.standard", "SCEPStandard", "RFC 8894 section 3.5.2", 0, \
      "announce SCEPStandard when AES, SHA-256 and POST work, and only then") \
    X(CAPS_STRONG, "caps.strong", "AES and SHA-256", "RFC 8894 section 2.9", C_ALL, \
      "announce AES and SHA-256: clients choose DES or Triple DES and MD5 or SHA-1 without them") \
    X(CAPS_POST, "caps.post", "POSTPKIOperation", "RFC 8894 section 4.1", C(APPLE) | C_JSCEP | C(SSCEP) | C(MICROMDM), \
      "announce POSTPKIOperation: these clients use GET without it, whose length proxies limit") \
    X(CAPS_SHA384, "caps.sha384", "SHA-384 announced", "", C(STRONGSWAN5), \
      "announce SHA-384 too: strongSwan 5.9 takes it for AES and SHA-256 (its bug), and stops without") \
    X(CAPS_RENEWAL, "caps.renewal", "Renewal announced", "RFC 8894 section 2.5", C(APPLE) | C_STRONGSWAN | C(MICROMDM), \
      "announce Renewal: these clients do not renew otherwise") \
    X(CAPS_MESSAGE, "caps.message", "GetCACaps message=", "RFC 8894 section 3.5.1", C(APPLE) | C_JSCEP | C(CERTMONGER), \
      "ignore what GetCACaps carries as message") \
    X(CA_ANSWER, "cacert.answer", "GetCACert", "RFC 8894 section 4.2", C_ALL, "answer GetCACert with the CA certificate") \
    X(CA_TYPE, "cacert.type", "GetCACert type", "RFC 8894 section 4.2.1", \
      C(APPLE) | C_JSCEP | C(SSCEP) | C(CERTMONGER) | C(PYSCEP), \
      "application/x-x509-ca-cert for one certificate, application/x-x509-ca-ra-cert for several, without parameters") \
    X(CA_FORM, "cacert.form", "GetCACert form", "RFC 8894 section 3.4", C_ALL, \
      "one certificate in DER, or a SignedData in DER that holds certificates and nothing else") \
    X(CA_ORDER, "cacert.order", "order", "", C(CERTMONGER), "RA certificates first, the CA after them, its issuers last") \
    X(CA_CHAIN, "cacert.chain", "chain", "RFC 8894 section 4.2.1.2", C(WINDOWS) | C(ANDROID), \
      "include every certificate up to the root that devices trust") \
    X(CA_ISSUER, "cacert.ca", "CA certificate", "RFC 5280 section 4.2.1.9", C_ALL, \
      "an issuing certificate needs basicConstraints CA:TRUE (critical) and keyUsage keyCertSign, cRLSign") \
    X(CA_RECIPIENT, "cacert.recipient", "encrypted to", "RFC 8894 section 2.1.2", C_ALL, \
      "hand out an RSA certificate with keyEncipherment for clients to encrypt to") \
    X(CA_SIGNER, "cacert.signer", "answers signed by", "RFC 8894 section 2.1.2", \
      C(CERTMONGER) | C(CRYPTLIB), \
      "the certificate that signs answers needs keyUsage digitalSignature") \
    X(CA_EKU, "cacert.eku", "RA without EKU", "", C(CERTMONGER) | C(SSCEP), \
      "no extended key usage in RA certificates, or emailProtection among them: OpenSSL asks for it by default") \
    X(CA_KEYS, "cacert.keys", "keys and signatures", "", 0, "RSA from 2048 bits, signed with SHA-256 or better") \
    X(CA_EXPIRY, "cacert.expiry", "validity", "", C_ALL, "renew the certificate before it ends, and announce the next CA in time") \
    X(CA_MESSAGE, "cacert.message", "GetCACert message=", "RFC 8894 section 4.2", C(CERTMONGER) | C(SSCEP) | C_JSCEP | C(CISCO), \
      "answer the same for an unknown CA identifier: clients send CAIdentifier, 0, 1 or nothing by default") \
    X(NEXT_ANSWER, "nextca.answer", "GetNextCACert", "RFC 8894 section 4.7", C(SSCEP) | C_JSCEP | C(CISCO), \
      "announce GetNextCACert only while there is a next CA, and answer it then") \
    X(NEXT_TYPE, "nextca.type", "GetNextCACert type", "RFC 8894 section 4.7.1", C(SSCEP) | C_JSCEP, \
      "send Content-Type: application/x-x509-next-ca-cert") \
    X(NEXT_SIGNATURE, "nextca.signature", "GetNextCACert signed", "RFC 8894 section 4.7.1", C(SSCEP) | C_JSCEP | C(CISCO), \
      "sign the answer with the present CA's (or RA's) key") \
    X(NEXT_CERTS, "nextca.certificates", "next CA inside", "RFC 8894 section 4.7.1", 0, \
      "put the next CA certificate into the inner certificates-only SignedData (sscep) and into the outer one (jscep)") \
    X(PKI_ANSWER, "pki.answer", "PKIOperation", "RFC 8894 section 3.3.2", C_ALL, \
      "answer what can be decrypted, and cannot be granted, with a signed CertRep FAILURE and HTTP 200") \
    X(PKI_TYPE, "pki.type", "PKIOperation type", "RFC 8894 section 4.3.1", C_JSCEP | C(SSCEP) | C(CERTMONGER), \
      "send Content-Type: application/x-pki-message") \
    X(PKI_SIGNATURE, "pki.signature", "answer's signature", "RFC 8894 section 3.2", C_ALL, \
      "sign answers with a key whose certificate GetCACert hands out") \
    X(PKI_SIGALG, "pki.signature_algorithm", "signatureAlgorithm", "RFC 3370 section 3.2", C_STRONGSWAN, \
      "write rsaEncryption as signatureAlgorithm of the answer: strongSwan takes nothing else") \
    X(PKI_SIGNER, "pki.signer_included", "signer included", "RFC 8894 section 2.3", C(CERTMONGER) | C(PYSCEP) | C(MICROMDM), \
      "put the signer's certificate into the answer") \
    X(PKI_DIGEST, "pki.digest", "answer's digest", "RFC 8894 section 3.5.2", 0, \
      "answer with the digest of the request, at least SHA-256") \
    X(PKI_MESSAGE_TYPE, "pki.message_type", "messageType 3", "RFC 8894 section 3.2.1.2", C_ALL, "an answer is a CertRep (3)") \
    X(PKI_STATUS, "pki.status", "pkiStatus", "RFC 8894 section 3.2.1.3", C_ALL, "pkiStatus is 0, 2 or 3") \
    X(PKI_TRANSACTION, "pki.transaction", "transactionID echoed", "RFC 8894 section 3.2.1.1", C_ALL, \
      "send the transactionID back as it came, octet by octet") \
    X(PKI_RECIPIENT_NONCE, "pki.recipient_nonce", "recipientNonce", "RFC 8894 section 3.2.1.5", C_ALL, \
      "send the request's senderNonce back as recipientNonce") \
    X(PKI_SENDER_NONCE, "pki.sender_nonce", "senderNonce", "RFC 8894 section 3.2.1.5", C(CERTMONGER), \
      "put 16 random octets of senderNonce into answers: certmonger refuses them without") \
    X(PKI_FAIL_INFO, "pki.fail_info", "failInfo", "RFC 8894 section 3.2.1.4", C(SSCEP) | C(WINDOWS), \
      "a FAILURE has one failInfo of 0 to 4: sscep dies without") \
    X(PKI_STRINGS, "pki.strings", "attribute types", "RFC 8894 section 3.2.1", C(APPLE) | C_STRONGSWAN, \
      "one PrintableString each for transactionID, messageType, pkiStatus and failInfo, OCTET STRINGs for the nonces") \
    X(PKI_CONTENT, "pki.content", "content of FAILURE", "RFC 8894 section 3.1", 0, \
      "an empty OCTET STRING as content serves most clients; the letter of the RFC is none at all") \
    X(PKI_ENCODING, "pki.encoding", "DER", "RFC 8894 section 3", C(CRYPTLIB) | C(PYSCEP), "write answers in DER") \
    X(PKI_ENVELOPE, "pki.envelope", "envelope", "RFC 8894 section 3.3.2.1", C(PYSCEP) | C(CRYPTLIB), \
      "encryptedContent in one piece, to the signer's certificate by issuer and serial number") \
    X(PKI_CIPHER, "pki.cipher", "answer's cipher", "RFC 8894 section 3.5.2", 0, \
      "encrypt the answer with the cipher of the request, never with DES") \
    X(PKI_TRANSACTION_IDS, "pki.transaction_ids", "odd transactionIDs", "RFC 8894 section 3.2.1.1", \
      C(MICROMDM) | C_JSCEP | C(SSCEP) | C(CERTMONGER) | C(CRYPTLIB), "take any PrintableString from 1 to 78 characters") \
    X(PKI_POLL, "pki.poll", "CertPoll", "RFC 8894 section 4.4", C_STRONGSWAN | C(SSCEP) | C_JSCEP | C(CISCO), \
      "answer a poll for an unknown transaction with FAILURE badCertId; where requests wait, polls must work") \
    X(PKI_GET_CERT, "pki.get_cert", "GetCert", "RFC 8894 section 4.5", C(SSCEP) | C_JSCEP, \
      "answer GetCert for an unknown serial number with FAILURE badCertId") \
    X(PKI_GET_CRL, "pki.get_crl", "GetCRL", "RFC 8894 section 4.6", C(SSCEP) | C_JSCEP | C(CISCO), \
      "answer GetCRL for the CA's certificate with the newest CRL") \
    X(PKI_TO_CA, "pki.to_ca", "encrypted to the CA", "RFC 8894 section 2.1.2", C(PYSCEP), \
      "decrypt what was encrypted to the CA certificate as well as to the RA's") \
    X(PKI_TO_NEXT, "pki.to_next", "encrypted to the next CA", "RFC 8894 section 5.1", C(CISCO), \
      "answer what was encrypted to the next CA with a certificate of it: routers ask so before the day of the change") \
    X(PKI_RENEWAL, "pki.renewal", "RenewalReq", "RFC 8894 section 2.5", C_STRONGSWAN | C(MICROMDM) | C(CRYPTLIB), \
      "take messageType 17, or do not announce Renewal") \
    X(ALG_MD5, "alg.md5", "MD5", "RFC 8894 section 2.9", 0, \
      "refuse MD5 (badAlg); keep it to an endpoint for devices that know nothing better") \
    X(ALG_SHA1, "alg.sha1", "SHA-1", "RFC 8894 section 3.5.2", C(MICROMDM) | C(APPLE) | C(WINDOWS) | C(CISCO), \
      "take what is announced, and announce what is taken") \
    X(ALG_SHA256, "alg.sha256", "SHA-256", "RFC 8894 section 2.9", C_ALL & ~C(MICROMDM), "SHA-256 is mandatory") \
    X(ALG_SHA384, "alg.sha384", "SHA-384", "RFC 8894 section 3.5.2", C(SSCEP), "take what is announced, and announce what is taken") \
    X(ALG_SHA512, "alg.sha512", "SHA-512", "RFC 8894 section 3.5.2", C(SSCEP) | C_JSCEP | C(PYSCEP), \
      "take what is announced: these clients choose the longest digest") \
    X(ALG_DES, "alg.des", "DES", "RFC 8894 section 2.9", 0, \
      "refuse single DES (badAlg); keep it to an endpoint for devices that know nothing better") \
    X(ALG_DES3, "alg.des3", "Triple DES", "RFC 8894 section 3.5.2", C(APPLE) | C(CISCO) | C(WINDOWS), \
      "take what is announced, and announce what is taken") \
    X(ALG_AES128, "alg.aes128", "AES-128", "RFC 8894 section 2.9", C_ALL & ~C(MICROMDM), "AES-128-CBC is mandatory") \
    X(ALG_AES192, "alg.aes192", "AES-192", "", 0, "take every key length of AES") \
    X(ALG_AES256, "alg.aes256", "AES-256", "", C(CERTMONGER) | C(PYSCEP), "take every key length of AES: these clients use 256 bits") \
    X(ALG_OAEP, "alg.oaep", "RSAES-OAEP", "RFC 8894 section 3.1", C(WINDOWS), \
      "decrypt content keys wrapped with RSAES-OAEP: Windows 11 sends nothing else") \
    X(ALG_BER, "alg.ber", "BER messages", "RFC 5652 section 5.1", C_JSCEP | C(APPLE), \
      "read indefinite lengths: BouncyCastle and Apple write them") \
    X(POST_HONOURED, "post.honoured", "POST taken", "RFC 8894 section 4.1", C_ALL & ~C(CERTMONGER), \
      "take PKIOperation by POST, or do not announce it") \
    X(POST_NO_TYPE, "post.no_type", "POST, no type", "RFC 8894 section 4.3", C(SSCEP) | C(STRONGSWAN5), \
      "do not insist on a Content-Type: these clients send none") \
    X(POST_OCTETS, "post.octet_stream", "POST, octet-stream", "RFC 8894 section 4.3", C_JSCEP | C(MICROMDM) | C(PROXY), \
      "do not insist on application/x-pki-message: these clients send application/octet-stream") \
    X(POST_MESSAGE, "post.message", "POST with message=", "RFC 8894 section 4.3", C(PYSCEP), \
      "ignore an empty message parameter of a POST") \
    X(POST_GARBAGE, "post.garbage", "what is not SCEP", "RFC 9110 section 15.5", 0, \
      "answer what cannot be read with HTTP 400: 5xx says that the server is broken") \
    X(GET_ONE_LINE, "get.one_line", "GET", "RFC 8894 section 4.1", C(CERTMONGER), \
      "take PKIOperation by GET, base64 in one line, percent-escaped") \
    X(GET_LINES, "get.lines", "GET, lines", "", C(CISCO) | C(SSCEP), "skip %0A in the base64 of a GET") \
    X(GET_UNESCAPED, "get.unescaped", "GET, unescaped", "", C_JSCEP | C(APPLE), \
      "do not turn '+' into a blank: these clients do not escape it") \
    X(GET_BASE64URL, "get.base64url", "GET, base64url", "", C(MICROMDM), "take '-' and '_' for '+' and '/'") \
    X(GET_MESSAGE_FIRST, "get.message_first", "GET, message first", "", C(MICROMDM), "take parameters in any order") \
    X(GET_6K, "get.long_6k", "long URL", "RFC 8894 section 4.1", C(CERTMONGER) | C(CISCO), \
      "nginx: large_client_header_buffers 4 64k; Apache: LimitRequestLine 65534; IIS: maxQueryString, maxUrl") \
    X(GET_16K, "get.long_16k", "very long URL", "RFC 8894 section 4.1", C(CERTMONGER), \
      "nginx: large_client_header_buffers 4 64k; Apache: LimitRequestLine 65534; IIS: maxQueryString, maxUrl") \
    X(ENROL_ANSWER, "enrol.answer", "enrolment", "RFC 8894 section 4.3", C_ALL, \
      "see the server's log for this transaction; is the challenge right and unused, and the subject allowed?") \
    X(ENROL_CONTENT, "enrol.content", "what is sent", "RFC 8894 section 3.3.2.1", C_ALL, \
      "send the issued certificate first, best alone: Apple takes the first, Juniper refuses others") \
    X(ENROL_KEY, "enrol.key", "key and chain", "RFC 8894 section 3.3.2.1", C_ALL, \
      "certify the key of the request, with the CA that GetCACert hands out") \
    X(ENROL_NAMES, "enrol.names", "names kept", "", C(PROXY), "keep subject and subjectAltName of the request where the template allows it") \
    X(ENROL_USAGE, "enrol.usage", "usages", "RFC 5280 section 4.2.1", C(APPLE) | C(WINDOWS), \
      "give device certificates clientAuth and digitalSignature, and basicConstraints without CA") \
    X(ENROL_LIFE, "enrol.life", "lifetime", "RFC 5280 section 4.1.2.5", C(WINDOWS) | C(APPLE), \
      "begin some minutes in the past (clocks differ), end before the CA, serial number positive and at most 20 octets") \
    X(ENROL_STATUS, "enrol.revocation", "revocation named", "RFC 5280 section 4.2.1.13", 0, \
      "name a CRL or an OCSP responder in certificates, or revoking them tells nobody") \
    X(ENROL_AGAIN, "enrol.again", "lost reply", "RFC 8894 section 5.2", C_ALL, \
      "answer the same message again with the same certificate: a lost reply costs the challenge otherwise") \
    X(ENROL_GET_CERT, "enrol.get_cert", "GetCert", "RFC 8894 section 4.5", C(SSCEP) | C_JSCEP, "answer GetCert with the certificate") \
    X(ENROL_GET_CRL, "enrol.get_crl", "GetCRL", "RFC 8894 section 4.6", C(SSCEP) | C_JSCEP | C(CISCO), "answer GetCRL with the newest CRL") \
    X(ENROL_RENEW17, "enrol.renewal_17", "RenewalReq", "RFC 8894 section 2.5", C_STRONGSWAN | C(MICROMDM) | C(CRYPTLIB), \
      "renew on messageType 17 signed by a valid certificate of this CA") \
    X(ENROL_RENEW19, "enrol.renewal_19", "PKCSReq as renewal", "RFC 8894 section 2.5", \
      C(APPLE) | C_JSCEP | C(CERTMONGER) | C(SSCEP) | C(PYSCEP) | C(CISCO), \
      "take a PKCSReq signed by a valid certificate of this CA as a renewal")

enum probe_check {
#define PROBE_ENUM(name, id, title, reference, clients, fix) PROBE_##name,
    PROBE_CHECKS(PROBE_ENUM)
#undef PROBE_ENUM
    PROBE_COUNT
};
