/* Lists: tables for people, tab-separated lines for pipes, JSON, comma-separated values or bare
 * identifiers for programs. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/text.h"
#include "scepctl/ctl.h"
#include "config/suggest.h"

#define TABLE_COLUMNS 24
#define TABLE_CELL 4096     /* octets of a cell */
#define TABLE_SHORT_ID 8    /* digits of a long identifier that a terminal shows */
#define TABLE_MEASURED 1000 /* rows that are kept to find the widths; the others stream */
#define SHRUNK_LEAST 12     /* characters that a shortened column keeps */

enum form { FORM_TABLE, FORM_TABS, FORM_JSON, FORM_CSV, FORM_IDS };

struct ctl_list {
    const struct ctl *ctl;
    const struct ctl_column *column;
    size_t n;                   /* of column */
    size_t pick[TABLE_COLUMNS]; /* what is written, in order */
    size_t picked, shown;       /* shown: of a table, those that fit */
    enum form form;
    char **cell; /* of a table: rows of `picked` owned texts, until the widths are known */
    size_t rows, cap;
    size_t width[TABLE_COLUMNS];
    bool measured;
};

/* A short program gives up cleanly where a daemon would go on. */
static void out_of_memory(void)
{
    fprintf(stderr, "scepctl: out of memory\n");
    exit(CTL_FAILED);
}

/* ---- which columns, in which form ---- */

static enum form form_of(const struct ctl *ctl)
{
    if (ctl->json)
        return FORM_JSON;
    if (ctl->csv)
        return FORM_CSV;
    if (ctl->ids)
        return FORM_IDS;
    return ctl_stdout_is_terminal() ? FORM_TABLE : FORM_TABS;
}

static void unknown_column(const struct ctl_list *l, const char *name)
{
    char clean[96], all[512] = "", hint[128];
    struct suggest near = suggest_start(name);
    for (size_t i = 0, n = 0; i < l->n && n < sizeof all; i++) {
        suggest_offer(&near, l->column[i].key);
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", l->column[i].key);
    }
    ctl_clean(name, clean, sizeof clean);
    ctl_fail(l->ctl, CTL_USAGE, NULL, "--columns: \"%s\" is none of: %s%s", clean, all,
             suggest_text(&near, hint, sizeof hint));
    exit(CTL_USAGE);
}

static void pick_named(struct ctl_list *l, const char *names)
{
    char name[64];
    while (*names && l->picked < TABLE_COLUMNS) {
        size_t length = strcspn(names, ","), i = 0;
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), names);
        while (i < l->n && strcmp(l->column[i].key, name) != 0)
            i++;
        if (i == l->n)
            unknown_column(l, name);
        l->pick[l->picked++] = i;
        names += length + (names[length] == ',');
    }
    if (!l->picked)
        unknown_column(l, "");
}

static void pick(struct ctl_list *l)
{
    if (l->form == FORM_IDS) {
        l->pick[l->picked++] = 0;
    } else if (l->ctl->columns) {
        pick_named(l, l->ctl->columns);
    } else {
        for (size_t i = 0; i < l->n; i++)
            if (l->form != FORM_TABLE || l->ctl->wide || l->column[i].header)
                l->pick[l->picked++] = i;
    }
}

struct ctl_list *ctl_list_new(const struct ctl *ctl, const struct ctl_column *columns, size_t n)
{
    struct ctl_list *l = calloc(1, sizeof *l);
    if (!l || n > TABLE_COLUMNS)
        out_of_memory();
    *l = (struct ctl_list){.ctl = ctl, .column = columns, .n = n, .form = form_of(ctl)};
    pick(l);
    l->shown = l->picked;
    for (size_t i = 0; i < l->picked && l->form == FORM_CSV; i++)
        ctl_csv_field(columns[l->pick[i]].key, i == 0);
    if (l->form == FORM_CSV)
        putchar('\n');
    return l;
}

static const struct ctl_column *column_at(const struct ctl_list *l, size_t i)
{
    return &l->column[l->pick[i]];
}

/* ---- cells ---- */

