/* SPDX-License-Identifier: MIT */
/*
 * A kqueue knows filters, not descriptors: reading and writing are watched and reported apart. The
 * table of interests joins them into one event, and makes ONESHOT silence both.
 */
#include "os/poller_ops.h"

#ifdef POLLER_HAVE_KQUEUE

#include <sys/types.h> /* the BSDs' event.h leans on it */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "os/fdset.h"
#include "os/thread.h"

#define BATCH_MAX 128 /* kevents taken in one wait; they live on the stack */

/* macOS reports urgent data through a filter of its own. */
#ifdef EVFILT_EXCEPT
#define PRI_FILTER EVFILT_EXCEPT
#define PRI_NOTE NOTE_OOB
#else
#define PRI_FILTER 0
#define PRI_NOTE 0
#endif

struct entry {
    int fd;
    uint32_t events;
    uint32_t active; /* filters that the kernel has */
    bool armed;
    void *data;
    uint64_t seen; /* the wait that reported it last, at `slot` */
    int slot;
};

struct kqueue_poller {
    struct poller base;
    int fd;
    struct mutex lock;     /* the table, and the order of changes in the kernel */
    struct entry *entries; /* sorted by descriptor */
    size_t len, cap;
    uint64_t waits;
};

static struct kqueue_poller *self(struct poller *p)
{
    return (struct kqueue_poller *)p;
}

static int kqueue_of(const struct poller *p)
{
    return ((const struct kqueue_poller *)p)->fd;
}

static int open_kqueue(void)
{
    int fd = kqueue();
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static int create(struct poller **out)
{
    struct kqueue_poller *p = mem_zalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    fdset_lock();
    int fd = fdset_finish(open_kqueue());
    if (fd < 0) {
        mem_free(p);
        return fd;
    }
    p->base.ops = &poller_kqueue;
    p->fd = fd;
    mutex_init(&p->lock);
    *out = &p->base;
    return 0;
}

static void destroy(struct poller *base)
{
    struct kqueue_poller *p = self(base);
    fdset_close(p->fd);
    mutex_fini(&p->lock);
    mem_free(p->entries);
    mem_free(p);
}

static size_t find(const struct kqueue_poller *p, int fd, bool *found)
{
    size_t lo = 0;
    size_t hi = p->len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->entries[mid].fd < fd)
            lo = mid + 1;
        else
            hi = mid;
    }
    *found = lo < p->len && p->entries[lo].fd == fd;
    return lo;
}

