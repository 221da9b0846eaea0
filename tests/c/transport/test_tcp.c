/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net transport
/* tcp: how addresses are read, where it listens and connects from, who may come in, and names. */
#include "box.h"
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

#include "net/endpoint.h"
#include "net/security.h"
#include "os/net.h"
#include "transport/stream.h"

static int parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    detail[0] = 0;
    return transport_tcp.parse(a, rest, bind, ipv6, detail);
}

TEST(an_address_that_cannot_be_one_says_what_is_wrong)
{
    static const struct {
        const char *rest;
        bool bind;
        const char *says;
    } cases[] = {
        {"127.0.0.1", false, "has no port"},
        {"", true, "has no port"},
        {"127.0.0.1:*", false, "connect needs a port, not *"},
        {"*:5555", false, "connect needs a host, not *"},
        {"127.0.0.1:0", false, "from 1 to 65535"},
        {"127.0.0.1:", true, "from 0 to 65535 or *"},
        {"127.0.0.1:65536", true, "from 0 to 65535 or *"},
        {"127.0.0.1:99999999999999999999", false, "from 1 to 65535"},
        {"127.0.0.1:80x", false, "from 1 to 65535"},
        {"127.0.0.1:-1", false, "from 1 to 65535"},
        {":5555", true, "has no host"},
        {"[]:5555", false, "has no host"},
        {"-host:5555", false, "'-host' is no host name"},
        {"a b:5555", false, "'a b' is no host name"},
        {"x;127.0.0.1:5555", false, "has no port"},
        {"a/b:1;127.0.0.1:5555", false, "'a/b' is no host name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address a;
        char detail[200];
        CHECK_EQ(parse(&a, cases[i].rest, cases[i].bind, false, detail), -EINVAL);
        if (!strstr(detail, cases[i].says))
            CHECK_STR(detail, cases[i].says);
    }
}

TEST(a_host_may_have_255_bytes_and_no_more)
{
    char text[300], detail[200];
    struct address a;
    memset(text, '1', sizeof(text));
    strcpy(text + 255, ":80");
    CHECK_EQ(parse(&a, text, true, false, detail), 0);
    CHECK_EQ(strlen(a.host), 255);
    memset(text, '1', sizeof(text));
    strcpy(text + 256, ":80");
    CHECK_EQ(parse(&a, text, true, false, detail), -EINVAL);
    CHECK(strstr(detail, "too long a host"));
}

static void check_at(const struct address *a, int which, const char *text)
{
    char found[96];
    CHECK(which < a->count);
    net_addr_text(&a->at[which], found, sizeof(found));
    CHECK_STR(found, text);
}

TEST(literals_have_one_candidate_a_name_none_and_the_wildcard_one_a_family)
{
    struct address a;
    char detail[200];
    CHECK_EQ(parse(&a, "127.0.0.1:80", false, false, detail), 0);
    CHECK_EQ(a.count, 1);
    check_at(&a, 0, "127.0.0.1:80");
    CHECK_EQ(parse(&a, "[::1]:65535", false, true, detail), 0);
    CHECK_EQ(a.count, 1);
    check_at(&a, 0, "[::1]:65535");
    CHECK_STR(a.host, "::1");
    CHECK_EQ(parse(&a, "localhost:80", false, false, detail), 0);
    CHECK_EQ(a.count, 0);
    CHECK_STR(a.host, "localhost");
    CHECK_EQ(a.port, 80);
    CHECK_EQ(parse(&a, "*:7", true, false, detail), 0);
    CHECK_EQ(a.count, 1);
    check_at(&a, 0, "0.0.0.0:7");
    CHECK_EQ(parse(&a, "*:*", true, true, detail), 0);
    CHECK_EQ(a.count, 2);
    check_at(&a, 0, "[::]:0");
    check_at(&a, 1, "0.0.0.0:0");
}

TEST(a_connecter_may_say_where_it_connects_from_and_a_listener_may_not)
{
    struct address a;
    char detail[200];
    CHECK_EQ(parse(&a, "127.0.0.2:0;127.0.0.1:80", false, false, detail), 0);
    CHECK(a.has_src);
    CHECK_STR(a.src_host, "127.0.0.2");
    CHECK_EQ(a.src_port, 0);
    CHECK_EQ(a.count, 1);
    check_at(&a, 0, "127.0.0.1:80");
    CHECK_EQ(parse(&a, "127.0.0.1:80", false, false, detail), 0);
    CHECK(!a.has_src);
    CHECK_EQ(parse(&a, "127.0.0.2:0;127.0.0.1:80", true, false, detail), 0);
    CHECK(!a.has_src); /* a strange name of an interface */
}

/* ---- descriptors ---- */

struct place {
    struct conn_set set;
    struct security *sec;
    struct endpoint ep;
};

static void begin(struct place *w)
{
    memset(w, 0, sizeof(*w));
    set_up(&w->set);
    w->set.pipes.opt.use_fd = -1;
    w->set.pipes.opt.backlog = 10;
    w->set.pipes.opt.tcp_keepalive = -1;
    w->sec = security_new(&w->set.pipes.opt);
    CHECK(w->sec);
    w->ep.set = &w->set;
    w->ep.security = w->sec;
    w->ep.io.fd = -1;
}

static void end(struct place *w)
{
    w->sec->accept_filters = NULL;
    w->sec->accept_filter_count = 0;
    security_unref(w->sec);
    tear_down(&w->set);
}

static int listen_at(struct place *w, const char *rest, bool ipv6)
{
    char detail[200];
    w->set.pipes.opt.ipv6 = ipv6;
    CHECK_EQ(parse(&w->ep.address, rest, true, ipv6, detail), 0);
    return transport_tcp.listen(&w->ep, &w->ep.address);
}

TEST(a_listener_has_its_port_in_its_name_and_an_address_in_use_is_refused)
{
    struct net_addr own;
    struct place w;
    begin(&w);
    int fd = listen_at(&w, "127.0.0.1:*", false);
    CHECK(fd >= 0);
    char name[128];
    CHECK_EQ(transport_tcp.local_name(fd, &own, name, sizeof(name)), 0);
    CHECK(strncmp(name, "tcp://127.0.0.1:", 16) == 0);
    CHECK(atoi(name + 16) > 0);
    CHECK_EQ(listen_at(&w, name + 6, false), -EADDRINUSE);
    net_close(fd);
    fd = listen_at(&w, name + 6, false);
    CHECK(fd >= 0);
    net_close(fd);
    end(&w);
}

#ifdef __linux__ /* all of 127/8 is lo */
TEST(an_interface_stands_for_its_address)
{
    struct net_addr own;
    struct place w;
    begin(&w);
    int fd = listen_at(&w, "lo:*", false);
    CHECK(fd >= 0);
    char name[128];
    CHECK_EQ(transport_tcp.local_name(fd, &own, name, sizeof(name)), 0);
    CHECK(strncmp(name, "tcp://127.0.0.1:", 16) == 0);
    net_close(fd);
    end(&w);
}
#endif

TEST(a_descriptor_that_is_no_socket_has_no_more_than_a_scheme)
{
    struct net_addr own;
    int pair[2];
    CHECK_EQ(pipe(pair), 0);
    char name[64];
    CHECK(transport_tcp.local_name(pair[0], &own, name, sizeof(name)) < 0);
    CHECK_STR(name, "tcp://");
    close(pair[0]);
    close(pair[1]);
}

/* Connects to a listener from there; the address that the listener sees. */
static int connect_from(struct place *w, const char *from, struct net_addr *seen)
{
    struct net_addr own;
    int at = listen_at(w, "127.0.0.1:*", false);
    CHECK(at >= 0);
    char name[128], text[256], detail[200];
    CHECK_EQ(transport_tcp.local_name(at, &own, name, sizeof(name)), 0);
    snprintf(text, sizeof(text), "%s%s", from, name + 6);
    CHECK_EQ(parse(&w->ep.address, text, false, false, detail), 0);
    bool connected = false;
    int fd = transport_tcp.connect(&w->ep, &w->ep.address, 0, &connected);
    if (fd >= 0) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        struct pollfd wait = {.fd = at, .events = POLLIN};
        CHECK_EQ(poll(&wait, 1, 10000), 1);
        int accepted = accept(at, (struct sockaddr *)&ss, &len);
        CHECK(accepted >= 0);
        memset(seen, 0, sizeof(*seen));
        memcpy(&seen->ss, &ss, len);
        seen->len = len;
        close(accepted);
        net_close(fd);
    }
    net_close(at);
    return fd < 0 ? fd : 0;
}

