#include "config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ca/keyfile.h"
#include "config_internal.h"
#include "config/suggest.h"

void config_mistake(struct loader *l, const config_setting_t *at, const char *fmt, ...)
{
    char text[1024], message[1600], clean[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *file =
        at && config_setting_source_file(at) ? config_setting_source_file(at) : l->file;
    if (at && config_setting_source_line(at) > 0)
        snprintf(message, sizeof message, "%s:%u: %s", file,
                 (unsigned)config_setting_source_line(at), text);
    else
        snprintf(message, sizeof message, "%s: %s", file, text);
    l->problems++;
    text_printable(view_str(message), clean, sizeof clean); /* names of the file stand in it */
    l->complain(l->ctx, clean);
}

const config_setting_t *config_at(const config_setting_t *group, const char *key)
{
    const config_setting_t *member = group ? config_setting_get_member(group, key) : NULL;
    return member ? member : group;
}

/* How messages speak of a section: 'endpoint "/scep"', 'listen'. */
static const char *section_label(const char *section, const config_setting_t *group, char *out,
                                 size_t cap)
{
    static const struct {
        const char *section, *thing, *name;
    } list[] = {{"authorities", "authority", "name"},
                {"templates", "template", "name"},
                {"endpoints", "endpoint", "path"},
                {"webhooks", "webhook", "name"},
                {"upstreams", "upstream", "name"},
                {"ndes", "ndes page", "path"},
                {"challenge_hooks", "challenge hook", "name"}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const char *name;
        char quoted[CONFIG_SHOWN];
        if (strcmp(section, list[i].section))
            continue;
        if (group && config_setting_lookup_string(group, list[i].name, &name))
            snprintf(out, cap, "%s \"%s\"", list[i].thing, config_shown(name, quoted));
        else
            snprintf(out, cap, "%s", list[i].thing);
        return out;
    }
    snprintf(out, cap, "%s", section[0] ? section : "the file");
    return out;
}

static const struct setting *row_of(const char *section, const char *key, struct suggest *near)
{
    for (const struct setting *s = config_schema_section(section);
         s && s->key && !strcmp(s->section, section); s++) {
        if (strcmp(s->key, key) == 0)
            return s;
        suggest_offer(near, s->key);
    }
    return NULL;
}

static void load_member(struct loader *l, const config_setting_t *at, const struct setting *row,
                        char *owner)
{
    struct config_place p = {
        .l = l, .at = at, .row = row, .field = owner + row->offset, .owner = owner};
    config_value(&p);
}

/* The default of one setting goes through the same reader as a written one. */
static void load_fallback(struct loader *l, const config_setting_t *group,
                          const struct setting *row, char *owner)
{
    char line[256];
    config_t conf;
    config_init(&conf);
    snprintf(line, sizeof line, "%s = %s;", row->key, row->fallback);
    if (config_read_string(&conf, line)) {
        config_setting_t *value = config_lookup(&conf, row->key);
        value->line = group ? config_setting_source_line(group) : 0; /* where it is missing */
        value->file = group ? config_setting_source_file(group) : NULL;
        load_member(l, value, row, owner);
    } else {
        config_mistake(l, group, "the default of %s cannot be read", row->key);
    }
    config_destroy(&conf);
}

/* Reads one group: unknown settings, what is there, what is missing.  `group` NULL: all defaults.
 */
static void load_section(struct loader *l, const char *section, const config_setting_t *group,
                         void *owner)
{
    char label[160], hint[128], quoted[CONFIG_SHOWN], inner[64];
    section_label(section, group, label, sizeof label);
    for (int i = 0; group && i < config_setting_length(group); i++) {
        const config_setting_t *at = config_setting_get_elem(group, (unsigned)i);
        struct suggest near = suggest_start(config_setting_name(at));
        if (!row_of(section, near.word, &near))
            config_mistake(l, at, "unknown setting \"%s\" in %s%s", config_shown(near.word, quoted),
                           label, suggest_text(&near, hint, sizeof hint));
    }
    for (const struct setting *row = config_schema_section(section);
         row && row->key && !strcmp(row->section, section); row++) {
        const config_setting_t *at = group ? config_setting_get_member(group, row->key) : NULL;
        if (row->type == SETTING_GROUP && section[0]) {
            snprintf(inner, sizeof inner, "%s.%s", section, row->key);
            if (at && !config_setting_is_group(at)) {
                config_mistake(l, at, "%s must be a section: %s: { ... }", row->key, row->key);
                at = NULL;
            }
            load_section(l, inner, at, owner);
        } else if (row->type != SETTING_GROUP && at) {
            unsigned before = l->problems;
            load_member(l, at, row, owner);
            /* One mistake is told once, not again by the rules between settings. */
            if (l->problems != before && row->fallback && row->type != SETTING_FILE)
                load_fallback(l, group, row, owner);
        } else if ((row->flags & SETTING_REQUIRED) && section[0]) {
            config_mistake(l, group, "%s needs \"%s\"", label, row->key);
        } else if (row->fallback) {
            load_fallback(l, group, row, owner);
        }
    }
}

/* A section of the top that stands once. */
static void load_single(struct loader *l, const config_setting_t *root, const char *section)
{
    const config_setting_t *at = config_setting_get_member(root, section);
    if (at && !config_setting_is_group(at)) {
        config_mistake(l, at, "%s must be a section: %s: { ... }", section, section);
        return;
    }
    load_section(l, section, at, l->c);
}

/* A section of the top that is a list of groups. */
struct section_list {
    const char *name;
    void *first; /* struct of the first element */
    size_t size, most;
    const config_setting_t **where;
    bool *bad; /* gets true for an element with mistakes; may be NULL */
    bool optional;
};

/* Returns how many elements there are. */
static size_t load_list(struct loader *l, const config_setting_t *root,
                        const struct section_list *s)
{
    const config_setting_t *at = config_setting_get_member(root, s->name);
    if (!at && s->optional)
        return 0;
    if (!at) {
        config_mistake(l, NULL, "the list \"%s\" is missing", s->name);
        return 0;
    }
    if (!config_setting_is_list(at) || config_setting_length(at) == 0) {
        config_mistake(l, at, "%s must be a list of one or more groups: %s = ( { ... }, { ... } );",
                       s->name, s->name);
        return 0;
    }
    size_t n = (size_t)config_setting_length(at);
    if (n > s->most) {
        config_mistake(l, at, "%s has %zu elements, at most %zu", s->name, n, s->most);
        n = s->most;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned before = l->problems;
        s->where[i] = config_setting_get_elem(at, (unsigned)i);
        if (!config_setting_is_group(s->where[i]))
            config_mistake(l, s->where[i], "element %zu of %s must be a group: { ... }", i + 1,
                           s->name);
        else
            load_section(l, s->name, s->where[i], (char *)s->first + i * s->size);
        if (s->bad)
            s->bad[i] = l->problems != before;
    }
    return n;
}

static void load_root(struct loader *l, const config_setting_t *root)
{
    struct config *c = l->c;
    const struct section_list authorities = {
        "authorities", c->authority, sizeof c->authority[0], CONFIG_MAX_AUTHORITIES, l->authority,
        NULL,          false};
    const struct section_list templates = {
        "templates",       c->template, sizeof c->template[0], CONFIG_MAX_TEMPLATES, l -> template,
        l -> template_bad, false};
    const struct section_list endpoints = {
        "endpoints", c->endpoint, sizeof c->endpoint[0], CONFIG_MAX_ENDPOINTS, l->endpoint,
        NULL,        false};
    const struct section_list webhooks = {
        "webhooks", c->webhook, sizeof c->webhook[0], CONFIG_MAX_WEBHOOKS, l->webhook, NULL, true};
    const struct section_list upstreams = {
        "upstreams", c->upstream, sizeof c->upstream[0], CONFIG_MAX_UPSTREAMS, l->upstream,
        NULL,        true};
    const struct section_list ndes = {"ndes", c->ndes, sizeof c->ndes[0], CONFIG_MAX_NDES, l->ndes,
                                      NULL,   true};
    const struct section_list hooks = {"challenge_hooks",
                                       c->challenge_hook,
                                       sizeof c->challenge_hook[0],
                                       CONFIG_MAX_CHALLENGE_HOOKS,
                                       l->challenge_hook,
                                       NULL,
                                       true};
    load_section(l, "", root, c);
    if (c->home[0])
        memcpy(l->dir, c->home, sizeof l->dir);
    load_single(l, root, "listen");
    load_single(l, root, "admin");
    load_single(l, root, "api");
    load_single(l, root, "signer");
    load_single(l, root, "ocsp");
    load_single(l, root, "profiles");
    load_single(l, root, "store");
    load_single(l, root, "challenges");
    load_single(l, root, "attempts");
    load_single(l, root, "log");
    c->authority_n = load_list(l, root, &authorities);
    c->template_n = load_list(l, root, &templates);
    c->endpoint_n = load_list(l, root, &endpoints);
    c->webhook_n = load_list(l, root, &webhooks);
    c->upstream_n = load_list(l, root, &upstreams);
    c->ndes_n = load_list(l, root, &ndes);
    c->challenge_hook_n = load_list(l, root, &hooks);
}

/* The complete path of the file and of its directory, without following a link that the file itself
 * is. */
static bool find_directory(struct loader *l)
{
    char named[PATH_MAX], full[PATH_MAX];
    struct stat st;
    const char *slash = strrchr(l->file, '/'), *name = slash ? slash + 1 : l->file;
    int n = snprintf(named, sizeof named, "%.*s.", slash ? (int)(name - l->file) : 0, l->file);
    bool fits = n > 0 && (size_t)n < sizeof named;
    if (!fits || !realpath(named, full) || stat(l->file, &st)) {
        int e = fits ? errno : ENAMETOOLONG;
        config_mistake(l, NULL, "cannot be read: %s", strerror(e));
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        config_mistake(l, NULL, "is a directory, not a file");
        return false;
    }
    size_t length = strlen(full) + 1 + strlen(name);
    if (length >= sizeof l->c->file) {
        config_mistake(l, NULL, "has too long a path: %zu octets, at most %zu", length,
                       sizeof l->c->file - 1);
        return false;
    }
    memcpy(l->dir, full, strlen(full) + 1);
    int written =
        snprintf(l->c->file, sizeof l->c->file, "%s/%s", strcmp(full, "/") ? full : "", name);
    return written > 0 && (size_t)written < sizeof l->c->file;
}

static bool read_text(config_t *conf, const char *file)
{
    int fd = file_descriptor(file);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!f) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = config_read(conf, f);
    fclose(f);
    return ok;
}

