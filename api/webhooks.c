/* /webhooks: servers elsewhere that are asked or told, as the configuration names them. */
#include <stdio.h>
#include <string.h>

#include "outside/webhook.h"
#include "resources.h"

static const char *const kinds[] = {"validate", "notify", "intune", NULL};

static json_t *webhook_at(const struct api_call *c, size_t i)
{
    const struct config_webhook *w = &c->world->config->webhook[i];
    json_t *o = json_object();
    bool ok = api_set_text(o, "id", w->name) && api_set_text(o, "name", w->name) &&
              api_set_text(o, "kind", kinds[w->kind]) && api_set_text(o, "url", w->url) &&
              api_set_text(o, "tenant", w->tenant) &&
              api_set_int(o, "timeout_seconds", w->timeout) &&
              api_set_int(o, "retries", w->retries) &&
              api_set_bool(o, "refuse_on_failure", w->refuse_on_failure) &&
              api_set(o, "revocations_seconds",
                      w->revocations ? json_integer(w->revocations) : json_null()) &&
              api_set_bool(o, "signed", w->secret_file[0] != '\0');
    return api_made(o, ok);
}

static const struct api_member webhook_members[] = {
    TEXT("id", API_REQUIRED, "Its name."),
    TEXT("name", API_REQUIRED, "Endpoints refer to it so."),
    WORD("kind", API_REQUIRED, kinds,
         "Validate is asked before something is issued, notify is told afterwards."),
    TEXT("url", NULLABLE, "Where; null with intune."),
    TEXT("tenant", NULLABLE, "Of Intune."),
    NUMBER("timeout_seconds", API_REQUIRED, "How long an answer is waited for."),
    NUMBER("retries", API_REQUIRED, "How often it is asked again."),
    FLAG("refuse_on_failure", API_REQUIRED,
         "Without an answer a device is refused, not asked to come again."),
    NUMBER("revocations_seconds", NULLABLE,
           "How often Intune is asked what it wants revoked; null: never."),
    FLAG("signed", API_REQUIRED, "What is sent is signed with a secret, which is shown nowhere."),
    API_SHAPE("Webhook"),
};

static bool list(struct api_call *c, struct err *err)
{
    api_page_whole(c, c->world->config->webhook_n, webhook_at);
    return true;
}

static const struct api_member test_members[] = {
    FLAG("ok", API_REQUIRED, "It answered as it should."),
    TEXT("result", API_REQUIRED, "Whether there was an answer."),
    NUMBER("status", NULLABLE, "Of HTTP."),
    TEXT("text", NULLABLE, "What it said, or why there was no answer."),
    NUMBER("ms", API_REQUIRED, "Milliseconds it took."),
    {0},
};

static bool ask(struct api_call *c, const struct config_webhook *w, struct outside_answer *out,
                struct err *err)
{
    struct buf body = {0};
    char id[64];
    snprintf(id, sizeof id, "test-%lld", (long long)api_now(c));
    struct webhook_facts facts = {
        .event = "test", .id = id, .at = api_now(c), .peer = c->request->peer};
    struct outside_ask q = {.kind = OUTSIDE_WEBHOOK, .name = w->name, .post = true};
    bool ok = webhook_json(&facts, &body, err);
    q.body = buf_view(&body);
    ok = ok && outside_wait(c->world->outside, &q, out, err);
    buf_clear(&body);
    return ok;
}

static bool test(struct api_call *c, struct err *err)
{
    const struct config_webhook *w =
        config_webhook_by_name(c->world->config, api_param(c, "webhook"));
    struct outside_answer a = {.status = 0};
    char text[256] = "";
    if (!w)
        return err_set(err, ERR_NOT_FOUND, "there is no webhook of this name");
    if (w->kind == WEBHOOK_INTUNE)
        return err_set(err, ERR_CONFLICT, "Intune takes nothing but what a device brought");
    if (!c->world->outside)
        return err_set(err, ERR_BUSY,
                       "nobody is there who could ask; scepd was started without webhooks");
    if (!ask(c, w, &a, err))
        return false;
    bool ok = w->kind == WEBHOOK_NOTIFY ? webhook_taken(&a, text)
                                        : webhook_read(&a, text) != WEBHOOK_NOTHING;
    json_t *o = json_object();
    bool made = api_set_bool(o, "ok", ok) &&
                api_set_text(o, "result", outside_result_name(a.result)) &&
                api_set(o, "status", a.status ? json_integer(a.status) : json_null()) &&
                api_set_text(o, "text", a.text[0] ? a.text : text) &&
                api_set_int(o, "ms", (int64_t)(a.seconds * 1000));
    outside_answer_clear(&a);
    api_reply_json(c, 200, api_made(o, made));
    return true;
}

const struct api_route api_routes_webhooks[] = {
    {HTTP_GET, "/webhooks", ROLE_AUDITOR, "webhook_list",
     "Servers elsewhere that are asked or told.", NULL, NULL, webhook_members, API_LIST, NULL,
     list},
    {HTTP_POST, "/webhooks/{webhook}/test", ROLE_ADMINISTRATOR, "webhook_test",
     "Sends it an event named test, and tells what it answers.", NULL, NULL, test_members, 0, NULL,
     test},
    {0},
};
