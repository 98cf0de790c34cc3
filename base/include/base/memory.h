/* Did memory run out?  A library says of much that it could not allocate only that it could not do it, as it says of input that
 * is bad, and a check that fails for want of memory looks like one that was not passed.  What refuses somebody therefore asks here
 * whether an allocation failed meanwhile: then nothing is known of him, and he is asked to come again. */
#pragma once

#include <stdbool.h>

/* This thread could not get what it wanted.  Our buffers say so, and in scepd OpenSSL and jansson (scepd/memory.h). */
void memory_missed(void);
/* What this thread could not get from here on counts. */
void memory_forget(void);
bool memory_failed(void);
/* Around something of which a part is lost without a word when memory runs out; they nest.  memory_end: was there enough since?
 * `before` is what memory_begin said. */
bool memory_begin(void);
bool memory_end(bool before);
