/* /status: is all well?  /overview: one call for the first page. */
#include <stdio.h>
#include <string.h>

#include "activity.h"
#include "api_internal.h"
#include "base/text.h"
#include "resources.h"

#define DAY INT64_C(86400)

/* ---- status ---- */

static const char *const status_words[] = {"pass", "warn", "fail", NULL};

static const struct api_member check_members[] = {
    TEXT("name", API_REQUIRED, "What was looked at; docs/METRICS.md has them all."),
    WORD("status", API_REQUIRED, status_words, "Warn: it will become a failure."),
    TEXT("text", API_REQUIRED, "One sentence."),
    {"value", API_INTEGER, 0, INT64_MIN, INT64_MAX, NULL, NULL, "What was measured.", 0},
    TEXT("unit", 0, "Of value and limit."),
    {"limit", API_INTEGER, 0, INT64_MIN, INT64_MAX, NULL, NULL, "Where it begins to warn.", 0},
    TEXT("fix", 0, "What to do."),
    {0},
};

static const struct api_member status_members[] = {
    WORD("status", API_REQUIRED, status_words, "The worst of all checks."),
    TEXT("version", 0, "Of the daemon."),
    THING("checks", API_REQUIRED | API_ARRAY, check_members, "Each with what to do."),
    {0},
};

static bool status(struct api_call *c, struct err *err)
{
    const struct api_ops *ops = &c->world->ops;
    if (!ops->health)
        return err_set(err, ERR_BUSY, "nobody has looked yet");
    api_reply_json(c, 200, ops->health(ops->ctx));
    return true;
}

/* ---- attention: what somebody should look at, worst first ---- */

static const struct api_member attention_members[] = {
    TEXT("code", API_REQUIRED, "A check's name, a reason's code, or what waits."),
    WORD("status", API_REQUIRED, status_words, "How bad it is."),
    TEXT("text", API_REQUIRED, "One sentence."),
    TEXT("fix", NULLABLE, "What to do."),
    TEXT("link", NULLABLE, "Where more of it is, below this API."),
    {0},
};

static bool attend(json_t *list, const char *code, const char *status, const char *text,
                   const char *fix, const char *link)
{
    json_t *o = json_object();
    bool ok = api_set_text(o, "code", code) && api_set_text(o, "status", status) &&
              api_set_text(o, "text", text) && api_set_text(o, "fix", fix) &&
              api_set_text(o, "link", link);
    return json_array_append_new(list, api_made(o, ok)) == 0;
}

static bool attend_checks(json_t *list, const json_t *health, const char *wanted)
{
    size_t i;
    const json_t *check, *checks = json_object_get(health, "checks");
    bool ok = true;
    json_array_foreach((json_t *)checks, i, check)
    {
        const char *status = json_string_value(json_object_get(check, "status"));
        if (status && strcmp(status, wanted) == 0)
            ok = ok && attend(list, json_string_value(json_object_get(check, "name")), status,
                              json_string_value(json_object_get(check, "text")),
                              json_string_value(json_object_get(check, "fix")), "/status");
    }
    return ok;
}

/* The reason that most of a day's refusals have, if they are more than a few. */
static bool attend_refusals(json_t *list, const struct activity_figures *f)
{
    const struct activity_reason *r = &f->reason[0];
    char text[320], since[32], link[96], fix[EXPLAIN_TEXT];
    if (!f->reason_n || r->n < 3)
        return true;
    enum reason reason = reason_by_code(r->code);
    text_time(r->since, since);
    snprintf(text, sizeof text, "%llu refused since %s: %s", (unsigned long long)r->n, since,
             reason_info(reason)->text);
    snprintf(link, sizeof link, "/explain?what=%s", r->code);
    explain_fill(reason_help(reason)->fix, NULL, fix, sizeof fix);
    return attend(list, r->code, "warn", text, fix, link);
}

