/* SPDX-License-Identifier: MIT */
// needs: base msg
#include "check.h"

#include <errno.h>

#include "msg/msg.h"
#include "msg/msgring.h"

static int object_refs;
static int released;

static void ref_object(void *object)
{
    *(int *)object += 1;
}

static void release_object(void *object)
{
    *(int *)object -= 1;
}

static void on_release(void *data, void *hint)
{
    (void)data;
    CHECK(hint == &released);
    released++;
}

static void fill(uint8_t *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] = (uint8_t)(i * 7 + 3);
}

TEST(msg_is_32_bytes)
{
    CHECK_EQ(sizeof(struct msg), 32);
}

TEST(copies_are_inline_up_to_24_bytes)
{
    uint8_t d[100];
    fill(d, sizeof(d));
    for (size_t n = 0; n <= sizeof(d); n++) {
        struct msg m;
        CHECK_EQ(msg_init_copy(&m, d, n), 0);
        CHECK_EQ(m.kind, n <= 24 ? MSG_INLINE : MSG_BLOB);
        CHECK_EQ(msg_size(&m), n);
        CHECK_MEM(msg_data(&m), d, n);
        msg_drop(&m);
    }
}

TEST(foreign_memory_is_released_once_with_the_last_reference)
{
    uint8_t d[8];
    struct msg a, b;
    released = 0;
    CHECK_EQ(msg_init_foreign(&a, d, sizeof(d), on_release, &released), 0);
    CHECK_EQ(msg_dup(&b, &a), 0);
    msg_drop(&a);
    CHECK_EQ(released, 0);
    CHECK(msg_data(&b) == d);
    msg_drop(&b);
    CHECK_EQ(released, 1);
#ifdef FMQ_DEBUG
    mem_fail_at(1);
    CHECK_EQ(msg_init_foreign(&a, d, sizeof(d), on_release, &released), -ENOMEM);
    CHECK_EQ(released, 1);
#endif
}

TEST(own_takes_the_object_only_where_the_host_lock_is_held)
{
    uint8_t d[40];
    struct msg m;
    fill(d, sizeof(d));
    msg_set_object_hooks(ref_object, release_object);
    object_refs = 1;
    msg_init_borrowed(&m, d, sizeof(d), &object_refs);
    m.flags = PART_MORE;
    m.routing_id = 77;
    CHECK_EQ(msg_own(&m), 0);
    CHECK_EQ(m.kind, MSG_OBJECT);
    CHECK_EQ(object_refs, 2);
    msg_drop(&m);
    CHECK_EQ(object_refs, 1);

    msg_init_borrowed(&m, d, sizeof(d), &object_refs);
    m.flags = PART_NOREF | PART_MORE;
    m.routing_id = 77;
#ifdef FMQ_DEBUG
    mem_fail_at(1);
    CHECK_EQ(msg_own(&m), -ENOMEM);
    CHECK_EQ(m.kind, MSG_BORROWED);
    mem_fail_at(0);
#endif
    CHECK_EQ(msg_own(&m), 0);
    CHECK_EQ(m.kind, MSG_BLOB);
    CHECK_EQ(m.flags, PART_MORE);
    CHECK_EQ(m.routing_id, 77);
    CHECK_MEM(msg_data(&m), d, sizeof(d));
    CHECK_EQ(object_refs, 1);
    msg_drop(&m);

    msg_init_borrowed(&m, d, 24, NULL);
    CHECK_EQ(msg_own(&m), 0);
    CHECK_EQ(m.kind, MSG_INLINE);
    CHECK_MEM(msg_data(&m), d, 24);
}

TEST(dup_of_an_object_holds_one_reference_for_all)
{
    uint8_t d[40];
    struct msg m, n;
    msg_set_object_hooks(ref_object, release_object);
    object_refs = 2; /* one is the message's */
    msg_init_object(&m, d, sizeof(d), &object_refs);
#ifdef FMQ_DEBUG
    mem_fail_at(1);
    CHECK_EQ(msg_dup(&n, &m), -ENOMEM);
    CHECK_EQ(m.kind, MSG_OBJECT);
    mem_fail_at(0);
#endif
    CHECK_EQ(msg_dup(&n, &m), 0);
    CHECK_EQ(m.kind, MSG_BLOB);
    CHECK(msg_data(&n) == d);
    msg_drop(&m);
    CHECK_EQ(object_refs, 2);
    msg_drop(&n);
    CHECK_EQ(object_refs, 1);
}

