/* SPDX-License-Identifier: MIT */
/* The timer of a connection: heartbeats, the limit of its handshake, the end of a back-off. */
#ifndef NET_CONN_TICK_H
#define NET_CONN_TICK_H

#include <stdint.h>

struct conn;

/* Does what is due, and sets the timer. May end the connection. */
void conn_tick(struct conn *c, uint64_t now);

#endif
