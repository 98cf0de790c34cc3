/* scepctl init: an authority in one go, all or nothing.  Everything is made in a staging directory
 * where it will lie and moved into place at the end, the configuration last: where it stands, the
 * rest does too. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <sys/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/hex.h"
#include "ca/init.h"
#include "ca/keyfile.h"
#include "pkcs7/cert.h"
#include "scepd/admin_http.h"
#include "scepd/api_http.h"
#include "scepctl/ctl.h"
#include "scepctl/ctl_init.h"

#define HOME_MAX 400     /* leaves room for the names below it */
#define STATIC_OCTETS 16 /* of the static challenge, written in hex */

#define SYSTEM_HOME "/etc/scepd" /* of an installed scepd: its data lies in SYSTEM_DATA */
#define SYSTEM_DATA "/var/lib/scepd"
#define SYSTEM_USER "scepd"

static const char *const moved[] = {"ca", "keys", "authorities",
                                    "store"}; /* in this order, then the configuration */
#define MOVED (sizeof moved / sizeof moved[0])

/* ---- what is wanted ---- */

static int read_kind(struct ctl *ctl, const struct ctl_args *a, const char *flag,
                     const char *fallback, const char **out)
{
    static const char *const kinds[] = {"rsa2048", "rsa3072", "rsa4096", "p256", "p384", NULL};
    const char *given = ctl_arg(a, flag);
    int chosen = 0;
    *out = fallback;
    if (!given || !given[0])
        return CTL_DONE;
    int rc = ctl_arg_word(ctl, a, flag, kinds, &chosen);
    *out = kinds[chosen];
    return rc;
}

static int read_directory(struct ctl *ctl, const char *what, const char *given, char out[HOME_MAX])
{
    size_t n = strlen(given);
    while (n > 1 && given[n - 1] == '/')
        n--;
    if (n == 0 || n >= HOME_MAX)
        return ctl_fail(ctl, CTL_USAGE, NULL, "%s has %zu octets: 1 to %d are possible", what, n,
                        HOME_MAX - 1);
    memcpy(out, given, n);
    out[n] = '\0';
    return CTL_DONE;
}

/* An installed scepd keeps its configuration and its data apart, as the system's other services
 * do; in a home of one's own everything is together. */
static int read_home(struct ctl *ctl, const struct ctl_args *a, char out[HOME_MAX],
                     struct init_settings *s)
{
    const char *given = ctl_arg(a, "home"), *env = getenv("SCEPD_HOME");
    const char *home = given ? given : env && env[0] ? env : SYSTEM_HOME;
    const char *data = ctl_arg(a, "data");
    int rc = read_directory(ctl, "--home", home, out);
    if (rc != CTL_DONE)
        return rc;
    if (!data)
        data = strcmp(out, SYSTEM_HOME) == 0 ? SYSTEM_DATA : out;
    if (data[0] != '/' && ctl_arg(a, "data"))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--data = \"%s\" must begin with /", data);
    _Static_assert(sizeof s->data == HOME_MAX, "one limit for both");
    rc = read_directory(ctl, "--data", data, s->data);
    s->apart = strcmp(out, s->data) != 0;
    return rc;
}

static bool plain_host(const char *s)
{
    return s[0] && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-") ==
                       strlen(s);
}

/* The base address: what was given without the path of the first endpoint, or made from address and
 * port. */
static int read_url(struct ctl *ctl, const char *given, struct init_settings *s)
{
    char host[256] = "";
    if (!given) {
        bool any = strcmp(s->bind, "0.0.0.0") == 0 || strcmp(s->bind, "::") == 0;
        if (any && (gethostname(host, sizeof host - 1) || !plain_host(host)))
            snprintf(host, sizeof host, "127.0.0.1");
        const char *shown = any ? host : s->bind;
        snprintf(s->url, sizeof s->url, strchr(shown, ':') ? "http://[%s]:%d" : "http://%s:%d",
                 shown, s->port);
        return CTL_DONE;
    }
    size_t n = strlen(given), scheme = strncmp(given, "https://", 8) == 0  ? 8
                                       : strncmp(given, "http://", 7) == 0 ? 7
                                                                           : 0;
    while (n > scheme && given[n - 1] == '/')
        n--;
    if (n > scheme + 5 && strncmp(given + n - 5, "/scep", 5) == 0)
        n -= 5;
    bool plain = scheme && n > scheme && n < sizeof s->url;
    for (size_t i = 0; plain && i < n; i++)
        plain = isalnum((unsigned char)given[i]) || strchr("-._~:/[]%", given[i]);
    if (!plain || given[scheme] == '/')
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "--url = \"%s\" is no address like http://scep.example.org", given);
    memcpy(s->url, given, n);
    s->url[n] = '\0';
    return CTL_DONE;
}

