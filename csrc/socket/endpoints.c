/* SPDX-License-Identifier: MIT */
/* Endpoints as the program names them, and the peers behind them. */
#include "base/error.h"
#include "fastmq.h"
#include "net/connecter.h"
#include "net/endpoint_close.h"
#include "net/listener.h"
#include "pipe/pattern_ops.h"
#include "socket/registry.h"
#include "socket/socket.h"

/* Between two looks whether a thread has come back from a read, and how many there are. */
#define LAST_READ_NS (20 * NS_PER_US)
#define LAST_READ_LOOKS 5000u

typedef int endpoint_verb(struct conn_set *s, const struct transport_ops *tr, const char *text,
                          const char *rest);

static int endpoint_call(fmq_socket *s, const char *text, endpoint_verb *verb)
{
    const struct transport_ops *tr;
    const char *rest;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = transport_of(text, &tr, &rest);
    if (rc == 0)
        rc = verb(&s->net, tr, text, rest);
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_bind(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, endpoint_bind);
}

int fmq_connect(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, endpoint_connect);
}

/* Another thread may be reading what has ended: it is back in no time, and the address is free. */
static int end_and_wait(struct conn_set *s, const struct transport_ops *tr, const char *text,
                        const char *rest)
{
    struct reactor *r = conn_set_reactor(s);
    int rc = endpoint_end(s, tr, text, rest);
    if (rc == -ENOENT)
        detail_set("the socket is not bound or connected to '%.100s'", text);
    for (unsigned i = 0; s->last_reads && i < LAST_READ_LOOKS; i++)
        cond_wait(&r->cond, &r->lock, LAST_READ_NS);
    return rc;
}

int fmq_unbind(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, end_and_wait);
}

int fmq_disconnect(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, end_and_wait);
}

int fmq_peer_state(fmq_socket *s, const void *id, size_t len)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = s->net.pipes.ops->peer_state ? s->net.pipes.ops->peer_state(&s->net.pipes, id, len)
                                      : -ENOTSUP;
    reactor_leave(socket_reactor(s));
    return rc;
}
