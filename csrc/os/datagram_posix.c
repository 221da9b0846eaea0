/* SPDX-License-Identifier: MIT */
#include "os/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/filter.h>
#include <netinet/udp.h>
#endif

#include "os/cmsg.h"
#include "os/sys.h"

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define SEND_FLAGS MSG_DONTWAIT
#endif

#if defined(SO_RXQ_OVFL)
#define CONTROL_SIZE (CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int)))
#else
#define CONTROL_SIZE 1
#endif

union control {
    struct cmsghdr align;
    char bytes[CONTROL_SIZE];
};

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

static int io_error(void)
{
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* ---- sending and receiving ---- */

static void fill_out(struct msghdr *h, const struct net_datagram *d)
{
    memset(h, 0, sizeof(*h));
    if (d->to) {
        h->msg_name = (void *)(uintptr_t)&d->to->ss; /* sendmsg does not write to it */
        h->msg_namelen = d->to->len;
    }
    h->msg_iov = (struct iovec *)(uintptr_t)d->iov;
    h->msg_iovlen = d->iov_count;
}

static void fill_in(struct msghdr *h, struct net_datagram *d, union control *control)
{
    memset(h, 0, sizeof(*h));
    h->msg_name = &d->from.ss;
    h->msg_namelen = sizeof(d->from.ss);
    h->msg_iov = d->iov;
    h->msg_iovlen = d->iov_count;
#if defined(SO_RXQ_OVFL)
    h->msg_control = control;
    h->msg_controllen = sizeof(*control);
#else
    (void)control;
#endif
}

static void note_received(const struct msghdr *h, size_t size, struct net_datagram *d,
                          uint32_t *lost)
{
    d->from.len = h->msg_namelen;
    d->size = size;
    d->truncated = h->msg_flags & MSG_TRUNC;
    d->segment = 0;
#if defined(SO_RXQ_OVFL)
    if (!h->msg_controllen) /* the usual case */
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = cmsg_next(h, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(lost, CMSG_DATA(c), sizeof(*lost));
#if defined(UDP_GRO)
        int segment;
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(c), sizeof(segment));
            d->segment = segment > 0 ? (size_t)segment : 0;
        }
#endif
    }
#else
    (void)lost;
#endif
}

#if defined(__linux__) || defined(__FreeBSD__)

int net_send_datagrams(int fd, const struct net_datagram *v, int count)
{
    struct mmsghdr h[NET_DATAGRAMS_MAX];
    int n;
    if (count > NET_DATAGRAMS_MAX)
        count = NET_DATAGRAMS_MAX;
    for (int i = 0; i < count; i++) {
        fill_out(&h[i].msg_hdr, &v[i]);
        h[i].msg_len = 0;
    }
    do {
        n = (int)SYS(SEND_DATAGRAMS, sendmmsg(fd, h, (unsigned)count, SEND_FLAGS));
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_error() : n;
}

int net_recv_datagrams(int fd, struct net_datagram *v, int count, uint32_t *lost)
{
    struct mmsghdr h[NET_DATAGRAMS_MAX];
    union control control[NET_DATAGRAMS_MAX];
    int n;
    if (count > NET_DATAGRAMS_MAX)
        count = NET_DATAGRAMS_MAX;
    for (int i = 0; i < count; i++) {
        fill_in(&h[i].msg_hdr, &v[i], &control[i]);
        h[i].msg_len = 0;
    }
    do {
        n = (int)SYS(RECV_DATAGRAMS, recvmmsg(fd, h, (unsigned)count, MSG_DONTWAIT, NULL));
    } while (n < 0 && errno == EINTR);
    for (int i = 0; i < n; i++)
        note_received(&h[i].msg_hdr, h[i].msg_len, &v[i], lost);
    return n < 0 ? io_error() : n;
}

#else

int net_send_datagrams(int fd, const struct net_datagram *v, int count)
{
    int n = 0;
    while (n < count) {
        struct msghdr h;
        fill_out(&h, &v[n]);
        if (SYS(SEND_DATAGRAMS, sendmsg(fd, &h, SEND_FLAGS)) >= 0)
            n++;
        else if (errno != EINTR)
            return n ? n : io_error();
    }
    return n;
}

int net_recv_datagrams(int fd, struct net_datagram *v, int count, uint32_t *lost)
{
    int n = 0;
    while (n < count) {
        struct msghdr h;
        union control control;
        fill_in(&h, &v[n], &control);
        ssize_t size = SYS(RECV_DATAGRAMS, recvmsg(fd, &h, MSG_DONTWAIT));
        if (size >= 0)
            note_received(&h, (size_t)size, &v[n++], lost);
        else if (errno != EINTR)
            return n ? n : io_error();
    }
    return n;
}

#endif

int net_send_segments(int fd, const struct net_addr *to, const struct iovec *iov, int count)
{
#if defined(UDP_SEGMENT)
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control;
    struct msghdr h;
    const uint16_t segment = (uint16_t)iov[0].iov_len;
    memset(&h, 0, sizeof(h));
    memset(&control, 0, sizeof(control));
    h.msg_name = (void *)(uintptr_t)&to->ss; /* sendmsg does not write to it */
    h.msg_namelen = to->len;
    h.msg_iov = (struct iovec *)(uintptr_t)iov;
    h.msg_iovlen = count;
    h.msg_control = control.bytes;
    h.msg_controllen = sizeof(control.bytes);
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(segment));
    memcpy(CMSG_DATA(c), &segment, sizeof(segment));
    ssize_t n;
    do {
        n = SYS(SEND_DATAGRAMS, sendmsg(fd, &h, SEND_FLAGS));
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    /* What old kernels say, and those whose device cannot do it on this way. */
    return errno == EINVAL || errno == EIO || errno == ENOPROTOOPT || errno == EOPNOTSUPP
               ? -ENOTSUP
               : io_error();
#else
    (void)fd;
    (void)to;
    (void)iov;
    (void)count;
    return -ENOTSUP;
#endif
}

/* ---- descriptors ---- */

void net_datagram_apply(int fd, const struct net_datagram_opts *opts)
{
    if (opts->broadcast)
        (void)set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
    if (opts->share) {
        (void)set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
#if defined(SO_REUSEPORT) && !defined(__linux__)
        (void)set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1); /* BSD asks for it, Linux takes the other */
#endif
    }
#if defined(SO_RXQ_OVFL)
    if (opts->count_lost)
        (void)set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
#endif
#if defined(UDP_GRO)
    if (opts->segments)
        (void)set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
#endif
    if (opts->rcvbuf_wanted) {
        int now = 0;
        socklen_t len = sizeof(now);
        if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &now, &len) || now < opts->rcvbuf_wanted)
            (void)set_int(fd, SOL_SOCKET, SO_RCVBUF, opts->rcvbuf_wanted);
    }
}

