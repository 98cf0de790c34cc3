/* The EnvelopedData inside of a pkiMessage, opened.  Private to pkcs7/. */
#pragma once

#include "pkcs7/scep.h"

/* Decrypts m->content into m->plain and fills m->cipher, m->padding and m->key.  False only for what
 * anybody can see from outside (structure, algorithms, recipients) and when the key is out of reach.
 * Whether the padding was right comes back in `intact`: the caller looks at the plaintext either way
 * and refuses last, so that both take the same road. */
bool envelope_open(struct scep_message *m, const struct scep_rules *rules, const struct scep_keys *keys,
                   bool *intact, struct err *err);
/* The one refusal of a plaintext that makes no sense. */
bool envelope_refuse(struct err *err);
