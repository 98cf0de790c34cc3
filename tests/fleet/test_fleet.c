/* Devices, groups, policies: the verbs, challenges, checks, history. */
#include "ca/keyfile.h"
#include "client/client.h"
#include "fleet_world.h"

/* ---- devices ---- */

START_TEST(device_made_and_changed)
{
    struct store_device d = device_new("iPad-0113"), again = d;
    ck_assert_int_eq(strncmp(d.id, "dev_", 4), 0);
    ck_assert_str_eq(d.created_by, "anna");
    ck_assert_uint_eq(d.version, 1);
    refused(fleet_device_new(&fleet, &again, &err), ERR_EXISTS, "is called");
    strcpy(again.name, "ipad-0113"); /* any case */
    refused(fleet_device_new(&fleet, &again, &err), ERR_EXISTS, "is called");

    struct store_device edit = d;
    strcpy(edit.email, "anna@example.org");
    ok(fleet_device_edit(&fleet, 1, &edit, NULL, &err));
    ck_assert_uint_eq(edit.version, 2);
    struct store_device late = d;
    strcpy(late.host, "late.example.org");
    refused(fleet_device_edit(&fleet, 1, &late, NULL, &err), ERR_CONFLICT,
            "its version is 2, not 1");
    /* nothing changed: no new version */
    ok(fleet_device_edit(&fleet, 2, &edit, NULL, &err));
    ck_assert_uint_eq(edit.version, 2);

    struct store_device out;
    ok(fleet_device_get(&fleet, "IPAD-0113", &out, &err));
    ck_assert_str_eq(out.email, "anna@example.org");
    refused(fleet_device_get(&fleet, "nobody", &out, &err), ERR_NOT_FOUND, "no device \"nobody\"");
}
END_TEST

