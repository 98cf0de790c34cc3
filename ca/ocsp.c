#include "ca/ocsp.h"

#include <stdlib.h>
#include <string.h>

#include "ca/family.h"
#include "responder.h"

/* Whose certificate is asked about, what is known of it, and what is said. */

#define UNKNOWN_SECONDS 300 /* nextUpdate of what nobody should keep; there must be one */

/* ---- who is meant ---- */

/* Certificates that the authority made for itself, which are in no store. */
#define OWN_MAX (2 * AUTHORITY_MAX_RAS + 1)

struct issuer {
    const struct authority *authority;
    uint8_t name_hash[DIGEST_COUNT][64], key_hash[DIGEST_COUNT][64]; /* those that requests use */
    struct responder responder;                                      /* if it has one */
    const struct cert *own[OWN_MAX]; /* borrowed from the authority */
    size_t own_n;
};

struct ocsp_issuers {
    size_t n;
    struct issuer issuer[];
};

static const enum digest asked_by[] = {DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512};

static void add_own(struct issuer *i, const struct cert *c)
{
    if (c && view_eq(c->issuer, i->authority->cert->subject) && i->own_n < OWN_MAX)
        i->own[i->own_n++] = c;
}

static bool issuer_make(struct issuer *i, const struct authority *a, struct err *err)
{
    struct pubkey key;
    i->authority = a;
    if (!pubkey_parse(a->cert->spki, &key, err))
        return err_prefix(err, "the certificate of authority %s", a->name);
    for (size_t d = 0; d < sizeof asked_by / sizeof asked_by[0]; d++)
        if (!digest_compute(asked_by[d], a->cert->subject, i->name_hash[asked_by[d]], err) ||
            !digest_compute(asked_by[d], key.bits_content, i->key_hash[asked_by[d]], err))
            return false;
    for (size_t s = 0; s < a->set_n; s++) {
        add_own(i, a->set[s].signing);
        if (a->set[s].encryption != a->set[s].signing)
            add_own(i, a->set[s].encryption);
    }
    add_own(i, a->ocsp.cert);
    return !a->ocsp.cert || responder_read(a->ocsp.cert, &i->responder, err);
}

/* Every generation once, whichever of a family was given. */
static size_t count_members(const struct authority *const *authority, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; family_member(authority[i], g); g++)
            count++;
    return count;
}

bool ocsp_issuers_new(const struct authority *const *authority, size_t n, struct ocsp_issuers **out,
                      struct err *err)
{
    size_t members = count_members(authority, n);
    struct ocsp_issuers *i = calloc(1, sizeof *i + members * sizeof i->issuer[0]);
    const struct authority *a;
    if (!i)
        return err_memory(err);
    for (size_t k = 0; k < n; k++)
        for (size_t g = 0; (a = family_member(authority[k], g)); g++)
            if (!issuer_make(&i->issuer[i->n++], a, err)) {
                ocsp_issuers_free(i);
                return false;
            }
    *out = i;
    return true;
}

void ocsp_issuers_free(struct ocsp_issuers *i)
{
    free(i);
}

/* RFC 6960 section 2.2: name and key, both. */
static const struct issuer *issuer_of(const struct ocsp_issuers *all, const struct ocsp_id *id)
{
    if (!id->known)
        return NULL;
    size_t n = digest_size(id->digest);
    for (size_t i = 0; i < all->n; i++)
        if (memcmp(all->issuer[i].key_hash[id->digest], id->key_hash.p, n) == 0 &&
            memcmp(all->issuer[i].name_hash[id->digest], id->name_hash.p, n) == 0)
            return &all->issuer[i];
    return NULL;
}

const struct authority *ocsp_issuer_of(const struct ocsp_issuers *i, const struct ocsp_id *id)
{
    const struct issuer *found = issuer_of(i, id);
    return found ? found->authority : NULL;
}

static const struct issuer *issuer_asked(const struct ocsp_issuers *all,
                                         const struct authority *only, const struct ocsp_request *r)
{
    for (size_t k = 0; k < r->n; k++) {
        const struct issuer *i = issuer_of(all, &r->id[k]);
        if (i && (!only || i->authority == only))
            return i;
    }
    return NULL;
}

