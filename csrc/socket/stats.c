/* SPDX-License-Identifier: MIT */
#include "socket/stats.h"

#include <stdio.h>
#include <string.h>

#include "net/conn.h"
#include "net/conn_link.h"
#include "net/endpoint.h"
#include "net/lend.h"
#include "net/packets.h"
#include "pipe/option_ids.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_out.h"
#include "reactor/io_thread.h"
#include "reactor/notify.h"
#include "socket/ctx.h"

/* ---- counting ---- */

void stats_add_conn(const struct conn *c, struct fmq_counters *count)
{
    uint64_t in, out;
    conn_bytes(c, &in, &out);
    count->bytes_sent += out;
    count->bytes_recvd += in;
}

void stats_add_pipe(const struct pipe *p, struct fmq_counters *count)
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
    count->packets_lost += p->packets_lost;
    if (p->link)
        p->link->ops->add_bytes(p, count);
}

void stats_add_counters(struct fmq_counters *to, const struct fmq_counters *from)
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
    to->packets_lost += from->packets_lost;
}

static uint32_t descriptors(const struct fmq_socket *s)
{
    uint32_t n = poller_fds(s->net.pipes.reactor.poller) +
                 poller_fds(s->net.pipes.reactor.notify.outer) +
                 poller_fds(s->net.pipes.reactor.notify.own_poller) +
                 wakeup_fds(&s->net.pipes.reactor.wake) +
                 wakeup_fds(&s->net.pipes.reactor.notify.signal[0]) +
                 wakeup_fds(&s->net.pipes.reactor.notify.signal[1]);
    LIST_FOR(it, &s->net.conns)
    n += LIST_ENTRY(it, struct conn, in_set)->io.fd >= 0;
    LIST_FOR(it, &s->net.draining)
    n += LIST_ENTRY(it, struct conn, in_set)->io.fd >= 0;
    LIST_FOR(it, &s->net.endpoints)
    {
        const struct endpoint *ep = LIST_ENTRY(it, struct endpoint, in_set);
        n += ep->io.fd >= 0 || packets_of(ep->pipe);
    }
    return n;
}

void stats_add_ended(const struct fmq_socket *s, struct fmq_socket_stats *out)
{
    struct fmq_counters *count = &out->count;
    count->msgs_sent += s->net.pipes.closed_totals.msgs_out;
    count->msgs_recvd += s->net.pipes.closed_totals.msgs_in;
    count->bytes_sent += s->net.pipes.closed_totals.bytes_out;
    count->bytes_recvd += s->net.pipes.closed_totals.bytes_in;
    count->reconnects += s->net.pipes.closed_totals.reconnects;
    count->packets_lost += s->net.pipes.closed_totals.packets_lost;
    count->drops += s->net.pipes.drops;
    out->send_waits += s->send_waits;
}

void stats_add(struct fmq_socket *s, struct fmq_socket_stats *out)
{
    struct fmq_counters *count = &out->count;
    stats_add_ended(s, out);
    LIST_FOR(it, &s->net.pipes.list)
    {
        const struct pipe *p = LIST_ENTRY(it, struct pipe, in_set);
        stats_add_pipe(p, count);
        out->peers += p->ready && !p->hung_up;
    }
    LIST_FOR(it, &s->net.conns)
    {
        const struct conn *c = LIST_ENTRY(it, struct conn, in_set);
        if (!c->pipe)
            stats_add_conn(c, count);
    }
    if (!s->net.pipes.reactor.finished)
        out->descriptors += descriptors(s);
}

int fmq_stats(fmq_socket *s, struct fmq_socket_stats *out)
{
    memset(out, 0, sizeof(*out));
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    stats_add(s, out);
    int64_t topics;
    bool any = s->net.pipes.ops->getopt &&
               s->net.pipes.ops->getopt(&s->net.pipes, OPT_TOPICS_COUNT, &topics) == 0;
    out->subscriptions = any ? topics : -1;
    if (s->net.pipes.ops->stats && !socket_reactor(s)->finished)
        s->net.pipes.ops->stats(&s->net.pipes, out);
    reactor_leave(socket_reactor(s));
    return 0;
}

void stats_add_arena(struct arena_slot *slot, struct fmq_context_stats *out)
{
    lend_reclaim(slot); /* what has come back, and nobody has looked for */
    mutex_lock(&slot->lock);
    if (slot->arena)
        out->arena_bytes = arena_used(slot->arena, &out->arena_blocks);
    out->arena_lent = slot->lent;
    out->arena_fallbacks = slot->fallbacks;
    mutex_unlock(&slot->lock);
}

