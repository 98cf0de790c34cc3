/* scepctl ca rollover: the next key of an authority. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "pkcs7/cert.h"
#include "scepctl/ctl.h"
#include "config/suggest.h"

static const char reload[] = "tell the daemon: systemctl reload scepd (SIGHUP)";

struct rollover {
    struct ctl *ctl;
    const struct ctl_args *args;
    size_t authority;
    const char *name;
    struct family *family; /* owned */
    struct family_files files;
    struct tend_rules rules;
    struct tend tend;
};

/* ---- around ---- */

static int begin(struct rollover *r, struct ctl *ctl, const struct ctl_args *args)
{
    *r = (struct rollover){.ctl = ctl, .args = args};
    int rc = ctl_need_store(ctl); /* root becomes its owner: later keys must be the daemon's */
    if (rc || (rc = ctl_one_authority(ctl, args->id_n > 1 ? args->id[1] : NULL, &r->authority)) ||
        (rc = ctl_look_at_authority(ctl, r->authority, &r->family)))
        return rc;
    r->name = ctl->config->authority[r->authority].name;
    config_tend_setup(ctl->config, r->authority, &r->files, &r->rules);
    r->tend =
        (struct tend){.files = &r->files, .rules = &r->rules, .actor = ctl->actor, .now = ctl->now};
    return CTL_DONE;
}

static int finish(struct rollover *r, int rc)
{
    family_free(r->family);
    return rc;
}

/* What was done stands, also when it cannot be recorded now: the daemon records it later. */
static void record(struct rollover *r)
{
    struct err err = {0};
    if (!config_tend_record(r->ctl->config, r->authority, r->ctl->store, NULL, &err))
        ctl_note(r->ctl, "not in the audit log yet: %s", err.text);
}

/* The earliest end of its RA certificates; 0: it has none. */
static int64_t ra_end(const struct authority *a)
{
    int64_t end = a->ra ? a->ra->not_after : 0;
    if (a->ra_signing && (!end || a->ra_signing->not_after < end))
        end = a->ra_signing->not_after;
    if (a->ra_encryption && (!end || a->ra_encryption->not_after < end))
        end = a->ra_encryption->not_after;
    return end;
}

#define NEXT 0 /* for the number of a generation: that of the one that was made */

/* The generation as it is now, read again; of one that is gone its number alone. */
static int show_generation(struct rollover *r, unsigned generation)
{
    struct ctl_show s;
    struct err ignored = {0};
    char subject[NAME_TEXT_MAX], print[3 * 64];
    const struct authority *a = NULL;
    family_free(r->family);
    r->family = NULL;
    int rc = ctl_look_at_authority(r->ctl, r->authority, &r->family);
    if (rc)
        return rc;
    if (generation == NEXT && r->family->next)
        generation = r->family->next->generation;
    for (size_t i = 0; i < r->family->n; i++)
        if (r->family->member[i]->generation == generation)
            a = r->family->member[i];
    ctl_show_start(&s, r->ctl);
    ctl_show_text(&s, "authority", r->name);
    ctl_show_number(&s, "generation", generation);
    ctl_show_text(&s, "role", a ? ctl_role_name(a, r->ctl->now) : "forgotten");
    if (a) {
        name_der_text(a->cert->subject, subject, sizeof subject);
        ctl_show_text(&s, "subject", subject);
        ctl_show_time(&s, "not_after", a->cert->not_after);
        if (a == r->family->next)
            ctl_show_time(&s, "takes_over", r->family->activates_at);
        ctl_show_time(&s, "ra_not_after", ra_end(a));
        if (cert_fingerprint(a->cert, DIGEST_SHA256, print, &ignored))
            ctl_show_text(&s, "sha256", print);
    }
    ctl_show_end(&s);
    return CTL_DONE;
}

/* `generation` is the one that was changed. */
static int done(struct rollover *r, unsigned generation, const char *what)
{
    record(r);
    int rc = show_generation(r, generation);
    if (rc)
        return rc;
    ctl_note(r->ctl, "%s", what);
    ctl_note(r->ctl, "%s", reload);
    return CTL_DONE;
}

