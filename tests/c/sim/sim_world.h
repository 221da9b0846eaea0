/* SPDX-License-Identifier: MIT */
/*
 * What a seed draws is a world: one to four contexts and one to three scenes in them. A scene is a
 * set of sockets of a pattern that talk over one transport with one mechanism, with or without
 * shared memory:
 *
 *   FLOW   senders to receivers, each message to one of them: PUSH and PULL, DEALER, PAIR
 *   FAN    publishers to subscribers
 *   ECHO   clients that ask servers: REQ or DEALER, REP or ROUTER
 *
 * Each message says who sent it, as what number, and all of its bytes follow from that, so a
 * receiver can tell whether it is whole. Whatever happens, no message comes twice, none comes
 * before an earlier one on the same connection, every one is whole, no queue exceeds its mark, the
 * contexts end in time, and nothing is left over. The rest depends on the fault
 * profile:
 *
 *   NONE             times vary much, but nothing breaks: every message arrives
 *   BOUNDED_LATENCY  and times are short: no thread that could go on waits for longer than
 *                    LATENCY_BOUND_NS, so a lost wake-up shows even where a later event makes up
 *                    for it
 *   NETWORK          connections break or stall, descriptors run out, endpoints come and go,
 *                    strangers send nonsense; once that is over messages get through again
 *   RESOURCES        and allocations fail
 *   ABORT            sockets are closed and contexts shut down in the middle of it
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "fastmq.h"
#include "os/clock.h"
#include "os/thread.h"

#define CONTEXTS_MAX 4
#define SCENES_MAX 3
#define SOCKETS_MAX 6 /* of a scene */
#define SOURCES_MAX 6 /* threads of a scene that send messages of their own */
#define SINKS_MAX 4   /* sockets of a scene that each get all messages */
#define NUMBERS_MAX 2048
#define ORDERS_MAX 64
#define WORKERS_MAX (SCENES_MAX * SOCKETS_MAX * 2)

/* Below the slices in which waits come up by themselves (50 ms), above all that is meant to take
 * its time: leases, looks, ticks. */
#define LATENCY_BOUND_NS (48 * NS_PER_MS)

enum fault_profile { NONE, BOUNDED_LATENCY, NETWORK, RESOURCES, ABORT };
enum pattern { FLOW, FAN, ECHO };
enum shm_wanted { SHM_NEVER, SHM_SOME, SHM_BOTH };
enum mechanism { PLAIN_NULL, PLAIN, CURVE };

/* Begins the first part of a message. All else follows from it. */
struct header {
    uint8_t topic, scene, source, parts;
    uint32_t number; /* from 1 */
};

struct source {
    uint32_t sent; /* the last number */
    bool done;
    uint32_t healed_from;     /* the first number after the faults; 0: not yet */
    bool ok[NUMBERS_MAX];     /* the send succeeded ... */
    uint64_t at[NUMBERS_MAX]; /* ... and when */
};

struct book {
    bool seen[NUMBERS_MAX];
    uint32_t count, last;
    bool healed; /* something sent after the faults came */
};

/* The order of what came from a source over one connection. */
struct order {
    struct meta *meta;
    unsigned source;
    uint32_t last;
};

struct scene;

struct member {
    struct scene *scene;
    fmq_socket *socket;
    unsigned context;
    bool sends, binds;
    unsigned index; /* among its kind */
    unsigned threads;
    bool closed;   /* by its own thread, when that had sent all */
    char name[64]; /* where it is bound */
    uint8_t topic; /* 0: all */
};

struct scene {
    unsigned index;
    enum pattern pattern;
    int send_type, recv_type;
    const char *transport;
    enum mechanism mechanism;
    enum shm_wanted shm;
    bool senders_bind, conflate;
    bool single; /* messages have one part */
    unsigned senders, receivers;
    uint32_t numbers; /* messages of a source */
    unsigned window;  /* ECHO: questions that are out */
    bool exact;       /* all arrive */
    int sndhwm, rcvhwm;
    int resend;   /* REQ_RESEND_IVL: a server may get a question more than once */
    bool insists; /* so clients wait for each answer as long as it takes */
    unsigned source_count;
    struct source sources[SOURCES_MAX];
    struct book books[SOURCES_MAX][SINKS_MAX];
    struct member members[SOCKETS_MAX];
    unsigned member_count;
    uint64_t up_at; /* all connections stood */
};

/* How a thread waits for messages. */
enum waiting { IN_CALLS, IN_POLLSET, ON_DESCRIPTOR, IN_ADAPTER };

struct worker { /* a thread of the program */
    struct member *member;
    enum waiting waiting;
    fmq_pollset *set;
    fmq_loop *adapter;
    struct poller *loop; /* an event loop's: holds the adapter, or the socket's descriptor */
    int watched;         /* that descriptor; -1: none yet */
    unsigned source;
    struct thread thread;
    uint64_t wait_from; /* it got the last message, or began */
    struct order orders[ORDERS_MAX];
    unsigned order_count;
};

struct world {
    enum fault_profile profile;
    bool healed;
    bool over; /* everybody is done */
    uint64_t salt;
    long adapters; /* made: they keep their lock for the next */
    bool large;    /* some messages are */
    fmq_ctx *contexts[CONTEXTS_MAX];
    unsigned context_count;
    struct scene scenes[SCENES_MAX];
    unsigned scene_count;
    struct worker workers[WORKERS_MAX];
    unsigned worker_count;
    uint8_t public_key[32], secret_key[32];
    struct thread watcher, zap[CONTEXTS_MAX], fate;
    bool has_zap[CONTEXTS_MAX];
};
extern struct world world;

/*
 * One run. Comes back only if all held: with the hash of all that happened. sim_world_about tells
 * in a line what the seed has drawn.
 */
uint64_t sim_world_run(uint64_t seed, bool verbose);
const char *sim_world_about(void);

/* Whether connections may break and calls fail. */
static inline bool world_faulty(void)
{
    return world.profile >= NETWORK;
}

static inline unsigned scene_opposite(const struct scene *c, bool sends)
{
    return sends ? c->receivers : c->senders;
}

/* ---- sim_message.c ---- */

struct header message_header(const struct scene *c, unsigned source, uint32_t number);
int message_part(struct msg *m, const struct header *h, unsigned part); /* 0 or -ENOMEM */
/* Checks what must hold of a message that came; `slot` is the book of the scene that it goes into,
 * `ordered` whether its kind comes in order. */
struct header message_came(struct worker *t, const struct msg *v, uint32_t n, struct meta *meta,
                           unsigned slot, bool ordered);

/* ---- sim_thread.c: what the threads of a scene do, with a struct worker ---- */

void thread_sender(void *arg);
void thread_receiver(void *arg);
void thread_client(void *arg);
void thread_server(void *arg);

/* Whether a call that failed is to be made again; what may not happen ends the run. */
bool call_again(int rc, const char *what);
int left_ms(uint64_t until);

#endif
