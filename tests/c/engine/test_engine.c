/* SPDX-License-Identifier: MIT */
// needs: engine
/* The whole engine through fastmq.h, over real sockets. */
#include "check.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "engine.h"
#include "reactor/reactor.h"

/* ---- every pattern once, over every transport ---- */

/* Sends until the other side has it: a publisher drops what nobody has asked for yet. */
static void publish_until(fmq_socket *pub, fmq_socket *sub, const char *text)
{
    struct parts p;
    char got[64];
    parts_init(&p);
    uint64_t until = eng_until(ENG_WAIT_MS);
    int rc;
    do {
        eng_send(pub, text);
        rc = eng_recv(sub, &p, 10);
    } while (rc == -EAGAIN && eng_left(until));
    eng_must(rc, "a publication");
    eng_text(&p, got, sizeof(got));
    parts_fini(&p);
    CHECK_STR(got, text);
}

static void one_way(fmq_socket *from, fmq_socket *to)
{
    eng_send(from, "hello");
    eng_send_more(from, "a");
    eng_send_more(from, "");
    eng_send(from, "c");
    eng_expect(to, "hello");
    eng_expect(to, "a||c");
}

static void both_ways(fmq_socket *a, fmq_socket *b)
{
    one_way(a, b);
    one_way(b, a);
}

static void pub_sub(fmq_socket *pub, fmq_socket *sub)
{
    eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "x", 1), "SUBSCRIBE");
    publish_until(pub, sub, "x1");
    eng_send(pub, "y");
    eng_send(pub, "xlast");
    struct parts p;
    char got[64] = "";
    parts_init(&p);
    while (strcmp(got, "xlast") != 0) { /* some x1 may come twice */
        eng_must(eng_recv(sub, &p, ENG_WAIT_MS), "xlast");
        eng_text(&p, got, sizeof(got));
        parts_clear(&p);
        CHECK(got[0] == 'x');
    }
    parts_fini(&p);
}

static void xpub_xsub(fmq_socket *xpub, fmq_socket *xsub)
{
    eng_send_bytes(xsub, "\1t", 2, false, ENG_WAIT_MS);
    eng_expect(xpub, "\1t");
    eng_send(xpub, "topic");
    eng_expect(xsub, "topic");
}

static void req_rep(fmq_socket *req, fmq_socket *rep)
{
    for (int i = 0; i < 3; i++) {
        eng_send(req, "question");
        eng_expect(rep, "question");
        eng_send(rep, "answer");
        eng_expect(req, "answer");
    }
}

static void echo_router(fmq_socket *client, fmq_socket *router, const char *request)
{
    struct parts p;
    char got[64];
    eng_send(client, "request");
    parts_init(&p);
    eng_must(eng_recv(router, &p, ENG_WAIT_MS), "a request");
    struct parts rest = p;
    rest.v = p.v + 1;
    rest.len = p.len - 1;
    eng_text(&rest, got, sizeof(got));
    CHECK_STR(got, request);
    eng_must(fmq_send(router, p.v, p.len, false, ENG_WAIT_MS), "a reply");
    parts_fini(&p);
    eng_expect(client, "request");
}

static void dealer_router(fmq_socket *a, fmq_socket *b)
{
    echo_router(a, b, "request");
}

static void req_router(fmq_socket *a, fmq_socket *b)
{
    echo_router(a, b, "|request");
}

static void one_way_single(fmq_socket *from, fmq_socket *to)
{
    static const char *const texts[] = {"hello", "", "c"};
    CHECK_EQ(eng_send_bytes(from, "x", 1, true, ENG_WAIT_MS), -EINVAL);
    for (int i = 0; i < 3; i++)
        eng_send(from, texts[i]);
    for (int i = 0; i < 3; i++)
        eng_expect(to, texts[i]);
}

static void both_ways_single(fmq_socket *a, fmq_socket *b)
{
    one_way_single(a, b);
    one_way_single(b, a);
}

/* b answers what a sent by the number that it came with. */
static void client_server(fmq_socket *a, fmq_socket *b)
{
    one_way_single(a, b);
    eng_send(a, "question");
    struct msg m;
    int rc;
    while ((rc = fmq_recv_part(b, &m, NULL, ENG_WAIT_MS)) == -EINTR)
        ;
    eng_must(rc, "a question");
    CHECK(msg_is_text(&m, "question"));
    uint32_t number = m.routing_id;
    CHECK(number != 0);
    eng_must(fmq_send(b, &m, 1, false, ENG_WAIT_MS), "an answer");
    while ((rc = fmq_recv_part(a, &m, NULL, ENG_WAIT_MS)) == -EINTR)
        ;
    eng_must(rc, "an answer");
    CHECK(msg_is_text(&m, "question"));
    CHECK_EQ(m.routing_id, 0);
    m.routing_id = number + 1;
    CHECK_EQ(fmq_send(b, &m, 1, false, ENG_WAIT_MS), -EHOSTUNREACH);
    msg_drop(&m);
    CHECK_EQ(eng_send_bytes(b, "to nobody", 9, false, ENG_WAIT_MS), -EHOSTUNREACH);
    eng_must(fmq_disconnect_peer(b, number), "disconnect_peer");
    CHECK_EQ(fmq_disconnect_peer(b, number), -EHOSTUNREACH);
}

static const struct {
    int a, b;
    void (*talk)(fmq_socket *a, fmq_socket *b);
} pairs[] = {
    {FMQ_PAIR, FMQ_PAIR, both_ways},
    {FMQ_PUSH, FMQ_PULL, one_way},
    {FMQ_PUB, FMQ_SUB, pub_sub},
    {FMQ_XPUB, FMQ_XSUB, xpub_xsub},
    {FMQ_XPUB, FMQ_SUB, pub_sub},
    {FMQ_REQ, FMQ_REP, req_rep},
    {FMQ_DEALER, FMQ_ROUTER, dealer_router},
    {FMQ_DEALER, FMQ_DEALER, both_ways},
    {FMQ_REQ, FMQ_ROUTER, req_router},
    {FMQ_SCATTER, FMQ_GATHER, one_way_single},
    {FMQ_CHANNEL, FMQ_CHANNEL, both_ways_single},
    {FMQ_CLIENT, FMQ_SERVER, client_server},
};

static void talk_over(const char *transport)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        for (int swap = 0; swap < 2; swap++) {
            fmq_ctx *ctx = eng_ctx();
            fmq_socket *a = eng_socket(ctx, pairs[i].a), *b = eng_socket(ctx, pairs[i].b);
            struct eng_name name = eng_bind(swap ? a : b, transport);
            eng_connect(swap ? b : a, &name);
            pairs[i].talk(a, b);
            eng_close(a);
            eng_close(b);
            eng_end(ctx);
        }
    }
}

TEST(patterns_talk_over_tcp)
{
    talk_over("tcp");
}

TEST(patterns_talk_over_ipc)
{
    talk_over("ipc");
}

TEST(patterns_talk_over_inproc)
{
    talk_over("inproc");
}

