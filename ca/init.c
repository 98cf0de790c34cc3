#include "ca/init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ca/keyfile.h"
#include "ca/lint.h"
#include "init_files.h"
#include "make.h"

#define DAY ((int64_t)86400)
#define YEAR (365 * DAY)
#define NAME_MAX_CN 64 /* RFC 5280 Appendix A: ub-common-name */

/* One certificate to be made.  Issuers stand before what they issue. */
struct item {
    const char *file;   /* without ca/ and .pem, keys/ and .key */
    const char *suffix; /* of the common name */
    const char *kind;   /* of the key */
    enum cert_role role;
    struct item *issuer; /* NULL: itself */
    uint32_t key_usage;
    int64_t path_len, validity;
    const char *crl_url, *issuer_url;
    /* made */
    EVP_PKEY *key;       /* owned */
    struct cert *cert;   /* owned */
    struct name subject; /* owned */
};

enum { ITEM_ROOT, ITEM_CA, ITEM_RA, ITEM_RA_SIGNING, ITEM_RA_ENCRYPTION, ITEMS };

/* ---- the plan ---- */

static bool is_rsa(const char *kind)
{
    return strncmp(kind, "rsa", 3) == 0;
}

static bool check_plan(const struct init_plan *p, struct err *err)
{
    if (p->given && (!p->given_key || p->root_key))
        return err_set(err, ERR_CONFIG, "an authority that is given has its key and its own root");
    if (p->given && p->directory && p->name && p->name[0])
        return true;
    if (!p->directory || !p->name || !p->name[0] || !p->ca_key)
        return err_set(err, ERR_CONFIG, "an authority needs a directory, a name and a kind of key");
    if (p->ca_decrypts && !is_rsa(p->ca_key))
        return err_set(err, ERR_CONFIG,
                       "a CA key of kind %s cannot decrypt: leave that to an RA, or take rsa2048",
                       p->ca_key);
    if (p->ra_key && !is_rsa(p->ra_key))
        return err_set(err, ERR_CONFIG, "an RA decrypts and needs an RSA key, not %s: take rsa2048",
                       p->ra_key);
    if (p->ra_pair && !p->ra_key)
        return err_set(err, ERR_CONFIG, "an RA pair needs a kind of key");
    return true;
}

static int64_t or_default(int64_t validity, int64_t years)
{
    return validity ? validity : years * YEAR;
}

/* certificates.md's roles: what each is for and how long it lasts. */
static void fill_items(const struct init_plan *p, struct item *item)
{
    const uint32_t ca = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
    const uint32_t both = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;
    const uint32_t issuing =
        ca | KU_DIGITAL_SIGNATURE | (p->ca_decrypts ? (uint32_t)KU_KEY_ENCIPHERMENT : 0);
    struct item *root = p->root_key ? &item[ITEM_ROOT] : NULL, *issuer = &item[ITEM_CA];

    item[ITEM_ROOT] = (struct item){.file = "root",
                                    .suffix = " Root",
                                    .kind = p->root_key,
                                    .role = ROLE_ROOT,
                                    .key_usage = ca,
                                    .path_len = -1,
                                    .validity = or_default(p->root_validity, 20)};
    item[ITEM_CA] = (struct item){.file = "ca",
                                  .suffix = "",
                                  .kind = p->ca_key,
                                  .role = root ? ROLE_ISSUING_CA : ROLE_ROOT,
                                  .issuer = root,
                                  .key_usage = issuing,
                                  .path_len = 0,
                                  .validity = or_default(p->ca_validity, 10),
                                  .crl_url = root ? p->crl_url : NULL,
                                  .issuer_url = root ? p->issuer_url : NULL};
    item[ITEM_RA] = (struct item){.file = "ra",
                                  .suffix = " RA",
                                  .kind = p->ra_key,
                                  .role = ROLE_RA,
                                  .issuer = issuer,
                                  .key_usage = both,
                                  .path_len = -1,
                                  .validity = or_default(p->ra_validity, 2)};
    item[ITEM_RA_SIGNING] = item[ITEM_RA_ENCRYPTION] = item[ITEM_RA];
    item[ITEM_RA_SIGNING].file = "ra-signing";
    item[ITEM_RA_SIGNING].suffix = " RA Signing";
    item[ITEM_RA_SIGNING].role = ROLE_RA_SIGNING;
    item[ITEM_RA_SIGNING].key_usage = KU_DIGITAL_SIGNATURE;
    item[ITEM_RA_ENCRYPTION].file = "ra-encryption";
    item[ITEM_RA_ENCRYPTION].suffix = " RA Encryption";
    item[ITEM_RA_ENCRYPTION].role = ROLE_RA_ENCRYPTION;
    item[ITEM_RA_ENCRYPTION].key_usage = KU_KEY_ENCIPHERMENT;
    if (!p->ra_pair)
        item[ITEM_RA_SIGNING].kind = item[ITEM_RA_ENCRYPTION].kind = NULL;
}

/* ---- one certificate ---- */

