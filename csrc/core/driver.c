/* SPDX-License-Identifier: MIT */
#include "core/driver.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "core/ctx.h"
#include "core/socket.h"
#include "os/clock.h"
#include "os/poller.h"
#include "os/thread.h"
#include "os/wakeup.h"

/* Who wrote so lately is in the middle of it and will write the rest; but for one tick only, as
 * what waits may be for another peer. */
#define WRITER_NS (100 * NS_PER_US)
/* Looks fall on this grid, so that one wake-up serves many sockets. */
#define LOOK_GRID_NS NS_PER_MS
#define TICK_NS (150 * NS_PER_US)
/* Ticks without work before the deep sleep. */
#define IDLE_TICKS 10
/* The look at a socket that stays leased comes ever later, up to this. */
#define LOOK_MAX_MS 16u
/* An event loop that handles its sockets is looked after this often, at first and at most. */
#define LOOP_MIN_MS 8u
#define LOOP_MAX_MS 256u
#define EVENT_BATCH 64

struct driver {
    struct thread thread;
    struct mutex lock;
    struct poller *poller;
    struct wakeup wake;
    struct fmq_ctx *ctx;
    int index;

    /* under `lock` */
    struct list sockets;
    struct list dirty;
    struct list look;
    uint64_t look_at; /* no socket on `look` is due before */
    struct list grave;
    struct heap deadlines;
    bool stop;
    uint64_t sleeping_until; /* CLOCK_NEVER deep, 0: awake */
};

static void nudge(struct driver *d, uint64_t when)
{
    if (d->sleeping_until > when) {
        d->sleeping_until = 0;
        wakeup_signal(&d->wake);
    }
}

int driver_add(struct driver *d, struct fmq_socket *s)
{
    socket_ref(s);
    mutex_lock(&d->lock);
    list_push_back(&d->sockets, &s->dr_sockets);
    s->registered = true;
    mutex_unlock(&d->lock);
    int rc = poller_add_child(d->poller, s->poller, POLLER_IN | POLLER_ONESHOT, s);
    if (rc) {
        mutex_lock(&d->lock);
        list_remove(&s->dr_sockets);
        s->registered = false;
        mutex_unlock(&d->lock);
        atomic_fetch_sub(&s->refs, 1);
    }
    return rc;
}

void driver_remove(struct driver *d, struct fmq_socket *s)
{
    poller_del_child(d->poller, s->poller);
    mutex_lock(&d->lock);
    s->registered = false;
    list_remove(&s->dr_sockets);
    list_remove(&s->dr_dirty);
    list_remove(&s->dr_look);
    heap_remove(&d->deadlines, &s->dr_deadline);
    list_push_back(&d->grave, &s->dr_grave);
    nudge(d, 0);
    mutex_unlock(&d->lock);
}

void driver_dirty(struct driver *d, struct fmq_socket *s, bool urgent)
{
    mutex_lock(&d->lock);
    if (s->registered && !list_linked(&s->dr_dirty)) {
        list_push_back(&d->dirty, &s->dr_dirty);
        /* A driver in tick mode comes by itself. */
        if (urgent || d->sleeping_until == CLOCK_NEVER ||
            d->sleeping_until > clock_now() + 4 * TICK_NS)
            nudge(d, 0);
    }
    mutex_unlock(&d->lock);
}

void driver_deadline(struct driver *d, struct fmq_socket *s, uint64_t when)
{
    mutex_lock(&d->lock);
    heap_remove(&d->deadlines, &s->dr_deadline);
    if (s->registered && when != CLOCK_NEVER) {
        heap_insert(&d->deadlines, &s->dr_deadline, when);
        nudge(d, when);
    }
    mutex_unlock(&d->lock);
}

/* d->lock held. */
static void add_look(struct driver *d, struct fmq_socket *s, uint64_t when)
{
    if (!s->registered || list_linked(&s->dr_look))
        return;
    s->dr_next_look = when;
    list_push_back(&d->look, &s->dr_look);
    if (when < d->look_at)
        d->look_at = when;
}

