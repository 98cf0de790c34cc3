#include "fleet/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

static const char *const wildcard_names[FLEET_WILDCARDS] = {
    [FLEET_DEVICENAME] = "devicename",
    [FLEET_SERIALNUMBER] = "serialnumber",
    [FLEET_UDID] = "udid",
    [FLEET_USER] = "user",
    [FLEET_EMAIL] = "email",
    [FLEET_HOST] = "host",
    [FLEET_GROUP] = "group",
    [FLEET_POLICY] = "policy",
};

#define OF_ONE_DEVICE \
    (1u << FLEET_DEVICENAME | 1u << FLEET_SERIALNUMBER | 1u << FLEET_UDID | 1u << FLEET_HOST)

/* What a value is put into: an attribute of the subject, or a kind of alternative name. */
enum place {
    PLACE_DNS = SAN_DNS,
    PLACE_EMAIL = SAN_EMAIL,
    PLACE_URI = SAN_URI,
    PLACE_IP = SAN_IP,
    PLACE_UPN = SAN_UPN,
    PLACE_ATTRIBUTE
};

const char *fleet_wildcard_name(enum fleet_wildcard w)
{
    return wildcard_names[w];
}

void fleet_wildcard_list(char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < FLEET_WILDCARDS && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%%%s%%", i ? ", " : "", wildcard_names[i]);
}

/* ---- patterns ---- */

enum piece { PIECE_TEXT, PIECE_WILDCARD, PIECE_END, PIECE_BAD };

/* The next run of plain text (also of one "%%"), or wildcard, of a pattern. */
static enum piece next_piece(const char **p, struct view *text, enum fleet_wildcard *wildcard)
{
    if (!**p)
        return PIECE_END;
    if (**p != '%') {
        *text = view_of(*p, strcspn(*p, "%"));
        *p += text->n;
        return PIECE_TEXT;
    }
    const char *name = *p + 1;
    size_t n = strcspn(name, "%");
    *text = view_of(*p, name[n] ? n + 2 : n + 1);
    if (!name[n])
        return PIECE_BAD;
    *p += n + 2;
    if (n == 0) {
        text->n = 1;
        return PIECE_TEXT;
    }
    for (size_t i = 0; i < FLEET_WILDCARDS; i++)
        if (strlen(wildcard_names[i]) == n && strncasecmp(wildcard_names[i], name, n) == 0) {
            *wildcard = (enum fleet_wildcard)i;
            return PIECE_WILDCARD;
        }
    return PIECE_BAD;
}

static bool unknown_wildcard(struct view text, struct err *err)
{
    char list[200];
    fleet_wildcard_list(list, sizeof list);
    return err_set(err, ERR_CONFIG, "\"%.*s\" is no wildcard: %s, or %%%% for a percent sign",
                   (int)(text.n < 40 ? text.n : 40), (const char *)text.p, list);
}

/* Adds the wildcards of a pattern to *uses. */
static bool value_uses(const char *pattern, unsigned *uses, struct err *err)
{
    struct view text;
    enum fleet_wildcard w;
    for (;;) {
        switch (next_piece(&pattern, &text, &w)) {
        case PIECE_TEXT:
            break;
        case PIECE_WILDCARD:
            *uses |= 1u << w;
            break;
        case PIECE_END:
            return true;
        case PIECE_BAD:
            return unknown_wildcard(text, err);
        }
    }
}

/* ---- values ---- */

static bool unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* RFC 3986 section 2.1: a value stays one piece of data, whatever characters it has. */
static bool append_encoded(struct buf *b, const char *value)
{
    bool ok = true;
    for (; ok && *value; value++)
        ok = unreserved(*value) ? buf_append(b, value, 1)
                                : buf_printf(b, "%%%02X", (unsigned)(unsigned char)*value);
    return ok;
}

/* Would the value change the structure of the name that it is a part of? */
static bool value_fits(enum place place, enum fleet_wildcard w, const char *value, bool whole,
                       struct err *err)
{
    const char *breaks = NULL;
    if (place == PLACE_DNS && !whole && w != FLEET_HOST && strchr(value, '.'))
        breaks = "has a dot, and stands for one label of the DNS name";
    else if ((place == PLACE_EMAIL || place == PLACE_UPN) && !whole && strchr(value, '@'))
        breaks = "has an \"@\", and is only a part of the address";
    else if (place != PLACE_ATTRIBUTE && place != PLACE_URI && strchr(value, ','))
        breaks = "has a comma, which no alternative name may have here";
    return !breaks ||
           err_set(err, ERR_CONFIG, "%%%s%% = \"%.80s\" %s", wildcard_names[w], value, breaks);
}

static bool append_value(struct buf *b, enum place place, enum fleet_wildcard w,
                         const struct fleet_values *v, bool whole, struct err *err)
{
    const char *value = v->value[w];
    if (!value || !*value)
        return err_set(err, ERR_CONFIG, "%%%s%% has no value", wildcard_names[w]);
    if (!value_fits(place, w, value, whole, err))
        return false;
    if (place == PLACE_URI ? append_encoded(b, value) : buf_append_str(b, value))
        return true;
    return err_memory(err);
}