static int need_next(struct rollover *r)
{
    if (r->family->next)
        return CTL_DONE;
    return ctl_fail(r->ctl, CTL_CONFLICT, "scepctl ca rollover new makes one",
                    "authority \"%s\" has no next CA", r->name);
}

/* ---- new ---- */

static int read_wish(struct rollover *r, struct tend_next *out)
{
    static const char *const kinds[] = {"rsa2048", "rsa3072", "rsa4096", "p256", "p384", NULL};
    struct ctl *ctl = r->ctl;
    const struct ctl_args *a = r->args;
    int kind = 0;
    int rc = ctl_arg_word(ctl, a, "key", kinds, &kind);
    if (rc || (rc = ctl_arg_duration(ctl, a, "validity", 0, &out->validity)) ||
        (rc = ctl_arg_moment(ctl, a, "at", 0, &out->activate_at)))
        return rc;
    if (ctl_arg(a, "at") && ctl_arg(a, "by-hand"))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--at names a day, --by-hand none: give one of them");
    if (ctl_arg(a, "by-hand"))
        out->activate_at = TEND_BY_HAND;
    if (out->activate_at == 0) { /* who makes one now wants it before its time */
        int64_t ruled = tend_activation(r->family, &r->rules, ctl->now);
        int64_t announced = ctl->now + r->rules.ca_announce;
        out->activate_at = announced < ruled ? announced : ruled;
    }
    if (ctl_arg(a, "at") && out->activate_at < ctl->now)
        return ctl_fail(ctl, CTL_USAGE, "2027-03-01", "--at lies in the past");
    out->key_kind = ctl_arg(a, "key") ? kinds[kind] : NULL;
    out->name = ctl_arg(a, "name");
    out->root_key = ctl_arg(a, "root-key");
    return CTL_DONE;
}

static void tell_plan(const struct rollover *r, const struct tend_next *wish)
{
    char when[64] = "when \"scepctl ca rollover activate\" says so";
    if (wish->activate_at != TEND_BY_HAND)
        ctl_time_text(r->ctl, wish->activate_at, when, sizeof when);
    ctl_note(r->ctl, "%s a next CA for authority \"%s\", a new key and name, announced at once%s",
             r->ctl->dry_run ? "would make" : "making", r->name,
             r->family->current->chain_n ? ", under the same CA above" : "");
    ctl_note(r->ctl, "takes over: %s", when);
}

static int renew_ras(struct rollover *r)
{
    struct err err = {0};
    const struct authority *a = r->family->current;
    if (!a->ra && !a->ra_signing)
        return ctl_fail(r->ctl, CTL_CONFLICT, NULL, "authority \"%s\" has no RA", r->name);
    for (int shape = RA_SINGLE; shape <= RA_PAIR; shape++) {
        const struct tend_step step = {.what = TEND_RENEW_RA,
                                       .generation = a->generation,
                                       .shape = (enum ra_shape)shape,
                                       .at = r->ctl->now};
        if (!(shape == RA_SINGLE ? a->ra : a->ra_signing))
            continue;
        ctl_note(r->ctl, "%s the RA%s of authority \"%s\"",
                 r->ctl->dry_run ? "would renew" : "renewing", shape == RA_PAIR ? " pair" : "",
                 r->name);
        if (!r->ctl->dry_run && !tend_do(&r->tend, &step, &err))
            return ctl_fail_err(r->ctl, &err, NULL);
    }
    return r->ctl->dry_run
               ? CTL_DONE
               : done(r, a->generation, "the old RA goes on opening messages until it ends");
}

