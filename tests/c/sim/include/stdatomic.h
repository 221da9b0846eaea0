/* SPDX-License-Identifier: MIT */
/*
 * Stands in front of the compiler's own <stdatomic.h> when the engine is built for the simulator:
 * before each atomic operation another fiber may go on. So code that synchronises without a lock is
 * tried in all its interleavings, under sequential consistency; weaker orders are the thread
 * sanitizer's business.
 */
#ifndef SIM_STDATOMIC_H
#define SIM_STDATOMIC_H

#include_next <stdatomic.h>

void sim_point(void);
_Bool sim_weak_fails(void); /* a weak exchange that fails for no reason */

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit

#define atomic_load(p) (sim_point(), __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define atomic_load_explicit(p, order) atomic_load(p)
#define atomic_store(p, v) (sim_point(), __atomic_store_n(p, v, __ATOMIC_SEQ_CST))
#define atomic_store_explicit(p, v, order) atomic_store(p, v)
#define atomic_exchange(p, v) (sim_point(), __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define atomic_exchange_explicit(p, v, order) atomic_exchange(p, v)
#define atomic_fetch_add(p, v) (sim_point(), __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST))
#define atomic_fetch_add_explicit(p, v, order) atomic_fetch_add(p, v)
#define atomic_fetch_sub(p, v) (sim_point(), __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST))
#define atomic_fetch_sub_explicit(p, v, order) atomic_fetch_sub(p, v)
#define atomic_compare_exchange_weak(p, expected, v)                                               \
    (sim_point(), !sim_weak_fails() && __atomic_compare_exchange_n(                                \
                                           p, expected, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#define atomic_compare_exchange_weak_explicit(p, expected, v, success, failure)                    \
    atomic_compare_exchange_weak(p, expected, v)

#endif
