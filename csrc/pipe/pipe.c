/* SPDX-License-Identifier: MIT */
#include "pipe/pipe.h"

#include <string.h>

#include "base/alloc.h"
#include "pipe/budget.h"
#include "pipe/pattern_ops.h"
#include "wire/outq_drain.h"
#include "wire/types.h"

/* Subscriptions travel as messages whose first byte says which. */
#define SUBSCRIBE_BYTE 1
#define CANCEL_BYTE 0

/* The context may queue more again: pipes that were refused try anew. */
static void shortage_over(struct reactor *r, struct cmd *cmd)
{
    (void)cmd;
    struct pipe_set *s = pipe_set_of(r);
    if (r->finished)
        return;
    LIST_FOR_SAFE(n, &s->list)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
        if (p->full && !p->hung_up)
            pipe_drained(p);
        pipe_room_made(p);
    }
}

void pipe_set_init(struct pipe_set *s, const struct pattern_ops *ops, struct pool *pool)
{
    s->ops = ops;
    s->type = ops->type;
    s->pool = pool;
    list_init(&s->list);
    list_init(&s->dead_pipes);
    list_init(&s->shortage.node);
    s->shortage.over.run = shortage_over;
}

struct pipe *pipe_new(struct pipe_set *s, int *err)
{
    struct pipe *p = mem_zalloc(sizeof(*p));
    void *state = NULL;
    if (p && s->ops->pipe_size && !(state = mem_zalloc(s->ops->pipe_size))) {
        mem_free(p);
        p = NULL;
    }
    if (!p) {
        *err = -ENOMEM;
        return NULL;
    }
    p->set = s;
    p->state = state;
    msgring_init(&p->in);
    p->budget = s->budget;
    outq_init(&p->out, s->pool);
    p->peer_type = -1;
    list_init(&p->in_node);
    list_init(&p->out_node);
    list_init(&p->dead_node);
    p->conflate = s->opt.conflate;
    p->raw = s->ops->raw;
    pipe_set_limits(p);
    list_push_back(&s->list, &p->in_set);
    return p;
}

void pipe_update(struct pipe *p)
{
    p->plain = !p->hung_up && !p->close_wanted && !p->direct && !p->bounded;
    p->spans = !p->direct && !p->raw && !p->conflate;
    p->copies = p->spans && !p->bounded;
    p->watched = p->direct || p->hung_up || p->paused || p->counted;
}

void pipe_set_limits(struct pipe *p)
{
    const struct option_values *o = &p->set->opt;
    p->in_hwm = (uint32_t)o->rcvhwm;
    p->out_hwm = (uint32_t)o->sndhwm;
    p->in_max = (uint64_t)o->rcvhwm_bytes;
    p->out_max = (uint64_t)o->sndhwm_bytes;
    p->room = 0;
    p->bounded = p->budget || (p->direct ? p->link->ops->bounded(p) : p->out_max != 0);
    p->set->sized |= p->bounded;
    bool counted = p->in_max || p->budget;
    if (counted && !p->counted)
        p->in_bytes = msgring_bytes(&p->in);
    p->counted = counted;
    pipe_update(p);
}

void pipe_account(struct pipe *p)
{
    if (!p->budget)
        return;
    uint64_t before = p->charged;
    uint64_t now = p->held + (p->direct ? 0 : p->out.body + p->in_bytes);
    p->charged = now;
    if (now > before)
        budget_add(p->budget, now - before);
    else
        budget_give(p->budget, before - now);
}

/* A message whose end will not come is given up. */
static void rollback(struct pipe *p)
{
    msgring_rollback(&p->in);
    if (p->counted && !p->direct)
        p->in_bytes = msgring_bytes(&p->in);
    pipe_account(p);
}

int pipe_attach(struct pipe *p)
{
    int rc = p->set->ops->attach(p->set, p);
    p->attached = rc == 0;
    return rc;
}

