/* SPDX-License-Identifier: MIT */
#include "net/conn_end.h"

#include "base/alloc.h"
#include "net/conn.h"
#include "net/conn_blocks.h"
#include "net/conn_shm.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "net/known_peers.h"
#include "net/retry.h"
#include "net/shm_stream.h"
#include "net/trouble.h"
#include "os/net.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"
#include "wire/types.h"

/* Input that is dropped in one go. */
#define DRAIN_ROUNDS 8
/* Between two looks at what the peer's kernel has taken: nothing tells of that. */
#define DRAIN_LOOK_NS NS_PER_MS
/* How long a peer may take nothing of what the kernel has for it. Nobody waits for the program at
 * the other end: this is for the network, whose lost packets are sent again after 200 ms. */
#define DRAIN_STUCK_NS NS_PER_S

static bool by_us(enum conn_end how)
{
    return how == CONN_END_REFUSED || how == CONN_END_CLOSED;
}

/* For those who look into the socket later. */
static void note_end(const struct conn *c, enum conn_end how, int error)
{
    const struct peer *peer = &c->peer;
    enum trouble_kind kind;
    uint32_t code = peer->failure_code;
    if (how == CONN_END_CLOSED)
        return;
    if (peer->failure == PEER_FAIL_PROTOCOL) {
        kind = c->was_ready ? TROUBLE_VIOLATION : TROUBLE_PROTOCOL;
        if (!c->was_ready && !type_accepts(peer->cfg.socket_type, peer->remote.type)) {
            kind = TROUBLE_TYPE;
            code = (uint32_t)peer->remote.type;
        }
    } else if (peer->failure == PEER_FAIL_AUTH) {
        kind = TROUBLE_AUTH;
    } else if (c->pipe && c->pipe->violation) {
        kind = TROUBLE_VIOLATION;
        code = c->pipe->violation;
    } else if (how == CONN_END_REFUSED) {
        kind = TROUBLE_REFUSED;
        code = (uint32_t)error;
    } else if (!c->was_ready) {
        kind = TROUBLE_HANDSHAKE;
        code = code ? code : (uint32_t)error;
    } else if (!c->bound) {
        kind = TROUBLE_LOST;
        code = code ? code : (uint32_t)error;
    } else {
        return; /* clients come and go */
    }
    trouble_note(c->set, kind, code, c->bound, c->bound ? c->local_name : c->remote_name,
                 c->peer_name);
}

static void tell_end(struct conn *c, enum conn_end how, int error)
{
    const struct peer *peer = &c->peer;
    uint32_t event = 0;
    uint64_t value = peer->failure_code;
    if (!c->was_ready && peer->failure == PEER_FAIL_PROTOCOL) {
        event = EVENT_HANDSHAKE_FAILED_PROTOCOL;
    } else if (!c->was_ready && peer->failure == PEER_FAIL_AUTH) {
        event = EVENT_HANDSHAKE_FAILED_AUTH;
    } else if (!c->was_ready && !by_us(how)) {
        event = EVENT_HANDSHAKE_FAILED_NO_DETAIL;
        if (peer->failure != PEER_FAIL_NO_DETAIL)
            value = (uint64_t)(error ? error : EPIPE);
    }
    if (c->was_ready && peer->failure == PEER_FAIL_PROTOCOL) {
        event = EVENT_PROTOCOL_VIOLATION;
    } else if (c->pipe && c->pipe->violation) {
        event = EVENT_PROTOCOL_VIOLATION;
        value = c->pipe->violation;
    }
    if (event)
        conn_set_event(c->set, c->bound, event, value, c->local_name, c->remote_name);
    if (how != CONN_END_CLOSED)
        conn_set_event(c->set, c->bound, EVENT_DISCONNECTED, (uint64_t)c->io.fd, c->local_name,
                       c->remote_name);
}

