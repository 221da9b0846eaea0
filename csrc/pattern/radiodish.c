/* SPDX-License-Identifier: MIT */
/*
 * RADIO sends each message to the peers that have joined its group; DISH joins groups, and receives
 * what is sent to them. A group is matched as a whole, not as a prefix.
 *
 * Between peers a message is two frames, the group and the body. A DISH tells its peers what it
 * joins and leaves: by commands, over inproc by messages (byte 1 or 0, group). Over links with many
 * readers (pipe.to_all) nobody tells anything: a RADIO sends all, and what was not joined is
 * dropped where it arrives. A DISH filters in any case, as a RADIO may not know of a change yet.
 *
 * A RADIO that connects keeps the groups over a lost connection. The DISH repeats them; what it has
 * not repeated by the time the next connection is lost is dropped (member.round).
 */
#include <errno.h>

#include "base/error.h"
#include "base/map.h"
#include "pattern/patterns.h"
#include "pattern/route.h"
#include "pattern/topics.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_set.h"
#include "wire/peer_state.h"

/* The first byte of a message that joins or leaves over inproc. */
#define LEAVE_BYTE 0
#define JOIN_BYTE 1

/* ---- RADIO ---- */

struct radio {
    struct topics groups;
    struct fanout out;
    struct list to_all;  /* radio_pipe.to_all */
    uint32_t max_groups; /* a peer; 0: no limit */
    bool nodrop;
    bool undigested; /* for want of memory: a pipe's `in` holds what a DISH joins or leaves */
};

struct radio_pipe {
    struct pipe *pipe;
    struct subscriber groups;
    struct list to_all;
    uint8_t round;
};

static int radio_init(struct pipe_set *s)
{
    struct radio *me = s->state;
    topics_init(&me->groups);
    fanout_init(&me->out, s);
    list_init(&me->to_all);
    return 0;
}

static void radio_fini(struct pipe_set *s)
{
    struct radio *me = s->state;
    topics_fini(&me->groups);
    fanout_fini(&me->out);
}

static int radio_attach(struct pipe_set *s, struct pipe *p)
{
    struct radio *me = s->state;
    struct radio_pipe *rp = p->state;
    route_attach(p);
    rp->pipe = p;
    subscriber_init(&rp->groups);
    list_init(&rp->to_all);
    int rc = fanout_add(&me->out, p);
    if (rc == 0 && p->to_all)
        list_push_back(&me->to_all, &rp->to_all);
    return rc;
}

/* Ends what it has joined, or (`old`) what it did not repeat since the connection before. */
static void forget(struct radio *me, struct radio_pipe *rp, bool old)
{
    LIST_FOR_SAFE(it, &rp->groups.members)
    {
        struct member *m = LIST_ENTRY(it, struct member, of_subscriber);
        if (!old || m->round != rp->round)
            topics_drop(&me->groups, m);
    }
}

static void radio_lost(struct pipe_set *s, struct pipe *p)
{
    struct radio_pipe *rp = p->state;
    forget(s->state, rp, true);
    rp->round++;
    pipe_set_notify(s);
}

static void radio_hangup(struct pipe_set *s, struct pipe *p)
{
    struct radio *me = s->state;
    struct radio_pipe *rp = p->state;
    forget(me, rp, false);
    list_remove(&rp->to_all);
    fanout_remove(&me->out, p);
}

static void radio_detach(struct pipe_set *s, struct pipe *p)
{
    radio_hangup(s, p);
    route_detach(p);
}

/* 0, -ENOMEM, or -EDQUOT. What no group can be called is nothing that anybody sends to. */
static int change(struct pipe_set *s, struct radio_pipe *rp, const uint8_t *group, size_t len,
                  bool join)
{
    struct radio *me = s->state;
    if (len > GROUP_MAX)
        return 0;
    struct member *m = topics_find(&me->groups, &rp->groups, group, len);
    if (!join) {
        if (m)
            topics_drop(&me->groups, m);
    } else {
        if (!m && me->max_groups && rp->groups.count >= me->max_groups)
            return -EDQUOT;
        int rc = m ? 0 : topics_add(&me->groups, &rp->groups, group, len, &m);
        if (rc < 0)
            return rc;
        m->round = rp->round;
    }
    pipe_set_notify(s);
    return 0;
}

