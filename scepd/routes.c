#include "scepd/routes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ca/crl.h"

/* The longest path that is looked for. */
#define MAX_PATH 512
/* Every endpoint with its aliases; of each authority the CRL, OCSP and all certificates, twice for
 * the three with a URL; the CRLs of those above, which may have an address of their own; and OCSP
 * for all. */
#define MAX_ROUTES                                       \
    (CONFIG_MAX_ENDPOINTS * (ENDPOINT_MAX_ALIASES + 1) + \
     CONFIG_MAX_MEMBERS * (3 * AUTHORITY_MAX_CHAIN + 6) + 1)

struct entry {
    char *path; /* owned, normalised */
    struct route route;
};

struct routes {
    struct entry entry[MAX_ROUTES];
    size_t n;
    struct prefix {
        const char *path; /* an entry's */
        size_t length;
        const struct route *route;
    } ocsp[2 * CONFIG_MAX_MEMBERS + 1];
    size_t ocsp_n;
};

static bool normalise(const char *path, char out[MAX_PATH])
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        n--;
    if (n >= MAX_PATH)
        return false;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)tolower((unsigned char)path[i]);
    out[n] = '\0';
    return true;
}

static bool cut_suffix(char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);
    if (n < k || strcmp(path + n - k, suffix) != 0)
        return false;
    path[n - k] = '\0';
    return true;
}

static const struct entry *find(const struct routes *r, const char *normalised)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->entry[i].path, normalised) == 0)
            return &r->entry[i];
    return NULL;
}

static bool add(struct routes *r, const char *path, struct route route, struct err *err)
{
    char text[MAX_PATH];
    if (!normalise(path, text))
        return err_set(err, ERR_CONFIG, "the path %s is too long: at most %d octets", path,
                       MAX_PATH - 1);
    const struct entry *old = find(r, text);
    if (old && old->route.kind == route.kind && old->route.index == route.index &&
        old->route.chain == route.chain)
        return true;
    if (old && old->route.kind == ROUTE_OCSP_ALL && route.kind == ROUTE_OCSP)
        return true; /* at the common address: the request says whose certificates are meant */
    if (old)
        return err_set(err, ERR_CONFIG,
                       "the path %s would lead to two things: paths differ by more than case",
                       path);
    char *copy = strdup(text);
    if (!copy)
        return err_memory(err);
    struct entry *e = &r->entry[r->n++];
    *e = (struct entry){copy, route};
    if (route.kind == ROUTE_OCSP || route.kind == ROUTE_OCSP_ALL)
        r->ocsp[r->ocsp_n++] = (struct prefix){e->path, strlen(e->path), &e->route};
    return true;
}

/* The path of an http URL in a configuration; addresses elsewhere do no harm here. */
static bool add_url(struct routes *r, const char *url, struct route route, struct err *err)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return !path || path[1] == '\0' || add(r, path, route, err);
}

static bool add_endpoint(struct routes *r, const struct config_endpoint *e, size_t index,
                         struct err *err)
{
    struct route route = {ROUTE_ENDPOINT, index, 0, 0};
    bool ok = add(r, e->path, route, err);
    for (size_t i = 0; ok && i < e->alias_n; i++)
        ok = add(r, e->alias[i], route, err);
    return ok;
}

/* At the path that the certificate below names, unless something else is there: an issuer above may
 * be above several generations or authorities, and may be one of these itself; then its list is
 * made here. */
static bool add_offline(struct routes *r, const struct authority *a, size_t index, struct err *err)
{
    bool ok = true;
    for (size_t i = 1; ok && i <= a->chain_n; i++) {
        char path[MAX_PATH], crl_url[256], issuer_url[256];
        authority_urls_of(i > 1 ? a->chain[i - 2] : a->cert, crl_url, issuer_url);
        const char *host = strstr(crl_url, "://"), *named = host ? strchr(host + 3, '/') : NULL;
        if (named && normalise(named, path) && path[0] && !find(r, path))
            ok = add(r, named,
                     (struct route){.kind = ROUTE_OFFLINE_CRL, .index = index, .chain = i}, err);
    }
    return ok;
}

/* What was issued carries the addresses of its generation: the first one keeps them without a
 * number for good. */
