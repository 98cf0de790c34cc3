/* What is read stands in the audit log: the first time at once, what comes again as a count. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "api_fixture.h"
#include "check_main.h"

#define READERS 64 /* at a time */

static char own[sizeof bearer]; /* root's */

static const struct config_rooms no_rooms;

static void setup(void)
{
    api_setup();
    world.rooms = &no_rooms;
    strcpy(own, bearer);
}

static void become(const char *name)
{
    struct api_admin_wish wish = {.name = name, .role = ROLE_AUDITOR, .disabled = 0};
    struct store_admin a;
    struct store_token t;
    char secret[API_TOKEN_MAX];
    ck_assert(api_admin_new(world.store, &wish, "test", NOW, &a, &err));
    ck_assert(
        api_token_new(world.store, name, TOKEN_API, "", 86400, "test", NOW, secret, &t, &err));
    snprintf(bearer, sizeof bearer, "Bearer %s", secret);
}

static void get(const char *path)
{
    call(HTTP_GET, path, NULL);
}

static void write_now(void)
{
    ck_assert(api_reads_write(&world, at, false));
}

/* ---- what is in the log ---- */

struct found {
    const char *actor, *object, *words; /* NULL: any */
    size_t n;
    struct store_audit last;
};

static bool find_entry(void *ctx, const struct store_audit *a)
{
    struct found *f = ctx;
    if (strcmp(a->event, "api.read") != 0 || (f->actor && strcmp(a->actor, f->actor) != 0) ||
        (f->object && strcmp(a->object, f->object) != 0) ||
        (f->words && !strstr(a->text, f->words)))
        return true;
    f->n++;
    f->last = *a;
    return true;
}

static struct found find(const char *actor, const char *object, const char *words)
{
    struct found f = {.actor = actor, .object = object, .words = words};
    ck_assert(store_audit_list(world.store, 1, find_entry, &f, &err));
    return f;
}

static size_t entries(const char *actor, const char *object, const char *words)
{
    return find(actor, object, words).n;
}

/* How many readings the log tells of, counts and first ones. */
static bool add_up(void *ctx, const struct store_audit *a)
{
    const char *counted = strstr(a->text, ": ");
    if (strcmp(a->event, "api.read") == 0)
        *(unsigned long *)ctx += counted ? strtoul(counted + 2, NULL, 10) : 1;
    return true;
}

static unsigned long readings(void)
{
    unsigned long sum = 0;
    ck_assert(store_audit_list(world.store, 1, add_up, &sum, &err));
    return sum;
}

/* ---- the first one, and those behind it ---- */

START_TEST(the_first_reading_is_an_entry)
{
    get("/api/v1/admins");
    is(200);
    write_now();
    struct found f = find("root", "/admins", NULL);
    ck_assert_uint_eq(f.n, 1);
    ck_assert_str_eq(f.last.text, "GET admins_list from 192.0.2.1");
    ck_assert_int_eq(f.last.at, NOW);
    get("/api/v1/admins/root");
    call(HTTP_HEAD, "/api/v1/admins/root", NULL);
    write_now();
    ck_assert_uint_eq(entries("root", "/admins/root", "GET admin_get"), 1);
    ck_assert_uint_eq(entries(NULL, NULL, NULL), 2);
}
END_TEST

START_TEST(what_comes_again_is_counted)
{
    for (int i = 0; i < 120; i++, at += 5) { /* as a page of the console does */
        get("/api/v1/admins");
        write_now();
        ck_assert_uint_eq(entries(NULL, NULL, NULL), 1);
    }
    write_now(); /* at NOW + 600 */
    struct found f = find("root", "/admins", "119 more");
    ck_assert_uint_eq(f.n, 1);
    ck_assert_str_eq(f.last.text, "GET admins_list from 192.0.2.1: 119 more, 2027-01-15T08:00:05Z "
                                  "to 2027-01-15T08:09:55Z");
    ck_assert_int_eq(f.last.at, NOW + 600);
    get("/api/v1/admins"); /* a new time begins */
    write_now();
    ck_assert_uint_eq(entries("root", "/admins", NULL), 3);
    at += 600; /* and ends with nothing to count */
    write_now();
    ck_assert_uint_eq(entries("root", "/admins", NULL), 3);
}
END_TEST

