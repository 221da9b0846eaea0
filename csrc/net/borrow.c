/* SPDX-License-Identifier: MIT */
#include "net/borrow.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/list.h"
#include "os/fork.h"
#include "os/net.h"
#include "os/shm.h"
#include "os/thread.h"

struct borrower {
    atomic_uint refs;
    unsigned fork_generation;
    struct mutex lock;
    struct list leases; /* lease.node, under the lock */
    uint32_t held;      /* how many: no more than an honest sender lends */
    struct blocks_shared *shared;
    uint8_t *arena; /* mapped so that what is written here stays here */
    uint8_t *sent;  /* the same as the sender has it, to be read */
    size_t size;
    int sock;
};

/* A place that is held. */
struct lease {
    struct list node;
    struct borrower *borrower;
    uint64_t offset, size;
    uint32_t slot, generation;
    unsigned forks;
    bool exposed; /* the program may have written to it */
};

static atomic_uint forks; /* of this process */

void borrow_before_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

int borrower_new(struct borrower **out, int shared, int arena, size_t size, int sock)
{
    void *page = NULL, *at = NULL, *sent = NULL;
    struct borrower *b = mem_zalloc(sizeof(*b));
    int rc = b ? shm_check(shared, shm_page()) : -ENOMEM;
    if (rc == 0)
        rc = shm_check(arena, size);
    if (rc == 0)
        rc = shm_map(shared, 0, shm_page(), &page);
    if (rc == 0)
        rc = shm_map_arena(arena, size, &at);
    if (rc == 0)
        rc = shm_map_to_read(arena, size, &sent);
    if (rc) {
        shm_unmap(at, size);
        shm_unmap(page, shm_page());
        mem_free(b);
        return rc;
    }
    atomic_init(&b->refs, 1);
    b->fork_generation = fork_generation;
    mutex_init(&b->lock);
    list_init(&b->leases);
    b->shared = page;
    b->arena = at;
    b->sent = sent;
    b->size = size;
    b->sock = sock;
    *out = b;
    return 0;
}

void borrower_unref(struct borrower *b)
{
    if (b->fork_generation != fork_generation ||
        atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    shm_unmap(b->shared, shm_page());
    shm_unmap(b->arena, b->size);
    shm_unmap(b->sent, b->size);
    net_close(b->sock);
    mutex_fini(&b->lock);
    mem_free(b);
}

void borrower_begin(struct borrower *b)
{
    atomic_store(&b->shared->taken, 1);
}

/* The sender has it back. */
static void give_back(struct borrower *b, uint32_t slot, uint32_t generation)
{
    atomic_store(&b->shared->given[slot], generation);
    if (atomic_load(&b->shared->wanted))
        shm_ring_bell(b->sock);
}

static void release(void *data, void *hint)
{
    struct lease *l = hint;
    struct borrower *b = l->borrower;
    if (b->fork_generation != fork_generation)
        return; /* the parent's: it holds the lock, or gives it back */
    if (l->forks != atomic_load(&forks))
        return; /* for good: `l` stays on the list, and the borrower with it */
    mutex_lock(&b->lock);
    if (l->exposed)
        shm_forget(data, l->size);
    list_remove(&l->node);
    b->held--;
    mutex_unlock(&b->lock);
    give_back(b, l->slot, l->generation);
    mem_free(l);
    borrower_unref(b);
}

/* Whether it shares a page with what is held: what the program writes to one would be seen in the
 * other. The lock is held. */
static bool touches(const struct borrower *b, const struct blocks_place *place)
{
    uint64_t page = shm_page();
    uint64_t first = place->offset / page, last = (place->offset + place->size - 1) / page;
    LIST_FOR(it, &b->leases)
    {
        const struct lease *l = LIST_ENTRY(it, const struct lease, node);
        if (first <= (l->offset + l->size - 1) / page && l->offset / page <= last)
            return true;
    }
    return false;
}

static int copy(struct borrower *b, const struct blocks_place *place, struct msg *out)
{
    /* Not through the pages of what is held: the program may have written there. */
    int rc = msg_init_copy(out, b->sent + place->offset, place->size);
    if (rc == 0)
        give_back(b, place->slot, place->generation);
    return rc;
}

int borrower_take(struct borrower *b, const struct blocks_place *place, struct msg *out)
{
    if (place->slot >= BLOCKS_SLOTS || place->size == 0 || place->offset >= b->size ||
        place->size > b->size - place->offset)
        return -EPROTO;
    mutex_lock(&b->lock);
    bool shares = b->held >= BLOCKS_SLOTS || touches(b, place);
    mutex_unlock(&b->lock); /* one thread takes: what others do is to give back */
    if (shares)
        return copy(b, place, out);
    struct lease *l = mem_alloc(sizeof(*l));
    if (!l)
        return -ENOMEM;
    *l = (struct lease){.borrower = b,
                        .offset = place->offset,
                        .size = place->size,
                        .slot = place->slot,
                        .generation = place->generation,
                        .forks = atomic_load(&forks)};
    int rc = msg_init_foreign(out, b->arena + place->offset, place->size, release, l);
    if (rc) {
        mem_free(l);
        return rc;
    }
    msg_let_write(out, &l->exposed);
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    mutex_lock(&b->lock);
    list_push_back(&b->leases, &l->node);
    b->held++;
    mutex_unlock(&b->lock);
    return 0;
}
