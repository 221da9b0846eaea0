/* SPDX-License-Identifier: MIT */
#include "socket/ctx.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "os/fork.h"
#include "reactor/io_run.h"

#define OPT_IO_THREADS 1
#define OPT_MAX_SOCKETS 2
#define OPT_SOCKET_LIMIT 3 /* get; the same number sets the thread priority */
#define OPT_THREAD_PRIORITY 3
#define OPT_THREAD_SCHED_POLICY 4
#define OPT_MAX_MSGSZ 5
#define OPT_MSG_T_SIZE 6
#define OPT_AFFINITY_CPU_ADD 7
#define OPT_AFFINITY_CPU_REMOVE 8
#define OPT_THREAD_NAME_PREFIX 9
#define OPT_ZERO_COPY_RECV 10
#define OPT_IPV6 42
#define OPT_BLOCKY 70
/* fmq's own, numbered with those of sockets */
#define OPT_MAX_QUEUED_BYTES 10008
#define OPT_SHM_CONNECTIONS 10021
#define OPT_SHM_ARENA_BYTES 10022

#define SOCKET_LIMIT 65535
#define DEFAULT_MAX_SOCKETS 1023
#define SHM_CONNECTIONS 256
#define SHM_ARENA_BYTES ((size_t)256 << 20)
#define MSG_T_SIZE 64 /* what libzmq's callers expect to read */

