/* SPDX-License-Identifier: MIT */
/*
 * A set of sockets and descriptors to wait on. Registered once, then each wait costs what is ready
 * and not what is registered: items that were ready last time are looked at directly, all others
 * through one poller that holds the sockets' pollers and the descriptors that show their readiness
 * (notify.h). A socket that is looked at directly need not show anything, and does not: showing and
 * hiding costs system calls.
 *
 * A kernel nests only so many pollers in one (epoll: one descriptor is seen through 500, and then
 * no connection can be added to the socket's poller any more). So where many sets have the same
 * socket, the later ones take it into their poller only while a thread waits there, and beyond a
 * second limit look at it from time to time.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "fastmq.h"
#include "reactor/notify.h"
#include "reactor/poll.h"
#include "reactor/reactor.h"

#define BATCH 64
#define FOLLOWER_SLICE_NS (50 * NS_PER_MS)
/* So many sets keep a socket's poller in theirs, and so many may have it there while they wait. */
#define NESTED_KEPT 64u
#define NESTED_MAX 400u
/* A socket that a waiting set cannot take into its poller is looked at this often. */
#define LOOK_NS (10 * NS_PER_MS)

struct item {
    struct list node;
    struct list check;       /* pollset.check */
    struct list guest;       /* pollset.guests: in the poller only while a thread waits */
    struct reactor *reactor; /* NULL: a descriptor, or a socket that was closed */
    const void *key;         /* the handle as registered */
    int fd;
    int events;
    void *data;
    bool dead;
    bool nested;       /* its socket's poller and signals are in this set's poller */
    bool armed;        /* its socket is to show these events by its descriptors (notify.h) */
    uint64_t reported; /* the last round of a wait that reported it */
    uint32_t interest;
};

struct fmq_pollset {
    struct mutex lock;
    struct poller *poller;
    struct list items;
    struct list check;
    struct list guests;
    struct list removed; /* removed while a thread waits */
    struct map index;    /* &socket or &fd -> item */
    uint64_t round;      /* counts the looks of all waits */
    int waiting;
    bool polling; /* a thread is in the poller */
    struct spin spin;
    int spin_us; /* the least SPIN_US of the sockets: longest busy wait; -1: no socket */
    struct cond back;
    unsigned fork_generation;
};

int fmq_pollset_new(fmq_pollset **out)
{
    struct fmq_pollset *p = mem_zalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    int rc = poller_create(&p->poller);
    if (rc) {
        mem_free(p);
        return rc;
    }
    p->fork_generation = fork_generation;
    p->spin_us = -1;
    mutex_init(&p->lock);
    cond_init(&p->back);
    list_init(&p->items);
    list_init(&p->check);
    list_init(&p->guests);
    list_init(&p->removed);
    map_init(&p->index);
    *out = p;
    return 0;
}

/* The descriptors through which the socket shows these events. */
static void unwatch_signals(struct fmq_pollset *p, struct reactor *r, int events)
{
    for (int e = FMQ_POLLIN; e <= FMQ_POLLOUT; e <<= 1)
        if (events & e)
            poller_del(p->poller, notify_signal_fd(r, e));
}

static int watch_signals(struct fmq_pollset *p, struct item *it, struct reactor *r, int events)
{
    for (int e = FMQ_POLLIN; e <= FMQ_POLLOUT; e <<= 1) {
        int rc = events & e ? poller_add(p->poller, notify_signal_fd(r, e), POLLER_IN, it) : 0;
        if (rc) {
            unwatch_signals(p, r, events & (e - 1));
            return rc;
        }
    }
    return 0;
}

/* Takes what shows the socket's readiness into the poller, unless `most` sets have it already (1).
 * 0, 1 or a negative errno. The reactor's lock is held. */
static int nest(struct fmq_pollset *p, struct item *it, struct reactor *r, unsigned most)
{
    if (it->nested)
        return 0;
    if (r->notify.nested >= most)
        return 1;
    int rc = poller_add_child(p->poller, r->poller, POLLER_IN, it);
    if (rc == 0 && (rc = watch_signals(p, it, r, it->events)) != 0)
        poller_del_child(p->poller, r->poller);
    if (rc == -EINVAL) /* the kernel's limit, whatever has used it up */
        return 1;
    it->nested = rc == 0;
    r->notify.nested += it->nested;
    return rc;
}

