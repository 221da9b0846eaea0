/* SPDX-License-Identifier: MIT */
#include "reactor/io_run.h"

#include <stdio.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "os/poller.h"
#include "reactor/io_thread.h"
#include "reactor/poll.h"
#include "reactor/reactor.h"

/* A caller that wrote so lately is in the middle of it and will write the rest. It is left to that
 * for one tick only, as what waits may be for another peer. */
#define WRITER_NS (100 * NS_PER_US)
/* Ticks without work before the deep sleep. */
#define IDLE_TICKS 10
/* The look at a socket that stays leased comes ever later, up to this. */
#define LOOK_MAX_MS 16u
/* An event loop that handles its sockets is looked after this often, at first and at most. */
#define LOOP_MIN_MS 8u
#define LOOP_MAX_MS 256u
#define EVENT_BATCH 64
/* Without a poller it looks after what is left this often. */
#define REST_NS (20 * NS_PER_MS)
/* So long it is waited for if it cannot be woken. */
#define LAST_WAIT_NS NS_PER_S

/* The socket's poller fired: now, or earlier and the socket was left to another thread. */
static void handle_ready(struct io_thread *d, struct reactor *r, uint64_t now, bool fired)
{
    if (!mutex_try(&r->lock)) {
        io_thread_look_later(d, r, now, TICK_NS);
        return;
    }
    if (r->finished) {
        mutex_unlock(&r->lock);
        return;
    }
    if (fired)
        r->iot_armed = false;
    if (r->polling) {
        if (atomic_load(&r->asleep) && r->iot_seen_sleep == r->sleep_seq &&
            r->iot_interval_ms >= LOOK_MAX_MS) {
            /* The caller sleeps in one long wait and will handle all that comes. It calls
             * io_thread_look when it returns. */
            atomic_store(&r->disarmed, true);
            mutex_unlock(&r->lock);
            return;
        }
        if (r->iot_seen_sleep != r->sleep_seq || !r->iot_interval_ms)
            r->iot_interval_ms = r->iot_interval_ms ? r->iot_interval_ms : 2;
        r->iot_seen_sleep = r->sleep_seq;
        if (r->iot_interval_ms < LOOK_MAX_MS)
            r->iot_interval_ms *= 2;
        uint64_t delay = r->iot_interval_ms * NS_PER_MS;
        mutex_unlock(&r->lock);
        io_thread_look_later(d, r, now, delay);
        return;
    }
    if (!r->closed && ((r->notify.own_events | r->notify.loop_events) & FMQ_POLLIN)) {
        if (fired) { /* the loop is woken, too, and will come */
            r->iot_fired = now;
            if (r->iot_interval_ms < LOOP_MIN_MS)
                r->iot_interval_ms = LOOP_MIN_MS;
            uint64_t delay = r->iot_interval_ms * NS_PER_MS;
            mutex_unlock(&r->lock);
            io_thread_look_later(d, r, now, delay);
            return;
        }
        if (r->last_use > r->iot_fired) { /* it did */
            uint32_t longer = 4 * r->iot_interval_ms;
            r->iot_interval_ms = longer < LOOP_MAX_MS ? longer : LOOP_MAX_MS;
            io_thread_rearm(d, r);
            mutex_unlock(&r->lock);
            return;
        }
    } else if (now < r->last_use + r->lease && !r->closed) {
        if (r->iot_interval_ms < 2)
            r->iot_interval_ms = 2;
        uint64_t delay = r->iot_interval_ms * NS_PER_MS;
        if (r->iot_interval_ms < LOOK_MAX_MS)
            r->iot_interval_ms *= 2;
        mutex_unlock(&r->lock);
        io_thread_look_later(d, r, now, delay);
        return;
    }
    r->iot_interval_ms = 0;
    reactor_poll_once(r, fired);
    if (!r->finished)
        io_thread_rearm(d, r);
    reactor_leave(r);
}

