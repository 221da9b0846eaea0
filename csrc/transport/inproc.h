/* SPDX-License-Identifier: MIT */
/*
 * Links between two sockets of one context. Messages pass by reference through two queues under a
 * lock of their own (a leaf); a socket is never touched under the other's lock, only posted to.
 */
#ifndef TRANSPORT_INPROC_H
#define TRANSPORT_INPROC_H

#include <stdbool.h>

#include "net/conn_set.h"
#include "net/transport_ops.h"
#include "transport/inproc_names.h"

void inproc_names_init(struct inproc_names *names);
/* The context has ended. */
void inproc_names_fini(struct inproc_names *names);
bool inproc_is_bound(struct inproc_names *names, const char *name);

/* Connects p, a new pipe of s that is attached. only_bound: -ENOENT instead of waiting until
 * the name is bound, and -FMQ_ENOCOMPATPROTO for a type that does not fit. 1: done, but with a
 * socket whose type other transports would refuse; a detail says which. */
int inproc_connect(struct conn_set *s, struct pipe *p, const char *name, bool only_bound);
/* Calls `visit` for each name that a socket is bound to, until that returns non-zero. The names'
 * lock is held meanwhile, so it takes no other. */
void inproc_each_bound(struct inproc_names *names,
                       int (*visit)(void *arg, const char *name, size_t len, struct conn_set *s),
                       void *arg);
/* All names of a closing socket. */
void inproc_unbind_all(struct conn_set *s);

extern const struct transport_ops transport_inproc;

#endif
