/* SPDX-License-Identifier: MIT */
/* Threads, time and chance of the simulated world: see sim.h. */
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/map.h"
#include "os/fork.h"
#include "os/random.h"
#include "os/thread.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* The first thread's stack, told when it is left for the first time. */
static const void *main_stack;
static size_t main_size;
#endif

#define FIBERS_MAX 96
#define STACK_BYTES ((size_t)256 << 10)
#define START_NS (UINT64_C(1000) * NS_PER_S)
#define STEPS_MAX UINT64_C(20000000)
#define RECENT 60

enum state {
    RUNNABLE, /* not before wake_at */
    ON_MUTEX,
    ON_COND,
    ON_POLLER,
    ASLEEP,
    JOINING,
    ENDED
};

static const char *const state_names[] = {
    "runnable", "waits for a mutex", "waits on a condition", "in a poller", "sleeps", "joins",
    "ended"};

struct fiber {
    ucontext_t context;
    char *stack; /* kept for the next run */
    void (*fn)(void *arg);
    void *arg;
    char name[24];
    enum state state;
    bool own;         /* of the engine: signals do not reach it */
    uint64_t wake_at; /* CLOCK_NEVER: only when woken */
    struct mutex *mutex;
    struct cond *cond;
    struct poller *poller;
    struct fiber *joined;
    bool signalled;   /* its condition was */
    unsigned looked;  /* `changes` when its poller was last asked */
    bool ready;       /* what the poller said */
    void *fake_stack; /* of the address sanitizer */
};

struct event {
    uint64_t at;
    const struct fiber *who;
    const char *what;
    uint64_t a, b;
};

struct sim_knobs sim_knobs;

static struct fiber fibers[FIBERS_MAX]; /* 0 is the program's first thread, on its own stack */
static unsigned fiber_count;
static struct fiber *current = &fibers[0];
static uint64_t now, limit, net_next, steps, seed_shown;
static uint64_t rand_state, hash;
static uint32_t gap; /* steps until the next forced switch */
static unsigned changes;
static long mutexes;
static bool loud;
static struct event recent[RECENT];
static uint64_t events;

/* ---- chance ---- */

uint64_t sim_rand(void)
{
    uint64_t x = rand_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint32_t sim_below(uint32_t n)
{
    return (uint32_t)((sim_rand() >> 32) * n >> 32);
}

bool sim_chance(uint32_t per_1000)
{
    return per_1000 && sim_below(1000) < per_1000;
}

void random_bytes(void *buf, size_t len)
{
    uint8_t *at = buf;
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)sim_rand();
}

uint32_t random_u32(void)
{
    return (uint32_t)sim_rand();
}

/* ---- the trace ---- */

static void mix(uint64_t v)
{
    hash = (hash ^ v) * UINT64_C(0x100000001b3);
    hash ^= hash >> 29;
}

static void show(const struct event *e)
{
    fprintf(stderr, "%12.6f ms  %-14s %-14s %lld %lld\n", (double)(e->at - START_NS) / 1e6,
            e->who->name, e->what, (long long)e->a, (long long)e->b);
}

void sim_event(const char *what, uint64_t a, uint64_t b)
{
    struct event *e = &recent[events++ % RECENT];
    *e = (struct event){now, current, what, a, b};
    mix(now);
    mix((uint64_t)(current - fibers));
    for (const char *c = what; *c; c++)
        mix((uint8_t)*c);
    mix(a);
    mix(b);
    if (loud)
        show(e);
}

