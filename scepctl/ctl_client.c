/* `scepctl client`: a SCEP client for any server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/keyfile.h"
#include "client/client.h"
#include "scepctl/ctl.h"

#define SERVER_FLAGS                                                                              \
    {"identifier", 0, "NAME", false, "CA identifier, sent as the message of GetCACert"},          \
        {"expect-standard", 0, NULL, false, "fail if the server does not announce SCEPStandard"}, \
    {                                                                                             \
        "timeout", 0, "DURATION", false, "for one HTTP exchange (default 60s)"                    \
    }
#define KEY_TYPES "rsa2048 (default), rsa3072, rsa4096, p256, p384: for a key that is made"
#define MESSAGE_FLAGS(key)                                                                        \
    {"key", 0, "FILE", false, key},                                                               \
        {"out", 0, "FILE", false, "write the certificate there, not to stdout"},                  \
        {"fingerprint", 0, "SHA256", false, "the CA certificate must have this fingerprint"},     \
        {"transaction", 0, "ID", false, "transactionID (default: made from the key)"},            \
        {"digest", 0, "NAME", false, "SHA-1, SHA-256, SHA-384, SHA-512 (default: by GetCACaps)"}, \
        {"cipher", 0, "NAME", false, "3DES, AES-128, AES-192, AES-256 (default: by GetCACaps)"},  \
        {"oaep", 0, NULL, false, "RSAES-OAEP instead of PKCS #1 v1.5"},                           \
        {"get", 0, NULL, false, "PKIOperation by GET"},                                           \
        {"next", 0, NULL, false, "a certificate of the next CA, that GetNextCACert announces"},   \
    {                                                                                             \
        "wait", 0, "DURATION", false, "poll that long when the server says PENDING (default 0s)"  \
    }

const struct ctl_flag ctl_client_server_flags[] = {SERVER_FLAGS, {NULL, 0, NULL, false, NULL}};
const struct ctl_flag ctl_client_enrol_flags[] = {
    SERVER_FLAGS,
    MESSAGE_FLAGS("private key; made if there is no such file"),
    {"subject", 0, "NAME", false, "\"CN=device,O=Example\""},
    {"san", 0, "NAMES", false, "\"DNS:host.example.org,IP:192.0.2.1\""},
    {"key-type", 0, "KIND", false, KEY_TYPES},
    {"challenge-file", 0, "FILE", false,
     "first line is the challenge password; - for standard input"},
    {NULL, 0, NULL, false, NULL},
};
const struct ctl_flag ctl_client_renew_flags[] = {
    SERVER_FLAGS,
    MESSAGE_FLAGS("private key of the certificate"),
    {"cert", 0, "FILE", false, "the certificate to renew"},
    {"new-key", 0, "FILE", false,
     "key of the new certificate, made if there is none (default: the same key)"},
    {"key-type", 0, "KIND", false, KEY_TYPES},
    {"challenge-file", 0, "FILE", false,
     "first line is the challenge password; - for standard input"},
    {NULL, 0, NULL, false, NULL},
};
const struct ctl_flag ctl_client_poll_flags[] = {
    SERVER_FLAGS,
    MESSAGE_FLAGS("private key of the request"),
    {"subject", 0, "NAME", false, "as in the request"},
    {NULL, 0, NULL, false, NULL},
};

/* One run against one server. */
struct session {
    struct ctl *ctl;
    const struct ctl_args *args;
    struct client *client;
    struct client_caps caps;
    struct client_ca ca;
    struct client_message message;
    char transaction[SCEP_MAX_TRANSACTION_ID + 1];
};

static void session_clear(struct session *s)
{
    client_ca_clear(&s->ca);
    client_free(s->client);
}

static int session_open(struct session *s, struct ctl *ctl, const struct ctl_args *args)
{
    int64_t timeout;
    struct err err = {0};
    *s = (struct session){.ctl = ctl, .args = args};
    int code = ctl_arg_duration(ctl, args, "timeout", 60, &timeout);
    if (code != CTL_DONE)
        return code;
    struct client_options o = {.url = args->id[0],
                               .ca_identifier = ctl_arg(args, "identifier"),
                               .force_get = ctl_arg(args, "get") != NULL,
                               .timeout = (int)timeout};
    if (!client_new(&o, &s->client, &err) || !client_get_caps(s->client, &s->caps, &err))
        return err.kind == ERR_IO
                   ? ctl_fail(ctl, CTL_UNAVAILABLE, "is the URL right, and the server running?",
                              "%s", err.text)
                   : ctl_fail_err(ctl, &err, NULL);
    /* RFC 8894 section 7.5: whoever is between may have taken it away. */
    if (ctl_arg(args, "expect-standard") && !s->caps.scep_standard)
        return ctl_fail(ctl, CTL_FAILED,
                        "ask the server's administrator whether somebody is in between",
                        "the server does not announce SCEPStandard: this may be a downgrade");
    return CTL_DONE;
}

