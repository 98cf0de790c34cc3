/* What the verbs of device, group and policy share: finding, asking, progress, history. */
#include "scepctl/ctl_fleet.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

/* ---- surroundings ---- */

int ctl_fleet_begin(struct ctl *ctl, bool challenges, struct ctl_fleet *out)
{
    struct err err = {0};
    int rc = ctl_need_config(ctl);
    *out =
        (struct ctl_fleet){.fleet = {.config = ctl->config, .actor = ctl->actor, .now = ctl->now}};
    if (rc)
        return rc;
    if (challenges) {
        const char *file = ctl->config->challenge_key_file;
        if (access(file, R_OK) && errno == EACCES)
            return ctl_fail(ctl, CTL_NOT_PERMITTED, "run it as root or as the user of scepd",
                            "cannot read %s", file);
        if (!challenge_key_load(file, false, &out->key, &err))
            return ctl_fail_err(ctl, &err, NULL);
        out->fleet.key = &out->key;
    }
    rc = ctl_need_store(ctl);
    out->fleet.store = ctl->store;
    if (rc)
        ctl_fleet_end(out);
    return rc;
}

void ctl_fleet_end(struct ctl_fleet *f)
{
    OPENSSL_cleanse(&f->key, sizeof f->key);
}

/* A prefix that several have is as good as not found. */
static int not_found(struct ctl *ctl, const struct err *err, const char *list)
{
    if (err->kind == ERR_NOT_FOUND)
        return ctl_fail(ctl, CTL_NOT_FOUND, list, "%s", err->text);
    if (err->kind == ERR_CONFLICT)
        return ctl_fail(ctl, CTL_NOT_FOUND, "give more of it", "%s", err->text);
    return ctl_fail_err(ctl, err, NULL);
}

const char *ctl_plain_name(const char *id, const char *name)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-";
    return name[0] == '-' || name[strspn(name, plain)] ? id : name;
}

int ctl_find_device(struct ctl *ctl, const struct ctl_fleet *f, const char *which,
                    struct store_device *out)
{
    struct err err = {0};
    return fleet_device_get(&f->fleet, which, out, &err)
               ? CTL_DONE
               : not_found(ctl, &err, "scepctl device list");
}

int ctl_find_group(struct ctl *ctl, const struct ctl_fleet *f, const char *which,
                   struct store_group *out)
{
    struct err err = {0};
    return fleet_group_get(&f->fleet, which, out, &err)
               ? CTL_DONE
               : not_found(ctl, &err, "scepctl group list");
}

int ctl_find_policy(struct ctl *ctl, const struct ctl_fleet *f, const char *which,
                    struct store_policy *out)
{
    struct err err = {0};
    return fleet_policy_get(&f->fleet, which, out, &err)
               ? CTL_DONE
               : not_found(ctl, &err, "scepctl policy list");
}