static bool add_member(struct routes *r, const struct authority *a, size_t index, struct err *err)
{
    struct route crl = {ROUTE_CRL, index, 0, STORE_CRL_COMPLETE};
    char path[160], suffix[32] = "";
    if (a->generation > 1)
        snprintf(suffix, sizeof suffix, "-g%u", a->generation);
    snprintf(path, sizeof path, "/ocsp/%s%s", a->name, suffix);
    if (!add(r, path, (struct route){ROUTE_OCSP, index, 0, 0}, err) ||
        !add_url(r, a->ocsp_url, (struct route){ROUTE_OCSP, index, 0, 0}, err))
        return false;
    snprintf(path, sizeof path, "/crl/%s%s.crl", a->name, suffix);
    if (!add(r, path, crl, err) || !add_url(r, a->crl_url, crl, err))
        return false;
    for (size_t i = 0; i <= a->chain_n; i++) {
        struct route certificate = {ROUTE_CERTIFICATE, index, i, 0};
        if (i == 0)
            snprintf(path, sizeof path, "/ca/%s%s.crt", a->name, suffix);
        else
            snprintf(path, sizeof path, "/ca/%s%s-%zu.crt", a->name, suffix, i);
        if (!add(r, path, certificate, err))
            return false;
        snprintf(path, sizeof path, "/crl/%s%s-%zu.crl", a->name, suffix, i);
        if (i && !add(r, path,
                      (struct route){.kind = ROUTE_OFFLINE_CRL, .index = index, .chain = i}, err))
            return false;
    }
    return add_url(r, a->issuer_url, (struct route){ROUTE_CERTIFICATE, index, 0, 0}, err);
}

/* -delta, or -p and a number as it is written by crl_scope_suffix: no sign, no zero in front. */
static bool scope_of(const char *suffix, uint32_t *out)
{
    char again[24];
    unsigned long n = 0;
    *out = STORE_CRL_DELTA;
    if (strncmp(suffix, "-p", 2) == 0 && strlen(suffix) <= 5)
        *out = (uint32_t)(n = strtoul(suffix + 2, NULL, 10));
    crl_scope_suffix(*out, again);
    return strcmp(suffix, again) == 0 && (*out == STORE_CRL_DELTA || n <= CRL_MAX_SHARDS);
}

/* The CRL of a scope beside a complete one. */
static bool find_scope(const struct routes *r, const char *text, struct route *out)
{
    char stem[MAX_PATH], whole[MAX_PATH + 8];
    snprintf(stem, sizeof stem, "%s", text);
    char *suffix = cut_suffix(stem, ".crl") ? strrchr(stem, '-') : NULL;
    uint32_t scope;
    if (!suffix || !scope_of(suffix, &scope))
        return false;
    *suffix = '\0';
    snprintf(whole, sizeof whole, "%s.crl", stem);
    const struct entry *e = find(r, whole);
    if (!e || e->route.kind != ROUTE_CRL)
        return false;
    *out = e->route;
    out->scope = scope;
    return true;
}

/* An authority called "main-p1" beside "main": its list would be taken for a partition of the
 * other's. */
static bool scopes_apart(const struct routes *r, struct authority *const *members, struct err *err)
{
    struct route other;
    for (size_t i = 0; i < r->n; i++)
        if (r->entry[i].route.kind == ROUTE_CRL && find_scope(r, r->entry[i].path, &other) &&
            (members[other.index]->crl_shards > 1 || members[other.index]->crl_delta))
            return err_set(err, ERR_CONFIG,
                           "the path %s would lead to two things: a list of its own, and a part "
                           "or delta of another",
                           r->entry[i].path);
    return true;
}

bool routes_new(const struct config *c, struct authority *const *members, size_t n,
                struct routes **out, struct err *err)
{
    struct routes *r = calloc(1, sizeof *r);
    bool ok = r ? add(r, "/ocsp", (struct route){ROUTE_OCSP_ALL, 0, 0, 0}, err) : err_memory(err);
    for (size_t i = 0; ok && i < c->endpoint_n; i++)
        ok = add_endpoint(r, &c->endpoint[i], i, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = add_member(r, members[i], i, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = add_offline(r, members[i], i, err);
    ok = ok && scopes_apart(r, members, err);
    if (ok)
        *out = r;
    else
        routes_free(r);
    return ok;
}

void routes_free(struct routes *r)
{
    for (size_t i = 0; r && i < r->n; i++)
        free(r->entry[i].path);
    free(r);
}

/* RFC 8894 section 4.1 */
bool routes_find(const struct routes *r, const char *path, struct route *out)
{
    char text[MAX_PATH];
    if (!normalise(path, text))
        return false;
    const struct entry *e = find(r, text);
    if (!e && find_scope(r, text, out))
        return true;
    if (!e && cut_suffix(text, "/pkiclient.exe")) {
        e = find(r, text);
        if (!e && cut_suffix(text, "/cgi-bin"))
            e = find(r, text);
        if (e && e->route.kind != ROUTE_ENDPOINT)
            e = NULL;
    }
    if (e)
        *out = e->route;
    return e != NULL;
}

const struct route *routes_ocsp(const struct routes *r, const char *raw_path, const char **rest)
{
    const struct prefix *best = NULL;
    for (size_t i = 0; i < r->ocsp_n; i++) {
        const struct prefix *p = &r->ocsp[i];
        if (strncasecmp(raw_path, p->path, p->length) == 0 &&
            (raw_path[p->length] == '/' || raw_path[p->length] == '\0') &&
            (!best || p->length > best->length))
            best = p;
    }
    if (!best)
        return NULL;
    *rest = raw_path + best->length;
    return best->route;
}
