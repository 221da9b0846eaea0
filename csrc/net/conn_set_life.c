/* SPDX-License-Identifier: MIT */
#include "net/conn_set_life.h"

#include "base/alloc.h"
#include "net/conn.h"
#include "net/conn_end.h"
#include "net/conn_read.h"
#include "net/endpoint.h"
#include "net/endpoint_close.h"
#include "net/trouble.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

/* Nothing more will come out of it, and nothing waits in it to be sent within LINGER. */
static bool pipe_done(const struct pipe *p)
{
    return p->hung_up && !p->link && p->in.msgs == 0 && (!p->endpoint || outq_empty(&p->out));
}

void conn_set_reap(struct conn_set *s)
{
    for (struct list *n; (n = list_pop_front(&s->pipes.dead_pipes));) {
        struct pipe *p = LIST_ENTRY(n, struct pipe, dead_node);
        bool stream = p->link && !p->direct;
        if (p->close_wanted) {
            p->close_wanted = false;
            pipe_update(p);
            if (stream)
                p->link->ops->end(p->link, false);
            else
                pipe_hangup(p);
        } else if (p->lose_wanted && stream) {
            p->lose_wanted = false;
            p->link->ops->end(p->link, true);
        } else if (pipe_done(p)) {
            if (p->endpoint)
                endpoint_release_pipe(p->endpoint);
            pipe_free(p);
        }
    }
    io_free_deferred(conn_set_reactor(s));
}

bool conn_set_lingers(struct conn_set *s)
{
    if (s->linger_until == 0 ||
        atomic_load_explicit(&conn_set_reactor(s)->broken, memory_order_relaxed))
        return false;
    if (!list_empty(&s->draining))
        return true;
    LIST_FOR(n, &s->pipes.list)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
        if (!p->direct && pipe_unsent(p) && (p->link || p->endpoint))
            return true;
    }
    return false;
}

bool conn_set_writes(struct conn_set *s)
{
    LIST_FOR(n, &s->conns)
    if (LIST_ENTRY(n, struct conn, in_set)->link.writing)
        return true;
    LIST_FOR(n, &s->pipes.list)
    {
        const struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
        if (p->link && p->link->writing)
            return true;
    }
    return false;
}

void conn_set_end(struct conn_set *s)
{
    LIST_FOR_SAFE(n, &s->endpoints)
    endpoint_close(LIST_ENTRY(n, struct endpoint, in_set), true);
    while (!list_empty(&s->conns))
        conn_end(LIST_ENTRY(s->conns.next, struct conn, in_set), CONN_END_CLOSED, 0);
    while (!list_empty(&s->draining))
        conn_drop(LIST_ENTRY(s->draining.next, struct conn, in_set));
    LIST_FOR_SAFE(n, &s->endpoints)
    endpoint_discard(LIST_ENTRY(n, struct endpoint, in_set));
    LIST_FOR_SAFE(n, &s->pipes.list)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
        list_remove(&p->dead_node);
        if (!p->hung_up)
            pipe_hangup(p);
    }
    LIST_FOR_SAFE(n, &s->pipes.list)
    pipe_free(LIST_ENTRY(n, struct pipe, in_set));
    mem_free(s->troubles);
    s->troubles = NULL;
}

bool conn_set_read_lone(struct reactor *r, uint64_t until)
{
    struct conn_set *s = conn_set_of(r);
    struct conn *c = LIST_ENTRY(s->conns.next, struct conn, in_set);
    return !conn_waits_to_write(c) && conn_spin(c, until);
}