int ctl_make_device(struct ctl *ctl, const struct ctl_fleet *f, const char *device,
                    const char *policy)
{
    struct store_device d = {.id = ""};
    struct fleet_effects none = {.dry_run = false};
    struct fleet_warnings warnings = {0};
    struct err err = {0};
    bool changed;
    if (store_device_get(ctl->store, device, &d, &err))
        return CTL_DONE;
    if (err.kind != ERR_NOT_FOUND)
        return ctl_fail_err(ctl, &err, NULL);
    err = (struct err){0};
    if (!policy)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--new-device needs --policy");
    if (strlen(device) >= sizeof d.name)
        return ctl_fail(ctl, CTL_USAGE, NULL, "the name of a device has %zu octets at most",
                        sizeof d.name - 1);
    d = (struct store_device){.id = ""};
    memcpy(d.name, device, strlen(device) + 1);
    if (!fleet_device_new(&f->fleet, &d, &err) ||
        !fleet_policy_assign(&f->fleet, policy, 0, d.id, false, &warnings, &none, &changed, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "made device %s (%s) with policy %s", d.name, d.id, policy);
    return CTL_DONE;
}

int ctl_arg_text(struct ctl *ctl, const struct ctl_args *a, const char *name, char *to, size_t cap)
{
    const char *value = ctl_arg(a, name);
    if (!value)
        return CTL_DONE;
    size_t n = strlen(value);
    if (n >= cap)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--%s has %zu octets, %zu at most", name, n, cap - 1);
    memcpy(to, value, n + 1);
    return CTL_DONE;
}

int ctl_name_text(struct ctl *ctl, const char *name, char *to, size_t cap)
{
    size_t n = strlen(name);
    if (n >= cap)
        return ctl_fail(ctl, CTL_USAGE, NULL, "the name has %zu octets, %zu at most", n, cap - 1);
    memcpy(to, name, n + 1);
    return CTL_DONE;
}

/* ---- lists ---- */

int ctl_listing_limit(struct ctl_listing *l)
{
    return ctl_arg_number(l->ctl, l->args, "limit", 0, INT32_MAX, 50, &l->limit);
}

void ctl_listing_row(struct ctl_listing *l, const struct ctl_cell *cells)
{
    l->shown++;
    ctl_list_row(l->list, cells);
}

static size_t page_size(const struct ctl_listing *l)
{
    uint64_t left = l->limit ? (uint64_t)l->limit - l->shown : STORE_PAGE_MAX;
    return left < STORE_PAGE_MAX ? (size_t)left : STORE_PAGE_MAX;
}

/* With what could not be seen: "50 devices, and there are more: --limit 0 for all". */
static int listing_end(struct ctl_listing *l, const struct err *failed, const char *one,
                       const char *many)
{
    ctl_list_end(l->list);
    if (failed)
        return ctl_fail_err(l->ctl, failed, NULL);
    ctl_note(l->ctl, "%llu %s%s", (unsigned long long)l->shown, l->shown == 1 ? one : many,
             l->more ? ", and there are more: --limit 0 for all" : "");
    return CTL_DONE;
}

int ctl_listing_show(struct ctl_listing *l, const struct ctl_column *columns, size_t n,
                     bool (*page)(struct ctl_listing *l, struct store_page *page, struct err *err),
                     const char *one, const char *many)
{
    struct err err = {0};
    char cursor[STORE_CURSOR_MAX] = "";
    bool good = true;
    l->list = ctl_list_new(l->ctl, columns, n);
    do {
        struct store_page p = {.after = cursor, .limit = page_size(l)};
        good = page(l, &p, &err);
        memcpy(cursor, p.next, sizeof p.next);
        l->more = good && *cursor;
    } while (l->more && page_size(l) > 0);
    return listing_end(l, good ? NULL : &err, one, many);
}

void ctl_words_add(struct ctl_words *w, const char *word, const char *more)
{
    if (w->n < sizeof w->text)
        w->n += (size_t)snprintf(w->text + w->n, sizeof w->text - w->n, "%s%s%s", w->n ? ", " : "",
                                 word, more);
}

void ctl_show_cells(struct ctl_show *s, const struct ctl_column *columns, size_t n,
                    const struct ctl_cell *cells)
{
    for (size_t i = 0; i < n; i++) {
        if (columns[i].kind == CTL_TIME)
            ctl_show_time(s, columns[i].key, cells[i].number);
        else if (columns[i].kind == CTL_NUMBER)
            ctl_show_number(s, columns[i].key, cells[i].number);
        else
            ctl_show_text(s, columns[i].key, cells[i].text);
    }
}

bool ctl_show_made(struct ctl_show *s, struct ctl *ctl, const char *id)
{
    if (!ctl->json && !ctl->csv) {
        printf("%s\n", id);
        return false;
    }
    ctl_show_start(s, ctl);
    return true;
}

/* ---- effects ---- */

static size_t add_part(char *out, size_t cap, size_t at, uint64_t n, const char *one,
                       const char *many)
{
    if (!n || at >= cap)
        return at;
    return at + (size_t)snprintf(out + at, cap - at, "%s%llu %s", at ? ", " : "",
                                 (unsigned long long)n, n == 1 ? one : many);
}

void ctl_effects_text(const struct fleet_effects *e, const char *lose, char *out, size_t cap)
{
    char parts[240] = "";
    size_t n = 0;
    n = add_part(parts, sizeof parts, n, e->certificates, "certificate revoked",
                 "certificates revoked");
    n = add_part(parts, sizeof parts, n, e->requests, "request cancelled", "requests cancelled");
    add_part(parts, sizeof parts, n, e->challenges, "challenge void", "challenges void");
    snprintf(out, cap, "%llu device%s %s%s%s", (unsigned long long)e->devices,
             e->devices == 1 ? "" : "s", lose, *parts ? ": " : "", parts);
}

int ctl_effects_confirm(struct ctl *ctl, const struct fleet_effects *plan, const char *question)
{
    char number[32];
    if (plan->devices > 1) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)plan->devices);
        return ctl_confirm_expected(ctl, number, question);
    }
    if (plan->certificates + plan->requests > 0)
        return ctl_confirm(ctl, question);
    return CTL_DONE;
}

