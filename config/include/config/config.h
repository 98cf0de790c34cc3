/* The configuration file, loaded whole into one immutable struct.  One schema table (config_schema.c) names
 * every setting: key, type, range, default, one line of help; the loader,
 * `scepd --check-config`, scepd.conf(5) and the sample file are made from it or tested against it. */
#pragma once

#include <openssl/types.h>

#include "base/log.h"
#include "ca/confine.h"
#include "ca/family.h"
#include "ca/ocsp.h"
#include "ca/tend.h"
#include "ca/template.h"
#include "enroll/enroll.h"

#define CONFIG_MAX_AUTHORITIES 8
#define CONFIG_MAX_TEMPLATES 64
#define CONFIG_MAX_ENDPOINTS 64
#define ENDPOINT_MAX_ALIASES 8
#define CONFIG_MAX_ALLOW 16
#define CONFIG_MAX_INCLUDES 32
#define CONFIG_MAX_WEBHOOKS 32
#define CONFIG_MAX_UPSTREAMS 16
#define ENDPOINT_MAX_NOTIFY 4
#define CONFIG_MAX_NDES 16
#define CONFIG_MAX_CHALLENGE_HOOKS 16

struct config_endpoint {
    char path[128];                       /* "/scep"; also the endpoint's name in the store */
    char *alias[ENDPOINT_MAX_ALIASES];    /* further paths; owned */
    size_t alias_n;
    char authority[64], template_name[64];
    enum ra_shape ra;
    unsigned challenges;                  /* enum challenge_policy bits */
    char static_challenge_file[512];
    bool manual;
    bool anonymous;                       /* "issue_to_anyone_without_a_challenge" */
    int64_t pending_ttl;
    int max_pending;
    bool renewal;
    enum renewal_challenge renewal_challenge;
    enum duplicates duplicates;
    bool any_signer_key;
    unsigned digests, ciphers;            /* ALG_BIT sets that requests may use */
    bool legacy;                          /* DES and MD5 may be listed */
    bool include_chain;                   /* CA certificates in the CertRep */
    bool post_only;                       /* no PKIOperation by GET */
    bool absent_content;                  /* PENDING and FAILURE without eContent */
    bool microsoft_error;                 /* the HRESULT attribute in a FAILURE */
    bool password_recipient;              /* EC signers are answered under their challenge */
    bool strict_nonces, same_signer_subject, one_recipient;
    int64_t max_clock_difference;         /* of signingTime, seconds; 0: not looked at */
    bool odd_message_digest, any_csr_version;
    char upstream[64];                    /* name of the server that everything is handed on to; "": none */
    char validate[64];                    /* name of the webhook that says who may have a certificate; "": none */
    char *notify[ENDPOINT_MAX_NOTIFY];    /* names of webhooks that are told; owned */
    size_t notify_n;
};

enum ndes_encoding { NDES_UTF16, NDES_UTF16LE, NDES_UTF8 }; /* UTF-16LE with a byte order mark; without; UTF-8 */

/* A page that shows a fresh challenge as NDES's mscep_admin does, at the API's listener. */
struct config_ndes {
    char path[56];                        /* "/certsrv/mscep_admin" */
    char endpoint[128];                   /* path of the endpoint that its challenges are for */
    enum ndes_encoding encoding;
    int password_length;                  /* octets; twice as many hexadecimal digits */
    int64_t validity;                     /* seconds */
    int cache;                            /* challenges that may be open at once */
    bool single_password;                 /* shows the endpoint's static challenge instead */
};

/* Where an MDM product asks for a challenge by a webhook, at the API's listener: /hooks/challenge/NAME. */
struct config_challenge_hook {
    char name[48];
    char endpoint[128];
    int64_t validity;                     /* seconds */
    int cache;                            /* challenges that may be open at once */
};

struct config_authority {
    char name[64];
    char directory[512];                  /* of later generations and RAs; complete even when not set */
    char certificate[512], key[512], passphrase_file[512];
    char chain[AUTHORITY_MAX_CHAIN][512];
    size_t chain_n;
    char ra_certificate[512], ra_key[512];
    char ra_signing_certificate[512], ra_signing_key[512], ra_encryption_certificate[512], ra_encryption_key[512];
    bool ca_decrypts;
    char digest[16];
    char crl_url[256], issuer_url[256], ocsp_url[256];
    char ocsp_key[16];                    /* "p256", "rsa2048", "none" */
    int64_t ocsp_validity;
    int64_t crl_validity, crl_period;
    int crl_shards;
    bool crl_delta;
    bool ra_automatic;                    /* seconds, as in struct tend_rules */
    int64_t ra_validity, ra_renew_before;
    bool rollover_automatic;
    int64_t rollover_announce, rollover_before, rollover_validity;
    char root_key[512];
};

