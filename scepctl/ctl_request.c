/* scepctl request ... */
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "enroll/enroll.h"
#include "pkcs7/csr.h"
#include "scepctl/ctl.h"

/* In the order of enum request_state. */
static const char *const state_words[] = {"pending", "approved", "denied",
                                          "issued",  "expired",  NULL};

static const struct ctl_column list_columns[] = {
    {"ID", "id", CTL_TEXT, false},
    {"SUBJECT", "subject", CTL_TEXT, true},
    {"STATE", "state", CTL_TEXT, false},
    {"ENDPOINT", "endpoint", CTL_TEXT, false},
    {"KEY", "key", CTL_TEXT, false},
    {"POLLS", "polls", CTL_NUMBER, false},
    {"GIVES UP", "expires_at", CTL_TIME, false},
    {NULL, "san", CTL_TEXT, false},
    {NULL, "transaction", CTL_TEXT, false},
    {NULL, "peer", CTL_TEXT, false},
    {NULL, "created_at", CTL_TIME, false},
    {NULL, "device", CTL_TEXT, false},
    {NULL, "policy", CTL_TEXT, false},
};

struct listing {
    struct ctl_list *list;
    int64_t limit;
    uint64_t shown, matched;
};

static bool list_one(void *ctx, const struct store_request *r)
{
    struct listing *l = ctx;
    l->matched++;
    if (l->limit && l->shown == (uint64_t)l->limit)
        return true;
    l->shown++;
    const struct ctl_cell cells[] = {{r->id, 0},
                                     {r->subject, 0},
                                     {state_words[r->state], 0},
                                     {r->endpoint, 0},
                                     {r->key, 0},
                                     {NULL, (int64_t)r->polls},
                                     {NULL, r->expires_at},
                                     {r->san, 0},
                                     {r->transaction, 0},
                                     {r->peer, 0},
                                     {NULL, r->created_at},
                                     {r->device, 0},
                                     {r->policy, 0}};
    ctl_list_row(l->list, cells);
    return true;
}

int ctl_request_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {0};
    struct err err = {0};
    int rc, state = -1;
    if ((rc = ctl_arg_word(ctl, a, "state", state_words, &state)) ||
        (rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l.limit)) ||
        (rc = ctl_need_store(ctl)))
        return rc;
    l.list = ctl_list_new(ctl, list_columns, sizeof list_columns / sizeof list_columns[0]);
    bool good = store_request_list(ctl->store, state, list_one, &l, &err);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu of %llu requests%s", (unsigned long long)l.shown,
             (unsigned long long)l.matched,
             l.shown ? "; scepctl request show|approve|deny ID" : "");
    return CTL_DONE;
}

static int find(struct ctl *ctl, const char *id, struct store_request *out)
{
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (store_request_get(ctl->store, id, out, &err))
        return CTL_DONE;
    if (err.kind == ERR_NOT_FOUND)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl request list", "there is no request \"%s\"",
                        id);
    if (err.kind == ERR_CONFLICT)
        return ctl_fail(ctl, CTL_NOT_FOUND, "give more of it", "several requests begin with \"%s\"",
                        id);
    return ctl_fail_err(ctl, &err, NULL);
}

static void show_wishes(struct ctl_show *s, const struct store_request *r)
{
    struct csr *csr = NULL;
    struct err err = {0};
    char usage[256], hash[2 * 32 + 1];
    if (!csr_parse_trusted(buf_view(&r->csr), &csr, &err)) {
        ctl_show_text(s, "csr", err.text);
        return;
    }
    if (csr->ext.has_key_usage) {
        key_usage_text(csr->ext.key_usage, usage, sizeof usage);
        ctl_show_text(s, "wants_key_usage", usage);
    }
    ctl_eku_text(&csr->ext.eku, usage, sizeof usage);
    ctl_show_text(s, "wants_ext_key_usage", usage);
    hex_encode(view_of(csr->key.sha256, sizeof csr->key.sha256), hash);
    ctl_show_text(s, "key_sha256", hash);
    csr_free(csr);
}

