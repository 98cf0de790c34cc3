/* Which lists of revoked certificates a signer signs: in the name of its own key, with extensions
 * of which each is one that scepd writes, and under numbers that only grow as long as the process
 * lives (RFC 5280 section 5). */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs7/tlv.h"
#include "signer_internal.h"
#include "tbs.h"

/* ---- extensions ---- */

static bool refuse(struct err *err, const char *what)
{
    return err_set(err, ERR_SIGNER, "the signer refused: a CRL %s", what);
}

/* A value that is one element and nothing behind it. */
static bool whole(struct view value, unsigned tag, struct tlv *out)
{
    return tlv_next_is(&value, tag, out) && value.n == 0;
}

static bool read_number(struct view value, uint64_t *out)
{
    struct tlv t;
    if (!whole(value, DER_INTEGER, &t) || t.content.n == 0 || t.content.n > sizeof *out ||
        t.content.p[0] & 0x80)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < t.content.n; i++)
        n = n << 8 | t.content.p[i];
    *out = n;
    return true;
}

/* DistributionPointName with one URL by http: what certificates carry. */
static bool is_url(struct view point)
{
    static const char scheme[] = "http://";
    struct tlv t;
    return whole(point, DER_CONTEXT_CONSTRUCTED(0), &t) &&
           whole(t.content, DER_CONTEXT_CONSTRUCTED(0), &t) &&
           whole(t.content, DER_CONTEXT(6), &t) && t.content.n >= sizeof scheme &&
           memcmp(t.content.p, scheme, sizeof scheme - 1) == 0;
}

static bool take_authority(struct view value, struct crl_facts *f)
{
    struct tlv t;
    return whole(value, DER_SEQUENCE, &t) && whole(t.content, DER_CONTEXT(0), &t) &&
           view_eq(t.content, view_of(f->key_id, KEY_ID_SIZE));
}

static bool take_number(struct view value, struct crl_facts *f)
{
    return read_number(value, &f->number);
}

static bool take_delta(struct view value, struct crl_facts *f)
{
    f->delta = true;
    return read_number(value, &f->base);
}

/* RFC 5280 section 5.2.5: nothing but the URL of a partition; never indirect, never some reasons
 * only. */
static bool take_point(struct view value, struct crl_facts *f)
{
    struct tlv t;
    f->scope = value;
    return whole(value, DER_SEQUENCE, &t) && is_url(t.content);
}

static bool take_freshest(struct view value, struct crl_facts *f)
{
    struct tlv t;
    f->freshest = true;
    return whole(value, DER_SEQUENCE, &t) && whole(t.content, DER_SEQUENCE, &t) &&
           is_url(t.content);
}

/* In the order in which they are written; each at most once. */
static const struct known {
    uint8_t oid[3]; /* content octets, below 2.5.29 */
    bool critical;
    bool (*take)(struct view value, struct crl_facts *f);
} known[] = {
    {{0x55, 0x1d, 35}, false, take_authority}, {{0x55, 0x1d, 20}, false, take_number},
    {{0x55, 0x1d, 27}, true, take_delta},      {{0x55, 0x1d, 28}, true, take_point},
    {{0x55, 0x1d, 46}, false, take_freshest},
};
#define KNOWN_N (sizeof known / sizeof known[0])

/* *at: the first of `known` that may still come. */
static bool take_extension(struct view extension, size_t *at, struct crl_facts *f)
{
    static const uint8_t is_true[] = {DER_BOOLEAN, 1, 0xff};
    struct tlv oid, flag, value;
    if (!tlv_next_is(&extension, DER_OID, &oid))
        return false;
    while (*at < KNOWN_N && !view_eq(oid.content, view_of(known[*at].oid, sizeof known->oid)))
        ++*at;
    if (*at == KNOWN_N)
        return false;
    const struct known *k = &known[(*at)++];
    bool critical = tlv_ahead(extension, DER_BOOLEAN);
    if (critical &&
        (!tlv_next(&extension, &flag) || !view_eq(flag.whole, view_of(is_true, sizeof is_true))))
        return false;
    return critical == k->critical && whole(extension, DER_OCTET_STRING, &value) &&
           k->take(value.content, f);
}

static bool check_extensions(struct view list, struct crl_facts *f, struct err *err)
{
    struct tlv t, extension;
    size_t at = 0;
    if (!whole(list, DER_SEQUENCE, &t))
        return refuse(err, "whose entries or extensions are missing or malformed");
    while (t.content.n > 0)
        if (!tlv_next_is(&t.content, DER_SEQUENCE, &extension) ||
            !take_extension(extension.content, &at, f))
            return refuse(err, "with an extension that is malformed or not one of ours");
    if (!f->number)
        return refuse(err, "without a number");
    /* RFC 5280 sections 5.2.4 to 5.2.6 */
    if (f->delta && (f->scope.n || f->freshest || f->base == 0 || f->base > f->number))
        return refuse(err, "that is no delta of a complete one");
    return !(f->scope.n && f->freshest) || refuse(err, "of a partition with a delta");
}

