/* SPDX-License-Identifier: MIT */
/* The queue of received frames: a growable ring that counts whole messages. */
#ifndef MSG_MSGRING_H
#define MSG_MSGRING_H

#include <stdbool.h>
#include <stdint.h>

#include "msg/msg.h"

struct msgring {
    struct msg *v;
    uint32_t cap; /* power of two or 0 */
    uint32_t head;
    uint32_t len;  /* frames */
    uint32_t msgs; /* whole messages: frames without MORE */
};

static inline void msgring_init(struct msgring *r)
{
    r->v = NULL;
    r->cap = r->head = r->len = r->msgs = 0;
}

int msgring_grow(struct msgring *r);
void msgring_fini(struct msgring *r); /* drops what is left */
/* Drops the frames at the tail that belong to an unfinished message. */
void msgring_rollback(struct msgring *r);
/* The bytes of all frames; walks them. */
uint64_t msgring_bytes(const struct msgring *r);
/* Frees the slots when empty, so that an idle pipe costs nothing. */
void msgring_trim(struct msgring *r);

/* Room for one more; 0 or -ENOMEM. */
static inline int msgring_reserve(struct msgring *r)
{
    return r->len == r->cap ? msgring_grow(r) : 0;
}

/* Moves m in, where room is known to be. */
static inline void msgring_put(struct msgring *r, const struct msg *m)
{
    r->v[(r->head + r->len) & (r->cap - 1)] = *m;
    r->len++;
    r->msgs += !(m->flags & PART_MORE);
}

/* Moves m in; 0 or -ENOMEM. */
static inline int msgring_push(struct msgring *r, const struct msg *m)
{
    int rc = msgring_reserve(r);
    if (rc == 0)
        msgring_put(r, m);
    return rc;
}

/* Moves the oldest frame out; the ring must not be empty. */
static inline void msgring_pop(struct msgring *r, struct msg *out)
{
    *out = r->v[r->head];
    r->head = (r->head + 1) & (r->cap - 1);
    r->len--;
    r->msgs -= !(out->flags & PART_MORE);
}

static inline struct msg *msgring_peek(struct msgring *r)
{
    return &r->v[r->head];
}

#endif
