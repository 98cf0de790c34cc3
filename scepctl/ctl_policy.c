/* scepctl policy ... */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "scepctl/ctl_fleet.h"

/* In the order of enum policy_challenge. */
static const char *const challenge_words[] = {"one-time", "static", "upstream", "none", NULL};
static const char *const usage_words[] = {"", "signing", "encryption", "signing,encryption", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};

/* ---- list ---- */

static const struct ctl_column list_columns[] = {
    {"ID", "id", CTL_TEXT, false},
    {"NAME", "name", CTL_TEXT, true},
    {"STATE", "state", CTL_TEXT, false},
    {"ENDPOINT", "endpoint", CTL_TEXT, false},
    {"SUBJECT", "subject", CTL_TEXT, true},
    {"SAN", "san", CTL_TEXT, true},
    {"CHALLENGE", "challenge", CTL_TEXT, false},
    {"KEY", "key", CTL_TEXT, false},
    {NULL, "created_at", CTL_TIME, false},
    {NULL, "created_by", CTL_TEXT, false},
    {NULL, "changed_at", CTL_TIME, false},
    {NULL, "changed_by", CTL_TEXT, false},
    {NULL, "version", CTL_NUMBER, false},
};

static void key_text(const struct store_policy *p, char out[24])
{
    if (strcmp(p->key_type, "ec") == 0)
        snprintf(out, 24, "p%u", p->key_size);
    else
        snprintf(out, 24, "rsa%u", p->key_size);
}

static void list_one(void *ctx, const struct store_policy *p)
{
    char key[24];
    key_text(p, key);
    const struct ctl_cell cells[] = {{p->id, 0},
                                     {p->name, 0},
                                     {p->paused ? "paused" : "active", 0},
                                     {p->endpoint, 0},
                                     {p->subject, 0},
                                     {p->san, 0},
                                     {challenge_words[p->challenge], 0},
                                     {key, 0},
                                     {NULL, p->created_at},
                                     {p->created_by, 0},
                                     {NULL, p->changed_at},
                                     {p->changed_by, 0},
                                     {NULL, (int64_t)p->version}};
    ctl_listing_row(ctx, cells);
}

static bool list_page(struct ctl_listing *l, struct store_page *page, struct err *err)
{
    return store_policy_page(l->ctl->store, ctl_arg(l->args, "search"), page, list_one, l, err);
}

int ctl_policy_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_listing l = {.ctl = ctl, .args = a};
    int rc;
    if ((rc = ctl_listing_limit(&l)) || (rc = ctl_need_store(ctl)))
        return rc;
    return ctl_listing_show(&l, list_columns, sizeof list_columns / sizeof list_columns[0],
                            list_page, "policy", "policies");
}

/* ---- show ---- */

struct targets {
    struct ctl *ctl;
    struct ctl_words names;
    size_t count;
};

static void one_target(void *ctx, const struct store_tie *t)
{
    struct targets *all = ctx;
    struct store_device d;
    struct store_group g;
    struct err ignored = {0};
    const char *name = t->held;
    if (all->count++ >= 20)
        return;
    if (strncmp(t->held, "grp_", 4) == 0 && store_group_get(all->ctl->store, t->held, &g, &ignored))
        name = g.name;
    else if (store_device_get(all->ctl->store, t->held, &d, &ignored))
        name = d.name;
    ctl_words_add(&all->names, name, "");
}

