/* SPDX-License-Identifier: MIT */
#include "core/socket.h"

#include <string.h>

#include "base/alloc.h"
#include "core/budget.h"
#include "core/conn.h"
#include "core/ctx.h"
#include "core/driver.h"
#include "core/endpoint.h"
#include "core/hub.h"
#include "core/inproc.h"
#include "core/monitor.h"
#include "core/watch.h"

/* ---- mailbox ---- */

void socket_post(struct fmq_socket *s, struct cmd *cmd, bool urgent)
{
    if (atomic_exchange(&cmd->queued, true))
        return;
    struct cmd *head = atomic_load_explicit(&s->mailbox, memory_order_relaxed);
    do
        cmd->next = head;
    while (!atomic_compare_exchange_weak(&s->mailbox, &head, cmd));
    bool wake = atomic_exchange(&s->asleep, false) || urgent;
    unsigned watchers = atomic_load(&s->watchers);
    if (watchers == 1 && !wake && atomic_load(&s->watch.hub))
        hub_post(s);
    else if ((wake || watchers) && !atomic_exchange(&s->wake_set, true)) /* see socket_take_wake */
        wakeup_signal(&s->wake);
}

void socket_run_mail(struct fmq_socket *s)
{
    struct cmd *list = atomic_exchange(&s->mailbox, NULL);
    struct cmd *ordered = NULL;
    while (list) {
        struct cmd *next = list->next;
        list->next = ordered;
        ordered = list;
        list = next;
    }
    while (ordered) {
        struct cmd *cmd = ordered;
        ordered = cmd->next;
        atomic_store(&cmd->queued, false);
        cmd->run(s, cmd);
    }
}

void socket_kick(struct fmq_socket *s)
{
    if (atomic_exchange(&s->asleep, false))
        wakeup_signal(&s->wake);
}

static void wake_ready(struct io *io, uint32_t events)
{
    (void)events;
    struct fmq_socket *s = LIST_ENTRY(io, struct fmq_socket, wake_io);
    socket_take_wake(s);
}

/* In this order: who posts after the drain signals again, and what was posted before it is seen. */
void socket_take_wake(struct fmq_socket *s)
{
    wakeup_drain(&s->wake);
    atomic_store(&s->wake_set, false);
    if (atomic_load(&s->mailbox))
        socket_run_mail(s);
}

/* ---- entering and leaving ---- */

int socket_enter_slow(struct fmq_socket *s)
{
    int stop = atomic_load_explicit(&s->stop, memory_order_relaxed);
    if (stop) {
        socket_leave(s);
        return -stop;
    }
    socket_run_mail(s);
    return 0;
}

/* One thread that sends in turn on many sockets finds each of them quiet: beyond so many writes in
 * so long it leaves them to the background thread's ticks. Only where nobody waits for an answer.
 */
#define TURN_WRITES 16
#define TURN_NS (200 * NS_PER_US)

static bool writes_too_often(uint64_t now)
{
    static _Thread_local uint64_t since;
    static _Thread_local unsigned writes;
    if (now - since > TURN_NS) {
        since = now;
        writes = 0;
    }
    return ++writes > TURN_WRITES;
}

/* Goes through the attention list. Entries may be closed by other threads while a write has the
 * lock let go, so the list is taken over first and popped from its front. */
void socket_attend(struct fmq_socket *s, bool flush_all)
{
    if (list_empty(&s->attention))
        return;
    struct list todo;
    list_init(&todo);
    todo.next = s->attention.next;
    todo.prev = s->attention.prev;
    todo.next->prev = &todo;
    todo.prev->next = &todo;
    list_init(&s->attention);
    uint64_t now = clock_now(), before = s->last_write;
    uint64_t quiet = s->write_cost > FLUSH_QUIET_NS ? s->write_cost : FLUSH_QUIET_NS;
    bool flush =
        flush_all || (now - before > quiet && (s->ops->receives || !writes_too_often(now)));
    bool kept = false;
    for (struct list *n; (n = list_pop_front(&todo));) {
        struct conn *c = LIST_ENTRY(n, struct conn, attention);
        if (conn_attend(c, flush)) {
            if (!list_linked(&c->attention))
                list_push_back(&s->attention, &c->attention);
            kept = true;
        }
    }
    if (s->last_write > now) {
        uint64_t cost = s->last_write - now;
        s->write_cost = cost < FLUSH_QUIET_MAX_NS ? cost : FLUSH_QUIET_MAX_NS;
        if (now - before > BURST_NS)
            s->burst_until = now + BURST_NS;
    }
    if (kept && !s->dirty && s->driver) {
        s->dirty = true;
        s->flush_soon = now < s->burst_until;
        s->burst_until = 0;
        driver_dirty(s->driver, s, s->flush_soon);
    }
}

