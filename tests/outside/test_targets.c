/* Which servers may be asked, what their files must be like, and when one is left alone. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_main.h"
#include "exchange.h"

static struct err err;
static struct config *config;
static char dir[64];

static void write_secret(const char *text, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/secret", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/outside-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    config = calloc(1, sizeof *config);
    config->webhook_n = 1;
    struct config_webhook *w = &config->webhook[0];
    snprintf(w->name, sizeof w->name, "inventory");
    snprintf(w->url, sizeof w->url, "https://inventory/");
    snprintf(w->secret_file, sizeof w->secret_file, "%s/secret", dir);
    w->timeout = 5;
    config->upstream_n = 1;
    snprintf(config->upstream[0].name, sizeof config->upstream[0].name, "ndes");
    err_clear(&err);
}

static void teardown(void)
{
    unlink(config->webhook[0].secret_file);
    rmdir(dir);
    free(config);
}

static void refused(const char *text, mode_t mode, const char *part)
{
    struct outside_targets *t = NULL;
    write_secret(text, mode);
    err_clear(&err);
    ck_assert(!outside_targets_load(config, &t, &err));
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
}

START_TEST(secrets)
{
    struct outside_targets *t = NULL;
    refused("short\n", 0600, "characters");
    refused("", 0600, "no secret");
    refused("\n\n", 0600, "no secret");
    refused("0123456789abcdef\n", 0640, "mode 0640");
    write_secret("0123456789abcdef\r\n\nfedcba9876543210", 0600);
    ck_assert_msg(outside_targets_load(config, &t, &err), "%s", err.text);
    struct target *w = targets_find(t, OUTSIDE_WEBHOOK, view_str("inventory"));
    ck_assert_ptr_nonnull(w);
    ck_assert_str_eq((char *)w->secret[0].p, "0123456789abcdef");
    ck_assert_str_eq((char *)w->secret[1].p, "fedcba9876543210");
    outside_targets_free(t);
}
END_TEST

START_TEST(names)
{
    struct outside_targets *t = NULL;
    write_secret("0123456789abcdef\n", 0600);
    ck_assert(outside_targets_load(config, &t, &err));
    ck_assert_ptr_null(targets_find(t, OUTSIDE_WEBHOOK, view_str("inventor")));
    ck_assert_ptr_null(targets_find(t, OUTSIDE_WEBHOOK, view_of("inventory\0", 10)));
    ck_assert_ptr_null(targets_find(t, OUTSIDE_INTUNE, view_str("inventory")));
    ck_assert_ptr_null(targets_find(t, OUTSIDE_UPSTREAM, view_str("inventory")));
    ck_assert_ptr_nonnull(targets_find(t, OUTSIDE_UPSTREAM, view_str("ndes")));
    ck_assert_ptr_null(
        targets_find(t, OUTSIDE_UPSTREAM_ADMIN, view_str("ndes"))); /* no admin_url */
    outside_targets_free(t);
}
END_TEST

/* Who does not ask for revocations can ask nothing of that service. */
START_TEST(queue_of_intune)
{
    struct outside_targets *t = NULL;
    config->webhook[0].kind = WEBHOOK_INTUNE;
    write_secret("0123456789abcdef\n", 0600);
    ck_assert(outside_targets_load(config, &t, &err));
    ck_assert_ptr_nonnull(targets_find(t, OUTSIDE_INTUNE, view_str("inventory")));
    ck_assert_ptr_null(targets_find(t, OUTSIDE_INTUNE_QUEUE, view_str("inventory")));
    outside_targets_free(t);
    config->webhook[0].revocations = 3600;
    ck_assert(outside_targets_load(config, &t, &err));
    const struct target *q = targets_find(t, OUTSIDE_INTUNE_QUEUE, view_str("inventory"));
    ck_assert_ptr_nonnull(q);
    ck_assert_ptr_ne(q, targets_find(t, OUTSIDE_INTUNE, view_str("inventory")));
    ck_assert_str_eq((char *)q->secret[0].p, "0123456789abcdef");
    outside_targets_free(t);
}
END_TEST

#define SECOND INT64_C(1000000)

START_TEST(left_alone)
{
    struct target t = {.kind = OUTSIDE_WEBHOOK};
    char why[256];
    int64_t now = SECOND;
    for (int i = 0; i < TARGET_FAILURES; i++) {
        ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_ANSWERED);
        target_done(&t, false, now);
    }
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_AWAY);
    now += SECOND; /* one finds out, the others wait for it */
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_ANSWERED);
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_AWAY);
    target_done(&t, false, now);
    ck_assert_int_eq(target_begin(&t, now + SECOND, why), OUTSIDE_AWAY); /* twice as long now */
    now += 2 * SECOND;
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_ANSWERED);
    target_done(&t, true, now);
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_ANSWERED);
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_ANSWERED);
    target_done(&t, false, now);
    ck_assert_int_eq(target_begin(&t, now, why), OUTSIDE_ANSWERED);
}
END_TEST

