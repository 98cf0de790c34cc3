/* Making CRLs: one walk over the revocations of an authority fills the lists of all scopes that are
 * due. */
#include "ca/crl.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crl_writer.h"

/* Another complete CRL becomes a base for deltas when this part of its life has gone by since the
 * last one that did: so many bases are enough for a whole life. */
#define BASES_IN_A_LIFE 16
/* A delta is read as what changed, and stands for a shorter time than what it changes. */
#define DELTA_PERIODS 2

struct output {
    uint32_t scope;
    struct crl_writer writer;
    struct store_crl last, crl; /* the one before, as far as it is known; the new one */
};

struct job {
    const struct authority *a;
    struct signer *signer;
    struct store *store;
    int64_t now;
    struct output *out; /* owned */
    size_t n;
    struct output *complete, *delta, *shard[CRL_MAX_SHARDS + 1];
    struct store_crl_base base; /* of the delta */
    struct err *err;            /* of an entry that could not be added */
};

/* ---- entries ---- */

static bool add_as(struct job *j, struct output *o, const struct store_revoked *r,
                   enum crl_reason reason)
{
    int64_t when = r->revoked_at < o->crl.this_update ? r->revoked_at : o->crl.this_update;
    return crl_writer_add(&o->writer, view_of(r->serial, r->serial_len), when, reason, j->err);
}

/* RFC 5280 section 3.3: an entry stays until one CRL issued after the certificate's end has carried
 * it. */
static bool is_over(const struct output *o, const struct store_revoked *r)
{
    return r->not_after < o->last.this_update;
}

static bool add_to(struct job *j, struct output *o, const struct store_revoked *r)
{
    return !o || is_over(o, r) || add_as(j, o, r, r->reason);
}

/* RFC 5280 section 5.2.4: what changed since the base; what was listed there and has left the
 * complete list, because it was released or ended, as removeFromCRL. */
static bool add_to_delta(struct job *j, const struct store_revoked *r)
{
    struct output *o = j->delta;
    if (!o)
        return true;
    if (is_over(o, r))
        return r->not_after < j->base.listed_from || add_as(j, o, r, CRL_REMOVE_FROM_CRL);
    return r->changed <= j->base.generation || add_as(j, o, r, r->reason);
}

static bool collect_one(void *ctx, const struct store_revoked *r)
{
    struct job *j = ctx;
    if (r->reason == CRL_REMOVE_FROM_CRL)
        return add_to_delta(j, r);
    return add_to(j, j->complete, r) &&
           (r->shard == 0 || r->shard > CRL_MAX_SHARDS || add_to(j, j->shard[r->shard], r)) &&
           add_to_delta(j, r);
}

/* ---- times, numbers, bases ---- */

/* thisUpdate never goes back, whatever the clock does; nextUpdate never passes the authority's own
 * end. */
static bool plan_times(const struct job *j, struct output *o, struct err *err)
{
    int64_t end = j->a->cert->not_after, life = j->a->crl_validity;
    char text[32];
    if (o->scope == STORE_CRL_DELTA && DELTA_PERIODS * j->a->crl_period < life)
        life = DELTA_PERIODS * j->a->crl_period;
    o->crl.this_update = j->now > o->last.this_update ? j->now : o->last.this_update;
    o->crl.next_update = o->crl.this_update + life < end ? o->crl.this_update + life : end;
    o->crl.until = o->crl.next_update > o->last.until ? o->crl.next_update : o->last.until;
    text_time(end, text);
    return o->crl.next_update > o->crl.this_update ||
           err_refuse(err, REASON_AUTHORITY_EXPIRED, "the authority ended at %s", text);
}

/* Numbers of their own transaction: signing takes long for a large list, and nobody shall wait for
 * it.  A number that was drawn and not used is a gap, which is allowed; used twice it would never
 * be.  Delta and complete list share them (RFC 5280 section 5.2.3). */
