/* One row of the file: a device as it shall be. */
#include <string.h>
#include <strings.h>

#include "config/suggest.h"
#include "import_internal.h"

static const char *const column_names[COLUMNS] = {"name", "platform", "serial_number", "udid",
                                                  "user", "email",    "host",          "groups"};

/* ---- header ---- */

static bool unknown_column(const char *name, struct err *err)
{
    char hint[160];
    struct suggest near = suggest_start(name);
    for (size_t k = 0; k < COLUMNS; k++)
        suggest_offer(&near, column_names[k]);
    return err_set(err, ERR_CONFIG, "unknown column \"%.60s\"%s", name,
                   suggest_text(&near, hint, sizeof hint));
}

static bool place_column(struct importing *i, const char *name, int at, struct err *err)
{
    for (size_t k = 0; k < COLUMNS; k++) {
        if (strcasecmp(column_names[k], name) != 0)
            continue;
        if (i->column[k] >= 0)
            return err_set(err, ERR_CONFIG, "column %s is there twice", column_names[k]);
        i->column[k] = at;
        return true;
    }
    return unknown_column(name, err);
}

bool import_header(struct importing *i, const struct table_row *row, struct err *err)
{
    for (size_t k = 0; k < COLUMNS; k++)
        i->column[k] = -1;
    if (row->n == 1 && strchr(row->field[0], ';'))
        return err_set(err, ERR_CONFIG,
                       "the columns are separated by semicolons: save the file with commas");
    if (row->n > COLUMNS)
        return err_set(err, ERR_CONFIG, "there are %zu columns, and only %d are known", row->n,
                       COLUMNS);
    if (row->nul)
        return err_set(err, ERR_CONFIG, "a column's name has a NUL in it");
    for (size_t k = 0; k < row->n; k++)
        if (!place_column(i, row->field[k], (int)k, err))
            return false;
    if (i->column[COL_NAME] < 0)
        return err_set(err, ERR_CONFIG,
                       "the first line has to name the columns, and name among them");
    i->columns = row->n;
    return true;
}

/* ---- rows ---- */

static bool take(struct importing *i, const struct table_row *row, enum import_column c, char *to,
                 size_t cap, struct err *err)
{
    if (i->column[c] < 0)
        return true; /* not in the file: as it was */
    const char *value = row->field[i->column[c]];
    size_t n = strlen(value);
    if (n >= cap)
        return err_set(err, ERR_CONFIG, "%s: it has %zu octets, %zu at most", column_names[c], n,
                       cap - 1);
    memcpy(to, value, n + 1);
    return true;
}

static bool take_group(struct import_row *r, const char *name, struct err *err)
{
    size_t n = strlen(name);
    if (n >= sizeof r->group[0])
        return err_set(err, ERR_CONFIG, "groups: a name has %zu octets, %zu at most", n,
                       sizeof r->group[0] - 1);
    for (size_t k = 0; k < r->group_n; k++)
        if (strcasecmp(r->group[k], name) == 0)
            return true;
    if (r->group_n == IMPORT_GROUPS)
        return err_set(err, ERR_CONFIG, "groups: more than %d", IMPORT_GROUPS);
    memcpy(r->group[r->group_n++], name, n + 1);
    return true;
}

static bool take_groups(struct importing *i, const struct table_row *row, struct import_row *r,
                        struct err *err)
{
    char copy[1400], *rest = copy, *word;
    copy[0] = '\0';
    if (!take(i, row, COL_GROUPS, copy, sizeof copy, err))
        return false;
    while ((word = strsep(&rest, ";"))) {
        word += strspn(word, " ");
        for (size_t n = strlen(word); n > 0 && word[n - 1] == ' '; n--)
            word[n - 1] = '\0';
        if (*word && !take_group(r, word, err))
            return false;
    }
    return true;
}

static bool check_group(struct importing *i, char name[64], struct err *err)
{
    struct store_group g;
    struct err why = {0};
    if (store_group_get(i->f->store, name, &g, &why))
        return !g.users || err_set(err, ERR_CONFIG,
                                   "groups: \"%s\" is a group of users: its members follow from "
                                   "column user",
                                   name);
    if (why.kind != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    if (!i->o->new_groups)
        return err_set(err, ERR_CONFIG, "groups: there is no group \"%s\"", name);
    return fleet_name(name, 64, err) || err_prefix(err, "groups");
}

static bool same_device(const struct store_device *a, const struct store_device *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->platform, b->platform) == 0 &&
           strcmp(a->serial_number, b->serial_number) == 0 && strcmp(a->udid, b->udid) == 0 &&
           strcmp(a->user, b->user) == 0 && strcmp(a->email, b->email) == 0 &&
           strcmp(a->host, b->host) == 0;
}

/* Begins with what is stored, so that columns which the file does not have stay as they are. */
static bool begin_with(struct importing *i, const char *name, struct import_row *r,
                       struct store_device *old, struct err *err)
{
    struct err why = {0};
    if (!store_device_get(i->f->store, name, old, &why)) {
        if (why.kind != ERR_NOT_FOUND && why.kind != ERR_CONFLICT) {
            *err = why;
            return false;
        }
    } else if (strcasecmp(old->name, name) == 0 && old->state != DEVICE_RETIRED) {
        r->exists = true;
        r->device = *old;
    }
    return true;
}

