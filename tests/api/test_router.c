/* Paths, methods, queries and bodies, by the tables alone. */
#include "api_fixture.h"
#include "check_main.h"

START_TEST(paths_are_exact)
{
    static const char *const wrong[] = {
        "/api/v1/admins/",
        "/api/v1//admins",
        "/api/v1/Admins",
        "/api/v1/admins/../admins",
        "/api/v1/./admins",
        "/api/v1/admins%2f",
        "/api/v1/admins/a%2fb",
        "/api/v1/admins/%2e%2e",
        "/api/v1/admins/a/b/c",
        "/api/v1/",
        "/api/v1/admins/%00",
        "/api/v1/admins/a%5cb",
        "/api/v1/nothing",
        "/api/v2/admins",
        "/",
        "/api/v1/admins/x/y/z/a/b/c/d/e/f/g",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        call(HTTP_GET, wrong[i], NULL);
        ck_assert_msg(reply.status == 404 || reply.status == 400, "%s: %d", wrong[i], reply.status);
        ck_assert_str_ne(text("code"), "not_found");
    }
    call(HTTP_GET, "/api/v1/%61dmins", NULL);
    is(200);
    call(HTTP_GET, "/api/v1/admins/%", NULL);
    is_problem(400, "request.malformed");
}
END_TEST

START_TEST(other_methods_are_told_which_there_are)
{
    call(HTTP_PUT, "/api/v1/admins", "{}");
    is_problem(405, "method.forbidden");
    ck_assert_str_eq(header("Allow"), "GET, HEAD, POST");
    call(HTTP_POST, "/api/v1/admins/root", "{}");
    is_problem(405, "method.forbidden");
    ck_assert_str_eq(header("Allow"), "GET, HEAD, PATCH, DELETE");
    call(HTTP_HEAD, "/api/v1/admins/root", NULL);
    is(200);
}
END_TEST

START_TEST(queries_are_checked)
{
    call(HTTP_GET, "/api/v1/admins?limt=3", NULL);
    is_problem(422, "input.invalid");
    ck_assert_ptr_nonnull(strstr(text("detail"), "did you mean \"limit\""));
    static const char *const wrong[] = {
        "limit=0",      "limit=501",       "limit=x",
        "limit=",       "limit=1&limit=2", "limit=1.5",
        "role=king",    "cursor=%3Cb%3E",  "limit=99999999999999999999",
        "a=%zz",        "role=auditor%00", "%6cimit=0",
        "role=Auditor", "cursor=",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[256];
        snprintf(path, sizeof path, "/api/v1/admins?%s", wrong[i]);
        call(HTTP_GET, path, NULL);
        ck_assert_msg(reply.status == 422, "%s: %d", wrong[i], reply.status);
    }
    call(HTTP_GET, "/api/v1/admins?role=administrator&limit=500", NULL);
    is(200);
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "items")), 1);
}
END_TEST

/* A place that no list has named is none, in any of them. */
START_TEST(forged_cursors)
{
    char path[256];
    unsigned lists = 0;
    for (size_t i = 0; api_routes[i]; i++)
        for (const struct api_route *r = api_routes[i]; r->path; r++) {
            if (r->method != HTTP_GET || !(r->flags & API_LIST) || strchr(r->path, '{'))
                continue;
            snprintf(path, sizeof path, "/api/v1%s?cursor=no-place", r->path);
            call(HTTP_GET, path, NULL);
            ck_assert_msg(reply.status == 422, "%s: %d", path, reply.status);
            ck_assert_str_eq(text("code"), "input.invalid");
            lists++;
        }
    ck_assert_uint_gt(lists, 10);
    static const char *const others[] = {"admins?cursor=tok_4h7t2m", "admins?cursor=adm_",
                                         "tokens?cursor=adm_4h7t2m", "tokens?cursor=tok_4h7.2m"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(path, sizeof path, "/api/v1/%s", others[i]);
        call(HTTP_GET, path, NULL);
        ck_assert_msg(reply.status == 422, "%s: %d", path, reply.status);
    }
}
END_TEST

START_TEST(all_faults_of_a_body_at_once)
{
    call(HTTP_POST, "/api/v1/admins", "{\"nme\":\"x\",\"role\":\"king\",\"disabled\":1}");
    is_problem(422, "input.invalid");
    json_t *errors = json_object_get(answer, "errors");
    ck_assert_uint_eq(json_array_size(errors), 4); /* unknown, value, type, missing */
    const char *pointer = json_string_value(json_object_get(json_array_get(errors, 0), "pointer"));
    ck_assert_str_eq(pointer, "/nme");
    ck_assert_ptr_nonnull(strstr(
        json_string_value(json_object_get(json_array_get(errors, 0), "detail")), "\"name\""));
}
END_TEST

