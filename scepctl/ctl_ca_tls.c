/* scepctl ca tls: certificate and key for the listener of the API. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "ca/server.h"
#include "pkcs7/ext.h"
#include "scepctl/ctl.h"

/* clang-format off */
const struct ctl_flag ctl_ca_tls_flags[] = {
    {"host", 0, "NAMES", false, "names and addresses by which it is reached, comma-separated"},
    {"validity", 0, "TIME", false, "life of the certificate (90d; 398d at most)"},
    {"key", 0, "KIND", false, "rsa2048, rsa3072, rsa4096, p256 (default), p384"},
    {"certificate-file", 0, "FILE", false, "where the certificate goes (api.certificate; keys/api.pem)"},
    {"key-file", 0, "FILE", false, "where its key goes (api.key; keys/api.key)"},
    {NULL, 0, NULL, false, NULL},
};
/* clang-format on */

static bool is_address(const char *host)
{
    uint8_t octets[16];
    return inet_pton(AF_INET, host, octets) == 1 || inet_pton(AF_INET6, host, octets) == 1;
}

static int read_hosts(struct ctl *ctl, const char *hosts, struct san *out)
{
    struct err err = {0};
    char host[256];
    for (const char *p = hosts ? hosts : ""; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        snprintf(host, sizeof host, "%.*s", (int)(n < sizeof host ? n : sizeof host - 1), p);
        if (n >= sizeof host || !san_add(out, is_address(host) ? SAN_IP : SAN_DNS, host, &err))
            return ctl_fail(ctl, CTL_USAGE, NULL, "--host: \"%.60s\" is no name: %s", host,
                            err.text);
        p += n;
    }
    return out->n ? CTL_DONE
                  : ctl_fail(ctl, CTL_USAGE, "scepctl ca tls --host scepd.example.org",
                             "--host is needed: by which names is it reached?");
}

/* What was asked for, what the configuration names, or beside the other keys. */
static void file_of(const struct ctl *ctl, const char *given, const char *configured,
                    const char *name, char out[600])
{
    const char *keys = ctl->config->challenge_key_file, *slash = strrchr(keys, '/');
    if (given || configured[0])
        snprintf(out, 600, "%s", given ? given : configured);
    else
        snprintf(out, 600, "%.*s%s", slash ? (int)(slash + 1 - keys) : 0, keys, name);
}

/* ---- what is there ---- */

static bool is_key_of(const char *key_file, const struct cert *c, struct err *err)
{
    struct pubkey key;
    EVP_PKEY *public_key = NULL, *private_key = NULL;
    bool ok = key_load(key_file, NULL, &private_key, err) && pubkey_parse(c->spki, &key, err) &&
              pubkey_load(&key, &public_key, err) &&
              (EVP_PKEY_eq(private_key, public_key) == 1 ||
               err_set(err, ERR_CONFLICT, "%s is not the key of the certificate", key_file));
    EVP_PKEY_free(public_key);
    EVP_PKEY_free(private_key);
    return ok;
}

static bool server_certificate(const char *path, struct cert **out, struct err *err)
{
    struct buf text = {0};
    struct extensions x = {.der = {NULL, 0}};
    struct cert *c = NULL;
    char oid[OID_TEXT_MAX];
    bool ok = file_read(path, &text, err) && cert_parse_any(buf_view(&text), &c, err) &&
              extensions_parse(c->extensions, REASON_NONE, &x, err) &&
              ((!x.is_ca && eku_by_name("serverAuth", oid) && eku_has(&x.eku, oid)) ||
               err_set(err, ERR_CONFLICT, "%s is no certificate for TLS servers", path));
    extensions_clear(&x);
    buf_wipe(&text); /* whatever it was */
    if (ok)
        *out = c;
    else
        cert_free(c);
    return ok;
}

