/* scepctl cert ... */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "ca/keyfile.h"
#include "pkcs7/cert.h"
#include "pkcs7/csr.h"
#include "scepd/ctl.h"

#define INPUT_MAX (1u << 20) /* of a file given to cert show: no certificate comes near */

/* In the order of enum cert_state; "expired" is for lists only. */
static const char *const state_words[] = {"active",     "revoked", "held",
                                          "superseded", "expired", NULL};
#define STATE_EXPIRED 4

static const struct {
    const char *word;
    enum crl_reason reason;
} reasons[] = {
    {"unspecified", CRL_UNSPECIFIED},
    {"key-compromise", CRL_KEY_COMPROMISE},
    {"affiliation-changed", CRL_AFFILIATION_CHANGED},
    {"superseded", CRL_SUPERSEDED},
    {"cessation", CRL_CESSATION},
    {"hold", CRL_HOLD},
    {"privilege-withdrawn", CRL_PRIVILEGE_WITHDRAWN},
};
#define REASONS (sizeof reasons / sizeof reasons[0])

static const char *reason_text(enum crl_reason r)
{
    for (size_t i = 0; i < REASONS; i++)
        if (reasons[i].reason == r)
            return reasons[i].word;
    return r == CRL_CA_COMPROMISE ? "ca-compromise" : "?";
}

static int state_of(const struct store_cert *c, int64_t now)
{
    return c->state == CERT_ACTIVE && c->not_after < now ? STATE_EXPIRED : (int)c->state;
}

/* ---- list ---- */

static const struct ctl_column list_columns[] = {
    {"SERIAL", "serial", CTL_ID, false},       {"SUBJECT", "subject", CTL_TEXT, true},
    {"TEMPLATE", "template", CTL_TEXT, false}, {"STATE", "state", CTL_TEXT, false},
    {"EXPIRES", "not_after", CTL_TIME, false}, {NULL, "san", CTL_TEXT, false},
    {NULL, "endpoint", CTL_TEXT, false},       {NULL, "not_before", CTL_TIME, false},
    {NULL, "issued_at", CTL_TIME, false},      {NULL, "revoked_at", CTL_TIME, false},
    {NULL, "transaction", CTL_TEXT, false},    {NULL, "challenge", CTL_TEXT, false},
};

struct listing {
    struct ctl *ctl;
    struct ctl_list *list;
    int state; /* index of state_words, -1: all */
    bool valid_now;
    int64_t limit;
    uint64_t shown;
    bool more;
};

static bool list_one(void *ctx, const struct store_cert *c)
{
    struct listing *l = ctx;
    char serial[2 * STORE_SERIAL_MAX + 1];
    int state = state_of(c, l->ctl->now);
    if ((l->state >= 0 && state != l->state) || (l->valid_now && c->not_after < l->ctl->now))
        return true;
    if (l->limit && l->shown == (uint64_t)l->limit) {
        l->more = true;
        return false;
    }
    l->shown++;
    hex_encode(view_of(c->serial, c->serial_len), serial);
    const struct ctl_cell cells[] = {
        {serial, 0},          {c->subject, 0},       {c->template_name, 0}, {state_words[state], 0},
        {NULL, c->not_after}, {c->san, 0},           {c->endpoint, 0},      {NULL, c->not_before},
        {NULL, c->issued_at}, {NULL, c->revoked_at}, {c->transaction, 0},   {c->challenge, 0}};
    ctl_list_row(l->list, cells);
    return true;
}

