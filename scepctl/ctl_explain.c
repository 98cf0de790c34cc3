/* scepctl explain WHAT: what became of a device's attempts, in plain words. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/text.h"
#include "scepctl/ctl_fleet.h"
#include "enroll/explain.h"
#include "config/suggest.h"

const struct ctl_flag ctl_explain_flags[] = {
    {"limit", 0, "N", false, "at most so many earlier attempts (10)"},
    {NULL, 0, NULL, false, NULL},
};

#define DAY 86400
#define LOOK_AGAIN_MS 200

struct search {
    struct ctl *ctl;
    const char *what;
    struct explain_search look;
    /* of the one that was meant */
    struct explain_candidate meant;
    struct explain_found shown;   /* owned */
    struct store_attempt advised; /* the newest, with the device whose subject it has */
};

static bool find_same(struct ctl *ctl, const char *code, struct explain_same *out)
{
    struct err err = {0};
    return explain_same(ctl->store, code, ctl->now - DAY, out, &err);
}

/* ---- for people ---- */

#define LINE_WIDTH 100

/* One paragraph behind a label; on a terminal it is wrapped under itself. */
static void say(const char *label, const char *fmt, ...)
{
    char text[3 * EXPLAIN_TEXT], clean[3 * EXPLAIN_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ctl_clean_for(stdout, text, clean, sizeof clean);
    printf("%s", label);
    size_t indent = strlen(label), room = LINE_WIDTH - indent;
    const char *p = clean;
    while (ctl_stdout_is_terminal() && strlen(p) > room) {
        size_t n = room;
        while (n > room / 2 && p[n] != ' ')
            n--;
        if (p[n] != ' ')
            break;
        printf("%.*s\n%*s", (int)n, p, (int)indent, "");
        p += n + 1;
    }
    printf("%s\n", p);
}

/* A step holds the beginning of the detail. */
static bool is_cut_from(const char *step, const char *detail)
{
    return *step && strncmp(step, detail, strlen(step)) == 0;
}

static void say_path(const struct store_attempt *a)
{
    static const char *const marks[] = {"  ..    ", "  ok    ", "  STOP  ", "  over  "};
    char missing[512];
    for (size_t i = 0; i < a->trail.n; i++) {
        const struct trail_step *s = &a->trail.step[i];
        const char *mark =
            (size_t)s->state < sizeof marks / sizeof *marks ? marks[s->state] : "  ?     ";
        say(mark, "%s%s%s", check_text(s->check), *s->text ? ": " : "", s->text);
    }
    explain_not_reached(a, missing, sizeof missing);
    if (*missing)
        say("  --    ", "not reached: %s", missing);
}

static void clock_text(const struct ctl *ctl, int64_t at, char *out, size_t cap)
{
    ctl_time_text(ctl, at, out, cap);
}

static void say_head(const struct ctl *ctl, const struct store_attempt *a, uint64_t matched)
{
    char who[512], when[96], before[64] = "";
    enum reason reason = explain_reason(a);
    explain_who(a, who, sizeof who);
    clock_text(ctl, a->at, when, sizeof when);
    if (matched > 1)
        snprintf(before, sizeof before, "; %llu more before it", (unsigned long long)matched - 1);
    if (a->result == ATTEMPT_SILENT)
        say("", "%s: %s, %s%s", who, a->detail, when, before);
    else if (a->result == ATTEMPT_COUNTED)
        say("", "%s: %s, %s (%s)", who, a->detail, when, a->reason);
    else if (reason == REASON_NONE || a->result == ATTEMPT_ISSUED || a->result == ATTEMPT_RENEWED)
        say("", "%s: %s%s%s, %s%s", who, explain_result(a->result),
            *a->serial ? ", certificate " : "", a->serial, when, before);
    else
        say("", "%s: %s, %s: %s (%s)%s", who, explain_result(a->result), when,
            reason_info(reason)->text, a->reason, before);
}

static void say_facts(const struct store_attempt *a)
{
    char line[1600];
    size_t n = 0;
    const struct {
        const char *before, *value;
    } part[] = {{"from ", a->peer},
                {", ", a->agent},
                {", transaction ", a->transaction},
                {", ", a->operation},
                {" by ", a->method},
                {" at ", a->endpoint},
                {", template ", a->template_name},
                {", key ", a->key},
                {", names ", a->san}};
    line[0] = '\0';
    for (size_t i = 0; i < sizeof part / sizeof *part && n < sizeof line; i++)
        if (*part[i].value)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%.300s", part[i].before,
                                  part[i].value);
    if (a->ms && n < sizeof line)
        snprintf(line + n, sizeof line - n, ", decided in %u ms", a->ms);
    if (*line)
        say("  ", "%s", strncmp(line, ", ", 2) == 0 ? line + 2 : line);
}

