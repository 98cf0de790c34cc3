#include "bulk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

const char *const bulk_actions[] = {"revoke", "retire", "isolate",  "release", "approve",
                                    "deny",   "assign", "unassign", NULL};

#define SAMPLE 10

/* ---- choosing ---- */

static void choose(struct bulk_choice *b, const char *name, const char *shown)
{
    b->too_many |= b->n == STORE_JOB_ITEMS;
    if (b->too_many)
        return;
    b->failed |= !buf_append(&b->names, name, strlen(name) + 1);
    b->n++;
    if (json_array_size(b->sample) < SAMPLE)
        b->failed |= json_array_append_new(b->sample, api_json_text(shown)) != 0;
}

struct choosing {
    const struct api_call *call;
    struct bulk_choice *out;
};

static void choose_cert(void *ctx, const struct store_cert *cert)
{
    struct choosing *x = ctx;
    char serial[2 * STORE_SERIAL_MAX + 1];
    if (cert->state == CERT_REVOKED)
        return;
    hex_encode(view_of(cert->serial, cert->serial_len), serial);
    choose(x->out, serial, serial);
}

static void choose_device(void *ctx, const struct store_device *d)
{
    struct choosing *x = ctx;
    choose(x->out, d->id, d->name);
}

static void choose_request(void *ctx, const struct store_request *r)
{
    struct choosing *x = ctx;
    choose(x->out, r->id, r->id);
}

static const char *wanted(const struct api_call *c, const char *name)
{
    const char *s = json_string_value(json_object_get(json_object_get(c->body, "filter"), name));
    return s && *s ? s : NULL;
}

static int state_of(const struct api_call *c, const char *const *words)
{
    const char *s = wanted(c, "state");
    for (int i = 0; s && words[i]; i++)
        if (strcmp(words[i], s) == 0)
            return i;
    return -1;
}

typedef bool (*page_fn)(struct choosing *x, struct store_page *page, struct err *err);

static bool cert_page(struct choosing *x, struct store_page *page, struct err *err)
{
    int word = state_of(x->call, api_certificate_choices);
    struct store_cert_filter f = {.text = wanted(x->call, "q"),
                                  .endpoint = wanted(x->call, "endpoint"),
                                  .template_name = wanted(x->call, "template"),
                                  .device = wanted(x->call, "device"),
                                  .policy = wanted(x->call, "policy")};
    api_certificate_choose(&f, word, api_now(x->call));
    if (word != API_CERTIFICATE_EXPIRED) /* those only when asked for */
        f.expires_from = api_now(x->call);
    if (api_certificate_of_serial(x->call->world->store, &f, choose_cert, x))
        return true;
    return store_cert_page(x->call->world->store, &f, page, choose_cert, x, err);
}

static bool device_page(struct choosing *x, struct store_page *page, struct err *err)
{
    struct store_device_filter f = {.text = wanted(x->call, "q"),
                                    .state = state_of(x->call, api_device_states),
                                    .platform = wanted(x->call, "platform"),
                                    .user = wanted(x->call, "user"),
                                    .group = wanted(x->call, "group"),
                                    .policy = wanted(x->call, "policy")};
    return store_device_page(x->call->world->store, &f, page, choose_device, x, err);
}

static bool request_page(struct choosing *x, struct store_page *page, struct err *err)
{
    int state = state_of(x->call, api_request_states);
    struct store_request_filter f = {.state = state < 0 ? (int)REQUEST_PENDING : state,
                                     .device = wanted(x->call, "device"),
                                     .policy = wanted(x->call, "policy"),
                                     .endpoint = wanted(x->call, "endpoint")};
    return store_request_page(x->call->world->store, &f, page, choose_request, x, err);
}

static bool by_filter(struct choosing *x, page_fn next, struct err *err)
{
    char after[STORE_CURSOR_MAX] = "";
    do {
        struct store_page page = {.after = after, .limit = STORE_PAGE_MAX};
        if (!next(x, &page, err))
            return false;
        snprintf(after, sizeof after, "%s", page.next);
    } while (after[0] && !x->out->too_many && !x->out->failed);
    return true;
}

static void by_ids(const struct api_call *c, struct bulk_choice *out)
{
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(c->body, "ids"), i, id)
    {
        const char *name = json_string_value(id);
        if (name && *name && strlen(name) < STORE_JOB_ITEM)
            choose(out, name, name);
    }
}

/* What actions are about, and by what of it a filter chooses. */
static const struct about {
    page_fn page;
    const char *const *states;
    const char *members[8];
} certificates = {cert_page,
                  api_certificate_choices,
                  {"q", "state", "endpoint", "template", "device", "policy"}},
  requests = {request_page, api_request_states, {"state", "endpoint", "device", "policy"}},
  devices = {device_page, api_device_states, {"q", "state", "platform", "user", "group", "policy"}};

static const struct about *about_of(enum bulk_action action)
{
    return action == BULK_REVOKE                           ? &certificates
           : action == BULK_APPROVE || action == BULK_DENY ? &requests
                                                           : &devices;
}

static bool has_word(const char *const *words, const char *word)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

void bulk_check_filter(struct api_call *c, enum bulk_action action)
{
    const struct about *about = about_of(action);
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(c->body, "filter"), name, value)
    {
        const char *text = json_string_value(value);
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/filter/%.40s", name);
        if (!text) /* null: not asked for */
            continue;
        if (!has_word(about->members, name))
            api_fault(c, pointer, "input.invalid", "what action %s is about has no %.40s",
                      bulk_actions[action], name);
        else if (!*text)
            api_fault(c, pointer, "input.invalid", "it is empty: leave it out");
        else if (strcmp(name, "state") == 0 && !has_word(about->states, text))
            api_fault(c, pointer, "input.invalid", "no state of what action %s is about",
                      bulk_actions[action]);
    }
}

