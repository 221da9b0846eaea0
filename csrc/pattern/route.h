/* SPDX-License-Identifier: MIT */
/*
 * How messages find pipes, shared by the patterns: fair queue in, load balancer out, fan-out to
 * many.
 *
 * The lists run through the pipes themselves, so linking cannot fail. A pipe that the lists hold
 * may have stopped being readable or writable; that is found out when its turn comes, and then it
 * leaves the list until `readable` or `writable` brings it back. A pattern calls
 * route_attach when it gets a pipe and route_detach before it loses it.
 */
#ifndef PATTERN_ROUTE_H
#define PATTERN_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "msg/msg.h"
#include "pipe/pipe.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_out.h"
#include "pipe/pipe_set.h"

static inline void route_attach(struct pipe *p)
{
    list_init(&p->in_node);
    list_init(&p->out_node);
}

static inline void route_detach(struct pipe *p)
{
    list_remove(&p->in_node);
    list_remove(&p->out_node);
}

/* The bytes of a message, if any pipe of the socket asks for them. */
static inline uint64_t route_size(const struct pipe_set *s, const struct parts *m)
{
    return s->sized ? parts_size(m->v, m->len) : 0;
}

/* Drops a message of that pipe, or that goes to it (NULL: there is no pipe), and counts that. */
void route_drop(struct pipe_set *s, struct pipe *p, struct parts *m, enum drop_reason why);

/* Drops the oldest received message, which is not as the pattern has it, and counts that. */
void route_skip(struct pipe_set *s, struct pipe *p);

/* -EHOSTUNREACH, and says why: no peer has the routing id that a message names. */
int route_unreachable(void);

/* Drops what the pipe holds unread and closes it: its peer broke the pattern's rules. `code`: a
 * PROTO_ code for the monitor; 0: it is not the peer's fault. */
void route_violation(struct pipe *p, uint32_t code);

/* ---- in: every readable pipe in turn, one whole message each ---- */

struct fairq {
    struct list pipes; /* pipe.in_node */
};

static inline void fairq_init(struct fairq *q)
{
    list_init(&q->pipes);
}

static inline void fairq_add(struct fairq *q, struct pipe *p)
{
    if (!list_linked(&p->in_node))
        list_push_back(&q->pipes, &p->in_node);
}

static inline void fairq_remove(struct pipe *p)
{
    list_remove(&p->in_node);
}

/* The pipe whose turn it is; NULL: none has a message. */
static inline struct pipe *fairq_next(struct fairq *q)
{
    while (!list_empty(&q->pipes)) {
        struct pipe *p = LIST_ENTRY(q->pipes.next, struct pipe, in_node);
        if (pipe_can_read(p))
            return p;
        fairq_remove(p);
    }
    return NULL;
}

/* After a message of `p` was read or skipped: the next one's turn. */
static inline void fairq_rotate(struct fairq *q, struct pipe *p)
{
    list_remove(&p->in_node);
    if (pipe_can_read(p))
        list_push_back(&q->pipes, &p->in_node);
}

/* Appends the oldest message of `p`, which came from fairq_next. 0 or -ENOMEM (nothing changed). */
static inline int fairq_take(struct fairq *q, struct pipe *p, struct parts *out)
{
    int rc = pipe_read(p, out);
    if (rc == 0)
        fairq_rotate(q, p);
    return rc;
}

/* The pipe whose turn it is, which goes to the back of the queue; NULL: none has a message. */
static inline struct pipe *fairq_turn(struct fairq *q)
{
    struct pipe *p = fairq_next(q);
    if (p && p->in_node.next != p->in_node.prev) {
        list_remove(&p->in_node);
        list_push_back(&q->pipes, &p->in_node);
    }
    return p;
}

/* ---- out: every writable pipe in turn ---- */

struct balancer {
    struct list pipes; /* pipe.out_node */
};

static inline void balancer_init(struct balancer *b)
{
    list_init(&b->pipes);
}

static inline void balancer_add(struct balancer *b, struct pipe *p)
{
    if (!list_linked(&p->out_node))
        list_push_back(&b->pipes, &p->out_node);
}

