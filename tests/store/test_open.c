/* Opening and closing, counters and audit entries. */
#include <sys/wait.h>

#include "backend.h"
#include "store/page.h"
#include "records.h" /* white box: a format number and a record of the future */
#include "check_main.h"
#include "fixture.h"

static void expect_open(enum err_kind kind, bool create)
{
    struct store *s = NULL;
    struct store_options o = {.path = dir, .map_size = MAP_SMALL, .create = create};
    fails(store_open(&o, &s, &err), kind);
    ck_assert_ptr_null(s);
}

static void fresh(void)
{
    err_clear(&err);
    dir_new();
}

static unsigned mode_of(const char *name)
{
    struct stat s;
    char path[300];
    snprintf(path, sizeof path, "%s%s", dir, name);
    ck_assert_int_eq(stat(path, &s), 0);
    return s.st_mode & 0777;
}

START_TEST(makes_private_files)
{
    ck_assert_int_eq(rmdir(dir), 0);
    expect_open(ERR_NOT_FOUND, false); /* no directory */
    umask(0);
    st = store_at(dir, MAP_SMALL);
    ck_assert_uint_eq(mode_of(""), 0700);
    ck_assert_uint_eq(mode_of("/data.mdb"), 0600);
    ck_assert_uint_eq(mode_of("/lock.mdb"), 0600);
    reopen();
    store_close(st);
    struct store_options o = {.path = dir, .map_size = MAP_SMALL};
    ok(store_open(&o, &st, &err)); /* there is one: no need to create */
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.map_bytes, MAP_SMALL);
    ck_assert_uint_gt(stats.file_bytes, 0);
    ck_assert_uint_gt(stats.used_bytes, 0);
    ck_assert_uint_le(stats.used_bytes, stats.file_bytes);
    ck_assert_uint_gt(stats.free_disk_bytes, 0);
    ck_assert_uint_eq(stats.certificates, 0);
}
END_TEST

