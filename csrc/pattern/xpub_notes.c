/* SPDX-License-Identifier: MIT */
#include "pattern/xpub_notes.h"

#include "base/alloc.h"
#include "pattern/pubsub.h"

struct note *note_new(struct xpub_pipe *from, uint32_t n, bool user)
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

void note_discard(struct note *note)
{
    for (uint32_t i = 0; i < note->len; i++)
        msg_drop(&note->v[i]);
    mem_free(note);
}

void note_free(struct xpub *me, struct note *note)
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

void note_post(struct xpub *me, struct note *note)
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

bool xpub_has_enough(const struct xpub *me, const struct xpub_pipe *xp)
{
    uint64_t hwm = xp->pipe->in_hwm;
    if (!hwm || !xpub_tells_all(me))
        return false;
    return me->orphans >= hwm || xp->notices >= hwm + xp->topics.count + xp->asked.count;
}

void xpub_hold_up(struct xpub *me, struct pipe *p)
{
    pipe_rx_pause(p, true);
    me->any_rx_paused = true;
    me->orphans_stop |= p->in_hwm && me->orphans >= p->in_hwm;
}

void xpub_go_on(struct xpub *me)
{
    if (!me->any_rx_paused)
        return;
    me->any_rx_paused = me->orphans_stop = false;
    LIST_FOR(it, &me->out.pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        if (p->rx_paused && xpub_has_enough(me, p->state))
            xpub_hold_up(me, p);
        else
            pipe_rx_pause(p, false);
    }
}

void xpub_go_on_after(struct xpub *me, struct pipe *p, uint32_t hwm)
{
    if (p && p->rx_paused && !xpub_has_enough(me, p->state))
        pipe_rx_pause(p, false);
    else if (!p && me->orphans_stop && (!hwm || me->orphans < hwm))
        xpub_go_on(me);
}

struct note *note_subscription(struct xpub_pipe *from, const void *topic, size_t len, bool add)
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
