/* SPDX-License-Identifier: MIT */
/*
 * Whether a wait is worth spinning: only while recent ones ended within the budget, so that an idle
 * process sleeps at once. One `struct spin` a place that is waited in.
 */
#ifndef CORE_SPIN_H
#define CORE_SPIN_H

#include <stdbool.h>

#define SPIN_SCORE_MAX 8

struct spin {
    int score; /* >= 0: recent waits were short */
};

static inline bool spin_pays(const struct spin *s)
{
    return s->score >= 0;
}

static inline void spin_learn(struct spin *s, bool short_wait)
{
    if (short_wait)
        s->score += s->score < SPIN_SCORE_MAX;
    else
        s->score = s->score - 3 > -SPIN_SCORE_MAX ? s->score - 3 : -SPIN_SCORE_MAX;
}

#endif