/* RFC 8894 section 2.2: the CA certificate is authenticated out of band. */
static int check_fingerprint(struct session *s)
{
    const char *wanted = ctl_arg(s->args, "fingerprint");
    char have[3 * 64];
    uint8_t octets[32];
    struct err err = {0};
    if (!cert_fingerprint(s->ca.issuer, DIGEST_SHA256, have, &err))
        return ctl_fail_err(s->ctl, &err, NULL);
    if (!wanted) {
        ctl_note(s->ctl, "CA certificate %s, not checked (--fingerprint checks it)", have);
        return CTL_DONE;
    }
    if (hex_decode(wanted, octets, sizeof octets) != 32)
        return ctl_fail(s->ctl, CTL_USAGE, NULL, "--fingerprint is no SHA-256 in hex");
    if (!view_eq(view_of(octets, 32), view_of(s->ca.issuer->sha256, 32)))
        return ctl_fail(s->ctl, CTL_FAILED, "compare it with \"scepctl ca show\" on the server",
                        "the server's CA certificate has another fingerprint: %s", have);
    return CTL_DONE;
}

static int get_ca(struct session *s)
{
    struct err err = {0};
    if (!client_get_ca(s->client, &s->ca, &err) || !client_ca_verify(&s->ca, &err))
        return ctl_fail_err(s->ctl, &err, "does this URL lead to a SCEP server?");
    return check_fingerprint(s);
}

/* What follows is for the next CA then: it was announced by the one that the client knows. */
static int get_ca_of_message(struct session *s)
{
    struct client_ca next = {0};
    struct err err = {0};
    int code = get_ca(s);
    if (code != CTL_DONE || !ctl_arg(s->args, "next"))
        return code;
    if (!client_get_next_ca(s->client, &s->ca, &next, &err))
        return ctl_fail_err(s->ctl, &err, NULL);
    client_ca_clear(&s->ca);
    s->ca = next;
    return CTL_DONE;
}

/* ---- caps, getca, nextca ---- */

int ctl_client_caps(struct ctl *ctl, const struct ctl_args *args)
{
    struct session s;
    int code = session_open(&s, ctl, args);
    if (code == CTL_DONE && !s.caps.known)
        code = ctl_fail(ctl, CTL_FAILED, NULL, "the server announces no capability");
    if (code == CTL_DONE && ctl->json) {
        struct ctl_show show;
        ctl_show_start(&show, ctl);
        ctl_show_text(&show, "capabilities", s.caps.words);
        ctl_show_end(&show);
    } else if (code == CTL_DONE) {
        char *rest = s.caps.words;
        for (char *word; (word = strtok_r(rest, " ", &rest));)
            puts(word);
    }
    session_clear(&s);
    return code;
}

static int print_certificates(struct ctl *ctl, const struct scep_certs *certs)
{
    int code = CTL_DONE;
    struct err err = {0};
    for (size_t i = 0; code == CTL_DONE && i < certs->n; i++) {
        struct buf pem = {0};
        if (cert_pem(buf_view(&certs->der[i]), &pem, &err))
            fwrite(pem.p, 1, pem.n, stdout);
        else
            code = ctl_fail_err(ctl, &err, NULL);
        buf_clear(&pem);
    }
    return code;
}

int ctl_client_getca(struct ctl *ctl, const struct ctl_args *args)
{
    struct session s;
    int code = session_open(&s, ctl, args);
    if (code == CTL_DONE)
        code = get_ca(&s);
    if (code == CTL_DONE)
        code = print_certificates(ctl, &s.ca.certs);
    session_clear(&s);
    return code;
}

int ctl_client_nextca(struct ctl *ctl, const struct ctl_args *args)
{
    struct session s;
    struct client_ca next = {0};
    struct err err = {0};
    int code = session_open(&s, ctl, args);
    if (code == CTL_DONE)
        code = get_ca(&s);
    if (code == CTL_DONE && !client_get_next_ca(s.client, &s.ca, &next, &err))
        code = ctl_fail_err(ctl, &err, NULL);
    if (code == CTL_DONE)
        code = print_certificates(ctl, &next.certs);
    client_ca_clear(&next);
    session_clear(&s);
    return code;
}

/* ---- what goes into a message ---- */

