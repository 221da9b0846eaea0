/* SPDX-License-Identifier: MIT */
#include "pipe/budget.h"

#include "pipe/pipe_set.h"

void budget_init(struct budget *b)
{
    b->on = false;
    atomic_init(&b->used, 0);
    atomic_init(&b->cap, INT64_MAX);
    atomic_init(&b->wake_at, -1);
    mutex_init(&b->lock);
    list_init(&b->waiters);
}

void budget_fini(struct budget *b)
{
    mutex_fini(&b->lock);
}

/* Posting is done under the lock, where those on the list are known to be alive. */
static void wake_all(struct budget *b)
{
    mutex_lock(&b->lock);
    atomic_store(&b->wake_at, -1);
    for (struct list *n; (n = list_pop_front(&b->waiters));) {
        struct pipe_set *s = LIST_ENTRY(n, struct pipe_set, shortage.node);
        mailbox_post(&s->reactor, &s->shortage.over, s->shortage.urgent);
        s->shortage.urgent = false;
    }
    mutex_unlock(&b->lock);
}

void budget_set_cap(struct budget *b, int64_t cap)
{
    atomic_store(&b->cap, cap ? cap : INT64_MAX);
    wake_all(b); /* they wait for room under the previous cap */
}

bool budget_take(struct budget *b, uint64_t n)
{
    int64_t used = atomic_load(&b->used);
    do {
        int64_t cap = atomic_load(&b->cap);
        if (used != 0 && (used >= cap || n > (uint64_t)(cap - used)))
            return false;
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + (int64_t)n));
    return true;
}

void budget_add(struct budget *b, uint64_t n)
{
    if (n)
        atomic_fetch_add(&b->used, (int64_t)n);
}

void budget_give(struct budget *b, uint64_t n)
{
    if (!n)
        return;
    int64_t used = atomic_fetch_sub(&b->used, (int64_t)n) - (int64_t)n;
    if (used <= atomic_load(&b->wake_at))
        wake_all(b);
}

static void await(struct budget *b, struct pipe_set *s, int64_t level, bool urgent)
{
    mutex_lock(&b->lock);
    if (!list_linked(&s->shortage.node))
        list_push_back(&b->waiters, &s->shortage.node);
    s->shortage.urgent |= urgent;
    if (level > atomic_load(&b->wake_at))
        atomic_store(&b->wake_at, level);
    mutex_unlock(&b->lock);
}

void budget_await(struct budget *b, struct pipe_set *s, uint64_t n)
{
    int64_t cap = atomic_load(&b->cap);
    await(b, s, n < (uint64_t)cap ? cap - (int64_t)n : 0, false);
}

void budget_await_half(struct budget *b, struct pipe_set *s)
{
    await(b, s, atomic_load(&b->cap) / 2, true);
}

void budget_leave(struct budget *b, struct pipe_set *s)
{
    mutex_lock(&b->lock);
    list_remove(&s->shortage.node);
    mutex_unlock(&b->lock);
}
