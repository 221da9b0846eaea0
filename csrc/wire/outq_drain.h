/* SPDX-License-Identifier: MIT */
/* What leaves a queue: to the kernel, to be encoded anew, or for good. */
#ifndef WIRE_OUTQ_DRAIN_H
#define WIRE_OUTQ_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "wire/outq.h"

/* Describes up to max pieces from the front; returns the count. */
int outq_iov(struct outq *q, struct iovec *iov, int max);

/* The kernel took n bytes. Frees what is done and updates msgs and body exactly. */
void outq_sent(struct outq *q, size_t n);

/*
 * The connection was lost: drops the message whose sending had begun (all its parts) and all
 * command frames; whole messages stay, in order. Not for raw queues (those are dropped by
 * outq_fini).
 */
void outq_rewind(struct outq *q);

/* Drops everything that no write has begun on; CONFLATE keeps only the newest this way. The begun
 * message stays. `inflight`: bytes handed out by outq_iov whose write is still under way. */
void outq_drop_pending(struct outq *q, size_t inflight);

/* A look at what is queued, from the front on, that takes nothing. Only while no frame is sent in
 * part. Ends with the first call that takes something. */
struct outq_walk {
    const struct outblk *block;
    uint32_t at;
};

struct outq_frame {
    uint8_t flags;
    const uint8_t *data;
    size_t size;
    size_t total; /* with its header: what outq_sent is given */
};

void outq_walk_begin(const struct outq *q, struct outq_walk *w);
/* The next frame; false: there is none. */
bool outq_walk_next(struct outq_walk *w, struct outq_frame *f);

/* How many bytes of the queue come before its first message part of OUTQ_LARGE bytes or more that
 * is still whole and lies apart: *body. SIZE_MAX: there is none near. */
size_t outq_find_large(const struct outq *q, const struct msg **body);

/* The frame at the front, left where it is: its flags and body. False when empty. outq_pop drops
 * it. Rules as for outq_take. */
bool outq_front(struct outq *q, uint8_t *flags, const uint8_t **data, size_t *size);
void outq_pop(struct outq *q);

/*
 * Takes the next frame from the front for re-encoding (ZMTP 1.0): out is a message with MORE
 * or COMMAND set as framed, owned by the caller. 1, 0 when empty, -ENOMEM. Never mixed with
 * outq_iov on the same queue.
 */
int outq_take(struct outq *q, struct msg *out);

#endif
