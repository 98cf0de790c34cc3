/* From method and path to a route, by the tables alone. */
#include <stdio.h>
#include <string.h>

#include "api_internal.h"

/* Compares segment by segment; *fixed counts those that are not {parameters}. */
static bool path_fits(const char *path, const char *const *segment, size_t n, size_t *fixed)
{
    size_t i = 0;
    *fixed = 0;
    for (const char *p = path; *p; i++) {
        p++; /* the slash */
        size_t length = strcspn(p, "/");
        if (i == n)
            return false;
        if (*p != '{') {
            if (strlen(segment[i]) != length || memcmp(segment[i], p, length) != 0)
                return false;
            (*fixed)++;
        }
        p += length;
    }
    return i == n;
}

const struct api_route *api_route_find(const char *const *segment, size_t n,
                                       enum http_method method, char allow[64])
{
    const struct api_route *found = NULL;
    size_t best = 0, fixed;
    unsigned methods = 0;
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
    *allow = '\0';
    /* The path first: "/devices/import" is not a device named import, whatever the method. */
    for (size_t t = 0; api_routes[t]; t++)
        for (const struct api_route *r = api_routes[t]; r->path; r++)
            if (path_fits(r->path, segment, n, &fixed) && fixed + 1 > best)
                best = fixed + 1;
    for (size_t t = 0; best && api_routes[t]; t++)
        for (const struct api_route *r = api_routes[t]; r->path; r++) {
            if (!path_fits(r->path, segment, n, &fixed) || fixed + 1 != best)
                continue;
            methods |= HTTP_METHOD_BIT(r->method);
            if (r->method == wanted)
                found = r;
        }
    if (methods & HTTP_METHOD_BIT(HTTP_GET))
        methods |= HTTP_METHOD_BIT(HTTP_HEAD);
    for (int m = HTTP_GET; m <= HTTP_DELETE; m++)
        if (methods & HTTP_METHOD_BIT(m))
            snprintf(allow + strlen(allow), 64 - strlen(allow), "%s%s", *allow ? ", " : "",
                     http_method_name((enum http_method)m));
    return found;
}

const char *api_param(const struct api_call *c, const char *name)
{
    size_t i = 0, n = strlen(name);
    for (const char *p = c->route ? c->route->path : ""; *p && i < c->priv->segment_n; i++) {
        p++;
        size_t length = strcspn(p, "/");
        if (*p == '{' && length == n + 2 && memcmp(p + 1, name, n) == 0)
            return c->priv->segment[i];
        p += length;
    }
    return ""; /* the route has no such parameter: a mistake of the handler, found by its first test
                */
}
