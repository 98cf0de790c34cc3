/* Requests and answers, changed in every layer and sealed again, read by pkcs7/ and by OpenSSL's
 * CMS. */
#include "diff.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    seal_get();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    diff_message(seal_get(), view_of(data, size));
    return 0;
}

bool fuzz_change(struct view in, struct random *r, struct buf *out)
{
    return seal_message(seal_get(), in, r, out);
}
