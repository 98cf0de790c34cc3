/* Partitions and deltas: what they hold beside the complete list, as OpenSSL reads them. */
#include "check_main.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ca/crl.h"
#include "ca_fixture.h"

#define HOUR 3600
#define DAY 86400
#define CERTS 240
#define SHARDS 4
#define URL "http://pki.example.org/crl/demo.crl"

static struct err err;
static struct ca_fixture ca;
static struct signer *signer;
static struct temporary store_dir;
static struct store *store;
static int64_t start;
static unsigned seed;

static void authority_make(void)
{
    ca_fixture_plan(&ca);
    ca.plan.ca_key = "p256";
    ca_fixture_init(&ca);
    ck_assert_msg(ca_fixture_load(&ca, &err), "%s", err.text);
    snprintf(ca.authority->crl_url, sizeof ca.authority->crl_url, "%s", URL);
}

static void authority_free_all(void)
{
    ca_fixture_clear(&ca);
}

/* A signer of its own for each test: it remembers numbers. */
static void begin_test(void)
{
    struct store_options o = {.map_size = 64 << 20, .create = true};
    temporary_make(&store_dir);
    o.path = temporary_path(&store_dir, "store");
    ck_assert_msg(store_open(&o, &store, &err), "%s", err.text);
    ck_assert_msg(signer_local(ca.spec, &signer, &err), "%s", err.text);
    ca.authority->crl_shards = 1;
    ca.authority->crl_delta = false;
    ca.authority->crl_validity = DAY;
    ca.authority->crl_period = HOUR;
    start = time(NULL);
    seed = 7;
}

static void end_test(void)
{
    signer_free(signer);
    store_close(store);
    temporary_remove(&store_dir);
}

/* ---- certificates ---- */

static const uint8_t *key_id(void)
{
    return ca.authority->key_id;
}

/* As enroll/ stores them: the partition is that of its serial. */
static uint64_t put_in(struct store_write *w, uint32_t n, int64_t not_after)
{
    struct store_cert c = {.not_before = 1, .not_after = not_after, .serial_len = 16};
    memcpy(c.authority, key_id(), sizeof c.authority);
    memset(c.serial, 0x41, 12);
    for (int i = 0; i < 4; i++)
        c.serial[12 + i] = (uint8_t)(n >> 8 * (3 - i));
    memcpy(c.der_hash, &n, sizeof n);
    memcpy(c.key_hash, &n, sizeof n);
    c.shard = crl_shard_of(ca.authority, view_of(c.serial, c.serial_len));
    ck_assert(buf_append(&c.der, "x", 1));
    ck_assert_msg(store_cert_put(w, &c, &err), "%s", err.text);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static struct store_write *begin(void)
{
    struct store_write *w = NULL;
    ck_assert_msg(store_write_begin(store, &w, &err), "%s", err.text);
    return w;
}

static void commit(struct store_write *w)
{
    ck_assert_msg(store_write_commit(w, &err), "%s", err.text);
}

static uint64_t put(uint32_t n, int64_t not_after)
{
    struct store_write *w = begin();
    uint64_t id = put_in(w, n, not_after);
    commit(w);
    return id;
}

/* Returns whether it could be. */
static bool change_in(struct store_write *w, uint64_t id, enum crl_reason reason, int64_t now)
{
    bool done = reason == CRL_REMOVE_FROM_CRL ? store_cert_release(w, id, &err)
                                              : store_cert_revoke(w, id, reason, now, &err);
    if (!done)
        ck_assert_int_eq(err.kind, ERR_CONFLICT);
    return done;
}

static bool change(uint64_t id, enum crl_reason reason, int64_t now)
{
    struct store_write *w = begin();
    bool done = change_in(w, id, reason, now);
    commit(w);
    return done;
}

/* ---- lists ---- */

static void publish(int64_t now)
{
    ck_assert_msg(crl_publish(ca.authority, signer, store, now, NULL, &err), "%s", err.text);
}

static X509_CRL *read_crl(uint32_t scope, struct store_crl *about)
{
    struct store_crl crl = {0};
    ck_assert_msg(store_crl_get(store, key_id(), scope, &crl, &err), "%u: %s", scope, err.text);
    const unsigned char *p = crl.der.p;
    X509_CRL *x = d2i_X509_CRL(NULL, &p, (long)crl.der.n);
    ck_assert_ptr_nonnull(x);
    ck_assert_ptr_eq(p, crl.der.p + crl.der.n);
    ck_assert_int_eq(X509_CRL_verify(x, ca.authority->public_key), 1);
    store_crl_clear(&crl);
    if (about)
        ck_assert(store_crl_about(store, key_id(), scope, about, &err));
    return x;
}

static int64_t number_of(const X509_CRL *x, int nid, int expected_critical)
{
    int critical = -1;
    ASN1_INTEGER *n = X509_CRL_get_ext_d2i(x, nid, &critical, NULL);
    if (!n) {
        ck_assert_int_eq(critical, -1);
        return -1;
    }
    ck_assert_int_eq(critical, expected_critical);
    int64_t value = ASN1_INTEGER_get(n);
    ASN1_INTEGER_free(n);
    return value;
}

static int reason_of(X509_REVOKED *r)
{
    ASN1_ENUMERATED *e = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, NULL, NULL);
    int reason = e ? (int)ASN1_ENUMERATED_get(e) : CRL_UNSPECIFIED;
    ASN1_ENUMERATED_free(e);
    return reason;
}

