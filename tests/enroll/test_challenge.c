#include "enroll/challenge.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "check_main.h"
#include "world.h"

static struct world w;

static void setup(void)
{
    world_open(&w);
}

static void teardown(void)
{
    expect_sound(&w);
    world_close(&w);
}

static bool same_hash(const char *a, const char *b)
{
    uint8_t x[STORE_HASH], y[STORE_HASH];
    challenge_hash(&w.challenge_key, view_str(a), x);
    challenge_hash(&w.challenge_key, view_str(b), y);
    return memcmp(x, y, sizeof x) == 0;
}

/* RFC 8894 section 7.3 */
START_TEST(secret_is_four_groups_and_only_its_hash_is_kept)
{
    const char *secret = challenge_make(&w, NULL);
    ck_assert_uint_eq(strlen(secret), 19);
    for (size_t i = 0; i < 19; i++) {
        if (i % 5 == 4)
            ck_assert_int_eq(secret[i], '-');
        else
            ck_assert_ptr_nonnull(strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", secret[i]));
    }
    struct store_challenge c = challenge_of(&w, secret);
    ck_assert_int_eq(strncmp(c.id, "chl_", 4), 0);
    ck_assert_uint_eq(strlen(c.id), 10);
    ck_assert_int_eq(c.expires_at, NOW + DAY);
    ck_assert_uint_eq(c.uses, 1);
    ck_assert_uint_eq(c.used, 0);
    ck_assert_str_eq(c.created_by, "anna");
    ck_assert_uint_eq(audited(&w, "challenge.created"), 1);
}
END_TEST

START_TEST(secrets_differ)
{
    char first[CHALLENGE_TEXT_MAX];
    strcpy(first, challenge_make(&w, NULL));
    ck_assert_str_ne(first, challenge_make(&w, NULL));
}
END_TEST

START_TEST(hex_as_ndes_has_it)
{
    struct challenge_wish wish = {.hex = 8, .now = NOW};
    const char *secret = challenge_make(&w, &wish);
    ck_assert_uint_eq(strlen(secret), 16);
    for (const char *p = secret; *p; p++)
        ck_assert(isdigit((unsigned char)*p) || (*p >= 'A' && *p <= 'F'));
    ck_assert_int_eq(challenge_of(&w, secret).expires_at, 0);
}
END_TEST

/* 500 without that rule would be free of it once in 10^28 times. */
START_TEST(hex_of_other_lengths_never_looks_like_a_tag)
{
    struct err err = {0};
    char none[CHALLENGE_TEXT_MAX];
    struct store_challenge c;
    for (unsigned i = 0; i < 500; i++) {
        struct challenge_wish wish = {.hex = CHALLENGE_HEX_MIN + i % 24, .now = NOW};
        const char *secret = challenge_make(&w, &wish);
        ck_assert_uint_eq(strlen(secret), 2 * wish.hex);
        ck_assert_int_ne(secret[0], 'B');
        ck_assert_int_ne(secret[strlen(secret) - 1], 'B');
    }
    for (unsigned n = 1; n < CHALLENGE_HEX_MIN; n++)
        ck_assert(!challenge_new(w.store, &w.challenge_key,
                                 &(struct challenge_wish){.hex = n, .now = NOW}, none, &c, &err));
    ck_assert(!challenge_new(w.store, &w.challenge_key,
                             &(struct challenge_wish){.hex = CHALLENGE_HEX_MAX + 1, .now = NOW},
                             none, &c, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
}
END_TEST

START_TEST(own_format_forgives_how_it_was_typed)
{
    ck_assert(same_hash("7QK4-M2XH-9RTD-VN3A", "7QK4M2XH9RTDVN3A"));
    ck_assert(same_hash("7QK4-M2XH-9RTD-VN3A", "7qk4 m2xh 9rtd vn3a"));
    ck_assert(same_hash("10K4-M2XH-9RTD-VN3A", "loK4-M2XH-9RTD-VN3A"));
    ck_assert(!same_hash("7QK4-M2XH-9RTD-VN3A", "7QK4-M2XH-9RTD-VN3B"));
    /* one character more or less, or one that the alphabet lacks: another kind of secret, taken as
     * it is */
    ck_assert(!same_hash("7QK4-M2XH-9RTD-VN3", "7qk4-m2xh-9rtd-vn3"));
    ck_assert(!same_hash("7QK4-M2XH-9RTD-VN3AA", "7qk4-m2xh-9rtd-vn3aa"));
    ck_assert(!same_hash("UQK4-M2XH-9RTD-VN3A", "uqk4-m2xh-9rtd-vn3a"));
    ck_assert(!same_hash("correct horse", "correct-horse"));
    ck_assert(!same_hash("Secret", "secret"));
    ck_assert(!same_hash("secret", "secret "));
}
END_TEST

/* An unknown one that would be known if it were written otherwise; the answer on the wire stays the
 * same. */
START_TEST(nearly_right_is_told_to_the_administrator)
{
    char secret[CHALLENGE_TEXT_MAX], text[160];
    struct challenge_wish hex = {.hex = 8, .now = NOW};
    EVP_PKEY *key = new_key();
    struct wish wish = {.subject = "CN=ipad-1", .key = key, .challenge = text};
    snprintf(secret, sizeof secret, "%s", challenge_make(&w, NULL));
    snprintf(text, sizeof text, "%s\n", secret);
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "it would be chl_");
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "without the blanks, line end or quotes");
    snprintf(secret, sizeof secret, "%s", challenge_make(&w, &hex));
    snprintf(text, sizeof text, "\"%s\" ", secret);
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "without the blanks, line end or quotes");
    EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)secret, (int)strlen(secret));
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "after base64 decoding");
    w.policy.challenges = CHALLENGE_STATIC;
    challenge_hash(&w.challenge_key, view_str("static secret"), w.policy.static_hash);
    snprintf(text, sizeof text, "%s", secret);
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "which this endpoint does not take");
    snprintf(text, sizeof text, "Static Secret");
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN,
                   "it would be the endpoint's static one in small letters");
    challenge_hash(&w.challenge_key, view_str("LOUD"), w.policy.static_hash);
    snprintf(text, sizeof text, "loud");
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "static one in capitals");
    snprintf(text, sizeof text, "something else");
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, "is like the one sent");
    struct outcome o = ask(&w, &wish);
    ck_assert_ptr_null(strstr(o.detail, "it would be"));
    ck_assert_ptr_null(strstr(o.detail, text)); /* never what was sent */
    ck_assert(!reason_info(REASON_CHALLENGE_UNKNOWN)->detail_public);
    outcome_clear(&o);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(hash_depends_on_the_key)
{
    uint8_t x[STORE_HASH], y[STORE_HASH];
    struct challenge_key other = w.challenge_key;
    other.bytes[0] ^= 1;
    challenge_hash(&w.challenge_key, view_str("secret"), x);
    challenge_hash(&other, view_str("secret"), y);
    ck_assert_mem_ne(x, y, sizeof x);
}
END_TEST

