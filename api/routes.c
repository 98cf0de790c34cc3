/* All that can be asked. */
#include "api_internal.h"

const struct api_route *const api_routes[] = {
    api_routes_accounts,
    api_routes_document,
    NULL,
};

const struct api_page *const api_pages[] = {
    &api_page_problems,
    NULL,
};