START_TEST(one_daemon_at_a_time)
{
    struct store_options daemon = {
        .path = dir, .map_size = MAP_SMALL, .create = true, .alone = true};
    fresh();
    ok(store_open(&daemon, &st, &err));
    pid_t child = fork_child();
    if (child == 0) {
        struct store *s = NULL;
        struct store_options tool = {.path = dir, .map_size = MAP_SMALL};
        struct err busy = {0}, none = {0};
        bool refused = !store_open(&daemon, &s, &busy) && busy.kind == ERR_BUSY;
        bool opened = store_open(&tool, &s, &none);
        store_close(s);
        _exit(refused && opened ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    store_close(st);
    ok(store_open(&daemon, &st, &err)); /* the place is free again */
}
END_TEST

START_TEST(nothing_there)
{
    expect_open(ERR_NOT_FOUND, false); /* an empty directory */
    char file[300];
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    ck_assert_int_eq(symlink("/dev/null", file), 0);
    expect_open(ERR_IO, true); /* no plain file */
    ck_assert_int_eq(unlink(file), 0);
    FILE *f = fopen(file, "w");
    for (int i = 0; i < 10000; i++)
        fputs("no database", f);
    fclose(f);
    expect_open(ERR_DAMAGED, true);
    ck_assert_int_eq(unlink(file), 0);
    snprintf(file, sizeof file, "%s/none/none", dir);
    struct store_options o = {.path = file, .create = true};
    fails(store_open(&o, &st, &err), ERR_IO);
}
END_TEST

struct lines {
    char text[4096];
};

static void line_add(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct lines *l = ctx;
    strncat(l->text, line, sizeof l->text - strlen(l->text) - 1);
}

START_TEST(warns_of_permissions)
{
    struct lines l = {""};
    struct log log = {LOG_LEVEL_INFO, line_add, &l};
    struct store_options o = {.path = dir, .map_size = MAP_SMALL, .create = true, .log = &log};
    ok(store_open(&o, &st, &err));
    ck_assert_ptr_null(strstr(l.text, "store.permissions"));
    store_close(st);
    ck_assert_int_eq(chmod(dir, 0750), 0);
    ok(store_open(&o, &st, &err));
    ck_assert_ptr_nonnull(strstr(l.text, "store.permissions"));
}
END_TEST

START_TEST(once_in_a_process)
{
    st = store_at(dir, MAP_SMALL);
    expect_open(ERR_BUSY, true);
    char link[300];
    snprintf(link, sizeof link, "%s-link", dir);
    ck_assert_int_eq(symlink(dir, link), 0);
    struct store *other = NULL;
    struct store_options o = {.path = link, .map_size = MAP_SMALL};
    fails(store_open(&o, &other, &err), ERR_BUSY); /* the same by another name */
    ck_assert_int_eq(unlink(link), 0);
    put_n(1);
    reopen();
}
END_TEST

/* The child must not use its parent's store, and may open it anew. */
START_TEST(not_across_fork)
{
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    pid_t child = fork_child();
    if (child == 0) {
        uint64_t n;
        struct store_write *w = NULL;
        struct store *own = NULL;
        struct store_options o = {.path = dir, .map_size = MAP_SMALL};
        bool refused = !store_generation(st, &n, &err) && err.kind == ERR_STORE &&
                       !store_write_begin(st, &w, &err) && err.kind == ERR_STORE;
        bool opened = store_open(&o, &own, &err) && store_generation(own, &n, &err);
        store_close(own);
        store_close(st);
        _exit(refused && opened ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    put_n(2); /* the parent's still works */
    verify_clean();
}
END_TEST

static void meta_put(struct key k, struct view value)
{
    struct store_write *w = begin();
    ok(txn_put(&w->txn, TABLE_META, PUT_REPLACE, key_view(&k), value, &err));
    commit(w);
}

START_TEST(newer_format)
{
    st = store_at(dir, MAP_SMALL);
    uint8_t format[8];
    u64_octets(STORE_FORMAT + 6, format);
    meta_put(meta_format(), view_of(format, 8));
    store_close(st);
    st = NULL;
    struct store_options o = {.path = dir, .map_size = MAP_SMALL};
    ck_assert(!store_open(&o, &st, &err));
    ck_assert_int_eq(err.kind, ERR_STORE);
    ck_assert_ptr_nonnull(strstr(err.text, "format 12"));
    ck_assert_ptr_nonnull(strstr(err.text, "up to 6"));
    expect_open(ERR_STORE, true);
}
END_TEST

static void copy_file(const char *from, const char *to)
{
    char command[1024];
    snprintf(command, sizeof command, "cp %s %s", from, to);
    ck_assert_int_eq(system(command), 0);
}

/* A store as version 0.1.0 left it: two certificates (1 revoked), a CRL, two challenges, a
 * transaction issued and one that waits, three audit entries. */
START_TEST(format_1_is_migrated)
{
    char file[512];
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    copy_file(VECTORS "/format-1.mdb", file);
    struct store_options o = {.path = dir, .map_size = MAP_SMALL};
    ok(store_open(&o, &st, &err));
    verify_clean();
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.certificates, 2);
    ck_assert_uint_eq(stats.revoked, 1);
    ck_assert_uint_eq(stats.challenges, 2);
    ck_assert_uint_eq(stats.transactions, 2);
    ck_assert_uint_eq(stats.pending, 1);
    ck_assert_uint_eq(stats.audit_entries, 3);
    ck_assert_uint_eq(stats.attempts, 0);
    struct store_cert_counts counts;
    ok(store_cert_counts(st, 0, &counts, &err));
    ck_assert_uint_eq(counts.state[CERT_ACTIVE] + counts.state[CERT_SUPERSEDED], 1);
    ck_assert_uint_eq(counts.state[CERT_REVOKED], 1);
    struct store_attempt a = {.at = 1, .fail_info = -1};
    struct store_write *w = begin();
    ok(store_attempt_put(w, &a, &err));
    commit(w);
    uint64_t before = generation();
    store_close(st);
    ok(store_open(&o, &st, &err)); /* once is enough */
    ck_assert_uint_eq(generation(), before);
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.attempts, 1);
    verify_clean();
}
END_TEST

struct seen {
    char ids[256];
};

static void challenge_seen(void *ctx, const struct store_challenge *c)
{
    struct seen *s = ctx;
    strcat(strcat(s->ids, c->id), " ");
    ck_assert_str_eq(c->device, "");
}

static void request_seen(void *ctx, const struct store_request *r)
{
    struct seen *s = ctx;
    strcat(strcat(s->ids, r->id), " ");
    ck_assert_str_eq(r->policy, "");
}

static void attempt_seen(void *ctx, const struct store_attempt *a)
{
    struct seen *s = ctx;
    snprintf(s->ids + strlen(s->ids), 16, "%u ", (unsigned)a->seq);
    ck_assert_str_eq(a->trail.step[0].text, "arrived");
}

/* A store as the last version before devices left it: three certificates (2 revoked), three
 * challenges, two requests, attempts. */
START_TEST(format_5_is_migrated)
{
    char file[512];
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    copy_file(VECTORS "/format-5.mdb", file);
    struct store_options o = {.path = dir, .map_size = MAP_SMALL};
    ok(store_open(&o, &st, &err));
    verify_clean();
    struct seen s = {.ids = ""};
    struct store_page page = {.limit = 10};
    ok(store_challenge_page(st, &(struct store_challenge_filter){.state = 0}, &page, challenge_seen,
                            &s, &err));
    ck_assert_str_eq(s.ids, "chl_bbbbbb chl_cccccc chl_aaaaaa "); /* the newest first */
    s.ids[0] = '\0';
    ok(store_request_page(st, &(struct store_request_filter){.state = -1}, &page, request_seen, &s,
                          &err));
    ck_assert_str_eq(s.ids, "req_aaaaaa req_bbbbbb ");
    s.ids[0] = '\0';
    ok(store_attempt_page(st, &(struct store_attempt_filter){.result = -1}, &page, attempt_seen, &s,
                          &err));
    ck_assert_str_eq(s.ids, "3 2 1 ");
    struct store_cert c = {0};
    ok(store_cert_by_id(st, 2, &c, &err));
    ck_assert_int_eq(c.state, CERT_REVOKED);
    ck_assert_str_eq(c.device, "");
    store_cert_clear(&c);
    struct store_cert_status status;
    hash_of(3, 's', c.serial);
    c.serial[0] = 0x12;
    ok(store_cert_status(st, authority_a, view_of(c.serial, 16), &status, &err));
    ck_assert(status.stored);
    /* old records change and go as new ones do */
    struct store_write *w = begin();
    uint64_t purged = 0;
    ok(store_cert_revoke(w, 3, CRL_SUPERSEDED, 1700, &err));
    ok(store_challenge_revoke(w, "chl_cccccc", 1700, &err));
    ok(store_request_polled(w, "req_aaaaaa", 1700, &err));
    ok(store_attempt_purge(w, 1302, 0, &purged, &err));
    ck_assert_uint_eq(purged, 2);
    ok(store_challenge_purge(w, 9001, &purged, &err));
    ck_assert_uint_eq(purged, 2);
    commit(w);
    verify_clean();
}
END_TEST

/* Of format 4: the octets of a CRL stood in its record, and no revocation told its generation. */
START_TEST(crls_become_files)
{
    static const char octets[] = "the old list";
    struct key k = {.n = 0};
    uint8_t format[8];
    struct buf record = {0};
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    struct record_writer r = record_begin(&record, 1);
    write_u64(&r, 7);
    write_u64(&r, 3);
    write_i64(&r, 1000);
    write_i64(&r, 2000);
    write_blob(&r, view_str(octets));
    key_bytes(&k, authority_a, 20);
    key_u32(&k, 0);
    u64_octets(4, format);
    struct key number = meta_crl_number(authority_a, 0);
    struct store_write *w = begin();
    ok(store_cert_revoke(w, 1, CRL_HOLD, 1, &err));
    ok(txn_put(&w->txn, TABLE_CRL, PUT_REPLACE, key_view(&k), buf_view(&record), &err));
    ok(txn_counter_set(&w->txn, key_view(&number), 7, &err));
    commit(w);
    buf_clear(&record);
    meta_put(meta_format(), view_of(format, 8));
    reopen();
    struct store_crl crl = {0};
    ok(store_crl_get(st, authority_a, STORE_CRL_COMPLETE, &crl, &err));
    ck_assert(view_eq(crl.der, view_str(octets)));
    ck_assert_uint_eq(crl.number, 7);
    ck_assert_uint_eq(crl.generation, 3);
    ck_assert_int_eq(crl.this_update, 1000);
    ck_assert_int_eq(crl.until, 2000);
    store_crl_clear(&crl);
    w = begin();
    ok(store_cert_release(w, 1, &err));
    commit(w);
    verify_clean();
}
END_TEST

static void audit_seen(void *ctx, const struct store_audit *a)
{
    struct seen *s = ctx;
    snprintf(s->ids + strlen(s->ids), 16, "%u ", (unsigned)a->seq);
}

/* Of format 5: nothing was linked, and an object may look like the id of a device: an authority
 * that is called so. */
START_TEST(old_audit_entries_are_linked)
{
    static const struct {
        const char *event, *object;
    } entries[] = {{"crl.published", "dev_ca"},
                   {"transaction.refused", "dev_ca"},
                   {"crl.published", "main"},
                   {"crl.published", "dev_ca"}};
    uint8_t format[8];
    struct seen s = {.ids = ""};
    struct store_page page = {.limit = 10};
    st = store_at(dir, MAP_SMALL);
    struct store_write *w = begin();
    for (unsigned i = 0; i < 4; i++) {
        struct store_audit a = {.at = 100 + i};
        struct key number = key_id(i + 1);
        strcpy(a.event, entries[i].event);
        strcpy(a.object, entries[i].object);
        ok(store_audit_put(w, &a, &err));
        if (i == 0 || i == 3)
            ok(links_del(&w->txn, a.object, "", LINK_AUDIT, key_view(&number), &err));
    }
    commit(w);
    u64_octets(5, format);
    meta_put(meta_format(), view_of(format, 8));
    reopen();
    verify_clean();
    ok(store_audit_page(st, &(struct store_audit_filter){.object = "dev_ca"}, &page, audit_seen, &s,
                        &err));
    ck_assert_str_eq(s.ids, "4 1 ");
}
END_TEST

START_TEST(newer_record)
{
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    struct key id = key_id(1);
    struct store_write *w = begin();
    ok(txn_put(&w->txn, TABLE_CERT, PUT_REPLACE, key_view(&id), view_str("\x03rest"), &err));
    commit(w);
    struct store_cert c = {0};
    ck_assert(!store_cert_by_id(st, 1, &c, &err));
    ck_assert_int_eq(err.kind, ERR_STORE);
    ck_assert_ptr_nonnull(strstr(err.text, "version 3"));
    struct store_cert_filter f = {.state = -1};
    fails(store_cert_list(st, &f, NULL, NULL, &err), ERR_STORE);
}
END_TEST

/* Root working in the store of another user leaves nothing that this user could not open. */
START_TEST(root_hands_over)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(dir, 65534, 65534), 0);
    st = store_at(dir, MAP_SMALL);
    put_n(1);
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (int i = 0; i < 2; i++) {
        char file[300];
        struct stat s;
        snprintf(file, sizeof file, "%s/%s", dir, names[i]);
        ck_assert_int_eq(stat(file, &s), 0);
        ck_assert_uint_eq(s.st_uid, 65534);
        ck_assert_uint_eq(s.st_gid, 65534);
    }
}
END_TEST