TEST(peers_know_the_number_of_whom_they_connect_to_over_every_transport)
{
    for (int t = 0; t < 3; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *a = eng_socket(ctx, FMQ_PEER), *b = eng_socket(ctx, FMQ_PEER);
        struct eng_name name = eng_bind(a, eng_transports[t]);
        uint32_t number = 0;
        struct msg m;
        eng_must(fmq_connect_peer(b, name.text, &number), "connect_peer");
        CHECK(number != 0);
        eng_must(msg_init_copy(&m, "hello", 5), "copy");
        m.routing_id = number;
        eng_must(fmq_send(b, &m, 1, false, ENG_WAIT_MS), "send"); /* before it is connected */
        int rc;
        while ((rc = fmq_recv_part(a, &m, NULL, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "recv");
        eng_must(fmq_send(a, &m, 1, false, ENG_WAIT_MS), "answer");
        while ((rc = fmq_recv_part(b, &m, NULL, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "recv");
        CHECK_EQ(m.routing_id, number);
        msg_drop(&m);
        eng_must(fmq_disconnect_peer(b, number), "disconnect_peer");
        CHECK_EQ(fmq_disconnect_peer(b, number), -EHOSTUNREACH);
        CHECK_EQ(fmq_connect_peer(b, "tcp://127.0.0.1:x", &number), -EINVAL);
        eng_set(b, 39, 1); /* IMMEDIATE */
        CHECK_EQ(fmq_connect_peer(b, name.text, &number), -EFAULT);
        eng_close(a);
        eng_close(b);
        eng_end(ctx);
    }
}

TEST(what_a_type_is_not_addressed_by_it_does_not_support)
{
    fmq_ctx *ctx = eng_ctx();
    for (int type = 0; type < FMQ_TYPE_COUNT; type++) {
        fmq_socket *s;
        uint32_t number;
        if (fmq_socket_new(ctx, type, &s))
            continue;
        bool numbers = type == FMQ_SERVER || type == FMQ_PEER;
        CHECK_EQ(fmq_addressing(s), numbers                                 ? FMQ_BY_ROUTING_ID
                                    : type == FMQ_RADIO || type == FMQ_DISH ? FMQ_BY_GROUP
                                                                            : FMQ_BY_NOTHING);
        CHECK_EQ(fmq_disconnect_peer(s, 1), numbers ? -EHOSTUNREACH : -ENOTSUP);
        if (type != FMQ_PEER)
            CHECK_EQ(fmq_connect_peer(s, "tcp://127.0.0.1:1", &number), -ENOTSUP);
        if (type != FMQ_DISH) {
            CHECK_EQ(fmq_join(s, "g", 1), -ENOTSUP);
            CHECK_EQ(fmq_leave(s, "g", 1), -ENOTSUP);
        }
        eng_close(s);
    }
    eng_end(ctx);
}

TEST(stream_speaks_raw_tcp_with_another_stream)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_STREAM), *b = eng_socket(ctx, FMQ_STREAM);
    struct eng_name name = eng_bind(a, "tcp");
    eng_connect(b, &name);
    eng_expect_from(a, "", 1);
    struct parts p;
    parts_init(&p);
    eng_must(eng_recv(b, &p, ENG_WAIT_MS), "connected");
    CHECK_EQ(p.len, 2);
    struct msg data;
    eng_must(msg_init_copy(&data, "raw", 3), "copy");
    msg_drop(&p.v[1]);
    p.v[1] = data;
    eng_must(fmq_send(b, p.v, 2, false, ENG_WAIT_MS), "raw");
    parts_fini(&p);
    eng_expect_from(a, "raw", 1);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(large_messages_arrive_whole_over_every_transport)
{
    static char big[3000000];
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7 + i / 251);
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        for (int i = 0; i < 3; i++)
            eng_must(eng_send_bytes(push, big, sizeof(big), false, ENG_WAIT_MS), "big");
        eng_send(push, "small");
        for (int i = 0; i < 3; i++) {
            struct parts p;
            parts_init(&p);
            eng_must(eng_recv(pull, &p, ENG_WAIT_MS), "big");
            CHECK_EQ(p.len, 1);
            CHECK_EQ(msg_size(&p.v[0]), sizeof(big));
            CHECK(memcmp(msg_data(&p.v[0]), big, sizeof(big)) == 0);
            parts_fini(&p);
        }
        eng_expect(pull, "small");
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

/* ---- linger and term ---- */

static int count_all(fmq_socket *s, int want)
{
    struct parts p;
    int n = 0;
    parts_init(&p);
    while (n < want && eng_recv(s, &p, ENG_WAIT_MS) == 0) {
        parts_clear(&p);
        n++;
    }
    parts_fini(&p);
    return n;
}

TEST(closing_delivers_what_is_queued)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        for (int i = 0; i < 500; i++)
            eng_send(push, "queued");
        eng_close(push);
        CHECK_EQ(count_all(pull, 500), 500);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(a_bound_socket_that_closes_delivers_what_is_queued)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(push, eng_transports[t]);
        eng_connect(pull, &name);
        for (int i = 0; i < 500; i++)
            eng_send(push, "queued");
        eng_close(push);
        CHECK_EQ(count_all(pull, 500), 500);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(closing_delivers_to_a_peer_that_is_bound_later)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *probe = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(probe, "tcp");
    eng_close(probe);
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_set(push, ENG_RECONNECT_IVL, 10);
    eng_connect(push, &name);
    eng_send(push, "one");
    eng_send(push, "two");
    eng_close(push);
    eng_must(fmq_bind(pull, name.text), "bind later");
    eng_expect(pull, "one");
    eng_expect(pull, "two");
    eng_close(pull);
    eng_end(ctx);
}

TEST(linger_zero_drops_and_term_does_not_wait)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    eng_set(push, ENG_LINGER, 0);
    eng_must(fmq_connect(push, "tcp://127.0.0.1:1"), "connect");
    eng_send(push, "lost");
    eng_close(push);
    eng_end(ctx);
}

TEST(a_short_linger_ends)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    eng_set(push, ENG_LINGER, 50);
    eng_must(fmq_connect(push, "tcp://127.0.0.1:1"), "connect");
    eng_send(push, "lost");
    eng_close(push);
    int rc;
    while ((rc = fmq_ctx_term(ctx, 0)) == -EINTR)
        ;
    CHECK_EQ(rc, -EAGAIN);
    struct fmq_pending row;
    CHECK_EQ(fmq_ctx_pending(ctx, &row, 1), 1);
    CHECK(!row.open);
    CHECK_EQ(row.messages, 1);
    eng_end(ctx);
}

TEST(term_waits_for_open_sockets_and_ends_their_calls)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pull = eng_socket(ctx, FMQ_PULL);
    eng_bind(pull, "tcp");
    int rc;
    while ((rc = fmq_ctx_term(ctx, 20)) == -EINTR)
        ;
    CHECK_EQ(rc, -EAGAIN);
    struct parts p;
    parts_init(&p);
    CHECK_EQ(fmq_recv(pull, &p, NULL, -1), -FMQ_ETERM);
    CHECK_EQ(fmq_bind(pull, "inproc://late"), -FMQ_ETERM);
    fmq_socket *late;
    CHECK_EQ(fmq_socket_new(ctx, FMQ_PAIR, &late), -FMQ_ETERM);
    eng_close(pull);
    eng_end(ctx);
}

TEST(a_context_without_threads_serves_inproc_and_ends)
{
    fmq_ctx *ctx = eng_ctx();
    eng_must(fmq_ctx_set(ctx, 1, 0), "IO_THREADS");
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR), *b = eng_socket(ctx, FMQ_PAIR);
    struct eng_name name = eng_bind(a, "inproc");
    eng_connect(b, &name);
    both_ways(a, b);
    CHECK_EQ(fmq_connect(a, "tcp://127.0.0.1:1"), -FMQ_EMTHREAD);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

/* ---- reconnecting ---- */