static void json_cell(json_t *o, const struct ctl_column *c, const struct ctl_cell *cell)
{
    char when[32];
    switch (c->kind) {
    case CTL_TEXT:
    case CTL_ID:
        ctl_json_text(o, c->key, cell->text ? cell->text : "");
        break;
    case CTL_TIME:
        text_time(cell->number, when);
        json_object_set_new(o, c->key, cell->number ? json_string(when) : json_null());
        break;
    case CTL_NUMBER:
        json_object_set_new(o, c->key, json_integer(cell->number));
        break;
    }
}

/* For programs: whole, one line, no tab. */
static void plain_cell(const struct ctl_column *c, const struct ctl_cell *cell, char *out,
                       size_t cap)
{
    out[0] = '\0';
    if (c->kind == CTL_NUMBER)
        snprintf(out, cap, "%lld", (long long)cell->number);
    else if (c->kind == CTL_TIME && cell->number)
        text_time(cell->number, out);
    else if (c->kind != CTL_TIME && cell->text)
        ctl_clean(cell->text, out, cap);
}

static void terminal_cell(const struct ctl *ctl, const struct ctl_column *c,
                          const struct ctl_cell *cell, char *out, size_t cap)
{
    char plain[TABLE_CELL];
    if (c->kind == CTL_TIME) {
        if (ctl->wide)
            ctl_time_text(ctl, cell->number, out, cap);
        else
            ctl_time_short(ctl, cell->number, out, cap);
        return;
    }
    plain_cell(c, cell, plain, sizeof plain);
    ctl_clean_for(stdout, plain, out, cap);
    if (c->kind == CTL_ID && !ctl->wide && strlen(out) > 2 * TABLE_SHORT_ID)
        memcpy(out + TABLE_SHORT_ID, "..", 3);
    if (out[0] == '\0')
        snprintf(out, cap, "-");
}

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (const char *p = text; *p;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &c);
        if (n <= 0)
            break;
        width += (size_t)utf8proc_charwidth(c);
        p += n;
    }
    return width;
}

/* The first octet behind `width` columns of `text`. */
static const char *skip_columns(const char *text, size_t width)
{
    const char *p = text;
    for (size_t used = 0; *p;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &c);
        if (n <= 0)
            break;
        used += (size_t)utf8proc_charwidth(c);
        if (used > width)
            break;
        p += n;
    }
    return p;
}

/* ---- tables ---- */

/* Shortened in the middle: both ends of a subject tell more than its inside. */
static void print_cell(struct ctl_paint paint, const char *text, size_t width, bool last)
{
    size_t have = width_of(text);
    fputs(paint.before, stdout);
    if (have > width) {
        size_t keep = width - 2, head = (keep + 1) / 2;
        const char *cut = skip_columns(text, head);
        const char *tail = skip_columns(text, have - (keep - head));
        size_t shown = width_of(tail);
        printf("%.*s..%s", (int)(cut - text), text, tail);
        have = head + 2 + shown;
    } else {
        fputs(text, stdout);
    }
    fputs(paint.after, stdout);
    for (size_t i = have; !last && i < width + 2; i++)
        putchar(' ');
}

size_t ctl_terminal_width(void)
{
    struct winsize w;
    const char *columns = getenv("COLUMNS");
    long n = columns ? strtol(columns, NULL, 10) : 0;
    if (n >= 40 && n <= 1000)
        return (size_t)n;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40)
        return w.ws_col;
    return 80;
}

static size_t total_width(const struct ctl_list *l)
{
    size_t total = 0;
    for (size_t i = 0; i < l->shown; i++)
        total += l->width[i] + 2;
    return total - 2; /* nothing behind the last */
}

/* Takes from the columns that may shrink, the widest first, until the line fits; false when that is
 * not enough. */
static bool shrink(struct ctl_list *l, size_t limit)
{
    while (total_width(l) > limit) {
        size_t widest = l->shown;
        for (size_t i = 0; i < l->shown; i++)
            if (column_at(l, i)->shrinks && l->width[i] > SHRUNK_LEAST &&
                (widest == l->shown || l->width[i] > l->width[widest]))
                widest = i;
        if (widest == l->shown)
            return false;
        l->width[widest]--;
    }
    return true;
}

/* Where the terminal is too narrow even so, the last columns are left out, unless somebody has
 * named them. */
