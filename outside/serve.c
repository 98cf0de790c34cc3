/* Who asks servers elsewhere: one loop around libcurl's multi interface and one socket. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "exchange.h"
#include "outside/revocations.h"
#include "outside/webhook.h"
#include "sign.h"
#include "wire.h"

/* Milliseconds before the second try; doubled each time, and spread. */
#define AGAIN_MS 200
#define CONNECTIONS_PER_HOST 32L
#define CONNECTIONS 256L
/* The loop looks at its clock at least so often. */
#define LOOK_MS 1000

struct serving {
    int fd;
    CURLM *multi;
    struct outside_targets *targets;
    const struct log *log;
    struct buf in, out;
    struct exchanges flying;   /* libcurl has them */
    struct exchanges sleeping; /* wait for their next try */
    size_t asked;              /* questions that are not answered yet */
    int64_t told_us;           /* when something was said last */
    bool broken;               /* somebody cannot be answered: the connection ends, and says so */
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- the end of an exchange ---- */

static void drop_try(struct serving *s, struct exchange *x)
{
    if (x->easy) {
        curl_multi_remove_handle(s->multi, x->easy);
        curl_easy_cleanup(x->easy);
    }
    curl_slist_free_all(x->headers);
    x->easy = NULL;
    x->headers = NULL;
}

static void exchange_free(struct serving *s, struct exchange *x)
{
    drop_try(s, x);
    free(x->suffix);
    free(x->type);
    buf_wipe(&x->body);
    outside_answer_clear(&x->answer);
    free(x);
}

/* Is a server that answers so in order?  What an upstream is sent are strangers' octets: that it
 * stumbles over some says nothing of what others send. */
static bool in_order(const struct exchange *x)
{
    int status = x->answer.status;
    return x->answer.result == OUTSIDE_ANSWERED &&
           (status < 500 || (x->kind == OUTSIDE_UPSTREAM && (status < 502 || status > 504)));
}

static void put_answer(struct serving *s, uint64_t number, struct outside_answer *a)
{
    s->told_us = now_us();
    if (wire_put_answer(&s->out, number, a))
        return;
    buf_wipe(&a->body);
    a->result = OUTSIDE_BUSY;
    s->broken = !wire_put_answer(&s->out, number, a) || s->broken;
}

static void finish(struct serving *s, struct exchange *x)
{
    x->answer.seconds = (double)(now_us() - x->begun_us) / 1e6;
    if (x->begun)
        target_done(x->target, in_order(x), now_us());
    put_answer(s, x->number, &x->answer);
    s->asked--;
    exchange_free(s, x);
}

static void finish_with(struct serving *s, struct exchange *x, enum outside_result result,
                        const char *text)
{
    outside_answer_clear(&x->answer);
    x->answer.result = result;
    text_printable(view_str(text), x->answer.text, sizeof x->answer.text);
    finish(s, x);
}

/* ---- a try ---- */

/* Returns what libcurl takes as the end. */
static size_t too_large(struct exchange *x, const char *why)
{
    x->too_large = why;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *exchange)
{
    struct exchange *x = exchange;
    if (x->answer.body.n + size * n > x->most)
        return too_large(x, "the answer is too long");
    return buf_append(&x->answer.body, data, size * n) ? size * n : 0;
}

/* Each line of interim answers, headers and trailers, of which libcurl keeps copies without end. */
static size_t on_head(char *line, size_t size, size_t n, void *exchange)
{
    struct exchange *x = exchange;
    x->head += size * n;
    return x->head > OUTSIDE_MAX_HEAD ? too_large(x, "the headers of the answer are too long")
                                      : size * n;
}

static bool add_line(struct request *r, const char *line)
{
    struct curl_slist *more = curl_slist_append(r->headers, line);
    if (more)
        r->headers = more;
    return more != NULL;
}

static bool plain_request(struct exchange *x, struct request *out, struct err *err)
{
    const struct target *t = x->target;
    const char *base = x->kind == OUTSIDE_UPSTREAM_ADMIN ? t->admin_url : t->url;
    struct buf signature = {0};
    char *line = NULL;
    *out = (struct request){.post = x->post, .type = x->type, .body = buf_view(&x->body)};
    if (asprintf(&out->url, "%s%s", base, x->suffix) < 0) {
        out->url = NULL;
        return err_memory(err);
    }
    if (x->kind != OUTSIDE_WEBHOOK || !t->secret[0].n)
        return true;
    bool ok = sign_body(t, out->body, time(NULL), &signature, err);
    if (ok && asprintf(&line, "Scepd-Signature: %s", (const char *)signature.p) < 0) {
        line = NULL;
        ok = err_memory(err);
    }
    ok = ok && (add_line(out, line) || err_memory(err));
    free(line);
    buf_clear(&signature);
    return ok;
}

static bool media_type(struct request *r)
{
    char line[192];
    snprintf(line, sizeof line, "Content-Type: %.128s", r->type);
    return add_line(r, line);
}

/* What libcurl has no memory to note it does without: a proxy of the environment would be asked, or
 * by another trust. */
#define SET(c, option, value) (curl_easy_setopt((c), (option), (value)) == CURLE_OK)

static bool set_tls(CURL *c, const struct target *t)
{
    struct curl_blob ca = {t->ca.p, t->ca.n, CURL_BLOB_NOCOPY};
    return SET(c, CURLOPT_SSL_VERIFYPEER, 1L) && SET(c, CURLOPT_SSL_VERIFYHOST, 2L) &&
           SET(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           (!t->ca.n || (SET(c, CURLOPT_CAINFO_BLOB, &ca) && SET(c, CURLOPT_CAPATH, NULL)));
}

static bool set_limits(CURL *c, struct exchange *x)
{
    long left = (long)((x->deadline_us - now_us()) / 1000);
    return SET(c, CURLOPT_TIMEOUT_MS, left > 1 ? left : 1L) &&
           SET(c, CURLOPT_CONNECTTIMEOUT_MS,
               left > 3000 ? left / 2
               : left > 1  ? left
                           : 1L) &&
           SET(c, CURLOPT_NOSIGNAL, 1L) &&
           /* A name that is not found in time: its thread is left behind, or all others would wait
            * for it. */
           SET(c, CURLOPT_QUICK_EXIT, 1L) && SET(c, CURLOPT_PROTOCOLS_STR, "http,https") &&
           SET(c, CURLOPT_PROXY, "") && SET(c, CURLOPT_FOLLOWLOCATION, 0L) &&
           SET(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(c, CURLOPT_USERAGENT, "scepd") && SET(c, CURLOPT_ERRORBUFFER, x->fault) &&
           SET(c, CURLOPT_WRITEFUNCTION, on_body) && SET(c, CURLOPT_WRITEDATA, x) &&
           SET(c, CURLOPT_HEADERFUNCTION, on_head) && SET(c, CURLOPT_HEADERDATA, x) &&
           SET(c, CURLOPT_PRIVATE, x);
}

static bool set_login(CURL *c, const struct exchange *x)
{
    const struct target *t = x->target;
    if (x->kind != OUTSIDE_UPSTREAM_ADMIN || !t->user[0])
        return true;
    return SET(c, CURLOPT_HTTPAUTH,
               t->auth == UPSTREAM_NTLM ? (long)CURLAUTH_NTLM : (long)CURLAUTH_BASIC) &&
           SET(c, CURLOPT_USERNAME, t->user) &&
           SET(c, CURLOPT_PASSWORD, t->secret[0].n ? (const char *)t->secret[0].p : "");
}

/* On a connection that has served before, libcurl sends by itself again what got no answer. */
static bool set_once(CURL *c, const struct exchange *x)
{
    return x->repeatable || (SET(c, CURLOPT_FRESH_CONNECT, 1L) && SET(c, CURLOPT_FORBID_REUSE, 1L));
}

static bool set_body(CURL *c, const struct request *r)
{
    return !r->post || (SET(c, CURLOPT_POST, 1L) &&
                        SET(c, CURLOPT_POSTFIELDS, r->body.n ? (const char *)r->body.p : "") &&
                        SET(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n));
}

static bool of_intune(enum outside_kind kind)
{
    return kind == OUTSIDE_INTUNE || kind == OUTSIDE_INTUNE_QUEUE;
}

static bool start_try(struct serving *s, struct exchange *x, struct err *err)
{
    struct request r = {0};
    x->tries++;
    x->head = 0;
    x->too_large = NULL;
    x->fault[0] = '\0';
    outside_answer_clear(&x->answer);
    bool ok = of_intune(x->kind) ? intune_request(x, &r, err) : plain_request(x, &r, err);
    ok = ok && ((!r.post || media_type(&r)) || err_memory(err)) &&
         (add_line(&r, "Expect:") || err_memory(err));
    CURL *c = ok ? curl_easy_init() : NULL;
    if (c) {
        ok = set_limits(c, x) && set_tls(c, x->target) && set_login(c, x) && set_once(c, x) &&
             set_body(c, &r) && SET(c, CURLOPT_HTTPHEADER, r.headers) &&
             SET(c, CURLOPT_URL, r.url) && curl_multi_add_handle(s->multi, c) == CURLM_OK;
        if (ok) {
            x->easy = c;
            x->headers = r.headers;
            r.headers = NULL;
            TAILQ_INSERT_TAIL(&s->flying, x, entry);
        } else {
            curl_easy_cleanup(c);
            err_memory(err);
        }
    } else if (ok) {
        ok = err_memory(err);
    }
    curl_slist_free_all(r.headers);
    free(r.url);
    return ok;
}

static void try_or_finish(struct serving *s, struct exchange *x);

/* ---- what Intune needs first ---- */

static void let_waiting_go(struct serving *s, struct target *t, enum outside_result result,
                           const char *text)
{
    struct exchange *x;
    struct exchanges waiting = TAILQ_HEAD_INITIALIZER(waiting);
    TAILQ_CONCAT(&waiting, &t->intune.waiting, entry);
    while ((x = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, x, entry);
        if (result == OUTSIDE_ANSWERED)
            try_or_finish(s, x);
        else
            finish_with(s, x, result, text);
    }
}

static bool prepare_intune(struct serving *s, struct target *t)
{
    struct exchange *p = calloc(1, sizeof *p);
    if (!p)
        return false;
    p->target = t;
    p->kind = t->kind;
    p->repeatable = true;
    p->stage = intune_first_stage(t, now_us());
    p->most = OUTSIDE_MAX_ANSWER;
    p->begun_us = now_us();
    p->deadline_us = p->begun_us + (int64_t)t->timeout_ms * 1000;
    t->intune.preparing = p;
    try_or_finish(s, p);
    return true;
}

static void wait_for_intune(struct serving *s, struct exchange *x)
{
    struct target *t = x->target;
    TAILQ_INSERT_TAIL(&t->intune.waiting, x, entry);
    if (!t->intune.preparing && !prepare_intune(s, t))
        let_waiting_go(s, t, OUTSIDE_BUSY, "out of memory");
}

/* A stage of finding out is done, well or not. */
static void prepared(struct serving *s, struct exchange *p)
{
    struct target *t = p->target;
    struct err err = {0};
    int next = INTUNE_READY;
    struct outside_answer *a = &p->answer;
    if (a->result == OUTSIDE_ANSWERED && intune_take(p, now_us(), &next, &err) &&
        next < INTUNE_READY) {
        p->stage = next;
        p->tries = 0;
        try_or_finish(s, p);
        return;
    }
    t->intune.preparing = NULL;
    char text[256] = "";
    enum outside_result result = a->result;
    if (err.kind != ERR_NONE) {
        result = OUTSIDE_UNREACHABLE;
        snprintf(text, sizeof text, "%.255s", err.text);
    } else if (result != OUTSIDE_ANSWERED) {
        snprintf(text, sizeof text, "%.255s", a->text);
    }
    exchange_free(s, p);
    let_waiting_go(s, t, result, text);
}

/* ---- tries ---- */

static void end_of(struct serving *s, struct exchange *x)
{
    if (x->stage != INTUNE_QUESTION) {
        prepared(s, x);
    } else if (of_intune(x->kind) && !x->anew && intune_stale(x)) {
        x->anew = true;
        x->tries = 0;
        wait_for_intune(s, x);
    } else {
        finish(s, x);
    }
}

static void fail(struct serving *s, struct exchange *x, enum outside_result result,
                 const char *text)
{
    outside_answer_clear(&x->answer);
    x->answer.result = result;
    text_printable(view_str(text), x->answer.text, sizeof x->answer.text);
    if (x->stage != INTUNE_QUESTION)
        prepared(s, x);
    else
        finish(s, x);
}

static void try_or_finish(struct serving *s, struct exchange *x)
{
    struct err err = {0};
    if (now_us() >= x->deadline_us) {
        fail(s, x, OUTSIDE_TIMEOUT, "its time is over");
    } else if (of_intune(x->kind) && x->stage == INTUNE_QUESTION &&
               !intune_ready(x->target, now_us())) {
        wait_for_intune(s, x);
    } else if (!start_try(s, x, &err)) {
        fail(s, x, err.kind == ERR_MEMORY ? OUTSIDE_BUSY : OUTSIDE_UNREACHABLE, err.text);
    }
}

/* Has nothing of the question reached the server? */
static bool never_sent(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
}

static bool may_try_again(const struct exchange *x, CURLcode code)
{
    int status = x->answer.status;
    if (x->tries > x->target->retries || x->too_large)
        return false;
    if (code != CURLE_OK)
        return never_sent(code) ||
               (x->repeatable && (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
                                  code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE));
    return x->repeatable && (status >= 500 || status == 429);
}

static int64_t again_us(const struct exchange *x)
{
    unsigned char spread = 0;
    int shift = x->tries < 8 ? x->tries - 1 : 7;
    RAND_bytes(&spread, 1);
    int64_t ms = ((int64_t)AGAIN_MS << shift) * (128 + spread) / 256;
    if (x->answer.retry_after && ms < (int64_t)x->answer.retry_after * 1000)
        ms = (int64_t)x->answer.retry_after * 1000;
    return ms * 1000;
}

static void note_answer(struct exchange *x, CURLcode code)
{
    struct outside_answer *a = &x->answer;
    long status = 0;
    curl_off_t after = 0;
    char *type = NULL;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &after);
    a->status = (int)status;
    a->retry_after = after > 0 && after < 86400 ? (unsigned)after : 0;
    text_printable(view_str(type ? type : ""), a->content_type, sizeof a->content_type);
    if (code == CURLE_OK)
        return;
    const char *text = x->fault[0] ? x->fault : curl_easy_strerror(code);
    buf_wipe(&a->body);
    a->result = x->too_large                       ? OUTSIDE_TOO_LARGE
                : code == CURLE_OPERATION_TIMEDOUT ? OUTSIDE_TIMEOUT
                : code == CURLE_OUT_OF_MEMORY      ? OUTSIDE_BUSY
                                                   : OUTSIDE_UNREACHABLE;
    text_printable(view_str(x->too_large ? x->too_large : text), a->text, sizeof a->text);
}

static void try_done(struct serving *s, struct exchange *x, CURLcode code)
{
    TAILQ_REMOVE(&s->flying, x, entry);
    note_answer(x, code);
    drop_try(s, x);
    int64_t at = now_us() + again_us(x);
    if (may_try_again(x, code) && at < x->deadline_us) {
        x->at_us = at;
        TAILQ_INSERT_TAIL(&s->sleeping, x, entry);
    } else {
        end_of(s, x);
    }
}

/* ---- questions ---- */

static bool copy_text(struct view v, char **out)
{
    *out = strndup((const char *)v.p, v.n);
    return *out != NULL;
}

/* What stands behind the address of the configuration leads to no other host and no other page. */
static bool suffix_good(const struct wire_question *q)
{
    static const struct {
        enum outside_kind kind;
        const char *suffix;
    } intune[] = {{OUTSIDE_INTUNE, INTUNE_VALIDATE},
                  {OUTSIDE_INTUNE, INTUNE_SUCCESS},
                  {OUTSIDE_INTUNE, INTUNE_FAILURE},
                  {OUTSIDE_INTUNE_QUEUE, INTUNE_QUEUE_FETCH},
                  {OUTSIDE_INTUNE_QUEUE, INTUNE_QUEUE_REPORT}};
    if (q->kind == OUTSIDE_UPSTREAM)
        return q->suffix.n > 0 && q->suffix.p[0] == '?';
    if (!of_intune(q->kind))
        return q->suffix.n == 0;
    for (size_t i = 0; i < sizeof intune / sizeof *intune; i++)
        if (q->kind == intune[i].kind && view_eq(q->suffix, view_str(intune[i].suffix)))
            return true;
    return false;
}

static void begin(struct serving *s, const struct wire_question *q)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) {
        struct outside_answer none = {.result = OUTSIDE_BUSY, .text = "out of memory"};
        put_answer(s, q->number, &none);
        return;
    }
    s->asked++;
    x->number = q->number;
    x->kind = q->kind;
    x->post = q->post;
    x->repeatable = q->repeatable;
    x->begun_us = now_us();
    x->most = q->kind == OUTSIDE_UPSTREAM       ? OUTSIDE_MAX_UPSTREAM_ANSWER
              : q->kind == OUTSIDE_INTUNE_QUEUE ? OUTSIDE_MAX_QUEUE_ANSWER
                                                : OUTSIDE_MAX_ANSWER;
    x->target = targets_find(s->targets, q->kind, q->name);
    if (!x->target) {
        finish_with(s, x, OUTSIDE_FORBIDDEN, "the configuration names no such server");
        return;
    }
    if (!suffix_good(q)) {
        finish_with(s, x, OUTSIDE_FORBIDDEN, "the configuration names no such address");
        return;
    }
    x->deadline_us = x->begun_us + (int64_t)x->target->timeout_ms * 1000;
    if (!copy_text(q->suffix, &x->suffix) || !copy_text(q->type, &x->type) ||
        !buf_append(&x->body, q->body.p, q->body.n)) {
        finish_with(s, x, OUTSIDE_BUSY, "out of memory");
        return;
    }
    char why[256];
    enum outside_result may = target_begin(x->target, now_us(), why);
    if (may != OUTSIDE_ANSWERED) {
        finish_with(s, x, may, why);
        return;
    }
    x->begun = true;
    try_or_finish(s, x);
}

