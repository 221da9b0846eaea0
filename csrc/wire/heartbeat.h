/* SPDX-License-Identifier: MIT */
/* The peer's clock: PINGs and PONGs, the deadlines of heartbeats and of the handshake. */
#ifndef WIRE_HEARTBEAT_H
#define WIRE_HEARTBEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/peer_state.h"

/* Timers: heartbeats (PINGs are appended to q) and deadlines. Returns the next time it wants to be
 * called (CLOCK_NEVER-like UINT64_MAX: none). A deadline that passed makes the peer DEAD. */
uint64_t peer_tick(struct peer *p, struct outq *q, uint64_t now);

/* A sign of life without having been asked: keeps the heartbeat of a peer quiet that is not read
 * for a while (RCVHWM). Goes out with the next peer_send_iov. */
void peer_reassure(struct peer *p);

/* ---- for the files of the peer ---- */

/* Nothing is due but, perhaps, the end of the handshake. */
void heartbeat_init(struct peer *p);
/* What follows the name in a PING or a PONG that came. */
void heartbeat_got_ping(struct peer *p, const uint8_t *args, size_t len);
void heartbeat_got_pong(struct peer *p, const uint8_t *args, size_t len);
/* Over a WebSocket PINGs and PONGs may come at any time: true, and the whole frame at the front was
 * taken, where it is one. */
bool heartbeat_before_ready(struct peer *p, const struct frame_head *h);
/* Whether the body of a command is a PING or a PONG, which WebSocket has frames of its own for. */
bool heartbeat_is(const uint8_t *body, size_t len);
/* Appends the PONGs that are due to q, unless those before may be unsent. 0, or -ENOMEM: the rest
 * stays due. */
int heartbeat_put_pongs(struct peer *p, struct outq *q);

#endif