/* ---- progress ---- */

#define FIRST_AFTER 500 /* milliseconds */
#define LINE_EVERY 10000
#define REDRAW_EVERY 100
#define BAR 24

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct ctl_progress ctl_progress_start(const struct ctl *ctl, const char *what)
{
    return (struct ctl_progress){.ctl = ctl, .what = what, .began = milliseconds()};
}

static void progress_text(const struct ctl_progress *p, uint64_t done, uint64_t of, int64_t spent,
                          char *out, size_t cap)
{
    uint64_t rate = spent > 0 ? done * 1000 / (uint64_t)spent : 0;
    char left[48] = "";
    if (of > done && rate)
        snprintf(left, sizeof left, ", %llu s left", (unsigned long long)((of - done) / rate));
    if (of)
        snprintf(out, cap, "%llu of %llu %s, %llu/s%s", (unsigned long long)done,
                 (unsigned long long)of, p->what, (unsigned long long)rate, left);
    else
        snprintf(out, cap, "%llu %s, %llu/s", (unsigned long long)done, p->what,
                 (unsigned long long)rate);
}

void ctl_progress_show(struct ctl_progress *p, uint64_t done, uint64_t of)
{
    int64_t now = milliseconds(), since = now - (p->told ? p->told : p->began);
    bool terminal = isatty(STDERR_FILENO);
    char text[160], bar[BAR + 3] = "";
    if (p->ctl->quiet || p->ctl->json ||
        since < (!terminal ? LINE_EVERY
                 : p->told ? REDRAW_EVERY
                           : FIRST_AFTER))
        return;
    p->told = now;
    progress_text(p, done, of, now - p->began, text, sizeof text);
    if (!terminal) {
        ctl_note(p->ctl, "%s", text);
        return;
    }
    if (of) {
        size_t full = done < of ? (size_t)(done * BAR / of) : BAR;
        bar[0] = '[';
        memset(bar + 1, '#', full);
        memset(bar + 1 + full, '.', BAR - full);
        bar[BAR + 1] = ']';
        bar[BAR + 2] = '\0';
    }
    fprintf(stderr, "\r%s %s\033[K", bar, text);
    fflush(stderr);
    p->line = true;
}

void ctl_progress_end(struct ctl_progress *p)
{
    if (p->line)
        fprintf(stderr, "\r\033[K");
    p->line = false;
}

/* ---- taking away ---- */

void ctl_warn(const struct ctl *ctl, const struct fleet_warnings *w)
{
    for (size_t i = 0; i < w->n; i++)
        ctl_note(ctl, "warning: %s", w->text[i]);
}

void ctl_plan_note(const struct ctl *ctl, const struct fleet_effects *plan, const char *what,
                   const char *lose)
{
    char text[400];
    ctl_effects_text(plan, lose, text, sizeof text);
    ctl_note(ctl, "%s%s: %s", ctl->dry_run ? "would " : "to ", what, text);
}

void ctl_void_note(const struct ctl *ctl, const struct fleet_effects *e)
{
    if (e->challenges)
        ctl_note(ctl, "  %llu challenge%s with the old names %s", (unsigned long long)e->challenges,
                 e->challenges == 1 ? "" : "s",
                 ctl->dry_run         ? "would be void"
                 : e->challenges == 1 ? "is void now"
                                      : "are void now");
}

