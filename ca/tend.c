#include "ca/tend.h"

#include <ctype.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ca/keyfile.h"
#include "make.h"
#include "pkcs7/scep.h"
#include "tend_internal.h"

/* ---- RAs ---- */

/* An RA of a generation, made and saved, not yet named by the manifest. */
struct new_ra {
    enum ra_shape shape;
    unsigned number;
    struct cert *signing, *encryption; /* owned; the same for RA_SINGLE */
    EVP_PKEY *signing_key;             /* owned */
};

static void new_ra_clear(struct new_ra *r)
{
    if (r->encryption != r->signing)
        cert_free(r->encryption);
    cert_free(r->signing);
    EVP_PKEY_free(r->signing_key);
}

/* Of the size that the one before has. */
static const char *rsa_kind(const struct cert *before)
{
    struct pubkey key;
    struct err ignored = {0};
    if (!pubkey_parse(before->spki, &key, &ignored) || key.type != KEY_RSA || key.bits <= 2048)
        return "rsa2048";
    return key.bits <= 3072 ? "rsa3072" : "rsa4096";
}

struct ra_part {
    const char *part, *suffix;
    enum cert_role role;
    uint32_t key_usage;
};

static const struct ra_part part_single = {"", " RA", ROLE_RA,
                                           KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT};
static const struct ra_part part_signing = {"-signing", " RA Signing", ROLE_RA_SIGNING,
                                            KU_DIGITAL_SIGNATURE};
static const struct ra_part part_encryption = {"-encryption", " RA Encryption", ROLE_RA_ENCRYPTION,
                                               KU_KEY_ENCIPHERMENT};

struct ra_issuer {
    const struct cert *cert;
    EVP_PKEY *key;
};

static bool make_ra_part(const struct change *c, const struct ra_issuer *issuer, unsigned number,
                         const struct ra_part *p, const struct cert *before, struct cert **out,
                         EVP_PKEY **key_out, struct err *err)
{
    char path[MANIFEST_PATH];
    struct name ca = {0}, subject = {0};
    EVP_PKEY *key = NULL;
    struct make m = {.role = p->role,
                     .subject = &subject,
                     .issuer = issuer->cert,
                     .issuer_key = issuer->key,
                     .key_usage = p->key_usage,
                     .path_len = -1,
                     .validity = c->t->rules->ra_validity,
                     .now = c->t->now};
    bool ok = name_parse(issuer->cert->subject, REASON_SUBJECT_FORBIDDEN, &ca, err) &&
              make_name(&ca, p->suffix, &subject, err) && key_generate(rsa_kind(before), &key, err);
    m.key = key;
    ok = ok && make_certificate(&m, "ra", out, err) &&
         manifest_path_ra(c->directory, number, p->part, ".key", path, err) &&
         change_save_key(c, key, path, err) &&
         manifest_path_ra(c->directory, number, p->part, ".pem", path, err) &&
         change_save_certificate(c, *out, path, err);
    name_clear(&ca);
    name_clear(&subject);
    if (ok && key_out)
        *key_out = key;
    else
        EVP_PKEY_free(key);
    return ok;
}

static bool make_ra(struct change *c, const struct ra_issuer *issuer, const struct ra_set *before,
                    struct new_ra *out, struct err *err)
{
    *out = (struct new_ra){.shape = before->shape, .number = ++c->manifest->last_ra};
    bool single = before->shape == RA_SINGLE;
    bool ok = make_ra_part(c, issuer, out->number, single ? &part_single : &part_signing,
                           before->signing, &out->signing, &out->signing_key, err);
    if (ok && single)
        out->encryption = out->signing;
    else if (ok)
        ok = make_ra_part(c, issuer, out->number, &part_encryption, before->encryption,
                          &out->encryption, NULL, err);
    return ok;
}

static bool name_ra(struct manifest_generation *g, const struct new_ra *r, struct err *err)
{
    if (g->ra_n == MANIFEST_MAX_RAS)
        return err_set(err, ERR_CONFLICT, "generation %u has %d RAs already", g->number,
                       MANIFEST_MAX_RAS);
    g->ra[g->ra_n++] = (struct manifest_ra){r->number, r->shape};
    return true;
}

