/* SPDX-License-Identifier: MIT */
#include "net/endpoint_packets.h"

#include "net/endpoint.h"
#include "net/events.h"
#include "net/packets.h"
#include "pipe/pipe_life.h"

static void packets_ended(struct packets *k)
{
    struct endpoint *ep = k->endpoint;
    conn_set_event(ep->set, ep->bound, EVENT_CLOSED, (uint64_t)k->io.fd,
                   ep->bound ? ep->name : NULL, ep->bound ? NULL : ep->name);
    endpoint_discard(ep);
}

int endpoint_open_packets(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    int rc = ep->transport->open(ep, ep->candidate);
    if (rc)
        return rc;
    struct packets *k = packets_of(ep->pipe);
    k->ended = packets_ended;
    k->endpoint = ep;
    if (ep->bound)
        conn_set_event(s, true, EVENT_LISTENING, (uint64_t)k->io.fd, ep->name, NULL);
    else
        conn_set_event(s, false, EVENT_CONNECTED, (uint64_t)k->io.fd, k->local_name, ep->name);
    return pipe_connected(ep->pipe); /* what it has opened goes with the pipe */
}