static void handle_deadline(struct io_thread *d, struct reactor *r, uint64_t now)
{
    if (!mutex_try(&r->lock)) {
        mutex_lock(&d->lock);
        if (r->registered && !r->iot_deadline.linked)
            heap_insert(&d->deadlines, &r->iot_deadline, now + TICK_NS);
        mutex_unlock(&d->lock);
        return;
    }
    if (r->polling) {
        /* The caller runs the timers itself; this thread comes back in case it has left by then. */
        uint64_t next = timers_next(r);
        if (next <= now)
            reactor_wake(r); /* set since it fell asleep, and it does not know of it */
        if (next < now + LEASE_MIN_NS)
            next = now + LEASE_MIN_NS;
        r->deadline = next; /* earlier timers will be reported */
        mutex_lock(&d->lock);
        if (r->registered && !r->iot_deadline.linked && next != CLOCK_NEVER)
            heap_insert(&d->deadlines, &r->iot_deadline, next);
        mutex_unlock(&d->lock);
        mutex_unlock(&r->lock);
        return;
    }
    reactor_poll_once(r, false);
    r->deadline = CLOCK_NEVER;
    r->work |= WORK_TIMER;
    reactor_leave(r);
}

static void flush_again(struct io_thread *d, struct reactor *r)
{
    mutex_lock(&d->lock);
    if (r->registered && !list_linked(&r->iot_flush))
        list_push_back(&d->flush, &r->iot_flush);
    mutex_unlock(&d->lock);
}

static bool handle_flush(struct io_thread *d, struct reactor *r, uint64_t now)
{
    if (!mutex_try(&r->lock)) {
        flush_again(d, r);
        return false;
    }
    if (!r->flush_soon && !r->tick_skipped && !r->closed && now < r->last_write + WRITER_NS) {
        r->tick_skipped = true;
        flush_again(d, r);
        mutex_unlock(&r->lock);
        return true;
    }
    r->flush_pending = r->flush_soon = r->tick_skipped = false;
    if (!r->finished)
        r->work |= WORK_FLUSH;
    if (r->work)
        reactor_leave_slow(r, true);
    else
        mutex_unlock(&r->lock);
    return true;
}

