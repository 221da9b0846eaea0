/* SPDX-License-Identifier: MIT */
#include "os/poller_ops.h"

#ifdef POLLER_HAVE_EPOLL

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "os/fdset.h"
#include "os/sys.h"

#define BATCH_MAX 128 /* events taken from the kernel in one wait; they live on the stack */

/* Newer than some kernel headers; the number is the same on all architectures in use. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

struct epoll_poller {
    struct poller base;
    int fd;
};

static int epoll_of(const struct poller *p)
{
    return ((const struct epoll_poller *)p)->fd;
}

static int create(struct poller **out)
{
    struct epoll_poller *p = mem_zalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    fdset_lock();
    int fd = fdset_finish(SYS(EPOLL_CREATE, epoll_create1(EPOLL_CLOEXEC)));
    if (fd < 0) {
        mem_free(p);
        return fd;
    }
    p->base.ops = &poller_epoll;
    p->fd = fd;
    *out = &p->base;
    return 0;
}

static void destroy(struct poller *p)
{
    fdset_close(epoll_of(p));
    mem_free(p);
}

static uint32_t to_epoll(uint32_t events)
{
    uint32_t mask = 0;
    if (events & POLLER_IN)
        mask |= EPOLLIN;
    if (events & POLLER_OUT)
        mask |= EPOLLOUT;
    if (events & POLLER_PRI)
        mask |= EPOLLPRI;
    /* epoll always reports errors: to somebody who asks for nothing once is enough, or a descriptor
     * set aside would keep its poller spinning. */
    if (!mask)
        mask |= EPOLLET;
    if (events & POLLER_ONESHOT)
        mask |= EPOLLONESHOT;
    return mask;
}

static uint32_t from_epoll(uint32_t mask)
{
    uint32_t events = 0;
    if (mask & EPOLLIN)
        events |= POLLER_IN;
    if (mask & EPOLLOUT)
        events |= POLLER_OUT;
    if (mask & EPOLLPRI)
        events |= POLLER_PRI;
    if (mask & (EPOLLERR | EPOLLHUP))
        events |= POLLER_ERR | POLLER_IN;
    return events;
}

static int control(struct poller *p, int op, int fd, uint32_t events, void *data)
{
    struct epoll_event ev = {.events = to_epoll(events), .data = {.ptr = data}};
    return epoll_ctl(epoll_of(p), op, fd, &ev) < 0 ? -errno : 0;
}

static int add(struct poller *p, int fd, uint32_t events, void *data)
{
    if (SYS_FAULT(EPOLL_ADD)) /* only this one needs memory */
        return -errno;
    return control(p, EPOLL_CTL_ADD, fd, events, data);
}

static int mod(struct poller *p, int fd, uint32_t events, void *data)
{
    return control(p, EPOLL_CTL_MOD, fd, events, data);
}

static int del(struct poller *p, int fd)
{
    return control(p, EPOLL_CTL_DEL, fd, 0, NULL);
}

/* The thread sanitizer sees through epoll_wait only. */
#ifdef __SANITIZE_THREAD__
static atomic_bool no_pwait2 = true;
#else
static atomic_bool no_pwait2;
#endif

/* Takes a timeout in ns; the kernel has it since 5.11. */
static int wait_fine(int fd, struct epoll_event *ev, int max, int64_t timeout_ns)
{
    struct {
        int64_t sec, nsec;
    } ts = {timeout_ns / (int64_t)NS_PER_S, timeout_ns % (int64_t)NS_PER_S};
    return (int)syscall(SYS_epoll_pwait2, fd, ev, max, &ts, NULL, (size_t)8);
}

static int wait_coarse(int fd, struct epoll_event *ev, int max, int64_t timeout_ns)
{
    int ms = -1;
    if (timeout_ns >= 0) {
        int64_t whole = timeout_ns / (int64_t)NS_PER_MS + (timeout_ns % (int64_t)NS_PER_MS != 0);
        ms = whole > INT_MAX ? INT_MAX : (int)whole;
    }
    return epoll_wait(fd, ev, max, ms);
}

static int wait_kernel(int fd, struct epoll_event *ev, int max, int64_t timeout_ns)
{
    bool fine = timeout_ns > 0 && timeout_ns % (int64_t)NS_PER_MS != 0;
    if (fine && !atomic_load_explicit(&no_pwait2, memory_order_relaxed)) {
        int n = wait_fine(fd, ev, max, timeout_ns);
        /* Sandboxes that do not know the call answer EPERM. */
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        atomic_store_explicit(&no_pwait2, true, memory_order_relaxed);
    }
    return wait_coarse(fd, ev, max, timeout_ns);
}

static int wait_events(struct poller *p, struct poller_event *events, int max, int64_t timeout_ns)
{
    struct epoll_event ev[BATCH_MAX];
    if (max > BATCH_MAX)
        max = BATCH_MAX;
    if (SYS_FAULT(POLLER_LOST))
        return -errno;
    int n = SYS(WAIT, wait_kernel(epoll_of(p), ev, max, timeout_ns));
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        events[i].data = ev[i].data.ptr;
        events[i].events = from_epoll(ev[i].events);
    }
    return n;
}

const struct poller_ops poller_epoll = {
    .name = "epoll",
    .create = create,
    .destroy = destroy,
    .fd = epoll_of,
    .add = add,
    .mod = mod,
    .del = del,
    .wait = wait_events,
};

#else
typedef int poller_epoll_unused;
#endif
