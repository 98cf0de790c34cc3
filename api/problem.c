/* What is told when a call is refused or fails: problem documents (RFC 9457), from one list of
 * codes beside that of the reasons. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/memory.h"
#include "enroll/explain.h"
#include "managed.h"

/* Codes of the API itself.  Like reasons, none is ever renamed or reused. */
static const struct api_problem_info problems[] = {
    {"path.unknown", "There is nothing at this path",
     "Look the path up in /api/v1/openapi.json; paths are exact, without a slash at the end."},
    {"method.forbidden", "The method is not allowed here", "Use one of those in the Allow header."},
    {"request.malformed", "The request cannot be read",
     "Send a path and a query without bad escapes."},
    {"sign_in.needed", "Nobody is signed in",
     "Present a token (Authorization: Bearer scepd_...), a client certificate, or a session; "
     "scepctl admin token new makes a token."},
    {"sign_in.refused", "The token is not known here",
     "Use a token that scepctl admin token list shows, or make another: scepctl admin token new."},
    {"sign_in.ended", "The session or token has ended",
     "Sign in again: scepctl console prints a link, scepctl admin token new makes a token."},
    {"sign_in.disabled", "The administrator is disabled",
     "Another administrator may enable the account: scepctl admin edit NAME --enable."},
    {"sign_in.certificate", "The client certificate is not good for signing in",
     "Use a certificate of ours that stands, and whose SHA-256 is an administrator's: scepctl "
     "admin edit NAME --certificate FILE."},
    {"sign_in.too_many", "Too many sign-ins failed from here", "Wait as long as Retry-After says."},
    {"role.missing", "The role does not allow this",
     "Ask an administrator for the role that the detail names."},
    {"origin.foreign", "The call came from another site",
     "Calls of a browser that change something are made by pages of this console only."},
    {"body.too_long", "The body is too long", "Send less at once."},
    {"body.type", "The body is of a type that is not read here", "Send it as application/json."},
    {"body.malformed", "The body cannot be read",
     "Send one JSON object, in UTF-8, with each member once."},
    {"input.invalid", "Something of the request is not as it must be",
     "Mend what errors names, all of it at once."},
    {"not_found", "There is no such item", "Look at the list for what is there."},
    {"exists", "There is one already", "Take another name, or change the one that is there."},
    {"conflict", "It is not in a state for this", "Read it again: its state has what may be done."},
    {"changed", "The item changed meanwhile", "Read it again (current has it) and decide anew."},
    {"condition.needed", "A change needs If-Match",
     "Send the item's etag in If-Match, so that nobody's change is lost."},
    {"repeat.malformed", "The Idempotency-Key cannot be used",
     "Send 1 to 255 visible characters, a new key for each question."},
    {"repeat.other", "The Idempotency-Key was used for another question",
     "Use a new key for each question."},
    {"repeat.running", "The same question is being answered",
     "Ask again in a second, with the same key."},
    {"repeat.unknown", "What became of the first try is not known",
     "Look whether it was done; then ask again with a new key."},
    {"unavailable", "This cannot be done at the moment", "Try again later."},
    {"outside.failed", "A server elsewhere did not do its part",
     "See what detail says of it: scepctl explain webhook.unreachable."},
};

const struct api_problem_info *api_problem_by_code(const char *code)
{
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        if (strcmp(problems[i].code, code) == 0)
            return &problems[i];
    return NULL;
}

struct words {
    const char *title;
    char fix[EXPLAIN_TEXT];
};

/* Title and fix of an own code, or of a reason. */
static void words_of(const char *code, struct words *out)
{
    const struct api_problem_info *own = api_problem_by_code(code);
    enum reason reason = own ? REASON_NONE : reason_by_code(code);
    out->title = own ? own->title : reason_info(reason)->text;
    if (own)
        snprintf(out->fix, sizeof out->fix, "%s", own->fix);
    else
        explain_fill(reason_help(reason)->fix, NULL, out->fix, sizeof out->fix);
}

/* Our own fault, and one that passes.  Said once: for want of memory it may have been already. */
static void retry_after(struct api_call *c, int seconds)
{
    const struct api_reply *r = c->priv->out;
    for (size_t i = 0; i < r->header_n; i++)
        if (strcmp(r->header[i].name, "Retry-After") == 0)
            return;
    api_reply_header(c, "Retry-After", "%d", seconds);
}

static void reply_problem(struct api_call *c, int status, const char *code, const char *detail,
                          json_t *errors)
{
    struct words words;
    bool starved = memory_failed(); /* what was found wrong need not be */
    if (starved) {
        memory_forget(); /* now it is told */
        status = 503;
        code = "unavailable";
        detail = "Memory ran out: try again.";
        errors = NULL;
    }
    char instance[1024];
    words_of(code, &words);
    snprintf(c->priv->out->code, sizeof c->priv->out->code, "%s", code);
    text_printable(view_str(c->request->path), instance, sizeof instance);
    json_t *o =
        json_pack("{s:o,s:s,s:i,s:s,s:s,s:s,s:s,s:s}", "type", json_sprintf("/problems/%s", code),
                  "title", words.title, "status", status, "detail", detail, "instance", instance,
                  "code", code, "fix", words.fix, "request_id", c->priv->out->request_id);
    if (o && errors)
        json_object_set(o, "errors", errors);
    if (o && c->priv->went.challenges)
        api_set_effects(o, &c->priv->went);
    api_reply_untag(c);
    if (starved)
        retry_after(c, 2);
    api_reply_json(c, status, o);
}

