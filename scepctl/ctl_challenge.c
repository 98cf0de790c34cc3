/* scepctl challenge ... */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "scepctl/ctl_fleet.h"
#include "config/suggest.h"

#define CHALLENGES_AT_ONCE 10000 /* one transaction, and all on the terminal of one person */

static const char *const state_words[] = {"active", "used", "expired", "revoked", NULL};
enum { STATE_ACTIVE, STATE_USED, STATE_EXPIRED, STATE_REVOKED };

static int state_of(const struct store_challenge *c, int64_t now)
{
    if (c->revoked_at)
        return STATE_REVOKED;
    if (c->uses && c->used >= c->uses)
        return STATE_USED;
    if (c->expires_at && c->expires_at <= now)
        return STATE_EXPIRED;
    return STATE_ACTIVE;
}

static void uses_text(const struct store_challenge *c, char *out, size_t cap)
{
    if (c->uses)
        snprintf(out, cap, "%u of %u", c->used, c->uses);
    else
        snprintf(out, cap, "%u of any", c->used);
}

static void bound_text(const struct store_challenge *c, char *out, size_t cap)
{
    const struct {
        const char *name, *value;
    } part[] = {{"", c->subject},
                {"", c->san},
                {"template ", c->template_name},
                {"endpoint ", c->endpoint}};
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof part / sizeof part[0] && n < cap; i++)
        if (part[i].value[0])
            n += (size_t)snprintf(out + n, cap - n, "%s%s%s", n ? ", " : "", part[i].name,
                                  part[i].value);
}

/* ---- new ---- */

/* Bindings must name what exists, or nobody could ever use the challenge. */
static int check_endpoint(struct ctl *ctl, const char *path, const char **out)
{
    char hint[160];
    struct suggest near = suggest_start(path);
    const struct config_endpoint *e = config_endpoint_by_path(ctl->config, path);
    if (e) {
        *out = e->path;
        return CTL_DONE;
    }
    for (size_t i = 0; i < ctl->config->endpoint_n; i++)
        suggest_offer(&near, ctl->config->endpoint[i].path);
    return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "there is no endpoint \"%s\"%s", path,
                    suggest_text(&near, hint, sizeof hint));
}

static int check_template(struct ctl *ctl, const char *name)
{
    char hint[160];
    struct suggest near = suggest_start(name);
    for (size_t i = 0; i < ctl->config->template_n; i++) {
        if (strcmp(ctl->config->template[i].name, name) == 0)
            return CTL_DONE;
        suggest_offer(&near, ctl->config->template[i].name);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "there is no template \"%s\"%s", name,
                    suggest_text(&near, hint, sizeof hint));
}

static int read_wish(struct ctl *ctl, const struct ctl_args *a, struct challenge_wish *w,
                     int64_t *count)
{
    static const char *const forms[] = {"groups", "hex16", NULL};
    const char *expires = ctl_arg(a, "expires"), *endpoint = ctl_arg(a, "endpoint"),
               *template = ctl_arg(a, "template");
    int form = 0, rc;
    int64_t uses;
    if ((rc = ctl_arg_number(ctl, a, "count", 1, CHALLENGES_AT_ONCE, 1, count)) ||
        (rc = ctl_arg_number(ctl, a, "uses", 0, 1000000, 1, &uses)) ||
        (rc = ctl_arg_word(ctl, a, "format", forms, &form)))
        return rc;
    if (expires && strcmp(expires, "never") == 0)
        w->ttl = 0;
    else if ((rc = ctl_arg_duration(ctl, a, "expires", 3600, &w->ttl)))
        return rc;
    else if (w->ttl == 0)
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "--expires must be longer than nothing, or \"never\"");
    if (endpoint && (rc = check_endpoint(ctl, endpoint, &w->endpoint)))
        return rc;
    if (template && (rc = check_template(ctl, template)))
        return rc;
    w->uses = (uint32_t)uses;
    w->template_name = template;
    w->subject = ctl_arg(a, "subject");
    w->san = ctl_arg(a, "san");
    w->label = ctl_arg(a, "label");
    w->created_by = ctl->actor;
    w->hex = form == 1 ? CHALLENGE_HEX_MIN : 0;
    w->now = ctl->now;
    return CTL_DONE;
}

