/* The cache of signed answers, and what is read from the path of a GET. */
#include <stdio.h>
#include <stdlib.h>

#include "check_main.h"
#include "scepd/ocsp_http.h"

static struct ocsp_cache *cache;

static void setup(void)
{
    cache = ocsp_cache_new(100);
    ck_assert_ptr_nonnull(cache);
}

static void teardown(void)
{
    ocsp_cache_free(cache);
}

/* What a CertID looks like to the cache: octets, and where the serial lies in them. */
static struct ocsp_id *id(unsigned number)
{
    static uint8_t whole[64];
    static struct ocsp_id out;
    memset(whole, 0x5a, sizeof whole);
    whole[60] = (uint8_t)(number >> 24);
    whole[61] = (uint8_t)(number >> 16);
    whole[62] = (uint8_t)(number >> 8);
    whole[63] = (uint8_t)number;
    out = (struct ocsp_id){.whole = view_of(whole, sizeof whole), .serial = view_of(whole + 60, 4)};
    return &out;
}

static struct ocsp_kept *kept(const char *body)
{
    struct ocsp_answer a = {.this_update = 784111777, .next_update = 784115377};
    ck_assert(buf_append_str(&a.response, body));
    struct ocsp_kept *k = ocsp_kept_new(&a);
    ck_assert_ptr_nonnull(k);
    ck_assert_ptr_null(a.response.p); /* taken */
    return k;
}

START_TEST(what_is_placed_is_found)
{
    for (unsigned i = 0; i < 100; i++) {
        struct ocsp_entry *e = ocsp_cache_place(cache, id(i));
        ck_assert_ptr_nonnull(e);
        e->basis.generation = i;
    }
    ck_assert_uint_eq(ocsp_cache_count(cache), 100);
    for (unsigned i = 0; i < 100; i++) {
        struct ocsp_entry *e = ocsp_cache_find(cache, id(i));
        ck_assert_ptr_nonnull(e);
        ck_assert_uint_eq(e->basis.generation, i);
        struct view serial = ocsp_entry_serial(e);
        ck_assert_uint_eq(serial.n, 4);
        ck_assert_uint_eq(serial.p[3], i);
        ck_assert_ptr_eq(ocsp_cache_place(cache, id(i)), e); /* the same place */
    }
    ck_assert_ptr_null(ocsp_cache_find(cache, id(100)));
    ocsp_cache_drop(cache, ocsp_cache_find(cache, id(7)));
    ck_assert_ptr_null(ocsp_cache_find(cache, id(7)));
    ck_assert_uint_eq(ocsp_cache_count(cache), 99);
}
END_TEST

START_TEST(those_not_asked_for_leave_first)
{
    for (unsigned i = 0; i < 100; i++)
        ocsp_cache_place(cache, id(i))->asked = false;
    for (unsigned i = 100; i < 1000; i++) {
        for (unsigned k = 0; k < 10; k++) /* ten are asked for all the time */
            ck_assert_ptr_nonnull(ocsp_cache_find(cache, id(k)));
        ck_assert_ptr_nonnull(ocsp_cache_place(cache, id(i)));
        ck_assert_uint_le(ocsp_cache_count(cache), 100);
    }
    ck_assert_uint_eq(ocsp_cache_count(cache), 100);
}
END_TEST

START_TEST(an_answer_lives_as_long_as_somebody_sends_it)
{
    struct ocsp_kept *k = kept("answer");
    struct ocsp_entry *e = ocsp_cache_place(cache, id(1));
    e->kept = ocsp_kept_get1(k);
    ck_assert_uint_eq(k->users, 2);
    ocsp_cache_drop(cache, e);
    ck_assert_uint_eq(k->users, 1);
    ck_assert_uint_eq(k->body.n, 6);
    ck_assert_str_eq(k->last_modified, "Sun, 06 Nov 1994 08:49:37 GMT");
    ck_assert_str_eq(k->expires, "Sun, 06 Nov 1994 09:49:37 GMT");
    ck_assert_str_eq(k->etag, /* printf answer | sha256sum */
                     "\"0db52f4076c082518412afd3dd3576e2cb0c63703fd7fed5e23ade60efef31d9\"");
    ocsp_kept_release(k);
    ocsp_kept_release(NULL);
}
END_TEST

