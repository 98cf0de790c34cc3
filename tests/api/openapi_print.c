/* Prints the OpenAPI document, as docs/openapi.json has it. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"

int main(void)
{
    json_t *document = api_openapi("1");
    int rc = document ? json_dumpf(document, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : -1;
    json_decref(document);
    putchar('\n');
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