void sim_say(const char *format, ...)
{
    if (!loud)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%12.6f ms  %-14s ", (double)(now - START_NS) / 1e6, current->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void sim_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    if (!loud && events) {
        fprintf(stderr, "what happened last:\n");
        for (uint64_t i = events < RECENT ? 0 : events - RECENT; i < events; i++)
            show(&recent[i % RECENT]);
    }
    fprintf(stderr, "threads at %.6f ms:\n", (double)(now - START_NS) / 1e6);
    for (unsigned i = 0; i < fiber_count; i++) {
        const struct fiber *f = &fibers[i];
        if (f->state == ENDED)
            continue;
        fprintf(stderr, "  %s%-16s %s", f == current ? "*" : " ", f->name, state_names[f->state]);
        if (f->state == ON_MUTEX && f->mutex->owner)
            fprintf(stderr, " that %s holds", f->mutex->owner->name);
        if (f->wake_at != CLOCK_NEVER)
            fprintf(stderr, ", until %.6f ms", (double)(f->wake_at - START_NS) / 1e6);
        fputc('\n', stderr);
    }
    fprintf(stderr, "seed %llu: ", (unsigned long long)seed_shown);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(stderr);
    _exit(SIM_FAILED);
}

/* ---- switching ---- */

static void switch_to(struct fiber *next)
{
    struct fiber *from = current;
    if (next == from)
        return;
    current = next;
#ifdef __SANITIZE_ADDRESS__
    const void *left;
    size_t left_size;
    const void *bottom = next == &fibers[0] ? main_stack : next->stack;
    size_t size = next == &fibers[0] ? main_size : STACK_BYTES;
    __sanitizer_start_switch_fiber(from->state == ENDED ? NULL : &from->fake_stack, bottom, size);
    swapcontext(&from->context, &next->context);
    __sanitizer_finish_switch_fiber(from->fake_stack, &left, &left_size);
#else
    swapcontext(&from->context, &next->context);
#endif
}

static bool can_run(struct fiber *f)
{
    switch (f->state) {
    case RUNNABLE:
    case ASLEEP:
        return f->wake_at <= now;
    case ON_MUTEX:
        return !f->mutex->owner;
    case ON_COND:
        return f->signalled || f->wake_at <= now;
    case ON_POLLER:
        if (f->looked != changes) {
            f->looked = changes;
            f->ready = sim_poller_ready(f->poller);
        }
        return f->ready || f->wake_at <= now;
    case JOINING:
        return f->joined->state == ENDED;
    default:
        return false;
    }
}

/* Who goes on: anyone who can. When nobody can, time passes. */
static struct fiber *choose(void)
{
    if (now >= net_next)
        changes++;
    for (;;) {
        struct fiber *able[FIBERS_MAX];
        uint32_t n = 0;
        for (unsigned i = 0; i < fiber_count; i++) {
            if (can_run(&fibers[i]))
                able[n++] = &fibers[i];
        }
        net_next = sim_net_next(now);
        if (n)
            return able[sim_below(n)];
        uint64_t next = net_next;
        for (unsigned i = 0; i < fiber_count; i++) {
            if (fibers[i].state != ENDED && fibers[i].wake_at < next)
                next = fibers[i].wake_at;
        }
        if (next == CLOCK_NEVER)
            sim_fail("deadlock: everybody waits and no time is set");
        now = next;
        changes++;
        if (now > limit)
            sim_fail("not done in time");
    }
}

static void go_on(void)
{
    struct fiber *next = choose();
    if (next != current) {
        mix(now);
        mix((uint64_t)(next - fibers));
    }
    switch_to(next);
    current->state = RUNNABLE;
    current->wake_at = 0;
}

static void block(enum state state, uint64_t until)
{
    current->state = state;
    current->wake_at = until;
    go_on();
}

static void new_gap(void)
{
    gap = sim_knobs.preempt_mean ? 1 + sim_below(2 * sim_knobs.preempt_mean) : UINT32_MAX;
}

/* A length between 0 and max, short ones being as likely as long ones. */
static uint64_t some_time(uint64_t max)
{
    if (max < 2)
        return max;
    uint64_t scale = max >> sim_below(12);
    return scale ? sim_rand() % scale : 0;
}

void sim_point(void)
{
    now += 10;
    if (++steps > STEPS_MAX)
        sim_fail("no end: %llu steps", (unsigned long long)steps);
    if (--gap)
        return;
    new_gap();
    block(RUNNABLE, sim_chance(sim_knobs.starve) ? now + some_time(sim_knobs.starve_max_ns) : 0);
}

