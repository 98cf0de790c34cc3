/* Prints the OpenAPI document as docs/openapi.json has it: without the number of the version, which is another one with every build. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"

int main(void)
{
    json_t *o = api_openapi("1");
    if (!o)
        return EXIT_FAILURE;
    json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
    return EXIT_SUCCESS;
}