static void show_policy(struct ctl_show *s, const struct store_policy *p)
{
    char key[24];
    key_text(p, key);
    ctl_show_text(s, "id", p->id);
    ctl_show_text(s, "name", p->name);
    ctl_show_text(s, "state", p->paused ? "paused" : "active");
    ctl_show_text(s, "endpoint", p->endpoint);
    ctl_show_text(s, "subject", p->subject);
    ctl_show_text(s, "san", p->san);
    ctl_show_text(s, "challenge", challenge_words[p->challenge]);
    ctl_show_number(s, "challenge_ttl_seconds", p->challenge_ttl);
    ctl_show_text(s, "key", key);
    ctl_show_text(s, "key_usage", usage_words[p->key_usage & 3]);
    ctl_show_text(s, "eku", p->eku);
    ctl_show_number(s, "retries", p->retries);
    ctl_show_number(s, "retry_delay_seconds", p->retry_delay);
    ctl_show_text(s, "revoke_on_removal", yes_no[p->revoke_on_removal]);
    ctl_show_time(s, "created_at", p->created_at);
    ctl_show_text(s, "created_by", p->created_by);
    ctl_show_time(s, "changed_at", p->changed_at);
    ctl_show_text(s, "changed_by", p->changed_by);
    ctl_show_number(s, "version", (int64_t)p->version);
}

