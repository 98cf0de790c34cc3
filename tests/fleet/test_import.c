/* Devices from a file: what it may say, and that an interruption costs nothing. */
#include "fleet/import.h"
#include "fleet_world.h"
#include "table.h"
#include "records.h" /* white box: a damaged audit log */

/* ---- the reader ---- */

struct told {
    char rows[32][200];
    uint64_t line[32];
    size_t n;
};

static bool tell(void *ctx, const struct table_row *row)
{
    struct told *t = ctx;
    size_t at = 0;
    ck_assert_uint_lt(t->n, 32);
    t->rows[t->n][0] = '\0';
    for (size_t i = 0; i < row->n && i < TABLE_FIELDS && at < 190; i++)
        at += (size_t)snprintf(t->rows[t->n] + at, 200 - at, "%s%s", i ? "|" : "", row->field[i]);
    t->line[t->n++] = row->line;
    return true;
}

static FILE *file_of(const char *text, size_t n)
{
    FILE *f = tmpfile();
    ck_assert(f && fwrite(text, 1, n, f) == n);
    rewind(f);
    return f;
}

static struct told table_text(const char *text, size_t n)
{
    struct told t = {.n = 0};
    FILE *f = file_of(text, n);
    ok(table_read(f, tell, &t, &err));
    fclose(f);
    return t;
}

START_TEST(table_rows)
{
    static const char text[] = "\xef\xbb\xbf"
                               "name,host\r\n"
                               "a,\"b,\"\"c\"\"\"\n"
                               "\n"
                               "\"two\nlines\",x\n"
                               "last,";
    struct told t = table_text(text, sizeof text - 1);
    ck_assert_uint_eq(t.n, 4);
    ck_assert_str_eq(t.rows[0], "name|host");
    ck_assert_str_eq(t.rows[1], "a|b,\"c\"");
    ck_assert_str_eq(t.rows[2], "two\nlines|x");
    ck_assert_str_eq(t.rows[3], "last|");
    ck_assert_uint_eq(t.line[1], 2);
    ck_assert_uint_eq(t.line[3], 6);
}
END_TEST

/* A CR of its own ends a line too, as in what old spreadsheets write; in a value it is of the
 * value. */
START_TEST(table_carriage_returns)
{
    static const char text[] = "a\rb\r\rc\r\n\"d\re\"\rf\r";
    struct told t = table_text(text, sizeof text - 1);
    ck_assert_uint_eq(t.n, 5);
    ck_assert_str_eq(t.rows[3], "d\re");
    const uint64_t lines[] = {1, 2, 4, 5, 7};
    for (size_t i = 0; i < 5; i++)
        ck_assert_uint_eq(t.line[i], lines[i]);
}
END_TEST

