/* What can be wrong with a configuration beyond its text. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "scepd/daemon.h"
#include "scepd/routes.h"
#include "scepd/scep_service.h"

#define OCSP_URL_LONGEST 106
#define RSA_BITS_SOUND 2048

/* The same that a setup is made of (see setup.c), and the keys beside it. */
static bool check_rooms(const struct config *c, struct err *err)
{
    struct config_rooms rooms = {0};
    struct routes *routes = NULL;
    struct signer *signer = NULL;
    if (!config_rooms_load(c, &rooms, err))
        return false;
    bool ok = routes_new(c, rooms.member, rooms.member_n, &routes, err);
    for (size_t i = 0; ok && i < c->endpoint_n; i++) {
        struct scep_endpoint e;
        ok = scep_endpoint_init(&e, &c->endpoint[i], &rooms.policy[i], err) ||
             err_prefix(err, "endpoint \"%s\"", c->endpoint[i].path);
        if (ok)
            scep_endpoint_clear(&e);
    }
    ok = ok && signer_local(rooms.spec, &signer, err);
    signer_free(signer);
    routes_free(routes);
    config_rooms_clear(c, &rooms);
    return ok;
}

static bool check_user(const struct config *c, struct err *err)
{
    return !*c->user || getpwnam(c->user) ||
           err_set(err, ERR_CONFIG, "there is no user \"%s\" to run as", c->user);
}

static bool check_store(const struct config *c, struct err *err)
{
    struct stat st;
    if (stat(c->store_path, &st) != 0)
        return err_errno(err, "store %s", c->store_path);
    return S_ISDIR(st.st_mode) ||
           err_set(err, ERR_CONFIG, "store %s is not a directory", c->store_path);
}

/* RFC 5019 section 5: a GET of 255 octets at most, which Apple and Java keep to; the rest is a
 * request about a serial of 20 octets by SHA-1, escaped, and the number of a later generation. */
static void warn_ocsp_url(const struct config_authority *a, config_complain warn, void *ctx)
{
    const char *host = strstr(a->ocsp_url, "://");
    size_t n = host ? strlen(host + 3) : 0;
    char text[300];
    if (n > OCSP_URL_LONGEST) {
        snprintf(text, sizeof text,
                 "authority \"%s\": ocsp_url has %zu characters behind http://, more than %d: some "
                 "clients then "
                 "cannot ask by GET, and their answers are kept by no proxy",
                 a->name, n, OCSP_URL_LONGEST);
        warn(ctx, text);
    }
    if (n && host[3 + n - 1] == '/') {
        snprintf(text, sizeof text,
                 "authority \"%s\": ocsp_url ends in a slash, and clients add one: a proxy that "
                 "folds the two breaks "
                 "some of the requests",
                 a->name);
        warn(ctx, text);
    }
}

static void warn_small_keys(const struct template *t, config_complain warn, void *ctx)
{
    char text[256];
    if (t->rsa_max == 0 || t->rsa_min >= RSA_BITS_SOUND)
        return;
    snprintf(text, sizeof text,
             "template \"%s\": RSA keys of %u bits have been within reach of attackers for years; "
             "give it to those devices only that make no others",
             t->name, t->rsa_min);
    warn(ctx, text);
}

void daemon_check(const struct config *c, config_complain complain, config_complain warn, void *ctx)
{
    struct err err[3] = {0};
    int64_t now = time(NULL);
    if (!check_rooms(c, &err[0]) && config_tend_due(c, now)) {
        err_prefix(&err[0], "at its start scepd sees to this");
        warn(ctx, err[0].text);
        err_clear(&err[0]);
    }
    config_tend_warn(c, now, warn, ctx);
    for (size_t i = 0; i < c->authority_n; i++)
        warn_ocsp_url(&c->authority[i], warn, ctx);
    for (size_t i = 0; i < c->template_n; i++)
        warn_small_keys(&c->template[i], warn, ctx);
    check_user(c, &err[1]);
    check_store(c, &err[2]);
    for (size_t i = 0; i < sizeof err / sizeof *err; i++)
        if (err[i].kind != ERR_NONE)
            complain(ctx, err[i].text);
}
