/* SPDX-License-Identifier: MIT */
/* PAIR: one peer at a time. What the previous peer sent is read before what the next one sends.
 * CHANNEL is the same with messages of a single part. */
#include <errno.h>

#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

struct pair {
    struct pipe *peer; /* NULL: none, or it hung up */
    struct fairq in;
};

static int pair_init(struct pipe_set *s)
{
    struct pair *me = s->state;
    fairq_init(&me->in);
    return 0;
}

static void pair_fini(struct pipe_set *s)
{
    (void)s;
}

static int pair_attach(struct pipe_set *s, struct pipe *p)
{
    struct pair *me = s->state;
    route_attach(p);
    if (me->peer)
        return -EBUSY;
    me->peer = p;
    return 0;
}

static void pair_hangup(struct pipe_set *s, struct pipe *p)
{
    struct pair *me = s->state;
    if (me->peer == p)
        me->peer = NULL;
}

static void pair_detach(struct pipe_set *s, struct pipe *p)
{
    pair_hangup(s, p);
    route_detach(p);
}

static void pair_readable(struct pipe_set *s, struct pipe *p)
{
    struct pair *me = s->state;
    fairq_add(&me->in, p);
}

static void pair_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static struct pipe *pair_select_tx(struct pipe_set *s, uint64_t size)
{
    struct pair *me = s->state;
    return me->peer && pipe_can_write(me->peer, size) ? me->peer : NULL;
}

/* It stays in front until it is dry: peers follow one another. */
static struct pipe *pair_select_rx(struct pipe_set *s)
{
    struct pair *me = s->state;
    return fairq_next(&me->in);
}

static int pair_send_check(struct pipe_set *s, const struct msg *first)
{
    (void)first;
    return pair_select_tx(s, PIPE_ANY) ? 0 : -EAGAIN;
}

static int pair_events(struct pipe_set *s)
{
    struct pair *me = s->state;
    return (fairq_next(&me->in) ? FMQ_POLLIN : 0) | (pair_select_tx(s, PIPE_ANY) ? FMQ_POLLOUT : 0);
}

#define PAIR_OPS(number, text, ...)                                                                \
    {.type = (number),                                                                             \
     .name = (text),                                                                               \
     .state_size = sizeof(struct pair),                                                            \
     .sends = true,                                                                                \
     .receives = true,                                                                             \
     .init = pair_init,                                                                            \
     .fini = pair_fini,                                                                            \
     .attach = pair_attach,                                                                        \
     .hangup = pair_hangup,                                                                        \
     .detach = pair_detach,                                                                        \
     .readable = pair_readable,                                                                    \
     .writable = pair_writable,                                                                    \
     .send_check = pair_send_check,                                                                \
     .select_tx = pair_select_tx,                                                                  \
     .select_rx = pair_select_rx,                                                                  \
     .send = route_send,                                                                           \
     .recv = route_recv,                                                                           \
     .events = pair_events,                                                                        \
     __VA_ARGS__}

const struct pattern_ops pattern_pair = PAIR_OPS(FMQ_PAIR, "PAIR", .single = false);
const struct pattern_ops pattern_channel =
    PAIR_OPS(FMQ_CHANNEL, "CHANNEL", .single = true, .frames = 1);
