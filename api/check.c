/* Query and body against the tables of a route: everything that is wrong is told at once, nothing
 * unknown is passed over. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api_internal.h"
#include "base/json.h"
#include "config/suggest.h"

#define STRING_MAX 512
#define ARRAY_MAX 500
#define POINTER_MAX 256

static const char cursor_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:+@~-";

/* ---- values ---- */

static bool two(const char *p, int least, int most, int *out)
{
    if (!isdigit((unsigned char)p[0]) || !isdigit((unsigned char)p[1]))
        return false;
    *out = (p[0] - '0') * 10 + p[1] - '0';
    return *out >= least && *out <= most;
}

/* RFC 3339 section 5.6 */
bool api_time_parse(const char *s, int64_t *out)
{
    struct tm tm = {0};
    int century, year, hours = 0, minutes = 0;
    if (strlen(s) < 20 || strlen(s) > 40 || !two(s, 0, 99, &century) || !two(s + 2, 0, 99, &year) ||
        s[4] != '-' || !two(s + 5, 1, 12, &tm.tm_mon) || s[7] != '-' ||
        !two(s + 8, 1, 31, &tm.tm_mday) || (s[10] != 'T' && s[10] != 't') ||
        !two(s + 11, 0, 23, &tm.tm_hour) || s[13] != ':' || !two(s + 14, 0, 59, &tm.tm_min) ||
        s[16] != ':' || !two(s + 17, 0, 60, &tm.tm_sec))
        return false;
    const char *p = s + 19;
    if (*p == '.') {
        size_t n = strspn(p + 1, "0123456789");
        if (n == 0)
            return false;
        p += 1 + n;
    }
    int sign = *p == '-' ? -1 : 1;
    if (*p == '+' || *p == '-') {
        if (strlen(p) != 6 || !two(p + 1, 0, 23, &hours) || p[3] != ':' ||
            !two(p + 4, 0, 59, &minutes))
            return false;
    } else if ((*p != 'Z' && *p != 'z') || p[1]) {
        return false;
    }
    tm.tm_year = century * 100 + year - 1900;
    int month = --tm.tm_mon, day = tm.tm_mday;
    int64_t t = timegm(&tm);
    if (tm.tm_sec < 60 && (tm.tm_mon != month || tm.tm_mday != day) && day > 28)
        return false; /* the 31st of a month that has none */
    *out = t - sign * (hours * 3600 + minutes * 60);
    return true;
}

static int enum_index(const struct api_member *m, const char *s)
{
    for (int i = 0; m->values[i]; i++)
        if (strcmp(m->values[i], s) == 0)
            return i;
    return -1;
}

static void enum_words(const struct api_member *m, char *out, size_t cap)
{
    *out = '\0';
    for (int i = 0; m->values[i]; i++)
        snprintf(out + strlen(out), cap - strlen(out), "%s%s", i ? ", " : "", m->values[i]);
}

static int64_t least_of(const struct api_member *m)
{
    return m->min;
}

static int64_t most_of(const struct api_member *m)
{
    if (m->type == API_INTEGER)
        return m->min == 0 && m->max == 0 ? INT32_MAX : m->max;
    return m->max ? m->max : STRING_MAX;
}

/* C0 and C1 controls, DEL, and the marks that turn text around: nobody types them, and they lie on
 * a screen. */
static bool plain_text(const char *s, bool lines)
{
    for (const uint8_t *p = (const uint8_t *)s; *p; p++) {
        if (lines && (*p == '\n' || *p == '\r' || *p == '\t'))
            continue;
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0) ||
            (*p == 0xe2 && p[1] == 0x80 && (p[2] >= 0xaa && p[2] <= 0xae)) ||
            (*p == 0xe2 && p[1] == 0x81 && (p[2] >= 0xa6 && p[2] <= 0xa9)))
            return false;
    }
    return true;
}

