/* /challenges: passwords for enrolments.  A secret is in the answer that makes it, and never again.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "enroll/challenge.h"
#include "managed.h"
#include "resources.h"

const char *const api_challenge_states[] = {"active", "used", "expired", "revoked", NULL};

static const char *state_of(const struct api_call *c, const struct store_challenge *ch)
{
    return api_challenge_states[store_challenge_state(ch, api_now(c)) - CHALLENGE_OPEN];
}

/* ---- as JSON ---- */

static const char *used_text(const struct store_challenge *ch, char out[48])
{
    if (ch->uses)
        snprintf(out, 48, "%u of %u", ch->used, ch->uses);
    else
        snprintf(out, 48, "%u of any", ch->used);
    return out;
}

json_t *api_challenge_json(const struct api_call *c, const struct store_challenge *ch)
{
    json_t *o = json_object();
    char used[48];
    bool ok =
        api_set_text(o, "id", ch->id) &&
        api_set(o, "etag", api_json_etag(enroll_challenge_version(ch))) &&
        api_set_text(o, "state", state_of(c, ch)) && api_set_text(o, "used", used_text(ch, used)) &&
        api_set_int(o, "uses", ch->uses) && api_set_int(o, "uses_done", ch->used) &&
        api_set_text(o, "label", ch->label) && api_set_text(o, "subject", ch->subject) &&
        api_set_text(o, "san", ch->san) && api_set_text(o, "template", ch->template_name) &&
        api_set_text(o, "endpoint", ch->endpoint) && api_set_text(o, "device", ch->device) &&
        api_set_text(o, "policy", ch->policy) && api_set_text(o, "created_by", ch->created_by) &&
        api_set_time(o, "created_at", ch->created_at) &&
        api_set_time(o, "expires_at", ch->expires_at) &&
        api_set_time(o, "revoked_at", ch->revoked_at) && api_set_time(o, "used_at", ch->used_at) &&
        api_set_text(o, "used_by_subject", ch->used_by_subject) &&
        api_set_text(o, "used_by_transaction", ch->used_by_transaction) &&
        api_set_text(o, "used_by_peer", ch->used_by_peer) &&
        api_set_int(o, "refused", ch->refused) && api_set_time(o, "refused_at", ch->refused_at) &&
        api_set_text(o, "refused_peer", ch->refused_peer);
    return api_made(o, ok);
}

#define CHALLENGE_MEMBERS                                                                       \
    TEXT("id", API_REQUIRED, "Begins with chl_."), TEXT("etag", API_REQUIRED, "For If-Match."), \
        WORD("state", API_REQUIRED, api_challenge_states, "Active: it can be used."),           \
        TEXT("used", API_REQUIRED, "For people: \"1 of 3\"."),                                  \
        NUMBER("uses", API_REQUIRED, "How often it may be used; 0: any number."),               \
        NUMBER("uses_done", API_REQUIRED, "How often it was used."),                            \
        TEXT("label", NULLABLE, "Text of who made it."),                                        \
        TEXT("subject", NULLABLE, "The subject that it is bound to; * stands for any text."),   \
        TEXT("san", NULLABLE, "The alternative names that it is bound to."),                    \
        TEXT("template", NULLABLE, "The template that it is bound to."),                        \
        TEXT("endpoint", NULLABLE, "The endpoint that it is bound to."),                        \
        TEXT("device", NULLABLE, "The id of the device that it is for."),                       \
        TEXT("policy", NULLABLE, "The id of the policy that it was made by."),                  \
        TEXT("created_by", NULLABLE, "Who made it."),                                           \
        TIME("created_at", API_REQUIRED, "When it was made."),                                  \
        TIME("expires_at", NULLABLE, "When it ends; null: never."),                             \
        TIME("revoked_at", NULLABLE, "When it was revoked."),                                   \
        TIME("used_at", NULLABLE, "Its last use."),                                             \
        TEXT("used_by_subject", NULLABLE, "Who used it last."),                                 \
        TEXT("used_by_transaction", NULLABLE, "Under which transaction."),                      \
        TEXT("used_by_peer", NULLABLE, "From which address."),                                  \
        NUMBER("refused", API_REQUIRED, "How often it came after its end."),                    \
        TIME("refused_at", NULLABLE, "When it did so last."),                                   \
        TEXT("refused_peer", NULLABLE, "From which address.")

