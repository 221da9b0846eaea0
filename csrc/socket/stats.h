/* SPDX-License-Identifier: MIT */
/*
 * What a socket and its peers have done so far. Counting is spread over pipes and connections and
 * costs the way of messages next to nothing: messages are counted where a pipe takes them or a
 * batch of them has arrived, bytes once a system call. What is asked for is summed up then.
 *
 * When a connection ends its counters move on to its pipe, when a pipe ends to the socket
 * (pipe_set.closed_totals), when a socket ends to the context (ctx->closed_totals). So sums never
 * go down.
 */
#ifndef SOCKET_STATS_H
#define SOCKET_STATS_H

#include "socket/socket.h"

/* Adds what a socket has counted to `out`; its lock is held. */
void stats_add(struct fmq_socket *s, struct fmq_socket_stats *out);

#endif
