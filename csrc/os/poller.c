/* SPDX-License-Identifier: MIT */
#include "os/poller.h"

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "os/poller_ops.h"
#include "os/sys.h"

/* The first is the default. */
static const struct poller_ops *const backends[] = {
#ifdef POLLER_HAVE_EPOLL
    &poller_epoll,
#endif
#ifdef POLLER_HAVE_KQUEUE
    &poller_kqueue,
#endif
    &poller_poll,
};

static const struct poller_ops *chosen;

static void choose(void)
{
    chosen = backends[0];
    const char *wish = getenv("FASTMQ_POLLER");
    for (size_t i = 0; wish && i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (strcmp(wish, backends[i]->name) == 0)
            chosen = backends[i];
    }
}

static const struct poller_ops *backend(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return chosen;
}

int poller_create(struct poller **out)
{
    return backend()->create(out);
}

bool poller_shows(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return SYS(POLL, poll(&p, 1, 0)) != 0;
}

const char *poller_name(void)
{
    return backend()->name;
}

void poller_destroy(struct poller *p)
{
    if (p)
        p->ops->destroy(p);
}

int poller_fd(const struct poller *p)
{
    return p->ops->fd(p);
}

unsigned poller_held(const struct poller *p)
{
    return p->ops->held ? p->ops->held(p) : 1;
}

int poller_add(struct poller *p, int fd, uint32_t events, void *data)
{
    return p->ops->add(p, fd, events, data);
}

int poller_mod(struct poller *p, int fd, uint32_t events, void *data)
{
    return p->ops->mod(p, fd, events, data);
}

int poller_del(struct poller *p, int fd)
{
    return p->ops->del(p, fd);
}

int poller_add_child(struct poller *p, struct poller *child, uint32_t events, void *data)
{
    if (p->ops->add_child)
        return p->ops->add_child(p, child, events, data);
    return p->ops->add(p, child->ops->fd(child), events, data);
}

int poller_mod_child(struct poller *p, struct poller *child, uint32_t events, void *data)
{
    if (p->ops->mod_child)
        return p->ops->mod_child(p, child, events, data);
    return p->ops->mod(p, child->ops->fd(child), events, data);
}

int poller_del_child(struct poller *p, struct poller *child)
{
    if (p->ops->del_child)
        return p->ops->del_child(p, child);
    return p->ops->del(p, child->ops->fd(child));
}

int poller_wait(struct poller *p, struct poller_event *events, int max, int64_t timeout_ns)
{
    return p->ops->wait(p, events, max, timeout_ns);
}
