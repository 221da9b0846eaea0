/* SPDX-License-Identifier: MIT */
/*
 * The flush policy decides when queued data is written. A socket that has been quiet writes at
 * once. Otherwise queued data waits for the caller's next wait, until enough of it is queued
 * (flush_is_due, pipe_out.h), or for the I/O thread's next tick.
 */
#ifndef NET_FLUSH_H
#define NET_FLUSH_H

#include <stdbool.h>

#include "os/clock.h"

struct reactor;

/* After the last write of a socket has been over for this long, and for as long as it took, the
 * next is made at once: no more than half of a busy socket's time goes into writing. Counted for
 * the socket and not for each connection: with many subscribers every one of them would always be
 * quiet. */
#define FLUSH_QUIET_NS (10 * NS_PER_US)
#define FLUSH_QUIET_MAX_NS (10 * NS_PER_MS)
/* A write after this much quiet begins a burst: what follows it within the same time is not left to
 * the I/O thread's next tick, it is woken. */
#define BURST_NS (200 * NS_PER_US)

/* reactor_ops.flush: goes through the flush list by this policy; `all`: writes whatever is queued.
 */
void flush_run(struct reactor *r, bool all);

#endif
