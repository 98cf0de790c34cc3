#include "base/buf.h"
#include "base/hex.h"
#include "check_main.h"

START_TEST(hex)
{
    char text[9];
    hex_encode(view_of("\x00\x1f\xff\xa5", 4), text);
    ck_assert_str_eq(text, "001fffa5");
    uint8_t out[4];
    ck_assert_int_eq(hex_decode("00:1F:ff:A5", out, 4), 4);
    ck_assert_mem_eq(out, "\x00\x1f\xff\xa5", 4);
    ck_assert_int_eq(hex_decode("0", out, 4), -1);
    ck_assert_int_eq(hex_decode("0g", out, 4), -1);
    ck_assert_int_eq(hex_decode("0011223344", out, 4), -1);
    ck_assert_int_eq(hex_decode("", out, 4), 0);
}
END_TEST

START_TEST(buffer)
{
    struct buf b = {0};
    ck_assert(buf_append_str(&b, "abc"));
    ck_assert(buf_printf(&b, "-%d", 42));
    ck_assert(view_eq(buf_view(&b), view_str("abc-42")));
    ck_assert(!buf_reserve(&b, SIZE_MAX));
    ck_assert(view_eq(buf_view(&b), view_str("abc-42")));
    buf_wipe(&b);
    ck_assert_uint_eq(b.cap, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/hex");
    TCase *c = tcase_create("hex");
    tcase_add_test(c, hex);
    tcase_add_test(c, buffer);
    suite_add_tcase(s, c);
    return check_main(s);
}
