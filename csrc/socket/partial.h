/* SPDX-License-Identifier: MIT */
/*
 * Messages that the program has sent or received only in part (SNDMORE, RCVMORE).
 *
 * A message is received whole before its first part is given out, and the rest of it belongs to the
 * socket: whichever thread asks next goes on where the last one left off, as with libzmq. What was
 * received and given back comes before that, in the order in which it was taken. A message
 * that is begun with SNDMORE belongs to the thread that began it, so that parts of several threads
 * never mix. The socket's lock is held for all of these.
 */
#ifndef SOCKET_PARTIAL_H
#define SOCKET_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fastmq.h"
#include "msg/meta.h"
#include "msg/msg.h"

/* ---- receiving ---- */

struct rx_message {
    struct list node;   /* rx->waiting */
    struct parts parts; /* empty: no message is open */
    uint32_t next;      /* the next part to give out; < parts.len while a message is open */
    bool begun;         /* parts of the message were given out before that */
    uint64_t number;    /* of parts.v[0], as RX_TAKEN of its receipt; RX_NEVER: never given back */
    struct meta *meta;
};

/* What the socket has for its receivers before it looks at its pipes: the open message, or the
 * earliest one that was given back, and the others behind it. While there are any one is open. */
struct rx {
    struct rx_message open;
    struct list waiting; /* rx_message.node, in the order in which they are to be received */
    uint64_t taken;      /* the number of the last part that was taken with a receipt */
};

#define RX_NEVER UINT64_MAX

void rx_init(struct rx *r);
void rx_fini(struct rx *r); /* drops what is left; may be used again */

/* Whether there is anything. */
static inline bool rx_open(const struct rx *r)
{
    return r->open.parts.len != 0;
}

/* Whether the next part is of a message whose beginning was given out (RCVMORE). */
static inline bool rx_in_message(const struct rx *r)
{
    return rx_open(r) && r->open.begun;
}

/* The message in r->open.parts, received just now, loses its first part to `out` and stays open if
 * it has others. `meta` (may be NULL) is kept for those. True: it is open. */
bool rx_begin(struct rx *r, struct msg *out, struct meta *meta);
/* The next part of the open message. `meta` (may be NULL): a reference, or NULL. */
void rx_take(struct rx *r, struct msg *out, struct meta **meta);
/* Moves all that is left of the open message to `out`: 0 or -ENOMEM, with nothing changed. */
int rx_take_rest(struct rx *r, struct parts *out, struct meta **meta);

/* Fills a receipt with where the next receive will be: its number, if what it gets was given back
 * before, and whether it is in a message. rx_taken completes it when `count` parts were taken. */
void rx_receipt(const struct rx *r, struct fmq_receipt *receipt);
void rx_taken(struct rx *r, struct fmq_receipt *receipt, uint32_t count);
/* Takes the parts, and the receipt's reference to the metadata: 0, or -ENOMEM with nothing
 * changed. */
int rx_give_back(struct rx *r, struct fmq_receipt *receipt, struct parts *p);

/* ---- sending ---- */

struct tx_message {
    struct list node; /* socket->tx_begun */
    uintptr_t thread;
    struct parts parts;
};

/* What the calling thread has begun, or NULL. */
struct tx_message *tx_find(struct list *begun);
/* Of the calling thread, on no list yet. NULL: no memory. */
struct tx_message *tx_new(void);
void tx_free(struct tx_message *t);
/* Frees what the calling thread has begun, or all threads have: how many messages; *parts, if not
 * NULL, is how many parts they had. */
int tx_drop(struct list *begun, bool all, uint32_t *parts);

#endif
