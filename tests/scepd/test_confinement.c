#include "scepd/confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "check_main.h"
#include "scepd/keeper.h"
#include "service_fixture.h"

/* A main process that was taken over looks for keys: with its own hands, and by its keeper's. */

static struct service_fixture f;
static struct keeper *keeper;
static struct err err;

static void setup(void)
{
    err = (struct err){0};
    ck_assert_msg(service_fixture_init(&f, "p256", &err), "%s", err.text);
    store_close(f.store);
    f.store = NULL;
    ck_assert_msg(keeper_start(f.config, &keeper, &err), "%s", err.text);
}

static void teardown(void)
{
    file_open_through(NULL, NULL);
    keeper_stop(keeper);
    service_fixture_clear(&f);
}

static const char *in_home(const char *name)
{
    static char path[8][512];
    static unsigned next;
    char *out = path[next++ % 8];
    snprintf(out, 512, "%s/%s", f.directory, name);
    return out;
}

static int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600), e = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

/* Runs `body` confined as the main process is; it returns what is wrong, NULL for nothing. */
static void confined(const char *(*body)(void))
{
    int pipes[2], status;
    char said[256] = "";
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned lacks = 0;
        struct err e = {0};
        const char *wrong =
            confinement_front(f.config, keeper_pid(keeper), NULL, &lacks, &e) ? body() : e.text;
        if (lacks)
            wrong = "this kernel lacks what the test is about";
        if (wrong && write(pipes[1], wrong, strlen(wrong)) < 0)
            _exit(2);
        _exit(wrong != NULL);
    }
    close(pipes[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ssize_t n = read(pipes[0], said, sizeof said - 1);
    close(pipes[0]);
    ck_assert_msg(status == 0, "status %x: %.*s", (unsigned)status, (int)(n > 0 ? n : 0), said);
}

static const char *by_itself(void)
{
    static const char *const secret[] = {"keys/ca.key", "keys/ra.key",        "scepd.conf",
                                         "ca/ca.pem",   "keys/challenge.key", "keys"};
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
        if (opens(in_home(secret[i]), O_RDONLY) != EACCES)
            return secret[i];
    if (opens(in_home("scepd.conf"), O_WRONLY) != EACCES)
        return "the configuration can be written";
    if (opens(in_home("new"), O_CREAT | O_WRONLY) != EACCES)
        return "a file can be made";
    if (opens("/etc/passwd", O_RDONLY) != EACCES)
        return "/etc can be read";
    if (opens(in_home("store/data.mdb"), O_RDWR) != 0)
        return "the store cannot be opened";
    if (rename(in_home("keys/ca.key"), in_home("store/ca.key")) == 0)
        return "a key can be moved into the store";
    if (link(in_home("keys/ca.key"), in_home("store/ca.key")) == 0)
        return "a key can be linked into the store";
    if (symlink(in_home("keys/ca.key"), in_home("store/link")) == 0 &&
        opens(in_home("store/link"), O_RDONLY) != EACCES)
        return "a symbolic link opens a key";
    return NULL;
}

START_TEST(with_its_own_hands)
{
    confined(by_itself);
}
END_TEST

static void ignore(void *ctx, const char *message)
{
}

static int ask(void *ctx, const char *path)
{
    return keeper_open(ctx, path);
}

static bool reads(const char *name)
{
    struct buf content = {0};
    struct err e = {0};
    bool ok = file_read(in_home(name), &content, &e) && content.n > 0;
    buf_wipe(&content);
    return ok;
}

static const char *by_keeper(void)
{
    struct config *c;
    file_open_through(ask, keeper);
    if (reads("ca/ca.pem"))
        return "the keeper hands over what no configuration that it knows names";
    if (!(c = config_load(f.config->file, ignore, NULL)))
        return "the configuration cannot be read again";
    if (!reads("ca/ca.pem") || !reads("ca/ra.pem") || !reads("keys/challenge.key") ||
        !reads("keys/static"))
        return "what the configuration names cannot be read";
    static const char *const secret[] = {"keys/ca.key",
                                         "keys/ra.key",
                                         "keys/../keys/ca.key",
                                         "keys//ca.key",
                                         "keys/other.key",
                                         "authorities/demo/g2.key",
                                         "authorities/demo/../../keys/ca.key",
                                         "/etc/shadow"};
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
        if (reads(secret[i]))
            return secret[i];
    struct config_rooms rooms = {0};
    struct err e = {0};
    static char why[320];
    if (!config_rooms_load(c, &rooms, &e)) {
        snprintf(why, sizeof why, "%s", e.text);
        return why;
    }
    return NULL;
}

START_TEST(by_the_keepers_hands)
{
    confined(by_keeper);
    /* the keeper lives */
    int fd = keeper_open(keeper, f.config->file);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

/* A file in the configuration's place is another inode: that is how editors write. */
static const char *after_replacing(void)
{
    struct config *c;
    file_open_through(ask, keeper);
    if (!(c = config_load(f.config->file, ignore, NULL)))
        return "the configuration cannot be read again";
    return strcmp(c->url, "http://changed.example.org") ? "it is the old one" : NULL;
}

START_TEST(what_a_reload_reads)
{
    struct buf text = {0};
    static const char line[] = "\nlisten: { url = \"http://changed.example.org\"; };\n";
    ck_assert(file_read(f.config->file, &text, &err));
    char *old = memmem(text.p, text.n, "listen:", 7);
    ck_assert_ptr_nonnull(old);
    memcpy(old, "#isten:", 7); /* one line of it, in the fixture */
    ck_assert(buf_append(&text, line, sizeof line - 1));
    ck_assert(file_replace(f.config->file, buf_view(&text), 0600, &err));
    buf_clear(&text);
    confined(after_replacing);
}
END_TEST

/* ---- the rule ---- */

START_TEST(handed_over)
{
    struct config *c = f.config;
    struct config_authority *a = &c->authority[0];
    char path[600];
    ck_assert(confinement_may_hand_over(c, c->file));
    ck_assert(confinement_may_hand_over(c, a->certificate));
    ck_assert(!confinement_may_hand_over(c, a->key));
    ck_assert(!confinement_may_hand_over(c, a->ra_key));
    snprintf(c->profiles.key, sizeof c->profiles.key, "%s/profiles.key", f.directory);
    ck_assert(confinement_may_hand_over(c, c->profiles.key)); /* signs profiles, never certificates */
    c->profiles.key[0] = '\0';
    c->upstream_n = 1;
    snprintf(c->upstream[0].ca_certificate, sizeof c->upstream[0].ca_certificate, "%s/other.pem", f.directory);
    snprintf(c->upstream[0].password_file, sizeof c->upstream[0].password_file, "%s/other.password", f.directory);
    ck_assert(confinement_may_hand_over(c, c->upstream[0].ca_certificate));
    ck_assert(!confinement_may_hand_over(c, c->upstream[0].password_file));
    c->upstream_n = 0;
    ck_assert(!confinement_may_hand_over(c, ""));
    ck_assert(!confinement_may_hand_over(c, "/"));
    ck_assert(!confinement_may_hand_over(c, a->directory));
    snprintf(path, sizeof path, "%s/g2.pem", a->directory);
    ck_assert(confinement_may_hand_over(c, path));
    snprintf(path, sizeof path, "%s/g2.key", a->directory);
    ck_assert(!confinement_may_hand_over(c, path));
    snprintf(path, sizeof path, "%s/../g2.pem", a->directory);
    ck_assert(!confinement_may_hand_over(c, path));
    snprintf(path, sizeof path, "%s-other/g2.pem", a->directory);
    ck_assert(!confinement_may_hand_over(c, path));
    /* a key in the certificate's file is a key */
    strcpy(a->passphrase_file, "/run/passphrase");
    ck_assert(!confinement_may_hand_over(c, "/run/passphrase"));
    strcpy(a->key, a->certificate);
    ck_assert(!confinement_may_hand_over(c, a->certificate));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/confinement");
    TCase *c = tcase_create("confinement");
    tcase_set_timeout(c, 100);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, with_its_own_hands);
    tcase_add_test(c, by_the_keepers_hands);
    tcase_add_test(c, what_a_reload_reads);
    tcase_add_test(c, handed_over);
    suite_add_tcase(s, c);
    return check_main(s);
}
