/* SPDX-License-Identifier: MIT */
#include "transport/inproc_meet.h"

#include <string.h>

#include "net/endpoint.h"
#include "net/events.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"
#include "transport/inproc_link.h"
#include "transport/inproc_pipe.h"
#include "wire/peer.h"

void inproc_again(struct inproc_link *l, int side, unsigned events)
{
    mutex_lock(&l->lock);
    inproc_note(l, side, events, true);
    mutex_unlock(&l->lock);
}

void inproc_report_mismatch(struct conn_set *s, int side, const struct inproc_link *l)
{
    conn_set_event(s, side == 1, EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZMTP_INVALID_METADATA,
                   l->uri, l->uri);
}

bool inproc_attach_bound(struct conn_set *s, struct inproc_link *l)
{
    int err = 0;
    bool over = s->pipes.reactor.closed || s->pipes.reactor.finished;
    struct pipe *p = over ? NULL : pipe_new(&s->pipes, &err);
    if (!p && !over)
        return false;
    if (!p) {
        mutex_lock(&l->lock);
        struct conn_set *held = l->end[1].set;
        l->end[1].closed = true;
        l->end[1].set = NULL;
        inproc_note(l, 0, EV_CLOSED, true);
        mutex_unlock(&l->lock);
        if (held)
            reactor_unref(conn_set_reactor(held));
        inproc_link_unref(l); /* the reference that the pipe would have had */
        return true;
    }
    p->link = &l->link;
    p->direct = true;
    p->side = 1;
    p->budget = l->budget;
    mutex_lock(&l->lock);
    l->end[1].pipe = p;
    inproc_describe_end(&l->end[1], s);
    inproc_set_hwm(l, true);
    inproc_note(l, 0, EV_WRITABLE, false); /* it looks at its limits again */
    memcpy(p->identity, l->end[0].identity, l->end[0].identity_len);
    p->identity_len = l->end[0].identity_len;
    mutex_unlock(&l->lock);
    pipe_set_limits(p);
    p->peer_type = l->type;
    int rc = pipe_attach(p);
    if (rc == -ENOMEM) {
        mutex_lock(&l->lock);
        l->end[1].pipe = NULL;
        mutex_unlock(&l->lock);
        p->link = NULL;
        p->direct = false;
        pipe_free(p);
        return false;
    }
    if (rc == 0 && (rc = pipe_connected(p)) == -ENOMEM) {
        inproc_again(l, 1, EV_CONNECTED);
        rc = 0;
    }
    if (rc)
        pipe_free(p);
    else if (l->mismatched)
        inproc_report_mismatch(s, 1, l);
    return true;
}

/* Takes over all that is queued; false: there was no memory for the rest. */
static bool drain_all(struct inproc_link *l, struct pipe *p)
{
    uint32_t before = p->in.msgs;
    mutex_lock(&l->lock);
    struct msgring *q = &l->end[p->side].queue;
    while (q->len && msgring_reserve(&p->in) == 0) {
        struct msg m;
        msgring_pop(q, &m);
        msgring_put(&p->in, &m);
    }
    bool all = q->len == 0;
    mutex_unlock(&l->lock);
    pipe_arrived(p, before);
    return all;
}

void inproc_peer_left(struct inproc_link *l, int side, struct pipe *p)
{
    if (!drain_all(l, p)) {
        inproc_again(l, side, EV_CLOSED);
        return;
    }
    if (p->endpoint)
        endpoint_discard(p->endpoint);
    pipe_hangup(p);
}

/* Whether the other end has written since its reader took over what there was. */
static bool has_newer(struct link_end *e)
{
    mutex_lock(&e->link->lock);
    bool newer = e->queue.len > 0;
    mutex_unlock(&e->link->lock);
    return newer;
}

void inproc_link_run(struct reactor *r, struct cmd *cmd)
{
    struct conn_set *s = conn_set_of(r);
    struct link_end *e = LIST_ENTRY(cmd, struct link_end, cmd);
    /* Which end it is follows from which socket is asked, unless both are one socket's. */
    struct inproc_link *l = e->link;
    int side = e == &l->end[1];
    mutex_lock(&l->lock);
    unsigned events = e->events;
    e->events = 0;
    e->posted = false;
    struct pipe *p = e->pipe;
    mutex_unlock(&l->lock);

    if (events & EV_ATTACH) {
        if (!inproc_attach_bound(s, l)) {
            inproc_again(l, side, events);
            inproc_link_unref(l);
            return;
        }
        p = e->pipe;
    }
    if (p && p->direct && !s->pipes.reactor.finished) {
        pipe_set_limits(p); /* the link's may have changed */
        if (events & EV_CONNECTED && !p->ready && !p->hung_up) {
            mutex_lock(&l->lock);
            if (!p->identity_given) {
                memcpy(p->identity, l->end[!side].identity, l->end[!side].identity_len);
                p->identity_len = l->end[!side].identity_len;
            }
            if (side == 0 && l->end[1].set)
                p->peer_type = l->end[1].set->pipes.type;
            mutex_unlock(&l->lock);
            if (side == 0 && l->mismatched)
                inproc_report_mismatch(s, 0, l);
            int rc = pipe_connected(p);
            if (rc == -ENOMEM)
                inproc_again(l, side, EV_CONNECTED);
            else if (rc)
                pipe_close(p);
        }
        if (events & EV_READABLE && e->conflate && has_newer(e))
            for (uint32_t old = p->in.msgs; old; old--) {
                pipe_skip(p);
                pipe_count_drops(p, 1, DROP_REPLACED);
            }
        if (events & EV_READABLE && p->in.len == 0) {
            inproc_refill(p);
            pipe_arrived(p, 0);
        }
        if (events & EV_WRITABLE && p->full && !p->hung_up)
            pipe_drained(p);
        if (events & EV_CLOSED && !p->hung_up)
            inproc_peer_left(l, side, p);
    }
    inproc_link_unref(l);
}
