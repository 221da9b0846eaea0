/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#include "os/fdset.h"
#include "os/sys.h"

#define IOV_COUNT_MAX 1024 /* POSIX systems refuse more than IOV_MAX, which is this or more */

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define SEND_FLAGS MSG_DONTWAIT
#endif

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Making a descriptor: the flags come with the call, or right after it. */
#ifdef SOCK_NONBLOCK

static int open_socket(int family, int type, int protocol)
{
    return SYS(SOCKET, socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

static int open_accepted(int listen_fd, struct sockaddr *sa, socklen_t *len)
{
    return SYS(ACCEPT, accept4(listen_fd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

#else

static int with_flags(int fd)
{
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
#ifdef SO_NOSIGPIPE
    set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return fd;
}

static int open_socket(int family, int type, int protocol)
{
    return with_flags(SYS(SOCKET, socket(family, type, protocol)));
}

static int open_accepted(int listen_fd, struct sockaddr *sa, socklen_t *len)
{
    return with_flags(SYS(ACCEPT, accept(listen_fd, sa, len)));
}

#endif

int net_fd_adopt(int fd)
{
    int flags = SYS(FCNTL, fcntl(fd, F_GETFL));
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    fdset_lock();
    int result = fdset_note(fd);
    fdset_unlock();
#ifdef SO_NOSIGPIPE
    set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return result;
}

void net_close(int fd)
{
    fdset_close(fd);
}

long net_fd_count(void)
{
    return fdset_count();
}

void net_fork_prepare(void)
{
    fdset_lock();
}

void net_fork_parent(void)
{
    fdset_unlock();
}

void net_close_all_after_fork(void)
{
    fdset_close_all_after_fork();
}

int net_socket(int family, int type)
{
    fdset_lock();
    return fdset_finish(open_socket(family, type, 0));
}

int net_raw_socket(int family, int protocol)
{
    fdset_lock();
    return fdset_finish(open_socket(family, SOCK_RAW, protocol));
}

static void apply_ip(int fd, int family, const struct net_stream_opts *o)
{
    if (o->tos > 0) {
        if (family == AF_INET6)
            set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, o->tos);
        /* A v6 socket sends to v4-mapped addresses with the v4 option. */
        set_int(fd, IPPROTO_IP, IP_TOS, o->tos);
    }
    if (o->keepalive >= 0)
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, o->keepalive != 0);
#ifdef TCP_KEEPCNT
    if (o->keepalive_cnt > 0)
        set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepalive_cnt);
#endif
#if defined(TCP_KEEPIDLE)
    if (o->keepalive_idle > 0)
        set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_idle);
#elif defined(TCP_KEEPALIVE)
    if (o->keepalive_idle > 0)
        set_int(fd, IPPROTO_TCP, TCP_KEEPALIVE, o->keepalive_idle);
#endif
#ifdef TCP_KEEPINTVL
    if (o->keepalive_intvl > 0)
        set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepalive_intvl);
#endif
#ifdef TCP_USER_TIMEOUT
    if (o->maxrt_ms > 0)
        set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->maxrt_ms);
#endif
}

static int bind_to_device(int fd, const char *name)
{
#ifdef SO_BINDTODEVICE
    socklen_t len = (socklen_t)strlen(name);
    return SYS(SETSOCKOPT, setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, len)) < 0 ? -errno : 0;
#else
    (void)fd;
    (void)name;
    return -ENOTSUP;
#endif
}

int net_apply(int fd, int family, const struct net_stream_opts *opts)
{
    if (opts->sndbuf > 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, opts->sndbuf);
    if (opts->rcvbuf > 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, opts->rcvbuf);
    if (family != AF_INET && family != AF_INET6)
        return 0;
    apply_ip(fd, family, opts);
#ifdef SO_PRIORITY
    if (opts->priority > 0)
        set_int(fd, SOL_SOCKET, SO_PRIORITY, opts->priority);
#endif
#ifdef SO_BUSY_POLL
    if (opts->busy_poll > 0)
        set_int(fd, SOL_SOCKET, SO_BUSY_POLL, opts->busy_poll);
#endif
    if (opts->bind_to_device && opts->bind_to_device[0])
        return bind_to_device(fd, opts->bind_to_device);
    return 0;
}

