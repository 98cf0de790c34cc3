#include "check_main.h"
#include "pkcs7/tlv.h"

#define LIT(s) view_of(s, sizeof(s) - 1)

START_TEST(one_after_the_other)
{
    struct view rest = LIT("\x30\x03\x02\x01\x05\x04\x00");
    struct tlv t, inner;
    ck_assert(tlv_ahead(rest, DER_SEQUENCE) && !tlv_ahead(rest, DER_SET));
    ck_assert(tlv_next_is(&rest, DER_SEQUENCE, &t));
    ck_assert_uint_eq(t.whole.n, 5);
    ck_assert_uint_eq(t.content.n, 3);
    ck_assert(tlv_next(&t.content, &inner) && inner.tag == DER_INTEGER && t.content.n == 0);
    ck_assert_uint_eq(inner.content.p[0], 5);
    ck_assert(tlv_next_is(&rest, DER_OCTET_STRING, &t) && t.content.n == 0 && rest.n == 0);
    ck_assert(!tlv_next(&rest, &t) && !tlv_ahead(rest, DER_NULL));
}
END_TEST

START_TEST(another_tag_takes_nothing)
{
    struct view rest = LIT("\x02\x01\x05");
    struct tlv t;
    ck_assert(!tlv_next_is(&rest, DER_SEQUENCE, &t));
    ck_assert_uint_eq(rest.n, 3);
}
END_TEST

START_TEST(malformed)
{
    static const struct {
        const char *p;
        size_t n;
    } cases[] = {
        {"\x30", 1},                     /* no length */
        {"\x30\x02\x00", 3},             /* too short */
        {"\x30\x80\x00\x00", 4},         /* indefinite */
        {"\x30\x82\x01", 3},             /* length cut off */
        {"\x30\x84\x7f\xff\xff\xff", 6}, /* far too long */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct view rest = view_of(cases[i].p, cases[i].n);
        struct tlv t;
        ck_assert_msg(!tlv_next(&rest, &t), "case %zu", i);
    }
}
END_TEST

START_TEST(times)
{
    static const struct {
        const char *der;
        size_t n;
        int64_t time; /* -1: none */
    } cases[] = {
        {"\x17\x0d"
         "700101000001Z",
         15, 1},
        {"\x18\x0f"
         "20500101000000Z",
         17, 2524608000},
        {"\x17\x0d"
         "701301000001Z",
         15, -1}, /* month 13 */
        {"\x17\x00", 2, -1},
        {"\x13\x0d"
         "700101000001Z",
         15, -1}, /* a PrintableString */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct view rest = view_of(cases[i].der, cases[i].n);
        struct tlv t;
        int64_t time = -1;
        ck_assert(tlv_next(&rest, &t));
        ck_assert_msg(tlv_time(&t, &time) == (cases[i].time >= 0), "case %zu", i);
        ck_assert_int_eq(time, cases[i].time);
    }
}
END_TEST

START_TEST(bits)
{
    struct view good = LIT("\x03\x02\x03\xa8"), empty = LIT("\x03\x00"),
                many = LIT("\x03\x02\x08\xa8");
    struct tlv t;
    struct view octets;
    unsigned unused;
    ck_assert(tlv_next(&good, &t) && tlv_bits(&t, &octets, &unused));
    ck_assert_uint_eq(unused, 3);
    ck_assert(view_eq(octets, LIT("\xa8")));
    ck_assert(tlv_next(&empty, &t) && !tlv_bits(&t, &octets, &unused));
    ck_assert(tlv_next(&many, &t) && !tlv_bits(&t, &octets, &unused));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/tlv");
    TCase *c = tcase_create("tlv");
    tcase_add_test(c, one_after_the_other);
    tcase_add_test(c, another_tag_takes_nothing);
    tcase_add_test(c, malformed);
    tcase_add_test(c, times);
    tcase_add_test(c, bits);
    suite_add_tcase(s, c);
    return check_main(s);
}
