/* scepctl cert ... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "enroll/enroll.h"
#include "enroll/explain.h"
#include "pkcs7/cert.h"
#include "scepctl/ctl_fleet.h"

/* In the order of enum cert_state; "expired" is for lists only. */
static const char *const state_words[] = {"active",     "revoked", "held",
                                          "superseded", "expired", NULL};
#define STATE_EXPIRED 4

static int state_of(const struct store_cert *c, int64_t now)
{
    return c->state == CERT_ACTIVE && c->not_after < now ? STATE_EXPIRED : (int)c->state;
}

/* ---- list ---- */

static const struct ctl_column list_columns[] = {
    {"SERIAL", "serial", CTL_ID, false},         {"SUBJECT", "subject", CTL_TEXT, true},
    {"TEMPLATE", "template", CTL_TEXT, false},   {"STATE", "state", CTL_TEXT, false},
    {"EXPIRES", "not_after", CTL_TIME, false},   {NULL, "san", CTL_TEXT, false},
    {NULL, "endpoint", CTL_TEXT, false},         {NULL, "not_before", CTL_TIME, false},
    {NULL, "issued_at", CTL_TIME, false},        {NULL, "revoked_at", CTL_TIME, false},
    {NULL, "transaction", CTL_TEXT, false},      {NULL, "challenge", CTL_TEXT, false},
    {"RENEWED BY", "renewed_by", CTL_ID, false}, {NULL, "revocation_reason", CTL_TEXT, false},
    {NULL, "device", CTL_TEXT, false},           {NULL, "policy", CTL_TEXT, false},
};

struct listing {
    struct ctl *ctl;
    struct ctl_list *list;
    int state; /* index of state_words, -1: all */
    bool valid_now;
    int64_t since, until; /* of issue; 0: any */
    const char *challenge;
    int64_t limit;
    uint64_t shown;
    bool more;
};

static bool passes(const struct listing *l, const struct store_cert *c)
{
    return (l->state < 0 || state_of(c, l->ctl->now) == l->state) &&
           !(l->valid_now && c->not_after < l->ctl->now) && c->issued_at >= l->since &&
           (!l->until || c->issued_at < l->until) &&
           (!l->challenge || strcmp(l->challenge, c->challenge) == 0);
}

/* The serial of another certificate, "" when there is none or it was forgotten. */
static void serial_of(struct ctl *ctl, uint64_t id, char out[2 * STORE_SERIAL_MAX + 1])
{
    struct store_cert other = {0};
    struct err err = {0};
    out[0] = '\0';
    if (!id || !store_cert_by_id(ctl->store, id, &other, &err))
        return;
    hex_encode(view_of(other.serial, other.serial_len), out);
    store_cert_clear(&other);
}

static bool list_one(void *ctx, const struct store_cert *c)
{
    struct listing *l = ctx;
    char serial[2 * STORE_SERIAL_MAX + 1], successor[2 * STORE_SERIAL_MAX + 1];
    int state = state_of(c, l->ctl->now);
    bool taken_back = c->state == CERT_REVOKED || c->state == CERT_HELD;
    if (!passes(l, c))
        return true;
    if (l->limit && l->shown == (uint64_t)l->limit) {
        l->more = true;
        return false;
    }
    l->shown++;
    hex_encode(view_of(c->serial, c->serial_len), serial);
    serial_of(l->ctl, c->renewed_by, successor);
    const struct ctl_cell cells[] = {
        {serial, 0},           {c->subject, 0},
        {c->template_name, 0}, {state_words[state], 0},
        {NULL, c->not_after},  {c->san, 0},
        {c->endpoint, 0},      {NULL, c->not_before},
        {NULL, c->issued_at},  {NULL, c->revoked_at},
        {c->transaction, 0},   {c->challenge, 0},
        {successor, 0},        {taken_back ? crl_reason_text(c->revocation_reason) : "", 0},
        {c->device, 0},        {c->policy, 0}};
    ctl_list_row(l->list, cells);
    return true;
}

