/* SPDX-License-Identifier: MIT */
/*
 * The sender's side of blocks.h. A lender has the places that one connection has lent to its peer,
 * each with the message that keeps the memory. It outlives the connection, until the peer holds no
 * places any more or its process has ended: then its end of the socket is closed, and all places
 * are returned. The peer can affect only the places that were lent to it.
 */
#ifndef NET_LEND_H
#define NET_LEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/blocks.h"

struct arena;
struct arena_slot;
struct io_thread;
struct lender;
struct meeting_slot;
struct msg;

/* Hands the arena over at a meeting point: `token` is what the peer expects there. The peer may
 * be served by that I/O thread from now on. 0 or a negative errno. */
int lender_new(struct lender **out, struct arena_slot *slot, struct meeting_slot *meeting,
               struct io_thread *io, const char *name, const uint8_t *token);
/* The connection has ended. */
void lender_leave(struct lender *l);
/* Whether the peer has mapped what it was given, and lives. */
bool lender_is_ready(const struct lender *l);

/* Makes a place for the bytes of a message: where they are, if that is in the arena, else in a
 * copy, which further lenders of the same arena use as well. No lock is held. -EAGAIN: no room. */
int lender_lend(struct lender *l, const struct msg *body, struct blocks_place *place);
/* The place has gone out; takes the message over, which keeps the memory if that is where the place
 * is. */
void lender_lent(struct lender *l, uint32_t slot, struct msg *body);
/* It will not go out. */
void lender_cancel(struct lender *l, uint32_t slot);

/* Takes back what peers have given back. */
void lend_reclaim(struct arena_slot *slot);
/* A block, as arena_alloc, after a look at what has come back. */
void *lend_alloc(struct arena_slot *slot, struct arena *a, size_t size);

#endif