static const struct ra_set *in_use(const struct authority *a, enum ra_shape shape)
{
    for (size_t i = 0; i < a->set_n; i++)
        if (a->set[i].shape == shape &&
            (a->set[i].signing == a->ra || a->set[i].signing == a->ra_signing))
            return &a->set[i];
    return NULL;
}

/* ---- the announcement: the answer to GetNextCACert (RFC 8894 section 4.7.1) ---- */

struct announcement {
    const struct cert *next;
    const struct cert *above[AUTHORITY_MAX_CHAIN];
    size_t above_n;
    struct new_ra next_ra[2];   /* by shape; borrowed; signing NULL: none */
    const struct cert *current; /* and what clients of each shape know of the current generation */
    EVP_PKEY *current_key;
    const struct cert *ra[2];
    EVP_PKEY *ra_key[2];
};

static X509 *x509_of(const struct cert *c)
{
    const unsigned char *p = c->der.p;
    return d2i_X509(NULL, &p, (long)c->der.n);
}

static const EVP_MD *digest_of(EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    if (!EVP_PKEY_is_a(key, "EC"))
        return EVP_sha256();
    return bits <= 256 ? EVP_sha256() : bits <= 384 ? EVP_sha384() : EVP_sha512();
}

static bool add_signer(CMS_ContentInfo *cms, const struct cert *cert, EVP_PKEY *key)
{
    X509 *x = x509_of(cert);
    bool ok = x && CMS_add1_signer(cms, x, key, digest_of(key), CMS_NOSMIMECAP);
    X509_free(x);
    return ok;
}

static bool add_certificates(CMS_ContentInfo *cms, const struct view *certs, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const unsigned char *p = certs[i].p;
        X509 *x = d2i_X509(NULL, &p, (long)certs[i].n);
        ok = x && CMS_add0_cert(cms, x);
        if (!ok)
            X509_free(x);
    }
    return ok;
}

/* sscep reads the certificates of the content, jscep those around it: they stand in both.  Signed
 * by the current CA, as the RFC says, and by the RA besides, by which jscep verifies where there is
 * one. */
static bool sign_announcement(const struct announcement *a, int shape, struct view content,
                              const struct view *certs, size_t n, struct buf *out, struct err *err)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP;
    unsigned char *der = NULL;
    int length = 0;
    BIO *in = BIO_new_mem_buf(content.p, (int)content.n);
    CMS_ContentInfo *cms = in ? CMS_sign(NULL, NULL, NULL, in, flags) : NULL;
    bool ok = cms && add_signer(cms, a->current, a->current_key);
    if (ok && shape != RA_NONE && a->ra[shape])
        ok = add_signer(cms, a->ra[shape], a->ra_key[shape]);
    ok = ok && add_certificates(cms, certs, n) && CMS_final(cms, in, NULL, flags) == 1;
    if (ok)
        length = i2d_CMS_ContentInfo(cms, &der);
    ok = ok && length > 0 && buf_append(out, der, (size_t)length);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    ERR_clear_error();
    return ok || err_set(err, ERR_CRYPTO, "cannot sign the announcement of the next CA");
}

static bool write_announcement(const struct change *c, const struct announcement *a, int shape,
                               struct err *err)
{
    char path[MANIFEST_PATH];
    struct view certs[AUTHORITY_MAX_CHAIN + 3];
    size_t n = 0;
    struct buf content = {0}, out = {0};
    certs[n++] = buf_view(&a->next->der);
    for (size_t i = 0; i < a->above_n; i++)
        certs[n++] = buf_view(&a->above[i]->der);
    if (shape != RA_NONE && a->next_ra[shape].signing) { /* whom to encrypt to */
        certs[n++] = buf_view(&a->next_ra[shape].encryption->der);
        if (shape == RA_PAIR)
            certs[n++] = buf_view(&a->next_ra[shape].signing->der);
    }
    bool ok = scep_certs_build(certs, n, view_of(NULL, 0), &content, err) &&
              sign_announcement(a, shape, buf_view(&content), certs, n, &out, err) &&
              manifest_path_announcement(c->directory, c->manifest->announcement,
                                         (enum ra_shape)shape, path, err) &&
              file_replace(path, buf_view(&out), 0644, err);
    buf_clear(&content);
    buf_clear(&out);
    return ok;
}