/* Its counters move on: to its pipe, or to the socket where the handshake was not completed. */
static void count_closed(struct conn *c)
{
    struct pipe *p = c->pipe;
    uint64_t in, out;
    conn_bytes(c, &in, &out);
    if (!p) {
        c->set->pipes.closed_totals.bytes_in += in;
        c->set->pipes.closed_totals.bytes_out += out;
        return;
    }
    p->bytes_in += in;
    p->bytes_out += out;
    mem_free(p->remote_name);
    p->remote_name = c->remote_name; /* nothing more is reported of the connection */
    c->remote_name = NULL;
}

/*
 * A kernel answers input that nobody reads with a reset, when a descriptor is closed and after
 * that, and drops what it has sent and the peer has not acknowledged. So a connection that sent all
 * it had goes on for a while where some of that is not acknowledged: no more is sent, what comes is
 * dropped, until the peer's kernel has all, or the peer ends too, or takes nothing for long, or
 * LINGER is over. Most peers end as soon as they have read the end of the stream.
 */

static void drained(struct conn *c)
{
    struct conn_set *s = c->set;
    timer_cancel(conn_set_reactor(s), &c->timer);
    list_remove_walked(&s->pipes.walks, &c->in_set);
    io_free_later(conn_set_reactor(s), &c->io);
    s->pipes.reactor.work |= WORK_CLOSE;
}

void conn_drop(struct conn *c)
{
    drained(c);
}

/* Drops what has come. False: the peer's end, or an error. */
static bool drop_input(struct conn *c)
{
    uint8_t dropped[16384];
    for (int i = 0; i < DRAIN_ROUNDS; i++) {
        ssize_t n = net_recv(c->io.fd, dropped, sizeof(dropped));
        if (n == -EAGAIN)
            return true;
        if (n <= 0)
            return false;
    }
    return true; /* the poller tells of the rest */
}

static void drain_ready(struct io *io, uint32_t events)
{
    struct conn *c = LIST_ENTRY(io, struct conn, io);
    (void)events;
    if (!drop_input(c))
        drained(c);
}

static void drain_timer(struct timer *t, uint64_t now)
{
    struct conn *c = LIST_ENTRY(t, struct conn, timer);
    int unacked = net_unacked(c->io.fd);
    if (unacked != c->unacked) {
        c->unacked = unacked;
        c->drain_until = now + DRAIN_STUCK_NS;
    }
    if (unacked <= 0 || now >= c->drain_until || now >= c->drain_limit)
        drained(c);
    else
        timer_set(conn_set_reactor(c->set), &c->timer, now + DRAIN_LOOK_NS);
}

/* Whether the descriptor must not be closed yet. */
static bool must_drain(const struct conn *c, enum conn_end how)
{
    const struct conn_set *s = c->set;
    if (how != CONN_END_CLOSED || !c->was_ready || c->half_closed || !c->bytes_out)
        return false;
    /* Bells that get lost are no loss. */
    if (c->stream && !c->stream->ops->websocket && (!c->shm.bytes || shm_stream_is_met(c->stream)))
        return false;
    if (s->linger_until == 0 || (!s->pipes.reactor.closed && s->pipes.opt.linger == 0) ||
        atomic_load_explicit(&s->pipes.reactor.broken, memory_order_relaxed))
        return false;
    return !conn_pending(c) && net_unacked(c->io.fd) > 0;
}

/* All but the descriptor is gone. False: no memory to wait for it. */
static bool drain(struct conn *c)
{
    struct conn_set *s = c->set;
    uint64_t now = clock_now();
    c->io.ready = drain_ready;
    if (io_watch(conn_set_reactor(s), &c->io, POLLER_IN))
        return false;
    stream_end_writing(c->stream, c->io.fd);
    list_push_back(&s->draining, &c->in_set);
    c->unacked = -1;
    c->drain_until = now + DRAIN_STUCK_NS;
    c->drain_limit = CLOCK_NEVER;
    if (!s->pipes.reactor.closed && s->pipes.opt.linger > 0)
        c->drain_limit = now + (uint64_t)s->pipes.opt.linger * NS_PER_MS;
    timer_init(&c->timer, drain_timer);
    timer_set(conn_set_reactor(s), &c->timer, now);
    return true;
}

