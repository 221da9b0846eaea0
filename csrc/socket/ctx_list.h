/* SPDX-License-Identifier: MIT */
/* All contexts of the process, for those who look into it from outside. */
#ifndef SOCKET_CTX_LIST_H
#define SOCKET_CTX_LIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* A context begins with it. */
struct ctx_entry {
    struct list node;
    uint64_t number;  /* of all that the process has made */
    atomic_uint refs; /* at 0 it goes */
};

void ctx_list_add(struct ctx_entry *entry);
/* The last reference is gone. */
void ctx_list_remove(struct ctx_entry *entry);
/* Around a fork; a child begins without any. */
void ctx_list_fork_prepare(void);
void ctx_list_fork_parent(void);
void ctx_list_fork_child(void);

/* The contexts that there are now, each with a reference, in memory that is to be freed (mem_free).
 * How many, or -ENOMEM; *out is NULL when there are none. No lock may be held. */
long ctx_list_hold(struct ctx_entry ***out);

/* One more reference, unless the last one is gone. */
static inline bool ctx_list_try_ref(atomic_uint *refs)
{
    unsigned n = atomic_load(refs);
    while (n)
        if (atomic_compare_exchange_weak(refs, &n, n + 1))
            return true;
    return false;
}

static inline size_t ctx_list_length(const struct list *l)
{
    size_t n = 0;
    LIST_FOR(it, l)
    n++;
    return n;
}

#endif
