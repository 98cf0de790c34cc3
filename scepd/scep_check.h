/* What an endpoint wants of a message beyond its being readable: the switches of its configuration. */
#pragma once

#include "scepd/scep_service.h"

/* For scep_parse_by and scep_open_by.  A request's own signature needs a digest of the endpoint's and of its
 * template's; MD5 is the endpoint's alone to allow. */
struct scep_rules scep_rules_of(const struct scep_endpoint *e);
/* Before anything is decrypted: nonce and time.  Refuses with message.nonce or message.time. */
bool scep_check_signed(const struct config_endpoint *c, const struct scep_message *m, int64_t now, struct err *err);
/* After it: csr.signer_subject, and what scep_reply_password says, when it is known that the answer is for nobody. */
bool scep_check_opened(const struct config_endpoint *c, const struct scep_message *m, struct err *err);
/* Under which password a SUCCESS goes: empty for a signer with an RSA key, to which it is encrypted.  Borrowed from the
 * message.  Refuses an EC key with algorithm.refused where the endpoint does not allow that, and with challenge.missing
 * when the message has no challenge (RFC 8894 section 3.1). */
bool scep_reply_password(const struct config_endpoint *c, const struct scep_message *m, struct view *out,
                         struct err *err);
