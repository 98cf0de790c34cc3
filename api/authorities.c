/* /authorities: who issues, until when, by which fingerprints devices know it; and its CRL. */
#include <stdio.h>
#include <string.h>

#include "pkcs7/cert.h"
#include "resources.h"

/* ---- as JSON ---- */

static const char *const role_words[] = {"current", "former", "next", "ended", NULL};

static const char *role_of(const struct authority *a, int64_t now)
{
    if (a->role == AUTHORITY_NEXT)
        return "next";
    if (a->cert->not_after < now)
        return "ended";
    return a->role == AUTHORITY_CURRENT ? "current" : "former";
}

/* Who answers for the CA, and until when. */
static bool add_helper(json_t *o, const char *name, const struct cert *cert)
{
    char key[64], text[NAME_TEXT_MAX] = "", print[3 * 64] = "";
    struct err ignored = {0};
    if (cert) {
        name_der_text(cert->subject, text, sizeof text);
        cert_fingerprint(cert, DIGEST_SHA256, print, &ignored);
    }
    bool ok = api_set_text(o, name, text);
    snprintf(key, sizeof key, "%s_not_after", name);
    ok = ok && api_set_time(o, key, cert ? cert->not_after : 0);
    snprintf(key, sizeof key, "%s_sha256", name);
    return ok && api_set_text(o, key, print);
}

static bool add_crl(const struct api_call *c, json_t *o, const struct authority *a)
{
    struct store_crl crl = {0};
    struct err ignored = {0};
    bool found = store_crl_about(c->world->store, a->key_id, STORE_CRL_COMPLETE, &crl, &ignored);
    return api_set(o, "crl_number", found ? json_integer((json_int_t)crl.number) : json_null()) &&
           api_set_time(o, "crl_this_update", found ? crl.this_update : 0) &&
           api_set_time(o, "crl_next_update", found ? crl.next_update : 0) &&
           api_set(o, "crl_entries", found ? json_integer((json_int_t)crl.entries) : json_null());
}

static bool add_md5(json_t *o, const struct cert *cert)
{
    char print[3 * 64] = "";
    struct err ignored = {0};
    cert_fingerprint(cert, DIGEST_MD5, print, &ignored);
    return api_set_text(o, "md5", print);
}

static json_t *generation_json(const struct api_call *c, const struct authority *a)
{
    json_t *o = json_object();
    int64_t takes_over = a->family && a == a->family->next ? a->family->activates_at : 0;
    bool ok = api_set_int(o, "generation", a->generation) &&
              api_set_text(o, "role", role_of(a, api_now(c))) &&
              api_describe_certificate(o, a->cert) && add_md5(o, a->cert) &&
              add_helper(o, "ra", a->ra) && add_helper(o, "ra_signing", a->ra_signing) &&
              add_helper(o, "ra_encryption", a->ra_encryption) &&
              add_helper(o, "ocsp", a->ocsp.cert) && api_set_text(o, "ocsp_fault", a->ocsp.fault) &&
              add_crl(c, o, a) && api_set_text(o, "crl_url", a->crl_url) &&
              api_set_text(o, "issuer_url", a->issuer_url) &&
              api_set_text(o, "ocsp_url", a->ocsp_url) && api_set_time(o, "takes_over", takes_over);
    return api_made(o, ok);
}

static bool add_step(const struct api_call *c, json_t *o, size_t i)
{
    static const char *const words[] = {
        [TEND_NOTHING] = "",
        [TEND_RETIRE] = "put away what has ended",
        [TEND_RENEW_RA] = "renew the RA",
        [TEND_ACTIVATE] = "the next CA takes over",
        [TEND_MAKE_NEXT] = "make the next CA",
        [TEND_RENEW_OCSP] = "renew the OCSP responder",
    };
    struct family_files files;
    struct tend_rules rules;
    struct tend_step step;
    config_tend_setup(c->world->config, i, &files, &rules);
    tend_plan(c->world->rooms->family[i], &rules, api_now(c), &step);
    bool any = step.what != TEND_NOTHING;
    return api_set_text(o, "next_step", words[step.what]) &&
           api_set_time(o, "next_step_at", any ? step.at : 0) &&
           api_set_bool(o, "next_step_by_hand", any && step.by_hand);
}

/* The current generation is what most people ask for: its members are the authority's. */
static json_t *authority_json(const struct api_call *c, size_t i)
{
    const struct family *f = c->world->rooms->family[i];
    json_t *o = generation_json(c, f->current), *list = json_array();
    const struct authority *a;
    bool ok = o && api_set_text(o, "id", f->name) && api_set_text(o, "name", f->name) &&
              add_step(c, o, i);
    for (size_t k = 1; ok && (a = family_member(f->current, k)); k++)
        ok = json_array_append_new(list, generation_json(c, a)) == 0;
    ok = api_set(o, "generations", list) && ok;
    return api_made(o, ok);
}

#define HELPER(name, what)                                                 \
    TEXT(name, NULLABLE, "Subject of the " what "; null: there is none."), \
        TIME(name "_not_after", NULLABLE, "Its end."),                     \
        TEXT(name "_sha256", NULLABLE, "Its fingerprint.")

