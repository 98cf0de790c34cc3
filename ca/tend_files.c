/* A change of an authority's directory: under a lock, new files first, then the manifest, then old
 * files go.  A process that is killed anywhere leaves the old state or the new one, and at most
 * files that nobody names. */
#include "tend_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ca/keyfile.h"

#define LOCK_NAME "lock"
#define LOCK_SECONDS \
    30 /* the longest that another process needs for making keys, several times over */

/* ---- the directory ---- */

static bool sync_directory(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open the directory %s", path);
    bool ok = fsync(fd) == 0 || err_errno(err, "cannot sync the directory %s", path);
    close(fd);
    return ok;
}

/* With the directories above it, as far as they are missing. */
static bool make_directory(const char *path, struct err *err)
{
    char above[MANIFEST_PATH];
    struct stat st;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) || err_set(err, ERR_IO, "%s is not a directory", path);
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof above)
        return err_set(err, ERR_CONFIG, "the path %.64s... is too long", path);
    memcpy(above, path, n);
    above[n] = '\0';
    if (n && !make_directory(above, err))
        return false;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(err, "cannot make the directory %s", path);
    return n == 0 || sync_directory(above, err);
}

static bool take_lock(struct change *c, struct err *err)
{
    char path[MANIFEST_PATH + 8];
    const struct timespec moment = {0, 50000000};
    snprintf(path, sizeof path, "%s/" LOCK_NAME, c->directory);
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock < 0)
        return err_errno(err, "cannot open %s", path);
    for (int tries = LOCK_SECONDS * 20; flock(c->lock, LOCK_EX | LOCK_NB) != 0; tries--) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(err, "cannot lock %s", path);
        if (tries == 0)
            return err_set(err, ERR_BUSY, "another process is changing %s", c->directory);
        nanosleep(&moment, NULL);
    }
    return true;
}

/* file_replace's temporary names: NAME.PID.new */
static bool half_written(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".new") == 0;
}

/* Left by a process that was killed, or of what has ended: keys among them. */
static void sweep(const struct change *c)
{
    DIR *d = opendir(c->directory);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if ((manifest_may_name(c->manifest, e->d_name) &&
             !manifest_names(c->manifest, e->d_name)) ||
            half_written(e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

bool change_begin(struct change *c, const struct tend *t, struct err *err)
{
    struct family_files files = *t->files;
    files.now = t->now;
    *c = (struct change){.t = t, .directory = t->files->directory, .lock = -1};
    if (!c->directory || !c->directory[0])
        return err_set(err, ERR_CONFIG, "the authority has no directory for later keys");
    c->manifest = calloc(1, sizeof *c->manifest);
    if (!c->manifest)
        return err_memory(err);
    if (!make_directory(c->directory, err) || !take_lock(c, err) ||
        !manifest_load(c->directory, c->manifest, err) ||
        !family_load(&files, FAMILY_LOOK, NULL, 0, NULL, &c->family, err))
        return false;
    sweep(c);
    for (size_t i = 0; i < c->family->n;
         i++) /* of the configured files: when they are first built upon */
        memcpy(c->manifest->generation[i].key, c->family->member[i]->key_hash[0],
               sizeof c->manifest->generation[i].key);
    return true;
}

bool change_commit(struct change *c, struct err *err)
{
    if (!manifest_save(c->directory, c->manifest, err))
        return false;
    sweep(c);
    return true;
}

void change_end(struct change *c)
{
    if (c->lock >= 0)
        close(c->lock);
    family_free(c->family);
    free(c->manifest);
}

void change_event(struct change *c, const char *event, const char *fmt, ...)
{
    struct manifest *m = c->manifest;
    if (m->event_n == MANIFEST_MAX_EVENTS) /* nobody records them: the newest count */
        memmove(&m->event[0], &m->event[1], --m->event_n * sizeof m->event[0]);
    struct manifest_event *e = &m->event[m->event_n++];
    *e = (struct manifest_event){.at = c->t->now};
    snprintf(e->event, sizeof e->event, "%s", event);
    snprintf(e->actor, sizeof e->actor, "%s", c->t->actor);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
}

/* ---- files ---- */

bool change_save_key(const struct change *c, EVP_PKEY *key, const char *path, struct err *err)
{
    return key_save(key, path, c->t->files->first.passphrase_file, err);
}

bool change_save_certificate(const struct change *c, const struct cert *cert, const char *path,
                             struct err *err)
{
    struct buf pem = {0};
    bool ok =
        cert_pem(buf_view(&cert->der), &pem, err) && file_replace(path, buf_view(&pem), 0644, err);
    buf_clear(&pem);
    return ok;
}

const struct authority *change_member(const struct change *c, unsigned generation)
{
    for (size_t i = 0; i < c->family->n; i++)
        if (c->family->member[i]->generation == generation)
            return c->family->member[i];
    return NULL;
}

static bool load_key(const struct change *c, const char *path, const struct cert *cert,
                     EVP_PKEY **out, struct err *err)
{
    struct pubkey key;
    EVP_PKEY *public_key = NULL, *private_key = NULL;
    bool ok = key_load(path, c->t->files->first.passphrase_file, &private_key, err) &&
              pubkey_parse(cert->spki, &key, err) && pubkey_load(&key, &public_key, err);
    if (ok && EVP_PKEY_eq(private_key, public_key) != 1)
        ok = err_set(err, ERR_CONFIG, "%s is not the key of its certificate", path);
    EVP_PKEY_free(public_key);
    if (ok)
        *out = private_key;
    else
        EVP_PKEY_free(private_key);
    return ok;
}

bool change_ca_key(const struct change *c, unsigned generation, EVP_PKEY **out, struct err *err)
{
    struct generation_files g;
    void *room = NULL;
    const struct authority *a = change_member(c, generation);
    bool ok =
        family_name_files(c->t->files, manifest_find(c->manifest, generation), &g, &room, err) &&
        load_key(c, g.files.key, a->cert, out, err);
    free(room);
    return ok;
}

bool change_ra_key(const struct change *c, unsigned generation, const struct ra_set *set,
                   EVP_PKEY **out, struct err *err)
{
    struct generation_files g;
    void *room = NULL;
    bool ok =
        family_name_files(c->t->files, manifest_find(c->manifest, generation), &g, &room, err);
    bool found = false;
    for (size_t i = 0; ok && !found && i < g.ra_n; i++) {
        found = g.ra[i].number == set->number && g.ra[i].shape == set->shape;
        if (found)
            ok = load_key(c, g.ra[i].signing_key, set->signing, out, err);
    }
    free(room);
    return ok && (found || err_set(err, ERR_NOT_FOUND, "the key of an RA is missing"));
}