const struct authority *ocsp_issuers_find(const struct ocsp_issuers *i,
                                          const struct authority *only,
                                          const struct ocsp_request *r)
{
    const struct issuer *found = issuer_asked(i, only, r);
    return found ? found->authority : NULL;
}

enum ocsp_status ocsp_authority_ready(const struct authority *a, int64_t now)
{
    const struct cert *responder = a->ocsp.cert;
    if (now >= a->cert->not_after)
        return OCSP_UNAUTHORIZED;
    if (!responder) /* RFC 6960 section 2.3: for now, if there should be one */
        return a->ocsp.fault[0] && a->ocsp.renewable ? OCSP_TRY_LATER : OCSP_UNAUTHORIZED;
    if (a->ocsp.key < 0 || now < responder->not_before || now >= responder->not_after)
        return OCSP_TRY_LATER;
    return OCSP_SUCCESSFUL;
}

/* ---- what is said ---- */

bool ocsp_basis_same(const struct ocsp_basis *basis, const struct store_cert_status *status)
{
    if (basis->known != status->known)
        return false;
    if (!basis->known)
        return true;
    bool is = basis->state == CERT_REVOKED || basis->state == CERT_HELD;
    bool was = status->state == CERT_REVOKED || status->state == CERT_HELD;
    if (!is && !was)
        return true; /* renewed or not: it stands */
    return basis->state == status->state && basis->revoked_at == status->revoked_at &&
           basis->reason == status->reason;
}

/* How far an answer about one certificate goes. */
enum verdict { VERDICT_SAY, VERDICT_SAY_ONCE, VERDICT_SILENT };

struct asker {
    struct store *store;
    const struct issuer *issuer;
    const struct ocsp_rules *rules;
    int64_t now;
};

static void say(const struct asker *k, enum ocsp_cert_status status, int64_t since, int64_t valid,
                struct ocsp_single *out)
{
    const struct authority *a = k->issuer->authority;
    int64_t from = k->now - k->rules->backdate, to = k->now + valid;
    if (from < since)
        from = since < k->now ? since : k->now;
    if (to > a->ocsp.cert->not_after)
        to = a->ocsp.cert->not_after;
    if (to > a->cert->not_after)
        to = a->cert->not_after;
    out->status = status;
    out->this_update = from;
    out->next_update = to;
    if (k->rules->archive_cutoff && status != OCSP_UNKNOWN)
        out->archive_cutoff = k->now - k->rules->retention;
}

static void say_unknown(const struct asker *k, struct ocsp_single *out)
{
    say(k, OCSP_UNKNOWN, k->now, UNKNOWN_SECONDS, out);
}

static bool forgotten(const struct asker *k, int64_t not_after)
{
    return not_after > 0 && k->now > not_after && k->now - not_after > k->rules->retention;
}

static const struct cert *own_of(const struct issuer *i, struct view serial)
{
    for (size_t n = 0; n < i->own_n; n++)
        if (view_eq(i->own[n]->serial, serial))
            return i->own[n];
    return NULL;
}

/* RFC 6960 section 2.2: what never was may be told to be on hold since 1970. */
static enum verdict say_unissued(const struct asker *k, struct ocsp_data *d,
                                 struct ocsp_single *out)
{
    switch (k->rules->unissued) {
    case OCSP_UNISSUED_UNAUTHORIZED:
        return VERDICT_SILENT;
    case OCSP_UNISSUED_REVOKED:
        say(k, OCSP_REVOKED, k->now, UNKNOWN_SECONDS, out);
        out->revoked_at = 0;
        out->reason = CRL_HOLD;
        out->archive_cutoff = 0;
        d->extended_revoke = true;
        return VERDICT_SAY_ONCE;
    case OCSP_UNISSUED_UNKNOWN:
        break;
    }
    say_unknown(k, out);
    return VERDICT_SAY_ONCE;
}

