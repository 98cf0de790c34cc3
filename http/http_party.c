#include "http_party.h"

#include <stdlib.h>
#include <string.h>

void http_parties_init(struct http_parties *p)
{
    *p = (struct http_parties){0};
    network_secret(p->secret);
}

static struct http_party *find(const struct http_party_bucket *bucket,
                               const uint8_t group[NETWORK_GROUP])
{
    struct http_party *i;
    LIST_FOREACH(i, bucket, bucket)
    {
        if (memcmp(i->group, group, NETWORK_GROUP) == 0)
            return i;
    }
    return NULL;
}

struct http_party *http_party_join(struct http_parties *p, const char *peer)
{
    uint8_t group[NETWORK_GROUP];
    network_group(peer, group);
    struct http_party_bucket *bucket =
        &p->bucket[network_group_hash(group, p->secret) % HTTP_PARTY_BUCKETS];
    struct http_party *party = find(bucket, group);
    if (!party) {
        party = calloc(1, sizeof *party);
        if (!party)
            return NULL;
        memcpy(party->group, group, sizeof group);
        LIST_INSERT_HEAD(bucket, party, bucket);
        p->n++;
    }
    party->connections++;
    return party;
}

void http_party_leave(struct http_parties *p, struct http_party *party)
{
    if (!party || --party->connections > 0)
        return;
    LIST_REMOVE(party, bucket);
    p->n--;
    free(party);
}
