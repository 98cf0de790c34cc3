/* How scepctl speaks: tables for people, tab-separated lines for pipes, JSON for programs. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/text.h"
#include "scepd/ctl.h"

#define TABLE_COLUMNS 16
#define TABLE_CELL 512   /* octets of a cell on a terminal */
#define TABLE_SHORT_ID 8 /* digits of a long identifier that a terminal shows */
#define SHRUNK_LEAST 12  /* characters that a shortened column keeps */

bool ctl_stdout_is_terminal(void)
{
    return isatty(STDOUT_FILENO);
}

/* Invisible characters that change how the rest of the line reads. */
static bool deceptive(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_ZL ||
           k == UTF8PROC_CATEGORY_ZP;
}

void ctl_clean(const char *text, char *out, size_t cap)
{
    size_t used = 0;
    char safe[8192];
    text_printable(view_str(text), safe, sizeof safe);
    for (const char *p = safe; *p;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &c);
        char piece[16];
        if (n <= 0)
            break; /* text_printable leaves nothing invalid */
        int len = deceptive(c) ? snprintf(piece, sizeof piece, "\\u%04x", (unsigned)c)
                               : snprintf(piece, sizeof piece, "%.*s", (int)n, p);
        if (used + (size_t)len >= cap)
            break;
        memcpy(out + used, piece, (size_t)len);
        used += (size_t)len;
        p += n;
    }
    out[used] = '\0';
}

/* ---- notes and errors ---- */

static void fail_json(enum ctl_exit code, const char *fix, const char *text, const char *reason)
{
    json_t *o = json_object();
    json_object_set_new(o, "status", json_integer(code));
    ctl_json_text(o, "detail", text);
    if (reason)
        ctl_json_text(o, "code", reason);
    if (fix)
        ctl_json_text(o, "fix", fix);
    json_dumpf(o, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(o);
}

static int fail(const struct ctl *ctl, enum ctl_exit code, const char *fix, const char *reason,
                const char *text)
{
    char clean[1024], clean_fix[1024];
    ctl_clean(text, clean, sizeof clean);
    ctl_clean(fix ? fix : "", clean_fix, sizeof clean_fix);
    fflush(stdout);
    if (ctl->json) {
        fail_json(code, fix, text, reason);
        return code;
    }
    fprintf(stderr, "scepctl: %s\n", clean);
    if (fix)
        fprintf(stderr, "fix: %s\n", clean_fix);
    if (reason)
        fprintf(stderr, "more: %s\n", reason);
    return code;
}

int ctl_fail(const struct ctl *ctl, enum ctl_exit code, const char *fix, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return fail(ctl, code, fix, NULL, text);
}

static enum ctl_exit exit_of(enum err_kind kind)
{
    switch (kind) {
    case ERR_NOT_FOUND:
        return CTL_NOT_FOUND;
    case ERR_EXISTS:
    case ERR_CONFLICT:
        return CTL_CONFLICT;
    case ERR_BUSY:
    case ERR_FULL:
    case ERR_SIGNER:
        return CTL_UNAVAILABLE;
    case ERR_CONFIG:
        return CTL_USAGE;
    case ERR_NONE:
    case ERR_REFUSED:
    case ERR_MEMORY:
    case ERR_IO:
    case ERR_STORE:
    case ERR_CRYPTO:
        break;
    }
    return CTL_FAILED;
}

int ctl_fail_err(const struct ctl *ctl, const struct err *err, const char *fix)
{
    const char *reason = err->reason == REASON_NONE ? NULL : reason_info(err->reason)->code;
    return fail(ctl, exit_of(err->kind), fix, reason, err->text);
}

void ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
    char text[1024], clean[1200];
    va_list ap;
    if (ctl->quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ctl_clean(text, clean, sizeof clean);
    fflush(stdout);
    fprintf(stderr, "%s\n", clean);
}

/* ---- values ---- */

static void distance_text(int64_t seconds, char *out, size_t cap)
{
    int64_t d = seconds < 0 ? -seconds : seconds;
    char amount[32];
    if (d < 120)
        snprintf(amount, sizeof amount, "%lld s", (long long)d);
    else if (d < 2 * 3600)
        snprintf(amount, sizeof amount, "%lld min", (long long)(d / 60));
    else if (d < 2 * 86400)
        snprintf(amount, sizeof amount, "%lld h", (long long)(d / 3600));
    else
        snprintf(amount, sizeof amount, "%lld d", (long long)(d / 86400));
    snprintf(out, cap, seconds < 0 ? "%s ago" : "in %s", amount);
}

void ctl_time_text(const struct ctl *ctl, int64_t t, char *out, size_t cap)
{
    time_t tt = (time_t)t;
    struct tm tm;
    char stamp[64] = "?", distance[48];
    if (t == 0) {
        snprintf(out, cap, "-");
        return;
    }
    if (ctl->utc ? gmtime_r(&tt, &tm) != NULL : localtime_r(&tt, &tm) != NULL)
        strftime(stamp, sizeof stamp, ctl->utc ? "%Y-%m-%d %H:%MZ" : "%Y-%m-%d %H:%M", &tm);
    distance_text(t - ctl->now, distance, sizeof distance);
    snprintf(out, cap, "%s (%s)", stamp, distance);
}

void ctl_json_text(json_t *object, const char *key, const char *value)
{
    json_t *s = json_string(value); /* NULL when it is not UTF-8 */
    char safe[2048];
    if (!s) {
        text_printable(view_str(value), safe, sizeof safe);
        s = json_string(safe);
    }
    json_object_set_new(object, key, s);
}

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

/* A cell for a pipe: whole, one line, no tab. */
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
    if (c->kind == CTL_TIME) {
        ctl_time_text(ctl, cell->number, out, cap);
        return;
    }
    plain_cell(c, cell, out, cap);
    if (c->kind == CTL_ID && strlen(out) > 2 * TABLE_SHORT_ID)
        memcpy(out + TABLE_SHORT_ID, "..", 3);
    if (out[0] == '\0')
        snprintf(out, cap, "-");
}

