/* SPDX-License-Identifier: MIT */
/*
 * The interface between endpoints and transports: parsing addresses and opening descriptors for
 * them. The rest (accepting, connecting, reconnecting, the protocol) is common to all stream
 * transports and in this room. Packet transports have no connections: they open the links of pipes
 * themselves (packets.h). inproc has no descriptors and its own file (transport/inproc.c).
 */
#ifndef NET_TRANSPORT_OPS_H
#define NET_TRANSPORT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/net.h"

struct conn_set;
struct endpoint;
struct pipe;

struct stream;

#define ADDRESS_MAX_CANDIDATES 8

/* A parsed address. Text fields are NUL-terminated. */
struct address {
    char host[256];    /* tcp: name, literal, interface or "*"; ipc: path or "@name" or "*" */
    uint16_t port;     /* tcp; 0: wildcard */
    char src_host[64]; /* tcp connect: "src:port;host:port"; udp: "interface;group:port" */
    uint16_t src_port;
    bool has_src;
    char path[208];                             /* ws: "/...", else "" */
    struct net_addr at[ADDRESS_MAX_CANDIDATES]; /* resolved, in order of preference */
    int count;                                  /* 0: a name that the resolver must look up */
    bool by_name; /* `at` came from the resolver: look it up again for each round */
};

struct transport_ops {
    const char *scheme; /* "tcp" */
    /*
     * Reads what stands behind "scheme://". -EINVAL, -ENAMETOOLONG; detail (>= 200 bytes) gets a
     * text that names what is wrong. Never blocks; names stay unresolved (count 0).
     */
    int (*parse)(struct address *a, const char *rest, bool bind, bool ipv6, char *detail);
    /* Opens a listening descriptor for a resolved address. fd or a negative errno. */
    int (*listen)(struct endpoint *ep, struct address *a);
    /* Opens a descriptor and begins to connect to candidate `which`. *connected says whether it is
     * done already. fd or a negative errno; a descriptor that failed is left in ep->io.fd. */
    int (*connect)(struct endpoint *ep, struct address *a, int which, bool *connected);
    /* Applies accept filters and socket options to an accepted descriptor. 0, or -EACCES etc.:
     * refuse. */
    int (*accepted)(struct endpoint *ep, int fd, const struct net_addr *peer);
    /* The stream of a connection of which accept or connect gave `fd`. 0; or a negative errno: it
     * cannot be had. NULL: the descriptor itself carries the bytes. */
    int (*stream)(struct endpoint *ep, int fd, struct stream **out);
    /* The endpoint in its final form ("tcp://127.0.0.1:1234") for LAST_ENDPOINT, but for its path,
     * and its address. 0 or a negative errno, then no more than the scheme, and an address of
     * length 0. */
    int (*local_name)(int fd, struct net_addr *own, char *buf, size_t size);
    void (*peer_name)(const struct net_addr *addr, char *buf, size_t size);
    /* What Peer-Address says: the address without a scheme; for ipc credentials. `addr` is what
     * accept or connect said: of a connection that was reset since, the system knows nothing more.
     * 0 or a negative errno: a peer that cannot be named is refused, for no rule would fit it. */
    int (*peer_address)(int fd, const struct net_addr *addr, char *buf, size_t size);

    /* Which types it carries, on which side; others are refused with -FMQ_ENOCOMPATPROTO. NULL: all
     * but those of datagrams. */
    bool (*carries)(int type, bool bound);
    /* Transports of packets have this beside scheme, parse and carries, instead of the entries
     * above. */
    /* Opens the link of ep->pipe for address `which`, by packets_open, and gives ep its name.
     * `ep->bound` says which side. 0 or a negative errno, with a detail. */
    int (*open)(struct endpoint *ep, int which);

    /* Transports without descriptors have these instead of all but the scheme. bind and attach give
     * 1 when it is done, but with a socket of a type that does not fit; a detail says which. */
    int (*bind)(struct conn_set *s, const char *rest);
    int (*unbind)(struct conn_set *s, const char *rest);
    /* Connects a new pipe of s, which is attached. */
    int (*attach)(struct conn_set *s, struct pipe *p, const char *rest);
};

#endif
