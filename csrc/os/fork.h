/* SPDX-License-Identifier: MIT */
/* Forks: a child process inherits memory and descriptors, but no thread. */
#ifndef OS_FORK_H
#define OS_FORK_H

/* The number of forks between the first process and this one. An object that remembers the number
 * of the process that made it can tell that it was inherited. */
extern unsigned fork_generation;

/* Calls these around every fork from now on: `prepare` and `parent` in the process that forks,
 * `child` in the new one, after fork_generation has gone up. To be called once. */
void fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void));

#endif