void api_problem(struct api_call *c, int status, const char *code, const char *fmt, ...)
{
    char detail[1024], shown[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    text_printable(view_str(detail), shown, sizeof shown);
    reply_problem(c, status, code, shown, NULL);
}

void api_fault(struct api_call *c, const char *pointer, const char *code, const char *fmt, ...)
{
    char detail[512], shown[512], where[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    text_printable(view_str(detail), shown, sizeof shown);
    text_printable(view_str(pointer), where, sizeof where);
    if (!c->priv->faults)
        c->priv->faults = json_array();
    if (json_array_size(c->priv->faults) < API_FAULTS)
        json_array_append_new(c->priv->faults, json_pack("{s:s,s:s,s:s}", "pointer", where, "code",
                                                         code, "detail", shown));
}

bool api_faulty(const struct api_call *c)
{
    return c->priv->faults != NULL;
}

void api_problem_faults(struct api_call *c)
{
    char detail[512];
    const json_t *first = json_array_get(c->priv->faults, 0);
    size_t n = json_array_size(c->priv->faults);
    const char *pointer = json_string_value(json_object_get(first, "pointer"));
    const char *text = json_string_value(json_object_get(first, "detail"));
    snprintf(detail, sizeof detail, "%s: %s%s", pointer ? pointer : "", text ? text : "",
             n > 1 ? " (errors has the others)" : ".");
    reply_problem(c, 422, "input.invalid", detail, c->priv->faults);
}

/* A sentence as the API tells it: our errors have neither capital nor full stop. */
static void tell(struct api_call *c, int status, const char *code, const struct err *err)
{
    size_t n = strlen(err->text);
    api_problem(c, status, code, "%s%s", err->text, n && err->text[n - 1] == '.' ? "" : ".");
}

static void log_failure(struct api_call *c, const struct err *err)
{
    log_event(c->world->log, LOG_LEVEL_ERROR, "api.failed", "%s %s (request %s): %s: %s",
              http_method_name(c->request->method),
              c->route ? c->route->operation : c->request->path, c->priv->out->request_id,
              err_kind_name(err->kind), err->text);
}

void api_problem_of(struct api_call *c, const struct err *err)
{
    switch (err->kind) {
    case ERR_NOT_FOUND:
        tell(c, 404, "not_found", err);
        break;
    case ERR_EXISTS:
        tell(c, 409, "exists", err);
        break;
    case ERR_CONFLICT:
        tell(c, 409, "conflict", err);
        break;
    case ERR_REFUSED:
        tell(c, 422, reason_info(err->reason)->code, err);
        break;
    case ERR_CONFIG:
        tell(c, 422, "input.invalid", err);
        break;
    case ERR_BUSY:
        api_problem(c, 503, "busy", "Something else is at work: try again.");
        retry_after(c, 2);
        break;
    case ERR_FULL:
        api_problem(c, 503, "store.full", "The store has no room for this.");
        retry_after(c, 60);
        break;
    case ERR_MEMORY:
    case ERR_GONE:
    case ERR_IO: /* a disk that fails may do so for a while */
        log_failure(c, err);
        api_problem(c, 503, "unavailable",
                    "It failed on our side: try again; the log has it under request_id.");
        retry_after(c, 5);
        break;
    default:
        log_failure(c, err);
        api_problem(c, 500, "internal", "The log has what went wrong under request_id.");
        break;
    }
}

/* ---- /problems/{code}: what `type` leads to ---- */

static bool matches(const struct api_world *w, const char *path)
{
    return strncmp(path, "/problems/", 10) == 0 && !strchr(path + 10, '/');
}

static bool handle(struct api_call *c, struct err *err)
{
    const char *code = c->request->path + 10;
    const struct api_problem_info *own = api_problem_by_code(code);
    enum reason reason = own ? REASON_NONE : reason_by_code(code);
    struct words words;
    char cause[EXPLAIN_TEXT];
    struct buf text = {0};
    if (!own && reason == REASON_NONE) {
        api_problem(c, 404, "not_found", "There is no problem of the code %.60s.", code);
        return true;
    }
    words_of(code, &words);
    explain_fill(reason_help(reason)->cause, NULL, cause, sizeof cause);
    bool ok = buf_printf(&text, "%s\n\n%s.\n\n", code, words.title);
    if (!own)
        ok = ok && buf_printf(&text, "Why: %s\n\n", cause);
    ok = ok && buf_printf(&text, "What to do: %s\n", words.fix);
    if (ok)
        api_reply_bytes(c, 200, "text/plain; charset=utf-8", buf_view(&text));
    buf_clear(&text);
    return ok || err_memory(err);
}

const struct api_page api_page_problems = {.name = "problem", .matches = matches, .handle = handle};
