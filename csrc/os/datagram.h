/* SPDX-License-Identifier: MIT */
/* Datagrams and multicast, through descriptors of os/net.h. */
#ifndef OS_DATAGRAM_H
#define OS_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "os/net.h"

#define NET_DATAGRAM_IOV 3

/* One datagram of a batch. */
struct net_datagram {
    struct iovec iov[NET_DATAGRAM_IOV]; /* what it is made of, or where it goes */
    int iov_count;
    const struct net_addr *to; /* sending; NULL: where the descriptor is connected to */
    struct net_addr from;      /* received: who sent it */
    size_t size;               /* received: its bytes */
    bool truncated;            /* received: there was no room for the rest, which is lost */
    size_t segment; /* received: it is several of so many bytes each, the last one shorter perhaps;
                     * 0: it is one */
};

#define NET_DATAGRAMS_MAX 64 /* in one call */

/* Sends them in order, up to count: how many the kernel took, at least one, -EAGAIN, or the
 * negative errno of the first. */
int net_send_datagrams(int fd, const struct net_datagram *v, int count);
/* How many came, at least one, -EAGAIN, or a negative errno. *lost becomes the number of datagrams
 * that the kernel has dropped so far for want of room, where it says so with one of these; else it
 * stays as it is. */
int net_recv_datagrams(int fd, struct net_datagram *v, int count, uint32_t *lost);

/* Sends pieces of the same length, of which the last may be shorter, as a datagram each: many for
 * little more than the cost of one. At most NET_SEGMENTS_SIZE bytes. 0, -EAGAIN, -ENOTSUP: not
 * here, or another negative errno; then none was sent. */
#define NET_SEGMENTS_SIZE ((size_t)64000)
int net_send_segments(int fd, const struct net_addr *to, const struct iovec *iov, int count);

struct net_datagram_opts {
    bool broadcast;    /* may be sent to a broadcast address */
    bool share;        /* others may bind the same address: for multicast, all of them get all */
    bool segments;     /* several from one sender may come at once, see net_datagram.segment */
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
/* An IPv6 address that names no interface is of this one; index 0 changes nothing. */
void net_addr_scope(struct net_addr *a, unsigned index);
bool net_is_multicast(const struct net_addr *a);
/* The index of the interface that a name or one of its addresses names; -ENODEV: none does. */
int net_interface_index(const char *name_or_address, unsigned *index);
/* Receives what is sent to that group over that interface; index 0: the system's choice. */
int net_multicast_join(int fd, const struct net_addr *group, unsigned index);
/* How multicast is sent: over which interface (0: the system's choice), how far (TTL, hops; -1: as
 * it is), and whether this host receives it, too. */
int net_multicast_send_by(int fd, int family, unsigned index, int hops, bool loop);
/* The bytes of the address, without port and interface: 4 or 16, returned. */
int net_addr_bytes(const struct net_addr *a, uint8_t out[16]);
/* The address made of them again; `index` is the interface of an IPv6 address. */
void net_addr_of_bytes(const uint8_t *bytes, int len, uint16_t port, unsigned index,
                       struct net_addr *out);
/* The port of an IPv4 or IPv6 address. */
void net_addr_set_port(struct net_addr *a, uint16_t port);

/* Only datagrams whose byte at `offset` is one of `values` come through, where the system can do
 * that; else all of them do. `raw`: the descriptor is of net_raw_socket. */
void net_datagram_filter(int fd, int family, bool raw, uint32_t offset, const uint8_t *values,
                         int count);

/* The addresses that stand for all of the host's: [::] and then 0.0.0.0 with `ipv6`, else the
 * latter alone. Fills up to 2, returns the count. */
int net_any_addr(uint16_t port, bool ipv6, struct net_addr *out);

#endif
