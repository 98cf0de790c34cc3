#include "enroll/challenge.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/keyfile.h"
#include "enroll/audit.h"
#include "enroll/binding.h"
#include "enroll/token.h"

#define SECRET_CHARACTERS \
    16 /* RFC 8894 section 7.3: 80 bits, beyond guessing, short enough to type */
#define SECRET_GROUP 4
#define ID_TRIES 16 /* a taken id is drawn again */

/* ---- the key ---- */

static bool key_read(int fd, const char *path, struct challenge_key *out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_errno(err, "cannot read the challenge key %s", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, ERR_CONFIG,
                       "the challenge key %s is open to others (mode %04o): chmod 600 it", path,
                       (unsigned)(st.st_mode & 07777));
    struct challenge_key key;
    if (st.st_size != (off_t)sizeof key.bytes)
        return err_set(err, ERR_CONFIG, "the challenge key %s has %lld octets instead of %zu", path,
                       (long long)st.st_size, sizeof key.bytes);
    ssize_t n = read(fd, key.bytes, sizeof key.bytes);
    bool ok = n == (ssize_t)sizeof key.bytes;
    if (ok)
        *out = key;
    OPENSSL_cleanse(&key, sizeof key);
    return ok || (n < 0 ? err_errno(err, "cannot read the challenge key %s", path)
                        : err_set(err, ERR_IO, "the challenge key %s ended early", path));
}

/* A name is on disk only when its directory is: without the key every challenge would be unknown.
 */
static bool directory_sync(const char *path)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(directory, sizeof directory, "%.*s/", (int)(slash - path), path)
                  : snprintf(directory, sizeof directory, ".");
    if (n < 0 || (size_t)n >= sizeof directory)
        return false;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Written beside its place and linked there: two that start at once agree on one key, and a crash
 * leaves no half of one. */
static bool key_make(const char *path, struct err *err)
{
    char temporary[4096];
    int length = snprintf(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof temporary)
        return err_set(err, ERR_CONFIG, "the path of the challenge key is too long");
    struct challenge_key key;
    if (RAND_priv_bytes(key.bytes, sizeof key.bytes) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_CRYPTO, "no random octets to be had");
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, key.bytes, sizeof key.bytes) == (ssize_t)sizeof key.bytes &&
              fsync(fd) == 0 && (link(temporary, path) == 0 || errno == EEXIST) &&
              directory_sync(path);
    if (!ok)
        err_errno(err, "cannot make the challenge key %s", path);
    OPENSSL_cleanse(&key, sizeof key);
    if (fd >= 0) {
        close(fd);
        unlink(temporary);
    }
    return ok;
}

bool challenge_key_load(const char *path, bool create, struct challenge_key *out, struct err *err)
{
    int fd = file_descriptor(path);
    if (fd < 0 && errno == ENOENT && create) {
        if (!key_make(path, err))
            return false;
        fd = file_descriptor(path);
    }
    if (fd < 0)
        return err_errno(err, "cannot open the challenge key %s", path);
    bool ok = key_read(fd, path, out, err);
    close(fd);
    return ok;
}

/* ---- hashing ---- */

/* Our own format, however it was typed: sixteen characters of the alphabet.  False: something else.
 */
static bool own_format(struct view secret, char canonical[SECRET_CHARACTERS])
{
    size_t n = 0;
    for (size_t i = 0; i < secret.n; i++) {
        char c = (char)secret.p[i];
        if (c == '-' || c == ' ')
            continue;
        c = token_meant(c);
        if (!c || n == SECRET_CHARACTERS)
            return false;
        canonical[n++] = c;
    }
    return n == SECRET_CHARACTERS;
}

bool challenge_hash(const struct challenge_key *k, struct view secret, uint8_t hash[STORE_HASH])
{
    char canonical[SECRET_CHARACTERS];
    struct view meant = secret;
    if (own_format(secret, canonical))
        meant = view_of(canonical, sizeof canonical);
    unsigned n = STORE_HASH;
    bool ok = HMAC(EVP_sha256(), k->bytes, sizeof k->bytes, meant.p ? meant.p : (const uint8_t *)"",
                   meant.n, hash, &n) != NULL;
    if (!ok) {
        ERR_clear_error();
        memset(hash, 0, STORE_HASH);
    }
    OPENSSL_cleanse(canonical, sizeof canonical);
    return ok;
}

/* ---- making ---- */

static bool make_groups(char secret[CHALLENGE_TEXT_MAX], struct err *err)
{
    char plain[SECRET_CHARACTERS + 1];
    if (!token_random(plain, SECRET_CHARACTERS, false, err))
        return false;
    char *p = secret;
    for (size_t i = 0; i < SECRET_CHARACTERS; i++) {
        if (i && i % SECRET_GROUP == 0)
            *p++ = '-';
        *p++ = plain[i];
    }
    *p = '\0';
    OPENSSL_cleanse(plain, sizeof plain);
    return true;
}

/* Of those scripts that fetch challenges from a page, some strip the tag around one by cutting the
 * characters <, /, B and > from both ends. */
static bool ends_in_tag(const char *secret)
{
    return secret[0] == 'b' || secret[strlen(secret) - 1] == 'b';
}

static bool make_hex(unsigned octets, char secret[CHALLENGE_TEXT_MAX], struct err *err)
{
    uint8_t random[CHALLENGE_HEX_MAX];
    do {
        if (RAND_priv_bytes(random, (int)octets) != 1) {
            ERR_clear_error();
            return err_set(err, ERR_CRYPTO, "no random octets to be had");
        }
        hex_encode(view_of(random, octets), secret);
    } while (ends_in_tag(secret));
    for (char *p = secret; *p; p++)
        if (*p >= 'a')
            *p = (char)(*p - 'a' + 'A'); /* NDES shows capitals */
    OPENSSL_cleanse(random, sizeof random);
    return true;
}