/* What a relying party knows: by the last octets of the serial, the reason; -1: not revoked. */
struct known {
    int reason[CERTS];
    size_t n;
};

static struct known nothing(void)
{
    struct known k;
    for (size_t i = 0; i < CERTS; i++)
        k.reason[i] = -1;
    k.n = 0;
    return k;
}

static void apply(struct known *k, X509_CRL *x, bool delta)
{
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(x);
    bool seen[CERTS] = {false};
    for (int i = 0; i < sk_X509_REVOKED_num(list); i++) {
        X509_REVOKED *r = sk_X509_REVOKED_value(list, i);
        const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(r);
        const uint8_t *p = ASN1_STRING_get0_data(serial);
        uint32_t n = (uint32_t)p[14] << 8 | p[15];
        int reason = reason_of(r);
        ck_assert_int_eq(ASN1_STRING_length(serial), 16);
        ck_assert_uint_lt(n, CERTS);
        ck_assert_msg(!seen[n], "serial %u stands twice", n);
        seen[n] = true;
        ck_assert(delta || reason != CRL_REMOVE_FROM_CRL);
        k->reason[n] = reason == CRL_REMOVE_FROM_CRL ? -1 : reason;
        k->n++;
    }
}

static void same(const struct known *a, const struct known *b, const char *what)
{
    for (size_t i = 0; i < CERTS; i++)
        ck_assert_msg(a->reason[i] == b->reason[i], "%s: certificate %zu is %d and not %d", what, i,
                      a->reason[i], b->reason[i]);
}

/* ---- partitions ---- */

START_TEST(names)
{
    char url[CRL_URL_MAX];
    ck_assert(crl_scope_url(URL, STORE_CRL_COMPLETE, url));
    ck_assert_str_eq(url, URL);
    ck_assert(crl_scope_url(URL, 12, url));
    ck_assert_str_eq(url, "http://pki.example.org/crl/demo-p12.crl");
    ck_assert(crl_scope_url(URL, STORE_CRL_DELTA, url));
    ck_assert_str_eq(url, "http://pki.example.org/crl/demo-delta.crl");
    ck_assert(!crl_scope_url("http://pki.example.org/crl", 1, url));
    ck_assert(!crl_scope_url("", 1, url));
    ck_assert(!crl_scope_url(".crl", 1, url));
}
END_TEST

START_TEST(shards_of_serials)
{
    static const uint8_t serial[16] = {0x41, 0, 0, 0, 0,    0,    0,    0,
                                       0,    0, 0, 0, 0xff, 0xff, 0xff, 0xfe};
    ck_assert_uint_eq(crl_shard_of(ca.authority, view_of(serial, 16)), STORE_CRL_COMPLETE);
    ca.authority->crl_shards = 4;
    ck_assert_uint_eq(crl_shard_of(ca.authority, view_of(serial, 16)), 1 + 0xfffffffe % 4);
    ca.authority->crl_shards = CRL_MAX_SHARDS;
    ck_assert_uint_eq(crl_shard_of(ca.authority, view_of(serial, 16)), 1 + 0xfffffffe % 128);
    ca.authority->crl_url[0] = '\0'; /* where would it be? */
    ck_assert_uint_eq(crl_shard_of(ca.authority, view_of(serial, 16)), STORE_CRL_COMPLETE);
    snprintf(ca.authority->crl_url, sizeof ca.authority->crl_url, "%s", URL);
}
END_TEST