int ctl_cert_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {.ctl = ctl, .state = -1};
    struct store_stats stats;
    struct err err = {0};
    int64_t within;
    int rc;
    if ((rc = ctl_arg_word(ctl, a, "state", state_words, &l.state)) ||
        (rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l.limit)) ||
        (rc = ctl_arg_duration(ctl, a, "expires-within", -1, &within)) ||
        (rc = ctl_need_store(ctl)))
        return rc;
    l.valid_now = within >= 0;
    struct store_cert_filter filter = {
        .text = ctl_arg(a, "search"),
        .state = l.state == STATE_EXPIRED ? CERT_ACTIVE : l.state,
        .endpoint = ctl_arg(a, "endpoint"),
        .template_name = ctl_arg(a, "template"),
        .expires_before = within >= 0 ? ctl->now + within : 0,
    };
    l.list = ctl_list_new(ctl, list_columns, sizeof list_columns / sizeof list_columns[0]);
    bool good = store_cert_list(ctl->store, &filter, list_one, &l, &err) &&
                store_stats(ctl->store, &stats, &err);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu shown%s, %llu stored", (unsigned long long)l.shown,
             l.more ? ", more match (--limit 0 shows all)" : "",
             (unsigned long long)stats.certificates);
    return CTL_DONE;
}

/* ---- finding one ---- */

/* "5C:1F:09..", "5c1f09a2.." as lists show it, "0x5C1F09": to lower-case digits. */
static bool serial_digits(const char *text, char out[2 * STORE_SERIAL_MAX + 1])
{
    size_t n = 0, length = strlen(text);
    const char *end = text + length;
    if (length > 2 && strcmp(end - 2, "..") == 0)
        end -= 2;
    if (end - text > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        text += 2;
    for (; text < end; text++) {
        if (*text == ':' || *text == ' ')
            continue;
        if (!isxdigit((unsigned char)*text) || n == 2 * STORE_SERIAL_MAX)
            return false;
        out[n++] = (char)tolower((unsigned char)*text);
    }
    out[n] = '\0';
    return n >= 6;
}

static int find(struct ctl *ctl, const char *id, struct store_cert *out)
{
    char digits[2 * STORE_SERIAL_MAX + 1];
    struct err err = {0};
    if (!serial_digits(id, digits))
        return ctl_fail(ctl, CTL_USAGE, "scepctl cert list -s TEXT finds serials",
                        "\"%s\" is no serial: 6 or more hexadecimal digits", id);
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (store_cert_by_prefix(ctl->store, digits, out, &err))
        return CTL_DONE;
    if (err.kind == ERR_NOT_FOUND)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl cert list",
                        "there is no certificate with serial %s", digits);
    if (err.kind == ERR_CONFLICT)
        return ctl_fail(ctl, CTL_NOT_FOUND, "give more digits", "several serials begin with %s",
                        digits);
    return ctl_fail_err(ctl, &err, NULL);
}

/* ---- show ---- */

void ctl_eku_text(const struct eku *e, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < e->n && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", eku_name(e->oid[i]));
}

static void show_extensions(struct ctl_show *s, const struct cert *c)
{
    struct extensions ext = {0};
    struct err err = {0};
    char text[1024];
    if (!c->extensions.n || !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &ext, &err))
        return;
    if (ext.has_key_usage) {
        key_usage_text(ext.key_usage, text, sizeof text);
        ctl_show_text(s, "key_usage", text);
    }
    ctl_eku_text(&ext.eku, text, sizeof text);
    ctl_show_text(s, "ext_key_usage", text);
    if (ext.is_ca)
        ctl_show_text(s, "ca", "yes");
    extensions_clear(&ext);
}

static void show_san(struct ctl_show *s, const struct cert *c)
{
    struct extensions ext = {0};
    struct err err = {0};
    char text[STORE_SUBJECT_MAX];
    if (!c->extensions.n || !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &ext, &err))
        return;
    if (ext.has_san) {
        san_text(&ext.san, text, sizeof text);
        ctl_show_text(s, "san", text);
    }
    extensions_clear(&ext);
}

void ctl_show_cert(struct ctl_show *s, const struct cert *c)
{
    struct pubkey key;
    struct err err = {0};
    char text[NAME_TEXT_MAX];
    name_der_text(c->subject, text, sizeof text);
    ctl_show_text(s, "subject", text);
    show_san(s, c);
    if (pubkey_parse(c->spki, &key, &err)) {
        pubkey_text(&key, text);
        ctl_show_text(s, "key", text);
    }
    show_extensions(s, c);
    ctl_show_time(s, "not_before", c->not_before);
    ctl_show_time(s, "not_after", c->not_after);
    name_der_text(c->issuer, text, sizeof text);
    ctl_show_text(s, "issuer", text);
    if (cert_fingerprint(c, DIGEST_SHA256, text, &err))
        ctl_show_text(s, "sha256", text);
    if (cert_fingerprint(c, DIGEST_SHA1, text, &err))
        ctl_show_text(s, "sha1", text);
}

