#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "enroll/explain.h"
#include "pkcs7/name.h"
#include "store/fleet.h"
#include "store/page.h"

const char *explain_kind_name(enum explain_kind kind)
{
    static const char *const names[] = {"transaction", "subject",   "certificate",
                                        "address",     "challenge", "request",
                                        "reason",      "device",    "policy"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

/* ---- what is meant ---- */

static bool prefix_of(const char *prefix, const char *text, bool *exact)
{
    size_t n = strlen(prefix);
    *exact = strcasecmp(prefix, text) == 0;
    return *exact || (n >= EXPLAIN_PREFIX_LEAST && strncasecmp(prefix, text, n) == 0);
}

/* The subject itself, one of its values, or a part. */
static bool names(const char *what, const char *subject, bool *exact)
{
    size_t n = strlen(what);
    const char *at = n ? strcasestr(subject, what) : NULL;
    *exact = false;
    for (const char *p = at; p && !*exact; p = strcasestr(p + 1, what)) {
        bool begins = p == subject || p[-1] == '=' || p[-1] == ',' || p[-1] == ':' || p[-1] == ' ';
        *exact = begins && (p[n] == '\0' || p[n] == ',' || p[n] == '+');
    }
    return at != NULL;
}

static void offer(struct explain_search *s, enum explain_kind kind, const char *value, bool exact)
{
    for (size_t i = 0; i < s->found_n; i++) {
        struct explain_candidate *c = &s->found[i];
        if (c->kind == kind && strcmp(c->value, value) == 0) {
            c->n++;
            c->exact |= exact;
            return;
        }
    }
    s->more |= s->found_n == EXPLAIN_CANDIDATES;
    if (s->found_n == EXPLAIN_CANDIDATES)
        return;
    struct explain_candidate *c = &s->found[s->found_n++];
    *c = (struct explain_candidate){.kind = kind, .exact = exact, .n = 1};
    snprintf(c->value, sizeof c->value, "%s", value);
}

static bool consider(void *ctx, const struct store_attempt *a)
{
    struct explain_search *s = ctx;
    bool exact;
    if (s->left-- == 0)
        return false;
    s->oldest = a->at;
    if (*a->transaction && prefix_of(s->what, a->transaction, &exact))
        offer(s, EXPLAIN_TRANSACTION, a->transaction, exact);
    if (*s->hex && *a->serial && prefix_of(s->hex, a->serial, &exact))
        offer(s, EXPLAIN_SERIAL, a->serial, exact);
    if (*s->hex && *a->signer && prefix_of(s->hex, a->signer, &exact))
        offer(s, EXPLAIN_SERIAL, a->signer, exact);
    if (*s->address && strcmp(s->address, a->peer) == 0)
        offer(s, EXPLAIN_ADDRESS, a->peer, true);
    if (*a->challenge && prefix_of(s->what, a->challenge, &exact))
        offer(s, EXPLAIN_CHALLENGE, a->challenge, exact);
    if (*a->request && prefix_of(s->what, a->request, &exact))
        offer(s, EXPLAIN_REQUEST, a->request, exact);
    if (*a->device && prefix_of(s->what, a->device, &exact))
        offer(s, EXPLAIN_DEVICE, a->device, exact);
    if (*a->policy && prefix_of(s->what, a->policy, &exact))
        offer(s, EXPLAIN_POLICY, a->policy, exact);
    bool in_san = false, in_subject = names(s->what, a->subject, &exact);
    if (!in_subject || !exact)
        in_san = names(s->what, a->san, &exact) || in_subject;
    if (in_subject || in_san)
        offer(s, EXPLAIN_SUBJECT, *a->subject ? a->subject : a->san, exact);
    return true;
}

/* There is none, or several have such an id: then it is not meant.  Anything else is a fault. */
static bool is_absent(const struct err *err)
{
    return err->kind == ERR_NOT_FOUND || err->kind == ERR_CONFLICT;
}

static bool consider_serial(struct explain_search *s, struct err *err)
{
    struct store_cert cert = {0};
    char serial[2 * STORE_SERIAL_MAX + 1];
    bool exact;
    if (strlen(s->hex) < EXPLAIN_PREFIX_LEAST)
        return true;
    if (!store_cert_by_prefix(s->store, s->hex, &cert, err))
        return is_absent(err);
    hex_encode(view_of(cert.serial, cert.serial_len), serial);
    prefix_of(s->hex, serial, &exact);
    offer(s, EXPLAIN_SERIAL, serial, exact);
    store_cert_clear(&cert);
    return true;
}

static bool consider_challenge(struct explain_search *s, struct err *err)
{
    struct store_challenge c;
    if (!store_challenge_by_id(s->store, s->what, &c, err))
        return is_absent(err);
    offer(s, EXPLAIN_CHALLENGE, c.id, strcmp(s->what, c.id) == 0);
    return true;
}

static bool consider_request(struct explain_search *s, struct err *err)
{
    struct store_request r = {0};
    if (!store_request_get(s->store, s->what, &r, err))
        return is_absent(err);
    offer(s, EXPLAIN_REQUEST, r.id, strcmp(s->what, r.id) == 0);
    store_request_clear(&r);
    return true;
}

static bool consider_device(struct explain_search *s, bool by_name, struct err *err)
{
    struct store_device d;
    if (!store_device_get(s->store, s->what, &d, err))
        return is_absent(err);
    offer(s, EXPLAIN_DEVICE, d.id, by_name || strcmp(s->what, d.id) == 0);
    return true;
}

static bool consider_policy(struct explain_search *s, struct err *err)
{
    struct store_policy p;
    if (!store_policy_get(s->store, s->what, &p, err))
        return is_absent(err);
    offer(s, EXPLAIN_POLICY, p.id, strcmp(s->what, p.id) == 0);
    return true;
}

/* What the store knows of it beside attempts, which may be forgotten by now. */
static bool consider_records(struct explain_search *s, struct err *err)
{
    const char *what = s->what;
    struct err why = {0};
    bool ok = consider_serial(s, &why) &&
              (strncmp(what, "chl_", 4) != 0 || consider_challenge(s, &why)) &&
              (strncmp(what, "req_", 4) != 0 || consider_request(s, &why)) &&
              (strncmp(what, "dev_", 4) != 0 || consider_device(s, false, &why)) &&
              (strncmp(what, "pol_", 4) != 0 || consider_policy(s, &why)) &&
              (s->found_n || consider_device(s, true, &why)); /* where no subject has it */
    if (!ok)
        *err = why;
    return ok;
}

static void read_what(struct explain_search *s)
{
    uint8_t raw[16];
    size_t n = 0;
    if (inet_pton(AF_INET, s->what, raw) == 1)
        inet_ntop(AF_INET, raw, s->address, sizeof s->address);
    else if (inet_pton(AF_INET6, s->what, raw) == 1)
        inet_ntop(AF_INET6, raw, s->address, sizeof s->address);
    for (const char *p = s->what; *p && n < sizeof s->hex - 1; p++)
        if (isxdigit((unsigned char)*p))
            s->hex[n++] = (char)tolower((unsigned char)*p);
        else if (*p != ':' && *p != ' ') {
            n = 0;
            break;
        }
    s->hex[n] = '\0';
}

/* Exact ones win; the rest is ambiguous. */
static void choose(struct explain_search *s)
{
    bool exact = false;
    for (size_t i = 0; i < s->found_n; i++)
        exact |= s->found[i].exact;
    size_t kept = 0;
    for (size_t i = 0; i < s->found_n; i++)
        if (!exact || s->found[i].exact)
            s->found[kept++] = s->found[i];
    s->found_n = kept;
}

static bool is_meant(const struct explain_candidate *c, const struct store_attempt *a)
{
    switch (c->kind) {
    case EXPLAIN_TRANSACTION:
        return strcmp(a->transaction, c->value) == 0;
    case EXPLAIN_SUBJECT:
        return strcmp(*a->subject ? a->subject : a->san, c->value) == 0;
    case EXPLAIN_SERIAL:
        return strcmp(a->serial, c->value) == 0 || strcmp(a->signer, c->value) == 0;
    case EXPLAIN_ADDRESS:
        return strcmp(a->peer, c->value) == 0;
    case EXPLAIN_CHALLENGE:
        return strcmp(a->challenge, c->value) == 0;
    case EXPLAIN_REQUEST:
        return strcmp(a->request, c->value) == 0;
    case EXPLAIN_REASON:
        return strcmp(a->reason, c->value) == 0;
    case EXPLAIN_DEVICE:
        return strcmp(a->device, c->value) == 0;
    case EXPLAIN_POLICY:
        return strcmp(a->policy, c->value) == 0;
    }
    return false;
}

struct collecting {
    const struct explain_candidate *meant;
    uint64_t left;
    size_t limit;
    struct explain_found found;
};

static bool collect(void *ctx, const struct store_attempt *a)
{
    struct collecting *c = ctx;
    if (c->left-- == 0)
        return false;
    if (!is_meant(c->meant, a))
        return true;
    c->found.matched += a->result == ATTEMPT_COUNTED && a->more ? a->more : 1;
    if (c->found.n < c->limit)
        c->found.attempt[c->found.n++] = *a;
    return true;
}

bool explain_attempts(struct store *store, const struct explain_candidate *meant, uint64_t most,
                      size_t limit, struct explain_found *out, struct err *err)
{
    struct collecting c = {.meant = meant, .left = most ? most : UINT64_MAX, .limit = limit};
    if (!(c.found.attempt = calloc(limit ? limit : 1, sizeof *c.found.attempt)))
        return err_memory(err);
    if (!store_attempt_list(store, 0, collect, &c, err)) {
        explain_found_clear(&c.found);
        return false;
    }
    *out = c.found;
    return true;
}

void explain_found_clear(struct explain_found *f)
{
    free(f->attempt);
    *f = (struct explain_found){0};
}

/* ---- the certificate ---- */

#define CERT_SCAN 100000 /* certificates, where no index leads to it */

struct held {
    const char *subject; /* NULL: any */
    struct store_cert *out;
};

static void take_cert(void *ctx, const struct store_cert *c)
{
    struct held *h = ctx;
    bool exact = true;
    if (h->out->id || (h->subject && !(names(h->subject, c->subject, &exact) && exact) &&
                       !(names(h->subject, c->san, &exact) && exact)))
        return;
    *h->out = *c;
    h->out->der = (struct buf){0};
}

/* The newest that passes: one that stands, else one that stood. */
static bool newest(struct store *store, struct store_cert_filter *f, struct held *h,
                   struct err *err)
{
    static const int states[] = {CERT_ACTIVE, -1};
    for (size_t k = 0; k < 2 && !h->out->id; k++) {
        char cursor[STORE_CURSOR_MAX] = "";
        f->state = states[k];
        for (size_t looked = 0; looked < CERT_SCAN && !h->out->id;) {
            struct store_page page = {.after = cursor, .limit = h->subject ? STORE_PAGE_MAX : 1};
            if (!store_cert_page(store, f, &page, take_cert, h, err))
                return false;
            looked += page.looked;
            memcpy(cursor, page.next, sizeof cursor);
            if (!*cursor)
                break;
        }
    }
    return true;
}

/* By its hash, where it is a whole name; else, or where certificates have more in their names than
 * was asked for, by looking through the newest of all. */
static bool of_subject(struct store *store, const char *subject, struct store_cert *out,
                       struct err *err)
{
    struct name name = {0};
    struct err ignored = {0};
    uint8_t hash[STORE_HASH];
    struct held any = {.out = out}, one = {.subject = subject, .out = out};
    struct store_cert_filter by_hash = {.subject_hash = hash}, by_text = {.text = subject};
    bool whole = name_from_text(subject, &name, &ignored) && name_hash(&name, hash, &ignored);
    name_clear(&name);
    return (!whole || newest(store, &by_hash, &any, err)) &&
           (out->id || newest(store, &by_text, &one, err));
}

bool explain_certificate(struct store *store, const struct explain_candidate *meant,
                         struct store_cert *out, struct err *err)
{
    struct held any = {.out = out};
    struct store_cert_filter f = {.device = meant->value};
    struct err why = {0};
    *out = (struct store_cert){.id = 0};
    if (meant->kind == EXPLAIN_SUBJECT)
        return of_subject(store, meant->value, out, err);
    if (meant->kind == EXPLAIN_DEVICE)
        return newest(store, &f, &any, err);
    if (meant->kind != EXPLAIN_SERIAL || store_cert_by_prefix(store, meant->value, out, &why) ||
        why.kind == ERR_NOT_FOUND || why.kind == ERR_CONFLICT)
        return true;
    *err = why;
    return false;
}

/* ---- who revoked it ---- */

#define REVOKED_PAGES 10 /* of STORE_PAGE_SCAN entries each, where no device leads to it */

struct revocation {
    const struct store_cert *cert;
    char serial[2 * STORE_SERIAL_MAX + 1];
    char *by;
};

static void note_actor(void *ctx, const struct store_audit *a)
{
    struct revocation *r = ctx;
    bool of_it = strcmp(a->object, r->cert->device) != 0 || /* a device has several */
                 strncmp(a->text, r->serial, strlen(r->serial)) == 0;
    if (!*r->by && of_it && a->at == r->cert->revoked_at)
        memcpy(r->by, a->actor, sizeof a->actor);
}

static bool look_for_actor(struct store *store, struct revocation *r, const char *object,
                           const char *event, struct err *err)
{
    const struct store_audit_filter filter = {.since = r->cert->revoked_at,
                                              .until = r->cert->revoked_at + 1,
                                              .object = object,
                                              .event = event};
    char cursor[STORE_CURSOR_MAX] = "";
    for (int i = 0; i < REVOKED_PAGES && !*r->by; i++) {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        if (!store_audit_page(store, &filter, &page, note_actor, r, err))
            return false;
        memcpy(cursor, page.next, sizeof cursor);
        if (!*cursor)
            break;
    }
    return true;
}

/* What the authority does itself (a duplicate that gives way, one that was never handed out) does
 * not stand in the history of the device. */
bool explain_revoked_by(struct store *store, const struct store_cert *c, char by[64],
                        struct err *err)
{
    struct revocation r = {.cert = c, .by = by};
    char number[32];
    by[0] = '\0';
    hex_encode(view_of(c->serial, c->serial_len), r.serial);
    snprintf(number, sizeof number, "#%llu", (unsigned long long)c->id);
    if (c->state != CERT_REVOKED && c->state != CERT_HELD)
        return true;
    return (!*c->device || look_for_actor(store, &r, c->device, "device.certificate", err)) &&
           (*by || look_for_actor(store, &r, r.serial, "certificate.revoked", err)) &&
           (*by || look_for_actor(store, &r, number, "certificate.revoked", err));
}

/* ---- the same reason elsewhere ---- */

static bool count_same(void *ctx, const struct store_attempt *a)
{
    struct explain_same *s = ctx;
    if (a->at < s->from)
        return false;
    if (strcmp(a->reason, s->code) != 0)
        return true;
    s->n += a->result == ATTEMPT_COUNTED && a->more ? a->more : 1;
    s->since = a->at;
    for (size_t i = 0; i < s->peers; i++)
        if (strcmp(s->peer[i], a->peer) == 0)
            return true;
    if (s->peers < EXPLAIN_PEERS)
        memcpy(s->peer[s->peers++], a->peer, sizeof a->peer);
    return true;
}

bool explain_same(struct store *store, const char *code, int64_t from, struct explain_same *out,
                  struct err *err)
{
    *out = (struct explain_same){.code = code, .from = from};
    return store_attempt_list(store, 0, count_same, out, err);
}

/* ---- the whole ---- */

bool explain_search(struct store *store, const char *what, uint64_t most,
                    struct explain_search *out, struct err *err)
{
    *out = (struct explain_search){.store = store, .what = what, .left = most ? most : UINT64_MAX};
    read_what(out);
    if (!store_attempt_list(store, 0, consider, out, err))
        return false;
    if (!consider_records(out, err))
        return false;
    choose(out);
    return true;
}
