#include "enroll/explain.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"

const char *explain_result(enum attempt_result result)
{
    switch (result) {
    case ATTEMPT_ISSUED:
        return "issued";
    case ATTEMPT_RENEWED:
        return "renewed";
    case ATTEMPT_PENDING:
        return "pending";
    case ATTEMPT_REPEATED:
        return "repeated";
    case ATTEMPT_REFUSED:
        return "refused";
    case ATTEMPT_FAILED:
        return "failed";
    case ATTEMPT_COUNTED:
        return "counted";
    case ATTEMPT_SILENT:
        return "silent";
    }
    return "?";
}

void explain_who(const struct store_attempt *a, char *out, size_t cap)
{
    if (*a->subject)
        snprintf(out, cap, "%.300s", a->subject);
    else if (*a->san)
        snprintf(out, cap, "%.300s", a->san);
    else if (*a->transaction)
        snprintf(out, cap, "transaction %s", a->transaction);
    else
        snprintf(out, cap, "%s", *a->peer ? a->peer : "somebody");
}

enum reason explain_reason(const struct store_attempt *a)
{
    return reason_by_code(a->reason);
}

/* ---- values in sentences ---- */

static const char *value_of(const struct store_attempt *a, const char *name, size_t n,
                            const char **unknown)
{
    const struct {
        const char *name, *unknown, *value;
    } values[] = {
        {"subject", "SUBJECT", a ? a->subject : ""},
        {"endpoint", "the endpoint", a ? a->endpoint : ""},
        {"peer", "the address", a ? a->peer : ""},
        {"transaction", "TRANSACTION", a ? a->transaction : ""},
        {"challenge", "CHALLENGE", a ? a->challenge : ""},
        {"request", "REQUEST", a ? a->request : ""},
        {"signer", "SERIAL", a ? a->signer : ""},
        {"key", "the key", a ? a->key : ""},
        {"template", "the template", a ? a->template_name : ""},
        {"device", "DEVICE", a ? a->device : ""},
        {"policy", "POLICY", a ? a->policy : ""},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strlen(values[i].name) == n && strncmp(values[i].name, name, n) == 0) {
            *unknown = values[i].unknown;
            return values[i].value;
        }
    *unknown = "";
    return "";
}

static bool needs_quotes(const char *s)
{
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._=,/:@+-", *s))
            return true;
    return false;
}

/* What a device sent becomes one word for any shell: control characters are gone, quotes are
 * quoted. */
static void put_value(struct buf *out, const char *value)
{
    char clean[1200];
    text_printable(view_str(value), clean, sizeof clean);
    if (!needs_quotes(clean)) {
        buf_append_str(out, clean);
        return;
    }
    buf_append_str(out, "'");
    for (const char *p = clean; *p; p++) {
        if (*p == '\'')
            buf_append_str(out, "'\\''");
        else
            buf_append(out, p, 1);
    }
    buf_append_str(out, "'");
}

/* For whom a challenge is made.  One that is made for the subject alone ends in a certificate that
 * neither a policy nor the device's retirement reaches. */
static void put_for(struct buf *out, const struct store_attempt *a)
{
    buf_append_str(out, a && *a->device ? "--device " : "--subject ");
    put_value(out, !a ? "SUBJECT" : *a->device ? a->device : *a->subject ? a->subject : "SUBJECT");
    if (a && *a->device && *a->policy) {
        buf_append_str(out, " --policy ");
        put_value(out, a->policy);
    }
    if (!a)
        buf_append_str(out, " (of a device with a policy: --device DEVICE)");
}

static void put_named(struct buf *out, const struct store_attempt *a, const char *name, size_t n)
{
    const char *unknown, *value = value_of(a, name, n, &unknown);
    if (n == 3 && strncmp(name, "for", n) == 0)
        put_for(out, a);
    else if (*value)
        put_value(out, value);
    else
        buf_append_str(out, unknown);
}

void explain_fill(const char *text, const struct store_attempt *a, char *out, size_t cap)
{
    struct buf b = {0};
    bool of_device = a && *a->device, choosing = false, second = false;
    for (const char *p = text; *p; p++) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (*p == '[' || *p == ']')
            choosing = *p == '[', second = false;
        else if (choosing && *p == '|')
            second = true;
        else if (choosing && second != of_device)
            continue;
        else if (end)
            put_named(&b, a, p + 1, (size_t)(end - p) - 1), p = end;
        else
            buf_append(&b, p, 1);
    }
    snprintf(out, cap, "%.*s", (int)b.n, b.p ? (const char *)b.p : "");
    buf_clear(&b);
}

/* ---- what was sent, what was not reached ---- */

void explain_sent(const struct store_attempt *a, char *out, size_t cap)
{
    const char *fail = fail_info_name(a->fail_info);
    const struct reason_info *info = reason_info(explain_reason(a));
    if (a->result == ATTEMPT_COUNTED || a->result == ATTEMPT_SILENT || !a->status)
        snprintf(out, cap, "%s", "");
    else if (fail && info->hresult)
        snprintf(out, cap, "HTTP %u, CertRep FAILURE %s; Windows has 0x%08x for it", a->status,
                 fail, (unsigned)info->hresult);
    else if (fail)
        snprintf(out, cap, "HTTP %u, CertRep FAILURE %s", a->status, fail);
    else if (a->result == ATTEMPT_PENDING)
        snprintf(out, cap, "HTTP %u, CertRep PENDING", a->status);
    else if (a->result == ATTEMPT_REFUSED || a->result == ATTEMPT_FAILED)
        snprintf(out, cap, "HTTP %u, no CertRep", a->status);
    else
        snprintf(out, cap, "HTTP %u, CertRep SUCCESS%s%s", a->status,
                 *a->serial ? ", certificate " : "", a->serial);
}

static bool passed(const struct trail *t, enum check check)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->step[i].check == check && t->step[i].state != TRAIL_STOPPED)
            return true;
    return false;
}

void explain_not_reached(const struct store_attempt *a, char *out, size_t cap)
{
    /* the order of the path; what an endpoint does not ask, and what only some requests meet, is
     * left out */
    static const struct {
        enum check check;
        bool always;
    } path[] = {{CHECK_MESSAGE, true},     {CHECK_OPEN, true},       {CHECK_TRANSACTION, true},
                {CHECK_SIGNER, true},      {CHECK_REPEAT, false},    {CHECK_RENEWAL, false},
                {CHECK_TEMPLATE, true},    {CHECK_KEY, true},        {CHECK_CHALLENGE, true},
                {CHECK_ASSIGNMENT, false}, {CHECK_DUPLICATE, false}, {CHECK_WEBHOOK, false},
                {CHECK_APPROVAL, false},   {CHECK_SIGNING, true},    {CHECK_STORING, true}};
    size_t used = 0, n = sizeof path / sizeof *path, at = 0;
    const struct trail_step *last = a->trail.n ? &a->trail.step[a->trail.n - 1] : NULL;
    *out = '\0';
    if (!last || last->state != TRAIL_STOPPED)
        return;
    while (at < n && path[at].check != last->check)
        at++;
    for (size_t i = at + 1; i < n && used < cap; i++)
        if (path[i].always && !passed(&a->trail, path[i].check))
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? ", " : "",
                                     check_text(path[i].check));
}
