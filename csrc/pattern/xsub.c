/* SPDX-License-Identifier: MIT */
/*
 * XSUB and SUB: subscribe, and receive what is published.
 *
 * Subscriptions are counted. Every new one is sent to the publishers, its end only when the last of
 * the same topic ends. Each new connection is sent all of them. SUB subscribes through options and
 * filters again what arrives, since a publisher may not know of a change yet; XSUB sends
 * subscriptions as messages (byte 1 or 0, topic) and hands out all that arrives.
 */
#include <errno.h>

#include "base/trie.h"
#include "pattern/patterns.h"
#include "pattern/pubsub.h"
#include "pattern/route.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_set.h"

struct xsub {
    struct fairq in;
    struct fanout out;
    struct trie topics; /* values: how many subscriptions, as an integer */
    bool only_first, verbose_cancel;
};

static int xsub_init(struct pipe_set *s)
{
    struct xsub *me = s->state;
    fairq_init(&me->in);
    fanout_init(&me->out, s);
    trie_init(&me->topics);
    s->opt.linger = 0;
    return 0;
}

static void xsub_fini(struct pipe_set *s)
{
    struct xsub *me = s->state;
    trie_fini(&me->topics, NULL, NULL);
    fanout_fini(&me->out);
}

/* ---- events of pipes ---- */

static int xsub_attach(struct pipe_set *s, struct pipe *p)
{
    struct xsub *me = s->state;
    route_attach(p);
    /* By multicast nothing goes to the publishers. */
    return p->to_all ? 0 : fanout_add(&me->out, p);
}

static int put_topic(void *arg, const void *topic, size_t len, void *value)
{
    (void)value;
    return pipe_put_subscription(arg, topic, len, true);
}

static int xsub_greet(struct pipe_set *s, struct pipe *p)
{
    struct xsub *me = s->state;
    return trie_each(&me->topics, put_topic, p);
}

static void xsub_hangup(struct pipe_set *s, struct pipe *p)
{
    struct xsub *me = s->state;
    fanout_remove(&me->out, p);
}

static void xsub_detach(struct pipe_set *s, struct pipe *p)
{
    xsub_hangup(s, p);
    route_detach(p);
}

static void xsub_readable(struct pipe_set *s, struct pipe *p)
{
    struct xsub *me = s->state;
    fairq_add(&me->in, p);
}

static void xsub_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

/* ---- subscriptions ---- */

/* Sent to every publisher that is connected; the others get it when they are (xsub_greet). */
static int tell_all(struct xsub *me, const void *topic, size_t len, bool add)
{
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        int rc = pipe_put_subscription(p, topic, len, add);
        if (rc == -ENOMEM)
            return rc;
    }
    return 0;
}

/* When memory runs out half-way, the count stays as it was: publishers that got the request
 * already are asked again or send what is not wanted, both harmless. */
static int subscribe(struct xsub *me, const void *topic, size_t len)
{
    bool added;
    void **slot = trie_add(&me->topics, topic, len, &added);
    int rc = slot ? tell_all(me, topic, len, true) : -ENOMEM;
    if (rc == 0)
        *slot = (void *)((uintptr_t)*slot + 1);
    else if (slot && added)
        trie_del(&me->topics, topic, len);
    return rc;
}

static int unsubscribe(struct xsub *me, const void *topic, size_t len)
{
    void **slot = trie_get(&me->topics, topic, len);
    uintptr_t count = slot ? (uintptr_t)*slot : 0;
    if (count == 1 || me->verbose_cancel) {
        int rc = tell_all(me, topic, len, false);
        if (rc)
            return rc;
    }
    if (count == 1)
        trie_del(&me->topics, topic, len);
    else if (slot)
        *slot = (void *)(count - 1);
    return 0;
}

/* ---- messages ---- */

static int xsub_take_subscription(void *arg, const void *topic, size_t len, bool add)
{
    return add ? subscribe(arg, topic, len) : unsubscribe(arg, topic, len);
}

static int xsub_send(struct pipe_set *s, struct parts *m)
{
    struct xsub *me = s->state;
    /* After an error those before it are done and gone: sending again goes on from there. */
    int rc = parts_take_subscriptions(m, me->only_first, xsub_take_subscription, me);
    if (rc)
        return rc;
    if (m->len == 0)
        return 0;
    parts_mark(m);
    fanout_aim_all(&me->out);
    return fanout_send(s, &me->out, m);
}

