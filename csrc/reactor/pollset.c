/* SPDX-License-Identifier: MIT */
#include "reactor/pollset.h"

#include "base/alloc.h"
#include "base/map.h"
#include "fastmq.h"
#include "reactor/notify.h"
#include "reactor/reactor.h"

/* So many sets keep a socket's poller in theirs. */
#define NESTED_KEPT 64u

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

int pollset_nest(struct fmq_pollset *p, struct item *it, struct reactor *r, unsigned most)
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

void pollset_unnest(struct fmq_pollset *p, struct item *it, struct reactor *r)
{
    if (!it->nested)
        return;
    poller_del_child(p->poller, r->poller);
    unwatch_signals(p, r, it->events);
    it->nested = false;
    r->notify.nested--;
}

void pollset_arm(struct item *it, struct reactor *r, bool arm)
{
    if (arm == it->armed)
        return;
    notify_want(r, it->events, arm);
    notify_direct(r, !arm);
    it->armed = arm;
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
        rc = pollset_nest(p, it, r, NESTED_KEPT);
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
        if (before < 0)
            notify_direct(r, true);
        pollset_arm(it, r, false);
        it->events = events;
        /* A present waiter sees it by its descriptors; later ones will look at it first. */
        pollset_arm(it, r, p->waiting > 0);
    }
    if (!r->finished)
        r->work |= WORK_WATCHED;
    else
        notify_update(r);
    reactor_leave(r);
    return rc;
}

void pollset_let_go(struct fmq_pollset *p, struct item *it)
{
    struct reactor *r = it->reactor;
    if (!r)
        return;
    mutex_lock(&r->lock);
    pollset_unnest(p, it, r);
    pollset_arm(it, r, false);
    notify_direct(r, false);
    notify_remove(r);
    reactor_leave(r);
    reactor_unref(r);
    it->reactor = NULL;
}

static void item_end(struct fmq_pollset *p, struct item *it)
{
    if (it->fd >= 0 && it->interest)
        poller_del(p->poller, it->fd);
    pollset_let_go(p, it);
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
