/* SPDX-License-Identifier: MIT */
/* The peer's way in: bytes become frames, frames become events. */
#ifndef WIRE_PEER_IN_H
#define WIRE_PEER_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/peer_state.h"

/* References on the chunk taken at once, so that a slice costs no atomic operation. */
#define PEER_REFS_AHEAD 64u

/*
 * Where the next received bytes belong: the tail of the chunk, or directly the memory of the large
 * body being received. *len > 0. 0 or -ENOMEM. With partial data kept, the chunk's size follows the
 * traffic: it grows to CHUNK_LARGE when reads fill it, and shrinks again.
 */
int peer_recv_buf(struct peer *p, uint8_t **buf, size_t *len);
/* n bytes (possibly 0) were put there at time `now`. */
void peer_recv_done(struct peer *p, size_t n, uint64_t now);
/* Bytes of the peer came that are not for its buffer yet: a sign of life. */
void peer_lives(struct peer *p, uint64_t now);

/*
 * peer_next for the commonest case, a small frame of plain traffic that is wholly buffered: 1 with
 * the frame in *out; 0: ask peer_next.
 */
static inline int peer_next_small(struct peer *p, struct msg *out)
{
    size_t avail = p->rx.end - p->rx.begin;
    if (avail < 2)
        return 0;
    const uint8_t *d = p->rx.chunk->data + p->rx.begin;
    size_t size = d[1];
    uint32_t more = d[0];
    if (more > 1 || (int)size > p->rx.fast_max || size > avail - 2)
        return 0;
    if (p->rx.parts + 1 + more > p->rx.max_parts)
        return 0;
    p->rx.parts = (p->rx.parts + 1) & (0u - more);
    p->rx.begin += size + 2;
    d += 2;
    if (size <= MSG_INLINE_MAX) {
        msg_init(out);
        /* A copy of fixed length is cheaper, but must not reach into what is being received. */
        if (avail - 2 >= MSG_INLINE_MAX)
            memcpy(out->u.inl, d, MSG_INLINE_MAX);
        else if (size)
            memcpy(out->u.inl, d, size);
        out->inl_len = (uint8_t)size;
    } else {
        if (p->rx.refs == 0) {
            chunk_ref(p->rx.chunk, PEER_REFS_AHEAD);
            p->rx.refs = PEER_REFS_AHEAD;
        }
        p->rx.refs--;
        msg_init_slice(out, p->rx.chunk, d, size);
    }
    out->flags = (uint8_t)more;
    return 1;
}

/* True when undecoded bytes are buffered, so peer_next may yield without new bytes. */
bool peer_buffered(const struct peer *p);

/* Undecoded bytes are none of the peer's: they are dropped. */
void peer_drop_input(struct peer *p);

/* A message part came that is in no frame, but counts as one: 0, or -EPROTO and the peer has
 * failed. */
int peer_count_part(struct peer *p, size_t size, bool more);

/* ---- for the files of the peer ---- */

void peer_in_init(struct peer *p);
void peer_in_fini(struct peer *p);
/* peer_trim for this half. */
void peer_in_trim(struct peer *p);
/* Releases the memory that the last event's `data` lies in. */
void peer_in_drop_held(struct peer *p);
/* The next event of traffic: 1, 0, PEER_AGAIN, or a negative errno as peer_next. */
int peer_in_step(struct peer *p, struct peer_event *ev);

#endif
