/* scepctl audit ...: the log, and the proof that nobody rewrote it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/hex.h"
#include "base/text.h"
#include "scepctl/ctl.h"
#include "store/page.h"

/* ---- list and show ---- */

static const struct ctl_column audit_columns[] = {
    {"NUMBER", "seq", CTL_NUMBER, false}, {"TIME", "at", CTL_TIME, false},
    {"EVENT", "event", CTL_TEXT, false},  {"ACTOR", "actor", CTL_TEXT, false},
    {"OBJECT", "object", CTL_ID, false},  {"TEXT", "text", CTL_TEXT, true},
    {NULL, "chain", CTL_ID, false},
};

struct listing {
    struct ctl_list *list;
    const char *event, *actor, *object;
    bool reads;           /* also what was only read */
    int64_t since, until; /* 0: any */
    int64_t limit;
    uint64_t shown, left_out; /* of reads */
    bool more;
};

static bool begins(const char *wanted, const char *text)
{
    return !wanted || strncmp(text, wanted, strlen(wanted)) == 0;
}

static bool passes(const struct listing *l, const struct store_audit *e)
{
    return begins(l->event, e->event) && (!l->actor || strcmp(l->actor, e->actor) == 0) &&
           begins(l->object, e->object) && e->at >= l->since && (!l->until || e->at < l->until);
}

static bool list_one(void *ctx, const struct store_audit *e)
{
    struct listing *l = ctx;
    char chain[2 * STORE_HASH + 1];
    if (!passes(l, e))
        return true;
    if (!l->reads && strcmp(e->event, API_READ_EVENT) == 0) {
        l->left_out++;
        return true;
    }
    if (l->limit && l->shown == (uint64_t)l->limit) {
        l->more = true;
        return false;
    }
    l->shown++;
    hex_encode(view_of(e->chain, sizeof e->chain), chain);
    const struct ctl_cell cells[] = {
        {NULL, (int64_t)e->seq}, {NULL, e->at}, {e->event, 0}, {e->actor, 0},
        {e->object, 0},          {e->text, 0},  {chain, 0}};
    ctl_list_row(l->list, cells);
    return true;
}

static int read_filters(struct ctl *ctl, const struct ctl_args *a, struct listing *l, int64_t *from)
{
    int rc;
    l->event = ctl_arg(a, "event");
    l->actor = ctl_arg(a, "actor");
    l->object = ctl_arg(a, "object");
    l->reads = ctl_arg(a, "reads") || (l->event && begins(API_READ_EVENT, l->event));
    (void)((rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l->limit)) ||
           (rc = ctl_arg_number(ctl, a, "from", 0, INT64_MAX, -1, from)) ||
           (rc = ctl_arg_moment(ctl, a, "since", 0, &l->since)) ||
           (rc = ctl_arg_moment(ctl, a, "until", 0, &l->until)));
    return rc;
}

static bool unfiltered(const struct listing *l)
{
    return !l->event && !l->actor && !l->object && !l->since && !l->until;
}

static void take_seq(void *ctx, const struct store_audit *e)
{
    *(int64_t *)ctx = (int64_t)e->seq;
}

/* The number of the first of the newest that are asked for, by pages backwards; entries that are
 * left out do not count. */
static bool newest_from(struct store *s, const struct listing *l, int64_t *from, struct err *err)
{
    const struct store_audit_filter f = {.except = l->reads ? NULL : API_READ_EVENT};
    struct store_page page = {.limit = 0};
    int64_t left = l->limit;
    bool ok;
    *from = 1;
    do {
        char after[STORE_CURSOR_MAX];
        snprintf(after, sizeof after, "%s", page.next);
        page.after = after;
        page.limit = left < STORE_PAGE_MAX ? (size_t)left : STORE_PAGE_MAX;
        ok = store_audit_page(s, &f, &page, take_seq, from, err);
        left -= (int64_t)page.items;
    } while (ok && left > 0 && page.next[0]);
    if (left > 0)
        *from = 1; /* there are no more than that */
    return ok;
}

int ctl_audit_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {0};
    struct store_stats st;
    struct err err = {0};
    int64_t from;
    int rc;
    if ((rc = read_filters(ctl, a, &l, &from)) || (rc = ctl_need_store(ctl)))
        return rc;
    if (!store_stats(ctl->store, &st, &err))
        return ctl_fail_err(ctl, &err, NULL);
    bool newest = from < 0 && unfiltered(&l) && l.limit; /* in their order */
    if (newest && !newest_from(ctl->store, &l, &from, &err))
        return ctl_fail_err(ctl, &err, NULL);
    l.list = ctl_list_new(ctl, audit_columns, sizeof audit_columns / sizeof audit_columns[0]);
    bool good = store_audit_list(ctl->store, from < 0 ? 1 : (uint64_t)from, list_one, &l, &err);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu of %llu entries%s%s", (unsigned long long)l.shown,
             (unsigned long long)st.audit_entries, l.more ? "; --from and --limit show others" : "",
             l.left_out ? "; --reads shows what was only read" : "");
    return CTL_DONE;
}

