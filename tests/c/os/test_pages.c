/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include "os/pages.h"

TEST(memory_that_is_to_be_filled_soon_keeps_its_bytes)
{
    static const size_t sizes[] = {0, 1, 4095, (size_t)2 << 20, ((size_t)9 << 20) + 3};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        unsigned char *p = mem_alloc(sizes[i] + 2);
        CHECK(p);
        memset(p, 5, sizes[i] + 2);
        pages_fill_soon(p + 1, sizes[i]);
        for (size_t at = 0; at < sizes[i] + 2; at++)
            CHECK_EQ(p[at], 5);
        mem_free(p);
    }
}