static uint64_t on_grid(uint64_t when)
{
    return (when / LOOK_GRID_NS + 1) * LOOK_GRID_NS;
}

void driver_look(struct driver *d, struct fmq_socket *s)
{
    mutex_lock(&d->lock);
    if (!list_linked(&s->dr_look)) {
        s->dr_interval_ms = 2;
        add_look(d, s, on_grid(clock_now() + LEASE_MIN_NS));
        nudge(d, d->look_at);
    }
    mutex_unlock(&d->lock);
}

/* Comes back to a socket later. */
static void look_later(struct driver *d, struct fmq_socket *s, uint64_t now, uint64_t delay_ns)
{
    mutex_lock(&d->lock);
    add_look(d, s, delay_ns < LOOK_GRID_NS ? now + delay_ns : on_grid(now + delay_ns));
    mutex_unlock(&d->lock);
}

/* The socket's poller fired: now, or earlier and the socket was left to somebody else. */
static void handle_ready(struct driver *d, struct fmq_socket *s, uint64_t now, bool fired)
{
    if (!mutex_try(&s->lock)) {
        look_later(d, s, now, TICK_NS);
        return;
    }
    if (s->finished) {
        mutex_unlock(&s->lock);
        return;
    }
    if (s->driving) {
        if (atomic_load(&s->asleep) && s->dr_seen_sleep == s->sleep_seq &&
            s->dr_interval_ms >= LOOK_MAX_MS) {
            /* The caller sleeps in one long wait and will handle all that comes. It tells us when
             * it is back. */
            atomic_store(&s->forgotten, true);
            mutex_unlock(&s->lock);
            return;
        }
        if (s->dr_seen_sleep != s->sleep_seq || !s->dr_interval_ms)
            s->dr_interval_ms = s->dr_interval_ms ? s->dr_interval_ms : 2;
        s->dr_seen_sleep = s->sleep_seq;
        if (s->dr_interval_ms < LOOK_MAX_MS)
            s->dr_interval_ms *= 2;
        uint64_t delay = s->dr_interval_ms * NS_PER_MS;
        mutex_unlock(&s->lock);
        look_later(d, s, now, delay);
        return;
    }
    if (!s->closed && ((s->watch.loop_events | s->watch.hub_events) & FMQ_POLLIN)) {
        if (fired) { /* the loop is woken, too, and will come */
            s->dr_fired = now;
            if (s->dr_interval_ms < LOOP_MIN_MS)
                s->dr_interval_ms = LOOP_MIN_MS;
            uint64_t delay = s->dr_interval_ms * NS_PER_MS;
            mutex_unlock(&s->lock);
            look_later(d, s, now, delay);
            return;
        }
        if (s->last_use > s->dr_fired) { /* it did */
            uint32_t longer = 4 * s->dr_interval_ms;
            s->dr_interval_ms = longer < LOOP_MAX_MS ? longer : LOOP_MAX_MS;
            poller_mod_child(d->poller, s->poller, POLLER_IN | POLLER_ONESHOT, s);
            mutex_unlock(&s->lock);
            return;
        }
    } else if (now < s->last_use + s->lease && !s->closed) {
        if (s->dr_interval_ms < 2)
            s->dr_interval_ms = 2;
        uint64_t delay = s->dr_interval_ms * NS_PER_MS;
        if (s->dr_interval_ms < LOOK_MAX_MS)
            s->dr_interval_ms *= 2;
        mutex_unlock(&s->lock);
        look_later(d, s, now, delay);
        return;
    }
    s->dr_interval_ms = 0;
    socket_drive_once(s, fired);
    if (!s->finished)
        poller_mod_child(d->poller, s->poller, POLLER_IN | POLLER_ONESHOT, s);
    socket_leave(s);
}

