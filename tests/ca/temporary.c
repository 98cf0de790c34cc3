#include "temporary.h"

#include <check.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void temporary_make(struct temporary *t)
{
    const char *root = getenv("TMPDIR");
    *t = (struct temporary){0};
    snprintf(t->path, sizeof t->path, "%s/scepd-test-XXXXXX", root && root[0] ? root : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(t->path));
}

const char *temporary_path(struct temporary *t, const char *name)
{
    char *out = t->name[t->next++ % 8];
    size_t n = strlen(t->path), m = strlen(name);
    ck_assert_uint_lt(n + 1 + m, sizeof t->name[0]);
    memcpy(out, t->path, n);
    out[n] = '/';
    memcpy(out + n + 1, name, m + 1);
    return out;
}

unsigned temporary_count(const struct temporary *t)
{
    unsigned n = 0;
    DIR *d = opendir(t->path);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

void temporary_remove(struct temporary *t)
{
    if (t->path[0])
        nftw(t->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    t->path[0] = '\0';
}
