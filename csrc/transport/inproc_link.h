/* SPDX-License-Identifier: MIT */
/*
 * A link has two ends. Each end has a queue of messages towards it, filled by the other end's
 * socket under the link's lock, and taken whole by its own socket when that has read all it had:
 * the lock is taken once a batch on the reading side.
 *
 * A socket never touches the other one: it leaves a note (EV_ bits) at the other end and posts
 * that end's command. All posting is done under the link's lock, where end.set is known to be
 * alive.
 */
#ifndef TRANSPORT_INPROC_LINK_H
#define TRANSPORT_INPROC_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "msg/msg.h"
#include "msg/msgring.h"
#include "net/conn_set.h"
#include "os/thread.h"
#include "pipe/budget.h"
#include "pipe/link_ops.h"
#include "pipe/pipe.h"

#define EV_ATTACH 1u    /* a connection for the bound socket */
#define EV_CONNECTED 2u /* the bound socket came */
#define EV_READABLE 4u
#define EV_WRITABLE 8u
#define EV_CLOSED 16u

struct inproc_link;

struct link_end {
    struct inproc_link *link;
    struct conn_set *set; /* referenced; NULL before it came and after it left */
    struct pipe *pipe;    /* guarded by socket's lock */
    struct msgring queue; /* towards this end */
    uint32_t put;         /* messages ever queued; written by the other end's socket */
    uint64_t bytes;       /* of them */
    uint64_t replaced;    /* bytes that CONFLATE threw away */
    atomic_uint taken;    /* messages ever received from here */
    atomic_uint hwm;      /* of `queue` and what was taken from it unread; 0: none */
    /* Bytes ever received. Changed before `taken` and read after it, which orders the two. */
    _Atomic(uint64_t) taken_bytes;
    _Atomic(uint64_t) max_bytes; /* as hwm */
    atomic_bool writer_blocked;
    atomic_bool writer_hastens; /* it is to be told of room even if its program does not call */
    bool idle;   /* its reader found nothing, or conflates: the next message must be announced */
    bool closed; /* its socket has left */
    uint32_t sndhwm, rcvhwm;
    uint64_t sndhwm_bytes, rcvhwm_bytes;
    atomic_bool conflate;
    unsigned events;
    bool posted;
    struct cmd cmd;
    uint8_t identity[255];
    uint8_t identity_len;
};

struct inproc_link {
    struct link link; /* both pipes' */
    struct mutex lock;
    atomic_uint refs;
    struct link_end end[2]; /* 0: connected, 1: bound */
    int type;               /* of the connecting socket */
    bool mismatched;        /* a pairing that other transports refuse; known once both are there */
    struct budget *budget;  /* both pipes' */
    struct list waiting;    /* inproc_wait.links, under names->lock */
    char *uri;              /* inproc://... */
    const char *name;       /* in it */
};

static inline struct inproc_link *link_of(const struct pipe *p)
{
    return LIST_ENTRY(p->link, struct inproc_link, link);
}

/* Queued towards that end, in the link or taken over by its reader, and not received. */
static inline uint64_t inproc_queued_bytes(const struct link_end *e)
{
    return e->bytes - e->replaced - atomic_load_explicit(&e->taken_bytes, memory_order_relaxed);
}

static inline void inproc_give_back(struct inproc_link *l, uint64_t bytes)
{
    if (l->budget)
        budget_give(l->budget, bytes);
}

/* Drops a reference; the last frees it. */
void inproc_link_unref(struct inproc_link *l);
/* The identity that the other end sees: the length of what is written to `to`. */
uint8_t inproc_own_identity(const struct conn_set *s, uint8_t *to);
/* Leaves a note (EV_) for the socket at that end. l->lock held. */
void inproc_note(struct inproc_link *l, int side, unsigned events, bool urgent);
/* That end's limits and identity, of its socket's options. */
void inproc_describe_end(struct link_end *e, struct conn_set *s);
/* The marks of both directions, now that both ends are described (or one: then its own alone
 * counts). */
void inproc_set_hwm(struct inproc_link *l, bool both);

#endif
