/* The OpenAPI 3.1 document, made from the tables that the router goes by. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"

#define DEPTH_MAX 8

extern const struct api_member *const api_page_members[];

static json_t *schema_of(const struct api_member *m, int depth);

static json_t *object_schema(const struct api_member *members, int depth)
{
    json_t *properties = json_object(), *required = json_array();
    for (const struct api_member *m = members; m && m->name; m++) {
        json_object_set_new(properties, m->name, schema_of(m, depth + 1));
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

static void string_bounds(json_t *o, const struct api_member *m)
{
    if (m->min > 0)
        json_object_set_new(o, "minLength", json_integer(1));
    json_object_set_new(o, "maxLength", json_integer(m->max ? m->max : 512));
}

static json_t *plain_schema(const struct api_member *m, int depth)
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
        return m->members && depth < DEPTH_MAX ? object_schema(m->members, depth)
                                               : json_pack("{s:s}", "type", "object");
    case API_STRING:
        break;
    }
    o = json_pack("{s:s}", "type", "string");
    string_bounds(o, m);
    return o;
}

/* "or null", in the way of JSON Schema 2020-12. */
static void allow_null(json_t *o)
{
    json_t *type = json_object_get(o, "type"), *values = json_object_get(o, "enum");
    if (json_is_string(type))
        json_object_set_new(o, "type", json_pack("[O,s]", type, "null"));
    if (values)
        json_array_append_new(values, json_null());
}

static json_t *schema_of(const struct api_member *m, int depth)
{
    json_t *o = plain_schema(m, depth);
    if (m->flags & API_ARRAY)
        o = json_pack("{s:s,s:o,s:i}", "type", "array", "items", o, "maxItems",
                      m->max_items ? (int)m->max_items : 500);
    if (m->flags & API_NULLABLE)
        allow_null(o);
    if (m->flags & API_READ_ONLY)
        json_object_set_new(o, "readOnly", json_true());
    if (m->help)
        json_object_set_new(o, "description", json_string(m->help));
    return o;
}

/* ---- parameters ---- */

static void add_parameter(json_t *list, const char *name, const char *in, bool required,
                          const char *help, json_t *schema)
{
    json_t *o = json_pack("{s:s,s:s,s:b,s:o}", "name", name, "in", in, "required", required,
                          "schema", schema);
    json_object_del(schema, "description");
    if (help)
        json_object_set_new(o, "description", json_string(help));
    json_array_append_new(list, o);
}

static void path_parameters(json_t *list, const char *path)
{
    for (const char *p = strchr(path, '{'); p; p = strchr(p + 1, '{')) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p + 1, "}"), p + 1);
        add_parameter(list, name, "path", true, NULL,
                      json_pack("{s:s,s:i,s:i}", "type", "string", "minLength", 1, "maxLength",
                                API_SEGMENT_MAX));
    }
}

static void header_parameters(json_t *list, const struct api_route *r)
{
    json_t *text = json_pack("{s:s}", "type", "string");
    if (r->flags & API_CONDITIONAL)
        add_parameter(list, "If-Match", "header", true, "The etag of what is changed, or *.",
                      json_incref(text));
    if (r->method == HTTP_GET && !r->media)
        add_parameter(list, "If-None-Match", "header", false,
                      "An etag that is known: 304 if it still holds.", json_incref(text));
    if (r->method == HTTP_POST && r->role != ROLE_NONE)
        add_parameter(list, "Idempotency-Key", "header", false,
                      "The same question with the same key gets the same answer, for 24 h.",
                      json_incref(text));
    json_decref(text);
}

static json_t *parameters_of(const struct api_route *r)
{
    json_t *list = json_array();
    path_parameters(list, r->path);
    for (const struct api_member *m = r->query; m && m->name; m++)
        add_parameter(list, m->name, "query", m->flags & API_REQUIRED, m->help, schema_of(m, 0));
    for (int i = 0; (r->flags & API_LIST) && api_page_members[i]; i++)
        add_parameter(list, api_page_members[i]->name, "query", false, api_page_members[i]->help,
                      schema_of(api_page_members[i], 0));
    header_parameters(list, r);
    return list;
}

/* ---- bodies ---- */

