/* SPDX-License-Identifier: MIT */
/* PAIR: one peer at a time. What a former peer sent is read before what its successor sends. */
#include <errno.h>

#include "core/pattern_ops.h"
#include "core/socket.h"
#include "pattern/patterns.h"
#include "pattern/route.h"

struct pair {
    struct pipe *peer; /* NULL: none, or it hung up */
    struct fairq in;
};

static int pair_init(struct fmq_socket *s)
{
    struct pair *me = s->state;
    fairq_init(&me->in);
    return 0;
}

static void pair_fini(struct fmq_socket *s)
{
    (void)s;
}

static int pair_attach(struct fmq_socket *s, struct pipe *p)
{
    struct pair *me = s->state;
    route_attach(p);
    if (me->peer)
        return -EBUSY;
    me->peer = p;
    return 0;
}

static void pair_hangup(struct fmq_socket *s, struct pipe *p)
{
    struct pair *me = s->state;
    if (me->peer == p)
        me->peer = NULL;
}

static void pair_detach(struct fmq_socket *s, struct pipe *p)
{
    pair_hangup(s, p);
    route_detach(p);
}

static void pair_readable(struct fmq_socket *s, struct pipe *p)
{
    struct pair *me = s->state;
    fairq_add(&me->in, p);
}

static void pair_writable(struct fmq_socket *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static int pair_send_check(struct fmq_socket *s, const struct msg *first)
{
    struct pair *me = s->state;
    (void)first;
    return me->peer && pipe_can_write(me->peer) ? 0 : -EAGAIN;
}

static int pair_send(struct fmq_socket *s, struct parts *m)
{
    struct pair *me = s->state;
    if (!me->peer)
        return -EAGAIN;
    int rc = pipe_write(me->peer, m->v, m->len);
    if (rc == 0)
        m->len = 0;
    return rc;
}

static int pair_recv(struct fmq_socket *s, struct parts *out, struct pipe **from)
{
    struct pair *me = s->state;
    struct pipe *p = fairq_next(&me->in);
    if (!p)
        return -EAGAIN;
    *from = p;
    return pipe_read(p, out); /* stays in front until it is dry: peers follow one another */
}

static int pair_events(struct fmq_socket *s)
{
    struct pair *me = s->state;
    return (fairq_next(&me->in) ? FMQ_POLLIN : 0) |
           (pair_send_check(s, NULL) == 0 ? FMQ_POLLOUT : 0);
}

const struct pattern_ops pattern_pair = {
    .type = FMQ_PAIR,
    .name = "PAIR",
    .state_size = sizeof(struct pair),
    .sends = true,
    .receives = true,
    .init = pair_init,
    .fini = pair_fini,
    .attach = pair_attach,
    .hangup = pair_hangup,
    .detach = pair_detach,
    .readable = pair_readable,
    .writable = pair_writable,
    .send_check = pair_send_check,
    .send = pair_send,
    .recv = pair_recv,
    .events = pair_events,
};