int net_listen(int fd, const struct net_addr *addr, int backlog, bool reuse_addr, bool v6only)
{
    int family = addr->ss.ss_family;
    if (reuse_addr && family != AF_UNIX)
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only);
    if (SYS(BIND, bind(fd, (const struct sockaddr *)&addr->ss, addr->len)) < 0 ||
        SYS(LISTEN, listen(fd, backlog < 0 ? INT_MAX : backlog)) < 0)
        return -errno;
    return 0;
}

int net_connect(int fd, const struct net_addr *addr)
{
    if (SYS(CONNECT, connect(fd, (const struct sockaddr *)&addr->ss, addr->len)) == 0 ||
        errno == EISCONN)
        return 1;
    /* An interrupted connect goes on by itself. */
    return errno == EINPROGRESS || errno == EALREADY || errno == EINTR ? 0 : -errno;
}

int net_connect_result(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);
    if (SYS(CONNECT_RESULT, getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len)) < 0)
        return -errno;
    return -err;
}

int net_accept(int listen_fd, struct net_addr *peer)
{
    struct net_addr addr;
    for (;;) {
        memset(&addr, 0, sizeof(addr));
        addr.len = sizeof(addr.ss);
        fdset_lock();
        int fd = fdset_finish(open_accepted(listen_fd, (struct sockaddr *)&addr.ss, &addr.len));
        /* A connection that died in the queue is no reason to stop: there may be others. */
        if (fd == -EINTR || fd == -ECONNABORTED || fd == -EPROTO)
            continue;
        if (fd >= 0 && peer)
            *peer = addr;
        return fd == -EWOULDBLOCK ? -EAGAIN : fd;
    }
}

int net_local_addr(int fd, struct net_addr *out)
{
    memset(out, 0, sizeof(*out));
    out->len = sizeof(out->ss);
    if (SYS(GETSOCKNAME, getsockname(fd, (struct sockaddr *)&out->ss, &out->len)) == 0)
        return 0;
    out->len = 0;
    return -errno;
}

int net_bind(int fd, const struct net_addr *addr)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return SYS(BIND, bind(fd, (const struct sockaddr *)&addr->ss, addr->len)) ? -errno : 0;
}

void net_shutdown(int fd, enum net_shut how)
{
    shutdown(fd, how == NET_SHUT_SEND ? SHUT_WR : SHUT_RDWR);
}

void net_nodelay(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

int net_congestion(int fd, const char *name)
{
#ifdef TCP_CONGESTION
    socklen_t len = (socklen_t)strlen(name);
    return SYS(SETSOCKOPT, setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, len)) ? -errno : 0;
#else
    (void)fd;
    (void)name;
    return -ENOPROTOOPT;
#endif
}

bool net_is_loopback(const struct net_addr *a)
{
    if (a->ss.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (a->ss.ss_family != AF_INET6)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)&a->ss)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(in6) ||
           (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == IN_LOOPBACKNET);
}

void net_reached(struct net_addr *peer, const struct net_addr *own)
{
    if (peer->ss.ss_family != own->ss.ss_family)
        return;
    if (peer->ss.ss_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&peer->ss;
        if (in->sin_addr.s_addr == htonl(INADDR_ANY))
            in->sin_addr = ((const struct sockaddr_in *)&own->ss)->sin_addr;
    } else if (peer->ss.ss_family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer->ss;
        if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
            const struct sockaddr_in6 *from = (const struct sockaddr_in6 *)&own->ss;
            in6->sin6_addr = from->sin6_addr;
            in6->sin6_scope_id = from->sin6_scope_id;
        }
    }
}

