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
/* So many sockets are looked at while the thread spins; if there are more, their descriptors show
 * what comes. */
#define HOT_MAX 8
/* Only those are that were reported within so many looks. */
#define HOT_ROUNDS 32
/* Between two looks at everything else, and where there is nothing else. */
#define SLICE_NS (2 * NS_PER_US)
#define SLICE_ALONE_NS (10 * NS_PER_US)

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

/* Which sockets that have nothing are looked at again instead of showing what comes: the thread
 * spins on them, or only looks and will come again. */
struct again {
    unsigned places; /* for so many more */
    uint64_t since;  /* and which were reported in this round or later; 0: for any */
};

/* The wanted events of a socket now, after a look at the network if none is known of. From then on
 * it shows them by its descriptors if there are none, unless it is to be looked at again, or if
 * another thread waits here, too. `fired`: its poller has shown something. That may be a late
 * wake-up for input that was read already, and is shown again until it is taken. */
static int look_at_socket(struct fmq_pollset *p, struct item *it, struct again *again, bool fired)
{
    struct reactor *r = it->reactor;
    int rc = reactor_enter(r);
    if (rc)
        return rc;
    rc = r->ops->events(r) & it->events;
    if (!rc) {
        if (fired && !list_empty(&r->quiet))
            reactor_asks_poller(r);
        rc = reactor_wait(r, 0);
        if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
            rc = r->ops->events(r) & it->events;
    }
    /* Room to write is not spun for. */
    bool hot = again->places && it->reported >= again->since && (it->events & FMQ_POLLIN);
    bool arm = p->waiting > 1 || (rc == 0 && !hot);
    if (rc == 0 && !arm)
        again->places--;
    if (rc >= 0)
        pollset_arm(it, r, arm);
    reactor_leave(r);
    return rc;
}

/* The wanted events of an item now. */
static int look(struct fmq_pollset *p, struct item *it, struct again *again, bool fired)
{
    if (!it->reactor)
        return it->fd >= 0 ? it->events & (FMQ_POLLIN | FMQ_POLLOUT) : -ENOTSOCK;
    int rc = look_at_socket(p, it, again, fired);
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
static int check_known(struct fmq_pollset *p, uint64_t round, struct again *again,
                       struct fmq_pollevent *out, int max, int *err)
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
        int rc = look(p, it, again, false);
        if (rc < 0) {
            *err = rc;
            list_push_back(&p->check, c);
        } else if (rc) {
            n = report(it, round, rc, out, n);
            list_push_back(&told, c);
        } else if (it->fd >= 0 || !it->armed) {
            list_push_back(&p->check, c);
        }
    }
    for (struct list *c; (c = list_pop_front(&told));)
        list_push_back(&p->check, c);
    return n;
}

static int check_polled(struct fmq_pollset *p, uint64_t round, struct again *again,
                        struct poller_event *events, int count, struct fmq_pollevent *out, int n,
                        int max, int *err)
{
    for (int i = 0; i < count && n < max && !*err; i++) {
        struct item *it = events[i].data;
        if (it->dead || it->reported == round)
            continue;
        int rc;
        if (it->fd >= 0) {
            rc = from_poller(events[i].events, it->events);
        } else {
            rc = look(p, it, again, true);
            /* An error is reported again and again, too. */
            if ((rc || !it->armed) && !list_linked(&it->check))
                list_push_back(&p->check, &it->check);
        }
        if (rc < 0)
            *err = rc;
        else if (rc)
            n = report(it, round, rc, out, n);
    }
    return n;
}

/* ---- spinning on sockets ---- */

enum spun { SPUN_NOTHING, SPUN_SOCKET, SPUN_POLLER };

struct hot {
    struct reactor *reactor[HOT_MAX];
    int events[HOT_MAX];
    unsigned count;
};

/* The sockets that are looked at directly, with a reference to each. False: too many. */
static bool gather_hot(struct fmq_pollset *p, struct hot *h)
{
    h->count = 0;
    LIST_FOR(n, &p->check)
    {
        struct item *it = LIST_ENTRY(n, struct item, check);
        if (!it->reactor || it->armed)
            continue;
        if (h->count == HOT_MAX)
            return false;
        h->reactor[h->count] = it->reactor;
        h->events[h->count++] = it->events;
    }
    for (unsigned i = 0; i < h->count; i++)
        reactor_ref(h->reactor[i]);
    return true;
}

/* Whether a socket has its events, or an error, by `until`. */
static bool spin_on_socket(struct reactor *r, int events, uint64_t until)
{
    int rc = reactor_enter(r);
    if (rc)
        return true;
    bool found = (r->ops->events(r) & events) != 0;
    if (!found) {
        rc = reactor_spin(r, until);
        found = (rc && rc != -EAGAIN) || (r->ops->events(r) & events) != 0;
    }
    reactor_leave(r);
    return found;
}