START_TEST(too_many)
{
    struct target t = {.kind = OUTSIDE_WEBHOOK};
    char why[256];
    for (int i = 0; i < OUTSIDE_MAX_OF_TARGET; i++)
        ck_assert_int_eq(target_begin(&t, 1, why), OUTSIDE_ANSWERED);
    ck_assert_int_eq(target_begin(&t, 1, why), OUTSIDE_BUSY);
    target_done(&t, true, 1);
    ck_assert_int_eq(target_begin(&t, 1, why), OUTSIDE_ANSWERED);
}
END_TEST

static int take(struct target *t, int stage, const char *answer)
{
    struct exchange x = {.target = t, .stage = stage, .answer = {.status = 200}};
    int next = 0;
    ck_assert(buf_append_str(&x.answer.body, answer));
    ck_assert_msg(intune_take(&x, 1, &next, &err), "%s", err.text);
    buf_clear(&x.answer.body);
    return next;
}

/* No question is asked with the token that was for Graph. */
START_TEST(what_intune_needs)
{
    static const char token[] = "{\"access_token\":\"abc\",\"expires_in\":3600}";
    static const char endpoints[] =
        "{\"value\":[{\"providerName\":\"PkiConnectorFEService\",\"uri\":\"https://x/z\"},"
        "{\"providerName\":\"ScepRequestValidationFEService\",\"uri\":\"https://x/y\"}]}";
    struct target t = {.kind = OUTSIDE_INTUNE}, queue = {.kind = OUTSIDE_INTUNE_QUEUE};
    ck_assert_int_eq(intune_first_stage(&t, 1), INTUNE_GRAPH_TOKEN);
    ck_assert_int_eq(take(&t, INTUNE_GRAPH_TOKEN, token), INTUNE_ENDPOINTS);
    ck_assert(!intune_ready(&t, 2));
    ck_assert_int_eq(take(&t, INTUNE_ENDPOINTS, endpoints), INTUNE_TOKEN);
    ck_assert_str_eq(t.intune.service, "https://x/y");
    ck_assert(!intune_ready(&t, 2));
    ck_assert_int_eq(take(&t, INTUNE_TOKEN, token), INTUNE_READY);
    ck_assert(intune_ready(&t, 2));
    buf_wipe(&t.intune.token);
    ck_assert_int_eq(take(&queue, INTUNE_ENDPOINTS, endpoints), INTUNE_TOKEN);
    ck_assert_str_eq(queue.intune.service, "https://x/z");
}
END_TEST

/* While others find out, what an older question is told is nothing new: the token is Graph's, who
 * is asked with it again. */
START_TEST(stale_while_it_is_found_out)
{
    struct exchange finds_out = {.stage = INTUNE_ENDPOINTS}, x = {.answer = {.status = 401}};
    struct target t = {.kind = OUTSIDE_INTUNE};
    x.target = &t;
    ck_assert(buf_append_str(&t.intune.token, "for Graph"));
    t.intune.preparing = &finds_out;
    ck_assert(intune_stale(&x));
    ck_assert_uint_gt(t.intune.token.n, 0);
    t.intune.preparing = NULL;
    ck_assert(intune_stale(&x));
    ck_assert_uint_eq(t.intune.token.n, 0);
}
END_TEST

/* An address without a host would become one whose host is what is asked for. */
START_TEST(odd_services)
{
    static const char *const odd[] = {
        "https://", "https:///y", "https://:443/", "http://x/",    "ftp://x/",
        "x",        "",           "https://u@x/",  "https://x/?q", "https://x/\\r\\n"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct target t = {.kind = OUTSIDE_INTUNE};
        struct exchange x = {.target = &t, .stage = INTUNE_ENDPOINTS, .answer = {.status = 200}};
        int next;
        err_clear(&err);
        ck_assert(buf_printf(&x.answer.body,
                             "{\"value\":[{\"providerName\":\"ScepRequestValidationFEService\","
                             "\"uri\":\"%s\"}]}",
                             odd[i]));
        ck_assert_msg(!intune_take(&x, 1, &next, &err), "%s", odd[i]);
        ck_assert_str_eq(t.intune.service, "");
        buf_clear(&x.answer.body);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside/targets");
    TCase *c = tcase_create("targets");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, secrets);
    tcase_add_test(c, names);
    tcase_add_test(c, queue_of_intune);
    tcase_add_test(c, left_alone);
    tcase_add_test(c, too_many);
    tcase_add_test(c, what_intune_needs);
    tcase_add_test(c, stale_while_it_is_found_out);
    tcase_add_test(c, odd_services);
    suite_add_tcase(s, c);
    return check_main(s);
}
