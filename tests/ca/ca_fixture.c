#include "ca_fixture.h"

#include <check.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ca/keyfile.h"

#define DAY 86400

static struct err err;

void ca_fixture_plan(struct ca_fixture *f)
{
    *f = (struct ca_fixture){0};
    temporary_make(&f->dir);
    f->plan = (struct init_plan){.directory = f->dir.path,
                                 .name = "Fixture CA",
                                 .organization = "Example",
                                 .ca_key = "p256",
                                 .ra_key = "rsa2048",
                                 .crl_url = "http://ca.example.org/root.crl",
                                 .issuer_url = "http://ca.example.org/root.crt",
                                 .now = time(NULL)};
}

const char *ca_fixture_path(struct ca_fixture *f, const char *name)
{
    return temporary_path(&f->dir, name);
}

static const char *keep(struct ca_fixture *f, unsigned slot, const char *name)
{
    snprintf(f->path[slot], sizeof f->path[slot], "%s", ca_fixture_path(f, name));
    return f->path[slot];
}

static void name_files(struct ca_fixture *f)
{
    struct authority_files *files = &f->files;
    *files = (struct authority_files){.name = "fixture",
                                      .certificate = keep(f, 0, "ca/ca.pem"),
                                      .key = keep(f, 1, "keys/ca.key"),
                                      .passphrase_file = f->plan.passphrase_file,
                                      .crl_url = "http://ca.example.org/a.crl",
                                      .issuer_url = "http://ca.example.org/a.crt",
                                      .ca_decrypts = f->plan.ca_decrypts,
                                      .crl_validity = 7 * DAY,
                                      .crl_period = DAY};
    if (f->plan.root_key) {
        files->chain[0] = keep(f, 2, "ca/root.pem");
        files->chain_n = 1;
    }
    if (f->plan.ra_key) {
        files->ra_certificate = keep(f, 3, "ca/ra.pem");
        files->ra_key = keep(f, 4, "keys/ra.key");
    }
    if (f->plan.ra_pair) {
        files->ra_signing_certificate = keep(f, 5, "ca/ra-signing.pem");
        files->ra_signing_key = keep(f, 6, "keys/ra-signing.key");
        files->ra_encryption_certificate = keep(f, 7, "ca/ra-encryption.pem");
        files->ra_encryption_key = keep(f, 8, "keys/ra-encryption.key");
    }
}

void ca_fixture_init(struct ca_fixture *f)
{
    uint8_t *der = NULL;
    ck_assert_msg(authority_init(&f->plan, &err), "%s", err.text);
    name_files(f);
    f->spec = calloc(1, sizeof *f->spec);
    f->device = (struct template){.name = "device",
                                  .key_usage = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT,
                                  .validity = 365 * DAY,
                                  .backdate = 3600};
    ck_assert(eku_add(&f->device.eku, EKU_CLIENT_AUTH));
    ck_assert(key_generate("rsa2048", &f->device_key, &err));
    int n = i2d_PUBKEY(f->device_key, &der);
    ck_assert(n > 0 && buf_append(&f->device_spki, der, (size_t)n));
    OPENSSL_free(der);
}

bool ca_fixture_load(struct ca_fixture *f, struct err *e)
{
    const struct template *templates[] = {&f->device};
    return authority_load(&f->files, templates, 1, f->spec, &f->authority, e);
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* By OpenSSL, under the authority's own key. */
static struct cert *delegate_cert(struct ca_fixture *f, EVP_PKEY *key, int64_t from, int64_t to)
{
    const uint8_t *p = f->authority->cert->der.p;
    EVP_PKEY *ca_key = NULL;
    X509 *ca = d2i_X509(NULL, &p, (long)f->authority->cert->der.n), *x = X509_new();
    struct cert *out = NULL;
    uint8_t *der = NULL;
    ck_assert_msg(key_load(f->path[1], f->plan.passphrase_file, &ca_key, &err), "%s", err.text);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 0x4f435350 + (long)f->spec->n);
    X509_set_issuer_name(x, X509_get_subject_name(ca));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const uint8_t *)"Responder", -1, -1, 0);
    ASN1_TIME_set(X509_getm_notBefore(x), from);
    ASN1_TIME_set(X509_getm_notAfter(x), to);
    X509_set_pubkey(x, key);
    add_extension(x, NID_key_usage, "critical,digitalSignature");
    add_extension(x, NID_ext_key_usage, "OCSPSigning");
    add_extension(x, NID_id_pkix_OCSP_noCheck, "yes");
    ck_assert_int_gt(X509_sign(x, ca_key, digest_md(f->authority->sigalg.digest)), 0);
    int n = i2d_X509(x, &der);
    ck_assert_msg(n > 0 && cert_parse(view_of(der, (size_t)n), &out, &err), "%s", err.text);
    OPENSSL_free(der);
    X509_free(x);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return out;
}

