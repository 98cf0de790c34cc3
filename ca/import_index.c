#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "import_internal.h"

/* The database of `openssl ca`: status, end, revocation, serial, file, subject, with tabs between
 * them; a tab inside a field has a backslash before it. */
#define FIELDS 6

static bool split(struct view line, struct view field[FIELDS])
{
    size_t n = 0, start = 0;
    for (size_t i = 0; i <= line.n; i++) {
        bool tab = i < line.n && line.p[i] == '\t' && (i == 0 || line.p[i - 1] != '\\');
        if (i < line.n && !tab)
            continue;
        if (n == FIELDS)
            return false;
        field[n++] = view_of(line.p + start, i - start);
        start = i + 1;
    }
    return n == FIELDS;
}

static bool copy(struct view v, char *out, size_t cap)
{
    if (v.n >= cap || (v.n && memchr(v.p, '\0', v.n)))
        return false;
    if (v.n)
        memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return true;
}

/* YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ (RFC 5280 section 4.1.2.5). */
static bool read_time(struct view text, int64_t *out)
{
    char copied[16];
    struct tm tm;
    if ((text.n != 13 && text.n != 15) || !copy(text, copied, sizeof copied))
        return false;
    ASN1_TIME *t = ASN1_TIME_new();
    bool ok = t && ASN1_TIME_set_string(t, copied) == 1 && ASN1_TIME_to_tm(t, &tm) == 1;
    if (ok)
        *out = (int64_t)timegm(&tm);
    ASN1_TIME_free(t);
    ERR_clear_error();
    return ok;
}

/* Hex, with a sign if it is negative; to the octets that the INTEGER has. */
static bool read_serial(struct index_line *l)
{
    const char *digits = l->serial_text + (l->serial_text[0] == '-');
    size_t n = strlen(digits);
    BIGNUM *number = NULL;
    unsigned char *der = NULL;
    if (n == 0 || strspn(digits, "0123456789abcdefABCDEF") != n ||
        BN_hex2bn(&number, l->serial_text) == 0)
        return false;
    ASN1_INTEGER *integer = BN_to_ASN1_INTEGER(number, NULL);
    int size = integer ? i2d_ASN1_INTEGER(integer, &der) : 0;
    bool ok = size > 2 && size - 2 <= STORE_SERIAL_MAX; /* a length of one octet */
    if (ok) {
        l->serial_len = (size_t)size - 2;
        memcpy(l->serial, der + 2, l->serial_len);
    }
    OPENSSL_free(der);
    ASN1_INTEGER_free(integer);
    BN_free(number);
    ERR_clear_error();
    return ok;
}

/* As `openssl ca` writes them: the last three have more behind them. */
static bool reason_by_name(struct view name, enum crl_reason *out)
{
    static const struct {
        const char *name;
        enum crl_reason reason;
    } more[] = {{"holdInstruction", CRL_HOLD},
                {"keyTime", CRL_KEY_COMPROMISE},
                {"CAkeyTime", CRL_CA_COMPROMISE}};
    char text[32];
    if (name.n >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)name.n, (const char *)name.p);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (strcasecmp(more[i].name, text) == 0) {
            *out = more[i].reason;
            return true;
        }
    return crl_reason_by_standard(text, out);
}

/* time[,reason[,more]] */
static bool read_revocation(struct view text, struct index_line *l, struct err *err)
{
    const uint8_t *comma = text.n ? memchr(text.p, ',', text.n) : NULL;
    size_t n = comma ? (size_t)(comma - text.p) : text.n;
    l->reason = CRL_UNSPECIFIED;
    if (!read_time(view_of(text.p, n), &l->revoked_at))
        return err_set(err, ERR_CONFIG, "its revocation has no time");
    if (comma) {
        struct view rest = view_of(comma + 1, text.n - n - 1);
        const uint8_t *next = rest.n ? memchr(rest.p, ',', rest.n) : NULL;
        struct view name = view_of(rest.p, next ? (size_t)(next - rest.p) : rest.n);
        if (!reason_by_name(name, &l->reason))
            return err_set(err, ERR_CONFIG, "its revocation has the unknown reason \"%.*s\"",
                           (int)(name.n < 40 ? name.n : 40), (const char *)name.p);
    }
    l->revoked = l->reason != CRL_REMOVE_FROM_CRL;
    return true;
}

bool index_line_shaped(struct view line)
{
    struct view field[FIELDS];
    return split(line, field) && field[0].n == 1;
}

bool index_line_parse(struct view line, struct index_line *out, struct err *err)
{
    struct view field[FIELDS];
    struct index_line l = {.revoked = false};
    if (!split(line, field))
        return err_set(err, ERR_CONFIG, "a line of an index has %d fields with tabs between them",
                       FIELDS);
    if (field[0].n != 1 || !strchr("VER", field[0].p[0]) || field[0].p[0] == '\0')
        return err_set(err, ERR_CONFIG, "its status is none of V, E and R");
    l.status = (char)field[0].p[0];
    if (!read_time(field[1], &l.not_after))
        return err_set(err, ERR_CONFIG, "its end is no time");
    if (l.status == 'R' ? !read_revocation(field[2], &l, err) : field[2].n != 0)
        return l.status == 'R'
                   ? false
                   : err_set(err, ERR_CONFIG, "it has a revocation and status %c", l.status);
    if (!copy(field[3], l.serial_text, sizeof l.serial_text) || !read_serial(&l))
        return err_set(err, ERR_CONFIG, "its serial is no number in hex of at most %d octets",
                       STORE_SERIAL_MAX);
    if (!copy(field[4], l.file, sizeof l.file))
        return err_set(err, ERR_CONFIG, "its file name is too long");
    if (strcmp(l.file, "unknown") == 0)
        l.file[0] = '\0';
    *out = l;
    return true;
}
