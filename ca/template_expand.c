/* Names built anew: the text of the template is taken apart first and values are put in after, so
 * that no value can begin another attribute. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/text.h"
#include "template_internal.h"

#define KEY_MAX 32
#define WILDCARD_MAX 64
#define EXPANDED_MAX NAME_MAX_VALUE

struct expansion {
    char text[EXPANDED_MAX + 1];
    size_t n;
};

static bool add(struct expansion *x, const char *s, size_t n, struct err *err)
{
    if (n > EXPANDED_MAX - x->n)
        return err_refuse(err, REASON_SUBJECT_FORBIDDEN,
                          "a name built by the template has more than %d octets", EXPANDED_MAX);
    memcpy(x->text + x->n, s, n);
    x->n += n;
    x->text[x->n] = '\0';
    return true;
}

static bool missing(enum reason reason, const char *wildcard, struct err *err)
{
    return err_refuse(err, reason, "the request has no value for ${%s}, which the template needs",
                      wildcard);
}

static const struct name_attr *first_attr(const struct name *n, const char *key)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->attr[i].type && strcasecmp(n->attr[i].type->key, key) == 0)
            return &n->attr[i];
    return NULL;
}

/* Patterns for the same attribute limit what a wildcard may take. */
static bool add_csr_attr(const struct planning *p, const char *name, struct expansion *x,
                         struct err *err)
{
    const char *key = name + strlen("csr.");
    const struct name_attr *a = first_attr(&p->csr->subject, key);
    struct pattern pattern;
    bool limited = false;

    if (!a)
        return missing(REASON_SUBJECT_MISSING, name, err);
    for (size_t i = 0; i < p->t->subject_n; i++)
        limited = limited || (pattern_parse(p->t->subject[i], '=', &pattern) &&
                              strcasecmp(pattern.key, key) == 0);
    if (limited && !patterns_allow_attr(p->t, a, err))
        return false;
    return add(x, a->value, strlen(a->value), err);
}

static bool add_csr_san(const struct planning *p, const char *name, struct expansion *x,
                        struct err *err)
{
    const char *kind = name + strlen("csr.san.");
    const struct san *san = &p->csr->ext.san;
    struct pattern pattern;
    bool limited = false;

    for (size_t i = 0; i < p->t->san_n; i++)
        limited = limited || (pattern_parse(p->t->san[i], ':', &pattern) &&
                              strcasecmp(pattern.key, kind) == 0);
    for (size_t i = 0; i < san->n; i++) {
        if (strcasecmp(san_kind_name(san->name[i].kind), kind) != 0)
            continue;
        if (limited && !patterns_allow_san(p->t, &san->name[i], err))
            return false;
        return add(x, san->name[i].text, strlen(san->name[i].text), err);
    }
    return missing(REASON_SAN_MISSING, name, err);
}

static bool add_signer_attr(const struct planning *p, const char *name, struct expansion *x,
                            struct err *err)
{
    const char *subject = p->ctx->signer_subject;
    struct name signer = {0};

    if (!subject || !subject[0])
        return missing(REASON_SUBJECT_MISSING, name, err);
    if (!name_from_text(subject, &signer, err))
        return false;
    const struct name_attr *a = first_attr(&signer, name + strlen("signer."));
    bool ok =
        a ? add(x, a->value, strlen(a->value), err) : missing(REASON_SUBJECT_MISSING, name, err);
    name_clear(&signer);
    return ok;
}

static bool add_text(const char *value, const char *name, struct expansion *x, struct err *err)
{
    if (!value || !value[0])
        return missing(REASON_SUBJECT_MISSING, name, err);
    return add(x, value, strlen(value), err);
}

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_san_kind(const char *kind)
{
    for (int k = SAN_DNS; k <= SAN_UPN; k++)
        if (strcasecmp(kind, san_kind_name((enum san_kind)k)) == 0)
            return true;
    return false;
}

static bool wildcard_known(const char *name)
{
    static const char *const fixed[] = {"challenge.label", "challenge.id", "endpoint",
                                        "transaction", "key.sha256"};

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (strcmp(name, fixed[i]) == 0)
            return true;
    if (starts(name, "csr.san."))
        return is_san_kind(name + strlen("csr.san."));
    if (starts(name, "csr."))
        return name_type_by_key(name + strlen("csr.")) != NULL;
    return starts(name, "signer.") && name_type_by_key(name + strlen("signer.")) != NULL;
}

static bool add_wildcard(const struct planning *p, const char *name, struct expansion *x,
                         struct err *err)
{
    const struct template_context *c = p->ctx;
    char hex[2 * sizeof p->csr->key.sha256 + 1];

    if (starts(name, "csr.san."))
        return add_csr_san(p, name, x, err);
    if (starts(name, "csr."))
        return add_csr_attr(p, name, x, err);
    if (starts(name, "signer."))
        return add_signer_attr(p, name, x, err);
    if (strcmp(name, "challenge.label") == 0)
        return add_text(c->challenge_label, name, x, err);
    if (strcmp(name, "challenge.id") == 0)
        return add_text(c->challenge_id, name, x, err);
    if (strcmp(name, "endpoint") == 0)
        return add_text(c->endpoint, name, x, err);
    if (strcmp(name, "transaction") == 0)
        return add_text(c->transaction, name, x, err);
    hex_encode(view_of(p->csr->key.sha256, sizeof p->csr->key.sha256), hex);
    return add(x, hex, strlen(hex), err);
}

