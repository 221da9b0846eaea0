/* SPDX-License-Identifier: MIT */
/* A reactor that nothing but a test stands on: it counts what it is asked. */
#ifndef STAND_H
#define STAND_H

#include "check.h"
#include "fastmq.h"
#include "reactor/reactor.h"

struct stand {
    struct reactor r; /* first */
    unsigned flushes, flushes_of_all, reaps, finishes, lone_reads, released;
    atomic_int ready; /* what `events` answers */
    bool may_finish;
    bool lone_has; /* what a read of the only connection finds */
};

static struct stand *stand_of(struct reactor *r)
{
    return (struct stand *)r;
}

static void stand_flush(struct reactor *r, bool all)
{
    stand_of(r)->flushes++;
    stand_of(r)->flushes_of_all += all;
}

static void stand_reap(struct reactor *r)
{
    stand_of(r)->reaps++;
    io_free_deferred(r);
}

static bool stand_finish(struct reactor *r)
{
    stand_of(r)->finishes++;
    r->finished = stand_of(r)->may_finish;
    return r->finished;
}

static bool stand_read_lone(struct reactor *r, uint64_t until)
{
    (void)until;
    stand_of(r)->lone_reads++;
    return stand_of(r)->lone_has;
}

static int stand_events(struct reactor *r)
{
    return atomic_load(&stand_of(r)->ready);
}

static void stand_released(struct reactor *r)
{
    stand_of(r)->released++;
}

static const struct reactor_ops stand_ops = {
    .flush = stand_flush,
    .reap = stand_reap,
    .finish = stand_finish,
    .read_lone = stand_read_lone,
    .events = stand_events,
    .shared_events = stand_events,
    .released = stand_released,
};

/* Without a descriptor. */
static inline void stand_begin_bare(struct stand *s)
{
    memset(s, 0, sizeof(*s));
    reactor_init(&s->r, &stand_ops);
}

/* With a poller. */
static inline void stand_begin(struct stand *s)
{
    stand_begin_bare(s);
    mutex_lock(&s->r.lock);
    CHECK_EQ(io_need_poller(&s->r), 0);
    mutex_unlock(&s->r.lock);
}

/* Nobody else may have a reference any more. */
static inline void stand_end(struct stand *s)
{
    mutex_lock(&s->r.lock);
    io_free_deferred(&s->r);
    s->r.finished = true;
    mutex_unlock(&s->r.lock);
    reactor_unref(&s->r);
    CHECK_EQ(s->released, 1);
    reactor_fini(&s->r);
}

/* The handle that the functions of fastmq.h take. */
static inline fmq_socket *stand_handle(struct stand *s)
{
    return (fmq_socket *)(void *)&s->r;
}

#endif
