/* SPDX-License-Identifier: MIT */
/*
 * Counts what a thread executes: the branches, and what the C library moves for it. For the tests
 * in STEP_TESTS of the Makefile, whose mode has the compiler and the linker call what is here.
 */
#ifndef STEPS_H
#define STEPS_H

#include <stdint.h>
#include <string.h>

#include "check.h"

/* So many bytes moved or compared by the C library are a step. */
#define BYTES_A_STEP 16

#ifdef __clang__
#define UNCOUNTED __attribute__((no_sanitize("coverage")))
#else
#define UNCOUNTED __attribute__((no_sanitize_coverage))
#endif

/* Volatile: the compiler takes memcpy for a function that changes nothing else. */
static __thread volatile uint64_t steps;

/* Called by the compiler's instrumentation at the beginning of each basic block. */
UNCOUNTED void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    steps++;
}

#define WRAPPED(name, result, bytes, parameters, ...)                                              \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    UNCOUNTED result __wrap_##name parameters                                                      \
    {                                                                                              \
        steps += (bytes) / BYTES_A_STEP;                                                           \
        return __real_##name(__VA_ARGS__);                                                         \
    }

WRAPPED(memmove, void *, n, (void *to, const void *from, size_t n), to, from, n)
WRAPPED(memcpy, void *, n, (void *to, const void *from, size_t n), to, from, n)
WRAPPED(memset, void *, n, (void *to, int byte, size_t n), to, byte, n)
WRAPPED(memcmp, int, n, (const void *a, const void *b, size_t n), a, b, n)
WRAPPED(memchr, void *, n, (const void *in, int byte, size_t n), in, byte, n)

/* Checks that `work`, which returns the steps of what it did for n things, is linear. */
static void check_linear(uint64_t (*work)(uint32_t n), uint32_t n)
{
    enum { TIMES = 8 };
    uint64_t few = work(n), many = work(TIMES * n);
    printf("     %s: %llu steps for %u, %llu for %u\n", check_running, (unsigned long long)few, n,
           (unsigned long long)many, TIMES * n);
    CHECK(few > n); /* it was counted */
    /* Tables and arrays double now and then; what is quadratic takes 64 times as many. */
    CHECK(many < 2 * TIMES * few);
}

#endif