int pipe_connected(struct pipe *p)
{
    struct pipe_set *s = p->set;
    p->ready = true;
    p->since = clock_unix();
    p->connections++;
    int rc = s->ops->connected ? s->ops->connected(s, p) : 0;
    if ((rc == 0 || rc == -EAGAIN) && s->opt.hello_msg.len && s->ops->says_hello)
        rc = pipe_write_control(p, s->opt.hello_msg.data, s->opt.hello_msg.len);
    if (rc && rc != -EAGAIN) {
        p->ready = false;
        p->since = 0;
        p->connections--;
        return rc;
    }
    /* Whether or not it was full before: a connection is news to a load balancer. */
    p->full = false;
    s->ops->writable(s, p);
    pipe_set_notify(s);
    return 0;
}

void pipe_lost(struct pipe *p)
{
    struct pipe_set *s = p->set;
    p->ready = false;
    p->since = 0;
    rollback(p);
    if (p->raw) {
        pipe_discard(p);
    } else {
        outq_rewind(&p->out);
        pipe_account(p);
    }
    if (p->hung_up)
        return;
    if (s->ops->lost)
        s->ops->lost(s, p);
    if (s->opt.hiccup_msg.len && s->ops->hears_hiccup)
        pipe_inject(p, s->opt.hiccup_msg.data, s->opt.hiccup_msg.len);
    pipe_drained(p);
}

void pipe_count_drops(struct pipe *p, uint64_t n)
{
    p->drops += n;
    p->set->drops += n;
}

void pipe_discard(struct pipe *p)
{
    p->msgs_out -= p->out.msgs;
    pipe_count_drops(p, p->out.msgs);
    outq_fini(&p->out);
    outq_init(&p->out, p->set->pool);
    pipe_account(p);
}

static void queue_reap(struct pipe *p)
{
    if (!list_linked(&p->dead_node))
        list_push_back(&p->set->dead_pipes, &p->dead_node);
    p->set->reactor.work |= WORK_REAP;
}

static void drop_unread(struct pipe *p)
{
    while (pipe_can_read(p)) {
        pipe_skip(p);
        pipe_count_drops(p, 1);
    }
}

void pipe_hangup(struct pipe *p)
{
    struct pipe_set *s = p->set;
    if (p->hung_up) { /* it may be done now */
        queue_reap(p);
        return;
    }
    p->hung_up = true;
    pipe_update(p);
    rollback(p);
    if (p->attached && p->ready && s->opt.disconnect_msg.len && !s->reactor.closed &&
        !p->ended_here && s->ops->hears_disconnect)
        pipe_inject(p, s->opt.disconnect_msg.data, s->opt.disconnect_msg.len);
    if (p->attached && s->ops->hangup)
        s->ops->hangup(s, p);
    list_remove(&p->out_node);
    if (p->direct)
        p->link->ops->detach(p);
    if (p->unwanted)
        drop_unread(p);
    queue_reap(p);
    pipe_set_notify(s);
}

void pipe_disown(struct pipe *p, bool unwanted)
{
    p->ended_here = true;
    p->unwanted = unwanted;
    if (unwanted && p->hung_up)
        drop_unread(p);
}

/* Its counters move on to the socket. */
static void count_closed(struct pipe *p)
{
    struct closed_totals *totals = &p->set->closed_totals;
    totals->msgs_in += p->msgs_in;
    totals->msgs_out += p->msgs_out;
    totals->bytes_in += p->bytes_in;
    totals->bytes_out += p->bytes_out;
    totals->reconnects += p->connections ? p->connections - 1 : 0;
}

void pipe_free(struct pipe *p)
{
    struct pipe_set *s = p->set;
    if (p->attached)
        s->ops->detach(s, p);
    if (p->direct)
        p->link->ops->detach(p);
    list_remove(&p->in_node);
    list_remove(&p->out_node);
    list_remove(&p->dead_node);
    list_remove(&p->in_set);
    count_closed(p);
    msgring_fini(&p->in);
    outq_fini(&p->out);
    if (p->budget)
        budget_give(p->budget, p->charged);
    meta_unref(p->meta);
    mem_free(p->remote_name);
    mem_free(p->state);
    mem_free(p);
}

