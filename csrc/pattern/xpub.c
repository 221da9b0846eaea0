/* SPDX-License-Identifier: MIT */
/*
 * XPUB and PUB: publish to the peers that subscribed.
 *
 * Subscriptions come as commands or as messages and take effect when they arrive, whether or not
 * the program receives. They are reported to an XPUB's program, in the order of arrival with
 * the messages that subscribers send (struct note). A pipe is read ahead only as far as its RCVHWM
 * allows; beyond that its messages stay where they are, and push back.
 *
 * What a program does not receive must not pile up. A topic that came and went need not
 * be reported: with RCVHWM notices waiting, such pairs cancel each other out, so that there are
 * never many more than topics. Where each single request is reported (XPUB_VERBOSE, XPUB_MANUAL)
 * none can be left out. There a subscriber is read no further while more notices of it wait than it
 * has subscriptions and RCVHWM together, and no subscriber is while RCVHWM notices wait of peers
 * that left.
 *
 * With XPUB_MANUAL nothing takes effect by itself: the program decides, for the pipe it last
 * received from.
 *
 * A publisher that connects keeps the subscriptions over a lost connection, so that what it
 * publishes in the meantime is queued. The subscriber repeats them; what it has not repeated by the
 * time the next connection is lost is dropped (member.round).
 */
#include <errno.h>

#include "base/alloc.h"
#include "pattern/patterns.h"
#include "pattern/pubsub.h"
#include "pattern/route.h"
#include "pattern/topics.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"
#include "wire/peer_state.h"

struct xpub {
    struct topics topics; /* in effect */
    struct topics asked;  /* XPUB_MANUAL: what subscribers asked for */
    struct fanout out;
    struct fairq in;            /* pipes that could not be read empty */
    struct list notes;          /* for the program */
    uint32_t notices;           /* notes that are not of the user */
    uint32_t orphans;           /* notes of pipes that are gone */
    bool any_rx_paused;         /* pipes may be paused for has_enough */
    bool orphans_stop;          /* some of them because of the orphans */
    uint32_t max_subscriptions; /* a peer; 0: no limit */
    struct pipe *last; /* XPUB_MANUAL: the program last received from it; NULL: gone, or none */
    uint64_t sending;  /* number of the message being matched */
    struct msg welcome;
    bool has_welcome;
    bool verbose_add, verbose_cancel;
    bool manual, last_value;
    bool nodrop, only_first;
};

struct xpub_pipe {
    struct subscriber topics;
    struct subscriber asked;
    struct pipe *pipe;
    struct list notes; /* note.of_pipe */
    uint64_t matched;  /* xpub.sending of the last message that it matched */
    uint32_t held;     /* user messages among the notes */
    struct parts kept; /* a message that there was no memory to work through */
    uint32_t notices;  /* the others among them */
    uint8_t round;
    bool reading; /* reading may make more readable, and call back */
};

struct note {
    struct list node;
    struct list of_pipe;
    struct xpub_pipe *from; /* NULL: gone */
    struct topic *topic; /* whose coming it reports, while the topic lasts and is reported once */
    bool user;
    uint32_t len;
    uint64_t bytes; /* of a user's message, as long as its pipe holds it */
    struct msg v[];
};

static int xpub_init(struct pipe_set *s)
{
    struct xpub *me = s->state;
    topics_init(&me->topics);
    topics_init(&me->asked);
    fanout_init(&me->out, s);
    fairq_init(&me->in);
    list_init(&me->notes);
    return 0;
}

/* ---- notes ---- */

/* A note with room for n parts; NULL: no memory. */
static struct note *note_new(struct xpub_pipe *from, uint32_t n, bool user)
{
    struct note *note = mem_alloc(sizeof(*note) + n * sizeof(note->v[0]));
    if (!note)
        return NULL;
    list_init(&note->node);
    list_init(&note->of_pipe);
    note->from = from;
    note->topic = NULL;
    note->user = user;
    note->bytes = 0;
    note->len = 0;
    return note;
}

/* One that was never posted. */
static void note_discard(struct note *note)
{
    for (uint32_t i = 0; i < note->len; i++)
        msg_drop(&note->v[i]);
    mem_free(note);
}

