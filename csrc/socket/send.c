/* SPDX-License-Identifier: MIT */
/* Sending: whole messages, parts of them, and what a thread has begun. */
#include <string.h>

#include "base/error.h"
#include "fastmq.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"
#include "pipe/pipe_out.h"
#include "socket/attempt.h"
#include "socket/partial.h"
#include "socket/socket.h"

/* A message of a STREAM has so many: an id and bytes. */
#define RAW_PARTS 2

static void consume(struct msg *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        msg_init(&parts[i]);
}

/* Adds to the message that this thread has begun; routes it when it is whole. */
static int send_partial(struct fmq_socket *s, struct tx_message *p, struct msg *parts, uint32_t n,
                        bool more)
{
    int rc = 0;
    bool begins = !p;
    if (begins) {
        rc = s->net.pipes.ops->send_check ? s->net.pipes.ops->send_check(&s->net.pipes, &parts[0])
                                          : 0;
        if (rc)
            return rc;
        if (!(s->net.pipes.ops->events(&s->net.pipes) & FMQ_POLLOUT))
            return -EAGAIN;
        p = tx_new();
        if (!p)
            return -ENOMEM;
    }
    if (p->parts.cap - p->parts.len < n)
        rc = parts_grow(&p->parts, n);
    for (uint32_t i = 0; i < n && more && rc == 0; i++)
        rc = msg_own(&parts[i]);
    if (rc) {
        if (begins)
            tx_free(p);
        return rc;
    }
    if (begins)
        list_push_back(&s->tx_begun, &p->node);
    uint32_t start = p->parts.len;
    memcpy(p->parts.v + start, parts, n * sizeof(*parts));
    p->parts.len = start + n;
    if (more)
        return 0;
    rc = s->net.pipes.ops->send(&s->net.pipes, &p->parts);
    if (rc) /* some may have become owned */
        memcpy(parts, p->parts.v + start, n * sizeof(*parts));
    if (rc == -EAGAIN) {
        p->parts.len = start; /* the last part stays the caller's: it may try again */
        return rc;
    }
    if (rc) {
        /* A message that cannot be sent is dropped whole, so that the next begins anew. The last
         * parts stay the caller's. */
        p->parts.len = start;
    }
    tx_free(p);
    return rc;
}

static int several_parts(const struct pattern_ops *ops)
{
    detail_set("a message of a %s socket has one part: SNDMORE and further parts are not for it",
               ops->name);
    return -EINVAL;
}

static int send_locked(struct fmq_socket *s, struct msg *parts, uint32_t n, bool more)
{
    const struct pattern_ops *ops = s->net.pipes.ops;
    if (!ops->sends)
        return socket_cannot(s, "send");
    if (ops->single && (more || n > 1))
        return several_parts(ops);
    bool unread = rx_open(&s->rx) && ops->send_over;
    if (unread && !ops->send_over(&s->net.pipes))
        return -FMQ_EFSM;
    struct tx_message *p = list_empty(&s->tx_begun) ? NULL : tx_find(&s->tx_begun);
    if (s->net.pipes.ops->raw && more && (p ? p->parts.len : 0) + n >= RAW_PARTS)
        more = false; /* STREAM: [id, data] is whole whatever the flag says */
    int rc;
    if (p || more) {
        rc = send_partial(s, p, parts, n, more);
    } else {
        struct parts whole;
        whole.cap = PARTS_INLINE;
        whole.len = n;
        whole.v = whole.few;
        if (n > PARTS_INLINE) {
            parts_init(&whole);
            rc = parts_grow(&whole, n);
            if (rc)
                return rc;
            whole.len = n;
        }
        memcpy(whole.v, parts, n * sizeof(*parts));
        rc = s->net.pipes.ops->send(&s->net.pipes, &whole);
        if (rc) { /* some may have become owned; an XSUB may have taken subscriptions off the front
                   */
            memcpy(parts, whole.v, whole.len * sizeof(*parts));
            consume(parts + whole.len, n - whole.len);
        }
        whole.len = 0;
        if (whole.v != whole.few)
            parts_fini(&whole);
    }
    if (rc == 0) {
        consume(parts, n);
        if (unread)
            rx_fini(&s->rx);
    }
    return rc;
}