/* All in one transaction: nobody is left with half of a list. */
static bool make_all(struct ctl *ctl, const struct challenge_key *key,
                     const struct challenge_wish *w, size_t count,
                     char (*secret)[CHALLENGE_TEXT_MAX], struct store_challenge *made,
                     struct err *err)
{
    struct store_write *write = NULL;
    if (!store_write_begin(ctl->store, &write, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!challenge_add(write, key, w, secret[i], &made[i], err)) {
            store_write_abort(write);
            return false;
        }
    }
    return store_write_commit(write, err);
}

static void print_new(struct ctl *ctl, const struct store_challenge *c, const char *secret)
{
    if (!ctl->json) {
        printf("%s\n", secret);
        return;
    }
    struct ctl_show s;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "challenge", secret);
    ctl_show_text(&s, "id", c->id);
    ctl_show_time(&s, "expires_at", c->expires_at);
    ctl_show_number(&s, "uses", c->uses);
    ctl_show_end(&s);
}

static void note_new(struct ctl *ctl, const struct store_challenge *c, size_t count)
{
    char until[96], bound[2400], uses[48], what[64];
    ctl_time_text(ctl, c->expires_at, until, sizeof until);
    bound_text(c, bound, sizeof bound);
    if (c->uses == 0)
        snprintf(uses, sizeof uses, "any number of uses");
    else
        snprintf(uses, sizeof uses, c->uses == 1 ? "one use" : "%u uses", c->uses);
    if (count == 1)
        snprintf(what, sizeof what, "  id %s", c->id);
    else
        snprintf(what, sizeof what, "  %zu challenges", count);
    ctl_note(ctl, "%s, %s%s, %s%s%s%s", what, uses, count == 1 ? "" : " each",
             c->expires_at ? "until " : "never expires", c->expires_at ? until : "",
             bound[0] ? ", bound to " : "", bound);
    ctl_note(ctl, "  URL %s%s", ctl->config->url,
             c->endpoint[0] ? c->endpoint : ctl->config->endpoint[0].path);
}

/* Retiring a device does not reach what others got by its name. */
static void warn_of_subject(const struct ctl *ctl, const struct challenge_wish *w)
{
    const struct fleet f = {
        .store = ctl->store, .config = ctl->config, .actor = ctl->actor, .now = ctl->now};
    struct fleet_warnings warnings = {.n = 0};
    fleet_subject_warn(&f, w->subject, &warnings);
    ctl_warn(ctl, &warnings);
}

/* ---- for a device ---- */

/* What its policy says cannot be said again. */
static int read_device_wish(struct ctl *ctl, const struct ctl_args *a,
                            struct fleet_challenge_wish *w)
{
    static const char *const not_with[] = {"count",    "uses",     "subject", "san",
                                           "template", "endpoint", "label"};
    static const char *const forms[] = {"groups", "hex16", NULL};
    int form = 0, rc;
    for (size_t i = 0; i < sizeof not_with / sizeof *not_with; i++)
        if (ctl_arg(a, not_with[i]))
            return ctl_fail(ctl, CTL_USAGE, NULL,
                            "--%s does not go with --device: its policy says it", not_with[i]);
    if ((rc = ctl_arg_word(ctl, a, "format", forms, &form)) ||
        (rc = ctl_arg_duration(ctl, a, "expires", 0, &w->ttl)))
        return rc;
    w->hex = form == 1 ? CHALLENGE_HEX_MIN : 0;
    w->device = ctl_arg(a, "device");
    w->policy = ctl_arg(a, "policy");
    return CTL_DONE;
}

