/* SPDX-License-Identifier: MIT */
#include "core/pipe.h"

#include <string.h>

#include "base/alloc.h"
#include "core/conn.h"
#include "core/ctx.h"
#include "core/endpoint.h"
#include "core/inproc.h"
#include "core/inspect.h"

/* Subscriptions travel as messages whose first byte says which. */
#define SUBSCRIBE_BYTE 1
#define CANCEL_BYTE 0

struct pipe *pipe_new(struct fmq_socket *s, int *err)
{
    struct pipe *p = mem_zalloc(sizeof(*p));
    void *state = NULL;
    if (p && s->ops->pipe_size && !(state = mem_zalloc(s->ops->pipe_size))) {
        mem_free(p);
        p = NULL;
    }
    if (!p) {
        *err = -ENOMEM;
        return NULL;
    }
    p->socket = s;
    p->state = state;
    msgring_init(&p->in);
    p->in_hwm = (uint32_t)s->opt.rcvhwm;
    p->out_hwm = (uint32_t)s->opt.sndhwm;
    outq_init(&p->out, s->ctx->pool);
    p->peer_type = -1;
    list_init(&p->in_node);
    list_init(&p->out_node);
    list_init(&p->dead_node);
    p->conflate = s->opt.conflate;
    p->raw = s->ops->raw;
    list_push_back(&s->pipes, &p->in_socket);
    return p;
}

int pipe_attach(struct pipe *p)
{
    int rc = p->socket->ops->attach(p->socket, p);
    p->attached = rc == 0;
    return rc;
}

int pipe_connected(struct pipe *p)
{
    struct fmq_socket *s = p->socket;
    p->ready = true;
    p->since = clock_unix();
    p->connections++;
    int rc = s->ops->connected ? s->ops->connected(s, p) : 0;
    if (rc && rc != -EAGAIN)
        return rc;
    if (s->opt.hello_msg.len)
        pipe_write_control(p, s->opt.hello_msg.data, s->opt.hello_msg.len);
    /* Whether or not it was full before: a connection is news to who balances load. */
    p->full = false;
    s->ops->writable(s, p);
    socket_notify(s);
    return 0;
}

void pipe_lost(struct pipe *p)
{
    struct fmq_socket *s = p->socket;
    p->ready = false;
    p->since = 0;
    msgring_rollback(&p->in);
    if (p->raw) {
        pipe_discard(p);
    } else {
        outq_rewind(&p->out);
    }
    if (p->hung_up)
        return;
    if (s->ops->lost)
        s->ops->lost(s, p);
    if (s->opt.hiccup_msg.len)
        pipe_inject(p, s->opt.hiccup_msg.data, s->opt.hiccup_msg.len);
    pipe_drained(p);
}

void pipe_count_drops(struct pipe *p, uint64_t n)
{
    p->drops += n;
    p->socket->drops += n;
}

void pipe_discard(struct pipe *p)
{
    p->msgs_out -= p->out.msgs;
    pipe_count_drops(p, p->out.msgs);
    outq_fini(&p->out);
    outq_init(&p->out, p->socket->ctx->pool);
}

static void queue_reap(struct pipe *p)
{
    if (!list_linked(&p->dead_node))
        list_push_back(&p->socket->dead_pipes, &p->dead_node);
    p->socket->work |= WORK_REAP;
}

void pipe_hangup(struct pipe *p)
{
    struct fmq_socket *s = p->socket;
    if (p->hung_up) { /* it may be done now */
        queue_reap(p);
        return;
    }
    p->hung_up = true;
    msgring_rollback(&p->in);
    if (p->attached && p->ready && s->opt.disconnect_msg.len && !s->closed)
        pipe_inject(p, s->opt.disconnect_msg.data, s->opt.disconnect_msg.len);
    if (p->attached && s->ops->hangup)
        s->ops->hangup(s, p);
    list_remove(&p->out_node);
    if (p->link)
        inproc_detach(p);
    queue_reap(p);
    socket_notify(s);
}

