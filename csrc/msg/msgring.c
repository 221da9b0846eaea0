/* SPDX-License-Identifier: MIT */
#include "msg/msgring.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

int msgring_grow(struct msgring *r)
{
    uint32_t cap = r->cap ? r->cap * 2 : 8;
    if (cap < r->cap)
        return -ENOMEM;
    struct msg *v = mem_alloc((size_t)cap * sizeof(*v));
    if (!v)
        return -ENOMEM;
    uint32_t first = r->cap - r->head;
    if (first > r->len)
        first = r->len;
    if (r->len) {
        memcpy(v, r->v + r->head, first * sizeof(*v));
        memcpy(v + first, r->v, (r->len - first) * sizeof(*v));
    }
    mem_free(r->v);
    r->v = v;
    r->cap = cap;
    r->head = 0;
    return 0;
}

void msgring_fini(struct msgring *r)
{
    while (r->len) {
        struct msg m;
        msgring_pop(r, &m);
        msg_drop(&m);
    }
    mem_free(r->v);
    msgring_init(r);
}

void msgring_rollback(struct msgring *r)
{
    while (r->len) {
        struct msg *last = &r->v[(r->head + r->len - 1) & (r->cap - 1)];
        if (!(last->flags & PART_MORE))
            break;
        msg_drop(last);
        r->len--;
    }
}

uint64_t msgring_bytes(const struct msgring *r)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->len; i++)
        bytes += msg_size(&r->v[(r->head + i) & (r->cap - 1)]);
    return bytes;
}

void msgring_trim(struct msgring *r)
{
    if (r->len)
        return;
    mem_free(r->v);
    msgring_init(r);
}
