/* SPDX-License-Identifier: MIT */
/* Creating a connection. */
#ifndef NET_CONN_NEW_H
#define NET_CONN_NEW_H

struct conn;
struct conn_ends;
struct conn_set;
struct endpoint;
struct pipe;
struct stream;

/* Takes over the descriptor and the stream over it (NULL: none), also on failure. `pipe` on
 * connecting sockets. NULL: no memory. */
struct conn *conn_new(struct conn_set *s, struct endpoint *ep, int fd, struct stream *stream,
                      struct pipe *pipe, const struct conn_ends *ends);

#endif