/* Nothing more will come out of it, and nothing waits in it to be sent within LINGER. */
static bool pipe_done(const struct pipe *p)
{
    return p->hung_up && !p->link && p->in.msgs == 0 && (!p->endpoint || outq_empty(&p->out));
}

void socket_reap(struct fmq_socket *s)
{
    for (struct list *n; (n = list_pop_front(&s->dead_pipes));) {
        struct pipe *p = LIST_ENTRY(n, struct pipe, dead_node);
        if (p->close_wanted) {
            p->close_wanted = false;
            pipe_update(p);
            if (p->link && !p->direct)
                p->link->ops->end(p->link, false);
            else
                pipe_hangup(p);
        } else if (p->lose_wanted && p->link && !p->direct) {
            p->lose_wanted = false;
            p->link->ops->end(p->link, true);
        } else if (pipe_done(p)) {
            if (p->endpoint)
                endpoint_release_pipe(p->endpoint);
            pipe_free(p);
        }
    }
    if (!s->driving) {
        for (struct list *n; (n = list_pop_front(&s->graveyard));) {
            struct io *io = LIST_ENTRY(n, struct io, grave);
            io->bury(io);
        }
    }
}

void socket_leave_slow(struct fmq_socket *s, bool flush_all)
{
    bool finished = false;
    /* Bounded: each kind of work creates at most a few rounds of others. */
    for (int round = 0; s->work && round < 64; round++) {
        unsigned work = s->work;
        s->work = 0;
        if (work & WORK_FLUSH)
            socket_attend(s, flush_all);
        if (work & WORK_REAP)
            socket_reap(s);
        if (work & WORK_TIMER) {
            struct heap_node *min = heap_min(&s->timers);
            uint64_t next = min ? min->key : CLOCK_NEVER;
            if (next < s->deadline) {
                s->deadline = next;
                if (s->driver && s->registered)
                    driver_deadline(s->driver, s, next);
                socket_kick(s);
            }
        }
        if (work & WORK_NOTIFY) {
            if (s->waiters)
                cond_broadcast(&s->cond);
            socket_kick(s);
        }
        if (s->closed && !s->finished && socket_try_finish(s)) {
            finished = true;
            break;
        }
    }
    if (atomic_load_explicit(&s->watchers, memory_order_relaxed) && !s->finished) {
        watch_update(s);
        s->work |= WORK_WATCHED;
    }
    mutex_unlock(&s->lock);
    if (finished)
        socket_unref(s); /* the reference of an unfinished socket */
}

/* ---- life ---- */

void socket_ref(struct fmq_socket *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

static void free_descriptors(struct fmq_socket *s)
{
    if (socket_has_mail(s)) { /* posted after it was finished: lets the senders' memory go */
        mutex_lock(&s->lock);
        socket_run_mail(s);
        mutex_unlock(&s->lock);
    }
    watch_fini(s);
    if (s->poller) {
        io_watch(s, &s->wake_io, 0);
        poller_destroy(s->poller);
    }
    s->poller = NULL;
    wakeup_fini(&s->wake);
}

static void drop_owner(struct fmq_socket *s)
{
    if (atomic_fetch_sub_explicit(&s->owners, 1, memory_order_acq_rel) != 1)
        return;
    ctx_forget(s->ctx, s);
    monitor_free(s->monitor);
    options_fini(&s->opt);
    cond_fini(&s->cond);
    mutex_fini(&s->lock);
    mem_free(s->state);
    mem_free(s);
}

void socket_unref(struct fmq_socket *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        free_descriptors(s);
        drop_owner(s);
    }
}

/* The context may queue more again: who was refused tries anew. */
static void shortage_over(struct fmq_socket *s, struct cmd *cmd)
{
    (void)cmd;
    if (s->finished)
        return;
    LIST_FOR_SAFE(n, &s->pipes)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_socket);
        if (p->full && !p->hung_up)
            pipe_drained(p);
        pipe_room_made(p);
    }
}

static void linger_over(struct timer *t, uint64_t now)
{
    (void)now;
    struct fmq_socket *s = LIST_ENTRY(t, struct fmq_socket, linger_timer);
    s->linger_until = 0;
    s->work |= WORK_CLOSE;
}