static void note_free(struct xpub *me, struct note *note)
{
    me->notices -= !note->user;
    if (!note->from) {
        me->orphans--;
    } else if (note->user) {
        note->from->held--;
        pipe_hold(note->from->pipe, -(int64_t)note->bytes);
    } else {
        note->from->notices--;
    }
    if (note->topic)
        note->topic->note = NULL;
    list_remove(&note->node);
    list_remove(&note->of_pipe);
    note_discard(note);
}

static void note_post(struct xpub *me, struct note *note)
{
    list_push_back(&me->notes, &note->node);
    me->notices += !note->user;
    if (!note->from) {
        me->orphans++;
        return;
    }
    list_push_back(&note->from->notes, &note->of_pipe);
    if (note->user) {
        note->from->held++;
        note->bytes = parts_size(note->v, note->len);
        pipe_hold(note->from->pipe, (int64_t)note->bytes);
    } else {
        note->from->notices++;
    }
}

/* Whether the program wants to hear of every request. */
static bool tells_all(const struct xpub *me)
{
    return me->manual || me->verbose_add || me->verbose_cancel;
}

/* Whether so much is still to be reported of that pipe, or of those that are gone, that it is
 * read no further. */
static bool has_enough(const struct xpub *me, const struct xpub_pipe *xp)
{
    uint64_t hwm = xp->pipe->in_hwm;
    if (!hwm || !tells_all(me))
        return false;
    return me->orphans >= hwm || xp->notices >= hwm + xp->topics.count + xp->asked.count;
}

static void hold_up(struct xpub *me, struct pipe *p)
{
    pipe_rx_pause(p, true);
    me->any_rx_paused = true;
    me->orphans_stop |= p->in_hwm && me->orphans >= p->in_hwm;
}

/* Pipes that were paused go on, where the reason is gone. */
static void go_on(struct xpub *me)
{
    if (!me->any_rx_paused)
        return;
    me->any_rx_paused = me->orphans_stop = false;
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        if (p->rx_paused && has_enough(me, p->state))
            hold_up(me, p);
        else
            pipe_rx_pause(p, false);
    }
}

/* The same after a note of `p` was received (NULL: of a pipe that is gone). Not all pipes are
 * looked at for every note: peers decide how many there are of both. */
static void go_on_after(struct xpub *me, struct pipe *p, uint32_t hwm)
{
    if (p && p->rx_paused && !has_enough(me, p->state))
        pipe_rx_pause(p, false);
    else if (!p && me->orphans_stop && (!hwm || me->orphans < hwm))
        go_on(me);
}

static struct note *note_subscription(struct xpub_pipe *from, const void *topic, size_t len,
                                      bool add)
{
    struct note *note = note_new(from, 1, false);
    if (!note)
        return NULL;
    if (msg_init_subscription(&note->v[0], topic, len, add)) {
        note_discard(note);
        return NULL;
    }
    note->len = 1;
    return note;
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
    if (me->has_welcome)
        msg_drop(&me->welcome);
}

/* ---- subscriptions ---- */

/* True when that topic would be one too many of this peer. What an earlier connection left and the
 * present one has not repeated does not count. */
static bool beyond_limit(const struct xpub *me, const struct topics *table, struct subscriber *who,
                         const struct xpub_pipe *xp, const void *topic, size_t len)
{
    if (!me->max_subscriptions || who->current < me->max_subscriptions)
        return false;
    const struct member *m = topics_find(table, who, topic, len);
    return !m || m->round != xp->round;
}

static int join(struct topics *table, struct subscriber *who, const struct xpub_pipe *xp,
                const void *topic, size_t len, struct member **out)
{
    int change = topics_add(table, who, topic, len, out);
    if (change < 0)
        return change;
    who->current += change > TOPICS_SAME || (*out)->round != xp->round;
    (*out)->round = xp->round;
    return change;
}

/* Ends a membership. True when the program need not hear of it: it has not yet received that the
 * topic came, and will not. */
