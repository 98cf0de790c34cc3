/* Memory that runs out in the thread that revokes what Intune wants revoked: what was issued is
 * revoked, told and reported in the end, by a look that had memory, and nothing is ever said of it
 * that is not so. */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "faultmem.h"
#include "outside/revocations.h"
#include "pkcs7/alg.h"
#include "scepd/intune_queue.h"
#include "scepd/memory.h"
#include "scepd/teller.h"
#include "service_fixture.h"
#include "store/notice.h"
#include "wire.h"

#define must(call) ck_assert_msg((call), "%s", err.text)

static struct service_fixture f;
static struct err err;
static struct setup *setup;
static struct metrics *metrics;
static struct teller *teller;
static struct outside *outside;
static struct store_cert device; /* of which the certificates are copies */

/* ---- Intune, as frames: no network ---- */

static pthread_t intune;
static int asked = -1; /* the other end of the connection */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char wanted[64];    /* serial number, hex; "": nothing is */
static unsigned good, bad; /* reports of it */
static atomic_uint looks;  /* that came to their end, by the log */

static void answer_fetch(struct buf *out)
{
    char line[512] = "";
    pthread_mutex_lock(&lock);
    if (wanted[0])
        snprintf(
            line, sizeof line,
            "{\"requestContext\":\"%s\",\"serialNumber\":\"%s\",\"issuerName\":\"CN=Fixture CA\"}",
            wanted, wanted);
    pthread_mutex_unlock(&lock);
    buf_printf(out, "{\"value\":[%s]}", line);
}

static void answer_report(struct view body, struct buf *out)
{
    json_t *o = json_loadb((const char *)body.p, body.n, 0, NULL), *one;
    size_t at;
    pthread_mutex_lock(&lock);
    json_array_foreach(json_object_get(o, "results"), at, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "requestContext")), wanted) != 0)
            bad++;
        else if (json_is_true(json_object_get(one, "succeeded")))
            good++;
        else
            bad++;
    }
    wanted[0] = '\0';
    pthread_mutex_unlock(&lock);
    json_decref(o);
    buf_append_str(out, "{\"value\":true}");
}

static void *serve(void *unused)
{
    struct buf in = {0}, out = {0};
    bool open = true;
    while (open) {
        struct wire_question q;
        struct outside_answer a = {.result = OUTSIDE_ANSWERED, .status = 200};
        ssize_t n;
        while ((n = wire_frame(&in)) == 0 && open) {
            char one;
            open = recv(asked, &one, 1, MSG_PEEK) == 1 && wire_receive(asked, &in);
        }
        if (n <= 0 || !wire_read_ask(view_of(in.p, (size_t)n), &q))
            break;
        if (view_eq(q.suffix, view_str(INTUNE_QUEUE_FETCH)))
            answer_fetch(&a.body);
        else
            answer_report(q.body, &a.body);
        open = wire_put_answer(&out, q.number, &a) && wire_send(asked, &out);
        outside_answer_clear(&a);
        wire_take(&in, (size_t)n);
    }
    buf_clear(&in);
    buf_clear(&out);
    return NULL;
}

static bool connect_intune(void *unused, int *fd, struct err *why)
{
    int pair[2];
    if (asked >= 0)
        return err_set(why, ERR_IO, "there is one already");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(why, "socketpair");
    *fd = pair[0];
    asked = pair[1];
    ck_assert_int_eq(pthread_create(&intune, NULL, serve, NULL), 0);
    return true;
}

/* ---- an authority that asks it ---- */

static void take_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    bool ended = memmem(line, n, "event=intune.queue ", 19) ||
                 memmem(line, n, "event=intune.queue_failed", 25);
    if (ended)
        atomic_fetch_add(&looks, 1);
}

static void load_setup(void)
{
    static const char
        before[] = "issue_to_anyone_without_a_challenge = true;",
        after[] = "validate = \"intune\"; notify = [\"mdm\"];",
        webhooks[] =
            "webhooks = ( { name = \"intune\"; kind = \"intune\"; tenant = \"t\"; revocations = "
            "\"1h\";\n"
            "  client_id = \"c\"; secret_file = \"keys/static\"; },\n"
            "  { name = \"mdm\"; kind = \"notify\"; url = \"https://mdm.example.org/\"; } );\n";
    char path[128], text[8192];
    struct config *c;
    snprintf(path, sizeof path, "%s/scepd.conf", f.directory);
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    char *at = strstr(text, before);
    ck_assert_ptr_nonnull(at);
    rewind(file);
    ck_assert_int_gt(
        fprintf(file, "%.*s%s%s%s", (int)(at - text), text, after, at + strlen(before), webhooks),
        0);
    fclose(file);
    ck_assert_msg((c = config_load(path, NULL, &err)) != NULL, "%s", err.text);
    must(setup_load(c, &setup, &err));
}