int ctl_policy_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct targets all = {.ctl = ctl};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    struct ctl_fleet f;
    struct store_policy p;
    struct ctl_show s;
    struct err err = {0};
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_policy(ctl, &f, a->id[0], &p)))
        return rc;
    if (!store_policy_targets(ctl->store, p.id, &page, one_target, &all, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_show_start(&s, ctl);
    show_policy(&s, &p);
    ctl_show_text(&s, "assigned_to", all.names.text);
    ctl_show_end(&s);
    if (all.count > 20)
        ctl_note(ctl, "assigned to %zu%s; scepctl device list --policy %s", all.count,
                 *page.next ? " and more" : "", p.name);
    return CTL_DONE;
}

/* ---- new, edit ---- */

static int read_key(struct ctl *ctl, const struct ctl_args *a, struct store_policy *p)
{
    static const char *const kinds[] = {"rsa1024", "rsa2048", "rsa3072", "rsa4096",
                                        "p256",    "p384",    NULL};
    static const uint32_t sizes[] = {1024, 2048, 3072, 4096, 256, 384};
    int kind = -1, rc = ctl_arg_word(ctl, a, "key", kinds, &kind);
    if (rc || kind < 0)
        return rc;
    snprintf(p->key_type, sizeof p->key_type, "%s", kinds[kind][0] == 'r' ? "rsa" : "ec");
    p->key_size = sizes[kind];
    return CTL_DONE;
}

static int read_words(struct ctl *ctl, const struct ctl_args *a, struct store_policy *p)
{
    static const char *const usages[] = {"signing", "encryption", "both", NULL};
    int challenge = (int)p->challenge, usage = -1, revoke = p->revoke_on_removal, rc;
    if ((rc = ctl_arg_word(ctl, a, "challenge", challenge_words, &challenge)) ||
        (rc = ctl_arg_word(ctl, a, "key-usage", usages, &usage)) ||
        (rc = ctl_arg_word(ctl, a, "revoke-on-removal", yes_no, &revoke)))
        return rc;
    p->challenge = (enum policy_challenge)challenge;
    if (usage >= 0)
        p->key_usage = (unsigned)usage + 1; /* bits: signing, encryption */
    p->revoke_on_removal = revoke;
    return CTL_DONE;
}

static int read_members(struct ctl *ctl, const struct ctl_args *a, struct store_policy *p)
{
    int64_t retries, delay, ttl;
    int rc;
    if ((rc = ctl_arg_text(ctl, a, "subject", p->subject, sizeof p->subject)) ||
        (rc = ctl_arg_text(ctl, a, "san", p->san, sizeof p->san)) ||
        (rc = ctl_arg_text(ctl, a, "endpoint", p->endpoint, sizeof p->endpoint)) ||
        (rc = ctl_arg_text(ctl, a, "eku", p->eku, sizeof p->eku)) || (rc = read_key(ctl, a, p)) ||
        (rc = read_words(ctl, a, p)) ||
        (rc = ctl_arg_number(ctl, a, "retries", 0, 30, p->retries, &retries)) ||
        (rc = ctl_arg_duration(ctl, a, "retry-delay", p->retry_delay, &delay)) ||
        (rc = ctl_arg_duration(ctl, a, "expires", p->challenge_ttl, &ttl)))
        return rc;
    if (delay > 86400)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--retry-delay is a day at most");
    p->retries = (uint32_t)retries;
    p->retry_delay = (uint32_t)delay;
    p->challenge_ttl = ttl;
    return CTL_DONE;
}

int ctl_policy_new(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_policy p = {
        .challenge = POLICY_ONE_TIME, .retries = 3, .retry_delay = 10, .revoke_on_removal = true};
    struct fleet_warnings w = {0};
    struct ctl_fleet f;
    struct ctl_show s;
    struct err err = {0};
    int rc;
    if ((rc = ctl_name_text(ctl, a->id[0], p.name, sizeof p.name)) ||
        (rc = read_members(ctl, a, &p)) || (rc = ctl_fleet_begin(ctl, false, &f)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make policy %s", p.name);
        return CTL_DONE;
    }
    if (!fleet_policy_new(&f.fleet, &p, &w, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (ctl_show_made(&s, ctl, p.id)) {
        show_policy(&s, &p);
        ctl_show_end(&s);
    }
    ctl_warn(ctl, &w);
    ctl_note(ctl, "policy %s  next: scepctl policy assign %s DEVICE|GROUP", p.name, p.id);
    ctl_note(ctl,
             "  or, for a device of which nothing but a name is known: scepctl profile new apple "
             "--device NAME --new-device --policy %s",
             ctl_plain_name(p.id, p.name));
    return CTL_DONE;
}

static int edit(struct ctl *ctl, const struct ctl_args *a,
                int (*change)(struct ctl *, const struct ctl_args *, struct store_policy *))
{
    struct fleet_effects e = {.dry_run = ctl->dry_run};
    struct fleet_warnings w = {0};
    struct ctl_fleet f;
    struct store_policy p;
    struct err err = {0};
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_policy(ctl, &f, a->id[0], &p)) ||
        (rc = change(ctl, a, &p)))
        return rc;
    if (!fleet_policy_edit(&f.fleet, p.version, &p, &e, &w, &err)) {
        ctl_void_note(ctl, &e); /* somebody else was quicker, after some went */
        return ctl_fail_err(ctl, &err, NULL);
    }
    ctl_warn(ctl, &w);
    if (ctl->dry_run)
        ctl_note(ctl, "would change policy %s", p.name);
    else
        ctl_note(ctl, "policy %s (%s)%s, version %llu", p.name, p.id, p.paused ? ", paused" : "",
                 (unsigned long long)p.version);
    ctl_void_note(ctl, &e);
    return CTL_DONE;
}

static int change_members(struct ctl *ctl, const struct ctl_args *a, struct store_policy *p)
{
    int rc = ctl_arg_text(ctl, a, "name", p->name, sizeof p->name);
    return rc ? rc : read_members(ctl, a, p);
}

static int change_paused(struct ctl *ctl, const struct ctl_args *a, struct store_policy *p)
{
    p->paused = true;
    return CTL_DONE;
}

static int change_resumed(struct ctl *ctl, const struct ctl_args *a, struct store_policy *p)
{
    p->paused = false;
    return CTL_DONE;
}

int ctl_policy_edit(struct ctl *ctl, const struct ctl_args *a)
{
    return edit(ctl, a, change_members);
}

int ctl_policy_pause(struct ctl *ctl, const struct ctl_args *a)
{
    return edit(ctl, a, change_paused);
}

int ctl_policy_resume(struct ctl *ctl, const struct ctl_args *a)
{
    return edit(ctl, a, change_resumed);
}

/* ---- assign ---- */

int ctl_policy_assign(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_policy p;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_policy(ctl, &f, a->id[0], &p)))
        return rc;
    for (size_t i = 1; i < a->id_n; i++) {
        struct fleet_effects e = {.dry_run = ctl->dry_run};
        struct fleet_warnings w = {0};
        struct err err = {0};
        bool changed = false;
        if (!fleet_policy_assign(&f.fleet, p.id, 0, a->id[i], ctl_arg(a, "force") != NULL, &w, &e,
                                 &changed, &err))
            return ctl_fail_err(ctl, &err, NULL);
        ctl_warn(ctl, &w);
        ctl_note(ctl,
                 !changed       ? "%s is assigned to %s already"
                 : ctl->dry_run ? "would assign %s to %s"
                                : "assigned %s to %s",
                 p.name, a->id[i]);
        ctl_void_note(ctl, &e);
    }
    return CTL_DONE;
}

