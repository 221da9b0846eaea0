/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include "base/list.h"

struct item {
    int number;
    struct list link;
};

#define ITEM(node) LIST_ENTRY(node, struct item, link)

TEST(a_new_list_is_empty_and_a_new_node_on_no_list)
{
    struct list head, node;
    list_init(&head);
    list_init(&node);
    CHECK(list_empty(&head));
    CHECK(!list_linked(&node));
    CHECK(list_first(&head) == NULL);
    CHECK(list_pop_front(&head) == NULL);
}

TEST(removing_a_node_twice_is_harmless)
{
    struct list head, a, b;
    list_init(&head);
    list_push_back(&head, &a);
    list_push_back(&head, &b);
    list_remove(&a);
    list_remove(&a);
    CHECK(!list_linked(&a));
    CHECK(list_first(&head) == &b);
    list_remove(&b);
    CHECK(list_empty(&head));
}

TEST(entries_come_in_the_order_of_pushing)
{
    struct item items[5];
    struct list head;
    list_init(&head);
    for (int i = 0; i < 5; i++)
        items[i].number = i;
    list_push_back(&head, &items[2].link);
    list_push_back(&head, &items[4].link);
    list_push_front(&head, &items[1].link);
    list_push_front(&head, &items[0].link);
    list_insert_before(&items[4].link, &items[3].link);
    int expected = 0;
    LIST_FOR(it, &head)
    {
        CHECK_EQ(ITEM(it)->number, expected++);
    }
    CHECK_EQ(expected, 5);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(ITEM(list_pop_front(&head))->number, i);
    CHECK(list_empty(&head));
}

TEST(a_safe_walk_may_remove_what_it_visits)
{
    struct item items[10];
    struct list head;
    list_init(&head);
    for (int i = 0; i < 10; i++) {
        items[i].number = i;
        list_push_back(&head, &items[i].link);
    }
    LIST_FOR_SAFE(it, &head)
    {
        if (ITEM(it)->number % 2)
            list_remove(it);
    }
    int expected = 0;
    LIST_FOR(it, &head)
    {
        CHECK_EQ(ITEM(it)->number, expected);
        expected += 2;
    }
    CHECK_EQ(expected, 10);
}

TEST(random_changes_agree_with_an_array)
{
    enum { COUNT = 40 };
    struct item items[COUNT];
    int order[COUNT], len = 0;
    struct list head;
    list_init(&head);
    for (int i = 0; i < COUNT; i++) {
        items[i].number = i;
        list_init(&items[i].link);
    }
    for (int round = 0; round < 20000; round++) {
        int i = (int)check_below(COUNT), at = 0;
        while (at < len && order[at] != i)
            at++;
        CHECK_EQ(list_linked(&items[i].link), at < len);
        if (at < len) {
            list_remove(&items[i].link);
            memmove(order + at, order + at + 1, (size_t)(len - at - 1) * sizeof(int));
            len--;
        } else {
            at = (int)check_below((size_t)len + 1);
            list_insert_before(at < len ? &items[order[at]].link : &head, &items[i].link);
            memmove(order + at + 1, order + at, (size_t)(len - at) * sizeof(int));
            order[at] = i;
            len++;
        }
        int n = 0;
        LIST_FOR(it, &head)
        {
            CHECK(n < len);
            CHECK_EQ(ITEM(it)->number, order[n++]);
        }
        CHECK_EQ(n, len);
    }
}

TEST(a_walk_with_pauses_goes_on_where_it_was_whatever_is_removed_meanwhile)
{
    struct item items[6];
    struct list head, walks;
    struct list_walk first, second;
    list_init(&head);
    list_init(&walks);
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_push_back(&head, &items[i].link);
    }
    list_walk_begin(&first, &walks, &head);
    list_walk_begin(&second, &walks, &head);
    CHECK(first.at == &items[0].link);
    first.at = first.at->next->next;
    list_remove_walked(&walks, &items[0].link); /* behind one walk, under the other */
    list_remove_walked(&walks, &items[2].link); /* under the first */
    CHECK(first.at == &items[3].link);
    CHECK(second.at == &items[1].link);
    list_remove_walked(&walks, &items[3].link);
    list_remove_walked(&walks, &items[4].link);
    list_remove_walked(&walks, &items[4].link); /* a node that is on no list */
    CHECK(first.at == &items[5].link);
    list_walk_end(&second);
    list_remove_walked(&walks, &items[1].link);
    CHECK(second.at == &items[1].link); /* it has ended */
    list_remove_walked(&walks, &items[5].link);
    CHECK(first.at == &head);
    list_walk_end(&first);
    CHECK(list_empty(&walks));
    CHECK(list_empty(&head));
}