/* The nearest path of an endpoint to one that none has. */
static void say_nearest(struct ctl *ctl, const struct store_attempt *a)
{
    char hint[256];
    if (strcmp(a->reason, reason_info(REASON_HTTP_PATH)->code) != 0)
        return;
    struct suggest near = suggest_start(a->endpoint);
    for (size_t i = 0; i < ctl->config->endpoint_n; i++) {
        suggest_offer(&near, ctl->config->endpoint[i].path);
        for (size_t k = 0; k < ctl->config->endpoint[i].alias_n; k++)
            suggest_offer(&near, ctl->config->endpoint[i].alias[k]);
    }
    say("Path:   ", "%s%s; endpoints begin with %s%s", a->endpoint,
        suggest_text(&near, hint, sizeof hint), ctl->config->url,
        ctl->config->endpoint_n ? ctl->config->endpoint[0].path : "");
}

static void say_reason(struct ctl *ctl, const struct store_attempt *a,
                       const struct store_attempt *advised)
{
    enum reason reason = explain_reason(a);
    char text[EXPLAIN_TEXT];
    const struct reason_help *help = reason_help(reason);
    const struct trail_step *last = a->trail.n ? &a->trail.step[a->trail.n - 1] : NULL;
    if (a->result == ATTEMPT_PENDING && *a->request)
        say("Do:     ",
            "scepctl request approve %s (or deny, show); the device learns it when it asks again",
            a->request);
    if (*a->detail && a->result != ATTEMPT_COUNTED && a->result != ATTEMPT_SILENT &&
        !(last && last->state == TRAIL_STOPPED && is_cut_from(last->text, a->detail)))
        say("Detail: ", "%s", a->detail);
    if (reason == REASON_NONE)
        return;
    explain_fill(help->cause, a, text, sizeof text);
    say("Why:    ", "%s", text);
    say_nearest(ctl, a);
    explain_fill(help->fix, advised, text, sizeof text);
    say("Do:     ", "%s", text);
    reason_screen(reason, text, sizeof text);
    say("Shows:  ", "%s", text);
}

static void say_same(struct ctl *ctl, const char *code)
{
    struct explain_same same;
    char since[96];
    if (!*code || !find_same(ctl, code, &same) || same.n == 0)
        return;
    clock_text(ctl, same.since, since, sizeof since);
    say("Same:   ", "%s %llu time%s in the last 24 h, from %zu address%s, since %s", code,
        (unsigned long long)same.n, same.n == 1 ? "" : "s", same.peers, same.peers == 1 ? "" : "es",
        since);
}

static void say_attempt(struct search *s)
{
    struct ctl *ctl = s->ctl;
    const struct store_attempt *a = s->shown.attempt;
    uint64_t matched = s->shown.matched;
    char sent[256];
    say_head(ctl, a, matched);
    say_facts(a);
    say_path(a);
    explain_sent(a, sent, sizeof sent);
    if (*sent)
        say("Sent:   ", "%s", sent);
    say_reason(ctl, a, &s->advised);
    say_same(ctl, a->reason);
}

