/* SPDX-License-Identifier: MIT */
/*
 * Decides whether a wait spins: only while recent ones ended within the budget, so that an idle
 * process sleeps at once. There is one `struct spin` for each place where threads wait.
 */
#ifndef REACTOR_SPIN_H
#define REACTOR_SPIN_H

#include <stdbool.h>

#define SPIN_SCORE_MAX 8

struct spin {
    int score; /* >= 0: recent waits were short */
};

static inline bool spin_pays(const struct spin *r)
{
    return r->score >= 0;
}

static inline void spin_learn(struct spin *r, bool short_wait)
{
    if (short_wait)
        r->score += r->score < SPIN_SCORE_MAX;
    else
        r->score = r->score - 3 > -SPIN_SCORE_MAX ? r->score - 3 : -SPIN_SCORE_MAX;
}

#endif
