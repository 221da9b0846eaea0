/* SPDX-License-Identifier: MIT */
#include "net/conn_link.h"

#include <stdio.h>

#include "fastmq.h"
#include "net/conn.h"
#include "net/conn_end.h"
#include "net/conn_read.h"
#include "net/conn_shm.h"
#include "net/endpoint.h"

static void conn_wrote(struct link *l)
{
    struct conn *c = conn_of(l);
    if (c->link.blocked || c->link.writing || !c->peer.ready)
        return; /* goes out when the kernel, the writer or the handshake says so */
    c->link.flush_pending = true;
    conn_want_flush(c);
}

void conn_describe(const struct conn *c, struct fmq_peer *out)
{
    const struct endpoint *ep = c->endpoint;
    out->link = c->end_wanted != CONN_END_NONE ? FMQ_LINK_CLOSING
                : c->peer.ready                ? FMQ_LINK_READY
                                               : FMQ_LINK_HANDSHAKING;
    out->accepted = c->bound;
    out->type = c->peer.ready ? c->peer.remote.type : -1;
    out->since_ns = c->since;
    out->carrier = c->shm.why == SHM_WHY_NONE ? FMQ_CARRIER_SHM
                   : c->peer.cfg.ws           ? FMQ_CARRIER_WS
                                              : FMQ_CARRIER_SOCKET;
    out->carrier_why = conn_shm_reason(c->shm.why);
    out->carrier_error = c->shm.error;
    out->rtt_ns = c->peer.heartbeat.rtt_ns;
    const char *name = ep ? ep->name : c->bound ? c->local_name : c->remote_name;
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", name);
    snprintf(out->address, sizeof(out->address), "%s", c->peer_name);
}

static void link_resume(struct link *l)
{
    conn_resume(conn_of(l));
}

static bool link_pending(const struct link *l)
{
    return conn_pending(LIST_ENTRY(l, const struct conn, link));
}

static int put_subscription(struct pipe *p, const void *topic, size_t len, bool add)
{
    return peer_put_subscription(&conn_of(p->link)->peer, &p->out, topic, len, add);
}

static int put_group(struct pipe *p, const void *group, size_t len, bool join)
{
    return peer_put_group(&conn_of(p->link)->peer, &p->out, group, len, join);
}

static void link_end(struct link *l, bool lost)
{
    struct conn *c = conn_of(l);
    bool own = c->pipe && c->pipe->ended_here;
    if (lost)
        conn_end(c, CONN_END_LOST, ENOMEM);
    else
        conn_end(c, own ? CONN_END_CLOSED : CONN_END_REFUSED, 0);
}

static void add_bytes(const struct pipe *p, struct fmq_counters *count)
{
    uint64_t in, out;
    conn_bytes(conn_of(p->link), &in, &out);
    count->bytes_sent += out;
    count->bytes_recvd += in;
}

static void names(const struct pipe *p, const char **local, const char **remote)
{
    *local = conn_of(p->link)->local_name;
    *remote = conn_of(p->link)->remote_name;
}

static void describe(const struct pipe *p, struct fmq_peer *out)
{
    conn_describe(conn_of(p->link), out);
}

const struct link_ops conn_link_ops = {
    .flush = conn_flush,
    .wrote = conn_wrote,
    .resume = link_resume,
    .pending = link_pending,
    .put_subscription = put_subscription,
    .put_group = put_group,
    .end = link_end,
    .add_bytes = add_bytes,
    .names = names,
    .describe = describe,
};
