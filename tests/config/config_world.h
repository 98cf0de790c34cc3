/* A configuration in a directory of its own, what it is mutated to, and what is told about it. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_main.h"
#include "config/config.h"

static char dir[64];
static char told[8192]; /* complaints, each with a newline, the file's name left out */
static size_t told_n;

static const char *const files[] = {
    "ca/ca.pem",          "keys/ca.key",          "ca/ra.pem", "keys/ra.key", "ca/root.pem",
    "keys/challenge.key", "keys/static-challenge"};

/* Lines are counted by the tests: keep them. */
static const char base[] =
    "listen: { address = \"127.0.0.1\"; port = 8080; url = \"http://127.0.0.1:8080\"; };\n" /* 1 */
    "workers = 0;\n"                                                                        /* 2 */
    "log: { level = \"info\"; };\n"                                                         /* 3 */
    "authorities = ( {\n"                                                                   /* 4 */
    "    name = \"demo\"; certificate = \"ca/ca.pem\";\n"                                   /* 5 */
    "    key = \"keys/ca.key\";\n"                                                          /* 6 */
    "    ra_certificate = \"ca/ra.pem\"; ra_key = \"keys/ra.key\";\n"                       /* 7 */
    "    crl: { url = \"http://127.0.0.1/crl\";\n"                                          /* 8 */
    "           validity = \"24h\"; period = \"1h\"; };\n"                                  /* 9 */
    "} );\n"                                                                                /* 10 */
    "templates = ( {\n"                                                                     /* 11 */
    "    name = \"device\";\n"                                                              /* 12 */
    "    subject = [\"CN=*!\", \"O=*\"];\n"                                                 /* 13 */
    "    validity = \"365d\";\n"                                                            /* 14 */
    "    renew_before = \"60d\";\n"                                                         /* 15 */
    "} );\n"                                                                                /* 16 */
    "endpoints = (\n"                                                                       /* 17 */
    "    { path = \"/scep\";\n"                                                             /* 18 */
    "      authority = \"demo\"; template = \"device\"; challenge = \"one-time\"; },\n"     /* 19 */
    "    { path = \"/two\";\n"                                                              /* 20 */
    "      authority = \"demo\"; template = \"device\";\n"                                  /* 21 */
    "      challenge = \"static\";\n"                                                       /* 22 */
    "      static_challenge_file = \"keys/static-challenge\"; }\n"                          /* 23 */
    ");\n";                                                                                 /* 24 */

static inline void write_file(const char *name, const char *text, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fputs(text, f) < 0, 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static inline void setup(void)
{
    char path[256];
    snprintf(dir, sizeof dir, "/tmp/scepd-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/ca", dir);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/keys", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        write_file(files[i], "a static challenge\n", 0600);
    told_n = 0;
    told[0] = '\0';
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static inline void teardown(void)
{
    nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Keeps what stands behind the directory, so that no message depends on its random name. */
static inline void keep(void *ctx, const char *message)
{
    const char *prefix = "scepd.conf:", *found = strstr(message, prefix);
    ck_assert_ptr_nonnull(found);
    told_n += (size_t)snprintf(told + told_n, sizeof told - told_n, "%s\n", found + strlen(prefix));
    ck_assert_uint_lt(told_n, sizeof told);
}

static inline struct config *load(const char *text)
{
    char path[256];
    write_file("scepd.conf", text, 0644);
    snprintf(path, sizeof path, "%s/scepd.conf", dir);
    return config_load(path, keep, NULL);
}

/* `text` with its first `from` replaced; owned by the caller. */
static inline char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    ck_assert_msg(at != NULL, "the base has no \"%s\"", from);
    size_t n = strlen(text) + strlen(to) + 1;
    char *out = malloc(n);
    ck_assert_ptr_nonnull(out);
    snprintf(out, n, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

/* Takes the text; all that is told, exactly. */
static inline void refused_text(char *text, const char *expected)
{
    told_n = 0;
    told[0] = '\0';
    struct config *c = load(text);
    ck_assert_str_eq(told, expected);
    ck_assert_ptr_null(c);
    free(text);
}

/* One mutation. */
static inline void refused(const char *from, const char *to, const char *expected)
{
    refused_text(replaced(base, from, to), expected);
}

static inline void refused_for(const char *from, const char *to, const char *part)
{
    char *text = replaced(base, from, to);
    told_n = 0;
    told[0] = '\0';
    struct config *c = load(text);
    ck_assert_msg(strstr(told, part) != NULL, "%s", told);
    ck_assert_ptr_null(c);
    free(text);
}

static inline void accepted(const char *from, const char *to)
{
    char *text = replaced(base, from, to);
    struct config *c = load(text);
    ck_assert_str_eq(told, "");
    ck_assert_ptr_nonnull(c);
    config_free(c);
    free(text);
}

#define API "api: { port = 8443; }; "
#define BEHIND_THE_LAST "\"keys/static-challenge\"; }\n);\n" /* ends in line 24 */

/* Lists that need not be there are written behind the last one, so that theirs is line 25. */
static inline void behind_refused(const char *more, const char *expected)
{
    char text[1024];
    snprintf(text, sizeof text, BEHIND_THE_LAST API "%s\n", more);
    refused(BEHIND_THE_LAST, text, expected);
}

static inline struct config *behind_accepted(const char *more)
{
    char text[4096];
    snprintf(text, sizeof text, "%s" API "%s\n", base, more);
    struct config *c = load(text);
    ck_assert_msg(c != NULL, "%s", told);
    return c;
}

/* `more` stands in an endpoint with an upstream, behind the endpoints of the base. */
static inline char *relay_text(const char *name, const char *more)
{
    static char text[4096];
    const char *end = strstr(base, "static_challenge_file = \"keys/static-challenge\"; }");
    ck_assert_ptr_nonnull(end);
    end += strlen("static_challenge_file = \"keys/static-challenge\"; }");
    snprintf(text, sizeof text,
             "%.*s, { path = \"/relay\"; authority = \"demo\"; template = \"device\"; upstream = "
             "\"%s\"; "
             "%s }%s\nupstreams = ( { name = \"ndes\"; url = "
             "\"http://ndes.example.org/certsrv/mscep/mscep.dll\"; "
             "} );\n",
             (int)(end - base), base, name, more, end);
    return text;
}
