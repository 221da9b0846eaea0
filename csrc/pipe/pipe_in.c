/* SPDX-License-Identifier: MIT */
#include "pipe/pipe_in.h"

#include "pipe/budget.h"
#include "pipe/misfits.h"
#include "pipe/pattern_ops.h"

/* Reading goes on at half of each limit, so that it is not stopped and begun for every message. */
static bool may_resume(struct pipe *p)
{
    if (p->in.msgs == 0)
        return true;
    if (p->in_hwm && p->in.msgs > p->in_hwm / 2)
        return false;
    if (p->in_max && p->in_bytes + p->held > p->in_max / 2)
        return false;
    return !p->budget || budget_fits(p->budget, 1);
}

static void resume(struct pipe *p)
{
    if (p->paused && p->link && may_resume(p))
        p->link->ops->resume(p->link);
}

/* n messages of so many bytes were taken out of `in` again. */
static void undo_arrival(struct pipe *p, uint32_t n, uint64_t bytes)
{
    if (p->direct) {
        for (; n; n--, bytes = 0)
            p->link->ops->taken(p, bytes);
        return;
    }
    if (p->counted) {
        p->in_bytes -= bytes;
        pipe_account(p);
    }
    resume(p);
}

/* Whether there may be misfits. Where messages have several frames the sums say nothing: a message
 * of one frame and one of three are as many as two of two. */
static bool may_have_misfits(const struct pipe *p)
{
    return p->in.len && (p->set->ops->frames > 1 || p->in.len != p->in.msgs || p->rx_skip);
}

/* Never inline: it is called by functions that are called for every message. */
__attribute__((noinline)) static void drop_misfits(struct pipe *p, uint32_t before)
{
    while (may_have_misfits(p)) {
        uint64_t bytes = 0;
        uint32_t whole = p->in.msgs;
        uint32_t dropped = pipe_take_out_misfits(p, before, &bytes);
        if (dropped) {
            p->misfit = true;
            p->msgs_in += dropped;
            pipe_count_drops(p, dropped, DROP_RULES);
        }
        undo_arrival(p, whole - p->in.msgs, bytes);
        if (!p->direct || p->in.msgs)
            return;
        p->link->ops->refill(p); /* it has to learn that `in` is empty, if it is */
    }
}

__attribute__((always_inline)) static inline void arrived(struct pipe *p, uint32_t msgs_before)
{
    struct pipe_set *s = p->set;
    if (p->in.msgs <= msgs_before)
        return;
    p->msgs_in += p->in.msgs - msgs_before;
    if (msgs_before == 0 && p->attached)
        s->ops->readable(s, p);
    pipe_set_notify(s);
}

__attribute__((noinline)) static void arrived_in_frames(struct pipe *p, uint32_t msgs_before)
{
    drop_misfits(p, msgs_before);
    arrived(p, msgs_before);
}

void pipe_arrived(struct pipe *p, uint32_t msgs_before)
{
    if (p->framed)
        arrived_in_frames(p, msgs_before);
    else
        arrived(p, msgs_before);
}

bool pipe_in_full(struct pipe *p)
{
    if (p->in.msgs == 0 || p->conflate)
        return false;
    if (p->in_max && p->in_bytes + p->held >= p->in_max)
        return true;
    if (!p->budget)
        return false;
    pipe_account(p);
    if (budget_fits(p->budget, 1))
        return false;
    budget_await_half(p->budget, p->set);
    return !budget_fits(p->budget, 1);
}

/* Reports room to the link that fills `in`. */
static void made_room(struct pipe *p, uint64_t bytes)
{
    if (p->direct) {
        p->link->ops->taken(p, bytes);
        if (p->in.msgs == 0) {
            p->link->ops->refill(p);
            if (p->framed)
                drop_misfits(p, 0);
            p->msgs_in += p->in.msgs;
        }
    } else {
        if (p->counted) {
            p->in_bytes -= bytes;
            pipe_account(p);
        }
        resume(p);
    }
    if (p->in.msgs == 0 && p->hung_up)
        pipe_queue_reap(p);
}

void pipe_took(struct pipe *p, const struct msg *parts, uint32_t n)
{
    made_room(p, parts_size(parts, n));
}

void pipe_hold(struct pipe *p, int64_t bytes)
{
    p->held += (uint64_t)bytes;
    pipe_account(p);
}

bool pipe_may_hold(struct pipe *p)
{
    if (!p->held)
        return true;
    return (!p->in_max || p->held < p->in_max) && (!p->budget || budget_fits(p->budget, 1));
}

uint64_t pipe_in_bytes(const struct pipe *p)
{
    return p->held + (p->direct ? p->link->ops->in_bytes(p) : msgring_bytes(&p->in));
}

int pipe_read(struct pipe *p, struct parts *out)
{
    struct msgring *r = &p->in;
    uint32_t n = 1;
    while (r->v[(r->head + n - 1) & (r->cap - 1)].flags & PART_MORE)
        n++;
    if (out->cap - out->len < n) {
        int rc = parts_grow(out, n);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < n; i++)
        msgring_pop(r, &out->v[out->len++]);
    if (p->watched)
        pipe_took(p, out->v + out->len - n, n);
    return 0;
}

void pipe_skip(struct pipe *p)
{
    struct msg m;
    uint64_t bytes = 0;
    do {
        msgring_pop(&p->in, &m);
        bytes += msg_size(&m);
        msg_drop(&m);
    } while (m.flags & PART_MORE);
    if (p->watched)
        made_room(p, bytes);
}

int pipe_inject(struct pipe *p, const void *data, size_t len)
{
    struct msg m;
    int rc = msg_init_copy(&m, data, len);
    if (rc)
        return rc;
    uint32_t before = p->in.msgs;
    rc = msgring_push(&p->in, &m);
    if (rc) {
        msg_drop(&m);
        return rc;
    }
    if (p->direct) {
        p->link->ops->injected(p, len);
    } else if (p->counted) {
        p->in_bytes += len;
        pipe_account(p);
    }
    p->msgs_in--; /* it has not come from the peer */
    pipe_arrived(p, before);
    return 0;
}

void pipe_rx_pause(struct pipe *p, bool pause)
{
    if (p->rx_paused == pause || p->close_wanted)
        return;
    p->rx_paused = pause;
    if (!pause)
        pipe_room_made(p);
}
