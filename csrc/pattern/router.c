/* SPDX-License-Identifier: MIT */
/*
 * ROUTER: the first frame of a message names the peer, both ways.
 *
 * A pipe is served once it has an id: at attach when the program named it (CONNECT_ROUTING_ID),
 * else when the peer is known. Its id may change when a connecting ROUTER finds another peer after
 * a reconnection; messages of the previous peer that are still unread keep its id (struct
 * prev_identity). A pipe whose id another one has stays open and is not served.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pattern/ids.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_set.h"

#define NOTIFY_CONNECT 1
#define NOTIFY_DISCONNECT 2

struct router {
    struct fairq in;
    struct balancer out; /* served pipes that may be writable: for readiness only */
    struct ids ids;
    int notify;
    bool mandatory, handover, probe, raw;
};

/* Messages at the front of a pipe that came under an earlier id. */
struct prev_identity {
    struct list node;
    uint32_t msgs;
    struct id id;
};

struct router_pipe {
    struct id id;
    bool served;     /* it has the id in the table */
    bool made_up;    /* the id is ours, the peer gave none */
    bool rx_enabled; /* what it sends is received: it has the id, or lost it to HANDOVER */
    bool notified;   /* the program was notified that it is there */
    struct list prev_identities;
    uint32_t prev_msgs; /* of all of them */
};

static int router_init(struct pipe_set *s)
{
    struct router *me = s->state;
    fairq_init(&me->in);
    balancer_init(&me->out);
    ids_init(&me->ids);
    return 0;
}

static void router_fini(struct pipe_set *s)
{
    struct router *me = s->state;
    ids_fini(&me->ids);
}

/* ---- ids of peers ---- */

static void unserve(struct router *me, struct pipe *p)
{
    struct router_pipe *rp = p->state;
    if (rp->served)
        map_del(&me->ids.pipes, rp->id.bytes, rp->id.len);
    rp->served = false;
    balancer_remove(p);
}

/* Gives the pipe an id: 0, -EEXIST when another pipe has it, -ENOMEM. */
static int serve(struct router *me, struct pipe *p, const struct id *id)
{
    struct router_pipe *rp = p->state;
    int rc = map_put(&me->ids.pipes, id->bytes, id->len, p);
    if (rc)
        return rc;
    rp->id = *id;
    rp->served = true;
    rp->rx_enabled = true;
    balancer_add(&me->out, p);
    if (pipe_can_read(p))
        fairq_add(&me->in, p);
    return 0;
}

/* What is unread came from the peer of the present id. */
static int keep_prev_identity(struct pipe *p)
{
    struct router_pipe *rp = p->state;
    uint32_t msgs = p->in.msgs - rp->prev_msgs;
    if (msgs == 0)
        return 0;
    struct prev_identity *prev = mem_alloc(sizeof(*prev));
    if (!prev)
        return -ENOMEM;
    prev->msgs = msgs;
    prev->id = rp->id;
    rp->prev_msgs += msgs;
    list_push_back(&rp->prev_identities, &prev->node);
    return 0;
}

static int take_id(struct router *me, struct pipe *p, const struct id *id)
{
    struct router_pipe *rp = p->state;
    if (rp->served) {
        int rc = keep_prev_identity(p);
        if (rc)
            return rc;
        unserve(me, p);
        rp->rx_enabled = false;
    }
    struct pipe *holder = map_get(&me->ids.pipes, id->bytes, id->len);
    if (holder && !me->handover)
        return -EAGAIN;
    if (holder) { /* what it has sent is still received, under that id */
        struct router_pipe *hp = holder->state;
        hp->notified = false; /* nothing to report when it goes: the id is in use */
        unserve(me, holder);
        pipe_close(holder);
    }
    return serve(me, p, id);
}

static int identify(struct router *me, struct pipe *p)
{
    struct router_pipe *rp = p->state;
    if (rp->served && p->identity_given)
        return 0;
    struct id id;
    if (p->identity_len && !me->raw) {
        id_set(&id, p->identity, p->identity_len);
        if (rp->served && rp->id.len == id.len && memcmp(rp->id.bytes, id.bytes, id.len) == 0)
            return 0;
        rp->made_up = false;
    } else {
        if (rp->served && rp->made_up)
            return 0;
        ids_make(&me->ids, &id);
        rp->made_up = true;
    }
    return take_id(me, p, &id);
}

