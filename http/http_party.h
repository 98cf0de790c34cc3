/* What each party has of the connections: an address, or what network_group takes for one.  Loop thread only. */
#pragma once

#include <stddef.h>
#include <sys/queue.h>

#include "base/network.h"

#define HTTP_PARTY_BUCKETS 256

struct http_party {
    LIST_ENTRY(http_party) bucket;
    uint8_t group[NETWORK_GROUP];
    int connections;
    size_t held; /* octets kept of its requests */
};
LIST_HEAD(http_party_bucket, http_party);

struct http_parties {
    int n;               /* parties that have a connection */
    uint64_t secret[2];  /* of the hash */
    struct http_party_bucket bucket[HTTP_PARTY_BUCKETS];
};

void http_parties_init(struct http_parties *p);
/* One connection more of whom this address belongs to.  Valid until its last connection leaves; NULL when out of memory. */
struct http_party *http_party_join(struct http_parties *p, const char *peer);
/* Takes NULL. */
void http_party_leave(struct http_parties *p, struct http_party *party);
