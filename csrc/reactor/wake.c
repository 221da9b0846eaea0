/* SPDX-License-Identifier: MIT */
#include "reactor/wake.h"

#include "base/error.h"
#include "reactor/state.h"

void reactor_break(struct reactor *r)
{
    int none = 0;
    if (atomic_exchange(&r->broken, true))
        return;
    atomic_compare_exchange_strong(&r->stop, &none, FMQ_EBROKEN);
    atomic_store(&r->asleep, false);
    if (atomic_load(&r->has_wake))
        wakeup_signal(&r->wake);
}

void reactor_ref(struct reactor *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}
