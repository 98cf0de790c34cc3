/* Did memory run out?  OpenSSL says of much that it could not allocate only that it could not do it, as it says of input that
 * is bad.  What refuses a message therefore asks here whether an allocation failed meanwhile: then nothing is known about the
 * message, and the device is asked to come again. */
#pragma once

#include <stdbool.h>

/* Puts an eye on OpenSSL's allocations, in every thread; before anything else of OpenSSL, or it returns false. */
bool memory_watch(void);
/* What this thread could not get from here on counts. */
void memory_forget(void);
bool memory_failed(void);
