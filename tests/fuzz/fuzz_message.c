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
    struct scep_message *m = NULL;
    struct err err = {0};
    bool parsed = scep_parse(view_of(data, size), ~0u, &m, &err);
    if (m && (parsed || m->replyable))
        scep_open(m, ~0u, ~0u, &keys, &err);
    scep_message_free(m);
    return 0;
}
