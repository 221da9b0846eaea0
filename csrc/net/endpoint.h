/* SPDX-License-Identifier: MIT */
/*
 * An endpoint: what one bind() or connect() made. A listener accepts connections; a connecter keeps
 * one connection alive, through the resolver, candidate addresses, and waits between attempts.
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

/* `text`: the endpoint as the program wrote it, "scheme://rest", of that transport. 0 or a negative
 * errno, with a detail. Lock held. */
int endpoint_bind(struct conn_set *s, const struct transport_ops *tr, const char *text,
                  const char *rest);
int endpoint_connect(struct conn_set *s, const struct transport_ops *tr, const char *text,
                     const char *rest);
/* unbind and disconnect: ends every endpoint of that name, whichever verb made it. -ENOENT: none.
 * Of a connecter the program wants nothing more, also nothing that is received and unread. */
int endpoint_end(struct conn_set *s, const struct transport_ops *tr, const char *text,
                 const char *rest);
/* The program ends the connection to one peer, whichever side made it, as endpoint_end does. The
 * pipe may be freed by it. */
void endpoint_end_peer(struct pipe *p);
/* The connection of a connecter ended; `shaken`: after its handshake; `wrong`: for a wrong answer,
 * which makes the waits longer. */
void endpoint_conn_lost(struct endpoint *ep, bool shaken, bool retry, bool wrong);
/* Ends it: a listener at once (with its connections), a connecter when its pipe is flushed or
 * lingered. */
void endpoint_close(struct endpoint *ep, bool now);
/* A connecter whose pipe has nothing more to do. */
void endpoint_settled(struct endpoint *ep);
/* Fills in its name. */
void endpoint_describe(const struct endpoint *ep, struct fmq_peer *out);
/* Its final form, for LAST_ENDPOINT and the like. 0 or -ENOMEM. */
int endpoint_rename(struct endpoint *ep, const char *name);
void endpoint_connected(struct endpoint *ep); /* handshake done: resets the back-off */

#endif
