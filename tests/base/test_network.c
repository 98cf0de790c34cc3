#include "check_main.h"
#include "base/network.h"

START_TEST(an_address_is_itself)
{
    ck_assert(network_has("127.0.0.1", "127.0.0.1"));
    ck_assert(!network_has("127.0.0.1", "127.0.0.2"));
    ck_assert(network_has("::1", "::1"));
    ck_assert(!network_has("::1", "127.0.0.1"));
}
END_TEST

START_TEST(prefixes_of_any_length)
{
    ck_assert(network_has("10.0.0.0/8", "10.255.1.2"));
    ck_assert(!network_has("10.0.0.0/8", "11.0.0.0"));
    ck_assert(network_has("10.1.2.128/25", "10.1.2.200"));
    ck_assert(!network_has("10.1.2.128/25", "10.1.2.127"));
    ck_assert(network_has("10.1.2.3/31", "10.1.2.2")); /* bits beyond the prefix do not matter */
    ck_assert(network_has("0.0.0.0/0", "203.0.113.9"));
    ck_assert(network_has("::/0", "2001:db8::1"));
    ck_assert(!network_has("0.0.0.0/0", "2001:db8::1"));
    ck_assert(network_has("fe80::/10", "fe80::1%eth0"));
    ck_assert(!network_has("fe80::/10", "fec0::1"));
}
END_TEST

START_TEST(what_is_none)
{
    static const char *const bad[] = {"",          "localhost",  "10.0.0.0/33", "10.0.0.0/",
                                      "10.0.0/8",  "::1/129",    "10.0.0.0/-1", "10.0.0.0/8 ",
                                      "1.2.3.4.5", "10.0.0.0/8x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!network_valid(bad[i]), "%s", bad[i]);
        ck_assert(!network_has(bad[i], "10.0.0.1"));
    }
    ck_assert(!network_has("0.0.0.0/0", ""));
    ck_assert(!network_has("0.0.0.0/0", "10.0.0.0/8"));
    ck_assert(network_valid("10.0.0.0/8"));
    ck_assert(network_valid("::1"));
}
END_TEST

START_TEST(loopback)
{
    ck_assert(network_is_loopback("127.0.0.1"));
    ck_assert(network_is_loopback("127.9.9.9"));
    ck_assert(network_is_loopback("::1"));
    ck_assert(!network_is_loopback("0.0.0.0"));
    ck_assert(!network_is_loopback("*"));
    ck_assert(!network_is_loopback("::"));
}
END_TEST

static bool same_group(const char *a, const char *b)
{
    uint8_t one[NETWORK_GROUP], other[NETWORK_GROUP];
    network_group(a, one);
    network_group(b, other);
    return memcmp(one, other, sizeof one) == 0;
}

START_TEST(who_belongs_together)
{
    ck_assert(same_group("192.0.2.1", "192.0.2.1"));
    ck_assert(!same_group("192.0.2.1", "192.0.2.2"));
    ck_assert(same_group("2001:db8::1", "2001:db8::ffff:1:2:3"));
    ck_assert(same_group("fe80::1%eth0", "fe80::2"));
    ck_assert(!same_group("2001:db8::1", "2001:db8:0:1::1"));
    ck_assert(!same_group("2001:db8::", "32.1.13.184")); /* the same first octets */
    ck_assert(same_group("", "no address"));
    ck_assert(!same_group("", "0.0.0.0"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/network");
    TCase *c = tcase_create("network");
    tcase_add_test(c, an_address_is_itself);
    tcase_add_test(c, prefixes_of_any_length);
    tcase_add_test(c, what_is_none);
    tcase_add_test(c, loopback);
    tcase_add_test(c, who_belongs_together);
    suite_add_tcase(s, c);
    return check_main(s);
}