static bool attend_pending(json_t *list, uint64_t pending, int64_t oldest)
{
    char text[160], since[32] = "";
    if (!pending)
        return true;
    text_time(oldest, since);
    snprintf(text, sizeof text, "%llu request%s for approval%s%s", (unsigned long long)pending,
             pending == 1 ? " waits" : "s wait", oldest ? ", the oldest since " : "", since);
    return attend(list, "requests.pending", "warn", text, "approve or deny",
                  "/requests?state=pending");
}

static json_t *attention_json(const json_t *health, const struct activity_figures *f,
                              uint64_t pending, int64_t oldest)
{
    json_t *list = json_array();
    bool ok = attend_checks(list, health, "fail") && attend_refusals(list, f) &&
              attend_checks(list, health, "warn") && attend_pending(list, pending, oldest);
    return api_made(list, ok);
}

/* ---- figures ---- */

static const struct api_member certificate_counts[] = {
    NUMBER("active", API_REQUIRED, "Active ones that have not ended before today."),
    NUMBER("revoked", API_REQUIRED, "Revoked ones."),
    NUMBER("held", API_REQUIRED, "On hold."),
    NUMBER("superseded", API_REQUIRED, "Whose place another took, and that have not ended."),
    NUMBER("expired", API_REQUIRED, "Those that have ended."),
    NUMBER("expiring_7d", API_REQUIRED, "Active ones that end within 7 days."),
    NUMBER("expiring_30d", API_REQUIRED, "Active ones that end within 30 days."),
    {0},
};

static const struct api_member device_counts[] = {
    NUMBER("active", API_REQUIRED, "Devices."),
    NUMBER("isolated", API_REQUIRED, "Devices that get nothing new."),
    NUMBER("retired", API_REQUIRED, "Devices that are gone."),
    {0},
};

static const struct api_member request_counts[] = {
    NUMBER("pending", API_REQUIRED, "How many wait for an administrator."),
    TIME("oldest_at", NULLABLE, "When the one that waits longest came."),
    {0},
};

static const struct api_member challenge_counts[] = {
    NUMBER("stored", API_REQUIRED, "Challenges that are remembered, in whatever state."),
    NUMBER("made", API_REQUIRED, "How many were ever made."),
    {0},
};

static const struct api_member hour_members[] = {
    TIME("at", API_REQUIRED, "When the hour began."),
    NUMBER("issued", API_REQUIRED, "Certificates issued and renewed in it."),
    NUMBER("refused", API_REQUIRED, "Refusals in it."),
    {0},
};

static const struct api_member reason_count_members[] = {
    TEXT("code", API_REQUIRED, "The reason."),
    TEXT("text", API_REQUIRED, "The same in words."),
    NUMBER("count", API_REQUIRED, "How often."),
    TIME("since", API_REQUIRED, "The first of them."),
    TIME("latest_at", API_REQUIRED, "The last of them."),
    {0},
};

static json_t *certificates_json(const struct store_cert_counts *n)
{
    json_t *o = json_object();
    bool ok = api_set_int(o, "active", (int64_t)n->state[CERT_ACTIVE]) &&
              api_set_int(o, "revoked", (int64_t)n->state[CERT_REVOKED]) &&
              api_set_int(o, "held", (int64_t)n->state[CERT_HELD]) &&
              api_set_int(o, "superseded", (int64_t)n->state[CERT_SUPERSEDED]) &&
              api_set_int(o, "expired", (int64_t)n->expired) &&
              api_set_int(o, "expiring_7d", (int64_t)n->within_7_days) &&
              api_set_int(o, "expiring_30d", (int64_t)n->within_30_days);
    return api_made(o, ok);
}

static json_t *devices_json(const uint64_t n[DEVICE_STATES])
{
    json_t *o = json_object();
    bool ok = api_set_int(o, "active", (int64_t)n[DEVICE_ACTIVE]) &&
              api_set_int(o, "isolated", (int64_t)n[DEVICE_ISOLATED]) &&
              api_set_int(o, "retired", (int64_t)n[DEVICE_RETIRED]);
    return api_made(o, ok);
}