static bool take_one(void *ctx, const struct store_audit *e)
{
    *(struct store_audit *)ctx = *e;
    return false;
}

int ctl_audit_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_audit e = {.seq = 0};
    struct err err = {0};
    struct ctl_show s;
    char chain[2 * STORE_HASH + 1], clean[96];
    const char *id = a->id[0];
    bool digits = id[0] && strspn(id, "0123456789") == strlen(id) && strlen(id) <= 18;
    ctl_clean(id, clean, sizeof clean);
    if (!digits)
        return ctl_fail(ctl, CTL_USAGE, "scepctl audit list", "\"%s\" is no number of an entry",
                        clean);
    uint64_t seq = strtoull(id, NULL, 10);
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (!store_audit_list(ctl->store, seq, take_one, &e, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (!seq || e.seq != seq)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl audit list", "there is no entry %s", clean);
    hex_encode(view_of(e.chain, sizeof e.chain), chain);
    ctl_show_start(&s, ctl);
    ctl_show_number(&s, "seq", (int64_t)e.seq);
    ctl_show_time(&s, "at", e.at);
    ctl_show_text(&s, "event", e.event);
    ctl_show_text(&s, "actor", e.actor);
    ctl_show_text(&s, "object", e.object);
    ctl_show_text(&s, "text", e.text);
    ctl_show_text(&s, "chain", chain);
    ctl_show_end(&s);
    return CTL_DONE;
}

/* ---- export ---- */

static json_t *entry_json(const struct store_audit *e)
{
    char when[32], chain[2 * STORE_HASH + 1];
    json_t *o = json_object();
    text_time(e->at, when);
    hex_encode(view_of(e->chain, sizeof e->chain), chain);
    json_object_set_new(o, "seq", json_integer((json_int_t)e->seq));
    ctl_json_text(o, "at", when);
    ctl_json_text(o, "event", e->event);
    ctl_json_text(o, "actor", e->actor);
    ctl_json_text(o, "object", e->object);
    ctl_json_text(o, "text", e->text);
    ctl_json_text(o, "chain", chain);
    return o;
}

struct export
{
    uint64_t n;
    struct store_audit last;
};

static bool export_one(void *ctx, const struct store_audit *e)
{
    struct export *x = ctx;
    json_t *o = entry_json(e);
    ctl_json_line(o);
    json_decref(o);
    x->n++;
    x->last = *e;
    return !ferror(stdout);
}

int ctl_audit_export(struct ctl *ctl, const struct ctl_args *a)
{
    struct export x = {0};
    struct err err = {0};
    char head[2 * STORE_HASH + 1] = "";
    int64_t from;
    int rc;
    if ((rc = ctl_arg_number(ctl, a, "from", 1, INT64_MAX, 1, &from)) || (rc = ctl_need_store(ctl)))
        return rc;
    if (!store_audit_list(ctl->store, (uint64_t)from, export_one, &x, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (x.n)
        hex_encode(view_of(x.last.chain, sizeof x.last.chain), head);
    ctl_note(ctl, "%llu entries%s%s; keep them where who may write the store may not",
             (unsigned long long)x.n, x.n ? ", the last chain value is " : "", head);
    return CTL_DONE;
}

/* ---- verify ---- */

static const struct ctl_column finding_columns[] = {
    {"RESULT", "result", CTL_TEXT, false},
    {"ENTRY", "seq", CTL_NUMBER, false},
    {"TEXT", "text", CTL_TEXT, false},
};

/* The copy is read beside the log, both in order: one entry of each at a time. */
struct verifying {
    struct ctl *ctl;
    struct ctl_list *list;
    FILE *copy; /* NULL: none */
    char *line; /* owned, of getline */
    size_t line_cap;
    json_t *next; /* owned: the entry of the copy that comes next, NULL: none is left */
    uint64_t next_seq, copied, lines, entries, seams, problems;
    bool unreadable;
    struct store_audit last;
};

#define COPY_LINE_MAX 16384 /* an entry has at most 4 KB in JSON */

static void finding(struct verifying *v, const char *result, uint64_t seq, const char *text)
{
    const struct ctl_cell cells[] = {{result, 0}, {NULL, (int64_t)seq}, {text, 0}};
    ctl_list_row(v->list, cells);
    v->problems += strcmp(result, "FAIL") == 0;
}

static void tell_problem(void *ctx, const struct store_problem *p)
{
    finding(ctx, "FAIL", 0, p->text);
}

/* Reads the next entry of the copy; what cannot be read ends it. */
static void copy_next(struct verifying *v)
{
    json_decref(v->next);
    v->next = NULL;
    if (!v->copy || v->unreadable)
        return;
    ssize_t n = getline(&v->line, &v->line_cap, v->copy);
    if (n < 0)
        return;
    v->lines++;
    v->next =
        n <= COPY_LINE_MAX ? json_loadb(v->line, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_int_t seq = json_integer_value(json_object_get(v->next, "seq"));
    if (!v->next || seq <= 0 || (uint64_t)seq <= v->next_seq) {
        char text[96];
        snprintf(text, sizeof text, "line %llu of the copy is no entry that follows the one before",
                 (unsigned long long)v->lines);
        finding(v, "FAIL", 0, text);
        v->unreadable = true;
        json_decref(v->next);
        v->next = NULL;
        return;
    }
    v->next_seq = (uint64_t)seq;
    v->copied++;
}

/* Behind a seam two histories are possible: the copy may know what was lost with the time before
 * the restore. */
static void differs(struct verifying *v, uint64_t seq, const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s", what,
             v->seams ? ": lost by the restore before it, or rewritten" : "");
    finding(v, "FAIL", seq, text);
}

static void compare(struct verifying *v, const struct store_audit *e)
{
    for (; v->next && v->next_seq < e->seq; copy_next(v))
        differs(v, v->next_seq, "the copy has this entry and the log has not");
    if (!v->next || v->next_seq != e->seq)
        return;
    json_t *mine = entry_json(e);
    if (!json_equal(mine, v->next))
        differs(v, e->seq, "the copy has another entry with this number");
    json_decref(mine);
    copy_next(v);
}

static bool verify_one(void *ctx, const struct store_audit *e)
{
    struct verifying *v = ctx;
    v->entries++;
    v->last = *e;
    if (strcmp(e->event, STORE_EVENT_RESTORED) == 0) {
        v->seams++;
        finding(v, "seam", e->seq, e->text);
    }
    compare(v, e);
    return true;
}

static void tell_rest(struct verifying *v)
{
    for (; v->next; copy_next(v))
        differs(v, v->next_seq, "the copy has this entry and the log has not");
}

static bool verify(struct verifying *v, struct err *err)
{
    uint64_t chain_problems = 0;
    copy_next(v);
    if (!store_audit_verify(v->ctl->store, tell_problem, v, &chain_problems, err) ||
        !store_audit_list(v->ctl->store, 1, verify_one, v, err))
        return false;
    tell_rest(v);
    return true;
}

static void tell_result(struct verifying *v)
{
    char head[2 * STORE_HASH + 1] = "none", copy[96] = "";
    if (v->entries)
        hex_encode(view_of(v->last.chain, sizeof v->last.chain), head);
    if (v->copy)
        snprintf(copy, sizeof copy, "; %llu entries of the copy were compared",
                 (unsigned long long)v->copied);
    ctl_note(v->ctl, "%llu entries, %llu problems, %llu seams%s; chain value %s",
             (unsigned long long)v->entries, (unsigned long long)v->problems,
             (unsigned long long)v->seams, copy, head);
}

int ctl_audit_verify(struct ctl *ctl, const struct ctl_args *a)
{
    struct verifying v = {.ctl = ctl};
    struct err err = {0};
    const char *against = ctl_arg(a, "against");
    if (against && !(v.copy = strcmp(against, "-") ? fopen(against, "re") : stdin))
        return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "cannot read %s: %s", against, strerror(errno));
    int rc = ctl_need_store(ctl);
    if (rc == CTL_DONE) {
        v.list =
            ctl_list_new(ctl, finding_columns, sizeof finding_columns / sizeof finding_columns[0]);
        bool good = verify(&v, &err);
        ctl_list_end(v.list);
        rc = good ? v.problems ? CTL_PROBLEMS : CTL_DONE : ctl_fail_err(ctl, &err, NULL);
        if (good)
            tell_result(&v);
    }
    json_decref(v.next);
    free(v.line);
    if (v.copy && v.copy != stdin)
        fclose(v.copy);
    return rc;
}
