/* SPDX-License-Identifier: MIT */
/*
 * What a messaging pattern is to its socket. A pattern moves whole messages between the program and
 * pipes; it knows no descriptors, bytes or threads. Every entry is called with the socket's lock
 * held and must not block, call into the network, or release the lock.
 *
 * A pipe's life:   attach -> (connected -> lost)* -> hangup -> detach
 *
 * A connecting socket's pipe exists from connect() on and survives reconnections; a bound socket's
 * pipe exists from the end of the handshake to the loss of the connection. After hangup nothing can
 * be written, but received messages may remain in pipe->in until the pattern has read them.
 */
#ifndef PIPE_PATTERN_OPS_H
#define PIPE_PATTERN_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "fastmq.h"
#include "msg/msg.h"

struct pipe_set;
struct pipe;
enum peer_event_kind;

typedef int (*topic_visitor)(void *arg, const void *topic, size_t len);

struct pattern_ops {
    int type; /* FMQ_PUSH ... */
    const char *name;
    size_t state_size; /* zeroed before init; socket->state */
    size_t pipe_size;  /* zeroed before attach; pipe->state. 0: none */
    bool sends;        /* false: send answers -ENOTSUP before the pattern is asked */
    bool receives;
    bool raw;       /* connections speak no ZMTP (STREAM) */
    bool datagrams; /* no connections at all: each message names its address (DGRAM) */
    bool single;    /* the program's messages have one part: SNDMORE is -EINVAL */
    /* So many frames has every message between peers: 1 for a single part, 2 for [group, body].
     * Others that arrive are dropped before the pattern sees them, and counted; 0: any number. */
    uint8_t frames;
    enum fmq_addressing addressing;
    bool dedup_connect; /* a second connect to the same endpoint does nothing */
    /* Which of the messages that come with a connection's beginning and end the type has. */
    bool says_hello, hears_disconnect, hears_hiccup;

    /* 0 or -ENOMEM. Sets defaults (socket->opt.linger ...). */
    int (*init)(struct pipe_set *s);
    /* After every pipe was detached. */
    void (*fini)(struct pipe_set *s);

    /* A new pipe. Non-zero refuses it: the connection is closed (PAIR's second peer). pipe->state
     * is ready; when `pipe` belongs to a bound socket, its identity is known already. */
    int (*attach)(struct pipe_set *s, struct pipe *pipe);
    /* A handshake was completed: at first and after each reconnection; for inproc at once when both
     * ends are there. pipe->identity is the peer's (empty when it has none). Non-zero closes the
     * connection (a duplicate identity), -EAGAIN keeps it open but unserved. May be NULL. */
    int (*connected)(struct pipe_set *s, struct pipe *pipe);
    /* Writes what a peer receives first, before the messages that were queued for it: probes and
     * subscriptions. After `connected`; for inproc when the pipe has its link, even if nobody has
     * bound the name yet. 0 or -ENOMEM: both are called again, and what they wrote is taken back,
     * but not what a peer over inproc has. May be NULL. */
    int (*greet)(struct pipe_set *s, struct pipe *pipe);
    /* The connection was lost and will be tried again; queued messages stay. May be NULL. */
    void (*lost)(struct pipe_set *s, struct pipe *pipe);
    /* The peer is gone for good: the pattern drops it as a destination, and what it has read ahead
     * from a pipe that is `unwanted`. May be NULL. */
    void (*hangup)(struct pipe_set *s, struct pipe *pipe);
    /* The pipe is about to be freed: unlink it everywhere. pipe->in may hold unread messages
     * (socket closing). */
    void (*detach)(struct pipe_set *s, struct pipe *pipe);

    /* pipe->in went from no whole message to at least one. */
    void (*readable)(struct pipe_set *s, struct pipe *pipe);
    /* The pipe has room again, or became connected. */
    void (*writable)(struct pipe_set *s, struct pipe *pipe);
    /* Whether a message that begins with such a part is to be queued at all: asked by links whose
     * other ends send everything to everybody. NULL: every message. */
    bool (*wants)(struct pipe_set *s, const uint8_t *first, size_t len);
    /* SUBSCRIBE, CANCEL, JOIN or LEAVE command of the peer. NULL: ignored. Data is borrowed. */
    void (*command)(struct pipe_set *s, struct pipe *pipe, enum peer_event_kind kind,
                    const uint8_t *data, size_t len);