static int insert(struct kqueue_poller *p, size_t at, const struct entry *e)
{
    if (p->len == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        struct entry *grown = mem_realloc(p->entries, cap * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        p->entries = grown;
        p->cap = cap;
    }
    memmove(p->entries + at + 1, p->entries + at, (p->len - at) * sizeof(*p->entries));
    p->entries[at] = *e;
    p->len++;
    return 0;
}

static void remove_at(struct kqueue_poller *p, size_t at)
{
    p->len--;
    memmove(p->entries + at, p->entries + at + 1, (p->len - at) * sizeof(*p->entries));
}

static int change(struct kqueue_poller *p, int fd, short filter, unsigned short flags,
                  unsigned fflags)
{
    struct kevent kev;
    EV_SET(&kev, fd, filter, flags, fflags, 0, NULL);
    int n;
    do {
        n = kevent(p->fd, &kev, 1, NULL, 0, NULL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* Makes the kernel watch `want`. EV_ADD of what is there already is harmless, and it looks at the
 * descriptor anew; EV_DELETE fails only when the descriptor is gone. */
static int sync_filters(struct kqueue_poller *p, struct entry *e, uint32_t want)
{
    static const struct {
        uint32_t bit;
        short filter;
        unsigned fflags;
    } filters[] = {
        {POLLER_IN, EVFILT_READ, 0},
        {POLLER_OUT, EVFILT_WRITE, 0},
        {POLLER_PRI, PRI_FILTER, PRI_NOTE},
    };
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        uint32_t bit = filters[i].bit;
        if (!filters[i].filter)
            continue;
        if (want & bit) {
            int result = change(p, e->fd, filters[i].filter, EV_ADD | EV_ENABLE, filters[i].fflags);
            if (result < 0)
                return result;
            e->active |= bit;
        } else if (e->active & bit) {
            (void)change(p, e->fd, filters[i].filter, EV_DELETE, 0);
            e->active &= ~bit;
        }
    }
    return 0;
}

static int add(struct poller *base, int fd, uint32_t events, void *data)
{
    struct kqueue_poller *p = self(base);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* Always ready, so of no use here; epoll refuses them in the same way. */
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    struct entry e = {.fd = fd, .events = events, .armed = true, .data = data};

    mutex_lock(&p->lock);
    bool found;
    size_t at = find(p, fd, &found);
    int result = found ? -EEXIST : insert(p, at, &e);
    if (result == 0) {
        result = sync_filters(p, &p->entries[at], events);
        if (result < 0) {
            (void)sync_filters(p, &p->entries[at], 0);
            remove_at(p, at);
        }
    }
    mutex_unlock(&p->lock);
    return result;
}

static int mod(struct poller *base, int fd, uint32_t events, void *data)
{
    struct kqueue_poller *p = self(base);
    int result = -ENOENT;
    mutex_lock(&p->lock);
    bool found;
    size_t at = find(p, fd, &found);
    if (found) {
        struct entry *e = &p->entries[at];
        e->events = events;
        e->data = data;
        e->armed = true;
        result = sync_filters(p, e, events);
    }
    mutex_unlock(&p->lock);
    return result;
}

static int del(struct poller *base, int fd)
{
    struct kqueue_poller *p = self(base);
    mutex_lock(&p->lock);
    bool found;
    size_t at = find(p, fd, &found);
    if (found) {
        (void)sync_filters(p, &p->entries[at], 0);
        remove_at(p, at);
    }
    mutex_unlock(&p->lock);
    return found ? 0 : -ENOENT;
}

static uint32_t from_kevent(const struct kevent *kev)
{
    if (kev->flags & EV_ERROR)
        return POLLER_ERR | POLLER_IN;
    bool eof = kev->flags & EV_EOF;
    if (kev->filter == EVFILT_READ) /* the end of a stream is read; fflags is a socket's error */
        return POLLER_IN | (eof && kev->fflags ? POLLER_ERR : 0);
    if (kev->filter == EVFILT_WRITE) /* nobody reads at the other end any more */
        return POLLER_OUT | (eof ? POLLER_ERR | POLLER_IN : 0);
    return POLLER_PRI;
}

/* Joins a kevent into the events found so far; returns their new number. */
static int report(struct kqueue_poller *p, const struct kevent *kev, struct poller_event *events,
                  int n, int max)
{
    bool found;
    size_t at = find(p, (int)kev->ident, &found);
    if (!found)
        return n; /* deleted after the kernel had reported it */
    struct entry *e = &p->entries[at];
    uint32_t bits = from_kevent(kev);
    if (e->seen == p->waits) {
        events[e->slot].events |= bits;
        return n;
    }
    if (!e->armed || !(bits & (e->events | POLLER_ERR)) || n == max)
        return n;
    e->seen = p->waits;
    e->slot = n;
    events[n].data = e->data;
    events[n].events = bits;
    if (e->events & POLLER_ONESHOT) {
        e->armed = false;
        (void)sync_filters(p, e, 0);
    }
    return n + 1;
}

static int wait_once(struct kqueue_poller *p, struct poller_event *events, int max,
                     int64_t timeout_ns)
{
    struct kevent kev[BATCH_MAX];
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / (int64_t)NS_PER_S),
                          .tv_nsec = (long)(timeout_ns % (int64_t)NS_PER_S)};
    /* No more than `max` kevents are taken, and each makes one event at most: none is lost. */
    int got =
        kevent(p->fd, NULL, 0, kev, max < BATCH_MAX ? max : BATCH_MAX, timeout_ns < 0 ? NULL : &ts);
    if (got < 0)
        return -errno;
    int n = 0;
    mutex_lock(&p->lock);
    p->waits++;
    for (int i = 0; i < got; i++)
        n = report(p, &kev[i], events, n, max);
    mutex_unlock(&p->lock);
    /* All that was found has been changed meanwhile: the caller looks again. */
    return got && !n ? -EAGAIN : n;
}

static int wait_events(struct poller *base, struct poller_event *events, int max,
                       int64_t timeout_ns)
{
    uint64_t deadline = timeout_ns > 0 ? clock_now() + (uint64_t)timeout_ns : 0;
    int n;
    while ((n = wait_once(self(base), events, max, timeout_ns)) == -EAGAIN) {
        if (timeout_ns > 0) {
            uint64_t now = clock_now();
            timeout_ns = now < deadline ? (int64_t)(deadline - now) : 0;
        }
    }
    return n;
}

const struct poller_ops poller_kqueue = {
    .name = "kqueue",
    .create = create,
    .destroy = destroy,
    .fd = kqueue_of,
    .add = add,
    .mod = mod,
    .del = del,
    .wait = wait_events,
};

#else
typedef int poller_kqueue_unused;
#endif
