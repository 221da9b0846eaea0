/* SPDX-License-Identifier: MIT */
#include "net/endpoint_close.h"

#include "net/conn.h"
#include "net/conn_end.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "net/packets.h"
#include "os/net.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

static void linger_over(struct timer *t, uint64_t now)
{
    (void)now;
    endpoint_close(LIST_ENTRY(t, struct endpoint, linger), true);
}

void endpoint_close(struct endpoint *ep, bool now)
{
    struct conn_set *s = ep->set;
    if (ep->bound && !ep->transport->open) {
        if (ep->closing)
            return;
        ep->closing = true;
        int fd = ep->io.fd;
        if (fd >= 0)
            net_shutdown(fd, NET_SHUT_BOTH); /* at once, even if the descriptor stays a moment */
        endpoint_remove_files(ep);
        conn_set_event(s, ep->bound, EVENT_CLOSED, (uint64_t)fd, ep->name, NULL);
        LIST_FOR_SAFE(n, &ep->conns)
        {
            struct conn *c = LIST_ENTRY(n, struct conn, in_endpoint);
            if (c->pipe)
                c->pipe->ended_here = true;
            conn_close(c, now);
        }
        endpoint_discard(ep);
        return;
    }
    struct pipe *p = ep->pipe;
    if (p)
        p->ended_here = true;
    if (!now && p && !p->direct && pipe_unsent(p)) {
        if (!ep->closing) {
            ep->closing = true;
            pipe_hangup(p);
            if (!s->pipes.reactor.closed && s->pipes.opt.linger >= 0) {
                timer_init(&ep->linger, linger_over);
                timer_set(conn_set_reactor(s), &ep->linger,
                          clock_now() + (uint64_t)s->pipes.opt.linger * NS_PER_MS);
            }
        }
        if (ep->conn)
            conn_stop_reading(ep->conn); /* and connects anew for what is left */
        return;
    }
    ep->closing = true;
    struct packets *k = packets_of(ep->pipe);
    if (k) {
        packets_end(k);
        return;
    }
    if (ep->conn) {
        struct conn *c = ep->conn;
        conn_end(c, CONN_END_CLOSED, 0); /* discards the endpoint when done */
        return;
    }
    if (p) {
        pipe_discard(p);
        endpoint_end_pipe(ep);
    }
    if (ep->io.fd >= 0)
        conn_set_event(s, ep->bound, EVENT_CLOSED, (uint64_t)ep->io.fd, NULL, ep->name);
    endpoint_discard(ep);
}

int endpoint_end(struct conn_set *s, const struct transport_ops *tr, const char *text,
                 const char *rest)
{
    if (tr->unbind && tr->unbind(s, rest) == 0)
        return 0;
    int rc = -ENOENT;
    LIST_FOR_SAFE(n, &s->endpoints)
    {
        struct endpoint *ep = LIST_ENTRY(n, struct endpoint, in_set);
        if (ep->closing || !endpoint_is_named(ep, text))
            continue;
        if (ep->pipe)
            pipe_disown(ep->pipe, !ep->bound);
        endpoint_close(ep, s->pipes.opt.linger == 0);
        rc = 0;
    }
    return rc;
}

void endpoint_end_peer(struct pipe *p)
{
    struct conn_set *s = conn_set_of(&p->set->reactor);
    bool now = s->pipes.opt.linger == 0;
    pipe_disown(p, true);
    if (p->endpoint)
        endpoint_close(p->endpoint, now);
    else if (p->direct || !p->link)
        pipe_hangup(p);
    else
        conn_close(conn_of(p->link), now);
}