/* Which other files did the settings come from?  Those that stand in none are of no use, and
 * forgotten. */
static void list_includes(struct config *c, const config_setting_t *at)
{
    const char *file = config_setting_source_file(at);
    size_t i = 0;
    while (file && i < c->include_n && strcmp(c->include[i], file) != 0)
        i++;
    if (file && i == c->include_n && i < CONFIG_MAX_INCLUDES && strlen(file) < sizeof c->include[i])
        strcpy(c->include[c->include_n++], file);
    for (unsigned k = 0; config_setting_is_aggregate(at) && k < (unsigned)config_setting_length(at);
         k++)
        list_includes(c, config_setting_get_elem(at, k));
}

static struct config *load(const char *file, bool waiting, config_complain complain, void *ctx)
{
    struct config *c = calloc(1, sizeof *c);
    struct loader l = {.c = c, .file = file, .waiting = waiting, .complain = complain, .ctx = ctx};
    config_t conf;
    config_init(&conf);
    if (!c) {
        config_mistake(&l, NULL, "cannot be read: out of memory");
        goto out;
    }
    if (!find_directory(&l) || !config_check_includes(&l))
        goto out;
    config_set_include_dir(&conf, l.dir);
    if (!read_text(&conf, file)) {
        const char *where = config_error_file(&conf) ? config_error_file(&conf) : file;
        char message[1200];
        if (config_error_type(&conf) == CONFIG_ERR_PARSE)
            snprintf(message, sizeof message, "%s:%d: %s", where, config_error_line(&conf),
                     config_error_text(&conf));
        else
            snprintf(message, sizeof message, "%s: cannot be read: %s", file, strerror(errno));
        l.problems++;
        complain(ctx, message);
        goto out;
    }
    l.root = config_root_setting(&conf);
    list_includes(c, l.root);
    load_root(&l, l.root);
    config_check(&l);
out:
    config_destroy(&conf);
    if (l.problems) {
        config_free(c);
        c = NULL;
    }
    return c;
}

