/* SPDX-License-Identifier: MIT */
/* Creating a connection. */
#ifndef NET_CONN_NEW_H
#define NET_CONN_NEW_H

struct conn;
struct conn_set;
struct endpoint;
struct pipe;
struct stream;

/* The names of both ends, as accept and connect gave them. The system is not asked again later: it
 * knows nothing more of a connection that was reset. Copied by conn_new. */
struct conn_ends {
    const char *local_name;  /* for the monitor */
    const char *remote_name; /* for the monitor; of a connecter, its endpoint */
    const char *peer_name;   /* the peer's own address as an endpoint, for peers() */
    const char *address;     /* what Peer-Address says, and what ZAP is asked about */
};

/* Takes over the descriptor and the stream over it (NULL: none), also on failure. `pipe` on
 * connecting sockets. NULL: no memory. */
struct conn *conn_new(struct conn_set *s, struct endpoint *ep, int fd, struct stream *stream,
                      struct pipe *pipe, const struct conn_ends *ends);

#endif
