/* Feeds every file of the folders and files named to one fuzz target: the corpus as a test on any
 * compiler.  A target that can change its input (fuzz_change) gets so many changes of each as well
 * (first argument, -N), always the same ones. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define CHAIN 4 /* changes on top of each other */

static unsigned long files, changed;
static unsigned changes;

static void feed_octets(struct view in)
{
    uint8_t *exact = malloc(in.n ? in.n : 1); /* so that a sanitizer sees reads past the end */
    if (!exact)
        abort();
    if (in.n)
        memcpy(exact, in.p, in.n);
    LLVMFuzzerTestOneInput(exact, in.n);
    free(exact);
}

static void feed_changed(struct view in)
{
    struct buf now = {0}, next = {0};
    for (unsigned seed = 0; fuzz_change && seed < changes; seed++) {
        struct random r = random_from(seed);
        if (seed % CHAIN == 0) {
            buf_reset(&now);
            if (!buf_append(&now, in.p, in.n))
                abort();
        }
        if (!fuzz_change(buf_view(&now), &r, &next))
            continue;
        buf_clear(&now);
        now = next;
        next = (struct buf){0};
        feed_octets(buf_view(&now));
        changed++;
    }
    buf_clear(&now);
    buf_clear(&next);
}

static void feed_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return;
    static uint8_t data[1 << 20];
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    feed_octets(view_of(data, n));
    feed_changed(view_of(data, n));
    files++;
}

static void feed(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    if (!S_ISDIR(st.st_mode)) {
        feed_file(path);
        return;
    }
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.')
            feed_file(name);
    }
    if (d)
        closedir(d);
}

int main(int argc, char **argv)
{
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-')
            changes = (unsigned)atoi(argv[i] + 1);
        else
            feed(argv[i]);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("%lu inputs, %lu changed ones\n", files, changed);
    return files && (!changes || changed) ? 0 : 1;
}
