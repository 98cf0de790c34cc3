/* Which URL path is what.  Paths are compared without case and without a slash at their end; a suffix that clients
 * append of their own (/pkiclient.exe, /cgi-bin/pkiclient.exe) is ignored. */
#pragma once

#include "config/config.h"

enum route_kind {
    ROUTE_ENDPOINT,    /* SCEP; `index` of the endpoint */
    ROUTE_CRL,         /* of member `index`: /crl/NAME.crl and the path of its crl url; `scope` (ca/crl.h) of NAME-p3.crl
                          and NAME-delta.crl, whether there is such a list or not */
    ROUTE_CERTIFICATE, /* of member `index`: /ca/NAME.crt and the path of its issuer_url; with `chain` n > 0 the
                          n-th certificate above it: /ca/NAME-n.crt.  Later generations: NAME-gN */
    ROUTE_OFFLINE_CRL, /* of the `chain`-th certificate above member `index`, if somebody has brought it: /crl/NAME-n.crl
                          and the path that the certificate below it names */
    ROUTE_OCSP,        /* of member `index`: /ocsp/NAME, and the path of its ocsp_url */
    ROUTE_OCSP_ALL,    /* /ocsp: of whichever authority the certificates asked for are */
};

struct route {
    enum route_kind kind;
    size_t index, chain;
    uint32_t scope;
};

struct routes;
/* `members`: all generations of all authorities, as in struct config_rooms.  ERR_CONFIG when two things have the same
 * path. */
bool routes_new(const struct config *c, struct authority *const *members, size_t n, struct routes **out,
                struct err *err);
void routes_free(struct routes *r);
/* False when there is none. */
bool routes_find(const struct routes *r, const char *path, struct route *out);
/* Of the OCSP paths the longest with which `raw_path`, as sent, begins, up to a slash or its end: what follows is data, not
 * a path (RFC 6960 appendix A.1), and *rest points to it.  NULL when there is none. */
const struct route *routes_ocsp(const struct routes *r, const char *raw_path, const char **rest);
