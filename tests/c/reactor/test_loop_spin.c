/* SPDX-License-Identifier: MIT */
// needs: base
/* When a receive in an event loop spins, as two ends with a clock of their own see it. */
#include "check.h"
#include "reactor/loop_spin.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SPIN (50 * US)
#define START MS

/* One end of a connection. Its waits begin when it has answered. */
struct end {
    struct loop_spin rule;
    uint64_t works;  /* what it takes for an answer once it runs */
    uint64_t budget; /* of its wait */
    uint64_t spun;   /* in vain, in all */
    unsigned found, slept;
};

/* An end waits, and its message comes at a time. When it runs again, if waking up takes so long. */
static uint64_t wait_for(struct end *e, uint64_t now, uint64_t comes, uint64_t wake_up)
{
    e->budget = loop_spin_budget(&e->rule, SPIN, now);
    if (e->budget && comes <= now + e->budget) {
        e->found++;
        loop_spin_found(&e->rule, false);
        return comes > now ? comes : now;
    }
    loop_spin_waits(&e->rule, now);
    if (e->budget) {
        e->spun += e->budget;
        loop_spin_failed(&e->rule);
    }
    e->slept++;
    now = (comes > now + e->budget ? comes : now + e->budget) + wake_up;
    loop_spin_served(&e->rule, SPIN, now);
    return now;
}

/* So many messages go to and fro. The time that it takes. */
static uint64_t round_trips(struct end ends[2], unsigned count, uint64_t now, uint64_t wake_up)
{
    uint64_t start = now, waits_since = now;
    for (unsigned i = 0; i < 2 * count; i++) {
        struct end *e = &ends[i % 2];
        /* The other one began to wait when it had sent. */
        uint64_t sent = wait_for(e, waits_since, now, wake_up) + e->works;
        waits_since = now;
        now = sent;
    }
    return now - start;
}

/* After waits so long that spinning could not help. */
static void give_up(struct end *e)
{
    for (unsigned i = 0; i < 20000; i++)
        wait_for(e, START, START + MS, 0);
    e->found = e->slept = 0;
    e->spun = 0;
}

TEST(a_socket_begins_with_spinning)
{
    struct loop_spin rule = {0};
    CHECK_EQ(loop_spin_budget(&rule, SPIN, START), 2 * SPIN);
}

TEST(two_ends_that_sleep_find_each_other)
{
    for (uint64_t works = 0; works <= 90; works += 10)
        for (uint64_t wake_up = 10; wake_up <= 50; wake_up += 10) {
            struct end ends[2] = {{.works = 10 * US}, {.works = works * US}};
            give_up(&ends[0]);
            give_up(&ends[1]);
            round_trips(ends, 200, START, wake_up * US);
            ends[0].slept = ends[1].slept = 0;
            round_trips(ends, 1000, START, wake_up * US);
            CHECK_EQ(ends[0].slept + ends[1].slept, 0);
        }
}

TEST(two_ends_that_both_take_their_time_find_each_other)
{
    struct end ends[2] = {{.works = 70 * US}, {.works = 75 * US}};
    give_up(&ends[0]);
    give_up(&ends[1]);
    round_trips(ends, 2000, START, 50 * US);
    ends[0].slept = ends[1].slept = 0;
    round_trips(ends, 1000, START, 50 * US);
    CHECK_EQ(ends[0].slept + ends[1].slept, 0);
}

TEST(an_answer_that_comes_late_changes_nothing)
{
    struct end e = {0};
    uint64_t now = START;
    for (unsigned i = 0; i < 1000; i++) {
        bool late = i % 10 == 9;
        now = wait_for(&e, now, now + (late ? 5 * MS : 10 * US), 50 * US);
        CHECK_EQ(e.budget, 2 * SPIN);
    }
    CHECK_EQ(e.found, 900);
}

TEST(spins_in_vain_become_rare)
{
    struct end e = {0};
    for (unsigned i = 0; i < 20000; i++)
        wait_for(&e, START, START + MS, 0);
    CHECK(e.spun <= 35 * 3 * SPIN);
}

