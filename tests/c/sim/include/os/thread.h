/* SPDX-License-Identifier: MIT */
/*
 * Stands in front of csrc/os/thread.h when the engine is built for the simulator: the same
 * contract, with threads that are fibers of one real thread (sim_fiber.c). A wait of any kind is
 * where another fiber goes on, and so is every lock and unlock if the seed says so.
 */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <stdbool.h>
#include <stdint.h>

struct fiber;

struct mutex {
    struct fiber *owner; /* NULL: free */
};

struct cond {
    unsigned waiting;
};

#define MUTEX_INITIALIZER {0}

void mutex_init(struct mutex *m);
void mutex_fini(struct mutex *m);
void mutex_lock(struct mutex *m);
bool mutex_try(struct mutex *m);
void mutex_unlock(struct mutex *m);

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
bool cond_wait(struct cond *c, struct mutex *m, int64_t timeout_ns);

struct thread {
    struct fiber *fiber;
};

int thread_start(struct thread *t, void (*fn)(void *arg), void *arg, const char *name);
void thread_join(struct thread *t);
uintptr_t thread_self(void);
uint32_t thread_number(void);
void thread_yield(void);

struct thread_policy {
    int sched_policy;
    int priority;
    const unsigned *cpus;
    unsigned cpu_count;
};
void thread_apply_policy(const struct thread_policy *policy);

void cpu_relax(void);

#endif
