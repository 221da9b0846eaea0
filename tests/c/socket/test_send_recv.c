/* SPDX-License-Identifier: MIT */
// needs: engine
/* Sending and receiving: what a call that fails leaves behind, and what stays the caller's. */
#include "check.h"

#include <errno.h>
#include <sched.h>

#include "engine.h"

enum { MANY = 40 };

/* A call that does not wait, when no other thread has the socket: the I/O thread may look at it. */
#define UNTIL_FREE(call)                                                                           \
    __extension__({                                                                                \
        int until_free;                                                                            \
        while ((until_free = (call)) == -EBUSY)                                                    \
            sched_yield();                                                                         \
        until_free;                                                                                \
    })

struct ends {
    fmq_ctx *ctx;
    fmq_socket *a, *b;
};

static struct ends ends_new(int type_a, int type_b)
{
    struct ends e = {.ctx = eng_ctx()};
    e.a = eng_socket(e.ctx, type_a);
    e.b = eng_socket(e.ctx, type_b);
    struct eng_name name = eng_bind(e.a, "inproc");
    eng_connect(e.b, &name);
    return e;
}

static void ends_close(struct ends *e)
{
    eng_close(e->a);
    eng_close(e->b);
    eng_end(e->ctx);
}

static void fill(struct msg *parts, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(msg_init_copy(&parts[i], "part", 4), 0);
}

static void check_kept(struct msg *parts, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK(msg_is_text(&parts[i], "part"));
        msg_drop(&parts[i]);
    }
}

TEST(a_message_of_any_number_of_parts_goes_at_once_or_in_pieces)
{
    struct ends e = ends_new(FMQ_PAIR, FMQ_PAIR);
    for (int pieces = 1; pieces <= MANY; pieces += 13) {
        struct msg parts[MANY];
        fill(parts, MANY);
        for (int at = 0; at < MANY; at += pieces) {
            int n = MANY - at < pieces ? MANY - at : pieces;
            CHECK_EQ(fmq_begun(e.a), at);
            CHECK_EQ(fmq_send(e.a, parts + at, (uint32_t)n, at + n < MANY, 0), 0);
            for (int i = at; i < at + n; i++)
                CHECK_EQ(msg_size(&parts[i]), 0); /* consumed */
        }
        CHECK_EQ(fmq_begun(e.a), 0);
        struct parts got;
        parts_init(&got);
        eng_must(eng_recv(e.b, &got, ENG_WAIT_MS), "recv");
        CHECK_EQ(got.len, MANY);
        for (int i = 0; i < MANY; i++)
            CHECK(msg_is_text(&got.v[i], "part") &&
                  !(got.v[i].flags & PART_MORE) == (i == MANY - 1));
        parts_fini(&got);
    }
    ends_close(&e);
}

TEST(what_a_type_cannot_do_is_refused_and_named)
{
    struct ends e = ends_new(FMQ_PUSH, FMQ_PULL);
    struct msg m;
    struct parts p;
    fill(&m, 1);
    CHECK_EQ(fmq_send(e.b, &m, 1, false, -1), -ENOTSUP);
    CHECK_STR(fmq_last_detail(), "a PULL socket cannot send");
    CHECK_EQ(UNTIL_FREE(fmq_try_send(e.b, &m, 1, false)), -ENOTSUP);
    CHECK_EQ(UNTIL_FREE(fmq_try_send_bytes(e.b, "x", 1, NULL, false)), -ENOTSUP);
    check_kept(&m, 1);
    parts_init(&p);
    CHECK_EQ(fmq_recv(e.a, &p, NULL, -1), -ENOTSUP);
    CHECK_STR(fmq_last_detail(), "a PUSH socket cannot receive");
    CHECK_EQ(UNTIL_FREE(fmq_try_recv(e.a, &p, NULL)), -ENOTSUP);
    CHECK_EQ(UNTIL_FREE(fmq_try_recv_part(e.a, &m, NULL)), -ENOTSUP);
    CHECK_EQ(UNTIL_FREE(fmq_try_recv_many(e.a, &p, 3)), -ENOTSUP);
    parts_fini(&p);
    ends_close(&e);
}

TEST(what_cannot_be_sent_now_stays_the_callers)
{
    struct ends e = ends_new(FMQ_REP, FMQ_REQ);
    struct msg parts[MANY];
    fill(parts, MANY);
    CHECK_EQ(fmq_send(e.a, parts, MANY, false, 0), -FMQ_EFSM); /* nothing was asked */
    CHECK_EQ(UNTIL_FREE(fmq_try_send(e.a, parts, 1, true)), -FMQ_EFSM);
    CHECK_EQ(fmq_begun(e.a), 0);
    check_kept(parts, MANY);
    ends_close(&e);

    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    fill(parts, MANY);
    CHECK_EQ(fmq_send(push, parts, MANY, false, 0), -EAGAIN); /* there is nobody */
    CHECK_EQ(UNTIL_FREE(fmq_try_send(push, parts, 1, true)), -EAGAIN);
    check_kept(parts, MANY);
    eng_close(push);
    eng_end(ctx);
}