START_TEST(table_hostile)
{
    static char big[3 * TABLE_ROW_MAX];
    struct told t = {.n = 0};
    static const struct {
        const char *text;
        size_t n;
        const char *part;
    } bad[] = {
        {"a,b\"c,d\n", 8, "line 1: a quote"},
        {"a,\"b\"c\n", 7, "line 1: a quote"},
        {"a\nb,\"never closed\nx\n", 20, "line 2: a quote begins here"},
        {"\xff\xfe"
         "a\0,\0",
         6, "UTF-16"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *f = file_of(bad[i].text, bad[i].n);
        refused(table_read(f, tell, &t, &err), ERR_CONFIG, bad[i].part);
        fclose(f);
    }
    memset(big, 'x', sizeof big);
    FILE *f = file_of(big, sizeof big);
    refused(table_read(f, tell, &t, &err), ERR_CONFIG, "is longer than 65536");
    fclose(f);
    /* in many lines, within one quoted value */
    big[0] = '"';
    for (size_t i = 100; i < sizeof big; i += 100)
        big[i] = '\n';
    f = file_of(big, sizeof big);
    refused(table_read(f, tell, &t, &err), ERR_CONFIG, "is longer than 65536");
    fclose(f);
    /* as many values as fit into a row */
    memset(big, ',', TABLE_ROW_MAX - 1);
    f = file_of(big, TABLE_ROW_MAX - 1);
    t.n = 0;
    ok(table_read(f, tell, &t, &err));
    ck_assert_uint_eq(t.n, 1);
    fclose(f);
}
END_TEST

/* ---- importing ---- */

struct story {
    char text[64][400];
    uint64_t line[64];
    size_t n;
    uint64_t stop_at; /* rows; 0: never */
};

static void problem(void *ctx, uint64_t line, const char *text)
{
    struct story *s = ctx;
    ck_assert_uint_lt(s->n, 64);
    s->line[s->n] = line;
    snprintf(s->text[s->n++], sizeof s->text[0], "%s", text);
}

static bool progress(void *ctx, uint64_t done, uint64_t of)
{
    const struct story *s = ctx;
    return !s->stop_at || !of || done < s->stop_at;
}

static struct fleet_import_counts counts;
static struct story story;

static bool import_octets(const char *text, size_t n, struct fleet_import o)
{
    FILE *f = file_of(text, n);
    uint64_t stop_at = story.stop_at;
    story = (struct story){.stop_at = stop_at};
    o.in = f;
    o.problem = problem;
    o.progress = progress;
    o.ctx = &story;
    bool done = fleet_import_run(&fleet, &o, &counts, &err);
    fclose(f);
    return done;
}

static bool import(const char *text, struct fleet_import o)
{
    return import_octets(text, strlen(text), o);
}

START_TEST(imported)
{
    struct store_device d;
    struct store_group g = group_new("Sales", false);
    ok(import("Name,Platform,serial_number,user,groups\n"
              "ipad-1,apple,C01,anna,Sales\n"
              "\"ipad, 2\",apple,C02,,\" Sales ; sales\"\n",
              (struct fleet_import){.update = false}));
    ck_assert_uint_eq(counts.made, 2);
    ok(fleet_device_get(&fleet, "ipad, 2", &d, &err));
    ck_assert_str_eq(d.serial_number, "C02");
    uint64_t size;
    ok(store_group_size(st, g.id, 0, &size, &err));
    ck_assert_uint_eq(size, 2);
    /* again: nothing to do, and no mistake */
    ok(import("name,serial_number\nipad-1,C01\n", (struct fleet_import){.update = false}));
    ck_assert_uint_eq(counts.same, 1);
    ck_assert_uint_eq(counts.made, 0);
    /* otherwise: only when it shall */
    refused(import("name,serial_number\nipad-1,C09\n", (struct fleet_import){.update = false}),
            ERR_CONFIG, "1 of 1 lines");
    ck_assert_msg(strstr(story.text[0], "exists") != NULL, "%s", story.text[0]);
    ok(import("name,serial_number\nIPAD-1,C09\n", (struct fleet_import){.update = true}));
    ck_assert_uint_eq(counts.updated, 1);
    ok(fleet_device_get(&fleet, "ipad-1", &d, &err));
    ck_assert_str_eq(d.serial_number, "C09");
    ck_assert_str_eq(d.user, "anna"); /* a column that the file did not have */
}
END_TEST

START_TEST(all_mistakes_at_once)
{
    static const char text[] = "name,platform,email,groups\n"
                               "a,apple,,\n"
                               "a,apple,,\n"
                               "b,amiga,,\n"
                               ",apple,,\n"
                               "c,apple,nobody,\n"
                               "d,apple,,Nowhere\n"
                               "e,apple\n"
                               "\xff\xfe,apple,,\n"
                               "f,,,\n";
    static const uint64_t lines[] = {3, 4, 5, 6, 7, 8, 9};
    static const char *const parts[] = {
        "in line 2 already",    "platform: ",      "name: ", "email: ",
        "no group \"Nowhere\"", "it has 2 values", "name: "};
    uint64_t devices[DEVICE_STATES];
    refused(import(text, (struct fleet_import){.update = false}), ERR_CONFIG,
            "7 of 9 lines have a mistake: nothing was imported");
    ck_assert_uint_eq(story.n, 7);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_uint_eq(story.line[i], lines[i]);
        ck_assert_msg(strstr(story.text[i], parts[i]) != NULL, "%s", story.text[i]);
    }
    ok(store_device_counts(st, devices, &err));
    ck_assert_uint_eq(devices[DEVICE_ACTIVE], 0);
    ok(import(text, (struct fleet_import){.partial = true, .new_groups = true}));
    ck_assert_uint_eq(counts.made, 3);
    ck_assert_uint_eq(counts.bad, 6);
    ck_assert_uint_eq(counts.groups, 1);
}
END_TEST

