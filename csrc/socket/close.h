/* SPDX-License-Identifier: MIT */
/* The end of a socket: closing, LINGER, the end of its context. */
#ifndef SOCKET_CLOSE_H
#define SOCKET_CLOSE_H

#include <stdbool.h>
#include <stdint.h>

struct fmq_socket;
struct reactor;
struct timer;

/* The context ends: every call answers FMQ_ETERM from now on. No lock of a socket held. */
void socket_terminate(struct fmq_socket *s);
/* A new LINGER for a socket that was closed already. No lock of a socket held. */
void socket_relinger(struct fmq_socket *s, int linger_ms);
/* reactor_ops.finish. */
bool socket_try_finish(struct reactor *r);
/* Messages that wait to be sent. Lock held. */
uint64_t socket_pending(struct fmq_socket *s);
/* timer.fire of linger_timer. */
void socket_linger_over(struct timer *t, uint64_t now);

#endif
