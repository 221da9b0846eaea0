/* SPDX-License-Identifier: MIT */
/* STREAM: plain TCP peers. Messages are [id, bytes]; an empty part reports that a peer came or
 * went. */
#include <errno.h>

#include "base/error.h"
#include "pattern/ids.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_set.h"

struct stream {
    struct fairq in;
    struct balancer out; /* pipes that may be writable: for readiness only */
    struct ids ids;
    bool notify;
};

struct stream_pipe {
    struct id id;
    bool named;    /* it has the id in the table */
    bool notified; /* the program was notified that it is there */
};

static int stream_init(struct pipe_set *s)
{
    struct stream *me = s->state;
    fairq_init(&me->in);
    balancer_init(&me->out);
    ids_init(&me->ids);
    me->notify = true;
    return 0;
}

static void stream_fini(struct pipe_set *s)
{
    struct stream *me = s->state;
    ids_fini(&me->ids);
}

static int stream_attach(struct pipe_set *s, struct pipe *p)
{
    struct stream *me = s->state;
    struct stream_pipe *sp = p->state;
    route_attach(p);
    if (p->identity_given)
        id_set(&sp->id, p->identity, p->identity_len);
    else
        ids_make(&me->ids, &sp->id);
    int rc = map_put(&me->ids.pipes, sp->id.bytes, sp->id.len, p);
    if (rc)
        return rc == -EEXIST ? -EADDRINUSE : rc;
    sp->named = true;
    balancer_add(&me->out, p);
    if (!p->identity_given) { /* the program learns from ROUTING_ID what its latest peer was given
                               */
        memcpy(s->opt.routing_id, sp->id.bytes, sp->id.len);
        s->opt.routing_id_len = sp->id.len;
    }
    return 0;
}

static void notify_program(struct stream *me, struct pipe *p, bool there)
{
    struct stream_pipe *sp = p->state;
    if (sp->notified == there)
        return;
    sp->notified = there;
    if (me->notify && !p->direct && !(p->ended_here && !there)) /* as in libzmq */
        pipe_inject(p, "", 0);
}

static int stream_connected(struct pipe_set *s, struct pipe *p)
{
    notify_program(s->state, p, true);
    return 0;
}

static void stream_lost(struct pipe_set *s, struct pipe *p)
{
    notify_program(s->state, p, false);
}

static void forget(struct stream *me, struct pipe *p)
{
    struct stream_pipe *sp = p->state;
    if (sp->named)
        map_del(&me->ids.pipes, sp->id.bytes, sp->id.len);
    sp->named = false;
    balancer_remove(p);
}

static void stream_hangup(struct pipe_set *s, struct pipe *p)
{
    forget(s->state, p);
    notify_program(s->state, p, false);
}

static void stream_detach(struct pipe_set *s, struct pipe *p)
{
    forget(s->state, p);
    route_detach(p);
}

static void stream_readable(struct pipe_set *s, struct pipe *p)
{
    struct stream *me = s->state;
    fairq_add(&me->in, p);
}

static void stream_writable(struct pipe_set *s, struct pipe *p)
{
    struct stream *me = s->state;
    struct stream_pipe *sp = p->state;
    if (sp->named)
        balancer_add(&me->out, p);
}

static int stream_send_check(struct pipe_set *s, const struct msg *first)
{
    struct stream *me = s->state;
    struct pipe *p = ids_find(&me->ids, first);
    if (!p)
        return route_unreachable();
    return pipe_can_write(p, PIPE_ANY) ? 0 : -EAGAIN;
}

static int stream_send(struct pipe_set *s, struct parts *m)
{
    struct stream *me = s->state;
    if (m->len == 1) {
        route_drop(s, NULL, m, DROP_UNROUTED);
        return 0;
    }
    if (m->len > 2) {
        detail_set("a message of a STREAM socket is a routing id and one part");
        return -EINVAL;
    }
    struct pipe *p = ids_find(&me->ids, &m->v[0]);
    if (!p)
        return route_unreachable();
    if (msg_size(&m->v[1]) == 0) {
        p->ended_here = true;
        pipe_close(p);
        parts_clear(m);
        return 0;
    }
    int rc = pipe_write(p, m->v + 1, 1);
    if (rc)
        return rc;
    msg_drop(&m->v[0]);
    m->len = 0;
    return 0;
}

static int stream_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct stream *me = s->state;
    struct pipe *p = fairq_next(&me->in);
    if (!p)
        return -EAGAIN;
    struct stream_pipe *sp = p->state;
    struct msg head;
    int rc = id_frame(&sp->id, &head);
    if (rc)
        return rc;
    rc = parts_push(out, &head);
    if (rc) {
        msg_drop(&head);
        return rc;
    }
    rc = fairq_take(&me->in, p, out);
    if (rc) {
        parts_truncate(out, out->len - 1);
        return rc;
    }
    *from = p;
    return 0;
}

static int stream_events(struct pipe_set *s)
{
    struct stream *me = s->state;
    return (fairq_next(&me->in) ? FMQ_POLLIN : 0) | (balancer_ready(&me->out) ? FMQ_POLLOUT : 0);
}

static void stream_describe(struct pipe_set *s, struct pipe *p, struct fmq_peer *out)
{
    const struct stream_pipe *sp = p->state;
    (void)s;
    memcpy(out->identity, sp->id.bytes, sp->id.len);
    out->identity_len = sp->id.len;
}

static int stream_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct stream *me = s->state;
    (void)value;
    (void)len;
    if (option != OPT_STREAM_NOTIFY)
        return -EINVAL;
    me->notify = num != 0;
    return 0;
}

const struct pattern_ops pattern_stream = {
    .type = FMQ_STREAM,
    .name = "STREAM",
    .state_size = sizeof(struct stream),
    .pipe_size = sizeof(struct stream_pipe),
    .sends = true,
    .receives = true,
    .raw = true,
    .init = stream_init,
    .fini = stream_fini,
    .attach = stream_attach,
    .connected = stream_connected,
    .lost = stream_lost,
    .hangup = stream_hangup,
    .detach = stream_detach,
    .readable = stream_readable,
    .writable = stream_writable,
    .send_check = stream_send_check,
    .send = stream_send,
    .recv = stream_recv,
    .events = stream_events,
    .setopt = stream_setopt,
    .describe = stream_describe,
};
