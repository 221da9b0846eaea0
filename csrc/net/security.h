/* SPDX-License-Identifier: MIT */
/* What connections are secured with, from the socket's options. */
#ifndef NET_SECURITY_H
#define NET_SECURITY_H

#include <stdbool.h>

struct option_values;
struct peer_security;

/* Whether connections with these options have to ask an authenticator before they let a peer in. */
bool security_asks(const struct option_values *o);
/* What a new connection is to be secured with; points into `o`. */
void security_of_options(const struct option_values *o, struct peer_security *sec);
/* Before bind and connect: -EINVAL, with a detail, when the mechanism lacks a key, or when security
 * is asked for where no ZMTP is spoken (`raw`): everybody would come in and be served in the clear.
 */
int security_check(const struct option_values *o, bool raw);
/* The same for a connection, since options may change in between. */
bool security_is_kept(const struct option_values *o, bool raw);

#endif
