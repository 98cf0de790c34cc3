/* Flags and help of scepctl, both from the one table of verbs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "scepctl/ctl.h"
#include "config/suggest.h"

const struct ctl_flag ctl_global_flags[] = {
    {"config", 'c', "FILE", false,
     "configuration file ($SCEPD_CONF, $SCEPD_HOME/scepd.conf, /etc/scepd/scepd.conf)"},
    {"json", 0, NULL, false, "JSON: one object per line in lists, one object otherwise"},
    {"csv", 0, NULL, false, "comma-separated values with a line of names"},
    {"ids", 0, NULL, false, "identifiers alone, one a line"},
    {"columns", 0, "NAMES", false, "only these columns, in this order: serial,subject"},
    {"wide", 0, NULL, false, "on a terminal: all columns, nothing shortened"},
    {"color", 0, "WHEN", false, "auto (default), always, never"},
    {"yes", 'y', NULL, false, "do not ask for confirmation"},
    {"expect", 0, "N", false, "with --yes: the number (or name) that has to be confirmed"},
    {"dry-run", 'n', NULL, false, "say what would happen, and change nothing"},
    {"quiet", 'q', NULL, false, "no notes on standard error"},
    {"verbose", 'v', NULL, false, "say which files are used"},
    {"utc", 0, NULL, false, "times in UTC instead of local time"},
    {"no-input", 0, NULL, false, "never ask anything, even on a terminal"},
    {"help", 'h', NULL, false, "-h short, --help with examples"},
    {"version", 0, NULL, false, "the version"},
    {NULL, 0, NULL, false, NULL},
};

static const struct ctl_flag *find_flag(const struct ctl_flag *list, const char *name, size_t n)
{
    for (; list && list->name; list++)
        if (strncmp(list->name, name, n) == 0 && list->name[n] == '\0')
            return list;
    return NULL;
}

static const struct ctl_flag *find_letter(const struct ctl_flag *list, char letter)
{
    for (; list && list->name; list++)
        if (list->letter && list->letter == letter)
            return list;
    return NULL;
}

static bool is_global(const struct ctl_flag *f)
{
    return find_flag(ctl_global_flags, f->name, strlen(f->name)) == f;
}

static int set_color(struct ctl *ctl, const char *value)
{
    static const char *const words[] = {"auto", "always", "never"};
    char clean[96];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], value) == 0) {
            ctl->color = (enum ctl_color)i;
            return CTL_DONE;
        }
    }
    ctl_clean(value, clean, sizeof clean);
    return ctl_fail(ctl, CTL_USAGE, NULL, "--color = \"%s\" is none of: auto, always, never",
                    clean);
}

static int set_global(struct ctl *ctl, const struct ctl_flag *f, const char *value, bool by_letter,
                      int *help)
{
    const struct {
        const char *name;
        bool *on;
        const char **value;
    } known[] = {
        {"config", NULL, &ctl->config_option},
        {"json", &ctl->json, NULL},
        {"csv", &ctl->csv, NULL},
        {"ids", &ctl->ids, NULL},
        {"columns", NULL, &ctl->columns},
        {"wide", &ctl->wide, NULL},
        {"yes", &ctl->yes, NULL},
        {"expect", NULL, &ctl->expect},
        {"dry-run", &ctl->dry_run, NULL},
        {"quiet", &ctl->quiet, NULL},
        {"verbose", &ctl->verbose, NULL},
        {"utc", &ctl->utc, NULL},
        {"no-input", &ctl->no_input, NULL},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, f->name))
            continue;
        if (known[i].on)
            *known[i].on = true;
        else
            *known[i].value = value;
        return CTL_DONE;
    }
    if (strcmp(f->name, "color") == 0)
        return set_color(ctl, value);
    if (strcmp(f->name, "help") == 0)
        *help = by_letter ? CTL_HELP_SHORT : CTL_HELP_LONG;
    else if (strcmp(f->name, "version") == 0)
        *help = CTL_HELP_VERSION;
    return CTL_DONE;
}

static int unknown_flag(struct ctl *ctl, const char *word, const struct ctl_verb *verb)
{
    char clean[128], name[96], hint[160], fix[160];
    snprintf(name, sizeof name, "%s", word + 2 * (word[1] == '-'));
    name[strcspn(name, "=")] = '\0';
    struct suggest near = suggest_start(name);
    for (const struct ctl_flag *f = verb ? verb->flags : NULL; f && f->name; f++)
        suggest_offer(&near, f->name);
    for (const struct ctl_flag *f = ctl_global_flags; f->name; f++)
        suggest_offer(&near, f->name);
    if (near.best)
        snprintf(hint, sizeof hint, " (did you mean \"--%s\"?)", near.best);
    else
        hint[0] = '\0';
    ctl_clean(word, clean, sizeof clean);
    if (verb)
        snprintf(fix, sizeof fix, "scepctl %s %s --help", verb->noun, verb->verb);
    else
        snprintf(fix, sizeof fix, "scepctl --help");
    return ctl_fail(ctl, CTL_USAGE, fix, "unknown flag \"%s\"%s", clean, hint);
}

/* Keeps one flag; each stands at most once, since the last one winning has surprised too many. */
static int keep_flag(struct ctl *ctl, const struct ctl_flag *f, const char *value,
                     struct ctl_args *out)
{
    for (size_t i = 0; i < out->flag_n; i++)
        if (out->flag[i] == f)
            return ctl_fail(ctl, CTL_USAGE, NULL, "--%s is given twice", f->name);
    if (out->flag_n == CTL_MAX_FLAGS)
        return ctl_fail(ctl, CTL_USAGE, NULL, "too many flags");
    out->flag[out->flag_n] = f;
    out->value[out->flag_n++] = value;
    return CTL_DONE;
}