static bool once_in_file(struct importing *i, const struct import_row *r, struct err *err)
{
    char here[32], other[32];
    snprintf(here, sizeof here, "line %llu", (unsigned long long)r->line);
    if (!fleet_subjects_add(i->names, r->device.name, here, other, err))
        return false;
    return !*other ||
           err_set(err, ERR_CONFIG, "name: \"%.64s\" stands in %s already", r->device.name, other);
}

/* ---- the challenge that it would be given ---- */

struct holding {
    int64_t now;
    bool found;
};

static void note_cert(void *ctx, const struct store_cert *c)
{
    struct holding *h = ctx;
    h->found |= c->state != CERT_REVOKED && c->not_after > h->now;
}

bool import_has_certificate(const struct importing *i, struct store_write *w, const char *device,
                            bool *out, struct err *err)
{
    struct holding h = {.now = i->f->now};
    const struct store_cert_filter filter = {.state = -1, .device = device, .policy = i->policy.id};
    struct store_page page = {.limit = STORE_PAGE_MAX, .in = w};
    if (!store_cert_page(i->f->store, &filter, &page, note_cert, &h, err))
        return false;
    *out = h.found;
    return true;
}

/* Said before anything is stored, since it would be refused later. */
static bool may_have(struct importing *i, const struct import_row *r, const char *group,
                     struct err *err)
{
    bool holds = false;
    if (!import_challenges(i))
        return true;
    if (r->exists && !import_has_certificate(i, NULL, r->device.id, &holds, err))
        return false;
    if (holds)
        return true;
    if (r->device.state == DEVICE_ISOLATED)
        return err_set(
            err, ERR_CONFIG,
            "device \"%.64s\" (%s) is isolated: it gets no challenge until it is released",
            r->device.name, r->device.id);
    if (fleet_subject_free(i->f, NULL, &i->policy, &r->device, group, err))
        return true;
    if (err->kind == ERR_EXISTS)
        err->kind = ERR_CONFIG; /* a mistake of this line as any other */
    return false;
}

static bool subject_of(struct importing *i, const struct import_row *r, struct err *err)
{
    struct fleet_names names;
    struct store_policy p = i->policy;
    const char *group = r->group_n ? r->group[0] : "";
    char here[32], other[32];
    if (!i->o->policy)
        return true;
    if (r->group_n > 1 && fleet_pattern_uses(p.subject, p.san) & 1u << FLEET_GROUP)
        return err_set(err, ERR_CONFIG, "groups: %%group%% of policy %s could be any of them",
                       p.name);
    if (!fleet_names_by(i->f, NULL, &p, &r->device, group, &names, err) ||
        !may_have(i, r, group, err))
        return false;
    if (!i->subjects)
        return true;
    if (r->exists)
        memcpy(here, r->device.id, sizeof here);
    else
        snprintf(here, sizeof here, "line %llu", (unsigned long long)r->line);
    if (!fleet_subjects_add(i->subjects, names.subject, here, other, err))
        return false;
    return !*other ||
           err_set(err, ERR_CONFIG, "by policy %s it would get the subject of %s, %.100s", p.name,
                   other, names.subject);
}

bool import_row_read(struct importing *i, const struct table_row *row, struct import_row *out,
                     struct err *err)
{
    struct store_device old = {.id = ""};
    *out = (struct import_row){.line = row->line};
    if (row->n != i->columns)
        return err_set(err, ERR_CONFIG, "it has %zu values, the first line %zu", row->n,
                       i->columns);
    if (row->nul)
        return err_set(err, ERR_CONFIG, "a value has a NUL in it");
    struct store_device *d = &out->device;
    if (!begin_with(i, row->field[i->column[COL_NAME]], out, &old, err) ||
        !take(i, row, COL_NAME, d->name, sizeof d->name, err) ||
        !take(i, row, COL_PLATFORM, d->platform, sizeof d->platform, err) ||
        !take(i, row, COL_SERIAL, d->serial_number, sizeof d->serial_number, err) ||
        !take(i, row, COL_UDID, d->udid, sizeof d->udid, err) ||
        !take(i, row, COL_USER, d->user, sizeof d->user, err) ||
        !take(i, row, COL_EMAIL, d->email, sizeof d->email, err) ||
        !take(i, row, COL_HOST, d->host, sizeof d->host, err) || !fleet_device_check(d, err) ||
        !take_groups(i, row, out, err))
        return false;
    for (size_t k = 0; k < out->group_n; k++)
        if (!check_group(i, out->group[k], err))
            return false;
    out->same = out->exists && same_device(&old, d);
    if (out->exists && !out->same && !i->o->update)
        return err_set(
            err, ERR_CONFIG,
            "device \"%.64s\" exists (%s) and is not what the file says: --update changes "
            "it",
            d->name, d->id);
    return once_in_file(i, out, err) && subject_of(i, out, err);
}
