/* How the store stands, for metrics, health and scepctl status: looked at by a thread of its own every few seconds, so that
 * neither the event loop nor who asks ever waits for the disk.  What grows with the number of certificates is kept by the
 * store itself; what must be counted one by one is counted no more often than it costs little. */
#pragma once

#include "config/config.h"
#include "store/offline.h"
#include "store/fleet.h"
#include "store/store.h"

#define SURVEY_CRLS CONFIG_MAX_MEMBERS
#define SURVEY_ABOVE 32       /* issuers; more are not watched */

enum survey_challenge { SURVEY_ACTIVE, SURVEY_USED, SURVEY_EXPIRED, SURVEY_REVOKED, SURVEY_CHALLENGES };

#define SURVEY_READERS 64     /* more are not watched */

struct survey {
    int64_t at;                 /* Unix seconds; 0: not yet taken */
    int64_t looked_us;          /* the same by survey_clock_us */
    bool readable;              /* false: `error` tells, and the figures are older */
    bool gone;                  /* ... because another file stands at its path, or none */
    char error[160];
    struct store_stats stats;
    struct store_cert_counts certs;
    uint64_t devices[DEVICE_STATES]; /* by enum device_state */
    /* those who read an old state of the store, and since when by survey_clock_us that has been seen */
    struct survey_reader {
        struct store_reader who;
        int64_t since_us;
    } reader[SURVEY_READERS];
    size_t reader_n;
    int64_t oldest_reader_us;   /* how long the oldest has been seen, 0: there is none */
    int64_t backup_at;          /* of the last one that succeeded, 0: none */
    int64_t audit_at;           /* of the newest entry, 0: none */
    struct {
        char endpoint[64];
        uint64_t pending;
    } pending[CONFIG_MAX_ENDPOINTS];
    size_t pending_n;
    int64_t oldest_pending_at;  /* 0: none waits */
    uint64_t notices;           /* that wait for a webhook to take them */
    uint64_t challenges[SURVEY_CHALLENGES];
    struct survey_crl {
        char authority[64];
        unsigned generation;
        enum authority_role role;
        int64_t authority_end;  /* no list is published after it */
        uint8_t key_id[20];
        uint64_t number;        /* 0: there is none yet */
        int64_t this_update, next_update;
        size_t size, entries;
    } crl[SURVEY_CRLS];
    size_t crl_n;
    struct survey_above {       /* of what was brought for one issuer above, the one that ends first */
        char authority[64];     /* that stands under it */
        uint8_t key[STORE_HASH]; /* SHA-256 of its key */
        bool any;
        enum store_offline_kind kind;
        int64_t this_update, next_update;
    } above[SURVEY_ABOVE];
    size_t above_n;
    struct store_audit_span audit;
};

struct survey_options {
    struct store *store;        /* borrowed */
    /* borrowed during the call only */
    const struct config *config;
    struct authority *const *authorities; /* every generation of each */
    size_t authority_n;
};

int64_t survey_clock_us(void); /* monotonic */

/* Once, here and now: everything, whatever it costs but for the audit log, of which the newest entries are checked. */
bool survey_take(const struct survey_options *o, int64_t now, struct survey *out, struct err *err);

/* Again and again in a thread. */
struct surveyor;
bool surveyor_new(const struct survey_options *o, struct surveyor **out, struct err *err);
void surveyor_free(struct surveyor *s);
/* Other endpoints and authorities, after a reload; the store stays. */
void surveyor_configure(struct surveyor *s, const struct survey_options *o);
/* The last one taken.  Any thread. */
void surveyor_get(struct surveyor *s, struct survey *out);
