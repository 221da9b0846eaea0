/* SPDX-License-Identifier: MIT */
/* PUSH deals messages out to its peers in turn; PULL takes them from its peers in turn. SCATTER and
 * GATHER are the same with messages of a single part. */
#include <errno.h>

#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

/* ---- PUSH ---- */

struct push {
    struct balancer out;
};

static int push_init(struct pipe_set *s)
{
    struct push *me = s->state;
    balancer_init(&me->out);
    return 0;
}

static void push_fini(struct pipe_set *s)
{
    (void)s;
}

static int push_attach(struct pipe_set *s, struct pipe *p)
{
    struct push *me = s->state;
    route_attach(p);
    balancer_add(&me->out, p);
    return 0;
}

static void push_readable(struct pipe_set *s, struct pipe *p)
{
    while (pipe_can_read(p)) /* a PULL has nothing to say */
        route_skip(s, p);
}

static void push_writable(struct pipe_set *s, struct pipe *p)
{
    struct push *me = s->state;
    balancer_add(&me->out, p);
}

static int push_send_check(struct pipe_set *s, const struct msg *first)
{
    struct push *me = s->state;
    (void)first;
    return balancer_ready(&me->out) ? 0 : -EAGAIN;
}

static struct pipe *push_select_tx(struct pipe_set *s, uint64_t size)
{
    struct push *me = s->state;
    return balancer_turn(&me->out, size);
}

static int push_events(struct pipe_set *s)
{
    return push_send_check(s, NULL) == 0 ? FMQ_POLLOUT : 0;
}

/* ---- PULL ---- */

struct pull {
    struct fairq in;
};

static int pull_init(struct pipe_set *s)
{
    struct pull *me = s->state;
    fairq_init(&me->in);
    return 0;
}

static void pull_fini(struct pipe_set *s)
{
    (void)s;
}

static int pull_attach(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    route_attach(p);
    return 0;
}

static void pull_readable(struct pipe_set *s, struct pipe *p)
{
    struct pull *me = s->state;
    fairq_add(&me->in, p);
}

static void pull_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static struct pipe *pull_select_rx(struct pipe_set *s)
{
    struct pull *me = s->state;
    return fairq_turn(&me->in);
}

static int pull_events(struct pipe_set *s)
{
    struct pull *me = s->state;
    return fairq_next(&me->in) ? FMQ_POLLIN : 0;
}

/* ---- tables ---- */

static int no_send(struct pipe_set *s, struct parts *m)
{
    (void)s;
    (void)m;
    return -ENOTSUP;
}

#define PUSH_OPS(number, text, ...)                                                                \
    {.type = (number),                                                                             \
     .name = (text),                                                                               \
     .state_size = sizeof(struct push),                                                            \
     .sends = true,                                                                                \
     .init = push_init,                                                                            \
     .fini = push_fini,                                                                            \
     .attach = push_attach,                                                                        \
     .hangup = route_forget,                                                                       \
     .detach = route_leave,                                                                        \
     .readable = push_readable,                                                                    \
     .writable = push_writable,                                                                    \
     .send_check = push_send_check,                                                                \
     .select_tx = push_select_tx,                                                                  \
     .send = route_send,                                                                           \
     .recv = route_no_recv,                                                                        \
     .events = push_events,                                                                        \
     __VA_ARGS__}

#define PULL_OPS(number, text, ...)                                                                \
    {.type = (number),                                                                             \
     .name = (text),                                                                               \
     .state_size = sizeof(struct pull),                                                            \
     .receives = true,                                                                             \
     .init = pull_init,                                                                            \
     .fini = pull_fini,                                                                            \
     .attach = pull_attach,                                                                        \
     .detach = route_leave,                                                                        \
     .readable = pull_readable,                                                                    \
     .writable = pull_writable,                                                                    \
     .send = no_send,                                                                              \
     .select_rx = pull_select_rx,                                                                  \
     .recv = route_recv,                                                                           \
     .events = pull_events,                                                                        \
     __VA_ARGS__}

const struct pattern_ops pattern_push = PUSH_OPS(FMQ_PUSH, "PUSH", .single = false);
const struct pattern_ops pattern_pull = PULL_OPS(FMQ_PULL, "PULL", .single = false);
const struct pattern_ops pattern_scatter =
    PUSH_OPS(FMQ_SCATTER, "SCATTER", .single = true, .frames = 1);
const struct pattern_ops pattern_gather =
    PULL_OPS(FMQ_GATHER, "GATHER", .single = true, .frames = 1);