int fmq_try_send(fmq_socket *s, struct msg *parts, uint32_t n, bool more)
{
    int rc = reactor_try_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = send_locked(s, parts, n, more);
    note_refused(s, rc, true);
    reactor_leave(socket_reactor(s));
    return rc;
}

/* send_locked for one part that is a whole message, which nothing keeps from being sent. */
static int send_single(struct fmq_socket *s, const void *data, size_t size, void *object)
{
    struct parts whole;
    whole.cap = PARTS_INLINE;
    whole.len = 1;
    whole.v = whole.few;
    msg_init_borrowed(&whole.few[0], data, size, object);
    int rc = s->net.pipes.ops->send(&s->net.pipes, &whole);
    for (uint32_t i = 0; rc && i < whole.len; i++)
        msg_drop(&whole.v[i]);
    whole.len = 0;
    if (whole.v != whole.few)
        parts_fini(&whole);
    return rc;
}

int fmq_try_send_bytes(fmq_socket *s, const void *data, size_t size, void *object, bool more)
{
    int rc = reactor_try_enter(socket_reactor(s));
    if (rc)
        return rc;
    const struct pattern_ops *ops = s->net.pipes.ops;
    bool whole = !more && list_empty(&s->tx_begun);
    if (whole && ops->select_tx) {
        struct pipe *p = ops->select_tx(&s->net.pipes, size);
        rc = p ? pipe_write_bytes(p, data, size, object) : -EAGAIN;
    } else if (whole && ops->sends && !(ops->send_over && rx_open(&s->rx))) {
        rc = send_single(s, data, size, object);
    } else {
        struct msg m;
        msg_init_borrowed(&m, data, size, object);
        rc = send_locked(s, &m, 1, more);
        if (rc)
            msg_drop(&m);
    }
    note_refused(s, rc, true);
    reactor_leave(socket_reactor(s));
    return rc;
}

static int run_send(struct fmq_socket *s, struct attempt *a)
{
    return send_locked(s, a->part, a->count, a->more);
}

static int send_waiting(fmq_socket *s, struct msg *parts, uint32_t n, bool more, int timeout_ms,
                        bool counts)
{
    struct attempt a = {
        .run = run_send, .part = parts, .count = n, .more = more, .sends = true, .counts = counts};
    return attempt_until(s, &a, timeout_ms);
}

int fmq_send(fmq_socket *s, struct msg *parts, uint32_t n, bool more, int timeout_ms)
{
    return send_waiting(s, parts, n, more, timeout_ms, timeout_ms != 0);
}

int fmq_send_again(fmq_socket *s, struct msg *parts, uint32_t n, bool more, int timeout_ms)
{
    return send_waiting(s, parts, n, more, timeout_ms, false);
}

int fmq_drop_begun(fmq_socket *s, bool all, uint32_t *parts)
{
    *parts = 0;
    if (s->net.pipes.reactor.fork_generation != fork_generation)
        return 0;
    mutex_lock(&s->net.pipes.reactor.lock);
    int count = tx_drop(&s->tx_begun, all, parts);
    reactor_leave(socket_reactor(s));
    return count;
}

uint32_t fmq_begun(fmq_socket *s)
{
    if (s->net.pipes.reactor.fork_generation != fork_generation)
        return 0;
    mutex_lock(&s->net.pipes.reactor.lock);
    const struct tx_message *t = tx_find(&s->tx_begun);
    uint32_t parts = t ? t->parts.len : 0;
    mutex_unlock(&s->net.pipes.reactor.lock);
    return parts;
}

int fmq_flush(fmq_socket *s)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    s->net.pipes.reactor.work |= WORK_FLUSH;
    reactor_leave_slow(socket_reactor(s), true);
    return 0;
}
