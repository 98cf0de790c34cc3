#include "api_internal.h"
#include "managed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fleet api_fleet(const struct api_call *c)
{
    return (struct fleet){.store = c->world->store,
                          .config = c->world->config,
                          .key = &c->world->rooms->challenge_key,
                          .actor = api_by(c),
                          .now = api_now(c)};
}

bool api_fleet_done(struct api_call *c, bool ok, struct err *err)
{
    char member[48], pointer[50];
    size_t n = strcspn(err->text, ":");
    if (ok || err->kind != ERR_CONFIG || !err->text[n] || n >= sizeof member)
        return ok;
    snprintf(member, sizeof member, "%.*s", (int)n, err->text);
    if (!json_object_get(c->body, member))
        return false;
    snprintf(pointer, sizeof pointer, "/%s", member);
    api_fault(c, pointer, "input.invalid", "%s", err->text + n + 1 + (err->text[n + 1] == ' '));
    *err = (struct err){0};
    return true;
}

void api_take_text(const struct api_call *c, const char *name, char *field, size_t cap)
{
    const char *text = api_string(c, name);
    if (api_has(c, name))
        snprintf(field, cap, "%s", text ? text : "");
}

const struct api_member api_name_query[] = {
    {"q", API_STRING, 0, 1, 63, NULL, NULL, "The beginning of a name, any case.", 0},
    {0},
};

bool api_set_stamps(json_t *o, int64_t created_at, const char *created_by, int64_t changed_at,
                    const char *changed_by)
{
    return api_set_time(o, "created_at", created_at) && api_set_text(o, "created_by", created_by) &&
           api_set_time(o, "changed_at", changed_at) && api_set_text(o, "changed_by", changed_by);
}

/* ---- what went ---- */

const struct api_member api_effects_members[] = {
    NUMBER("devices", API_REQUIRED, "Devices that lost the policy, having it by no other way."),
    NUMBER("certificates", API_REQUIRED, "Certificates that were revoked."),
    NUMBER("requests", API_REQUIRED, "Requests that were cancelled."),
    NUMBER("challenges", API_REQUIRED, "Challenges that are void."),
    API_SHAPE("Effects"),
};

struct fleet_effects *api_went(struct api_call *c)
{
    return &c->priv->went;
}

bool api_set_warnings(json_t *o, const struct fleet_warnings *w)
{
    json_t *list = json_array();
    for (size_t i = 0; w && i < w->n; i++)
        json_array_append_new(list, api_json_text(w->text[i]));
    return api_set(o, "warnings", list);
}

bool api_set_effects(json_t *o, const struct fleet_effects *e)
{
    json_t *effects = json_object();
    bool ok = api_set_int(effects, "devices", (int64_t)e->devices) &&
              api_set_int(effects, "certificates", (int64_t)e->certificates) &&
              api_set_int(effects, "requests", (int64_t)e->requests) &&
              api_set_int(effects, "challenges", (int64_t)e->challenges);
    return api_set(o, "effects", api_made(effects, ok));
}

const struct api_member api_removed_members[] = {
    THING("effects", API_REQUIRED, api_effects_members, "What went with it."),
    TEXT("warnings", API_REQUIRED | API_ARRAY, API_STAY_HELP),
    API_SHAPE("Removed"),
};

void api_reply_effects(struct api_call *c, const struct fleet_effects *e,
                       const struct fleet_warnings *stay)
{
    json_t *o = json_object();
    api_reply_json(c, 200, api_made(o, api_set_effects(o, e) && api_set_warnings(o, stay)));
}

/* ---- history ---- */

struct history {
    struct api_call *call;
    size_t n;
    struct fleet_cursor next;
    bool more;
};

static bool history_one(void *ctx, const struct fleet_event *e)
{
    struct history *h = ctx;
    if (h->n == (size_t)h->call->limit) {
        h->more = true;
        return false;
    }
    h->n++;
    h->next = (struct fleet_cursor){e->attempt_next, e->audit_next};
    api_page_put(h->call, e->attempt ? api_attempt_json(e->attempt) : api_audit_json(e->audit));
    return true;
}

bool api_history_reply(struct api_call *c, const char *id, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct history h = {.call = c};
    struct fleet_cursor from = {0, 0};
    unsigned long long attempt = 0, audit = 0;
    char next[64] = "";
    int n = 0;
    if (c->cursor[0] &&
        (sscanf(c->cursor, "%20llu.%20llu%n", &attempt, &audit, &n) != 2 || c->cursor[n])) {
        api_cursor_unknown(c);
        return true;
    }
    from = (struct fleet_cursor){attempt, audit};
    if (!fleet_history(&f, id, from, history_one, &h, err))
        return false;
    if (h.more)
        snprintf(next, sizeof next, "%llu.%llu", (unsigned long long)h.next.attempt,
                 (unsigned long long)h.next.audit);
    api_list_next(c, next);
    api_list_reply(c);
    return true;
}
