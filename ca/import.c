/* Judges what a source has, and stores it.  Two walks do the same: the first stores nothing and
 * tells what the second would do; only if it found nothing bad (or that was allowed) there is a
 * second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "import_internal.h"
#include "pkcs7/name.h"

#define BATCH 256       /* operations in one write: some 50 ms in which the daemon waits */
#define TRIES 4         /* of a write that found the map full, which has grown since */
#define SERIAL_USUAL 20 /* octets, RFC 5280 section 4.1.2.2 */
#define EKU_AGENT "1.3.6.1.4.1.311.20.2.1" /* RA certificates of NDES */

enum op_kind { OP_PUT, OP_REVOKE, OP_SERIAL };

struct op {
    enum op_kind kind;
    const struct import_issuer *issuer;
    struct store_cert cert;     /* OP_PUT, owned; OP_REVOKE: its id */
    bool revoke;                /* OP_PUT: and then */
    struct store_revoked entry; /* what to revoke, for OP_SERIAL with its serial */
};

struct run {
    const struct import_options *o;
    const char *path;
    struct import_counts *n;
    bool applying, started;
    struct serial_set seen; /* of the first walk */
    struct op *op;          /* of the second */
    size_t op_n;
    uint64_t things;
    /* while a CRL is read */
    const struct import_issuer *issuer;
};

static void report(struct run *r, const char *where, const char *text)
{
    r->n->bad++;
    if (!r->applying && r->o->problem)
        r->o->problem(r->o->ctx, where, text);
}

/* ---- writing ---- */

static void audit_entry(const struct run *r, const char *event, struct store_audit *a)
{
    char text[STORE_TEXT_MAX * 2];
    const struct import_counts *n = r->n;
    *a = (struct store_audit){.at = r->o->now};
    snprintf(a->event, sizeof a->event, "%s", event);
    text_printable(view_str(r->o->actor), a->actor, sizeof a->actor);
    text_printable(view_str(r->o->authority), a->object, sizeof a->object);
    snprintf(text, sizeof text,
             "source=%.200s certificates=%llu known=%llu revoked=%llu serials=%llu template=%s "
             "crl_number=%llu",
             r->path, (unsigned long long)n->added, (unsigned long long)n->known,
             (unsigned long long)n->revoked, (unsigned long long)n->serials, r->o->template_name,
             (unsigned long long)n->crl_number);
    text_printable(view_str(text), a->text, sizeof a->text);
}

static bool audit(struct run *r, struct store_write *w, const char *event, struct err *err)
{
    struct store_audit a;
    audit_entry(r, event, &a);
    return store_audit_put(w, &a, err);
}

/* Somebody else was faster, or the source says it twice: that is as good. */
static bool tolerate(bool done, const struct err *why, uint64_t *known, struct err *err)
{
    if (done)
        return true;
    if (why->kind != ERR_EXISTS && why->kind != ERR_CONFLICT) {
        *err = *why;
        return false;
    }
    (*known)++;
    return true;
}

static bool apply_put(struct store_write *w, struct op *op, struct import_counts *n, int64_t now,
                      struct err *err)
{
    struct err why = {0};
    uint64_t known = 0;
    op->cert.id = 0;
    op->cert.state = CERT_ACTIVE;
    if (!tolerate(store_cert_put(w, &op->cert, &why), &why, &known, err))
        return false;
    n->known += known;
    if (known)
        return true;
    n->added++;
    n->expired += op->cert.not_after < now;
    if (!op->revoke)
        return true;
    why = (struct err){0};
    if (!tolerate(store_cert_revoke(w, op->cert.id, op->entry.reason, op->entry.revoked_at, &why),
                  &why, &known, err))
        return false;
    n->revoked += !known;
    n->known_revoked += known;
    return true;
}

static bool apply(struct store_write *w, struct op *op, struct import_counts *n, int64_t now,
                  struct err *err)
{
    struct err why = {0};
    uint64_t known = 0;
    bool ok = false;
    switch (op->kind) {
    case OP_PUT:
        return apply_put(w, op, n, now, err);
    case OP_REVOKE:
        ok = tolerate(
            store_cert_revoke(w, op->cert.id, op->entry.reason, op->entry.revoked_at, &why), &why,
            &known, err);
        n->revoked += ok && !known;
        break;
    case OP_SERIAL:
        ok = tolerate(store_serial_revoke(w, op->issuer->key_id, &op->entry, &why), &why, &known,
                      err);
        n->serials += ok && !known;
        break;
    }
    n->known_revoked += known;
    return ok;
}

