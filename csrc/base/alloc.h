/* SPDX-License-Identifier: MIT */
/*
 * The engine's only way to memory. Every call may fail; tests make the n-th one fail on purpose
 * (mem_fail_at) and check that nothing is left over (mem_live).
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
/* Like realloc: on failure returns NULL and `ptr` stays valid. */
void *mem_realloc(void *ptr, size_t size);
void mem_free(void *ptr); /* NULL is allowed */

/* A NUL-terminated copy, NULL when out of memory. */
char *mem_strdup(const char *s);

/* Test hooks, compiled in with FMQ_DEBUG only; otherwise no-ops returning 0. */
void mem_fail_at(long nth); /* the nth allocation from now fails; 0 turns the hook off */
void mem_fail_from(long nth, long more); /* and `more` right after it */
long mem_failed(void);                   /* how many have failed since */
long mem_live(void);                     /* blocks allocated and not yet freed */

#endif