static ssize_t io_error(void)
{
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ssize_t net_recv(int fd, void *buf, size_t len)
{
    ssize_t n;
    do {
        n = SYS(RECV, recv(fd, buf, len, MSG_DONTWAIT));
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_error() : n;
}

int net_pending(int fd)
{
    uint8_t byte;
    ssize_t n;
    do {
        n = SYS(RECV, recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK));
    } while (n < 0 && errno == EINTR);
    return (int)(n < 0 ? io_error() : n);
}

int net_unacked(int fd)
{
    int n = 0;
#if defined(SIOCOUTQ)
    int domain = AF_UNSPEC;
    socklen_t len = sizeof(domain);
    if (SYS(UNACKED, ioctl(fd, SIOCOUTQ, &n)))
        return 0;
    /* What goes through a unix socket is the peer's at once. */
    if (n && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX)
        return 0;
#elif defined(SO_NWRITE)
    socklen_t len = sizeof(n);
    if (SYS(UNACKED, getsockopt(fd, SOL_SOCKET, SO_NWRITE, &n, &len)))
        return 0;
#elif defined(FIONWRITE)
    if (SYS(UNACKED, ioctl(fd, FIONWRITE, &n)))
        return 0;
#else
    (void)fd;
#endif
    return n;
}

ssize_t net_send(int fd, const void *buf, size_t len)
{
    ssize_t n;
    do {
        n = SYS(SEND, send(fd, buf, len, SEND_FLAGS));
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_error() : n;
}

ssize_t net_sendv(int fd, const struct iovec *iov, int count)
{
    struct msghdr msg;
    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = (struct iovec *)(uintptr_t)iov; /* sendmsg does not write to it */
    if (count > IOV_COUNT_MAX)
        count = IOV_COUNT_MAX;
    msg.msg_iovlen = count;
    ssize_t n;
    do {
        n = SYS(SEND, sendmsg(fd, &msg, SEND_FLAGS));
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_error() : n;
}

int net_peer_cred(int fd, uint32_t *pid, uint32_t *uid, uint32_t *gid)
{
#if defined(__linux__)
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    *pid = (uint32_t)cred.pid;
    *uid = cred.uid;
    *gid = cred.gid;
#else
    uid_t u;
    gid_t g;
    if (getpeereid(fd, &u, &g) < 0)
        return -errno;
    pid_t process = 0;
#ifdef LOCAL_PEERPID
    socklen_t len = sizeof(process);
    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &process, &len) < 0)
        process = 0;
#endif
    *pid = (uint32_t)process;
    *uid = u;
    *gid = g;
#endif
    return 0;
}

static void unix_text(const struct net_addr *a, char *buf, size_t size)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->ss;
    size_t head = offsetof(struct sockaddr_un, sun_path);
    int len = a->len > head ? (int)(a->len - head) : 0;
    if (len && !un->sun_path[0]) /* abstract: not terminated */
        snprintf(buf, size, "@%.*s", len - 1, un->sun_path + 1);
    else
        snprintf(buf, size, "%.*s", len, un->sun_path);
}

void net_addr_text(const struct net_addr *a, char *buf, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    buf[0] = 0;
    if (!a->len)
        return;
    if (a->ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->ss;
        if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)))
            snprintf(buf, size, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else if (a->ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->ss;
        char zone[IF_NAMESIZE + 1] = "";
        if (in6->sin6_scope_id) {
            zone[0] = '%';
            if (!if_indextoname(in6->sin6_scope_id, zone + 1))
                snprintf(zone + 1, sizeof(zone) - 1, "%u", (unsigned)in6->sin6_scope_id);
        }
        if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)))
            snprintf(buf, size, "[%s%s]:%u", host, zone, (unsigned)ntohs(in6->sin6_port));
    } else if (a->ss.ss_family == AF_UNIX) {
        unix_text(a, buf, size);
    }
}