void ca_fixture_make(struct ca_fixture *f)
{
    ca_fixture_plan(f);
    ca_fixture_init(f);
    ck_assert_msg(ca_fixture_load(f, &err), "%s", err.text);
}

void ca_fixture_delegate(struct ca_fixture *f, const char *kind, int64_t from, int64_t to)
{
    struct ocsp_delegate *d = &f->authority->ocsp;
    struct signer_key_spec *k = &f->spec->key[f->spec->n];
    EVP_PKEY *key = NULL;
    char name[32];
    snprintf(name, sizeof name, "ocsp-%d-%zu.key", (int)getpid(), f->spec->n);
    cert_free(d->cert);
    ck_assert(key_generate(kind, &key, &err));
    d->cert = delegate_cert(f, key, from, to);
    *k = (struct signer_key_spec){.cert = buf_view(&d->cert->der), .uses = SIGNER_OCSP};
    snprintf(k->path, sizeof k->path, "%s", ca_fixture_path(f, name));
    ck_assert_msg(key_save(key, k->path, NULL, &err), "%s", err.text);
    if (d->key >= 0) { /* in its place */
        f->spec->key[d->key] = *k;
    } else {
        d->key = (int)f->spec->n++;
    }
    EVP_PKEY_free(key);
}

void ca_fixture_clear(struct ca_fixture *f)
{
    authority_free(f->authority);
    EVP_PKEY_free(f->device_key);
    buf_clear(&f->device_spki);
    free(f->spec);
    temporary_remove(&f->dir);
    *f = (struct ca_fixture){0};
}

/* ---- device certificates ---- */

void leaf_make(const struct ca_fixture *f, struct leaf *l)
{
    const struct authority *a = f->authority;
    time_t now = time(NULL);
    *l = (struct leaf){0};
    ck_assert(
        name_add(&l->subject, name_type_by_key("CN"), "device-1", REASON_SUBJECT_FORBIDDEN, &err));
    ck_assert_msg(pubkey_parse(buf_view(&f->device_spki), &l->key, &err), "%s", err.text);
    ck_assert(eku_add(&l->eku, EKU_CLIENT_AUTH));
    ck_assert(RAND_bytes(l->serial, sizeof l->serial) == 1);
    l->serial[0] = (uint8_t)((l->serial[0] & 0x3f) | 0x40);
    l->tbs = (struct tbs){
        .serial = view_of(l->serial, sizeof l->serial),
        .sigalg = a->sigalg,
        .issuer = a->cert->subject,
        .not_before = now - 3600,
        .not_after = now + 90 * DAY,
        .subject = &l->subject,
        .key = &l->key,
        .path_len = -1,
        .key_usage = KU_DIGITAL_SIGNATURE,
        .eku = &l->eku,
        .authority_key_id = view_of(a->key_id, sizeof a->key_id),
        .crl_url = a->crl_url,
        .issuer_url = a->issuer_url,
    };
}

struct buf leaf_build(const struct leaf *l)
{
    struct buf out = {0};
    ck_assert_msg(tbs_build(&l->tbs, &out, &err), "%s", err.text);
    return out;
}

void leaf_clear(struct leaf *l)
{
    name_clear(&l->subject);
}

/* ---- CRLs ---- */

void crl_plan_make(const struct ca_fixture *f, struct crl_plan *p)
{
    *p = (struct crl_plan){.version = 1,
                           .issuer = f->authority->cert->subject,
                           .sigalg = f->authority->sigalg,
                           .key_id = view_of(f->authority->key_id, sizeof f->authority->key_id)};
}

static void crl_entries(struct der *w, const struct crl_plan *p)
{
    size_t list = der_mark(w);
    for (unsigned i = 0; i < p->entries; i++) {
        size_t entry = der_mark(w);
        der_time(w, time(NULL));
        der_small(w, 1000 + i);
        der_wrap(w, DER_SEQUENCE, entry);
    }
    if (p->entries || p->empty_list)
        der_wrap(w, DER_SEQUENCE, list);
}

static void put_extension(struct der *w, const char *oid, bool critical, struct der *value)
{
    extension_build(w, oid, critical, der_content(value));
    der_clear(value);
}

static void put_number(struct der *w, const char *oid, bool critical, uint64_t n)
{
    struct der v;
    der_init(&v, 16);
    der_small(&v, n);
    put_extension(w, oid, critical, &v);
}

