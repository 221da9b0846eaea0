/* SPDX-License-Identifier: MIT */
#include "pattern/xpub_late.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

/* After a write that found no memory. */
#define RETRY_MS 10

/* ---- a line ---- */

static bool line_has(const struct line *l, const struct kept *k)
{
    return k->slot < l->slots && l->turns[k->slot] == k->turn;
}

/* What is kept of the topic that has the place; NULL: the topic is gone. */
static struct kept *kept_of(const struct keep *keep, struct place at)
{
    struct kept *k = keep_at(keep, at.slot);
    return k && k->turn == at.turn ? k : NULL;
}

/* Topics that are gone leave the line. */
static void line_close_up(struct line *l, const struct keep *keep)
{
    uint32_t len = 0, mask = l->cap - 1;
    for (uint32_t i = 0; i < l->len; i++) {
        struct place at = l->places[(l->head + i) & mask];
        if (kept_of(keep, at))
            l->places[(l->head + len++) & mask] = at;
    }
    l->len = len;
}

/* Room for n more topics. 0 or -ENOMEM. */
static int line_reserve(struct line *l, uint32_t n, const struct keep *keep)
{
    uint32_t count = keep->slot_count;
    if (count > l->slots) {
        uint32_t *turns = mem_realloc(l->turns, count * sizeof(*turns));
        if (!turns)
            return -ENOMEM;
        memset(turns + l->slots, 0, (count - l->slots) * sizeof(*turns));
        l->turns = turns;
        l->slots = count;
    }
    if (l->cap - l->len >= n)
        return 0;
    line_close_up(l, keep);
    if (l->cap - l->len >= n && l->cap - l->len >= l->cap / 4) /* else it is soon full again */
        return 0;
    uint64_t cap = l->cap ? (uint64_t)l->cap * 2 : 16;
    while (cap - l->len < n)
        cap *= 2;
    if (cap > UINT32_MAX)
        return -ENOMEM;
    struct place *places = mem_alloc(cap * sizeof(*places));
    if (!places)
        return -ENOMEM;
    for (uint32_t i = 0; i < l->len; i++)
        places[i] = l->places[(l->head + i) & (l->cap - 1)];
    mem_free(l->places);
    l->places = places;
    l->head = 0;
    l->cap = (uint32_t)cap;
    return 0;
}

static void line_add(struct line *l, const struct kept *k)
{
    if (line_has(l, k))
        return;
    l->turns[k->slot] = k->turn;
    l->places[(l->head + l->len++) & (l->cap - 1)] = (struct place){k->slot, k->turn};
}

static void line_pop(struct line *l)
{
    struct place at = l->places[l->head];
    if (l->turns[at.slot] == at.turn)
        l->turns[at.slot] = 0;
    l->head = (l->head + 1) & (l->cap - 1);
    l->len--;
}

void xpub_late_forget(struct xpub_pipe *xp)
{
    list_remove(&xp->late_node);
    mem_free(xp->line.places);
    mem_free(xp->line.turns);
    xp->line = (struct line){0};
}

/* ---- which topics ---- */

struct question {
    struct xpub_pipe *xp;
    bool present; /* only subscriptions of the present connection count */
    bool yes;
};

static bool look_for_member(void *arg, void *value)
{
    struct question *q = arg;
    const struct member *m = topic_member(value, &q->xp->topics);
    q->yes = m && (!q->present || m->round == q->xp->round);
    return !q->yes;
}

/* Whether one of the peer's subscriptions is a prefix of that. */
static bool is_subscribed(const struct xpub *me, struct xpub_pipe *xp, const void *topic,
                          size_t len, bool present)
{
    struct question q = {xp, present, false};
    if (xp->topics.count)
        trie_match(&me->topics.trie, topic, len, look_for_member, &q);
    return q.yes;
}

struct found_topic {
    uint64_t seq;
    uint32_t slot;
};

struct search {
    const struct xpub *me;
    struct xpub_pipe *xp;
    bool check;
    struct found_topic *v;
    uint32_t len, cap;
};

