/* What the files of this room share. */
#pragma once

#include <pthread.h>

#include "api/account.h"
#include "api/api.h"
#include "base/network.h"
#include "base/text.h"
#include "fleet/fleet.h"

#define API_SEGMENTS 8
#define API_SEGMENT_MAX 512
#define API_QUERY_MAX 32
#define API_FAULTS 32          /* told of one request; others are counted out */

struct api_call_private {
    struct api_reply *out;
    /* the path, split and decoded; `owned` holds all of it */
    char *owned;
    const char *segment[API_SEGMENTS];
    size_t segment_n;
    struct { char *name, *value; } query[API_QUERY_MAX]; /* owned, decoded */
    size_t query_n;
    bool bad_query;
    struct api_actor actor;
    json_t *faults;            /* owned array; NULL: none yet */
    json_t *items;             /* owned array of a list */
    char last[512];            /* cursor */
    bool more;
    bool replied;
    bool failed;               /* the handler did: nothing was done */
    unsigned tries;
    struct fleet_effects went; /* by all tries; told also when the call is refused then */
};

/* ---- answer.c ---- */

/* Splits and decodes `path`; false when a segment is empty, a dot or two, or holds what no path of ours does. */
bool api_path_split(struct api_call_private *p, const char *path);
bool api_query_split(struct api_call_private *p, const char *query);

/* ---- router.c ---- */

/* NULL: no such path, or, with *allow not empty, not by this method. */
const struct api_route *api_route_find(const char *const *segment, size_t n, enum http_method method, char allow[64]);

/* ---- check.c ---- */

void api_check_query(struct api_call *c);
/* Reads and checks the body; *body is owned by the caller.  False: a problem was answered. */
bool api_check_body(struct api_call *c, json_t **body);
/* "2026-11-26T01:40:00Z", with a fraction or an offset (RFC 3339 section 5.6). */
bool api_time_parse(const char *s, int64_t *out);

/* ---- sign_in.c ---- */

/* 401 with what may be presented. */
void api_ask_sign_in(struct api_call *c, bool basic, const char *code, const char *text);
/* What was presented is wrong: 401 with `text`, or, when that was so too often, 429.  `name` may be "". */
void api_sign_in_failed(struct api_call *c, bool basic, const char *name, const char *text);
const char *api_cookie_name(const struct api_call *c);

/* ---- guard.c ---- */

struct api_guard;
/* Seconds to wait; 0: may try. */
int api_guard_wait(struct api_state *s, const char *peer, int64_t now);
/* A sign-in with wrong words; `name` may be "".  True: this name was tried too often lately. */
bool api_guard_failed(struct api_state *s, const char *peer, const char *name, int64_t now);
/* May one more refused call be recorded?  *more: those left out since the last that was. */
bool api_guard_record(struct api_state *s, const char *peer, int64_t now, uint64_t *more);

/* ---- repeat.c ---- */

/* For a POST with an Idempotency-Key.  True: go on, and call api_repeat_done; false: answered. */
struct api_repeat { bool on; uint8_t key[STORE_HASH], question[STORE_HASH]; };
bool api_repeat_begin(struct api_call *c, struct api_repeat *r);
void api_repeat_done(struct api_call *c, struct api_repeat *r);

#define API_RUNNING 64
struct activity;
struct activity *api_activity(const struct api_state *s); /* activity.h */
struct api_reads;                                         /* reads.h */

struct api_state {
    struct activity *activity;              /* owned */
    struct api_reads *reads;                /* owned */
    pthread_mutex_t lock;
    struct buf document;                    /* owned; openapi.c makes it when it is asked for first, and then it stays */
    char document_tag[24];
    struct api_guard *guard;                /* owned */
    uint8_t running[API_RUNNING][STORE_HASH]; /* questions under way */
    size_t running_n;
    uint8_t undone[API_RUNNING][STORE_HASH]; /* questions that are kept as begun, and of which it is known that they failed */
    size_t undone_next;                     /* which is overwritten when no place is free */
};
struct api_guard *api_guard_new(void);
void api_guard_free(struct api_guard *g);

/* ---- problem.c ---- */

struct api_problem_info { const char *code; const char *title, *fix; };
const struct api_problem_info *api_problem_by_code(const char *code); /* NULL */
/* The answer for an error of a handler. */
void api_problem_of(struct api_call *c, const struct err *err);
/* Answers with all faults noted so far. */
void api_problem_faults(struct api_call *c);
extern const struct api_page api_page_problems;

/* ---- reply.c ---- */

/* The header that leads to the next page. */
void api_list_link(struct api_call *c, const char *next);

void api_reply_reset(struct api_reply *r);
/* Without an ETag: it was that of what is not answered now. */
void api_reply_untag(struct api_call *c);
/* "*" or a list of tags: does it name this one?  `weak`: weak comparison (RFC 9110 section 8.8.3.2). */
bool api_etag_matches(const char *header, const char *tag, bool weak);
/* 304 of what has this tag. */
void api_not_modified(struct api_call *c, const char *tag);
/* The list's or overview's tag; false: 304 was answered. */
bool api_reply_live(struct api_call *c);

extern const struct api_route api_routes_accounts[], api_routes_document[];
