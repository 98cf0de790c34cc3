/* A certificate of a stranger: structure, names, key, extensions. */
#include "fuzz.h"
#include "pkcs7/cert.h"
#include "pkcs7/name.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

static void read_all(const struct cert *c)
{
    struct err err = {0};
    struct name name = {0};
    struct pubkey key;
    struct extensions x = {0};
    EVP_PKEY *pkey = NULL;
    char text[512];
    name_der_text(c->subject, text, sizeof text);
    if (name_parse(c->subject, REASON_SUBJECT_FORBIDDEN, &name, &err)) {
        name_check(&name, REASON_SUBJECT_FORBIDDEN, &err);
        name_clear(&name);
    }
    if (c->extensions.n && extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &x, &err))
        extensions_clear(&x);
    if (pubkey_parse(c->spki, &key, &err) && pubkey_load(&key, &pkey, &err))
        cert_signature_verify(c, pkey, &err);
    EVP_PKEY_free(pkey);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cert *c = NULL;
    struct err err = {0};
    if (cert_parse(view_of(data, size), &c, &err))
        read_all(c);
    cert_free(c);
    return 0;
}
