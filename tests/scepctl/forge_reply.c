/* forge_reply KEY CERT FAULT: reads a pkiMessage, writes a CertRep FAILURE to it that is wrong in
 * exactly one place (or in none).  The bad servers of test_probe.py answer with it. */
#include <check.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "forge.h"
#include "test_keys.h"

static struct buf in;
static struct forge f;
static EVP_PKEY *key;
static X509 *cert;

static bool read_all(void)
{
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        if (!buf_append(&in, chunk, n))
            return false;
    return true;
}

static bool load(const char *key_path, const char *cert_path)
{
    FILE *k = fopen(key_path, "r"), *c = fopen(cert_path, "r");
    key = k ? PEM_read_PrivateKey(k, NULL, NULL, NULL) : NULL;
    cert = c ? PEM_read_X509(c, NULL, NULL, NULL) : NULL;
    if (k)
        fclose(k);
    if (c)
        fclose(c);
    return key && cert;
}

/* ---- faults of attributes ---- */

static void other_transaction(void)
{
    forge_attr_find(&f, OID_TRANSACTION_ID)->value = view_str("something else");
}

static void utf8_transaction(void)
{
    forge_attr_find(&f, OID_TRANSACTION_ID)->tag = DER_UTF8_STRING;
}

static void two_statuses(void)
{
    forge_attr_find(&f, OID_PKI_STATUS)->values = 2;
}

static void no_sender_nonce(void)
{
    forge_attr_drop(&f, OID_SENDER_NONCE);
}

static void short_sender_nonce(void)
{
    forge_attr_find(&f, OID_SENDER_NONCE)->value = view_str("8 octets");
}

static void no_recipient_nonce(void)
{
    forge_attr_drop(&f, OID_RECIPIENT_NONCE);
}

static void other_recipient_nonce(void)
{
    forge_attr_find(&f, OID_RECIPIENT_NONCE)->value = view_str("somebody else's.");
}

static void no_fail_info(void)
{
    forge_attr_drop(&f, OID_FAIL_INFO);
}

static void unknown_fail_info(void)
{
    forge_attr_find(&f, OID_FAIL_INFO)->value = view_str("7");
}

static void unknown_status(void)
{
    forge_attr_find(&f, OID_PKI_STATUS)->value = view_str("1");
}

static void no_reply(void)
{
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str("19");
}

/* ---- faults of the message around them ---- */

static void absent_content(void)
{
    f.no_content = true;
}

static void filled_content(void)
{
    f.content = view_of("\x00", 1);
}

static void signature_names_digest(void)
{
    f.signature_alg = sigalg_der((struct sigalg){.scheme = SIG_RSA_PKCS1, .digest = DIGEST_SHA256});
}

static void no_certificates(void)
{
    f.no_certs = true;
}

static void bad_signature(void)
{
    f.bad_signature = true;
}

static void bad_digest(void)
{
    f.bad_digest = true;
}

static void sha1(void)
{
    f.md = EVP_sha1();
}

static void md5(void)
{
    f.md = EVP_md5();
}

static void stranger(void)
{
    EVP_PKEY_free(key);
    X509_free(cert);
    f.key = key = test_rsa_key(2048);
    f.cert = cert = test_cert(key, "stranger");
}

static void none(void)
{
}

static const struct {
    const char *name;
    void (*apply)(void);
} faults[] = {
    {"none", none},
    {"ber", none},
    {"other-transaction", other_transaction},
    {"utf8-transaction", utf8_transaction},
    {"two-statuses", two_statuses},
    {"no-sender-nonce", no_sender_nonce},
    {"short-sender-nonce", short_sender_nonce},
    {"no-recipient-nonce", no_recipient_nonce},
    {"other-recipient-nonce", other_recipient_nonce},
    {"no-fail-info", no_fail_info},
    {"unknown-fail-info", unknown_fail_info},
    {"unknown-status", unknown_status},
    {"no-reply", no_reply},
    {"absent-content", absent_content},
    {"filled-content", filled_content},
    {"signature-names-digest", signature_names_digest},
    {"no-certificates", no_certificates},
    {"bad-signature", bad_signature},
    {"bad-digest", bad_digest},
    {"sha1", sha1},
    {"md5", md5},
    {"stranger", stranger},
};

static bool apply(const char *name)
{
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (strcmp(faults[i].name, name) == 0) {
            faults[i].apply();
            return true;
        }
    return false;
}

static char **argument;

/* Within a test, since the forge asserts. */
START_TEST(answer)
{
    struct scep_message *m = NULL;
    struct err err = {0};
    ck_assert(read_all() && load(argument[1], argument[2]));
    ck_assert_msg(scep_parse(buf_view(&in), ~0u, &m, &err), "%s", err.text);
    forge_init(&f, key, cert, view_of("", 0));
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str("3");
    forge_attr_find(&f, OID_TRANSACTION_ID)->value = view_str(m->transaction_id);
    forge_attr_add(&f, OID_PKI_STATUS, DER_PRINTABLE_STRING, view_str("2"));
    forge_attr_add(&f, OID_FAIL_INFO, DER_PRINTABLE_STRING, view_str("4"));
    forge_attr_add(&f, OID_RECIPIENT_NONCE, DER_OCTET_STRING,
                   view_of(m->sender_nonce, m->sender_nonce_len));
    ck_assert_msg(apply(argument[3]), "no fault has the name %s", argument[3]);
    struct buf der = forge_build(&f), ber = forge_ber(buf_view(&der));
    struct view out = strcmp(argument[3], "ber") == 0 ? buf_view(&ber) : buf_view(&der);
    ck_assert(fwrite(out.p, 1, out.n, stdout) == out.n);
    buf_clear(&der);
    buf_clear(&ber);
    buf_clear(&in);
    scep_message_free(m);
    EVP_PKEY_free(key);
    X509_free(cert);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    argument = argv;
    Suite *s = suite_create("forge_reply");
    TCase *c = tcase_create("answer");
    SRunner *r = srunner_create(s);
    tcase_add_test(c, answer);
    suite_add_tcase(s, c);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_SILENT);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
