/* SPDX-License-Identifier: MIT */
/*
 * The endpoints and connections of a socket. It begins with the socket's pipes; guarded by the
 * reactor's lock.
 */
#ifndef NET_CONN_SET_H
#define NET_CONN_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "pipe/pipe_set.h"
#include "reactor/resolver.h"

struct arena_slot;
struct conn;
struct conn_set;
struct inproc_names;
struct known_peers;
struct meeting_slot;
struct trouble;

/* What happens on connections, for the socket. Lock held. */
struct conn_listener {
    /* Reports an event to the monitor. Names may be NULL. */
    void (*event)(struct conn_set *s, bool bound, uint32_t event, uint64_t value, const char *local,
                  const char *remote);
    /* Asks whether the peer of c may come in. 1: no authenticator is asked, let it in; 0: asked,
     * the answer comes by conn_auth_done; -EFAULT: there is no authenticator, refuse it; -ENOMEM.
     */
    int (*authenticate)(struct conn *c);
    /* The connection ends before the answer came: c->zap is no more to be used. */
    void (*cancel)(struct conn *c);
};

struct conn_set {
    struct pipe_set pipes; /* first: see reactor_of */
    const struct conn_listener *listener;
    struct resolver_slot *resolver;    /* of the context */
    struct inproc_names *inproc_names; /* of the context */
    struct meeting_slot *meeting;      /* of the context */
    struct arena_slot *arena;          /* of the context */
    struct known_peers *known;         /* of the context */
    struct list endpoints;             /* endpoint.in_set */
    struct list conns;                 /* conn.in_set */
    struct list draining;              /* conn.in_set: ended, but for their descriptors */
    struct list warm;                  /* connections that keep buffers, most recent last */
    unsigned warm_count;
    unsigned last_reads; /* of packets that ended during the system call */
    /* The flush policy, see flush.h. */
    uint64_t write_cost;  /* how long the last round of writes took, ns */
    uint64_t burst_until; /* what is queued before then is the rest of a burst after quiet */

    uint64_t linger_until; /* closed: when to give up what is queued */
    char last_endpoint[512];
    uint8_t next_identity[255]; /* CONNECT_ROUTING_ID for the next connect */
    uint8_t next_identity_len;
    struct trouble *troubles; /* of trouble.h; NULL: none so far */
};

static inline struct conn_set *conn_set_of(struct reactor *r)
{
    return (struct conn_set *)r;
}

static inline struct reactor *conn_set_reactor(struct conn_set *s)
{
    return &s->pipes.reactor;
}

/* pipe_set_init has been called. */
void conn_set_init(struct conn_set *s, const struct conn_listener *listener);

static inline void conn_set_event(struct conn_set *s, bool bound, uint32_t event, uint64_t value,
                                  const char *local, const char *remote)
{
    s->listener->event(s, bound, event, value, local, remote);
}

#endif
