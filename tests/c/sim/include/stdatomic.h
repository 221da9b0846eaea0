/* SPDX-License-Identifier: MIT */
/*
 * Stands in front of the compiler's own <stdatomic.h> when the engine is built for the simulator:
 * before each atomic operation another fiber may go on. So code that synchronises without a lock is
 * tried in all its interleavings, under sequential consistency. Weaker orders within a process are
 * the thread sanitizer's business; those of memory that two processes share are tried here, too:
 * there each operation does no more than its order promises (sim_weak.c).
 */
#ifndef SIM_STDATOMIC_H
#define SIM_STDATOMIC_H

#include_next <stdatomic.h>

#include <stdint.h>

void sim_point(void);
_Bool sim_weak_fails(void); /* a weak exchange that fails for no reason */

/* Where all shared memory is mapped. */
extern const char *sim_shared_from, *sim_shared_to;

enum sim_change { SIM_SET, SIM_ADD, SIM_SUB };
/* `function` is the one that the operation stands in: by it a test plants faults. */
uint64_t sim_shared_load(const volatile void *p, int size, memory_order order,
                         const char *function);
void sim_shared_store(volatile void *p, int size, uint64_t v, memory_order order,
                      const char *function);
/* What was there before. */
uint64_t sim_shared_change(volatile void *p, int size, enum sim_change how, uint64_t v,
                           memory_order order, const char *function);
_Bool sim_shared_compare(volatile void *p, int size, void *expected, uint64_t v, memory_order order,
                         const char *function);

#define SIM_SHARED(p)                                                                              \
    ((const volatile char *)(p) >= sim_shared_from && (const volatile char *)(p) < sim_shared_to)
#define SIM_TYPE(p) __typeof__((void)0, *(p))

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
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit

#define atomic_load(p) atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_load_explicit(p, order)                                                             \
    (sim_point(), SIM_SHARED(p) ? (SIM_TYPE(p))sim_shared_load(p, sizeof(*(p)), order, __func__)   \
                                : __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define atomic_store(p, v) atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_store_explicit(p, v, order)                                                         \
    (sim_point(), SIM_SHARED(p)                                                                    \
                      ? sim_shared_store(p, sizeof(*(p)), (uint64_t)(v), order, __func__)          \
                      : __atomic_store_n(p, v, __ATOMIC_SEQ_CST))
#define SIM_CHANGE(p, how, v, order, otherwise)                                                    \
    (sim_point(), SIM_SHARED(p) ? (SIM_TYPE(p))sim_shared_change(p, sizeof(*(p)), how,             \
                                                                 (uint64_t)(v), order, __func__)   \
                                : otherwise(p, v, __ATOMIC_SEQ_CST))
#define atomic_exchange(p, v) atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange_explicit(p, v, order) SIM_CHANGE(p, SIM_SET, v, order, __atomic_exchange_n)
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_add_explicit(p, v, order) SIM_CHANGE(p, SIM_ADD, v, order, __atomic_fetch_add)
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_sub_explicit(p, v, order) SIM_CHANGE(p, SIM_SUB, v, order, __atomic_fetch_sub)
#define SIM_COMPARE(p, expected, v, order)                                                         \
    (SIM_SHARED(p)                                                                                 \
         ? sim_shared_compare(p, sizeof(*(p)), expected, (uint64_t)(v), order, __func__)           \
         : __atomic_compare_exchange_n(p, expected, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#define atomic_compare_exchange_strong(p, expected, v)                                             \
    (sim_point(), SIM_COMPARE(p, expected, v, memory_order_seq_cst))
#define atomic_compare_exchange_strong_explicit(p, expected, v, success, failure)                  \
    (sim_point(), SIM_COMPARE(p, expected, v, success))
#define atomic_compare_exchange_weak(p, expected, v)                                               \
    (sim_point(), !sim_weak_fails() && SIM_COMPARE(p, expected, v, memory_order_seq_cst))
#define atomic_compare_exchange_weak_explicit(p, expected, v, success, failure)                    \
    (sim_point(), !sim_weak_fails() && SIM_COMPARE(p, expected, v, success))

#endif
