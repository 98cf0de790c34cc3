/* /devices: what is managed, and what becomes of it. */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "managed.h"

const char *const api_device_states[] = {"active", "isolated", "retired", NULL};
static const char *const platforms[] = {"apple",   "windows", "android", "chromeos",
                                        "network", "linux",   "other",   NULL};
static const char *const platforms_or_none[] = {
    "", "apple", "windows", "android", "chromeos", "network", "linux", "other", NULL};

/* ---- as JSON ---- */

static bool set_device(json_t *o, const struct store_device *d)
{
    return api_set_text(o, "id", d->id) && api_set(o, "etag", api_json_etag(d->version)) &&
           api_set_text(o, "name", d->name) &&
           api_set_text(o, "state", api_device_states[d->state]) &&
           api_set_text(o, "platform", d->platform) &&
           api_set_text(o, "serial_number", d->serial_number) && api_set_text(o, "udid", d->udid) &&
           api_set_text(o, "user", d->user) && api_set_text(o, "email", d->email) &&
           api_set_text(o, "host", d->host) && api_set_time(o, "created_at", d->created_at) &&
           api_set_text(o, "created_by", d->created_by) &&
           api_set_time(o, "changed_at", d->changed_at) && api_set_time(o, "seen_at", d->seen_at);
}

json_t *api_device_json(const struct store_device *d)
{
    json_t *o = json_object();
    return api_made(o, set_device(o, d));
}

#define DEVICE_MEMBERS                                                                             \
    TEXT("id", API_REQUIRED, "Begins with dev_."),                                                 \
        TEXT("etag", API_REQUIRED, "For If-Match; being seen does not change it."),                \
        TEXT("name", API_REQUIRED, "Unique, in any case of letters."),                             \
        WORD("state", API_REQUIRED, api_device_states, "Isolated: renews, and gets nothing new."), \
        WORD("platform", NULLABLE, platforms, "What it is."),                                      \
        TEXT("serial_number", NULLABLE, "Of its maker."),                                          \
        TEXT("udid", NULLABLE, "Apple's identifier."),                                             \
        TEXT("user", NULLABLE, "Log-in or UPN of who uses it."),                                   \
        TEXT("email", NULLABLE, "Of who uses it."),                                                \
        TEXT("host", NULLABLE, "Fully qualified name."),                                           \
        TIME("created_at", API_REQUIRED, "When it was made."),                                     \
        TEXT("created_by", NULLABLE, "Who made it."),                                              \
        TIME("changed_at", NULLABLE, "When an administrator changed it last."),                    \
        TIME("seen_at", NULLABLE,                                                                  \
             "When it enrolled, renewed, polled or was refused last; up to a minute behind.")

static const struct api_member newest_members[] = {
    TEXT("serial", API_REQUIRED, "Its number."),
    WORD("state", API_REQUIRED, api_certificate_states, "Expired: active until it ended."),
    TIME("not_after", API_REQUIRED, "Valid until then."),
    TEXT("sha256", API_REQUIRED, "Thumbprint: SHA-256 of the certificate, in hexadecimal digits."),
    API_SHAPE("NewestCertificate"),
};

#define SHOWN_MEMBERS                                                             \
    DEVICE_MEMBERS, THING("certificate", API_REQUIRED | NULLABLE, newest_members, \
                          "Its newest one; null: it has none yet.")

static const struct api_member listed_members[] = {SHOWN_MEMBERS, API_SHAPE("Device")};

static const struct api_member tie_members[] = {
    TEXT("id", API_REQUIRED, "Of the group."),
    TEXT("name", API_REQUIRED, "Of the group."),
    API_SHAPE("DeviceGroup"),
};

static const struct api_member whole_members[] = {
    SHOWN_MEMBERS,
    THING("groups", API_REQUIRED | API_ARRAY, tie_members,
          "Its own, and those of its user; 500 at most."),
    API_SHAPE("WholeDevice"),
};

