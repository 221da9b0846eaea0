/* SPDX-License-Identifier: MIT */
/* DEALER: out to its peers in turn, in from its peers in turn, no rules between the two. CLIENT is
 * the same with messages of a single part. */
#include <errno.h>

#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

struct dealer {
    struct fairq in;
    struct balancer out;
    bool probe; /* PROBE_ROUTER */
};

static int dealer_init(struct pipe_set *s)
{
    struct dealer *me = s->state;
    fairq_init(&me->in);
    balancer_init(&me->out);
    return 0;
}

static void dealer_fini(struct pipe_set *s)
{
    (void)s;
}

static int dealer_attach(struct pipe_set *s, struct pipe *p)
{
    struct dealer *me = s->state;
    route_attach(p);
    balancer_add(&me->out, p);
    return 0;
}

static int dealer_greet(struct pipe_set *s, struct pipe *p)
{
    struct dealer *me = s->state;
    return me->probe ? pipe_write_control(p, "", 0) : 0;
}

static void dealer_readable(struct pipe_set *s, struct pipe *p)
{
    struct dealer *me = s->state;
    fairq_add(&me->in, p);
}

static void dealer_writable(struct pipe_set *s, struct pipe *p)
{
    struct dealer *me = s->state;
    balancer_add(&me->out, p);
}

static int dealer_send_check(struct pipe_set *s, const struct msg *first)
{
    struct dealer *me = s->state;
    (void)first;
    return balancer_ready(&me->out) ? 0 : -EAGAIN;
}

static struct pipe *dealer_select_tx(struct pipe_set *s, uint64_t size)
{
    struct dealer *me = s->state;
    return balancer_turn(&me->out, size);
}

static struct pipe *dealer_select_rx(struct pipe_set *s)
{
    struct dealer *me = s->state;
    return fairq_turn(&me->in);
}

static int dealer_events(struct pipe_set *s)
{
    struct dealer *me = s->state;
    return (fairq_next(&me->in) ? FMQ_POLLIN : 0) | (balancer_ready(&me->out) ? FMQ_POLLOUT : 0);
}

static int dealer_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct dealer *me = s->state;
    (void)value;
    (void)len;
    if (option != OPT_PROBE_ROUTER)
        return -EINVAL;
    me->probe = num != 0;
    return 0;
}

#define DEALER_OPS(number, text, ...)                                                              \
    {.type = (number),                                                                             \
     .name = (text),                                                                               \
     .state_size = sizeof(struct dealer),                                                          \
     .sends = true,                                                                                \
     .receives = true,                                                                             \
     .says_hello = true,                                                                           \
     .hears_hiccup = true,                                                                         \
     .init = dealer_init,                                                                          \
     .fini = dealer_fini,                                                                          \
     .attach = dealer_attach,                                                                      \
     .greet = dealer_greet,                                                                        \
     .hangup = route_forget,                                                                       \
     .detach = route_leave,                                                                        \
     .readable = dealer_readable,                                                                  \
     .writable = dealer_writable,                                                                  \
     .send_check = dealer_send_check,                                                              \
     .select_tx = dealer_select_tx,                                                                \
     .select_rx = dealer_select_rx,                                                                \
     .send = route_send,                                                                           \
     .recv = route_recv,                                                                           \
     .events = dealer_events,                                                                      \
     __VA_ARGS__}

const struct pattern_ops pattern_dealer =
    DEALER_OPS(FMQ_DEALER, "DEALER", .dedup_connect = true, .setopt = dealer_setopt);
const struct pattern_ops pattern_client =
    DEALER_OPS(FMQ_CLIENT, "CLIENT", .single = true, .frames = 1);
