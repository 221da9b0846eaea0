/* SPDX-License-Identifier: MIT */
/*
 * poll(2), for systems that have nothing better and for tests. One lock guards the tables of all
 * pollers: a wait collects the descriptors of the whole tree below its poller, and a change in a
 * table must reach every waiter above it.
 */
#include "os/poller_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/list.h"
#include "os/clock.h"
#include "os/poll_call.h"
#include "os/sys.h"
#include "os/thread.h"
#include "os/wakeup.h"

#define INTEREST (POLLER_IN | POLLER_OUT | POLLER_PRI)

struct poll_poller;

/* A watched descriptor or child. Waits refer to entries without the lock, hence the count. */
struct entry {
    int fd;                    /* -1 for a child */
    struct poll_poller *child; /* NULL for a descriptor */
    struct poll_poller *owner;
    struct list parents; /* on child->parents */
    void *data;
    uint32_t events;
    bool armed; /* false: silent until the next mod */
    bool dead;  /* deleted while a wait refers to it */
    unsigned refs;
    uint64_t seen; /* the owner's wait that reported it last */
};

/* What a wait polls: `leaf` is the descriptor's entry, `top` the waiting poller's entry above it.
 */
struct target {
    struct entry *leaf;
    struct entry *top;
};

struct poll_poller {
    struct poller base;
    struct entry **fds; /* sorted by descriptor */
    size_t fds_len, fds_cap;
    struct entry **children;
    size_t children_len, children_cap;
    struct list parents; /* entries that watch this poller */

    struct wakeup wakeup;
    bool waiting;
    bool signalled; /* wakeup is readable */

    /* Of the one waiter. */
    struct pollfd *polled; /* polled[0] is the wake-up, polled[i + 1] belongs to targets[i] */
    struct target *targets;
    size_t targets_len, targets_cap;
    size_t turn; /* where to start reporting, so that the first ones cannot starve the rest */
    uint64_t waits;
};

static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER};

static void fork_prepare(void)
{
    mutex_lock(&lock);
}

static void fork_done(void)
{
    mutex_unlock(&lock);
}

static void setup(void)
{
    pthread_atfork(fork_prepare, fork_done, fork_done);
}

static struct poll_poller *self(struct poller *p)
{
    return (struct poll_poller *)p;
}

static int create(struct poller **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);

    struct poll_poller *p = mem_zalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    int result = wakeup_init(&p->wakeup);
    if (result < 0) {
        mem_free(p);
        return result;
    }
    p->base.ops = &poller_poll;
    list_init(&p->parents);
    *out = &p->base;
    return 0;
}

static void entry_put(struct entry *e)
{
    if (--e->refs == 0)
        mem_free(e);
}

/* Takes the table's reference. */
static void entry_drop(struct entry *e)
{
    list_remove(&e->parents);
    e->dead = true;
    e->armed = false;
    entry_put(e);
}

/* Makes every wait that covers `p` collect again. */
static void changed(struct poll_poller *p)
{
    if (p->waiting && !p->signalled) {
        p->signalled = true;
        wakeup_signal(&p->wakeup);
    }
    LIST_FOR(it, &p->parents)
    changed(LIST_ENTRY(it, struct entry, parents)->owner);
}

static bool is_above(const struct poll_poller *p, const struct poll_poller *below)
{
    if (p == below)
        return true;
    LIST_FOR(it, &below->parents)
    {
        if (is_above(p, LIST_ENTRY(it, struct entry, parents)->owner))
            return true;
    }
    return false;
}

/* The index of the descriptor's entry, or of the place where it belongs. */
static size_t find_fd(const struct poll_poller *p, int fd, bool *found)
{
    size_t lo = 0;
    size_t hi = p->fds_len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->fds[mid]->fd < fd)
            lo = mid + 1;
        else
            hi = mid;
    }
    *found = lo < p->fds_len && p->fds[lo]->fd == fd;
    return lo;
}

static size_t find_child(const struct poll_poller *p, const struct poll_poller *child, bool *found)
{
    size_t i = 0;
    while (i < p->children_len && p->children[i]->child != child)
        i++;
    *found = i < p->children_len;
    return i;
}

static int insert(struct entry ***table, size_t *len, size_t *cap, size_t at, struct entry *e)
{
    if (*len == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        struct entry **grown = mem_realloc(*table, more * sizeof(**table));
        if (!grown)
            return -ENOMEM;
        *table = grown;
        *cap = more;
    }
    memmove(*table + at + 1, *table + at, (*len - at) * sizeof(**table));
    (*table)[at] = e;
    ++*len;
    return 0;
}

static void remove_at(struct entry **table, size_t *len, size_t at)
{
    entry_drop(table[at]);
    --*len;
    memmove(table + at, table + at + 1, (*len - at) * sizeof(*table));
}

static struct entry *entry_new(struct poll_poller *p, uint32_t events, void *data)
{
    struct entry *e = mem_zalloc(sizeof(*e));
    if (!e)
        return NULL;
    e->fd = -1;
    e->owner = p;
    e->events = events;
    e->data = data;
    e->armed = true;
    e->refs = 1;
    list_init(&e->parents);
    return e;
}

