/* SPDX-License-Identifier: MIT */
// needs: engine
/* RADIO, DISH and DGRAM, over datagrams and over connections. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "engine.h"

#define XPUB_NODROP 69
#define MAXMSGSIZE 22
#define IPV6 42
#define CONFLATE 54
#define MAX_SUBSCRIPTIONS 10005

static int send_to_group(fmq_socket *s, const char *group, const void *data, size_t size, int ms)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, data, size), 0);
    CHECK_EQ(msg_join_group(&m, group, strlen(group)), 0);
    int rc;
    uint64_t until = eng_until(ms);
    while ((rc = fmq_send(s, &m, 1, false, ms ? eng_left(until) : 0)) == -EINTR)
        ;
    if (rc)
        msg_drop(&m);
    return rc;
}

static void say(fmq_socket *s, const char *group, const char *text)
{
    eng_must(send_to_group(s, group, text, strlen(text), ENG_WAIT_MS), text);
}

static void hear(fmq_socket *s, const char *group, const char *text)
{
    struct parts p;
    char got[512];
    parts_init(&p);
    eng_must(eng_recv(s, &p, ENG_WAIT_MS), text);
    CHECK_EQ(p.len, 1);
    eng_text(&p, got, sizeof(got));
    CHECK_STR(got, text);
    size_t len;
    const uint8_t *name = msg_group(&p.v[0], &len);
    CHECK_EQ(len, strlen(group));
    if (len)
        CHECK_MEM(name, group, len);
    parts_fini(&p);
}

static struct eng_name bind_udp(fmq_socket *s)
{
    struct eng_name name;
    eng_must(fmq_bind(s, "udp://127.0.0.1:*"), "bind udp");
    size_t len = sizeof(name.text) - 1;
    eng_must(fmq_get_bytes(s, ENG_LAST_ENDPOINT, name.text, &len), "LAST_ENDPOINT");
    name.text[len] = 0;
    return name;
}

static struct sockaddr_in address_of(const struct eng_name *name)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    in.sin_port = htons((uint16_t)atoi(strrchr(name->text, ':') + 1));
    return in;
}

static struct fmq_socket_stats stats_of(fmq_socket *s)
{
    struct fmq_socket_stats stats;
    CHECK_EQ(fmq_stats(s, &stats), 0);
    return stats;
}

static void wait_for_group(fmq_socket *radio, const char *group)
{
    eng_must(fmq_wait_subscribers(radio, group, strlen(group), 1, ENG_WAIT_MS), group);
}

TEST(a_dish_hears_its_groups_by_datagrams)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    struct eng_name name = bind_udp(dish);
    static uint8_t large[65507];
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    CHECK_EQ(fmq_join(dish, "a", 1), -EINVAL);
    CHECK_EQ(fmq_leave(dish, "b", 1), -EINVAL);
    eng_connect(radio, &name);
    for (int i = 0; i < 200; i++) {
        char text[200];
        snprintf(text, sizeof(text), "%0*d", 1 + i % 150, i);
        say(radio, "b", text);
        say(radio, "a", text);
        hear(dish, "a", text);
    }
    for (size_t size = 20000; size < sizeof(large) - 1; size += 15000) {
        struct parts p;
        parts_init(&p);
        CHECK_EQ(send_to_group(radio, "a", large, size, ENG_WAIT_MS), 0);
        eng_must(eng_recv(dish, &p, ENG_WAIT_MS), "a large one");
        CHECK_EQ(msg_size(&p.v[0]), size);
        parts_fini(&p);
    }
    CHECK_EQ(send_to_group(radio, "a", large, sizeof(large) - 1, 0), -EMSGSIZE);
    CHECK(strstr(fmq_last_detail(), "65507"));
    struct fmq_peer peers[2];
    CHECK_EQ(fmq_peers(radio, peers, 2), 1);
    CHECK_STR(peers[0].endpoint, name.text);
    CHECK_STR(peers[0].address, name.text);
    CHECK_EQ(stats_of(dish).subscriptions, 1);
    CHECK_EQ(fmq_leave(dish, "a", 1), 0);
    say(radio, "a", "unheard");
    eng_expect_none(dish, 20);
    CHECK_EQ(fmq_disconnect(radio, name.text), 0);
    CHECK_EQ(fmq_unbind(dish, name.text), 0);
    CHECK_EQ(fmq_peers(radio, peers, 2), 0);
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(lies_and_what_is_too_long_are_counted_and_dropped)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH);
    eng_set(dish, ENG_RCVHWM, 3);
    eng_set(dish, MAXMSGSIZE, 100);
    struct eng_name name = bind_udp(dish);
    struct sockaddr_in to = address_of(&name);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    static const char *const lies[] = {"\x05x", "\xff", "\x80groupgroup"};
    uint8_t longer[200] = {1, 'a'};
    for (int i = 0; i < 12; i++) {
        const char *lie = lies[i % 3];
        char text[16];
        CHECK(sendto(fd, lie, strlen(lie), 0, (struct sockaddr *)&to, sizeof(to)) >= 0);
        CHECK(sendto(fd, longer, sizeof(longer), 0, (struct sockaddr *)&to, sizeof(to)) >= 0);
        int len = snprintf(text, sizeof(text),
                           "\x01"
                           "a%d",
                           i);
        CHECK(sendto(fd, text, (size_t)len, 0, (struct sockaddr *)&to, sizeof(to)) >= 0);
    }
    ENG_UNTIL(stats_of(dish).count.queued_to_recv == 3);
    for (int i = 0; i < 12; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        hear(dish, "a", text);
    }
    CHECK_EQ(stats_of(dish).count.drops, 24);
    close(fd);
    eng_close(dish);
    eng_end(ctx);
}

TEST(limits_in_bytes_hold_datagrams_back)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    eng_set(dish, ENG_RCVHWM_BYTES, 30);
    struct eng_name name = bind_udp(dish);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    eng_connect(radio, &name);
    for (int i = 0; i < 10; i++)
        say(radio, "a", "0123456789");
    ENG_UNTIL(stats_of(dish).count.queued_to_recv == 3);
    for (int i = 0; i < 10; i++)
        hear(dish, "a", "0123456789");
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(a_dish_that_conflates_keeps_the_newest_datagram)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    eng_set(dish, CONFLATE, 1);
    struct eng_name name = bind_udp(dish);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    eng_connect(radio, &name);
    for (int i = 0; i < 10; i++)
        say(radio, "a", "old");
    say(radio, "a", "new");
    ENG_UNTIL(stats_of(dish).count.msgs_recvd == 11);
    hear(dish, "a", "new");
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(what_was_received_is_there_after_unbind_and_what_was_sent_arrives_after_close)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    struct eng_name name = bind_udp(dish);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    eng_connect(radio, &name);
    for (int i = 0; i < 50; i++)
        say(radio, "a", "x");
    eng_close(radio);
    ENG_UNTIL(stats_of(dish).count.msgs_recvd == 50);
    CHECK_EQ(fmq_unbind(dish, name.text), 0);
    for (int i = 0; i < 50; i++)
        hear(dish, "a", "x");
    CHECK_EQ(fmq_bind(dish, name.text), 0);
    eng_close(dish);
    eng_end(ctx);
}

TEST(nobody_at_the_other_end_stops_nothing)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    struct eng_name name = bind_udp(dish);
    CHECK_EQ(fmq_unbind(dish, name.text), 0);
    eng_connect(radio, &name);
    for (int i = 0; i < 500; i++)
        say(radio, "a", "x");
    CHECK_EQ(fmq_flush(radio), 0);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    ENG_UNTIL(fmq_bind(dish, name.text) == 0);
    say(radio, "a", "there");
    struct parts p;
    parts_init(&p);
    eng_must(eng_recv(dish, &p, ENG_WAIT_MS), "a message");
    parts_fini(&p);
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(a_name_is_looked_up_and_a_wrong_one_again_and_again)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    struct eng_name name = bind_udp(dish), other;
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    eng_set(radio, ENG_RECONNECT_IVL, 1);
    snprintf(other.text, sizeof(other.text), "udp://localhost%s", strrchr(name.text, ':'));
    eng_must(fmq_connect(radio, "udp://nowhere.invalid:5"), "connect");
    eng_connect(radio, &other);
    say(radio, "a", "x");
    hear(dish, "a", "x");
    eng_set(radio, XPUB_NODROP, 1);
    for (int i = 0; i < 2000; i++) {
        int rc = send_to_group(radio, "b", "y", 1, 0);
        CHECK(rc == 0 || rc == -EAGAIN);
    }
    CHECK_EQ(send_to_group(radio, "b", "y", 1, 0), -EAGAIN); /* of the one that is not found */
    eng_set(radio, ENG_LINGER, 0);
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(addresses_that_are_none_are_refused)
{
    static const struct {
        const char *text;
        bool bind;
        int rc;
    } cases[] = {
        {"udp://127.0.0.1", false, -EINVAL},
        {"udp://127.0.0.1:x", false, -EINVAL},
        {"udp://127.0.0.1:0", false, -EINVAL},
        {"udp://127.0.0.1:*", false, -EINVAL},
        {"udp://*:5", false, -EINVAL},
        {"udp://:5", false, -EINVAL},
        {"udp://;239.0.0.1:5", false, -EINVAL},
        {"udp://lo;127.0.0.1:5", false, -EINVAL},
        {"udp://a b:5", false, -EINVAL},
        {"udp://[::1]:5", false, -EINVAL},
        {"udp://nope;239.0.0.1:5", false, -ENODEV},
        {"udp://nope;239.0.0.1:5", true, -ENODEV},
        {"udp://no-such-host.invalid:5", true, -ENODEV},
        {"udp://192.0.2.1:5", true, -EADDRNOTAVAIL},
        {"udp://127.0.0.1:70000", true, -EINVAL},
    };
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = cases[i].bind ? fmq_bind(dish, cases[i].text) : fmq_connect(radio, cases[i].text);
        if (rc != cases[i].rc)
            fprintf(stderr, "%s: %d\n", cases[i].text, rc);
        CHECK_EQ(rc, cases[i].rc);
    }
    CHECK_EQ(fmq_bind(radio, "udp://127.0.0.1:*"), -FMQ_ENOCOMPATPROTO);
    CHECK_EQ(fmq_connect(dish, "udp://127.0.0.1:5"), -FMQ_ENOCOMPATPROTO);
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *dgram = eng_socket(ctx, FMQ_DGRAM);
    CHECK_EQ(fmq_connect(push, "udp://127.0.0.1:5"), -FMQ_ENOCOMPATPROTO);
    CHECK_EQ(fmq_bind(dgram, "tcp://127.0.0.1:*"), -FMQ_ENOCOMPATPROTO);
    CHECK_EQ(fmq_bind(dgram, "inproc://x"), -FMQ_ENOCOMPATPROTO);
    CHECK_EQ(fmq_connect(dgram, "udp://127.0.0.1:5"), -FMQ_ENOCOMPATPROTO);
    eng_close(push);
    eng_close(dgram);
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(multicast_reaches_every_dish_that_is_bound_to_it)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *radio = eng_socket(ctx, FMQ_RADIO), *dishes[3];
    char text[64];
    snprintf(text, sizeof(text), "udp://127.0.0.1;239.%d.%d.7:%d", 1 + (int)check_below(200),
             (int)check_below(255), 20000 + (int)check_below(20000));
    for (int i = 0; i < 3; i++) {
        dishes[i] = eng_socket(ctx, FMQ_DISH);
        CHECK_EQ(fmq_join(dishes[i], "a", 1), 0);
        eng_must(fmq_bind(dishes[i], text), text);
    }
    eng_must(fmq_connect(radio, text), text);
    for (int n = 0; n < 20; n++)
        say(radio, "a", "to all");
    for (int i = 0; i < 3; i++) {
        for (int n = 0; n < 20; n++)
            hear(dishes[i], "a", "to all");
        eng_close(dishes[i]);
    }
    eng_close(radio);
    eng_end(ctx);
}

