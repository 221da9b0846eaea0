/* SPDX-License-Identifier: MIT */
/*
 * The bytes queued in all sockets of a context, and how many there may be (MAX_QUEUED_BYTES).
 *
 * A message counts from when a socket takes it, to send it or from the network, until it is handed
 * to the kernel or received by the program. A sender takes the room first, but for one message of
 * each pipe: where nothing is queued it needs none (pipe_out.c). A thread that reads from the
 * network adds what came, and stops reading at the cap. So the cap is exceeded by what one message
 * a pipe holds each way, at most.
 *
 * Room comes back in another socket than the one that waits for it, perhaps on another thread. A
 * thread that found none puts its socket on `waiters`, sets the level at which it is to be notified
 * (`wake_at`), and then looks once more. A thread that gives room back does so first and looks at
 * `wake_at` then. So one of the two sees the other. All waiting sockets are notified, through their
 * mailboxes, and try again.
 */
#ifndef PIPE_BUDGET_H
#define PIPE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "os/thread.h"

struct pipe_set;

struct budget {
    bool on; /* counts at all: settled before the context's first socket */
    _Atomic(int64_t) used;
    _Atomic(int64_t) cap;     /* INT64_MAX: no limit */
    _Atomic(int64_t) wake_at; /* `waiters` are notified at so many bytes or fewer; -1: none */
    struct mutex lock;        /* a leaf: above those that posting takes */
    struct list waiters;      /* pipe_set.shortage.node */
};

void budget_init(struct budget *b);
void budget_fini(struct budget *b);
/* From now on at most `cap` bytes; 0: no limit. */
void budget_set_cap(struct budget *b, int64_t cap);

/* Room for n bytes more? A message that is larger than the cap goes when nothing else is queued. */
static inline bool budget_fits(struct budget *b, uint64_t n)
{
    int64_t used = atomic_load(&b->used);
    int64_t cap = atomic_load(&b->cap);
    return used == 0 || (used < cap && n <= (uint64_t)(cap - used));
}

/* Takes that room, if it is there. */
bool budget_take(struct budget *b, uint64_t n);
/* Counts n bytes that are there, whether or not there is room. */
void budget_add(struct budget *b, uint64_t n);
/* n bytes are queued no more. Any thread; no lock of a budget or below may be held. */
void budget_give(struct budget *b, uint64_t n);

/* The socket, whose lock is held, is to be notified when there is room for n bytes. Look again
 * afterwards: what happened before is not reported. */
void budget_await(struct budget *b, struct pipe_set *s, uint64_t n);
/* The same for reading, when half of the cap is free. */
void budget_await_half(struct budget *b, struct pipe_set *s);
/* The socket ends and waits for nothing any more. */
void budget_leave(struct budget *b, struct pipe_set *s);

#endif
