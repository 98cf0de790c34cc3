/* The second half of the list of reasons: what people need when one of them stands in front of them.  `scepctl explain` and
 * scepd-reasons(7) speak with these words; every reason of base/reason.h has its row. */
#pragma once

#include <stddef.h>

#include "base/reason.h"

struct reason_help {
    const char *cause; /* what is behind it, most of the time */
    /* What to do, with a command where there is one.  {subject}, {endpoint}, {peer}, {transaction}, {challenge}, {request},
     * {signer}, {key}, {template}, {device} and {policy} stand for the values of an attempt; {for} for whom a challenge is made:
     * "--device ... --policy ..." of a device that a policy is for, so that no advice leads to a certificate outside the policy,
     * else "--subject ...".  "[this|that]": that for such a device, this for the others (explain_fill). */
    const char *fix;
    /* What the device shows; NULL: as for every CertRep with this reason's failInfo and HRESULT (reason_screen). */
    const char *screen;
};

/* Static data; for REASON_NONE all are "". */
const struct reason_help *reason_help(enum reason reason);
/* What is on the device's screen when it is refused so: one line for each kind of client that shows something. */
void reason_screen(enum reason reason, char *out, size_t cap);
/* The text that Windows has for an HRESULT; NULL when it is none of the list's. */
const char *reason_hresult_text(uint32_t hresult);
const char *fail_info_name(int fail_info); /* "badRequest"; NULL when there is no such value */
