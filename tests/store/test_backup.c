/* Backup and restore: what is copied, when it is refused, and what is left after a kill. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check_main.h"
#include "fixture.h"
#include "store/fleet.h"

static char file[300], part[320], target[300], staging[320];
static struct store_facts facts;

static void paths(void)
{
    setup();
    snprintf(file, sizeof file, "%s.backup", dir);
    snprintf(part, sizeof part, "%s.part", file);
    snprintf(target, sizeof target, "%s.target", dir);
    snprintf(staging, sizeof staging, "%s.restoring", target);
}

static void remove_store(const char *path)
{
    char name[400];
    snprintf(name, sizeof name, "%s/data.mdb", path);
    unlink(name);
    snprintf(name, sizeof name, "%s/lock.mdb", path);
    unlink(name);
    rmdir(path);
}

static void cleanup(void)
{
    unlink(file);
    unlink(part);
    remove_store(target);
    remove_store(staging);
    teardown();
}

static void audit(const char *event, int64_t at)
{
    struct store_audit a = {.at = at};
    snprintf(a.event, sizeof a.event, "%s", event);
    struct store_write *w = begin();
    ok(store_audit_put(w, &a, &err));
    commit(w);
}

static void publish(uint64_t *number)
{
    struct store_crl crl = {.this_update = 5000, .next_update = 6000};
    struct store_write *w = begin();
    ok(store_crl_number_next(w, authority_a, 0, &crl.number, &err));
    ok(crl_put(w, authority_a, 0, &crl, "list"));
    commit(w);
    *number = crl.number;
}

static const struct store_audit seam = {.at = 9000, .actor = "anna"};

static void restore(void)
{
    struct store_restore *r = NULL;
    ok(store_restore_begin(file, target, NULL, &r, &facts, &err));
    ok(store_restore_commit(r, &seam, &err));
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

START_TEST(whole)
{
    uint64_t number, again;
    struct stat stat_of;
    put_n(1);
    publish(&number);
    audit("one", 4000);
    audit("two", 5000);
    ok(store_backup(st, file, &facts, &err));
    ck_assert_int_eq(stat(file, &stat_of), 0);
    ck_assert_int_eq(stat_of.st_mode & 0777, 0600);
    ck_assert_uint_eq(facts.bytes, (uint64_t)stat_of.st_size);
    ck_assert_uint_eq(facts.certificates, 1);
    ck_assert_uint_eq(facts.audit_entries, 2);
    ck_assert_int_eq(facts.newest, 5000);
    ck_assert_uint_eq(facts.problems, 0);
    ck_assert(!there(part));
    fails(store_backup(st, file, &facts, &err), ERR_EXISTS);
    put_n(2); /* after it */
    publish(&again);
    restore();
    ck_assert_uint_eq(facts.certificates, 1);
    ck_assert(!there(staging));
    store_close(st);
    st = store_at(target, MAP_SMALL);
    verify_clean();
    struct store_cert c = {0};
    ok(store_cert_by_id(st, 1, &c, &err));
    store_cert_clear(&c);
    fails(store_cert_by_id(st, 2, &c, &err), ERR_NOT_FOUND);
}
END_TEST

START_TEST(fleet_comes_back)
{
    struct store_device d = {.id = "dev_1", .name = "ipad", .user = "anna"}, got;
    struct store_group g = {.id = "grp_1", .name = "people", .users = true};
    struct store_policy p = {.id = "pol_1", .name = "corp"};
    struct store_reach r;
    struct store_write *w = begin();
    ok(store_device_put(w, &d, &err) && store_group_put(w, &g, &err) &&
       store_policy_put(w, &p, &err) && store_group_add(w, "grp_1", "anna", "bert", 1, &err) &&
       store_policy_assign(w, "pol_1", "grp_1", "bert", 1, &err));
    commit(w);
    ok(store_backup(st, file, &facts, &err));
    ck_assert_uint_eq(facts.problems, 0);
    w = begin();
    ok(store_policy_unassign(w, "pol_1", "grp_1", "bert", 2, &err)); /* after it */
    commit(w);
    restore();
    store_close(st);
    st = store_at(target, MAP_SMALL);
    verify_clean();
    ok(store_device_get(st, "IPAD", &got, &err));
    ok(store_policy_reach(st, "pol_1", got.id, &r, &err));
    ck_assert_int_eq(r.way, WAY_USER_GROUP);
}
END_TEST

