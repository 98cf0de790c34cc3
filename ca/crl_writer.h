/* Writes a TBSCertList front to back into a memory file: entries are appended as the store hands them out, then the head,
 * whose lengths are known by then, is put into room that was left in front of them.  In this process there is never more
 * than one chunk of it.  A million entries take a tenth of a second this way, OpenSSL's objects two and a half and twenty
 * times the memory.  Private to ca/. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "ca/signer.h"
#include "pkcs7/alg.h"
#include "store/store.h"

struct crl_head {
    struct view issuer;            /* the authority's subject, whole TLV */
    struct sigalg sigalg;
    int64_t this_update, next_update;
    struct view authority_key_id;
    uint64_t number;
    bool delta;                    /* deltaCRLIndicator with `base` (RFC 5280 section 5.2.4) */
    uint64_t base;
    const char *partition_url;     /* issuingDistributionPoint (RFC 5280 section 5.2.5); NULL: the whole scope */
    const char *freshest_url;      /* freshestCRL (RFC 5280 section 5.2.6); NULL: none */
};

struct crl_writer {
    int fd;             /* owned; the memory file */
    uint8_t *chunk;     /* owned; what is not yet in it */
    size_t chunk_n;
    size_t room;        /* octets left free in front of the first entry */
    uint64_t length;    /* of the entries */
    uint64_t entries;
    struct view map;    /* owned; the whole file, once it is finished */
    struct signer_file file; /* for the signer, once it is finished */
};

bool crl_writer_init(struct crl_writer *w, size_t issuer_size, struct err *err);
void crl_writer_clear(struct crl_writer *w); /* the zero state has no file: .fd is -1 after crl_writer_clear */
/* removeFromCRL is written in a delta only: the caller's affair. */
bool crl_writer_add(struct crl_writer *w, struct view serial, int64_t revoked_at, enum crl_reason reason,
                    struct err *err);
/* The whole TBSCertList; `tbs` is borrowed, valid as long as w.  Nothing can be added afterwards. */
bool crl_writer_finish(struct crl_writer *w, const struct crl_head *head, struct view *tbs, struct err *err);
/* What stands before and behind the TBSCertList in a CertificateList. */
bool crl_writer_seal(struct view tbs, struct sigalg alg, struct view signature, struct buf *before, struct buf *behind,
                     struct err *err);
