/* A CertRep as every kind of client would look at it (RFC 8894 sections 3.2.1 and 3.3.2). */
#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>

#include "base/text.h"
#include "scepctl/probe.h"

static bool is(const char *name, const char *of)
{
    return strcmp(name, of) == 0;
}

static void judge_http(struct probe *p, const struct probe_reply *r)
{
    const struct probe_answer *a = &r->http;
    if (a->status != 200)
        probe_fail(p, PROBE_PKI_ANSWER, C_ALL,
                   "a CertRep with HTTP %ld: clients take it for an outage", a->status);
    if (is(a->type, "application/x-pki-message"))
        probe_ok(p, PROBE_PKI_TYPE, "%s", a->type);
    else if (strncmp(a->type, "application/x-pki-message", 25) == 0)
        probe_warn(p, PROBE_PKI_TYPE, C(PYSCEP), "\"%s\": with a parameter", a->type);
    else
        probe_fail(p, PROBE_PKI_TYPE, 0, "\"%s\"", a->has_type ? a->type : "none");
    bool kept_out =
        strstr(a->cache, "no-store") || strstr(a->cache, "no-cache") || strstr(a->cache, "private");
    if (kept_out)
        probe_ok(p, PROBE_CACHE, "%s", a->cache);
    else
        probe_warn(p, PROBE_CACHE, NOBODY, "%s", a->cache[0] ? a->cache : "no Cache-Control");
}

static void judge_signature(struct probe *p, const struct inspected_signed *i)
{
    char signer[120] = "";
    if (i->signer)
        name_der_text(i->signer->subject, signer, sizeof signer);
    if (!i->verified)
        probe_fail(p, PROBE_PKI_SIGNATURE, 0, "%s", i->not_verified);
    else if (i->candidate < 0)
        probe_fail(p, PROBE_PKI_SIGNATURE, 0, "by %s, which GetCACert does not hand out", signer);
    else if (p->ca.reply_signer &&
             !view_eq(buf_view(&p->ca.reply_signer->der), buf_view(&i->signer->der)))
        probe_warn(p, PROBE_PKI_SIGNATURE, C(APPLE) | C_JSCEP,
                   "right, but by %s: these clients expect the first RA with digitalSignature",
                   signer);
    else
        probe_ok(p, PROBE_PKI_SIGNATURE, "right, by %s", signer);
    if (is(i->signature, "rsaEncryption"))
        probe_ok(p, PROBE_PKI_SIGALG, "rsaEncryption");
    else
        probe_fail(p, PROBE_PKI_SIGALG, 0, "%s", i->signature);
    if (i->signer_included)
        probe_ok(p, PROBE_PKI_SIGNER, "yes");
    else
        probe_fail(p, PROBE_PKI_SIGNER, 0, "no certificate of the signer among %d",
                   i->certificates);
}

static void judge_digest(struct probe *p, const struct inspected_signed *i, enum digest asked)
{
    bool weak = is(i->digest, "MD5");
    int nid = OBJ_sn2nid(i->digest);
    enum digest have;
    if (weak)
        probe_fail(p, PROBE_PKI_DIGEST, C_ALL & ~C(MICROMDM), "MD5");
    else if (nid == NID_undef || !digest_by_nid(nid, &have) || have < asked)
        probe_warn(p, PROBE_PKI_DIGEST, NOBODY, "%s answers %s", i->digest, digest_name(asked));
    else
        probe_ok(p, PROBE_PKI_DIGEST, "%s", i->digest);
}

/* ---- attributes ---- */

static bool text_is(const struct inspected_attribute *a, const char *text)
{
    return a->times && !a->cut && view_eq(view_of(a->value, a->n), view_str(text));
}

static void shown(const struct inspected_attribute *a, char out[80])
{
    text_printable(view_of(a->value, a->n < 60 ? a->n : 60), out, 80);
    if (!a->times)
        snprintf(out, 80, "nothing");
}

