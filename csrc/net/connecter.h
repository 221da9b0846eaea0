/* SPDX-License-Identifier: MIT */
/* A connecter: the endpoint of a connect(). It keeps one connection alive, in rounds of
 * attempts. */
#ifndef NET_CONNECTER_H
#define NET_CONNECTER_H

struct conn_set;
struct transport_ops;

/* `text`: the endpoint as the program wrote it, "scheme://rest", of that transport. 0 or a negative
 * errno, with a detail. Lock held. */
int endpoint_connect(struct conn_set *s, const struct transport_ops *tr, const char *text,
                     const char *rest);

#endif