START_TEST(generations)
{
    st = store_at(dir, MAP_SMALL);
    uint64_t before = generation();
    commit(begin()); /* nothing changed */
    ck_assert_uint_eq(generation(), before);
    struct store_write *w = begin();
    ok(store_audit_put(w, &(struct store_audit){.event = "event"}, &err));
    ck_assert_uint_eq(generation(), before); /* a read beside the open write */
    store_write_abort(w);
    store_write_abort(NULL);
    ck_assert_uint_eq(generation(), before);
    put_n(1);
    ck_assert_uint_eq(generation(), before + 1);
    reopen();
    ck_assert_uint_eq(generation(), before + 1);
    ok(store_housekeep(st, &err));
}
END_TEST

/* Another file at its path, or none: nothing is told that is not there. */
START_TEST(file_gone)
{
    char file[300], away[300];
    struct store_audit a = {.at = 1, .event = "event"};
    uint64_t n;
    st = store_at(dir, MAP_SMALL);
    uint64_t before = generation();
    struct store_write *w = begin();
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    snprintf(away, sizeof away, "%s.away", dir);
    ck_assert(store_in_place(st));
    ok(store_audit_put(w, &a, &err));
    ck_assert_int_eq(rename(file, away), 0);
    if (_i) {
        FILE *other = fopen(file, "w");
        ck_assert_ptr_nonnull(other);
        fclose(other);
    }
    ok(store_generation(st, &n, &err)); /* nobody has looked yet */
    fails(store_write_commit(w, &err), ERR_GONE);
    fails(store_generation(st, &n, &err), ERR_GONE);
    fails(store_write_begin(st, &w, &err), ERR_GONE);
    ck_assert(!store_in_place(st));
    ck_assert_int_eq(rename(away, file), 0);
    ck_assert(store_in_place(st));
    ok(store_generation(st, &n, &err));
    ck_assert_uint_eq(n, before);
    w = begin();
    ok(store_audit_put(w, &a, &err));
    commit(w);
    reopen();
    ck_assert_uint_eq(generation(), before + 1);
}
END_TEST

