/* SPDX-License-Identifier: MIT */
#include "core/inspect.h"

#include <stdio.h>
#include <string.h>

#include "core/conn.h"
#include "core/ctx.h"
#include "core/driver.h"
#include "core/endpoint.h"
#include "core/option_ids.h"
#include "core/watch.h"

/* ---- counting ---- */

static void add_conn(const struct conn *c, struct fmq_counters *count)
{
    count->bytes_sent += c->bytes_out;
    count->bytes_recvd += c->bytes_in;
}

static void add_pipe(const struct pipe *p, struct fmq_counters *count)
{
    uint64_t queued = pipe_out_msgs(p);
    count->queued_to_send += queued;
    /* Over inproc what arrived waits in the link, too, and is not in msgs_in yet. */
    uint64_t waiting = p->direct ? p->link->ops->in_msgs(p) : p->in.msgs;
    count->queued_to_recv += waiting;
    count->bytes_to_send += pipe_out_bytes(p);
    count->bytes_to_recv += pipe_in_bytes(p);
    /* Subscriptions that travel as messages are queued without having been counted. */
    count->msgs_sent += p->msgs_out > queued ? p->msgs_out - queued : 0;
    count->msgs_recvd += p->msgs_in + (waiting - p->in.msgs);
    count->bytes_sent += p->bytes_out;
    count->bytes_recvd += p->bytes_in;
    count->reconnects += p->connections ? p->connections - 1 : 0;
    if (p->link)
        p->link->ops->add_bytes(p, count);
}

static void add_counters(struct fmq_counters *to, const struct fmq_counters *from)
{
    to->msgs_sent += from->msgs_sent;
    to->msgs_recvd += from->msgs_recvd;
    to->bytes_sent += from->bytes_sent;
    to->bytes_recvd += from->bytes_recvd;
    to->drops += from->drops;
    to->queued_to_send += from->queued_to_send;
    to->queued_to_recv += from->queued_to_recv;
    to->bytes_to_send += from->bytes_to_send;
    to->bytes_to_recv += from->bytes_to_recv;
    to->reconnects += from->reconnects;
}

static uint32_t descriptors(const struct fmq_socket *s)
{
    uint32_t n = poller_fds(s->poller) + poller_fds(s->watch.outer) + poller_fds(s->watch.loop) +
                 wakeup_fds(&s->wake) + wakeup_fds(&s->watch.signal[0]) +
                 wakeup_fds(&s->watch.signal[1]);
    LIST_FOR(it, &s->conns)
    n += LIST_ENTRY(it, struct conn, in_socket)->io.fd >= 0;
    LIST_FOR(it, &s->endpoints)
    n += LIST_ENTRY(it, struct endpoint, in_socket)->io.fd >= 0;
    return n;
}

void inspect_add(struct fmq_socket *s, struct fmq_socket_stats *out)
{
    struct fmq_counters *count = &out->count;
    count->msgs_sent += s->gone.msgs_out;
    count->msgs_recvd += s->gone.msgs_in;
    count->bytes_sent += s->gone.bytes_out;
    count->bytes_recvd += s->gone.bytes_in;
    count->reconnects += s->gone.reconnects;
    count->drops += s->drops;
    out->send_waits += s->send_waits;
    LIST_FOR(it, &s->pipes)
    {
        const struct pipe *p = LIST_ENTRY(it, struct pipe, in_socket);
        add_pipe(p, count);
        out->peers += p->ready && !p->hung_up;
    }
    LIST_FOR(it, &s->conns)
    {
        const struct conn *c = LIST_ENTRY(it, struct conn, in_socket);
        if (!c->pipe)
            add_conn(c, count);
    }
    if (!s->finished)
        out->descriptors += descriptors(s);
}

int fmq_stats(fmq_socket *s, struct fmq_socket_stats *out)
{
    memset(out, 0, sizeof(*out));
    int rc = socket_enter(s);
    if (rc)
        return rc;
    inspect_add(s, out);
    int64_t topics;
    bool any = s->ops->getopt && s->ops->getopt(s, OPT_TOPICS_COUNT, &topics) == 0;
    out->subscriptions = any ? topics : -1;
    socket_leave(s);
    return 0;
}

