/* /certificates: what was issued. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "pkcs7/cert.h"
#include "resources.h"

const char *const api_certificate_states[] = {"active",     "revoked", "held",
                                              "superseded", "expired", NULL};

/* ---- as JSON ---- */

/* The serial of another certificate; null when there is none or it was forgotten. */
static json_t *serial_of(const struct api_call *c, uint64_t id)
{
    struct store_cert other = {0};
    struct err ignored = {0};
    if (!id || !store_cert_by_id(c->world->store, id, &other, &ignored))
        return json_null();
    json_t *serial = api_json_hex(view_of(other.serial, other.serial_len));
    store_cert_clear(&other);
    return serial;
}

static const char *authority_name(const struct api_call *c, const uint8_t key_id[20])
{
    const struct config_rooms *rooms = c->world->rooms;
    for (size_t i = 0; i < rooms->member_n; i++)
        if (memcmp(rooms->member[i]->key_id, key_id, 20) == 0)
            return rooms->member[i]->name;
    return "";
}

static const char *state_of(const struct api_call *c, const struct store_cert *cert)
{
    bool expired = cert->state == CERT_ACTIVE && cert->not_after < api_now(c);
    return api_certificate_states[expired ? API_CERTIFICATE_EXPIRED : (int)cert->state];
}

json_t *api_certificate_json(const struct api_call *c, const struct store_cert *cert)
{
    json_t *o = json_object();
    struct view serial = view_of(cert->serial, cert->serial_len);
    bool taken_back = cert->state == CERT_REVOKED || cert->state == CERT_HELD;
    bool ok =
        api_set(o, "id", api_json_hex(serial)) && api_set(o, "serial", api_json_hex(serial)) &&
        api_set(o, "etag", api_json_etag(enroll_cert_version(cert))) &&
        api_set_text(o, "state", state_of(c, cert)) && api_set_text(o, "subject", cert->subject) &&
        api_set_text(o, "san", cert->san) && api_set_text(o, "template", cert->template_name) &&
        api_set_text(o, "endpoint", cert->endpoint) &&
        api_set_text(o, "authority", authority_name(c, cert->authority)) &&
        api_set_time(o, "not_before", cert->not_before) &&
        api_set_time(o, "not_after", cert->not_after) &&
        api_set_time(o, "issued_at", cert->issued_at) &&
        api_set_time(o, "revoked_at", taken_back ? cert->revoked_at : 0) &&
        api_set_text(o, "revocation_reason",
                     taken_back ? crl_reason_text(cert->revocation_reason) : "") &&
        api_set_text(o, "transaction", cert->transaction) &&
        api_set_text(o, "challenge", cert->challenge) && api_set_text(o, "device", cert->device) &&
        api_set_text(o, "policy", cert->policy) &&
        api_set(o, "renewed_by", serial_of(c, cert->renewed_by));
    return api_made(o, ok);
}

static json_t *whole_json(const struct api_call *c, const struct store_cert *cert)
{
    json_t *o = api_certificate_json(c, cert);
    struct cert *parsed = NULL;
    struct err ignored = {0};
    bool ok = o && api_set(o, "renews", serial_of(c, cert->renews));
    if (ok && cert_parse(buf_view(&cert->der), &parsed, &ignored))
        ok = api_describe_certificate(o, parsed);
    cert_free(parsed);
    return api_made(o, ok);
}

#define CERTIFICATE_MEMBERS                                                                      \
    TEXT("id", API_REQUIRED, "The serial number."), TEXT("etag", API_REQUIRED, "For If-Match."), \
        TEXT("serial", API_REQUIRED, "Hexadecimal digits in lower case."),                       \
        {"state",                                                                                \
         API_ENUM,                                                                               \
         API_REQUIRED,                                                                           \
         0,                                                                                      \
         0,                                                                                      \
         api_certificate_states,                                                                 \
         NULL,                                                                                   \
         "Expired: active until it ended.",                                                      \
         0},                                                                                     \
        TEXT("subject", NULLABLE, "Distinguished name."),                                        \
        TEXT("san", NULLABLE, "Subject alternative names, with their types."),                   \
        TEXT("template", NULLABLE, "The template it was made by."),                              \
        TEXT("endpoint", NULLABLE, "Where it was enrolled."),                                    \
        TEXT("authority", NULLABLE,                                                              \
             "The authority that issued it; null: it is not here any more."),                    \
        TIME("not_before", API_REQUIRED, "Valid from then on."),                                 \
        TIME("not_after", API_REQUIRED, "Valid until then."),                                    \
        TIME("issued_at", NULLABLE, "When it was issued."),                                      \
        TIME("revoked_at", NULLABLE, "When it was revoked or put on hold."),                     \
        {"revocation_reason",                                                                    \
         API_ENUM,                                                                               \
         NULLABLE,                                                                               \
         0,                                                                                      \
         0,                                                                                      \
         crl_reasons_told,                                                                           \
         NULL,                                                                                   \
         "Why it was revoked (RFC 5280 section 5.3.1).",                                         \
         0},                                                                                     \
        TEXT("transaction", NULLABLE, "The transaction that brought it."),                       \
        TEXT("challenge", NULLABLE, "The id of the challenge that it came by."),                 \
        TEXT("device", NULLABLE, "The id of the device that it is for."),                        \
        TEXT("policy", NULLABLE, "The id of the policy that it came by."),                       \
        TEXT("renewed_by", NULLABLE, "The serial number of the certificate that took its place.")

