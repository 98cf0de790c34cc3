#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fleet_internal.h"

#define ID_TRIES 16 /* a taken id is drawn again */
#define OLD_NAME 80 /* octets of its name that a retired device keeps, when another takes it */

static const char *const platforms[] = {"",         "apple",   "windows", "android",
                                        "chromeos", "network", "linux",   "other"};

/* ---- what a device may be ---- */

static bool check_platform(const struct store_device *d, struct err *err)
{
    for (size_t i = 0; i < sizeof platforms / sizeof *platforms; i++)
        if (strcmp(d->platform, platforms[i]) == 0)
            return true;
    return err_set(err, ERR_CONFIG,
                   "platform: \"%s\" is none of apple, windows, android, chromeos, network, linux, "
                   "other",
                   d->platform);
}

/* Those who write it into certificates would be refused later: said here, where it can be put
 * right. */
static bool check_form(const char *member, enum san_kind kind, const char *value, struct err *err)
{
    struct san names = {0};
    struct err why = {0};
    if (!*value || san_add(&names, kind, value, &why)) {
        san_clear(&names);
        return true;
    }
    return err_set(err, ERR_CONFIG, "%s: %s", member, why.text);
}

static bool check_host(const char *value, struct err *err)
{
    struct err ignored = {0};
    return check_form("host", SAN_IP, value, &ignored) || check_form("host", SAN_DNS, value, err);
}

bool fleet_device_check(struct store_device *d, struct err *err)
{
    return fleet_name(d->name, sizeof d->name, err) && check_platform(d, err) &&
           fleet_text("serial_number", d->serial_number, sizeof d->serial_number, false, err) &&
           fleet_text("udid", d->udid, sizeof d->udid, false, err) &&
           fleet_text("user", d->user, sizeof d->user, false, err) &&
           fleet_text("email", d->email, sizeof d->email, false, err) &&
           fleet_text("host", d->host, sizeof d->host, false, err) &&
           check_form("email", SAN_EMAIL, d->email, err) && check_host(d->host, err);
}

/* ---- new ---- */

/* The name of a device that is retired is free: the old record keeps it with its id behind. */
static bool free_name(const struct fleet *f, struct store_write *w, const char *name,
                      struct err *err)
{
    struct store_device old;
    struct err why = {0};
    if (!store_write_device_get(w, name, &old, &why)) {
        if (why.kind == ERR_NOT_FOUND || why.kind == ERR_CONFLICT)
            return true;
        *err = why;
        return false;
    }
    if (old.state != DEVICE_RETIRED)
        return err_set(err, ERR_EXISTS, "name: device %s is called \"%.100s\" already", old.id,
                       name);
    size_t kept = strnlen(name, OLD_NAME);
    while (kept && ((unsigned char)name[kept] & 0xc0) == 0x80)
        kept--; /* no character is cut in two */
    snprintf(old.name, sizeof old.name, "%.*s (retired %.31s)", (int)kept, name, old.id);
    old.changed_at = f->now;
    return store_device_replace(w, &old, old.version, err) &&
           fleet_audit(f, w, err, "device.renamed", old.id, "now \"%s\": a new device has its name",
                       old.name);
}

static bool put_with_id(struct store_write *w, struct store_device *d, struct err *err)
{
    for (int i = 0; i < ID_TRIES; i++) {
        struct err why = {0};
        if (!fleet_fresh_id("dev_", d->id, err))
            return false;
        if (store_device_put(w, d, &why))
            return true;
        if (why.kind != ERR_EXISTS) {
            *err = why;
            return false;
        }
    }
    return err_set(err, ERR_BUSY, "no free id for a device after %d tries", ID_TRIES);
}

bool fleet_device_add(const struct fleet *f, struct store_write *w, struct store_device *d,
                      struct err *err)
{
    struct store_device made = *d;
    made.state = DEVICE_ACTIVE;
    made.created_at = made.changed_at = f->now;
    made.seen_at = 0;
    made.version = 1;
    snprintf(made.created_by, sizeof made.created_by, "%s", f->actor);
    if (!fleet_device_check(&made, err) || !free_name(f, w, made.name, err) ||
        !put_with_id(w, &made, err) ||
        !fleet_audit(f, w, err, "device.created", made.id, "name=%s%s%s%s%s", made.name,
                     *made.serial_number ? " serial_number=" : "", made.serial_number,
                     *made.user ? " user=" : "", made.user))
        return false;
    *d = made;
    return true;
}

bool fleet_device_new(const struct fleet *f, struct store_device *d, struct err *err)
{
    struct store_write *w = NULL;
    struct store_device made = *d;
    if (!store_write_begin(f->store, &w, err) ||
        !fleet_finish(w, fleet_device_add(f, w, &made, err), err))
        return false;
    *d = made;
    return true;
}

