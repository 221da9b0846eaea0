/* SPDX-License-Identifier: MIT */
// needs: engine
/* What is counted, where it goes when its owner ends, and what is said of each peer. */
#include "check.h"

#include <errno.h>

#include "engine.h"

static struct fmq_socket_stats stats(fmq_socket *s)
{
    struct fmq_socket_stats out;
    CHECK_EQ(fmq_stats(s, &out), 0);
    return out;
}

static struct fmq_context_stats totals(fmq_ctx *ctx)
{
    struct fmq_context_stats out;
    CHECK_EQ(fmq_ctx_stats(ctx, &out), 0);
    return out;
}

TEST(queues_and_messages_are_counted_as_they_move)
{
    for (int i = 0; i < ENG_TRANSPORTS; i++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[i]);
        eng_connect(push, &name);
        for (int n = 0; n < 5; n++)
            eng_send(push, "12345678");
        ENG_UNTIL(stats(pull).count.queued_to_recv == 5);
        CHECK_EQ(stats(pull).count.bytes_to_recv, 40);
        CHECK_EQ(stats(pull).count.msgs_recvd, 5);
        CHECK_EQ(stats(pull).peers, 1);
        eng_expect(pull, "12345678");
        CHECK_EQ(stats(pull).count.queued_to_recv, 4);
        CHECK_EQ(stats(pull).count.bytes_to_recv, 32);
        CHECK_EQ(stats(pull).count.msgs_recvd, 5);
        for (int n = 0; n < 4; n++)
            eng_expect(pull, "12345678");
        ENG_UNTIL(stats(push).count.msgs_sent == 5);
        CHECK_EQ(stats(push).count.queued_to_send, 0);
        CHECK(stats(push).count.bytes_sent >= 40);
        CHECK_EQ(stats(push).count.bytes_sent, stats(pull).count.bytes_recvd);
        CHECK_EQ(stats(push).subscriptions, -1);
        CHECK_EQ(stats(push).send_waits, 0);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(what_waits_for_a_peer_is_queued_and_not_sent)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    eng_set(s, ENG_LINGER, 0);
    eng_set(s, ENG_SNDHWM, 3);
    eng_must(fmq_connect(s, "tcp://127.0.0.1:1"), "connect");
    for (int n = 0; n < 3; n++)
        eng_send(s, "12345678");
    CHECK_EQ(stats(s).count.queued_to_send, 3);
    CHECK_EQ(stats(s).count.bytes_to_send, 24);
    CHECK_EQ(stats(s).count.msgs_sent, 0);
    CHECK_EQ(stats(s).peers, 0);
    CHECK_EQ(eng_try_send(s, "no room"), -EAGAIN);
    CHECK_EQ(stats(s).send_waits, 0); /* it did not want to wait */
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, "x", 1), 0);
    int rc = fmq_send(s, &m, 1, false, 1);
    CHECK(rc == -EAGAIN || rc == -EINTR);
    CHECK_EQ(stats(s).send_waits, 1);
    rc = fmq_send_again(s, &m, 1, false, 1);
    CHECK(rc == -EAGAIN || rc == -EINTR);
    CHECK_EQ(stats(s).send_waits, 1); /* the same send, gone on with */
    msg_drop(&m);
    eng_must(fmq_disconnect(s, "tcp://127.0.0.1:1"), "disconnect");
    CHECK_EQ(stats(s).count.queued_to_send, 0);
    CHECK_EQ(stats(s).count.drops, 3);
    CHECK_EQ(totals(ctx).count.drops, 3);
    eng_close(s);
    CHECK_EQ(totals(ctx).count.drops, 3);
    eng_end(ctx);
}

TEST(what_a_socket_has_counted_stays_in_its_context)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    CHECK_EQ(stats(push).descriptors, 0);
    struct eng_name name = eng_bind(pull, "tcp");
    CHECK_EQ(stats(pull).descriptors, 1); /* it listens */
    eng_connect(push, &name);
    for (int n = 0; n < 3; n++) {
        eng_send(push, "hello");
        eng_expect(pull, "hello");
    }
    ENG_UNTIL(stats(push).count.msgs_sent == 3);
    CHECK_EQ(stats(push).descriptors, 1);
    CHECK_EQ(stats(pull).descriptors, 4); /* a wake-up and a poller, too */
    struct fmq_context_stats now = totals(ctx);
    CHECK(now.sockets == 2 && now.peers == 2);
    CHECK(now.count.msgs_sent == 3 && now.count.msgs_recvd == 3);
    CHECK_EQ(now.queued_bytes, -1);
    /* Those of the sockets, and of the I/O thread. */
    CHECK(now.descriptors > stats(push).descriptors + stats(pull).descriptors);
    CHECK(now.pool_bytes > 0 && now.pool_spare <= now.pool_bytes);
    uint64_t sent = now.count.bytes_sent;
    eng_close(push);
    eng_close(pull);
    ENG_UNTIL(totals(ctx).sockets == 0); /* once the system has what they sent */
    now = totals(ctx);
    CHECK_EQ(now.peers, 0);
    CHECK(now.count.msgs_sent == 3 && now.count.msgs_recvd == 3);
    CHECK(now.count.bytes_sent >= sent && now.count.queued_to_recv == 0);
    eng_end(ctx);
}

