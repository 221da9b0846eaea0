/* SPDX-License-Identifier: MIT */
/*
 * Large bodies between two processes of a host. The sender lends (lend.h), the receiver borrows
 * (borrow.h): the body is in a block of the sender's arena, its place is sent through the ring, and
 * the receiver's message refers to that memory. Only the sender writes to the arena. The two also
 * share a page for returning places, and a socket. The end of the socket means that the other side
 * holds no places any more, or that its process has ended.
 *
 * A place has a slot. The receiver returns it by writing the slot's generation to the page. The
 * sender checks only the slots that it has lent to this receiver, so a receiver that writes
 * arbitrary values can only return its own places.
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
