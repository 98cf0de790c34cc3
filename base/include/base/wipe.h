/* Memory of libraries that take an allocator: what they free may have been a secret. */
#pragma once

/* free(3), after all of the block is zero.  json_set_alloc_funcs(malloc, wipe_free), before anything else of Jansson: documents hold
 * tokens, codes and challenges, and Jansson keeps copies of them. */
void wipe_free(void *p);