static bool last_entry(void *ctx, const struct store_audit *a)
{
    *(struct store_audit *)ctx = *a;
    return true;
}

START_TEST(seam_and_numbers)
{
    uint64_t number, next, generation_then, generation_now;
    struct store_audit last = {.seq = 0};
    publish(&number);
    audit("one", 4000);
    ok(store_revocation_generation(st, authority_a, &generation_then, &err));
    ok(store_backup(st, file, &facts, &err));
    restore();
    store_close(st);
    st = store_at(target, MAP_SMALL);
    ok(store_audit_list(st, 1, last_entry, &last, &err));
    ck_assert_uint_eq(last.seq, 2);
    ck_assert_str_eq(last.event, STORE_EVENT_RESTORED);
    ck_assert_str_eq(last.actor, "anna");
    ck_assert_ptr_nonnull(strstr(last.text, "entry 1 of 1970-01-01T01:06:40Z"));
    verify_clean();
    publish(&next); /* 5000 seconds are lost, and a million to spare */
    ck_assert_uint_eq(next, number + 5000 + 1000000 + 1);
    verify_clean();
    ok(store_revocation_generation(st, authority_a, &generation_now, &err));
    ck_assert_uint_gt(generation_now, generation_then); /* a new CRL is due */
    struct store_write *w = begin(); /* also of an authority that had none before */
    ok(store_crl_number_next(w, authority_b, 0, &next, &err));
    ck_assert_uint_gt(next, 1000000);
    store_write_abort(w);
}
END_TEST

START_TEST(target_not_free)
{
    struct store_restore *r = NULL;
    struct store *other;
    put_n(1);
    ok(store_backup(st, file, &facts, &err));
    fails(store_restore_begin(file, dir, NULL, &r, &facts, &err), ERR_EXISTS);
    ck_assert_int_eq(mkdir(target, 0700), 0);
    restore(); /* empty: fine */
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_EXISTS);
    other = store_at(target, MAP_SMALL);
    store_close(other);
    remove_store(target);
    ok(store_restore_begin(file, target, NULL, &r, &facts, &err));
    struct store_restore *second = NULL;
    fails(store_restore_begin(file, target, NULL, &second, &facts, &err), ERR_BUSY);
    other = store_at(target, MAP_SMALL); /* somebody makes one meanwhile */
    store_close(other);
    fails(store_restore_commit(r, &seam, &err), ERR_EXISTS);
    ck_assert(!there(staging));
}
END_TEST

START_TEST(served_by_a_daemon)
{
    struct store_restore *r = NULL;
    struct store *alone = NULL;
    struct store_options o = {.path = target, .map_size = MAP_SMALL, .create = true, .alone = true};
    char name[400];
    put_n(1);
    ok(store_backup(st, file, &facts, &err));
    ok(store_open(&o, &alone, &err));
    snprintf(name, sizeof name, "%s/data.mdb", target); /* under the daemon's feet */
    unlink(name);
    snprintf(name, sizeof name, "%s/lock.mdb", target);
    unlink(name);
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_BUSY);
    store_close(alone);
}
END_TEST

START_TEST(aborted)
{
    struct store_restore *r = NULL;
    put_n(1);
    ok(store_backup(st, file, &facts, &err));
    ok(store_restore_begin(file, target, NULL, &r, &facts, &err));
    ck_assert(there(staging));
    store_restore_abort(r);
    ck_assert(!there(staging));
    ck_assert(!there(target));
    store_restore_abort(NULL);
}
END_TEST

/* ---- damage ---- */

