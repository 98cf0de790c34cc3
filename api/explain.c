/* /explain: anything that somebody has in hand, and what became of it.  /reasons: the one list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "managed.h"
#include "resources.h"

#define MOST_ATTEMPTS 200000 /* looked at: some tenths of a second */
#define DAY 86400
#define SHOWN_MAX 50

/* ---- reasons ---- */

static json_t *reason_json(enum reason reason, const struct store_attempt *a)
{
    json_t *o = explain_reason_json(reason, a);
    return api_made(o, o && api_set_text(o, "id", reason_info(reason)->code));
}

#define REASON_MEMBERS                                                                   \
    TEXT("id", API_REQUIRED, "Its code."), TEXT("code", API_REQUIRED, "Never renamed."), \
        TEXT("text", API_REQUIRED, "One sentence."),                                     \
        TEXT("cause", API_REQUIRED, "What is behind it, most of the time."),             \
        TEXT("fix", API_REQUIRED, "What to do."),                                        \
        {"device_shows", API_STRING, API_REQUIRED | API_LINES,          0, EXPLAIN_TEXT, \
         NULL,           NULL,       "What is on the device's screen.", 0},              \
        TEXT("hresult", 0, "What Windows gets."), TEXT("fail_info", 0, "What the CertRep says.")

static const struct api_member reason_members[] = {REASON_MEMBERS, API_SHAPE("Reason")};

static json_t *reason_at(const struct api_call *c, size_t i)
{
    return reason_json((enum reason)(i + 1), NULL);
}

static bool reason_list(struct api_call *c, struct err *err)
{
    api_page_whole(c, REASON_COUNT - 1, reason_at);
    return true;
}

static bool reason_show(struct api_call *c, struct err *err)
{
    enum reason reason = reason_by_code(api_param(c, "code"));
    if (reason == REASON_NONE)
        return err_set(err, ERR_NOT_FOUND, "there is no reason with this code");
    api_reply_json(c, 200, reason_json(reason, NULL));
    return true;
}

/* ---- explain ---- */

static const struct api_member explain_query[] = {
    {"what", API_STRING, API_REQUIRED, 1, 256, NULL, NULL,
     "A transaction, a part of a subject, a serial number, an address, an id, or the code of a "
     "reason.",
     0},
    {0},
};

static const struct api_member candidate_members[] = {
    TEXT("kind", API_REQUIRED, "What the word may be."),
    TEXT("value", API_REQUIRED, "The whole of it."),
    NUMBER("attempts", API_REQUIRED, "How many it has."),
    {0},
};

static const struct api_member explain_members[] = {
    TEXT("query", API_REQUIRED, "What was asked."),
    TEXT("kind", NULLABLE, "What it was taken for; null: it may be several things."),
    TEXT("value", NULLABLE, "The whole of it."),
    NUMBER("matched", API_REQUIRED, "How many attempts there are."),
    THING("reason", NULLABLE, reason_members, "Of the newest, when it was refused."),
    NUMBER("same_reason_24h", NULLABLE, "How often this reason was met in the last 24 hours."),
    NUMBER("same_reason_24h_addresses", NULLABLE, "From how many addresses."),
    THING("attempts", API_REQUIRED | API_ARRAY, api_event_members, "The newest, newest first."),
    THING("candidates", API_REQUIRED | API_ARRAY, candidate_members,
          "What it may mean, when that is not clear."),
    THING("certificate", NULLABLE, api_certificate_members,
          "That it is, or that the subject or device holds, or held last."),
    THING("challenge", NULLABLE, api_challenge_members,
          "That it is, or that came with the newest attempt."),
    THING("request", NULLABLE, api_request_members,
          "That it is, or that the newest attempt became."),
    TIME("searched_since", NULLABLE, "The oldest attempt that was looked at."),
    {0},
};

/* It was forgotten, or several have such an id.  Anything else is a fault of ours, and no answer.
 */
