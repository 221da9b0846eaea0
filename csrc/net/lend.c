/* SPDX-License-Identifier: MIT */
#include "net/lend.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "msg/msg.h"
#include "net/arena.h"
#include "net/meeting.h"
#include "os/net.h"
#include "os/shm.h"

/* So many messages are dropped at a time, without the lock. */
#define BATCH 32
/* A body that is larger is not copied: it would hold up for long what else its thread does. */
#define COPY_MAX ((size_t)64 << 20)

enum slot_state { SLOT_FREE, SLOT_BEGUN, SLOT_LENT };

struct lent {
    struct msg msg;  /* keeps the memory */
    uint64_t copied; /* bytes of a copy */
    uint32_t generation;
    uint8_t state;
    bool wanted; /* somebody waits for it */
    bool has_msg;
};

struct lender {
    struct guest guest; /* first: watches the socket */
    atomic_uint refs;   /* the connection's, and the guest's */
    struct arena_slot *slot;
    struct arena *arena;
    struct blocks_shared *shared;
    atomic_bool over; /* the peer holds nothing */
    /* Under the slot's lock. */
    struct list node; /* slot->lenders */
    uint32_t used;    /* slots from there on were never used */
    uint32_t free_count;
    uint32_t lent_count;
    uint32_t wanted;
    uint64_t copied;
    uint16_t free[BLOCKS_SLOTS];
    struct lent lent[BLOCKS_SLOTS];
};

_Static_assert(sizeof(struct blocks_shared) <= 4096, "a page");

/* ---- what comes back ---- */

/* The slot's lock is held: the slot is free, its message the caller's. True: there is one. */
static bool free_slot(struct lender *l, uint32_t i, struct msg *out)
{
    struct lent *e = &l->lent[i];
    bool has = e->has_msg;
    if (has)
        *out = e->msg;
    if (e->state == SLOT_LENT) {
        l->lent_count--;
        l->slot->lent--;
        if (e->wanted && --l->wanted == 0)
            atomic_store_explicit(&l->shared->wanted, 0, memory_order_relaxed);
    }
    l->copied -= e->copied;
    e->copied = 0;
    e->state = SLOT_FREE;
    e->has_msg = e->wanted = false;
    l->free[l->free_count++] = (uint16_t)i;
    return has;
}

/* Takes back what the peer has given back, or all that it held; up to BATCH messages at a time. */
static uint32_t collect(struct lender *l, bool all, struct msg *out, uint32_t room)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->used && n < room && l->lent_count; i++) {
        const struct lent *e = &l->lent[i];
        if (e->state == SLOT_LENT &&
            (all ||
             atomic_load_explicit(&l->shared->given[i], memory_order_acquire) == e->generation))
            n += free_slot(l, i, &out[n]);
    }
    return n;
}

static void drop_batch(struct msg *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        msg_drop(&m[i]);
}

void lend_reclaim(struct arena_slot *slot)
{
    struct msg batch[BATCH];
    uint32_t n;
    do {
        n = 0;
        mutex_lock(&slot->lock);
        LIST_FOR(it, &slot->lenders)
        {
            struct lender *l = LIST_ENTRY(it, struct lender, node);
            n += collect(l, atomic_load(&l->over), batch + n, BATCH - n);
        }
        mutex_unlock(&slot->lock);
        drop_batch(batch, n);
    } while (n == BATCH);
}

static void reclaim(struct lender *l)
{
    struct msg batch[BATCH];
    uint32_t n;
    do {
        mutex_lock(&l->slot->lock);
        n = collect(l, atomic_load(&l->over), batch, BATCH);
        mutex_unlock(&l->slot->lock);
        drop_batch(batch, n);
    } while (n == BATCH);
}

void *lend_alloc(struct arena_slot *slot, struct arena *a, size_t size)
{
    lend_reclaim(slot);
    void *block = arena_alloc(a, size);
    if (!block) {
        mutex_lock(&slot->lock);
        slot->fallbacks++;
        mutex_unlock(&slot->lock);
    }
    return block;
}

/* ---- life ---- */

static void lender_unref(struct lender *l)
{
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_store(&l->over, true);
    reclaim(l);
    mutex_lock(&l->slot->lock);
    list_remove(&l->node);
    l->slot->lender_count--;
    mutex_unlock(&l->slot->lock);
    shm_unmap(l->shared, shm_page());
    arena_unref(l->arena);
    mem_free(l);
}

