/* SPDX-License-Identifier: MIT */
/* What tcp and ipc share: options on descriptors. */
#ifndef TRANSPORT_STREAM_H
#define TRANSPORT_STREAM_H

#include "net/endpoint.h"
#include "os/net.h"

/* A new descriptor for the family with the socket's options applied; or a negative errno. */
int stream_socket(struct endpoint *ep, int family);
int stream_apply(struct endpoint *ep, int fd, int family);
/* USE_FD: the listening descriptor that the program hands over, or -1. */
int stream_adopted(struct endpoint *ep);

/* tcp's, which others on it have too: transport_ops.h, and parse with the scheme for its texts. */
int tcp_parse_as(struct address *a, const char *scheme, const char *rest, bool bind, bool ipv6,
                 char *detail);
int tcp_listen(struct endpoint *ep, struct address *a);
int tcp_connect(struct endpoint *ep, struct address *a, int which, bool *connected);
int tcp_accepted(struct endpoint *ep, int fd, const struct net_addr *peer);
int tcp_peer_address(int fd, const struct net_addr *addr, char *buf, size_t size);

extern const struct transport_ops transport_ws;
extern const struct transport_ops transport_tcp;
extern const struct transport_ops transport_ipc;
extern const struct transport_ops transport_udp;
extern const struct transport_ops transport_epgm;
extern const struct transport_ops transport_pgm;

#endif
