#include "base/hex.h"

void hex_encode(struct view v, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < v.n; i++) {
        *out++ = digits[v.p[i] >> 4];
        *out++ = digits[v.p[i] & 15];
    }
    *out = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

long hex_decode(const char *s, uint8_t *out, size_t cap)
{
    size_t n = 0;
    while (*s) {
        if (*s == ':' && n > 0 && s[1] != ':') {
            s++;
            continue;
        }
        int high = digit(s[0]);
        int low = high < 0 ? -1 : digit(s[1]);
        if (low < 0 || n == cap)
            return -1;
        out[n++] = (uint8_t)(high << 4 | low);
        s += 2;
    }
    return (long)n;
}