static bool make_subject(const struct init_plan *p, struct item *i, struct err *err)
{
    char cn[NAME_MAX_CN * 4 + 32];
    int n = snprintf(cn, sizeof cn, "%s%s", p->name, i->suffix);
    if (n < 0 || (size_t)n >= sizeof cn)
        return err_set(err, ERR_CONFIG, "the name is too long: at most %zu characters are possible",
                       NAME_MAX_CN - strlen(i->suffix));
    bool ok = !p->organization || name_add(&i->subject, name_type_by_key("O"), p->organization,
                                           REASON_SUBJECT_FORBIDDEN, err);
    ok = ok && name_add(&i->subject, name_type_by_key("CN"), cn, REASON_SUBJECT_FORBIDDEN, err) &&
         name_check(&i->subject, REASON_SUBJECT_FORBIDDEN, err);
    if (!ok && err->kind == ERR_REFUSED) {
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
    }
    return ok;
}

static bool make_item(const struct init_plan *p, struct item *i, struct err *err)
{
    if (!make_subject(p, i, err) || !key_generate(i->kind, &i->key, err))
        return false;
    const struct make m = {.role = i->role,
                           .subject = &i->subject,
                           .key = i->key,
                           .issuer = i->issuer ? i->issuer->cert : NULL,
                           .issuer_key = i->issuer ? i->issuer->key : NULL,
                           .key_usage = i->key_usage,
                           .path_len = i->path_len,
                           .validity = i->validity,
                           .crl_url = i->crl_url,
                           .issuer_url = i->issuer_url,
                           .now = p->now};
    return make_certificate(&m, i->file, &i->cert, err);
}

static void item_clear(struct item *i)
{
    EVP_PKEY_free(i->key);
    cert_free(i->cert);
    name_clear(&i->subject);
}

/* ---- the whole ---- */

static bool save_item(struct init_files *files, const struct init_plan *p, const struct item *i,
                      struct err *err)
{
    struct buf pem = {0};
    bool key = !(p->key_stands && i->role != ROLE_RA && i->role != ROLE_RA_SIGNING &&
                 i->role != ROLE_RA_ENCRYPTION);
    bool ok = cert_pem(buf_view(&i->cert->der), &pem, err) &&
              (!key || init_files_key(files, i->file, i->key, p->passphrase_file, err)) &&
              init_files_certificate(files, i->file, buf_view(&pem), err);
    buf_clear(&pem);
    return ok;
}

/* The authority that exists already, in the place of one that would be made. */
static bool take_given(const struct init_plan *p, struct item *i, struct init_files *files,
                       struct err *err)
{
    struct buf chain = {0};
    i->kind = "given";
    i->key = p->given_key;
    EVP_PKEY_up_ref(i->key);
    bool ok = cert_parse(buf_view(&p->given->ca->der), &i->cert, err);
    if (ok && p->given->n)
        ok = issued_chain_pem(p->given, &chain, err) &&
             init_files_certificate(files, "chain", buf_view(&chain), err);
    buf_clear(&chain);
    return ok;
}

static bool check_absent(const struct init_files *files, const struct init_plan *p,
                         const struct item *item, struct err *err)
{
    for (size_t i = 0; i < ITEMS; i++) {
        bool stands = i == ITEM_CA && p->key_stands;
        if (item[i].kind && !(stands ? init_files_no_certificate(files, item[i].file, err)
                                     : init_files_absent(files, item[i].file, err)))
            return false;
    }
    return true;
}

static bool make_items(struct init_files *files, const struct init_plan *p, struct item *item,
                       struct err *err)
{
    for (size_t i = 0; i < ITEMS; i++) {
        if (!item[i].kind)
            continue;
        bool given = i == ITEM_CA && p->given;
        if (!(given ? take_given(p, &item[i], files, err) : make_item(p, &item[i], err)) ||
            !save_item(files, p, &item[i], err))
            return false;
    }
    return true;
}

/* Key and request: there is no certificate to make anything under. */
static bool make_request(struct init_files *files, const struct init_plan *p, struct item *i,
                         struct err *err)
{
    struct buf subject = {0}, pem = {0};
    struct der w = {0};
    bool ok = make_subject(p, i, err) && key_generate(i->kind, &i->key, err);
    if (ok) {
        der_init(&w, 256);
        name_build(&i->subject, &w);
        ok = der_take(&w, &subject, err);
    }
    const struct outside_request r = {i->key, buf_view(&subject), p->ca_decrypts};
    ok = ok && outside_request_build(&r, &pem, err) &&
         init_files_key(files, i->file, i->key, p->passphrase_file, err) &&
         init_files_request(files, i->file, buf_view(&pem), err);
    buf_clear(&subject);
    buf_clear(&pem);
    return ok;
}

bool authority_init(const struct init_plan *p, struct err *err)
{
    struct item item[ITEMS] = {0};
    struct init_files files = {0};
    bool ok = false;
    if (!check_plan(p, err))
        return false;
    fill_items(p, item);
    if (p->given)
        item[ITEM_CA].kind = "given";
    if (!init_files_begin(&files, p->directory, err) || !check_absent(&files, p, item, err))
        goto out;
    ok = (p->request ? make_request(&files, p, &item[ITEM_CA], err)
                     : make_items(&files, p, item, err)) &&
         init_files_commit(&files, err);
out:
    init_files_end(&files);
    for (size_t i = 0; i < ITEMS; i++)
        item_clear(&item[i]);
    return ok;
}
