/* scepctl crl import, scepctl ocsp import: what was signed at a ceremony by the key of an issuer
 * above, which is kept elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/family.h"
#include "ca/offline.h"
#include "enroll/enroll.h"
#include "scepctl/ctl.h"

#define MAX_ISSUERS (CONFIG_MAX_MEMBERS * AUTHORITY_MAX_CHAIN)

/* The certificates above the authorities of the configuration, each once; an issuer that is an
 * authority here signs for itself. */
struct issuers {
    struct family *family[CONFIG_MAX_AUTHORITIES]; /* owned */
    size_t family_n;
    const struct cert *cert[MAX_ISSUERS];
    const struct authority *below[MAX_ISSUERS];
    size_t place[MAX_ISSUERS]; /* in the chain of `below`, from 1 */
    size_t n;
};

static bool is_here(const struct issuers *s, const struct cert *c)
{
    for (size_t i = 0; i < s->n; i++)
        if (view_eq(s->cert[i]->spki, c->spki))
            return true;
    for (size_t i = 0; i < s->family_n; i++)
        for (size_t k = 0; k < s->family[i]->n; k++)
            if (view_eq(s->family[i]->member[k]->cert->spki, c->spki))
                return true;
    return false;
}

static void add_chain(struct issuers *s, const struct authority *a)
{
    for (size_t i = 0; i < a->chain_n; i++) {
        if (is_here(s, a->chain[i]))
            continue;
        s->cert[s->n] = a->chain[i];
        s->below[s->n] = a;
        s->place[s->n++] = i + 1;
    }
}

static int issuers_load(struct ctl *ctl, struct issuers *s)
{
    struct err err = {0};
    for (size_t i = 0; i < ctl->config->authority_n; i++) {
        if (!config_family_look(ctl->config, i, &s->family[i], &err))
            return ctl_fail_err(ctl, &err, "scepctl config check");
        s->family_n++;
    }
    for (size_t i = 0; i < s->family_n; i++)
        for (size_t k = 0; k < s->family[i]->n; k++)
            add_chain(s, s->family[i]->member[k]);
    if (s->n == 0)
        return ctl_fail(ctl, CTL_CONFLICT, "an authority's own CRL and OCSP answers are made here",
                        "no authority of this configuration stands under another one");
    return CTL_DONE;
}

static void issuers_clear(struct issuers *s)
{
    for (size_t i = 0; i < s->family_n; i++)
        family_free(s->family[i]);
}

static int begin(struct ctl *ctl, const struct ctl_args *a, struct issuers *s, struct buf *file)
{
    int rc = ctl_need_config(ctl);
    if (rc || (rc = ctl_read_input(ctl, a->id[0], file)) || (rc = issuers_load(ctl, s)))
        return rc;
    return ctl_need_store(ctl);
}

/* All of a file or nothing of it. */
static bool keep(struct ctl *ctl, const struct store_offline *o, size_t n, struct err *err)
{
    struct store_write *w = NULL;
    bool ok = store_write_begin(ctl->store, &w, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = store_offline_put(w, &o[i], err);
    if (ok)
        return store_write_commit(w, err);
    if (w)
        store_write_abort(w);
    return false;
}

static const char served[] = "a running scepd serves it at once";

/* ---- CRLs ---- */

/* /crl/NAME-1.crl, with the generation as everywhere else. */
static void crl_path(const struct issuers *s, size_t by, char out[160])
{
    const struct authority *a = s->below[by];
    if (a->generation > 1)
        snprintf(out, 160, "/crl/%s-g%u-%zu.crl", a->name, a->generation, s->place[by]);
    else
        snprintf(out, 160, "/crl/%s-%zu.crl", a->name, s->place[by]);
}

static int take_crl(struct ctl *ctl, const struct issuers *s, struct view file)
{
    struct store_offline o = {0};
    struct err err = {0};
    struct ctl_show show;
    char path[160], subject[NAME_TEXT_MAX], until[32], text[300];
    size_t by = 0;
    if (!offline_crl_read(s->cert, s->n, file, ctl->now, &o, &by, &err))
        return ctl_fail_err(ctl, &err, NULL);
    crl_path(s, by, path);
    name_der_text(s->cert[by]->subject, subject, sizeof subject);
    text_time(o.next_update, until);
    snprintf(text, sizeof text, "of %.150s, number %lld, until %s", subject, (long long)o.number,
             until);
    bool ok = ctl->dry_run ||
              (keep(ctl, &o, 1, &err) && enroll_note(ctl->store, "crl.imported", s->below[by]->name,
                                                     text, ctl->actor, ctl->now, &err));
    int rc = ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
    if (ok) {
        ctl_show_start(&show, ctl);
        ctl_show_text(&show, "authority", s->below[by]->name);
        ctl_show_crl(&show, buf_view(&o.der));
        ctl_show_text(&show, "path", path);
        ctl_show_end(&show);
        ctl_note(ctl, "%s", ctl->dry_run ? "would be taken" : served);
    }
    store_offline_clear(&o);
    return rc;
}

int ctl_crl_import(struct ctl *ctl, const struct ctl_args *a)
{
    struct issuers *s = calloc(1, sizeof *s);
    struct buf file = {0};
    int rc = s ? begin(ctl, a, s, &file) : ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    if (rc == CTL_DONE)
        rc = take_crl(ctl, s, buf_view(&file));
    buf_clear(&file);
    if (s)
        issuers_clear(s);
    free(s);
    return rc;
}

/* ---- OCSP answers ---- */

static int take_answers(struct ctl *ctl, const struct issuers *s, struct view file)
{
    struct offline_answers a = {.n = 0};
    struct err err = {0};
    char subject[NAME_TEXT_MAX], text[400], until[32];
    if (!offline_ocsp_read(s->cert, s->n, file, ctl->now, &a, &err))
        return ctl_fail_err(ctl, &err, NULL);
    name_der_text(s->cert[a.by]->subject, subject, sizeof subject);
    bool ok = ctl->dry_run || keep(ctl, a.answer, a.n, &err);
    for (size_t i = 0; ok && !ctl->dry_run && i < a.n; i++) {
        text_time(a.answer[i].next_update, until);
        snprintf(text, sizeof text, "of %.120s, %s, until %s", subject, a.about[i], until);
        ok = enroll_note(ctl->store, "ocsp.imported", s->below[a.by]->name, text, ctl->actor,
                         ctl->now, &err);
    }
    for (size_t i = 0; ok && i < a.n; i++) {
        struct ctl_show show;
        ctl_show_start(&show, ctl);
        ctl_show_text(&show, "authority", s->below[a.by]->name);
        ctl_show_text(&show, "issuer", subject);
        ctl_show_text(&show, "about", a.about[i]);
        ctl_show_time(&show, "this_update", a.answer[i].this_update);
        ctl_show_time(&show, "next_update", a.answer[i].next_update);
        ctl_show_number(&show, "bytes", (int64_t)a.answer[i].der.n);
        ctl_show_end(&show);
    }
    int rc = ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
    if (ok)
        ctl_note(ctl, "%s", ctl->dry_run ? "would be taken" : served);
    offline_answers_clear(&a);
    return rc;
}

int ctl_ocsp_import(struct ctl *ctl, const struct ctl_args *a)
{
    struct issuers *s = calloc(1, sizeof *s);
    struct buf file = {0};
    int rc = s ? begin(ctl, a, s, &file) : ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    if (rc == CTL_DONE)
        rc = take_answers(ctl, s, buf_view(&file));
    buf_clear(&file);
    if (s)
        issuers_clear(s);
    free(s);
    return rc;
}
