/* /groups: of devices, or of users whose devices count. */
#include <stdio.h>
#include <string.h>

#include "managed.h"

/* ---- as JSON ---- */

static json_t *group_json(const struct store_group *g)
{
    json_t *o = json_object();
    bool ok = api_set_text(o, "id", g->id) && api_set(o, "etag", api_json_etag(g->version)) &&
              api_set_text(o, "name", g->name) && api_set_bool(o, "users", g->users) &&
              api_set_text(o, "note", g->note) &&
              api_set_stamps(o, g->created_at, g->created_by, g->changed_at, g->changed_by);
    return api_made(o, ok);
}

#define GROUP_MEMBERS                                                                             \
    TEXT("id", API_REQUIRED, "Begins with grp_."),                                                \
        TEXT("etag", API_REQUIRED, "For If-Match; members coming and going do not change it."),   \
        TEXT("name", API_REQUIRED, "Unique, in any case of letters."),                            \
        FLAG("users", API_REQUIRED, "Its members are users, whose devices count; else devices."), \
        TEXT("note", NULLABLE, "For people."), STAMP_MEMBERS

static const struct api_member group_members[] = {GROUP_MEMBERS, API_SHAPE("Group")};

static const struct api_member member_members[] = {
    TEXT("id", API_REQUIRED, "Of the device; of a user the name."),
    TEXT("name", API_REQUIRED, "Of the device or user."),
    TEXT("by", NULLABLE, "Who added it."),
    TIME("at", NULLABLE, "When."),
    API_SHAPE("GroupMember"),
};

static const struct api_member whole_members[] = {
    GROUP_MEMBERS,
    THING("members", API_REQUIRED | API_ARRAY, member_members,
          "The first 500; ../members has all."),
    FLAG("more_members", API_REQUIRED, "There are more than these."),
    API_SHAPE("WholeGroup"),
};

static const struct api_member edited_members[] = {
    GROUP_MEMBERS,
    THING("members", API_REQUIRED | API_ARRAY, member_members,
          "The first 500; ../members has all."),
    FLAG("more_members", API_REQUIRED, "There are more than these."),
    THING("effects", API_REQUIRED, api_effects_members, "Challenges with its old name, void now."),
    {0},
};

static json_t *member_json(const struct api_call *c, const struct store_tie *t, bool users)
{
    json_t *o = json_object();
    struct store_device d = {.name = ""};
    struct err ignored = {0};
    bool found = !users && store_device_get(c->world->store, t->held, &d, &ignored);
    bool ok = api_set_text(o, "id", t->held) && api_set_text(o, "name", found ? d.name : t->held) &&
              api_set_text(o, "by", t->by) && api_set_time(o, "at", t->at);
    return api_made(o, ok);
}

struct members {
    struct api_call *call;
    json_t *list; /* NULL: a page of the call */
    bool users;
};

static void member_one(void *ctx, const struct store_tie *t)
{
    struct members *m = ctx;
    json_t *o = member_json(m->call, t, m->users);
    if (m->list)
        json_array_append_new(m->list, o);
    else
        api_page_put(m->call, o);
}

static json_t *whole_json(struct api_call *c, const struct store_group *g)
{
    json_t *o = group_json(g);
    struct members m = {c, json_array(), g->users};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    struct err ignored = {0};
    store_group_members(c->world->store, g->id, &page, member_one, &m, &ignored);
    bool ok =
        api_set(o, "members", m.list) && api_set_bool(o, "more_members", page.next[0] != '\0');
    return api_made(o, ok);
}

/* ---- list, one, new, edit, remove ---- */

static void list_one(void *ctx, const struct store_group *g)
{
    api_page_put(ctx, group_json(g));
}

static bool list(struct api_call *c, struct err *err)
{
    struct store_page page = api_page_of(c);
    return api_page_reply(
        c, &page, store_group_page(c->world->store, api_query(c, "q"), &page, list_one, c, err),
        err);
}

static bool find(struct api_call *c, struct store_group *out, struct err *err)
{
    struct fleet f = api_fleet(c);
    return fleet_group_get(&f, api_param(c, "group"), out, err);
}

/* The group for a call that changes it; false: what the handler has to return is in `ok`. */
static bool find_to_change(struct api_call *c, struct store_group *out, bool *ok, struct err *err)
{
    *ok = find(c, out, err);
    return *ok && api_match(c, out->version, group_json(out));
}

static bool show(struct api_call *c, struct err *err)
{
    struct store_group g;
    if (!find(c, &g, err))
        return false;
    api_reply_item(c, whole_json(c, &g), g.version, NULL);
    return true;
}

static const struct api_member new_body[] = {
    {"name", API_STRING, API_REQUIRED, 1, 63, NULL, NULL, "Unique, in any case of letters.", 0},
    FLAG("users", 0, "Its members are users; cannot be changed later."),
    {"note", API_STRING, API_NULLABLE, 0, 255, NULL, NULL, "For people.", 0},
    {0},
};

static const struct api_member edit_body[] = {
    {"name", API_STRING, 0, 1, 63, NULL, NULL, "Unique, in any case of letters.", 0},
    {"note", API_STRING, API_NULLABLE, 0, 255, NULL, NULL, "For people.", 0},
    {0},
};

