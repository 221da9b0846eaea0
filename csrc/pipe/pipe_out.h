/* SPDX-License-Identifier: MIT */
/* What goes out of a pipe: room at the limits, writing, and what the link takes from the queue. */
#ifndef PIPE_PIPE_OUT_H
#define PIPE_PIPE_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "pipe/pipe.h"

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

/* As a size: is the pipe writable, for a message not known yet? After a refusal: for that one,
 * so that a thread that waits for readiness and sends again is not woken in vain. */
#define PIPE_ANY UINT64_MAX

/* The common case of pipe_can_write; false: ask that. */
static inline bool pipe_has_plain_room(const struct pipe *p)
{
    return p->plain && (p->out.msgs < p->out_hwm || !p->out_hwm);
}
bool pipe_can_write_slow(struct pipe *p, uint64_t size);
/* Room for one more message of so many bytes now? When not, the pattern's `writable` will be called
 * later. */
static inline bool pipe_can_write(struct pipe *p, uint64_t size)
{
    return pipe_has_plain_room(p) || pipe_can_write_slow(p, size);
}

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
/* 0, or why the pipe can never carry such a message: -EMSGSIZE, -EINVAL, with a detail. For the
 * patterns whose pipes may be of datagrams. */
static inline int pipe_check(const struct pipe *p, const struct msg *parts, uint32_t n)
{
    return p->link && p->link->ops->check ? p->link->ops->check(p, parts, n) : 0;
}
/*
 * Queues one whole message of n parts. Consumes them on success. -EAGAIN at the HWM or when hung
 * up, -ENOMEM; the parts then stay the caller's. The flush policy writes it out when the
 * pattern has returned.
 */
int pipe_write(struct pipe *p, struct msg *parts, uint32_t n);
/* As pipe_write for bytes by copy, whatever the HWM (subscriptions, greetings, probes must not be
 * lost). */
int pipe_write_control(struct pipe *p, const void *data, size_t len);
/* Takes back what is queued and not begun to be written: it goes elsewhere, or is wanted no more.
 * Not counted as dropped. What was handed to a direct link stays there, and so does what a pipe
 * that was hung up still sends. May call `writable`. */
void pipe_withdraw(struct pipe *p);
/* A subscription or its end, as this peer's protocol version wants it (stream); for inproc and old
 * peers an 01/00 message. Not bound by the HWM. Only when p->ready. */
int pipe_put_subscription(struct pipe *p, const void *topic, size_t len, bool add);
/* The same for a group that is joined or left: a command, over inproc a 01/00 message. */
int pipe_put_group(struct pipe *p, const void *group, size_t len, bool join);

/* More was appended to `out`. */
static inline void pipe_wrote(struct pipe *p)
{
    struct link *l = p->link;
    if (!l)
        return;
    if (!l->flush_pending)
        l->ops->wrote(l);
    else if (flush_is_due(&p->out) && !l->writing && !l->blocked)
        p->set->reactor.work |= WORK_FLUSH;
}

/* Fan-out of a message that was framed once, where pipe_takes_spans. 0, -EAGAIN, -ENOMEM. */
int pipe_write_span(struct pipe *p, const struct outspan *span);
static inline bool pipe_takes_spans(const struct pipe *p)
{
    return p->spans;
}
/* The common case of that; false: nothing was done, ask those. */
static inline bool pipe_extend_span(struct pipe *p, const struct outspan *span)
{
    if (!pipe_takes_spans(p) || !pipe_has_plain_room(p) || !outq_extend_span(&p->out, span))
        return false;
    p->msgs_out++;
    pipe_wrote(p);
    return true;
}

/* Fan-out: writes copies that share the parts' memory; `parts` stays the caller's (never BORROWED
 * afterwards). 0, -EAGAIN, -ENOMEM. */
int pipe_write_shared(struct pipe *p, struct msg *parts, uint32_t n);

/* True while something that was sent has not reached the kernel: encrypted or re-encoded bytes lie
 * in the connection and count no more in `out`. */
bool pipe_unsent(const struct pipe *p);
/* Statistics and queue depth. */
uint32_t pipe_out_msgs(const struct pipe *p);
uint64_t pipe_out_bytes(const struct pipe *p);

/* ---- for what moves the messages ---- */

/* Throws away what is queued to be sent. */
void pipe_discard(struct pipe *p);
void pipe_drained(struct pipe *p); /* there may be room: calls `writable` if owed */

#endif