/* The value of flag `f` in the word argv[*i] or the next one. */
static int flag_value(struct ctl *ctl, const struct ctl_flag *f, const char *attached, int argc,
                      char **argv, int *i, const char **value)
{
    *value = "";
    if (!f->value) {
        if (attached)
            return ctl_fail(ctl, CTL_USAGE, NULL, "--%s takes no value", f->name);
    } else if (attached) {
        *value = attached;
    } else if (*i + 1 < argc &&
               (argv[*i + 1][0] != '-' || (argv[*i + 1][1] == '\0' && !f->value_optional))) {
        *value = argv[++*i];
    } else if (!f->value_optional) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "--%s needs a value: --%s %s", f->name, f->name,
                        f->value);
    }
    return CTL_DONE;
}

static int take_flag(struct ctl *ctl, const struct ctl_flag *f, const char *attached,
                     bool by_letter, int argc, char **argv, int *i, struct ctl_args *out, int *help)
{
    const char *value;
    int rc = flag_value(ctl, f, attached, argc, argv, i, &value);
    if (rc)
        return rc;
    if (!is_global(f))
        return keep_flag(ctl, f, value, out);
    return set_global(ctl, f, value, by_letter, help);
}

/* "-qy" and "-cFILE": letters one after the other; one with a value takes the rest. */
static int take_letters(struct ctl *ctl, const struct ctl_verb *verb, int argc, char **argv, int *i,
                        struct ctl_args *out, int *help)
{
    const char *word = argv[*i];
    for (const char *p = word + 1; *p; p++) {
        const struct ctl_flag *f = find_letter(verb ? verb->flags : NULL, *p);
        if (!f)
            f = find_letter(ctl_global_flags, *p);
        if (!f)
            return unknown_flag(ctl, word, verb);
        bool rest = f->value && p[1];
        int rc = take_flag(ctl, f, rest ? p + 1 : NULL, true, argc, argv, i, out, help);
        if (rc)
            return rc;
        if (f->value)
            break;
    }
    return CTL_DONE;
}

static int take_long(struct ctl *ctl, const struct ctl_verb *verb, int argc, char **argv, int *i,
                     struct ctl_args *out, int *help)
{
    const char *name = argv[*i] + 2;
    size_t n = strcspn(name, "=");
    const struct ctl_flag *f = find_flag(verb ? verb->flags : NULL, name, n);
    if (!f)
        f = find_flag(ctl_global_flags, name, n);
    if (!f)
        return unknown_flag(ctl, argv[*i], verb);
    return take_flag(ctl, f, name[n] == '=' ? name + n + 1 : NULL, false, argc, argv, i, out, help);
}