static int add(struct poller *base, int fd, uint32_t events, void *data)
{
    struct poll_poller *p = self(base);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* Always ready, so of no use here; epoll refuses them in the same way. */
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    struct entry *e = entry_new(p, events, data);
    if (!e)
        return -ENOMEM;
    e->fd = fd;

    mutex_lock(&lock);
    bool found;
    size_t at = find_fd(p, fd, &found);
    int result = found ? -EEXIST : insert(&p->fds, &p->fds_len, &p->fds_cap, at, e);
    if (result == 0)
        changed(p);
    mutex_unlock(&lock);
    if (result < 0)
        mem_free(e);
    return result;
}

static void modify(struct entry *e, uint32_t events, void *data)
{
    e->events = events;
    e->data = data;
    e->armed = true;
    changed(e->owner);
}

static int mod(struct poller *base, int fd, uint32_t events, void *data)
{
    struct poll_poller *p = self(base);
    mutex_lock(&lock);
    bool found;
    size_t at = find_fd(p, fd, &found);
    if (found)
        modify(p->fds[at], events, data);
    mutex_unlock(&lock);
    return found ? 0 : -ENOENT;
}

static int del(struct poller *base, int fd)
{
    struct poll_poller *p = self(base);
    mutex_lock(&lock);
    bool found;
    size_t at = find_fd(p, fd, &found);
    if (found) {
        remove_at(p->fds, &p->fds_len, at);
        changed(p);
    }
    mutex_unlock(&lock);
    return found ? 0 : -ENOENT;
}

static int add_child(struct poller *base, struct poller *child_base, uint32_t events, void *data)
{
    struct poll_poller *p = self(base);
    struct poll_poller *child = self(child_base);
    struct entry *e = entry_new(p, events, data);
    if (!e)
        return -ENOMEM;
    e->child = child;

    mutex_lock(&lock);
    bool found;
    int result;
    (void)find_child(p, child, &found);
    if (found)
        result = -EEXIST;
    else if (is_above(child, p))
        result = -ELOOP;
    else
        result = insert(&p->children, &p->children_len, &p->children_cap, p->children_len, e);
    if (result == 0) {
        list_push_back(&child->parents, &e->parents);
        changed(p);
    }
    mutex_unlock(&lock);
    if (result < 0)
        mem_free(e);
    return result;
}

static int mod_child(struct poller *base, struct poller *child, uint32_t events, void *data)
{
    struct poll_poller *p = self(base);
    mutex_lock(&lock);
    bool found;
    size_t at = find_child(p, self(child), &found);
    if (found)
        modify(p->children[at], events, data);
    mutex_unlock(&lock);
    return found ? 0 : -ENOENT;
}

static void forget_child(struct poll_poller *p, struct poll_poller *child)
{
    bool found;
    size_t at = find_child(p, child, &found);
    if (found)
        remove_at(p->children, &p->children_len, at);
}

static int del_child(struct poller *base, struct poller *child)
{
    struct poll_poller *p = self(base);
    mutex_lock(&lock);
    bool found;
    (void)find_child(p, self(child), &found);
    if (found) {
        forget_child(p, self(child));
        changed(p);
    }
    mutex_unlock(&lock);
    return found ? 0 : -ENOENT;
}

static void destroy(struct poller *base)
{
    struct poll_poller *p = self(base);
    mutex_lock(&lock);
    while (!list_empty(&p->parents)) {
        struct poll_poller *owner = LIST_ENTRY(p->parents.next, struct entry, parents)->owner;
        changed(owner);
        forget_child(owner, p);
    }
    while (p->fds_len)
        remove_at(p->fds, &p->fds_len, p->fds_len - 1);
    while (p->children_len)
        remove_at(p->children, &p->children_len, p->children_len - 1);
    mutex_unlock(&lock);
    wakeup_fini(&p->wakeup);
    mem_free(p->fds);
    mem_free(p->children);
    mem_free(p->polled);
    mem_free(p->targets);
    mem_free(p);
}

static int no_fd(const struct poller *p)
{
    (void)p;
    return -1;
}

static uint32_t from_poll(int mask, uint32_t interest)
{
    uint32_t events = poll_call_found(mask);
    uint32_t error = events & POLLER_ERR ? POLLER_ERR | POLLER_IN : 0;
    return (events & interest) | error; /* the interest may have changed since */
}

static int targets_grow(struct poll_poller *p)
{
    size_t cap = p->targets_cap ? p->targets_cap * 2 : 16;
    struct target *targets = mem_realloc(p->targets, cap * sizeof(*targets));
    if (!targets)
        return -ENOMEM;
    p->targets = targets;
    struct pollfd *polled = mem_realloc(p->polled, (cap + 1) * sizeof(*polled));
    if (!polled)
        return -ENOMEM;
    p->polled = polled;
    p->targets_cap = cap;
    return 0;
}

/* Adds what is armed in `from` to the targets of the waiting `p`; top is NULL at the tree's root.
 */
