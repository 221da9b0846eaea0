/* SPDX-License-Identifier: MIT */
/* Writing to a connection. */
#ifndef NET_CONN_WRITE_H
#define NET_CONN_WRITE_H

#include <stdbool.h>

struct conn;

/* Writes what is queued until the kernel takes no more. Releases the lock meanwhile; may end the
 * connection. Nothing while another thread writes. */
void conn_write(struct conn *c);

/* It failed in a handshake, and what tells the peer the reason (the greeting, ERROR) is not written
 * yet. */
bool conn_has_reason(const struct conn *c);

#endif