/* The peer is dead or has let go of all, or the context ends. */
static void guest_over(struct guest *g)
{
    struct lender *l = LIST_ENTRY(g, struct lender, guest);
    atomic_store(&l->over, true);
    reclaim(l);
}

static void guest_free(struct io *io)
{
    struct guest *g = LIST_ENTRY(io, struct guest, io);
    net_close(io->fd);
    lender_unref(LIST_ENTRY(g, struct lender, guest));
}

static void guest_ready(struct io *io, uint32_t events)
{
    struct guest *g = LIST_ENTRY(io, struct guest, io);
    int end;
    (void)events;
    shm_hush_bell(io->fd, &end);
    if (!end) {
        reclaim(LIST_ENTRY(g, struct lender, guest));
        return;
    }
    guest_over(g);
    meeting_dismiss(g);
}

/* Goes to the meeting point and leaves page and arena there. The socket, or a negative errno. */
static int hand_over(const struct lender *l, int page, const char *name, const uint8_t *token)
{
    struct meeting_message said = {.kind = MEETING_BLOCKS, .size = arena_size(l->arena)};
    uint8_t message[MEETING_MESSAGE];
    int fds[SHM_FDS_MAX] = {page, arena_fd(l->arena)};
    memcpy(said.token, token, MEETING_TOKEN);
    meeting_encode(&said, message);
    int sock = shm_visit(name);
    if (sock < 0)
        return sock;
    int rc = shm_leave_there(sock, message, sizeof(message), fds, SHM_FDS_MAX);
    if (rc == 0)
        return sock;
    net_close(sock);
    return rc;
}

/* Peers that end their connections and hold on to what they were lent cost a descriptor each. */
static bool is_crowded(struct arena_slot *slot, struct meeting_slot *meeting)
{
    int most = atomic_load(&meeting->most);
    mutex_lock(&slot->lock);
    bool crowded = slot->lender_count >= 2 * (uint32_t)(most > 0 ? most : 0);
    mutex_unlock(&slot->lock);
    return crowded;
}

int lender_new(struct lender **out, struct arena_slot *slot, struct meeting_slot *meeting,
               struct io_thread *io, const char *name, const uint8_t *token)
{
    void *page = NULL;
    if (is_crowded(slot, meeting))
        return -EAGAIN;
    struct lender *l = mem_zalloc(sizeof(*l));
    int shared = -1;
    int rc = l ? 0 : -ENOMEM;
    if (l) {
        l->arena = arena_get(slot);
        rc = l->arena ? 0 : -ENOTSUP;
    }
    if (rc == 0) {
        shared = shm_create(shm_page());
        rc = shared < 0 ? shared : shm_map(shared, 0, shm_page(), &page);
    }
    if (rc == 0) {
        rc = l->guest.io.fd = hand_over(l, shared, name, token);
        rc = rc < 0 ? rc : 0;
    }
    net_close(shared);
    if (rc) {
        shm_unmap(page, shm_page());
        if (l && l->arena)
            arena_unref(l->arena);
        mem_free(l);
        return rc;
    }
    l->shared = page;
    l->slot = slot;
    atomic_init(&l->refs, 2);
    l->guest.io.ready = guest_ready;
    l->guest.io.free = guest_free;
    l->guest.over = guest_over;
    mutex_lock(&slot->lock);
    list_push_back(&slot->lenders, &l->node);
    slot->lender_count++;
    mutex_unlock(&slot->lock);
    rc = meeting_host(meeting, io, &l->guest);
    if (rc) { /* then nobody would tell its end */
        guest_free(&l->guest.io);
        lender_leave(l);
        return rc;
    }
    *out = l;
    return 0;
}

void lender_leave(struct lender *l)
{
    lender_unref(l);
}

bool lender_is_ready(const struct lender *l)
{
    return !atomic_load_explicit(&l->over, memory_order_relaxed) &&
           atomic_load_explicit(&l->guest.watched, memory_order_relaxed) &&
           atomic_load_explicit(&l->shared->taken, memory_order_acquire);
}

/* ---- lending ---- */

