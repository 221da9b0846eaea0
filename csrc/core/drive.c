/* SPDX-License-Identifier: MIT */
/* Driving a socket: waiting in it, spinning, reading, its timers. The rules are in socket.h. */
#include "core/conn.h"
#include "core/driver.h"
#include "core/socket.h"

/* A thread that waits for another one's driving looks up this often, to let signal handlers run. */
#define FOLLOWER_SLICE_NS (50 * NS_PER_MS)
/* While a caller spins on one connection, all other descriptors are looked at this often. */
#define FULL_POLL_NS (1 * NS_PER_MS)
#define FULL_POLL_MAX_NS (20 * NS_PER_MS)
#define POLL_BATCH 64
/* So often the background thread takes it for granted that it is the only connection that fired. */
#define LONE_READS 8
#define MAIL_SPINS_PER_CLOCK 16

/* ---- driving ---- */

static void run_timers(struct fmq_socket *s, uint64_t now)
{
    for (;;) {
        struct heap_node *n = heap_min(&s->timers);
        if (!n || n->key > now)
            break;
        heap_remove(&s->timers, n);
        struct timer *t = LIST_ENTRY(n, struct timer, node);
        t->fire(t, now);
    }
    struct heap_node *n = heap_min(&s->timers);
    s->deadline = CLOCK_NEVER;
    if (n)
        s->work |= WORK_TIMER;
}

/* Looks at all descriptors, waiting up to timeout_ns; handles what is ready. The lock is let go for
 * the wait. `driving` must be set. Number of events, or -EINTR. */
static int drive_pass(struct fmq_socket *s, int64_t timeout_ns)
{
    struct poller_event events[POLL_BATCH];
    mutex_unlock(&s->lock);
    int n = poller_wait(s->poller, events, POLL_BATCH, timeout_ns);
    mutex_lock(&s->lock);
    atomic_store_explicit(&s->asleep, false, memory_order_relaxed);
    for (int i = 0; i < n; i++) {
        struct io *io = events[i].data;
        if (!io->dead)
            io->ready(io, events[i].events);
    }
    uint64_t now = clock_now();
    s->last_poll = now;
    struct heap_node *min = heap_min(&s->timers);
    if (min && min->key <= now) {
        run_timers(s, now);
        if (n == 0)
            n = 1;
    }
    return n;
}

static void end_driving(struct fmq_socket *s)
{
    s->driving = false;
    if (!list_empty(&s->graveyard))
        s->work |= WORK_REAP;
    if (s->waiters)
        s->work |= WORK_NOTIFY;
}

/* Reads the only connection without asking the poller first. What else may have fired stays ready:
 * the next look finds nothing here, or is one at all descriptors. */
static bool read_lone(struct fmq_socket *s)
{
    if (s->conn_count != 1 || s->lone_reads >= LONE_READS)
        return false;
    struct conn *c = LIST_ENTRY(s->conns.next, struct conn, in_socket);
    if (c->link.blocked || !conn_spin(c, 0))
        return false;
    s->lone_reads++;
    return true;
}

void socket_drive_once(struct fmq_socket *s, bool fired)
{
    if (s->driving || s->finished)
        return;
    s->driving = true;
    if (socket_has_mail(s))
        socket_run_mail(s);
    if (!fired || !read_lone(s)) {
        s->lone_reads = 0;
        drive_pass(s, 0);
    }
    if (socket_has_mail(s))
        socket_run_mail(s);
    end_driving(s);
}

static inline bool changed(struct fmq_socket *s, unsigned seen)
{
    return atomic_load_explicit(&s->changes, memory_order_relaxed) != seen;
}

/* What other threads may have left for a waiter, all of it visible without the lock. */
static bool something_to_do(struct fmq_socket *s, unsigned seen)
{
    return socket_has_mail(s) || atomic_load_explicit(&s->stop, memory_order_relaxed) ||
           changed(s, seen);
}

static int follow(struct fmq_socket *s, uint64_t deadline)
{
    uint64_t now = clock_now();
    if (now >= deadline)
        return -EAGAIN;
    uint64_t slice = deadline - now < FOLLOWER_SLICE_NS ? deadline - now : FOLLOWER_SLICE_NS;
    s->waiters++;
    bool woken = cond_wait(&s->cond, &s->lock, (int64_t)slice);
    s->waiters--;
    int stop = atomic_load_explicit(&s->stop, memory_order_relaxed);
    if (stop) {
        s->work |= WORK_NOTIFY;
        return -stop;
    }
    if (socket_has_mail(s))
        socket_run_mail(s);
    return woken || clock_now() >= deadline ? 0 : -EINTR;
}

/* Watches memory only: with no connection, whatever comes is posted by another thread. */
static bool spin_on_mail(struct fmq_socket *s, uint64_t until, unsigned seen)
{
    bool found = false;
    mutex_unlock(&s->lock);
    for (unsigned i = 1; !found; i++) {
        found = something_to_do(s, seen);
        if (i % MAIL_SPINS_PER_CLOCK == 0 && clock_now() >= until)
            break;
        cpu_relax();
    }
    mutex_lock(&s->lock);
    return found;
}

/* Spins for at most the budget. True when something happened. */
static bool spin(struct fmq_socket *s, uint64_t start, uint64_t end, unsigned seen)
{
    uint64_t now = start;
    while (now < end && !s->waiters) {
        uint64_t next_poll = s->last_poll + FULL_POLL_NS;
        uint64_t until = next_poll < end ? next_poll : end;
        bool found;
        if (now < next_poll && s->conn_count == 0)
            found = spin_on_mail(s, until, seen);
        else if (now < next_poll && s->solo)
            found = conn_spin(s->solo, until);
        else
            found = drive_pass(s, 0) != 0;
        if (found || something_to_do(s, seen))
            return true;
        now = clock_now();
    }
    return false;
}