static bool same_inode(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* "d/" of "d/name", "." of "name" */
static const char *directory_of(const char *path, char out[640])
{
    const char *slash = strrchr(path, '/');
    snprintf(out, 640, "%.*s", slash ? (int)(slash + 1 - path) : 1, slash ? path : ".");
    return slash ? slash + 1 : path;
}

/* Whatever they are called, and whether they are there or not. */
static bool same_place(const char *a, const char *b)
{
    char there[2][640];
    return same_inode(a, b) || (strcmp(directory_of(a, there[0]), directory_of(b, there[1])) == 0 &&
                                same_inode(there[0], there[1]));
}

/* One run at a time in the directory of a key, as long as the descriptor is open: two would mix
 * their pairs.  -1: err. */
static int lock_directory(const char *key_file, struct err *err)
{
    char path[600];
    snprintf(path, sizeof path, "%s", key_file);
    int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        err_set(err, ERR_BUSY, "another scepctl ca tls is at work on %s", key_file);
    else
        err_errno(err, "cannot lock the directory of %s", key_file);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* What file_replace has left of runs that were killed: NAME.PID.new. */
static void sweep(const char *certificate)
{
    char path[600], copy[600];
    snprintf(path, sizeof path, "%s", certificate);
    snprintf(copy, sizeof copy, "%s", certificate);
    const char *name = basename(copy);
    size_t n = strlen(name);
    DIR *d = opendir(dirname(path));
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, name, n) != 0 || e->d_name[n] != '.')
            continue;
        size_t digits = strspn(e->d_name + n + 1, "0123456789");
        if (digits && strcmp(e->d_name + n + 1 + digits, ".new") == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}

/* A renewal replaces what this verb made, and nothing else that a slip of the hand names: the key
 * of the authority is nowhere but in its file.  One that was interrupted between its two files is
 * brought to its end, so that they are a pair again. */
static bool may_replace(const char *certificate, const char *key_file, const char *fresh,
                        struct err *err)
{
    struct cert *c = NULL;
    bool key_there = access(key_file, F_OK) == 0;
    if (same_place(certificate, key_file))
        return err_set(err, ERR_CONFLICT, "certificate and key need a file each");
    if (access(certificate, F_OK) != 0)
        return !key_there ||
               err_set(err, ERR_CONFLICT, "%s is there without %s", key_file, certificate);
    bool ok = server_certificate(certificate, &c, err);
    struct err ignored = {0};
    if (ok && access(fresh, F_OK) == 0 && is_key_of(fresh, c, &ignored))
        ok = rename(fresh, key_file) == 0 || err_errno(err, "cannot rename %s", fresh);
    else if (ok && key_there)
        ok = is_key_of(key_file, c, err);
    cert_free(c);
    return ok;
}

/* Beside their places first, so that neither is there by half. */
static bool write_files(const char *certificate, const char *key_file, const char *fresh,
                        const struct cert *c, EVP_PKEY *key, const struct authority *issuer,
                        struct err *err)
{
    struct buf pem = {0};
    unlink(fresh); /* of an earlier try that was interrupted */
    bool ok = cert_pem(buf_view(&c->der), &pem, err);
    for (size_t i = 0; ok && i + 1 < issuer->chain_n; i++) /* the root is known to who trusts it */
        ok = cert_pem(buf_view(&issuer->chain[i]->der), &pem, err);
    ok = ok && (issuer->chain_n == 0 || cert_pem(buf_view(&issuer->cert->der), &pem, err)) &&
         key_save(key, fresh, NULL, err) && file_replace(certificate, buf_view(&pem), 0644, err) &&
         (rename(fresh, key_file) == 0 || err_errno(err, "cannot rename %s", fresh));
    if (!ok)
        unlink(fresh);
    buf_clear(&pem);
    return ok;
}

static void tell(struct ctl *ctl, const struct cert *c, const char *certificate,
                 const char *key_file)
{
    struct ctl_show s;
    char subject[NAME_TEXT_MAX], print[3 * 64];
    struct err ignored = {0};
    name_der_text(c->subject, subject, sizeof subject);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "certificate", certificate);
    ctl_show_text(&s, "key", key_file);
    ctl_show_text(&s, "subject", subject);
    ctl_show_time(&s, "not_after", c->not_after);
    if (cert_fingerprint(c, DIGEST_SHA256, print, &ignored))
        ctl_show_text(&s, "sha256", print);
    ctl_show_end(&s);
    if (ctl->config->api_certificate[0])
        ctl_note(ctl, "tell the daemon: systemctl reload scepd (SIGHUP)");
    else
        ctl_note(ctl, "in the configuration: api: { certificate = \"%s\"; key = \"%s\"; ... };",
                 certificate, key_file);
}

static int make(struct ctl *ctl, const struct ctl_args *a, size_t authority,
                const struct server_wish *w)
{
    char certificate[600], key_file[600], fresh[640];
    struct family_files files;
    struct tend_rules rules;
    struct family *family = NULL;
    EVP_PKEY *key = NULL;
    struct cert *c = NULL;
    struct err err = {0};
    file_of(ctl, ctl_arg(a, "certificate-file"), ctl->config->api_certificate, "api.pem",
            certificate);
    file_of(ctl, ctl_arg(a, "key-file"), ctl->config->api_key, "api.key", key_file);
    snprintf(fresh, sizeof fresh, "%s.new", key_file);
    if (ctl->dry_run) {
        ctl_note(ctl, "would write %s and %s", certificate, key_file);
        return CTL_DONE;
    }
    int lock = lock_directory(key_file, &err);
    if (lock < 0)
        return ctl_fail_err(ctl, &err, NULL);
    if (!may_replace(certificate, key_file, fresh, &err)) {
        close(lock);
        return ctl_fail_err(ctl, &err, "give other names, or move away what is there");
    }
    sweep(certificate);
    config_tend_setup(ctl->config, authority, &files, &rules);
    const struct tend t = {.files = &files, .rules = &rules, .actor = ctl->actor, .now = ctl->now};
    int rc = ctl_look_at_authority(ctl, authority, &family);
    if (!rc && (!server_make(&t, w, ctl->store, &key, &c, &err) ||
                !write_files(certificate, key_file, fresh, c, key, family->current, &err)))
        rc = ctl_fail_err(ctl, &err, NULL);
    if (!rc)
        tell(ctl, c, certificate, key_file);
    family_free(family);
    EVP_PKEY_free(key);
    cert_free(c);
    close(lock);
    return rc;
}

int ctl_ca_tls(struct ctl *ctl, const struct ctl_args *a)
{
    struct san names = {.n = 0};
    size_t authority;
    struct server_wish w = {.names = &names,
                            .key_kind = ctl_arg(a, "key") ? ctl_arg(a, "key") : "p256"};
    int rc = ctl_arg_duration(ctl, a, "validity", SERVER_VALIDITY, &w.validity);
    if (!rc)
        rc = read_hosts(ctl, ctl_arg(a, "host"), &names);
    if (!rc)
        rc = ctl_need_waiting_config(ctl); /* it may name what is made here */
    if (!rc)
        rc = ctl_need_store(ctl); /* root becomes its owner: the key must be the daemon's */
    if (!rc)
        rc = ctl_one_authority(ctl, a->id_n ? a->id[0] : NULL, &authority);
    if (!rc)
        rc = make(ctl, a, authority, &w);
    san_clear(&names);
    return rc;
}