static bool take_questions(struct serving *s)
{
    ssize_t n;
    bool open = wire_receive(s->fd, &s->in);
    while ((n = wire_frame(&s->in)) > 0) {
        struct wire_question q;
        if (!wire_read_ask(view_of(s->in.p, (size_t)n), &q)) {
            log_event(s->log, LOG_LEVEL_ERROR, "outside.malformed",
                      "a question that is none: the connection is closed");
            return false;
        }
        begin(s, &q);
        wire_take(&s->in, (size_t)n);
    }
    return open && n == 0;
}

/* ---- the loop ---- */

static void wake_sleeping(struct serving *s)
{
    struct exchange *x, *next;
    int64_t now = now_us();
    for (x = TAILQ_FIRST(&s->sleeping); x; x = next) {
        next = TAILQ_NEXT(x, entry);
        if (now < x->at_us)
            continue;
        TAILQ_REMOVE(&s->sleeping, x, entry);
        try_or_finish(s, x);
        next = TAILQ_FIRST(&s->sleeping); /* the list may have changed */
    }
}

static void give_up_waiting(struct serving *s)
{
    int64_t now = now_us();
    for (size_t i = 0; i < s->targets->n; i++) {
        struct exchanges *waiting = &s->targets->target[i].intune.waiting;
        for (struct exchange *x = TAILQ_FIRST(waiting), *next; x; x = next) {
            next = TAILQ_NEXT(x, entry);
            if (now < x->deadline_us)
                continue;
            TAILQ_REMOVE(waiting, x, entry);
            finish_with(s, x, OUTSIDE_TIMEOUT, "Intune gave no token in time");
        }
    }
}

