/* /policies: which certificate devices are to have, and which devices. */
#include <stdio.h>
#include <string.h>

#include "managed.h"
#include "pkcs7/csr.h"

static const char *const challenge_words[] = {"one-time", "static", "upstream", "none", NULL};
static const char *const key_words[] = {"rsa", "ec", NULL};
static const char *const usage_words[] = {"signing", "encryption", NULL};

/* ---- as JSON ---- */

static json_t *usage_json(unsigned usage)
{
    json_t *list = json_array();
    if (usage & POLICY_USAGE_SIGNING)
        json_array_append_new(list, json_string("signing"));
    if (usage & POLICY_USAGE_ENCRYPTION)
        json_array_append_new(list, json_string("encryption"));
    return list;
}

json_t *api_policy_json(const struct store_policy *p)
{
    json_t *o = json_object();
    bool ok = api_set_text(o, "id", p->id) && api_set(o, "etag", api_json_etag(p->version)) &&
              api_set_text(o, "name", p->name) && api_set_text(o, "endpoint", p->endpoint) &&
              api_set_text(o, "subject", p->subject) && api_set_text(o, "san", p->san) &&
              api_set_text(o, "challenge", challenge_words[p->challenge]) &&
              api_set_int(o, "challenge_ttl_seconds", p->challenge_ttl) &&
              api_set_text(o, "key_type", p->key_type) && api_set_int(o, "key_size", p->key_size) &&
              api_set(o, "key_usage", usage_json(p->key_usage)) && api_set_text(o, "eku", p->eku) &&
              api_set_int(o, "retries", p->retries) &&
              api_set_int(o, "retry_delay_seconds", p->retry_delay) &&
              api_set_bool(o, "revoke_on_removal", p->revoke_on_removal) &&
              api_set_bool(o, "paused", p->paused) &&
              api_set_stamps(o, p->created_at, p->created_by, p->changed_at, p->changed_by);
    return api_made(o, ok);
}

#define POLICY_MEMBERS                                                                             \
    TEXT("id", API_REQUIRED, "Begins with pol_."), TEXT("etag", API_REQUIRED, "For If-Match."),    \
        TEXT("name", API_REQUIRED, "Unique, in any case of letters."),                             \
        TEXT("endpoint", API_REQUIRED,                                                             \
             "The path where its devices enrol: names authority and template."),                   \
        TEXT("subject", NULLABLE, "With %wildcards%."),                                            \
        TEXT("san", NULLABLE, "With %wildcards%."),                                                \
        WORD("challenge", API_REQUIRED, challenge_words, "Which challenge its devices bring."),    \
        NUMBER("challenge_ttl_seconds", API_REQUIRED, "How long one may be used."),                \
        WORD("key_type", API_REQUIRED, key_words, "Of the device's key."),                         \
        NUMBER("key_size", API_REQUIRED, "Bits."),                                                 \
        WORD("key_usage", API_REQUIRED | API_ARRAY, usage_words, "What profiles ask for."),        \
        TEXT("eku", NULLABLE, "Extended key usages that profiles ask for; null: the template's."), \
        NUMBER("retries", API_REQUIRED, "How often a device asks again."),                         \
        NUMBER("retry_delay_seconds", API_REQUIRED, "How long it waits in between."),              \
        FLAG("revoke_on_removal", API_REQUIRED,                                                    \
             "Who loses it also loses the certificates that came by it."),                         \
        FLAG("paused", API_REQUIRED, "No enrolments and no renewals."), STAMP_MEMBERS

const struct api_member api_policy_members[] = {POLICY_MEMBERS, API_SHAPE("Policy")};

static const struct api_member warned_members[] = {
    POLICY_MEMBERS,
    TEXT("warnings", API_ARRAY, "What somebody should read, though it was done."),
    API_SHAPE("PolicyWithWarnings"),
};

static const struct api_member edited_members[] = {
    POLICY_MEMBERS,
    TEXT("warnings", API_ARRAY, "What somebody should read, though it was done."),
    THING("effects", API_REQUIRED, api_effects_members, "Challenges made for it that are void."),
    {0},
};

static json_t *warned_json(const struct store_policy *p, const struct fleet_warnings *w)
{
    json_t *o = api_policy_json(p);
    return api_made(o, api_set_warnings(o, w) && o);
}

/* ---- list, one ---- */

static void list_one(void *ctx, const struct store_policy *p)
{
    api_page_put(ctx, api_policy_json(p));
}

static bool list(struct api_call *c, struct err *err)
{
    struct store_page page = api_page_of(c);
    return api_page_reply(
        c, &page, store_policy_page(c->world->store, api_query(c, "q"), &page, list_one, c, err),
        err);
}

static bool find(struct api_call *c, struct store_policy *out, struct err *err)
{
    struct fleet f = api_fleet(c);
    return fleet_policy_get(&f, api_param(c, "policy"), out, err);
}

