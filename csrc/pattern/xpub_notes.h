/* SPDX-License-Identifier: MIT */
/* What an XPUB's program is still to receive, and which peers are read no further because of it. */
#ifndef PATTERN_XPUB_NOTES_H
#define PATTERN_XPUB_NOTES_H

#include "pattern/xpub_state.h"

/* A note with room for n parts; NULL: no memory. */
struct note *note_new(struct xpub_pipe *from, uint32_t n, bool user);
/* The report of one subscription or its end. from: NULL when the pipe is going. NULL: no memory. */
struct note *note_subscription(struct xpub_pipe *from, const void *topic, size_t len, bool add);
/* One that was never posted. */
void note_discard(struct note *note);
void note_post(struct xpub *me, struct note *note);
void note_free(struct xpub *me, struct note *note);

/* Whether so much is still to be reported of that pipe, or of those that are gone, that it is
 * read no further. */
bool xpub_has_enough(const struct xpub *me, const struct xpub_pipe *xp);
void xpub_hold_up(struct xpub *me, struct pipe *p);
/* Pipes that were paused go on, where the reason is gone. */
void xpub_go_on(struct xpub *me);
/* The same after a note of `p` was received (NULL: of a pipe that is gone). Not all pipes are
 * looked at for every note: peers decide how many there are of both. */
void xpub_go_on_after(struct xpub *me, struct pipe *p, uint32_t hwm);

#endif