static void set_port(struct net_addr *a, uint16_t port)
{
    if (a->ss.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->ss)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)&a->ss)->sin6_port = htons(port);
}

static bool take_addr(struct net_addr *out, const struct sockaddr *sa, uint16_t port)
{
    socklen_t len;
    if (sa->sa_family == AF_INET)
        len = sizeof(struct sockaddr_in);
    else if (sa->sa_family == AF_INET6)
        len = sizeof(struct sockaddr_in6);
    else
        return false;
    memset(out, 0, sizeof(*out));
    memcpy(&out->ss, sa, len);
    out->len = len;
    set_port(out, port);
    return true;
}

static int resolve_error(int eai)
{
    switch (eai) {
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -ENOENT;
    }
}

/* The index of the interface that a zone names, also as a number. 0: no such. */
static unsigned zone_index(const char *zone)
{
    unsigned index = if_nametoindex(zone);
    char name[IF_NAMESIZE];
    if (index || !*zone || strspn(zone, "0123456789") != strlen(zone))
        return index;
    unsigned long number = strtoul(zone, NULL, 10);
    return number <= UINT_MAX && if_indextoname((unsigned)number, name) ? (unsigned)number : 0;
}

/* "address%zone": getaddrinfo takes zones by name for link-local addresses alone. 1, or -ENOENT. */
static int resolve_zoned(const char *host, uint16_t port, struct net_addr *out)
{
    char text[INET6_ADDRSTRLEN];
    const char *percent = strchr(host, '%');
    size_t len = (size_t)(percent - host);
    struct sockaddr_in6 in6;
    memset(&in6, 0, sizeof(in6));
    in6.sin6_family = AF_INET6;
    if (len >= sizeof(text))
        return -ENOENT;
    memcpy(text, host, len);
    text[len] = 0;
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1 ||
        (in6.sin6_scope_id = zone_index(percent + 1)) == 0)
        return -ENOENT;
    return take_addr(out, (const struct sockaddr *)&in6, port) ? 1 : -ENOENT;
}

int net_resolve(const char *host, uint16_t port, bool ipv6, bool numeric_only, struct net_addr *out,
                int max)
{
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    if (ipv6 && strchr(host, '%'))
        return resolve_zoned(host, port, out);
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = ipv6 ? AF_UNSPEC : AF_INET;
    hints.ai_socktype = SOCK_STREAM; /* one entry an address, not one a protocol */
    hints.ai_flags = numeric_only ? AI_NUMERICHOST : 0;
    int eai = SYS_FAULT(RESOLVE) ? EAI_AGAIN : getaddrinfo(host, NULL, &hints, &list);
    if (eai)
        return resolve_error(eai);
    int n = 0;
    for (const struct addrinfo *ai = list; ai && n < max; ai = ai->ai_next)
        n += take_addr(&out[n], ai->ai_addr, port);
    freeaddrinfo(list);
    return n ? n : -ENOENT;
}

int net_interface_addr(const char *ifname, uint16_t port, bool ipv6, struct net_addr *out)
{
    struct ifaddrs *list;
    if (SYS(IFADDRS, getifaddrs(&list)) < 0)
        return -errno;
    const struct sockaddr *v4 = NULL;
    const struct sockaddr *v6 = NULL;
    for (const struct ifaddrs *ifa = list; ifa; ifa = ifa->ifa_next) {
        if (!ifa->ifa_addr || strcmp(ifa->ifa_name, ifname) != 0)
            continue;
        if (!v4 && ifa->ifa_addr->sa_family == AF_INET)
            v4 = ifa->ifa_addr;
        if (!v6 && ifa->ifa_addr->sa_family == AF_INET6)
            v6 = ifa->ifa_addr;
    }
    const struct sockaddr *found = ipv6 && v6 ? v6 : v4;
    int result = found && take_addr(out, found, port) ? 0 : -ENODEV;
    freeifaddrs(list);
    return result;
}
