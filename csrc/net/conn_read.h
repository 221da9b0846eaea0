/* SPDX-License-Identifier: MIT */
/* Reading from a connection, and passing the decoded messages to its pipe. */
#ifndef NET_CONN_READ_H
#define NET_CONN_READ_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct io;
struct link;
struct quiet;

/* io.ready: the poller reports something. */
void conn_ready(struct io *io, uint32_t events);
/* quiet.look and quiet.arm. */
bool conn_look(struct quiet *q);
bool conn_arm(struct quiet *q);
/* Decodes what is buffered, up to RCVHWM, RCVHWM_BYTES and what the context may hold. */
void conn_process(struct conn *c);
/* Tries to read once without the poller: what the spinning wait does. Reads until `until` (clock)
 * or there is mail or a stop code. True when something happened. */
bool conn_spin(struct conn *c, uint64_t until);
/* link_ops.flush. */
bool conn_flush(struct link *l, bool flush);

#endif
