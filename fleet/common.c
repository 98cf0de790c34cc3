#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "enroll/audit.h"
#include "enroll/token.h"
#include "fleet_internal.h"

bool fleet_finish(struct store_write *w, bool ok, struct err *err)
{
    if (ok)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

bool fleet_audit(const struct fleet *f, struct store_write *w, struct err *err, const char *event,
                 const char *object, const char *fmt, ...)
{
    struct store_audit audit;
    char text[STORE_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    audit_fill(&audit, f->now, event, f->actor, object, "%s", text);
    return store_audit_put(w, &audit, err);
}

bool fleet_version(const char *what, const char *name, uint64_t have, uint64_t expected,
                   struct err *err)
{
    if (!expected || have == expected)
        return true;
    return err_set(err, ERR_CONFLICT, "%s %s was changed meanwhile: its version is %llu, not %llu",
                   what, name, (unsigned long long)have, (unsigned long long)expected);
}

bool fleet_missing(const char *kind, const char *which, struct err *err)
{
    if (err->kind == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no %s \"%.100s\"", kind, which);
    if (err->kind == ERR_CONFLICT)
        return err_set(err, ERR_CONFLICT, "the ids of several %s begin with \"%.40s\"",
                       strcmp(kind, "policy") == 0  ? "policies"
                       : strcmp(kind, "group") == 0 ? "groups"
                                                    : "devices",
                       which);
    return false;
}

bool fleet_text(const char *member, char *value, size_t cap, bool required, struct err *err)
{
    char *kept = NULL;
    if (!*value)
        return !required || err_set(err, ERR_CONFIG, "%s: it is missing", member);
    struct err why = {0};
    if (!name_value_normalize(view_str(value), REASON_SUBJECT_FORBIDDEN, member, &kept, &why)) {
        if (why.kind == ERR_REFUSED)
            return err_set(err, ERR_CONFIG, "%s: %s", member, why.text);
        *err = why;
        return false;
    }
    size_t n = strlen(kept);
    bool ok = n < cap ||
              err_set(err, ERR_CONFIG, "%s: it has %zu octets, %zu at most", member, n, cap - 1);
    if (ok)
        memcpy(value, kept, n + 1);
    free(kept);
    return ok;
}

bool fleet_name(char *value, size_t cap, struct err *err)
{
    static const char *const ids[] = {"dev_", "grp_", "pol_"};
    if (!fleet_text("name", value, cap, true, err))
        return false;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (strncasecmp(value, ids[i], 4) == 0)
            return err_set(err, ERR_CONFIG, "name: \"%s...\" begins like an id", ids[i]);
    return true;
}

bool fleet_fresh_id(const char *prefix, char id[32], struct err *err)
{
    return token_id(prefix, id, err);
}

void fleet_warn(struct fleet_warnings *w, const char *fmt, ...)
{
    if (!w || w->n == FLEET_WARNINGS)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->text[w->n++], sizeof w->text[0], fmt, ap);
    va_end(ap);
}

/* ---- reading ---- */

bool fleet_device_in(const struct fleet *f, struct store_write *w, const char *which,
                     struct store_device *out, struct err *err)
{
    bool ok = w ? store_write_device_get(w, which, out, err)
                : store_device_get(f->store, which, out, err);
    return ok || fleet_missing("device", which, err);
}

bool fleet_group_in(const struct fleet *f, struct store_write *w, const char *which,
                    struct store_group *out, struct err *err)
{
    bool ok =
        w ? store_write_group_get(w, which, out, err) : store_group_get(f->store, which, out, err);
    return ok || fleet_missing("group", which, err);
}

bool fleet_policy_in(const struct fleet *f, struct store_write *w, const char *which,
                     struct store_policy *out, struct err *err)
{
    bool ok = w ? store_write_policy_get(w, which, out, err)
                : store_policy_get(f->store, which, out, err);
    return ok || fleet_missing("policy", which, err);
}

bool fleet_reach_in(const struct fleet *f, struct store_write *w, const char *policy,
                    const char *device, struct store_reach *out, struct err *err)
{
    return w ? store_write_policy_reach(w, policy, device, out, err)
             : store_policy_reach(f->store, policy, device, out, err);
}

bool fleet_device_get(const struct fleet *f, const char *which, struct store_device *out,
                      struct err *err)
{
    return fleet_device_in(f, NULL, which, out, err);
}

bool fleet_group_get(const struct fleet *f, const char *which, struct store_group *out,
                     struct err *err)
{
    return fleet_group_in(f, NULL, which, out, err);
}

bool fleet_policy_get(const struct fleet *f, const char *which, struct store_policy *out,
                      struct err *err)
{
    return fleet_policy_in(f, NULL, which, out, err);
}

const struct config_endpoint *fleet_endpoint(const struct fleet *f, const struct store_policy *p)
{
    return config_endpoint_by_path(f->config, p->endpoint);
}

const struct template *fleet_template(const struct fleet *f, const struct store_policy *p)
{
    const struct config_endpoint *e = fleet_endpoint(f, p);
    for (size_t i = 0; e && i < f->config->template_n; i++)
        if (strcmp(f->config->template[i].name, e->template_name) == 0)
            return &f->config->template[i];
    return NULL;
}
