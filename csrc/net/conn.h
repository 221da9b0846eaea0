/* SPDX-License-Identifier: MIT */
/*
 * A connection of a stream transport: the one place where bytes (a descriptor) and protocol (a
 * peer) meet. Lives from connect or accept to the loss of the descriptor; what must survive that
 * lives in its pipe.
 *
 * Everything under the socket's lock. Reading and conn_write release it around their system call
 * and mark that with `reading` and `link.writing`: meanwhile no other thread may decode, or close
 * the descriptor.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "net/conn_set.h"
#include "net/stream_ops.h"
#include "pipe/pipe.h"
#include "wire/peer.h"

enum conn_end {
    CONN_END_NONE,
    CONN_END_LOST,    /* the peer went, or the network: a connecting endpoint tries again */
    CONN_END_BROKEN,  /* peer.failure says why */
    CONN_END_REFUSED, /* by our side, for what the peer is or does */
    CONN_END_CLOSED   /* by the program, to which it is not reported */
};

/* What an authenticator answers about a peer. */
enum conn_auth_result {
    CONN_AUTH_OK,
    CONN_AUTH_DENIED,    /* code: 300, 400 or 500 */
    CONN_AUTH_BAD_REPLY, /* code: a PROTO_ZAP_ code */
    CONN_AUTH_NO_REPLY   /* code: errno */
};

struct conn {
    struct link link; /* its pipe's, once it has one */
    struct io io;
    struct stream *stream; /* NULL: the descriptor itself carries the bytes */
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
    int64_t since; /* Unix time, ns */
    char *local_name;
    char *remote_name;
    char *peer_name;
    char *address;
    struct security *security; /* its endpoint's */
};

/* The names of both ends, as accept and connect gave them. The system is not asked again later: it
 * knows nothing more of a connection that was reset. Copied by conn_new. */
struct conn_ends {
    const char *local_name;  /* for the monitor */
    const char *remote_name; /* for the monitor; of a connecter, its endpoint */
    const char *peer_name;   /* the peer's own address as an endpoint, for peers() */
    const char *address;     /* what Peer-Address says, and what ZAP is asked about */
};

/* The kernel takes no more now, and the peer still reads. */
static inline bool conn_waits_to_write(const struct conn *c)
{
    return c->link.blocked && !c->half_closed;
}

/* Takes over the descriptor and the stream over it (NULL: none), also on failure. `pipe` on
 * connecting sockets. NULL: no memory. */
struct conn *conn_new(struct conn_set *s, struct endpoint *ep, int fd, struct stream *stream,
                      struct pipe *pipe, const struct conn_ends *ends);
/* Its pipe's reader made room. */
void conn_resume(struct conn *c);
/* Tries to read once without the poller: what the spinning wait does. Reads until `until` (clock)
 * or there is mail or a stop code. True when something happened. */
bool conn_spin(struct conn *c, uint64_t until);
/* Ends the connection, at once or when the thread in a system call on it returns. */
void conn_end(struct conn *c, enum conn_end how, int error);
/* The program ends an accepted connection: what is queued goes out before, unless `now`. */
void conn_close(struct link *l, bool now);
/* Closes the descriptor of one of set->draining. */
void conn_drop(struct conn *c);
/* The program reads no more: nothing is left to do for a peer that does not either. */
void conn_stop_reading(struct conn *c);
void conn_write(struct conn *c);
/* True while it has something that LINGER waits for. */
bool conn_pending(const struct conn *c);
/* Fills in what is known of the connection and its peer. */
void conn_describe(const struct conn *c, struct fmq_peer *out);
/* The answer to a question about the peer has come. `metadata` may be NULL. */
void conn_auth_done(struct conn *c, enum conn_auth_result result, uint32_t code,
                    struct meta *metadata);
void conn_retire_buffers(struct conn *c);

#endif
