#include "base/network.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct network {
    int family;
    uint8_t address[16];
    unsigned bits;
};

static bool network_parse(const char *text, struct network *out)
{
    char address[64];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof address)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    out->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    out->bits = out->family == AF_INET6 ? 128 : 32;
    if (inet_pton(out->family, address, out->address) != 1)
        return false;
    if (slash) {
        char *end;
        unsigned long bits = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || bits > out->bits)
            return false;
        out->bits = (unsigned)bits;
    }
    return true;
}

bool network_valid(const char *text)
{
    struct network n;
    return network_parse(text, &n);
}

static bool peer_parse(const char *peer, struct network *out)
{
    char address[64];
    snprintf(address, sizeof address, "%.*s", (int)strcspn(peer, "%"), peer); /* no scope */
    return !strchr(address, '/') && network_parse(address, out);
}

bool network_has(const char *network, const char *peer)
{
    struct network n, p;
    if (!network_parse(network, &n) || !peer_parse(peer, &p) || n.family != p.family)
        return false;
    unsigned whole = n.bits / 8, rest = n.bits % 8;
    if (memcmp(n.address, p.address, whole) != 0)
        return false;
    return !rest || (n.address[whole] ^ p.address[whole]) >> (8 - rest) == 0;
}

bool network_is_loopback(const char *address)
{
    return network_has("127.0.0.0/8", address) || network_has("::1", address);
}

void network_group(const char *peer, uint8_t out[NETWORK_GROUP])
{
    struct network p;
    memset(out, 0, NETWORK_GROUP);
    if (!peer_parse(peer, &p))
        return;
    memcpy(out, p.address, p.family == AF_INET6 ? 8 : 4);
    out[NETWORK_GROUP - 1] = p.family == AF_INET6 ? 6 : 4;
}

void network_secret(uint64_t out[2])
{
    if (getrandom(out, 2 * sizeof *out, GRND_NONBLOCK) != 2 * sizeof *out)
        out[0] = (uintptr_t)out; /* then it is only harder to guess */
}

/* Multipliers of splitmix64, which mixes well enough for what the secret hides. */
uint64_t network_group_hash(const uint8_t group[NETWORK_GROUP], const uint64_t secret[2])
{
    uint64_t half[2];
    memcpy(half, group, sizeof half);
    uint64_t h = (half[0] ^ secret[0]) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 29 ^ half[1] ^ secret[1]) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}