/* RFC 5280 section 5.2.5: critical, its own URL, and not an octet more. */
static void is_partition(X509_CRL *x, uint32_t shard)
{
    char url[CRL_URL_MAX];
    int critical = -1, at = X509_CRL_get_ext_by_NID(x, NID_issuing_distribution_point, -1);
    ISSUING_DIST_POINT *idp =
        X509_CRL_get_ext_d2i(x, NID_issuing_distribution_point, &critical, NULL);
    ck_assert_ptr_nonnull(idp);
    ck_assert_int_eq(critical, 1);
    ck_assert_int_eq(idp->distpoint->type, 0);
    ck_assert_int_eq(sk_GENERAL_NAME_num(idp->distpoint->name.fullname), 1);
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(idp->distpoint->name.fullname, 0);
    ck_assert_int_eq(name->type, GEN_URI);
    ck_assert(crl_scope_url(URL, shard, url));
    ck_assert(view_eq(view_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                              (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier)),
                      view_str(url)));
    ck_assert(!idp->onlyuser && !idp->onlyCA && !idp->onlyattr && !idp->indirectCRL &&
              !idp->onlysomereasons);
    uint8_t *der = NULL;
    int n = i2d_ISSUING_DIST_POINT(idp, &der);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_CRL_get_ext(x, at));
    ck_assert(n > 0 &&
              view_eq(view_of(der, (size_t)n),
                      view_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value))));
    OPENSSL_free(der);
    ISSUING_DIST_POINT_free(idp);
    ck_assert_int_eq(X509_CRL_get_ext_count(x), 3);
}

static size_t revoke_some(const uint64_t *id)
{
    static const enum crl_reason reasons[] = {CRL_UNSPECIFIED, CRL_KEY_COMPROMISE, CRL_HOLD};
    struct store_write *w = begin();
    size_t revoked = 0;
    for (size_t i = 0; i < CERTS; i++)
        if (rand_r(&seed) % 2 && change_in(w, id[i], reasons[i % 3], start))
            revoked++;
    commit(w);
    return revoked;
}

START_TEST(partitions)
{
    uint64_t id[CERTS];
    struct known whole = nothing(), parts = nothing();
    struct store_write *w = begin();
    for (uint32_t i = 0; i < CERTS; i++) {
        ca.authority->crl_shards = i % 3 ? SHARDS : 1; /* some from before there were any */
        id[i] = put_in(w, i, start + DAY);
    }
    commit(w);
    ca.authority->crl_shards = SHARDS + 1; /* one more, still empty */
    size_t revoked = revoke_some(id);
    publish(start);
    X509_CRL *x = read_crl(STORE_CRL_COMPLETE, NULL);
    ck_assert_int_eq(X509_CRL_get_ext_count(x), 2);
    apply(&whole, x, false);
    X509_CRL_free(x);
    ck_assert_uint_eq(whole.n, revoked);
    size_t unnamed = 0;
    for (size_t i = 0; i < CERTS; i += 3)
        unnamed += whole.reason[i] >= 0;
    for (uint32_t k = 1; k <= SHARDS + 1; k++) {
        struct known one = nothing();
        x = read_crl(k, NULL);
        is_partition(x, k);
        apply(&one, x, false);
        apply(&parts, x, false);
        X509_CRL_free(x);
        ck_assert_int_eq(one.n > 0, k <= SHARDS);
        for (uint32_t i = 0; i < CERTS; i++)
            ck_assert(one.reason[i] < 0 || (i % 3 && 1 + i % SHARDS == k));
    }
    ck_assert_uint_eq(parts.n + unnamed, whole.n); /* each in one place */
    for (size_t i = 0; i < CERTS; i += 3)
        whole.reason[i] = -1;
    same(&parts, &whole, "partitions");
}
END_TEST

