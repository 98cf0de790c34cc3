/* JSON, whole or not at all.  When memory runs out jansson loses octets of a text that it reads, even the quote that ends a
 * string, behind which it reads and writes on; and members of an object that it writes.  It says nothing of either.  Where its
 * allocations are ours (scepd/memory.h) none of this happens to what is read and written here. */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/view.h"

/* No name twice in an object.  Owned.  NULL: it is none, as `why` says, or memory ran out (memory_failed). */
json_t *whole_json_read(struct view text, json_error_t *why);
/* Takes `o`, and appends it; `ok` false or `o` NULL: it could not be made.  Nothing of it is left in memory.  False: memory ran out. */
bool whole_json_write(json_t *o, bool ok, struct buf *out);

/* For json_set_alloc_funcs. */
void *whole_json_malloc(size_t n);
void whole_json_free(void *p);
