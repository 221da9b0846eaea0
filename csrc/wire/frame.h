/* SPDX-License-Identifier: MIT */
/* Frame headers of ZMTP: version 2 framing (ZMTP 2.0 and 3.x) and version 1 (ZMTP 1.0). */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define FRAME_MORE 1u
#define FRAME_LONG 2u
#define FRAME_COMMAND 4u

#define FRAME_HEAD_MAX 10 /* the longest header of either framing */

/* A length no memory can hold; keeps sums of a header and a body from overflowing. */
#define FRAME_SIZE_LIMIT ((uint64_t)(SIZE_MAX >> 1) - 64)

struct frame_head {
    size_t head; /* bytes of the header */
    size_t size; /* bytes of the body */
    uint8_t flags;
};

/* 1: *h is set; 0: needs more bytes; -EPROTO: no such frame can exist. */
static inline int frame_parse_v2(const uint8_t *d, size_t avail, struct frame_head *h)
{
    if (avail < 2)
        return 0;
    h->flags = d[0];
    if (!(d[0] & FRAME_LONG)) {
        h->head = 2;
        h->size = d[1];
        return 1;
    }
    if (avail < 9)
        return 0;
    uint64_t size = get_be64(d + 1);
    if (size > FRAME_SIZE_LIMIT)
        return -EPROTO;
    h->head = 9;
    h->size = (size_t)size;
    return 1;
}

/* As frame_parse_v2. The length counts the flags, which come after it; only MORE is known there. */
static inline int frame_parse_v1(const uint8_t *d, size_t avail, struct frame_head *h)
{
    if (avail < 1)
        return 0;
    uint64_t size = d[0];
    h->head = 2;
    if (d[0] == 0xff) {
        h->head = 10;
        if (avail < 9)
            return 0;
        size = get_be64(d + 1);
    }
    if (size == 0 || size > FRAME_SIZE_LIMIT)
        return -EPROTO;
    if (avail < h->head)
        return 0;
    h->size = (size_t)size - 1;
    h->flags = d[h->head - 1] & FRAME_MORE;
    return 1;
}

/* Writes a header for a body of `size` bytes; LONG is added by need. Returns its length. */
static inline size_t frame_build_v2(uint8_t *d, uint8_t flags, size_t size)
{
    if (size <= 255) {
        d[0] = flags;
        d[1] = (uint8_t)size;
        return 2;
    }
    d[0] = (uint8_t)(flags | FRAME_LONG);
    put_be64(d + 1, size);
    return 9;
}

static inline size_t frame_build_v1(uint8_t *d, uint8_t flags, size_t size)
{
    if (size + 1 < 255) {
        d[0] = (uint8_t)(size + 1);
        d[1] = flags & FRAME_MORE;
        return 2;
    }
    d[0] = 0xff;
    put_be64(d + 1, (uint64_t)size + 1);
    d[9] = flags & FRAME_MORE;
    return 10;
}

#endif
