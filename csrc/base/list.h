/* SPDX-License-Identifier: MIT */
/* An intrusive circular doubly linked list. A node that is on no list points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_ENTRY(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))

/* Walks `head`; `it` is a struct list *. The body must not remove nodes other than through _SAFE.
 */
#define LIST_FOR(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define LIST_FOR_SAFE(it, head)                                                                    \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* Safe on a node that is on no list. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* ---- walks with pauses ---- */

/*
 * A walk through a list that releases the list's lock in between. The list's owner keeps its walks
 * on a list of their own and removes nodes with list_remove_walked, so no walk stands on a node
 * that is gone, and none has to count from the head again.
 */
struct list_walk {
    struct list node; /* on the owner's list of walks */
    struct list *at;  /* the next node; the head: there is none */
};

static inline void list_walk_begin(struct list_walk *w, struct list *walks, struct list *head)
{
    w->at = head->next;
    list_push_back(walks, &w->node);
}

static inline void list_walk_end(struct list_walk *w)
{
    list_remove(&w->node);
}

/* Removes a node that walks may stand on: these go on with the one behind it. */
static inline void list_remove_walked(struct list *walks, struct list *node)
{
    LIST_FOR(it, walks)
    {
        struct list_walk *w = LIST_ENTRY(it, struct list_walk, node);
        if (w->at == node)
            w->at = node->next;
    }
    list_remove(node);
}

static inline struct list *list_first(struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = list_first(head);
    if (node)
        list_remove(node);
    return node;
}

#endif
