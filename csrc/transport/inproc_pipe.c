/* SPDX-License-Identifier: MIT */
#include "transport/inproc_pipe.h"

#include <stdio.h>

#include "fastmq.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_out.h"
#include "transport/inproc_link.h"
#include "transport/inproc_names.h"

static struct conn_set *set_of(const struct pipe *p)
{
    return conn_set_of(&p->set->reactor);
}

static bool has_room(const struct link_end *to, uint64_t size)
{
    uint32_t hwm = atomic_load_explicit(&to->hwm, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&to->max_bytes, memory_order_relaxed);
    uint32_t waiting = to->put - atomic_load(&to->taken);
    if (hwm && waiting >= hwm)
        return false;
    uint64_t queued = inproc_queued_bytes(to);
    return !max || queued == 0 || (queued < max && size <= max - queued);
}

static void await(struct pipe *p)
{
    atomic_store(&link_of(p)->end[!p->side].writer_blocked, true);
}

static bool can_write(struct pipe *p, uint64_t size)
{
    struct link_end *to = &link_of(p)->end[!p->side];
    if (to->conflate || has_room(to, size))
        return true;
    atomic_store(&to->writer_blocked, true);
    return has_room(to, size);
}

static uint32_t room(struct pipe *p)
{
    struct link_end *to = &link_of(p)->end[!p->side];
    uint32_t hwm = atomic_load_explicit(&to->hwm, memory_order_relaxed);
    if (!hwm || to->conflate)
        return UINT32_MAX;
    uint32_t waiting = to->put - atomic_load(&to->taken);
    if (waiting >= hwm) {
        atomic_store(&to->writer_blocked, true);
        waiting = to->put - atomic_load(&to->taken);
    }
    return waiting < hwm ? hwm - waiting : 0;
}

static bool is_bounded(const struct pipe *p)
{
    return atomic_load_explicit(&link_of(p)->end[!p->side].max_bytes, memory_order_relaxed) != 0;
}

static bool conflates(const struct pipe *p)
{
    return link_of(p)->end[!p->side].conflate;
}

static inline int write_n(struct pipe *p, struct msg *parts, uint32_t n)
{
    struct inproc_link *l = link_of(p);
    struct link_end *to = &l->end[!p->side];
    for (uint32_t i = 0; i < n; i++) {
        int rc = parts[i].kind == MSG_SLICE ? msg_detach(&parts[i]) : msg_own(&parts[i]);
        if (rc)
            return rc;
    }
    uint64_t gone = 0;
    mutex_lock(&l->lock);
    if (to->closed) {
        mutex_unlock(&l->lock);
        inproc_give_back(l, parts_size(parts, n));
        for (uint32_t i = 0; i < n; i++)
            msg_drop(&parts[i]);
        return 0;
    }
    if (to->conflate && to->queue.len) {
        p->msgs_out -= to->queue.msgs;
        pipe_count_drops(p, to->queue.msgs, DROP_REPLACED);
        to->put -= to->queue.msgs;
        gone = msgring_bytes(&to->queue);
        to->replaced += gone;
        msgring_fini(&to->queue);
        msgring_init(&to->queue);
    }
    uint32_t done = 0;
    for (; done < n; done++) {
        if (done + 1 < n)
            parts[done].flags |= PART_MORE;
        else
            parts[done].flags &= (uint8_t)~PART_MORE;
        if (to->queue.len == to->queue.cap && msgring_grow(&to->queue))
            break;
        to->bytes += msg_size(&parts[done]);
        msgring_push(&to->queue, &parts[done]);
    }
    if (done < n) { /* takes back the beginning: the parts stay the caller's */
        to->queue.len -= done;
        while (done--)
            to->bytes -= msg_size(&parts[done]);
        mutex_unlock(&l->lock);
        inproc_give_back(l, gone);
        return -ENOMEM;
    }
    to->put++;
    if (p->room && p->room != UINT32_MAX)
        p->room--;
    if (to->idle) {
        to->idle = false;
        inproc_note(l, !p->side, EV_READABLE, false);
    }
    mutex_unlock(&l->lock);
    if (gone)
        inproc_give_back(l, gone);
    return 0;
}

/* A single part is the common case, and cheaper where the compiler knows it. */
static int write_parts(struct pipe *p, struct msg *parts, uint32_t n)
{
    return n == 1 ? write_n(p, parts, 1) : write_n(p, parts, n);
}

void inproc_refill(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    struct link_end *e = &l->end[p->side];
    mutex_lock(&l->lock);
    if (e->queue.len == 0) {
        e->idle = true;
    } else if (p->in.len == 0) {
        struct msgring empty = p->in;
        p->in = e->queue;
        e->queue = empty;
        if (e->conflate) {
            atomic_store(&e->taken, e->put - p->in.msgs);
            e->idle = true; /* what comes next takes the place of this */
        }
    }
    mutex_unlock(&l->lock);
}

/* Only our own socket changes it, so that plain arithmetic will do. */
static inline void count_taken(struct link_end *e, uint64_t bytes)
{
    uint64_t before = atomic_load_explicit(&e->taken_bytes, memory_order_relaxed);
    atomic_store_explicit(&e->taken_bytes, before + bytes, memory_order_relaxed);
}

static void taken(struct pipe *p, uint64_t bytes)
{
    struct inproc_link *l = link_of(p);
    struct link_end *e = &l->end[p->side];
    count_taken(e, bytes);
    atomic_fetch_add(&e->taken, 1);
    inproc_give_back(l, bytes);
    if (atomic_load(&e->writer_blocked)) {
        mutex_lock(&l->lock);
        atomic_store(&e->writer_blocked, false);
        inproc_note(l, !p->side, EV_WRITABLE, atomic_load(&e->writer_hastens));
        mutex_unlock(&l->lock);
    }
}

