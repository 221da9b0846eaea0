/* SPDX-License-Identifier: MIT */
/*
 * REQ and REP: one request, one reply, in lockstep.
 *
 *   request on the wire   [id, 4 bytes: only with REQ_CORRELATE] [empty] body...
 *   what a REP sees       [any frames of routers in between] [that same envelope] body...
 *
 * Both look for their next message in events() too, as readiness must mean a message for the
 * program and not one that is then thrown away; what is found there waits for the next recv.
 */
#include <errno.h>
#include <string.h>

#include "os/random.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"
#include "wire/peer_state.h"

/* A message that events() found. */
struct found {
    struct parts parts; /* empty: none */
    struct pipe *from;  /* NULL: it is gone by now */
};

static void found_forget_pipe(struct found *f, struct pipe *p)
{
    if (f->from == p)
        f->from = NULL;
}

/* The program wants nothing more of a pipe that it disconnected. */
static void found_drop_unwanted(struct found *f, struct pipe_set *s, struct pipe *p)
{
    if (!p->unwanted || f->from != p)
        return;
    route_drop(s, p, &f->parts);
    f->from = NULL;
}

/* Hands it over; 0 or -ENOMEM. */
static int found_take(struct found *f, struct parts *out, struct pipe **from)
{
    int rc = parts_grow(out, f->parts.len);
    if (rc)
        return rc;
    memcpy(out->v + out->len, f->parts.v, f->parts.len * sizeof(*out->v));
    out->len += f->parts.len;
    *from = f->from;
    f->parts.len = 0;
    f->from = NULL;
    return 0;
}

/* ---- REQ ---- */

struct req {
    struct fairq in;
    struct balancer out;
    struct pipe *asked; /* whose reply is due; NULL: none, or it is gone and any peer may answer */
    struct found reply;
    uint32_t id;  /* of the last request that had one */
    bool waiting; /* a request is out */
    bool with_id; /* that request has an id */
    bool correlate, relaxed, probe;
};

static int req_init(struct pipe_set *s)
{
    struct req *me = s->state;
    fairq_init(&me->in);
    balancer_init(&me->out);
    parts_init(&me->reply.parts);
    me->id = random_u32();
    return 0;
}

static void req_fini(struct pipe_set *s)
{
    struct req *me = s->state;
    parts_fini(&me->reply.parts);
}

static int req_attach(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    route_attach(p);
    balancer_add(&me->out, p);
    return 0;
}

static int req_connected(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    return me->probe ? pipe_write_control(p, "", 0) : 0;
}

static void req_hangup(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    balancer_remove(p);
    if (me->asked == p)
        me->asked = NULL;
    found_drop_unwanted(&me->reply, s, p);
}

static void req_detach(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    req_hangup(s, p);
    found_forget_pipe(&me->reply, p);
    route_detach(p);
}

static void req_writable(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    balancer_add(&me->out, p);
}

/* How many frames stand before the body; 0: not the reply to this request; -EPROTO: no reply at
 * all. */
static int reply_envelope(const struct req *me, const struct msg *v, uint32_t n)
{
    uint32_t at = n > 1 && msg_size(&v[0]) == sizeof(me->id);
    if (n < at + 2 || msg_size(&v[at]) != 0)
        return -EPROTO;
    if (me->with_id && (at == 0 || memcmp(msg_data(&v[0]), &me->id, sizeof(me->id)) != 0))
        return 0;
    return (int)at + 1;
}

/* Appends the body of the reply that is waited for and drops all else on the way. -EAGAIN: not
 * there. */
static int req_fetch(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct req *me = s->state;
    struct pipe *p;
    while ((p = fairq_next(&me->in))) {
        uint32_t start = out->len;
        int rc = fairq_take(&me->in, p, out);
        if (rc)
            return rc;
        int envelope = reply_envelope(me, out->v + start, out->len - start);
        if (envelope > 0 && me->waiting && !p->close_wanted && (!me->asked || me->asked == p)) {
            parts_cut(out, start, (uint32_t)envelope);
            *from = p;
            return 0;
        }
        parts_truncate(out, start);
        s->drops++;
        p->drops++;
        if (envelope < 0 && !p->direct) /* within the process it is a mistake, not an attack */
            route_violation(p, PROTO_ZMTP_MALFORMED_MESSAGE);
    }
    return -EAGAIN;
}