/* Looks at the sockets, and at the poller for all else, until something is there. p->polling is
 * set, the lock is not held. */
static enum spun spin_on_sockets(struct fmq_pollset *p, const struct hot *h, bool alone,
                                 uint64_t until)
{
    uint64_t slice = alone ? SLICE_ALONE_NS : SLICE_NS / h->count;
    for (uint64_t now = clock_now(); now < until; now = clock_now()) {
        for (unsigned i = 0; i < h->count; i++)
            if (spin_on_socket(h->reactor[i], h->events[i], clock_now() + slice))
                return SPUN_SOCKET;
        struct poller_event event;
        if (poller_wait(p->poller, &event, 1, 0) != 0) /* it is asked again for what it has */
            return SPUN_POLLER;
    }
    return SPUN_NOTHING;
}

/* The same with the lock held. */
static enum spun spin_here(struct fmq_pollset *p, struct hot *h, uint64_t until)
{
    bool alone = p->index.len == 1;
    p->polling = true;
    mutex_unlock(&p->lock);
    enum spun what = spin_on_sockets(p, h, alone, until);
    for (unsigned i = 0; i < h->count; i++)
        reactor_unref(h->reactor[i]);
    mutex_lock(&p->lock);
    p->polling = false;
    cond_broadcast(&p->back);
    return what;
}

/* ---- waiting ---- */

/* Of a set of many sockets only those are looked at again that had something of late: a wait must
 * not take longer for each socket that is silent. */
static struct again looks_again(const struct fmq_pollset *p, int timeout_ms)
{
    struct again again = {0};
    if (p->waiting > 1 || p->polling || p->spin_us <= 0)
        return again;
    if (timeout_ms && spin_pays(&p->spin)) {
        again.places = HOT_MAX;
        again.since = p->round > HOT_ROUNDS ? p->round - HOT_ROUNDS : 1;
    } else if (!timeout_ms && p->index.len <= HOT_MAX) {
        again.places = HOT_MAX;
    }
    return again;
}

/* The poller's events: spins first where that pays. *quick: they came so soon that it does, if they
 * are worth telling. p->polling is set, the lock is not held. */
static int wait_for_events(struct fmq_pollset *p, struct poller_event *events, uint64_t now,
                           int64_t timeout, uint64_t budget, bool spins, bool *quick)
{
    if (timeout > 0 && (uint64_t)timeout < budget)
        budget = (uint64_t)timeout;
    uint64_t spun = now;
    int count;
    if (budget && spins && spin_pays(&p->spin)) {
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
    uint64_t spin_until = 0; /* 0: it has not spun on sockets */
    bool spins = true, found = false;
    mutex_lock(&p->lock);
    p->waiting++;
    for (;;) {
        uint64_t round = ++p->round;
        uint64_t budget = p->spin_us > 0 ? (uint64_t)p->spin_us * NS_PER_US : 0;
        struct again again = {0};
        if (spins)
            again = looks_again(p, timeout_ms);
        bool hot = again.places > 0;
        check_guests(p);
        n = check_known(p, round, &again, out, max, &err);
        if (n && found)
            spin_learn(&p->spin, true);
        struct poller_event events[BATCH];
        uint64_t now = n || err ? 0 : clock_now();
        int64_t timeout = n || err                  ? 0
                          : deadline == CLOCK_NEVER ? -1
                          : now >= deadline         ? 0
                                                    : (int64_t)(deadline - now);
        bool last = !n && timeout == 0;
        bool peeked = false;
        struct hot h;
        if (hot && timeout) {
            bool few = gather_hot(p, &h);
            if (few && h.count) {
                if (!spin_until)
                    spin_until = timeout < 0 || (uint64_t)timeout > budget
                                     ? now + budget
                                     : now + (uint64_t)timeout;
                enum spun what = spin_here(p, &h, spin_until);
                found = what == SPUN_SOCKET;
                peeked = what == SPUN_POLLER;
                if (what == SPUN_NOTHING) {
                    spins = false;
                    spin_learn(&p->spin, false);
                }
                if (!peeked)
                    continue;
                timeout = 0;
            } else if (!few) {
                spins = false; /* they have to be armed */
                continue;
            }
        }
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
        bool waited = peeked || (timeout && !p->polling), quick = peeked;
        /* More than a batch may be ready, and pollers give the rest first when asked again. */
        for (size_t asked = 0; !p->polling && asked < p->index.len + BATCH; asked += BATCH) {
            p->polling = true;
            mutex_unlock(&p->lock);
            count = timeout && asked == 0
                        ? wait_for_events(p, events, now, timeout, budget, spins, &quick)
                        : poller_wait(p->poller, events, BATCH, 0);
            mutex_lock(&p->lock);
            p->polling = false;
            cond_broadcast(&p->back);
            if (count > 0)
                n = check_polled(p, round, &again, events, count, out, n, max, &err);
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
