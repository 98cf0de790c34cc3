/* Real messages that cannot be granted: a poll for a request that nobody made, a request that no CA
 * can sign, a question for a certificate that nobody has.  The first that gets a usable answer
 * becomes the yardstick: whatever is tried afterwards, an algorithm, a form of GET, changes one
 * thing in it, and is taken when the answer stays the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ca/keyfile.h"
#include "scepctl/probe.h"

struct yardstick {
    struct probe_message m;
    struct buf content; /* what m.content views */
    char transaction[33];
    enum probe_transport how;
    struct probe_reply reply;
    bool usable; /* a CertRep that is no complaint about algorithms */
};

static bool make_identity(struct probe *p, struct err *err)
{
    EVP_PKEY *key = NULL;
    struct name name = {0};
    bool ok = key_generate("rsa2048", &key, err) && name_from_text("CN=scepd-probe", &name, err) &&
              client_identity_self_signed(key, &name, p->ctl->now, &p->who, err);
    name_clear(&name);
    EVP_PKEY_free(key);
    return ok;
}

/* ---- the yardstick ---- */

static bool content_of(struct probe *p, enum scep_type type, struct buf *out, struct err *err)
{
    switch (type) {
    case SCEP_CERT_POLL:
        return probe_poll_content(p, 0, out, err);
    case SCEP_PKCS_REQ:
    case SCEP_RENEWAL_REQ:
        return probe_hopeless_csr(p, out, err);
    case SCEP_GET_CERT:
        return probe_serial_content(p, view_of(NULL, 0), out, err);
    case SCEP_GET_CRL:
        return probe_serial_content(p, p->ca.issuer->serial, out, err);
    case SCEP_CERT_REP:
        break;
    }
    return err_set(err, ERR_CRYPTO, "no content for this type");
}

static bool ask_once(struct probe *p, struct yardstick *y, enum scep_type type, struct err *err)
{
    probe_reply_clear(&y->reply);
    buf_clear(&y->content);
    y->m.type = type;
    if (!content_of(p, type, &y->content, err) || !probe_transaction(y->transaction, err))
        return false;
    y->m.content = buf_view(&y->content);
    y->m.transaction_id = y->transaction;
    if (!probe_ask(p, y->how, &y->m, &p->who, &y->reply, err))
        return false;
    y->usable = y->reply.outcome == OUT_CERTREP &&
                (y->reply.status == SCEP_PENDING ||
                 (y->reply.status == SCEP_FAILURE && y->reply.fail_info != FAIL_BAD_ALG));
    return true;
}

/* What RFC 8894 section 2.9 makes mandatory first, then what older servers know. */
static bool find_yardstick(struct probe *p, struct yardstick *y, struct err *err)
{
    static const struct {
        enum digest digest;
        enum cipher cipher;
    } strength[] = {{DIGEST_SHA256, CIPHER_AES128}, {DIGEST_SHA1, CIPHER_DES3}};
    static const enum scep_type types[] = {SCEP_CERT_POLL, SCEP_PKCS_REQ, SCEP_GET_CERT};
    for (size_t s = 0; s < 2; s++)
        for (size_t t = 0; t < 3; t++) {
            y->m.digest = strength[s].digest;
            y->m.cipher = strength[s].cipher;
            if (!ask_once(p, y, types[t], err))
                return false;
            if (y->usable)
                return true;
        }
    return true;
}

/* By POST where it is announced; by GET when that leads nowhere. */
static bool find_transport(struct probe *p, struct yardstick *y, struct err *err)
{
    char first[sizeof y->reply.text];
    y->how = p->caps.post ? BY_POST : BY_GET;
    if (!find_yardstick(p, y, err) || y->usable)
        return y->usable;
    snprintf(first, sizeof first, "%s", y->reply.text);
    y->how = y->how == BY_POST ? BY_GET : BY_POST;
    if (!find_yardstick(p, y, err))
        return false;
    if (!y->usable)
        return err_set(err, ERR_IO, "%s", first);
    if (y->how == BY_GET)
        probe_fail(p, PROBE_POST_HONOURED, 0, "announced, but %s", first);
    return true;
}

