/* SPDX-License-Identifier: MIT */
/* Handling of secrets: wiping that the compiler cannot leave out, comparing without a telltale. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void secret_wipe(void *mem, size_t len)
{
    if (len)
        memset(mem, 0, len);
    /* The compiler must take it that somebody reads the zeros. */
    __asm__ volatile("" : : "r"(mem) : "memory");
}

/* Takes as long for any two values of that length. */
static inline bool secret_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++)
        differ |= (uint8_t)(x[i] ^ y[i]);
    return differ == 0;
}

#endif