/* The policy for a call that changes it; false: what the handler has to return is in `ok`. */
static bool find_to_change(struct api_call *c, struct store_policy *out, bool *ok, struct err *err)
{
    *ok = find(c, out, err);
    return *ok && api_match(c, out->version, api_policy_json(out));
}

static bool show(struct api_call *c, struct err *err)
{
    struct store_policy p;
    if (!find(c, &p, err))
        return false;
    api_reply_item(c, api_policy_json(&p), p.version, NULL);
    return true;
}

/* ---- new, edit, remove ---- */

#define POLICY_BODY                                                                                 \
    {"endpoint", API_STRING, 0,    0,                                                               \
     127,        NULL,       NULL, "Its path; may be left out when there is one only.",             \
     0},                                                                                            \
        {"subject", API_STRING, API_NULLABLE, 0, 511, NULL, NULL, "\"CN=%devicename%,O=Example\".", \
         0},                                                                                        \
        {"san", API_STRING, API_NULLABLE, 0, 511, NULL, NULL, "\"DNS:%host%,email:%email%\".", 0},  \
        WORD("challenge", 0, challenge_words, "One-time unless said."), {"challenge_ttl_seconds",   \
                                                                         API_INTEGER,               \
                                                                         0,                         \
                                                                         0,                         \
                                                                         INT32_MAX,                 \
                                                                         NULL,                      \
                                                                         NULL,                      \
                                                                         "An hour unless said.",    \
                                                                         0},                        \
        WORD("key_type", 0, key_words, "RSA unless said."),                                         \
        {"key_size", API_INTEGER, 0, 0, 16384, NULL, NULL, "2048 or 256 unless said.", 0},          \
        {"key_usage", API_ENUM, API_ARRAY, 0, 0, usage_words, NULL, "Both unless said.", 2},        \
        {"eku", API_STRING, API_NULLABLE, 0, 255, NULL, NULL, "Names with commas between.", 0},     \
        {"retries", API_INTEGER, 0, 0, 1000, NULL, NULL, "How often a device asks again.", 0},      \
        {"retry_delay_seconds",                                                                     \
         API_INTEGER,                                                                               \
         0,                                                                                         \
         0,                                                                                         \
         86400,                                                                                     \
         NULL,                                                                                      \
         NULL,                                                                                      \
         "How long it waits in between.",                                                           \
         0},                                                                                        \
        FLAG("revoke_on_removal", 0, "Who loses it also loses the certificates that came by it."),  \
        FLAG("paused", 0, "No enrolments and no renewals.")

static const struct api_member new_body[] = {
    {"name", API_STRING, API_REQUIRED, 1, 63, NULL, NULL, "Unique, in any case of letters.", 0},
    POLICY_BODY,
    {0}};
static const struct api_member edit_body[] = {
    {"name", API_STRING, 0, 1, 63, NULL, NULL, "Unique, in any case of letters.", 0},
    POLICY_BODY,
    {0}};

static unsigned usage_of(const struct api_call *c, unsigned otherwise)
{
    size_t i;
    json_t *word, *list = json_object_get(c->body, "key_usage");
    unsigned usage = 0;
    if (!json_is_array(list))
        return otherwise;
    json_array_foreach(list, i, word) usage |= strcmp(json_string_value(word), "signing") == 0
                                                   ? POLICY_USAGE_SIGNING
                                                   : POLICY_USAGE_ENCRYPTION;
    return usage;
}

static void take_policy(const struct api_call *c, struct store_policy *p)
{
    bool other_key = api_has(c, "key_type") && strcmp(api_string(c, "key_type"), p->key_type) != 0;
    api_take_text(c, "name", p->name, sizeof p->name);
    api_take_text(c, "endpoint", p->endpoint, sizeof p->endpoint);
    api_take_text(c, "subject", p->subject, sizeof p->subject);
    api_take_text(c, "san", p->san, sizeof p->san);
    api_take_text(c, "key_type", p->key_type, sizeof p->key_type);
    api_take_text(c, "eku", p->eku, sizeof p->eku);
    p->challenge = (enum policy_challenge)api_enum(c, "challenge", (int)p->challenge);
    p->challenge_ttl = api_int(c, "challenge_ttl_seconds", p->challenge_ttl);
    p->key_size = (uint32_t)api_int(c, "key_size", other_key ? 0 : p->key_size);
    p->key_usage = usage_of(c, p->key_usage);
    p->retries = (uint32_t)api_int(c, "retries", p->retries);
    p->retry_delay = (uint32_t)api_int(c, "retry_delay_seconds", p->retry_delay);
    p->revoke_on_removal = api_bool(c, "revoke_on_removal", p->revoke_on_removal);
    p->paused = api_bool(c, "paused", p->paused);
}

