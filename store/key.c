#include "backend.h"

void key_bytes(struct key *k, const void *p, size_t n)
{
    if (n > sizeof k->p - k->n)
        k->too_long = true;
    if (k->too_long)
        return;
    if (n > 0) /* an empty part may come without an address */
        memcpy(k->p + k->n, p, n);
    k->n += n;
}

void key_u32(struct key *k, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    key_bytes(k, b, sizeof b);
}

void key_u64(struct key *k, uint64_t v)
{
    uint8_t b[8];
    u64_octets(v, b);
    key_bytes(k, b, sizeof b);
}

void key_time(struct key *k, int64_t t)
{
    key_u64(k, (uint64_t)t ^ (UINT64_C(1) << 63));
}

struct view key_view(const struct key *k)
{
    return k->too_long ? view_of(NULL, 0) : view_of(k->p, k->n);
}

void u64_octets(uint64_t v, uint8_t out[8])
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        out[i] = (uint8_t)v;
}

uint32_t octets_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint64_t octets_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

struct key key_id(uint64_t id)
{
    struct key k = {.n = 0};
    key_u64(&k, id);
    return k;
}

static struct key meta(char kind)
{
    struct key k = {.n = 0};
    key_bytes(&k, &kind, 1);
    return k;
}

struct key meta_format(void)
{
    return meta('F');
}

struct key meta_generation(void)
{
    return meta('G');
}

struct key meta_revocations(const uint8_t authority[20])
{
    struct key k = meta('R');
    key_bytes(&k, authority, 20);
    return k;
}

struct key meta_shard_revocations(const uint8_t authority[20], uint32_t shard)
{
    struct key k = meta_revocations(authority);
    key_u32(&k, shard);
    return k;
}

struct key meta_crl_number(const uint8_t authority[20], uint32_t shard)
{
    struct key k = meta('N');
    key_bytes(&k, authority, 20);
    key_u32(&k, shard);
    return k;
}

struct key meta_pending(const char *endpoint)
{
    struct key k = meta('P');
    key_bytes(&k, endpoint, strlen(endpoint));
    return k;
}

/* No CRL of any scope gets a number up to this one. */
struct key meta_crl_floor(void)
{
    return meta('M');
}

struct key meta_backup(void)
{
    return meta('B');
}

struct key meta_audit_head(void)
{
    return meta('A');
}

struct key meta_cert_count(void)
{
    return meta('C');
}

struct key meta_revocation_count(void)
{
    return meta('V');
}

struct key meta_challenges_made(void)
{
    return meta('H');
}

struct key meta_pool(const char *pool)
{
    struct key k = meta('O');
    key_bytes(&k, pool, strlen(pool));
    return k;
}

struct key meta_device_count(unsigned state)
{
    struct key k = meta('D');
    uint8_t octet = (uint8_t)state;
    key_bytes(&k, &octet, 1);
    return k;
}

struct key meta_attempts(void)
{
    return meta('E');
}

struct key meta_notices(void)
{
    return meta('W');
}

struct key meta_offline(void)
{
    return meta('X');
}