/* Looks at what came at once, so that a peer that breaks the rules is ended even if the program
 * does not receive. */
static void req_readable(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    fairq_add(&me->in, p);
    if (me->waiting && !me->reply.parts.len)
        req_fetch(s, &me->reply.parts, &me->reply.from);
}

/* Replies that came before the request was made answer something else. */
static int req_drop_stale(struct pipe_set *s)
{
    struct req *me = s->state;
    struct pipe *from;
    int rc;
    if (me->reply.parts.len)
        route_drop(s, me->reply.from, &me->reply.parts);
    while ((rc = req_fetch(s, &me->reply.parts, &from)) == 0)
        route_drop(s, from, &me->reply.parts);
    parts_clear(&me->reply.parts);
    me->reply.from = NULL;
    return rc == -EAGAIN ? 0 : rc;
}

static int req_send_check(struct pipe_set *s, const struct msg *first)
{
    struct req *me = s->state;
    (void)first;
    if (me->waiting && !me->relaxed)
        return -FMQ_EFSM;
    return balancer_ready(&me->out) ? 0 : -EAGAIN;
}

static bool req_send_over(struct pipe_set *s)
{
    struct req *me = s->state;
    return me->relaxed;
}

static int req_send(struct pipe_set *s, struct parts *m)
{
    struct req *me = s->state;
    int rc = req_send_check(s, NULL);
    if (rc == 0)
        rc = req_drop_stale(s);
    if (rc)
        return rc;
    uint32_t id = me->id + 1, n = 0;
    struct msg head[2];
    if (me->correlate) {
        msg_init_copy(&head[n], &id, sizeof(id)); /* fits inline: cannot fail */
        head[n++].flags = PART_MORE;
    }
    msg_init(&head[n]);
    head[n++].flags = PART_MORE;
    rc = parts_prepend(m, head, n);
    if (rc)
        return rc;
    rc = balancer_send(&me->out, m, route_size(s, m), &me->asked);
    if (rc) {
        parts_remove_front(m, n);
        return rc;
    }
    me->waiting = true;
    me->with_id = me->correlate;
    if (me->correlate)
        me->id = id;
    return 0;
}

static int req_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct req *me = s->state;
    if (!me->waiting)
        return -FMQ_EFSM;
    int rc = me->reply.parts.len ? found_take(&me->reply, out, from) : req_fetch(s, out, from);
    if (rc == 0) {
        me->waiting = false;
        me->asked = NULL;
    }
    return rc;
}

static int req_events(struct pipe_set *s)
{
    struct req *me = s->state;
    bool in = me->reply.parts.len;
    if (me->waiting && !in) /* without memory for what is there, receiving says so */
        in = req_fetch(s, &me->reply.parts, &me->reply.from) != -EAGAIN;
    return (in ? FMQ_POLLIN : 0) | (req_send_check(s, NULL) == 0 ? FMQ_POLLOUT : 0);
}

static int req_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct req *me = s->state;
    (void)value;
    (void)len;
    switch (option) {
    case OPT_REQ_CORRELATE:
        me->correlate = num != 0;
        return 0;
    case OPT_REQ_RELAXED:
        me->relaxed = num != 0;
        return 0;
    case OPT_PROBE_ROUTER:
        me->probe = num != 0;
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- REP ---- */

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
        route_drop(s, me->asker, m);
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

/* ---- tables ---- */

const struct pattern_ops pattern_req = {
    .type = FMQ_REQ,
    .name = "REQ",
    .state_size = sizeof(struct req),
    .sends = true,
    .receives = true,
    .dedup_connect = true,
    .init = req_init,
    .fini = req_fini,
    .attach = req_attach,
    .connected = req_connected,
    .hangup = req_hangup,
    .detach = req_detach,
    .readable = req_readable,
    .writable = req_writable,
    .send_check = req_send_check,
    .send_over = req_send_over,
    .send = req_send,
    .recv = req_recv,
    .events = req_events,
    .setopt = req_setopt,
};

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
};
