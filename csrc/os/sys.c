/* SPDX-License-Identifier: MIT */
#include "os/sys.h"

#ifdef FMQ_DEBUG

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SYS_ROW(name, ...) {#name, {__VA_ARGS__}},
static const struct {
    const char *name;
    int errors[SYS_ERRORS_MAX];
} calls[] = {SYS_CALLS(SYS_ROW) SYS_LOSSES(SYS_ROW)};

static atomic_long countdown; /* calls left until one fails; 0: none will */
static atomic_long repeats;   /* of the same kind that fail after it */
static atomic_uint place;
static atomic_int only = -1;   /* the calls that are counted; -1: all */
static atomic_int failed = -1; /* the call that failed */
static atomic_int failed_with;

static void fail(int call, long nth, unsigned which, long more)
{
    atomic_store(&countdown, 0);
    atomic_store(&only, call);
    atomic_store(&repeats, nth > 0 ? more : 0);
    atomic_store(&place, which);
    if (nth > 0) /* who asks afterwards what failed may do so until the next time */
        atomic_store(&failed, -1);
    atomic_store(&countdown, nth > 0 ? nth : 0);
}

void sys_fail_at(long nth, unsigned which, long more)
{
    fail(-1, nth, which, more);
}

void sys_fail_call(enum sys_call call, long nth, unsigned which, long more)
{
    fail((int)call, nth, which, more);
}

const char *sys_failed(int *error)
{
    int call = atomic_load(&failed);
    if (error)
        *error = call < 0 ? 0 : atomic_load(&failed_with);
    return call < 0 ? NULL : calls[call].name;
}

static bool is_next(enum sys_call call)
{
    long left = atomic_load_explicit(&countdown, memory_order_relaxed);
    int chosen = atomic_load(&only);
    if (left > 0 && (chosen >= 0 ? chosen != (int)call : call >= SYS_POLLER_LOST))
        return false;
    while (left > 0) {
        if (atomic_compare_exchange_weak(&countdown, &left, left - 1))
            return left == 1;
    }
    return false;
}

static bool is_repeat(enum sys_call call)
{
    long left = atomic_load_explicit(&repeats, memory_order_relaxed);
    while (left > 0 && atomic_load(&failed) == (int)call) {
        if (atomic_compare_exchange_weak(&repeats, &left, left - 1))
            return true;
    }
    return false;
}

int sys_fault(enum sys_call call)
{
    if (!is_next(call) && !is_repeat(call))
        return 0;
    unsigned count = 0;
    while (count < SYS_ERRORS_MAX && calls[call].errors[count])
        count++;
    int error = calls[call].errors[atomic_load(&place) % count];
    atomic_store(&failed_with, error);
    atomic_store(&failed, (int)call);
    errno = error;
    return error;
}

#else
typedef int sys_unused;
#endif