int net_datagram_bind(int fd, const struct net_addr *addr, bool v6only)
{
    if (addr->ss.ss_family == AF_INET6)
        (void)set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only);
    return SYS(BIND, bind(fd, (const struct sockaddr *)&addr->ss, addr->len)) ? -errno : 0;
}

void net_datagram_reconnect(int fd, const struct net_addr *to)
{
    struct sockaddr none;
    memset(&none, 0, sizeof(none));
    none.sa_family = AF_UNSPEC; /* else the old source address stays */
    (void)connect(fd, &none, sizeof(none));
    (void)connect(fd, (const struct sockaddr *)&to->ss, to->len);
}

/* ---- addresses ---- */

static int parse_port(const char *digits, size_t len, uint16_t *port)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return -EINVAL;
        value = value * 10 + (unsigned)(digits[i] - '0');
    }
    if (value == 0 || value > 65535)
        return -EINVAL;
    *port = htons((uint16_t)value);
    return 0;
}

int net_any_addr(uint16_t port, bool ipv6, struct net_addr *out)
{
    int n = 0;
    memset(out, 0, sizeof(*out) * (ipv6 ? 2 : 1));
    if (ipv6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out[n].ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_addr = in6addr_any;
        in6->sin6_port = htons(port);
        out[n++].len = sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)&out[n].ss;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_ANY);
    in->sin_port = htons(port);
    out[n++].len = sizeof(*in);
    return n;
}

int net_addr_parse(const char *text, size_t len, struct net_addr *out)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
    if (len && !text[len - 1])
        len--;
    size_t colon = len;
    while (colon > 0 && text[colon - 1] != ':')
        colon--;
    uint16_t port;
    if (colon == 0 || parse_port(text + colon, len - colon, &port))
        return -EINVAL;
    size_t host_len = colon - 1;
    bool v6 = host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']';
    if (v6) {
        text++;
        host_len -= 2;
    }
    if (host_len >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, host_len);
    host[host_len] = 0;
    memset(out, 0, sizeof(*out));
    if (!v6) {
        struct sockaddr_in *in = (struct sockaddr_in *)&out->ss;
        in->sin_family = AF_INET;
        in->sin_port = port;
        out->len = sizeof(*in);
        return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 0 : -EINVAL;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->ss;
    char *zone = strchr(host, '%');
    if (zone) {
        *zone++ = 0;
        in6->sin6_scope_id = if_nametoindex(zone);
        if (!in6->sin6_scope_id)
            return -EINVAL;
    }
    in6->sin6_family = AF_INET6;
    in6->sin6_port = port;
    out->len = sizeof(*in6);
    return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
}

/* ---- multicast ---- */

void net_addr_scope(struct net_addr *a, unsigned index)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->ss;
    if (a->ss.ss_family == AF_INET6 && !in6->sin6_scope_id)
        in6->sin6_scope_id = index;
}

