/* SPDX-License-Identifier: MIT */
/*
 * The receiver's side of blocks.h: messages on memory of another process. That process may change
 * the content at any time, but nothing else: places are checked, the memory cannot be made smaller,
 * and the other process does not see what the program writes to it.
 *
 * A message of it may be dropped on any thread, after its connection and its context have ended,
 * too. In a child of a fork nothing is given back; and what was held while the process forked is
 * not given back here either, since the child may look at it.
 */
#ifndef NET_BORROW_H
#define NET_BORROW_H

#include <stddef.h>

#include "msg/msg.h"
#include "net/blocks.h"

struct borrower;

/* Maps what another process has handed over: the page, and an arena of `size` bytes. Takes over the
 * socket; the other descriptors stay the caller's. 0, -EPROTO, or a negative errno, and then the
 * socket is the caller's, too. */
int borrower_new(struct borrower **out, int shared, int arena, size_t size, int sock);
/* Drops the reference that borrower_new gave; each message has one of its own. */
void borrower_unref(struct borrower *b);
/* From now on places may come. */
void borrower_begin(struct borrower *b);
/* The message at a place. 0, -ENOMEM, or -EPROTO: there can be no such place. */
int borrower_take(struct borrower *b, const struct blocks_place *place, struct msg *out);

/* This process is about to fork. */
void borrow_before_fork(void);

#endif
