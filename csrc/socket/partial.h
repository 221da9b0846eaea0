/* SPDX-License-Identifier: MIT */
/*
 * Messages that the program has sent or received only in part (SNDMORE, RCVMORE).
 *
 * A message is received whole before its first part is given out, and the rest of it belongs to the
 * socket: whichever thread asks next goes on where the last one left off, as with libzmq. A message
 * that is begun with SNDMORE belongs to the thread that began it, so that parts of several threads
 * never mix. The socket's lock is held for all of these.
 */
#ifndef SOCKET_PARTIAL_H
#define SOCKET_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "msg/meta.h"
#include "msg/msg.h"

/* ---- receiving ---- */

struct rx_message {
    struct parts parts; /* empty: no message is open */
    uint32_t next;      /* the next part to give out; < parts.len while a message is open */
    struct meta *meta;
};

void rx_init(struct rx_message *r);
void rx_fini(struct rx_message *r); /* drops what is left; may be used again */

static inline bool rx_open(const struct rx_message *r)
{
    return r->parts.len != 0;
}

/* The message in r->parts, received just now, loses its first part to `out` and stays open if it
 * has others. `meta` (may be NULL) is kept for those. True: it is open. */
bool rx_begin(struct rx_message *r, struct msg *out, struct meta *meta);
/* The next part of the open message. `meta` (may be NULL): a reference, or NULL. */
void rx_take(struct rx_message *r, struct msg *out, struct meta **meta);
/* Moves all that is left of the open message to `out`: 0 or -ENOMEM, with nothing changed. */
int rx_take_rest(struct rx_message *r, struct parts *out, struct meta **meta);

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
