/* SPDX-License-Identifier: MIT */
/*
 * A connection of a stream transport: the only place that connects bytes (a descriptor) and
 * protocol (a peer). It exists from connect or accept to the loss of the descriptor; state that
 * must survive that is in its pipe.
 *
 * All of it is guarded by the socket's lock. Reading and conn_write release the lock around their
 * system call and set `reading` and `link.writing`: during that time no other thread may decode, or
 * close the descriptor.
 *
 * This header has the struct and small functions. The other files, each built on those before it:
 * conn_end, conn_tick, conn_write, conn_handshake, conn_read, conn_link (for its pipe), conn_new.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "net/blocks_state.h"
#include "net/conn_set.h"
#include "net/shm_state.h"
#include "net/stream_ops.h"
#include "pipe/pipe.h"
#include "reactor/quiet.h"
#include "wire/peer.h"

enum conn_end {
    CONN_END_NONE,    /* it goes on */
    CONN_END_LOST,    /* the peer went, or the network: a connecting endpoint tries again */
    CONN_END_BROKEN,  /* peer.failure says why */
    CONN_END_REFUSED, /* by our side, for what the peer is or does */
    CONN_END_CLOSED   /* by the program, to which it is not reported */
};

struct conn {
    struct link link; /* its pipe's, once it has one */
    struct io io;
    struct stream *stream; /* NULL: the descriptor itself carries the bytes */
    struct quiet quiet;    /* what comes by the stream without a sign in the poller */
    struct conn_shm shm;
    struct conn_blocks blocks;
    struct conn_set *set;
    struct endpoint *endpoint; /* the listener or connecter it came from; NULL once that is gone */
    struct pipe *pipe;         /* NULL before READY on a bound socket */
    struct list in_set;        /* set->conns, or set->draining */
    struct list in_endpoint;
    struct list warm;
    struct timer timer;
    struct peer peer;
    struct outq no_out; /* stands in for the pipe's queue while there is no pipe: always empty */
    bool over;          /* ended: nothing but its descriptor is left, if that */
    bool bound;         /* accepted, not connected */
    bool was_ready;     /* the handshake was completed */
    bool resume;        /* received bytes wait to be decoded */
    bool oom_backoff;   /* without memory, or a place in the poller: rests until oom_until */
    bool reading;
    bool misfit_reported;     /* the monitor knows that the peer sends what the pattern has not */
    bool half_closed;         /* the peer reads no more: what it sent is read, then it ends */
    enum conn_end end_wanted; /* close as soon as no thread is in a system call on it */
    int end_error;
    struct zap_request *zap; /* the question about the peer that waits for an answer */
    bool input_waits;        /* for the answer: the peer has sent more, so its end is not seen */
    uint64_t oom_until;
    uint64_t short_since; /* no memory to read into since then; 0: there is */
    uint64_t drain_until; /* when nothing of it is acknowledged before */
    uint64_t drain_limit; /* LINGER of a socket that lives on */
    int unacked;          /* bytes, at the last look */
    uint64_t bytes_in, bytes_out;
    uint64_t carried_in; /* by its stream, at the last read */
    int64_t since;       /* Unix time, ns */
    char *local_name;
    char *remote_name;
    char *peer_name;
    char *address;
    struct security *security; /* its endpoint's */
};

/* The names of both ends, as accept and connect gave them. The system is not asked again later: it
 * knows nothing more of a connection that was reset. Copied by conn_new. */
struct conn_ends {
    const char *local_name;      /* for the monitor */
    const char *remote_name;     /* for the monitor; of a connecter, its endpoint */
    const char *peer_name;       /* the peer's own address as an endpoint, for peers() */
    const char *address;         /* what Peer-Address says, and what ZAP is asked about */
    const struct net_addr *own;  /* of a connecter */
    const struct net_addr *peer; /* NULL: the bytes go by a stream of another kind */
    bool known;                  /* the peer speaks ZMTP 3 */
};

static inline struct conn *conn_of(struct link *l)
{
    return LIST_ENTRY(l, struct conn, link);
}

/* Ended: nothing but its descriptor may be left of it. */
static inline bool conn_is_over(const struct conn *c)
{
    return c->over;
}

/* The kernel takes no more now, and the peer still reads. */
static inline bool conn_waits_to_write(const struct conn *c)
{
    return c->link.blocked && !c->half_closed;
}

/* The bytes to be written behind those of the protocol's own. */
static inline struct outq *conn_out(struct conn *c)
{
    return c->pipe ? &c->pipe->out : &c->no_out;
}

/* Not read: at RCVHWM, while an authenticator is asked about the peer, or for want of memory. */
static inline bool conn_is_paused(const struct conn *c)
{
    return c->zap || c->oom_backoff || (c->pipe && c->pipe->paused);
}

/* Nothing is to be read before the answer about the peer is there. As long as it has sent nothing
 * more, readiness can only mean that it left. */
static inline bool conn_awaits_end(const struct conn *c)
{
    return c->zap && !c->oom_backoff && !c->input_waits;
}

static inline void conn_want_flush(struct conn *c)
{
    if (!list_linked(&c->link.flush_node))
        list_push_back(&c->set->pipes.reactor.flush_list, &c->link.flush_node);
    c->set->pipes.reactor.work |= WORK_FLUSH;
}

/* Its pipe's reader made room, or what it waited for has come: it is read on. */
static inline void conn_resume(struct conn *c)
{
    c->resume = true;
    conn_want_flush(c);
}

/* The bytes that it has carried. */
void conn_bytes(const struct conn *c, uint64_t *in, uint64_t *out);
/* True while it has something that LINGER waits for. */
bool conn_pending(const struct conn *c);
/* Something moved on it: of the connections that move least, buffers are given back. */
void conn_keep_warm(struct conn *c);
void conn_retire_buffers(struct conn *c);
/* Something failed for want of memory: the connection rests for a while, and then tries again. */
void conn_back_off(struct conn *c);
/* Has the poller wait for what the connection waits for now. */
void conn_watch(struct conn *c);
/* What comes without a sign in the poller is looked for from now on. */
void conn_listen(struct conn *c);
/* Whether a wait may read the set's only connection without the poller: after what bears on it. */
void conn_update_lone(struct conn_set *s);

#endif
