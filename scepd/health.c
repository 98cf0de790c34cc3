#include "scepd/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "scepd/outbox.h"

#define DAY INT64_C(86400)
#define HOUR INT64_C(3600)
/* Warned about when less is left: of a CA, since its successor takes long to reach all devices; of
 * an RA, which is renewed by itself at two thirds of its life, so that this is late already.  Short
 * lives: a quarter of them. */
#define CA_WARN_DAYS 180
#define RA_WARN_DAYS 30
#define TLS_WARN_DAYS 14 /* of the API's listener */
#define CREDENTIAL_WARN_DAYS 30
#define CRL_WARN_SIZE 5000000 /* octets */
#define CRL_TOO_LARGE 10000000
#define CRL_WARN_HOURS 6
#define OFFLINE_WARN_DAYS 30
#define SHARE_OF_LIFE 4
/* The figures of the store are looked at every other second. */
#define LOOK_SECONDS 30
#define MAP_WARN_PERCENT 80
#define QUEUE_WARN_PERCENT 80
#define WEBHOOK_WARN_TIMES 3
#define DISK_WARN_MIB 256
#define DISK_FAIL_MIB 16
#define BACKUP_HOURS 26
#define MIB (UINT64_C(1) << 20)
/* So long a commit that failed keeps the daemon from being ready: afterwards devices must come
 * again, or nobody would see that the disk is well. */
#define COMMIT_SECONDS 30
/* As upkeep.c has it. */
#define CLOCK_SLACK 60

const char *health_status_name(enum health_status status)
{
    static const char *const names[] = {"pass", "warn", "fail"};
    return names[status];
}

struct health_check *health_add(struct health *h, const char *name, enum health_status status,
                                const char *fix, const char *fmt, ...)
{
    static struct health_check nowhere;
    struct health_check *c = h->n < HEALTH_MAX ? &h->check[h->n++] : &nowhere;
    va_list ap;
    *c = (struct health_check){.name = name, .status = status};
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
    if (status != HEALTH_PASS)
        snprintf(c->fix, sizeof c->fix, "%s", fix);
    if (status > h->status)
        h->status = status;
    return c;
}

static void measure(struct health_check *c, int64_t value, const char *unit, int64_t limit)
{
    c->measured = true;
    c->value = value;
    c->unit = unit;
    c->limit = limit;
}

/* A failure of it means that nobody can enrol. */
static void serving(struct health *h, struct health_check *c)
{
    c->serving = true;
    h->ready = h->ready && c->status != HEALTH_FAIL;
}

static int64_t whole_days(int64_t seconds)
{
    return seconds >= 0 ? seconds / DAY : -((-seconds + DAY - 1) / DAY);
}

/* "in 23 days", "3 days ago"; hours below two days. */
static const char *distance(int64_t seconds, char out[48])
{
    int64_t away = seconds < 0 ? -seconds : seconds;
    bool days = away >= 2 * DAY;
    int64_t n = away / (days ? DAY : HOUR);
    snprintf(out, 48, "%s%lld %s%s%s", seconds < 0 ? "" : "in ", (long long)n,
             days ? "day" : "hour", n == 1 ? "" : "s", seconds < 0 ? " ago" : "");
    return out;
}

/* ---- what the store shows ---- */

static void check_store(struct health *h, const struct survey *s)
{
    int64_t age = (survey_clock_us() - s->looked_us) / 1000000;
    struct health_check *c;
    if (!s->readable)
        c = health_add(h, "store", HEALTH_FAIL,
                       s->gone ? "put data.mdb back; or restart scepd, and it takes what is there"
                               : "scepctl store verify; the log has the details",
                       "the store cannot be read: %s", s->error);
    else if (age > LOOK_SECONDS)
        c = health_add(h, "store", HEALTH_FAIL,
                       "look for a disk that hangs, or a store on a network",
                       "the store has not answered for %lld s", (long long)age);
    else
        c = health_add(h, "store", HEALTH_PASS, "", "the store answers; certificates in it: %llu",
                       (unsigned long long)s->stats.certificates);
    measure(c, age, "seconds", LOOK_SECONDS);
    serving(h, c);
}