const struct api_member api_challenge_members[] = {CHALLENGE_MEMBERS, API_SHAPE("Challenge")};

const struct api_member api_new_challenge_members[] = {
    CHALLENGE_MEMBERS,
    {"secret", API_STRING, API_REQUIRED | API_SECRET, 0, CHALLENGE_TEXT_MAX, NULL, NULL,
     "What the device sends: shown now, and never again.", 0},
    TEXT("url", API_REQUIRED, "Where the device sends it."),
    TEXT("device_name", API_NULLABLE, "Of the device that it is for."),
    TEXT("policy_name", API_NULLABLE, "Of the policy that it was made by."),
    TEXT("warnings", API_ARRAY, "What somebody should read, though it was made."),
    API_SHAPE("NewChallenge"),
};

/* ---- list ---- */

static const struct api_member list_query[] = {
    WORD("state", 0, api_challenge_states, "Only those in this state."),
    TEXT("endpoint", 0, "Only those bound to this endpoint."),
    TEXT("created_by", 0, "Only those of this administrator."),
    TEXT("device", 0, "Only active ones of the device with this id."),
    TEXT("policy", 0, "Only active ones of the policy with this id."),
    {0},
};

static void list_one(void *ctx, const struct store_challenge *ch)
{
    struct api_call *c = ctx;
    api_page_put(c, api_challenge_json(c, ch));
}

static bool list(struct api_call *c, struct err *err)
{
    int word = api_query_enum(c, "state", -1);
    struct store_challenge_filter f = {.device = api_query(c, "device"),
                                       .policy = api_query(c, "policy"),
                                       .endpoint = api_query(c, "endpoint"),
                                       .created_by = api_query(c, "created_by"),
                                       .state = (enum challenge_state)(word + CHALLENGE_OPEN),
                                       .now = api_now(c)};
    struct store_page page = api_page_of(c);
    return api_page_reply(c, &page,
                          store_challenge_page(c->world->store, &f, &page, list_one, c, err), err);
}

/* ---- one ---- */

/* An id whole or its beginning; nothing else finds a challenge. */
static bool find(struct api_call *c, struct store_challenge *out, struct err *err)
{
    return store_challenge_by_id(c->world->store, api_param(c, "challenge"), out, err);
}

static bool show(struct api_call *c, struct err *err)
{
    struct store_challenge ch;
    if (!find(c, &ch, err))
        return false;
    api_reply_item(c, api_challenge_json(c, &ch), enroll_challenge_version(&ch), NULL);
    return true;
}

static bool revoke(struct api_call *c, struct err *err)
{
    struct store_challenge ch;
    struct enroll_act act = {.by = api_by(c), .now = api_now(c)};
    if (!find(c, &ch, err))
        return false;
    if (!api_match(c, enroll_challenge_version(&ch), api_challenge_json(c, &ch)))
        return true;
    act.expected = enroll_challenge_version(&ch);
    if (!enroll_challenge_change(c->world->store, ch.id, &act, err))
        return false;
    api_reply_none(c);
    return true;
}

/* ---- new ---- */

static const char *const formats[] = {"groups", "hex16", NULL};
enum { FORMAT_GROUPS, FORMAT_HEX16 };
#define HEX16_OCTETS 8

static const struct api_member new_body[] = {
    {"expires_seconds", API_INTEGER, API_NULLABLE, 1, INT32_MAX, NULL, NULL,
     "How long it may be used; an hour unless said. Null: for ever.", 0},
    {"uses", API_INTEGER, 0, 0, 1000000, NULL, NULL, "How often; 0: any number. Once unless said.",
     0},
    {"endpoint", API_STRING, API_NULLABLE, 1, 127, NULL, NULL,
     "Binds it to the endpoint with this path.", 0},
    {"template", API_STRING, API_NULLABLE, 1, 63, NULL, NULL, "Binds it to this template.", 0},
    {"subject", API_STRING, API_NULLABLE, 1, 1023, NULL, NULL,
     "Binds it to a subject: a common name, or \"CN=ipad-*,O=Example\".", 0},
    {"san", API_STRING, API_NULLABLE, 1, 1023, NULL, NULL,
     "Binds it to alternative names: \"DNS:a.example.org\".", 0},
    {"label", API_STRING, API_NULLABLE, 0, 127, NULL, NULL, "For people; templates may use it.", 0},
    WORD("format", 0, formats,
         "Four groups of four characters, or 16 hexadecimal digits as NDES has them."),
    {0},
};

