/* One value of a name: which characters may be in it, and its one form (NFC). */
#include "pkcs7/name.h"

#include <stdlib.h>

#include <utf8proc.h>

static bool is_bidi_control(utf8proc_int32_t c)
{
    return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* What is wrong with a character in a name that people compare by eye, or NULL. */
static const char *character_fault(utf8proc_int32_t c)
{
    if (c == 0)
        return "NUL";
    if (is_bidi_control(c))
        return "a bidirectional control";
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
        return "a control character";
    case UTF8PROC_CATEGORY_CF:
        return "an invisible format character";
    case UTF8PROC_CATEGORY_CN:
        return "not assigned in Unicode";
    case UTF8PROC_CATEGORY_CO:
        return "for private use";
    case UTF8PROC_CATEGORY_CS:
        return "half of a surrogate pair";
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return "a line separator";
    default:
        return NULL;
    }
}

static bool check_characters(struct view v, enum reason reason, const char *what, struct err *err)
{
    unsigned position = 1;
    bool blank = false;
    for (struct view rest = v; rest.n > 0; position++) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(rest.p, (utf8proc_ssize_t)rest.n, &c);
        if (n <= 0)
            return err_refuse(err, reason, "%s is not valid UTF-8", what);
        const char *fault = character_fault(c);
        if (fault)
            return err_refuse(err, reason, "%s: character %u, U+%04X, is %s", what, position,
                              (unsigned)c, fault);
        blank = utf8proc_category(c) == UTF8PROC_CATEGORY_ZS;
        if (blank && position == 1)
            break;
        rest = view_of(rest.p + n, rest.n - (size_t)n);
    }
    return !blank || err_refuse(err, reason, "%s begins or ends with a blank", what);
}

static bool is_plain(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 || v.p[i] > 0x7e)
            return false;
    return v.p[0] != ' ' && v.p[v.n - 1] != ' ';
}

static bool check_size(size_t n, enum reason reason, const char *what, struct err *err)
{
    if (n == 0)
        return err_refuse(err, reason, "%s is empty", what);
    return n <= NAME_MAX_VALUE ||
           err_refuse(err, reason, "%s has %zu octets, at most %d", what, n, NAME_MAX_VALUE);
}

bool name_value_normalize(struct view utf8, enum reason reason, const char *what, char **out,
                          struct err *err)
{
    if (!check_size(utf8.n, reason, what, err))
        return false;
    if (is_plain(utf8)) {
        char *copy = strndup((const char *)utf8.p, utf8.n);
        if (!copy)
            return err_memory(err);
        *out = copy;
        return true;
    }
    if (!check_characters(utf8, reason, what, err))
        return false;
    utf8proc_uint8_t *nfc = NULL;
    utf8proc_ssize_t n =
        utf8proc_map(utf8.p, (utf8proc_ssize_t)utf8.n, &nfc, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0)
        return err_memory(err);
    if (!check_size((size_t)n, reason, what, err)) {
        free(nfc);
        return false;
    }
    *out = (char *)nfc;
    return true;
}
