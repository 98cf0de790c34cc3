/* The list of keys that get no certificate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "check_main.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *other;
static char path[] = "/tmp/banned-XXXXXX";
static struct err err;

static void setup(void)
{
    err = (struct err){0};
    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    close(mkstemp(path));
    world_open(&w);
    key = new_key();
    other = new_key();
}

static void teardown(void)
{
    banned_keys_clear(&w.policy.banned);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    world_close(&w);
    unlink(path);
}

static void write_list(const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    fclose(f);
}

static void hash_of(EVP_PKEY *k, char hex[65])
{
    unsigned char *der = NULL;
    uint8_t hash[32];
    int n = i2d_PUBKEY(k, &der);
    ck_assert(n > 0 && digest_compute(DIGEST_SHA256, view_of(der, (size_t)n), hash, &err));
    hex_encode(view_of(hash, 32), hex);
    OPENSSL_free(der);
}

START_TEST(banned)
{
    char hex[65], text[400];
    hash_of(key, hex);
    snprintf(text, sizeof text, "# leaked in 2026\n\n%064d\n  %s  -\n%064d # and this\n", 7, hex,
             1);
    write_list(text);
    ck_assert_msg(banned_keys_load(path, &w.policy.banned, &err), "%s", err.text);
    ck_assert_uint_eq(w.policy.banned.n, 3);
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    expect_refused(&w, &wish, REASON_KEY_BANNED, hex);
    wish.key = other;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

/* A renewal brings its new key to the same list. */
START_TEST(banned_in_a_renewal)
{
    char hex[65];
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct buf old = expect_issued(&w, &wish);
    hash_of(other, hex);
    write_list(hex);
    ck_assert_msg(banned_keys_load(path, &w.policy.banned, &err), "%s", err.text);
    w.now = NOW + 310 * DAY;
    struct wish renewal = {
        .type = SCEP_RENEWAL_REQ, .transaction = "tx-2", .key = other, .signer = &old};
    expect_refused(&w, &renewal, REASON_KEY_BANNED, hex);
    buf_clear(&old);
}
END_TEST

START_TEST(nothing_is_banned)
{
    write_list("# nothing yet\n");
    ck_assert(banned_keys_load(path, &w.policy.banned, &err));
    ck_assert_uint_eq(w.policy.banned.n, 0);
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(lists_that_cannot_be_read)
{
    static const char *const bad[] = {
        "abc\n",
        "0000000000000000000000000000000000000000000000000000000000000000000\n",
        "000000000000000000000000000000000000000000000000000000000000000g\n",
        "\n\nMII=\n",
    };
    struct banned_keys b = {0};
    char line[300];
    write_list(bad[_i]);
    ck_assert(!banned_keys_load(path, &b, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    snprintf(line, sizeof line, "%s:%d:", path, _i == 3 ? 3 : 1);
    ck_assert_msg(strstr(err.text, line) != NULL, "%s", err.text);
    ck_assert_ptr_null(b.hash);
    unlink(path);
    ck_assert(!banned_keys_load(path, &b, &err));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/banned");
    TCase *c = tcase_create("banned");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, banned);
    tcase_add_test(c, banned_in_a_renewal);
    tcase_add_test(c, nothing_is_banned);
    tcase_add_loop_test(c, lists_that_cannot_be_read, 0, 4);
    suite_add_tcase(s, c);
    return check_main(s);
}