TEST(parts_that_were_begun_are_dropped_by_thread_or_all)
{
    struct ends e = ends_new(FMQ_PAIR, FMQ_PAIR);
    uint32_t parts = 77;
    CHECK_EQ(fmq_drop_begun(e.a, false, &parts), 0);
    CHECK_EQ(parts, 0);
    eng_send_more(e.a, "1");
    eng_send_more(e.a, "2");
    CHECK_EQ(fmq_begun(e.a), 2);
    CHECK_EQ(fmq_drop_begun(e.a, false, &parts), 1);
    CHECK(parts == 2 && fmq_begun(e.a) == 0);
    eng_send(e.a, "3"); /* a message of its own */
    eng_expect(e.b, "3");
    eng_send_more(e.a, "4");
    CHECK_EQ(fmq_drop_begun(e.a, true, &parts), 1);
    CHECK_EQ(parts, 1);
    ends_close(&e);
}

TEST(a_closed_socket_answers_every_call)
{
    struct ends e = ends_new(FMQ_PAIR, FMQ_PAIR);
    struct msg m;
    struct parts p;
    struct fmq_receipt receipt = {0};
    fill(&m, 1);
    parts_init(&p);
    eng_must(fmq_close(e.a), "close");
    CHECK_EQ(fmq_send(e.a, &m, 1, false, -1), -ENOTSOCK);
    CHECK_EQ(UNTIL_FREE(fmq_try_send(e.a, &m, 1, false)), -ENOTSOCK);
    CHECK_EQ(UNTIL_FREE(fmq_try_send_bytes(e.a, "x", 1, NULL, false)), -ENOTSOCK);
    check_kept(&m, 1);
    CHECK_EQ(fmq_recv_part(e.a, &m, NULL, -1), -ENOTSOCK);
    CHECK_EQ(UNTIL_FREE(fmq_try_recv_part(e.a, &m, NULL)), -ENOTSOCK);
    CHECK_EQ(fmq_recv(e.a, &p, NULL, -1), -ENOTSOCK);
    CHECK_EQ(UNTIL_FREE(fmq_try_recv(e.a, &p, NULL)), -ENOTSOCK);
    CHECK_EQ(fmq_recv_many(e.a, &p, 2, -1), -ENOTSOCK);
    CHECK_EQ(UNTIL_FREE(fmq_try_recv_many(e.a, &p, 2)), -ENOTSOCK);
    CHECK_EQ(fmq_take(e.a, 1, &p, &receipt, -1), -ENOTSOCK);
    CHECK_EQ(UNTIL_FREE(fmq_try_take(e.a, 1, &p, &receipt)), -ENOTSOCK);
    CHECK_EQ(fmq_give_back(e.a, &receipt, &p), -ENOTSOCK);
    CHECK_EQ(fmq_flush(e.a), -ENOTSOCK);
    CHECK_EQ(fmq_events(e.a), -ENOTSOCK);
    CHECK_EQ(fmq_poll_one(e.a, FMQ_POLLIN, -1), -ENOTSOCK);
    CHECK_EQ(fmq_bind(e.a, "inproc://x"), -ENOTSOCK);
    CHECK_EQ(fmq_peer_state(e.a, "x", 1), -ENOTSOCK);
    CHECK_EQ(fmq_wait_subscribers(e.a, "", 0, 1, -1), -ENOTSOCK);
    fmq_socket_free(e.a);
    eng_close(e.b);
    eng_end(e.ctx);
}

TEST(many_messages_are_received_whole_and_no_more_than_asked_for)
{
    struct ends e = ends_new(FMQ_PUSH, FMQ_PULL);
    struct parts p;
    for (int i = 0; i < 5; i++) {
        eng_send_more(e.a, "head");
        eng_send(e.a, "tail");
    }
    parts_init(&p);
    CHECK_EQ(fmq_recv_many(e.b, &p, 2, 0), 2);
    CHECK_EQ(p.len, 4);
    parts_clear(&p);
    CHECK_EQ(fmq_recv_many(e.b, &p, 9, 0), 3);
    CHECK_EQ(p.len, 6);
    CHECK_EQ(fmq_recv_many(e.b, &p, 9, 0), -EAGAIN);
    CHECK_EQ(p.len, 6); /* as it was */
    parts_fini(&p);
    ends_close(&e);
}

#ifdef FMQ_DEBUG
TEST(without_memory_for_a_message_all_is_as_it_was)
{
    struct ends e = ends_new(FMQ_PAIR, FMQ_PAIR);
    struct msg parts[MANY];
    fill(parts, MANY);
    eng_wait(e.a, FMQ_POLLOUT); /* its peer is there: nothing else wants memory */
    mem_fail_from(1, 0);
    CHECK_EQ(fmq_send(e.a, parts, MANY, false, 0), -ENOMEM);
    mem_fail_from(1, 0);
    CHECK_EQ(fmq_send(e.a, parts, 1, true, 0), -ENOMEM); /* to note that it was begun */
    mem_fail_from(2, 0);
    CHECK_EQ(fmq_send(e.a, parts, MANY, true, 0), -ENOMEM);
    mem_fail_from(0, 0);
    CHECK_EQ(fmq_begun(e.a), 0);
    CHECK_EQ(fmq_send(e.a, parts, MANY, false, 0), 0);
    struct parts got;
    parts_init(&got);
    mem_fail_from(1, 0);
    CHECK_EQ(fmq_recv(e.b, &got, NULL, 0), -ENOMEM);
    mem_fail_from(0, 0);
    CHECK_EQ(got.len, 0);
    eng_must(fmq_recv(e.b, &got, NULL, 0), "recv");
    CHECK_EQ(got.len, MANY);
    parts_fini(&got);
    ends_close(&e);
}
#endif
