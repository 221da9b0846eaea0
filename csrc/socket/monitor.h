/* SPDX-License-Identifier: MIT */
/* Events of a socket, delivered as messages of an internal PAIR (or PUB, PUSH) socket over inproc.
 */
#ifndef SOCKET_MONITOR_H
#define SOCKET_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

struct fmq_socket;

/* Lock of `s` held. Names may be NULL; version 1 reports the local one on the bound side, the
 * remote one on the connecting side. Never waits: what the monitor's reader does not take in time
 * (its HWM) is dropped. */
void monitor_emit(struct fmq_socket *s, bool bound, uint32_t event, uint64_t value,
                  const char *local, const char *remote);
/* One PIPES_STATS event for each pipe. -EINVAL: no monitor is to get them, -EAGAIN: no pipe. Lock
 * of `s` held. */
int monitor_emit_stats(struct fmq_socket *s);
/* Sends MONITOR_STOPPED and ends the monitor. */
void monitor_stop(struct fmq_socket *s);

#endif
