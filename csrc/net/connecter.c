/* SPDX-License-Identifier: MIT */
#include "net/connecter.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fastmq.h"
#include "net/conn.h"
#include "net/conn_new.h"
#include "net/endpoint.h"
#include "net/endpoint_close.h"
#include "net/endpoint_packets.h"
#include "net/events.h"
#include "net/known_peers.h"
#include "net/packets.h"
#include "net/retry.h"
#include "net/security.h"
#include "net/trouble.h"
#include "os/net.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "reactor/resolver.h"

static void attempt(struct endpoint *ep);

/* ---- an attempt ---- */

static void refused(struct endpoint *ep, int error)
{
    struct conn_set *s = ep->set;
    int fd = ep->io.fd;
    ep->error = error;
    endpoint_close_io(ep);
    if (fd >= 0)
        conn_set_event(s, ep->bound, EVENT_CLOSED, (uint64_t)fd, NULL, ep->name);
    if (++ep->candidate < ep->address.count) {
        attempt(ep);
        return;
    }
    if (error == ECONNREFUSED && (s->pipes.opt.reconnect_stop & STOP_REFUSED)) {
        trouble_note(s, TROUBLE_CONNECT, (uint32_t)error, false, ep->name, NULL);
        endpoint_end_pipe(ep);
        endpoint_discard(ep);
        s->pipes.reactor.work |= WORK_CLOSE;
        return;
    }
    retry_schedule(ep);
}

/* Not where an attempt that fails would be the last one. */
static bool peer_is_known(const struct endpoint *ep, const struct net_addr *peer)
{
    const struct conn_set *s = ep->set;
    const struct option_values *o = &s->pipes.opt;
    return s->known && !ep->transport->stream && o->reconnect_ivl > 0 && !o->reconnect_stop &&
           !ep->closing && known_peers_has(s->known, peer);
}

static void established(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    struct net_addr own, peer = ep->address.at[ep->candidate];
    char local[256], name[256], address[128];
    int fd = ep->io.fd;
    bool raw = ep->pipe ? ep->pipe->raw : s->pipes.ops->raw;
    struct stream *stream = NULL;
    int rc = security_is_kept(ep->security, &s->pipes.opt, raw) ? 0 : -EINVAL;
    (void)ep->transport->local_name(fd, &own, local, sizeof(local)); /* only to be reported */
    net_reached(&peer, &own);
    if (rc == 0)
        rc = ep->transport->peer_address(fd, &peer, address, sizeof(address));
    if (rc == 0 && ep->transport->stream)
        rc = ep->transport->stream(ep, fd, &stream);
    if (rc) {
        refused(ep, -rc);
        return;
    }
    timer_cancel(conn_set_reactor(s), &ep->timer);
    io_watch(conn_set_reactor(s), &ep->io, 0);
    ep->io.fd = -1;
    ep->connecting = false;
    ep->error = 0;
    trouble_over(s, ep->name, true);
    ep->transport->peer_name(&peer, name, sizeof(name));
    conn_set_event(s, ep->bound, EVENT_CONNECTED, (uint64_t)fd, local, ep->name);
    const struct conn_ends ends = {
        .local_name = local,
        .remote_name = ep->name,
        .peer_name = name,
        .address = address,
        .own = &own,
        .peer = &peer,
        .known = peer_is_known(ep, endpoint_peer(ep)),
    };
    ep->conn = conn_new(s, ep, fd, stream, ep->pipe, &ends);
    if (!ep->conn)
        retry_schedule(ep);
    else if (ep->conn->io.dead)
        ep->conn = NULL;
}

static void attempt(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    bool connected = false;
    if (ep->transport->open) {
        int rc = endpoint_open_packets(ep);
        if (rc && packets_of(ep->pipe))
            endpoint_close(ep, true);
        else if (rc)
            refused(ep, -rc);
        return;
    }
    int fd = ep->transport->connect(ep, &ep->address, ep->candidate, &connected);
    if (fd < 0) {
        refused(ep, -fd);
        return;
    }
    ep->io.fd = fd;
    ep->connecting = true;
    if (connected) {
        established(ep);
        return;
    }
    conn_set_event(s, ep->bound, EVENT_CONNECT_DELAYED, EINPROGRESS, NULL, ep->name);
    /* Within a host the other end has answered meanwhile: asking once more spares the poller. */
    const struct net_addr *to = &ep->address.at[ep->candidate];
    int rc = net_is_loopback(to) ? net_connect(fd, to) : 0;
    if (rc < 0) {
        refused(ep, -rc);
        return;
    }
    if (rc == 1) {
        established(ep);
        return;
    }
    if (io_watch(conn_set_reactor(s), &ep->io, POLLER_OUT)) {
        refused(ep, ENOMEM);
        return;
    }
    if (s->pipes.opt.connect_timeout > 0)
        timer_set(conn_set_reactor(s), &ep->timer,
                  clock_now() + (uint64_t)s->pipes.opt.connect_timeout * NS_PER_MS);
}

