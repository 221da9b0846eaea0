/* SPDX-License-Identifier: MIT */
/*
 * A pipe: one socket's end of its link to one peer. Patterns read and write whole messages here and
 * do not see whether a connection (net/) or another socket (inproc) is behind it.
 *
 * Everything is done under the lock of the socket that owns the pipe. High-water marks count whole
 * messages: out_hwm those not yet handed to the kernel (or not yet received by the inproc peer),
 * in_hwm those read and not yet received by the program. out_max and in_max count the bytes of
 * their parts. A write that would exceed out_max is refused, but an empty queue takes any message,
 * which could never be sent otherwise. At in_max nothing more is read; the message that reached it
 * was complete before. What the context may queue (budget.h) holds likewise: an empty queue takes a
 * message whatever the others hold.
 */
#ifndef PIPE_PIPE_H
#define PIPE_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "msg/meta.h"
#include "msg/msg.h"
#include "msg/msgring.h"
#include "pipe/link_ops.h"
#include "pipe/pipe_set.h"
#include "wire/outq.h"

struct endpoint;

struct pipe {
    struct pipe_set *set;
    struct list in_set; /* set->list */
    void *state;        /* the pattern's own, pattern_ops.pipe_size bytes */

    struct msgring in; /* received, not yet read by the pattern */
    uint32_t in_hwm;   /* 0: no limit */
    uint32_t out_hwm;
    struct outq out; /* stream transports: framed and unsent */

    uint64_t in_max, out_max; /* RCVHWM_BYTES, SNDHWM_BYTES; 0: no limit */
    struct budget *budget;    /* of the context; NULL: none, or the pipe does not count in it */
    bool bounded;      /* out_max or budget, or a link's limit: the size matters to writing */
    bool counted;      /* in_max or budget: in_bytes is kept */
    uint64_t in_bytes; /* stream transports: of all parts in `in` */
    uint64_t held;     /* read by the pattern, and still to be received by the program */
    uint64_t aside;    /* taken out of `out` while a greeting is put in front of it */
    uint64_t charged;  /* what of this counts in the budget; not what is in a link */
    uint64_t want;     /* full: the smallest size that was refused */

    struct link *link;         /* what moves its messages; NULL: not connected now */
    struct endpoint *endpoint; /* that connects for it, and holds it; NULL: none */
    bool direct;               /* `link` is a direct one (link_ops.h) */
    int side;                  /* which end of a direct link */
    uint32_t room; /* direct, not bounded: so many messages go before the link has to be asked */

    /* For the routes (pattern/route.h): positions in the fair queue and the load balancer. */
    struct list in_node;
    struct list out_node;

    /* The peer's routing id once it is known, or the name given by CONNECT_ROUTING_ID. */
    uint8_t identity[255];
    uint8_t identity_len;
    bool identity_given; /* from CONNECT_ROUTING_ID: overrides what the peer says */

    struct meta *meta; /* of the current or last connection, may be NULL */

    struct list dead_node; /* set->dead_pipes */
    bool attached;
    bool ready;        /* connected: handshake done */
    bool greeted;      /* what the peer is to receive first was written, or is just being written */
    bool close_wanted; /* pipe_close was called: done when the pattern has returned */
    bool hung_up;      /* no writing any more; freed when `in` is empty */
    bool ended_here;   /* the program itself ended it: not to be reported */
    bool unwanted;     /* so, and what is received and unread goes, too (disconnect) */
    bool full;         /* a write was refused at a limit: `writable` is owed */
    bool paused;       /* its connection is not read: `in` is at a limit, or rx_paused */
    bool rx_paused;    /* the pattern wants no more of its peer for now, see pipe_rx_pause */
    bool conflate;     /* keep the newest message only, each way */
    bool raw;
    bool framed; /* messages have as many frames as the pattern says (pattern_ops.frames) */
    bool to_all; /* its link has many readers, who do not say what they want: all is sent to it */
    bool lose_wanted; /* pipe_lose was called, as close_wanted */
    bool rx_skip;     /* the end of a message whose beginning was dropped is still to come */
    bool misfit;      /* its peer has sent a message with another number of frames */
    /* What follows from the others, so that there is one question to ask (pipe_update). */
    bool plain;   /* not hung up, close_wanted, direct or bounded: out_hwm alone limits it */
    bool spans;   /* not direct, raw or conflate: takes messages that were framed once for many */
    bool copies;  /* not direct, raw, conflate or bounded: small messages are copied into `out` */
    bool watched; /* direct, hung up, paused or counted: taking from `in` calls pipe_took */

    /* Statistics, see socket/stats.h. Whole messages; those still queued have been counted. */
    uint64_t msgs_in, msgs_out, drops;
    uint64_t packets_lost;        /* of multicast sources */
    uint64_t bytes_in, bytes_out; /* of connections that ended */
    int64_t since;                /* Unix time of the present connection, ns */
    uint32_t connections;         /* made so far */
    int peer_type;                /* of the present or last connection; -1: not known */
    uint32_t violation;           /* a PROTO_ code: how its peer broke the rules; 0: it has not */
    char *remote_name;            /* of the last connection, once that has ended */
};

/* n messages that were written to the pipe, or would have been, are thrown away. */
void pipe_count_drops(struct pipe *p, uint64_t n, enum drop_reason why);
/* What pipe.plain and its neighbours follow from changed. */
void pipe_update(struct pipe *p);
/* The socket's limits, the budget or the link changed. */
void pipe_set_limits(struct pipe *p);
/* Brings the context's budget up to date after the queues changed. */
void pipe_account_slow(struct pipe *p);
static inline void pipe_account(struct pipe *p)
{
    if (p->budget)
        pipe_account_slow(p);
}
/* It may be done: the socket looks whether it can be freed. */
void pipe_queue_reap(struct pipe *p);
static inline void pipe_pause(struct pipe *p, bool paused)
{
    p->paused = paused;
    pipe_update(p);
}
/* Its connection is read again if it was paused. */
static inline void pipe_room_made(struct pipe *p)
{
    if (p->paused && p->link && !p->direct)
        p->link->ops->resume(p->link);
}

#endif
