/* SPDX-License-Identifier: MIT */
/*
 * What a pattern sees of its socket: the pipes, the options, its own state. Stands on a reactor;
 * all of it is guarded by the reactor's lock.
 */
#ifndef PIPE_PIPE_SET_H
#define PIPE_PIPE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "pipe/option_values.h"
#include "reactor/reactor.h"

struct budget;
struct pattern_ops;
struct pool;

/* A socket that waits for room among what its context may queue, see budget.h. */
struct shortage {
    struct list node; /* budget->waiters, under its lock, as is `urgent` */
    struct cmd over;  /* there is room again */
    bool urgent;      /* connections wait, which no caller may look after */
};

/* Why a message was thrown away. */
enum drop_reason {
    DROP_FULL,     /* no room at a limit */
    DROP_REPLACED, /* a newer one took its place */
    DROP_GONE,     /* its peer went for good while it was queued */
    DROP_UNROUTED, /* there was nobody to give it to */
    DROP_RULES,    /* the peer sent it against the rules of its type */
    DROP_REASONS
};

/* What pipes and connections that are no more have counted. */
struct closed_totals {
    uint64_t msgs_in, msgs_out, bytes_in, bytes_out, reconnects, packets_lost;
};

struct pipe_set {
    struct reactor reactor; /* first: see reactor_of */
    const struct pattern_ops *ops;
    void *state; /* the pattern's own, ops->state_size bytes */
    int type;
    struct option_values opt;
    struct pool *pool;     /* receive chunks, of the context */
    struct budget *budget; /* NULL: what it queues counts against no limit of the context */
    struct shortage shortage;
    bool sized;        /* a pipe of its is bounded, or was: pipe_can_write needs sizes */
    uint64_t advance;  /* taken from the budget for a message that goes to all pipes or none */
    struct list list;  /* pipe.in_set */
    struct list walks; /* list_walk: snapshots that go through pipes, connections or endpoints */
    struct list dead_pipes;

    struct timer alarm; /* pipe_set_alarm */

    uint64_t drops;
    uint64_t drops_for[DROP_REASONS]; /* what of it has this reason */
    struct closed_totals closed_totals;
};

static inline struct pipe_set *pipe_set_of(struct reactor *r)
{
    return (struct pipe_set *)r;
}

static inline void pipe_set_count_drop(struct pipe_set *s, enum drop_reason why)
{
    s->drops++;
    s->drops_for[why]++;
}

/* Readiness may have changed: waiters look again. */
static inline void pipe_set_notify(struct pipe_set *s)
{
    reactor_notify(&s->reactor);
}

/* The program has closed the socket: what is queued goes out within LINGER, and nothing more is
 * queued. */
static inline bool pipe_set_closed(const struct pipe_set *s)
{
    return s->reactor.closed;
}

#endif