TEST(a_dish_bound_to_everything_hears_both_families)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH);
    eng_set(dish, IPV6, 1);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    CHECK_EQ(fmq_bind(dish, "udp://*:*"), 0);
    char name[512], to[64];
    size_t len = sizeof(name) - 1;
    eng_must(fmq_get_bytes(dish, ENG_LAST_ENDPOINT, name, &len), "LAST_ENDPOINT");
    name[len] = 0;
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (int i = 0; i < 2; i++) {
        fmq_socket *radio = eng_socket(ctx, FMQ_RADIO);
        eng_set(radio, IPV6, 1);
        snprintf(to, sizeof(to), "udp://%s%s", hosts[i], strrchr(name, ':'));
        eng_must(fmq_connect(radio, to), to);
        say(radio, "a", hosts[i]);
        hear(dish, "a", hosts[i]);
        eng_close(radio);
    }
    eng_close(dish);
    eng_end(ctx);
}

/* ---- over connections ---- */

TEST(groups_are_told_over_connections)
{
    for (int t = 0; t < 2 * ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
        fmq_socket *first = t & 1 ? dish : radio, *second = t & 1 ? radio : dish;
        CHECK_EQ(fmq_join(dish, "early", 5), 0);
        struct eng_name name = eng_bind(first, eng_transports[t / 2]);
        eng_connect(second, &name);
        CHECK_EQ(fmq_join(dish, "late", 4), 0);
        wait_for_group(radio, "early");
        wait_for_group(radio, "late");
        CHECK_EQ(fmq_wait_subscribers(radio, "", 0, 0, 0), 1);
        CHECK_EQ(fmq_wait_subscribers(radio, "lat", 3, 0, 0), 0);
        say(radio, "other", "0");
        say(radio, "early", "1");
        say(radio, "late", "2");
        hear(dish, "early", "1");
        hear(dish, "late", "2");
        CHECK_EQ(fmq_leave(dish, "early", 5), 0);
        ENG_UNTIL(fmq_wait_subscribers(radio, "early", 5, 0, 0) == 0);
        say(radio, "early", "3");
        say(radio, "late", "4");
        hear(dish, "late", "4");
        struct fmq_peer peers[2];
        CHECK_EQ(fmq_peers(radio, peers, 2), 1);
        CHECK_EQ(peers[0].subscriptions, 1);
        CHECK_EQ(stats_of(radio).subscriptions, 1);
        eng_close(dish);
        /* One that connects keeps them: the next connection may be to the same dish. */
        if (first == radio)
            ENG_UNTIL(stats_of(radio).subscriptions == 0);
        eng_close(radio);
        eng_end(ctx);
    }
}