START_TEST(other_addresses_are_named)
{
    static const char *const peers[] = {"192.0.2.1", "198.51.100.7", "203.0.113.9"};
    for (int i = 0; i < 3; i++) {
        struct api_request r = {.method = HTTP_GET, .path = "/api/v1/admins", .peer = peers[i]};
        r.header[API_AUTHORIZATION] = bearer;
        ask(&r);
        is(200);
    }
    ck_assert(api_reads_write(&world, at, true));
    ck_assert_uint_eq(
        entries("root", "/admins", "from 192.0.2.1 and 203.0.113.9 and others: 2 more"), 1);
}
END_TEST

START_TEST(actors_are_told_apart)
{
    get("/api/v1/tokens");
    become("anna");
    get("/api/v1/tokens");
    write_now();
    ck_assert_uint_eq(entries("root", "/tokens", NULL), 1);
    ck_assert_uint_eq(entries("anna", "/tokens", NULL), 1);
    at += 300;
    get("/api/v1/tokens");
    strcpy(bearer, own);
    get("/api/v1/tokens");
    get("/api/v1/tokens");
    ck_assert(api_reads_write(&world, at, true)); /* as at the end */
    ck_assert_uint_eq(entries("anna", "/tokens", ": 1 more"), 1);
    ck_assert_uint_eq(entries("root", "/tokens", ": 2 more"), 1);
    ck_assert_uint_eq(readings(), 5);
}
END_TEST

START_TEST(what_is_no_reading_of_somebody)
{
    get("/api/v1/nothing");
    is(404);
    become("anna");
    get("/api/v1/admins"); /* refused: has its own entry */
    is(403);
    call(HTTP_POST, "/api/v1/tokens", "{}");
    is(201);
    *bearer = '\0';
    get("/api/v1/openapi.json");
    get("/problems/exists");
    get("/api/v1/session");
    get("/api/v1/admins");
    is(401);
    ck_assert(api_reads_write(&world, at, true));
    ck_assert_uint_eq(entries(NULL, NULL, NULL), 0);
}
END_TEST

/* ---- bounds ---- */

START_TEST(many_things_of_a_route_are_summed)
{
    char path[64];
    for (int i = 0; i < 5000; i++) {
        snprintf(path, sizeof path, "/api/v1/devices/mac-%d/events", i);
        get(path);
        if (i % 500 == 0)
            write_now();
    }
    get("/api/v1/tokens"); /* another route is told apart as before */
    get("/api/v1/devices/mac-7/events");
    at += 600;
    write_now();
    ck_assert_uint_eq(entries("root", "/devices/mac-59/events", NULL), 1);
    ck_assert_uint_eq(entries("root", "/devices/mac-60/events", NULL), 0);
    ck_assert_uint_eq(entries("root", "/devices/mac-7/events", ": 1 more"), 1);
    ck_assert_uint_eq(entries("root", "/devices/*/events", ": 4940 others"), 1);
    ck_assert_uint_eq(entries("root", "/tokens", NULL), 1);
    ck_assert_uint_eq(entries(NULL, NULL, NULL), 60 + 1 + 1 + 1);
    ck_assert_uint_eq(readings(), 5002);
}
END_TEST

START_TEST(long_names)
{
    char name[128], path[700];
    memset(name, 'a', 100);
    strcpy(name + 100, "1");
    snprintf(path, sizeof path, "/api/v1/devices/%s", name);
    get(path);
    name[100] = '2';
    snprintf(path, sizeof path, "/api/v1/devices/%s", name);
    get(path);
    memset(path, 'b', 600);
    memcpy(path, "/api/v1/devices/", 16);
    path[500] = '\0'; /* longer than any name can be */
    get(path);
    ck_assert(api_reads_write(&world, at, true));
    ck_assert_uint_eq(entries("root", NULL, "aaa1"), 1);
    ck_assert_uint_eq(entries("root", NULL, "aaa2"), 1);
    ck_assert_uint_eq(entries("root", "/devices/*", ": 1 others"), 1);
}
END_TEST

