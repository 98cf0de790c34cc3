/* Private keys in files: PKCS#8 PEM, mode 0600, encrypted when a passphrase is given. */
#pragma once

#include <openssl/evp.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

/* "rsa2048", "rsa3072", "rsa4096", "p256", "p384". */
bool key_generate(const char *kind, EVP_PKEY **out, struct err *err);
/* Refuses to overwrite; fsyncs file and directory.  passphrase_file may be NULL (not encrypted); its first
 * line, without the line end, is the passphrase. */
bool key_save(EVP_PKEY *key, const char *path, const char *passphrase_file, struct err *err);
/* Refuses a file that group or others can read. */
bool key_load(const char *path, const char *passphrase_file, EVP_PKEY **out, struct err *err);
/* A regular file for reading: ERR_NOT_FOUND when there is none, ERR_IO for anything else.  The caller closes it. */
bool file_open(const char *path, int *fd, struct stat *st, struct err *err);
/* As open(2) for reading, -1 with errno; a FIFO or a device does not hang.  What this process may not read (EACCES) is
 * asked of file_open_through's `opener`, which gives a descriptor or -1.  That is one for the whole process, like the
 * confinement that makes it needed; set while there is one thread, NULL ends it. */
int file_descriptor(const char *path);
typedef int (*file_opener)(void *ctx, const char *path);
void file_open_through(file_opener opener, void *ctx);
/* Takes 0, 1 and 2 where whoever started us closed them: a file of ours with such a number would get what is printed, and if
 * it were the store's, that would be the end of it.  Input then ends at once, output fails as before, errors go nowhere. */
bool file_keep_standard(void);
/* Whole small file (<= 1 MiB). */
bool file_read(const char *path, struct buf *out, struct err *err);
/* All of it to a descriptor; false with errno. */
bool file_write_all(int fd, struct view v);
/* Writes to a temporary name, fsyncs, renames, fsyncs the directory. */
bool file_replace(const char *path, struct view content, unsigned mode, struct err *err);
