/* SPDX-License-Identifier: MIT */
/* A listener: the endpoint of a bind(), and the connections that it accepts. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

struct conn_set;
struct transport_ops;

/* `text`: the endpoint as the program wrote it, "scheme://rest", of that transport. 0 or a negative
 * errno, with a detail. Lock held. */
int endpoint_bind(struct conn_set *s, const struct transport_ops *tr, const char *text,
                  const char *rest);

#endif
