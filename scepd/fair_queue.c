#include "scepd/fair_queue.h"

#include "base/network.h"

void fair_queue_init(struct fair_queue *q, size_t bound)
{
    *q = (struct fair_queue){.bound = bound};
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->ready, NULL);
    TAILQ_INIT(&q->turns);
    network_secret(q->secret);
}

void fair_queue_clear(struct fair_queue *q)
{
    pthread_cond_destroy(&q->ready);
    pthread_mutex_destroy(&q->lock);
}

static struct fair_lane *lane_of(struct fair_queue *q, const char *peer)
{
    uint8_t group[NETWORK_GROUP];
    network_group(peer, group);
    return &q->lane[network_group_hash(group, q->secret) % FAIR_LANES];
}

/* The last job of the longest lane, if that is longer than `than`; otherwise NULL. */
static struct fair_job *displace(struct fair_queue *q, const struct fair_lane *than)
{
    struct fair_lane *longest = NULL, *i;
    TAILQ_FOREACH(i, &q->turns, turn)
    {
        if (!longest || i->n > longest->n)
            longest = i;
    }
    /* Longer by one would only change places, for ever. */
    if (!longest || longest->n <= than->n + 1)
        return NULL;
    struct fair_job *last = longest->tail;
    longest->tail = last->before;
    longest->tail->next = NULL; /* there are at least two */
    longest->n--;
    q->n--;
    return last;
}

static void append(struct fair_queue *q, struct fair_lane *lane, struct fair_job *job)
{
    job->next = NULL;
    job->before = lane->tail;
    if (lane->tail)
        lane->tail->next = job;
    else
        lane->head = job;
    lane->tail = job;
    if (lane->n++ == 0)
        TAILQ_INSERT_TAIL(&q->turns, lane, turn);
    q->n++;
}

/* The signal comes after the unlocking: who wakes up would only wait for the lock. */
bool fair_queue_push(struct fair_queue *q, struct fair_job *job, struct fair_job **displaced)
{
    *displaced = NULL;
    pthread_mutex_lock(&q->lock);
    struct fair_lane *lane = lane_of(q, job->peer);
    if (q->n == q->bound) /* with more in it, one that leaves makes no room yet */
        *displaced = displace(q, lane);
    bool room = q->n < q->bound;
    if (room)
        append(q, lane, job);
    pthread_mutex_unlock(&q->lock);
    if (room)
        pthread_cond_signal(&q->ready);
    return room;
}

void fair_queue_push_front(struct fair_queue *q, struct fair_job *job)
{
    pthread_mutex_lock(&q->lock);
    job->next = q->front;
    q->front = job;
    q->n++;
    pthread_cond_signal(&q->ready);
    pthread_mutex_unlock(&q->lock);
}

/* One of the lane whose turn it is; there is one. */
static struct fair_job *take_turn(struct fair_queue *q)
{
    struct fair_lane *lane = TAILQ_FIRST(&q->turns);
    struct fair_job *job = lane->head;
    lane->head = job->next;
    if (lane->head)
        lane->head->before = NULL;
    else
        lane->tail = NULL;
    TAILQ_REMOVE(&q->turns, lane, turn);
    if (--lane->n > 0)
        TAILQ_INSERT_TAIL(&q->turns, lane, turn);
    return job;
}

/* NULL: there is none. */
static struct fair_job *take_next(struct fair_queue *q)
{
    struct fair_job *job = q->front;
    if (job)
        q->front = job->next;
    else if (q->n > 0)
        job = take_turn(q);
    q->n -= job != NULL;
    return job;
}

size_t fair_queue_take_some(struct fair_queue *q, struct fair_job **out, size_t most)
{
    size_t n = 0;
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->closed)
        pthread_cond_wait(&q->ready, &q->lock);
    while (n < most && (out[n] = take_next(q)) != NULL)
        n++;
    pthread_mutex_unlock(&q->lock);
    return n;
}

struct fair_job *fair_queue_take(struct fair_queue *q)
{
    struct fair_job *job;
    return fair_queue_take_some(q, &job, 1) > 0 ? job : NULL;
}

size_t fair_queue_waiting(struct fair_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->n;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void fair_queue_close(struct fair_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->ready);
    pthread_mutex_unlock(&q->lock);
}