static bool leave(struct pipe_set *s, struct topics *table, struct xpub_pipe *xp, struct member *m)
{
    struct xpub *me = s->state;
    bool unreported = false;
    if (member_alone(m) && m->topic->note) {
        struct note *note = m->topic->note;
        uint32_t hwm = (uint32_t)s->opt.rcvhwm;
        unreported = hwm && me->notices >= hwm && !tells_all(me);
        if (unreported) {
            note_free(me, note);
        } else {
            note->topic = NULL;
            m->topic->note = NULL;
        }
    }
    m->subscriber->current -= m->round == xp->round;
    topics_drop(table, m);
    return unreported;
}

/* 0, -ENOMEM: then nothing changed; -EDQUOT: beyond MAX_SUBSCRIPTIONS. */
static int change_subscription(struct pipe_set *s, struct xpub_pipe *xp, const void *topic,
                               size_t len, bool add)
{
    struct xpub *me = s->state;
    struct topics *table = me->manual ? &me->asked : &me->topics;
    struct subscriber *who = me->manual ? &xp->asked : &xp->topics;
    struct note *note = NULL;
    if (add && beyond_limit(me, table, who, xp, topic, len))
        return -EDQUOT;
    if (s->type == FMQ_XPUB) {
        /* Made beforehand, so that what was done need not be undone for want of memory. */
        note = note_subscription(xp, topic, len, add);
        if (!note)
            return -ENOMEM;
    }
    int change = TOPICS_SAME;
    bool unreported = false;
    struct member *m = NULL;
    if (add) {
        change = join(table, who, xp, topic, len, &m);
    } else if ((m = topics_find(table, who, topic, len))) {
        change = member_alone(m) ? TOPICS_EDGE : TOPICS_OTHER;
        unreported = leave(s, table, xp, m);
    }
    if (change > TOPICS_SAME && !me->manual)
        pipe_set_notify(s); /* a thread may wait for subscribers */
    bool report = change >= 0 && (me->manual || change == TOPICS_EDGE ||
                                  (add ? me->verbose_add : me->verbose_cancel));
    if (note && report && !unreported) {
        note_post(me, note);
        if (add && !tells_all(me)) {
            note->topic = m->topic;
            m->topic->note = note;
        }
        if (has_enough(me, xp))
            hold_up(me, xp->pipe);
    } else if (note) {
        note_discard(note);
    }
    return change < 0 ? change : 0;
}

/* Ends the subscriptions of a pipe, of all rounds or of those before the present one, and (report)
 * reports them to the program as if the peer had cancelled them. from: NULL when the pipe is going.
 */
static void end_subscriptions(struct pipe_set *s, struct xpub_pipe *xp, struct topics *table,
                              struct subscriber *of, bool all, bool report, struct xpub_pipe *from)
{
    struct xpub *me = s->state;
    LIST_FOR_SAFE(it, &of->members)
    {
        struct member *m = LIST_ENTRY(it, struct member, of_subscriber);
        if (!all && m->round == xp->round)
            continue;
        struct note *note = NULL;
        if (report && s->type == FMQ_XPUB && (me->manual || me->verbose_cancel || member_alone(m)))
            note = note_subscription(from, m->topic->name, m->topic->len, false);
        bool unreported = leave(s, table, xp, m);
        if (note && !unreported)
            note_post(me, note);
        else if (note)
            note_discard(note);
    }
}

/* ---- what subscribers send ---- */

static int xpub_take_subscription(void *arg, const void *topic, size_t len, bool add)
{
    struct xpub_pipe *xp = arg;
    if (xp->pipe->hung_up || xp->pipe->close_wanted)
        return 0;
    return change_subscription(xp->pipe->set, xp, topic, len, add);
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
        s->drops++;
        xp->pipe->drops++;
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
           pipe_may_hold(xp->pipe) && !has_enough(me, xp);
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
    parts_init(&xp->kept);
    xp->pipe = p;
    return fanout_add(&me->out, p);
}

static int xpub_connected(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    if (has_enough(me, p->state))
        hold_up(me, p);
    if (!me->has_welcome)
        return 0;
    return pipe_write_control(p, msg_data(&me->welcome), msg_size(&me->welcome));
}

static void xpub_lost(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    end_subscriptions(s, xp, &me->topics, &xp->topics, false, !me->manual, xp);
    end_subscriptions(s, xp, &me->asked, &xp->asked, false, true, xp);
    xp->round++;
    xp->topics.current = xp->asked.current = 0;
}

