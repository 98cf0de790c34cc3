#include "enroll/binding.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* ---- subject ---- */

static size_t count_type(const struct name *n, const struct name_type *type)
{
    size_t count = 0;
    for (size_t i = 0; i < n->n; i++)
        count += n->attr[i].type == type;
    return count;
}

/* The value of the `which`-th attribute of a type. */
static const char *value_of_type(const struct name *n, const struct name_type *type, size_t which)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->attr[i].type == type && which-- == 0)
            return n->attr[i].value;
    return NULL;
}

static bool common_name_matches(const char *pattern, const struct name *subject)
{
    const struct name_type *cn = name_type_by_key("CN");
    return count_type(subject, cn) == 1 &&
           text_match(pattern, value_of_type(subject, cn, 0), false);
}

static bool attributes_match(const struct name *patterns, const struct name *subject)
{
    for (size_t i = 0; i < patterns->n; i++) {
        const struct name_attr *a = &patterns->attr[i];
        if (!a->type || count_type(subject, a->type) != count_type(patterns, a->type))
            return false;
        size_t which = 0;
        for (size_t k = 0; k < i; k++)
            which += patterns->attr[k].type == a->type;
        if (!text_match(a->value, value_of_type(subject, a->type, which), false))
            return false;
    }
    return patterns->n > 0;
}

bool binding_subject(const char *pattern, const struct name *subject)
{
    if (!strchr(pattern, '='))
        return common_name_matches(pattern, subject);
    struct name patterns = {0};
    struct err ignored = {0};
    /* unreadable (checked when it was made): nothing matches it */
    bool ok = name_from_text(pattern, &patterns, &ignored) && attributes_match(&patterns, subject);
    name_clear(&patterns);
    return ok;
}

bool binding_subject_whole(const char *pattern, const struct name *subject)
{
    struct name patterns = {0};
    struct err ignored = {0};
    if (!strchr(pattern, '='))
        return subject->n == 1;
    bool whole = name_from_text(pattern, &patterns, &ignored) && patterns.n == subject->n;
    name_clear(&patterns);
    return whole;
}

/* ---- subject alternative names ---- */

#define BINDING_NAMES 32

struct san_pattern {
    enum san_kind kind;
    const char *text;
};

static bool kind_by_name(const char *name, size_t n, enum san_kind *out)
{
    static const enum san_kind kinds[] = {SAN_DNS, SAN_EMAIL, SAN_URI, SAN_IP, SAN_UPN};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strlen(san_kind_name(kinds[i])) == n &&
            strncasecmp(san_kind_name(kinds[i]), name, n) == 0) {
            *out = kinds[i];
            return true;
        }
    return false;
}

/* Cuts `text` in place at the commas. */
static bool split(char *text, struct san_pattern out[BINDING_NAMES], size_t *n)
{
    *n = 0;
    char *rest = text, *part;
    while ((part = strsep(&rest, ","))) {
        while (*part == ' ')
            part++;
        char *colon = strchr(part, ':');
        if (!colon || !colon[1] || *n == BINDING_NAMES ||
            !kind_by_name(part, (size_t)(colon - part), &out[*n].kind))
            return false;
        out[(*n)++].text = colon + 1;
    }
    return *n > 0;
}

static bool san_matches(const struct san_pattern *p, const struct san_name *name)
{
    /* host and domain names have no case (RFC 4343); the rest does */
    return p->kind == name->kind && text_match(p->text, name->text, p->kind == SAN_DNS);
}

bool binding_san(const char *patterns, const struct san *san)
{
    char text[STORE_SUBJECT_MAX];
    struct san_pattern p[BINDING_NAMES];
    size_t n;
    int length = snprintf(text, sizeof text, "%s", patterns);
    if (length < 0 || (size_t)length >= sizeof text || !split(text, p, &n))
        return false;
    bool met[BINDING_NAMES] = {false};
    for (size_t i = 0; i < san->n; i++) {
        bool covered = false;
        for (size_t k = 0; k < n; k++)
            if (san_matches(&p[k], &san->name[i]))
                covered = met[k] = true;
        if (!covered)
            return false;
    }
    for (size_t k = 0; k < n; k++)
        if (!met[k])
            return false;
    return true;
}

bool binding_check(const struct challenge_wish *w, struct err *err)
{
    if (w->subject && strchr(w->subject, '=')) {
        struct name patterns = {0};
        struct err why = {0};
        bool ok = name_from_text(w->subject, &patterns, &why) && patterns.n > 0;
        name_clear(&patterns);
        if (!ok)
            return err_set(err, ERR_CONFIG, "the subject \"%.100s\" cannot be read: %s", w->subject,
                           why.text);
    }
    if (w->san && *w->san) {
        char text[STORE_SUBJECT_MAX];
        struct san_pattern p[BINDING_NAMES];
        size_t n;
        int length = snprintf(text, sizeof text, "%s", w->san);
        if (length < 0 || (size_t)length >= sizeof text || !split(text, p, &n))
            return err_set(
                err, ERR_CONFIG,
                "the alternative name \"%.100s\" is none of DNS:, email:, URI:, IP:, UPN:", w->san);
    }
    return true;
}
