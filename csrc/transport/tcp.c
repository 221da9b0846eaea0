/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "net/security.h"
#include "pipe/option_values.h"
#include "transport/stream.h"

#define DETAIL_SIZE 200

/* Whether the text could name a host: letters, digits and what addresses are written with, but no
 * hyphen or the like at the start. Interfaces, which a zone names, are less strict. */
static bool may_be_host(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '%' && i > 0)
            return true;
        if (!plain && (i == 0 ? c != ':' && c != '[' && c != '*' : !strchr(".-_:[]*", c)))
            return false;
    }
    return true;
}

/* "host:port" into its halves; "[v6]:port" loses its brackets. */
static int split_port(const char *text, size_t len, char *host, size_t host_size, uint16_t *port,
                      bool wildcard_port, const char *scheme, const char *whole, char *detail)
{
    size_t colon = len;
    while (colon > 0 && text[colon - 1] != ':')
        colon--;
    if (colon == 0) {
        snprintf(detail, DETAIL_SIZE, "'%s://%.100s' has no port: use %s://host:port", scheme,
                 whole, scheme);
        return -EINVAL;
    }
    const char *digits = text + colon;
    size_t digits_len = len - colon;
    size_t host_len = colon - 1;
    if (digits_len == 1 && *digits == '*') {
        if (!wildcard_port) {
            snprintf(detail, DETAIL_SIZE, "'%s://%.100s': connect needs a port, not *", scheme,
                     whole);
            return -EINVAL;
        }
        *port = 0;
    } else {
        unsigned long value = 0;
        for (size_t i = 0; i < digits_len; i++) {
            if (digits[i] < '0' || digits[i] > '9' || value > 65535) {
                value = 65536;
                break;
            }
            value = value * 10 + (unsigned long)(digits[i] - '0');
        }
        if (digits_len == 0 || value > 65535 || (value == 0 && !wildcard_port)) {
            snprintf(detail, DETAIL_SIZE,
                     "'%s://%.100s': the port must be a number from %d to 65535%s", scheme, whole,
                     wildcard_port ? 0 : 1, wildcard_port ? " or *" : "");
            return -EINVAL;
        }
        *port = (uint16_t)value;
    }
    if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']') {
        text++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len >= host_size) {
        snprintf(detail, DETAIL_SIZE, "'%s://%.100s' has %s host", scheme, whole,
                 host_len ? "too long a" : "no");
        return -EINVAL;
    }
    memcpy(host, text, host_len);
    host[host_len] = 0;
    return 0;
}

/* -EINVAL unless it could be one to connect to, or from. */
static int check_host(const char *host, const char *scheme, const char *whole, char *detail)
{
    if (may_be_host(host, strlen(host)))
        return 0;
    snprintf(detail, DETAIL_SIZE, "'%s://%.100s': '%.60s' is no host name or address", scheme,
             whole, host);
    return -EINVAL;
}

static void any_address(struct address *a, bool ipv6)
{
    memset(&a->at[0], 0, sizeof(a->at[0]));
    if (ipv6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->at[0].ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_addr = in6addr_any;
        in6->sin6_port = htons(a->port);
        a->at[0].len = sizeof(*in6);
        /* Where the system has no IPv6 after all. */
        struct sockaddr_in *in = (struct sockaddr_in *)&a->at[1].ss;
        memset(&a->at[1], 0, sizeof(a->at[1]));
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        a->at[1].len = sizeof(*in);
        a->count = 2;
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&a->at[0].ss;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_ANY);
        in->sin_port = htons(a->port);
        a->at[0].len = sizeof(*in);
        a->count = 1;
    }
}

