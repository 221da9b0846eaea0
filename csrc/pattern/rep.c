/* SPDX-License-Identifier: MIT */
/* REP: answers whoever asked. The form of the messages is in found.h. */
#include <errno.h>
#include <string.h>

#include "pattern/found.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

struct rep {
    struct fairq in;
    struct parts envelope; /* of the request in hand, or of the one found */
    struct pipe *asker;    /* of the request in hand; NULL: gone */
    struct found request;
    bool replying; /* a request was received and is to be answered */
};

static int rep_init(struct pipe_set *s)
{
    struct rep *me = s->state;
    fairq_init(&me->in);
    parts_init(&me->envelope);
    parts_init(&me->request.parts);
    return 0;
}

static void rep_fini(struct pipe_set *s)
{
    struct rep *me = s->state;
    parts_fini(&me->envelope);
    parts_fini(&me->request.parts);
}

static int rep_attach(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    route_attach(p);
    return 0;
}

static void rep_hangup(struct pipe_set *s, struct pipe *p)
{
    struct rep *me = s->state;
    if (me->asker == p)
        me->asker = NULL;
    found_drop_unwanted(&me->request, s, p);
}

static void rep_detach(struct pipe_set *s, struct pipe *p)
{
    struct rep *me = s->state;
    rep_hangup(s, p);
    found_forget_pipe(&me->request, p);
    route_detach(p);
}

static void rep_readable(struct pipe_set *s, struct pipe *p)
{
    struct rep *me = s->state;
    fairq_add(&me->in, p);
}

static void rep_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

/* The frames up to and including the first empty one in the oldest message; 0: no such, or no body.
 */
static uint32_t request_envelope(const struct pipe *p)
{
    const struct msgring *r = &p->in;
    for (uint32_t i = 0;; i++) {
        const struct msg *m = &r->v[(r->head + i) & (r->cap - 1)];
        if (!(m->flags & PART_MORE))
            return 0;
        if (msg_size(m) == 0)
            return i + 1;
    }
}

/* Appends the body of the next request and keeps its envelope. */
static int rep_fetch(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct rep *me = s->state;
    struct pipe *p;
    while ((p = fairq_next(&me->in))) {
        uint32_t n = request_envelope(p), start = out->len;
        if (n == 0) {
            route_skip(s, p);
            fairq_rotate(&me->in, p);
            continue;
        }
        parts_clear(&me->envelope);
        int rc = parts_grow(&me->envelope, n);
        if (rc == 0)
            rc = fairq_take(&me->in, p, out);
        if (rc)
            return rc;
        memcpy(me->envelope.v, out->v + start, n * sizeof(*out->v));
        me->envelope.len = n;
        out->len -= n;
        memmove(out->v + start, out->v + start + n, (out->len - start) * sizeof(*out->v));
        *from = p;
        return 0;
    }
    return -EAGAIN;
}

static int rep_send_check(struct pipe_set *s, const struct msg *first)
{
    struct rep *me = s->state;
    (void)first;
    return me->replying ? 0 : -FMQ_EFSM;
}

static bool rep_send_over(struct pipe_set *s)
{
    (void)s;
    return false;
}

static int rep_send(struct pipe_set *s, struct parts *m)
{
    struct rep *me = s->state;
    if (!me->replying)
        return -FMQ_EFSM;
    int rc = -EAGAIN;
    if (me->asker) {
        uint32_t n = me->envelope.len;
        rc = parts_prepend(m, me->envelope.v, n);
        if (rc == 0) {
            rc = pipe_write(me->asker, m->v, m->len);
            if (rc) { /* all as it was: the envelope is still in its place */
                m->len -= n;
                memmove(m->v, m->v + n, m->len * sizeof(*m->v));
            }
        }
    }
    if (rc == 0) {
        m->len = 0;
        me->envelope.len = 0;
    } else if (rc == -EAGAIN) {
        route_drop(s, me->asker, m, me->asker ? DROP_FULL : DROP_UNROUTED);
    } else {
        return rc;
    }
    parts_clear(&me->envelope);
    me->asker = NULL;
    me->replying = false;
    return 0;
}

static int rep_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct rep *me = s->state;
    if (me->replying)
        return -FMQ_EFSM;
    int rc = me->request.parts.len ? found_take(&me->request, out, from) : rep_fetch(s, out, from);
    if (rc)
        return rc;
    me->asker = *from && !(*from)->hung_up ? *from : NULL;
    me->replying = true;
    return 0;
}

static int rep_events(struct pipe_set *s)
{
    struct rep *me = s->state;
    if (me->replying)
        return FMQ_POLLOUT;
    /* Without memory for what is there, receiving says so. */
    int rc = me->request.parts.len ? 0 : rep_fetch(s, &me->request.parts, &me->request.from);
    return rc == -EAGAIN ? 0 : FMQ_POLLIN;
}

static void rep_stats(const struct pipe_set *s, struct fmq_socket_stats *out)
{
    const struct rep *me = s->state;
    out->turn = me->replying ? FMQ_TURN_SEND : FMQ_TURN_RECV;
}

const struct pattern_ops pattern_rep = {
    .type = FMQ_REP,
    .name = "REP",
    .state_size = sizeof(struct rep),
    .sends = true,
    .receives = true,
    .init = rep_init,
    .fini = rep_fini,
    .attach = rep_attach,
    .hangup = rep_hangup,
    .detach = rep_detach,
    .readable = rep_readable,
    .writable = rep_writable,
    .send_check = rep_send_check,
    .send_over = rep_send_over,
    .send = rep_send,
    .recv = rep_recv,
    .events = rep_events,
    .stats = rep_stats,
};