static void due_are(int64_t now, const uint32_t *scope, size_t n)
{
    struct crl_scopes due;
    ck_assert_msg(crl_due(ca.authority, store, now, &due, &err), "%s", err.text);
    ck_assert_uint_eq(due.n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(due.scope[i], scope[i]);
}

/* A revocation makes the lists new that show it, and no others; numbers are each scope's own. */
START_TEST(only_what_changed)
{
    static const uint32_t all[] = {0, 1, 2, 3, 4}, two[] = {0, 3};
    struct store_crl complete, same_one, other;
    struct crl_scopes due;
    ca.authority->crl_shards = SHARDS;
    uint64_t id = put(2, start + DAY);
    due_are(start, all, 5);
    publish(start);
    due_are(start, NULL, 0);
    for (int i = 0; i < 2; i++) {
        ck_assert(change(id, i ? CRL_REMOVE_FROM_CRL : CRL_HOLD, start));
        due_are(start, two, 2);
        ck_assert(crl_due(ca.authority, store, start, &due, &err));
        ck_assert_msg(crl_publish(ca.authority, signer, store, start + i, &due, &err), "%s",
                      err.text);
        due_are(start, NULL, 0);
    }
    ck_assert(store_crl_about(store, key_id(), 0, &complete, &err));
    ck_assert(store_crl_about(store, key_id(), 3, &same_one, &err));
    ck_assert(store_crl_about(store, key_id(), 4, &other, &err));
    ck_assert_uint_eq(complete.number, 3);
    ck_assert_uint_eq(same_one.number, 3);
    ck_assert_uint_eq(other.number, 1);
    due_are(start + HOUR, (const uint32_t[]){1, 2, 4}, 3);
    due_are(start + HOUR + 1, all, 5);
}
END_TEST

/* Certificates name them for years: a lower setting ends none, and a higher one adds. */
START_TEST(partitions_stay)
{
    struct crl_scopes s;
    ca.authority->crl_shards = SHARDS;
    publish(start);
    ca.authority->crl_shards = 1;
    ck_assert(crl_scopes(ca.authority, store, &s, &err));
    ck_assert_uint_eq(s.n, 1 + SHARDS);
    publish(start + 1);
    X509_CRL *x = read_crl(SHARDS, NULL);
    is_partition(x, SHARDS);
    X509_CRL_free(x);
    ca.authority->crl_shards = SHARDS + 2;
    ca.authority->crl_delta = true;
    ck_assert(crl_scopes(ca.authority, store, &s, &err));
    ck_assert_uint_eq(s.n, 1 + SHARDS + 2 + 1);
    ck_assert_uint_eq(s.scope[s.n - 1], STORE_CRL_DELTA);
}
END_TEST

/* A file that is gone is made anew, under a new number. */
START_TEST(missing_octets)
{
    char command[600];
    struct store_crl crl;
    publish(start);
    snprintf(command, sizeof command, "rm %s/crl/*", temporary_path(&store_dir, "store"));
    ck_assert_int_eq(system(command), 0);
    due_are(start, (const uint32_t[]){0}, 1);
    publish(start);
    ck_assert(store_crl_about(store, key_id(), 0, &crl, &err));
    ck_assert(!crl.missing);
    ck_assert_uint_eq(crl.number, 2);
    due_are(start, NULL, 0);
}
END_TEST

/* ---- deltas ---- */

#define ROUNDS 100
#define STEP 1200 /* seconds between lists */

struct held {
    struct known known;
    uint64_t number;
    int64_t next_update;
    bool freshest;
};

static bool has_freshest(X509_CRL *x)
{
    int critical = -1;
    STACK_OF(DIST_POINT) *points = X509_CRL_get_ext_d2i(x, NID_freshest_crl, &critical, NULL);
    if (!points)
        return false;
    ck_assert_int_eq(critical, 0);
    ck_assert_int_eq(sk_DIST_POINT_num(points), 1);
    const GENERAL_NAME *name =
        sk_GENERAL_NAME_value(sk_DIST_POINT_value(points, 0)->distpoint->name.fullname, 0);
    ck_assert(view_eq(view_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                              (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier)),
                      view_str("http://pki.example.org/crl/demo-delta.crl")));
    sk_DIST_POINT_pop_free(points, DIST_POINT_free);
    return true;
}

static struct held take(int64_t now)
{
    struct held h = {.known = nothing()};
    struct store_crl about;
    X509_CRL *x = read_crl(STORE_CRL_COMPLETE, &about);
    apply(&h.known, x, false);
    h.number = about.number;
    h.next_update = about.next_update;
    h.freshest = has_freshest(x);
    ck_assert_int_eq(number_of(x, NID_delta_crl, 1), -1);
    ck_assert_int_eq(number_of(x, NID_crl_number, 0), (int64_t)h.number);
    ck_assert_int_gt(about.next_update, now);
    X509_CRL_free(x);
    return h;
}