static void notify_program(struct router *me, struct pipe *p, bool there)
{
    struct router_pipe *rp = p->state;
    if (rp->notified == there)
        return;
    rp->notified = there;
    int which = there ? NOTIFY_CONNECT : NOTIFY_DISCONNECT;
    if ((me->raw || (me->notify & which)) && !(p->ended_here && !there))
        pipe_inject(p, "", 0);
}

/* ---- events of pipes ---- */

static int router_attach(struct pipe_set *s, struct pipe *p)
{
    struct router *me = s->state;
    struct router_pipe *rp = p->state;
    route_attach(p);
    list_init(&rp->prev_identities);
    if (!p->identity_given)
        return 0;
    struct id id;
    id_set(&id, p->identity, p->identity_len);
    int rc = serve(me, p, &id);
    return rc == -EEXIST ? -EADDRINUSE : rc;
}

static int router_connected(struct pipe_set *s, struct pipe *p)
{
    struct router *me = s->state;
    int rc = identify(me, p);
    if (rc)
        return rc;
    notify_program(me, p, true);
    return me->probe && !me->raw ? pipe_write_control(p, "", 0) : 0;
}

static void router_lost(struct pipe_set *s, struct pipe *p)
{
    notify_program(s->state, p, false);
}

/* Nothing more is received from a pipe whose id another one has. */
static void rx_disable(struct pipe_set *s, struct pipe *p)
{
    fairq_remove(p);
    while (p->hung_up && pipe_can_read(p))
        route_skip(s, p);
}

static void router_hangup(struct pipe_set *s, struct pipe *p)
{
    struct router_pipe *rp = p->state;
    unserve(s->state, p);
    notify_program(s->state, p, false);
    if (!rp->rx_enabled && list_empty(&rp->prev_identities))
        rx_disable(s, p);
}

static void router_detach(struct pipe_set *s, struct pipe *p)
{
    struct router_pipe *rp = p->state;
    unserve(s->state, p);
    route_detach(p);
    struct list *node;
    while ((node = list_pop_front(&rp->prev_identities)))
        mem_free(LIST_ENTRY(node, struct prev_identity, node));
}

static void router_readable(struct pipe_set *s, struct pipe *p)
{
    struct router *me = s->state;
    struct router_pipe *rp = p->state;
    if (rp->rx_enabled)
        fairq_add(&me->in, p);
}

static void router_writable(struct pipe_set *s, struct pipe *p)
{
    struct router *me = s->state;
    struct router_pipe *rp = p->state;
    if (rp->served)
        balancer_add(&me->out, p);
}

/* ---- messages ---- */

static int router_send_check(struct pipe_set *s, const struct msg *first)
{
    struct router *me = s->state;
    if (!me->mandatory)
        return 0;
    struct pipe *p = ids_find(&me->ids, first);
    if (!p)
        return route_unreachable();
    return pipe_can_write(p, PIPE_ANY) ? 0 : -EAGAIN;
}

static int router_send(struct pipe_set *s, struct parts *m)
{
    struct router *me = s->state;
    struct pipe *p = m->len > 1 ? ids_find(&me->ids, &m->v[0]) : NULL;
    if (!p) {
        if (me->mandatory && m->len > 1)
            return route_unreachable();
        route_drop(s, NULL, m, DROP_UNROUTED);
        return 0;
    }
    if (me->raw && m->len > 2) {
        detail_set("with ROUTER_RAW a message is a routing id and one part");
        return -EINVAL;
    }
    if (me->raw && msg_size(&m->v[1]) == 0) {
        p->ended_here = true;
        pipe_close(p);
        parts_clear(m);
        return 0;
    }
    int rc = pipe_write(p, m->v + 1, m->len - 1);
    if (rc == 0) {
        msg_drop(&m->v[0]);
        m->len = 0;
        return 0;
    }
    if (rc != -EAGAIN || me->mandatory)
        return rc;
    route_drop(s, p, m, DROP_FULL);
    return 0;
}