struct config *config_load(const char *file, config_complain complain, void *ctx)
{
    return load(file, false, complain, ctx);
}

struct first {
    size_t n;
    char text[256];
};

static void keep_first(void *ctx, const char *message)
{
    struct first *f = ctx;
    if (f->n++ == 0)
        snprintf(f->text, sizeof f->text, "%s", message);
}

struct config *config_load_first(const char *file, struct err *err)
{
    struct first first = {.n = 0};
    struct config *c = config_load(file, keep_first, &first);
    if (!c)
        err_set(err, ERR_CONFIG, "%s%s", first.text, first.n > 1 ? ", and more" : "");
    return c;
}

struct config *config_load_waiting(const char *file, config_complain complain, void *ctx)
{
    return load(file, true, complain, ctx);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->template_n; i++)
        template_clear(&c->template[i]);
    for (size_t i = 0; i < c->endpoint_n; i++)
        for (size_t k = 0; k < c->endpoint[i].alias_n; k++)
            free(c->endpoint[i].alias[k]);
    for (size_t i = 0; i < c->endpoint_n; i++)
        for (size_t k = 0; k < c->endpoint[i].notify_n; k++)
            free(c->endpoint[i].notify[k]);
    for (size_t i = 0; i < c->admin_allow_n; i++)
        free(c->admin_allow[i]);
    free(c);
}

