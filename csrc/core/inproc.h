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
int inproc_unbind(struct fmq_socket *s, const char *name);
/* p: a new pipe of s, attached. only_bound: -ENOENT instead of waiting for somebody to bind it. */
int inproc_connect(struct fmq_socket *s, struct pipe *p, const char *name, bool only_bound);
bool inproc_is_bound(struct fmq_ctx *ctx, const char *name);
/* All names of a closing socket. */
void inproc_unbind_all(struct fmq_socket *s);
/* Frees the registry of a context that ended. */
void inproc_forget(struct fmq_ctx *ctx);

/* pipe.c's view */
bool inproc_can_write(struct pipe *p, uint64_t size);
/* `writable` is owed when the receiver has taken something. Look again afterwards. */
void inproc_await(struct pipe *p);
/* Whether a message's size matters to inproc_can_write. */
bool inproc_bounded(const struct pipe *p);
/* The receiver keeps only the newest message. */
bool inproc_conflates(const struct pipe *p);
/* Whatever the HWM: the caller has looked at it, and counted the bytes in the pipe's budget. They
 * are given back when they are taken, or go without having been. */
int inproc_write(struct pipe *p, struct msg *parts, uint32_t n);
void inproc_refill(struct pipe *p);                /* moves what arrived to p->in */
void inproc_taken(struct pipe *p, uint64_t bytes); /* the program received a message */
/* A message of our own was put into p->in: it will be taken without having been sent. */
void inproc_injected(struct pipe *p, uint64_t bytes);
void inproc_detach(struct pipe *p); /* our end is gone; tells the other */
uint32_t inproc_out_msgs(const struct pipe *p);
uint64_t inproc_out_bytes(const struct pipe *p);
/* Sent to us and not yet received by the program. */
uint32_t inproc_in_msgs(const struct pipe *p);
uint64_t inproc_in_bytes(const struct pipe *p);
void inproc_update_hwm(struct pipe *p);
/* inspect.c's view */
void inproc_add_bytes(const struct pipe *p, struct fmq_counters *count);
void inproc_describe(const struct pipe *p, struct fmq_peer *out);

#endif