/* ---- unassign, remove ---- */

/* One plan, by the same function that does it; `target` NULL: the policy goes. */
static bool take(const struct ctl_fleet *f, const struct store_policy *p, const char *target,
                 struct fleet_effects *e, struct err *err)
{
    return target ? fleet_policy_unassign(&f->fleet, p->id, 0, target, e, err)
                  : fleet_policy_remove(&f->fleet, p->id, 0, e, err);
}

/* Is it there, and has the policy no more? */
static bool had_no_more(const struct ctl_fleet *f, const char *target, const struct err *err)
{
    struct store_device d;
    struct store_group g;
    struct err ignored = {0};
    return err->kind == ERR_NOT_FOUND && (fleet_device_get(&f->fleet, target, &d, &ignored) ||
                                          fleet_group_get(&f->fleet, target, &g, &ignored));
}

/* *passed over, if that is given: one that has the policy no more, where the same command goes on.
 */
static int take_away(struct ctl *ctl, const struct ctl_fleet *f, const struct store_policy *p,
                     const char *target, bool *passed)
{
    struct ctl_taking t;
    struct fleet_effects plan = {.dry_run = true}, done;
    struct fleet_warnings stay = {.n = 0};
    struct err err = {0};
    char what[320];
    int rc;
    if (!take(f, p, target, &plan, &err)) {
        if (!passed || !had_no_more(f, target, &err))
            return ctl_fail_err(ctl, &err, NULL);
        ctl_note(ctl, "%s", err.text);
        *passed = true;
        return CTL_DONE;
    }
    snprintf(what, sizeof what, "%s %s%s%s", target ? "unassign" : "remove", p->name,
             target ? " from " : "", target ? target : "");
    ctl_plan_note(ctl, &plan, what, "would lose the policy");
    const struct fleet_leaving goes = {.target = target, .policy = p->id};
    fleet_outside(&f->fleet, &goes, &stay);
    ctl_warn(ctl, &stay);
    if (ctl->dry_run)
        return ctl->expect ? ctl_effects_confirm(ctl, &plan, "") : CTL_DONE;
    if ((rc = ctl_effects_confirm(ctl, &plan, target ? "Unassign?" : "Remove?")))
        return rc;
    done = ctl_taking_begin(&t, ctl, plan.certificates + plan.requests + plan.challenges);
    bool good = take(f, p, target, &done, &err);
    snprintf(what, sizeof what, "%s %s", target ? "unassigned" : "removed", p->name);
    return ctl_taking_end(&t, good ? NULL : &err, &done, what, "lost the policy");
}

int ctl_policy_unassign(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_policy p;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_policy(ctl, &f, a->id[0], &p)))
        return rc;
    /* the last one is told as an error when there was nothing to do for any */
    bool some = false;
    for (size_t i = 1; i < a->id_n && rc == CTL_DONE; i++) {
        bool passed = false, last = i + 1 == a->id_n;
        rc = take_away(ctl, &f, &p, a->id[i], last && !some ? NULL : &passed);
        some |= !passed;
    }
    return rc;
}

int ctl_policy_remove(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_policy p;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_policy(ctl, &f, a->id[0], &p)))
        return rc;
    return take_away(ctl, &f, &p, NULL, NULL);
}

/* ---- check ---- */

