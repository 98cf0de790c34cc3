/* What the resource files share: items as JSON, by one function each, so that a certificate is told in the same words wherever it
 * appears, and with the names of docs/JSON.md. */
#pragma once

#include "api/api.h"
#include "enroll/enroll.h"
#include "enroll/explain.h"
#include "store/fleet.h"
#include "store/page.h"

/* Tables of routes; api/routes.c lists them. */
extern const struct api_route api_routes_certificates[], api_routes_requests[], api_routes_challenges[], api_routes_authorities[],
    api_routes_templates[], api_routes_events[], api_routes_explain[], api_routes_overview[], api_routes_jobs[], api_routes_devices[],
    api_routes_groups[], api_routes_policies[], api_routes_profiles[], api_routes_webhooks[];

/* Rows of tables of members. */
#define TEXT(name, more, help) {name, API_STRING, (more), 0, 4096, NULL, NULL, help, 0}
#define TIME(name, more, help) {name, API_TIME, (more), 0, 0, NULL, NULL, help, 0}
#define NUMBER(name, more, help) {name, API_INTEGER, (more), 0, INT64_MAX, NULL, NULL, help, 0}
#define FLAG(name, more, help) {name, API_BOOLEAN, (more), 0, 0, NULL, NULL, help, 0}
#define WORD(name, more, words, help) {name, API_ENUM, (more), 0, 0, words, NULL, help, 0}
#define THING(name, more, of, help) {name, API_OBJECT, (more), 0, 0, NULL, of, help, 0}
#define NULLABLE (API_REQUIRED | API_NULLABLE) /* of answers: always there, null for none */
#define NOTE {"note", API_STRING, API_NULLABLE, 0, 200, NULL, NULL, "For the audit log.", 0}

extern const struct api_member api_note_body[]; /* nothing but a note */

/* Members of an item, for lists of it elsewhere. */
extern const struct api_member api_certificate_members[], api_request_members[], api_challenge_members[], api_event_members[],
    api_new_challenge_members[];
/* Words of states, in the order of their enums; certificates have "expired" behind them. */
extern const char *const api_certificate_states[], *const api_request_states[], *const api_challenge_states[],
    *const api_event_results[], *const api_device_states[];

#define API_CERTIFICATE_EXPIRED 4
/* What lists of certificates are asked for: those, and "expiring".  _choose narrows a filter to one of them; -1: to none. */
extern const char *const api_certificate_choices[];
#define API_CERTIFICATE_EXPIRING 5
void api_certificate_choose(struct store_cert_filter *f, int word, int64_t now);
/* When the text is the beginning of a serial number, it means that certificate and no others: `each` is called if the rest of the
 * filter lets it through.  false: it is none, and text to look for. */
bool api_certificate_of_serial(struct store *s, const struct store_cert_filter *f,
                               void (*each)(void *ctx, const struct store_cert *c), void *ctx);

/* ---- lists ---- */

/* The page that a list's call asks for. */
struct store_page api_page_of(const struct api_call *c);
/* One more item of a page; NULL: out of memory. */
void api_page_put(struct api_call *c, json_t *item);
/* A list that is in memory: `n` items, each made by its number. */
void api_page_whole(struct api_call *c, size_t n, json_t *(*item)(const struct api_call *c, size_t i));
/* Answers the list, going on at `page`.  A cursor that no list gave is the client's fault. */
bool api_page_reply(struct api_call *c, const struct store_page *page, bool ok, struct err *err);
/* Notes that fault. */
void api_cursor_unknown(struct api_call *c);
/* For lists in the order of ids, "" or an id; else notes the fault. */
bool api_cursor_is_id(struct api_call *c, const char *prefix);

/* ---- items ---- */

json_t *api_certificate_json(const struct api_call *c, const struct store_cert *cert);
json_t *api_request_json(const struct api_call *c, const struct store_request *r);
json_t *api_challenge_json(const struct api_call *c, const struct store_challenge *ch);
json_t *api_attempt_json(const struct store_attempt *a);
json_t *api_audit_json(const struct store_audit *a);
bool api_certificate_find(struct api_call *c, const char *serial, struct store_cert *out, struct err *err);

/* ---- members ---- */

/* {"key": ..} for what a certificate says: subject to fingerprints.  False: out of memory. */
bool api_describe_certificate(json_t *o, const struct cert *cert);
/* Sets `key`; a value that is missing is null.  False: out of memory. */
bool api_set(json_t *o, const char *key, json_t *value);
bool api_set_text(json_t *o, const char *key, const char *value);
bool api_set_time(json_t *o, const char *key, int64_t at);
bool api_set_int(json_t *o, const char *key, int64_t n);
bool api_set_bool(json_t *o, const char *key, bool b);
/* `o`, or NULL when !ok: it is freed then. */
json_t *api_made(json_t *o, bool ok);
/* "clientAuth,ipsecIKE" */
void api_eku_text(const struct eku *e, char *out, size_t cap);

/* What a template would make of a request: "would_issue" of requests and templates. */
extern const struct api_member api_would_issue_members[];
struct csr;
json_t *api_would_issue(const struct api_call *c, const struct template *t, const struct authority *a, const struct csr *csr,
                        const struct template_context *ctx);
/* A PKCS#10 from the member `csr` of the body, PEM or base64; false with a fault noted or `err`. */
bool api_body_csr(struct api_call *c, struct csr **out, struct err *err);
