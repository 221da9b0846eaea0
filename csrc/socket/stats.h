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

struct arena_slot;
struct conn;

/* Adds what a socket has counted to `out`; its lock is held. */
void stats_add(struct fmq_socket *s, struct fmq_socket_stats *out);

/* ---- its parts, for those who must not hold the lock for all of them at once ---- */

/* What pipes and connections have counted that are no more. */
void stats_add_ended(const struct fmq_socket *s, struct fmq_socket_stats *out);
void stats_add_pipe(const struct pipe *p, struct fmq_counters *count);
/* Of a connection without a pipe: those of others count with these. */
void stats_add_conn(const struct conn *c, struct fmq_counters *count);
void stats_add_counters(struct fmq_counters *to, const struct fmq_counters *from);
void stats_add_arena(struct arena_slot *slot, struct fmq_context_stats *out);
void stats_init_peer(struct fmq_peer *row);
/* A row that was initialised. */
void stats_describe_pipe(struct fmq_socket *s, struct pipe *p, struct fmq_peer *out);

#endif