void pipe_free(struct pipe *p)
{
    struct fmq_socket *s = p->socket;
    if (p->attached)
        s->ops->detach(s, p);
    if (p->link)
        inproc_detach(p);
    if (p->endpoint && p->endpoint->pipe == p)
        p->endpoint->pipe = NULL;
    list_remove(&p->in_node);
    list_remove(&p->out_node);
    list_remove(&p->dead_node);
    list_remove(&p->in_socket);
    inspect_pipe_ended(p);
    msgring_fini(&p->in);
    outq_fini(&p->out);
    meta_unref(p->meta);
    mem_free(p->remote_name);
    mem_free(p->state);
    mem_free(p);
}

void pipe_close(struct pipe *p)
{
    p->close_wanted = true;
    queue_reap(p);
}

void pipe_renew(struct pipe *p)
{
    p->renew_wanted = true;
    pipe_close(p);
}

/* ---- out ---- */

bool pipe_can_write(struct pipe *p)
{
    if (p->hung_up || p->close_wanted)
        return false;
    if (p->link)
        return inproc_can_write(p);
    if (p->conflate || !p->out_hwm || p->out.msgs < p->out_hwm)
        return true;
    p->full = true;
    return false;
}

/* As pipe_write, for a pipe that is known to have room. */
static inline int put(struct pipe *p, struct msg *parts, uint32_t n)
{
    int rc;
    if (p->link) {
        rc = inproc_write(p, parts, n);
    } else {
        if (p->conflate) {
            uint32_t before = p->out.msgs;
            outq_drop_pending(&p->out, p->conn ? p->conn->inflight : 0);
            p->msgs_out -= before - p->out.msgs;
            pipe_count_drops(p, before - p->out.msgs);
        }
        rc = p->raw ? outq_put_raw(&p->out, parts) : outq_put(&p->out, parts, n);
        if (rc == 0 && p->conn)
            conn_wrote(p->conn);
    }
    if (rc == 0)
        p->msgs_out++;
    return rc;
}

int pipe_write(struct pipe *p, struct msg *parts, uint32_t n)
{
    return pipe_can_write(p) ? put(p, parts, n) : -EAGAIN;
}

int pipe_write_bytes(struct pipe *p, const void *data, size_t size, void *object)
{
    if (size > OUTQ_COPY_MAX || !pipe_takes_spans(p)) {
        struct msg m;
        msg_init_borrowed(&m, data, size, object);
        int rc = put(p, &m, 1);
        if (rc)
            msg_drop(&m);
        return rc;
    }
    int rc = outq_put_copy(&p->out, data, size);
    if (rc)
        return rc;
    p->msgs_out++;
    if (p->conn)
        conn_wrote(p->conn);
    return 0;
}

int pipe_write_control(struct pipe *p, const void *data, size_t len)
{
    if (p->hung_up)
        return -EAGAIN;
    struct msg m;
    int rc = msg_init_copy(&m, data, len);
    if (rc)
        return rc;
    if (p->link)
        rc = inproc_write(p, &m, 1);
    else
        rc = p->raw ? outq_put_raw(&p->out, &m) : outq_put(&p->out, &m, 1);
    if (rc) {
        msg_drop(&m);
        return rc;
    }
    p->msgs_out++;
    if (p->conn)
        conn_wrote(p->conn);
    return 0;
}

int pipe_put_subscription(struct pipe *p, const void *topic, size_t len, bool add)
{
    if (p->hung_up || !p->ready)
        return 0;
    if (p->link) {
        struct msg m;
        uint8_t *data;
        int rc = msg_init_blob(&m, len + 1, &data);
        if (rc)
            return rc;
        data[0] = add ? SUBSCRIBE_BYTE : CANCEL_BYTE;
        if (len)
            memcpy(data + 1, topic, len);
        rc = inproc_write(p, &m, 1);
        if (rc)
            msg_drop(&m);
        return rc;
    }
    if (!p->conn)
        return 0;
    int rc = peer_put_subscription(&p->conn->peer, &p->out, topic, len, add);
    if (rc == 0)
        conn_wrote(p->conn);
    return rc;
}

