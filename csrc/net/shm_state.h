/* SPDX-License-Identifier: MIT */
/* The state of conn_shm.h in a connection. */
#ifndef NET_SHM_STATE_H
#define NET_SHM_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct meeting_seat;
struct stream;

/* Why a connection is not in shared memory. */
enum shm_why {
    SHM_WHY_NONE, /* it is */
    SHM_WHY_PENDING,
    SHM_WHY_OFF,
    SHM_WHY_SYSTEM,
    SHM_WHY_SECURITY,
    SHM_WHY_LINK,
    SHM_WHY_PEER,
    SHM_WHY_HOST,
    SHM_WHY_USER,
    SHM_WHY_BETWEEN,
    SHM_WHY_LIMIT,
    SHM_WHY_FAILED,
    SHM_WHY_COUNT
};

/* A connection's share of it. */
struct conn_shm {
    struct meeting_seat *seat; /* the accepting side's, while it waits to be met */
    enum shm_why why;
    bool unix_socket;   /* the descriptor is one */
    int64_t own_number; /* the connecting side's: os/shm.h */
    int error;          /* SHM_WHY_FAILED: the negative errno */
    bool told;          /* `why`, as an event */
    bool counted;       /* in SHM_CONNECTIONS */
    uint64_t begin_at;  /* `deferred`: when so many bytes were carried */
    bool deferred;      /* it is to be asked for when the connection is in use: conn_shm_carried */
    bool switch_due; /* SWITCH is to be written: before it no more frame of the pipe's is begun */
    bool switch_put; /* it is in the peer's own queue */
    bool refuse;     /* it is to say that the memory is not used */
    uint64_t bytes;  /* of memory; 0: there is none */
    struct stream *given_up; /* the stream over memory that was refused */
};

#endif
