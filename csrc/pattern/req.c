/* SPDX-License-Identifier: MIT */
/*
 * REQ: asks one peer at a time. The form of the messages is in found.h.
 *
 * With REQ_RESEND_IVL a request is kept until its reply was received. It is written to one peer
 * that is connected, and to the next one when that is lost or the interval is over (post). The
 * reply of any peer that was given it counts, the first one that comes; its id tells it from
 * replies to other requests. While no peer is connected the request waits in the queue of one
 * (`parked`), so that LINGER holds for it as for any message, and is taken back from there when
 * another one connects first. A queue that still holds a copy gets no other: a peer that reads
 * nothing, or is away, gathers none.
 */
#include <errno.h>
#include <string.h>

#include "os/random.h"
#include "pattern/found.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_set.h"
#include "wire/peer_state.h"

struct req {
    struct fairq in;
    struct balancer out;
    struct pipe *asked; /* whose reply is due; NULL: none, or it is gone and any peer may answer */
    struct found reply;
    uint32_t id;  /* of the last request that had one */
    bool waiting; /* a request is out */
    bool with_id; /* that request has an id */
    bool correlate, relaxed, probe;

    uint32_t resend_ivl; /* REQ_RESEND_IVL, ms; 0: off */
    uint32_t ivl;        /* as it was when the last request was sent */
    bool keeps;          /* the last request was sent with it; the rest is of that request */
    bool answered;       /* its reply is in `reply`, or was received */
    bool any;            /* a peer that was given it has left: its reply may come by another way */
    bool parked;         /* `at` was not connected when it was given it */
    struct pipe *at;     /* who was given it last; NULL: nobody, or that peer is gone */
    struct parts kept;   /* the request as it is sent, while it may be sent again */
    uint32_t times;      /* how often it went out */
    uint64_t resent;     /* all requests' */
};

struct req_pipe {
    bool given; /* a request that was kept ... */
    uint32_t id;
};

static int req_init(struct pipe_set *s)
{
    struct req *me = s->state;
    fairq_init(&me->in);
    balancer_init(&me->out);
    parts_init(&me->reply.parts);
    parts_init(&me->kept);
    me->id = random_u32();
    return 0;
}

static void req_fini(struct pipe_set *s)
{
    struct req *me = s->state;
    parts_fini(&me->reply.parts);
    parts_fini(&me->kept);
}

/* ---- a request that is sent again ---- */

/* Whether there is one that still has to be answered. */
static bool is_open(const struct pipe_set *s)
{
    const struct req *me = s->state;
    return me->keeps && me->waiting && !me->answered && !pipe_set_closed(s);
}

static bool was_given(const struct req *me, const struct pipe *p)
{
    const struct req_pipe *rp = p->state;
    return rp->given && rp->id == me->id;
}

/* The peer whose turn it is among those that are connected and have room, and that have taken what
 * they were given of the request; NULL: none. */
static struct pipe *find_ready(struct req *me, uint64_t size)
{
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        if (p->ready && pipe_can_write(p, size) && !(was_given(me, p) && pipe_out_msgs(p)))
            return p;
    }
    return NULL;
}

/* One that is still to connect and has room. What was written to a direct link cannot be taken
 * back: for such a peer the request waits in the socket. */
static struct pipe *find_absent(struct req *me, uint64_t size, bool direct)
{
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        if (!p->ready && p->direct == direct && pipe_can_write(p, size))
            return p;
    }
    return NULL;
}

static bool any_connected(const struct pipe_set *s)
{
    LIST_FOR(it, &s->list)
    {
        const struct pipe *p = LIST_ENTRY(it, struct pipe, in_set);
        if (p->ready && !p->hung_up)
            return true;
    }
    return false;
}

static void went_out(struct pipe_set *s)
{
    struct req *me = s->state;
    me->parked = false;
    me->resent += me->times++ > 0;
    pipe_set_alarm(s, me->ivl);
}

/* `p` was given the request of that id. */
static void given(struct pipe_set *s, struct pipe *p, uint32_t id)
{
    struct req *me = s->state;
    struct req_pipe *rp = p->state;
    balancer_rotate(&me->out, p);
    rp->given = true;
    rp->id = id;
    me->at = p;
    me->parked = !p->ready;
    if (p->ready)
        went_out(s);
}

/* Takes the request back from a queue where it waits for a connection. */
static void unpark(struct req *me)
{
    struct pipe *p = me->at;
    if (!me->parked)
        return;
    me->parked = false;
    me->at = NULL;
    pipe_withdraw(p);
    ((struct req_pipe *)p->state)->given = false;
    balancer_add(&me->out, p);
}

/* Gives the request to the next peer, if there is one that takes it, or to a queue where it waits.
 */
