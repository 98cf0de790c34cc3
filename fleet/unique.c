/* No two devices may get one subject by one policy. */
#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fleet_internal.h"

/* ---- what needs no looking ---- */

/* Device names differ, and an attribute that holds one and otherwise only what is the same for all
 * differs with it. */
bool fleet_subject_certain(const char *subject)
{
    struct name parts = {0};
    struct err ignored = {0};
    bool certain = false;
    if (!name_from_text(subject, &parts, &ignored))
        return false;
    for (size_t i = 0; i < parts.n; i++) {
        const char *v = parts.attr[i].value, *percent = strchr(v, '%');
        size_t wildcards = 0;
        for (const char *p = v; *p; p++)
            wildcards += *p == '%';
        certain |= wildcards == 2 && strncasecmp(percent, "%devicename%", 12) == 0;
    }
    name_clear(&parts);
    return certain;
}

/* ---- a set of subjects: a table of half hashes, 48 octets for each ---- */

struct entry {
    uint8_t hash[16];
    char id[32];
};

struct fleet_subjects {
    struct entry *entry; /* cap of them, a power of two; "" is empty */
    size_t n, cap;
};

#define FIRST_CAP 1024

struct fleet_subjects *fleet_subjects_new(void)
{
    struct fleet_subjects *s = calloc(1, sizeof *s);
    if (s && !(s->entry = calloc(FIRST_CAP, sizeof *s->entry))) {
        free(s);
        return NULL;
    }
    if (s)
        s->cap = FIRST_CAP;
    return s;
}

void fleet_subjects_free(struct fleet_subjects *s)
{
    if (s)
        free(s->entry);
    free(s);
}

static struct entry *slot(const struct fleet_subjects *s, const uint8_t hash[16])
{
    size_t at;
    memcpy(&at, hash, sizeof at);
    for (at &= s->cap - 1; s->entry[at].id[0]; at = (at + 1) & (s->cap - 1))
        if (memcmp(s->entry[at].hash, hash, 16) == 0)
            break;
    return &s->entry[at];
}

static bool grow(struct fleet_subjects *s, struct err *err)
{
    struct fleet_subjects more = {.n = s->n, .cap = s->cap * 2};
    if (!(more.entry = calloc(more.cap, sizeof *more.entry)))
        return err_memory(err);
    for (size_t i = 0; i < s->cap; i++)
        if (s->entry[i].id[0])
            *slot(&more, s->entry[i].hash) = s->entry[i];
    free(s->entry);
    *s = more;
    return true;
}

static bool hash_of(const char *subject, uint8_t hash[32], struct err *err)
{
    char folded[FLEET_NAMES_MAX];
    size_t n = 0;
    /* RFC 5280 section 7.1: names are compared without regard to case */
    for (; subject[n] && n + 1 < sizeof folded; n++)
        folded[n] = (char)tolower((unsigned char)subject[n]);
    if (EVP_Digest(folded, n, hash, NULL, EVP_sha256(), NULL) == 1)
        return true;
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "SHA-256 cannot be computed");
}

bool fleet_subjects_add(struct fleet_subjects *s, const char *subject, const char *id,
                        char other[32], struct err *err)
{
    uint8_t hash[32];
    if (!hash_of(subject, hash, err) || (2 * s->n >= s->cap && !grow(s, err)))
        return false;
    struct entry *e = slot(s, hash);
    other[0] = '\0';
    if (e->id[0]) {
        if (strcmp(e->id, id) != 0)
            memcpy(other, e->id, 32);
        return true;
    }
    memcpy(e->hash, hash, sizeof e->hash);
    snprintf(e->id, sizeof e->id, "%s", id);
    s->n++;
    return true;
}

bool fleet_subjects_has(const struct fleet_subjects *s, const char *subject)
{
    uint8_t hash[32];
    struct err ignored = {0};
    return hash_of(subject, hash, &ignored) && slot(s, hash)->id[0];
}

/* ---- a target beside those that have the policy ---- */

struct fitting {
    const struct fleet *f;
    const struct store_policy *p;
    struct fleet_subjects *seen; /* NULL: only whether names can be made */
    bool missing_ok, same_ok; /* names that cannot be made, or that are the same, are passed over */
    const char *group;        /* name of the group that would give it; NULL */
    struct err err;
};

static bool names_for(struct fitting *t, const struct store_device *d, struct fleet_names *names,
                      struct err *err)
{
    return t->group ? fleet_names_by(t->f, NULL, t->p, d, t->group, names, err)
                    : fleet_names(t->f, t->p, d, names, err);
}

static void one_device(void *ctx, const struct store_device *d)
{
    struct fitting *t = ctx;
    struct fleet_names names;
    struct err why = {0};
    char other[32];
    if (t->err.kind != ERR_NONE || d->state == DEVICE_RETIRED)
        return;
    if (!names_for(t, d, &names, &why)) {
        if (!t->missing_ok || why.kind != ERR_CONFIG)
            t->err = why;
        return;
    }
    if (!t->seen || !fleet_subjects_add(t->seen, names.subject, d->id, other, &t->err) || !*other ||
        t->same_ok)
        return;
    struct store_device first;
    struct err ignored = {0};
    bool known = fleet_device_in(t->f, NULL, other, &first, &ignored);
    err_set(&t->err, ERR_EXISTS,
            "by policy %s devices %.64s and %.64s would get the same subject, %.100s", t->p->name,
            known ? first.name : other, d->name, names.subject);
}

static bool walk(struct fitting *t, const struct store_device_filter *filter, struct err *err)
{
    char cursor[STORE_CURSOR_MAX] = "";
    do {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        if (!store_device_page(t->f->store, filter, &page, one_device, t, err))
            return false;
        if (t->err.kind != ERR_NONE) {
            *err = t->err;
            return false;
        }
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor);
    return true;
}

bool fleet_subjects_seed(const struct fleet *f, const struct store_policy *p,
                         struct fleet_subjects *s, struct err *err)
{
    struct fitting t = {.f = f, .p = p, .seen = s, .missing_ok = true, .same_ok = true};
    const struct store_device_filter having = {.state = -1, .policy = p->id};
    return walk(&t, &having, err);
}

bool fleet_subjects_differ(const struct fleet *f, const struct store_policy *p, struct err *err)
{
    struct fitting t = {.f = f, .p = p, .missing_ok = true};
    const struct store_device_filter having = {.state = -1, .policy = p->id};
    if (fleet_subject_certain(p->subject))
        return true;
    if (!(t.seen = fleet_subjects_new()))
        return err_memory(err);
    bool ok = walk(&t, &having, err);
    fleet_subjects_free(t.seen);
    return ok;
}

bool fleet_target_fits(const struct fleet *f, const struct store_policy *p,
                       const struct store_device *device, const struct store_group *group,
                       struct err *err)
{
    struct fitting t = {.f = f, .p = p};
    bool ok = true;
    if (!fleet_subject_certain(p->subject)) {
        if (!(t.seen = fleet_subjects_new()))
            return err_memory(err);
        ok = fleet_subjects_seed(f, p, t.seen, err);
    }
    if (ok && device) {
        one_device(&t, device);
        ok = t.err.kind == ERR_NONE;
        if (!ok)
            *err = t.err;
    }
    if (ok && group) {
        const struct store_device_filter members = {.state = -1, .group = group->id};
        t.group = group->name;
        ok = walk(&t, &members, err);
    }
    fleet_subjects_free(t.seen);
    return ok;
}