static void refuse_wish(struct challenge_wish wish, const char *text)
{
    char secret[CHALLENGE_TEXT_MAX];
    struct store_challenge c;
    struct err err = {0};
    wish.now = NOW;
    ck_assert(!challenge_new(w.store, &w.challenge_key, &wish, secret, &c, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    ck_assert_uint_eq(audited(&w, "challenge.created"), 0);
}

START_TEST(wishes_that_cannot_be_kept_are_refused)
{
    char longer[2000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    refuse_wish((struct challenge_wish){.label = longer}, "label has 1999 octets, 127 at most");
    refuse_wish((struct challenge_wish){.subject = longer},
                "subject has 1999 octets, 1023 at most");
    refuse_wish((struct challenge_wish){.subject = "NOSUCH=x"}, "cannot be read");
    refuse_wish((struct challenge_wish){.san = "host.example.org"}, "none of DNS:");
    refuse_wish((struct challenge_wish){.san = "DNS:a.example.org,b.example.org"}, "none of DNS:");
    refuse_wish((struct challenge_wish){.ttl = -1}, "before it is made");
}
END_TEST

/* ---- the key file ---- */

static void key_path(char path[128])
{
    snprintf(path, 128, "%s/challenge.key", w.dir);
}

START_TEST(key_is_made_once_and_kept_to_us)
{
    char path[128];
    struct challenge_key a, b;
    struct stat st;
    struct err err = {0};
    key_path(path);
    ck_assert(!challenge_key_load(path, false, &a, &err));
    ck_assert_int_eq(err.kind, ERR_IO);
    ck_assert(challenge_key_load(path, true, &a, &err));
    ck_assert(challenge_key_load(path, true, &b, &err));
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_uint_eq(st.st_nlink, 1);
    unlink(path);
}
END_TEST

START_TEST(key_open_to_others_is_refused)
{
    char path[128];
    struct challenge_key key;
    struct err err = {0};
    key_path(path);
    ck_assert(challenge_key_load(path, true, &key, &err));
    chmod(path, 0640);
    ck_assert(!challenge_key_load(path, true, &key, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "0640"));
    unlink(path);
}
END_TEST

START_TEST(key_of_another_length_is_refused)
{
    char path[128];
    struct challenge_key key;
    struct err err = {0};
    key_path(path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "short", 5), 5);
    close(fd);
    ck_assert(!challenge_key_load(path, true, &key, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "5 octets instead of 32"));
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/challenge");
    TCase *c = tcase_create("challenge");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, secret_is_four_groups_and_only_its_hash_is_kept);
    tcase_add_test(c, secrets_differ);
    tcase_add_test(c, hex_as_ndes_has_it);
    tcase_add_test(c, hex_of_other_lengths_never_looks_like_a_tag);
    tcase_add_test(c, own_format_forgives_how_it_was_typed);
    tcase_add_test(c, nearly_right_is_told_to_the_administrator);
    tcase_add_test(c, hash_depends_on_the_key);
    tcase_add_test(c, wishes_that_cannot_be_kept_are_refused);
    tcase_add_test(c, key_is_made_once_and_kept_to_us);
    tcase_add_test(c, key_open_to_others_is_refused);
    tcase_add_test(c, key_of_another_length_is_refused);
    suite_add_tcase(s, c);
    return check_main(s);
}