static bool write_announcements(struct change *c, const struct announcement *a, struct err *err)
{
    bool ok = true;
    c->manifest->announcement = ++c->manifest->last_announcement;
    for (int shape = RA_SINGLE; ok && shape <= RA_NONE; shape++)
        if (shape == RA_NONE || a->ra[shape])
            ok = write_announcement(c, a, shape, err);
    return ok;
}

/* What the current generation signs with; keys owned by the announcement. */
static bool announcement_signers(const struct change *c, struct announcement *a, struct err *err)
{
    const struct authority *current = c->family->current;
    bool ok = true;
    a->current = current->cert;
    if (!a->current_key)
        ok = change_ca_key(c, current->generation, &a->current_key, err);
    for (int shape = RA_SINGLE; ok && shape <= RA_PAIR; shape++) {
        const struct ra_set *s = in_use(current, (enum ra_shape)shape);
        if (!s || a->ra[shape])
            continue;
        a->ra[shape] = s->signing;
        ok = change_ra_key(c, current->generation, s, &a->ra_key[shape], err);
    }
    return ok;
}

static void announcement_clear(struct announcement *a)
{
    EVP_PKEY_free(a->current_key);
    for (int shape = RA_SINGLE; shape <= RA_PAIR; shape++)
        EVP_PKEY_free(a->ra_key[shape]);
}

/* After an RA was renewed: by the old ones and the new one together. */
static bool announce_again(struct change *c, const struct authority *renewed,
                           const struct new_ra *ra, struct err *err)
{
    const struct authority *next = c->family->next;
    struct announcement a = {.next = next->cert, .above_n = next->chain_n};
    for (size_t i = 0; i < next->chain_n; i++)
        a.above[i] = next->chain[i];
    for (int shape = RA_SINGLE; shape <= RA_PAIR; shape++) {
        const struct ra_set *s = in_use(next, (enum ra_shape)shape);
        if (s)
            a.next_ra[shape] = (struct new_ra){.signing = s->signing, .encryption = s->encryption};
    }
    if (renewed == next) {
        a.next_ra[ra->shape] = *ra;
    } else {
        a.ra[ra->shape] = ra->signing;
        a.ra_key[ra->shape] = ra->signing_key;
        EVP_PKEY_up_ref(ra->signing_key);
    }
    bool ok = announcement_signers(c, &a, err) && write_announcements(c, &a, err);
    announcement_clear(&a);
    return ok;
}

/* ---- renewing an RA ---- */

static bool renew_ra(const struct tend *t, unsigned generation, enum ra_shape shape,
                     struct err *err)
{
    struct change c;
    struct new_ra ra = {0};
    struct ra_issuer issuer = {0};
    char end[32];
    const struct authority *a = NULL;
    const struct ra_set *before = NULL;
    bool ok = change_begin(&c, t, err);
    if (ok) {
        a = change_member(&c, generation);
        before = a ? in_use(a, shape) : NULL;
        ok = (before && a->role != AUTHORITY_FORMER) ||
             err_set(err, ERR_CONFLICT, "generation %u has no such RA to renew", generation);
    }
    if (ok && a->set_n >= AUTHORITY_MAX_RAS)
        ok = err_set(err, ERR_CONFLICT, "generation %u has %zu RAs that have not ended: wait",
                     generation, a->set_n);
    if (ok)
        issuer.cert = a->cert;
    ok = ok && change_ca_key(&c, generation, &issuer.key, err) &&
         make_ra(&c, &issuer, before, &ra, err) &&
         name_ra(manifest_find(c.manifest, generation), &ra, err) &&
         (!c.family->next || announce_again(&c, a, &ra, err));
    if (ok) {
        text_time(ra.signing->not_after, end);
        change_event(&c, "ra.renewed", "RA %u of generation %u, %s, until %s", ra.number,
                     generation, shape == RA_SINGLE ? "single" : "pair", end);
    }
    ok = ok && change_commit(&c, err);
    new_ra_clear(&ra);
    EVP_PKEY_free(issuer.key);
    change_end(&c);
    return ok;
}