/* RFC 5280 section 5.2.4: whoever holds any complete list that is still valid and that named the
 * delta knows what the newest one says. */
static void delta_is_right(const struct held *held, size_t n, int64_t now)
{
    const struct held *newest = &held[n - 1];
    struct store_crl about;
    X509_CRL *x = read_crl(STORE_CRL_DELTA, &about);
    int64_t base = number_of(x, NID_delta_crl, 1);
    bool published = false;
    ck_assert_int_eq(number_of(x, NID_crl_number, 0), (int64_t)newest->number);
    ck_assert(!has_freshest(x));
    ck_assert_int_eq(X509_CRL_get_ext_count(x), 3);
    ck_assert_int_gt(about.next_update, now);
    ck_assert_int_le(about.next_update, newest->next_update);
    for (size_t i = 0; i < n; i++) {
        struct known k = held[i].known;
        published = published || (int64_t)held[i].number == base;
        if (held[i].next_update <= now || !held[i].freshest)
            continue;
        ck_assert_int_ge((int64_t)held[i].number, base);
        apply(&k, x, true);
        same(&k, &newest->known, "with the delta");
    }
    ck_assert(published);
    X509_CRL_free(x);
}

static void change_some(uint64_t id[CERTS], int64_t now)
{
    static const enum crl_reason reasons[] = {CRL_HOLD, CRL_HOLD, CRL_REMOVE_FROM_CRL,
                                              CRL_REMOVE_FROM_CRL, CRL_SUPERSEDED};
    struct store_write *w = begin();
    for (int i = 0; i < 6; i++) {
        uint32_t n = (uint32_t)rand_r(&seed) % CERTS;
        change_in(w, id[n], reasons[rand_r(&seed) % 5], now);
    }
    commit(w);
}

START_TEST(deltas)
{
    static struct held held[ROUNDS];
    uint64_t id[CERTS];
    int64_t now = start;
    struct store_crl about;
    struct store_write *w = begin();
    for (uint32_t i = 0; i < CERTS; i++) /* ends all over the time and after it */
        id[i] = put_in(w, i, start + (int64_t)i * ROUNDS * STEP * 2 / CERTS);
    commit(w);
    ca.authority->cert->not_after = start + 365 * (int64_t)DAY;
    for (size_t i = 0; i < ROUNDS; i++, now += STEP) {
        ca.authority->crl_delta = i > 3; /* turned on later */
        ca.authority->crl_validity = i < ROUNDS / 2 ? DAY : DAY / 2;
        change_some(id, now);
        publish(now);
        held[i] = take(now);
        ck_assert_int_eq(held[i].freshest, i > 3);
        if (i > 3)
            delta_is_right(held, i + 1, now);
    }
    ck_assert(store_crl_about(store, key_id(), STORE_CRL_COMPLETE, &about, &err));
    ck_assert_uint_lt(about.base_n, STORE_CRL_BASES);
    ck_assert_int_ge(about.bases[0].this_update, now - 2 * DAY); /* old ones go */
}
END_TEST

/* The first has nothing to tell, and is there, since the complete list names it. */
START_TEST(first_delta)
{
    struct store_crl about;
    ca.authority->crl_delta = true;
    change(put(1, start + DAY), CRL_HOLD, start);
    publish(start);
    X509_CRL *x = read_crl(STORE_CRL_DELTA, &about);
    ck_assert_int_eq(number_of(x, NID_delta_crl, 1), 1);
    ck_assert_int_eq(number_of(x, NID_crl_number, 0), 1);
    ck_assert_ptr_null(X509_CRL_get_REVOKED(x));
    ck_assert_int_eq(about.next_update, start + 2 * HOUR);
    X509_CRL_free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crl scopes");
    TCase *tc = tcase_create("scopes");
    tcase_add_unchecked_fixture(tc, authority_make, authority_free_all);
    tcase_add_checked_fixture(tc, begin_test, end_test);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, names);
    tcase_add_test(tc, shards_of_serials);
    tcase_add_test(tc, partitions);
    tcase_add_test(tc, only_what_changed);
    tcase_add_test(tc, partitions_stay);
    tcase_add_test(tc, missing_octets);
    tcase_add_test(tc, deltas);
    tcase_add_test(tc, first_delta);
    suite_add_tcase(suite, tc);
    return check_main(suite);
}
