/* The octets of CRLs: one file each in the folder crl/ of the store, named by authority, scope and
 * number.  A file is written once, under another name, and renamed when it is on the disk; the
 * record that makes it the newest is committed after that, and older files go after the record.  So
 * every record that anyone can read has its file, and whatever kills the process in between leaves
 * a file too many, which the next CRL of the scope removes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "copy.h"
#include "records.h"

#define FOLDER "crl"
#define SUFFIX ".crl"
#define WRITE_STEP (1u << 20) /* octets; the digest is made of what is still in the cache */

static void file_name(const uint8_t authority[20], uint32_t shard, uint64_t number, char out[96])
{
    char hex[41], scope[16];
    hex_encode(view_of(authority, 20), hex);
    if (shard == STORE_CRL_DELTA)
        snprintf(scope, sizeof scope, "delta");
    else
        snprintf(scope, sizeof scope, "%u", shard);
    snprintf(out, 96, "%s-%s-%llu" SUFFIX, hex, scope, (unsigned long long)number);
}

static int folder_open(const struct store *s)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/" FOLDER, s->path);
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Made by root for a daemon that is another user: the store's owner owns all in it. */
static bool hand_over(const struct store *s, int fd, struct err *err)
{
    struct stat st;
    if (geteuid() != 0)
        return true;
    return (stat(s->path, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) == 0) ||
           copy_errno(s->path, "giving a CRL to its owner", err);
}

static bool folder_make(const struct store *s, int *out, struct err *err)
{
    char path[4200];
    int fd = folder_open(s);
    if (fd >= 0) {
        *out = fd;
        return true;
    }
    snprintf(path, sizeof path, "%s/" FOLDER, s->path);
    if (errno != ENOENT || (mkdir(path, 0700) != 0 && errno != EEXIST))
        return copy_errno(path, "making", err);
    if ((fd = folder_open(s)) < 0)
        return copy_errno(path, "opening", err);
    if (!hand_over(s, fd, err) || !copy_sync_dir(path, err)) {
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

static bool write_step(int fd, struct view v, const char *name, struct err *err)
{
    while (v.n > 0) {
        ssize_t n = write(fd, v.p, v.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return copy_errno(name, "writing", err);
        v = view_of(v.p + n, v.n - (size_t)n);
    }
    return true;
}

static bool write_part(int fd, EVP_MD_CTX *md, struct view part, const char *name, struct err *err)
{
    while (part.n > 0) {
        struct view step = view_of(part.p, part.n < WRITE_STEP ? part.n : WRITE_STEP);
        if (EVP_DigestUpdate(md, step.p, step.n) != 1)
            return err_set(err, ERR_CRYPTO, "a digest cannot be made");
        if (!write_step(fd, step, name, err))
            return false;
        part = view_of(part.p + step.n, part.n - step.n);
    }
    return true;
}

static bool write_parts(const struct store *s, int fd, const struct view *parts, size_t n,
                        struct store_crl *crl, const char *name, struct err *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = (md && EVP_DigestInit_ex(md, s->sha256, NULL) == 1) || err_memory(err);
    uint64_t size = 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = write_part(fd, md, parts[i], name, err);
        size += parts[i].n;
    }
    ok = ok && (EVP_DigestFinal_ex(md, crl->sha256, NULL) == 1 ||
                err_set(err, ERR_CRYPTO, "a digest cannot be made"));
    EVP_MD_CTX_free(md);
    crl->size = size;
    return ok && (fsync(fd) == 0 || copy_errno(name, "fsync", err));
}

/* Who has published a newer list meanwhile has tidied this one away. */
static bool put_in_place(int folder, const char *part, const char *name, struct err *err)
{
    if (renameat(folder, part, folder, name) == 0 && fsync(folder) == 0)
        return true;
    return errno == ENOENT ? err_set(err, ERR_CONFLICT, "%s: a newer list was published", name)
                           : copy_errno(name, "renaming", err);
}

bool crl_file_write(struct store *s, const uint8_t authority[20], uint32_t shard,
                    struct store_crl *crl, const struct view *parts, size_t parts_n,
                    struct err *err)
{
    char name[96], part[112];
    int folder = -1;
    if (!folder_make(s, &folder, err))
        return false;
    file_name(authority, shard, crl->number, name);
    snprintf(part, sizeof part, "%s" COPY_SUFFIX, name);
    int fd = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0 || copy_errno(part, "making", err);
    ok = ok && hand_over(s, fd, err) && write_parts(s, fd, parts, parts_n, crl, part, err);
    ok = ok && put_in_place(folder, part, name, err);
    if (fd >= 0)
        close(fd);
    if (!ok)
        unlinkat(folder, part, 0);
    close(folder);
    return ok;
}

/* -1 when there is none of that size. */
static int open_whole(const struct store *s, const uint8_t authority[20], uint32_t shard,
                      const struct store_crl *crl)
{
    char name[96];
    struct stat st;
    int folder = folder_open(s), fd;
    if (folder < 0)
        return -1;
    file_name(authority, shard, crl->number, name);
    fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    close(folder);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || crl->size == 0 ||
                    (uint64_t)st.st_size != crl->size)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool crl_file_there(const struct store *s, const uint8_t authority[20], uint32_t shard,
                    const struct store_crl *crl)
{
    int fd = open_whole(s, authority, shard, crl);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

bool crl_file_map(struct store *s, const uint8_t authority[20], uint32_t shard,
                  struct store_crl *crl, bool *found, struct err *err)
{
    uint8_t hash[STORE_HASH];
    int fd = open_whole(s, authority, shard, crl);
    *found = false;
    if (fd < 0)
        return true;
    void *p = mmap(NULL, crl->size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return err_errno(err, "cannot map a CRL");
    bool ok = store_sha256(s, view_of(p, crl->size), hash, err);
    *found = ok && memcmp(hash, crl->sha256, sizeof hash) == 0;
    if (*found)
        crl->der = view_of(p, crl->size);
    else
        munmap(p, crl->size);
    return ok;
}

/* The number in a name of this authority and scope; 0: another file. */
static uint64_t number_in(const char *name, const char *prefix)
{
    char *end;
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9')
        return 0;
    unsigned long long number = strtoull(name + n, &end, 10);
    return strcmp(end, SUFFIX) == 0 || strcmp(end, SUFFIX COPY_SUFFIX) == 0 ? number : 0;
}

void crl_file_tidy(const struct store *s, const uint8_t authority[20], uint32_t shard,
                   uint64_t newest)
{
    char prefix[96];
    int folder = folder_open(s);
    DIR *d = folder < 0 ? NULL : fdopendir(folder);
    if (!d) {
        if (folder >= 0)
            close(folder);
        return;
    }
    file_name(authority, shard, 0, prefix);
    prefix[strlen(prefix) - strlen("0" SUFFIX)] = '\0';
    for (const struct dirent *e; (e = readdir(d));) {
        uint64_t number = number_in(e->d_name, prefix);
        if (number && number < newest)
            unlinkat(folder, e->d_name, 0);
    }
    closedir(d);
}

void crl_files_remove(const char *store)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/" FOLDER, store);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, SUFFIX))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}
