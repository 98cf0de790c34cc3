/* console-bundle OUT.c DIRECTORY FILE...: the files, paths below DIRECTORY, as one C table,
 * plain and gzip'd: a daemon has nothing to unpack, whoever asks.
 *
 * What lies below assets/ gets a directory whose name is made from the content of all of it, so
 * that a browser may keep it for good and never mixes two versions; index.html is told that name
 * where it says "assets/".  The modules name each other relatively.  The same files give the same
 * octets: no time and no system stands in the gzip header (RFC 1952 section 2.3.1). */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <zlib.h>

#define MAX_FILE ((size_t)1 << 20)
#define HASH_CHARS 16
static const char assets[] = "assets/";

struct file {
    const char *path;
    unsigned char *p;
    size_t n;
    char sha256[65];
};

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "console-bundle: %s: %s\n", name, what);
    exit(1);
}

static void *must(void *p)
{
    if (!p)
        fail("out of memory", "bundle");
    return p;
}

static void sha256_hex(const void *p, size_t n, char out[65])
{
    unsigned char d[32];
    if (!EVP_Digest(p, n, d, NULL, EVP_sha256(), NULL))
        fail("SHA-256 failed", "bundle");
    for (size_t i = 0; i < sizeof d; i++)
        snprintf(out + 2 * i, 3, "%02x", d[i]);
}

static void file_load(const char *dir, const char *path, struct file *out)
{
    char full[4096];
    if (snprintf(full, sizeof full, "%s/%s", dir, path) >= (int)sizeof full)
        fail("path too long", path);
    FILE *f = fopen(full, "rb");
    if (!f)
        fail("cannot open", full);
    out->path = path;
    out->p = must(malloc(MAX_FILE));
    out->n = fread(out->p, 1, MAX_FILE, f);
    if (out->n == MAX_FILE || out->n == 0 || ferror(f))
        fail("empty, too large or unreadable", full);
    fclose(f);
    sha256_hex(out->p, out->n, out->sha256);
}

/* The name of what stands for assets/: of all names and contents, in the order given. */
static void version_name(const struct file *file, size_t n, char out[HASH_CHARS + 1])
{
    char hex[65];
    size_t cap = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        cap += strlen(file[i].path) + sizeof file[i].sha256 + 2;
    char *all = must(malloc(cap + 1));
    for (size_t i = 0; i < n; i++)
        if (strncmp(file[i].path, assets, strlen(assets)) == 0)
            at += (size_t)snprintf(all + at, cap + 1 - at, "%s %s\n", file[i].path, file[i].sha256);
    sha256_hex(all, at, hex);
    free(all);
    snprintf(out, HASH_CHARS + 1, "%.*s", HASH_CHARS, hex);
}

/* Each "assets/ of the page becomes "HASH/. */
static void page_rewrite(struct file *f, const char *version)
{
    size_t n = strlen(assets), at = 0, found = 0;
    unsigned char *out = must(malloc(2 * f->n + HASH_CHARS));
    for (size_t i = 0; i < f->n;) {
        if (i > 0 && f->p[i - 1] == '"' && f->n - i >= n && memcmp(f->p + i, assets, n) == 0) {
            memcpy(out + at, version, HASH_CHARS);
            out[at + HASH_CHARS] = '/';
            at += HASH_CHARS + 1;
            i += n;
            found++;
        } else {
            out[at++] = f->p[i++];
        }
        if (at > 2 * f->n - HASH_CHARS)
            fail("too many assets named", f->path);
    }
    if (!found)
        fail("names no \"assets/...\"", f->path);
    free(f->p);
    f->p = out;
    f->n = at;
    sha256_hex(f->p, f->n, f->sha256);
}

static bool has_end_of_comment(const unsigned char *line, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (line[i] == '*' && line[i + 1] == '/')
            return true;
    return false;
}

/* The comments that stand on lines of their own, and what indents a line, are for who reads the
 * source: a template of htm does not see them either.  Licences ("/" "*" without a second star)
 * stay. */