int ctl_args_parse(struct ctl *ctl, int argc, char **argv, const struct ctl_verb *verb,
                   bool stop_at_word, int *used, struct ctl_args *out, int *help)
{
    bool only_words = false;
    int i = 0;
    for (; i < argc; i++) {
        const char *word = argv[i];
        int rc = CTL_DONE;
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (only_words || word[0] != '-' || word[1] == '\0') {
            if (stop_at_word)
                break;
            if (out->id_n == CTL_MAX_IDS)
                return ctl_fail(ctl, CTL_USAGE, NULL, "more than %d arguments", CTL_MAX_IDS);
            out->id[out->id_n++] = word;
        } else if (word[1] == '-') {
            rc = take_long(ctl, verb, argc, argv, &i, out, help);
        } else {
            rc = take_letters(ctl, verb, argc, argv, &i, out, help);
        }
        if (rc)
            return rc;
    }
    *used = i;
    return CTL_DONE;
}

const char *ctl_arg(const struct ctl_args *a, const char *name)
{
    for (size_t i = 0; i < a->flag_n; i++)
        if (strcmp(a->flag[i]->name, name) == 0)
            return a->value[i];
    return NULL;
}

int ctl_arg_number(struct ctl *ctl, const struct ctl_args *a, const char *name, int64_t min,
                   int64_t max, int64_t fallback, int64_t *out)
{
    const char *value = ctl_arg(a, name);
    char clean[96], *end;
    if (!value) {
        *out = fallback;
        return CTL_DONE;
    }
    ctl_clean(value, clean, sizeof clean);
    bool digits = value[0] && strspn(value, "0123456789") == strlen(value) && strlen(value) <= 18;
    long long n = digits ? strtoll(value, &end, 10) : 0;
    if (!digits)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--%s = \"%s\" is no number", name, clean);
    if (n < min || n > max)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--%s = %s is out of range: %lld to %lld", name,
                        clean, (long long)min, (long long)max);
    *out = n;
    return CTL_DONE;
}

int ctl_arg_duration(struct ctl *ctl, const struct ctl_args *a, const char *name, int64_t fallback,
                     int64_t *out)
{
    const char *value = ctl_arg(a, name);
    char clean[96];
    if (!value) {
        *out = fallback;
        return CTL_DONE;
    }
    int64_t t = text_duration(value);
    if (t < 0) {
        ctl_clean(value, clean, sizeof clean);
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "--%s = \"%s\" is no duration with a unit: 30d, 12h, 90m", name, clean);
    }
    *out = t;
    return CTL_DONE;
}

/* "2026-11-28" (midnight UTC) or "2026-11-28T10:12:00Z"; -1 when it is neither. */
static int64_t parse_moment(const char *text)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end && *end == '\0' && tm.tm_year >= 70)
            return (int64_t)timegm(&tm);
    }
    return -1;
}

int ctl_arg_moment(struct ctl *ctl, const struct ctl_args *a, const char *name, int64_t fallback,
                   int64_t *out)
{
    const char *value = ctl_arg(a, name);
    char clean[96];
    if (!value) {
        *out = fallback;
        return CTL_DONE;
    }
    int64_t ago = text_duration(value), t = ago >= 0 ? ctl->now - ago : parse_moment(value);
    if (t < 0) {
        ctl_clean(value, clean, sizeof clean);
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "--%s = \"%s\" is no moment: 2026-11-28, 2026-11-28T10:12:00Z, or 30d for "
                        "30 days ago",
                        name, clean);
    }
    *out = t;
    return CTL_DONE;
}

int ctl_arg_word(struct ctl *ctl, const struct ctl_args *a, const char *name,
                 const char *const *words, int *out)
{
    const char *value = ctl_arg(a, name);
    char clean[96], hint[128], all[256] = "";
    if (!value)
        return CTL_DONE;
    struct suggest near = suggest_start(value);
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            *out = i;
            return CTL_DONE;
        }
        suggest_offer(&near, words[i]);
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", words[i]);
    }
    ctl_clean(value, clean, sizeof clean);
    return ctl_fail(ctl, CTL_USAGE, NULL, "--%s = \"%s\" is none of: %s%s", name, clean, all,
                    suggest_text(&near, hint, sizeof hint));
}

/* ---- many identifiers ---- */

#define ID_LINE_MAX 512
#define IDS_MAX 1000000

static int ids_add(struct ctl *ctl, struct ctl_ids *ids, const char *id)
{
    if (ids->n == IDS_MAX)
        return ctl_fail(ctl, CTL_USAGE, "do it in parts", "more than %d identifiers", IDS_MAX);
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 64;
        char **bigger = realloc(ids->id, cap * sizeof *bigger);
        if (!bigger)
            return ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
        ids->id = bigger;
        ids->cap = cap;
    }
    if (!(ids->id[ids->n] = strdup(id)))
        return ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    ids->n++;
    return CTL_DONE;
}