/* The same as the yardstick but for what `m` says; `told` gets what came. */
static bool taken(struct probe *p, const struct yardstick *y, const struct probe_message *m,
                  char *told, size_t cap)
{
    struct probe_reply r = {0};
    struct err err = {0};
    bool made = probe_ask(p, y->how, m, &p->who, &r, &err);
    bool same = made && probe_same(&r, &y->reply);
    snprintf(told, cap, "%s", made ? r.text : err.text);
    probe_reply_clear(&r);
    return same;
}

/* ---- algorithms ---- */

enum wanted { MUST_WORK, MUST_NOT_WORK, AS_ANNOUNCED, MAY_WORK };

static void judge_algorithm(struct probe *p, enum probe_check c, enum wanted wanted, bool announced,
                            bool works, const char *told)
{
    if (works && wanted == MUST_NOT_WORK)
        probe_warn(p, c, NOBODY,
                   "accepted, which RFC 8894 section 2.9 forbids: only for devices that know "
                   "nothing better");
    else if (!works && (announced || wanted == MUST_WORK))
        probe_fail(p, c, 0, "%s, but refused: %s", announced ? "announced" : "mandatory", told);
    else if (works && !announced && wanted == AS_ANNOUNCED)
        probe_warn(p, c, NOBODY, "accepted, but not announced");
    else if (!works && wanted == MAY_WORK)
        probe_warn(p, c, 0, "refused: %s", told);
    else
        probe_ok(p, c, "%s%s", works ? "accepted" : "refused", announced ? ", announced" : "");
}

static void check_digests(struct probe *p, const struct yardstick *y)
{
    static const struct {
        enum probe_check check;
        enum digest digest;
        enum wanted wanted;
    } all[] = {{PROBE_ALG_MD5, DIGEST_MD5, MUST_NOT_WORK},
               {PROBE_ALG_SHA1, DIGEST_SHA1, AS_ANNOUNCED},
               {PROBE_ALG_SHA256, DIGEST_SHA256, MUST_WORK},
               {PROBE_ALG_SHA384, DIGEST_SHA384, AS_ANNOUNCED},
               {PROBE_ALG_SHA512, DIGEST_SHA512, AS_ANNOUNCED}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct probe_message m = y->m;
        char told[400];
        m.digest = all[i].digest;
        bool works = taken(p, y, &m, told, sizeof told);
        judge_algorithm(p, all[i].check, all[i].wanted, p->caps.digests & ALG_BIT(m.digest), works,
                        told);
    }
}

static void check_ciphers(struct probe *p, const struct yardstick *y)
{
    static const struct {
        enum probe_check check;
        enum cipher cipher;
        enum wanted wanted;
    } all[] = {{PROBE_ALG_DES, CIPHER_DES, MUST_NOT_WORK},
               {PROBE_ALG_DES3, CIPHER_DES3, AS_ANNOUNCED},
               {PROBE_ALG_AES128, CIPHER_AES128, MUST_WORK},
               {PROBE_ALG_AES192, CIPHER_AES192, MAY_WORK},
               {PROBE_ALG_AES256, CIPHER_AES256, MAY_WORK}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct probe_message m = y->m;
        char told[400];
        m.cipher = all[i].cipher;
        if (m.cipher == CIPHER_DES && !p->legacy) {
            probe_skip(p, all[i].check, "OpenSSL's legacy provider is not installed here");
            continue;
        }
        bool works = taken(p, y, &m, told, sizeof told);
        judge_algorithm(p, all[i].check, all[i].wanted, p->caps.ciphers & ALG_BIT(m.cipher), works,
                        told);
    }
}

