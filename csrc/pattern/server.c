/* SPDX-License-Identifier: MIT */
/*
 * SERVER: a message names its peer by a number beside its single part, both ways. PEER is a SERVER
 * whose peers are such sockets, too, and which learns the number of a peer as it connects to it.
 *
 * A pipe has its number for life: on a connecting PEER over reconnections, else as long as the
 * connection lasts, and for what of it is still to be received.
 */
#include <errno.h>
#include <stddef.h>

#include "base/error.h"
#include "pattern/numbers.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

struct server {
    struct fairq in;
    struct numbers peers;
    uint32_t last; /* the number given out last */
};

struct server_pipe {
    uint32_t number; /* 0: none was to be had */
};

static int server_init(struct pipe_set *s)
{
    struct server *me = s->state;
    fairq_init(&me->in);
    numbers_init(&me->peers);
    return 0;
}

static void server_fini(struct pipe_set *s)
{
    struct server *me = s->state;
    numbers_fini(&me->peers);
}

static int server_attach(struct pipe_set *s, struct pipe *p)
{
    struct server *me = s->state;
    struct server_pipe *sp = p->state;
    route_attach(p);
    int rc = numbers_add(&me->peers, p, &sp->number);
    if (rc) {
        sp->number = 0;
        return rc;
    }
    me->last = sp->number;
    return 0;
}

static void server_hangup(struct pipe_set *s, struct pipe *p)
{
    struct server *me = s->state;
    const struct server_pipe *sp = p->state;
    if (numbers_find(&me->peers, sp->number) == p)
        numbers_remove(&me->peers, sp->number);
}

static void server_detach(struct pipe_set *s, struct pipe *p)
{
    server_hangup(s, p);
    route_detach(p);
}

static void server_readable(struct pipe_set *s, struct pipe *p)
{
    struct server *me = s->state;
    fairq_add(&me->in, p);
}

static void server_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static int server_send(struct pipe_set *s, struct parts *m)
{
    struct server *me = s->state;
    struct msg *only = &m->v[0];
    uint32_t number = only->routing_id;
    struct pipe *p = numbers_find(&me->peers, number);
    if (!p && number)
        return route_unreachable();
    if (!p) {
        detail_set("a message of a %s socket needs the routing id of its peer: none was given",
                   s->ops->name);
        return -EHOSTUNREACH;
    }
    only->routing_id = 0; /* it is ours, and over inproc the message itself arrives */
    int rc = pipe_write(p, m->v, 1);
    if (rc == 0)
        m->len = 0;
    else
        only->routing_id = number;
    return rc;
}

static int server_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct server *me = s->state;
    struct pipe *p = fairq_next(&me->in);
    if (!p)
        return -EAGAIN;
    const struct server_pipe *sp = p->state;
    int rc = fairq_take(&me->in, p, out);
    if (rc)
        return rc;
    out->v[out->len - 1].routing_id = sp->number;
    *from = p;
    return 0;
}

/* Always writable: whether a message has to wait is known when its peer is. */
static int server_events(struct pipe_set *s)
{
    struct server *me = s->state;
    return (fairq_next(&me->in) ? FMQ_POLLIN : 0) | FMQ_POLLOUT;
}

static struct pipe *server_peer(struct pipe_set *s, uint32_t number)
{
    struct server *me = s->state;
    return numbers_find(&me->peers, number);
}

static void server_describe(struct pipe_set *s, struct pipe *p, struct fmq_peer *out)
{
    const struct server_pipe *sp = p->state;
    if (server_peer(s, sp->number) == p)
        out->routing_id = sp->number;
}

static uint32_t peer_last(struct pipe_set *s)
{
    struct server *me = s->state;
    return me->last;
}

#define SERVER_OPS(number, text, ...)                                                              \
    {.type = (number),                                                                             \
     .name = (text),                                                                               \
     .state_size = sizeof(struct server),                                                          \
     .pipe_size = sizeof(struct server_pipe),                                                      \
     .sends = true,                                                                                \
     .receives = true,                                                                             \
     .single = true,                                                                               \
     .frames = 1,                                                                                  \
     .addressing = FMQ_BY_ROUTING_ID,                                                              \
     .says_hello = true,                                                                           \
     .hears_disconnect = true,                                                                     \
     .init = server_init,                                                                          \
     .fini = server_fini,                                                                          \
     .attach = server_attach,                                                                      \
     .hangup = server_hangup,                                                                      \
     .detach = server_detach,                                                                      \
     .readable = server_readable,                                                                  \
     .writable = server_writable,                                                                  \
     .send = server_send,                                                                          \
     .recv = server_recv,                                                                          \
     .events = server_events,                                                                      \
     .peer = server_peer,                                                                          \
     .describe = server_describe,                                                                  \
     __VA_ARGS__}

const struct pattern_ops pattern_server = SERVER_OPS(FMQ_SERVER, "SERVER", .last_peer = NULL);
const struct pattern_ops pattern_peer =
    SERVER_OPS(FMQ_PEER, "PEER", .last_peer = peer_last, .hears_hiccup = true);
