/* SPDX-License-Identifier: MIT */
/*
 * The state HANDSHAKE: moves the commands of the mechanism, and holds what all mechanisms do alike:
 * properties, ERROR, the question whether the peer may come in.
 */
#ifndef WIRE_HANDSHAKE_H
#define WIRE_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/command.h"
#include "wire/peer_state.h"

/* True after PEER_EV_AUTH, until it is answered: peer_next yields nothing meanwhile. */
bool peer_auth_pending(const struct peer *p);
/* Borrowed until the answer. */
void peer_credentials(const struct peer *p, struct peer_credentials *out);
/* The answer yes. `auth_metadata` (may be NULL; a reference is taken) overrides the peer's own
 * properties of the same name. Call peer_next afterwards. */
void peer_auth(struct peer *p, struct meta *auth_metadata);
/* The answer no, with a status of ZAP: 400 and 500 are sent to the peer (write what peer_send_iov
 * has before closing), 300 is not, so that it tries again. The peer is DEAD. */
void peer_refuse(struct peer *p, uint32_t status);

/* The ERROR command, best effort, as last words before the connection is closed. */
void peer_put_error(struct peer *p, const char *reason);

/* ---- for the files of the peer ---- */

/* 1: an event; 0: needs more bytes; PEER_AGAIN: the state went on; a negative errno. */
int handshake_step(struct peer *p, struct peer_event *ev);
void handshake_fini(struct peer *p);

/* ---- for the mechanisms ---- */

/* The properties that every mechanism sends: Socket-Type, Identity where the type has one, the
 * application's own. */
void handshake_add_properties(struct command_buf *b, const struct peer_config *cfg);
/*
 * Reads the peer's properties into `remote`, and checks its type. 0, -EPROTO (the peer failed),
 * -ENOMEM (unchanged).
 */
int handshake_read_properties(struct peer *p, const uint8_t *data, size_t len);
/* Handles the body of an ERROR command after its name: the peer fails as the reason says. -EPROTO.
 */
int handshake_read_error(struct peer *p, const uint8_t *args, size_t len);

#endif