static void check_forms(struct probe *p, const struct yardstick *y)
{
    struct probe_message oaep = y->m, ber = y->m, to_ca = y->m;
    struct pubkey key;
    struct err ignored;
    char told[400];
    oaep.padding = PADDING_OAEP;
    if (taken(p, y, &oaep, told, sizeof told))
        probe_ok(p, PROBE_ALG_OAEP, "decrypted");
    else
        probe_fail(p, PROBE_ALG_OAEP, 0, "%s", told);
    ber.ber = true;
    if (taken(p, y, &ber, told, sizeof told))
        probe_ok(p, PROBE_ALG_BER, "read");
    else
        probe_fail(p, PROBE_ALG_BER, 0, "%s", told);
    to_ca.recipient = p->ca.issuer;
    if (view_eq(buf_view(&p->ca.issuer->der), buf_view(&p->ca.recipient->der)))
        probe_ok(p, PROBE_PKI_TO_CA, "there is no RA");
    else if (!pubkey_parse(p->ca.issuer->spki, &key, &ignored) || key.type != KEY_RSA)
        probe_skip(p, PROBE_PKI_TO_CA, "the CA has no RSA key");
    else if (taken(p, y, &to_ca, told, sizeof told))
        probe_ok(p, PROBE_PKI_TO_CA, "decrypted too");
    else
        probe_warn(p, PROBE_PKI_TO_CA, 0, "%s", told);
}

/* RFC 8894 section 5.1: who is asked shows in the recipient. */
static void check_next(struct probe *p, const struct yardstick *y)
{
    struct probe_message m = y->m;
    struct pubkey key;
    struct err ignored;
    char told[400];
    m.recipient = p->next;
    if (!p->next)
        probe_skip(p, PROBE_PKI_TO_NEXT, "there is no next CA");
    else if (!pubkey_parse(p->next->spki, &key, &ignored) || key.type != KEY_RSA)
        probe_skip(p, PROBE_PKI_TO_NEXT, "the next CA has no RSA key");
    else if (taken(p, y, &m, told, sizeof told))
        probe_ok(p, PROBE_PKI_TO_NEXT, "decrypted");
    else
        probe_warn(p, PROBE_PKI_TO_NEXT, 0, "%s", told);
}

/* ---- transactionIDs ---- */

static void check_transaction_ids(struct probe *p, const struct yardstick *y)
{
    static const char *const odd[] = {
        "1", "SSCEP transactionId", "q0+/3k8Zb7yO2mTnV5Xw1cEhLds=",
        "103945610394561039456103945610394561039456103945610394561039456103945610394561",
        "0000.user-name:(x)?"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct probe_message m = y->m;
        struct probe_reply r = {0};
        struct err err = {0};
        m.transaction_id = odd[i];
        bool made = probe_ask(p, y->how, &m, &p->who, &r, &err);
        const struct inspected_attribute *a = &r.seen.attribute[ATTR_TRANSACTION_ID];
        if (!made || r.outcome != OUT_CERTREP)
            probe_fail(p, PROBE_PKI_TRANSACTION_IDS, 0, "\"%.24s\": %s", odd[i],
                       made ? r.text : err.text);
        else if (!view_eq(view_of(a->value, a->n), view_str(odd[i])))
            probe_fail(p, PROBE_PKI_TRANSACTION_IDS, 0, "\"%.24s\" came back otherwise", odd[i]);
        probe_reply_clear(&r);
    }
    if (!p->finding[PROBE_PKI_TRANSACTION_IDS].known)
        probe_ok(p, PROBE_PKI_TRANSACTION_IDS, "1 to 78 characters, blanks, + / =");
}

/* ---- types ---- */

static bool ask_type(struct probe *p, const struct yardstick *y, enum scep_type type,
                     struct probe_message *m, struct buf *content, char transaction[33],
                     struct probe_reply *r, struct err *err)
{
    *m = y->m;
    *r = (struct probe_reply){.status = -1, .fail_info = -1};
    if (!content_of(p, type, content, err) || !probe_transaction(transaction, err))
        return false;
    m->type = type;
    m->content = buf_view(content);
    m->transaction_id = transaction;
    return probe_ask(p, y->how, m, &p->who, r, err);
}