static void post(struct pipe_set *s)
{
    struct req *me = s->state;
    if (!is_open(s))
        return;
    uint64_t size = route_size(s, &me->kept);
    struct pipe *p = find_ready(me, size);
    if (p)
        unpark(me);
    else if (!me->at)
        p = find_absent(me, size, false);
    if (p && pipe_write_shared(p, me->kept.v, me->kept.len) == 0)
        given(s, p, me->id);
    else if (p || (!me->parked && any_connected(s))) /* no memory, or a peer that does not read */
        pipe_set_alarm(s, me->ivl);
}

static void req_alarm(struct pipe_set *s)
{
    struct req *me = s->state;
    if (!me->parked)
        post(s);
}

/* The reply is there. The request is kept in case that the reply is dropped unread; copies that are
 * not written yet are taken back, so that closing does not wait for them. */
static void answered(struct pipe_set *s)
{
    struct req *me = s->state;
    me->answered = true;
    pipe_set_alarm_off(s);
    unpark(me);
    if (me->times < 2)
        return;
    LIST_FOR(it, &s->list)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, in_set);
        if (was_given(me, p))
            pipe_withdraw(p);
    }
}

/* That peer has left, or its connection: the request goes to another one. */
static void left(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    me->any |= me->keeps && was_given(me, p);
    if (me->at != p)
        return;
    me->at = NULL;
    me->parked = false;
    if (is_open(s)) {
        pipe_set_alarm_off(s);
        post(s);
    }
}

static int req_attach(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    route_attach(p);
    balancer_add(&me->out, p);
    return 0;
}

static int req_greet(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    return me->probe ? pipe_write_control(p, "", 0) : 0;
}

static void req_lost(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    if (!me->keeps || pipe_set_closed(s))
        return;
    pipe_withdraw(p); /* it is sent anew, to this peer or another one */
    balancer_add(&me->out, p);
    left(s, p);
}

static void req_hangup(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    balancer_remove(p);
    if (me->asked == p)
        me->asked = NULL;
    bool had = me->reply.parts.len;
    found_drop_unwanted(&me->reply, s, p);
    if (had && !me->reply.parts.len && me->keeps && me->waiting) {
        me->answered = false; /* and nobody has seen the answer */
        me->at = p;
    }
    left(s, p);
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
    if (!is_open(s) || !p->ready)
        return;
    if (me->parked && me->at == p)
        went_out(s); /* its connection writes it now */
    else if (me->parked || !me->at)
        post(s);
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

/* Whether a reply that came from there may be the one that is waited for. */
static bool may_answer(const struct req *me, const struct pipe *p)
{
    if (!me->waiting || p->close_wanted)
        return false;
    if (me->keeps)
        return !me->answered && (me->any || was_given(me, p));
    return !me->asked || me->asked == p;
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
        if (envelope > 0 && may_answer(me, p)) {
            parts_cut(out, start, (uint32_t)envelope);
            *from = p;
            return 0;
        }
        parts_truncate(out, start);
        pipe_count_drops(p, 1, DROP_RULES);
        if (envelope < 0 && !p->direct) /* within the process it is a mistake, not an attack */
            route_violation(p, PROTO_ZMTP_MALFORMED_MESSAGE);
    }
    return -EAGAIN;
}

/* Whether the reply is there, now in me->reply: 0, -EAGAIN, -ENOMEM. */
static int req_look(struct pipe_set *s)
{
    struct req *me = s->state;
    if (me->reply.parts.len)
        return 0;
    int rc = req_fetch(s, &me->reply.parts, &me->reply.from);
    if (rc == 0 && me->keeps)
        answered(s);
    return rc;
}

/* Looks at what came at once, so that a peer that breaks the rules is ended even if the program
 * does not receive. */
static void req_readable(struct pipe_set *s, struct pipe *p)
{
    struct req *me = s->state;
    struct pipe *from;
    fairq_add(&me->in, p);
    if (me->waiting)
        req_look(s);
    if (me->keeps && (me->answered || !me->waiting))
        req_fetch(s, &me->reply.parts, &from); /* finds none: drops what comes late */
}