START_TEST(headers)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", "empty"},
        {"\n\n", "empty"},
        {"serial_number\n1\n", "name among them"},
        {"name,serialnumber\n", "did you mean \"serial_number\""},
        {"name,name\n", "twice"},
        {"name;serial_number\n", "semicolons"},
        {"name,a,b,c,d,e,f,g,h\n", "only 8 are known"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(import(bad[i].text, (struct fleet_import){.update = false}), ERR_CONFIG,
                bad[i].part);
    ok(import("name\n", (struct fleet_import){.update = false}));
    ck_assert_uint_eq(counts.rows, 0);
}
END_TEST

START_TEST(blank_lines)
{
    refused(import("\n\r\nname,platform,user\n \n\nx,amiga,\n\n\ny,,\"a\n\nb\"\n\t\nz,atari,\n",
                   (struct fleet_import){.update = false}),
            ERR_CONFIG, "3 of 3 lines");
    ck_assert_uint_eq(story.n, 3);
    ck_assert_uint_eq(story.line[0], 6);
    ck_assert_uint_eq(story.line[1], 9); /* where it begins */
    ck_assert_uint_eq(story.line[2], 13);
}
END_TEST

/* What is left out is the line that was told, and nothing behind it. */
START_TEST(lines_that_end_with_carriage_returns)
{
    ok(import("name,platform\rx,apple\ry,amiga\rz,apple\r",
              (struct fleet_import){.partial = true}));
    ck_assert_uint_eq(story.n, 1);
    ck_assert_uint_eq(story.line[0], 3);
    ck_assert_uint_eq(counts.made, 2);
    ck_assert_uint_eq(counts.bad, 1);
}
END_TEST

START_TEST(a_column_with_a_nul)
{
    static const char text[] = "name\0x\na\n";
    refused(import_octets(text, sizeof text - 1, (struct fleet_import){.update = false}),
            ERR_CONFIG, "line 1: a column's name has a NUL in it");
}
END_TEST

/* ---- with a policy, and challenges ---- */

#define MANY 2500

static char *many_devices(void)
{
    char *text = malloc(40 * MANY), *p = text;
    p += sprintf(p, "name\n");
    for (unsigned i = 0; i < MANY; i++)
        p += sprintf(p, "device-%05u\n", i);
    return text;
}

struct list {
    size_t n;
    bool header;
    uint64_t committed;
};

static bool look(void *ctx, const struct table_row *row)
{
    struct list *l = ctx;
    struct store_challenge c;
    struct err ignored = {0};
    uint8_t hash[STORE_HASH];
    if (!l->header) {
        l->header = true;
        ck_assert_str_eq(row->field[3], "challenge");
        return true;
    }
    l->n++;
    challenge_hash(&world_key, view_str(row->field[3]), hash);
    if (store_challenge_by_hash(st, hash, &c, &ignored)) {
        ck_assert_str_eq(c.id, row->field[4]);
        ck_assert_str_eq(c.device, row->field[1]);
        l->committed++;
    }
    return true;
}

static struct list list_of(FILE *f)
{
    struct list l = {.n = 0};
    rewind(f);
    ok(table_read(f, look, &l, &err));
    return l;
}

