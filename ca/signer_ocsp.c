#include <string.h>

#include "pkcs7/ocsp.h"
#include "signer_internal.h"

/* OCSP answers at the signer: how several travel in one packet, and what is signed at all. */

#define CLOCKS_APART 60     /* seconds that an answer may be ahead of the signer's own clock */
#define WAITED_LONGEST 3600 /* or behind it: it stood in a queue */
#define REASON_LAST 10      /* RFC 5280 section 5.3.1: aACompromise */
#define REASON_UNUSED 7
#define REASON_REMOVED 8 /* of delta CRLs only */

/* ---- several in one ---- */

bool batch_pack(const struct view *item, size_t n, struct buf *out, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        uint32_t length = (uint32_t)item[i].n;
        ok = buf_append(out, &length, sizeof length) && buf_append(out, item[i].p, item[i].n);
    }
    return ok || err_memory(err);
}

bool batch_unpack(struct view packed, struct view *item, size_t cap, size_t *n)
{
    size_t count = 0;
    while (packed.n > 0) {
        uint32_t length;
        if (count == cap || packed.n < sizeof length)
            return false;
        memcpy(&length, packed.p, sizeof length);
        if (length > packed.n - sizeof length)
            return false;
        item[count++] = view_of(packed.p + sizeof length, length);
        packed = view_of(packed.p + sizeof length + length, packed.n - sizeof length - length);
    }
    *n = count;
    return count > 0;
}

/* ---- what may be signed ---- */

static bool refuse(struct err *err, const char *what)
{
    return err_set(err, ERR_SIGNER, "the signer refused: an OCSP answer %s", what);
}

/* RFC 6960 section 2.4: thisUpdate and nextUpdate of what is true at producedAt. */
static bool check_times(const struct ocsp_data *d, const struct cert *cert, int64_t now,
                        struct err *err)
{
    if (d->produced_at > now + CLOCKS_APART || d->produced_at < now - WAITED_LONGEST)
        return refuse(err, "of another time");
    for (size_t i = 0; i < d->n; i++) {
        const struct ocsp_single *s = &d->single[i];
        if (s->next_update == 0 || s->this_update > d->produced_at ||
            s->next_update <= d->produced_at)
            return refuse(err, "whose times contradict each other");
        if (s->next_update > cert->not_after)
            return refuse(err, "that outlives its signer");
    }
    return true;
}

static bool check_reasons(const struct ocsp_data *d, struct err *err)
{
    for (size_t i = 0; i < d->n; i++) {
        int reason = d->single[i].reason;
        if (reason > REASON_LAST || reason == REASON_UNUSED || reason == REASON_REMOVED)
            return refuse(err, "with a reason that there is not");
    }
    return true;
}

/* Whatever was not read would not be there when it is written again. */
static bool check_whole(const struct ocsp_data *d, struct view data, struct err *err)
{
    struct buf again = {0};
    bool ok = ocsp_data_build(d, &again, err);
    if (ok && !view_eq(buf_view(&again), data))
        ok = refuse(err, "with more in it than it says");
    buf_clear(&again);
    return ok;
}

bool check_ocsp(struct view data, const struct cert *cert, const struct responder *responder,
                int64_t now, struct err *err)
{
    struct ocsp_single single[OCSP_MAX_IDS];
    struct ocsp_data d = {.single = single};
    struct err why = {0};
    if (data.n > OCSP_MAX_DATA || !ocsp_data_parse(data, OCSP_MAX_IDS, &d, &why))
        return refuse(err, "that is none");
    if (d.n == 0)
        return refuse(err, "about nothing");
    if (!view_eq(d.responder_key, view_of(responder->key_hash, OCSP_KEY_HASH)))
        return refuse(err, "in another responder's name");
    if (d.other_extensions)
        return refuse(err, "with extensions that are not known");
    return check_times(&d, cert, now, err) && check_reasons(&d, err) && check_whole(&d, data, err);
}
