/* TLS under the same server: a bufferevent of OpenSSL's in the place of a plain one, so that every
 * limit holds for it too. */
#include "http/http_tls.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <time.h>

#include "http_conn.h"

/* Those whose keys are agreed on in well under a millisecond or little more.  OpenSSL's own list
 * has finite fields as well, the largest of which keeps the loop for a seventh of a second, at the
 * word of whoever says hello.  P-521 for clients whose own key is on it: TLS 1.2 takes none of a
 * curve that is not here. */
#define GROUPS "X25519:P-256:P-384:P-521"
/* Octets: of a client's certificates none but the first is looked at, and all are parsed. */
#define CLIENT_CHAIN_MAX 16384

/* What a client proves is that it has the key of the certificate that it sent; whose that is, and
 * whether it stands, is looked up by its octets on every request (http_peer_certificate), so that
 * no chain is built here. */
static int any_certificate(X509_STORE_CTX *ctx, void *unused)
{
    return 1;
}

/* ALPN: "http/1.1" alone. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned int in_n, void *unused)
{
    static const unsigned char ours[] = "\x08http/1.1";
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, ours, sizeof ours - 1, in,
                                 in_n) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- what a handshake takes ---- */

static int64_t thread_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

enum http_tls_step http_tls_step(SSL *ssl, struct http_pace *pace, bool *on)
{
    int64_t began = thread_us();
    OSSL_HANDSHAKE_STATE before = SSL_get_state(ssl);
    ERR_clear_error();
    int n = SSL_do_handshake(ssl);
    int error = SSL_get_error(ssl, n);
    ERR_clear_error();
    http_pace_spent(pace, thread_us() - began);
    *on = SSL_get_state(ssl) != before;
    switch (error) {
    case SSL_ERROR_NONE:
        return HTTP_TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return HTTP_TLS_READ;
    case SSL_ERROR_WANT_WRITE:
        return HTTP_TLS_WRITE;
    default:
        return HTTP_TLS_BROKEN;
    }
}

static bool tls_failed(struct err *err, const char *what)
{
    char reason[160] = "";
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    return err_set(err, ERR_CONFIG, "%s: %s", what, reason);
}

bool http_tls_new(const struct http_tls_files *f, SSL_CTX **out, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return tls_failed(err, "TLS cannot be set up");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    /* Connections are kept for many requests, so that nothing is resumed: what a session remembers
     * of a client would outlive a reload. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Or what carries no data (a KeyUpdate, a ClientHello that is not wanted any more) would be
     * read on and on within one call, as long as its sender likes. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
    bool ok = SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 &&
              SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
              SSL_CTX_use_certificate(ctx, f->certificate) == 1;
    for (int i = 0; ok && i < sk_X509_num(f->chain); i++)
        ok = SSL_CTX_add1_chain_cert(ctx, sk_X509_value(f->chain, i)) == 1;
    ok = ok && SSL_CTX_use_PrivateKey(ctx, f->key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    if (f->client_authorities) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, any_certificate, NULL);
        for (int i = 0; ok && i < sk_X509_num(f->client_authorities); i++)
            ok = SSL_CTX_add_client_CA(ctx, sk_X509_value(f->client_authorities, i)) == 1;
    }
    if (!ok) {
        SSL_CTX_free(ctx);
        return tls_failed(err, "the certificate and the key of the listener cannot be used");
    }
    *out = ctx;
    return true;
}

struct bufferevent *http_tls_bufferevent(struct event_base *base, SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    ERR_clear_error();
    if (!ssl)
        return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        SSL_free(ssl);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1); /* lengths tell where a message ends */
    return bev;
}

bool http_tls_peer(struct bufferevent *bev, struct buf *der)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    X509 *x = ssl ? SSL_get1_peer_certificate(ssl) : NULL;
    unsigned char *p = NULL;
    int n = x ? i2d_X509(x, &p) : 0;
    bool ok = n <= 0 || buf_append(der, p, (size_t)n);
    OPENSSL_free(p);
    X509_free(x);
    ERR_clear_error();
    return ok;
}
