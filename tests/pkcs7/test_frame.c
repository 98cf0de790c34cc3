#include <openssl/asn1.h>
#include <openssl/err.h>

#include "check_main.h"
#include "frame.h"

#define FRAME(s, max, encoding, err) \
    frame_check(view_of(s, sizeof(s) - 1), max, encoding, REASON_CSR_MALFORMED, err)

static enum reason reason_of(const char *bytes, size_t n, enum frame_encoding encoding)
{
    struct err err = {0};
    if (frame_check(view_of(bytes, n), 1000, encoding, REASON_CSR_MALFORMED, &err))
        return REASON_NONE;
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return err.reason;
}

#define REASON_OF(s, encoding) reason_of(s, sizeof(s) - 1, encoding)

START_TEST(whole_values)
{
    static const char nested[] = "\x30\x0b\x02\x01\x05\xa0\x03\x04\x01\x41\x30\x01\x01";
    ck_assert_int_eq(REASON_OF("\x30\x00", FRAME_DER), REASON_NONE);
    ck_assert_int_eq(REASON_OF("\x30\x08\x02\x01\x05\xa0\x03\x04\x01\x41", FRAME_DER), REASON_NONE);
    ck_assert_int_eq(REASON_OF("\x30\x08\x02\x01\x05\xa0\x03\x04\x01\x41", FRAME_BER), REASON_NONE);
    /* the inner SEQUENCE holds a header without a length */
    ck_assert_int_eq(REASON_OF(nested, FRAME_DER), REASON_CSR_MALFORMED);
}
END_TEST

START_TEST(cut_or_with_a_tail)
{
    ck_assert_int_eq(REASON_OF("", FRAME_DER), REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30", FRAME_DER), REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x82\x01", FRAME_DER), REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x03\x02\x01", FRAME_DER), REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x84\xff\xff\xff\xff\x02", FRAME_DER),
                     REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x03\x02\x01\x05\x00", FRAME_DER), REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x80\x02\x01\x05", FRAME_BER), REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x80\x30\x80\x02\x05\x05", FRAME_BER),
                     REASON_MESSAGE_TRUNCATED);
    ck_assert_int_eq(REASON_OF("\x30\x80\x02\x01\x05\x00\x00\x00", FRAME_BER),
                     REASON_MESSAGE_TRUNCATED);
}
END_TEST

START_TEST(lengths_inside_their_parents)
{
    ck_assert_int_eq(REASON_OF("\x30\x03\x02\x02\x05", FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x05\x30\x03\x02\x02\x05", FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x04\x30\x80\x05\x00", FRAME_BER), REASON_CSR_MALFORMED);
    /* an indefinite one inside a definite one ends with its parent, not with the input */
    ck_assert_int_eq(REASON_OF("\x30\x80\x30\x04\x30\x80\x05\x00\x00\x00", FRAME_BER),
                     REASON_CSR_MALFORMED);
}
END_TEST