int fmq_socket_new(fmq_ctx *ctx, int type, fmq_socket **out)
{
    detail_clear();
    if (ctx->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    const struct pattern_ops *ops = pattern_find(type);
    if (!ops) {
        detail_set("socket type %d is not known", type);
        return -EINVAL;
    }
    return socket_new(ctx, ops, false, out);
}

int socket_new(struct fmq_ctx *ctx, const struct pattern_ops *ops, bool internal,
               struct fmq_socket **out)
{
    struct fmq_socket *s = mem_zalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->wake.rfd = s->wake.wfd = -1;
    for (int i = 0; i < 2; i++)
        s->watch.signal[i].rfd = s->watch.signal[i].wfd = -1;
    list_init(&s->watch.hub_member);
    list_init(&s->watch.hub_node);
    mutex_init(&s->lock);
    cond_init(&s->cond);
    s->type = ops->type;
    s->ops = ops;
    s->ctx = ctx;
    s->fork_generation = ctx->fork_generation;
    atomic_init(&s->refs, 1);   /* until it is finished */
    atomic_init(&s->owners, 2); /* the program's handle and the descriptors */
    options_init(&s->opt);
    rx_init(&s->rx);
    list_init(&s->tx_begun);
    list_init(&s->attention);
    list_init(&s->pipes);
    list_init(&s->endpoints);
    list_init(&s->conns);
    list_init(&s->dead_pipes);
    list_init(&s->graveyard);
    list_init(&s->warm);
    list_init(&s->dr_dirty);
    list_init(&s->dr_look);
    list_init(&s->dr_sockets);
    list_init(&s->dr_grave);
    list_init(&s->in_ctx);
    list_init(&s->shortage.node);
    s->shortage.over.run = shortage_over;
    heap_init(&s->timers);
    heap_node_init(&s->dr_deadline);
    timer_init(&s->linger_timer, linger_over);
    s->deadline = CLOCK_NEVER;
    s->lease = LEASE_MIN_NS;
    s->linger_until = CLOCK_NEVER;

    int rc = poller_create(&s->poller);
    if (rc == 0)
        rc = wakeup_init(&s->wake);
    if (rc)
        goto fail;
    s->wake_io.fd = s->wake.rfd;
    s->wake_io.ready = wake_ready;
    list_init(&s->wake_io.grave);
    rc = io_watch(s, &s->wake_io, POLLER_IN);
    if (rc)
        goto fail;
    if (ops->state_size && !(s->state = mem_zalloc(ops->state_size))) {
        rc = -ENOMEM;
        goto fail;
    }

    mutex_lock(&ctx->lock);
    if (ctx->stopping)
        rc = -FMQ_ETERM;
    else if (internal && ctx->zap)
        rc = -EEXIST;
    else if (!internal && atomic_load(&ctx->alive) - (ctx->zap ? 1 : 0) >= ctx->max_sockets)
        rc = -EMFILE;
    else
        rc = ctx_start_drivers(ctx);
    if (rc) {
        mutex_unlock(&ctx->lock);
        goto fail;
    }
    s->opt.ipv6 = ctx->ipv6;
    s->budget = ctx->budget.on && !internal ? &ctx->budget : NULL;
    if (!ctx->blocky)
        s->opt.linger = 0;
    if (ops->init)
        rc = ops->init(s);
    if (rc) {
        mutex_unlock(&ctx->lock);
        goto fail;
    }
    if (ctx->driver_count) {
        s->driver = ctx->drivers[ctx->next_driver++ % (unsigned)ctx->driver_count];
        rc = driver_add(s->driver, s);
        if (rc) {
            mutex_unlock(&ctx->lock);
            if (ops->fini)
                ops->fini(s);
            goto fail;
        }
    }
    list_push_back(&ctx->sockets, &s->in_ctx);
    atomic_fetch_add(&ctx->alive, 1);
    if (internal)
        ctx->zap = s;
    mutex_unlock(&ctx->lock);
    *out = s;
    return 0;
fail:
    atomic_store(&s->owners, 1);
    socket_unref(s);
    return rc;
}

/* The program, or the end of the context, is done with this socket: everyone inside leaves. Lock
 * held. */
static void stop_with(struct fmq_socket *s, int code)
{
    atomic_store(&s->stop, code);
    cond_broadcast(&s->cond);
    atomic_store(&s->asleep, false);
    wakeup_signal(&s->wake);
    socket_notify(s);
}

void socket_terminate(struct fmq_socket *s)
{
    mutex_lock(&s->lock);
    if (!atomic_load(&s->stop)) {
        stop_with(s, FMQ_ETERM);
        socket_leave(s);
    } else {
        /* Leaving could finish a closed socket, and its end takes the registry's lock, which is
         * held. */
        mutex_unlock(&s->lock);
    }
}

void socket_relinger(struct fmq_socket *s, int linger_ms)
{
    mutex_lock(&s->lock);
    if (s->closed && !s->finished) {
        uint64_t until = clock_now() + (uint64_t)linger_ms * NS_PER_MS;
        if (until < s->linger_until) {
            s->linger_until = until;
            timer_set(s, &s->linger_timer, until);
        }
    }
    socket_leave(s);
}

static void partials_fini(struct fmq_socket *s)
{
    rx_fini(&s->rx);
    tx_drop(&s->tx_begun, true, NULL);
}

int fmq_close(fmq_socket *s)
{
    if (s->fork_generation != fork_generation)
        return 0;
    mutex_lock(&s->lock);
    if (s->closed) {
        mutex_unlock(&s->lock);
        return -ENOTSOCK;
    }
    if (socket_has_mail(s))
        socket_run_mail(s);
    s->closed = true;
    stop_with(s, ENOTSOCK);
    inproc_unbind_all(s); /* under our lock: nobody can bind another name any more */
    partials_fini(s);
    if (s->opt.linger >= 0) {
        s->linger_until = clock_now() + (uint64_t)s->opt.linger * NS_PER_MS;
        timer_set(s, &s->linger_timer, s->linger_until);
    }
    if (s->opt.linger == 0)
        s->linger_until = 0;
    else
        socket_attend(s, true);
    LIST_FOR_SAFE(n, &s->endpoints)
    endpoint_close(LIST_ENTRY(n, struct endpoint, in_socket), s->linger_until == 0);
    LIST_FOR_SAFE(n, &s->conns)
    conn_stop_reading(LIST_ENTRY(n, struct conn, in_socket));
    s->work |= WORK_CLOSE;
    /* Let other threads get out first, so that descriptors and addresses are free when we return.
     */
    for (int i = 0; (s->driving || s->waiters) && i < 1000; i++) {
        atomic_store(&s->asleep, false);
        wakeup_signal(&s->wake);
        cond_broadcast(&s->cond);
        s->waiters++;
        cond_wait(&s->cond, &s->lock, (int64_t)NS_PER_MS);
        s->waiters--;
    }
    s->work |= WORK_CLOSE | WORK_REAP;
    socket_leave(s);
    return 0;
}

uint64_t socket_pending(struct fmq_socket *s)
{
    uint64_t total = 0;
    LIST_FOR(n, &s->pipes)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_socket);
        if (!p->link)
            total += pipe_out_msgs(p);
    }
    return total;
}

