/* SPDX-License-Identifier: MIT */
/*
 * Moves a connection from its descriptor into shared memory (shm_stream.h), if both ends are
 * processes of one user on one host.
 *
 * 1. Both send host and user in READY (the property X-Fastmq-Shm). The accepting side adds its
 *    meeting point, a token for this connection, and its view of the other end's address, by which
 *    the other end detects a program in between.
 * 2. Once the connection is in use, the connecting side creates the memory and passes it at the
 *    meeting point (meeting.h).
 * 3. The accepting side maps it and writes SWITCH on the descriptor. Everything that it writes
 *    afterwards goes into its ring. The connecting side reads SWITCH, continues to read in the
 *    ring, and does the same for the other direction.
 *
 * If anything fails before SWITCH, the connection stays on its descriptor.
 */
#ifndef NET_CONN_SHM_H
#define NET_CONN_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/conn.h"

struct command_buf;
struct conn_ends;
struct peer_config;

/* Adds the property of a connection in the making, which knows its set, its side and its
 * descriptor, and of whose peer `cfg` tells. */
void conn_shm_introduce(struct conn *c, const struct peer_config *cfg, const struct conn_ends *ends,
                        struct command_buf *props);
/* The handshake is over. */
void conn_shm_ready(struct conn *c);
/* The connecting side makes its memory when the connection has carried so many bytes, or at once
 * where SHM is 2. Memory is most of what a short connection would cost, and an idle one needs none.
 */
#ifndef SHM_DEFER_BYTES /* the simulator has fewer */
#define SHM_DEFER_BYTES 8192
#endif
void conn_shm_begin(struct conn *c);
/* After bytes were carried; the lock is held. */
static inline void conn_shm_carried(struct conn *c)
{
    if (__builtin_expect(c->shm.deferred, false) && c->bytes_in + c->bytes_out >= c->shm.begin_at)
        conn_shm_begin(c);
}
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
