/* SPDX-License-Identifier: MIT */
/* Deadlines of a reactor. All calls with its lock held. */
#ifndef REACTOR_TIMER_H
#define REACTOR_TIMER_H

#include <stdint.h>

#include "base/heap.h"

struct reactor;

struct timer {
    struct heap_node node; /* reactor->timers */
    void (*fire)(struct timer *t, uint64_t now);
};

void timer_init(struct timer *t, void (*fire)(struct timer *t, uint64_t now));
/* Fires once at `when` (clock_now time) instead of when it would have; CLOCK_NEVER: not at all. */
void timer_set(struct reactor *r, struct timer *t, uint64_t when);
void timer_cancel(struct reactor *r, struct timer *t);
/* Fires all that are due. */
void timers_run(struct reactor *r, uint64_t now);
/* The earliest deadline, CLOCK_NEVER when there is none. */
uint64_t timers_next(const struct reactor *r);

#endif