static bool draw_numbers(struct job *j, struct err *err)
{
    struct store_write *w = NULL;
    bool ok = store_write_begin(j->store, &w, err);
    if (!ok)
        return false;
    for (size_t i = 0; ok && i < j->n; i++)
        if (&j->out[i] != j->delta)
            ok =
                store_crl_number_next(w, j->a->key_id, j->out[i].scope, &j->out[i].crl.number, err);
    if (!ok) {
        store_write_abort(w);
        return false;
    }
    if (j->delta)
        j->delta->crl.number = j->complete->crl.number;
    return store_write_commit(w, err);
}

/* RFC 5280 section 5.2.4: every complete CRL that is still valid, and so may be what a relying
 * party has, has at least the base's number.  The first one is its own base: nothing changed. */
static void choose_base(struct job *j)
{
    const struct store_crl *last = &j->complete->last;
    const struct store_crl *crl = &j->complete->crl;
    size_t i = last->base_n;
    while (i > 1 && last->bases[i - 1].free_at > j->now)
        i--;
    j->base = i > 0 ? last->bases[i - 1]
                    : (struct store_crl_base){.number = crl->number,
                                              .generation = UINT64_MAX,
                                              .listed_from = INT64_MAX};
    j->delta->crl.base = j->base.number;
}

/* Those from the chosen one on, and from time to time the new one. */
static void keep_bases(struct job *j)
{
    const struct store_crl *last = &j->complete->last;
    struct store_crl *crl = &j->complete->crl;
    for (size_t i = 0; i < last->base_n; i++)
        if (last->bases[i].number >= j->base.number)
            crl->bases[crl->base_n++] = last->bases[i];
    int64_t apart = j->a->crl_validity / BASES_IN_A_LIFE;
    const struct store_crl_base *newest = crl->base_n ? &crl->bases[crl->base_n - 1] : NULL;
    if (newest &&
        (crl->base_n == STORE_CRL_BASES || crl->this_update < newest->this_update + apart))
        return;
    struct store_crl_base base = {
        .number = crl->number,
        .generation = crl->generation,
        .this_update = crl->this_update,
        .listed_from = last->this_update,
        .free_at = newest ? last->until : 0,
    };
    crl->bases[crl->base_n++] = base;
}

/* ---- one list ---- */

static bool head_of(const struct job *j, const struct output *o, char url[CRL_URL_MAX],
                    struct crl_head *out, struct err *err)
{
    const struct authority *a = j->a;
    *out = (struct crl_head){
        .issuer = a->cert->subject,
        .sigalg = a->sigalg,
        .this_update = o->crl.this_update,
        .next_update = o->crl.next_update,
        .authority_key_id = view_of(a->key_id, sizeof a->key_id),
        .number = o->crl.number,
        .delta = o == j->delta,
        .base = o->crl.base,
    };
    if (o == j->delta)
        return true;
    if (o == j->complete) {
        if (j->delta && crl_scope_url(a->crl_url, STORE_CRL_DELTA, url))
            out->freshest_url = url;
        return true;
    }
    out->partition_url = url;
    return crl_scope_url(a->crl_url, o->scope, url) ||
           err_set(err, ERR_CONFIG, "a partition needs a CRL URL that ends in .crl");
}

static bool sign(const struct job *j, const struct output *o, struct view tbs,
                 struct buf *signature, struct err *err)
{
    return signer_sign_crl(j->signer, (unsigned)j->a->key_ca, tbs, &o->writer.file, signature,
                           err) &&
           pubkey_verify(j->a->public_key, j->a->sigalg, tbs, buf_view(signature), err);
}

static bool make(struct job *j, struct output *o, struct err *err)
{
    struct crl_head head;
    struct buf signature = {0}, before = {0}, behind = {0};
    struct view tbs = {0};
    char url[CRL_URL_MAX];
    bool ok = head_of(j, o, url, &head, err) && crl_writer_finish(&o->writer, &head, &tbs, err) &&
              sign(j, o, tbs, &signature, err) &&
              crl_writer_seal(tbs, j->a->sigalg, buf_view(&signature), &before, &behind, err);
    if (ok) {
        const struct view parts[] = {buf_view(&before), tbs, buf_view(&behind)};
        o->crl.entries = o->writer.entries;
        ok = store_crl_write(j->store, j->a->key_id, o->scope, &o->crl, parts, 3, err);
    }
    crl_writer_clear(&o->writer); /* its memory at once */
    buf_clear(&signature);
    buf_clear(&before);
    buf_clear(&behind);
    return ok;
}

