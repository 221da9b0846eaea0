/* SPDX-License-Identifier: MIT */
/* Programs for the simulated world, and what must hold while and after they run. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One run: contexts, sockets and threads that the seed draws, which exchange messages while the
 * seed's misfortunes befall them. Comes back only if all held; the hash of all that happened.
 */
uint64_t sim_world_run(uint64_t seed, bool verbose);

/* What a seed draws, in one line. Valid until the next run. */
const char *sim_world_about(void);

#endif