/* A type that is not understood shows as an HTTP error, or as what an unknown type gets. */
static void check_type(struct probe *p, const struct yardstick *y, enum scep_type type,
                       enum probe_check c, int right)
{
    struct probe_message m;
    struct buf content = {0};
    struct probe_reply r;
    struct err err = {0};
    char transaction[33];
    if (!ask_type(p, y, type, &m, &content, transaction, &r, &err))
        probe_skip(p, c, "%s", err.text);
    else if (r.outcome != OUT_CERTREP && c == PROBE_PKI_RENEWAL)
        probe_fail(p, c, 0, "%s", r.text);
    else if (r.outcome != OUT_CERTREP) /* of importance only where requests wait, or certificates
                                          are asked back */
        probe_warn(p, c, 0, "%s", r.text);
    else if (r.status == SCEP_SUCCESS)
        probe_fail(p, c, C_ALL, "SUCCESS for what cannot be granted");
    else if (right >= 0 && r.status == SCEP_FAILURE && r.fail_info != right)
        probe_warn(p, c, NOBODY, "%s", r.text);
    else
        probe_ok(p, c, "%s", r.text);
    probe_judge(p, &r, &m);
    buf_clear(&content);
    probe_reply_clear(&r);
}

/* The only SUCCESS to be had without being issued anything. */
static void check_crl(struct probe *p, const struct yardstick *y)
{
    struct probe_message m;
    struct buf content = {0};
    struct probe_reply r;
    struct scep_certs certs = {0};
    struct err err = {0};
    char transaction[33];
    if (!ask_type(p, y, SCEP_GET_CRL, &m, &content, transaction, &r, &err))
        probe_skip(p, PROBE_PKI_GET_CRL, "%s", err.text);
    else if (r.outcome != OUT_CERTREP || r.status != SCEP_SUCCESS)
        probe_warn(p, PROBE_PKI_GET_CRL, 0, "%s", r.text);
    else if (!probe_open(p, &r, &p->who, m.cipher, &certs, &err))
        probe_fail(p, PROBE_PKI_GET_CRL, 0, "%s", err.text);
    else if (certs.crl.n == 0)
        probe_fail(p, PROBE_PKI_GET_CRL, 0, "SUCCESS without a CRL");
    else if (certs.n)
        probe_warn(p, PROBE_PKI_GET_CRL, NOBODY, "certificates beside the CRL");
    else
        probe_ok(p, PROBE_PKI_GET_CRL, "%zu octets", certs.crl.n);
    probe_judge(p, &r, &m);
    scep_certs_clear(&certs);
    buf_clear(&content);
    probe_reply_clear(&r);
}

static void check_types(struct probe *p, const struct yardstick *y)
{
    check_type(p, y, SCEP_CERT_POLL, PROBE_PKI_POLL, FAIL_BAD_CERT_ID);
    check_type(p, y, SCEP_GET_CERT, PROBE_PKI_GET_CERT, FAIL_BAD_CERT_ID);
    check_crl(p, y);
    if (p->caps.renewal)
        check_type(p, y, SCEP_RENEWAL_REQ, PROBE_PKI_RENEWAL, -1);
    else
        probe_skip(p, PROBE_PKI_RENEWAL, "not announced");
}

/* ---- how a message is sent ---- */

static void same_or(struct probe *p, const struct yardstick *y, enum probe_check c,
                    const struct probe_request *r, const uint8_t nonce[16])
{
    struct probe_reply reply = {0};
    probe_transmit_as(p, r, nonce, &reply);
    /* Who spells a GET so sends POST where it can. */
    bool rare =
        c == PROBE_GET_UNESCAPED || c == PROBE_GET_BASE64URL || c == PROBE_GET_MESSAGE_FIRST;
    if (probe_same(&reply, &y->reply))
        probe_ok(p, c, "taken");
    else if (rare && y->how == BY_POST)
        probe_warn(p, c, NOBODY, "%s; POST is there for these clients", reply.text);
    else
        probe_fail(p, c, 0, "%s", reply.text);
    probe_reply_clear(&reply);
}

