/* Lines of an index.txt, and a CRL: what an authority that moves in brings. */
#include <stdlib.h>

#include "ca/import.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct index_line line;
    struct crl_info info;
    struct err err = {0};
    if (index_line_parse(view_of(data, size), &line, &err) && line.serial_len == 0)
        abort();
    err = (struct err){0};
    crl_describe(view_of(data, size), &info, &err);
    return 0;
}