static void show_record(struct ctl *ctl, struct ctl_show *s, const struct store_cert *r)
{
    ctl_show_text(s, "state", state_words[state_of(r, ctl->now)]);
    if (r->state == CERT_REVOKED || r->state == CERT_HELD) {
        ctl_show_time(s, "revoked_at", r->revoked_at);
        ctl_show_text(s, "revocation_reason", reason_text(r->revocation_reason));
    }
    ctl_show_text(s, "template", r->template_name);
    ctl_show_text(s, "endpoint", r->endpoint);
    ctl_show_text(s, "transaction", r->transaction);
    ctl_show_text(s, "challenge", r->challenge);
    ctl_show_time(s, "issued_at", r->issued_at);
}

static void show_link(struct ctl *ctl, struct ctl_show *s, const char *key, uint64_t id)
{
    struct store_cert other = {0};
    struct err err = {0};
    char serial[2 * STORE_SERIAL_MAX + 1];
    if (!id || !store_cert_by_id(ctl->store, id, &other, &err))
        return;
    hex_encode(view_of(other.serial, other.serial_len), serial);
    ctl_show_text(s, key, serial);
    store_cert_clear(&other);
}

static int show_stored(struct ctl *ctl, const char *id)
{
    struct store_cert r = {0};
    struct cert *c = NULL;
    struct err err = {0};
    struct ctl_show s;
    char serial[2 * STORE_SERIAL_MAX + 1];
    int rc = find(ctl, id, &r);
    if (rc)
        return rc;
    if (!cert_parse(buf_view(&r.der), &c, &err)) {
        store_cert_clear(&r);
        return ctl_fail_err(ctl, &err, NULL);
    }
    hex_encode(view_of(r.serial, r.serial_len), serial);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "serial", serial);
    show_record(ctl, &s, &r);
    ctl_show_cert(&s, c);
    show_link(ctl, &s, "renews", r.renews);
    show_link(ctl, &s, "renewed_by", r.renewed_by);
    ctl_show_end(&s);
    cert_free(c);
    store_cert_clear(&r);
    return CTL_DONE;
}

static int read_input(struct ctl *ctl, const char *path, struct buf *out)
{
    struct err err = {0};
    char chunk[4096];
    size_t n;
    if (strcmp(path, "-"))
        return file_read(path, out, &err) ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        if (out->n + n > INPUT_MAX || !buf_append(out, chunk, n))
            return ctl_fail(ctl, CTL_FAILED, NULL, "the input has more than %u octets", INPUT_MAX);
    return CTL_DONE;
}

static bool show_csr(struct ctl *ctl, struct view der)
{
    struct csr *csr = NULL;
    struct err err = {0};
    struct ctl_show s;
    char text[NAME_TEXT_MAX];
    if (!csr_parse_trusted(der, &csr, &err))
        return false;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "certification request");
    name_text(&csr->subject, text, sizeof text);
    ctl_show_text(&s, "subject", text);
    san_text(&csr->ext.san, text, sizeof text);
    ctl_show_text(&s, "san", text);
    pubkey_text(&csr->key, text);
    ctl_show_text(&s, "key", text);
    ctl_show_text(&s, "has_challenge", csr->has_challenge ? "yes" : "no");
    ctl_show_end(&s);
    csr_free(csr);
    return true;
}

