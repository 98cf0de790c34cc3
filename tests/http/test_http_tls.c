/* What a client may ask of a handshake, all of which runs on the loop that serves devices. */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "check_main.h"
#include "http/http_tls.h"
#include "http_conn.h"

static EVP_PKEY *key;
static X509 *certificate; /* of the server, and of clients unless a test has another */
static EVP_PKEY *client_key;
static X509 *client_certificate;
static SSL_CTX *server;

static X509 *certify(EVP_PKEY *of)
{
    X509 *x = X509_new();
    ck_assert_ptr_nonnull(x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, of);
    ck_assert_int_gt(X509_sign(x, of, EVP_sha256()), 0);
    return x;
}

static void setup(void)
{
    struct err err = {0};
    key = EVP_EC_gen("P-256");
    certificate = client_certificate = certify(key);
    client_key = key;
    STACK_OF(X509) *authorities = sk_X509_new_null();
    struct http_tls_files f = {
        .certificate = certificate, .key = key, .client_authorities = authorities};
    ck_assert_msg(http_tls_new(&f, &server, &err), "%s", err.text);
    sk_X509_free(authorities);
}

static void teardown(void)
{
    SSL_CTX_free(server);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* True: it went on, and -1 of neither side is more than a wish to read. */
static bool step(SSL *ssl, bool *done)
{
    int n = SSL_do_handshake(ssl);
    *done = n == 1;
    bool ok = *done || SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    return ok;
}

struct pair {
    SSL_CTX *ctx;
    SSL *client, *ours;
    struct http_pace *pace;
};

static bool our_step(struct pair *p, bool *done)
{
    bool on;
    enum http_tls_step s = http_tls_step(p->ours, p->pace, &on);
    *done = s == HTTP_TLS_DONE;
    return *done || s == HTTP_TLS_READ;
}

/* `ctx` becomes the pair's. */
static struct pair pair_of(SSL_CTX *ctx, struct http_pace *pace)
{
    struct pair p = {ctx, SSL_new(ctx), SSL_new(server), pace};
    BIO *at_client, *at_server;
    ck_assert_int_eq(BIO_new_bio_pair(&at_client, 1 << 18, &at_server, 1 << 18), 1);
    SSL_set_bio(p.client, at_client, at_client);
    SSL_set_bio(p.ours, at_server, at_server);
    SSL_set_connect_state(p.client);
    SSL_set_accept_state(p.ours);
    return p;
}

static bool agree(struct pair *p)
{
    bool here = false, there = false, ok = true;
    for (int i = 0; i < 10 && ok && !(here && there); i++)
        ok = (there || step(p->client, &there)) && (here || our_step(p, &here));
    return ok && here && there;
}

static void part(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->ours);
    SSL_CTX_free(p->ctx);
}

/* `groups`: NULL: what OpenSSL offers.  `certificates`: how many the client sends. */
static bool shake(const char *groups, int version, int certificates, struct http_pace *pace)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_min_proto_version(ctx, version);
    if (groups)
        ck_assert_int_eq(SSL_CTX_set1_groups_list(ctx, groups), 1);
    if (certificates > 0) {
        ck_assert_int_eq(SSL_CTX_use_certificate(ctx, client_certificate), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, client_key), 1);
    }
    for (int i = 1; i < certificates; i++)
        ck_assert_int_eq(SSL_CTX_add1_chain_cert(ctx, certificate), 1);
    struct pair p = pair_of(ctx, pace);
    bool ok = agree(&p);
    part(&p);
    return ok;
}

static bool agrees(const char *groups, int version)
{
    struct http_pace pace;
    http_pace_init(&pace);
    return shake(groups, version, 0, &pace);
}

START_TEST(groups)
{
    static const char *const good[] = {"X25519", "P-256", "P-384", "P-521"};
    static const char *const dear[] = {"ffdhe2048", "ffdhe4096", "ffdhe8192"};
    ck_assert(agrees(NULL, TLS1_3_VERSION));
    ck_assert(agrees(NULL, TLS1_2_VERSION));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(agrees(good[i], TLS1_3_VERSION), "%s", good[i]);
    }
    ck_assert(agrees("P-256", TLS1_2_VERSION));
    for (size_t i = 0; i < sizeof dear / sizeof *dear; i++)
        ck_assert_msg(!agrees(dear[i], TLS1_3_VERSION), "%s", dear[i]);
}
END_TEST

/* With TLS 1.2 a client's key must be on a curve that is agreed on: any that we certify. */
START_TEST(curves_of_clients)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    struct http_pace pace;
    http_pace_init(&pace);
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        client_key = EVP_EC_gen(curves[i]);
        client_certificate = certify(client_key);
        ck_assert_msg(shake(NULL, TLS1_2_VERSION, 1, &pace), "%s", curves[i]);
        ck_assert_msg(shake(NULL, TLS1_3_VERSION, 1, &pace), "%s", curves[i]);
        X509_free(client_certificate);
        EVP_PKEY_free(client_key);
    }
}
END_TEST