static int ids_read(struct ctl *ctl, FILE *in, struct ctl_ids *ids)
{
    char line[ID_LINE_MAX];
    int rc = CTL_DONE;
    while (rc == CTL_DONE && fgets(line, sizeof line, in)) {
        bool whole = strchr(line, '\n') || feof(in);
        line[strcspn(line, "\t\r\n")] = '\0';
        if (line[0])
            rc = ids_add(ctl, ids, line);
        for (int c; !whole && (c = fgetc(in)) != EOF && c != '\n';)
            ; /* the other columns of a long line */
    }
    if (rc == CTL_DONE && ferror(in))
        rc = ctl_fail(ctl, CTL_FAILED, NULL, "cannot read the identifiers");
    return rc;
}

int ctl_ids_gather(struct ctl *ctl, const struct ctl_args *a, struct ctl_ids *out)
{
    const char *from = ctl_arg(a, "from");
    int rc = CTL_DONE;
    for (size_t i = 0; i < a->id_n && rc == CTL_DONE; i++)
        rc = ids_add(ctl, out, a->id[i]);
    if (rc || !from)
        return rc;
    FILE *in = strcmp(from, "-") ? fopen(from, "re") : stdin;
    if (!in)
        return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "cannot read %s: %s", from, strerror(errno));
    rc = ids_read(ctl, in, out);
    if (in != stdin)
        fclose(in);
    return rc;
}

void ctl_ids_clear(struct ctl_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        free(ids->id[i]);
    free(ids->id);
    *ids = (struct ctl_ids){0};
}

/* ---- help ---- */

static void print_flags(const struct ctl_flag *f)
{
    for (; f && f->name; f++) {
        char left[64];
        int n = f->letter ? snprintf(left, sizeof left, "-%c, --%s", f->letter, f->name)
                          : snprintf(left, sizeof left, "    --%s", f->name);
        if (f->value)
            snprintf(left + n, sizeof left - (size_t)n, f->value_optional ? "[=%s]" : " %s",
                     f->value);
        printf("  %-28s %s\n", left, f->help);
    }
}

void ctl_help_all(void)
{
    const char *last = "";
    printf(
        "scepctl runs a scepd certificate authority: scepctl [FLAGS] NOUN VERB [ID...] [FLAGS]\n\n"
        "  scepctl init --name \"Example Device CA\" --url http://scep.example.org   a new "
        "authority\n"
        "  scepctl challenge new                    a one-time password for one device\n"
        "  scepctl request list --state pending     who waits for approval\n"
        "  scepctl cert list --expires-within 30d   what ends soon\n"
        "  scepctl cert revoke SERIAL               take a certificate back\n"
        "  scepctl client enrol URL                 a certificate from any SCEP server\n\n"
        "Nouns:");
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++) {
        if (strcmp(v->noun, last))
            printf("%s %s", last[0] ? "," : "", v->noun);
        last = v->noun;
    }
    printf(".  \"scepctl NOUN\" lists its verbs, \"scepctl NOUN VERB --help\" explains "
           "one.\n\nFlags for all:\n");
    print_flags(ctl_global_flags);
}

void ctl_help_noun(const char *noun)
{
    printf("scepctl %s VERB:\n", noun);
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++) {
        char left[64];
        if (strcmp(v->noun, noun))
            continue;
        snprintf(left, sizeof left, "%s %s", v->verb, v->ids);
        printf("  %-24s %s\n", left, v->help);
    }
}

void ctl_help_verb(const struct ctl_verb *v, bool full)
{
    if (full && v->examples[0]) {
        printf("Examples:\n");
        for (size_t i = 0; i < 3 && v->examples[i]; i++)
            printf("  %s\n", v->examples[i]);
        printf("\n");
    }
    printf("scepctl %s%s%s%s%s [FLAGS]\n  %s\n", v->noun, v->verb[0] ? " " : "", v->verb,
           v->ids[0] ? " " : "", v->ids, v->help);
    if (v->flags)
        printf("\n");
    print_flags(v->flags);
    if (full) {
        printf("\nFlags for all:\n");
        print_flags(ctl_global_flags);
    }
}
