/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fastmq.h"
#include "net/conn.h"
#include "net/conn_new.h"
#include "net/conn_read.h"
#include "net/endpoint.h"
#include "net/endpoint_close.h"
#include "net/endpoint_packets.h"
#include "net/events.h"
#include "net/packets.h"
#include "net/security.h"
#include "net/trouble.h"
#include "os/net.h"
#include "pipe/pattern_ops.h"

/* How long a listener that ran out of descriptors rests, so that it does not burn a core. */
#define ACCEPT_REST_NS (100 * NS_PER_MS)
/* Connections taken from a listener in one go, so that a flood of them cannot starve the others. */
#define ACCEPT_BATCH 32

/* ---- accepting ---- */

/* The descriptors that there were not may be there by now. */
static void listener_timer(struct timer *t, uint64_t now)
{
    struct endpoint *ep = LIST_ENTRY(t, struct endpoint, timer);
    ep->accept_paused = io_watch(conn_set_reactor(ep->set), &ep->io, POLLER_IN) != 0;
    if (ep->accept_paused)
        timer_set(conn_set_reactor(ep->set), &ep->timer, now + ACCEPT_REST_NS);
}

static void accept_all(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    for (int i = 0; i < ACCEPT_BATCH && !s->pipes.reactor.closed && !ep->io.dead; i++) {
        struct net_addr peer;
        int fd = net_accept(ep->io.fd, &peer);
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            conn_set_event(s, ep->bound, EVENT_ACCEPT_FAILED, (uint64_t)-fd, ep->name, NULL);
            trouble_note(s, TROUBLE_ACCEPT, (uint32_t)-fd, true, ep->name, NULL);
            if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
                ep->accept_paused = true;
                io_watch(conn_set_reactor(s), &ep->io, 0);
                timer_set(conn_set_reactor(s), &ep->timer, clock_now() + ACCEPT_REST_NS);
                return;
            }
            continue; /* that connection died in the queue */
        }
        char name[256], address[128];
        int rc = security_is_kept(ep->security, &s->pipes.opt, s->pipes.ops->raw) ? 0 : -EINVAL;
        if (rc == 0)
            rc = ep->transport->peer_address(fd, &peer, address, sizeof(address));
        if (rc == 0)
            rc = ep->transport->accepted(ep, fd, &peer);
        if (rc) {
            conn_set_event(s, ep->bound, EVENT_ACCEPT_FAILED, (uint64_t)-rc, ep->name, NULL);
            trouble_note(s, TROUBLE_ACCEPT, (uint32_t)-rc, true, ep->name, NULL);
            net_close(fd);
            continue;
        }
        ep->transport->peer_name(&peer, name, sizeof(name));
        conn_set_event(s, ep->bound, EVENT_ACCEPTED, (uint64_t)fd, ep->name, name);
        const struct conn_ends ends = {
            .local_name = ep->name,
            .remote_name = name,
            .peer_name = name,
            .address = address,
            .peer = &peer,
        };
        struct stream *stream = NULL;
        if (ep->transport->stream && ep->transport->stream(ep, fd, &stream)) {
            net_close(fd);
            fd = -1;
        }
        struct conn *c = fd < 0 ? NULL : conn_new(s, ep, fd, stream, NULL, &ends);
        if (!c) {
            conn_set_event(s, ep->bound, EVENT_ACCEPT_FAILED, ENOMEM, ep->name, name);
            continue;
        }
        /* The peer has often sent something already: with its signature known, the greeting goes
         * out in fewer pieces, here and there. Releases the lock meanwhile. */
        conn_spin(c, 0);
    }
}

static void listener_ready(struct io *io, uint32_t events)
{
    (void)events;
    accept_all(LIST_ENTRY(io, struct endpoint, io));
}

/* ---- listening ---- */

static int listen_direct(struct conn_set *s, const struct transport_ops *tr, const char *text,
                         const char *rest)
{
    int rc = tr->bind(s, rest);
    if (rc >= 0)
        snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", text);
    return rc;
}

static int listen_stream(struct conn_set *s, const struct transport_ops *tr, const char *text,
                         const char *rest)
{
    if (!s->pipes.reactor.io_thread)
        return -FMQ_EMTHREAD;
    int rc = security_check(&s->pipes.opt, s->pipes.ops->raw);
    if (rc)
        return rc;
    struct endpoint *ep = endpoint_new(s, text, true, listener_ready, listener_timer);
    if (!ep)
        return -ENOMEM;
    ep->transport = tr;
    ep->security = security_new(&s->pipes.opt);
    if (!ep->security) {
        rc = -ENOMEM;
        goto fail;
    }
    char detail[256] = "";
    rc = tr->parse(&ep->address, rest, true, s->pipes.opt.ipv6, detail);
    if (rc) {
        if (detail[0])
            detail_set("%s", detail);
        goto fail;
    }
    int fd = tr->listen(ep, &ep->address);
    ep->io.fd = fd < 0 ? -1 : fd;
    struct net_addr own;
    char name[512];
    rc = fd < 0 ? fd : tr->local_name(fd, &own, name, sizeof(name));
    if (rc) {
        conn_set_event(s, ep->bound, EVENT_BIND_FAILED, (uint64_t)-rc, text, NULL);
        goto fail;
    }
    strncat(name, ep->address.path, sizeof(name) - strlen(name) - 1);
    rc = endpoint_rename(ep, name);
    if (rc == 0)
        rc = io_watch(conn_set_reactor(s), &ep->io, POLLER_IN);
    if (rc)
        goto fail;
    list_push_back(&s->endpoints, &ep->in_set);
    snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", ep->name);
    conn_set_event(s, ep->bound, EVENT_LISTENING, (uint64_t)fd, ep->name, NULL);
    return 0;
fail:
    endpoint_free(ep);
    return rc;
}

static int listen_packets(struct conn_set *s, const struct transport_ops *tr, const char *text,
                          const char *rest)
{
    if (!s->pipes.reactor.io_thread)
        return -FMQ_EMTHREAD;
    int rc = security_check(&s->pipes.opt, true);
    if (rc)
        return rc;
    struct endpoint *ep = endpoint_new(s, text, true, NULL, NULL);
    if (!ep)
        return -ENOMEM;
    ep->transport = tr;
    char detail[256] = "";
    rc = tr->parse(&ep->address, rest, true, s->pipes.opt.ipv6, detail);
    if (rc) {
        if (detail[0])
            detail_set("%s", detail);
        goto fail;
    }
    rc = endpoint_make_pipe(ep);
    if (rc)
        goto fail;
    list_push_back(&s->endpoints, &ep->in_set);
    rc = endpoint_open_packets(ep);
    if (rc) {
        if (!packets_of(ep->pipe))
            conn_set_event(s, true, EVENT_BIND_FAILED, (uint64_t)-rc, text, NULL);
        endpoint_close(ep, true);
        return rc;
    }
    snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", ep->name);
    return 0;
fail:
    endpoint_free(ep);
    return rc;
}

int endpoint_bind(struct conn_set *s, const struct transport_ops *tr, const char *text,
                  const char *rest)
{
    int rc = endpoint_check_type(s, tr, true);
    if (rc)
        return rc;
    return tr->bind   ? listen_direct(s, tr, text, rest)
           : tr->open ? listen_packets(s, tr, text, rest)
                      : listen_stream(s, tr, text, rest);
}
