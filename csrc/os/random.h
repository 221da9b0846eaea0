/* SPDX-License-Identifier: MIT */
#ifndef OS_RANDOM_H
#define OS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Bytes from the kernel's generator, or from clock and pid if the system has none. */
void random_bytes(void *buf, size_t len);
uint32_t random_u32(void);

#endif
