/* SPDX-License-Identifier: MIT */
#include "net/conn.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "net/security.h"
#include "os/net.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

#define IOV_MAX_PIECES 64
/* Connections of one socket that may keep their buffers while nothing moves. */
#define WARM_MAX 16
/* How long a connection rests for which there was no memory. */
#define OOM_BACKOFF_NS (10 * NS_PER_MS)
/* Signs of life to a peer that is not read come no more often, however fast its PINGs came. */
#define REASSURE_MIN_NS (5 * NS_PER_MS)
/* Input that is dropped in one go. */
#define DRAIN_ROUNDS 8
/* Between two looks at what the peer's kernel has taken: nothing tells of that. */
#define DRAIN_LOOK_NS NS_PER_MS
/* How long a peer may take nothing of what the kernel has for it. Nobody waits for the program at
 * the other end: this is for the network, whose lost packets are sent again after 200 ms. */
#define DRAIN_STUCK_NS NS_PER_S
/* How long a large message that was begun may wait for memory. */
#define SHORT_OF_MEMORY_NS NS_PER_S
/* Between two looks at the clock while spinning. */
#define SPINS_PER_CLOCK 4
/* Reads from a stream in one go, so that one that always has more does not starve the others. */
#define READ_ROUNDS 16

static void tick(struct conn *c, uint64_t now);
static void process(struct conn *c);
static void read_pending(struct conn *c);

static struct conn *conn_of(struct link *l)
{
    return LIST_ENTRY(l, struct conn, link);
}

static bool gone(const struct conn *c)
{
    return c->over;
}

static struct outq *out_of(struct conn *c)
{
    return c->pipe ? &c->pipe->out : &c->no_out;
}

/* Not read: at RCVHWM, while an authenticator is asked about the peer, or for want of memory. */
static bool paused(const struct conn *c)
{
    return c->zap || c->oom_backoff || (c->pipe && c->pipe->paused);
}

/* Nothing is to be read before the answer about the peer is there. As long as it has sent nothing
 * more, readiness can only mean that it left. */
static bool awaits_end(const struct conn *c)
{
    return c->zap && !c->oom_backoff && !c->input_waits;
}

static void want_flush(struct conn *c)
{
    if (!list_linked(&c->link.flush_node))
        list_push_back(&c->set->pipes.reactor.flush_list, &c->link.flush_node);
    c->set->pipes.reactor.work |= WORK_FLUSH;
}

/* ---- buffers ---- */

void conn_retire_buffers(struct conn *c)
{
    if (!list_linked(&c->warm))
        return;
    list_remove(&c->warm);
    c->set->warm_count--;
    if (!c->reading)
        peer_trim(&c->peer);
    if (c->pipe && !c->link.writing)
        outq_trim(&c->pipe->out);
    if (c->pipe)
        msgring_trim(&c->pipe->in);
}

static void keep_warm(struct conn *c)
{
    struct conn_set *s = c->set;
    if (list_linked(&c->warm)) {
        if (c->warm.next != &s->warm) {
            list_remove(&c->warm);
            list_push_back(&s->warm, &c->warm);
        }
        return;
    }
    list_push_back(&s->warm, &c->warm);
    if (++s->warm_count > WARM_MAX)
        conn_retire_buffers(LIST_ENTRY(s->warm.next, struct conn, warm));
}

/* ---- the end ---- */

static void free_io(struct io *io)
{
    struct conn *c = LIST_ENTRY(io, struct conn, io);
    peer_fini(&c->peer);
    outq_fini(&c->no_out);
    stream_close(c->stream, c->io.fd);
    mem_free(c->local_name);
    mem_free(c->remote_name);
    mem_free(c->peer_name);
    mem_free(c->address);
    security_unref(c->security);
    mem_free(c);
}

