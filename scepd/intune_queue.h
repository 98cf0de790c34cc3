/* Revokes what Intune wants revoked: looks into its queue (outside/revocations.h) as often as the webhook's `revocations` says,
 * revokes in one transaction what an endpoint that asks its tenant has issued, and reports it when that is durable.  What was revoked
 * and could not be reported, since somebody died in between, comes again and is reported then. */
#pragma once

#include "outside/outside.h"
#include "scepd/metrics.h"
#include "scepd/setup.h"

struct intune_queue;
struct intune_queue_options { /* all borrowed */
    struct store *store;
    struct outside *outside;
    struct metrics *metrics;
    const struct log *log;
};
/* Starts one thread. */
bool intune_queue_new(const struct intune_queue_options *o, struct intune_queue **out, struct err *err);
/* From now on by this configuration; takes a reference.  Any thread; NULL allowed for `q`. */
void intune_queue_use(struct intune_queue *q, struct setup *setup);
/* Waits for the thread, which may be waiting for an answer: outside_stop first.  NULL allowed. */
void intune_queue_free(struct intune_queue *q);
