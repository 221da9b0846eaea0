/* SPDX-License-Identifier: MIT */
/*
 * The primitives that CURVE needs. There are none here: the host sets a table of functions of a
 * library (fmq_set_crypto), once and before the first use. They are called with no host lock held.
 */
#ifndef WIRE_CRYPTO_H
#define WIRE_CRYPTO_H

#include "include/fastmq.h"

#define CRYPTO_KEY 32   /* public, secret and shared keys */
#define CRYPTO_NONCE 24 /* of a box */
#define CRYPTO_MAC 16   /* what a box is longer than its content */

/* NULL while none was set. */
const struct fmq_crypto *crypto_get(void);

#endif