/* Whether a wait may read the only connection without the poller. */
static void update_lone(struct conn_set *s)
{
    struct reactor *r = conn_set_reactor(s);
    r->lone_readable = r->lone_blocked = false;
    if (r->conn_count == 1 && !list_empty(&s->conns)) {
        struct conn *c = LIST_ENTRY(s->conns.next, struct conn, in_set);
        r->lone_blocked = conn_waits_to_write(c);
        r->lone_readable = c->peer.ready && !paused(c) && !gone(c) && !r->lone_blocked;
    }
}

/* What failed for want of memory is tried again in a while. Until then the connection is not read,
 * or its poller would keep asking for it. */
static void back_off(struct conn *c)
{
    struct conn_set *s = c->set;
    if (gone(c) || c->oom_backoff)
        return;
    c->oom_backoff = true;
    c->oom_until = clock_now() + OOM_BACKOFF_NS;
    update_lone(s);
    io_watch(conn_set_reactor(s), &c->io, c->io.interest & POLLER_OUT);
    if (!c->timer.node.linked || c->oom_until < c->timer.node.key)
        timer_set(conn_set_reactor(s), &c->timer, c->oom_until);
}

/* Tells the poller what to wait for now. */
static void watch(struct conn *c)
{
    bool out = conn_waits_to_write(c);
    bool in = !paused(c) || awaits_end(c);
    uint32_t wanted = (out ? POLLER_OUT : 0) | (in ? POLLER_IN : 0);
    if (io_watch(conn_set_reactor(c->set), &c->io, stream_interest(c->stream, wanted)))
        back_off(c);
}

static bool by_us(enum conn_end how)
{
    return how == CONN_END_REFUSED || how == CONN_END_CLOSED;
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
    if (!p) {
        c->set->pipes.closed_totals.bytes_in += c->bytes_in;
        c->set->pipes.closed_totals.bytes_out += c->bytes_out;
        return;
    }
    p->bytes_in += c->bytes_in;
    p->bytes_out += c->bytes_out;
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
    list_remove(&c->in_set);
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
    if (how != CONN_END_CLOSED || !c->was_ready || c->stream || c->half_closed || !c->bytes_out)
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

static void end_now(struct conn *c, enum conn_end how, int error)
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
    c->set->listener->cancel(c);
    timer_cancel(conn_set_reactor(s), &c->timer);
    list_remove(&c->link.flush_node);
    if (list_linked(&c->warm)) {
        list_remove(&c->warm);
        s->warm_count--;
    }
    list_remove(&c->in_set);
    list_remove(&c->in_endpoint);
    s->pipes.reactor.conn_count--;
    c->over = true;
    if (!draining || !drain(c))
        io_free_later(conn_set_reactor(s), &c->io);
    count_closed(c);
    c->pipe = NULL;
    c->endpoint = NULL;
    update_lone(s);

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
        endpoint_conn_lost(ep, c->was_ready, retry, wrong || fresh);
    }
    s->pipes.reactor.work |= WORK_CLOSE;
    reactor_notify(conn_set_reactor(s));
}

void conn_end(struct conn *c, enum conn_end how, int error)
{
    if (gone(c))
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
    end_now(c, how, error);
}

void conn_stop_reading(struct conn *c)
{
    if (c->half_closed)
        conn_end(c, CONN_END_LOST, EPIPE);
}

