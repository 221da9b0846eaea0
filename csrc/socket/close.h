/* SPDX-License-Identifier: MIT */
/* Closing a socket, and what the end of its context does to it. What follows: finish.h. */
#ifndef SOCKET_CLOSE_H
#define SOCKET_CLOSE_H

#include <stdint.h>

struct fmq_socket;
struct timer;

/* The context ends: every call answers FMQ_ETERM from now on. No lock of a socket held. */
void socket_terminate(struct fmq_socket *s);
/* A new LINGER for a socket that was closed already. No lock of a socket held. */
void socket_relinger(struct fmq_socket *s, int linger_ms);
/* timer.fire of linger_timer. */
void socket_linger_over(struct timer *t, uint64_t now);

#endif
