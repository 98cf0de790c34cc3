/* Jobs: their records, and the portions of names that belong to them. */
#include "store/job.h"
#include "verify.h"

static bool record_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_job j;
    struct err why = {0};
    uint64_t names = 0;
    if (!job_read(value, &j, &why))
        return verify_unreadable(v, TABLE_JOB, key, &why);
    if (!view_eq(key, view_str(j.id)))
        verify_problem(v, "job %s stands under another id", j.id);
    for (uint64_t i = 0; i < job_portions(&j); i++) {
        struct key k = job_items_key(j.id, i);
        struct view portion;
        uint64_t n;
        if (!txn_get(&v->t, TABLE_JOB_ITEMS, key_view(&k), &portion, err))
            return false;
        names += portion.p && job_portion_count(portion, &n) ? n : 0;
    }
    if (names != j.total)
        verify_problem(v, "job %s has %llu items of %llu", j.id, (unsigned long long)names,
                       (unsigned long long)j.total);
    return true;
}

static bool items_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    const uint8_t *end = key.n > 4 ? memchr(key.p, 0, key.n - 4) : NULL;
    struct store_job j;
    struct view record = view_of(NULL, 0);
    struct err why = {0};
    bool whole = end && end == key.p + key.n - 5;
    if (whole && !txn_get(&v->t, TABLE_JOB, view_of(key.p, (size_t)(end - key.p)), &record, err))
        return false;
    if (!record.p)
        verify_problem(v, "items of a job that is not there");
    else if (job_read(record, &j, &why) && octets_u32(end + 1) >= job_portions(&j))
        verify_problem(v, "job %s has more items than it says", j.id);
    return true;
}

bool verify_jobs(struct verify *v, struct err *err)
{
    return txn_walk(&v->t, TABLE_JOB, view_of(NULL, 0), record_entry, v, err) &&
           txn_walk(&v->t, TABLE_JOB_ITEMS, view_of(NULL, 0), items_entry, v, err);
}
