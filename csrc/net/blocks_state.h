/* SPDX-License-Identifier: MIT */
/* The state of conn_blocks.h in a connection. */
#ifndef NET_BLOCKS_STATE_H
#define NET_BLOCKS_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/blocks.h"

struct borrower;
struct lender;
struct meeting_seat;

struct conn_blocks {
    /* What we send. */
    struct lender *lender;
    uint8_t asked;   /* how often */
    unsigned missed; /* bodies that went through the ring since then */
    bool pending;    /* the place of the body at the front of the queue is about to go out */
    uint32_t slot;
    /* What we receive. */
    struct meeting_seat *seat; /* until the peer has come */
    struct borrower *borrower;
    uint8_t offered; /* how often */
    bool waits;      /* the last place could not be taken for want of memory */
    struct blocks_place place;
};

#endif
