/* libFuzzer's door to fuzz_change: three of four changes keep the structure, the others are its
 * own. */
#include <string.h>

#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct random r = random_from(seed);
    struct buf out = {0};
    size_t n = 0;
    if (!random_one_in(&r, 4) && fuzz_change(view_of(data, size), &r, &out) && out.n <= max) {
        memcpy(data, out.p, out.n);
        n = out.n;
    }
    buf_clear(&out);
    return n ? n : LLVMFuzzerMutate(data, size, max);
}
