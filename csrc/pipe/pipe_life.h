/* SPDX-License-Identifier: MIT */
/* The life of pipes and of the set that they are in: made, connected, lost, hung up, freed. */
#ifndef PIPE_PIPE_LIFE_H
#define PIPE_PIPE_LIFE_H

#include <stdbool.h>
#include <stdint.h>

struct pattern_ops;
struct pipe;
struct pipe_set;
struct pool;

/* ---- for a pattern ---- */

/* Ends the pipe from the pattern's side (ROUTER_HANDOVER, PAIR): the connection is closed, the
 * pattern gets hangup and later detach; never from within attach. */
void pipe_close(struct pipe *p);

/* The pipe could not keep a request of its peer: the connection is given up as if the network had
 * lost it, and a connecting side, here or there, makes it anew. Not over inproc. */
void pipe_lose(struct pipe *p);

/* The pattern's `alarm` is called once, in so many milliseconds from now, and not when it would
 * have been before. Whichever thread polls the socket calls it. */
void pipe_set_alarm(struct pipe_set *s, uint32_t ms);
void pipe_set_alarm_off(struct pipe_set *s);

/* ---- for links, endpoints, the socket ---- */

/* reactor_init has been called. */
void pipe_set_init(struct pipe_set *s, const struct pattern_ops *ops, struct pool *pool);
/* Makes a pipe of the set, which owns it and whose pattern does not know it yet; NULL with *err
 * set. */
struct pipe *pipe_new(struct pipe_set *s, int *err);
/* Gives it to the pattern, which may refuse it. */
int pipe_attach(struct pipe *p);
/* Writes what its peer is to receive first, unless that was done: pipe_connected does it, and a
 * direct link when nobody is at its other end yet. 0 or -ENOMEM. */
int pipe_greet(struct pipe *p);
int pipe_connected(struct pipe *p);
void pipe_lost(struct pipe *p);
/* hangup: detaches at once when nothing is left to read. */
void pipe_hangup(struct pipe *p);
/* Before the program ends it (close, disconnect, unbind): the pattern does not report it.
 * `unwanted`: what it has not read goes, too. */
void pipe_disown(struct pipe *p, bool unwanted);
void pipe_free(struct pipe *p);

#endif