static void check_string(struct api_call *c, const struct api_member *m, const char *pointer,
                         const char *s)
{
    int64_t t;
    char words[256];
    size_t n = strlen(s);
    switch (m->type) {
    case API_STRING:
        if ((int64_t)n < least_of(m) || (int64_t)n > most_of(m))
            api_fault(c, pointer, "length", "it has %zu octets; allowed are %lld to %lld", n,
                      (long long)least_of(m), (long long)most_of(m));
        else if (!plain_text(s, m->flags & API_LINES))
            api_fault(c, pointer, "characters", "it holds a control character");
        break;
    case API_TIME:
        if (!api_time_parse(s, &t))
            api_fault(c, pointer, "time", "it is no time such as 2026-11-26T01:40:00Z");
        break;
    case API_ENUM:
        if (enum_index(m, s) >= 0)
            break;
        enum_words(m, words, sizeof words);
        struct suggest near = suggest_start(s);
        char hint[96];
        for (int i = 0; m->values[i]; i++)
            suggest_offer(&near, m->values[i]);
        api_fault(c, pointer, "value", "it is none of %s%s", words,
                  suggest_text(&near, hint, sizeof hint));
        break;
    default:
        break;
    }
}

static void check_number(struct api_call *c, const struct api_member *m, const char *pointer,
                         int64_t v)
{
    if (v < least_of(m) || v > most_of(m))
        api_fault(c, pointer, "range", "it is %lld; allowed are %lld to %lld", (long long)v,
                  (long long)least_of(m), (long long)most_of(m));
}

/* ---- query ---- */

static const struct api_member query_cursor = {
    "cursor", API_STRING, 0,    1,
    500,      NULL,       NULL, "Where the page begins: `next` of the page before.",
    0};
static const struct api_member query_limit = {
    "limit", API_INTEGER, 0, 1, API_LIMIT_MAX, NULL, NULL, "Items of a page, 50 if not given.", 0};
const struct api_member *const api_page_members[] = {&query_cursor, &query_limit, NULL};