void pipe_rx_pause(struct pipe *p, bool pause)
{
    if (p->rx_paused == pause || p->close_wanted)
        return;
    p->rx_paused = pause;
    if (!pause)
        pipe_room_made(p);
}

void pipe_close(struct pipe *p)
{
    p->close_wanted = true;
    p->rx_paused = true;
    pipe_update(p);
    queue_reap(p);
}

void pipe_lose(struct pipe *p)
{
    p->lose_wanted = true;
    queue_reap(p);
}

/* ---- out ---- */

void pipe_refuse(struct pipe *p, uint64_t size)
{
    if (!p->full || size < p->want)
        p->want = size;
    p->full = true;
}

/* Only the newest message is kept: no limit applies. */
static bool keeps_newest(const struct pipe *p)
{
    return p->direct ? p->link->ops->conflates(p) : p->conflate;
}

/* Room among what the context may queue? If not, the socket will be notified when there is. */
static bool budget_has_room(struct pipe *p, uint64_t size)
{
    if (budget_fits(p->budget, size))
        return true;
    budget_await(p->budget, p->set, size);
    return budget_fits(p->budget, size);
}

/* Nothing is queued: one message goes whatever the context holds. Else a socket that passes
 * on what it receives, and by receiving has more read in its place, would wait for ever for the
 * room. Only writing ends it. */
static bool idle(const struct pipe *p)
{
    return pipe_out_msgs(p) == 0;
}

/* Does what the context may queue allow it? If not, the socket will be notified when it does. */
static bool budget_allows(struct pipe *p, uint64_t size)
{
    if (idle(p) || budget_has_room(p, size))
        return true;
    if (p->direct)
        p->link->ops->await(p);
    return idle(p);
}

/* Needs room in the budget for what it takes. */
static bool needs_room(const struct pipe *p)
{
    return p->budget && !keeps_newest(p) && !idle(p);
}

static bool has_room(struct pipe *p, uint64_t size)
{
    if (size == PIPE_ANY)
        size = p->full ? p->want : 1;
    if (p->direct) {
        if (!p->link->ops->can_write(p, size))
            return false;
    } else if (!p->conflate) {
        if (p->out_hwm && p->out.msgs >= p->out_hwm)
            return false;
        if (p->out_max && p->out.body &&
            (p->out.body >= p->out_max || size > p->out_max - p->out.body))
            return false;
    }
    return !p->budget || keeps_newest(p) || p->set->advance >= size || budget_allows(p, size);
}

bool pipe_can_write_slow(struct pipe *p, uint64_t size)
{
    if (p->hung_up || p->close_wanted)
        return false;
    if (p->direct && !p->bounded) {
        if (p->room || (p->room = p->link->ops->room(p)) != 0)
            return true;
    } else if (has_room(p, size)) {
        return true;
    }
    if (size != PIPE_ANY)
        pipe_refuse(p, size);
    else if (!p->full)
        pipe_refuse(p, 1);
    return false;
}

bool pipe_reserve(struct pipe *const *pipes, uint32_t n, uint64_t size)
{
    if (!size)
        return true;
    for (;;) {
        uint64_t total = 0;
        struct pipe *one = NULL;
        for (uint32_t i = 0; i < n; i++) {
            if (needs_room(pipes[i])) {
                one = pipes[i];
                total += size;
            }
        }
        if (!one)
            return true;
        if (budget_take(one->budget, total)) {
            one->set->advance = total;
            return true;
        }
        bool waits = false;
        for (uint32_t i = 0; i < n; i++) {
            if (needs_room(pipes[i]) && !budget_allows(pipes[i], total)) {
                pipe_refuse(pipes[i], total);
                waits = true;
            }
        }
        if (waits)
            return false;
    }
}

