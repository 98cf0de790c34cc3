#include "config/config_live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_schema.h"

bool config_set_listen(struct config *c, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return false;
    size_t n = (size_t)(colon - text);
    char *end;
    long port = strtol(colon + 1, &end, 10);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (colon[1] == '\0' || *end || port < 0 || port > 65535 || n >= sizeof c->address)
        return false;
    memcpy(c->address, text, n);
    c->address[n] = '\0';
    c->port = (int)port;
    return true;
}

static const char *word_of(const struct setting *s, unsigned value)
{
    for (const struct setting_word *w = s->words; w && w->word; w++)
        if (w->value == value)
            return w->word;
    return "";
}

/* Whole numbers, whatever they are kept in. */
static long long number_of(const struct setting *s, const void *field)
{
    int64_t wide = 0;
    int narrow = 0;
    bool flag = false;
    if (s->size == sizeof wide) {
        memcpy(&wide, field, sizeof wide);
        return wide;
    }
    if (s->size == sizeof flag) {
        memcpy(&flag, field, sizeof flag);
        return flag;
    }
    memcpy(&narrow, field, sizeof narrow);
    return narrow;
}

static void show(const struct setting *s, const void *field, char out[CONFIG_SHOWN])
{
    switch (s->type) {
    case SETTING_TEXT:
    case SETTING_PATH:
    case SETTING_FILE:
    case SETTING_URL:
    case SETTING_HTTP_URL:
        snprintf(out, CONFIG_SHOWN, "%s", (const char *)field);
        return;
    case SETTING_GIB:
        snprintf(out, CONFIG_SHOWN, "%lld", number_of(s, field) >> 30);
        return;
    case SETTING_SECONDS:
    case SETTING_DURATION:
        snprintf(out, CONFIG_SHOWN, "%llds", number_of(s, field));
        return;
    case SETTING_BOOL:
        snprintf(out, CONFIG_SHOWN, "%s", number_of(s, field) ? "true" : "false");
        return;
    case SETTING_CHOICE:
        snprintf(out, CONFIG_SHOWN, "%s", word_of(s, (unsigned)number_of(s, field)));
        return;
    case SETTING_INT:
        snprintf(out, CONFIG_SHOWN, "%lld", number_of(s, field));
        return;
    case SETTING_STRING:
    case SETTING_STRINGS:
    case SETTING_FILES:
    case SETTING_SET:
    case SETTING_RANGE:
    case SETTING_OIDS:
    case SETTING_GROUP:
        break;
    }
    snprintf(out, CONFIG_SHOWN, "(another value)");
}

static bool is_text(const struct setting *s)
{
    return s->type == SETTING_TEXT || s->type == SETTING_PATH || s->type == SETTING_FILE ||
           s->type == SETTING_URL || s->type == SETTING_HTTP_URL;
}

void config_keep_fixed(const struct config *running, struct config *next, config_stays tell,
                       void *ctx)
{
    for (const struct setting *s = config_schema; s->key; s++) {
        if (!(s->flags & SETTING_FIXED))
            continue;
        const char *old = (const char *)running + s->offset;
        char *wanted = (char *)next + s->offset;
        if (is_text(s) ? strcmp(old, wanted) == 0 : memcmp(old, wanted, s->size) == 0)
            continue;
        char name[96], was[CONFIG_SHOWN], is[CONFIG_SHOWN];
        snprintf(name, sizeof name, "%s%s%s", s->section, s->section[0] ? "." : "", s->key);
        show(s, old, was);
        show(s, wanted, is);
        memcpy(wanted, old, s->size);
        tell(ctx, name, was, is);
    }
}
