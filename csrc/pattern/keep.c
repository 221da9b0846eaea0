/* SPDX-License-Identifier: MIT */
#include "pattern/keep.h"

#include <errno.h>

#include "base/alloc.h"

/* Parts up to this size are copied: they are copied into the queues, too. */
#define COPY_MAX 512u

void keep_init(struct keep *k)
{
    *k = (struct keep){0};
    trie_init(&k->topics);
    list_init(&k->order);
}

static void kept_free(struct kept *old)
{
    for (uint32_t i = 0; i < old->len; i++)
        msg_drop(&old->v[i]);
    mem_free(old);
}

static void drop_value(void *arg, void *value)
{
    (void)arg;
    if (value)
        kept_free(value);
}

void keep_fini(struct keep *k)
{
    trie_fini(&k->topics, drop_value, NULL);
    mem_free(k->slots);
    mem_free(k->spare);
    uint32_t max = k->max;
    uint64_t max_bytes = k->max_bytes, seq = k->seq, dropped = k->dropped;
    uint32_t turns = k->turns;
    keep_init(k);
    k->max = max;
    k->max_bytes = max_bytes;
    k->seq = seq;
    k->dropped = dropped;
    k->turns = turns;
}

/* A copy of the part, or another reference to its memory. */
static int keep_part(struct msg *to, struct msg *from)
{
    size_t size = msg_size(from);
    int rc;
    if (size <= COPY_MAX || from->lent || from->kind == MSG_SLICE) {
        rc = msg_init_copy(to, msg_data(from), size);
    } else {
        rc = msg_own(from);
        if (rc == 0)
            rc = msg_dup(to, from);
    }
    if (rc == 0)
        to->flags = from->flags & PART_MORE;
    return rc;
}

/* Room for one slot more than there are. */
static int more_slots(struct keep *k)
{
    if (k->spare_count || k->slot_count < k->cap)
        return 0;
    uint32_t cap = k->cap ? k->cap * 2 : 16;
    struct kept **slots = mem_realloc(k->slots, cap * sizeof(struct kept *));
    if (!slots)
        return -ENOMEM;
    k->slots = slots;
    uint32_t *spare = mem_realloc(k->spare, cap * sizeof(*spare));
    if (!spare)
        return -ENOMEM;
    k->spare = spare;
    k->cap = cap;
    return 0;
}

struct kept *keep_prepare(struct keep *k, struct parts *m)
{
    struct kept *new = mem_alloc(sizeof(*new) + m->len * sizeof(new->v[0]));
    if (!new)
        return NULL;
    list_init(&new->node);
    new->slot = KEEP_NO_SLOT;
    new->len = 0;
    new->bytes = parts_size(m->v, m->len);
    bool added;
    for (; new->len < m->len; new->len++) {
        if (keep_part(&new->v[new->len], &m->v[new->len]))
            goto fail;
    }
    if (more_slots(k) || !trie_add(&k->topics, msg_data(&new->v[0]), msg_size(&new->v[0]), &added))
        goto fail;
    return new;
fail:
    kept_free(new);
    return NULL;
}

/* Takes a topic out. Its message, or the one that was to be kept, has the name. */
static void forget(struct keep *k, const struct msg *name, struct kept *old)
{
    trie_del(&k->topics, msg_data(name), msg_size(name));
    if (!old)
        return;
    list_remove(&old->node);
    k->slots[old->slot] = NULL;
    k->spare[k->spare_count++] = old->slot;
    k->bytes -= old->bytes;
    kept_free(old);
}

void keep_abort(struct keep *k, struct kept *new)
{
    void **at = trie_get(&k->topics, msg_data(&new->v[0]), msg_size(&new->v[0]));
    if (at && !*at)
        forget(k, &new->v[0], NULL);
    kept_free(new);
}

void keep_trim(struct keep *k)
{
    if (!k->max) {
        keep_fini(k);
        return;
    }
    while (keep_count(k) > k->max || (k->max_bytes && k->bytes > k->max_bytes)) {
        struct kept *old = LIST_ENTRY(k->order.next, struct kept, node);
        forget(k, &old->v[0], old);
        k->dropped++;
    }
}

uint32_t keep_commit(struct keep *k, struct kept *new)
{
    void **at = trie_get(&k->topics, msg_data(&new->v[0]), msg_size(&new->v[0]));
    struct kept *old = *at;
    if (k->max_bytes && new->bytes > k->max_bytes) {
        forget(k, &new->v[0], old);
        kept_free(new);
        k->dropped++;
        return KEEP_NO_SLOT;
    }
    *at = new;
    if (old) {
        new->slot = old->slot;
        new->turn = old->turn;
        k->bytes -= old->bytes;
        list_remove(&old->node);
        kept_free(old);
    } else {
        new->slot = k->spare_count ? k->spare[--k->spare_count] : k->slot_count++;
        k->turns += k->turns == UINT32_MAX ? 2 : 1; /* never 0 */
        new->turn = k->turns;
    }
    k->slots[new->slot] = new;
    new->seq = ++k->seq;
    k->bytes += new->bytes;
    list_push_back(&k->order, &new->node);
    keep_trim(k);
    return new->slot;
}
