#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define READ_AT_ONCE (64u << 10)

/* ---- frames ---- */

ssize_t wire_frame(const struct buf *in)
{
    uint32_t head[2]; /* magic and size begin both kinds */
    if (in->n < sizeof head)
        return 0;
    memcpy(head, in->p, sizeof head);
    if (head[0] != WIRE_MAGIC || head[1] < sizeof(struct wire_ask) || head[1] > WIRE_MAX)
        return -1;
    return in->n < head[1] ? 0 : (ssize_t)head[1];
}

void wire_take(struct buf *in, size_t n)
{
    memmove(in->p, in->p + n, in->n - n);
    in->n -= n;
    if (in->n == 0 && in->cap > READ_AT_ONCE * 2)
        buf_wipe(in); /* there may have been a challenge in it */
}

static bool part(struct view frame, size_t *at, size_t n, struct view *out)
{
    if (n > frame.n - *at)
        return false;
    *out = view_of(frame.p + *at, n);
    *at += n;
    return true;
}

/* ---- questions ---- */

/* From `least` on: what becomes part of a line of a request can begin no other. */
static bool printable(struct view text, uint8_t least)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < least || text.p[i] > '~')
            return false;
    return true;
}

bool wire_put_ask(struct buf *out, uint64_t number, const struct outside_ask *q, struct err *err)
{
    const char *type = q->content_type ? q->content_type : "application/json";
    const char *suffix = q->suffix ? q->suffix : "";
    size_t name_n = strlen(q->name), type_n = strlen(type), suffix_n = strlen(suffix);
    if (name_n > 128 || type_n > 128 || suffix_n > OUTSIDE_MAX_SUFFIX ||
        q->body.n > OUTSIDE_MAX_BODY)
        return err_set(err, ERR_CONFIG, "a question of %zu octets for %.60s is too long",
                       suffix_n + q->body.n, q->name);
    if (!printable(view_str(type), ' '))
        return err_set(err, ERR_CONFIG, "a question for %.60s has an odd media type", q->name);
    if (!printable(view_str(suffix), '!'))
        return err_set(err, ERR_CONFIG, "a question for %.60s has odd characters in its address",
                       q->name);
    size_t size = sizeof(struct wire_ask) + name_n + type_n + suffix_n + q->body.n;
    struct wire_ask head = {.magic = WIRE_MAGIC,
                            .size = (uint32_t)size,
                            .number = number,
                            .kind = (uint32_t)q->kind,
                            .flags =
                                (q->post ? WIRE_POST : 0) | (q->repeatable ? WIRE_REPEATABLE : 0),
                            .name_n = (uint32_t)name_n,
                            .type_n = (uint32_t)type_n,
                            .suffix_n = (uint32_t)suffix_n,
                            .body_n = (uint32_t)q->body.n};
    return (buf_reserve(out, size) && buf_append(out, &head, sizeof head) &&
            buf_append(out, q->name, name_n) && buf_append(out, type, type_n) &&
            buf_append(out, suffix, suffix_n) && buf_append(out, q->body.p, q->body.n)) ||
           err_memory(err);
}

bool wire_read_ask(struct view frame, struct wire_question *out)
{
    struct wire_ask head;
    size_t at = sizeof head;
    if (frame.n < sizeof head)
        return false;
    memcpy(&head, frame.p, sizeof head);
    *out = (struct wire_question){.number = head.number,
                                  .kind = (enum outside_kind)head.kind,
                                  .post = head.flags & WIRE_POST,
                                  .repeatable = head.flags & WIRE_REPEATABLE};
    return head.kind <= OUTSIDE_UPSTREAM_ADMIN && part(frame, &at, head.name_n, &out->name) &&
           part(frame, &at, head.type_n, &out->type) &&
           part(frame, &at, head.suffix_n, &out->suffix) &&
           part(frame, &at, head.body_n, &out->body) && at == frame.n &&
           printable(out->type, ' ') && printable(out->suffix, '!');
}

/* ---- answers ---- */

bool wire_put_answer(struct buf *out, uint64_t number, const struct outside_answer *a)
{
    size_t type_n = strlen(a->content_type), text_n = strlen(a->text);
    size_t size = sizeof(struct wire_answer) + type_n + text_n + a->body.n;
    struct wire_answer head = {.magic = WIRE_MAGIC,
                               .size = (uint32_t)size,
                               .number = number,
                               .result = (uint32_t)a->result,
                               .status = (uint32_t)a->status,
                               .retry_after = a->retry_after,
                               .type_n = (uint32_t)type_n,
                               .text_n = (uint32_t)text_n,
                               .body_n = (uint32_t)a->body.n,
                               .seconds = a->seconds};
    return buf_reserve(out, size) && buf_append(out, &head, sizeof head) &&
           buf_append(out, a->content_type, type_n) && buf_append(out, a->text, text_n) &&
           buf_append(out, a->body.p, a->body.n);
}

bool wire_read_answer(struct view frame, uint64_t *number, struct outside_answer *out)
{
    struct wire_answer head;
    size_t at = sizeof head;
    struct view type, text, body;
    if (frame.n < sizeof head)
        return false;
    memcpy(&head, frame.p, sizeof head);
    if (head.result > OUTSIDE_LOST || head.type_n >= sizeof out->content_type ||
        head.text_n >= sizeof out->text || head.status > 999 ||
        !part(frame, &at, head.type_n, &type) || !part(frame, &at, head.text_n, &text) ||
        !part(frame, &at, head.body_n, &body) || at != frame.n)
        return false;
    *out = (struct outside_answer){.result = (enum outside_result)head.result,
                                   .status = (int)head.status,
                                   .retry_after = head.retry_after,
                                   .seconds = head.seconds};
    memcpy(out->content_type, type.p, type.n);
    memcpy(out->text, text.p, text.n);
    if (!buf_append(&out->body, body.p, body.n)) {
        out->result = OUTSIDE_BUSY;
        snprintf(out->text, sizeof out->text, "out of memory");
    }
    *number = head.number;
    return true;
}

/* ---- the socket ---- */

bool wire_receive(int fd, struct buf *in)
{
    for (;;) {
        if (!buf_reserve(in, READ_AT_ONCE))
            return false;
        ssize_t n = recv(fd, in->p + in->n, READ_AT_ONCE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        in->n += (size_t)n;
        if (in->n > WIRE_MAX) /* one after the other */
            return true;
    }
}

bool wire_send(int fd, struct buf *out)
{
    size_t sent = 0;
    bool open = true;
    while (open && sent < out->n) {
        ssize_t n = send(fd, out->p + sent, out->n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else
            open = errno == EINTR;
    }
    wire_take(out, sent);
    return open;
}