TEST(what_is_sent_while_the_listener_is_away_arrives_in_order)
{
    static const char *const ways[] = {"tcp", "ipc"};
    for (int t = 0; t < 2; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        eng_set(push, ENG_RECONNECT_IVL, 10);
        struct eng_name name;
        char path[64];
        if (t == 0) {
            name = eng_bind(pull, ways[t]);
        } else {
            snprintf(path, sizeof(path), "ipc:///tmp/fmq-test-%d", (int)getpid());
            eng_must(fmq_bind(pull, path), "bind ipc");
            snprintf(name.text, sizeof(name.text), "%s", path);
        }
        eng_connect(push, &name);
        eng_send(push, "before");
        eng_expect(pull, "before");
        eng_must(fmq_monitor(push, "inproc://m", 0x0200, 1, FMQ_PAIR), "monitor");
        fmq_socket *mon = eng_socket(ctx, FMQ_PAIR);
        eng_must(fmq_connect(mon, "inproc://m"), "connect");
        eng_close(pull);
        eng_wait(mon, FMQ_POLLIN); /* DISCONNECTED */
        char text[16];
        for (int i = 0; i < 200; i++) {
            snprintf(text, sizeof(text), "%d", i);
            eng_send(push, text);
        }
        pull = eng_socket(ctx, FMQ_PULL);
        eng_must(fmq_bind(pull, name.text), "bind again");
        for (int i = 0; i < 200; i++) {
            snprintf(text, sizeof(text), "%d", i);
            eng_expect(pull, text);
        }
        eng_close(mon);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

/* ---- high-water marks ---- */

static int fill(fmq_socket *s, int max)
{
    int n = 0;
    while (n < max && eng_try_send(s, "fill") == 0)
        n++;
    return n;
}

TEST(inproc_holds_the_sum_of_both_marks)
{
    for (int bind_first = 0; bind_first < 2; bind_first++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        eng_set(push, ENG_SNDHWM, 3);
        eng_set(pull, ENG_RCVHWM, 4);
        if (bind_first)
            eng_must(fmq_bind(pull, "inproc://hwm"), "bind");
        eng_must(fmq_connect(push, "inproc://hwm"), "connect");
        if (!bind_first) {
            CHECK_EQ(fill(push, 100), 3); /* nobody there: its own mark alone */
            eng_must(fmq_bind(pull, "inproc://hwm"), "bind");
            eng_wait(push, FMQ_POLLOUT);
            CHECK_EQ(fill(push, 100), 4);
        } else {
            CHECK_EQ(fill(push, 100), 7);
        }
        eng_expect(pull, "fill");
        eng_wait(push, FMQ_POLLOUT);
        CHECK_EQ(fill(push, 100), 1);
        CHECK_EQ(count_all(pull, 7), 7);
        eng_expect_none(pull, 0);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(a_raised_mark_is_felt_at_once_over_inproc)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_set(push, ENG_SNDHWM, 1);
    eng_set(pull, ENG_RCVHWM, 1);
    eng_must(fmq_bind(pull, "inproc://hwm"), "bind");
    eng_must(fmq_connect(push, "inproc://hwm"), "connect");
    CHECK_EQ(fill(push, 100), 2);
    eng_set(push, ENG_SNDHWM, 5);
    CHECK_EQ(fill(push, 100), 4);
    CHECK_EQ(count_all(pull, 6), 6);
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(an_unconnected_pipe_holds_its_mark)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    eng_set(push, ENG_LINGER, 0);
    eng_set(push, ENG_SNDHWM, 5);
    CHECK_EQ(eng_try_send(push, "nobody"), -EAGAIN);
    eng_must(fmq_connect(push, "tcp://127.0.0.1:1"), "connect");
    CHECK_EQ(fill(push, 100), 5);
    eng_set(push, ENG_SNDHWM, 7);
    CHECK_EQ(fill(push, 100), 2);
    eng_close(push);
    eng_end(ctx);
}

TEST(a_full_receiver_pushes_back_and_loses_nothing)
{
    enum { COUNT = 3000 };
    static char body[2000];
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        eng_set(push, ENG_SNDHWM, 10);
        eng_set(pull, ENG_RCVHWM, 10);
        eng_set(pull, 12, 32768); /* RCVBUF */
        eng_set(push, 11, 32768); /* SNDBUF */
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        int sent = 0, got = 0;
        bool refused = false;
        while (got < COUNT) {
            while (sent < COUNT) {
                memcpy(body, &sent, sizeof(sent));
                if (eng_send_bytes(push, body, sizeof(body), false, 0))
                    break;
                sent++;
            }
            refused |= sent < COUNT;
            if (got == sent) { /* all arrived before the sender learnt that it had gone */
                eng_wait(push, FMQ_POLLOUT);
                continue;
            }
            struct parts p;
            parts_init(&p);
            eng_must(eng_recv(pull, &p, ENG_WAIT_MS), "a message");
            int number;
            memcpy(&number, msg_data(&p.v[0]), sizeof(number));
            CHECK_EQ(number, got);
            parts_fini(&p);
            got++;
        }
        CHECK(refused);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

/* ROUTER_NOTIFY puts messages of the router's own in front of the reader. */
TEST(notifications_do_not_count_against_an_inproc_sender)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *router = eng_socket(ctx, FMQ_ROUTER), *dealer = eng_socket(ctx, FMQ_DEALER);
    eng_set(router, 97, 3);
    struct eng_name name = eng_bind(router, "inproc");
    eng_connect(dealer, &name);
    eng_expect_from(router, "", 1);
    CHECK_EQ(eng_try_send(dealer, "free"), 0);
    eng_expect_from(router, "free", 1);
    eng_close(dealer);
    eng_expect_from(router, "", 1);
    eng_close(router);
    eng_end(ctx);
}

/* ---- parts ---- */

static void other_sender(void *arg)
{
    fmq_socket *push = arg;
    eng_send_more(push, "b1");
    eng_send(push, "b2");
}

static void begin_and_end(void *arg)
{
    eng_send_more(arg, "left behind");
}

TEST(a_begun_message_belongs_to_its_thread)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        eng_send_more(push, "a1");
        struct thread other;
        eng_must(thread_start(&other, other_sender, push, "other"), "thread");
        thread_join(&other);
        eng_send(push, "a2");
        eng_expect(pull, "b1|b2");
        struct msg m;
        eng_must(fmq_recv_part(pull, &m, NULL, ENG_WAIT_MS), "a1");
        CHECK_EQ(msg_size(&m), 2);
        CHECK(m.flags & PART_MORE);
        msg_drop(&m);
        eng_must(fmq_recv_part(pull, &m, NULL, ENG_WAIT_MS), "a2");
        CHECK(!(m.flags & PART_MORE));
        msg_drop(&m);
        eng_send_more(push, "left behind");
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

struct handed_on {
    fmq_socket *socket;
    char text[16];
    bool more;
    int64_t rcvmore;
};

static void take_one_part(void *arg)
{
    struct handed_on *h = arg;
    struct msg m;
    eng_must(fmq_recv_part(h->socket, &m, NULL, ENG_WAIT_MS), "a part");
    snprintf(h->text, sizeof(h->text), "%.*s", (int)msg_size(&m), (const char *)msg_data(&m));
    h->more = m.flags & PART_MORE;
    msg_drop(&m);
    eng_must(fmq_get_int(h->socket, 13 /* RCVMORE */, &h->rcvmore), "RCVMORE");
}

TEST(one_thread_goes_on_receiving_where_another_left_off)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        for (int i = 0; i < 2; i++) {
            eng_send_more(push, "1");
            eng_send_more(push, "2");
            eng_send(push, "3");
        }
        static const char *expected[] = {"1", "2", "3", "1"};
        for (int i = 0; i < 4; i++) {
            struct handed_on h = {.socket = pull};
            struct thread other;
            eng_must(thread_start(&other, take_one_part, &h, "other"), "thread");
            thread_join(&other);
            CHECK_STR(h.text, expected[i]);
            CHECK_EQ(h.more, i != 2);
            CHECK_EQ(h.rcvmore, i != 2);
            CHECK_EQ(!!(fmq_events(pull) & FMQ_POLLIN), 1);
        }
        eng_expect(pull, "2|3"); /* what is left, for a thread that received nothing of it */
        CHECK_EQ(fmq_events(pull) & FMQ_POLLIN, 0);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(a_reply_cannot_be_sent_while_any_thread_has_a_part_to_receive)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *req = eng_socket(ctx, FMQ_REQ), *rep = eng_socket(ctx, FMQ_REP);
    eng_must(fmq_bind(rep, "inproc://parts"), "bind");
    eng_must(fmq_connect(req, "inproc://parts"), "connect");
    eng_send_more(req, "1");
    eng_send(req, "2");
    struct handed_on h = {.socket = rep};
    struct thread other;
    eng_must(thread_start(&other, take_one_part, &h, "other"), "thread");
    thread_join(&other);
    CHECK_EQ(eng_try_send(rep, "too early"), -FMQ_EFSM);
    eng_expect(rep, "2");
    eng_send(rep, "in time");
    eng_expect(req, "in time");
    eng_close(req);
    eng_close(rep);
    eng_end(ctx);
}

/* ---- giving back ---- */

struct kept {
    struct parts parts;
    struct fmq_receipt receipt;
};

static int take_for(fmq_socket *s, uint32_t limit, struct kept *k)
{
    parts_init(&k->parts);
    return fmq_take(s, limit, &k->parts, &k->receipt, 0);
}

static void give(fmq_socket *s, struct kept *k)
{
    eng_must(fmq_give_back(s, &k->receipt, &k->parts), "give_back");
    CHECK_EQ(k->parts.len, 0);
    CHECK(!k->receipt.meta);
}

/* Parts, messages and batches are taken, and go back in any order, of whole messages also while
 * others are taken anew: what is received in the end is what was sent, in its order and with its
 * metadata. */
TEST(what_is_given_back_is_received_in_the_order_it_was_taken)
{
    enum { KEPT = 12, MESSAGES = 30 };
    for (unsigned seed = 0; seed < 200; seed++) {
        unsigned state = seed * 2654435761u + 1;
#define ROLL(n) ((state = state * 1103515245u + 12345u) >> 16) % (n)
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, seed % 2 ? "tcp" : "inproc");
        eng_connect(push, &name);
        unsigned sent = 0, parts = 0;
        char text[64];
        for (; sent < MESSAGES; sent++) {
            for (unsigned n = ROLL(3); n > 0; n--) {
                snprintf(text, sizeof(text), "%u+", parts++);
                eng_send_more(push, text);
            }
            snprintf(text, sizeof(text), "%u.", parts++);
            eng_send(push, text);
        }
        eng_wait(pull, FMQ_POLLIN);
        unsigned least = ROLL(2); /* 0: single parts, too */
        for (int round = 0; round < 4; round++) {
            struct kept kept[KEPT];
            int n = 0;
            while (n < KEPT && take_for(pull, least + ROLL(3), &kept[n]) > 0)
                n++;
            while (n > 0) { /* all go back, and some are taken anew in between */
                int i = (int)(ROLL((unsigned)n));
                give(pull, &kept[i]);
                kept[i] = kept[--n];
                if (kept[i].parts.v != kept[i].parts.few && kept[i].parts.cap == PARTS_INLINE)
                    kept[i].parts.v = kept[i].parts.few;
                if (least && ROLL(3) == 0 && take_for(pull, least + ROLL(3), &kept[n]) > 0)
                    n++;
            }
            CHECK(fmq_events(pull) & FMQ_POLLIN);
        }
        int64_t rcvmore;
        for (unsigned next = 0; next < parts;) {
            struct parts p;
            struct meta *meta = NULL;
            parts_init(&p);
            if (ROLL(2)) {
                eng_must(fmq_recv(pull, &p, &meta, ENG_WAIT_MS), "a message");
            } else {
                struct msg m;
                eng_must(fmq_recv_part(pull, &m, &meta, ENG_WAIT_MS), "a part");
                CHECK_EQ(parts_push(&p, &m), 0);
                eng_must(fmq_get_int(pull, 13 /* RCVMORE */, &rcvmore), "RCVMORE");
                CHECK_EQ(rcvmore, (m.flags & PART_MORE) != 0);
            }
            CHECK_EQ(meta != NULL, seed % 2);
            meta_unref(meta);
            for (uint32_t i = 0; i < p.len; i++, next++) {
                bool more = p.v[i].flags & PART_MORE;
                snprintf(text, sizeof(text), "%u%c", next, more ? '+' : '.');
                CHECK(msg_is_text(&p.v[i], text));
                CHECK(p.len == 1 || more == (i + 1 < p.len));
            }
            parts_fini(&p);
        }
        eng_expect_none(pull, 0);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
#undef ROLL
    }
}

TEST(what_was_given_back_and_is_not_received_goes_with_the_socket)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    for (int i = 0; i < 3; i++) {
        eng_send_more(push, "1");
        eng_send(push, "2");
    }
    eng_wait(pull, FMQ_POLLIN);
    struct kept kept[3];
    for (int i = 0; i < 3; i++)
        ENG_UNTIL(take_for(pull, 1, &kept[i]) > 0);
    give(pull, &kept[1]);
    give(pull, &kept[0]);
    eng_must(fmq_close(pull), "close");
    CHECK_EQ(fmq_give_back(pull, &kept[2].receipt, &kept[2].parts), -ENOTSOCK);
    CHECK_EQ(kept[2].parts.len, 2); /* still the caller's */
    parts_fini(&kept[2].parts);
    meta_unref(kept[2].receipt.meta);
    fmq_socket_free(pull);
    eng_close(push);
    eng_end(ctx);
}

