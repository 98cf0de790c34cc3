/* Whose subject is it?  The other way round from challenge.c: from a name to the device and the
 * policy that make it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fleet_internal.h"

#define WALKED_MOST 2000 /* devices: some milliseconds */

struct search {
    const struct fleet *f;
    struct name subject;
    bool common_name; /* it is all that is said: the other attributes may be any */
    char text[NAME_TEXT_MAX];
    const struct store_policy *policy; /* that is looked at */
    bool walking;  /* those by which no index leads are looked at now, after the others */
    size_t walked; /* devices: of such policies, and where many have the value */
    struct fleet_owner *out;
    bool found;
    struct err err;
};

static const char *value_of(const struct name *n, const char *key)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->attr[i].type && n->attr[i].type == name_type_by_key(key))
            return n->attr[i].value;
    return NULL;
}

/* ---- by what it got before ---- */

static void one_cert(void *ctx, const struct store_cert *c)
{
    struct search *s = ctx;
    struct err ignored = {0};
    struct store_device d;
    if (s->found || !*c->device || !fleet_device_in(s->f, NULL, c->device, &d, &ignored) ||
        d.state == DEVICE_RETIRED)
        return;
    s->found = true;
    s->out->device = d;
    if (!*c->policy || !fleet_policy_in(s->f, NULL, c->policy, &s->out->policy, &ignored))
        s->out->policy = (struct store_policy){.id = ""};
}

static bool by_certificate(struct search *s, struct err *err)
{
    uint8_t hash[STORE_HASH];
    const struct store_cert_filter filter = {.state = -1, .subject_hash = hash};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    return name_hash(&s->subject, hash, err) &&
           store_cert_page(s->f->store, &filter, &page, one_cert, s, err);
}

/* ---- by a policy ---- */

/* Does the policy, which the device must have, give it just this name? */
static void one_device(void *ctx, const struct store_device *d)
{
    struct search *s = ctx;
    struct name subject = {0};
    struct san san = {0};
    struct store_reach reach;
    struct err why = {0};
    char text[NAME_TEXT_MAX];
    if (s->found || d->state == DEVICE_RETIRED ||
        !fleet_reach_in(s->f, NULL, s->policy->id, d->id, &reach, &why) || reach.way == WAY_NONE ||
        !fleet_names_parts(s->f, s->policy, d, &subject, &san, &why))
        return;
    name_text(&subject, text, sizeof text);
    const char *cn = value_of(&subject, "CN"), *wanted = value_of(&s->subject, "CN");
    if (s->common_name ? cn && wanted && strcasecmp(cn, wanted) == 0
                       : strcasecmp(text, s->text) == 0) {
        s->found = true;
        s->out->device = *d;
        s->out->policy = *s->policy;
    }
    name_clear(&subject);
    san_clear(&san);
}

/* What stands for the one wildcard of the pattern; false: it has none or several, or the value does
 * not fit around it. */
static bool wildcard_value(const char *pattern, const char *value, enum fleet_wildcard *which,
                           char *out, size_t cap)
{
    const char *begin = strchr(pattern, '%'), *end = begin ? strchr(begin + 1, '%') : NULL;
    if (!end || strchr(end + 1, '%'))
        return false;
    size_t before = (size_t)(begin - pattern), behind = strlen(end + 1), n = strlen(value),
           name = (size_t)(end - begin) - 1;
    if (n <= before + behind || n - before - behind >= cap ||
        strncasecmp(pattern, value, before) != 0 || strcasecmp(end + 1, value + n - behind) != 0)
        return false;
    snprintf(out, cap, "%.*s", (int)(n - before - behind), value + before);
    for (int w = 0; w < FLEET_WILDCARDS; w++) {
        const char *known = fleet_wildcard_name((enum fleet_wildcard)w);
        *which = (enum fleet_wildcard)w;
        if (strlen(known) == name && strncasecmp(known, begin + 1, name) == 0)
            return true;
    }
    return false;
}

/* Could a value be made by the pattern, by what stands before its first and behind its last
 * wildcard? */
static bool value_fits(const char *pattern, const char *value)
{
    const char *first = strchr(pattern, '%'), *last = strrchr(pattern, '%');
    if (strstr(pattern, "%%"))
        return true; /* a percent sign of its own: not taken apart here */
    if (!first)
        return strcasecmp(pattern, value) == 0;
    size_t before = (size_t)(first - pattern), behind = strlen(last + 1), n = strlen(value);
    return n >= before + behind && strncasecmp(pattern, value, before) == 0 &&
           strcasecmp(last + 1, value + n - behind) == 0;
}

/* Attributes stand in the order of the policy. */
static bool name_fits(const struct search *s, const struct name *pattern)
{
    if (s->common_name) {
        const char *cn = value_of(pattern, "CN"), *wanted = value_of(&s->subject, "CN");
        return cn && wanted && value_fits(cn, wanted);
    }
    if (pattern->n != s->subject.n)
        return false;
    for (size_t i = 0; i < pattern->n; i++)
        if (pattern->attr[i].type != s->subject.attr[i].type ||
            !value_fits(pattern->attr[i].value, s->subject.attr[i].value))
            return false;
    return true;
}

static void walk_device(void *ctx, const struct store_device *d)
{
    struct search *s = ctx;
    s->walked++;
    one_device(s, d);
}