static bool make(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_group g = {.id = "", .users = api_bool(c, "users", false)};
    api_take_text(c, "name", g.name, sizeof g.name);
    api_take_text(c, "note", g.note, sizeof g.note);
    if (!fleet_group_new(&f, &g, err))
        return api_fleet_done(c, false, err);
    api_reply_item(c, whole_json(c, &g), g.version, "/groups/%s", g.id);
    return true;
}

static bool edit(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_group g;
    bool ok;
    if (!find_to_change(c, &g, &ok, err))
        return ok;
    uint64_t version = g.version;
    api_take_text(c, "name", g.name, sizeof g.name);
    api_take_text(c, "note", g.note, sizeof g.note);
    if (!fleet_group_edit(&f, version, &g, api_went(c), err))
        return api_fleet_done(c, false, err);
    json_t *o = whole_json(c, &g);
    api_reply_item(c, api_made(o, o && api_set_effects(o, api_went(c))), g.version, NULL);
    return true;
}

static bool remove_group(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_group g;
    struct fleet_effects e = {.dry_run = false};
    struct fleet_warnings stay = {.n = 0};
    bool ok;
    if (!find_to_change(c, &g, &ok, err))
        return ok;
    fleet_outside(&f, &(struct fleet_leaving){.target = g.id}, &stay);
    if (!fleet_group_remove(&f, g.id, g.version, &e, err))
        return false;
    api_reply_effects(c, &e, &stay);
    return true;
}

/* ---- members ---- */

static bool members(struct api_call *c, struct err *err)
{
    struct store_group g;
    struct store_page page = api_page_of(c);
    if (!find(c, &g, err))
        return false;
    struct members m = {c, NULL, g.users};
    return api_page_reply(
        c, &page, store_group_members(c->world->store, g.id, &page, member_one, &m, err), err);
}

static const struct api_member change_members[] = {
    FLAG("changed", API_REQUIRED, "False: it was so already."),
    THING("effects", API_REQUIRED, api_effects_members,
          "Challenges that are void: the policy gives another %group% now."),
    {0},
};

static bool add(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_group g;
    bool ok, changed;
    if (!find_to_change(c, &g, &ok, err))
        return ok;
    if (!fleet_member_add(&f, g.id, g.version, api_param(c, "member"), api_went(c), &changed, err))
        return false;
    json_t *o = json_object();
    api_reply_json(
        c, 200,
        api_made(o, api_set_bool(o, "changed", changed) && api_set_effects(o, api_went(c))));
    return true;
}

static const struct api_member taken_members[] = {
    FLAG("changed", API_REQUIRED, "False: it was not in."),
    THING("effects", API_REQUIRED, api_effects_members, "What went with it."),
    TEXT("warnings", API_REQUIRED | API_ARRAY, API_STAY_HELP),
    {0},
};

static bool take_out(struct api_call *c, struct err *err)
{
    struct fleet f = api_fleet(c);
    struct store_group g;
    struct fleet_effects e = {.dry_run = false};
    struct fleet_warnings stay = {.n = 0};
    const char *member = api_param(c, "member");
    bool ok, changed;
    if (!find_to_change(c, &g, &ok, err))
        return ok;
    fleet_outside(&f, &(struct fleet_leaving){.target = g.id, .member = member}, &stay);
    if (!fleet_member_remove(&f, g.id, g.version, member, &e, &changed, err))
        return false;
    json_t *o = json_object();
    api_reply_json(c, 200,
                   api_made(o, api_set_bool(o, "changed", changed) && api_set_effects(o, &e) &&
                                   api_set_warnings(o, changed ? &stay : NULL)));
    return true;
}

const struct api_route api_routes_groups[] = {
    {HTTP_GET, "/groups", ROLE_AUDITOR, "group_list", "Groups by name.", api_name_query, NULL,
     group_members, API_LIST, NULL, list},
    {HTTP_POST, "/groups", ROLE_ADMINISTRATOR, "group_new", "Makes one.", NULL, new_body,
     whole_members, API_CREATES, NULL, make},
    {HTTP_GET, "/groups/{group}", ROLE_AUDITOR, "group_show", "One group, by id or name.", NULL,
     NULL, whole_members, 0, NULL, show},
    {HTTP_PATCH, "/groups/{group}", ROLE_ADMINISTRATOR, "group_edit",
     "Changes name or note.  Open challenges that name it (%group%) are void then.", NULL,
     edit_body, edited_members, API_CONDITIONAL, NULL, edit},
    {HTTP_DELETE, "/groups/{group}", ROLE_ADMINISTRATOR, "group_remove",
     "Devices that had a policy by this group alone lose it.", NULL, NULL, api_removed_members,
     API_CONDITIONAL, NULL, remove_group},
    {HTTP_GET, "/groups/{group}/members", ROLE_AUDITOR, "group_members", "Its members.", NULL, NULL,
     member_members, API_LIST, NULL, members},
    {HTTP_PUT, "/groups/{group}/members/{member}", ROLE_ADMINISTRATOR, "member_add",
     "Adds a device (id or name) or a user.", NULL, NULL, change_members, API_CONDITIONAL, NULL,
     add},
    {HTTP_DELETE, "/groups/{group}/members/{member}", ROLE_ADMINISTRATOR, "member_remove",
     "What it had by this group alone it loses.", NULL, NULL, taken_members, API_CONDITIONAL, NULL,
     take_out},
    {0},
};