START_TEST(chains)
{
    struct http_pace pace;
    int one = i2d_X509(certificate, NULL);
    http_pace_init(&pace);
    ck_assert(shake(NULL, TLS1_3_VERSION, 1, &pace));
    ck_assert(shake(NULL, TLS1_3_VERSION, 8192 / one, &pace));
    ck_assert(!shake(NULL, TLS1_3_VERSION, 16384 / one + 1, &pace));
    ck_assert(!shake(NULL, TLS1_2_VERSION, 16384 / one + 1, &pace));
}
END_TEST

/* What a step really takes reaches the pace, whether the handshake ends well or not. */
START_TEST(measured)
{
    struct http_pace pace;
    for (int good = 0; good < 2; good++) {
        http_pace_init(&pace);
        ck_assert_int_eq(shake(good ? "P-384" : "ffdhe2048", TLS1_3_VERSION, 0, &pace), good);
        ck_assert_int_lt(pace.left_us, HTTP_PACE_MOST);
    }
}
END_TEST

/* RFC 8446 section 4.6.3: a client may send them without end, as may be said of what follows. */
START_TEST(key_updates)
{
    struct http_pace pace;
    char octet;
    http_pace_init(&pace);
    struct pair p = pair_of(SSL_CTX_new(TLS_client_method()), &pace);
    ck_assert(agree(&p));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(p.client), 1);
    }
    ck_assert_int_eq(SSL_write(p.client, "x", 1), 1);
    for (int i = 0; i < 3; i++) {
        size_t left = BIO_ctrl_pending(SSL_get_rbio(p.ours));
        int n = SSL_read(p.ours, &octet, 1);
        ck_assert_int_eq(n, -1); /* others have their turn */
        ck_assert_int_eq(SSL_get_error(p.ours, n), SSL_ERROR_WANT_READ);
        ck_assert_uint_lt(BIO_ctrl_pending(SSL_get_rbio(p.ours)), left);
    }
    ck_assert_int_eq(SSL_read(p.ours, &octet, 1), 1);
    part(&p);
}
END_TEST

/* ---- the pace ---- */

/* How many may be accepted, each with a handshake that takes so long (0: they keep silent). */
static int accepted(struct http_pace *p, int64_t now, int64_t us)
{
    int n = 0;
    for (; n < 1000 && http_pace_goes_on(p, now); n++) {
        http_pace_spent(p, HTTP_PACE_ACCEPT);
        http_pace_spent(p, us);
    }
    return n;
}

START_TEST(silent_ones)
{
    struct http_pace p;
    int64_t now = 1000000;
    http_pace_init(&p);
    ck_assert_int_eq(accepted(&p, now, 0), 100);
    ck_assert_int_eq(accepted(&p, now, 0), 0);
    ck_assert_int_eq(accepted(&p, now += 500, 0), 50);
    ck_assert_int_eq(accepted(&p, now += 3600000, 0), 100); /* nobody saves more */
}
END_TEST

/* An RSA key of 4096 bits, from the first one on: each takes 6 ms, so that 17 take the tenth of a
 * second. */
START_TEST(dear_ones)
{
    struct http_pace p;
    int64_t now = 1000000;
    int total = 0;
    http_pace_init(&p);
    for (int second = 0; second < 100; second++) {
        int n = accepted(&p, now += 1000, 5000);
        ck_assert_int_le(n, 17);
        total += n;
    }
    ck_assert_int_ge(total, 1666);
    ck_assert_int_le(total, 1667);
}
END_TEST

/* All that are here speak at once: what they may take is the same. */
START_TEST(silent_ones_that_speak)
{
    struct http_pace p;
    int64_t now = 1000000;
    int spoke = 0, n;
    http_pace_init(&p);
    ck_assert_int_eq(accepted(&p, now, 0), 100);
    for (int second = 1; second <= 2; second++) {
        for (n = 0, now += 1000; http_pace_goes_on(&p, now); n++)
            http_pace_spent(&p, 5000);
        ck_assert_int_eq(n, 20);
        spoke += n;
    }
    ck_assert_int_eq(spoke, 40);
}
END_TEST

/* Whatever one took, somebody is let in after a while. */
START_TEST(endless_one)
{
    struct http_pace p;
    http_pace_init(&p);
    ck_assert(http_pace_goes_on(&p, 1000));
    for (int i = 0; i < 10; i++)
        http_pace_spent(&p, 10000000);
    http_pace_spent(&p, INT64_MAX);
    ck_assert(!http_pace_goes_on(&p, 2000));
    ck_assert(http_pace_goes_on(&p, 13000));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/http_tls");
    TCase *c = tcase_create("tls");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, groups);
    tcase_add_test(c, curves_of_clients);
    tcase_add_test(c, chains);
    tcase_add_test(c, measured);
    tcase_add_test(c, key_updates);
    tcase_add_test(c, silent_ones);
    tcase_add_test(c, dear_ones);
    tcase_add_test(c, silent_ones_that_speak);
    tcase_add_test(c, endless_one);
    suite_add_tcase(s, c);
    return check_main(s);
}
