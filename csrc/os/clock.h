/* SPDX-License-Identifier: MIT */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define CLOCK_NEVER UINT64_MAX

/* Once a process, idempotent and thread-safe: calibrates the TSC where it is invariant. */
void clock_setup(void);

/*
 * Monotonic ns. Reads the TSC where the kernel itself trusts it as its clock source (a few ns),
 * CLOCK_MONOTONIC otherwise. Never runs backwards on one thread; drift against CLOCK_MONOTONIC
 * stays below 0.1 %.
 */
uint64_t clock_now(void);

/* The time of day: ns since 1970. Jumps when the system's clock is set. */
int64_t clock_unix(void);

#endif
