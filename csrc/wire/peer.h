/* SPDX-License-Identifier: MIT */
/*
 * The protocol of one connection, without I/O: ZMTP 3.1 down to 1.0, both roles. Bytes go in
 * through peer_recv_buf/peer_recv_done, events come out of peer_next; what to write comes from
 * peer_send_iov. Time is an argument. Not thread-safe: the socket's lock covers a peer, except that
 * between peer_recv_buf and peer_recv_done the buffer may be filled, and between peer_send_iov and
 * peer_sent the pieces written, with the lock released.
 *
 * The states, in order (a peer never goes back):
 *
 *   UPGRADE    over a WebSocket, before IDENTITY or HANDSHAKE: the subprotocol names the mechanism
 *   SIGNATURE  ours is queued; the peer's first bytes tell ZMTP 1.0 from later ones
 *   VERSION    the peer's revision picks the framing and whether there is a mechanism
 *   GREETING   the rest of the 64-byte greeting (3.x)
 *   IDENTITY   2.0 and 1.0: the peer's first message is its identity
 *   HANDSHAKE  the mechanism's commands (3.x)
 *   TRAFFIC    messages, commands
 *   DEAD       a protocol error, an ERROR command or a timeout: sticky
 *
 * Nothing a peer sends makes this assert, recurse, or allocate more than PEER_OWN_BODY_MIN on the
 * mere word of a length field: a large body's memory doubles as its bytes arrive.
 */
#ifndef WIRE_PEER_H
#define WIRE_PEER_H

#include "wire/handshake.h" /* peer_auth ... */
#include "wire/heartbeat.h" /* peer_tick ... */
#include "wire/peer_in.h"   /* peer_recv_buf ... */
#include "wire/peer_out.h"  /* peer_send_iov ... */
#include "wire/peer_state.h"

/* Copies what it needs of cfg; queues the first greeting bytes. 0 or -ENOMEM. */
int peer_init(struct peer *p, const struct peer_config *cfg, uint64_t now);
void peer_fini(struct peer *p);

/* 1: *ev is the next event; 0: needs more bytes (when nothing is buffered, a chunk is kept at most
 * for the next read: peer_trim gives it back); -EPROTO: the connection is over (failure tells why);
 * -ENOMEM: try again later, nothing lost. */
int peer_next(struct peer *p, struct peer_event *ev);

/* Gives back the memory kept for the next read, if nothing is buffered. For connections that went
 * idle; not while a read or a write is under way. */
void peer_trim(struct peer *p);

#endif