static int read_filters(struct ctl *ctl, const struct ctl_args *a, struct listing *l,
                        int64_t *within, int *order)
{
    static const char *const orders[] = {"newest", "oldest", NULL};
    int64_t expiring;
    int rc;
    if ((rc = ctl_arg_word(ctl, a, "state", state_words, &l->state)) ||
        (rc = ctl_arg_word(ctl, a, "sort", orders, order)) ||
        (rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l->limit)) ||
        (rc = ctl_arg_moment(ctl, a, "since", 0, &l->since)) ||
        (rc = ctl_arg_moment(ctl, a, "until", 0, &l->until)) ||
        (rc = ctl_arg_duration(ctl, a, "expiring", -1, &expiring)) ||
        (rc = ctl_arg_duration(ctl, a, "expires-within", expiring, within)))
        return rc;
    if (expiring >= 0 && ctl_arg(a, "expires-within"))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--expiring is --expires-within: give one");
    l->valid_now = *within >= 0;
    l->challenge = ctl_arg(a, "challenge");
    return CTL_DONE;
}

int ctl_cert_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {.ctl = ctl, .state = -1};
    struct store_stats stats;
    struct ctl_fleet f;
    struct store_device device = {.id = ""};
    struct store_policy policy = {.id = ""};
    struct err err = {0};
    const char *of_device = ctl_arg(a, "device"), *of_policy = ctl_arg(a, "policy");
    int64_t within;
    int order = 0, rc;
    if ((rc = read_filters(ctl, a, &l, &within, &order)) ||
        (rc = ctl_fleet_begin(ctl, false, &f)) ||
        (of_device && (rc = ctl_find_device(ctl, &f, of_device, &device))) ||
        (of_policy && (rc = ctl_find_policy(ctl, &f, of_policy, &policy))))
        return rc;
    struct store_cert_filter filter = {
        .text = ctl_arg(a, "search"),
        .state = l.state == STATE_EXPIRED ? CERT_ACTIVE : l.state,
        .endpoint = ctl_arg(a, "endpoint"),
        .template_name = ctl_arg(a, "template"),
        .expires_before = within >= 0 ? ctl->now + within : 0,
        .oldest_first = order == 1,
        .device = of_device ? device.id : NULL,
        .policy = of_policy ? policy.id : NULL,
    };
    l.list = ctl_list_new(ctl, list_columns, sizeof list_columns / sizeof list_columns[0]);
    bool good = store_cert_list(ctl->store, &filter, list_one, &l, &err) &&
                store_stats(ctl->store, &stats, &err);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu shown%s, %llu stored", (unsigned long long)l.shown,
             l.more ? ", more match (--limit 0 shows all)" : "",
             (unsigned long long)stats.certificates);
    return CTL_DONE;
}

/* ---- finding one ---- */

/* "5C:1F:09", and "5c1f09a2.." as lists show it. */
static bool serial_digits(const char *text, char out[2 * STORE_SERIAL_MAX + 1])
{
    struct view v = view_str(text);
    if (v.n > 2 && memcmp(v.p + v.n - 2, "..", 2) == 0)
        v.n -= 2;
    return store_serial_whole(v, out);
}

static int find(struct ctl *ctl, const char *id, struct store_cert *out)
{
    char digits[2 * STORE_SERIAL_MAX + 1];
    struct err err = {0};
    if (!serial_digits(id, digits))
        return ctl_fail(ctl, CTL_USAGE,
                        "scepctl cert list -s TEXT finds serials, --device NAME those of a device",
                        "\"%s\" is no serial: 6 or more hexadecimal digits, or all of it", id);
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (store_cert_by_prefix(ctl->store, digits, out, &err))
        return CTL_DONE;
    if (err.kind == ERR_NOT_FOUND)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl cert list",
                        "there is no certificate with serial %s", digits);
    if (err.kind == ERR_CONFLICT)
        return ctl_fail(ctl, CTL_NOT_FOUND, "give more digits", "several serials begin with %s",
                        digits);
    return ctl_fail_err(ctl, &err, NULL);
}

/* ---- show ---- */

void ctl_eku_text(const struct eku *e, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < e->n && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", eku_name(e->oid[i]));
}