static void write_file(const char *path, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

START_TEST(no_backup_at_all)
{
    struct store_restore *r = NULL;
    static char noise[100000];
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_NOT_FOUND);
    fails(store_restore_begin("/", target, NULL, &r, &facts, &err), ERR_IO);
    write_file(file, "", 0);
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_STORE);
    write_file(file, "certainly not a store", 21);
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_STORE);
    memset(noise, 0x5a, sizeof noise);
    write_file(file, noise, sizeof noise);
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_STORE);
    ck_assert(!there(target));
    ck_assert(!there(staging));
}
END_TEST

/* Cut anywhere: refused, and nothing ends but the attempt. */
START_TEST(cut)
{
    struct store_restore *r = NULL;
    for (unsigned i = 1; i < 50; i++)
        put_n(i);
    ok(store_backup(st, file, &facts, &err));
    for (uint64_t n = facts.bytes - 1; n > 4096; n -= n / 3) {
        ck_assert_int_eq(truncate(file, (off_t)n), 0);
        fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_DAMAGED);
    }
    ck_assert(!there(staging));
}
END_TEST

/* Octets turned over everywhere: either it does not matter, or it is noticed; a crash of LMDB is an
 * error here. */
START_TEST(damaged)
{
    unsigned noticed = 0, rounds = 0;
    for (unsigned i = 1; i < 50; i++)
        put_n(i);
    ok(store_backup(st, file, &facts, &err));
    uint64_t bytes = facts.bytes;
    for (uint64_t at = 8192; at < bytes; at += 1531, rounds++) {
        struct store_restore *r = NULL;
        uint8_t octet[16], old[16];
        int fd = open(file, O_RDWR);
        ck_assert_int_eq(pread(fd, old, sizeof old, (off_t)at), (ssize_t)sizeof old);
        for (size_t i = 0; i < sizeof octet; i++)
            octet[i] = old[i] ^ 0xff;
        ck_assert_int_gt(pwrite(fd, octet, sizeof octet, (off_t)at), 0);
        err_clear(&err);
        bool begun = store_restore_begin(file, target, NULL, &r, &facts, &err);
        noticed += !begun || facts.problems > 0;
        store_restore_abort(r);
        ck_assert_int_gt(pwrite(fd, old, sizeof old, (off_t)at), 0);
        close(fd);
        ck_assert(!there(staging));
    }
    ck_assert_uint_gt(rounds, 20);
    ck_assert_uint_gt(noticed, rounds / 4);
    restore(); /* and as it was, it is good */
}
END_TEST

/* ---- no room, killed, busy ---- */

START_TEST(no_room)
{
    struct rlimit before, small = {.rlim_cur = 40000};
    for (unsigned i = 1; i < 200; i++)
        put_n(i);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    fails(store_backup(st, file, &facts, &err), ERR_FULL);
    ck_assert(!there(file));
    ck_assert(!there(part));
    setrlimit(RLIMIT_FSIZE, &before);
    ok(store_backup(st, file, &facts, &err));
    struct store_restore *r = NULL;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    fails(store_restore_begin(file, target, NULL, &r, &facts, &err), ERR_FULL);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert(!there(staging));
    restore();
    signal(SIGXFSZ, SIG_DFL);
}
END_TEST

/* In a process of its own that is killed after `us` microseconds. */
static void killed(void (*work)(void), unsigned us)
{
    pid_t child = fork_child();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        work();
        _exit(0);
    }
    usleep(us);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

static void backup_forever(void)
{
    struct store *s = NULL;
    struct store_options o = {.path = dir, .map_size = MAP_SMALL};
    struct err ignored = {0};
    struct store_facts f;
    if (!store_open(&o, &s, &ignored))
        return;
    for (;;)
        if (store_backup(s, file, &f, &ignored))
            unlink(file);
}

static void restore_forever(void)
{
    struct store_audit entry = seam;
    struct err ignored = {0};
    struct store_facts f;
    char away[340];
    snprintf(away, sizeof away, "%s.away", target);
    for (struct store_restore *r = NULL;;) {
        if (store_restore_begin(file, target, NULL, &r, &f, &ignored))
            store_restore_commit(r, &entry, &ignored);
        if (rename(target, away) == 0) /* at once: half of one would not be the restore's fault */
            remove_store(away);
    }
}