static bool make(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct fleet_warnings warn = {.n = 0};
    struct store_policy p = {.key_type = "rsa",
                             .key_usage = POLICY_USAGE_SIGNING | POLICY_USAGE_ENCRYPTION};
    take_policy(c, &p);
    if (!fleet_policy_new(&f, &p, &warn, err))
        return api_fleet_done(c, false, err);
    api_reply_item(c, warned_json(&p, &warn), p.version, "/policies/%s", p.id);
    return true;
}

static bool edit(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct fleet_warnings warn = {.n = 0};
    struct store_policy p;
    bool ok;
    if (!find_to_change(c, &p, &ok, err))
        return ok;
    uint64_t version = p.version;
    take_policy(c, &p);
    if (!fleet_policy_edit(&f, version, &p, api_went(c), &warn, err))
        return api_fleet_done(c, false, err);
    json_t *o = warned_json(&p, &warn);
    api_reply_item(c, api_made(o, o && api_set_effects(o, api_went(c))), p.version, NULL);
    return true;
}

static bool remove_policy(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_policy p;
    struct fleet_effects e = {.dry_run = false};
    struct fleet_warnings stay = {.n = 0};
    bool ok;
    if (!find_to_change(c, &p, &ok, err))
        return ok;
    fleet_outside(&f, &(struct fleet_leaving){.policy = p.id}, &stay);
    if (!fleet_policy_remove(&f, p.id, p.version, &e, err))
        return false;
    api_reply_effects(c, &e, &stay);
    return true;
}

/* ---- assignments ---- */

static const char *const target_kinds[] = {"device", "group", NULL};

static const struct api_member target_members[] = {
    TEXT("id", API_REQUIRED, "Of the device or group."),
    WORD("kind", API_REQUIRED, target_kinds, "What it is."),
    TEXT("name", API_REQUIRED, "Its name."),
    TEXT("by", NULLABLE, "Who assigned it."),
    TIME("at", NULLABLE, "When."),
    {0},
};

static void target_one(void *ctx, const struct store_tie *t)
{
    struct api_call *c = ctx;
    json_t *o = json_object();
    struct store_device d;
    struct store_group g;
    struct err ignored = {0};
    bool group = strncmp(t->held, "grp_", 4) == 0;
    const char *name = t->held;
    if (group && store_group_get(c->world->store, t->held, &g, &ignored))
        name = g.name;
    else if (!group && store_device_get(c->world->store, t->held, &d, &ignored))
        name = d.name;
    bool ok = api_set_text(o, "id", t->held) && api_set_text(o, "kind", target_kinds[group]) &&
              api_set_text(o, "name", name) && api_set_text(o, "by", t->by) &&
              api_set_time(o, "at", t->at);
    api_page_put(c, api_made(o, ok));
}

static bool targets(struct api_call *c, struct err *err)
{
    struct store_policy p;
    struct store_page page = api_page_of(c);
    return find(c, &p, err) &&
           api_page_reply(c, &page,
                          store_policy_targets(c->world->store, p.id, &page, target_one, c, err),
                          err);
}

static const struct api_member assign_body[] = {
    FLAG("force", 0, "Also when the subject names nothing of the device, and it is for a group."),
    {0},
};

static const struct api_member assigned_members[] = {
    FLAG("changed", API_REQUIRED, "False: it was assigned already."),
    THING("effects", API_REQUIRED, api_effects_members,
          "Challenges that are void: the policy gives another %group% now."),
    TEXT("warnings", API_REQUIRED | API_ARRAY, "What somebody should read, though it was done."),
    {0},
};

static bool assign(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct fleet_warnings warn = {.n = 0};
    struct store_policy p;
    bool ok, changed;
    if (!find_to_change(c, &p, &ok, err))
        return ok;
    if (!fleet_policy_assign(&f, p.id, p.version, api_param(c, "target"),
                             api_bool(c, "force", false), &warn, api_went(c), &changed, err))
        return false;
    json_t *o = json_object();
    api_reply_json(c, 200,
                   api_made(o, api_set_bool(o, "changed", changed) &&
                                   api_set_effects(o, api_went(c)) && api_set_warnings(o, &warn)));
    return true;
}

static bool unassign(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_policy p;
    struct fleet_effects e = {.dry_run = false};
    struct fleet_warnings stay = {.n = 0};
    bool ok;
    if (!find_to_change(c, &p, &ok, err))
        return ok;
    const struct fleet_leaving goes = {.target = api_param(c, "target"), .policy = p.id};
    fleet_outside(&f, &goes, &stay);
    if (!fleet_policy_unassign(&f, p.id, p.version, api_param(c, "target"), &e, err))
        return false;
    api_reply_effects(c, &e, &stay);
    return true;
}

static bool events(struct api_call *c, struct err *err)
{
    struct store_policy p;
    return find(c, &p, err) && api_history_reply(c, p.id, err);
}

