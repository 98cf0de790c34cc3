#include <stdio.h>
#include <stdlib.h>

#include "check_main.h"
#include "ca/crl.h"
#include "scepd/routes.h"

static struct config config;
static char alias[] = "/certsrv/mscep/mscep.dll";
static struct routes *routes;

static void add_endpoint(const char *path)
{
    snprintf(config.endpoint[config.endpoint_n++].path, sizeof config.endpoint[0].path, "%s", path);
}

static struct cert no_addresses;
static struct authority member[4], *members[4];
static size_t member_n;

static void add_authority(const char *name, unsigned generation, size_t chain_n,
                          const char *crl_url, const char *issuer_url)
{
    struct authority *a = &member[member_n];
    snprintf(a->name, sizeof a->name, "%s", name);
    snprintf(a->crl_url, sizeof a->crl_url, "%s", crl_url);
    snprintf(a->issuer_url, sizeof a->issuer_url, "%s", issuer_url);
    a->generation = generation;
    a->chain_n = chain_n;
    a->cert = &no_addresses;
    for (size_t i = 0; i < chain_n; i++)
        a->chain[i] = &no_addresses;
    members[member_n++] = a;
}

static void setup(void)
{
    struct err err = {0};
    memset(&config, 0, sizeof config);
    memset(member, 0, sizeof member);
    member_n = 0;
    add_endpoint("/scep");
    add_endpoint("/scep/Static");
    add_endpoint("/cgi-bin/pkiclient.exe");
    config.endpoint[0].alias[config.endpoint[0].alias_n++] = alias;
    add_authority("demo", 1, 2, "http://pki.example.org/pub/Devices.crl", "http://pki.example.org");
    add_authority("other", 1, 0, "", "http://pki.example.org/ca/other.crt");
    add_authority("demo", 12, 1, "http://pki.example.org/pub/Devices-g12.crl",
                  "http://pki.example.org/g12");
    strcpy(member[0].ocsp_url, "http://pki.example.org/ocsp/"); /* the common one */
    strcpy(member[1].ocsp_url, "http://pki.example.org:8080/Status/other");
    ck_assert_msg(routes_new(&config, members, member_n, &routes, &err), "%s", err.text);
}

static void teardown(void)
{
    routes_free(routes);
}

struct expected {
    const char *path;
    int kind; /* -1: none */
    size_t index, chain;
    uint32_t scope;
};

static const struct expected expected[] = {
    {"/scep", ROUTE_ENDPOINT, 0, 0, 0},
    {"/scep/", ROUTE_ENDPOINT, 0, 0, 0},
    {"/SCEP", ROUTE_ENDPOINT, 0, 0, 0},
    {"/scep/pkiclient.exe", ROUTE_ENDPOINT, 0, 0, 0},
    {"/scep/cgi-bin/pkiclient.exe", ROUTE_ENDPOINT, 0, 0, 0},
    {"/scep/CGI-BIN/PkiClient.exe/", ROUTE_ENDPOINT, 0, 0, 0},
    {"/certsrv/mscep/mscep.dll", ROUTE_ENDPOINT, 0, 0, 0},
    {"/CertSrv/MSCEP/mscep.dll/pkiclient.exe", ROUTE_ENDPOINT, 0, 0, 0},
    {"/scep/static", ROUTE_ENDPOINT, 1, 0, 0},
    {"/scep/static/pkiclient.exe", ROUTE_ENDPOINT, 1, 0, 0},
    {"/cgi-bin/pkiclient.exe", ROUTE_ENDPOINT, 2, 0, 0},
    {"/crl/demo.crl", ROUTE_CRL, 0, 0, 0},
    {"/pub/devices.crl", ROUTE_CRL, 0, 0, 0},
    {"/crl/other.crl", ROUTE_CRL, 1, 0, 0},
    {"/ca/demo.crt", ROUTE_CERTIFICATE, 0, 0, 0},
    {"/ca/demo-1.crt", ROUTE_CERTIFICATE, 0, 1, 0},
    {"/ca/demo-2.crt", ROUTE_CERTIFICATE, 0, 2, 0},
    {"/ca/other.crt", ROUTE_CERTIFICATE, 1, 0, 0},
    {"/crl/demo-g12.crl", ROUTE_CRL, 2, 0, 0},
    {"/pub/devices-g12.crl", ROUTE_CRL, 2, 0, 0},
    {"/ca/demo-g12.crt", ROUTE_CERTIFICATE, 2, 0, 0},
    {"/ca/demo-g12-1.crt", ROUTE_CERTIFICATE, 2, 1, 0},
    {"/g12", ROUTE_CERTIFICATE, 2, 0, 0},
    {"/ca/demo-g1.crt", -1, 0, 0, 0},
    {"/", -1, 0, 0, 0},
    {"", -1, 0, 0, 0},
    {"/pkiclient.exe", -1, 0, 0, 0},
    {"/sce", -1, 0, 0, 0},
    {"/scep/statics", -1, 0, 0, 0},
    {"//scep", -1, 0, 0, 0},
    {"/scep/../scep", -1, 0, 0, 0},
    {"/ca/demo-3.crt", -1, 0, 0, 0},
    {"/ca/other-1.crt", -1, 0, 0, 0},
    {"/crl/demo.crl/pkiclient.exe", -1, 0, 0, 0},
    {"/crl/demo-p1.crl", ROUTE_CRL, 0, 0, 1},
    {"/crl/demo-p128.crl", ROUTE_CRL, 0, 0, 128},
    {"/crl/demo-delta.crl", ROUTE_CRL, 0, 0, STORE_CRL_DELTA},
    {"/crl/demo-p0.crl", -1, 0, 0, 0},
    {"/crl/demo-p01.crl", -1, 0, 0, 0},
    {"/crl/demo-p-1.crl", -1, 0, 0, 0},
    {"/crl/demo-p129.crl", -1, 0, 0, 0},
    {"/crl/demo-p4294967297.crl", -1, 0, 0, 0},
    {"/crl/demo-p4294967295.crl", -1, 0, 0, 0},
    {"/crl/demo-p.crl", -1, 0, 0, 0},
    {"/crl/demo-p1x.crl", -1, 0, 0, 0},
    {"/crl/demo-p1-delta.crl", -1, 0, 0, 0},
    {"/crl/nobody-p1.crl", -1, 0, 0, 0},
    {"/ca/demo-p1.crt", -1, 0, 0, 0},
    {"/scep-p1.crl", -1, 0, 0, 0},
    {"/scep/cgi-bin", -1, 0, 0, 0},
    {"/crl/demo-1.crl", ROUTE_OFFLINE_CRL, 0, 1, 0},
    {"/crl/demo-2.crl", ROUTE_OFFLINE_CRL, 0, 2, 0},
    {"/crl/demo-g12-1.crl", ROUTE_OFFLINE_CRL, 2, 1, 0},
    {"/crl/demo-3.crl", -1, 0, 0, 0},
    {"/crl/demo-0.crl", -1, 0, 0, 0},
    {"/crl/other-1.crl", -1, 0, 0, 0},
};

