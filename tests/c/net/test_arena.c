/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/* The arena: blocks lie apart, come back from any side, and keep the memory that they lie in. */
#include "check.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "net/arena.h"
#include "os/fork.h"
#include "os/net.h"
#include "os/shm.h"

#define UNIT ((size_t)64 << 10)
#define UNITS 16

static struct arena_slot slot;

/* NULL: this system has no such memory. */
static struct arena *begin(size_t max)
{
    arena_slot_init(&slot, max);
    return arena_get(&slot);
}

static void end(struct arena *a)
{
    if (a)
        arena_unref(a);
    arena_slot_fini(&slot);
}

static uint64_t place(struct arena *a, const void *block)
{
    uint64_t at = UINT64_MAX;
    CHECK(arena_has(a, block, 1, &at));
    return at;
}

TEST(blocks_lie_apart_and_the_lowest_place_is_used_first)
{
    struct arena *a = begin(UNITS * UNIT);
    if (a) {
        void *one = arena_alloc(a, 1), *three = arena_alloc(a, 2 * UNIT + 1);
        void *rest = arena_alloc(a, 12 * UNIT);
        CHECK_EQ(place(a, one), 0);
        CHECK_EQ(place(a, three), UNIT);
        CHECK_EQ(place(a, rest), 4 * UNIT);
        CHECK(!arena_alloc(a, 1));
        arena_free(three, a);
        CHECK(!arena_alloc(a, 4 * UNIT));
        void *again = arena_alloc(a, UNIT);
        CHECK_EQ(place(a, again), UNIT);
        arena_free(one, a);
        CHECK(!arena_alloc(a, 3 * UNIT));
        void *two = arena_alloc(a, 2 * UNIT);
        CHECK_EQ(place(a, two), 2 * UNIT);
        uint32_t blocks;
        CHECK_EQ(arena_used(a, &blocks), 15 * UNIT);
        CHECK_EQ(blocks, 3);
        arena_free(two, a);
        arena_free(again, a);
        arena_free(rest, a);
        CHECK_EQ(arena_used(a, &blocks), 0);
        CHECK_EQ(blocks, 0);
        void *all = arena_alloc(a, UNITS * UNIT);
        CHECK_EQ(place(a, all), 0);
        arena_free(all, a);
    }
    end(a);
}

TEST(what_is_too_much_is_refused)
{
    struct arena *a = begin(UNITS * UNIT + 5);
    if (a) {
        CHECK_EQ(arena_size(a), UNITS * UNIT);
        CHECK(!arena_alloc(a, UNITS * UNIT + 1));
        CHECK(!arena_alloc(a, SIZE_MAX));
        CHECK(!arena_alloc(a, 0));
    }
    end(a);
}

TEST(an_arena_of_nothing_is_none)
{
    CHECK(!begin(0));
    end(NULL);
    CHECK(!begin(UNIT - 1));
    end(NULL);
}

TEST(large_arenas_have_larger_units)
{
    struct arena *a = begin((size_t)1 << 40);
    if (a) { /* the system may not promise so much */
        void *x = arena_alloc(a, 1), *y = arena_alloc(a, (size_t)1 << 39);
        CHECK(x && y);
        memset(x, 1, 100);
        arena_free(x, a);
        arena_free(y, a);
    }
    end(a);
}

TEST(other_memory_is_not_in_it)
{
    struct arena *a = begin(UNITS * UNIT);
    if (a) {
        uint64_t at;
        uint8_t *block = arena_alloc(a, UNITS * UNIT);
        CHECK(!arena_has(a, &slot, 1, &at));
        CHECK(!arena_has(a, block - 1, 1, &at));
        CHECK(!arena_has(a, block + UNITS * UNIT, 1, &at));
        CHECK(!arena_has(a, block + 1, UNITS * UNIT, &at));
        CHECK(arena_has(a, block + 1, UNITS * UNIT - 1, &at));
        CHECK_EQ(at, 1);
        arena_free(block, a);
    }
    end(a);
}

TEST(a_block_outlives_its_context)
{
    struct arena *a = begin(UNITS * UNIT);
    if (a) {
        uint8_t *block = arena_alloc(a, 100);
        arena_unref(a);
        arena_slot_end(&slot);
        CHECK(!arena_get(&slot));
        memset(block, 7, 100);
        CHECK_EQ(block[99], 7);
        arena_free(block, a);
    }
    end(NULL);
}

TEST(the_limit_is_set_before_there_is_an_arena)
{
    arena_slot_init(&slot, UNIT);
    CHECK_EQ(arena_slot_set_max(&slot, UNITS * UNIT), 0);
    struct arena *a = arena_get(&slot);
    if (a) {
        CHECK_EQ(arena_size(a), UNITS * UNIT);
        CHECK_EQ(arena_slot_set_max(&slot, UNIT), -EINVAL);
        CHECK_EQ(slot.max, UNITS * UNIT);
    }
    end(a);
}

TEST(others_read_it_and_what_they_write_stays_with_them)
{
    struct arena *a = begin(UNITS * UNIT);
    if (a) {
        void *block = arena_alloc(a, UNIT), *seen;
        memcpy(block, "hello", 5);
        CHECK_EQ(shm_check(arena_fd(a), UNITS * UNIT), 0);
        CHECK_EQ(shm_check(arena_fd(a), UNIT), -EPROTO);
        CHECK_EQ(shm_map_arena(arena_fd(a), UNITS * UNIT, &seen), 0);
        CHECK_MEM(seen, "hello", 5);
        memcpy(seen, "j", 1); /* seen here alone */
        CHECK_MEM(block, "hello", 5);
        memcpy(block, "H", 1);
        CHECK_MEM(seen, "jello", 5);
        shm_forget((uint8_t *)seen + 3, 1);
        CHECK_MEM(seen, "Hello", 5);
        CHECK(mmap(NULL, UNIT, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd(a), 0) == MAP_FAILED);
        CHECK(write(arena_fd(a), "x", 1) < 0);
        CHECK(ftruncate(arena_fd(a), 0) < 0);
        shm_unmap(seen, UNITS * UNIT);
        arena_free(block, a);
    }
    end(a);
}

static void nothing(void) {}

TEST(a_child_of_a_fork_reads_what_was_there_and_takes_nothing)
{
    fork_handlers(nothing, nothing, nothing);
    struct arena *a = begin(UNITS * UNIT);
    if (a) {
        uint8_t *block = arena_alloc(a, UNIT);
        memset(block, 5, UNIT);
        pid_t pid = fork();
        if (pid == 0) {
            bool right = block[UNIT - 1] == 5 && !arena_alloc(a, 1);
            arena_free(block, a);
            _exit(right ? 0 : 1);
        }
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
        uint32_t blocks;
        arena_used(a, &blocks);
        CHECK_EQ(blocks, 1);
        arena_free(block, a);
    }
    end(a);
}
