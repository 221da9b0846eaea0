/* SPDX-License-Identifier: MIT */
/*
 * The loop adapter (fmq_loop): what one event loop watches for all its sockets. It is a poller that
 * holds the sockets' pollers, and a list of sockets that are ready in a way that their pollers do
 * not show (mail, readiness for what is waited for), with one wake-up for the whole list. So many
 * sockets that become ready at once cost the loop one event, and a message over inproc costs no
 * system call of its own.
 *
 * fmq_loop.lock is a leaf lock. A thread that posts mail does not hold the socket's lock and may
 * still be in here when the socket has left the adapter and the adapter is freed. So adapters are
 * reused, and their memory is never given back.
 */
#include <stdlib.h>

#include "fastmq.h"
#include "reactor/loop_list.h"
#include "reactor/notify.h"
#include "reactor/reactor.h"

#define LOOP_BATCH 128

static _Atomic(struct fmq_loop *) unused;

static void put_back(struct fmq_loop *h)
{
    struct fmq_loop *head = atomic_load(&unused);
    do
        h->next = head;
    while (!atomic_compare_exchange_weak(&unused, &head, h));
}

/* Takes the whole list for a moment, which is safe without a lock. */
static struct fmq_loop *take_unused(void)
{
    struct fmq_loop *found = NULL;
    for (struct fmq_loop *h = atomic_exchange(&unused, NULL), *next; h; h = next) {
        next = h->next;
        if (found)
            put_back(h);
        else if (h->fork_generation == fork_generation) /* else its lock may be in any state */
            found = h;
    }
    return found;
}

int fmq_loop_new(fmq_loop **out)
{
    struct fmq_loop *h = take_unused();
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

static int watch(struct fmq_loop *h, struct reactor *r, int events, void *data);

void fmq_loop_free(fmq_loop *h)
{
    if (h->fork_generation != fork_generation)
        return; /* its descriptors went at fork */
    while (!list_empty(&h->sockets)) {
        struct notifier *w = LIST_ENTRY(h->sockets.next, struct notifier, loop_member);
        watch(h, LIST_ENTRY(w, struct reactor, notify), 0, NULL);
    }
    mutex_lock(&h->lock);
    poller_del(h->poller, h->wake.rfd);
    poller_destroy(h->poller);
    h->poller = NULL;
    wakeup_fini(&h->wake);
    mutex_unlock(&h->lock);
    put_back(h);
}

int fmq_loop_fd(const fmq_loop *h)
{
    return poller_fd(h->poller);
}

static int join(struct fmq_loop *h, struct reactor *r, void *data)
{
    int rc = r->closed ? -ENOTSOCK : io_need_poller(r);
    if (rc == 0)
        rc = poller_add_child(h->poller, r->poller, POLLER_IN, r);
    if (rc)
        return rc;
    reactor_ref(r);
    list_push_back(&h->sockets, &r->notify.loop_member);
    r->notify.loop_data = data;
    atomic_store(&r->notify.loop, h);
    return notify_add(r, 0); /* after that: it runs the mail for which nothing was posted */
}

static void part(struct fmq_loop *h, struct reactor *r)
{
    poller_del_child(h->poller, r->poller);
    list_remove(&r->notify.loop_member);
    mutex_lock(&h->lock);
    loop_take_post(&r->notify);
    atomic_store(&r->notify.loop, NULL);
    mutex_unlock(&h->lock);
    notify_remove(r);
    /* To other watchers it was not reported. */
    if (reactor_has_mail(r))
        mailbox_run(r);
}

static int watch(struct fmq_loop *h, struct reactor *r, int events, void *data)
{
    struct notifier *w = &r->notify;
    if (r->fork_generation != fork_generation || h->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&r->lock);
    struct fmq_loop *in = atomic_load(&w->loop);
    bool hidden = (w->loop_events & events & FMQ_POLLCHANGE) &&
                  w->loop_seen != atomic_load_explicit(&r->changes, memory_order_relaxed);
    int rc = in && in != h ? -EBUSY : 0;
    if (rc == 0 && !in && events)
        rc = join(h, r, data);
    else if (rc == 0 && in && !events)
        part(h, r);
    if (rc == 0) {
        w->loop_events = events;
        w->loop_seen = atomic_load_explicit(&r->changes, memory_order_relaxed);
        if (!r->finished)
            r->work |= WORK_WATCHED;
        else if (in) /* out of an adapter it holds no descriptors: they may be closed */
            notify_update(r);
    }
    reactor_leave(r);
    if (rc == 0 && in && !events)
        reactor_unref(r);
    return rc == 0 && hidden ? 1 : rc;
}

int fmq_loop_watch(fmq_loop *h, fmq_socket *s, int events, void *data)
{
    return watch(h, reactor_of(s), events, data);
}

int fmq_loop_wait(fmq_loop *h, void **ready, int max)
{
    struct poller_event events[LOOP_BATCH];
    if (h->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    int count = 0;
    bool woken = false;
    int n = poller_wait(h->poller, events, max < LOOP_BATCH ? max : LOOP_BATCH, 0);
    if (n < 0 && !poller_may_retry(n)) {
        LIST_FOR(it, &h->sockets)
        reactor_break(
            LIST_ENTRY(LIST_ENTRY(it, struct notifier, loop_member), struct reactor, notify));
        return -FMQ_EBROKEN;
    }
    for (int i = 0; i < n; i++) {
        if (events[i].data == h) {
            woken = true;
        } else {
            struct reactor *r = events[i].data;
            ready[count++] = r->notify.loop_data;
        }
    }
    if (!woken)
        return count;
    mutex_lock(&h->lock);
    while (count < max && !list_empty(&h->posted)) {
        struct notifier *w = LIST_ENTRY(h->posted.next, struct notifier, loop_node);
        loop_take_post(w);
        ready[count++] = w->loop_data;
    }
    if (list_empty(&h->posted)) {
        h->signalled = false;
        wakeup_drain(&h->wake);
    }
    mutex_unlock(&h->lock);
    return count;
}