static void injected(struct pipe *p, uint64_t bytes)
{
    struct inproc_link *l = link_of(p);
    count_taken(&l->end[p->side], 0 - bytes);
    atomic_fetch_sub(&l->end[p->side].taken, 1);
    if (l->budget)
        budget_add(l->budget, bytes);
}

static uint32_t out_msgs(const struct pipe *p)
{
    struct link_end *to = &link_of(p)->end[!p->side];
    return to->put - atomic_load(&to->taken);
}

static uint64_t out_bytes(const struct pipe *p)
{
    return inproc_queued_bytes(&link_of(p)->end[!p->side]);
}

static uint64_t in_bytes(const struct pipe *p)
{
    mutex_lock(&link_of(p)->lock);
    uint64_t waiting = inproc_queued_bytes(&link_of(p)->end[p->side]);
    mutex_unlock(&link_of(p)->lock);
    return waiting;
}

static uint32_t in_msgs(const struct pipe *p)
{
    struct link_end *e = &link_of(p)->end[p->side];
    mutex_lock(&link_of(p)->lock);
    uint32_t waiting = e->queue.msgs + p->in.msgs;
    mutex_unlock(&link_of(p)->lock);
    return waiting;
}

static void add_bytes(const struct pipe *p, struct fmq_counters *count)
{
    struct inproc_link *l = link_of(p);
    mutex_lock(&l->lock);
    count->bytes_recvd += l->end[p->side].bytes;
    count->bytes_sent += l->end[!p->side].bytes;
    mutex_unlock(&l->lock);
}

static void names(const struct pipe *p, const char **local, const char **remote)
{
    *local = *remote = link_of(p)->uri;
}

static void describe_peer(const struct pipe *p, struct fmq_peer *out)
{
    struct inproc_link *l = link_of(p);
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", l->uri);
    out->accepted = p->side == 1;
    mutex_lock(&l->lock);
    const struct link_end *there = &l->end[!p->side];
    if (there->set)
        out->type = there->set->pipes.type;
    if (p->ready)
        snprintf(out->address, sizeof(out->address), "%.159s", l->uri);
    mutex_unlock(&l->lock);
}

static void limits_changed(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    mutex_lock(&l->lock);
    l->end[p->side].sndhwm = (uint32_t)p->set->opt.sndhwm;
    l->end[p->side].rcvhwm = (uint32_t)p->set->opt.rcvhwm;
    l->end[p->side].sndhwm_bytes = (uint64_t)p->set->opt.sndhwm_bytes;
    l->end[p->side].rcvhwm_bytes = (uint64_t)p->set->opt.rcvhwm_bytes;
    inproc_set_hwm(l, l->end[1].set != NULL);
    inproc_note(l, !p->side, EV_WRITABLE, false);
    mutex_unlock(&l->lock);
    pipe_set_limits(p);
    if (p->full && !p->hung_up)
        pipe_drained(p);
}

static void detach(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    struct link_end *e = &l->end[p->side];
    struct inproc_names *names = set_of(p)->inproc_names;
    bool waited = false;
    mutex_lock(&names->lock);
    if (list_linked(&l->waiting) && l->end[1].queue.len == 0) {
        waited = true; /* nothing to be left for a later bind */
        list_remove(&l->waiting);
    }
    mutex_unlock(&names->lock);
    if (waited)
        inproc_link_unref(l);
    mutex_lock(&l->lock);
    struct conn_set *s = e->set;
    e->closed = true;
    e->set = NULL;
    e->pipe = NULL;
    p->bytes_in += e->bytes;
    p->bytes_out += l->end[!p->side].bytes;
    /* What was taken over can still be received and is the pipe's from now on. */
    uint64_t kept = msgring_bytes(&p->in), left = inproc_queued_bytes(e);
    p->in_bytes = kept;
    p->charged += kept;
    count_taken(e, left);
    msgring_fini(&e->queue);
    msgring_init(&e->queue);
    inproc_note(l, !p->side, EV_CLOSED, true);
    mutex_unlock(&l->lock);
    inproc_give_back(l, left - kept);
    p->link = NULL;
    p->direct = false;
    pipe_set_limits(p);
    inproc_link_unref(l);
    if (s)
        atomic_fetch_sub(&s->pipes.reactor.refs,
                         1); /* never the last: the caller is inside the socket */
}

static void urge(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    mutex_lock(&l->lock);
    inproc_note(l, !p->side, EV_READABLE, true);
    mutex_unlock(&l->lock);
}

static void hasten(struct pipe *p, bool on)
{
    atomic_store(&link_of(p)->end[!p->side].writer_hastens, on);
}

const struct link_ops inproc_link_ops = {
    .direct = true,
    .add_bytes = add_bytes,
    .names = names,
    .describe = describe_peer,
    .room = room,
    .can_write = can_write,
    .bounded = is_bounded,
    .conflates = conflates,
    .await = await,
    .write = write_parts,
    .urge = urge,
    .hasten = hasten,
    .refill = inproc_refill,
    .taken = taken,
    .injected = injected,
    .detach = detach,
    .limits_changed = limits_changed,
    .out_msgs = out_msgs,
    .out_bytes = out_bytes,
    .in_msgs = in_msgs,
    .in_bytes = in_bytes,
};