/* Revocation lists and issuers' certificates are fetched by http: what verifies certificates often
 * speaks nothing else, and https would need the certificate that is being verified. */
static void set_public_url(struct init_settings *s)
{
    bool https = strncmp(s->url, "https://", 8) == 0;
    const char *host = s->url + (https ? 8 : 0);
    if (!https) {
        snprintf(s->public_url, sizeof s->public_url, "%s", s->url);
        return;
    }
    size_t n = strcspn(host, "/");
    const char *colon = memchr(host, ':', host[0] == '[' ? 0 : n);
    size_t name = colon ? (size_t)(colon - host) : n;
    snprintf(s->public_url, sizeof s->public_url, "http://%.*s%s", (int)name, host, host + n);
}

static int read_passphrase(struct ctl *ctl, const char *path, struct init_settings *s)
{
    if (!path)
        return CTL_DONE;
    char *full = realpath(path, NULL);
    bool fits = full && strlen(full) < sizeof s->passphrase_file;
    int e = errno;
    if (fits)
        memcpy(s->passphrase_file, full, strlen(full) + 1);
    free(full);
    return fits ? CTL_DONE
                : ctl_fail(ctl, CTL_USAGE, NULL, "--passphrase-file %s: %s", path,
                           full ? "the path is too long" : strerror(e));
}

/* The account that owns keys and store, so that the daemon needs no root. */
static int read_user(struct ctl *ctl, const char *name, struct init_settings *s)
{
    if (!name && s->apart && geteuid() == 0 && getpwnam(SYSTEM_USER))
        name = SYSTEM_USER;
    if (!name)
        return CTL_DONE;
    const struct passwd *pw = getpwnam(name);
    if (geteuid() != 0)
        return ctl_fail(ctl, CTL_USAGE, "leave it out: everything will belong to you",
                        "--user is for root");
    if (!pw || strlen(name) >= sizeof((struct config *)0)->user || strpbrk(name, "\"\\"))
        return ctl_fail(ctl, CTL_USAGE, "adduser --system --group scepd makes one",
                        "there is no user \"%s\"", name);
    s->user = name;
    s->uid = pw->pw_uid;
    s->gid = pw->pw_gid;
    return CTL_DONE;
}

static int read_address(struct ctl *ctl, const char *url, struct init_settings *s)
{
    int rc = read_url(ctl, url, s);
    if (rc == CTL_DONE)
        set_public_url(s);
    return rc;
}

/* Its key and its name are what they are. */
static int read_moved_in(struct ctl *ctl, const struct ctl_args *a, const char *url,
                         struct init_settings *s)
{
    static const char *const none[] = {"key", "root", "external-root", "name", "organization"};
    int rc;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (ctl_arg(a, none[i]))
            return ctl_fail(ctl, CTL_USAGE, NULL,
                            "--%s is not for an authority that exists already (--from)", none[i]);
    if ((rc = ctl_init_from_read(ctl, a, s)))
        return rc;
    return read_address(ctl, url, s);
}

