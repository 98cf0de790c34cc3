/* OpenSSL's encoders are the oracle. */
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "check_main.h"
#include "pkcs7/der.h"

/* Compares what was written with the expected octets and clears w. */
static void expect(struct der *w, const void *bytes, size_t n)
{
    struct err err = {0};
    struct buf out = {0};
    ck_assert_msg(der_take(w, &out, &err), "%s", err.text);
    ck_assert_uint_eq(out.n, n);
    if (n)
        ck_assert_mem_eq(out.p, bytes, n);
    buf_clear(&out);
}

static void expect_oracle(struct der *w, unsigned char *bytes, int n)
{
    ck_assert_int_gt(n, 0);
    expect(w, bytes, (size_t)n);
    OPENSSL_free(bytes);
}

START_TEST(children_first_last_child_first)
{
    struct der w;
    der_init(&w, 0);
    size_t mark = der_mark(&w);
    der_tlv(&w, DER_OCTET_STRING, view_str("ab"));
    der_small(&w, 5);
    der_wrap(&w, DER_SEQUENCE, mark);
    expect(&w,
           "\x30\x07\x02\x01\x05\x04\x02"
           "ab",
           9);
}
END_TEST

START_TEST(zero_state_works_and_clears)
{
    struct der w = {0};
    ck_assert_uint_eq(der_content(&w).n, 0);
    der_tlv(&w, DER_NULL, view_of(NULL, 0));
    expect(&w, "\x05\x00", 2);
    der_clear(&w);
    der_clear(&w);
    expect(&w, NULL, 0);
}
END_TEST

START_TEST(lengths_grow_as_openssl_writes_them)
{
    static const int lengths[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 100000};
    static unsigned char bytes[100000];
    memset(bytes, 0x5a, sizeof bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
        ASN1_OCTET_STRING_set(s, bytes, lengths[i]);
        unsigned char *der = NULL;
        int n = i2d_ASN1_OCTET_STRING(s, &der);
        struct der w;
        der_init(&w, 8);
        der_tlv(&w, DER_OCTET_STRING, view_of(bytes, (size_t)lengths[i]));
        expect_oracle(&w, der, n);
        ASN1_OCTET_STRING_free(s);
    }
}
END_TEST

START_TEST(integers)
{
    static const uint64_t values[] = {0, 1, 127, 128, 255, 256, 32767, 32768, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        ASN1_INTEGER *a = ASN1_INTEGER_new();
        ck_assert_int_eq(ASN1_INTEGER_set_uint64(a, values[i]), 1);
        unsigned char *der = NULL;
        int n = i2d_ASN1_INTEGER(a, &der);
        struct der w = {0};
        der_small(&w, values[i]);
        expect_oracle(&w, der, n);
        ASN1_INTEGER_free(a);
    }
    struct der w = {0};
    der_uint(&w, view_of("\x00\x00\x80\x01", 4));
    expect(&w, "\x02\x03\x00\x80\x01", 5);
    der_uint(&w, view_of(NULL, 0));
    expect(&w, "\x02\x01\x00", 3);
}
END_TEST

START_TEST(object_identifiers)
{
    static const char *const dotted[] = {"2.5.4.3", "1.2.840.113549.1.9.14",
                                         "1.3.6.1.4.1.311.21.20", "2.999.1234567890.1"};
    for (size_t i = 0; i < sizeof dotted / sizeof *dotted; i++) {
        ASN1_OBJECT *o = OBJ_txt2obj(dotted[i], 1);
        unsigned char *der = NULL;
        int n = i2d_ASN1_OBJECT(o, &der);
        struct der w = {0};
        der_oid_text(&w, dotted[i]);
        expect_oracle(&w, der, n);
        ASN1_OBJECT_free(o);
    }
    struct der w = {0};
    der_oid_nid(&w, NID_commonName);
    expect(&w, "\x06\x03\x55\x04\x03", 5);
}
END_TEST

