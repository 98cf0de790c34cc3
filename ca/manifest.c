#include "manifest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/json.h"
#include "ca/keyfile.h"

#define MANIFEST_VERSION 2
#define MANIFEST_OLDEST 1 /* without OCSP responders */

static const char *const shape_words[] = {
    [RA_SINGLE] = "single", [RA_PAIR] = "pair", [RA_NONE] = "none"};

/* ---- names ---- */

static bool path(char out[MANIFEST_PATH], struct err *err, const char *directory, const char *name)
{
    int n = snprintf(out, MANIFEST_PATH, "%s/%s", directory, name);
    return (n >= 0 && n < MANIFEST_PATH) ||
           err_set(err, ERR_CONFIG, "the path of %s in %.100s is too long", name, directory);
}

bool manifest_path_ca(const char *directory, unsigned number, const char *ending,
                      char out[MANIFEST_PATH], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "ca-%u%s", number, ending);
    return path(out, err, directory, name);
}

bool manifest_path_chain(const char *directory, unsigned number, unsigned index,
                         char out[MANIFEST_PATH], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "ca-%u-chain-%u.pem", number, index);
    return path(out, err, directory, name);
}

bool manifest_path_ra(const char *directory, unsigned number, const char *part, const char *ending,
                      char out[MANIFEST_PATH], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "ra-%u%s%s", number, part, ending);
    return path(out, err, directory, name);
}

bool manifest_path_ocsp(const char *directory, unsigned number, const char *ending,
                        char out[MANIFEST_PATH], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "ocsp-%u%s", number, ending);
    return path(out, err, directory, name);
}

bool manifest_path_announcement(const char *directory, unsigned number, enum ra_shape shape,
                                char out[MANIFEST_PATH], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "announcement-%u-%s.der", number, shape_words[shape]);
    return path(out, err, directory, name);
}

static bool names_ca(const struct manifest_generation *g, const char *file)
{
    char name[64];
    snprintf(name, sizeof name, "ca-%u.pem", g->number);
    if (strcmp(name, file) == 0)
        return true;
    snprintf(name, sizeof name, "ca-%u.key", g->number);
    if (strcmp(name, file) == 0)
        return g->retired_at == 0;
    for (unsigned i = 1; i <= g->chain_n; i++) {
        snprintf(name, sizeof name, "ca-%u-chain-%u.pem", g->number, i);
        if (strcmp(name, file) == 0)
            return true;
    }
    return false;
}

static bool names_ra(const struct manifest_ra *r, const char *file)
{
    static const char *const parts[] = {"", "-signing", "-encryption"};
    static const char *const endings[] = {".pem", ".key"};
    char name[64];
    size_t from = r->shape == RA_SINGLE ? 0 : 1, to = r->shape == RA_SINGLE ? 1 : 3;
    for (size_t i = from; i < to; i++)
        for (size_t k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "ra-%u%s%s", r->number, parts[i], endings[k]);
            if (strcmp(name, file) == 0)
                return true;
        }
    return false;
}

static bool names_ocsp(const struct manifest_generation *g, const char *file)
{
    char name[64];
    for (unsigned i = 0; i < g->ocsp_n; i++) {
        snprintf(name, sizeof name, "ocsp-%u.pem", g->ocsp[i]);
        if (strcmp(name, file) == 0)
            return true;
        snprintf(name, sizeof name, "ocsp-%u.key", g->ocsp[i]);
        if (strcmp(name, file) == 0)
            return true;
    }
    return false;
}

bool manifest_names(const struct manifest *m, const char *file)
{
    char name[64];
    for (unsigned i = 0; i < m->n; i++) {
        const struct manifest_generation *g = &m->generation[i];
        if ((g->number > 1 && names_ca(g, file)) || names_ocsp(g, file))
            return true;
        for (unsigned k = 0; k < g->ra_n; k++)
            if (names_ra(&g->ra[k], file))
                return true;
    }
    for (int shape = RA_SINGLE; m->announcement && shape <= RA_NONE; shape++) {
        snprintf(name, sizeof name, "announcement-%u-%s.der", m->announcement, shape_words[shape]);
        if (strcmp(name, file) == 0)
            return true;
    }
    return false;
}

