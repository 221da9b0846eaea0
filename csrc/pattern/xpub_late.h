/* SPDX-License-Identifier: MIT */
/*
 * Subscribers that come late (PUB_KEEP_LAST): each is given the last messages of the topics that
 * its subscription adds, in the order of their publication and before anything newer.
 *
 * They go as the pipe has room. Until all went, the pipe is behind: what is published meanwhile for
 * it is not written, but kept, and its topic joins the line, unless it is in the line already. Then
 * the newer message takes the place of the older one, which counts as dropped. A pipe that has no
 * room for a message falls behind, too. So a slow subscriber misses messages, but no topic's last
 * one. A line is the numbers of topics, each once. The place of a topic that is kept no more is
 * left out when its turn comes, or when the line is full: it never is much longer than there are
 * topics.
 *
 * What is in the line for a topic that the peer is subscribed to no more is left out when its turn
 * comes. With INVERT_MATCHING what a peer is not subscribed to counts: a peer that connects is
 * behind with everything, and the end of a subscription adds topics.
 */
#ifndef PATTERN_XPUB_LATE_H
#define PATTERN_XPUB_LATE_H

#include "pattern/xpub_state.h"

/* Whether the pipe is behind. */
static inline bool xpub_is_late(const struct xpub_pipe *xp)
{
    return xp->line.len > 0;
}

/* Before the peer is subscribed to that prefix (INVERT_MATCHING: after that has ended; or NULL, 0
 * for all): the kept messages that it will be sent from then on join its line. 0 or -ENOMEM. */
int xpub_late_join(struct pipe_set *s, struct xpub_pipe *xp, const void *prefix, size_t len);
/* Writes from the front of the line while there is room. */
void xpub_late_give(struct pipe_set *s, struct xpub_pipe *xp);
/* The same for all pipes that are behind. */
void xpub_late_give_all(struct pipe_set *s);
/* The pipe is to get nothing more. */
void xpub_late_forget(struct xpub_pipe *xp);
/* Sends to the targets in me->out, keeps the message, and leaves it to the line of those that are
 * behind or full. As pattern_ops.send. */
int xpub_late_send(struct pipe_set *s, struct parts *m);

#endif
