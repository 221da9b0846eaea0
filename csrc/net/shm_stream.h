/* SPDX-License-Identifier: MIT */
/*
 * A connection whose bytes go through rings in shared memory, one for each direction. It starts on
 * its descriptor, and each direction is switched separately. The descriptor stays open: after the
 * switch, a byte that is sent on it wakes the poller of the other side, and its end means that the
 * other process has ended.
 */
#ifndef NET_SHM_STREAM_H
#define NET_SHM_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/ring.h"
#include "net/stream_ops.h"

/* A ring that was full so many times goes on in memory of so many times the size. A large ring
 * spares wake-ups and system calls where much is sent for long; a burst now and then is not worth
 * its memory. */
#ifndef SHM_FULLS /* the simulator has fewer */
#define SHM_FULLS 32
#endif
#define SHM_GROWTH 16

/* The memory of a connection as it is mapped: a page with the shared parts of both rings, their
 * bytes, and those of the larger rings. The first ring is written by the side that made the memory.
 * The system gives a page when it is first written to. */
struct shm_region {
    struct ring_shared *shared;
    uint8_t *ring[2], *more[2];
    size_t size; /* of a ring: a power of two, at least a page */
};

/* What the memory of two rings takes with all that they may grow to. */
size_t shm_region_bytes(size_t size);
/* Makes such memory, or maps what `fd` stands for after a look at it. 0 or a negative errno; from
 * shm_region_new *fd is the caller's. */
int shm_region_new(struct shm_region *m, size_t size, int *fd);
int shm_region_open(struct shm_region *m, size_t size, int fd);
void shm_region_close(struct shm_region *m);

/* A stream over the descriptor and the memory, which it takes over; nothing is switched. `maker`:
 * this side made the memory. NULL: no memory, and nothing was taken over. */
struct stream *shm_stream_new(int fd, struct shm_region *m, bool maker);

/* What is written from now on goes into the ring. All before it was written, and no thread writes.
 */
void shm_stream_switch_out(struct stream *st);
/* What is read from now on comes from the ring. No thread reads. */
void shm_stream_switch_in(struct stream *st);
/* Counts what the memory may take now, until shm_stream_uncount. */
void shm_stream_count(struct stream *st, atomic_llong *bytes);
void shm_stream_uncount(struct stream *st);
/* Unmaps the memory of a stream that was never switched: its descriptor goes on. A thread may
 * write. */
void shm_stream_release(struct stream *st);
/* This side reads no more, and the other one is to know. */
void shm_stream_leave(struct stream *st);
/* Whether it is switched. */
bool shm_stream_is_out(const struct stream *st);
bool shm_stream_is_in(const struct stream *st);
/* The other side has read something from our ring, so nothing of ours is on its descriptor. */
bool shm_stream_is_met(const struct stream *st);

#endif
