/* SPDX-License-Identifier: MIT */
/* Sockets of a pattern with one peer, for tests of connections and endpoints. */
#ifndef BOX_H
#define BOX_H

#include "check.h"
#include "net/conn_set.h"
#include "net/conn_set_life.h"
#include "net/flush.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"
#include "reactor/poll.h"

/* ---- a pattern with one peer, and what stands on the connections ---- */

struct box {
    struct pipe *pipe;
    uint32_t lost, hung_up;
};

static int box_attach(struct pipe_set *s, struct pipe *p)
{
    ((struct box *)s->state)->pipe = p;
    return 0;
}

static void box_lost(struct pipe_set *s, struct pipe *p)
{
    (void)p;
    ((struct box *)s->state)->lost++;
}

static void box_hangup(struct pipe_set *s, struct pipe *p)
{
    (void)p;
    ((struct box *)s->state)->hung_up++;
}

static void box_detach(struct pipe_set *s, struct pipe *p)
{
    (void)p;
    ((struct box *)s->state)->pipe = NULL;
}

static void box_nothing(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static int box_events(struct pipe_set *s)
{
    struct box *b = s->state;
    return b->pipe && pipe_can_read(b->pipe) ? FMQ_POLLIN : 0;
}

static const struct pattern_ops box_ops = {
    .type = FMQ_PAIR,
    .name = "PAIR",
    .state_size = sizeof(struct box),
    .sends = true,
    .receives = true,
    .attach = box_attach,
    .lost = box_lost,
    .hangup = box_hangup,
    .detach = box_detach,
    .readable = box_nothing,
    .writable = box_nothing,
    .events = box_events,
};

/* What was reported of all sets, in order. */
struct box_event {
    uint32_t event;
    uint64_t value;
};

static struct box_event box_seen[256];
static unsigned box_seen_count;

static void on_event(struct conn_set *s, bool bound, uint32_t event, uint64_t value,
                     const char *local, const char *remote)
{
    (void)s;
    (void)bound;
    (void)local;
    (void)remote;
    if (box_seen_count < 256)
        box_seen[box_seen_count++] = (struct box_event){event, value};
}

static int let_in(struct conn *c)
{
    (void)c;
    return 1;
}

static void nobody_asked(struct conn *c)
{
    (void)c;
}

static const struct conn_listener listener = {on_event, let_in, nobody_asked};

static void reap(struct reactor *r)
{
    conn_set_reap(conn_set_of(r));
}

static bool never_finished(struct reactor *r)
{
    (void)r;
    return false;
}

static int events_of(struct reactor *r)
{
    return box_events(pipe_set_of(r));
}

static void nothing_left(struct reactor *r)
{
    (void)r;
}

static const struct reactor_ops ops = {
    .flush = flush_run,
    .reap = reap,
    .finish = never_finished,
    .read_lone = conn_set_read_lone,
    .events = events_of,
    .shared_events = events_of,
    .released = nothing_left,
};

static inline void set_up(struct conn_set *s)
{
    memset(s, 0, sizeof(*s));
    struct pipe_set *pipes = &s->pipes;
    struct pool *pool;
    reactor_init(conn_set_reactor(s), &ops);
    CHECK_EQ(pool_create(&pool), 0);
    pipe_set_init(pipes, &box_ops, pool);
    pipes->state = mem_zalloc(sizeof(struct box));
    pipes->opt.maxmsgsize = -1;
    pipes->opt.max_parts = 100;
    pipes->opt.heartbeat_timeout = -1;
    conn_set_init(s, &listener);
}

static inline void tear_down(struct conn_set *s)
{
    struct reactor *r = conn_set_reactor(s);
    mutex_lock(&r->lock);
    r->closed = r->finished = true;
    conn_set_end(s);
    conn_set_reap(s);
    mutex_unlock(&r->lock);
    reactor_unref(r);
    reactor_fini(r);
    pool_release(s->pipes.pool);
    mem_free(s->pipes.state);
}

static inline struct box *box_of(struct conn_set *s)
{
    return s->pipes.state;
}

/* Looks at the network once and writes what is queued. */
static inline void turn(struct conn_set *s)
{
    struct reactor *r = conn_set_reactor(s);
    mutex_lock(&r->lock);
    reactor_poll_once(r, false);
    r->work |= WORK_FLUSH;
    reactor_leave_slow(r, true);
}

#endif