TEST(detach_lets_the_chunk_go)
{
    struct pool *p;
    struct msg m, n;
    CHECK_EQ(pool_create(&p), 0);
    for (size_t size = 10; size < 100; size += 50) {
        struct chunk *c = chunk_get(p, 4096);
        fill(c->data, 200);
        chunk_ref(c, 1);
        msg_init_slice(&m, c, c->data + 50, size);
        m.flags = PART_MORE;
        CHECK_EQ(msg_dup(&n, &m), 0);
        CHECK(!chunk_sole(c));
        msg_drop(&n);
#ifdef FMQ_DEBUG
        if (size > MSG_INLINE_MAX) {
            mem_fail_at(1);
            CHECK_EQ(msg_detach(&m), -ENOMEM);
            CHECK_EQ(m.kind, MSG_SLICE);
            mem_fail_at(0);
        }
#endif
        CHECK_EQ(msg_detach(&m), 0);
        CHECK(chunk_sole(c));
        CHECK_EQ(msg_size(&m), size);
        CHECK_MEM(msg_data(&m), c->data + 50, size);
        CHECK_EQ(m.flags, PART_MORE);
        chunk_unref(c, 1);
        msg_drop(&m);
    }
    pool_release(p);
}

static struct msg numbered(uint32_t i, bool more)
{
    struct msg m;
    uint8_t bytes[40] = {0};
    memcpy(bytes, &i, sizeof(i));
    CHECK_EQ(msg_init_copy(&m, bytes, i % 2 ? sizeof(bytes) : sizeof(i)), 0);
    m.flags = more ? PART_MORE : 0;
    return m;
}

static uint32_t number_of(const struct msg *m)
{
    uint32_t i;
    memcpy(&i, msg_data(m), sizeof(i));
    return i;
}

TEST(parts_keep_their_order)
{
    struct parts p;
    parts_init(&p);
    for (uint32_t i = 1; i <= 50; i++) {
        struct msg m = numbered(i, false);
        CHECK_EQ(parts_push(&p, &m), 0);
    }
    struct msg m = numbered(0, false);
    CHECK_EQ(parts_insert(&p, 0, &m), 0);
    m = numbered(99, false);
    CHECK_EQ(parts_insert(&p, p.len, &m), 0);
    CHECK_EQ(p.len, 52);
    parts_remove_front(&p, 3);
    CHECK_EQ(number_of(&p.v[0]), 3);
    CHECK_EQ(number_of(&p.v[48]), 99);
#ifdef FMQ_DEBUG
    m = numbered(1, false);
    while (p.len < p.cap) {
        struct msg e;
        msg_init(&e);
        CHECK_EQ(parts_push(&p, &e), 0);
    }
    mem_fail_at(1);
    CHECK_EQ(parts_push(&p, &m), -ENOMEM);
    mem_fail_at(1);
    CHECK_EQ(parts_grow(&p, UINT32_MAX), -ENOMEM);
    mem_fail_at(0);
    msg_drop(&m);
#endif
    parts_clear(&p);
    CHECK_EQ(p.len, 0);
    parts_fini(&p);
}

TEST(ring_counts_whole_messages_and_rolls_back_unfinished_ones)
{
    struct msgring r;
    msgring_init(&r);
    uint32_t in = 0, out = 0;
    for (int round = 0; round < 500; round++) {
        for (size_t k = check_below(8); k > 0; k--) {
            struct msg m = numbered(in++, false);
            CHECK_EQ(msgring_push(&r, &m), 0);
        }
        for (size_t k = check_below(8); k > 0 && r.len; k--) {
            struct msg m;
            CHECK_EQ(number_of(msgring_peek(&r)), out);
            msgring_pop(&r, &m);
            CHECK_EQ(number_of(&m), out++);
            msg_drop(&m);
        }
        CHECK_EQ(r.len, in - out);
        CHECK_EQ(r.msgs, in - out);
    }
    struct msg m = numbered(1, true);
    CHECK_EQ(msgring_push(&r, &m), 0);
    m = numbered(2, true);
    CHECK_EQ(msgring_push(&r, &m), 0);
    CHECK_EQ(r.len, in - out + 2);
    CHECK_EQ(r.msgs, in - out);
    msgring_rollback(&r);
    CHECK_EQ(r.len, in - out);
    msgring_fini(&r);
#ifdef FMQ_DEBUG
    mem_fail_at(1);
    msg_init(&m);
    CHECK_EQ(msgring_push(&r, &m), -ENOMEM);
    mem_fail_at(0);
#endif
    msg_init(&m);
    CHECK_EQ(msgring_push(&r, &m), 0);
    msgring_trim(&r);
    CHECK_EQ(r.len, 1);
    msgring_pop(&r, &m);
    msgring_trim(&r);
    CHECK(!r.v);
}