static void check_disk(struct health *h, const struct survey *s)
{
    int64_t free = (int64_t)(s->stats.free_disk_bytes / MIB);
    enum health_status status = free < DISK_FAIL_MIB   ? HEALTH_FAIL
                                : free < DISK_WARN_MIB ? HEALTH_WARN
                                                       : HEALTH_PASS;
    struct health_check *c =
        health_add(h, "disk", status, "free space on the file system of the store",
                   "%lld MiB are free on the store's file system", (long long)free);
    measure(c, free, "MiB", DISK_WARN_MIB);
    serving(h, c);
}

static void check_map(struct health *h, const struct survey *s)
{
    uint64_t limit = s->stats.map_bytes ? s->stats.map_bytes : 1;
    int64_t percent = (int64_t)((double)s->stats.used_bytes * 100 / (double)limit);
    struct health_check *c = health_add(
        h, "map", percent > MAP_WARN_PERCENT ? HEALTH_WARN : HEALTH_PASS,
        "set store.map_size_gib higher and restart; the map also grows by itself when it is full",
        "%lld %% of the store's map is used", (long long)percent);
    measure(c, percent, "percent", MAP_WARN_PERCENT);
}

static void check_clock(struct health *h, const struct survey *s, int64_t now)
{
    int64_t behind = s->audit_at - now;
    char then[32];
    text_time(s->audit_at, then);
    struct health_check *c =
        behind > CLOCK_SLACK
            ? health_add(h, "clock", HEALTH_WARN, "timedatectl; then set the clock right",
                         "the clock is behind: something was recorded at %s already", then)
            : health_add(h, "clock", HEALTH_PASS, "", "the clock is not behind what was recorded");
    measure(c, behind > 0 ? behind : 0, "seconds", CLOCK_SLACK);
}

static void check_audit(struct health *h, const struct survey *s)
{
    const struct store_audit_span *a = &s->audit;
    struct health_check *c;
    if (!s->stats.audit_entries && !a->broken)
        c = health_add(h, "audit_chain", HEALTH_PASS, "", "the audit log is empty");
    else
        c = a->broken
                ? health_add(
                      h, "audit_chain", HEALTH_FAIL,
                      "scepctl store verify; then compare with a backup or an exported copy",
                      "the audit log was changed: entry %llu does not follow from the one before",
                      (unsigned long long)a->to + 1)
                : health_add(h, "audit_chain", HEALTH_PASS, "",
                             "entries %llu to %llu of the audit log follow from each other",
                             (unsigned long long)a->from, (unsigned long long)a->to);
    measure(c, (int64_t)a->to, "entries", (int64_t)s->stats.audit_entries);
}

/* A nightly one may be late.  An empty store has nothing to lose. */
static void check_backup(struct health *h, const struct survey *s, int64_t now)
{
    const char *fix =
        "scepctl store backup /var/backups/scepd --keep 14, every night (docs/STORE.md)";
    int64_t age = now - s->backup_at;
    char when[48];
    struct health_check *c;
    if (!s->backup_at) {
        health_add(h, "backup", s->stats.certificates ? HEALTH_WARN : HEALTH_PASS, fix,
                   s->stats.certificates ? "there was never a backup"
                                         : "no backup yet, and nothing that would be lost");
        return;
    }
    c = health_add(h, "backup", age > BACKUP_HOURS * HOUR ? HEALTH_WARN : HEALTH_PASS, fix,
                   "the last backup succeeded %s", distance(-age, when));
    measure(c, age / HOUR, "hours", BACKUP_HOURS);
}

/* ---- what ends ---- */

static int64_t warn_before(const struct cert *cert, int64_t most)
{
    int64_t share = (cert->not_after - cert->not_before) / SHARE_OF_LIFE;
    return share < most ? share : most;
}

struct ending {
    const struct cert *cert; /* the one that ends first, measured by what is left until it warns */
    const char *authority;
    int64_t left, warn;
};

static void take_sooner(struct ending *e, const struct cert *cert, const char *authority,
                        int64_t most, int64_t now)
{
    if (!cert)
        return;
    struct ending this = {cert, authority, cert->not_after - now, warn_before(cert, most)};
    if (!e->cert || this.left - this.warn < e->left - e->warn)
        *e = this;
}

