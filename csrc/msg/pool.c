/* SPDX-License-Identifier: MIT */
#include "msg/pool.h"

#include <errno.h>

#include "base/alloc.h"

/*
 * Free chunks wait in a few slots a class, each an atomic pointer that is swapped in and out: no
 * lock to be preempted under, and no list whose head could be read while another thread frees it.
 */
enum { CLASSES = 3, SLOTS = 16, OVERSIZE = CLASSES, BLOB_SLOTS = 4 };

/* Spare blobs are kept up to this size, so at most BLOB_SLOTS times as much a pool. */
#define BLOB_KEEP_MAX ((size_t)4 << 20)

static const size_t class_cap[CLASSES] = {CHUNK_SMALL, CHUNK_MEDIUM, CHUNK_LARGE};
static const unsigned class_slots[CLASSES] = {SLOTS, SLOTS, 8};

struct pool {
    atomic_uint refs; /* the owner's, and one a chunk that is out */
    atomic_bool closed;
    struct {
        atomic_uint held; /* a hint: spares the scan when there is nothing */
        _Atomic(struct chunk *) slot[SLOTS];
    } cls[CLASSES];
    _Atomic(struct blob *) blobs[BLOB_SLOTS];
    atomic_uint readers; /* see pool_reads_much */
    /* Bytes; touched only where memory is allocated, freed, or a blob kept. */
    atomic_size_t chunk_bytes, blob_bytes;
};

int pool_create(struct pool **out)
{
    struct pool *p = mem_zalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    atomic_init(&p->refs, 1);
    atomic_init(&p->closed, false);
    atomic_init(&p->readers, 0);
    for (unsigned c = 0; c < CLASSES; c++) {
        atomic_init(&p->cls[c].held, 0);
        for (unsigned i = 0; i < SLOTS; i++)
            atomic_init(&p->cls[c].slot[i], NULL);
    }
    for (unsigned i = 0; i < BLOB_SLOTS; i++)
        atomic_init(&p->blobs[i], NULL);
    *out = p;
    return 0;
}

#define FEW_READERS 2u

void pool_reads_much(struct pool *p, bool begin)
{
    atomic_fetch_add_explicit(&p->readers, begin ? 1u : -1u, memory_order_relaxed);
}

bool pool_is_crowded(const struct pool *p)
{
    return atomic_load_explicit(&p->readers, memory_order_relaxed) > FEW_READERS;
}

void pool_ref(struct pool *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

static void drain(struct pool *p)
{
    for (unsigned c = 0; c < CLASSES; c++) {
        for (unsigned i = 0; i < class_slots[c]; i++)
            mem_free(atomic_exchange(&p->cls[c].slot[i], NULL));
    }
    for (unsigned i = 0; i < BLOB_SLOTS; i++)
        mem_free(atomic_exchange(&p->blobs[i], NULL));
}

static void pool_unref(struct pool *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    /* Chunks that came back while the owner was letting go. */
    drain(p);
    mem_free(p);
}

void pool_release(struct pool *p)
{
    atomic_store(&p->closed, true);
    drain(p);
    pool_unref(p);
}

static struct chunk *take_free(struct pool *p, unsigned c)
{
    if (atomic_load_explicit(&p->cls[c].held, memory_order_relaxed) == 0)
        return NULL;
    for (unsigned i = 0; i < class_slots[c]; i++) {
        if (!atomic_load_explicit(&p->cls[c].slot[i], memory_order_relaxed))
            continue;
        struct chunk *k = atomic_exchange_explicit(&p->cls[c].slot[i], NULL, memory_order_acquire);
        if (k) {
            atomic_fetch_sub_explicit(&p->cls[c].held, 1, memory_order_relaxed);
            return k;
        }
    }
    return NULL;
}

struct chunk *chunk_get(struct pool *p, size_t cap)
{
    unsigned c = 0;
    while (c < CLASSES && class_cap[c] < cap)
        c++;
    struct chunk *k = c < CLASSES ? take_free(p, c) : NULL;
    if (!k) {
        size_t size = c < CLASSES ? class_cap[c] : cap;
        if (size > SIZE_MAX - sizeof(*k))
            return NULL;
        k = mem_alloc(sizeof(*k) + size);
        if (!k)
            return NULL;
        k->size_class = c;
        k->pool = p;
        k->cap = size;
        atomic_fetch_add_explicit(&p->chunk_bytes, size, memory_order_relaxed);
    }
    atomic_init(&k->refs, 1);
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return k;
}

void chunk_recycle(struct chunk *k)
{
    struct pool *p = k->pool;
    unsigned c = k->size_class;
    if (c < CLASSES && !atomic_load_explicit(&p->closed, memory_order_relaxed)) {
        for (unsigned i = 0; i < class_slots[c]; i++) {
            struct chunk *none = NULL;
            if (atomic_load_explicit(&p->cls[c].slot[i], memory_order_relaxed))
                continue;
            /* Counted first: the hint may be too high for a moment, never below zero. */
            atomic_fetch_add_explicit(&p->cls[c].held, 1, memory_order_relaxed);
            if (atomic_compare_exchange_strong_explicit(
                    &p->cls[c].slot[i], &none, k, memory_order_release, memory_order_relaxed)) {
                k = NULL;
                break;
            }
            atomic_fetch_sub_explicit(&p->cls[c].held, 1, memory_order_relaxed);
        }
    }
    if (k)
        atomic_fetch_sub_explicit(&p->chunk_bytes, k->cap, memory_order_relaxed);
    mem_free(k);
    pool_unref(p);
}

size_t pool_memory(struct pool *p, size_t *spare)
{
    size_t blobs = atomic_load_explicit(&p->blob_bytes, memory_order_relaxed);
    size_t chunks = atomic_load_explicit(&p->chunk_bytes, memory_order_relaxed);
    *spare = blobs;
    for (unsigned c = 0; c < CLASSES; c++) {
        for (unsigned i = 0; i < class_slots[c]; i++) {
            if (atomic_load_explicit(&p->cls[c].slot[i], memory_order_relaxed))
                *spare += class_cap[c];
        }
    }
    return chunks + blobs;
}

struct blob *pool_take_blob(struct pool *p, size_t size)
{
    for (unsigned i = 0; i < BLOB_SLOTS; i++) {
        if (!atomic_load_explicit(&p->blobs[i], memory_order_relaxed))
            continue;
        struct blob *b = atomic_exchange_explicit(&p->blobs[i], NULL, memory_order_acquire);
        if (!b)
            continue;
        atomic_fetch_sub_explicit(&p->blob_bytes, b->cap, memory_order_relaxed);
        pool_ref(p);
        if (b->cap >= size && b->cap / 2 <= size)
            return b;
        pool_keep_blob(p, b);
    }
    return NULL;
}

void pool_keep_blob(struct pool *p, struct blob *b)
{
    if (b->cap <= BLOB_KEEP_MAX && !atomic_load_explicit(&p->closed, memory_order_relaxed)) {
        size_t size = b->cap; /* counted first: once in its slot it may be taken */
        atomic_fetch_add_explicit(&p->blob_bytes, size, memory_order_relaxed);
        for (unsigned i = 0; b && i < BLOB_SLOTS; i++) {
            struct blob *none = NULL;
            if (atomic_compare_exchange_strong_explicit(&p->blobs[i], &none, b,
                                                        memory_order_release, memory_order_relaxed))
                b = NULL;
        }
        if (b)
            atomic_fetch_sub_explicit(&p->blob_bytes, size, memory_order_relaxed);
    }
    mem_free(b);
    pool_unref(p);
}
