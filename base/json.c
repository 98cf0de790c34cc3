#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/wipe.h"

/* Of a text that is being read: what the first allocation gets that fails.  Not to lose an octet is
 * all that it is for; the text ends there, and what was read is dropped. */
static _Thread_local struct {
    char *p;
    size_t n;
    bool used;
} reserve;

void *whole_json_malloc(size_t n)
{
    void *p = malloc(n);
    if (p || !n)
        return p;
    memory_missed();
    if (!reserve.p || reserve.used || n > reserve.n)
        return NULL;
    reserve.used = true;
    return reserve.p;
}

void whole_json_free(void *p)
{
    if (!p || p != reserve.p)
        wipe_free(p);
}

/* jansson asks for each octet by itself, and between two of them it allocates for one string at
 * most. */
static size_t next_octet(void *out, size_t cap, void *text)
{
    struct view *rest = text;
    if (rest->n == 0 || memory_failed())
        return 0;
    *(char *)out = (char)*rest->p++;
    rest->n--;
    return 1;
}

json_t *whole_json_read(struct view text, json_error_t *why)
{
    bool before = memory_begin();
    size_t most = 2 * text.n + 64; /* what its buffer of one string grows to */
    json_t *o = NULL;
    *why = (json_error_t){.line = 0};
    if ((reserve.p = malloc(most))) {
        reserve.n = most;
        reserve.used = false;
        o = json_load_callback(next_octet, &text, JSON_REJECT_DUPLICATES, why);
    } else {
        memory_missed();
    }
    if (memory_failed()) {
        json_decref(o);
        o = NULL;
    }
    wipe_free(reserve.p);
    reserve.p = NULL;
    memory_end(before);
    return o;
}

bool whole_json_write(json_t *o, bool ok, struct buf *out)
{
    bool before = memory_begin();
    char *written = ok && o ? json_dumps(o, JSON_COMPACT) : NULL;
    bool whole = memory_end(before);
    ok = written && whole && buf_append_str(out, written);
    if (!ok)
        memory_missed();
    wipe_free(written); /* there may be a challenge in it */
    json_decref(o);
    return ok;
}
