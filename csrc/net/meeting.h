/* SPDX-License-Identifier: MIT */
/*
 * The meeting point of a context, where other processes of the host pass the memory that they have
 * created for a connection. It is one listening descriptor, created when the first connection
 * offers it, and served by an I/O thread. A connection that is waiting here is identified by a
 * random token; it accepts the memory from a process of the same user that sends the token.
 *
 * The meeting point also counts the context's connections in shared memory, and watches the sockets
 * that outlive the connection for which they were created.
 */
#ifndef NET_MEETING_H
#define NET_MEETING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "net/shm_stream.h"
#include "os/shm.h"
#include "os/thread.h"
#include "reactor/mailbox.h"
#include "reactor/state.h"

#define MEETING_TOKEN 16

/* What is handed over. */
#define MEETING_RINGS 1  /* the memory of a connection */
#define MEETING_BLOCKS 2 /* an arena, with the page that belongs to it: blocks.h */

struct borrower;
struct conn;
struct io_thread;
struct meeting;
struct reactor;

/* A context's, and the place where it is once it was made. */
struct meeting_slot {
    struct mutex lock; /* comes before an I/O thread's, else a leaf */
    struct meeting *meeting;
    bool ended;
    char name[SHM_NAME_MAX];
    struct list seats; /* meeting_seat.node */
    atomic_int most;   /* SHM_CONNECTIONS */
    atomic_int taken;  /* how many of them are in use or kept free */
    atomic_llong bytes;
};

/* A connection that may be met. */
struct meeting_seat {
    struct list node; /* slot.seats, until somebody came; under the slot's lock */
    struct cmd came;  /* posted to `reactor` then */
    struct reactor *reactor;
    struct conn *conn; /* NULL: it has ended; under the reactor's lock */
    uint8_t kind;      /* of what is to be brought */
    uint8_t token[MEETING_TOKEN];
    /* What was brought. */
    int result; /* 0 or a negative errno */
    struct shm_region region;
    struct borrower *borrower;
};

/* What goes with the descriptor. */
struct meeting_message {
    uint8_t kind;
    uint8_t token[MEETING_TOKEN];
    uint64_t size; /* of a ring, of the arena */
};

#define MEETING_MESSAGE (1 + MEETING_TOKEN + 8) /* bytes on the way */

void meeting_init(struct meeting_slot *slot);
void meeting_fini(struct meeting_slot *slot);
/* No socket is alive any more, the I/O threads still are. */
void meeting_end(struct meeting_slot *slot);

/* How many descriptors it holds. */
uint32_t meeting_descriptors(struct meeting_slot *slot);

/* Takes one of SHM_CONNECTIONS. False: all are taken. */
bool meeting_count(struct meeting_slot *slot);
/* Gives it back. */
void meeting_uncount(struct meeting_slot *slot);

/* A place for a connection; the reactor's lock is held. `came` runs when somebody has come for it,
 * with the reactor's lock held; it takes the seat over (meeting_seat_free). 0 or a negative errno.
 */
int meeting_offer(struct meeting_slot *slot, struct io_thread *io, struct reactor *r,
                  struct conn *conn, uint8_t kind, void (*came)(struct reactor *r, struct cmd *cmd),
                  struct meeting_seat **out);
/* The connection ends before its `came` has run. The reactor's lock is held. */
void meeting_withdraw(struct meeting_slot *slot, struct meeting_seat *seat);
void meeting_seat_free(struct meeting_seat *seat);

/* A socket that is watched here. */
struct guest {
    struct io io; /* with its descriptor, `ready` and `free` */
    /* The context ends: `io.free` is called next. */
    void (*over)(struct guest *g);
    struct list node;
    struct cmd join;
    struct meeting *meeting;
    atomic_bool watched; /* it has joined: what comes there is heard */
};

/* Watches it from now on; any thread, no reactor's lock but a socket's may be held. 0, or a
 * negative errno and nothing was done. */
int meeting_host(struct meeting_slot *slot, struct io_thread *io, struct guest *g);
/* Watches it no more, and frees it; from its `ready`. */
void meeting_dismiss(struct guest *g);

void meeting_encode(const struct meeting_message *m, uint8_t out[MEETING_MESSAGE]);

#endif
