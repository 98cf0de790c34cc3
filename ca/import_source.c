/* Walks through a source: an index with its certificates, a directory, a file. */
#include <dirent.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "ca/outside.h"
#include "import_internal.h"

#define PATH_CAP 4096
#define WHERE_CAP 600
#define LINE_CAP (64u << 10) /* a subject of 30 KB, escaped */
#define DER_CAP (256L << 20) /* a CRL of six million entries */

/* ---- paths ---- */

static bool join(char out[PATH_CAP], const char *directory, const char *name)
{
    int n = snprintf(out, PATH_CAP, "%s/%s", directory, name);
    return n >= 0 && n < PATH_CAP;
}

static bool is_file(const char *directory, const char *name)
{
    char path[PATH_CAP];
    struct stat st;
    return join(path, directory, name) && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void split_path(const char *path, char directory[PATH_CAP], const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (slash)
        snprintf(directory, PATH_CAP, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    else
        snprintf(directory, PATH_CAP, ".");
}

/* ---- a file of certificates and CRLs ---- */

struct reading {
    const struct import_walker *w;
    const char *name;
    bool only_crls; /* beside an index, which names the certificates */
    bool found;
};

static bool give_certificate(struct reading *r, const char *where, struct view der, struct err *err)
{
    struct import_item i = {.where = where, .der = der};
    r->found = true;
    return r->only_crls || r->w->item(r->w->ctx, &i, err);
}

static bool give_block(struct reading *r, unsigned number, const char *kind, struct view der,
                       struct err *err)
{
    char where[WHERE_CAP];
    bool certificate = strcmp(kind, PEM_STRING_X509) == 0 || strcmp(kind, PEM_STRING_X509_OLD) == 0;
    snprintf(where, sizeof where, "%.500s, block %u", r->name, number);
    if (certificate)
        return give_certificate(r, where, der, err);
    if (strcmp(kind, PEM_STRING_X509_CRL) != 0)
        return true;
    r->found = true;
    return r->w->crl(r->w->ctx, where, der, err);
}

/* One block at a time: the file may hold a million certificates.  A damaged one does not hide those
 * behind it. */
static bool read_pem(struct reading *r, FILE *f, struct err *err)
{
    BIO *bio = BIO_new_fp(f, BIO_NOCLOSE);
    bool ok = bio || err_memory(err);
    for (unsigned number = 1; ok; number++) {
        char *kind = NULL, *header = NULL;
        unsigned char *der = NULL;
        long n = 0;
        ERR_clear_error();
        if (PEM_read_bio(bio, &kind, &header, &der, &n) == 1) {
            ok = give_block(r, number, kind, view_of(der, (size_t)n), err);
            OPENSSL_free(kind);
            OPENSSL_free(header);
            OPENSSL_clear_free(der, (size_t)n); /* may have been a private key */
        } else if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
            break;
        } else if (!r->only_crls) {
            char where[WHERE_CAP];
            snprintf(where, sizeof where, "%.500s, block %u", r->name, number);
            r->found = true;
            r->w->bad(r->w->ctx, where, "it is damaged or cut off");
        }
    }
    ERR_clear_error();
    BIO_free(bio);
    return ok;
}

static bool read_der(struct reading *r, FILE *f, off_t size, struct err *err)
{
    struct err ignored = {0};
    struct cert *c = NULL;
    struct buf b = {0};
    bool ok = buf_reserve(&b, (size_t)size) || err_memory(err);
    if (ok) {
        b.n = fread(b.p, 1, (size_t)size, f);
        if (b.n <= CERT_MAX_SIZE && cert_parse(buf_view(&b), &c, &ignored)) {
            ok = give_certificate(r, r->name, buf_view(&b), err);
        } else {
            struct crl_info info;
            bool crl = crl_describe(buf_view(&b), &info, &ignored);
            r->found = r->found || crl;
            ok = !crl || r->w->crl(r->w->ctx, r->name, buf_view(&b), err);
        }
    }
    cert_free(c);
    buf_clear(&b);
    return ok;
}

/* `name` is what messages call it. */
static bool read_file(const struct import_walker *w, const char *path, const char *name,
                      bool only_crls, bool *found, struct err *err)
{
    struct reading r = {.w = w, .name = name, .only_crls = only_crls};
    struct stat st;
    int fd;
    if (!file_open(path, &fd, &st, err))
        return false;
    FILE *f = fdopen(fd, "rb");
    if (!f) {
        close(fd);
        return err_memory(err);
    }
    bool der = getc(f) == DER_SEQUENCE, ok = true;
    rewind(f);
    if (der && st.st_size > DER_CAP)
        w->bad(w->ctx, name, "it is larger than 256 MiB");
    else if (der)
        ok = read_der(&r, f, st.st_size, err);
    if (ok && !r.found) { /* a text may begin with the same octet */
        rewind(f);
        ok = read_pem(&r, f, err);
    }
    fclose(f);
    *found = r.found;
    return ok;
}

/* ---- an index ---- */

/* Where the certificates of an index lie: newcerts of `openssl ca`, those of easy-rsa, beside it.
 */
static const char *const rooms[] = {"newcerts", "certs_by_serial", "certs", "."};

struct index_reading {
    const struct import_walker *w;
    const char *directory, *name;
    size_t room; /* where the last one was found */
};

static bool plain_name(const char *name)
{
    return name[0] && name[0] != '/' && strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 &&
           !strstr(name, "/../");
}

/* ERR_NOT_FOUND when it is in none of the places. */
static bool find_certificate(struct index_reading *r, const struct index_line *l, struct buf *out,
                             struct err *err)
{
    const size_t n = sizeof rooms / sizeof rooms[0];
    char path[PATH_CAP], name[PATH_CAP];
    if (l->file[0]) {
        if (!plain_name(l->file))
            return err_set(err, ERR_CONFIG, "its file lies outside of the directory");
        return join(path, r->directory, l->file) && file_read(path, out, err);
    }
    for (size_t i = 0; i < n; i++) {
        struct err why = {0};
        size_t room = (r->room + i) % n;
        snprintf(name, sizeof name, "%s/%s.pem", rooms[room], l->serial_text);
        if (!join(path, r->directory, name))
            return err_set(err, ERR_IO, "the path is too long");
        if (file_read(path, out, &why)) {
            r->room = room;
            return true;
        }
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return false;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "its certificate is not there");
}

static bool give_line(struct index_reading *r, const char *where, const struct index_line *l,
                      struct err *err)
{
    struct import_item i = {.where = where,
                            .serial = {l->serial, l->serial_len},
                            .not_after = l->not_after,
                            .revoked = l->revoked,
                            .revoked_at = l->revoked_at,
                            .reason = l->reason};
    struct buf file = {0};
    struct cert *c = NULL;
    struct err why = {0};
    bool ok = true;
    if (find_certificate(r, l, &file, &why)) {
        if (cert_parse_any(buf_view(&file), &c, &why))
            i.der = buf_view(&c->der);
    } else if (why.kind == ERR_NOT_FOUND) {
        why = (struct err){0};
    }
    if (why.kind)
        r->w->bad(r->w->ctx, where, why.text);
    else
        ok = r->w->item(r->w->ctx, &i, err);
    cert_free(c);
    buf_clear(&file);
    return ok;
}

/* Reads to the end of a line that is too long; false at the end of the file. */
static bool next_line(FILE *f, char *line, struct view *out, bool *too_long)
{
    size_t n = 0;
    int c;
    while ((c = getc(f)) != EOF && c != '\n')
        if (n < LINE_CAP)
            line[n++] = (char)c;
    *too_long = n == LINE_CAP;
    if (n && line[n - 1] == '\r')
        n--;
    *out = view_of(line, n);
    return c != EOF || n > 0;
}

static bool is_passed_over(struct view line)
{
    return line.n == 0 || line.p[0] == '#';
}

static bool read_lines(struct index_reading *r, FILE *f, char *line, struct err *err)
{
    struct view text;
    bool too_long, ok = true;
    for (unsigned long number = 1; ok && next_line(f, line, &text, &too_long); number++) {
        char where[WHERE_CAP];
        struct index_line l;
        struct err why = {0};
        if (is_passed_over(text))
            continue;
        snprintf(where, sizeof where, "%.500s:%lu", r->name, number);
        if (too_long)
            r->w->bad(r->w->ctx, where, "the line is longer than 65536 octets");
        else if (!index_line_parse(text, &l, &why))
            r->w->bad(r->w->ctx, where, why.text);
        else
            ok = give_line(r, where, &l, err);
    }
    return ok && (!ferror(f) || err_set(err, ERR_IO, "cannot read %s", r->name));
}

static bool read_index(const struct import_walker *w, const char *directory, const char *name,
                       struct err *err)
{
    struct index_reading r = {.w = w, .directory = directory, .name = name};
    char path[PATH_CAP];
    struct stat st;
    int fd;
    if (!join(path, directory, name))
        return err_set(err, ERR_IO, "the path is too long");
    if (!file_open(path, &fd, &st, err))
        return false;
    FILE *f = fdopen(fd, "rb");
    char *line = malloc(LINE_CAP);
    bool ok = f && line ? read_lines(&r, f, line, err) : err_memory(err);
    free(line);
    if (f)
        fclose(f);
    else
        close(fd);
    return ok;
}

/* OpenSSL keeps the next number there, in hex. */
static bool read_crl_number(const struct import_walker *w, const char *directory, struct err *err)
{
    char path[PATH_CAP], text[64];
    struct buf b = {0};
    char *end = NULL;
    if (!is_file(directory, "crlnumber"))
        return true;
    if (!join(path, directory, "crlnumber") || !file_read(path, &b, err))
        return false;
    snprintf(text, sizeof text, "%.*s", (int)(b.n < 40 ? b.n : 40), (const char *)b.p);
    buf_clear(&b);
    errno = 0;
    unsigned long long number = strtoull(text, &end, 16);
    if (errno || end == text || strspn(end, " \r\n") != strlen(end) || text[0] == '-' ||
        number >= INT64_MAX) {
        w->bad(w->ctx, "crlnumber", "it is no number in hex of at most 63 bits");
        return true;
    }
    return w->number(w->ctx, number, err);
}

/* ---- directories ---- */

/* Does the name look like a CRL's?  Beside an index only those are read. */
static bool looks_like_crl(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".crl") == 0 ||
                   (strcasestr(name, "crl") != NULL &&
                    (strcasecmp(dot, ".pem") == 0 || strcasecmp(dot, ".der") == 0)));
}