/* A caller that comes back regularly is waited for: the lease follows its pace. */
static void take_lease(struct fmq_socket *s, uint64_t now)
{
    uint64_t lease = (now - s->last_use) * 4;
    s->lease = lease < LEASE_MIN_NS      ? LEASE_MIN_NS
               : lease < LEASE_MAX_NS    ? lease
               : s->lease > LEASE_MIN_NS ? s->lease / 2
                                         : LEASE_MIN_NS;
    s->last_use = now;
}

int socket_wait(struct fmq_socket *s, uint64_t deadline)
{
    unsigned seen = atomic_load_explicit(&s->changes, memory_order_relaxed);
    /* What this thread queued must not sit here while it waits for the answer. */
    if (!list_empty(&s->attention))
        socket_attend(s, true);
    if (s->work & WORK_REAP) {
        s->work &= ~WORK_REAP;
        socket_reap(s);
    }
    if (s->work & WORK_NOTIFY) {
        s->work &= ~WORK_NOTIFY;
        if (s->waiters)
            cond_broadcast(&s->cond);
        socket_kick(s);
    }
    if (changed(s, seen)) /* flushing made room, or a connection ended: look again */
        return 0;
    int stop = atomic_load_explicit(&s->stop, memory_order_relaxed);
    if (stop)
        return -stop;
    if (socket_has_mail(s)) {
        socket_run_mail(s);
        return 0;
    }
    if (s->driving) {
        if (deadline == 0)
            return -EAGAIN;
        return follow(s, deadline);
    }

    s->driving = true;
    int rc = 0;
    uint64_t start = clock_now();
    take_lease(s, start);
    if (deadline == 0) {
        /* What the one connection has is enough, if all others were looked at not long ago. */
        bool fresh = s->solo && start - s->last_poll < FULL_POLL_NS;
        bool recent = s->solo && start - s->last_poll < FULL_POLL_MAX_NS;
        /* A loop is told again of what is left. */
        recent = recent || (s->solo && (s->watch.hub_events & FMQ_POLLIN));
        if (!(recent && conn_spin(s->solo, 0)) && !fresh)
            drive_pass(s, 0);
        rc = -EAGAIN;
        goto out;
    }
    if (start >= deadline) {
        rc = -EAGAIN;
        goto out;
    }

    uint64_t budget = (uint64_t)s->opt.spin_us * NS_PER_US;
    /* With others waiting too, whoever comes back from spinning wakes them to do the same, for
     * ever. */
    if (budget && spin_pays(&s->spin) && !s->waiters) {
        uint64_t end = deadline - start < budget ? deadline : start + budget;
        if (spin(s, start, end, seen)) {
            spin_learn(&s->spin, true);
            goto out;
        }
        spin_learn(&s->spin, false);
        if (end == deadline)
            goto out;
    }

    /* Sleep. The order matters: first say that we sleep, then look for work once more. */
    struct heap_node *min = heap_min(&s->timers);
    uint64_t until = min && min->key < deadline ? min->key : deadline;
    uint64_t now = clock_now();
    int64_t timeout = until == CLOCK_NEVER ? -1 : until <= now ? 0 : (int64_t)(until - now);
    s->sleep_seq++;
    atomic_store(&s->asleep, true);
    if (atomic_load(&s->mailbox) || atomic_load(&s->stop) || changed(s, seen))
        timeout = 0;
    int n = drive_pass(s, timeout);
    if (n == -EINTR)
        rc = -EINTR;
    now = clock_now();
    /* A sleep that ended soon counts as short although waking up took its time. */
    spin_learn(&s->spin, n > 0 && now - start < 2 * budget);
    if (atomic_load_explicit(&s->forgotten, memory_order_relaxed)) {
        atomic_store_explicit(&s->forgotten, false, memory_order_relaxed);
        if (s->driver)
            driver_look(s->driver, s);
    }
out:
    s->last_use = clock_now();
    end_driving(s);
    if (socket_has_mail(s))
        socket_run_mail(s);
    stop = atomic_load_explicit(&s->stop, memory_order_relaxed);
    return stop ? -stop : rc;
}

/* ---- descriptors and timers ---- */

int io_watch(struct fmq_socket *s, struct io *io, uint32_t interest)
{
    int rc = 0;
    if (interest == io->interest)
        return 0;
    if (!interest)
        rc = poller_del(s->poller, io->fd);
    else if (!io->interest)
        rc = poller_add(s->poller, io->fd, interest, io);
    else
        rc = poller_mod(s->poller, io->fd, interest, io);
    if (rc == 0)
        io->interest = interest;
    return rc;
}

void io_bury(struct fmq_socket *s, struct io *io)
{
    io_watch(s, io, 0);
    io->dead = true;
    list_push_back(&s->graveyard, &io->grave);
    s->work |= WORK_REAP;
    socket_kick(s);
}

void timer_init(struct timer *t, void (*fire)(struct timer *t, uint64_t now))
{
    heap_node_init(&t->node);
    t->fire = fire;
}

void timer_set(struct fmq_socket *s, struct timer *t, uint64_t when)
{
    heap_remove(&s->timers, &t->node);
    if (when == CLOCK_NEVER)
        return;
    heap_insert(&s->timers, &t->node, when);
    if (when < s->deadline)
        s->work |= WORK_TIMER;
}

void timer_cancel(struct fmq_socket *s, struct timer *t)
{
    heap_remove(&s->timers, &t->node);
}
