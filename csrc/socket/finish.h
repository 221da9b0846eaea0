/* SPDX-License-Identifier: MIT */
/* The end of a closed socket, once LINGER has nothing to wait for. */
#ifndef SOCKET_FINISH_H
#define SOCKET_FINISH_H

#include <stdbool.h>

struct reactor;

/* reactor_ops.finish. */
bool socket_try_finish(struct reactor *r);

#endif