static void tell_ending(struct health *h, const char *name, const char *what, const char *fix,
                        const struct ending *e)
{
    char when[48];
    enum health_status status = e->left <= 0        ? HEALTH_FAIL
                                : e->left < e->warn ? HEALTH_WARN
                                                    : HEALTH_PASS;
    struct health_check *c =
        health_add(h, name, status, fix, "the %s certificate of \"%s\" %s %s", what, e->authority,
                   e->left <= 0 ? "expired" : "expires", distance(e->left, when));
    measure(c, whole_days(e->left), "days", whole_days(e->warn));
    serving(h, c);
}

/* A successor that takes over in time is all that a CA's end needs. */
static bool succeeded(const struct authority *a)
{
    const struct family *f = a->family;
    return f && f->next && f->activates_at && f->activates_at < a->cert->not_after;
}

static void tell_succession(struct health *h, const struct authority *a, int64_t now)
{
    char when[48];
    health_add(h, "ca_expiry", HEALTH_PASS, "", "the next CA certificate of \"%s\" takes over %s",
               a->name, distance(a->family->activates_at - now, when));
}

static void check_authorities(struct health *h, const struct health_sources *s, int64_t now)
{
    struct ending ca = {NULL, "", 0, 0}, ra = ca;
    const struct authority *next = NULL;
    for (size_t i = 0; i < s->authority_n; i++) {
        const struct authority *a = s->authorities[i];
        if (a->role != AUTHORITY_CURRENT)
            continue;
        if (succeeded(a) && a->cert->not_after > now)
            next = a;
        else
            take_sooner(&ca, a->cert, a->name, CA_WARN_DAYS * DAY, now);
        take_sooner(&ra, a->ra, a->name, RA_WARN_DAYS * DAY, now);
        take_sooner(&ra, a->ra_signing, a->name, RA_WARN_DAYS * DAY, now);
        take_sooner(&ra, a->ra_encryption, a->name, RA_WARN_DAYS * DAY, now);
    }
    if (ca.cert)
        tell_ending(h, "ca_expiry", "CA", "scepctl ca rollover new", &ca);
    else if (next)
        tell_succession(h, next, now);
    if (ra.cert)
        tell_ending(h, "ra_expiry", "RA", "scepctl ca rollover status", &ra);
}

/* Does this key answer by OCSP?  Not before it takes over, nor after its end. */
static bool answers_ocsp(const struct authority *a, int64_t now)
{
    return a->ocsp.cert && a->role != AUTHORITY_NEXT && a->cert->not_after > now;
}

static const struct authority *without_responder(const struct health_sources *s, int64_t now)
{
    for (size_t i = 0; i < s->authority_n; i++) {
        const struct authority *a = s->authorities[i];
        if (!a->ocsp.cert && a->ocsp.fault[0] && a->role != AUTHORITY_NEXT &&
            a->cert->not_after > now)
            return a;
    }
    return NULL;
}

/* Renewed by itself at half of its life, so that a quarter is late already.  Who gets no answer
 * turns to the CRL, or lets everybody in: nobody is kept from enrolling. */
static void check_ocsp(struct health *h, const struct health_sources *s, int64_t now)
{
    const char *fix = "look for daemon.tend_failed in the log, and at ocsp.failed";
    struct ending first = {NULL, "", 0, 0};
    char when[48];
    const struct authority *without = without_responder(s, now);
    if (without) {
        health_add(h, "ocsp", HEALTH_WARN, "look for authority.untended in the log",
                   "\"%s\" answers no OCSP: %.150s", without->name, without->ocsp.fault);
        return;
    }
    for (size_t i = 0; i < s->authority_n; i++)
        if (answers_ocsp(s->authorities[i], now))
            take_sooner(&first, s->authorities[i]->ocsp.cert, s->authorities[i]->name, INT64_MAX,
                        now);
    if (!first.cert)
        return;
    enum health_status status = first.left <= 0           ? HEALTH_FAIL
                                : first.left < first.warn ? HEALTH_WARN
                                                          : HEALTH_PASS;
    struct health_check *c = health_add(
        h, "ocsp", status, fix, "the OCSP responder's certificate of \"%s\" %s %s", first.authority,
        first.left <= 0 ? "expired" : "expires", distance(first.left, when));
    measure(c, first.left / HOUR, "hours", first.warn / HOUR);
}