START_TEST(another_size_keeps_what_fits)
{
    for (unsigned i = 0; i < 50; i++)
        ocsp_cache_place(cache, id(i))->kept = kept("answer");
    ck_assert(ocsp_cache_resize(cache, 200));
    for (unsigned i = 0; i < 50; i++)
        ck_assert_ptr_nonnull(ocsp_cache_find(cache, id(i)));
    ck_assert(ocsp_cache_resize(cache, 20));
    ck_assert_uint_eq(ocsp_cache_count(cache), 20);
    for (unsigned i = 1000; i < 2000; i++)
        ck_assert_ptr_nonnull(ocsp_cache_place(cache, id(i)));
    ck_assert_uint_eq(ocsp_cache_count(cache), 20);
    ck_assert_ptr_nonnull(ocsp_cache_find(cache, id(1999)));
}
END_TEST

START_TEST(a_certid_that_is_too_long_has_no_place)
{
    static uint8_t whole[OCSP_MAX_ID + 1];
    struct ocsp_id long_id = {.whole = view_of(whole, sizeof whole), .serial = view_of(whole, 1)};
    ck_assert_ptr_null(ocsp_cache_place(cache, &long_id));
    ck_assert_uint_eq(ocsp_cache_count(cache), 0);
}
END_TEST

/* RFC 6960 appendix A.1: in all the ways in which clients write it, 30 30 3e ff ff be 30. */
static const struct {
    const char *text;
    bool good;
} paths[] = {
    {"/MDA+//++MA==", true},
    {"MDA+//++MA==", true},
    {"/MDA%2B%2F%2F%2B%2BMA%3D%3D", true},
    {"/MDA%2b%2f%2f%2b%2bMA%3d%3d", true},
    {"/%4d%44%41%2b%2f%2f%2b%2b%4d%41%3d%3d", true},
    {"////MDA+//++MA==", true},
    {"/%2F%2fMDA+//++MA==", true},
    {"/MDA+//++MA", true},
    {"/MDA-__--MA", true},
    {"/MDA+%0D%0A//++MA==%0a", true},
    {"", false},
    {"/", false},
    {"/MDA%", false},
    {"/MDA%2", false},
    {"/MDA%zz", false},
    {"/MDA%00MA==", false},
    {"/%252B", false}, /* decoded once only */
    {"/../MDA", false},
    {"/MDA*", false},
    {"/M", false},
    {"/MDA=MDA=", false},
    {"/MDA+//++MA====", false},
};

START_TEST(paths_of_a_get)
{
    static const uint8_t wanted[] = {0x30, 0x30, 0x3e, 0xff, 0xff, 0xbe, 0x30};
    struct buf der = {0};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct err err = {0};
        bool good = ocsp_http_decode(paths[i].text, &der, &err);
        ck_assert_msg(good == paths[i].good, "%s", paths[i].text);
        if (good) {
            ck_assert_msg(der.n == sizeof wanted && memcmp(der.p, wanted, der.n) == 0,
                          "%s: %zu octets", paths[i].text, der.n);
        } else {
            ck_assert_int_eq(err.kind, ERR_REFUSED);
        }
    }
    buf_clear(&der);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/ocsp_cache");
    TCase *c = tcase_create("cache");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_is_placed_is_found);
    tcase_add_test(c, those_not_asked_for_leave_first);
    tcase_add_test(c, an_answer_lives_as_long_as_somebody_sends_it);
    tcase_add_test(c, another_size_keeps_what_fits);
    tcase_add_test(c, a_certid_that_is_too_long_has_no_place);
    suite_add_tcase(s, c);
    c = tcase_create("path");
    tcase_add_test(c, paths_of_a_get);
    suite_add_tcase(s, c);
    return check_main(s);
}
