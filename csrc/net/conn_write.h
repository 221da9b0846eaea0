/* SPDX-License-Identifier: MIT */
/* Writing to a connection. */
#ifndef NET_CONN_WRITE_H
#define NET_CONN_WRITE_H

struct conn;

/* Writes what is queued until the kernel takes no more. Releases the lock meanwhile; may end the
 * connection. Nothing while another thread writes. */
void conn_write(struct conn *c);

#endif
