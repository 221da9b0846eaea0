/* SPDX-License-Identifier: MIT */
/*
 * An intrusive min-heap on a 64-bit key (times in ns). It allocates nothing, so arming a timer
 * cannot fail. A node is either on one heap or unlinked; heap_node_init before first use.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    struct heap_node *child; /* first child */
    struct heap_node *next;  /* next sibling */
    struct heap_node *prev;  /* previous sibling, or the parent for a first child */
    bool linked;
};

struct heap {
    struct heap_node *root;
};

void heap_init(struct heap *h);
void heap_node_init(struct heap_node *n);
/* `n` must be unlinked; sets n->key. */
void heap_insert(struct heap *h, struct heap_node *n, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *n); /* no-op when unlinked */
struct heap_node *heap_min(const struct heap *h);      /* NULL when empty */

#endif
