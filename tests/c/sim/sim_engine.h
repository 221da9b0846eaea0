/* SPDX-License-Identifier: MIT */
/* In front of every file of the engine when it is built for the simulator: what it does otherwise
 * there. */
#ifndef SIM_ENGINE_H
#define SIM_ENGINE_H

#include <stddef.h>

/* Small rings are full more often. */
size_t sim_ring_size(void);
#define RING_SIZE sim_ring_size()

/* And grow soon. */
#define SHM_FULLS 2

/* Connections are soon in use. */
#define SHM_DEFER_BYTES 300

/* Bodies that are large for it, so that blocks are used. */
#define OUTQ_LARGE ((size_t)20000)
#define ARENA_BODY_MIN OUTQ_LARGE

/* Bytes that are written late, or read early (sim_weak.c). */
void sim_copy_in(void *to, const void *from, size_t n);
void sim_copy_out(void *to, const void *from, size_t n);
#define RING_COPY_IN sim_copy_in
#define RING_COPY_OUT sim_copy_out

#endif
