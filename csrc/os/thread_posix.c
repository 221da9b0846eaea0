/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/alloc.h"
#include "os/fork.h"
#include "os/sys.h"

#define NS_PER_SEC 1000000000LL

/* musl's default of 128 KiB is too close to what a resolver may need; glibc's 8 MiB hurts programs
 * that lock their memory. */
#define STACK_BYTES ((size_t)1 << 20)

#ifdef __APPLE__

void cond_init(struct cond *c)
{
    pthread_cond_init(&c->c, NULL);
}

static int wait_relative(struct cond *c, struct mutex *m, int64_t timeout_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
                          .tv_nsec = (long)(timeout_ns % NS_PER_SEC)};
    return pthread_cond_timedwait_relative_np(&c->c, &m->m, &ts);
}

static void name_self(const char *name)
{
    pthread_setname_np(name);
}

static uint32_t number_of_self(void)
{
    uint64_t id = 0;
    pthread_threadid_np(NULL, &id);
    return (uint32_t)id;
}

static void pin_self(const unsigned *cpus, unsigned count)
{
    (void)cpus; /* the system has only hints, no pinning */
    (void)count;
}

#else

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->c, &attr);
    pthread_condattr_destroy(&attr);
}

static int wait_relative(struct cond *c, struct mutex *m, int64_t timeout_ns)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t nsec = ts.tv_nsec + timeout_ns % NS_PER_SEC;
    ts.tv_sec += (time_t)(timeout_ns / NS_PER_SEC + nsec / NS_PER_SEC);
    ts.tv_nsec = (long)(nsec % NS_PER_SEC);
    return pthread_cond_timedwait(&c->c, &m->m, &ts);
}

#ifdef __linux__

static uint32_t number_of_self(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static void name_self(const char *name)
{
    char cut[16]; /* a longer name is refused */
    strncpy(cut, name, sizeof(cut) - 1);
    cut[sizeof(cut) - 1] = 0;
    pthread_setname_np(pthread_self(), cut);
}

static void pin_self(const unsigned *cpus, unsigned count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < count; i++) {
        if (cpus[i] < CPU_SETSIZE)
            CPU_SET(cpus[i], &set);
    }
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

#else

static uint32_t number_of_self(void)
{
    return 0;
}

static void name_self(const char *name)
{
    (void)name;
}

static void pin_self(const unsigned *cpus, unsigned count)
{
    (void)cpus;
    (void)count;
}

#endif
#endif

void cond_fini(struct cond *c)
{
    pthread_cond_destroy(&c->c);
}

void cond_signal(struct cond *c)
{
    pthread_cond_signal(&c->c);
}

void cond_broadcast(struct cond *c)
{
    pthread_cond_broadcast(&c->c);
}

bool cond_wait(struct cond *c, struct mutex *m, int64_t timeout_ns)
{
    if (timeout_ns < 0) {
        pthread_cond_wait(&c->c, &m->m);
        return true;
    }
    return wait_relative(c, m, timeout_ns) != ETIMEDOUT;
}

struct start {
    void (*fn)(void *arg);
    void *arg;
    char name[32];
};

static void *run(void *opaque)
{
    struct start s = *(struct start *)opaque;
    mem_free(opaque);
    if (s.name[0])
        name_self(s.name);
    s.fn(s.arg);
    return NULL;
}

int thread_start(struct thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    struct start *s = mem_zalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->fn = fn;
    s->arg = arg;
    if (name)
        strncpy(s->name, name, sizeof(s->name) - 1);

    /* Signals that the CPU raises on the thread itself stay open: blocking them would kill the
     * process without a crash handler having had its say. */
    sigset_t block, old;
    sigfillset(&block);
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        sigdelset(&block, own[i]);
    pthread_sigmask(SIG_SETMASK, &block, &old);

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int err = SYS_FAULT(THREAD);
    if (!err)
        err = pthread_create(&t->t, &attr, run, s);
    pthread_attr_destroy(&attr);

    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        mem_free(s);
    return -err;
}

void thread_join(struct thread *t)
{
    pthread_join(t->t, NULL);
}

void thread_yield(void)
{
    sched_yield();
}

uintptr_t thread_self(void)
{
    return (uintptr_t)pthread_self();
}

uint32_t thread_number(void)
{
    static _Thread_local uint32_t number;
    static _Thread_local unsigned generation;
    if (!number || generation != fork_generation) { /* a child of a fork is another thread */
        number = number_of_self();
        generation = fork_generation;
    }
    return number;
}

void thread_apply_policy(const struct thread_policy *policy)
{
    if (policy->sched_policy != -1 || policy->priority != -1) {
        struct sched_param param;
        int sched;
        if (pthread_getschedparam(pthread_self(), &sched, &param) == 0) {
            if (policy->sched_policy != -1)
                sched = policy->sched_policy;
            if (policy->priority != -1)
                param.sched_priority = policy->priority;
            pthread_setschedparam(pthread_self(), sched, &param);
        }
    }
    if (policy->cpu_count)
        pin_self(policy->cpus, policy->cpu_count);
}