/* ---- lists ---- */

struct ctl_list {
    const struct ctl *ctl;
    const struct ctl_column *column;
    size_t n;
    bool table;
    char **cell; /* rows of n owned texts, for the widths */
    size_t rows, cap;
};

/* A short program gives up cleanly where a daemon would go on. */
static void out_of_memory(void)
{
    fprintf(stderr, "scepctl: out of memory\n");
    exit(CTL_FAILED);
}

struct ctl_list *ctl_list_new(const struct ctl *ctl, const struct ctl_column *columns, size_t n)
{
    struct ctl_list *l = calloc(1, sizeof *l);
    if (!l || n > TABLE_COLUMNS)
        out_of_memory();
    *l = (struct ctl_list){
        .ctl = ctl, .column = columns, .n = n, .table = ctl_stdout_is_terminal() && !ctl->json};
    return l;
}

static bool keep_row(struct ctl_list *l, const struct ctl_cell *cells)
{
    if (l->rows == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        char **bigger = realloc(l->cell, cap * l->n * sizeof *bigger);
        if (!bigger)
            return false;
        l->cell = bigger;
        l->cap = cap;
    }
    for (size_t i = 0; i < l->n; i++) {
        char text[TABLE_CELL];
        terminal_cell(l->ctl, &l->column[i], &cells[i], text, sizeof text);
        if (!(l->cell[l->rows * l->n + i] = strdup(text)))
            return false;
    }
    l->rows++;
    return true;
}

