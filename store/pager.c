#include "pager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/hex.h"

#define LIMIT_DEFAULT 50

static bool cursor_bad(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "this list has no such cursor");
}

static bool cursor_number(struct pager *p, const char *after, struct err *err)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(after, &end, 10);
    if (after[0] < '0' || after[0] > '9' || *end || errno || n == 0)
        return cursor_bad(err);
    u64_octets(n, p->at);
    p->at_n = 8;
    return true;
}

static bool cursor_read(struct pager *p, const char *after, struct err *err)
{
    if (!after || !after[0])
        return true;
    if (p->numbered)
        return cursor_number(p, after, err);
    long n = strchr(after, ':') ? -1 : hex_decode(after, p->at, sizeof p->at);
    if (n <= 0)
        return cursor_bad(err);
    p->at_n = (size_t)n;
    return true;
}

bool pager_begin(struct pager *p, struct store *s, struct store_page *page, bool numbered,
                 struct err *err)
{
    *p = (struct pager){.page = page, .numbered = numbered};
    p->limit = !page->limit                   ? LIMIT_DEFAULT
               : page->limit > STORE_PAGE_MAX ? STORE_PAGE_MAX
                                              : page->limit;
    p->scan = page->scan ? page->scan : STORE_PAGE_SCAN;
    if (!cursor_read(p, page->after, err))
        return false;
    if (page->in ? !txn_usable(&page->in->txn, err) : !txn_read(s, &p->own, err))
        return false;
    p->t = page->in ? &page->in->txn : &p->own;
    return true;
}

struct view pager_at(const struct pager *p)
{
    return view_of(p->at, p->at_n);
}

bool pager_fits(const struct pager *p, struct view prefix, struct err *err)
{
    bool fits = p->at_n == 0 || (p->at_n > prefix.n && memcmp(p->at, prefix.p, prefix.n) == 0);
    return fits || cursor_bad(err);
}

bool pager_room(struct pager *p, struct view at, bool *stop)
{
    p->more = p->items == p->limit || p->looked == p->scan;
    if (p->more || at.n > sizeof p->at) {
        *stop = true;
        return false;
    }
    p->looked++;
    memmove(p->at, at.p, at.n);
    p->at_n = at.n;
    return true;
}

bool pager_take(struct pager *p, struct view record, struct err *err)
{
    uint32_t n = (uint32_t)record.n;
    p->items++;
    return (buf_append(&p->taken, &n, sizeof n) && buf_append(&p->taken, record.p, record.n)) ||
           err_memory(err);
}

static bool give_all(const struct pager *p, pager_give give, void *ctx, struct err *err)
{
    const uint8_t *at = p->taken.p;
    for (size_t i = 0; i < p->items; i++) {
        uint32_t n;
        memcpy(&n, at, sizeof n);
        if (!give(ctx, view_of(at + sizeof n, n), err))
            return false;
        at += sizeof n + n;
    }
    return true;
}

static void cursor_write(const struct pager *p)
{
    p->page->next[0] = '\0';
    if (p->more && p->numbered)
        snprintf(p->page->next, sizeof p->page->next, "%" PRIu64, octets_u64(p->at));
    else if (p->more)
        hex_encode(pager_at(p), p->page->next);
}

bool pager_end(struct pager *p, bool ok, pager_give give, void *ctx, struct err *err)
{
    if (!p->page->in)
        txn_read_end(&p->own);
    if (ok) { /* the cursor may have been given as the place for the next one */
        cursor_write(p);
        p->page->items = p->items;
        p->page->looked = p->looked;
    }
    ok = ok && give_all(p, give, ctx, err);
    buf_clear(&p->taken);
    return ok;
}
