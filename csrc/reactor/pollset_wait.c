/* SPDX-License-Identifier: MIT */
/* A thread waits on a set of sockets and descriptors (pollset.h). */
#include "base/alloc.h"
#include "fastmq.h"
#include "reactor/notify.h"
#include "reactor/poll.h"
#include "reactor/pollset.h"
#include "reactor/reactor.h"

#define BATCH 64
#define FOLLOWER_SLICE_NS (50 * NS_PER_MS)
/* So many sets may have a socket's poller in theirs while they wait. */
#define NESTED_MAX 400u
/* A socket that a waiting set cannot take into its poller is looked at this often. */
#define LOOK_NS (10 * NS_PER_MS)

/* The thread is going to sleep in the poller. False: not all sockets could be taken into it. */
static bool nest_guests(struct fmq_pollset *p)
{
    bool all = true;
    LIST_FOR(n, &p->guests)
    {
        struct item *it = LIST_ENTRY(n, struct item, guest);
        struct reactor *r = it->reactor;
        if (!r || it->nested)
            continue;
        mutex_lock(&r->lock);
        all &= pollset_nest(p, it, r, NESTED_MAX) == 0;
        mutex_unlock(&r->lock);
    }
    return all;
}

static void unnest_guests(struct fmq_pollset *p)
{
    LIST_FOR(n, &p->guests)
    {
        struct item *it = LIST_ENTRY(n, struct item, guest);
        struct reactor *r = it->reactor;
        if (!r || !it->nested)
            continue;
        mutex_lock(&r->lock);
        pollset_unnest(p, it, r);
        mutex_unlock(&r->lock);
    }
}

/* What is not in the poller has to be looked at. */
static void check_guests(struct fmq_pollset *p)
{
    LIST_FOR(n, &p->guests)
    {
        struct item *it = LIST_ENTRY(n, struct item, guest);
        if (!it->nested && !list_linked(&it->check))
            list_push_back(&p->check, &it->check);
    }
}

/* The wanted events of a socket now, after a look at the network if none is known of. From then on
 * it shows them by its descriptors if there are none, or if another thread waits here, too. */
static int look_at_socket(struct fmq_pollset *p, struct item *it)
{
    struct reactor *r = it->reactor;
    int rc = reactor_enter(r);
    if (rc)
        return rc;
    rc = r->ops->events(r) & it->events;
    if (!rc) {
        rc = reactor_wait(r, 0);
        if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
            rc = r->ops->events(r) & it->events;
    }
    bool arm = rc == 0 || p->waiting > 1;
    if (rc >= 0 && arm != it->armed) {
        notify_want(r, it->events, arm);
        it->armed = arm;
    }
    reactor_leave(r);
    return rc;
}

/* The wanted events of an item now. */
static int look(struct fmq_pollset *p, struct item *it)
{
    if (!it->reactor)
        return it->fd >= 0 ? it->events & (FMQ_POLLIN | FMQ_POLLOUT) : -ENOTSOCK;
    int rc = look_at_socket(p, it);
    if (rc == -ENOTSOCK)
        pollset_let_go(p, it);
    return rc;
}

static int from_poller(uint32_t events, int wanted)
{
    int out = 0;
    if (events & POLLER_IN)
        out |= FMQ_POLLIN;
    if (events & POLLER_OUT)
        out |= FMQ_POLLOUT;
    if (events & POLLER_PRI)
        out |= FMQ_POLLPRI;
    if (events & POLLER_ERR)
        out |= FMQ_POLLERR;
    return out & (wanted | FMQ_POLLERR);
}

static int report(struct item *it, uint64_t round, int events, struct fmq_pollevent *out, int n)
{
    out[n].data = it->data;
    out[n].events = events;
    it->reported = round;
    return n + 1;
}

/* The items that may be ready without any descriptor showing it. */
static int check_known(struct fmq_pollset *p, uint64_t round, struct fmq_pollevent *out, int max,
                       int *err)
{
    int n = 0;
    struct list todo, told; /* what was told comes last in the next round */
    list_init(&todo);
    list_init(&told);
    for (struct list *c; (c = list_pop_front(&p->check));)
        list_push_back(&todo, c);
    for (struct list *c; (c = list_pop_front(&todo));) {
        struct item *it = LIST_ENTRY(c, struct item, check);
        if (n == max || *err) {
            list_push_back(&p->check, c);
            continue;
        }
        int rc = look(p, it);
        if (rc < 0) {
            *err = rc;
            list_push_back(&p->check, c);
        } else if (rc) {
            n = report(it, round, rc, out, n);
            list_push_back(&told, c);
        } else if (it->fd >= 0) {
            list_push_back(&p->check, c);
        }
    }
    for (struct list *c; (c = list_pop_front(&told));)
        list_push_back(&p->check, c);
    return n;
}