void ctl_list_row(struct ctl_list *l, const struct ctl_cell *cells)
{
    if (l->ctl->json) {
        json_t *o = json_object();
        for (size_t i = 0; i < l->n; i++)
            json_cell(o, &l->column[i], &cells[i]);
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
    } else if (l->table) {
        if (!keep_row(l, cells))
            out_of_memory();
    } else {
        for (size_t i = 0; i < l->n; i++) {
            char text[4096];
            plain_cell(&l->column[i], &cells[i], text, sizeof text);
            printf("%s%s", i ? "\t" : "", text);
        }
        putchar('\n');
    }
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

/* Shortened in the middle: both ends of a subject tell more than its inside. */
static void print_cell(const char *text, size_t width, bool last)
{
    size_t have = width_of(text);
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
    for (size_t i = have; !last && i < width + 2; i++)
        putchar(' ');
}

static size_t terminal_width(void)
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

/* Takes from the columns that may shrink, the widest first, until the line fits. */
static void fit(const struct ctl_list *l, size_t *width)
{
    size_t total = 0, limit = terminal_width();
    for (size_t i = 0; i < l->n; i++)
        total += l->column[i].header ? width[i] + 2 : 0;
    while (total > limit + 2) {
        size_t widest = l->n;
        for (size_t i = 0; i < l->n; i++)
            if (l->column[i].header && l->column[i].shrinks && width[i] > SHRUNK_LEAST &&
                (widest == l->n || width[i] > width[widest]))
                widest = i;
        if (widest == l->n)
            return;
        width[widest]--;
        total--;
    }
}

static void print_table(const struct ctl_list *l)
{
    size_t width[TABLE_COLUMNS], last = 0;
    for (size_t i = 0; i < l->n; i++) {
        width[i] = l->column[i].header ? strlen(l->column[i].header) : 0;
        last = l->column[i].header ? i : last;
        for (size_t r = 0; r < l->rows; r++) {
            size_t w = width_of(l->cell[r * l->n + i]);
            width[i] = w > width[i] ? w : width[i];
        }
    }
    fit(l, width);
    for (size_t i = 0; i < l->n; i++)
        if (l->column[i].header)
            print_cell(l->column[i].header, width[i], i == last);
    putchar('\n');
    for (size_t r = 0; r < l->rows; r++) {
        for (size_t i = 0; i < l->n; i++)
            if (l->column[i].header)
                print_cell(l->cell[r * l->n + i], width[i], i == last);
        putchar('\n');
    }
}

void ctl_list_end(struct ctl_list *l)
{
    if (l->rows)
        print_table(l);
    for (size_t i = 0; i < l->rows * l->n; i++)
        free(l->cell[i]);
    free(l->cell);
    free(l);
}

/* ---- one thing ---- */

void ctl_show_start(struct ctl_show *s, const struct ctl *ctl)
{
    *s = (struct ctl_show){.ctl = ctl, .object = ctl->json ? json_object() : NULL};
}

static void show_line(const struct ctl_show *s, const char *key, const char *value)
{
    char label[64];
    if (!ctl_stdout_is_terminal()) {
        printf("%s\t%s\n", key, value);
        return;
    }
    snprintf(label, sizeof label, "%s", key);
    for (char *p = label; *p; p++)
        *p = *p == '_' ? ' ' : *p;
    printf("  %-16s %s\n", label, value);
}

void ctl_show_text(struct ctl_show *s, const char *key, const char *value)
{
    char clean[4096];
    if (!value || !value[0])
        return;
    if (s->object) {
        ctl_json_text(s->object, key, value);
        return;
    }
    ctl_clean(value, clean, sizeof clean);
    show_line(s, key, clean);
}

void ctl_show_time(struct ctl_show *s, const char *key, int64_t t)
{
    char text[96];
    if (t == 0)
        return;
    if (s->object || !ctl_stdout_is_terminal())
        text_time(t, text);
    else
        ctl_time_text(s->ctl, t, text, sizeof text);
    ctl_show_text(s, key, text);
}

void ctl_show_number(struct ctl_show *s, const char *key, int64_t n)
{
    char text[32];
    if (s->object) {
        json_object_set_new(s->object, key, json_integer(n));
        return;
    }
    snprintf(text, sizeof text, "%lld", (long long)n);
    show_line(s, key, text);
}

void ctl_show_end(struct ctl_show *s)
{
    if (s->object) {
        json_dumpf(s->object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(s->object);
    }
}