static void fit(struct ctl_list *l)
{
    size_t limit = ctl_terminal_width(), width[TABLE_COLUMNS];
    memcpy(width, l->width, sizeof width);
    while (!l->ctl->wide && !shrink(l, limit) && !l->ctl->columns && l->shown > 2) {
        memcpy(l->width, width, sizeof width);
        l->shown--;
    }
}

/* "NOT AFTER" of "not_after", where no shorter word was chosen. */
static void header_text(const struct ctl_column *c, char *out, size_t cap)
{
    snprintf(out, cap, "%s", c->header ? c->header : c->key);
    for (char *p = out; *p; p++)
        *p = *p == '_' ? ' ' : (char)toupper((unsigned char)*p);
}

static void print_row(const struct ctl_list *l, char *const *cell)
{
    for (size_t i = 0; i < l->shown; i++)
        print_cell(ctl_paint(l->ctl, column_at(l, i)->key, cell[i]), cell[i], l->width[i],
                   i + 1 == l->shown);
    putchar('\n');
}

/* Finds the widths from the rows that are kept, prints those, and keeps none any more. */
static void print_measured(struct ctl_list *l)
{
    char header[TABLE_COLUMNS][64];
    for (size_t i = 0; i < l->picked; i++) {
        header_text(column_at(l, i), header[i], sizeof header[i]);
        l->width[i] = strlen(header[i]);
        for (size_t r = 0; r < l->rows; r++) {
            size_t w = width_of(l->cell[r * l->picked + i]);
            l->width[i] = w > l->width[i] ? w : l->width[i];
        }
    }
    fit(l);
    for (size_t i = 0; i < l->shown; i++)
        print_cell((struct ctl_paint){"", ""}, header[i], l->width[i], i + 1 == l->shown);
    putchar('\n');
    for (size_t r = 0; r < l->rows; r++)
        print_row(l, l->cell + r * l->picked);
    for (size_t i = 0; i < l->rows * l->picked; i++)
        free(l->cell[i]);
    l->rows = 0;
    l->measured = true;
}

static bool keep_row(struct ctl_list *l, char (*text)[TABLE_CELL])
{
    if (l->rows == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        char **bigger = realloc(l->cell, cap * l->picked * sizeof *bigger);
        if (!bigger)
            return false;
        l->cell = bigger;
        l->cap = cap;
    }
    for (size_t i = 0; i < l->picked; i++)
        if (!(l->cell[l->rows * l->picked + i] = strdup(text[i])))
            return false;
    l->rows++;
    return true;
}

static void table_row(struct ctl_list *l, const struct ctl_cell *cells)
{
    char text[TABLE_COLUMNS][TABLE_CELL], *cell[TABLE_COLUMNS];
    for (size_t i = 0; i < l->picked; i++) {
        terminal_cell(l->ctl, column_at(l, i), &cells[l->pick[i]], text[i], sizeof text[i]);
        cell[i] = text[i];
    }
    if (l->measured)
        print_row(l, cell);
    else if (!keep_row(l, text))
        out_of_memory();
    if (l->rows == TABLE_MEASURED)
        print_measured(l);
}

/* ---- rows ---- */

static void json_row(const struct ctl_list *l, const struct ctl_cell *cells)
{
    json_t *o = json_object();
    for (size_t i = 0; i < l->picked; i++)
        json_cell(o, column_at(l, i), &cells[l->pick[i]]);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

void ctl_list_row(struct ctl_list *l, const struct ctl_cell *cells)
{
    if (l->form == FORM_JSON) {
        json_row(l, cells);
        return;
    }
    if (l->form == FORM_TABLE) {
        table_row(l, cells);
        return;
    }
    for (size_t i = 0; i < l->picked; i++) {
        char text[TABLE_CELL];
        plain_cell(column_at(l, i), &cells[l->pick[i]], text, sizeof text);
        if (l->form == FORM_CSV)
            ctl_csv_field(text, i == 0);
        else
            printf("%s%s", i ? "\t" : "", text);
    }
    putchar('\n');
}

void ctl_list_end(struct ctl_list *l)
{
    if (l->rows)
        print_measured(l);
    free(l->cell);
    free(l);
}