/* Or who asks would think that this process is stuck. */
static void say_alive(struct serving *s)
{
    struct outside_answer nothing = {.status = 0};
    if (s->asked && now_us() - s->told_us >= WIRE_ALIVE_MS * 1000)
        put_answer(s, 0, &nothing);
}

static int next_look_ms(const struct serving *s)
{
    const struct exchange *x;
    int64_t now = now_us(), least = now + LOOK_MS * 1000;
    TAILQ_FOREACH(x, &s->sleeping, entry)
    {
        least = x->at_us < least ? x->at_us : least;
    }
    return least > now ? (int)((least - now) / 1000) + 1 : 0;
}

static void take_done(struct serving *s)
{
    CURLMsg *m;
    int left, running;
    curl_multi_perform(s->multi, &running);
    while ((m = curl_multi_info_read(s->multi, &left))) {
        char *x = NULL;
        CURLcode code = m->data.result;
        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x) == CURLE_OK && x)
            try_done(s, (struct exchange *)(void *)x, code);
    }
}

static void loop(struct serving *s)
{
    for (;;) {
        struct curl_waitfd asker = {
            .fd = s->fd, .events = (short)(CURL_WAIT_POLLIN | (s->out.n ? CURL_WAIT_POLLOUT : 0))};
        curl_multi_poll(s->multi, &asker, 1, next_look_ms(s), NULL);
        if (asker.revents && !take_questions(s))
            return;
        take_done(s);
        wake_sleeping(s);
        give_up_waiting(s);
        say_alive(s);
        if (s->broken || (s->out.n && !wire_send(s->fd, &s->out)))
            return;
    }
}

/* Nobody is there any more to be answered. */
static void forget(struct serving *s, struct exchanges *list)
{
    struct exchange *x;
    while ((x = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, x, entry);
        exchange_free(s, x);
    }
}

static void forget_all(struct serving *s)
{
    forget(s, &s->flying);
    forget(s, &s->sleeping);
    for (size_t i = 0; i < s->targets->n; i++)
        forget(s, &s->targets->target[i].intune.waiting);
}

void outside_serve(int socket, struct outside_targets *targets, const struct log *log)
{
    struct serving s = {.fd = socket, .targets = targets, .log = log};
    TAILQ_INIT(&s.flying);
    TAILQ_INIT(&s.sleeping);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && (s.multi = curl_multi_init())) {
        curl_multi_setopt(s.multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_PER_HOST);
        curl_multi_setopt(s.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS);
        loop(&s);
        forget_all(&s);
        curl_multi_cleanup(s.multi);
    } else {
        log_event(log, LOG_LEVEL_ERROR, "outside.failed", "libcurl cannot be started");
    }
    buf_wipe(&s.in);
    buf_wipe(&s.out);
    close(socket);
}
