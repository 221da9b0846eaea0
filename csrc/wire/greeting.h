/* SPDX-License-Identifier: MIT */
/* The states from SIGNATURE to IDENTITY. */
#ifndef WIRE_GREETING_H
#define WIRE_GREETING_H

#include "wire/peer_state.h"

/* Queues the first bytes. 0 or -ENOMEM. */
int greeting_start(struct peer *p);
/* 0: needs more bytes; PEER_AGAIN: the state went on; a negative errno. */
int greeting_step(struct peer *p);

#endif