static void judge_types(struct probe *p, const struct inspected_signed *i)
{
    static const struct {
        enum scep_attribute a;
        int tag;
    } wanted[] = {{ATTR_TRANSACTION_ID, V_ASN1_PRINTABLESTRING},
                  {ATTR_MESSAGE_TYPE, V_ASN1_PRINTABLESTRING},
                  {ATTR_PKI_STATUS, V_ASN1_PRINTABLESTRING},
                  {ATTR_FAIL_INFO, V_ASN1_PRINTABLESTRING},
                  {ATTR_SENDER_NONCE, V_ASN1_OCTET_STRING},
                  {ATTR_RECIPIENT_NONCE, V_ASN1_OCTET_STRING},
                  {ATTR_FAIL_TEXT, V_ASN1_UTF8STRING}};
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++) {
        const struct inspected_attribute *a = &i->attribute[wanted[k].a];
        const char *name = scep_attribute_name(wanted[k].a);
        if (a->times > 1 || (a->times && a->values != 1))
            probe_fail(p, PROBE_PKI_STRINGS, C_ALL, "%s: %d values", name,
                       a->times > 1 ? (int)a->times : a->values);
        else if (a->times && a->tag != wanted[k].tag)
            probe_fail(p, PROBE_PKI_STRINGS, wanted[k].a == ATTR_FAIL_TEXT ? NOBODY : 0,
                       "%s is a %s", name, ASN1_tag2str(a->tag < 0 ? 0 : a->tag));
    }
    if (i->attribute[ATTR_CONTENT_TYPE].times != 1 || i->attribute[ATTR_MESSAGE_DIGEST].times != 1)
        probe_fail(p, PROBE_PKI_STRINGS, C_ALL,
                   "no contentType or no messageDigest (RFC 5652 section 11)");
    if (!p->finding[PROBE_PKI_STRINGS].known)
        probe_ok(p, PROBE_PKI_STRINGS, "each once, of the right type");
}

static void judge_numbers(struct probe *p, const struct probe_reply *r)
{
    const struct inspected_attribute *a = r->seen.attribute;
    char text[80];
    shown(&a[ATTR_MESSAGE_TYPE], text);
    if (text_is(&a[ATTR_MESSAGE_TYPE], "3"))
        probe_ok(p, PROBE_PKI_MESSAGE_TYPE, "3");
    else
        probe_fail(p, PROBE_PKI_MESSAGE_TYPE, 0, "%s", text);
    shown(&a[ATTR_PKI_STATUS], text);
    if (a[ATTR_PKI_STATUS].n == 1 && (r->status == 0 || r->status == 2 || r->status == 3))
        probe_ok(p, PROBE_PKI_STATUS, "%s", text);
    else
        probe_fail(p, PROBE_PKI_STATUS, 0, "%s", text);
    if (r->status != SCEP_FAILURE)
        return;
    shown(&a[ATTR_FAIL_INFO], text);
    if (a[ATTR_FAIL_INFO].n == 1 && r->fail_info >= 0 && r->fail_info <= 4)
        probe_ok(p, PROBE_PKI_FAIL_INFO, "%s", text);
    else
        probe_fail(p, PROBE_PKI_FAIL_INFO, 0, "%s", text);
}

static void judge_echo(struct probe *p, const struct probe_reply *r, const char *transaction_id)
{
    const struct inspected_attribute *a = r->seen.attribute;
    const struct inspected_attribute *nonce = &a[ATTR_RECIPIENT_NONCE],
                                     *own = &a[ATTR_SENDER_NONCE];
    char text[80];
    shown(&a[ATTR_TRANSACTION_ID], text);
    if (text_is(&a[ATTR_TRANSACTION_ID], transaction_id))
        probe_ok(p, PROBE_PKI_TRANSACTION, "octet by octet");
    else
        probe_fail(p, PROBE_PKI_TRANSACTION, 0, "\"%s\" came back for \"%s\"", text,
                   transaction_id);
    if (view_eq(view_of(nonce->value, nonce->n), view_of(r->nonce, 16)))
        probe_ok(p, PROBE_PKI_RECIPIENT_NONCE, "the request's");
    else
        probe_fail(p, PROBE_PKI_RECIPIENT_NONCE, 0, "%s", nonce->times ? "another one" : "absent");
    if (!own->times)
        probe_fail(p, PROBE_PKI_SENDER_NONCE, 0, "absent");
    else if (own->n != 16)
        probe_warn(p, PROBE_PKI_SENDER_NONCE, NOBODY, "%zu octets", own->n);
    else if (view_eq(view_of(own->value, own->n), view_of(r->nonce, 16)))
        probe_warn(p, PROBE_PKI_SENDER_NONCE, NOBODY, "the client's own, not a fresh one");
    else
        probe_ok(p, PROBE_PKI_SENDER_NONCE, "16 octets");
}

