/* GetCACaps (RFC 8894 section 3.5): every octet of it matters to some client. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "scepctl/probe.h"

#define MAX_WORDS 64
#define CRYPTLIB_WORDS 32 /* it reads no more lines */
#define MAX_WORD 64

struct words {
    char word[MAX_WORDS][MAX_WORD]; /* printable */
    size_t n;
    bool crlf, blank_line, blanks, too_many, unended;
};

/* RFC 8894 section 3.5.2, and those that servers and clients have besides. */
static const char *const known_words[] = {
    "AES",     "DES3",         "GetNextCACert", "POSTPKIOperation", "Renewal", "SHA-1", "SHA-256",
    "SHA-512", "SCEPStandard", "SHA-224",       "SHA-384",          "Update",  "MD5",   "DES",
};

static void take_line(struct view line, struct words *out)
{
    if (line.n && line.p[line.n - 1] == '\r') {
        out->crlf = true;
        line.n--;
    }
    if (line.n == 0) {
        out->blank_line = true;
        return;
    }
    for (size_t i = 0; i < line.n; i++)
        out->blanks = out->blanks || line.p[i] == ' ' || line.p[i] == '\t';
    if (out->n == MAX_WORDS)
        out->too_many = true;
    else
        text_printable(line, out->word[out->n++], MAX_WORD);
}

static void split(struct view body, struct words *out)
{
    *out = (struct words){0};
    while (body.n) {
        const uint8_t *end = memchr(body.p, '\n', body.n);
        size_t n = end ? (size_t)(end - body.p) : body.n;
        take_line(view_of(body.p, n), out);
        out->unended = !end;
        body = end ? view_of(end + 1, body.n - n - 1) : view_of(body.p + n, 0);
    }
}

static const char *known_as(const char *word, bool exactly)
{
    for (size_t i = 0; i < sizeof known_words / sizeof known_words[0]; i++)
        if (exactly ? strcmp(word, known_words[i]) == 0 : strcasecmp(word, known_words[i]) == 0)
            return known_words[i];
    return NULL;
}

static bool has(const struct words *w, const char *word)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->word[i], word) == 0)
            return true;
    return false;
}

static void check_lines(struct probe *p, const struct words *w)
{
    if (w->crlf)
        probe_fail(p, PROBE_CAPS_LINES, C(APPLE),
                   "CR LF: Apple's words keep the CR and are not found");
    if (w->blank_line)
        probe_warn(p, PROBE_CAPS_LINES, C_STRONGSWAN,
                   "an empty line: strongSwan takes it for every word there is");
    if (w->blanks)
        probe_fail(p, PROBE_CAPS_LINES, C_ALL, "blanks within a line: no word is found");
    if (w->n > CRYPTLIB_WORDS)
        probe_warn(p, PROBE_CAPS_LINES, C(CRYPTLIB), "more than %d lines", CRYPTLIB_WORDS);
    if (!p->finding[PROBE_CAPS_LINES].known)
        probe_ok(p, PROBE_CAPS_LINES, "%zu words, LF%s", w->n,
                 w->unended ? ", the last line without" : "");
}

/* RFC 8894 section 6: a private word begins with a domain name. */
static bool is_private(const char *word)
{
    const char *dot = strchr(word, '.');
    return dot && dot != word && dot[1];
}

static void check_words(struct probe *p, const struct words *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const char *word = w->word[i], *right = known_as(word, false);
        if (right && !known_as(word, true))
            probe_fail(p, PROBE_CAPS_CASE, 0, "\"%s\" is written \"%s\"", word, right);
        if (!right && !is_private(word))
            probe_warn(p, PROBE_CAPS_UNKNOWN, NOBODY, "\"%s\"", word);
        for (size_t j = 0; j < i; j++)
            if (strcasecmp(word, w->word[j]) == 0)
                probe_warn(p, PROBE_CAPS_TWICE, NOBODY, "\"%s\"", word);
    }
    if (!p->finding[PROBE_CAPS_CASE].known)
        probe_ok(p, PROBE_CAPS_CASE, "exact");
    if (!p->finding[PROBE_CAPS_UNKNOWN].known)
        probe_ok(p, PROBE_CAPS_UNKNOWN, "none is unknown");
    if (!p->finding[PROBE_CAPS_TWICE].known)
        probe_ok(p, PROBE_CAPS_TWICE, "no word twice");
}