static int rollover_new(struct rollover *r)
{
    struct tend_next wish = {0};
    struct err err = {0};
    int rc = read_wish(r, &wish);
    if (rc)
        return rc;
    if (ctl_arg(r->args, "ra"))
        return renew_ras(r);
    if (r->family->next)
        return ctl_fail(r->ctl, CTL_CONFLICT, "scepctl ca rollover abort forgets it",
                        "authority \"%s\" has a next CA already: generation %u", r->name,
                        r->family->next->generation);
    if (r->family->current->chain_n && !wish.root_key && !(r->rules.root_key && *r->rules.root_key))
        return ctl_fail(
            r->ctl, CTL_CONFLICT,
            "--root-key FILE when its key is here; else send a request: scepctl ca csr --next",
            "authority \"%s\" stands under another CA, whose key is needed", r->name);
    tell_plan(r, &wish);
    if (r->ctl->dry_run)
        return CTL_DONE;
    if (!tend_make_next(&r->tend, &wish, &err))
        return ctl_fail_err(r->ctl, &err, NULL);
    return done(r, NEXT, "scepctl ca rollover status shows it; abort takes it back");
}

/* ---- status ---- */

static const struct ctl_column status_columns[] = {
    {.header = "AUTHORITY", .key = "authority", .kind = CTL_TEXT},
    {.header = "GENERATION", .key = "generation", .kind = CTL_NUMBER},
    {.header = "ROLE", .key = "role", .kind = CTL_TEXT},
    {.header = "SUBJECT", .key = "subject", .kind = CTL_TEXT, .shrinks = true},
    {.header = "UNTIL", .key = "not_after", .kind = CTL_TIME},
    {.header = "TAKES OVER", .key = "takes_over", .kind = CTL_TIME},
    {.header = "RA UNTIL", .key = "ra_not_after", .kind = CTL_TIME},
    {.header = "OCSP UNTIL", .key = "ocsp_not_after", .kind = CTL_TIME},
    {.key = "sha256", .kind = CTL_ID},
    {.key = "next_step", .kind = CTL_TEXT},
    {.key = "next_step_at", .kind = CTL_TIME},
    {.key = "next_step_by_hand", .kind = CTL_NUMBER},
};
#define COLUMNS (sizeof status_columns / sizeof status_columns[0])

static void status_row(struct ctl *ctl, struct ctl_list *l, const char *name,
                       const struct family *f, const struct authority *a,
                       const struct tend_step *step)
{
    char subject[NAME_TEXT_MAX], print[3 * 64] = "";
    struct err ignored = {0};
    bool current = a == f->current && step->what != TEND_NOTHING;
    name_der_text(a->cert->subject, subject, sizeof subject);
    cert_fingerprint(a->cert, DIGEST_SHA256, print, &ignored);
    const struct ctl_cell cells[COLUMNS] = {
        {.text = name},
        {.number = a->generation},
        {.text = ctl_role_name(a, ctl->now)},
        {.text = subject},
        {.number = a->cert->not_after},
        {.number = a == f->next ? f->activates_at : 0},
        {.number = ra_end(a)},
        {.number = a->ocsp.cert ? a->ocsp.cert->not_after : 0},
        {.text = print},
        {.text = current ? ctl_step_name(step) : ""},
        {.number = current ? step->at : 0},
        {.number = current && step->by_hand},
    };
    ctl_list_row(l, cells);
}

static int status_of(struct ctl *ctl, size_t i, struct ctl_list *l, char note[200])
{
    struct family *f = NULL;
    struct tend_step step;
    char when[64];
    const char *name = ctl->config->authority[i].name;
    int rc = ctl_look_at_authority(ctl, i, &f);
    if (rc)
        return rc;
    ctl_next_step(ctl, i, f, &step);
    for (size_t k = 0; k < f->n; k++)
        status_row(ctl, l, name, f, f->member[k], &step);
    if (step.what == TEND_NOTHING) {
        snprintf(note, 200, "%s: nothing to do in sight", name);
    } else {
        ctl_time_text(ctl, step.at, when, sizeof when);
        snprintf(note, 200, "%s: next: %s, %s", name, ctl_step_name(&step), when);
    }
    family_free(f);
    return CTL_DONE;
}

