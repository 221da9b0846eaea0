/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

TEST(zeroed_memory_is_zero_and_a_copy_is_equal)
{
    unsigned char *p = mem_zalloc(1000);
    CHECK(p);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(p[i], 0);
    mem_free(p);
    char *s = mem_strdup("ab");
    CHECK(s);
    CHECK_STR(s, "ab");
    mem_free(s);
}

TEST(a_size_of_zero_is_not_out_of_memory)
{
    void *a = mem_alloc(0), *b = mem_zalloc(0), *c = mem_realloc(NULL, 0);
    CHECK(a && b && c);
    c = mem_realloc(c, 0);
    CHECK(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

TEST(an_impossible_size_is_out_of_memory)
{
    /* volatile: the compiler, too, knows that this cannot work. */
    volatile size_t size = SIZE_MAX / 2;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(mem_alloc(size) == NULL);
    CHECK(mem_zalloc(size) == NULL);
    char *p = mem_strdup("x");
    CHECK(p);
    CHECK(mem_realloc(p, size) == NULL);
    CHECK_STR(p, "x");
    mem_free(p);
#else
    (void)size;
#endif
}

#ifdef FMQ_DEBUG
TEST(live_counts_what_is_not_freed)
{
    long before = mem_live();
    void *a = mem_alloc(1);
    void *b = mem_realloc(NULL, 1);
    char *c = mem_strdup("");
    CHECK_EQ(mem_live(), before + 3);
    b = mem_realloc(b, 5000);
    CHECK_EQ(mem_live(), before + 3);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
    CHECK_EQ(mem_live(), before);
}

TEST(the_nth_allocation_fails_and_no_other)
{
    long before = mem_live();
    mem_fail_at(3);
    void *a = mem_alloc(1);
    void *b = mem_zalloc(1);
    CHECK(a && b);
    CHECK(mem_realloc(b, 100) == NULL);
    b = mem_realloc(b, 100);
    CHECK(b);
    mem_fail_at(1);
    CHECK(mem_strdup("x") == NULL);
    mem_fail_at(1);
    CHECK(mem_zalloc(1) == NULL);
    mem_fail_at(1);
    mem_fail_at(0);
    mem_free(a);
    a = mem_alloc(1);
    CHECK(a);
    mem_free(a);
    mem_free(b);
    CHECK_EQ(mem_live(), before);
}

TEST(a_time_without_memory_ends)
{
    mem_fail_from(2, 2);
    void *a = mem_alloc(1);
    CHECK(a);
    CHECK_EQ(mem_failed(), 0);
    for (int i = 0; i < 3; i++)
        CHECK(!mem_alloc(1));
    CHECK_EQ(mem_failed(), 3);
    void *b = mem_alloc(1);
    CHECK(b);
    mem_free(a);
    mem_free(b);
}
#endif
