/* What the probe sees of an answer: the right one first, then one oddity per case. */
#include <openssl/err.h>

#include "check_main.h"
#include "forge.h"
#include "pkcs7/inspect.h"
#include "test_keys.h"

static struct test_keys keys; /* 0 signs, 1 is somebody else */
static struct forge f;
static struct buf content, message;
static struct inspected_signed seen;
static struct inspected_envelope envelope;
static struct err why;

static void setup_keys(void)
{
    EVP_PKEY *ra = test_rsa_key(2048), *other = test_rsa_key(2048);
    test_keys_add(&keys, ra, test_cert(ra, "registration"));
    test_keys_add(&keys, other, test_cert(other, "somebody else"));
}

static void teardown_keys(void)
{
    test_keys_clear(&keys);
}

static void setup(void)
{
    why = (struct err){0};
    ck_assert(buf_append_str(&content, "enveloped"));
    forge_init(&f, keys.key[0], keys.cert[0], buf_view(&content));
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str("3");
    forge_attr_add(&f, OID_PKI_STATUS, DER_PRINTABLE_STRING, view_str("2"));
    forge_attr_add(&f, OID_FAIL_INFO, DER_PRINTABLE_STRING, view_str("4"));
    forge_attr_add(&f, OID_RECIPIENT_NONCE, DER_OCTET_STRING, view_str("sixteen octets!!"));
}

static void teardown(void)
{
    inspected_signed_clear(&seen);
    buf_clear(&content);
    buf_clear(&message);
}

