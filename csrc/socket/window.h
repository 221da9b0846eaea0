/* SPDX-License-Identifier: MIT */
/* Where the window into this process (inspect.c) is kept. A child of a fork begins without one; its
 * parent's goes on. */
#ifndef SOCKET_WINDOW_H
#define SOCKET_WINDOW_H

struct window;

/* Takes the lock, which comes before every other one: the place of the window, NULL where there is
 * none. Forks wait for it, once there are handlers for them (fmq_setup). */
struct window **window_lock(void);
void window_unlock(void);

void window_fork_prepare(void);
void window_fork_parent(void);
void window_fork_child(void);

#endif