static void show_extensions(struct ctl_show *s, const struct cert *c)
{
    struct extensions ext = {0};
    struct err err = {0};
    char text[1024];
    if (!c->extensions.n || !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &ext, &err))
        return;
    if (ext.has_key_usage) {
        key_usage_text(ext.key_usage, text, sizeof text);
        ctl_show_text(s, "key_usage", text);
    }
    ctl_eku_text(&ext.eku, text, sizeof text);
    ctl_show_text(s, "ext_key_usage", text);
    if (ext.is_ca)
        ctl_show_text(s, "ca", "yes");
    extensions_clear(&ext);
}

static void show_san(struct ctl_show *s, const struct cert *c)
{
    struct extensions ext = {0};
    struct err err = {0};
    char text[STORE_SUBJECT_MAX];
    if (!c->extensions.n || !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &ext, &err))
        return;
    if (ext.has_san) {
        san_text(&ext.san, text, sizeof text);
        ctl_show_text(s, "san", text);
    }
    extensions_clear(&ext);
}

void ctl_show_cert(struct ctl_show *s, const struct cert *c)
{
    struct pubkey key;
    struct err err = {0};
    char text[NAME_TEXT_MAX];
    name_der_text(c->subject, text, sizeof text);
    ctl_show_text(s, "subject", text);
    show_san(s, c);
    if (pubkey_parse(c->spki, &key, &err)) {
        pubkey_text(&key, text);
        ctl_show_text(s, "key", text);
    }
    show_extensions(s, c);
    ctl_show_time(s, "not_before", c->not_before);
    ctl_show_time(s, "not_after", c->not_after);
    name_der_text(c->issuer, text, sizeof text);
    ctl_show_text(s, "issuer", text);
    if (cert_fingerprint(c, DIGEST_SHA256, text, &err))
        ctl_show_text(s, "sha256", text);
    if (cert_fingerprint(c, DIGEST_SHA1, text, &err))
        ctl_show_text(s, "sha1", text);
}

static void show_record(struct ctl *ctl, struct ctl_show *s, const struct store_cert *r)
{
    struct err ignored = {0};
    char by[64];
    ctl_show_text(s, "state", state_words[state_of(r, ctl->now)]);
    if (r->state == CERT_REVOKED || r->state == CERT_HELD) {
        ctl_show_time(s, "revoked_at", r->revoked_at);
        ctl_show_text(s, "revocation_reason", crl_reason_text(r->revocation_reason));
        if (explain_revoked_by(ctl->store, r, by, &ignored))
            ctl_show_text(s, "revoked_by", by);
    }
    ctl_show_text(s, "template", r->template_name);
    ctl_show_text(s, "endpoint", r->endpoint);
    ctl_show_text(s, "transaction", r->transaction);
    ctl_show_text(s, "challenge", r->challenge);
    ctl_show_text(s, "device", r->device);
    ctl_show_text(s, "policy", r->policy);
    ctl_show_time(s, "issued_at", r->issued_at);
}

static void show_link(struct ctl *ctl, struct ctl_show *s, const char *key, uint64_t id)
{
    char serial[2 * STORE_SERIAL_MAX + 1];
    serial_of(ctl, id, serial);
    ctl_show_text(s, key, serial);
}

static int show_stored(struct ctl *ctl, const char *id)
{
    struct store_cert r = {0};
    struct cert *c = NULL;
    struct err err = {0};
    struct ctl_show s;
    char serial[2 * STORE_SERIAL_MAX + 1];
    int rc = find(ctl, id, &r);
    if (rc)
        return rc;
    if (!cert_parse(buf_view(&r.der), &c, &err)) {
        store_cert_clear(&r);
        return ctl_fail_err(ctl, &err, NULL);
    }
    hex_encode(view_of(r.serial, r.serial_len), serial);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "serial", serial);
    show_record(ctl, &s, &r);
    ctl_show_cert(&s, c);
    show_link(ctl, &s, "renews", r.renews);
    show_link(ctl, &s, "renewed_by", r.renewed_by);
    ctl_show_end(&s);
    cert_free(c);
    store_cert_clear(&r);
    return CTL_DONE;
}