/* A number that may have been given, or that a change which was cut short had begun to use. */
static bool number_given(const char **text, unsigned last)
{
    char *end;
    if (**text < '1' || **text > '9')
        return false;
    unsigned long n = strtoul(*text, &end, 10);
    *text = end;
    return n <= (unsigned long)last + 4;
}

static bool one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

bool manifest_may_name(const struct manifest *m, const char *file)
{
    static const char *const ca[] = {".pem", ".key", NULL};
    static const char *const ra[] = {
        ".pem", ".key", "-signing.pem", "-signing.key", "-encryption.pem", "-encryption.key", NULL};
    static const char *const announcement[] = {"-single.der", "-pair.der", "-none.der", NULL};
    const char *rest;
    if (strncmp(file, "ca-", 3) == 0) {
        rest = file + 3;
        return number_given(&rest, m->last_generation) &&
               (one_of(rest, ca) || (strncmp(rest, "-chain-", 7) == 0 && rest[7] >= '1' &&
                                     rest[7] <= '9' && strcmp(rest + 8, ".pem") == 0));
    }
    if (strncmp(file, "ra-", 3) == 0) {
        rest = file + 3;
        return number_given(&rest, m->last_ra) && one_of(rest, ra);
    }
    if (strncmp(file, "ocsp-", 5) == 0) {
        rest = file + 5;
        return number_given(&rest, m->last_ocsp) && one_of(rest, ca);
    }
    if (strncmp(file, "announcement-", 13) == 0) {
        rest = file + 13;
        return number_given(&rest, m->last_announcement) && one_of(rest, announcement);
    }
    return false;
}

/* ---- reading ---- */

static bool bad(struct err *err, const char *directory, const char *what)
{
    return err_set(err, ERR_CONFIG, "%s/" MANIFEST_NAME ": %s", directory, what);
}

static bool read_ra(const char *directory, json_t *in, struct manifest_ra *out, struct err *err)
{
    json_error_t why;
    json_int_t number;
    const char *shape;
    if (json_unpack_ex(in, &why, JSON_STRICT, "{s:I, s:s}", "number", &number, "shape", &shape))
        return bad(err, directory, why.text);
    bool pair = strcmp(shape, shape_words[RA_PAIR]) == 0;
    if (number < 1 || number > INT32_MAX || (!pair && strcmp(shape, shape_words[RA_SINGLE]) != 0))
        return bad(err, directory, "an RA with a wrong number or shape");
    *out = (struct manifest_ra){(unsigned)number, pair ? RA_PAIR : RA_SINGLE};
    return true;
}

static bool read_ocsp(const char *directory, const json_t *list, struct manifest_generation *out,
                      struct err *err)
{
    if (!list)
        return true;
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_MAX_OCSP)
        return bad(err, directory, "the OCSP responders of a generation are no list, or too many");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *number = json_array_get(list, i);
        json_int_t n = json_is_integer(number) ? json_integer_value(number) : 0;
        if (n < 1 || n > INT32_MAX)
            return bad(err, directory, "an OCSP responder with a wrong number");
        out->ocsp[out->ocsp_n++] = (unsigned)n;
    }
    return true;
}

static bool read_generation(const char *directory, json_t *in, struct manifest_generation *out,
                            struct err *err)
{
    json_error_t why;
    json_int_t number, made, activate, activated, retired, chain;
    const char *key;
    json_t *ras, *ocsp = NULL;
    struct manifest_generation g = {0};
    if (json_unpack_ex(in, &why, JSON_STRICT, "{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s?o}",
                       "number", &number, "key", &key, "made_at", &made, "activate_at", &activate,
                       "activated_at", &activated, "retired_at", &retired, "chain", &chain, "ras",
                       &ras, "ocsp", &ocsp))
        return bad(err, directory, why.text);
    if (number < 1 || number > INT32_MAX || chain < 0 || chain > AUTHORITY_MAX_CHAIN ||
        !json_is_array(ras) || json_array_size(ras) > MANIFEST_MAX_RAS)
        return bad(err, directory, "a generation with a wrong number, chain or RAs");
    if (hex_decode(key, g.key, sizeof g.key) != sizeof g.key)
        return bad(err, directory, "the hash of a key is none");
    g.number = (unsigned)number;
    g.chain_n = (unsigned)chain;
    g.made_at = made;
    g.activate_at = activate;
    g.activated_at = activated;
    g.retired_at = retired;
    for (size_t i = 0; i < json_array_size(ras); i++)
        if (!read_ra(directory, json_array_get(ras, i), &g.ra[g.ra_n++], err))
            return false;
    if (!read_ocsp(directory, ocsp, &g, err))
        return false;
    *out = g;
    return true;
}