void pipe_reserve_end(struct pipe_set *s)
{
    if (!s->advance)
        return;
    budget_give(s->budget, s->advance);
    s->advance = 0;
}

/* Takes the room from the context's budget; false: another socket was faster. */
static bool charge(struct pipe *p, uint64_t size)
{
    struct pipe_set *s = p->set;
    for (;;) {
        if (!needs_room(p)) { /* first: what is reserved is for those that do */
            budget_add(p->budget, size);
            break;
        }
        if (s->advance >= size) {
            s->advance -= size;
            break;
        }
        if (budget_take(p->budget, size))
            break;
        if (!budget_allows(p, size)) {
            pipe_refuse(p, size);
            return false;
        }
    }
    if (!p->direct)
        p->charged += size;
    return true;
}

/* After a write that was charged. On failure the parts are still there. */
static void charged(struct pipe *p, const struct msg *parts, uint32_t n, int rc)
{
    if (!p->direct)
        pipe_account(p); /* also what CONFLATE replaced */
    else if (rc)
        budget_give(p->budget, parts_size(parts, n));
}

/* More was appended to `out`. */
static inline void wrote(struct pipe *p)
{
    struct link *l = p->link;
    if (!l)
        return;
    if (!l->flush_pending)
        l->ops->wrote(l);
    else if (flush_is_due(&p->out) && !l->writing && !l->blocked)
        p->set->reactor.work |= WORK_FLUSH;
}

/* As pipe_write, for a pipe that is known to have room. */
static inline int put(struct pipe *p, struct msg *parts, uint32_t n)
{
    int rc;
    if (p->budget && !charge(p, parts_size(parts, n)))
        return -EAGAIN;
    if (p->direct) {
        rc = p->link->ops->write(p, parts, n);
    } else {
        if (p->conflate) {
            uint32_t before = p->out.msgs;
            outq_drop_pending(&p->out, p->link ? p->link->inflight : 0);
            p->msgs_out -= before - p->out.msgs;
            pipe_count_drops(p, before - p->out.msgs);
        }
        rc = p->raw ? outq_put_raw(&p->out, parts) : outq_put(&p->out, parts, n);
        if (rc == 0)
            wrote(p);
    }
    if (rc == 0)
        p->msgs_out++;
    if (p->budget)
        charged(p, parts, n, rc);
    return rc;
}

int pipe_write(struct pipe *p, struct msg *parts, uint32_t n)
{
    uint64_t size = p->bounded ? parts_size(parts, n) : 0;
    if (!pipe_can_write(p, size))
        return -EAGAIN;
    return put(p, parts, n);
}

int pipe_write_bytes(struct pipe *p, const void *data, size_t size, void *object)
{
    if (size > OUTQ_COPY_MAX || !p->copies) {
        struct msg m;
        msg_init_borrowed(&m, data, size, object);
        int rc = put(p, &m, 1);
        if (rc)
            msg_drop(&m);
        return rc;
    }
    int rc = outq_put_copy(&p->out, data, size);
    if (rc)
        return rc;
    p->msgs_out++;
    wrote(p);
    return 0;
}

/* Whatever the limits. */
static int write_direct(struct pipe *p, struct msg *m)
{
    uint64_t size = msg_size(m);
    if (p->budget)
        budget_add(p->budget, size);
    int rc = p->link->ops->write(p, m, 1);
    if (rc && p->budget)
        budget_give(p->budget, size);
    return rc;
}

int pipe_write_control(struct pipe *p, const void *data, size_t len)
{
    if (p->hung_up)
        return -EAGAIN;
    struct msg m;
    int rc = msg_init_copy(&m, data, len);
    if (rc)
        return rc;
    if (p->direct)
        rc = write_direct(p, &m);
    else
        rc = p->raw ? outq_put_raw(&p->out, &m) : outq_put(&p->out, &m, 1);
    if (rc) {
        msg_drop(&m);
        return rc;
    }
    pipe_account(p);
    p->msgs_out++;
    if (!p->direct)
        wrote(p);
    return 0;
}

