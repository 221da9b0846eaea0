/* SPDX-License-Identifier: MIT */
#include "pipe/pipe_life.h"

#include "base/alloc.h"
#include "pipe/budget.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_out.h"
#include "wire/outq_drain.h"

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

static void alarm_due(struct timer *t, uint64_t now)
{
    (void)now;
    struct pipe_set *s = LIST_ENTRY(t, struct pipe_set, alarm);
    if (!pipe_set_closed(s))
        s->ops->alarm(s);
}

void pipe_set_alarm(struct pipe_set *s, uint32_t ms)
{
    timer_set(&s->reactor, &s->alarm, clock_now() + ms * NS_PER_MS);
}

void pipe_set_alarm_off(struct pipe_set *s)
{
    timer_cancel(&s->reactor, &s->alarm);
}

void pipe_set_init(struct pipe_set *s, const struct pattern_ops *ops, struct pool *pool)
{
    s->ops = ops;
    s->type = ops->type;
    s->pool = pool;
    list_init(&s->list);
    list_init(&s->walks);
    list_init(&s->dead_pipes);
    list_init(&s->shortage.node);
    s->shortage.over.run = shortage_over;
    timer_init(&s->alarm, alarm_due);
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
    p->framed = s->ops->frames != 0;
    pipe_set_limits(p);
    list_push_back(&s->list, &p->in_set);
    return p;
}

/* A message whose end will not come is given up. */
static void rollback(struct pipe *p)
{
    msgring_rollback(&p->in);
    p->rx_skip = false;
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

/* A greeting is put in front of what is queued. */
struct greeting {
    struct outq later;
    uint64_t msgs_out;
    bool aside, empty;
};

static void greeting_begin(struct pipe *p, struct greeting *g)
{
    g->msgs_out = p->msgs_out;
    g->empty = outq_empty(&p->out);
    g->aside = !p->direct && outq_set_aside(&p->out, &g->later);
    if (g->aside)
        p->aside = g->later.body; /* stays charged */
}

/* What was written of one that failed is taken back: all of it is written when it is tried again.
 * Behind bytes without frames it is one message, and none of that was written. What another socket
 * has over inproc is not taken back. */
static void greeting_end(struct pipe *p, struct greeting *g, bool failed)
{
    if (failed && !p->direct && (g->aside || g->empty)) {
        outq_fini(&p->out);
        outq_init(&p->out, p->set->pool);
        p->msgs_out = g->msgs_out;
    }
    if (g->aside)
        outq_append(&p->out, &g->later);
    p->aside = 0;
    pipe_account(p);
}

int pipe_greet(struct pipe *p)
{
    struct pipe_set *s = p->set;
    if (p->greeted)
        return 0;
    p->greeted = true;
    int rc = s->ops->greet ? s->ops->greet(s, p) : 0;
    if (rc == 0 && s->opt.hello_msg.len && s->ops->says_hello)
        rc = pipe_write_control(p, s->opt.hello_msg.data, s->opt.hello_msg.len);
    p->greeted = rc == 0;
    return rc;
}

int pipe_connected(struct pipe *p)
{
    struct pipe_set *s = p->set;
    struct greeting g;
    p->ready = true;
    p->since = clock_unix();
    p->connections++;
    greeting_begin(p, &g);
    int rc = s->ops->connected ? s->ops->connected(s, p) : 0;
    if (rc == 0 || rc == -EAGAIN) {
        int greeted = pipe_greet(p);
        rc = greeted ? greeted : rc;
    }
    bool failed = rc && rc != -EAGAIN;
    greeting_end(p, &g, failed);
    if (failed) {
        p->ready = false;
        p->greeted = false;
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
    p->ready = p->greeted = false;
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

static void drop_unread(struct pipe *p)
{
    while (pipe_can_read(p)) {
        pipe_skip(p);
        pipe_count_drops(p, 1, DROP_GONE);
    }
}

void pipe_hangup(struct pipe *p)
{
    struct pipe_set *s = p->set;
    if (p->hung_up) { /* it may be done now */
        pipe_queue_reap(p);
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
    pipe_queue_reap(p);
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
    totals->packets_lost += p->packets_lost;
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
    list_remove_walked(&s->walks, &p->in_set);
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

void pipe_close(struct pipe *p)
{
    p->close_wanted = true;
    p->rx_paused = true;
    pipe_update(p);
    pipe_queue_reap(p);
}

void pipe_lose(struct pipe *p)
{
    p->lose_wanted = true;
    pipe_queue_reap(p);
}
