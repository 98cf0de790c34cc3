/* Several processes on one store, and what is left when one of them is killed. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "check_main.h"
#include "fixture.h"

/* Whole lines of work in one write, as the committer does them: a challenge made and burnt, a
 * certificate, a transaction, an audit entry. */
static uint64_t enrol(unsigned n)
{
    struct store_cert c = cert_of(n);
    struct store_challenge challenge = {.created_at = 1, .expires_at = 1000, .uses = 1};
    struct store_use use = {.at = 5, .transaction = "T"};
    struct store_tx tx = {.endpoint = "/scep", .state = TX_ISSUED};
    struct store_audit audit = {.event = "certificate.issued"};
    snprintf(challenge.id, sizeof challenge.id, "chl_%u", n);
    hash_of(n, 'c', challenge.hash);
    snprintf(tx.transaction, sizeof tx.transaction, "T%u", n);
    struct store_write *w = begin();
    ok(store_challenge_put(w, &challenge, &err) &&
       store_challenge_burn(w, challenge.hash, &use, &err));
    ok(store_cert_put(w, &c, &err));
    tx.cert_id = c.id;
    ok(store_tx_put(w, &tx, NULL, &err) && store_audit_put(w, &audit, &err));
    commit(w);
    store_cert_clear(&c);
    return tx.cert_id;
}

static void assert_enrolled(unsigned n, uint64_t id)
{
    struct store_cert c = {0};
    struct store_challenge challenge;
    struct store_tx tx;
    char transaction[32], subject[64];
    uint8_t hash[STORE_HASH];
    hash_of(n, 'c', hash);
    snprintf(transaction, sizeof transaction, "T%u", n);
    snprintf(subject, sizeof subject, "CN=device-%u", n);
    ok(store_cert_by_id(st, id, &c, &err));
    ck_assert_str_eq(c.subject, subject);
    store_cert_clear(&c);
    ok(store_challenge_by_hash(st, hash, &challenge, &err));
    ck_assert_uint_eq(challenge.used, 1);
    ok(store_tx_get(st, "/scep", transaction, &tx, &err));
    ck_assert_uint_eq(tx.cert_id, id);
}

static void fresh(void)
{
    err_clear(&err);
    dir_new();
}

#define WRITERS 3
#define EACH 150

static void all_end_well(const pid_t child[WRITERS])
{
    for (unsigned p = 0; p < WRITERS; p++) {
        int status;
        ck_assert_int_eq(waitpid(child[p], &status, 0), child[p]);
        ck_assert_int_eq(status, 0);
    }
}

START_TEST(making_at_once)
{
    for (unsigned round = 0; round < 50; round++) {
        pid_t child[WRITERS];
        char file[300];
        for (unsigned p = 0; p < WRITERS; p++) {
            child[p] = fork_child();
            if (child[p] == 0) {
                st = store_at(dir, MAP_SMALL);
                store_close(st);
                _exit(0);
            }
        }
        all_end_well(child);
        snprintf(file, sizeof file, "%s/data.mdb", dir);
        ck_assert_int_eq(unlink(file), 0);
        snprintf(file, sizeof file, "%s/lock.mdb", dir);
        ck_assert_int_eq(unlink(file), 0);
    }
}
END_TEST

START_TEST(writing_at_once)
{
    pid_t child[WRITERS];
    for (unsigned p = 0; p < WRITERS; p++) {
        child[p] = fork_child();
        if (child[p] == 0) {
            st = store_at(dir, MAP_SMALL); /* even making it is a race */
            for (unsigned i = 0; i < EACH; i++)
                enrol(p * 1000 + i);
            store_close(st);
            _exit(0);
        }
    }
    all_end_well(child);
    st = store_at(dir, MAP_SMALL);
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.certificates, WRITERS * EACH);
    ck_assert_uint_eq(stats.challenges, WRITERS * EACH);
    ck_assert_uint_eq(stats.transactions, WRITERS * EACH);
    ck_assert_uint_eq(stats.audit_entries, WRITERS * EACH);
    ck_assert_uint_eq(generation(), 1 + WRITERS * EACH); /* one for making the store */
    verify_clean();
}
END_TEST

/* A process that dies with a snapshot open, in the call of a list. */
static bool die(void *ctx, const struct store_revoked *r)
{
    raise(SIGKILL);
    return false;
}

static void die_writing(void)
{
    struct store_write *w = begin();
    ok(store_cert_release(w, 1, &err));
    raise(SIGKILL);
}

static void die_reading(void)
{
    uint64_t shown;
    ok(store_revoked_list(st, authority_a, false, die, NULL, &shown, &err));
}