/* Bindings must name what exists, or nobody could ever use the challenge. */
static void check_bindings(struct api_call *c, struct challenge_wish *w)
{
    const struct config *config = c->world->config;
    const char *endpoint = api_string(c, "endpoint"), *template = api_string(c, "template");
    const struct config_endpoint *e = endpoint ? config_endpoint_by_path(config, endpoint) : NULL;
    bool known = !template;
    if (endpoint && !e)
        api_fault(c, "/endpoint", "not_found", "there is no endpoint \"%s\"", endpoint);
    for (size_t i = 0; i < config->template_n; i++)
        known |= template && strcmp(config->template[i].name, template) == 0;
    if (!known)
        api_fault(c, "/template", "not_found", "there is no template \"%s\"", template);
    w->endpoint = e ? e->path : NULL;
    w->template_name = template;
}

static bool read_wish(struct api_call *c, struct challenge_wish *w)
{
    bool for_ever = api_has(c, "expires_seconds") && api_int(c, "expires_seconds", -1) < 0;
    *w = (struct challenge_wish){
        .ttl = for_ever ? 0 : api_int(c, "expires_seconds", 3600),
        .uses = (uint32_t)api_int(c, "uses", 1),
        .subject = api_string(c, "subject"),
        .san = api_string(c, "san"),
        .label = api_string(c, "label"),
        .created_by = api_by(c),
        .hex = api_enum(c, "format", FORMAT_GROUPS) == FORMAT_HEX16 ? HEX16_OCTETS : 0,
        .now = api_now(c),
    };
    check_bindings(c, w);
    return !api_faulty(c);
}

static json_t *new_json(const struct api_call *c, const struct store_challenge *ch,
                        const char *secret)
{
    const struct config *config = c->world->config;
    json_t *o = api_challenge_json(c, ch);
    char url[512];
    snprintf(url, sizeof url, "%s%s", config->url,
             ch->endpoint[0] ? ch->endpoint : config->endpoint[0].path);
    const struct fleet f = api_fleet(c);
    struct fleet_warnings warnings = {.n = 0};
    fleet_subject_warn(&f, ch->subject, &warnings);
    return api_made(o, o && api_set_text(o, "secret", secret) && api_set_text(o, "url", url) &&
                           api_set_warnings(o, &warnings));
}

static bool make(struct api_call *c, struct err *err)
{
    struct challenge_wish wish;
    struct store_challenge made;
    char secret[CHALLENGE_TEXT_MAX];
    if (!read_wish(c, &wish))
        return true;
    if (!challenge_new(c->world->store, &c->world->rooms->challenge_key, &wish, secret, &made, err))
        return false;
    api_reply_item(c, new_json(c, &made, secret), enroll_challenge_version(&made), "/challenges/%s",
                   made.id);
    OPENSSL_cleanse(secret, sizeof secret);
    return true;
}

const struct api_route api_routes_challenges[] = {
    {HTTP_GET, "/challenges", ROLE_AUDITOR, "challenge_list", "Challenges, newest first.",
     list_query, NULL, api_challenge_members, API_LIST, NULL, list},
    {HTTP_POST, "/challenges", ROLE_OPERATOR, "challenge_new",
     "Makes one; its secret is in this answer only.", NULL, new_body, api_new_challenge_members,
     API_CREATES | API_OPTIONAL_BODY | API_SECRETS, NULL, make},
    {HTTP_GET, "/challenges/{challenge}", ROLE_AUDITOR, "challenge_show",
     "One challenge, without its secret.", NULL, NULL, api_challenge_members, 0, NULL, show},
    {HTTP_DELETE, "/challenges/{challenge}", ROLE_OPERATOR, "challenge_revoke",
     "Nobody can use it any more.", NULL, NULL, NULL, API_CONDITIONAL, NULL, revoke},
    {0},
};