static int read_settings(struct ctl *ctl, const struct ctl_args *a, struct init_settings *s)
{
    const char *bind = ctl_arg(a, "bind"), *url = ctl_arg(a, "url"), *name = ctl_arg(a, "name");
    int64_t port, admin_port, api_port;
    int rc;
    s->demo = ctl_arg(a, "demo");
    s->authority = s->demo ? "demo" : "main";
    s->organization = ctl_arg(a, "organization");
    s->ra_pair = ctl_arg(a, "ra-pair");
    s->outside = ctl_arg(a, "external-root");
    s->from = ctl_arg(a, "from");
    s->skip_bad = ctl_arg(a, "skip-bad");
    snprintf(s->name, sizeof s->name, "%s", name ? name : s->demo ? "Demo Device CA" : "Device CA");
    snprintf(s->bind, sizeof s->bind, "%s", bind ? bind : "127.0.0.1");
    if (name && (!name[0] || strlen(name) >= sizeof s->name))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--name has %zu octets: 1 to %zu are possible",
                        strlen(name), sizeof s->name - 1);
    if ((bind && strlen(bind) >= sizeof s->bind) || !plain_host(s->bind))
        return ctl_fail(ctl, CTL_USAGE, NULL, "--bind = \"%s\" is no address", bind);
    if ((rc = ctl_arg_number(ctl, a, "port", 1, 65535, 8080, &port)) ||
        (rc = ctl_arg_number(ctl, a, "admin-port", 0, 65535, s->demo ? 0 : ADMIN_DEFAULT_PORT,
                             &admin_port)) ||
        (rc = ctl_arg_number(ctl, a, "api-port", 0, 65535, s->demo ? 0 : API_DEFAULT_PORT,
                             &api_port)) ||
        (rc = read_kind(ctl, a, "key", s->demo ? "rsa2048" : "p256", &s->ca_key)) ||
        (rc = read_kind(ctl, a, "root", ctl_arg(a, "root") ? "p384" : NULL, &s->root_key)) ||
        (rc = read_passphrase(ctl, ctl_arg(a, "passphrase-file"), s)) ||
        (rc = read_user(ctl, ctl_arg(a, "user"), s)))
        return rc;
    s->port = (int)port;
    s->admin_port = (int)admin_port;
    s->api_port = (int)api_port;
    if (port == admin_port)
        return ctl_fail(ctl, CTL_USAGE, "--admin-port 0 goes without",
                        "--port and --admin-port are the same");
    if (api_port && (api_port == port || api_port == admin_port))
        return ctl_fail(ctl, CTL_USAGE, "--api-port 0 goes without",
                        "--api-port is the same as another port");
    if (s->from)
        return read_moved_in(ctl, a, url, s);
    bool rsa = strncmp(s->ca_key, "rsa", 3) == 0;
    if (s->outside && s->root_key)
        return ctl_fail(ctl, CTL_USAGE, "one of them",
                        "--root makes a root here, and --external-root has it elsewhere");
    if (ctl_arg(a, "ca-decrypts") && !rsa)
        return ctl_fail(ctl, CTL_USAGE,
                        "--key rsa2048, or leave --ca-decrypts out: the RA decrypts",
                        "--ca-decrypts needs an RSA key, not %s", s->ca_key);
    s->ca_decrypts = rsa && (s->demo || ctl_arg(a, "ca-decrypts"));
    if (!name && !s->demo)
        ctl_ask(ctl, "Name of the authority [Device CA]:", s->name, sizeof s->name);
    char typed[256];
    if (!url && !s->demo &&
        ctl_ask(ctl, "Address under which devices reach it, such as http://scep.example.org:",
                typed, sizeof typed))
        url = typed;
    if (s->name[0] == '\0')
        snprintf(s->name, sizeof s->name, "Device CA");
    return read_address(ctl, url, s);
}

/* ---- making ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

#define STAGING ".init-XXXXXX"

/* Of a run that was killed: keys lie in it.  One that is at work holds its lock. */
static void sweep(const char *data)
{
    char path[HOME_MAX + 300];
    struct stat st;
    DIR *d = opendir(data);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, STAGING, 6) != 0 || strlen(e->d_name) != strlen(STAGING))
            continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        snprintf(path, sizeof path, "%s/%s", data, e->d_name);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
            flock(fd, LOCK_EX | LOCK_NB) == 0)
            remove_tree(path);
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
}

/* *lock keeps other runs from taking it for left behind. */
static bool make_staging(const char *data, char staging[HOME_MAX + 32], int *lock, struct err *err)
{
    struct stat st;
    snprintf(staging, HOME_MAX + 32, "%s/" STAGING, data);
    if (!mkdtemp(staging)) /* 0700 */
        return err_errno(err, "cannot write in %s", data);
    *lock = open(staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*lock >= 0 && flock(*lock, LOCK_EX | LOCK_NB) == 0 && stat(staging, &st) == 0)
        return true;
    if (*lock >= 0)
        close(*lock);
    remove_tree(staging);
    return err_set(err, ERR_BUSY, "another scepctl init is at work in %s", data);
}

static bool make_directories(const char *home, struct err *err)
{
    char path[HOME_MAX];
    memcpy(path, home, strlen(home) + 1);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char c = *p;
        *p = '\0';
        if (mkdir(path, 0755) && errno != EEXIST)
            return err_errno(err, "cannot make %s", path);
        *p = c;
        if (c == '\0')
            return true;
    }
}

