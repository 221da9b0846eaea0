/* SPDX-License-Identifier: MIT */
/*
 * A pairing heap: a tree in which no child is smaller than its parent. Inserting hangs the larger
 * of two roots under the smaller; only removal does work, O(log n) amortised.
 */
#include "base/heap.h"

#include <assert.h>
#include <stddef.h>

void heap_init(struct heap *h)
{
    h->root = NULL;
}

void heap_node_init(struct heap_node *n)
{
    *n = (struct heap_node){0};
}

/* Joins two roots (no siblings, no parent) and returns the one that stays root. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (b->key < a->key) {
        struct heap_node *tmp = a;
        a = b;
        b = tmp;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/*
 * Makes one tree of a list of siblings: neighbours are joined in pairs from the left, then the
 * pairs from the right. Both passes are needed for the O(log n).
 */
static struct heap_node *meld_siblings(struct heap_node *first)
{
    struct heap_node *pairs = NULL; /* a stack through `next` */
    while (first) {
        struct heap_node *a = first;
        struct heap_node *b = a->next;
        first = b ? b->next : NULL;
        a->prev = a->next = NULL;
        if (b)
            b->prev = b->next = NULL;
        struct heap_node *pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    struct heap_node *root = NULL;
    while (pairs) {
        struct heap_node *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        root = meld(root, pair);
    }
    return root;
}

void heap_insert(struct heap *h, struct heap_node *n, uint64_t key)
{
    assert(!n->linked);
    *n = (struct heap_node){.key = key, .linked = true};
    h->root = meld(h->root, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (!n->linked)
        return;
    struct heap_node *orphans = meld_siblings(n->child);
    if (n == h->root) {
        h->root = orphans;
    } else {
        if (n->prev->child == n)
            n->prev->child = n->next;
        else
            n->prev->next = n->next;
        if (n->next)
            n->next->prev = n->prev;
        h->root = meld(h->root, orphans);
    }
    n->child = n->next = n->prev = NULL;
    n->linked = false;
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->root;
}
