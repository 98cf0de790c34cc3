/* Can somebody who sends chosen ciphertexts tell from the time, or from the answer, what came of
 * the RSA decryption?  Messages that differ only there, in random order, through the whole request
 * function. oracle_timing [n for each kind]
 *
 * One line for each pair that must look alike: Welch's t over the lower nine tenths of the times,
 * the difference of the medians, and how often a time of the one is above one of the other (Mann
 * and Whitney; 0.5 when nothing can be told), with its z.  Exit code 1 when answers differ, or when
 * a difference is certain (|z| and |t| above 5) and larger than what a network lets anybody see
 * (0.5 us). */
#include <check.h>
#include <math.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "forge.h"
#include "service_fixture.h"
#include "test_keys.h"

#define DIFFERENT 48 /* messages of a kind */
#define CERTAIN 5.0
#define VISIBLE 0.5 /* microseconds */

enum kind {
    KEY_PADDING,  /* PKCS#1 v1.5: no padding comes of it */
    KEY_LENGTH,   /* right padding, a key of another length */
    KEY_OTHER,    /* right padding, another key of the right length */
    CONTENT,      /* the right key, wrong padding of the content */
    OAEP_PADDING, /* OAEP: no padding comes of it */
    OAEP_LENGTH,
    OAEP_OTHER,
    KINDS
};

static const char *const names[KINDS] = {"v1.5-padding",    "v1.5-length",  "v1.5-other-key",
                                         "content-padding", "oaep-padding", "oaep-length",
                                         "oaep-other-key"};

/* What must look alike. */
static const enum kind pairs[][2] = {{KEY_PADDING, KEY_LENGTH}, {KEY_PADDING, KEY_OTHER},
                                     {KEY_LENGTH, KEY_OTHER},   {KEY_OTHER, CONTENT},
                                     {OAEP_LENGTH, OAEP_OTHER}, {OAEP_PADDING, OAEP_OTHER}};

static struct service_fixture f;
static const struct scep_endpoint *endpoint;
static EVP_PKEY *device;
static X509 *device_cert, *recipient;
static struct buf message[KINDS][DIFFERENT];
static unsigned long n;

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "oracle_timing: %s\n", err->text);
    exit(1);
}

/* ---- messages ---- */

static void make(enum kind kind, int i)
{
    struct forge_envelope e;
    struct forge s;
    struct buf csr = test_csr(device, "oracle", NULL);
    forge_envelope_init(&e, recipient, buf_view(&csr));
    if (kind >= OAEP_PADDING) {
        e.key_oid = "1.2.840.113549.1.1.7";
        e.key_params = view_of(NULL, 0);
        e.oaep_hash = e.oaep_mgf = "SHA1";
    }
    e.bad_key_padding = kind == KEY_PADDING || kind == OAEP_PADDING;
    if (kind == KEY_LENGTH || kind == OAEP_LENGTH)
        e.sent_key_n = 24;
    e.other_key = kind == KEY_OTHER || kind == OAEP_OTHER;
    e.bad_padding = kind == CONTENT;
    struct buf content = forge_envelope_build(&e);
    forge_init(&s, device, device_cert, buf_view(&content));
    message[kind][i] = forge_build(&s);
    buf_clear(&content);
    buf_clear(&csr);
}

static void prepare(void)
{
    struct client_ca ca = {0};
    struct err err = {0};
    must(service_fixture_init(&f, "p256", &err), &err);
    endpoint = service_fixture_endpoint(&f, "/open");
    must(service_fixture_ca(&f, endpoint, &ca, &err), &err);
    const unsigned char *p = ca.recipient->der.p;
    recipient = d2i_X509(NULL, &p, (long)ca.recipient->der.n);
    device = test_rsa_key(2048);
    device_cert = test_cert(device, "device");
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < DIFFERENT; i++)
            make((enum kind)k, i);
    client_ca_clear(&ca);
}

/* ---- measuring ---- */

/* The signer works in this thread here, so its time is in it; what else the machine does is not. */
static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* What of an answer the sender sees of the decryption's fate: the status, the kind of body, the
 * reason in it. */
struct seen {
    int status;
    enum reason reason;
    bool certrep;
    char detail[320];
};

static double once(const struct buf *m, struct seen *seen)
{
    struct scep_call call = {.endpoint = endpoint,
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .message = buf_view(m),
                             .peer = {"192.0.2.1", "oracle"},
                             .now = time(NULL)};
    struct scep_answer a;
    double t = cpu_us();
    scep_pki_prepare(&call, &a);
    t = cpu_us() - t;
    *seen = (struct seen){.status = a.status, .reason = a.reason, .certrep = a.certrep};
    memcpy(seen->detail, a.detail, sizeof seen->detail);
    scep_answer_clear(&a);
    return t;
}

