/* SPDX-License-Identifier: MIT */
/* Ending a connection, and the effect on its pipe and its endpoint. */
#ifndef NET_CONN_END_H
#define NET_CONN_END_H

#include "net/conn.h"

/* Ends the connection, at once or when the thread in a system call on it returns. */
void conn_end(struct conn *c, enum conn_end how, int error);
/* The same at once: no thread may be in a write. */
void conn_end_now(struct conn *c, enum conn_end how, int error);
/* The program ends an accepted connection: what is queued goes out before, unless `now`. */
void conn_close(struct conn *c, bool now);
/* Closes the descriptor of one of set->draining. */
void conn_drop(struct conn *c);
/* The program reads no more: nothing is left to do for a peer that does not either. */
void conn_stop_reading(struct conn *c);

#endif