TEST(a_relaxed_req_drops_the_reply_that_was_given_back)
{
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *req = eng_socket(ctx, FMQ_REQ), *rep = eng_socket(ctx, FMQ_REP);
        eng_set(req, 53 /* REQ_RELAXED */, relaxed);
        eng_must(fmq_bind(rep, "inproc://back"), "bind");
        eng_must(fmq_connect(req, "inproc://back"), "connect");
        eng_send(req, "1");
        eng_expect(rep, "1");
        eng_send(rep, "re: 1");
        struct kept kept;
        ENG_UNTIL(take_for(req, 1, &kept) > 0);
        give(req, &kept);
        CHECK_EQ(fmq_events(req), FMQ_POLLIN | (relaxed ? FMQ_POLLOUT : 0));
        if (relaxed) {
            eng_send(req, "2");
            eng_expect(rep, "2");
            eng_send(rep, "re: 2");
            eng_expect(req, "re: 2");
        } else {
            CHECK_EQ(eng_try_send(req, "2"), -FMQ_EFSM);
            eng_expect(req, "re: 1");
        }
        CHECK_EQ(fmq_events(req), FMQ_POLLOUT);
        eng_close(req);
        eng_close(rep);
        eng_end(ctx);
    }
}

/* FD is level-triggered: a message that is open is something to receive, for every thread. */
TEST(an_open_message_is_shown_by_FD)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    int64_t fd;
    eng_must(fmq_get_int(pull, 14 /* FD */, &fd), "FD");
    eng_send_more(push, "1");
    eng_send(push, "2");
    struct handed_on h = {.socket = pull};
    take_one_part(&h);
    struct pollfd readable = {.fd = (int)fd, .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, ENG_WAIT_MS), 1);
    eng_expect(pull, "2");
    CHECK_EQ(fmq_events(pull) & FMQ_POLLIN, 0);
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(what_was_begun_and_not_finished_is_counted_when_it_is_dropped)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "inproc");
    eng_connect(push, &name);
    uint32_t parts = 77;
    CHECK_EQ(fmq_drop_begun(push, true, &parts), 0);
    CHECK_EQ(parts, 0);
    eng_send_more(push, "1");
    eng_send_more(push, "2");
    CHECK_EQ(fmq_begun(push), 2);
    CHECK_EQ(fmq_drop_begun(push, false, &parts), 1);
    CHECK_EQ(parts, 2);
    CHECK_EQ(fmq_begun(push), 0);
    eng_send(push, "begins anew");
    eng_expect(pull, "begins anew");
    struct thread other;
    eng_must(thread_start(&other, begin_and_end, push, "other"), "thread");
    thread_join(&other);
    CHECK_EQ(fmq_begun(push), 0); /* another thread's */
    CHECK_EQ(fmq_drop_begun(push, false, &parts), 0);
    CHECK_EQ(fmq_drop_begun(push, true, &parts), 1);
    CHECK_EQ(parts, 1);
    eng_must(fmq_close(push), "close");
    CHECK_EQ(fmq_drop_begun(push, true, &parts), 0);
    fmq_socket_free(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(the_last_part_that_cannot_be_sent_stays_the_callers)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_must(fmq_bind(pull, "inproc://parts"), "bind");
    eng_must(fmq_connect(push, "inproc://parts"), "connect");
    for (int n = 1; n < 6; n++) {
        char body[100] = "not inline, so that owning it takes memory";
        int rc = eng_send_bytes(push, "first", 5, true, 0);
        CHECK_EQ(rc, 0);
        struct msg m;
        msg_init_borrowed(&m, body, sizeof(body), NULL);
        mem_fail_at(n);
        rc = fmq_send(push, &m, 1, false, 0);
        mem_fail_at(0);
        if (rc) {
            CHECK_EQ(rc, -ENOMEM);
            msg_drop(&m);
            eng_expect_none(pull, 0);
            continue;
        }
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(pull, &p, ENG_WAIT_MS), "both parts");
        CHECK_EQ(p.len, 2);
        parts_fini(&p);
    }
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

/* ---- disconnect, unbind ---- */

