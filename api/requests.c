/* /requests: what waits for an administrator, or did. */
#include <string.h>

#include "base/hex.h"
#include "pkcs7/csr.h"
#include "resources.h"

const char *const api_request_states[] = {"pending", "approved", "denied",
                                          "issued",  "expired",  NULL};

/* ---- as JSON ---- */

json_t *api_request_json(const struct api_call *c, const struct store_request *r)
{
    json_t *o = json_object();
    bool ok = api_set_text(o, "id", r->id) &&
              api_set(o, "etag", api_json_etag(enroll_request_version(r))) &&
              api_set_text(o, "state", api_request_states[r->state]) &&
              api_set_text(o, "subject", r->subject) && api_set_text(o, "san", r->san) &&
              api_set_text(o, "key", r->key) && api_set_text(o, "endpoint", r->endpoint) &&
              api_set_text(o, "template", r->template_name) &&
              api_set_text(o, "transaction", r->transaction) &&
              api_set_text(o, "challenge", r->challenge) && api_set_text(o, "device", r->device) &&
              api_set_text(o, "policy", r->policy) && api_set_text(o, "peer", r->peer) &&
              api_set_time(o, "created_at", r->created_at) &&
              api_set_time(o, "expires_at", r->expires_at) && api_set_int(o, "polls", r->polls) &&
              api_set_time(o, "polled_at", r->polled_at) &&
              api_set_time(o, "decided_at", r->decided_at) &&
              api_set_text(o, "decided_by", r->decided_by) && api_set_text(o, "note", r->note);
    return api_made(o, ok);
}

#define REQUEST_MEMBERS                                                                      \
    TEXT("id", API_REQUIRED, "Begins with req_."),                                           \
        TEXT("etag", API_REQUIRED, "For If-Match; polls do not change it."),                 \
        WORD("state", API_REQUIRED, api_request_states, "Pending: somebody has to decide."), \
        TEXT("subject", NULLABLE, "Distinguished name that it asks for."),                   \
        TEXT("san", NULLABLE, "Subject alternative names that it asks for."),                \
        TEXT("key", NULLABLE, "Kind and size of its key."),                                  \
        TEXT("endpoint", NULLABLE, "Where it came."),                                        \
        TEXT("template", NULLABLE, "The template of that endpoint."),                        \
        TEXT("transaction", NULLABLE, "The transaction that it belongs to."),                \
        TEXT("challenge", NULLABLE, "The id of the challenge that came with it."),           \
        TEXT("device", NULLABLE, "The id of the device that it is for."),                    \
        TEXT("policy", NULLABLE, "The id of the policy that it came by."),                   \
        TEXT("peer", NULLABLE, "The address that it came from."),                            \
        TIME("created_at", API_REQUIRED, "When it came."),                                   \
        TIME("expires_at", NULLABLE, "When it stops waiting; null: never."),                 \
        NUMBER("polls", API_REQUIRED, "How often the device has asked again."),              \
        TIME("polled_at", NULLABLE, "When it asked last."),                                  \
        TIME("decided_at", NULLABLE, "When an administrator decided."),                      \
        TEXT("decided_by", NULLABLE, "Who decided."),                                        \
        TEXT("note", NULLABLE, "What the administrator wrote.")

const struct api_member api_request_members[] = {REQUEST_MEMBERS, API_SHAPE("Request")};

static const struct api_member whole_members[] = {
    REQUEST_MEMBERS,
    TEXT("csr", API_NULLABLE, "Why the request kept here cannot be read any more."),
    TEXT("wants_key_usage", API_NULLABLE, "Key usages that it asks for."),
    TEXT("wants_ext_key_usage", API_NULLABLE, "Extended key usages that it asks for."),
    TEXT("key_sha256", API_NULLABLE, "SHA-256 of its public key."),
    TEXT("serial", API_NULLABLE, "The certificate that came of it."),
    THING("would_issue", API_NULLABLE, api_would_issue_members,
          "What would be issued if it were approved now."),
    API_SHAPE("WholeRequest"),
};

/* ---- one, in whole ---- */

static bool add_wishes(json_t *o, const struct csr *csr)
{
    char usage[256] = "";
    if (csr->ext.has_key_usage)
        key_usage_text(csr->ext.key_usage, usage, sizeof usage);
    bool ok = api_set_text(o, "wants_key_usage", usage);
    api_eku_text(&csr->ext.eku, usage, sizeof usage);
    return ok && api_set_text(o, "wants_ext_key_usage", usage) &&
           api_set(o, "key_sha256", api_json_hex(view_of(csr->key.sha256, sizeof csr->key.sha256)));
}

static const struct enroll_policy *endpoint_of(const struct api_call *c, const char *name)
{
    const struct config *config = c->world->config;
    for (size_t i = 0; i < config->endpoint_n; i++)
        if (strcmp(c->world->rooms->policy[i].endpoint, name) == 0)
            return &c->world->rooms->policy[i];
    return NULL;
}

