/* SPDX-License-Identifier: MIT */
/*
 * A pipe: one socket's end of its link to one peer. Patterns read and write whole messages here and
 * do not see whether a connection (conn.h) or another socket (inproc.h) is behind it.
 *
 * Everything is done under the lock of the socket that owns the pipe. High-water marks count whole
 * messages: out_hwm those not yet handed to the kernel (or not yet received by the inproc peer),
 * in_hwm those read and not yet received by the program.
 */
#ifndef CORE_PIPE_H
#define CORE_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "msg/meta.h"
#include "msg/msg.h"
#include "wire/outq.h"

struct fmq_socket;
struct conn;
struct endpoint;
struct inproc_link;

struct pipe {
    struct fmq_socket *socket;
    struct list in_socket; /* socket->pipes */
    void *state;           /* the pattern's own, pattern_ops.pipe_size bytes */

    struct msgring in; /* received, not yet read by the pattern */
    uint32_t in_hwm;   /* 0: no limit */
    uint32_t out_hwm;
    struct outq out; /* stream transports: framed and unsent */

    struct conn *conn; /* NULL: not connected now, or inproc */
    struct endpoint
        *endpoint; /* the connecting endpoint it belongs to; NULL on a bound socket's pipe */
    struct inproc_link *link; /* inproc only */
    int side;                 /* which end of the link */

    /* For the routes (pattern/route.h): positions in the fair queue and the load balancer. */
    struct list in_node;
    struct list out_node;

    /* The peer's routing id once it is known, or the name given by CONNECT_ROUTING_ID. */
    uint8_t identity[255];
    uint8_t identity_len;
    bool identity_given; /* from CONNECT_ROUTING_ID: overrides what the peer says */

    struct meta *meta; /* of the current or last connection, may be NULL */

    struct list dead_node; /* socket->dead_pipes */
    bool attached;
    bool ready;        /* connected: handshake done */
    bool close_wanted; /* pipe_close was called: done when the pattern has returned */
    bool renew_wanted; /* it was pipe_renew */
    bool hung_up;      /* no writing any more; freed when `in` is empty */
    bool full;         /* a write was refused at the HWM: `writable` is owed */
    bool paused;       /* its connection is not read: `in` is at in_hwm */
    bool conflate;     /* keep the newest message only, each way */
    bool raw;

    /* Statistics, see inspect.c. Whole messages; those still queued have been counted. */
    uint64_t msgs_in, msgs_out, drops;
    uint64_t bytes_in, bytes_out; /* of connections that ended */
    int64_t since;                /* Unix time of the present connection, ns */
    uint32_t connections;         /* made so far */
    int peer_type;                /* of the present or last connection; -1: not known */
    char *remote_name;            /* of the last connection, once that has ended */
};

/* n messages that were written to the pipe, or would have been, are thrown away. */
void pipe_count_drops(struct pipe *p, uint64_t n);

/* Room for one more message now? When not, the pattern's `writable` will be called later. */
bool pipe_can_write(struct pipe *p);
/* As pipe_write for one part that the caller lends, `object` as in msg_init_borrowed. Only after
 * pipe_can_write. */
int pipe_write_bytes(struct pipe *p, const void *data, size_t size, void *object);
/*
 * Queues one whole message of n parts. Consumes them on success. -EAGAIN at the HWM or when hung
 * up, -ENOMEM; the parts then stay the caller's. The core writes it out when the pattern has
 * returned.
 */
int pipe_write(struct pipe *p, struct msg *parts, uint32_t n);
/* As pipe_write for bytes by copy, whatever the HWM (subscriptions, greetings, probes must not be
 * lost). */
int pipe_write_control(struct pipe *p, const void *data, size_t len);
/* A subscription or its end, as this peer's protocol version wants it (stream); for inproc and old
 * peers an 01/00 message. Not bound by the HWM. Only when p->ready. */
int pipe_put_subscription(struct pipe *p, const void *topic, size_t len, bool add);

/* Fan-out of a message that was framed once, where pipe_takes_spans. 0, -EAGAIN, -ENOMEM. */
int pipe_write_span(struct pipe *p, const struct outspan *span);
static inline bool pipe_takes_spans(const struct pipe *p)
{
    return !p->link && !p->raw && !p->conflate;
}

/* Fan-out: writes copies that share the parts' memory; `parts` stays the caller's (never BORROWED
 * afterwards). 0, -EAGAIN, -ENOMEM. */
int pipe_write_shared(struct pipe *p, struct msg *parts, uint32_t n);

/* After a message was taken from `in`, where somebody may wait for that. */
void pipe_made_room(struct pipe *p);

static inline bool pipe_can_read(const struct pipe *p)
{
    return p->in.msgs > 0;
}

/*
 * Appends the oldest whole message to `out`. Only when pipe_can_read. -ENOMEM leaves it queued. May
 * make more received bytes available, so look at pipe_can_read again afterwards.
 */
int pipe_read(struct pipe *p, struct parts *out);
/* As pipe_read for the first part of the message, if it is its only one; else false. */
static inline bool pipe_read_single(struct pipe *p, struct msg *out)
{
    if (msgring_peek(&p->in)->flags & PART_MORE)
        return false;
    msgring_pop(&p->in, out);
    if (p->link || p->hung_up || p->paused)
        pipe_made_room(p);
    return true;
}
/* Drops the oldest whole message. */
void pipe_skip(struct pipe *p);
/* Puts a message made here in front of the reader (DISCONNECT_MSG, notifications): a single part.
 * Calls `readable` if need be. */
int pipe_inject(struct pipe *p, const void *data, size_t len);

/* Ends the pipe from the pattern's side (ROUTER_HANDOVER, PAIR): the connection is closed, the
 * pattern gets hangup and later detach; never from within attach. */
void pipe_close(struct pipe *p);
/* As pipe_close, but who connected does so again: for want of memory something of the peer's was
 * lost that it will say anew. Over inproc that is the end. */
void pipe_renew(struct pipe *p);

/* True while something that was sent has not reached the kernel: sealed or re-encoded bytes lie in
 * the connection and count no more in `out`. */
bool pipe_unsent(const struct pipe *p);
/* Statistics and queue depth. */
uint32_t pipe_out_msgs(const struct pipe *p);

#endif