TEST(groups_are_told_again_to_a_radio_that_connects_anew)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    eng_set(radio, ENG_RECONNECT_IVL, 1);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    CHECK_EQ(fmq_join(dish, "b", 1), 0);
    struct eng_name name = eng_bind(dish, "tcp");
    eng_connect(radio, &name);
    wait_for_group(radio, "b");
    eng_close(dish);
    for (int round = 0; round < 2; round++) {
        dish = eng_socket(ctx, FMQ_DISH);
        CHECK_EQ(fmq_join(dish, "a", 1), 0);
        ENG_UNTIL(fmq_bind(dish, name.text) == 0);
        ENG_UNTIL(send_to_group(radio, "a", "x", 1, 0) == 0 &&
                  fmq_poll_one(dish, FMQ_POLLIN, 1) > 0);
        /* What came may have been queued before. This is heard after what the connection began
         * with. */
        const char *last = round ? "second" : "first";
        CHECK_EQ(fmq_join(dish, last, strlen(last)), 0);
        wait_for_group(radio, last);
        eng_close(dish);
    }
    /* What was not repeated is forgotten with the connection after: "a" and "second" are left. */
    ENG_UNTIL(stats_of(radio).subscriptions == 2);
    CHECK_EQ(fmq_wait_subscribers(radio, "b", 1, 0, 0), 0);
    eng_close(radio);
    eng_end(ctx);
}