static int collect(struct poll_poller *p, const struct poll_poller *from, struct entry *top)
{
    for (size_t i = 0; i < from->fds_len; i++) {
        struct entry *e = from->fds[i];
        if (!e->armed)
            continue;
        if (p->targets_len == p->targets_cap && targets_grow(p) < 0)
            return -ENOMEM;
        struct target t = {.leaf = e, .top = top ? top : e};
        t.leaf->refs++;
        t.top->refs++;
        p->targets[p->targets_len++] = t;
        p->polled[p->targets_len] =
            (struct pollfd){.fd = e->fd, .events = poll_call_wanted(e->events)};
    }
    for (size_t i = 0; i < from->children_len; i++) {
        struct entry *e = from->children[i];
        if (!e->armed || !(e->events & POLLER_IN))
            continue;
        int result = collect(p, e->child, top ? top : e);
        if (result < 0)
            return result;
    }
    return 0;
}

static void release(struct poll_poller *p)
{
    for (size_t i = 0; i < p->targets_len; i++) {
        entry_put(p->targets[i].leaf);
        entry_put(p->targets[i].top);
    }
    p->targets_len = 0;
}

/* Reports one target; returns the new number of events. */
static int report(struct poll_poller *p, const struct target *t, int mask,
                  struct poller_event *events, int n, int max)
{
    struct entry *leaf = t->leaf;
    struct entry *top = t->top;
    if (leaf->dead || top->dead)
        return n;
    if (mask & POLLNVAL) { /* closed without a del; epoll forgets such ones too */
        leaf->armed = false;
        return n;
    }
    uint32_t found = from_poll(mask, leaf->events);
    if (!leaf->armed || !found)
        return n;
    if (leaf != top) {
        if (top->seen == p->waits)
            return n; /* by another descriptor of the same child */
        if (!top->armed)
            return n;
        found = POLLER_IN;
    }
    if (n == max)
        return n;
    top->seen = p->waits;
    events[n].data = top->data;
    events[n].events = found;
    /* Who asks for nothing hears of an error once, or every wait would end at once. */
    if ((top->events & POLLER_ONESHOT) || !(top->events & INTEREST))
        top->armed = false;
    return n + 1;
}

static int report_all(struct poll_poller *p, struct poller_event *events, int max)
{
    int n = 0;
    size_t len = p->targets_len;
    size_t at = len ? p->turn % len : 0;
    for (size_t i = 0; i < len; i++) {
        if (p->polled[at + 1].revents) {
            n = report(p, &p->targets[at], p->polled[at + 1].revents, events, n, max);
            p->turn = at + 1;
            if (n == max)
                break;
        }
        at = at + 1 == len ? 0 : at + 1;
    }
    return n;
}

/* One round with the lock held, which is let go while it sleeps. -EAGAIN: the tables changed. */
static int round_once(struct poll_poller *p, struct poller_event *events, int max,
                      int64_t timeout_ns)
{
    int result = 0;
    if (!p->targets_cap)
        result = targets_grow(p);
    if (result == 0)
        result = collect(p, p, NULL);
    if (result < 0) {
        release(p);
        return result;
    }
    p->polled[0] = (struct pollfd){.fd = p->wakeup.rfd, .events = POLLIN};
    size_t len = p->targets_len + 1;
    p->waiting = true;
    mutex_unlock(&lock);

    int n = poll_call(p->polled, len, timeout_ns);
    int err = errno;

    mutex_lock(&lock);
    p->waiting = false;
    bool again = p->signalled;
    if (p->signalled) {
        p->signalled = false;
        wakeup_drain(&p->wakeup);
    }
    p->waits++;
    if (n < 0) {
        result = -err;
    } else {
        result = n ? report_all(p, events, max) : 0;
        /* Found ready but not reported: someone else was faster, so look again. */
        if (result == 0 && (again || n > 0))
            result = -EAGAIN;
    }
    release(p);
    return result;
}

static int wait_events(struct poller *base, struct poller_event *events, int max,
                       int64_t timeout_ns)
{
    struct poll_poller *p = self(base);
    uint64_t deadline = timeout_ns > 0 ? clock_now() + (uint64_t)timeout_ns : 0;
    mutex_lock(&lock);
    int n;
    while ((n = round_once(p, events, max, timeout_ns)) == -EAGAIN) {
        if (timeout_ns > 0) {
            uint64_t now = clock_now();
            timeout_ns = now < deadline ? (int64_t)(deadline - now) : 0;
        }
    }
    mutex_unlock(&lock);
    return n;
}

static unsigned held(const struct poller *base)
{
    const struct wakeup *w = &((const struct poll_poller *)base)->wakeup;
    return 1u + (w->wfd != w->rfd);
}

const struct poller_ops poller_poll = {
    .name = "poll",
    .create = create,
    .destroy = destroy,
    .fd = no_fd,
    .held = held,
    .add = add,
    .mod = mod,
    .del = del,
    .add_child = add_child,
    .mod_child = mod_child,
    .del_child = del_child,
    .wait = wait_events,
};