START_TEST(interrupted_and_gone_on_with)
{
    char *text = many_devices();
    FILE *out = tmpfile();
    policy_new("corp");
    const struct fleet_import o = {.policy = "corp", .challenges = out};
    story.stop_at = 1500;
    ok(import(text, o));
    ck_assert(counts.stopped);
    ck_assert_uint_ge(counts.challenges, 1000);
    ck_assert_uint_lt(counts.challenges, MANY);
    struct list l = list_of(out);
    ck_assert_uint_eq(l.n, counts.challenges);
    ck_assert_uint_eq(l.committed, l.n);
    uint64_t first = counts.challenges;
    story.stop_at = 0;
    /* a crash left lines that were never committed, and half a line */
    fseek(out, 0, SEEK_END);
    fputs("x,dev_zzzzzz,corp,AAAA-AAAA-AAAA-AAAA,chl_zzzzzz,2027-01-01T00:00:00Z,u,CN=x,\n"
          "y,dev_yyyyyy,corp,AAA",
          out);
    fflush(out);
    ok(import(text, o));
    ck_assert(!counts.stopped);
    ck_assert_uint_eq(counts.had, first);
    ck_assert_uint_eq(counts.challenges, MANY - first);
    l = list_of(out);
    ck_assert_uint_eq(l.n, MANY);
    ck_assert_uint_eq(l.committed, MANY);
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.challenges, MANY);
    /* and once more: all have theirs */
    ok(import(text, o));
    ck_assert_uint_eq(counts.challenges, 0);
    ck_assert_uint_eq(counts.had, MANY);
    fclose(out);
    free(text);
}
END_TEST

/* Devices wait for the store while a write is made. */
START_TEST(no_write_is_long)
{
    uint64_t before, after;
    char *text = many_devices();
    FILE *out = tmpfile();
    policy_new("corp");
    ok(store_generation(st, &before, &err));
    ok(import(text, (struct fleet_import){.policy = "corp", .challenges = out}));
    ok(store_generation(st, &after, &err));
    ck_assert_uint_ge(after - before, MANY / 250);
    fclose(out);
    free(text);
}
END_TEST

START_TEST(who_holds_a_certificate)
{
    FILE *out = tmpfile();
    struct store_device d = device_new("a");
    struct store_policy p = policy_new("corp");
    cert_new(1, d.id, p.id);
    ok(import("name\na\nb\n", (struct fleet_import){.policy = "corp", .challenges = out}));
    ck_assert_uint_eq(counts.had, 1);
    ck_assert_uint_eq(counts.challenges, 1);
    fclose(out);
}
END_TEST

/* What would be refused later is told with its line, before anything is stored. */
START_TEST(who_may_have_no_challenge)
{
    FILE *out = tmpfile();
    struct store_device a = device_new("a"), held = device_new("held"), d;
    struct store_policy p = policy_new("corp");
    struct fleet_import o = {.policy = "corp", .challenges = out};
    uint64_t devices[DEVICE_STATES];
    cert_named(1, "CN=taken", a.id, p.id);
    cert_new(2, held.id, p.id);
    ok(fleet_device_isolate(&fleet, "a", 0, "", &d, &err));
    ok(fleet_device_isolate(&fleet, "held", 0, "", &d, &err));
    ok(fleet_device_new(&fleet, &(struct store_device){.name = "still"}, &err));
    ok(fleet_device_isolate(&fleet, "still", 0, "", &d, &err));
    refused(import("name\nfirst\nstill\nheld\ntaken\n", o), ERR_CONFIG,
            "2 of 4 lines have a mistake: nothing was imported");
    ck_assert_uint_eq(story.n, 2);
    ck_assert_uint_eq(story.line[0], 3);
    ck_assert_msg(strstr(story.text[0], "is isolated") != NULL, "%s", story.text[0]);
    ck_assert_uint_eq(story.line[1], 5);
    ck_assert_msg(strstr(story.text[1], "would have the same subject") != NULL, "%s",
                  story.text[1]);
    ok(store_device_counts(st, devices, &err));
    ck_assert_uint_eq(devices[DEVICE_ACTIVE], 0);
    /* without challenges they may all have the policy */
    o.challenges = NULL;
    ok(import("name\nfirst\nstill\nheld\ntaken\n", o));
    ck_assert_uint_eq(counts.assigned, 4);
    fclose(out);
}
END_TEST

/* ---- another user ---- */

struct given {
    struct store_device d;
    struct store_policy p;
    uint64_t cert;
    char challenge[32];
};

/* Alice's device has the policy since she is of the staff. */
static struct given given_by_user(unsigned n, const char *name, const struct store_policy *p)
{
    struct given g = {.p = *p};
    snprintf(g.d.name, sizeof g.d.name, "%s", name);
    strcpy(g.d.user, "alice");
    ok(fleet_device_new(&fleet, &g.d, &err));
    struct fleet_challenge c = challenge_for(g.d.id, p->id);
    memcpy(g.challenge, c.record.id, sizeof g.challenge);
    fleet_challenge_wipe(&c);
    g.cert = cert_new(n, g.d.id, p->id);
    return g;
}

