/* SPDX-License-Identifier: MIT */
// needs: base msg os socket
/* Messages in parts: the one that is open, those that were given back, those that are begun. */
#include "check.h"

#include <errno.h>

#include "os/thread.h"
#include "socket/partial.h"

static struct msg part_of(uint8_t serial, bool more)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, &serial, 1), 0);
    if (more)
        m.flags |= PART_MORE;
    return m;
}

static int serial_of(const struct msg *m)
{
    CHECK_EQ(msg_size(m), 1);
    return ((const uint8_t *)msg_data(m))[0];
}

/* A message of n parts comes from a pipe, and its first part is taken. */
static int begin(struct rx *r, uint8_t first, uint32_t n, struct meta *meta)
{
    CHECK(!rx_open(r));
    for (uint32_t i = 0; i < n; i++) {
        struct msg m = part_of((uint8_t)(first + i), i + 1 < n);
        CHECK_EQ(parts_push(&r->open.parts, &m), 0);
    }
    struct msg out;
    CHECK_EQ(rx_begin(r, &out, meta), n > 1);
    int serial = serial_of(&out);
    msg_drop(&out);
    return serial;
}

static int take(struct rx *r, bool *more)
{
    struct msg out;
    struct meta *meta;
    rx_take(r, &out, &meta);
    *more = out.flags & PART_MORE;
    int serial = serial_of(&out);
    msg_drop(&out);
    meta_unref(meta);
    return serial;
}

TEST(a_message_of_one_part_is_never_open)
{
    struct rx r;
    rx_init(&r);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(begin(&r, 7, 1, NULL), 7);
        CHECK(!rx_open(&r) && !rx_in_message(&r));
    }
    rx_fini(&r);
}

TEST(the_parts_of_an_open_message_come_in_order_with_its_metadata)
{
    struct rx r;
    struct meta *meta = meta_new(), *got;
    CHECK(meta);
    rx_init(&r);
    CHECK_EQ(begin(&r, 0, 3, meta), 0);
    meta_unref(meta); /* the message holds one of its own */
    CHECK(rx_in_message(&r));
    struct msg out;
    rx_take(&r, &out, &got);
    CHECK(got == meta && serial_of(&out) == 1 && (out.flags & PART_MORE));
    meta_unref(got);
    msg_drop(&out);
    rx_take(&r, &out, NULL);
    CHECK(serial_of(&out) == 2 && !(out.flags & PART_MORE));
    msg_drop(&out);
    CHECK(!rx_open(&r) && !rx_in_message(&r));
    rx_fini(&r);
}

TEST(the_rest_of_a_message_comes_at_once)
{
    struct rx r;
    struct parts p;
    rx_init(&r);
    parts_init(&p);
    begin(&r, 0, 4, NULL);
    CHECK_EQ(rx_take_rest(&r, &p, NULL), 0);
    CHECK_EQ(p.len, 3);
    for (uint32_t i = 0; i < p.len; i++)
        CHECK_EQ(serial_of(&p.v[i]), i + 1);
    CHECK(!rx_open(&r));
    parts_fini(&p);
    rx_fini(&r);
}

/* Takes one part as the program does that may give it back. */
static int take_with_receipt(struct rx *r, uint8_t next, uint32_t n, struct fmq_receipt *receipt,
                             struct parts *p)
{
    struct msg out;
    memset(receipt, 0, sizeof(*receipt));
    parts_init(p);
    rx_receipt(r, receipt);
    if (rx_open(r)) {
        rx_take(r, &out, &receipt->meta);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            struct msg m = part_of((uint8_t)(next + i), i + 1 < n);
            CHECK_EQ(parts_push(&r->open.parts, &m), 0);
        }
        rx_begin(r, &out, NULL);
    }
    CHECK_EQ(parts_push(p, &out), 0);
    rx_taken(r, receipt, 1);
    return serial_of(&out);
}