static void radio_command(struct pipe_set *s, struct pipe *p, enum peer_event_kind kind,
                          const uint8_t *data, size_t len)
{
    if (p->hung_up || p->close_wanted || (kind != PEER_EV_JOIN && kind != PEER_EV_LEAVE))
        return;
    int rc = change(s, p->state, data, len, kind == PEER_EV_JOIN);
    if (rc == -EDQUOT)
        route_violation(p, PROTO_TOO_MANY_SUBSCRIPTIONS);
    else if (rc)
        pipe_lose(p); /* the peer will join anew */
}

/* Takes what has come over inproc; all else that comes is dropped, for a RADIO receives nothing.
 * Without memory the rest stays for the next time. */
static void digest(struct pipe_set *s, struct pipe *p)
{
    struct radio *me = s->state;
    while (pipe_can_read(p)) {
        const struct msg *m = msgring_peek(&p->in);
        const uint8_t *data = msg_data(m);
        size_t size = msg_size(m);
        bool asks = p->direct && size > 0 && data[0] <= JOIN_BYTE && !(m->flags & PART_MORE);
        if (!asks) {
            route_skip(s, p);
            continue;
        }
        int rc = p->hung_up ? 0 : change(s, p->state, data + 1, size - 1, data[0] == JOIN_BYTE);
        if (rc == -EDQUOT) {
            route_violation(p, PROTO_TOO_MANY_SUBSCRIPTIONS);
            return;
        }
        if (rc) {
            me->undigested = true;
            return;
        }
        pipe_skip(p);
        p->msgs_in--; /* no message of the peer's program */
    }
}

static void digest_rest(struct pipe_set *s)
{
    struct radio *me = s->state;
    if (!me->undigested)
        return;
    me->undigested = false;
    LIST_FOR_SAFE(it, &s->list)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, in_set);
        if (p->direct && pipe_can_read(p))
            digest(s, p);
    }
}

static void radio_readable(struct pipe_set *s, struct pipe *p)
{
    digest(s, p);
}

static void radio_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static void aim(struct radio *me, const uint8_t *group, size_t len)
{
    me->out.count = 0;
    void **slot = trie_get(&me->groups.trie, group, len);
    if (slot) {
        const struct topic *topic = *slot;
        LIST_FOR(it, &topic->members)
        {
            struct member *m = LIST_ENTRY(it, struct member, of_topic);
            fanout_aim(&me->out, LIST_ENTRY(m->subscriber, struct radio_pipe, groups)->pipe);
        }
    }
    LIST_FOR(it, &me->to_all)
    fanout_aim(&me->out, LIST_ENTRY(it, struct radio_pipe, to_all)->pipe);
}

static int check_all(struct radio *me, const struct msg *two)
{
    int rc = 0;
    LIST_FOR(it, &me->to_all)
    {
        rc = pipe_check(LIST_ENTRY(it, struct radio_pipe, to_all)->pipe, two, 2);
        if (rc)
            break;
    }
    return rc;
}

static int radio_send(struct pipe_set *s, struct parts *m)
{
    struct radio *me = s->state;
    uint8_t name[GROUP_MAX];
    size_t len;
    digest_rest(s);
    const uint8_t *group = msg_group(&m->v[0], &len);
    int rc = parts_grow(m, 1);
    if (rc)
        return rc;
    if (len)
        memcpy(name, group, len);
    aim(me, name, len);
    struct msg two[2];
    msg_init_borrowed(&two[0], name, len, NULL);
    two[0].flags = PART_MORE | PART_NOREF;
    two[1] = m->v[0];
    if (!list_empty(&me->to_all) && (rc = check_all(me, two)) != 0)
        return rc;
    if (me->nodrop && !fanout_reserve(&me->out, s->sized ? parts_size(two, 2) : 0))
        return -EAGAIN;
    msg_leave_group(&two[1]);
    m->v[0] = two[0];
    m->v[1] = two[1];
    m->len = 2;
    rc = fanout_send(s, &me->out, m);
    if (rc) {
        msg_drop(&m->v[0]); /* it may have become its own */
        m->v[0] = m->v[1];
        m->len = 1;
        (void)msg_join_group(&m->v[0], name, len);
    }
    return rc;
}

