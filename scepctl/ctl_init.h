/* Between ctl_init.c (makes an authority) and ctl_init_conf.c (writes its configuration). */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "ca/outside.h"
#include "scepctl/ctl.h"

struct init_settings {
    bool demo, ca_decrypts, ra_pair;
    char name[256];
    const char *organization;      /* or NULL */
    const char *authority;         /* its name in the configuration */
    const char *ca_key;
    const char *root_key;          /* or NULL */
    char passphrase_file[512];     /* complete, "" if none */
    char data[400];                /* where ca/, keys/ and store/ lie: beside the configuration, or elsewhere */
    bool apart;                    /* elsewhere */
    const char *user;              /* whom keys and store belong to, or NULL */
    uid_t uid;                     /* of `user` */
    gid_t gid;
    bool outside;                  /* its root is elsewhere: a request is made, the certificate comes later */
    const char *from;              /* an authority that moves in, or NULL */
    bool skip_bad;                 /* of what it issued */
    struct bundle bundle;          /* its key and certificates; owned */
    struct issued_chain chain;     /* among them */
    char bind[64];
    int port, admin_port, api_port; /* 0: no admin listener, no API */
    char url[200];                 /* under which devices reach the daemon; leaves room for paths behind it */
    char public_url[200];          /* the same by http: for revocation lists and issuers' certificates */
};

/* The annotated scepd.conf; false when out of memory.  `home` is written into it, unless NULL. */
bool init_conf(const struct init_settings *s, const char *home, struct buf *out);

/* ---- an authority that moves in (ctl_init_from.c) ---- */

/* Finds its key and certificates, and takes its name; s->from is set. */
int ctl_init_from_read(struct ctl *ctl, const struct ctl_args *a, struct init_settings *s);
/* What it issued and revoked, into the store of the home that is being made in `dir`. */
int ctl_init_from_import(struct ctl *ctl, const struct init_settings *s, const char *dir);