static bool read_entry(const struct import_walker *w, const char *directory, const char *name,
                       bool only_crls, struct err *err)
{
    char path[PATH_CAP];
    struct err why = {0};
    bool found = false;
    if (!join(path, directory, name))
        return err_set(err, ERR_IO, "the path of %.100s is too long", name);
    if (read_file(w, path, name, only_crls, &found, &why)) {
        if (!found && !only_crls)
            w->passed_over(w->ctx, name);
        return true;
    }
    if (why.kind == ERR_IO || why.kind == ERR_NOT_FOUND) { /* of this file alone */
        w->bad(w->ctx, name, why.text);
        return true;
    }
    *err = why;
    return false;
}

/* In the order of their names, so that two walks are alike.  CRLs come last: what they revoke is
 * known by then. */
static bool read_directory(const struct import_walker *w, const char *directory, bool crls,
                           bool only_crls, struct err *err)
{
    struct dirent **entry = NULL;
    int n = scandir(directory, &entry, NULL, alphasort);
    bool ok = n >= 0 || err_errno(err, "cannot read %s", directory);
    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        if (ok && name[0] != '.' && looks_like_crl(name) == crls && is_file(directory, name))
            ok = read_entry(w, directory, name, only_crls, err);
        free(entry[i]);
    }
    free(entry);
    return ok;
}

