/* Whether the clock may be believed, by what was recorded in the audit log. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config_internal.h"
#include "store/page.h"

#define DAY INT64_C(86400)
/* Without an entry of so long nobody can say whether the machine was off or its clock is wrong. */
#define GAP (90 * DAY)
/* So long a clock that leapt has been seen to go on before it is believed. */
#define TRIAL DAY

static void note(void *ctx, const struct store_audit *a)
{
    *(int64_t *)ctx = a->at;
}

/* When the latest entry was written that is older than the trial; 0: there is none. */
static bool last_known(struct store *s, int64_t now, int64_t *at, struct err *err)
{
    const struct store_audit_filter f = {.until = now - TRIAL};
    struct store_page page = {.limit = 1};
    char after[STORE_CURSOR_MAX];
    *at = 0;
    do {
        memcpy(after, page.next, sizeof after);
        page.after = after;
        if (!store_audit_page(s, &f, &page, note, at, err))
            return false;
    } while (page.items == 0 && page.next[0]);
    return true;
}

/* From here on it is on trial. */
static bool record_leap(struct store *s, int64_t now, const char *text, struct err *err)
{
    struct store_audit a = {.at = now, .event = "clock.ahead", .actor = "scepd"};
    struct store_write *w = NULL;
    snprintf(a.text, sizeof a.text, "%s", text);
    if (!store_write_begin(s, &w, err))
        return false;
    if (store_audit_put(w, &a, err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

bool config_clock_believed(struct store *s, int64_t now, struct err *err)
{
    struct err why = {0};
    int64_t known, newest;
    char then[32], here[32];
    if (!last_known(s, now, &known, err) || !store_audit_newest(s, &newest, err))
        return false;
    if (known == 0 || now - TRIAL - known <= GAP)
        return true;
    text_time(now, here);
    text_time(known, then);
    err_set(
        &why, ERR_CONFLICT,
        "the clock says %s, and nothing was recorded after %s: is it right?  Until it has gone on "
        "for a day no CA is made, takes over or is put away (scepctl ca rollover does it at once)",
        here, then);
    if ((newest < now - TRIAL || newest > now) && !record_leap(s, now, why.text, err))
        return false;
    *err = why;
    return false;
}