static bool write_secret(const char *path, struct err *err)
{
    uint8_t octets[STATIC_OCTETS];
    char text[2 * STATIC_OCTETS + 2];
    if (RAND_bytes(octets, sizeof octets) != 1)
        return err_set(err, ERR_CRYPTO, "no random numbers");
    hex_encode(view_of(octets, sizeof octets), text);
    text[2 * STATIC_OCTETS] = '\n';
    bool done = file_replace(path, view_of(text, 2 * STATIC_OCTETS + 1), 0600, err);
    OPENSSL_cleanse(octets, sizeof octets);
    OPENSSL_cleanse(text, sizeof text);
    return done;
}

static bool make_store(const struct ctl *ctl, const char *path, struct err *err)
{
    struct store *store = NULL;
    struct store_options o = {.path = path, .create = true};
    if (!store_open(&o, &store, err))
        return false;
    bool ok = ctl_first_admin(ctl, store, err);
    store_close(store);
    return ok;
}

/* Everything below `dir`. */
static bool make_all(const struct ctl *ctl, const struct init_settings *s, const char *dir,
                     struct err *err)
{
    char path[HOME_MAX + 64];
    struct challenge_key key;
    struct buf conf = {0};
    struct init_plan plan = {
        .directory = dir,
        .name = s->name,
        .organization = s->organization,
        .ca_key = s->ca_key,
        .root_key = s->root_key,
        .ra_key = "rsa2048", /* every client in the field can encrypt to it */
        .ra_pair = s->ra_pair,
        .ca_decrypts = s->ca_decrypts,
        .passphrase_file = s->passphrase_file[0] ? s->passphrase_file : NULL,
        .given_key = s->from ? s->bundle.key : NULL,
        .given = s->from ? &s->chain : NULL,
        .request = s->outside,
        .now = ctl->now,
    };
    if (!authority_init(&plan, err))
        return false;
    snprintf(path, sizeof path, "%s/keys/challenge.key", dir);
    bool good = challenge_key_load(path, true, &key, err);
    OPENSSL_cleanse(&key, sizeof key);
    snprintf(path, sizeof path, "%s/keys/static-challenge", dir);
    good = good && write_secret(path, err);
    snprintf(path, sizeof path, "%s/authorities", dir); /* for later keys: the daemon makes them */
    good = good && (mkdir(path, 0700) == 0 || err_errno(err, "cannot make %s", path));
    snprintf(path, sizeof path, "%s/store", dir);
    good = good && make_store(ctl, path, err);
    snprintf(path, sizeof path, "%s/scepd.conf", dir);
    good = good && (init_conf(s, NULL, &conf) || err_memory(err)) &&
           file_replace(path, buf_view(&conf), 0644, err);
    buf_clear(&conf);
    return good;
}

static void complain(void *ctx, const char *message)
{
    err_set(ctx, ERR_CONFIG, "%s", message);
}

/* Keys and store to the user of the daemon; certificates and configuration stay root's, for all to
 * read. */
static bool give_away(const struct init_settings *s, const char *dir, struct err *err)
{
    static const char *const theirs[] = {"keys", "authorities", "store"};
    char path[HOME_MAX + 64], file[HOME_MAX + 400];
    for (size_t i = 0; s->user && i < sizeof theirs / sizeof theirs[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, theirs[i]);
        DIR *d = opendir(path);
        bool good = d && chown(path, s->uid, s->gid) == 0;
        for (const struct dirent *e; good && (e = readdir(d));) {
            snprintf(file, sizeof file, "%s/%s", path, e->d_name);
            good = strcmp(e->d_name, "..") == 0 || chown(file, s->uid, s->gid) == 0;
        }
        if (!good)
            err_errno(err, "cannot give %s to %s", path, s->user);
        if (d)
            closedir(d);
        if (!good)
            return false;
    }
    return true;
}

/* The configuration is read as the daemon will read it, before anything is put into place. */
static bool check_all(const struct init_settings *s, const char *dir, struct err *err)
{
    char path[HOME_MAX + 64];
    struct config_rooms rooms;
    snprintf(path, sizeof path, "%s/scepd.conf", dir);
    if (s->outside) { /* as far as it can be, without certificates */
        struct config *waiting = config_load_waiting(path, complain, err);
        config_free(waiting);
        return waiting != NULL;
    }
    struct config *c = config_load(path, complain, err);
    bool good = c && config_rooms_load(c, &rooms, err);
    if (good)
        config_rooms_clear(c, &rooms);
    config_free(c);
    return good;
}