void conn_close(struct link *l, bool now)
{
    struct conn *c = conn_of(l);
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

bool conn_pending(const struct conn *c)
{
    /* Once ready, the peer's own queue holds nothing but messages in another form. */
    return c->pipe && (!outq_empty(&c->pipe->out) || (c->was_ready && c->peer.tx.buf.bytes));
}

/* ---- writing ---- */

static void conn_wrote(struct link *l)
{
    struct conn *c = conn_of(l);
    if (c->link.blocked || c->link.writing || !c->peer.ready)
        return; /* goes out when the kernel, the writer or the handshake says so */
    c->link.flush_pending = true;
    want_flush(c);
}

/* What a peer sent before it went is there still, and will be read: now, or when the program makes
 * room for it. Once the pipe was hung up nothing takes it, but in a handshake it may hold the
 * reason. */
static bool is_read_on(struct conn *c)
{
    const struct pipe *p = c->pipe;
    if (p && p->hung_up && c->was_ready)
        return false;
    if (!paused(c))
        return true;
    bool closing = c->set->pipes.reactor.closed || (c->endpoint && c->endpoint->closing);
    if (closing || (p && (p->rx_paused || p->hung_up)))
        return false;
    if (c->zap && !c->input_waits)
        c->input_waits = stream_peek(c->stream, c->io.fd) > 0;
    return !c->zap || c->input_waits;
}

void conn_write(struct conn *c)
{
    struct conn_set *s = c->set;
    if (c->link.writing || gone(c) || c->half_closed)
        return;
    c->link.flush_pending = false;
    for (;;) {
        struct iovec iov[IOV_MAX_PIECES];
        int n = peer_send_iov(&c->peer, out_of(c), iov, IOV_MAX_PIECES);
        if (n <= 0) {
            if (n < 0)
                back_off(c);
            break;
        }
        size_t total = 0;
        for (int i = 0; i < n; i++)
            total += iov[i].iov_len;
        c->link.writing = true;
        c->link.inflight = total > c->peer.tx.offered ? total - c->peer.tx.offered : 0;
        mutex_unlock(&s->pipes.reactor.lock);
        ssize_t sent = stream_write(c->stream, c->io.fd, iov, n);
        mutex_lock(&s->pipes.reactor.lock);
        c->link.writing = false;
        c->link.inflight = 0;
        if (sent > 0) {
            c->bytes_out += (uint64_t)sent;
            peer_sent(&c->peer, out_of(c), (size_t)sent);
        }
        if (c->end_wanted != CONN_END_NONE) {
            end_now(c, c->end_wanted, c->end_error);
            return;
        }
        if (sent < 0 && sent != -EAGAIN) {
            if ((sent == -EPIPE || sent == -ECONNRESET) && is_read_on(c)) {
                c->link.blocked = c->half_closed = true;
                stream_end_writing(c->stream, c->io.fd);
                update_lone(s);
                watch(c);
                return;
            }
            end_now(c, CONN_END_LOST, (int)-sent);
            return;
        }
        if ((size_t)(sent > 0 ? sent : 0) < total) {
            if (!c->link.blocked) {
                c->link.blocked = true;
                update_lone(s);
                watch(c);
            }
            break;
        }
        if (c->link.blocked) {
            c->link.blocked = false;
            update_lone(s);
            watch(c);
        }
        if (!peer_wants_write(&c->peer, out_of(c)))
            break;
    }
    s->pipes.reactor.last_write = clock_now();
    if (c->pipe) {
        struct pipe *p = c->pipe;
        pipe_drained(p);
        if (!conn_pending(c) &&
            (p->hung_up || s->pipes.reactor.closed || (c->endpoint && c->endpoint->closing)))
            end_now(c, CONN_END_CLOSED, 0);
    }
    if (s->pipes.reactor.closed)
        s->pipes.reactor.work |= WORK_CLOSE;
}

/* Reading again: what is buffered comes first. */
static void go_on(struct conn *c)
{
    c->resume = false;
    if (c->pipe)
        pipe_pause(c->pipe, false);
    if (!c->was_ready) /* heartbeats count from now on, however long the answer took */
        peer_recv_done(&c->peer, 0, clock_now());
    process(c);
    if (gone(c))
        return;
    watch(c);
    if (!paused(c))
        update_lone(c->set);
}

static bool link_flush(struct link *l, bool flush)
{
    struct conn *c = conn_of(l);
    if (gone(c))
        return false;
    if (c->resume && !c->reading) { /* else the thread that reads goes on with it */
        go_on(c);
        if (c->stream)
            read_pending(c);
        if (gone(c))
            return false;
    }
    if (c->link.writing || c->link.blocked)
        c->link.flush_pending = false; /* the thread that writes, or the poller, sees to the rest */
    if (c->link.flush_pending) {
        if (!flush && c->peer.ready && !(c->pipe && flush_is_due(&c->pipe->out)))
            return true;
        conn_write(c);
        if (c->stream)
            read_pending(c); /* a write may have met what the peer sent */
    }
    return c->resume && !c->reading && !gone(c);
}

void conn_resume(struct conn *c)
{
    c->resume = true;
    want_flush(c);
}

/* ---- reading ---- */

static int on_ready(struct conn *c)
{
    struct conn_set *s = c->set;
    struct peer *peer = &c->peer;
    if (peer->remote.meta &&
        meta_set(peer->remote.meta, "Peer-Address", 12, c->address, strlen(c->address)))
        return -ENOMEM;
    c->was_ready = true;
    conn_set_event(s, c->bound, EVENT_HANDSHAKE_SUCCEEDED, 0, c->local_name, c->remote_name);

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
            pipe_free(p);
            return rc;
        }
    }
    if (c->endpoint && !c->endpoint->bound)
        endpoint_connected(c->endpoint);
    int rc = 0;
    if (p->hung_up)
        p->ready = true; /* only to send what is left */
    else
        rc = pipe_connected(p);
    update_lone(s);
    if (rc)
        return rc;
    tick(c, clock_now()); /* the first PING needs the pipe's queue */
    c->link.flush_pending = true;
    want_flush(c);
    return 0;
}