static void check_crls(struct health *h, const struct survey *s, int64_t now)
{
    const char *fix = "look for crl.failed in the log";
    const struct survey_crl *first = NULL;
    int64_t first_left = 0, first_warn = 0;
    char when[48];
    for (size_t i = 0; i < s->crl_n; i++) {
        const struct survey_crl *crl = &s->crl[i];
        if (crl->role == AUTHORITY_NEXT ||
            (crl->role == AUTHORITY_FORMER && crl->authority_end <= now))
            continue;
        int64_t share = (crl->next_update - crl->this_update) / SHARE_OF_LIFE;
        int64_t warn = share < CRL_WARN_HOURS * HOUR ? share : CRL_WARN_HOURS * HOUR;
        int64_t left = crl->number ? crl->next_update - now : -DAY;
        if (!first || left - warn < first_left - first_warn) {
            first = crl;
            first_left = left;
            first_warn = warn;
        }
    }
    if (!first)
        return;
    if (!first->number) {
        health_add(h, "crl", HEALTH_FAIL, fix, "there is no CRL of \"%s\" yet", first->authority);
        return;
    }
    enum health_status status = first_left <= 0           ? HEALTH_FAIL
                                : first_left < first_warn ? HEALTH_WARN
                                                          : HEALTH_PASS;
    struct health_check *c = health_add(h, "crl", status, fix, "CRL %llu of \"%s\" %s %s",
                                        (unsigned long long)first->number, first->authority,
                                        first_left <= 0 ? "ended" : "is good, its end comes",
                                        distance(first_left, when));
    measure(c, first_left / HOUR, "hours", first_warn / HOUR);
}

/* Directories advise 10 MB, and clients that give up at 20 were seen (docs/CRL.md). */
static void check_crl_sizes(struct health *h, const struct survey *s, int64_t now)
{
    const struct survey_crl *largest = NULL;
    for (size_t i = 0; i < s->crl_n; i++)
        if (s->crl[i].authority_end > now && (!largest || s->crl[i].size > largest->size))
            largest = &s->crl[i];
    if (!largest || largest->size <= CRL_WARN_SIZE)
        return;
    struct health_check *c = health_add(
        h, "crl_size", HEALTH_WARN, "see docs/CRL.md", "the CRL of \"%s\" has %zu MB, %s",
        largest->authority, largest->size / 1000000,
        largest->size > CRL_TOO_LARGE ? "more than many relying parties read"
                                      : "and 10 are more than many relying parties read");
    measure(c, (int64_t)(largest->size / 1000000), "MB", CRL_WARN_SIZE / 1000000);
}

/* What an issuer above has signed elsewhere: a person has to bring the next one. */
static void check_offline(struct health *h, const struct survey *s, int64_t now)
{
    const struct survey_above *first = NULL;
    int64_t left = 0, warn = 0;
    char when[48];
    for (size_t i = 0; i < s->above_n; i++) {
        const struct survey_above *a = &s->above[i];
        int64_t share = (a->next_update - a->this_update) / SHARE_OF_LIFE;
        int64_t this_warn = share < OFFLINE_WARN_DAYS * DAY ? share : OFFLINE_WARN_DAYS * DAY;
        if (!a->any || (first && a->next_update - now - this_warn >= left - warn))
            continue;
        first = a;
        left = a->next_update - now;
        warn = this_warn;
    }
    if (!first)
        return;
    enum health_status status = left <= 0 ? HEALTH_FAIL : left < warn ? HEALTH_WARN : HEALTH_PASS;
    struct health_check *c = health_add(
        h, "offline", status,
        "the holder of that key signs another: docs/OFFLINE-ROOT.md, scepctl crl import, scepctl "
        "ocsp import",
        "the %s of the issuer above \"%s\" %s %s",
        first->kind == STORE_OFFLINE_CRL ? "CRL" : "OCSP answer", first->authority,
        left <= 0 ? "ended" : "is good, its end comes", distance(left, when));
    measure(c, whole_days(left), "days", whole_days(warn));
}

/* ---- what the daemon alone knows ---- */

static void check_signer(struct health *h, const struct health_live *l)
{
    serving(h, l->signer_reached
                   ? health_add(h, "signer", HEALTH_PASS, "", "the signer process answers")
                   : health_add(
                         h, "signer", HEALTH_FAIL,
                         "scepd starts another; signer.lost and signer.failed in the log say why",
                         "the signer process does not answer: nothing can be issued"));
}

