/* SPDX-License-Identifier: MIT */
#include "socket/create.h"

#include "base/alloc.h"
#include "base/error.h"
#include "net/conn_set_life.h"
#include "net/flush.h"
#include "pipe/pipe_life.h"
#include "reactor/io_thread.h"
#include "socket/close.h"
#include "socket/ctx.h"
#include "socket/finish.h"
#include "socket/monitor.h"
#include "socket/option_table.h"
#include "socket/readiness.h"
#include "socket/registry.h"
#include "socket/socket.h"
#include "socket/stats.h"
#include "socket/zap.h"

static atomic_ullong count_made;

/* ---- the end of its memory ---- */

void socket_drop_owner(struct fmq_socket *s)
{
    if (atomic_fetch_sub_explicit(&s->owners, 1, memory_order_acq_rel) != 1)
        return;
    struct fmq_ctx *ctx = s->ctx;
    /* No thread is inside any more: the socket's lock is not needed. */
    mutex_lock(&ctx->lock);
    list_remove(&s->in_ctx);
    stats_add(s, &ctx->closed_totals);
    mutex_unlock(&ctx->lock);
    if (s->monitor.out)
        fmq_socket_free(s->monitor.out);
    options_fini(&s->net.pipes.opt);
    reactor_fini(socket_reactor(s));
    mem_free(s->net.pipes.state);
    mem_free(s);
    ctx_unref(ctx);
}

/* ---- what stands below asks ---- */

static void reap(struct reactor *r)
{
    conn_set_reap(conn_set_of(r));
}

static int events(struct reactor *r)
{
    return socket_events(socket_of(r));
}

static int shared_events(struct reactor *r)
{
    return socket_readiness(socket_of(r));
}

static void released(struct reactor *r)
{
    socket_drop_owner(socket_of(r));
}

static const struct reactor_ops socket_ops = {
    .flush = flush_run,
    .reap = reap,
    .finish = socket_try_finish,
    .read_lone = conn_set_read_lone,
    .events = events,
    .shared_events = shared_events,
    .released = released,
};

static void event(struct conn_set *s, bool bound, uint32_t event, uint64_t value, const char *local,
                  const char *remote)
{
    monitor_emit(socket_of(conn_set_reactor(s)), bound, event, value, local, remote);
}

static const struct conn_listener socket_listener = {
    .event = event,
    .authenticate = zap_ask,
    .cancel = zap_cancel,
};

/* ---- making and freeing ---- */

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
    struct reactor *r = socket_reactor(s);
    struct pipe_set *pipes = &s->net.pipes;
    s->ctx = ctx;
    ctx_ref(ctx);
    s->number = atomic_fetch_add(&count_made, 1) + 1;
    s->born = clock_unix();
    atomic_init(&s->owners, 2); /* the program's handle and the descriptors */
    options_init(&pipes->opt);
    rx_init(&s->rx);
    list_init(&s->tx_begun);
    list_init(&s->in_ctx);
    timer_init(&s->linger_timer, socket_linger_over);
    reactor_init(r, &socket_ops);
    int rc = 0;
    pipe_set_init(pipes, ops, ctx->pool);
    conn_set_init(&s->net, &socket_listener);
    s->net.resolver = &ctx->resolver;
    s->net.inproc_names = &ctx->inproc_names;
    s->net.meeting = &ctx->meeting;
    s->net.arena = &ctx->arena;
    s->net.known = &ctx->known;
    r->fork_generation = ctx->fork_generation;
    r->spin_us = pipes->opt.spin_us;
    if (ops->state_size && !(pipes->state = mem_zalloc(ops->state_size))) {
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
        rc = ctx_start_io_threads(ctx);
    if (rc) {
        mutex_unlock(&ctx->lock);
        goto fail;
    }
    pipes->opt.ipv6 = ctx->ipv6;
    pipes->budget = ctx->budget.on && !internal ? &ctx->budget : NULL;
    if (!ctx->blocky)
        pipes->opt.linger = 0;
    if (ops->init)
        rc = ops->init(pipes);
    if (rc) {
        mutex_unlock(&ctx->lock);
        goto fail;
    }
    if (ctx->thread_count) {
        r->io_thread = ctx->threads[ctx->next_io_thread++ % (unsigned)ctx->thread_count];
        rc = io_thread_add(r->io_thread, r);
        if (rc) {
            mutex_unlock(&ctx->lock);
            if (ops->fini)
                ops->fini(pipes);
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
    reactor_unref(r);
    return rc;
}

void fmq_socket_free(fmq_socket *s)
{
    if (s->net.pipes.reactor.fork_generation != fork_generation) {
        /* The descriptors went at fork and locks may be in any state: the memory is given up. */
        return;
    }
    fmq_close(s);
    socket_drop_owner(s);
}
