/* SPDX-License-Identifier: MIT */
/*
 * Large bodies between two processes of a host. The sender lends (lend.h), the receiver borrows
 * (borrow.h): a body lies in a block of the sender's arena, its place goes through the ring, and
 * the receiver's message lies on that memory. Beside the arena, which the sender alone writes to,
 * the two share a page by which places are given back, and a socket whose end says that the other
 * side holds nothing any more, or is dead.
 *
 * A place has a slot. It is given back when the receiver has written the slot's generation to the
 * page. The sender looks at the slots that it has lent to this receiver, at no others, so that a
 * receiver that writes there what it likes can only give back what it has itself.
 */
#ifndef NET_BLOCKS_H
#define NET_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/ring.h"

/* Places that a receiver may hold at a time, for each connection. */
#define BLOCKS_SLOTS 256

/* In memory that both may write to. Zeroed memory is its beginning. */
struct blocks_shared {
    _Alignas(RING_LINE) _Atomic uint32_t taken;  /* by the receiver: it has mapped all */
    _Alignas(RING_LINE) _Atomic uint32_t wanted; /* by the sender: it is to be rung for */
    _Alignas(RING_LINE) _Atomic uint32_t given[BLOCKS_SLOTS]; /* by the receiver: generations */
};

struct blocks_place {
    uint32_t slot;
    uint32_t generation; /* never 0 */
    uint64_t offset;     /* in the arena */
    uint64_t size;
    bool more; /* of the message */
};

#endif
