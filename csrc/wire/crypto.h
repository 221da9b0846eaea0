/* SPDX-License-Identifier: MIT */
/*
 * The primitives that CURVE needs. There are none here: the host sets a table of functions of a
 * library (fmq_set_crypto), once and before the first use. They are called with no host lock held.
 */
#ifndef WIRE_CRYPTO_H
#define WIRE_CRYPTO_H

#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "include/fastmq.h"

#define CRYPTO_KEY 32   /* public, secret and shared keys */
#define CRYPTO_NONCE 24 /* of a box */
#define CRYPTO_MAC 16   /* what a box is longer than its content */

/* NULL while none was set. */
const struct fmq_crypto *crypto_get(void);

#define CRYPTO_BEGIN 16 /* of a nonce that ends with a counter: what its boxes are for */

static inline void crypto_counter_nonce(uint8_t *nonce, const void *begin, uint64_t counter)
{
    memcpy(nonce, begin, CRYPTO_BEGIN);
    put_be64(nonce + CRYPTO_BEGIN, counter);
}

/*
 * A key for many boxes whose nonces begin alike and end with a counter. XSalsa20 derives a key of
 * Salsa20 from the box's key and the first 16 bytes of the nonce, for each box anew; here that is
 * done once, which saves a third of what a short message costs. The boxes are the same.
 */
struct crypto_series {
    uint8_t key[CRYPTO_KEY];
    uint8_t begin[CRYPTO_BEGIN]; /* of the nonces */
};

void crypto_series_init(struct crypto_series *s, const uint8_t *shared, const char *begin);

/* A box is made and opened where it lies: this much space, then the content. Made, its MAC takes
 * the later half of that space; the former half is overwritten in both. */
#define CRYPTO_SPACE 32
void crypto_encrypt(const struct crypto_series *s, uint8_t *space, size_t len, uint64_t counter);
/* Non-zero: it is not authentic. */
int crypto_decrypt(const struct crypto_series *s, uint8_t *space, size_t len, uint64_t counter);

#endif