/* ---- a round of attempts ---- */

static void resolved(struct reactor *r, struct cmd *cmd)
{
    struct resolve_job *job = LIST_ENTRY(cmd, struct resolve_job, done);
    struct endpoint *ep = job->owner;
    if (ep && !r->finished) {
        ep->job = NULL;
        if (job->result > 0) {
            memcpy(ep->address.at, job->out, sizeof(job->out[0]) * (size_t)job->result);
            ep->address.count = job->result;
            ep->address.by_name = true;
            ep->candidate = 0;
            attempt(ep);
        } else {
            ep->error = -job->result;
            retry_schedule(ep);
        }
    }
    mem_free(job);
}

/* Begins a round of attempts: names are looked up anew each time. */
static void start(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    if (ep->conn || ep->job || ep->connecting || packets_of(ep->pipe))
        return;
    ep->candidate = 0;
    if (ep->address.count > 0 && !ep->address.by_name) {
        attempt(ep);
        return;
    }
    struct resolve_job *job = mem_zalloc(sizeof(*job));
    if (!job) {
        ep->error = ENOMEM;
        retry_schedule(ep);
        return;
    }
    job->done.run = resolved;
    job->reactor = conn_set_reactor(s);
    job->owner = ep;
    job->port = ep->address.port;
    job->ipv6 = s->pipes.opt.ipv6;
    snprintf(job->host, sizeof(job->host), "%s", ep->address.host);
    ep->job = job;
    int rc = resolver_submit(s->resolver, job);
    if (rc) {
        ep->job = NULL;
        ep->error = -rc;
        mem_free(job);
        retry_schedule(ep);
    }
}

static void connecter_timer(struct timer *t, uint64_t now)
{
    struct endpoint *ep = LIST_ENTRY(t, struct endpoint, timer);
    (void)now;
    if (ep->connecting)
        refused(ep, ETIMEDOUT);
    else
        start(ep);
}

static void connecter_ready(struct io *io, uint32_t events)
{
    (void)events;
    struct endpoint *ep = LIST_ENTRY(io, struct endpoint, io);
    int rc = net_connect_result(ep->io.fd);
    if (rc)
        refused(ep, -rc);
    else
        established(ep);
}

/* ---- connecting ---- */

static bool is_connected_to(struct conn_set *s, const char *text)
{
    LIST_FOR(n, &s->endpoints)
    {
        const struct endpoint *ep = LIST_ENTRY(n, struct endpoint, in_set);
        if (!ep->bound && !ep->closing && endpoint_is_named(ep, text))
            return true;
    }
    return false;
}

/* The network may come back, or memory. */
static bool may_pass(int error)
{
    switch (-error) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return true;
    default:
        return false;
    }
}

int endpoint_connect(struct conn_set *s, const struct transport_ops *tr, const char *text,
                     const char *rest)
{
    int rc = endpoint_check_type(s, tr, false);
    if (rc)
        return rc;
    if (!tr->bind) {
        if (!s->pipes.reactor.io_thread)
            return -FMQ_EMTHREAD;
        rc = security_check(&s->pipes.opt, s->pipes.ops->raw || tr->open);
        if (rc)
            return rc;
    }
    if (s->pipes.ops->dedup_connect && is_connected_to(s, text))
        return 0;
    struct endpoint *ep = endpoint_new(s, text, false, connecter_ready, connecter_timer);
    if (!ep)
        return -ENOMEM;
    memcpy(ep->identity, s->next_identity, s->next_identity_len);
    ep->identity_len = s->next_identity_len;
    ep->transport = tr;
    if (!tr->bind) {
        char detail[256] = "";
        ep->security = security_new(&s->pipes.opt);
        if (!ep->security) {
            rc = -ENOMEM;
            goto fail;
        }
        rc = tr->parse(&ep->address, rest, false, s->pipes.opt.ipv6, detail);
        if (rc && detail[0])
            detail_set("%s", detail);
    }
    if (rc)
        goto fail;
    if (tr->bind || tr->open || !s->pipes.opt.immediate) {
        rc = endpoint_make_pipe(ep);
        if (rc)
            goto fail;
    }
    s->next_identity_len = 0;
    list_push_back(&s->endpoints, &ep->in_set);
    snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", text);
    if (tr->bind) {
        rc = tr->attach(s, ep->pipe, rest);
        if (rc < 0) {
            struct pipe *p = ep->pipe;
            endpoint_release_pipe(ep);
            pipe_free(p);
            endpoint_discard(ep);
        }
        return rc;
    }
    /* What is wrong with an address of packets shows at once, since nobody has to answer. */
    if (tr->open && ep->address.count > 0 && (rc = endpoint_open_packets(ep)) != 0 &&
        !may_pass(rc)) {
        endpoint_close(ep, true);
        return rc;
    }
    if (rc)
        retry_schedule(ep);
    else
        start(ep);
    return 0;
fail:
    endpoint_free(ep);
    return rc;
}