bool net_is_multicast(const struct net_addr *a)
{
    if (a->ss.ss_family == AF_INET)
        return IN_MULTICAST(ntohl(((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr));
    return a->ss.ss_family == AF_INET6 &&
           IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)&a->ss)->sin6_addr);
}

static bool same_host(const struct sockaddr *x, const struct net_addr *y)
{
    if (x->sa_family != y->ss.ss_family)
        return false;
    if (x->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)x)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)&y->ss)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)x)->sin6_addr,
                  &((const struct sockaddr_in6 *)&y->ss)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

int net_interface_index(const char *name_or_address, unsigned *index)
{
    struct ifaddrs *list;
    struct net_addr wanted;
    *index = if_nametoindex(name_or_address);
    if (*index)
        return 0;
    int n = net_resolve(name_or_address, 0, true, true, &wanted, 1);
    if (n != 1)
        return -ENODEV;
    if (SYS(IFADDRS, getifaddrs(&list)) < 0)
        return -errno;
    for (const struct ifaddrs *ifa = list; ifa && !*index; ifa = ifa->ifa_next) {
        if (ifa->ifa_addr &&
            (ifa->ifa_addr->sa_family == AF_INET || ifa->ifa_addr->sa_family == AF_INET6) &&
            same_host(ifa->ifa_addr, &wanted))
            *index = if_nametoindex(ifa->ifa_name);
    }
    freeifaddrs(list);
    return *index ? 0 : -ENODEV;
}

int net_multicast_join(int fd, const struct net_addr *group, unsigned index)
{
    struct group_req req;
    bool v6 = group->ss.ss_family == AF_INET6;
    memset(&req, 0, sizeof(req));
    req.gr_interface = index;
    memcpy(&req.gr_group, &group->ss, group->len);
#if defined(IP_MULTICAST_ALL)
    /* Only what this descriptor has joined: by default Linux hands it what any other has, too. */
    if (!v6)
        (void)set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
#endif
#if defined(IPV6_MULTICAST_ALL)
    if (v6)
        (void)set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
#endif
    return SYS(SETSOCKOPT,
               setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_JOIN_GROUP, &req, sizeof(req)))
               ? -errno
               : 0;
}

int net_multicast_send_by(int fd, int family, unsigned index, int hops, bool loop)
{
    bool v6 = family == AF_INET6;
    int rc = 0;
    if (index && v6) {
        rc = set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)index);
    } else if (index) {
        struct ip_mreqn by;
        memset(&by, 0, sizeof(by));
        by.imr_ifindex = (int)index;
        rc = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof(by)) ? -errno : 0;
    }
    if (rc == 0 && v6) {
        rc = set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, loop);
        if (rc == 0 && hops >= 0)
            rc = set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
    } else if (rc == 0) {
        unsigned char on = loop, far = (unsigned char)(hops > 255 ? 255 : hops);
        rc = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on)) ? -errno : 0;
        if (rc == 0 && hops >= 0)
            rc = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &far, sizeof(far)) ? -errno : 0;
    }
    return rc;
}

int net_addr_bytes(const struct net_addr *a, uint8_t out[16])
{
    if (a->ss.ss_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)&a->ss)->sin6_addr, 16);
        return 16;
    }
    memcpy(out, &((const struct sockaddr_in *)&a->ss)->sin_addr, 4);
    return 4;
}

void net_addr_of_bytes(const uint8_t *bytes, int len, uint16_t port, unsigned index,
                       struct net_addr *out)
{
    memset(out, 0, sizeof(*out));
    if (len == 16) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->ss;
        in6->sin6_family = AF_INET6;
        memcpy(&in6->sin6_addr, bytes, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
            in6->sin6_scope_id = index;
        out->len = sizeof(*in6);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&out->ss;
        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, bytes, 4);
        out->len = sizeof(*in);
    }
    net_addr_set_port(out, port);
}

void net_addr_set_port(struct net_addr *a, uint16_t port)
{
    if (a->ss.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->ss)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&a->ss)->sin_port = htons(port);
}

/* ---- what comes through ---- */

void net_datagram_filter(int fd, int family, bool raw, uint32_t offset, const uint8_t *values,
                         int count)
{
#if defined(SO_ATTACH_FILTER)
    struct sock_filter code[24];
    unsigned short n = 0;
    if (count < 0 || count > 16)
        return;
    /* The packet begins with the UDP header, or with the IPv4 header, whose length it tells. */
    if (raw && family == AF_INET) {
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_IND, offset);
    } else {
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offset + (raw ? 0 : 8));
    }
    for (int i = 0; i < count; i++)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i],
                                                 (uint8_t)(count - i), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
    const struct sock_fprog program = {n, code};
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
#else
    (void)fd;
    (void)family;
    (void)raw;
    (void)offset;
    (void)values;
    (void)count;
#endif
}