static void put_audit(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct store_write *w = begin();
        ok(store_audit_put(w, &(struct store_audit){.event = "event"}, &err));
        commit(w);
    }
}

/* Of another process, with the store that stands at the path. */
static void write_elsewhere(unsigned n)
{
    int status;
    pid_t child = fork_child();
    if (child == 0) {
        struct store_options o = {.path = dir, .map_size = MAP_SMALL};
        ok(store_open(&o, &st, &err));
        put_audit(n);
        store_close(st);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* Somebody has written to the copy that stood there meanwhile, and LMDB counts that in the same
 * lock.mdb: by it the file that is put back would lose its last commit. */
START_TEST(file_back_after_others_were_written)
{
    char file[300], away[300];
    uint64_t n;
    struct store *other = NULL;
    struct store_write *w = NULL;
    struct store_options o = {.path = dir, .map_size = MAP_SMALL};
    st = store_at(dir, MAP_SMALL);
    put_audit(3);
    uint64_t before = generation();
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    snprintf(away, sizeof away, "%s.away", dir);
    ck_assert_int_eq(rename(file, away), 0);
    copy_file(away, file);
    ck_assert(!store_in_place(st));
    write_elsewhere((unsigned)_i + 1);
    ck_assert_int_eq(rename(away, file), 0);
    store_in_place(st);
    fails(store_generation(st, &n, &err), ERR_GONE);
    fails(store_write_begin(st, &w, &err), ERR_GONE);
    pid_t child = fork_child();
    if (child == 0)
        _exit(!store_open(&o, &other, &err) && err.kind == ERR_GONE ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    reopen(); /* as the only one it counts anew */
    ck_assert_uint_eq(generation(), before);
    put_audit(1);
    verify_clean();
}
END_TEST

START_TEST(one_write_in_a_thread)
{
    st = store_at(dir, MAP_SMALL);
    struct store_write *w = begin(), *second = NULL;
    fails(store_write_begin(st, &second, &err), ERR_STORE);
    ok(store_audit_put(w, &(struct store_audit){.event = "event"}, &err));
    commit(w);
    commit(begin());
}
END_TEST

static struct store_audit entry_of(unsigned n)
{
    struct store_audit a = {.at = 100 + n};
    strcpy(a.event, "certificate.issued");
    strcpy(a.actor, "/scep");
    snprintf(a.object, sizeof a.object, "serial %u", n);
    strcpy(a.text, "subject=\"CN=a\"");
    return a;
}

struct log_read {
    struct store_audit last;
    size_t n;
    uint64_t first;
};

static bool log_add(void *ctx, const struct store_audit *a)
{
    struct log_read *l = ctx;
    if (!l->n++)
        l->first = a->seq;
    l->last = *a;
    return a->seq != 250;
}

START_TEST(audit)
{
    st = store_at(dir, MAP_SMALL);
    struct log_read l = {.n = 0};
    ok(store_audit_list(st, 0, log_add, &l, &err));
    ck_assert_uint_eq(l.n, 0);
    int64_t newest = 1;
    ok(store_audit_newest(st, &newest, &err));
    ck_assert_int_eq(newest, 0);
    for (unsigned i = 1; i <= 300; i++) {
        struct store_audit a = entry_of(i);
        struct store_write *w = begin();
        ok(store_audit_put(w, &a, &err));
        if (i % 100 == 0)
            ok(store_audit_put(w, &a, &err)); /* two in one write */
        commit(w);
    }
    verify_clean();
    ok(store_audit_list(st, 0, log_add, &l, &err));
    ck_assert_uint_eq(l.n, 250); /* stopped there */
    l = (struct log_read){.n = 0};
    ok(store_audit_newest(st, &newest, &err));
    ck_assert_int_eq(newest, 400);
    ok(store_audit_list(st, 251, log_add, &l, &err));
    ck_assert_uint_eq(l.n, 53);
    ck_assert_uint_eq(l.first, 251);
    ck_assert_uint_eq(l.last.seq, 303);
    ck_assert_int_eq(l.last.at, 400);
    ck_assert_str_eq(l.last.object, "serial 300");
    struct store_audit bad = entry_of(1);
    memset(bad.text, 'x', sizeof bad.text);
    struct store_write *w = begin();
    fails(store_audit_put(w, &bad, &err), ERR_STORE);
    store_write_abort(w);
    verify_clean();
}
END_TEST

START_TEST(readers_of_what_is_old)
{
    struct store_reader r[4];
    size_t n = 9;
    struct txn old, newer;
    fresh();
    st = store_at(dir, MAP_SMALL);
    ok(txn_read(st, &old, &err));
    ok(store_readers(st, r, 4, &n, &err));
    ck_assert_uint_eq(n, 0); /* it reads the newest state: nothing is kept for it */
    put_n(1);
    ok(txn_read(st, &newer, &err));
    ok(store_readers(st, r, 4, &n, &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(r[0].pid, getpid());
    uint64_t snapshot = r[0].snapshot;
    put_n(2);
    ok(store_readers(st, r, 4, &n, &err));
    ck_assert_uint_eq(n, 2);
    ok(store_readers(st, r, 1, &n, &err)); /* no more than there is room for */
    ck_assert_uint_eq(n, 1);
    txn_read_end(&newer);
    ok(store_readers(st, r, 4, &n, &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(r[0].snapshot, snapshot);
    txn_read_end(&old);
    ok(store_readers(st, r, 4, &n, &err));
    ck_assert_uint_eq(n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/open");
    TCase *c = tcase_create("open");
    tcase_add_checked_fixture(c, fresh, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, makes_private_files);
    tcase_add_test(c, one_daemon_at_a_time);
    tcase_add_test(c, nothing_there);
    tcase_add_test(c, warns_of_permissions);
    tcase_add_test(c, once_in_a_process);
    tcase_add_test(c, not_across_fork);
    tcase_add_test(c, newer_format);
    tcase_add_test(c, format_1_is_migrated);
    tcase_add_test(c, format_5_is_migrated);
    tcase_add_test(c, crls_become_files);
    tcase_add_test(c, old_audit_entries_are_linked);
    tcase_add_test(c, newer_record);
    tcase_add_test(c, root_hands_over);
    tcase_add_test(c, generations);
    tcase_add_loop_test(c, file_gone, 0, 2);
    tcase_add_loop_test(c, file_back_after_others_were_written, 0, 2);
    tcase_add_test(c, one_write_in_a_thread);
    tcase_add_test(c, audit);
    tcase_add_test(c, readers_of_what_is_old);
    suite_add_tcase(s, c);
    return check_main(s);
}