START_TEST(device_values)
{
    static const struct {
        const char *name, *platform, *email, *host, *serial, *part;
    } bad[] = {
        {"", "", "", "", "", "name: it is missing"},
        {"a\nb", "", "", "", "", "name: "},
        {" a", "", "", "", "", "name: "},
        {"\xe2\x80\xae"
         "b",
         "", "", "", "", "name: "},
        {"dev_abc", "", "", "", "", "begins like an id"},
        {"POL_abc", "", "", "", "", "begins like an id"},
        {"a", "amiga", "", "", "", "platform: \"amiga\""},
        {"a", "", "no address", "", "", "email: "},
        {"a", "", "", "two words", "", "host: "},
        {"a", "", "", "", "x\x7f", "serial_number: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct store_device d = {.id = ""};
        strcpy(d.name, bad[i].name);
        strcpy(d.platform, bad[i].platform);
        strcpy(d.email, bad[i].email);
        strcpy(d.host, bad[i].host);
        strcpy(d.serial_number, bad[i].serial);
        refused(fleet_device_new(&fleet, &d, &err), ERR_CONFIG, bad[i].part);
    }
    struct store_device d = {.name = "10.1.2.3", .host = "10.1.2.3"};
    ok(fleet_device_new(&fleet, &d, &err));
}
END_TEST

START_TEST(device_isolated_and_released)
{
    struct store_device d = device_new("a"), out;
    ok(fleet_device_isolate(&fleet, "a", 1, "stolen?", &out, &err));
    ck_assert_int_eq(out.state, DEVICE_ISOLATED);
    refused(fleet_device_isolate(&fleet, "a", 0, "", &out, &err), ERR_CONFLICT, "is isolated");
    refused(fleet_device_release(&fleet, d.id, 1, "", &out, &err), ERR_CONFLICT, "version is 2");
    ok(fleet_device_release(&fleet, d.id, 2, "", &out, &err));
    ck_assert_int_eq(out.state, DEVICE_ACTIVE);
    uint64_t counts[DEVICE_STATES];
    ok(store_device_counts(st, counts, &err));
    ck_assert_uint_eq(counts[DEVICE_ACTIVE], 1);
}
END_TEST

START_TEST(renamed_device_loses_its_challenges)
{
    struct store_device d = device_new("a");
    policy_new("corp");
    assign("corp", "a");
    struct fleet_challenge c = challenge_for("a", NULL);
    strcpy(d.platform, "linux");
    ok(fleet_device_edit(&fleet, 0, &d, NULL, &err));
    ck_assert(challenge_open(c.record.id));
    strcpy(d.name, "b");
    ok(fleet_device_edit(&fleet, 0, &d, NULL, &err));
    ck_assert(!challenge_open(c.record.id));
}
END_TEST

/* ---- policies ---- */

START_TEST(policy_made)
{
    struct store_policy p = policy_new("corp"), again = p;
    ck_assert_int_eq(strncmp(p.id, "pol_", 4), 0);
    ck_assert_str_eq(p.endpoint, "/scep/corp");
    ck_assert_str_eq(p.key_type, "rsa");
    ck_assert_uint_eq(p.key_size, 2048);
    ck_assert_uint_eq(p.key_usage, POLICY_USAGE_SIGNING | POLICY_USAGE_ENCRYPTION);
    ck_assert_int_eq(p.challenge_ttl, 3600);
    fails(fleet_policy_new(&fleet, &again, NULL, &err), ERR_EXISTS);
    struct fleet_warnings warn = {0};
    struct store_policy same = policy_wish("same");
    strcpy(same.subject, "CN=%user%,O=Example");
    ok(fleet_policy_new(&fleet, &same, &warn, &err));
    ck_assert_uint_eq(warn.n, 1);
    ck_assert(strstr(warn.text[0], "only one device") != NULL);
}
END_TEST

START_TEST(policy_values)
{
    struct store_policy p;
#define wrong(change, part)                                                  \
    do {                                                                     \
        p = policy_wish("corp");                                             \
        change;                                                              \
        refused(fleet_policy_new(&fleet, &p, NULL, &err), ERR_CONFIG, part); \
    } while (0)
    wrong(strcpy(p.name, ""), "name: ");
    wrong(strcpy(p.subject, ""), "subject: ");
    wrong(strcpy(p.subject, "CN=%nothing%"), "no wildcard");
    wrong(strcpy(p.san, "DNS"), "san: ");
    wrong(strcpy(p.endpoint, "/elsewhere"), "endpoint: ");
    wrong(p.challenge = POLICY_STATIC, "challenge: ");
    wrong(p.challenge = POLICY_NONE, "challenge: ");
    wrong(p.challenge = POLICY_UPSTREAM, "challenge: endpoint /scep/corp has no upstream");
    wrong(p.challenge_ttl = 5, "challenge_ttl: ");
    wrong(strcpy(p.key_type, "dsa"), "key_type: ");
    wrong(p.key_size = 1000, "key_size: ");
    wrong(p.key_size = 1024, "key_size: template device takes");
    wrong((strcpy(p.key_type, "ec"), p.key_size = 384), "P-384");
    wrong(p.key_usage = 8, "key_usage: ");
    wrong(strcpy(p.eku, "serverAuth"), "does not give serverAuth");
    wrong(strcpy(p.eku, "clientauth,nonsense"), "eku: ");
    wrong(p.retries = 31, "retries: ");
    wrong(p.retry_delay = 86401, "retry_delay: ");
#undef wrong
    p = policy_wish("corp");
    world_config.template[0].rsa_min = 1024;
    p.key_size = 1024;
    struct fleet_warnings warn = {0};
    ok(fleet_policy_new(&fleet, &p, &warn, &err));
    ck_assert_uint_eq(warn.n, 1);
    ck_assert(strstr(warn.text[0], "1024") != NULL);
    strcpy(world_config.endpoint[0].upstream, "old-ca");
    p = policy_wish("handed on");
    p.challenge = POLICY_UPSTREAM;
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
}
END_TEST

START_TEST(policy_edited)
{
    struct store_policy p = policy_new("corp");
    device_new("a");
    assign("corp", "a");
    struct fleet_challenge c = challenge_for("a", NULL);
    p.retries = 5;
    ok(fleet_policy_edit(&fleet, 1, &p, NULL, NULL, &err));
    ck_assert_uint_eq(p.version, 2);
    ck_assert(challenge_open(c.record.id));
    strcpy(p.subject, "CN=%devicename%,O=Example");
    refused(fleet_policy_edit(&fleet, 1, &p, NULL, NULL, &err), ERR_CONFLICT, "version is 2");
    ok(fleet_policy_edit(&fleet, 2, &p, NULL, NULL, &err));
    ck_assert(!challenge_open(c.record.id));
    c = challenge_for("a", NULL);
    p.key_size = 3072;
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    ck_assert(!challenge_open(c.record.id));
    c = challenge_for("a", NULL);
    strcpy(p.key_type, "ec");
    p.key_size = 256;
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    ck_assert(!challenge_open(c.record.id));
    p.paused = true;
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    struct fleet_challenge_wish wish = {.device = "a"};
    refused(fleet_challenge_new(&fleet, &wish, &c, &err), ERR_REFUSED, "is paused");
}
END_TEST

/* ---- assignments ---- */

START_TEST(same_subject_refused)
{
    struct store_device a = device_new("a"), b = device_new("b");
    struct store_policy p = policy_wish("by-serial");
    bool changed;
    strcpy(p.subject, "CN=%serialnumber%");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    refused(fleet_policy_assign(&fleet, p.id, 0, "a", false, NULL, &world_gone, &changed, &err),
            ERR_CONFIG, "device a: subject: %serialnumber% has no value");
    strcpy(a.serial_number, "C02");
    strcpy(b.serial_number, "c02"); /* names have no case: RFC 5280 section 7.1 */
    ok(fleet_device_edit(&fleet, 0, &a, NULL, &err));
    ok(fleet_device_edit(&fleet, 0, &b, NULL, &err));
    assign(p.id, "a");
    refused(fleet_policy_assign(&fleet, p.id, 0, "b", false, NULL, &world_gone, &changed, &err),
            ERR_EXISTS, "devices a and b would get the same subject, CN=c02");
    group_new("all", false);
    join("all", "b");
    refused(fleet_policy_assign(&fleet, p.id, 0, "all", false, NULL, &world_gone, &changed, &err),
            ERR_EXISTS, "devices a and b");
    /* by way of a group that has it */
    group_new("some", false);
    assign(p.id, "some");
    refused(fleet_member_add(&fleet, "some", 0, "b", &world_gone, &changed, &err), ERR_EXISTS,
            "devices a and b");
    ok(fleet_policy_assign(&fleet, p.id, 0, "a", false, NULL, &world_gone, &changed, &err));
    ck_assert(!changed);
    /* by a change of the device, or of the policy */
    strcpy(b.serial_number, "C03");
    strcpy(b.user, "anna");
    ok(fleet_device_edit(&fleet, 0, &b, NULL, &err));
    strcpy(a.user, "Anna");
    ok(fleet_device_edit(&fleet, 0, &a, NULL, &err));
    assign(p.id, "b");
    strcpy(b.serial_number, "C02");
    refused(fleet_device_edit(&fleet, 0, &b, NULL, &err), ERR_EXISTS, "devices a and b");
    strcpy(p.subject, "CN=%user%");
    refused(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err), ERR_EXISTS,
            "would get the same subject, CN=");
}
END_TEST