static inline void balancer_remove(struct pipe *p)
{
    list_remove(&p->out_node);
}

/* The pipe whose turn it is among those that can take so many bytes; NULL: none has room. A pipe
 * that has room for less keeps its place. */
struct pipe *balancer_next(struct balancer *b, uint64_t size);

/* To the back of the line. */
static inline void balancer_rotate(struct balancer *b, struct pipe *p)
{
    if (p->out_node.next != p->out_node.prev) {
        list_remove(&p->out_node);
        list_push_back(&b->pipes, &p->out_node);
    }
}

struct pipe *balancer_turn_slow(struct balancer *b, uint64_t size);

/* As balancer_next, and it goes to the back of the line. */
static inline struct pipe *balancer_turn(struct balancer *b, uint64_t size)
{
    struct pipe *p = LIST_ENTRY(b->pipes.next, struct pipe, out_node);
    if (list_empty(&b->pipes))
        return NULL;
    if (!pipe_can_write(p, size))
        return balancer_turn_slow(b, size);
    balancer_rotate(b, p);
    return p;
}

/* Whether balancer_send would find a pipe. */
static inline bool balancer_ready(struct balancer *b)
{
    return balancer_next(b, PIPE_ANY) != NULL;
}

/* `size`: route_size. 0: the message was sent, to *to. -EAGAIN, -ENOMEM: all is as it was.
 */
int balancer_send(struct balancer *b, struct parts *m, uint64_t size, struct pipe **to);

/* ---- out: to many ---- */

struct fanout {
    struct list pipes;     /* pipe.out_node: all that may be written */
    uint32_t live;         /* how many these are */
    struct pipe **targets; /* of the message being sent; room for all that are live */
    uint32_t count;
    uint32_t cap;
    struct outlog log; /* what goes to several is framed once */
};

void fanout_init(struct fanout *f, struct pipe_set *s);
void fanout_fini(struct fanout *f);
int fanout_add(struct fanout *f, struct pipe *p); /* 0 or -ENOMEM */
void fanout_remove(struct fanout *f, struct pipe *p);

static inline void fanout_aim(struct fanout *f, struct pipe *p)
{
    f->targets[f->count++] = p;
}

void fanout_aim_all(struct fanout *f);
/* Whether every target has room for so many bytes; PIPE_ANY as in pipe_out.h. */
bool fanout_all_writable(struct fanout *f, uint64_t size);
/* Whether all of them have, together too. Then it is theirs until fanout_send. */
bool fanout_reserve(struct fanout *f, uint64_t size);
/* Sends to the targets; one without room misses the message. 0, or -ENOMEM when none got it. */
int fanout_send(struct pipe_set *s, struct fanout *f, struct parts *m);

/* ---- send and recv of patterns that have select_tx and select_rx ---- */

int route_send(struct pipe_set *s, struct parts *m);
int route_recv(struct pipe_set *s, struct parts *out, struct pipe **from);

/* ---- entries of patterns that keep nothing of their own about it ---- */

void route_forget(struct pipe_set *s, struct pipe *p); /* hangup: out of the balancer */
void route_leave(struct pipe_set *s, struct pipe *p);  /* detach */
int route_no_recv(struct pipe_set *s, struct parts *out, struct pipe **from);

/* ---- parts ---- */

/* Puts n parts in front; they move in. 0 or -ENOMEM. */
int parts_prepend(struct parts *p, const struct msg *head, uint32_t n);
/* Drops the parts [at, at + n). */
void parts_cut(struct parts *p, uint32_t at, uint32_t n);

/* Sets MORE where it belongs, after parts were taken out. */
static inline void parts_mark(struct parts *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        p->v[i].flags &= (uint8_t)~PART_MORE;
        if (i + 1 < p->len)
            p->v[i].flags |= PART_MORE;
    }
}

static inline void parts_truncate(struct parts *p, uint32_t len)
{
    parts_cut(p, len, p->len - len);
}

#endif