static bool sync_directory(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (!good)
        err_errno(err, "cannot sync %s", path);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool put_configuration(const struct init_settings *s, const char *home, struct err *err)
{
    char path[HOME_MAX + 64];
    struct buf conf = {0};
    snprintf(path, sizeof path, "%s/scepd.conf", home);
    bool good = (init_conf(s, s->apart ? s->data : NULL, &conf) || err_memory(err)) &&
                file_replace(path, buf_view(&conf), 0644, err);
    buf_clear(&conf);
    return good;
}

static bool move_all(const struct init_settings *s, const char *staging, const char *home,
                     struct err *err)
{
    char from[HOME_MAX + 64], to[HOME_MAX + 64];
    size_t done = 0;
    for (; done < MOVED; done++) {
        snprintf(from, sizeof from, "%s/%s", staging, moved[done]);
        snprintf(to, sizeof to, "%s/%s", s->data, moved[done]);
        if (rename(from, to)) {
            err_errno(err, "cannot move %s into place", to);
            break;
        }
    }
    if (done == MOVED && sync_directory(s->data, err) && put_configuration(s, home, err))
        return true;
    while (done--) { /* back into the staging directory, which is removed */
        snprintf(from, sizeof from, "%s/%s", s->data, moved[done]);
        snprintf(to, sizeof to, "%s/%s", staging, moved[done]);
        rename(from, to);
    }
    return false;
}

/* *told: the reason was told already, and is the exit code. */
static bool bring_in(struct ctl *ctl, const struct init_settings *s, const char *dir, int *told)
{
    if (s->from)
        *told = ctl_init_from_import(ctl, s, dir);
    return *told == CTL_DONE;
}

/* With --dry-run (of an authority that moves in) everything but the last step. */
static bool set_up(struct ctl *ctl, const struct init_settings *s, const char *home, int *told,
                   struct err *err)
{
    char staging[HOME_MAX + 32];
    struct stat st;
    bool had_home = stat(home, &st) == 0, had_data = stat(s->data, &st) == 0, good = false;
    int lock = -1;
    if (!make_directories(home, err) || !make_directories(s->data, err))
        return false;
    if (make_staging(s->data, staging, &lock, err)) {
        good = make_all(ctl, s, staging, err) && check_all(s, staging, err) &&
               bring_in(ctl, s, staging, told) && give_away(s, staging, err) &&
               (ctl->dry_run || move_all(s, staging, home, err));
        remove_tree(staging);
        close(lock);
    }
    if ((!good || ctl->dry_run) && !had_data)
        rmdir(s->data);
    if ((!good || ctl->dry_run) && !had_home)
        rmdir(home);
    return good;
}

/* ---- what is there already ---- */

static bool stands(const char *home, const char *name)
{
    char path[HOME_MAX + 64];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", home, name);
    return lstat(path, &st) == 0 && (!S_ISDIR(st.st_mode) || rmdir(path) != 0);
}

/* Parts of an authority without its configuration: another's, or of a run that was killed while it
 * put them in place.  All of them at once. */
static int fail_parts(struct ctl *ctl, const struct init_settings *s, const char *home)
{
    char names[64] = "", fix[2 * HOME_MAX];
    for (size_t i = 0, n = 0; i < MOVED; i++)
        if (stands(s->data, moved[i]))
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? " " : "", moved[i]);
    if (!names[0])
        return CTL_DONE;
    snprintf(fix, sizeof fix,
             "cd %s && mkdir old && mv %s old, or choose another --%s; of an init that was "
             "interrupted nothing is lost: it was never used",
             s->data, names, s->apart ? "data" : "home");
    return ctl_fail(ctl, CTL_CONFLICT, fix,
                    "in %s there is %s, but no %s/scepd.conf: nothing was changed", s->data, names,
                    home);
}

/* ---- telling ---- */

/* Its certificate is not here yet. */
static int tell_waiting(struct ctl *ctl, const struct init_settings *s, const char *home, bool made)
{
    char path[HOME_MAX + 64], conf[HOME_MAX + 64];
    struct ctl_show show;
    snprintf(path, sizeof path, "%s/ca/ca.csr", s->data);
    snprintf(conf, sizeof conf, "%s/scepd.conf", home);
    ctl_show_start(&show, ctl);
    ctl_show_text(&show, "made", made ? "yes" : "no");
    ctl_show_text(&show, "configuration", conf);
    ctl_show_text(&show, "request", path);
    ctl_show_end(&show);
    if (!made)
        ctl_note(ctl, "%s is set up already, and waits for its certificate", home);
    ctl_note(ctl, "Next:");
    ctl_note(ctl, "  have %s signed by the root, as a subordinate CA", path);
    ctl_note(ctl, "  scepctl -c %s ca install ANSWER    its certificate with those above it", conf);
    return CTL_DONE;
}