/* The wildcard "${name}" at s: its whole length, or 0 when it is none that can be. */
static size_t wildcard_read(const char *s, char name[WILDCARD_MAX])
{
    const char *end = strchr(s, '}');

    if (s[1] != '{' || !end || (size_t)(end - s - 2) >= WILDCARD_MAX)
        return 0;
    size_t n = (size_t)(end - s - 2);
    memcpy(name, s + 2, n);
    name[n] = '\0';
    return wildcard_known(name) ? n + 3 : 0;
}

static bool refuse_wildcard(const char *s, struct err *err)
{
    return err_set(err, ERR_CONFIG, "no such wildcard: \"%.40s\" (\"$$\" is a dollar sign)", s);
}

/* One value: wildcards, "$$", and RFC 4514's backslash before a literal character.  Without `p` it
 * is only checked. */
static bool expand(const struct planning *p, const char *s, size_t n, struct expansion *x,
                   struct err *err)
{
    const char *end = s + n;

    while (s < end) {
        char name[WILDCARD_MAX];
        size_t used = 1;
        if (*s == '$' && s[1] == '$') {
            used = 2;
            if (!add(x, s, 1, err))
                return false;
        } else if (*s == '$') {
            used = wildcard_read(s, name);
            if (used == 0)
                return refuse_wildcard(s, err);
            if (p && !add_wildcard(p, name, x, err))
                return false;
        } else {
            if (*s == '\\' && s + 1 < end)
                s++;
            if (!add(x, s, 1, err))
                return false;
        }
        s += used;
    }
    return true;
}

/* Length of a part that ends before an unescaped comma outside of a wildcard. */
static size_t part_length(const char *s)
{
    size_t n = 0;
    bool inside = false;

    while (s[n] && (inside || s[n] != ',')) {
        if (s[n] == '\\' && s[n + 1])
            n++;
        else if (s[n] == '$' && s[n + 1] == '{')
            inside = true;
        else if (s[n] == '}')
            inside = false;
        n++;
    }
    return n;
}

/* "key<separator>value" within n octets. */
static bool part_split(const char *s, size_t n, char separator, char key[KEY_MAX],
                       const char **value, size_t *value_n)
{
    const char *at = memchr(s, separator, n);

    if (!at || at == s || (size_t)(at - s) >= KEY_MAX || at + 1 == s + n)
        return false;
    memcpy(key, s, (size_t)(at - s));
    key[at - s] = '\0';
    *value = at + 1;
    *value_n = n - (size_t)(at + 1 - s);
    return true;
}

/* `p` and `out` NULL: only checked. */
static bool subject_parts(const struct planning *p, const char *text, struct name *out,
                          struct err *err)
{
    for (const char *s = text; *s;) {
        struct expansion x = {.n = 0};
        char key[KEY_MAX];
        const char *value;
        size_t value_n, n;

        s += strspn(s, " ");
        n = part_length(s);
        const struct name_type *type =
            part_split(s, n, '=', key, &value, &value_n) ? name_type_by_key(key) : NULL;
        if (!type)
            return err_set(err, ERR_CONFIG, "not an attribute and a value: \"%.*s\"",
                           (int)(n < 60 ? n : 60), s);
        if (!expand(p, value, value_n, &x, err))
            return false;
        if (out && !name_add(out, type, x.text, REASON_SUBJECT_FORBIDDEN, err))
            return false;
        s += n;
        s += *s == ',';
    }
    return true;
}

bool build_subject(const struct planning *p, struct name *out, struct err *err)
{
    return subject_parts(p, p->t->subject_build, out, err);
}

static bool san_part(const struct planning *p, const char *text, struct san *out, struct err *err)
{
    struct expansion x = {.n = 0};
    char key[KEY_MAX], whole[KEY_MAX + 1 + EXPANDED_MAX + 1];
    const char *value;
    size_t value_n;

    if (!part_split(text, strlen(text), ':', key, &value, &value_n) || !is_san_kind(key))
        return err_set(err, ERR_CONFIG, "not a kind and a value: \"%.60s\"", text);
    if (!expand(p, value, value_n, &x, err))
        return false;
    if (!out)
        return true;
    snprintf(whole, sizeof whole, "%s:%s", key, x.text);
    return san_add_text(out, whole, err);
}

bool build_san(const struct planning *p, struct san *out, struct err *err)
{
    for (size_t i = 0; i < p->t->san_build_n; i++)
        if (!san_part(p, p->t->san_build[i], out, err))
            return false;
    return true;
}

bool build_check(const struct template *t, struct err *err)
{
    if (t->subject_build && !subject_parts(NULL, t->subject_build, NULL, err))
        return false;
    for (size_t i = 0; i < t->san_build_n; i++)
        if (!san_part(NULL, t->san_build[i], NULL, err))
            return false;
    return true;
}
