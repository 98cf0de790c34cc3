/* scepctl config ... */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config_schema.h"
#include "scepctl/ctl.h"
#include "scepd/daemon.h"
#include "config/suggest.h"

struct checking {
    const struct ctl *ctl;
    size_t problems;
};

static void tell(void *ctx, const char *message)
{
    struct checking *k = ctx;
    char clean[1800];
    k->problems++;
    ctl_clean(message, clean, sizeof clean);
    if (k->ctl->json) {
        json_t *o = json_object();
        ctl_json_text(o, "problem", message);
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
    } else {
        printf("%s\n", clean);
    }
}

static void warn(void *ctx, const char *message)
{
    const struct checking *k = ctx;
    char clean[1800];
    ctl_clean(message, clean, sizeof clean);
    ctl_note(k->ctl, "warning: %s", clean);
}

int ctl_config_check(struct ctl *ctl, const struct ctl_args *a)
{
    struct checking k = {.ctl = ctl};
    char path[512];
    config_find(a->id_n ? a->id[0] : ctl->config_option, path);
    if (access(path, R_OK))
        return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "cannot read %s", path);
    struct config *c = config_load(path, tell, &k);
    if (c)
        daemon_check(c, tell, warn, &k);
    if (!k.problems) {
        ctl_note(ctl, "%s: %zu endpoints, %zu templates, %zu authorities; no problems", path,
                 c->endpoint_n, c->template_n, c->authority_n);
        config_free(c);
        return CTL_DONE;
    }
    config_free(c);
    ctl_note(ctl, "%zu problem%s", k.problems, k.problems == 1 ? "" : "s");
    return CTL_PROBLEMS;
}

/* What other programs ask for, one by one. */
static int show_one(struct ctl *ctl, const char *name)
{
    const struct config *c = ctl->config;
    char hint[128];
    struct ctl_show s;
    const struct {
        const char *name, *value; /* NULL: a number */
        int number;
    } known[] = {{"file", c->file, 0},
                 {"url", c->url, 0},
                 {"address", c->address, 0},
                 {"port", NULL, c->port},
                 {"admin_address", c->admin_address, 0},
                 {"admin_port", NULL, c->admin_port},
                 {"api_address", c->api_address, 0},
                 {"api_port", NULL, c->api_port},
                 {"store", c->store_path, 0}};
    struct suggest near = suggest_start(name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) == 0) {
            if (ctl->json) {
                ctl_show_start(&s, ctl);
                if (known[i].value)
                    ctl_show_text(&s, name, known[i].value);
                else
                    ctl_show_number(&s, name, known[i].number);
                ctl_show_end(&s);
            } else if (!known[i].value) {
                printf("%d\n", known[i].number);
            } else {
                printf("%s\n", known[i].value);
            }
            return CTL_DONE;
        }
        suggest_offer(&near, known[i].name);
    }
    return ctl_fail(
        ctl, CTL_NOT_FOUND,
        "file, url, address, port, admin_address, admin_port, api_address, api_port and store can be "
        "shown alone",
        "there is no \"%s\" to show%s", name, suggest_text(&near, hint, sizeof hint));
}

int ctl_config_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_show s;
    char paths[2048] = "";
    int rc = ctl_need_config(ctl);
    if (rc)
        return rc;
    const struct config *c = ctl->config;
    if (a->id_n)
        return show_one(ctl, a->id[0]);
    for (size_t i = 0, n = 0; i < c->endpoint_n && n < sizeof paths; i++)
        n += (size_t)snprintf(paths + n, sizeof paths - n, "%s%s", i ? " " : "",
                              c->endpoint[i].path);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "file", c->file);
    ctl_show_text(&s, "url", c->url);
    ctl_show_text(&s, "address", c->address);
    ctl_show_number(&s, "port", c->port);
    ctl_show_text(&s, "admin_address", c->admin_address);
    ctl_show_number(&s, "admin_port", c->admin_port);
    ctl_show_text(&s, "api_address", c->api_address);
    ctl_show_number(&s, "api_port", c->api_port);
    ctl_show_text(&s, "store", c->store_path);
    ctl_show_text(&s, "endpoints", paths);
    ctl_show_end(&s);
    return CTL_DONE;
}

static const struct ctl_column schema_columns[] = {
    {"SETTING", "setting", CTL_TEXT, false},
    {"TYPE", "type", CTL_TEXT, false},
    {"DEFAULT", "default", CTL_TEXT, true},
    {"RANGE", "range", CTL_TEXT, true},
    {"TAKES EFFECT", "takes_effect", CTL_TEXT, false},
    {NULL, "help", CTL_TEXT, false},
};

int ctl_config_schema(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_list *l =
        ctl_list_new(ctl, schema_columns, sizeof schema_columns / sizeof schema_columns[0]);
    for (const struct setting *s = config_schema; s->key; s++) {
        char name[96], range[256];
        snprintf(name, sizeof name, "%s%s%s", s->section, s->section[0] ? "." : "", s->key);
        const char *fallback = s->fallback                   ? s->fallback
                               : s->flags & SETTING_REQUIRED ? "required"
                                                             : "";
        const char *effect = s->type == SETTING_GROUP   ? ""
                             : s->flags & SETTING_FIXED ? "restart"
                                                        : "reload";
        const struct ctl_cell cells[] = {
            {name, 0},     {setting_type_name(s->type), 0},
            {fallback, 0}, {setting_range_text(s, range, sizeof range), 0},
            {effect, 0},   {s->help, 0}};
        ctl_list_row(l, cells);
    }
    ctl_list_end(l);
    return CTL_DONE;
}
