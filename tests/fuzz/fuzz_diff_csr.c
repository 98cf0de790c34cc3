/* Certification requests, signed again after every change, read by pkcs7/ and by OpenSSL. */
#include "diff.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    seal_get();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    diff_csr(view_of(data, size));
    return 0;
}

bool fuzz_change(struct view in, struct random *r, struct buf *out)
{
    return seal_csr(seal_get(), in, r, out);
}
