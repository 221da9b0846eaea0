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
#include "socket/partial.h"

struct fmq_ctx;
struct monitor;

struct fmq_socket {
    struct conn_set net; /* first: see reactor_of */
    struct fmq_ctx *ctx;
    struct list in_ctx;
    atomic_uint owners; /* of the memory: the program's handle, the descriptors */

    struct rx rx;         /* what was received and not given out yet */
    struct list tx_begun; /* tx_message.node, one a thread at most */
    uint64_t send_waits;
    struct timer linger_timer;
    struct monitor *monitor;
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

/* fmq_socket_new for a pattern's table. `internal`: the context's own socket (zap.h), one at most
 * (-EEXIST), which MAX_SOCKETS does not count. */
int socket_new(struct fmq_ctx *ctx, const struct pattern_ops *ops, bool internal,
               struct fmq_socket **out);

/* FMQ_POLLIN and FMQ_POLLOUT as every thread sees them. Lock held. */
int socket_readiness(struct fmq_socket *s);
/* As the calling thread sees them: what it has begun to send it may go on with. Lock held. */
int socket_events(struct fmq_socket *s);

/* Context shutdown. */
void socket_terminate(struct fmq_socket *s);
/* A new LINGER for a socket that was closed already. */
void socket_relinger(struct fmq_socket *s, int linger_ms);
/* reactor_ops.finish. */
bool socket_try_finish(struct reactor *r);
/* Messages that wait to be sent. Lock held. */
uint64_t socket_pending(struct fmq_socket *s);
/* Drops one reference to the memory; the last frees it. No lock held. */
void socket_drop_owner(struct fmq_socket *s);
/* timer.fire of linger_timer. */
void socket_linger_over(struct timer *t, uint64_t now);

/* ---- registry.c: the one file that names every pattern and every transport ---- */

struct transport_ops;

/* NULL: no such type. */
const struct pattern_ops *pattern_find(int type);
/* Splits "scheme://rest" and looks the scheme up. -EINVAL with a detail, -EPROTONOSUPPORT. */
int transport_of(const char *endpoint, const struct transport_ops **transport, const char **rest);
/* Whether there is such a transport. */
bool transport_exists(const char *scheme);

#endif
