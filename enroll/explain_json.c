#include <stdio.h>

#include "base/hex.h"
#include "base/text.h"
#include "enroll/explain.h"

static void set_text(json_t *o, const char *key, const char *value)
{
    char clean[2048];
    json_t *s;
    if (!*value)
        return;
    s = json_string(value); /* NULL when it is not UTF-8 */
    if (!s) {
        text_printable(view_str(value), clean, sizeof clean);
        s = json_string(clean);
    }
    json_object_set_new(o, key, s);
}

static json_t *trail_json(const struct trail *t)
{
    static const char *const states[] = {"begun", "passed", "stopped", "passed over"};
    json_t *list = json_array();
    for (size_t i = 0; i < t->n; i++) {
        const struct trail_step *s = &t->step[i];
        json_t *o = json_object();
        set_text(o, "check", check_text(s->check));
        set_text(o, "state",
                 (size_t)s->state < sizeof states / sizeof *states ? states[s->state] : "?");
        set_text(o, "detail", s->text);
        json_array_append_new(list, o);
    }
    return list;
}

json_t *explain_reason_json(enum reason reason, const struct store_attempt *a)
{
    const struct reason_info *info = reason_info(reason);
    const struct reason_help *help = reason_help(reason);
    char text[EXPLAIN_TEXT], hresult[16];
    json_t *o = json_object();
    set_text(o, "code", info->code);
    set_text(o, "text", info->text);
    explain_fill(help->cause, a, text, sizeof text);
    set_text(o, "cause", text);
    explain_fill(help->fix, a, text, sizeof text);
    set_text(o, "fix", text);
    reason_screen(reason, text, sizeof text);
    set_text(o, "device_shows", text);
    if (info->hresult) {
        snprintf(hresult, sizeof hresult, "0x%08x", (unsigned)info->hresult);
        set_text(o, "hresult", hresult);
        set_text(o, "fail_info", fail_info_name((int)info->fail_info));
    }
    return o;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

json_t *explain_json(const struct store_attempt *a)
{
    const struct {
        const char *key, *value;
    } texts[] = {{"peer", a->peer},
                 {"agent", a->agent},
                 {"endpoint", a->endpoint},
                 {"template", a->template_name},
                 {"method", a->method},
                 {"operation", a->operation},
                 {"transaction", a->transaction},
                 {"subject", a->subject},
                 {"san", a->san},
                 {"key", a->key},
                 {"digest", a->digest},
                 {"cipher", a->cipher},
                 {"signer", a->signer},
                 {"challenge", a->challenge},
                 {"request", a->request},
                 {"device", a->device},
                 {"policy", a->policy},
                 {"serial", a->serial},
                 {"reason", a->reason},
                 {"detail", a->detail}};
    char text[EXPLAIN_TEXT], hex[2 * STORE_HASH + 1];
    json_t *o = json_object();
    json_object_set_new(o, "attempt", json_integer((json_int_t)a->seq));
    text_time(a->at, text);
    set_text(o, "at", text);
    set_text(o, "result", explain_result(a->result));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        set_text(o, texts[i].key, texts[i].value);
    if (!all_zero(a->key_hash, STORE_HASH)) {
        hex_encode(view_of(a->key_hash, STORE_HASH), hex);
        set_text(o, "key_sha256", hex);
    }
    if (a->status)
        json_object_set_new(o, "status", json_integer(a->status));
    if (a->fail_info >= 0)
        set_text(o, "fail_info", fail_info_name(a->fail_info));
    json_object_set_new(o, "ms", json_integer(a->ms));
    if (a->more)
        json_object_set_new(o, "more", json_integer(a->more));
    json_object_set_new(o, "checks", trail_json(&a->trail));
    return o;
}