static int new_for_device(struct ctl *ctl, const struct ctl_args *a)
{
    struct fleet_challenge_wish wish = {.device = NULL};
    struct fleet_challenge c = {.secret = ""};
    struct ctl_fleet f;
    struct err err = {0};
    int rc;
    if ((rc = read_device_wish(ctl, a, &wish)) || (rc = ctl_fleet_begin(ctl, true, &f)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make a challenge for device %s", wish.device);
    } else if (ctl_arg(a, "new-device") &&
               (rc = ctl_make_device(ctl, &f, wish.device, wish.policy))) {
        /* told */
    } else if (!fleet_challenge_new(&f.fleet, &wish, &c, &err)) {
        rc = ctl_fail_err(ctl, &err,
                          err.kind == ERR_NOT_FOUND ? "scepctl device new makes a device" : NULL);
    } else {
        print_new(ctl, &c.record, c.secret);
        note_new(ctl, &c.record, 1);
        ctl_note(ctl, "  for device %s by policy %s", c.device.name, c.policy.name);
    }
    fleet_challenge_wipe(&c);
    ctl_fleet_end(&f);
    return rc;
}

int ctl_challenge_new(struct ctl *ctl, const struct ctl_args *a)
{
    struct challenge_wish wish = {0};
    struct challenge_key key;
    struct err err = {0};
    char(*secret)[CHALLENGE_TEXT_MAX] = NULL;
    struct store_challenge *made = NULL;
    int64_t count;
    if (ctl_arg(a, "device"))
        return new_for_device(ctl, a);
    if (ctl_arg(a, "policy") || ctl_arg(a, "new-device"))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--policy and --new-device go with --device");
    int rc = ctl_need_config(ctl);
    if (rc || (rc = read_wish(ctl, a, &wish, &count)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make %lld challenge%s", (long long)count, count == 1 ? "" : "s");
        return CTL_DONE;
    }
    /* The key is root's: read before root becomes the store's owner. */
    if (access(ctl->config->challenge_key_file, R_OK) && errno == EACCES)
        return ctl_fail(ctl, CTL_NOT_PERMITTED, "run it as root or as the user of scepd",
                        "cannot read %s", ctl->config->challenge_key_file);
    if (!challenge_key_load(ctl->config->challenge_key_file, false, &key, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if ((rc = ctl_need_store(ctl)))
        goto out;
    secret = calloc((size_t)count, sizeof *secret);
    made = calloc((size_t)count, sizeof *made);
    if (!secret || !made) {
        rc = ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
        goto out;
    }
    if (!make_all(ctl, &key, &wish, (size_t)count, secret, made, &err)) {
        rc = ctl_fail_err(ctl, &err, NULL);
        goto out;
    }
    for (size_t i = 0; i < (size_t)count; i++)
        print_new(ctl, &made[i], secret[i]);
    note_new(ctl, &made[0], (size_t)count);
    warn_of_subject(ctl, &wish);
out:
    if (secret)
        OPENSSL_cleanse(secret, (size_t)count * sizeof *secret);
    OPENSSL_cleanse(&key, sizeof key);
    free(secret);
    free(made);
    return rc;
}

/* ---- list, show, revoke ---- */

static const struct ctl_column list_columns[] = {
    {"ID", "id", CTL_TEXT, false},
    {"STATE", "state", CTL_TEXT, false},
    {"USES", "used", CTL_TEXT, false},
    {"EXPIRES", "expires_at", CTL_TIME, false},
    {"BOUND TO", "bound_to", CTL_TEXT, true},
    {"LABEL", "label", CTL_TEXT, true},
    {NULL, "created_by", CTL_TEXT, false},
    {NULL, "created_at", CTL_TIME, false},
    {NULL, "used_at", CTL_TIME, false},
    {NULL, "device", CTL_TEXT, false},
    {NULL, "policy", CTL_TEXT, false},
};

struct listing {
    struct ctl *ctl;
    struct ctl_list *list;
    int state;     /* -1: all */
    int64_t limit; /* 0: none */
    uint64_t shown, matched;
};

static bool list_one(void *ctx, const struct store_challenge *c)
{
    struct listing *l = ctx;
    int state = state_of(c, l->ctl->now);
    char uses[48], bound[2400];
    if (l->state >= 0 && state != l->state)
        return true;
    l->matched++;
    if (l->limit && l->shown == (uint64_t)l->limit)
        return true;
    l->shown++;
    uses_text(c, uses, sizeof uses);
    bound_text(c, bound, sizeof bound);
    const struct ctl_cell cells[] = {
        {c->id, 0},         {state_words[state], 0}, {uses, 0},          {NULL, c->expires_at},
        {bound, 0},         {c->label, 0},           {c->created_by, 0}, {NULL, c->created_at},
        {NULL, c->used_at}, {c->device, 0},          {c->policy, 0}};
    ctl_list_row(l->list, cells);
    return true;
}

int ctl_challenge_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {.ctl = ctl, .state = -1};
    struct err err = {0};
    int rc;
    if ((rc = ctl_arg_word(ctl, a, "state", state_words, &l.state)) ||
        (rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l.limit)) ||
        (rc = ctl_need_store(ctl)))
        return rc;
    l.list = ctl_list_new(ctl, list_columns, sizeof list_columns / sizeof list_columns[0]);
    bool good = store_challenge_list(ctl->store, list_one, &l, &err);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu of %llu challenges", (unsigned long long)l.shown,
             (unsigned long long)l.matched);
    return CTL_DONE;
}

static int find(struct ctl *ctl, const char *id, struct store_challenge *out)
{
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (store_challenge_by_id(ctl->store, id, out, &err))
        return CTL_DONE;
    if (err.kind == ERR_NOT_FOUND)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl challenge list",
                        "there is no challenge \"%s\"", id);
    if (err.kind == ERR_CONFLICT)
        return ctl_fail(ctl, CTL_NOT_FOUND, "give more of it",
                        "several challenges begin with \"%s\"", id);
    return ctl_fail_err(ctl, &err, NULL);
}

