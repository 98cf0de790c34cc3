#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/hex.h"
#include "base/text.h"
#include "enroll/audit.h"
#include "enroll/enroll.h"

/* How long a used up or expired challenge can still be asked about. */
#define CHALLENGE_KEPT ((int64_t)90 * 86400)

static bool commit_or_abort(struct store_write *w, bool ok, struct err *err)
{
    if (ok)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

/* ---- versions ---- */

/* Two states that an administrator could tell apart have different ones. */
static uint64_t version_of(const char *state)
{
    uint8_t hash[32];
    uint64_t v = 0;
    if (EVP_Digest(state, strlen(state), hash, NULL, EVP_sha256(), NULL) != 1) {
        ERR_clear_error();
        return 1;
    }
    for (size_t i = 0; i < sizeof v; i++)
        v = v << 8 | hash[i];
    return v ? v : 1;
}

uint64_t enroll_cert_version(const struct store_cert *c)
{
    char state[160];
    snprintf(state, sizeof state, "%llu %d %lld %d %llu", (unsigned long long)c->id, (int)c->state,
             (long long)c->revoked_at, (int)c->revocation_reason,
             (unsigned long long)c->renewed_by);
    return version_of(state);
}

uint64_t enroll_request_version(const struct store_request *r)
{
    char state[600];
    snprintf(state, sizeof state, "%s %d %lld %llu %s %s", r->id, (int)r->state,
             (long long)r->decided_at, (unsigned long long)r->cert_id, r->decided_by, r->note);
    return version_of(state);
}

uint64_t enroll_challenge_version(const struct store_challenge *c)
{
    char state[160];
    snprintf(state, sizeof state, "%s %u %lld", c->id, c->used, (long long)c->revoked_at);
    return version_of(state);
}

static bool still(const struct enroll_act *act, uint64_t version, const char *what, struct err *err)
{
    return !act->expected || act->expected == version ||
           err_set(err, ERR_CONFLICT, "%s was changed meanwhile", what);
}

/* ---- requests ---- */

/* A denial may be taken back: the device that asks again, with the same request, then gets its
 * certificate.  An approval may not: it may have been fetched already. */
static bool may_decide(const struct store_request *r, bool approve, int64_t now, struct err *err)
{
    char then[32];
    if (approve && r->state == REQUEST_DENIED)
        return true;
    if (r->state == REQUEST_PENDING && (!r->expires_at || now < r->expires_at))
        return true;
    bool expired = r->state == REQUEST_PENDING || r->state == REQUEST_EXPIRED;
    text_time(expired ? r->expires_at : r->decided_at, then);
    return expired
               ? err_set(err, ERR_CONFLICT, "request %s expired %s", r->id, then)
               : err_set(err, ERR_CONFLICT, "request %s was %s by %s %s", r->id,
                         r->state == REQUEST_DENIED ? "denied" : "approved", r->decided_by, then);
}

static bool request_put(struct store_write *w, const struct store_request *r,
                        enum enroll_request_verb verb, const struct enroll_act *act,
                        struct err *err)
{
    const char *note = act->note ? act->note : "";
    if (verb == ENROLL_CANCEL)
        return store_request_cancel(w, r->id, act->by, note, act->now, err);
    bool approve = verb == ENROLL_APPROVE;
    return may_decide(r, approve, act->now, err) &&
           store_request_decide(w, r->id, approve, act->by, note, act->now, err);
}

bool enroll_request_change_in(struct store_write *w, const char *id, enum enroll_request_verb verb,
                              const struct enroll_act *act, struct err *err)
{
    static const char *const events[] = {"request.approved", "request.denied", "request.cancelled"};
    struct store_request r = {.id = ""};
    struct store_audit audit;
    const char *note = act->note ? act->note : "";
    if (!store_write_request_get(w, id, &r, err))
        return false;
    audit_fill(&audit, act->now, events[verb], act->by, id, "%.300s %s%s", r.subject,
               *note ? "note: " : "", note);
    bool ok = still(act, enroll_request_version(&r), id, err) &&
              request_put(w, &r, verb, act, err) && store_audit_put(w, &audit, err);
    store_request_clear(&r);
    return ok;
}

bool enroll_request_change(struct store *s, const char *id, enum enroll_request_verb verb,
                           const struct enroll_act *act, struct store_request *out, struct err *err)
{
    struct store_request found = {0};
    struct store_write *w = NULL;
    bool ok = store_request_get(s, id, &found, err) && store_write_begin(s, &w, err) &&
              commit_or_abort(w, enroll_request_change_in(w, found.id, verb, act, err), err);
    ok = ok && store_request_get(s, found.id, out, err);
    store_request_clear(&found);
    return ok;
}

bool enroll_request_decide(struct store *s, const char *id, bool approve, const char *by,
                           const char *note, int64_t now, struct store_request *out,
                           struct err *err)
{
    struct enroll_act act = {.by = by, .note = note, .now = now};
    return enroll_request_change(s, id, approve ? ENROLL_APPROVE : ENROLL_DENY, &act, out, err);
}

bool enroll_request_cancel(struct store *s, const char *id, const char *by, const char *note,
                           int64_t now, struct store_request *out, struct err *err)
{
    struct enroll_act act = {.by = by, .note = note, .now = now};
    return enroll_request_change(s, id, ENROLL_CANCEL, &act, out, err);
}

/* ---- certificates ---- */

/* Once more where its device's history looks: by the certificate's number nobody finds it there. */
static bool audit_of_device(struct store_write *w, const struct store_cert *c, const char *serial,
                            enum crl_reason reason, const struct enroll_act *act, struct err *err)
{
    struct store_audit audit;
    const char *note = act->note ? act->note : "";
    if (!*c->device)
        return true;
    audit_fill(&audit, act->now, "device.certificate", act->by, c->device, "%s %s%s, %.200s%s%s",
               serial,
               reason == CRL_REMOVE_FROM_CRL ? "released from hold"
               : reason == CRL_HOLD          ? "put on "
                                             : "revoked, ",
               reason == CRL_REMOVE_FROM_CRL ? "" : crl_reason_text(reason), c->subject,
               *note ? " note: " : "", note);
    return store_audit_put(w, &audit, err);
}

bool enroll_cert_change_in(struct store_write *w, uint64_t id, enum crl_reason reason,
                           const struct enroll_act *act, struct err *err)
{
    char serial[2 * STORE_SERIAL_MAX + 1];
    struct store_cert c = {0};
    struct store_audit audit;
    bool release = reason == CRL_REMOVE_FROM_CRL; /* RFC 5280 section 5.3.1: ends a hold */
    const char *note = act->note ? act->note : "";
    if (!store_write_cert_by_id(w, id, &c, err))
        return false;
    hex_encode(view_of(c.serial, c.serial_len), serial);
    audit_fill(&audit, act->now, release ? "certificate.released" : "certificate.revoked", act->by,
               serial, "%.200s%s%s%s%s", c.subject,
               release ? "" : " reason=", release ? "" : crl_reason_text(reason),
               *note ? " note: " : "", note);
    bool ok = still(act, enroll_cert_version(&c), serial, err) &&
              (release ? store_cert_release(w, id, err)
                       : store_cert_revoke(w, id, reason, act->now, err)) &&
              store_audit_put(w, &audit, err) && audit_of_device(w, &c, serial, reason, act, err);
    store_cert_clear(&c);
    return ok;
}

bool enroll_cert_change(struct store *s, uint64_t cert_id, enum crl_reason reason,
                        const struct enroll_act *act, struct err *err)
{
    struct store_write *w = NULL;
    return store_write_begin(s, &w, err) &&
           commit_or_abort(w, enroll_cert_change_in(w, cert_id, reason, act, err), err);
}

bool enroll_cert_revoke(struct store *s, uint64_t cert_id, enum crl_reason reason, const char *by,
                        int64_t now, struct err *err)
{
    struct enroll_act act = {.by = by, .now = now};
    return enroll_cert_change(s, cert_id, reason, &act, err);
}

/* ---- challenges ---- */

bool enroll_challenge_change_in(struct store_write *w, const uint8_t hash[STORE_HASH],
                                const struct enroll_act *act, struct err *err)
{
    struct store_audit audit;
    struct store_challenge c;
    if (!store_write_challenge_by_hash(w, hash, &c, err) ||
        !still(act, enroll_challenge_version(&c), c.id, err))
        return false;
    audit_fill(&audit, act->now, "challenge.revoked", act->by, c.id, "%s%s used=%u",
               *c.label ? "label=" : "", c.label, c.used);
    return store_challenge_revoke(w, c.id, act->now, err) && store_audit_put(w, &audit, err);
}

bool enroll_challenge_change(struct store *s, const char *id, const struct enroll_act *act,
                             struct err *err)
{
    struct store_challenge c;
    struct store_write *w = NULL;
    return store_challenge_by_id(s, id, &c, err) && store_write_begin(s, &w, err) &&
           commit_or_abort(w, enroll_challenge_change_in(w, c.hash, act, err), err);
}

bool enroll_challenge_revoke(struct store *s, const char *id, const char *by, int64_t now,
                             struct err *err)
{
    struct enroll_act act = {.by = by, .now = now};
    return enroll_challenge_change(s, id, &act, err);
}

/* ---- store ---- */

static bool purge_in(struct store *s, struct store_write *w, struct store_purge *p, const char *by,
                     int64_t now, struct err *err)
{
    static const char *const what[] = {"requests", "challenges", "certificates", "devices",
                                       "removals"};
    struct store_audit audit;
    char before[32];
    uint64_t had = p->found;
    if (!store_purge_step(s, w, p, err))
        return false;
    if (p->found == had)
        return true;
    text_time(p->before, before);
    audit_fill(&audit, now, "store.purged", by, what[p->kind], "%llu %s that ended before %s",
               (unsigned long long)(p->found - had), what[p->kind], before);
    return store_audit_put(w, &audit, err);
}

bool enroll_purge(struct store *s, struct store_purge *p, const char *by, int64_t now,
                  struct err *err)
{
    struct store_write *w = NULL;
    struct store_purge next = *p;
    if (!store_write_begin(s, &w, err))
        return false;
    bool ok = purge_in(s, w, &next, by, now, err);
    if (ok && next.found == p->found)
        store_write_abort(w); /* nothing to wait for the disk for */
    else if (!commit_or_abort(w, ok, err))
        return false;
    *p = next;
    return true;
}

static bool backup_done_in(struct store_write *w, const char *file, const struct store_facts *f,
                           const char *by, int64_t now, struct err *err)
{
    struct store_audit audit;
    audit_fill(&audit, now, "store.backup", by, file,
               "%llu octets, %llu certificates, audit to %llu", (unsigned long long)f->bytes,
               (unsigned long long)f->certificates, (unsigned long long)f->audit_entries);
    return store_backup_succeeded(w, now, err) && store_audit_put(w, &audit, err);
}

bool enroll_backup_done(struct store *s, const char *file, const struct store_facts *f,
                        const char *by, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    return store_write_begin(s, &w, err) &&
           commit_or_abort(w, backup_done_in(w, file, f, by, now, err), err);
}

bool enroll_note(struct store *s, const char *event, const char *object, const char *text,
                 const char *by, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    struct store_audit audit;
    audit_fill(&audit, now, event, by, object, "%s", text);
    return store_write_begin(s, &w, err) &&
           commit_or_abort(w, store_audit_put(w, &audit, err), err);
}

/* ---- periodic ---- */

bool enroll_housekeep(struct store *s, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    uint64_t expired = 0, purged = 0;
    if (!store_write_begin(s, &w, err))
        return false;
    bool ok = store_request_expire(w, now, &expired, err) &&
              store_challenge_purge(w, now - CHALLENGE_KEPT, &purged, err);
    if (ok && expired) {
        struct store_audit audit;
        audit_fill(&audit, now, "request.expired", "housekeeping", "",
                   "%llu requests that nobody approved", (unsigned long long)expired);
        ok = store_audit_put(w, &audit, err);
    }
    if (ok && !expired && !purged) {
        store_write_abort(w); /* nothing to wait for the disk for */
        return true;
    }
    return commit_or_abort(w, ok, err);
}
