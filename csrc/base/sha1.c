/* SPDX-License-Identifier: MIT */
#include "base/sha1.h"

#include <string.h>

#include "base/bytes.h"

#define BLOCK 64

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void add_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t w[80];
    for (unsigned i = 0; i < 16; i++)
        w[i] = get_be32(block + 4 * i);
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1(uint8_t out[SHA1_LEN], const void *data, size_t len)
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const uint8_t *at = data;
    size_t left = len;
    for (; left >= BLOCK; left -= BLOCK, at += BLOCK)
        add_block(state, at);
    /* The rest, a one bit, zeros, and the number of bits at the end of the last block. */
    uint8_t tail[2 * BLOCK] = {0};
    size_t size = left + 9 > BLOCK ? 2 * BLOCK : BLOCK;
    if (left)
        memcpy(tail, at, left);
    tail[left] = 0x80;
    put_be64(tail + size - 8, (uint64_t)len * 8);
    for (size_t i = 0; i < size; i += BLOCK)
        add_block(state, tail + i);
    for (unsigned i = 0; i < 5; i++)
        put_be32(out + 4 * i, state[i]);
}