/* ---- edit ---- */

/* What changed, for the audit log: "name=a->b user=..." */
static size_t differences(const struct store_device *old, const struct store_device *new, char *out,
                          size_t cap)
{
    const struct {
        const char *member, *old, *new;
    } part[] = {{"name", old->name, new->name},
                {"platform", old->platform, new->platform},
                {"serial_number", old->serial_number, new->serial_number},
                {"udid", old->udid, new->udid},
                {"user", old->user, new->user},
                {"email", old->email, new->email},
                {"host", old->host, new->host}};
    size_t n = 0, changed = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (strcmp(part[i].old, part[i].new) == 0)
            continue;
        changed++;
        if (n < cap)
            n += (size_t)snprintf(out + n, cap - n, "%s%s: \"%.60s\" to \"%.60s\"", n ? ", " : "",
                                  part[i].member, part[i].old, part[i].new);
    }
    return changed;
}

static bool names_differ(const struct store_device *a, const struct store_device *b)
{
    return strcmp(a->name, b->name) != 0 || strcmp(a->serial_number, b->serial_number) != 0 ||
           strcmp(a->udid, b->udid) != 0 || strcmp(a->user, b->user) != 0 ||
           strcmp(a->email, b->email) != 0 || strcmp(a->host, b->host) != 0;
}

/* The name of one that is retired is made free. */
static bool take_name(const struct fleet *f, struct store_write *w, const struct store_device *d,
                      struct err *err)
{
    struct store_device holder;
    struct err ignored = {0};
    bool taken =
        store_write_device_get(w, d->name, &holder, &ignored) && strcmp(holder.id, d->id) != 0;
    return !taken || free_name(f, w, d->name, err);
}

bool fleet_device_edit_begin(const struct fleet *f, struct store_write *w, uint64_t version,
                             struct store_device *d, struct fleet_edit *edit, bool *changed,
                             struct err *err)
{
    struct store_device old, new;
    char what[STORE_TEXT_MAX];
    edit->had.n = 0;
    if (!fleet_device_in(f, w, d->id, &old, err) ||
        !fleet_version("device", old.name, old.version, version, err))
        return false;
    if (old.state == DEVICE_RETIRED)
        return err_set(err, ERR_CONFLICT, "device %s is retired", old.name);
    new = old;
    memcpy(new.name, d->name, sizeof new.name);
    memcpy(new.platform, d->platform, sizeof new.platform);
    memcpy(new.serial_number, d->serial_number, sizeof new.serial_number);
    memcpy(new.udid, d->udid, sizeof new.udid);
    memcpy(new.user, d->user, sizeof new.user);
    memcpy(new.email, d->email, sizeof new.email);
    memcpy(new.host, d->host, sizeof new.host);
    if (!fleet_device_check(&new, err))
        return false;
    edit->names = names_differ(&old, &new);
    *changed = differences(&old, &new, what, sizeof what) > 0;
    if (*changed) {
        new.changed_at = f->now;
        if (!fleet_audit(f, w, err, "device.edited", new.id, "%s", what) ||
            (strcasecmp(old.user, new.user) != 0 &&
             !fleet_policies_of_device(f, w, old.id, &edit->had, err)) ||
            !take_name(f, w, &new, err) || !store_device_replace(w, &new, old.version, err))
            return false;
    }
    *d = new;
    return true;
}

bool fleet_device_edit_end(const struct fleet *f, struct store_write *w,
                           const struct fleet_edit *edit, const char *device,
                           struct fleet_effects *e, struct err *err)
{
    const struct fleet_sweep all = {.device = device, .names = true};
    return fleet_lost_count(f, w, &edit->had, device, e, err) &&
           fleet_lost_sweep(f, w, &edit->had, device, e, err) &&
           (edit->names ? fleet_sweep(f, w, &all, e, err)
                        : fleet_sweep_regrouped(f, w, device, NULL, e, err));
}

static bool edit_in(const struct fleet *f, struct store_write *w, uint64_t version,
                    struct store_device *d, struct fleet_effects *e, bool *changed, struct err *err)
{
    struct fleet_edit edit;
    struct fleet_effects lost = {.dry_run = false};
    if (!fleet_device_edit_begin(f, w, version, d, &edit, changed, err) ||
        (*changed && !fleet_device_edit_end(f, w, &edit, d->id, &lost, err)))
        return false;
    if (e) {
        e->devices = lost.devices;
        e->certificates = lost.certificates;
        e->requests = lost.requests;
        e->challenges = lost.challenges;
    }
    return true;
}

