/* SPDX-License-Identifier: MIT */
#include "pattern/route.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_set.h"

void route_drop(struct pipe_set *s, struct pipe *p, struct parts *m, enum drop_reason why)
{
    pipe_set_count_drop(s, why);
    if (p)
        p->drops++;
    parts_clear(m);
}

void route_skip(struct pipe_set *s, struct pipe *p)
{
    pipe_set_count_drop(s, DROP_RULES);
    p->drops++;
    pipe_skip(p);
}

int route_unreachable(void)
{
    detail_set("no peer has that routing id");
    return -EHOSTUNREACH;
}

void route_violation(struct pipe *p, uint32_t code)
{
    p->violation = code;
    while (pipe_can_read(p))
        route_skip(p->set, p);
    fairq_remove(p);
    pipe_close(p);
}

/* ---- load balancer ---- */

struct pipe *balancer_next(struct balancer *b, uint64_t size)
{
    LIST_FOR_SAFE(it, &b->pipes)
    {
        struct pipe *p = LIST_ENTRY(it, struct pipe, out_node);
        if (pipe_can_write(p, size))
            return p;
        if (!p->bounded)
            balancer_remove(p);
    }
    return NULL;
}

struct pipe *balancer_turn_slow(struct balancer *b, uint64_t size)
{
    struct pipe *p = balancer_next(b, size);
    if (p)
        balancer_rotate(b, p);
    return p;
}

int balancer_send(struct balancer *b, struct parts *m, uint64_t size, struct pipe **to)
{
    struct pipe *p = balancer_turn(b, size);
    int rc = p ? pipe_write(p, m->v, m->len) : -EAGAIN;
    if (rc)
        return rc;
    m->len = 0;
    *to = p;
    return 0;
}

/* ---- any pipe ---- */

int route_send(struct pipe_set *s, struct parts *m)
{
    struct pipe *p = s->ops->select_tx(s, route_size(s, m));
    int rc = p ? pipe_write(p, m->v, m->len) : -EAGAIN;
    if (rc == 0)
        m->len = 0;
    return rc;
}

int route_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    struct pipe *p = s->ops->select_rx(s);
    if (!p)
        return -EAGAIN;
    *from = p;
    return pipe_read(p, out);
}

void route_forget(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    balancer_remove(p);
}

void route_leave(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    route_detach(p);
}

int route_no_recv(struct pipe_set *s, struct parts *out, struct pipe **from)
{
    (void)s;
    (void)out;
    (void)from;
    return -ENOTSUP;
}

/* ---- fan-out ---- */

void fanout_init(struct fanout *f, struct pipe_set *s)
{
    *f = (struct fanout){0};
    outlog_init(&f->log, s->pool);
    list_init(&f->pipes);
}

void fanout_fini(struct fanout *f)
{
    mem_free(f->targets);
    outlog_fini(&f->log);
}

int fanout_add(struct fanout *f, struct pipe *p)
{
    if (f->live == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : 4;
        struct pipe **targets = mem_realloc(f->targets, cap * sizeof(struct pipe *));
        if (!targets)
            return -ENOMEM;
        f->targets = targets;
        f->cap = cap;
    }
    f->live++;
    list_push_back(&f->pipes, &p->out_node);
    return 0;
}

void fanout_remove(struct fanout *f, struct pipe *p)
{
    if (!list_linked(&p->out_node))
        return;
    list_remove(&p->out_node);
    f->live--;
}

void fanout_aim_all(struct fanout *f)
{
    f->count = 0;
    LIST_FOR(it, &f->pipes)
    fanout_aim(f, LIST_ENTRY(it, struct pipe, out_node));
}

bool fanout_all_writable(struct fanout *f, uint64_t size)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (!pipe_can_write(f->targets[i], size))
            return false;
    }
    return true;
}

bool fanout_reserve(struct fanout *f, uint64_t size)
{
    return fanout_all_writable(f, size) && pipe_reserve(f->targets, f->count, size);
}

/* Whether to frame the message here and not in each queue: small enough to be copied, and none of
 * it lent. */
static bool fanout_frames(const struct fanout *f, const struct parts *m)
{
    if (f->count < 2)
        return false;
    size_t size = 0;
    for (uint32_t i = 0; i < m->len; i++) {
        size += msg_size(&m->v[i]);
        if (m->v[i].lent)
            return false;
    }
    return size <= OUTQ_COPY_MAX;
}

/* What became of the writes of one message. */
struct fate {
    bool sent, no_memory;
};

static void note_result(struct pipe_set *s, struct pipe *p, int rc, struct fate *fate)
{
    if (rc == 0) {
        fate->sent = true;
        return;
    }
    fate->no_memory |= rc == -ENOMEM;
    pipe_set_count_drop(s, DROP_FULL);
    p->drops++;
}

/* Each queue takes the parts. The last one gets them themselves: with one subscriber nothing is
 * shared. */
static void send_parts(struct pipe_set *s, struct fanout *f, struct parts *m, struct fate *fate)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct pipe *p = f->targets[i];
        bool last = i + 1 == f->count;
        int rc = last ? pipe_write(p, m->v, m->len) : pipe_write_shared(p, m->v, m->len);
        if (last && rc == 0)
            m->len = 0;
        note_result(s, p, rc, fate);
    }
}

/* To a pipe whose queue does not end with the message before. */
__attribute__((noinline)) static void begin_span(struct pipe_set *s, struct pipe *p,
                                                 const struct outspan *span, struct parts *m,
                                                 struct fate *fate)
{
    int rc = pipe_takes_spans(p) ? pipe_write_span(p, span) : pipe_write_shared(p, m->v, m->len);
    note_result(s, p, rc, fate);
}

/* Each queue that can takes the message as it was framed once. */
static void send_span(struct pipe_set *s, struct fanout *f, const struct outspan *framed,
                      struct parts *m, struct fate *fate)
{
    const struct outspan span = *framed; /* in registers */
    struct pipe *const *end = f->targets + f->count;
    for (struct pipe *const *at = f->targets; at < end; at++) {
        if (!pipe_extend_span(*at, &span))
            begin_span(s, *at, framed, m, fate);
        else
            fate->sent = true;
    }
}

int fanout_send(struct pipe_set *s, struct fanout *f, struct parts *m)
{
    struct fate fate = {false, false};
    struct outspan span;
    if (fanout_frames(f, m) && outlog_put(&f->log, m->v, m->len, &span) == 0)
        send_span(s, f, &span, m, &fate);
    else
        send_parts(s, f, m, &fate);
    pipe_reserve_end(s);
    if (fate.no_memory && !fate.sent)
        return -ENOMEM;
    parts_clear(m);
    return 0;
}

/* ---- parts ---- */

int parts_prepend(struct parts *p, const struct msg *head, uint32_t n)
{
    int rc = parts_grow(p, n);
    if (rc)
        return rc;
    memmove(p->v + n, p->v, p->len * sizeof(*p->v));
    memcpy(p->v, head, n * sizeof(*head));
    p->len += n;
    return 0;
}

void parts_cut(struct parts *p, uint32_t at, uint32_t n)
{
    for (uint32_t i = at; i < at + n; i++)
        msg_drop(&p->v[i]);
    memmove(p->v + at, p->v + at + n, (p->len - at - n) * sizeof(*p->v));
    p->len -= n;
}
