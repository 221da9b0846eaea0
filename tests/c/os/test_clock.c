/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <stdatomic.h>

#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"

static uint64_t kernel_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* How far clock_now is outside of two readings of the kernel's clock around it. */
static uint64_t distance(void)
{
    uint64_t before = kernel_now();
    uint64_t now = clock_now();
    uint64_t after = kernel_now();
    if (now < before)
        return before - now;
    return now > after ? now - after : 0;
}

/* Runs first: before clock_setup the kernel's clock answers. */
TEST(works_before_setup)
{
    CHECK(distance() < 10 * NS_PER_US);
}

TEST(setup_may_be_repeated)
{
    clock_setup();
    clock_setup();
    CHECK(distance() < 20 * NS_PER_US);
}

TEST(drift_stays_below_a_thousandth)
{
    /* Long enough for several anchors. The bound is of the line, not of the machine's speed: both
     * clocks are read beside each other. */
    uint64_t start = kernel_now();
    while (kernel_now() - start < 1500 * NS_PER_MS) {
        CHECK(distance() < 20 * NS_PER_US);
        struct timespec nap = {.tv_nsec = check_below(2000000)};
        nanosleep(&nap, NULL);
    }
}

static void watch(void *arg)
{
    (void)arg;
    uint64_t last = 0;
    uint64_t start = kernel_now();
    while (kernel_now() - start < 300 * NS_PER_MS) {
        for (int i = 0; i < 1000; i++) {
            uint64_t now = clock_now();
            CHECK(now >= last);
            last = now;
        }
    }
}

TEST(never_runs_backwards_on_a_thread)
{
    struct thread threads[3];
    clock_setup();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_start(&threads[i], watch, NULL, "watch"), 0);
    for (int i = 0; i < 3; i++)
        thread_join(&threads[i]);
}

TEST(random_bytes_fills_all)
{
    /* A byte that stays the same in 64 draws has a chance of 2^-504. */
    uint8_t first[300], differs[300] = {0}, buf[300];
    random_bytes(first, sizeof(first));
    for (int draw = 0; draw < 64; draw++) {
        random_bytes(buf, sizeof(buf));
        for (size_t i = 0; i < sizeof(buf); i++)
            differs[i] |= buf[i] ^ first[i];
    }
    for (size_t i = 0; i < sizeof(buf); i++)
        CHECK(differs[i]);
    random_bytes(buf, 0);
}

TEST(random_u32_varies)
{
    uint32_t all = 0, common = UINT32_MAX;
    for (int i = 0; i < 200; i++) {
        uint32_t v = random_u32();
        all |= v;
        common &= v;
    }
    CHECK_EQ(all, UINT32_MAX);
    CHECK_EQ(common, 0);
}