/* A certificate of a file: ours are told with their state. */
static int show_file(struct ctl *ctl, const char *path)
{
    struct buf input = {0};
    struct cert *c = NULL;
    struct err err = {0};
    struct ctl_show s;
    char serial[2 * 64 + 1]; /* longer ones are cut: RFC 5280 allows 20 octets */
    int rc = read_input(ctl, path, &input);
    if (rc)
        goto out;
    if (!cert_parse_any(buf_view(&input), &c, &err)) {
        if (!show_csr(ctl, buf_view(&input)))
            rc = ctl_fail(ctl, CTL_FAILED, NULL,
                          "%s is neither a certificate nor a DER certification request: %s",
                          strcmp(path, "-") ? path : "the input", err.text);
        goto out;
    }
    struct view shown =
        view_of(c->serial.p, c->serial.n < sizeof serial / 2 ? c->serial.n : sizeof serial / 2);
    hex_encode(shown, serial);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "certificate");
    ctl_show_text(&s, "serial", serial);
    ctl_show_cert(&s, c);
    ctl_show_end(&s);
out:
    cert_free(c);
    buf_clear(&input);
    return rc;
}

int ctl_cert_show(struct ctl *ctl, const struct ctl_args *a)
{
    const char *id = a->id[0];
    char digits[2 * STORE_SERIAL_MAX + 1];
    bool file =
        strcmp(id, "-") == 0 || strchr(id, '/') || (!serial_digits(id, digits) && strchr(id, '.'));
    return file ? show_file(ctl, id) : show_stored(ctl, id);
}

/* ---- export, revoke ---- */

int ctl_print_cert(struct ctl *ctl, struct view der, bool as_der)
{
    struct buf pem = {0};
    struct err err = {0};
    if (as_der && ctl_stdout_is_terminal())
        return ctl_fail(ctl, CTL_USAGE, "write it to a file: > device.crt",
                        "DER is not for a terminal");
    if (!as_der && !cert_pem(der, &pem, &err))
        return ctl_fail_err(ctl, &err, NULL);
    struct view out = as_der ? der : buf_view(&pem);
    fwrite(out.p, 1, out.n, stdout);
    buf_clear(&pem);
    return CTL_DONE;
}

int ctl_cert_export(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_cert r = {0};
    int rc = find(ctl, a->id[0], &r);
    if (rc == CTL_DONE)
        rc = ctl_print_cert(ctl, buf_view(&r.der), ctl_arg(a, "der") != NULL);
    store_cert_clear(&r);
    return rc;
}

static int wanted_reason(struct ctl *ctl, const struct ctl_args *a, enum crl_reason *out)
{
    const char *words[REASONS + 1] = {NULL};
    int chosen = 0;
    for (size_t i = 0; i < REASONS; i++)
        words[i] = reasons[i].word;
    int rc = ctl_arg_word(ctl, a, "reason", words, &chosen);
    *out = reasons[chosen].reason;
    return rc;
}

static int revoke(struct ctl *ctl, const struct store_cert *r, const char *serial,
                  enum crl_reason reason)
{
    struct err err = {0};
    bool hold = reason == CRL_HOLD;
    if (r->state == CERT_REVOKED || (r->state == CERT_HELD && hold))
        return ctl_fail(ctl, CTL_CONFLICT, NULL, "certificate %s is %s already", serial,
                        state_words[r->state]);
    ctl_note(ctl, "%s %s, %s, reason %s.  The CRL has it within seconds where scepd runs.%s",
             ctl->dry_run ? "would revoke" : "certificate", serial, r->subject, reason_text(reason),
             hold ? "" : "  Cannot be undone.");
    if (ctl->dry_run)
        return CTL_DONE;
    int rc = ctl_confirm(ctl, "Revoke?");
    if (rc)
        return rc;
    if (!enroll_cert_revoke(ctl->store, r->id, reason, ctl->actor, ctl->now, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "revoked %s", serial);
    return CTL_DONE;
}

int ctl_cert_revoke(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_cert r = {0};
    enum crl_reason reason;
    char serial[2 * STORE_SERIAL_MAX + 1];
    int rc;
    if ((rc = wanted_reason(ctl, a, &reason)) || (rc = find(ctl, a->id[0], &r)))
        return rc;
    hex_encode(view_of(r.serial, r.serial_len), serial);
    rc = revoke(ctl, &r, serial, reason);
    store_cert_clear(&r);
    return rc;
}
