#include "console/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "ca/keyfile.h"
#include "console_table.h"

const char console_policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
                              "'self'; connect-src 'self'; form-action 'self'; "
                              "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for "
                              "'script'; trusted-types 'none'";

const struct console *console_bundled(void)
{
    return &console_table;
}

const struct console_file *console_find(const struct console *c, const char *path)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->file[i].path, path) == 0)
            return &c->file[i];
    return NULL;
}

/* ---- from a directory ---- */

static bool etag_new(struct view bytes, char **out, struct err *err)
{
    unsigned char d[32];
    char *text = malloc(35);
    if (!text)
        return err_memory(err);
    if (!EVP_Digest(bytes.p, bytes.n, d, NULL, EVP_sha256(), NULL)) {
        free(text);
        return err_set(err, ERR_CRYPTO, "SHA-256 of a file of the console failed");
    }
    text[0] = '"';
    for (size_t i = 0; i < 16; i++)
        snprintf(text + 1 + 2 * i, 3, "%02x", d[i]);
    memcpy(text + 33, "\"", 2);
    *out = text;
    return true;
}

static void file_clear(struct console_file *f)
{
    free((char *)f->path);
    free((char *)f->etag);
    free((uint8_t *)f->bytes.p);
}

/* What the bundle has at `known`, as it is in the directory now. */
static bool file_load(const char *directory, const struct console_file *known,
                      struct console_file *out, struct err *err)
{
    char full[4096], path[256] = "";
    struct buf content = {0};
    char *etag = NULL, *kept = NULL;
    const char *slash = strchr(known->path, '/');
    if (slash)
        snprintf(path, sizeof path, "assets%s", slash);
    snprintf(full, sizeof full, "%s/%s", directory, *path ? path : "index.html");
    if (!file_read(full, &content, err) || !etag_new(buf_view(&content), &etag, err))
        goto out;
    if (!(kept = strdup(path))) {
        err_memory(err);
        goto out;
    }
    *out = (struct console_file){
        .path = kept, .type = known->type, .etag = etag, .bytes = buf_view(&content)};
    return true;
out:
    free(etag);
    buf_clear(&content);
    return false;
}

bool console_load(const char *directory, struct console **out, struct err *err)
{
    const struct console *known = console_bundled();
    struct console *c = calloc(1, sizeof *c);
    struct console_file *file = calloc(known->n ? known->n : 1, sizeof *file);
    if (!c || !file) {
        free(c);
        free(file);
        return err_memory(err);
    }
    c->file = file;
    for (; c->n < known->n; c->n++)
        if (!file_load(directory, &known->file[c->n], &file[c->n], err)) {
            console_free(c);
            return false;
        }
    *out = c;
    return true;
}

void console_free(struct console *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        file_clear((struct console_file *)&c->file[i]);
    free((struct console_file *)c->file);
    free(c);
}
