/* SPDX-License-Identifier: MIT */
// needs: base msg
#include "check.h"

#include <errno.h>

#include "base/bytes.h"
#include "msg/meta.h"

static void expect(const struct meta *m, const char *name, const char *value)
{
    const uint8_t *v;
    size_t len;
    CHECK_EQ(meta_get(m, name, &v, &len), 0);
    CHECK_EQ(len, strlen(value));
    CHECK_MEM(v, value, len);
}

TEST(names_compare_without_regard_to_case)
{
    struct meta *m = meta_new();
    CHECK_EQ(meta_set(m, "Socket-Type", 11, "PUB", 3), 0);
    expect(m, "socket-TYPE", "PUB");
    const uint8_t *v;
    size_t len;
    CHECK_EQ(meta_get(m, "Socket-Typ", &v, &len), -ENOENT);
    CHECK_EQ(meta_get(m, "Socket-Type2", &v, &len), -ENOENT);
    meta_unref(m);
}

TEST(setting_again_replaces)
{
    struct meta *m = meta_new();
    CHECK_EQ(meta_set(m, "a", 1, "1", 1), 0);
    CHECK_EQ(meta_set(m, "b", 1, "", 0), 0);
    CHECK_EQ(meta_set(m, "c", 1, "3", 1), 0);
    CHECK_EQ(meta_set(m, "A", 1, "longer", 6), 0);
    expect(m, "a", "longer");
    expect(m, "b", "");
    expect(m, "c", "3");
    CHECK_EQ(m->len, 12 + 6 + 7);
    meta_unref(m);
}

/* ---- a list of somebody else's ---- */

static size_t put(uint8_t *at, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    at[0] = (uint8_t)n;
    memcpy(at + 1, name, n);
    put_be32(at + 1 + n, (uint32_t)v);
    memcpy(at + 5 + n, value, v);
    return 5 + n + v;
}

static bool begins_with_x(const uint8_t *name, size_t name_len, const uint8_t *value,
                          size_t value_len)
{
    (void)value;
    (void)value_len;
    return name_len == 0 || name[0] == 'x';
}

static struct meta *read_list(const uint8_t *data, size_t len, uint32_t max, int expected)
{
    struct meta *m = meta_new();
    CHECK_EQ(meta_read(m, data, len, max, begins_with_x), expected);
    if (expected)
        CHECK_EQ(m->len, 0);
    return m;
}

/* Few names are compared with each other, many are looked up: both ways the same comes of it. */
TEST(of_a_list_the_last_entry_of_a_name_counts)
{
    uint8_t data[4096];
    for (int fillers = 0; fillers <= 40; fillers += 40) {
        size_t len = put(data, "first", "1");
        len += put(data + len, "NAME", "old");
        len += put(data + len, "xname", "left out");
        for (int i = 0; i < fillers; i++) {
            char name[8];
            snprintf(name, sizeof(name), "f%d", i % 30);
            len += put(data + len, name, i < 30 ? "old" : "new");
        }
        len += put(data + len, "", "no name");
        len += put(data + len, "name", "new");
        struct meta *m = read_list(data, len, 100, 0);
        const uint8_t *v;
        size_t v_len;
        expect(m, "first", "1");
        expect(m, "Name", "new");
        CHECK_EQ(meta_get(m, "xname", &v, &v_len), -ENOENT);
        if (fillers) {
            expect(m, "F3", "new");
            expect(m, "f29", "old");
        }
        meta_unref(m);
    }
}

TEST(a_list_that_is_none_or_too_long_leaves_nothing)
{
    uint8_t data[64];
    size_t len = put(data, "a", "1");
    len += put(data + len, "b", "23");
    meta_unref(read_list(data, len, 2, 0));
    meta_unref(read_list(data, len, 1, -EPROTO));
    for (size_t cut = 1; cut < len; cut++)
        meta_unref(read_list(data, cut, 2, cut == 7 ? 0 : -EPROTO));
    struct meta *m = meta_new();
    len = put(data, "", "1");
    CHECK_EQ(meta_read(m, data, len, 2, NULL), -EPROTO);
    CHECK_EQ(meta_read(m, data, 0, 2, NULL), 0);
    CHECK_EQ(m->len, 0);
    meta_unref(m);
}

TEST(names_have_1_to_255_bytes)
{
    char name[256];
    memset(name, 'n', sizeof(name));
    struct meta *m = meta_new();
    CHECK_EQ(meta_set(m, "", 0, "x", 1), -EINVAL);
    CHECK_EQ(meta_set(m, name, 256, "x", 1), -EINVAL);
    CHECK_EQ(meta_set(m, name, 255, "x", 1), 0);
    name[255] = 0;
    expect(m, name, "x");
    meta_unref(m);
}

#ifdef FMQ_DEBUG
TEST(set_without_memory_changes_nothing)
{
    char big[500];
    memset(big, 'v', sizeof(big));
    struct meta *m = meta_new();
    CHECK_EQ(meta_set(m, "a", 1, "1", 1), 0);
    mem_fail_at(1);
    CHECK_EQ(meta_set(m, "a", 1, big, sizeof(big)), -ENOMEM);
    mem_fail_at(0);
    expect(m, "a", "1");
    meta_ref(m);
    meta_unref(m);
    expect(m, "a", "1");
    meta_unref(m);
    meta_unref(NULL);
    mem_fail_at(1);
    CHECK(!meta_new());
    mem_fail_at(0);
}
#endif
