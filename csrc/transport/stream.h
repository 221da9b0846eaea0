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

extern const struct transport_ops transport_tcp;
extern const struct transport_ops transport_ipc;
extern const struct transport_ops transport_udp;
extern const struct transport_ops transport_epgm;
extern const struct transport_ops transport_pgm;

#endif
