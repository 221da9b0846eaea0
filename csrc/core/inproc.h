/* SPDX-License-Identifier: MIT */
/*
 * Links between two sockets of one context. Messages pass by reference through two queues under a
 * lock of their own (a leaf); a socket is never touched under the other's lock, only posted to.
 */
#ifndef CORE_INPROC_H
#define CORE_INPROC_H

#include "core/socket.h"

struct inproc_link;

int inproc_bind(struct fmq_socket *s, const char *name);
/* The name is free again. What was connected by it stays so, other than with the stream transports.
 */
int inproc_unbind(struct fmq_socket *s, const char *name);
/* p: a new pipe of s, attached. only_bound: -ENOENT instead of waiting for somebody to bind it. */
int inproc_connect(struct fmq_socket *s, struct pipe *p, const char *name, bool only_bound);
bool inproc_is_bound(struct fmq_ctx *ctx, const char *name);
/* All names of a closing socket. */
void inproc_unbind_all(struct fmq_socket *s);
/* Frees the registry of a context that ended. */
void inproc_forget(struct fmq_ctx *ctx);

#endif