static const struct api_member edited_members[] = {
    SHOWN_MEMBERS,
    THING("groups", API_REQUIRED | API_ARRAY, tie_members,
          "Its own, and those of its user; 500 at most."),
    THING("effects", API_REQUIRED, api_effects_members,
          "What it lost: policies of its old user's groups, and challenges bound to old names."),
    {0},
};

static const struct api_member retired_members[] = {
    DEVICE_MEMBERS,
    THING("effects", API_REQUIRED, api_effects_members, "What went with it."),
    TEXT("warnings", API_REQUIRED | API_ARRAY, API_STAY_HELP),
    {0},
};

struct newest {
    const struct api_call *call;
    json_t *certificate;
};

static void newest_is(void *ctx, const struct store_cert *cert)
{
    struct newest *n = ctx;
    json_t *whole = api_certificate_json(n->call, cert), *o = json_object();
    bool ok = whole && api_set(o, "serial", json_incref(json_object_get(whole, "serial"))) &&
              api_set(o, "state", json_incref(json_object_get(whole, "state"))) &&
              api_set(o, "not_after", json_incref(json_object_get(whole, "not_after"))) &&
              api_set(o, "sha256", api_json_hex(view_of(cert->der_hash, STORE_HASH)));
    json_decref(whole);
    json_decref(n->certificate);
    n->certificate = api_made(o, ok);
}

/* With its newest certificate, for those who look for the one that ends or has none. */
static json_t *shown_json(const struct api_call *c, const struct store_device *d)
{
    json_t *o = api_device_json(d);
    struct newest n = {c, json_null()};
    struct store_page page = {.limit = 1};
    struct store_cert_filter f = {.state = -1, .device = d->id};
    struct err ignored = {0};
    store_cert_page(c->world->store, &f, &page, newest_is, &n, &ignored);
    return api_made(o, api_set(o, "certificate", n.certificate) && o);
}

struct groups {
    const struct api_call *call;
    json_t *list;
};

static void group_of(void *ctx, const struct store_tie *t)
{
    struct groups *g = ctx;
    struct store_group group;
    struct err ignored = {0};
    json_t *o = json_object();
    bool found = store_group_get(g->call->world->store, t->holder, &group, &ignored);
    bool ok =
        api_set_text(o, "id", t->holder) && api_set_text(o, "name", found ? group.name : t->holder);
    json_array_append_new(g->list, api_made(o, ok));
}

static json_t *whole_json(const struct api_call *c, const struct store_device *d)
{
    json_t *o = shown_json(c, d);
    struct groups g = {c, json_array()};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    struct err ignored = {0};
    store_device_groups(c->world->store, d->id, &page, group_of, &g, &ignored);
    return api_made(o, api_set(o, "groups", g.list) && o);
}

/* ---- list, one ---- */

static const struct api_member list_query[] = {
    {"q", API_STRING, 0, 1, 127, NULL, NULL,
     "The beginning of a name or of a serial number, any case.", 0},
    WORD("state", 0, api_device_states, "Only those in this state."),
    WORD("platform", 0, platforms, "Only those of this kind."),
    TEXT("user", 0, "Only those of this user, any case."),
    TEXT("group", 0, "Only those in the group with this id, also by their user."),
    TEXT("policy", 0, "Only those that have the policy with this id, by whichever way."),
    {0},
};

static void list_one(void *ctx, const struct store_device *d)
{
    struct api_call *c = ctx;
    api_page_put(c, shown_json(c, d));
}

static bool list(struct api_call *c, struct err *err)
{
    struct store_device_filter f = {.text = api_query(c, "q"),
                                    .state = api_query_enum(c, "state", -1),
                                    .platform = api_query(c, "platform"),
                                    .user = api_query(c, "user"),
                                    .group = api_query(c, "group"),
                                    .policy = api_query(c, "policy")};
    struct store_page page = api_page_of(c);
    return api_page_reply(c, &page, store_device_page(c->world->store, &f, &page, list_one, c, err),
                          err);
}

static bool find(struct api_call *c, struct store_device *out, struct err *err)
{
    struct fleet f = api_fleet(c);
    return fleet_device_get(&f, api_param(c, "device"), out, err);
}