static void drop_removed(struct io_thread *d)
{
    mutex_lock(&d->lock);
    while (!list_empty(&d->removed)) {
        struct reactor *r = LIST_ENTRY(list_pop_front(&d->removed), struct reactor, iot_removed);
        mutex_unlock(&d->lock);
        /* The thread that finished it may still be on its way out of the lock. */
        mutex_lock(&r->lock);
        mutex_unlock(&r->lock);
        reactor_unref(r);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
}

static void run_looks(struct io_thread *d, uint64_t now)
{
    struct list due;
    list_init(&due);
    mutex_lock(&d->lock);
    if (now < d->look_at) {
        mutex_unlock(&d->lock);
        return;
    }
    d->look_at = CLOCK_NEVER;
    LIST_FOR_SAFE(n, &d->look)
    {
        struct reactor *r = LIST_ENTRY(n, struct reactor, iot_look);
        if (r->iot_next_look <= now) {
            list_remove(n);
            list_push_back(&due, n);
        } else if (r->iot_next_look < d->look_at) {
            d->look_at = r->iot_next_look;
        }
    }
    /* io_thread_remove may take sockets off `due`, but never frees them before drop_removed. */
    for (struct list *n; (n = list_pop_front(&due));) {
        mutex_unlock(&d->lock);
        handle_ready(d, LIST_ENTRY(n, struct reactor, iot_look), now, false);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
}

static void run_deadlines(struct io_thread *d, uint64_t now)
{
    mutex_lock(&d->lock);
    for (;;) {
        struct heap_node *n = heap_min(&d->deadlines);
        if (!n || n->key > now)
            break;
        heap_remove(&d->deadlines, n);
        mutex_unlock(&d->lock);
        handle_deadline(d, LIST_ENTRY(n, struct reactor, iot_deadline), now);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
}

static bool run_flush(struct io_thread *d, uint64_t now)
{
    bool worked = false;
    struct list due;
    list_init(&due);
    mutex_lock(&d->lock);
    while (!list_empty(&d->flush))
        list_push_back(&due, list_pop_front(&d->flush));
    for (struct list *n; (n = list_pop_front(&due));) {
        mutex_unlock(&d->lock);
        worked |= handle_flush(d, LIST_ENTRY(n, struct reactor, iot_flush), now);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
    return worked;
}

/* How long to sleep: the nearest of ticks, looks and deadlines. Called with d->lock held. */
static uint64_t next_wake(struct io_thread *d, uint64_t now, bool ticking)
{
    uint64_t next = CLOCK_NEVER;
    if (ticking || !list_empty(&d->flush))
        next = now + TICK_NS;
    if (d->look_at < next)
        next = d->look_at;
    struct heap_node *min = heap_min(&d->deadlines);
    if (min && min->key < next)
        next = min->key;
    return next;
}

static void io_thread_run(void *arg)
{
    struct io_thread *d = arg;
    thread_apply_policy(&d->policy);
    int idle_ticks = IDLE_TICKS;
    for (;;) {
        drop_removed(d);
        uint64_t now = clock_now();
        mutex_lock(&d->lock);
        bool over = d->stop && list_empty(&d->reactors) && list_empty(&d->removed);
        if (over) {
            d->ended = true;
            cond_signal(&d->rest);
            mutex_unlock(&d->lock);
            break;
        }
        uint64_t next = next_wake(d, now, idle_ticks < IDLE_TICKS);
        if (!list_empty(&d->removed))
            next = now;
        d->sleeping_until = next;
        struct poller_event events[EVENT_BATCH];
        int64_t timeout = next == CLOCK_NEVER ? -1 : next <= now ? 0 : (int64_t)(next - now);
        int n = 0;
        if (d->broken) {
            cond_wait(&d->rest, &d->lock, (int64_t)REST_NS);
            mutex_unlock(&d->lock);
        } else {
            mutex_unlock(&d->lock);
            n = poller_wait(d->poller, events, EVENT_BATCH, timeout);
        }
        now = clock_now();
        mutex_lock(&d->lock);
        d->sleeping_until = 0;
        if (n < 0 && !poller_may_retry(n))
            io_thread_give_up(d);
        mutex_unlock(&d->lock);

        for (int i = 0; i < n; i++) {
            if (events[i].data == d)
                wakeup_drain(&d->wake);
            else if (events[i].data != &d->spare)
                handle_ready(d, events[i].data, now, true);
        }
        run_looks(d, now);
        run_deadlines(d, now);
        if (run_flush(d, now))
            idle_ticks = 0;
        else if (idle_ticks < IDLE_TICKS)
            idle_ticks++;
    }
}

int io_thread_create(struct io_thread **out, const char *name, const struct thread_policy *policy)
{
    struct io_thread *d = mem_zalloc(sizeof(*d));
    if (!d)
        return -ENOMEM;
    mutex_init(&d->lock);
    cond_init(&d->rest);
    d->wake.rfd = d->wake.wfd = d->spare.rfd = d->spare.wfd = -1;
    snprintf(d->name, sizeof(d->name), "%s", name);
    d->policy = *policy;
    list_init(&d->reactors);
    list_init(&d->flush);
    list_init(&d->look);
    list_init(&d->removed);
    heap_init(&d->deadlines);
    d->look_at = CLOCK_NEVER;
    int rc = poller_create(&d->poller);
    if (rc == 0)
        rc = wakeup_init(&d->wake);
    if (rc == 0)
        rc = poller_add(d->poller, d->wake.rfd, POLLER_IN, d);
    if (rc == 0) {
        rc = thread_start(&d->thread, io_thread_run, d, name);
        if (rc == -EAGAIN) /* would be taken for a call that may be made again */
            rc = -FMQ_EMTHREAD;
    }
    if (rc) {
        if (d->poller)
            poller_destroy(d->poller);
        wakeup_fini(&d->wake);
        cond_fini(&d->rest);
        mutex_fini(&d->lock);
        mem_free(d);
        return rc;
    }
    *out = d;
    return 0;
}

void io_thread_destroy(struct io_thread *d)
{
    mutex_lock(&d->lock);
    d->stop = true;
    io_thread_rouse(d);
    uint64_t until = clock_now() + LAST_WAIT_NS;
    while (!d->ended && (!d->broken || clock_now() < until))
        cond_wait(&d->rest, &d->lock, (int64_t)REST_NS);
    bool ended = d->ended;
    mutex_unlock(&d->lock);
    if (!ended) /* asleep in a poller that no thread can signal any more: it is left there */
        return;
    thread_join(&d->thread);
    poller_del(d->poller, d->wake.rfd);
    poller_destroy(d->poller);
    wakeup_fini(&d->wake);
    wakeup_fini(&d->spare);
    cond_fini(&d->rest);
    mutex_fini(&d->lock);
    mem_free(d);
}