int pipe_write_span(struct pipe *p, const struct outspan *span)
{
    int rc = pipe_can_write(p) ? outq_put_span(&p->out, span) : -EAGAIN;
    if (rc)
        return rc;
    p->msgs_out++;
    if (p->conn)
        conn_wrote(p->conn);
    return 0;
}

int pipe_write_shared(struct pipe *p, struct msg *parts, uint32_t n)
{
    if (!pipe_can_write(p))
        return -EAGAIN;
    struct parts copy;
    parts_init(&copy);
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct msg m;
        rc = msg_own(&parts[i]);
        if (rc == 0)
            rc = msg_dup(&m, &parts[i]);
        if (rc == 0 && (rc = parts_push(&copy, &m)) != 0)
            msg_drop(&m);
    }
    if (rc == 0)
        rc = pipe_write(p, copy.v, copy.len);
    if (rc == 0)
        copy.len = 0;
    parts_fini(&copy);
    return rc;
}

void pipe_drained(struct pipe *p)
{
    if (p->hung_up) {
        if (outq_empty(&p->out))
            queue_reap(p);
        return;
    }
    if (!p->full || (p->out_hwm && p->out.msgs >= p->out_hwm))
        return;
    p->full = false;
    if (p->attached)
        p->socket->ops->writable(p->socket, p);
    socket_notify(p->socket);
}

bool pipe_unsent(const struct pipe *p)
{
    return !outq_empty(&p->out) || (p->conn && conn_pending(p->conn));
}

uint32_t pipe_out_msgs(const struct pipe *p)
{
    return p->link ? inproc_out_msgs(p) : p->out.msgs;
}

/* ---- in ---- */

void pipe_arrived(struct pipe *p, uint32_t msgs_before)
{
    struct fmq_socket *s = p->socket;
    if (p->in.msgs <= msgs_before)
        return;
    p->msgs_in += p->in.msgs - msgs_before;
    if (msgs_before == 0 && p->attached)
        s->ops->readable(s, p);
    socket_notify(s);
}

/* Makes room known to whoever fills `in`. */
void pipe_made_room(struct pipe *p)
{
    if (p->link) {
        inproc_taken(p, 1);
        if (p->in.msgs == 0) {
            inproc_refill(p);
            p->msgs_in += p->in.msgs;
        }
    } else if (p->paused && p->conn && p->in.msgs <= p->in_hwm / 2) {
        conn_resume(p->conn);
    }
    if (p->in.msgs == 0 && p->hung_up)
        queue_reap(p);
}

int pipe_read(struct pipe *p, struct parts *out)
{
    struct msgring *r = &p->in;
    uint32_t n = 1;
    while (r->v[(r->head + n - 1) & (r->cap - 1)].flags & PART_MORE)
        n++;
    if (out->cap - out->len < n) {
        int rc = parts_grow(out, n);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < n; i++)
        msgring_pop(r, &out->v[out->len++]);
    if (p->link || p->hung_up || p->paused)
        pipe_made_room(p);
    return 0;
}

void pipe_skip(struct pipe *p)
{
    struct msg m;
    do {
        msgring_pop(&p->in, &m);
        msg_drop(&m);
    } while (m.flags & PART_MORE);
    if (p->link || p->hung_up || p->paused)
        pipe_made_room(p);
}

int pipe_inject(struct pipe *p, const void *data, size_t len)
{
    struct msg m;
    int rc = msg_init_copy(&m, data, len);
    if (rc)
        return rc;
    uint32_t before = p->in.msgs;
    rc = msgring_push(&p->in, &m);
    if (rc) {
        msg_drop(&m);
        return rc;
    }
    if (p->link)
        inproc_injected(p);
    p->msgs_in--; /* it has not come from the peer */
    pipe_arrived(p, before);
    return 0;
}