static int need_flag(struct session *s, const char *name, const char **out)
{
    *out = ctl_arg(s->args, name);
    if (!*out)
        return ctl_fail(s->ctl, CTL_USAGE, NULL, "--%s is needed", name);
    return CTL_DONE;
}

/* Loads the key, or makes it when `may_make`. */
static int need_key(struct session *s, const char *path, bool may_make, EVP_PKEY **out)
{
    struct err err = {0};
    const char *kind = may_make ? ctl_arg(s->args, "key-type") : NULL;
    if (may_make && access(path, F_OK) != 0) {
        EVP_PKEY *key = NULL;
        if (!key_generate(kind ? kind : "rsa2048", &key, &err) ||
            !key_save(key, path, NULL, &err)) {
            EVP_PKEY_free(key);
            return ctl_fail_err(s->ctl, &err, NULL);
        }
        ctl_note(s->ctl, "made key %s", path);
        *out = key;
        return CTL_DONE;
    }
    return key_load(path, NULL, out, &err) ? CTL_DONE : ctl_fail_err(s->ctl, &err, NULL);
}

static int choose_algorithms(struct session *s)
{
    const char *digest = ctl_arg(s->args, "digest"), *cipher = ctl_arg(s->args, "cipher");
    client_choose(&s->caps, &s->message.digest, &s->message.cipher);
    if (digest && !digest_by_name(digest, &s->message.digest))
        return ctl_fail(s->ctl, CTL_USAGE, NULL,
                        "--digest: \"%s\" is none of SHA-1, SHA-256, SHA-384, SHA-512", digest);
    if (cipher && !cipher_by_name(cipher, &s->message.cipher))
        return ctl_fail(s->ctl, CTL_USAGE, NULL,
                        "--cipher: \"%s\" is none of 3DES, AES-128, AES-192, AES-256", cipher);
    s->message.padding = ctl_arg(s->args, "oaep") ? PADDING_OAEP : PADDING_PKCS1;
    return CTL_DONE;
}

static int choose_transaction(struct session *s, EVP_PKEY *key)
{
    struct err err = {0};
    const char *given = ctl_arg(s->args, "transaction");
    char made[41];
    if (!given && !client_transaction_id(key, made, &err))
        return ctl_fail_err(s->ctl, &err, NULL);
    if (given && strlen(given) > SCEP_MAX_TRANSACTION_ID)
        return ctl_fail(s->ctl, CTL_USAGE, NULL, "--transaction is longer than %d characters",
                        SCEP_MAX_TRANSACTION_ID);
    snprintf(s->transaction, sizeof s->transaction, "%s", given ? given : made);
    s->message.transaction_id = s->transaction;
    return CTL_DONE;
}

static int read_challenge(struct session *s, struct buf *out)
{
    const char *path = ctl_arg(s->args, "challenge-file");
    if (!path)
        return CTL_DONE;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!f)
        return ctl_fail(s->ctl, CTL_FAILED, NULL, "cannot read %s", path);
    char line[CSR_MAX_CHALLENGE + 2];
    if (f == stdin && isatty(STDIN_FILENO) && !s->ctl->no_input)
        ctl_note(s->ctl, "The challenge, then Enter:");
    if (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = '\0';
        buf_append_str(out, line);
    }
    explicit_bzero(line, sizeof line);
    if (f != stdin)
        fclose(f);
    return CTL_DONE;
}

/* RFC 8894 section 3.1: nothing can be encrypted to an EC key, so the answer comes under the
 * challenge. */
static int set_password(struct session *s, struct client_identity *who, const struct buf *challenge)
{
    if (!EVP_PKEY_is_a(who->key, "EC"))
        return CTL_DONE;
    if (challenge->n == 0)
        return ctl_fail(s->ctl, CTL_USAGE,
                        "give the challenge by --challenge-file, or use an RSA key",
                        "an EC key needs a challenge, under which the answer is encrypted");
    who->password = buf_view(challenge);
    return CTL_DONE;
}

/* ---- results ---- */

static int write_certificate(struct session *s, const struct client_result *r)
{
    const char *path = ctl_arg(s->args, "out");
    struct buf pem = {0};
    struct err err = {0};
    bool ok = cert_pem(buf_view(&r->certs.der[0]), &pem, &err);
    if (ok && path) {
        ok = file_replace(path, buf_view(&pem), 0644, &err);
        if (ok)
            ctl_note(s->ctl, "issued: %s", path);
    } else if (ok) {
        fwrite(pem.p, 1, pem.n, stdout);
    }
    buf_clear(&pem);
    return ok ? CTL_DONE : ctl_fail_err(s->ctl, &err, NULL);
}