static void check_garbage(struct probe *p)
{
    static const struct {
        const char *what, *bytes;
    } all[] = {{"an empty body", ""},
               {"text", "this is no pkiMessage"},
               {"cut DER", "\x30\x82\x05\x00\x06\x09"}};
    for (size_t i = 0; i < 3; i++) {
        struct view body = view_of(all[i].bytes, i == 2 ? 6 : strlen(all[i].bytes));
        struct probe_request r = {.query = "operation=PKIOperation", .body = &body};
        struct probe_answer a = {0};
        struct err err = {0};
        if (!probe_send(p, &r, &a, &err))
            probe_warn(p, PROBE_POST_GARBAGE, 0, "%s: %s", all[i].what, err.text);
        else if (a.status >= 500)
            probe_warn(p, PROBE_POST_GARBAGE, NOBODY, "%s: HTTP %ld", all[i].what, a.status);
        else
            probe_ok(p, PROBE_POST_GARBAGE, "HTTP %ld", a.status);
        probe_answer_clear(&a);
    }
}

static void check_posts(struct probe *p, const struct yardstick *y, struct view message,
                        const uint8_t nonce[16])
{
    static const char query[] = "operation=PKIOperation";
    struct probe_request no_type = {.query = query, .body = &message, .type = ""};
    struct probe_request octets = {
        .query = query, .body = &message, .type = "application/octet-stream"};
    struct probe_request empty = {.query = "operation=PKIOperation&message=", .body = &message};
    if (y->how != BY_POST)
        return;
    probe_ok(p, PROBE_POST_HONOURED, "%s",
             p->caps.post ? "announced and taken" : "taken, though not announced");
    same_or(p, y, PROBE_POST_NO_TYPE, &no_type, nonce);
    same_or(p, y, PROBE_POST_OCTETS, &octets, nonce);
    same_or(p, y, PROBE_POST_MESSAGE, &empty, nonce);
    check_garbage(p);
}

/* ---- GET in all its spellings ---- */

enum spelling { ONE_LINE, LINES, UNESCAPED, BASE64URL, MESSAGE_FIRST };

static bool spell(enum spelling s, const char *base64, struct buf *out)
{
    bool first = s == MESSAGE_FIRST ||
                 s == BASE64URL; /* the one client that writes '-' puts it first, too */
    bool ok = buf_append_str(out, first ? "message=" : "operation=PKIOperation&message=");
    size_t column = 0;
    for (const char *c = base64; ok && *c; c++) {
        char one[2] = {*c, '\0'};
        if (s == BASE64URL && (*c == '+' || *c == '/'))
            one[0] = *c == '+' ? '-' : '_';
        if (s == LINES)
            ok = strchr("+=", *c) ? buf_printf(out, "%%%02X", *c) : buf_append_str(out, one);
        else
            ok = s == UNESCAPED ? buf_append_str(out, one) : probe_escape(view_str(one), out);
        if (s == LINES && (++column % 64 == 0 || !c[1]))
            ok = ok && buf_append_str(out, "%0A");
    }
    return ok && (!first || buf_append_str(out, "&operation=PKIOperation")) &&
           buf_append(out, "", 1);
}

/* The octets of the message, NULL when out of memory; owned. */
static char *to_base64(struct view message)
{
    char *base64 = malloc(4 * ((message.n + 2) / 3) + 1);
    if (base64)
        EVP_EncodeBlock((unsigned char *)base64, message.p, (int)message.n);
    return base64;
}

static void check_spellings(struct probe *p, const struct yardstick *y, struct view message,
                            const uint8_t nonce[16])
{
    static const enum probe_check checks[] = {[ONE_LINE] = PROBE_GET_ONE_LINE,
                                              [LINES] = PROBE_GET_LINES,
                                              [UNESCAPED] = PROBE_GET_UNESCAPED,
                                              [BASE64URL] = PROBE_GET_BASE64URL,
                                              [MESSAGE_FIRST] = PROBE_GET_MESSAGE_FIRST};
    char *base64 = to_base64(message);
    for (enum spelling s = ONE_LINE; base64 && s <= MESSAGE_FIRST; s++) {
        struct buf query = {0};
        if (spell(s, base64, &query)) {
            struct probe_request r = {.query = (const char *)query.p};
            same_or(p, y, checks[s], &r, nonce);
        }
        buf_clear(&query);
    }
    free(base64);
}