static void handle_deadline(struct driver *d, struct fmq_socket *s, uint64_t now)
{
    if (!mutex_try(&s->lock)) {
        mutex_lock(&d->lock);
        if (s->registered && !s->dr_deadline.linked)
            heap_insert(&d->deadlines, &s->dr_deadline, now + TICK_NS);
        mutex_unlock(&d->lock);
        return;
    }
    if (s->driving) {
        /* The caller runs the timers itself; we come back in case it is gone by then. */
        struct heap_node *min = heap_min(&s->timers);
        uint64_t next = !min                            ? CLOCK_NEVER
                        : min->key > now + LEASE_MIN_NS ? min->key
                                                        : now + LEASE_MIN_NS;
        s->deadline = next; /* earlier timers will be told */
        mutex_lock(&d->lock);
        if (s->registered && !s->dr_deadline.linked && next != CLOCK_NEVER)
            heap_insert(&d->deadlines, &s->dr_deadline, next);
        mutex_unlock(&d->lock);
        mutex_unlock(&s->lock);
        return;
    }
    socket_drive_once(s, false);
    s->deadline = CLOCK_NEVER;
    s->work |= WORK_TIMER;
    socket_leave(s);
}

static void dirty_again(struct driver *d, struct fmq_socket *s)
{
    mutex_lock(&d->lock);
    if (s->registered && !list_linked(&s->dr_dirty))
        list_push_back(&d->dirty, &s->dr_dirty);
    mutex_unlock(&d->lock);
}

static bool handle_dirty(struct driver *d, struct fmq_socket *s, uint64_t now)
{
    if (!mutex_try(&s->lock)) {
        dirty_again(d, s);
        return false;
    }
    if (!s->flush_soon && !s->spared && !s->closed && now < s->last_write + WRITER_NS) {
        s->spared = true;
        dirty_again(d, s);
        mutex_unlock(&s->lock);
        return true;
    }
    s->dirty = s->flush_soon = s->spared = false;
    if (!s->finished)
        s->work |= WORK_FLUSH;
    if (s->work)
        socket_leave_slow(s, true);
    else
        mutex_unlock(&s->lock);
    return true;
}

static void drop_graves(struct driver *d)
{
    mutex_lock(&d->lock);
    while (!list_empty(&d->grave)) {
        struct fmq_socket *s = LIST_ENTRY(list_pop_front(&d->grave), struct fmq_socket, dr_grave);
        mutex_unlock(&d->lock);
        /* Whoever finished it may still be on its way out of the lock. */
        mutex_lock(&s->lock);
        mutex_unlock(&s->lock);
        socket_unref(s);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
}

static void run_looks(struct driver *d, uint64_t now)
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
        struct fmq_socket *s = LIST_ENTRY(n, struct fmq_socket, dr_look);
        if (s->dr_next_look <= now) {
            list_remove(n);
            list_push_back(&due, n);
        } else if (s->dr_next_look < d->look_at) {
            d->look_at = s->dr_next_look;
        }
    }
    /* driver_remove may take sockets off `due`, but never frees them before drop_graves. */
    for (struct list *n; (n = list_pop_front(&due));) {
        mutex_unlock(&d->lock);
        handle_ready(d, LIST_ENTRY(n, struct fmq_socket, dr_look), now, false);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
}

