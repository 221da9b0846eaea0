/* SPDX-License-Identifier: MIT */
/* XPUB and PUB: publish to the peers that subscribed. The rules are in xpub_state.h. */
#include <errno.h>

#include "base/alloc.h"
#include "pattern/patterns.h"
#include "pattern/pubsub.h"
#include "pattern/xpub_late.h"
#include "pattern/xpub_notes.h"
#include "pattern/xpub_state.h"
#include "pattern/xpub_subscriptions.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "wire/peer_state.h"

/* What `plain` follows from changed. */
static void update_plain(struct xpub *me)
{
    me->plain = !me->nodrop && !me->last_value && !me->keep.max;
}

static int xpub_init(struct pipe_set *s)
{
    struct xpub *me = s->state;
    topics_init(&me->topics);
    topics_init(&me->asked);
    fanout_init(&me->out, s);
    fairq_init(&me->in);
    list_init(&me->notes);
    keep_init(&me->keep);
    list_init(&me->late);
    update_plain(me);
    return 0;
}

static void xpub_fini(struct pipe_set *s)
{
    struct xpub *me = s->state;
    struct list *node;
    while ((node = list_first(&me->notes)))
        note_free(me, LIST_ENTRY(node, struct note, node));
    topics_fini(&me->topics);
    topics_fini(&me->asked);
    fanout_fini(&me->out);
    keep_fini(&me->keep);
    if (me->has_welcome)
        msg_drop(&me->welcome);
}

/* ---- what subscribers send ---- */

static int xpub_take_subscription(void *arg, const void *topic, size_t len, bool add)
{
    struct xpub_pipe *xp = arg;
    if (xp->pipe->hung_up || xp->pipe->close_wanted)
        return 0;
    return xpub_change(xp->pipe->set, xp, topic, len, add);
}

/* Works through one message: subscriptions take effect, the rest is the program's. */
static int digest(struct pipe_set *s, struct xpub_pipe *xp, struct parts *m)
{
    struct xpub *me = s->state;
    int rc = parts_take_subscriptions(m, me->only_first, xpub_take_subscription, xp);
    if (rc)
        return rc;
    if (m->len == 0) {
        xp->pipe->msgs_in--; /* no message of the peer's program */
        return 0;
    }
    if (s->type == FMQ_PUB) {
        pipe_count_drops(xp->pipe, 1, DROP_RULES);
        return 0;
    }
    struct note *note = note_new(xp, m->len, true);
    if (!note)
        return -ENOMEM;
    parts_mark(m);
    memcpy(note->v, m->v, m->len * sizeof(*m->v));
    note->len = m->len;
    m->len = 0;
    note_post(me, note);
    return 0;
}

static bool may_read(const struct xpub *me, const struct xpub_pipe *xp)
{
    return pipe_can_read(xp->pipe) && (!xp->pipe->in_hwm || xp->held < xp->pipe->in_hwm) &&
           pipe_may_hold(xp->pipe) && !xpub_has_enough(me, xp);
}

/* Reads as far as allowed; what stays makes the pipe wait in `in`. */
static void read_ahead(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    if (xp->reading)
        return;
    xp->reading = true;
    int rc = 0;
    if (xp->kept.len)
        rc = digest(s, xp, &xp->kept);
    while (rc == 0 && may_read(me, xp)) {
        parts_clear(&xp->kept);
        rc = pipe_read(p, &xp->kept);
        if (rc == 0)
            rc = digest(s, xp, &xp->kept);
    }
    if (rc == -EDQUOT && !p->hung_up)
        route_violation(p, PROTO_TOO_MANY_SUBSCRIPTIONS);
    if (rc == 0 || rc == -EDQUOT || p->hung_up)
        parts_clear(&xp->kept);
    xp->reading = false;
    if (pipe_can_read(p) || xp->kept.len)
        fairq_add(&me->in, p);
    else
        fairq_remove(p);
}

static void read_rest(struct pipe_set *s)
{
    struct xpub *me = s->state;
    LIST_FOR_SAFE(it, &me->in.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, in_node);
        if (!pipe_can_read(p) || may_read(me, p->state))
            read_ahead(s, p);
    }
}

/* ---- events of pipes ---- */

static int xpub_attach(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    route_attach(p);
    subscriber_init(&xp->topics);
    subscriber_init(&xp->asked);
    list_init(&xp->notes);
    list_init(&xp->late_node);
    parts_init(&xp->kept);
    xp->pipe = p;
    int rc = fanout_add(&me->out, p);
    me->to_all += rc == 0 && p->to_all;
    return rc;
}

