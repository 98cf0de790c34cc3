/* What administrators and their programs ask over HTTPS: /api/v1 (RFC 9110, RFC 9457, OpenAPI 3.1), and the few pages beside it.
 * Bytes in, bytes out, without HTTP: scepd/api_http.c brings them from the wire, tests and the fuzzer from memory.
 *
 * One table of routes (struct api_route) is the source of all: the router checks method, role, query and body by it before a handler
 * sees anything, and the OpenAPI document is made from it.  A handler is a small function that runs on a thread of the pool: it may read
 * and commit, and it never waits for the network unless its route says so. */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "config/config.h"
#include "http/http.h"
#include "store/account.h"

#define API_ROOT "/api/v1"
#define API_READ_EVENT "api.read"        /* in the audit log: what changed nothing (api/reads.h) */
#define API_MAX_BODY (256 * 1024)
#define API_MAX_LARGE_BODY (1024 * 1024) /* of routes with API_LARGE */
#define API_MAX_DEPTH 8                  /* of a body */
#define API_LIMIT 50                     /* items of a page, and at most: */
#define API_LIMIT_MAX 500

/* ---- the world ---- */

struct api_state; /* what outlives a reload: failed log-ins, questions under way.  Thread-safe */
struct api_state *api_state_new(void); /* NULL when out of memory */
void api_state_free(struct api_state *s); /* NULL allowed */

struct outside; /* outside/outside.h */

/* What only the daemon knows.  Each may be NULL: the answer is 503 then. */
struct api_ops {
    json_t *(*health)(void *ctx);     /* owned: {"status":..,"version":..,"checks":[..]}, as /healthz gives it */
    /* Signs and publishes the CRLs of an authority (its name) now; waits for it.  ERR_NOT_FOUND. */
    bool (*publish_crl)(void *ctx, const char *authority, struct err *err);
    void *ctx;
};

/* From one reload to the next; immutable; borrowed by every call. */
struct api_world {
    struct store *store;
    const struct log *log;
    const struct config *config;
    const struct config_rooms *rooms; /* authorities, policies of the endpoints, challenge key */
    struct api_state *state;
    struct api_ops ops;
    struct outside *outside;          /* NULL: the configuration names nothing outside */
    const char *version;              /* of the program */
    uint64_t epoch;                   /* another one after each reload */
    bool tls;                         /* the listener speaks TLS */
};

/* ---- bytes to bytes ---- */

enum api_header {
    API_AUTHORIZATION, API_COOKIE, API_CONTENT_TYPE, API_ACCEPT, API_IF_MATCH, API_IF_NONE_MATCH, API_IDEMPOTENCY_KEY, API_ORIGIN,
    API_HOST, API_FETCH_SITE, API_USER_AGENT, API_REQUEST_ID, API_HEADERS,
};
extern const char *const api_header_names[API_HEADERS];

struct api_request { /* borrowed for the call */
    enum http_method method;
    const char *path, *query;         /* as sent; the query without its '?', "" if none */
    const char *header[API_HEADERS];  /* NULL: absent */
    struct view body;
    const char *peer;                 /* address */
    struct view certificate;          /* DER of the client's that TLS has verified the possession of; empty: none */
    int64_t now;                      /* Unix seconds */
};

#define API_REPLY_HEADERS 16
struct api_reply {
    int status;
    char content_type[96];
    struct buf body;                  /* owned */
    struct { const char *name; char *value; } header[API_REPLY_HEADERS]; /* names are static, values owned */
    size_t header_n;
    /* for the log */
    char request_id[40], actor[64], operation[48], code[48];
    bool sign_in_refused;
};
void api_reply_clear(struct api_reply *r); /* wipes the body */
/* Always answers; also what is wrong, and when memory is out. */
void api_answer(const struct api_world *w, const struct api_request *r, struct api_reply *out);
/* The OpenAPI document; owned.  NULL when out of memory. */
json_t *api_openapi(const char *version);
/* Forgets what has ended: tokens, answers kept.  Every minute or so. */
bool api_housekeep(struct store *s, int64_t now, struct err *err);
/* Writes into the audit log who has read what for the first time, and how often, when the time for which that is counted is over or
 * with `all`.  Every half second or so, from a thread that may commit, and with `all` at the end.  Free when there is nothing to write.  False: the
 * store failed; nothing is lost, and it is tried again after ten seconds. */
bool api_reads_write(const struct api_world *w, int64_t now, bool all);