/* The peer failed. What is still to be written in a handshake (the greeting, ERROR) gives the other
 * side the reason. */
static void break_off(struct conn *c)
{
    if (!c->was_ready && c->peer.tx.buf.bytes)
        conn_write(c);
    conn_end(c, CONN_END_BROKEN, 0);
}

/* Asks an authenticator whether the peer may come in. It is not read meanwhile (paused), so that it
 * cannot pile up bytes here. */
static void authenticate(struct conn *c)
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
    if (gone(c) || c->end_wanted != CONN_END_NONE || !peer_auth_pending(&c->peer))
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
    break_off(c);
}

/* Queues a frame for the program; room for it is there. */
static void take_frame(struct pipe *p, struct msg *m)
{
    if (!p || p->hung_up) {
        msg_drop(m);
        return;
    }
    if (p->counted)
        p->in_bytes += msg_size(m);
    msgring_put(&p->in, m);
}

/* Not read from now on, until conn_resume. */
static void pause_reading(struct conn *c)
{
    if (c->pipe->paused)
        return;
    pipe_pause(c->pipe, true);
    c->short_since = 0; /* a connection that is not read lacks no memory */
    update_lone(c->set);
    if (c->peer.heartbeat
            .ping_gap) /* its PINGs go unread for now, and it must not take us for dead */
        tick(c, clock_now());
}

/* The common case in a loop of its own: small frames that count in no limit of bytes. Ends before
 * any other frame, or without memory; true: at RCVHWM. */
static bool take_small(struct conn *c, struct pipe *p)
{
    uint32_t most = p->in_hwm && !p->conflate ? p->in_hwm : UINT32_MAX;
    struct msg m;
    while (p->in.msgs < most && msgring_reserve(&p->in) == 0 && peer_next_small(&c->peer, &m)) {
        if (p->hung_up)
            msg_drop(&m);
        else
            msgring_put(&p->in, &m);
    }
    return p->in.msgs >= most;
}

