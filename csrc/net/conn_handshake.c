/* SPDX-License-Identifier: MIT */
#include "net/conn_handshake.h"

#include <string.h>

#include "net/conn.h"
#include "net/conn_end.h"
#include "net/conn_shm.h"
#include "net/conn_tick.h"
#include "net/conn_write.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "net/known_peers.h"
#include "net/retry.h"
#include "net/trouble.h"
#include "pipe/pipe_life.h"

void conn_in_handshake(struct conn *c)
{
    if (c->set->known && c->endpoint && !c->endpoint->bound && !c->peer.cfg.ws &&
        c->peer.version_major >= 3)
        known_peers_add(c->set->known, endpoint_peer(c->endpoint));
}

int conn_on_ready(struct conn *c)
{
    struct conn_set *s = c->set;
    struct peer *peer = &c->peer;
    if (peer->remote.meta &&
        meta_set(peer->remote.meta, "Peer-Address", 12, c->address, strlen(c->address)))
        return -ENOMEM;
    if (!c->was_ready) /* else it failed for want of memory, and is tried again */
        conn_set_event(s, c->bound, EVENT_HANDSHAKE_SUCCEEDED, 0, c->local_name, c->remote_name);
    c->was_ready = true;

    struct pipe *p = c->pipe;
    bool fresh = !p;
    if (fresh) {
        int err = 0;
        p = pipe_new(&s->pipes, &err);
        if (!p)
            return err;
        c->pipe = p;
        p->link = &c->link;
        if (c->endpoint && !c->endpoint->bound) {
            struct endpoint *ep = c->endpoint;
            endpoint_hold_pipe(ep, p);
            memcpy(p->identity, ep->identity, ep->identity_len);
            p->identity_len = ep->identity_len;
            p->identity_given = ep->identity_len > 0;
        }
    }
    if (!p->identity_given) {
        memcpy(p->identity, peer->remote.identity, peer->remote.identity_len);
        p->identity_len = peer->remote.identity_len;
    }
    p->peer_type = peer->remote.type;
    p->misfit = false;
    meta_unref(p->meta);
    p->meta = peer->remote.meta;
    if (p->meta)
        meta_ref(p->meta);
    if (fresh) {
        int rc = pipe_attach(p);
        if (rc) {
            p->link = NULL;
            c->pipe = NULL;
            if (p->endpoint)
                endpoint_release_pipe(p->endpoint);
            pipe_free(p);
            return rc;
        }
    }
    if (c->endpoint && !c->endpoint->bound) {
        retry_reset(c->endpoint);
        trouble_over(s, c->endpoint->name, false);
    }
    int rc = 0;
    if (p->hung_up)
        p->ready = true; /* only to send what is left */
    else
        rc = pipe_connected(p);
    conn_update_lone(s);
    if (rc)
        return rc;
    stream_admitted(c->stream);
    conn_shm_ready(c);
    conn_tick(c, clock_now()); /* the first PING needs the pipe's queue */
    c->link.flush_pending = true;
    conn_want_flush(c);
    return 0;
}

void conn_break_off(struct conn *c)
{
    if (conn_has_reason(c))
        conn_write(c);
    conn_end(c, CONN_END_BROKEN, 0);
}

/* Asks an authenticator whether the peer may come in. It is not read meanwhile (paused), so that it
 * cannot pile up bytes here. */
void conn_authenticate(struct conn *c)
{
    c->input_waits = peer_buffered(&c->peer);
    int rc = c->set->listener->authenticate(c);
    if (rc > 0)
        peer_auth(&c->peer, NULL);
    else if (rc < 0)
        peer_fail(&c->peer, PEER_FAIL_NO_DETAIL, (uint32_t)-rc);
}

void conn_auth_done(struct conn *c, enum conn_auth_result result, uint32_t code,
                    struct meta *metadata)
{
    if (conn_is_over(c) || c->end_wanted != CONN_END_NONE || !peer_auth_pending(&c->peer))
        return;
    switch (result) {
    case CONN_AUTH_OK:
        peer_auth(&c->peer, metadata);
        conn_resume(c);
        return;
    case CONN_AUTH_DENIED:
        peer_refuse(&c->peer, code);
        break;
    case CONN_AUTH_BAD_REPLY:
        peer_fail(&c->peer, PEER_FAIL_PROTOCOL, code);
        break;
    case CONN_AUTH_NO_REPLY:
        peer_fail(&c->peer, PEER_FAIL_NO_DETAIL, code);
        break;
    }
    conn_break_off(c);
}