/* ... blocks nobody, and leaves nothing half done. */
static void died(void (*how)(void))
{
    pid_t child = fork_child();
    if (child == 0) {
        st = store_at(dir, MAP_SMALL);
        how();
        _exit(1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t file_bytes(void)
{
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    return stats.file_bytes;
}

START_TEST(dies_holding)
{
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    struct store_write *w = begin();
    ok(store_cert_revoke(w, 1, CRL_HOLD, 5, &err));
    commit(w);
    store_close(st);
    st = NULL;
    died(die_writing);
    died(die_reading);
    st = store_at(dir, MAP_SMALL);
    put_n(2);
    struct store_cert c = {0};
    ok(store_cert_by_id(st, 1, &c, &err));
    ck_assert_int_eq(c.state, CERT_HELD);
    store_cert_clear(&c);
    verify_clean();
}
END_TEST

/* The snapshot of the dead holds its pages until somebody looks after them. */
START_TEST(dead_reader_freed)
{
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    struct store_write *w = begin();
    ok(store_cert_revoke(w, 1, CRL_HOLD, 5, &err));
    commit(w);
    store_close(st);
    st = NULL;
    int fds[2];
    char c;
    ck_assert_int_eq(pipe(fds), 0);
    if (fork_child() == 0) {
        close(fds[1]);
        st = store_at(dir, MAP_SMALL);
        must(read(fds[0], &c, 1) == 0, "read"); /* until the other has opened it too */
        die_reading();
    }
    st = store_at(dir, MAP_SMALL);
    close(fds[0]);
    close(fds[1]);
    wait(NULL);
    struct store_crl crl = {.number = 0};
    uint64_t before = 0;
    for (int i = 0; i < 300; i++) {
        if (i == 100)
            before = file_bytes();
        if (i == 50)
            ok(store_housekeep(st, &err));
        w = begin();
        ok(store_crl_number_next(w, authority_a, 0, &crl.number, &err) &&
           crl_put(w, authority_a, 0, &crl, "list"));
        commit(w);
    }
    ck_assert_uint_eq(file_bytes(), before); /* pages are used again */
}
END_TEST

#define ROUNDS 30
#define AT_LEAST 2 /* writes acknowledged in each round, however slow the machine is */
#define ACKS_MAX 100000

struct ack {
    unsigned n;
    uint64_t id;
};

static void enrol_for_ever(unsigned from, int fd)
{
    st = store_at(dir, MAP_SMALL);
    for (unsigned n = from;; n++) {
        struct ack a = {n, enrol(n)};
        if (write(fd, &a, sizeof a) != sizeof a)
            _exit(1);
    }
}

/* Kills a writer that is at its work, after a moment that differs from round to round; what it had
 * been told is durable must be there.  Returns the number of the next device. */
static unsigned killed_round(unsigned round, unsigned from, struct ack *acks, size_t *n)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork_child();
    if (child == 0) {
        close(fds[0]);
        enrol_for_ever(from, fds[1]);
    }
    close(fds[1]);
    struct ack a = {from, 0};
    for (int i = 0; i < AT_LEAST && *n < ACKS_MAX; i++) {
        ck_assert_int_eq(read(fds[0], &a, sizeof a), sizeof a);
        acks[(*n)++] = a;
    }
    struct timespec moment = {0, (10 + (round * 7919) % 40) * 1000000};
    nanosleep(&moment, NULL);
    kill(child, SIGKILL);
    while (read(fds[0], &a, sizeof a) == sizeof a && *n < ACKS_MAX)
        acks[(*n)++] = a;
    close(fds[0]);
    waitpid(child, NULL, 0);
    return a.n + 2; /* the next one may be stored without having been told */
}

START_TEST(killed)
{
    struct ack *acks = calloc(ACKS_MAX, sizeof *acks);
    size_t n = 0;
    unsigned from = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t before = n;
        from = killed_round(round, from, acks, &n);
        st = store_at(dir, MAP_SMALL); /* opens at once */
        for (size_t i = before; i < n; i++)
            assert_enrolled(acks[i].n, acks[i].id);
        store_close(st);
    }
    ck_assert_uint_ge(n, ROUNDS * AT_LEAST);
    st = store_at(dir, MAP_SMALL);
    for (size_t i = 0; i < n; i++)
        assert_enrolled(acks[i].n, acks[i].id);
    verify_clean();
    free(acks);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/processes");
    TCase *c = tcase_create("processes");
    tcase_add_checked_fixture(c, fresh, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, writing_at_once);
    tcase_add_test(c, making_at_once);
    tcase_add_test(c, dies_holding);
    tcase_add_test(c, dead_reader_freed);
    tcase_add_test(c, killed);
    suite_add_tcase(s, c);
    return check_main(s);
}