static bool walk_index(const struct import_walker *w, const char *directory, const char *name,
                       struct err *err)
{
    char crls[PATH_CAP];
    struct stat st;
    bool more = join(crls, directory, "crl") && stat(crls, &st) == 0 && S_ISDIR(st.st_mode);
    return read_index(w, directory, name, err) && read_crl_number(w, directory, err) &&
           read_directory(w, directory, true, true, err) &&
           (!more || read_directory(w, crls, true, true, err));
}

/* ---- what it is ---- */

static bool begins_as_index(FILE *f, char *line)
{
    struct view text;
    bool too_long;
    while (next_line(f, line, &text, &too_long) && !too_long)
        if (!is_passed_over(text))
            return index_line_shaped(text);
    return false;
}

static bool is_index(const char *path)
{
    struct err ignored = {0};
    struct stat st;
    bool is = false;
    char *line = malloc(LINE_CAP);
    int fd;
    if (line && file_open(path, &fd, &st, &ignored)) {
        FILE *f = fdopen(fd, "rb");
        is = f && begins_as_index(f, line);
        if (f)
            fclose(f);
        else
            close(fd);
    }
    free(line);
    return is;
}

bool import_kind_of(const char *path, enum import_kind *out, struct err *err)
{
    struct stat st;
    if (stat(path, &st)) {
        bool none = errno == ENOENT;
        err_errno(err, "cannot find %s", path);
        if (none)
            err->kind = ERR_NOT_FOUND;
        return false;
    }
    if (S_ISDIR(st.st_mode))
        *out = is_file(path, "index.txt") ? IMPORT_INDEX : IMPORT_DIRECTORY;
    else if (S_ISREG(st.st_mode))
        *out = is_index(path) ? IMPORT_INDEX : IMPORT_FILE;
    else
        return err_set(err, ERR_IO, "%s is neither a directory nor a regular file", path);
    return true;
}

