/* Memory that runs out, in a test program: the next allocations of this thread are counted, and from a certain one on they
 * fail.  Plain builds catch every allocation of the process, whichever library makes it; under a sanitizer, which has an
 * allocator of its own, those of our code, by the linker's --wrap, and with memory_watch those of OpenSSL. */
#pragma once

#include <stdbool.h>

/* The `at`-th allocation from here on fails (1: the next), and with `lasting` all after it. */
void faultmem_arm(long at, bool lasting);
/* How many have failed since. */
long faultmem_disarm(void);

/* The `at`-th allocation from here on of the other threads of that name fails; one at a time. */
void faultmem_arm_thread(const char *name, long at);
long faultmem_thread_hits(void);
void faultmem_disarm_thread(void);