START_TEST(nothing_of_the_device)
{
    device_new("a");
    group_new("all", false);
    struct store_policy p = policy_wish("one");
    strcpy(p.subject, "CN=%policy%");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    bool changed;
    struct fleet_warnings warn = {0};
    refused(fleet_policy_assign(&fleet, "one", 0, "all", false, NULL, &world_gone, &changed, &err),
            ERR_CONFIG, "all devices of a group would get the same");
    ok(fleet_policy_assign(&fleet, "one", 0, "all", true, &warn, &world_gone, &changed, &err));
    ck_assert_uint_eq(warn.n, 1);
}
END_TEST

START_TEST(another_devices_subject)
{
    struct store_device a = device_new("a");
    device_new("b");
    struct store_policy p = policy_new("corp");
    assign("corp", "a");
    assign("corp", "b");
    /* device a held a certificate with the name that is b's now */
    cert_named(1, "CN=b", a.id, p.id);
    struct fleet_challenge made;
    struct fleet_challenge_wish wish = {.device = "b"};
    refused(fleet_challenge_new(&fleet, &wish, &made, &err), ERR_EXISTS,
            "devices a and b would have the same subject");
}
END_TEST

/* ---- challenges, checks, history ---- */

START_TEST(challenge_is_bound)
{
    struct store_device d = {.name = "a, \"b\"*", .host = "a.example.org"};
    ok(fleet_device_new(&fleet, &d, &err));
    struct store_policy p = policy_wish("corp");
    strcpy(p.san, "DNS:%host%");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    assign("corp", d.id);
    struct fleet_challenge c = challenge_for(d.id, NULL);
    ck_assert_uint_gt(strlen(c.secret), 0);
    ck_assert_str_eq(c.record.device, d.id);
    ck_assert_str_eq(c.record.policy, p.id);
    ck_assert_str_eq(c.record.endpoint, "/scep/corp");
    ck_assert_str_eq(c.record.template_name, "device");
    ck_assert_str_eq(c.record.subject, "CN=a\\, \\\"b\\\"\\\\*");
    ck_assert_str_eq(c.record.san, "DNS:a.example.org");
    ck_assert_uint_eq(c.record.uses, 1);
    ck_assert_int_eq(c.record.expires_at, NOW + 3600);
    ck_assert_str_eq(c.names.subject, "CN=a\\, \\\"b\\\"*");
    fleet_challenge_wipe(&c);
    ck_assert_str_eq(c.secret, "");

    world_config.endpoint[0].manual = true;
    p = policy_wish("manual");
    p.challenge = POLICY_NONE;
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    assign("manual", d.id);
    struct fleet_challenge_wish wish = {.device = d.id, .policy = "manual"};
    refused(fleet_challenge_new(&fleet, &wish, &c, &err), ERR_CONFLICT,
            "an administrator approves");
    wish.policy = NULL;
    refused(fleet_challenge_new(&fleet, &wish, &c, &err), ERR_CONFIG, "has several");
}
END_TEST