START_TEST(what_clients_send_stays_in_its_field)
{
    get("/api/v1/devices/a%0Ab%1B%22");
    ck_assert(api_reads_write(&world, at, true));
    struct found f = find("root", NULL, NULL);
    ck_assert_uint_eq(f.n, 1);
    ck_assert_ptr_null(strpbrk(f.last.object, "\n\x1b"));
}
END_TEST

START_TEST(more_readers_than_there_is_room_for)
{
    char name[16];
    for (int i = 0; i < READERS + 5; i++, at++) {
        snprintf(name, sizeof name, "reader-%d", i);
        become(name);
        get("/api/v1/tokens");
        get("/api/v1/tokens");
    }
    for (int i = 0; i < 5; i++) { /* whose time had to end */
        snprintf(name, sizeof name, "reader-%d", i);
        ck_assert_uint_eq(entries(name, "/tokens", ": 1 more"), 1);
    }
    ck_assert_uint_eq(entries("reader-5", "/tokens", ": 1 more"), 0);
    ck_assert(api_reads_write(&world, at, true));
    ck_assert_uint_eq(readings(), 2 * (READERS + 5));
}
END_TEST

START_TEST(a_clock_that_falls_back_ends_the_time)
{
    get("/api/v1/tokens");
    at -= 3600;
    get("/api/v1/tokens");
    write_now();
    ck_assert_uint_eq(entries("root", "/tokens", NULL), 2);
    ck_assert_uint_eq(readings(), 2);
}
END_TEST

/* ---- a store that fails ---- */

/* No file can be written meanwhile. */
static void disk_full(bool full)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = full ? 0 : limit.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool write_in_vain(void)
{
    disk_full(true);
    bool written = api_reads_write(&world, at, false);
    disk_full(false);
    return !written;
}

struct lines {
    char text[4096];
    int n;
};

static void line_add(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct lines *l = ctx;
    l->n++;
    strncat(l->text, line, sizeof l->text - strlen(l->text) - 1);
}

START_TEST(a_disk_that_is_full_loses_nothing)
{
    struct lines lines = {.n = 0};
    struct log log = {.write = line_add, .ctx = &lines, .max = LOG_LEVEL_INFO};
    world.log = &log;
    get("/api/v1/tokens");
    for (int i = 0; i < 50; i++) {
        ck_assert(write_in_vain());
        get("/api/v1/tokens");
        is(200);
        get("/api/v1/admins");
        is(200);
        at += 20;
    }
    ck_assert_msg(lines.n == 1, "%s", lines.text);
    ck_assert_ptr_nonnull(strstr(lines.text, "api.audit"));
    ck_assert_uint_eq(readings(), 0);
    ck_assert(api_reads_write(&world, at, true));
    ck_assert_msg(lines.n == 2, "%s", lines.text);
    ck_assert_uint_eq(readings(), 101);
    ck_assert_uint_eq(entries("root", "/tokens", NULL), 2);
    ck_assert_uint_eq(entries("root", "/admins", ": 49 more"), 1);
}
END_TEST

static bool count_all(void *ctx, const struct store_audit *a)
{
    (*(size_t *)ctx)++;
    return true;
}

/* Entries are looked for from the newest back to a time. */
START_TEST(what_comes_late_hides_nothing)
{
    size_t before = 0, all = 0;
    get("/api/v1/tokens");
    for (int i = 0; i < 3; i++) {
        ck_assert(write_in_vain());
        at += 3600;
    }
    ck_assert(store_audit_list(world.store, 0, count_all, &before, &err));
    call(HTTP_POST, "/api/v1/admins", "{\"name\":\"late\",\"role\":\"auditor\"}");
    is(201);
    ck_assert(store_audit_list(world.store, 0, count_all, &all, &err));
    ck_assert_uint_gt(all, before);
    write_now();
    get("/api/v1/audit?reads=true&since=2027-01-15T09:00:00Z");
    is(200);
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "items")), all - before + 1);
    ck_assert_uint_eq(entries("root", "/tokens", ", at "), 1);
    const char *told = strstr(find("root", "/tokens", NULL).last.text, ", at ");
    ck_assert_str_eq(told, ", at 2027-01-15T08:00:00Z"); /* when it was, not when it was tried */
}
END_TEST