/* ---- the next CA ---- */

/* One that is being made: certificate and key, its RAs, the issuers above. */
struct new_ca {
    unsigned number;
    EVP_PKEY *key;     /* owned */
    struct cert *cert; /* owned */
    const struct cert *above[AUTHORITY_MAX_CHAIN];
    size_t above_n;
    struct new_ra ra[2]; /* by shape; owned */
};

static void new_ca_clear(struct new_ca *n)
{
    EVP_PKEY_free(n->key);
    cert_free(n->cert);
    for (int shape = RA_SINGLE; shape <= RA_PAIR; shape++)
        new_ra_clear(&n->ra[shape]);
}

static bool make_room(struct change *c, struct err *err)
{
    struct manifest *m = c->manifest;
    for (unsigned i = 0; m->n == FAMILY_MAX && i < m->n; i++)
        if (m->generation[i].retired_at && m->generation[i].number != m->current) {
            memmove(&m->generation[i], &m->generation[i + 1],
                    (m->n - i - 1) * sizeof m->generation[0]);
            m->n--;
        }
    return m->n < FAMILY_MAX ||
           err_set(err, ERR_CONFLICT, "there are %d generations already, and none has ended",
                   FAMILY_MAX);
}

static bool begin_next(struct change *c, const struct tend *t, struct new_ca *n, struct err *err)
{
    if (!change_begin(c, t, err))
        return false;
    if (c->family->next)
        return err_set(err, ERR_CONFLICT, "there is a next CA already: generation %u",
                       c->family->next->generation);
    n->number = c->manifest->last_generation + 1;
    return make_room(c, err);
}

static bool save_ca(const struct change *c, const struct new_ca *n, struct err *err)
{
    char path[MANIFEST_PATH];
    bool ok = manifest_path_ca(c->directory, n->number, ".key", path, err) &&
              change_save_key(c, n->key, path, err) &&
              manifest_path_ca(c->directory, n->number, ".pem", path, err) &&
              change_save_certificate(c, n->cert, path, err);
    for (size_t i = 0; ok && i < n->above_n; i++)
        ok = manifest_path_chain(c->directory, n->number, (unsigned)i + 1, path, err) &&
             change_save_certificate(c, n->above[i], path, err);
    return ok;
}

/* One RA for each shape that the current generation has. */
static bool make_ras(struct change *c, struct new_ca *n, struct err *err)
{
    struct ra_issuer issuer = {n->cert, n->key};
    bool ok = true;
    for (int shape = RA_SINGLE; ok && shape <= RA_PAIR; shape++) {
        const struct ra_set *before = in_use(c->family->current, (enum ra_shape)shape);
        if (before)
            ok = make_ra(c, &issuer, before, &n->ra[shape], err);
    }
    return ok;
}

static bool announce(struct change *c, const struct new_ca *n, struct err *err)
{
    struct announcement a = {.next = n->cert, .above_n = n->above_n};
    memcpy(a.above, n->above, sizeof a.above);
    memcpy(a.next_ra, n->ra, sizeof a.next_ra);
    bool ok = announcement_signers(c, &a, err) && write_announcements(c, &a, err);
    announcement_clear(&a);
    return ok;
}

static bool name_next(struct change *c, const struct new_ca *n, int64_t activate_at,
                      struct err *err)
{
    struct manifest *m = c->manifest;
    struct manifest_generation *g = &m->generation[m->n];
    struct pubkey key;
    if (!pubkey_parse(n->cert->spki, &key, err))
        return false;
    *g = (struct manifest_generation){.number = n->number,
                                      .made_at = c->t->now,
                                      .activate_at = activate_at == TEND_BY_HAND ? 0 : activate_at,
                                      .chain_n = (unsigned)n->above_n};
    memcpy(g->key, key.sha256, sizeof g->key);
    for (int shape = RA_SINGLE; shape <= RA_PAIR; shape++)
        if (n->ra[shape].signing && !name_ra(g, &n->ra[shape], err))
            return false;
    m->n++;
    m->last_generation = n->number;
    return true;
}

