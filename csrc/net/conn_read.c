/* SPDX-License-Identifier: MIT */
#include "net/conn_read.h"

#include "net/conn.h"
#include "net/conn_blocks.h"
#include "net/conn_end.h"
#include "net/conn_handshake.h"
#include "net/conn_shm.h"
#include "net/conn_tick.h"
#include "net/conn_write.h"
#include "net/events.h"
#include "os/pages.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_out.h"

/* How long a message that was begun, and holds memory, may wait for more. */
#define SHORT_OF_MEMORY_NS NS_PER_S
/* Between two looks at the clock while spinning. */
#define SPINS_PER_CLOCK 4
/* Reads from a stream in one go, so that one that always has more does not starve the others. */
#define READ_ROUNDS 16

/* ---- decoding ---- */

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
    conn_update_lone(c->set);
    if (c->peer.heartbeat
            .ping_gap) /* its PINGs go unread for now, and it must not take us for dead */
        conn_tick(c, clock_now());
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

static void keep_newest(struct pipe *p)
{
    while (p->in.msgs > 1) {
        pipe_skip(p);
        p->msgs_in++;
        pipe_count_drops(p, 1, DROP_REPLACED);
    }
}

/* Once a connection: there may be many. */
static void report_misfit(struct conn *c)
{
    if (c->misfit_reported)
        return;
    c->misfit_reported = true;
    conn_set_event(c->set, c->bound, EVENT_PROTOCOL_VIOLATION, PROTO_WRONG_PARTS, c->local_name,
                   c->remote_name);
}

/* What the command BLOCK says, or (`again`) the last one that found no memory. 0 or a negative
 * errno. */
__attribute__((noinline)) static int take_block(struct conn *c, const struct peer_event *ev,
                                                bool again)
{
    struct msg m;
    int rc = again ? conn_blocks_again(c, &m) : conn_blocks_command(c, ev->data, ev->len, &m);
    if (rc == -EPROTO)
        return peer_fail(&c->peer, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNEXPECTED_COMMAND);
    if (rc == 1)
        take_frame(c->pipe, &m);
    return rc < 0 ? rc : 0;
}

/* Decodes what is buffered, up to RCVHWM, RCVHWM_BYTES and what the context may hold. */
void conn_process(struct conn *c)
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
            if (__builtin_expect(c->blocks.waits, false)) {
                rc = msgring_reserve(&p->in);
                if (rc == 0)
                    rc = take_block(c, NULL, true);
                if (rc)
                    break;
                continue;
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
            rc = conn_on_ready(c);
            if (rc && rc != -ENOMEM) {
                conn_end(c, CONN_END_REFUSED, -rc);
                return;
            }
            if (rc) /* the peer may have sent messages by now, which would be lost with this */
                peer_not_ready(&c->peer);
            p = c->pipe;
            before = p ? p->in.msgs : 0;
            break;
        case PEER_EV_FRAME:
            take_frame(p, &ev.msg);
            break;
        case PEER_EV_AUTH:
            conn_authenticate(c);
            break;
        case PEER_EV_SWITCH:
            if (!conn_shm_switched(c, ev.data, ev.len))
                peer_fail(&c->peer, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNEXPECTED_COMMAND);
            break;
        case PEER_EV_BLOCK:
            (void)take_block(c, &ev, false); /* without memory it is tried again at once */
            break;
        default:
            if (p && !p->hung_up && s->pipes.ops->command) {
                pipe_arrived(p, before); /* what came before it */
                s->pipes.ops->command(&s->pipes, p, ev.kind, ev.data, ev.len);
                before = p->in.msgs;
                reactor_notify(conn_set_reactor(s));
            }
        }
        if (rc == -ENOMEM)
            break;
        if (p && p->rx_paused && c->peer.ready) {
            pause_reading(c);
            rc = 0;
            break;
        }
    }
    if (p) {
        if (p->conflate)
            keep_newest(p);
        if (!conn_is_over(c))
            conn_keep_warm(c);
        pipe_account(p);
        pipe_arrived(p, before);
        if (p->misfit)
            report_misfit(c);
    }
    if (conn_is_over(c)) /* its time was up when reading was paused */
        return;
    if (!c->was_ready)
        conn_in_handshake(c);
    /* A PING with a TTL sets a deadline that the timer does not know of yet. */
    uint64_t ttl = c->peer.heartbeat.ttl_deadline;
    if (ttl != CLOCK_NEVER && (!c->timer.node.linked || ttl < c->timer.node.key))
        timer_set(conn_set_reactor(s), &c->timer, ttl);
    if (rc == -ENOMEM)
        conn_back_off(c); /* what was received waits where it is */
    if (rc == -EPROTO)
        conn_break_off(c);
    else if (peer_wants_write(&c->peer, conn_out(c)) && !c->link.blocked && !c->link.writing) {
        c->link.flush_pending = true; /* handshake commands, PONG */
        conn_want_flush(c);
    }
}

