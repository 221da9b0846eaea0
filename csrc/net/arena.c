/* SPDX-License-Identifier: MIT */
#include "net/arena.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "os/fork.h"
#include "os/net.h"
#include "os/shm.h"

/* Blocks are made of units: 64 KiB, or more where there would be too many of them. */
#define UNIT_MIN ((size_t)64 << 10)
#define UNITS_MAX ((size_t)8 << 10)

struct arena {
    atomic_uint refs; /* the slot's, those of arena_get, and one a block */
    struct mutex lock;
    unsigned fork_generation;
    int fd;
    uint8_t *data;
    size_t size;
    size_t unit;
    uint32_t units;
    uint32_t low; /* no unit below it is free */
    uint32_t blocks;
    size_t used;
    /* Of the block that begins with a unit, how many it has; of one that is in a block but does not
     * begin it, TAKEN; 0: free. */
    uint32_t *units_of;
};

#define TAKEN UINT32_MAX

/* ---- life ---- */

static int make_arena(size_t max, struct arena **out)
{
    size_t unit = UNIT_MIN;
    while (max / unit > UNITS_MAX)
        unit *= 2;
    uint32_t units = (uint32_t)(max / unit);
    if (!units)
        return -ENOTSUP;
    struct arena *a = mem_zalloc(sizeof(*a));
    uint32_t *units_of = mem_zalloc(units * sizeof(*units_of));
    void *at;
    int fd = a && units_of ? shm_create_arena(units * unit, &at) : -ENOMEM;
    if (fd < 0) {
        mem_free(units_of);
        mem_free(a);
        return fd;
    }
    atomic_init(&a->refs, 1);
    mutex_init(&a->lock);
    a->fork_generation = fork_generation;
    a->fd = fd;
    a->data = at;
    a->size = units * unit;
    a->unit = unit;
    a->units = units;
    a->units_of = units_of;
    *out = a;
    return 0;
}

void arena_unref(struct arena *a)
{
    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
        return;
    shm_unmap(a->data, a->size);
    net_close(a->fd);
    mutex_fini(&a->lock);
    mem_free(a->units_of);
    mem_free(a);
}

void arena_slot_init(struct arena_slot *slot, size_t max)
{
    mutex_init(&slot->lock);
    list_init(&slot->lenders);
    slot->max = max;
}

void arena_slot_end(struct arena_slot *slot)
{
    mutex_lock(&slot->lock);
    struct arena *a = slot->arena;
    slot->arena = NULL;
    slot->failed = true;
    mutex_unlock(&slot->lock);
    if (a)
        arena_unref(a);
}

void arena_slot_fini(struct arena_slot *slot)
{
    arena_slot_end(slot);
    mutex_fini(&slot->lock);
}

int arena_slot_set_max(struct arena_slot *slot, size_t max)
{
    mutex_lock(&slot->lock);
    int rc = slot->arena ? -EINVAL : 0;
    if (rc == 0)
        slot->max = max;
    mutex_unlock(&slot->lock);
    if (rc)
        detail_set("SHM_ARENA_BYTES is set before the first large message or alloc()");
    return rc;
}

struct arena *arena_get(struct arena_slot *slot)
{
    mutex_lock(&slot->lock);
    if (!slot->arena && !slot->failed && make_arena(slot->max, &slot->arena) == -ENOTSUP)
        slot->failed = true;
    struct arena *a = slot->arena;
    if (a)
        atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    mutex_unlock(&slot->lock);
    return a;
}

/* ---- blocks ---- */

/* The first place with so many free units in a row; a->units: none. The lowest places are used
 * first, so that no more of the memory is touched than is needed at a time. */
static uint32_t find(const struct arena *a, uint32_t count)
{
    uint32_t at = a->low, free = 0;
    while (at < a->units && free < count) {
        uint32_t n = a->units_of[at];
        free = n ? 0 : free + 1;
        at += n ? n : 1;
    }
    return free == count ? at - count : a->units;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size == 0 || size > a->size || a->fork_generation != fork_generation)
        return NULL;
    uint32_t count = (uint32_t)((size + a->unit - 1) / a->unit);
    mutex_lock(&a->lock);
    uint32_t at = find(a, count);
    if (at < a->units) {
        a->units_of[at] = count;
        for (uint32_t i = 1; i < count; i++)
            a->units_of[at + i] = TAKEN;
        if (at == a->low)
            a->low = at + count;
        a->blocks++;
        a->used += count * a->unit;
    }
    mutex_unlock(&a->lock);
    if (at == a->units)
        return NULL;
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a->data + at * a->unit;
}

void arena_free(void *block, void *hint)
{
    struct arena *a = hint;
    if (a->fork_generation != fork_generation)
        return; /* the lock is the parent's, and so are the blocks */
    uint32_t at = (uint32_t)((size_t)((uint8_t *)block - a->data) / a->unit);
    mutex_lock(&a->lock);
    uint32_t count = a->units_of[at];
    memset(a->units_of + at, 0, count * sizeof(*a->units_of));
    if (at < a->low)
        a->low = at;
    a->blocks--;
    a->used -= count * a->unit;
    mutex_unlock(&a->lock);
    arena_unref(a);
}

bool arena_has(struct arena *a, const void *data, size_t size, uint64_t *offset)
{
    const uint8_t *from = data;
    if ((uintptr_t)from < (uintptr_t)a->data || from >= a->data + a->size)
        return false;
    *offset = (uint64_t)(from - a->data);
    return size <= a->size - *offset;
}

size_t arena_size(const struct arena *a)
{
    return a->size;
}

int arena_fd(const struct arena *a)
{
    return a->fd;
}

size_t arena_used(struct arena *a, uint32_t *blocks)
{
    mutex_lock(&a->lock);
    size_t used = a->used;
    *blocks = a->blocks;
    mutex_unlock(&a->lock);
    return used;
}
