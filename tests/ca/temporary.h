/* A directory of its own for one test. */
#pragma once

#include <stddef.h>

struct temporary {
    char path[256];
    char name[8][384]; /* what temporary_path handed out last */
    unsigned next;
};

void temporary_make(struct temporary *t);
/* PATH/NAME; valid until eight calls later. */
const char *temporary_path(struct temporary *t, const char *name);
unsigned temporary_count(const struct temporary *t); /* entries */
void temporary_remove(struct temporary *t); /* with all that is in it */