static bool read_event(const char *directory, json_t *in, struct manifest_event *out,
                       struct err *err)
{
    json_error_t why;
    json_int_t at;
    const char *event, *actor, *text;
    if (json_unpack_ex(in, &why, JSON_STRICT, "{s:I, s:s, s:s, s:s}", "at", &at, "event", &event,
                       "actor", &actor, "text", &text))
        return bad(err, directory, why.text);
    *out = (struct manifest_event){.at = at};
    snprintf(out->event, sizeof out->event, "%s", event);
    snprintf(out->actor, sizeof out->actor, "%s", actor);
    snprintf(out->text, sizeof out->text, "%s", text);
    return true;
}

static bool read_lists(const char *directory, json_t *generations, json_t *events,
                       struct manifest *m, struct err *err)
{
    if (!json_is_array(generations) || json_array_size(generations) > FAMILY_MAX ||
        !json_is_array(events) || json_array_size(events) > MANIFEST_MAX_EVENTS)
        return bad(err, directory, "too many generations or events, or no list of them");
    for (size_t i = 0; i < json_array_size(generations); i++) {
        if (!read_generation(directory, json_array_get(generations, i), &m->generation[i], err))
            return false;
        if (m->generation[i].number > m->last_generation ||
            (i && m->generation[i].number <= m->generation[i - 1].number))
            return bad(err, directory, "the generations are not in order");
        m->n++;
    }
    for (size_t i = 0; i < json_array_size(events); i++)
        if (!read_event(directory, json_array_get(events, i), &m->event[m->event_n++], err))
            return false;
    return manifest_find(m, m->current) || bad(err, directory, "the current generation is missing");
}

static bool read_manifest(const char *directory, json_t *root, struct manifest *out,
                          struct err *err)
{
    json_error_t why;
    json_int_t version, changes, current, generation, ra, ocsp = 0, announcement, announcements;
    json_t *generations, *events;
    if (json_unpack_ex(root, &why, 0, "{s:I}", "version", &version))
        return bad(err, directory, why.text);
    if (version < MANIFEST_OLDEST || version > MANIFEST_VERSION)
        return err_set(err, ERR_CONFIG,
                       "%s/" MANIFEST_NAME ": of version %lld, this program knows %d", directory,
                       (long long)version, MANIFEST_VERSION);
    if (json_unpack_ex(root, &why, JSON_STRICT,
                       "{s:I, s:I, s:I, s:I, s:I, s?I, s:I, s:I, s:o, s:o}", "version", &version,
                       "changes", &changes, "current", &current, "last_generation", &generation,
                       "last_ra", &ra, "last_ocsp", &ocsp, "announcement", &announcement,
                       "last_announcement", &announcements, "generations", &generations,
                       "unrecorded", &events))
        return bad(err, directory, why.text);
    if (changes < 1 || current < 1 || generation < 1 || generation > INT32_MAX || ra < 0 ||
        ra > INT32_MAX || ocsp < 0 || ocsp > INT32_MAX || announcement < 0 ||
        announcements < announcement || announcements > INT32_MAX)
        return bad(err, directory, "a number out of range");
    struct manifest m = {.changes = (uint64_t)changes,
                         .current = (unsigned)current,
                         .last_generation = (unsigned)generation,
                         .last_ra = (unsigned)ra,
                         .last_ocsp = (unsigned)ocsp,
                         .announcement = (unsigned)announcement,
                         .last_announcement = (unsigned)announcements};
    if (!read_lists(directory, generations, events, &m, err))
        return false;
    *out = m;
    return true;
}

static const struct manifest first_alone = {
    .current = 1, .last_generation = 1, .generation = {{.number = 1}}, .n = 1};

