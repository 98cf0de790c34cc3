/* Asks webhooks about requests: a job whose verdict is ENROLL_ASK is parked here, without a thread that waits, and goes back to
 * its pool with what was said.  Nothing is burnt or stored meanwhile.  What was said holds for a while, so that a device
 * that sends its request again is not asked about again. */
#pragma once

#include "outside/outside.h"
#include "scepd/service_pool.h"

struct asking;
/* `outside` is borrowed, and must be freed before it (its answers come here); NULL: nobody can be asked. */
bool asking_new(struct outside *outside, const struct log *log, struct asking **out, struct err *err);
void asking_free(struct asking *a); /* NULL allowed */

/* For service_options: ask, with the struct as context. */
bool asking_ask(void *asking, struct service_job *job);