TEST(disconnect_and_unbind_end_what_they_name)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        eng_send(push, "one");
        eng_expect(pull, "one");
        eng_must(fmq_disconnect(push, name.text), "disconnect");
        CHECK_EQ(eng_try_send(push, "nobody"), -EAGAIN);
        CHECK_EQ(fmq_disconnect(push, name.text), -ENOENT);
        eng_connect(push, &name);
        eng_send(push, "two");
        eng_expect(pull, "two");
        eng_must(fmq_unbind(pull, name.text), "unbind");
        CHECK_EQ(fmq_unbind(pull, name.text), -ENOENT);
        eng_set(push, ENG_LINGER, 0);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(disconnecting_delivers_what_is_queued)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        for (int i = 0; i < 100; i++)
            eng_send(push, "queued");
        eng_must(fmq_disconnect(push, name.text), "disconnect");
        CHECK_EQ(count_all(pull, 100), 100);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(disconnecting_delivers_to_a_peer_that_is_bound_later)
{
    for (int linger = -1; linger < ENG_WAIT_MS; linger += ENG_WAIT_MS) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *probe = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(probe, "tcp");
        eng_close(probe);
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        eng_set(push, ENG_LINGER, linger);
        eng_set(push, ENG_RECONNECT_IVL, 5);
        eng_connect(push, &name);
        eng_send(push, "one");
        eng_send(push, "two");
        eng_must(fmq_disconnect(push, name.text), "disconnect");
        usleep(20000); /* attempts fail meanwhile */
        eng_must(fmq_bind(pull, name.text), "bind later");
        eng_expect(pull, "one");
        eng_expect(pull, "two");
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

TEST(disconnecting_gives_up_when_linger_is_over)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    eng_set(push, ENG_LINGER, 10);
    eng_set(push, ENG_RECONNECT_IVL, 1);
    eng_must(fmq_connect(push, "tcp://127.0.0.1:1"), "connect");
    eng_send(push, "lost");
    eng_must(fmq_disconnect(push, "tcp://127.0.0.1:1"), "disconnect");
    struct fmq_pending row;
    ENG_UNTIL(fmq_ctx_pending(ctx, &row, 1) == 1 && row.messages == 0);
    eng_close(push);
    eng_end(ctx);
}

TEST(a_name_is_free_again_after_unbind_and_after_close)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_PULL), *b = eng_socket(ctx, FMQ_PULL);
    struct eng_name names[3];
    names[0] = eng_bind(a, "tcp");
    eng_must(fmq_unbind(a, names[0].text), "unbind");
    snprintf(names[1].text, sizeof(names[1].text), "ipc:///tmp/fmq-test-%d", (int)getpid());
    snprintf(names[2].text, sizeof(names[2].text), "inproc://free");
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        eng_must(fmq_bind(a, names[t].text), "bind");
        CHECK_EQ(fmq_bind(b, names[t].text), -EADDRINUSE);
        eng_must(fmq_unbind(a, names[t].text), "unbind");
        eng_must(fmq_bind(b, names[t].text), "bind");
    }
    eng_close(b);
    for (int t = 0; t < ENG_TRANSPORTS; t++)
        eng_must(fmq_bind(a, names[t].text), "bind after close");
    eng_close(a);
    eng_end(ctx);
}

/* ---- monitor ---- */

static void expect_event(fmq_socket *mon, unsigned event)
{
    struct parts p;
    uint16_t got;
    char what[32];
    parts_init(&p);
    snprintf(what, sizeof(what), "event 0x%x", event);
    eng_must(eng_recv(mon, &p, ENG_WAIT_MS), what);
    CHECK_EQ(p.len, 2);
    CHECK_EQ(msg_size(&p.v[0]), 6);
    memcpy(&got, msg_data(&p.v[0]), 2);
    parts_fini(&p);
    CHECK_EQ(got, event);
}

TEST(a_monitor_tells_the_life_of_a_connection)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR), *b = eng_socket(ctx, FMQ_PAIR);
    fmq_socket *mon = eng_socket(ctx, FMQ_PAIR);
    eng_must(fmq_monitor(a, "inproc://mon", 0xffff, 1, FMQ_PAIR), "monitor");
    eng_must(fmq_connect(mon, "inproc://mon"), "connect");
    struct eng_name name = eng_bind(a, "tcp");
    expect_event(mon, 0x0008);
    eng_connect(b, &name);
    expect_event(mon, 0x0020);
    expect_event(mon, 0x1000);
    eng_close(b);
    expect_event(mon, 0x0200);
    eng_close(a);
    expect_event(mon, 0x0080);
    expect_event(mon, 0x0400);
    eng_close(mon);
    eng_end(ctx);
}

TEST(a_monitor_can_be_replaced_and_stopped)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR);
    for (int i = 0; i < 20; i++)
        eng_must(fmq_monitor(a, "inproc://mon", 0xffff, 1, FMQ_PAIR), "monitor");
    eng_must(fmq_monitor(a, NULL, 0, 1, FMQ_PAIR), "stop");
    eng_must(fmq_monitor(a, "inproc://mon", 0xffff, 1, FMQ_PAIR), "monitor");
    CHECK_EQ(fmq_monitor(a, "tcp://127.0.0.1:*", 0xffff, 1, FMQ_PAIR), -EPROTONOSUPPORT);
    eng_close(a);
    eng_end(ctx);
}

/* ---- poll sets ---- */

static int wait_set(fmq_pollset *set, struct fmq_pollevent *ev, int max, int ms)
{
    uint64_t until = eng_until(ms);
    int rc;
    while ((rc = fmq_pollset_wait(set, ev, max, eng_left(until))) == -EINTR)
        ;
    return rc;
}

TEST(a_poll_set_tells_of_sockets_and_descriptors)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        int fds[2];
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        fmq_pollset *set;
        struct fmq_pollevent ev[4];
        eng_must(fmq_pollset_new(&set), "pollset_new");
        eng_must(fmq_pollset_add(set, pull, FMQ_POLLIN, pull), "add");
        CHECK_EQ(fmq_pollset_add(set, pull, FMQ_POLLIN, pull), -EINVAL);
        eng_must(fmq_pollset_add_fd(set, fds[0], FMQ_POLLIN, fds), "add_fd");
        CHECK_EQ(wait_set(set, ev, 4, 20), 0);
        eng_connect(push, &name);
        eng_send(push, "one");
        eng_send(push, "two");
        CHECK_EQ(wait_set(set, ev, 4, ENG_WAIT_MS), 1);
        CHECK(ev[0].data == pull && ev[0].events == FMQ_POLLIN);
        eng_expect(pull, "one");
        CHECK_EQ(wait_set(set, ev, 4, ENG_WAIT_MS), 1);
        eng_expect(pull, "two");
        CHECK_EQ(wait_set(set, ev, 4, 20), 0);
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(wait_set(set, ev, 4, ENG_WAIT_MS), 1);
        CHECK(ev[0].data == fds && ev[0].events == FMQ_POLLIN);
        eng_must(fmq_pollset_modify_fd(set, fds[0], FMQ_POLLOUT), "modify_fd");
        CHECK_EQ(wait_set(set, ev, 4, ENG_WAIT_MS), 1);
        CHECK_EQ(ev[0].events, FMQ_POLLOUT);
        eng_must(fmq_pollset_remove_fd(set, fds[0]), "remove_fd");
        CHECK_EQ(fmq_pollset_remove_fd(set, fds[0]), -EINVAL);
        eng_close(pull);
        CHECK_EQ(wait_set(set, ev, 4, ENG_WAIT_MS), -ENOTSOCK);
        eng_must(fmq_pollset_remove(set, pull), "remove");
        fmq_pollset_free(set);
        eng_set(push, ENG_LINGER, 0);
        eng_close(push);
        eng_end(ctx);
        close(fds[0]);
        close(fds[1]);
    }
}

/* Nothing to do must cost nothing: the process rests for most of the time that it waits. */
static void expect_rest(fmq_pollset *set, int ms)
{
    struct fmq_pollevent ev[4];
    uint64_t cpu = eng_cpu();
    CHECK_EQ(wait_set(set, ev, 4, ms), 0);
    CHECK(eng_cpu() - cpu < (uint64_t)ms * NS_PER_MS / 2);
}

/* Sends until nothing makes room any more, neither the peer nor the kernel. On a busy machine those
 * may pause for long, hence not until one send fails; but what is told writable must be so. */
static void fill_up(fmq_socket *s, fmq_pollset *writable)
{
    static char body[100000];
    struct fmq_pollevent ev[4];
    for (int i = 0; i < 1000 && wait_set(writable, ev, 4, 300) > 0; i++)
        eng_must(eng_send_bytes(s, body, sizeof(body), false, 0), "send to who is writable");
    CHECK_EQ(eng_send_bytes(s, body, sizeof(body), false, 0), -EAGAIN);
}

