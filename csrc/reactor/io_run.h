/* SPDX-License-Identifier: MIT */
/* The main loop of an I/O thread; io_thread.h describes what it does. */
#ifndef REACTOR_IO_RUN_H
#define REACTOR_IO_RUN_H

struct io_thread;
struct thread_policy;

/* The processors of `policy` must live as long as the thread. 0 or a negative errno, -FMQ_EMTHREAD
 * among them. */
int io_thread_create(struct io_thread **out, const char *name, const struct thread_policy *policy);
/* Ends the thread; every reactor must have been removed. */
void io_thread_destroy(struct io_thread *d);

#endif