START_TEST(a_try_that_failed_comes_again_later)
{
    get("/api/v1/tokens");
    ck_assert(write_in_vain());
    at += 9;
    ck_assert(!api_reads_write(&world, at, false)); /* was not tried */
    ck_assert_uint_eq(readings(), 0);
    at += 1;
    write_now();
    ck_assert_uint_eq(readings(), 1);
    ck_assert_int_eq(find("root", "/tokens", NULL).last.at, NOW); /* when it was */
}
END_TEST

START_TEST(more_readers_than_there_is_room_for_while_the_disk_is_full)
{
    char name[16];
    for (int i = 0; i < READERS; i++) {
        snprintf(name, sizeof name, "reader-%d", i);
        become(name);
        get("/api/v1/tokens");
        get("/api/v1/devices");
        get("/api/v1/groups");
    }
    become("late");
    ck_assert(write_in_vain());
    disk_full(true);
    get("/api/v1/tokens");
    disk_full(false);
    is(200);
    ck_assert(api_reads_write(&world, at, true));
    ck_assert_uint_eq(readings(), 3 * READERS + 1);
    ck_assert_uint_eq(entries("late", NULL, NULL), 0); /* counted, but nobody's */
    ck_assert_uint_eq(entries("nobody", "*", ": 1 by whom"), 1);
}
END_TEST

/* ---- who reads the audit log ---- */

static size_t items(void)
{
    return json_array_size(json_object_get(answer, "items"));
}

static const char *item(size_t i, const char *name)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "items"), i), name));
}

static bool exported(const char *words)
{
    return memmem(reply.body.p, reply.body.n, words, strlen(words)) != NULL;
}

START_TEST(the_log_is_complete_when_it_answers)
{
    get("/api/v1/tokens");
    get("/api/v1/audit?reads=true&limit=1");
    is(200);
    ck_assert_str_eq(item(0, "event"), "api.read");
    ck_assert_str_eq(item(0, "object"), "/tokens");
    ck_assert_str_eq(item(0, "actor"), "root");
    get("/api/v1/audit?reads=true&limit=1"); /* that was one, too */
    ck_assert_str_eq(item(0, "object"), "/audit");
    for (int i = 0; i < 20; i++)
        get("/api/v1/audit?reads=true");
    ck_assert_uint_eq(entries("root", "/audit", NULL), 1);
    call_with(HTTP_GET, "/api/v1/audit", NULL, API_ACCEPT, "application/x-ndjson");
    is(200);
    ck_assert(exported("\"api.read\""));
    call_with(HTTP_GET, "/api/v1/audit?reads=false", NULL, API_ACCEPT, "application/x-ndjson");
    ck_assert(!exported("\"api.read\""));
}
END_TEST

START_TEST(an_etag_does_not_hide_what_waits)
{
    char tag[128];
    get("/api/v1/audit?reads=true");
    get("/api/v1/audit?reads=true");
    snprintf(tag, sizeof tag, "%s", header("ETag"));
    call_with(HTTP_GET, "/api/v1/audit?reads=true", NULL, API_IF_NONE_MATCH, tag);
    is(304);
    get("/api/v1/tokens");
    call_with(HTTP_GET, "/api/v1/audit?reads=true", NULL, API_IF_NONE_MATCH, tag);
    is(200);
    ck_assert_str_eq(item(0, "object"), "/tokens");
}
END_TEST

START_TEST(changes_do_not_drown)
{
    char path[64];
    size_t made = 0, shown = 0;
    for (int i = 0; i < 6; i++) {
        call(HTTP_POST, "/api/v1/tokens", "{}");
        is(201);
        for (int k = 0; k < 50; k++) {
            snprintf(path, sizeof path, "/api/v1/devices/mac-%d", 50 * i + k);
            get(path);
        }
        ck_assert(api_reads_write(&world, at, true));
        made++;
    }
    get("/api/v1/audit?event=api.&limit=500");
    ck_assert_uint_eq(items(), made);
    for (get("/api/v1/audit?limit=2"); items();) { /* page by page, all of them once */
        for (size_t i = 0; i < items(); i++) {
            ck_assert_str_ne(item(i, "event"), "api.read");
            shown += strcmp(item(i, "event"), "api.called") == 0;
        }
        if (!*text("next"))
            break;
        char next[128];
        snprintf(next, sizeof next, "/api/v1/audit?limit=2&cursor=%s", text("next"));
        get(next);
    }
    ck_assert_uint_eq(shown, made);
    get("/api/v1/audit?event=api.read&limit=500");
    ck_assert_uint_eq(items(), 301); /* and once that the log itself was read */
    get("/api/v1/audit?object=/devices/mac-7&reads=true");
    ck_assert_uint_eq(items(), 1);
}
END_TEST