static bool commit_next(struct change *c, struct new_ca *n, int64_t activate_at, struct err *err)
{
    char subject[160], when[32] = "when told to";
    if (activate_at == 0)
        activate_at = tend_activation(c->family, c->t->rules, c->t->now);
    if (!save_ca(c, n, err) || !make_ras(c, n, err) || !announce(c, n, err) ||
        !name_next(c, n, activate_at, err))
        return false;
    name_der_text(n->cert->subject, subject, sizeof subject);
    if (activate_at != TEND_BY_HAND)
        text_time(activate_at, when);
    change_event(c, "ca.next", "generation %u, %s; takes over %s", n->number, subject, when);
    return change_commit(c, err);
}

const char *tend_kind_of(const struct cert *c)
{
    struct pubkey key;
    struct err ignored = {0};
    if (!pubkey_parse(c->spki, &key, &ignored))
        return "p256";
    if (key.type == KEY_RSA)
        return rsa_kind(c);
    return key.curve == CURVE_P256 ? "p256" : "p384";
}

/* "X", generation 2: "X G2"; "X G2", generation 3: "X G3". */
bool tend_name_generation(const struct authority *current, const char *given, unsigned number,
                          struct name *out, struct err *err)
{
    const struct name_type *cn = name_type_by_key("CN");
    struct name base = {0};
    char suffix[16];
    bool ok = name_parse(current->cert->subject, REASON_SUBJECT_FORBIDDEN, &base, err);
    for (size_t i = 0; ok && i < base.n; i++) {
        char *value = base.attr[i].value, *end = value + strlen(value);
        if (base.attr[i].type != cn)
            continue;
        if (given) {
            free(value);
            base.attr[i].value = strdup(given);
            ok = base.attr[i].value || err_memory(err);
            break;
        }
        while (end > value && isdigit((unsigned char)end[-1]))
            end--;
        if (*end && end - value > 2 && end[-1] == 'G' && end[-2] == ' ')
            end[-2] = '\0';
    }
    snprintf(suffix, sizeof suffix, " G%u", number);
    ok = ok && make_name(&base, given ? "" : suffix, out, err);
    name_clear(&base);
    return ok;
}

static bool load_root(const struct change *c, const struct tend_next *wish, EVP_PKEY **out,
                      struct err *err)
{
    const char *path = wish->root_key ? wish->root_key : c->t->rules->root_key;
    const struct cert *root = c->family->current->chain[0];
    struct pubkey key;
    EVP_PKEY *public_key = NULL;
    if (!path || !*path)
        return err_set(err, ERR_CONFLICT,
                       "the CA stands under another one: its key is needed, or a request to it");
    bool ok = key_load(path, c->t->files->first.passphrase_file, out, err) &&
              pubkey_parse(root->spki, &key, err) && pubkey_load(&key, &public_key, err);
    if (ok && EVP_PKEY_eq(*out, public_key) != 1)
        ok = err_set(err, ERR_CONFIG, "%s is not the key of the CA above", path);
    EVP_PKEY_free(public_key);
    return ok;
}

/* As it was asked for: without what lies before. */
static int64_t life_of(const struct cert *c)
{
    int64_t life = c->not_after - c->not_before;
    return life > 2 * MAKE_BACKDATE ? life - MAKE_BACKDATE : life;
}