#define GENERATION_MEMBERS                                                                        \
    NUMBER("generation", API_REQUIRED, "From 1."),                                                \
        WORD("role", API_REQUIRED, role_words, "Current: it issues."),                            \
        TEXT("subject", NULLABLE, "Distinguished name."),                                         \
        TEXT("san", API_NULLABLE, "Subject alternative names."),                                  \
        TEXT("key", NULLABLE, "Kind and size of its key."),                                       \
        TEXT("key_usage", NULLABLE, "What the key may be used for."),                             \
        TEXT("ext_key_usage", NULLABLE, "The same, extended."), TEXT("ca", API_NULLABLE, "Yes."), \
        TIME("not_before", API_REQUIRED, "Valid from then on."),                                  \
        TIME("not_after", API_REQUIRED, "Valid until then."),                                     \
        TEXT("issuer", NULLABLE, "Distinguished name of who signed it."),                         \
        TEXT("sha256", NULLABLE, "Fingerprint."),                                                 \
        TEXT("sha1", NULLABLE, "Fingerprint for Windows and Apple profiles."),                    \
        TEXT("md5", NULLABLE, "Fingerprint that Cisco devices show."),                            \
        HELPER("ra", "RA that signs and decrypts"), HELPER("ra_signing", "RA that signs"),        \
        HELPER("ra_encryption", "RA that decrypts"), HELPER("ocsp", "OCSP responder"),            \
        TEXT("ocsp_fault", NULLABLE, "Why there is none."),                                       \
        NUMBER("crl_number", NULLABLE, "Of its newest complete CRL."),                            \
        TIME("crl_this_update", NULLABLE, "When that was made."),                                 \
        TIME("crl_next_update", NULLABLE, "Until when it is good."),                              \
        NUMBER("crl_entries", NULLABLE, "How many certificates it names."),                       \
        TEXT("crl_url", NULLABLE, "Where it is."),                                                \
        TEXT("issuer_url", NULLABLE, "Where the certificate is."),                                \
        TEXT("ocsp_url", NULLABLE, "Where OCSP answers."),                                        \
        TIME("takes_over", NULLABLE, "Of a next one: when; null: when somebody says so.")

static const struct api_member generation_members[] = {GENERATION_MEMBERS, API_SHAPE("Generation")};

static const struct api_member authority_members[] = {
    TEXT("id", API_REQUIRED, "Its name."),
    TEXT("name", API_REQUIRED, "Its name in the configuration."),
    TEXT("next_step", NULLABLE, "What has to be done next for it."),
    TIME("next_step_at", NULLABLE, "When."),
    FLAG("next_step_by_hand", API_REQUIRED, "Nobody but an administrator will do it."),
    GENERATION_MEMBERS,
    THING("generations", API_REQUIRED | API_ARRAY, generation_members,
          "Its other CA keys: next and former ones."),
    API_SHAPE("Authority"),
};

/* ---- calls ---- */

static bool find(const struct api_call *c, size_t *out, struct err *err)
{
    const struct config *config = c->world->config;
    for (size_t i = 0; i < config->authority_n; i++)
        if (strcmp(config->authority[i].name, api_param(c, "authority")) == 0) {
            *out = i;
            return true;
        }
    return err_set(err, ERR_NOT_FOUND, "there is no authority of this name");
}

static bool list(struct api_call *c, struct err *err)
{
    api_page_whole(c, c->world->config->authority_n, authority_json);
    return true;
}

static bool show(struct api_call *c, struct err *err)
{
    size_t i = 0;
    if (!find(c, &i, err))
        return false;
    api_reply_json(c, 200, authority_json(c, i));
    return true;
}

/* PEM, the CA first and then its issuers up to the root. */
static bool chain(struct api_call *c, struct err *err)
{
    struct buf all = {0};
    size_t i = 0;
    if (!find(c, &i, err))
        return false;
    const struct authority *a = c->world->rooms->authority[i];
    bool ok = cert_pem(buf_view(&a->cert->der), &all, err);
    for (size_t k = 0; ok && k < a->chain_n; k++) {
        struct buf one = {0};
        ok = cert_pem(buf_view(&a->chain[k]->der), &one, err) &&
             (buf_append(&all, one.p, one.n) || err_memory(err));
        buf_clear(&one);
    }
    if (ok && c->accept)
        api_reply_bytes(c, 200, c->accept, buf_view(&all));
    else if (ok) {
        json_t *o = json_object();
        bool made = api_set(o, "pem", json_stringn((const char *)all.p, all.n));
        api_reply_json(c, 200, api_made(o, made));
    }
    buf_clear(&all);
    return ok;
}

static bool publish(struct api_call *c, struct err *err)
{
    const struct api_ops *ops = &c->world->ops;
    size_t i = 0;
    if (!find(c, &i, err))
        return false;
    const char *name = c->world->config->authority[i].name;
    if (!ops->publish_crl)
        return err_set(err, ERR_BUSY, "nothing can be signed here");
    if (!ops->publish_crl(ops->ctx, name, err) ||
        !enroll_note(c->world->store, "crl.published", name, "asked for by an administrator",
                     api_by(c), api_now(c), err))
        return false;
    api_reply_json(c, 200, authority_json(c, i));
    return true;
}

static const struct api_member chain_members[] = {
    {"pem", API_STRING, API_REQUIRED | API_LINES, 0, 1 << 20, NULL, NULL,
     "The CA's certificate, then its issuers'.", 0},
    {0},
};

const struct api_route api_routes_authorities[] = {
    {HTTP_GET, "/authorities", ROLE_AUDITOR, "authority_list",
     "Authorities with all their generations.", NULL, NULL, authority_members, API_LIST, NULL,
     list},
    {HTTP_GET, "/authorities/{authority}", ROLE_AUDITOR, "authority_show", "One authority.", NULL,
     NULL, authority_members, 0, NULL, show},
    {HTTP_GET, "/authorities/{authority}/chain", ROLE_AUDITOR, "authority_chain",
     "The current CA certificate and those above it.", NULL, NULL, chain_members, 0,
     "application/x-pem-file", chain},
    {HTTP_POST, "/authorities/{authority}/crl/publish", ROLE_ADMINISTRATOR, "crl_publish",
     "Signs and publishes its CRLs now.", NULL, NULL, authority_members, 0, NULL, publish},
    {0},
};
