/* SPDX-License-Identifier: MIT */
#include "reactor/decref_queue.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "os/thread.h"

/* Enough that a program which calls into the engine now and then never asks the host for help. */
#define NOTIFY_AT 64u

atomic_uint decref_queue_count_;

static struct mutex lock = MUTEX_INITIALIZER;
static pthread_once_t cond_once = PTHREAD_ONCE_INIT;
static struct cond grown;
static unsigned waiters;
static void *first_slots[256];
static void **slots = first_slots;
static size_t len;
static size_t cap = 256;

static void init_cond(void)
{
    cond_init(&grown);
}

static bool reserve_one(void)
{
    void **bigger;

    if (len < cap)
        return true;
    bigger = mem_alloc(cap * 2 * sizeof(void *));
    if (!bigger)
        return false;
    memcpy(bigger, slots, len * sizeof(void *));
    if (slots != first_slots)
        mem_free(slots);
    slots = bigger;
    cap *= 2;
    return true;
}

bool decref_queue_push(void *object)
{
    bool notify = false;

    mutex_lock(&lock);
    if (reserve_one()) {
        slots[len++] = object;
        atomic_store_explicit(&decref_queue_count_, (unsigned)len, memory_order_relaxed);
        notify = len % NOTIFY_AT == 0;
        if (waiters)
            cond_broadcast(&grown);
    }
    mutex_unlock(&lock);
    return notify;
}

size_t decref_queue_take(void **out, size_t max)
{
    size_t n;

    mutex_lock(&lock);
    n = len < max ? len : max;
    memcpy(out, slots + (len - n), n * sizeof(void *));
    len -= n;
    if (len == 0 && slots != first_slots) {
        mem_free(slots);
        slots = first_slots;
        cap = 256;
    }
    atomic_store_explicit(&decref_queue_count_, (unsigned)len, memory_order_relaxed);
    mutex_unlock(&lock);
    return n;
}

bool decref_queue_wait(int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? -1 : (int64_t)clock_now() + (int64_t)timeout_ms * 1000000;
    bool some;

    pthread_once(&cond_once, init_cond);
    mutex_lock(&lock);
    waiters++;
    while (len == 0) {
        int64_t left = deadline < 0 ? -1 : deadline - (int64_t)clock_now();
        if (deadline >= 0 && left <= 0)
            break;
        cond_wait(&grown, &lock, left);
    }
    waiters--;
    some = len > 0;
    mutex_unlock(&lock);
    return some;
}

void decref_queue_fork_prepare(void)
{
    mutex_lock(&lock);
}

void decref_queue_fork_done(void)
{
    mutex_unlock(&lock);
}
