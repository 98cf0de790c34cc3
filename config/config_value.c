/* Each type of setting: how its value is read, and what is wrong with it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "config/suggest.h"
#include "config_internal.h"

static void wrong(const struct config_place *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void wrong(const struct config_place *p, const char *fmt, ...)
{
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    config_mistake(p->l, p->at, "%s %s", p->row->key, text);
}

const char *config_shown(const char *value, char out[CONFIG_SHOWN])
{
    text_printable(view_str(value), out, CONFIG_SHOWN);
    return out;
}

/* A text setting's value; NULL after a complaint. */
static const char *text_of(const struct config_place *p)
{
    if (config_setting_type(p->at) == CONFIG_TYPE_STRING)
        return config_setting_get_string(p->at);
    wrong(p, "must be a %s in quotes", setting_type_name(p->row->type));
    return NULL;
}

static bool number_of(const struct config_place *p, const config_setting_t *at, int64_t *out)
{
    int type = config_setting_type(at);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
        wrong(p, "must be a %s without quotes", setting_type_name(p->row->type));
        return false;
    }
    int64_t value =
        type == CONFIG_TYPE_INT ? config_setting_get_int(at) : config_setting_get_int64(at);
    if (value < p->row->min || value > p->row->max) {
        wrong(p, "= %lld is out of range: %lld to %lld", (long long)value, (long long)p->row->min,
              (long long)p->row->max);
        return false;
    }
    *out = value;
    return true;
}

/* All members of an array or list are texts? */
static bool texts_only(const struct config_place *p)
{
    int type = config_setting_type(p->at);
    bool good = type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
    for (int i = 0; good && i < config_setting_length(p->at); i++)
        good =
            config_setting_type(config_setting_get_elem(p->at, (unsigned)i)) == CONFIG_TYPE_STRING;
    if (!good)
        wrong(p, "must be a %s: [\"...\", \"...\"]", setting_type_name(p->row->type));
    return good;
}

static void load_text(const struct config_place *p)
{
    char quoted[CONFIG_SHOWN];
    const char *value = text_of(p);
    if (!value)
        return;
    if (strlen(value) >= p->row->size) {
        wrong(p, "= \"%s\" is too long: %zu octets, at most %zu", config_shown(value, quoted),
              strlen(value), p->row->size - 1);
        return;
    }
    if ((int64_t)strlen(value) < p->row->min) {
        wrong(p, "must not be empty");
        return;
    }
    for (const struct setting_word *w = p->row->words; w; w++) {
        if (!w->word) {
            char range[256];
            wrong(p, "= \"%s\" is none of: %s", config_shown(value, quoted),
                  setting_range_text(p->row, range, sizeof range));
            return;
        }
        if (strcmp(w->word, value) == 0)
            break;
    }
    memcpy(p->field, value, strlen(value) + 1);
}

static void load_string(const struct config_place *p)
{
    const char *value = text_of(p);
    if (!value)
        return;
    char *copy = strdup(value);
    if (!copy)
        wrong(p, "cannot be kept: out of memory");
    else {
        free(*(char **)(void *)p->field);
        *(char **)(void *)p->field = copy;
    }
}

static void load_strings(const struct config_place *p)
{
    if (!texts_only(p))
        return;
    char **list = (char **)(void *)p->field;
    size_t *count = (size_t *)(void *)(p->owner + p->row->count_offset);
    size_t most = p->row->size / sizeof(char *), n = (size_t)config_setting_length(p->at);
    if (n > most) {
        wrong(p, "has %zu elements, at most %zu", n, most);
        return;
    }
    while (*count)
        free(list[--*count]);
    for (size_t i = 0; i < n; i++) {
        if (!(list[i] = strdup(config_setting_get_string_elem(p->at, (int)i)))) {
            wrong(p, "cannot be kept: out of memory");
            return;
        }
        *count = i + 1;
    }
}

/* A path as it is, or taken from `home` or the directory of the file. */
static bool complete_path(const struct config_place *p, const char *value, char out[CONFIG_PATH])
{
    char quoted[CONFIG_SHOWN];
    int n = value[0] == '/' ? snprintf(out, CONFIG_PATH, "%s", value)
                            : snprintf(out, CONFIG_PATH, "%s/%s", p->l->dir, value);
    if (value[0] == '\0')
        wrong(p, "must not be empty");
    else if (n >= CONFIG_PATH)
        wrong(p, "= \"%s\" is too long: %d octets with its directory, at most %d",
              config_shown(value, quoted), n, CONFIG_PATH - 1);
    else
        return true;
    return false;
}

