/* SPDX-License-Identifier: MIT */
/* Polling by the calling thread: waiting, spinning, reading. The rules are in reactor.h. */
#include "reactor/poll.h"

#include "fastmq.h"
#include "reactor/io_thread.h"
#include "reactor/notify.h"
#include "reactor/quiet.h"
#include "reactor/reactor.h"
#include "reactor/waits.h"

/* A thread that waits for another one's polling looks up this often, to let signal handlers run. */
#define FOLLOWER_SLICE_NS (50 * NS_PER_MS)
/* While a caller spins on one connection, all other descriptors are looked at this often. */
#define FULL_POLL_NS (1 * NS_PER_MS)
#define FULL_POLL_MAX_NS (20 * NS_PER_MS)
#define POLL_BATCH 64
/* So many looks in a row may be at the only connection alone. */
#define LONE_LOOKS 8
#define MAIL_SPINS_PER_CLOCK 16
/* A thread that no other can wake, for want of descriptors, looks up this often. */
#define NO_WAKE_NS (5 * NS_PER_MS)
/* The I/O thread looks so often at input that the poller does not show before it goes on. */
#define QUIET_ROUNDS 8

static int wait_in_poller(struct reactor *r, struct poller_event *events, int64_t timeout_ns)
{
    struct poller *p = r->poller;
    mutex_unlock(&r->lock);
    int n = poller_wait(p, events, POLL_BATCH, timeout_ns);
    mutex_lock(&r->lock);
    atomic_store_explicit(&r->asleep, false, memory_order_relaxed);
    if (n < 0 && !poller_may_retry(n)) {
        reactor_break(r);
        reactor_notify(r);
    }
    return n;
}

/* The same without a poller: on the only descriptor, and on the wake-up. */
static int wait_alone(struct reactor *r, struct poller_event *events, int64_t timeout_ns)
{
    struct poller_one few[POLLER_FEW];
    int count = 0, n = 0;
    struct io *only = r->only;
    if (only)
        few[count++] = (struct poller_one){only->fd, only->interest, only};
    if (atomic_load(&r->has_wake) && (timeout_ns || atomic_load(&r->wake_set)))
        few[count++] = (struct poller_one){r->wake.rfd, POLLER_IN, &r->wake_io};
    if (count || timeout_ns) {
        mutex_unlock(&r->lock);
        n = poller_wait_few(few, count, events, timeout_ns);
        mutex_lock(&r->lock);
    }
    atomic_store_explicit(&r->asleep, false, memory_order_relaxed);
    /* It may have closed its descriptor meanwhile, or have another one. */
    if (n > 0 && only && events[0].data == only && (!only->interest || only->fd != few[0].fd)) {
        events[0] = events[1];
        n--;
    }
    return n;
}

/* Looks at all descriptors, waiting up to timeout_ns; handles what is ready. The lock is released
 * for the wait. `polling` must be set. Number of events, or -EINTR. */
static int poll_pass(struct reactor *r, int64_t timeout_ns)
{
    struct poller_event events[POLL_BATCH];
    bool quiet = !list_empty(&r->quiet);
    if (quiet && timeout_ns && !quiet_arm(r))
        timeout_ns = 0;
    int n = r->poller ? wait_in_poller(r, events, timeout_ns) : wait_alone(r, events, timeout_ns);
    for (int i = 0; i < n; i++) {
        struct io *io = events[i].data;
        if (!io->dead)
            io->ready(io, events[i].events);
    }
    if (quiet && quiet_look(r) && n <= 0)
        n = 1;
    uint64_t now = clock_now();
    r->last_poll = now;
    r->lone_looks = 0;
    if (timers_next(r) <= now) {
        timers_run(r, now);
        if (n == 0)
            n = 1;
    }
    return n;
}

static void end_polling(struct reactor *r)
{
    r->polling = false;
    if (!list_empty(&r->deferred_free))
        r->work |= WORK_REAP;
    if (r->waiters)
        r->work |= WORK_NOTIFY;
    if (r->quiet_left) {
        r->quiet_left = false;
        r->work |= WORK_QUIET;
    }
}

/* Reads the only connection without asking the poller first. What else may have fired stays ready:
 * the next look finds nothing here, or is one at all descriptors. */
static bool read_lone(struct reactor *r)
{
    if (!r->lone || r->lone_looks >= LONE_LOOKS || !r->ops->read_lone(r, 0))
        return false;
    r->lone_looks++;
    return true;
}

/* Whether a caller may read the only connection in place of a look at all descriptors. Not while
 * something else is known to be due: room to write, the wake-up, a timer. What is not known of (a
 * peer that connects, a connection in the making) waits for few such looks: the poller
 * would report it to its watchers again and again. */
