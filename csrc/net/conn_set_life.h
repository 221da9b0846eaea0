/* SPDX-License-Identifier: MIT */
/* Freeing ended connections and endpoints of a set, and what LINGER waits for. */
#ifndef NET_CONN_SET_LIFE_H
#define NET_CONN_SET_LIFE_H

#include <stdbool.h>
#include <stdint.h>

struct conn_set;
struct reactor;

/* Frees pipes that are done, and connections and endpoints that no thread holds. */
void conn_set_reap(struct conn_set *s);
/* True while LINGER has something to wait for. */
bool conn_set_lingers(struct conn_set *s);
/* True while a thread is in a write. */
bool conn_set_writes(struct conn_set *s);
/* Ends all connections, endpoints and pipes; none may be in a write. */
void conn_set_end(struct conn_set *s);

/* reactor_ops.read_lone. */
bool conn_set_read_lone(struct reactor *r, uint64_t until);

#endif
