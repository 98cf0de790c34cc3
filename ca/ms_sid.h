/* Microsoft's security identifiers in certificates (MS-WCCE section 2.2.2.7.7.4, and the SAN URI of strong
 * certificate mapping).  Whoever carries a SID is that account, so none is ever passed on unasked. */
#pragma once

#include <stdbool.h>

#include "base/view.h"

#define MS_SID_MAX 128 /* the longest SID has 15 subauthorities of 10 digits; domains use 5 */

/* "S-1-5-21-..." in `value`, the content of the extension 1.3.6.1.4.1.311.25.2.  False when it is malformed
 * in any way. */
bool ms_sid_parse(struct view value, char out[MS_SID_MAX]);
/* Does the URI claim a SID (whatever its date and case)? */
bool ms_sid_claimed(const char *uri);
/* The SID of a well-formed claim, "tag:microsoft.com,2022-09-14:sid:S-1-5-21-..."; NULL otherwise.  Points
 * into `uri`. */
const char *ms_sid_of_uri(const char *uri);
