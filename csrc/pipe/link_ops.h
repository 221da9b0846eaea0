/* SPDX-License-Identifier: MIT */
/*
 * What a pipe asks of whatever moves its messages, its link. There are two kinds:
 *
 * - A queue link: a connection's stream (conn.h), or packets (packets.h). The pipe frames its
 * messages into `out`, the link writes them from there. The link puts what it receives into `in`. A
 * pipe has a stream only while it is connected.
 * - A direct link (inproc). The pipe hands whole messages over, and takes over what has arrived
 * when `in` is empty. A pipe has a direct link for life, until it is detached.
 *
 * All calls are made with the lock of the pipe's socket held.
 */
#ifndef PIPE_LINK_OPS_H
#define PIPE_LINK_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct fmq_counters;
struct fmq_peer;
struct msg;
struct pipe;

/* The first member of what it stands for. */
struct link {
    const struct link_ops *ops;
    /* Queue links: what a pipe that has written wants to know without a call. */
    bool flush_pending;     /* the link knows that something waits to be written */
    bool writing;           /* a thread is in a write, and looks at `out` again afterwards */
    bool blocked;           /* the kernel takes no more; the poller reports when it does */
    size_t inflight;        /* bytes of `out` in the write under way */
    struct list flush_node; /* reactor->flush_list */
};

struct link_ops {
    bool direct;

    /* ---- both kinds ---- */

    /* Adds the present link's bytes to `count`. */
    void (*add_bytes)(const struct pipe *p, struct fmq_counters *count);
    /* What monitor events call its two ends. */
    void (*names)(const struct pipe *p, const char **local, const char **remote);
    /* Fills in endpoint, address, type and the like. */
    void (*describe)(const struct pipe *p, struct fmq_peer *out);

    /* 0, or the error with which a message that this link can never carry is refused, with a
     * detail: -EMSGSIZE, -EINVAL. NULL: it carries any. */
    int (*check)(const struct pipe *p, const struct msg *parts, uint32_t n);

    /* ---- queue links ---- */

    /* `out` has something to be written, and flush_pending is false. */
    void (*wrote)(struct link *l);
    /* Looks at a link on the flush list. `flush`: writes whatever is queued, else only much of it.
     * True: it has to stay there for a later tick. May release the lock and take it again. */
    bool (*flush)(struct link *l, bool flush);
    /* There is room in `in` again for a pipe that was paused. */
    void (*resume)(struct link *l);
    /* Something has not reached the kernel that LINGER waits for. */
    bool (*pending)(const struct link *l);
    /* Puts a subscription or its end into `out` as the peer's protocol version wants it. 0 or
     * -ENOMEM. */
    int (*put_subscription)(struct pipe *p, const void *topic, size_t len, bool add);
    /* The same for a group. */
    int (*put_group)(struct pipe *p, const void *group, size_t len, bool join);
    /* Ends the connection: closed on purpose, or (`lost`) given up as if the network had lost it.
     */
    void (*end)(struct link *l, bool lost);

    /* ---- direct links ---- */

    /* How many messages may be written now whatever their sizes; UINT32_MAX: any number; 0: none,
     * pipe_drained is called later. Asked where sizes do not matter. The pipe keeps the answer in
     * pipe.room, from which `write` takes what it uses up; it is dropped when limits change. */
    uint32_t (*room)(struct pipe *p);
    /* Room for one more message of so many bytes? When not, pipe_drained is called later. Asked
     * where sizes matter. */
    bool (*can_write)(struct pipe *p, uint64_t size);
    /* Whether the size of a message matters to can_write. */
    bool (*bounded)(const struct pipe *p);
    /* The receiver keeps only the newest message: no limit applies. */
    bool (*conflates)(const struct pipe *p);
    /* pipe_drained is to be called when the receiver has taken something. Look again afterwards. */
    void (*await)(struct pipe *p);
    /* Hands over a message of n parts, whatever the limits: the caller has looked at them, and has
     * counted the bytes in the pipe's budget. Consumes the parts on success; -ENOMEM. */
    int (*write)(struct pipe *p, struct msg *parts, uint32_t n);
    /* The peer acts on what was written even if no call of its program comes: a publisher may have
     * something for who subscribes. */
    void (*urge)(struct pipe *p);
    /* From now on (`on`), pipe_drained is called even if no call of the program comes. Look again
     * for room afterwards. */
    void (*hasten)(struct pipe *p, bool on);
    /* Moves what has arrived to `in`, which is empty. */
    void (*refill)(struct pipe *p);
    /* The program received a message of so many bytes from `in`. */
    void (*taken)(struct pipe *p, uint64_t bytes);
    /* A message of the pipe's own was put into `in`: it will be taken without having been sent. */
    void (*injected)(struct pipe *p, uint64_t bytes);
    /* The pipe ends, and its peer learns it. */
    void (*detach)(struct pipe *p);
    /* The socket's limits were changed. */
    void (*limits_changed)(struct pipe *p);
    /* Sent and not yet received by the peer's program. */
    uint32_t (*out_msgs)(const struct pipe *p);
    uint64_t (*out_bytes)(const struct pipe *p);
    /* Arrived and not yet received by the program, with what is in `in`. */
    uint32_t (*in_msgs)(const struct pipe *p);
    uint64_t (*in_bytes)(const struct pipe *p);
};

#endif
