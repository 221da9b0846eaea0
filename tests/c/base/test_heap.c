/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include "base/heap.h"

TEST(an_empty_heap_has_no_minimum)
{
    struct heap h;
    struct heap_node n;
    heap_init(&h);
    heap_node_init(&n);
    CHECK(heap_min(&h) == NULL);
    heap_remove(&h, &n);
    heap_insert(&h, &n, 5);
    CHECK(n.linked);
    CHECK(heap_min(&h) == &n);
    heap_remove(&h, &n);
    heap_remove(&h, &n);
    CHECK(!n.linked);
    CHECK(heap_min(&h) == NULL);
}

TEST(a_removed_node_may_go_onto_another_heap)
{
    struct heap a, b;
    struct heap_node n[3];
    heap_init(&a);
    heap_init(&b);
    for (uint64_t i = 0; i < 3; i++) {
        heap_node_init(&n[i]);
        heap_insert(&a, &n[i], i);
    }
    heap_remove(&a, &n[0]);
    heap_insert(&b, &n[0], UINT64_MAX);
    CHECK(heap_min(&a) == &n[1]);
    CHECK(heap_min(&b) == &n[0]);
    CHECK(n[0].key == UINT64_MAX);
}

/* 10^6 nodes in the order that hangs them one under another: deep recursion would not survive. */
TEST(sorted_input_of_a_million_comes_out_sorted)
{
    enum { COUNT = 1000000 };
    struct heap_node *nodes = mem_alloc(COUNT * sizeof(*nodes));
    CHECK(nodes);
    for (int descending = 0; descending < 2; descending++) {
        struct heap h;
        heap_init(&h);
        for (uint64_t i = 0; i < COUNT; i++) {
            heap_node_init(&nodes[i]);
            heap_insert(&h, &nodes[i], descending ? COUNT - 1 - i : i);
        }
        for (uint64_t i = 0; i < COUNT; i++) {
            struct heap_node *min = heap_min(&h);
            CHECK(min && min->key == i);
            heap_remove(&h, min);
        }
        CHECK(heap_min(&h) == NULL);
    }
    mem_free(nodes);
}

TEST(random_changes_agree_with_a_sorted_array)
{
    enum { COUNT = 300, ROUNDS = 60000 };
    struct heap_node nodes[COUNT];
    uint64_t sorted[COUNT];
    size_t len = 0;
    struct heap h;
    heap_init(&h);
    for (int i = 0; i < COUNT; i++)
        heap_node_init(&nodes[i]);
    for (int round = 0; round < ROUNDS; round++) {
        struct heap_node *n = &nodes[check_below(COUNT)];
        if (check_below(4) == 0 && heap_min(&h))
            n = heap_min(&h);
        if (n->linked) {
            size_t at = 0;
            while (sorted[at] != n->key)
                at++;
            heap_remove(&h, n);
            len--;
            memmove(sorted + at, sorted + at + 1, (len - at) * sizeof(*sorted));
        } else {
            uint64_t key = check_below(200); /* few, so that many are equal */
            size_t at = len;
            while (at > 0 && sorted[at - 1] > key)
                at--;
            memmove(sorted + at + 1, sorted + at, (len - at) * sizeof(*sorted));
            sorted[at] = key;
            len++;
            heap_insert(&h, n, key);
        }
        CHECK_EQ(heap_min(&h) != NULL, len > 0);
        if (len > 0)
            CHECK(heap_min(&h)->key == sorted[0]);
    }
    for (size_t i = 0; i < len; i++) {
        CHECK(heap_min(&h) && heap_min(&h)->key == sorted[i]);
        heap_remove(&h, heap_min(&h));
    }
    CHECK(heap_min(&h) == NULL);
}
