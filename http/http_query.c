#include "http/http.h"

#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_percent_decode(const char *s, size_t n, struct buf *out)
{
    if (!buf_reserve(out, n))
        return false;
    while (n > 0) {
        const char *escape = memchr(s, '%', n);
        size_t plain = escape ? (size_t)(escape - s) : n;
        buf_append(out, s, plain); /* there is room */
        s += plain;
        n -= plain;
        if (n == 0)
            break;
        int high = n > 1 ? hex_digit(s[1]) : -1, low = n > 2 ? hex_digit(s[2]) : -1;
        if (high < 0 || low < 0)
            return false;
        out->p[out->n++] = (uint8_t)(high << 4 | low);
        s += 3;
        n -= 3;
    }
    return true;
}

bool http_query_get(const char *raw_query, const char *name, struct buf *out)
{
    buf_reset(out);
    size_t name_n = strlen(name);
    for (const char *p = raw_query; *p; p += *p == '&') {
        size_t n = strcspn(p, "&");
        if (n >= name_n && memcmp(p, name, name_n) == 0) {
            if (n == name_n) /* "&message": there, and empty */
                return true;
            if (p[name_n] == '=') {
                if (http_percent_decode(p + name_n + 1, n - name_n - 1, out))
                    return true;
                buf_reset(out);
                return false;
            }
        }
        p += n;
    }
    return false;
}

/* Of one element, "gzip;q=0.5": its weight is 1 unless it says another. */
static bool has_weight(const char *element, size_t n)
{
    const char *q = memchr(element, ';', n), *end = element + n;
    if (!q)
        return true;
    do
        q++;
    while (q < end && (*q == ' ' || *q == '\t'));
    if (end - q < 2 || (*q | 0x20) != 'q' || q[1] != '=')
        return true;
    for (q += 2; q < end; q++)
        if (*q >= '1' && *q <= '9')
            return true;
    return false;
}

bool http_accepts(const char *accept_encoding, const char *coding)
{
    bool others = false;
    for (const char *p = accept_encoding; p && *p; p += *p == ',') {
        p += strspn(p, " \t");
        size_t n = strcspn(p, ","), name = strcspn(p, ",; \t");
        if (name == strlen(coding) && strncasecmp(p, coding, name) == 0)
            return has_weight(p, n);
        if (name == 1 && *p == '*')
            others = has_weight(p, n);
        p += n;
    }
    return others;
}

/* What is in the table: digits of both alphabets of RFC 4648 as their value and one, 0 for what is
 * none, and: */
enum { B64_BAD = 0, B64_SKIP = 65, B64_PAD = 66 };

/* A blank is a '+' that some layer took for one. */
static const uint8_t base64_table[256] = {
    ['A'] = 1,       ['B'] = 2,  ['C'] = 3,         ['D'] = 4,         ['E'] = 5,
    ['F'] = 6,       ['G'] = 7,  ['H'] = 8,         ['I'] = 9,         ['J'] = 10,
    ['K'] = 11,      ['L'] = 12, ['M'] = 13,        ['N'] = 14,        ['O'] = 15,
    ['P'] = 16,      ['Q'] = 17, ['R'] = 18,        ['S'] = 19,        ['T'] = 20,
    ['U'] = 21,      ['V'] = 22, ['W'] = 23,        ['X'] = 24,        ['Y'] = 25,
    ['Z'] = 26,      ['a'] = 27, ['b'] = 28,        ['c'] = 29,        ['d'] = 30,
    ['e'] = 31,      ['f'] = 32, ['g'] = 33,        ['h'] = 34,        ['i'] = 35,
    ['j'] = 36,      ['k'] = 37, ['l'] = 38,        ['m'] = 39,        ['n'] = 40,
    ['o'] = 41,      ['p'] = 42, ['q'] = 43,        ['r'] = 44,        ['s'] = 45,
    ['t'] = 46,      ['u'] = 47, ['v'] = 48,        ['w'] = 49,        ['x'] = 50,
    ['y'] = 51,      ['z'] = 52, ['0'] = 53,        ['1'] = 54,        ['2'] = 55,
    ['3'] = 56,      ['4'] = 57, ['5'] = 58,        ['6'] = 59,        ['7'] = 60,
    ['8'] = 61,      ['9'] = 62, ['+'] = 63,        ['-'] = 63,        [' '] = 63,
    ['/'] = 64,      ['_'] = 64, ['\r'] = B64_SKIP, ['\n'] = B64_SKIP, ['\t'] = B64_SKIP,
    ['='] = B64_PAD,
};

/* RFC 8894 section 4.1 */
bool http_query_base64(struct view text, struct buf *out, struct err *err)
{
    buf_reset(out);
    if (!buf_reserve(out, text.n / 4 * 3 + 3))
        return err_memory(err);
    uint32_t bits = 0;
    size_t digits = 0, pads = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned d = base64_table[text.p[i]];
        if (d == B64_SKIP || (pads && text.p[i] == ' '))
            continue;
        if (d == B64_PAD) {
            pads++;
            continue;
        }
        if (d == B64_BAD)
            return err_refuse(err, REASON_HTTP_MALFORMED,
                              "the message is not base64: octet 0x%02x at offset %zu", text.p[i],
                              i);
        if (pads)
            return err_refuse(err, REASON_HTTP_MALFORMED,
                              "the message is not base64: a digit after the padding at offset %zu",
                              i);
        bits = bits << 6 | (d - 1);
        digits++;
        if (digits % 4 == 0) { /* there is room */
            out->p[out->n++] = (uint8_t)(bits >> 16);
            out->p[out->n++] = (uint8_t)(bits >> 8);
            out->p[out->n++] = (uint8_t)bits;
        }
    }
    size_t rest = digits % 4;
    if (digits == 0)
        return err_refuse(err, REASON_HTTP_MALFORMED, "the message is empty");
    if (rest == 1 || pads > 2)
        return err_refuse(err, REASON_HTTP_MALFORMED,
                          "the message is not base64: %zu digits and %zu '=' at its end", digits,
                          pads);
    bits <<= 6 * (4 - rest);
    uint8_t two[2] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8)};
    if (rest && !buf_append(out, two, rest - 1))
        return err_memory(err);
    return true;
}
