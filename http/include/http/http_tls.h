/* TLS 1.2 and 1.3 under a server of http.h. */
#pragma once

#include <openssl/ssl.h>

#include "http/http.h"

struct http_tls_files { /* borrowed */
    X509 *certificate;
    STACK_OF(X509) *chain;              /* sent behind it */
    EVP_PKEY *key;
    STACK_OF(X509) *client_authorities; /* whose certificates clients are asked for, optionally; NULL: not asked */
};
/* Owned: SSL_CTX_free.  ERR_CONFIG: certificate and key do not belong together. */
bool http_tls_new(const struct http_tls_files *f, SSL_CTX **out, struct err *err);

/* New connections speak TLS by this from now on (counted, so that the caller may free its own), NULL: plain HTTP.  All limits hold: a
 * handshake that does not end is cut as a request that does not.  Loop thread only. */
void http_server_tls(struct http_server *s, SSL_CTX *ctx);
/* The certificate that the client has proved to have the key of, as DER appended to `der`; nothing when there is none.  Whose it is, and whether
 * it stands, nobody has looked at.  False: out of memory. */
bool http_peer_certificate(const struct http_request *r, struct buf *der);