static void unnest(struct fmq_pollset *p, struct item *it, struct reactor *r)
{
    if (!it->nested)
        return;
    poller_del_child(p->poller, r->poller);
    unwatch_signals(p, r, it->events);
    it->nested = false;
    r->notify.nested--;
}

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
        all &= nest(p, it, r, NESTED_MAX) == 0;
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
        unnest(p, it, r);
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

/* Tells the socket what its watcher wants: `events` instead of `before` (-1: there was none). On
 * failure all is as it was. */
static int change_watch(struct fmq_pollset *p, struct item *it, struct reactor *r, int before,
                        int events)
{
    int had = before < 0 ? 0 : before;
    mutex_lock(&r->lock);
    int rc = notify_add(r, events);
    if (rc == 0 && it->nested)
        rc = watch_signals(p, it, r, events & ~had);
    else if (rc == 0 && before < 0)
        rc = nest(p, it, r, NESTED_KEPT);
    if (rc > 0) {
        list_push_back(&p->guests, &it->guest);
        rc = 0;
    } else if (rc) {
        notify_remove(r);
    }
    if (rc == 0) {
        if (it->nested)
            unwatch_signals(p, r, had & ~events);
        if (before >= 0)
            notify_remove(r);
        if (it->armed)
            notify_want(r, had, false);
        /* A present waiter sees it by its descriptors; later ones will look at it first. */
        it->armed = p->waiting > 0;
        if (it->armed)
            notify_want(r, events, true);
    }
    if (!r->finished)
        r->work |= WORK_WATCHED;
    else
        notify_update(r);
    reactor_leave(r);
    return rc;
}

static void let_go(struct fmq_pollset *p, struct item *it)
{
    struct reactor *r = it->reactor;
    if (!r)
        return;
    mutex_lock(&r->lock);
    unnest(p, it, r);
    if (it->armed)
        notify_want(r, it->events, false);
    it->armed = false;
    notify_remove(r);
    mutex_unlock(&r->lock);
    reactor_unref(r);
    it->reactor = NULL;
}

static void item_end(struct fmq_pollset *p, struct item *it)
{
    if (it->fd >= 0 && it->interest)
        poller_del(p->poller, it->fd);
    let_go(p, it);
    list_remove(&it->node);
    list_remove(&it->check);
    list_remove(&it->guest);
    it->dead = true;
    if (p->waiting)
        list_push_back(&p->removed, &it->node);
    else
        mem_free(it);
}

void fmq_pollset_free(fmq_pollset *p)
{
    if (p->fork_generation != fork_generation)
        return; /* descriptors and locks are the parent's: the memory is given up */
    LIST_FOR_SAFE(n, &p->items)
    item_end(p, LIST_ENTRY(n, struct item, node));
    LIST_FOR_SAFE(g, &p->removed)
    mem_free(LIST_ENTRY(g, struct item, node));
    map_fini(&p->index);
    poller_destroy(p->poller);
    cond_fini(&p->back);
    mutex_fini(&p->lock);
    mem_free(p);
}

/* Bits that mean nothing are left out: callers may set all. */
static int known_events(int events)
{
    return events & (FMQ_POLLIN | FMQ_POLLOUT | FMQ_POLLERR | FMQ_POLLPRI);
}

static struct item *item_new(struct fmq_pollset *p, const void *key, size_t key_len, int events,
                             void *data, int *err)
{
    struct item *it = mem_zalloc(sizeof(*it));
    if (!it) {
        *err = -ENOMEM;
        return NULL;
    }
    list_init(&it->node);
    list_init(&it->check);
    list_init(&it->guest);
    it->fd = -1;
    it->events = events;
    it->data = data;
    *err = map_put(&p->index, key, key_len, it);
    if (*err) {
        mem_free(it);
        *err = *err == -EEXIST ? -EINVAL : *err;
        return NULL;
    }
    list_push_back(&p->items, &it->node);
    return it;
}