/* A page of them; false: it is over. */
static bool walk_on(struct search *s, const struct store_device_filter *f,
                    char cursor[STORE_CURSOR_MAX])
{
    const size_t left = WALKED_MOST - s->walked;
    struct store_page page = {.after = cursor,
                              .limit = left < STORE_PAGE_MAX ? left : STORE_PAGE_MAX};
    struct err why = {0};
    if (!left)
        return false;
    if (!store_device_page(s->f->store, f, &page, walk_device, s, &why)) {
        s->err = why;
        return false;
    }
    memcpy(cursor, page.next, sizeof page.next);
    return *cursor && !s->found;
}

static bool has_index(enum fleet_wildcard which)
{
    return which == FLEET_DEVICENAME || which == FLEET_SERIALNUMBER || which == FLEET_USER;
}

/* By the index that there is for the value; false: there is none. */
static bool by_value(struct search *s, enum fleet_wildcard which, const char *value)
{
    struct store_device_filter filter = {.state = -1};
    char cursor[STORE_CURSOR_MAX] = "";
    struct store_device d;
    struct err ignored = {0};
    if (!has_index(which))
        return false;
    if (which == FLEET_DEVICENAME) {
        if (fleet_device_in(s->f, NULL, value, &d, &ignored))
            one_device(s, &d);
        return true;
    }
    if (which == FLEET_SERIALNUMBER)
        filter.serial_number = value;
    else
        filter.user = value;
    while (walk_on(s, &filter, cursor))
        ;
    return true;
}

static void walk(struct search *s)
{
    const struct store_device_filter having = {.state = -1, .policy = s->policy->id};
    char cursor[STORE_CURSOR_MAX] = "";
    walk_on(s, &having, cursor);
}

/* Any attribute whose value leads to devices is enough: the whole name is compared then. */
static void by_pattern(struct search *s, const struct name *pattern)
{
    bool led = false;
    for (size_t i = 0; i < pattern->n && !led; i++) {
        char value[256];
        enum fleet_wildcard which;
        const char *key = pattern->attr[i].type ? pattern->attr[i].type->key : "",
                   *theirs = value_of(&s->subject, key);
        if (theirs && wildcard_value(pattern->attr[i].value, theirs, &which, value, sizeof value))
            led = s->walking ? has_index(which) : by_value(s, which, value);
    }
    if (s->walking && !led)
        walk(s);
}

static void one_policy(void *ctx, const struct store_policy *p)
{
    struct search *s = ctx;
    struct name pattern = {0};
    struct err ignored = {0};
    if (s->found || s->err.kind != ERR_NONE || !name_from_text(p->subject, &pattern, &ignored))
        return;
    s->policy = p;
    if (name_fits(s, &pattern))
        by_pattern(s, &pattern);
    name_clear(&pattern);
}

static bool by_policies(struct search *s, bool walking, struct err *err)
{
    char cursor[STORE_CURSOR_MAX] = "";
    s->walking = walking;
    do {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        if (!store_policy_page(s->f->store, NULL, &page, one_policy, s, err))
            return false;
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor && !s->found && s->err.kind == ERR_NONE);
    if (s->err.kind != ERR_NONE)
        *err = s->err;
    return s->err.kind == ERR_NONE;
}

/* ---- the whole ---- */

static bool read_subject(struct search *s, const char *subject, struct err *err)
{
    s->common_name = !strchr(subject, '=');
    if (strchr(subject, '*'))
        return err_set(err, ERR_NOT_FOUND, "a pattern is nobody's subject");
    if (!(s->common_name ? name_add(&s->subject, name_type_by_key("CN"), subject,
                                    REASON_SUBJECT_FORBIDDEN, err)
                         : name_from_text(subject, &s->subject, err)))
        return false;
    name_text(&s->subject, s->text, sizeof s->text);
    return true;
}

bool fleet_subject_owner(const struct fleet *f, const char *subject, struct fleet_owner *out,
                         struct err *err)
{
    struct search s = {.f = f, .out = out};
    bool ok = read_subject(&s, subject, err) && by_certificate(&s, err) &&
              (s.found || by_policies(&s, false, err)) && (s.found || by_policies(&s, true, err)) &&
              (s.found || err_set(err, ERR_NOT_FOUND, "no device has this subject"));
    name_clear(&s.subject);
    return ok;
}

void fleet_subject_warn(const struct fleet *f, const char *subject, struct fleet_warnings *w)
{
    struct fleet_owner o;
    struct err ignored = {0};
    if (!subject || !*subject || !fleet_subject_owner(f, subject, &o, &ignored))
        return;
    fleet_warn(w,
               "this is the subject of device %.40s%s%.30s: a certificate by this challenge is not "
               "the device's, and stays good when it is retired; scepctl challenge new --device "
               "%.31s makes one for it",
               o.device.name, *o.policy.id ? " by policy " : "", o.policy.name, o.device.id);
}

void fleet_attempt_owner(const struct fleet *f, struct store_attempt *a)
{
    struct fleet_owner o;
    struct err ignored = {0};
    if (*a->device || !*a->subject || !fleet_subject_owner(f, a->subject, &o, &ignored))
        return;
    memcpy(a->device, o.device.id, sizeof a->device);
    memcpy(a->policy, o.policy.id, sizeof a->policy);
}