_Bool sim_weak_fails(void)
{
    return sim_chance(sim_knobs.spurious);
}

void sim_spend(uint64_t ns)
{
    now += ns;
    sim_point();
}

void sim_changed(void)
{
    changes++;
}

bool sim_can_fail(void)
{
    return !current->own;
}

/* ---- time ---- */

void clock_setup(void) {}

uint64_t clock_now(void)
{
    now += 20;
    return now;
}

int64_t clock_unix(void)
{
    return (int64_t)(UINT64_C(1700000000) * NS_PER_S + now);
}

uint64_t sim_now(void)
{
    return now;
}

void sim_sleep(uint64_t ns)
{
    block(ASLEEP, now + ns);
}

void sim_suspend(uint64_t ns)
{
    now += ns;
    if (limit != CLOCK_NEVER)
        limit += ns;
    changes++;
}

void sim_set_limit(uint64_t until)
{
    limit = until;
}

void cpu_relax(void)
{
    sim_spend(200);
}

/* ---- locks ---- */

void mutex_init(struct mutex *m)
{
    m->owner = NULL;
    mutexes++;
}

void mutex_fini(struct mutex *m)
{
    if (m->owner)
        sim_fail("a mutex ends while %s holds it", m->owner->name);
    mutexes--;
}

void mutex_lock(struct mutex *m)
{
    sim_point();
    if (m->owner == current)
        sim_fail("a mutex is locked twice");
    while (m->owner) {
        current->mutex = m;
        block(ON_MUTEX, CLOCK_NEVER);
    }
    m->owner = current;
}

bool mutex_try(struct mutex *m)
{
    sim_point();
    if (m->owner)
        return false;
    m->owner = current;
    return true;
}

void mutex_unlock(struct mutex *m)
{
    if (m->owner != current)
        sim_fail("a mutex is unlocked by somebody else");
    m->owner = NULL;
    sim_point();
}

void cond_init(struct cond *c)
{
    c->waiting = 0;
}

void cond_fini(struct cond *c)
{
    if (c->waiting)
        sim_fail("a condition ends while %u wait on it", c->waiting);
}

bool cond_wait(struct cond *c, struct mutex *m, int64_t timeout_ns)
{
    uint64_t until = timeout_ns < 0 ? CLOCK_NEVER : now + (uint64_t)timeout_ns, wake = until;
    if (m->owner != current)
        sim_fail("a condition is waited on without its mutex");
    if (sim_chance(sim_knobs.spurious)) {
        uint64_t early = now + some_time(NS_PER_MS);
        wake = early < until ? early : until;
    }
    current->cond = c;
    current->signalled = false;
    c->waiting++;
    m->owner = NULL;
    block(ON_COND, wake);
    c->waiting--;
    current->cond = NULL;
    bool timed_out = !current->signalled && now >= until;
    while (m->owner) {
        current->mutex = m;
        block(ON_MUTEX, CLOCK_NEVER);
    }
    m->owner = current;
    return !timed_out;
}

void cond_signal(struct cond *c)
{
    sim_point();
    struct fiber *able[FIBERS_MAX];
    uint32_t n = 0;
    for (unsigned i = 0; i < fiber_count; i++) {
        if (fibers[i].state == ON_COND && fibers[i].cond == c && !fibers[i].signalled)
            able[n++] = &fibers[i];
    }
    if (n)
        able[sim_below(n)]->signalled = true;
}

void cond_broadcast(struct cond *c)
{
    sim_point();
    for (unsigned i = 0; i < fiber_count; i++) {
        if (fibers[i].state == ON_COND && fibers[i].cond == c)
            fibers[i].signalled = true;
    }
}

bool sim_block_on_poller(struct poller *p, uint64_t until)
{
    uint64_t wake = until;
    bool signal = !current->own && sim_chance(sim_knobs.eintr);
    if (signal) {
        uint64_t early = now + some_time(2 * NS_PER_MS);
        wake = early < until ? early : until;
    }
    current->poller = p;
    current->looked = changes - 1;
    current->ready = false;
    block(ON_POLLER, wake);
    return !(signal && !current->ready && now < until);
}