static struct store_policy staff_policy(void)
{
    struct store_policy p = policy_new("P");
    group_new("staff", true);
    join("staff", "alice");
    assign("P", "staff");
    return p;
}

static void expect_lost(uint64_t devices, uint64_t certificates, uint64_t challenges)
{
    ck_assert_uint_eq(counts.lost.devices, devices);
    ck_assert_uint_eq(counts.lost.certificates, certificates);
    ck_assert_uint_eq(counts.lost.challenges, challenges);
}

START_TEST(what_the_row_gives_again_was_never_gone)
{
    struct store_policy p = staff_policy();
    struct given a = given_by_user(1, "a", &p), b = given_by_user(2, "b", &p);
    struct store_reach reach;
    group_new("tablets", false);
    assign("P", "tablets");
    struct fleet_import o = {.update = true, .policy = "P", .dry_run = true};
    ok(import("name,user\na,bob\n", o));
    ck_assert_uint_eq(counts.assigned, 1);
    expect_lost(0, 0, 1); /* the names are others */
    o.dry_run = false;
    ok(import("name,user\na,bob\n", o));
    ck_assert_uint_eq(counts.assigned, 1);
    expect_lost(0, 0, 1);
    ck_assert_int_eq(cert_state(a.cert), CERT_ACTIVE);
    ck_assert(!challenge_open(a.challenge)); /* bound to the old names */
    ok(store_policy_reach(st, p.id, a.d.id, &reach, &err));
    ck_assert_int_eq(reach.way, WAY_DEVICE);
    o.policy = NULL;
    ok(import("name,user,groups\nb,bob,tablets\n", o));
    expect_lost(0, 0, 1);
    ck_assert_int_eq(cert_state(b.cert), CERT_ACTIVE);
    ok(store_policy_reach(st, p.id, b.d.id, &reach, &err));
    ck_assert_int_eq(reach.way, WAY_GROUP);
}
END_TEST

static struct fleet_import_counts planned;

static bool note_plan(void *ctx, const struct fleet_import_counts *plan)
{
    planned = *plan;
    return false;
}

START_TEST(what_is_lost_is_told_before)
{
    struct store_policy p = staff_policy();
    struct given a = given_by_user(1, "a", &p), b = given_by_user(2, "b", &p);
    struct fleet_import o = {.update = true, .dry_run = true};
    uint64_t before, after;
    static const char text[] = "name,user\na,bob\nb,alice\nc,\n";
    ok(store_generation(st, &before, &err));
    ok(import(text, o));
    ck_assert_uint_eq(counts.updated, 1);
    expect_lost(1, 1, 1);
    ok(store_generation(st, &after, &err));
    ck_assert_uint_eq(before, after);
    o.dry_run = false;
    o.confirm = note_plan;
    refused(import(text, o), ERR_CONFLICT, "not confirmed");
    ck_assert_uint_eq(planned.lost.devices, 1);
    ck_assert_uint_eq(planned.lost.certificates, 1);
    ck_assert_int_eq(cert_state(a.cert), CERT_ACTIVE);
    o.confirm = NULL;
    ok(import(text, o));
    expect_lost(1, 1, 1);
    ck_assert_int_eq(cert_state(a.cert), CERT_REVOKED);
    ck_assert(!challenge_open(a.challenge));
    ck_assert_int_eq(cert_state(b.cert), CERT_ACTIVE);
    ck_assert(challenge_open(b.challenge));
}
END_TEST

