/* SPDX-License-Identifier: MIT */
/*
 * Sockets of the operating system. Every descriptor made here is non-blocking, close-on-exec and
 * registered, so that a forked child can close what it must not share, and tests can count.
 */
#ifndef OS_NET_H
#define OS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct net_addr {
    struct sockaddr_storage ss;
    socklen_t len; /* 0: none */
};

/* Registry of the engine's descriptors. net_fd_adopt registers a foreign one (USE_FD). */
/* Registers it and makes it non-blocking. fd, -EBADF or -ENOMEM (fd stays the caller's). */
int net_fd_adopt(int fd);
/* Unregisters and closes. One that is not registered is left alone: it went at fork. -1 is ignored.
 */
void net_close(int fd);
long net_fd_count(void); /* registered now */
/* In a forked child: closes every registered descriptor. Safe whatever other threads did at fork.
 */
void net_close_all_after_fork(void);
void net_fork_prepare(void); /* pthread_atfork hooks around the registry's lock */
void net_fork_parent(void);

struct net_stream_opts { /* -1 or NULL/0: leave the system's default */
    int sndbuf, rcvbuf;
    int tos, priority;
    int keepalive, keepalive_cnt, keepalive_idle, keepalive_intvl;
    int maxrt_ms; /* TCP_USER_TIMEOUT */
    int busy_poll;
    const char *bind_to_device;
};

/* A new stream socket for the family; 0.. or a negative errno. */
int net_socket(int family, int type);
/* Applies options that are set and meaningful for the family. -errno of the first that fails for
 * BINDTODEVICE, others are best effort. */
int net_apply(int fd, int family, const struct net_stream_opts *opts);
/* backlog -1: as many as the system allows. */
int net_listen(int fd, const struct net_addr *addr, int backlog, bool reuse_addr, bool v6only);
/* Binds an unconnected socket to its source address (with SO_REUSEADDR). */
int net_bind(int fd, const struct net_addr *addr);
/* 1: connected, 0: in progress, or a negative errno. Called again, it tells how far that is. */
int net_connect(int fd, const struct net_addr *addr);
int net_connect_result(int fd); /* after writability: 0 or the negative errno */
int net_accept(int listen_fd, struct net_addr *peer); /* fd, -EAGAIN, or a negative errno */
int net_local_addr(int fd, struct net_addr *out);
/* Says that no more will be sent (NET_SHUT_SEND), or ends both ways: a listener stops listening. */
enum net_shut { NET_SHUT_SEND, NET_SHUT_BOTH };
void net_shutdown(int fd, enum net_shut how);
void net_nodelay(int fd);
/* The TCP congestion control by name. 0 or a negative errno: -ENOPROTOOPT where there is no choice.
 */
int net_congestion(int fd, const char *name);
bool net_is_loopback(const struct net_addr *a);

/* >0 bytes, 0 on end of stream, -EAGAIN, or a negative errno. Never raises SIGPIPE, never blocks.
 */
ssize_t net_recv(int fd, void *buf, size_t len);
/* What net_recv would answer for one byte, which stays where it is. */
int net_pending(int fd);
/* Bytes that were sent and that the peer's system has not acknowledged; 0 where this system cannot
 * tell. */
int net_unacked(int fd);
ssize_t net_send(int fd, const void *buf, size_t len);
ssize_t net_sendv(int fd, const struct iovec *iov, int count);

/* ---- datagrams ---- */

#define NET_DATAGRAM_IOV 3

/* One datagram of a batch. */
struct net_datagram {
    struct iovec iov[NET_DATAGRAM_IOV]; /* what it is made of, or where it goes */
    int iov_count;
    const struct net_addr *to; /* sending; NULL: where the descriptor is connected to */
    struct net_addr from;      /* received: who sent it */
    size_t size;               /* received: its bytes */
    bool truncated;            /* received: there was no room for the rest, which is lost */
};

#define NET_DATAGRAMS_MAX 64 /* in one call */

/* Sends them in order, up to count: how many the kernel took, at least one, -EAGAIN, or the
 * negative errno of the first. */
int net_send_datagrams(int fd, const struct net_datagram *v, int count);
/* How many came, at least one, -EAGAIN, or a negative errno. *lost becomes the number of datagrams
 * that the kernel has dropped so far for want of room, where it says so with one of these; else it
 * stays as it is. */
int net_recv_datagrams(int fd, struct net_datagram *v, int count, uint32_t *lost);

struct net_datagram_opts {
    bool broadcast;    /* may be sent to a broadcast address */
    bool share;        /* others may bind the same address: for multicast, all of them get all */
    bool count_lost;   /* net_recv_datagrams is to report them */
    int rcvbuf_wanted; /* at least so much, if the system lets us have it; 0: as it is */
};
void net_datagram_apply(int fd, const struct net_datagram_opts *opts);
/* Binds without SO_REUSEADDR of its own. `v6only` as in net_listen. */
int net_datagram_bind(int fd, const struct net_addr *addr, bool v6only);

/* Connects a datagram socket anew, with the routes and addresses as they are now. What goes wrong
 * shows when it sends. */
void net_datagram_reconnect(int fd, const struct net_addr *to);
/* Reads "1.2.3.4:5" or "[::1]:5", as net_addr_text writes them; a NUL may end the text. 0, or
 * -EINVAL: not such a text, or port 0. */
int net_addr_parse(const char *text, size_t len, struct net_addr *out);
bool net_is_multicast(const struct net_addr *a);
/* The index of the interface that a name or one of its addresses names; -ENODEV: none does. */
int net_interface_index(const char *name_or_address, unsigned *index);
/* Receives what is sent to that group over that interface; index 0: the system's choice. */
int net_multicast_join(int fd, const struct net_addr *group, unsigned index);
/* How multicast is sent: over which interface (0: the system's choice), how far (TTL, hops; -1: as
 * it is), and whether this host receives it, too. */
int net_multicast_send_by(int fd, int family, unsigned index, int hops, bool loop);

/* Credentials of the process at the other end of a unix socket. 0 or -errno. */
int net_peer_cred(int fd, uint32_t *pid, uint32_t *uid, uint32_t *gid);

/* Text forms "1.2.3.4:5", "[::1]:5"; buf of at least 80 bytes. */
void net_addr_text(const struct net_addr *a, char *buf, size_t size);

/*
 * Name to addresses. numeric_only never blocks and answers -ENOENT when the text is a name.
 * Otherwise this may block for seconds (call it on a resolver thread only). Fills up to max
 * addresses in the system's order of preference, returns the count or a negative errno.
 */
int net_resolve(const char *host, uint16_t port, bool ipv6, bool numeric_only, struct net_addr *out,
                int max);
/* The addresses that stand for all of the host's: [::] and then 0.0.0.0 with `ipv6`, else the
 * latter alone. Fills up to 2, returns the count. */
int net_any_addr(uint16_t port, bool ipv6, struct net_addr *out);
/* The first address of a network interface by name. 0, -ENODEV. */
int net_interface_addr(const char *ifname, uint16_t port, bool ipv6, struct net_addr *out);

#endif
