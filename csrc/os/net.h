/* SPDX-License-Identifier: MIT */
/*
 * Sockets of the operating system. Every descriptor opened here is non-blocking, close-on-exec and
 * registered, so that a forked child can close it, and tests can count it.
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
/* The same for packets of an IP protocol of its own. What comes by IPv4 begins with the IP header.
 * -EPERM: the process may not. */
int net_raw_socket(int family, int protocol);
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
/* Who connects to the wildcard address reaches this host, at the address that the connection has of
 * its own: `peer` becomes that, with its own port. */
void net_reached(struct net_addr *peer, const struct net_addr *own);

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
/* The first address of a network interface by name. 0, -ENODEV. */
int net_interface_addr(const char *ifname, uint16_t port, bool ipv6, struct net_addr *out);

#endif
