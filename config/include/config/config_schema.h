/* The one table of every setting of scepd.conf.  The loader walks it; `scepctl config schema`
 * prints it; scepd.conf(5) and the sample file are tested against it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_TEXT,     /* char[] */
    SETTING_STRING,   /* char *, owned */
    SETTING_STRINGS,  /* char *[], owned, and a count */
    SETTING_PATH,     /* char[], completed from `home` or the directory of the file */
    SETTING_FILE,     /* the same; it must exist */
    SETTING_FILES,    /* char[][CONFIG_PATH], and a count */
    SETTING_URL,      /* char[], http:// or https:// */
    SETTING_HTTP_URL, /* char[], http:// only: what verifies certificates does not speak https */
    SETTING_BOOL,     /* bool */
    SETTING_INT,      /* int */
    SETTING_GIB,      /* uint64_t octets, written in GiB */
    SETTING_SECONDS,  /* int, written as a duration */
    SETTING_DURATION, /* int64_t seconds */
    SETTING_CHOICE,   /* int-sized enum or bool: one of the words */
    SETTING_SET,      /* unsigned: bits of one word or a list of words */
    SETTING_RANGE,    /* two unsigned, minimum and maximum; an empty list gives 0 and 0 */
    SETTING_OIDS,     /* struct eku: purposes by name or dotted */
    SETTING_GROUP,    /* a section of its own inside this one */
};

#define CONFIG_PATH 512 /* octets of a path in struct config */

struct setting_word {
    const char *word; /* NULL ends */
    unsigned value;
};

enum setting_flag {
    SETTING_REQUIRED = 1u << 0,
    SETTING_FIXED = 1u << 1, /* stays as it was at start; all others are reloadable: SIGHUP lets them take effect */
};

struct setting {
    const char *section;   /* "" for the top of the file */
    const char *key;
    enum setting_type type;
    size_t offset, size;   /* of the field in the section's struct; size in octets */
    size_t count_offset;   /* of the count that belongs to a list */
    int64_t min, max;      /* numbers and durations; with SETTING_TEXT the fewest characters */
    const struct setting_word *words;
    const char *fallback;  /* the default as it would be written in the file; NULL: none */
    unsigned flags;        /* SETTING_REQUIRED, SETTING_FIXED */
    const char *help;      /* one sentence */
};

/* Ends with a row whose key is NULL; rows of a section stand together. */
extern const struct setting config_schema[];

/* A name for people: "duration", "list of texts" ... */
const char *setting_type_name(enum setting_type type);
/* "1 to 65535", "one of: debug, info"; "" when there is no limit worth telling. */
const char *setting_range_text(const struct setting *s, char *out, size_t cap);
/* First row of a section, NULL if there is none. */
const struct setting *config_schema_section(const char *section);
