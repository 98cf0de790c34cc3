/* Writes a TBSCertList front to back: entries are appended as the store hands them out, then the head, whose
 * lengths are known by then, is put into room that was left in front of them.  A million entries take a tenth of
 * a second this way, OpenSSL's objects two and a half and seven times the memory.  Private to ca/. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/alg.h"
#include "store/store.h"

struct crl_head {
    struct view issuer;            /* the authority's subject, whole TLV */
    struct sigalg sigalg;
    int64_t this_update, next_update;
    struct view authority_key_id;
    uint64_t number;
};

struct crl_writer {
    struct buf buf;     /* owned */
    size_t room, start; /* content is [start, buf.n) once the head is there; entries begin at room */
};

bool crl_writer_init(struct crl_writer *w, size_t issuer_size, struct err *err);
void crl_writer_clear(struct crl_writer *w);
/* False when out of memory, or when the list is longer than any client would read. */
bool crl_writer_add(struct crl_writer *w, struct view serial, int64_t revoked_at, enum crl_reason reason);
/* The whole TBSCertList; `tbs` is borrowed, valid until the next call. */
bool crl_writer_finish(struct crl_writer *w, const struct crl_head *head, struct view *tbs, struct err *err);
/* The CertificateList, moved to `out`; w is empty afterwards. */
bool crl_writer_seal(struct crl_writer *w, struct sigalg alg, struct view signature, struct buf *out, struct err *err);