/* One value of the pattern, filled in; `b` ends with a NUL. */
static bool fill(const char *pattern, enum place place, const struct fleet_values *v, struct buf *b,
                 struct err *err)
{
    struct view text;
    enum fleet_wildcard w;
    const char *p = pattern;
    for (;;) {
        switch (next_piece(&p, &text, &w)) {
        case PIECE_TEXT:
            if (!buf_append(b, text.p, text.n))
                return err_memory(err);
            break;
        case PIECE_WILDCARD:
            /* nothing before it and nothing behind it */
            if (!append_value(b, place, w, v, b->n == 0 && !*p, err))
                return false;
            break;
        case PIECE_BAD:
            return unknown_wildcard(text, err);
        case PIECE_END:
            return buf_append(b, "", 1) || err_memory(err);
        }
    }
}

/* A refusal of a name is here a value that cannot be: of a policy, or of a device under it. */
static bool as_value(const char *member, struct err *err)
{
    if (err->kind == ERR_REFUSED) {
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
    }
    return err_prefix(err, "%s", member);
}

/* ---- subject ---- */

static bool subject_read(const char *pattern, struct name *out, struct err *err)
{
    if (!*pattern)
        return err_set(err, ERR_CONFIG, "subject: it is missing, for example CN=%%devicename%%");
    if (!name_from_text(pattern, out, err))
        return as_value("subject", err);
    return true;
}