static int xpub_connected(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    if (xpub_has_enough(me, p->state))
        xpub_hold_up(me, p);
    int rc = 0;
    if (p->to_all) /* what it tells, all would hear */
        return 0;
    if (me->has_welcome)
        rc = pipe_write_control(p, msg_data(&me->welcome), msg_size(&me->welcome));
    if (rc == 0 && s->opt.invert_matching)
        rc = xpub_late_join(s, p->state, NULL, 0); /* given when it is found to be writable */
    return rc;
}

static void xpub_lost(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    xpub_end(s, xp, &me->topics, &xp->topics, false, !me->manual, xp);
    xpub_end(s, xp, &me->asked, &xp->asked, false, true, xp);
    xp->round++;
    xp->topics.current = xp->asked.current = 0;
}

static void xpub_hangup(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    xpub_end(s, xp, &me->topics, &xp->topics, true, !me->manual, NULL);
    xpub_end(s, xp, &me->asked, &xp->asked, true, true, NULL);
    me->to_all -= p->to_all && list_linked(&p->out_node);
    fanout_remove(&me->out, p);
    xpub_late_forget(xp);
    if (me->last == p)
        me->last = NULL;
}

static void xpub_detach(struct pipe_set *s, struct pipe *p)
{
    struct xpub_pipe *xp = p->state;
    xpub_hangup(s, p);
    route_detach(p);
    parts_fini(&xp->kept);
    struct list *node;
    while ((node = list_pop_front(&xp->notes))) {
        LIST_ENTRY(node, struct note, of_pipe)->from = NULL;
        ((struct xpub *)s->state)->orphans++;
    }
}

static void xpub_readable(struct pipe_set *s, struct pipe *p)
{
    read_ahead(s, p);
}

static void xpub_writable(struct pipe_set *s, struct pipe *p)
{
    if (xpub_is_late(p->state))
        xpub_late_give(s, p->state);
}

static void xpub_command(struct pipe_set *s, struct pipe *p, enum peer_event_kind kind,
                         const uint8_t *data, size_t len)
{
    if (p->hung_up || (kind != PEER_EV_SUBSCRIBE && kind != PEER_EV_CANCEL))
        return;
    read_ahead(s, p); /* what came before it */
    if (p->close_wanted)
        return;
    int rc = xpub_change(s, p->state, data, len, kind == PEER_EV_SUBSCRIBE);
    if (rc == -EDQUOT)
        route_violation(p, PROTO_TOO_MANY_SUBSCRIPTIONS);
    else if (rc)
        pipe_lose(p); /* the peer will subscribe anew */
}

/* ---- messages ---- */

static bool aim_members(void *arg, void *value)
{
    struct xpub *me = arg;
    const struct topic *topic = value;
    LIST_FOR(it, &topic->members)
    {
        struct member *m = LIST_ENTRY(it, struct member, of_topic);
        struct xpub_pipe *xp = LIST_ENTRY(m->subscriber, struct xpub_pipe, topics);
        if (xp->matched == me->sending)
            continue; /* through a shorter topic already */
        xp->matched = me->sending;
        fanout_aim(&me->out, xp->pipe);
    }
    return true;
}

static inline void aim_subscribers(struct xpub *me, const struct msg *first)
{
    me->sending++;
    me->out.count = 0;
    trie_match(&me->topics.trie, msg_data(first), msg_size(first), aim_members, me);
}

static void aim(struct pipe_set *s, const struct msg *first)
{
    struct xpub *me = s->state;
    struct pipe *only = me->last_value ? me->last : NULL;
    aim_subscribers(me, first);
    if (!only && !s->opt.invert_matching && !me->to_all)
        return;
    bool invert = !only && s->opt.invert_matching;
    me->out.count = 0;
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        const struct xpub_pipe *xp = p->state;
        if (((xp->matched == me->sending) != invert || p->to_all) && (!only || p == only))
            fanout_aim(&me->out, p);
    }
}

static int xpub_send_check(struct pipe_set *s, const struct msg *first)
{
    struct xpub *me = s->state;
    if (!me->nodrop)
        return 0;
    aim(s, first);
    for (uint32_t i = 0; i < me->out.count; i++) {
        if (xpub_is_late(me->out.targets[i]->state))
            return -EAGAIN;
    }
    return fanout_all_writable(&me->out, PIPE_ANY) ? 0 : -EAGAIN;
}