static bool can_send(struct radio *me)
{
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        const struct radio_pipe *rp = p->state;
        if ((rp->groups.count || p->to_all) && !pipe_can_write(p, PIPE_ANY))
            return false;
    }
    return true;
}

static int radio_events(struct pipe_set *s)
{
    struct radio *me = s->state;
    digest_rest(s);
    return !me->nodrop || can_send(me) ? FMQ_POLLOUT : 0;
}

static int radio_setopt(struct pipe_set *s, int option, int64_t num, const void *value, size_t len)
{
    struct radio *me = s->state;
    (void)value;
    (void)len;
    switch (option) {
    case OPT_XPUB_NODROP:
        me->nodrop = num != 0;
        return 0;
    case OPT_MAX_SUBSCRIPTIONS:
        me->max_groups = (uint32_t)num;
        return 0;
    default:
        return -EINVAL;
    }
}

static int radio_getopt(struct pipe_set *s, int option, int64_t *num)
{
    struct radio *me = s->state;
    switch (option) {
    case OPT_TOPICS_COUNT:
        *num = (int64_t)me->groups.trie.len;
        return 0;
    case OPT_MAX_SUBSCRIPTIONS:
        *num = me->max_groups;
        return 0;
    default:
        return -EINVAL;
    }
}

static int radio_subscribers(struct pipe_set *s, const void *group, size_t len)
{
    struct radio *me = s->state;
    int n = 0;
    digest_rest(s);
    if (len) {
        aim(me, group, len);
    } else {
        me->out.count = 0;
        LIST_FOR(it, &me->out.pipes)
        {
            struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
            const struct radio_pipe *rp = p->state;
            if (rp->groups.count || p->to_all)
                fanout_aim(&me->out, p);
        }
    }
    for (uint32_t i = 0; i < me->out.count; i++)
        n += me->out.targets[i]->ready;
    return n;
}

static void radio_describe(struct pipe_set *s, struct pipe *p, struct fmq_peer *out)
{
    const struct radio_pipe *rp = p->state;
    (void)s;
    out->subscriptions = rp->groups.count;
}

static void radio_groups(struct pipe_set *s, struct pipe *p, topic_visitor visit, void *arg)
{
    const struct radio_pipe *rp = p ? p->state : NULL;
    (void)s;
    if (rp)
        subscriber_topics(&rp->groups, visit, arg);
}

/* ---- DISH ---- */

struct dish {
    struct fairq in;
    struct map groups; /* the values only say that they are there */
};

static int dish_init(struct pipe_set *s)
{
    struct dish *me = s->state;
    fairq_init(&me->in);
    map_init(&me->groups);
    s->opt.linger = 0;
    return 0;
}

static void dish_fini(struct pipe_set *s)
{
    struct dish *me = s->state;
    map_fini(&me->groups);
}

static int dish_attach(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    route_attach(p);
    return 0;
}

static int dish_greet(struct pipe_set *s, struct pipe *p)
{
    struct dish *me = s->state;
    size_t pos = 0, len;
    const void *group;
    while (map_next(&me->groups, &pos, &group, &len)) {
        int rc = pipe_put_group(p, group, len, true);
        if (rc)
            return rc;
    }
    return 0;
}

static void dish_readable(struct pipe_set *s, struct pipe *p)
{
    struct dish *me = s->state;
    fairq_add(&me->in, p);
}

static void dish_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
}

static int tell_all(struct pipe_set *s, const void *group, size_t len, bool join)
{
    LIST_FOR(it, &s->list)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, in_set);
        int rc = pipe_put_group(p, group, len, join);
        if (rc)
            return rc;
    }
    return 0;
}

/* When memory runs out half-way nothing counts as changed: a RADIO that heard of it sends what is
 * not wanted, or is told again. */
static int dish_join(struct pipe_set *s, const void *group, size_t len)
{
    struct dish *me = s->state;
    int rc = map_put(&me->groups, group, len, me);
    if (rc == -EEXIST) {
        detail_set("the group was joined already");
        return -EINVAL;
    }
    if (rc == 0 && (rc = tell_all(s, group, len, true)) != 0)
        map_del(&me->groups, group, len);
    return rc;
}

