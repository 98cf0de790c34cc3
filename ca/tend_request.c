/* A next CA under a root that is elsewhere: its key is made here and waits for the certificate. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "ca/outside.h"
#include "tend_internal.h"

#define KEY "request.key"
#define REQUEST "request.csr"

static bool path_of(const struct tend *t, const char *name, char out[MANIFEST_PATH],
                    struct err *err)
{
    int n = snprintf(out, MANIFEST_PATH, "%s/%s", t->files->directory, name);
    return (n >= 0 && n < MANIFEST_PATH) ||
           err_set(err, ERR_CONFIG, "the path of %s is too long", name);
}

/* Key first: a request without its key is of no use. */
static bool make(const struct change *c, const struct tend_next *wish, const char *key_path,
                 const char *request_path, struct buf *pem, struct err *err)
{
    const struct authority *current = c->family->current;
    struct name subject = {0};
    struct buf der = {0}, out = {0};
    struct der w = {0};
    EVP_PKEY *key = NULL;
    bool ok =
        tend_name_generation(current, wish->name, c->manifest->last_generation + 1, &subject,
                             err) &&
        key_generate(wish->key_kind ? wish->key_kind : tend_kind_of(current->cert), &key, err);
    if (ok) {
        der_init(&w, 256);
        name_build(&subject, &w);
        ok = der_take(&w, &der, err);
    }
    const struct outside_request r = {key, buf_view(&der), current->ca_decrypts};
    ok = ok && outside_request_build(&r, &out, err) && change_save_key(c, key, key_path, err) &&
         file_replace(request_path, buf_view(&out), 0644, err);
    if (ok)
        *pem = out;
    else
        buf_clear(&out);
    buf_clear(&der);
    name_clear(&subject);
    EVP_PKEY_free(key);
    return ok;
}

bool tend_request_next(const struct tend *t, const struct tend_next *wish, struct buf *pem,
                       struct err *err)
{
    char key_path[MANIFEST_PATH], request_path[MANIFEST_PATH];
    struct change c;
    bool ok = change_begin(&c, t, err);
    if (ok && c.family->next)
        ok = err_set(err, ERR_CONFLICT, "there is a next CA already: generation %u",
                     c.family->next->generation);
    if (ok && c.family->current->ca_decrypts && wish->key_kind &&
        strncmp(wish->key_kind, "rsa", 3) != 0)
        ok = err_set(err, ERR_CONFIG, "ca_decrypts is set: the next CA needs an RSA key, not %s",
                     wish->key_kind);
    ok = ok && path_of(t, KEY, key_path, err) && path_of(t, REQUEST, request_path, err);
    if (ok && access(key_path, F_OK) == 0 && access(request_path, F_OK) == 0) {
        ok = file_read(request_path, pem, err); /* asked for again */
    } else if (ok) {
        unlink(key_path); /* of one that was interrupted */
        ok = make(&c, wish, key_path, request_path, pem, err);
    }
    change_end(&c);
    return ok;
}

bool tend_request_key(const struct tend *t, EVP_PKEY **out, struct err *err)
{
    char path[MANIFEST_PATH];
    if (!path_of(t, KEY, path, err))
        return false;
    if (access(path, F_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "no request for a next CA was made");
    return key_load(path, t->files->first.passphrase_file, out, err);
}

void tend_request_forget(const struct tend *t)
{
    char path[MANIFEST_PATH];
    struct err ignored = {0};
    if (path_of(t, REQUEST, path, &ignored))
        unlink(path);
    if (path_of(t, KEY, path, &ignored))
        unlink(path);
}
