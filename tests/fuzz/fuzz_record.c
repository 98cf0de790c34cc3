/* What a damaged store gives the readers of records: the first octet says which, the rest is the
 * record.  A record is refused, or every text in it ends inside of its field, and where there is a
 * writer it writes the same octets again; one of an older version becomes one of today's. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "records.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

#define TEXT(field)                                         \
    do {                                                    \
        if (strnlen(field, sizeof(field)) == sizeof(field)) \
            fail(#field " has no end");                     \
    } while (0)

static void same(const char *what, bool written, const struct buf *again, struct view record)
{
    if (!written || !view_eq(buf_view(again), record))
        fail(what);
}

static bool cert(struct view v, struct err *err)
{
    struct store_cert c = {0};
    struct buf again = {0};
    if (!cert_read(v, &c, err))
        return false;
    TEXT(c.subject);
    TEXT(c.san);
    TEXT(c.template_name);
    TEXT(c.endpoint);
    TEXT(c.challenge);
    TEXT(c.challenge_label);
    TEXT(c.transaction);
    if (c.serial_len > sizeof c.serial)
        fail("a serial longer than its field");
    TEXT(c.device);
    TEXT(c.policy);
    bool written = cert_write(&c, &again, err);
    if (written && v.p[0] != again.p[0] && !cert(buf_view(&again), err))
        fail("an older certificate that cannot be read when it is written anew");
    if (!written || v.p[0] == again.p[0])
        same("certificate", written, &again, v);
    buf_clear(&again);
    store_cert_clear(&c);
    return true;
}

static bool transaction(struct view v, struct err *err)
{
    struct store_tx t = {0};
    struct buf again = {0};
    if (!tx_read(v, &t, err))
        return false;
    same("transaction", tx_write(&t, &again, err), &again, v);
    buf_clear(&again);
    return true;
}

static bool challenge(struct view v, struct err *err)
{
    struct store_challenge c = {0};
    return challenge_read(v, &c, err);
}

static bool request(struct view v, struct err *err)
{
    struct store_request q = {0};
    bool ok = request_read(v, &q, err);
    store_request_clear(&q);
    return ok;
}

static bool request_data(struct view v, struct err *err)
{
    struct store_request q = {0};
    bool ok = request_data_read(v, &q, err);
    store_request_clear(&q);
    return ok;
}

static bool attempt(struct view v, struct err *err)
{
    struct store_attempt a = {0};
    return attempt_read(v, &a, err);
}

static bool audit(struct view v, struct err *err)
{
    struct store_audit a = {0};
    return audit_read(v, &a, err);
}

static bool revoked(struct view v, struct err *err)
{
    struct store_revoked r = {0};
    if (!revoked_read(v, &r, err))
        return false;
    if (r.serial_len > sizeof r.serial)
        fail("a serial longer than its field");
    return true;
}

static bool crl(struct view v, struct err *err)
{
    struct store_crl c = {0};
    bool ok = crl_read(v, &c, err);
    store_crl_clear(&c);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const readers[])(struct view v, struct err * err) = {
        cert, transaction, challenge, request, request_data, attempt, audit, revoked, crl};
    struct err err = {0};
    if (size == 0)
        return 0;
    bool ok =
        readers[data[0] % (sizeof readers / sizeof *readers)](view_of(data + 1, size - 1), &err);
    if (!ok && (err.kind == ERR_NONE || err.kind == ERR_REFUSED || !err.text[0]))
        fail("a record that is refused as if somebody had asked for it");
    return 0;
}
