/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a connection go through a plain descriptor, or through a stream between the
 * connection and its descriptor (TLS, a WebSocket, a ring in shared memory). The connection calls
 * the functions below and makes no system call itself; for a plain descriptor (NULL) they are the
 * system call, inline.
 *
 * One thread may read while another writes, both without the reactor's lock. All other calls are
 * made with it. A stream never waits.
 */
#ifndef NET_STREAM_OPS_H
#define NET_STREAM_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "os/net.h"

struct stream;

struct stream_ops {
    /* A WebSocket: the peer has no greeting (wire/ws_frame.h), the descriptor's readiness is the
     * stream's, and -EPROTO from `read` says that the other side broke the protocol. */
    bool websocket;
    /* As net_recv: >0 bytes, 0 at the end, -EAGAIN, or a negative errno. After -EAGAIN the
     * descriptor becomes ready, in the way that `interest` says, when there is more. */
    ssize_t (*read)(struct stream *st, void *buf, size_t len);
    /* As net_sendv: how many bytes were taken, -EAGAIN, or a negative errno. After fewer than all
     * the descriptor becomes ready when there is room. */
    ssize_t (*write)(struct stream *st, const struct iovec *iov, int count);
    /* What `read` would answer for one byte, which stays where it is. */
    int (*peek)(struct stream *st);
    /* Something can be read although the descriptor may not say so. */
    bool (*pending)(const struct stream *st);
    /* The POLLER_ bits to wait for where the connection waits for `wanted`; 0: none. Any that comes
     * makes the connection try all that it waits for. */
    uint32_t (*interest)(const struct stream *st, uint32_t wanted);
    /* The rest may be NULL. */
    /* The poller has reported the descriptor. On the thread that polls, before it reads. */
    void (*ready)(struct stream *st);
    /* What was not written because there was no room could be written now. Asked after a write. */
    bool (*has_room)(struct stream *st);
    /* The descriptor does not become ready when something comes: until `arm` has answered true.
     * False from `arm`: something has come. While no thread reads. */
    bool (*silent)(const struct stream *st);
    bool (*arm)(struct stream *st);
    /* The bytes that its descriptor has carried, where they are others than those that passed. Any
     * thread may ask. */
    void (*carried)(const struct stream *st, uint64_t *in, uint64_t *out);
    /* The handshake is over: the peer may use as much memory as the options say. While no thread
     * reads. */
    void (*admitted)(struct stream *st);
    /* Nothing more will be written. */
    void (*end_writing)(struct stream *st);
    /* Frees the stream. The descriptor is closed by the connection, after that. */
    void (*close)(struct stream *st);
};

/* The first member of what it stands for. */
struct stream {
    const struct stream_ops *ops;
    int fd;
};

static inline ssize_t stream_read(struct stream *st, int fd, void *buf, size_t len)
{
    return st ? st->ops->read(st, buf, len) : net_recv(fd, buf, len);
}

static inline ssize_t stream_write(struct stream *st, int fd, const struct iovec *iov, int count)
{
    if (st)
        return st->ops->write(st, iov, count);
    return count == 1 ? net_send(fd, iov[0].iov_base, iov[0].iov_len) : net_sendv(fd, iov, count);
}

static inline int stream_peek(struct stream *st, int fd)
{
    return st ? st->ops->peek(st) : net_pending(fd);
}

static inline bool stream_pending(const struct stream *st)
{
    return st && st->ops->pending(st);
}

static inline uint32_t stream_interest(const struct stream *st, uint32_t wanted)
{
    return st && wanted ? st->ops->interest(st, wanted) : wanted;
}

static inline void stream_ready(struct stream *st)
{
    if (st && st->ops->ready)
        st->ops->ready(st);
}

static inline bool stream_has_room(struct stream *st)
{
    return st && st->ops->has_room && st->ops->has_room(st);
}

static inline bool stream_silent(const struct stream *st)
{
    return st && st->ops->silent && st->ops->silent(st);
}

static inline bool stream_arm(struct stream *st)
{
    return !st || !st->ops->arm || st->ops->arm(st);
}

static inline void stream_admitted(struct stream *st)
{
    if (st && st->ops->admitted)
        st->ops->admitted(st);
}

static inline void stream_end_writing(struct stream *st, int fd)
{
    if (st)
        st->ops->end_writing(st);
    else
        net_shutdown(fd, NET_SHUT_SEND);
}

static inline void stream_close(struct stream *st, int fd)
{
    if (st)
        st->ops->close(st);
    net_close(fd);
}

#endif