int ctl_cert_show(struct ctl *ctl, const struct ctl_args *a)
{
    const char *id = a->id[0];
    return ctl_is_file(id) ? ctl_show_file(ctl, id) : show_stored(ctl, id);
}

/* ---- export, revoke ---- */

int ctl_print_cert(struct ctl *ctl, struct view der, bool as_der)
{
    struct buf pem = {0};
    struct err err = {0};
    if (as_der && ctl_stdout_is_terminal())
        return ctl_fail(ctl, CTL_USAGE, "write it to a file: > device.crt",
                        "DER is not for a terminal");
    if (!as_der && !cert_pem(der, &pem, &err))
        return ctl_fail_err(ctl, &err, NULL);
    struct view out = as_der ? der : buf_view(&pem);
    fwrite(out.p, 1, out.n, stdout);
    buf_clear(&pem);
    return CTL_DONE;
}

int ctl_cert_export(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_cert r = {0};
    int rc = find(ctl, a->id[0], &r);
    if (rc == CTL_DONE)
        rc = ctl_print_cert(ctl, buf_view(&r.der), ctl_arg(a, "der") != NULL);
    store_cert_clear(&r);
    return rc;
}

static int wanted_reason(struct ctl *ctl, const struct ctl_args *a, enum crl_reason *out)
{
    const char *given = ctl_arg(a, "reason");
    int chosen = 0;
    for (int i = 0; given && crl_reasons_given[i]; i++)
        if (strcasecmp(given, crl_reason_standard(crl_reason_given(i))) == 0) {
            *out = crl_reason_given(i);
            return CTL_DONE;
        }
    int rc = ctl_arg_word(ctl, a, "reason", crl_reasons_given, &chosen);
    *out = crl_reason_given(chosen);
    return rc;
}

/* ---- revoke and release: one or many, by one plan ---- */

struct plan {
    struct store_cert *cert; /* owned: n of them, without DER */
    size_t n;
    enum crl_reason reason; /* CRL_REMOVE_FROM_CRL: release */
};

static void plan_clear(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        store_cert_clear(&p->cert[i]);
    free(p->cert);
}

static const char *verb_of(const struct plan *p)
{
    return p->reason == CRL_REMOVE_FROM_CRL ? "release" : p->reason == CRL_HOLD ? "hold" : "revoke";
}

static bool fits(const struct plan *p, const struct store_cert *c)
{
    if (p->reason == CRL_REMOVE_FROM_CRL)
        return c->state == CERT_HELD;
    return c->state != CERT_REVOKED && !(c->state == CERT_HELD && p->reason == CRL_HOLD);
}

static int plan_one(struct ctl *ctl, struct plan *p, const char *id)
{
    struct store_cert c = {0};
    char serial[2 * STORE_SERIAL_MAX + 1];
    int rc = find(ctl, id, &c);
    if (rc)
        return rc;
    hex_encode(view_of(c.serial, c.serial_len), serial);
    if (!fits(p, &c)) {
        rc = ctl_fail(ctl, CTL_CONFLICT, NULL,
                      p->reason == CRL_REMOVE_FROM_CRL ? "certificate %s is %s, not held"
                                                       : "certificate %s is %s already",
                      serial, state_words[state_of(&c, ctl->now)]);
        store_cert_clear(&c);
        return rc;
    }
    buf_clear(&c.der);
    p->cert[p->n++] = c;
    return CTL_DONE;
}

/* Everything is looked up before anything is changed: one that does not fit stops all. */
static int plan_make(struct ctl *ctl, const struct ctl_ids *ids, struct plan *p)
{
    int rc = CTL_DONE;
    if (!(p->cert = calloc(ids->n ? ids->n : 1, sizeof *p->cert)))
        return ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    for (size_t i = 0; i < ids->n && rc == CTL_DONE; i++)
        rc = plan_one(ctl, p, ids->id[i]);
    return rc;
}

/* Of a device, all that somebody could still show: renewed ones and those held as well. */
struct plan_of_device {
    struct plan *plan;
    int64_t now;
    size_t cap;
    bool memory;
};

