/* SPDX-License-Identifier: MIT */
#include "net/conn_write.h"

#include <errno.h>

#include "net/conn.h"
#include "net/conn_blocks.h"
#include "net/conn_end.h"
#include "net/conn_shm.h"
#include "net/endpoint.h"
#include "pipe/pipe_out.h"

#define IOV_MAX_PIECES 64

/* What a peer sent before it went is there still, and will be read: now, or when the program makes
 * room for it. Once the pipe was hung up nothing takes it, but in a handshake it may hold the
 * reason. */
static bool is_read_on(struct conn *c)
{
    const struct pipe *p = c->pipe;
    if (p && p->hung_up && c->was_ready)
        return false;
    if (!conn_is_paused(c))
        return true;
    bool closing = c->set->pipes.reactor.closed || (c->endpoint && c->endpoint->closing);
    if (closing || (p && (p->rx_paused || p->hung_up)))
        return false;
    if (c->zap && !c->input_waits)
        c->input_waits = stream_peek(c->stream, c->io.fd) > 0;
    return !c->zap || c->input_waits;
}

/* Cuts the pieces to so many bytes. */
static int cut(struct iovec *iov, int count, size_t left)
{
    int n = 0;
    for (; n < count && left; n++) {
        if (iov[n].iov_len > left)
            iov[n].iov_len = left;
        left -= iov[n].iov_len;
    }
    return n;
}

/* A write that SWITCH or a block of memory bears on; the others know nothing of it. */
struct special {
    size_t most; /* bytes of the pipe's queue; 0: no more than a block's place */
};

/* Before it: 0, -ENOMEM, or -ECANCELED when the connection is to end. */
__attribute__((noinline)) static int prepare(struct conn *c, struct special *sp)
{
    sp->most = SIZE_MAX;
    if (conn_out(c)->large && !conn_blocks_prepare(c, &sp->most))
        return -ECANCELED;
    return c->shm.switch_due ? conn_shm_prepare(c) : 0;
}

/* Its pieces are cut to what may go out now. Their number. */
__attribute__((noinline)) static int cut_pieces(struct conn *c, struct iovec *iov, int n,
                                                const struct special *sp)
{
    if (c->shm.switch_due)
        conn_shm_cut(c, iov, &n);
    return sp->most == SIZE_MAX ? n : cut(iov, n, c->peer.tx.offered + sp->most);
}

/* All of it was written. */
__attribute__((noinline)) static void wrote(struct conn *c, const struct special *sp)
{
    if (c->shm.switch_due)
        conn_shm_wrote(c);
    if (sp->most == 0) {
        conn_blocks_wrote(c);
        c->link.inflight = 0;
    }
}

bool conn_has_reason(const struct conn *c)
{
    return !c->was_ready && c->peer.failure && c->peer.tx.buf.bytes;
}

void conn_write(struct conn *c)
{
    struct conn_set *s = c->set;
    if (c->link.writing || conn_is_over(c) || c->half_closed)
        return;
    c->link.flush_pending = false;
    for (;;) {
        struct iovec iov[IOV_MAX_PIECES];
        struct stream *stream = c->stream;
        struct special sp;
        bool special = conn_out(c)->large | c->shm.switch_due;
        int n = __builtin_expect(special, false) ? prepare(c, &sp) : 0;
        if (n == 0)
            n = peer_send_iov(&c->peer, conn_out(c), iov, IOV_MAX_PIECES);
        if (n <= 0) {
            if (n == -ECANCELED || c->end_wanted != CONN_END_NONE) {
                conn_end_now(c, c->end_wanted, c->end_error);
                return;
            }
            if (n < 0)
                conn_back_off(c);
            break;
        }
        if (__builtin_expect(special, false))
            n = cut_pieces(c, iov, n, &sp);
        size_t total = 0;
        for (int i = 0; i < n; i++)
            total += iov[i].iov_len;
        c->link.writing = true;
        c->link.inflight = total > c->peer.tx.offered ? total - c->peer.tx.offered : 0;
        if (__builtin_expect(special, false) && sp.most == 0) /* what the place stands for */
            c->link.inflight = 1;
        mutex_unlock(&s->pipes.reactor.lock);
        ssize_t sent = stream_write(stream, c->io.fd, iov, n);
        mutex_lock(&s->pipes.reactor.lock);
        c->link.writing = false;
        c->link.inflight = c->blocks.pending;
        if (sent > 0) {
            c->bytes_out += (uint64_t)sent;
            peer_sent(&c->peer, conn_out(c), (size_t)sent);
            conn_shm_carried(c);
        }
        if (c->end_wanted != CONN_END_NONE) {
            if ((size_t)(sent > 0 ? sent : 0) == total && conn_has_reason(c))
                continue; /* the thread that broke off could not write it meanwhile */
            conn_end_now(c, c->end_wanted, c->end_error);
            return;
        }
        if (sent < 0 && sent != -EAGAIN) {
            if ((sent == -EPIPE || sent == -ECONNRESET) && is_read_on(c)) {
                c->link.blocked = c->half_closed = true;
                stream_end_writing(c->stream, c->io.fd);
                conn_update_lone(s);
                conn_watch(c);
                return;
            }
            conn_end_now(c, CONN_END_LOST, (int)-sent);
            return;
        }
        if ((size_t)(sent > 0 ? sent : 0) < total) {
            if (stream_has_room(stream)) /* since then: its sign may have been taken already */
                continue;
            if (!c->link.blocked) {
                c->link.blocked = true;
                conn_update_lone(s);
                conn_watch(c);
            }
            break;
        }
        if (c->link.blocked) {
            c->link.blocked = false;
            conn_update_lone(s);
            conn_watch(c);
        }
        if (__builtin_expect(special, false))
            wrote(c, &sp);
        if (!peer_wants_write(&c->peer, conn_out(c)) && !c->shm.switch_due)
            break;
    }
    s->pipes.reactor.last_write = clock_now();
    if (c->pipe) {
        struct pipe *p = c->pipe;
        pipe_drained(p);
        if (!conn_pending(c) &&
            (p->hung_up || s->pipes.reactor.closed || (c->endpoint && c->endpoint->closing)))
            conn_end_now(c, CONN_END_CLOSED, 0);
    }
    if (s->pipes.reactor.closed)
        s->pipes.reactor.work |= WORK_CLOSE;
}