static bool make_ca(const struct change *c, const struct tend_next *wish, struct new_ca *n,
                    struct err *err)
{
    const struct authority *current = c->family->current;
    char crl_url[256] = "", issuer_url[256] = "";
    const uint32_t usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN | KU_DIGITAL_SIGNATURE;
    bool under = current->chain_n > 0;
    int64_t rule = c->t->rules->ca_validity;
    struct name subject = {0};
    EVP_PKEY *root_key = NULL;
    struct make m = {.role = under ? ROLE_ISSUING_CA : ROLE_ROOT,
                     .subject = &subject,
                     .issuer = under ? current->chain[0] : NULL,
                     .key_usage =
                         usage | (current->ca_decrypts ? (uint32_t)KU_KEY_ENCIPHERMENT : 0),
                     .path_len = 0,
                     .validity = wish->validity ? wish->validity
                                 : rule         ? rule
                                                : life_of(current->cert),
                     .crl_url = crl_url,
                     .issuer_url = issuer_url,
                     .now = c->t->now};
    n->above_n = current->chain_n;
    for (size_t i = 0; i < current->chain_n; i++)
        n->above[i] = current->chain[i];
    if (under)
        authority_urls_of(current->cert, crl_url, issuer_url);
    bool ok =
        tend_name_generation(current, wish->name, n->number, &subject, err) &&
        (!under || load_root(c, wish, &root_key, err)) &&
        key_generate(wish->key_kind ? wish->key_kind : tend_kind_of(current->cert), &n->key, err);
    m.key = n->key;
    m.issuer_key = root_key;
    ok = ok && make_certificate(&m, "ca", &n->cert, err);
    EVP_PKEY_free(root_key);
    name_clear(&subject);
    return ok;
}

bool tend_make_next(const struct tend *t, const struct tend_next *wish, struct err *err)
{
    struct change c;
    struct new_ca n = {0};
    bool ok = begin_next(&c, t, &n, err);
    if (ok && c.family->current->ca_decrypts && wish->key_kind &&
        strncmp(wish->key_kind, "rsa", 3) != 0)
        ok = err_set(err, ERR_CONFIG, "ca_decrypts is set: the next CA needs an RSA key, not %s",
                     wish->key_kind);
    ok = ok && make_ca(&c, wish, &n, err);
    if (ok && n.cert->not_after < c.family->current->cert->not_after)
        ok =
            err_set(err, ERR_CONFLICT,
                    "the next CA would not outlive the current one: the CA above ends too soon, or "
                    "the validity is too short");
    ok = ok && commit_next(&c, &n, wish->activate_at, err);
    new_ca_clear(&n);
    change_end(&c);
    return ok;
}

bool tend_take_next(const struct tend *t, EVP_PKEY *key, const struct cert *cert,
                    const struct cert *const *chain, size_t chain_n, int64_t activate_at,
                    struct err *err)
{
    struct change c;
    struct new_ca n = {0};
    bool ok = begin_next(&c, t, &n, err);
    if (ok && chain_n > AUTHORITY_MAX_CHAIN)
        ok = err_set(err, ERR_CONFIG, "a chain of %zu certificates, at most %d are possible",
                     chain_n, AUTHORITY_MAX_CHAIN);
    if (ok && view_eq(cert->subject, c.family->current->cert->subject))
        ok = err_set(err, ERR_CONFLICT,
                     "the next CA has the name of the current one: relying parties could not tell "
                     "them apart");
    if (ok) {
        EVP_PKEY_up_ref(key);
        n.key = key;
        n.above_n = chain_n;
        for (size_t i = 0; i < chain_n; i++)
            n.above[i] = chain[i];
        ok = cert_parse(buf_view(&cert->der), &n.cert, err);
    }
    ok = ok && commit_next(&c, &n, activate_at, err);
    new_ca_clear(&n);
    change_end(&c);
    return ok;
}

/* ---- taking over, and the end ---- */

bool tend_activate(const struct tend *t, struct err *err)
{
    struct change c;
    char subject[160];
    bool ok = change_begin(&c, t, err);
    if (ok && !c.family->next)
        ok = err_set(err, ERR_CONFLICT, "there is no next CA to take over");
    if (ok && t->now > c.family->next->cert->not_after)
        ok = err_set(err, ERR_CONFLICT, "the next CA has ended already");
    if (ok) {
        struct manifest_generation *g = manifest_next(c.manifest);
        g->activated_at = t->now;
        c.manifest->current = g->number;
        c.manifest->announcement = 0;
        name_der_text(c.family->next->cert->subject, subject, sizeof subject);
        change_event(&c, "ca.activated", "generation %u, %s, issues from now on", g->number,
                     subject);
        ok = change_commit(&c, err);
    }
    change_end(&c);
    return ok;
}

static void forget(struct manifest *m, unsigned number)
{
    struct manifest_generation *g = manifest_find(m, number);
    size_t i = (size_t)(g - m->generation);
    memmove(g, g + 1, (m->n - i - 1) * sizeof *g);
    m->n--;
}

