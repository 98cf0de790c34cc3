#include "http/http.h"

#include <string.h>

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
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '%') {
            int high = i + 1 < n ? hex_digit(s[i + 1]) : -1;
            int low = i + 2 < n ? hex_digit(s[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out->p[out->n++] = (uint8_t)c; /* there is room */
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

enum { B64_SKIP = -1, B64_PAD = -2, B64_BAD = -3 };

/* Both alphabets of RFC 4648; a blank is a '+' that some layer took for one. */
static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    switch (c) {
    case '+':
    case '-':
    case ' ':
        return 62;
    case '/':
    case '_':
        return 63;
    case '\r':
    case '\n':
    case '\t':
        return B64_SKIP;
    case '=':
        return B64_PAD;
    default:
        return B64_BAD;
    }
}

/* RFC 8894 section 4.1 */
bool http_query_base64(struct view text, struct buf *out, struct err *err)
{
    buf_reset(out);
    if (!buf_reserve(out, text.n / 4 * 3 + 3))
        return err_memory(err);
    uint32_t bits = 0;
    size_t digits = 0, pads = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = base64_digit(text.p[i]);
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
        bits = bits << 6 | (uint32_t)d;
        digits++;
        if (digits % 4 == 0) {
            uint8_t three[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
            if (!buf_append(out, three, 3))
                return err_memory(err);
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
