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
    bool close_wanted; /* pipe_close was called: done when the pattern has returned */
    bool hung_up;      /* no writing any more; freed when `in` is empty */
    bool ended_here;   /* the program itself ended it: not to be reported */
    bool unwanted;     /* so, and what is received and unread goes, too (disconnect) */
    bool full;         /* a write was refused at a limit: `writable` is owed */
    bool paused;       /* its connection is not read: `in` is at a limit, or rx_paused */
    bool rx_paused;    /* the pattern wants no more of its peer for now, see pipe_rx_pause */
    bool conflate;     /* keep the newest message only, each way */
    bool raw;
    bool lose_wanted; /* pipe_lose was called, as close_wanted */
    /* What follows from the others, so that there is one question to ask (pipe_update). */
    bool plain;   /* not hung up, close_wanted, direct or bounded: out_hwm alone limits it */
    bool spans;   /* not direct, raw or conflate: takes messages that were framed once for many */
    bool copies;  /* not direct, raw, conflate or bounded: small messages are copied into `out` */
    bool watched; /* direct, hung up, paused or counted: taking from `in` calls pipe_took */

    /* Statistics, see socket/stats.h. Whole messages; those still queued have been counted. */
    uint64_t msgs_in, msgs_out, drops;
    uint64_t bytes_in, bytes_out; /* of connections that ended */
    int64_t since;                /* Unix time of the present connection, ns */
    uint32_t connections;         /* made so far */
    int peer_type;                /* of the present or last connection; -1: not known */
    uint32_t violation;           /* a PROTO_ code: how its peer broke the rules; 0: it has not */
    char *remote_name;            /* of the last connection, once that has ended */
};

/* So much in the queue is written at once whatever the time: 64 KiB of small messages, which the
 * processor's cache still holds, or 192 KiB of larger ones, of which fewer, longer writes are
 * cheaper (13 % at 1 KiB). */
#define FLUSH_BYTES ((size_t)64 << 10)
#define FLUSH_BYTES_MAX ((size_t)192 << 10)
#define FLUSH_MSGS 256u

static inline bool flush_is_due(const struct outq *q)
{
    return q->bytes >= FLUSH_BYTES && (q->msgs >= FLUSH_MSGS || q->bytes >= FLUSH_BYTES_MAX);
}

/* n messages that were written to the pipe, or would have been, are thrown away. */
void pipe_count_drops(struct pipe *p, uint64_t n);

/* As a size: is the pipe writable, for a message not known yet? After a refusal: for that one,
 * so that a thread that waits for readiness and sends again is not woken in vain. */
#define PIPE_ANY UINT64_MAX

/* Room for one more message of so many bytes now? When not, the pattern's `writable` will be called
 * later. */
static inline bool pipe_can_write(struct pipe *p, uint64_t size);
/* Makes the pipe wait for room for `size` bytes as if pipe_can_write had refused them. */
void pipe_refuse(struct pipe *p, uint64_t size);
/* For a message of `size` bytes that goes to all n pipes of one socket or to none: takes what
 * they need from the context's budget for the writes that follow. False: it is not there, and those
 * that need some wait for all of it. pipe_reserve_end gives back what the writes left. */
bool pipe_reserve(struct pipe *const *pipes, uint32_t n, uint64_t size);
void pipe_reserve_end(struct pipe_set *s);
/* As pipe_write for one part that the caller lends, `object` as in msg_init_borrowed. Only after
 * pipe_can_write; -EAGAIN all the same when another socket was faster to use the context's room. */
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
    return p->spans;
}

/* Fan-out: writes copies that share the parts' memory; `parts` stays the caller's (never BORROWED
 * afterwards). 0, -EAGAIN, -ENOMEM. */
int pipe_write_shared(struct pipe *p, struct msg *parts, uint32_t n);

/* The common case of pipe_can_write; false: ask that. */
static inline bool pipe_has_plain_room(const struct pipe *p)
{
    return p->plain && (p->out.msgs < p->out_hwm || !p->out_hwm);
}
bool pipe_can_write_slow(struct pipe *p, uint64_t size);
static inline bool pipe_can_write(struct pipe *p, uint64_t size)
{
    return pipe_has_plain_room(p) || pipe_can_write_slow(p, size);
}

/* After a message of n parts was taken from `in`, where it is watched. */
void pipe_took(struct pipe *p, const struct msg *parts, uint32_t n);
/* The pattern keeps so many bytes for the program that it has read, or (negative) no more. */
void pipe_hold(struct pipe *p, int64_t bytes);
/* Whether the pattern may read ahead more than it holds. */
bool pipe_may_hold(struct pipe *p);

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
    /* A caller that reads many sockets in turn comes back when it is in the cache. */
    __builtin_prefetch(msgring_peek(&p->in)->u.x.data);
    if (p->watched)
        pipe_took(p, out, 1);
    return true;
}
/* Drops the oldest whole message. */
void pipe_skip(struct pipe *p);
/* Puts a message made here in front of the reader (DISCONNECT_MSG, notifications): a single part.
 * Calls `readable` if need be. */
int pipe_inject(struct pipe *p, const void *data, size_t len);

/*
 * For a pattern that takes messages and commands before the program receives: `pause` when it
 * holds enough of this peer, whose connection is then read no further, whatever its HWM. Its
 * `command` may still be called for what is being decoded. Not for inproc, whose messages wait in
 * `in`.
 */
void pipe_rx_pause(struct pipe *p, bool pause);

/* Ends the pipe from the pattern's side (ROUTER_HANDOVER, PAIR): the connection is closed, the
 * pattern gets hangup and later detach; never from within attach. */
void pipe_close(struct pipe *p);

/* The pipe could not keep a request of its peer: the connection is given up as if the network had
 * lost it, and a connecting side, here or there, makes it anew. Not over inproc. */
void pipe_lose(struct pipe *p);

/* True while something that was sent has not reached the kernel: encrypted or re-encoded bytes lie
 * in the connection and count no more in `out`. */
bool pipe_unsent(const struct pipe *p);
/* Statistics and queue depth. */
uint32_t pipe_out_msgs(const struct pipe *p);
uint64_t pipe_out_bytes(const struct pipe *p);
uint64_t pipe_in_bytes(const struct pipe *p);

/* ---- for what moves the messages: links, endpoints, the socket ---- */

/* Makes a pipe and attaches it; NULL with *err set. Owned by the socket. */
struct pipe *pipe_new(struct pipe_set *s, int *err);
int pipe_attach(struct pipe *p);
int pipe_connected(struct pipe *p);
void pipe_lost(struct pipe *p);
/* hangup: detaches at once when nothing is left to read. */
void pipe_hangup(struct pipe *p);
/* Before the program ends it (close, disconnect, unbind): the pattern does not report it.
 * `unwanted`: what it has not read goes, too. */
void pipe_disown(struct pipe *p, bool unwanted);
void pipe_free(struct pipe *p);
void pipe_arrived(struct pipe *p, uint32_t msgs_before); /* after pushing to p->in */
/* `in` holds a message for the program and is at a limit in bytes: no more is to be decoded. */
bool pipe_in_full(struct pipe *p);
/* Brings the context's budget up to date after the queues changed. */
void pipe_account(struct pipe *p);
/* The socket's limits, the budget or the link changed. */
void pipe_set_limits(struct pipe *p);
/* What pipe.plain and its neighbours follow from changed. */
void pipe_update(struct pipe *p);
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
/* Throws away what is queued to be sent. */
void pipe_discard(struct pipe *p);
void pipe_drained(struct pipe *p); /* there may be room: calls `writable` if owed */

#endif