/* What old clients conclude from words that are there or not; SCEPStandard is too new for them. */
static void check_strength(struct probe *p, const struct words *w)
{
    bool aes = has(w, "AES"), sha256 = has(w, "SHA-256"), standard = has(w, "SCEPStandard");
    if (aes && sha256)
        probe_ok(p, PROBE_CAPS_STRONG, "both announced");
    else if (standard)
        probe_warn(p, PROBE_CAPS_STRONG,
                   C(APPLE) | C(ANDROID) | C(CHROMEOS) | C(STRONGSWAN6) | C(WINDOWS),
                   "only through SCEPStandard, which older clients do not know");
    else
        probe_fail(p, PROBE_CAPS_STRONG, C_ALL & ~C(MICROMDM), "%s%s%s not announced",
                   aes ? "" : "AES", !aes && !sha256 ? " and " : "", sha256 ? "" : "SHA-256");
    if (standard && (!aes || !sha256 || !has(w, "POSTPKIOperation")))
        probe_warn(p, PROBE_CAPS_STANDARD, NOBODY,
                   "announced, but not each word that it stands for");
    else if (standard)
        probe_ok(p, PROBE_CAPS_STANDARD, "announced");
    else
        probe_warn(p, PROBE_CAPS_STANDARD, NOBODY,
                   "not announced: a server of RFC 8894 says so (sections 3.5.2, 7.5)");
    if (has(w, "POSTPKIOperation"))
        probe_ok(p, PROBE_CAPS_POST, "announced");
    else if (standard)
        probe_warn(p, PROBE_CAPS_POST, C(APPLE) | C(MICROMDM), "only through SCEPStandard");
    else
        probe_warn(p, PROBE_CAPS_POST, 0, "not announced: every message comes by GET");
    if (has(w, "SHA-384"))
        probe_ok(p, PROBE_CAPS_SHA384, "announced");
    else
        probe_warn(p, PROBE_CAPS_SHA384, 0, "not announced");
    if (has(w, "Renewal"))
        probe_ok(p, PROBE_CAPS_RENEWAL, "announced");
    else
        probe_warn(p, PROBE_CAPS_RENEWAL, 0, "not announced");
}

void probe_caps(struct probe *p, struct view body)
{
    struct words w;
    split(body, &w);
    client_caps_from_answer(body, &p->caps);
    p->has_caps =
        w.n > 0 && (p->caps.digests || p->caps.ciphers || p->caps.post || p->caps.renewal);
    if (!p->has_caps) {
        probe_fail(p, PROBE_CAPS_ANSWER, 0, "%s", w.n ? "no word of RFC 8894 in it" : "empty");
        return;
    }
    p->next_announced = has(&w, "GetNextCACert");
    if (w.too_many)
        probe_warn(p, PROBE_CAPS_ANSWER, NOBODY, "more than %d lines", MAX_WORDS);
    else
        probe_ok(p, PROBE_CAPS_ANSWER, "%s", p->caps.words);
    check_lines(p, &w);
    check_words(p, &w);
    check_strength(p, &w);
}

/* Certmonger sends 0, jscep and PyScep nothing, Windows "default", Apple a name with blanks. */
void probe_caps_messages(struct probe *p, struct view body)
{
    static const struct {
        const char *query, *what;
    } forms[] = {
        {"operation=GetCACaps", "none"},
        {"operation=GetCACaps&message=", "empty"},
        {"operation=GetCACaps&message=0", "0"},
        {"operation=GetCACaps&message=default", "default"},
        {"operation=GetCACaps&message=scepd%20probe%20%2B", "a name"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct probe_request r = {.query = forms[i].query};
        struct probe_answer a = {0};
        struct err err = {0};
        if (!probe_send(p, &r, &a, &err))
            probe_warn(p, PROBE_CAPS_MESSAGE, 0, "%s: %s", forms[i].what, err.text);
        else if (a.status != 200)
            probe_warn(p, PROBE_CAPS_MESSAGE, 0, "%s: HTTP %ld", forms[i].what, a.status);
        else if (!view_eq(buf_view(&a.body), body))
            probe_warn(p, PROBE_CAPS_MESSAGE, 0, "%s: another answer", forms[i].what);
        probe_answer_clear(&a);
    }
    if (!p->finding[PROBE_CAPS_MESSAGE].known)
        probe_ok(p, PROBE_CAPS_MESSAGE, "none, empty, 0, a name: all the same");
}