bool challenge_secret(unsigned hex, char secret[CHALLENGE_TEXT_MAX], struct err *err)
{
    if (hex && (hex < CHALLENGE_HEX_MIN || hex > CHALLENGE_HEX_MAX))
        return err_set(err, ERR_CONFIG, "a challenge in hexadecimal digits has %d to %d octets",
                       CHALLENGE_HEX_MIN, CHALLENGE_HEX_MAX);
    return hex ? make_hex(hex, secret, err) : make_groups(secret, err);
}

/* The one that was drawn before, or a new one. */
static bool take_secret(const struct challenge_wish *w, char secret[CHALLENGE_TEXT_MAX],
                        struct err *err)
{
    if (!w->secret)
        return challenge_secret(w->hex, secret, err);
    size_t n = strlen(w->secret);
    if (n == 0 || n >= CHALLENGE_TEXT_MAX)
        return err_set(err, ERR_CONFIG, "this is no challenge of ours");
    memcpy(secret, w->secret, n + 1);
    return true;
}

/* A wish that the record cannot hold whole is refused: half a binding would bind something else. */
static bool keep_text(char *to, size_t cap, const char *what, const char *text, struct err *err)
{
    size_t n = text ? strlen(text) : 0;
    if (n >= cap)
        return err_set(err, ERR_CONFIG, "%s has %zu octets, %zu at most", what, n, cap - 1);
    memcpy(to, text ? text : "", n + 1);
    return true;
}

static bool fill(struct store_challenge *c, const struct challenge_wish *w, struct err *err)
{
    if (w->ttl < 0)
        return err_set(err, ERR_CONFIG, "a challenge cannot expire before it is made");
    c->created_at = w->now;
    c->expires_at = w->ttl ? w->now + w->ttl : 0;
    c->uses = w->uses;
    return keep_text(c->created_by, sizeof c->created_by, "the name of its maker", w->created_by,
                     err) &&
           keep_text(c->endpoint, sizeof c->endpoint, "the endpoint", w->endpoint, err) &&
           keep_text(c->template_name, sizeof c->template_name, "the template", w->template_name,
                     err) &&
           keep_text(c->subject, sizeof c->subject, "the subject", w->subject, err) &&
           keep_text(c->san, sizeof c->san, "the alternative name", w->san, err) &&
           keep_text(c->label, sizeof c->label, "the label", w->label, err) &&
           keep_text(c->pool, sizeof c->pool, "the pool", w->pool, err) &&
           keep_text(c->device, sizeof c->device, "the device", w->device, err) &&
           keep_text(c->policy, sizeof c->policy, "the policy", w->policy, err);
}

bool challenge_add(struct store_write *write, const struct challenge_key *k,
                   const struct challenge_wish *w, char secret[CHALLENGE_TEXT_MAX],
                   struct store_challenge *out, struct err *err)
{
    struct store_challenge c = {0};
    char text[CHALLENGE_TEXT_MAX];
    if (!fill(&c, w, err) || !binding_check(w, err))
        return false;
    bool put = false;
    for (int i = 0; i < ID_TRIES && !put; i++) {
        struct err why = {0};
        if (!take_secret(w, text, err) || !token_id("chl_", c.id, err)) {
            OPENSSL_cleanse(text, sizeof text);
            return false;
        }
        put = challenge_hash(k, view_str(text), c.hash)
                  ? store_challenge_put(write, &c, &why)
                  : err_set(&why, ERR_CRYPTO, "a challenge cannot be hashed");
        if (!put && why.kind != ERR_EXISTS) {
            *err = why;
            OPENSSL_cleanse(text, sizeof text);
            return false;
        }
    }
    if (!put) {
        OPENSSL_cleanse(text, sizeof text);
        return err_set(err, ERR_BUSY, "no free id for a challenge after %d tries", ID_TRIES);
    }
    struct store_audit audit;
    audit_fill(&audit, w->now, "challenge.created", c.created_by, c.id,
               "%s%s%.250s%s%s uses=%u%s%s%s%s", c.endpoint, *c.subject ? " subject=" : "",
               c.subject, *c.label ? " label=" : "", c.label, c.uses, *c.device ? " device=" : "",
               c.device, *c.policy ? " policy=" : "", c.policy);
    if (!store_audit_put(write, &audit, err)) {
        OPENSSL_cleanse(text, sizeof text);
        return false;
    }
    memcpy(secret, text, sizeof text);
    OPENSSL_cleanse(text, sizeof text);
    *out = c;
    return true;
}

/* RFC 8894 section 2.4 */
bool challenge_new(struct store *s, const struct challenge_key *k, const struct challenge_wish *w,
                   char secret[CHALLENGE_TEXT_MAX], struct store_challenge *out, struct err *err)
{
    struct store_write *write = NULL;
    struct store_challenge c;
    char text[CHALLENGE_TEXT_MAX];
    if (!store_write_begin(s, &write, err))
        return false;
    if (!challenge_add(write, k, w, text, &c, err)) {
        store_write_abort(write);
        return false;
    }
    bool ok = store_write_commit(write, err);
    if (ok) {
        memcpy(secret, text, sizeof text);
        *out = c;
    }
    OPENSSL_cleanse(text, sizeof text);
    return ok;
}
