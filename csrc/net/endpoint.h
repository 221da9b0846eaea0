/* SPDX-License-Identifier: MIT */
/*
 * An endpoint: the result of one bind() or connect(). A listener (listener.h) accepts connections.
 * A connecter (connecter.h) keeps one connection alive, with the resolver, candidate addresses, and
 * waits between attempts (retry.h). This header has the struct of both.
 */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/conn_set.h"
#include "net/transport_ops.h"
#include "pipe/pipe.h"

struct conn;
struct fmq_peer;
struct resolve_job;
struct security;

struct endpoint {
    struct io io; /* the listening descriptor, or the one being connected */
    struct conn_set *set;
    struct list in_set;
    bool bound;
    bool closing; /* disconnected or socket closed: ends when its pipe is flushed */
    const struct transport_ops *transport;
    struct address address;
    char *given;               /* as the program wrote it */
    char *name;                /* in its final form */
    struct security *security; /* as set when it was made; NULL: inproc, packets */
    struct pipe *pipe;         /* of a connecter, or of either side where packets carry it */

    /* connecter */
    struct conn *conn;
    struct resolve_job *job;
    struct timer timer;  /* next attempt, or the limit of this one */
    struct timer linger; /* disconnected: when to give up what is queued */
    bool connecting;
    int candidate;
    int interval_ms; /* the next wait */
    int wrong;       /* wrong answers in a row that ended its connection */
    int error;       /* why the last attempt failed; 0: it did not */
    uint8_t identity[255];
    uint8_t identity_len; /* CONNECT_ROUTING_ID */

    /* listener */
    struct list conns; /* accepted */
    char *unlink_path; /* ipc: a file to be removed, if it is still this one */
    dev_t unlink_dev;
    ino_t unlink_ino;
    char *unlink_dir;
    bool accept_paused; /* out of descriptors: tried again by the timer */
};

/* The pipe belongs to this connecter from now on, or to none. */
static inline void endpoint_hold_pipe(struct endpoint *ep, struct pipe *p)
{
    ep->pipe = p;
    p->endpoint = ep;
}

static inline void endpoint_release_pipe(struct endpoint *ep)
{
    if (ep->pipe)
        ep->pipe->endpoint = NULL;
    ep->pipe = NULL;
}

/* The address that a connecter is connected to. */
static inline const struct net_addr *endpoint_peer(const struct endpoint *ep)
{
    return &ep->address.at[ep->candidate];
}

/* `ready` and `fire`: what its io and its timer do. NULL: no memory. */
struct endpoint *endpoint_new(struct conn_set *s, const char *text, bool bound,
                              void (*ready)(struct io *io, uint32_t events),
                              void (*fire)(struct timer *t, uint64_t now));
/* One that nothing knows of yet; the pipe was released. */
void endpoint_free(struct endpoint *ep);
/* Its final form, for LAST_ENDPOINT and the like. 0 or -ENOMEM. */
int endpoint_rename(struct endpoint *ep, const char *name);
/* Whether the program calls it so: as it wrote it, or in its final form. */
bool endpoint_is_named(const struct endpoint *ep, const char *text);
/* Fills in its name. */
void endpoint_describe(const struct endpoint *ep, struct fmq_peer *out);
/* Whether the transport carries this type on this side: 0 or -FMQ_ENOCOMPATPROTO, with a detail. */
int endpoint_check_type(const struct conn_set *s, const struct transport_ops *tr, bool bound);
/* Makes a pipe that belongs to it, attached. 0 or a negative errno, with a detail. */
int endpoint_make_pipe(struct endpoint *ep);
/* Its pipe goes, if there is one: nothing will connect for it any more. */
void endpoint_end_pipe(struct endpoint *ep);
/* Closes the listening descriptor, or the one being connected. */
void endpoint_close_io(struct endpoint *ep);
/* Of a listener: removes the file that stands for it. */
void endpoint_remove_files(struct endpoint *ep);
/* It has nothing more to do: unlinks it from everything and frees it when no thread can be looking
 * at it any more. Its pipe lives on. */
void endpoint_discard(struct endpoint *ep);

#endif