static const struct api_member *query_member(const struct api_call *c, const char *name)
{
    for (int i = 0; (c->route->flags & API_LIST) && api_page_members[i]; i++)
        if (strcmp(api_page_members[i]->name, name) == 0)
            return api_page_members[i];
    for (const struct api_member *m = c->route->query; m && m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

static void unknown_query(struct api_call *c, const char *pointer, const char *name)
{
    char hint[128];
    struct suggest near = suggest_start(name);
    for (int i = 0; (c->route->flags & API_LIST) && api_page_members[i]; i++)
        suggest_offer(&near, api_page_members[i]->name);
    for (const struct api_member *m = c->route->query; m && m->name; m++)
        suggest_offer(&near, m->name);
    api_fault(c, pointer, "unknown", "there is no such parameter here%s",
              suggest_text(&near, hint, sizeof hint));
}

static bool number_parse(const char *s, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
        return false;
    if (strlen(s) > 18)
        return false;
    *out = strtoll(s, &end, 10);
    return !*end;
}

static void check_query_value(struct api_call *c, const struct api_member *m, const char *pointer,
                              const char *value)
{
    int64_t n;
    if (m->type == API_INTEGER) {
        if (!number_parse(value, &n))
            api_fault(c, pointer, "type", "it is no whole number");
        else
            check_number(c, m, pointer, n);
    } else if (m->type == API_BOOLEAN) {
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            api_fault(c, pointer, "type", "it is neither true nor false");
    } else if (m == &query_cursor) {
        if (strspn(value, cursor_digits) != strlen(value) || strlen(value) > 500 || !*value)
            api_fault(c, pointer, "value", "it is no cursor that a page has named");
    } else {
        check_string(c, m, pointer, value);
    }
}

static bool query_repeated(const struct api_call_private *p, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(p->query[k].name, p->query[i].name) == 0)
            return true;
    return false;
}

void api_check_query(struct api_call *c)
{
    struct api_call_private *p = c->priv;
    if (p->bad_query)
        api_fault(c, "?", "malformed", "the query cannot be read, or has more than %d parameters",
                  API_QUERY_MAX);
    for (size_t i = 0; i < p->query_n; i++) {
        char pointer[80];
        snprintf(pointer, sizeof pointer, "?%.70s", p->query[i].name);
        const struct api_member *m = query_member(c, p->query[i].name);
        if (!m)
            unknown_query(c, pointer, p->query[i].name);
        else if (query_repeated(p, i))
            api_fault(c, pointer, "repeated", "it is given more than once");
        else
            check_query_value(c, m, pointer, p->query[i].value);
    }
    for (const struct api_member *m = c->route->query; m && m->name; m++) {
        char pointer[80];
        snprintf(pointer, sizeof pointer, "?%.70s", m->name);
        if ((m->flags & API_REQUIRED) && !api_query(c, m->name))
            api_fault(c, pointer, "missing", "it is needed");
    }
    c->limit = (int)api_query_int(c, "limit", API_LIMIT);
    c->cursor = api_query(c, "cursor") ? api_query(c, "cursor") : "";
}

const char *api_query(const struct api_call *c, const char *name)
{
    for (size_t i = 0; i < c->priv->query_n; i++)
        if (strcmp(c->priv->query[i].name, name) == 0)
            return c->priv->query[i].value;
    return NULL;
}

int64_t api_query_int(const struct api_call *c, const char *name, int64_t otherwise)
{
    int64_t n;
    const char *value = api_query(c, name);
    return value && number_parse(value, &n) ? n : otherwise;
}

int64_t api_query_time(const struct api_call *c, const char *name, int64_t otherwise)
{
    int64_t t;
    const char *value = api_query(c, name);
    return value && api_time_parse(value, &t) ? t : otherwise;
}

int api_query_enum(const struct api_call *c, const char *name, int otherwise)
{
    const char *value = api_query(c, name);
    const struct api_member *m = value ? query_member(c, name) : NULL;
    int i = m && m->values ? enum_index(m, value) : -1;
    return i < 0 ? otherwise : i;
}

/* ---- body ---- */

static void check_value(struct api_call *c, const struct api_member *m, const char *pointer,
                        json_t *v);

static void unknown_member(struct api_call *c, const struct api_member *members,
                           const char *pointer, const char *name)
{
    char hint[128];
    struct suggest near = suggest_start(name);
    for (const struct api_member *m = members; m->name; m++)
        if (!(m->flags & API_READ_ONLY))
            suggest_offer(&near, m->name);
    api_fault(c, pointer, "unknown", "there is no such member here%s",
              suggest_text(&near, hint, sizeof hint));
}

/* RFC 6901 section 3 */
static void pointer_add(char out[POINTER_MAX], const char *base, const char *name)
{
    size_t n = (size_t)snprintf(out, POINTER_MAX, "%.120s/", base);
    for (; *name && n + 3 < POINTER_MAX; name++) {
        if (*name == '~' || *name == '/') {
            out[n++] = '~';
            out[n++] = *name == '~' ? '0' : '1';
        } else {
            out[n++] = *name;
        }
    }
    out[n] = '\0';
}

static void check_object(struct api_call *c, const struct api_member *members, const char *pointer,
                         json_t *o)
{
    const char *name;
    json_t *value;
    char at[POINTER_MAX];
    json_object_foreach(o, name, value)
    {
        const struct api_member *m = members;
        while (m->name && strcmp(m->name, name) != 0)
            m++;
        pointer_add(at, pointer, name);
        if (!m->name)
            unknown_member(c, members, at, name);
        else if (!(m->flags & API_READ_ONLY))
            check_value(c, m, at, value);
    }
    for (const struct api_member *m = members; m->name; m++) {
        if (!(m->flags & API_REQUIRED) || json_object_get(o, m->name))
            continue;
        pointer_add(at, pointer, m->name);
        api_fault(c, at, "missing", "it is needed");
    }
}

static void check_array(struct api_call *c, const struct api_member *m, const char *pointer,
                        json_t *v)
{
    struct api_member item = *m;
    size_t most = m->max_items ? m->max_items : ARRAY_MAX;
    item.flags &= ~(unsigned)(API_ARRAY | API_NULLABLE);
    if (!json_is_array(v)) {
        api_fault(c, pointer, "type", "it is no array");
        return;
    }
    if (json_array_size(v) > most) {
        api_fault(c, pointer, "length", "it has %zu items; at most %zu are allowed",
                  json_array_size(v), most);
        return;
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        char at[POINTER_MAX];
        snprintf(at, sizeof at, "%.200s/%zu", pointer, i);
        check_value(c, &item, at, json_array_get(v, i));
    }
}

static void check_value(struct api_call *c, const struct api_member *m, const char *pointer,
                        json_t *v)
{
    if (json_is_null(v)) {
        if (!(m->flags & API_NULLABLE))
            api_fault(c, pointer, "type", "it is null");
    } else if (m->flags & API_ARRAY) {
        check_array(c, m, pointer, v);
    } else if (m->type == API_INTEGER) {
        if (!json_is_integer(v))
            api_fault(c, pointer, "type", "it is no whole number");
        else
            check_number(c, m, pointer, json_integer_value(v));
    } else if (m->type == API_BOOLEAN) {
        if (!json_is_boolean(v))
            api_fault(c, pointer, "type", "it is neither true nor false");
    } else if (m->type == API_OBJECT) {
        if (!json_is_object(v))
            api_fault(c, pointer, "type", "it is no object");
        else if (m->members)
            check_object(c, m->members, pointer, v);
    } else if (!json_is_string(v)) {
        api_fault(c, pointer, "type", "it is no string");
    } else {
        check_string(c, m, pointer, json_string_value(v));
    }
}

/* Deeper than any body of ours, counted before the parser recurses. */
static bool too_deep(struct view body)
{
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < body.n; i++) {
        uint8_t b = body.p[i];
        if (text) {
            if (b == '\\')
                i++;
            else if (b == '"')
                text = false;
        } else if (b == '"') {
            text = true;
        } else if (b == '{' || b == '[') {
            if (++depth > API_MAX_DEPTH)
                return true;
        } else if (b == '}' || b == ']') {
            depth--;
        }
    }
    return false;
}

