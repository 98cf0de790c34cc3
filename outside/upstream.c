#include "outside/upstream.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#define PAGE_MAX (256u << 10)
#define SECRET_MIN 4

/* ---- characters ---- */

enum encoding { BYTES, UTF16_LE, UTF16_BE };

/* By its mark; without one by where the zeros are, since the page is ASCII for the most part. */
static enum encoding encoding_of(struct view v, size_t *skip)
{
    size_t odd = 0, even = 0;
    *skip = 0;
    if (v.n >= 2 && v.p[0] == 0xff && v.p[1] == 0xfe) {
        *skip = 2;
        return UTF16_LE;
    }
    if (v.n >= 2 && v.p[0] == 0xfe && v.p[1] == 0xff) {
        *skip = 2;
        return UTF16_BE;
    }
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] == 0)
            (*(i % 2 ? &odd : &even))++;
    if (odd > v.n / 4)
        return UTF16_LE;
    return even > v.n / 4 ? UTF16_BE : BYTES;
}

/* ASCII stays, runs of blanks become one, all else becomes '?': no password holds it.  Owned, to be
 * wiped. */
static char *ascii_of(struct view v)
{
    size_t skip, n = 0;
    enum encoding e = encoding_of(v, &skip);
    size_t width = e == BYTES ? 1 : 2;
    char *out = malloc(v.n + 1);
    for (size_t i = skip; out && i + width <= v.n; i += width) {
        unsigned c = e == BYTES      ? v.p[i]
                     : e == UTF16_LE ? v.p[i] | (unsigned)v.p[i + 1] << 8
                                     : v.p[i + 1] | (unsigned)v.p[i] << 8;
        char a = c == '\t' || c == '\r' || c == '\n' || c == 0xa0 ? ' '
                 : c >= 0x20 && c < 0x7f                          ? (char)c
                                                                  : '?';
        if (a != ' ' || n == 0 || out[n - 1] != ' ')
            out[n++] = a;
    }
    if (out)
        out[n] = '\0';
    return out;
}

/* ---- the page ---- */

static const char *find(const char *text, const char *words)
{
    size_t n = strlen(words);
    for (; *text; text++)
        if (strncasecmp(text, words, n) == 0)
            return text;
    return NULL;
}

static size_t secret_length(const char *p)
{
    size_t n = 0;
    while (p[n] && (isalnum((unsigned char)p[n]) || strchr("-._~+/=!$@*", p[n])))
        n++;
    return n;
}

/* "<B> 8CE317021F690069 </B>" at or behind `from`, nothing but blanks around it.  With `hex`: 8
 * hexadecimal digits or more. */
static bool bold_word(const char *from, bool hex, char out[UPSTREAM_SECRET_MAX])
{
    for (const char *p = find(from, "<B>"); p; p = find(p, "<B>")) {
        p += 3;
        p += *p == ' ';
        size_t n = secret_length(p);
        const char *end = p + n + (p[n] == ' ');
        bool fits = n >= (hex ? 8 : SECRET_MIN) && n < UPSTREAM_SECRET_MAX &&
                    strncasecmp(end, "</B>", 4) == 0 &&
                    (!hex || strspn(p, "0123456789abcdefABCDEF") == n);
        if (fits) {
            memcpy(out, p, n);
            out[n] = '\0';
            return true;
        }
        if (!hex)
            return false; /* the one behind the label is meant, and no other */
    }
    return false;
}

static bool refused_by(const char *text, struct err *err)
{
    if (find(text, "password cache is full"))
        return err_refuse(
            err, REASON_UPSTREAM_REFUSED,
            "its password cache is full: too many passwords were fetched and not used");
    if (find(text, "do not have sufficient permission"))
        return err_refuse(err, REASON_UPSTREAM_REFUSED,
                          "the user has no permission to enroll on all templates of the server");
    return true;
}

static bool read_text(const char *text, struct upstream_page *out, struct err *err)
{
    static const char label[] = "enrollment challenge password is:";
    struct upstream_page page = {.secret = ""};
    const char *at = find(text, label), *minutes;
    if (!refused_by(text, err))
        return false;
    /* Where the label is in another language: the thumbprint has blanks in it, the password none.
     */
    if (!(at ? bold_word(at, false, page.secret) : bold_word(text, true, page.secret)))
        return err_refuse(err, REASON_UPSTREAM_UNAVAILABLE,
                          "the page that came back shows no password");
    page.reusable = find(text, "can be used multiple times") != NULL;
    minutes = find(text, "will expire within ");
    if (minutes)
        page.minutes = (unsigned)strtoul(minutes + strlen("will expire within "), NULL, 10);
    if (page.minutes > 60u * 24 * 366)
        page.minutes = 0;
    *out = page;
    OPENSSL_cleanse(&page, sizeof page);
    return true;
}

bool upstream_page_read(struct view body, struct upstream_page *out, struct err *err)
{
    if (body.n > PAGE_MAX)
        return err_refuse(err, REASON_UPSTREAM_UNAVAILABLE, "the page that came back is too long");
    char *text = ascii_of(body);
    if (!text)
        return err_memory(err);
    bool ok = read_text(text, out, err);
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    return ok;
}

/* ---- asking for it ---- */

static bool answer_read(const struct outside_answer *a, struct upstream_page *page, struct err *err)
{
    if (a->result != OUTSIDE_ANSWERED)
        return err_refuse(err, REASON_UPSTREAM_UNAVAILABLE, "%s", a->text);
    if (a->status == 401)
        return err_refuse(
            err, REASON_UPSTREAM_REFUSED,
            "user or password are wrong, or it wants another kind of log-in (HTTP 401)");
    if (a->status == 403)
        return err_refuse(err, REASON_UPSTREAM_REFUSED, "the user may not see the page (HTTP 403)");
    if (a->status != 200)
        return err_refuse(err, REASON_UPSTREAM_UNAVAILABLE, "it answered with HTTP %d", a->status);
    return upstream_page_read(buf_view(&a->body), page, err);
}

bool upstream_challenge(void *outside, const char *upstream, char *secret, size_t cap,
                        struct err *err)
{
    const struct outside_ask q = {.kind = OUTSIDE_UPSTREAM_ADMIN, .name = upstream};
    struct outside_answer a = {.status = 0};
    struct upstream_page page = {.secret = ""};
    if (!outside)
        return err_refuse(err, REASON_UPSTREAM_UNAVAILABLE, "nobody here can ask upstream %s",
                          upstream);
    if (!outside_wait(outside, &q, &a, err))
        return false;
    bool ok = answer_read(&a, &page, err) || err_prefix(err, "upstream %s", upstream);
    outside_answer_clear(&a);
    if (ok && strlen(page.secret) >= cap)
        ok = err_refuse(err, REASON_UPSTREAM_UNAVAILABLE, "upstream %s: the password is too long",
                        upstream);
    if (ok)
        memcpy(secret, page.secret, strlen(page.secret) + 1);
    OPENSSL_cleanse(&page, sizeof page);
    return ok;
}
