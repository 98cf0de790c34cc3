/* Between outside.c (who asks) and serve.c (who knows how): frames on a stream socket.  Both are the same binary, but each
 * takes the other's frames as if a stranger had sent them. */
#pragma once

#include "outside/outside.h"

#define WIRE_MAGIC 0x6f757473u
/* A frame with its head; what is longer ends the connection. */
#define WIRE_MAX (OUTSIDE_MAX_UPSTREAM_ANSWER + (256u << 10))

enum wire_flag { WIRE_POST = 1u << 0, WIRE_REPEATABLE = 1u << 1 };

struct wire_ask { /* followed by name, type, suffix, body; no NUL */
    uint32_t magic, size; /* of all, this head too */
    uint64_t number;
    uint32_t kind, flags;
    uint32_t name_n, type_n, suffix_n, body_n;
};

struct wire_answer { /* followed by content type, text, body */
    uint32_t magic, size;
    uint64_t number;
    uint32_t result, status, retry_after, type_n, text_n, body_n;
    double seconds;
};

/* While something is under way, who serves says something at least so often, if only an answer to number 0, which is nobody's; who
 * is silent for WIRE_SILENT_MS is stuck. */
#define WIRE_ALIVE_MS 5000
#define WIRE_SILENT_MS 30000

/* A whole frame at the beginning of `in`?  -1: it is none and never will be; 0: more has to come; else its size. */
ssize_t wire_frame(const struct buf *in);
/* Takes the first `n` octets away. */
void wire_take(struct buf *in, size_t n);

/* ERR_CONFIG: something is too long or has characters that it may not have. */
bool wire_put_ask(struct buf *out, uint64_t number, const struct outside_ask *q, struct err *err);
bool wire_put_answer(struct buf *out, uint64_t number, const struct outside_answer *a);

struct wire_question { /* views into the frame */
    uint64_t number;
    enum outside_kind kind;
    bool post, repeatable;
    struct view name, type, suffix, body;
};
/* Media type and suffix are printable. */
bool wire_read_ask(struct view frame, struct wire_question *out);
/* `out` is owned by the caller then. */
bool wire_read_answer(struct view frame, uint64_t *number, struct outside_answer *out);

/* Reads what is there into `in`; false at the end of the connection.  Writes what can be written of `out`. */
bool wire_receive(int fd, struct buf *in);
bool wire_send(int fd, struct buf *out);