static void check_commit(struct health *h, const struct health_live *l)
{
    int64_t age = (survey_clock_us() - l->commit_failed_us) / 1000000;
    struct health_check *c;
    if (!l->commit_failed_us) {
        c = health_add(h, "commit", HEALTH_PASS, "", "what was answered last could be stored");
    } else {
        c = health_add(h, "commit", age < COMMIT_SECONDS ? HEALTH_FAIL : HEALTH_WARN,
                       "the log and dmesg say why; it goes on by itself when the disk does",
                       "the last answer could not be stored, %lld s ago, and none was since",
                       (long long)age);
        measure(c, age, "seconds", COMMIT_SECONDS);
    }
    serving(h, c);
}

static void check_queue(struct health *h, const struct health_live *l)
{
    uint64_t capacity = l->queue_capacity ? l->queue_capacity : 1;
    uint64_t percent = l->queue * 100 / capacity;
    enum health_status status = l->queue >= capacity           ? HEALTH_FAIL
                                : percent > QUEUE_WARN_PERCENT ? HEALTH_WARN
                                                               : HEALTH_PASS;
    struct health_check *c =
        health_add(h, "queue", status, "see the runbook: too many requests, or a slow disk",
                   "%llu of %llu places of the queue are taken", (unsigned long long)l->queue,
                   (unsigned long long)l->queue_capacity);
    measure(c, (int64_t)l->queue, "requests", (int64_t)(capacity * QUEUE_WARN_PERCENT / 100));
    serving(h, c);
}

static void check_webhooks(struct health *h, const struct health_live *l, uint64_t notices)
{
    const char *fix = "the log has the details: event webhook.answer; then look at that server";
    bool failing = l->webhook_failing && l->webhook_failed >= WEBHOOK_WARN_TIMES;
    struct health_check *c;
    if (failing)
        c = health_add(h, "webhooks", HEALTH_WARN, fix,
                       "\"%.64s\" has not answered %u times in a row", l->webhook_failing,
                       l->webhook_failed);
    else if (notices > OUTBOX_WAITING_MAX)
        c = health_add(h, "webhooks", HEALTH_WARN, fix,
                       "%llu notices wait to be taken; what nobody takes within a day is given up",
                       (unsigned long long)notices);
    else
        c = health_add(h, "webhooks", HEALTH_PASS, "",
                       "servers elsewhere answer, or were not asked");
    measure(c, failing ? l->webhook_failed : 0, "failures", WEBHOOK_WARN_TIMES);
}

static void check_revocations(struct health *h, const struct health_live *l)
{
    struct health_check *c;
    if (l->revocations_failed >= WEBHOOK_WARN_TIMES)
        c = health_add(h, "revocations", HEALTH_WARN,
                       "the log has the details: event intune.queue_failed",
                       "what Intune wants revoked could not be asked or reported %u times in a row",
                       l->revocations_failed);
    else if (l->revocations_elsewhere)
        c = health_add(h, "revocations", HEALTH_WARN,
                       "the log names them: event intune.not_revoked; then scepctl cert revoke",
                       "%u of the certificates that Intune wants revoked stand: where they were "
                       "issued it is not asked",
                       l->revocations_elsewhere);
    else
        c = health_add(h, "revocations", HEALTH_PASS, "", "what Intune wants revoked is revoked");
    measure(c, l->revocations_failed, "failures", WEBHOOK_WARN_TIMES);
}

static void check_confinement(struct health *h, const struct health_live *l)
{
    char text[CONFINE_LACKS_TEXT];
    if (l->unconfined)
        health_add(h, "confinement", HEALTH_PASS, "", "confinement is off, as configured");
    else if (l->lacks)
        health_add(h, "confinement", HEALTH_WARN,
                   "a kernel that has it; docs/SECURITY.md says what it is for",
                   "the kernel, or who started scepd, keeps %s from it",
                   confine_lacks_text(l->lacks, text));
    else
        health_add(h, "confinement", HEALTH_PASS, "",
                   "the processes have given up what they never need");
}

