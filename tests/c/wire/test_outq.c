/* SPDX-License-Identifier: MIT */
// needs: base msg wire
#include "check.h"

#include "outq_model.h"

static uint8_t source[200000];

static size_t some_size(void)
{
    switch (check_below(12)) {
    case 0:
        return 0;
    case 1:
        return 254 + check_below(4);
    case 2:
        return OUTQ_COPY_MAX - 1 + check_below(3);
    case 3:
        return check_below(100000);
    case 4:
    case 5:
        return check_below(5000);
    default:
        return check_below(200);
    }
}

static void put_random_message(struct outq *q)
{
    struct msg parts[5];
    uint32_t n = 1 + (uint32_t)(check_below(3) ? 0 : check_below(5));
    size_t sizes[5];
    const uint8_t *from[5];
    for (uint32_t i = 0; i < n; i++) {
        sizes[i] = some_size();
        from[i] = source + check_below(1000);
        if (check_below(2))
            msg_init_borrowed(&parts[i], from[i], sizes[i], NULL);
        else
            CHECK_EQ(msg_init_copy(&parts[i], from[i], sizes[i]), 0);
    }
    if (check_below(4) == 0)
        mem_fail_at((long)(1 + check_below(4)));
    int rc = outq_put(q, parts, n);
    mem_fail_at(0);
    for (uint32_t i = 0; i < n; i++) {
        if (rc == 0)
            model_add(i + 1 < n ? FRAME_MORE : 0, from[i], sizes[i]);
        else
            msg_drop(&parts[i]);
    }
}

/* A message framed in the log, which other queues may have used in between. */
static void put_span(struct outq *q, struct outlog *log)
{
    struct outspan span;
    struct msg parts[3];
    uint32_t n = 1 + (uint32_t)check_below(3);
    for (uint32_t p = 0; p < n; p++)
        msg_init_borrowed(&parts[p], source + check_below(1000), some_size() % 5000, NULL);
    if (check_below(3) == 0)
        CHECK_EQ(outlog_put(log, parts, 1, &span), 0);
    CHECK_EQ(outlog_put(log, parts, n, &span), 0);
    mem_fail_at(check_below(4) == 0);
    int rc = outq_put_span(q, &span);
    mem_fail_at(0);
    for (uint32_t p = 0; rc == 0 && p < n; p++)
        model_add(p + 1 < n ? FRAME_MORE : 0, msg_data(&parts[p]), msg_size(&parts[p]));
}

/* The frames from `from` on come first. */
static void model_rotate(size_t from)
{
    static struct model_frame late[4096];
    memcpy(late, model.f, from * sizeof(model.f[0]));
    memmove(model.f, model.f + from, (model.n - from) * sizeof(model.f[0]));
    memcpy(model.f + (model.n - from), late, from * sizeof(model.f[0]));
}

/* Some messages before those that are queued. */
static void put_first(struct outq *q)
{
    struct outq later;
    size_t before = model.n;
    bool aside = outq_set_aside(q, &later);
    CHECK_EQ(aside, before && !model.gone && !model.mid_msg);
    for (uint64_t i = check_below(4); i; i--)
        put_random_message(q);
    if (!aside)
        return;
    outq_append(q, &later);
    model_rotate(before);
}