/* The device for a call that changes it; false: what the handler has to return is in `ok`. */
static bool find_to_change(struct api_call *c, struct store_device *out, bool *ok, struct err *err)
{
    *ok = find(c, out, err);
    return *ok && api_match(c, out->version, api_device_json(out));
}

static bool show(struct api_call *c, struct err *err)
{
    struct store_device d;
    if (!find(c, &d, err))
        return false;
    api_reply_item(c, whole_json(c, &d), d.version, NULL);
    return true;
}

/* ---- new, edit ---- */

#define DEVICE_TEXT(name, flags, least, most, help)               \
    {                                                             \
        name, API_STRING, flags, least, most, NULL, NULL, help, 0 \
    }
#define DEVICE_BODY                                                                 \
    WORD("platform", API_NULLABLE, platforms_or_none, "What it is."),               \
        DEVICE_TEXT("serial_number", API_NULLABLE, 0, 63, "Of its maker."),         \
        DEVICE_TEXT("udid", API_NULLABLE, 0, 63, "Apple's identifier."),            \
        DEVICE_TEXT("user", API_NULLABLE, 0, 127, "Log-in or UPN of who uses it."), \
        DEVICE_TEXT("email", API_NULLABLE, 0, 127, "Of who uses it."),              \
        DEVICE_TEXT("host", API_NULLABLE, 0, 127, "Fully qualified name.")

static const struct api_member new_body[] = {
    DEVICE_TEXT("name", API_REQUIRED, 1, 127, "Unique, in any case of letters."), DEVICE_BODY, {0}};
static const struct api_member edit_body[] = {
    DEVICE_TEXT("name", 0, 1, 127, "Unique, in any case of letters."), DEVICE_BODY, {0}};

static void take_device(const struct api_call *c, struct store_device *d)
{
    api_take_text(c, "name", d->name, sizeof d->name);
    api_take_text(c, "platform", d->platform, sizeof d->platform);
    api_take_text(c, "serial_number", d->serial_number, sizeof d->serial_number);
    api_take_text(c, "udid", d->udid, sizeof d->udid);
    api_take_text(c, "user", d->user, sizeof d->user);
    api_take_text(c, "email", d->email, sizeof d->email);
    api_take_text(c, "host", d->host, sizeof d->host);
}

static bool make(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_device d = {.id = ""};
    take_device(c, &d);
    if (!fleet_device_new(&f, &d, err))
        return api_fleet_done(c, false, err);
    api_reply_item(c, whole_json(c, &d), d.version, "/devices/%s", d.id);
    return true;
}

static bool edit(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_device d;
    struct fleet_effects e = {.dry_run = false};
    bool ok;
    if (!find_to_change(c, &d, &ok, err))
        return ok;
    uint64_t version = d.version;
    take_device(c, &d);
    if (!fleet_device_edit(&f, version, &d, &e, err))
        return api_fleet_done(c, false, err);
    json_t *o = whole_json(c, &d);
    api_reply_item(c, api_made(o, o && api_set_effects(o, &e)), d.version, NULL);
    return true;
}

/* ---- what is done with it ---- */

static bool turn(struct api_call *c, bool isolate, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_device d, after;
    const char *note = api_string(c, "note") ? api_string(c, "note") : "";
    bool ok;
    if (!find_to_change(c, &d, &ok, err))
        return ok;
    ok = isolate ? fleet_device_isolate(&f, d.id, d.version, note, &after, err)
                 : fleet_device_release(&f, d.id, d.version, note, &after, err);
    if (ok)
        api_reply_item(c, whole_json(c, &after), after.version, NULL);
    return ok;
}

static bool isolate(struct api_call *c, struct err *err)
{
    return turn(c, true, err);
}

static bool release(struct api_call *c, struct err *err)
{
    return turn(c, false, err);
}

