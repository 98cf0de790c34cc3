/* What a client reads: a CertRep, and the certificates of GetCACert. */
#include <string.h>

#include "fuzz.h"
#include "pkcs7/scep.h"

static int any_key(void *ctx, const struct scep_recipient *who)
{
    return 0;
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
    struct scep_certs certs = {0};
    struct err err = {0};
    if (scep_certs_parse(view_of(data, size), &certs, &err))
        scep_certs_clear(&certs);
    scep_parse(view_of(data, size), ~0u, &m, &err);
    if (m && m->is_reply && certrep_open(m, &keys, &certs, &err))
        scep_certs_clear(&certs);
    scep_message_free(m);
    return 0;
}