/* ---- groups ---- */

static void check_group(const struct msg *m, const char *group, const void *body, size_t size)
{
    size_t len;
    const uint8_t *name = msg_group(m, &len);
    CHECK(name);
    CHECK_EQ(len, strlen(group));
    CHECK_MEM(name, group, len);
    CHECK_EQ(msg_size(m), size);
    CHECK_MEM(msg_data(m), body, size);
}

TEST(a_message_of_any_kind_joins_a_group_and_leaves_it_as_it_was)
{
    uint8_t d[300];
    fill(d, sizeof(d));
    for (size_t n = 0; n <= sizeof(d); n += 25) {
        struct msg m, other;
        size_t len;
        CHECK_EQ(msg_init_copy(&m, d, n), 0);
        uint8_t kind = m.kind;
        CHECK(!msg_group(&m, &len));
        CHECK_EQ(len, 0);
        CHECK_EQ(msg_join_group(&m, "sports", 6), 0);
        check_group(&m, "sports", d, n);
        m.flags |= PART_MORE;
        m.routing_id = 7;
        CHECK_EQ(msg_dup(&other, &m), 0);
        CHECK_EQ(msg_join_group(&m, "", 0), 0);
        check_group(&m, "", d, n);
        msg_leave_group(&m);
        CHECK_EQ(m.kind, kind);
        CHECK_EQ(m.flags, PART_MORE);
        CHECK_EQ(m.routing_id, 7);
        CHECK_EQ(msg_size(&m), n);
        CHECK_MEM(msg_data(&m), d, n);
        msg_leave_group(&m); /* harmless */
        msg_drop(&m);
        check_group(&other, "sports", d, n);
        CHECK_EQ(other.flags, PART_MORE);
        msg_drop(&other);
    }
}

TEST(the_bytes_of_a_grouped_message_may_be_borrowed_lent_or_in_a_chunk)
{
    uint8_t d[100];
    fill(d, sizeof(d));
    struct msg m, other;
    msg_init_borrowed(&m, d, sizeof(d), NULL);
    CHECK_EQ(msg_join_group(&m, "g", 1), 0); /* copies */
    check_group(&m, "g", d, sizeof(d));
    CHECK(msg_data(&m) != d);
    msg_drop(&m);

    released = 0;
    CHECK_EQ(msg_init_foreign(&m, d, sizeof(d), on_release, &released), 0);
    CHECK_EQ(msg_join_group(&m, "g", 1), 0);
    CHECK(m.lent);
    CHECK_EQ(msg_data(&m), (const uint8_t *)d);
    CHECK_EQ(msg_dup(&other, &m), 0);
    msg_drop(&m);
    CHECK_EQ(released, 0);
    msg_drop(&other);
    CHECK_EQ(released, 1);

    struct pool *pool;
    CHECK_EQ(pool_create(&pool), 0);
    struct chunk *c = chunk_get(pool, CHUNK_SMALL);
    CHECK(c);
    memcpy(c->data, d, sizeof(d));
    msg_init_slice(&m, c, c->data, sizeof(d));
    CHECK_EQ(msg_join_group(&m, "g", 1), 0);
    CHECK_EQ(msg_detach(&m), 0); /* the chunk goes here */
    check_group(&m, "g", d, sizeof(d));
    msg_drop(&m);
    pool_release(pool);
}

#ifdef FMQ_DEBUG
TEST(without_memory_a_message_keeps_the_group_it_has)
{
    struct msg m, other;
    CHECK_EQ(msg_init_copy(&m, "body", 4), 0);
    mem_fail_at(1);
    CHECK_EQ(msg_join_group(&m, "g", 1), -ENOMEM);
    CHECK_EQ(m.kind, MSG_INLINE);
    mem_fail_at(0);
    CHECK_EQ(msg_join_group(&m, "g", 1), 0);
    mem_fail_at(1);
    CHECK_EQ(msg_join_group(&m, "h", 1), -ENOMEM);
    mem_fail_at(1);
    CHECK_EQ(msg_dup(&other, &m), -ENOMEM);
    mem_fail_at(0);
    check_group(&m, "g", "body", 4);
    msg_drop(&m);
}
#endif