int ctl_request_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_request r = {0};
    struct ctl_show s;
    int rc = find(ctl, a->id[0], &r);
    if (rc)
        return rc;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "id", r.id);
    ctl_show_text(&s, "state", state_words[r.state]);
    ctl_show_text(&s, "subject", r.subject);
    ctl_show_text(&s, "san", r.san);
    ctl_show_text(&s, "key", r.key);
    show_wishes(&s, &r);
    ctl_show_text(&s, "endpoint", r.endpoint);
    ctl_show_text(&s, "template", r.template_name);
    ctl_show_text(&s, "transaction", r.transaction);
    ctl_show_text(&s, "challenge", r.challenge);
    ctl_show_text(&s, "device", r.device);
    ctl_show_text(&s, "policy", r.policy);
    ctl_show_text(&s, "peer", r.peer);
    ctl_show_time(&s, "created_at", r.created_at);
    ctl_show_time(&s, "expires_at", r.expires_at);
    ctl_show_number(&s, "polls", r.polls);
    ctl_show_time(&s, "polled_at", r.polled_at);
    ctl_show_time(&s, "decided_at", r.decided_at);
    ctl_show_text(&s, "decided_by", r.decided_by);
    ctl_show_text(&s, "note", r.note);
    ctl_show_end(&s);
    store_request_clear(&r);
    return CTL_DONE;
}

/* ---- decide ---- */

enum decision { APPROVE, DENY, CANCEL };

static const char *const decision_words[] = {"approve", "deny", "cancel"};
static const char *const decided_words[] = {"approved", "denied", "cancelled"};

static bool may(enum decision d, enum request_state state)
{
    return state == REQUEST_PENDING || (d == APPROVE && state == REQUEST_DENIED) ||
           (d == CANCEL && state == REQUEST_APPROVED);
}

static bool decide_in_store(struct ctl *ctl, const char *id, enum decision d, const char *note,
                            struct store_request *after, struct err *err)
{
    if (d == CANCEL)
        return enroll_request_cancel(ctl->store, id, ctl->actor, note, ctl->now, after, err);
    return enroll_request_decide(ctl->store, id, d == APPROVE, ctl->actor, note, ctl->now, after,
                                 err);
}

static int decide_one(struct ctl *ctl, const char *id, enum decision d, const char *note)
{
    struct store_request r = {0}, after = {0};
    struct err err = {0};
    int rc = find(ctl, id, &r);
    if (rc)
        return rc;
    if (!may(d, r.state)) {
        rc = ctl_fail(ctl, CTL_CONFLICT, NULL, "request %s is %s, not pending", r.id,
                      state_words[r.state]);
    } else if (ctl->dry_run) {
        ctl_note(ctl, "would %s %s, %s", decision_words[d], r.id, r.subject);
    } else if (!decide_in_store(ctl, r.id, d, note, &after, &err)) {
        rc = ctl_fail_err(ctl, &err, NULL);
    } else {
        ctl_note(ctl, "%s %s, %s: the device learns it at its next poll", decided_words[d], r.id,
                 r.subject);
    }
    store_request_clear(&r);
    store_request_clear(&after);
    return rc;
}

static int decide(struct ctl *ctl, const struct ctl_args *a, enum decision d)
{
    const char *note = ctl_arg(a, "note");
    if (note && strlen(note) >= sizeof((struct store_request *)0)->note)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--note is too long: %zu octets, at most %zu",
                        strlen(note), sizeof((struct store_request *)0)->note - 1);
    for (size_t i = 0; i < a->id_n; i++) {
        int rc = decide_one(ctl, a->id[i], d, note ? note : "");
        if (rc)
            return rc;
    }
    return CTL_DONE;
}

int ctl_request_approve(struct ctl *ctl, const struct ctl_args *a)
{
    return decide(ctl, a, APPROVE);
}

int ctl_request_deny(struct ctl *ctl, const struct ctl_args *a)
{
    return decide(ctl, a, DENY);
}

int ctl_request_cancel(struct ctl *ctl, const struct ctl_args *a)
{
    return decide(ctl, a, CANCEL);
}
