#include "base/reason_help.h"

#include <stdio.h>

/* ---- what the devices show ---- */

static const char busy_screen[] =
    "HTTP 503 with Retry-After: clients that know it come again by themselves; "
    "iPhone and Mac: \"The SCEP server returned an invalid response.\"; "
    "Windows: 0x801901f7, service unavailable (503)";
static const char http_screen[] =
    "iPhone and Mac: \"The SCEP server returned an invalid response.\"; Windows: event 86, "
    "0x80190190, bad request (400); strongSwan, certmonger: the HTTP status";

/* ---- the rows ---- */

static const struct reason_help helps[REASON_COUNT] = {
    [REASON_NONE] = {"", "", ""},
    [REASON_CHALLENGE_USED] =
        {"A profile was installed twice, or a message was made anew instead of sent again: the "
         "second try has another key or other names, so it is a new request and no retry of the "
         "first.",
         "scepctl challenge new {for}, and a new profile with it, for the old one holds the used "
         "challenge (scepctl profile new makes both at once)[; where the MDM sends one profile "
         "several times, scepctl challenge new --uses 3|]. scepctl challenge show {challenge} "
         "tells who used it.",
         NULL},
    [REASON_CHALLENGE_EXPIRED] = {"The device came later than the challenge lives: it was offline, "
                                  "or the profile lay about.",
                                  "scepctl challenge new --expires 7d {for}, and a new profile "
                                  "with it; or let the MDM fetch the challenge when the "
                                  "profile is installed.",
                                  NULL},
    [REASON_CHALLENGE_REVOKED] =
        {"An administrator made this challenge worthless, and a device still has it.",
         "scepctl challenge show {challenge} tells when; scepctl audit list tells who. If the "
         "device is to have a certificate: scepctl challenge new {for}.",
         NULL},
    [REASON_CHALLENGE_UNKNOWN] =
        {"The password is none of this store's: mistyped, copied with a blank or a line end, made "
         "for another server, "
         "forgotten 90 days after its end, or the field of the profile holds a variable that was "
         "never filled in.",
         "Copy it again without blanks or line end; compare the URL's path with {endpoint}; on "
         "Windows only the CSP "
         "node itself wants base64. Else scepctl challenge new {for}.",
         NULL},
    [REASON_CHALLENGE_BOUND] =
        {"The challenge was made for one device, and the request asks for another name, template "
         "or endpoint: often the MDM filled in another name than the administrator expected.",
         "scepctl challenge show {challenge} tells what it is bound to; [make one for the name "
         "that the device asks for: scepctl challenge new {for}|scepctl policy check {policy} "
         "{device} what the device gets by its policy. A profile of scepctl profile new asks for "
         "just that].",
         NULL},
    [REASON_CHALLENGE_MISSING] = {"The challenge field of the profile is empty; or a device wanted "
                                  "to renew, and its old certificate is not known "
                                  "here, so that its request counts as a first one.",
                                  "Put a password of scepctl challenge new {for} into the "
                                  "profile. For a renewal: was the old certificate issued by "
                                  "another authority? scepctl cert list -s {subject}.",
                                  NULL},
    [REASON_SUBJECT_FORBIDDEN] = {"The template does not allow this subject: another order, case, "
                                  "blank or attribute than it names.",
                                  "Compare {subject} with the subject patterns of template "
                                  "{template} in scepd.conf, and correct the profile or "
                                  "the template.",
                                  NULL},
    [REASON_SUBJECT_MISSING] = {"The template requires an attribute (written with a ! in its "
                                "pattern) that the request does not have.",
                                "Add the attribute to the profile's subject, or take the ! from "
                                "the pattern of template {template}.",
                                NULL},
    [REASON_SUBJECT_PLACEHOLDER] =
        {"A variable such as %ComputerName% or $SERIALNUMBER was sent as it stands: this MDM does "
         "not know it, or it "
         "was typed with other brackets.",
         "Correct the variable in the profile; the MDM's manual lists those it knows.", NULL},
    [REASON_SAN_MISSING] =
        {"The template requires an alternative name that the request does not have.",
         "Add the name to the profile (Wi-Fi on Android and logon on Windows need one), or take "
         "the ! from the pattern "
         "of template {template}.",
         NULL},
    [REASON_SAN_FORBIDDEN] =
        {"The template does not allow one of the alternative names that were asked for.",
         "Compare the names with the san patterns of template {template}, and correct the profile "
         "or the template.",
         NULL},
    [REASON_KEY_SMALL] =
        {"The key is smaller or larger than the template allows. Apple takes 1024 bits when the "
         "profile says nothing.",
         "Set Keysize 2048 (Apple), KeyLength 2048 (Windows), rsakeypair NAME 2048 (Cisco).", NULL},
    [REASON_KEY_TYPE] = {"The kind of key or its curve is none that template {template} allows.",
                         "Choose another key type in the profile, or allow it: rsa and curves of "
                         "template {template}.",
                         NULL},
    [REASON_KEY_WEAK] = {"The key has a known weakness: a bad random generator, a known defect of "
                         "its maker, a point off its curve.",
                         "Update the device's software, then let it make a new key. Several "
                         "devices with such keys have the same defect.",
                         NULL},
    [REASON_KEY_REUSED] = {"The same key asks for a second name: an image was cloned with its key, "
                           "or the device keeps one key for all.",
                           "Let the device make a new key (delete the old one); for a new name of "
                           "the same device too.",
                           NULL},
    [REASON_KEY_AGAIN] =
        {"Template {template} wants a new key, and the device sent the one that it has a "
         "certificate for.",
         "Let the device make a new key; or a milder key_reuse in template {template}.", NULL},
    [REASON_KEY_BANNED] = {"The SHA-256 of the key stands in the file that banned_keys names: it "
                           "is known to be weak, or "
                           "somebody else has it.",
                           "Let the device make a new key; if the line is a mistake, take it out "
                           "of the file and reload.",
                           NULL},
    [REASON_KEY_COMPROMISED] =
        {"A certificate of this key was revoked because the key got into other hands; no "
         "certificate is made for it again.",
         "Let the device make a new key; scepctl audit list tells who revoked it.", NULL},
    [REASON_DUPLICATE_SUBJECT] = {"The device has a valid certificate, lost it or was set up anew, "
                                  "and the endpoint gives no second one; or two "
                                  "devices have the same name.",
                                  "scepctl cert list -s {subject}; revoke the old one with scepctl "
                                  "cert revoke SERIAL --reason superseded, or "
                                  "duplicates = \"replace\" at endpoint {endpoint}.",
                                  NULL},
    [REASON_USAGE_FORBIDDEN] =
        {"The request asks for a usage (a CA, code signing, another "
         "purpose) that no certificate of template {template} "
         "gets. When nobody expects that, somebody tries something.",
         "If it is meant: ext_key_usage and usage_surplus of template {template}. "
         "If not: look at {peer}.",
         NULL},
    [REASON_ALGORITHM_REFUSED] =
        {"The client did not look at GetCACaps, or knows nothing better than MD5 and DES.",
         "Update the device; or give old devices an endpoint of their own with legacy = true, and "
         "its digests and "
         "ciphers.",
         NULL},
    [REASON_MESSAGE_NOT_FOR_US] = {"The message is encrypted to a certificate that this endpoint "
                                   "does not have (any more): the device or a proxy "
                                   "keeps an old one, or it is made for another server.",
                                   "Let the device fetch the CA certificates again (GetCACert); "
                                   "after a move, import the old RA key.",
                                   NULL},
    [REASON_MESSAGE_TRUNCATED] = {"A proxy or a client cut the message, often a GET with a URL "
                                  "that is too long for something in between.",
                                  "scepctl probe URL from the device's network; POSTPKIOperation "
                                  "is announced, so clients may post instead.",
                                  NULL},
    [REASON_MESSAGE_MALFORMED] = {"What arrived is no SCEP message: another protocol, a defect of "
                                  "the client, or somebody who looks around.",
                                  "scepctl explain {peer} shows what else came from there.", NULL},
    [REASON_MESSAGE_UNSUPPORTED] =
        {"The client sent a kind of message, or a part of one, that no server has to understand.",
         "Look for an update of the client; the detail names what it is.", NULL},
    [REASON_MESSAGE_NONCE] =
        {"The endpoint is strict about nonces, and the message has none or one of another length.",
         "strict_nonces = false at endpoint {endpoint}, where its clients need that "
         "(scepd.conf(5)).",
         NULL},
    [REASON_MESSAGE_TIME] =
        {"The endpoint is strict about time, and the device's clock is off, or the message is an "
         "old one that somebody "
         "sends again.",
         "Set the device's clock (NTP), or a larger max_clock_difference at endpoint {endpoint}.",
         NULL},
    [REASON_SIGNATURE_BAD] = {"The message was changed on its way, or the client signs wrongly.",
                              "scepctl probe URL from the device's network: is something in "
                              "between that rewrites bodies?",
                              NULL},
    [REASON_CSR_MALFORMED] =
        {"The certification request inside the message has a defect: the client's encoder made it.",
         "Look for an update of the client; the detail names the part.", NULL},
    [REASON_CSR_SIGNATURE] = {"The request is not signed by the key it asks a certificate for.",
                              "A defect of the client, or somebody who asks for a certificate of "
                              "another's key: look at {peer}.",
                              NULL},
    [REASON_CSR_SIGNER] = {"The outer message is signed with another key than the request's: a "
                           "proxy signs for its devices.",
                           "For a proxy: any_signer_key = true at endpoint {endpoint}. For a "
                           "device: a defect of the client.",
                           NULL},
    [REASON_CSR_SIGNER_SUBJECT] =
        {"The endpoint is strict, and the certificate that signs the message has another subject "
         "than the request.",
         "Many clients do that without harm: same_signer_subject = false at endpoint {endpoint}.",
         NULL},
    [REASON_TRANSACTION_REUSED] = {"The client numbers its transactions badly: the same ID came "
                                   "before, for another key or other names.",
                                   "Let the device begin a new transaction; where its ID is made "
                                   "of its key, let it make a new key, or renew "
                                   "with the old certificate.",
                                   NULL},
    [REASON_TRANSACTION_REVOKED] =
        {"A device asks again for the certificate that it once got, and that was revoked since.",
         "If it is to have a new one: a new key, and scepctl challenge new {for}.", NULL},
    [REASON_RENEWAL_DISABLED] =
        {"The device renews, and the endpoint does not.",
         "renewal = true at endpoint {endpoint}, or scepctl challenge new {for}.",
         NULL},
    [REASON_RENEWAL_SIGNER_REVOKED] =
        {"The certificate with which the device wants to renew was revoked or is on hold.",
         "scepctl cert show {signer} tells when, why and by whom. If the device is to go on: "
         "scepctl challenge new {for}, and a new profile with it.",
         "a profile's update fails; Windows event 87: \"The certificate is revoked.\" "
         "(0x80092010); Cisco: "
         "%PKI-6-CERTREJECT; strongSwan: failInfo badCertId; certmonger: CA_REJECTED"},
    [REASON_RENEWAL_SIGNER_EXPIRED] =
        {"The device was off for longer than its certificate and the grace after it.",
         "scepctl challenge new {for}; or a longer renew_grace in template {template}.",
         NULL},
    [REASON_RENEWAL_SIGNER_UNKNOWN] =
        {"The certificate that signs the renewal is not in this store: issued by another "
         "authority, at another endpoint, "
         "or before the store was restored.",
         "Import the authority it came from, or scepctl challenge new {for}.", NULL},
    [REASON_RENEWAL_SUBJECT] =
        {"A renewal keeps its names, and this one asks for others: the device was renamed, or its "
         "profile changed.",
         "New names need a new challenge: scepctl challenge new {for}.", NULL},
    [REASON_RENEWAL_UNASSIGNED] =
        {"The certificate was made by a policy that the device does not have any more: the policy, "
         "a group, or the device in a group was taken away, or the policy was removed.",
         "scepctl policy history {policy} tells who did it; if the device is to have it again: "
         "scepctl policy assign {policy} {device}. The device may try again then.",
         NULL},
    [REASON_DEVICE_UNKNOWN] =
        {"The device was retired and forgotten since its challenge or certificate was made.",
         "scepctl device new, then scepctl profile new: the device needs a new profile.", NULL},
    [REASON_DEVICE_RETIRED] =
        {"An administrator retired the device: it is to have no certificates any more.",
         "scepctl device history {device} tells who did it. A device that comes back is a new one: "
         "scepctl device new.",
         NULL},
    [REASON_DEVICE_ISOLATED] =
        {"An administrator isolated the device: it may renew what it has and enrols nothing new.",
         "scepctl device history {device} tells who did it and why; scepctl device release "
         "{device} "
         "ends it.",
         NULL},
    [REASON_POLICY_PAUSED] =
        {"An administrator paused the policy: no device enrols or renews by it meanwhile.",
         "scepctl policy history {policy} tells who did it; scepctl policy resume {policy} "
         "ends it, and devices may try again.",
         NULL},
    [REASON_POLICY_UNASSIGNED] =
        {"A challenge was made for this device and policy, and the policy was taken away from the "
         "device, or from its group, before the device came.",
         "scepctl device show {device} lists what it has; scepctl policy assign {policy} {device} "
         "gives it back, and the device needs a profile with a new challenge.",
         NULL},
    [REASON_RENEWAL_TOO_EARLY] = {"The device renews before the window that the template opens.",
                                  "Wait, or widen renew_before of template {template}.", NULL},
    [REASON_REQUEST_UNKNOWN] =
        {"The device polls for a request that this endpoint has never seen: another URL, or a "
         "store that was restored.",
         "Let the device send its request again; compare the URL's path with {endpoint}.", NULL},
    [REASON_REQUEST_DENIED] =
        {"An administrator said no; the words in the detail are his.",
         "scepctl request show {request}; scepctl request approve {request} takes the denial back.",
         NULL},
    [REASON_REQUEST_EXPIRED] = {"Nobody approved the request in time; or the certificate that the "
                                "device asks for again is over.",
                                "Let the device send it again, then scepctl request approve; "
                                "pending_ttl of endpoint {endpoint} is the limit.",
                                NULL},
    [REASON_REQUEST_TOO_MANY] = {"So many requests wait for an approval that no more are taken: "
                                 "nobody approves, or somebody floods the endpoint.",
                                 "scepctl request list --state pending; deny what is not yours. "
                                 "max_pending of endpoint {endpoint} is the limit.",
                                 NULL},
    [REASON_CERTIFICATE_UNKNOWN] =
        {"The client asks for a certificate or a CRL by issuer and serial, and this authority has "
         "none of these.",
         "scepctl cert list; for a CRL: scepctl ca show tells whether one was published.", NULL},
    [REASON_AUTHORITY_EXPIRED] =
        {"The authority's certificate ends so soon that a device certificate would outlive it.",
         "scepctl ca show; then scepctl ca rollover makes its successor.", NULL},
    [REASON_STORE_FULL] = {"The disk, or the address space that the store may take, is full. "
                           "Nothing is issued that cannot be kept.",
                           "scepctl store stats; free space on that disk, or raise "
                           "store.map_size_gib. No restart is needed.",
                           busy_screen},
    [REASON_STORE_GONE] =
        {"The store's file was replaced, moved or removed while scepd had it open. What "
         "was stored now would be lost, so nothing is answered.",
         "ls -l the store's directory: put the file back, and it goes on by itself; or "
         "stop scepd, restore the last backup (docs/STORE.md), start scepd.",
         busy_screen},
    [REASON_WEBHOOK_DENIED] =
        {"The endpoint asks another server about each request (validate in scepd.conf), and that "
         "said "
         "no; what it said stands in the detail. With Intune it is the code of its API: "
         "ChallengeExpired, SubjectNameMismatch ...",
         "Ask whoever runs that server. docs/WEBHOOKS.md and, for Intune's codes, docs/INTUNE.md "
         "say what each means.",
         NULL},
    [REASON_WEBHOOK_UNREACHABLE] = {"The endpoint asks another server about each request (validate "
                                    "in scepd.conf), and that gave "
                                    "no answer that can be read; nothing was used up.",
                                    "The log of scepd tells what came (event webhook.answer), "
                                    "scepctl status how often. "
                                    "Devices that come again are served when it is back.",
                                    busy_screen},
    [REASON_SIGNER_UNAVAILABLE] =
        {"The process that holds the keys does not answer, or refused to sign.",
         "The log of scepd tells why (event signer.ended); restart scepd if it does not do so by "
         "itself.",
         busy_screen},
    [REASON_BUSY] = {"More requests came than the workers can answer, or there is no CRL yet.",
                     "Clients that come again are served. If it lasts: workers and queue in "
                     "scepd.conf, and who asks so much: "
                     "scepctl explain {peer}.",
                     busy_screen},
    [REASON_INTERNAL] = {"A fault of the server, not of the device.",
                         "The log of scepd has the details; please report it.", busy_screen},
    [REASON_HTTP_METHOD] =
        {"A method other than GET, HEAD or POST, or POST where there is nothing to post to.",
         "Compare the device's URL with those of scepctl config show endpoints.",
         "iPhone and Mac: \"The SCEP server returned an invalid response.\"; Windows: event 86, "
         "0x80190195 (405); others: the "
         "HTTP status"},
    [REASON_HTTP_PATH] = {"The URL of the profile has a path that no endpoint has.",
                          "scepctl config show endpoints lists them; correct the URL in the "
                          "profile, or give the endpoint an alias.",
                          "iPhone and Mac: \"The SCEP server returned an invalid response.\"; "
                          "Windows: event 86, 0x80190194, not found (404); "
                          "Cisco: an HTTP error; strongSwan, certmonger: the HTTP status"},
    [REASON_HTTP_OPERATION] =
        {"The path is an endpoint's, and the operation in the query is none of SCEP's, or is "
         "missing: a browser, a "
         "monitor, or a client with a defect.",
         "Nothing, for a browser. Else the URL of the profile must not have a query of its own.",
         http_screen},
    [REASON_HTTP_MALFORMED] =
        {"No HTTP request that can be read, or a PKIOperation without a message in it.",
         "scepctl probe URL from the device's network: is a proxy in between that empties or "
         "rewrites requests?",
         http_screen},
    [REASON_HTTP_TOO_LONG] = {"The request is longer than listen.max_header or listen.max_body "
                              "allow; a message by GET stands in the URL.",
                              "Raise the limit in scepd.conf; the same limits in a proxy are its "
                              "own (nginx: large_client_header_buffers).",
                              "iPhone and Mac: \"The SCEP server returned an invalid response.\"; "
                              "Windows: event 86, 0x8019019d (413)"},
    [REASON_HTTP_TLS] =
        {"The URL says https, and the port speaks plain HTTP. SCEP messages protect themselves.",
         "Write http:// in the profile, or put a proxy with TLS in front.",
         "iPhone and Mac: \"A connection to the server could not be established.\"; Windows: "
         "0x80072f7d or 0x80072f8f; "
         "OpenSSL: wrong version number"},
    [REASON_CA_THUMBPRINT] = {"The device fetched the CA certificate and then went away: most of "
                              "the time, since the profile has another "
                              "fingerprint than that of the certificate it got. A monitor that "
                              "looks whether we are there looks the same.",
                              "scepctl ca show prints the fingerprints; put that of the CA into "
                              "the profile (on Windows that of the issuing "
                              "one, on Android that of the root).",
                              "Windows event 32: \"The hash value is not correct.\"; iPhone and "
                              "Mac: the profile cannot be installed; Cisco "
                              "asks whether to accept the certificate"},
    [REASON_CLOCK_SKEW] =
        {"The certificate was issued, and the device's clock is before its beginning: the device "
         "takes it for not yet "
         "valid until its clock is right.",
         "Set the device's clock (NTP); a longer backdate in template {template} forgives more.",
         "the certificate arrives and is \"not yet valid\" or is not used"},
    [REASON_UPSTREAM_UNAVAILABLE] =
        {"The endpoint hands everything on to another server (upstream in scepd.conf), and that one could not be "
         "reached, was too slow, or answered with something that is not SCEP. The detail tells which.",
         "scepctl probe URL with the upstream's URL, on this machine; docs/UPSTREAM.md has the usual causes.",
         "as for a server that is busy: HTTP 503 with Retry-After"},
    [REASON_UPSTREAM_REFUSED] =
        {"The other server has said no: with a CertRep FAILURE or HTTP 4xx to a device; or, asked for a challenge, that "
         "its password cache is full, or that user or password are wrong or lack a permission there.",
         "The other server's own log tells why. A full cache: wait until passwords there expire, or raise PasswordMax; "
         "docs/UPSTREAM.md has the others.",
         "whatever the other server sent"},
    [REASON_PROFILE_UNFIT] = {"Every kind of profile has things that it has no words for: a key "
                              "size that the client cannot make, an "
                              "alternative name of a form that it does not know, a character that "
                              "would end a line of a configuration.",
                              "Change the policy or the device's name as the text says, or take "
                              "another kind of profile; docs/PROFILES.md "
                              "has what each kind can say.",
                              "no device has shown anything yet: no profile was made"},
    [REASON_NEVER_ARRIVED] = {"Nothing like this has reached the server: name, port, route, "
                              "firewall, a proxy that answers by itself, or a "
                              "device that did not even try.",
                              "scepctl probe URL from the device's network; let the SCEP path pass "
                              "a proxy without sign-in.",
                              "iPhone and Mac: \"A connection to the server could not be "
                              "established.\"; Windows: event 86; Cisco: a socket error"},
};

