/* Profiles for programs that read JSON: what an agent on Android or a management product needs to
 * enrol by SCEP, and the same facts in the words of Google's certificate provisioning for ChromeOS.
 */
#include "profile_internal.h"

#include <stdlib.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "pkcs7/cert.h"

/* ---- small things ---- */

/* jansson keeps copies of its own, which nobody but us can overwrite. */
static void put_secret(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, value ? json_string(value) : json_null());
}

static void wipe_secret(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (json_is_string(value))
        OPENSSL_cleanse((char *)(uintptr_t)json_string_value(value), json_string_length(value));
}

static void put_text(json_t *object, const char *key, const char *value)
{
    if (value && value[0])
        json_object_set_new(object, key, json_string(value));
}

static bool put_base64(json_t *array, struct view der, struct err *err)
{
    char *text = malloc((der.n + 2) / 3 * 4 + 1);
    if (!text)
        return err_memory(err);
    EVP_EncodeBlock((unsigned char *)text, der.p, (int)der.n);
    json_array_append_new(array, json_string(text));
    free(text);
    return true;
}

/* Takes `root`; its secret is in `holder` (borrowed, inside it) under `key`. */
static bool finish(json_t *root, json_t *holder, const char *key, struct buf *out, struct err *err)
{
    size_t n = json_dumpb(root, NULL, 0, JSON_INDENT(2));
    bool ok = n > 0 && buf_reserve(out, n + 1);
    if (ok) {
        json_dumpb(root, (char *)out->p + out->n, n, JSON_INDENT(2));
        out->n += n;
        out->p[out->n++] = '\n';
    }
    wipe_secret(holder, key);
    json_decref(root);
    return ok || err_memory(err);
}

/* ---- Android ---- */