static bool may_look_at_lone(struct reactor *r, uint64_t now)
{
    return r->lone_readable && r->lone_looks < LONE_LOOKS && timers_next(r) > now &&
           !atomic_load_explicit(&r->wake_set, memory_order_relaxed);
}

/* A look without waiting. */
static void look_once(struct reactor *r, uint64_t now)
{
    bool lone = may_look_at_lone(r, now);
    /* What the one connection has is enough, if all others were looked at not long ago. What
     * is left is reported to an event loop again. */
    bool recent =
        lone && (now - r->last_poll < FULL_POLL_MAX_NS || (r->notify.loop_events & FMQ_POLLIN));
    bool fresh = lone && now - r->last_poll < FULL_POLL_NS;
    r->lone_looks++;
    if (!(recent && r->ops->read_lone(r, 0)) && !fresh)
        poll_pass(r, 0);
}

void reactor_asks_poller(struct reactor *r)
{
    r->lone_looks = LONE_LOOKS;
}

/* This thread goes back to the poller from which it came. What always has more waits for its next
 * turn, which comes at once. */
static void arm_quiet(struct reactor *r)
{
    for (int i = 0; !list_empty(&r->quiet) && !quiet_arm(r); i++) {
        if (i == QUIET_ROUNDS) {
            reactor_call(r);
            return;
        }
        quiet_look(r);
    }
}

void reactor_poll_once(struct reactor *r, bool fired)
{
    if (r->polling || r->finished)
        return;
    r->polling = true;
    if (reactor_has_mail(r))
        mailbox_run(r);
    if (!fired || !list_empty(&r->quiet) || !read_lone(r))
        poll_pass(r, 0);
    arm_quiet(r);
    if (reactor_has_mail(r))
        mailbox_run(r);
    end_polling(r);
}

static inline bool changed(struct reactor *r, unsigned seen)
{
    return atomic_load_explicit(&r->changes, memory_order_relaxed) != seen;
}

/* What other threads may have left for a waiter, all of it visible without the lock. */
static bool something_to_do(struct reactor *r, unsigned seen)
{
    return reactor_has_mail(r) || atomic_load_explicit(&r->stop, memory_order_relaxed) ||
           changed(r, seen);
}

static int follow(struct reactor *r, uint64_t deadline, struct waits *w)
{
    uint64_t now = clock_now();
    if (now >= deadline)
        return -EAGAIN;
    uint64_t slice = deadline - now < FOLLOWER_SLICE_NS ? deadline - now : FOLLOWER_SLICE_NS;
    r->waiters++;
    wait_begins(w, now);
    bool woken = cond_wait(&r->cond, &r->lock, (int64_t)slice);
    wait_ends(w, clock_now());
    r->waiters--;
    int stop = atomic_load_explicit(&r->stop, memory_order_relaxed);
    if (stop) {
        r->work |= WORK_NOTIFY;
        return -stop;
    }
    if (reactor_has_mail(r))
        mailbox_run(r);
    return woken || clock_now() >= deadline ? 0 : -EINTR;
}

/* Watches memory only: with no connection, whatever comes is posted by another thread. */
static bool spin_on_mail(struct reactor *r, uint64_t until, unsigned seen)
{
    bool found = false;
    mutex_unlock(&r->lock);
    for (unsigned i = 1; !found; i++) {
        found = something_to_do(r, seen);
        if (i % MAIL_SPINS_PER_CLOCK == 0 && clock_now() >= until)
            break;
        cpu_relax();
    }
    mutex_lock(&r->lock);
    return found;
}

/* Spins for at most the budget. True when something happened. */
static bool spin(struct reactor *r, uint64_t start, uint64_t end, unsigned seen)
{
    uint64_t now = start;
    while (now < end && !r->waiters) {
        uint64_t next_poll = r->last_poll + FULL_POLL_NS;
        uint64_t until = next_poll < end ? next_poll : end;
        bool found;
        if (now < next_poll && r->conn_count == 0)
            found = spin_on_mail(r, until, seen);
        else if (now < next_poll && r->lone_readable)
            found = r->ops->read_lone(r, until);
        else
            found = poll_pass(r, 0) != 0;
        if (found || something_to_do(r, seen))
            return true;
        now = clock_now();
    }
    return false;
}

/* A caller that comes back regularly is waited for: the lease follows its pace. */
static void take_lease(struct reactor *r, uint64_t now)
{
    uint64_t lease = (now - r->last_use) * 4;
    r->lease = lease < LEASE_MIN_NS      ? LEASE_MIN_NS
               : lease < LEASE_MAX_NS    ? lease
               : r->lease > LEASE_MIN_NS ? r->lease / 2
                                         : LEASE_MIN_NS;
    r->last_use = now;
}