static const struct ctl_column check_columns[] = {
    {"WHAT", "what", CTL_TEXT, false},
    {"RESULT", "result", CTL_TEXT, false},
    {"DETAIL", "detail", CTL_TEXT, true},
};

/* PEM or DER. */
static int read_request(struct ctl *ctl, const char *path, struct buf *der)
{
    struct buf input = {0};
    int rc = ctl_read_input(ctl, path, &input);
    BIO *in = rc == CTL_DONE ? BIO_new_mem_buf(input.p, (int)input.n) : NULL;
    char *name = NULL, *header = NULL;
    unsigned char *content = NULL;
    long n = 0;
    if (in && PEM_read_bio(in, &name, &header, &content, &n) == 1) {
        if (!buf_append(der, content, (size_t)n))
            rc = ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    } else if (rc == CTL_DONE) {
        ERR_clear_error();
        *der = input;
        input = (struct buf){0};
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(content);
    BIO_free(in);
    buf_clear(&input);
    return rc;
}

static int check_device(struct ctl *ctl, const struct ctl_fleet *f, const struct store_policy *p,
                        const char *which, struct view csr)
{
    struct fleet_check *c = calloc(1, sizeof *c);
    struct store_device d;
    struct err err = {0};
    int rc =
        c ? ctl_find_device(ctl, f, which, &d) : ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    if (rc == CTL_DONE && !fleet_policy_check(&f->fleet, p->id, d.id, csr, c, &err))
        rc = ctl_fail_err(ctl, &err, NULL);
    if (rc == CTL_DONE) {
        struct ctl_list *l =
            ctl_list_new(ctl, check_columns, sizeof check_columns / sizeof check_columns[0]);
        for (size_t i = 0; i < c->n; i++) {
            const struct ctl_cell cells[] = {{c->finding[i].what, 0},
                                             {c->finding[i].ok ? "ok" : "FAIL", 0},
                                             {c->finding[i].text, 0}};
            ctl_list_row(l, cells);
        }
        ctl_list_end(l);
        rc = c->ok ? CTL_DONE : CTL_PROBLEMS;
    }
    free(c);
    return rc;
}

static bool survey_row(void *ctx, const struct store_device *d, const char *problem)
{
    const struct ctl_cell cells[] = {{d->name, 0}, {"FAIL", 0}, {problem, 0}};
    ctl_list_row(ctx, cells);
    return true;
}

static int check_all(struct ctl *ctl, const struct ctl_fleet *f, const struct store_policy *p)
{
    struct err err = {0};
    uint64_t devices = 0, problems = 0;
    struct ctl_list *l =
        ctl_list_new(ctl, check_columns, sizeof check_columns / sizeof check_columns[0]);
    bool good = fleet_policy_survey(&f->fleet, p->id, survey_row, l, &devices, &problems, &err);
    ctl_list_end(l);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu device%s, %llu problem%s", (unsigned long long)devices,
             devices == 1 ? "" : "s", (unsigned long long)problems, problems == 1 ? "" : "s");
    return problems ? CTL_PROBLEMS : CTL_DONE;
}

int ctl_policy_check(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_policy p;
    struct buf der = {0};
    const char *csr = ctl_arg(a, "csr");
    int rc = CTL_DONE;
    if (csr && a->id_n < 2)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--csr needs the DEVICE whose request it is");
    /* read before root becomes the store's owner */
    if ((csr && (rc = read_request(ctl, csr, &der))) || (rc = ctl_fleet_begin(ctl, false, &f)) ||
        (rc = ctl_find_policy(ctl, &f, a->id[0], &p))) {
        buf_clear(&der);
        return rc;
    }
    rc = a->id_n > 1 ? check_device(ctl, &f, &p, a->id[1], buf_view(&der)) : check_all(ctl, &f, &p);
    buf_clear(&der);
    return rc;
}

int ctl_policy_history(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_policy p;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_policy(ctl, &f, a->id[0], &p)))
        return rc;
    return ctl_history(ctl, a, &f, p.id);
}
