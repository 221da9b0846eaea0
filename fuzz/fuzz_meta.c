/* SPDX-License-Identifier: MIT */
/*
 * A list of properties, read at once and entry by entry: the same comes of it. Input: the most
 * entries, the allocation that fails (0: none), then the list.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "fuzz.h"
#include "msg/meta.h"

/* So that some are left out, some of them without a name. */
static bool is_odd(const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
    return name_len == 0 || name[0] == 'o' || (value_len && value[0] == 0);
}

/* One by one, each looked for among all before it. */
static int model(struct meta *m, const uint8_t *data, size_t len, uint32_t max)
{
    struct cursor c = {data, len};
    for (uint32_t count = 0; c.left; count++) {
        uint8_t name_len;
        uint32_t value_len;
        const uint8_t *name, *value;
        if (count == max || !cursor_u8(&c, &name_len) || !cursor_take(&c, name_len, &name) ||
            !cursor_be32(&c, &value_len) || !cursor_take(&c, value_len, &value))
            return -EPROTO;
        if (!is_odd(name, name_len, value, value_len))
            CHECK_EQ(meta_set(m, (const char *)name, name_len, value, value_len), 0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint32_t max = input_u8(&in) * 2;
    long failing = input_u8(&in);
    long live = mem_live();
    struct meta *expected = meta_new(), *m = meta_new();
    if (!expected || !m)
        abort();
    int rc = model(expected, in.at, in.left, max);
    mem_fail_at(failing);
    int got = meta_read(m, in.at, in.left, max, is_odd);
    mem_fail_at(0);
    CHECK(got == rc || (got == -ENOMEM && failing));
    if (got) {
        CHECK_EQ(m->len, 0);
    } else {
        CHECK_EQ(m->len, expected->len);
        CHECK(m->len == 0 || memcmp(m->buf, expected->buf, m->len) == 0);
    }
    meta_unref(m);
    meta_unref(expected);
    CHECK_EQ(mem_live(), live);
    return 0;
}