/* Would it get another device's subject by a policy that it has? */
static bool subjects_fit(const struct fleet *f, const struct store_device *d, struct err *err)
{
    struct fleet_policies all;
    struct store_device old;
    if (!fleet_device_in(f, NULL, d->id, &old, err) ||
        !fleet_policies_of_device(f, NULL, old.id, &all, err))
        return false;
    for (size_t i = 0; i < all.n && names_differ(&old, d); i++) {
        struct store_policy p;
        struct err why = {0};
        if (!fleet_policy_in(f, NULL, all.id[i], &p, err))
            return false;
        if (fleet_subject_certain(p.subject) || fleet_target_fits(f, &p, d, NULL, &why))
            continue;
        if (why.kind != ERR_CONFIG) { /* a value that is missing now is told with the challenge */
            *err = why;
            return false;
        }
    }
    return true;
}

bool fleet_device_edit(const struct fleet *f, uint64_t version, struct store_device *d,
                       struct fleet_effects *e, struct err *err)
{
    struct store_write *w = NULL;
    struct store_device made = *d;
    bool changed, dry_run = e && e->dry_run;
    if (!subjects_fit(f, d, err) || !store_write_begin(f->store, &w, err))
        return false;
    if (!edit_in(f, w, version, &made, e, &changed, err)) {
        store_write_abort(w);
        return false;
    }
    if (dry_run || !changed)
        store_write_abort(w); /* nothing to wait for the disk for */
    else if (!store_write_commit(w, err))
        return false;
    *d = made;
    return true;
}

/* ---- isolate, release, retire ---- */

static const char *const state_words[DEVICE_STATES] = {"active", "isolated", "retired"};

static bool move_in(const struct fleet *f, struct store_write *w, const char *which,
                    uint64_t version, enum device_state from, enum device_state to,
                    const char *event, const char *note, struct store_device *d, struct err *err)
{
    if (!fleet_device_in(f, w, which, d, err) ||
        !fleet_version("device", d->name, d->version, version, err))
        return false;
    if (d->state != from && !(to == DEVICE_RETIRED && d->state != to))
        return err_set(err, ERR_CONFLICT, "device %s is %s", d->name, state_words[d->state]);
    d->state = to;
    d->changed_at = f->now;
    return store_device_replace(w, d, d->version, err) &&
           fleet_audit(f, w, err, event, d->id, "%s%s%s", d->name, note && *note ? " note: " : "",
                       note ? note : "");
}

static bool move(const struct fleet *f, const char *which, uint64_t version, enum device_state from,
                 enum device_state to, const char *event, const char *note,
                 struct store_device *out, struct err *err)
{
    struct store_write *w = NULL;
    struct store_device d;
    if (!store_write_begin(f->store, &w, err) ||
        !fleet_finish(w, move_in(f, w, which, version, from, to, event, note, &d, err), err))
        return false;
    *out = d;
    return true;
}

bool fleet_device_isolate(const struct fleet *f, const char *which, uint64_t version,
                          const char *note, struct store_device *out, struct err *err)
{
    return move(f, which, version, DEVICE_ACTIVE, DEVICE_ISOLATED, "device.isolated", note, out,
                err);
}

bool fleet_device_release(const struct fleet *f, const char *which, uint64_t version,
                          const char *note, struct store_device *out, struct err *err)
{
    return move(f, which, version, DEVICE_ISOLATED, DEVICE_ACTIVE, "device.released", note, out,
                err);
}

bool fleet_device_retire(const struct fleet *f, const char *which, uint64_t version,
                         const char *note, struct fleet_effects *e, struct store_device *out,
                         struct err *err)
{
    struct store_device d;
    struct store_write *w = NULL;
    if (!fleet_device_in(f, NULL, which, &d, err) ||
        !fleet_version("device", d.name, d.version, version, err) ||
        !store_write_begin(f->store, &w, err))
        return false;
    const struct fleet_sweep sweep = {.device = d.id, .revoke = true, .why = "device retired"};
    bool again = d.state == DEVICE_RETIRED;
    e->devices = !again;
    if (e->dry_run || again) {
        bool ok = !e->dry_run || fleet_sweep(f, w, &sweep, e, err);
        store_write_abort(w);
        if (!ok)
            return false;
    } else if (!fleet_finish(w,
                             move_in(f, w, d.id, d.version, DEVICE_ACTIVE, DEVICE_RETIRED,
                                     "device.retired", note, &d, err),
                             err)) {
        return false;
    }
    if (!e->dry_run && !fleet_sweep(f, NULL, &sweep, e, err))
        return false;
    if (again && !e->stopped && e->certificates + e->requests + e->challenges == 0)
        return err_set(err, ERR_CONFLICT, "device %s is retired already", d.name);
    *out = d;
    return true;
}