static json_t *subject_json(const struct name *n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n->n; i++) {
        const struct name_attr *a = &n->attr[i];
        json_t *one = json_object();
        put_text(one, "type", a->type ? a->type->key : a->oid);
        put_text(one, "oid", profile_attr_oid(a));
        put_text(one, "value", a->value);
        if (a->multi)
            json_object_set_new(one, "with_previous", json_true());
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *san_json(const struct san *s)
{
    json_t *list = json_array();
    for (size_t i = 0; s && i < s->n; i++) {
        json_t *one = json_object();
        put_text(one, "type", san_kind_name(s->name[i].kind));
        put_text(one, "value", s->name[i].text);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *key_json(const struct profile_wish *w)
{
    json_t *key = json_object(), *usage = json_array();
    if (w->key_type == KEY_RSA) {
        put_text(key, "type", "RSA");
        json_object_set_new(key, "size", json_integer(w->key_bits));
    } else {
        put_text(key, "type", "EC");
        put_text(key, "curve", w->key_bits == 256 ? "P-256" : "P-384");
    }
    if (w->usage & PROFILE_SIGN)
        json_array_append_new(usage, json_string("digitalSignature"));
    if (w->usage & PROFILE_ENCRYPT)
        json_array_append_new(usage, json_string("keyEncipherment"));
    json_object_set_new(key, "usage", usage);
    return key;
}

static bool put_authority(json_t *root, const struct profile_wish *w, struct err *err)
{
    char fingerprint[65];
    json_t *list = json_array();
    json_object_set_new(root, "ca_certificates", list);
    for (size_t i = 0; i < w->ca_n; i++)
        if (!put_base64(list, w->ca[i], err))
            return false;
    if (!profile_sha256_text(w->ca[0], fingerprint, err))
        return false;
    put_text(root, "ca_fingerprint_sha256", fingerprint);
    return true;
}

bool profile_write_android(const struct profile_wish *w, struct buf *out, struct err *err)
{
    char uuid[PROFILE_UUID], text[NAME_TEXT_MAX];
    json_t *root = json_object(), *eku = json_array();
    if (!profile_uuid(w, "scep", uuid, err)) {
        json_decref(root);
        json_decref(eku);
        return false;
    }
    name_text(w->subject, text, sizeof text);
    put_text(root, "protocol", "scep");
    json_object_set_new(root, "version", json_integer(1));
    put_text(root, "id", uuid);
    put_text(root, "alias", w->policy_name);
    put_text(root, "device", w->device_name);
    put_text(root, "organization", w->organization);
    put_text(root, "url", w->url);
    put_text(root, "ca_identifier", w->ca_identifier);
    put_secret(root, "challenge", w->challenge);
    put_text(root, "subject", text);
    json_object_set_new(root, "subject_attributes", subject_json(w->subject));
    json_object_set_new(root, "subject_alternative_names", san_json(w->san));
    json_object_set_new(root, "key", key_json(w));
    for (size_t i = 0; w->eku && i < w->eku->n; i++)
        json_array_append_new(eku, json_string(w->eku->oid[i]));
    json_object_set_new(root, "extended_key_usage", eku);
    json_object_set_new(root, "retries", json_integer(w->retries));
    json_object_set_new(root, "retry_delay_seconds", json_integer(w->retry_delay));
    if (!put_authority(root, w, err)) {
        wipe_secret(root, "challenge");
        json_decref(root);
        return false;
    }
    return finish(root, root, "challenge", out, err);
}

/* ---- ChromeOS ---- */

/* A profile there has these attributes and no others; only the unit may come more than once. */
static bool put_chrome_subject(json_t *scep, const struct profile_wish *w, struct err *err)
{
    static const char *const known[][2] = {{"CN", "subjectCommonName"},
                                           {"O", "organization"},
                                           {"L", "locality"},
                                           {"ST", "state"},
                                           {"C", "country"}};
    json_t *units = json_array();
    json_object_set_new(scep, "organizationalUnits", units);
    for (size_t i = 0; i < w->subject->n; i++) {
        const struct name_attr *a = &w->subject->attr[i];
        const char *type = a->type ? a->type->key : a->oid, *member = NULL;
        if (strcmp(type, "OU") == 0) {
            json_array_append_new(units, json_string(a->value));
            continue;
        }
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (strcmp(type, known[k][0]) == 0)
                member = known[k][1];
        if (!member || json_object_get(scep, member))
            return profile_unfit(w, err, "%s=%.128s in the subject%s", type, a->value,
                                 member ? ", beside another" : "");
        put_text(scep, member, a->value);
    }
    return true;
}

static bool put_chrome_san(json_t *scep, const struct profile_wish *w, struct err *err)
{
    static const char *const kinds[] = {[SAN_DNS] = "DNS_NAME",
                                        [SAN_EMAIL] = "RFC822_NAME",
                                        [SAN_URI] = "UNIFORM_RESOURCE_IDENTIFIER",
                                        [SAN_IP] = NULL,
                                        [SAN_UPN] = "OTHER_NAME_USER_PRINCIPAL_NAME"};
    json_t *list = json_array();
    json_object_set_new(scep, "subjectAltNames", list);
    for (size_t i = 0; w->san && i < w->san->n; i++) {
        const struct san_name *n = &w->san->name[i];
        json_t *one;
        if (!kinds[n->kind])
            return profile_unfit(w, err, "the IP address %.64s as subject alternative name",
                                 n->text);
        one = json_object();
        put_text(one, "type", kinds[n->kind]);
        put_text(one, "value", n->text);
        json_array_append_new(list, one);
    }
    return true;
}

static bool put_chrome_server(json_t *server, const struct profile_wish *w, struct err *err)
{
    struct buf pem = {0};
    json_t *list = json_array();
    put_text(server, "url", w->url);
    put_secret(server, "challenge", w->challenge);
    json_object_set_new(server, "keySize", json_integer(w->key_bits));
    json_object_set_new(server, "retries", json_integer(w->retries));
    json_object_set_new(server, "retryDelaySeconds", json_integer(w->retry_delay));
    json_object_set_new(server, "caCertificates", list);
    for (size_t i = 0; i < w->ca_n; i++) {
        if (!cert_pem(w->ca[i], &pem, err))
            return false;
        json_array_append_new(list, json_stringn((const char *)pem.p, pem.n));
        buf_clear(&pem);
    }
    return true;
}

bool profile_write_chromeos(const struct profile_wish *w, struct buf *out, struct err *err)
{
    json_t *root = json_object(), *scep = json_object(), *usages = json_array(),
           *server = json_object();
    put_text(root, "name", w->policy_name);
    put_text(root, "device", w->device_name);
    json_object_set_new(root, "scepProfile", scep);
    json_object_set_new(root, "scepServer", server);
    json_object_set_new(scep, "keyUsages", usages);
    if (!w->usage || w->usage & PROFILE_SIGN)
        json_array_append_new(usages, json_string("KEY_USAGE_SIGNING"));
    if (!w->usage || w->usage & PROFILE_ENCRYPT)
        json_array_append_new(usages, json_string("KEY_USAGE_KEY_ENCIPHERMENT"));
    if (!put_chrome_subject(scep, w, err) || !put_chrome_san(scep, w, err) ||
        !put_chrome_server(server, w, err)) {
        wipe_secret(server, "challenge");
        json_decref(root);
        return false;
    }
    return finish(root, server, "challenge", out, err);
}
