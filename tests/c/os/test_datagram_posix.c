/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

#include "os/datagram.h"
#include "os/net.h"

static struct net_addr literal(const char *host, uint16_t port)
{
    struct net_addr a;
    CHECK_EQ(net_resolve(host, port, true, true, &a, 1), 1);
    return a;
}

static int bound(struct net_addr *addr)
{
    int fd = net_socket(addr->ss.ss_family, SOCK_DGRAM);
    CHECK(fd >= 0);
    const struct net_datagram_opts opts = {.broadcast = true, .count_lost = true};
    net_datagram_apply(fd, &opts);
    CHECK_EQ(net_datagram_bind(fd, addr, true), 0);
    CHECK_EQ(net_local_addr(fd, addr), 0);
    return fd;
}

static void wait_for(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 5000), 1);
}

static struct net_datagram from_text(const char *a, const char *b, const struct net_addr *to)
{
    struct net_datagram d;
    memset(&d, 0, sizeof(d));
    d.iov[0] = (struct iovec){(void *)(uintptr_t)a, strlen(a)};
    d.iov[1] = (struct iovec){(void *)(uintptr_t)b, strlen(b)};
    d.iov_count = 2;
    d.to = to;
    return d;
}

static void over(const char *host)
{
    enum { MANY = NET_DATAGRAMS_MAX + 6 };
    struct net_addr to = literal(host, 0), from = literal(host, 0);
    int in = bound(&to), out = bound(&from);
    struct net_datagram v[MANY], got[MANY];
    static uint8_t space[MANY][32];
    char bodies[MANY][16];
    for (int i = 0; i < MANY; i++) {
        snprintf(bodies[i], sizeof(bodies[i]), "%d", i);
        v[i] = from_text("n", bodies[i], &to);
        got[i].iov[0] = (struct iovec){space[i], sizeof(space[i])};
        got[i].iov_count = 1;
    }
    int sent = 0, came = 0;
    uint32_t lost = 0;
    CHECK_EQ(net_recv_datagrams(in, got, MANY, &lost), -EAGAIN);
    while (sent < MANY) {
        int n = net_send_datagrams(out, v + sent, MANY - sent);
        CHECK(n > 0);
        sent += n;
    }
    while (came < MANY) {
        wait_for(in);
        int n = net_recv_datagrams(in, got + came, MANY - came, &lost);
        CHECK(n > 0);
        for (int i = came; i < came + n; i++) {
            CHECK_EQ(got[i].size, 1 + strlen(bodies[i]));
            CHECK_MEM(space[i], "n", 1);
            CHECK_MEM(space[i] + 1, bodies[i], strlen(bodies[i]));
            CHECK(!got[i].truncated);
            CHECK_EQ(got[i].from.len, from.len);
            char a[80], b[80];
            net_addr_text(&got[i].from, a, sizeof(a));
            net_addr_text(&from, b, sizeof(b));
            CHECK_STR(a, b);
        }
        came += n;
    }
    CHECK_EQ(lost, 0);
    net_close(in);
    net_close(out);
}

TEST(datagrams_arrive_in_order_with_their_sender)
{
    over("127.0.0.1");
}

TEST(datagrams_arrive_over_ipv6)
{
    over("::1");
}

TEST(a_datagram_longer_than_its_room_is_truncated_and_says_so)
{
    struct net_addr to = literal("127.0.0.1", 0), from = literal("127.0.0.1", 0);
    int in = bound(&to), out = bound(&from);
    uint8_t space[4];
    uint32_t lost = 0;
    struct net_datagram got = {.iov = {{space, sizeof(space)}}, .iov_count = 1};
    struct net_datagram d = from_text("long", "er", &to);
    CHECK_EQ(net_send_datagrams(out, &d, 1), 1);
    wait_for(in);
    CHECK_EQ(net_recv_datagrams(in, &got, 1, &lost), 1);
    CHECK_EQ(got.size, 4);
    CHECK(got.truncated);
    CHECK_MEM(space, "long", 4);
    net_close(in);
    net_close(out);
}

TEST(a_connected_socket_sends_where_it_is_connected_to)
{
    struct net_addr to = literal("127.0.0.1", 0);
    int in = bound(&to), out = net_socket(AF_INET, SOCK_DGRAM);
    CHECK_EQ(net_connect(out, &to), 1);
    struct net_datagram d = from_text("a", "b", NULL);
    uint8_t space[4];
    uint32_t lost = 0;
    struct net_datagram got = {.iov = {{space, sizeof(space)}}, .iov_count = 1};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(net_send_datagrams(out, &d, 1), 1);
        wait_for(in);
        CHECK_EQ(net_recv_datagrams(in, &got, 1, &lost), 1);
        net_datagram_reconnect(out, &to);
    }
    net_close(in);
    net_close(out);
}

TEST(what_the_kernel_dropped_is_counted)
{
    struct net_addr to = literal("127.0.0.1", 0), from = literal("127.0.0.1", 0);
    int in = bound(&to), out = bound(&from);
    struct net_stream_opts small = {.rcvbuf = 2048,
                                    .tos = -1,
                                    .priority = -1,
                                    .keepalive = -1,
                                    .keepalive_cnt = -1,
                                    .keepalive_idle = -1,
                                    .keepalive_intvl = -1,
                                    .maxrt_ms = -1,
                                    .busy_poll = -1};
    CHECK_EQ(net_apply(in, AF_INET, &small), 0);
    uint8_t space[16];
    uint32_t lost = 0, came = 0, sent = 0;
    struct net_datagram got = {.iov = {{space, sizeof(space)}}, .iov_count = 1};
    struct net_datagram d = from_text("some", "thing", &to);
    for (; sent < 100; sent++)
        CHECK_EQ(net_send_datagrams(out, &d, 1), 1);
    while (net_recv_datagrams(in, &got, 1, &lost) == 1)
        came++;
    CHECK_EQ(net_send_datagrams(out, &d, 1), 1);
    wait_for(in);
    CHECK_EQ(net_recv_datagrams(in, &got, 1, &lost), 1);
    CHECK(came <= sent);
#ifdef SO_RXQ_OVFL
    CHECK_EQ(came + lost, sent);
#endif
    net_close(in);
    net_close(out);
}