/* Reading again: what is buffered comes first. */
static void go_on(struct conn *c)
{
    c->resume = false;
    if (c->pipe)
        pipe_pause(c->pipe, false);
    if (!c->was_ready) /* heartbeats count from now on, however long the answer took */
        peer_recv_done(&c->peer, 0, clock_now());
    conn_process(c);
    if (conn_is_over(c))
        return;
    conn_watch(c);
    if (!conn_is_paused(c))
        conn_update_lone(c->set);
}

/* ---- reading ---- */

/* No memory to read on. A message that was begun and finds none for long is given up with its
 * connection, as one above MAXMSGSIZE would be: what it has taken may be just what is missing. */
__attribute__((noinline)) static void lacks_memory(struct conn *c, bool begun)
{
    uint64_t now = clock_now();
    if (!c->short_since)
        c->short_since = now;
    if (begun && now - c->short_since > SHORT_OF_MEMORY_NS)
        conn_end(c, CONN_END_LOST, ENOMEM);
    else
        conn_back_off(c);
}

/* Where to read to. False: no memory. */
static bool recv_buf(struct conn *c, uint8_t **buf, size_t *len)
{
    if (peer_recv_buf(&c->peer, buf, len) == 0) {
        if (*len >= PAGES_LARGE && c->peer.rx.big.fresh) {
            c->peer.rx.big.fresh = false;
            pages_fill_soon(*buf, *len);
        }
        return true;
    }
    lacks_memory(c, c->peer.rx.big.blob != NULL);
    return false;
}

/* A read gave the end, or an error. */
__attribute__((noinline)) static void read_failed(struct conn *c, ssize_t n)
{
    if (c->stream && c->stream->ops->websocket && n == -EPROTO) {
        /* What came before is with the program, or was decoded. */
        peer_fail(&c->peer, PEER_FAIL_PROTOCOL, PROTO_WS_UNSPECIFIED);
        conn_end(c, CONN_END_BROKEN, 0);
    } else if (c->stream && n == -ENOMEM) {
        lacks_memory(c, true);       /* what came is with the stream */
    } else if (!conn_is_paused(c)) { /* else it sees the end again when reading goes on */
        conn_end(c, CONN_END_LOST, n == 0 ? 0 : (int)-n);
    } else if (c->stream) {
        conn_listen(c);
    }
}

/* A read of n bytes from a stream, which may have kept what came (a message in fragments): of a
 * peer that sends it is a sign of life. */
static void heard(struct conn *c, ssize_t n)
{
    uint64_t in, out;
    c->stream->ops->carried(c->stream, &in, &out);
    if (in != c->carried_in && n <= 0)
        peer_lives(&c->peer, clock_now());
    c->carried_in = in;
}

/* The result of a read of n bytes. */
static void received(struct conn *c, ssize_t n)
{
    if (conn_is_over(c))
        return;
    if (n != -ENOMEM)
        c->short_since = 0;
    if (c->stream && c->stream->ops->carried)
        heard(c, n);
    if (n > 0) {
        c->bytes_in += (uint64_t)n;
        peer_recv_done(&c->peer, (size_t)n, clock_now());
        conn_shm_carried(c);
    }
    if (c->resume)
        go_on(c); /* conn_flush left it to this read, which may have found nothing */
    else if (n > 0)
        conn_process(c);
    if (n <= 0 && n != -EAGAIN && !conn_is_over(c))
        read_failed(c, n);
    else if (c->stream)
        conn_listen(c);
}