static int add_found(struct search *f, const struct kept *k)
{
    if (f->len == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : 16;
        struct found_topic *v = mem_realloc(f->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        f->v = v;
        f->cap = cap;
    }
    f->v[f->len++] = (struct found_topic){k->seq, k->slot};
    return 0;
}

static int visit_topic(void *arg, const void *topic, size_t len, void *value)
{
    struct search *f = arg;
    if (!value || (f->check && is_subscribed(f->me, f->xp, topic, len, true)))
        return 0;
    return add_found(f, value);
}

static int by_seq(const void *a, const void *b)
{
    uint64_t x = ((const struct found_topic *)a)->seq, y = ((const struct found_topic *)b)->seq;
    return x < y ? -1 : x > y;
}

int xpub_late_join(struct pipe_set *s, struct xpub_pipe *xp, const void *prefix, size_t len)
{
    struct xpub *me = s->state;
    if (!keep_count(&me->keep) || xp->pipe->hung_up)
        return 0;
    if (is_subscribed(me, xp, prefix, len, true))
        return 0; /* no topic is added */
    struct search f = {.me = me, .xp = xp, .check = xp->topics.count > 0};
    int rc = trie_each_under(&me->keep.topics, prefix, len, visit_topic, &f);
    if (rc == 0 && f.len)
        rc = line_reserve(&xp->line, f.len, &me->keep);
    if (rc == 0 && f.len) {
        qsort(f.v, f.len, sizeof(*f.v), by_seq);
        for (uint32_t i = 0; i < f.len; i++)
            line_add(&xp->line, keep_at(&me->keep, f.v[i].slot));
        if (!list_linked(&xp->late_node))
            list_push_back(&me->late, &xp->late_node);
    }
    mem_free(f.v);
    return rc;
}

/* ---- giving ---- */

void xpub_late_give(struct pipe_set *s, struct xpub_pipe *xp)
{
    struct xpub *me = s->state;
    struct line *l = &xp->line;
    bool hastened = false;
    while (l->len) {
        struct kept *k = kept_of(&me->keep, l->places[l->head]);
        bool newest_only = xp->pipe->conflate && l->len > 1;
        if (k && !newest_only &&
            is_subscribed(me, xp, msg_data(&k->v[0]), msg_size(&k->v[0]), false) !=
                (s->opt.invert_matching != 0)) {
            int rc = pipe_write_shared(xp->pipe, k->v, k->len);
            if (rc == -ENOMEM)
                pipe_set_alarm(s, RETRY_MS);
            if (rc == -EAGAIN && xp->pipe->direct && !hastened) {
                xp->pipe->link->ops->hasten(xp->pipe, true);
                hastened = true;
                continue;
            }
            if (rc)
                return;
            me->given++;
        }
        line_pop(l);
    }
    xpub_late_forget(xp);
    if (xp->pipe->direct)
        xp->pipe->link->ops->hasten(xp->pipe, false);
    pipe_set_notify(s); /* a sender may have waited for this (XPUB_NODROP) */
}

void xpub_late_give_all(struct pipe_set *s)
{
    struct xpub *me = s->state;
    LIST_FOR_SAFE(it, &me->late)
    xpub_late_give(s, LIST_ENTRY(it, struct xpub_pipe, late_node));
}

/* ---- publishing ---- */

/* Moves the targets that are behind or have no room to the end, and returns how many of them there
 * are. */
static uint32_t set_late_aside(struct fanout *out, uint64_t size)
{
    uint32_t late = 0;
    for (uint32_t i = 0; i < out->count;) {
        struct pipe *p = out->targets[i];
        if (!xpub_is_late(p->state) && pipe_can_write(p, size)) {
            i++;
            continue;
        }
        out->targets[i] = out->targets[--out->count];
        out->targets[out->count] = p;
        late++;
    }
    return late;
}

static void leave_to_line(struct pipe_set *s, struct pipe *p, uint32_t slot)
{
    struct xpub *me = s->state;
    struct xpub_pipe *xp = p->state;
    struct kept *k = keep_at(&me->keep, slot); /* KEEP_NO_SLOT is none */
    if (!k || line_has(&xp->line, k) || line_reserve(&xp->line, 1, &me->keep)) {
        pipe_count_drops(p, 1, DROP_FULL);
        return;
    }
    line_add(&xp->line, k);
    if (!list_linked(&xp->late_node)) {
        list_push_back(&me->late, &xp->late_node);
        xpub_late_give(s, xp); /* so that it is told of room */
    }
}

int xpub_late_send(struct pipe_set *s, struct parts *m)
{
    struct xpub *me = s->state;
    struct fanout *out = &me->out;
    uint64_t size = route_size(s, m);
    uint32_t late = set_late_aside(out, size);
    if (me->nodrop && (late || !fanout_reserve(out, size)))
        return -EAGAIN;
    struct kept *k = keep_prepare(&me->keep, m);
    int rc = k ? fanout_send(s, out, m) : -ENOMEM;
    if (rc) {
        pipe_reserve_end(s);
        if (k)
            keep_abort(&me->keep, k);
        return rc;
    }
    uint32_t slot = keep_commit(&me->keep, k);
    for (uint32_t i = 0; i < late; i++)
        leave_to_line(s, out->targets[out->count + i], slot);
    return 0;
}
