/* /events: what devices tried and what became of it.  /audit: who did what. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/hex.h"
#include "reads.h"
#include "resources.h"

/* ---- attempts as JSON ---- */

const char *const api_event_results[] = {"issued", "renewed", "pending", "repeated", "refused",
                                         "failed", "counted", "silent",  NULL};

static const char *const kind_words[] = {"attempt", "audit", NULL};

static bool add_words(json_t *o, const struct store_attempt *a)
{
    char text[EXPLAIN_TEXT];
    enum reason reason = explain_reason(a);
    explain_who(a, text, sizeof text);
    bool ok = api_set_text(o, "who", text);
    explain_sent(a, text, sizeof text);
    ok = ok && api_set_text(o, "sent", text);
    explain_not_reached(a, text, sizeof text);
    ok = ok && api_set_text(o, "not_reached", text);
    if (!ok || reason == REASON_NONE)
        return ok;
    explain_fill(reason_help(reason)->fix, a, text, sizeof text);
    return api_set_text(o, "reason_text", reason_info(reason)->text) &&
           api_set_text(o, "fix", text);
}

json_t *api_attempt_json(const struct store_attempt *a)
{
    json_t *o = explain_json(a);
    char id[32];
    snprintf(id, sizeof id, "att_%llu", (unsigned long long)a->seq);
    bool ok = o && api_set_text(o, "id", id) && api_set_text(o, "kind", "attempt") &&
              api_set_text(o, "device", a->device) && api_set_text(o, "policy", a->policy) &&
              add_words(o, a);
    return api_made(o, ok);
}

json_t *api_audit_json(const struct store_audit *a)
{
    json_t *o = json_object();
    char id[32];
    snprintf(id, sizeof id, "aud_%llu", (unsigned long long)a->seq);
    bool ok = api_set_text(o, "id", id) && api_set_text(o, "kind", "audit") &&
              api_set_int(o, "seq", (int64_t)a->seq) && api_set_time(o, "at", a->at) &&
              api_set_text(o, "event", a->event) && api_set_text(o, "actor", a->actor) &&
              api_set_text(o, "object", a->object) && api_set_text(o, "text", a->text) &&
              api_set(o, "chain", api_json_hex(view_of(a->chain, sizeof a->chain)));
    return api_made(o, ok);
}

static const struct api_member check_members[] = {
    TEXT("check", API_REQUIRED, "What was looked at."),
    TEXT("state", API_REQUIRED, "Passed, stopped, passed over or begun."),
    TEXT("detail", API_NULLABLE, "The values compared."),
    API_SHAPE("Check"),
};

#define AUDIT_MEMBERS(required)                                                                   \
    NUMBER("seq", required, "Its number in the log."), TEXT("event", required, "What was done."), \
        TEXT("actor", required | API_NULLABLE, "Who did it."),                                    \
        TEXT("object", required | API_NULLABLE, "To what: an id, a serial number, a name."),      \
        TEXT("text", required | API_NULLABLE, "More of it."),                                     \
        TEXT("chain", required, "SHA-256 over the entry before and this one.")

