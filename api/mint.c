/* Challenges on demand, of which only so many may be open at once.  Counting and making are one
 * transaction: whoever asks at the same time, none is made beyond the limit, and none that is not
 * counted. */
#include <openssl/crypto.h>
#include <string.h>

#include "ndes.h"

/* In the write: refuses, makes, or fails. */
static bool mint_in(struct store_write *w, const struct challenge_key *key, const struct mint *m,
                    bool *full, char secret[CHALLENGE_TEXT_MAX], struct store_challenge *out,
                    struct err *err)
{
    uint64_t open;
    const struct challenge_wish wish = {.ttl = m->validity,
                                        .uses = 1,
                                        .endpoint = m->endpoint,
                                        .label = m->pool,
                                        .pool = m->pool,
                                        .created_by = m->by,
                                        .hex = m->hex,
                                        .now = m->now};
    if (!store_challenge_pool_count(w, m->pool, m->now, &open, err))
        return false;
    *full = open >= m->most;
    return *full || challenge_add(w, key, &wish, secret, out, err);
}

bool mint_challenge(struct store *s, const struct challenge_key *key, const struct mint *m,
                    bool *full, char secret[CHALLENGE_TEXT_MAX], struct store_challenge *out,
                    struct err *err)
{
    struct store_write *w = NULL;
    if (!store_write_begin(s, &w, err))
        return false;
    bool ok = mint_in(w, key, m, full, secret, out, err);
    if (!ok || *full) {
        store_write_abort(w);
        return ok;
    }
    if (store_write_commit(w, err))
        return true;
    OPENSSL_cleanse(secret, CHALLENGE_TEXT_MAX);
    return false;
}
