/* SPDX-License-Identifier: MIT */
/*
 * A socket: connections and endpoints (net/), on pipes and a pattern (pipe/), on a reactor
 * (reactor/), and what only the program's side needs. All of it is guarded by the reactor's lock.
 */
#ifndef SOCKET_SOCKET_H
#define SOCKET_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastmq.h"
#include "net/conn_set.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"
#include "reactor/waits.h"
#include "socket/partial.h"

struct fmq_ctx;

/* Where the events of a socket go, see socket/monitor.h. */
struct monitor {
    struct fmq_socket *out; /* internal, NULL: there is none; its lock is taken after the watched
                             * socket's, never before */
    uint64_t events;
    int version;
    bool stopped;
};

/* Calls that wait, see reactor/waits.h. */
enum wait_kind { WAIT_RECV, WAIT_SEND, WAIT_POLL, WAIT_SUBSCRIBERS, WAIT_KINDS };

struct fmq_socket {
    struct conn_set net; /* first: see reactor_of */
    struct fmq_ctx *ctx;
    struct list in_ctx;
    atomic_uint owners; /* of the memory: the program's handle, the descriptors */

    struct rx rx;         /* what was received and not given out yet */
    struct list tx_begun; /* tx_message.node, one a thread at most */
    uint64_t send_waits;
    struct waits waits[WAIT_KINDS];
    uint64_t number; /* of all sockets of the process, in the order in which they were made */
    int64_t born;    /* Unix time, ns */
    struct timer linger_timer;
    struct monitor monitor;
};

_Static_assert(offsetof(struct fmq_socket, net.pipes.reactor) == 0, "reactor_of");

static inline struct reactor *socket_reactor(struct fmq_socket *s)
{
    return &s->net.pipes.reactor;
}

static inline struct fmq_socket *socket_of(struct reactor *r)
{
    return (struct fmq_socket *)r;
}

/* -ENOTSUP, with a detail: the type does not `verb` ("send", "receive"). */
int socket_cannot(struct fmq_socket *s, const char *verb);
/* Drops what was sent or received only in part. Lock held. */
void socket_drop_partials(struct fmq_socket *s);

#endif
