/* SPDX-License-Identifier: MIT */
// needs: engine
/* Monitors: the formats of both versions, what is sent and what is not, and how one ends. */
#include "check.h"

#include <errno.h>

#include "engine.h"
#include "net/events.h"

#define ALL 0xffff

static fmq_socket *watch(fmq_ctx *ctx, fmq_socket *s, const char *name, uint64_t events,
                         int version)
{
    CHECK_EQ(fmq_monitor(s, name, events, version, FMQ_PAIR), 0);
    fmq_socket *in = eng_socket(ctx, FMQ_PAIR);
    eng_must(fmq_connect(in, name), "connect the monitor");
    return in;
}

/* The next event; whether a connection is there at once is the system's affair. */
static void next(fmq_socket *in, struct parts *p)
{
    uint16_t event;
    do {
        parts_init(p);
        eng_must(eng_recv(in, p, ENG_WAIT_MS), "the next event");
        memcpy(&event, msg_data(&p->v[0]), sizeof(event));
        if (event == EVENT_CONNECT_DELAYED)
            parts_fini(p);
    } while (event == EVENT_CONNECT_DELAYED);
}

static uint64_t number(const struct msg *m)
{
    uint64_t value;
    CHECK_EQ(msg_size(m), sizeof(value));
    memcpy(&value, msg_data(m), sizeof(value));
    return value;
}

/* The next event, in version 1: 16 bits of event and 32 of value, then a name. */
static void expect_v1(fmq_socket *in, unsigned event, const char *name)
{
    struct parts p;
    uint16_t got;
    next(in, &p);
    CHECK_EQ(p.len, 2);
    CHECK_EQ(msg_size(&p.v[0]), 6);
    memcpy(&got, msg_data(&p.v[0]), 2);
    CHECK_EQ(got, event);
    CHECK(msg_is_text(&p.v[1], name));
    parts_fini(&p);
}

/* In version 2: event, number of values, values, both names. */
static uint64_t expect_v2(fmq_socket *in, unsigned event, const char *local, const char *remote)
{
    struct parts p;
    next(in, &p);
    CHECK_EQ(p.len, 5);
    CHECK_EQ(number(&p.v[0]), event);
    CHECK_EQ(number(&p.v[1]), 1);
    uint64_t value = number(&p.v[2]);
    if (local)
        CHECK(msg_is_text(&p.v[3], local));
    if (remote)
        CHECK(msg_is_text(&p.v[4], remote));
    parts_fini(&p);
    return value;
}

TEST(version_1_is_a_number_a_value_and_the_name_of_one_end)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pull = eng_socket(ctx, FMQ_PULL), *push = eng_socket(ctx, FMQ_PUSH);
    fmq_socket *bound = watch(ctx, pull, "inproc://bound", ALL, 1);
    fmq_socket *connected = watch(ctx, push, "inproc://connected", ALL, 1);
    struct eng_name name = eng_bind(pull, "tcp");
    expect_v1(bound, EVENT_LISTENING, name.text);
    eng_connect(push, &name);
    eng_send(push, "hello");
    eng_expect(pull, "hello");
    expect_v1(bound, EVENT_ACCEPTED, name.text);
    expect_v1(bound, EVENT_HANDSHAKE_SUCCEEDED, name.text);
    expect_v1(connected, EVENT_CONNECTED, name.text);
    expect_v1(connected, EVENT_HANDSHAKE_SUCCEEDED, name.text);
    eng_close(push);
    eng_close(pull);
    eng_close(bound);
    eng_close(connected);
    eng_end(ctx);
}

TEST(version_2_has_64_bits_and_both_names)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pull = eng_socket(ctx, FMQ_PULL), *push = eng_socket(ctx, FMQ_PUSH);
    fmq_socket *in = watch(ctx, push, "inproc://events", ALL, 2);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_send(push, "hello");
    eng_expect(pull, "hello");
    struct parts p;
    next(in, &p);
    CHECK(p.len == 5 && number(&p.v[0]) == EVENT_CONNECTED && number(&p.v[1]) == 1);
    CHECK(msg_size(&p.v[3]) > 6 && memcmp(msg_data(&p.v[3]), "tcp://", 6) == 0);
    CHECK(!msg_is_text(&p.v[3], name.text)); /* its own address, which the system chose */
    CHECK(msg_is_text(&p.v[4], name.text));
    parts_fini(&p);
    expect_v2(in, EVENT_HANDSHAKE_SUCCEEDED, NULL, name.text);
    eng_close(push);
    expect_v2(in, EVENT_MONITOR_STOPPED, "", "");
    eng_close(pull);
    eng_close(in);
    eng_end(ctx);
}

TEST(only_the_events_that_were_asked_for_are_sent)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    fmq_socket *in = watch(ctx, s, "inproc://events", EVENT_CLOSED | EVENT_MONITOR_STOPPED, 2);
    struct eng_name name = eng_bind(s, "tcp");
    eng_must(fmq_unbind(s, name.text), "unbind");
    CHECK(expect_v2(in, EVENT_CLOSED, name.text, NULL) > 0); /* the descriptor */
    CHECK_EQ(fmq_monitor(s, NULL, 0, 1, FMQ_PAIR), 0);
    expect_v2(in, EVENT_MONITOR_STOPPED, "", "");
    name = eng_bind(s, "tcp");
    eng_must(fmq_unbind(s, name.text), "unbind");
    eng_expect_none(in, 0);
    eng_must(fmq_monitor(s, NULL, 0, 1, FMQ_PAIR), "stop what has stopped");
    eng_close(s);
    eng_close(in);
    eng_end(ctx);
}

