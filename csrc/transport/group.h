/* SPDX-License-Identifier: MIT */
/* Addresses of datagrams: "[interface;]host:port". */
#ifndef TRANSPORT_GROUP_H
#define TRANSPORT_GROUP_H

#include <stdbool.h>

#include "net/transport_ops.h"

/*
 * transport_ops.parse for them; `scheme` is for the text of what is wrong. The interface, by name
 * or by one of its addresses or *, goes to src_host, has_src says that there is one, and then the
 * host is a multicast address. To be bound, the host may be an interface or *, too, and the port 0
 * or *.
 */
int group_parse(struct address *a, const char *scheme, const char *rest, bool bind, bool ipv6,
                char *detail);

/* Fills in the address to bind to where group_parse left it open: of *, of an interface, or of a
 * name, which may take its time. 0 or -ENODEV, with a detail. */
int group_local(struct address *a, bool ipv6);

/* The index of its interface, 0 where there is none or it is *. 0 or -ENODEV, with a detail. */
int group_interface(const struct address *a, unsigned *index);

#endif