int ctl_challenge_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_challenge c;
    struct ctl_show s;
    char uses[48];
    int rc = find(ctl, a->id[0], &c);
    if (rc)
        return rc;
    uses_text(&c, uses, sizeof uses);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "id", c.id);
    ctl_show_text(&s, "state", state_words[state_of(&c, ctl->now)]);
    ctl_show_text(&s, "used", uses);
    ctl_show_text(&s, "label", c.label);
    ctl_show_text(&s, "subject", c.subject);
    ctl_show_text(&s, "san", c.san);
    ctl_show_text(&s, "template", c.template_name);
    ctl_show_text(&s, "endpoint", c.endpoint);
    ctl_show_text(&s, "device", c.device);
    ctl_show_text(&s, "policy", c.policy);
    ctl_show_text(&s, "created_by", c.created_by);
    ctl_show_time(&s, "created_at", c.created_at);
    ctl_show_time(&s, "expires_at", c.expires_at);
    ctl_show_time(&s, "revoked_at", c.revoked_at);
    ctl_show_time(&s, "used_at", c.used_at);
    ctl_show_text(&s, "used_by_subject", c.used_by_subject);
    ctl_show_text(&s, "used_by_transaction", c.used_by_transaction);
    ctl_show_text(&s, "used_by_peer", c.used_by_peer);
    if (c.refused) {
        ctl_show_number(&s, "refused", c.refused);
        ctl_show_time(&s, "refused_at", c.refused_at);
        ctl_show_text(&s, "refused_peer", c.refused_peer);
    }
    ctl_show_end(&s);
    return CTL_DONE;
}

int ctl_challenge_revoke(struct ctl *ctl, const struct ctl_args *a)
{
    for (size_t i = 0; i < a->id_n; i++) {
        struct store_challenge c;
        struct err err = {0};
        int rc = find(ctl, a->id[i], &c);
        if (rc)
            return rc;
        if (c.revoked_at)
            return ctl_fail(ctl, CTL_CONFLICT, NULL, "challenge %s is revoked already", c.id);
        if (ctl->dry_run) {
            ctl_note(ctl, "would revoke %s", c.id);
            continue;
        }
        if (!enroll_challenge_revoke(ctl->store, c.id, ctl->actor, ctl->now, &err))
            return ctl_fail_err(ctl, &err, NULL);
        ctl_note(ctl, "revoked %s", c.id);
    }
    return CTL_DONE;
}