static int tell(struct ctl *ctl, const struct init_settings *s, const char *home, bool made)
{
    char path[HOME_MAX + 64], conf[HOME_MAX + 64], print[3 * 64];
    struct buf pem = {0};
    struct cert *ca = NULL;
    if (!stands(s->data, "ca/ca.pem") && stands(s->data, "ca/ca.csr"))
        return tell_waiting(ctl, s, home, made);
    struct err err = {0};
    struct ctl_show show;
    snprintf(path, sizeof path, "%s/ca/ca.pem", s->data);
    snprintf(conf, sizeof conf, "%s/scepd.conf", home);
    bool good = file_read(path, &pem, &err) && cert_parse_any(buf_view(&pem), &ca, &err) &&
                cert_fingerprint(ca, DIGEST_SHA256, print, &err);
    buf_clear(&pem);
    cert_free(ca);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_show_start(&show, ctl);
    ctl_show_text(&show, "made", made ? "yes" : "no");
    ctl_show_text(&show, "configuration", conf);
    ctl_show_text(&show, "certificate", path);
    ctl_show_text(&show, "sha256", print);
    ctl_show_end(&show);
    if (!made) {
        ctl_note(ctl, "%s is set up already: nothing was changed", home);
        return CTL_DONE;
    }
    ctl_note(ctl, "Next:");
    ctl_note(ctl, "  scepd -c %s                      starts the daemon", conf);
    ctl_note(ctl, "  scepctl -c %s challenge new      a password for the first device", conf);
    ctl_note(ctl, "  scepctl -c %s ca show            fingerprints for profiles", conf);
    if (s->api_port)
        ctl_note(ctl, "  scepctl -c %s console            a link to the console, once it runs",
                 conf);
    ctl_note(ctl, "  scepctl probe %s/scep      what devices will find, once it runs", s->url);
    return CTL_DONE;
}

static void tell_more(struct ctl *ctl, const struct init_settings *s)
{
    if (s->demo && !s->ca_decrypts)
        ctl_note(ctl,
                 "The endpoint /scep/ca is left out: it has no RA, and a %s key cannot decrypt.",
                 s->ca_key);
    if (s->root_key)
        ctl_note(ctl,
                 "Take %s/keys/root.key to a safe place, off this machine: scepd does not need it.",
                 s->data);
    if (!s->passphrase_file[0])
        ctl_note(ctl, "The private keys are not encrypted; whoever reads %s/keys has them.",
                 s->data);
}

static int make(struct ctl *ctl, const struct ctl_args *a, const char *home,
                struct init_settings *s)
{
    struct err err = {0};
    int rc = read_settings(ctl, a, s), told = CTL_DONE;
    if (rc)
        return rc;
    if (ctl->dry_run)
        ctl_note(ctl, "would make \"%s\" (%s%s%s%s) in %s for %s", s->name,
                 s->from ? "as it is" : s->ca_key, s->root_key ? ", root " : "",
                 s->root_key ? s->root_key : "", s->outside ? ", root elsewhere" : "", home,
                 s->url);
    if (ctl->dry_run && !s->from)
        return CTL_DONE;
    if (!set_up(ctl, s, home, &told, &err)) {
        const char *closed = access(home, W_OK) && errno == EACCES      ? home
                             : access(s->data, W_OK) && errno == EACCES ? s->data
                                                                        : NULL;
        if (told)
            return told;
        if (closed)
            return ctl_fail(ctl, CTL_NOT_PERMITTED, "sudo, or --home in a directory of yours",
                            "cannot write in %s", closed);
        return ctl_fail_err(ctl, &err, NULL);
    }
    if (ctl->dry_run)
        return CTL_DONE;
    if ((rc = tell(ctl, s, home, true)) == CTL_DONE)
        tell_more(ctl, s);
    return rc;
}

int ctl_init(struct ctl *ctl, const struct ctl_args *a)
{
    struct init_settings s = {0};
    char home[HOME_MAX];
    int rc;
    if ((rc = read_home(ctl, a, home, &s)))
        return rc;
    if (!ctl->dry_run)
        sweep(s.data);
    if (stands(home, "scepd.conf"))
        return tell(ctl, &s, home, false);
    if ((rc = fail_parts(ctl, &s, home)))
        return rc;
    rc = make(ctl, a, home, &s);
    bundle_clear(&s.bundle);
    return rc;
}
