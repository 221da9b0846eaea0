/* SPDX-License-Identifier: MIT */
/* A connecter: what connect() made. It keeps one connection alive, from one round of attempts to
 * the next. */
#ifndef NET_CONNECTER_H
#define NET_CONNECTER_H

struct conn_set;
struct transport_ops;

/* `text`: the endpoint as the program wrote it, "scheme://rest", of that transport. 0 or a negative
 * errno, with a detail. Lock held. */
int endpoint_connect(struct conn_set *s, const struct transport_ops *tr, const char *text,
                     const char *rest);

#endif
