/* The OpenAPI 3.1 document, made from the tables that the router goes by.  What several calls have
 * in common stands once, under components: tables that end with API_SHAPE, parameters of paths,
 * pages and conditions, and answers that are always the same. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/hex.h"
#include "managed.h"

extern const struct api_member *const api_page_members[];

/* What is being made. */
struct making {
    json_t *paths, *schemas, *parameters;
};

static json_t *schema_of(struct making *k, const struct api_member *m);

static json_t *reference(const char *kind, const char *name)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/%s/%s", kind, name));
}

static json_t *object_schema(struct making *k, const struct api_member *members)
{
    json_t *properties = json_object(), *required = json_array();
    for (const struct api_member *m = members; m && m->name; m++) {
        json_object_set_new(properties, m->name, schema_of(k, m));
        if (m->flags & API_REQUIRED)
            json_array_append_new(required, json_string(m->name));
    }
    json_t *o = json_pack("{s:s,s:o}", "type", "object", "properties", properties);
    if (json_array_size(required) > 0)
        json_object_set(o, "required", required);
    json_decref(required);
    if (members)
        json_object_set_new(o, "additionalProperties", json_false());
    return o;
}

/* NULL when it has none: it stands where it is used. */
static const char *shape_of(const struct api_member *members)
{
    while (members->name)
        members++;
    return members->help;
}

static json_t *shaped(struct making *k, const struct api_member *members)
{
    const char *shape = shape_of(members);
    if (!shape)
        return object_schema(k, members);
    if (!json_object_get(k->schemas, shape)) {
        json_object_set_new(k->schemas, shape, json_null()); /* its place, and it may hold itself */
        json_object_set_new(k->schemas, shape, object_schema(k, members));
    }
    return reference("schemas", shape);
}

static void string_bounds(json_t *o, const struct api_member *m)
{
    if (m->min > 0)
        json_object_set_new(o, "minLength", json_integer(1));
    json_object_set_new(o, "maxLength", json_integer(m->max ? m->max : 512));
}

static json_t *plain_schema(struct making *k, const struct api_member *m)
{
    json_t *o;
    switch (m->type) {
    case API_INTEGER:
        return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)m->min,
                         "maximum", (json_int_t)(m->min == 0 && m->max == 0 ? INT32_MAX : m->max));
    case API_BOOLEAN:
        return json_pack("{s:s}", "type", "boolean");
    case API_TIME:
        return json_pack("{s:s,s:s}", "type", "string", "format", "date-time");
    case API_ENUM:
        o = json_pack("{s:s,s:[]}", "type", "string", "enum");
        for (int i = 0; m->values[i]; i++)
            json_array_append_new(json_object_get(o, "enum"), json_string(m->values[i]));
        return o;
    case API_OBJECT:
        return m->members ? shaped(k, m->members) : json_pack("{s:s}", "type", "object");
    case API_STRING:
        break;
    }
    o = json_pack("{s:s}", "type", "string");
    string_bounds(o, m);
    return o;
}

/* "or null", in the way of JSON Schema 2020-12; takes `o`. */
static json_t *or_null(json_t *o)
{
    json_t *type = json_object_get(o, "type"), *values = json_object_get(o, "enum");
    if (!type)
        return json_pack("{s:[o,{s:s}]}", "anyOf", o, "type", "null");
    json_object_set_new(o, "type", json_pack("[O,s]", type, "null"));
    if (values)
        json_array_append_new(values, json_null());
    return o;
}

static json_t *schema_of(struct making *k, const struct api_member *m)
{
    json_t *o = plain_schema(k, m);
    if (m->flags & API_ARRAY)
        o = json_pack("{s:s,s:o,s:i}", "type", "array", "items", o, "maxItems",
                      m->max_items ? (int)m->max_items : 500);
    if (m->flags & API_NULLABLE)
        o = or_null(o);
    if (m->flags & API_READ_ONLY)
        json_object_set_new(o, "readOnly", json_true());
    if (m->help)
        json_object_set_new(o, "description", json_string(m->help));
    return o;
}

/* ---- parameters ---- */

static json_t *parameter(const char *name, const char *in, bool required, const char *help,
                         json_t *schema)
{
    json_t *o = json_pack("{s:s,s:s,s:b,s:o}", "name", name, "in", in, "required", required,
                          "schema", schema);
    json_object_del(schema, "description");
    if (help)
        json_object_set_new(o, "description", json_string(help));
    return o;
}

/* One that is the same wherever it is; takes `o`. */
static void add_shared(struct making *k, json_t *list, json_t *o)
{
    char key[96];
    snprintf(key, sizeof key, "%s_%s", json_string_value(json_object_get(o, "in")),
             json_string_value(json_object_get(o, "name")));
    if (!json_object_get(k->parameters, key))
        json_object_set(k->parameters, key, o);
    json_decref(o);
    json_array_append_new(list, reference("parameters", key));
}