/* Of an authority that waits for its certificate: the request lies where the certificate will. */
static bool waits(const struct config_place *p, char csr[CONFIG_PATH])
{
    const config_setting_t *authority = config_setting_parent(p->at);
    const char *certificate = NULL;
    struct stat st;
    if (authority && !config_setting_lookup_string(authority, "certificate", &certificate))
        return false;
    if (!certificate || !complete_path(p, certificate, csr) || strlen(csr) < 5 ||
        strcmp(csr + strlen(csr) - 4, ".pem") != 0 || stat(csr, &st) == 0)
        return false;
    memcpy(csr + strlen(csr) - 4, ".csr", 5);
    return stat(csr, &st) == 0;
}

/* True: it is not there, and need not be. */
static bool may_be_missing(const struct config_place *p)
{
    char csr[CONFIG_PATH];
    if (strcmp(p->row->section, "api") == 0)
        return p->l->waiting;
    if (strcmp(p->row->section, "authorities") != 0 || !waits(p, csr))
        return false;
    if (!p->l->waiting && strcmp(p->row->key, "certificate") == 0)
        config_mistake(p->l, p->at,
                       "the authority has no certificate yet: have %s signed by its root, then "
                       "run: scepctl ca install ANSWER",
                       csr);
    return true;
}

static bool file_exists(const struct config_place *p, const char *path)
{
    struct stat st;
    if (stat(path, &st)) {
        int e = errno;
        if (e == ENOENT && may_be_missing(p))
            return true;
        wrong(p, "names %s: %s%s", path, strerror(e),
              e == ENOENT && strcmp(p->row->section, "api") == 0
                  ? " (scepctl ca tls --host NAME makes it)"
                  : "");
    } else if (!S_ISREG(st.st_mode)) {
        wrong(p, "names %s: not a file", path);
    } else {
        return true;
    }
    return false;
}

static void load_path(const struct config_place *p)
{
    char path[CONFIG_PATH];
    const char *value = text_of(p);
    if (!value || !complete_path(p, value, path))
        return;
    if (p->row->type == SETTING_FILE && !file_exists(p, path))
        return;
    memcpy(p->field, path, strlen(path) + 1);
}

static void load_files(const struct config_place *p)
{
    if (!texts_only(p))
        return;
    char(*list)[CONFIG_PATH] = (char(*)[CONFIG_PATH])(void *)p->field;
    size_t *count = (size_t *)(void *)(p->owner + p->row->count_offset);
    size_t most = p->row->size / CONFIG_PATH, n = (size_t)config_setting_length(p->at);
    if (n > most) {
        wrong(p, "has %zu elements, at most %zu", n, most);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char path[CONFIG_PATH];
        if (!complete_path(p, config_setting_get_string_elem(p->at, (int)i), path) ||
            !file_exists(p, path))
            continue;
        memcpy(list[(*count)++], path, strlen(path) + 1);
    }
}

static void load_url(const struct config_place *p)
{
    char quoted[CONFIG_SHOWN];
    const char *value = text_of(p);
    if (!value)
        return;
    bool http = strncmp(value, "http://", 7) == 0, https = strncmp(value, "https://", 8) == 0;
    const char *host = value + (https ? 8 : 7);
    if (https && p->row->type == SETTING_HTTP_URL) {
        wrong(p,
              "= \"%s\" must begin with http://: the list and the certificate are signed "
              "themselves, and what "
              "fetches them often speaks no https",
              config_shown(value, quoted));
        return;
    }
    if ((!http && !https) || host[0] == '\0' || host[0] == '/') {
        wrong(p, "= \"%s\" is no address like http://scep.example.org",
              config_shown(value, quoted));
        return;
    }
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f || strchr("\"<>\\^`{|}", *c)) {
            wrong(p, "= \"%s\" has a character that no URL may have", config_shown(value, quoted));
            return;
        }
    load_text(p);
}

static void load_bool(const struct config_place *p)
{
    if (config_setting_type(p->at) != CONFIG_TYPE_BOOL)
        wrong(p, "must be true or false, without quotes");
    else
        *(bool *)(void *)p->field = config_setting_get_bool(p->at) != 0;
}

static void load_number(const struct config_place *p)
{
    int64_t value;
    if (!number_of(p, p->at, &value))
        return;
    if (p->row->type == SETTING_GIB)
        *(uint64_t *)(void *)p->field = (uint64_t)value << 30;
    else
        *(int *)(void *)p->field = (int)value;
}