int tcp_parse_as(struct address *a, const char *scheme, const char *rest, bool bind, bool ipv6,
                 char *detail)
{
    memset(a, 0, sizeof(*a));
    const char *semi = bind ? NULL : strchr(rest, ';');
    int rc;
    if (semi) {
        rc = split_port(rest, (size_t)(semi - rest), a->src_host, sizeof(a->src_host), &a->src_port,
                        true, scheme, rest, detail);
        if (rc == 0)
            rc = check_host(a->src_host, scheme, rest, detail);
        if (rc)
            return rc;
        a->has_src = true;
    }
    const char *target = semi ? semi + 1 : rest;
    rc = split_port(target, strlen(target), a->host, sizeof(a->host), &a->port, bind, scheme, rest,
                    detail);
    if (rc == 0 && !bind) /* to be bound it may name an interface */
        rc = check_host(a->host, scheme, rest, detail);
    if (rc)
        return rc;
    if (strcmp(a->host, "*") == 0) {
        if (!bind) {
            snprintf(detail, DETAIL_SIZE, "'%s://%.100s': connect needs a host, not *", scheme,
                     rest);
            return -EINVAL;
        }
        any_address(a, ipv6);
        return 0;
    }
    int n = net_resolve(a->host, a->port, ipv6, true, a->at, ADDRESS_MAX_CANDIDATES);
    a->count = n > 0 ? n : 0;
    return 0;
}

static int tcp_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    return tcp_parse_as(a, "tcp", rest, bind, ipv6, detail);
}

/* An address to bind to: interface name, literal or host name. */
static int local_address(const char *host, uint16_t port, bool ipv6, struct net_addr *out)
{
    if (strcmp(host, "*") == 0) {
        struct address any = {.port = port};
        any_address(&any, ipv6);
        *out = any.at[0];
        return 0;
    }
    if (net_interface_addr(host, port, ipv6, out) == 0)
        return 0;
    int n = net_resolve(host, port, ipv6, true, out, 1);
    if (n == 1)
        return 0;
    n = net_resolve(host, port, ipv6, false, out, 1);
    return n == 1 ? 0 : -ENODEV;
}

/* Within a host there is nothing to be fair to: reno fills the buffers, while one that paces what
 * it sends (bbr) makes large messages several times slower. Always there, and best effort. */
#define LOOPBACK_CONGESTION "reno"

static int choose_congestion(const struct endpoint *ep, int fd, const struct net_addr *addr)
{
    const char *chosen = ep->set->pipes.opt.tcp_congestion;
    if (chosen[0])
        return net_congestion(fd, chosen);
    if (net_is_loopback(addr))
        (void)net_congestion(fd, LOOPBACK_CONGESTION);
    return 0;
}

int tcp_listen(struct endpoint *ep, struct address *a)
{
    const struct option_values *o = &ep->set->pipes.opt;
    int adopted = stream_adopted(ep);
    if (adopted >= 0)
        net_nodelay(adopted);
    if (adopted != -1)
        return adopted;
    if (a->count == 0) {
        int rc = local_address(a->host, a->port, o->ipv6, &a->at[0]);
        if (rc) {
            detail_set("'%.100s' is neither an address of this host nor an interface", a->host);
            return rc;
        }
        a->count = 1;
    }
    int rc = -EADDRNOTAVAIL;
    for (int i = 0; i < a->count; i++) {
        int family = a->at[i].ss.ss_family;
        int fd = stream_socket(ep, family);
        if (fd < 0) {
            rc = fd;
            if (fd == -EAFNOSUPPORT)
                continue;
            return rc;
        }
        /* What is accepted there inherits both. */
        net_nodelay(fd);
        rc = choose_congestion(ep, fd, &a->at[i]);
        if (rc == 0)
            rc = net_listen(fd, &a->at[i], o->backlog, true, false);
        if (rc == 0)
            return fd;
        net_close(fd);
        if (rc != -EAFNOSUPPORT && rc != -EADDRNOTAVAIL)
            return rc;
    }
    return rc;
}

int tcp_connect(struct endpoint *ep, struct address *a, int which, bool *connected)
{
    struct net_addr *to = &a->at[which];
    int fd = stream_socket(ep, to->ss.ss_family);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (a->has_src) {
        struct net_addr src;
        bool v6 = to->ss.ss_family == AF_INET6;
        rc = local_address(a->src_host, a->src_port, v6, &src);
        if (rc == 0)
            rc = net_bind(fd, &src);
    }
    if (rc == 0)
        rc = choose_congestion(ep, fd, to);
    if (rc == 0) {
        net_nodelay(fd);
        rc = net_connect(fd, to);
    }
    if (rc < 0) {
        ep->io.fd = fd; /* to be reported and closed by the caller */
        return rc;
    }
    *connected = rc == 1;
    return fd;
}