const struct reason_help *reason_help(enum reason reason)
{
    static const struct reason_help none = {"", "", ""};
    const struct reason_help *h = &helps[(unsigned)reason < REASON_COUNT ? reason : REASON_NONE];
    return h->cause ? h : &none;
}

/* ---- Windows and failInfo ---- */

const char *reason_hresult_text(uint32_t hresult)
{
    static const struct {
        uint32_t hresult;
        const char *text;
    } known[] = {
        {0x80070070, "There is not enough space on the disk."},
        {0x800700AA, "The requested resource is in use."},
        {0x80004005, "Unspecified error"},
        {0x80090004, "Bad Length."},
        {0x80090006, "Invalid Signature."},
        {0x80090008, "Invalid algorithm specified."},
        {0x8009000D, "Key does not exist."},
        {0x80092004, "Cannot find object or property."},
        {0x80092010, "The certificate is revoked."},
        {0x80094001, "The request subject name is invalid or too long."},
        {0x80094011, "The permissions on this certification authority do not allow the current "
                     "user to enroll for "
                     "certificates."},
        {0x80094012, "The permissions on the certificate template do not allow the current user to "
                     "enroll for this type "
                     "of certificate."},
        {0x80094014, "The request was denied by a certificate manager or CA administrator."},
        {0x80094803, "The request is missing a required Subject Alternate name extension."},
        {0x80094811, "The public key does not meet the minimum size required by the specified "
                     "certificate template."},
        {0x800B0101, "A required certificate is not within its validity period when verifying "
                     "against the current system "
                     "clock or the timestamp in the signed file."},
        {0x800B0109, "A certificate chain processed, but terminated in a root certificate which is "
                     "not trusted by the "
                     "trust provider."},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].hresult == hresult)
            return known[i].text;
    return NULL;
}

const char *fail_info_name(int fail_info)
{
    static const char *const names[] = {"badAlg", "badMessageCheck", "badRequest", "badTime",
                                        "badCertId"};
    return fail_info >= 0 && (size_t)fail_info < sizeof names / sizeof *names ? names[fail_info]
                                                                              : NULL;
}

void reason_screen(enum reason reason, char *out, size_t cap)
{
    const struct reason_info *info = reason_info(reason);
    const struct reason_help *help = reason_help(reason);
    const char *windows = reason_hresult_text(info->hresult),
               *fail = fail_info_name((int)info->fail_info);
    if (help->screen || reason == REASON_NONE)
        snprintf(out, cap, "%s", help->screen ? help->screen : "");
    else
        snprintf(out, cap,
                 "iPhone and Mac: \"The SCEP server returned an invalid response.\" "
                 "(MCSCEPErrorDomain 22013); Windows event "
                 "87: \"%s\" (0x%08x); Cisco: %%PKI-6-CERTREJECT; sscep: exit %d; strongSwan: "
                 "failInfo %s; certmonger: "
                 "CA_REJECTED",
                 windows ? windows : "", (unsigned)info->hresult, 70 + (int)info->fail_info,
                 fail ? fail : "");
}
