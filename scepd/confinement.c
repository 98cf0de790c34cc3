#include "scepd/confinement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the main process ---- */

/* What libc and libcrypto may open late: modules, the time zone, random octets, the number of
 * cores; and what metrics tell of this process. */
static const struct confine_path for_libraries[] = {
    {"/usr", CONFINE_READ},
    {"/lib", CONFINE_READ},
    {"/lib64", CONFINE_READ},
    {"/etc/ssl", CONFINE_READ},
    {"/etc/localtime", CONFINE_READ},
    {"/etc/ld.so.cache", CONFINE_READ},
    {"/dev/null", CONFINE_WRITE},
    {"/dev/urandom", CONFINE_READ},
    {"/sys/devices/system/cpu", CONFINE_READ},
    {"/proc", CONFINE_READ} /* of others no more than ps(1) shows */,
};

/* libconfig opens included files itself.  A file there may be replaced, so it is the directory that
 * is kept, unless keys could stand in it or beneath. */
static bool add_includes(const struct config *c, struct confine_paths *p, struct err *err)
{
    for (size_t i = 0; i < c->include_n; i++) {
        char directory[sizeof c->include[i]];
        memcpy(directory, c->include[i], sizeof directory);
        char *slash = strrchr(directory, '/');
        if (slash && slash != directory)
            *slash = '\0';
        bool apart = slash && slash != directory && !config_keys_beneath(c, directory);
        if (!confine_add(p, CONFINE_READ, apart ? directory : c->include[i], err))
            return false;
    }
    return true;
}

static bool front_paths(const struct config *c, struct confine_paths *p, struct err *err)
{
    for (size_t i = 0; i < sizeof for_libraries / sizeof *for_libraries; i++)
        if (!confine_add(p, for_libraries[i].access, for_libraries[i].path, err))
            return false;
    p->any_socket = true; /* the service manager's may be an abstract one */
    return confine_add(p, CONFINE_WRITE, c->store_path, err) &&
           (!c->crl_directory[0] || confine_add(p, CONFINE_WRITE, c->crl_directory, err)) &&
           add_includes(c, p, err);
}

bool confinement_front(const struct config *c, int keeper, const struct log *log, unsigned *lacks,
                       struct err *err)
{
    if (c->confinement == CONFINE_OFF)
        return true;
    struct confine_paths *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    bool ok = front_paths(c, p, err) && confine_files(p, lacks, err) &&
              confine_calls(CONFINE_FRONT, keeper, lacks, err) &&
              confine_settle(c->confinement, *lacks, "the main process", log, err);
    free(p);
    return ok;
}

/* ---- the keeper ---- */

static const char *home_of(const struct config *c, char out[sizeof c->file])
{
    if (c->home[0])
        return c->home;
    memcpy(out, c->file, sizeof c->file);
    char *slash = strrchr(out, '/');
    if (slash)
        slash[slash == out] = '\0';
    return out;
}

/* The directory of an authority is made when it is first needed. */
static bool add_directory(struct confine_paths *p, const char *directory, struct err *err)
{
    char there[512];
    memcpy(there, directory, sizeof there);
    for (char *slash; access(there, F_OK) != 0 && (slash = strrchr(there, '/')) && slash != there;)
        *slash = '\0';
    return confine_add(p, CONFINE_WRITE, there, err);
}

static bool keeper_paths(const struct config *c, struct confine_paths *p, struct err *err)
{
    char home[sizeof c->file];
    if (!confine_add(p, CONFINE_READ, "/", err) ||
        !confine_add(p, CONFINE_WRITE, "/dev/null", err) ||
        !confine_add(p, CONFINE_WRITE, home_of(c, home), err) ||
        !confine_add(p, CONFINE_WRITE, c->store_path, err))
        return false;
    for (size_t i = 0; i < c->authority_n; i++)
        if (!add_directory(p, c->authority[i].directory, err))
            return false;
    return true;
}

bool confinement_keeper_paths(const struct config *c, struct confine_paths **out, struct err *err)
{
    *out = NULL;
    if (c->confinement == CONFINE_OFF)
        return true;
    struct confine_paths *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    if (!keeper_paths(c, p, err)) {
        free(p);
        return false;
    }
    *out = p;
    return true;
}