enum webhook_kind { WEBHOOK_VALIDATE, WEBHOOK_NOTIFY, WEBHOOK_INTUNE };

struct config_webhook {
    char name[64];
    char url[256];                        /* not with WEBHOOK_INTUNE */
    enum webhook_kind kind;
    char secret_file[512], ca_file[512];  /* "": none; those of the system */
    char certificate_file[512], key_file[512]; /* WEBHOOK_INTUNE, instead of secret_file */
    int timeout;                          /* seconds */
    int retries;
    bool refuse_on_failure;               /* else the device is asked to come again */
    int64_t remember;                     /* seconds */
    bool pass_challenge, insecure;
    char tenant[64], client_id[64];       /* WEBHOOK_INTUNE */
    char login_url[256], graph_url[256];
    bool wait_for_notification;
    int64_t revocations;                  /* seconds from one look into Intune's queue of revocations to the next; 0: never */
};

enum upstream_auth { UPSTREAM_BASIC, UPSTREAM_NTLM };

struct config_upstream {
    char name[64];
    char url[256], admin_url[256];        /* "" admin_url: there is none */
    char user[128], password_file[512], ca_file[512];
    char ca_certificate[512];             /* of its authority; "": not known here */
    enum upstream_auth auth;
    int timeout, retries;                 /* timeout in seconds */
    bool insecure;
};

/* Of the files that tell devices what to ask for (fleet/profile.h). */
struct config_profiles {
    char organization[128];               /* "": none is shown */
    char identifier[128];                 /* what Apple's identifiers begin with */
    char certificate[512], key[512], passphrase_file[512]; /* "": profiles are not signed; no passphrase */
};

struct config_ocsp {
    struct ocsp_rules rules;
    int max_age, per_second;              /* seconds; signatures, 0: any number */
    int cache, max_ids;                   /* answers kept; CertIDs of a request */
};

struct config {
    char file[512];                       /* all paths here are complete */
    char home[512];                       /* from where relative paths in it are taken; "": from its directory */
    char include[CONFIG_MAX_INCLUDES][512]; /* other files that settings come from */
    size_t include_n;
    char address[64];
    int port;
    int max_connections, request_timeout; /* seconds for one whole request */
    int max_header, max_body;             /* octets */
    int max_buffered;                     /* octets of requests, all connections together */
    int workers, queue;                   /* 0 workers: one per core */
    char admin_address[64];
    int admin_port;                       /* 0: no admin listener */
    char *admin_allow[CONFIG_MAX_ALLOW];  /* networks that may ask there; owned */
    size_t admin_allow_n;
    char api_address[64];
    int api_port;                         /* 0: no listener for API and console */
    char api_url[256];                    /* as administrators reach it; "": made of address and port */
    char api_certificate[512], api_key[512]; /* of its TLS; "": plain HTTP, on loopback only */
    char store_path[512];
    char crl_directory[512];              /* where CRLs are written too; "": nowhere */
    uint64_t map_size;
    char challenge_key_file[512];
    char banned_keys_file[512];           /* "": none */
    int64_t attempts_keep;                /* seconds */
    int attempts_max;
    char user[64];                        /* run as, when started by root; "" stays */
    enum confine_mode confinement;
    int certificates_per_minute;          /* of all authorities; 0: any number */
    struct config_ocsp ocsp;
    struct config_profiles profiles;
    enum log_level log_level;
    bool log_json;
    char url[256];                        /* base URL that devices use, for texts */
    struct config_authority authority[CONFIG_MAX_AUTHORITIES];
    size_t authority_n;
    struct template template[CONFIG_MAX_TEMPLATES];
    size_t template_n;
    struct config_endpoint endpoint[CONFIG_MAX_ENDPOINTS];
    size_t endpoint_n;
    struct config_webhook webhook[CONFIG_MAX_WEBHOOKS];
    size_t webhook_n;
    struct config_upstream upstream[CONFIG_MAX_UPSTREAMS];
    size_t upstream_n;
    struct config_ndes ndes[CONFIG_MAX_NDES];
    size_t ndes_n;
    struct config_challenge_hook challenge_hook[CONFIG_MAX_CHALLENGE_HOOKS];
    size_t challenge_hook_n;
};

