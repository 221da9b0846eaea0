/* SPDX-License-Identifier: MIT */
#include "reactor/signal.h"

#include "reactor/io_thread.h"
#include "reactor/state.h"
#include "reactor/wake.h"

/* Without a wake-up there is nobody: it is made before a thread sleeps or watches. */
void reactor_signal(struct reactor *r)
{
    if (atomic_load(&r->has_wake) && wakeup_signal(&r->wake))
        reactor_break(r);
}

void reactor_signal_once(struct reactor *r)
{
    if (!atomic_exchange(&r->wake_set, true)) /* reactor_drain_wake */
        reactor_signal(r);
}

void reactor_wake(struct reactor *r)
{
    if (atomic_exchange(&r->asleep, false))
        reactor_signal(r);
}

/* The wake-up of a reactor without a poller is seen by nobody but the thread that sleeps in it. */
void reactor_call(struct reactor *r)
{
    if (atomic_load(&r->has_poller))
        reactor_signal_once(r);
    else if (atomic_load(&r->registered)) /* else its I/O thread may have ended */
        io_thread_call(r->io_thread, r);
}
