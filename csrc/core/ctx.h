/* SPDX-License-Identifier: MIT */
#ifndef CORE_CTX_H
#define CORE_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "fastmq.h"
#include "msg/pool.h"
#include "os/thread.h"

#define CTX_MAX_DRIVERS 64

#include "core/budget.h"
#include "core/socket.h"

struct driver;
struct resolver;

struct fmq_ctx {
    struct mutex lock; /* first in the lock order */
    struct cond ended; /* a socket was finished */
    struct list sockets;
    atomic_int alive; /* sockets not finished: MAX_SOCKETS and term count these */
    unsigned next_driver;
    bool stopping;
    bool joined;
    unsigned fork_generation;
    struct pool *pool;
    struct driver *drivers[CTX_MAX_DRIVERS];
    int driver_count;
    struct mutex resolver_lock; /* a leaf: the making of the resolver */
    struct resolver *resolver;

    struct fmq_socket *zap; /* talks to the authenticator; made when a socket may need it */

    struct mutex inproc_lock;  /* a leaf: taken under sockets' locks */
    struct map inproc_bound;   /* name -> struct inproc_name */
    struct map inproc_pending; /* name -> struct inproc_wait: connected before bind */

    int io_threads, max_sockets, max_msgsz, thread_priority, thread_sched_policy, ipv6, blocky;
    int zero_copy_recv;
    unsigned cpus[64];
    unsigned cpu_count;
    char name_prefix[17];

    struct budget budget; /* MAX_QUEUED_BYTES */

    struct fmq_socket_stats gone; /* what sockets that are no more have counted */
};

int ctx_start_drivers(struct fmq_ctx *ctx); /* lock held */
/* The socket's lock is held. */
void ctx_socket_finished(struct fmq_ctx *ctx, struct fmq_socket *s);
/* Takes a socket off the registry before its memory goes. */
void ctx_forget(struct fmq_ctx *ctx, struct fmq_socket *s);

/* ---- resolver.c ---- */

struct resolve_job {
    struct cmd done;           /* posted to `socket` when finished */
    struct fmq_socket *socket; /* referenced */
    char host[256];
    uint16_t port;
    bool ipv6;
    struct endpoint *endpoint; /* NULL once it is gone; guarded by the socket's lock */
    struct net_addr out[8];
    int result; /* count or negative errno */
    struct list node;
};
int resolver_submit(struct fmq_ctx *ctx, struct resolve_job *job); /* 0 or a negative errno */
void resolver_stop(struct fmq_ctx *ctx);

#endif
