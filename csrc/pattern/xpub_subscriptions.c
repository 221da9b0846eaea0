/* SPDX-License-Identifier: MIT */
#include "pattern/xpub_subscriptions.h"

#include <errno.h>

#include "fastmq.h"
#include "pattern/xpub_late.h"
#include "pattern/xpub_notes.h"

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
        unreported = hwm && me->notices >= hwm && !xpub_tells_all(me);
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

int xpub_change(struct pipe_set *s, struct xpub_pipe *xp, const void *topic, size_t len, bool add)
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
    /* Topics that join the line in vain, since the subscription fails, are left out later. */
    if (add && !me->manual && !s->opt.invert_matching && keep_count(&me->keep) &&
        xpub_late_join(s, xp, topic, len)) {
        if (note)
            note_discard(note);
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
        if (s->opt.invert_matching && !me->manual && xpub_late_join(s, xp, topic, len))
            pipe_count_drops(xp->pipe, 1, DROP_FULL);
    }
    if (xpub_is_late(xp))
        xpub_late_give(s, xp);
    if (change > TOPICS_SAME && !me->manual)
        pipe_set_notify(s); /* a thread may wait for subscribers */
    bool report = change >= 0 && (me->manual || change == TOPICS_EDGE ||
                                  (add ? me->verbose_add : me->verbose_cancel));
    if (note && report && !unreported) {
        note_post(me, note);
        if (add && !xpub_tells_all(me)) {
            note->topic = m->topic;
            m->topic->note = note;
        }
        if (xpub_has_enough(me, xp))
            xpub_hold_up(me, xp->pipe);
    } else if (note) {
        note_discard(note);
    }
    return change < 0 ? change : 0;
}

void xpub_end(struct pipe_set *s, struct xpub_pipe *xp, struct topics *table, struct subscriber *of,
              bool all, bool report, struct xpub_pipe *from)
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

int xpub_decide(struct pipe_set *s, const void *topic, size_t len, bool add)
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
    }
    int rc = 0;
    if (add != (s->opt.invert_matching != 0))
        rc = xpub_late_join(s, xp, topic, len);
    if (rc == 0 && add)
        rc = join(&me->topics, &xp->topics, xp, topic, len, &m);
    xpub_late_give(s, xp);
    return rc < 0 ? rc : 0;
}
