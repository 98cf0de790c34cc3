#include "table.h"

#include <csv.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct reading {
    struct buf text; /* the fields of this row, each with its NUL */
    size_t at[TABLE_FIELDS], n;
    bool nul, stopped, failed;
    uint64_t line, row_line;     /* of the file now; where this row began, 0: it has not */
    uint64_t offset, row_offset; /* the same in octets */
    bool (*each)(void *ctx, const struct table_row *row);
    void *ctx;
};

static void end_of_field(void *field, size_t n, void *ctx)
{
    struct reading *r = ctx;
    if (r->n < TABLE_FIELDS) {
        r->at[r->n] = r->text.n;
        r->failed |= !buf_append(&r->text, field, n) || !buf_append(&r->text, "", 1);
        r->nul |= n > 0 && memchr(field, 0, n) != NULL;
    }
    r->n++;
}

static void end_of_row(int ended_by, void *ctx)
{
    struct reading *r = ctx;
    struct table_row row = {.line = r->row_line, .offset = r->row_offset, .n = r->n, .nul = r->nul};
    for (size_t i = 0; !r->failed && i < r->n && i < TABLE_FIELDS; i++)
        row.field[i] = (const char *)r->text.p + r->at[i];
    if (!r->failed && !r->stopped)
        r->stopped = !r->each(r->ctx, &row);
    buf_reset(&r->text);
    r->n = 0;
    r->nul = false;
    r->row_line = 0;
}

/* CR alone ends a line as well: libcsv begins another row there, which has to know where it is. */
static bool ends_line(FILE *in, int c)
{
    if (c != '\r')
        return c == '\n';
    int next = getc_unlocked(in);
    ungetc(next, in);
    return next != '\n';
}

/* The next line with its end; 0 at the end of the file, -1 when it is too long. */
static long next_line(FILE *in, char *line)
{
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(in)) != EOF) {
        if (n == TABLE_ROW_MAX)
            return -1;
        line[n++] = (char)c;
        if (ends_line(in, c))
            break;
    }
    return (long)n;
}

static bool too_long(const struct reading *r, struct err *err)
{
    return err_set(err, ERR_CONFIG, "line %llu: it is longer than %u octets",
                   (unsigned long long)r->line, TABLE_ROW_MAX);
}

/* What a spreadsheet writes before or instead of what can be read. */
static bool look_at_start(const char *line, long n, size_t *skip, struct err *err)
{
    *skip = n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (n >= 2 && (memcmp(line, "\xff\xfe", 2) == 0 || memcmp(line, "\xfe\xff", 2) == 0))
        return err_set(err, ERR_CONFIG, "line 1: the file is in UTF-16: save it as CSV in UTF-8");
    return true;
}

/* libcsv passes over such a line where no row has begun. */
static bool blank(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && memchr(" \t\r\n", text[i], 4))
        i++;
    return i == n;
}

static bool feed(struct csv_parser *p, struct reading *r, const char *text, size_t n,
                 struct err *err)
{
    if (!r->row_line && !blank(text, n)) {
        r->row_line = r->line;
        r->row_offset = r->offset;
    }
    size_t done = csv_parse(p, text, n, end_of_field, end_of_row, r);
    if (r->failed)
        return err_memory(err);
    if (done != n)
        return csv_error(p) == CSV_EPARSE
                   ? err_set(err, ERR_CONFIG,
                             "line %llu: a quote inside a value has to be doubled, and the value "
                             "put in quotes",
                             (unsigned long long)r->line)
                   : err_memory(err);
    if (p->entry_pos + r->text.n > TABLE_ROW_MAX)
        return too_long(r, err);
    return true;
}

static bool read_all(struct csv_parser *p, FILE *in, struct reading *r, char *line, struct err *err)
{
    long n = 0;
    size_t skip = 0;
    while (!r->stopped && (n = next_line(in, line)) > 0) {
        skip = 0;
        if (++r->line == 1 && !look_at_start(line, n, &skip, err))
            return false;
        if (!feed(p, r, line + skip, (size_t)n - skip, err))
            return false;
        r->offset += (uint64_t)n;
    }
    if (n < 0) {
        r->line++;
        return too_long(r, err);
    }
    if (ferror(in))
        return err_errno(err, "cannot read the file");
    if (!r->stopped && csv_fini(p, end_of_field, end_of_row, r) != 0)
        return err_set(err, ERR_CONFIG, "line %llu: a quote begins here and is never closed",
                       (unsigned long long)r->row_line);
    return !r->failed || err_memory(err);
}

bool table_read(FILE *in, bool (*each)(void *ctx, const struct table_row *row), void *ctx,
                struct err *err)
{
    struct reading r = {.each = each, .ctx = ctx};
    struct csv_parser p;
    char *line = malloc(TABLE_ROW_MAX);
    if (!line || csv_init(&p, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0) {
        free(line);
        return err_memory(err);
    }
    bool ok = read_all(&p, in, &r, line, err);
    csv_free(&p);
    /* lists of challenges are read by this too */
    buf_wipe(&r.text);
    OPENSSL_cleanse(line, TABLE_ROW_MAX);
    free(line);
    return ok;
}