static bool add_preview(const struct api_call *c, json_t *o, const struct store_request *r,
                        const struct csr *csr)
{
    const struct enroll_policy *e = endpoint_of(c, r->endpoint);
    struct store_challenge ch = {.id = ""};
    struct err ignored = {0};
    bool open = r->state == REQUEST_PENDING || r->state == REQUEST_DENIED;
    if (!e || !open)
        return true;
    if (r->challenge[0])
        store_challenge_by_id(c->world->store, r->challenge, &ch, &ignored);
    struct template_context ctx = {.endpoint = r->endpoint,
                                   .transaction = r->transaction,
                                   .challenge_label = ch.label,
                                   .challenge_id = r->challenge,
                                   .signer_subject = "",
                                   .now = api_now(c)};
    return api_set(o, "would_issue", api_would_issue(c, e->template, e->authority, csr, &ctx));
}

static bool add_serial(const struct api_call *c, json_t *o, const struct store_request *r)
{
    struct store_cert cert = {0};
    struct err ignored = {0};
    if (!r->cert_id || !store_cert_by_id(c->world->store, r->cert_id, &cert, &ignored))
        return true;
    bool ok = api_set(o, "serial", api_json_hex(view_of(cert.serial, cert.serial_len)));
    store_cert_clear(&cert);
    return ok;
}

static json_t *whole_json(const struct api_call *c, const struct store_request *r)
{
    json_t *o = api_request_json(c, r);
    struct csr *csr = NULL;
    struct err err = {0};
    bool ok = o && add_serial(c, o, r);
    if (ok && csr_parse_trusted(buf_view(&r->csr), &csr, &err))
        ok = add_wishes(o, csr) && add_preview(c, o, r, csr);
    else if (ok)
        ok = api_set_text(o, "csr", err.text);
    csr_free(csr);
    return api_made(o, ok);
}

/* ---- list ---- */

static const struct api_member list_query[] = {
    WORD("state", 0, api_request_states, "Only those in this state."),
    TEXT("endpoint", 0, "Only those that came to this endpoint."),
    TEXT("device", 0, "Only those of the device with this id."),
    TEXT("policy", 0, "Only those that came by the policy with this id."),
    {0},
};

static void list_one(void *ctx, const struct store_request *r)
{
    struct api_call *c = ctx;
    api_page_put(c, api_request_json(c, r));
}

static bool list(struct api_call *c, struct err *err)
{
    struct store_request_filter f = {.state = api_query_enum(c, "state", -1),
                                     .device = api_query(c, "device"),
                                     .policy = api_query(c, "policy"),
                                     .endpoint = api_query(c, "endpoint")};
    struct store_page page = api_page_of(c);
    return api_page_reply(c, &page,
                          store_request_page(c->world->store, &f, &page, list_one, c, err), err);
}

/* ---- one ---- */

static bool show(struct api_call *c, struct err *err)
{
    struct store_request r = {.id = ""};
    if (!store_request_get(c->world->store, api_param(c, "request"), &r, err))
        return false;
    api_reply_item(c, whole_json(c, &r), enroll_request_version(&r), NULL);
    store_request_clear(&r);
    return true;
}

static bool decide(struct api_call *c, enum enroll_request_verb verb, struct err *err)
{
    struct store_request r = {.id = ""}, after = {.id = ""};
    struct enroll_act act = {.by = api_by(c), .note = api_string(c, "note"), .now = api_now(c)};
    bool ok = store_request_get(c->world->store, api_param(c, "request"), &r, err);
    if (ok && api_match(c, enroll_request_version(&r), api_request_json(c, &r))) {
        act.expected = enroll_request_version(&r);
        ok = enroll_request_change(c->world->store, r.id, verb, &act, &after, err);
        if (ok)
            api_reply_item(c, whole_json(c, &after), enroll_request_version(&after), NULL);
    }
    store_request_clear(&r);
    store_request_clear(&after);
    return ok;
}

static bool approve(struct api_call *c, struct err *err)
{
    return decide(c, ENROLL_APPROVE, err);
}

static bool deny(struct api_call *c, struct err *err)
{
    return decide(c, ENROLL_DENY, err);
}

static bool cancel(struct api_call *c, struct err *err)
{
    return decide(c, ENROLL_CANCEL, err);
}

static const struct api_member decide_body[] = {
    {"note", API_STRING, API_NULLABLE, 0, 200, NULL, NULL,
     "Kept with the request and told to who asks why.", 0},
    API_SHAPE("Decision"),
};

#define DECIDES (API_CONDITIONAL | API_OPTIONAL_BODY)

const struct api_route api_routes_requests[] = {
    {HTTP_GET, "/requests", ROLE_AUDITOR, "request_list",
     "Requests; pending ones first whose time ends first.", list_query, NULL, api_request_members,
     API_LIST, NULL, list},
    {HTTP_GET, "/requests/{request}", ROLE_AUDITOR, "request_show",
     "One request: what it asks for, and what would be issued.", NULL, NULL, whole_members, 0, NULL,
     show},
    {HTTP_POST, "/requests/{request}/approve", ROLE_OPERATOR, "request_approve",
     "The device gets its certificate when it asks again.", NULL, decide_body, whole_members,
     DECIDES, NULL, approve},
    {HTTP_POST, "/requests/{request}/deny", ROLE_OPERATOR, "request_deny",
     "The device is told when it asks again; may be approved later.", NULL, decide_body,
     whole_members, DECIDES, NULL, deny},
    {HTTP_POST, "/requests/{request}/cancel", ROLE_OPERATOR, "request_cancel",
     "Takes back what waits or was approved and not fetched.", NULL, decide_body, whole_members,
     DECIDES, NULL, cancel},
    {0},
};
