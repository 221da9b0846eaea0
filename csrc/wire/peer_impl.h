/* SPDX-License-Identifier: MIT */
/* What the files that make up the peer share: peer.c (input, events), greeting.c, peer_out.c
 * (output, timers). */
#ifndef WIRE_PEER_IMPL_H
#define WIRE_PEER_IMPL_H

#include "wire/command.h"
#include "wire/frame.h"
#include "wire/mechanism.h"
#include "wire/peer.h"

#define PEER_NEVER UINT64_MAX
#define PEER_NS_PER_MS UINT64_C(1000000)

/* Steps of the state machine return 0 (needs more bytes), PEER_AGAIN, or a negative errno. */
#define PEER_AGAIN 2

static inline size_t peer_avail(const struct peer *p)
{
    return p->in_end - p->in_begin;
}

static inline const uint8_t *peer_at(const struct peer *p)
{
    return p->in->data + p->in_begin;
}

static inline void peer_consume(struct peer *p, size_t n)
{
    p->in_begin += n;
    p->frame_need = 0;
}

/* greeting.c */
int greeting_start(struct peer *p);
int greeting_step(struct peer *p); /* SIGNATURE to IDENTITY */

/* peer.c */
int peer_parse_frame(const struct peer *p, struct frame_head *h);
void peer_become_ready(struct peer *p);

/* peer_out.c: takes over nothing; the body is copied into the peer's own queue. 0 or -ENOMEM. */
int peer_put_own_command(struct peer *p, const void *body, size_t len);

#endif