static bool is_absent(const struct err *err)
{
    return err->kind == ERR_NOT_FOUND || err->kind == ERR_CONFLICT;
}

static bool add_certificate(const struct api_call *c, json_t *o,
                            const struct explain_candidate *meant, struct err *err)
{
    struct store_cert cert = {0};
    if (!explain_certificate(c->world->store, meant, &cert, err))
        return false;
    bool ok = api_set(o, "certificate", cert.id ? api_certificate_json(c, &cert) : json_null());
    store_cert_clear(&cert);
    return ok || err_memory(err);
}

static bool add_challenge(const struct api_call *c, json_t *o,
                          const struct explain_candidate *meant, const struct store_attempt *newest,
                          struct err *err)
{
    struct store_challenge ch;
    struct err why = {0};
    const char *id = meant->kind == EXPLAIN_CHALLENGE ? meant->value
                     : newest                         ? newest->challenge
                                                      : "";
    bool found =
        strncmp(id, "chl_", 4) == 0 && store_challenge_by_id(c->world->store, id, &ch, &why);
    if (why.kind && !is_absent(&why)) {
        *err = why;
        return false;
    }
    return api_set(o, "challenge", found ? api_challenge_json(c, &ch) : json_null()) ||
           err_memory(err);
}

static bool add_request(const struct api_call *c, json_t *o, const struct explain_candidate *meant,
                        const struct store_attempt *newest, struct err *err)
{
    struct store_request r = {.id = ""};
    struct err why = {0};
    const char *id = meant->kind == EXPLAIN_REQUEST ? meant->value : newest ? newest->request : "";
    bool found = id[0] && store_request_get(c->world->store, id, &r, &why);
    if (why.kind && !is_absent(&why)) {
        *err = why;
        return false;
    }
    bool ok = api_set(o, "request", found ? api_request_json(c, &r) : json_null());
    store_request_clear(&r);
    return ok || err_memory(err);
}

static bool add_reason(struct api_call *c, json_t *o, const struct explain_candidate *meant,
                       const struct store_attempt *newest, struct err *err)
{
    struct explain_same *same = NULL;
    enum reason reason = meant->kind == EXPLAIN_REASON ? reason_by_code(meant->value)
                         : newest                      ? explain_reason(newest)
                                                       : REASON_NONE;
    if (reason == REASON_NONE)
        return (api_set(o, "reason", json_null()) && api_set(o, "same_reason_24h", json_null()) &&
                api_set(o, "same_reason_24h_addresses", json_null())) ||
               err_memory(err);
    if (!(same = calloc(1, sizeof *same)))
        return err_memory(err);
    bool ok =
        explain_same(c->world->store, reason_info(reason)->code, api_now(c) - DAY, same, err) &&
        ((api_set(o, "reason",
                  reason_json(reason, meant->kind == EXPLAIN_REASON ? NULL : newest)) &&
          api_set_int(o, "same_reason_24h", (int64_t)same->n) &&
          api_set_int(o, "same_reason_24h_addresses", (int64_t)same->peers)) ||
         err_memory(err));
    free(same);
    return ok;
}

/* What to do about the newest is told for the device whose subject it has. */
static json_t *attempts_json(const struct explain_found *f, const struct store_attempt *advised)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n; i++)
        json_array_append_new(list, api_attempt_json(&f->attempt[i]));
    if (advised && explain_reason(advised) != REASON_NONE) {
        char fix[EXPLAIN_TEXT];
        explain_fill(reason_help(explain_reason(advised))->fix, advised, fix, sizeof fix);
        api_set_text(json_array_get(list, 0), "fix", fix);
    }
    return list;
}