static bool retire(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_device d, after;
    struct fleet_effects e = {.dry_run = false};
    struct fleet_warnings stay = {.n = 0};
    bool ok;
    if (!find_to_change(c, &d, &ok, err))
        return ok;
    fleet_outside(&f, &(struct fleet_leaving){.target = d.id}, &stay);
    if (!fleet_device_retire(&f, d.id, d.version,
                             api_string(c, "note") ? api_string(c, "note") : "", &e, &after, err))
        return false;
    json_t *o = api_device_json(&after);
    api_reply_item(c, api_made(o, o && api_set_effects(o, &e) && api_set_warnings(o, &stay)),
                   after.version, NULL);
    return true;
}

/* ---- what it has ---- */

static bool events(struct api_call *c, struct err *err)
{
    struct store_device d;
    return find(c, &d, err) && api_history_reply(c, d.id, err);
}

static void certificate_one(void *ctx, const struct store_cert *cert)
{
    struct api_call *c = ctx;
    api_page_put(c, api_certificate_json(c, cert));
}

static bool certificates(struct api_call *c, struct err *err)
{
    struct store_device d;
    struct store_page page = api_page_of(c);
    if (!find(c, &d, err))
        return false;
    struct store_cert_filter f = {.state = -1, .device = d.id};
    return api_page_reply(
        c, &page, store_cert_page(c->world->store, &f, &page, certificate_one, c, err), err);
}

static const char *const way_words[] = {"none", "device", "group", "user_group", NULL};

static const struct api_member policy_members[] = {
    TEXT("id", API_REQUIRED, "Of the policy."),
    TEXT("name", API_REQUIRED, "Of the policy."),
    WORD("way", API_REQUIRED, way_words, "By which way the device has it."),
    TEXT("group", NULLABLE, "The id of the group by which it has it."),
    TEXT("group_name", NULLABLE, "Its name."),
    TEXT("by", NULLABLE, "Who assigned it."),
    TIME("at", NULLABLE, "When."),
    TEXT("endpoint", NULLABLE, "Where the device enrols."),
    FLAG("paused", API_REQUIRED, "Nothing is issued by it."),
    TEXT("subject", NULLABLE, "What its certificate would say."),
    TEXT("san", NULLABLE, "The same of alternative names."),
    TEXT("problem", NULLABLE, "Why the names cannot be made for this device."),
    {0},
};

struct policies {
    struct api_call *call;
    const struct store_device *device;
};

static void policy_one(void *ctx, const struct store_reach *r)
{
    struct policies *p = ctx;
    struct fleet f = api_fleet(p->call);
    struct store_policy policy = {.id = ""};
    struct fleet_names names = {.subject = ""};
    struct err err = {0};
    json_t *o = json_object();
    bool named = fleet_policy_get(&f, r->policy, &policy, &err) &&
                 fleet_names(&f, &policy, p->device, &names, &err);
    bool ok = api_set_text(o, "id", r->policy) &&
              api_set_text(o, "name", policy.name[0] ? policy.name : r->policy) &&
              api_set_text(o, "way", way_words[r->way]) && api_set_text(o, "group", r->group) &&
              api_set_text(o, "group_name", r->group_name) && api_set_text(o, "by", r->by) &&
              api_set_time(o, "at", r->at) && api_set_text(o, "endpoint", policy.endpoint) &&
              api_set_bool(o, "paused", policy.paused) &&
              api_set_text(o, "subject", named ? names.subject : "") &&
              api_set_text(o, "san", named ? names.san : "") &&
              api_set_text(o, "problem", named ? "" : err.text);
    api_page_put(p->call, api_made(o, ok));
}

static bool policies(struct api_call *c, struct err *err)
{
    struct store_device d;
    struct store_page page = api_page_of(c);
    if (!find(c, &d, err))
        return false;
    struct policies p = {c, &d};
    return api_page_reply(
        c, &page, store_device_policies(c->world->store, d.id, &page, policy_one, &p, err), err);
}

/* ---- challenges ---- */