/* ---- check ---- */

static const struct api_member check_body[] = {
    {"device", API_STRING, API_REQUIRED, 1, 127, NULL, NULL, "Id or name.", 0},
    {"csr", API_STRING, API_NULLABLE | API_LINES, 0, 100000, NULL, NULL,
     "A PKCS#10 request, PEM or base64.", 0},
    {0},
};

static const struct api_member finding_members[] = {
    TEXT("what", API_REQUIRED, "What was looked at."),
    FLAG("ok", API_REQUIRED, "It is as it must be."),
    TEXT("text", API_REQUIRED, "One sentence."),
    {0},
};

static const struct api_member check_members[] = {
    FLAG("ok", API_REQUIRED, "All of it is."),
    TEXT("subject", NULLABLE, "What the certificate would say; null: the names cannot be made."),
    TEXT("san", NULLABLE, "The same of alternative names."),
    THING("findings", API_REQUIRED | API_ARRAY, finding_members,
          "Each of the things that were looked at."),
    {0},
};

static json_t *findings_json(const struct fleet_check *check)
{
    json_t *list = json_array();
    for (size_t i = 0; i < check->n; i++) {
        const struct fleet_finding *f = &check->finding[i];
        json_t *o = json_object();
        bool ok = api_set_text(o, "what", f->what) && api_set_bool(o, "ok", f->ok) &&
                  api_set_text(o, "text", f->text);
        json_array_append_new(list, api_made(o, ok));
    }
    return list;
}

static bool check(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct fleet_check found = {.n = 0};
    struct csr *csr = NULL;
    const char *given = api_string(c, "csr");
    if (given && *given && !api_body_csr(c, &csr, err))
        return api_faulty(c);
    bool ok = fleet_policy_check(&f, api_param(c, "policy"), api_string(c, "device"),
                                 csr ? buf_view(&csr->der) : view_of(NULL, 0), &found, err);
    csr_free(csr);
    if (!ok)
        return api_fleet_done(c, false, err);
    json_t *o = json_object();
    bool made =
        api_set_bool(o, "ok", found.ok) && api_set_text(o, "subject", found.names.subject) &&
        api_set_text(o, "san", found.names.san) && api_set(o, "findings", findings_json(&found));
    api_reply_json(c, 200, api_made(o, made));
    return true;
}

const struct api_route api_routes_policies[] = {
    {HTTP_GET, "/policies", ROLE_AUDITOR, "policy_list", "Policies by name.", api_name_query, NULL,
     api_policy_members, API_LIST, NULL, list},
    {HTTP_POST, "/policies", ROLE_ADMINISTRATOR, "policy_new", "Makes one.", NULL, new_body,
     warned_members, API_CREATES, NULL, make},
    {HTTP_GET, "/policies/{policy}", ROLE_AUDITOR, "policy_show", "One policy, by id or name.",
     NULL, NULL, api_policy_members, 0, NULL, show},
    {HTTP_PATCH, "/policies/{policy}", ROLE_ADMINISTRATOR, "policy_edit",
     "Changes what is given.  When names, endpoint or key change, open challenges made by it are "
     "void.",
     NULL, edit_body, edited_members, API_CONDITIONAL, NULL, edit},
    {HTTP_DELETE, "/policies/{policy}", ROLE_ADMINISTRATOR, "policy_remove",
     "Its assignments go first, then what came by it, then itself.", NULL, NULL,
     api_removed_members, API_CONDITIONAL, NULL, remove_policy},
    {HTTP_GET, "/policies/{policy}/assignments", ROLE_AUDITOR, "policy_assignments",
     "Devices, then groups, that were given it.", NULL, NULL, target_members, API_LIST, NULL,
     targets},
    {HTTP_PUT, "/policies/{policy}/assignments/{target}", ROLE_ADMINISTRATOR, "policy_assign",
     "Gives it to a device or a group, by id or name.", NULL, assign_body, assigned_members,
     API_CONDITIONAL | API_OPTIONAL_BODY, NULL, assign},
    {HTTP_DELETE, "/policies/{policy}/assignments/{target}", ROLE_ADMINISTRATOR, "policy_unassign",
     "Devices that have it by no other way lose what they got by it.", NULL, NULL,
     api_removed_members, API_CONDITIONAL, NULL, unassign},
    {HTTP_GET, "/policies/{policy}/events", ROLE_AUDITOR, "policy_events",
     "What came by it and what was done with it, newest first.", NULL, NULL, api_event_members,
     API_LIST, NULL, events},
    {HTTP_POST, "/policies/{policy}/check", ROLE_AUDITOR, "policy_check",
     "What a device would get, and whether a request fits; changes nothing.", NULL, check_body,
     check_members, API_UNRECORDED, NULL, check},
    {0},
};