bool manifest_load(const char *directory, struct manifest *out, struct err *err)
{
    char file[MANIFEST_PATH];
    struct buf text = {0};
    struct err why = {0};
    json_error_t at;
    *out = first_alone;
    if (!directory || !directory[0])
        return true;
    if (!path(file, err, directory, MANIFEST_NAME))
        return false;
    if (!file_read(file, &text, &why)) {
        if (why.kind == ERR_NOT_FOUND)
            return true;
        *err = why;
        return false;
    }
    json_t *root = whole_json_read(buf_view(&text), &at);
    bool ok = root ? read_manifest(directory, root, out, err)
                   : err_set(err, ERR_CONFIG, "%s:%d: %s", file, at.line, at.text);
    json_decref(root);
    buf_clear(&text);
    return ok;
}

/* ---- writing ---- */

static json_t *write_generation(const struct manifest_generation *g)
{
    char key[65];
    json_t *ras = json_array(), *ocsp = json_array();
    for (unsigned i = 0; ocsp && i < g->ocsp_n; i++)
        json_array_append_new(ocsp, json_integer((json_int_t)g->ocsp[i]));
    for (unsigned i = 0; ras && i < g->ra_n; i++)
        json_array_append_new(ras, json_pack("{s:I, s:s}", "number", (json_int_t)g->ra[i].number,
                                             "shape", shape_words[g->ra[i].shape]));
    hex_encode(view_of(g->key, sizeof g->key), key);
    return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "number",
                     (json_int_t)g->number, "key", key, "made_at", (json_int_t)g->made_at,
                     "activate_at", (json_int_t)g->activate_at, "activated_at",
                     (json_int_t)g->activated_at, "retired_at", (json_int_t)g->retired_at, "chain",
                     (json_int_t)g->chain_n, "ras", ras, "ocsp", ocsp);
}

static json_t *write_manifest(const struct manifest *m)
{
    json_t *generations = json_array(), *events = json_array();
    for (unsigned i = 0; generations && i < m->n; i++)
        json_array_append_new(generations, write_generation(&m->generation[i]));
    for (unsigned i = 0; events && i < m->event_n; i++) {
        const struct manifest_event *e = &m->event[i];
        json_array_append_new(events,
                              json_pack("{s:I, s:s, s:s, s:s}", "at", (json_int_t)e->at, "event",
                                        e->event, "actor", e->actor, "text", e->text));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "version",
                     (json_int_t)MANIFEST_VERSION, "changes", (json_int_t)m->changes, "current",
                     (json_int_t)m->current, "last_generation", (json_int_t)m->last_generation,
                     "last_ra", (json_int_t)m->last_ra, "last_ocsp", (json_int_t)m->last_ocsp,
                     "announcement", (json_int_t)m->announcement, "last_announcement",
                     (json_int_t)m->last_announcement, "generations", generations, "unrecorded",
                     events);
}

bool manifest_save(const char *directory, struct manifest *m, struct err *err)
{
    char file[MANIFEST_PATH];
    if (!path(file, err, directory, MANIFEST_NAME))
        return false;
    m->changes++;
    json_t *root = write_manifest(m);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    bool whole = text && json_array_size(json_object_get(root, "generations")) == m->n &&
                 json_array_size(json_object_get(root, "unrecorded")) == m->event_n;
    bool ok = whole ? file_replace(file, view_str(text), 0600, err) : err_memory(err);
    free(text);
    json_decref(root);
    if (!ok)
        m->changes--;
    return ok;
}

/* ---- finding ---- */

struct manifest_generation *manifest_find(struct manifest *m, unsigned number)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->generation[i].number == number)
            return &m->generation[i];
    return NULL;
}

struct manifest_generation *manifest_next(struct manifest *m)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->generation[i].number > m->current)
            return &m->generation[i];
    return NULL;
}

void manifest_add_ocsp(struct manifest_generation *g, unsigned number)
{
    if (g->ocsp_n == MANIFEST_MAX_OCSP)
        memmove(&g->ocsp[0], &g->ocsp[1], --g->ocsp_n * sizeof g->ocsp[0]);
    g->ocsp[g->ocsp_n++] = number;
}
