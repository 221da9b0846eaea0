/* SPDX-License-Identifier: MIT */
/* poll(2) with a timeout in ns, and its bits in those of os/poller_events.h. */
#ifndef OS_POLL_CALL_H
#define OS_POLL_CALL_H

#include <stddef.h>
#include <stdint.h>

struct pollfd;

/* As poll(2): -1 and errno on failure. timeout_ns < 0: for ever. */
int poll_call(struct pollfd *fds, size_t len, int64_t timeout_ns);
/* What to ask for. */
short poll_call_wanted(uint32_t events);
/* What was found, but for POLLNVAL. */
uint32_t poll_call_found(int mask);

#endif
