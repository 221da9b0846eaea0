/* SPDX-License-Identifier: MIT */
/* What the programs that use the engine share: errors end the program and say what failed. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastmq.h"

#define OPT_LAST_ENDPOINT 32
#define OPT_SUBSCRIBE 6
#define OPT_SNDBUF 11
#define OPT_RCVBUF 12

static inline int must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, fmq_strerror(-rc));
        exit(1);
    }
    return rc;
}

static inline void keep_object(void *object)
{
    (void)object;
}

/* A context. What is sent counts as memory of a host object, as it does from Python: it lives on
 * until the engine is done with it, and large messages are not copied. */
static inline fmq_ctx *open_context(void)
{
    fmq_ctx *ctx;

    must(fmq_setup(), "setup");
    msg_set_object_hooks(keep_object, keep_object);
    must(fmq_ctx_new(&ctx), "context");
    return ctx;
}

static inline fmq_socket *open_socket(fmq_ctx *ctx, int type)
{
    fmq_socket *s;

    must(fmq_socket_new(ctx, type, &s), "socket");
    return s;
}

static inline void close_socket(fmq_socket *s)
{
    must(fmq_close(s), "close");
    fmq_socket_free(s);
}

struct address {
    char text[512];
};

/* Binds to a fresh address of "tcp", "ipc" or "inproc". */
static inline struct address bind_fresh(fmq_socket *s, const char *transport)
{
    struct address address;
    size_t len = sizeof(address.text) - 1;
    const char *endpoint = strcmp(transport, "tcp") == 0      ? "tcp://127.0.0.1:*"
                           : strcmp(transport, "ipc") == 0    ? "ipc://*"
                           : strcmp(transport, "inproc") == 0 ? "inproc://bench"
                                                              : transport;

    must(fmq_bind(s, endpoint), endpoint);
    must(fmq_get_bytes(s, OPT_LAST_ENDPOINT, address.text, &len), "LAST_ENDPOINT");
    address.text[len] = 0;
    return address;
}

/* One message as the Python module sends it: at once where nothing is in the way, else waiting. */
static inline void send_one(fmq_socket *s, void *data, size_t size)
{
    int rc = fmq_try_send_bytes(s, data, size, data, false);

    while (rc == -EAGAIN || rc == -EBUSY || rc == -EINTR) {
        struct msg m;

        msg_init_borrowed(&m, data, size, data);
        rc = fmq_send(s, &m, 1, false, -1);
    }
    must(rc, "send");
}

/* The same for receiving; the size of what came. */
static inline size_t recv_one(fmq_socket *s)
{
    struct msg m;
    size_t size;
    int rc = fmq_try_recv_part(s, &m, NULL);

    while (rc == -EAGAIN || rc == -EBUSY || rc == -EINTR)
        rc = fmq_recv_part(s, &m, NULL, -1);
    must(rc, "recv");
    size = msg_size(&m);
    msg_drop(&m);
    return size;
}

#endif