START_TEST(group_wildcard)
{
    struct store_device d = device_new("a");
    struct store_policy p = policy_wish("corp");
    struct fleet_names names;
    strcpy(p.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    refused(fleet_names(&fleet, &p, &d, &names, &err), ERR_CONFIG, "%group% has no value");
    group_new("Sales", false);
    join("Sales", "a");
    ok(fleet_names(&fleet, &p, &d, &names, &err));
    ck_assert_str_eq(names.subject, "CN=a,OU=Sales");
    group_new("Tall", false);
    join("Tall", "a");
    refused(fleet_names(&fleet, &p, &d, &names, &err), ERR_CONFIG, "any of several");
    assign("corp", "Tall");
    ok(fleet_names(&fleet, &p, &d, &names, &err));
    ck_assert_str_eq(names.subject, "CN=a,OU=Tall");
}
END_TEST

/* The device's own group, one that it has the policy by, and one of its user; a challenge that does
 * not name the group stays. */
START_TEST(group_renamed)
{
    struct store_policy p = policy_wish("named");
    strcpy(p.subject, "CN=%devicename%,OU=%group%");
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    policy_new("plain");
    struct store_device c = device_new("c");
    device_new("a");
    device_new("b");
    strcpy(c.user, "anna");
    ok(fleet_device_edit(&fleet, 0, &c, NULL, &err));
    struct store_group some = group_new("some", false), other = group_new("other", false),
                       staff = group_new("staff", true);
    join("some", "a");
    join("other", "b");
    join("staff", "anna");
    assign("plain", "a");
    assign("named", "a");
    assign("named", "other");
    assign("named", "staff");
    struct fleet_challenge of_a = challenge_for("a", "named"), of_b = challenge_for("b", NULL),
                           of_c = challenge_for("c", NULL), plain = challenge_for("a", "plain");
    strcpy(some.note, "only this");
    ok(fleet_group_edit(&fleet, 0, &some, NULL, &err));
    ck_assert(challenge_open(of_a.record.id));
    strcpy(some.name, "Some");
    ok(fleet_group_edit(&fleet, 0, &some, NULL, &err));
    ck_assert(!challenge_open(of_a.record.id));
    ck_assert(challenge_open(of_b.record.id) && challenge_open(of_c.record.id));
    strcpy(other.name, "another");
    ok(fleet_group_edit(&fleet, 0, &other, NULL, &err));
    ck_assert(!challenge_open(of_b.record.id));
    ck_assert(challenge_open(of_c.record.id));
    strcpy(staff.name, "people");
    ok(fleet_group_edit(&fleet, 0, &staff, NULL, &err));
    ck_assert(!challenge_open(of_c.record.id));
    ck_assert(challenge_open(plain.record.id));
}
END_TEST

static bool count_problem(void *ctx, const struct store_device *d, const char *text)
{
    (*(unsigned *)ctx)++;
    return true;
}

START_TEST(checked)
{
    struct store_device a = device_new("a");
    struct store_policy p = policy_new("corp");
    struct fleet_check c;
    ok(fleet_policy_check(&fleet, "corp", "a", (struct view){NULL, 0}, &c, &err));
    ck_assert(!c.ok);
    ck_assert_uint_eq(c.n, 5);
    ck_assert_str_eq(c.finding[2].what, "assignment");
    ck_assert(!c.finding[2].ok);
    assign("corp", "a");
    ok(fleet_policy_check(&fleet, "corp", "a", (struct view){NULL, 0}, &c, &err));
    ck_assert(c.ok);
    ck_assert_str_eq(c.names.subject, "CN=a");
    ok(fleet_policy_check(&fleet, "corp", "a", view_str("no request"), &c, &err));
    ck_assert(!c.ok);
    /* the key is taken for what the policy says */
    world_config.template[0].rsa_max = world_config.template[0].rsa_min = 1024;
    ok(fleet_policy_check(&fleet, "corp", "a", (struct view){NULL, 0}, &c, &err));
    ck_assert(!c.ok && strstr(c.finding[4].text, "RSA-2048") != NULL);
    p.key_size = 1024;
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    ok(fleet_policy_check(&fleet, "corp", "a", (struct view){NULL, 0}, &c, &err));
    ck_assert_msg(c.ok, "%s", c.finding[4].text);
    world_config.template[0].rsa_max = 0;
    strcpy(p.key_type, "ec");
    p.key_size = 256;
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    ok(fleet_policy_check(&fleet, "corp", "a", (struct view){NULL, 0}, &c, &err));
    ck_assert_msg(c.ok, "%s", c.finding[4].text);
    strcpy(p.subject, "CN=%devicename%,O=Other"); /* the template says O=Example */
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    ok(fleet_policy_check(&fleet, "corp", "a", (struct view){NULL, 0}, &c, &err));
    ck_assert(!c.ok && !c.finding[4].ok);
    ck_assert_str_eq(c.finding[4].what, "template");
    strcpy(p.subject, "CN=%serialnumber%");
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    unsigned told = 0;
    uint64_t devices, found;
    ok(fleet_policy_survey(&fleet, "corp", count_problem, &told, &devices, &found, &err));
    ck_assert_uint_eq(devices, 1);
    ck_assert_uint_eq(found, 1);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_gt(strlen(a.id), 0);
}
END_TEST

static bool fits(const char *policy, const char *device, const char *subject, const char *san)
{
    struct name name = {0};
    struct san names = {0};
    struct buf der = {0};
    EVP_PKEY *key = NULL;
    struct fleet_check c;
    ok(name_from_text(subject, &name, &err) && (!*san || san_add(&names, SAN_DNS, san, &err)));
    const struct client_wish wish = {.subject = &name, .san = *san ? &names : NULL};
    ok(key_generate("p256", &key, &err) && client_csr_build(key, &wish, &der, &err));
    ok(fleet_policy_check(&fleet, policy, device, buf_view(&der), &c, &err));
    EVP_PKEY_free(key);
    buf_clear(&der);
    san_clear(&names);
    name_clear(&name);
    return c.ok;
}

/* A request is held against the policy as the decision holds it against the challenge. */
START_TEST(requests_checked)
{
    struct store_device d = {.name = "a", .host = "a.example.org"};
    struct store_policy p = policy_wish("corp");
    ok(fleet_device_new(&fleet, &d, &err));
    world_config.template[0].subject[world_config.template[0].subject_n++] = strdup("OU=*");
    world_config.template[0].san[world_config.template[0].san_n++] = strdup("DNS:*");
    strcpy(p.subject, "CN=%devicename%,OU=x,OU=y");
    strcpy(p.san, "DNS:%host%");
    strcpy(p.key_type, "ec");
    ok(fleet_policy_new(&fleet, &p, NULL, &err));
    assign("corp", "a");
    ck_assert(fits("corp", "a", "CN=a,OU=x,OU=y", "a.example.org"));
    ck_assert(fits("corp", "a", "CN=a,OU=x,OU=y", "A.Example.ORG")); /* RFC 4343 section 2 */
    ck_assert(!fits("corp", "a", "CN=a,OU=y,OU=x", "a.example.org"));
    ck_assert(!fits("corp", "a", "CN=a,OU=x,OU=y,O=Example", "a.example.org"));
    ck_assert(!fits("corp", "a", "CN=b,OU=x,OU=y", "a.example.org"));
    ck_assert(!fits("corp", "a", "CN=a,OU=x,OU=y", "b.example.org"));
    ck_assert(!fits("corp", "a", "CN=a,OU=x,OU=y", ""));
    p.san[0] = '\0';
    ok(fleet_policy_edit(&fleet, 0, &p, NULL, NULL, &err));
    ck_assert(fits("corp", "a", "CN=a,OU=x,OU=y", ""));
    ck_assert(!fits("corp", "a", "CN=a,OU=x,OU=y", "a.example.org"));
}
END_TEST

struct seen {
    char text[64][48];
    size_t n, stop;
    int64_t last;
    struct fleet_cursor next;
};

static bool see(void *ctx, const struct fleet_event *e)
{
    struct seen *s = ctx;
    ck_assert_int_le(e->at, s->last);
    s->last = e->at;
    snprintf(s->text[s->n++], sizeof s->text[0], "%s",
             e->audit ? e->audit->event : e->attempt->operation);
    s->next = (struct fleet_cursor){e->attempt_next, e->audit_next};
    return s->n < s->stop;
}

START_TEST(history_is_merged)
{
    struct store_device a = device_new("a"), out;
    for (int i = 0; i < 4; i++) {
        struct store_attempt t = {.at = NOW + 10 * i + 5, .fail_info = -1};
        strcpy(t.operation, "PKCSReq");
        strcpy(t.device, a.id);
        struct store_write *w = begin();
        ok(store_attempt_put(w, &t, &err));
        commit(w);
        fleet.now = NOW + 10 * i + 10;
        if (i % 2)
            ok(fleet_device_release(&fleet, "a", 0, "", &out, &err));
        else
            ok(fleet_device_isolate(&fleet, "a", 0, "", &out, &err));
    }
    struct seen all = {.stop = 64, .last = INT64_MAX};
    ok(fleet_history(&fleet, a.id, (struct fleet_cursor){0, 0}, see, &all, &err));
    ck_assert_uint_eq(all.n, 9);
    ck_assert_str_eq(all.text[0], "device.released");
    ck_assert_str_eq(all.text[1], "PKCSReq");
    ck_assert_str_eq(all.text[8], "device.created");
    /* the same in pages of three */
    struct fleet_cursor from = {0, 0};
    size_t n = 0;
    for (int page = 0; page < 3; page++) {
        struct seen some = {.stop = 3, .last = INT64_MAX};
        ok(fleet_history(&fleet, a.id, from, see, &some, &err));
        ck_assert_uint_eq(some.n, 3);
        for (size_t i = 0; i < some.n; i++)
            ck_assert_str_eq(some.text[i], all.text[n++]);
        from = some.next;
    }
    struct seen none = {.stop = 3, .last = INT64_MAX};
    ok(fleet_history(&fleet, a.id, from, see, &none, &err));
    ck_assert_uint_eq(none.n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fleet");
    TCase *t = tcase_create("fleet");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, world_setup, world_teardown);
    tcase_add_test(t, device_made_and_changed);
    tcase_add_test(t, device_values);
    tcase_add_test(t, device_isolated_and_released);
    tcase_add_test(t, renamed_device_loses_its_challenges);
    tcase_add_test(t, policy_made);
    tcase_add_test(t, policy_values);
    tcase_add_test(t, policy_edited);
    tcase_add_test(t, same_subject_refused);
    tcase_add_test(t, nothing_of_the_device);
    tcase_add_test(t, another_devices_subject);
    tcase_add_test(t, challenge_is_bound);
    tcase_add_test(t, group_wildcard);
    tcase_add_test(t, group_renamed);
    tcase_add_test(t, checked);
    tcase_add_test(t, requests_checked);
    tcase_add_test(t, history_is_merged);
    suite_add_tcase(s, t);
    return check_main(s);
}