static json_t *hours_json(const struct activity_figures *f)
{
    json_t *list = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < ACTIVITY_HOURS; i++) {
        json_t *o = json_object();
        bool made = api_set_time(o, "at", f->hour[i].from) &&
                    api_set_int(o, "issued", (int64_t)f->hour[i].issued) &&
                    api_set_int(o, "refused", (int64_t)f->hour[i].refused);
        ok = json_array_append_new(list, api_made(o, made)) == 0;
    }
    return api_made(list, ok);
}

static json_t *reasons_json(const struct activity_figures *f)
{
    json_t *list = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < f->reason_n; i++) {
        const struct activity_reason *r = &f->reason[i];
        json_t *o = json_object();
        bool made = api_set_text(o, "code", r->code) &&
                    api_set_text(o, "text", reason_info(reason_by_code(r->code))->text) &&
                    api_set_int(o, "count", (int64_t)r->n) && api_set_time(o, "since", r->since) &&
                    api_set_time(o, "latest_at", r->latest);
        ok = json_array_append_new(list, api_made(o, made)) == 0;
    }
    return api_made(list, ok);
}

static bool add_day(json_t *o, const struct activity_figures *f)
{
    return api_set(o, "last_24h", hours_json(f)) &&
           api_set_int(o, "issued_24h", (int64_t)f->issued) &&
           api_set_int(o, "refused_24h", (int64_t)f->refused) &&
           api_set_bool(o, "complete_24h", f->complete) &&
           api_set(o, "reasons_24h", reasons_json(f));
}

/* ---- authorities: what ends when ---- */

#define ENDS(prefix, what)                                                               \
    TIME(prefix "not_after", NULLABLE, "The end of its " what "; null: there is none."), \
    {                                                                                    \
        prefix "days_left", API_INTEGER, NULLABLE, INT32_MIN, INT32_MAX, NULL, NULL,     \
            "The same in whole days.", 0                                                 \
    }

static const struct api_member authority_members[] = {
    TEXT("name", API_REQUIRED, "Its name."),
    ENDS("", "CA certificate"),
    ENDS("ra_", "RA certificate that ends first"),
    ENDS("ocsp_", "OCSP responder's certificate"),
    NUMBER("crl_number", NULLABLE, "Of its newest complete CRL."),
    TIME("crl_next_update", NULLABLE, "Until when that is good."),
    {0},
};

static bool add_end(const struct api_call *c, json_t *o, const char *prefix,
                    const struct cert *cert)
{
    char key[48];
    int64_t left = cert ? cert->not_after - api_now(c) : 0;
    snprintf(key, sizeof key, "%snot_after", prefix);
    bool ok = api_set_time(o, key, cert ? cert->not_after : 0);
    snprintf(key, sizeof key, "%sdays_left", prefix);
    int64_t days = left >= 0 ? left / DAY : -((-left + DAY - 1) / DAY);
    return ok && api_set(o, key, cert ? json_integer(days) : json_null());
}

static const struct cert *first_ra(const struct authority *a)
{
    const struct cert *all[] = {a->ra, a->ra_signing, a->ra_encryption}, *first = NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] && (!first || all[i]->not_after < first->not_after))
            first = all[i];
    return first;
}

static json_t *authority_json(const struct api_call *c, const struct authority *a)
{
    json_t *o = json_object();
    struct store_crl crl = {0};
    struct err ignored = {0};
    bool found = store_crl_about(c->world->store, a->key_id, STORE_CRL_COMPLETE, &crl, &ignored);
    bool ok =
        api_set_text(o, "name", a->name) && add_end(c, o, "", a->cert) &&
        add_end(c, o, "ra_", first_ra(a)) && add_end(c, o, "ocsp_", a->ocsp.cert) &&
        api_set(o, "crl_number", found ? json_integer((json_int_t)crl.number) : json_null()) &&
        api_set_time(o, "crl_next_update", found ? crl.next_update : 0);
    return api_made(o, ok);
}

static json_t *authorities_json(const struct api_call *c)
{
    json_t *list = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < c->world->config->authority_n; i++)
        ok = json_array_append_new(list, authority_json(c, c->world->rooms->authority[i])) == 0;
    return api_made(list, ok);
}

/* ---- the page ---- */

