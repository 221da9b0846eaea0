/* SPDX-License-Identifier: MIT */
/* Readiness in the simulated world: see sim.h, and os/poller.h for what is promised. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define INTEREST (POLLER_IN | POLLER_OUT | POLLER_PRI)
#define EVENTS_MAX 128

struct entry {
    int fd;
    uint32_t events;
    void *data;
    bool armed;
};

struct poller {
    int fd;
    struct entry *v;
    uint32_t len, cap;
    bool waited_on;
};

int poller_create(struct poller **out)
{
    struct poller *p = mem_zalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->fd = sim_fd_of_poller(p);
    if (p->fd < 0) {
        int rc = p->fd;
        mem_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void poller_destroy(struct poller *p)
{
    if (!p)
        return;
    if (p->waited_on)
        sim_fail("a poller is destroyed while somebody waits in it");
    for (uint32_t i = 0; i < p->len; i++)
        sim_fd_watch(p->v[i].fd, -1);
    sim_fd_drop(p->fd);
    mem_free(p->v);
    mem_free(p);
}

int poller_fd(const struct poller *p)
{
    return p->fd;
}

unsigned poller_held(const struct poller *p)
{
    (void)p;
    return 1;
}

bool poller_shows(int fd)
{
    (void)fd; /* of pollers that are not of this world */
    return true;
}

const char *poller_name(void)
{
    return "simulated";
}

static struct entry *find(struct poller *p, int fd)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->v[i].fd == fd)
            return &p->v[i];
    }
    return NULL;
}

int poller_add(struct poller *p, int fd, uint32_t events, void *data)
{
    sim_point();
    if (find(p, fd))
        return -EEXIST;
    if (p->len == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : 4;
        struct entry *v = mem_realloc(p->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        p->v = v;
        p->cap = cap;
    }
    p->v[p->len++] = (struct entry){fd, events, data, true};
    sim_fd_watch(fd, 1);
    sim_changed();
    return 0;
}

int poller_mod(struct poller *p, int fd, uint32_t events, void *data)
{
    sim_point();
    struct entry *e = find(p, fd);
    if (!e)
        return -ENOENT;
    *e = (struct entry){fd, events, data, true};
    sim_changed();
    return 0;
}

int poller_del(struct poller *p, int fd)
{
    sim_point();
    struct entry *e = find(p, fd);
    if (!e)
        return -ENOENT;
    *e = p->v[--p->len];
    sim_fd_watch(fd, -1);
    return 0;
}

int poller_add_child(struct poller *p, struct poller *child, uint32_t events, void *data)
{
    return poller_add(p, child->fd, events, data);
}

int poller_mod_child(struct poller *p, struct poller *child, uint32_t events, void *data)
{
    return poller_mod(p, child->fd, events, data);
}

int poller_del_child(struct poller *p, struct poller *child)
{
    return poller_del(p, child->fd);
}

static uint32_t found(const struct entry *e)
{
    if (!e->armed)
        return 0;
    uint32_t ready = sim_fd_ready(e->fd) & (e->events | POLLER_ERR);
    return ready & POLLER_ERR ? ready | POLLER_IN : ready;
}

bool sim_poller_ready(struct poller *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (found(&p->v[i]))
            return true;
    }
    return false;
}

static int collect(struct poller *p, struct poller_event *events, int max, bool spurious)
{
    if (max > EVENTS_MAX)
        max = EVENTS_MAX;
    /* Readiness has no order: starts anywhere, and goes either way. */
    uint32_t start = p->len ? sim_below(p->len) : 0, step = sim_chance(500) ? 1 : p->len - 1;
    int n = 0;
    for (uint32_t i = 0, at = start; i < p->len && n < max; i++, at = (at + step) % p->len) {
        struct entry *e = &p->v[at];
        uint32_t mask = found(e);
        if (!mask && spurious && (e->events & POLLER_IN) && e->armed && !sim_fd_connecting(e->fd))
            mask = POLLER_IN;
        if (!mask || (n && sim_chance(sim_knobs.spurious)))
            continue;
        events[n++] = (struct poller_event){e->data, mask};
        if ((e->events & POLLER_ONESHOT) || !(e->events & INTEREST))
            e->armed = false;
    }
    return n;
}

int poller_wait(struct poller *p, struct poller_event *events, int max, int64_t timeout_ns)
{
    uint64_t start = sim_now();
    uint64_t until = timeout_ns < 0 ? CLOCK_NEVER : start + (uint64_t)timeout_ns;
    if (p->waited_on)
        sim_fail("two threads wait in one poller");
    p->waited_on = true;
    sim_spend(300);
    /* Who only looks, looks often: a thread that spins would find something each time. */
    bool spurious = timeout_ns != 0 && sim_chance(sim_knobs.spurious);
    int n;
    while ((n = collect(p, events, max, spurious)) == 0) {
        if (timeout_ns == 0 || sim_now() >= until)
            break;
        if (!sim_block_on_poller(p, until)) {
            n = -EINTR;
            break;
        }
    }
    p->waited_on = false;
    return n;
}

int poller_wait_few(const struct poller_one *few, int count, struct poller_event *events,
                    int64_t timeout_ns)
{
    struct entry v[POLLER_FEW];
    struct poller p = {.fd = -1, .v = v, .len = (uint32_t)count, .cap = POLLER_FEW};
    for (int i = 0; i < count; i++)
        v[i] = (struct entry){few[i].fd, few[i].events, few[i].data, true};
    return poller_wait(&p, events, POLLER_FEW, timeout_ns);
}