/* True: something came, or the end. */
static bool read_once(struct conn *c)
{
    struct conn_set *s = c->set;
    struct stream *stream = c->stream;
    uint8_t *buf;
    size_t len;
    if (c->reading || !recv_buf(c, &buf, &len))
        return false;
    c->reading = true;
    mutex_unlock(&s->pipes.reactor.lock);
    ssize_t n = stream_read(stream, c->io.fd, buf, len);
    mutex_lock(&s->pipes.reactor.lock);
    c->reading = false;
    received(c, n);
    return n != -EAGAIN;
}

bool conn_look(struct quiet *q)
{
    struct conn *c = LIST_ENTRY(q, struct conn, quiet);
    return !conn_is_over(c) && !conn_is_paused(c) && read_once(c);
}

bool conn_arm(struct quiet *q)
{
    struct conn *c = LIST_ENTRY(q, struct conn, quiet);
    /* Paused, it is armed when it is read on. */
    return conn_is_over(c) || conn_is_paused(c) || (!c->reading && stream_arm(c->stream));
}

/* What the stream holds and its descriptor does not show. */
static void read_pending(struct conn *c)
{
    for (int i = 0;
         !conn_is_over(c) && !c->reading && !conn_is_paused(c) && stream_pending(c->stream); i++) {
        if (i == READ_ROUNDS) { /* others have their turn; conn_flush goes on with it */
            conn_resume(c);
            return;
        }
        read_once(c);
    }
}

/* What the descriptor's readiness means is the stream's to know: any may tell of all. A WebSocket's
 * is what it seems, and what comes is no reason to write while there is no room. */
static bool hides_readiness(const struct conn *c)
{
    return c->stream && !c->stream->ops->websocket;
}

void conn_ready(struct io *io, uint32_t events)
{
    struct conn *c = LIST_ENTRY(io, struct conn, io);
    stream_ready(c->stream);
    if (hides_readiness(c))
        events |= POLLER_IN | (c->link.blocked ? POLLER_OUT : 0);
    if (events & POLLER_OUT) {
        conn_write(c);
        if (conn_is_over(c))
            return;
    }
    if (!(events & (POLLER_IN | POLLER_ERR)))
        return;
    if (conn_is_paused(c)) {
        /* At RCVHWM: TCP pushes back. A peer that is gone is noticed when reading goes on. */
        int n = conn_awaits_end(c) ? stream_peek(c->stream, c->io.fd) : 1;
        if (n == 0 || (n < 0 && n != -EAGAIN)) {
            conn_end(c, CONN_END_LOST, -n);
            return;
        }
        c->input_waits = n > 0;
        conn_watch(c);
        return;
    }
    read_once(c);
    if (c->stream)
        read_pending(c);
}

bool conn_spin(struct conn *c, uint64_t until)
{
    struct conn_set *s = c->set;
    struct stream *stream = c->stream;
    uint8_t *buf;
    size_t len;
    if (c->reading || conn_is_paused(c) || conn_is_over(c) || !recv_buf(c, &buf, &len))
        return false;
    c->reading = true;
    mutex_unlock(&s->pipes.reactor.lock);
    ssize_t n;
    /* Whoever watches the poller is to see nothing of what is read here. */
    if (stream && !stream_silent(stream))
        stream_ready(stream);
    for (unsigned i = 0;; i++) {
        n = stream_read(stream, c->io.fd, buf, len);
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
    /* A sign of the descriptor that was taken above may have told another thread of room. */
    if (stream && conn_waits_to_write(c) && !conn_is_over(c) && hides_readiness(c))
        conn_write(c);
    if (c->stream)
        read_pending(c);
    return n != -EAGAIN;
}

/* ---- the flush list ---- */

bool conn_flush(struct link *l, bool flush)
{
    struct conn *c = conn_of(l);
    if (conn_is_over(c))
        return false;
    if (c->resume && !c->reading) { /* else the thread that reads goes on with it */
        go_on(c);
        if (c->stream)
            read_pending(c);
        if (conn_is_over(c))
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
    return c->resume && !c->reading && !conn_is_over(c);
}
