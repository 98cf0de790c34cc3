/* The list of challenges that an import makes.  A batch is on the disk in it before the batch is
 * committed: a secret that the store knows is never lost; one that it does not know yet is cut off
 * when the import goes on. */
#include <csv.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "import_internal.h"

#define BUFFER (64u << 10)
#define FIELDS 9

static const char header[] =
    "name,device,policy,challenge,challenge_id,expires_at,url,subject,san\n";

struct import_out {
    FILE *file;
    char *buffer;                /* of the stream, so that it can be wiped */
    struct fleet_subjects *done; /* ids of the devices whose challenge is good */
};

/* ---- what an earlier run left ---- */

struct leftover {
    const struct fleet *f;
    struct import_out *o;
    bool first, foreign;
    uint64_t keep; /* octets up to the end of the last row that was committed; as far as known */
    bool gone;     /* the row before was not committed */
    struct err err;
};

static bool open_still(const struct store_challenge *c, int64_t now)
{
    return !c->revoked_at && !(c->uses && c->used >= c->uses) &&
           !(c->expires_at && c->expires_at <= now);
}

static bool old_row(void *ctx, const struct table_row *row)
{
    struct leftover *l = ctx;
    struct store_challenge c;
    struct err why = {0};
    char other[32];
    if (l->first) { /* the header */
        l->first = false;
        return true;
    }
    if (row->n != FIELDS || strncmp(row->field[1], "dev_", 4) != 0 ||
        strlen(row->field[1]) >= sizeof other) {
        l->foreign = true;
        return false;
    }
    bool known = store_challenge_by_id(l->f->store, row->field[4], &c, &why) &&
                 strcmp(c.id, row->field[4]) == 0;
    if (!known && why.kind != ERR_NONE && why.kind != ERR_NOT_FOUND && why.kind != ERR_CONFLICT) {
        l->err = why;
        return false;
    }
    if (!known && !l->gone)
        l->keep = row->offset;
    l->gone = !known;
    return !known || !open_still(&c, l->f->now) ||
           fleet_subjects_add(l->o->done, row->field[1], row->field[1], other, &l->err);
}

/* The end of the last whole line: a crash may have cut one in two.  Nothing of a file that did not
 * begin as a list is ours to cut: it may be anybody's, a key or the store itself. */
static bool whole_lines(FILE *file, uint64_t *end, bool *ours, struct err *err)
{
    uint64_t at = 0;
    int c;
    *end = 0;
    *ours = true;
    rewind(file);
    while (*ours && (c = getc_unlocked(file)) != EOF) {
        *ours = at >= sizeof header - 1 || c == header[at];
        at++;
        if (c == '\n')
            *end = at;
    }
    return !ferror(file) || err_errno(err, "cannot read the list of challenges");
}

static bool fail_foreign(struct err *err)
{
    return err_set(err, ERR_EXISTS, "the file holds something else than a list of challenges");
}

static bool cut(FILE *file, uint64_t at, struct err *err)
{
    if (fflush(file) != 0 || ftruncate(fileno(file), (off_t)at) != 0 ||
        fchmod(fileno(file), 0600) != 0 || fseek(file, 0, SEEK_END) != 0)
        return err_errno(err, "cannot go on with the list of challenges");
    return true;
}

static bool go_on(const struct fleet *f, struct import_out *o, struct err *err)
{
    struct leftover l = {.f = f, .o = o, .first = true};
    struct err why = {0};
    uint64_t end;
    bool ours;
    if (!whole_lines(o->file, &end, &ours, err))
        return false;
    if (!ours)
        return fail_foreign(err);
    if (!end) { /* new, or not one line of it was written */
        if (!cut(o->file, 0, err))
            return false;
        return fputs(header, o->file) >= 0 || err_errno(err, "cannot write the list of challenges");
    }
    if (!cut(o->file, end, err))
        return false;
    rewind(o->file);
    bool read = table_read(o->file, old_row, &l, &why);
    if (l.err.kind != ERR_NONE) {
        *err = l.err;
        return false;
    }
    if (!read || l.foreign)
        return fail_foreign(err);
    return cut(o->file, l.gone ? l.keep : end, err);
}

/* ---- the list ---- */

bool import_out_open(const struct fleet *f, FILE *file, struct import_out **out, struct err *err)
{
    struct import_out *o = calloc(1, sizeof *o);
    if (!o)
        return err_memory(err);
    o->file = file;
    o->buffer = malloc(BUFFER);
    o->done = fleet_subjects_new();
    if (!o->buffer || !o->done) {
        import_out_close(o);
        return err_memory(err);
    }
    setvbuf(file, o->buffer, _IOFBF, BUFFER);
    if (!go_on(f, o, err)) {
        import_out_close(o);
        return false;
    }
    *out = o;
    return true;
}

bool import_out_has(const struct import_out *o, const char *device)
{
    return fleet_subjects_has(o->done, device);
}

static bool write_field(FILE *file, const char *text, bool last)
{
    return csv_fwrite(file, text, strlen(text)) == 0 && putc(last ? '\n' : ',', file) != EOF;
}

bool import_out_add(struct import_out *o, const struct fleet *f, const struct fleet_challenge *c,
                    struct err *err)
{
    char until[32], url[600], other[32];
    text_time(c->record.expires_at, until);
    snprintf(url, sizeof url, "%s%s", f->config->url, c->policy.endpoint);
    const char *const field[FIELDS] = {
        c->device.name, c->device.id, c->policy.name,   c->secret,   c->record.id,
        until,          url,          c->names.subject, c->names.san};
    for (size_t i = 0; i < FIELDS; i++)
        if (!write_field(o->file, field[i], i + 1 == FIELDS))
            return err_errno(err, "cannot write the list of challenges");
    return fleet_subjects_add(o->done, c->device.id, c->device.id, other, err);
}

bool import_out_flush(struct import_out *o, struct err *err)
{
    return (fflush(o->file) == 0 && fsync(fileno(o->file)) == 0) ||
           err_errno(err, "cannot write the list of challenges");
}

void import_out_close(struct import_out *o)
{
    if (!o)
        return;
    if (o->file && o->buffer) {
        fflush(o->file);
        setvbuf(o->file, NULL, _IONBF, 0); /* the buffer goes before the stream */
        OPENSSL_cleanse(o->buffer, BUFFER);
    }
    free(o->buffer);
    fleet_subjects_free(o->done);
    free(o);
}