static void xpub_hangup(struct pipe_set *s, struct pipe *p)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    end_subscriptions(s, xp, &me->topics, &xp->topics, true, !me->manual, NULL);
    end_subscriptions(s, xp, &me->asked, &xp->asked, true, true, NULL);
    fanout_remove(&me->out, p);
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
    (void)s;
    (void)p;
}

static void xpub_command(struct pipe_set *s, struct pipe *p, enum peer_event_kind kind,
                         const uint8_t *data, size_t len)
{
    if (p->hung_up || (kind != PEER_EV_SUBSCRIBE && kind != PEER_EV_CANCEL))
        return;
    read_ahead(s, p); /* what came before it */
    if (p->close_wanted)
        return;
    int rc = change_subscription(s, p->state, data, len, kind == PEER_EV_SUBSCRIBE);
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

static void aim(struct pipe_set *s, const struct msg *first)
{
    struct xpub *me = s->state;
    struct pipe *only = me->last_value ? me->last : NULL;
    me->sending++;
    me->out.count = 0;
    trie_match(&me->topics.trie, msg_data(first), msg_size(first), aim_members, me);
    if (!only && !s->opt.invert_matching)
        return;
    bool invert = !only && s->opt.invert_matching;
    me->out.count = 0;
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        const struct xpub_pipe *xp = p->state;
        if ((xp->matched == me->sending) != invert && (!only || p == only))
            fanout_aim(&me->out, p);
    }
}

static int xpub_send_check(struct pipe_set *s, const struct msg *first)
{
    struct xpub *me = s->state;
    if (!me->nodrop)
        return 0;
    aim(s, first);
    return fanout_all_writable(&me->out, PIPE_ANY) ? 0 : -EAGAIN;
}

static int xpub_send(struct pipe_set *s, struct parts *m)
{
    struct xpub *me = s->state;
    if (!list_empty(&me->in.pipes))
        read_rest(s);
    aim(s, &m->v[0]);
    if (me->nodrop && !fanout_reserve(&me->out, route_size(s, m)))
        return -EAGAIN;
    int rc = fanout_send(s, &me->out, m);
    if (rc == 0 && me->last_value)
        me->last = NULL; /* the favour was for one message */
    return rc;
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
    go_on_after(me, p, (uint32_t)s->opt.rcvhwm);
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
        if ((all || xp->topics.count) && !pipe_can_write(p, PIPE_ANY))
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

/* XPUB_MANUAL: the program's decision about whom it last received from. */
static int decide(struct pipe_set *s, const void *topic, size_t len, bool add)
{
    struct xpub *me = s->state;
    if (!me->manual)
        return -EINVAL;
    if (!me->last)
        return 0; /* the subscriber is gone: nothing to decide */
    struct xpub_pipe *xp = me->last->state;
    struct member *m = NULL;
    pipe_set_notify(s);
    if (!add) {
        m = topics_find(&me->topics, &xp->topics, topic, len);
        if (m)
            leave(s, &me->topics, xp, m);
        return 0;
    }
    int rc = join(&me->topics, &xp->topics, xp, topic, len, &m);
    return rc < 0 ? rc : 0;
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
    case OPT_XPUB_WELCOME_MSG:
        return set_welcome(me, value, len);
    case OPT_SUBSCRIBE:
        return decide(s, value, len, true);
    case OPT_UNSUBSCRIBE:
        return decide(s, value, len, false);
    default:
        return -EINVAL;
    }
}

static int xpub_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct xpub *me = s->state;
    int rc = set_option(s, option, num, value, len);
    if (option != OPT_SUBSCRIBE && option != OPT_UNSUBSCRIBE)
        go_on(me); /* fewer notices may be wanted */
    else if (me->last)
        go_on_after(me, me->last, 0);
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
        n += p->ready && reached;
    }
    return n;
}

static void xpub_describe(struct pipe_set *s, struct pipe *p, struct fmq_peer *out)
{
    const struct xpub_pipe *xp = p->state;
    (void)s;
    out->subscriptions = xp->topics.count;
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
};
