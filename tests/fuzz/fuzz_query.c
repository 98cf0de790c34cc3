/* The query of a GET: parameters in any order and escape, then base64 in any alphabet. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "http/http.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *query = malloc(size + 1);
    if (!query)
        return 0;
    if (size)
        memcpy(query, data, size);
    query[size] = '\0';
    struct buf value = {0}, message = {0};
    struct err err = {0};
    if (http_query_get(query, "operation", &value) && value.n > strlen(query))
        abort(); /* decoding never grows */
    if (http_query_get(query, "message", &value) &&
        http_query_base64(buf_view(&value), &message, &err) && message.n > value.n)
        abort();
    buf_clear(&value);
    buf_clear(&message);
    free(query);
    return 0;
}