/* Devices do not need it: nobody is kept from enrolling. */
static void check_tls(struct health *h, const struct health_live *l, int64_t now)
{
    int64_t left = l->tls_until - now, warn = (l->tls_until - l->tls_from) / SHARE_OF_LIFE;
    char when[48];
    if (!l->tls_until)
        return;
    warn = warn < TLS_WARN_DAYS * DAY ? warn : TLS_WARN_DAYS * DAY;
    struct health_check *c =
        health_add(h, "tls_expiry", left < warn ? HEALTH_WARN : HEALTH_PASS,
                   "scepctl ca tls --host NAME, or whoever made it; then reload",
                   "the certificate of the API's listener %s %s", left <= 0 ? "expired" : "expires",
                   distance(left, when));
    measure(c, whole_days(left), "days", whole_days(warn));
}

static int64_t credential_warn(const struct outside_credential *c)
{
    int64_t share = (c->not_after - c->not_before) / SHARE_OF_LIFE;
    return share < CREDENTIAL_WARN_DAYS * DAY ? share : CREDENTIAL_WARN_DAYS * DAY;
}

bool health_credential_ends(const struct outside_credential *c, int64_t now)
{
    return c->webhook[0] && c->not_after - now < credential_warn(c);
}

/* Its end keeps devices of that webhook's endpoints from enrolling, and nobody else. */
static void check_credential(struct health *h, const struct outside_credential *credential,
                             int64_t now)
{
    int64_t left = credential->not_after - now;
    char when[48];
    if (!credential->webhook[0])
        return;
    enum health_status status = left <= 0                                 ? HEALTH_FAIL
                                : health_credential_ends(credential, now) ? HEALTH_WARN
                                                                          : HEALTH_PASS;
    struct health_check *c =
        health_add(h, "credential_expiry", status,
                   "make another and upload it to the application (docs/INTUNE.md); then reload",
                   "the certificate with which webhook \"%s\" signs in %s %s", credential->webhook,
                   left <= 0 ? "expired" : "expires", distance(left, when));
    measure(c, whole_days(left), "days", whole_days(credential_warn(credential)));
}

static void check_live(struct health *h, const struct health_sources *s, int64_t now)
{
    const struct health_live *l = s->live;
    check_tls(h, l, now);
    check_credential(h, &l->credential, now);
    check_signer(h, l);
    check_commit(h, l);
    check_queue(h, l);
    check_confinement(h, l);
    if (l->webhooks)
        check_webhooks(h, l, s->survey->notices);
    if (l->revocations)
        check_revocations(h, l);
    if (l->reloaded_well)
        health_add(h, "config", HEALTH_PASS, "", "the configuration that was read last is in use");
    else
        health_add(h, "config", HEALTH_WARN, "scepd --check-config; then reload again",
                   "the last reload found mistakes: the configuration before it is in use");
    if (l->stopping)
        serving(h, health_add(h, "stopping", HEALTH_FAIL, "", "the daemon is stopping"));
}

void health_look(const struct health_sources *s, int64_t now, struct health *out)
{
    *out = (struct health){.status = HEALTH_PASS, .ready = true};
    check_store(out, s->survey);
    if (s->live)
        check_live(out, s, now);
    check_authorities(out, s, now);
    check_crls(out, s->survey, now);
    check_crl_sizes(out, s->survey, now);
    check_ocsp(out, s, now);
    check_offline(out, s->survey, now);
    check_disk(out, s->survey);
    check_map(out, s->survey);
    check_clock(out, s->survey, now);
    check_backup(out, s->survey, now);
    check_audit(out, s->survey);
}

static json_t *check_json(const struct health_check *c)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "name", c->name, "status",
                          health_status_name(c->status), "text", c->text);
    if (o && c->measured) {
        json_object_set_new(o, "value", json_integer(c->value));
        json_object_set_new(o, "unit", json_string(c->unit));
        json_object_set_new(o, "limit", json_integer(c->limit));
    }
    if (o && c->fix[0])
        json_object_set_new(o, "fix", json_string(c->fix));
    return o;
}

json_t *health_json(const struct health *h, const char *version)
{
    json_t *checks = json_array(), *o = json_object();
    bool ok = checks && o;
    for (size_t i = 0; ok && i < h->n; i++)
        ok = json_array_append_new(checks, check_json(&h->check[i])) == 0;
    ok = ok && json_object_set_new(o, "status", json_string(health_status_name(h->status))) == 0 &&
         (!version || json_object_set_new(o, "version", json_string(version)) == 0) &&
         json_object_set(o, "checks", checks) == 0;
    json_decref(checks);
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}
