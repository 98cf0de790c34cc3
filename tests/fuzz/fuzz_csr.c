/* A PKCS#10, as it comes out of the envelope. */
#include "fuzz.h"
#include "pkcs7/csr.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csr *csr = NULL;
    struct err err = {0};
    if (csr_parse(view_of(data, size), ~0u, NULL, view_of(NULL, 0), &csr, &err)) {
        char text[512];
        name_text(&csr->subject, text, sizeof text);
        san_text(&csr->ext.san, text, sizeof text);
    }
    csr_free(csr);
    return 0;
}
