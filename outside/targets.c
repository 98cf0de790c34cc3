#include "targets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ca/keyfile.h"

#define SECRET_MIN \
    16 /* characters of one that signs: below this it is guessed from what was sent */
#define SECRET_FILE_MAX 4096
#define CA_FILE_MAX (1u << 20)

/* ---- files ---- */

static bool read_whole(const char *path, size_t most, bool secret, struct buf *out, struct err *err)
{
    struct stat st;
    bool ok = false;
    int fd = file_descriptor(path);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_errno(err, "cannot read %s", path);
        goto out;
    }
    if (secret && (st.st_mode & 077)) {
        err_set(err, ERR_CONFIG, "%s has mode %04o: others can read the secret (chmod 600)", path,
                (unsigned)(st.st_mode & 07777));
        goto out;
    }
    if (!buf_reserve(out, most + 1)) {
        err_memory(err);
        goto out;
    }
    for (ssize_t n = 1; n > 0 && out->n <= most;) {
        n = read(fd, out->p + out->n, most + 1 - out->n);
        if (n < 0) {
            err_errno(err, "cannot read %s", path);
            goto out;
        }
        out->n += (size_t)n;
    }
    ok = out->n <= most || err_set(err, ERR_CONFIG, "%s is longer than %zu octets", path, most);
out:
    if (fd >= 0)
        close(fd);
    return ok;
}

/* One secret a line, up to `lines`; empty lines are passed over. */
static bool read_secrets(const char *path, size_t lines, size_t shortest, struct target *t,
                         struct err *err)
{
    struct buf text = {0};
    size_t found = 0, at = 0;
    bool ok = read_whole(path, SECRET_FILE_MAX, true, &text, err);
    while (ok && at < text.n && found < lines) {
        const uint8_t *line = text.p + at, *end = memchr(line, '\n', text.n - at);
        size_t n = end ? (size_t)(end - line) : text.n - at;
        at += n + 1;
        if (n && line[n - 1] == '\r')
            n--;
        if (n == 0)
            continue;
        if (n < shortest)
            ok = err_set(err, ERR_CONFIG, "a secret in %s has %zu characters: it needs %zu or more",
                         path, n, shortest);
        else if (memchr(line, '\0', n))
            ok = err_set(err, ERR_CONFIG, "%s is no text", path);
        else if (!buf_reserve(&t->secret[found], n + 1) || /* once: no copy stays behind */
                 !buf_append(&t->secret[found], line, n) || !buf_append(&t->secret[found], "", 1))
            ok = err_memory(err);
        found++;
    }
    if (ok && !found)
        ok = err_set(err, ERR_CONFIG, "there is no secret in %s", path);
    buf_wipe(&text);
    return ok;
}

/* ---- targets ---- */

bool outside_needed(const struct config *c)
{
    return c->webhook_n + c->upstream_n > 0;
}

static bool load_webhook(const struct config_webhook *w, enum outside_kind kind, struct target *t,
                         struct err *err)
{
    bool intune = w->kind == WEBHOOK_INTUNE;
    t->kind = kind;
    memcpy(t->name, w->name, sizeof t->name);
    memcpy(t->url, w->url, sizeof t->url);
    memcpy(t->tenant, w->tenant, sizeof t->tenant);
    memcpy(t->client_id, w->client_id, sizeof t->client_id);
    memcpy(t->login_url, w->login_url, sizeof t->login_url);
    memcpy(t->graph_url, w->graph_url, sizeof t->graph_url);
    t->timeout_ms = w->timeout * 1000;
    t->retries = w->retries;
    t->insecure = w->insecure;
    TAILQ_INIT(&t->intune.waiting);
    return (!w->secret_file[0] || read_secrets(w->secret_file, intune ? 1 : TARGET_SECRETS,
                                               intune ? 1 : SECRET_MIN, t, err)) &&
           (!w->key_file[0] ||
            assertion_key_load(w->certificate_file, w->key_file, &t->assertion, err)) &&
           (!w->ca_file[0] || read_whole(w->ca_file, CA_FILE_MAX, false, &t->ca, err));
}

static bool load_upstream(const struct config_upstream *u, struct target *t, struct err *err)
{
    t->kind = OUTSIDE_UPSTREAM;
    memcpy(t->name, u->name, sizeof t->name);
    memcpy(t->url, u->url, sizeof t->url);
    memcpy(t->admin_url, u->admin_url, sizeof t->admin_url);
    memcpy(t->user, u->user, sizeof t->user);
    t->auth = u->auth;
    t->timeout_ms = u->timeout * 1000;
    t->retries = u->retries;
    TAILQ_INIT(&t->intune.waiting);
    return (!u->password_file[0] || read_secrets(u->password_file, 1, 1, t, err)) &&
           (!u->ca_file[0] || read_whole(u->ca_file, CA_FILE_MAX, false, &t->ca, err));
}