TEST(addresses_of_datagrams_are_read_as_they_are_written)
{
    static const char *const good[] = {"127.0.0.1:1", "255.255.255.255:65535", "[::1]:80",
                                       "[fe80::1%lo]:5"};
    static const char *const bad[] = {"",
                                      ":",
                                      "1",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      "1.2.3.4:5x",
                                      "1.2.3:4",
                                      "::1:5",
                                      "[::1]",
                                      "[::1]:",
                                      "[:5",
                                      "[]:5",
                                      "[1.2.3.4]:5",
                                      "1.2.3.4:-5",
                                      "[fe80::1%nope]:5",
                                      "1.2.3.4:000005",
                                      " 1.2.3.4:5",
                                      "x:5"};
    char text[80];
    struct net_addr a;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_EQ(net_addr_parse(good[i], strlen(good[i]), &a), 0);
        net_addr_text(&a, text, sizeof(text));
        CHECK_STR(text, good[i]);
        CHECK_EQ(net_addr_parse(good[i], strlen(good[i]) + 1, &a), 0); /* with its NUL */
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (net_addr_parse(bad[i], strlen(bad[i]), &a) == 0)
            fprintf(stderr, "'%s' was taken\n", bad[i]);
        CHECK_EQ(net_addr_parse(bad[i], strlen(bad[i]), &a), -EINVAL);
    }
    memset(text, '1', sizeof(text));
    text[sizeof(text) - 2] = ':';
    CHECK_EQ(net_addr_parse(text, sizeof(text), &a), -EINVAL);
}

TEST(multicast_addresses_are_told_from_others)
{
    static const char *const yes[] = {"224.0.0.1", "239.255.255.255", "ff02::1"};
    static const char *const no[] = {"223.255.255.255", "240.0.0.1", "127.0.0.1", "fe80::1", "::1"};
    for (size_t i = 0; i < 3; i++) {
        struct net_addr a = literal(yes[i], 5);
        CHECK(net_is_multicast(&a));
    }
    for (size_t i = 0; i < 5; i++) {
        struct net_addr a = literal(no[i], 5);
        CHECK(!net_is_multicast(&a));
    }
}

TEST(an_interface_has_the_same_index_by_name_and_by_address)
{
    unsigned by_name = 0, by_address = 0;
    int rc = net_interface_index("lo", &by_name);
    if (rc == -ENODEV)
        rc = net_interface_index("lo0", &by_name);
    CHECK_EQ(rc, 0);
    CHECK_EQ(net_interface_index("127.0.0.1", &by_address), 0);
    CHECK_EQ(by_name, by_address);
    CHECK_EQ(net_interface_index("192.0.2.77", &by_name), -ENODEV);
    CHECK_EQ(net_interface_index("no such one", &by_name), -ENODEV);
}

TEST(multicast_goes_over_the_interface_that_was_chosen)
{
    unsigned index;
    CHECK_EQ(net_interface_index("127.0.0.1", &index), 0);
    struct net_addr group = literal("239.77.77.77", 0);
    int in = net_socket(AF_INET, SOCK_DGRAM), out = net_socket(AF_INET, SOCK_DGRAM);
    const struct net_datagram_opts opts = {.share = true, .rcvbuf_wanted = 100000};
    net_datagram_apply(in, &opts);
    CHECK_EQ(net_datagram_bind(in, &group, false), 0);
    CHECK_EQ(net_local_addr(in, &group), 0);
    CHECK_EQ(net_multicast_join(in, &group, index), 0);
    CHECK_EQ(net_multicast_send_by(out, AF_INET, index, 1, true), 0);
    struct net_datagram d = from_text("to", "all", &group);
    uint8_t space[16];
    uint32_t lost = 0;
    struct net_datagram got = {.iov = {{space, sizeof(space)}}, .iov_count = 1};
    CHECK_EQ(net_send_datagrams(out, &d, 1), 1);
    wait_for(in);
    CHECK_EQ(net_recv_datagrams(in, &got, 1, &lost), 1);
    CHECK_EQ(net_multicast_send_by(out, AF_INET, index, 300, false), 0);
    CHECK_EQ(net_send_datagrams(out, &d, 1), 1); /* the loopback device itself loops it, too */
    net_close(in);
    net_close(out);
    int six = net_socket(AF_INET6, SOCK_DGRAM);
    CHECK_EQ(net_multicast_send_by(six, AF_INET6, index, 3, true), 0);
    net_close(six);
}

TEST(all_addresses_of_a_host_are_one_or_two)
{
    struct net_addr v[2];
    char text[80];
    CHECK_EQ(net_any_addr(5, false, v), 1);
    net_addr_text(&v[0], text, sizeof(text));
    CHECK_STR(text, "0.0.0.0:5");
    CHECK_EQ(net_any_addr(5, true, v), 2);
    net_addr_text(&v[0], text, sizeof(text));
    CHECK_STR(text, "[::]:5");
}