#ifdef __linux__ /* all of 127/8 is lo */
TEST(a_connection_comes_from_the_address_it_was_told)
{
    struct place w;
    struct net_addr seen;
    char text[96];
    begin(&w);
    CHECK_EQ(connect_from(&w, "127.0.0.9:0;", &seen), 0);
    CHECK_EQ(transport_tcp.peer_address(-1, &seen, text, sizeof(text)), 0);
    CHECK_STR(text, "127.0.0.9");
    CHECK_EQ(connect_from(&w, "", &seen), 0);
    CHECK_EQ(transport_tcp.peer_address(-1, &seen, text, sizeof(text)), 0);
    CHECK_STR(text, "127.0.0.1");
    end(&w);
}
#endif

TEST(a_descriptor_that_could_not_connect_is_left_to_be_reported)
{
    struct place w;
    struct net_addr seen;
    begin(&w);
    CHECK_EQ(connect_from(&w, "192.0.2.1:0;", &seen), -EADDRNOTAVAIL); /* no host has that one */
    CHECK(w.ep.io.fd >= 0);
    net_close(w.ep.io.fd);
    end(&w);
}

/* ---- who may come in ---- */

static struct net_addr literal(const char *host)
{
    struct net_addr a;
    CHECK_EQ(net_resolve(host, 1234, true, true, &a, 1), 1);
    return a;
}

