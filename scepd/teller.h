/* By which configuration webhooks are told of revocations, whoever makes them in this process. */
#pragma once

#include "scepd/setup.h"

struct teller;
bool teller_new(struct teller **out, struct err *err);
/* From now on by this one; takes a reference.  Any thread. */
void teller_use(struct teller *t, struct setup *setup);
/* For store_watch_revocations, with the struct as context.  Any thread. */
bool teller_tell(void *teller, struct store_write *w, uint64_t cert_id, struct err *err);
void teller_free(struct teller *t); /* NULL allowed */