/* Decodes what is buffered, up to RCVHWM, RCVHWM_BYTES and what the context may hold. */
static void process(struct conn *c)
{
    struct conn_set *s = c->set;
    struct pipe *p = c->pipe;
    uint32_t before = p ? p->in.msgs : 0;
    int rc = 0;
    if (p && p->rx_paused && c->peer.ready) {
        pause_reading(c);
        return;
    }
    for (;;) {
        if (p) {
            bool full = (p->in_hwm && p->in.msgs >= p->in_hwm && !p->conflate) ||
                        (p->counted && pipe_in_full(p));
            /* Unread messages of a connection before keep no handshake up. */
            if (full && c->peer.ready) {
                pause_reading(c);
                rc = 0;
                break;
            }
            if (!p->counted && take_small(c, p) && c->peer.ready)
                continue;
            rc = msgring_reserve(&p->in);
            if (rc)
                break;
        }
        struct peer_event ev;
        rc = peer_next(&c->peer, &ev);
        if (rc != 1)
            break;
        switch (ev.kind) {
        case PEER_EV_READY:
            rc = on_ready(c);
            if (rc) {
                /* Out of memory passes; a refused peer comes no better a second time. */
                conn_end(c, rc == -ENOMEM ? CONN_END_LOST : CONN_END_REFUSED, -rc);
                return;
            }
            p = c->pipe;
            before = p->in.msgs;
            break;
        case PEER_EV_FRAME:
            take_frame(p, &ev.msg);
            break;
        case PEER_EV_AUTH:
            authenticate(c);
            break;
        default:
            if (p && !p->hung_up && s->pipes.ops->command) {
                pipe_arrived(p, before); /* what came before it */
                s->pipes.ops->command(&s->pipes, p, ev.kind, ev.data, ev.len);
                before = p->in.msgs;
                reactor_notify(conn_set_reactor(s));
            }
        }
        if (p && p->rx_paused && c->peer.ready) {
            pause_reading(c);
            rc = 0;
            break;
        }
    }
    if (p && p->conflate) {
        while (p->in.msgs > 1) {
            pipe_skip(p);
            p->msgs_in++;
            pipe_count_drops(p, 1);
        }
    }
    if (p) {
        if (!gone(c))
            keep_warm(c);
        pipe_account(p);
        pipe_arrived(p, before);
    }
    if (p && p->misfit && !c->misfit_reported) { /* once a connection: there may be many */
        c->misfit_reported = true;
        conn_set_event(s, c->bound, EVENT_PROTOCOL_VIOLATION, PROTO_WRONG_PARTS, c->local_name,
                       c->remote_name);
    }
    if (gone(c)) /* its time was up when reading was paused */
        return;
    /* A PING with a TTL sets a deadline that the timer does not know of yet. */
    uint64_t ttl = c->peer.heartbeat.ttl_deadline;
    if (ttl != CLOCK_NEVER && (!c->timer.node.linked || ttl < c->timer.node.key))
        timer_set(conn_set_reactor(s), &c->timer, ttl);
    if (rc == -ENOMEM)
        back_off(c); /* what was received waits where it is */
    if (rc == -EPROTO)
        break_off(c);
    else if (peer_wants_write(&c->peer, out_of(c)) && !c->link.blocked && !c->link.writing) {
        c->link.flush_pending = true; /* handshake commands, PONG */
        want_flush(c);
    }
}

/* Where to read to. False: no memory. A large body that finds none for long is given up with its
 * connection, as one above MAXMSGSIZE would be: what it has taken may be just what is missing. */
static bool recv_buf(struct conn *c, uint8_t **buf, size_t *len)
{
    if (peer_recv_buf(&c->peer, buf, len) == 0) {
        c->short_since = 0;
        return true;
    }
    uint64_t now = clock_now();
    if (!c->short_since)
        c->short_since = now;
    if (c->peer.rx.big.blob && now - c->short_since > SHORT_OF_MEMORY_NS)
        conn_end(c, CONN_END_LOST, ENOMEM);
    else
        back_off(c);
    return false;
}

/* The result of a read of n bytes. */
static void received(struct conn *c, ssize_t n)
{
    if (gone(c))
        return;
    if (n > 0) {
        c->bytes_in += (uint64_t)n;
        peer_recv_done(&c->peer, (size_t)n, clock_now());
    }
    if (c->resume)
        go_on(c); /* link_flush left it to this read, which may have found nothing */
    else if (n > 0)
        process(c);
    /* Paused, it sees the end again when reading goes on. */
    if (n <= 0 && n != -EAGAIN && !gone(c) && !paused(c))
        conn_end(c, CONN_END_LOST, n == 0 ? 0 : (int)-n);
}

