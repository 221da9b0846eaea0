/* SPDX-License-Identifier: MIT */
/* The subscriptions of an XPUB or PUB: how they come, go, and are reported. */
#ifndef PATTERN_XPUB_SUBSCRIPTIONS_H
#define PATTERN_XPUB_SUBSCRIPTIONS_H

#include "pattern/xpub_state.h"

/* 0, -ENOMEM: then nothing changed; -EDQUOT: beyond MAX_SUBSCRIPTIONS. */
int xpub_change(struct pipe_set *s, struct xpub_pipe *xp, const void *topic, size_t len, bool add);
/* Ends the subscriptions of a pipe, of all rounds or of those before the present one, and (report)
 * reports them to the program as if the peer had cancelled them. from: NULL when the pipe is going.
 */
void xpub_end(struct pipe_set *s, struct xpub_pipe *xp, struct topics *table, struct subscriber *of,
              bool all, bool report, struct xpub_pipe *from);
/* XPUB_MANUAL: the program's decision about whom it last received from. 0, -ENOMEM, or -EINVAL:
 * there is nothing to decide on this socket. */
int xpub_decide(struct pipe_set *s, const void *topic, size_t len, bool add);

#endif
