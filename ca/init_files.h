/* The files of a new authority: written into a staging directory of their own, moved into place together,
 * and taken back when one of them cannot be.  Private to ca/. */
#pragma once

#include <openssl/evp.h>

#include "base/err.h"
#include "base/view.h"

#define INIT_FILES_MAX 12 /* five certificates and their keys, issuers, a request */
#define INIT_PATH_MAX 512 /* what a signer_key_spec holds */

struct init_files {
    char directory[INIT_PATH_MAX], staging[INIT_PATH_MAX];
    bool made_directory, made_ca, made_keys, committed;
    struct init_file {
        char from[INIT_PATH_MAX + 64], to[INIT_PATH_MAX + 64];
        bool moved;
    } file[INIT_FILES_MAX];
    size_t n;
};

/* Makes DIRECTORY, DIRECTORY/ca (0755), DIRECTORY/keys (0700) where missing, and the staging directory. */
bool init_files_begin(struct init_files *f, const char *directory, struct err *err);
/* ERR_EXISTS when ca/NAME.pem or keys/NAME.key is there. */
bool init_files_absent(const struct init_files *f, const char *name, struct err *err);
/* The certificate alone. */
bool init_files_no_certificate(const struct init_files *f, const char *name, struct err *err);
bool init_files_key(struct init_files *f, const char *name, EVP_PKEY *key, const char *passphrase_file,
                    struct err *err);
bool init_files_certificate(struct init_files *f, const char *name, struct view pem, struct err *err);
/* ca/NAME.csr */
bool init_files_request(struct init_files *f, const char *name, struct view pem, struct err *err);
/* Moves all into place; never over a file that is there. */
bool init_files_commit(struct init_files *f, struct err *err);
/* Removes the staging directory and, unless committed, everything that was made. */
void init_files_end(struct init_files *f);
