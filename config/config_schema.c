#include "config/config_schema.h"

#include <stdio.h>
#include <string.h>

#include "pkcs7/alg.h"
#include "pkcs7/ext.h"
#include "pkcs7/pubkey.h"
#include "config/config.h"

#define AT(owner, field) offsetof(struct owner, field), sizeof(((struct owner *)0)->field), 0
#define LIST(owner, field)                                             \
    offsetof(struct owner, field), sizeof(((struct owner *)0)->field), \
        offsetof(struct owner, field##_n)

#define MINUTE INT64_C(60)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* A device certificate never lives longer (certificate profile: 39 months). */
#define LONGEST_DEVICE_VALIDITY (1187 * DAY)

static const struct setting_word level_words[] = {
    {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},     {NULL, 0},
};
static const struct setting_word confinement_words[] = {{"auto", CONFINE_AUTO},
                                                        {"off", CONFINE_OFF},
                                                        {"required", CONFINE_REQUIRED},
                                                        {NULL, 0}};
static const struct setting_word format_words[] = {{"logfmt", false}, {"json", true}, {NULL, 0}};
static const struct setting_word surplus_words[] = {
    {"refuse", SURPLUS_REFUSE}, {"drop", SURPLUS_DROP}, {NULL, 0}};
static const struct setting_word curve_words[] = {
    {"P-256", ALG_BIT(CURVE_P256)},
    {"P-384", ALG_BIT(CURVE_P384)},
    {"P-521", ALG_BIT(CURVE_P521)},
    {NULL, 0},
};
static const struct setting_word usage_words[] = {
    {"both", KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT},
    {"signing", KU_DIGITAL_SIGNATURE},
    {"encryption", KU_KEY_ENCIPHERMENT},
    {"digitalSignature", KU_DIGITAL_SIGNATURE},
    {"nonRepudiation", KU_NON_REPUDIATION},
    {"keyEncipherment", KU_KEY_ENCIPHERMENT},
    {"dataEncipherment", KU_DATA_ENCIPHERMENT},
    {"keyAgreement", KU_KEY_AGREEMENT},
    {NULL, 0},
};
static const struct setting_word ra_words[] = {
    {"single", RA_SINGLE}, {"pair", RA_PAIR}, {"none", RA_NONE}, {NULL, 0}};
static const struct setting_word challenge_words[] = {
    {"none", CHALLENGE_NONE},
    {"one-time", CHALLENGE_ONE_TIME},
    {"static", CHALLENGE_STATIC},
    {NULL, 0},
};
static const struct setting_word approval_words[] = {
    {"automatic", false}, {"manual", true}, {NULL, 0}};
static const struct setting_word renewal_words[] = {
    {"ignore", RENEWAL_CHALLENGE_IGNORE},
    {"check", RENEWAL_CHALLENGE_CHECK},
    {"require", RENEWAL_CHALLENGE_REQUIRE},
    {NULL, 0},
};
static const struct setting_word digest_words[] = {
    {"MD5", ALG_BIT(DIGEST_MD5)},
    {"SHA-1", ALG_BIT(DIGEST_SHA1)},
    {"SHA-224", ALG_BIT(DIGEST_SHA224)},
    {"SHA-256", ALG_BIT(DIGEST_SHA256)},
    {"SHA-384", ALG_BIT(DIGEST_SHA384)},
    {"SHA-512", ALG_BIT(DIGEST_SHA512)},
    {NULL, 0},
};
static const struct setting_word duplicates_words[] = {
    {"allow", DUPLICATES_ALLOW},
    {"refuse", DUPLICATES_REFUSE},
    {"replace", DUPLICATES_REPLACE},
    {NULL, 0},
};
static const struct setting_word key_reuse_words[] = {
    {"same-subject", KEY_REUSE_SAME_SUBJECT},
    {"renewal", KEY_REUSE_RENEWAL},
    {"never", KEY_REUSE_NEVER},
    {NULL, 0},
};
static const struct setting_word encoding_words[] = {
    {"utf-16", NDES_UTF16}, {"utf-16le", NDES_UTF16LE}, {"utf-8", NDES_UTF8}, {NULL, 0}};
/* Of the signature by which a device shows that it has the key. */
static const struct setting_word csr_digest_words[] = {
    {"SHA-1", ALG_BIT(DIGEST_SHA1)},     {"SHA-224", ALG_BIT(DIGEST_SHA224)},
    {"SHA-256", ALG_BIT(DIGEST_SHA256)}, {"SHA-384", ALG_BIT(DIGEST_SHA384)},
    {"SHA-512", ALG_BIT(DIGEST_SHA512)}, {NULL, 0},
};
static const struct setting_word cipher_words[] = {
    {"DES", ALG_BIT(CIPHER_DES)},        {"3DES", ALG_BIT(CIPHER_DES3)},
    {"AES-128", ALG_BIT(CIPHER_AES128)}, {"AES-192", ALG_BIT(CIPHER_AES192)},
    {"AES-256", ALG_BIT(CIPHER_AES256)}, {NULL, 0},
};
static const struct setting_word unissued_words[] = {
    {"unknown", OCSP_UNISSUED_UNKNOWN},
    {"unauthorized", OCSP_UNISSUED_UNAUTHORIZED},
    {"revoked", OCSP_UNISSUED_REVOKED},
    {NULL, 0},
};
/* Of the authority's own signatures: nothing that relying parties refuse. */
static const struct setting_word signing_words[] = {
    {"SHA-256", 0}, {"SHA-384", 0}, {"SHA-512", 0}, {NULL, 0}};
/* Fast, or for relying parties that verify RSA only. */
static const struct setting_word ocsp_key_words[] = {
    {"p256", 0}, {"rsa2048", 0}, {"none", 0}, {NULL, 0}};

static const struct setting_word webhook_words[] = {{"validate", WEBHOOK_VALIDATE},
                                                   {"notify", WEBHOOK_NOTIFY},
                                                   {"intune", WEBHOOK_INTUNE},
                                                   {NULL, 0}};
static const struct setting_word failure_words[] = {{"busy", false}, {"refuse", true}, {NULL, 0}};
static const struct setting_word auth_words[] = {
    {"basic", UPSTREAM_BASIC}, {"ntlm", UPSTREAM_NTLM}, {NULL, 0}};

/* clang-format off */
const struct setting config_schema[] = {
    {"", "home", SETTING_PATH, AT(config, home), 0, 0, NULL, NULL, 0,
     "Directory from which relative paths are taken, instead of that of the file."},
    {"", "workers", SETTING_INT, AT(config, workers), 0, 256, NULL, "0", 0,
     "Threads that read and answer messages; 0 takes one per core."},
    {"", "queue", SETTING_INT, AT(config, queue), 1, 65536, NULL, "512", 0,
     "Requests that may wait for a worker; above it clients are told to come back later (503)."},
    {"", "user", SETTING_TEXT, AT(config, user), 0, 0, NULL, NULL, SETTING_FIXED,
     "Account that the daemon becomes when root starts it; without it the daemon stays what it is."},
    {"", "crl_directory", SETTING_PATH, AT(config, crl_directory), 0, 0, NULL, NULL, SETTING_FIXED,
     "Every revocation list is also written as a file here, for another web server."},
    {"", "confinement", SETTING_CHOICE, AT(config, confinement), 0, 0, confinement_words, "\"auto\"", SETTING_FIXED,
     "Whether scepd's processes give up system calls and files that they never need: as far as the kernel lets them, never, or not starting otherwise."},
    {"", "banned_keys", SETTING_FILE, AT(config, banned_keys_file), 0, 0, NULL, NULL, 0,
     "File with keys that get no certificate: the SHA-256 of each SubjectPublicKeyInfo in hex, one a line."},
    {"", "listen", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "Where devices reach the daemon."},
    {"", "admin", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "Where administrators and Prometheus ask how the daemon is."},
    {"", "api", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "Where administrators and MDM products reach the REST API and the console."},
    {"", "signer", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "What the process with the private keys does at most."},
    {"", "store", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "What the authority remembers."},
    {"", "challenges", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "How challenge passwords are kept."},
    {"", "attempts", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "What is kept about requests, also refused ones."},
    {"", "ocsp", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "What is said of certificates by OCSP, at /ocsp and /ocsp/NAME."},
    {"", "log", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "The log on standard error."},
    {"", "authorities", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, SETTING_REQUIRED, "List of certificate authorities."},
    {"", "templates", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, SETTING_REQUIRED, "List of certificate templates."},
    {"", "endpoints", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, SETTING_REQUIRED, "List of URL paths at which devices enrol."},
    {"", "profiles", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "What stands in the profiles that are made for devices."},
    {"", "ndes", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "List of pages from which MDM products fetch challenges, as from NDES's mscep_admin."},
    {"", "challenge_hooks", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "List of webhooks that answer with a challenge, at /hooks/challenge/NAME."},
    {"", "webhooks", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "List of servers elsewhere that say who may have a certificate, or are told what happened."},
    {"", "upstreams", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "List of other SCEP servers."},

    {"listen", "address", SETTING_TEXT, AT(config, address), 1, 0, NULL, "\"127.0.0.1\"", SETTING_FIXED,
     "Address to listen on; \"0.0.0.0\" or \"::\" for all."},
    {"listen", "port", SETTING_INT, AT(config, port), 0, 65535, NULL, "8080", SETTING_FIXED,
     "TCP port; 0 lets the system choose."},
    {"listen", "url", SETTING_URL, AT(config, url), 0, 0, NULL, NULL, SETTING_REQUIRED,
     "Base address under which devices reach the daemon, without the path of an endpoint."},
    {"listen", "max_connections", SETTING_INT, AT(config, max_connections), 1, 65536, NULL, "1024", 0,
     "Connections at a time; when more wait, idle and slow ones are closed, first of addresses that have many."},
    {"listen", "request_timeout", SETTING_SECONDS, AT(config, request_timeout), 1, HOUR, NULL, "\"30s\"", 0,
     "Time for one whole request to arrive, however slowly it trickles in."},
    {"listen", "max_header", SETTING_INT, AT(config, max_header), 4096, 1048576, NULL, "131072", 0,
     "Octets of request line and headers; a message sent by GET is part of the request line."},
    {"listen", "max_body", SETTING_INT, AT(config, max_body), 4096, 16777216, NULL, "262144", 0,
     "Octets of the body of a POST."},
    {"listen", "max_buffered", SETTING_INT, AT(config, max_buffered), 1048576, 1073741824, NULL, "67108864", 0,
     "Octets of requests kept at a time, of all connections together; above it those with large unfinished requests are closed."},

    {"admin", "address", SETTING_TEXT, AT(config, admin_address), 1, 0, NULL, "\"127.0.0.1\"", SETTING_FIXED,
     "Address of the admin listener: /livez, /readyz, /healthz and /metrics by plain HTTP."},
    {"admin", "port", SETTING_INT, AT(config, admin_port), 0, 65535, NULL, "0", SETTING_FIXED,
     "Its TCP port; 0: there is no admin listener."},
    {"admin", "allow", SETTING_STRINGS, LIST(config, admin_allow), 0, 0, NULL, "[\"127.0.0.0/8\", \"::1\"]", 0,
     "Addresses and networks that may ask there; all others get 403. Must be set when address is not loopback."},

    {"api", "address", SETTING_TEXT, AT(config, api_address), 1, 0, NULL, "\"127.0.0.1\"", SETTING_FIXED,
     "Address of the listener for the REST API (/api/v1), the console (/ui) and the pages of ndes and challenge_hooks."},
    {"api", "port", SETTING_INT, AT(config, api_port), 0, 65535, NULL, "0", SETTING_FIXED,
     "Its TCP port; 0: there is no such listener."},
    {"api", "url", SETTING_URL, AT(config, api_url), 0, 0, NULL, NULL, 0,
     "Base address under which administrators reach it, for links; made of address and port if not set."},
    {"api", "certificate", SETTING_FILE, AT(config, api_certificate), 0, 0, NULL, NULL, 0,
     "PEM certificate of the listener, those of its issuers behind it; without it plain HTTP is spoken, which takes a loopback address."},
    {"api", "key", SETTING_FILE, AT(config, api_key), 0, 0, NULL, NULL, 0,
     "Its private key in PEM, mode 0600."},

    {"signer", "certificates_per_minute", SETTING_INT, AT(config, certificates_per_minute), 0, 1000000, NULL, "0", 0,
     "Certificates that the signer process signs in a minute at most, whoever asks; above it clients are told to come back later (503). 0: any number."},

    {"store", "path", SETTING_PATH, AT(config, store_path), 0, 0, NULL, "\"store\"", SETTING_FIXED,
     "Directory of the store, on a local file system."},
    {"store", "map_size_gib", SETTING_GIB, AT(config, map_size), 1, 16384, NULL, "64", SETTING_FIXED,
     "Address space kept for the store at its start; it grows by itself, and costs nothing until used."},

    {"challenges", "key_file", SETTING_FILE, AT(config, challenge_key_file), 0, 0, NULL, "\"keys/challenge.key\"", 0,
     "Key of the hashes under which challenge passwords are kept; mode 0600."},

    {"attempts", "keep", SETTING_DURATION, AT(config, attempts_keep), HOUR, 3650 * DAY, NULL, "\"90d\"", 0,
     "How long scepctl explain knows what a device tried."},
    {"attempts", "max", SETTING_INT, AT(config, attempts_max), 1000, 100000000, NULL, "1000000", 0,
     "How many attempts are kept; the oldest leave first."},

    {"ocsp", "good", SETTING_DURATION, AT(config, ocsp.rules.good), 20 * MINUTE, 30 * DAY, NULL, "\"1h\"", 0,
     "How long the answer that a certificate is good may be believed; who keeps it may learn so late of a revocation."},
    {"ocsp", "revoked", SETTING_DURATION, AT(config, ocsp.rules.revoked), 20 * MINUTE, 30 * DAY, NULL, "\"24h\"", 0,
     "The same for certificates that are revoked for good."},
    {"ocsp", "hold", SETTING_DURATION, AT(config, ocsp.rules.hold), 20 * MINUTE, 30 * DAY, NULL, "\"1h\"", 0,
     "The same for certificates on hold, which can be released."},
    {"ocsp", "backdate", SETTING_DURATION, AT(config, ocsp.rules.backdate), 0, HOUR, NULL, "\"5m\"", 0,
     "So far back an answer begins, for clients whose clock is slow; never before what it tells came about."},
    {"ocsp", "retention", SETTING_DURATION, AT(config, ocsp.rules.retention), 0, 3660 * DAY, NULL, "\"30d\"", 0,
     "How long after its end a certificate is told of; then it is answered unauthorized."},
    {"ocsp", "archive_cutoff", SETTING_BOOL, AT(config, ocsp.rules.archive_cutoff), 0, 0, NULL, "false", 0,
     "Says in each answer how far back that goes (archiveCutoff)."},
    {"ocsp", "unissued", SETTING_CHOICE, AT(config, ocsp.rules.unissued), 0, 0, unissued_words, "\"unknown\"", 0,
     "What is said of a serial number that the authority never gave out; unauthorized is not signed, and means nothing to clients that let pass what they cannot find out."},
    {"ocsp", "max_age", SETTING_SECONDS, AT(config, ocsp.max_age), 0, DAY, NULL, "\"60s\"", 0,
     "How long HTTP caches and proxies may keep an answer: what they add to the time until a revocation is seen."},
    {"ocsp", "signatures_per_second", SETTING_INT, AT(config, ocsp.per_second), 0, 1000000, NULL, "0", 0,
     "Answers signed in a second at most, shared by address; above it clients are told to try later. Answers that are kept need no signature. 0: as many as can be made."},
    {"ocsp", "cache", SETTING_INT, AT(config, ocsp.cache), 16, 10000000, NULL, "100000", 0,
     "Answers kept at most, each of them 1.5 KB; those that nobody asks for leave first."},
    {"ocsp", "max_ids", SETTING_INT, AT(config, ocsp.max_ids), 1, OCSP_MAX_IDS, NULL, "100", 0,
     "Certificates that one request may ask about."},

    {"log", "level", SETTING_CHOICE, AT(config, log_level), 0, 0, level_words, "\"info\"", 0,
     "Lines above this level are not written."},
    {"log", "format", SETTING_CHOICE, AT(config, log_json), 0, 0, format_words, "\"logfmt\"", 0,
     "How a line is written."},

    {"profiles", "organization", SETTING_TEXT, AT(config, profiles.organization), 0, 0, NULL, "\"\"", 0,
     "Name of the organization that a device's user is shown."},
    {"profiles", "identifier", SETTING_TEXT, AT(config, profiles.identifier), 1, 0, NULL, "\"scepd\"", 0,
     "What identifiers of Apple's profiles begin with, usually a domain backwards, \"org.example.scep\"; letters, digits, '-' and '.'."},
    {"profiles", "certificate", SETTING_FILE, AT(config, profiles.certificate), 0, 0, NULL, NULL, 0,
     "PEM certificate by which Apple's profiles are signed, its chain behind it; without one they are not signed."},
    {"profiles", "key", SETTING_FILE, AT(config, profiles.key), 0, 0, NULL, NULL, 0,
     "Its private key, PEM, mode 0600; never one of an authority."},
    {"profiles", "passphrase_file", SETTING_FILE, AT(config, profiles.passphrase_file), 0, 0, NULL, NULL, 0,
     "File whose first line is the passphrase of that key."},

    {"authorities", "name", SETTING_TEXT, AT(config_authority, name), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Name by which endpoints refer to it."},
    {"authorities", "certificate", SETTING_FILE, AT(config_authority, certificate), 0, 0, NULL, NULL, SETTING_REQUIRED,
     "Certificate of the authority, PEM or DER."},
    {"authorities", "key", SETTING_FILE, AT(config_authority, key), 0, 0, NULL, NULL, SETTING_REQUIRED,
     "Its private key, PEM, mode 0600."},
    {"authorities", "directory", SETTING_PATH, AT(config_authority, directory), 0, 0, NULL, NULL, 0,
     "Where its later keys and certificates are put; without it authorities/NAME beside the store."},
    {"authorities", "passphrase_file", SETTING_FILE, AT(config_authority, passphrase_file), 0, 0, NULL, NULL, 0,
     "File whose first line is the passphrase of the keys."},
    {"authorities", "chain", SETTING_FILES, LIST(config_authority, chain), 0, 0, NULL, NULL, 0,
     "Certificates of the issuers above, nearest first; a file may hold several."},
    {"authorities", "ra_certificate", SETTING_FILE, AT(config_authority, ra_certificate), 0, 0, NULL, NULL, 0,
     "Certificate of the RA key, which opens and signs messages so that the authority's key need not."},
    {"authorities", "ra_key", SETTING_FILE, AT(config_authority, ra_key), 0, 0, NULL, NULL, 0,
     "Private key of the RA certificate."},
    {"authorities", "ra_signing_certificate", SETTING_FILE, AT(config_authority, ra_signing_certificate), 0, 0, NULL, NULL,
     0, "Of an RA pair as NDES has it: the certificate that signs."},
    {"authorities", "ra_signing_key", SETTING_FILE, AT(config_authority, ra_signing_key), 0, 0, NULL, NULL, 0,
     "Private key of the RA that signs."},
    {"authorities", "ra_encryption_certificate", SETTING_FILE, AT(config_authority, ra_encryption_certificate), 0, 0, NULL,
     NULL, 0, "Of an RA pair: the certificate to which clients encrypt."},
    {"authorities", "ra_encryption_key", SETTING_FILE, AT(config_authority, ra_encryption_key), 0, 0, NULL, NULL, 0,
     "Private key of the RA that decrypts."},
    {"authorities", "ca_decrypts", SETTING_BOOL, AT(config_authority, ca_decrypts), 0, 0, NULL, "false", 0,
     "May the authority's own key open messages? RSA only; needed by endpoints with ra = \"none\"."},
    {"authorities", "digest", SETTING_TEXT, AT(config_authority, digest), 0, 0, signing_words, "\"SHA-256\"", 0,
     "Digest of the authority's signatures when its key is RSA; an EC key uses that of its curve."},
    {"authorities", "issuer_url", SETTING_HTTP_URL, AT(config_authority, issuer_url), 0, 0, NULL, NULL, 0,
     "Where the authority's certificate can be fetched; written into certificates."},
    {"authorities", "ocsp_key", SETTING_TEXT, AT(config_authority, ocsp_key), 0, 0, ocsp_key_words, "\"p256\"", 0,
     "Key of the OCSP responder that the authority makes for itself; \"none\": it answers no OCSP."},
    {"authorities", "ocsp_url", SETTING_HTTP_URL, AT(config_authority, ocsp_url), 0, 0, NULL, NULL, 0,
     "Where OCSP is asked; written into certificates."},
    {"authorities", "ocsp_validity", SETTING_DURATION, AT(config_authority, ocsp_validity), HOUR, 29 * DAY, NULL, "\"14d\"", 0,
     "Life of the responder's certificate, renewed at half of it; never beyond the authority's."},
    {"authorities", "ra_automatic", SETTING_BOOL, AT(config_authority, ra_automatic), 0, 0, NULL, "true", 0,
     "Makes new RA certificates before those in use end."},
    {"authorities", "ra_renew_before", SETTING_DURATION, AT(config_authority, ra_renew_before), 0, 731 * DAY, NULL, "\"0s\"", 0,
     "How long before its end an RA certificate is renewed; 0s takes a third of its life."},
    {"authorities", "ra_validity", SETTING_DURATION, AT(config_authority, ra_validity), HOUR, 1096 * DAY, NULL, "\"730d\"", 0,
     "Life of the RA certificates that are made; never beyond the authority's."},
    {"authorities", "crl", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "The revocation list."},
    {"authorities", "rollover", SETTING_GROUP, 0, 0, 0, 0, 0, NULL, NULL, 0, "How the next key of the authority takes over."},

    {"authorities.crl", "url", SETTING_HTTP_URL, AT(config_authority, crl_url), 0, 0, NULL, NULL, 0,
     "Where the list can be fetched; written into certificates."},
    {"authorities.crl", "validity", SETTING_DURATION, AT(config_authority, crl_validity), 10 * MINUTE, 366 * DAY, NULL,
     "\"24h\"", 0, "How long a list stands."},
    {"authorities.crl", "period", SETTING_DURATION, AT(config_authority, crl_period), MINUTE, 366 * DAY, NULL, "\"1h\"", 0,
     "A new list is made this often, and at once after a revocation."},
    {"authorities.crl", "shards", SETTING_INT, AT(config_authority, crl_shards), 1, 128, NULL, "1", 0,
     "New certificates name one of this many partitions of the list; only for relying parties that honour their scope."},
    {"authorities.crl", "delta", SETTING_BOOL, AT(config_authority, crl_delta), 0, 0, NULL, "false", 0,
     "Publishes beside the complete list what changed since an older one."},

    {"authorities.rollover", "automatic", SETTING_BOOL, AT(config_authority, rollover_automatic), 0, 0, NULL, "true", 0,
     "Makes the next CA key and certificate by itself, and lets it take over; otherwise scepctl ca rollover does."},
    {"authorities.rollover", "announce", SETTING_DURATION, AT(config_authority, rollover_announce), 0, 3660 * DAY, NULL,
     "\"90d\"", 0, "The next CA is made, and announced to devices, this long before it takes over."},
    {"authorities.rollover", "before", SETTING_DURATION, AT(config_authority, rollover_before), 0, 3660 * DAY, NULL, "\"0s\"",
     0, "It takes over this long before the current one ends; 0s: so early that every certificate has its whole life."},
    {"authorities.rollover", "validity", SETTING_DURATION, AT(config_authority, rollover_validity), 0, 9150 * DAY, NULL,
     "\"0s\"", 0, "Life of the next CA certificate; 0s: as long as that of the current one."},
    {"authorities.rollover", "root_key", SETTING_PATH, AT(config_authority, root_key), 0, 0, NULL, NULL, 0,
     "Private key of the issuer above (chain), if it is kept on this machine: the next CA is then issued under it."},

    {"templates", "name", SETTING_TEXT, AT(template, name), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Name by which endpoints and challenges refer to it."},
    {"templates", "subject", SETTING_STRINGS, LIST(template, subject), 0, 0, NULL, NULL, 0,
     "Patterns that the attributes of the requested subject must match; one ending in ! must be met."},
    {"templates", "subject_build", SETTING_STRING, AT(template, subject_build), 0, 0, NULL, NULL, 0,
     "Builds the subject anew, with wildcards such as ${csr.cn}."},
    {"templates", "subject_surplus", SETTING_CHOICE, AT(template, subject_surplus), 0, 0, surplus_words, "\"refuse\"", 0,
     "What happens with an attribute that no pattern lets through."},
    {"templates", "empty_subject", SETTING_BOOL, AT(template, empty_subject), 0, 0, NULL, "false", 0,
     "Allows a certificate with alternative names only."},
    {"templates", "san", SETTING_STRINGS, LIST(template, san), 0, 0, NULL, NULL, 0,
     "Patterns for subject alternative names: DNS:, email:, URI:, IP:, UPN:; one ending in ! must be met."},
    {"templates", "san_build", SETTING_STRINGS, LIST(template, san_build), 0, 0, NULL, NULL, 0,
     "Alternative names to build, with the same wildcards."},
    {"templates", "san_surplus", SETTING_CHOICE, AT(template, san_surplus), 0, 0, surplus_words, "\"refuse\"", 0,
     "What happens with a name that no pattern lets through."},
    {"templates", "rsa", SETTING_RANGE, offsetof(struct template, rsa_min), 2 * sizeof(unsigned), 0, 1024, 8192, NULL,
     "[2048, 4096]", 0,
     "Smallest and largest RSA key in bits; [] allows none; below 2048 only for devices that make no others (scepd -t warns)."},
    {"templates", "csr_digests", SETTING_SET, AT(template, csr_digests), 0, 0, csr_digest_words,
     "[\"SHA-1\", \"SHA-224\", \"SHA-256\", \"SHA-384\", \"SHA-512\"]", 0,
     "Digests that a certification request may be signed with, of those that its endpoint takes."},
    {"templates", "curves", SETTING_SET, AT(template, curves), 0, 0, curve_words, "[\"P-256\", \"P-384\"]", 0,
     "Curves of EC keys; [] allows none."},
    {"templates", "key_reuse", SETTING_CHOICE, AT(template, key_reuse), 0, 0, key_reuse_words, "\"same-subject\"", 0,
     "Which certificates of one subject may have the same key: all, a renewal and what it renews, or never two."},
    {"templates", "key_usage", SETTING_SET, AT(template, key_usage), 0, 0, usage_words, "\"both\"", 0,
     "Key usage given at most."},
    {"templates", "ext_key_usage", SETTING_OIDS, AT(template, eku), 0, 0, NULL, "[\"clientAuth\"]", 0,
     "Extended key usages given at most, by name or dotted OID."},
    {"templates", "usage_surplus", SETTING_CHOICE, AT(template, usage_surplus), 0, 0, surplus_words, "\"drop\"", 0,
     "What happens with a usage beyond that."},
    {"templates", "honour_requested_usage", SETTING_BOOL, AT(template, honour_requested_usage), 0, 0, NULL, "true", 0,
     "Narrows the usages to those that the request asks for."},
    {"templates", "validity", SETTING_DURATION, AT(template, validity), 5 * MINUTE, LONGEST_DEVICE_VALIDITY, NULL, "\"365d\"",
     0, "Life of a certificate; never beyond its issuer's."},
    {"templates", "min_validity", SETTING_DURATION, AT(template, min_validity), 0, LONGEST_DEVICE_VALIDITY, NULL, "\"1d\"",
     0, "Refuse rather than issue for less, when the authority itself ends soon."},
    {"templates", "backdate", SETTING_DURATION, AT(template, backdate), 0, DAY, NULL, "\"1h\"", 0,
     "The certificate begins this long ago, for devices whose clock is slow."},
    {"templates", "renew_before", SETTING_DURATION, AT(template, renew_before), 0, LONGEST_DEVICE_VALIDITY, NULL, "\"60d\"",
     0, "The renewal window opens this long before the end."},
    {"templates", "renew_grace", SETTING_DURATION, AT(template, renew_grace), 0, 366 * DAY, NULL, "\"0s\"", 0,
     "Renewal is still allowed this long after the end."},
    {"templates", "extensions", SETTING_OIDS, AT(template, extensions), 0, 0, NULL, NULL, 0,
     "Other extensions of the request that are passed on, dotted OIDs."},
    {"templates", "ms_sid", SETTING_BOOL, AT(template, ms_sid), 0, 0, NULL, "false", 0,
     "Passes Microsoft's SID extension on. Whoever may choose it may become anybody in the domain."},

    {"endpoints", "path", SETTING_TEXT, AT(config_endpoint, path), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "URL path, such as \"/scep\"; also the endpoint's name everywhere."},
    {"endpoints", "aliases", SETTING_STRINGS, offsetof(struct config_endpoint, alias),
     sizeof(((struct config_endpoint *)0)->alias), offsetof(struct config_endpoint, alias_n), 0, 0, NULL, NULL, 0,
     "Further paths that mean the same."},
    {"endpoints", "authority", SETTING_TEXT, AT(config_endpoint, authority), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Name of the authority that issues."},
    {"endpoints", "template", SETTING_TEXT, AT(config_endpoint, template_name), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Name of the template."},
    {"endpoints", "ra", SETTING_CHOICE, AT(config_endpoint, ra), 0, 0, ra_words, "\"single\"", 0,
     "Whose keys messages are for: one RA certificate, NDES's pair, or the authority itself."},
    {"endpoints", "challenge", SETTING_SET, AT(config_endpoint, challenges), 0, 0, challenge_words, "\"one-time\"", 0,
     "Kinds of challenge passwords that are accepted."},
    {"endpoints", "static_challenge_file", SETTING_FILE, AT(config_endpoint, static_challenge_file), 0, 0, NULL, NULL, 0,
     "File whose first line is the static challenge, 8 characters or more; mode 0600."},
    {"endpoints", "approval", SETTING_CHOICE, AT(config_endpoint, manual), 0, 0, approval_words, "\"automatic\"", 0,
     "With manual, requests wait until scepctl request approve."},
    {"endpoints", "pending_ttl", SETTING_DURATION, AT(config_endpoint, pending_ttl), MINUTE, 366 * DAY, NULL, "\"7d\"", 0,
     "A waiting request expires after this time."},
    {"endpoints", "max_pending", SETTING_INT, AT(config_endpoint, max_pending), 1, 1000000, NULL, "10000", 0,
     "Requests that may wait for approval at a time; further ones are refused."},
    {"endpoints", "issue_to_anyone_without_a_challenge", SETTING_BOOL, AT(config_endpoint, anonymous), 0, 0, NULL, "false",
     0, "Needed for challenge = \"none\" with automatic approval: whoever reaches the port gets a certificate."},
    {"endpoints", "renewal", SETTING_BOOL, AT(config_endpoint, renewal), 0, 0, NULL, "true", 0,
     "Lets a certificate issued here renew itself."},
    {"endpoints", "renewal_challenge", SETTING_CHOICE, AT(config_endpoint, renewal_challenge), 0, 0, renewal_words,
     "\"ignore\"", 0, "What becomes of a challenge in a renewal: not looked at, checked if there, or needed."},
    {"endpoints", "duplicates", SETTING_CHOICE, AT(config_endpoint, duplicates), 0, 0, duplicates_words, "\"allow\"", 0,
     "A first enrolment for a subject that has a valid certificate of the template: replace revokes the old one."},
    {"endpoints", "any_signer_key", SETTING_BOOL, AT(config_endpoint, any_signer_key), 0, 0, NULL, "false", 0,
     "Accepts messages signed with another key than the requested one, as some proxies send them."},
    {"endpoints", "digests", SETTING_SET, AT(config_endpoint, digests), 0, 0, digest_words,
     "[\"SHA-1\", \"SHA-256\", \"SHA-384\", \"SHA-512\"]", 0, "Digests that messages may use."},
    {"endpoints", "ciphers", SETTING_SET, AT(config_endpoint, ciphers), 0, 0, cipher_words,
     "[\"3DES\", \"AES-128\", \"AES-192\", \"AES-256\"]", 0, "Ciphers that messages may use."},
    {"endpoints", "legacy", SETTING_BOOL, AT(config_endpoint, legacy), 0, 0, NULL, "false", 0,
     "Allows MD5 and DES to be listed, for devices that know nothing better."},
    {"endpoints", "post_only", SETTING_BOOL, AT(config_endpoint, post_only), 0, 0, NULL, "false", 0,
     "Refuses messages sent by GET, which stand in the logs of proxies; certmonger and old Cisco devices send them so."},
    {"endpoints", "include_chain", SETTING_BOOL, AT(config_endpoint, include_chain), 0, 0, NULL, "false", 0,
     "Sends the authority's certificates along with the issued one."},
    {"endpoints", "microsoft_error", SETTING_BOOL, AT(config_endpoint, microsoft_error), 0, 0, NULL, "true", 0,
     "Adds Microsoft's error number to a FAILURE, which Windows shows; other clients pass over it."},
    {"endpoints", "password_recipient", SETTING_BOOL, AT(config_endpoint, password_recipient), 0, 0, NULL, "false", 0,
     "Takes messages signed with an EC key and encrypts the answer under the challenge in them; few clients read that."},
    {"endpoints", "strict_nonces", SETTING_BOOL, AT(config_endpoint, strict_nonces), 0, 0, NULL, "false", 0,
     "Refuses a message whose senderNonce is missing or has not 16 octets; old Apple devices send 8."},
    {"endpoints", "max_clock_difference", SETTING_DURATION, AT(config_endpoint, max_clock_difference), 0, 366 * DAY, NULL,
     "\"0s\"", 0,
     "Refuses a message whose signingTime is further from the clock than this; with 0s it is not looked at."},
    {"endpoints", "same_signer_subject", SETTING_BOOL, AT(config_endpoint, same_signer_subject), 0, 0, NULL, "false", 0,
     "Wants the self-signed certificate of a first request to have the subject of the request."},
    {"endpoints", "one_recipient", SETTING_BOOL, AT(config_endpoint, one_recipient), 0, 0, NULL, "false", 0,
     "Refuses a message that is encrypted to several certificates, as proxies send it that do not know which is the RA."},
    {"endpoints", "odd_message_digest", SETTING_BOOL, AT(config_endpoint, odd_message_digest), 0, 0, NULL, "false", 0,
     "Takes a messageDigest over the encoded content too, as Google's connector for ChromeOS computes it."},
    {"endpoints", "any_csr_version", SETTING_BOOL, AT(config_endpoint, any_csr_version), 0, 0, NULL, "false", 0,
     "Takes a certification request of another version than 0, or of none."},
    {"endpoints", "absent_content", SETTING_BOOL, AT(config_endpoint, absent_content), 0, 0, NULL, "false", 0,
     "Sends PENDING and FAILURE without any content, for clients that stumble over an empty one."},
    {"endpoints", "upstream", SETTING_TEXT, AT(config_endpoint, upstream), 1, 0, NULL, NULL, 0,
     "Name of the upstream that everything asked here is handed on to; nothing is issued here then."},
    {"endpoints", "validate", SETTING_TEXT, AT(config_endpoint, validate), 1, 0, NULL, NULL, 0,
     "Name of the webhook, of kind validate or intune, that is asked before a certificate is given."},
    {"endpoints", "notify", SETTING_STRINGS, LIST(config_endpoint, notify), 0, 0, NULL, NULL, 0,
     "Names of webhooks, of kind notify, that are told of each certificate, each refusal and each revocation."},

    {"webhooks", "name", SETTING_TEXT, AT(config_webhook, name), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Name by which endpoints refer to it."},
    {"webhooks", "url", SETTING_URL, AT(config_webhook, url), 1, 0, NULL, NULL, 0,
     "Where it is asked; needed by kinds validate and notify."},
    {"webhooks", "kind", SETTING_CHOICE, AT(config_webhook, kind), 0, 0, webhook_words, "\"validate\"", 0,
     "It decides who may have a certificate, it is told what happened, or it is Microsoft Intune, which does both."},
    {"webhooks", "secret_file", SETTING_FILE, AT(config_webhook, secret_file), 0, 0, NULL, NULL, 0,
     "File with the secret that signs what is sent, 16 characters or more, a second line while it is being changed; for intune the client secret; mode 0600."},
    {"webhooks", "certificate_file", SETTING_FILE, AT(config_webhook, certificate_file), 0, 0, NULL, NULL, 0,
     "Intune: PEM certificate that the application is registered with and signs in by, instead of secret_file."},
    {"webhooks", "key_file", SETTING_FILE, AT(config_webhook, key_file), 0, 0, NULL, NULL, 0,
     "Intune: its key, RSA of 2048 bits or more, PEM, not encrypted; mode 0600."},
    {"webhooks", "ca_file", SETTING_FILE, AT(config_webhook, ca_file), 0, 0, NULL, NULL, 0,
     "PEM certificates that the server's is verified by, instead of those of the system."},
    {"webhooks", "timeout", SETTING_SECONDS, AT(config_webhook, timeout), 1, MINUTE, NULL, "\"10s\"", 0,
     "An answer comes within this time, all tries together, or there is none."},
    {"webhooks", "retries", SETTING_INT, AT(config_webhook, retries), 0, 10, NULL, "2", 0,
     "Further tries within the timeout, when no connection came about or the server answered that it cannot."},
    {"webhooks", "on_failure", SETTING_CHOICE, AT(config_webhook, refuse_on_failure), 0, 0, failure_words, "\"busy\"", 0,
     "What a device gets when validation gave no answer: busy asks it to come again, refuse is final."},
    {"webhooks", "remember", SETTING_DURATION, AT(config_webhook, remember), 0, HOUR, NULL, "\"1m\"", 0,
     "An answer holds this long for the same request of the same transaction."},
    {"webhooks", "pass_challenge", SETTING_BOOL, AT(config_webhook, pass_challenge), 0, 0, NULL, "false", 0,
     "Sends the challenge along, in its own member and in the request."},
    {"webhooks", "insecure", SETTING_BOOL, AT(config_webhook, insecure), 0, 0, NULL, "false", 0,
     "Allows an http:// address that is not on this machine: whoever is between reads and forges what is said."},
    {"webhooks", "tenant", SETTING_TEXT, AT(config_webhook, tenant), 1, 0, NULL, NULL, 0,
     "Intune: the directory (tenant) that the application is registered in."},
    {"webhooks", "client_id", SETTING_TEXT, AT(config_webhook, client_id), 1, 0, NULL, NULL, 0,
     "Intune: the application (client) ID."},
    {"webhooks", "login_url", SETTING_URL, AT(config_webhook, login_url), 0, 0, NULL, "\"https://login.microsoftonline.com\"", 0,
     "Intune: where tokens are had, another one for national clouds."},
    {"webhooks", "graph_url", SETTING_URL, AT(config_webhook, graph_url), 0, 0, NULL, "\"https://graph.microsoft.com\"", 0,
     "Intune: where the address of the validation service is found."},
    {"webhooks", "wait_for_notification", SETTING_BOOL, AT(config_webhook, wait_for_notification), 0, 0, NULL, "true", 0,
     "Intune: a certificate is handed out only when Intune has taken the notice of it; until then the device is told PENDING."},
    {"webhooks", "revocations", SETTING_DURATION, AT(config_webhook, revocations), 0, DAY, NULL, "\"0s\"", 0,
     "Intune: how often the certificates are asked for that it wants revoked; 0s: never."},

    {"upstreams", "name", SETTING_TEXT, AT(config_upstream, name), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Name by which endpoints refer to it."},
    {"upstreams", "url", SETTING_URL, AT(config_upstream, url), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "The SCEP URL of the other server."},
    {"upstreams", "admin_url", SETTING_URL, AT(config_upstream, admin_url), 1, 0, NULL, NULL, 0,
     "Its page of challenges, such as https://ndes.example.org/certsrv/mscep_admin/."},
    {"upstreams", "user", SETTING_TEXT, AT(config_upstream, user), 1, 0, NULL, NULL, 0,
     "Who asks for that page, as user, DOMAIN\\user or user@domain."},
    {"upstreams", "password_file", SETTING_FILE, AT(config_upstream, password_file), 0, 0, NULL, NULL, 0,
     "File whose first line is the password; mode 0600."},
    {"upstreams", "auth", SETTING_CHOICE, AT(config_upstream, auth), 0, 0, auth_words, "\"basic\"", 0,
     "How it is shown to that page."},
    {"upstreams", "ca_certificate", SETTING_FILE, AT(config_upstream, ca_certificate), 0, 0, NULL, NULL, 0,
     "PEM certificate of its authority, those above it behind it: what profiles tell devices to trust."},
    {"upstreams", "ca_file", SETTING_FILE, AT(config_upstream, ca_file), 0, 0, NULL, NULL, 0,
     "PEM certificates that the server's is verified by, instead of those of the system."},
    {"upstreams", "timeout", SETTING_SECONDS, AT(config_upstream, timeout), 1, 5 * MINUTE, NULL, "\"30s\"", 0,
     "An answer comes within this time, all tries together, or there is none."},
    {"upstreams", "retries", SETTING_INT, AT(config_upstream, retries), 0, 10, NULL, "2", 0,
     "Further tries within the timeout, of what may be asked twice."},
    {"upstreams", "insecure", SETTING_BOOL, AT(config_upstream, insecure), 0, 0, NULL, "false", 0,
     "Allows an http:// admin_url that is not on this machine: the password can be read on its way."},
    {"ndes", "endpoint", SETTING_TEXT, AT(config_ndes, endpoint), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Path of the endpoint that the challenges of the page are for."},
    {"ndes", "path", SETTING_TEXT, AT(config_ndes, path), 1, 0, NULL, "\"/certsrv/mscep_admin\"", 0,
     "URL path of the page; any case, and / or /mscep.dll behind it, are understood."},
    {"ndes", "encoding", SETTING_CHOICE, AT(config_ndes, encoding), 0, 0, encoding_words, "\"utf-16\"", 0,
     "How the page is written: UTF-16LE with a byte order mark, without one as NDES often has it, or UTF-8."},
    {"ndes", "password_length", SETTING_INT, AT(config_ndes, password_length), CHALLENGE_HEX_MIN, CHALLENGE_HEX_MAX, NULL, "8", 0,
     "Octets of a challenge; the page shows twice as many hexadecimal digits."},
    {"ndes", "validity", SETTING_DURATION, AT(config_ndes, validity), MINUTE, 366 * DAY, NULL, "\"60m\"", 0,
     "A challenge that nobody used expires after this time."},
    {"ndes", "cache", SETTING_INT, AT(config_ndes, cache), 1, 1000000, NULL, "10000", 0,
     "Challenges of the page that may be open at a time: neither used nor expired; when there are so many it says that the password cache is full."},
    {"ndes", "single_password", SETTING_BOOL, AT(config_ndes, single_password), 0, 0, NULL, "false", 0,
     "Shows the endpoint's static challenge, the same for all devices, instead of a fresh one."},

    {"challenge_hooks", "name", SETTING_TEXT, AT(config_challenge_hook, name), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Last part of its path: letters, digits, - and _."},
    {"challenge_hooks", "endpoint", SETTING_TEXT, AT(config_challenge_hook, endpoint), 1, 0, NULL, NULL, SETTING_REQUIRED,
     "Path of the endpoint that its challenges are for."},
    {"challenge_hooks", "validity", SETTING_DURATION, AT(config_challenge_hook, validity), MINUTE, 366 * DAY, NULL, "\"60m\"", 0,
     "A challenge that nobody used expires after this time."},
    {"challenge_hooks", "cache", SETTING_INT, AT(config_challenge_hook, cache), 1, 1000000, NULL, "10000", 0,
     "Challenges of the webhook that may be open at a time; further calls are answered 503."},
    {NULL, NULL, SETTING_TEXT, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL},
};
/* clang-format on */

const char *setting_type_name(enum setting_type type)
{
    switch (type) {
    case SETTING_TEXT:
    case SETTING_STRING:
        return "text";
    case SETTING_STRINGS:
        return "list of texts";
    case SETTING_PATH:
        return "path";
    case SETTING_FILE:
        return "file";
    case SETTING_FILES:
        return "list of files";
    case SETTING_URL:
        return "http or https URL";
    case SETTING_HTTP_URL:
        return "http URL";
    case SETTING_BOOL:
        return "true or false";
    case SETTING_INT:
        return "number";
    case SETTING_GIB:
        return "number of GiB";
    case SETTING_SECONDS:
    case SETTING_DURATION:
        return "duration";
    case SETTING_CHOICE:
        return "word";
    case SETTING_SET:
        return "word or list of words";
    case SETTING_RANGE:
        return "list of two numbers";
    case SETTING_OIDS:
        return "list of names or OIDs";
    case SETTING_GROUP:
        return "section";
    }
    return "";
}

/* The largest unit that leaves no rest. */
static void duration_text(int64_t t, char *out, size_t cap)
{
    if (t % DAY == 0 && t)
        snprintf(out, cap, "%lldd", (long long)(t / DAY));
    else if (t % HOUR == 0 && t)
        snprintf(out, cap, "%lldh", (long long)(t / HOUR));
    else if (t % MINUTE == 0 && t)
        snprintf(out, cap, "%lldm", (long long)(t / MINUTE));
    else
        snprintf(out, cap, "%llds", (long long)t);
}

const char *setting_range_text(const struct setting *s, char *out, size_t cap)
{
    out[0] = '\0';
    if (s->words) {
        for (const struct setting_word *w = s->words; w->word; w++) {
            size_t n = strlen(out);
            snprintf(out + n, cap - n, "%s%s", n ? ", " : "", w->word);
        }
    } else if (s->type == SETTING_SECONDS || s->type == SETTING_DURATION) {
        char low[32], high[32];
        duration_text(s->min, low, sizeof low);
        duration_text(s->max, high, sizeof high);
        snprintf(out, cap, "%s to %s", low, high);
    } else if (s->type == SETTING_INT || s->type == SETTING_GIB || s->type == SETTING_RANGE) {
        snprintf(out, cap, "%lld to %lld", (long long)s->min, (long long)s->max);
    }
    return out;
}

const struct setting *config_schema_section(const char *section)
{
    for (const struct setting *s = config_schema; s->key; s++)
        if (strcmp(s->section, section) == 0)
            return s;
    return NULL;
}