/* One of the slots, for a place that is about to go out. -EAGAIN: all are lent. */
static int begin(struct lender *l, uint64_t copied)
{
    int i = -EAGAIN;
    mutex_lock(&l->slot->lock);
    /* One peer that gives nothing back leaves room for the others. */
    if (copied && l->copied + copied > arena_size(l->arena) / 2)
        ;
    else if (l->free_count)
        i = l->free[--l->free_count];
    else if (l->used < BLOCKS_SLOTS)
        i = (int)l->used++;
    if (i >= 0) {
        struct lent *e = &l->lent[i];
        e->state = SLOT_BEGUN;
        e->copied = copied;
        l->copied += copied;
        if (++e->generation == 0)
            e->generation = 1;
    } else {
        l->slot->fallbacks++;
    }
    mutex_unlock(&l->slot->lock);
    return i;
}

/* The bytes of the message in a block of the arena. -EAGAIN: no room, or -ENOMEM. */
static int copy_of(struct lender *l, const struct msg *body, struct msg *out)
{
    void *block = lend_alloc(l->slot, l->arena, msg_size(body));
    if (!block)
        return -EAGAIN;
    memcpy(block, msg_data(body), msg_size(body));
    int rc = msg_init_foreign(out, block, msg_size(body), arena_free, l->arena);
    if (rc)
        arena_free(block, l->arena);
    return rc;
}

/* The same, of a message that others send as well: they use one copy. */
static int shared_copy(struct lender *l, const struct msg *body, struct msg *out)
{
    uint64_t at;
    if (msg_twin(body, out)) {
        if (arena_has(l->arena, msg_data(out), msg_size(out), &at))
            return 0;
        msg_drop(out);
        return copy_of(l, body, out);
    }
    int rc = copy_of(l, body, out);
    if (rc == 0)
        msg_set_twin(body, out);
    return rc;
}

int lender_lend(struct lender *l, const struct msg *body, struct blocks_place *place)
{
    bool there = arena_has(l->arena, msg_data(body), msg_size(body), &place->offset);
    reclaim(l);
    if (!there && msg_size(body) > COPY_MAX)
        return -EAGAIN;
    int i = begin(l, there ? 0 : msg_size(body));
    if (i < 0)
        return i;
    struct lent *e = &l->lent[i];
    if (!there) {
        struct msg copy;
        int rc = shared_copy(l, body, &copy);
        if (rc) {
            lender_cancel(l, (uint32_t)i);
            return rc;
        }
        e->msg = copy; /* nobody else looks at a slot that has begun */
        e->has_msg = true;
        (void)arena_has(l->arena, msg_data(&copy), msg_size(&copy), &place->offset);
    }
    place->slot = (uint32_t)i;
    place->generation = e->generation;
    place->size = msg_size(body);
    if (there && msg_is_watched(body)) {
        mutex_lock(&l->slot->lock);
        e->wanted = true;
        if (l->wanted++ == 0)
            atomic_store(&l->shared->wanted, 1);
        mutex_unlock(&l->slot->lock);
    }
    return 0;
}

void lender_lent(struct lender *l, uint32_t slot, struct msg *body)
{
    struct lent *e = &l->lent[slot];
    struct msg dropped;
    bool drops = true;
    mutex_lock(&l->slot->lock);
    e->state = SLOT_LENT;
    l->lent_count++;
    l->slot->lent++;
    if (e->has_msg) {
        dropped = *body;
    } else {
        e->msg = *body;
        e->has_msg = true;
        drops = false;
    }
    bool wanted = e->wanted;
    mutex_unlock(&l->slot->lock);
    if (drops)
        msg_drop(&dropped);
    /* It may have come back by now, before it counted as lent; or the peer has died. */
    if (wanted || atomic_load(&l->over))
        reclaim(l);
}

void lender_cancel(struct lender *l, uint32_t slot)
{
    struct msg m;
    mutex_lock(&l->slot->lock);
    struct lent *e = &l->lent[slot];
    if (e->wanted && --l->wanted == 0)
        atomic_store_explicit(&l->shared->wanted, 0, memory_order_relaxed);
    e->wanted = false;
    bool has = free_slot(l, slot, &m);
    mutex_unlock(&l->slot->lock);
    if (has)
        msg_drop(&m);
}
