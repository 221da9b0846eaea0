/* SPDX-License-Identifier: MIT */
/*
 * A context's arena: one piece of memory that is divided into blocks. Only this process writes to
 * it. Processes that have its descriptor read it (borrow.h), so a large body is copied once, or not
 * at all if the program created it there.
 *
 * A block is plain memory with an owner, which frees it with arena_free, on any thread. The arena
 * exists as long as its context or any of its blocks. Until then, pages that were written to stay
 * allocated, because such memory cannot be returned to the system.
 */
#ifndef NET_ARENA_H
#define NET_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "os/thread.h"

/* Bodies from this size on go in blocks. */
#ifndef ARENA_BODY_MIN /* the simulator has smaller ones */
#define ARENA_BODY_MIN ((size_t)256 << 10)
#endif

struct arena;

/* A context's, and the place where it is once it was made. */
struct arena_slot {
    struct mutex lock;   /* a leaf */
    struct arena *arena; /* made when the first block is wanted; all below under the lock */
    bool failed;         /* no more is tried: the system has no such memory, or the context ends */
    size_t max;          /* SHM_ARENA_BYTES; 0: none */
    struct list lenders; /* lender.node */
    uint32_t lender_count;
    uint32_t lent;      /* places that peers hold */
    uint64_t fallbacks; /* bodies for which there was no room */
};

void arena_slot_init(struct arena_slot *slot, size_t max);
void arena_slot_fini(struct arena_slot *slot);
/* No new block is made from now on. */
void arena_slot_end(struct arena_slot *slot);
/* Sets SHM_ARENA_BYTES: 0, or -EINVAL with a detail once the arena was made. */
int arena_slot_set_max(struct arena_slot *slot, size_t max);

/* The arena, referenced, which is made if need be. NULL: there is none. */
struct arena *arena_get(struct arena_slot *slot);
void arena_unref(struct arena *a);

/* A block of at least `size` bytes, on a boundary of at least 4 KiB, with whatever it held before;
 * NULL: no room. */
void *arena_alloc(struct arena *a, size_t size);
/* Gives a block back; `hint` is the arena. In a child of a fork it does nothing. */
void arena_free(void *block, void *hint);
/* Whether these bytes lie in it; then *offset says where. */
bool arena_has(struct arena *a, const void *data, size_t size, uint64_t *offset);

size_t arena_size(const struct arena *a);
int arena_fd(const struct arena *a);
/* Bytes of the blocks that are in use, and how many blocks. */
size_t arena_used(struct arena *a, uint32_t *blocks);

#endif