START_TEST(bodies_that_are_none)
{
    static const struct {
        const char *body;
        int status;
    } wrong[] = {
        {"", 400},
        {"{", 400},
        {"[]", 400},
        {"null", 400},
        {"{\"name\":\"a\",\"name\":\"b\",\"role\":\"auditor\"}", 400},
        {"{\"name\":\"a\\u0000b\",\"role\":\"auditor\"}", 400},
        {"{\"name\":\"\xff\",\"role\":\"auditor\"}", 400},
        {"{\"name\":\"a\",\"role\":\"auditor\"} x", 400},
        {"{\"a\":[[[[[[[[[]]]]]]]]]}", 400},
        {"{\"name\":{},\"role\":\"auditor\"}", 422},
        {"{\"name\":null,\"role\":\"auditor\"}", 422},
        {"{\"name\":\"a b\",\"role\":\"auditor\"}", 422},
        {"{\"name\":\"a\\nb\",\"role\":\"auditor\"}", 422},
        {"{\"name\":\"\",\"role\":\"auditor\"}", 422},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        call(HTTP_POST, "/api/v1/admins", wrong[i].body);
        ck_assert_msg(reply.status == wrong[i].status, "%s: %d", wrong[i].body, reply.status);
    }
    call_with(HTTP_POST, "/api/v1/admins", "{}", API_CONTENT_TYPE, "text/plain");
    is_problem(415, "body.type");
    call_with(HTTP_POST, "/api/v1/admins", "{}", API_CONTENT_TYPE,
              "application/x-www-form-urlencoded");
    is_problem(415, "body.type");
    char *large = malloc(API_MAX_BODY + 2);
    memset(large, ' ', API_MAX_BODY + 1);
    large[API_MAX_BODY + 1] = '\0';
    call(HTTP_POST, "/api/v1/admins", large);
    is_problem(413, "body.too_long");
    free(large);
}
END_TEST

START_TEST(every_answer_has_its_headers)
{
    call_with(HTTP_GET, "/api/v1/nothing", NULL, API_REQUEST_ID, "my-request.1");
    ck_assert_str_eq(header("X-Request-Id"), "my-request.1");
    ck_assert_str_eq(text("request_id"), "my-request.1");
    ck_assert_str_eq(header("X-Content-Type-Options"), "nosniff");
    ck_assert_str_eq(header("Cache-Control"), "no-store");
    ck_assert_str_eq(header("Access-Control-Allow-Origin"), "");
    call_with(HTTP_GET, "/api/v1/nothing", NULL, API_REQUEST_ID, "two\r\nlines");
    ck_assert_uint_eq(strlen(header("X-Request-Id")), 20);
}
END_TEST

START_TEST(problems_have_pages)
{
    call(HTTP_GET, "/problems/condition.needed", NULL);
    is(200);
    ck_assert_ptr_nonnull(strstr((char *)reply.body.p, "If-Match"));
    call(HTTP_GET, "/problems/challenge.used", NULL);
    is(200);
    call(HTTP_GET, "/problems/nonsense", NULL);
    is_problem(404, "not_found");
}
END_TEST

/* Each route is in the document, each member of the document is of a route: they are made of one
 * table, and this finds what cannot be made. */
START_TEST(the_document_has_every_route)
{
    size_t routes = 0, operations = 0;
    const char *path, *method;
    json_t *item, *operation, *document = api_openapi("1");
    ck_assert_ptr_nonnull(document);
    for (size_t t = 0; api_routes[t]; t++)
        for (const struct api_route *r = api_routes[t]; r->path; r++, routes++) {
            ck_assert_msg(r->summary && r->operation && r->handle, "%s", r->path);
            ck_assert_msg(r->role == ROLE_NONE || r->method == HTTP_GET ||
                              (r->flags & API_UNRECORDED) || r->role >= ROLE_AUDITOR,
                          "%s", r->path);
        }
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation) operations++;
    ck_assert_uint_eq(routes, operations);
    json_decref(document);
    call(HTTP_GET, "/api/v1/openapi.json", NULL);
    is(200);
    ck_assert_str_eq(text("openapi"), "3.1.0");
}
END_TEST

/* Every object of the document, from within a schema, in `seen`; those with members only once. */
static void stands_once(const json_t *o, json_t *seen)
{
    const char *name;
    json_t *member;
    size_t i;
    json_array_foreach(o, i, member) stands_once(member, seen);
    json_object_foreach((json_t *)o, name, member) stands_once(member, seen);
    if (!json_is_object(json_object_get(o, "properties")))
        return;
    json_t *bare = json_copy((json_t *)o);
    json_object_del(bare, "description");
    char *bare_text = json_dumps(bare, JSON_COMPACT | JSON_SORT_KEYS);
    ck_assert_msg(!json_object_get(seen, bare_text), "twice; end its table with API_SHAPE: %s",
                  bare_text);
    json_object_set_new(seen, bare_text, json_true());
    free(bare_text);
    json_decref(bare);
}