/* Called for every mistake: "scepd.conf:31: unknown setting ... (did you mean ...?)". */
typedef void (*config_complain)(void *ctx, const char *message);
/* Reports all mistakes at once.  NULL when there was any.  Owned: config_free. */
struct config *config_load(const char *file, config_complain complain, void *ctx);
/* The same for who can tell one only: the first mistake is in `err`, and whether there are more. */
struct config *config_load_first(const char *file, struct err *err);
/* The same for who makes what is missing: of an authority that waits for its certificate (ca/ca.csr stands where ca/ca.pem
 * will) the files that come with the answer, and certificate and key of the API.  config_load says of the former only that it waits. */
struct config *config_load_waiting(const char *file, config_complain complain, void *ctx);
void config_free(struct config *c);
/* Which file: -c, $SCEPD_CONF, $SCEPD_HOME/scepd.conf, /etc/scepd/scepd.conf. */
const char *config_find(const char *from_option, char buf[512]);
/* Is the file named as a private key, its passphrase, or a secret for servers elsewhere?  Is one such beneath the directory, or one of an authority? */
bool config_key_file(const struct config *c, const char *path);
bool config_keys_beneath(const struct config *c, const char *directory);
const struct config_endpoint *config_endpoint_by_path(const struct config *c, const char *path);
/* The first line of the static challenge's file: owned, to be wiped.  Refuses a file that others can read and a challenge that
 * is too short. */
bool config_static_challenge(const char *path, struct buf *out, struct err *err);
/* NULL: there is none of this name. */
const struct config_webhook *config_webhook_by_name(const struct config *c, const char *name);
/* Do both ask Intune, and the same tenant of it? */
bool config_same_tenant(const struct config_webhook *a, const struct config_webhook *b);
/* Does any webhook ask Intune what it wants revoked? */
bool config_revocations(const struct config *c);
const struct config_upstream *config_upstream_by_name(const struct config *c, const char *name);

#define CONFIG_MAX_MEMBERS (CONFIG_MAX_AUTHORITIES * FAMILY_MAX)

/* Authorities, templates and endpoints put together, ready to serve.  `spec` gets the keys for the signer. */
struct config_rooms {
    struct family *family[CONFIG_MAX_AUTHORITIES];       /* owned; same order as in the configuration */
    struct authority *authority[CONFIG_MAX_AUTHORITIES]; /* the current generation of each */
    struct authority *member[CONFIG_MAX_MEMBERS];        /* all generations: the current ones first, in that order */
    size_t member_n;
    struct enroll_policy policy[CONFIG_MAX_ENDPOINTS];   /* same order as the endpoints */
    int64_t due;                                         /* Unix seconds: config_tend has something to do then;
                                                            INT64_MAX: nothing in sight */
    struct challenge_key challenge_key;
    struct buf ndes_password[CONFIG_MAX_NDES];           /* owned; what a page with single_password shows */
    struct banned_keys banned;                           /* owned; the policies borrow it */
    struct signer_spec *spec;                            /* owned */
    OSSL_PROVIDER *legacy;                               /* owned; NULL: no endpoint takes DES */
};
bool config_rooms_load(const struct config *c, struct config_rooms *out, struct err *err);
/* Does what is due, for all authorities: renews RAs, makes next CAs, activates, puts away (ca/tend.h).  Needs the private
 * keys: scepd's keeper calls it, and scepctl.  *changed: what serves must be loaded anew.  Each change gets a log line and
 * an audit entry by "scepd".  false: something could not be done; everything else was. */
bool config_tend(const struct config *c, int64_t now, const struct log *log, bool *changed, struct err *err);
/* Has it something to do, and is nothing else wrong with the authorities than what has ended? */
bool config_tend_due(const struct config *c, int64_t now);
/* For one change of an authority by a person or by config_tend; the strings are borrowed from `c`. */
void config_tend_setup(const struct config *c, size_t authority, struct family_files *files, struct tend_rules *rules);
/* Writes into the audit log what was done: with `store`, or the one of the configuration when NULL. */
bool config_tend_record(const struct config *c, size_t authority, struct store *store, const struct log *log,
                        struct err *err);
/* What an operator should know of the years ahead: certificates that will be shorter than their template says, what has to
 * be done by hand. */
void config_tend_warn(const struct config *c, int64_t now, config_complain warn, void *ctx);
/* One authority by itself, without keys: also when something of it has ended. */
bool config_family_look(const struct config *c, size_t authority, struct family **out, struct err *err);
void config_rooms_clear(const struct config *c, struct config_rooms *r);
