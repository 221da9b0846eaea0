/* SPDX-License-Identifier: MIT */
/* CURVE's keys for the host: making them, and their printable form. */
#include "base/error.h"
#include "base/z85.h"
#include "fastmq.h"
#include "wire/crypto.h"

int fmq_z85_encode(char *out, const void *data, size_t size)
{
    if (size % 4)
        return -EINVAL;
    z85_encode(out, data, size);
    return 0;
}

int fmq_z85_decode(void *out, const char *text, size_t len)
{
    return len % 5 ? -EINVAL : z85_decode(out, text, len);
}

int fmq_curve_keypair(uint8_t *public_key, uint8_t *secret_key)
{
    const struct fmq_crypto *lib = crypto_get();
    if (!lib)
        return -ENOTSUP;
    return lib->box_keypair(public_key, secret_key) ? -EINVAL : 0;
}

int fmq_curve_public(uint8_t *public_key, const uint8_t *secret_key)
{
    const struct fmq_crypto *lib = crypto_get();
    if (!lib)
        return -ENOTSUP;
    return lib->scalarmult_base(public_key, secret_key) ? -EINVAL : 0;
}