TEST(waiting_to_write_does_not_spin_on_what_can_be_read)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *a = eng_socket(ctx, FMQ_DEALER), *b = eng_socket(ctx, FMQ_DEALER);
        eng_set(b, ENG_RCVHWM, 5);
        eng_set(b, ENG_SNDHWM, 5);
        eng_set(a, ENG_RCVHWM, 5);
        /* Buffers that the kernel does not let grow meanwhile: full stays full. */
        eng_set(b, ENG_SNDBUF, 65536);
        eng_set(a, ENG_RCVBUF, 65536);
        struct eng_name name = eng_bind(b, eng_transports[t]);
        eng_connect(a, &name);
        for (int i = 0; i < 20; i++)
            if (eng_try_send(a, "unread"))
                break;
        eng_wait(b, FMQ_POLLIN);
        fmq_pollset *set;
        eng_must(fmq_pollset_new(&set), "pollset_new");
        eng_must(fmq_pollset_add(set, b, FMQ_POLLOUT, b), "add");
        fill_up(b, set);
        expect_rest(set, 200);
        fmq_pollset_free(set);
        eng_set(a, ENG_LINGER, 0);
        eng_set(b, ENG_LINGER, 0);
        eng_close(a);
        eng_close(b);
        eng_end(ctx);
    }
}

/* ---- proxy ---- */

struct proxy_run {
    fmq_socket *front, *back, *control;
    struct fmq_proxy_state state;
    int rc;
};

/* ---- what an event loop watches ---- */

static int readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

/* It may show something that is only worth a look; after that it is quiet. */
static int rests(fmq_socket *s, int fd)
{
    uint64_t until = eng_until(ENG_WAIT_MS);
    while (readable(fd, 0) && eng_left(until)) {
        eng_must(fmq_watch_came(s), "came");
        eng_must(fmq_events(s), "events");
    }
    return !readable(fd, 0);
}

static void watches_an_inproc_pair(fmq_socket *push, fmq_socket *pull)
{
    int in = -1, out = -1;
    eng_must(fmq_watch(pull, FMQ_POLLIN, &in), "watch");
    CHECK(rests(pull, in));
    eng_send(push, "1");
    CHECK(readable(in, ENG_WAIT_MS));
    CHECK(readable(in, 0)); /* for as long as it lasts */
    eng_expect(pull, "1");
    CHECK(rests(pull, in));

    /* Full: shown when there is room again, and what is not waited for is not shown. */
    fill(push, 100);
    eng_must(fmq_watch(push, FMQ_POLLOUT, &out), "watch");
    CHECK(rests(push, out));
    eng_expect(pull, "fill");
    CHECK(readable(out, ENG_WAIT_MS));
    eng_must(fmq_watch(push, FMQ_POLLIN, &out), "watch");
    CHECK(rests(push, out));

    /* After the end it is readable for good, and stays open. */
    eng_must(fmq_watch(pull, FMQ_POLLOUT, &in), "watch");
    eng_must(fmq_close(pull), "close");
    CHECK(readable(in, ENG_WAIT_MS));
    CHECK(readable(in, 0));
    eng_must(fmq_watch(pull, 0, NULL), "unwatch");
    CHECK_EQ(fmq_watch(pull, FMQ_POLLIN, &in), -ENOTSOCK);
    eng_must(fmq_watch(push, 0, NULL), "unwatch");
    eng_must(fmq_watch(push, 0, NULL), "unwatch twice");
}

TEST(an_event_loop_sees_what_it_waits_for)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_set(push, ENG_SNDHWM, 2);
    eng_set(pull, ENG_RCVHWM, 2);
    struct eng_name name = eng_bind(pull, "inproc");
    eng_connect(push, &name);
    watches_an_inproc_pair(push, pull);
    fmq_socket_free(pull);
    eng_close(push);
    eng_end(ctx);
}

TEST(an_event_loop_is_told_of_any_change_on_demand)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *router = eng_socket(ctx, FMQ_ROUTER), *dealer = eng_socket(ctx, FMQ_DEALER);
    struct eng_name name = eng_bind(router, "tcp");
    int fd = -1;
    eng_must(fmq_watch(router, FMQ_POLLCHANGE, &fd), "watch");
    eng_connect(dealer, &name);
    CHECK(readable(fd, ENG_WAIT_MS)); /* a peer has come */
    eng_must(fmq_watch(router, 0, NULL), "unwatch");
    eng_close(dealer);
    eng_close(router);
    eng_end(ctx);
}

/* Waits for the adapter to tell of `data`, as a loop does that serves whatever it is told. */
static int told(fmq_loop *h, fmq_socket *s, void *data)
{
    uint64_t until = eng_until(ENG_WAIT_MS);
    while (readable(fmq_loop_fd(h), eng_left(until))) {
        void *ready[4];
        int n = fmq_loop_wait(h, ready, 4);
        for (int i = 0; i < n; i++)
            if (ready[i] == data)
                return 1;
        eng_must(fmq_watch_came(s), "came");
        eng_must(fmq_events(s), "events");
    }
    return 0;
}

/* A loop that looks after all its sockets has nothing more to do. */
static int adapter_rests(fmq_loop *h, fmq_socket **sockets, int count)
{
    uint64_t until = eng_until(ENG_WAIT_MS);
    while (readable(fmq_loop_fd(h), 0) && eng_left(until)) {
        void *ready[4];
        if (fmq_loop_wait(h, ready, 4) < 0)
            return 0;
        for (int i = 0; i < count; i++) {
            eng_must(fmq_watch_came(sockets[i]), "came");
            eng_must(fmq_events(sockets[i]), "events");
        }
    }
    return !readable(fmq_loop_fd(h), 0);
}

static void adapter_shows(const char *transport)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    fmq_socket *both[2] = {push, pull};
    eng_set(push, ENG_SNDHWM, 2);
    eng_set(pull, ENG_RCVHWM, 2);
    struct eng_name name = eng_bind(pull, transport);
    eng_connect(push, &name);
    fmq_loop *h, *other;
    eng_must(fmq_loop_new(&h), "adapter");
    eng_must(fmq_loop_new(&other), "adapter");

    eng_must(fmq_loop_watch(h, pull, FMQ_POLLIN, pull), "watch");
    CHECK_EQ(fmq_loop_watch(other, pull, FMQ_POLLIN, pull), -EBUSY);
    CHECK(adapter_rests(h, &pull, 1));
    eng_send(push, "1");
    CHECK(told(h, pull, pull));
    /* Told again for as long as it lasts, when the socket was used and left ready. */
    eng_must(fmq_events(pull), "events");
    CHECK(told(h, pull, pull));
    eng_expect(pull, "1");
    CHECK(adapter_rests(h, &pull, 1));

    eng_send(push, "2");
    eng_expect(pull, "2");
    eng_must(fmq_loop_watch(h, push, FMQ_POLLCHANGE, push), "watch");
    CHECK(adapter_rests(h, both, 2));

    /* A loop adapter may go first: another one takes the sockets. */
    fmq_loop_free(h);
    eng_must(fmq_loop_watch(other, pull, FMQ_POLLIN, pull), "watch");
    CHECK(adapter_rests(other, &pull, 1));
    eng_send(push, "3");
    CHECK(told(other, pull, pull));
    eng_expect(pull, "3");

    /* Its end is told; then nobody may come. */
    CHECK(adapter_rests(other, &pull, 1));
    eng_must(fmq_close(pull), "close");
    CHECK(readable(fmq_loop_fd(other), ENG_WAIT_MS));
    void *ready[4];
    CHECK(fmq_loop_wait(other, ready, 4) >= 1 && ready[0] == pull);
    eng_must(fmq_loop_watch(other, pull, 0, NULL), "unwatch");
    eng_must(fmq_loop_watch(other, pull, 0, NULL), "unwatch twice");
    CHECK_EQ(fmq_loop_watch(other, pull, FMQ_POLLIN, pull), -ENOTSOCK);
    fmq_loop_free(other);
    fmq_socket_free(pull);
    eng_close(push);
    eng_end(ctx);
}

TEST(a_loop_adapter_tells_an_event_loop_which_sockets_are_ready)
{
    fmq_loop *h;
    if (fmq_loop_new(&h) == -ENOTSUP)
        return; /* pollers without descriptors */
    fmq_loop_free(h);
    adapter_shows("tcp");
    adapter_shows("inproc");
}