static int check_polled(struct fmq_pollset *p, uint64_t round, struct poller_event *events,
                        int count, struct fmq_pollevent *out, int n, int max, int *err)
{
    for (int i = 0; i < count && n < max && !*err; i++) {
        struct item *it = events[i].data;
        if (it->dead || it->reported == round)
            continue;
        int rc;
        if (it->fd >= 0) {
            rc = from_poller(events[i].events, it->events);
        } else {
            rc = look(p, it);
            if (rc && !list_linked(&it->check)) /* an error is reported again and again, too */
                list_push_back(&p->check, &it->check);
        }
        if (rc < 0)
            *err = rc;
        else if (rc)
            n = report(it, round, rc, out, n);
    }
    return n;
}

/* The poller's events: spins first where that pays. *quick: they came so soon that it does, if they
 * are worth telling. p->polling is set, the lock is not held. */
static int wait_for_events(struct fmq_pollset *p, struct poller_event *events, uint64_t now,
                           int64_t timeout, uint64_t budget, bool *quick)
{
    if (timeout > 0 && (uint64_t)timeout < budget)
        budget = (uint64_t)timeout;
    uint64_t spun = now;
    int count;
    if (budget && spin_pays(&p->spin)) {
        while ((count = poller_wait(p->poller, events, BATCH, 0)) == 0 && spun < now + budget)
            spun = clock_now();
        *quick = count > 0;
        if (count)
            return count;
        spin_learn(&p->spin, false);
    }
    int64_t left = timeout < 0 ? timeout : timeout - (int64_t)(spun - now);
    count = poller_wait(p->poller, events, BATCH, timeout > 0 && left < 0 ? 0 : left);
    /* A sleep that ended soon counts as short although waking up took its time. */
    *quick = count > 0 && clock_now() - now < 2 * budget;
    return count;
}

int fmq_pollset_wait(fmq_pollset *p, struct fmq_pollevent *out, int max, int timeout_ms)
{
    if (p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    uint64_t deadline =
        timeout_ms < 0 ? CLOCK_NEVER : clock_now() + (uint64_t)timeout_ms * NS_PER_MS;
    int n, err = 0;
    mutex_lock(&p->lock);
    p->waiting++;
    for (;;) {
        uint64_t round = ++p->round;
        check_guests(p);
        n = check_known(p, round, out, max, &err);
        struct poller_event events[BATCH];
        uint64_t now = n || err ? 0 : clock_now();
        int64_t timeout = n || err                  ? 0
                          : deadline == CLOCK_NEVER ? -1
                          : now >= deadline         ? 0
                                                    : (int64_t)(deadline - now);
        bool last = !n && timeout == 0;
        if (timeout && !nest_guests(p) && (timeout < 0 || timeout > (int64_t)LOOK_NS))
            timeout = (int64_t)LOOK_NS;
        if (p->polling && timeout != 0) {
            /* The poller has one waiter at a time; this thread looks again when that one is back.
             */
            uint64_t slice =
                deadline - now < FOLLOWER_SLICE_NS ? deadline - now : FOLLOWER_SLICE_NS;
            if (!cond_wait(&p->back, &p->lock, (int64_t)slice) && slice == FOLLOWER_SLICE_NS) {
                err = -EINTR; /* lets signal handlers run */
                break;
            }
            continue;
        }
        int count = 0;
        bool waited = timeout && !p->polling, quick = false;
        /* More than a batch may be ready, and pollers give the rest first when asked again. */
        for (size_t asked = 0; !p->polling && asked < p->index.len + BATCH; asked += BATCH) {
            uint64_t budget = p->spin_us > 0 ? (uint64_t)p->spin_us * NS_PER_US : 0;
            p->polling = true;
            mutex_unlock(&p->lock);
            count = timeout && asked == 0 ? wait_for_events(p, events, now, timeout, budget, &quick)
                                          : poller_wait(p->poller, events, BATCH, 0);
            mutex_lock(&p->lock);
            p->polling = false;
            cond_broadcast(&p->back);
            if (count > 0)
                n = check_polled(p, round, events, count, out, n, max, &err);
            if (count < BATCH || n == max || err)
                break;
        }
        /* Not for what showed the program nothing: a piece that was written of a large message
         * leaves more to do if it is left for a while. */
        if (waited)
            spin_learn(&p->spin, quick && n);
        if (n || err)
            break;
        if (count < 0) {
            err = poller_may_retry(count) ? count : -FMQ_EBROKEN;
            break;
        }
        if (last)
            break;
    }
    if (--p->waiting == 0)
        unnest_guests(p);
    if (p->waiting == 0)
        for (struct list *g; (g = list_pop_front(&p->removed));)
            mem_free(LIST_ENTRY(g, struct item, node));
    mutex_unlock(&p->lock);
    return n ? n : err;
}