static bool plan_offer(void *ctx, const struct store_cert *c)
{
    struct plan_of_device *o = ctx;
    struct plan *p = o->plan;
    if (!fits(p, c) || c->not_after < o->now)
        return true;
    if (p->n == o->cap) {
        size_t cap = 2 * o->cap + 8;
        struct store_cert *bigger = realloc(p->cert, cap * sizeof *bigger);
        if (!bigger)
            return o->memory = false;
        p->cert = bigger;
        o->cap = cap;
    }
    p->cert[p->n] = *c;
    p->cert[p->n++].der = (struct buf){0};
    return true;
}

static int plan_device(struct ctl *ctl, const char *name, struct plan *p)
{
    struct plan_of_device o = {.plan = p, .now = ctl->now, .memory = true};
    struct store_device d;
    struct ctl_fleet f;
    struct err err = {0};
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_device(ctl, &f, name, &d)))
        return rc;
    struct store_cert_filter filter = {.state = -1, .device = d.id};
    if (!store_cert_list(ctl->store, &filter, plan_offer, &o, &err))
        return ctl_fail_err(ctl, &err, NULL);
    return o.memory ? CTL_DONE : ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
}

#define PLAN_SHOWN 10 /* of many, so many are named before the question */

static void plan_tell(struct ctl *ctl, const struct plan *p)
{
    char serial[2 * STORE_SERIAL_MAX + 1];
    bool release = p->reason == CRL_REMOVE_FROM_CRL;
    for (size_t i = 0; i < p->n && i < PLAN_SHOWN; i++) {
        hex_encode(view_of(p->cert[i].serial, p->cert[i].serial_len), serial);
        ctl_note(ctl, "%s %s %s, %s", ctl->dry_run ? "would" : "to", verb_of(p), serial,
                 p->cert[i].subject);
    }
    if (p->n > PLAN_SHOWN)
        ctl_note(ctl, "and %zu others", p->n - PLAN_SHOWN);
    ctl_note(ctl,
             "%zu certificate%s%s%s.  Where scepd runs, OCSP says so at once and the CRL within "
             "seconds.%s",
             p->n, p->n == 1 ? "" : "s", release ? "" : ", reason ",
             release ? "" : crl_reason_text(p->reason),
             release || p->reason == CRL_HOLD ? "" : "  Cannot be undone.");
}

static int plan_confirm(struct ctl *ctl, const struct plan *p)
{
    char number[32], question[64];
    if (p->n == 1)
        return p->reason == CRL_REMOVE_FROM_CRL ? CTL_DONE : ctl_confirm(ctl, "Revoke?");
    snprintf(number, sizeof number, "%zu", p->n);
    snprintf(question, sizeof question, "Really %s %zu?", verb_of(p), p->n);
    return ctl_confirm_expected(ctl, number, question);
}

/* Somebody else was quicker: is it as it was to be all the same?  `stays`: a reason that is not the
 * one that was wanted, and that relying parties are told; NULL. */
static bool is_there(struct ctl *ctl, const struct plan *p, uint64_t id, const char **stays)
{
    struct store_cert now = {0};
    struct err ignored = {0};
    bool there =
        store_cert_by_id(ctl->store, id, &now, &ignored) &&
        (p->reason == CRL_REMOVE_FROM_CRL ? now.state != CERT_REVOKED && now.state != CERT_HELD
         : p->reason == CRL_HOLD          ? now.state == CERT_HELD
                                          : now.state == CERT_REVOKED);
    bool other = there && p->reason != CRL_REMOVE_FROM_CRL && now.revocation_reason != p->reason;
    *stays = other ? crl_reason_text(now.revocation_reason) : NULL;
    store_cert_clear(&now);
    return there;
}

/* What was done of a plan, by this command and by others meanwhile. */
struct outcome {
    size_t done, there, not_done;
};