/* RFC 8894 section 3.2.1.4 */
static int tell(struct session *s, const struct client_result *r)
{
    static const char *const names[] = {"badAlg", "badMessageCheck", "badRequest", "badTime",
                                        "badCertId"};
    char text[600];
    switch (r->status) {
    case SCEP_SUCCESS:
        if (r->certs.n == 0)
            return ctl_fail(s->ctl, CTL_FAILED, NULL,
                            "the server says SUCCESS but sent no certificate");
        return write_certificate(s, r);
    case SCEP_PENDING:
        return ctl_fail(s->ctl, CTL_UNAVAILABLE,
                        "ask again with \"scepctl client poll\" once it is approved",
                        "pending: transaction %s waits for approval", s->transaction);
    case SCEP_FAILURE:
        break;
    }
    ctl_clean(r->fail_text, text, sizeof text);
    return ctl_fail(s->ctl, CTL_FAILED, NULL, "refused: %s%s%s", names[(unsigned)r->fail_info % 5],
                    *text ? ": " : "", text);
}

static bool exchange(struct session *s, struct client_identity *who, struct client_result *r,
                     struct err *err)
{
    return client_exchange(s->client, &s->caps, &s->message, who, &s->ca, r, err);
}

/* RFC 8894 sections 2.5.1 and 4.4: CertPoll until the answer is final or the patience over.  A
 * CertPoll has no challenge, under which the answer to an EC key could come: then the request is
 * sent again. */
static bool poll_while_pending(struct session *s, struct client_identity *who, int64_t seconds,
                               struct client_result *r, struct err *err)
{
    struct buf content = {0};
    struct cert *own = NULL;
    bool ok = cert_parse(buf_view(&who->cert), &own, err) &&
              scep_issuer_and_subject_build(s->ca.issuer->subject, own->subject, &content, err);
    if (!who->password.n) {
        s->message.type = SCEP_CERT_POLL;
        s->message.content = buf_view(&content);
    }
    for (int64_t waited = 0; ok && r->status == SCEP_PENDING && waited < seconds; waited++) {
        sleep(1);
        client_result_clear(r);
        ok = exchange(s, who, r, err);
    }
    buf_clear(&content);
    cert_free(own);
    return ok;
}

static int run_exchange(struct session *s, struct client_identity *who, enum scep_type type,
                        struct view content)
{
    int64_t wait;
    struct client_result r = {0};
    struct err err = {0};
    int code = ctl_arg_duration(s->ctl, s->args, "wait", 0, &wait);
    if (code != CTL_DONE)
        return code;
    s->message.type = type;
    s->message.content = content;
    bool ok = exchange(s, who, &r, &err);
    if (ok && r.status == SCEP_PENDING && wait > 0)
        ok = poll_while_pending(s, who, wait, &r, &err);
    code = ok ? tell(s, &r) : ctl_fail_err(s->ctl, &err, NULL);
    client_result_clear(&r);
    return code;
}

/* ---- enrol ---- */

/* What enrol and poll have in common: --subject, --key, and a server that answered. */
static int with_key_and_subject(struct ctl *ctl, const struct ctl_args *args, bool may_make_key,
                                int (*run)(struct session *s, EVP_PKEY *key, const char *subject))
{
    struct session s = {.ctl = ctl, .args = args};
    const char *subject, *path;
    EVP_PKEY *key = NULL;
    int code;
    if ((code = need_flag(&s, "subject", &subject)) != CTL_DONE ||
        (code = need_flag(&s, "key", &path)) != CTL_DONE)
        return code;
    if ((code = session_open(&s, ctl, args)) == CTL_DONE &&
        (code = get_ca_of_message(&s)) == CTL_DONE && (code = choose_algorithms(&s)) == CTL_DONE &&
        (code = need_key(&s, path, may_make_key, &key)) == CTL_DONE &&
        (code = choose_transaction(&s, key)) == CTL_DONE)
        code = run(&s, key, subject);
    EVP_PKEY_free(key);
    session_clear(&s);
    return code;
}

static bool read_san(const char *text, struct san *out, struct err *err)
{
    char *copy = strdup(text ? text : ""), *rest = copy;
    bool ok = copy || err_memory(err);
    for (char *one; ok && (one = strtok_r(rest, ",", &rest));)
        ok = san_add_text(out, one, err);
    free(copy);
    return ok;
}