/* A device that is as its row says may come to another group all the same. */
START_TEST(what_another_group_takes_is_told_before)
{
    struct store_policy p = policy_wish("named");
    struct fleet_import o = {.update = true, .new_groups = true, .dry_run = true};
    strcpy(p.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    device_new("a");
    group_new("one", false);
    join("one", "a");
    assign("named", "a");
    struct fleet_challenge c = challenge_for("a", NULL);
    ok(import("name,groups\na,one\n", o));
    expect_lost(0, 0, 0);
    ok(import("name,groups\na,two\n", o)); /* %group% could be either then */
    ck_assert_uint_eq(counts.same, 1);
    ck_assert_uint_eq(counts.groups, 1);
    expect_lost(0, 0, 1);
    ck_assert(challenge_open(c.record.id));
    o.dry_run = false;
    ok(import("name,groups\na,two\n", o));
    ck_assert_uint_eq(counts.same, 1);
    expect_lost(0, 0, 1);
    ck_assert(!challenge_open(c.record.id));
}
END_TEST

static void device_that_cannot_be_changed(const char *name)
{
    struct store_policy p = policy_new("corp");
    struct store_device many = device_new(name);
    struct store_write *w = begin();
    for (unsigned i = 0; i <= STORE_PAGE_MAX; i++) {
        snprintf(p.id, sizeof p.id, "pol_%06u", i);
        snprintf(p.name, sizeof p.name, "corp-%u", i);
        ok(store_policy_put(w, &p, &err));
        ok(store_policy_assign(w, p.id, many.id, "anna", NOW, &err));
    }
    commit(w);
}

/* One that cannot be changed is a mistake of its line, and no end of everything. */
START_TEST(what_cannot_be_tried_is_a_mistake_of_its_line)
{
    struct store_device b = device_new("b"), out;
    device_that_cannot_be_changed("many");
    static const char text[] = "name,user\nmany,bob\nb,bob\nc,bob\n";
    struct fleet_import o = {.update = true};
    refused(import(text, o), ERR_CONFIG, "1 of 3 lines");
    ck_assert_uint_eq(story.n, 1);
    ck_assert_uint_eq(story.line[0], 2);
    ck_assert_msg(strstr(story.text[0], "more than 500 policies") != NULL, "%s", story.text[0]);
    o.partial = true;
    ok(import(text, o));
    ck_assert_uint_eq(counts.bad, 1);
    ck_assert_uint_eq(counts.updated, 1);
    ck_assert_uint_eq(counts.made, 1);
    ok(fleet_device_get(&fleet, "b", &out, &err));
    ck_assert_str_eq(out.user, "bob");
    ok(fleet_device_get(&fleet, "many", &out, &err));
    ck_assert_str_eq(out.user, "");
    ck_assert_uint_gt(strlen(b.id), 0);
}
END_TEST

/* What a mistake left out stays out: the lines before it, that were in its way, are out too. */
START_TEST(what_was_told_as_left_out_is_left_out)
{
    struct store_group sales = group_new("Sales", false);
    struct store_device d;
    uint64_t size;
    device_that_cannot_be_changed("many");
    ok(import("name,user,groups\nmany,bob,\nmany,,Sales\nc,bob,Sales\n",
              (struct fleet_import){.update = true, .partial = true}));
    ck_assert_uint_eq(story.n, 2);
    ck_assert_ptr_nonnull(strstr(story.text[0], "more than 500 policies"));
    ck_assert_ptr_nonnull(strstr(story.text[1], "stands in line 2 already"));
    ck_assert_uint_eq(counts.bad, 2);
    ck_assert_uint_eq(counts.same, 0);
    ck_assert_uint_eq(counts.made, 1);
    ok(fleet_device_get(&fleet, "many", &d, &err));
    ck_assert_str_eq(d.user, "");
    ok(store_group_size(st, sales.id, 0, &size, &err));
    ck_assert_uint_eq(size, 1);
}
END_TEST

/* The group of a line that is left out is made by the next that names it. */
START_TEST(groups_of_what_is_left_out)
{
    struct fleet_import o = {.update = true, .partial = true, .new_groups = true, .dry_run = true};
    static const char text[] = "name,user,groups\nmany,bob,One;Two\nc,bob,two\nd,bob,TWO;three\n";
    device_that_cannot_be_changed("many");
    ok(import(text, o));
    ck_assert_uint_eq(counts.bad, 1);
    uint64_t planned_groups = counts.groups;
    o.dry_run = false;
    ok(import(text, o));
    ck_assert_uint_eq(counts.groups, 2);
    ck_assert_uint_eq(planned_groups, 2);
}
END_TEST

/* A plan says of groups and challenges what is done then, and finds the same mistakes. */
START_TEST(a_plan_is_what_is_done)
{
    FILE *out = tmpfile();
    struct store_policy p = policy_new("corp");
    struct store_device a = device_new("a"), held = device_new("held"), d;
    struct fleet_import o = {
        .policy = "corp", .new_groups = true, .dry_run = true, .would_challenge = true};
    static const char text[] = "name,groups\na,one;Two\nheld,ONE\nnew,two;three\n";
    cert_new(1, held.id, p.id);
    ok(import(text, o));
    struct fleet_import_counts plan = counts;
    ok(fleet_device_isolate(&fleet, a.id, 0, "", &d, &err));
    refused(import(text, o), ERR_CONFIG, "1 of 3 lines have a mistake");
    ck_assert_ptr_nonnull(strstr(story.text[0], "is isolated"));
    ok(fleet_device_release(&fleet, a.id, 0, "", &d, &err));
    o = (struct fleet_import){.policy = "corp", .new_groups = true, .challenges = out};
    ok(import(text, o));
    ck_assert_uint_eq(counts.groups, 3);
    ck_assert_uint_eq(counts.challenges, 2);
    ck_assert_uint_eq(counts.had, 1);
    ck_assert_uint_eq(plan.groups, counts.groups);
    ck_assert_uint_eq(plan.challenges, counts.challenges);
    ck_assert_uint_eq(plan.had, counts.had);
    ck_assert_uint_eq(plan.assigned, counts.assigned);
    fclose(out);
}
END_TEST

static bool isolates(void *ctx, const struct fleet_import_counts *plan)
{
    struct store_device d;
    ok(fleet_device_isolate(&fleet, "b", 0, "", &d, &err));
    return true;
}

/* Isolated between the two readings: that one gets none, the others do. */
START_TEST(isolated_meanwhile)
{
    FILE *out = tmpfile();
    policy_new("corp");
    device_new("b");
    struct fleet_import o = {.policy = "corp", .challenges = out, .confirm = isolates, .in = NULL};
    o.in = file_of("name\na\nb\nc\n", 11);
    refused(fleet_import_run(&fleet, &o, &counts, &err), ERR_CONFLICT, "1 lines were right");
    ck_assert_uint_eq(counts.bad, 1);
    ck_assert_uint_eq(counts.challenges, 2);
    ck_assert_uint_eq(list_of(out).committed, 2);
    fclose(o.in);
    fclose(out);
}
END_TEST

/* Only the second reading can know it: the others go on. */
START_TEST(refused_while_importing)
{
    FILE *out = tmpfile();
    struct store_policy p = policy_wish("corp");
    strcpy(p.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    group_new("Sales", false);
    group_new("Tall", false);
    device_new("b");
    join("Tall", "b");
    refused(import("name,groups\na,Sales\nb,Sales\nc,Sales\n",
                   (struct fleet_import){.policy = "corp", .challenges = out}),
            ERR_CONFLICT, "1 lines were right");
    ck_assert_uint_eq(story.n, 1);
    ck_assert_uint_eq(story.line[0], 3);
    ck_assert_msg(strstr(story.text[0], "any of several") != NULL, "%s", story.text[0]);
    ck_assert_uint_eq(counts.challenges, 2);
    ck_assert_uint_eq(list_of(out).committed, 2);
    fclose(out);
}
END_TEST

/* A fault of the store, where an entry of the audit log is to be written, is told as what it is. */
START_TEST(audit_log_is_damaged)
{
    struct key head = meta_audit_head();
    struct store_device d = {.name = "b"};
    struct view kept;
    uint8_t good[64];
    device_new("a");
    struct store_write *w = begin();
    ok(txn_get(&w->txn, TABLE_META, key_view(&head), &kept, &err));
    size_t n = kept.n;
    ck_assert_uint_le(n, sizeof good);
    memcpy(good, kept.p, n);
    ok(txn_put(&w->txn, TABLE_META, PUT_REPLACE, key_view(&head), view_str("bad"), &err));
    commit(w);
    refused(fleet_device_new(&fleet, &d, &err), ERR_STORE, "damaged head");
    refused(import("name\nb\nc\n", (struct fleet_import){.update = false}), ERR_STORE,
            "damaged head");
    ck_assert_uint_eq(counts.made, 0);
    w = begin();
    ok(txn_put(&w->txn, TABLE_META, PUT_REPLACE, key_view(&head), view_of(good, n), &err));
    commit(w);
}
END_TEST

START_TEST(foreign_list)
{
    static const char precious[] = "name,phone\nanna,4711\n";
    FILE *out = file_of(precious, sizeof precious - 1);
    char back[64] = "";
    policy_new("corp");
    refused(import("name\na\n", (struct fleet_import){.policy = "corp", .challenges = out}),
            ERR_EXISTS, "something else");
    rewind(out);
    ck_assert_uint_eq(fread(back, 1, sizeof back - 1, out), sizeof precious - 1);
    ck_assert_str_eq(back, precious);
    fclose(out);
}
END_TEST

START_TEST(names_by_policy)
{
    struct store_policy p = policy_wish("corp");
    strcpy(p.subject, "CN=%serialnumber%");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    struct fleet_import o = {.policy = "corp"};
    refused(import("name,serial_number\na,1\nb,1\nc,\n", o), ERR_CONFIG, "2 of 3 lines");
    ck_assert_msg(strstr(story.text[0], "subject of line 2, CN=1") != NULL, "%s", story.text[0]);
    ck_assert_msg(strstr(story.text[1], "%serialnumber% has no value") != NULL, "%s",
                  story.text[1]);
    ok(import("name,serial_number\na,1\n", o));
    ck_assert_uint_eq(counts.assigned, 1);
    /* beside those that have the policy already */
    refused(import("name,serial_number\na,1\nb,1\n", o), ERR_CONFIG, "1 of 2 lines");
    ck_assert_msg(strstr(story.text[0], "subject of dev_") != NULL, "%s", story.text[0]);
    o.challenges = tmpfile();
    o.policy = NULL;
    refused(import("name\nz\n", o), ERR_CONFIG, "say which");
    fclose(o.challenges);
    o.challenges = NULL;
    o.policy = "none";
    refused(import("name\nz\n", o), ERR_NOT_FOUND, "no policy \"none\"");
}
END_TEST

START_TEST(dry)
{
    uint64_t before, after;
    ok(store_generation(st, &before, &err));
    ok(import("name\na\nb\n", (struct fleet_import){.dry_run = true}));
    ck_assert_uint_eq(counts.made, 2);
    ok(store_generation(st, &after, &err));
    ck_assert_uint_eq(before, after);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fleet-import");
    TCase *t = tcase_create("import");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, world_setup, world_teardown);
    tcase_add_test(t, table_rows);
    tcase_add_test(t, table_carriage_returns);
    tcase_add_test(t, table_hostile);
    tcase_add_test(t, imported);
    tcase_add_test(t, all_mistakes_at_once);
    tcase_add_test(t, headers);
    tcase_add_test(t, blank_lines);
    tcase_add_test(t, lines_that_end_with_carriage_returns);
    tcase_add_test(t, a_column_with_a_nul);
    tcase_add_test(t, interrupted_and_gone_on_with);
    tcase_add_test(t, no_write_is_long);
    tcase_add_test(t, who_holds_a_certificate);
    tcase_add_test(t, who_may_have_no_challenge);
    tcase_add_test(t, what_the_row_gives_again_was_never_gone);
    tcase_add_test(t, what_is_lost_is_told_before);
    tcase_add_test(t, what_another_group_takes_is_told_before);
    tcase_add_test(t, what_cannot_be_tried_is_a_mistake_of_its_line);
    tcase_add_test(t, what_was_told_as_left_out_is_left_out);
    tcase_add_test(t, groups_of_what_is_left_out);
    tcase_add_test(t, a_plan_is_what_is_done);
    tcase_add_test(t, isolated_meanwhile);
    tcase_add_test(t, refused_while_importing);
    tcase_add_test(t, audit_log_is_damaged);
    tcase_add_test(t, foreign_list);
    tcase_add_test(t, names_by_policy);
    tcase_add_test(t, dry);
    suite_add_tcase(s, t);
    return check_main(s);
}