void conn_end_now(struct conn *c, enum conn_end how, int error)
{
    struct conn_set *s = c->set;
    struct endpoint *ep = c->endpoint;
    struct pipe *p = c->pipe;
    bool connecter = ep && !ep->bound;
    bool lost = how == CONN_END_LOST || c->peer.failure == PEER_FAIL_TIMEOUT ||
                c->peer.failure == PEER_FAIL_NO_DETAIL;
    bool wrong = false, fresh = false;
    bool draining = must_drain(c, how);

    tell_end(c, how, error);
    note_end(c, how, error);
    c->set->listener->cancel(c);
    timer_cancel(conn_set_reactor(s), &c->timer);
    list_remove(&c->link.flush_node);
    list_remove(&c->quiet.node);
    conn_blocks_end(c);
    conn_shm_end(c);
    if (list_linked(&c->warm)) {
        list_remove(&c->warm);
        s->warm_count--;
    }
    list_remove_walked(&s->pipes.walks, &c->in_set);
    list_remove(&c->in_endpoint);
    s->pipes.reactor.conn_count--;
    c->over = true;
    if (!draining || !drain(c))
        io_free_later(conn_set_reactor(s), &c->io);
    count_closed(c);
    c->pipe = NULL;
    c->endpoint = NULL;
    conn_update_lone(s);

    if (connecter && !(s->pipes.opt.reconnect_stop & STOP_PROTOCOL_ERROR)) {
        wrong = how == CONN_END_BROKEN && !lost && !c->peer.failure_final;
        /* What the pattern complained of was authentic if the traffic is. */
        fresh = how == CONN_END_REFUSED && p && p->violation && !c->peer.crypto_overhead &&
                !ep->closing && !s->pipes.reactor.closed;
    }
    bool retry = connecter && ((!by_us(how) && lost) || wrong || fresh);
    if (retry && (ep->closing || s->pipes.reactor.closed))
        /* Within LINGER: only to send what is left, and not to a peer that refuses it. */
        retry = !wrong && p && !outq_empty(&p->out);
    if (p) {
        p->link = NULL;
        p->lose_wanted = false;
        pipe_pause(p, false);
        if (retry && !fresh && !(s->pipes.opt.immediate && !ep->closing)) {
            pipe_lost(p);
        } else {
            pipe_discard(p);
            if (p->endpoint)
                endpoint_release_pipe(p->endpoint);
            pipe_hangup(p);
            p->ready = false;
            /* hung up before, with something left to send: goes now */
            if (!list_linked(&p->dead_node))
                list_push_back(&s->pipes.dead_pipes, &p->dead_node);
            s->pipes.reactor.work |= WORK_REAP;
        }
    }
    if (connecter) {
        ep->conn = NULL;
        if (c->peer.cfg.at_once && !c->was_ready && how != CONN_END_CLOSED)
            known_peers_doubt(s->known, endpoint_peer(ep));
        retry_conn_lost(ep, c->was_ready, retry, wrong || fresh);
    }
    s->pipes.reactor.work |= WORK_CLOSE;
    reactor_notify(conn_set_reactor(s));
}

void conn_end(struct conn *c, enum conn_end how, int error)
{
    if (conn_is_over(c))
        return;
    if (c->link.writing) {
        if (c->end_wanted == CONN_END_NONE) {
            c->end_wanted = how;
            c->end_error = error;
            if (by_us(how) && c->pipe)
                pipe_hangup(c->pipe); /* no message may go this way any more */
        }
        return;
    }
    conn_end_now(c, how, error);
}

void conn_stop_reading(struct conn *c)
{
    if (c->half_closed)
        conn_end(c, CONN_END_LOST, EPIPE);
}

void conn_close(struct conn *c, bool now)
{
    conn_stop_reading(c);
    if (c->io.dead)
        return;
    list_remove(&c->in_endpoint);
    if (!now && conn_pending(c)) {
        pipe_hangup(c->pipe);
        c->endpoint = NULL;
        return;
    }
    conn_end(c, CONN_END_CLOSED, 0);
    if (!c->io.dead)
        c->endpoint = NULL;
}