static bool add_meant(struct api_call *c, json_t *o, const struct explain_candidate *meant,
                      struct err *err)
{
    struct explain_found found = {.n = 0};
    if (!explain_attempts(c->world->store, meant, MOST_ATTEMPTS, SHOWN_MAX, &found, err))
        return false;
    const struct store_attempt *newest = found.n ? found.attempt : NULL;
    const struct fleet f = api_fleet(c);
    struct store_attempt advised = newest ? *newest : (struct store_attempt){.seq = 0};
    fleet_attempt_owner(&f, &advised);
    bool ok = (api_set_text(o, "kind", explain_kind_name(meant->kind)) &&
               api_set_text(o, "value", meant->value) &&
               api_set_int(o, "matched", (int64_t)found.matched) &&
               api_set(o, "attempts", attempts_json(&found, newest ? &advised : NULL)) &&
               api_set(o, "candidates", json_array())) ||
              err_memory(err);
    ok = ok && add_certificate(c, o, meant, err) && add_challenge(c, o, meant, newest, err) &&
         add_request(c, o, meant, newest, err) &&
         add_reason(c, o, meant, newest ? &advised : NULL, err);
    explain_found_clear(&found);
    return ok;
}

static bool add_candidates(json_t *o, const struct explain_search *s, struct err *err)
{
    static const char *const none[] = {
        "kind",        "value",     "reason", "same_reason_24h", "same_reason_24h_addresses",
        "certificate", "challenge", "request"};
    json_t *list = json_array();
    uint64_t all = 0;
    bool ok = true;
    for (size_t i = 0; i < s->found_n; i++) {
        json_t *one = json_object();
        all += s->found[i].n;
        ok = api_set_text(one, "kind", explain_kind_name(s->found[i].kind)) &&
             api_set_text(one, "value", s->found[i].value) &&
             api_set_int(one, "attempts", (int64_t)s->found[i].n) &&
             json_array_append_new(list, one) == 0 && ok;
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ok = api_set(o, none[i], json_null()) && ok;
    ok = api_set(o, "candidates", list) && api_set(o, "attempts", json_array()) &&
         api_set_int(o, "matched", (int64_t)all) && ok;
    return ok || err_memory(err);
}

static bool nothing(struct err *err, const struct explain_search *s)
{
    char oldest[32] = "the store was made";
    if (s->oldest)
        text_time(s->oldest, oldest);
    return err_set(err, ERR_NOT_FOUND, "nothing is known of this since %s%s", oldest,
                   s->address[0] ? " (never.arrived)" : "");
}

static bool explain(struct api_call *c, struct err *err)
{
    const char *what = api_query(c, "what");
    enum reason reason = reason_by_code(what);
    struct explain_search *s = calloc(1, sizeof *s);
    json_t *o = json_object();
    bool ok = (s && o && api_set_text(o, "query", what)) || err_memory(err);
    if (ok && reason != REASON_NONE) {
        struct explain_candidate meant = {.kind = EXPLAIN_REASON};
        snprintf(meant.value, sizeof meant.value, "%s", reason_info(reason)->code);
        ok = add_meant(c, o, &meant, err);
    } else if (ok) {
        ok = explain_search(c->world->store, what, MOST_ATTEMPTS, s, err) &&
             (s->found_n || nothing(err, s)) &&
             (s->found_n == 1 ? add_meant(c, o, &s->found[0], err) : add_candidates(o, s, err));
    }
    if (ok)
        ok = api_set_time(o, "searched_since", s->oldest) || err_memory(err);
    if (ok)
        api_reply_json(c, 200, json_incref(o));
    json_decref(o);
    free(s);
    return ok;
}

const struct api_route api_routes_explain[] = {
    {HTTP_GET, "/explain", ROLE_AUDITOR, "explain", "What became of it, why, and what to do.",
     explain_query, NULL, explain_members, 0, NULL, explain},
    {HTTP_GET, "/reasons", ROLE_AUDITOR, "reason_list", "The one list of reasons.", NULL, NULL,
     reason_members, API_LIST, NULL, reason_list},
    {HTTP_GET, "/reasons/{code}", ROLE_AUDITOR, "reason_show", "One reason.", NULL, NULL,
     reason_members, 0, NULL, reason_show},
    {0},
};
