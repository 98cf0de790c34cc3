/* One question on its way, tries included.  Shared by serve.c and intune.c. */
#pragma once

#include <curl/curl.h>

#include "targets.h"

struct exchange {
    TAILQ_ENTRY(exchange) entry; /* among those that wait for their next try, or for what Intune needs first */
    struct target *target;
    uint64_t number;             /* the asker's; 0: nobody's, it finds out for others */
    enum outside_kind kind;
    bool post, repeatable;
    bool begun;                  /* counted by target_begin */
    bool anew;                   /* Intune: token or address were found wrong once already */
    int stage;                   /* Intune: of finding out; 0: the question itself */
    char *suffix, *type;         /* owned */
    struct buf body;             /* owned, wiped */
    int tries;
    int64_t begun_us, deadline_us, at_us;
    CURL *easy;                  /* of the try; NULL: none */
    struct curl_slist *headers;
    char fault[CURL_ERROR_SIZE];
    size_t most;                 /* octets of an answer */
    size_t head;                 /* octets around it so far */
    const char *too_large;       /* what is, and so ended the try; NULL: nothing */
    struct outside_answer answer;
};

/* How the request of a try looks.  The URL is to be freed by the caller; false when out of memory. */
struct request {
    char *url;
    bool post;
    const char *type;
    struct view body;
    struct curl_slist *headers;
};

/* ---- intune.c ---- */

enum { INTUNE_QUESTION = 0, INTUNE_GRAPH_TOKEN, INTUNE_ENDPOINTS, INTUNE_TOKEN, INTUNE_READY };
/* Is everything known that a question needs?  Else where finding out begins. */
bool intune_ready(const struct target *t, int64_t now_us);
int intune_first_stage(const struct target *t, int64_t now_us);
/* The request of a stage, or of the question itself.  The body of a stage is put into the exchange. */
bool intune_request(struct exchange *x, struct request *out, struct err *err);
/* Takes the answer of a stage; the next one, or INTUNE_READY.  ERR_IO says what was wrong with it. */
bool intune_take(struct exchange *x, int64_t now_us, int *next, struct err *err);
/* Does this answer to a question say that token or address are not good any more?  They are forgotten then. */
bool intune_stale(struct exchange *x);
