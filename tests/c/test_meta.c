/* SPDX-License-Identifier: MIT */
// needs: base msg
#include "check.h"

#include <errno.h>

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