START_TEST(killed_backup)
{
    for (unsigned i = 1; i < 300; i++)
        put_n(i);
    for (unsigned i = 0; i < 12; i++) {
        killed(backup_forever, 1000 + i * 2711);
        if (there(file)) { /* it has its name, so it is whole */
            struct store_restore *r = NULL;
            ok(store_restore_begin(file, target, NULL, &r, &facts, &err));
            ck_assert_uint_eq(facts.problems, 0);
            ck_assert_uint_eq(facts.certificates, 299);
            store_restore_abort(r);
            unlink(file);
        }
        ok(store_backup(st, file, &facts, &err)); /* takes over what is left */
        ck_assert_uint_eq(facts.certificates, 299);
        unlink(file);
    }
    verify_clean();
}
END_TEST

START_TEST(killed_restore)
{
    for (unsigned i = 1; i < 300; i++)
        put_n(i);
    audit("one", 4000);
    char away[340];
    snprintf(away, sizeof away, "%s.away", target);
    ok(store_backup(st, file, &facts, &err));
    for (unsigned i = 0; i < 12; i++) {
        killed(restore_forever, 1000 + i * 3517);
        if (there(target)) { /* in its place, so it is whole, with its seam */
            struct store *s = store_at(target, MAP_SMALL);
            uint64_t problems = 1;
            struct store_audit last = {.seq = 0};
            ok(store_verify(s, no_problem, NULL, &problems, &err));
            ok(store_audit_list(s, 1, last_entry, &last, &err));
            ck_assert_str_eq(last.event, STORE_EVENT_RESTORED);
            store_close(s);
            remove_store(target);
        }
        restore();
        remove_store(target);
        remove_store(away);
    }
}
END_TEST

static void *write_on(void *stop)
{
    for (unsigned i = 1000; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); i++) {
        struct store_cert c = cert_of(i);
        struct err why = {0};
        struct store_write *w = NULL;
        if (store_write_begin(st, &w, &why)) {
            if (store_cert_put(w, &c, &why))
                store_write_commit(w, &why);
            else
                store_write_abort(w);
        }
        store_cert_clear(&c);
    }
    return NULL;
}

START_TEST(beside_writes)
{
    bool stop = false;
    pthread_t writer;
    put_n(1);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_on, &stop), 0);
    for (int i = 0; i < 10; i++) {
        ok(store_backup(st, file, &facts, &err));
        ck_assert_uint_eq(facts.problems, 0);
        ck_assert_uint_ge(facts.certificates, 1);
        unlink(file);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(writer, NULL);
    verify_clean();
}
END_TEST

START_TEST(success_is_remembered)
{
    int64_t at = 1;
    ok(store_backup_last(st, &at, &err));
    ck_assert_int_eq(at, 0);
    struct store_write *w = begin();
    ok(store_backup_succeeded(w, 1234567, &err));
    commit(w);
    reopen();
    ok(store_backup_last(st, &at, &err));
    ck_assert_int_eq(at, 1234567);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/backup");
    TCase *c = tcase_create("backup");
    tcase_add_checked_fixture(c, paths, cleanup);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, whole);
    tcase_add_test(c, seam_and_numbers);
    tcase_add_test(c, target_not_free);
    tcase_add_test(c, served_by_a_daemon);
    tcase_add_test(c, aborted);
    tcase_add_test(c, no_backup_at_all);
    tcase_add_test(c, cut);
    tcase_add_test(c, damaged);
    tcase_add_test(c, no_room);
    tcase_add_test(c, killed_backup);
    tcase_add_test(c, killed_restore);
    tcase_add_test(c, beside_writes);
    tcase_add_test(c, success_is_remembered);
    tcase_add_test(c, fleet_comes_back);
    suite_add_tcase(s, c);
    return check_main(s);
}
