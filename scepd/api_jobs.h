/* Runs the jobs of the API (api/jobs.c) in a thread of its own, one item after the other, so that neither administrators nor devices
 * wait for them.  What is under way when scepd ends goes on when it starts again.  Writes into the audit log what was read, too
 * (api_reads_write). */
#pragma once

#include "scepd/api_pool.h"

struct api_jobs;
/* By what `serving` says, until api_jobs_use; takes a reference of its own.  Borrows the log. */
bool api_jobs_new(struct api_serving *serving, const struct log *log, struct api_jobs **out, struct err *err);
void api_jobs_use(struct api_jobs *j, struct api_serving *serving);
/* Waits for the items under way.  NULL allowed. */
void api_jobs_free(struct api_jobs *j);