/* Tried in all three forms with real clients. */
static void judge_content(struct probe *p, const struct probe_reply *r)
{
    const struct inspected_signed *i = &r->seen;
    if (!i->content_is_data)
        probe_fail(p, PROBE_PKI_CONTENT, C_ALL,
                   "eContentType is not id-data (RFC 8894 section 3.2)");
    if (r->status == SCEP_SUCCESS)
        return;
    if (!i->has_content)
        probe_warn(p, PROBE_PKI_CONTENT, C(CERTMONGER) | C(PYSCEP),
                   "absent, to the letter: certmonger says \"no content\" and never learns of "
                   "FAILURE or PENDING, "
                   "PyScep crashes");
    else if (i->content.n)
        probe_warn(p, PROBE_PKI_CONTENT, NOBODY, "%zu octets where nothing belongs", i->content.n);
    else
        probe_ok(p, PROBE_PKI_CONTENT,
                 "empty (cryptlib then shows a general error instead of the failInfo)");
}

void probe_judge(struct probe *p, const struct probe_reply *r, const struct probe_message *m)
{
    if (r->outcome != OUT_CERTREP)
        return;
    judge_http(p, r);
    judge_signature(p, &r->seen);
    judge_digest(p, &r->seen, m->digest);
    judge_types(p, &r->seen);
    judge_numbers(p, r);
    judge_echo(p, r, m->transaction_id);
    judge_content(p, r);
    if (r->seen.der)
        probe_ok(p, PROBE_PKI_ENCODING, "DER");
    else
        probe_warn(p, PROBE_PKI_ENCODING, 0, "%s", r->seen.not_der);
}

/* ---- SUCCESS ---- */

static void judge_envelope(struct probe *p, const struct inspected_envelope *e, enum cipher asked)
{
    if (e->in_pieces)
        probe_fail(p, PROBE_PKI_ENVELOPE, C(PYSCEP) | C(CRYPTLIB),
                   "encryptedContent is constructed: PyScep and cryptlib cannot read it");
    if (!e->der)
        probe_warn(p, PROBE_PKI_ENVELOPE, C(PYSCEP) | C(CRYPTLIB), "BER: %s", e->not_der);
    if (e->by_key_identifier)
        probe_warn(p, PROBE_PKI_ENVELOPE, C(CERTMONGER) | C(APPLE),
                   "the recipient is named by key identifier");
    if (strcmp(e->key_transport, "rsaEncryption") != 0)
        probe_warn(p, PROBE_PKI_ENVELOPE, C_ALL & ~(C(WINDOWS) | C_JSCEP),
                   "content key wrapped by %s", e->key_transport[0] ? e->key_transport : "no RSA");
    if (!p->finding[PROBE_PKI_ENVELOPE].known)
        probe_ok(p, PROBE_PKI_ENVELOPE, "in one piece, to the signer of the request");
    const char *wanted = OBJ_nid2sn(cipher_nid(asked));
    if (strcmp(e->cipher, "DES-CBC") == 0)
        probe_fail(p, PROBE_PKI_CIPHER, C_OPENSSL,
                   "single DES, for %s: nothing with OpenSSL 3 can read it, and it is broken",
                   wanted);
    else if (strcmp(e->cipher, wanted) != 0)
        probe_warn(p, PROBE_PKI_CIPHER, NOBODY, "%s for %s", e->cipher, wanted);
    else
        probe_ok(p, PROBE_PKI_CIPHER, "%s", e->cipher);
}

bool probe_open(struct probe *p, const struct probe_reply *r, struct client_identity *who,
                enum cipher asked, struct scep_certs *out, struct err *err)
{
    struct inspected_envelope e;
    struct scep_message *m = NULL;
    struct scep_keys keys = client_keys(who);
    if (r->outcome != OUT_CERTREP || r->status != SCEP_SUCCESS)
        return err_set(err, ERR_IO, "%s", r->text);
    if (inspect_envelope(buf_view(&r->seen.content), &e, err))
        judge_envelope(p, &e, asked);
    bool ok = scep_parse(buf_view(&r->http.body), ~0u, &m, err) && m->is_reply &&
              certrep_open(m, &keys, out, err);
    scep_message_free(m);
    return ok;
}