static void run_deadlines(struct driver *d, uint64_t now)
{
    mutex_lock(&d->lock);
    for (;;) {
        struct heap_node *n = heap_min(&d->deadlines);
        if (!n || n->key > now)
            break;
        heap_remove(&d->deadlines, n);
        mutex_unlock(&d->lock);
        handle_deadline(d, LIST_ENTRY(n, struct fmq_socket, dr_deadline), now);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
}

static bool run_dirty(struct driver *d, uint64_t now)
{
    bool worked = false;
    struct list due;
    list_init(&due);
    mutex_lock(&d->lock);
    while (!list_empty(&d->dirty))
        list_push_back(&due, list_pop_front(&d->dirty));
    for (struct list *n; (n = list_pop_front(&due));) {
        mutex_unlock(&d->lock);
        worked |= handle_dirty(d, LIST_ENTRY(n, struct fmq_socket, dr_dirty), now);
        mutex_lock(&d->lock);
    }
    mutex_unlock(&d->lock);
    return worked;
}

/* How long to sleep: the nearest of ticks, looks and deadlines. Called with d->lock held. */
static uint64_t next_wake(struct driver *d, uint64_t now, bool ticking)
{
    uint64_t next = CLOCK_NEVER;
    if (ticking || !list_empty(&d->dirty))
        next = now + TICK_NS;
    if (d->look_at < next)
        next = d->look_at;
    struct heap_node *min = heap_min(&d->deadlines);
    if (min && min->key < next)
        next = min->key;
    return next;
}

static void driver_run(void *arg)
{
    struct driver *d = arg;
    struct fmq_ctx *ctx = d->ctx;
    struct thread_policy policy = {ctx->thread_sched_policy, ctx->thread_priority, ctx->cpus,
                                   ctx->cpu_count};
    thread_apply_policy(&policy);
    int idle_ticks = IDLE_TICKS;
    for (;;) {
        drop_graves(d);
        uint64_t now = clock_now();
        mutex_lock(&d->lock);
        if (d->stop && list_empty(&d->sockets) && list_empty(&d->grave)) {
            mutex_unlock(&d->lock);
            break;
        }
        uint64_t next = next_wake(d, now, idle_ticks < IDLE_TICKS);
        if (!list_empty(&d->grave))
            next = now;
        d->sleeping_until = next;
        mutex_unlock(&d->lock);

        struct poller_event events[EVENT_BATCH];
        int64_t timeout = next == CLOCK_NEVER ? -1 : next <= now ? 0 : (int64_t)(next - now);
        int n = poller_wait(d->poller, events, EVENT_BATCH, timeout);
        now = clock_now();
        mutex_lock(&d->lock);
        d->sleeping_until = 0;
        mutex_unlock(&d->lock);

        for (int i = 0; i < n; i++) {
            if (events[i].data == d)
                wakeup_drain(&d->wake);
            else
                handle_ready(d, events[i].data, now, true);
        }
        run_looks(d, now);
        run_deadlines(d, now);
        if (run_dirty(d, now))
            idle_ticks = 0;
        else if (idle_ticks < IDLE_TICKS)
            idle_ticks++;
    }
}

int driver_create(struct driver **out, struct fmq_ctx *ctx, int index)
{
    struct driver *d = mem_zalloc(sizeof(*d));
    if (!d)
        return -ENOMEM;
    mutex_init(&d->lock);
    d->wake.rfd = d->wake.wfd = -1;
    d->ctx = ctx;
    d->index = index;
    list_init(&d->sockets);
    list_init(&d->dirty);
    list_init(&d->look);
    list_init(&d->grave);
    heap_init(&d->deadlines);
    d->look_at = CLOCK_NEVER;
    int rc = poller_create(&d->poller);
    if (rc == 0)
        rc = wakeup_init(&d->wake);
    if (rc == 0)
        rc = poller_add(d->poller, d->wake.rfd, POLLER_IN, d);
    if (rc == 0) {
        char name[32];
        snprintf(name, sizeof(name), "%s%sfmq/%d", ctx->name_prefix, ctx->name_prefix[0] ? "/" : "",
                 index);
        rc = thread_start(&d->thread, driver_run, d, name);
        if (rc == -EAGAIN) /* would be taken for a call that may be made again */
            rc = -FMQ_EMTHREAD;
    }
    if (rc) {
        if (d->poller)
            poller_destroy(d->poller);
        wakeup_fini(&d->wake);
        mutex_fini(&d->lock);
        mem_free(d);
        return rc;
    }
    *out = d;
    return 0;
}

uint32_t driver_descriptors(const struct driver *d)
{
    return poller_fds(d->poller) + wakeup_fds(&d->wake);
}

void driver_destroy(struct driver *d)
{
    mutex_lock(&d->lock);
    d->stop = true;
    d->sleeping_until = 0;
    wakeup_signal(&d->wake);
    mutex_unlock(&d->lock);
    thread_join(&d->thread);
    poller_del(d->poller, d->wake.rfd);
    poller_destroy(d->poller);
    wakeup_fini(&d->wake);
    mutex_fini(&d->lock);
    mem_free(d);
}
