/* How scepctl speaks: notes and errors, values, and one thing at a time.  Lists are in ctl_list.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/text.h"
#include "scepctl/ctl.h"

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

/* What the program may write where it runs: LC_ALL before LC_CTYPE before LANG. */
static bool speaks_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

/* Files and pipes get UTF-8 always: what is read by programs does not hang on a locale. */
void ctl_clean_for(FILE *out, const char *text, char *clean, size_t cap)
{
    char utf8[8192];
    size_t used = 0;
    ctl_clean(text, utf8, sizeof utf8);
    bool ascii = isatty(fileno(out)) && !speaks_utf8();
    for (const char *p = utf8; *p;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &c);
        char piece[16];
        if (n <= 0)
            break; /* ctl_clean leaves nothing invalid */
        int len = n > 1 && ascii ? snprintf(piece, sizeof piece, "\\u%04x", (unsigned)c)
                                 : snprintf(piece, sizeof piece, "%.*s", (int)n, p);
        if (used + (size_t)len >= cap)
            break;
        memcpy(clean + used, piece, (size_t)len);
        used += (size_t)len;
        p += n;
    }
    clean[used] = '\0';
}

bool ctl_listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return !names;
}

/* ---- colours: only for meaning, and always beside the word ---- */

static bool coloured(const struct ctl *ctl)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (ctl->color != CTL_COLOR_AUTO)
        return ctl->color == CTL_COLOR_ALWAYS;
    return ctl_stdout_is_terminal() && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

struct ctl_paint ctl_paint(const struct ctl *ctl, const char *key, const char *word)
{
    static const struct {
        const char *words, *before;
    } meaning[] = {
        {"active,issued,approved,ok,pass,current", "\x1b[32m"},
        {"pending,held,expiring,warn,warning,stale", "\x1b[33m"},
        {"revoked,denied,fail,FAIL,error,refused", "\x1b[31m"},
        {"expired,superseded,used,retired", "\x1b[2m"},
    };
    bool state =
        strcmp(key, "state") == 0 || strcmp(key, "status") == 0 || strcmp(key, "result") == 0;
    if (state && coloured(ctl))
        for (size_t i = 0; i < sizeof meaning / sizeof meaning[0]; i++)
            if (ctl_listed(meaning[i].words, word))
                return (struct ctl_paint){meaning[i].before, "\x1b[0m"};
    return (struct ctl_paint){"", ""};
}

void ctl_csv_field(const char *text, bool first)
{
    if (!first)
        putchar(',');
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
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
    ctl_clean_for(stderr, text, clean, sizeof clean);
    ctl_clean_for(stderr, fix ? fix : "", clean_fix, sizeof clean_fix);
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
    case ERR_GONE:
    case ERR_SIGNER:
        return CTL_UNAVAILABLE;
    case ERR_CONFIG:
        return CTL_USAGE;
    case ERR_DAMAGED:
        return CTL_DAMAGED;
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
    if (!fix && err->kind == ERR_DAMAGED) /* or a copy of it, or scepctl itself has a fault */
        fix = "if scepctl store verify says so too: stop scepd, move the store away, restore the "
              "last backup: scepctl store restore FILE";
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
    ctl_clean_for(stderr, text, clean, sizeof clean);
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

static void time_text(const struct ctl *ctl, int64_t t, bool day_only, char *out, size_t cap)
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
    if (day_only)
        stamp[strcspn(stamp, " ")] = '\0';
    distance_text(t - ctl->now, distance, sizeof distance);
    snprintf(out, cap, "%s (%s)", stamp, distance);
}

void ctl_time_text(const struct ctl *ctl, int64_t t, char *out, size_t cap)
{
    time_text(ctl, t, false, out, cap);
}

void ctl_time_short(const struct ctl *ctl, int64_t t, char *out, size_t cap)
{
    int64_t distance = t < ctl->now ? ctl->now - t : t - ctl->now;
    time_text(ctl, t, distance >= 2 * 86400, out, cap);
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

/* ---- one thing ---- */

void ctl_show_start(struct ctl_show *s, const struct ctl *ctl)
{
    bool whole = ctl->json || ctl->csv || ctl->ids;
    *s = (struct ctl_show){.ctl = ctl, .object = whole ? json_object() : NULL};
}

static void show_line(const struct ctl_show *s, const char *key, const char *value)
{
    char label[64];
    if (!ctl_stdout_is_terminal()) {
        printf("%s\t%s\n", key, value);
        return;
    }
    struct ctl_paint paint = ctl_paint(s->ctl, key, value);
    snprintf(label, sizeof label, "%s", key);
    for (char *p = label; *p; p++)
        *p = *p == '_' ? ' ' : *p;
    printf("  %-16s %s%s%s\n", label, paint.before, value, paint.after);
}

void ctl_show_text(struct ctl_show *s, const char *key, const char *value)
{
    char clean[4096];
    if (!value || !value[0] || !ctl_listed(s->ctl->columns, key))
        return;
    if (s->object) {
        ctl_json_text(s->object, key, value);
        return;
    }
    ctl_clean_for(stdout, value, clean, sizeof clean);
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
    if (!ctl_listed(s->ctl->columns, key))
        return;
    if (s->object) {
        json_object_set_new(s->object, key, json_integer(n));
        return;
    }
    snprintf(text, sizeof text, "%lld", (long long)n);
    show_line(s, key, text);
}

void ctl_json_line(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
}

/* A member as one line of text. */
static void member_text(json_t *member, char *out, size_t cap)
{
    if (json_is_string(member)) {
        ctl_clean(json_string_value(member), out, cap);
        return;
    }
    char *compact = json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(out, cap, "%s", compact ? compact : "");
    free(compact);
}

static void show_csv(json_t *object, bool only_first)
{
    const char *key;
    json_t *member;
    char text[4096];
    bool first = true;
    json_object_foreach(object, key, member)
    {
        if (only_first) {
            member_text(member, text, sizeof text);
            printf("%s\n", text);
            return;
        }
        ctl_csv_field(key, first);
        first = false;
    }
    putchar('\n');
    first = true;
    json_object_foreach(object, key, member)
    {
        member_text(member, text, sizeof text);
        ctl_csv_field(text, first);
        first = false;
    }
    putchar('\n');
}

void ctl_show_end(struct ctl_show *s)
{
    if (!s->object)
        return;
    if (s->ctl->json) {
        ctl_json_line(s->object);
    } else {
        show_csv(s->object, s->ctl->ids);
    }
    json_decref(s->object);
    s->object = NULL;
}
