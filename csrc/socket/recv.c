/* SPDX-License-Identifier: MIT */
/* Receiving: whole messages, part by part, in batches, and what may be given back. */
#include "fastmq.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"
#include "pipe/pipe_in.h"
#include "socket/attempt.h"
#include "socket/partial.h"
#include "socket/socket.h"

static struct meta *meta_of(struct pipe *from)
{
    if (!from || !from->meta)
        return NULL;
    meta_ref(from->meta);
    return from->meta;
}

/* One whole message, or what is left of the one that is open. */
static int recv_locked(struct fmq_socket *s, struct parts *out, struct meta **meta)
{
    if (rx_open(&s->rx))
        return rx_take_rest(&s->rx, out, meta);
    if (!s->net.pipes.ops->receives)
        return socket_cannot(s, "receive");
    struct pipe *from = NULL;
    int rc = s->net.pipes.ops->recv(&s->net.pipes, out, &from);
    if (rc == 0 && meta)
        *meta = meta_of(from);
    return rc;
}

/* Receives a whole message, from that pipe or any, and gives out its first part. The others wait
 * for the next calls, of any thread: one that waits already is notified. */
static int begin_message(struct fmq_socket *s, struct pipe *from, struct msg *out,
                         struct meta **meta)
{
    struct parts *parts = &s->rx.open.parts;
    int rc = from ? pipe_read(from, parts) : s->net.pipes.ops->recv(&s->net.pipes, parts, &from);
    if (rc) {
        if (parts->len) /* part of it, for want of memory */
            parts_clear(parts);
        return rc;
    }
    if (meta)
        *meta = meta_of(from);
    if (rx_begin(&s->rx, out, from ? from->meta : NULL) &&
        (s->net.pipes.reactor.polling || s->net.pipes.reactor.waiters))
        reactor_notify(socket_reactor(s));
    return 0;
}

static inline int recv_part_locked(struct fmq_socket *s, struct msg *out, struct meta **meta)
{
    if (rx_open(&s->rx)) {
        rx_take(&s->rx, out, meta);
        return 0;
    }
    if (s->net.pipes.ops->select_rx) {
        struct pipe *from = s->net.pipes.ops->select_rx(&s->net.pipes);
        if (!from)
            return -EAGAIN;
        if (pipe_read_single(from, out)) {
            if (meta)
                *meta = meta_of(from);
            return 0;
        }
        return begin_message(s, from, out, meta);
    }
    if (!s->net.pipes.ops->receives)
        return socket_cannot(s, "receive");
    return begin_message(s, NULL, out, meta);
}

static int take_part(struct fmq_socket *s, struct attempt *a)
{
    return recv_part_locked(s, a->part, a->meta);
}

static int take_message(struct fmq_socket *s, struct attempt *a)
{
    return recv_locked(s, a->out, a->meta);
}

static int take_many(struct fmq_socket *s, struct attempt *a)
{
    uint32_t count = 0;
    bool plain = s->net.pipes.ops->select_rx && !rx_open(&s->rx);
    while (count < a->count) {
        int rc = 0;
        struct pipe *p = plain ? s->net.pipes.ops->select_rx(&s->net.pipes) : NULL;
        if (!plain)
            rc = recv_locked(s, a->out, NULL);
        else if (!p)
            rc = -EAGAIN;
        else if (a->out->len == a->out->cap)
            rc = parts_grow(a->out, 1);
        if (rc)
            return count ? (int)count : rc;
        if (p && pipe_read_single(p, &a->out->v[a->out->len]))
            a->out->len++;
        else if (p && (rc = pipe_read(p, a->out)) != 0)
            return count ? (int)count : rc;
        count++;
    }
    return (int)count;
}

int fmq_try_recv_part(fmq_socket *s, struct msg *out, struct meta **meta)
{
    int rc = reactor_try_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = recv_part_locked(s, out, meta);
    note_refused(s, rc, false);
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_recv_part(fmq_socket *s, struct msg *out, struct meta **meta, int timeout_ms)
{
    struct attempt a = {.run = take_part, .part = out, .meta = meta};
    return attempt_until(s, &a, timeout_ms);
}

int fmq_try_recv(fmq_socket *s, struct parts *out, struct meta **meta)
{
    struct attempt a = {.run = take_message, .out = out, .meta = meta};
    return attempt_once(s, &a);
}

int fmq_recv(fmq_socket *s, struct parts *out, struct meta **meta, int timeout_ms)
{
    struct attempt a = {.run = take_message, .out = out, .meta = meta};
    return attempt_until(s, &a, timeout_ms);
}

int fmq_try_recv_many(fmq_socket *s, struct parts *out, uint32_t max_messages)
{
    struct attempt a = {.run = take_many, .out = out, .count = max_messages};
    return attempt_once(s, &a);
}

int fmq_recv_many(fmq_socket *s, struct parts *out, uint32_t max_messages, int timeout_ms)
{
    struct attempt a = {.run = take_many, .out = out, .count = max_messages};
    return attempt_until(s, &a, timeout_ms);
}

/* ---- receiving what may be given back ---- */

static int take_part_into(struct fmq_socket *s, struct attempt *a)
{
    struct msg m;
    int rc = a->out->len == a->out->cap ? parts_grow(a->out, 1) : 0;
    if (rc == 0)
        rc = recv_part_locked(s, &m, a->meta);
    if (rc)
        return rc;
    a->out->v[a->out->len++] = m;
    return 1;
}

/* Whether all that the pipes may give comes of one peer, so that one receipt does. */
static bool has_one_source(struct fmq_socket *s)
{
    const struct list *pipes = &s->net.pipes.list;
    return pipes->next == pipes->prev && !rx_open(&s->rx);
}

static int take_for_receipt(struct fmq_socket *s, struct attempt *a)
{
    struct fmq_receipt *receipt = a->receipt;
    uint32_t before = a->out->len;
    int rc;
    if (receipt)
        rx_receipt(&s->rx, receipt);
    if (a->count == 0) {
        rc = take_part_into(s, a);
    } else if (a->count > 1 && (!receipt || has_one_source(s))) {
        struct list *first = receipt ? list_first(&s->net.pipes.list) : NULL;
        struct pipe *only = first ? LIST_ENTRY(first, struct pipe, in_set) : NULL;
        rc = take_many(s, a);
        if (rc > 0 && receipt)
            *a->meta = meta_of(only);
    } else {
        rc = recv_locked(s, a->out, a->meta);
        if (rc == 0)
            rc = 1;
    }
    if (rc > 0 && receipt)
        rx_taken(&s->rx, receipt, a->out->len - before);
    return rc;
}

int fmq_try_take(fmq_socket *s, uint32_t limit, struct parts *out, struct fmq_receipt *receipt)
{
    struct attempt a = {.run = take_for_receipt,
                        .out = out,
                        .count = limit,
                        .receipt = receipt,
                        .meta = receipt ? &receipt->meta : NULL};
    return attempt_once(s, &a);
}

int fmq_take(fmq_socket *s, uint32_t limit, struct parts *out, struct fmq_receipt *receipt,
             int timeout_ms)
{
    struct attempt a = {.run = take_for_receipt,
                        .out = out,
                        .count = limit,
                        .receipt = receipt,
                        .meta = receipt ? &receipt->meta : NULL};
    return attempt_until(s, &a, timeout_ms);
}

int fmq_give_back(fmq_socket *s, struct fmq_receipt *receipt, struct parts *parts)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = rx_give_back(&s->rx, receipt, parts);
    if (rc == 0)
        reactor_notify(socket_reactor(s));
    reactor_leave(socket_reactor(s));
    return rc;
}