bool bulk_choose(struct api_call *c, enum bulk_action action, struct bulk_choice *out,
                 struct err *err)
{
    struct choosing x = {.call = c, .out = out};
    *out = (struct bulk_choice){.sample = json_array()};
    bool ok = true;
    if (api_has(c, "ids"))
        by_ids(c, out);
    else
        ok = by_filter(&x, about_of(action)->page, err);
    return ok && (!out->failed || err_memory(err));
}

void bulk_outside(const struct api_call *c, enum bulk_action action, const char *policy,
                  const struct bulk_choice *b, struct fleet_warnings *stay)
{
    const struct fleet f = api_fleet(c);
    const struct fleet_leaving goes = {.targets = buf_view(&b->names),
                                       .policy = action == BULK_UNASSIGN ? policy : NULL};
    if (b->n && (action == BULK_RETIRE || action == BULK_UNASSIGN))
        fleet_outside(&f, &goes, stay);
}

void bulk_choice_clear(struct bulk_choice *b)
{
    buf_clear(&b->names);
    json_decref(b->sample);
    *b = (struct bulk_choice){.n = 0};
}

/* ---- doing ---- */

static bool revoke(const struct bulk_act *act, const char *item, struct err *err)
{
    struct store_cert cert = {.id = 0};
    struct enroll_act how = {.by = act->fleet.actor, .note = act->note, .now = act->fleet.now};
    char digits[2 * STORE_SERIAL_MAX + 1];
    if (!store_serial_whole(view_str(item), digits))
        return err_set(err, ERR_NOT_FOUND, "%s is no serial", item);
    if (!store_cert_by_prefix(act->fleet.store, digits, &cert, err))
        return false;
    bool there = cert.state == CERT_REVOKED || (cert.state == CERT_HELD && act->reason == CRL_HOLD);
    bool ok = there || enroll_cert_change(act->fleet.store, cert.id, act->reason, &how, err);
    store_cert_clear(&cert);
    return ok;
}

static bool decide(const struct bulk_act *act, const char *item, struct err *err)
{
    struct store_request r = {.id = ""}, after = {.id = ""};
    struct enroll_act how = {.by = act->fleet.actor, .note = act->note, .now = act->fleet.now};
    bool approve = act->action == BULK_APPROVE;
    if (!store_request_get(act->fleet.store, item, &r, err))
        return false;
    bool there = approve ? r.state == REQUEST_APPROVED || r.state == REQUEST_ISSUED
                         : r.state == REQUEST_DENIED;
    bool ok =
        there || enroll_request_change(act->fleet.store, r.id,
                                       approve ? ENROLL_APPROVE : ENROLL_DENY, &how, &after, err);
    store_request_clear(&r);
    store_request_clear(&after);
    return ok;
}

static bool turn(const struct bulk_act *act, const char *item, struct err *err)
{
    struct fleet_effects e = {.dry_run = false};
    struct store_device d, after;
    if (!fleet_device_get(&act->fleet, item, &d, err))
        return false;
    bool ok = act->action == BULK_RETIRE
                  ? fleet_device_retire(&act->fleet, d.id, 0, act->note, &e, &after, err)
              : act->action == BULK_ISOLATE
                  ? fleet_device_isolate(&act->fleet, d.id, 0, act->note, &after, err)
                  : fleet_device_release(&act->fleet, d.id, 0, act->note, &after, err);
    enum device_state wanted_state = act->action == BULK_RETIRE    ? DEVICE_RETIRED
                                     : act->action == BULK_ISOLATE ? DEVICE_ISOLATED
                                                                   : DEVICE_ACTIVE;
    if (!ok && err->kind == ERR_CONFLICT && d.state == wanted_state) {
        *err = (struct err){0};
        ok = true;
    }
    return ok;
}

/* Of a device or group that stands, and only has not what would be taken from it. */
static bool has_it_not(const struct bulk_act *act, const char *item)
{
    struct store_device d;
    struct store_group g;
    struct store_policy p;
    struct err ignored = {0};
    return fleet_policy_get(&act->fleet, act->policy, &p, &ignored) &&
           (fleet_device_get(&act->fleet, item, &d, &ignored) ||
            fleet_group_get(&act->fleet, item, &g, &ignored));
}

static bool give(const struct bulk_act *act, const char *item, struct err *err)
{
    struct fleet_effects e = {.dry_run = false};
    struct fleet_warnings warn = {.n = 0};
    bool changed;
    bool ok = act->action == BULK_ASSIGN
                  ? fleet_policy_assign(&act->fleet, act->policy, 0, item, false, &warn, &e,
                                        &changed, err)
                  : fleet_policy_unassign(&act->fleet, act->policy, 0, item, &e, err);
    if (!ok && act->action == BULK_UNASSIGN && err->kind == ERR_NOT_FOUND &&
        has_it_not(act, item)) {
        *err = (struct err){0};
        ok = true;
    }
    return ok;
}

bool bulk_do(const struct bulk_act *act, const char *item, struct err *err)
{
    switch (act->action) {
    case BULK_REVOKE:
        return revoke(act, item, err);
    case BULK_RETIRE:
    case BULK_ISOLATE:
    case BULK_RELEASE:
        return turn(act, item, err);
    case BULK_APPROVE:
    case BULK_DENY:
        return decide(act, item, err);
    case BULK_ASSIGN:
    case BULK_UNASSIGN:
        return give(act, item, err);
    }
    return err_set(err, ERR_CONFIG, "no such action");
}
