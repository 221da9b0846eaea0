/* SPDX-License-Identifier: MIT */
/* Ending endpoints. */
#ifndef NET_ENDPOINT_CLOSE_H
#define NET_ENDPOINT_CLOSE_H

#include <stdbool.h>

struct conn_set;
struct endpoint;
struct pipe;
struct transport_ops;

/* Ends it: a listener at once (with its connections), a connecter when its pipe is flushed or
 * lingered. */
void endpoint_close(struct endpoint *ep, bool now);
/* unbind and disconnect: ends every endpoint of that name, whichever verb made it. -ENOENT: none.
 * Of a connecter the program wants nothing more, also nothing that is received and unread. */
int endpoint_end(struct conn_set *s, const struct transport_ops *tr, const char *text,
                 const char *rest);
/* The program ends the connection to one peer, whichever side made it, as endpoint_end does. The
 * pipe may be freed by it. */
void endpoint_end_peer(struct pipe *p);

#endif