#define ATTEMPT_MEMBERS(required)                                                         \
    NUMBER("attempt", required, "Its number."),                                           \
        WORD("result", required, api_event_results, "What came of it."),                  \
        TEXT("who", required | API_NULLABLE,                                              \
             "Of whom one speaks: the subject, or what is known instead."),               \
        TEXT("device", required | API_NULLABLE, "The id of the device that it was of."),  \
        TEXT("policy", required | API_NULLABLE, "The id of the policy that it came by."), \
        TEXT("peer", API_NULLABLE, "The address that it came from."),                     \
        TEXT("agent", API_NULLABLE, "What the client calls itself."),                     \
        TEXT("endpoint", API_NULLABLE, "The endpoint, or the path that was asked for."),  \
        TEXT("template", API_NULLABLE, "The endpoint's template."),                       \
        TEXT("method", API_NULLABLE, "Of HTTP."),                                         \
        TEXT("operation", API_NULLABLE, "PKCSReq, GetCACert and so on."),                 \
        TEXT("transaction", API_NULLABLE, "The transaction ID."),                         \
        TEXT("subject", API_NULLABLE, "Asked for, or of the certificate."),               \
        TEXT("san", API_NULLABLE, "The same of alternative names."),                      \
        TEXT("key", API_NULLABLE, "Kind and size of the key."),                           \
        TEXT("digest", API_NULLABLE, "Of the message."),                                  \
        TEXT("cipher", API_NULLABLE, "Of the message."),                                  \
        TEXT("signer", API_NULLABLE, "Serial number of the certificate that signed it."), \
        TEXT("challenge", API_NULLABLE, "The id of the challenge that came with it."),    \
        TEXT("request", API_NULLABLE, "The id of the request that it became."),           \
        TEXT("serial", API_NULLABLE, "Serial number of the certificate that was sent."),  \
        TEXT("reason", API_NULLABLE, "Why it was refused: a code of /reasons."),          \
        TEXT("reason_text", API_NULLABLE, "The same in words."),                          \
        TEXT("detail", API_NULLABLE, "The rule and the value that broke it."),            \
        TEXT("fix", API_NULLABLE, "What to do."),                                         \
        TEXT("sent", required | API_NULLABLE, "What was sent back."),                     \
        TEXT("not_reached", required | API_NULLABLE,                                      \
             "The checks behind the one that stopped it."),                               \
        TEXT("key_sha256", API_NULLABLE, "SHA-256 of the public key."),                   \
        NUMBER("status", API_NULLABLE, "Of HTTP."),                                       \
        TEXT("fail_info", API_NULLABLE, "Of the CertRep."),                               \
        NUMBER("ms", required, "Milliseconds until it was answered."),                    \
        NUMBER("more", API_NULLABLE, "How many others it stands for."),                   \
    {                                                                                     \
        "checks", API_OBJECT, (required) | API_ARRAY, 0, 0, NULL, check_members,          \
            "The checks in the order in which they were made.", 0                         \
    }

#define EVENT_MEMBERS                                                                            \
    TEXT("id", API_REQUIRED, "Begins with att_ or aud_."),                                       \
        WORD("kind", API_REQUIRED, kind_words, "An attempt of a device, or what somebody did."), \
        TIME("at", API_REQUIRED, "When.")

static const struct api_member attempt_members[] = {
    EVENT_MEMBERS, ATTEMPT_MEMBERS(API_REQUIRED), API_SHAPE("Attempt")};
static const struct api_member audit_members[] = {EVENT_MEMBERS, AUDIT_MEMBERS(API_REQUIRED), API_SHAPE("AuditEntry")};
/* Of histories, which have both. */
const struct api_member api_event_members[] = {
    EVENT_MEMBERS, ATTEMPT_MEMBERS(0), AUDIT_MEMBERS(0), API_SHAPE("Event")};

/* ---- export: one object a line ---- */

#define EXPORT_MAX (8u << 20) /* octets of one answer; a Link says where it goes on */
#define EXPORT_THIN 10 /* pages of which a filter left a part: STORE_PAGE_SCAN records each */

struct export
{
    struct api_call *call;
    struct buf out; /* owned */
    bool failed;
};

static void export_put(struct export *x, json_t *item)
{
    char *line = item ? json_dumps(item, JSON_COMPACT) : NULL;
    x->failed |= !line || !buf_append_str(&x->out, line) || !buf_append(&x->out, "\n", 1);
    free(line);
    json_decref(item);
}

typedef bool (*page_fn)(struct export *x, const void *filter, struct store_page *page,
                        struct err *err);

/* Pages until it is enough, found or looked through: nothing is held in between. */
static bool export_all(struct api_call *c, const void *filter, page_fn next, struct err *err)
{
    struct export x = {.call = c};
    char after[STORE_CURSOR_MAX];
    snprintf(after, sizeof after, "%s", c->cursor);
    unsigned thin = 0;
    bool ok = true;
    do {
        struct store_page page = {.after = after, .limit = STORE_PAGE_MAX};
        ok = next(&x, filter, &page, err) && (!x.failed || err_memory(err));
        snprintf(after, sizeof after, "%s", ok ? page.next : "");
        thin += page.items < STORE_PAGE_MAX;
    } while (ok && after[0] && x.out.n < EXPORT_MAX && thin < EXPORT_THIN);
    if (ok && after[0])
        api_list_link(c, after);
    if (ok)
        api_reply_bytes(c, 200, c->accept, buf_view(&x.out));
    buf_clear(&x.out);
    return ok;
}

/* ---- events ---- */

