/* SPDX-License-Identifier: MIT */
/* DGRAM: datagrams as they are, to and from any host. A message is the other end's address
 * ("1.2.3.4:5", "[::1]:5") and a body. */
#include <errno.h>

#include "base/error.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

struct dgram {
    struct pipe *out; /* NULL: not bound */
    struct fairq in;
};

static int dgram_init(struct pipe_set *s)
{
    struct dgram *me = s->state;
    fairq_init(&me->in);
    return 0;
}

/* One address is what it sends from. */
static int dgram_attach(struct pipe_set *s, struct pipe *p)
{
    struct dgram *me = s->state;
    if (me->out) {
        detail_set("a DGRAM socket is bound to one address: unbind it first");
        return -EINVAL;
    }
    route_attach(p);
    me->out = p;
    return 0;
}

static void dgram_hangup(struct pipe_set *s, struct pipe *p)
{
    struct dgram *me = s->state;
    if (me->out == p)
        me->out = NULL;
}

static void dgram_detach(struct pipe_set *s, struct pipe *p)
{
    dgram_hangup(s, p);
    route_detach(p);
}

static void dgram_readable(struct pipe_set *s, struct pipe *p)
{
    struct dgram *me = s->state;
    fairq_add(&me->in, p);
}

static void dgram_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static int dgram_send(struct pipe_set *s, struct parts *m)
{
    struct dgram *me = s->state;
    if (m->len != 2) {
        detail_set("a message of a DGRAM socket is [address, body], and this one has %u part%s",
                   m->len, m->len == 1 ? "" : "s");
        return -EINVAL;
    }
    if (!me->out)
        return -EAGAIN;
    int rc = pipe_check(me->out, m->v, 2);
    if (rc == 0)
        rc = pipe_write(me->out, m->v, 2);
    if (rc == 0)
        m->len = 0;
    return rc;
}

static struct pipe *dgram_select_rx(struct pipe_set *s)
{
    struct dgram *me = s->state;
    return fairq_turn(&me->in);
}

static int dgram_events(struct pipe_set *s)
{
    struct dgram *me = s->state;
    return (me->out && pipe_can_write(me->out, PIPE_ANY) ? FMQ_POLLOUT : 0) |
           (fairq_next(&me->in) ? FMQ_POLLIN : 0);
}

const struct pattern_ops pattern_dgram = {
    .type = FMQ_DGRAM,
    .name = "DGRAM",
    .state_size = sizeof(struct dgram),
    .sends = true,
    .receives = true,
    .datagrams = true,
    .frames = 2,
    .init = dgram_init,
    .attach = dgram_attach,
    .hangup = dgram_hangup,
    .detach = dgram_detach,
    .readable = dgram_readable,
    .writable = dgram_writable,
    .send = dgram_send,
    .select_rx = dgram_select_rx,
    .recv = route_recv,
    .events = dgram_events,
};