const char *config_find(const char *from_option, char buf[512])
{
    const char *file = getenv("SCEPD_CONF"), *home = getenv("SCEPD_HOME");
    if (from_option)
        snprintf(buf, 512, "%s", from_option);
    else if (file && file[0])
        snprintf(buf, 512, "%s", file);
    else if (home && home[0])
        snprintf(buf, 512, "%s/scepd.conf", home);
    else
        snprintf(buf, 512, "/etc/scepd/scepd.conf");
    return buf;
}

const struct config_endpoint *config_endpoint_by_path(const struct config *c, const char *path)
{
    for (size_t i = 0; i < c->endpoint_n; i++) {
        const struct config_endpoint *e = &c->endpoint[i];
        if (strcmp(e->path, path) == 0)
            return e;
        for (size_t k = 0; k < e->alias_n; k++)
            if (strcmp(e->alias[k], path) == 0)
                return e;
    }
    return NULL;
}

/* ---- where the keys are ---- */

#define KEY_PATHS 7

static void key_paths(const struct config_authority *a, const char *out[KEY_PATHS])
{
    const char *paths[KEY_PATHS] = {
        a->key,      a->passphrase_file, a->ra_key, a->ra_signing_key, a->ra_encryption_key,
        a->root_key, a->directory};
    memcpy(out, paths, sizeof paths);
}

bool config_key_file(const struct config *c, const char *path)
{
    const char *keys[KEY_PATHS];
    for (size_t i = 0; i < c->authority_n; i++) {
        key_paths(&c->authority[i], keys);
        for (size_t k = 0; k < KEY_PATHS; k++)
            if (keys[k][0] && strcmp(keys[k], path) == 0)
                return true;
    }
    return config_outside_secret(c, path);
}

bool config_keys_beneath(const struct config *c, const char *directory)
{
    const char *keys[KEY_PATHS];
    size_t n = strlen(directory);
    for (size_t i = 0; i < c->authority_n; i++) {
        key_paths(&c->authority[i], keys);
        for (size_t k = 0; k < KEY_PATHS; k++)
            if (strncmp(keys[k], directory, n) == 0 && (keys[k][n] == '/' || !keys[k][n]))
                return true;
    }
    return config_outside_secret_beneath(c, directory);
}
