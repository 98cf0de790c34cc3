/* Between config.c (reads every setting) and config_check.c (rules between settings). */
#pragma once

#include <libconfig.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/config_schema.h"

struct loader {
    struct config *c;
    const char *file;              /* as the caller wrote it, for messages */
    char dir[CONFIG_PATH];         /* complete, of the file */
    config_complain complain;
    void *ctx;
    unsigned problems;
    bool waiting;                  /* config_load_waiting */
    /* where each thing stands, for the rules between settings */
    const config_setting_t *root;
    const config_setting_t *authority[CONFIG_MAX_AUTHORITIES];
    const config_setting_t *template[CONFIG_MAX_TEMPLATES];
    const config_setting_t *endpoint[CONFIG_MAX_ENDPOINTS];
    const config_setting_t *webhook[CONFIG_MAX_WEBHOOKS];
    const config_setting_t *upstream[CONFIG_MAX_UPSTREAMS];
    const config_setting_t *ndes[CONFIG_MAX_NDES];
    const config_setting_t *challenge_hook[CONFIG_MAX_CHALLENGE_HOOKS];
    bool template_bad[CONFIG_MAX_TEMPLATES]; /* a setting in it was complained about */
};

/* Reports a mistake in the file's line of `at` (NULL: in no line). */
void config_mistake(struct loader *l, const config_setting_t *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The setting of this name in a group, or the group itself: to point at. */
const config_setting_t *config_at(const config_setting_t *group, const char *key);
/* One setting while it is read: where it stands, its row, and the struct that gets it. */
struct config_place {
    struct loader *l;
    const config_setting_t *at;
    const struct setting *row;
    char *field;
    char *owner;
};
/* config_value.c: by its row's type, complaining. */
void config_value(const struct config_place *p);
#define CONFIG_SHOWN 96 /* octets of a value that a message repeats */
const char *config_shown(const char *value, char out[CONFIG_SHOWN]);
/* config_include.c: false, with a mistake told, when an @include names something that is no file.  libconfig opens whatever
 * it is by itself: a directory then ends the process, on which a reload may run, and a FIFO holds it for ever. */
bool config_check_includes(struct loader *l);
/* Names, references, combinations. */
void config_check(struct loader *l);
/* config_outside.c: webhooks, upstreams, and what endpoints say of them. */
void config_check_outside(struct loader *l);
/* Is it a file with a secret for servers elsewhere; is one beneath the directory? */
bool config_outside_secret(const struct config *c, const char *path);
bool config_outside_secret_beneath(const struct config *c, const char *directory);
/* The part of it about what hands out challenges. */
void config_check_ndes(struct loader *l);
/* Is it what the path of a URL may be, as endpoints have it, in fewer than `cap` octets?  Complains otherwise. */
bool config_check_url_path(struct loader *l, const config_setting_t *at, const char *path, size_t cap);

/* profiles */
void config_check_profiles(struct loader *l);
/* config_clock.c: may what cannot be taken back be done at `now`, Unix seconds?  False (ERR_CONFLICT) when nothing was recorded for
 * 90 days before and the clock has not gone on for a day since: whether a machine was off or its clock is wrong cannot be told
 * at once.  Records when it began to ask. */
bool config_clock_believed(struct store *s, int64_t now, struct err *err);