static void put_url(struct der *w, const char *oid, bool critical, bool list, const char *url)
{
    struct der v;
    der_init(&v, 64);
    size_t mark = der_mark(&v);
    der_tlv(&v, DER_CONTEXT(6), view_str(url));
    der_wrap(&v, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_wrap(&v, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_wrap(&v, DER_SEQUENCE, mark);
    if (list)
        der_wrap(&v, DER_SEQUENCE, mark);
    put_extension(w, oid, critical, &v);
}

uint64_t crl_number_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void crl_extensions(struct der *w, const struct crl_plan *p)
{
    static const uint8_t null[] = {DER_NULL, 0};
    size_t outer = der_mark(w);
    struct der v;
    if (p->odd)
        extension_build(w, p->odd, p->critical, view_of(null, sizeof null));
    if (p->freshest)
        put_url(w, "2.5.29.46", false, true, p->freshest);
    if (p->partition)
        put_url(w, "2.5.29.28", true, false, p->partition);
    if (p->delta)
        put_number(w, "2.5.29.27", true, p->base);
    put_number(w, "2.5.29.20", p->critical, p->number ? p->number : crl_number_now());
    der_init(&v, 32);
    size_t mark = der_mark(&v);
    der_tlv(&v, DER_CONTEXT(0), p->key_id);
    der_wrap(&v, DER_SEQUENCE, mark);
    put_extension(w, "2.5.29.35", false, &v);
    der_wrap(w, DER_SEQUENCE, outer);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), outer);
}

struct buf crl_plan_build(const struct crl_plan *p)
{
    struct buf out = {0};
    struct der w;
    der_init(&w, 1024);
    size_t all = der_mark(&w);
    if (p->tail)
        der_small(&w, 1);
    if (!p->no_extensions)
        crl_extensions(&w, p);
    crl_entries(&w, p);
    if (!p->no_next_update)
        der_time(&w, time(NULL) + 7 * DAY);
    der_time(&w, time(NULL));
    der_raw(&w, p->issuer);
    der_raw(&w, sigalg_der(p->sigalg));
    der_small(&w, p->version);
    der_wrap(&w, DER_SEQUENCE, all);
    ck_assert_msg(der_take(&w, &out, &err), "%s", err.text);
    return out;
}

/* ---- messages ---- */

static void attribute(struct der *w, const char *oid, unsigned tag, struct view content)
{
    size_t all = der_mark(w), values = der_mark(w);
    if (tag == DER_OID)
        der_oid_text(w, (const char *)content.p);
    else
        der_tlv(w, tag, content);
    der_wrap(w, DER_SET, values);
    der_oid_text(w, oid);
    der_wrap(w, DER_SEQUENCE, all);
}

struct buf attributes_build(bool with_digest)
{
    static const uint8_t digest[32] = {1, 2, 3};
    struct buf out = {0};
    struct der w;
    der_init(&w, 256);
    size_t all = der_mark(&w);
    attribute(&w, "1.2.840.113549.1.9.3", DER_OID, view_str("1.2.840.113549.1.7.1"));
    attribute(&w, "2.16.840.1.113733.1.9.2", DER_PRINTABLE_STRING, view_str("3"));
    if (with_digest)
        attribute(&w, "1.2.840.113549.1.9.4", DER_OCTET_STRING, view_of(digest, sizeof digest));
    der_wrap_set_of(&w, all);
    ck_assert_msg(der_take(&w, &out, &err), "%s", err.text);
    return out;
}

static EVP_PKEY *key_of(const struct cert *c)
{
    struct pubkey key;
    EVP_PKEY *pkey = NULL;
    ck_assert_msg(pubkey_parse(c->spki, &key, &err) && pubkey_load(&key, &pkey, &err), "%s",
                  err.text);
    return pkey;
}

struct buf encrypt_to(const struct cert *c, struct key_wrap wrap, struct view secret)
{
    struct buf out = {0};
    EVP_PKEY *key = key_of(c);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t n = 1024;
    ck_assert(buf_reserve(&out, n) && EVP_PKEY_encrypt_init(ctx) == 1);
    if (wrap.padding == PADDING_OAEP)
        ck_assert(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_oaep_md(ctx, digest_md(wrap.hash)) == 1 &&
                  EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest_md(wrap.mgf)) == 1);
    ck_assert(EVP_PKEY_encrypt(ctx, out.p, &n, secret.p, secret.n) == 1);
    out.n = n;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return out;
}

bool signed_by(const struct cert *c, struct sigalg alg, struct view data, struct view signature)
{
    struct err e = {0};
    EVP_PKEY *key = key_of(c);
    bool ok = pubkey_verify(key, alg, data, signature, &e);
    EVP_PKEY_free(key);
    return ok;
}