const struct api_member api_certificate_members[] = {CERTIFICATE_MEMBERS, API_SHAPE("Certificate")};

static const struct api_member whole_members[] = {
    CERTIFICATE_MEMBERS,
    TEXT("renews", NULLABLE, "The serial number of the certificate whose place it took."),
    TEXT("key", API_NULLABLE, "Kind and size of its key."),
    TEXT("key_usage", API_NULLABLE, "What the key may be used for."),
    TEXT("ext_key_usage", API_NULLABLE, "The same, extended."),
    TEXT("ca", API_NULLABLE, "Yes, or absent."),
    TEXT("issuer", API_NULLABLE, "Distinguished name of the authority."),
    TEXT("sha256", API_NULLABLE, "Fingerprint."),
    TEXT("sha1", API_NULLABLE, "Fingerprint, as Windows shows it."),
    API_SHAPE("WholeCertificate"),
};

/* ---- finding ---- */

bool api_certificate_find(struct api_call *c, const char *serial, struct store_cert *out,
                          struct err *err)
{
    char digits[2 * STORE_SERIAL_MAX + 1];
    struct err why = {0};
    if (!store_serial_whole(view_str(serial), digits))
        return err_set(err, ERR_NOT_FOUND,
                       "a serial is given whole, or by 6 hexadecimal digits or more");
    if (store_cert_by_prefix(c->world->store, digits, out, &why))
        return true;
    if (why.kind == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate with serial %s", digits);
    *err = why;
    return false;
}

/* ---- list ---- */

/* Expiring ones are active and end within 30 days: as /overview counts them. */
const char *const api_certificate_choices[] = {"active",  "revoked",  "held", "superseded",
                                               "expired", "expiring", NULL};
#define EXPIRING_SECONDS (30 * INT64_C(86400))

void api_certificate_choose(struct store_cert_filter *f, int word, int64_t now)
{
    bool expiring = word == API_CERTIFICATE_EXPIRING, expired = word == API_CERTIFICATE_EXPIRED;
    int64_t end = expiring ? now + EXPIRING_SECONDS : expired ? now : 0;
    f->state = expiring || expired ? CERT_ACTIVE : word;
    if (end && (!f->expires_before || end < f->expires_before))
        f->expires_before = end;
    if ((int)CERT_ACTIVE == f->state && !expired)
        f->expires_from = now;
}

static const char *const orders[] = {"newest", "oldest", NULL};

static const struct api_member list_query[] = {
    WORD("state", 0, api_certificate_choices,
         "Only those in this state; expiring: active, and at their end within 30 days."),
    TEXT("template", 0, "Only those made by this template."),
    TEXT("endpoint", 0, "Only those enrolled at this endpoint."),
    TEXT("device", 0, "Only those of the device with this id."),
    TEXT("policy", 0, "Only those that came by the policy with this id."),
    TEXT("challenge", 0, "Only those that came by the challenge with this id."),
    {"q", API_STRING, 0, 1, 256, NULL, NULL,
     "Part of the subject or of an alternative name, any case; or the beginning of a serial "
     "number.",
     0},
    TIME("since", 0, "Issued then or later."),
    TIME("until", 0, "Issued before."),
    TIME("expires_before", 0, "Not expired by now, but before then."),
    {"sort", API_ENUM, 0, 0, 0, orders, NULL, "Newest first, unless asked otherwise.", 0},
    {0},
};

static void list_one(void *ctx, const struct store_cert *cert)
{
    struct api_call *c = ctx;
    api_page_put(c, api_certificate_json(c, cert));
}

bool api_certificate_of_serial(struct store *s, const struct store_cert_filter *f,
                               void (*each)(void *ctx, const struct store_cert *c), void *ctx)
{
    char digits[2 * STORE_SERIAL_MAX + 1];
    struct store_cert_filter others = *f;
    struct store_cert found = {0};
    struct err ignored = {0};
    if (!f->text || !store_serial_digits(view_str(f->text), digits) ||
        !store_cert_by_prefix(s, digits, &found, &ignored))
        return false;
    others.text = NULL;
    if (store_cert_passes(&others, &found))
        each(ctx, &found);
    store_cert_clear(&found);
    return true;
}

static bool list(struct api_call *c, struct err *err)
{
    int64_t before = api_query_time(c, "expires_before", 0);
    struct store_cert_filter f = {
        .text = api_query(c, "q"),
        .endpoint = api_query(c, "endpoint"),
        .template_name = api_query(c, "template"),
        .device = api_query(c, "device"),
        .policy = api_query(c, "policy"),
        .challenge = api_query(c, "challenge"),
        .issued_from = api_query_time(c, "since", 0),
        .issued_before = api_query_time(c, "until", 0),
        .expires_from = before ? api_now(c) : 0,
        .expires_before = before,
        .oldest_first = api_query_enum(c, "sort", 0) == 1,
    };
    struct store_page page = api_page_of(c);
    api_certificate_choose(&f, api_query_enum(c, "state", -1), api_now(c));
    if (!c->cursor[0] && api_certificate_of_serial(c->world->store, &f, list_one, c)) {
        api_list_reply(c);
        return true;
    }
    return api_page_reply(c, &page, store_cert_page(c->world->store, &f, &page, list_one, c, err),
                          err);
}

/* ---- one ---- */

static bool reply_file(struct api_call *c, const struct store_cert *cert, struct err *err)
{
    struct buf pem = {0};
    bool as_pem = strcmp(c->accept, "application/x-pem-file") == 0;
    if (as_pem && !cert_pem(buf_view(&cert->der), &pem, err))
        return false;
    api_reply_bytes(c, 200, c->accept, as_pem ? buf_view(&pem) : buf_view(&cert->der));
    buf_clear(&pem);
    return true;
}

static bool show(struct api_call *c, struct err *err)
{
    struct store_cert cert = {0};
    bool ok = api_certificate_find(c, api_param(c, "serial"), &cert, err);
    if (ok && c->accept)
        ok = reply_file(c, &cert, err);
    else if (ok)
        api_reply_item(c, whole_json(c, &cert), enroll_cert_version(&cert), NULL);
    store_cert_clear(&cert);
    return ok;
}

/* CRL and OCSP follow as after scepctl cert revoke: both go by the store. */
static bool change(struct api_call *c, enum crl_reason reason, struct err *err)
{
    struct store_cert cert = {0}, after = {0};
    struct enroll_act act = {.by = api_by(c), .note = api_string(c, "note"), .now = api_now(c)};
    bool ok = api_certificate_find(c, api_param(c, "serial"), &cert, err);
    if (ok && api_match(c, enroll_cert_version(&cert), api_certificate_json(c, &cert))) {
        act.expected = enroll_cert_version(&cert);
        ok = enroll_cert_change(c->world->store, cert.id, reason, &act, err) &&
             store_cert_by_id(c->world->store, cert.id, &after, err);
        if (ok)
            api_reply_item(c, whole_json(c, &after), enroll_cert_version(&after), NULL);
    }
    store_cert_clear(&cert);
    store_cert_clear(&after);
    return ok;
}

static bool revoke(struct api_call *c, struct err *err)
{
    return change(c, crl_reason_given(api_enum(c, "reason", 0)), err);
}

static bool release(struct api_call *c, struct err *err)
{
    return change(c, CRL_REMOVE_FROM_CRL, err);
}

static const struct api_member revoke_body[] = {
    {"reason", API_ENUM, 0, 0, 0, crl_reasons_given, NULL,
     "Hold can be released; everything else is for good.", 0},
    {"note", API_STRING, API_NULLABLE, 0, 200, NULL, NULL, "For the audit log.", 0},
    {0},
};

const struct api_route api_routes_certificates[] = {
    {HTTP_GET, "/certificates", ROLE_AUDITOR, "certificate_list", "Certificates, newest first.",
     list_query, NULL, api_certificate_members, API_LIST, NULL, list},
    {HTTP_GET, "/certificates/{serial}", ROLE_AUDITOR, "certificate_show",
     "One certificate; also as a file.", NULL, NULL, whole_members, 0,
     "application/pkix-cert, application/x-pem-file", show},
    {HTTP_POST, "/certificates/{serial}/revoke", ROLE_ADMINISTRATOR, "certificate_revoke",
     "Revokes it or puts it on hold: OCSP says so at once, the CRL within seconds.", NULL,
     revoke_body, whole_members, API_CONDITIONAL | API_OPTIONAL_BODY, NULL, revoke},
    {HTTP_POST, "/certificates/{serial}/release", ROLE_ADMINISTRATOR, "certificate_release",
     "Takes it off hold.", NULL, api_note_body, whole_members, API_CONDITIONAL | API_OPTIONAL_BODY,
     NULL, release},
    {0},
};