    /*
     * Asked when the first part of a message is sent with SNDMORE, before the rest is known: 0, or
     * the error that send would give now (-EAGAIN, -FMQ_EFSM, -EHOSTUNREACH). NULL: always 0.
     */
    int (*send_check)(struct pipe_set *s, const struct msg *first);
    /* Whether a message may be sent while one that was received is not read to its end, or came
     * back: what is left of it is dropped. Otherwise sending is -FMQ_EFSM. NULL: the one has
     * nothing to do with the other. */
    bool (*send_over)(struct pipe_set *s);
    /* Routes one whole message (p->len >= 1). 0: consumed, p is empty. Otherwise p is as it was.
     * Never waits: -EAGAIN says that it would. */
    int (*send)(struct pipe_set *s, struct parts *p);
    /* Appends one whole message to `out` and names the pipe it came from (NULL: none). -EAGAIN:
     * none there; `out` is unchanged. On -ENOMEM the message stays. */
    int (*recv)(struct pipe_set *s, struct parts *out, struct pipe **from);
    /*
     * The short ways of patterns for which any pipe will do; NULL elsewhere. `select_tx`: the pipe
     * that takes a message of `size` bytes now, as `send` would choose it; `select_rx`: the pipe
     * whose oldest message comes next, as `recv` would. NULL: none, -EAGAIN. They count as that
     * pipe's turn.
     */
    struct pipe *(*select_tx)(struct pipe_set *s, uint64_t size);
    struct pipe *(*select_rx)(struct pipe_set *s);
    /* The time that the pattern set by pipe_set_alarm has come; not on a closed socket. NULL where
     * it sets none. */
    void (*alarm)(struct pipe_set *s);
    /* FMQ_POLLIN and FMQ_POLLOUT as they stand. */
    int (*events)(struct pipe_set *s);

    /*
     * PATTERN options. Integers come as `num`, bytes as value/len. -EINVAL: not an option of this
     * pattern; other errors as the option defines. NULL: the pattern has none.
     */
    int (*setopt)(struct pipe_set *s, int option, int64_t num, const void *value, size_t len);
    int (*getopt)(struct pipe_set *s, int option, int64_t *num);
    /* ROUTER: POLLIN and POLLOUT of the peer with that id; -EHOSTUNREACH: no such peer; -ENOTSUP.
     * NULL: -ENOTSUP. */
    int (*peer_state)(struct pipe_set *s, const void *id, size_t len);
    /* PEER: the routing id of the pipe that was attached last. NULL: fmq_connect_peer is -ENOTSUP.
     */
    uint32_t (*last_peer)(struct pipe_set *s);
    /* SERVER, PEER: the pipe with that routing id; NULL: there is none. NULL: no pipe of the type
     * has one. */
    struct pipe *(*peer)(struct pipe_set *s, uint32_t id);
    /* DISH: see fmq_join, fmq_leave; len <= GROUP_MAX. NULL: -ENOTSUP. */
    int (*join)(struct pipe_set *s, const void *group, size_t len);
    int (*leave)(struct pipe_set *s, const void *group, size_t len);
    /* PUB, XPUB: how many peers a message of that topic would reach, see fmq_wait_subscribers.
     * NULL: -ENOTSUP. When that may have changed, the pattern or the pipe calls reactor_notify. */
    int (*subscribers)(struct pipe_set *s, const void *topic, size_t len);
    /* Visits topics or groups until `visit` returns non-zero: those that the peer of a pipe is
     * subscribed to, or with NULL those of the socket itself. NULL: there are none. */
    void (*topics)(struct pipe_set *s, struct pipe *pipe, topic_visitor visit, void *arg);
    /* Adds what the pattern knows of a peer (its id, its subscriptions). May be NULL. */
    void (*describe)(struct pipe_set *s, struct pipe *pipe, struct fmq_peer *out);
    /* Fills in what the pattern alone counts; the rest of `out` is there. May be NULL. */
    void (*stats)(const struct pipe_set *s, struct fmq_socket_stats *out);
};

#endif