static uint32_t below(uint32_t most)
{
    uint32_t r;
    if (RAND_bytes((unsigned char *)&r, sizeof r) != 1)
        exit(1);
    return r % most;
}

static bool measure(double *times[KINDS])
{
    struct seen first = {0}, seen;
    unsigned long have[KINDS] = {0};
    for (unsigned long left = n * KINDS, i = 0; left > 0; i++) {
        uint32_t k = below(KINDS);
        if (have[k] == n)
            continue;
        times[k][have[k]++] = once(&message[k][below(DIFFERENT)], &seen);
        if (i == 0)
            first = seen;
        /* One random key in 256 makes a padding that is right, and what comes of it is no request:
         * what is seen of it is compared like everything else. */
        if (seen.status != first.status || seen.reason != first.reason ||
            seen.certrep != first.certrep) {
            printf("oracle answers differ: %s: status %d reason %s (%s); else status %d reason %s "
                   "(%s)\n",
                   names[k], seen.status, reason_info(seen.reason)->code, seen.detail, first.status,
                   reason_info(first.reason)->code, first.detail);
            return false;
        }
        left--;
    }
    printf("oracle answers=same status=%d reason=%s kinds=%d n=%lu\n", first.status,
           reason_info(first.reason)->code, KINDS, n);
    return true;
}

/* ---- judging ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void moments(const double *t, unsigned long m, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (unsigned long i = 0; i < m; i++)
        sum += t[i];
    *mean = sum / (double)m;
    for (unsigned long i = 0; i < m; i++)
        squares += (t[i] - *mean) * (t[i] - *mean);
    *variance = squares / (double)(m - 1);
}

static double welch(const double *a, const double *b)
{
    unsigned long m = n * 9 / 10; /* interrupts are above */
    double mean[2], variance[2];
    moments(a, m, &mean[0], &variance[0]);
    moments(b, m, &mean[1], &variance[1]);
    return (mean[0] - mean[1]) / sqrt((variance[0] + variance[1]) / (double)m);
}

/* Both ascending: the share of pairs in which a's is above b's. */
static double above(const double *a, const double *b)
{
    double pairs_above = 0;
    unsigned long less = 0, same = 0;
    for (unsigned long i = 0; i < n; i++) {
        while (less < n && b[less] < a[i])
            less++;
        for (same = less; same < n && b[same] <= a[i];)
            same++;
        pairs_above += (double)less + (double)(same - less) / 2;
    }
    return pairs_above / ((double)n * (double)n);
}

static bool alike(double *times[KINDS], const enum kind pair[2])
{
    const double *a = times[pair[0]], *b = times[pair[1]];
    double t = welch(a, b), u = above(a, b), apart = a[n / 2] - b[n / 2];
    double z = (u - 0.5) / sqrt((2 * (double)n + 1) / (12 * (double)n * (double)n));
    bool ok = !(fabs(t) > CERTAIN && fabs(z) > CERTAIN && fabs(apart) > VISIBLE);
    printf("oracle pair=%s/%s median_us=%.2f median_difference_us=%.3f welch_t=%.2f above=%.4f "
           "z=%.2f %s\n",
           names[pair[0]], names[pair[1]], a[n / 2], apart, t, u, z, ok ? "alike" : "DIFFERENT");
    return ok;
}

static bool ok;

/* The writers of forged messages assert, which only a runner of Check's understands. */
START_TEST(oracle)
{
    double *times[KINDS];
    prepare();
    for (int k = 0; k < KINDS; k++) {
        times[k] = calloc(n, sizeof *times[k]);
        ck_assert_ptr_nonnull(times[k]);
    }
    ok = measure(times);
    for (int k = 0; k < KINDS; k++)
        qsort(times[k], n, sizeof *times[k], ascending);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        ok = alike(times, pairs[i]) && ok;
    for (int k = 0; k < KINDS; k++) {
        free(times[k]);
        for (int i = 0; i < DIFFERENT; i++)
            buf_clear(&message[k][i]);
    }
    X509_free(recipient);
    X509_free(device_cert);
    EVP_PKEY_free(device);
    service_fixture_clear(&f);
}
END_TEST

int main(int argc, char **argv)
{
    n = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000;
    if (n < 100)
        return 2;
    Suite *suite = suite_create("oracle");
    TCase *c = tcase_create("oracle");
    tcase_add_test(c, oracle);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    ok = ok && srunner_ntests_failed(runner) == 0;
    srunner_free(runner);
    return !ok;
}
