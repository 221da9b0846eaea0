/* SPDX-License-Identifier: MIT */
// needs: base msg wire
#include "check.h"

#include "wire/datagram.h"
#include "wire/outq.h"
#include "wire/outq_drain.h"

TEST(a_datagram_is_a_length_a_group_and_a_body)
{
    struct datagram d;
    CHECK(datagram_parse((const uint8_t *)"\5groupbody", 10, &d));
    CHECK_EQ(d.group_len, 5);
    CHECK_MEM(d.group, "group", 5);
    CHECK_EQ(d.body_len, 4);
    CHECK_MEM(d.body, "body", 4);
    CHECK_EQ(datagram_size(5, 4), 10);
}

TEST(group_and_body_may_be_empty)
{
    struct datagram d;
    CHECK(datagram_parse((const uint8_t *)"\0", 1, &d));
    CHECK_EQ(d.group_len, 0);
    CHECK_EQ(d.body_len, 0);
    CHECK(datagram_parse((const uint8_t *)"\2ab", 3, &d));
    CHECK_EQ(d.group_len, 2);
    CHECK_EQ(d.body_len, 0);
}

TEST(a_length_beyond_the_end_is_no_datagram)
{
    struct datagram d;
    uint8_t data[256];
    memset(data, 'x', sizeof(data));
    CHECK(!datagram_parse(data, 0, &d));
    for (unsigned group = 0; group < 256; group++) {
        data[0] = (uint8_t)group;
        for (size_t len = 1; len <= sizeof(data); len++)
            CHECK_EQ(datagram_parse(data, len, &d), group < len);
    }
}

/* The frames that a walk finds are those that are taken afterwards, and taking by what the walk
 * says keeps the counts. */
TEST(a_walk_finds_the_frames_that_are_taken)
{
    static uint8_t source[40000];
    struct pool *pool;
    struct outq q;
    CHECK_EQ(pool_create(&pool), 0);
    outq_init(&q, pool);
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (uint8_t)(i * 7);
    for (int round = 0; round < 200; round++) {
        uint32_t count = 1 + (uint32_t)check_below(40);
        for (uint32_t i = 0; i < count; i++) {
            struct msg parts[2];
            size_t group = check_below(256);
            size_t body = check_below(8) ? check_below(300) : check_below(sizeof(source));
            msg_init_borrowed(&parts[0], source, group, NULL);
            msg_init_borrowed(&parts[1], source, body, NULL);
            parts[0].flags = parts[1].flags = PART_NOREF;
            CHECK_EQ(outq_put(&q, parts, 2), 0);
        }
        while (q.bytes) {
            struct outq_walk w;
            struct outq_frame f;
            uint32_t want = 1 + (uint32_t)check_below(64), seen = 0, msgs = q.msgs;
            size_t total = 0;
            outq_walk_begin(&q, &w);
            while (seen < want && outq_walk_next(&w, &f)) {
                total += f.total;
                CHECK(f.size <= f.total);
                CHECK_MEM(f.data, source, f.size);
                if (!(f.flags & PART_MORE))
                    seen++;
            }
            CHECK_EQ(seen, want < msgs ? want : msgs);
            outq_sent(&q, total);
            CHECK_EQ(q.msgs, msgs - seen);
        }
        struct outq_walk w;
        struct outq_frame f;
        outq_walk_begin(&q, &w);
        CHECK(!outq_walk_next(&w, &f));
    }
    outq_fini(&q);
    pool_release(pool);
}
