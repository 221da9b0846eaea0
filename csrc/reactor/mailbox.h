/* SPDX-License-Identifier: MIT */
/*
 * Work for a reactor that another thread posts without the reactor's lock. It is lock-free, and
 * cannot fail because the command is embedded in the object that it concerns.
 */
#ifndef REACTOR_MAILBOX_H
#define REACTOR_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

struct reactor;

struct cmd {
    struct cmd *next;
    void (*run)(struct reactor *r, struct cmd *cmd); /* with the lock held */
    atomic_bool queued;                              /* it is not posted twice */
};

/* Posts a command; any thread, no lock needed. `urgent`: it has to run soon even if no thread is in
 * a call on the reactor. */
void mailbox_post(struct reactor *r, struct cmd *cmd, bool urgent);
/* Runs the commands that were posted, in their order. Lock held. Never inline: it is called seldom,
 * and by functions that are called for every message. */
__attribute__((noinline)) void mailbox_run(struct reactor *r);

#endif