int fmq_ctx_stats(fmq_ctx *ctx, struct fmq_context_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (fmq_ctx_forked(ctx))
        return -FMQ_EFORKED;
    struct fmq_socket_stats sum = {0};
    mutex_lock(&ctx->lock);
    stats_add_counters(&sum.count, &ctx->closed_totals.count);
    sum.send_waits = ctx->closed_totals.send_waits;
    LIST_FOR(it, &ctx->sockets)
    {
        struct fmq_socket *s = LIST_ENTRY(it, struct fmq_socket, in_ctx);
        mutex_lock(&s->net.pipes.reactor.lock);
        if (s != ctx->zap) {
            out->sockets += !s->net.pipes.reactor.finished;
            stats_add(s, &sum);
        } else if (!s->net.pipes.reactor
                        .finished) { /* the program does not know of it, but the system does */
            out->descriptors += descriptors(s);
        }
        mutex_unlock(&s->net.pipes.reactor.lock);
    }
    for (int i = 0; i < ctx->thread_count; i++)
        out->descriptors += io_thread_descriptors(ctx->threads[i]);
    out->descriptors += meeting_descriptors(&ctx->meeting);
    mutex_unlock(&ctx->lock);
    out->count = sum.count;
    out->send_waits = sum.send_waits;
    out->peers = sum.peers;
    out->descriptors += sum.descriptors;
    size_t spare;
    out->pool_bytes = pool_memory(ctx->pool, &spare);
    out->pool_spare = spare;
    out->shm_connections = (uint32_t)atomic_load(&ctx->meeting.taken);
    out->shm_bytes = (uint64_t)atomic_load(&ctx->meeting.bytes);
    stats_add_arena(&ctx->arena, out);
    out->queued_bytes = ctx->budget.on ? atomic_load(&ctx->budget.used) : -1;
    return 0;
}

/* ---- describing ---- */

void stats_describe_pipe(struct fmq_socket *s, struct pipe *p, struct fmq_peer *out)
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
    stats_add_pipe(p, &out->count);
    out->count.drops = p->drops;
    out->full = p->full && !p->hung_up;
    out->paused = p->paused;
    if (s->net.pipes.ops->describe)
        s->net.pipes.ops->describe(&s->net.pipes, p, out);
}

void stats_init_peer(struct fmq_peer *row)
{
    memset(row, 0, sizeof(*row));
    row->type = -1;
    row->subscriptions = -1;
    row->carrier_why = "";
}

static struct fmq_peer *next_row(struct fmq_peer *rows, int max, int *count)
{
    int at = (*count)++;
    if (at >= max)
        return NULL;
    stats_init_peer(&rows[at]);
    return &rows[at];
}

int fmq_peers(fmq_socket *s, struct fmq_peer *rows, int max)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    int count = 0;
    struct fmq_peer *row;
    LIST_FOR(it, &s->net.pipes.list)
    {
        if ((row = next_row(rows, max, &count)))
            stats_describe_pipe(s, LIST_ENTRY(it, struct pipe, in_set), row);
    }
    /* Accepted and not through the handshake; or connecting with IMMEDIATE, which has no pipe
     * before. */
    LIST_FOR(it, &s->net.conns)
    {
        const struct conn *c = LIST_ENTRY(it, struct conn, in_set);
        if (!c->pipe && (row = next_row(rows, max, &count))) {
            conn_describe(c, row);
            stats_add_conn(c, &row->count);
        }
    }
    LIST_FOR(it, &s->net.endpoints)
    {
        const struct endpoint *ep = LIST_ENTRY(it, struct endpoint, in_set);
        if (!ep->bound && !ep->pipe && !ep->conn && (row = next_row(rows, max, &count))) {
            row->link = ep->closing ? FMQ_LINK_CLOSING : FMQ_LINK_CONNECTING;
            endpoint_describe(ep, row);
        }
    }
    reactor_leave(socket_reactor(s));
    return count;
}

/* ---- what keeps a context from ending ---- */

/* Messages that wait to be sent. Lock held. */
static uint64_t unsent(struct fmq_socket *s)
{
    uint64_t total = 0;
    LIST_FOR(n, &s->net.pipes.list)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
        if (!p->direct)
            total += pipe_out_msgs(p);
    }
    return total;
}

int fmq_ctx_pending(fmq_ctx *ctx, struct fmq_pending *rows, int max)
{
    int count = 0;
    if (fmq_ctx_forked(ctx))
        return 0;
    mutex_lock(&ctx->lock);
    LIST_FOR(n, &ctx->sockets)
    {
        struct fmq_socket *s = LIST_ENTRY(n, struct fmq_socket, in_ctx);
        if (s == ctx->zap)
            continue;
        mutex_lock(&s->net.pipes.reactor.lock);
        if (!s->net.pipes.reactor.finished) {
            if (count < max) {
                rows[count].type = s->net.pipes.type;
                rows[count].open = !s->net.pipes.reactor.closed;
                rows[count].messages = unsent(s);
                rows[count].linger = s->net.pipes.opt.linger;
                snprintf(rows[count].endpoint, sizeof(rows[count].endpoint), "%.127s",
                         s->net.last_endpoint);
            }
            count++;
        }
        mutex_unlock(&s->net.pipes.reactor.lock);
    }
    mutex_unlock(&ctx->lock);
    return count;
}