int fmq_pollset_add(fmq_pollset *p, fmq_socket *s, int events, void *data)
{
    events = known_events(events);
    struct reactor *r = reactor_of(s);
    if (r->fork_generation != fork_generation || p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    /* Its descriptors live until it is finished, and from then on for holders of a reference. */
    mutex_lock(&r->lock);
    bool closed = r->closed;
    int spin_us = r->spin_us;
    if (!closed)
        reactor_ref(r);
    mutex_unlock(&r->lock);
    if (closed)
        return -ENOTSOCK;
    int rc;
    mutex_lock(&p->lock);
    struct item *it = item_new(p, &r, sizeof(r), events, data, &rc);
    if (it) {
        it->key = s;
        rc = change_watch(p, it, r, -1, events);
        if (rc) {
            map_del(&p->index, &r, sizeof(r));
            item_end(p, it);
        } else {
            it->reactor = r;
            list_push_back(&p->check, &it->check);
            if (p->spin_us < 0 || spin_us < p->spin_us)
                p->spin_us = spin_us;
        }
    }
    mutex_unlock(&p->lock);
    if (rc)
        reactor_unref(r);
    return rc;
}

static struct item *find_socket(struct fmq_pollset *p, struct reactor *r)
{
    return map_get(&p->index, &r, sizeof(r));
}

int fmq_pollset_modify(fmq_pollset *p, fmq_socket *s, int events)
{
    events = known_events(events);
    struct reactor *r = reactor_of(s);
    if (p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&p->lock);
    struct item *it = find_socket(p, r);
    int rc = it ? 0 : -EINVAL;
    if (it && it->reactor)
        rc = change_watch(p, it, r, it->events, events);
    if (rc == 0) {
        it->events = events;
        if (!list_linked(&it->check))
            list_push_back(&p->check, &it->check);
    }
    mutex_unlock(&p->lock);
    return rc;
}

int fmq_pollset_remove(fmq_pollset *p, fmq_socket *s)
{
    struct reactor *r = reactor_of(s);
    if (p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&p->lock);
    struct item *it = map_del(&p->index, &r, sizeof(r));
    if (it)
        item_end(p, it);
    mutex_unlock(&p->lock);
    return it ? 0 : -EINVAL;
}

static uint32_t to_poller(int events)
{
    return (events & FMQ_POLLIN ? POLLER_IN : 0) | (events & FMQ_POLLOUT ? POLLER_OUT : 0) |
           (events & FMQ_POLLPRI ? POLLER_PRI : 0) | (events & FMQ_POLLERR ? POLLER_IN : 0);
}

int fmq_pollset_add_fd(fmq_pollset *p, int fd, int events, void *data)
{
    events = known_events(events);
    if (p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    if (fd < 0)
        return -EBADF;
    int rc;
    mutex_lock(&p->lock);
    struct item *it = item_new(p, &fd, sizeof(fd), events, data, &rc);
    if (it) {
        it->fd = fd;
        it->interest = to_poller(events);
        rc = it->interest ? poller_add(p->poller, fd, it->interest, it) : 0;
        if (rc == -EPERM) { /* a regular file: always ready, as poll(2) says */
            it->interest = 0;
            list_push_back(&p->check, &it->check);
            rc = 0;
        } else if (rc) {
            it->interest = 0;
            map_del(&p->index, &fd, sizeof(fd));
            item_end(p, it);
        }
    }
    mutex_unlock(&p->lock);
    return rc;
}

int fmq_pollset_modify_fd(fmq_pollset *p, int fd, int events)
{
    events = known_events(events);
    if (p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    int rc = -EINVAL;
    mutex_lock(&p->lock);
    struct item *it = map_get(&p->index, &fd, sizeof(fd));
    if (it) {
        uint32_t interest = to_poller(events);
        rc = 0;
        if (list_linked(&it->check))
            ; /* a regular file */
        else if (interest && it->interest)
            rc = poller_mod(p->poller, fd, interest, it);
        else if (interest)
            rc = poller_add(p->poller, fd, interest, it);
        else if (it->interest)
            rc = poller_del(p->poller, fd);
        if (rc == -ENOENT && interest) /* closed since, and its number given to another file */
            rc = poller_add(p->poller, fd, interest, it);
        if (rc == 0) {
            it->events = events;
            it->interest = interest;
        }
    }
    mutex_unlock(&p->lock);
    return rc;
}

int fmq_pollset_remove_fd(fmq_pollset *p, int fd)
{
    if (p->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&p->lock);
    struct item *it = map_del(&p->index, &fd, sizeof(fd));
    if (it)
        item_end(p, it);
    mutex_unlock(&p->lock);
    return it ? 0 : -EINVAL;
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
        let_go(p, it);
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
    struct list todo;
    list_init(&todo);
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
            list_push_back(&p->check, c);
        } else if (it->fd >= 0) {
            list_push_back(&p->check, c);
        }
    }
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
