/* Findings, and the order in which everything is looked at. */
#include "scepctl/probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct probe_info *probe_info(enum probe_check c)
{
#define PROBE_ROW(name, id, title, reference, clients, fix) {id, title, reference, fix, clients},
    static const struct probe_info rows[PROBE_COUNT] = {PROBE_CHECKS(PROBE_ROW)};
#undef PROBE_ROW
    return &rows[c];
}

const char *probe_client_name(enum probe_client c)
{
    static const char *const names[PC_COUNT] = {
        [PC_APPLE] = "Apple",
        [PC_WINDOWS] = "Windows, Intune",
        [PC_CISCO] = "Cisco IOS",
        [PC_ANDROID] = "Android, jscep",
        [PC_CHROMEOS] = "ChromeOS",
        [PC_STRONGSWAN5] = "strongSwan 5.9",
        [PC_STRONGSWAN6] = "strongSwan 6",
        [PC_CERTMONGER] = "certmonger",
        [PC_SSCEP] = "sscep",
        [PC_MICROMDM] = "micromdm",
        [PC_PYSCEP] = "PyScep",
        [PC_CRYPTLIB] = "cryptlib",
        [PC_PROXY] = "Jamf, Fleet proxies",
    };
    return names[c];
}

/* ---- findings ---- */

/* SKIP says least, whatever its number. */
static int weight(enum probe_status s)
{
    return s == PROBE_SKIP ? -1 : (int)s;
}

static void join(char out[PROBE_VALUE], const char *more)
{
    size_t n = strlen(out), m = strlen(more);
    if (n + 2 + m >= PROBE_VALUE)
        return; /* enough is told */
    memcpy(out + n, "; ", 2);
    memcpy(out + n + 2, more, m + 1);
}

static void tell(struct probe *p, enum probe_check c, enum probe_status status, unsigned clients,
                 const char *fmt, va_list ap)
{
    struct probe_finding *f = &p->finding[c];
    char value[PROBE_VALUE];
    vsnprintf(value, sizeof value, fmt, ap);
    if (f->known && weight(status) < weight(f->status))
        return;
    if (!f->known || status != f->status)
        memcpy(f->value, value, sizeof value);
    else if (!strstr(f->value, value))
        join(f->value, value);
    f->clients = (f->known && status == f->status ? f->clients : 0) | clients;
    f->known = true;
    f->status = status;
}

static unsigned concerned(enum probe_check c, unsigned clients)
{
    return clients ? clients & C_ALL : probe_info(c)->clients;
}

void probe_ok(struct probe *p, enum probe_check c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(p, c, PROBE_OK, 0, fmt, ap);
    va_end(ap);
}

void probe_skip(struct probe *p, enum probe_check c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(p, c, PROBE_SKIP, 0, fmt, ap);
    va_end(ap);
}

void probe_warn(struct probe *p, enum probe_check c, unsigned clients, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(p, c, PROBE_WARN, concerned(c, clients), fmt, ap);
    va_end(ap);
}

void probe_fail(struct probe *p, enum probe_check c, unsigned clients, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(p, c, PROBE_FAIL, concerned(c, clients), fmt, ap);
    va_end(ap);
}

/* ---- the run ---- */

static void skip_the_rest(struct probe *p)
{
    for (enum probe_check c = 0; c < PROBE_COUNT; c++)
        if (!p->finding[c].known)
            probe_skip(p, c, "%s",
                       strncmp(probe_info(c)->id, "enrol.", 6) == 0 && !p->o->subject
                           ? "only with --enrol"
                           : "could not be tried: see what failed before");
}

enum ctl_exit probe_run(struct probe *p, struct err *err)
{
    struct err ignored = {0};
    if (!probe_http_new(p->o, &p->http, err))
        return err->kind == ERR_CONFIG ? CTL_USAGE : CTL_FAILED;
    /* Without it single DES cannot be tried, which is told. */
    if (!cipher_legacy_load(&p->legacy, &ignored))
        p->legacy = NULL;
    if (!probe_reach(p, err))
        return CTL_UNAVAILABLE;
    probe_cacert(p);
    probe_nextca(p);
    probe_http_checks(p);
    if (p->has_ca)
        probe_pki(p);
    if (p->has_ca && p->o->subject)
        probe_enrol(p);
    skip_the_rest(p);
    return CTL_DONE;
}

void probe_clear(struct probe *p)
{
    for (size_t i = 0; i < p->cert_n; i++)
        cert_free(p->cert[i]);
    client_ca_clear(&p->ca);
    client_identity_clear(&p->who);
    cert_free(p->issued);
    cert_free(p->next);
    if (p->legacy)
        OSSL_PROVIDER_unload(p->legacy);
    probe_http_free(p->http);
}