static int plan_do_one(struct ctl *ctl, const struct plan *p, const struct store_cert *c,
                       const char *word, struct outcome *o)
{
    char serial[2 * STORE_SERIAL_MAX + 1];
    struct err err = {0};
    hex_encode(view_of(c->serial, c->serial_len), serial);
    if (enroll_cert_revoke(ctl->store, c->id, p->reason, ctl->actor, ctl->now, &err)) {
        o->done++;
        if (p->n <= PLAN_SHOWN)
            ctl_note(ctl, "%s %s", word, serial);
        return CTL_DONE;
    }
    if (err.kind != ERR_CONFLICT && err.kind != ERR_NOT_FOUND) {
        ctl_note(ctl, "%zu of %zu are %s; not %s", o->done, p->n, word, serial);
        return ctl_fail_err(ctl, &err, NULL);
    }
    const char *stays;
    bool there = is_there(ctl, p, c->id, &stays);
    *(there && !stays ? &o->there : &o->not_done) += 1;
    if (there)
        ctl_note(ctl, "%s was %s meanwhile%s%s", serial, word,
                 stays ? ", and its reason stays " : "", stays ? stays : "");
    else
        ctl_note(ctl, "%s is not %s: %s", serial, word, err.text);
    return CTL_DONE;
}

/* One that somebody else changed meanwhile keeps no other from being done. */
static int plan_do(struct ctl *ctl, const struct plan *p)
{
    static const char *const words[] = {"revoked", "held", "released"};
    const char *word = words[p->reason == CRL_REMOVE_FROM_CRL ? 2 : p->reason == CRL_HOLD];
    struct outcome o = {0};
    int rc = CTL_DONE;
    ctl_interrupts_watch();
    for (size_t i = 0; i < p->n && rc == CTL_DONE; i++) {
        if (ctl_interrupted()) {
            ctl_note(ctl, "interrupted: %zu of %zu are %s", o.done + o.there, p->n, word);
            return CTL_INTERRUPTED;
        }
        rc = plan_do_one(ctl, p, &p->cert[i], word, &o);
    }
    if (rc)
        return rc;
    if (p->n > PLAN_SHOWN)
        ctl_note(ctl, "%s %zu", word, o.done);
    if (o.not_done)
        return ctl_fail(ctl, CTL_CONFLICT, NULL, "%zu of %zu could not be %s", o.not_done, p->n,
                        word);
    return CTL_DONE;
}

static int change_many(struct ctl *ctl, const struct ctl_args *a, enum crl_reason reason)
{
    struct ctl_ids ids = {0};
    struct plan p = {.reason = reason};
    bool release = reason == CRL_REMOVE_FROM_CRL;
    const char *device = release ? NULL : ctl_arg(a, "device");
    int rc = ctl_ids_gather(ctl, a, &ids);
    if (rc == CTL_DONE && device && (ids.n || ctl_arg(a, "from")))
        rc = ctl_fail(ctl, CTL_USAGE, NULL, "--device is all that it has: no SERIAL, no --from");
    else if (rc == CTL_DONE && !device && !ids.n && !ctl_arg(a, "from"))
        rc = ctl_fail(ctl, CTL_USAGE, NULL, "cert %s needs SERIAL%s or --from FILE", verb_of(&p),
                      release ? "" : ", --device NAME");
    if (rc == CTL_DONE)
        rc = device ? plan_device(ctl, device, &p) : plan_make(ctl, &ids, &p);
    if (rc == CTL_DONE && p.n == 0)
        ctl_note(ctl, "nothing to %s", verb_of(&p));
    if (rc == CTL_DONE && p.n) {
        plan_tell(ctl, &p);
        if (!ctl->dry_run && (rc = plan_confirm(ctl, &p)) == CTL_DONE)
            rc = plan_do(ctl, &p);
    }
    if (rc == CTL_DONE && device && !ctl->dry_run && reason != CRL_HOLD)
        ctl_note(ctl,
                 "the device stays, and may enrol again with a new challenge; \"scepctl device "
                 "retire\" is for one that shall not");
    plan_clear(&p);
    ctl_ids_clear(&ids);
    return rc;
}

int ctl_cert_revoke(struct ctl *ctl, const struct ctl_args *a)
{
    enum crl_reason reason;
    int rc = wanted_reason(ctl, a, &reason);
    return rc ? rc : change_many(ctl, a, reason);
}

int ctl_cert_release(struct ctl *ctl, const struct ctl_args *a)
{
    return change_many(ctl, a, CRL_REMOVE_FROM_CRL);
}
