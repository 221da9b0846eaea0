/* SPDX-License-Identifier: MIT */
/*
 * Buffers that connections borrow. A context owns one pool; idle connections hold nothing of it.
 * A chunk is a refcounted block of memory: received bytes are parsed in place and small messages
 * are slices of it. The pool keeps a bounded number of free chunks a size class.
 */
#ifndef MSG_POOL_H
#define MSG_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool; /* refcounted itself: outlives its context while chunks are out */

struct chunk {
    atomic_uint refs;
    uint32_t size_class;
    struct pool *pool;
    size_t cap;
    _Alignas(16) uint8_t data[];
};

#define CHUNK_SMALL ((size_t)4 << 10)
#define CHUNK_MEDIUM ((size_t)64 << 10)
#define CHUNK_LARGE ((size_t)256 << 10)

/* Memory of a large body, or memory of the program that is released when the last reference goes.
 */
struct blob {
    atomic_uint refs;
    /* Called once when the last reference goes, on whatever thread. */
    void (*release)(void *data, void *hint);
    void *data;
    void *hint;
    struct pool *pool; /* where the memory goes when it is free; NULL: to the heap */
    size_t cap;
    bool *exposed;               /* see msg_let_write */
    _Atomic(struct blob *) twin; /* see msg_set_twin */
};

int pool_create(struct pool **out);
void pool_ref(struct pool *p);
void pool_release(struct pool *p); /* drops the owner's reference */

/* A chunk of at least `cap` bytes (one of the CHUNK_ sizes) with one reference; NULL: no memory. */
struct chunk *chunk_get(struct pool *p, size_t cap);

/*
 * Who reads more than a small chunk at a time says so. Few of them may fill large chunks: what many
 * have read has to be in the processor's cache still when the program takes it.
 */
void pool_reads_much(struct pool *p, bool begin);
bool pool_is_crowded(const struct pool *p);

/* A spare blob of at least `size` bytes and not much more, NULL when there is none. It brings its
 * reference on the pool along. */
struct blob *pool_take_blob(struct pool *p, size_t size);
/* Takes the memory back, and the reference that the blob had on the pool. */
void pool_keep_blob(struct pool *p, struct blob *b);

/* Bytes of the memory that it manages: chunks, in use and spare, and spare blobs. *spare: of that,
 * what waits for use. Other threads go on meanwhile, so the figures are of a moment. */
size_t pool_memory(struct pool *p, size_t *spare);

static inline void chunk_ref(struct chunk *c, unsigned n)
{
    atomic_fetch_add_explicit(&c->refs, n, memory_order_relaxed);
}

void chunk_recycle(struct chunk *c);

static inline void chunk_unref(struct chunk *c, unsigned n)
{
    if (atomic_fetch_sub_explicit(&c->refs, n, memory_order_acq_rel) == n)
        chunk_recycle(c);
}

/* True when the caller's reference is the only one, so that the memory may be written again. */
static inline int chunk_sole(struct chunk *c)
{
    return atomic_load_explicit(&c->refs, memory_order_acquire) == 1;
}

#endif
