#include "scepd/asking.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "outside/webhook.h"

/* What was said of so many requests is remembered; a new one takes the place of an older. */
#define REMEMBERED 1024

struct remembered {
    uint8_t key[32];
    int64_t until; /* monotonic seconds; 0: the place is free */
    struct enroll_asked said;
};

struct asking {
    struct outside *outside;
    const struct log *log;
    pthread_mutex_t lock;
    struct remembered said[REMEMBERED];
};

static int64_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec;
}

static struct remembered *place_of(struct asking *a, const uint8_t key[32])
{
    return &a->said[(key[0] << 8 | key[1]) % REMEMBERED];
}

static bool recall(struct asking *a, const uint8_t key[32], struct enroll_asked *out)
{
    pthread_mutex_lock(&a->lock);
    const struct remembered *r = place_of(a, key);
    bool known = r->until > now_s() && memcmp(r->key, key, sizeof r->key) == 0;
    if (known)
        *out = r->said;
    pthread_mutex_unlock(&a->lock);
    return known;
}

static void remember(struct asking *a, const uint8_t key[32], int64_t seconds,
                     const struct enroll_asked *said)
{
    if (seconds <= 0)
        return;
    pthread_mutex_lock(&a->lock);
    struct remembered *r = place_of(a, key);
    memcpy(r->key, key, sizeof r->key);
    r->until = now_s() + seconds;
    r->said = *said;
    pthread_mutex_unlock(&a->lock);
}

static void tell(const struct asking *a, const struct service_job *job,
                 const struct outside_answer *answer)
{
    static const char *const states[] = {"", "allowed", "denied", "none"};
    const struct config_webhook *w = job->call.endpoint->validate;
    struct log_line l;
    bool none = job->asked.state == ENROLL_NO_ANSWER;
    log_begin(&l, a->log, none ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "webhook.answer");
    log_str(&l, "webhook", w->name);
    log_str(&l, "endpoint", job->call.endpoint->config->path);
    log_str(&l, "transaction", job->answer.transaction);
    log_str(&l, "result", outside_result_name(answer->result));
    log_int(&l, "status", answer->status);
    log_str(&l, "said", states[job->asked.state]);
    log_ms(&l, "ms", answer->seconds * 1000);
    log_end(&l, "%s", job->asked.text);
}

static void on_answer(void *context, struct outside_answer *answer)
{
    struct service_job *job = context;
    struct asking *a = job->asking;
    const struct config_webhook *w = job->call.endpoint->validate;
    struct enroll_asked *asked = &job->asked;
    enum webhook_said said = w->kind == WEBHOOK_INTUNE ? intune_read(answer, asked->text)
                                                       : webhook_read(answer, asked->text);
    asked->state = said == WEBHOOK_ALLOWED  ? ENROLL_ALLOWED
                   : said == WEBHOOK_DENIED ? ENROLL_DENIED
                                            : ENROLL_NO_ANSWER;
    if (asked->state != ENROLL_NO_ANSWER)
        remember(a, job->answer.question_key, w->remember, asked);
    tell(a, job, answer);
    service_pool_return(job);
}

bool asking_ask(void *asking, struct service_job *job)
{
    struct asking *a = asking;
    const struct config_webhook *w = job->call.endpoint->validate;
    struct err err = {0};
    if (!w || !a->outside) {
        job->asked.state = ENROLL_NO_ANSWER;
        snprintf(job->asked.text, sizeof job->asked.text,
                 "nobody is there to ask it; scepd needs a restart");
        return false;
    }
    if (recall(a, job->answer.question_key, &job->asked))
        return false;
    job->asking = a;
    struct outside_ask q = {.kind = w->kind == WEBHOOK_INTUNE ? OUTSIDE_INTUNE : OUTSIDE_WEBHOOK,
                            .name = w->name,
                            .post = true,
                            .suffix = w->kind == WEBHOOK_INTUNE ? INTUNE_VALIDATE : NULL,
                            .body = buf_view(&job->answer.question),
                            .repeatable = true};
    if (outside_call(a->outside, &q, on_answer, job, &err))
        return true;
    job->asked.state = ENROLL_NO_ANSWER;
    snprintf(job->asked.text, sizeof job->asked.text, "%.255s", err.text);
    return false;
}

bool asking_new(struct outside *outside, const struct log *log, struct asking **out,
                struct err *err)
{
    struct asking *a = calloc(1, sizeof *a);
    if (!a)
        return err_memory(err);
    a->outside = outside;
    a->log = log;
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    return true;
}

void asking_free(struct asking *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}
