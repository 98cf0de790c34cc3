/* Patterns on one value whole, never across values, and the variables that MDM products forget to
 * fill in. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "template_internal.h"

bool pattern_parse(const char *text, char separator, struct pattern *out)
{
    const char *at = strchr(text, separator);

    if (!at || at == text || (size_t)(at - text) >= sizeof out->key)
        return false;
    size_t key_n = (size_t)(at - text), glob_n = strlen(at + 1);
    bool required = glob_n > 0 && at[glob_n] == '!';
    if (required)
        glob_n--;
    if (glob_n == 0 || glob_n >= sizeof out->glob)
        return false;
    memcpy(out->key, text, key_n);
    out->key[key_n] = '\0';
    memcpy(out->glob, at + 1, glob_n);
    out->glob[glob_n] = '\0';
    out->required = required;
    return true;
}

/* user@HOST: the mailbox as it is, the domain without case. */
static bool match_mailbox(const char *glob, const char *value)
{
    char pattern[PATTERN_MAX], text[NAME_MAX_VALUE + 1];
    char *pattern_at, *text_at;

    if (!strchr(glob, '@'))
        return text_match(glob, value, true);
    if (strlen(value) >= sizeof text)
        return false;
    snprintf(pattern, sizeof pattern, "%s", glob);
    snprintf(text, sizeof text, "%s", value);
    pattern_at = strrchr(pattern, '@');
    text_at = strrchr(text, '@');
    for (char *p = pattern_at; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    for (char *p = text_at; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return text_match(pattern, text, false);
}

/* Host names have no case: a value of LDH labels with a dot in between is one. */
static bool is_host_name(const char *s)
{
    const char *dot = strchr(s, '.');

    return dot && dot != s && dot[1] &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
               strlen(s);
}

bool pattern_match_attr(const struct pattern *p, const struct name_attr *attr)
{
    if (!attr->type || strcasecmp(p->key, attr->type->key) != 0)
        return false;
    if (strcmp(attr->type->key, "emailAddress") == 0)
        return match_mailbox(p->glob, attr->value);
    bool fold = strcmp(attr->type->key, "DC") == 0 ||
                (strcmp(attr->type->key, "CN") == 0 && is_host_name(attr->value));
    return text_match(p->glob, attr->value, fold);
}

bool pattern_match_san(const struct pattern *p, const struct san_name *name)
{
    if (strcasecmp(p->key, san_kind_name(name->kind)) != 0)
        return false;
    if (name->kind == SAN_EMAIL || name->kind == SAN_UPN)
        return match_mailbox(p->glob, name->text);
    return text_match(p->glob, name->text, name->kind == SAN_DNS);
}

/* The patterns with this key, as a list for people. */
static void list_patterns(char *const *patterns, size_t n, char separator, const char *key,
                          char *out, size_t cap)
{
    size_t used = 0, key_n = strlen(key);

    out[0] = '\0';
    for (size_t i = 0; i < n && used < cap; i++)
        if (strncasecmp(patterns[i], key, key_n) == 0 && patterns[i][key_n] == separator)
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? ", " : "", patterns[i]);
}

static bool refuse_value(enum reason reason, const char *key, char separator, const char *value,
                         const char *list, struct err *err)
{
    char shown[128];

    text_printable(view_str(value), shown, sizeof shown);
    if (list[0])
        return err_refuse(err, reason, "%s%c%s matches none of the template's patterns: %s", key,
                          separator, shown, list);
    return err_refuse(err, reason, "%s%c%s: the template allows no %s", key, separator, shown, key);
}

bool patterns_allow_attr(const struct template *t, const struct name_attr *attr, struct err *err)
{
    const char *key = attr->type ? attr->type->key : attr->oid;
    struct pattern p;
    char list[160];

    for (size_t i = 0; i < t->subject_n; i++)
        if (pattern_parse(t->subject[i], '=', &p) && pattern_match_attr(&p, attr))
            return true;
    list_patterns(t->subject, t->subject_n, '=', key, list, sizeof list);
    return refuse_value(REASON_SUBJECT_FORBIDDEN, key, '=', attr->value, list, err);
}

bool patterns_allow_san(const struct template *t, const struct san_name *name, struct err *err)
{
    const char *kind = san_kind_name(name->kind);
    struct pattern p;
    char list[160];

    for (size_t i = 0; i < t->san_n; i++)
        if (pattern_parse(t->san[i], ':', &p) && pattern_match_san(&p, name))
            return true;
    list_patterns(t->san, t->san_n, ':', kind, list, sizeof list);
    return refuse_value(REASON_SAN_FORBIDDEN, kind, ':', name->text, list, err);
}

bool patterns_met_by_subject(const struct template *t, const struct name *subject, struct err *err)
{
    for (size_t i = 0; i < t->subject_n; i++) {
        struct pattern p;
        bool met = false;
        if (!pattern_parse(t->subject[i], '=', &p) || !p.required)
            continue;
        for (size_t k = 0; k < subject->n && !met; k++)
            met = pattern_match_attr(&p, &subject->attr[k]);
        if (!met)
            return err_refuse(err, REASON_SUBJECT_MISSING,
                              "no subject attribute meets %s=%s, which the template needs", p.key,
                              p.glob);
    }
    return true;
}

bool patterns_met_by_san(const struct template *t, const struct san *san, struct err *err)
{
    for (size_t i = 0; i < t->san_n; i++) {
        struct pattern p;
        bool met = false;
        if (!pattern_parse(t->san[i], ':', &p) || !p.required)
            continue;
        for (size_t k = 0; k < san->n && !met; k++)
            met = pattern_match_san(&p, &san->name[k]);
        if (!met)
            return err_refuse(err, REASON_SAN_MISSING,
                              "no subject alternative name meets %s:%s, which the template needs",
                              p.key, p.glob);
    }
    return true;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Each returns the length of a placeholder at `s`, or 0. */

static size_t percent_word(const char *s) /* %ComputerName% */
{
    size_t n = strspn(s + 1, LETTERS DIGITS "_.-");

    return n > 0 && strspn(s + 1, LETTERS) > 0 && s[n + 1] == '%' ? n + 2 : 0;
}

static size_t in_braces(const char *s, const char *open,
                        const char *close) /* {{DeviceName}}, ${X} */
{
    size_t open_n = strlen(open);

    if (strncmp(s, open, open_n) != 0)
        return 0;
    const char *end = strstr(s + open_n, close);
    return end && end > s + open_n ? (size_t)(end - s) + strlen(close) : 0;
}

static size_t
dollar_upper(const char *s) /* $SERIALNUMBER; a single letter may be an amount or a share */
{
    size_t n = strspn(s + 1, UPPER "_" DIGITS);

    return n >= 2 && strspn(s + 1, UPPER "_") > 0 ? n + 1 : 0;
}

/* Are all percent signs of a URI escapes?  Then %C3%A9 is a letter and no variable. */
static bool percent_escaped(const char *uri)
{
    for (const char *p = strchr(uri, '%'); p; p = strchr(p + 1, '%'))
        if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
            return false;
    return true;
}

static size_t placeholder_at(const char *s, bool percent)
{
    size_t n = 0;

    if (*s == '%' && percent)
        n = percent_word(s);
    else if (*s == '{')
        n = in_braces(s, "{{", "}}");
    else if (*s == '$' && s[1] == '{')
        n = in_braces(s, "${", "}");
    else if (*s == '$')
        n = dollar_upper(s);
    return n;
}

static bool refuse_placeholder(const char *key, const char *value, bool is_uri, struct err *err)
{
    bool percent = !is_uri || !percent_escaped(value);
    char shown[128], found[64];

    for (const char *s = value; *s; s++) {
        size_t n = placeholder_at(s, percent);
        if (n == 0)
            continue;
        text_printable(view_str(value), shown, sizeof shown);
        text_printable(view_of(s, n), found, sizeof found);
        return err_refuse(err, REASON_SUBJECT_PLACEHOLDER,
                          "%s of %s \"%s\" was not replaced by a value", found, key, shown);
    }
    return true;
}

bool placeholders_refuse(const struct csr *csr, struct err *err)
{
    const struct san *san = &csr->ext.san;

    for (size_t i = 0; i < csr->subject.n; i++) {
        const struct name_attr *a = &csr->subject.attr[i];
        if (!refuse_placeholder(a->type ? a->type->key : a->oid, a->value, false, err))
            return false;
    }
    for (size_t i = 0; i < san->n; i++)
        if (!refuse_placeholder(san_kind_name(san->name[i].kind), san->name[i].text,
                                san->name[i].kind == SAN_URI, err))
            return false;
    return true;
}