/* Does the next few items of the job that waits longest (POST /bulk), if there is one: *more.  What cannot be done to one item is
 * noted; false is a fault of ours, and the job waits. */
bool api_jobs_step(const struct api_world *w, int64_t now, bool *more, struct err *err);

/* ---- the tables ---- */

enum api_type {
    API_STRING,  /* min and max: octets; never holds a control character unless API_LINES */
    API_INTEGER, /* min and max: values */
    API_BOOLEAN,
    API_TIME,    /* RFC 3339, "2026-11-26T01:40:00Z" */
    API_ENUM,    /* one of `values` */
    API_OBJECT,  /* of `members`; without them any object */
};
enum { /* flags of a member */
    API_REQUIRED = 1,
    API_NULLABLE = 2,  /* null is allowed: it means none */
    API_ARRAY = 4,     /* an array of this, of at most `max_items` (0: 500) */
    API_LINES = 8,     /* a string that may hold line ends and tabs */
    API_SECRET = 16,   /* shown once */
    API_READ_ONLY = 32, /* an answer's member that a client may send back unchanged: passed over in a body */
};
struct api_member { /* a table of them ends with {0}, or with API_SHAPE if more than one call uses it */
    const char *name;
    enum api_type type;
    unsigned flags;
    int64_t min, max;                 /* API_STRING: max 0 means 512; API_INTEGER: both 0 means 0 to 2^31-1 */
    const char *const *values;        /* API_ENUM; ends with NULL */
    const struct api_member *members; /* API_OBJECT */
    const char *help;                 /* one sentence */
    unsigned max_items;
};
/* The end of a table that has a name in the OpenAPI document: it stands there once, under components, whoever uses it. */
#define API_SHAPE(shape) {.name = NULL, .help = shape}

struct api_call;
/* False with `err`: the answer is made from it (NOT_FOUND 404, EXISTS and CONFLICT 409, REFUSED 422 with its reason as code, CONFIG 422, BUSY and
 * FULL 503, all else 500 with the text in the log only).  True: it has answered by one of the api_reply functions or api_problem. */
typedef bool (*api_handler)(struct api_call *c, struct err *err);

enum { /* flags of a route */
    API_LIST = 1,          /* answers {"items":[..],"next":..}; takes cursor and limit; `answer` is an item.  304 by the store's generation */
    API_LIVE = 2,          /* as API_LIST for conditions, but one object: made of the store as a whole (/overview) */
    API_CONDITIONAL = 4,   /* changes an existing item: If-Match is needed (428).  On ERR_CONFLICT the handler is called once more, so that it
                              finds out by api_match that the item has another version */
    API_CREATES = 8,       /* 201 with Location; an Idempotency-Key may come along, as with every POST */
    API_LARGE = 16,        /* API_MAX_LARGE_BODY */
    API_OPTIONAL_BODY = 32, /* no body is an empty one */
    API_UNRECORDED = 64,   /* a POST that changes nothing (../check): it is a read for the audit log, and an auditor may be its role */
    API_SECRETS = 128,     /* the answer holds a secret */
    API_OR_NONE = 256,     /* may also answer 204: there is nothing to tell */
    API_ACCEPTED = 512,    /* answers 202 when it goes on behind the answer */
    API_TELLS_READS = 1024, /* of the audit log: what was read before is in it when it answers */
};
struct api_route {
    enum http_method method;
    const char *path;                 /* below API_ROOT: "/devices/{device}/isolate" */
    enum account_role role;           /* the least; ROLE_NONE: anybody */
    const char *operation;            /* "device_isolate": the OpenAPI operationId, in log and audit */
    const char *summary;              /* one sentence */
    const struct api_member *query, *body, *answer; /* NULL: none */
    unsigned flags;
    const char *media;                /* other than JSON that it answers when asked: "application/pkix-cert, application/x-pem-file"; NULL */
    api_handler handle;
};

/* Tables of routes, each ended by {0}; api/routes.c lists them all, one per resource file. */
extern const struct api_route *const api_routes[];

/* ---- for handlers ---- */

struct api_actor {
    char id[32], name[64];            /* of the administrator */
    enum account_role role;
    char token[32];                   /* id of the token or session; "" with a certificate */
    enum token_kind kind;             /* 0: a certificate */
};

struct api_call {
    const struct api_world *world;
    const struct api_request *request;
    const struct api_route *route;    /* NULL for a page */
    const struct api_actor *actor;    /* never NULL; role ROLE_NONE when nobody is signed in */
    json_t *body;                     /* borrowed, an object, checked by the route's table; NULL: the route has none */
    const char *accept;               /* the one of the route's `media` that was asked for; NULL: JSON */
    int limit;                        /* API_LIST */
    const char *cursor;               /* API_LIST: what api_list_add was given; "" for the first page.  Hostile: check it */
    struct api_call_private *priv;
};

