#include "ca/crl.h"

#include <openssl/asn1.h>
#include <openssl/err.h>

#include "base/text.h"
#include "crl_writer.h"

#define SHARD 0 /* one complete CRL; partitions would have their own */

struct collect {
    struct crl_writer *writer;
    int64_t this_update, previous; /* thisUpdate of the CRL before, 0: none */
    bool failed;
};

/* RFC 5280 section 3.3: an entry stays until one CRL issued after the certificate's end has carried
 * it. */
static bool collect_one(void *ctx, const struct store_revoked *r)
{
    struct collect *c = ctx;
    int64_t when = r->revoked_at < c->this_update ? r->revoked_at : c->this_update;

    if (r->not_after < c->previous)
        return true;
    c->failed = !crl_writer_add(c->writer, view_of(r->serial, r->serial_len), when, r->reason);
    return !c->failed;
}

static bool find_previous(const struct authority *a, struct store *store, bool *found,
                          struct store_crl *out, struct err *err)
{
    struct err why = {0};

    *found = store_crl_get(store, a->key_id, SHARD, out, &why);
    if (*found || why.kind == ERR_NOT_FOUND)
        return true;
    *err = why;
    return false;
}

/* A number of its own transaction: signing takes long for a large list, and nobody shall wait for
 * it.  A number that was drawn and not used is a gap, which is allowed; used twice it would never
 * be. */
static bool draw_number(const struct authority *a, struct store *store, uint64_t *out,
                        struct err *err)
{
    struct store_write *w = NULL;
    uint64_t number;

    if (!store_write_begin(store, &w, err))
        return false;
    if (!store_crl_number_next(w, a->key_id, SHARD, &number, err)) {
        store_write_abort(w);
        return false;
    }
    if (!store_write_commit(w, err))
        return false;
    *out = number;
    return true;
}

/* thisUpdate never goes back, whatever the clock does; nextUpdate never passes the authority's own
 * end. */
static bool plan_times(const struct authority *a, int64_t now, int64_t previous,
                       struct store_crl *crl, struct err *err)
{
    char end[32];

    crl->this_update = now > previous ? now : previous;
    crl->next_update = crl->this_update + a->crl_validity;
    if (crl->next_update > a->cert->not_after)
        crl->next_update = a->cert->not_after;
    text_time(a->cert->not_after, end);
    return crl->next_update > crl->this_update ||
           err_refuse(err, REASON_AUTHORITY_EXPIRED, "the authority ended at %s", end);
}

static bool sign(const struct authority *a, struct signer *signer, struct crl_writer *w,
                 struct store_crl *crl, struct err *err)
{
    const struct crl_head head = {
        .issuer = a->cert->subject,
        .sigalg = a->sigalg,
        .this_update = crl->this_update,
        .next_update = crl->next_update,
        .authority_key_id = view_of(a->key_id, sizeof a->key_id),
        .number = crl->number,
    };
    struct buf signature = {0};
    struct view tbs;
    bool ok = crl_writer_finish(w, &head, &tbs, err) &&
              signer_sign_crl(signer, (unsigned)a->key_ca, tbs, &signature, err) &&
              pubkey_verify(a->public_key, a->sigalg, tbs, buf_view(&signature), err) &&
              crl_writer_seal(w, a->sigalg, buf_view(&signature), &crl->der, err);

    buf_clear(&signature);
    return ok;
}

static bool build(const struct authority *a, struct signer *signer, struct store *store,
                  int64_t previous, struct store_crl *crl, struct err *err)
{
    struct crl_writer w;
    struct collect c = {&w, crl->this_update, previous, false};
    bool ok = crl_writer_init(&w, a->cert->subject.n, err) &&
              store_revoked_list(store, a->key_id, collect_one, &c, &crl->generation, err);

    if (ok && c.failed)
        ok = err_set(err, ERR_MEMORY, "the CRL is too long for the memory, or for any client");
    ok = ok && sign(a, signer, &w, crl, err);
    crl_writer_clear(&w);
    return ok;
}

static bool keep(const struct authority *a, struct store *store, const struct store_crl *crl,
                 struct err *err)
{
    struct store_write *w = NULL;

    if (!store_write_begin(store, &w, err))
        return false;
    if (!store_crl_put(w, a->key_id, SHARD, crl, err)) {
        store_write_abort(w);
        return false;
    }
    return store_write_commit(w, err);
}

bool crl_publish(const struct authority *a, struct signer *signer, struct store *store, int64_t now,
                 struct store_crl *out, struct err *err)
{
    struct store_crl previous = {0}, crl = {0};
    bool found, ok = false;

    if (!find_previous(a, store, &found, &previous, err))
        return false;
    int64_t before = found ? previous.this_update : 0;
    store_crl_clear(&previous);
    if (!plan_times(a, now, before, &crl, err) || !draw_number(a, store, &crl.number, err) ||
        !build(a, signer, store, before, &crl, err) || !keep(a, store, &crl, err))
        goto out;
    *out = crl;
    crl = (struct store_crl){0};
    ok = true;
out:
    store_crl_clear(&crl);
    return ok;
}

bool crl_due(const struct authority *a, struct store *store, int64_t now, bool *due,
             struct err *err)
{
    struct store_crl last = {0};
    uint64_t generation;
    bool found;

    if (!find_previous(a, store, &found, &last, err))
        return false;
    bool ok = store_revocation_generation(store, a->key_id, &generation, err);
    if (ok)
        *due = !found || last.generation != generation || now >= last.this_update + a->crl_period ||
               now >= last.next_update;
    store_crl_clear(&last);
    return ok;
}

/* The content of what begins at *p, and *p behind it: OpenSSL's own objects would take 2.5 seconds
 * for a million entries. */
static bool into(const unsigned char **p, const unsigned char *end, int tag, bool enter)
{
    long n;
    int found, class;
    const unsigned char *at = *p;
    if (at >= end || (ASN1_get_object(&at, &n, &found, &class, end - at) & 0x80) || n > end - at ||
        (tag && (found != tag || class != V_ASN1_UNIVERSAL)))
        return false;
    *p = enter ? at : at + n;
    return true;
}

uint64_t crl_entries(struct view der)
{
    const unsigned char *p = der.p, *end = der.p + der.n;
    uint64_t n = 0;
    if (!der.n || !into(&p, end, V_ASN1_SEQUENCE, true))
        return 0;
    const unsigned char *tbs_end = p;
    if (!into(&tbs_end, end, V_ASN1_SEQUENCE, false) || !into(&p, end, V_ASN1_SEQUENCE, true))
        return 0;
    /* version, algorithm, issuer, thisUpdate, nextUpdate */
    for (int i = 0; i < 5; i++)
        if (!into(&p, tbs_end, 0, false))
            return 0;
    const unsigned char *list_end = p;
    if (into(&list_end, tbs_end, V_ASN1_SEQUENCE, false) &&
        into(&p, tbs_end, V_ASN1_SEQUENCE, true))
        while (p < list_end && into(&p, list_end, V_ASN1_SEQUENCE, false))
            n++;
    ERR_clear_error();
    return n;
}
