#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

static void fill(struct err *e, enum err_kind kind, enum reason reason, const char *fmt, va_list ap)
{
    e->kind = kind;
    e->reason = reason;
    vsnprintf(e->text, sizeof e->text, fmt, ap);
}

bool err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(e, kind, REASON_NONE, fmt, ap);
    va_end(ap);
    return false;
}

bool err_refuse(struct err *e, enum reason reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(e, ERR_REFUSED, reason, fmt, ap);
    va_end(ap);
    return false;
}

bool err_memory(struct err *e)
{
    memory_missed();
    return err_set(e, ERR_MEMORY, "out of memory");
}

bool err_errno(struct err *e, const char *fmt, ...)
{
    int number = errno;
    va_list ap;
    va_start(ap, fmt);
    fill(e, ERR_IO, REASON_NONE, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->text);
    snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(number));
    return false;
}

bool err_prefix(struct err *e, const char *fmt, ...)
{
    char rest[sizeof e->text];
    memcpy(rest, e->text, sizeof rest);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->text);
    snprintf(e->text + n, sizeof e->text - n, ": %s", rest);
    return false;
}

void err_clear(struct err *e)
{
    *e = (struct err){0};
}

const char *err_kind_name(enum err_kind kind)
{
    switch (kind) {
    case ERR_NONE:
        return "none";
    case ERR_REFUSED:
        return "refused";
    case ERR_MEMORY:
        return "memory";
    case ERR_IO:
        return "io";
    case ERR_STORE:
        return "store";
    case ERR_DAMAGED:
        return "damaged";
    case ERR_GONE:
        return "gone";
    case ERR_FULL:
        return "full";
    case ERR_CRYPTO:
        return "crypto";
    case ERR_SIGNER:
        return "signer";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_EXISTS:
        return "exists";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_BUSY:
        return "busy";
    case ERR_CONFIG:
        return "config";
    }
    return "?";
}
