/* SPDX-License-Identifier: MIT */
/*
 * Large bodies of a connection in shared memory go through blocks (blocks.h), by the command BLOCK
 * between the frames:
 *
 * 1. ASK: the sender has its first large body, and asks to lend. It sends this body through the
 *    ring.
 * 2. OFFER: the other side offers its meeting point and a token. The sender connects there and
 *    passes its arena (meeting.h).
 * 3. PLACE: sent in place of a frame, with the place of its body.
 *
 * If a step fails, bodies go through the ring. A body stays in the queue until its place has been
 * sent completely, so a connection that is lost before that loses no message.
 */
#ifndef NET_CONN_BLOCKS_H
#define NET_CONN_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct msg;

/* Before a write, where the queue has a large body: how many bytes of the queue may go in this
 * write, *most. Releases the lock while it copies. False: the connection is to end. */
bool conn_blocks_prepare(struct conn *c, size_t *most);
/* All that conn_blocks_prepare allowed has gone out. */
void conn_blocks_wrote(struct conn *c);
/* BLOCK has come. 1: *out is a part of a message; 0: nothing is; -EPROTO, or -ENOMEM: it is to be
 * tried again by conn_blocks_again. */
int conn_blocks_command(struct conn *c, const uint8_t *data, size_t len, struct msg *out);
int conn_blocks_again(struct conn *c, struct msg *out);
/* The connection has ended. */
void conn_blocks_end(struct conn *c);

#endif