int reactor_spin(struct reactor *r, uint64_t until)
{
    unsigned seen = atomic_load_explicit(&r->changes, memory_order_relaxed);
    if (!list_empty(&r->flush_list))
        r->ops->flush(r, true);
    uint64_t now = clock_now();
    if (changed(r, seen))
        return 0;
    if (r->polling || r->lone_blocked || now >= until)
        return -EAGAIN;
    r->polling = true;
    take_lease(r, now);
    bool found = spin(r, now, until, seen);
    r->last_use = clock_now();
    end_polling(r);
    if (reactor_has_mail(r))
        mailbox_run(r);
    int stop = atomic_load_explicit(&r->stop, memory_order_relaxed);
    return stop ? -stop : found ? 0 : -EAGAIN;
}

/* False: no other thread can wake this one. poll(2) keeps what it waits for open after it was
 * closed, and with it an address that is to be free then: that is left to the poller. */
static bool ready_to_sleep(struct reactor *r)
{
    if (r->only && !r->lone)
        (void)io_need_poller(r);
    return io_need_wake(r) == 0;
}

int reactor_wait_for(struct reactor *r, uint64_t deadline, struct waits *w)
{
    unsigned seen = atomic_load_explicit(&r->changes, memory_order_relaxed);
    /* What this thread queued must not sit here while it waits for the answer. */
    if (!list_empty(&r->flush_list))
        r->ops->flush(r, true);
    if (r->work & WORK_REAP) {
        r->work &= ~WORK_REAP;
        r->ops->reap(r);
    }
    if (r->work & WORK_NOTIFY) {
        r->work &= ~WORK_NOTIFY;
        if (r->waiters)
            cond_broadcast(&r->cond);
        reactor_wake(r);
    }
    /* This thread may stay for long, and what it read or wrote for itself bears on
     * watchers: nothing else reports it to them, since the descriptors are quiet again. */
    if ((r->work & WORK_WATCHED) && deadline)
        notify_update(r);
    if (changed(r, seen)) /* flushing made room, or a connection ended: look again */
        return 0;
    int stop = atomic_load_explicit(&r->stop, memory_order_relaxed);
    if (stop)
        return -stop;
    if (reactor_has_mail(r)) {
        mailbox_run(r);
        return 0;
    }
    if (r->polling) {
        if (deadline == 0)
            return -EAGAIN;
        return follow(r, deadline, w);
    }

    r->polling = true;
    int rc = 0;
    uint64_t start = clock_now();
    take_lease(r, start);
    if (deadline == 0) {
        look_once(r, start);
        rc = -EAGAIN;
        goto out;
    }
    if (start >= deadline) {
        rc = -EAGAIN;
        goto out;
    }

    /* Room to write is not spun for: the longer it is left, the more of it there is at once. */
    bool blocked = r->lone_blocked;
    uint64_t budget = blocked ? 0 : (uint64_t)r->spin_us * NS_PER_US;
    /* With other waiters, a thread that comes back from spinning would wake one to do the same, for
     * ever. */
    if (budget && spin_pays(&r->spin) && !r->waiters) {
        uint64_t end = deadline - start < budget ? deadline : start + budget;
        if (spin(r, start, end, seen)) {
            spin_learn(&r->spin, true);
            goto out;
        }
        spin_learn(&r->spin, false);
        if (end == deadline)
            goto out;
    }

    /* Sleep. The order matters: first say that we sleep, then look for work once more. */
    uint64_t next = timers_next(r);
    uint64_t until = next < deadline ? next : deadline;
    uint64_t now = clock_now();
    if (!ready_to_sleep(r) && until > now + NO_WAKE_NS)
        until = now + NO_WAKE_NS;
    int64_t timeout = until == CLOCK_NEVER ? -1 : until <= now ? 0 : (int64_t)(until - now);
    wait_begins(w, now);
    r->sleep_seq++;
    atomic_store(&r->asleep, true);
    if (atomic_load(&r->mailbox) || atomic_load(&r->stop) || changed(r, seen))
        timeout = 0;
    int n = poll_pass(r, timeout);
    if (n == -EINTR)
        rc = -EINTR;
    now = clock_now();
    wait_ends(w, now);
    /* A sleep that ended soon counts as short although waking up took its time. */
    if (!blocked)
        spin_learn(&r->spin, n > 0 && now - start < 2 * budget);
    if (atomic_load_explicit(&r->disarmed, memory_order_relaxed)) {
        atomic_store_explicit(&r->disarmed, false, memory_order_relaxed);
        if (r->io_thread)
            io_thread_look(r->io_thread, r);
    }
out:
    r->last_use = clock_now();
    end_polling(r);
    if (reactor_has_mail(r))
        mailbox_run(r);
    stop = atomic_load_explicit(&r->stop, memory_order_relaxed);
    return stop ? -stop : rc;
}
