/* A whole authority in a directory of its own, its keys' specs, and the things it is asked to sign. */
#pragma once

#include "ca/authority.h"
#include "ca/init.h"
#include "tbs.h"
#include "temporary.h"

struct ca_fixture {
    struct temporary dir;
    struct init_plan plan;
    struct authority_files files;
    char path[16][384];           /* what `files` points to */
    struct template device;
    struct signer_spec *spec;     /* owned */
    struct authority *authority;  /* owned */
    EVP_PKEY *device_key;         /* owned */
    struct buf device_spki;       /* owned */
};

/* A plan with its own directory: p256 CA without root, rsa2048 RA.  Change it, then ca_fixture_init. */
void ca_fixture_plan(struct ca_fixture *f);
/* Makes and names the files; fails the test when that fails. */
void ca_fixture_init(struct ca_fixture *f);
bool ca_fixture_load(struct ca_fixture *f, struct err *err);
/* The plan as it is, made and loaded. */
void ca_fixture_make(struct ca_fixture *f);
/* Gives the loaded authority an OCSP responder of this kind of key (key_generate), in place of the one before. */
void ca_fixture_delegate(struct ca_fixture *f, const char *kind, int64_t from, int64_t to);
void ca_fixture_clear(struct ca_fixture *f);
const char *ca_fixture_path(struct ca_fixture *f, const char *name); /* valid until eight calls later */

/* A sound device certificate; change `tbs` before it is built. */
struct leaf {
    struct tbs tbs;
    struct name subject;
    struct pubkey key;
    struct eku eku;
    uint8_t serial[16];
};
void leaf_make(const struct ca_fixture *f, struct leaf *l);
struct buf leaf_build(const struct leaf *l);
void leaf_clear(struct leaf *l);

/* A sound TBSCertList with `entries` revoked certificates. */
struct crl_plan {
    unsigned version; /* 1: v2 */
    struct view issuer;
    struct sigalg sigalg;
    bool no_next_update, empty_list, no_extensions, tail;
    unsigned entries;
    struct view key_id;
    uint64_t number;           /* 0: crl_number_now() */
    bool delta;
    uint64_t base;
    const char *partition, *freshest; /* URLs; NULL: none */
    const char *odd;           /* OID of an extension with the value NULL */
    bool critical;             /* ... and the number, too */
};
/* Grows, over forks too: a signer process outlives the test that uses it. */
uint64_t crl_number_now(void);
void crl_plan_make(const struct ca_fixture *f, struct crl_plan *p);
struct buf crl_plan_build(const struct crl_plan *p);

/* The signed attributes of a message: contentType and messageDigest. */
struct buf attributes_build(bool with_digest);
/* `secret` encrypted to the certificate's key. */
struct buf encrypt_to(const struct cert *c, struct key_wrap wrap, struct view secret);
/* Is it a signature by the certificate's key? */
bool signed_by(const struct cert *c, struct sigalg alg, struct view data, struct view signature);
