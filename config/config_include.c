#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ca/keyfile.h"
#include "config_internal.h"

/* As deep as libconfig follows them, and not more of them in all: a file may name itself twice. */
#define MAX_DEPTH 10
#define MAX_LOOKED_AT 256

struct includes {
    struct loader *l;
    unsigned looked_at;
};

/* What stands between the quotes, where the line is an @include as libconfig's scanner sees it. */
static bool include_named(const char *line, char *name, size_t cap)
{
    line += strspn(line, " \t");
    if (strncmp(line, "@include", 8) != 0)
        return false;
    line += 8;
    line += strspn(line, " \t");
    size_t n = *line == '"' ? strcspn(line + 1, "\"\n") : 0;
    if (n == 0 || n >= cap || line[1 + n] != '"')
        return false;
    memcpy(name, line + 1, n);
    name[n] = '\0';
    return true;
}

/* In what a line begins. */
enum within { PLAIN, COMMENT, STRING };

static const char *next_line(const char *p, enum within *in)
{
    for (; *p && *p != '\n'; p++) {
        if (*in == COMMENT && p[0] == '*' && p[1] == '/') {
            *in = PLAIN;
            p++;
        } else if (*in == STRING && p[0] == '\\' && p[1] && p[1] != '\n') {
            p++;
        } else if (*in != COMMENT && *p == '"') {
            *in = *in == STRING ? PLAIN : STRING;
        } else if (*in == PLAIN && (*p == '#' || (p[0] == '/' && p[1] == '/'))) {
            p += strcspn(p, "\n") - 1;
        } else if (*in == PLAIN && p[0] == '/' && p[1] == '*') {
            *in = COMMENT;
            p++;
        }
    }
    return *p ? p + 1 : NULL;
}

static bool check_file(struct includes *in, const char *path, int depth);

static bool check_include(struct includes *in, const char *name, int depth)
{
    char path[2 * CONFIG_PATH];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", in->l->dir, name);
    if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) != 0)
        return true; /* libconfig cannot open it either, and says so with its line */
    if (S_ISREG(st.st_mode))
        return depth >= MAX_DEPTH || check_file(in, path, depth + 1);
    config_mistake(in->l, NULL, "@include \"%s\" names %s, not a file", name,
                   S_ISDIR(st.st_mode) ? "a directory" : "a FIFO, a device or a socket");
    return false;
}

static bool check_file(struct includes *in, const char *path, int depth)
{
    struct buf text = {0};
    struct err err = {0};
    char name[CONFIG_PATH];
    enum within within = PLAIN;
    bool ok = true;
    if (in->looked_at++ < MAX_LOOKED_AT && file_read(path, &text, &err) &&
        buf_append(&text, "", 1)) {
        const char *line = (const char *)text.p;
        while (ok && line) {
            if (within == PLAIN && include_named(line, name, sizeof name))
                ok = check_include(in, name, depth);
            line = next_line(line, &within);
        }
    }
    buf_clear(&text);
    return ok;
}

bool config_check_includes(struct loader *l)
{
    struct includes in = {.l = l};
    return check_file(&in, l->file, 1);
}