TEST(short_waits_that_spinning_cannot_help_have_few_spins)
{
    struct end e = {0};
    for (unsigned i = 0; i < 3200; i++)
        wait_for(&e, START, START + 160 * US, 20 * US);
    CHECK(e.spun <= 110 * 3 * SPIN);
    CHECK(e.spun >= 90 * 3 * SPIN);
}

TEST(a_wait_that_was_slept_through_promises_nothing)
{
    struct end e = {0};
    give_up(&e);
    /* They are short only because the other end has the processor while this one sleeps. */
    for (unsigned i = 0; i < 320; i++) {
        uint64_t budget = loop_spin_budget(&e.rule, SPIN, START);
        loop_spin_waits(&e.rule, START);
        if (budget)
            loop_spin_failed(&e.rule);
        e.spun += budget;
        loop_spin_served(&e.rule, SPIN, START + 20 * US);
    }
    CHECK(e.spun > 0 && e.spun <= 10 * 3 * SPIN);
}

TEST(an_idle_end_does_not_spin_on_and_spins_again_after_few_short_waits)
{
    struct end e = {0};
    give_up(&e);
    unsigned waits = 0;
    for (; !e.found; waits++)
        wait_for(&e, START, START + 60 * US, 50 * US);
    CHECK(waits <= 33);
    wait_for(&e, START, START + 10 * US, 50 * US);
    CHECK_EQ(e.found, 2);
}

TEST(spins_give_way_after_a_failure_for_as_long_as_that_helps)
{
    struct loop_spin rule = {0};
    loop_spin_found(&rule, false);
    CHECK(!rule.share);
    loop_spin_failed(&rule);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(rule.share);
        loop_spin_found(&rule, true);
    }
    for (unsigned i = 0; i < LOOP_SPIN_SHARE; i++) {
        CHECK(rule.share);
        loop_spin_found(&rule, false);
    }
    CHECK(!rule.share);
}

TEST(an_end_that_shares_a_processor_with_its_peer_sleeps_every_other_time)
{
    struct loop_spin rule = {.score = LOOP_SPIN_CREDIT};
    loop_spin_failed(&rule);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(loop_spin_budget(&rule, SPIN, START));
        loop_spin_found(&rule, true);
        CHECK(!loop_spin_budget(&rule, SPIN, START));
        loop_spin_waits(&rule, START);
        loop_spin_served(&rule, SPIN, START + 20 * US);
    }
    CHECK(loop_spin_budget(&rule, SPIN, START));
    loop_spin_found(&rule, false); /* the kernel has moved one of them */
    CHECK(loop_spin_budget(&rule, SPIN, START));
}

TEST(a_processor_that_is_lost_once_is_no_reason_to_sleep)
{
    struct loop_spin rule = {0};
    for (uint64_t now = START; now < 10000 * MS; now += 25 * MS) {
        CHECK(loop_spin_lost(&rule, 3 * MS, now));
        CHECK_EQ(loop_spin_budget(&rule, SPIN, now), 2 * SPIN);
    }
}

TEST(a_peer_that_runs_on_this_processor_is_no_loss)
{
    struct loop_spin rule = {0};
    for (uint64_t now = START; now < 1000 * MS; now += MS) {
        CHECK(!loop_spin_lost(&rule, 150 * US, now));
        CHECK_EQ(loop_spin_budget(&rule, SPIN, now), 2 * SPIN);
    }
}

TEST(a_processor_that_others_need_is_left_to_them_for_a_while)
{
    struct loop_spin rule = {0};
    uint64_t now = START;
    CHECK(loop_spin_lost(&rule, 3 * MS, now));
    now += 5 * MS;
    CHECK(loop_spin_lost(&rule, 3 * MS, now));
    CHECK_EQ(loop_spin_budget(&rule, SPIN, now), 0);
    CHECK_EQ(loop_spin_budget(&rule, SPIN, now + 99 * MS), 0);
    CHECK_EQ(loop_spin_budget(&rule, SPIN, now + 100 * MS), 2 * SPIN);
    CHECK_EQ(rule.resume, 0); /* the clock need not be read for the next wait */
}