/* RFC 8894 section 4.1 */
/* RFC 6960 appendix A.1: what follows is data. */
static const struct {
    const char *path, *rest; /* NULL: none */
    int kind;
    size_t index;
} ocsp[] = {
    {"/ocsp", "", ROUTE_OCSP_ALL, 0},
    {"/ocsp/", "/", ROUTE_OCSP_ALL, 0},
    {"/OCSP/MFEw/zB", "/MFEw/zB", ROUTE_OCSP_ALL, 0},
    {"/ocsp//../demo", "//../demo", ROUTE_OCSP_ALL, 0},
    {"/ocsp/demo", "", ROUTE_OCSP, 0},
    {"/ocsp/Demo/MFEw//B", "/MFEw//B", ROUTE_OCSP, 0},
    {"/ocsp/demo-g12/MFEw", "/MFEw", ROUTE_OCSP, 2},
    {"/ocsp/demonstration", "/demonstration", ROUTE_OCSP_ALL, 0},
    {"/ocsp/other/", "/", ROUTE_OCSP, 1},
    {"/status/OTHER/MFEw", "/MFEw", ROUTE_OCSP, 1},
    {"/status", NULL, 0, 0},
    {"/ocspd", NULL, 0, 0},
    {"/ocs", NULL, 0, 0},
    {"", NULL, 0, 0},
    {"/x/ocsp", NULL, 0, 0},
};

START_TEST(ocsp_paths_end_where_data_begins)
{
    for (size_t i = 0; i < sizeof ocsp / sizeof *ocsp; i++) {
        const char *rest = NULL;
        const struct route *r = routes_ocsp(routes, ocsp[i].path, &rest);
        ck_assert_msg(!r == !ocsp[i].rest, "%s", ocsp[i].path);
        if (!r)
            continue;
        ck_assert_str_eq(rest, ocsp[i].rest);
        ck_assert_int_eq(r->kind, ocsp[i].kind);
        ck_assert_uint_eq(r->index, ocsp[i].index);
    }
}
END_TEST

START_TEST(paths)
{
    const struct expected *e = &expected[_i];
    struct route r;
    ck_assert_msg(routes_find(routes, e->path, &r) == (e->kind >= 0), "%s", e->path);
    if (e->kind < 0)
        return;
    ck_assert_int_eq((int)r.kind, e->kind);
    ck_assert_uint_eq(r.index, e->index);
    ck_assert_uint_eq(r.chain, e->chain);
    ck_assert_uint_eq(r.scope, e->scope);
}
END_TEST

START_TEST(a_very_long_path_is_none)
{
    char path[2000];
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    struct route r;
    ck_assert(!routes_find(routes, path, &r));
}
END_TEST

START_TEST(paths_that_differ_by_case_only)
{
    struct routes *more = NULL;
    struct err err = {0};
    add_endpoint("/Scep");
    ck_assert(!routes_new(&config, members, member_n, &more, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "/Scep"));
}
END_TEST

START_TEST(an_endpoint_in_the_place_of_a_crl)
{
    struct routes *more = NULL;
    struct err err = {0};
    add_endpoint("/crl/demo.crl");
    ck_assert(!routes_new(&config, members, member_n, &more, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/routes");
    TCase *c = tcase_create("routes");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, paths, 0, sizeof expected / sizeof *expected);
    tcase_add_test(c, ocsp_paths_end_where_data_begins);
    tcase_add_test(c, a_very_long_path_is_none);
    tcase_add_test(c, paths_that_differ_by_case_only);
    tcase_add_test(c, an_endpoint_in_the_place_of_a_crl);
    suite_add_tcase(s, c);
    return check_main(s);
}