static const struct api_member challenge_body[] = {
    {"policy", API_STRING, API_NULLABLE, 1, 63, NULL, NULL,
     "Id or name; needed when the device has several.", 0},
    {"expires_seconds", API_INTEGER, API_NULLABLE, 1, INT32_MAX, NULL, NULL,
     "How long it may be used; as the policy says unless given.", 0},
    {0},
};

static json_t *challenge_json(const struct api_call *c, const struct fleet_challenge *made)
{
    json_t *o = api_challenge_json(c, &made->record);
    char url[512];
    snprintf(url, sizeof url, "%s%s", c->world->config->url, made->policy.endpoint);
    return api_made(o, o && api_set_text(o, "secret", made->secret) &&
                           api_set_text(o, "url", url) &&
                           api_set_text(o, "device_name", made->device.name) &&
                           api_set_text(o, "policy_name", made->policy.name));
}

static bool challenge(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct fleet_challenge made;
    struct fleet_challenge_wish wish = {.device = api_param(c, "device"),
                                        .policy = api_string(c, "policy"),
                                        .ttl = api_int(c, "expires_seconds", 0)};
    if (!fleet_challenge_new(&f, &wish, &made, err))
        return api_fleet_done(c, false, err);
    api_reply_item(c, challenge_json(c, &made), enroll_challenge_version(&made.record),
                   "/challenges/%s", made.record.id);
    fleet_challenge_wipe(&made);
    return true;
}

#define TURNS (API_CONDITIONAL | API_OPTIONAL_BODY)

const struct api_route api_routes_devices[] = {
    {HTTP_GET, "/devices", ROLE_AUDITOR, "device_list", "Devices by name.", list_query, NULL,
     listed_members, API_LIST, NULL, list},
    {HTTP_POST, "/devices", ROLE_ADMINISTRATOR, "device_new", "Makes one.", NULL, new_body,
     whole_members, API_CREATES, NULL, make},
    {HTTP_GET, "/devices/{device}", ROLE_AUDITOR, "device_show", "One device, by id or name.", NULL,
     NULL, whole_members, 0, NULL, show},
    {HTTP_PATCH, "/devices/{device}", ROLE_ADMINISTRATOR, "device_edit",
     "Changes what is given.  When names change, open challenges bound to the old ones are void; "
     "with another user, what it got by policies of that user's groups alone goes.",
     NULL, edit_body, edited_members, API_CONDITIONAL, NULL, edit},
    {HTTP_POST, "/devices/{device}/isolate", ROLE_ADMINISTRATOR, "device_isolate",
     "It may renew and enrols nothing new, until it is released.", NULL, api_note_body,
     whole_members, TURNS, NULL, isolate},
    {HTTP_POST, "/devices/{device}/release", ROLE_ADMINISTRATOR, "device_release",
     "Ends its isolation.", NULL, api_note_body, whole_members, TURNS, NULL, release},
    {HTTP_POST, "/devices/{device}/retire", ROLE_ADMINISTRATOR, "device_retire",
     "For good: its certificates are revoked, its requests cancelled, its challenges void.", NULL,
     api_note_body, retired_members, TURNS, NULL, retire},
    {HTTP_GET, "/devices/{device}/events", ROLE_AUDITOR, "device_events",
     "What it tried and what was done with it, newest first.", NULL, NULL, api_event_members,
     API_LIST, NULL, events},
    {HTTP_GET, "/devices/{device}/certificates", ROLE_AUDITOR, "device_certificates",
     "Its certificates, newest first.", NULL, NULL, api_certificate_members, API_LIST, NULL,
     certificates},
    {HTTP_GET, "/devices/{device}/policies", ROLE_AUDITOR, "device_policies",
     "The policies that it has, by which way, and what it would get.", NULL, NULL, policy_members,
     API_LIST, NULL, policies},
    {HTTP_POST, "/devices/{device}/challenges", ROLE_OPERATOR, "device_challenge",
     "Makes a challenge bound to the device, a policy and the names that it gives; its secret is "
     "in this answer only.",
     NULL, challenge_body, api_new_challenge_members, API_CREATES | API_OPTIONAL_BODY | API_SECRETS,
     NULL, challenge},
    {0},
};
