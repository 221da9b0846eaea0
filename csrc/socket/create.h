/* SPDX-License-Identifier: MIT */
/* Making a socket, and freeing its memory. */
#ifndef SOCKET_CREATE_H
#define SOCKET_CREATE_H

#include <stdbool.h>

struct fmq_ctx;
struct fmq_socket;
struct pattern_ops;

/* fmq_socket_new for a pattern's table. `internal`: the context's own socket (zap_socket.h), one at
 * most (-EEXIST), which MAX_SOCKETS does not count. */
int socket_new(struct fmq_ctx *ctx, const struct pattern_ops *ops, bool internal,
               struct fmq_socket **out);
/* Drops one reference to its memory; the last frees it. No lock is held. */
void socket_drop_owner(struct fmq_socket *s);

#endif