/* ---- the list ---- */

static bool next_is_time(struct view *rest)
{
    struct tlv t;
    return tlv_next(rest, &t) && (t.tag == DER_UTC_TIME || t.tag == DER_GENERALIZED_TIME);
}

/* RFC 5280 section 5.1.2: version 2, algorithm, issuer, thisUpdate, nextUpdate (ours always),
 * entries (absent when there are none), extensions (ours always). */
bool check_crl(struct view tbs, struct view subject, const uint8_t key_id[20],
               const struct pubkey *key, struct crl_facts *out, struct err *err)
{
    struct tlv t, version, algorithm, issuer, list;
    *out = (struct crl_facts){.key_id = key_id};
    if (!tlv_next_is(&tbs, DER_SEQUENCE, &t) || tbs.n != 0)
        return err_set(err, ERR_SIGNER, "the signer refused: not a TBSCertList");
    struct view rest = t.content;
    if (!tlv_next_is(&rest, DER_INTEGER, &version) || version.content.n != 1 ||
        version.content.p[0] != 1)
        return refuse(err, "of another version than 2");
    if (!tlv_next_is(&rest, DER_SEQUENCE, &algorithm) || !tlv_next_is(&rest, DER_SEQUENCE, &issuer))
        return err_set(err, ERR_SIGNER, "the signer refused: not a TBSCertList");
    if (!view_eq(issuer.whole, subject))
        return refuse(err, "in the name of another issuer");
    if (!next_is_time(&rest) || !next_is_time(&rest))
        return refuse(err, "without both its times");
    if (!tlv_next(&rest, &list) ||
        (list.tag == DER_SEQUENCE && (list.content.n == 0 || !tlv_next(&rest, &list))) ||
        list.tag != DER_CONTEXT_CONSTRUCTED(0) || rest.n != 0)
        return refuse(err, "whose entries or extensions are missing or malformed");
    return check_extensions(list.content, out, err) &&
           check_algorithm(algorithm.whole, key, &out->sigalg, err);
}

/* ---- numbers ---- */

/* Scopes in all: more than any configuration has. */
#define NUMBERS_MAX 16384

struct number {
    unsigned key;
    bool delta;
    uint8_t scope[32];  /* SHA-256 of the issuingDistributionPoint; of nothing: the whole scope */
    uint64_t number;    /* the highest signed */
    uint8_t digest[64]; /* of that list */
    struct number *next;
};

struct crl_numbers {
    pthread_mutex_t lock;
    struct number *first;
    size_t n;
};

bool crl_numbers_new(struct crl_numbers **out, struct err *err)
{
    struct crl_numbers *c = calloc(1, sizeof *c);
    if (!c)
        return err_memory(err);
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return true;
}

void crl_numbers_free(struct crl_numbers *c)
{
    if (!c)
        return;
    for (struct number *n = c->first; n;) {
        struct number *next = n->next;
        free(n);
        n = next;
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Under the lock. */
static bool take(struct crl_numbers *c, const struct number *wanted, size_t digest_n,
                 struct err *err)
{
    struct number *n = c->first;
    while (n && !(n->key == wanted->key && n->delta == wanted->delta &&
                  memcmp(n->scope, wanted->scope, sizeof n->scope) == 0))
        n = n->next;
    if (n && (wanted->number < n->number ||
              (wanted->number == n->number && memcmp(n->digest, wanted->digest, digest_n) != 0)))
        return err_set(err, ERR_SIGNER,
                       "the signer refused: CRL %llu, after %llu of the same scope was signed",
                       (unsigned long long)wanted->number, (unsigned long long)n->number);
    if (!n) {
        if (c->n == NUMBERS_MAX)
            return refuse(err, "of one scope more than any authority has");
        if (!(n = calloc(1, sizeof *n)))
            return err_memory(err);
        *n = *wanted;
        n->next = c->first;
        c->first = n;
        c->n++;
    }
    n->number = wanted->number;
    memcpy(n->digest, wanted->digest, sizeof n->digest);
    return true;
}

bool crl_numbers_take(struct crl_numbers *c, unsigned key, const struct crl_facts *f,
                      const uint8_t *digest, struct err *err)
{
    struct number wanted = {.key = key, .delta = f->delta, .number = f->number};
    size_t n = digest_size(f->sigalg.digest);
    if (!digest_compute(DIGEST_SHA256, f->scope, wanted.scope, err))
        return false;
    memcpy(wanted.digest, digest, n);
    pthread_mutex_lock(&c->lock);
    bool ok = take(c, &wanted, n, err);
    pthread_mutex_unlock(&c->lock);
    return ok;
}