static struct pipe *xsub_select_rx(struct pipe_set *s)
{
    struct xsub *me = s->state;
    return fairq_turn(&me->in);
}

static int xsub_events(struct pipe_set *s)
{
    struct xsub *me = s->state;
    return FMQ_POLLOUT | (fairq_next(&me->in) ? FMQ_POLLIN : 0);
}

static int xsub_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct xsub *me = s->state;
    (void)value;
    (void)len;
    switch (option) {
    case OPT_ONLY_FIRST_SUBSCRIBE:
        me->only_first = num != 0;
        return 0;
    case OPT_XSUB_VERBOSE_UNSUBSCRIBE:
        me->verbose_cancel = num != 0;
        return 0;
    default:
        return -EINVAL;
    }
}

static int xsub_getopt(struct pipe_set *s, int option, int64_t *num)
{
    struct xsub *me = s->state;
    if (option != OPT_TOPICS_COUNT)
        return -EINVAL;
    *num = (int64_t)me->topics.len;
    return 0;
}

/* ---- SUB ---- */

static bool sub_wants(struct pipe_set *s, const uint8_t *first, size_t len)
{
    struct xsub *me = s->state;
    return trie_matches(&me->topics, first, len) != !!s->opt.invert_matching;
}

/* The pipe whose turn it is and whose oldest message was subscribed to; others are dropped here. */
static struct pipe *sub_next(struct pipe_set *s)
{
    struct xsub *me = s->state;
    struct pipe *p;
    while ((p = fairq_next(&me->in))) {
        const struct msg *first = msgring_peek(&p->in);
        if (sub_wants(s, msg_data(first), msg_size(first)))
            return p;
        pipe_skip(p);
        fairq_rotate(&me->in, p);
    }
    return NULL;
}

static int sub_send(struct pipe_set *s, struct parts *m)
{
    (void)s;
    (void)m;
    return -ENOTSUP;
}

static struct pipe *sub_select_rx(struct pipe_set *s)
{
    struct xsub *me = s->state;
    return sub_next(s) ? fairq_turn(&me->in) : NULL;
}

static int sub_events(struct pipe_set *s)
{
    return sub_next(s) ? FMQ_POLLIN : 0;
}

static int sub_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct xsub *me = s->state;
    switch (option) {
    case OPT_SUBSCRIBE:
        return subscribe(me, value, len);
    case OPT_UNSUBSCRIBE:
        return unsubscribe(me, value, len);
    default:
        return xsub_setopt(s, option, num, value, len);
    }
}

/* ---- looking inside ---- */

struct topic_walk {
    topic_visitor visit;
    void *arg;
};

static int list_topic(void *arg, const void *topic, size_t len, void *value)
{
    const struct topic_walk *w = arg;
    (void)value;
    return w->visit(w->arg, topic, len);
}

static void xsub_topics(struct pipe_set *s, struct pipe *p, topic_visitor visit, void *arg)
{
    const struct xsub *me = s->state;
    struct topic_walk w = {visit, arg};
    if (!p)
        trie_each(&me->topics, list_topic, &w);
}

/* ---- tables ---- */

const struct pattern_ops pattern_xsub = {
    .type = FMQ_XSUB,
    .name = "XSUB",
    .state_size = sizeof(struct xsub),
    .sends = true,
    .receives = true,
    .init = xsub_init,
    .fini = xsub_fini,
    .attach = xsub_attach,
    .greet = xsub_greet,
    .hangup = xsub_hangup,
    .detach = xsub_detach,
    .readable = xsub_readable,
    .writable = xsub_writable,
    .send = xsub_send,
    .select_rx = xsub_select_rx,
    .recv = route_recv,
    .events = xsub_events,
    .setopt = xsub_setopt,
    .getopt = xsub_getopt,
    .topics = xsub_topics,
};

const struct pattern_ops pattern_sub = {
    .type = FMQ_SUB,
    .name = "SUB",
    .state_size = sizeof(struct xsub),
    .receives = true,
    .dedup_connect = true,
    .init = xsub_init,
    .fini = xsub_fini,
    .attach = xsub_attach,
    .greet = xsub_greet,
    .hangup = xsub_hangup,
    .detach = xsub_detach,
    .readable = xsub_readable,
    .writable = xsub_writable,
    .send = sub_send,
    .select_rx = sub_select_rx,
    .recv = route_recv,
    .events = sub_events,
    .wants = sub_wants,
    .setopt = sub_setopt,
    .getopt = xsub_getopt,
    .topics = xsub_topics,
};