/* ---- all together ---- */

static bool has(const struct crl_scopes *s, uint32_t scope)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->scope[i] == scope)
            return true;
    return false;
}

static bool output_new(struct job *j, uint32_t scope, struct err *err)
{
    struct output *o = &j->out[j->n++];
    struct err why = {0};
    *o = (struct output){.scope = scope, .writer = {.fd = -1}};
    if (scope == STORE_CRL_COMPLETE)
        j->complete = o;
    else if (scope == STORE_CRL_DELTA)
        j->delta = o;
    else
        j->shard[scope] = o;
    if (!store_crl_about(j->store, j->a->key_id, scope, &o->last, &why) &&
        why.kind != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    return plan_times(j, o, err) && crl_writer_init(&o->writer, j->a->cert->subject.n, err);
}

static bool job_start(struct job *j, const struct crl_scopes *which, struct err *err)
{
    struct crl_scopes all;
    if (!crl_scopes(j->a, j->store, &all, err))
        return false;
    j->out = calloc(all.n, sizeof *j->out);
    if (!j->out)
        return err_memory(err);
    bool together = !which || has(which, STORE_CRL_COMPLETE) || has(which, STORE_CRL_DELTA),
         ok = true;
    for (size_t i = 0; ok && i < all.n; i++) {
        bool shared = all.scope[i] == STORE_CRL_COMPLETE || all.scope[i] == STORE_CRL_DELTA;
        if (!which || (shared ? together : has(which, all.scope[i])))
            ok = output_new(j, all.scope[i], err);
    }
    return ok;
}

static bool collect(struct job *j, struct err *err)
{
    struct err why = {0};
    uint64_t generation;
    j->err = &why;
    bool ok = store_revoked_list(j->store, j->a->key_id, j->delta != NULL, collect_one, j,
                                 &generation, err);
    if (ok && why.kind != ERR_NONE) {
        *err = why;
        ok = false;
    }
    for (size_t i = 0; ok && i < j->n; i++)
        j->out[i].crl.generation = generation;
    return ok;
}

static bool keep(const struct job *j, struct err *err)
{
    struct store_write *w = NULL;
    bool ok = store_write_begin(j->store, &w, err);
    if (!ok)
        return false;
    for (size_t i = 0; ok && i < j->n; i++)
        ok = store_crl_put(w, j->a->key_id, j->out[i].scope, &j->out[i].crl, err);
    if (!ok) {
        store_write_abort(w);
        return false;
    }
    if (!store_write_commit(w, err))
        return false;
    for (size_t i = 0; i < j->n; i++)
        store_crl_tidy(j->store, j->a->key_id, j->out[i].scope);
    return true;
}

static bool publish(const struct authority *a, struct signer *signer, struct store *store,
                    int64_t now, const struct crl_scopes *which, struct err *err)
{
    struct job j = {.a = a, .signer = signer, .store = store, .now = now};
    bool ok = job_start(&j, which, err) && draw_numbers(&j, err);
    if (ok && j.delta)
        choose_base(&j);
    ok = ok && collect(&j, err);
    if (ok && j.delta)
        keep_bases(&j);
    for (size_t i = 0; ok && i < j.n; i++)
        ok = make(&j, &j.out[i], err);
    ok = ok && keep(&j, err);
    for (size_t i = 0; i < j.n; i++)
        crl_writer_clear(&j.out[i].writer);
    free(j.out);
    return ok;
}

/* Each one that was overtaken shows that somebody else has published. */
#define PUBLISH_TRIES 8

/* A list has its number before it is built: who draws a later one meanwhile, scepd or a command,
 * and is faster has published what is newer. */
bool crl_publish(const struct authority *a, struct signer *signer, struct store *store, int64_t now,
                 const struct crl_scopes *which, struct err *err)
{
    for (int i = 1; !publish(a, signer, store, now, which, err); i++) {
        if (err->kind != ERR_CONFLICT || i == PUBLISH_TRIES)
            return false;
        err_clear(err);
    }
    return true;
}
