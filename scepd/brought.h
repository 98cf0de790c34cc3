/* CRLs of issuers above whose keys are not here, as they were brought (ca/offline.h): the newest of
 * each is kept in memory with its hash, so that the loop hands out a reference and reads nothing.
 */
#pragma once

#include "ca/authority.h"
#include "store/offline.h"

/* One of them, shared by those who send it. */
struct brought;
/* With its octets and times; valid as long as the reference. */
const struct store_offline *brought_crl(const struct brought *b);
const uint8_t *brought_sha256(const struct brought *b); /* of its octets */
void brought_release(void *brought);                    /* NULL allowed */

struct brought_shelf;
/* For the issuers above these; nothing is there before the first look.  The store is borrowed. */
bool brought_shelf_new(struct authority *const *authorities, size_t n, struct store *store,
                       struct brought_shelf **out, struct err *err);
void brought_shelf_free(struct brought_shelf *s); /* NULL allowed */
/* Takes what the store has that is not here yet; of what cannot be read, what was there stays.  One
 * thread, always the same. */
bool brought_shelf_look(struct brought_shelf *s, struct err *err);
/* The CRL of the `chain`-th certificate (from 1) above one of the authorities, to be released.
 * NULL: nobody has brought one, or, with *known false, the store could not be read yet.  Any
 * thread. */
struct brought *brought_get1(struct brought_shelf *s, size_t authority, size_t chain, bool *known);
