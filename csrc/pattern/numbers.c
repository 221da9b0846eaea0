/* SPDX-License-Identifier: MIT */
#include "pattern/numbers.h"

#include <errno.h>
#include <stddef.h>

#include "base/alloc.h"
#include "os/random.h"

#define FIRST_CAP 8u

void numbers_init(struct numbers *t)
{
    *t = (struct numbers){.next = random_u32()};
}

void numbers_fini(struct numbers *t)
{
    mem_free(t->slots);
    *t = (struct numbers){0};
}

static void put(struct numbered *slots, uint32_t cap, struct numbered entry)
{
    uint32_t i = entry.number & (cap - 1);
    while (slots[i].pipe)
        i = (i + 1) & (cap - 1);
    slots[i] = entry;
}

static int grow(struct numbers *t)
{
    if (t->cap > UINT32_MAX / 2)
        return -ENOMEM;
    uint32_t cap = t->cap ? t->cap * 2 : FIRST_CAP;
    struct numbered *slots = mem_zalloc(cap * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->slots[i].pipe)
            put(slots, cap, t->slots[i]);
    }
    mem_free(t->slots);
    t->slots = slots;
    t->cap = cap;
    return 0;
}

int numbers_add(struct numbers *t, struct pipe *p, uint32_t *number)
{
    if (t->len + 1 > t->cap / 2) {
        int rc = grow(t);
        if (rc)
            return rc;
    }
    do
        *number = t->next++;
    while (*number == 0 || numbers_find(t, *number));
    put(t->slots, t->cap, (struct numbered){p, *number});
    t->len++;
    return 0;
}

void numbers_remove(struct numbers *t, uint32_t number)
{
    if (!numbers_find(t, number))
        return;
    uint32_t mask = t->cap - 1, hole = number & mask;
    while (t->slots[hole].number != number)
        hole = (hole + 1) & mask;
    t->len--;
    /* What was put behind it because it was there moves up, as far as its own place allows. */
    for (uint32_t i = (hole + 1) & mask; t->slots[i].pipe; i = (i + 1) & mask) {
        uint32_t home = t->slots[i].number & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct numbered){0};
}
