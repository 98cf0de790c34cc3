/* Tells webhooks what happened.  Notices are stored in the transaction of what they tell of, so that none is lost when a process dies,
 * and sent from there, at least once each, until they are taken; those about one subject in their order, except that one that holds a
 * certificate back waits for no other.  A target that takes none rests for a while, up to a minute.  What nobody takes within 24 hours is given up with an audit entry, and a certificate that was
 * held back for it is revoked; a refusal that the other side says no to is dropped after a few tries. */
#pragma once

#include "outside/outside.h"
#include "scepd/service_pool.h"

#define OUTBOX_GIVE_UP 86400 /* seconds */
/* Notices that wait at a time, beyond which refusals are not told: anybody may be refused, and nobody may fill the disk. */
#define OUTBOX_WAITING_MAX 10000

struct outbox;
/* Starts one thread.  `outside` NULL: nothing can be sent, and what is stored waits until it is given up. */
bool outbox_new(struct store *store, struct outside *outside, const struct log *log, struct outbox **out,
                struct err *err);
/* Who waits for a notice to be taken waits no more: the daemon is to end.  NULL allowed. */
void outbox_drain(struct outbox *o);
/* Ends the thread; what `outside` still gives back is dropped and sent again later.  NULL allowed. */
void outbox_stop(struct outbox *o);
void outbox_free(struct outbox *o); /* after outside_free; NULL allowed */

/* A notice of what is not stored (a refusal): takes what is in it, and stores it soon; bounded, and what comes too fast is
 * counted in the log.  Any thread; NULL for `o` drops it. */
void outbox_note(struct outbox *o, struct store_notice *n);
/* For service_options: hold, with the struct as context. */
bool outbox_hold(void *outbox, struct service_job *job, uint64_t cert_id);
