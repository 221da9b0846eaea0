/* SPDX-License-Identifier: MIT */
#include "net/conn.h"

#include "pipe/pipe_in.h"

/* Connections of one socket that may keep their buffers while nothing moves. */
#define WARM_MAX 16
/* How long a connection rests for which there was no memory. */
#define OOM_BACKOFF_NS (10 * NS_PER_MS)
/* How often room to write is looked for that nothing tells of. */
#define ROOM_LOOK_NS (5 * NS_PER_MS)

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

void conn_keep_warm(struct conn *c)
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

/* Whether a wait may read the only connection without the poller. */
void conn_update_lone(struct conn_set *s)
{
    struct reactor *r = conn_set_reactor(s);
    r->lone_readable = r->lone_blocked = false;
    r->lone = r->conn_count == 1 && !list_empty(&s->conns); /* else a link of packets */
    if (r->lone) {
        struct conn *c = LIST_ENTRY(s->conns.next, struct conn, in_set);
        r->lone_blocked = conn_waits_to_write(c);
        r->lone_readable =
            c->peer.ready && !conn_is_paused(c) && !conn_is_over(c) && !r->lone_blocked;
    }
}

/* What failed for want of memory is tried again in a while. Until then the connection is not read,
 * or its poller would keep asking for it. */
void conn_back_off(struct conn *c)
{
    struct conn_set *s = c->set;
    if (conn_is_over(c) || c->oom_backoff)
        return;
    c->oom_backoff = true;
    c->oom_until = clock_now() + OOM_BACKOFF_NS;
    conn_update_lone(s);
    io_watch(conn_set_reactor(s), &c->io, c->io.interest & POLLER_OUT);
    if (!c->timer.node.linked || c->oom_until < c->timer.node.key)
        timer_set(conn_set_reactor(s), &c->timer, c->oom_until);
}

void conn_listen(struct conn *c)
{
    /* A thread that reads does this after it. */
    if (!c->reading && stream_silent(c->stream) && !conn_is_over(c) && !conn_is_paused(c))
        quiet_add(conn_set_reactor(c->set), &c->quiet);
}

/* Tells the poller what to wait for now. */
void conn_watch(struct conn *c)
{
    bool out = conn_waits_to_write(c);
    bool in = !conn_is_paused(c) || conn_awaits_end(c);
    uint32_t wanted = (out ? POLLER_OUT : 0) | (in ? POLLER_IN : 0);
    uint32_t interest = stream_interest(c->stream, wanted);
    if (io_watch(conn_set_reactor(c->set), &c->io, interest))
        conn_back_off(c);
    conn_listen(c);
    if (out && !interest && !c->oom_backoff) { /* room comes without a sign */
        uint64_t when = clock_now() + ROOM_LOOK_NS;
        if (!c->timer.node.linked || when < c->timer.node.key)
            timer_set(conn_set_reactor(c->set), &c->timer, when);
    }
}

void conn_bytes(const struct conn *c, uint64_t *in, uint64_t *out)
{
    *in = c->bytes_in;
    *out = c->bytes_out;
    if (c->stream && c->stream->ops->carried)
        c->stream->ops->carried(c->stream, in, out);
}

bool conn_pending(const struct conn *c)
{
    /* Once ready, the peer's own queue holds nothing but messages in another form. */
    return c->pipe && (!outq_empty(&c->pipe->out) || (c->was_ready && c->peer.tx.buf.bytes));
}
