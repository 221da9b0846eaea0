/* SPDX-License-Identifier: MIT */
/*
 * The world that the engine runs in under simulation: threads, time, descriptors and the network,
 * all in memory and all ruled by one seed. The files:
 *
 *   include/       os/thread.h and stdatomic.h, which the engine is compiled against
 *   sim_fiber.c    os/thread.h as fibers: mutexes, condition variables, time, chance, the trace
 *   sim_net.c      os/net.h and os/wakeup.h: descriptors, streams, listeners, what goes wrong there
 *   sim_poller.c   os/poller.h
 *   sim_shm.c      os/shm.h: memory, and the meeting points where it is handed over
 *   sim_weak.c     what one process sees of what another writes there, and when
 *   sim_world.h    the programs that run on it, in sim_world.c, sim_thread.c and sim_message.c
 *   test_sim.c     a run for each seed, and what must hold
 *
 * There is one real thread, so a run is the same each time: whoever goes on next, how long things
 * take and what fails is drawn from the seed. Time passes by a few ns with each step and jumps
 * ahead when everybody sleeps. All that happens goes into a hash.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/clock.h"
#include "os/net.h"
#include "os/poller.h"

/* How the world behaves. Rates are out of 1000; a run may change them as it goes. */
struct sim_knobs {
    uint32_t preempt_mean;   /* steps between two forced switches */
    uint32_t starve;         /* forced switches after which the thread gets no processor ... */
    uint64_t starve_max_ns;  /* ... for so long at most */
    uint64_t latency_max_ns; /* of the network, a way */
    uint32_t partial;        /* reads and writes that move less than they could */
    uint32_t spurious;       /* events and wake-ups for no reason, unready reads */
    uint32_t eintr;          /* waits in a poller that a signal ends */
    size_t buffer_max;       /* of a connection, each way; each draws its own */
    uint32_t weak;           /* looks into shared memory that see what was there before */
    uint32_t lost, doubled;  /* datagrams that never come, or come twice; latency reorders them */
    /* What can cost connections or calls. */
    uint32_t no_fds;     /* descriptors and threads that cannot be made: EMFILE, EAGAIN */
    uint32_t refuse;     /* connects that are refused */
    uint32_t unanswered; /* connects that nobody ever answers */
    uint32_t crowded;    /* meeting points that take nobody in */
};
extern struct sim_knobs sim_knobs;

/* Once, in the process that the others are forked from. */
void sim_prepare(void);
/* Everything anew. `verbose` prints what happens as it happens. */
void sim_begin(uint64_t seed, bool verbose);
/* No thread but the caller may be left, no descriptor, and no mutex beyond those that are kept on
 * purpose. The hash of all that happened. */
uint64_t sim_end(long mutexes_kept);

uint64_t sim_rand(void);
uint32_t sim_below(uint32_t n);
bool sim_chance(uint32_t per_1000);

void sim_sleep(uint64_t ns);
uint64_t sim_now(void); /* without letting time pass */
/* The machine was suspended: for so long nobody ran. */
void sim_suspend(uint64_t ns);
/* A run that lasts longer than until then has failed. */
void sim_set_limit(uint64_t until);

/* Goes into the hash and the trace. `what` is a literal. */
void sim_event(const char *what, uint64_t a, uint64_t b);
/* Into the trace only. */
void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something does not hold: tells the seed, who waits for what, and what happened last; ends the
 * process with SIM_FAILED. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SIM_FAILED 3

/* The network's faults, on connections drawn at random. False: there is none. */
bool sim_net_reset_one(void);
bool sim_net_stall_one(uint64_t ns); /* nothing arrives on it for so long */

/* ---- shared memory ---- */

/* A fault in code that works on shared memory: the operations of one kind in one function do less
 * than they should. SIM_LOOK_AGAIN: what is looked at after a store is what was seen before it. */
enum sim_operation { SIM_LOAD, SIM_STORE, SIM_CHANGE_OF, SIM_LOOK_AGAIN };
struct sim_fault {
    const char *function; /* NULL: none */
    enum sim_operation operation;
    bool skip;   /* they are left out */
    uint32_t as; /* else: a weaker memory_order */
};
extern struct sim_fault sim_fault;

/* ---- between the parts of the simulator ---- */

/* What stands behind a descriptor of another part. */
struct sim_object;
struct sim_object_ops {
    uint32_t (*ready)(struct sim_object *o, uint64_t now); /* POLLER_ bits */
    uint64_t (*next)(struct sim_object *o, uint64_t now);  /* when that changes; CLOCK_NEVER */
    void (*drop)(struct sim_object *o);
};
struct sim_object {
    const struct sim_object_ops *ops;
};
int sim_fd_of_object(struct sim_object *object); /* a descriptor for it, -EMFILE */
struct sim_object *sim_fd_object(int fd, const struct sim_object_ops *ops); /* NULL: of no such */
uint64_t sim_latency(void);
void sim_net_ends(int fd, struct net_addr *own, struct net_addr *peer); /* of a connection */
void sim_net_happens_at(uint64_t when);

void sim_shm_begin(void);
void sim_shm_end(void);
/* The part of a memory that a process has mapped: who looks at it, and where. */
struct sim_memory;
struct sim_place {
    struct sim_memory *memory;
    unsigned holder; /* the process: 0 made the memory, 1 was given it */
    size_t offset;
};
struct sim_place sim_shm_place(const volatile void *p);
struct sim_weak *sim_weak_new(void);
void sim_weak_free(struct sim_weak *w);
struct sim_weak *sim_shm_weak(struct sim_memory *m);

void sim_point(void); /* another fiber may go on here */
void sim_spend(uint64_t ns);
/* Waits until the poller has something, the time comes, or a signal; false: a signal. */
bool sim_block_on_poller(struct poller *p, uint64_t until);
/* Something that pollers watch has changed: who waits in one looks again. */
void sim_changed(void);
bool sim_can_fail(void); /* the calling thread sees signals (not the engine's own) */

void sim_net_begin(void);
void sim_net_end(void);
uint64_t sim_net_next(uint64_t now); /* when the network does something next by itself */
uint32_t sim_fd_ready(int fd);       /* POLLER_ bits */
bool sim_fd_connecting(int fd);
void sim_fd_watch(int fd, int by);      /* counts the pollers that hold it */
int sim_fd_of_poller(struct poller *p); /* a descriptor for it, -EMFILE */
void sim_fd_drop(int fd);
bool sim_poller_ready(struct poller *p);

#endif
