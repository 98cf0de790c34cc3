#include "init_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/keyfile.h"

static bool format_path(char *out, size_t cap, struct err *err, const char *directory,
                        const char *room, const char *name, const char *ending)
{
    int n = snprintf(out, cap, "%s%s%s%s", directory, room, name, ending);
    return (n >= 0 && (size_t)n < cap) ||
           err_set(err, ERR_CONFIG, "the path of %s is too long", name);
}

static bool make_directory(const char *path, unsigned mode, bool *made, struct err *err)
{
    if (mkdir(path, (mode_t)mode) == 0) {
        *made = true;
        return chmod(path, (mode_t)mode) == 0 || /* whatever the umask says */
               err_errno(err, "cannot set the mode of %s", path);
    }
    struct stat st;
    if (errno == EEXIST && stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return true;
        errno = ENOTDIR;
    }
    return err_errno(err, "cannot make the directory %s", path);
}

bool init_files_begin(struct init_files *f, const char *directory, struct err *err)
{
    char ca[INIT_PATH_MAX], keys[INIT_PATH_MAX], staging[INIT_PATH_MAX];
    if (!format_path(f->directory, sizeof f->directory, err, directory, "", "", "") ||
        !format_path(ca, sizeof ca, err, directory, "/ca", "", "") ||
        !format_path(keys, sizeof keys, err, directory, "/keys", "", "") ||
        !format_path(staging, sizeof staging, err, directory, "/.init-XXXXXX", "", "") ||
        !make_directory(directory, 0755, &f->made_directory, err) ||
        !make_directory(ca, 0755, &f->made_ca, err) ||
        !make_directory(keys, 0700, &f->made_keys, err))
        return false;
    if (!mkdtemp(staging)) /* 0700 */
        return err_errno(err, "cannot make a directory in %s", directory);
    memcpy(f->staging, staging, sizeof staging);
    return true;
}

static bool absent(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return true;
    return err_set(err, ERR_EXISTS, "%s is there already: nothing was changed", path);
}

bool init_files_no_certificate(const struct init_files *f, const char *name, struct err *err)
{
    char path[INIT_PATH_MAX + 64];
    return format_path(path, sizeof path, err, f->directory, "/ca/", name, ".pem") &&
           absent(path, err);
}

bool init_files_absent(const struct init_files *f, const char *name, struct err *err)
{
    char path[INIT_PATH_MAX + 64];
    return init_files_no_certificate(f, name, err) &&
           format_path(path, sizeof path, err, f->directory, "/keys/", name, ".key") &&
           absent(path, err);
}

/* Reserves the next entry: where a file is written, and where it belongs. */
static bool plan_file(struct init_files *f, const char *room, const char *name, const char *ending,
                      struct err *err)
{
    if (f->n == INIT_FILES_MAX)
        return err_set(err, ERR_CONFIG, "too many files");
    struct init_file file = {0};
    if (!format_path(file.from, sizeof file.from, err, f->staging, "/", name, ending) ||
        !format_path(file.to, sizeof file.to, err, f->directory, room, name, ending))
        return false;
    f->file[f->n++] = file;
    return true;
}

/* Root makes them for the user whom the directory belongs to, as long as that is there already. */
static bool give_to_owner(const struct init_files *f, const char *path, struct err *err)
{
    char keys[INIT_PATH_MAX];
    struct stat st;
    if (geteuid() != 0 || f->made_keys)
        return true;
    if (!format_path(keys, sizeof keys, err, f->directory, "/keys", "", ""))
        return false;
    return (stat(keys, &st) == 0 && chown(path, st.st_uid, st.st_gid) == 0) ||
           err_errno(err, "cannot give %s to the owner of %s", path, keys);
}

bool init_files_key(struct init_files *f, const char *name, EVP_PKEY *key,
                    const char *passphrase_file, struct err *err)
{
    return plan_file(f, "/keys/", name, ".key", err) &&
           key_save(key, f->file[f->n - 1].from, passphrase_file, err) &&
           give_to_owner(f, f->file[f->n - 1].from, err);
}

bool init_files_request(struct init_files *f, const char *name, struct view pem, struct err *err)
{
    return plan_file(f, "/ca/", name, ".csr", err) &&
           file_replace(f->file[f->n - 1].from, pem, 0644, err);
}

bool init_files_certificate(struct init_files *f, const char *name, struct view pem,
                            struct err *err)
{
    return plan_file(f, "/ca/", name, ".pem", err) &&
           file_replace(f->file[f->n - 1].from, pem, 0644, err);
}

/* Some file systems cannot say "not over an existing file"; init_files_absent has looked before. */
static bool move(const char *from, const char *to, struct err *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    if ((errno == EINVAL || errno == ENOSYS) && rename(from, to) == 0)
        return true;
    bool exists = errno == EEXIST;
    err_errno(err, "cannot move a file to %s", to);
    if (exists)
        err->kind = ERR_EXISTS;
    return false;
}

static bool sync_room(const struct init_files *f, const char *room, struct err *err)
{
    char path[INIT_PATH_MAX];
    if (!format_path(path, sizeof path, err, f->directory, room, "", ""))
        return false;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open the directory %s", path);
    bool ok = fsync(fd) == 0 || err_errno(err, "cannot sync the directory %s", path);
    close(fd);
    return ok;
}

bool init_files_commit(struct init_files *f, struct err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        if (!move(f->file[i].from, f->file[i].to, err))
            return false;
        f->file[i].moved = true;
    }
    f->committed = sync_room(f, "/ca", err) && sync_room(f, "/keys", err) && sync_room(f, "", err);
    return f->committed;
}

static void remove_room(const struct init_files *f, const char *room)
{
    char path[INIT_PATH_MAX];
    struct err ignored = {0};
    if (format_path(path, sizeof path, &ignored, f->directory, room, "", ""))
        rmdir(path); /* only when empty */
}

void init_files_end(struct init_files *f)
{
    for (size_t i = 0; i < f->n && !f->committed; i++)
        unlink(f->file[i].moved ? f->file[i].to : f->file[i].from);
    if (f->staging[0])
        rmdir(f->staging);
    if (f->committed)
        return;
    if (f->made_ca)
        remove_room(f, "/ca");
    if (f->made_keys)
        remove_room(f, "/keys");
    if (f->made_directory)
        remove_room(f, "");
}