static const struct api_member event_query[] = {
    TIME("since", 0, "Then or later."),
    TIME("until", 0, "Before then."),
    TEXT("device", 0, "Of the device with this id."),
    TEXT("policy", 0, "Of the policy with this id."),
    WORD("result", 0, api_event_results, "With this result."),
    TEXT("code", 0,
         "With this reason; \"challenge.\" with a dot at its end: with any that begins so."),
    TEXT("peer", 0, "From this address."),
    TEXT("endpoint", 0, "At this endpoint."),
    {0},
};

static void list_attempt(void *ctx, const struct store_attempt *a)
{
    struct api_call *c = ctx;
    api_page_put(c, api_attempt_json(a));
}

static void export_attempt(void *ctx, const struct store_attempt *a)
{
    export_put(ctx, api_attempt_json(a));
}

static bool export_attempts(struct export *x, const void *filter, struct store_page *page,
                            struct err *err)
{
    return store_attempt_page(x->call->world->store, filter, page, export_attempt, x, err);
}

static bool event_list(struct api_call *c, struct err *err)
{
    struct store_attempt_filter f = {.device = api_query(c, "device"),
                                     .policy = api_query(c, "policy"),
                                     .result = api_query_enum(c, "result", -1),
                                     .reason = api_query(c, "code"),
                                     .peer = api_query(c, "peer"),
                                     .endpoint = api_query(c, "endpoint"),
                                     .since = api_query_time(c, "since", 0),
                                     .until = api_query_time(c, "until", 0)};
    struct store_page page = api_page_of(c);
    if (c->accept)
        return export_all(c, &f, export_attempts, err);
    return api_page_reply(
        c, &page, store_attempt_page(c->world->store, &f, &page, list_attempt, c, err), err);
}

/* ---- audit ---- */

static const struct api_member audit_query[] = {
    TIME("since", 0, "Then or later."),
    TIME("until", 0, "Before then."),
    TEXT("actor", 0, "By this administrator, endpoint or program."),
    TEXT("object", 0, "About this id, serial number or name."),
    TEXT("event", 0, "This event; \"device.\" with a dot at its end: all that begin so."),
    FLAG("reads", 0, "Also what was only read (api.read); an export has it unless this is false."),
    {0},
};

static void list_audit(void *ctx, const struct store_audit *a)
{
    struct api_call *c = ctx;
    api_page_put(c, api_audit_json(a));
}

static void export_audit(void *ctx, const struct store_audit *a)
{
    export_put(ctx, api_audit_json(a));
}

static bool export_audits(struct export *x, const void *filter, struct store_page *page,
                          struct err *err)
{
    return store_audit_page(x->call->world->store, filter, page, export_audit, x, err);
}

/* That many readings may lie between two changes: passing over one costs 0.04 us. */
#define SCAN_READS 500000

/* What is only read would be most of it; an export is meant to be whole. */
static bool wants_reads(const struct api_call *c)
{
    const char *asked = api_query(c, "reads"), *event = api_query(c, "event");
    if (asked)
        return strcmp(asked, "true") == 0;
    return c->accept || (event && strcmp(event, API_READ_EVENT) == 0);
}

static bool audit_list(struct api_call *c, struct err *err)
{
    struct store_audit_filter f = {.object = api_query(c, "object"),
                                   .actor = api_query(c, "actor"),
                                   .event = api_query(c, "event"),
                                   .except = wants_reads(c) ? NULL : API_READ_EVENT,
                                   .since = api_query_time(c, "since", 0),
                                   .until = api_query_time(c, "until", 0)};
    struct store_page page = api_page_of(c);
    if (f.except && !f.object && !f.actor && !f.event)
        page.scan = SCAN_READS; /* whatever else it meets fills the page */
    if (c->accept)
        return export_all(c, &f, export_audits, err);
    return api_page_reply(c, &page,
                          store_audit_page(c->world->store, &f, &page, list_audit, c, err), err);
}

#define NDJSON "application/x-ndjson"

const struct api_route api_routes_events[] = {
    {HTTP_GET, "/events", ROLE_AUDITOR, "event_list",
     "What devices tried, newest first; as application/x-ndjson an export.", event_query, NULL,
     attempt_members, API_LIST, NDJSON, event_list},
    {HTTP_GET, "/audit", ROLE_AUDITOR, "audit_list",
     "The audit log, newest first; as application/x-ndjson an export.", audit_query, NULL,
     audit_members, API_LIST | API_TELLS_READS, NDJSON, audit_list},
    {0},
};
