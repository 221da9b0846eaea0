/* SPDX-License-Identifier: MIT */
/* A link in inproc as its pipes see it (pipe/link_ops.h). */
#ifndef TRANSPORT_INPROC_PIPE_H
#define TRANSPORT_INPROC_PIPE_H

struct link_ops;
struct pipe;

extern const struct link_ops inproc_link_ops;

/* Moves what has arrived to `in`, which is empty. */
void inproc_refill(struct pipe *p);

#endif
