/* /profiles: the file that a device installs, with a challenge of its own in it.  It is the answer,
 * and kept nowhere. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "fleet/profile_new.h"
#include "managed.h"
#include "outside/upstream.h"

static const char *const kinds[] = {"apple",      "windows",    "android", "chromeos", "cisco",
                                    "strongswan", "certmonger", "jamf",    NULL};

static const struct api_member body[] = {
    WORD("platform", API_REQUIRED, kinds, "For which kind of device, or of software on it."),
    {"device", API_STRING, API_NULLABLE, 1, 127, NULL, NULL,
     "Id or name; left out for jamf, whose file is for all devices.", 0},
    {"policy", API_STRING, API_NULLABLE, 1, 63, NULL, NULL,
     "Id or name; needed when the device has several.", 0},
    {"expires_seconds", API_INTEGER, API_NULLABLE, 1, INT32_MAX, NULL, NULL,
     "How long its challenge may be used; as the policy says unless given.", 0},
    {0},
};

static void reply(struct api_call *c, const struct fleet_profile *p)
{
    char until[32];
    api_reply_bytes(c, 200, p->file.media_type, buf_view(&p->file.content));
    api_reply_header(c, "Content-Disposition", "attachment; filename=\"%s\"", p->file.name);
    if (p->challenge[0])
        api_reply_header(c, "X-Challenge-Id", "%s", p->challenge);
    if (p->expires_at) {
        text_time(p->expires_at, until);
        api_reply_header(c, "X-Challenge-Expires", "%s", until);
    }
    if (p->file.warning[0])
        api_reply_header(c, "X-Warning", "%s", p->file.warning);
}

static bool make(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct fleet_profile made = {.challenge = ""};
    struct fleet_profile_wish wish = {.device = api_string(c, "device"),
                                      .policy = api_string(c, "policy"),
                                      .ttl = api_int(c, "expires_seconds", 0),
                                      .rooms = c->world->rooms,
                                      .fetch = c->world->outside ? upstream_challenge : NULL,
                                      .ctx = c->world->outside};
    if (!profile_kind_by_name(api_string(c, "platform"), &wish.kind))
        return err_set(err, ERR_CONFIG, "platform: there are no such profiles");
    if (profile_kind_has_device(wish.kind) && !wish.device)
        api_fault(c, "/device", "input.invalid", "for which device?");
    if (api_faulty(c))
        return true;
    if (!fleet_profile_new(&f, &wish, &made, err))
        return api_fleet_done(c, false, err);
    reply(c, &made);
    fleet_profile_clear(&made);
    return true;
}

const struct api_route api_routes_profiles[] = {
    {HTTP_POST, "/profiles", ROLE_OPERATOR, "profile_new",
     "Makes the file for a device, with a challenge bound to it and to the policy.", NULL, body,
     NULL, API_SECRETS,
     "application/x-apple-aspen-config, application/xml, application/x-sh, text/plain", make},
    {0},
};