static bool write_batch(struct run *r, struct import_counts *n, struct err *err)
{
    struct store_write *w = NULL;
    if (!store_write_begin(r->o->store, &w, err))
        return false;
    bool ok = r->started || audit(r, w, "certificates.import", err);
    for (size_t i = 0; ok && i < r->op_n; i++)
        ok = apply(w, &r->op[i], n, r->o->now, err);
    if (ok)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

static void drop_batch(struct run *r)
{
    for (size_t i = 0; i < r->op_n; i++)
        store_cert_clear(&r->op[i].cert);
    r->op_n = 0;
}

static bool flush(struct run *r, struct err *err)
{
    if (r->op_n == 0)
        return true;
    for (int tries = 1;; tries++) {
        struct import_counts n = *r->n;
        struct err why = {0};
        if (write_batch(r, &n, &why)) {
            *r->n = n;
            break;
        }
        if (why.kind != ERR_FULL || tries == TRIES) {
            *err = why;
            return false;
        }
    }
    r->started = true;
    drop_batch(r);
    return true;
}

static struct op *next_op(struct run *r, enum op_kind kind, struct err *err)
{
    if (r->op_n == BATCH && !flush(r, err))
        return NULL;
    struct op *op = &r->op[r->op_n++];
    *op = (struct op){.kind = kind};
    return op;
}

static bool go_on(struct run *r, struct err *err)
{
    if (++r->things % BATCH != 0 || !r->o->progress ||
        r->o->progress(r->o->ctx, r->applying, r->things))
        return true;
    return err_set(err, ERR_BUSY, "stopped: what is stored stays, and the same command goes on");
}

/* ---- revocations ---- */

static bool counts_as_revoked(enum cert_state state, enum crl_reason reason)
{
    return state == CERT_REVOKED || (state == CERT_HELD && reason == CRL_HOLD);
}

/* Of a certificate that is stored. */
static bool revoke_stored(struct run *r, const struct store_cert *there,
                          const struct store_revoked *entry, struct err *err)
{
    if (counts_as_revoked(there->state, entry->reason)) {
        r->n->known_revoked++;
        return true;
    }
    if (!r->applying) {
        r->n->revoked++;
        return true;
    }
    struct op *op = next_op(r, OP_REVOKE, err);
    if (!op)
        return false;
    op->cert.id = there->id;
    op->entry = *entry;
    return true;
}

static bool revoke_serial(struct run *r, const struct store_revoked *entry, struct err *err)
{
    struct store_revoked there;
    struct err why = {0};
    bool known = store_serial_revoked(r->o->store, r->issuer->key_id,
                                      view_of(entry->serial, entry->serial_len), &there, &why);
    if (!known && why.kind != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    if (known && (there.reason != CRL_HOLD || entry->reason == CRL_HOLD)) {
        r->n->known_revoked++;
        return true;
    }
    if (!r->applying) {
        r->n->serials++;
        return true;
    }
    struct op *op = next_op(r, OP_SERIAL, err);
    if (!op)
        return false;
    op->issuer = r->issuer;
    op->entry = *entry;
    return true;
}

/* Certificates with an INTEGER that is padded too much are out there, and CRLs name it without. */
static bool find_stored(struct run *r, struct view serial, struct store_cert *out, bool *found,
                        struct err *err)
{
    uint8_t padded[STORE_SERIAL_MAX + 1] = {0};
    struct err why = {0};
    *found = store_cert_by_serial(r->o->store, r->issuer->key_id, serial, out, &why);
    if (!*found && why.kind == ERR_NOT_FOUND && serial.n < STORE_SERIAL_MAX) {
        memcpy(padded + 1, serial.p, serial.n);
        why = (struct err){0};
        *found = store_cert_by_serial(r->o->store, r->issuer->key_id, view_of(padded, serial.n + 1),
                                      out, &why);
    }
    return *found || why.kind == ERR_NOT_FOUND || (*err = why, false);
}

/* `r->issuer`'s serial. */
static bool revoke_one(struct run *r, const struct store_revoked *entry, struct err *err)
{
    struct view serial = view_of(entry->serial, entry->serial_len);
    struct store_cert there = {0};
    bool found, ok;
    int before = 0;
    if (!r->applying) {
        before = serial_set_mark(&r->seen, r->issuer->key_id, serial, SERIAL_REVOKED);
        if (before < 0)
            return err_memory(err);
    }
    if (before & SERIAL_REVOKED) { /* in this source already */
        r->n->known_revoked++;
        return true;
    }
    if (!find_stored(r, serial, &there, &found, err))
        return false;
    if (found)
        ok = revoke_stored(r, &there, entry, err);
    else if (before & SERIAL_CERTIFICATE)
        ok = (r->n->revoked++, true);
    else
        ok = revoke_serial(r, entry, err);
    store_cert_clear(&there);
    return ok;
}

static bool each_entry(void *ctx, const struct crl_entry *e, struct err *err)
{
    struct run *r = ctx;
    struct store_revoked entry = {.serial_len = e->serial_len,
                                  .revoked_at = e->revoked_at,
                                  .not_after = r->issuer->cert->not_after,
                                  .reason = e->reason};
    memcpy(entry.serial, e->serial, e->serial_len);
    if (e->reason == CRL_REMOVE_FROM_CRL)
        return go_on(r, err);
    return revoke_one(r, &entry, err) && go_on(r, err);
}

/* The last number that the old authority gave.  Written even if it is all that is new. */
static bool set_number(struct run *r, uint64_t given, struct err *err)
{
    struct store_write *w = NULL;
    uint64_t last;
    if (given > r->n->crl_number)
        r->n->crl_number = given;
    if (!store_crl_number(r->o->store, r->issuer->key_id, 0, &last, err))
        return false;
    if (given <= last)
        return true;
    r->n->number_raised = true;
    if (!r->applying)
        return true;
    if (!store_write_begin(r->o->store, &w, err))
        return false;
    bool ok = (r->started || audit(r, w, "certificates.import", err)) &&
              store_crl_number_raise(w, r->issuer->key_id, 0, given, err);
    if (!ok) {
        store_write_abort(w);
        return false;
    }
    if (!store_write_commit(w, err))
        return false;
    r->started = true;
    return true;
}

/* All of it is looked at before anything of it counts. */
static bool on_crl(void *ctx, const char *where, struct view der, struct err *err)
{
    struct run *r = ctx;
    struct crl_info info = {0};
    struct err why = {0};
    r->issuer = NULL;
    for (size_t i = 0; i < r->o->issuer_n && !r->issuer; i++) {
        why = (struct err){0};
        if (crl_read_entries(der, r->o->issuer[i].key, &info, NULL, NULL, &why))
            r->issuer = &r->o->issuer[i];
    }
    if (!r->issuer) {
        report(r, where, why.text);
        return true;
    }
    r->n->crls++;
    return flush(r, err) && (!info.has_number || set_number(r, info.number, err)) &&
           crl_read_entries(der, r->issuer->key, &info, each_entry, r, err) && flush(r, err);
}

/* A file crlnumber holds the next one: the last was one less.  It is of the authority that issues.
 */
static bool on_number(void *ctx, uint64_t next, struct err *err)
{
    struct run *r = ctx;
    r->issuer = &r->o->issuer[0];
    return next == 0 || set_number(r, next - 1, err);
}

/* ---- certificates ---- */

/* By its signature: names are re-encoded, keys are not. */
static const struct import_issuer *issuer_of(const struct run *r, const struct cert *c)
{
    for (size_t i = 0; i < r->o->issuer_n; i++) {
        struct err ignored = {0};
        if (cert_signature_verify(c, r->o->issuer[i].key, &ignored))
            return &r->o->issuer[i];
    }
    return NULL;
}

static bool is_own(const struct run *r, const struct cert *c)
{
    for (size_t i = 0; i < r->o->issuer_n; i++)
        if (view_eq(c->spki, r->o->issuer[i].cert->spki))
            return true;
    for (size_t i = 0; i < r->o->above_n; i++)
        if (view_eq(c->spki, r->o->above[i]->spki))
            return true;
    return false;
}

static bool is_odd(struct view serial)
{
    return serial.n > SERIAL_USUAL || (serial.p[0] & 0x80) || (serial.n == 1 && serial.p[0] == 0) ||
           (serial.n > 1 && serial.p[0] == 0 && !(serial.p[1] & 0x80));
}

static bool fill_hashes(const struct cert *c, struct store_cert *k, struct err *err)
{
    struct pubkey key;
    struct err ignored = {0};
    memcpy(k->der_hash, c->sha256, STORE_HASH);
    if (!digest_compute(DIGEST_SHA256, c->subject, k->subject_hash, err))
        return false;
    if (!pubkey_parse(c->spki, &key, &ignored)) /* of a kind that is not issued any more */
        return digest_compute(DIGEST_SHA256, c->spki, k->key_hash, err);
    memcpy(k->key_hash, key.sha256, STORE_HASH);
    return true;
}

/* A device may renew; what is a CA or an RA may not. */
static void fill_purpose(const struct run *r, const struct cert *c, struct store_cert *k)
{
    struct extensions x = {0};
    struct err ignored = {0};
    bool device = true;
    if (c->extensions.n &&
        extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &x, &ignored)) {
        device = !x.is_ca && !eku_has(&x.eku, EKU_AGENT);
        san_text(&x.san, k->san, sizeof k->san);
        extensions_clear(&x);
    }
    if (device) {
        snprintf(k->template_name, sizeof k->template_name, "%s", r->o->template_name);
        snprintf(k->endpoint, sizeof k->endpoint, "%s", r->o->endpoint);
    }
}

static bool fill(const struct run *r, const struct cert *c, struct store_cert *k, struct err *err)
{
    memcpy(k->authority, r->issuer->key_id, sizeof k->authority);
    memcpy(k->serial, c->serial.p, c->serial.n);
    k->serial_len = c->serial.n;
    k->not_before = c->not_before;
    k->not_after = c->not_after;
    k->issued_at = c->not_before < r->o->now ? c->not_before : r->o->now;
    name_der_text(c->subject, k->subject, sizeof k->subject);
    fill_purpose(r, c, k);
    return fill_hashes(c, k, err) && (buf_append(&k->der, c->der.p, c->der.n) || err_memory(err));
}

static void entry_of(const struct import_item *i, struct view serial, int64_t not_after,
                     struct store_revoked *out)
{
    *out = (struct store_revoked){.serial_len = serial.n,
                                  .revoked_at = i->revoked_at,
                                  .not_after = not_after,
                                  .reason = i->reason};
    memcpy(out->serial, serial.p, serial.n);
}

static bool store_new(struct run *r, const struct import_item *i, const struct cert *c,
                      struct err *err)
{
    struct store_revoked before;
    struct err ignored = {0};
    int seen = 0;
    if (!r->applying) {
        unsigned marks = SERIAL_CERTIFICATE | (i->revoked ? SERIAL_REVOKED : 0u);
        seen = serial_set_mark(&r->seen, r->issuer->key_id, c->serial, marks);
        if (seen < 0)
            return err_memory(err);
        if (seen & SERIAL_CERTIFICATE) {
            r->n->known++;
            return true;
        }
        r->n->added++;
        r->n->expired += c->not_after < r->o->now;
        r->n->odd_serials += is_odd(c->serial);
        if (i->revoked &&
            store_serial_revoked(r->o->store, r->issuer->key_id, c->serial, &before, &ignored))
            r->n->known_revoked++;
        else
            r->n->revoked += i->revoked;
        return true;
    }
    struct op *op = next_op(r, OP_PUT, err);
    if (!op)
        return false;
    r->n->odd_serials += is_odd(c->serial);
    op->issuer = r->issuer;
    op->revoke = i->revoked;
    entry_of(i, c->serial, c->not_after, &op->entry);
    return fill(r, c, &op->cert, err);
}

static bool compare_stored(struct run *r, const struct import_item *i, const struct cert *c,
                           const struct store_cert *there, struct err *err)
{
    struct store_revoked entry;
    if (memcmp(there->der_hash, c->sha256, STORE_HASH) != 0) {
        report(r, i->where, "the store has another certificate with this serial");
        return true;
    }
    r->n->known++;
    if (!i->revoked)
        return true;
    entry_of(i, c->serial, c->not_after, &entry);
    return revoke_stored(r, there, &entry, err);
}

static bool foreign(struct run *r, const char *where, const struct cert *c)
{
    char whole[NAME_TEXT_MAX], issuer[200], text[300];
    name_der_text(c->issuer, whole, sizeof whole);
    text_printable(view_str(whole), issuer, sizeof issuer);
    snprintf(text, sizeof text, "it was not issued by this authority but by \"%s\"", issuer);
    report(r, where, text);
    return true;
}

static bool on_certificate(struct run *r, const struct import_item *i, const struct cert *c,
                           struct err *err)
{
    struct store_cert there = {0};
    struct err why = {0};
    if (is_own(r, c)) {
        r->n->own++;
        return true;
    }
    if (!(r->issuer = issuer_of(r, c)))
        return foreign(r, i->where, c);
    if (c->serial.n > STORE_SERIAL_MAX) {
        report(r, i->where, "its serial has more than 40 octets");
        return true;
    }
    bool found = store_cert_by_serial(r->o->store, r->issuer->key_id, c->serial, &there, &why);
    if (!found && why.kind != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    bool ok = found ? compare_stored(r, i, c, &there, err) : store_new(r, i, c, err);
    store_cert_clear(&there);
    return ok;
}

static bool same_serial(struct view minimal, struct view encoded)
{
    while (encoded.n > 1 && ((encoded.p[0] == 0 && !(encoded.p[1] & 0x80)) ||
                             (encoded.p[0] == 0xff && (encoded.p[1] & 0x80)))) {
        encoded.p++;
        encoded.n--;
    }
    return view_eq(minimal, encoded);
}

/* Only its line in the index: of the authority that issues, for who else would have written it. */
static bool on_line(struct run *r, const struct import_item *i, struct err *err)
{
    struct store_revoked entry;
    struct store_cert there = {0};
    bool found;
    r->issuer = &r->o->issuer[0];
    if (i->revoked) {
        entry_of(i, i->serial, i->not_after, &entry);
        return revoke_one(r, &entry, err);
    }
    if (!find_stored(r, i->serial, &there, &found, err))
        return false;
    store_cert_clear(&there);
    r->n->known += found;
    r->n->named += !found;
    return true;
}

static bool on_item(void *ctx, const struct import_item *i, struct err *err)
{
    struct run *r = ctx;
    struct err why = {0};
    struct cert *c = NULL;
    bool ok = true;
    if (i->der.n == 0)
        return on_line(r, i, err) && go_on(r, err);
    if (!cert_parse(i->der, &c, &why))
        report(r, i->where, why.text);
    else if (i->serial.n && !same_serial(i->serial, c->serial))
        report(r, i->where, "the certificate at hand has another serial");
    else
        ok = on_certificate(r, i, c, err);
    cert_free(c);
    return ok && go_on(r, err);
}

static void on_bad(void *ctx, const char *where, const char *text)
{
    report(ctx, where, text);
}

static void on_passed_over(void *ctx, const char *where)
{
    struct run *r = ctx;
    r->n->passed_over++;
}

/* ---- the whole ---- */

static bool walk(struct run *r, struct err *err)
{
    const struct import_walker w = {.ctx = r,
                                    .item = on_item,
                                    .crl = on_crl,
                                    .number = on_number,
                                    .bad = on_bad,
                                    .passed_over = on_passed_over};
    r->things = 0;
    return import_walk(r->path, &w, err) && flush(r, err);
}

static bool finish(struct run *r, struct err *err)
{
    struct store_write *w = NULL;
    if (!r->started)
        return true; /* nothing was new */
    if (!store_write_begin(r->o->store, &w, err))
        return false;
    if (audit(r, w, "certificates.imported", err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

bool import_changes(const struct import_counts *n)
{
    return n->added || n->revoked || n->serials || n->number_raised;
}

bool import_run(const char *path, const struct import_options *o, struct import_counts *plan,
                struct import_counts *done, struct err *err)
{
    struct run r = {.o = o, .path = path, .n = plan};
    *plan = *done = (struct import_counts){0};
    bool ok = walk(&r, err);
    serial_set_clear(&r.seen);
    if (!ok)
        return false;
    if (plan->bad && !o->skip_bad)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "%llu things in %.200s are bad: nothing was changed",
                          (unsigned long long)plan->bad, path);
    if (o->dry_run || !import_changes(plan))
        return true;
    if (o->confirm && !o->confirm(o->ctx, plan))
        return err_set(err, ERR_BUSY, "not confirmed: nothing was changed");
    r.n = done;
    r.applying = true;
    if (!(r.op = calloc(BATCH, sizeof *r.op)))
        return err_memory(err);
    ok = walk(&r, err) && finish(&r, err);
    drop_batch(&r);
    free(r.op);
    return ok;
}