bool import_walk(const char *path, const struct import_walker *w, struct err *err)
{
    enum import_kind kind;
    char directory[PATH_CAP];
    const char *name;
    bool found = false;
    if (!import_kind_of(path, &kind, err))
        return false;
    split_path(path, directory, &name);
    switch (kind) {
    case IMPORT_INDEX:
        return is_file(path, "index.txt") ? walk_index(w, path, "index.txt", err)
                                          : walk_index(w, directory, name, err);
    case IMPORT_DIRECTORY:
        return read_directory(w, path, false, false, err) &&
               read_directory(w, path, true, false, err);
    case IMPORT_FILE:
        if (!read_file(w, path, name, false, &found, err))
            return false;
        return found ||
               err_set(err, ERR_NOT_FOUND,
                       "%s holds neither certificates nor CRLs nor lines of an index", path);
    }
    return false;
}

/* ---- the authority's own files ---- */

bool import_find_authority(const char *directory, struct view passphrase, struct bundle *out,
                           struct err *err)
{
    static const char *const names[] = {
        "cacert.pem",
        "private/cakey.pem", /* openssl ca */
        "ca.pem",
        "ca.key", /* the depot; many a guide */
        "ca.crt",
        "private/ca.key", /* easy-rsa */
        "certs/intermediate.cert.pem",
        "private/intermediate.key.pem",
        "certs/ca-chain.cert.pem",
        "certs/ca.cert.pem",
        "private/ca.key.pem",
        "certs/ca.crt",
        "private/ca.pem",
        "ca-chain.pem",
        "chain.pem",
        "root.pem",
        "root.crt",
        "ca.p12",
        "ca.pfx",
    };
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_CAP];
        struct buf b = {0};
        struct err why = {0};
        if (!is_file(directory, names[i]) || !join(path, directory, names[i]))
            continue;
        bool ok =
            file_read(path, &b, &why) && bundle_read(buf_view(&b), passphrase, path, out, &why);
        buf_wipe(&b);
        found = found || ok;
        if (!ok && why.kind != ERR_NOT_FOUND) {
            *err = why;
            return false;
        }
    }
    return found ||
           err_set(err, ERR_NOT_FOUND,
                   "%s has no key and certificate of an authority at the usual places", directory);
}