/* True while LINGER has something to wait for. */
static bool lingers(struct fmq_socket *s)
{
    if (s->linger_until == 0)
        return false;
    LIST_FOR(n, &s->pipes)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_socket);
        if (!p->direct && pipe_unsent(p) && (p->link || p->endpoint))
            return true;
    }
    return false;
}

bool socket_try_finish(struct fmq_socket *s)
{
    if (s->finished)
        return true;
    if (s->driving || s->waiters || lingers(s))
        return false;
    LIST_FOR(n, &s->conns)
    if (LIST_ENTRY(n, struct conn, in_socket)->link.writing)
        return false;

    s->finished = true;
    LIST_FOR_SAFE(n, &s->endpoints)
    endpoint_close(LIST_ENTRY(n, struct endpoint, in_socket), true);
    while (!list_empty(&s->conns))
        conn_end(LIST_ENTRY(s->conns.next, struct conn, in_socket), CONN_END_CLOSED, 0);
    LIST_FOR_SAFE(n, &s->endpoints)
    endpoint_settled(LIST_ENTRY(n, struct endpoint, in_socket));
    LIST_FOR_SAFE(n, &s->pipes)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_socket);
        list_remove(&p->dead_node);
        if (!p->hung_up)
            pipe_hangup(p);
    }
    LIST_FOR_SAFE(n, &s->pipes)
    pipe_free(LIST_ENTRY(n, struct pipe, in_socket));
    if (socket_has_mail(s))
        socket_run_mail(s);
    timer_cancel(s, &s->linger_timer);
    monitor_stop(s);
    if (s->ops->fini)
        s->ops->fini(s);
    partials_fini(s);
    socket_reap(s);
    if (atomic_load(&s->watchers))
        watch_update(s); /* they find out that it is closed */
    if (s->budget)
        budget_leave(s->budget, s);
    if (s->driver)
        driver_remove(s->driver, s);
    ctx_socket_finished(s->ctx, s);
    return true;
}

bool fmq_closed(const fmq_socket *s)
{
    return s->fork_generation != fork_generation || atomic_load(&s->stop) == ENOTSOCK;
}

int fmq_socket_type(const fmq_socket *s)
{
    return s->type;
}

void fmq_socket_free(fmq_socket *s)
{
    if (s->fork_generation != fork_generation) {
        /* The descriptors went at fork and locks may be in any state: the memory is given up. */
        return;
    }
    fmq_close(s);
    drop_owner(s);
}