/* ---- looks that do not wait ---- */

/* A message of many pieces: each look writes what the kernel has room for. */
TEST(a_look_at_a_blocked_connection_writes)
{
    enum { MESSAGES = 8, LOOKS = 200, SIZE = 1 << 20 };
    static uint8_t body[SIZE];
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_set(push, ENG_SNDHWM, 1);
    eng_set(push, ENG_SNDBUF, 65536);
    eng_set(pull, ENG_RCVHWM, 1);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_wait(push, FMQ_POLLOUT);
    int looks = 0, sent = 0;
    for (int got = 0; got < MESSAGES; looks++) {
        if (sent < MESSAGES && eng_send_bytes(push, body, SIZE, false, 0) == 0)
            sent++;
        eng_must(fmq_events(push), "events");
        struct parts p;
        parts_init(&p);
        got += eng_recv(pull, &p, 0) == 0;
        parts_fini(&p);
        CHECK(looks < MESSAGES * LOOKS);
    }
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

static int from_newcomer(const struct parts *p)
{
    return p->len == 2 && msg_is_text(&p->v[1], "new");
}

/* However much one peer sends, another gets in: `rounds` looks later at most. */
static void newcomer_gets_in(fmq_loop *h, int rounds)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *router = eng_socket(ctx, FMQ_ROUTER);
    fmq_socket *busy = eng_socket(ctx, FMQ_DEALER), *newcomer = eng_socket(ctx, FMQ_DEALER);
    struct eng_name name = eng_bind(router, "tcp");
    eng_connect(busy, &name);
    eng_send(busy, "first");
    eng_expect_from(router, "first", 1);
    if (h)
        eng_must(fmq_loop_watch(h, router, FMQ_POLLIN, router), "watch");
    eng_connect(newcomer, &name);
    eng_send(newcomer, "new");
    for (int in = 0, round = 0; !in; round++) {
        CHECK(round < rounds);
        eng_must(fmq_events(newcomer), "events");
        eng_send(busy, "more");
        eng_must(fmq_flush(busy), "flush");
        if (h)
            eng_must(fmq_watch_came(router), "came");
        for (int rc = 0; rc == 0;) {
            struct parts p;
            parts_init(&p);
            rc = eng_recv(router, &p, 0);
            in |= rc == 0 && from_newcomer(&p);
            parts_fini(&p);
        }
    }
    if (h)
        eng_must(fmq_loop_watch(h, router, 0, NULL), "unwatch");
    eng_close(busy);
    eng_close(newcomer);
    eng_close(router);
    eng_end(ctx);
}

TEST(a_busy_peer_keeps_nobody_out)
{
    newcomer_gets_in(NULL, 500);
    fmq_loop *h;
    if (fmq_loop_new(&h) == -ENOTSUP)
        return; /* pollers without descriptors */
    newcomer_gets_in(h, 500);
    fmq_loop_free(h);
}

static void run_proxy(void *arg)
{
    struct proxy_run *r = arg;
    do
        r->rc = fmq_proxy(r->front, r->back, NULL, r->control, &r->state);
    while (r->rc == -EINTR);
}

TEST(a_loop_adapter_may_outlive_the_context_of_its_sockets)
{
    fmq_loop *h;
    if (fmq_loop_new(&h) == -ENOTSUP)
        return; /* pollers without descriptors */
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    eng_must(fmq_loop_watch(h, s, FMQ_POLLIN, s), "watch");
    eng_close(s);
    eng_must(fmq_ctx_term(ctx, ENG_WAIT_MS), "term");
    fmq_ctx_free(ctx); /* what holds the socket's memory holds this */
    fmq_loop_free(h);
}

TEST(a_proxy_forwards_both_ways_obeys_and_ends)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        struct proxy_run run = {0};
        run.front = eng_socket(ctx, FMQ_ROUTER);
        run.back = eng_socket(ctx, FMQ_DEALER);
        run.control = eng_socket(ctx, FMQ_REP);
        struct eng_name front = eng_bind(run.front, eng_transports[t]);
        struct eng_name back = eng_bind(run.back, eng_transports[t]);
        struct eng_name control = eng_bind(run.control, "inproc");
        fmq_socket *req = eng_socket(ctx, FMQ_REQ), *rep = eng_socket(ctx, FMQ_REP);
        fmq_socket *boss = eng_socket(ctx, FMQ_REQ);
        eng_connect(req, &front);
        eng_connect(rep, &back);
        eng_connect(boss, &control);
        struct thread thread;
        eng_must(thread_start(&thread, run_proxy, &run, "proxy"), "thread");
        for (int i = 0; i < 50; i++) {
            eng_send(req, "question");
            eng_expect(rep, "question");
            eng_send(rep, "answer");
            eng_expect(req, "answer");
        }
        eng_send(boss, "PAUSE");
        eng_expect(boss, "");
        eng_send(req, "paused");
        eng_expect_none(rep, 30);
        eng_send(boss, "RESUME");
        eng_expect(boss, "");
        eng_expect(rep, "paused");
        eng_send(boss, "TERMINATE");
        thread_join(&thread);
        CHECK_EQ(run.rc, 0);
        CHECK_EQ(run.state.stats[0], 51);
        eng_close(req);
        eng_close(rep);
        eng_close(boss);
        eng_close(run.front);
        eng_close(run.back);
        eng_close(run.control);
        eng_end(ctx);
    }
}

#ifdef FMQ_DEBUG /* only there can allocations be made to fail */

/* ---- running out of memory ---- */

TEST(a_part_that_cannot_be_received_for_want_of_memory_leaves_no_metadata)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    for (int i = 0; i < PARTS_INLINE; i++)
        eng_send_more(push, "a");
    eng_send(push, "b");
    eng_wait(pull, FMQ_POLLIN);
    struct msg m;
    struct meta *meta = NULL;
    mem_fail_at(1);
    int rc = fmq_recv_part(pull, &m, &meta, 0);
    mem_fail_at(0);
    CHECK_EQ(rc, -ENOMEM);
    CHECK(!meta);
    eng_expect(pull, "a|a|a|a|a|a|b"); /* the message stays whole */
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(what_cannot_be_given_back_for_want_of_memory_stays_the_callers)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_send_more(push, "1");
    eng_send(push, "2");
    struct kept kept;
    ENG_UNTIL(take_for(pull, 1, &kept) > 0);
    mem_fail_at(1);
    CHECK_EQ(fmq_give_back(pull, &kept.receipt, &kept.parts), -ENOMEM);
    mem_fail_at(0);
    CHECK_EQ(kept.parts.len, 2);
    CHECK(kept.receipt.meta);
    give(pull, &kept);
    eng_expect(pull, "1|2");
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

