/* /templates and /endpoints: what the configuration says, and a request held against it before a
 * device brings it. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "http/http.h"
#include "pkcs7/csr.h"
#include "resources.h"

/* ---- what would be issued ---- */

const struct api_member api_would_issue_members[] = {
    FLAG("ok", API_REQUIRED, "The template gives a certificate for this request."),
    TEXT("subject", API_NULLABLE, "Its subject."),
    TEXT("san", API_NULLABLE, "Its subject alternative names."),
    TEXT("key_usage", API_NULLABLE, "Its key usage."),
    TEXT("ext_key_usage", API_NULLABLE, "Its extended key usage."),
    TIME("not_before", API_NULLABLE, "Valid from then on."),
    TIME("not_after", API_NULLABLE, "Valid until then; never longer than the authority."),
    NUMBER("valid_seconds", API_NULLABLE, "The time between both."),
    TEXT("code", API_NULLABLE, "The reason, when it is refused."),
    TEXT("text", API_NULLABLE, "The same in words."),
    TEXT("detail", API_NULLABLE, "The rule and the value that broke it."),
    TEXT("fix", API_NULLABLE, "What to do."),
    API_SHAPE("WouldIssue"),
};

static bool add_refusal(json_t *o, const struct err *err)
{
    enum reason reason = err->kind == ERR_REFUSED ? err->reason : REASON_INTERNAL;
    char fix[EXPLAIN_TEXT];
    explain_fill(reason_help(reason)->fix, NULL, fix, sizeof fix);
    return api_set_bool(o, "ok", false) && api_set_text(o, "code", reason_info(reason)->code) &&
           api_set_text(o, "text", reason_info(reason)->text) &&
           api_set_text(o, "detail", err->kind == ERR_REFUSED ? err->text : "") &&
           api_set_text(o, "fix", fix);
}

static bool add_plan(json_t *o, const struct cert_plan *p, const struct authority *a)
{
    char text[STORE_SUBJECT_MAX];
    int64_t from = p->not_before, to = p->not_after;
    if (a && a->cert->not_before > from)
        from = a->cert->not_before;
    if (a && a->cert->not_after < to)
        to = a->cert->not_after;
    name_text(&p->subject, text, sizeof text);
    bool ok = api_set_bool(o, "ok", true) && api_set_text(o, "subject", text);
    san_text(&p->san, text, sizeof text);
    ok = ok && api_set_text(o, "san", text);
    key_usage_text(p->key_usage, text, sizeof text);
    ok = ok && api_set_text(o, "key_usage", text);
    api_eku_text(&p->eku, text, sizeof text);
    return ok && api_set_text(o, "ext_key_usage", text) && api_set_time(o, "not_before", from) &&
           api_set_time(o, "not_after", to) && api_set_int(o, "valid_seconds", to - from);
}

json_t *api_would_issue(const struct api_call *c, const struct template *t,
                        const struct authority *a, const struct csr *csr,
                        const struct template_context *ctx)
{
    json_t *o = json_object();
    struct cert_plan plan = {.key_usage = 0};
    struct err err = {0};
    bool ok =
        template_plan(t, csr, ctx, &plan, &err) ? add_plan(o, &plan, a) : add_refusal(o, &err);
    cert_plan_clear(&plan);
    return api_made(o, ok);
}

/* ---- a request in a body ---- */

static bool from_pem(const char *text, struct buf *der)
{
    BIO *in = BIO_new_mem_buf(text, -1);
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long n = 0;
    bool ok =
        in && PEM_read_bio(in, &name, &header, &data, &n) == 1 &&
        (strcmp(name, PEM_STRING_X509_REQ) == 0 || strcmp(name, PEM_STRING_X509_REQ_OLD) == 0) &&
        buf_append(der, data, (size_t)n);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    BIO_free(in);
    ERR_clear_error();
    return ok;
}

bool api_body_csr(struct api_call *c, struct csr **out, struct err *err)
{
    const char *text = api_string(c, "csr");
    struct buf der = {0};
    struct err why = {0};
    bool pem = strstr(text, "-----BEGIN") != NULL;
    bool ok = pem ? from_pem(text, &der) : http_query_base64(view_str(text), &der, &why);
    if (!ok)
        api_fault(c, "/csr", "csr.malformed",
                  "this is neither PEM nor base64 of a PKCS#10 request");
    else if (!csr_parse(buf_view(&der), ~0u, NULL, view_of(NULL, 0), out, &why)) {
        ok = false;
        if (why.kind == ERR_REFUSED)
            api_fault(c, "/csr", reason_info(why.reason)->code, "%s", why.text);
        else
            *err = why;
    }
    buf_clear(&der);
    return ok;
}