bool tend_abort(const struct tend *t, struct err *err)
{
    struct change c;
    bool ok = change_begin(&c, t, err);
    if (ok && !c.family->next)
        ok = err_set(err, ERR_CONFLICT, "there is no next CA");
    if (ok) {
        unsigned number = c.family->next->generation;
        forget(c.manifest, number);
        c.manifest->announcement = 0;
        change_event(&c, "ca.aborted", "generation %u, that was to be the next, is forgotten",
                     number);
        ok = change_commit(&c, err);
    }
    change_end(&c);
    return ok;
}

/* RAs that were not loaded have ended. */
static unsigned retire_ras(struct manifest_generation *g, const struct authority *a, bool all)
{
    unsigned kept = 0, gone;
    for (unsigned i = 0; i < g->ra_n; i++) {
        bool loaded = false;
        for (size_t k = 0; k < a->set_n; k++)
            loaded |= a->set[k].number == g->ra[i].number;
        if (loaded && !all)
            g->ra[kept++] = g->ra[i];
    }
    gone = g->ra_n - kept;
    g->ra_n = kept;
    return gone;
}

static bool retire(const struct tend *t, struct err *err)
{
    struct change c;
    bool next_ended = false;
    bool ok = change_begin(&c, t, err);
    for (size_t i = 0; ok && i < c.family->n; i++) {
        const struct authority *a = c.family->member[i];
        struct manifest_generation *g = manifest_find(c.manifest, a->generation);
        bool ended = a != c.family->current && t->now > a->cert->not_after;
        unsigned gone = retire_ras(g, a, ended);
        if (gone && !ended)
            change_event(&c, "ra.retired", "%u RA%s of generation %u ended", gone,
                         gone == 1 ? "" : "s", g->number);
        if (ended && !g->retired_at) {
            g->retired_at = t->now;
            g->ocsp_n = 0;
            next_ended |= a == c.family->next;
            change_event(&c, "ca.retired", "generation %u has ended; its key is %s", g->number,
                         g->number == 1 ? "not used any more" : "removed");
        }
    }
    if (ok && next_ended) {
        forget(c.manifest, c.family->next->generation);
        c.manifest->announcement = 0;
    }
    ok = ok && change_commit(&c, err);
    change_end(&c);
    return ok;
}

bool tend_do(const struct tend *t, const struct tend_step *step, struct err *err)
{
    const struct tend_next by_the_rules = {0};
    switch (step->what) {
    case TEND_NOTHING:
        return true;
    case TEND_RETIRE:
        return retire(t, err);
    case TEND_RENEW_RA:
        return renew_ra(t, step->generation, step->shape, err);
    case TEND_ACTIVATE:
        return tend_activate(t, err);
    case TEND_MAKE_NEXT:
        return tend_make_next(t, &by_the_rules, err);
    case TEND_RENEW_OCSP:
        return tend_renew_ocsp(t, step->generation, err);
    }
    return true;
}

/* ---- the audit log's part ---- */

bool tend_record(const struct family_files *f,
                 bool (*record)(void *ctx, const struct tend_event *e, struct err *err), void *ctx,
                 struct err *err)
{
    const struct tend_rules none = {0};
    struct tend t = {.files = f, .rules = &none, .actor = ""};
    struct manifest m;
    struct change c;
    unsigned done = 0;
    if (!manifest_load(f->directory, &m, err))
        return false;
    if (m.event_n == 0)
        return true;
    bool ok = change_begin(&c, &t, err);
    while (ok && done < c.manifest->event_n) {
        const struct manifest_event *e = &c.manifest->event[done];
        const struct tend_event shown = {e->event, e->actor, e->text, e->at};
        ok = record(ctx, &shown, err);
        done += ok;
    }
    if (done > 0) {
        struct err why = {0};
        c.manifest->event_n -= done;
        memmove(&c.manifest->event[0], &c.manifest->event[done],
                c.manifest->event_n * sizeof c.manifest->event[0]);
        if (!change_commit(&c, &why) && ok) {
            *err = why;
            ok = false;
        }
    }
    change_end(&c);
    return ok;
}
