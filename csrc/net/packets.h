/* SPDX-License-Identifier: MIT */
/*
 * A link without a connection: a descriptor for packets to and from any number of hosts. It belongs
 * to a pipe, bound or connected, for as long as its endpoint exists. This file has the code that is
 * common to all such links: when the descriptor is watched, the flush list, RCVHWM, LINGER and the
 * end. The transport defines the format of packets; its struct begins with this one.
 *
 * All of it is guarded by the socket's lock. Reading and writing release the lock around their
 * system call and set `reading` and `link.writing`. A thread that returns from one checks `over`.
 */
#ifndef NET_PACKETS_H
#define NET_PACKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "pipe/pipe.h"
#include "reactor/io.h"
#include "reactor/timer.h"

struct packets;

struct packets_ops {
    /* The descriptor can be read, and the pipe has room: takes what has come, at most one batch, to
     * the pipe's `in` (packets_arrived). Only ever called by the thread that polls. NULL: the
     * descriptor is not read. */
    void (*read)(struct packets *k);
    /* Writes what the kernel takes of the pipe's `out`, and sets link.blocked when it takes no
     * more. Not called while a thread writes. NULL: nothing is written. */
    void (*write)(struct packets *k);
    /* Beside what is in `out` something is to be written that LINGER waits for. NULL: never. */
    bool (*pending)(const struct packets *k);
    /* 0, or why no packet can carry the message. NULL: any can. */
    int (*check)(const struct packets *k, const struct msg *parts, uint32_t n);
    /* The link ends: timers are cancelled. NULL: there are none. */
    void (*end)(struct packets *k);
    /* Frees the memory around it. The descriptor is closed. */
    void (*free)(struct packets *k);
    /* There is room in `in` again, which packets_arrived had found full. The pipe must not be
     * touched: the pattern is reading it. NULL: the descriptor is all there is to read. */
    void (*resumed)(struct packets *k);
    /* So many messages in `out` are written at once, whatever the time. */
    uint32_t flush_msgs;
    /* What comes is for the link and not for `in`: it is read as long as the link lasts. */
    bool reads_always;
};

struct packets {
    struct link link;
    const struct packets_ops *ops;
    struct io io;
    struct pipe_set *set;
    struct pipe *pipe; /* NULL: over */
    /* The endpoint releases the pipe and ends, too. */
    void (*ended)(struct packets *k);
    void *endpoint;
    struct timer retry; /* the poller had no place for it */
    bool reading;
    bool over;
    bool end_wanted; /* it ends when the thread that writes comes back */
    uint64_t bytes_in, bytes_out;
    int64_t since; /* Unix time, ns */
    bool bound;
    char *name; /* of the endpoint */
    char *local_name;
    char *remote_name;
};

/* The names are copied; the last two are for monitors and may be NULL. */
struct packets_names {
    const char *name, *local_name, *remote_name;
};

/* Fills in a zeroed struct and makes it the pipe's link. Takes over the descriptor on success. 0,
 * or a negative errno and nothing is done. */
int packets_open(struct packets *k, const struct packets_ops *ops, struct pipe *p, int fd,
                 bool bound, const struct packets_names *names);
/* Ends it, at once or when the thread in a write comes back; then its endpoint is discarded and the
 * pipe hung up. */
void packets_end(struct packets *k);
/* Around a system call that reads: the lock is released meanwhile. False: it ended, and nothing of
 * it but its own memory is to be touched. */
void packets_read_begin(struct packets *k);
bool packets_read_end(struct packets *k);
/* While a message that begins so may be queued: the pipe lives, and the pattern wants it. */
bool packets_wanted(struct packets *k, const uint8_t *first, size_t len);
/* At RCVHWM or RCVHWM_BYTES, or at what the context may queue: nothing more is to be read. */
bool packets_full(struct packets *k);
/* After a batch was put into `in`, which held so many messages before. Pauses the pipe when it is
 * full. */
void packets_arrived(struct packets *k, uint32_t msgs_before);
/* Packets that came and that nobody gets. */
void packets_drop(struct packets *k, uint64_t n, enum drop_reason why);
/* n messages of `out` were not sent and go: their `bytes` were taken by outq_sent. */
void packets_unsent(struct packets *k, uint32_t n);
/* The kernel takes no more, or does again. */
void packets_block(struct packets *k, bool blocked);
/* Looks at `out` again soon: a timer of the transport lets more of it go. */
void packets_flush_soon(struct packets *k);

/* Calls `write`, unless a thread does so now, and ends the link if it has nothing more to do. For
 * the transport's timers; releases the lock meanwhile. */
void packets_write(struct packets *k);

/* The pipe's link, if it is one of packets; the pipe may be NULL. */
struct packets *packets_of(const struct pipe *p);

#endif