static bool cidr_matches(const struct cidr *c, const struct net_addr *a)
{
    const uint8_t *x, *y;
    size_t size;
    struct net_addr mapped = *a;
    if (a->ss.ss_family == AF_INET6 && c->addr.ss.ss_family == AF_INET) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->ss;
        if (!IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            return false;
        struct sockaddr_in *in = (struct sockaddr_in *)&mapped.ss;
        struct in_addr v4;
        memcpy(&v4, in6->sin6_addr.s6_addr + 12, 4);
        memset(&mapped, 0, sizeof(mapped));
        in->sin_family = AF_INET;
        in->sin_addr = v4;
    }
    if (mapped.ss.ss_family != c->addr.ss.ss_family)
        return false;
    if (mapped.ss.ss_family == AF_INET) {
        x = (const uint8_t *)&((const struct sockaddr_in *)&mapped.ss)->sin_addr;
        y = (const uint8_t *)&((const struct sockaddr_in *)&c->addr.ss)->sin_addr;
        size = 4;
    } else {
        x = ((const struct sockaddr_in6 *)&mapped.ss)->sin6_addr.s6_addr;
        y = ((const struct sockaddr_in6 *)&c->addr.ss)->sin6_addr.s6_addr;
        size = 16;
    }
    unsigned bits = c->bits > size * 8 ? (unsigned)size * 8 : c->bits;
    if (memcmp(x, y, bits / 8))
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((x[bits / 8] ^ y[bits / 8]) >> (8 - rest)) == 0;
}

int tcp_accepted(struct endpoint *ep, int fd, const struct net_addr *peer)
{
    const struct security *sec = ep->security;
    if (sec->accept_filter_count) {
        bool ok = false;
        for (size_t i = 0; i < sec->accept_filter_count && !ok; i++)
            ok = cidr_matches(&sec->accept_filters[i], peer);
        if (!ok)
            return -EACCES;
    }
    stream_apply(ep, fd, peer->ss.ss_family);
    if (ep->address.count == 0 || !net_is_loopback(&ep->address.at[0]))
        choose_congestion(ep, fd, peer);
    return 0;
}

static void name_of(const struct net_addr *a, char *buf, size_t size)
{
    char text[96];
    net_addr_text(a, text, sizeof(text));
    snprintf(buf, size, "tcp://%s", text);
}

static int tcp_local_name(int fd, struct net_addr *own, char *buf, size_t size)
{
    int rc = net_local_addr(fd, own);
    if (rc)
        snprintf(buf, size, "tcp://");
    else
        name_of(own, buf, size);
    return rc;
}

int tcp_peer_address(int fd, const struct net_addr *addr, char *buf, size_t size)
{
    (void)fd;
    /* The address alone, as authentication wants it: no port, no brackets. */
    char text[96] = "";
    if (addr->len && addr->ss.ss_family != AF_UNIX)
        net_addr_text(addr, text, sizeof(text));
    if (!text[0])
        return -ENOTCONN;
    char *colon = strrchr(text, ':');
    if (colon)
        *colon = 0;
    size_t len = strlen(text);
    char *from = text;
    if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = 0;
        from++;
    }
    if (strncmp(from, "::ffff:", 7) == 0 && strchr(from, '.'))
        from += 7;
    snprintf(buf, size, "%s", from);
    return 0;
}

const struct transport_ops transport_tcp = {
    .scheme = "tcp",
    .parse = tcp_parse,
    .listen = tcp_listen,
    .connect = tcp_connect,
    .accepted = tcp_accepted,
    .local_name = tcp_local_name,
    .peer_name = name_of,
    .peer_address = tcp_peer_address,
};