/* An address of IPv4 as a socket of both families sees it. */
static struct net_addr mapped(const char *host)
{
    char text[64];
    snprintf(text, sizeof(text), "::ffff:%s", host);
    struct net_addr a = literal(text);
    CHECK_EQ(a.ss.ss_family, AF_INET6);
    return a;
}

TEST(an_accept_filter_compares_as_many_bits_as_it_says)
{
    static const struct {
        const char *net;
        unsigned bits;
        const char *in, *out; /* NULL: none */
    } cases[] = {
        {"10.0.0.0", 8, "10.255.1.2", "11.0.0.0"},
        {"10.128.0.0", 9, "10.255.1.2", "10.127.255.255"},
        {"10.1.2.3", 32, "10.1.2.3", "10.1.2.2"},
        {"10.1.2.4", 31, "10.1.2.5", "10.1.2.6"},
        {"10.1.2.3", 0, "192.0.2.1", NULL},
        {"2001:db8::", 32, "2001:db8:ffff::1", "2001:db9::1"},
        {"2001:db8:8000::", 33, "2001:db8:8000::1", "2001:db8:7fff::1"},
        {"::1", 128, "::1", "::2"},
        {"10.0.0.0", 8, "10.1.1.1", "::1"},
        {"::", 0, "::1", "10.0.0.1"},
    };
    struct place w;
    begin(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cidr filter = {.addr = literal(cases[i].net), .bits = cases[i].bits};
        if (!strchr(cases[i].net, ':'))
            CHECK_EQ(net_resolve(cases[i].net, 0, false, true, &filter.addr, 1), 1);
        w.sec->accept_filters = &filter;
        w.sec->accept_filter_count = 1;
        const char *peers[] = {cases[i].in, cases[i].out};
        for (int k = 0; k < 2; k++) {
            if (!peers[k])
                continue;
            struct net_addr peer;
            bool v4 = !strchr(peers[k], ':');
            CHECK_EQ(net_resolve(peers[k], 1, !v4, true, &peer, 1), 1);
            int fd = net_socket(peer.ss.ss_family, SOCK_STREAM);
            CHECK(fd >= 0);
            CHECK_EQ(transport_tcp.accepted(&w.ep, fd, &peer), k ? -EACCES : 0);
            net_close(fd);
        }
    }
    end(&w);
}

TEST(a_filter_of_ipv4_fits_what_a_socket_of_both_families_sees)
{
    struct place w;
    begin(&w);
    struct cidr filters[2] = {{.bits = 32}, {.bits = 8}};
    CHECK_EQ(net_resolve("192.0.2.1", 0, false, true, &filters[0].addr, 1), 1);
    CHECK_EQ(net_resolve("10.0.0.0", 0, false, true, &filters[1].addr, 1), 1);
    w.sec->accept_filters = filters;
    w.sec->accept_filter_count = 2;
    int fd = net_socket(AF_INET6, SOCK_STREAM);
    CHECK(fd >= 0);
    struct net_addr peer = mapped("10.9.8.7"); /* the second one lets it in */
    CHECK_EQ(transport_tcp.accepted(&w.ep, fd, &peer), 0);
    peer = mapped("11.9.8.7");
    CHECK_EQ(transport_tcp.accepted(&w.ep, fd, &peer), -EACCES);
    net_close(fd);
    end(&w);
}

TEST(the_address_of_a_peer_is_bare_and_one_that_is_not_known_is_an_error)
{
    char text[96];
    struct net_addr a = literal("2001:db8::5");
    CHECK_EQ(transport_tcp.peer_address(-1, &a, text, sizeof(text)), 0);
    CHECK_STR(text, "2001:db8::5");
    a = mapped("10.9.8.7");
    CHECK_EQ(transport_tcp.peer_address(-1, &a, text, sizeof(text)), 0);
    CHECK_STR(text, "10.9.8.7");
    memset(&a, 0, sizeof(a));
    CHECK_EQ(transport_tcp.peer_address(-1, &a, text, sizeof(text)), -ENOTCONN);
}
