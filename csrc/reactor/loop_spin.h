/* SPDX-License-Identifier: MIT */
/*
 * Decides how long a receive in an event loop spins before the loop watches its socket. One
 * struct for each socket; its times are ns of any one monotonic clock.
 *
 * Only a spin shows what the peer takes while both ends are awake. A wait that was slept through
 * took two wake-ups more, and a late one may take any time. So only what spins find decides.
 *
 * Spins that found a message within the budget go on, with credit for two failures. After more
 * failures than that waits are slept through: 1, 3, 7 ... 1,023 of them, then one spins again.
 * While they are short it is one of 32, because both ends may be asleep for no other reason than
 * that each waits for the other to wake up. Such a spin has a longer budget, for the time that the
 * peer takes to wake up, and if it finds a message the next wait spins, too.
 *
 * After a failure spins give way to other threads of the processor, because the peer may be one of
 * them. They do so for as long as that helps, and every other wait is slept through meanwhile: the
 * kernel moves a thread to an idle processor when it wakes up.
 *
 * If a spin loses the processor for long, and soon again, others need it. Sleeping is faster then:
 * the kernel prefers a thread that wakes up.
 */
#ifndef REACTOR_LOOP_SPIN_H
#define REACTOR_LOOP_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_SPIN_CREDIT 8
/* So many successes in a row without giving way end that. */
#define LOOP_SPIN_SHARE 16
/* Times SPIN_US: a spin; one while the peer may be asleep; a short wait that was slept through. */
#define LOOP_SPIN_TIMES 2
#define LOOP_SPIN_TRIAL_TIMES 3
#define LOOP_SPIN_SHORT_TIMES 4
/* So many waits are slept through between two spins at most, and so many while they are short. */
#define LOOP_SPIN_PAUSE_MAX 1023
#define LOOP_SPIN_PAUSE_SHORT 31
/* The processor was lost for longer than a peer's answer takes, twice within a time: for a while
 * nobody spins. */
#define LOOP_SPIN_LOST_NS UINT64_C(200000)
#define LOOP_SPIN_LOST_TWICE_NS UINT64_C(20000000)
#define LOOP_SPIN_YIELD_NS UINT64_C(100000000)

struct loop_spin {
    int score;        /* >= 0: spinning has been successful */
    uint32_t pause;   /* else so many waits are still to be slept through, */
    uint32_t pauses;  /* and so many after the next failure, twice and one more */
    uint32_t share;   /* > 0: spins give way, and do so until so many did not need it */
    bool sleep;       /* the next wait is slept through */
    uint64_t began;   /* of a wait for which the loop may sleep; 0: none */
    uint64_t lost_at; /* when the processor was lost last */
    uint64_t resume;  /* no spins before; 0: at any time */
    uint64_t found;   /* spins that were successful, in all, */
    uint64_t failed;  /* and those that were not */
};

/* Asked once a wait: for how long it spins at most; 0: it does not. */
static inline uint64_t loop_spin_budget(struct loop_spin *l, uint64_t spin_ns, uint64_t now)
{
    if (l->resume > now)
        return 0;
    if (l->sleep) {
        l->sleep = false;
        return 0;
    }
    l->resume = 0;
    if (l->score >= 0)
        return LOOP_SPIN_TIMES * spin_ns;
    if (l->pause) {
        l->pause--;
        return 0;
    }
    return LOOP_SPIN_TRIAL_TIMES * spin_ns;
}

/* A spin found a message. gave_way: when another thread had had the processor. */
static inline void loop_spin_found(struct loop_spin *l, bool gave_way)
{
    l->found++;
    l->sleep = gave_way;
    if (gave_way)
        l->share = LOOP_SPIN_SHARE;
    else if (l->share)
        l->share--;
    l->score += l->score < LOOP_SPIN_CREDIT;
    l->pauses = 0;
    l->began = 0;
}

/* A spin found nothing within its budget. */
static inline void loop_spin_failed(struct loop_spin *l)
{
    l->failed++;
    l->share = LOOP_SPIN_SHARE;
    l->score = l->score - 3 > -LOOP_SPIN_CREDIT ? l->score - 3 : -LOOP_SPIN_CREDIT;
    l->pauses = l->pauses < LOOP_SPIN_PAUSE_MAX ? 2 * l->pauses + 1 : LOOP_SPIN_PAUSE_MAX;
    l->pause = l->pauses;
}

/* A piece of a spin has taken this long. Whether other threads had the processor for so long that
 * the spin is over. */
static inline bool loop_spin_lost(struct loop_spin *l, uint64_t took, uint64_t now)
{
    if (took < LOOP_SPIN_LOST_NS)
        return false;
    if (l->lost_at && now - l->lost_at < LOOP_SPIN_LOST_TWICE_NS)
        l->resume = now + LOOP_SPIN_YIELD_NS;
    l->lost_at = now;
    return true;
}

/* A receive waits for the loop. */
static inline void loop_spin_waits(struct loop_spin *l, uint64_t now)
{
    l->began = now;
}

/* It has its message. */
static inline void loop_spin_served(struct loop_spin *l, uint64_t spin_ns, uint64_t now)
{
    if (!l->began)
        return;
    if (now - l->began < LOOP_SPIN_SHORT_TIMES * spin_ns && l->pause > LOOP_SPIN_PAUSE_SHORT)
        l->pause = LOOP_SPIN_PAUSE_SHORT;
    l->began = 0;
}

#endif
