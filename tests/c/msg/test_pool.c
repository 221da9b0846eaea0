/* SPDX-License-Identifier: MIT */
// needs: base msg
#include "check.h"

#include <errno.h>

#include "msg/msg.h"
#include "msg/pool.h"

TEST(chunk_is_at_least_as_large_as_asked)
{
    static const size_t asked[] = {
        0, 1, CHUNK_SMALL, CHUNK_SMALL + 1, CHUNK_MEDIUM, CHUNK_LARGE, CHUNK_LARGE + 1};
    static const size_t given[] = {CHUNK_SMALL,  CHUNK_SMALL, CHUNK_SMALL,    CHUNK_MEDIUM,
                                   CHUNK_MEDIUM, CHUNK_LARGE, CHUNK_LARGE + 1};
    struct pool *p;
    CHECK_EQ(pool_create(&p), 0);
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        struct chunk *c = chunk_get(p, asked[i]);
        CHECK(c);
        CHECK_EQ(c->cap, given[i]);
        CHECK(chunk_sole(c));
        memset(c->data, 0x5a, c->cap);
        chunk_unref(c, 1);
    }
    pool_release(p);
}

TEST(recycled_chunk_is_given_out_again)
{
    struct pool *p;
    CHECK_EQ(pool_create(&p), 0);
    struct chunk *a = chunk_get(p, CHUNK_SMALL);
    chunk_ref(a, 5);
    CHECK(!chunk_sole(a));
    chunk_unref(a, 5);
    CHECK(chunk_sole(a));
    chunk_unref(a, 1);
    long live = mem_live();
    struct chunk *b = chunk_get(p, 100);
    CHECK(a == b);
    CHECK_EQ(mem_live(), live);
    chunk_unref(b, 1);
    pool_release(p);
}

TEST(free_chunks_are_bounded)
{
    struct pool *p;
    struct chunk *c[100];
    CHECK_EQ(pool_create(&p), 0);
    long before = mem_live();
    for (int i = 0; i < 100; i++)
        CHECK((c[i] = chunk_get(p, CHUNK_SMALL)) != NULL);
    for (int i = 0; i < 100; i++)
        chunk_unref(c[i], 1);
    CHECK(mem_live() - before <= 32);
    pool_release(p);
}

TEST(chunks_outlive_the_release_of_their_pool)
{
    struct pool *p;
    CHECK_EQ(pool_create(&p), 0);
    struct chunk *a = chunk_get(p, CHUNK_SMALL);
    struct chunk *b = chunk_get(p, CHUNK_LARGE);
    pool_release(p);
    memset(a->data, 1, a->cap);
    chunk_unref(a, 1);
    memset(b->data, 1, b->cap);
    chunk_unref(b, 1);
}

#ifdef FMQ_DEBUG
TEST(pool_without_memory_says_so)
{
    struct pool *p;
    mem_fail_at(1);
    CHECK_EQ(pool_create(&p), -ENOMEM);
    CHECK_EQ(pool_create(&p), 0);
    mem_fail_at(1);
    CHECK(!chunk_get(p, 1));
    CHECK(!chunk_get(p, SIZE_MAX));
    mem_fail_at(0);
    pool_release(p);
}
#endif

TEST(pool_tells_how_much_memory_it_has_and_how_much_waits)
{
    struct pool *p;
    size_t spare;
    CHECK_EQ(pool_create(&p), 0);
    CHECK_EQ(pool_memory(p, &spare), 0);
    CHECK_EQ(spare, 0);
    struct chunk *small = chunk_get(p, CHUNK_SMALL), *huge = chunk_get(p, CHUNK_LARGE + 1);
    CHECK_EQ(pool_memory(p, &spare), CHUNK_SMALL + CHUNK_LARGE + 1);
    CHECK_EQ(spare, 0);
    chunk_unref(small, 1);
    chunk_unref(huge, 1); /* of no class: not kept */
    CHECK_EQ(pool_memory(p, &spare), CHUNK_SMALL);
    CHECK_EQ(spare, CHUNK_SMALL);
    struct msg m;
    msg_init_own_blob(&m, blob_pooled(p, 100000), 100000);
    CHECK_EQ(pool_memory(p, &spare), CHUNK_SMALL);
    msg_drop(&m);
    size_t with_blob = pool_memory(p, &spare);
    CHECK(with_blob >= CHUNK_SMALL + 100000);
    CHECK_EQ(spare, with_blob);
    msg_init_own_blob(&m, blob_pooled(p, 100000), 100000); /* the spare one */
    CHECK_EQ(pool_memory(p, &spare), CHUNK_SMALL);
    msg_drop(&m);
    pool_release(p);
}