/* Replies that came before the request was made answer something else. */
static int req_drop_stale(struct pipe_set *s)
{
    struct req *me = s->state;
    struct pipe *from;
    int rc;
    if (me->reply.parts.len)
        route_drop(s, me->reply.from, &me->reply.parts, DROP_REPLACED);
    while ((rc = req_fetch(s, &me->reply.parts, &from)) == 0)
        route_drop(s, from, &me->reply.parts, DROP_REPLACED);
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

/* Makes a part storable. A lent one is copied: who waits for it may do so before the reply is
 * there. */
static int own_part(struct msg *m)
{
    struct msg copy;
    if (!m->lent)
        return msg_own(m);
    int rc = msg_init_copy(&copy, msg_data(m), msg_size(m));
    if (rc)
        return rc;
    copy.flags = m->flags & PART_MORE;
    msg_drop(m);
    *m = copy;
    return 0;
}

/* Sends a request that is kept: 0, or -EAGAIN, -ENOMEM with all as it was. */
static int send_kept(struct pipe_set *s, struct parts *m, uint32_t id)
{
    struct req *me = s->state;
    uint64_t size = route_size(s, m);
    int rc = parts_grow(&me->kept, m->len);
    for (uint32_t i = 0; i < m->len && rc == 0; i++)
        rc = own_part(&m->v[i]);
    if (rc)
        return rc;
    struct pipe *p = find_ready(me, size);
    if (!p)
        p = find_absent(me, size, false);
    if (!p && !find_absent(me, size, true))
        return -EAGAIN;
    if (p && (rc = pipe_write_shared(p, m->v, m->len)) != 0)
        return rc;
    parts_clear(&me->kept);
    memcpy(me->kept.v, m->v, m->len * sizeof(*m->v));
    me->kept.len = m->len;
    m->len = 0;
    me->times = 0;
    me->ivl = me->resend_ivl;
    me->at = NULL;
    me->any = me->parked = me->answered = false;
    pipe_set_alarm_off(s);
    if (p)
        given(s, p, id);
    return 0;
}

static int req_send(struct pipe_set *s, struct parts *m)
{
    struct req *me = s->state;
    bool keep = me->resend_ivl != 0, had = me->reply.parts.len;
    int rc = req_send_check(s, NULL);
    if (rc)
        return rc;
    uint32_t id = me->id + 1, n = 0;
    struct msg head[2];
    if (me->correlate || keep) {
        msg_init_copy(&head[n], &id, sizeof(id)); /* fits inline: cannot fail */
        head[n++].flags = PART_MORE;
    }
    msg_init(&head[n]);
    head[n++].flags = PART_MORE;
    rc = req_drop_stale(s);
    if (rc == 0)
        rc = parts_prepend(m, head, n);
    if (rc == 0) {
        unpark(me); /* what went before it is wanted no more */
        rc = keep ? send_kept(s, m, id) : balancer_send(&me->out, m, route_size(s, m), &me->asked);
        if (rc)
            parts_remove_front(m, n);
    }
    if (rc) { /* the request before it goes on, if there is one */
        me->answered &= !had;
        post(s);
        return rc;
    }
    me->waiting = true;
    me->keeps = keep;
    me->with_id = n > 1;
    if (n > 1)
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
        if (me->keeps) {
            answered(s);
            parts_clear(&me->kept);
            me->at = NULL;
        }
    }
    return rc;
}

static int req_events(struct pipe_set *s)
{
    struct req *me = s->state;
    /* Without memory for what is there, receiving says so. */
    bool in = me->reply.parts.len || (me->waiting && req_look(s) != -EAGAIN);
    return (in ? FMQ_POLLIN : 0) | (req_send_check(s, NULL) == 0 ? FMQ_POLLOUT : 0);
}

static void req_stats(const struct pipe_set *s, struct fmq_socket_stats *out)
{
    const struct req *me = s->state;
    out->resent = me->resent;
    out->turn = me->relaxed ? FMQ_TURN_ANY : me->waiting ? FMQ_TURN_RECV : FMQ_TURN_SEND;
}

static int req_getopt(struct pipe_set *s, int option, int64_t *num)
{
    const struct req *me = s->state;
    if (option != OPT_REQ_RESEND_IVL)
        return -EINVAL;
    *num = me->resend_ivl;
    return 0;
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
    case OPT_REQ_RESEND_IVL: /* from the next request on */
        me->resend_ivl = (uint32_t)num;
        return 0;
    default:
        return -EINVAL;
    }
}

const struct pattern_ops pattern_req = {
    .type = FMQ_REQ,
    .name = "REQ",
    .state_size = sizeof(struct req),
    .pipe_size = sizeof(struct req_pipe),
    .sends = true,
    .receives = true,
    .dedup_connect = true,
    .init = req_init,
    .fini = req_fini,
    .attach = req_attach,
    .greet = req_greet,
    .lost = req_lost,
    .hangup = req_hangup,
    .detach = req_detach,
    .readable = req_readable,
    .writable = req_writable,
    .send_check = req_send_check,
    .send_over = req_send_over,
    .send = req_send,
    .recv = req_recv,
    .events = req_events,
    .alarm = req_alarm,
    .setopt = req_setopt,
    .getopt = req_getopt,
    .stats = req_stats,
};
