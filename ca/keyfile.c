#include "ca/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20) /* certificates, keys and passphrases are a thousand times smaller */
#define PASSPHRASE_MAX 1024 /* octets; OpenSSL's own PEM_BUFSIZE */
#define PBKDF2_ITERATIONS 200000 /* about 60 ms at each load: slows guessing, not the daemon */

static bool crypto_failed(struct err *err, const char *what)
{
    char text[160] = "no detail";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s: %s", what, text);
}

/* ---- whole files ---- */

static bool read_all(int fd, const char *path, struct buf *out, struct err *err)
{
    struct buf b = {0};
    bool ok = false;
    for (;;) {
        if (!buf_reserve(&b, 4096)) {
            err_memory(err);
            goto out;
        }
        ssize_t n = read(fd, b.p + b.n, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(err, "cannot read %s", path);
            goto out;
        }
        if (n == 0)
            break;
        b.n += (size_t)n;
        if (b.n > FILE_MAX) {
            err_set(err, ERR_IO, "%s is larger than %u bytes", path, FILE_MAX);
            goto out;
        }
    }
    *out = b;
    b = (struct buf){0};
    ok = true;
out:
    buf_wipe(&b);
    return ok;
}

static struct {
    file_opener open;
    void *ctx;
} elsewhere;

void file_open_through(file_opener opener, void *ctx)
{
    elsewhere.open = opener;
    elsewhere.ctx = ctx;
}

int file_descriptor(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 || errno != EACCES || !elsewhere.open)
        return fd;
    fd = elsewhere.open(elsewhere.ctx, path);
    if (fd < 0)
        errno = EACCES;
    return fd;
}

/* Regular files only. */
bool file_open(const char *path, int *out, struct stat *st, struct err *err)
{
    int fd = file_descriptor(path);
    if (fd < 0) {
        int number = errno;
        err_errno(err, "cannot open %s", path);
        if (number == ENOENT)
            err->kind = ERR_NOT_FOUND;
        return false;
    }
    if (fstat(fd, st) != 0) {
        err_errno(err, "cannot examine %s", path);
        close(fd);
        return false;
    }
    if (!S_ISREG(st->st_mode)) {
        close(fd);
        return err_set(err, ERR_IO, "%s is not a regular file", path);
    }
    *out = fd;
    return true;
}

bool file_read(const char *path, struct buf *out, struct err *err)
{
    struct stat st;
    int fd = -1;
    if (!file_open(path, &fd, &st, err))
        return false;
    bool ok = read_all(fd, path, out, err);
    close(fd);
    return ok;
}

/* A file whose content is a secret: its mode must show that it is kept as one. */
static bool secret_read(const char *path, struct buf *out, struct err *err)
{
    struct stat st;
    int fd = -1;
    if (!file_open(path, &fd, &st, err))
        return false;
    bool ok = (st.st_mode & 077) == 0;
    if (!ok)
        err_set(err, ERR_CONFIG, "%s may be used by others (mode %04o): run chmod 600 on it", path,
                (unsigned)(st.st_mode & 07777));
    ok = ok && read_all(fd, path, out, err);
    close(fd);
    return ok;
}

bool file_write_all(int fd, struct view v)
{
    while (v.n > 0) {
        ssize_t n = write(fd, v.p, v.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        v = view_of(v.p + n, v.n - (size_t)n);
    }
    return true;
}

static bool sync_directory_of(const char *path, struct err *err)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path)
                  : snprintf(dir, sizeof dir, ".");
    if (n < 0 || (size_t)n >= sizeof dir)
        return err_set(err, ERR_IO, "path too long: %.64s...", path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open directory %s", dir);
    bool ok = fsync(fd) == 0 || err_errno(err, "cannot sync directory %s", dir);
    close(fd);
    return ok;
}

/* A new file of exactly this mode, durable in its directory; nothing is left behind on failure. */
static bool create_file(const char *path, struct view content, unsigned mode, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
    if (fd < 0) {
        int number = errno;
        err_errno(err, "cannot create %s", path);
        if (number == EEXIST)
            err->kind = ERR_EXISTS;
        return false;
    }
    bool ok = file_write_all(fd, content) || err_errno(err, "cannot write %s", path);
    if (ok && fchmod(fd, (mode_t)mode) != 0)
        ok = err_errno(err, "cannot set the mode of %s", path);
    if (ok && fsync(fd) != 0)
        ok = err_errno(err, "cannot sync %s", path);
    if (close(fd) != 0 && ok)
        ok = err_errno(err, "cannot close %s", path);
    ok = ok && sync_directory_of(path, err);
    if (!ok)
        unlink(path);
    return ok;
}

bool file_keep_standard(void)
{
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
            return false;
    return true;
}

bool file_replace(const char *path, struct view content, unsigned mode, struct err *err)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return err_set(err, ERR_IO, "path too long: %.64s...", path);
    if (unlink(temporary) != 0 && errno != ENOENT) /* of an earlier process with our number */
        return err_errno(err, "cannot remove %s", temporary);
    if (!create_file(temporary, content, mode, err))
        return false;
    if (rename(temporary, path) != 0) {
        err_errno(err, "cannot rename %s to %s", temporary, path);
        unlink(temporary);
        return false;
    }
    return sync_directory_of(path, err);
}

