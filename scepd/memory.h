/* Puts an eye on the allocations of OpenSSL and jansson, in every thread (base/memory.h); what jansson frees is wiped. */
#pragma once

#include <stdbool.h>

/* Before anything else of OpenSSL, or it returns false. */
bool memory_watch(void);