static void path_parameters(struct making *k, json_t *list, const char *path)
{
    for (const char *p = strchr(path, '{'); p; p = strchr(p + 1, '{')) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p + 1, "}"), p + 1);
        add_shared(k, list,
                   parameter(name, "path", true, NULL,
                             json_pack("{s:s,s:i,s:i}", "type", "string", "minLength", 1,
                                       "maxLength", API_SEGMENT_MAX)));
    }
}

static void add_header(struct making *k, json_t *list, const char *name, bool required,
                       const char *help)
{
    add_shared(k, list,
               parameter(name, "header", required, help, json_pack("{s:s}", "type", "string")));
}

static void header_parameters(struct making *k, json_t *list, const struct api_route *r)
{
    if (r->flags & API_CONDITIONAL)
        add_header(k, list, "If-Match", true, "The etag of what is changed, or *.");
    if (r->method == HTTP_GET)
        add_header(k, list, "If-None-Match", false,
                   "An etag that is known: 304 if it still holds.");
    if (r->method == HTTP_POST && r->role != ROLE_NONE)
        add_header(k, list, "Idempotency-Key", false,
                   "The same question with the same key gets the same answer, for 24 h.");
}

static json_t *query_parameter(struct making *k, const struct api_member *m)
{
    return parameter(m->name, "query", m->flags & API_REQUIRED, m->help, schema_of(k, m));
}

static json_t *parameters_of(struct making *k, const struct api_route *r)
{
    json_t *list = json_array();
    path_parameters(k, list, r->path);
    for (const struct api_member *m = r->query; m && m->name; m++)
        json_array_append_new(list, query_parameter(k, m));
    for (int i = 0; (r->flags & API_LIST) && api_page_members[i]; i++)
        add_shared(k, list, query_parameter(k, api_page_members[i]));
    header_parameters(k, list, r);
    return list;
}

/* ---- bodies ---- */

static json_t *content_of(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

/* A page of a list; takes `item`. */
static json_t *page_schema(json_t *item)
{
    return json_pack("{s:s,s:{s:{s:s,s:o},s:{s:[s,s],s:s}},s:[s,s]}", "type", "object",
                     "properties", "items", "type", "array", "items", item, "next", "type",
                     "string", "null", "description", "The cursor of the next page.", "required",
                     "items", "next");
}

static json_t *answer_schema(struct making *k, const struct api_route *r)
{
    char page[96];
    const char *shape = r->answer ? shape_of(r->answer) : NULL;
    json_t *item = r->answer ? shaped(k, r->answer) : json_pack("{s:s}", "type", "object");
    if (!(r->flags & API_LIST))
        return item;
    if (!shape)
        return page_schema(item);
    snprintf(page, sizeof page, "%sPage", shape);
    json_object_set_new(k->schemas, page, page_schema(item));
    return reference("schemas", page);
}

static void add_media(json_t *content, const char *media)
{
    for (const char *p = media; p && *p;) {
        char type[64];
        size_t n = strcspn(p, ",");
        snprintf(type, sizeof type, "%.*s", (int)n, p);
        json_object_set_new(content, type, json_object());
        p += n;
        p += strspn(p, ", ");
    }
}

static const char *status_of(const struct api_route *r)
{
    return r->flags & API_CREATES ? "201" : r->answer || r->media ? "200" : "204";
}

static json_t *responses_of(struct making *k, const struct api_route *r)
{
    json_t *all = json_object(), *good = json_pack("{s:s}", "description", "Done.");
    if (r->answer || r->media) {
        json_t *content = content_of("application/json", answer_schema(k, r));
        add_media(content, r->media);
        json_object_set_new(good, "content", content);
    }
    json_object_set_new(all, status_of(r), good);
    if (r->flags & API_ACCEPTED)
        json_object_set(all, "202", good);
    if (r->flags & API_OR_NONE)
        json_object_set_new(all, "204", json_pack("{s:s}", "description", "Nothing to tell."));
    if (r->method == HTTP_GET)
        json_object_set_new(all, "304", reference("responses", "Known"));
    if (r->flags & API_CONDITIONAL) {
        json_object_set_new(all, "412", reference("responses", "Problem"));
        json_object_set_new(all, "428", reference("responses", "Problem"));
    }
    json_object_set_new(all, "default", reference("responses", "Problem"));
    return all;
}

static json_t *operation_of(struct making *k, const struct api_route *r)
{
    json_t *o = json_pack("{s:s,s:s,s:s}", "operationId", r->operation, "summary", r->summary,
                          "x-role", r->role == ROLE_NONE ? "nobody" : api_role_name(r->role));
    json_t *parameters = parameters_of(k, r);
    if (json_array_size(parameters) > 0)
        json_object_set(o, "parameters", parameters);
    json_decref(parameters);
    if (r->body)
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b,s:o}", "required", !(r->flags & API_OPTIONAL_BODY),
                                      "content",
                                      content_of("application/json", shaped(k, r->body))));
    if (r->role == ROLE_NONE)
        json_object_set_new(o, "security", json_array());
    json_object_set_new(o, "responses", responses_of(k, r));
    return o;
}