/* ---- keys ---- */

bool key_generate(const char *kind, EVP_PKEY **out, struct err *err)
{
    static const struct {
        const char *kind, *curve;
        size_t bits;
    } kinds[] = {
        {"rsa2048", NULL, 2048}, {"rsa3072", NULL, 3072}, {"rsa4096", NULL, 4096},
        {"p256", "P-256", 0},    {"p384", "P-384", 0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kind, kinds[i].kind) != 0)
            continue;
        EVP_PKEY *key = kinds[i].curve ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[i].curve)
                                       : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", kinds[i].bits);
        if (!key)
            return crypto_failed(err, "cannot generate a key");
        *out = key;
        return true;
    }
    return err_set(err, ERR_CONFIG,
                   "unknown kind of key \"%.32s\": rsa2048, rsa3072, rsa4096, p256 or p384", kind);
}

static bool passphrase_load(const char *path, struct buf *out, struct err *err)
{
    struct buf b = {0};
    if (!secret_read(path, &b, err))
        return err_prefix(err, "passphrase file");
    size_t n = 0;
    while (n < b.n && b.p[n] != '\n' && b.p[n] != '\r' && b.p[n] != '\0')
        n++;
    if (n == 0 || n > PASSPHRASE_MAX) {
        buf_wipe(&b);
        return err_set(err, ERR_CONFIG,
                       "the first line of %s must be a passphrase of 1 to %d octets", path,
                       PASSPHRASE_MAX);
    }
    b.n = n;
    *out = b;
    return true;
}

/* PKCS#8 with PBES2: AES-256-CBC under PBKDF2 with HMAC-SHA-256 (RFC 8018 section 6.2). */
static bool write_encrypted(BIO *bio, EVP_PKEY *key, struct view passphrase)
{
    bool ok = false;
    X509_SIG *sealed = NULL;
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
    X509_ALGOR *pbe =
        PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), PBKDF2_ITERATIONS, NULL, 0, NULL, NID_hmacWithSHA256);
    if (!plain || !pbe)
        goto out;
    sealed = PKCS8_set0_pbe((const char *)passphrase.p, (int)passphrase.n, plain, pbe);
    if (!sealed)
        goto out;
    pbe = NULL; /* taken */
    ok = PEM_write_bio_PKCS8(bio, sealed) == 1;
out:
    X509_ALGOR_free(pbe);
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(plain);
    return ok;
}

bool key_save(EVP_PKEY *key, const char *path, const char *passphrase_file, struct err *err)
{
    bool ok = false;
    struct buf passphrase = {0};
    char *pem = NULL;
    long n = 0;
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    if (!bio) {
        crypto_failed(err, "cannot write a key");
        goto out;
    }
    if (passphrase_file && !passphrase_load(passphrase_file, &passphrase, err))
        goto out;
    bool written = passphrase_file
                       ? write_encrypted(bio, key, buf_view(&passphrase))
                       : PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    n = BIO_get_mem_data(bio, &pem);
    if (!written || n <= 0) {
        crypto_failed(err, "cannot write a key");
        goto out;
    }
    ok = create_file(path, view_of(pem, (size_t)n), 0600, err);
out:
    if (pem && n > 0)
        OPENSSL_cleanse(pem, (size_t)n);
    BIO_free(bio);
    buf_wipe(&passphrase);
    return ok;
}

struct asked {
    struct view passphrase;
    bool asked;
};

static int give_passphrase(char *out, int cap, int writing, void *ctx)
{
    struct asked *a = ctx;
    a->asked = true;
    if (a->passphrase.n == 0 || a->passphrase.n > (size_t)cap)
        return -1;
    memcpy(out, a->passphrase.p, a->passphrase.n);
    return (int)a->passphrase.n;
}

bool key_load(const char *path, const char *passphrase_file, EVP_PKEY **out, struct err *err)
{
    struct buf pem = {0}, passphrase = {0};
    EVP_PKEY *key = NULL;
    BIO *bio = NULL;
    struct asked a = {0};
    if (!secret_read(path, &pem, err))
        goto out;
    if (passphrase_file && passphrase_file[0] &&
        !passphrase_load(passphrase_file, &passphrase, err))
        goto out;
    a.passphrase = buf_view(&passphrase);
    bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &a) : NULL;
    if (!key && a.asked && a.passphrase.n == 0)
        err_set(err, ERR_CONFIG, "%s is encrypted: set its passphrase file", path);
    else if (!key && a.asked)
        err_set(err, ERR_CONFIG, "%s: the passphrase in %s does not open it", path,
                passphrase_file);
    else if (!key)
        err_set(err, ERR_CONFIG, "%s holds no private key in PEM that can be read", path);
    ERR_clear_error();
out:
    BIO_free(bio);
    buf_wipe(&passphrase);
    buf_wipe(&pem);
    if (key)
        *out = key;
    return key != NULL;
}