bool confinement_keeper(enum confine_mode mode, const struct confine_paths *paths,
                        const struct log *log, struct err *err)
{
    unsigned lacks = 0;
    return mode == CONFINE_OFF || !paths ||
           (confine_files(paths, &lacks, err) && confine_calls(CONFINE_KEEPER, 0, &lacks, err) &&
            confine_settle(mode, lacks, "the keeper process", log, err));
}

/* ---- the outsider, and what asks servers elsewhere ---- */

static bool confine_role(enum confine_mode mode, enum confine_role role,
                         const struct confine_paths *p, const char *who, const struct log *log,
                         struct err *err)
{
    unsigned lacks = 0;
    return confine_files(p, &lacks, err) && confine_calls(role, 0, &lacks, err) &&
           confine_settle(mode, lacks, who, log, err);
}

bool confinement_outsider(enum confine_mode mode, const struct log *log, struct err *err)
{
    if (mode == CONFINE_OFF)
        return true;
    struct confine_paths *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    p->connects = true; /* it hands that on */
    bool ok = confine_add(p, CONFINE_READ, "/", err) &&
              confine_add(p, CONFINE_WRITE, "/dev/null", err) &&
              confine_role(mode, CONFINE_OUTSIDER, p, "the outsider process", log, err);
    free(p);
    return ok;
}

/* What libc looks at to find a server by its name.  Some are links into these directories. */
static const char *const for_names[] = {"/etc/resolv.conf",
                                        "/etc/hosts",
                                        "/etc/nsswitch.conf",
                                        "/etc/gai.conf",
                                        "/etc/host.conf",
                                        "/etc/services",
                                        "/etc/protocols",
                                        "/run/systemd/resolve",
                                        "/run/resolvconf",
                                        "/run/NetworkManager",
                                        "/usr/share/ca-certificates"};

bool confinement_outside(enum confine_mode mode, const struct log *log, struct err *err)
{
    if (mode == CONFINE_OFF)
        return true;
    bool ok = true;
    struct confine_paths *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    p->connects = true;
    for (size_t i = 0; ok && i < sizeof for_libraries / sizeof *for_libraries; i++)
        if (strcmp(for_libraries[i].path, "/proc") != 0)
            ok = confine_add(p, for_libraries[i].access, for_libraries[i].path, err);
    for (size_t i = 0; ok && i < sizeof for_names / sizeof *for_names; i++)
        ok = confine_add(p, CONFINE_READ, for_names[i], err);
    ok = ok && confine_role(mode, CONFINE_OUTSIDE, p, "the process that asks servers elsewhere",
                            log, err);
    free(p);
    return ok;
}

/* ---- what the keeper hands over ---- */

static bool is(const char *path, const char *named)
{
    return named[0] && strcmp(path, named) == 0;
}

static bool of_authority(const struct config_authority *a, const char *path)
{
    bool named = is(path, a->certificate) || is(path, a->ra_certificate) ||
                 is(path, a->ra_signing_certificate) || is(path, a->ra_encryption_certificate);
    for (size_t i = 0; !named && i < a->chain_n; i++)
        named = is(path, a->chain[i]);
    if (named)
        return true;
    /* certificates, announcements and the manifest; keys end in .key (ca/manifest.c) */
    size_t n = strlen(a->directory), length = strlen(path);
    return n > 0 && strncmp(path, a->directory, n) == 0 && path[n] == '/' &&
           !strchr(path + n + 1, '/') && !(length > 4 && strcmp(path + length - 4, ".key") == 0);
}

bool confinement_may_hand_over(const struct config *c, const char *path)
{
    if (config_key_file(c, path))
        return false;
    bool named =
        is(path, c->file) || is(path, c->challenge_key_file) || is(path, c->banned_keys_file) ||
        is(path, c->api_certificate) || is(path, c->api_key);
    /* no key of an authority: whoever has the main process may sign profiles */
    named = named || is(path, c->profiles.certificate) || is(path, c->profiles.key) ||
            is(path, c->profiles.passphrase_file);
    for (size_t i = 0; !named && i < c->upstream_n; i++)
        named = is(path, c->upstream[i].ca_certificate);
    for (size_t i = 0; !named && i < c->endpoint_n; i++)
        named = is(path, c->endpoint[i].static_challenge_file);
    for (size_t i = 0; !named && i < c->authority_n; i++)
        named = of_authority(&c->authority[i], path);
    return named;
}