START_TEST(times_change_form_in_2050)
{
    static const int64_t times[] = {0,          1795000000,   2524607999,
                                    2524608000, 253402300799, -631152000};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)times[i]); /* the same rule: RFC 5280 4.1.2.5 */
        unsigned char *der = NULL;
        int n = i2d_ASN1_TIME(t, &der);
        struct der w = {0};
        der_time(&w, times[i]);
        expect_oracle(&w, der, n);
        ASN1_TIME_free(t);
    }
    struct der w = {0};
    der_time(&w, 2524607999);
    expect(&w,
           "\x17\x0d"
           "491231235959Z",
           15);
    der_time(&w, 2524608000);
    expect(&w,
           "\x18\x0f"
           "20500101000000Z",
           17);
}
END_TEST

START_TEST(bits_and_booleans)
{
    struct der w = {0};
    der_bits(&w, view_str("ab"));
    expect(&w,
           "\x03\x03\x00"
           "ab",
           5);
    der_bool(&w, true);
    expect(&w, "\x01\x01\xff", 3);
    der_bool(&w, false);
    expect(&w, "\x01\x01\x00", 3);
}
END_TEST

START_TEST(named_bits_are_trimmed)
{
    static const uint32_t sets[] = {0,     1,       1u << 2, 5, 1u << 7, 1u << 8, (1u << 8) | 1,
                                    0x1ff, 1u << 31};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        ASN1_BIT_STRING *b = ASN1_BIT_STRING_new();
        for (int bit = 0; bit < 32; bit++)
            if (sets[i] & (1u << bit))
                ASN1_BIT_STRING_set_bit(b, bit, 1);
        unsigned char *der = NULL;
        int n = i2d_ASN1_BIT_STRING(b, &der);
        struct der w = {0};
        der_named_bits(&w, sets[i]);
        expect_oracle(&w, der, n);
        ASN1_BIT_STRING_free(b);
    }
}
END_TEST

START_TEST(set_of_is_sorted)
{
    struct der w = {0};
    der_tlv(&w, DER_OCTET_STRING, view_str("before"));
    size_t mark = der_mark(&w);
    der_tlv(&w, DER_OCTET_STRING, view_str("b"));
    der_tlv(&w, DER_OCTET_STRING, view_str("aa"));
    der_small(&w, 7);
    der_tlv(&w, DER_OCTET_STRING, view_str("a"));
    der_wrap_set_of(&w, mark);
    expect(&w,
           "\x31\x0d\x02\x01\x07\x04\x01"
           "a\x04\x01"
           "b\x04\x02"
           "aa\x04\x06"
           "before",
           23);
    der_wrap_set_of(&w, der_mark(&w));
    expect(&w, "\x31\x00", 2);
}
END_TEST

static void expect_failure(struct der *w)
{
    struct err err = {0};
    struct buf out = {0};
    der_small(w, 1); /* the failure sticks */
    ck_assert(!der_take(w, &out, &err));
    ck_assert_int_eq(err.kind, ERR_MEMORY);
    ck_assert_ptr_null(out.p);
    ck_assert_ptr_null(w->start);
}

START_TEST(failures_stick)
{
    struct der w = {0};
    static const uint8_t some[1];
    der_raw(&w, view_of(some, (size_t)DER_MAX + 1));
    expect_failure(&w);
    der_oid_text(&w, "not an oid");
    expect_failure(&w);
    der_oid_text(&w, "");
    expect_failure(&w);
    der_oid_nid(&w, NID_undef);
    expect_failure(&w);
    der_time(&w, 253402300800); /* the year 10000 */
    expect_failure(&w);
    size_t mark = der_mark(&w);
    der_raw(&w, view_str("\x30\x7f not a TLV"));
    der_wrap_set_of(&w, mark);
    expect_failure(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/der");
    TCase *c = tcase_create("der");
    tcase_add_test(c, children_first_last_child_first);
    tcase_add_test(c, zero_state_works_and_clears);
    tcase_add_test(c, lengths_grow_as_openssl_writes_them);
    tcase_add_test(c, integers);
    tcase_add_test(c, object_identifiers);
    tcase_add_test(c, times_change_form_in_2050);
    tcase_add_test(c, bits_and_booleans);
    tcase_add_test(c, named_bits_are_trimmed);
    tcase_add_test(c, set_of_is_sorted);
    tcase_add_test(c, failures_stick);
    suite_add_tcase(s, c);
    return check_main(s);
}
