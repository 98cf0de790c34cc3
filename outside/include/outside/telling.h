/* What webhooks of kind notify are told of a certificate's revocation, written where the revocation is. */
#pragma once

#include "config/config.h"
#include "store/store.h"

/* A random id of a question or a notice, "evt_" and 32 hex digits. */
bool webhook_event_id(char out[40], struct err *err);
/* For store_watch_revocations: the certificate has been revoked, put on hold or released in `w`.  Puts a notice for each webhook
 * that its endpoint tells, by `c`; for a certificate of no endpoint of `c` there is none. */
bool webhook_tell_revocation(const struct config *c, struct store_write *w, uint64_t cert_id, struct err *err);