int pipe_put_subscription(struct pipe *p, const void *topic, size_t len, bool add)
{
    if (p->hung_up || !p->ready)
        return 0;
    if (p->direct) {
        /* A peer that is no publisher gets it, too, as libzmq has it: the topic is the message. */
        bool marked = p->peer_type < 0 || type_is_publisher(p->peer_type);
        struct msg m;
        uint8_t *data;
        int rc = msg_init_blob(&m, len + marked, &data);
        if (rc)
            return rc;
        if (marked)
            data[0] = add ? SUBSCRIBE_BYTE : CANCEL_BYTE;
        if (len)
            memcpy(data + marked, topic, len);
        rc = write_direct(p, &m);
        if (rc)
            msg_drop(&m);
        return rc;
    }
    if (!p->link)
        return 0;
    int rc = p->link->ops->put_subscription(p, topic, len, add);
    if (rc == 0)
        wrote(p);
    pipe_account(p);
    return rc;
}

int pipe_write_span(struct pipe *p, const struct outspan *span)
{
    if (!pipe_can_write(p, span->body) || (p->budget && !charge(p, span->body)))
        return -EAGAIN;
    int rc = outq_put_span(&p->out, span);
    if (rc) {
        pipe_account(p);
        return rc;
    }
    p->msgs_out++;
    wrote(p);
    return 0;
}

int pipe_write_shared(struct pipe *p, struct msg *parts, uint32_t n)
{
    if (!pipe_can_write(p, p->bounded ? parts_size(parts, n) : 0))
        return -EAGAIN;
    struct parts copy;
    parts_init(&copy);
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct msg m;
        rc = msg_own(&parts[i]);
        if (rc == 0)
            rc = msg_dup(&m, &parts[i]);
        if (rc == 0 && (rc = parts_push(&copy, &m)) != 0)
            msg_drop(&m);
    }
    if (rc == 0)
        rc = pipe_write(p, copy.v, copy.len);
    if (rc == 0)
        copy.len = 0;
    parts_fini(&copy);
    return rc;
}

void pipe_drained(struct pipe *p)
{
    pipe_account(p);
    if (p->hung_up) {
        if (outq_empty(&p->out))
            queue_reap(p);
        return;
    }
    if (!p->full || !pipe_can_write(p, PIPE_ANY))
        return;
    p->full = false;
    if (p->attached)
        p->set->ops->writable(p->set, p);
    pipe_set_notify(p->set);
}

bool pipe_unsent(const struct pipe *p)
{
    return !outq_empty(&p->out) || (p->link && !p->direct && p->link->ops->pending(p->link));
}

uint32_t pipe_out_msgs(const struct pipe *p)
{
    return p->direct ? p->link->ops->out_msgs(p) : p->out.msgs;
}

uint64_t pipe_out_bytes(const struct pipe *p)
{
    return p->direct ? p->link->ops->out_bytes(p) : p->out.body;
}

/* ---- in ---- */

void pipe_arrived(struct pipe *p, uint32_t msgs_before)
{
    struct pipe_set *s = p->set;
    if (p->in.msgs <= msgs_before)
        return;
    p->msgs_in += p->in.msgs - msgs_before;
    if (msgs_before == 0 && p->attached)
        s->ops->readable(s, p);
    pipe_set_notify(s);
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

/* Reports room to the link that fills `in`. */
static void made_room(struct pipe *p, uint64_t bytes)
{
    if (p->direct) {
        p->link->ops->taken(p, bytes);
        if (p->in.msgs == 0) {
            p->link->ops->refill(p);
            p->msgs_in += p->in.msgs;
        }
    } else {
        if (p->counted) {
            p->in_bytes -= bytes;
            pipe_account(p);
        }
        if (p->paused && p->link && may_resume(p))
            p->link->ops->resume(p->link);
    }
    if (p->in.msgs == 0 && p->hung_up)
        queue_reap(p);
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