int fmq_ctx_new(fmq_ctx **out)
{
    fmq_setup();
    struct fmq_ctx *ctx = mem_zalloc(sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    int rc = pool_create(&ctx->pool);
    if (rc) {
        mem_free(ctx);
        return rc;
    }
    mutex_init(&ctx->lock);
    resolver_init(&ctx->resolver);
    mutex_init(&ctx->ended_lock);
    cond_init(&ctx->ended);
    budget_init(&ctx->budget);
    meeting_init(&ctx->meeting);
    atomic_init(&ctx->meeting.most, SHM_CONNECTIONS);
    arena_slot_init(&ctx->arena, SHM_ARENA_BYTES);
    list_init(&ctx->sockets);
    inproc_names_init(&ctx->inproc_names);
    atomic_init(&ctx->entry.refs, 1);
    ctx->fork_generation = fork_generation;
    ctx->io_threads = 1;
    ctx->max_sockets = DEFAULT_MAX_SOCKETS;
    ctx->max_msgsz = INT32_MAX;
    ctx->thread_priority = -1;
    ctx->thread_sched_policy = -1;
    ctx->blocky = 1;
    ctx->zero_copy_recv = 1;
    ctx_list_add(&ctx->entry);
    *out = ctx;
    return 0;
}

bool fmq_ctx_forked(const fmq_ctx *ctx)
{
    return ctx->fork_generation != fork_generation;
}

static int cpu_add(fmq_ctx *ctx, int cpu)
{
    if (cpu < 0)
        return -EINVAL;
    for (unsigned i = 0; i < ctx->cpu_count; i++)
        if (ctx->cpus[i] == (unsigned)cpu)
            return 0;
    if (ctx->cpu_count == sizeof(ctx->cpus) / sizeof(ctx->cpus[0]))
        return -EINVAL;
    ctx->cpus[ctx->cpu_count++] = (unsigned)cpu;
    return 0;
}

static int cpu_remove(fmq_ctx *ctx, int cpu)
{
    for (unsigned i = 0; i < ctx->cpu_count; i++) {
        if (cpu >= 0 && ctx->cpus[i] == (unsigned)cpu) {
            ctx->cpus[i] = ctx->cpus[--ctx->cpu_count];
            return 0;
        }
    }
    return -EINVAL;
}

/* Sockets either count from their beginning or never. */
static int set_max_queued(fmq_ctx *ctx, int64_t bytes)
{
    if (bytes < 0) {
        detail_set("MAX_QUEUED_BYTES takes 0 (no limit) or more");
        return -EINVAL;
    }
    if (!ctx->budget.on && bytes) {
        if (atomic_load(&ctx->alive)) {
            detail_set("MAX_QUEUED_BYTES is first set before the context has sockets; later it can "
                       "be changed");
            return -EINVAL;
        }
        ctx->budget.on = true;
    }
    budget_set_cap(&ctx->budget, bytes);
    return 0;
}

static int set_arena_bytes(fmq_ctx *ctx, int64_t bytes)
{
    if (bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2) {
        detail_set("SHM_ARENA_BYTES takes 0 (no arena) or more");
        return -EINVAL;
    }
    return arena_slot_set_max(&ctx->arena, (size_t)bytes);
}

static int set_locked(fmq_ctx *ctx, int option, int value)
{
    switch (option) {
    case OPT_IO_THREADS:
        if (value < 0 || value > CTX_MAX_IO_THREADS)
            return -EINVAL;
        ctx->io_threads = value;
        return 0;
    case OPT_MAX_SOCKETS:
        if (value < 1 || value > SOCKET_LIMIT)
            return -EINVAL;
        ctx->max_sockets = value;
        return 0;
    case OPT_THREAD_PRIORITY:
        if (value < 0)
            return -EINVAL;
        ctx->thread_priority = value;
        return 0;
    case OPT_THREAD_SCHED_POLICY:
        if (value < 0)
            return -EINVAL;
        ctx->thread_sched_policy = value;
        return 0;
    case OPT_MAX_MSGSZ:
        if (value < 0)
            return -EINVAL;
        ctx->max_msgsz = value;
        return 0;
    case OPT_AFFINITY_CPU_ADD:
        return cpu_add(ctx, value);
    case OPT_AFFINITY_CPU_REMOVE:
        return cpu_remove(ctx, value);
    case OPT_THREAD_NAME_PREFIX:
        if (value < 0)
            return -EINVAL;
        snprintf(ctx->name_prefix, sizeof(ctx->name_prefix), "%d", value);
        return 0;
    case OPT_SHM_CONNECTIONS:
        if (value < 0)
            return -EINVAL;
        atomic_store(&ctx->meeting.most, value);
        return 0;
    case OPT_IPV6:
    case OPT_BLOCKY:
    case OPT_ZERO_COPY_RECV: /* only read back: received messages are never copied */
        if (value != 0 && value != 1)
            return -EINVAL;
        *(option == OPT_IPV6     ? &ctx->ipv6
          : option == OPT_BLOCKY ? &ctx->blocky
                                 : &ctx->zero_copy_recv) = value;
        return 0;
    default:
        return -EINVAL;
    }
}

int fmq_ctx_set(fmq_ctx *ctx, int option, int64_t value)
{
    detail_clear();
    if (fmq_ctx_forked(ctx))
        return -FMQ_EFORKED;
    mutex_lock(&ctx->lock);
    int rc = -EINVAL;
    if (option == OPT_MAX_QUEUED_BYTES)
        rc = set_max_queued(ctx, value);
    else if (option == OPT_SHM_ARENA_BYTES)
        rc = set_arena_bytes(ctx, value);
    else if (value >= INT32_MIN && value <= INT32_MAX)
        rc = set_locked(ctx, option, (int)value);
    mutex_unlock(&ctx->lock);
    return rc;
}

static int get_locked(fmq_ctx *ctx, int option, int64_t *value)
{
    int64_t cap;
    switch (option) {
    case OPT_MAX_QUEUED_BYTES:
        cap = atomic_load(&ctx->budget.cap);
        *value = cap == INT64_MAX ? 0 : cap;
        return 0;
    case OPT_SHM_CONNECTIONS:
        *value = atomic_load(&ctx->meeting.most);
        return 0;
    case OPT_SHM_ARENA_BYTES:
        *value = (int64_t)ctx->arena.max;
        return 0;
    case OPT_IO_THREADS:
        *value = ctx->io_threads;
        return 0;
    case OPT_MAX_SOCKETS:
        *value = ctx->max_sockets;
        return 0;
    case OPT_SOCKET_LIMIT:
        *value = SOCKET_LIMIT;
        return 0;
    case OPT_THREAD_SCHED_POLICY:
        *value = ctx->thread_sched_policy;
        return 0;
    case OPT_MAX_MSGSZ:
        *value = ctx->max_msgsz;
        return 0;
    case OPT_MSG_T_SIZE:
        *value = MSG_T_SIZE;
        return 0;
    case OPT_ZERO_COPY_RECV:
        *value = ctx->zero_copy_recv;
        return 0;
    case OPT_IPV6:
        *value = ctx->ipv6;
        return 0;
    case OPT_BLOCKY:
        *value = ctx->blocky;
        return 0;
    default:
        return -EINVAL;
    }
}

int fmq_ctx_get(fmq_ctx *ctx, int option, int64_t *value)
{
    if (fmq_ctx_forked(ctx))
        return -FMQ_EFORKED;
    mutex_lock(&ctx->lock);
    int rc = get_locked(ctx, option, value);
    mutex_unlock(&ctx->lock);
    return rc;
}

int fmq_ctx_set_name_prefix(fmq_ctx *ctx, const char *prefix)
{
    if (fmq_ctx_forked(ctx))
        return -FMQ_EFORKED;
    if (strlen(prefix) >= sizeof(ctx->name_prefix))
        return -EINVAL;
    mutex_lock(&ctx->lock);
    strcpy(ctx->name_prefix, prefix);
    mutex_unlock(&ctx->lock);
    return 0;
}

int ctx_start_io_threads(struct fmq_ctx *ctx)
{
    if (ctx->joined)
        return -FMQ_ETERM;
    while (ctx->thread_count < ctx->io_threads) {
        struct thread_policy policy = {ctx->thread_sched_policy, ctx->thread_priority, ctx->cpus,
                                       ctx->cpu_count};
        char name[40];
        snprintf(name, sizeof(name), "%s%sfmq/%d", ctx->name_prefix, ctx->name_prefix[0] ? "/" : "",
                 ctx->thread_count);
        int rc = io_thread_create(&ctx->threads[ctx->thread_count], name, &policy);
        if (rc)
            return rc;
        ctx->thread_count++;
    }
    return 0;
}

void ctx_socket_finished(struct fmq_ctx *ctx)
{
    /* The socket's lock is held and the registry's comes before it, so the list is left to others:
     * a finished socket only counts itself out here. */
    mutex_lock(&ctx->ended_lock);
    atomic_fetch_sub(&ctx->alive, 1);
    cond_broadcast(&ctx->ended);
    mutex_unlock(&ctx->ended_lock);
}

void ctx_ref(struct fmq_ctx *ctx)
{
    atomic_fetch_add_explicit(&ctx->entry.refs, 1, memory_order_relaxed);
}

void ctx_unref(struct fmq_ctx *ctx)
{
    if (atomic_fetch_sub_explicit(&ctx->entry.refs, 1, memory_order_acq_rel) != 1)
        return;
    if (fmq_ctx_forked(ctx))
        return; /* locks and threads are the parent's: the memory is given up */
    ctx_list_remove(&ctx->entry);
    inproc_names_fini(&ctx->inproc_names);
    pool_release(ctx->pool);
    cond_fini(&ctx->ended);
    mutex_fini(&ctx->ended_lock);
    budget_fini(&ctx->budget);
    meeting_fini(&ctx->meeting);
    arena_slot_fini(&ctx->arena);
    resolver_fini(&ctx->resolver);
    mutex_fini(&ctx->lock);
    mem_free(ctx);
}

void fmq_ctx_free(fmq_ctx *ctx)
{
    ctx_unref(ctx);
}