static void add_route(struct making *k, const struct api_route *r)
{
    static const char *const names[] = {"get", "head", "post", "put", "patch", "delete"};
    char path[256];
    snprintf(path, sizeof path, "%s%s", API_ROOT, r->path);
    json_t *item = json_object_get(k->paths, path);
    if (!item) {
        item = json_object();
        json_object_set_new(k->paths, path, item);
    }
    json_object_set_new(item, names[r->method], operation_of(k, r));
}

/* ---- the whole ---- */

static json_t *problem_schema(struct making *k)
{
    return json_pack(
        "{s:s,s:[s,s,s,s],s:{s:o,s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},"
        "s:{s:s},s:{s:s,s:{s:s,s:{s:{s:s},s:{s:s},s:{s:s}}}}}}",
        "type", "object", "required", "type", "title", "status", "code", "properties", "effects",
        shaped(k, api_effects_members), "type", "type", "string", "title", "type", "string",
        "status", "type", "integer", "detail", "type", "string", "instance", "type", "string",
        "code", "type", "string", "fix", "type", "string", "request_id", "type", "string",
        "current", "type", "object", "errors", "type", "array", "items", "type", "object",
        "properties", "pointer", "type", "string", "code", "type", "string", "detail", "type",
        "string");
}

static json_t *responses(void)
{
    return json_pack("{s:{s:s,s:{s:{s:o}}},s:{s:s}}", "Problem", "description",
                     "What is wrong and what to do (RFC 9457).", "content",
                     "application/problem+json", "schema", reference("schemas", "Problem"), "Known",
                     "description", "What is known holds.");
}

static json_t *security_schemes(void)
{
    return json_pack("{s:{s:s,s:s,s:s},s:{s:s,s:s,s:s},s:{s:s,s:s}}", "token", "type", "http",
                     "scheme", "bearer", "bearerFormat", "scepd_<id>_<secret>", "session", "type",
                     "apiKey", "in", "cookie", "name", "__Host-scepd", "certificate", "type",
                     "mutualTLS", "description",
                     "A certificate of an authority here that an administrator's record names.");
}

json_t *api_openapi(const char *version)
{
    struct making k = {
        .paths = json_object(), .schemas = json_object(), .parameters = json_object()};
    for (size_t t = 0; api_routes[t]; t++)
        for (const struct api_route *r = api_routes[t]; r->path; r++)
            add_route(&k, r);
    json_object_set_new(k.schemas, "Problem", problem_schema(&k));
    return json_pack(
        "{s:s,s:{s:s,s:s,s:s,s:{s:s,s:s}},s:[{s:[]},{s:[]},{s:[]}],s:o,s:{s:o,s:o,s:o,s:o}}",
        "openapi", "3.1.0", "info", "title", "scepd", "version", version, "description",
        "What administrators and MDM products ask of a scepd: scepd-api(7).", "license", "name",
        "Apache 2.0", "identifier", "Apache-2.0", "security", "token", "session", "certificate",
        "paths", k.paths, "components", "schemas", k.schemas, "parameters", k.parameters,
        "responses", responses(), "securitySchemes", security_schemes());
}

/* ---- served ---- */

static int dump_into(const char *p, size_t n, void *buf)
{
    return buf_append(buf, p, n) ? 0 : -1;
}

/* For the whole life of `s`: no reload changes what can be asked. */
static bool make_once(struct api_state *s, const char *version, struct err *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    struct buf text = {0};
    if (s->document.n > 0)
        return true;
    json_t *o = api_openapi(version);
    bool ok = o &&
              json_dump_callback(o, dump_into, &text, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 &&
              buf_append_str(&text, "\n") &&
              EVP_Digest(text.p, text.n, hash, NULL, EVP_sha256(), NULL) == 1;
    json_decref(o);
    if (!ok) {
        buf_clear(&text);
        return err_memory(err);
    }
    s->document_tag[0] = '"';
    hex_encode((struct view){hash, 8}, s->document_tag + 1);
    strcat(s->document_tag, "\"");
    s->document = text;
    return true;
}

static bool document(struct api_call *c, struct err *err)
{
    struct api_state *s = c->world->state;
    const char *known = c->request->header[API_IF_NONE_MATCH];
    pthread_mutex_lock(&s->lock);
    bool made = make_once(s, c->world->version, err);
    pthread_mutex_unlock(&s->lock);
    if (!made)
        return false;
    if (known && api_etag_matches(known, s->document_tag, true)) {
        api_not_modified(c, s->document_tag);
        return true;
    }
    api_reply_header(c, "ETag", "%s", s->document_tag);
    api_reply_bytes(c, 200, c->accept ? c->accept : "application/json", buf_view(&s->document));
    return true;
}

const struct api_route api_routes_document[] = {
    {HTTP_GET, "/openapi.json", ROLE_NONE, "openapi", "This document.", NULL, NULL, NULL, 0,
     "application/vnd.oai.openapi+json", document},
    {0},
};
