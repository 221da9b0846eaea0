/* SPDX-License-Identifier: MIT */
/* When a connecter tries again. */
#ifndef NET_RETRY_H
#define NET_RETRY_H

#include <stdbool.h>

struct endpoint;

/* Sets the time of the next attempt, or ends the endpoint where there is to be none. */
void retry_schedule(struct endpoint *ep);
/* The handshake is done: the waits are short again. */
void retry_reset(struct endpoint *ep);
/* The connection of a connecter ended; `shaken`: after its handshake; `wrong`: for a wrong answer,
 * which makes the waits longer. Without `retry` the endpoint ends. */
void retry_conn_lost(struct endpoint *ep, bool shaken, bool retry, bool wrong);

#endif