/* ---- templates ---- */

static json_t *texts(char *const *text, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, api_json_text(text[i]));
    return list;
}

static json_t *curves(unsigned set)
{
    json_t *list = json_array();
    for (int curve = CURVE_P256; curve <= CURVE_P521; curve++)
        if (set & ALG_BIT(curve))
            json_array_append_new(list, api_json_text(key_curve_name((enum key_curve)curve)));
    return list;
}

static const char *const surplus_words[] = {"refuse", "drop", NULL};
static const char *const reuse_words[] = {"same-subject", "renewal", "never", NULL};

static json_t *template_json(const struct template *t)
{
    json_t *o = json_object();
    char usage[256], eku[1024];
    key_usage_text(t->key_usage, usage, sizeof usage);
    api_eku_text(&t->eku, eku, sizeof eku);
    bool ok = api_set_text(o, "id", t->name) && api_set_text(o, "name", t->name) &&
              api_set(o, "subject", texts(t->subject, t->subject_n)) &&
              api_set_text(o, "subject_build", t->subject_build) &&
              api_set_text(o, "subject_surplus", surplus_words[t->subject_surplus]) &&
              api_set(o, "san", texts(t->san, t->san_n)) &&
              api_set(o, "san_build", texts(t->san_build, t->san_build_n)) &&
              api_set_text(o, "san_surplus", surplus_words[t->san_surplus]) &&
              api_set_int(o, "rsa_min", t->rsa_min) && api_set_int(o, "rsa_max", t->rsa_max) &&
              api_set(o, "curves", curves(t->curves)) &&
              api_set_text(o, "key_reuse", reuse_words[t->key_reuse]) &&
              api_set_text(o, "key_usage", usage) && api_set_text(o, "ext_key_usage", eku) &&
              api_set_bool(o, "honour_requested_usage", t->honour_requested_usage) &&
              api_set_int(o, "valid_seconds", t->validity) &&
              api_set_int(o, "renew_before_seconds", t->renew_before) &&
              api_set_int(o, "renew_grace_seconds", t->renew_grace);
    return api_made(o, ok);
}

static const struct api_member template_members[] = {
    TEXT("id", API_REQUIRED, "Its name."),
    TEXT("name", API_REQUIRED, "Its name."),
    TEXT("subject", API_REQUIRED | API_ARRAY,
         "Patterns of attributes; required ones end in an exclamation mark."),
    TEXT("subject_build", NULLABLE, "What the subject is built from instead."),
    WORD("subject_surplus", API_REQUIRED, surplus_words,
         "What becomes of attributes that no pattern lets through."),
    TEXT("san", API_REQUIRED | API_ARRAY, "Patterns of alternative names."),
    TEXT("san_build", API_REQUIRED | API_ARRAY, "Alternative names that are built."),
    WORD("san_surplus", API_REQUIRED, surplus_words,
         "What becomes of names that no pattern lets through."),
    NUMBER("rsa_min", API_REQUIRED, "Bits; 0: no RSA."),
    NUMBER("rsa_max", API_REQUIRED, "Bits."),
    TEXT("curves", API_REQUIRED | API_ARRAY, "Curves of EC keys."),
    WORD("key_reuse", API_REQUIRED, reuse_words,
         "Which certificates of a subject may have the same key."),
    TEXT("key_usage", NULLABLE, "At most."),
    TEXT("ext_key_usage", NULLABLE, "At most."),
    FLAG("honour_requested_usage", API_REQUIRED, "A request may ask for less."),
    NUMBER("valid_seconds", API_REQUIRED, "How long a certificate is valid."),
    NUMBER("renew_before_seconds", API_REQUIRED, "How long before its end it may be renewed."),
    NUMBER("renew_grace_seconds", API_REQUIRED, "How long after its end it may still be renewed."),
    API_SHAPE("Template"),
};

static json_t *template_at(const struct api_call *c, size_t i)
{
    return template_json(&c->world->config->template[i]);
}

static bool template_list(struct api_call *c, struct err *err)
{
    api_page_whole(c, c->world->config->template_n, template_at);
    return true;
}

static const struct template *template_of(const struct api_call *c)
{
    const struct config *config = c->world->config;
    for (size_t i = 0; i < config->template_n; i++)
        if (strcmp(config->template[i].name, api_param(c, "template")) == 0)
            return &config->template[i];
    return NULL;
}

static bool no_template(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no template of this name");
}

static bool template_show(struct api_call *c, struct err *err)
{
    const struct template *t = template_of(c);
    if (!t)
        return no_template(err);
    api_reply_json(c, 200, template_json(t));
    return true;
}

