#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned char fold_char(unsigned char c, bool fold)
{
    return fold ? (unsigned char)tolower(c) : c;
}

/* One pattern element at `p`: its length in the pattern, and whether it is a plain character. */
static size_t element(const char *p, bool *literal, char *c)
{
    if (*p == '\\' && (p[1] == '*' || p[1] == '?' || p[1] == '\\')) {
        *literal = true;
        *c = p[1];
        return 2;
    }
    *literal = *p != '*' && *p != '?';
    *c = *p;
    return 1;
}

bool text_match(const char *pattern, const char *text, bool fold)
{
    const char *star = NULL, *again = NULL; /* where to go on after a mismatch */
    while (*text) {
        bool literal;
        char c;
        size_t n = element(pattern, &literal, &c);
        if (*pattern && !literal && c == '*') {
            star = pattern += n;
            again = text;
        } else if (*pattern && ((!literal && c == '?') || (literal && fold_char((unsigned char)c, fold) ==
                                                                          fold_char((unsigned char)*text, fold)))) {
            pattern += n;
            text++;
        } else if (star) {
            pattern = star;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* Length of the valid UTF-8 character at p (no overlong forms, no surrogates), or 0. */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

/* The code point of a line end, or of a mark that turns the direction of what follows, so that the line
 * would read as another one; 0 for all other characters. */
static unsigned deceptive(const uint8_t *p, size_t len)
{
    unsigned c = len == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                 : len == 3 ? (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                            : 0;
    bool is = c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return is ? c : 0;
}

void text_printable(struct view v, char *out, size_t cap)
{
    size_t used = 0;
    for (size_t i = 0; i < v.n;) {
        size_t len = utf8_length(v.p + i, v.n - i);
        bool control = len == 1 ? v.p[i] < 0x20 || v.p[i] == 0x7f : len == 2 && v.p[i] == 0xc2 && v.p[i + 1] < 0xa0;
        unsigned marker = deceptive(v.p + i, len);
        if (marker) {
            if (used + 6 >= cap)
                break;
            used += (size_t)snprintf(out + used, cap - used, "\\u%04x", marker);
            i += len;
            continue;
        }
        if (len && !control) {
            if (used + len >= cap)
                break;
            memcpy(out + used, v.p + i, len);
            used += len;
            i += len;
            continue;
        }
        size_t bytes = len ? len : 1;
        if (used + 4 * bytes >= cap)
            break;
        for (size_t k = 0; k < bytes; k++, i++)
            used += (size_t)snprintf(out + used, cap - used, "\\x%02x", v.p[i]);
    }
    out[used] = '\0';
}

void text_time(int64_t t, char out[32])
{
    time_t tt = (time_t)t;
    struct tm tm;
    if (!gmtime_r(&tt, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, 32, "?");
}

int64_t text_duration(const char *s)
{
    if (!isdigit((unsigned char)*s))
        return -1;
    char *end;
    unsigned long long n = strtoull(s, &end, 10);
    int64_t unit;
    switch (*end) {
    case 's':
        unit = 1;
        break;
    case 'm':
        unit = 60;
        break;
    case 'h':
        unit = 3600;
        break;
    case 'd':
        unit = 86400;
        break;
    case 'y':
        unit = 365 * 86400;
        break;
    default:
        return -1;
    }
    const int64_t limit = (int64_t)100 * 366 * 86400;
    if (end[1] != '\0' || n > (unsigned long long)(limit / unit))
        return -1;
    return (int64_t)n * unit;
}

bool text_secret_eq(struct view a, struct view b)
{
    if (a.n != b.n)
        return false;
    volatile uint8_t diff = 0;
    for (size_t i = 0; i < a.n; i++)
        diff |= a.p[i] ^ b.p[i];
    return diff == 0;
}
