/* SPDX-License-Identifier: MIT */
/* Threads, mutexes, condition variables. Times are ns of clock_now(). */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t m;
};

struct cond {
    pthread_cond_t c;
};

/* For a static mutex, which needs no mutex_init. */
#define MUTEX_INITIALIZER {PTHREAD_MUTEX_INITIALIZER}

static inline void mutex_init(struct mutex *m)
{
    pthread_mutex_init(&m->m, NULL);
}

static inline void mutex_fini(struct mutex *m)
{
    pthread_mutex_destroy(&m->m);
}

static inline void mutex_lock(struct mutex *m)
{
    pthread_mutex_lock(&m->m);
}

static inline bool mutex_try(struct mutex *m)
{
    return pthread_mutex_trylock(&m->m) == 0;
}

static inline void mutex_unlock(struct mutex *m)
{
    pthread_mutex_unlock(&m->m);
}

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/* Waits at most timeout_ns (<0: for ever). False on timeout. Spurious wake-ups happen. */
bool cond_wait(struct cond *c, struct mutex *m, int64_t timeout_ns);

struct thread {
    pthread_t t;
};

/* Starts fn(arg) with every signal blocked, so that signals reach the threads of the program. */
int thread_start(struct thread *t, void (*fn)(void *arg), void *arg, const char *name);
void thread_join(struct thread *t);
/* A non-zero number that tells live threads apart; a few ns. */
uintptr_t thread_self(void);

/* The number by which the system and its tools know the calling thread, 0 where it has none. */
uint32_t thread_number(void);

struct thread_policy {
    int sched_policy; /* -1: inherit */
    int priority;     /* -1: inherit */
    const unsigned *cpus;
    unsigned cpu_count; /* 0: no pinning */
};
/* Applies to the calling thread; failures are ignored (lack of privilege must not stop a program).
 */
void thread_apply_policy(const struct thread_policy *policy);

/* Lets other threads run that wait for this processor, if there are any. */
void thread_yield(void);

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
