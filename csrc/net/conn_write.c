/* SPDX-License-Identifier: MIT */
#include "net/conn_write.h"

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

void conn_write(struct conn *c)
{
    struct conn_set *s = c->set;
    if (c->link.writing || conn_is_over(c) || c->half_closed)
        return;
    c->link.flush_pending = false;
    for (;;) {
        struct iovec iov[IOV_MAX_PIECES];
        struct stream *stream = c->stream;
        size_t most = SIZE_MAX; /* of the pipe's queue */
        if (__builtin_expect(conn_out(c)->large, false) && !conn_blocks_prepare(c, &most)) {
            conn_end_now(c, c->end_wanted, c->end_error);
            return;
        }
        if (__builtin_expect(c->shm.switch_due, false) && conn_shm_prepare(c)) {
            conn_back_off(c);
            break;
        }
        int n = peer_send_iov(&c->peer, conn_out(c), iov, IOV_MAX_PIECES);
        if (n <= 0) {
            if (n < 0)
                conn_back_off(c);
            break;
        }
        size_t total = 0;
        bool switching = __builtin_expect(c->shm.switch_due, false);
        if (switching)
            conn_shm_cut(c, iov, &n);
        if (__builtin_expect(most != SIZE_MAX, false))
            n = cut(iov, n, c->peer.tx.offered + most);
        for (int i = 0; i < n; i++)
            total += iov[i].iov_len;
        c->link.writing = true;
        c->link.inflight = total > c->peer.tx.offered ? total - c->peer.tx.offered : 0;
        if (most == 0) /* what the place stands for */
            c->link.inflight = 1;
        mutex_unlock(&s->pipes.reactor.lock);
        ssize_t sent = stream_write(stream, c->io.fd, iov, n);
        mutex_lock(&s->pipes.reactor.lock);
        c->link.writing = false;
        c->link.inflight = c->blocks.pending;
        if (sent > 0) {
            c->bytes_out += (uint64_t)sent;
            peer_sent(&c->peer, conn_out(c), (size_t)sent);
        }
        if (c->end_wanted != CONN_END_NONE) {
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
        if (switching && c->stream == stream)
            conn_shm_wrote(c);
        if (most == 0) {
            conn_blocks_wrote(c);
            c->link.inflight = 0;
        }
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
