/* SPDX-License-Identifier: MIT */
/* The end of a context: its calls stop, and it waits for its sockets. */
#include "os/clock.h"
#include "reactor/io_run.h"
#include "socket/close.h"
#include "socket/ctx.h"
#include "socket/socket.h"
#include "socket/zap_socket.h"

/* Ending a context returns this often to let the host run signal handlers. */
#define HANDLERS_NS (50 * NS_PER_MS)

void fmq_ctx_ending(fmq_ctx *ctx)
{
    atomic_store(&ctx->ending, true);
}

int fmq_ctx_shutdown(fmq_ctx *ctx)
{
    if (fmq_ctx_forked(ctx))
        return 0;
    mutex_lock(&ctx->lock);
    ctx->stopping = true;
    LIST_FOR(n, &ctx->sockets)
    socket_terminate(LIST_ENTRY(n, struct fmq_socket, in_ctx));
    mutex_unlock(&ctx->lock);
    return 0;
}

/* Until fewer sockets are alive: true, or false when the time is over. */
static bool wait_for_fewer(struct fmq_ctx *ctx, int alive, uint64_t until)
{
    bool fewer;
    mutex_lock(&ctx->ended_lock);
    while (!(fewer = atomic_load(&ctx->alive) < alive)) {
        uint64_t now = clock_now();
        if (now >= until)
            break;
        cond_wait(&ctx->ended, &ctx->ended_lock, (int64_t)(until - now));
    }
    mutex_unlock(&ctx->ended_lock);
    return fewer;
}

int fmq_ctx_term(fmq_ctx *ctx, int timeout_ms)
{
    if (fmq_ctx_forked(ctx))
        return 0;
    fmq_ctx_shutdown(ctx);
    uint64_t deadline =
        timeout_ms < 0 ? CLOCK_NEVER : clock_now() + (uint64_t)timeout_ms * NS_PER_MS;
    uint64_t handlers = clock_now() + HANDLERS_NS;
    uint64_t until = deadline < handlers ? deadline : handlers;
    for (int alive; (alive = atomic_load(&ctx->alive)) > 0;) {
        if (!zap_socket_end(ctx) && !wait_for_fewer(ctx, alive, until))
            return clock_now() >= deadline ? -EAGAIN : -EINTR;
    }
    mutex_lock(&ctx->lock);
    bool mine = !ctx->joined;
    ctx->joined = true;
    int count = mine ? ctx->thread_count : 0;
    if (mine)
        ctx->thread_count = 0;
    mutex_unlock(&ctx->lock);
    if (mine) {
        meeting_end(&ctx->meeting);
        arena_slot_end(&ctx->arena);
        resolver_stop(&ctx->resolver); /* what it found may be for an I/O thread to take */
    }
    for (int i = 0; i < count; i++)
        io_thread_destroy(ctx->threads[i]);
    return 0;
}

void fmq_ctx_linger(fmq_ctx *ctx, int linger_ms)
{
    if (fmq_ctx_forked(ctx) || linger_ms < 0)
        return;
    mutex_lock(&ctx->lock);
    LIST_FOR(n, &ctx->sockets)
    socket_relinger(LIST_ENTRY(n, struct fmq_socket, in_ctx), linger_ms);
    mutex_unlock(&ctx->lock);
}