static bool subject_fill(const char *pattern, const struct fleet_values *v, struct name *out,
                         struct err *err)
{
    struct name parts = {0}, n = {0};
    if (!subject_read(pattern, &parts, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < parts.n; i++) {
        struct buf b = {0};
        ok = fill(parts.attr[i].value, PLACE_ATTRIBUTE, v, &b, err) &&
             name_add(&n, parts.attr[i].type, (const char *)b.p, REASON_SUBJECT_FORBIDDEN, err);
        if (ok)
            n.attr[n.n - 1].multi = parts.attr[i].multi;
        buf_clear(&b);
    }
    ok = ok && name_check(&n, REASON_SUBJECT_FORBIDDEN, err);
    name_clear(&parts);
    if (ok) {
        *out = n;
        return true;
    }
    name_clear(&n);
    return as_value("subject", err);
}

/* ---- alternative names ---- */

struct san_part {
    enum san_kind kind;
    char *pattern; /* points into the copy */
};

/* Cuts a copy of the pattern, in place, at its commas: "DNS:%host%, UPN:%user%". */
static bool san_split(char *copy, struct san_part part[SAN_MAX], size_t *n, struct err *err)
{
    static const enum san_kind kinds[] = {SAN_DNS, SAN_EMAIL, SAN_URI, SAN_IP, SAN_UPN};
    char *rest = copy, *word;
    *n = 0;
    while ((word = strsep(&rest, ","))) {
        word += strspn(word, " ");
        for (size_t k = strlen(word); k > 0 && word[k - 1] == ' '; k--)
            word[k - 1] = '\0';
        char *colon = strchr(word, ':');
        size_t length = colon ? (size_t)(colon - word) : 0, kind = 0;
        while (kind < sizeof kinds / sizeof *kinds &&
               (strlen(san_kind_name(kinds[kind])) != length ||
                strncasecmp(san_kind_name(kinds[kind]), word, length) != 0))
            kind++;
        if (kind == sizeof kinds / sizeof *kinds || !colon[1])
            return err_set(err, ERR_CONFIG,
                           "\"%.80s\" is not DNS:, email:, URI:, IP: or UPN: and a name", word);
        if (*n == SAN_MAX)
            return err_set(err, ERR_CONFIG, "more than %d names", SAN_MAX);
        part[(*n)++] = (struct san_part){kinds[kind], colon + 1};
    }
    return true;
}

static bool san_fill(const char *pattern, const struct fleet_values *v, struct san *out,
                     struct err *err)
{
    struct san_part part[SAN_MAX];
    struct san s = {0};
    size_t n = 0;
    if (!*pattern) {
        *out = s;
        return true;
    }
    char *copy = strdup(pattern);
    bool ok = copy ? san_split(copy, part, &n, err) : err_memory(err);
    for (size_t i = 0; ok && i < n; i++) {
        struct buf b = {0};
        ok = fill(part[i].pattern, (enum place)part[i].kind, v, &b, err) &&
             san_add(&s, part[i].kind, (const char *)b.p, err);
        buf_clear(&b);
    }
    free(copy);
    if (ok) {
        *out = s;
        return true;
    }
    san_clear(&s);
    return as_value("san", err);
}

/* ---- checking patterns ---- */

static bool subject_uses(const char *pattern, unsigned *uses, struct err *err)
{
    struct name parts = {0};
    if (!subject_read(pattern, &parts, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < parts.n; i++)
        ok = value_uses(parts.attr[i].value, uses, err);
    name_clear(&parts);
    return ok || as_value("subject", err);
}

static bool san_uses(const char *pattern, unsigned *uses, struct err *err)
{
    struct san_part part[SAN_MAX];
    size_t n = 0;
    if (!*pattern)
        return true;
    char *copy = strdup(pattern);
    bool ok = copy ? san_split(copy, part, &n, err) : err_memory(err);
    for (size_t i = 0; ok && i < n; i++)
        ok = value_uses(part[i].pattern, uses, err);
    free(copy);
    return ok || as_value("san", err);
}

/* What is wrong for any device is told when the policy is made: with a value of the plainest kind
 * everywhere. */
static bool fills_for_anybody(const char *subject, const char *san, struct err *err)
{
    static const struct fleet_values plain = {
        {"a1", "A1", "a1", "a1", "a1@example.org", "a1.example.org", "a1", "a1"}};
    struct fleet_names names;
    return fleet_names_fill(subject, san, &plain, &names, err);
}

bool fleet_pattern_check(const char *subject, const char *san, bool *unique, struct err *err)
{
    unsigned of_subject = 0, of_san = 0;
    if (!subject_uses(subject, &of_subject, err) || !san_uses(san, &of_san, err))
        return false;
    /* an address is whatever the device has: nothing plain stands for all of them */
    if (!strcasestr(san, "IP:%") && !fills_for_anybody(subject, san, err))
        return false;
    *unique = (of_subject & OF_ONE_DEVICE) != 0;
    return true;
}

unsigned fleet_pattern_uses(const char *subject, const char *san)
{
    unsigned uses = 0;
    struct err ignored = {0};
    if (!subject_uses(subject, &uses, &ignored) || !san_uses(san, &uses, &ignored))
        return uses;
    return uses;
}

/* ---- bindings ---- */

/* In a binding "*", "?" and "\" are patterns: here they are themselves. */
static bool append_literal(struct buf *b, const char *value)
{
    bool ok = true;
    for (; ok && *value; value++)
        ok = (!strchr("*?\\", *value) || buf_append(b, "\\", 1)) && buf_append(b, value, 1);
    return ok;
}

static bool keep(const struct buf *b, const char *member, char out[FLEET_NAMES_MAX],
                 struct err *err)
{
    if (b->n >= FLEET_NAMES_MAX)
        return err_set(err, ERR_CONFIG, "%s: it has %zu octets for this device, %d at most", member,
                       b->n, FLEET_NAMES_MAX - 1);
    memcpy(out, b->n ? (const void *)b->p : "", b->n);
    out[b->n] = '\0';
    return true;
}

static bool subject_binding(const struct name *n, char out[FLEET_NAMES_MAX], struct err *err)
{
    char text[NAME_TEXT_MAX];
    struct name patterns = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < n->n; i++) {
        struct buf b = {0};
        ok = (append_literal(&b, n->attr[i].value) && buf_append(&b, "", 1)) || err_memory(err);
        ok = ok &&
             name_add(&patterns, n->attr[i].type, (const char *)b.p, REASON_SUBJECT_FORBIDDEN, err);
        buf_clear(&b);
    }
    if (ok)
        name_text(&patterns, text, sizeof text);
    name_clear(&patterns);
    const struct buf whole = {(uint8_t *)text, ok ? strlen(text) : 0, 0};
    return ok && keep(&whole, "subject", out, err);
}

static bool san_binding(const struct san *s, char out[FLEET_NAMES_MAX], struct err *err)
{
    struct buf b = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < s->n; i++) {
        if (strchr(s->name[i].text, ','))
            ok = err_set(err, ERR_CONFIG, "san: \"%.80s\" has a comma, which no name may have here",
                         s->name[i].text);
        else
            ok = (buf_printf(&b, "%s%s:", i ? "," : "", san_kind_name(s->name[i].kind)) &&
                  append_literal(&b, s->name[i].text)) ||
                 err_memory(err);
    }
    ok = ok && keep(&b, "san", out, err);
    buf_clear(&b);
    return ok;
}

/* ---- together ---- */

bool fleet_names_build(const char *subject, const char *san, const struct fleet_values *v,
                       struct name *out_subject, struct san *out_san, struct err *err)
{
    struct name n = {0};
    struct san s = {0};
    if (!subject_fill(subject, v, &n, err))
        return false;
    if (!san_fill(san, v, &s, err)) {
        name_clear(&n);
        return false;
    }
    *out_subject = n;
    *out_san = s;
    return true;
}

bool fleet_names_fill(const char *subject, const char *san, const struct fleet_values *v,
                      struct fleet_names *out, struct err *err)
{
    struct name n = {0};
    struct san s = {0};
    struct fleet_names made = {0};
    if (!fleet_names_build(subject, san, v, &n, &s, err))
        return false;
    name_text(&n, made.subject, sizeof made.subject);
    san_text(&s, made.san, sizeof made.san);
    bool ok =
        subject_binding(&n, made.subject_binding, err) && san_binding(&s, made.san_binding, err);
    name_clear(&n);
    san_clear(&s);
    if (ok)
        *out = made;
    return ok;
}