/* Years of a page that nobody closes lie between two changes: the first page still has them. */
START_TEST(changes_are_found_behind_many_readings)
{
    call(HTTP_POST, "/api/v1/tokens", "{}");
    is(201);
    struct store_write *w;
    ck_assert(store_write_begin(world.store, &w, &err));
    for (int i = 0; i < 30000; i++) { /* more than a page of lists looks at else */
        struct store_audit a = {
            .at = NOW, .event = "api.read", .actor = "root", .object = "/overview"};
        ck_assert(store_audit_put(w, &a, &err));
    }
    ck_assert_msg(store_write_commit(w, &err), "%s", err.text);
    get("/api/v1/audit?limit=1");
    ck_assert_uint_eq(items(), 1);
    ck_assert_str_eq(item(0, "event"), "api.called");
    get("/api/v1/audit?limit=1&actor=nobody"); /* looks at a page's records, and says where to go on
                                                */
    ck_assert_uint_eq(items(), 0);
    ck_assert_str_ne(text("next"), "");
}
END_TEST

/* ---- many at once ---- */

#define CALLERS 4
#define CALLS 400

static void *read_on(void *number)
{
    for (int i = 0; i < CALLS; i++) {
        char path[64];
        struct api_reply out = {.status = 0};
        snprintf(path, sizeof path, "/api/v1/devices/mac-%d", i * (int)(intptr_t)number % 90);
        struct api_request r = {
            .method = HTTP_GET, .path = path, .query = "", .peer = "192.0.2.1", .now = NOW};
        r.header[API_AUTHORIZATION] = bearer;
        r.header[API_HOST] = "scepd.example.org";
        api_answer(&world, &r, &out);
        ck_assert_int_eq(out.status, 404);
        api_reply_clear(&out);
        if (i % 50 == 0)
            ck_assert(api_reads_write(&world, NOW, i % 100 == 0));
    }
    return NULL;
}

START_TEST(nothing_is_lost_between_threads)
{
    pthread_t thread[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, read_on, (void *)(intptr_t)(i + 1)), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(thread[i], NULL);
    ck_assert(api_reads_write(&world, NOW, true));
    ck_assert_uint_eq(readings(), CALLERS * CALLS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reads");
    TCase *c = tcase_create("reads");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, api_teardown);
    tcase_add_test(c, the_first_reading_is_an_entry);
    tcase_add_test(c, what_comes_again_is_counted);
    tcase_add_test(c, other_addresses_are_named);
    tcase_add_test(c, actors_are_told_apart);
    tcase_add_test(c, what_is_no_reading_of_somebody);
    tcase_add_test(c, many_things_of_a_route_are_summed);
    tcase_add_test(c, long_names);
    tcase_add_test(c, what_clients_send_stays_in_its_field);
    tcase_add_test(c, more_readers_than_there_is_room_for);
    tcase_add_test(c, a_clock_that_falls_back_ends_the_time);
    tcase_add_test(c, a_disk_that_is_full_loses_nothing);
    tcase_add_test(c, what_comes_late_hides_nothing);
    tcase_add_test(c, a_try_that_failed_comes_again_later);
    tcase_add_test(c, more_readers_than_there_is_room_for_while_the_disk_is_full);
    tcase_add_test(c, the_log_is_complete_when_it_answers);
    tcase_add_test(c, an_etag_does_not_hide_what_waits);
    tcase_add_test(c, changes_do_not_drown);
    tcase_add_test(c, changes_are_found_behind_many_readings);
    tcase_add_test(c, nothing_is_lost_between_threads);
    suite_add_tcase(s, c);
    return check_main(s);
}
