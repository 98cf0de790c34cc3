/* All that can be asked. */
#include "api_internal.h"
#include "ndes.h"
#include "resources.h"

const struct api_route *const api_routes[] = {
    api_routes_accounts,
    api_routes_overview,
    api_routes_certificates,
    api_routes_requests,
    api_routes_challenges,
    api_routes_templates,
    api_routes_authorities,
    api_routes_events,
    api_routes_explain,
    api_routes_devices,
    api_routes_groups,
    api_routes_policies,
    api_routes_profiles,
    api_routes_webhooks,
    api_routes_jobs,
    api_routes_document,
    NULL,
};

const struct api_page *const api_pages[] = {
    &api_page_problems,
    &api_page_ndes,
    &api_page_challenge_hook,
    NULL,
};