/* A poll whose subject is long; nobody is to look at it (RFC 8894 section 3.3.3). */
static void check_length(struct probe *p, const struct yardstick *y, enum probe_check c,
                         size_t octets)
{
    struct buf content = {0}, message = {0}, query = {0};
    struct probe_message m = y->m;
    struct probe_reply r = {0};
    struct err err = {0};
    uint8_t nonce[16];
    size_t wanted = octets / 4 * 3, rest = 1800; /* of a message without padding, about */
    char *base64 = NULL;
    m.type = SCEP_CERT_POLL;
    bool ok = probe_poll_content(p, wanted > rest ? wanted - rest : 0, &content, &err);
    m.content = buf_view(&content);
    ok = ok && probe_message_build(p, &m, &p->who, nonce, &message, &err);
    if (ok && (base64 = to_base64(buf_view(&message))) && spell(ONE_LINE, base64, &query)) {
        struct probe_request q = {.query = (const char *)query.p};
        probe_transmit_as(p, &q, nonce, &r);
        bool read = y->m.type == SCEP_CERT_POLL
                        ? probe_same(&r, &y->reply)
                        : r.http.status != 414 && r.http.status != 431 && r.outcome != OUT_NOTHING;
        if (read)
            probe_ok(p, c, "%zu octets by GET", query.n);
        else if (c == PROBE_GET_6K)
            probe_fail(p, c, 0, "%zu octets by GET: %s", query.n, r.text);
        else
            probe_warn(p, c, 0, "%zu octets by GET: %s", query.n, r.text);
    }
    free(base64);
    buf_clear(&content);
    buf_clear(&message);
    buf_clear(&query);
    probe_reply_clear(&r);
}

static void check_transports(struct probe *p, const struct yardstick *y)
{
    struct buf message = {0};
    struct err err = {0};
    uint8_t nonce[16];
    if (probe_message_build(p, &y->m, &p->who, nonce, &message, &err)) {
        check_posts(p, y, buf_view(&message), nonce);
        check_spellings(p, y, buf_view(&message), nonce);
    }
    buf_clear(&message);
    check_length(p, y, PROBE_GET_6K, 6100);
    check_length(p, y, PROBE_GET_16K, 16000);
}

/* ---- all of it ---- */

void probe_pki(struct probe *p)
{
    struct yardstick y = {.m = {.padding = PADDING_PKCS1}};
    struct err err = {0};
    if (!make_identity(p, &err) || !find_transport(p, &y, &err)) {
        probe_fail(p, PROBE_PKI_ANSWER, 0, "%s", err.text);
        goto out;
    }
    p->has_who = true;
    probe_ok(p, PROBE_PKI_ANSWER, "%s of a %s", y.reply.text, scep_type_name(y.m.type));
    if (y.m.digest != DIGEST_SHA256)
        probe_fail(p, PROBE_PKI_ANSWER, 0,
                   "only for SHA-1 and Triple DES, not for SHA-256 and AES");
    probe_judge(p, &y.reply, &y.m);
    check_types(p, &y);
    check_digests(p, &y);
    check_ciphers(p, &y);
    check_forms(p, &y);
    check_next(p, &y);
    check_transaction_ids(p, &y);
    check_transports(p, &y);
out:
    if (p->caps.scep_standard && (p->finding[PROBE_ALG_AES128].status == PROBE_FAIL ||
                                  p->finding[PROBE_ALG_SHA256].status == PROBE_FAIL ||
                                  p->finding[PROBE_POST_HONOURED].status == PROBE_FAIL))
        probe_fail(p, PROBE_CAPS_STANDARD, C_ALL & ~C(MICROMDM), "announced and not honoured");
    buf_clear(&y.content);
    probe_reply_clear(&y.reply);
}
