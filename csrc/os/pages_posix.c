/* SPDX-License-Identifier: MIT */
#include "os/pages.h"

#include <stdint.h>
#include <sys/mman.h>

void pages_fill_soon(void *at, size_t size)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = (uintptr_t)2 << 20; /* a large page of most machines */
    uintptr_t from = ((uintptr_t)at + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)at + size) & ~(page - 1);
    if (from < end)
        (void)madvise((void *)from, end - from, MADV_HUGEPAGE); /* without it all is as it was */
#else
    (void)at;
    (void)size;
#endif
}