TEST(what_is_given_back_comes_again_before_what_was_taken_later)
{
    struct rx r;
    struct fmq_receipt receipts[3];
    struct parts p[3];
    bool more;
    rx_init(&r);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(take_with_receipt(&r, (uint8_t)i, 1, &receipts[i], &p[i]), i);
    CHECK(receipts[0].number < receipts[1].number && receipts[1].number < receipts[2].number);
    CHECK_EQ(rx_give_back(&r, &receipts[1], &p[1]), 0);
    CHECK_EQ(rx_give_back(&r, &receipts[2], &p[2]), 0);
    CHECK_EQ(rx_give_back(&r, &receipts[0], &p[0]), 0);
    for (int i = 0; i < 3; i++)
        CHECK(rx_open(&r) && take(&r, &more) == i && !more);
    CHECK(!rx_open(&r));
    rx_fini(&r);
}

TEST(a_part_that_came_back_keeps_its_number_and_its_place_in_the_message)
{
    struct rx r;
    struct fmq_receipt first, again;
    struct parts p;
    bool more;
    rx_init(&r);
    CHECK_EQ(take_with_receipt(&r, 0, 3, &first, &p), 0);
    CHECK(!first.begun);
    uint64_t number = first.number;
    CHECK_EQ(rx_give_back(&r, &first, &p), 0);
    CHECK(rx_open(&r) && !rx_in_message(&r)); /* its beginning was taken back */
    CHECK_EQ(take_with_receipt(&r, 9, 1, &again, &p), 0);
    CHECK(again.number == number && !again.begun);
    parts_fini(&p);
    CHECK(rx_in_message(&r));
    CHECK(take(&r, &more) == 1 && more);
    CHECK(take(&r, &more) == 2 && !more);
    CHECK(!rx_open(&r));
    rx_fini(&r);
}

TEST(the_rest_of_a_message_joins_the_pieces_that_came_back)
{
    struct rx r;
    struct fmq_receipt receipts[2];
    struct parts p[2], whole;
    rx_init(&r);
    parts_init(&whole);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(take_with_receipt(&r, 0, 3, &receipts[i], &p[i]), i);
    CHECK(receipts[1].begun);
    CHECK_EQ(rx_give_back(&r, &receipts[1], &p[1]), 0);
    CHECK_EQ(rx_give_back(&r, &receipts[0], &p[0]), 0);
    CHECK_EQ(rx_take_rest(&r, &whole, NULL), 0);
    CHECK_EQ(whole.len, 3);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(serial_of(&whole.v[i]), i);
    CHECK(!rx_open(&r));
    parts_fini(&whole);
    rx_fini(&r);
}

TEST(the_memory_of_a_message_of_many_parts_is_not_lost)
{
    struct rx r;
    struct fmq_receipt receipt;
    struct parts p, rest;
    rx_init(&r);
    parts_init(&rest);
    CHECK_EQ(take_with_receipt(&r, 0, 40, &receipt, &p), 0);
    CHECK_EQ(rx_take_rest(&r, &rest, NULL), 0); /* what it was in is kept for the next message */
    CHECK_EQ(rest.len, 39);
    CHECK_EQ(rx_give_back(&r, &receipt, &p), 0);
    parts_fini(&rest);
    rx_fini(&r);
}