static json_t *content_of(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static json_t *answer_schema(const struct api_route *r)
{
    json_t *item = r->answer ? object_schema(r->answer, 0) : json_pack("{s:s}", "type", "object");
    if (!(r->flags & API_LIST))
        return item;
    return json_pack("{s:s,s:{s:{s:s,s:o},s:{s:[s,s],s:s}},s:[s,s]}", "type", "object",
                     "properties", "items", "type", "array", "items", item, "next", "type",
                     "string", "null", "description", "The cursor of the next page.", "required",
                     "items", "next");
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

static json_t *responses_of(const struct api_route *r)
{
    json_t *all = json_object(), *good = json_pack("{s:s}", "description", "Done.");
    if (r->answer || r->media) {
        json_t *content = content_of("application/json", answer_schema(r));
        add_media(content, r->media);
        json_object_set_new(good, "content", content);
    }
    json_object_set_new(all, status_of(r), good);
    if (r->flags & API_ACCEPTED)
        json_object_set(all, "202", good);
    if (r->flags & API_OR_NONE)
        json_object_set_new(all, "204", json_pack("{s:s}", "description", "Nothing to tell."));
    if (r->method == HTTP_GET && !r->media)
        json_object_set_new(all, "304", json_pack("{s:s}", "description", "What is known holds."));
    if (r->flags & API_CONDITIONAL) {
        json_object_set_new(all, "412",
                            json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
        json_object_set_new(all, "428",
                            json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
    }
    json_object_set_new(all, "default",
                        json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
    return all;
}

static json_t *operation_of(const struct api_route *r)
{
    json_t *o = json_pack("{s:s,s:s,s:s}", "operationId", r->operation, "summary", r->summary,
                          "x-role", r->role == ROLE_NONE ? "nobody" : api_role_name(r->role));
    json_t *parameters = parameters_of(r);
    if (json_array_size(parameters) > 0)
        json_object_set(o, "parameters", parameters);
    json_decref(parameters);
    if (r->body)
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b,s:o}", "required", !(r->flags & API_OPTIONAL_BODY),
                                      "content",
                                      content_of("application/json", object_schema(r->body, 0))));
    if (r->role == ROLE_NONE)
        json_object_set_new(o, "security", json_array());
    json_object_set_new(o, "responses", responses_of(r));
    return o;
}

static void add_route(json_t *paths, const struct api_route *r)
{
    static const char *const names[] = {"get", "head", "post", "put", "patch", "delete"};
    char path[256];
    snprintf(path, sizeof path, "%s%s", API_ROOT, r->path);
    json_t *item = json_object_get(paths, path);
    if (!item) {
        item = json_object();
        json_object_set_new(paths, path, item);
    }
    json_object_set_new(item, names[r->method], operation_of(r));
}

/* ---- the whole ---- */

static json_t *problem_schema(void)
{
    return json_pack(
        "{s:s,s:[s,s,s,s],s:{s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},"
        "s:{s:s},s:{s:s,s:{s:s,s:{s:{s:s},s:{s:s},s:{s:s}}}}}}",
        "type", "object", "required", "type", "title", "status", "code", "properties", /* */
        "type", "type", "string", "title", "type", "string", "status", "type", "integer", "detail",
        "type", "string", "instance", "type", "string", "code", "type", "string", "fix", "type",
        "string", "request_id", "type", "string", "current", "type", "object", "errors", "type",
        "array", "items", "type", "object", "properties", "pointer", "type", "string", "code",
        "type", "string", "detail", "type", "string");
}

static json_t *components(void)
{
    return json_pack(
        "{s:{s:o},s:{s:{s:s,s:{s:{s:{s:s}}}}},s:{s:{s:s,s:s,s:s},s:{s:s,s:s,s:s},s:{s:s,s:s}}}",
        "schemas", "Problem", problem_schema(), "responses", "Problem", "description",
        "What is wrong and what to do (RFC 9457).", "content", "application/problem+json", "schema",
        "$ref", "#/components/schemas/Problem", "securitySchemes", "token", "type", "http",
        "scheme", "bearer", "bearerFormat", "scepd_<id>_<secret>", "session", "type", "apiKey",
        "in", "cookie", "name", "__Host-scepd", "certificate", "type", "mutualTLS", "description",
        "A certificate of an authority here that an administrator's record names.");
}

json_t *api_openapi(const char *version)
{
    json_t *paths = json_object();
    for (size_t t = 0; api_routes[t]; t++)
        for (const struct api_route *r = api_routes[t]; r->path; r++)
            add_route(paths, r);
    return json_pack("{s:s,s:{s:s,s:s,s:s,s:{s:s,s:s}},s:[{s:[]},{s:[]},{s:[]}],s:o,s:o}",
                     "openapi", "3.1.0", "info", "title", "scepd", "version", version,
                     "description",
                     "What administrators and MDM products ask of a scepd: scepd-api(7).",
                     "license", "name", "Apache 2.0", "identifier", "Apache-2.0", "security",
                     "token", "session", "certificate", "paths", paths, "components", components());
}

/* ---- served ---- */

static bool document(struct api_call *c, struct err *err)
{
    json_t *o = api_openapi(c->world->version);
    if (!o)
        return err_memory(err);
    api_reply_json(c, 200, o);
    return true;
}

const struct api_route api_routes_document[] = {
    {HTTP_GET, "/openapi.json", ROLE_NONE, "openapi", "This document.", NULL, NULL, NULL, 0,
     "application/vnd.oai.openapi+json", document},
    {0},
};
