/* SPDX-License-Identifier: MIT */
/* A connection as the link of its pipe (pipe/link_ops.h). */
#ifndef NET_CONN_LINK_H
#define NET_CONN_LINK_H

struct conn;
struct fmq_peer;
struct link_ops;

extern const struct link_ops conn_link_ops;

/* Fills in what is known of the connection and its peer. */
void conn_describe(const struct conn *c, struct fmq_peer *out);

#endif