static enum verdict say_status(const struct asker *k, const struct store_cert_status *s,
                               struct ocsp_single *out)
{
    if (forgotten(k, s->not_after))
        return VERDICT_SILENT;
    switch (s->state) {
    case CERT_ACTIVE:
    case CERT_SUPERSEDED:
        say(k, OCSP_GOOD, s->reason == CRL_REMOVE_FROM_CRL ? k->now : s->issued_at, k->rules->good,
            out);
        break;
    case CERT_REVOKED:
    case CERT_HELD:
        say(k, OCSP_REVOKED, s->revoked_at,
            s->state == CERT_HELD ? k->rules->hold : k->rules->revoked, out);
        out->revoked_at = s->revoked_at;
        out->reason = s->reason;
        break;
    }
    return VERDICT_SAY;
}

/* One certificate of the authority that answers; false for a fault of the store. */
static bool look(const struct asker *k, const struct ocsp_id *id, struct ocsp_data *d,
                 struct ocsp_single *out, struct ocsp_basis *basis, enum verdict *verdict,
                 struct err *err)
{
    struct store_cert_status s;
    const struct cert *own;
    if (!store_cert_status(k->store, k->issuer->authority->key_id, id->serial, &s, err))
        return false;
    *basis = (struct ocsp_basis){s.known, s.state, s.revoked_at, s.reason, s.generation};
    if (s.known) {
        *verdict = say_status(k, &s, out);
    } else if ((own = own_of(k->issuer, id->serial)) != NULL) {
        *verdict = forgotten(k, own->not_after) ? VERDICT_SILENT : VERDICT_SAY;
        say(k, OCSP_GOOD, own->not_before, k->rules->good, out);
    } else {
        *verdict = say_unissued(k, d, out);
    }
    return true;
}

/* All of them into d->single, which has room.  *told: about at least one there is something to say;
 * *keep: it will be the same for whoever asks next. */
static bool look_at_all(const struct asker *k, const struct ocsp_issuers *all,
                        const struct ocsp_request *r, struct ocsp_data *d, struct ocsp_basis *basis,
                        bool *told, bool *keep, struct err *err)
{
    *told = false;
    *keep = r->n == 1 && !r->nonce.p;
    for (size_t n = 0; n < r->n; n++) {
        struct ocsp_single *single = &d->single[n];
        enum verdict verdict = VERDICT_SILENT;
        *single = (struct ocsp_single){.id = r->id[n].whole};
        if (issuer_of(all, &r->id[n]) == k->issuer &&
            !look(k, &r->id[n], d, single, basis, &verdict, err))
            return false;
        if (verdict == VERDICT_SILENT)
            say_unknown(k, single);
        *told = *told || verdict != VERDICT_SILENT;
        *keep = *keep && verdict == VERDICT_SAY;
    }
    return true;
}

/* ---- the answer ---- */

void ocsp_answer_clear(struct ocsp_answer *a)
{
    buf_clear(&a->data);
    buf_clear(&a->response);
    *a = (struct ocsp_answer){.status = OCSP_SUCCESSFUL};
}

/* The five octets; what was prepared goes. */
static void give_up(struct ocsp_answer *a, enum ocsp_status status)
{
    uint8_t der[OCSP_ERROR_SIZE];
    buf_clear(&a->data);
    buf_reset(&a->response);
    ocsp_error(status, der);
    a->status = status;
    a->keep = false;
    if (!buf_append(&a->response, der, sizeof der) && a->err.kind == ERR_NONE)
        err_memory(&a->err);
}

/* What may be different soon, and what is a bug of ours. */
static enum ocsp_status status_of_fault(const struct err *err)
{
    switch (err->kind) {
    case ERR_NONE:
    case ERR_REFUSED:
    case ERR_CRYPTO:
    case ERR_CONFIG:
        return OCSP_INTERNAL_ERROR;
    default:
        return OCSP_TRY_LATER;
    }
}

/* What holds for all of the answer. */
static bool sum_up(const struct ocsp_data *d, int64_t now, struct ocsp_answer *out)
{
    out->this_update = d->single[0].this_update;
    out->next_update = d->single[0].next_update;
    out->said = d->single[0].status;
    for (size_t i = 1; i < d->n; i++) {
        if (d->single[i].this_update > out->this_update)
            out->this_update = d->single[i].this_update;
        if (d->single[i].next_update < out->next_update)
            out->next_update = d->single[i].next_update;
    }
    return out->next_update > now;
}

