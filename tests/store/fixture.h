/* A store in a directory of its own, and records to put into it. */
#pragma once

#include <check.h>
#include <dirent.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"

#define MAP_SMALL (UINT64_C(64) << 20) /* sanitizers and valgrind have little address space */

static char dir[256];
static struct store *st;
static struct err err;

/* In a forked child: Check's messages are the parent's alone, two who write at once garble them. */
static bool in_child;

static inline pid_t fork_child(void)
{
    pid_t pid = fork();
    in_child = pid == 0;
    return pid;
}

#define must(condition, ...)                                          \
    do {                                                              \
        if (!in_child) {                                              \
            ck_assert_msg(condition, __VA_ARGS__);                    \
        } else if (!(condition)) {                                    \
            fprintf(stderr, "child: %s: %s\n", #condition, err.text); \
            _exit(101);                                               \
        }                                                             \
    } while (0)

static inline void dir_new(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/store-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static inline void crl_files_unlink(const char *store)
{
    char path[600];
    snprintf(path, sizeof path, "%s/crl", store);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

static inline void dir_remove(void)
{
    char file[300];
    crl_files_unlink(dir);
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    unlink(file);
    snprintf(file, sizeof file, "%s/lock.mdb", dir);
    unlink(file);
    rmdir(dir);
}

static inline struct store *store_at(const char *path, uint64_t map_size)
{
    struct store *s = NULL;
    struct store_options o = {.path = path, .map_size = map_size, .create = true};
    must(store_open(&o, &s, &err), "%s", err.text);
    return s;
}

static inline void setup(void)
{
    err_clear(&err);
    dir_new();
    st = store_at(dir, MAP_SMALL);
}

static inline void teardown(void)
{
    store_close(st);
    st = NULL;
    dir_remove();
}

static inline void reopen(void)
{
    store_close(st);
    st = store_at(dir, MAP_SMALL);
}

static inline struct store_write *begin(void)
{
    struct store_write *w = NULL;
    must(store_write_begin(st, &w, &err), "%s", err.text);
    return w;
}

static inline void commit(struct store_write *w)
{
    must(store_write_commit(w, &err), "%s", err.text);
}

#define ok(expression) must(expression, "%s", err.text)
/* Fails, with exactly this kind, and forgets it. */
#define fails(expression, expected)                                                         \
    do {                                                                                    \
        err_clear(&err);                                                                    \
        ck_assert(!(expression));                                                           \
        ck_assert_msg(err.kind == (expected), "%s: %s", err_kind_name(err.kind), err.text); \
        ck_assert_uint_gt(strlen(err.text), 0);                                             \
        err_clear(&err);                                                                    \
    } while (0)

static const uint8_t authority_a[20] = "authority A.........",
                     authority_b[20] = "authority B.........";

static inline void hash_of(unsigned n, char kind, uint8_t out[STORE_HASH])
{
    memset(out, 0, STORE_HASH);
    out[0] = (uint8_t)(n * 37);
    out[1] = (uint8_t)kind;
    out[2] = (uint8_t)(n >> 16);
    out[3] = (uint8_t)(n >> 8);
    out[4] = (uint8_t)n;
}

/* A certificate whose DER is the letter `n` a hundred times. */
static inline struct store_cert cert_of(unsigned n)
{
    struct store_cert c = {
        .serial_len = 16, .not_before = 1000, .not_after = 2000 + n, .issued_at = 1000};
    memcpy(c.authority, authority_a, 20);
    hash_of(n, 's', c.serial);
    c.serial[0] = 0x12;
    hash_of(n, 'k', c.key_hash);
    hash_of(n, 'n', c.subject_hash);
    snprintf(c.subject, sizeof c.subject, "CN=device-%u", n);
    snprintf(c.san, sizeof c.san, "DNS:device-%u.example", n);
    strcpy(c.template_name, "device");
    strcpy(c.endpoint, "/scep");
    strcpy(c.challenge, "chl_1");
    strcpy(c.challenge_label, "store room");
    strcpy(c.transaction, "T1");
    for (int i = 0; i < 100; i++)
        must(buf_append(&c.der, &(char){(char)n}, 1), "no memory");
    must(EVP_Q_digest(NULL, "SHA256", NULL, c.der.p, c.der.n, c.der_hash, NULL) == 1, "no digest");
    return c;
}

static inline uint64_t put_n(unsigned n)
{
    struct store_cert c = cert_of(n);
    struct store_write *w = begin();
    ok(store_cert_put(w, &c, &err));
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static inline uint64_t generation(void)
{
    uint64_t n = 0;
    ok(store_generation(st, &n, &err));
    return n;
}

/* No problem found. */
static inline void no_problem(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

static inline void verify_clean(void)
{
    uint64_t problems = 1;
    ok(store_verify(st, no_problem, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 0);
}

/* As ca/crl.c does it: octets, then the record. */
static inline bool crl_put(struct store_write *w, const uint8_t authority[20], uint32_t shard, struct store_crl *crl,
                           const char *octets)
{
    const struct view part = {(const uint8_t *)octets, strlen(octets)};
    return store_crl_write(st, authority, shard, crl, &part, 1, &err) &&
           store_crl_put(w, authority, shard, crl, &err);
}
