#include "console/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <openssl/evp.h>
#include <zlib.h>

#include "base/buf.h"
#include "check_main.h"

/* The budget of the first load, compressed (docs/CONSOLE.md). */
#define KB 1024
#define MAX_ALL (60 * KB)
#define MAX_JS (40 * KB)
#define MAX_CSS (10 * KB)
#define MAX_ICON (6 * KB)
#define MAX_REQUESTS 12

static void inflate_all(struct view packed, struct buf *out)
{
    z_stream z = {.next_in = (unsigned char *)packed.p, .avail_in = (unsigned)packed.n};
    ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
    ck_assert(buf_reserve(out, 1 << 20));
    z.next_out = out->p;
    z.avail_out = 1 << 20;
    ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    out->n = (1 << 20) - z.avail_out;
    inflateEnd(&z);
}

static bool ends(const char *s, const char *end)
{
    return strlen(s) > strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

START_TEST(the_page_is_there_and_names_only_what_is_there)
{
    struct buf page = {0};
    const struct console *c = console_bundled();
    const struct console_file *f = console_find(c, "");
    ck_assert_ptr_nonnull(f);
    ck_assert_str_eq(f->type, "text/html; charset=utf-8");
    ck_assert(!f->immutable);
    ck_assert(buf_append(&page, f->bytes.p, f->bytes.n) && buf_append(&page, "", 1));
    size_t named = 0;
    for (char *at = (char *)page.p; (at = strstr(at, "=\"")); named++) {
        char *end = strchr(at += 2, '"');
        *end = '\0';
        if (ends(at, ".js") || ends(at, ".css") || ends(at, ".svg"))
            ck_assert_msg(console_find(c, at), "%s is not in the bundle", at);
        *end = '"';
    }
    ck_assert_uint_gt(named, 5);
    buf_clear(&page);
}
END_TEST

START_TEST(what_may_be_kept_for_good_has_its_content_in_its_path)
{
    const struct console *c = console_bundled();
    for (size_t i = 0; i < c->n; i++) {
        ck_assert_int_eq(c->file[i].immutable, c->file[i].path[0] != '\0');
        if (c->file[i].immutable)
            ck_assert_uint_eq(strcspn(c->file[i].path, "/"), 16);
    }
}
END_TEST

START_TEST(an_etag_is_the_hash_of_the_content_and_each_form_has_its_own)
{
    const struct console *c = console_bundled();
    for (size_t i = 0; i < c->n; i++) {
        const struct console_file *f = &c->file[i];
        struct buf plain = {0};
        unsigned char d[32];
        char hex[65], want[48];
        inflate_all(f->gzip, &plain);
        ck_assert(view_eq(buf_view(&plain), f->bytes));
        ck_assert_uint_lt(f->gzip.n, f->bytes.n);
        ck_assert_int_eq(EVP_Digest(plain.p, plain.n, d, NULL, EVP_sha256(), NULL), 1);
        for (size_t k = 0; k < 32; k++)
            snprintf(hex + 2 * k, 3, "%02x", d[k]);
        snprintf(want, sizeof want, "\"%.32s\"", hex);
        ck_assert_str_eq(f->etag, want);
        snprintf(want, sizeof want, "\"%.32s-gzip\"", hex);
        ck_assert_str_eq(f->gzip_etag, want);
        buf_clear(&plain);
    }
}
END_TEST

START_TEST(a_path_is_found_only_as_it_is)
{
    const struct console *c = console_bundled();
    static const char *const none[] = {"index.html", "/", "assets/app.js", "..", "app.js",
                                       "\xff",       " "};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_ptr_null(console_find(c, none[i]));
    for (size_t i = 0; i < c->n; i++)
        ck_assert_ptr_eq(console_find(c, c->file[i].path), &c->file[i]);
}
END_TEST

START_TEST(the_first_load_keeps_its_budget)
{
    const struct console *c = console_bundled();
    size_t all = 0, js = 0, css = 0, svg = 0;
    for (size_t i = 0; i < c->n; i++) {
        size_t n = c->file[i].gzip.n;
        all += n;
        js += ends(c->file[i].path, ".js") ? n : 0;
        css += ends(c->file[i].path, ".css") ? n : 0;
        svg += ends(c->file[i].path, ".svg") ? n : 0;
    }
    printf("console: %zu files, %zu octets; scripts %zu, style %zu, icon %zu\n", c->n, all, js, css,
           svg);
    ck_assert_uint_le(c->n, MAX_REQUESTS);
    ck_assert_uint_le(all, MAX_ALL);
    ck_assert_uint_le(js, MAX_JS);
    ck_assert_uint_le(css, MAX_CSS);
    ck_assert_uint_le(svg, MAX_ICON);
}
END_TEST

START_TEST(the_scripts_are_told_without_their_comments_and_with_the_licences)
{
    const struct console *c = console_bundled();
    size_t licences = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct buf plain = {0};
        if (!ends(c->file[i].path, ".js"))
            continue;
        ck_assert(buf_append(&plain, c->file[i].bytes.p, c->file[i].bytes.n) &&
                  buf_append(&plain, "", 1));
        ck_assert_ptr_null(strstr((char *)plain.p, "\n//"));
        ck_assert_ptr_null(strstr((char *)plain.p, "\n * @"));
        licences += strstr((char *)plain.p, "(MIT)") != NULL;
        buf_clear(&plain);
    }
    ck_assert_uint_eq(licences, 1);
}
END_TEST

