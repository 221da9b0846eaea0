/* SPDX-License-Identifier: MIT */
/*
 * A test double for the primitives of CURVE: the shapes and the failures of the real ones, and no
 * secrecy at all. Keys, nonces and contents are told apart by a checksum; what should not open does
 * not open. For tests of the protocol around the primitives only.
 */
#ifndef FAKE_CRYPTO_H
#define FAKE_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "include/fastmq.h"

#define FAKE_KEY 32
#define FAKE_MAC 16

static _Thread_local uint64_t fake_state = 1;
/* Fuzzing: every box opens, and contents pass as they are, so that inputs get past the boxes. */
static bool fake_lenient;

static inline void fake_random(uint8_t *bytes, unsigned long long len)
{
    for (unsigned long long i = 0; i < len; i++) {
        fake_state = fake_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        bytes[i] = (uint8_t)(fake_state >> 56);
    }
}

/* The secret key is the public one with other bits, so that both sides find the same shared key. */
static inline int fake_public(uint8_t *public_key, const uint8_t *secret_key)
{
    for (int i = 0; i < FAKE_KEY; i++)
        public_key[i] = secret_key[i] ^ 0x5a;
    return 0;
}

static bool fake_has_no_keys; /* box_keypair fails */

static inline int fake_keypair(uint8_t *public_key, uint8_t *secret_key)
{
    if (fake_has_no_keys)
        return -1;
    fake_random(secret_key, FAKE_KEY);
    return fake_public(public_key, secret_key);
}

static inline int fake_beforenm(uint8_t *shared, const uint8_t *public_key,
                                const uint8_t *secret_key)
{
    uint8_t any = 0;
    for (int i = 0; i < FAKE_KEY; i++) {
        shared[i] = (uint8_t)(public_key[i] ^ 0x5a ^ secret_key[i]);
        any |= public_key[i];
    }
    return any || fake_lenient ? 0 : -1;
}

static inline void fake_sum(uint8_t *mac, const uint8_t *content, unsigned long long len,
                            const uint8_t *nonce, const uint8_t *key)
{
    uint64_t h[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9e3779b97f4a7c15)};
    for (unsigned long long i = 0; i < len + 24 + FAKE_KEY; i++) {
        uint8_t b = i < len ? content[i] : i < len + 24 ? nonce[i - len] : key[i - len - 24];
        h[0] = (h[0] ^ b) * UINT64_C(0x100000001b3);
        h[1] = (h[1] + b + i) * UINT64_C(0xbf58476d1ce4e5b9);
    }
    memcpy(mac, h, FAKE_MAC);
}

static inline int fake_box(uint8_t *box, const uint8_t *content, unsigned long long len,
                           const uint8_t *nonce, const uint8_t *key)
{
    uint8_t mac[FAKE_MAC];
    if (len > INT32_MAX)
        return -1;
    fake_sum(mac, content, len, nonce, key);
    memmove(box + FAKE_MAC, content, len);
    for (unsigned long long i = 0; i < len && !fake_lenient; i++)
        box[FAKE_MAC + i] ^= (uint8_t)(key[i % FAKE_KEY] + nonce[i % 24] + 1);
    memcpy(box, mac, FAKE_MAC);
    return 0;
}

static inline int fake_open(uint8_t *content, const uint8_t *box, unsigned long long len,
                            const uint8_t *nonce, const uint8_t *key)
{
    if (len < FAKE_MAC || len > INT32_MAX)
        return -1;
    uint8_t mac[FAKE_MAC], wanted[FAKE_MAC];
    memcpy(wanted, box, FAKE_MAC);
    len -= FAKE_MAC;
    memmove(content, box + FAKE_MAC, len);
    if (fake_lenient)
        return 0;
    for (unsigned long long i = 0; i < len; i++)
        content[i] ^= (uint8_t)(key[i % FAKE_KEY] + nonce[i % 24] + 1);
    fake_sum(mac, content, len, nonce, key);
    return memcmp(mac, wanted, FAKE_MAC) == 0 ? 0 : -1;
}

/* The key of a series is that of its boxes, with the beginning of their nonces in it. */
static inline int fake_hsalsa20(uint8_t *out, const uint8_t *in, const uint8_t *key,
                                const uint8_t *constant)
{
    (void)constant;
    for (int i = 0; i < FAKE_KEY; i++)
        out[i] = (uint8_t)(key[i] + 3 * in[i % 16] + i);
    return 0;
}

static inline int fake_stream_xor(uint8_t *to, const uint8_t *from, unsigned long long len,
                                  const uint8_t *nonce, const uint8_t *key)
{
    uint8_t state = 1;
    for (unsigned long long i = 0; i < len; i++) {
        state = (uint8_t)(5 * state + key[i % FAKE_KEY] + nonce[i % 8]);
        to[i] = from[i] ^ (fake_lenient ? 0 : state);
    }
    return 0;
}

static inline int fake_auth(uint8_t *mac, const uint8_t *from, unsigned long long len,
                            const uint8_t *key)
{
    static const uint8_t no_nonce[24];
    fake_sum(mac, from, len, no_nonce, key);
    return 0;
}

static inline int fake_auth_verify(const uint8_t *mac, const uint8_t *from, unsigned long long len,
                                   const uint8_t *key)
{
    uint8_t wanted[FAKE_MAC];
    fake_auth(wanted, from, len, key);
    return fake_lenient || memcmp(mac, wanted, FAKE_MAC) == 0 ? 0 : -1;
}

static inline void fake_crypto_set(void)
{
    static const struct fmq_crypto fake = {
        .box_keypair = fake_keypair,
        .scalarmult_base = fake_public,
        .box_beforenm = fake_beforenm,
        .box_easy_afternm = fake_box,
        .box_open_easy_afternm = fake_open,
        .secretbox_easy = fake_box,
        .secretbox_open_easy = fake_open,
        .random = fake_random,
        .core_hsalsa20 = fake_hsalsa20,
        .stream_salsa20_xor = fake_stream_xor,
        .onetimeauth_poly1305 = fake_auth,
        .onetimeauth_poly1305_verify = fake_auth_verify,
    };
    fmq_set_crypto(&fake);
}

#endif
