/* Names with wildcards, and files of comma-separated values.  The first octet says which.  No value
 * changes the structure of a name: its binding reads as many attributes as the pattern has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/names.h"
#include "fuzz.h"
#include "table.h"

#define TEXTS (2 + FLEET_WILDCARDS) /* both patterns, then the values */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

static size_t attributes(const char *text)
{
    struct name n = {0};
    struct err err = {0};
    size_t count = name_from_text(text, &n, &err) ? n.n : 0;
    name_clear(&n);
    return count;
}

/* `texts`: one behind another, each with its NUL. */
static void try_names(char *texts, size_t size)
{
    const char *text[TEXTS];
    struct fleet_values v;
    struct fleet_names names;
    struct err err = {0};
    bool unique;
    char *end = texts + size;
    for (size_t i = 0; i < TEXTS; i++) {
        text[i] = texts < end ? texts : "";
        texts += texts < end ? strlen(texts) + 1 : 0;
    }
    for (size_t i = 0; i < FLEET_WILDCARDS; i++)
        v.value[i] = text[2 + i];
    fleet_pattern_check(text[0], text[1], &unique, &err);
    err = (struct err){0};
    if (!fleet_names_fill(text[0], text[1], &v, &names, &err)) {
        if (err.kind != ERR_CONFIG)
            abort();
        return;
    }
    if (attributes(names.subject_binding) != attributes(text[0]) ||
        attributes(names.subject) != attributes(text[0]))
        abort();
}

static bool look(void *ctx, const struct table_row *row)
{
    size_t *rows = ctx;
    for (size_t i = 0; i < row->n && i < TABLE_FIELDS; i++)
        *rows += strlen(row->field[i]) > TABLE_ROW_MAX;
    return row->line > 0;
}

static void try_table(const uint8_t *data, size_t size)
{
    size_t wrong = 0;
    struct err err = {0};
    FILE *in = size ? fmemopen((void *)data, size, "r") : NULL;
    if (!in)
        return;
    if ((!table_read(in, look, &wrong, &err) && err.kind != ERR_CONFIG) || wrong)
        abort();
    fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & 1) {
        try_table(data + 1, size - 1);
        return 0;
    }
    char *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data + 1, size - 1);
    copy[size - 1] = '\0';
    try_names(copy, size);
    free(copy);
    return 0;
}