static void look(void)
{
    message = forge_build(&f);
    ck_assert_msg(inspect_signed(buf_view(&message), keys.parsed, 2, &seen, &why), "%s", why.text);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static void expect_text(enum scep_attribute a, const char *text)
{
    ck_assert_uint_eq(seen.attribute[a].times, 1);
    ck_assert_int_eq(seen.attribute[a].values, 1);
    ck_assert_int_eq(seen.attribute[a].tag, V_ASN1_PRINTABLESTRING);
    ck_assert_str_eq((const char *)seen.attribute[a].value, text);
}

START_TEST(good)
{
    look();
    ck_assert(seen.der && seen.has_content && seen.content_is_data);
    ck_assert(view_eq(buf_view(&seen.content), buf_view(&content)));
    ck_assert_int_eq(seen.certificates, 1);
    ck_assert_int_eq(seen.signers, 1);
    ck_assert_str_eq(seen.digest, "SHA256");
    ck_assert_str_eq(seen.signature, "rsaEncryption");
    expect_text(ATTR_MESSAGE_TYPE, "3");
    expect_text(ATTR_PKI_STATUS, "2");
    expect_text(ATTR_FAIL_INFO, "4");
    ck_assert_int_eq(seen.attribute[ATTR_RECIPIENT_NONCE].tag, V_ASN1_OCTET_STRING);
    ck_assert_uint_eq(seen.attribute[ATTR_FAIL_TEXT].times, 0);
    ck_assert(seen.signer_included && seen.verified);
    ck_assert_int_eq(seen.candidate, 0);
    ck_assert_str_eq(seen.not_verified, "");
}
END_TEST

START_TEST(in_ber)
{
    look();
    inspected_signed_clear(&seen);
    struct buf ber = forge_ber(buf_view(&message));
    ck_assert(inspect_signed(buf_view(&ber), keys.parsed, 2, &seen, &why));
    ck_assert(!seen.der && seen.verified);
    ck_assert_str_eq(seen.not_der, "indefinite length (BER) at octet 0");
    buf_clear(&ber);
}
END_TEST

START_TEST(absent_content)
{
    f.no_content = true;
    look();
    ck_assert(!seen.has_content);
    ck_assert_uint_eq(seen.content.n, 0);
}
END_TEST

START_TEST(signer_left_out)
{
    f.no_certs = true;
    look();
    ck_assert(!seen.signer_included && seen.verified);
    ck_assert_int_eq(seen.candidate, 0);
    inspected_signed_clear(&seen);
    ck_assert(inspect_signed(buf_view(&message), keys.parsed + 1, 1, &seen, &why));
    ck_assert(!seen.verified && !seen.signer);
    ck_assert_int_eq(seen.candidate, -1);
    ck_assert_str_eq(seen.not_verified, "the certificate of its signer is unknown");
}
END_TEST

START_TEST(signed_by_a_stranger)
{
    look();
    inspected_signed_clear(&seen);
    ck_assert(inspect_signed(buf_view(&message), keys.parsed + 1, 1, &seen, &why));
    ck_assert(seen.verified && seen.signer_included);
    ck_assert_int_eq(seen.candidate, -1);
}
END_TEST

START_TEST(wrong_signature)
{
    f.bad_signature = true;
    look();
    ck_assert(!seen.verified);
    ck_assert_str_ne(seen.not_verified, "");
}
END_TEST

START_TEST(wrong_digest)
{
    f.bad_digest = true;
    look();
    ck_assert(!seen.verified);
    ck_assert_str_eq(seen.not_verified, "messageDigest is not that of the content");
}
END_TEST

START_TEST(no_attributes)
{
    f.no_attributes = true;
    look();
    ck_assert(!seen.verified);
    ck_assert_str_eq(seen.not_verified, "there are no signed attributes");
    ck_assert_uint_eq(seen.attribute[ATTR_MESSAGE_TYPE].times, 0);
}
END_TEST

START_TEST(signature_algorithm)
{
    f.signature_alg = sigalg_der((struct sigalg){.scheme = SIG_RSA_PKCS1, .digest = DIGEST_SHA256});
    look();
    ck_assert_str_eq(seen.signature, "RSA-SHA256");
    ck_assert(seen.verified);
}
END_TEST

START_TEST(other_string_type)
{
    forge_attr_find(&f, OID_TRANSACTION_ID)->tag = DER_UTF8_STRING;
    forge_attr_find(&f, OID_PKI_STATUS)->values = 2;
    look();
    ck_assert_int_eq(seen.attribute[ATTR_TRANSACTION_ID].tag, V_ASN1_UTF8STRING);
    ck_assert_int_eq(seen.attribute[ATTR_PKI_STATUS].values, 2);
}
END_TEST

START_TEST(long_value)
{
    static char text[2 * INSPECT_MAX_VALUE];
    memset(text, 'x', sizeof text);
    forge_attr_find(&f, OID_TRANSACTION_ID)->value = view_of(text, sizeof text);
    look();
    ck_assert(seen.attribute[ATTR_TRANSACTION_ID].cut);
    ck_assert_uint_eq(seen.attribute[ATTR_TRANSACTION_ID].n, INSPECT_MAX_VALUE);
}
END_TEST

START_TEST(certificates_only)
{
    struct view list[] = {buf_view(&keys.der[0]), buf_view(&keys.der[1])};
    ck_assert(scep_certs_build(list, 2, view_of(NULL, 0), &message, &why));
    ck_assert(inspect_signed(buf_view(&message), NULL, 0, &seen, &why));
    ck_assert(seen.der && !seen.has_content && !seen.verified);
    ck_assert_int_eq(seen.certificates, 2);
    ck_assert_int_eq(seen.signers, 0);
}
END_TEST

START_TEST(no_signed_data)
{
    ck_assert(!inspect_signed(buf_view(&keys.der[0]), NULL, 0, &seen, &why));
    ck_assert_int_eq(why.kind, ERR_REFUSED);
    ck_assert(!inspect_signed(view_str("<html>"), NULL, 0, &seen, &why));
    ck_assert(!inspect_signed(view_of(NULL, 0), NULL, 0, &seen, &why));
}
END_TEST

static void look_into(struct forge_envelope *e)
{
    message = forge_envelope_build(e);
    ck_assert_msg(inspect_envelope(buf_view(&message), &envelope, &why), "%s", why.text);
}

START_TEST(envelope_good)
{
    struct forge_envelope e;
    forge_envelope_init(&e, keys.cert[0], view_str("hello"));
    look_into(&e);
    ck_assert(envelope.der && !envelope.in_pieces && !envelope.by_key_identifier);
    ck_assert_str_eq(envelope.cipher, "AES-128-CBC");
    ck_assert_str_eq(envelope.key_transport, "rsaEncryption");
    ck_assert_int_eq(envelope.recipients, 1);
}
END_TEST

START_TEST(envelope_in_pieces)
{
    struct forge_envelope e;
    forge_envelope_init(&e, keys.cert[0], view_str("hello"));
    e.pieces = true;
    e.by_ski = true;
    e.cipher_oid = "1.3.14.3.2.7";
    look_into(&e);
    ck_assert(envelope.in_pieces && envelope.by_key_identifier);
    ck_assert_str_eq(envelope.cipher, "DES-CBC");
}
END_TEST

START_TEST(envelope_for_others)
{
    struct forge_envelope e;
    forge_envelope_init(&e, keys.cert[0], view_str("hello"));
    e.other_kinds = true;
    look_into(&e);
    ck_assert_int_gt(envelope.recipients, 1);
    ck_assert(!inspect_envelope(view_of(message.p, message.n - 1), &envelope, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_TRUNCATED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/inspect");
    TCase *c = tcase_create("inspect");
    tcase_add_unchecked_fixture(c, setup_keys, teardown_keys);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, good);
    tcase_add_test(c, in_ber);
    tcase_add_test(c, absent_content);
    tcase_add_test(c, signer_left_out);
    tcase_add_test(c, signed_by_a_stranger);
    tcase_add_test(c, wrong_signature);
    tcase_add_test(c, wrong_digest);
    tcase_add_test(c, no_attributes);
    tcase_add_test(c, signature_algorithm);
    tcase_add_test(c, other_string_type);
    tcase_add_test(c, long_value);
    tcase_add_test(c, certificates_only);
    tcase_add_test(c, no_signed_data);
    tcase_add_test(c, envelope_good);
    tcase_add_test(c, envelope_in_pieces);
    tcase_add_test(c, envelope_for_others);
    suite_add_tcase(s, c);
    return check_main(s);
}