/* Intune's queue of revocations is a target of its own: how one service does says nothing of the
 * other. */
static bool load_both(const struct config_webhook *w, struct outside_targets *t, struct err *err)
{
    bool intune = w->kind == WEBHOOK_INTUNE;
    return load_webhook(w, intune ? OUTSIDE_INTUNE : OUTSIDE_WEBHOOK, &t->target[t->n++], err) &&
           (!intune || !w->revocations ||
            load_webhook(w, OUTSIDE_INTUNE_QUEUE, &t->target[t->n++], err));
}

bool outside_targets_load(const struct config *c, struct outside_targets **out, struct err *err)
{
    struct outside_targets *t = calloc(1, sizeof *t);
    if (t)
        t->target = calloc(2 * c->webhook_n + c->upstream_n + 1, sizeof *t->target);
    if (!t || !t->target) {
        free(t);
        return err_memory(err);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < c->webhook_n; i++)
        ok = load_both(&c->webhook[i], t, err) ||
             err_prefix(err, "webhook \"%s\"", c->webhook[i].name);
    for (size_t i = 0; ok && i < c->upstream_n; i++)
        ok = load_upstream(&c->upstream[i], &t->target[t->n++], err) ||
             err_prefix(err, "upstream \"%s\"", c->upstream[i].name);
    if (!ok) {
        outside_targets_free(t);
        return false;
    }
    *out = t;
    return true;
}

void outside_targets_credential(const struct outside_targets *t, struct outside_credential *out)
{
    *out = (struct outside_credential){.not_after = 0};
    for (size_t i = 0; i < t->n; i++) {
        const struct target *at = &t->target[i];
        if (!at->assertion.key || (out->webhook[0] && at->assertion.not_after >= out->not_after))
            continue;
        memcpy(out->webhook, at->name, sizeof out->webhook);
        out->not_before = at->assertion.not_before;
        out->not_after = at->assertion.not_after;
    }
}

void outside_targets_free(struct outside_targets *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < TARGET_SECRETS; k++)
            buf_wipe(&t->target[i].secret[k]);
        buf_clear(&t->target[i].ca);
        buf_wipe(&t->target[i].intune.token);
        assertion_key_clear(&t->target[i].assertion);
    }
    free(t->target);
    free(t);
}

struct target *targets_find(struct outside_targets *t, enum outside_kind kind, struct view name)
{
    enum outside_kind of = kind == OUTSIDE_UPSTREAM_ADMIN ? OUTSIDE_UPSTREAM : kind;
    for (size_t i = 0; i < t->n; i++) {
        struct target *at = &t->target[i];
        if (at->kind == of && view_eq(name, view_str(at->name)))
            return kind == OUTSIDE_UPSTREAM_ADMIN && !at->admin_url[0] ? NULL : at;
    }
    return NULL;
}

/* ---- how a target is ---- */

enum outside_result target_begin(struct target *t, int64_t now_us, char why[256])
{
    if (t->in_flight >= OUTSIDE_MAX_OF_TARGET) {
        snprintf(why, 256, "%u questions are under way already", t->in_flight);
        return OUTSIDE_BUSY;
    }
    if (t->away_until_us && (t->probing || now_us < t->away_until_us)) {
        snprintf(why, 256, "it has failed %u times in a row and is left alone for a while",
                 t->failures);
        return OUTSIDE_AWAY;
    }
    t->probing = t->away_until_us != 0;
    t->in_flight++;
    return OUTSIDE_ANSWERED;
}

void target_done(struct target *t, bool good, int64_t now_us)
{
    t->in_flight--;
    if (good) {
        t->failures = 0;
        t->away_until_us = 0;
        t->away_ms = 0;
        t->probing = false;
        return;
    }
    t->failures++;
    if (!t->probing && t->failures < TARGET_FAILURES)
        return;
    if (t->probing || !t->away_until_us) { /* those that were under way before say nothing new */
        t->away_ms = t->away_ms ? 2 * t->away_ms : TARGET_AWAY_MIN_MS;
        if (t->away_ms > TARGET_AWAY_MAX_MS)
            t->away_ms = TARGET_AWAY_MAX_MS;
        t->away_until_us = now_us + (int64_t)t->away_ms * 1000;
    }
    t->probing = false;
}