/* When the queue of what was received cannot grow, the connection is made anew. */
TEST(no_message_is_torn_for_want_of_memory)
{
    enum { PARTS = 40 };
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    eng_set(push, ENG_RECONNECT_IVL, 1);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_send(push, "connected");
    eng_expect(pull, "connected");
    for (int n = 1; n < 25; n++) {
        struct msg v[PARTS];
        for (int i = 0; i < PARTS; i++)
            CHECK_EQ(msg_init_copy(&v[i], &i, sizeof(i)), 0);
        mem_fail_at(n);
        int rc = fmq_send(push, v, PARTS, false, 0);
        for (int i = 0; rc && i < PARTS; i++)
            msg_drop(&v[i]);
        struct parts p;
        parts_init(&p);
        while ((rc = eng_recv(pull, &p, 20)) == -ENOMEM)
            ;
        mem_fail_at(0);
        CHECK_EQ(p.len, rc ? 0 : PARTS);
        for (uint32_t i = 0; i < p.len; i++)
            CHECK_MEM(msg_data(&p.v[i]), &i, sizeof(i));
        parts_fini(&p);
        do /* through again, by the same connection or a new one */
            eng_send(push, "again");
        while (parts_init(&p), rc = eng_recv(pull, &p, 50), parts_fini(&p), rc);
        while (parts_init(&p), rc = eng_recv(pull, &p, 0), parts_fini(&p), rc == 0)
            ;
    }
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(a_subscription_lost_for_want_of_memory_is_heard_on_a_new_connection)
{
    for (int n = 1; n < 25; n++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *pub = eng_socket(ctx, FMQ_PUB), *sub = eng_socket(ctx, FMQ_SUB);
        eng_set(pub, ENG_RECONNECT_IVL, 1);
        struct eng_name name = eng_bind(sub, "tcp");
        eng_connect(pub, &name);
        eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "here", 4), "subscribe");
        eng_must(fmq_wait_subscribers(pub, "here", 4, 1, ENG_WAIT_MS), "the first topic");
        mem_fail_at(n);
        int rc = fmq_set_bytes(sub, ENG_SUBSCRIBE, "there", 5);
        if (rc == -ENOMEM) {
            mem_fail_at(0);
            rc = fmq_set_bytes(sub, ENG_SUBSCRIBE, "there", 5);
        }
        eng_must(rc, "subscribe");
        while ((rc = fmq_wait_subscribers(pub, "there", 5, 1, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "the second topic");
        mem_fail_at(0);
        eng_close(pub);
        eng_close(sub);
        eng_end(ctx);
    }
}

/* Whatever fails, all can be closed again, and the context ends. */
static bool scenario(const char *transport, int type_a, int type_b)
{
    fmq_ctx *ctx;
    fmq_socket *a = NULL, *b = NULL;
    bool all = false;
    if (fmq_ctx_new(&ctx))
        return false;
    if (fmq_socket_new(ctx, type_a, &a) || fmq_socket_new(ctx, type_b, &b))
        goto out;
    fmq_set_int(a, ENG_LINGER, 0);
    fmq_set_int(b, ENG_LINGER, 0);
    fmq_set_int(a, ENG_RECONNECT_IVL, 1);
    char name[512];
    size_t len = sizeof(name) - 1;
    const char *where = strcmp(transport, "tcp") == 0   ? "tcp://127.0.0.1:*"
                        : strcmp(transport, "ipc") == 0 ? "ipc://*"
                                                        : "inproc://nomem";
    if (type_b == FMQ_SUB)
        fmq_set_bytes(b, ENG_SUBSCRIBE, "", 0);
    if (fmq_bind(b, where) || fmq_get_bytes(b, ENG_LAST_ENDPOINT, name, &len))
        goto out;
    name[len] = 0;
    if (fmq_connect(a, name))
        goto out;
    static char body[1000];
    if (type_a == FMQ_PUB)
        usleep(5000);
    eng_send_bytes(a, "first", 5, true, 20);
    eng_send_bytes(a, body, sizeof(body), false, 20);
    struct parts p;
    parts_init(&p);
    all = eng_recv(b, &p, 60) == 0;
    if (all && type_b == FMQ_ROUTER) {
        if (fmq_send(b, p.v, p.len, false, 20) == 0)
            p.len = 0;
        struct msg m;
        struct meta *meta = NULL;
        if (fmq_recv_part(a, &m, &meta, 60) == 0)
            msg_drop(&m);
        meta_unref(meta);
    }
    parts_fini(&p);
out:
    if (a)
        eng_close(a);
    if (b)
        eng_close(b);
    eng_end(ctx);
    return all;
}

static void starve(int type_a, int type_b)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        enum { FAR = 100000 };
        int used = FAR;
        mem_fail_at(FAR);
        scenario(eng_transports[t], type_a, type_b);
        for (void *p; (p = mem_alloc(1)); used--)
            mem_free(p);
        mem_fail_at(0);
        for (int n = 1; n <= used + 3; n++) {
            long live = mem_live();
            mem_fail_at(n);
            scenario(eng_transports[t], type_a, type_b);
            mem_fail_at(0);
            if (mem_live() != live) {
                fprintf(stderr, "%s: %ld blocks lost when allocation %d failed\n",
                        eng_transports[t], mem_live() - live, n);
                check_failed();
            }
        }
        CHECK(type_a == FMQ_PUB || scenario(eng_transports[t], type_a, type_b));
    }
}

TEST(no_memory_at_any_point_of_push_pull_is_survived)
{
    starve(FMQ_PUSH, FMQ_PULL);
}

TEST(no_memory_at_any_point_of_dealer_router_is_survived)
{
    starve(FMQ_DEALER, FMQ_ROUTER);
}

TEST(no_memory_at_any_point_of_pub_sub_is_survived)
{
    starve(FMQ_PUB, FMQ_SUB);
}

#endif

/* ---- spinning for an event loop ---- */

TEST(spinning_ends_with_a_message_or_at_its_limit)
{
    enum { SPIN_US = 10001 };
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_send(push, "first");
    eng_expect(pull, "first"); /* they are connected */
    uint64_t start = clock_now();
    CHECK_EQ(fmq_spin_limit(pull), 50);
    CHECK_EQ(fmq_spin(pull, 2 * NS_PER_MS, NULL), 0); /* SPIN_US is less */
    CHECK(clock_now() - start >= 50 * NS_PER_US);
    eng_set(pull, SPIN_US, 0);
    CHECK_EQ(fmq_spin(pull, 20000, NULL), 0);
    eng_set(pull, SPIN_US, 1000000);
    eng_send(push, "second");
    eng_must(fmq_flush(push), "flush");
    CHECK_EQ(fmq_spin(pull, 1000 * NS_PER_MS, NULL), 1);
    CHECK_EQ(fmq_spin(pull, 0, NULL), 1); /* it is there already */
    eng_expect(pull, "second");
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(nobody_spins_for_what_another_thread_of_the_process_sends)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR), *b = eng_socket(ctx, FMQ_PAIR);
    struct eng_name name = eng_bind(a, "inproc");
    eng_connect(b, &name);
    CHECK_EQ(fmq_spin_limit(a), 0);
    CHECK_EQ(fmq_spin(a, 1000 * NS_PER_MS, NULL), 0); /* at once: this thread may be the peer's */
    eng_send(b, "x");
    CHECK_EQ(fmq_spin(a, 0, NULL), 1);
    eng_close(b);
    eng_expect(a, "x");
    eng_close(a);
    eng_end(ctx);
}

/* ---- closing with foreign handles around ---- */

TEST(a_context_shuts_down_while_freed_sockets_linger)
{
    for (int i = 0; i < 20; i++) {
        fmq_ctx *ctx = eng_ctx();
        for (int k = 0; k < 5; k++) {
            fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
            eng_set(push, ENG_LINGER, 5 + k);
            eng_must(fmq_connect(push, "tcp://127.0.0.1:1"), "connect");
            eng_send(push, "lost");
            eng_close(push);
        }
        for (int k = 0; k < 30; k++) {
            fmq_ctx_shutdown(ctx);
            usleep(300);
        }
        eng_end(ctx);
    }
}

/* ---- looking at peers ---- */

TEST(a_router_tells_what_a_peer_is_ready_for)
{
    enum { ROUTING_ID = 5 };
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *router = eng_socket(ctx, FMQ_ROUTER), *dealer = eng_socket(ctx, FMQ_DEALER);
    struct eng_name name = eng_bind(router, "tcp");
    eng_must(fmq_set_bytes(dealer, ROUTING_ID, "D", 1), "ROUTING_ID");
    eng_connect(dealer, &name);
    eng_send(dealer, "hello");
    eng_wait(router, FMQ_POLLIN);
    CHECK_EQ(fmq_peer_state(router, "D", 1), FMQ_POLLIN | FMQ_POLLOUT);
    eng_expect_from(router, "hello", 1);
    CHECK_EQ(fmq_peer_state(router, "D", 1), FMQ_POLLOUT);
    CHECK_EQ(fmq_peer_state(router, "E", 1), -EHOSTUNREACH);
    CHECK_EQ(fmq_peer_state(dealer, "D", 1), -ENOTSUP);
    eng_close(dealer);
    eng_close(router);
    eng_end(ctx);
}

TEST(an_end_of_an_inproc_link_is_seen_by_a_peer_that_nobody_uses_though_mail_waits_there)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR), *b = eng_socket(ctx, FMQ_PAIR);
    eng_must(fmq_bind(a, "inproc://ends"), "bind");
    eng_must(fmq_connect(b, "inproc://ends"), "connect");
    eng_send(a, "first");
    eng_expect(b, "first");
    eng_send(a, "unread");
    CHECK(reactor_has_mail(reactor_of(b))); /* of no hurry */
    eng_close(a);
    ENG_UNTIL(!reactor_has_mail(reactor_of(b)));
    eng_expect(b, "unread");
    eng_close(b);
    eng_end(ctx);
}
