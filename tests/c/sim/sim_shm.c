/* SPDX-License-Identifier: MIT */
/* The simulated world has no memory that processes share. */
#define SHM_NONE
#include "os/shm_none.c"
