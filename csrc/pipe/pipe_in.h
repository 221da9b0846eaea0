/* SPDX-License-Identifier: MIT */
/* What has come into a pipe: reading it, and when enough has come. */
#ifndef PIPE_PIPE_IN_H
#define PIPE_PIPE_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "pipe/pipe.h"

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

/* Statistics and queue depth. */
uint64_t pipe_in_bytes(const struct pipe *p);

/* ---- for what moves the messages ---- */

/* After pushing to p->in, which held so many whole messages before. Where all of the pattern's
 * messages have the same number of frames, those that have not are dropped. */
void pipe_arrived(struct pipe *p, uint32_t msgs_before);
/* `in` holds a message for the program and is at a limit in bytes: no more is to be decoded. */
bool pipe_in_full(struct pipe *p);

#endif