static void read_once(struct conn *c)
{
    struct conn_set *s = c->set;
    uint8_t *buf;
    size_t len;
    if (c->reading || !recv_buf(c, &buf, &len))
        return;
    c->reading = true;
    mutex_unlock(&s->pipes.reactor.lock);
    ssize_t n = stream_read(c->stream, c->io.fd, buf, len);
    mutex_lock(&s->pipes.reactor.lock);
    c->reading = false;
    received(c, n);
}

/* What the stream holds and its descriptor does not show. */
static void read_pending(struct conn *c)
{
    for (int i = 0; stream_pending(c->stream) && !gone(c) && !c->reading && !paused(c); i++) {
        if (i == READ_ROUNDS) { /* others have their turn; link_flush goes on with it */
            conn_resume(c);
            return;
        }
        read_once(c);
    }
}

static void conn_ready(struct io *io, uint32_t events)
{
    struct conn *c = LIST_ENTRY(io, struct conn, io);
    if (c->stream) /* which readiness means what is the stream's to know */
        events |= POLLER_IN | (c->link.blocked ? POLLER_OUT : 0);
    if (events & POLLER_OUT) {
        conn_write(c);
        if (gone(c))
            return;
    }
    if (!(events & (POLLER_IN | POLLER_ERR)))
        return;
    if (paused(c)) {
        /* At RCVHWM: TCP pushes back. A peer that is gone is noticed when reading goes on. */
        int n = awaits_end(c) ? stream_peek(c->stream, c->io.fd) : 1;
        if (n == 0 || (n < 0 && n != -EAGAIN)) {
            conn_end(c, CONN_END_LOST, -n);
            return;
        }
        c->input_waits = n > 0;
        watch(c);
        return;
    }
    read_once(c);
    if (c->stream)
        read_pending(c);
}

bool conn_spin(struct conn *c, uint64_t until)
{
    struct conn_set *s = c->set;
    uint8_t *buf;
    size_t len;
    if (c->reading || paused(c) || gone(c) || !recv_buf(c, &buf, &len))
        return false;
    c->reading = true;
    mutex_unlock(&s->pipes.reactor.lock);
    ssize_t n;
    for (unsigned i = 0;; i++) {
        n = stream_read(c->stream, c->io.fd, buf, len);
        if (n != -EAGAIN || !until)
            break;
        if (atomic_load_explicit(&s->pipes.reactor.mailbox, memory_order_relaxed) ||
            atomic_load_explicit(&s->pipes.reactor.stop, memory_order_relaxed))
            break;
        cpu_relax();
        if (i % SPINS_PER_CLOCK == 0 && clock_now() >= until)
            break;
    }
    mutex_lock(&s->pipes.reactor.lock);
    c->reading = false;
    received(c, n);
    if (c->stream)
        read_pending(c);
    return n != -EAGAIN;
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
    out->rtt_ns = c->peer.heartbeat.rtt_ns;
    const char *name = ep ? ep->name : c->bound ? c->local_name : c->remote_name;
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", name);
    snprintf(out->address, sizeof(out->address), "%s", c->peer_name);
}

/* ---- what its pipe asks ---- */

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
    const struct conn *c = conn_of(p->link);
    count->bytes_sent += c->bytes_out;
    count->bytes_recvd += c->bytes_in;
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

