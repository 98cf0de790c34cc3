/* What happens in the background, by one thread with its own lane to the signer: CRLs are published when due and
 * their bytes handed to whoever serves them; the store is kept tidy every minute. */
#pragma once

#include "ca/crl.h"
#include "scepd/brought.h"

struct metrics;

/* One published CRL, shared by those who send it. */
struct published;
/* With its octets and times; valid as long as the reference. */
const struct store_crl *published_crl(const struct published *p);
void published_release(void *published); /* NULL allowed */

struct upkeep_options {
    struct authority *const *authorities; /* borrowed: every generation of each */
    size_t authority_n;
    struct signer *lane;                  /* borrowed */
    struct store *store;                  /* borrowed */
    const char *crl_directory;            /* every CRL is written there too; NULL or "": nowhere; borrowed */
    const struct log *log;
    struct metrics *metrics;              /* borrowed; NULL: nothing is counted */
};

struct upkeep;
/* Publishes or loads every CRL before it returns; failures are logged and tried again later.  Then starts the
 * thread. */
bool upkeep_new(const struct upkeep_options *o, struct upkeep **out, struct err *err);
void upkeep_free(struct upkeep *u);
/* New lists of this authority (its place in the options), at once, whether they are due or not; the thread does it.  False: it has none at
 * this place.  Any thread. */
bool upkeep_publish(struct upkeep *u, size_t authority);
/* The newest CRL of an authority and a scope (ca/crl.h), to be released; NULL when there is none.  Any thread. */
struct published *upkeep_crl_get1(struct upkeep *u, size_t authority, uint32_t scope);
/* The newest CRL that was brought of the issuer at `chain` (from 1) above an authority: as brought_get1, a second or two after it was
 * brought. */
struct brought *upkeep_brought_get1(struct upkeep *u, size_t authority, size_t chain, bool *known);