static json_t *referred(json_t *document, const char *ref)
{
    char kind[32], name[128];
    ck_assert_int_eq(sscanf(ref, "#/components/%31[a-z]/%127s", kind, name), 2);
    return json_object_get(json_object_get(json_object_get(document, "components"), kind), name);
}

/* Counts in `used` what is referred to; all of it must be there. */
static void refers(json_t *document, const json_t *o, json_t *used)
{
    const char *name;
    json_t *member;
    size_t i;
    json_array_foreach(o, i, member) refers(document, member, used);
    json_object_foreach((json_t *)o, name, member)
    {
        if (strcmp(name, "$ref") == 0) {
            ck_assert_msg(json_is_object(referred(document, json_string_value(member))), "%s",
                          json_string_value(member));
            json_object_set_new(used, json_string_value(member), json_true());
        }
        refers(document, member, used);
    }
}

START_TEST(a_shape_stands_once)
{
    static const char *const kinds[] = {"schemas", "parameters", "responses"};
    json_t *document = api_openapi("1"), *seen = json_object(), *used = json_object(), *part;
    const char *name;
    stands_once(document, seen);
    ck_assert_uint_gt(json_object_size(seen), 50);
    refers(document, document, used);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        json_object_foreach(json_object_get(json_object_get(document, "components"), kinds[i]),
                            name, part)
        {
            char ref[200];
            snprintf(ref, sizeof ref, "#/components/%s/%s", kinds[i], name);
            ck_assert_msg(json_object_get(used, ref), "nobody needs %s", ref);
        }
    json_decref(used);
    json_decref(seen);
    json_decref(document);
}
END_TEST

static size_t tables_named(const struct api_member *m, const char *shape,
                           const struct api_member **only)
{
    size_t n = 0;
    const struct api_member *begin = m;
    for (; m && m->name; m++)
        n += tables_named(m->members, shape, only);
    if (m && m->help && strcmp(m->help, shape) == 0 && *only != begin) {
        *only = begin;
        n++;
    }
    return n;
}

/* Two tables of one name would be one schema, which is true of one of them alone. */
START_TEST(a_name_is_of_one_table)
{
    json_t *document = api_openapi("1"), *schema;
    const char *name;
    json_object_foreach(json_object_get(json_object_get(document, "components"), "schemas"), name,
                        schema)
    {
        const struct api_member *only = NULL;
        size_t n = 0;
        for (size_t t = 0; api_routes[t]; t++)
            for (const struct api_route *r = api_routes[t]; r->path; r++)
                n += tables_named(r->body, name, &only) + tables_named(r->answer, name, &only);
        ck_assert_msg(n <= 1, "%s", name);
    }
    json_decref(document);
}
END_TEST

/* It is made once and has a tag. */
START_TEST(the_document_is_known_by_its_tag)
{
    call(HTTP_GET, "/api/v1/openapi.json", NULL);
    is(200);
    char *tag = strdup(header("ETag")), *first = strndup((char *)reply.body.p, reply.body.n);
    ck_assert_str_eq(header("Cache-Control"), "private, no-cache");
    call(HTTP_GET, "/api/v1/openapi.json", NULL);
    is(200);
    ck_assert_str_eq(header("ETag"), tag);
    ck_assert_uint_eq(reply.body.n, strlen(first));
    ck_assert_mem_eq(reply.body.p, first, reply.body.n);
    call_with(HTTP_GET, "/api/v1/openapi.json", NULL, API_IF_NONE_MATCH, tag);
    is(304);
    ck_assert_uint_eq(reply.body.n, 0);
    call_with(HTTP_GET, "/api/v1/openapi.json", NULL, API_IF_NONE_MATCH, "\"0123456789abcdef\"");
    is(200);
    free(tag);
    free(first);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("router");
    TCase *c = tcase_create("router");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, api_setup, api_teardown);
    tcase_add_test(c, paths_are_exact);
    tcase_add_test(c, other_methods_are_told_which_there_are);
    tcase_add_test(c, queries_are_checked);
    tcase_add_test(c, forged_cursors);
    tcase_add_test(c, all_faults_of_a_body_at_once);
    tcase_add_test(c, bodies_that_are_none);
    tcase_add_test(c, every_answer_has_its_headers);
    tcase_add_test(c, problems_have_pages);
    tcase_add_test(c, the_document_has_every_route);
    tcase_add_test(c, a_shape_stands_once);
    tcase_add_test(c, a_name_is_of_one_table);
    tcase_add_test(c, the_document_is_known_by_its_tag);
    suite_add_tcase(s, c);
    return check_main(s);
}
