/* A pkiMessage as a server reads it: the outer SignedData, then, whatever its signature says, the
 * envelope and the content. */
#include <string.h>

#include "fuzz.h"
#include "pkcs7/scep.h"

static int any_key(void *ctx, const struct scep_recipient *who)
{
    return who->serial.n % 2 ? 0 : -1;
}

static bool any_content_key(void *ctx, int key, struct key_wrap wrap, struct view encrypted,
                            uint8_t *content_key, size_t key_len, struct err *err)
{
    memset(content_key, 0x42, key_len);
    return true;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scep_keys keys = {.find = any_key, .decrypt = any_content_key};
    /* all that an endpoint can be told to tolerate */
    const struct scep_rules rules = {.digests = ~0u,
                                     .ciphers = ~0u,
                                     .csr_digests = ~0u,
                                     .odd_message_digest = true,
                                     .any_csr_version = true};
    struct scep_message *m = NULL;
    struct err err = {0};
    bool parsed = scep_parse_by(view_of(data, size), &rules, &m, &err);
    if (m && (parsed || m->replyable))
        scep_open_by(m, &rules, &keys, &err);
    scep_message_free(m);
    return 0;
}
