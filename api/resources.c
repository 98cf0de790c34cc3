#include "resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/hex.h"
#include "base/text.h"

const struct api_member api_note_body[] = {NOTE, API_SHAPE("Note")};

/* ---- lists ---- */

struct store_page api_page_of(const struct api_call *c)
{
    return (struct store_page){.after = c->cursor, .limit = (size_t)c->limit};
}

void api_page_put(struct api_call *c, json_t *item)
{
    api_list_add(c, item, "");
}

void api_cursor_unknown(struct api_call *c)
{
    api_fault(c, "?cursor", "input.invalid", "no list with this filter gave this cursor");
}

bool api_cursor_is_id(struct api_call *c, const char *prefix)
{
    static const char characters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    size_t n = strlen(prefix);
    const char *at = c->cursor;
    bool good = !*at || (strncmp(at, prefix, n) == 0 && at[n] &&
                         strspn(at + n, characters) == strlen(at + n));
    if (!good)
        api_cursor_unknown(c);
    return good;
}

bool api_page_reply(struct api_call *c, const struct store_page *page, bool ok, struct err *err)
{
    if (!ok && err->kind == ERR_NOT_FOUND && c->cursor[0]) {
        *err = (struct err){0};
        api_cursor_unknown(c);
        return true;
    }
    if (!ok)
        return false;
    api_list_next(c, page->next);
    api_list_reply(c);
    return true;
}

void api_page_whole(struct api_call *c, size_t n,
                    json_t *(*item)(const struct api_call *c, size_t i))
{
    char cursor[24];
    size_t digits = strspn(c->cursor, "0123456789"), i = digits ? strtoul(c->cursor, NULL, 10) : 0;
    if (digits != strlen(c->cursor) || digits > 9) {
        api_cursor_unknown(c);
        return;
    }
    do
        snprintf(cursor, sizeof cursor, "%zu", i + 1);
    while (i < n && api_list_add(c, item(c, i), cursor) && ++i);
    api_list_reply(c);
}

/* ---- members ---- */

bool api_set(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value) == 0;
}

bool api_set_text(json_t *o, const char *key, const char *value)
{
    char clean[2 * EXPLAIN_TEXT];
    json_t *text = api_json_text(value);
    if (!text) { /* what a device sent may be no UTF-8 */
        text_printable(view_str(value), clean, sizeof clean);
        text = api_json_text(clean);
    }
    return api_set(o, key, text);
}

bool api_set_time(json_t *o, const char *key, int64_t at)
{
    return api_set(o, key, api_json_time(at));
}

bool api_set_int(json_t *o, const char *key, int64_t n)
{
    return api_set(o, key, json_integer(n));
}

bool api_set_bool(json_t *o, const char *key, bool b)
{
    return api_set(o, key, json_boolean(b));
}

json_t *api_made(json_t *o, bool ok)
{
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

void api_eku_text(const struct eku *e, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < e->n && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", eku_name(e->oid[i]));
}

/* ---- what a certificate says ---- */

static bool describe_extensions(json_t *o, const struct cert *cert)
{
    struct extensions ext = {0};
    struct err ignored = {0};
    char text[STORE_SUBJECT_MAX];
    bool ok = true;
    if (!cert->extensions.n ||
        !extensions_parse(cert->extensions, REASON_MESSAGE_MALFORMED, &ext, &ignored))
        return api_set_text(o, "key_usage", "") && api_set_text(o, "ext_key_usage", "");
    if (ext.has_san) {
        san_text(&ext.san, text, sizeof text);
        ok = api_set_text(o, "san", text);
    }
    text[0] = '\0';
    if (ext.has_key_usage)
        key_usage_text(ext.key_usage, text, sizeof text);
    ok = ok && api_set_text(o, "key_usage", text);
    api_eku_text(&ext.eku, text, sizeof text);
    ok = ok && api_set_text(o, "ext_key_usage", text);
    if (ext.is_ca)
        ok = ok && api_set_text(o, "ca", "yes");
    extensions_clear(&ext);
    return ok;
}

static bool describe_print(json_t *o, const char *name, const struct cert *cert, enum digest d)
{
    char print[3 * 64] = "";
    struct err ignored = {0};
    if (!cert_fingerprint(cert, d, print, &ignored))
        print[0] = '\0';
    return api_set_text(o, name, print);
}

bool api_describe_certificate(json_t *o, const struct cert *cert)
{
    struct pubkey key;
    struct err ignored = {0};
    char text[NAME_TEXT_MAX] = "";
    name_der_text(cert->subject, text, sizeof text);
    bool ok = api_set_text(o, "subject", text);
    text[0] = '\0';
    if (pubkey_parse(cert->spki, &key, &ignored))
        pubkey_text(&key, text);
    ok = ok && api_set_text(o, "key", text) && describe_extensions(o, cert) &&
         api_set_time(o, "not_before", cert->not_before) &&
         api_set_time(o, "not_after", cert->not_after);
    name_der_text(cert->issuer, text, sizeof text);
    return ok && api_set_text(o, "issuer", text) &&
           describe_print(o, "sha256", cert, DIGEST_SHA256) &&
           describe_print(o, "sha1", cert, DIGEST_SHA1);
}