static const struct api_member overview_members[] = {
    TIME("at", API_REQUIRED, "When this was put together."),
    TEXT("version", NULLABLE, "Of the daemon."),
    WORD("status", NULLABLE, status_words, "The worst of all checks; null: nobody has looked."),
    THING("attention", API_REQUIRED | API_ARRAY, attention_members,
          "What somebody should look at, worst first."),
    THING("certificates", API_REQUIRED, certificate_counts, "How many there are."),
    THING("devices", API_REQUIRED, device_counts, "How many there are."),
    THING("requests", API_REQUIRED, request_counts, "What waits."),
    THING("challenges", API_REQUIRED, challenge_counts, "How many there are."),
    THING("last_24h", API_REQUIRED | API_ARRAY, hour_members,
          "24 hours, the oldest first; the last one goes on."),
    NUMBER("issued_24h", API_REQUIRED, "Certificates issued and renewed in these."),
    NUMBER("refused_24h", API_REQUIRED, "Refusals in these."),
    FLAG("complete_24h", API_REQUIRED, "False: there were more attempts than are counted."),
    THING("reasons_24h", API_REQUIRED | API_ARRAY, reason_count_members,
          "The most frequent reasons of these."),
    THING("authorities", API_REQUIRED | API_ARRAY, authority_members, "What ends when."),
    TIME("backup_last_success", NULLABLE, "The last backup that succeeded."),
    {0},
};

struct figures {
    struct store_stats stats;
    struct store_cert_counts certs;
    uint64_t devices[DEVICE_STATES];
    int64_t oldest_pending, backup_at;
    struct activity_figures day;
};

static bool look(struct api_call *c, struct figures *f, struct err *err)
{
    struct store *s = c->world->store;
    return store_stats(s, &f->stats, err) && store_cert_counts(s, api_now(c), &f->certs, err) &&
           store_device_counts(s, f->devices, err) &&
           store_request_oldest(s, &f->oldest_pending, err) &&
           store_backup_last(s, &f->backup_at, err) &&
           activity_look(api_activity(c->world->state), s, api_now(c), &f->day, err);
}

static json_t *requests_json(const struct figures *f)
{
    json_t *o = json_object();
    return api_made(o, api_set_int(o, "pending", (int64_t)f->stats.pending) &&
                           api_set_time(o, "oldest_at", f->oldest_pending));
}

static json_t *challenges_json(const struct figures *f)
{
    json_t *o = json_object();
    return api_made(o, api_set_int(o, "stored", (int64_t)f->stats.challenges) &&
                           api_set_int(o, "made", (int64_t)f->stats.challenges_made));
}

static bool overview(struct api_call *c, struct err *err)
{
    const struct api_ops *ops = &c->world->ops;
    struct figures f;
    if (!look(c, &f, err))
        return false;
    json_t *o = json_object(), *health = ops->health ? ops->health(ops->ctx) : NULL;
    bool ok = api_set_time(o, "at", api_now(c)) && api_set_text(o, "version", c->world->version) &&
              api_set_text(o, "status", json_string_value(json_object_get(health, "status"))) &&
              api_set(o, "attention",
                      attention_json(health, &f.day, f.stats.pending, f.oldest_pending)) &&
              api_set(o, "certificates", certificates_json(&f.certs)) &&
              api_set(o, "devices", devices_json(f.devices)) &&
              api_set(o, "requests", requests_json(&f)) &&
              api_set(o, "challenges", challenges_json(&f)) && add_day(o, &f.day) &&
              api_set(o, "authorities", authorities_json(c)) &&
              api_set_time(o, "backup_last_success", f.backup_at);
    json_decref(health);
    api_reply_json(c, 200, api_made(o, ok));
    return true;
}

const struct api_route api_routes_overview[] = {
    {HTTP_GET, "/status", ROLE_AUDITOR, "status", "Is all well?  The same as scepctl status.", NULL,
     NULL, status_members, 0, NULL, status},
    {HTTP_GET, "/overview", ROLE_AUDITOR, "overview", "One call for a first page.", NULL, NULL,
     overview_members, API_LIVE, NULL, overview},
    {0},
};