START_TEST(ber_only_where_allowed)
{
    static const char indefinite[] = "\x30\x80\x02\x01\x05\x00\x00";
    static const char tagged[] = "\x30\x07\xa0\x80\x02\x01\x05\x00\x00";
    static const char string[] = "\x30\x07\x24\x05\x04\x03\x41\x42\x43";
    static const char long_length[] = "\x30\x81\x03\x02\x01\x05";
    static const char long_tag[] = "\x30\x04\x1f\x02\x01\x05";
    ck_assert_int_eq(REASON_OF(indefinite, FRAME_BER), REASON_NONE);
    ck_assert_int_eq(REASON_OF(tagged, FRAME_BER), REASON_NONE);
    ck_assert_int_eq(REASON_OF(string, FRAME_BER), REASON_NONE);
    ck_assert_int_eq(REASON_OF(long_length, FRAME_BER), REASON_NONE);
    ck_assert_int_eq(REASON_OF(indefinite, FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF(tagged, FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF(string, FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF(long_length, FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF(long_tag, FRAME_DER), REASON_CSR_MALFORMED);
}
END_TEST

START_TEST(forms_that_are_never_right)
{
    ck_assert_int_eq(REASON_OF("\x31\x00", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("GET / HTTP/1.1", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x02\x10\x00", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x02\x00\x00", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x80\x00\x01\x00\x00\x00", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x04\x02\x80\x00\x00", FRAME_BER), REASON_CSR_MALFORMED);
}
END_TEST

/* X.690 sections 8.2 to 8.8 and 8.19: numbers and names have no pieces, in BER neither.  Templates that keep an INTEGER's
 * octets would join them. */
START_TEST(only_strings_have_pieces)
{
    ck_assert_int_eq(REASON_OF("\x30\x05\x22\x03\x02\x01\x05", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x80\x22\x80\x02\x01\x05\x00\x00\x00\x00", FRAME_BER),
                     REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x05\x21\x03\x01\x01\xff", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x02\x25\x00", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x05\x26\x03\x06\x01\x55", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x05\x2a\x03\x0a\x01\x05", FRAME_BER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(REASON_OF("\x30\x05\x2c\x03\x0c\x01\x61", FRAME_BER), REASON_NONE);
    ck_assert_int_eq(REASON_OF("\x30\x05\x23\x03\x03\x01\x00", FRAME_BER), REASON_NONE);
}
END_TEST

/* RFC 8894 section 7.1 */
START_TEST(size_limit)
{
    struct err err = {0};
    ck_assert(FRAME("\x30\x03\x02\x01\x05", 5, FRAME_DER, &err));
    ck_assert(!FRAME("\x30\x03\x02\x01\x05", 4, FRAME_DER, &err));
    ck_assert_int_eq(err.reason, REASON_CSR_MALFORMED);
    ck_assert_str_eq(err.text, "5 octets, more than the 4 allowed");
}
END_TEST

/* n SEQUENCEs inside each other. */
static enum reason nested(size_t n, enum frame_encoding encoding)
{
    char bytes[400];
    size_t used = 0;
    if (encoding == FRAME_DER) {
        for (size_t i = 0; i < n; i++) {
            bytes[used++] = 0x30;
            bytes[used++] = (char)(2 * (n - 1 - i));
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            bytes[used++] = 0x30;
            bytes[used++] = (char)0x80;
        }
        memset(bytes + used, 0, 2 * n);
        used += 2 * n;
    }
    return reason_of(bytes, used, encoding);
}

START_TEST(depth_limit)
{
    ck_assert_int_eq(nested(31, FRAME_DER), REASON_NONE);
    ck_assert_int_eq(nested(31, FRAME_BER), REASON_NONE);
    ck_assert_int_eq(nested(60, FRAME_DER), REASON_CSR_MALFORMED);
    ck_assert_int_eq(nested(60, FRAME_BER), REASON_CSR_MALFORMED);
}
END_TEST

START_TEST(decode_takes_every_octet)
{
    struct err err = {0};
    ASN1_VALUE *v = frame_decode(view_of("\x02\x01\x05", 3), ASN1_ITEM_rptr(ASN1_INTEGER),
                                 REASON_CSR_MALFORMED, "the number", &err);
    ck_assert_ptr_nonnull(v);
    ASN1_item_free(v, ASN1_ITEM_rptr(ASN1_INTEGER));
    ck_assert_ptr_null(frame_decode(view_of("\x02\x01\x05\x00", 4), ASN1_ITEM_rptr(ASN1_INTEGER),
                                    REASON_CSR_MALFORMED, "the number", &err));
    ck_assert_str_eq(err.text, "the number has 1 octets after its end");
    ck_assert_ptr_null(frame_decode(view_of("\x04\x01\x05", 3), ASN1_ITEM_rptr(ASN1_INTEGER),
                                    REASON_KEY_TYPE, "the number", &err));
    ck_assert_int_eq(err.reason, REASON_KEY_TYPE);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

START_TEST(locate)
{
    struct view whole = view_str("aXYbXY"), rest = whole;
    struct view first = frame_locate(&rest, view_str("XY"));
    ck_assert_ptr_eq(first.p, whole.p + 1);
    struct view second = frame_locate(&rest, view_str("XY"));
    ck_assert_ptr_eq(second.p, whole.p + 4);
    ck_assert_uint_eq(rest.n, 0);
    ck_assert_uint_eq(frame_locate(&rest, view_str("X")).n, 0);
    rest = whole;
    ck_assert_uint_eq(frame_locate(&rest, view_of(NULL, 0)).n, 0);
    ck_assert_uint_eq(rest.n, whole.n);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/frame");
    TCase *c = tcase_create("frame");
    tcase_add_test(c, whole_values);
    tcase_add_test(c, cut_or_with_a_tail);
    tcase_add_test(c, lengths_inside_their_parents);
    tcase_add_test(c, ber_only_where_allowed);
    tcase_add_test(c, forms_that_are_never_right);
    tcase_add_test(c, only_strings_have_pieces);
    tcase_add_test(c, size_limit);
    tcase_add_test(c, depth_limit);
    tcase_add_test(c, decode_takes_every_octet);
    tcase_add_test(c, locate);
    suite_add_tcase(s, c);
    return check_main(s);
}
