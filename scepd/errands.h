/* What takes long and must not hold up the loop is run on one thread beside it, in order; what follows from it happens
 * on the loop again. */
#pragma once

#include <event2/event.h>

#include "base/err.h"

struct errand {
    struct errand *next;            /* in the queue that holds it */
    void (*run)(struct errand *e);  /* on the thread */
    void (*done)(struct errand *e); /* on the loop afterwards; may free it */
};

struct errands;
/* All signals are blocked in the thread. */
bool errands_new(struct event_base *base, struct errands **out, struct err *err);
/* Takes the errand until its `done`.  Loop thread only. */
void errands_add(struct errands *s, struct errand *e);
/* Runs what was added, and what its `done` adds, to the end; on the loop's thread, after the loop.  NULL allowed. */
void errands_free(struct errands *s);
