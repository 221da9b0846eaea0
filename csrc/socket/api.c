/* SPDX-License-Identifier: MIT */
/* Sending and receiving as fastmq.h describes it: waiting, partial messages, batches. */
#include "socket/api.h"

#include <string.h>

#include "base/alloc.h"
#include "net/conn.h"
#include "net/endpoint.h"
#include "reactor/notify.h"
#include "reactor/poll.h"
#include "socket/ctx.h"
#include "socket/registry.h"
#include "socket/socket.h"

#define RAW_PARTS 2

/* ---- time ---- */

static uint64_t deadline_of(int timeout_ms)
{
    if (timeout_ms < 0)
        return CLOCK_NEVER;
    return timeout_ms == 0 ? 0 : clock_now() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* ---- sending ---- */

static void consume(struct msg *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        msg_init(&parts[i]);
}

static int no_direction(struct fmq_socket *s, const char *verb)
{
    detail_set("a %s socket cannot %s", s->net.pipes.ops->name, verb);
    return -ENOTSUP;
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

static int send_locked(struct fmq_socket *s, struct msg *parts, uint32_t n, bool more)
{
    if (!s->net.pipes.ops->sends)
        return no_direction(s, "send");
    const struct pattern_ops *ops = s->net.pipes.ops;
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

/* What FD is to show after a call that would have to wait: a sender waits for room, and a receiver
 * has seen what FD showed. */
static inline void note_refused(struct fmq_socket *s, int rc, bool sends)
{
    struct reactor *r = socket_reactor(s);
    if (rc == -EAGAIN && (sends || r->notify.waits_out))
        notify_refused(r, sends);
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

/* ---- waiting ---- */

/* A send or receive that may have to be tried several times. The calls differ in what they try;
 * they wait alike. */
struct attempt {
    int (*run)(struct fmq_socket *s, struct attempt *a); /* lock held; -EAGAIN: wait */
    struct msg *part; /* sending: the parts; receiving one: where it goes */
    uint32_t count;   /* sending: how many parts; receiving: how many messages at most */
    bool more;
    struct parts *out;
    struct meta **meta;
    struct fmq_receipt *receipt;
    bool sends;
    bool counts; /* sending: it is to be counted when it has to wait */
};

static int attempt_once(fmq_socket *s, struct attempt *a)
{
    int rc = reactor_try_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = a->run(s, a);
    note_refused(s, rc, a->sends);
    reactor_leave(socket_reactor(s));
    return rc;
}

static int attempt_until(fmq_socket *s, struct attempt *a, int timeout_ms)
{
    uint64_t deadline = 0;
    bool first = true;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    while ((rc = a->run(s, a)) == -EAGAIN) {
        if (first) {
            deadline = deadline_of(timeout_ms);
            s->send_waits += a->counts;
        } else if (deadline == 0) {
            break;
        }
        first = false;
        int wait = reactor_wait(socket_reactor(s), deadline);
        /* Without a timeout it has looked at the network once: that deserves a last try. */
        if (wait && (wait != -EAGAIN || deadline != 0)) {
            rc = wait;
            break;
        }
    }
    note_refused(s, rc, a->sends);
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

/* ---- receiving ---- */

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
        return no_direction(s, "receive");
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
        return no_direction(s, "receive");
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

/* ---- readiness ---- */

int socket_readiness(struct fmq_socket *s)
{
    const struct pattern_ops *ops = s->net.pipes.ops;
    int events = ops->events(&s->net.pipes);
    if (!rx_open(&s->rx))
        return events;
    if (ops->send_over && !ops->send_over(&s->net.pipes))
        events &= ~FMQ_POLLOUT;
    return events | FMQ_POLLIN;
}

int socket_events(struct fmq_socket *s)
{
    return socket_readiness(s) | (tx_find(&s->tx_begun) ? FMQ_POLLOUT : 0);
}

int fmq_events(fmq_socket *s)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = reactor_wait(socket_reactor(s), 0);
    if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
        rc = socket_events(s);
    if (rc >= 0)
        notify_reported(socket_reactor(s), rc);
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_poll_one(fmq_socket *s, int events, int timeout_ms)
{
    uint64_t deadline = deadline_of(timeout_ms);
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    bool last = false;
    for (;;) {
        rc = socket_events(s) & events;
        if (rc || last)
            break;
        int wait = reactor_wait(socket_reactor(s), deadline);
        if (wait == -EAGAIN) {
            last = true;
        } else if (wait) {
            rc = wait;
            break;
        }
    }
    reactor_leave(socket_reactor(s));
    return rc;
}

/* ---- subscribers ---- */

int fmq_wait_subscribers(fmq_socket *s, const void *topic, size_t len, uint32_t n, int timeout_ms)
{
    uint64_t deadline = deadline_of(timeout_ms);
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    if (!s->net.pipes.ops->subscribers) {
        detail_set("a %s socket has no subscribers", s->net.pipes.ops->name);
        rc = -ENOTSUP;
    }
    for (bool last = false; rc == 0;) {
        int count = s->net.pipes.ops->subscribers(&s->net.pipes, topic, len);
        if ((uint32_t)count >= n || last) {
            rc = (uint32_t)count >= n ? count : -EAGAIN;
            break;
        }
        int wait = reactor_wait(socket_reactor(s), deadline);
        if (wait == -EAGAIN)
            last = true;
        else
            rc = wait;
    }
    reactor_leave(socket_reactor(s));
    return rc;
}

/* ---- endpoints ---- */

typedef int endpoint_verb(struct conn_set *s, const struct transport_ops *tr, const char *text,
                          const char *rest);

static int endpoint_call(fmq_socket *s, const char *text, endpoint_verb *verb)
{
    const struct transport_ops *tr;
    const char *rest;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = transport_of(text, &tr, &rest);
    if (rc == 0)
        rc = verb(&s->net, tr, text, rest);
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_bind(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, endpoint_bind);
}

int fmq_connect(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, endpoint_connect);
}

int fmq_unbind(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, endpoint_end);
}

int fmq_disconnect(fmq_socket *s, const char *endpoint)
{
    return endpoint_call(s, endpoint, endpoint_end);
}

int fmq_peer_state(fmq_socket *s, const void *id, size_t len)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = s->net.pipes.ops->peer_state ? s->net.pipes.ops->peer_state(&s->net.pipes, id, len)
                                      : -ENOTSUP;
    reactor_leave(socket_reactor(s));
    return rc;
}