/* ---- threads ---- */

static void run(void)
{
#ifdef __SANITIZE_ADDRESS__
    const void *left;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &left, &size);
    if (!main_stack) {
        main_stack = left;
        main_size = size;
    }
#endif
    struct fiber *me = current;
    me->state = RUNNABLE;
    me->wake_at = 0;
    me->fn(me->arg);
    me->state = ENDED;
    me->wake_at = CLOCK_NEVER;
    struct fiber *next = choose();
    mix((uint64_t)(next - fibers));
    switch_to(next);
    abort(); /* nobody comes back to one that ended */
}

int thread_start(struct thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    bool own = strncmp(name, "fmq", 3) == 0;
    if (own && sim_chance(sim_knobs.no_fds))
        return -EAGAIN;
    if (fiber_count == FIBERS_MAX)
        sim_fail("more than %d threads", FIBERS_MAX);
    struct fiber *f = &fibers[fiber_count++];
    char *stack = f->stack;
    memset(f, 0, sizeof(*f));
    if (!stack) {
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED)
            abort();
        mprotect(stack, 4096, PROT_NONE);
    }
#ifdef __SANITIZE_ADDRESS__
    /* The thread that had it before ended in the middle of calls. */
    __asan_unpoison_memory_region(stack + 4096, STACK_BYTES - 4096);
#endif
    f->stack = stack;
    f->fn = fn;
    f->arg = arg;
    f->own = own;
    snprintf(f->name, sizeof(f->name), "%s.%u", name, (unsigned)(f - fibers));
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, run, 0);
    /* Or the sanitizer would wipe its notes on the whole stack with each switch. */
    f->context.uc_stack.ss_size = 0;
    t->fiber = f;
    sim_point();
    return 0;
}

void thread_join(struct thread *t)
{
    current->joined = t->fiber;
    block(JOINING, CLOCK_NEVER);
}

void thread_yield(void)
{
    cpu_relax();
}

uintptr_t thread_self(void)
{
    return (uintptr_t)(current - fibers) + 1;
}

uint32_t thread_number(void)
{
    return (uint32_t)thread_self();
}

void thread_apply_policy(const struct thread_policy *policy)
{
    (void)policy;
}

/* ---- a run ---- */

void sim_begin(uint64_t seed, bool verbose)
{
    seed_shown = seed;
    rand_state = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    hash = UINT64_C(0xcbf29ce484222325);
    now = START_NS;
    limit = CLOCK_NEVER;
    net_next = steps = events = 0;
    changes = 0;
    mutexes = 0;
    loud = verbose;
    memset(&sim_knobs, 0, sizeof(sim_knobs));
    gap = 1;
    for (unsigned i = 1; i < fiber_count; i++)
        fibers[i].state = ENDED;
    fiber_count = 1;
    current = &fibers[0];
    current->state = RUNNABLE;
    current->wake_at = 0;
    snprintf(current->name, sizeof(current->name), "main");
    map_seed(sim_rand());
    sim_net_begin();
    sim_shm_begin();
}

void sim_prepare(void)
{
    /* The address sanitizer says once that it does not know all about contexts. */
    static ucontext_t here;
    static volatile bool back;
    getcontext(&here);
    if (!back) {
        back = true;
        static ucontext_t there;
        swapcontext(&there, &here);
    }
}

uint64_t sim_end(long mutexes_kept)
{
    for (unsigned i = 1; i < fiber_count; i++) {
        if (fibers[i].state != ENDED)
            sim_fail("the thread %s is left over", fibers[i].name);
    }
    if (mutexes < 0 || mutexes > mutexes_kept)
        sim_fail("%ld mutexes are left over", mutexes);
    sim_net_end();
    sim_shm_end();
    mix(now);
    mix(rand_state);
    return hash;
}

/* ---- os/fork.h: nobody forks here ---- */

unsigned fork_generation;

void fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare;
    (void)parent;
    (void)child;
}
