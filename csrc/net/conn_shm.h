/* SPDX-License-Identifier: MIT */
/*
 * The way of a connection from its descriptor into shared memory (shm_stream.h), when both ends are
 * processes of one user on one host.
 *
 * 1. Both say in READY where they are (the property X-Fastmq-Shm): host and user. The accepting
 *    side adds where its process can be met, a token for this connection, and how it sees the other
 *    end, by which that one finds out whether somebody stands in between.
 * 2. The connecting side makes the memory and hands it over at the meeting point (meeting.h).
 * 3. The accepting side, which now has mapped it, writes SWITCH on the descriptor: all that it
 *    writes after that goes into its ring. The connecting side reads SWITCH, reads on in the ring,
 *    and does the same the other way.
 *
 * Whatever fails before SWITCH leaves the connection on its descriptor.
 */
#ifndef NET_CONN_SHM_H
#define NET_CONN_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct command_buf;
struct conn;
struct peer_config;

/* Adds the property of a connection in the making, which knows its set, its side and its
 * descriptor, and of whose peer `cfg` tells. */
void conn_shm_introduce(struct conn *c, const struct peer_config *cfg, struct command_buf *props);
/* The handshake is over. */
void conn_shm_ready(struct conn *c);
/* The peer wrote SWITCH. False: without a reason, which breaks the protocol. */
bool conn_shm_switched(struct conn *c, const uint8_t *data, size_t len);
/* Before a write, while SWITCH is due: 0 or -ENOMEM. Then the write is cut to the bytes that go out
 * before the switch, and after it conn_shm_wrote is told. */
int conn_shm_prepare(struct conn *c);
void conn_shm_cut(struct conn *c, struct iovec *iov, int *count);
void conn_shm_wrote(struct conn *c);
/* The connection has ended. */
void conn_shm_end(struct conn *c);
/* What a conn_shm.why means; "" for none, NULL for what is no such. */
const char *conn_shm_reason(unsigned why);

#endif
