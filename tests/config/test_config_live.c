#include "config/config_live.h"

#include <stdio.h>
#include <stdlib.h>

#include "check_main.h"
#include "config/config_schema.h"

START_TEST(addresses_to_listen_on)
{
    static const struct {
        const char *text, *address;
        int port;
    } good[] = {{"127.0.0.1:8080", "127.0.0.1", 8080},
                {"[::1]:1", "::1", 1},
                {":65535", "", 65535},
                {"[::]:0", "::", 0}};
    static const char *const bad[] = {
        "",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "x:65536",
        "x:-1",
        "x:8080 ",
        "x:80x",
        "0123456789012345678901234567890123456789012345678901234567890123:1"};
    struct config *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(config_set_listen(c, good[i].text), "%s", good[i].text);
        ck_assert_str_eq(c->address, good[i].address);
        ck_assert_int_eq(c->port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!config_set_listen(c, bad[i]), "%s", bad[i]);
    ck_assert_str_eq(c->address, "::"); /* as it was */
    free(c);
}
END_TEST

struct told {
    char text[16][256];
    size_t n;
};

static void tell(void *ctx, const char *setting, const char *old, const char *wanted)
{
    struct told *t = ctx;
    ck_assert_uint_lt(t->n, 16);
    snprintf(t->text[t->n++], sizeof t->text[0], "%s %s %s", setting, old, wanted);
}

START_TEST(what_stays)
{
    struct config *running = calloc(1, sizeof *running), *next = calloc(1, sizeof *next);
    struct told told = {0};
    ck_assert(running && next);
    strcpy(running->address, "127.0.0.1");
    strcpy(next->address, "127.0.0.1");
    memcpy(next->address + 20, "rest", 4); /* behind the end of a text: no difference */
    running->port = 80;
    running->queue = 1;
    strcpy(running->store_path, "/a");
    running->map_size = 1ull << 30;
    *next = *running;
    config_keep_fixed(running, next, tell, &told);
    ck_assert_uint_eq(told.n, 0);

    strcpy(next->address, "::");
    next->port = 81;
    next->queue = 2;
    strcpy(next->store_path, "/b");
    next->map_size = 7ull << 30;
    strcpy(next->user, "nobody");
    config_keep_fixed(running, next, tell, &told);
    static const char *const expected[] = {"user  nobody",
                                           "listen.address 127.0.0.1 ::", "listen.port 80 81",
                                           "store.path /a /b", "store.map_size_gib 1 7"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        bool found = false;
        for (size_t k = 0; k < told.n; k++)
            found |= strcmp(told.text[k], expected[i]) == 0;
        ck_assert_msg(found, "%s", expected[i]);
    }
    ck_assert_str_eq(next->address, "127.0.0.1");
    ck_assert_int_eq(next->port, 80);
    ck_assert_str_eq(next->store_path, "/a");
    ck_assert_str_eq(next->user, "");
    ck_assert(next->map_size == 1ull << 30);
    ck_assert_int_eq(next->queue, 2); /* may change */
    free(running);
    free(next);
}
END_TEST

/* Only what stands once, as a plain value, can be compared and kept: of lists of sections and of
 * values that own memory, nothing is fixed. */
START_TEST(only_plain_settings_are_fixed)
{
    size_t fixed = 0;
    for (const struct setting *s = config_schema; s->key; s++) {
        if (!(s->flags & SETTING_FIXED))
            continue;
        fixed++;
        ck_assert_msg(strncmp(s->section, "authorities", 11) && strcmp(s->section, "templates") &&
                          strcmp(s->section, "endpoints"),
                      "%s.%s", s->section, s->key);
        ck_assert_msg(s->type != SETTING_STRING && s->type != SETTING_STRINGS &&
                          s->type != SETTING_GROUP && s->count_offset == 0,
                      "%s.%s", s->section, s->key);
    }
    ck_assert_uint_ge(fixed, 7);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config/config live");
    TCase *c = tcase_create("live");
    tcase_add_test(c, addresses_to_listen_on);
    tcase_add_test(c, what_stays);
    tcase_add_test(c, only_plain_settings_are_fixed);
    suite_add_tcase(s, c);
    return check_main(s);
}
