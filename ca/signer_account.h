/* The account that a signer process keeps of itself, where nobody who asks it can reach: each certificate and each CRL
 * that it signs is a line of its own in the log before the signature leaves; everything is counted.  It also holds what
 * may be asked how often, and whose keys get nothing. */
#pragma once

#include "signer_internal.h"

struct signer_account;
/* Borrows both.  Any thread may call what follows. */
bool signer_account_new(const struct signer_spec *spec, const struct log *log, struct signer_account **out,
                        struct err *err);
void signer_account_free(struct signer_account *a); /* NULL allowed */
/* Before it is done: ERR_REFUSED with REASON_KEY_BANNED for a banned key. */
bool signer_account_admit(struct signer_account *a, const struct signer_request *r, struct err *err);
/* A signer_admission, of an account: takes one certificate of the rate, ERR_BUSY above it. */
bool signer_account_take(void *account, struct err *err);
/* After it: `result` is the signature; `err` NULL when it is done. */
void signer_account_done(struct signer_account *a, const struct signer_request *r, struct view result,
                         const struct err *err);
/* A line with everything counted so far; the end of the process is told by it. */
void signer_account_tell(struct signer_account *a);