void ocsp_answer_prepare(struct store *s, const struct ocsp_issuers *i,
                         const struct authority *only, const struct ocsp_rules *rules,
                         const struct ocsp_request *r, int64_t now, struct ocsp_answer *out)
{
    struct ocsp_single single[OCSP_MAX_IDS];
    const struct issuer *issuer = issuer_asked(i, only, r);
    enum ocsp_status status =
        issuer ? ocsp_authority_ready(issuer->authority, now) : OCSP_UNAUTHORIZED;
    if (status != OCSP_SUCCESSFUL || r->n > OCSP_MAX_IDS) {
        give_up(out, status);
        return;
    }
    const struct asker k = {s, issuer, rules, now};
    bool told;
    out->authority = issuer->authority;
    out->alg = issuer->responder.alg;
    struct ocsp_data d = {.responder_key = view_of(issuer->responder.key_hash, OCSP_KEY_HASH),
                          .produced_at = now,
                          .single = single,
                          .n = r->n,
                          .nonce = r->nonce};
    if (!look_at_all(&k, i, r, &d, &out->basis, &told, &out->keep, &out->err))
        give_up(out, status_of_fault(&out->err));
    else if (!told)
        give_up(out, OCSP_UNAUTHORIZED);
    else if (!sum_up(&d, now, out))
        give_up(out, OCSP_TRY_LATER);
    else if (!ocsp_data_build(&d, &out->data, &out->err))
        give_up(out, status_of_fault(&out->err));
}

/* ---- signing ---- */

static void seal(struct ocsp_answer *a, struct view signature)
{
    const struct cert *c = a->authority->ocsp.cert;
    if (!ocsp_response_build(buf_view(&a->data), a->alg, signature, buf_view(&c->der), &a->response,
                             &a->err))
        give_up(a, status_of_fault(&a->err));
    buf_clear(&a->data);
}

static bool waits(const struct ocsp_answer *a)
{
    return a->status == OCSP_SUCCESSFUL && a->data.n > 0;
}

/* Those of `answer` that can go in one packet with the first that waits. */
static size_t gather(struct ocsp_answer *const *answer, size_t n,
                     struct ocsp_answer *batch[OCSP_BATCH])
{
    size_t count = 0, octets = 0;
    for (size_t i = 0; i < n && count < OCSP_BATCH; i++) {
        struct ocsp_answer *a = answer[i];
        if (!waits(a) || (count > 0 && (a->authority != batch[0]->authority ||
                                        octets + a->data.n > OCSP_MAX_DATA)))
            continue;
        octets += a->data.n;
        batch[count++] = a;
    }
    return count;
}

static bool sign_batch(struct signer *lane, struct ocsp_answer *const *batch, size_t n,
                       struct err *err)
{
    struct view data[OCSP_BATCH] = {{0}};
    struct buf signature[OCSP_BATCH] = {{0}};
    for (size_t i = 0; i < n; i++)
        data[i] = buf_view(&batch[i]->data);
    bool ok =
        signer_sign_ocsp(lane, (unsigned)batch[0]->authority->ocsp.key, data, n, signature, err);
    for (size_t i = 0; i < n; i++) {
        if (ok)
            seal(batch[i], buf_view(&signature[i]));
        buf_clear(&signature[i]);
    }
    return ok;
}

/* A packet is signed or refused as a whole: if it was refused, each is asked for alone, so that one
 * that the signer does not want costs nobody else anything. */
static void sign_each(struct signer *lane, struct ocsp_answer *const *batch, size_t n,
                      const struct err *why)
{
    for (size_t i = 0; i < n; i++) {
        struct err err = *why;
        if (n > 1) {
            err_clear(&err);
            if (sign_batch(lane, &batch[i], 1, &err))
                continue;
        }
        batch[i]->err = err;
        give_up(batch[i], OCSP_TRY_LATER);
    }
}

void ocsp_answers_sign(struct signer *lane, struct ocsp_answer *const *answer, size_t n)
{
    struct ocsp_answer *batch[OCSP_BATCH];
    size_t count;
    while ((count = gather(answer, n, batch)) > 0) {
        struct err err = {0};
        if (!sign_batch(lane, batch, count, &err))
            sign_each(lane, batch, count, &err);
    }
}