TEST(a_radio_that_must_not_drop_waits)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
    eng_set(radio, XPUB_NODROP, 1);
    eng_set(radio, ENG_SNDHWM, 2);
    eng_set(dish, ENG_RCVHWM, 2);
    CHECK_EQ(fmq_set_int(radio, MAX_SUBSCRIPTIONS, 5), 0);
    CHECK_EQ(fmq_join(dish, "a", 1), 0);
    struct eng_name name = eng_bind(radio, "inproc");
    eng_connect(dish, &name);
    wait_for_group(radio, "a");
    for (int i = 0; i < 4; i++)
        CHECK_EQ(send_to_group(radio, "a", "x", 1, 0), 0);
    CHECK_EQ(send_to_group(radio, "a", "x", 1, 0), -EAGAIN);
    CHECK_EQ(send_to_group(radio, "b", "x", 1, 0), 0);
    CHECK_EQ(fmq_poll_one(radio, FMQ_POLLOUT, 0), 0);
    hear(dish, "a", "x");
    eng_wait(radio, FMQ_POLLOUT);
    CHECK_EQ(send_to_group(radio, "a", "x", 1, 0), 0);
    eng_close(dish);
    eng_close(radio);
    eng_end(ctx);
}

TEST(a_dish_with_too_many_groups_is_cut_off)
{
    for (int t = 0; t < ENG_TRANSPORTS; t += 2) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *dish = eng_socket(ctx, FMQ_DISH), *radio = eng_socket(ctx, FMQ_RADIO);
        CHECK_EQ(fmq_set_int(radio, MAX_SUBSCRIPTIONS, 2), 0);
        struct eng_name name = eng_bind(radio, eng_transports[t]);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(fmq_join(dish, &"abc"[i], 1), 0);
        eng_connect(dish, &name);
        ENG_UNTIL(stats_of(radio).peers == 0 && stats_of(radio).subscriptions == 0);
        eng_close(dish);
        eng_close(radio);
        eng_end(ctx);
    }
}