static bool taking_step(void *ctx, const struct fleet_effects *e)
{
    struct ctl_taking *t = ctx;
    ctl_progress_show(&t->progress, e->certificates + e->requests + e->challenges, t->of);
    return !ctl_interrupted();
}

struct fleet_effects ctl_taking_begin(struct ctl_taking *t, struct ctl *ctl, uint64_t of)
{
    ctl_interrupts_watch();
    *t = (struct ctl_taking){
        .ctl = ctl, .progress = ctl_progress_start(ctl, "taken back"), .of = of};
    return (struct fleet_effects){.step = taking_step, .ctx = t};
}

int ctl_taking_end(struct ctl_taking *t, const struct err *failed, const struct fleet_effects *done,
                   const char *what, const char *lost)
{
    char text[400];
    ctl_progress_end(&t->progress);
    if (failed)
        return ctl_fail_err(t->ctl, failed, NULL);
    ctl_effects_text(done, lost, text, sizeof text);
    if (done->stopped)
        return ctl_fail(t->ctl, CTL_INTERRUPTED, "the same command goes on", "interrupted: %s",
                        text);
    ctl_note(t->ctl, "%s: %s", what, text);
    return CTL_DONE;
}

/* ---- history ---- */

static const struct ctl_column history_columns[] = {
    {"AT", "at", CTL_TIME, false},          {"WHAT", "what", CTL_TEXT, false},
    {"RESULT", "result", CTL_TEXT, false},  {"WHO", "who", CTL_TEXT, false},
    {"DETAIL", "detail", CTL_TEXT, true},   {NULL, "reason", CTL_TEXT, false},
    {NULL, "transaction", CTL_TEXT, false}, {NULL, "serial", CTL_TEXT, false},
    {NULL, "challenge", CTL_TEXT, false},   {NULL, "seq", CTL_NUMBER, false},
};

static void attempt_row(struct ctl_listing *l, const struct store_attempt *a)
{
    static const char *const results[] = {"issued",  "renewed", "pending", "repeated",
                                          "refused", "failed",  "counted", "silent"};
    const struct ctl_cell cells[] = {{NULL, a->at},
                                     {a->operation, 0},
                                     {results[a->result], 0},
                                     {a->peer, 0},
                                     {*a->detail ? a->detail : a->subject, 0},
                                     {a->reason, 0},
                                     {a->transaction, 0},
                                     {a->serial, 0},
                                     {a->challenge, 0},
                                     {NULL, (int64_t)a->seq}};
    ctl_listing_row(l, cells);
}

static void audit_row(struct ctl_listing *l, const struct store_audit *a)
{
    const struct ctl_cell cells[] = {
        {NULL, a->at}, {a->event, 0}, {"", 0}, {a->actor, 0}, {a->text, 0},
        {"", 0},       {"", 0},       {"", 0}, {"", 0},       {NULL, (int64_t)a->seq}};
    ctl_listing_row(l, cells);
}

static bool history_row(void *ctx, const struct fleet_event *e)
{
    struct ctl_listing *l = ctx;
    if (l->limit && l->shown == (uint64_t)l->limit) {
        l->more = true;
        return false;
    }
    if (e->attempt)
        attempt_row(l, e->attempt);
    else
        audit_row(l, e->audit);
    return true;
}

int ctl_history(struct ctl *ctl, const struct ctl_args *a, const struct ctl_fleet *f,
                const char *id)
{
    struct ctl_listing l = {.ctl = ctl, .args = a};
    struct err err = {0};
    int rc = ctl_listing_limit(&l);
    if (rc)
        return rc;
    l.list = ctl_list_new(ctl, history_columns, sizeof history_columns / sizeof history_columns[0]);
    bool good = fleet_history(&f->fleet, id, (struct fleet_cursor){0, 0}, history_row, &l, &err);
    return listing_end(&l, good ? NULL : &err, "event", "events");
}