/* With `spans` messages come from a log as well; such a queue is never cut back to the newest. */
static void random_walk(int steps, bool spans)
{
    struct pool *pool;
    struct outq q;
    struct outlog log;
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (uint8_t)check_rand();
    CHECK_EQ(pool_create(&pool), 0);
    outq_init(&q, pool);
    outlog_init(&log, pool);
    for (int s = 0; s < steps; s++) {
        size_t size = some_size();
        const uint8_t *from = source + check_below(1000);
        switch (check_below(13)) {
        case 0:
        case 1:
            if (spans && check_below(4))
                put_span(&q, &log);
            else
                put_random_message(&q);
            break;
        case 2:
        case 3:
        case 4:
            CHECK_EQ(outq_put_copy(&q, from, size), 0);
            model_add(0, from, size);
            break;
        case 5:
            /* Commands are put between messages only. */
            if (check_below(2)) {
                CHECK_EQ(outq_put_command(&q, from, 5, from + 5, size), 0);
                model_add(FRAME_COMMAND, from, 5 + size);
            } else {
                CHECK_EQ(outq_put_pair(&q, from, 1, from + 1, size), 0);
                model_add(0, from, 1 + size);
            }
            break;
        case 6:
        case 7:
        case 8:
        case 9: {
            size_t n = check_below(q.bytes + 1);
            if (check_below(3) == 0)
                n = q.bytes;
            else if (check_below(2) && q.bytes)
                n = check_below(q.bytes < 20 ? q.bytes : 20) + 1;
            outq_sent(&q, n);
            model_sent(n);
            break;
        }
        case 10:
            if (check_below(4))
                break;
            outq_rewind(&q);
            model_rewind();
            break;
        case 11: {
            if (spans || check_below(4)) {
                outq_trim(&q);
                break;
            }
            size_t inflight = check_below(q.bytes + 1);
            if (check_below(2))
                inflight = 0;
            outq_drop_pending(&q, inflight);
            model_drop_pending(inflight);
            break;
        }
        case 12:
            put_first(&q);
            break;
        }
        model_compare(&q);
    }
    outq_fini(&q);
    outlog_fini(&log);
    model_clear();
    pool_release(pool);
}

TEST(bytes_and_counts_agree_with_a_naive_model)
{
    for (int i = 0; i < 25; i++)
        random_walk(400, i % 2);
}

TEST(what_is_framed_once_for_many_queues_reaches_each)
{
    struct pool *pool;
    struct outq q[3];
    struct outlog log;
    CHECK_EQ(pool_create(&pool), 0);
    outlog_init(&log, pool);
    for (int i = 0; i < 3; i++)
        outq_init(&q[i], pool);
    for (int round = 0; round < 1000; round++) {
        struct msg m[2];
        struct outspan span;
        msg_init_borrowed(&m[0], "topic", 5, NULL);
        msg_init_borrowed(&m[1], "body of it", 10, NULL);
        CHECK_EQ(outlog_put(&log, m, 2, &span), 0);
        for (int i = 0; i < 3; i++)
            if (i < 2 || round % 2)
                CHECK_EQ(outq_put_span(&q[i], &span), 0);
    }
    struct iovec iov[600];
    /* The first two got all, one behind the other: one piece. The third has a piece a message. */
    CHECK_EQ(outq_iov(&q[0], iov, 600), 1);
    CHECK_EQ(iov[0].iov_len, 1000u * 19);
    CHECK_EQ(outq_iov(&q[2], iov, 600), 500);
    CHECK_MEM(iov[499].iov_base, "\1\5topic\0\12body of it", 19);
    CHECK_EQ(q[2].msgs, 500u);
    outq_fini(&q[0]); /* the others still hold the memory */
    outlog_fini(&log);
    outq_sent(&q[1], 19 * 999 + 3);
    CHECK_EQ(q[1].msgs, 1u);
    CHECK_EQ(outq_iov(&q[1], iov, 1), 1);
    CHECK_MEM(iov[0].iov_base, "opic", 4);
    outq_rewind(&q[1]);
    CHECK(outq_empty(&q[1]));
    outq_fini(&q[1]);
    outq_fini(&q[2]);
    pool_release(pool);
}

TEST(taken_frames_are_the_frames_put)
{
    struct pool *pool;
    struct outq q;
    CHECK_EQ(pool_create(&pool), 0);
    outq_init(&q, pool);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 20; i++)
            put_random_message(&q);
        CHECK_EQ(outq_put_command(&q, "\4PING", 5, "xx", 2), 0);
        model_add(FRAME_COMMAND, (const uint8_t *)"\4PINGxx", 7);
        size_t leave = check_below(20);
        while (model.n > leave) {
            struct msg m;
            mem_fail_at(check_below(3) == 0);
            int rc = outq_take(&q, &m);
            mem_fail_at(0);
            if (rc == -ENOMEM)
                continue;
            CHECK_EQ(rc, 1);
            CHECK_EQ(m.flags, model.f[0].flags);
            size_t head = model.f[0].bytes[0] & FRAME_LONG ? 9 : 2;
            CHECK_EQ(msg_size(&m), model.f[0].len - head);
            CHECK_MEM(msg_data(&m), model.f[0].bytes + head, msg_size(&m));
            msg_drop(&m);
            model_pop();
            model_compare(&q);
        }
        if (leave == 0) {
            struct msg m;
            CHECK_EQ(outq_take(&q, &m), 0);
        }
    }
    outq_fini(&q);
    model_clear();
    pool_release(pool);
}