/* ---- DGRAM ---- */

static void send_dgram(fmq_socket *s, const char *address, const char *body, int expected)
{
    struct msg parts[2];
    CHECK_EQ(msg_init_copy(&parts[0], address, strlen(address)), 0);
    CHECK_EQ(msg_init_copy(&parts[1], body, strlen(body)), 0);
    int rc;
    while ((rc = fmq_send(s, parts, 2, false, 0)) == -EINTR)
        ;
    CHECK_EQ(rc, expected);
    if (rc) {
        msg_drop(&parts[0]);
        msg_drop(&parts[1]);
    }
}

TEST(dgrams_go_to_the_address_in_front_of_them)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_DGRAM), *b = eng_socket(ctx, FMQ_DGRAM);
    send_dgram(a, "127.0.0.1:5", "not bound", -EAGAIN);
    CHECK_EQ(fmq_poll_one(a, FMQ_POLLOUT, 0), 0);
    struct eng_name here = bind_udp(a), there = bind_udp(b);
    CHECK_EQ(fmq_bind(a, "udp://127.0.0.1:*"), -EINVAL);
    eng_wait(a, FMQ_POLLOUT);
    char expected[600];
    for (int i = 0; i < 100; i++) {
        send_dgram(a, there.text + 6, "ping", 0);
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(b, &p, ENG_WAIT_MS), "ping");
        CHECK_EQ(p.len, 2);
        CHECK_STR((const char *)msg_data(&p.v[0]), here.text + 6); /* it has its NUL */
        while (fmq_send(b, p.v, 2, false, 0) == -EINTR)            /* back to where it came from */
            ;
        p.len = 0;
        parts_fini(&p);
        snprintf(expected, sizeof(expected), "%s", there.text + 6);
        parts_init(&p);
        eng_must(eng_recv(a, &p, ENG_WAIT_MS), "pong");
        CHECK_STR((const char *)msg_data(&p.v[0]), expected);
        parts_fini(&p);
    }
    send_dgram(a, "nowhere", "x", -EINVAL);
    CHECK(strstr(fmq_last_detail(), "nowhere"));
    CHECK_EQ(eng_try_send(a, "one part"), -EINVAL);
    static char large[65509];
    memset(large, 'x', sizeof(large) - 1);
    send_dgram(a, there.text + 6, large, -EMSGSIZE);
    large[65507] = 0;
    send_dgram(a, there.text + 6, large, 0);
    eng_wait(b, FMQ_POLLIN);
    CHECK_EQ(fmq_unbind(a, here.text), 0);
    send_dgram(a, there.text + 6, "not bound", -EAGAIN);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}
