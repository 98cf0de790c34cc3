#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "check_main.h"
#include "temporary.h"

static struct temporary dir;
static struct err err;

static void setup(void)
{
    temporary_make(&dir);
    err = (struct err){0};
}

static void teardown(void)
{
    temporary_remove(&dir);
}

static void write_text(const char *path, const char *text, unsigned mode)
{
    ck_assert_msg(file_replace(path, view_str(text), mode, &err), "%s", err.text);
}

static EVP_PKEY *generate(const char *kind)
{
    EVP_PKEY *key = NULL;
    ck_assert_msg(key_generate(kind, &key, &err), "%s", err.text);
    return key;
}

START_TEST(kinds)
{
    static const struct {
        const char *kind, *type;
        int bits;
    } cases[] = {{"rsa2048", "RSA", 2048}, {"p256", "EC", 256}, {"p384", "EC", 384}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        EVP_PKEY *key = generate(cases[i].kind);
        ck_assert(EVP_PKEY_is_a(key, cases[i].type));
        ck_assert_int_eq(EVP_PKEY_get_bits(key), cases[i].bits);
        EVP_PKEY_free(key);
    }
    EVP_PKEY *none = NULL;
    ck_assert(!key_generate("rsa1024", &none, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(saved_and_loaded)
{
    EVP_PKEY *key = generate("p256"), *again = NULL;
    const char *path = temporary_path(&dir, "a.key");
    struct stat st;
    struct buf pem = {0};
    ck_assert_msg(key_save(key, path, NULL, &err), "%s", err.text);
    ck_assert(stat(path, &st) == 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert(file_read(path, &pem, &err));
    ck_assert(memmem(pem.p, pem.n, "BEGIN PRIVATE KEY", 17) != NULL);
    ck_assert_msg(key_load(path, NULL, &again, &err), "%s", err.text);
    ck_assert(EVP_PKEY_eq(key, again) == 1);
    buf_clear(&pem);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}
END_TEST

START_TEST(never_overwritten)
{
    EVP_PKEY *key = generate("p256"), *again = NULL;
    const char *path = temporary_path(&dir, "a.key");
    ck_assert(key_save(key, path, NULL, &err));
    ck_assert(!key_save(key, path, NULL, &err));
    ck_assert_int_eq(err.kind, ERR_EXISTS);
    ck_assert(key_load(path, NULL, &again, &err));
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}
END_TEST

START_TEST(encrypted)
{
    EVP_PKEY *key = generate("p256"), *again = NULL;
    const char *path = temporary_path(&dir, "a.key"), *pass = temporary_path(&dir, "pass"),
               *wrong = temporary_path(&dir, "wrong"), *empty = temporary_path(&dir, "empty");
    struct buf pem = {0};
    write_text(pass, "open sesame\r\nsecond line", 0600);
    write_text(wrong, "open sesam\n", 0600);
    write_text(empty, "\nx", 0600);
    ck_assert_msg(key_save(key, path, pass, &err), "%s", err.text);
    ck_assert(file_read(path, &pem, &err));
    ck_assert(memmem(pem.p, pem.n, "BEGIN ENCRYPTED PRIVATE KEY", 27) != NULL);
    ck_assert_msg(key_load(path, pass, &again, &err), "%s", err.text);
    ck_assert(EVP_PKEY_eq(key, again) == 1);
    EVP_PKEY_free(again);
    again = NULL;

    ck_assert(!key_load(path, NULL, &again, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "is encrypted"));
    ck_assert(!key_load(path, wrong, &again, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "does not open"));
    ck_assert(!key_load(path, empty, &again, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "must be a passphrase"));
    ck_assert(chmod(pass, 0644) == 0);
    ck_assert(!key_load(path, pass, &again, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "chmod 600"));
    ck_assert(!key_load(path, temporary_path(&dir, "none"), &again, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    ck_assert_ptr_null(again);
    buf_clear(&pem);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(readable_by_others_is_refused)
{
    static const unsigned modes[] = {0640, 0604, 0620, 0660, 0644};
    EVP_PKEY *key = generate("p256"), *again = NULL;
    const char *path = temporary_path(&dir, "a.key");
    ck_assert(key_save(key, path, NULL, &err));
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        ck_assert(chmod(path, modes[i]) == 0);
        ck_assert(!key_load(path, NULL, &again, &err));
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "chmod 600"));
    }
    ck_assert(chmod(path, 0400) == 0);
    ck_assert(key_load(path, NULL, &again, &err));
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}
END_TEST

START_TEST(other_content)
{
    EVP_PKEY *key = NULL;
    const char *path = temporary_path(&dir, "a.key");
    write_text(path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0600);
    ck_assert(!key_load(path, NULL, &key, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    write_text(path, "", 0600);
    ck_assert(!key_load(path, NULL, &key, &err));
    ck_assert(!key_load(dir.path, NULL, &key, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
}
END_TEST

START_TEST(files)
{
    const char *path = temporary_path(&dir, "f");
    struct buf b = {0};
    struct stat st;
    ck_assert(!file_read(path, &b, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    write_text(path, "one", 0644);
    write_text(path, "two", 0600);
    ck_assert(file_read(path, &b, &err));
    ck_assert(view_eq(buf_view(&b), view_str("two")));
    ck_assert(stat(path, &st) == 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_uint_eq(temporary_count(&dir), 1);
    buf_clear(&b);

    struct buf big = {0};
    ck_assert(buf_reserve(&big, (1u << 20) + 1));
    memset(big.p, 'x', (1u << 20) + 1);
    ck_assert(file_replace(path, view_of(big.p, 1u << 20), 0600, &err));
    ck_assert(file_read(path, &b, &err));
    buf_clear(&b);
    ck_assert(file_replace(path, view_of(big.p, (1u << 20) + 1), 0600, &err));
    ck_assert(!file_read(path, &b, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "larger than"));
    buf_clear(&big);

    ck_assert(mkfifo(temporary_path(&dir, "fifo"), 0600) == 0);
    ck_assert(!file_read(temporary_path(&dir, "fifo"), &b, &err)); /* and does not hang */
    ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/keyfile");
    TCase *c = tcase_create("keyfile");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, kinds);
    tcase_add_test(c, saved_and_loaded);
    tcase_add_test(c, never_overwritten);
    tcase_add_test(c, encrypted);
    tcase_add_test(c, readable_by_others_is_refused);
    tcase_add_test(c, other_content);
    tcase_add_test(c, files);
    suite_add_tcase(s, c);
    return check_main(s);
}