/* Where options, or a link with many readers, decide with the subscriptions who gets it. */
__attribute__((noinline)) static int send_by_options(struct pipe_set *s, struct parts *m)
{
    struct xpub *me = s->state;
    aim(s, &m->v[0]);
    if (me->keep.max && !(me->last_value && me->last)) /* else it is for that one alone */
        return xpub_late_send(s, m);
    if (me->nodrop && !fanout_reserve(&me->out, route_size(s, m)))
        return -EAGAIN;
    int rc = fanout_send(s, &me->out, m);
    if (rc == 0 && me->last_value)
        me->last = NULL; /* the favour was for one message */
    return rc;
}

static int xpub_send(struct pipe_set *s, struct parts *m)
{
    struct xpub *me = s->state;
    if (!list_empty(&me->in.pipes))
        read_rest(s);
    if (!me->plain || me->to_all || s->opt.invert_matching)
        return send_by_options(s, m);
    aim_subscribers(me, &m->v[0]);
    return fanout_send(s, &me->out, m);
}

static int xpub_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct xpub *me = s->state;
    if (list_empty(&me->notes) && !list_empty(&me->in.pipes))
        read_rest(s);
    struct list *node = list_first(&me->notes);
    if (!node)
        return -EAGAIN;
    struct note *note = LIST_ENTRY(node, struct note, node);
    int rc = parts_grow(out, note->len);
    if (rc)
        return rc;
    memcpy(out->v + out->len, note->v, note->len * sizeof(*out->v));
    out->len += note->len;
    note->len = 0;
    struct pipe *p = note->from ? note->from->pipe : NULL;
    *from = p;
    if (me->manual)
        me->last = p && !p->hung_up ? p : NULL;
    note_free(me, note);
    xpub_go_on_after(me, p, (uint32_t)s->opt.rcvhwm);
    if (p && list_linked(&p->in_node))
        read_ahead(s, p);
    return 0;
}

/* XPUB_NODROP: a message's topic is not known yet, so every subscriber must have room. */
static bool can_publish(struct xpub *me, bool all)
{
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        const struct xpub_pipe *xp = p->state;
        if ((all || p->to_all || xp->topics.count) &&
            (xpub_is_late(xp) || !pipe_can_write(p, PIPE_ANY)))
            return false;
    }
    return true;
}

static int xpub_events(struct pipe_set *s)
{
    struct xpub *me = s->state;
    if (!list_empty(&me->in.pipes))
        read_rest(s);
    int events = list_empty(&me->notes) ? 0 : FMQ_POLLIN;
    if (!me->nodrop || can_publish(me, s->opt.invert_matching))
        events |= FMQ_POLLOUT;
    return events;
}

/* ---- options ---- */

static int set_welcome(struct xpub *me, const void *value, size_t len)
{
    struct msg m;
    int rc = msg_init_copy(&m, value, len);
    if (rc)
        return rc;
    if (me->has_welcome)
        msg_drop(&me->welcome);
    me->welcome = m;
    me->has_welcome = len > 0;
    return 0;
}

static int set_option(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct xpub *me = s->state;
    bool on = num != 0;
    switch (option) {
    case OPT_XPUB_VERBOSE:
        me->verbose_add = on;
        me->verbose_cancel = false;
        return 0;
    case OPT_XPUB_VERBOSER:
        me->verbose_add = me->verbose_cancel = on;
        return 0;
    case OPT_XPUB_MANUAL:
        me->manual = on;
        return 0;
    case OPT_XPUB_MANUAL_LAST_VALUE:
        me->manual = me->last_value = on;
        return 0;
    case OPT_XPUB_NODROP:
        me->nodrop = on;
        return 0;
    case OPT_ONLY_FIRST_SUBSCRIBE:
        me->only_first = on;
        return 0;
    case OPT_MAX_SUBSCRIPTIONS:
        me->max_subscriptions = (uint32_t)num;
        return 0;
    case OPT_PUB_KEEP_LAST:
        me->keep.max = (uint32_t)num;
        keep_trim(&me->keep);
        return 0;
    case OPT_PUB_KEEP_LAST_BYTES:
        me->keep.max_bytes = (uint64_t)num;
        keep_trim(&me->keep);
        return 0;
    case OPT_XPUB_WELCOME_MSG:
        return set_welcome(me, value, len);
    case OPT_SUBSCRIBE:
        return xpub_decide(s, value, len, true);
    case OPT_UNSUBSCRIBE:
        return xpub_decide(s, value, len, false);
    default:
        return -EINVAL;
    }
}

