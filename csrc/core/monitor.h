/* SPDX-License-Identifier: MIT */
/* Events of a socket, delivered as messages of an internal PAIR (or PUB, PUSH) socket over inproc.
 */
#ifndef CORE_MONITOR_H
#define CORE_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

struct fmq_socket;

#define EVENT_CONNECTED 0x0001u
#define EVENT_CONNECT_DELAYED 0x0002u
#define EVENT_CONNECT_RETRIED 0x0004u
#define EVENT_LISTENING 0x0008u
#define EVENT_BIND_FAILED 0x0010u
#define EVENT_ACCEPTED 0x0020u
#define EVENT_ACCEPT_FAILED 0x0040u
#define EVENT_CLOSED 0x0080u
#define EVENT_CLOSE_FAILED 0x0100u
#define EVENT_DISCONNECTED 0x0200u
#define EVENT_MONITOR_STOPPED 0x0400u
#define EVENT_HANDSHAKE_FAILED_NO_DETAIL 0x0800u
#define EVENT_HANDSHAKE_SUCCEEDED 0x1000u
#define EVENT_HANDSHAKE_FAILED_PROTOCOL 0x2000u
#define EVENT_HANDSHAKE_FAILED_AUTH 0x4000u
/* fastmq's own: a peer that was in had to go, for what it did. Value: a PROTO_ code. */
#define EVENT_EXPELLED 0x8000u
#define EVENT_PIPES_STATS 0x10000u

/* Lock of `s` held. Names may be NULL; version 1 tells the local one on the bound side, the remote
 * one on the connecting side. Never waits: what the monitor's reader does not take in time (its
 * HWM) is dropped. */
void monitor_emit(struct fmq_socket *s, bool bound, uint32_t event, uint64_t value,
                  const char *local, const char *remote);
/* Sends MONITOR_STOPPED and ends the monitor. */
void monitor_stop(struct fmq_socket *s);
struct monitor;
/* After monitor_stop, with no lock held. NULL is allowed. */
void monitor_free(struct monitor *m);

#endif