/* Takes and gives back at random: a part is always the earliest of those that are there. */
TEST(in_any_order_of_taking_and_giving_back_the_earliest_part_comes_first)
{
    enum { ALL = 200, MOST = 4 };
    struct rx r;
    struct fmq_receipt receipts[ALL];
    struct parts held[ALL];
    bool out[ALL] = {0}, done[ALL] = {0};
    int made = 0; /* parts that came out of the pipe */
    rx_init(&r);
    for (;;) {
        int back[ALL], n = 0, first = made;
        for (int i = made - 1; i >= 0; i--) {
            if (out[i])
                back[n++] = i;
            else if (!done[i])
                first = i;
        }
        if (n && check_below(2)) {
            int i = back[check_below((size_t)n)];
            CHECK_EQ(rx_give_back(&r, &receipts[i], &held[i]), 0);
            out[i] = false;
            continue;
        }
        CHECK_EQ(rx_open(&r), first < made);
        uint32_t size = 1 + (uint32_t)check_below(MOST);
        if (first == made) {
            if (made + MOST > ALL)
                break;
            made += (int)size;
        }
        CHECK_EQ(take_with_receipt(&r, (uint8_t)first, size, &receipts[first], &held[first]),
                 first);
        out[first] = check_below(3);
        done[first] = !out[first];
        if (done[first]) {
            parts_fini(&held[first]);
            meta_unref(receipts[first].meta);
        }
    }
    for (int i = 0; i < made; i++)
        if (out[i]) {
            parts_fini(&held[i]);
            meta_unref(receipts[i].meta);
        }
    rx_fini(&r);
}

TEST(dropping_what_is_left_leaves_a_receiver_that_can_be_used_again)
{
    struct rx r;
    struct fmq_receipt receipt;
    struct parts p;
    rx_init(&r);
    CHECK_EQ(take_with_receipt(&r, 0, 3, &receipt, &p), 0);
    CHECK_EQ(rx_give_back(&r, &receipt, &p), 0);
    rx_fini(&r);
    CHECK(!rx_open(&r));
    CHECK_EQ(begin(&r, 5, 2, NULL), 5);
    rx_fini(&r);
}

#ifdef FMQ_DEBUG
TEST(without_memory_nothing_is_given_back_or_taken)
{
    struct rx r;
    struct fmq_receipt receipt;
    struct parts p, rest;
    bool more;
    rx_init(&r);
    parts_init(&rest);
    CHECK_EQ(take_with_receipt(&r, 0, 12, &receipt, &p), 0);
    mem_fail_from(1, 0);
    CHECK_EQ(rx_give_back(&r, &receipt, &p), -ENOMEM);
    CHECK_EQ(p.len, 1);
    mem_fail_from(1, 0);
    CHECK_EQ(rx_take_rest(&r, &rest, NULL), -ENOMEM);
    mem_fail_from(0, 0);
    CHECK_EQ(rest.len, 0);
    CHECK(take(&r, &more) == 1 && more);
    CHECK_EQ(rx_give_back(&r, &receipt, &p), 0);
    CHECK_EQ(take(&r, &more), 0);
    CHECK_EQ(take(&r, &more), 2);
    parts_fini(&rest);
    rx_fini(&r);
}
#endif

static struct list begun;

static void begin_here(void *arg)
{
    uint8_t *serial = arg;
    struct tx_message *t = tx_new();
    CHECK(t);
    struct msg m = part_of(*serial, true);
    CHECK_EQ(parts_push(&t->parts, &m), 0);
    CHECK(!tx_find(&begun));
    list_push_back(&begun, &t->node);
    CHECK(tx_find(&begun) == t);
}

TEST(what_a_thread_has_begun_is_its_own)
{
    list_init(&begun);
    uint8_t one = 1, two = 2;
    struct thread other;
    begin_here(&one);
    CHECK_EQ(thread_start(&other, begin_here, &two, "test"), 0);
    thread_join(&other);
    struct tx_message *mine = tx_find(&begun);
    CHECK(mine && serial_of(&mine->parts.v[0]) == 1);
    uint32_t parts = 9;
    CHECK_EQ(tx_drop(&begun, false, &parts), 1);
    CHECK_EQ(parts, 1);
    CHECK(!tx_find(&begun));
    CHECK(!list_empty(&begun)); /* the other's */
    CHECK_EQ(tx_drop(&begun, false, NULL), 0);
    CHECK_EQ(tx_drop(&begun, true, &parts), 1);
    CHECK_EQ(parts, 1);
    CHECK(list_empty(&begun));
}
