/* A disk that is full: a small tmpfs stands for it.  Not run (77) where nothing may be mounted. */
#include <sched.h>
#include <sys/mount.h>

#include "check_main.h"
#include "fixture.h"

#define DISK "size=4m"

static void setup_disk(void)
{
    err_clear(&err);
    dir_new();
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, DISK ",mode=700"), 0);
}

static void teardown_disk(void)
{
    store_close(st);
    st = NULL;
    umount2(dir, MNT_DETACH);
    rmdir(dir);
}

/* One certificate of 4 KB in each write, until it fails. */
static unsigned put_until_full(unsigned from)
{
    for (unsigned i = from; i < from + 10000; i++) {
        struct store_cert c = cert_of(i);
        struct store_write *w = begin();
        ck_assert(buf_reserve(&c.der, 4096));
        memset(c.der.p, 'd', 4096);
        c.der.n = 4096;
        ck_assert(EVP_Q_digest(NULL, "SHA256", NULL, c.der.p, c.der.n, c.der_hash, NULL));
        bool put = store_cert_put(w, &c, &err);
        store_cert_clear(&c);
        if (!put)
            store_write_abort(w);
        else
            put = store_write_commit(w, &err);
        if (!put)
            return i;
    }
    ck_abort_msg("the disk never became full");
    return 0;
}

START_TEST(full)
{
    st = store_at(dir, MAP_SMALL);
    unsigned failed = put_until_full(1);
    ck_assert_msg(err.kind == ERR_FULL, "%s: %s", err_kind_name(err.kind), err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "disk is full"));
    ck_assert_uint_gt(failed, 100);
    struct store_cert c = {0};
    ok(store_cert_by_id(st, failed - 1, &c, &err)); /* all before it is there and can be read */
    store_cert_clear(&c);
    fails(store_cert_by_id(st, failed, &c, &err), ERR_NOT_FOUND);
    verify_clean();
    ok(store_housekeep(st, &err));
    reopen();
    verify_clean();
    put_until_full(20000); /* still full, still no crash */
    ck_assert_int_eq(err.kind, ERR_FULL);
    ck_assert_int_eq(mount("none", dir, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    put_n(failed); /* there is room again: goes on without being opened anew */
    verify_clean();
}
END_TEST

START_TEST(full_from_the_start)
{
    char file[300];
    snprintf(file, sizeof file, "%s/ballast", dir);
    FILE *f = fopen(file, "w");
    static char zeros[1 << 16];
    while (fwrite(zeros, sizeof zeros, 1, f) == 1)
        ;
    fclose(f);
    struct store_options o = {.path = dir, .map_size = MAP_SMALL, .create = true};
    fails(store_open(&o, &st, &err), ERR_FULL);
    ck_assert_int_eq(unlink(file), 0);
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    verify_clean();
}
END_TEST

/* In a mount name space of its own, so that nothing of it is left whatever happens. */
static bool may_mount(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

int main(void)
{
    if (!may_mount()) {
        fprintf(stderr, "not run: mounting a small file system needs root\n");
        return 77;
    }
    Suite *s = suite_create("store/disk");
    TCase *c = tcase_create("disk");
    tcase_add_checked_fixture(c, setup_disk, teardown_disk);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, full);
    tcase_add_test(c, full_from_the_start);
    suite_add_tcase(s, c);
    return check_main(s);
}
