/* SPDX-License-Identifier: MIT */
/* What a socket learns of the other end of a link in inproc. Its own lock is held. */
#ifndef TRANSPORT_INPROC_MEET_H
#define TRANSPORT_INPROC_MEET_H

#include <stdbool.h>

struct cmd;
struct conn_set;
struct inproc_link;
struct pipe;
struct reactor;

/* The command of a link's end: there are notes for it. */
void inproc_link_run(struct reactor *r, struct cmd *cmd);
/* There was no memory for what is to be done at that end: once more, when its mailbox is next
 * looked at. */
void inproc_again(struct inproc_link *l, int side, unsigned events);
/* One of the two ends of a link between types that other transports keep apart. Messages pass. */
void inproc_report_mismatch(struct conn_set *s, int side, const struct inproc_link *l);
/* The bound socket's end. Lock of s held. False: no memory, and nothing was done. */
bool inproc_attach_bound(struct conn_set *s, struct inproc_link *l);
/* The other end has closed: what it sent is still received, and then the pipe ends. */
void inproc_peer_left(struct inproc_link *l, int side, struct pipe *p);

#endif