static void say_earlier(const struct ctl *ctl, const struct store_attempt *a)
{
    char when[96], who[512];
    clock_text(ctl, a->at, when, sizeof when);
    if (*a->subject || *a->transaction)
        explain_who(a, who, sizeof who);
    else
        snprintf(who, sizeof who, "%s%s%s", a->operation, *a->operation ? " at " : "", a->endpoint);
    say("  ", "%s  %s%s%s  %s%s%s  from %s", when, explain_result(a->result), *a->reason ? " " : "",
        a->reason, who, *a->transaction ? "  transaction " : "", a->transaction,
        *a->peer ? a->peer : "somebody");
}

/* ---- what else the store knows ---- */

static void say_cert(struct ctl *ctl, const struct store_cert *c)
{
    static const char *const states[] = {"active", "revoked", "on hold", "superseded"};
    char serial[2 * STORE_SERIAL_MAX + 1], issued[96], ends[96], revoked[96], by[64] = "",
                                                                              taken[256] = "";
    struct err ignored = {0};
    hex_encode(view_of(c->serial, c->serial_len), serial);
    clock_text(ctl, c->issued_at, issued, sizeof issued);
    clock_text(ctl, c->not_after, ends, sizeof ends);
    clock_text(ctl, c->revoked_at, revoked, sizeof revoked);
    bool off = c->state == CERT_REVOKED || c->state == CERT_HELD;
    if (off && explain_revoked_by(ctl->store, c, by, &ignored))
        snprintf(taken, sizeof taken, " since %s%s%s, %s", revoked, *by ? " by " : "", by,
                 crl_reason_text(c->revocation_reason));
    say(off ? "Held:   " : "Holds:  ",
        "certificate %s, %.200s, %s%s; issued %s at %s by transaction %s, ends %s; scepctl cert "
        "show %.16s",
        serial, c->subject,
        ctl->now > c->not_after && c->state == CERT_ACTIVE ? "expired" : states[c->state], taken,
        issued, c->endpoint, c->transaction, ends, serial);
}


static void say_record(struct search *s)
{
    struct store_cert cert = {0};
    struct store_challenge c;
    struct store_request r = {0};
    struct err ignored = {0};
    char a[96], b[96];
    const char *value = s->meant.value;
    switch (s->meant.kind) {
    case EXPLAIN_SERIAL:
    case EXPLAIN_SUBJECT:
    case EXPLAIN_DEVICE:
        if (explain_certificate(s->ctl->store, &s->meant, &cert, &ignored) && cert.id)
            say_cert(s->ctl, &cert);
        break;
    case EXPLAIN_CHALLENGE:
        if (!store_challenge_by_id(s->ctl->store, value, &c, &ignored))
            break;
        clock_text(s->ctl, c.created_at, a, sizeof a);
        clock_text(s->ctl, c.expires_at, b, sizeof b);
        say("",
            "challenge %s: made %s by %s, %u of %u uses%s%s%s, refused %u times; scepctl challenge "
            "show %s",
            c.id, a, *c.created_by ? c.created_by : "somebody", c.used, c.uses,
            c.revoked_at ? ", revoked" : "", c.expires_at ? ", expires " : "",
            c.expires_at ? b : "", c.refused, c.id);
        break;
    case EXPLAIN_REQUEST:
        if (!store_request_get(s->ctl->store, value, &r, &ignored))
            break;
        static const char *const states[] = {"pending", "approved", "denied", "issued", "expired"};
        clock_text(s->ctl, r.created_at, a, sizeof a);
        say("",
            "request %s of %.200s: %s, came %s, asked for %u times%s%s; scepctl request show %s",
            r.id, r.subject, states[r.state], a, r.polls, *r.note ? ", note: " : "", r.note, r.id);
        break;
    case EXPLAIN_TRANSACTION:
    case EXPLAIN_ADDRESS:
    case EXPLAIN_REASON:
    case EXPLAIN_POLICY:
        break;
    }
    store_cert_clear(&cert);
    store_request_clear(&r);
}

/* ---- the verb ---- */

