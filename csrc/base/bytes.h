/* SPDX-License-Identifier: MIT */
/* Big-endian loads and stores, and a cursor over received bytes that never reads past its end. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_be16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 8);
    b[1] = (uint8_t)v;
}

static inline void put_be32(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 24);
    b[1] = (uint8_t)(v >> 16);
    b[2] = (uint8_t)(v >> 8);
    b[3] = (uint8_t)v;
}

static inline void put_be64(void *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32((uint8_t *)p + 4, (uint32_t)v);
}

static inline uint16_t get_be16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t get_be32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

static inline uint64_t get_be64(const void *p)
{
    return (uint64_t)get_be32(p) << 32 | get_be32((const uint8_t *)p + 4);
}

/* Take operations return false and leave the cursor unchanged when too few bytes remain. */
struct cursor {
    const uint8_t *at;
    size_t left;
};

static inline bool cursor_take(struct cursor *c, size_t n, const uint8_t **out)
{
    if (n > c->left)
        return false;
    *out = c->at;
    c->at += n;
    c->left -= n;
    return true;
}

static inline bool cursor_u8(struct cursor *c, uint8_t *out)
{
    const uint8_t *p;
    if (!cursor_take(c, 1, &p))
        return false;
    *out = *p;
    return true;
}

static inline bool cursor_be32(struct cursor *c, uint32_t *out)
{
    const uint8_t *p;
    if (!cursor_take(c, 4, &p))
        return false;
    *out = get_be32(p);
    return true;
}

#endif
