/* SPDX-License-Identifier: MIT */
#include "core/hub.h"

#include <stdlib.h>

#include "core/ctx.h"
#include "core/watch.h"

#define HUB_BATCH 128

struct fmq_hub {
    struct mutex lock;
    struct poller *poller;
    struct wakeup wake;
    struct list sockets; /* watch.hub_member; for its user's thread alone */
    struct list posted;  /* watch.hub_node */
    bool signalled;      /* `wake` is readable; under `lock` */
    unsigned fork_generation;
    struct fmq_hub *next; /* while it is unused */
};

static _Atomic(struct fmq_hub *) unused;

static void put_back(struct fmq_hub *h)
{
    struct fmq_hub *head = atomic_load(&unused);
    do
        h->next = head;
    while (!atomic_compare_exchange_weak(&unused, &head, h));
}

/* Takes the whole list for a moment, which is safe without a lock. */
static struct fmq_hub *take_unused(void)
{
    struct fmq_hub *found = NULL;
    for (struct fmq_hub *h = atomic_exchange(&unused, NULL), *next; h; h = next) {
        next = h->next;
        if (found)
            put_back(h);
        else if (h->fork_generation == fork_generation) /* else its lock may be in any state */
            found = h;
    }
    return found;
}

int fmq_hub_new(fmq_hub **out)
{
    struct fmq_hub *h = take_unused();
    if (!h) {
        h = calloc(1, sizeof(*h)); /* not counted as in use: it is never given back */
        if (!h)
            return -ENOMEM;
        mutex_init(&h->lock);
        list_init(&h->sockets);
        list_init(&h->posted);
        h->fork_generation = fork_generation;
    }
    struct poller *poller = NULL;
    struct wakeup wake = {-1, -1};
    int rc = poller_create(&poller);
    if (rc == 0 && poller_fd(poller) < 0)
        rc = -ENOTSUP;
    if (rc == 0)
        rc = wakeup_init(&wake);
    if (rc == 0)
        rc = poller_add(poller, wake.rfd, POLLER_IN, h);
    if (rc) {
        wakeup_fini(&wake);
        poller_destroy(poller);
        put_back(h);
        return rc;
    }
    h->poller = poller;
    h->wake = wake;
    h->signalled = false;
    *out = h;
    return 0;
}

void fmq_hub_free(fmq_hub *h)
{
    if (h->fork_generation != fork_generation)
        return; /* its descriptors went at fork */
    while (!list_empty(&h->sockets)) {
        struct watch *w = LIST_ENTRY(h->sockets.next, struct watch, hub_member);
        fmq_hub_watch(h, LIST_ENTRY(w, struct fmq_socket, watch), 0, NULL);
    }
    mutex_lock(&h->lock);
    poller_del(h->poller, h->wake.rfd);
    poller_destroy(h->poller);
    h->poller = NULL;
    wakeup_fini(&h->wake);
    mutex_unlock(&h->lock);
    put_back(h);
}

int fmq_hub_fd(const fmq_hub *h)
{
    return poller_fd(h->poller);
}

void hub_post(struct fmq_socket *s)
{
    struct watch *w = &s->watch;
    struct fmq_hub *h = atomic_load(&w->hub);
    if (!h)
        return;
    mutex_lock(&h->lock);
    if (atomic_load(&w->hub) == h && !list_linked(&w->hub_node)) {
        list_push_back(&h->posted, &w->hub_node);
        atomic_store_explicit(&w->posted, true, memory_order_relaxed);
        if (!h->signalled) {
            h->signalled = true;
            wakeup_signal(&h->wake);
        }
    }
    mutex_unlock(&h->lock);
}

void hub_update(struct fmq_socket *s, int events)
{
    struct watch *w = &s->watch;
    /* Who takes it off the list takes this socket's lock after that, and so sees what is now. */
    if (atomic_load_explicit(&w->posted, memory_order_relaxed))
        return;
    bool changed = (w->hub_events & FMQ_POLLCHANGE) &&
                   w->hub_seen != atomic_load_explicit(&s->changes, memory_order_relaxed);
    if (changed || (w->hub_events & events))
        hub_post(s);
}

/* Takes a post off the list; h->lock held. */
static void take_post(struct watch *w)
{
    list_remove(&w->hub_node);
    atomic_store_explicit(&w->posted, false, memory_order_relaxed);
}

static int join(struct fmq_hub *h, struct fmq_socket *s, void *data)
{
    int rc = s->closed ? -ENOTSOCK : poller_add_child(h->poller, s->poller, POLLER_IN, s);
    if (rc)
        return rc;
    socket_ref(s);
    list_push_back(&h->sockets, &s->watch.hub_member);
    s->watch.hub_data = data;
    atomic_store(&s->watch.hub, h);
    return watch_add(s, 0); /* after that: it runs the mail for which nothing was posted */
}

static void part(struct fmq_hub *h, struct fmq_socket *s)
{
    poller_del_child(h->poller, s->poller);
    list_remove(&s->watch.hub_member);
    mutex_lock(&h->lock);
    take_post(&s->watch);
    atomic_store(&s->watch.hub, NULL);
    mutex_unlock(&h->lock);
    watch_remove(s);
    /* Other watchers were not told of it. */
    if (socket_has_mail(s))
        socket_run_mail(s);
}

int fmq_hub_watch(fmq_hub *h, fmq_socket *s, int events, void *data)
{
    struct watch *w = &s->watch;
    if (s->fork_generation != fork_generation || h->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&s->lock);
    struct fmq_hub *in = atomic_load(&w->hub);
    bool hidden = (w->hub_events & events & FMQ_POLLCHANGE) &&
                  w->hub_seen != atomic_load_explicit(&s->changes, memory_order_relaxed);
    int rc = in && in != h ? -EBUSY : 0;
    if (rc == 0 && !in && events)
        rc = join(h, s, data);
    else if (rc == 0 && in && !events)
        part(h, s);
    if (rc == 0) {
        w->hub_events = events;
        w->hub_seen = atomic_load_explicit(&s->changes, memory_order_relaxed);
        if (!s->finished)
            s->work |= WORK_WATCHED;
        else if (in) /* who is in no hub holds no descriptors: they may be gone */
            watch_update(s);
    }
    socket_leave(s);
    if (rc == 0 && in && !events)
        socket_unref(s);
    return rc == 0 && hidden ? 1 : rc;
}

int fmq_hub_wait(fmq_hub *h, void **ready, int max)
{
    struct poller_event events[HUB_BATCH];
    if (h->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    int count = 0;
    bool woken = false;
    int n = poller_wait(h->poller, events, max < HUB_BATCH ? max : HUB_BATCH, 0);
    for (int i = 0; i < n; i++) {
        if (events[i].data == h) {
            woken = true;
        } else {
            struct fmq_socket *s = events[i].data;
            ready[count++] = s->watch.hub_data;
        }
    }
    if (!woken)
        return count;
    mutex_lock(&h->lock);
    while (count < max && !list_empty(&h->posted)) {
        struct watch *w = LIST_ENTRY(h->posted.next, struct watch, hub_node);
        take_post(w);
        ready[count++] = w->hub_data;
    }
    if (list_empty(&h->posted)) {
        h->signalled = false;
        wakeup_drain(&h->wake);
    }
    mutex_unlock(&h->lock);
    return count;
}
