/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include <errno.h>

#include "base/map.h"

static int values[1000];

TEST(a_new_map_holds_nothing)
{
    struct map m;
    map_init(&m);
    size_t pos = 0, len;
    const void *key;
    CHECK(map_get(&m, "a", 1) == NULL);
    CHECK(map_del(&m, "a", 1) == NULL);
    CHECK(map_next(&m, &pos, &key, &len) == NULL);
    CHECK(map_next(&m, &pos, &key, &len) == NULL);
    map_fini(&m);
}

TEST(keys_are_copied_and_compared_by_bytes)
{
    struct map m;
    map_init(&m);
    char key[] = "ab";
    CHECK_EQ(map_put(&m, key, 2, &values[0]), 0);
    key[0] = 'x';
    CHECK(map_get(&m, "ab", 2) == &values[0]);
    CHECK(map_get(&m, "xb", 2) == NULL);
    CHECK(map_get(&m, "a", 1) == NULL);
    CHECK(map_get(&m, "ab\0", 3) == NULL);
    CHECK_EQ(map_put(&m, "ab\0", 3, &values[1]), 0);
    CHECK_EQ(map_put(&m, NULL, 0, &values[2]), 0);
    CHECK(map_get(&m, "ab\0", 3) == &values[1]);
    CHECK(map_get(&m, "", 0) == &values[2]);
    CHECK(map_del(&m, NULL, 0) == &values[2]);
    CHECK_EQ(m.len, 2);
    map_fini(&m);
    CHECK_EQ(m.len, 0);
}

TEST(a_second_put_leaves_the_first_value)
{
    struct map m;
    map_init(&m);
    CHECK_EQ(map_put(&m, "k", 1, &values[0]), 0);
    CHECK_EQ(map_put(&m, "k", 1, &values[1]), -EEXIST);
    CHECK(map_get(&m, "k", 1) == &values[0]);
    CHECK_EQ(m.len, 1);
    map_fini(&m);
}

TEST(slots_follow_the_number_of_entries_up_and_down)
{
    struct map m;
    map_init(&m);
    for (uint32_t i = 0; i < 10000; i++)
        CHECK_EQ(map_put(&m, &i, sizeof(i), values), 0);
    CHECK(m.cap >= 8192 && m.cap <= 32768);
    for (uint32_t i = 0; i < 10000; i++)
        CHECK(map_get(&m, &i, sizeof(i)) == values);
    for (uint32_t i = 0; i < 9990; i++)
        CHECK(map_del(&m, &i, sizeof(i)) == values);
    CHECK(m.cap <= 64);
    for (uint32_t i = 9990; i < 10000; i++)
        CHECK(map_get(&m, &i, sizeof(i)) == values);
    map_fini(&m);
}

TEST(a_walk_visits_every_entry_once_and_may_delete_it)
{
    for (int mode = 0; mode < 3; mode++) { /* delete none, some, all */
        struct map m;
        map_init(&m);
        bool seen[1000] = {false};
        for (int i = 0; i < 1000; i++)
            CHECK_EQ(map_put(&m, &i, sizeof(i), &values[i]), 0);
        size_t pos = 0, len, left = 1000;
        const void *key;
        int visited = 0;
        for (int *value; (value = map_next(&m, &pos, &key, &len)); visited++) {
            int i;
            CHECK_EQ(len, sizeof(i));
            memcpy(&i, key, sizeof(i));
            CHECK(value == &values[i]);
            CHECK(!seen[i]);
            seen[i] = true;
            if (mode == 2 || (mode == 1 && check_below(10))) {
                CHECK(map_del(&m, &i, sizeof(i)) == value);
                left--;
            }
        }
        CHECK_EQ(visited, 1000);
        CHECK_EQ(m.len, left);
        CHECK(map_next(&m, &pos, NULL, NULL) == NULL);
        map_fini(&m);
    }
}

/* Keys of 0 to 20 bytes, so that each length of the hash's tail occurs. */
static size_t key_of(size_t number, char key[24])
{
    size_t len = number % 21;
    memset(key, 'k', 24);
    if (len > 0)
        key[len - 1] = (char)(number / 21);
    return len;
}

TEST(random_changes_agree_with_an_array)
{
    struct map m;
    map_init(&m);
    bool in[1000] = {false};
    size_t len = 0, want = 500;
    for (int round = 0; round < 60000; round++) {
        if (round % 5000 == 0)
            want = check_below(1000);
        size_t n = check_below(1000);
        if (n >= 21 * 40) /* the keys are as many as that; length 0 is one key */
            continue;
        if (n % 21 == 0)
            n = 0;
        char key[24];
        size_t key_len = key_of(n, key);
        CHECK(map_get(&m, key, key_len) == (in[n] ? &values[n] : NULL));
        if (len < want) {
            CHECK_EQ(map_put(&m, key, key_len, &values[n]), in[n] ? -EEXIST : 0);
            len += !in[n];
            in[n] = true;
        } else {
            CHECK(map_del(&m, key, key_len) == (in[n] ? &values[n] : NULL));
            len -= in[n];
            in[n] = false;
        }
        CHECK_EQ(m.len, len);
    }
    map_fini(&m);
}

TEST(the_seed_decides_the_order)
{
    char orders[2][100];
    for (int i = 0; i < 2; i++) {
        struct map m;
        map_seed((uint64_t)i + 1);
        map_init(&m);
        for (char c = 0; c < 100; c++)
            CHECK_EQ(map_put(&m, &c, 1, &values[(int)c]), 0);
        size_t pos = 0, at = 0;
        const void *key;
        while (map_next(&m, &pos, &key, NULL))
            orders[i][at++] = *(const char *)key;
        CHECK_EQ(at, 100);
        map_fini(&m);
    }
    CHECK(memcmp(orders[0], orders[1], 100) != 0);
}

#ifdef FMQ_DEBUG
TEST(a_put_without_memory_leaves_the_map_as_it_was)
{
    for (long nth = 1;; nth++) {
        struct map m;
        map_init(&m);
        int failures = 0;
        mem_fail_at(nth);
        for (uint32_t i = 0; i < 100; i++) {
            int rc = map_put(&m, &i, sizeof(i), &values[i]);
            if (rc) {
                CHECK_EQ(rc, -ENOMEM);
                CHECK_EQ(m.len, i);
                CHECK(map_get(&m, &i, sizeof(i)) == NULL);
                failures++;
                CHECK_EQ(map_put(&m, &i, sizeof(i), &values[i]), 0);
            }
            for (uint32_t k = 0; k <= i; k++)
                CHECK(map_get(&m, &k, sizeof(k)) == &values[k]);
        }
        /* A deletion never fails, even when it cannot shrink. */
        for (uint32_t i = 0; i < 100; i++)
            CHECK(map_del(&m, &i, sizeof(i)) == &values[i]);
        CHECK_EQ(m.len, 0);
        map_fini(&m);
        CHECK(failures <= 1);
        if (nth > 120) /* 100 entries and at most 9 resizes */
            break;
    }
}

TEST(a_map_that_cannot_grow_still_works)
{
    struct map m;
    map_init(&m);
    for (uint32_t i = 0; i < 500; i++) {
        if (i >= 8)
            mem_fail_at(2); /* the entry is made, larger slots are not */
        CHECK_EQ(map_put(&m, &i, sizeof(i), &values[i]), 0);
    }
    mem_fail_at(0);
    CHECK_EQ(m.cap, 8);
    for (uint32_t i = 0; i < 500; i++)
        CHECK(map_get(&m, &i, sizeof(i)) == &values[i]);
    map_fini(&m);
}
#endif