static void prepare(void)
{
    const struct outside_options options = {.connect = connect_intune};
    err_clear(&err);
    must(service_fixture_init(&f, "p256", &err));
    load_setup();
    must(metrics_new("test", time(NULL), &metrics, &err));
    must(teller_new(&teller, &err));
    teller_use(teller, setup);
    store_watch_revocations(f.store, teller_tell, teller);
    must(outside_new(&options, &outside, &err));
    device = (struct store_cert){.state = CERT_ACTIVE,
                                 .serial_len = 8,
                                 .not_before = time(NULL) - 60,
                                 .not_after = time(NULL) + 86400};
    memcpy(device.authority, setup->rooms.authority[0]->key_id, sizeof device.authority);
    snprintf(device.endpoint, sizeof device.endpoint, "/open");
    snprintf(device.subject, sizeof device.subject, "CN=tablet");
}

static void clear(void)
{
    outside_free(outside);
    pthread_join(intune, NULL);
    close(asked);
    store_watch_revocations(f.store, NULL, NULL);
    teller_free(teller);
    metrics_free(metrics);
    setup_release(setup);
    service_fixture_clear(&f);
}

/* A certificate of its own, which Intune wants revoked. */
static uint64_t issue(long n)
{
    struct store_write *w = NULL;
    struct store_cert c = device;
    for (size_t i = 0; i < 8; i++)
        c.serial[i] = (uint8_t)(i == 0 ? 0x12 : (uint64_t)n >> 8 * (7 - i));
    must(digest_compute(DIGEST_SHA256, view_of(c.serial, 8), c.key_hash, &err));
    memcpy(c.subject_hash, c.key_hash, sizeof c.subject_hash);
    must(buf_append(&c.der, setup->rooms.authority[0]->cert->der.p,
                    setup->rooms.authority[0]->cert->der.n));
    must(digest_compute(DIGEST_SHA256, view_of(c.serial, 8), c.der_hash, &err));
    must(store_write_begin(f.store, &w, &err));
    must(store_cert_put(w, &c, &err));
    must(store_write_commit(w, &err));
    pthread_mutex_lock(&lock);
    snprintf(wanted, sizeof wanted, "12%014lx", n);
    good = bad = 0;
    pthread_mutex_unlock(&lock);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

/* One look by a queue that is new, and looks at once. */
static void look(const struct log *log)
{
    struct intune_queue *q = NULL;
    const struct intune_queue_options o = {
        .store = f.store, .outside = outside, .metrics = metrics, .log = log};
    unsigned before = atomic_load(&looks);
    must(intune_queue_new(&o, &q, &err));
    usleep(5000); /* it waits for a configuration then, and not for a second */
    intune_queue_use(q, setup);
    for (int i = 0; i < 60000 && atomic_load(&looks) == before; i++)
        usleep(1000);
    ck_assert_uint_gt(atomic_load(&looks), before);
    intune_queue_free(q);
}

static uint64_t told(void)
{
    uint64_t n;
    must(store_notice_count(f.store, &n, &err));
    return n;
}

/* What the notice about it says, without its id and time. */
static void assert_told_whole(uint64_t cert)
{
    struct store_notice n[8] = {{.id = 0}};
    size_t count = 8;
    must(store_notices(f.store, "mdm", 0, n, 8, &count, &err));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(n[0].cert_id, cert);
    must(store_notice_body(f.store, &n[0], &err));
    json_t *o = json_loadb((const char *)n[0].body.p, n[0].body.n, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(o, "issuer")), "CN=Fixture CA");
    ck_assert_str_eq(json_string_value(json_object_get(o, "key")), "P-256");
    json_decref(o);
    struct store_write *w = NULL;
    must(store_write_begin(f.store, &w, &err));
    must(store_notice_del(w, &n[0], &err));
    must(store_write_commit(w, &err));
    store_notice_clear(&n[0]);
}

START_TEST(revoked_in_the_end)
{
    const struct log log = {LOG_LEVEL_DEBUG, take_line, NULL};
    long n, hits = 1, late = 0;
    prepare();
    for (n = 1; hits; n++) {
        struct store_cert c = {.id = 0};
        uint64_t id = issue(n);
        faultmem_arm_thread("intune", n);
        look(&log);
        hits = faultmem_thread_hits();
        faultmem_disarm_thread();
        must(store_cert_by_id(f.store, id, &c, &err));
        ck_assert_msg(bad == 0, "allocation %ld: it is reported as none of ours", n);
        ck_assert_msg(good == 0 || c.state == CERT_REVOKED,
                      "allocation %ld: it is reported, and stands", n);
        ck_assert_uint_eq(told(), c.state == CERT_REVOKED ? 1 : 0);
        late += good == 0;
        ck_assert_msg(hits || good == 1, "with memory it is not reported");
        store_cert_clear(&c);
        if (good == 0) {
            look(&log);
            ck_assert_msg(good == 1 && bad == 0,
                          "allocation %ld: it is not reported with memory either", n);
        }
        assert_told_whole(id);
    }
    printf("a look at Intune's queue: %ld allocations, %ld of them a later look\n", n - 2, late);
    clear();
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory_intune");
    TCase *c = tcase_create("queue");
    tcase_set_timeout(c, 500);
    tcase_add_test(c, revoked_in_the_end);
    suite_add_tcase(s, c);
    return check_main(s);
}