START_TEST(a_directory_gives_the_files_as_they_are)
{
    struct console *c = NULL;
    struct err err = {0};
    ck_assert_msg(console_load(CONSOLE_WEB, &c, &err), "%s", err.text);
    ck_assert_uint_eq(c->n, console_bundled()->n);
    const struct console_file *f = console_find(c, "assets/app.js");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->gzip.n, 0);
    ck_assert(!f->immutable);
    ck_assert(memmem(f->bytes.p, f->bytes.n, "// @ts-check", 12) != NULL);
    ck_assert_ptr_nonnull(console_find(c, ""));
    console_free(c);
    console_free(NULL);
}
END_TEST

START_TEST(a_directory_that_lacks_a_file_is_refused_with_its_name)
{
    char dir[] = "/tmp/scepd-console-XXXXXX";
    struct console *c = NULL;
    struct err err = {0};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert(!console_load(dir, &c, &err));
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(err.text, "index.html"), "%s", err.text);
    rmdir(dir);
}
END_TEST

START_TEST(the_policy_allows_nothing_from_elsewhere_and_nothing_inline)
{
    ck_assert_ptr_nonnull(strstr(console_policy, "default-src 'none'"));
    ck_assert_ptr_nonnull(strstr(console_policy, "require-trusted-types-for 'script'"));
    ck_assert_ptr_nonnull(strstr(console_policy, "frame-ancestors 'none'"));
    ck_assert_ptr_null(strstr(console_policy, "unsafe"));
    ck_assert_ptr_null(strstr(console_policy, "http"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("console");
    TCase *t = tcase_create("bundle");
    tcase_add_test(t, the_page_is_there_and_names_only_what_is_there);
    tcase_add_test(t, what_may_be_kept_for_good_has_its_content_in_its_path);
    tcase_add_test(t, an_etag_is_the_hash_of_the_content_and_each_form_has_its_own);
    tcase_add_test(t, a_path_is_found_only_as_it_is);
    tcase_add_test(t, the_first_load_keeps_its_budget);
    tcase_add_test(t, the_scripts_are_told_without_their_comments_and_with_the_licences);
    tcase_add_test(t, a_directory_gives_the_files_as_they_are);
    tcase_add_test(t, a_directory_that_lacks_a_file_is_refused_with_its_name);
    tcase_add_test(t, the_policy_allows_nothing_from_elsewhere_and_nothing_inline);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return check_main(suite());
}
