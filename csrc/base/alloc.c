/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#ifdef FMQ_DEBUG

#include <stdatomic.h>
#include <stdbool.h>

static atomic_long live;
static atomic_long countdown; /* allocations left until one fails; 0: none will */
static atomic_long repeats;   /* that fail after it */
static atomic_long failures;

void mem_fail_from(long nth, long more)
{
    atomic_store(&countdown, 0);
    atomic_store(&repeats, nth > 0 ? more : 0);
    if (nth > 0) /* who asks afterwards may do so until the next time */
        atomic_store(&failures, 0);
    atomic_store(&countdown, nth > 0 ? nth : 0);
}

void mem_fail_at(long nth)
{
    mem_fail_from(nth, 0);
}

long mem_failed(void)
{
    return atomic_load(&failures);
}

long mem_live(void)
{
    return atomic_load(&live);
}

static bool must_fail(void)
{
    long left = atomic_load_explicit(&countdown, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&countdown, &left, left - 1)) {
            if (left == 1)
                atomic_fetch_add(&failures, 1);
            return left == 1;
        }
    }
    left = atomic_load_explicit(&repeats, memory_order_relaxed);
    while (left > 0 && atomic_load(&failures)) {
        if (atomic_compare_exchange_weak(&repeats, &left, left - 1)) {
            atomic_fetch_add(&failures, 1);
            return true;
        }
    }
    return false;
}

static void *counted(void *ptr)
{
    if (ptr)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return ptr;
}

static void uncount(const void *ptr)
{
    if (ptr)
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}

#else

#define must_fail() 0
#define counted(ptr) (ptr)
#define uncount(ptr) ((void)0)

void mem_fail_at(long nth)
{
    (void)nth;
}

void mem_fail_from(long nth, long more)
{
    (void)nth;
    (void)more;
}

long mem_failed(void)
{
    return 0;
}

long mem_live(void)
{
    return 0;
}

#endif

/* NULL from here always means out of memory, so a size of 0 is never passed on. */
static size_t at_least_one(size_t size)
{
    return size ? size : 1;
}

void *mem_alloc(size_t size)
{
    if (must_fail())
        return NULL;
    return counted(malloc(at_least_one(size)));
}

void *mem_zalloc(size_t size)
{
    if (must_fail())
        return NULL;
    return counted(calloc(1, at_least_one(size)));
}

void *mem_realloc(void *ptr, size_t size)
{
    if (!ptr)
        return mem_alloc(size);
    if (must_fail())
        return NULL;
    return realloc(ptr, at_least_one(size));
}

void mem_free(void *ptr)
{
    uncount(ptr);
    free(ptr);
}

char *mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = mem_alloc(size);
    if (copy)
        memcpy(copy, s, size);
    return copy;
}