TEST(a_monitor_counts_as_a_socket_and_the_one_that_asks_authenticators_does_not)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    CHECK_EQ(totals(ctx).sockets, 1);
    eng_must(fmq_monitor(s, "inproc://events", 0xffff, 1, FMQ_PAIR), "monitor");
    CHECK_EQ(totals(ctx).sockets, 2);
    eng_set(s, ENG_PLAIN_SERVER, 1);
    CHECK_EQ(totals(ctx).sockets, 2);
    eng_close(s);
    eng_end(ctx);
}

TEST(each_peer_has_a_row_in_the_state_of_its_link)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dealer = eng_socket(ctx, FMQ_DEALER), *router = eng_socket(ctx, FMQ_ROUTER);
    struct fmq_peer rows[3];
    CHECK_EQ(fmq_peers(dealer, rows, 3), 0);
    struct eng_name name = eng_bind(router, "tcp");
    eng_must(fmq_set_bytes(dealer, 5, "me", 2), "ROUTING_ID");
    eng_connect(dealer, &name);
    eng_must(fmq_connect(dealer, "tcp://127.0.0.1:1"), "connect");
    eng_set(dealer, ENG_LINGER, 0);
    ENG_UNTIL(fmq_peers(router, rows, 3) == 1 && rows[0].link == FMQ_LINK_READY);
    CHECK(rows[0].accepted && rows[0].type == FMQ_DEALER && rows[0].since_ns > 0);
    CHECK(rows[0].identity_len == 2 && memcmp(rows[0].identity, "me", 2) == 0);
    CHECK_STR(rows[0].endpoint, name.text);
    CHECK(rows[0].address[0] && rows[0].subscriptions == -1);
    ENG_UNTIL(fmq_peers(dealer, rows, 3) == 2 && rows[0].link == FMQ_LINK_READY);
    CHECK(!rows[0].accepted && rows[0].type == FMQ_ROUTER);
    CHECK_STR(rows[0].endpoint, name.text);
    CHECK_EQ(rows[1].link, FMQ_LINK_CONNECTING);
    CHECK(rows[1].type == -1 && !rows[1].address[0] && rows[1].since_ns == 0);
    CHECK_STR(rows[1].endpoint, "tcp://127.0.0.1:1");
    rows[0].type = 99;
    CHECK_EQ(fmq_peers(dealer, rows, 0), 2); /* counts what it does not show */
    CHECK_EQ(rows[0].type, 99);
    eng_close(dealer);
    eng_close(router);
    eng_end(ctx);
}

TEST(a_peer_within_the_process_has_a_row_too)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR), *b = eng_socket(ctx, FMQ_PAIR);
    struct eng_name name = eng_bind(a, "inproc");
    eng_connect(b, &name);
    struct fmq_peer row;
    CHECK_EQ(fmq_peers(b, &row, 1), 1);
    CHECK(row.link == FMQ_LINK_READY && row.type == FMQ_PAIR && row.since_ns > 0 && !row.accepted);
    CHECK_STR(row.endpoint, name.text);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(a_connection_that_is_made_anew_is_counted)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_set(push, ENG_RECONNECT_IVL, 1);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_send(push, "1");
    eng_expect(pull, "1");
    CHECK_EQ(stats(push).count.reconnects, 0);
    eng_close(pull);
    ENG_UNTIL(stats(push).peers == 0);
    pull = eng_socket(ctx, FMQ_PULL);
    ENG_UNTIL(fmq_bind(pull, name.text) == 0);
    eng_send(push, "2");
    eng_expect(pull, "2");
    CHECK_EQ(stats(push).count.reconnects, 1);
    eng_close(push);
    CHECK_EQ(totals(ctx).count.reconnects, 1);
    eng_close(pull);
    eng_end(ctx);
}

TEST(topics_are_counted_on_both_sides)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pub = eng_socket(ctx, FMQ_PUB), *sub = eng_socket(ctx, FMQ_SUB);
    struct eng_name name = eng_bind(pub, "tcp");
    eng_connect(sub, &name);
    eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "a", 1), "subscribe");
    eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "b", 1), "subscribe");
    CHECK_EQ(stats(sub).subscriptions, 2);
    ENG_UNTIL(stats(pub).subscriptions == 2);
    struct fmq_peer row;
    CHECK_EQ(fmq_peers(pub, &row, 1), 1);
    CHECK_EQ(row.subscriptions, 2);
    eng_close(pub);
    eng_close(sub);
    eng_end(ctx);
}

TEST(a_socket_that_is_closed_has_no_statistics)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    struct fmq_socket_stats out;
    struct fmq_peer row;
    eng_must(fmq_close(s), "close");
    CHECK_EQ(fmq_stats(s, &out), -ENOTSOCK);
    CHECK_EQ(fmq_peers(s, &row, 1), -ENOTSOCK);
    fmq_socket_free(s);
    eng_end(ctx);
}