static int router_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct router *me = s->state;
    struct pipe *p = fairq_next(&me->in);
    if (!p)
        return -EAGAIN;
    struct router_pipe *rp = p->state;
    struct list *node = list_first(&rp->prev_identities);
    struct prev_identity *prev = node ? LIST_ENTRY(node, struct prev_identity, node) : NULL;
    struct msg head;
    int rc = id_frame(prev ? &prev->id : &rp->id, &head);
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
    if (prev)
        rp->prev_msgs--;
    if (prev && --prev->msgs == 0) {
        list_remove(&prev->node);
        mem_free(prev);
        if (list_empty(&rp->prev_identities) && !rp->rx_enabled)
            rx_disable(s, p);
    }
    *from = p;
    return 0;
}

static int router_events(struct pipe_set *s)
{
    struct router *me = s->state;
    bool out = !me->mandatory || balancer_ready(&me->out);
    return (fairq_next(&me->in) ? FMQ_POLLIN : 0) | (out ? FMQ_POLLOUT : 0);
}

static int router_peer_state(struct pipe_set *s, const void *id, size_t len)
{
    if (s->type != FMQ_ROUTER)
        return -ENOTSUP;
    struct router *me = s->state;
    struct pipe *p = map_get(&me->ids.pipes, id, len);
    if (!p)
        return route_unreachable();
    return (pipe_can_read(p) ? FMQ_POLLIN : 0) | (pipe_can_write(p, PIPE_ANY) ? FMQ_POLLOUT : 0);
}

/* The peer as the program addresses it: also by an id that is ours. */
static void router_describe(struct pipe_set *s, struct pipe *p, struct fmq_peer *out)
{
    const struct router_pipe *rp = p->state;
    (void)s;
    memcpy(out->identity, rp->id.bytes, rp->id.len);
    out->identity_len = rp->id.len;
}

/* ---- options and table ---- */

static int router_setopt(struct pipe_set *s, int option, int64_t num, const void *value,
                         size_t len);

static int router_getopt(struct pipe_set *s, int option, int64_t *num)
{
    struct router *me = s->state;
    if (option != OPT_ROUTER_NOTIFY)
        return -EINVAL;
    *num = me->notify;
    return 0;
}

#define ROUTER_OPS(is_raw)                                                                         \
    {                                                                                              \
        .type = FMQ_ROUTER,                                                                        \
        .name = "ROUTER",                                                                          \
        .state_size = sizeof(struct router),                                                       \
        .pipe_size = sizeof(struct router_pipe),                                                   \
        .sends = true,                                                                             \
        .receives = true,                                                                          \
        .says_hello = true,                                                                        \
        .hears_disconnect = true,                                                                  \
        .raw = (is_raw),                                                                           \
        .init = router_init,                                                                       \
        .fini = router_fini,                                                                       \
        .attach = router_attach,                                                                   \
        .connected = router_connected,                                                             \
        .lost = router_lost,                                                                       \
        .hangup = router_hangup,                                                                   \
        .detach = router_detach,                                                                   \
        .readable = router_readable,                                                               \
        .writable = router_writable,                                                               \
        .send_check = router_send_check,                                                           \
        .send = router_send,                                                                       \
        .recv = router_recv,                                                                       \
        .events = router_events,                                                                   \
        .setopt = router_setopt,                                                                   \
        .getopt = router_getopt,                                                                   \
        .peer_state = router_peer_state,                                                           \
        .describe = router_describe,                                                               \
    }

const struct pattern_ops pattern_router = ROUTER_OPS(false);
/* What a ROUTER becomes with ROUTER_RAW: its later connections speak no ZMTP. */
static const struct pattern_ops pattern_router_raw = ROUTER_OPS(true);

static int router_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct router *me = s->state;
    (void)value;
    (void)len;
    switch (option) {
    case OPT_ROUTER_MANDATORY:
        me->mandatory = num != 0;
        return 0;
    case OPT_ROUTER_HANDOVER:
        me->handover = num != 0;
        return 0;
    case OPT_PROBE_ROUTER:
        me->probe = num != 0;
        return 0;
    case OPT_ROUTER_NOTIFY:
        me->notify = (int)num;
        return 0;
    case OPT_ROUTER_RAW:
        me->raw = num != 0;
        s->ops = me->raw ? &pattern_router_raw : &pattern_router;
        return 0;
    default:
        return -EINVAL;
    }
}
