/* SPDX-License-Identifier: MIT */
/* A context: what its sockets share, its options, its I/O threads. How it ends: ctx_end.c. */
#ifndef SOCKET_CTX_H
#define SOCKET_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fastmq.h"
#include "msg/pool.h"
#include "net/arena.h"
#include "net/known_peers.h"
#include "net/meeting.h"
#include "os/thread.h"
#include "pipe/budget.h"
#include "reactor/resolver.h"
#include "socket/ctx_list.h"
#include "transport/inproc.h"

#define CTX_MAX_IO_THREADS 64

struct fmq_socket;
struct io_thread;

struct fmq_ctx {
    struct ctx_entry entry;  /* first; its references are of the memory: the program's handle, and
                              * each socket's memory */
    struct mutex lock;       /* first in the lock order */
    struct mutex ended_lock; /* a leaf: `alive` goes down under it */
    struct cond ended;       /* a socket was finished */
    struct list sockets;
    atomic_int alive; /* sockets not finished: MAX_SOCKETS and term count these */
    unsigned next_io_thread;
    bool stopping;
    atomic_bool ending; /* the program destroys it: calls that a close ends say ETERM */
    bool joined;
    unsigned fork_generation;
    struct pool *pool;
    struct io_thread *threads[CTX_MAX_IO_THREADS];
    int thread_count;
    struct resolver_slot resolver;

    struct fmq_socket *zap; /* talks to the authenticator; made when a socket may need it */

    struct inproc_names inproc_names;

    int io_threads, max_sockets, max_msgsz, thread_priority, thread_sched_policy, ipv6, blocky;
    int zero_copy_recv;
    unsigned cpus[64];
    unsigned cpu_count;
    char name_prefix[17];

    struct meeting_slot meeting;
    struct arena_slot arena;
    struct known_peers known;
    struct budget budget; /* MAX_QUEUED_BYTES */

    struct fmq_socket_stats closed_totals; /* what sockets that were closed have counted */
};

int ctx_start_io_threads(struct fmq_ctx *ctx); /* lock held */
/* The socket's lock is held. */
void ctx_socket_finished(struct fmq_ctx *ctx);
/* A socket's memory may stay longer than the program's handle of the context: a loop holds it. */
void ctx_ref(struct fmq_ctx *ctx);
void ctx_unref(struct fmq_ctx *ctx);

#endif