static const struct link_ops stream_link = {
    .flush = link_flush,
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

/* ---- timers, birth ---- */

static void tick(struct conn *c, uint64_t now)
{
    if (c->oom_backoff && now >= c->oom_until) {
        c->oom_backoff = false;
        c->link.flush_pending = true;
        conn_resume(c);
    }
    uint64_t next = peer_tick(&c->peer, out_of(c), now);
    if (c->peer.state == PEER_DEAD) {
        conn_end(c, CONN_END_BROKEN, 0);
        return;
    }
    if (paused(c) && c->peer.heartbeat.ping_gap && !c->half_closed) {
        uint64_t wait = c->peer.heartbeat.ping_gap / 2;
        if (wait < REASSURE_MIN_NS)
            wait = REASSURE_MIN_NS;
        peer_reassure(&c->peer);
        if (now + wait < next)
            next = now + wait;
    }
    if (c->oom_backoff && c->oom_until < next)
        next = c->oom_until;
    timer_set(conn_set_reactor(c->set), &c->timer, next);
    if (peer_wants_write(&c->peer, out_of(c)) && !c->link.blocked && !c->link.writing) {
        c->link.flush_pending = true;
        want_flush(c);
    }
}

static void conn_timer(struct timer *t, uint64_t now)
{
    tick(LIST_ENTRY(t, struct conn, timer), now);
}

struct conn *conn_new(struct conn_set *s, struct endpoint *ep, int fd, struct stream *stream,
                      struct pipe *pipe, const struct conn_ends *ends)
{
    struct conn *c = mem_zalloc(sizeof(*c));
    if (c)
        c->security = ep && ep->security ? security_ref(ep->security) : security_new(&s->pipes.opt);
    if (!c || !c->security) {
        stream_close(stream, fd);
        mem_free(c);
        return NULL;
    }
    uint64_t now = clock_now();
    const struct option_values *o = &s->pipes.opt;
    struct peer_config cfg = {
        .pool = s->pipes.pool,
        .socket_type = s->pipes.type,
        .identity = o->routing_id,
        .identity_len = o->routing_id_len,
        .extra_props = o->metadata.data,
        .extra_props_len = o->metadata.len,
        .max_msg_size = c->security->max_msg_size,
        .max_parts = (uint32_t)c->security->max_parts,
        .handshake_ms = (uint32_t)c->security->handshake_ivl,
        .heartbeat_ivl_ms = (uint32_t)o->heartbeat_ivl,
        .heartbeat_ttl_ms = (uint32_t)o->heartbeat_ttl,
        .heartbeat_timeout_ms = o->heartbeat_timeout,
        .raw_max = 8192,
        .raw = s->pipes.ops->raw || (pipe && pipe->raw),
    };
    if (pipe)
        cfg.raw = pipe->raw;
    security_of_peer(c->security, &cfg.security);
    if (peer_init(&c->peer, &cfg, now)) {
        stream_close(stream, fd);
        security_unref(c->security);
        mem_free(c);
        return NULL;
    }
    outq_init(&c->no_out, s->pipes.pool);
    c->since = clock_unix();
    c->link.ops = &stream_link;
    c->io.fd = fd;
    c->stream = stream;
    c->io.ready = conn_ready;
    c->io.free = free_io;
    list_init(&c->io.deferred);
    c->set = s;
    c->endpoint = ep;
    c->bound = ep && ep->bound;
    c->pipe = pipe;
    list_init(&c->in_set);
    list_init(&c->in_endpoint);
    list_init(&c->link.flush_node);
    list_init(&c->warm);
    timer_init(&c->timer, conn_timer);
    c->local_name = mem_strdup(ends->local_name);
    c->remote_name = mem_strdup(ends->remote_name);
    c->peer_name = mem_strdup(ends->peer_name);
    c->address = mem_strdup(ends->address);
    if (!c->local_name || !c->remote_name || !c->peer_name || !c->address ||
        io_watch(conn_set_reactor(s), &c->io, stream_interest(stream, POLLER_IN))) {
        free_io(&c->io);
        return NULL;
    }
    list_push_back(&s->conns, &c->in_set);
    s->pipes.reactor.conn_count++;
    update_lone(s);
    if (ep && ep->bound)
        list_push_back(&ep->conns, &c->in_endpoint);
    if (pipe)
        pipe->link = &c->link;
    c->link.flush_pending = true;
    want_flush(c);
    tick(c, now);
    if (c->peer.cfg.raw && !gone(c))
        process(c); /* READY comes without any bytes */
    return c;
}
