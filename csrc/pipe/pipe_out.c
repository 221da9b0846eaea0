/* SPDX-License-Identifier: MIT */
#include "pipe/pipe_out.h"

#include <string.h>

#include "pipe/budget.h"
#include "pipe/pattern_ops.h"
#include "wire/outq_drain.h"
#include "wire/types.h"

/* Subscriptions travel as messages whose first byte says which. */
#define SUBSCRIBE_BYTE 1
#define CANCEL_BYTE 0

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
            pipe_count_drops(p, before - p->out.msgs, DROP_REPLACED);
        }
        rc = p->raw ? outq_put_raw(&p->out, parts) : outq_put(&p->out, parts, n);
        if (rc == 0)
            pipe_wrote(p);
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
    pipe_wrote(p);
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
        pipe_wrote(p);
    return 0;
}

/* A byte that says which, and a topic or a group, as a message over a direct link. */
static int put_direct(struct pipe *p, bool marked, bool add, const void *name, size_t len)
{
    struct msg m;
    uint8_t *data;
    int rc = msg_init_blob(&m, len + marked, &data);
    if (rc)
        return rc;
    if (marked)
        data[0] = add ? SUBSCRIBE_BYTE : CANCEL_BYTE;
    if (len)
        memcpy(data + marked, name, len);
    rc = write_direct(p, &m);
    if (rc)
        msg_drop(&m);
    else if (marked)
        p->link->ops->urge(p);
    return rc;
}

/* The same as a command. */
static int put_command(struct pipe *p, int (*command)(struct pipe *, const void *, size_t, bool),
                       bool add, const void *name, size_t len)
{
    int rc = command(p, name, len, add);
    if (rc == 0)
        pipe_wrote(p);
    pipe_account(p);
    return rc;
}

int pipe_put_subscription(struct pipe *p, const void *topic, size_t len, bool add)
{
    if (p->hung_up || !p->greeted)
        return 0;
    if (p->direct) {
        /* A peer that is no publisher gets it, too, as libzmq has it: the topic is the message. */
        bool marked = p->peer_type < 0 || type_is_publisher(p->peer_type);
        return put_direct(p, marked, add, topic, len);
    }
    return p->link ? put_command(p, p->link->ops->put_subscription, add, topic, len) : 0;
}

int pipe_put_group(struct pipe *p, const void *group, size_t len, bool join)
{
    if (p->hung_up || !p->greeted)
        return 0;
    if (p->direct)
        return put_direct(p, true, join, group, len);
    return p->link ? put_command(p, p->link->ops->put_group, join, group, len) : 0;
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
    pipe_wrote(p);
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
            pipe_queue_reap(p);
        return;
    }
    if (!p->full || !pipe_can_write(p, PIPE_ANY))
        return;
    p->full = false;
    if (p->attached)
        p->set->ops->writable(p->set, p);
    pipe_set_notify(p->set);
}

void pipe_discard(struct pipe *p)
{
    p->msgs_out -= p->out.msgs;
    pipe_count_drops(p, p->out.msgs, DROP_GONE);
    outq_fini(&p->out);
    outq_init(&p->out, p->set->pool);
    pipe_account(p);
}

void pipe_withdraw(struct pipe *p)
{
    uint32_t before = p->out.msgs;
    if (p->direct || p->hung_up || !before)
        return;
    outq_drop_pending(&p->out, p->link ? p->link->inflight : 0);
    p->msgs_out -= before - p->out.msgs;
    pipe_drained(p);
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