static void print_json(struct search *s, enum reason reason)
{
    json_t *o = json_object(), *list = json_array();
    struct explain_same same;
    ctl_json_text(o, "query", s->what);
    ctl_json_text(o, "kind", explain_kind_name(s->meant.kind));
    ctl_json_text(o, "value", s->meant.value);
    json_object_set_new(o, "matched", json_integer((json_int_t)s->shown.matched));
    if (reason != REASON_NONE) {
        json_object_set_new(
            o, "reason",
            explain_reason_json(
                reason, s->meant.kind == EXPLAIN_REASON || !s->shown.n ? NULL : &s->advised));
        if (find_same(s->ctl, reason_info(reason)->code, &same)) {
            json_object_set_new(o, "same_reason_24h", json_integer((json_int_t)same.n));
            json_object_set_new(o, "same_reason_24h_addresses",
                                json_integer((json_int_t)same.peers));
        }
    }
    for (size_t i = 0; i < s->shown.n; i++)
        json_array_append_new(list, explain_json(&s->shown.attempt[i]));
    json_object_set_new(o, "attempts", list);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static int show(struct search *s, const struct explain_candidate *meant, int64_t limit)
{
    struct err err = {0};
    s->meant = *meant;
    if (!explain_attempts(s->ctl->store, meant, 0, (size_t)limit + 1, &s->shown, &err))
        return ctl_fail_err(s->ctl, &err, NULL);
    const struct fleet f = {.store = s->ctl->store, .config = s->ctl->config, .now = s->ctl->now};
    if (s->shown.n) {
        s->advised = s->shown.attempt[0];
        fleet_attempt_owner(&f, &s->advised);
    }
    enum reason reason = meant->kind == EXPLAIN_REASON ? reason_by_code(meant->value)
                         : s->shown.n                  ? explain_reason(s->shown.attempt)
                                                       : REASON_NONE;
    if (s->ctl->json) {
        print_json(s, reason);
        return CTL_DONE;
    }
    if (meant->kind != EXPLAIN_REASON) {
        say_record(s);
        if (s->shown.n)
            say_attempt(s);
        else
            say("", "no attempts of it are known: they are kept for a while only (attempts.keep in "
                    "scepd.conf)");
    }
    size_t first = meant->kind == EXPLAIN_REASON ? 0 : 1;
    if (meant->kind != EXPLAIN_REASON &&
        !(s->shown.n && s->shown.attempt->at + EXPLAIN_LATE_MS / 1000 >= s->ctl->now))
        ctl_note(s->ctl, "what came in the last two seconds may not stand here yet");
    if (s->shown.n > first)
        say("", "%s", first ? "Before:" : "The newest:");
    for (size_t i = first; i < s->shown.n; i++)
        say_earlier(s->ctl, &s->shown.attempt[i]);
    return CTL_DONE;
}

static void explain_code(enum reason reason)
{
    const struct reason_info *info = reason_info(reason);
    char text[EXPLAIN_TEXT];
    say("", "%s: %s", info->code, info->text);
    explain_fill(reason_help(reason)->cause, NULL, text, sizeof text);
    say("Why:    ", "%s", text);
    explain_fill(reason_help(reason)->fix, NULL, text, sizeof text);
    say("Do:     ", "%s", text);
    reason_screen(reason, text, sizeof text);
    say("Shows:  ", "%s", text);
    if (info->hresult)
        say("Sent:   ", "CertRep FAILURE %s; failInfoText with \"%s\"; Windows has 0x%08x for it",
            fail_info_name((int)info->fail_info), info->code, (unsigned)info->hresult);
    say("Manual: ", "scepd-reasons(7), %s", info->code);
}

/* A code explains itself wherever it is asked for; where there is a store, it also tells who had
 * it. */
static int explain_a_code(struct search *s, enum reason reason, int64_t limit)
{
    char path[512];
    struct explain_candidate meant = {.kind = EXPLAIN_REASON};
    snprintf(meant.value, sizeof meant.value, "%s", reason_info(reason)->code);
    if (!s->ctl->json)
        explain_code(reason);
    config_find(s->ctl->config_option, path);
    if (access(path, R_OK) != 0 && !s->ctl->config_option) {
        if (s->ctl->json) {
            json_t *o = explain_reason_json(reason, NULL);
            json_dumpf(o, stdout, JSON_COMPACT);
            putchar('\n');
            json_decref(o);
        }
        return CTL_DONE;
    }
    int rc = ctl_need_store(s->ctl);
    if (rc)
        return rc;
    if (!s->ctl->json)
        say_same(s->ctl, meant.value);
    return show(s, &meant, limit);
}

static int nothing(struct search *s)
{
    char hint[160], oldest[96], fix[512];
    struct suggest near = suggest_start(s->what);
    for (int i = 1; i < REASON_COUNT; i++)
        suggest_offer(&near, reason_info((enum reason)i)->code);
    if (s->look.oldest)
        clock_text(s->ctl, s->look.oldest, oldest, sizeof oldest);
    else
        snprintf(oldest, sizeof oldest, "the store was made");
    if (*s->look.address) {
        snprintf(fix, sizeof fix,
                 "scepctl probe %s%s from the device's network; scepctl explain never.arrived",
                 s->ctl->config->url,
                 s->ctl->config->endpoint_n ? s->ctl->config->endpoint[0].path : "");
        return ctl_fail(s->ctl, CTL_NOT_FOUND, fix,
                        "nothing from %s has arrived since %s (never.arrived)", s->look.address,
                        oldest);
    }
    return ctl_fail(
        s->ctl, CTL_NOT_FOUND,
        "give a device, a transaction, a part of a subject, a serial, an address, an id "
        "(chl_, req_) or a reason; or the "
        "device's address: scepctl explain 192.0.2.7",
        "nothing is known of \"%s\" since %s%s", s->what, oldest,
        suggest_text(&near, hint, sizeof hint));
}

static int ambiguous(struct search *s)
{
    fflush(stdout);
    for (size_t i = 0; i < s->look.found_n && !s->ctl->json; i++) {
        char clean[1200];
        ctl_clean_for(stderr, s->look.found[i].value, clean, sizeof clean);
        fprintf(stderr, "  %-12s %s  (%llu)\n", explain_kind_name(s->look.found[i].kind), clean,
                (unsigned long long)s->look.found[i].n);
    }
    return ctl_fail(s->ctl, CTL_NOT_FOUND, "give one of these whole",
                    "\"%s\" may mean %zu%s things", s->what, s->look.found_n,
                    s->look.more ? " or more" : "");
}

static bool look(struct search *s, struct err *err)
{
    return explain_search(s->ctl->store, s->what, 0, &s->look, err);
}

/* The daemon writes attempts once a second, and who asks does so right after the device has failed.
 */
static int explain(struct search *s, int64_t limit)
{
    struct err err = {0};
    int rc = ctl_need_store(s->ctl);
    if (rc)
        return rc;
    bool looked = look(s, &err);
    for (int ms = 0; looked && s->look.found_n == 0 && ms < EXPLAIN_LATE_MS; ms += LOOK_AGAIN_MS) {
        usleep(LOOK_AGAIN_MS * 1000);
        looked = look(s, &err);
    }
    if (!looked)
        return ctl_fail_err(s->ctl, &err, NULL);
    if (s->look.found_n == 0)
        return nothing(s);
    if (s->look.found_n > 1)
        return ambiguous(s);
    return show(s, &s->look.found[0], limit);
}

int ctl_explain(struct ctl *ctl, const struct ctl_args *a)
{
    struct search *s = calloc(1, sizeof *s);
    int64_t limit;
    if (!s)
        return ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    s->ctl = ctl;
    s->what = a->id[0];
    int rc = ctl_arg_number(ctl, a, "limit", 0, EXPLAIN_SHOWN_MAX, 10, &limit);
    enum reason reason = reason_by_code(s->what);
    if (rc == CTL_DONE && !*s->what)
        rc = ctl_fail(ctl, CTL_USAGE, "scepctl explain --help", "explain what?");
    else if (rc == CTL_DONE)
        rc = reason != REASON_NONE ? explain_a_code(s, reason, limit) : explain(s, limit);
    explain_found_clear(&s->shown);
    free(s);
    return rc;
}
