#include <stdlib.h>

#include "change.h"

enum round { ROUND_DONE, ROUND_AGAIN, ROUND_FAILED };

/* Applies all that have not failed for good.  ROUND_AGAIN: one failed after it had written
 * something, so the write is given up and the others are tried without it. */
static enum round apply_all(struct enroll_change *const *changes, struct err *results,
                            bool *out_of_it, size_t n, struct store_write *w, size_t *applied,
                            struct err *err)
{
    *applied = 0;
    for (size_t i = 0; i < n; i++) {
        if (!changes[i] || out_of_it[i])
            continue;
        err_clear(&results[i]);
        if (enroll_change_apply(changes[i], w, &results[i])) {
            ++*applied;
            continue;
        }
        if (results[i].kind == ERR_FULL) {
            *err = results[i];
            return ROUND_FAILED;
        }
        out_of_it[i] = true;
        bool clean = results[i].kind == ERR_CONFLICT && !changes[i]->dirty;
        if (!clean)
            return ROUND_AGAIN;
    }
    return ROUND_DONE;
}

/* One transaction.  Ends it either way. */
static enum round attempt(struct store *s, struct enroll_change *const *changes,
                          struct err *results, bool *out_of_it, size_t n, struct err *err)
{
    struct store_write *w = NULL;
    size_t applied;
    if (!store_write_begin(s, &w, err))
        return ROUND_FAILED;
    enum round round = apply_all(changes, results, out_of_it, n, w, &applied, err);
    if (round == ROUND_DONE && applied)
        return store_write_commit(w, err) ? ROUND_DONE : ROUND_FAILED;
    store_write_abort(w);
    return round;
}

bool enroll_commit(struct store *s, struct enroll_change *const *changes, struct err *results,
                   size_t n, struct err *err)
{
    bool *out_of_it = calloc(n ? n : 1, sizeof *out_of_it);
    if (!out_of_it)
        return err_memory(err);
    for (size_t i = 0; i < n; i++)
        err_clear(&results[i]);
    enum round round;
    struct err why = {0};
    bool again = false; /* a full map was enlarged when the write ended */
    for (;;) {
        round = attempt(s, changes, results, out_of_it, n, &why);
        if (round == ROUND_FAILED && why.kind == ERR_FULL && !again)
            again = true;
        else if (round != ROUND_AGAIN)
            break;
    }
    for (size_t i = 0; round == ROUND_FAILED && i < n; i++)
        if (changes[i])
            results[i] = why;
    free(out_of_it);
    if (round == ROUND_FAILED)
        *err = why;
    return round == ROUND_DONE;
}