TEST(empty_queue_gives_all_memory_back_when_trimmed)
{
    struct pool *pool;
    struct outq q;
    CHECK_EQ(pool_create(&pool), 0);
    outq_init(&q, pool);
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(outq_put_copy(&q, source, 64), 0);
    outq_sent(&q, q.bytes);
    CHECK(q.head && q.head == q.tail);
    outq_trim(&q);
    CHECK(!q.head && !q.tail);
    outq_fini(&q);
    pool_release(pool);
}

#ifdef FMQ_DEBUG
TEST(put_without_memory_appends_nothing)
{
    struct pool *pool;
    struct outq q;
    static uint8_t big[40000];
    int failed = 0;
    CHECK_EQ(pool_create(&pool), 0);
    outq_init(&q, pool);
    for (long nth = 1; nth < 6; nth++) {
        struct msg parts[3];
        msg_init_borrowed(&parts[0], big, 40000, NULL);
        msg_init_borrowed(&parts[1], big, 3000, NULL);
        msg_init_borrowed(&parts[2], big, 40000, NULL);
        mem_fail_at(nth);
        int rc = outq_put(&q, parts, 3);
        mem_fail_at(0);
        if (rc) {
            failed++;
            CHECK_EQ(rc, -ENOMEM);
            CHECK_EQ(q.bytes, 0);
            CHECK_EQ(q.msgs, 0);
            for (int i = 0; i < 3; i++)
                msg_drop(&parts[i]);
        }
        outq_fini(&q);
    }
    CHECK(failed >= 4);
    pool_release(pool);
}
#endif

TEST(raw_messages_are_counted_one_by_one)
{
    struct pool *pool;
    struct outq q;
    static uint8_t big[40000];
    CHECK_EQ(pool_create(&pool), 0);
    outq_init(&q, pool);
    struct msg m;
    msg_init_borrowed(&m, "abc", 3, NULL);
    CHECK_EQ(outq_put_raw(&q, &m), 0);
    msg_init_borrowed(&m, big, sizeof(big), NULL);
    CHECK_EQ(outq_put_raw(&q, &m), 0);
    msg_init_borrowed(&m, "de", 2, NULL);
    CHECK_EQ(outq_put_raw(&q, &m), 0);
    CHECK_EQ(q.msgs, 3);
    CHECK_EQ(q.bytes, 40005);
    outq_sent(&q, 2);
    CHECK_EQ(q.msgs, 3);
    CHECK_EQ(q.body, 40005);
    outq_sent(&q, 1);
    CHECK_EQ(q.msgs, 2);
    CHECK_EQ(q.body, 40002);
    outq_sent(&q, 39999);
    CHECK_EQ(q.msgs, 2);
    CHECK_EQ(q.body, 40002);
    outq_sent(&q, 2);
    CHECK_EQ(q.msgs, 1);
    CHECK_EQ(q.body, 2);
    struct iovec iov[4];
    CHECK_EQ(outq_iov(&q, iov, 4), 1);
    CHECK_MEM(iov[0].iov_base, "e", 1);
    outq_sent(&q, 1);
    CHECK_EQ(q.msgs, 0);
    CHECK_EQ(outq_put_bytes(&q, big, sizeof(big)), 0);
    CHECK_EQ(q.msgs, 0);
    CHECK_EQ(q.body, 0);
    CHECK_EQ(q.bytes, 40000);
    outq_sent(&q, 39999);
    CHECK_EQ(q.bytes, 1);
    outq_fini(&q);
    pool_release(pool);
}
