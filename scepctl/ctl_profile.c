/* scepctl profile ...: the file for a device, with a challenge that is good for this device alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "fleet/profile_new.h"
#include "outside/upstream.h"
#include "scepctl/ctl_fleet.h"

/* Asks the upstream from this process, which starts the thread that does so at the first question.
 */
struct asker {
    const struct config *config;
    struct outside *outside;
};

static bool fetch(void *asker, const char *upstream, char *secret, size_t cap, struct err *err)
{
    struct asker *a = asker;
    return (a->outside || outside_new_local(a->config, NULL, &a->outside, err)) &&
           upstream_challenge(a->outside, upstream, secret, cap, err);
}

static int read_wish(struct ctl *ctl, const struct ctl_args *a, struct fleet_profile_wish *w)
{
    char known[160] = "";
    size_t n = 0;
    int rc;
    if (!profile_kind_by_name(a->id[0], &w->kind)) {
        for (enum profile_kind k = 0; k < PROFILE_KINDS; k++)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", k ? ", " : "",
                                  profile_kind_name(k));
        return ctl_fail(ctl, CTL_USAGE, NULL, "there is no kind of profile \"%s\": %s", a->id[0],
                        known);
    }
    w->device = ctl_arg(a, "device");
    w->policy = ctl_arg(a, "policy");
    if (profile_kind_has_device(w->kind) && !w->device)
        return ctl_fail(ctl, CTL_USAGE, NULL, "a profile for %s is for one device: --device NAME",
                        profile_kind_name(w->kind));
    if (!profile_kind_has_device(w->kind) && (w->device || !w->policy))
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "a profile for %s is for all devices: --policy NAME, and no --device",
                        profile_kind_name(w->kind));
    if (ctl_arg(a, "new-device") && (!w->device || !w->policy))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--new-device goes with --device and --policy");
    if ((rc = ctl_arg_duration(ctl, a, "expires", 0, &w->ttl)))
        return rc;
    if (ctl_arg(a, "expires") && w->ttl == 0)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--expires must be longer than nothing");
    return CTL_DONE;
}

/* A new file that nobody else can read; never one that is there, which might be another device's.
 */
static int write_file(struct ctl *ctl, const char *path, struct view content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return ctl_fail(ctl, CTL_CONFLICT, "give another name, or remove it", "%s is there already",
                        path);
    if (fd < 0)
        return ctl_fail(ctl, CTL_FAILED, NULL, "cannot write %s: %s", path, strerror(errno));
    bool ok = file_write_all(fd, content);
    if (close(fd) != 0 || !ok) {
        unlink(path);
        return ctl_fail(ctl, CTL_FAILED, NULL, "cannot write %s: %s", path, strerror(errno));
    }
    return CTL_DONE;
}

static int put(struct ctl *ctl, const char *path, const struct fleet_profile *p)
{
    if (path && strcmp(path, "-") != 0)
        return write_file(ctl, path, buf_view(&p->file.content));
    fflush(stdout);
    return file_write_all(STDOUT_FILENO, buf_view(&p->file.content))
               ? CTL_DONE
               : ctl_fail(ctl, CTL_FAILED, NULL, "cannot write: %s", strerror(errno));
}

/* How the file gets to where it works, and where one sees that it did. */
static void tell_next(struct ctl *ctl, enum profile_kind kind, const struct store_device *d)
{
    static const char *const ways[PROFILE_KINDS] = {
        [PROFILE_APPLE] = "take it to the device (AirDrop, mail), where Settings, Profile "
                          "Downloaded installs it",
        [PROFILE_WINDOWS] = "let your management server send it, or a custom OMA-URI policy",
        [PROFILE_ANDROID] = "give it to the program that enrols there",
        [PROFILE_CHROMEOS] = "put its values into the form of Google's admin console",
        [PROFILE_CISCO] = "paste its lines in configuration mode",
        [PROFILE_STRONGSWAN] = "run it on the device, as root",
        [PROFILE_CERTMONGER] = "run it on the device, as root",
        [PROFILE_JAMF] = "upload it to Jamf Pro as a configuration profile",
    };
    if (d->id[0])
        ctl_note(ctl, "  next: %s; then: scepctl explain %s", ways[kind],
                 ctl_plain_name(d->id, d->name));
    else
        ctl_note(ctl, "  next: %s", ways[kind]);
}

static void tell(struct ctl *ctl, enum profile_kind kind, const char *path,
                 const struct fleet_profile *p)
{
    char until[96];
    if (p->device.id[0])
        ctl_note(ctl, "  %s for device %s by policy %s%s%s", p->file.name, p->device.name,
                 p->policy.name, path ? ", written to " : "", path ? path : "");
    else
        ctl_note(ctl, "  %s for all devices of policy %s", p->file.name, p->policy.name);
    if (p->challenge[0]) {
        ctl_time_text(ctl, p->expires_at, until, sizeof until);
        ctl_note(ctl, "  it holds challenge %s: one use, until %s", p->challenge, until);
    }
    if (p->file.warning[0])
        ctl_note(ctl, "  warning: %s", p->file.warning);
    tell_next(ctl, kind, &p->device);
}

int ctl_profile_new(struct ctl *ctl, const struct ctl_args *a)
{
    struct fleet_profile_wish wish = {.device = NULL};
    struct fleet_profile profile = {.expires_at = 0};
    struct ctl_fleet f;
    struct err err = {0};
    int rc = read_wish(ctl, a, &wish);
    if (rc || (rc = ctl_fleet_begin(ctl, true, &f)))
        return rc;
    const char *path = ctl_arg(a, "out");
    if (ctl->dry_run) {
        ctl_note(ctl, "would make a profile for %s%s", profile_kind_name(wish.kind),
                 profile_kind_has_device(wish.kind)
                     ? ", and a challenge if the policy has them made here"
                     : "");
        ctl_fleet_end(&f);
        return CTL_DONE;
    }
    struct asker asker = {.config = ctl->config};
    wish.fetch = fetch;
    wish.ctx = &asker;
    if (path && strcmp(path, "-") != 0 && access(path, F_OK) == 0) {
        rc = ctl_fail(ctl, CTL_CONFLICT, "give another name, or remove it", "%s is there already",
                      path);
    } else if (ctl_arg(a, "new-device") &&
               (rc = ctl_make_device(ctl, &f, wish.device, wish.policy))) {
        /* told */
    } else if (!fleet_profile_new(&f.fleet, &wish, &profile, &err)) {
        rc = ctl_fail_err(ctl, &err,
                          err.kind == ERR_NOT_FOUND ? "scepctl device new makes a device" : NULL);
    } else {
        rc = put(ctl, path, &profile);
        if (rc == CTL_DONE)
            tell(ctl, wish.kind, path, &profile);
    }
    fleet_profile_clear(&profile);
    outside_free(asker.outside);
    ctl_fleet_end(&f);
    return rc;
}