static int xpub_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct xpub *me = s->state;
    int rc = set_option(s, option, num, value, len);
    update_plain(me);
    if (option != OPT_SUBSCRIBE && option != OPT_UNSUBSCRIBE)
        xpub_go_on(me); /* fewer notices may be wanted */
    else if (me->last)
        xpub_go_on_after(me, me->last, 0);
    return rc;
}

static int xpub_getopt(struct pipe_set *s, int option, int64_t *num)
{
    struct xpub *me = s->state;
    switch (option) {
    case OPT_TOPICS_COUNT:
        *num = (int64_t)me->topics.trie.len;
        return 0;
    case OPT_MAX_SUBSCRIPTIONS:
        *num = me->max_subscriptions;
        return 0;
    case OPT_PUB_KEEP_LAST:
        *num = me->keep.max;
        return 0;
    case OPT_PUB_KEEP_LAST_BYTES:
        *num = (int64_t)me->keep.max_bytes;
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- looking inside ---- */

static int xpub_subscribers(struct pipe_set *s, const void *topic, size_t len)
{
    struct xpub *me = s->state;
    if (!list_empty(&me->in.pipes))
        read_rest(s);
    me->sending++;
    me->out.count = 0;
    if (len)
        trie_match(&me->topics.trie, topic, len, aim_members, me);
    int n = 0;
    LIST_FOR(it, &me->out.pipes)
    {
        const struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        const struct xpub_pipe *xp = p->state;
        bool reached = len == 0 ? xp->topics.count > 0
                                : (xp->matched == me->sending) != s->opt.invert_matching;
        n += p->ready && (reached || p->to_all);
    }
    return n;
}

static void xpub_describe(struct pipe_set *s, struct pipe *p, struct fmq_peer *out)
{
    const struct xpub_pipe *xp = p->state;
    (void)s;
    out->subscriptions = xp->topics.count;
}

static void xpub_topics(struct pipe_set *s, struct pipe *p, topic_visitor visit, void *arg)
{
    const struct xpub_pipe *xp = p ? p->state : NULL;
    (void)s;
    if (xp)
        subscriber_topics(&xp->topics, visit, arg);
}

static void xpub_stats(const struct pipe_set *s, struct fmq_socket_stats *out)
{
    const struct xpub *me = s->state;
    out->kept = keep_count(&me->keep);
    out->kept_bytes = me->keep.bytes;
    out->kept_given = me->given;
    out->kept_dropped = me->keep.dropped;
}

/* ---- tables ---- */

const struct pattern_ops pattern_xpub = {
    .type = FMQ_XPUB,
    .name = "XPUB",
    .state_size = sizeof(struct xpub),
    .pipe_size = sizeof(struct xpub_pipe),
    .sends = true,
    .receives = true,
    .init = xpub_init,
    .fini = xpub_fini,
    .attach = xpub_attach,
    .connected = xpub_connected,
    .lost = xpub_lost,
    .hangup = xpub_hangup,
    .detach = xpub_detach,
    .readable = xpub_readable,
    .writable = xpub_writable,
    .command = xpub_command,
    .send_check = xpub_send_check,
    .send = xpub_send,
    .recv = xpub_recv,
    .events = xpub_events,
    .setopt = xpub_setopt,
    .getopt = xpub_getopt,
    .subscribers = xpub_subscribers,
    .describe = xpub_describe,
    .topics = xpub_topics,
    .alarm = xpub_late_give_all,
    .stats = xpub_stats,
};

const struct pattern_ops pattern_pub = {
    .type = FMQ_PUB,
    .name = "PUB",
    .state_size = sizeof(struct xpub),
    .pipe_size = sizeof(struct xpub_pipe),
    .sends = true,
    .dedup_connect = true,
    .init = xpub_init,
    .fini = xpub_fini,
    .attach = xpub_attach,
    .connected = xpub_connected,
    .lost = xpub_lost,
    .hangup = xpub_hangup,
    .detach = xpub_detach,
    .readable = xpub_readable,
    .writable = xpub_writable,
    .command = xpub_command,
    .send_check = xpub_send_check,
    .send = xpub_send,
    .recv = route_no_recv,
    .events = xpub_events,
    .setopt = xpub_setopt,
    .getopt = xpub_getopt,
    .subscribers = xpub_subscribers,
    .describe = xpub_describe,
    .topics = xpub_topics,
    .alarm = xpub_late_give_all,
    .stats = xpub_stats,
};
