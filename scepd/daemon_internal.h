/* What daemon.c (start and end) and daemon_change.c (reload, a new signer) share. */
#pragma once

#include "scepd/admin_http.h"
#include "scepd/api_http.h"
#include "scepd/asking.h"
#include "scepd/daemon.h"
#include "scepd/errands.h"
#include "scepd/intune_queue.h"
#include "scepd/ocsp_http.h"
#include "scepd/outsider.h"
#include "scepd/scep_http.h"
#include "scepd/service.h"
#include "scepd/teller.h"

enum daemon_event { ON_TERM, ON_INT, ON_HUP, ON_CHILD, ON_TICK, ON_DRAIN, ON_RESTART, EVENTS };

struct daemon {
    struct daemon_options options;
    char file[512];             /* the configuration's */
    struct logger logger;
    int fd, admin_fd, api_fd;   /* bound, until the servers have them */
    struct metrics *metrics;
    struct keeper *keeper;
    struct outsider *outsider;  /* NULL: the configuration named nobody to ask when scepd started */
    struct outside *outside;    /* NULL as well then */
    struct asking *asking;
    struct scep_relay *relay;
    struct outbox *outbox;
    struct teller *teller;
    struct intune_queue *intune_queue; /* NULL as outside */
    unsigned lacks;             /* of this process's confinement: enum confine_lack bits */
    struct store *store;
    struct attempts *attempts;
    struct event_base *base;
    struct scep_http http;
    struct ocsp_http ocsp;
    struct http_server *server;
    struct admin *admin;        /* NULL: neither an admin listener nor an API */
    struct api_http *api;       /* NULL: no API */
    struct errands *errands;
    struct service_needs needs;
    struct service *service;    /* the one that serves */
    struct event *event[EVENTS];
    /* daemon_change.c */
    struct event *signer_ended; /* of the service that serves */
    int64_t signer_since;       /* monotonic seconds */
    int restart_wait;           /* seconds before the last try */
    bool reloading, reload_again, tending;
    int64_t tend_after;         /* monotonic seconds: not again before */
    int64_t watchdog_us;        /* 0: nobody waits for a sign of life */
    unsigned status_in;         /* seconds until the service manager gets the next status line */
    /* the end */
    int64_t drain_until;        /* monotonic seconds, 0: not draining */
    bool failed, cut_short;
};

/* The time of day may jump. */
int64_t daemon_monotonic(void);

/* Reads the files that `c` (taken) names and has the keeper start a signer for them.  ERR_CONFLICT: they changed
 * meanwhile, or what had ended in them was renewed: read again, DAEMON_READ_ATTEMPTS times at most.  Any thread. */
#define DAEMON_READ_ATTEMPTS 3
bool daemon_prepare(struct daemon *d, struct config *c, struct setup **setup, struct keeper_signer *signer,
                    struct err *err);
/* What the admin listener tells of while this service serves. */
struct admin_sources daemon_admin_sources(const struct daemon *d, const struct service *s);
/* Lets a service serve (taken), and has the one before it ended. */
void daemon_serve(struct daemon *d, struct service *s);
/* Beside what is served: reads everything anew; a second call meanwhile lets it be done once more. */
void daemon_reload(struct daemon *d);
/* Has the keeper do what is due in the authorities; serves what comes of it.  Once a second. */
void daemon_tend(struct daemon *d, int64_t now);
/* Handler of ON_RESTART. */
void daemon_restart_signer(evutil_socket_t fd, short what, void *daemon);
/* Descriptors for all connections, as far as allowed. */
void daemon_descriptors(struct daemon *d, const struct config *c);