static void script_thin(struct file *f)
{
    bool comment = false;
    size_t at = 0;
    for (size_t i = 0; i < f->n;) {
        const unsigned char *line = f->p + i, *end = memchr(line, '\n', f->n - i);
        size_t n = end ? (size_t)(end - line) + 1 : f->n - i;
        i += n;
        while (n > 1 && *line == ' ') {
            line++;
            n--;
        }
        bool ends = n >= 3 && memcmp(line + n - 3, "*/\n", 3) == 0;
        if (comment ||
            (n > 3 && memcmp(line, "/**", 3) == 0 && (ends || !has_end_of_comment(line, n))))
            comment = !ends;
        else if (n > 1 && memcmp(line, "//", 2) != 0) {
            memmove(f->p + at, line, n);
            at += n;
        }
    }
    if (comment || at == 0)
        fail("a comment that does not end on its line's end", f->path);
    f->n = at;
    sha256_hex(f->p, f->n, f->sha256);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

static unsigned char *gzip(const struct file *f, size_t *n)
{
    z_stream z = {0};
    gz_header header = {.os = 255}; /* unknown */
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetHeader(&z, &header) != Z_OK)
        fail("zlib failed", f->path);
    size_t cap = deflateBound(&z, f->n) + 64;
    unsigned char *out = must(malloc(cap));
    z.next_in = f->p;
    z.avail_in = (unsigned)f->n;
    z.next_out = out;
    z.avail_out = (unsigned)cap;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        fail("zlib failed", f->path);
    *n = cap - z.avail_out;
    deflateEnd(&z);
    return out;
}

static const char *media_type(const char *path)
{
    static const struct {
        const char *end, *type;
    } known[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (ends_with(path, known[i].end))
            return known[i].type;
    fail("no media type is known for it", path);
    return NULL;
}

static void write_bytes(FILE *out, const char *name, size_t index, const unsigned char *p, size_t n)
{
    fprintf(out, "static const unsigned char %s_%zu[%zu] = {", name, index, n);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s%u,", i % 32 ? "" : "\n    ", p[i]);
    fputs("\n};\n\n", out);
}

static void write_row(FILE *out, const struct file *f, size_t index, const char *version)
{
    bool below = strncmp(f->path, assets, strlen(assets)) == 0;
    fputs("    {.path = \"", out);
    if (below)
        fprintf(out, "%s/%s", version, f->path + strlen(assets));
    else if (strcmp(f->path, "index.html") != 0)
        fail("neither index.html nor below assets/", f->path);
    fprintf(out,
            "\", .type = \"%s\", .etag = \"\\\"%.32s\\\"\", .gzip_etag = \"\\\"%.32s-gzip\\\"\",\n"
            "     .immutable = %s, .bytes = {file_%zu, sizeof file_%zu},\n"
            "     .gzip = {packed_%zu, sizeof packed_%zu}},\n",
            media_type(f->path), f->sha256, f->sha256, below ? "true" : "false", index, index,
            index, index);
}

int main(int argc, char **argv)
{
    char version[HASH_CHARS + 1];
    if (argc < 4)
        fail("usage: console-bundle OUT.c DIRECTORY FILE...", "bundle");
    size_t n = (size_t)argc - 3;
    struct file *file = must(calloc(n, sizeof *file));
    for (size_t i = 0; i < n; i++) {
        file_load(argv[2], argv[3 + i], &file[i]);
        if (ends_with(file[i].path, ".js"))
            script_thin(&file[i]);
    }
    version_name(file, n, version);
    for (size_t i = 0; i < n; i++)
        if (strcmp(file[i].path, "index.html") == 0)
            page_rewrite(&file[i], version);

    FILE *out = fopen(argv[1], "w");
    if (!out)
        fail("cannot write", argv[1]);
    fputs("/* Made by console/bundle.c from console/web. */\n#include \"console_table.h\"\n\n",
          out);
    for (size_t i = 0; i < n; i++) {
        size_t packed_n;
        unsigned char *packed = gzip(&file[i], &packed_n);
        write_bytes(out, "file", i, file[i].p, file[i].n);
        write_bytes(out, "packed", i, packed, packed_n);
        free(packed);
    }
    fputs("static const struct console_file files[] = {\n", out);
    for (size_t i = 0; i < n; i++)
        write_row(out, &file[i], i, version);
    fprintf(out, "};\nconst struct console console_table = {files, %zu};\n", n);
    if (fclose(out) != 0)
        fail("cannot write", argv[1]);
    for (size_t i = 0; i < n; i++)
        free(file[i].p);
    free(file);
    return 0;
}