static int enrol(struct session *s, EVP_PKEY *key, const char *subject)
{
    struct name name = {0};
    struct san san = {0};
    struct buf challenge = {0}, csr = {0};
    struct client_identity who = {0};
    struct err err = {0};
    int code = read_challenge(s, &challenge);
    if (code != CTL_DONE)
        goto out;
    struct client_wish wish = {.subject = &name, .san = &san, .challenge = buf_view(&challenge)};
    if (name_from_text(subject, &name, &err) && read_san(ctl_arg(s->args, "san"), &san, &err) &&
        client_identity_self_signed(key, &name, s->ctl->now, &who, &err) &&
        client_csr_build(key, &wish, &csr, &err)) {
        code = set_password(s, &who, &challenge);
        if (code == CTL_DONE)
            code = run_exchange(s, &who, SCEP_PKCS_REQ, buf_view(&csr));
    } else {
        code = ctl_fail_err(s->ctl, &err, NULL);
    }
out:
    buf_wipe(&challenge);
    buf_wipe(&csr);
    name_clear(&name);
    san_clear(&san);
    client_identity_clear(&who);
    return code;
}

int ctl_client_enrol(struct ctl *ctl, const struct ctl_args *args)
{
    return with_key_and_subject(ctl, args, true, enrol);
}

/* ---- renew ---- */

static int renew(struct session *s, EVP_PKEY *old_key, EVP_PKEY *new_key, const char *cert_path)
{
    struct buf file = {0}, csr = {0}, challenge = {0};
    struct cert *old = NULL;
    struct client_identity who = {.key = old_key};
    struct err err = {0};
    int code = read_challenge(s, &challenge);
    if (code == CTL_DONE)
        code = set_password(s, &who, &challenge);
    if (code != CTL_DONE)
        goto out;
    if (file_read(cert_path, &file, &err) && cert_parse_any(buf_view(&file), &old, &err) &&
        client_renewal_csr_build(new_key, old, buf_view(&challenge), &csr, &err) &&
        (buf_append(&who.cert, old->der.p, old->der.n) || err_memory(&err)))
        /* RFC 8894 section 2.5: a server that does not announce Renewal may still take a PKCSReq.
         */
        code = run_exchange(s, &who, s->caps.renewal ? SCEP_RENEWAL_REQ : SCEP_PKCS_REQ,
                            buf_view(&csr));
    else
        code = ctl_fail_err(s->ctl, &err, NULL);
out:
    buf_clear(&file);
    buf_wipe(&challenge);
    buf_wipe(&csr);
    buf_clear(&who.cert);
    cert_free(old);
    return code;
}

int ctl_client_renew(struct ctl *ctl, const struct ctl_args *args)
{
    struct session s = {.ctl = ctl, .args = args};
    const char *cert, *path, *new_path = ctl_arg(args, "new-key");
    EVP_PKEY *old_key = NULL, *new_key = NULL;
    int code = need_flag(&s, "cert", &cert);
    if (code == CTL_DONE)
        code = need_flag(&s, "key", &path);
    if (code != CTL_DONE)
        return code;
    if ((code = session_open(&s, ctl, args)) == CTL_DONE &&
        (code = get_ca_of_message(&s)) == CTL_DONE && (code = choose_algorithms(&s)) == CTL_DONE &&
        (code = need_key(&s, path, false, &old_key)) == CTL_DONE &&
        (!new_path || (code = need_key(&s, new_path, true, &new_key)) == CTL_DONE) &&
        (code = choose_transaction(&s, new_path ? new_key : old_key)) == CTL_DONE)
        code = renew(&s, old_key, new_path ? new_key : old_key, cert);
    EVP_PKEY_free(old_key);
    EVP_PKEY_free(new_key);
    session_clear(&s);
    return code;
}

/* ---- poll ---- */

static int poll_once(struct session *s, EVP_PKEY *key, const char *subject)
{
    struct name name = {0};
    struct buf content = {0};
    struct client_identity who = {0};
    struct cert *own = NULL;
    struct err err = {0};
    int code;
    if (name_from_text(subject, &name, &err) &&
        client_identity_self_signed(key, &name, s->ctl->now, &who, &err) &&
        cert_parse(buf_view(&who.cert), &own, &err) &&
        scep_issuer_and_subject_build(s->ca.issuer->subject, own->subject, &content, &err))
        code = run_exchange(s, &who, SCEP_CERT_POLL, buf_view(&content));
    else
        code = ctl_fail_err(s->ctl, &err, NULL);
    cert_free(own);
    buf_clear(&content);
    name_clear(&name);
    client_identity_clear(&who);
    return code;
}

int ctl_client_poll(struct ctl *ctl, const struct ctl_args *args)
{
    return with_key_and_subject(ctl, args, false, poll_once);
}