static void load_duration(const struct config_place *p)
{
    char quoted[CONFIG_SHOWN], range[96];
    int type = config_setting_type(p->at);
    if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) {
        wrong(p, "= %lld: a duration is a text with a unit: \"30d\", \"12h\", \"90m\"",
              (long long)(type == CONFIG_TYPE_INT ? config_setting_get_int(p->at)
                                                  : config_setting_get_int64(p->at)));
        return;
    }
    const char *value = text_of(p);
    if (!value)
        return;
    int64_t seconds = text_duration(value);
    if (seconds < 0) {
        bool digits = value[0] && strspn(value, "0123456789") == strlen(value);
        wrong(p,
              digits ? "= \"%s\": a duration needs a unit: 30d, 12h, 90m"
                     : "= \"%s\" is no duration like 30d, 12h, 90m",
              config_shown(value, quoted));
        return;
    }
    if (seconds < p->row->min || seconds > p->row->max) {
        wrong(p, "= \"%s\" is out of range: %s", config_shown(value, quoted),
              setting_range_text(p->row, range, sizeof range));
        return;
    }
    if (p->row->type == SETTING_SECONDS)
        *(int *)(void *)p->field = (int)seconds;
    else
        *(int64_t *)(void *)p->field = seconds;
}

static bool word_value(const struct config_place *p, const char *word, unsigned *out)
{
    char quoted[CONFIG_SHOWN], hint[128], range[256];
    struct suggest near = suggest_start(word);
    for (const struct setting_word *w = p->row->words; w->word; w++) {
        if (strcmp(w->word, word) == 0) {
            *out = w->value;
            return true;
        }
        suggest_offer(&near, w->word);
    }
    wrong(p, "= \"%s\" is none of: %s%s", config_shown(word, quoted),
          setting_range_text(p->row, range, sizeof range), suggest_text(&near, hint, sizeof hint));
    return false;
}

static void load_choice(const struct config_place *p)
{
    unsigned value;
    const char *word = text_of(p);
    if (!word || !word_value(p, word, &value))
        return;
    if (p->row->size == sizeof(bool))
        *(bool *)(void *)p->field = value != 0;
    else
        memcpy(p->field, &value, sizeof value);
}

static void load_set(const struct config_place *p)
{
    unsigned set = 0, value;
    if (config_setting_type(p->at) == CONFIG_TYPE_STRING) {
        if (!word_value(p, config_setting_get_string(p->at), &set))
            return;
    } else {
        if (!texts_only(p))
            return;
        for (int i = 0; i < config_setting_length(p->at); i++) {
            if (!word_value(p, config_setting_get_string_elem(p->at, i), &value))
                return;
            set |= value;
        }
    }
    memcpy(p->field, &set, sizeof set);
}

static void load_range(const struct config_place *p)
{
    unsigned *pair = (unsigned *)(void *)p->field;
    int type = config_setting_type(p->at), n = config_setting_length(p->at);
    if ((type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST) || (n != 0 && n != 2)) {
        wrong(p, "must be a list of two numbers, smallest and largest, or []");
        return;
    }
    int64_t low = 0, high = 0;
    if (n == 2 && (!number_of(p, config_setting_get_elem(p->at, 0), &low) ||
                   !number_of(p, config_setting_get_elem(p->at, 1), &high)))
        return;
    if (low > high) {
        wrong(p, "= [%lld, %lld]: the smallest comes first", (long long)low, (long long)high);
        return;
    }
    pair[0] = (unsigned)low;
    pair[1] = (unsigned)high;
}

static void load_oids(const struct config_place *p)
{
    if (!texts_only(p))
        return;
    struct eku set = {0};
    for (int i = 0; i < config_setting_length(p->at); i++) {
        char oid[OID_TEXT_MAX], quoted[CONFIG_SHOWN];
        const char *name = config_setting_get_string_elem(p->at, i);
        if (!eku_by_name(name, oid)) {
            wrong(p, "= \"%s\" is neither a known purpose nor a dotted OID",
                  config_shown(name, quoted));
            return;
        }
        if (!eku_add(&set, oid)) {
            wrong(p, "has more than %d elements", EKU_MAX);
            return;
        }
    }
    memcpy(p->field, &set, sizeof set);
}

void config_value(const struct config_place *p)
{
    switch (p->row->type) {
    case SETTING_TEXT:
        load_text(p);
        break;
    case SETTING_STRING:
        load_string(p);
        break;
    case SETTING_STRINGS:
        load_strings(p);
        break;
    case SETTING_PATH:
    case SETTING_FILE:
        load_path(p);
        break;
    case SETTING_FILES:
        load_files(p);
        break;
    case SETTING_URL:
    case SETTING_HTTP_URL:
        load_url(p);
        break;
    case SETTING_BOOL:
        load_bool(p);
        break;
    case SETTING_INT:
    case SETTING_GIB:
        load_number(p);
        break;
    case SETTING_SECONDS:
    case SETTING_DURATION:
        load_duration(p);
        break;
    case SETTING_CHOICE:
        load_choice(p);
        break;
    case SETTING_SET:
        load_set(p);
        break;
    case SETTING_RANGE:
        load_range(p);
        break;
    case SETTING_OIDS:
        load_oids(p);
        break;
    case SETTING_GROUP: /* load_section goes into it */
        break;
    }
}
