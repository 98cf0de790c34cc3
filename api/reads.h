/* Who has read what, for the audit log at bounded cost: the first reading of a thing by somebody becomes an entry within a second; what
 * comes again in the ten minutes that begin with somebody's first reading is counted, and becomes one entry more when they are over.  So
 * a page that asks every five seconds costs two entries in ten minutes, and not 120.  Thread-safe.
 *
 * Entries are `api.read`: the object is the path below API_ROOT, "/devices/dev_2bu9xk", or, for what is summed, the route's with stars in
 * the place of what was asked for.  They are written by api_reads_write (api/api.h). */
#pragma once

#include "api/api.h"

#define API_READS_WINDOW 600  /* seconds */
#define API_READS_OBJECTS 60  /* things of one route that are told apart in the time of one reader; those beyond are summed */
#define API_READS_THINGS 600  /* the same of all routes */
#define API_READS_READERS 64  /* at a time; one more ends the time of the one that began first */

struct api_reads;
struct api_reads *api_reads_new(void); /* NULL when out of memory */
void api_reads_free(struct api_reads *s); /* NULL allowed; what is not written is lost */

/* Somebody who is signed in has called what changes nothing by itself: the route, or the page of this name. */
void api_reads_note(struct api_call *c, const char *name);
/* Writes what was read for the first time, also when the last try failed just now, so that who reads the audit log finds all of it. */
void api_reads_settle(const struct api_call *c);