static int rollover_status(struct ctl *ctl, const struct ctl_args *a)
{
    char note[CONFIG_MAX_AUTHORITIES][200] = {""};
    size_t one = 0, n = 0;
    int rc = ctl_need_config(ctl);
    if (rc || (a->id_n > 1 && (rc = ctl_find_authority(ctl, a->id[1], &one))))
        return rc;
    struct ctl_list *l = ctl_list_new(ctl, status_columns, COLUMNS);
    for (size_t i = 0; rc == CTL_DONE && i < ctl->config->authority_n; i++)
        if (a->id_n < 2 || i == one)
            rc = status_of(ctl, i, l, note[n++]);
    ctl_list_end(l);
    for (size_t i = 0; rc == CTL_DONE && i < n; i++)
        ctl_note(ctl, "%s", note[i]);
    return rc;
}

/* ---- activate ---- */

static int rollover_activate(struct rollover *r)
{
    char subject[NAME_TEXT_MAX];
    struct err err = {0};
    int rc = need_next(r);
    if (rc)
        return rc;
    name_der_text(r->family->next->cert->subject, subject, sizeof subject);
    ctl_note(r->ctl,
             "%s generation %u of authority \"%s\", %s: it issues from then on, also renewals",
             r->ctl->dry_run ? "would activate" : "activating", r->family->next->generation,
             r->name, subject);
    ctl_note(r->ctl, "devices that trust or pin only the present CA must know it before");
    if (r->ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_confirm_expected(r->ctl, r->name, "Activate?")))
        return rc;
    if (!tend_activate(&r->tend, &err))
        return ctl_fail_err(r->ctl, &err, NULL);
    return done(r, r->family->next->generation,
                "the former CA goes on publishing its revocation list until it ends");
}

/* ---- abort ---- */

struct issued_by {
    const struct authority *authority;
    uint64_t n;
};

static bool count_issued(void *ctx, const struct store_cert *c)
{
    struct issued_by *i = ctx;
    i->n += memcmp(c->authority, i->authority->key_id, sizeof c->authority) == 0;
    return true;
}

/* Certificates that exist need their revocation list. */
static int refuse_issued(struct rollover *r)
{
    struct issued_by i = {r->family->next, 0};
    const struct store_cert_filter all = {.state = -1};
    struct err err = {0};
    if (!store_cert_list(r->ctl->store, &all, count_issued, &i, &err))
        return ctl_fail_err(r->ctl, &err, NULL);
    if (i.n == 0)
        return CTL_DONE;
    return ctl_fail(r->ctl, CTL_CONFLICT, "scepctl ca rollover activate",
                    "the next CA has issued %llu certificate%s: it cannot be forgotten any more",
                    (unsigned long long)i.n, i.n == 1 ? "" : "s");
}

static int rollover_abort(struct rollover *r)
{
    struct err err = {0};
    int rc = need_next(r);
    if (rc || (rc = refuse_issued(r)))
        return rc;
    ctl_note(r->ctl, "%s generation %u of authority \"%s\", with its key",
             r->ctl->dry_run ? "would forget" : "forgetting", r->family->next->generation, r->name);
    if (r->ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_confirm(r->ctl, "Forget it?")))
        return rc;
    if (!tend_abort(&r->tend, &err))
        return ctl_fail_err(r->ctl, &err, NULL);
    return done(r, r->family->next->generation, "no next CA is announced any more");
}

/* ---- the whole ---- */

int ctl_ca_rollover(struct ctl *ctl, const struct ctl_args *args)
{
    static const struct {
        const char *word;
        int (*run)(struct rollover *r);
    } actions[] = {
        {"new", rollover_new}, {"activate", rollover_activate}, {"abort", rollover_abort}};
    const char *word = args->id_n ? args->id[0] : "status";
    struct suggest near = suggest_start(word);
    struct rollover r;
    char hint[128];
    if (strcmp(word, "status") == 0)
        return rollover_status(ctl, args);
    suggest_offer(&near, "status");
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        suggest_offer(&near, actions[i].word);
        if (strcmp(word, actions[i].word) != 0)
            continue;
        int rc = begin(&r, ctl, args);
        return finish(&r, rc ? rc : actions[i].run(&r));
    }
    return ctl_fail(ctl, CTL_USAGE, "scepctl ca rollover new | status | activate | abort",
                    "there is no \"ca rollover %s\"%s", word,
                    suggest_text(&near, hint, sizeof hint));
}