static bool is_json(const char *type)
{
    static const char *const types[] = {"application/json", "application/merge-patch+json", NULL};
    if (!type)
        return false;
    for (int i = 0; types[i]; i++) {
        size_t n = strlen(types[i]);
        if (strncasecmp(type, types[i], n) != 0)
            continue;
        const char *rest = type + n + strspn(type + n, " ");
        if (!*rest || strcasecmp(rest, ";charset=utf-8") == 0 ||
            strcasecmp(rest, "; charset=utf-8") == 0)
            return true;
    }
    return false;
}

static bool parse_body(struct api_call *c, json_t **out)
{
    json_error_t e;
    struct view body = c->request->body;
    if (!is_json(c->request->header[API_CONTENT_TYPE])) {
        api_problem(c, 415, "body.type", "The body must be application/json, in UTF-8.");
        return false;
    }
    if (too_deep(body)) {
        api_problem(c, 400, "body.malformed", "The body is nested deeper than %d levels.",
                    API_MAX_DEPTH);
        return false;
    }
    *out = whole_json_read(body, &e);
    if (!*out) {
        api_problem(c, 400, "body.malformed",
                    "The body is no JSON that can be read: line %d, "
                    "column %d: %s.",
                    e.line, e.column, e.text);
        return false;
    }
    if (json_is_object(*out))
        return true;
    json_decref(*out);
    *out = NULL;
    api_problem(c, 400, "body.malformed", "The body is no JSON object.");
    return false;
}

bool api_check_body(struct api_call *c, json_t **out)
{
    const struct api_route *route = c->route;
    size_t n = c->request->body.n,
           most = route->flags & API_LARGE ? API_MAX_LARGE_BODY : API_MAX_BODY;
    bool optional = !route->body || (route->flags & API_OPTIONAL_BODY);
    *out = NULL;
    if (n > most) {
        api_problem(c, 413, "body.too_long", "The body has %zu octets; at most %zu are allowed.", n,
                    most);
        return false;
    }
    if (n == 0 && optional) {
        *out = route->body ? json_object() : NULL;
    } else if (n == 0) {
        api_problem(c, 400, "body.malformed", "This call needs a body: a JSON object.");
        return false;
    } else if (!parse_body(c, out)) {
        return false;
    }
    static const struct api_member none[] = {{0}};
    if (*out)
        check_object(c, route->body ? route->body : none, "", *out);
    c->body = *out;
    return true;
}

static json_t *member(const struct api_call *c, const char *name)
{
    json_t *v = c->body ? json_object_get(c->body, name) : NULL;
    return v && !json_is_null(v) ? v : NULL;
}

const char *api_string(const struct api_call *c, const char *name)
{
    return json_string_value(member(c, name));
}

int64_t api_int(const struct api_call *c, const char *name, int64_t otherwise)
{
    json_t *v = member(c, name);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool api_bool(const struct api_call *c, const char *name, bool otherwise)
{
    json_t *v = member(c, name);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

int api_enum(const struct api_call *c, const char *name, int otherwise)
{
    const char *s = api_string(c, name);
    for (const struct api_member *m = c->route->body; s && m && m->name; m++)
        if (strcmp(m->name, name) == 0 && m->values)
            return enum_index(m, s);
    return otherwise;
}

bool api_has(const struct api_call *c, const char *name)
{
    return c->body && json_object_get(c->body, name) != NULL;
}