static bool template_check_csr(struct api_call *c, struct err *err)
{
    const struct template *t = template_of(c);
    struct csr *csr = NULL;
    struct template_context ctx = {.endpoint = "",
                                   .transaction = "check",
                                   .challenge_label = "",
                                   .challenge_id = "",
                                   .signer_subject = "",
                                   .now = api_now(c)};
    if (!t)
        return no_template(err);
    if (!api_body_csr(c, &csr, err))
        return api_faulty(c);
    api_reply_json(c, 200, api_would_issue(c, t, NULL, csr, &ctx));
    csr_free(csr);
    return true;
}

static const struct api_member check_body[] = {
    {"csr", API_STRING, API_REQUIRED | API_LINES, 1, 100000, NULL, NULL,
     "A PKCS#10 request, PEM or base64.", 0},
    {0},
};

/* ---- endpoints ---- */

static const char *const shape_words[] = {"single", "pair", "none", NULL};
static const char *const challenge_words[] = {"one-time", "static", NULL};
static const char *const duplicate_words[] = {"allow", "refuse", "replace", NULL};

static json_t *challenges_of(unsigned set)
{
    json_t *list = json_array();
    if (set & CHALLENGE_ONE_TIME)
        json_array_append_new(list, json_string("one-time"));
    if (set & CHALLENGE_STATIC)
        json_array_append_new(list, json_string("static"));
    return list;
}

static json_t *endpoint_json(const struct config *config, const struct config_endpoint *e)
{
    json_t *o = json_object();
    char url[512];
    snprintf(url, sizeof url, "%s%s", config->url, e->path);
    bool ok = api_set_text(o, "id", e->path) && api_set_text(o, "path", e->path) &&
              api_set_text(o, "url", url) && api_set(o, "aliases", texts(e->alias, e->alias_n)) &&
              api_set_text(o, "authority", e->authority) &&
              api_set_text(o, "template", e->template_name) &&
              api_set_text(o, "ra", shape_words[e->ra]) &&
              api_set(o, "challenge", challenges_of(e->challenges)) &&
              api_set_bool(o, "manual", e->manual) && api_set_bool(o, "renewal", e->renewal) &&
              api_set_text(o, "duplicates", duplicate_words[e->duplicates]) &&
              api_set_bool(o, "legacy", e->legacy);
    return api_made(o, ok);
}

static json_t *endpoint_at(const struct api_call *c, size_t i)
{
    return endpoint_json(c->world->config, &c->world->config->endpoint[i]);
}

static bool endpoint_list(struct api_call *c, struct err *err)
{
    api_page_whole(c, c->world->config->endpoint_n, endpoint_at);
    return true;
}

static const struct api_member endpoint_members[] = {
    TEXT("id", API_REQUIRED, "Its path."),
    TEXT("path", API_REQUIRED, "Where devices ask."),
    TEXT("url", API_REQUIRED, "The same as a whole address."),
    TEXT("aliases", API_REQUIRED | API_ARRAY, "Other paths of the same."),
    TEXT("authority", API_REQUIRED, "Who issues."),
    TEXT("template", API_REQUIRED, "By which template."),
    WORD("ra", API_REQUIRED, shape_words, "Which RA certificates answer."),
    WORD("challenge", API_REQUIRED | API_ARRAY, challenge_words,
         "What a first enrolment has to bring."),
    FLAG("manual", API_REQUIRED, "An administrator approves first enrolments."),
    FLAG("renewal", API_REQUIRED, "Certificates may be renewed here."),
    WORD("duplicates", API_REQUIRED, duplicate_words,
         "What a second enrolment of a subject means."),
    FLAG("legacy", API_REQUIRED, "DES and MD5 may be read."),
    API_SHAPE("Endpoint"),
};

const struct api_route api_routes_templates[] = {
    {HTTP_GET, "/templates", ROLE_AUDITOR, "template_list",
     "Templates, as the configuration has them.", NULL, NULL, template_members, API_LIST, NULL,
     template_list},
    {HTTP_GET, "/templates/{template}", ROLE_AUDITOR, "template_show", "One template.", NULL, NULL,
     template_members, 0, NULL, template_show},
    {HTTP_POST, "/templates/{template}/check", ROLE_AUDITOR, "template_check",
     "What would be issued for a request; changes nothing.", NULL, check_body,
     api_would_issue_members, API_UNRECORDED, NULL, template_check_csr},
    {HTTP_GET, "/endpoints", ROLE_AUDITOR, "endpoint_list",
     "Where devices enrol, as the configuration has it.", NULL, NULL, endpoint_members, API_LIST,
     NULL, endpoint_list},
    {0},
};