static int dish_leave(struct pipe_set *s, const void *group, size_t len)
{
    struct dish *me = s->state;
    if (!map_get(&me->groups, group, len)) {
        detail_set("the group was not joined");
        return -EINVAL;
    }
    int rc = tell_all(s, group, len, false);
    if (rc == 0)
        map_del(&me->groups, group, len);
    return rc;
}

static bool dish_wants(struct pipe_set *s, const uint8_t *group, size_t len)
{
    const struct dish *me = s->state;
    return map_get(&me->groups, group, len) != NULL;
}

/* The pipe whose turn it is and whose oldest message is of a group that was joined; others are
 * dropped here. */
static struct pipe *dish_next(struct pipe_set *s)
{
    struct dish *me = s->state;
    struct pipe *p;
    while ((p = fairq_next(&me->in))) {
        const struct msg *group = msgring_peek(&p->in);
        if (dish_wants(s, msg_data(group), msg_size(group)))
            return p;
        if (msg_size(group) > GROUP_MAX)
            route_skip(s, p); /* no group: counted */
        else
            pipe_skip(p);
        fairq_rotate(&me->in, p);
    }
    return NULL;
}

static int dish_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct dish *me = s->state;
    struct pipe *p = dish_next(s);
    if (!p)
        return -EAGAIN;
    /* Where they are: what there is no memory for stays. */
    struct msg *group = msgring_peek(&p->in);
    struct msg *body = &p->in.v[(p->in.head + 1) & (p->in.cap - 1)];
    int rc = msg_join_group(body, msg_data(group), msg_size(group));
    if (rc == 0)
        rc = fairq_take(&me->in, p, out);
    if (rc)
        return rc;
    uint32_t at = out->len - 2;
    msg_drop(&out->v[at]);
    out->v[at] = out->v[at + 1];
    out->len--;
    *from = p;
    return 0;
}

static int dish_send(struct pipe_set *s, struct parts *m)
{
    (void)s;
    (void)m;
    return -ENOTSUP;
}

static int dish_events(struct pipe_set *s)
{
    return dish_next(s) ? FMQ_POLLIN : 0;
}

static int dish_getopt(struct pipe_set *s, int option, int64_t *num)
{
    const struct dish *me = s->state;
    if (option != OPT_TOPICS_COUNT)
        return -EINVAL;
    *num = (int64_t)me->groups.len;
    return 0;
}

/* ---- tables ---- */

static void dish_groups(struct pipe_set *s, struct pipe *p, topic_visitor visit, void *arg)
{
    const struct dish *me = s->state;
    size_t pos = 0, len;
    const void *group;
    while (!p && map_next(&me->groups, &pos, &group, &len))
        if (visit(arg, group, len))
            return;
}

const struct pattern_ops pattern_radio = {
    .type = FMQ_RADIO,
    .name = "RADIO",
    .state_size = sizeof(struct radio),
    .pipe_size = sizeof(struct radio_pipe),
    .sends = true,
    .single = true,
    .addressing = FMQ_BY_GROUP,
    .init = radio_init,
    .fini = radio_fini,
    .attach = radio_attach,
    .lost = radio_lost,
    .hangup = radio_hangup,
    .detach = radio_detach,
    .readable = radio_readable,
    .writable = radio_writable,
    .command = radio_command,
    .send = radio_send,
    .recv = route_no_recv,
    .events = radio_events,
    .setopt = radio_setopt,
    .getopt = radio_getopt,
    .subscribers = radio_subscribers,
    .describe = radio_describe,
    .topics = radio_groups,
};

const struct pattern_ops pattern_dish = {
    .type = FMQ_DISH,
    .name = "DISH",
    .state_size = sizeof(struct dish),
    .receives = true,
    .single = true,
    .frames = 2,
    .addressing = FMQ_BY_GROUP,
    .init = dish_init,
    .fini = dish_fini,
    .attach = dish_attach,
    .greet = dish_greet,
    .detach = route_leave,
    .readable = dish_readable,
    .writable = dish_writable,
    .wants = dish_wants,
    .topics = dish_groups,
    .send = dish_send,
    .recv = dish_recv,
    .events = dish_events,
    .getopt = dish_getopt,
    .join = dish_join,
    .leave = dish_leave,
};