int fmq_ctx_stats(fmq_ctx *ctx, struct fmq_context_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (fmq_ctx_forked(ctx))
        return -FMQ_EFORKED;
    struct fmq_socket_stats sum = {0};
    mutex_lock(&ctx->lock);
    add_counters(&sum.count, &ctx->gone.count);
    sum.send_waits = ctx->gone.send_waits;
    LIST_FOR(it, &ctx->sockets)
    {
        struct fmq_socket *s = LIST_ENTRY(it, struct fmq_socket, in_ctx);
        mutex_lock(&s->lock);
        if (s != ctx->zap) {
            out->sockets += !s->finished;
            inspect_add(s, &sum);
        } else if (!s->finished) { /* the program does not know of it, but the system does */
            out->descriptors += descriptors(s);
        }
        mutex_unlock(&s->lock);
    }
    for (int i = 0; i < ctx->driver_count; i++)
        out->descriptors += driver_descriptors(ctx->drivers[i]);
    mutex_unlock(&ctx->lock);
    out->count = sum.count;
    out->send_waits = sum.send_waits;
    out->peers = sum.peers;
    out->descriptors += sum.descriptors;
    size_t spare;
    out->pool_bytes = pool_memory(ctx->pool, &spare);
    out->pool_spare = spare;
    out->queued_bytes = ctx->budget.on ? atomic_load(&ctx->budget.used) : -1;
    return 0;
}

/* ---- describing ---- */

static void describe_pipe(struct fmq_socket *s, struct pipe *p, struct fmq_peer *out)
{
    out->accepted = !p->endpoint;
    out->type = p->peer_type;
    if (p->link)
        p->link->ops->describe(p, out);
    else if (p->endpoint)
        endpoint_describe(p->endpoint, out);
    if (p->hung_up || p->close_wanted)
        out->link = FMQ_LINK_CLOSING;
    else if (p->ready)
        out->link = FMQ_LINK_READY;
    if (out->link == FMQ_LINK_CLOSING && !out->address[0] && p->remote_name)
        snprintf(out->address, sizeof(out->address), "%s", p->remote_name);
    if (p->since)
        out->since_ns = p->since;
    memcpy(out->identity, p->identity, p->identity_len);
    out->identity_len = p->identity_len;
    add_pipe(p, &out->count);
    out->count.drops = p->drops;
    if (s->ops->describe)
        s->ops->describe(s, p, out);
}

static struct fmq_peer *next_row(struct fmq_peer *rows, int max, int *count)
{
    int at = (*count)++;
    if (at >= max)
        return NULL;
    memset(&rows[at], 0, sizeof(rows[at]));
    rows[at].type = -1;
    rows[at].subscriptions = -1;
    return &rows[at];
}

int fmq_peers(fmq_socket *s, struct fmq_peer *rows, int max)
{
    int rc = socket_enter(s);
    if (rc)
        return rc;
    int count = 0;
    struct fmq_peer *row;
    LIST_FOR(it, &s->pipes)
    {
        if ((row = next_row(rows, max, &count)))
            describe_pipe(s, LIST_ENTRY(it, struct pipe, in_socket), row);
    }
    /* Accepted and not through the handshake; or connecting with IMMEDIATE, which has no pipe
     * before. */
    LIST_FOR(it, &s->conns)
    {
        const struct conn *c = LIST_ENTRY(it, struct conn, in_socket);
        if (!c->pipe && (row = next_row(rows, max, &count))) {
            conn_describe(c, row);
            add_conn(c, &row->count);
        }
    }
    LIST_FOR(it, &s->endpoints)
    {
        const struct endpoint *ep = LIST_ENTRY(it, struct endpoint, in_socket);
        if (!ep->bound && !ep->pipe && !ep->conn && (row = next_row(rows, max, &count))) {
            row->link = ep->closing ? FMQ_LINK_CLOSING : FMQ_LINK_CONNECTING;
            endpoint_describe(ep, row);
        }
    }
    socket_leave(s);
    return count;
}
