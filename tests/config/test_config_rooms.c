/* Authorities and policies as the configuration puts them together. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"
#include "service_fixture.h"

static struct service_fixture f;

static void setup(void)
{
    struct err err = {0};
    ck_assert_msg(service_fixture_init(&f, "rsa2048", &err), "%s", err.text);
}

static void teardown(void)
{
    service_fixture_clear(&f);
}

static const struct enroll_policy *policy(const char *path)
{
    for (size_t i = 0; i < f.config->endpoint_n; i++)
        if (strcmp(f.rooms.policy[i].endpoint, path) == 0)
            return &f.rooms.policy[i];
    ck_abort_msg("no policy for %s", path);
    return NULL;
}

START_TEST(policies)
{
    uint8_t hash[STORE_HASH];
    const struct enroll_policy *scep = policy("/scep"), *fixed = policy("/static"),
                               *manual = policy("/manual");
    ck_assert_ptr_eq(scep->authority, f.rooms.authority[0]);
    ck_assert_ptr_eq(scep->template, &f.config->template[0]);
    ck_assert_uint_eq(scep->challenges, CHALLENGE_ONE_TIME);
    ck_assert(scep->renewal && !scep->manual);
    ck_assert_int_eq(scep->pending_ttl, 7 * 86400);
    ck_assert_uint_eq(scep->max_pending, 10000);
    ck_assert_uint_eq(fixed->challenges, CHALLENGE_STATIC);
    challenge_hash(&f.rooms.challenge_key, view_str("static-secret"), hash);
    ck_assert_mem_eq(fixed->static_hash, hash, sizeof hash);
    ck_assert_uint_eq(manual->challenges, CHALLENGE_NONE);
    ck_assert(manual->manual);
}
END_TEST

START_TEST(keys)
{
    const struct authority *a = f.rooms.authority[0];
    ck_assert_str_eq(a->name, "demo");
    ck_assert_uint_eq(f.rooms.spec->n, 4); /* CA, RA, and the pair */
    const struct signer_key_spec *ca = &f.rooms.spec->key[a->key_ca];
    ck_assert_uint_ne(ca->uses & SIGNER_CERTIFICATES, 0);
    ck_assert_int_eq(ca->max_validity,
                     f.config->template[0].validity + f.config->template[0].backdate);
}
END_TEST

static void refused(const char *part)
{
    struct config_rooms r;
    struct err err = {0};
    ck_assert(!config_rooms_load(f.config, &r, &err));
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
}

START_TEST(foreign_ra)
{
    struct config_authority *a = &f.config->authority[0], kept = *a;
    memcpy(a->ra_certificate, a->certificate, sizeof a->ra_certificate);
    refused("authority \"demo\": ");
    *a = kept;
}
END_TEST

START_TEST(open_challenge_key)
{
    ck_assert_int_eq(chmod(f.config->challenge_key_file, 0644), 0);
    refused(f.config->challenge_key_file);
    ck_assert_int_eq(chmod(f.config->challenge_key_file, 0600), 0);
}
END_TEST

START_TEST(static_challenge_gone)
{
    char path[128], away[128];
    snprintf(path, sizeof path, "%s/keys/static", f.directory);
    snprintf(away, sizeof away, "%s/keys/away", f.directory);
    ck_assert_int_eq(rename(path, away), 0);
    refused("endpoint \"/static\": cannot read ");
    ck_assert_int_eq(rename(away, path), 0);
}
END_TEST

START_TEST(single_password_is_the_static_challenge)
{
    struct config_rooms r;
    struct err err = {0};
    struct config_ndes *n = &f.config->ndes[0];
    *n = (struct config_ndes){.path = "/page", .endpoint = "/static", .single_password = true};
    f.config->ndes_n = 1;
    ck_assert_msg(config_rooms_load(f.config, &r, &err), "%s", err.text);
    ck_assert_uint_eq(r.ndes_password[0].n, strlen("static-secret"));
    ck_assert_mem_eq(r.ndes_password[0].p, "static-secret", r.ndes_password[0].n);
    config_rooms_clear(f.config, &r);
    ck_assert_ptr_null(r.ndes_password[0].p);
    n->single_password = false; /* nobody needs it in clear */
    ck_assert_msg(config_rooms_load(f.config, &r, &err), "%s", err.text);
    ck_assert_uint_eq(r.ndes_password[0].n, 0);
    config_rooms_clear(f.config, &r);
    f.config->ndes_n = 0;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config/config_rooms");
    TCase *c = tcase_create("config_rooms");
    tcase_add_unchecked_fixture(c, setup, teardown);
    tcase_add_test(c, policies);
    tcase_add_test(c, keys);
    tcase_add_test(c, foreign_ra);
    tcase_add_test(c, open_challenge_key);
    tcase_add_test(c, static_challenge_gone);
    tcase_add_test(c, single_password_is_the_static_challenge);
    suite_add_tcase(s, c);
    return check_main(s);
}
