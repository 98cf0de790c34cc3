#include "outside/revocations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

void intune_revocations_clear(struct intune_revocations *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->item[i].context);
    free(r->item);
    *r = (struct intune_revocations){.n = 0};
}

/* ---- writing ---- */

/* json_object_set_new takes NULL for a failure, and says so. */
static bool set(json_t *o, const char *name, json_t *value)
{
    return json_object_set_new(o, name, value) == 0;
}

bool intune_queue_fetch_json(size_t most, struct buf *out, struct err *err)
{
    json_t *inside = json_object(), *o = json_object();
    bool ok = inside && o && set(inside, "maxRequests", json_integer((json_int_t)most)) &&
              set(inside, "issuerName", json_null()) &&
              json_object_set(o, "downloadParameters", inside) == 0;
    json_decref(inside);
    return whole_json_write(o, ok, out) || err_memory(err);
}

static json_t *result_of(const struct intune_revocation *r)
{
    char code[16];
    json_t *o = json_object();
    snprintf(code, sizeof code, "%d", (int)r->code); /* a number in quotes: Microsoft's own way */
    bool ok = o && set(o, "requestContext", json_string(r->context)) &&
              set(o, "succeeded", json_boolean(r->code == INTUNE_CODE_NONE)) &&
              set(o, "errorCode", json_string(code)) &&
              set(o, "errorMessage", json_string(r->text));
    if (!ok) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

bool intune_queue_report_json(const struct intune_revocations *r, struct buf *out, struct err *err)
{
    json_t *list = json_array(), *o = json_object();
    bool ok = list && o;
    for (size_t i = 0; ok && i < r->n; i++)
        ok = !r->item[i].answered || json_array_append_new(list, result_of(&r->item[i])) == 0;
    ok = ok && json_object_set(o, "results", list) == 0;
    json_decref(list);
    return whole_json_write(o, ok, out) || err_memory(err);
}

/* ---- reading ---- */

/* The JSON object that came, or what came instead. */
static json_t *object_of(const struct outside_answer *a, struct err *err)
{
    json_error_t why;
    char said[140];
    const char *body = a->body.p ? (const char *)a->body.p : "";
    if (a->result != OUTSIDE_ANSWERED) {
        err_set(err, ERR_IO, "%s", *a->text ? a->text : outside_result_name(a->result));
        return NULL;
    }
    if (a->status < 200 || a->status > 299) {
        text_printable(view_of(body, a->body.n), said, sizeof said);
        err_set(err, ERR_IO, "HTTP %d%s%s", a->status, *said ? ": " : "", said);
        return NULL;
    }
    bool before = memory_begin();
    json_t *o = whole_json_read(buf_view(&a->body), &why);
    if (!memory_end(before)) {
        err_memory(err);
    } else if (!json_is_object(o)) {
        json_decref(o);
        o = NULL;
        err_set(err, ERR_IO, "its answer is no JSON object");
    }
    return o;
}

/* Hex digits, as they were told to Intune; zeros before them, colons and either case are nothing to
 * stumble over. */
static void read_serial(const char *text, struct intune_revocation *out)
{
    uint8_t octets[INTUNE_SERIAL_MAX + 1] = {0}; /* the first is for the sign (X.690 section 8.3) */
    char digits[2 * INTUNE_SERIAL_MAX + 2] = "0";
    size_t n = 1;
    bool zero = false;
    for (; *text; text++) {
        if (*text == ':' || (n == 1 && *text == '0')) {
            zero = zero || *text == '0';
            continue;
        }
        if (n == sizeof digits - 1)
            return;
        digits[n++] = *text;
    }
    if (n == 1 && zero)
        digits[n++] = '0';
    const char *even = n % 2 ? digits + 1 : digits;
    long len = n > 1 ? hex_decode(even, octets + 1, INTUNE_SERIAL_MAX) : -1;
    if (len <= 0)
        return;
    const uint8_t *p = octets + 1;
    for (; len > 1 && *p == 0; p++)
        len--;
    if (*p & 0x80) { /* behind octets[0], or a zero that was passed over */
        p--;
        len++;
    }
    if (len > INTUNE_SERIAL_MAX)
        return;
    memcpy(out->serial, p, (size_t)len);
    out->serial_len = (size_t)len;
}

static bool known(const struct intune_revocations *r, const char *context)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->item[i].context, context) == 0)
            return true;
    return false;
}

/* What has no context cannot be reported, and what has one that was there is reported once. */
static bool read_item(json_t *o, struct intune_revocations *out, struct err *err)
{
    const char *context = json_string_value(json_object_get(o, "requestContext"));
    const char *serial = json_string_value(json_object_get(o, "serialNumber"));
    const char *issuer = json_string_value(json_object_get(o, "issuerName"));
    struct intune_revocation *r = &out->item[out->n];
    if (!context || !*context || known(out, context))
        return true;
    if (!(r->context = strdup(context)))
        return err_memory(err);
    if (serial)
        read_serial(serial, r);
    if (issuer)
        snprintf(r->issuer, sizeof r->issuer, "%s", issuer);
    out->n++;
    return true;
}

bool intune_queue_read(const struct outside_answer *a, size_t most, struct intune_revocations *out,
                       struct err *err)
{
    *out = (struct intune_revocations){.n = 0};
    json_t *o = object_of(a, err), *list = json_object_get(o, "value");
    bool ok = o != NULL;
    if (ok && !json_is_array(list))
        ok = err_set(err, ERR_IO, "its answer has no list \"value\"");
    out->given = ok ? json_array_size(list) : 0;
    if (out->given > most)
        ok = err_set(err, ERR_IO, "its answer has %zu certificates, %zu were asked for", out->given,
                     most);
    if (ok && out->given && !(out->item = calloc(out->given, sizeof *out->item)))
        ok = err_memory(err);
    for (size_t i = 0; ok && i < out->given; i++)
        ok = read_item(json_array_get(list, i), out, err);
    json_decref(o);
    if (!ok)
        intune_revocations_clear(out);
    return ok;
}

bool intune_queue_taken(const struct outside_answer *a, struct err *err)
{
    json_t *o = object_of(a, err);
    bool ok = o && (json_is_true(json_object_get(o, "value")) ||
                    err_set(err, ERR_IO, "it did not take what was reported"));
    json_decref(o);
    return ok;
}
