/* SPDX-License-Identifier: MIT */
/* The peer's way out: its own commands, then the frames of the pipe's queue. */
#ifndef WIRE_PEER_OUT_H
#define WIRE_PEER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "wire/peer_state.h"

/* True when there is something to write: handshake bytes, or (once ready) frames of q. */
bool peer_wants_write(const struct peer *p, const struct outq *q);
/* Pieces to write next, up to max (>= 8): handshake bytes first, then q when ready, re-encoded
 * through a private queue for ZMTP 1.0 peers and where traffic is encrypted. Count (0: nothing), or
 * -ENOMEM. */
int peer_send_iov(struct peer *p, struct outq *q, struct iovec *iov, int max);
/* The kernel took n of them. */
void peer_sent(struct peer *p, struct outq *q, size_t n);

/* Queues a subscription change in the form that this peer understands: SUBSCRIBE/CANCEL commands
 * for 3.1, the 01/00 message otherwise. 0 or -ENOMEM. Only when ready. */
int peer_put_subscription(struct peer *p, struct outq *q, const void *topic, size_t len, bool add);

/* Queues JOIN or LEAVE; nothing for a peer of a version that has no commands. 0 or -ENOMEM. Only
 * when ready. */
int peer_put_group(struct peer *p, struct outq *q, const void *group, size_t len, bool join);

/* ---- for the files of the peer ---- */

void peer_out_fini(struct peer *p);

#endif
