/* SPDX-License-Identifier: MIT */
#include "wire/crypto.h"

#include <stdatomic.h>

static struct fmq_crypto table;
static _Atomic(const struct fmq_crypto *) current;

const struct fmq_crypto *crypto_get(void)
{
    return atomic_load_explicit(&current, memory_order_acquire);
}

void fmq_set_crypto(const struct fmq_crypto *functions)
{
    /* Once: connections may be using it. */
    if (crypto_get())
        return;
    table = *functions;
    atomic_store_explicit(&current, &table, memory_order_release);
}