/* The value of {name} in the path, percent-decoded; never NULL nor empty. */
const char *api_param(const struct api_call *c, const char *name);
/* NULL when not given.  Checked by the route's table: enums are one of their values. */
const char *api_query(const struct api_call *c, const char *name);
int64_t api_query_int(const struct api_call *c, const char *name, int64_t otherwise);
int64_t api_query_time(const struct api_call *c, const char *name, int64_t otherwise);
int api_query_enum(const struct api_call *c, const char *name, int otherwise); /* its place among the values */
/* Members of the body, checked by the table.  NULL or `otherwise` when absent or null. */
const char *api_string(const struct api_call *c, const char *name);
int64_t api_int(const struct api_call *c, const char *name, int64_t otherwise);
bool api_bool(const struct api_call *c, const char *name, bool otherwise);
int api_enum(const struct api_call *c, const char *name, int otherwise);
bool api_has(const struct api_call *c, const char *name); /* also when it is null */

/* Answers.  json_t is taken, NULL means out of memory. */
void api_reply_json(struct api_call *c, int status, json_t *o);
/* One item with its record version: puts "etag" into it and into the headers, 304 where If-None-Match knows it, 201 and Location
 * (`API_ROOT path`) when `location` is given. */
void api_reply_item(struct api_call *c, json_t *o, uint64_t version, const char *location_fmt, ...) __attribute__((format(printf, 4, 5)));
void api_reply_none(struct api_call *c); /* 204 */
/* Other bytes, copied. */
void api_reply_bytes(struct api_call *c, int status, const char *content_type, struct view body);
/* Value copied; name static.  Without memory for it the answer is 503, before the body or behind it. */
void api_reply_header(struct api_call *c, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The client's If-Match against the item as it stands: true, go on; false, 412 was answered, with `current` (taken).  */
bool api_match(struct api_call *c, uint64_t version, json_t *current);
/* A problem (RFC 9457) of an own code, which stands in problem.c's list. */
void api_problem(struct api_call *c, int status, const char *code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* One more fault of the request (422 at the end, all of them at once): `pointer` "/subject" for the body, "?state" for the query. */
void api_fault(struct api_call *c, const char *pointer, const char *code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool api_faulty(const struct api_call *c); /* was there any?  Then return true: the answer is made of them */

/* Lists: for each item in the order of its cursor.  Takes the item (NULL: out of memory).  False: the page is full, stop. */
bool api_list_add(struct api_call *c, json_t *item, const char *cursor);
/* Where the next page begins, for lists whose store tells it; "" for the last page.  In place of what api_list_add would find out. */
void api_list_next(struct api_call *c, const char *next);
/* Answers it; also when none was added. */
void api_list_reply(struct api_call *c);

/* JSON made easy: RFC 3339 UTC, JSON null for 0; a string, null for "" or NULL; hex of octets; the ETag of a version. */
json_t *api_json_time(int64_t t);
json_t *api_json_text(const char *s);
json_t *api_json_hex(struct view octets);
json_t *api_json_etag(uint64_t version);
/* Who acts, for the `by` of verbs: the administrator's name. */
const char *api_by(const struct api_call *c);
int64_t api_now(const struct api_call *c);

/* ---- pages beside /api/v1 ---- */

/* Whole paths that other software dictates (NDES, webhooks), and what people read.  `matches` gets the decoded path, and the world for
 * pages whose path the configuration says.  The page sees the request as it
 * came (c->request, with its body) and answers anything; with a role the sign-in is looked at before, and a 401 offers Basic. */
struct api_page {
    const char *name;                 /* "ndes_admin", in log and audit */
    bool (*matches)(const struct api_world *w, const char *path);
    enum account_role role;           /* ROLE_NONE: it looks itself (api_sign_in) */
    bool basic;                       /* user and token by Basic */
    bool changes;                     /* any call is an entry of the audit log; else they are counted as reads are */
    api_handler handle;
};
/* For a page that looks itself.  Finds out who calls: true, and c->actor tells (ROLE_NONE: nobody presented anything); false: a problem was
 * answered.  `basic`: a 401 offers Basic. */
bool api_sign_in(struct api_call *c, bool basic);
extern const struct api_page *const api_pages[]; /* in api/routes.c */