TEST(a_new_monitor_takes_the_place_of_the_old_one_at_the_same_endpoint)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    fmq_socket *first = watch(ctx, s, "inproc://events", ALL, 1);
    fmq_socket *second = watch(ctx, s, "inproc://events", ALL, 2);
    expect_v1(first, EVENT_MONITOR_STOPPED, "");
    struct eng_name name = eng_bind(s, "tcp");
    expect_v2(second, EVENT_LISTENING, name.text, NULL);
    eng_expect_none(first, 0);
    eng_close(s);
    eng_close(first);
    eng_close(second);
    eng_end(ctx);
}

TEST(a_monitor_may_be_a_publisher_or_a_pusher_in_version_2)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    static const int types[][2] = {{FMQ_PUB, FMQ_SUB}, {FMQ_PUSH, FMQ_PULL}};
    for (int i = 0; i < 2; i++) {
        eng_must(fmq_monitor(s, "inproc://events", ALL, 2, types[i][0]), "monitor");
        fmq_socket *in = eng_socket(ctx, types[i][1]);
        if (types[i][1] == FMQ_SUB)
            eng_must(fmq_set_bytes(in, ENG_SUBSCRIBE, "", 0), "subscribe");
        eng_must(fmq_connect(in, "inproc://events"), "connect");
        struct eng_name name = eng_bind(s, "tcp");
        expect_v2(in, EVENT_LISTENING, name.text, NULL);
        eng_close(in);
    }
    eng_close(s);
    eng_end(ctx);
}

TEST(what_no_monitor_can_be_is_refused)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    CHECK_EQ(fmq_monitor(s, "tcp://127.0.0.1:*", ALL, 1, FMQ_PAIR), -EPROTONOSUPPORT);
    CHECK(strstr(fmq_last_detail(), "inproc"));
    CHECK_EQ(fmq_monitor(s, "inproc://m", ALL, 3, FMQ_PAIR), -EINVAL);
    CHECK_EQ(fmq_monitor(s, "inproc://m", 0x10000, 1, FMQ_PAIR), -EINVAL); /* needs 17 bits */
    CHECK_EQ(fmq_monitor(s, "inproc://m", ALL, 1, FMQ_PUB), -EINVAL);
    CHECK_EQ(fmq_monitor(s, "inproc://m", ALL, 2, FMQ_SUB), -EINVAL);
    CHECK_EQ(fmq_monitor(s, "inproc://m", ALL, 2, FMQ_PULL), -EINVAL);
    fmq_socket *other = eng_socket(ctx, FMQ_PAIR);
    eng_must(fmq_bind(other, "inproc://m"), "bind");
    CHECK_EQ(fmq_monitor(s, "inproc://m", ALL, 1, FMQ_PAIR), -EADDRINUSE);
    CHECK_EQ(fmq_monitor_stats(s), -EINVAL); /* none of these has begun */
    eng_close(other);
    eng_must(fmq_close(s), "close");
    CHECK_EQ(fmq_monitor(s, "inproc://m", ALL, 1, FMQ_PAIR), -ENOTSOCK);
    fmq_socket_free(s);
    eng_end(ctx);
}

TEST(a_monitor_that_nobody_reads_holds_up_nothing)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    fmq_socket *in = watch(ctx, s, "inproc://events", ALL, 1);
    for (int i = 0; i < 1500; i++) {
        struct eng_name name = eng_bind(s, "tcp");
        eng_must(fmq_unbind(s, name.text), "unbind");
    }
    eng_close(s);
    /* What was dropped is the newest: the marks of both ends hold 2000. */
    struct parts p;
    int count = 0;
    for (parts_init(&p); eng_recv(in, &p, 0) == 0; parts_init(&p)) {
        parts_fini(&p);
        count++;
    }
    parts_fini(&p);
    CHECK_EQ(count, 2000);
    eng_close(in);
    eng_end(ctx);
}

TEST(the_depth_of_each_queue_is_an_event_of_two_values)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    fmq_socket *in = watch(ctx, push, "inproc://stats", ALL, 2);
    CHECK_EQ(fmq_monitor_stats(push), -EINVAL); /* not asked for */
    fmq_socket *stats = watch(ctx, push, "inproc://all", EVENT_PIPES_STATS, 2);
    CHECK_EQ(fmq_monitor_stats(push), -EAGAIN); /* no pipe */
    eng_must(fmq_bind(pull, "inproc://queue"), "bind");
    eng_must(fmq_connect(push, "inproc://queue"), "connect");
    for (int i = 0; i < 3; i++)
        eng_send(push, "queued");
    CHECK_EQ(fmq_monitor_stats(push), 0);
    struct parts p;
    next(stats, &p);
    CHECK_EQ(p.len, 6);
    CHECK_EQ(number(&p.v[0]), EVENT_PIPES_STATS);
    CHECK_EQ(number(&p.v[1]), 2);
    CHECK_EQ(number(&p.v[2]), 3); /* to be sent */
    CHECK_EQ(number(&p.v[3]), 0);
    CHECK(msg_is_text(&p.v[5], "inproc://queue"));
    parts_fini(&p);
    eng_must(fmq_connect(push, "tcp://127.0.0.1:1"), "connect"); /* not connected: one name */
    CHECK_EQ(fmq_monitor_stats(push), 0);
    next(stats, &p);
    parts_fini(&p);
    next(stats, &p);
    CHECK(msg_is_text(&p.v[4], "") && msg_is_text(&p.v[5], "tcp://127.0.0.1:1"));
    parts_fini(&p);
    eng_set(push, ENG_LINGER, 0);
    eng_close(push);
    eng_close(pull);
    eng_close(in);
    eng_close(stats);
    eng_end(ctx);
}
